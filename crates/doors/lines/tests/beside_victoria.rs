//! The same lines into VictoriaMetrics and into the door: both make the same series of them. Skipped where it is not installed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use luma_door_lines::{Door, DoorOptions, Protocol};
use luma_promql::{MatchOp, Matcher, Select, Source};
use luma_telemetry::{Metrics, MetricsOptions};
use luma_vfs::SimDisk;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// How long to wait for what comes within seconds.
const PATIENCE: Duration = Duration::from_mins(1);

fn wait(what: &str, mut is: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < until, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The status, headers and body of an answer.
fn send(address: SocketAddr, method: &str, path: &str, headers: &str, body: &[u8]) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n",
        body.len()
    );
    if let Err(error) = stream.write_all(&[head.as_bytes(), body].concat()) {
        // What is too long is answered before all of it was taken.
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe, "{error}");
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let body = if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        dechunked(body)
    } else {
        body.to_owned()
    };
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_ascii_lowercase(), body)
}

fn dechunked(mut body: &str) -> String {
    let mut out = String::new();
    while let Some((length, rest)) = body.split_once("\r\n") {
        let length = usize::from_str_radix(length.trim(), 16).unwrap();
        out += &rest[..length];
        body = rest.get(length + 2..).unwrap_or_default();
    }
    out
}

fn post(address: SocketAddr, path: &str, body: &str) -> u16 {
    send(address, "POST", path, "", body.as_bytes()).0
}

/// The addresses of a server of lines.
#[derive(Clone, Copy)]
struct At {
    http: SocketAddr,
    put: SocketAddr,
    graphite: SocketAddr,
    opentsdb: SocketAddr,
}

struct Victoria {
    process: Child,
    at: At,
    _directory: tempfile::TempDir,
}

impl Victoria {
    fn start() -> Option<Self> {
        if Command::new("victoria-metrics").arg("--version").output().is_err() {
            println!("skipped: there is no victoria-metrics (package victoria-metrics)");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let at = At { http: free(), put: free(), graphite: free(), opentsdb: free() };
        let process = Command::new("victoria-metrics")
            .arg(format!("-storageDataPath={}", directory.path().display()))
            .arg(format!("-httpListenAddr={}", at.http))
            .arg(format!("-opentsdbHTTPListenAddr={}", at.put))
            .arg(format!("-opentsdbListenAddr={}", at.opentsdb))
            .arg(format!("-graphiteListenAddr={}", at.graphite))
            .arg("-retentionPeriod=100y")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let own = Self { process, at, _directory: directory };
        wait("VictoriaMetrics is ready", || {
            [at.http, at.put, at.graphite, at.opentsdb].iter().all(|at| TcpStream::connect(at).is_ok())
        });
        Some(own)
    }

    fn samples(&self) -> Samples {
        send(self.at.http, "GET", "/internal/force_flush", "", b"");
        let path = "/api/v1/export?match[]=%7B__name__!=%22%22%7D&start=0";
        let (status, _, body) = send(self.at.http, "GET", path, "", b"");
        assert_eq!(status, 200, "{body}");
        let mut found = Samples::new();
        for line in body.lines() {
            let series: Value = serde_json::from_str(line).unwrap();
            let labels = series["metric"].as_object().unwrap().iter();
            let labels: BTreeMap<String, String> =
                labels.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect();
            let times = series["timestamps"].as_array().unwrap().iter().map(|t| t.as_i64().unwrap());
            let values = series["values"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap());
            found.entry(labels).or_default().extend(times.zip(values.map(|v| v.to_string())));
        }
        found
    }
}

impl Drop for Victoria {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Times and values by labels.
type Samples = BTreeMap<BTreeMap<String, String>, Vec<(i64, String)>>;

struct Own {
    store: Arc<Metrics>,
    at: At,
    stop: CancellationToken,
    runtime: tokio::runtime::Runtime,
}

impl Own {
    fn start(options: DoorOptions) -> Self {
        let settings = MetricsOptions { out_of_order_window_ms: i64::MAX, ..MetricsOptions::default() };
        let store = Arc::new(Metrics::open(Arc::new(SimDisk::new()), Path::new("/m"), settings).unwrap());
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listen = || runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let (http, graphite, opentsdb) = (listen(), listen(), listen());
        let at = At {
            http: http.local_addr().unwrap(),
            put: http.local_addr().unwrap(),
            graphite: graphite.local_addr().unwrap(),
            opentsdb: opentsdb.local_addr().unwrap(),
        };
        let datagrams = runtime.block_on(tokio::net::UdpSocket::bind(at.graphite)).unwrap();
        let stop = CancellationToken::new();
        let door = Door::new(Arc::clone(&store), options);
        let routes = door.routes();
        runtime.spawn(async move { axum::serve(http, routes).await.unwrap() });
        for (listener, protocol) in [(graphite, Protocol::Graphite), (opentsdb, Protocol::OpenTsdb)] {
            let (door, stop) = (door.clone(), stop.clone());
            runtime.spawn(async move { door.listen(listener, protocol, stop).await });
        }
        let until = stop.clone();
        runtime.spawn(async move { door.listen_datagrams(datagrams, Protocol::Graphite, until).await });
        Self { store, at, stop, runtime }
    }

    fn samples(&self) -> Samples {
        let all = [Matcher::new(MatchOp::NotEqual, "__name__", "").unwrap()];
        let select = Select { matchers: &all, start: 0, end: i64::MAX - 1 };
        let mut found = Samples::new();
        for series in self.store.select(&select).unwrap() {
            let series = series.unwrap();
            let labels = series.labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
            let points = series.floats.iter().map(|point| (point.t, point.v.to_string()));
            found.insert(labels.collect(), points.collect());
        }
        found
    }

    fn end(self) {
        self.stop.cancel();
        self.runtime.shutdown_background();
    }
}

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// What is sent to both; the times are in milliseconds, rather new. Words that are no numbers are not among it: VictoriaMetrics
/// takes them for 0, and ours refuses them as the protocols' own servers do.
fn write(at: At, t: i64) {
    let s = t / 1000;
    let influx = format!(
        "# a comment\n\
         cpu,host=a,zone=x usage=1.5,idle=98i,on=t,off=false,big=5u {t}000000\r\n\
         cpu,host=b usage=-2e3 {t}999999\n\n\
         we\\ ather,loc\\,ation=us\\ mid\\=west,empty= temp\\ er=82,text=\"so, \\\"it\\\" is\",number=\"7\" {t}000000\n\
         net.if,path=C:\\dir rx=1 {t}000000\n\
         nothing,host=a\n\
         cpu,host=d usage=\"x {t}000000\n\
         cpu,host=e usage=3i,more=TRUE {t}000000\n"
    );
    post(at.http, "/write?db=own", &influx);
    post(at.http, "/write?precision=s", &format!("p,in=s v=1 {s}\n"));
    post(at.http, "/write?precision=ms&db=x", &format!("p,in=ms,db=mine v=1 {t}\n"));
    post(at.http, "/api/v2/write?precision=us&bucket=b&org=o", &format!("p,in=us v=1 {t}000\n"));
    post(at.http, "/write?precision=m", &format!("p,in=m v=1 {}\n", s / 60));
    post(at.http, "/write?precision=h", &format!("p,in=h v=1 {}\n", s / 3600));
    post(
        at.put,
        "/api/put",
        &format!(
            "[{{\"metric\": \"sys.cpu\", \"timestamp\": {s}, \"value\": 18, \"tags\": {{\"host\": \"a\"}}}},\n\
             {{\"metric\": \"sys.cpu\", \"timestamp\": {t}, \"value\": \"19.5\", \"tags\": {{\"host\": \"b\"}}}}]"
        ),
    );
    post(
        at.put,
        "/api/put?details",
        &format!("{{\"metric\":\"one\",\"timestamp\":{s},\"value\":-1,\"tags\":{{\"a\":\"b\"}}}}"),
    );
    let mut telnet = TcpStream::connect(at.opentsdb).unwrap();
    let lines = format!("put sys.load {s} 1.25 host=a dc=x\nput sys.load {s} 2 host=b\n");
    telnet.write_all(lines.as_bytes()).unwrap();
    let mut graphite = TcpStream::connect(at.graphite).unwrap();
    let lines = format!("a.b.c 1 {s}\na.b.c;host=x;dc=y 2.5 {s}\nbad\na-b_c;t=v -3e2 {s}.75\nlast 4 {s}");
    for part in lines.as_bytes().chunks(20) {
        graphite.write_all(part).unwrap();
        graphite.flush().unwrap();
    }
    drop(graphite);
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    datagrams.send_to(format!("udp.one 1 {s}\nudp.two;x=y 2 {s}\n").as_bytes(), at.graphite).unwrap();
}

#[test]
fn lines_become_the_series_that_victoria_metrics_makes_of_them() {
    let Some(theirs) = Victoria::start() else { return };
    let ours = Own::start(DoorOptions::default());
    let t = now() - 60_000;
    write(theirs.at, t);
    write(ours.at, t);
    let is_whole = |samples: &Samples| {
        let names: Vec<&str> = samples.keys().map(|labels| labels["__name__"].as_str()).collect();
        ["last", "udp.two", "sys.load", "one"].iter().all(|name| names.contains(name))
    };
    wait("all lines are in both", || is_whole(&theirs.samples()) && is_whole(&ours.samples()));
    let (own, expected) = (ours.samples(), theirs.samples());
    assert!(expected.len() > 20, "{expected:#?}");
    for (labels, points) in &expected {
        assert_eq!(own.get(labels), Some(points), "{labels:?} of {own:#?}");
    }
    let more: Vec<_> = own.keys().filter(|labels| !expected.contains_key(*labels)).collect();
    assert!(more.is_empty(), "{more:?}");
    ours.end();
}

#[test]
fn lines_without_a_time_have_that_of_arrival() {
    let ours = Own::start(DoorOptions::default());
    let before = now();
    assert_eq!(post(ours.at.http, "/write", "m v=1"), 204);
    assert_eq!(post(ours.at.http, "/api/put", "{\"metric\": \"m\", \"value\": 1, \"tags\": {}}"), 204);
    let mut graphite = TcpStream::connect(ours.at.graphite).unwrap();
    graphite.write_all(b"g 1\ng;x=y 1 -1\n").unwrap();
    wait("lines arrive", || ours.samples().len() == 4);
    for (labels, points) in ours.samples() {
        assert!((before - 1000..=now()).contains(&points[0].0), "{labels:?} {points:?}");
    }
    ours.end();
}

#[test]
fn what_is_wrong_is_answered_as_each_protocol_has_it() {
    let options = DoorOptions { request_bytes_max: 1 << 20, ..DoorOptions::default() };
    let ours = Own::start(options);
    let t = now();
    let (status, head, body) = send(
        ours.at.http,
        "POST",
        "/write?precision=ms",
        "",
        format!("good v=1 {t}\nbad\nbad v= {t}\n").as_bytes(),
    );
    assert_eq!(status, 400);
    let body: Value = serde_json::from_str(&body).unwrap();
    let expected = format!(
        "partial write: unable to parse 'bad': missing fields\nunable to parse 'bad v= {t}': missing field value dropped=2"
    );
    assert_eq!(body["error"], expected);
    assert!(head.contains("x-influxdb-error: partial write"), "{head}");
    let far = t + 3_600_000;
    let (status, _, body) =
        send(ours.at.http, "POST", "/api/v2/write?precision=ms", "", format!("far v=1 {far}\n").as_bytes());
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["code"]), (400, &"invalid".into()));
    assert!(body["message"].as_str().unwrap().contains("too far in the future"), "{body}");
    assert_eq!(post(ours.at.http, "/write?precision=d", "m v=1"), 400);
    let long = format!("long,tag={} v=1 {t}\nshort v=1 {t}\n", "x".repeat(300 << 10));
    assert_eq!(post(ours.at.http, "/write?precision=ms", &long), 400);
    assert_eq!(post(ours.at.http, "/write", &"x".repeat(2 << 20)), 413);
    assert_eq!(send(ours.at.http, "POST", "/write", "content-encoding: br\r\n", b"x").0, 415);
    assert_eq!(send(ours.at.http, "POST", "/write", "content-encoding: gzip\r\n", b"x").0, 400);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(format!("packed v=1 {t}\n").as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    assert_eq!(
        send(ours.at.http, "POST", "/write?precision=ms", "content-encoding: gzip\r\n", &packed).0,
        204
    );

    let points = format!(
        "[{{\"metric\":\"put\",\"timestamp\":{t},\"value\":1,\"tags\":{{\"a\":5}}}},{{\"metric\":\"\",\"value\":1}}]"
    );
    let asked = |path: &str, body: &str| {
        let (status, _, body) = send(ours.at.http, "POST", path, "", body.as_bytes());
        (status, serde_json::from_str::<Value>(&body).unwrap())
    };
    let (status, answer) = asked("/api/put?details=true", &points);
    assert_eq!((status, &answer["success"], &answer["failed"]), (400, &1.into(), &1.into()));
    assert_eq!(answer["errors"][0]["error"], "Metric name was empty");
    assert_eq!(answer["errors"][0]["datapoint"]["value"], 1);
    let (status, answer) = asked("/api/put?summary", &points);
    assert_eq!((status, answer), (400, serde_json::json!({"success": 1, "failed": 1})));
    assert_eq!(asked("/api/put", "nothing").1["error"]["code"], 400);
    assert_eq!(asked("/api/put", &points).1["error"]["message"], "One or more data points had errors");

    let mut telnet = TcpStream::connect(ours.at.opentsdb).unwrap();
    telnet.set_read_timeout(Some(PATIENCE)).unwrap();
    telnet.write_all(b"version\n").unwrap();
    let mut answer = [0; 100];
    let length = telnet.read(&mut answer).unwrap();
    assert_eq!(&answer[..length], b"put: unknown command, only put is taken: 'version'\n");
    // A line that does not end is not collected for ever.
    let endless = "x".repeat(64 << 10);
    let mut graphite = TcpStream::connect(ours.at.graphite).unwrap();
    wait("the connection ends", || graphite.write_all(endless.as_bytes()).is_err());

    assert_eq!(send(ours.at.http, "GET", "/ping", "", b"").0, 204);
    assert_eq!(send(ours.at.http, "GET", "/query?q=CREATE+DATABASE+x", "", b"").0, 200);
    assert_eq!(send(ours.at.http, "GET", "/query?q=SELECT+1", "", b"").0, 400);
    assert!(ours.samples().keys().any(|labels| labels.get("a").is_some_and(|tag| tag == "5")));
    let names: Vec<String> = ours.samples().into_keys().map(|labels| labels["__name__"].clone()).collect();
    assert_eq!(names, ["good_v", "packed_v", "put", "short_v"]);
    ours.end();
}
