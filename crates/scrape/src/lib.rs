//! Scraping as Prometheus does it: targets are asked at intervals, and what they answer goes into the store.
//!
//! - [`Settings`] is what Prometheus' configuration file says of it.
//! - [`Manager`] asks all targets, each at its interval, and follows changes of the configuration and of files of targets.
//! - [`Format`] is how a target may say its metrics; [`parse`] reads them.
//! - [`Own`] are the server's own metrics, which are stored the same way without a request.

mod answer;
mod cache;
mod exposition;
mod fetch;
mod line;
mod manager;
mod metrics;
mod pool;
mod protobuf;
mod scraping;
mod settings;
mod target;
mod text;

pub use exposition::{About, Example, Format, Histograms, Scraped, Sink, parse};
pub use manager::{Manager, Own};
pub use metrics::Counted;
pub use settings::{Job, Limits, Settings};
