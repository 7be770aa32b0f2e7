//! A segmented, checksummed, group-committed log.
//!
//! [`Log::append`] puts a record in memory and returns its [`Lsn`]; one flusher writes what has
//! gathered and syncs once for everybody who waits ([`Log::wait_durable`], [`Log::durable`]).
//! [`Log::open`] hands every whole record back in order. `FORMAT.md` has the bytes.
//!
//! What always holds:
//! - Records come back in the order they were appended, and what comes back is a prefix of what was
//!   appended that contains every record somebody was told is durable.
//! - A torn tail ends the replay quietly; damage before the tail is an error with file and offset.
//! - After a failed write or sync the log takes nothing more: every call reports the first cause.

mod error;
mod frame;
mod log;
mod options;
mod place;
mod recovery;
mod segment;
mod waiters;
mod writer;

pub use error::{Error, Result};
pub use log::{Durable, Log};
pub use options::{Flusher, LogObserver, LogOptions, Lsn, SyncMode};
pub use place::{Place, without_headers};
pub use recovery::Record;
