//! The door over real sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod answers;
mod http;
mod messages;
mod queries;
mod reading;
mod writing;
