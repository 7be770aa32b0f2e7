//! Remote write, and what is refused of it.

use std::sync::Arc;

use luma_door_prometheus::DoorOptions;
use luma_promql::{Bucket, FloatHistogram, Labels, Sample};
use luma_telemetry::MetricsOptions;
use luma_vfs::SimDisk;
use prost::Message;
use serde_json::json;

use crate::http::{Client, Server, store, timeless};
use crate::messages::{
    ExemplarV1, ExemplarV2, Histogram, Label, MetadataV2, Point, Series, Span, WriteRequest, WriteRequestV2,
    packed, series,
};

fn of(series: Vec<Series>) -> WriteRequest {
    WriteRequest { series, metadata: Vec::new() }
}

fn strict() -> Server {
    let options =
        MetricsOptions { out_of_order_window_ms: 60_000, series_max: 5, ..MetricsOptions::default() };
    Server::with(store(&SimDisk::new(), options), timeless())
}

/// The value of a query at a time in seconds.
fn value(client: &mut Client, query: &str, time: i64) -> serde_json::Value {
    let query = crate::http::escaped(query);
    client.get(&format!("/api/v1/query?query={query}&time={time}")).data()["result"].clone()
}

#[test]
fn a_series_is_told_by_all_of_its_labels_wherever_they_stand() {
    let server = strict();
    let mut client = server.client();
    let part = |labels: &[(&str, &str)], samples: &[(i64, f64)]| series(labels, samples).encode_to_vec();
    // The same labels at the front, and others, long ones and none behind the samples.
    let long = "x".repeat(200);
    let bodies = |t: i64| {
        [("a", "1"), ("b", long.as_str()), ("", "")].map(|(name, value)| {
            let behind: &[(&str, &str)] = if name.is_empty() { &[] } else { &[(name, value)] };
            [part(&[("__name__", "m")], &[(t, t as f64)]), part(behind, &[])].concat()
        })
    };
    for t in [1_000_000, 1_010_000] {
        for body in bodies(t) {
            let mut message = vec![0x0a];
            prost::encoding::encode_varint(body.len() as u64, &mut message);
            message.extend(body);
            let headers = [("content-type", "application/x-protobuf"), ("content-encoding", "snappy")];
            let body = snap::raw::Encoder::new().compress_vec(&message).unwrap();
            assert_eq!(client.send("POST", "/api/v1/write", &headers, &body).status, 204);
        }
    }
    assert_eq!(server.store.series_len(), 3);
    assert_eq!(
        value(&mut client, "count(count_over_time(m[1m]) == 2)", 1_010),
        json!([{"metric": {}, "value": [1_010, "3"]}])
    );
}

#[test]
fn the_good_part_of_a_request_is_kept_and_the_first_bad_one_is_named() {
    let server = strict();
    let mut client = server.client();
    let m = |value| series(&[("__name__", "m")], &[(1_000_000, value)]);
    assert_eq!(client.write(&of(vec![m(1.0)])).status, 204);
    assert_eq!(client.write(&of(vec![m(1.0)])).status, 204, "the same sample again is no error");
    for (bad, what) in [
        (
            m(2.0),
            "duplicate sample for timestamp 1000000: there is one with another value for series {__name__=\"m\"}",
        ),
        (series(&[("__name__", "m")], &[(900_000, 1.0)]), "too old sample"),
        (series(&[("job", "x")], &[(1, 1.0)]), "invalid metric name or labels, got {job=\"x\"}"),
        (series(&[], &[(1, 1.0)]), "invalid metric name or labels, got {}"),
        (series(&[("__name__", "n"), ("", "x")], &[(1, 1.0)]), "a label without a name"),
        (series(&[("__name__", "n"), ("a", "1"), ("a", "2")], &[(1, 1.0)]), "duplicated label a"),
        (
            series(&(0..200).map(|_| ("x", "y")).chain([("__name__", "n")]).collect::<Vec<_>>(), &[(1, 1.0)]),
            "",
        ),
    ] {
        let good = series(&[("__name__", "good")], &[(1_000_000, 1.0)]);
        let later = series(&[("__name__", "m")], &[(1, 1.0)]);
        let answer = client.write(&of(vec![good, bad, later]));
        assert_eq!(answer.status, 400, "{what}");
        assert!(answer.text().contains(what), "{what}: {}", answer.text());
        assert!(answer.text().contains("(2 samples refused)"), "{}", answer.text());
    }
    assert_eq!(value(&mut client, "good", 1000)[0]["value"][1], "1");
    assert_eq!(value(&mut client, "m", 1000)[0]["value"][1], "1");
    assert_eq!(server.store.series_len(), 2);
}

#[test]
fn series_over_the_limit_are_refused_with_a_reason_and_the_server_goes_on() {
    let server = strict();
    let mut client = server.client();
    let host = |at: i32| series(&[("__name__", "m"), ("host", &at.to_string())], &[(1000, f64::from(at))]);
    let answer = client.write(&of((0..100).map(host).collect()));
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("the store has 5 series, as many as it may"), "{}", answer.text());
    assert_eq!(value(&mut client, "count(m)", 1)[0]["value"][1], "5");
    assert_eq!(
        client.write(&of(vec![series(&[("__name__", "m"), ("host", "3")], &[(2000, 9.0)])])).status,
        204
    );
}

#[test]
fn a_sample_far_in_the_future_is_refused() {
    let server = Server::with(store(&SimDisk::new(), MetricsOptions::default()), DoorOptions::default());
    let answer = server.client().write(&of(vec![series(&[("__name__", "m")], &[(i64::MAX, 1.0)])]));
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("too far in the future"), "{}", answer.text());
    assert_eq!(server.store.series_len(), 0);
}

#[test]
fn bodies_that_are_no_request_get_the_status_that_says_so() {
    let server = Server::with(
        store(&SimDisk::new(), MetricsOptions::default()),
        DoorOptions { request_bytes_max: 1 << 20, ..timeless() },
    );
    let mut client = server.client();
    let snappy = |bytes: &[u8]| snap::raw::Encoder::new().compress_vec(bytes).unwrap();
    let kind = ("content-type", "application/x-protobuf");
    for (status, headers, body) in [
        (400, vec![kind], b"not snappy".to_vec()),
        (400, vec![kind], b"\xff\xff\xff\xff\x0f".to_vec()),
        (400, vec![kind], snappy(b"\x0a\xff\xff\xff\xff\x0f")),
        (400, vec![kind], snappy(b"\x0b\x0c")),
        // A label that is not UTF-8.
        (400, vec![kind], snappy(b"\x0a\x06\x0a\x04\x0a\x02\xff\xfe")),
        (413, vec![kind], snappy(&vec![0; 9 << 20])),
        (413, vec![kind], vec![1; (1 << 20) + 1]),
        (415, vec![("content-type", "text/plain")], Vec::new()),
        (415, vec![("content-type", "application/x-protobuf;proto=a.B")], Vec::new()),
        (415, vec![kind, ("content-encoding", "gzip")], Vec::new()),
        (403, vec![kind, ("origin", "http://elsewhere.example")], snappy(b"")),
        (204, vec![kind], snappy(b"")),
        (204, vec![], snappy(b"")),
    ] {
        let answer = client.send("POST", "/api/v1/write", &headers, &body);
        assert_eq!(answer.status, status, "{headers:?} {}", answer.text());
    }
    assert_eq!(client.send("GET", "/api/v1/write", &[], b"").status, 405);
}

#[test]
fn a_message_of_another_version_than_its_header_says_is_refused_and_not_taken_for_an_empty_one() {
    let server = Server::new();
    let mut client = server.client();
    let labels = Labels::new([("__name__", "m"), ("job", "j")]);
    let mut two = WriteRequestV2::new();
    two.sample(&labels, 1000, 0, Sample::Float(1.0));
    let one = of(vec![series(&[("__name__", "m"), ("job", "j")], &[(1000, 1.0)])]);
    let kind = |message: &str| format!("application/x-protobuf;proto={message}");
    let (first, second) = (kind("prometheus.WriteRequest"), kind("io.prometheus.write.v2.Request"));
    for (header, body, is) in [(&first, packed(&two), "2.0"), (&second, packed(&one), "1.0")] {
        let answer = client.send("POST", "/api/v1/write", &[("content-type", header)], &body);
        assert_eq!(answer.status, 400);
        assert!(answer.text().contains(&format!("it is one of remote write {is}")), "{}", answer.text());
    }
}

#[test]
fn version_two_says_what_it_wrote() {
    let server = strict();
    let mut client = server.client();
    let mut request = WriteRequestV2::new();
    let labels = Labels::new([("__name__", "rpc_seconds_bucket"), ("le", "1")]);
    let (trace, id) = (request.symbol("trace_id"), request.symbol("abc"));
    let (help, unit) = (request.symbol("How long."), request.symbol("seconds"));
    let written = request.series(&labels);
    written.samples = vec![Point { value: 1.0, t: 1000, start: 0 }, Point { value: 2.0, t: 2000, start: 0 }];
    written.created = 500;
    written.exemplars = vec![ExemplarV2 { labels: vec![trace, id], value: 0.5, t: 1500 }];
    written.metadata = Some(MetadataV2 { kind: 3, help, unit });
    let h = FloatHistogram {
        count: 3.0,
        sum: 5.0,
        positive: vec![Bucket { index: 0, count: 1.0 }, Bucket { index: 2, count: 2.0 }],
        ..FloatHistogram::default()
    };
    request.sample(&Labels::new([("__name__", "h")]), 1000, 0, Sample::Histogram(Arc::new(h)));
    // A reference to a symbol that is not there, and labels that are no pairs.
    request.series(&labels).labels = vec![1, 999];
    request.series(&labels).labels = vec![1];
    request.series[2].samples = vec![Point::default()];
    request.series[3].samples = vec![Point::default()];
    let answer = client.write_2(&request);
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("symbol 999"), "{}", answer.text());
    let written = |kind: &str| answer.header(&format!("x-prometheus-remote-write-{kind}-written")).to_owned();
    assert_eq!(
        (written("samples"), written("histograms"), written("exemplars")),
        ("2".into(), "1".into(), "1".into())
    );
    assert_eq!(value(&mut client, "rpc_seconds_bucket", 2)[0]["value"][1], "2");
    assert_eq!(value(&mut client, "histogram_count(h)", 1)[0]["value"][1], "3");
    assert_eq!(
        client.get("/api/v1/metadata").data(),
        json!({"rpc_seconds": [{"type": "histogram", "help": "How long.", "unit": "seconds"}]})
    );
    assert_eq!(
        client.get("/api/v1/query_exemplars?query=rate(rpc_seconds_bucket%5B5m%5D)").text(),
        concat!(
            r#"{"status":"success","data":[{"seriesLabels":{"__name__":"rpc_seconds_bucket","le":"1"},"#,
            r#""exemplars":[{"labels":{"trace_id":"abc"},"value":"0.5","timestamp":1.500}]}]}"#
        )
    );
    // The counter's start is known to the language.
    assert_eq!(value(&mut client, "start_timestamp(rpc_seconds_bucket)", 2)[0]["value"][1], "0.5");
}

#[test]
fn histograms_of_whole_and_of_fractional_counts_are_the_same_to_queries() {
    let server = strict();
    let mut client = server.client();
    let spans = vec![Span { offset: 1, length: 2 }, Span { offset: 1, length: 1 }];
    let whole = Histogram {
        count_int: Some(8),
        sum: 12.5,
        zero_threshold: 0.001,
        zero_count_int: Some(1),
        positive_spans: spans.clone(),
        positive_deltas: vec![1, 1, 2],
        t: 1000,
        ..Histogram::default()
    };
    let fractional = Histogram {
        count_int: None,
        count_float: Some(8.0),
        zero_count_int: None,
        zero_count_float: Some(1.0),
        positive_deltas: vec![],
        positive_counts: vec![1.0, 2.0, 4.0],
        ..whole.clone()
    };
    let named = |name: &str, histogram: &Histogram| Series {
        labels: vec![Label { name: "__name__".into(), value: name.into() }],
        histograms: vec![histogram.clone()],
        ..Series::default()
    };
    assert_eq!(client.write(&of(vec![named("a", &whole), named("b", &fractional)])).status, 204);
    let (a, b) = (value(&mut client, "a", 1), value(&mut client, "b", 1));
    assert_eq!(a[0]["histogram"], b[0]["histogram"]);
    assert_eq!(a[0]["histogram"][1]["count"], "8");
    for (wrong, what) in [
        (Histogram { count_int: Some(9), ..whole.clone() }, "observations found in buckets"),
        (Histogram { schema: 9, ..whole.clone() }, "invalid schema"),
        (Histogram { positive_deltas: vec![1, 1], ..whole.clone() }, "spans need 3 buckets"),
        (Histogram { positive_deltas: vec![1, -2, 2], ..whole.clone() }, "a bucket's count is -1"),
        (
            Histogram { positive_spans: vec![Span { offset: 0, length: u32::MAX }], ..whole.clone() },
            "spans need 4294967295 buckets",
        ),
        (Histogram { custom_values: vec![1.0], ..whole.clone() }, "must not have custom bounds"),
        (
            Histogram {
                schema: -53,
                zero_count_int: Some(0),
                count_int: Some(7),
                zero_threshold: 0.0,
                custom_values: vec![1.0],
                ..whole.clone()
            },
            "too few",
        ),
    ] {
        let answer = client.write(&of(vec![named("c", &wrong), named("a", &whole)]));
        assert_eq!(answer.status, 400, "{what}");
        assert!(answer.text().contains(what), "{what}: {}", answer.text());
    }
}

#[test]
fn what_was_acknowledged_is_there_after_the_power_went() {
    let disk = SimDisk::new();
    let server = Server::with(store(&disk, MetricsOptions::default()), timeless());
    let mut written = series(&[("__name__", "m")], &[(1000, 7.0)]);
    written.exemplars = vec![ExemplarV1 {
        labels: vec![Label { name: "id".into(), value: "x".into() }],
        value: 1.0,
        t: 1000,
    }];
    assert_eq!(server.client().write(&of(vec![written])).status, 204);
    let after = disk.crash_image(1);
    let server = Server::with(store(&after, MetricsOptions::default()), timeless());
    let mut client = server.client();
    assert_eq!(value(&mut client, "m", 1)[0]["value"][1], "7");
    let exemplars = client.get("/api/v1/query_exemplars?query=m").data();
    assert_eq!(exemplars[0]["exemplars"][0]["labels"], json!({"id": "x"}));
}

#[test]
fn any_bytes_are_an_answer_and_not_the_end() {
    let server = Server::new();
    let mut client = server.client();
    let request = of(vec![series(&[("__name__", "m"), ("job", "x")], &[(1, 1.0), (2, 2.0)])]);
    let good = request.encode_to_vec();
    for at in 0..good.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = good.clone();
            bytes[at] ^= flip;
            let body = snap::raw::Encoder::new().compress_vec(&bytes).unwrap();
            for kind in
                ["application/x-protobuf", "application/x-protobuf;proto=io.prometheus.write.v2.Request"]
            {
                let answer = client.send("POST", "/api/v1/write", &[("content-type", kind)], &body);
                assert!(matches!(answer.status, 204 | 400), "{}", answer.text());
            }
        }
    }
    let whole = packed(&request);
    for cut in 0..whole.len() {
        assert_eq!(client.send("POST", "/api/v1/write", &[], &whole[..cut]).status, 400);
    }
    assert_eq!(client.get("/api/v1/query?query=1").status, 200);
}
