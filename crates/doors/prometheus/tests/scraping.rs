//! Scraping beside Debian's Prometheus: an exporter whose answers change from scrape to scrape is asked by both, with the same
//! configuration. Prometheus writes what it makes of them into a second store; both have the same series, values and
//! ends. Skipped where Prometheus is not installed.
//!
//! Where an answer is broken, it is so from its beginning: of what Prometheus had read before it saw that, it does not
//! note the end at once (or, if every answer is over a limit, never), and ours does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "door/http.rs"]
#[allow(dead_code)]
mod http;

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use luma_door_prometheus::DoorOptions;
use luma_promql::{FloatHistogram, MatchOp, Matcher, Select, Source, is_stale};
use luma_scrape::{Manager, Settings};
use luma_telemetry::{Metrics, MetricsOptions};
use luma_vfs::SimDisk;
use prost::Message;
use tokio_util::sync::CancellationToken;

use http::{Client, Server, store};

/// How long to wait for what comes within seconds.
const PATIENCE: Duration = Duration::from_mins(1);
/// How many answers an address has of its own; then the last one is given again and again.
const STEPS: usize = 10;

fn wait(what: &str, mut is: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < until, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[derive(Clone, PartialEq, Message)]
struct Pair {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Family {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    help: String,
    #[prost(int32, tag = "3")]
    kind: i32,
    #[prost(message, repeated, tag = "4")]
    metrics: Vec<Metric>,
}

#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Pair>,
    #[prost(message, optional, tag = "2")]
    gauge: Option<Single>,
    #[prost(message, optional, tag = "3")]
    counter: Option<Single>,
    #[prost(message, optional, tag = "4")]
    summary: Option<Summary>,
    #[prost(message, optional, tag = "7")]
    histogram: Option<Histogram>,
}

#[derive(Clone, PartialEq, Message)]
struct Single {
    #[prost(double, tag = "1")]
    value: f64,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(uint64, tag = "1")]
    count: u64,
    #[prost(double, tag = "2")]
    sum: f64,
    #[prost(message, repeated, tag = "3")]
    quantiles: Vec<Two>,
}

#[derive(Clone, PartialEq, Message)]
struct Two {
    #[prost(double, tag = "1")]
    one: f64,
    #[prost(double, tag = "2")]
    two: f64,
}

#[derive(Clone, PartialEq, Message)]
struct Bucket {
    #[prost(uint64, tag = "1")]
    count: u64,
    #[prost(double, tag = "2")]
    bound: f64,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint32, tag = "2")]
    length: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Histogram {
    #[prost(uint64, tag = "1")]
    count: u64,
    #[prost(double, tag = "2")]
    sum: f64,
    #[prost(message, repeated, tag = "3")]
    buckets: Vec<Bucket>,
    #[prost(sint32, tag = "5")]
    schema: i32,
    #[prost(double, tag = "6")]
    zero_threshold: f64,
    #[prost(uint64, tag = "7")]
    zero_count: u64,
    #[prost(message, repeated, tag = "12")]
    spans: Vec<Span>,
    #[prost(sint64, repeated, tag = "13")]
    deltas: Vec<i64>,
}

/// An answer: status, type and body.
type Answer = (u16, &'static str, Vec<u8>);

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const MESSAGES: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// A time that both are told by the target, in milliseconds.
fn started() -> i64 {
    static STARTED: OnceLock<i64> = OnceLock::new();
    *STARTED.get_or_init(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        i64::try_from(since.as_millis()).unwrap()
    })
}

fn text(step: usize) -> Answer {
    let mut body = format!(
        "# HELP requests_total All\\nof them.\n# TYPE requests_total counter\n\
         requests_total{{code=\"200\",path=\"/a\\\"b\\\\\"}} {}\nrequests_total{{code=\"500\"}} {step}e-1\n\
         # TYPE size summary\nsize{{quantile=\"0.5\"}} {step}\nsize_sum 3\nsize_count {step}\n\
         # TYPE took histogram\ntook_bucket{{le=\"0.25\"}} 1\ntook_bucket{{le=\"+Inf\"}} {step}\ntook_sum 7.5\ntook_count 2\n",
        step * 10
    );
    match step {
        1 | 2 => body += "comes_and_goes 1\n",
        3 => body = format!("this is no line\n{body}comes_and_goes 2\n"),
        4 => return (500, TEXT, body.into_bytes()),
        5 => body += "twice 1\ntwice 2\nodd NaN\nodder -Inf\n",
        6 => return (200, TEXT, Vec::new()),
        7 => {
            body += &format!("old{{x=\"\"}} 5 {}\n", started() + 5_000);
            body += "job_only{job=\"own\",instance=\"\",exported_job=\"theirs\"} 1\n";
        }
        8 => return (200, "text/html", b"<html></html>".to_vec()),
        _ => {}
    }
    (200, TEXT, body.into_bytes())
}

fn open(step: usize) -> Answer {
    let wrong = if step == 3 { "# TYPE a thing\n" } else { "" };
    let gone = if step.is_multiple_of(3) { "" } else { "here_seconds 1.5\n" };
    let body = format!(
        "{wrong}# HELP sent Messages.\n# TYPE sent counter\nsent_total{{to=\"x\"}} {step}.0 # {{trace=\"t\"}} 0.5\n\
         # TYPE here_seconds gauge\n# UNIT here_seconds seconds\n{gone}# TYPE state stateset\nstate{{state=\"a\"}} 1\n\
         # TYPE took histogram\ntook_bucket{{le=\"1.0\"}} {step}\ntook_bucket{{le=\"+Inf\"}} {step}\ntook_count {step}\n\
         # TYPE about info\nabout_info{{version=\"1\"}} 1\n# EOF\n"
    );
    (200, OPEN, body.into_bytes())
}

fn messages(step: usize) -> Answer {
    let count = step as u64;
    let label = |name: &str, value: &str| Pair { name: name.to_owned(), value: value.to_owned() };
    let native = Histogram {
        count: 5 * count,
        sum: 2.5 * step as f64,
        zero_threshold: 0.001,
        zero_count: count,
        schema: 2,
        spans: vec![Span { offset: -2, length: 2 }, Span { offset: 3, length: 1 }],
        deltas: vec![count as i64, count as i64, -(count as i64)],
        buckets: Vec::new(),
    };
    let classic = Histogram {
        count,
        sum: 1.0,
        buckets: vec![Bucket { count: count / 2, bound: 0.5 }, Bucket { count, bound: 8.0 }],
        ..Histogram::default()
    };
    let single = |value: f64| Some(Single { value });
    let mut families = vec![
        Family {
            name: "sent_total".into(),
            help: "Messages.".into(),
            kind: 0,
            metrics: vec![Metric {
                labels: vec![label("to", "x")],
                counter: single(step as f64),
                ..Metric::default()
            }],
        },
        Family {
            name: "celsius".into(),
            help: String::new(),
            kind: 1,
            metrics: vec![Metric { gauge: single(-0.5), ..Metric::default() }],
        },
        Family {
            name: "size".into(),
            help: String::new(),
            kind: 2,
            metrics: vec![Metric {
                summary: Some(Summary { count, sum: 4.5, quantiles: vec![Two { one: 0.99, two: f64::NAN }] }),
                ..Metric::default()
            }],
        },
        Family {
            name: "classic".into(),
            help: String::new(),
            kind: 4,
            metrics: vec![Metric { histogram: Some(classic), ..Metric::default() }],
        },
    ];
    if step % 4 != 3 {
        families.push(Family {
            name: "native".into(),
            help: String::new(),
            kind: 4,
            metrics: vec![Metric { histogram: Some(native), ..Metric::default() }],
        });
    }
    let mut body: Vec<u8> = families.iter().flat_map(Message::encode_length_delimited_to_vec).collect();
    if step == 5 {
        body.splice(0..0, [1, 7]);
    }
    (200, MESSAGES, body)
}

fn many(step: usize) -> Answer {
    let lines = (0..step).map(|at| format!("many{{at=\"{at}\",secret=\"x\"}} {at}\n"));
    (200, TEXT, lines.collect::<String>().into_bytes())
}

/// Answers each of its clients with one step after another.
fn exporter() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let steps: Arc<Mutex<HashMap<(String, String), usize>>> = Arc::default();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let steps = Arc::clone(&steps);
            std::thread::spawn(move || {
                let mut stream = BufReader::new(stream.unwrap());
                loop {
                    let (mut first, mut agent) = (String::new(), String::new());
                    if stream.read_line(&mut first).unwrap_or(0) == 0 {
                        return;
                    }
                    loop {
                        let mut line = String::new();
                        stream.read_line(&mut line).unwrap();
                        if line.trim().is_empty() {
                            break;
                        }
                        if let Some(own) = line.to_ascii_lowercase().strip_prefix("user-agent:") {
                            agent = own.trim().split('/').next().unwrap().to_owned();
                        }
                    }
                    let path = first.split(' ').nth(1).unwrap().to_owned();
                    let step = {
                        let mut steps = steps.lock().unwrap();
                        let step = steps.entry((agent, path.clone())).or_insert(0);
                        *step += 1;
                        (*step - 1).min(STEPS)
                    };
                    let (status, kind, body) = match path.split('?').next().unwrap() {
                        "/text" | "/honored" => text(step),
                        "/open" => open(step),
                        "/messages" => messages(step),
                        _ => many(step),
                    };
                    let head = format!(
                        "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
                        body.len()
                    );
                    if stream.get_mut().write_all(&[head.as_bytes(), &body].concat()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn configuration(exporter: SocketAddr) -> String {
    let target = format!("static_configs: [{{targets: ['{exporter}'], labels: {{zone: z}}}}]");
    format!(
        "scrape_configs:\n\
         - {{job_name: text, metrics_path: /text, {target}}}\n\
         - {{job_name: honored, metrics_path: /honored, honor_labels: true, honor_timestamps: false, {target}}}\n\
         - {{job_name: open, metrics_path: /open, {target}}}\n\
         - {{job_name: messages, metrics_path: /messages, {target}}}\n\
         - job_name: changed\n  metrics_path: /changed\n  params: {{a: ['1', '2']}}\n  {target}\n\
         \x20 relabel_configs:\n\
         \x20 - {{source_labels: [__address__, __param_a], separator: '#', target_label: where}}\n\
         \x20 - {{regex: zo(.*), replacement: 'my_$1', action: labelmap}}\n\
         \x20 metric_relabel_configs:\n\
         \x20 - {{source_labels: [at], regex: '1|3', action: drop}}\n\
         \x20 - {{regex: secret, action: labeldrop}}\n\
         \x20 - {{source_labels: [__name__, at], separator: '_', target_label: __name__}}\n\
         - {{job_name: limited, metrics_path: /limited, sample_limit: 3, {target}}}\n\
         - {{job_name: labels, metrics_path: /labels, label_limit: 5, {target}}}\n\
         - {{job_name: names, metrics_path: /names, label_value_length_limit: 3, {target}}}\n\
         - {{job_name: found, metrics_path: /found, file_sd_configs: [{{files: [found.json]}}]}}\n"
    )
}

struct Prometheus {
    process: Child,
    address: SocketAddr,
}

impl Prometheus {
    fn start(directory: &Path, receiver: SocketAddr) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let own = directory.join("prometheus.yml");
        let text = std::fs::read_to_string(directory.join("scrape.yml")).unwrap();
        let write = format!(
            "remote_write:\n- url: http://{receiver}/api/v1/write\n  send_native_histograms: true\n\
             \x20 queue_config: {{max_shards: 1, batch_send_deadline: 500ms}}\n"
        );
        std::fs::write(&own, format!("global: {{scrape_interval: 1s}}\n{text}{write}")).unwrap();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", own.display()))
            .arg(format!("--storage.tsdb.path={}", directory.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--enable-feature=native-histograms")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, address }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// All samples of a job: by series, at which scrape (or, for times that the target said, when) which value.
type Samples = BTreeMap<String, Vec<(String, String)>>;

fn shown(value: f64) -> String {
    if is_stale(value) { "end".to_owned() } else { format!("{value}") }
}

fn shown_histogram(h: &FloatHistogram) -> String {
    if is_stale(h.sum) { "end".to_owned() } else { format!("{h}") }
}

fn samples(store: &Metrics, job: &str) -> Samples {
    let matchers = [Matcher::new(MatchOp::Equal, "of", job).unwrap()];
    let all = Select { matchers: &matchers, start: 0, end: i64::MAX - 1 };
    let mut found: BTreeMap<String, Vec<(i64, String)>> = BTreeMap::new();
    let mut scrapes = Vec::new();
    for series in store.select(&all).unwrap() {
        let series = series.unwrap();
        let name = series.labels.to_string();
        let floats = series.floats.iter().map(|point| (point.t, shown(point.v)));
        let histograms = series.histograms.iter().map(|point| (point.t, shown_histogram(&point.h)));
        let mut points: Vec<(i64, String)> = floats.chain(histograms).collect();
        points.sort();
        if series.labels.metric_name() == "up" {
            scrapes = points.iter().map(|(t, _)| *t).collect();
        }
        if series.labels.metric_name() != "scrape_duration_seconds" {
            found.insert(name, points);
        }
    }
    let at = |t: i64| match scrapes.iter().position(|scrape| *scrape == t) {
        Some(at) => format!("{at:02}"),
        None => format!("at {t}"),
    };
    // Over a limit, Prometheus does not note the end of what it had read before.
    let with_ends = !["limited", "labels", "names"].contains(&job);
    let until = scrapes.get(STEPS).copied().unwrap_or(i64::MAX);
    let within = |series: &str, points: Vec<(i64, String)>| -> Vec<(String, String)> {
        let points = points.into_iter().filter(|(t, value)| *t < until && (with_ends || value != "end"));
        // A time that the target says may be that of a scrape by chance.
        let is_given = |t| t == started() + 5_000 && series.contains("__name__=\"old\"");
        points.map(|(t, value)| (if is_given(t) { format!("at {t}") } else { at(t) }, value)).collect()
    };
    let found = found.into_iter().map(|(series, points)| {
        let points = within(&series, points);
        (series, points)
    });
    found.filter(|(_, points)| !points.is_empty()).collect()
}

#[test]
fn targets_are_scraped_as_prometheus_scrapes_them() {
    if Command::new("prometheus").arg("--version").output().is_err() {
        println!("skipped: there is no prometheus (package prometheus)");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    started();
    let exporter = exporter();
    let file = directory.path().join("scrape.yml");
    let found = directory.path().join("found.json");
    let target = format!(r#"[{{"targets": ["{exporter}"], "labels": {{"zone": "z", "of": "found"}}}}]"#);
    std::fs::write(&found, &target).unwrap();
    let mut text = configuration(exporter);
    for job in ["text", "honored", "open", "messages", "changed", "limited", "labels", "names"] {
        // Each target has the name of its job in a label that no target has itself.
        let (before, after) = text.split_once(&format!("job_name: {job}")).unwrap();
        let after = after.replacen("zone: z}", &format!("zone: z, of: {job}}}"), 1);
        text = format!("{before}job_name: {job}{after}");
    }
    std::fs::write(&file, &text).unwrap();
    let theirs = Server::with(store(&SimDisk::new(), MetricsOptions::default()), DoorOptions::default());
    let prometheus = Prometheus::start(directory.path(), theirs.address);

    let own = directory.path().join("own.yml");
    std::fs::write(&own, format!("global: {{scrape_interval: 1s, scrape_native_histograms: true}}\n{text}"))
        .unwrap();
    let ours = store(&SimDisk::new(), MetricsOptions::default());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let stop = CancellationToken::new();
    let manager = Arc::new(Manager::new(
        runtime.handle().clone(),
        Arc::clone(&ours),
        Duration::from_mins(10),
        Arc::default(),
        stop.clone(),
    ));
    let settings = Settings::read(&own).unwrap();
    runtime.block_on(manager.load(settings));

    let jobs = ["text", "honored", "open", "messages", "changed", "limited", "labels", "names", "found"];
    let scrapes = |store: &Metrics, job: &str| {
        let of = Matcher::new(MatchOp::Equal, "of", job).unwrap();
        let up = Matcher::new(MatchOp::Equal, "__name__", "up").unwrap();
        let select = Select { matchers: &[of, up], start: 0, end: i64::MAX - 1 };
        let points = store.select(&select).unwrap().map(|series| series.unwrap().floats.len());
        points.sum::<usize>()
    };
    wait("both have asked often enough", || {
        jobs.iter().all(|job| scrapes(&ours, job) > STEPS && scrapes(&theirs.store, job) > STEPS)
    });
    for job in &jobs {
        let (ours, theirs) = (samples(&ours, job), samples(&theirs.store, job));
        assert!(theirs.len() >= 4, "{job}: {theirs:#?}");
        for (series, points) in &theirs {
            assert_eq!(ours.get(series), Some(points), "{job}: {series}");
        }
        assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>(), "{job}");
    }

    // What both say of the targets.
    let door = Server::with(
        Arc::clone(&ours),
        DoorOptions { scraper: Some(Arc::clone(&manager)), ..DoorOptions::default() },
    );
    let said = |address: SocketAddr, path: &str| Client::new(address).get(path).data();
    let of = |address: SocketAddr| {
        let mut targets: Vec<_> =
            said(address, "/api/v1/targets")["activeTargets"].as_array().unwrap().clone();
        for target in &mut targets {
            for changing in ["lastScrape", "lastScrapeDuration", "lastError", "globalUrl"] {
                assert!(target.as_object_mut().unwrap().remove(changing).is_some(), "{changing}");
            }
        }
        targets.sort_by_key(|target| target["scrapePool"].as_str().unwrap().to_owned());
        targets
    };
    assert_eq!(of(door.address), of(prometheus.address));
    let path = "/api/v1/targets/metadata?metric=requests_total&match_target=%7Bjob%3D%22text%22%7D";
    assert_eq!(said(door.address, path), said(prometheus.address, path));

    // A target that is found no more ends, two intervals later.
    std::fs::write(&found, "[]").unwrap();
    let ended = |store: &Metrics| {
        let select = Select {
            matchers: &[Matcher::new(MatchOp::Equal, "of", "found").unwrap()],
            start: 0,
            end: i64::MAX - 1,
        };
        let ends: Vec<bool> = store
            .select(&select)
            .unwrap()
            .map(|series| is_stale(series.unwrap().floats.last().unwrap().v))
            .collect();
        (ends.len(), ends.iter().all(|ended| *ended))
    };
    wait("the target's series end", || ended(&ours).1 && ended(&theirs.store).1);
    assert_eq!(ended(&ours), ended(&theirs.store));
    stop.cancel();
}
