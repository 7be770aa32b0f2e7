//! OpenTelemetry's protocol: metrics over gRPC and over HTTP, in Protocol Buffers or JSON.
//!
//! ```text
//! POST /v1/metrics                ─▶ http ─┐
//! …MetricsService/Export (gRPC)   ─▶ grpc ─┴▶ luma_intake::Otlp ─▶ Metrics (durable) ─▶ what was refused
//! ```
//!
//! Every listener takes both: [`Door::listen`] serves until it is told to stop. [`Door::routes`] are the addresses
//! for a server of somebody else's.

mod grpc;
mod http;
mod metrics;
mod server;

pub use metrics::Metrics;
pub use server::{Door, DoorOptions};
