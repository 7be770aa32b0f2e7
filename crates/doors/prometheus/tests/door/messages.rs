//! Messages of remote write and read, as another library writes and reads them.

use luma_promql::{Bucket, FloatHistogram, Labels, ResetHint, Sample};
use prost::Message;

use crate::http::{Client, Response};

#[derive(Clone, PartialEq, Message)]
pub struct Label {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct Point {
    #[prost(double, tag = "1")]
    pub value: f64,
    #[prost(int64, tag = "2")]
    pub t: i64,
    #[prost(int64, tag = "3")]
    pub start: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct ExemplarV1 {
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    #[prost(double, tag = "2")]
    pub value: f64,
    #[prost(int64, tag = "3")]
    pub t: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct Span {
    #[prost(sint32, tag = "1")]
    pub offset: i32,
    #[prost(uint32, tag = "2")]
    pub length: u32,
}

#[derive(Clone, PartialEq, Message)]
pub struct Histogram {
    #[prost(uint64, optional, tag = "1")]
    pub count_int: Option<u64>,
    #[prost(double, optional, tag = "2")]
    pub count_float: Option<f64>,
    #[prost(double, tag = "3")]
    pub sum: f64,
    #[prost(sint32, tag = "4")]
    pub schema: i32,
    #[prost(double, tag = "5")]
    pub zero_threshold: f64,
    #[prost(uint64, optional, tag = "6")]
    pub zero_count_int: Option<u64>,
    #[prost(double, optional, tag = "7")]
    pub zero_count_float: Option<f64>,
    #[prost(message, repeated, tag = "8")]
    pub negative_spans: Vec<Span>,
    #[prost(sint64, repeated, tag = "9")]
    pub negative_deltas: Vec<i64>,
    #[prost(double, repeated, tag = "10")]
    pub negative_counts: Vec<f64>,
    #[prost(message, repeated, tag = "11")]
    pub positive_spans: Vec<Span>,
    #[prost(sint64, repeated, tag = "12")]
    pub positive_deltas: Vec<i64>,
    #[prost(double, repeated, tag = "13")]
    pub positive_counts: Vec<f64>,
    #[prost(int32, tag = "14")]
    pub reset_hint: i32,
    #[prost(int64, tag = "15")]
    pub t: i64,
    #[prost(double, repeated, tag = "16")]
    pub custom_values: Vec<f64>,
    #[prost(int64, tag = "17")]
    pub start: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct Series {
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Point>,
    #[prost(message, repeated, tag = "3")]
    pub exemplars: Vec<ExemplarV1>,
    #[prost(message, repeated, tag = "4")]
    pub histograms: Vec<Histogram>,
}

#[derive(Clone, PartialEq, Message)]
pub struct MetadataV1 {
    #[prost(int32, tag = "1")]
    pub kind: i32,
    #[prost(string, tag = "2")]
    pub family: String,
    #[prost(string, tag = "4")]
    pub help: String,
    #[prost(string, tag = "5")]
    pub unit: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    pub series: Vec<Series>,
    #[prost(message, repeated, tag = "3")]
    pub metadata: Vec<MetadataV1>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ExemplarV2 {
    #[prost(uint32, repeated, tag = "1")]
    pub labels: Vec<u32>,
    #[prost(double, tag = "2")]
    pub value: f64,
    #[prost(int64, tag = "3")]
    pub t: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct MetadataV2 {
    #[prost(int32, tag = "1")]
    pub kind: i32,
    #[prost(uint32, tag = "3")]
    pub help: u32,
    #[prost(uint32, tag = "4")]
    pub unit: u32,
}

#[derive(Clone, PartialEq, Message)]
pub struct SeriesV2 {
    #[prost(uint32, repeated, tag = "1")]
    pub labels: Vec<u32>,
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Point>,
    #[prost(message, repeated, tag = "3")]
    pub histograms: Vec<Histogram>,
    #[prost(message, repeated, tag = "4")]
    pub exemplars: Vec<ExemplarV2>,
    #[prost(message, optional, tag = "5")]
    pub metadata: Option<MetadataV2>,
    #[prost(int64, tag = "6")]
    pub created: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct WriteRequestV2 {
    #[prost(string, repeated, tag = "4")]
    pub symbols: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    pub series: Vec<SeriesV2>,
}

impl WriteRequestV2 {
    pub fn new() -> Self {
        Self { symbols: vec![String::new()], series: Vec::new() }
    }

    pub fn symbol(&mut self, text: &str) -> u32 {
        let known = self.symbols.iter().position(|symbol| symbol == text);
        let at = known.unwrap_or_else(|| {
            self.symbols.push(text.to_owned());
            self.symbols.len() - 1
        });
        u32::try_from(at).unwrap()
    }

    /// A new series of these labels.
    pub fn series(&mut self, labels: &Labels) -> &mut SeriesV2 {
        let labels =
            labels.iter().flat_map(|(name, value)| [name, value]).map(|text| self.symbol(text)).collect();
        self.series.push(SeriesV2 { labels, ..SeriesV2::default() });
        self.series.last_mut().unwrap()
    }

    pub fn sample(&mut self, labels: &Labels, t: i64, start: i64, sample: Sample) {
        let series = self.series(labels);
        match sample {
            Sample::Float(value) => series.samples.push(Point { value, t, start }),
            Sample::Histogram(h) => series.histograms.push(Histogram { t, start, ..histogram(&h) }),
        }
    }
}

/// A histogram as one of fractional counts.
pub fn histogram(h: &FloatHistogram) -> Histogram {
    let spans = |buckets: &[Bucket]| {
        let mut next = 0;
        let spans = buckets.iter().map(|bucket| {
            let span = Span { offset: bucket.index - next, length: 1 };
            next = bucket.index + 1;
            span
        });
        spans.collect()
    };
    let counts = |buckets: &[Bucket]| buckets.iter().map(|bucket| bucket.count).collect();
    Histogram {
        count_float: Some(h.count),
        sum: h.sum,
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        zero_count_float: Some(h.zero_count),
        negative_spans: spans(&h.negative),
        negative_counts: counts(&h.negative),
        positive_spans: spans(&h.positive),
        positive_counts: counts(&h.positive),
        reset_hint: match h.hint {
            ResetHint::Unknown => 0,
            ResetHint::Reset => 1,
            ResetHint::NotReset => 2,
            ResetHint::Gauge => 3,
        },
        custom_values: h.custom_bounds.to_vec(),
        ..Histogram::default()
    }
}

/// A series of remote write 1.0.
pub fn series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> Series {
    Series {
        labels: labels
            .iter()
            .map(|(name, value)| Label { name: (*name).into(), value: (*value).into() })
            .collect(),
        samples: samples.iter().map(|(t, value)| Point { value: *value, t: *t, start: 0 }).collect(),
        ..Series::default()
    }
}

pub fn packed(message: &impl Message) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(&message.encode_to_vec()).unwrap()
}

impl Client {
    pub fn write(&mut self, request: &WriteRequest) -> Response {
        let headers = [("content-type", "application/x-protobuf"), ("content-encoding", "snappy")];
        self.send("POST", "/api/v1/write", &headers, &packed(request))
    }

    pub fn write_2(&mut self, request: &WriteRequestV2) -> Response {
        let kind = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
        let headers = [("content-type", kind), ("content-encoding", "snappy")];
        self.send("POST", "/api/v1/write", &headers, &packed(request))
    }
}
