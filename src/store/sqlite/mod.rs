//! The SQLite file: how it is opened, read, written, copied and checked. The queries are beside this
//! module, in `store`.
//!
//! Reads run on the readers' threads (`readers`), each on a connection that can't write. Writes
//! queue for the writer (`writer`), which commits those that have gathered as one transaction.
//! The poller (`poller`) reads what other processes have changed. The readers' and the writer's queues
//! are bounded, and refuse with [`StoreError::Busy`](super::StoreError::Busy).

pub(super) mod backup;
pub(super) mod checkpoints;
pub(super) mod connection;
mod error;
mod integrity;
pub(super) mod open_files;
pub(super) mod poller;
pub(super) mod readers;
pub(super) mod statements;
pub(super) mod writer;
