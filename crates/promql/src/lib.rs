//! PromQL as Prometheus 3 evaluates it, over any source of series.
//!
//! - [`parse`] makes a syntax tree, or says in Prometheus' words why not; the tree displays as a query.
//! - [`Source`] is what a query reads: series by matchers and time. [`MemorySource`] is one in
//!   memory.
//! - [`instant`] and [`range`] evaluate a query within the limits of [`Options`]; an [`Answer`] has a
//!   [`Value`] and [`Annotations`].
//! - [`FloatHistogram`] is a native histogram, [`mark_counter_resets`] what a store does to a series
//!   of them.
//! - [`answer`] writes answers and errors as Prometheus' HTTP interface does.
//!
//! ```
//! use luma_promql::{Labels, MemorySource, Options, Sample, Value, instant};
//!
//! let mut source = MemorySource::default();
//! let labels = Labels::new([("__name__", "requests_total"), ("job", "api")]);
//! for minute in 0..=5 {
//!     source.insert(&labels, minute * 60_000, 0, Sample::Float(minute as f64 * 30.0));
//! }
//! let answer = instant(&source, "rate(requests_total[5m])", 300_000, &Options::default()).unwrap();
//! let Value::Vector(_, samples) = answer.value else { panic!() };
//! assert_eq!(samples[0].labels, Labels::new([("job", "api")]));
//! assert!(matches!(samples[0].value, Sample::Float(rate) if (rate - 0.5).abs() < 1e-9));
//! ```

mod annotation;
pub mod answer;
pub mod ast;
mod classic;
mod error;
mod eval;
mod function;
mod grid;
mod histogram;
mod labels;
mod matcher;
mod memory;
mod number;
mod parallel;
mod parser;
mod printer;
mod query;
mod source;
mod summation;
mod value;
mod watched;

pub use annotation::Annotations;
pub use error::{Error, Result, SourceError};
pub use function::{FUNCTIONS, Function};
pub use grid::Grid;
pub use histogram::{
    BoundedBucket, Bucket, CUSTOM_BUCKETS, Combination, FloatHistogram, IncompatibleSchemas, ResetHint,
    mark_counter_resets,
};
pub use labels::{BUCKET_LABEL, Labels, METRIC_NAME};
pub use matcher::{Candidates, MatchOp, Matcher, anchored, matches_all};
pub use memory::MemorySource;
pub use number::{
    format_general, format_open_metrics, format_plain, format_scientific, parse_float, parse_number,
};
pub use parallel::each_series;
pub use parser::{DEPTH_MAX, ParseError, parse, parse_duration, parse_selector, unquote};
pub use query::{Options, ahead_of_step, instant, range};
pub use source::{Select, SeriesData, SeriesSet, Source};
pub use value::{
    Answer, FloatPoint, HistogramPoint, STALE_MARKER, Sample, Series, Statistics, Value, VectorSample,
    is_stale,
};
pub use watched::Watched;
