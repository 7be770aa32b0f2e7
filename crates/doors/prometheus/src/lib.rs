//! Prometheus' HTTP interface: requests into queries and batches of a store of metrics, and back.
//!
//! ```text
//! GET  /api/v1/query …     ─▶ params ─▶ query, series, status ─▶ luma_promql over luma_telemetry ─▶ reply
//! POST /api/v1/write       ─▶ compression ─▶ wire ─▶ write ─▶ Batch ─▶ Metrics::append (durable) ─▶ 204
//! POST /api/v1/read        ─▶ compression ─▶ wire ─▶ read ─▶ series, or frames of chunks
//! ```
//!
//! [`Door::listen`] serves until it is told to stop; [`Door::router`] is the same without a socket.

mod admin;
mod answers;
mod federation;
mod metrics;
mod params;
mod query;
mod read;
mod reply;
mod runner;
mod series;
mod server;
mod status;
mod syntax;
mod targets;
mod write;

pub use metrics::Metrics;
pub use server::{Door, DoorOptions, Reload};

use luma_intake::wire;
use luma_web::{body, compression};
