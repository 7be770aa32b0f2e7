//! The same samples into VictoriaMetrics and into a source in memory, the same queries to both: the same answers. Queries are the
//! lines of `tests/queries.txt`; those that differ are in `tests/differences.txt` with the reason. Skipped where it is not installed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use luma_metricsql::{instant, range};
use luma_promql::{Labels, MemorySource, Options, STALE_MARKER, Sample, Value};

/// 2024-05-01 00:00:00 UTC.
const START: i64 = 1_714_521_600_000;
const MINUTE: i64 = 60_000;

/// Answers by labels: times and values.
type Answer = BTreeMap<String, Vec<(i64, f64)>>;

struct Victoria {
    process: Child,
    at: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Victoria {
    fn start() -> Option<Self> {
        if Command::new("victoria-metrics").arg("--version").output().is_err() {
            println!("skipped: there is no victoria-metrics (package victoria-metrics)");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let process = Command::new("victoria-metrics")
            .arg(format!("-storageDataPath={}", directory.path().display()))
            .arg(format!("-httpListenAddr={at}"))
            .arg("-retentionPeriod=100y")
            .arg("-search.disableCache")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let until = Instant::now() + Duration::from_mins(1);
        while TcpStream::connect(at).is_err() {
            assert!(Instant::now() < until, "VictoriaMetrics does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(Self { process, at, _directory: directory })
    }

    fn send(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.at).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.0\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    fn query(&self, query: &str, when: When) -> Result<Answer, String> {
        let query: String = query.bytes().fold(String::new(), |mut out, byte| {
            let _ = write!(out, "%{byte:02x}");
            out
        });
        let seconds = |t: i64| t as f64 / 1e3;
        let (path, form) = match when {
            When::At(t) => ("query", format!("query={query}&time={}&nocache=1", seconds(t))),
            When::Range(start, end, step) => {
                let (start, end, step) = (seconds(start), seconds(end), seconds(step));
                ("query_range", format!("query={query}&start={start}&end={end}&step={step}&nocache=1"))
            }
        };
        let (_, body) = self.send("POST", &format!("/api/v1/{path}"), &form);
        let body: serde_json::Value =
            serde_json::from_str(&body).map_err(|error| format!("{error}: {body}"))?;
        if body["status"] != "success" {
            return Err(body["error"].to_string());
        }
        let mut answer = Answer::new();
        for series in body["data"]["result"].as_array().unwrap() {
            let labels = series["metric"].as_object().unwrap().iter();
            let labels = Labels::new(labels.map(|(name, value)| (name.as_str(), value.as_str().unwrap())));
            let points = match &series["values"] {
                serde_json::Value::Array(points) => points.clone(),
                _ => vec![series["value"].clone()],
            };
            let point = |point: &serde_json::Value| {
                let t = (point[0].as_f64().unwrap() * 1e3).round() as i64;
                (t, point[1].as_str().unwrap().replace("Inf", "inf").parse().unwrap())
            };
            answer.insert(labels.to_string(), points.iter().map(point).collect());
        }
        Ok(answer)
    }
}

impl Drop for Victoria {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[derive(Debug, Clone, Copy)]
enum When {
    At(i64),
    Range(i64, i64, i64),
}

fn own(source: &MemorySource, query: &str, when: When) -> Result<Answer, String> {
    let options = Options::default();
    let answer = match when {
        When::At(t) => instant(source, query, t, None, &options),
        When::Range(start, end, step) => range(source, query, start, end, step, &options),
    };
    match answer.map_err(|error| error.to_string())?.value {
        Value::Vector(t, samples) => Ok(samples
            .into_iter()
            .map(|sample| match sample.value {
                Sample::Float(value) => (sample.labels.to_string(), vec![(t, value)]),
                Sample::Histogram(_) => panic!("a histogram"),
            })
            .collect()),
        Value::Matrix(series) => Ok(series
            .into_iter()
            .map(|series| {
                (series.labels.to_string(), series.floats.iter().map(|point| (point.t, point.v)).collect())
            })
            .collect()),
        other => panic!("{other:?}"),
    }
}

/// Samples as there are: gauges, counters that begin anew, series that end and come, histograms, gaps, stale markers.
fn samples() -> Vec<(Labels, Vec<(i64, f64)>)> {
    let mut all = Vec::new();
    let mut add = |pairs: &[(&str, &str)], every: i64, value: &dyn Fn(i64) -> Option<f64>| {
        let times = (0..6 * 60 * MINUTE / every).map(|at| (START + at * every, at));
        let points = times.filter_map(|(t, at)| Some((t, value(at)?))).collect();
        all.push((Labels::new(pairs.iter().copied()), points));
    };
    let jitter = |at: i64, seed: i64| ((at * 7919 + seed * 104_729) % 1000) as f64 / 100.0;
    for (number, host) in ["a", "b", "c"].into_iter().enumerate() {
        let seed = number as i64;
        for (mode, by) in [("idle", 4.0), ("user", 5.0), ("system", 7.0)] {
            let pairs = [("__name__", "cpu_seconds_total"), ("host", host), ("mode", mode), ("job", "node")];
            add(&pairs, 15_000, &|at| {
                // It begins anew after three hours, that of b a little later.
                let from = if at >= 720 + seed { 720 + seed } else { 0 };
                Some((at - from) as f64 * by + (number as f64 * 10.0 + by) / 128.0)
            });
        }
        add(&[("__name__", "load"), ("host", host), ("job", "node")], 15_000, &|at| {
            Some(1.0 + jitter(at / 3, seed) / 4.0 + number as f64 / 128.0)
        });
        add(&[("__name__", "temp"), ("host", host), ("floor", "1")], MINUTE, &|at| {
            // Half an hour is missing.
            (!(100..130).contains(&at)).then(|| 20.0 + jitter(at, seed) / 2.0 - 4.0)
        });
        for (place, le) in ["0.1", "0.5", "1", "2.5", "+Inf"].into_iter().enumerate() {
            let share = [0.2, 0.6, 0.8, 0.95, 1.0][place];
            add(&[("__name__", "latency_bucket"), ("host", host), ("le", le)], 30_000, &|at| {
                Some(((at * (3 + seed)) as f64 * share).floor())
            });
        }
    }
    add(&[("__name__", "late"), ("host", "a")], MINUTE, &|at| (at >= 180).then_some(at as f64));
    add(&[("__name__", "gone"), ("host", "a")], MINUTE, &|at| match at {
        ..200 => Some(5.0),
        200 => Some(STALE_MARKER),
        _ => None,
    });
    add(&[("__name__", "steps"), ("kind", "x")], MINUTE, &|at| Some(((at / 17) % 5) as f64));
    add(&[("__name__", "flat")], MINUTE, &|_| Some(7.0));
    add(&[("__name__", "app.web.requests"), ("Zone", "Eu-West")], MINUTE, &|at| Some(at as f64 / 2.0));
    add(&[("__name__", "size_bytes"), ("disk", "sda1"), ("weight", "12.5")], MINUTE, &|at| {
        Some((at % 7) as f64 * 1e9)
    });
    all
}

fn alike(a: f64, b: f64) -> bool {
    (a.is_nan() && b.is_nan()) || a == b || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-3)
}

fn same(a: &Answer, b: &Answer) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|((a_labels, a), (b_labels, b))| {
            a_labels == b_labels
                && a.len() == b.len()
                && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && alike(a.1, b.1))
        })
}

/// The first difference of two answers.
fn difference(victoria: &Answer, own: &Answer) -> String {
    for (labels, theirs) in victoria {
        let Some(ours) = own.get(labels) else { return format!("{labels} is missing") };
        for (theirs, ours) in theirs.iter().zip(ours) {
            if theirs.0 != ours.0 || !alike(theirs.1, ours.1) {
                let minute = (theirs.0 - START) as f64 / MINUTE as f64;
                return format!("{labels} at minute {minute}: {theirs:?}, ours {ours:?}");
            }
        }
        if theirs.len() != ours.len() {
            return format!("{labels} has {} points, ours {}", theirs.len(), ours.len());
        }
    }
    let more = own.keys().find(|labels| !victoria.contains_key(*labels));
    more.map_or_else(String::new, |labels| format!("{labels} is more"))
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[test]
fn queries_have_the_answers_of_victoria_metrics() {
    let Some(victoria) = Victoria::start() else { return };
    let mut source = MemorySource::default();
    let mut text = String::new();
    for (labels, points) in samples() {
        let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name:?}:{value:?}")).collect();
        let fresh = points.iter().filter(|(_, value)| !value.is_nan());
        let (times, values): (Vec<String>, Vec<String>) =
            fresh.map(|(t, value)| (t.to_string(), value.to_string())).unzip();
        let _ = writeln!(
            text,
            "{{\"metric\":{{{}}},\"values\":[{}],\"timestamps\":[{}]}}",
            pairs.join(","),
            values.join(","),
            times.join(",")
        );
        for (t, value) in points.iter().filter(|(_, value)| !value.is_nan()) {
            source.insert(&labels, *t, 0, Sample::Float(*value));
        }
    }
    assert_eq!(victoria.send("POST", "/api/v1/import", &text).0, 204);
    victoria.send("GET", "/internal/force_flush", "");
    let whens = [
        When::At(START + 200 * MINUTE),
        When::Range(START + 170 * MINUTE, START + 230 * MINUTE, MINUTE),
        When::Range(START + 90 * MINUTE + 7_000, START + 140 * MINUTE, 20_000),
        When::Range(START - 10 * MINUTE, START + 370 * MINUTE, 10 * MINUTE),
    ];
    let known: Vec<&str> = lines(include_str!("differences.txt")).collect();
    let (mut count, mut wrong, mut fine) = (0, String::new(), Vec::new());
    let (queries, errors) = include_str!("queries.txt").split_once("# Errors").unwrap();
    let (errors, more) = errors.split_once("# Newer").unwrap();
    for query in lines(queries).chain(lines(more)).chain(lines(errors)) {
        count += 1;
        let mut differs = None;
        for when in whens {
            let (theirs, ours) = (victoria.query(query, when), own(&source, query, when));
            let what = match (&theirs, &ours) {
                (Ok(theirs), Ok(ours)) if same(theirs, ours) => continue,
                (Err(_), Err(_)) if lines(errors).any(|error| error == query) => continue,
                (Err(theirs), Err(ours)) => format!("both fail: {theirs}, {ours}"),
                (Ok(theirs), Ok(ours)) => difference(theirs, ours),
                (Ok(_), Err(error)) => format!("ours fails: {error}"),
                (Err(error), Ok(_)) => format!("theirs fails: {error}"),
            };
            differs = Some((when, what));
            break;
        }
        match (differs, known.contains(&query)) {
            (Some((when, what)), false) => {
                let _ = writeln!(wrong, "{query}\n    {when:?}: {what}");
            }
            (None, true) => fine.push(query),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "of {count} queries these differ:\n{wrong}");
    assert!(fine.is_empty(), "no longer different: {fine:?}");
    assert!(count >= 300, "{count} queries");
}
