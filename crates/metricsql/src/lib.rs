//! MetricsQL as VictoriaMetrics evaluates it, over any source of series.
//!
//! A language of its own beside PromQL, although it looks alike: a value is a row of numbers, one per step, in which NaN is a
//! gap; functions over time find their window themselves and look at the sample before it; `rate` does not
//! extrapolate. So it has its own parser and evaluator, and shares with `luma_promql` what both read and
//! answer: sources, labels, matchers, limits, values.
//!
//! - [`instant`] and [`range`] evaluate a query within the limits of [`Options`](luma_promql::Options).
//!
//! ```
//! use luma_metricsql::instant;
//! use luma_promql::{Labels, MemorySource, Options, Sample, Value};
//!
//! let mut source = MemorySource::default();
//! let labels = Labels::new([("__name__", "requests_total"), ("job", "api")]);
//! for minute in 0..=5 {
//!     source.insert(&labels, minute * 60_000, 0, Sample::Float(minute as f64 * 30.0));
//! }
//! let answer = instant(&source, "rate(requests_total) * 60", 300_000, None, &Options::default()).unwrap();
//! let Value::Vector(_, samples) = answer.value else { panic!() };
//! assert!(matches!(samples[0].value, Sample::Float(rate) if (rate - 30.0).abs() < 1e-9));
//! ```

mod ast;
mod eval;
mod parser;
mod query;

pub use query::{instant, is_repeatable, range};
