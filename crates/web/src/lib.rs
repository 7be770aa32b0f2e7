//! What doors that speak HTTP have in common: [`Limited`] connections, bodies ([`body`]) with a budget
//! ([`Memory`]), [`compression`], and who may ask ([`Admission`]).

mod access;
pub mod body;
pub mod compression;
mod connection;
mod memory;

pub use access::{Admission, Gate, is_strange_page};
pub use connection::{Connection, Limited};
pub use memory::{Memory, Room, UNPACKED_FACTOR};

use axum::http::StatusCode;

/// A request that can't be served as a whole: the status and text for its client.
#[derive(Debug)]
pub struct Rejected {
    /// The status.
    pub status: StatusCode,
    /// What is wrong, and what to do.
    pub what: String,
}

impl From<(StatusCode, String)> for Rejected {
    fn from((status, what): (StatusCode, String)) -> Self {
        Self { status, what }
    }
}
