//! Background work: the token sweeper, the usage recorder and the password hasher. Each file exports a
//! handle with plain functions and keeps its actor and messages private.

mod fair_queue;
mod hasher;
mod sweeper;
mod usage;

pub use hasher::{Caller, Guess, Hasher, HasherError};
pub use sweeper::{Schedule, Sweeper};
pub use usage::UsageRecorder;
