//! Answers and errors as Prometheus' HTTP interface writes them.
//!
//! Numbers are texts with the fewest digits that read back as the value, with an exponent below
//! 1e-6 and from 1e21 on; times are seconds with as many as three decimals. An answer is written in one
//! pass into one text.

use std::fmt::Write as _;

use crate::error::Error;
use crate::histogram::FloatHistogram;
use crate::labels::Labels;
use crate::number::{format_plain, format_scientific};
use crate::value::{Sample, Series, Value};

/// Which kind of failure a client is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request is wrong.
    BadData,
    /// The query cannot be evaluated.
    Execution,
    /// The query was cancelled.
    Canceled,
    /// The query took too long.
    Timeout,
    /// The store failed.
    Internal,
    /// What is asked for is not there.
    NotFound,
    /// What is asked for cannot be had now.
    Unavailable,
}

impl ErrorKind {
    /// The name in `errorType`.
    pub fn name(self) -> &'static str {
        match self {
            Self::BadData => "bad_data",
            Self::Execution => "execution",
            Self::Canceled => "canceled",
            Self::Timeout => "timeout",
            Self::Internal => "internal",
            Self::NotFound => "not_found",
            Self::Unavailable => "unavailable",
        }
    }

    /// The HTTP status.
    pub fn status(self) -> u16 {
        match self {
            Self::BadData => 400,
            Self::Execution => 422,
            Self::Canceled => 499,
            Self::Timeout | Self::Unavailable => 503,
            Self::Internal => 500,
            Self::NotFound => 404,
        }
    }
}

impl Error {
    /// Which kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Parse(_) | Self::Type(_) => ErrorKind::BadData,
            Self::Evaluation(_) | Self::TooManySamples => ErrorKind::Execution,
            Self::Timeout => ErrorKind::Timeout,
            Self::Canceled => ErrorKind::Canceled,
            Self::Source(_) => ErrorKind::Internal,
        }
    }

    /// What a client is told: a query that cannot be one is named as the parameter it came in.
    pub fn message(&self) -> String {
        match self {
            Self::Parse(_) | Self::Type(_) => format!("invalid parameter \"query\": {self}"),
            error => error.to_string(),
        }
    }
}

/// The body of a successful answer with its `data`, which is JSON.
pub fn success(data: &str, warnings: &[String], infos: &[String]) -> String {
    let mut out = String::with_capacity(data.len() + 64);
    out.push_str(r#"{"status":"success","data":"#);
    out.push_str(data);
    for (name, texts) in [("warnings", warnings), ("infos", infos)] {
        if !texts.is_empty() {
            let _ = write!(out, ",\"{name}\":");
            write_list(texts, &mut out, |text, out| write_text(text, out));
        }
    }
    out.push('}');
    out
}

/// The body of an answer that says what failed.
pub fn failure(kind: ErrorKind, message: &str) -> String {
    let mut out = format!(r#"{{"status":"error","errorType":"{}","error":"#, kind.name());
    write_text(message, &mut out);
    out.push('}');
    out
}

/// Writes the `data` of an answer.
pub fn write_value(value: &Value, out: &mut String) {
    let kind = match value {
        Value::Scalar(_) => "scalar",
        Value::String(..) => "string",
        Value::Vector(..) => "vector",
        Value::Matrix(_) => "matrix",
    };
    let _ = write!(out, r#"{{"resultType":"{kind}","result":"#);
    match value {
        Value::Scalar(point) => write_point(point.t, out, |out| write_number(point.v, out)),
        Value::String(t, text) => write_point(*t, out, |out| write_text(text, out)),
        Value::Vector(t, samples) => write_list(samples, out, |sample, out| {
            out.push_str("{\"metric\":");
            write_labels(&sample.labels, out);
            match &sample.value {
                Sample::Float(v) => {
                    out.push_str(",\"value\":");
                    write_point(*t, out, |out| write_number(*v, out));
                }
                Sample::Histogram(h) => {
                    out.push_str(",\"histogram\":");
                    write_point(*t, out, |out| write_histogram(h, out));
                }
            }
            out.push('}');
        }),
        Value::Matrix(series) => write_list(series, out, write_series),
    }
    out.push('}');
}

fn write_series(series: &Series, out: &mut String) {
    out.push_str("{\"metric\":");
    write_labels(&series.labels, out);
    if !series.floats.is_empty() {
        out.push_str(",\"values\":");
        write_list(&series.floats, out, |point, out| {
            write_point(point.t, out, |out| write_number(point.v, out));
        });
    }
    if !series.histograms.is_empty() {
        out.push_str(",\"histograms\":");
        write_list(&series.histograms, out, |p, out| write_point(p.t, out, |out| write_histogram(&p.h, out)));
    }
    out.push('}');
}

/// Labels as an object.
pub fn write_labels(labels: &Labels, out: &mut String) {
    out.push('{');
    for (at, (name, value)) in labels.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write_text(name, out);
        out.push(':');
        write_text(value, out);
    }
    out.push('}');
}

/// A list, each item as `write` writes it.
pub fn write_list<T>(items: &[T], out: &mut String, mut write: impl FnMut(&T, &mut String)) {
    out.push('[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write(item, out);
    }
    out.push(']');
}

fn write_point(t: i64, out: &mut String, value: impl FnOnce(&mut String)) {
    out.push('[');
    write_time(t, out);
    out.push(',');
    value(out);
    out.push(']');
}

/// A time in seconds.
pub fn write_time(t: i64, out: &mut String) {
    if t < 0 {
        out.push('-');
    }
    let millis = t.unsigned_abs();
    let _ = write!(out, "{}", millis / 1000);
    if !millis.is_multiple_of(1000) {
        let _ = write!(out, ".{:03}", millis % 1000);
    }
}

/// A number as a text.
pub fn write_number(v: f64, out: &mut String) {
    let size = v.abs();
    let exponent = size != 0.0 && !(1e-6..1e21).contains(&size);
    let text = if exponent { format_scientific(v) } else { format_plain(v) };
    let _ = write!(out, "\"{text}\"");
}

/// A native histogram: its count, its sum and its buckets, each with which of its bounds belong to it.
pub fn write_histogram(h: &FloatHistogram, out: &mut String) {
    out.push_str("{\"count\":");
    write_number(h.count, out);
    out.push_str(",\"sum\":");
    write_number(h.sum, out);
    let buckets: Vec<_> = h.all_buckets().into_iter().filter(|b| b.count != 0.0).collect();
    if !buckets.is_empty() {
        out.push_str(",\"buckets\":");
        write_list(&buckets, out, |bucket, out| {
            let ends = match (bucket.lower_inclusive, bucket.upper_inclusive) {
                (false, true) => 0,
                (true, false) => 1,
                (false, false) => 2,
                (true, true) => 3,
            };
            let _ = write!(out, "[{ends}");
            for v in [bucket.lower, bucket.upper, bucket.count] {
                out.push(',');
                write_number(v, out);
            }
            out.push(']');
        });
    }
    out.push('}');
}

/// A text in quotes.
pub fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use super::*;
    use crate::histogram::Bucket;
    use crate::memory::MemorySource;
    use crate::query::{Options, instant, range};
    use crate::value::{FloatPoint, VectorSample};

    fn data(value: Value) -> String {
        let mut out = String::new();
        write_value(&value, &mut out);
        out
    }

    #[test]
    fn numbers_have_as_few_digits_as_they_need() {
        let text = |v: f64| {
            let mut out = String::new();
            write_number(v, &mut out);
            out
        };
        assert_eq!(text(1.0), "\"1\"");
        assert_eq!(text(0.1 + 0.2), "\"0.30000000000000004\"");
        assert_eq!(text(1e20), "\"100000000000000000000\"");
        assert_eq!(text(1e21), "\"1e+21\"");
        assert_eq!(text(-1.5e-7), "\"-1.5e-07\"");
        assert_eq!(text(1e-6), "\"0.000001\"");
        assert_eq!(text(-0.0), "\"-0\"");
        assert_eq!(text(f64::NAN), "\"NaN\"");
        assert_eq!(text(f64::NEG_INFINITY), "\"-Inf\"");
    }

    #[test]
    fn every_kind_of_result_has_its_shape() {
        let at = |t: i64, v: f64| FloatPoint { t, v };
        assert_eq!(
            data(Value::Scalar(at(1_435_781_451_781, 1.5))),
            r#"{"resultType":"scalar","result":[1435781451.781,"1.5"]}"#
        );
        assert_eq!(
            data(Value::String(-1, "a\"\u{1}\n".into())),
            r#"{"resultType":"string","result":[-0.001,"a\"\u0001\n"]}"#
        );
        let histogram = FloatHistogram {
            count: 7.0,
            sum: 2.5,
            zero_count: 1.0,
            zero_threshold: 0.25,
            positive: vec![Bucket { index: 1, count: 2.0 }, Bucket { index: 2, count: 0.0 }],
            negative: vec![Bucket { index: 0, count: 4.0 }],
            ..FloatHistogram::default()
        };
        let sample = VectorSample {
            labels: Labels::new([("__name__", "h"), ("a", "b")]),
            value: Sample::Histogram(Arc::new(histogram.clone())),
        };
        assert_eq!(
            data(Value::Vector(1000, vec![sample])),
            concat!(
                r#"{"resultType":"vector","result":[{"metric":{"__name__":"h","a":"b"},"histogram":[1,"#,
                r#"{"count":"7","sum":"2.5","buckets":[[1,"-1","-0.5","4"],[3,"-0.25","0.25","1"],[0,"1","2","2"]]}]}]}"#
            )
        );
        let empty = FloatHistogram::default();
        let series = Series {
            floats: vec![at(1000, 1.0), at(1500, 2.0)],
            histograms: vec![crate::value::HistogramPoint { t: 2010, h: Arc::new(empty) }],
            ..Series::default()
        };
        assert_eq!(
            data(Value::Matrix(vec![series])),
            concat!(
                r#"{"resultType":"matrix","result":[{"metric":{},"values":[[1,"1"],[1.500,"2"]],"#,
                r#""histograms":[[2.010,{"count":"0","sum":"0"}]]}]}"#
            )
        );
    }

    #[test]
    fn annotations_go_along_and_failures_say_their_kind() {
        let source = MemorySource::default();
        let query = "quantile(2, x)";
        let answer = range(&source, query, 0, 0, 1000, &Options::default()).unwrap();
        assert_eq!(
            success(
                &data(answer.value),
                &answer.annotations.warnings(query),
                &answer.annotations.infos(query)
            ),
            concat!(
                r#"{"status":"success","data":{"resultType":"matrix","result":[]},"#,
                r#""warnings":["PromQL warning: quantile value should be between 0 and 1, got 2 (1:10)"]}"#
            )
        );
        let error = instant(&source, "x[", 0, &Options::default()).unwrap_err();
        assert_eq!(error.kind().status(), 400);
        assert_eq!(
            failure(error.kind(), &error.message()),
            concat!(
                r#"{"status":"error","errorType":"bad_data","#,
                r#""error":"invalid parameter \"query\": 1:3: parse error: unexpected end of input in duration expression"}"#
            )
        );
        assert_eq!(success("1", &[], &[]), r#"{"status":"success","data":1}"#);
    }
}
