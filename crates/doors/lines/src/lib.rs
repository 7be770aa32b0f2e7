//! Metrics by protocols of lines: InfluxDB's and OpenTSDB's over HTTP, OpenTSDB's and Graphite's over TCP, Graphite's over UDP.
//!
//! ```text
//! POST /write, /api/v2/write    ─▶ luma_web (size, gzip) ─▶ luma_intake::lines ─▶ Metrics (durable) ─▶ 204, or 400 and why
//! POST /api/put                 ─▶ the same for OpenTSDB's JSON
//! TCP, UDP                      ─▶ whole lines of what arrived ─▶ the same, before more is read
//! ```
//!
//! [`Door::routes`] are addresses for another server of HTTP, which decides who may ask; [`Door::listen`] and
//! [`Door::listen_datagrams`] serve until the shutdown.

mod influx;
mod metrics;
mod opentsdb;
mod server;
mod stream;

pub use metrics::Metrics;
pub use server::{Door, DoorOptions, Protocol};
