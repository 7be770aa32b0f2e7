//! The query interface.

use std::time::Duration;

use luma_door_prometheus::DoorOptions;
use serde_json::json;

use crate::http::{Client, Server, escaped, timeless};
use crate::messages::{MetadataV1, WriteRequest, series};

/// Ten samples a minute apart from time 0 of two jobs.
fn loaded() -> Server {
    loaded_with(timeless())
}

fn loaded_with(options: DoorOptions) -> Server {
    let metrics = luma_telemetry::MetricsOptions { out_of_order_window_ms: i64::MAX, ..Default::default() };
    let server = Server::with(crate::http::store(&luma_vfs::SimDisk::new(), metrics), options);
    let samples: Vec<(i64, f64)> = (0..10).map(|at| (at * 60_000, at as f64)).collect();
    let of = |job| series(&[("__name__", "requests_total"), ("job", job)], &samples);
    let metadata = MetadataV1 {
        kind: 1,
        family: "requests_total".into(),
        help: "How many.".into(),
        unit: String::new(),
    };
    let request = WriteRequest { series: vec![of("api"), of("web")], metadata: vec![metadata] };
    assert_eq!(server.client().write(&request).status, 204);
    server
}

#[test]
fn a_query_is_asked_by_its_address_or_by_a_form() {
    let server = loaded();
    let mut client = server.client();
    let expected = json!({"resultType": "vector", "result": [
        {"metric": {"__name__": "requests_total", "job": "api"}, "value": [540, "9"]},
    ]});
    let query = escaped("requests_total{job=\"api\"}");
    assert_eq!(client.get(&format!("/api/v1/query?query={query}&time=540")).data(), expected);
    assert_eq!(client.post("/api/v1/query", &format!("query={query}&time=540")).data(), expected);
    let range = client
        .post("/api/v1/query_range?step=1m", "query=sum(requests_total)&start=0&end=1970-01-01T00:02:00Z");
    assert_eq!(
        range.data(),
        json!({"resultType": "matrix", "result": [{"metric": {}, "values": [[0, "0"], [60, "2"], [120, "4"]]}]})
    );
}

#[test]
fn what_is_wrong_with_a_request_is_said_with_kind_and_status() {
    let server = loaded();
    let mut client = server.client();
    for (path, status, kind, what) in [
        (
            "query?query=x[",
            400,
            "bad_data",
            "invalid parameter \"query\": 1:3: parse error: unexpected end of input",
        ),
        ("query?query=x&time=abc", 400, "bad_data", "cannot parse \"abc\" to a valid timestamp"),
        ("query?query=x&timeout=abc", 400, "bad_data", "invalid parameter \"timeout\": cannot parse"),
        (
            "query?query=x&limit=-1",
            400,
            "bad_data",
            "invalid parameter \"limit\": limit must be non-negative",
        ),
        ("query?query=x&lookback_delta=abc", 400, "bad_data", "error parsing lookback delta duration"),
        ("query?query=requests_total&timeout=0", 503, "timeout", "query timed out"),
        (
            "query_range?query=x&start=2&end=1&step=1",
            400,
            "bad_data",
            "end timestamp must not be before start time",
        ),
        ("query_range?query=x&start=1&end=2&step=0", 400, "bad_data", "zero or negative query resolution"),
        (
            "query_range?query=x&start=0&end=20000&step=1",
            400,
            "bad_data",
            "exceeded maximum resolution of 11,000 points",
        ),
        (
            "query_range?query=x[1m]&start=0&end=1&step=1",
            400,
            "bad_data",
            "invalid expression type \"range vector\"",
        ),
        ("query_range?query=x", 400, "bad_data", "invalid parameter \"start\": cannot parse \"\""),
        (
            "query?query=requests_total%2Bon()requests_total&time=60",
            422,
            "execution",
            "found duplicate series for the match group",
        ),
        ("series", 400, "bad_data", "no match[] parameter provided"),
        ("series?match[]={}", 400, "bad_data", "must contain at least one non-empty matcher"),
        ("series?match[]=a(", 400, "bad_data", "invalid parameter \"match[]\""),
        ("labels?start=abc", 400, "bad_data", "invalid parameter \"start\""),
        ("parse_query?query=", 400, "bad_data", "no expression found in input"),
        ("rules?type=x", 400, "bad_data", "not supported value \"x\""),
    ] {
        let answer = client.get(&format!("/api/v1/{path}"));
        let json = answer.json();
        assert_eq!((answer.status, json["errorType"].as_str()), (status, Some(kind)), "{path}: {json}");
        assert_eq!(json["status"], "error");
        assert!(json["error"].as_str().unwrap().contains(what), "{path}: {json}");
    }
    assert_eq!(client.get("/api/v1/nothing").status, 404);
    assert_eq!(client.send("DELETE", "/api/v1/query", &[], b"").status, 405);
}

#[test]
fn a_limit_cuts_and_says_so() {
    let server = loaded();
    let mut client = server.client();
    for path in [
        "query?query=requests_total&time=60&limit=1",
        "query_range?query=requests_total&start=0&end=60&step=60&limit=1",
        "series?match[]=requests_total&limit=1",
        "labels?limit=1",
        "label/job/values?limit=1",
    ] {
        let json = client.get(&format!("/api/v1/{path}")).json();
        assert_eq!(json["warnings"], json!(["results truncated due to limit"]), "{path}: {json}");
        let list = json["data"]["result"].as_array().or(json["data"].as_array());
        assert_eq!(list.unwrap().len(), 1, "{path}");
        let all = client.get(&format!("/api/v1/{}", path.replace("limit=1", "limit=0"))).json();
        assert_eq!(all.get("warnings"), None, "{path}: {all}");
    }
}

#[test]
fn series_and_labels_are_those_of_the_matchers_and_the_time() {
    let server = loaded();
    let mut client = server.client();
    let mut data = |path: &str| client.get(&format!("/api/v1/{path}")).data();
    assert_eq!(
        data("series?match[]=%7Bjob=%22api%22%7D"),
        json!([{"__name__": "requests_total", "job": "api"}])
    );
    assert_eq!(data("series?match[]=%7Bjob=%22api%22%7D&start=1000"), json!([]));
    assert_eq!(data("labels"), json!(["__name__", "job"]));
    assert_eq!(data("labels?match[]=nothing"), json!([]));
    assert_eq!(data("labels?start=100000"), json!([]));
    assert_eq!(data("label/job/values"), json!(["api", "web"]));
    assert_eq!(data("label/job/values?match[]=%7Bjob!=%22api%22,job!=%22%22%7D"), json!(["web"]));
    assert_eq!(data("label/U__job/values"), json!(["api", "web"]));
    assert_eq!(data("label/none/values"), json!([]));
    assert_eq!(
        data("metadata"),
        json!({"requests_total": [{"type": "counter", "help": "How many.", "unit": ""}]})
    );
    assert_eq!(data("metadata?metric=other"), json!({}));
}

#[test]
fn warnings_infos_and_statistics_go_along() {
    let server = loaded();
    let mut client = server.client();
    let json = client.get("/api/v1/query?query=quantile(2,requests_total)&time=60&stats=true").json();
    assert!(
        json["warnings"][0].as_str().unwrap().contains("quantile value should be between 0 and 1"),
        "{json}"
    );
    assert_eq!(json["data"]["stats"]["samples"], json!({"totalQueryableSamples": 2, "peakSamples": 2}));
    assert!(json["data"]["stats"]["timings"]["evalTotalTime"].is_number());
    let json = client.get("/api/v1/query?query=rate(requests_total%7B%7D%5B5m%5D)&time=300").json();
    assert_eq!(json.get("infos"), None, "{json}");
    // A shorter lookback leaves nothing.
    let data = client.get("/api/v1/query?query=requests_total&time=570&lookback_delta=20s").data();
    assert_eq!(data["result"], json!([]));
}

#[test]
fn a_query_is_formatted_and_shown_as_a_tree() {
    let server = loaded();
    let mut client = server.client();
    assert_eq!(
        client.get("/api/v1/format_query?query=sum(rate(x[5m]))by(job)").data(),
        "sum by (job) (rate(x[5m]))"
    );
    assert_eq!(client.post("/api/v1/parse_query", "query=-x").data()["op"], "-");
}

#[test]
fn a_server_without_rules_and_targets_says_that_it_has_none() {
    let server = loaded();
    let mut client = server.client();
    let mut data = |path: &str| client.get(&format!("/api/v1/{path}")).data();
    assert_eq!(data("rules"), json!({"groups": []}));
    assert_eq!(data("alerts"), json!({"alerts": []}));
    assert_eq!(data("targets")["activeTargets"], json!([]));
    assert_eq!(data("query_exemplars?query=requests_total"), json!([]));
    assert!(data("status/buildinfo")["version"].as_str().unwrap().starts_with("3."));
    assert!(data("status/runtimeinfo")["startTime"].is_string());
    assert!(data("status/config")["yaml"].is_string());
    assert!(data("status/flags").is_object());
    assert_eq!(data("features")["promql_functions"]["rate"], true);
    let store = data("status/tsdb");
    assert_eq!(store["headStats"]["numSeries"], 2);
    assert_eq!(store["headStats"]["maxTime"], 540_000);
    assert_eq!(store["seriesCountByMetricName"], json!([{"name": "requests_total", "value": 2}]));
    assert_eq!(store["labelValueCountByLabelName"][0], json!({"name": "job", "value": 2}));
    for path in ["/-/healthy", "/-/ready"] {
        assert_eq!(client.get(path).status, 200);
    }
}

#[test]
fn series_are_deleted_by_those_who_may() {
    let server = loaded();
    let mut client = server.client();
    let path = "/api/v1/admin/tsdb/delete_series?match[]=%7Bjob=%22api%22%7D";
    assert_eq!(client.get(path).status, 405);
    assert_eq!(client.send("POST", path, &[("origin", "http://elsewhere.example")], b"").status, 403);
    assert_eq!(client.send("POST", &format!("{path}&start=0&end=60"), &[], b"").status, 204);
    let count = "/api/v1/query?query=count_over_time(requests_total%5B1h%5D)&time=540";
    let result = client.get(count).data()["result"].clone();
    assert_eq!((&result[0]["value"][1], &result[1]["value"][1]), (&json!("8"), &json!("10")));
    assert_eq!(client.send("PUT", path, &[], b"").status, 204);
    assert_eq!(client.get("/api/v1/series?match[]=requests_total").data().as_array().unwrap().len(), 1);
    assert_eq!(client.post("/api/v1/admin/tsdb/delete_series", "").status, 400);
    assert_eq!(client.post("/api/v1/admin/tsdb/clean_tombstones", "").status, 204);
    assert_eq!(client.post("/api/v1/admin/tsdb/snapshot", "").json()["errorType"], "unavailable", "nowhere");
    let server = loaded_with(DoorOptions { admin: false, ..timeless() });
    let refused = server.client().send("POST", path, &[], b"");
    assert_eq!((refused.status, refused.json()["error"].clone()), (503, json!("admin APIs disabled")));
}

#[test]
fn a_query_is_of_the_language_that_it_names() {
    let server = loaded();
    let mut client = server.client();
    let of = |client: &mut Client, query: &str, more: &str| {
        client.get(&format!("/api/v1/query?time=540&query={query}{more}"))
    };
    let metricsql = "&dialect=metricsql";
    assert_eq!(of(&mut client, "rate(requests_total)", "").status, 400);
    assert_eq!(of(&mut client, "rate(requests_total)", "&dialect=promql").status, 400);
    assert_eq!(of(&mut client, "rate(requests_total)", "&dialect=sql").status, 400);
    let rates = of(&mut client, "rate(requests_total)", metricsql).data();
    assert_eq!((&rates["resultType"], rates["result"].as_array().unwrap().len()), (&json!("vector"), 2));
    // A shorter step is a shorter window.
    let counted = |client: &mut Client, step: &str| {
        of(client, "count_over_time(requests_total)", &format!("{metricsql}{step}")).data()["result"][0]["value"][1].clone()
    };
    assert_eq!((counted(&mut client, ""), counted(&mut client, "&step=2m")), (json!("5"), json!("2")));
    let range = "/api/v1/query_range?start=0&end=540&step=60&dialect=metricsql&query=";
    let kept = client.get(&format!("{range}requests_total%20default%200%20keep_metric_names")).status;
    assert_eq!(kept, 200);
    assert_eq!(client.get(&format!("{range}sum(")).json()["errorType"], "bad_data");
}

#[test]
fn a_snapshot_is_a_store_of_its_own_with_what_there_was() {
    let options = DoorOptions { snapshots: Some("/snapshots".into()), ..timeless() };
    let disk = luma_vfs::SimDisk::new();
    let server = Server::with(crate::http::store(&disk, luma_telemetry::MetricsOptions::default()), options);
    let mut client = server.client();
    let write = |job: &str| {
        let mut batch = luma_telemetry::Batch::default();
        let series = batch.series([("__name__", "m"), ("job", job)]).unwrap();
        batch.float(series, 60_000, 0, 1.5);
        server.store.append(&batch).unwrap();
    };
    write("before");
    let name = client.post("/api/v1/admin/tsdb/snapshot", "").data()["name"].as_str().unwrap().to_owned();
    write("after");
    assert_eq!(client.post("/api/v1/admin/tsdb/snapshot", "skip_head=maybe").status, 400);
    let copy = luma_telemetry::Metrics::open(
        std::sync::Arc::new(disk.crash_image(1)),
        &std::path::Path::new("/snapshots").join(name),
        luma_telemetry::MetricsOptions::default(),
    );
    let copy = Server::with(std::sync::Arc::new(copy.unwrap()), timeless());
    let result = copy.client().get("/api/v1/query?query=m&time=60").data()["result"].clone();
    assert_eq!(result, json!([{"metric": {"__name__": "m", "job": "before"}, "value": [60, "1.5"]}]));
}

#[test]
fn federation_gives_current_values_in_the_text_form() {
    let server = Server::with(
        crate::http::store(&luma_vfs::SimDisk::new(), luma_telemetry::MetricsOptions::default()),
        DoorOptions::default(),
    );
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let t = i64::try_from(now.as_millis()).unwrap();
    let of = |job, t| series(&[("__name__", "up"), ("job", job)], &[(t, 1.0)]);
    let old = t - 3_600_000;
    let request = WriteRequest { series: vec![of("a", t), of("b", old)], metadata: vec![] };
    let mut client = server.client();
    assert_eq!(client.write(&request).status, 204);
    let answer = client.get("/federate?match[]=up");
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(answer.text(), format!("# TYPE up untyped\nup{{job=\"a\",instance=\"\"}} 1 {t}\n"));
    assert_eq!(client.get("/federate?match[]=up{").status, 400);
}

#[test]
fn long_answers_are_packed_for_clients_that_take_gzip() {
    let server = loaded();
    let mut client = server.client();
    let path = "/api/v1/query_range?query=requests_total&start=0&end=540&step=5";
    let plain = client.get(path);
    let packed = client.send("GET", path, &[("accept-encoding", "gzip")], b"");
    assert_eq!((plain.header("content-encoding"), packed.header("content-encoding")), ("", "gzip"));
    let mut unpacked = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed.body[..]), &mut unpacked).unwrap();
    assert_eq!(unpacked, plain.body);
}

#[test]
fn a_query_over_the_limit_of_samples_fails_and_the_server_goes_on() {
    let server = loaded_with(DoorOptions { query_max_samples: 15, ..timeless() });
    let mut client = server.client();
    let answer = client.get("/api/v1/query?query=sum_over_time(requests_total%5B1h%5D)&time=540");
    assert_eq!(answer.status, 200, "one series at a time is under it: {}", answer.text());
    let answer = client.get("/api/v1/query?query=requests_total%5B1h%5D&time=540");
    assert_eq!((answer.status, answer.json()["errorType"].as_str()), (422, Some("execution")));
    assert_eq!(client.get("/api/v1/query?query=1").status, 200);
}

#[test]
fn a_query_whose_client_goes_away_stops() {
    let server = loaded_with(DoorOptions {
        query_concurrency: 1,
        query_timeout: Duration::from_mins(10),
        ..timeless()
    });
    // Of minutes if nobody stopped it, and the only one that may run.
    let long = "sum(sum_over_time(sum_over_time(requests_total[500s:10ms])[9000s:100ms]))";
    let mut client = std::net::TcpStream::connect(server.address).unwrap();
    let path = format!("/api/v1/query?query={}&time=540", escaped(long));
    std::io::Write::write_all(&mut client, format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes())
        .unwrap();
    std::thread::sleep(Duration::from_millis(300));
    drop(client);
    assert_eq!(server.client().get("/api/v1/query?query=1").status, 200);
}
