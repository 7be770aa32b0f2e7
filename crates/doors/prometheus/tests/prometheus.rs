//! Prometheus itself, as a process: it writes what it scrapes into the door, and another one without samples
//! of its own reads them back through the door. `promtool` asks the door. Skipped where they are not installed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "door/http.rs"]
#[allow(dead_code)]
mod http;
#[path = "door/messages.rs"]
#[allow(dead_code)]
mod messages;
#[path = "door/reading.rs"]
#[allow(dead_code)]
mod reading;

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use luma_promql::{Labels, Sample};
use luma_vfs::SimDisk;
use serde_json::Value;

use http::{Client, Server, escaped, store};
use messages::{WriteRequest, WriteRequestV2, series};

/// How long to wait for what comes within seconds.
const PATIENCE: Duration = Duration::from_mins(1);

fn installed(program: &str) -> bool {
    let there = Command::new(program).arg("--version").output().is_ok();
    if !there {
        println!("skipped: there is no {program} (package prometheus)");
    }
    there
}

/// A Prometheus of its own.
struct Prometheus {
    process: Child,
    address: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Prometheus {
    fn start(configuration: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let file = directory.path().join("prometheus.yml");
        std::fs::write(&file, configuration.replace("OWN", &address.to_string())).unwrap();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--enable-feature=native-histograms,promql-per-step-stats")
            .arg("--web.enable-remote-write-receiver")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let own = Self { process, address, _directory: directory };
        wait("Prometheus is ready", || {
            std::net::TcpStream::connect(own.address).is_ok()
                && Client::new(own.address).get("/-/ready").status == 200
        });
        own
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn wait(what: &str, mut is: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < until, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A door as servers have it, not one of tests of any time.
fn door() -> Server {
    Server::with(
        store(&SimDisk::new(), luma_telemetry::MetricsOptions::default()),
        luma_door_prometheus::DoorOptions::default(),
    )
}

fn range(address: SocketAddr, query: &str, start: i64, end: i64) -> Value {
    let path = format!("/api/v1/query_range?query={}&start={start}&end={end}&step=1", escaped(query));
    Client::new(address).get(&path).data()["result"].clone()
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// A Prometheus that has nothing but what it reads from the door.
fn reader(server: &Server) -> Prometheus {
    let address = server.address;
    Prometheus::start(&format!("remote_read:\n- url: http://{address}/api/v1/read\n  read_recent: true\n"))
}

#[test]
fn what_prometheus_writes_it_reads_back_with_equal_values() {
    if !installed("prometheus") {
        return;
    }
    let server = door();
    let address = server.address;
    let begin = now();
    let writer = Prometheus::start(&format!(
        "global:\n  scrape_interval: 1s\nscrape_configs:\n- job_name: itself\n  static_configs:\n  - targets: [OWN]\n\
         remote_write:\n- url: http://{address}/api/v1/write\n  metadata_config:\n    send_interval: 1s\n"
    ));
    let count = "prometheus_tsdb_head_samples_appended_total";
    wait("ten scrapes arrive", || {
        let result = range(address, "count_over_time(up[1m])", begin, now());
        result[0]["values"]
            .as_array()
            .and_then(|values| values.last().cloned())
            .is_some_and(|last| last[1].as_str().unwrap().parse::<f64>().unwrap() >= 10.0)
    });
    // Whatever was scraped by now arrives within seconds; nothing younger is asked for.
    let end = now() - 3;
    let reading = reader(&server);
    // Younger releases of the language end rates at the start of a counter elsewhere.
    let rates = [
        &format!("rate({count}[5s])"),
        "sum by (le) (rate(prometheus_http_request_duration_seconds_bucket[5s]))",
        "histogram_quantile(0.9, sum by (le) (rate(prometheus_http_response_size_bytes_bucket[5s])))",
    ];
    for query in rates {
        let own = range(writer.address, query, begin, end);
        assert_eq!(range(reading.address, query, begin, end), own, "read back: {query}");
    }
    for query in [
        "up",
        "scrape_samples_scraped",
        count,
        "{job=\"itself\",__name__=~\"go_.*\"}",
        "sum by (le) (prometheus_http_request_duration_seconds_bucket)",
        "delta(go_memstats_alloc_bytes[5s])",
        "topk(3, go_memstats_alloc_bytes)",
        "count({__name__=~\".+\"})",
    ] {
        let own = range(writer.address, query, begin, end);
        assert!(own.as_array().is_some_and(|series| !series.is_empty()), "{query}");
        assert_eq!(range(address, query, begin, end), own, "the door: {query}");
        assert_eq!(range(reading.address, query, begin, end), own, "read back: {query}");
    }
    wait("metadata arrives", || {
        let metadata = Client::new(address).get("/api/v1/metadata?metric=prometheus_build_info").data();
        metadata["prometheus_build_info"][0]["type"] == "gauge"
    });
}

/// A value that changes in another way from sample to sample.
fn value(series: i64, at: i64) -> f64 {
    let random = ((at * 7919 + series * 104_729) % 1000) as f64;
    match (series + at / 9) % 6 {
        0 => 1e300 / (random + 1.0),
        1 => random,
        2 => -(random + 1.0) / 3.0,
        3 => f64::INFINITY,
        4 => (at * 3) as f64,
        _ => 42.0,
    }
}

/// A time in milliseconds: every minute, more or less, with a hole.
fn time(series: i64, at: i64) -> i64 {
    let jitter = match series % 4 {
        0 => 0,
        // Of these, promtool loses nothing on the way through seconds.
        1 => at * at % 7 * 125,
        2 => (at % 3) * 19_000,
        _ => i64::from(at > 60) * 1_200_000,
    };
    1_599_998_460_000 + at * 60_000 + jitter
}

/// The chunks of a block: how many bytes, the kind, the bytes, a checksum.
fn chunks_of_block(file: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = &file[8..];
    let mut chunks = Vec::new();
    while !rest.is_empty() {
        let length = usize::try_from(prost::encoding::decode_varint(&mut rest).unwrap()).unwrap();
        assert_eq!(rest[0], 1, "a chunk of numbers");
        chunks.push(rest[1..=length].to_vec());
        rest = &rest[1 + length + 4..];
    }
    chunks
}

#[test]
fn streamed_chunks_are_those_that_prometheus_makes_of_the_same_samples() {
    if !installed("promtool") {
        return;
    }
    // As many samples as fit one chunk and one block there.
    let (series_count, samples) = (12, 90);
    let mut text = String::from("# TYPE m gauge\n");
    let server = Server::new();
    let mut request = WriteRequestV2::new();
    for series in 0..series_count {
        let labels = Labels::new([("__name__", "m".to_owned()), ("series", series.to_string())]);
        for at in 0..samples {
            let (t, v) = (time(series, at), value(series, at));
            request.sample(&labels, t, 0, Sample::Float(v));
            let v = luma_promql::format_plain(v);
            text += &format!("m{{series=\"{series}\"}} {v} {}.{:03}\n", t / 1000, t % 1000);
        }
    }
    text += "# EOF\n";
    assert_eq!(server.client().write_2(&request).status, 204);
    let directory = tempfile::tempdir().unwrap();
    let (file, blocks) = (directory.path().join("m.txt"), directory.path().join("blocks"));
    std::fs::write(&file, text).unwrap();
    let made = Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .args([&file, &blocks])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let mut expected: Vec<Vec<u8>> = std::fs::read_dir(&blocks)
        .unwrap()
        .map(|entry| entry.unwrap().path().join("chunks/000001"))
        .filter(|path| path.is_file())
        .flat_map(|path| chunks_of_block(&std::fs::read(path).unwrap()))
        .collect();
    let request = reading::all(i64::MIN, i64::MAX, &[1]);
    let frames = reading::frames(&reading::read(&mut server.client(), &request));
    let found = frames.into_iter().flat_map(|frame| frame.series).flat_map(|series| series.chunks);
    let mut found: Vec<Vec<u8>> = found.map(|chunk| chunk.data).collect();
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(expected.len(), usize::try_from(series_count).unwrap());
    for (found, expected) in found.iter().zip(&expected) {
        let same = found.iter().zip(expected).take_while(|(a, b)| a == b).count();
        assert_eq!(found[same..], expected[same..], "{same} of {} and {}", found.len(), expected.len());
    }
}

#[test]
fn promtool_takes_the_answers() {
    if !installed("promtool") {
        return;
    }
    let server = door();
    let t = now();
    let of = |job, value| {
        series(&[("__name__", "up"), ("job", job)], &[((t - 60) * 1000, 1.0), (t * 1000, value)])
    };
    let request = WriteRequest { series: vec![of("a", 1.0), of("b", 0.5)], metadata: Vec::new() };
    assert_eq!(server.client().write(&request).status, 204);
    let url = format!("http://{}", server.address);
    let promtool = |arguments: &[&str]| {
        let output = Command::new("promtool").arg("query").args(arguments).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        text
    };
    let (now, before) = (t.to_string(), (t - 60).to_string());
    let instant = promtool(&["instant", "--time", &now, &url, "up"]);
    let mut lines: Vec<&str> = instant.lines().collect();
    lines.sort_unstable();
    let expected = [format!("up{{job=\"a\"}} => 1 @[{t}]"), format!("up{{job=\"b\"}} => 0.5 @[{t}]")];
    assert_eq!(lines, expected);
    let times = ["--start", &before, "--end", &now, "--step", "60s"];
    let matrix = promtool(&[&["range"], &times[..], &[&url, "up{job=\"b\"}"]].concat());
    assert!(
        matrix.contains(&format!("1 @[{before}]")) && matrix.contains(&format!("0.5 @[{now}]")),
        "{matrix}"
    );
    let found = promtool(&["series", "--match", "up", &url]);
    assert!(found.contains("up{job=\"a\"}") || found.contains("{__name__=\"up\", job=\"a\"}"), "{found}");
    assert_eq!(promtool(&["labels", &url, "job"]).trim(), "a\nb");
}

#[test]
fn statistics_of_steps_are_those_of_prometheus() {
    if !installed("prometheus") {
        return;
    }
    let theirs = Prometheus::start("");
    let ours = door();
    let end = now() / 60 * 60;
    // None at a window's start: in this Prometheus it belongs to the window.
    let samples: Vec<(i64, f64)> = (0..60).map(|at| ((end - 593 + at * 10) * 1000, at as f64)).collect();
    let of =
        |job: &str, samples: &[(i64, f64)]| series(&[("__name__", "requests_total"), ("job", job)], samples);
    let request =
        WriteRequest { series: vec![of("api", &samples), of("web", &samples[30..])], metadata: vec![] };
    for address in [theirs.address, ours.address] {
        assert_eq!(Client::new(address).write(&request).status, 204);
    }
    let at = format!("&time={end}");
    let over = format!("&start={}&end={end}&step=30", end - 300);
    let statistics = |address: SocketAddr, path: &str| {
        let data = Client::new(address).get(path).data();
        let samples = data["stats"]["samples"].clone();
        (samples["totalQueryableSamples"].clone(), samples["totalQueryableSamplesPerStep"].clone())
    };
    for query in [
        "requests_total",
        "sum(rate(requests_total[1m]))",
        "rate(requests_total[1m]) / on(job) requests_total",
        "requests_total offset 2m",
        &format!("requests_total @ {end}"),
        &format!("sum(rate(requests_total[2m] @ {end}))"),
        "max_over_time(sum(requests_total)[125s:20s])",
        "max_over_time(rate(requests_total[1m])[125s:20s])",
        "time()",
        "1",
        "absent(nothing)",
        "timestamp(requests_total)",
    ] {
        for (path, when) in [("query", &at), ("query_range", &over)] {
            let path = format!("/api/v1/{path}?stats=all&query={}{when}", escaped(query));
            assert_eq!(statistics(ours.address, &path), statistics(theirs.address, &path), "{path}");
        }
    }
    for query in ["requests_total[1m]", "sum(requests_total)[65s:10s]", "rate(requests_total[1m])[125s:20s]"]
    {
        let path = format!("/api/v1/query?stats=all&query={}{at}", escaped(query));
        assert_eq!(statistics(ours.address, &path), statistics(theirs.address, &path), "{path}");
    }
    // Only `all` has them.
    let some = statistics(ours.address, &format!("/api/v1/query?stats=true&query=requests_total{at}"));
    assert!(some.0.is_u64() && some.1.is_null(), "{some:?}");
}
