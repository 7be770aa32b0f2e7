//! Metrics: written, asked for, and there after a kill.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::process::{Server, good, lumadb, run};

const WRITERS: usize = 3;
/// Series that a request has a sample of.
const SERIES: usize = 3;

fn rounds() -> u64 {
    std::env::var("LUMADB_KILL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(25)
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn field(number: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(number << 3 | 2);
    varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// A request of remote write 1.0: a sample for each of a writer's series.
fn request(writer: usize, t: i64, value: f64) -> Vec<u8> {
    let mut message = Vec::new();
    for at in 0..SERIES {
        let mut series = Vec::new();
        let (at, writer) = (at.to_string(), writer.to_string());
        for (name, value) in [("__name__", "m"), ("series", &at), ("writer", &writer)] {
            let mut label = Vec::new();
            field(1, name.as_bytes(), &mut label);
            field(2, value.as_bytes(), &mut label);
            field(1, &label, &mut series);
        }
        let mut sample = vec![1 << 3 | 1];
        sample.extend_from_slice(&value.to_le_bytes());
        sample.push(2 << 3);
        varint(t as u64, &mut sample);
        field(2, &sample, &mut series);
        field(1, &series, &mut message);
    }
    // A Snappy block of nothing but literals.
    let mut block = Vec::new();
    varint(message.len() as u64, &mut block);
    for part in message.chunks(60) {
        block.push((part.len() as u8 - 1) << 2);
        block.extend_from_slice(part);
    }
    block
}

/// Sends a request and gives the status, or nothing if the server is gone.
fn send(stream: &mut BufReader<TcpStream>, body: &[u8]) -> Option<u16> {
    let head = format!(
        "POST /api/v1/write HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.get_mut().write_all(&[head.as_bytes(), body].concat()).ok()?;
    let mut status = None;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            return status;
        }
        status = status.or_else(|| line.split(' ').nth(1)?.parse().ok());
    }
}

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

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// Every acknowledged sample is there, and of each request all samples or none.
fn check(server: &Server, acknowledged: &[Vec<u32>]) {
    for (writer, acknowledged) in acknowledged.iter().enumerate() {
        let mut found: BTreeMap<u32, usize> = BTreeMap::new();
        for series in query(server, &format!("m{{writer=\"{writer}\"}}[1h]")) {
            for sample in series["values"].as_array().unwrap() {
                *found.entry(sample[1].as_str().unwrap().parse().unwrap()).or_default() += 1;
            }
        }
        let part = found.iter().find(|(_, count)| **count != SERIES);
        assert_eq!(part, None, "writer {writer}: a request is there in part");
        let lost = acknowledged.iter().find(|number| !found.contains_key(*number));
        assert_eq!(lost, None, "writer {writer}: an acknowledged request is lost");
    }
}

/// A server that writes samples to files all the time and keeps none of them in memory.
fn restless(directory: &Path) -> Server {
    Server::start(
        lumadb(directory)
            .env("LUMADB_SECURITY_REQUIRE_AUTH", "false")
            .env("LUMADB_PROMETHEUS_FLUSH_INTERVAL", "20ms")
            .env("LUMADB_PROMETHEUS_HOT", "0s"),
    )
}

#[test]
fn verification_reads_the_files_of_metrics_too() {
    let directory = tempfile::tempdir().unwrap();
    let server = restless(directory.path());
    let mut stream = BufReader::new(TcpStream::connect(&server.prometheus).unwrap());
    assert_eq!(send(&mut stream, &request(0, now_ms() - 1000, 1.0)), Some(204));
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

#[test]
fn no_acknowledged_sample_is_lost_when_the_server_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = vec![Vec::new(); WRITERS];
    // Behind the clock, so that every sample is in the past when it is asked for.
    let begin = now_ms() - 1_000_000;
    for round in 0..rounds() {
        // Every other one is killed while it writes files.
        let mut server =
            if round % 2 == 0 { Server::open(directory.path()) } else { restless(directory.path()) };
        check(&server, &acknowledged);
        let noted = Arc::new(Mutex::new(std::mem::take(&mut acknowledged)));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (noted, address) = (Arc::clone(&noted), server.prometheus.clone());
                std::thread::spawn(move || {
                    let Ok(stream) = TcpStream::connect(address) else { return };
                    let mut stream = BufReader::new(stream);
                    for number in round as u32 * 10_000.. {
                        let body = request(writer, begin + i64::from(number), f64::from(number));
                        let Some(status) = send(&mut stream, &body) else { return };
                        assert_eq!(status, 204);
                        noted.lock().unwrap()[writer].push(number);
                    }
                })
            })
            .collect();
        // Somewhere in the middle of things, another place each round.
        std::thread::sleep(Duration::from_millis(20 + (round * 37) % 180));
        server.child.kill().unwrap();
        server.child.wait().unwrap();
        for writer in writers {
            writer.join().unwrap();
        }
        acknowledged = std::mem::take(&mut *noted.lock().unwrap());
    }
    check(&Server::open(directory.path()), &acknowledged);
    assert!(acknowledged.iter().all(|of| of.len() as u64 > rounds()), "the writers hardly wrote");
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
