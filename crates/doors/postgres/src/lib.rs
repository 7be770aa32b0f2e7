//! The PostgreSQL protocol, version 3.0: bytes of clients into calls on [`luma_query::Session`],
//! and back.
//!
//! ```text
//! socket ─▶ io::Io ─▶ message::frame ─▶ connection ─▶ simple / extended / copy ─▶ Session
//!   ▲                                                              │
//!   └──────────────── one write buffer ◀── rows, message::backend ◀┘
//! ```
//!
//! [`serve`] accepts connections until it is told to stop; [`Door::connect`] serves one stream of
//! any kind, such as a pipe inside the process.

mod authentication;
mod connection;
mod copy;
mod extended;
mod failure;
mod io;
mod message;
mod metrics;
mod registry;
mod rows;
mod server;
mod session;
mod simple;
mod slots;
mod startup;
mod tls;

pub use io::Transport;
pub use metrics::{DURATION_BOUNDS_SECONDS, Histogram, Metrics, StatementKind};
pub use server::{Door, DoorOptions, serve};
pub use tls::Tls;
