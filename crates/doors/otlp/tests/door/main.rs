//! The door over real sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod deltas;
mod sdk;
mod server;
mod translation;
