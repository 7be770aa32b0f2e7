//! Metrics: written, asked for, and verified.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::process::{Server, good, lumadb, run};
use crate::senders::{Addresses, Protocol};

/// An answer's status line and body.
pub fn get(address: &str, path: &str, authorization: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{authorization}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

pub fn query(server: &Server, query: &str) -> Vec<Value> {
    let mut path = String::from("/api/v1/query?query=");
    for byte in query.bytes() {
        write!(path, "%{byte:02x}").unwrap();
    }
    let (status, body) = get(&server.prometheus, &path, "");
    assert_eq!(status, "HTTP/1.1 200 OK", "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    answer["data"]["result"].as_array().unwrap().clone()
}

pub fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// A server's command that writes samples to files all the time and keeps none of them in memory.
pub fn restless(directory: &Path) -> Command {
    let mut command = lumadb(directory);
    command
        .env("LUMADB_SECURITY_REQUIRE_AUTH", "false")
        .env("LUMADB_PROMETHEUS_FLUSH_INTERVAL", "20ms")
        .env("LUMADB_PROMETHEUS_HOT", "0s");
    command
}

#[test]
fn verification_reads_the_files_of_metrics_too() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&mut restless(directory.path()));
    let mut sender = Protocol::RemoteWrite1.connect(&Addresses::of(&server)).unwrap();
    sender.send(now_ms() / 1000 - 1, 1).unwrap();
    let files = directory.path().join("data/metrics/files");
    let parquet = || {
        let names = std::fs::read_dir(&files).into_iter().flatten().flatten().map(|entry| entry.path());
        names.filter(|path| path.extension().is_some_and(|extension| extension == "parquet")).max()
    };
    let until = std::time::Instant::now() + Duration::from_secs(30);
    while parquet().is_none() && std::time::Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(server.stop(), 0);
    let verified = good(directory.path(), &["verify", "--data-dir", "data"]);
    assert!(verified.contains("good: 3 samples in 1 files"), "{verified}");
    let file = parquet().unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[10] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let damaged = run(directory.path(), &["verify", "--data-dir", "data"]);
    assert_eq!(damaged.code, 1);
    assert!(damaged.err.contains(file.file_name().unwrap().to_str().unwrap()), "{}", damaged.err);
}

/// Posts JSON; the status line and body.
pub fn post(address: &str, path: &str, body: &str, authorization: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n{authorization}\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

#[test]
fn metrics_of_opentelemetry_come_in_by_three_ports() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::open(directory.path());
    for (at, (address, path)) in [
        (&server.otlp, "/v1/metrics"),
        (&server.otlp_http, "/v1/metrics"),
        (&server.prometheus, "/api/v1/otlp/v1/metrics"),
    ]
    .into_iter()
    .enumerate()
    {
        let body = format!(
            r#"{{"resourceMetrics": [{{"scopeMetrics": [{{"metrics": [{{"name": "m{at}", "sum": {{
                "aggregationTemporality": 1, "isMonotonic": true,
                "dataPoints": [{{"timeUnixNano": "{}000000", "asInt": "{at}"}}]}}}}]}}]}}]}}"#,
            now_ms()
        );
        assert_eq!(post(address, path, &body, ""), ("HTTP/1.1 200 OK".to_owned(), "{}".to_owned()));
        assert_eq!(query(&server, &format!("m{at}_total"))[0]["value"][1], at.to_string());
    }
    let (_, metrics) = server.get("/metrics");
    assert!(metrics.contains("lumadb_otlp_samples_total 3\n"), "{metrics}");
    assert_eq!(server.stop(), 0);
}

#[test]
fn the_door_asks_for_a_password_where_one_is_needed() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&mut lumadb(directory.path()));
    let password = server.password.clone().unwrap();
    let header = |password: &str| {
        let program = format!("printf 'lumadb:{password}' | base64 -w0");
        let encoded = std::process::Command::new("sh").args(["-c", &program]).output().unwrap().stdout;
        format!("authorization: Basic {}\r\n", String::from_utf8(encoded).unwrap())
    };
    let status = |path: &str, header: &str| get(&server.prometheus, path, header).0;
    assert_eq!(status("/api/v1/query?query=1", ""), "HTTP/1.1 401 Unauthorized");
    assert_eq!(status("/api/v1/query?query=1", &header("wrong")), "HTTP/1.1 401 Unauthorized");
    for _ in 0..2 {
        assert_eq!(status("/api/v1/query?query=1", &header(&password)), "HTTP/1.1 200 OK");
    }
    assert_eq!(status("/-/ready", ""), "HTTP/1.1 200 OK");
    let export = |header: &str| post(&server.otlp_http, "/v1/metrics", "{}", header).0;
    assert_eq!(export(""), "HTTP/1.1 401 Unauthorized");
    assert_eq!(export(&header(&password)), "HTTP/1.1 200 OK");
    let (_, metrics) = server.get("/metrics");
    assert!(metrics.contains("lumadb_prometheus_authentication_failures_total 2"), "{metrics}");
}

#[test]
fn the_usual_port_may_be_taken_and_one_that_was_asked_for_may_not() {
    let directory = tempfile::tempdir().unwrap();
    // Prometheus itself is there on many machines; if nobody is, we are.
    let _listener = std::net::TcpListener::bind("127.0.0.1:9090");
    let start = |port: &[&str]| {
        lumadb(directory.path())
            .env("LUMADB_SECURITY_REQUIRE_AUTH", "false")
            .args(["serve", "--postgres-port", "0", "--http-port", "0"])
            .args(port)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let mut child = start(&[]);
    let lines: Vec<String> = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap)
        .take_while(|line| line != "ready")
        .collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!lines.iter().any(|line| line.starts_with("prometheus ")), "{lines:?}");
    let refused = start(&["--prometheus-port", "9090"]).wait_with_output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && said.contains("prometheus.port"), "{said}");
}
