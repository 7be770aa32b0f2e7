//! The door over real sockets: with tokio-postgres, with psql where it is installed, and with a
//! client that sends whatever bytes it likes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod authentication;
mod copying;
mod extended;
mod interruption;
mod limits;
mod malformed;
mod psql;
mod raw;
mod server;
mod simple;
