//! A target that speaks TLS and wants a password, as a Python program with a certificate that OpenSSL makes. Skipped where
//! one of them is not installed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use luma_promql::{MatchOp, Matcher, Select, Source};
use luma_scrape::{Manager, Settings};
use luma_telemetry::{Metrics, MetricsOptions};
use luma_vfs::SimDisk;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// A program that ends with its test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The target and its port, if there is what it needs.
fn target(directory: &Path) -> Option<(Program, String)> {
    let openssl =
        |arguments: &[&str]| Command::new("openssl").current_dir(directory).args(arguments).output();
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let issuer = [
        &["req", "-x509", "-days", "2", "-subj", "/CN=issuer", "-keyout", "ca.key", "-out", "ca.pem"],
        &key[..],
    ];
    let request = [&["req", "-new", "-subj", "/CN=target", "-keyout", "t.key", "-out", "t.csr"], &key[..]];
    std::fs::write(directory.join("names"), "subjectAltName=DNS:metrics.example").unwrap();
    let signed = ["x509", "-req", "-days", "2", "-in", "t.csr", "-CA", "ca.pem", "-CAkey", "ca.key"];
    let signed = [&signed[..], &["-CAcreateserial", "-extfile", "names", "-out", "t.pem"]];
    let mut certificate = openssl(&["version"]);
    for arguments in [issuer.concat(), request.concat(), signed.concat()] {
        certificate = certificate.and_then(|_| openssl(&arguments));
    }
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/encrypted.py");
    let target = Command::new("python3")
        .current_dir(directory)
        .args([program, "t.pem", "t.key"])
        .stdout(Stdio::piped())
        .spawn();
    let (Ok(made), Ok(mut target)) = (certificate, target) else {
        println!("skipped: there is no openssl or no python3");
        return None;
    };
    assert!(made.status.success(), "{made:?}");
    let mut port = String::new();
    BufReader::new(target.stdout.take().unwrap()).read_line(&mut port).unwrap();
    Some((Program(target), port.trim().to_owned()))
}

#[test]
fn a_target_is_asked_as_its_job_says_or_the_reason_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let Some((_target, port)) = target(directory.path()) else { return };
    std::fs::write(directory.path().join("password"), "secret\n").unwrap();
    let auth = "basic_auth: {username: luma, password_file: password}";
    let at = format!("static_configs: [{{targets: ['127.0.0.1:{port}']}}]");
    let jobs = [
        ("good", format!("{auth}, tls_config: {{ca_file: ca.pem, server_name: metrics.example}}"), ""),
        ("unchecked", format!("{auth}, tls_config: {{insecure_skip_verify: true}}"), ""),
        ("other_name", format!("{auth}, tls_config: {{ca_file: ca.pem}}"), "certificate"),
        ("unknown_issuer", format!("{auth}, tls_config: {{server_name: metrics.example}}"), "certificate"),
        ("no_password", "tls_config: {insecure_skip_verify: true}".to_owned(), "401"),
        (
            "stays",
            format!("{auth}, follow_redirects: false, tls_config: {{insecure_skip_verify: true}}"),
            "302",
        ),
        (
            "short",
            format!("{auth}, body_size_limit: 10B, tls_config: {{insecure_skip_verify: true}}"),
            "body size",
        ),
        ("plain", format!("{auth}, scheme: http"), ""),
    ];
    let mut text = String::from("global: {scrape_interval: 100ms}\nscrape_configs:\n");
    for (job, settings, _) in &jobs {
        let scheme = if settings.contains("scheme") { "" } else { "scheme: https, " };
        text += &format!("- {{job_name: {job}, {scheme}{settings}, {at}}}\n");
    }
    let path = directory.path().join("p.yml");
    std::fs::write(&path, text).unwrap();
    let store = Arc::new(
        Metrics::open(Arc::new(SimDisk::new()), Path::new("/m"), MetricsOptions::default()).unwrap(),
    );
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let stop = CancellationToken::new();
    let manager = Manager::new(
        runtime.handle().clone(),
        Arc::clone(&store),
        Duration::from_mins(10),
        Arc::default(),
        stop.clone(),
    );
    runtime.block_on(manager.load(Settings::read(&path).unwrap()));
    let until = Instant::now() + Duration::from_mins(1);
    let targets = loop {
        let said: Value = serde_json::from_str(&manager.targets(true, true, None)).unwrap();
        let targets = said["activeTargets"].as_array().unwrap().clone();
        if targets.len() == jobs.len() && targets.iter().all(|target| target["health"] != "unknown") {
            break targets;
        }
        assert!(Instant::now() < until, "all targets are asked: {said}");
        std::thread::sleep(Duration::from_millis(50));
    };
    for (job, _, expected) in &jobs {
        let target = targets.iter().find(|target| target["scrapePool"] == *job).unwrap();
        let error = target["lastError"].as_str().unwrap();
        let good = matches!(*job, "good" | "unchecked");
        assert_eq!(target["health"] == "up", good, "{job}: {error}");
        assert_eq!(error.is_empty(), good, "{job}: {error}");
        assert!(error.contains(expected), "{job}: {error}");
        assert!(!error.contains("secret"), "{job}: {error}");
    }
    let matchers = [Matcher::new(MatchOp::Equal, "__name__", "asked_as").unwrap()];
    let found = store.select(&Select { matchers: &matchers, start: 0, end: i64::MAX - 1 }).unwrap();
    let mut hosts: Vec<(String, String)> = found
        .map(|series| {
            let labels = series.unwrap().labels;
            (labels.get("job").to_owned(), labels.get("host").to_owned())
        })
        .collect();
    hosts.sort();
    let host = format!("127.0.0.1:{port}");
    assert_eq!(hosts.iter().find(|(job, _)| job == "unchecked").unwrap().1, host);
    assert!(hosts.iter().any(|(job, _)| job == "good"), "{hosts:?}");
    stop.cancel();
}
