//! A durable store of metrics: series with their samples in memory behind a log, and in Parquet files.
//!
//! - [`Batch`] takes the samples of one request; [`Metrics::append`] stores them durably and as a whole.
//! - [`Metrics`] is a [`Source`](luma_promql::Source) for PromQL, and knows label names, values and series.
//! - [`Metrics::flush`] moves samples from memory to files; queries see no difference.
//! - [`Appended`] says what was stored, and [`Refusal`] why a sample was not.
//!
//! ```
//! use luma_promql::{Options, Value, instant};
//! use luma_telemetry::{Batch, Metrics, MetricsOptions};
//! use luma_vfs::SimDisk;
//! use std::{path::Path, sync::Arc};
//!
//! let disk = Arc::new(SimDisk::new());
//! let metrics = Metrics::open(disk, Path::new("/metrics"), MetricsOptions::default())?;
//! let mut batch = Batch::default();
//! let series = batch.series([("__name__", "up"), ("job", "api")])?;
//! batch.float(series, 1_000, 0, 1.0);
//! assert_eq!(metrics.append(&batch)?.stored, 1);
//! let answer = instant(&metrics, "sum(up)", 2_000, &Options::default())?;
//! assert!(matches!(answer.value, Value::Vector(_, samples) if samples.len() == 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batch;
mod cardinality;
mod chunk;
mod dormant;
mod ended;
mod error;
mod exemplars;
mod flush;
mod head;
mod index;
mod known;
mod maintenance;
mod metadata;
mod open;
mod read;
mod record;
mod references;
mod shard;
mod sleep;
mod snapshot;
mod store;
mod tier;
mod upkeep;
mod versions;

pub use batch::{Batch, BatchSeries, LABEL_BYTES_MAX, LABELS_MAX};
pub use cardinality::Cardinality;
pub use error::{Error, LabelError, Refusal, Result};
pub use exemplars::Exemplar;
pub use flush::Flushed;
pub use known::{Fingerprint, KnownNames, KnownSeries};
pub use luma_strata::{Compacted, FileEntry, TableOptions, TableStats};
pub use maintenance::{Maintenance, MaintenanceOptions};
pub use metadata::Metadata;
pub use store::{Appended, Metrics, MetricsOptions, Pending};
