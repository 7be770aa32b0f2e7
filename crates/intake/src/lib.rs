//! Messages of other systems on their way into the store of metrics.
//!
//! - [`wire`] reads and writes Protocol Buffers out of borrowed bytes.
//! - [`histogram`] puts native histograms together.
//! - [`WriteRequest`] is what all of them become: a batch, and a count of what can't be in it.
//! - [`lines`] reads InfluxDB's, OpenTSDB's and Graphite's lines of text.
//! - [`Otlp`] makes it of OpenTelemetry's metrics, in Protocol Buffers or JSON.

pub mod histogram;
pub mod lines;
mod otlp;
mod request;
pub mod wire;

pub use otlp::{Otlp, OtlpError, OtlpOptions};
pub use request::{Outcome, WriteRequest};
