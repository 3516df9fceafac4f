//! What goes on beside the requests: the token sweeper, the usage recorder and the password
//! hasher. Each file keeps its messages to itself and exports a handle with plain functions.

mod fair_queue;
mod hasher;
mod sweeper;
mod usage;

pub use hasher::{Caller, Guess, Hasher, HasherError};
pub use sweeper::{Schedule, Sweeper};
pub use usage::UsageRecorder;
