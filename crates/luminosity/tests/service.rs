//! The HTTP service, over real sockets where that matters.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use luminosity::{Config, Engine, Entry, Mode, Service, Settings, SourceConfig};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tower::ServiceExt;

const BASE: &str = "https://example.com";

struct Running {
    address: SocketAddr,
    engine: Engine,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
    _directory: tempfile::TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.thread.take().unwrap().join().unwrap();
    }
}

fn start(config: Config, entries_per_fragment: u32) -> Running {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings {
        entries_per_fragment: Some(entries_per_fragment),
        stylesheet: config.output.stylesheet.clone(),
        ..Settings::new(BASE)
    };
    let engine = Engine::open(directory.path(), settings).unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let (tell, told) = std::sync::mpsc::channel();
    let serving = engine.clone();
    let thread = std::thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            let service = Service::new(serving, config, true).unwrap();
            service.run(listener, async { drop(stopped.await) }).await.unwrap();
        });
    });
    let address = told.recv().unwrap();
    Running { address, engine, stop: Some(stop), thread: Some(thread), _directory: directory }
}

struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Reply {
    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Running {
    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        // One connection per request, spoken by hand, so that nothing is decoded or followed on the way.
        use std::io::Write;
        let mut stream = std::net::TcpStream::connect(self.address).unwrap();
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let headers: Vec<_> = headers.collect();
        assert!(
            headers.iter().all(|(name, _)| name != "transfer-encoding") || method == "GET" && path == "/urls"
        );
        Reply { status, headers, body: answer[end + 4..].to_vec() }
    }

    fn get(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.ask("GET", path, headers, b"")
    }
}

fn inflated(bytes: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
    text
}

fn locs(xml: &str) -> BTreeSet<String> {
    let document = roxmltree::Document::parse(xml).unwrap();
    document
        .descendants()
        .filter(|node| node.has_tag_name("loc") || node.tag_name().name() == "loc")
        .map(|node| node.text().unwrap().to_owned())
        .collect()
}

#[test]
fn a_sitemap_becomes_an_index_of_fragments_and_every_form_is_right() {
    let running = start(Config::default(), 100);
    let empty = running.get("/sitemap.xml", &[]);
    assert_eq!((empty.status, locs(&empty.text()).len()), (200, 0));
    running.engine.add_many((0..50).map(|number| Entry::new(format!("/{number}?a&b")))).unwrap();
    let single = running.get("/sitemap.xml", &[]);
    assert_eq!(locs(&single.text()).len(), 50);
    running.engine.add_many((50..250).map(|number| Entry::new(format!("/{number}?a&b")))).unwrap();
    let index = running.get("/sitemap.xml", &[]).text();
    let named: Vec<String> = (1..=3).map(|number| format!("{BASE}/sitemap-{number}.xml")).collect();
    assert_eq!(locs(&index), named.iter().cloned().collect());
    let mut all = BTreeSet::new();
    for number in 1..=3 {
        let plain = running.get(&format!("/sitemap-{number}.xml"), &[]);
        assert_eq!((plain.status, plain.header("content-type")), (200, "application/xml; charset=utf-8"));
        assert_eq!(plain.header("content-length"), plain.body.len().to_string());
        let coded = running.get(&format!("/sitemap-{number}.xml"), &[("accept-encoding", "gzip, br")]);
        assert_eq!((coded.header("content-encoding"), coded.header("vary")), ("gzip", "accept-encoding"));
        let file = running.get(&format!("/sitemap-{number}.xml.gz"), &[]);
        assert_eq!((file.header("content-encoding"), file.header("content-type")), ("", "application/gzip"));
        let page = running.get(&format!("/sitemap.xml?page={number}"), &[]);
        assert!(plain.text() == inflated(&coded.body) && coded.body == file.body && page.body == plain.body);
        all.extend(locs(&plain.text()));
        let head = running.ask("HEAD", &format!("/sitemap-{number}.xml"), &[], b"");
        assert_eq!(
            (head.header("content-length"), head.header("etag"), head.body.len()),
            (plain.header("content-length"), plain.header("etag"), 0)
        );
    }
    assert_eq!(all.len(), 250);
    for path in ["/sitemap-4.xml", "/sitemap-0.xml", "/sitemap.xml?page=0", "/nothing", "/../etc/passwd"] {
        assert_eq!(running.get(path, &[]).status, 404, "{path}");
    }
    assert_eq!(running.ask("PUT", "/sitemap.xml", &[], b"").status, 405);
    assert!(running.get("/robots.txt", &[]).text().contains("Sitemap: https://example.com/sitemap.xml"));
    roxmltree::Document::parse(&running.get("/sitemap.xsl", &[]).text()).unwrap();
}

#[test]
fn what_is_known_is_not_sent_and_parts_make_the_whole() {
    let running = start(Config::default(), 50_000);
    running.engine.add_many((0..3000).map(|number| Entry::new(format!("/{number}")))).unwrap();
    for (path, encoding) in
        [("/sitemap-1.xml", ""), ("/sitemap-1.xml", "gzip"), ("/sitemap-1.xml.gz", ""), ("/sitemap.xml", "")]
    {
        let whole = running.get(path, &[("accept-encoding", encoding)]);
        let tag = whole.header("etag").to_owned();
        let known = running.get(path, &[("accept-encoding", encoding), ("if-none-match", &tag)]);
        assert_eq!((known.status, known.body.len(), known.header("etag")), (304, 0, tag.as_str()));
        let mut joined = Vec::new();
        let length = whole.body.len();
        for start in (0..length).step_by(7001) {
            let range = format!("bytes={start}-{}", start + 7000);
            let part =
                running.get(path, &[("accept-encoding", encoding), ("range", &range), ("if-range", &tag)]);
            assert_eq!(part.status, 206);
            let end = (start + 7001).min(length);
            assert_eq!(part.header("content-range"), format!("bytes {start}-{}/{length}", end - 1));
            joined.extend(part.body);
        }
        assert!(joined == whole.body, "{path} {encoding}");
        let beyond =
            running.get(path, &[("accept-encoding", encoding), ("range", &format!("bytes={length}-"))]);
        assert_eq!(
            (beyond.status, beyond.header("content-range")),
            (416, format!("bytes */{length}").as_str())
        );
    }
    std::thread::sleep(Duration::from_millis(1100));
    let date = running.get("/sitemap-1.xml", &[]).header("last-modified").to_owned();
    assert!(date.ends_with("GMT"), "{date}");
    assert_eq!(running.get("/sitemap-1.xml", &[("if-modified-since", &date)]).status, 304);
    let before = running.get("/sitemap-1.xml", &[]).header("etag").to_owned();
    running.engine.remove("/7").unwrap();
    let after = running.get("/sitemap-1.xml", &[("if-none-match", &before), ("if-modified-since", &date)]);
    assert_eq!(after.status, 200, "a change shows in the next request");
    assert!(!after.text().contains("/7<"));
}

#[test]
fn changes_come_as_json_lines_and_webhooks_and_wrong_ones_are_named() {
    let config: Config =
        serde_json::from_str(r#"{"server":{"token":"t0ken","webhookSecret":"Jefe"}}"#).unwrap();
    let running = start(config, 1000);
    let auth = ("authorization", "Bearer t0ken");
    for (headers, status) in
        [(vec![], 401), (vec![("authorization", "Bearer wrong")], 401), (vec![auth], 200)]
    {
        assert_eq!(running.ask("POST", "/urls", &headers, br#"{"url":"/one?a=1&b=2"}"#).status, status);
    }
    let seen = running.get("/sitemap.xml", &[]).text();
    assert!(seen.contains("/one?a=1&amp;b=2"), "visible at once: {seen}");
    let array =
        br#"[{"url":"/two"},{"url":"https://evil.test/"},{"url":"/three","priority":7},{"url":"/four"}]"#;
    let reply = running.ask("POST", "/urls", &[auth, ("content-type", "application/json")], array).json();
    assert_eq!((&reply["added"], &reply["rejected"]), (&2.into(), &2.into()), "{reply}");
    let lines = b"{\"url\":\"/five\"}\n\n{\"op\":\"remove\",\"url\":\"/two\"}\nnonsense\n{\"op\":\"add\",\"timestamp\":1,\"entry\":{\"url\":\"/six\"}}";
    let reply = running.ask("POST", "/urls", &[auth, ("content-type", "application/x-ndjson")], lines).json();
    assert_eq!(
        (&reply["added"], &reply["removed"], &reply["rejects"][0]["at"]),
        (&2.into(), &1.into(), &4.into()),
        "{reply}"
    );
    // As curl --data-binary @pages.jsonl sends it.
    let unsaid = b"{\"url\":\"/seven\"}\nnonsense\n{\"op\":\"remove\",\"url\":\"/seven\"}\n";
    let reply = running.ask("POST", "/urls", &[auth], unsaid).json();
    assert_eq!(
        (&reply["added"], &reply["removed"], &reply["rejects"][0]["at"]),
        (&1.into(), &1.into(), &2.into()),
        "{reply}"
    );
    assert_eq!(running.ask("POST", "/urls", &[auth], b"{\n\"url\":\n\"/seven\"}").json()["added"], 1);
    assert_eq!(running.ask("DELETE", "/urls?url=/seven", &[auth], b"").json()["removed"], 1);
    let bad = running.ask("POST", "/urls", &[auth], br#"{"url":"https://evil.test/"}"#);
    assert_eq!(bad.status, 422);
    assert!(bad.json()["rejects"][0]["reason"].as_str().unwrap().contains("evil.test"));
    assert_eq!(running.ask("POST", "/urls", &[auth], b"").status, 400);
    let one = running.get("/urls?url=/five", &[auth]);
    assert_eq!(one.json()["url"], "https://example.com/five");
    assert_eq!(running.get("/urls?url=/none", &[auth]).status, 404);
    assert_eq!(running.get("/urls", &[]).status, 401);
    assert_eq!(running.get("/urls", &[auth]).text().matches("\"url\"").count(), 4);
    let gone = running.ask("DELETE", "/urls?url=/five&url=/none", &[auth], b"").json();
    assert_eq!((&gone["removed"], &gone["absent"]), (&1.into(), &1.into()));
    let gone = running.ask("DELETE", "/urls", &[auth], br#"["/four", {"url": "/six"}]"#).json();
    assert_eq!(gone["removed"], 2);
    assert_eq!(running.ask("DELETE", "/urls", &[], b"[\"/one\"]").status, 401);
    let moved = running.ask("POST", "/redirects", &[auth], br#"{"from":"/one?a=1&b=2","to":"/uno"}"#);
    assert_eq!(moved.status, 200);
    assert!(running.get("/sitemap.xml", &[]).text().contains("/uno<"));
    // Signed outside of this program: printf '{"url":"/hook"}' | openssl dgst -sha256 -hmac Jefe
    let signature = format!("sha256={}", "c083c250f32453a46e94c5da9580ff210d71e8dca3e7f1bcd7b9c5e56b78b4cd");
    assert_eq!(
        running
            .ask("POST", "/webhook", &[("x-luminosity-signature", &signature)], br#"{"url":"/hook"}"#)
            .status,
        200
    );
    assert_eq!(
        running
            .ask("POST", "/webhook", &[("x-luminosity-signature", &signature)], br#"{"url":"/hooK"}"#)
            .status,
        401
    );
    assert_eq!(
        running.ask("POST", "/webhook", &[auth], br#"{"url":"/hook"}"#).status,
        401,
        "a token is no signature"
    );
    let metrics = running.get("/metrics", &[]).text();
    assert!(
        metrics.contains("luminosity_urls 2\n") && metrics.contains("luminosity_urls_rejected_total 5\n"),
        "{metrics}"
    );
    let status = running.get("/status", &[]).json();
    assert_eq!((&status["stats"]["urls"], &status["mode"]), (&2.into(), &"incremental".into()), "{status}");
    assert_eq!(running.ask("POST", "/compact", &[auth], b"").status, 200);
    assert_eq!(running.ask("POST", "/warm", &[auth], b"").json()["fragments"], 1);
}

#[test]
fn without_a_token_only_the_own_machine_may_write() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let engine = Engine::open(directory.path(), Settings::new(BASE)).unwrap();
        let router = Service::new(engine, Config::default(), false).unwrap().router();
        let request = Request::post("/urls").body(Body::from(r#"{"url":"/a"}"#)).unwrap();
        assert_eq!(router.clone().oneshot(request).await.unwrap().status(), 403);
        let request = Request::get("/sitemap.xml").body(Body::empty()).unwrap();
        assert_eq!(router.oneshot(request).await.unwrap().status(), 200);
    });
}

/// A source that counts how often it is asked, takes its time, and can fail.
fn source(asked: &Arc<AtomicU32>, failing: &Arc<AtomicU32>) -> SocketAddr {
    let (tell, told) = std::sync::mpsc::channel();
    let (asked, failing) = (Arc::clone(asked), Arc::clone(failing));
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let answer = move || async move {
                let number = asked.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(300)).await;
                if failing.load(Ordering::SeqCst) > 0 {
                    return Err(axum::http::StatusCode::INTERNAL_SERVER_ERROR);
                }
                let list: Vec<_> =
                    (0..2000).map(|page| serde_json::json!({"slug": format!("{page}-{number}")})).collect();
                Ok(serde_json::json!({ "data": { "items": list } }).to_string())
            };
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            axum::serve(listener, axum::Router::new().fallback(answer)).await.unwrap();
        });
    });
    told.recv().unwrap()
}

fn config(mode: Mode, source: SocketAddr, ttl: u64, stale: u64) -> Config {
    let map = [("url".to_owned(), "/p/{slug}?a&b".to_owned())].into();
    let mut config = Config { mode, ..Config::default() };
    config.cache.ttl = ttl;
    config.cache.stale_while_revalidate = stale;
    config.sources = vec![SourceConfig::Http {
        url: format!("http://{source}/"),
        headers: [].into(),
        items: "data.items".to_owned(),
        next: None,
        map,
    }];
    config
}

#[test]
fn ten_thousand_cold_requests_are_answered_by_one_rebuild() {
    let (asked, failing) = (Arc::default(), Arc::default());
    let config = config(Mode::Cached, source(&asked, &failing), 3600, 0);
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let engine = Engine::open(directory.path(), Settings::new(BASE)).unwrap();
        let router = Service::new(engine, config, true).unwrap().router();
        let requests = (0..10_000).map(|_| {
            let router = router.clone();
            tokio::spawn(async move {
                let request = Request::get("/sitemap.xml")
                    .header("accept-encoding", "gzip")
                    .body(Body::empty())
                    .unwrap();
                let reply = router.oneshot(request).await.unwrap();
                assert_eq!(reply.status(), 200);
                axum::body::to_bytes(reply.into_body(), 1 << 20).await.unwrap()
            })
        });
        let replies = futures::future::join_all(requests).await;
        let first = replies[0].as_ref().unwrap().clone();
        assert_eq!(locs(&inflated(&first)).len(), 2000);
        assert!(replies.into_iter().all(|reply| reply.unwrap() == first));
    });
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[test]
fn what_is_stale_is_served_while_the_source_is_asked_once() {
    let (asked, failing) = (Arc::default(), Arc::default());
    let running = start(config(Mode::Cached, source(&asked, &failing), 1, 3600), 50_000);
    assert!(running.get("/sitemap.xml", &[]).text().contains("/p/0-0?"));
    std::thread::sleep(Duration::from_millis(1100));
    for _ in 0..20 {
        let begun = std::time::Instant::now();
        assert!(running.get("/sitemap.xml", &[]).text().contains("/p/0-0?"), "the old answer");
        assert!(begun.elapsed() < Duration::from_millis(250), "nobody waits for the source");
        if asked.load(Ordering::SeqCst) == 2 {
            break;
        }
    }
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while !running.get("/sitemap.xml", &[]).text().contains("/p/0-1?") {
        assert!(std::time::Instant::now() < deadline, "the new answer never came");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(locs(&running.get("/sitemap.xml", &[]).text()).len(), 2000, "the old ones are gone");
}

#[test]
fn a_source_that_fails_empties_nothing_and_a_first_answer_is_whole() {
    let (asked, failing): (_, Arc<AtomicU32>) = (Arc::default(), Arc::default());
    failing.store(1, Ordering::SeqCst);
    let running = start(config(Mode::Dynamic, source(&asked, &failing), 0, 0), 50_000);
    let reply = running.get("/sitemap.xml", &[]);
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert_eq!(running.get("/sitemap.xml", &[]).status, 503);
    assert_eq!(asked.load(Ordering::SeqCst), 1, "left alone after a failure");
    failing.store(0, Ordering::SeqCst);
    assert_eq!(running.ask("POST", "/refresh", &[], b"").json()["added"], 2000);
    failing.store(1, Ordering::SeqCst);
    let reply = running.get("/sitemap.xml", &[]);
    assert_eq!((reply.status, locs(&reply.text()).len()), (200, 2000));
    let status = running.get("/status", &[]).json();
    assert!(status["sources"]["last_error"].as_str().unwrap().contains("500"), "{status}");
}

#[test]
fn dynamic_requests_see_what_the_source_says_now() {
    let (asked, failing) = (Arc::default(), Arc::default());
    let running = start(config(Mode::Dynamic, source(&asked, &failing), 3600, 3600), 50_000);
    for number in 0..3 {
        assert!(running.get("/sitemap.xml", &[]).text().contains(&format!("/p/0-{number}?")));
    }
}

#[test]
fn changes_are_told_to_index_now_and_pings() {
    let heard: Arc<parking_lot::Mutex<Vec<String>>> = Arc::default();
    let (tell, told) = std::sync::mpsc::channel();
    let hearing = Arc::clone(&heard);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let failed = AtomicU32::new(0);
            let failed = Arc::new(failed);
            let answer = move |request: Request<Body>| async move {
                // Busy at first: it must be told again.
                if failed.fetch_add(1, Ordering::SeqCst) == 0 {
                    return axum::http::StatusCode::SERVICE_UNAVAILABLE;
                }
                let uri = request.uri().to_string();
                let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
                hearing.lock().push(format!("{uri} {}", String::from_utf8_lossy(&body)));
                axum::http::StatusCode::ACCEPTED
            };
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            axum::serve(listener, axum::Router::new().fallback(answer)).await.unwrap();
        });
    });
    let endpoint = format!("http://{}", told.recv().unwrap());
    let config: Config = serde_json::from_value(serde_json::json!({
        "indexNow": { "key": "0123456789abcdef", "endpoint": format!("{endpoint}/indexnow"), "delayMs": 50 },
        "ping": [format!("{endpoint}/ping?sitemap={{sitemap}}")],
    }))
    .unwrap();
    let running = start(config, 100);
    assert_eq!(running.get("/0123456789abcdef.txt", &[]).text(), "0123456789abcdef");
    running.ask("POST", "/urls", &[], br#"[{"url":"/a"},{"url":"/b"},{"url":"https://evil.test/"}]"#);
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while heard.lock().len() < 2 {
        assert!(std::time::Instant::now() < deadline, "{:?}", heard.lock());
        std::thread::sleep(Duration::from_millis(20));
    }
    let heard = heard.lock();
    let message: serde_json::Value =
        serde_json::from_str(heard[0].strip_prefix("/indexnow ").unwrap()).unwrap();
    assert_eq!(message["host"], "example.com");
    assert_eq!(message["urlList"], serde_json::json!(["https://example.com/a", "https://example.com/b"]));
    assert_eq!(message["keyLocation"], "https://example.com/0123456789abcdef.txt");
    assert_eq!(heard[1], "/ping?sitemap=https%3A%2F%2Fexample.com%2Fsitemap.xml ");
}
