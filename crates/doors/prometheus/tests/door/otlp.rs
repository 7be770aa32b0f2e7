//! OpenTelemetry's metrics.

use prost::{Message, Oneof};
use serde_json::{Value as Json, json};

use crate::http::{Client, Response, Server, escaped};

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<ResourceMetrics>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceMetrics {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<Scope>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(message, repeated, tag = "2")]
    metrics: Vec<Metric>,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "Any", tags = "1, 2, 3, 4, 5")]
    value: Option<Any>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Any {
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
struct List {
    #[prost(message, repeated, tag = "1")]
    values: Vec<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    description: String,
    #[prost(string, tag = "3")]
    unit: String,
    #[prost(message, optional, tag = "5")]
    gauge: Option<Numbers>,
    #[prost(message, optional, tag = "7")]
    sum: Option<Numbers>,
    #[prost(message, optional, tag = "9")]
    histogram: Option<Histograms>,
    #[prost(message, optional, tag = "10")]
    exponential: Option<Exponentials>,
    #[prost(message, optional, tag = "11")]
    summary: Option<Summaries>,
}

#[derive(Clone, PartialEq, Message)]
struct Numbers {
    #[prost(message, repeated, tag = "1")]
    points: Vec<Number>,
    #[prost(int32, tag = "2")]
    temporality: i32,
    #[prost(bool, tag = "3")]
    monotonic: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Number {
    #[prost(fixed64, tag = "2")]
    start: u64,
    #[prost(fixed64, tag = "3")]
    time: u64,
    #[prost(double, optional, tag = "4")]
    double: Option<f64>,
    #[prost(message, repeated, tag = "5")]
    exemplars: Vec<Exemplar>,
    #[prost(sfixed64, optional, tag = "6")]
    int: Option<i64>,
    #[prost(message, repeated, tag = "7")]
    attributes: Vec<KeyValue>,
    #[prost(uint32, tag = "8")]
    flags: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Exemplar {
    #[prost(fixed64, tag = "2")]
    time: u64,
    #[prost(double, tag = "3")]
    value: f64,
    #[prost(bytes = "vec", tag = "5")]
    trace: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Histograms {
    #[prost(message, repeated, tag = "1")]
    points: Vec<Histogram>,
    #[prost(int32, tag = "2")]
    temporality: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Histogram {
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
struct Exponentials {
    #[prost(message, repeated, tag = "1")]
    points: Vec<Exponential>,
    #[prost(int32, tag = "2")]
    temporality: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Exponential {
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
struct Buckets {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint64, repeated, tag = "2")]
    counts: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct Summaries {
    #[prost(message, repeated, tag = "1")]
    points: Vec<Summary>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
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
struct Quantile {
    #[prost(double, tag = "1")]
    quantile: f64,
    #[prost(double, tag = "2")]
    value: f64,
}

#[derive(Clone, PartialEq, Message)]
struct Answer {
    #[prost(message, optional, tag = "1")]
    partial: Option<Partial>,
}

#[derive(Clone, PartialEq, Message)]
struct Partial {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    message: String,
}

const TIME: u64 = 1_000_000_000_000;

fn attribute(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }) }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Any::Text(value.into()))
}

fn request(metrics: Vec<Metric>) -> Request {
    let attributes = vec![
        text("service.name", "shop"),
        text("service.namespace", "eu"),
        text("service.instance.id", "i-1"),
        text("host.name", "h"),
    ];
    let scopes = vec![Scope { metrics }];
    Request { resources: vec![ResourceMetrics { resource: Some(Resource { attributes }), scopes }] }
}

fn number(value: f64) -> Number {
    Number { start: TIME / 2, time: TIME, double: Some(value), ..Number::default() }
}

fn numbers(points: Vec<Number>, temporality: i32) -> Option<Numbers> {
    Some(Numbers { points, temporality, monotonic: true })
}

fn send(client: &mut Client, request: &Request) -> Response {
    client.send(
        "POST",
        "/api/v1/otlp/v1/metrics",
        &[("content-type", "application/x-protobuf")],
        &request.encode_to_vec(),
    )
}

fn value(client: &mut Client, query: &str) -> Json {
    client.get(&format!("/api/v1/query?query={}&time=1000", escaped(query))).data()["result"].clone()
}

#[test]
fn every_kind_of_metric_becomes_the_series_that_prometheus_makes_of_it() {
    let server = Server::new();
    let mut client = server.client();
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
    let answer = send(&mut client, &request(metrics));
    assert_eq!((answer.status, answer.body.len()), (200, 0), "{}", String::from_utf8_lossy(&answer.body));
    assert_eq!(
        value(&mut client, "http_requests_total"),
        json!([{"metric": {
            "__name__": "http_requests_total", "job": "eu/shop", "instance": "i-1", "http_method": "GET", "ok": "true",
            "n": "-3", "d": "0.5", "l": "[1,\"x\"]",
        }, "value": [1000, "5"]}])
    );
    assert_eq!(value(&mut client, "start_timestamp(http_requests_total)")[0]["value"][1], "500");
    assert_eq!(value(&mut client, "temperature_celsius")[0]["value"][1], "-7");
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
        assert_eq!(value(&mut client, query)[0]["value"][1], expected, "{query}");
    }
    let buckets = value(&mut client, "size_bytes")[0]["histogram"][1]["buckets"].clone();
    let counts: Vec<&str> =
        buckets.as_array().unwrap().iter().map(|bucket| bucket[3].as_str().unwrap()).collect();
    assert_eq!(counts, ["1", "1", "5", "4"], "{buckets}");
    let bound: f64 = buckets[1][2].as_str().unwrap().parse().unwrap();
    assert!((bound - 1.0).abs() < 1e-12, "{buckets}");
    let exemplars = client.get("/api/v1/query_exemplars?query=http_requests_total").data();
    assert_eq!(exemplars[0]["exemplars"][0]["labels"], json!({"trace_id": "abcd"}));
    let metadata = client.get("/api/v1/metadata?metric=http_requests_total").data();
    assert_eq!(metadata["http_requests_total"][0]["help"], "How many.");
}

#[test]
fn what_can_not_be_stored_is_counted_and_the_rest_is_stored() {
    let server = Server::new();
    let mut client = server.client();
    let sum = |name: &str, temporality| Metric {
        name: name.into(),
        sum: numbers(vec![number(1.0), Number { time: 2 * TIME, ..number(2.0) }], temporality),
        ..Metric::default()
    };
    let answer = send(&mut client, &request(vec![sum("good", 2), sum("changes", 1)]));
    assert_eq!(answer.status, 200);
    let partial = Answer::decode(&answer.body[..]).unwrap().partial.unwrap();
    assert_eq!(partial.rejected, 2);
    assert!(partial.message.contains("temporality other than cumulative"), "{}", partial.message);
    assert_eq!(value(&mut client, "good_total")[0]["value"][1], "1");
}

#[test]
fn bodies_that_are_no_metrics_are_refused() {
    let server = Server::new();
    let mut client = server.client();
    let path = "/api/v1/otlp/v1/metrics";
    let kind = ("content-type", "application/x-protobuf");
    assert_eq!(client.send("POST", path, &[("content-type", "application/json")], b"{}").status, 415);
    assert_eq!(client.send("POST", path, &[kind, ("content-encoding", "br")], b"").status, 415);
    let damaged = client.send("POST", path, &[kind], b"\x0a\xff");
    assert_eq!(damaged.status, 400);
    assert!(String::from_utf8_lossy(&damaged.body).contains("no ExportMetricsServiceRequest"));
    assert_eq!(client.send("POST", path, &[kind, ("content-encoding", "gzip")], b"x").status, 400);
    let good =
        request(vec![Metric { name: "m".into(), gauge: numbers(vec![number(1.0)], 0), ..Metric::default() }]);
    let bytes = good.encode_to_vec();
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = bytes.clone();
            bytes[at] ^= flip;
            let answer = client.send("POST", path, &[kind], &bytes);
            assert!(matches!(answer.status, 200 | 400), "{}", answer.status);
        }
    }
    assert_eq!(client.get("/api/v1/query?query=1").status, 200);
}
