//! What targets answer: the formats there are, and what all of them say.

use std::borrow::Cow;

use luma_promql::Sample;
use luma_telemetry::Exemplar;

use crate::{protobuf, text};

/// How metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text form, 0.0.4 and 1.0.0.
    Text,
    /// OpenMetrics, 0.0.1 and 1.0.0.
    OpenMetrics,
    /// Messages of Protocol Buffers, each after its length.
    Protobuf,
}

/// A protocol that a target may be asked for: its name in the configuration, what is asked for, and the format.
pub(crate) type Protocol = (&'static str, &'static str, Format);

/// The protocols there are, in the order in which they are asked for if nothing is said, but for the last.
pub(crate) const PROTOCOLS: [Protocol; 5] = [
    (
        "OpenMetricsText1.0.0",
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8",
        Format::OpenMetrics,
    ),
    ("OpenMetricsText0.0.1", "application/openmetrics-text;version=0.0.1", Format::OpenMetrics),
    ("PrometheusText1.0.0", "text/plain;version=1.0.0;escaping=allow-utf-8", Format::Text),
    ("PrometheusText0.0.4", "text/plain;version=0.0.4", Format::Text),
    (
        "PrometheusProto",
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
        Format::Protobuf,
    ),
];

impl Format {
    /// The format that a `Content-Type` names.
    pub fn of_media_type(text: &str) -> Option<Self> {
        match text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "text/plain" => Some(Self::Text),
            "application/openmetrics-text" => Some(Self::OpenMetrics),
            "application/vnd.google.protobuf" => Some(Self::Protobuf),
            _ => None,
        }
    }
}

/// A sample as it was said.
#[derive(Debug)]
pub struct Scraped<'a> {
    /// Bytes that always stand for these labels.
    pub key: &'a [u8],
    /// Names and values, the metric's name first; their order is that of the target.
    pub labels: &'a [(Cow<'a, str>, Cow<'a, str>)],
    /// Its time in milliseconds, if the target says one.
    pub t: Option<i64>,
    /// When its counter started, in milliseconds; 0 if that is unknown.
    pub start: i64,
    /// Its value.
    pub value: Sample,
    /// Examples of what was measured; a time of `None` is that of the sample.
    pub exemplars: &'a [Example],
}

/// An example of what was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// The example; its time means nothing if it has none.
    pub exemplar: Exemplar,
    /// Whether the target said its time.
    pub timed: bool,
}

/// What a family of metrics says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About<'a> {
    /// Its type.
    Kind(&'a str),
    /// What it is.
    Help(&'a str),
    /// What it is measured in.
    Unit(&'a str),
}

/// Takes what was read.
pub trait Sink {
    /// Something about a family of metrics.
    fn about(&mut self, family: &str, about: About<'_>);

    /// A sample.
    ///
    /// # Errors
    /// When reading is to end.
    fn sample(&mut self, sample: &Scraped<'_>) -> Result<(), String>;
}

/// What histograms that have native buckets are read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Histograms {
    /// As native ones.
    pub native: bool,
    /// As series of classic ones, also if they are read as native ones.
    pub classic: bool,
}

/// Reads what a target answered.
///
/// # Errors
/// What is wrong with it, and where; or what the sink said.
pub fn parse(format: Format, body: &[u8], histograms: Histograms, sink: &mut dyn Sink) -> Result<(), String> {
    match format {
        Format::Protobuf => protobuf::parse(body, histograms, sink),
        Format::Text | Format::OpenMetrics => {
            let text = std::str::from_utf8(body)
                .map_err(|error| format!("invalid UTF-8 after {} bytes", error.valid_up_to()))?;
            text::parse(text, format == Format::OpenMetrics, sink)
        }
    }
}
