//! OpenTelemetry's metrics.

use prost::{Message, Oneof};
use serde_json::{Value as Json, json};

use luma_intake::OtlpOptions;
use luma_promql::Matcher;
use luma_vfs::SimDisk;

use crate::server::{Server, timeless};

#[derive(Clone, PartialEq, Message)]
pub struct Request {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<ResourceMetrics>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ResourceMetrics {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<Scope>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Scope {
    #[prost(message, optional, tag = "1")]
    library: Option<ScopeNames>,
    #[prost(message, repeated, tag = "2")]
    metrics: Vec<Metric>,
    #[prost(string, tag = "3")]
    schema: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct ScopeNames {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
    #[prost(message, repeated, tag = "3")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub struct AnyValue {
    #[prost(oneof = "Any", tags = "1, 2, 3, 4, 5")]
    value: Option<Any>,
}

#[derive(Clone, PartialEq, Oneof)]
pub enum Any {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(int64, tag = "3")]
    Int(i64),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(message, tag = "5")]
    List(List),
}

#[derive(Clone, PartialEq, Message)]
pub struct List {
    #[prost(message, repeated, tag = "1")]
    values: Vec<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Metric {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub description: String,
    #[prost(string, tag = "3")]
    pub unit: String,
    #[prost(message, optional, tag = "5")]
    pub gauge: Option<Numbers>,
    #[prost(message, optional, tag = "7")]
    pub sum: Option<Numbers>,
    #[prost(message, optional, tag = "9")]
    pub histogram: Option<Histograms>,
    #[prost(message, optional, tag = "10")]
    pub exponential: Option<Exponentials>,
    #[prost(message, optional, tag = "11")]
    pub summary: Option<Summaries>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Numbers {
    #[prost(message, repeated, tag = "1")]
    points: Vec<Number>,
    #[prost(int32, tag = "2")]
    temporality: i32,
    #[prost(bool, tag = "3")]
    monotonic: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct Number {
    #[prost(fixed64, tag = "2")]
    pub start: u64,
    #[prost(fixed64, tag = "3")]
    pub time: u64,
    #[prost(double, optional, tag = "4")]
    pub double: Option<f64>,
    #[prost(message, repeated, tag = "5")]
    pub exemplars: Vec<Exemplar>,
    #[prost(sfixed64, optional, tag = "6")]
    pub int: Option<i64>,
    #[prost(message, repeated, tag = "7")]
    pub attributes: Vec<KeyValue>,
    #[prost(uint32, tag = "8")]
    pub flags: u32,
}

#[derive(Clone, PartialEq, Message)]
pub struct Exemplar {
    #[prost(fixed64, tag = "2")]
    time: u64,
    #[prost(double, tag = "3")]
    value: f64,
    #[prost(bytes = "vec", tag = "5")]
    trace: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Histograms {
    #[prost(message, repeated, tag = "1")]
    points: Vec<Histogram>,
    #[prost(int32, tag = "2")]
    temporality: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct Histogram {
    #[prost(fixed64, tag = "3")]
    time: u64,
    #[prost(fixed64, tag = "4")]
    count: u64,
    #[prost(double, optional, tag = "5")]
    sum: Option<f64>,
    #[prost(fixed64, repeated, tag = "6")]
    buckets: Vec<u64>,
    #[prost(double, repeated, tag = "7")]
    bounds: Vec<f64>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Exponentials {
    #[prost(message, repeated, tag = "1")]
    points: Vec<Exponential>,
    #[prost(int32, tag = "2")]
    temporality: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct Exponential {
    #[prost(fixed64, tag = "3")]
    time: u64,
    #[prost(fixed64, tag = "4")]
    count: u64,
    #[prost(double, optional, tag = "5")]
    sum: Option<f64>,
    #[prost(sint32, tag = "6")]
    scale: i32,
    #[prost(fixed64, tag = "7")]
    zero: u64,
    #[prost(message, optional, tag = "8")]
    positive: Option<Buckets>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Buckets {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint64, repeated, tag = "2")]
    counts: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Summaries {
    #[prost(message, repeated, tag = "1")]
    points: Vec<Summary>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Summary {
    #[prost(fixed64, tag = "3")]
    time: u64,
    #[prost(fixed64, tag = "4")]
    count: u64,
    #[prost(double, tag = "5")]
    sum: f64,
    #[prost(message, repeated, tag = "6")]
    quantiles: Vec<Quantile>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct Quantile {
    #[prost(double, tag = "1")]
    quantile: f64,
    #[prost(double, tag = "2")]
    value: f64,
}

#[derive(Clone, PartialEq, Message)]
pub struct Answer {
    #[prost(message, optional, tag = "1")]
    pub partial: Option<Partial>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Partial {
    #[prost(int64, tag = "1")]
    pub rejected: i64,
    #[prost(string, tag = "2")]
    pub message: String,
}

pub const TIME: u64 = 1_000_000_000_000;

fn attribute(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }) }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Any::Text(value.into()))
}

pub fn request(metrics: Vec<Metric>) -> Request {
    let attributes = vec![
        text("service.name", "shop"),
        text("service.namespace", "eu"),
        text("service.instance.id", "i-1"),
        text("host.name", "h"),
    ];
    let scopes = vec![Scope { metrics, ..Scope::default() }];
    Request { resources: vec![ResourceMetrics { resource: Some(Resource { attributes }), scopes }] }
}

fn number(value: f64) -> Number {
    Number { start: TIME / 2, time: TIME, double: Some(value), ..Number::default() }
}

pub fn numbers(points: Vec<Number>, temporality: i32) -> Option<Numbers> {
    Some(Numbers { points, temporality, monotonic: true })
}

pub fn send(server: &Server, request: &Request) -> (u16, Vec<u8>) {
    let kind = ("content-type", "application/x-protobuf");
    server.send("/v1/metrics", &[kind], &request.encode_to_vec())
}

fn value(server: &Server, query: &str) -> Json {
    server.query(query, 1_000_000)
}

#[test]
fn every_kind_of_metric_becomes_the_series_that_prometheus_makes_of_it() {
    let server = Server::new();
    let mut counted = number(5.0);
    counted.attributes = vec![
        text("http.method", "GET"),
        attribute("ok", Any::Bool(true)),
        attribute("n", Any::Int(-3)),
        attribute("d", Any::Double(0.5)),
        attribute(
            "l",
            Any::List(List {
                values: vec![
                    AnyValue { value: Some(Any::Int(1)) },
                    AnyValue { value: Some(Any::Text("x".into())) },
                ],
            }),
        ),
    ];
    counted.exemplars = vec![Exemplar { time: TIME, value: 1.0, trace: vec![0xab, 0xcd] }];
    let whole = Number { double: None, int: Some(-7), ..number(0.0) };
    let metrics = vec![
        Metric {
            name: "http.requests".into(),
            description: "How many.".into(),
            unit: "{request}".into(),
            sum: numbers(vec![counted], 2),
            ..Metric::default()
        },
        Metric {
            name: "temperature".into(),
            unit: "Cel".into(),
            gauge: numbers(vec![whole], 0),
            ..Metric::default()
        },
        Metric {
            name: "latency".into(),
            unit: "s".into(),
            histogram: Some(Histograms {
                points: vec![Histogram {
                    time: TIME,
                    count: 6,
                    sum: Some(4.5),
                    buckets: vec![1, 2, 3],
                    bounds: vec![0.5, 1.0],
                }],
                temporality: 2,
            }),
            ..Metric::default()
        },
        Metric {
            name: "size".into(),
            unit: "By".into(),
            exponential: Some(Exponentials {
                points: vec![Exponential {
                    time: TIME,
                    count: 11,
                    sum: Some(100.0),
                    // One more than there is: pairs of buckets become one.
                    scale: 9,
                    zero: 1,
                    positive: Some(Buckets { offset: -1, counts: vec![1, 2, 3, 4] }),
                }],
                temporality: 2,
            }),
            ..Metric::default()
        },
        Metric {
            name: "wait".into(),
            summary: Some(Summaries {
                points: vec![Summary {
                    time: TIME,
                    count: 3,
                    sum: 1.5,
                    quantiles: vec![Quantile { quantile: 0.9, value: 0.7 }],
                }],
            }),
            ..Metric::default()
        },
    ];
    let (status, body) = send(&server, &request(metrics));
    assert_eq!((status, body.len()), (200, 0), "{}", String::from_utf8_lossy(&body));
    assert_eq!(
        value(&server, "http_requests_total"),
        json!([{"metric": {
            "__name__": "http_requests_total", "job": "eu/shop", "instance": "i-1", "http_method": "GET", "ok": "true",
            "n": "-3", "d": "0.5", "l": "[1,\"x\"]",
        }, "value": [1000, "5"]}])
    );
    assert_eq!(value(&server, "start_timestamp(http_requests_total)")[0]["value"][1], "500");
    assert_eq!(value(&server, "temperature_celsius")[0]["value"][1], "-7");
    for (query, expected) in [
        ("latency_seconds_bucket{le=\"0.5\"}", "1"),
        ("latency_seconds_bucket{le=\"1\"}", "3"),
        ("latency_seconds_bucket{le=\"+Inf\"}", "6"),
        ("latency_seconds_count", "6"),
        ("latency_seconds_sum", "4.5"),
        ("histogram_count(size_bytes)", "11"),
        ("histogram_sum(size_bytes)", "100"),
        ("wait_sum", "1.5"),
        ("wait{quantile=\"0.9\"}", "0.7"),
        ("target_info{host_name=\"h\",job=\"eu/shop\"}", "1"),
    ] {
        assert_eq!(value(&server, query)[0]["value"][1], expected, "{query}");
    }
    let buckets = value(&server, "size_bytes")[0]["histogram"][1]["buckets"].clone();
    let counts: Vec<&str> =
        buckets.as_array().unwrap().iter().map(|bucket| bucket[3].as_str().unwrap()).collect();
    assert_eq!(counts, ["1", "1", "5", "4"], "{buckets}");
    let bound: f64 = buckets[1][2].as_str().unwrap().parse().unwrap();
    assert!((bound - 1.0).abs() < 1e-12, "{buckets}");
    let exemplars =
        server.store.exemplars(&[Matcher::equal("__name__", "http_requests_total")], 0, i64::MAX).unwrap();
    assert_eq!(exemplars[0].1[0].labels.get("trace_id"), "abcd");
    assert_eq!(server.store.metadata()["http_requests_total"].help, "How many.");
}

#[test]
fn scopes_and_promoted_attributes_are_labels_if_that_is_wanted() {
    let gauge = || Metric { name: "m".into(), gauge: numbers(vec![number(1.0)], 0), ..Metric::default() };
    let mut message = request(vec![gauge()]);
    let scope = &mut message.resources[0].scopes[0];
    scope.library = Some(ScopeNames {
        name: "lib".into(),
        version: "1".into(),
        attributes: vec![text("team", "red"), text("name", "hidden")],
    });
    scope.schema = "https://schemas.example/1".into();
    let labels = |options: OtlpOptions| {
        let server = Server::on(&SimDisk::new(), timeless(), options);
        assert_eq!(send(&server, &message).0, 200);
        value(&server, "m")[0]["metric"].clone()
    };
    let own = json!({"__name__": "m", "job": "eu/shop", "instance": "i-1"});
    let with = |more: Json| {
        let mut all = own.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    assert_eq!(
        labels(OtlpOptions::default()),
        with(json!({"otel_scope_name": "lib", "otel_scope_version": "1", "otel_scope_team": "red",
            "otel_scope_schema_url": "https://schemas.example/1"}))
    );
    let promoted = vec!["host.name".to_owned(), "none".to_owned()];
    assert_eq!(labels(OtlpOptions { scope_labels: false, promoted }), with(json!({"host_name": "h"})));
}

#[test]
fn what_can_not_be_stored_is_counted_and_the_rest_is_stored() {
    let server = Server::new();
    let sum = |name: &str, temporality| Metric {
        name: name.into(),
        sum: numbers(vec![number(1.0), Number { time: 2 * TIME, ..number(2.0) }], temporality),
        ..Metric::default()
    };
    let (status, body) = send(&server, &request(vec![sum("good", 2), sum("neither", 0)]));
    assert_eq!(status, 200);
    let partial = Answer::decode(&body[..]).unwrap().partial.unwrap();
    assert_eq!(partial.rejected, 2);
    assert!(partial.message.contains("temporality 0"), "{}", partial.message);
    assert_eq!(value(&server, "good_total")[0]["value"][1], "1");
    // A point without a time is no sample of 1970.
    let timeless = Metric {
        name: "timeless".into(),
        gauge: numbers(vec![Number { time: 0, ..number(2.0) }], 0),
        ..Metric::default()
    };
    let (status, body) = send(&server, &request(vec![timeless, sum("better", 2)]));
    let partial = Answer::decode(&body[..]).unwrap().partial.unwrap();
    assert_eq!((status, partial.rejected), (200, 1));
    assert!(partial.message.contains("\"timeless\" has a point without a time"), "{}", partial.message);
    assert_eq!(value(&server, "better_total")[0]["value"][1], "1");
}

#[test]
fn bodies_that_are_no_metrics_are_refused() {
    let server = Server::new();
    let path = "/v1/metrics";
    let kind = ("content-type", "application/x-protobuf");
    let json = ("content-type", "application/json");
    assert_eq!(server.send(path, &[("content-type", "text/plain")], b"{}").0, 415);
    assert_eq!(server.send(path, &[kind, ("content-encoding", "br")], b"").0, 415);
    assert_eq!(server.send("/v1/traces", &[kind], b"").0, 404);
    let (status, damaged) = server.send(path, &[kind], b"\x0a\xff");
    assert_eq!(status, 400);
    assert!(String::from_utf8_lossy(&damaged).contains("no ExportMetricsServiceRequest"));
    let (status, damaged) = server.send(path, &[json], b"{\"resourceMetrics\": 7}");
    assert_eq!(status, 400);
    let damaged: Json = serde_json::from_slice(&damaged).unwrap();
    assert_eq!(damaged["code"], 3);
    assert!(damaged["message"].as_str().unwrap().contains("resourceMetrics"), "{damaged}");
    for encoding in ["gzip", "zstd"] {
        assert_eq!(server.send(path, &[kind, ("content-encoding", encoding)], b"x").0, 400);
    }
    let good =
        request(vec![Metric { name: "m".into(), gauge: numbers(vec![number(1.0)], 0), ..Metric::default() }]);
    let bytes = good.encode_to_vec();
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = bytes.clone();
            bytes[at] ^= flip;
            let (status, _) = server.send(path, &[kind], &bytes);
            assert!(matches!(status, 200 | 400), "{status}");
        }
    }
    // Another one: some of the damaged messages were good ones of the far future.
    let server = Server::new();
    let packed = zstd::encode_all(&bytes[..], 3).unwrap();
    assert_eq!(server.send(path, &[kind, ("content-encoding", "zstd")], &packed), (200, Vec::new()));
    assert_eq!(value(&server, "m{job=\"eu/shop\"}")[0]["value"][1], "1");
}

#[test]
fn answers_have_the_form_of_their_requests() {
    let server = Server::new();
    let json = ("content-type", "application/json");
    assert_eq!(server.send("/v1/metrics", &[json], b"{}"), (200, b"{}".to_vec()));
    let text = br#"{"resourceMetrics": [{"scopeMetrics": [{"metrics": [
        {"name": "a", "sum": {"dataPoints": [{"timeUnixNano": "5"}, {"timeUnixNano": "6"}]}}]}]}]}"#;
    let (status, body) = server.send("/v1/metrics", &[json], text);
    let body: Json = serde_json::from_slice(&body).unwrap();
    assert_eq!(status, 200);
    assert_eq!(body["partialSuccess"]["rejectedDataPoints"], "2");
}
