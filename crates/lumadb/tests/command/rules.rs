//! Rules of a file: evaluated, told to Alertmanager, read again.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::metrics::{get, post, query};
use crate::process::{Server, end, lumadb};

/// How long to wait for what comes within seconds.
const PATIENCE: Duration = Duration::from_mins(1);

/// An Alertmanager that refuses the first request; what it is told.
fn alertmanager() -> (String, mpsc::Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut answers = ["503 Service Unavailable"].into_iter();
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut first, mut length, mut password) = (String::new(), 0, false);
            stream.read_line(&mut first).unwrap();
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                if line.trim().is_empty() {
                    break;
                }
                password |= line.trim().eq_ignore_ascii_case("authorization: Basic bHVtYTpzZWNyZXQ=");
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            assert!(first.starts_with("POST /api/v2/alerts ") && password, "{first}");
            let status = answers.next().unwrap_or("200 OK");
            write!(stream.get_mut(), "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
                .unwrap();
            if status.starts_with("200") && sender.send(serde_json::from_slice(&body).unwrap()).is_err() {
                return;
            }
        }
    });
    (address, receiver)
}

fn wait(what: &str, mut is: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < until, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn rules_are_evaluated_told_and_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    let (address, told) = alertmanager();
    write(
        "prometheus.yml",
        "global: {evaluation_interval: 200ms, external_labels: {dc: x}}\n\
         rule_files: [rules.yml]\n\
         alerting:\n\
         \x20 alert_relabel_configs: [{target_label: cluster, replacement: c}]\n\
         \x20 alertmanagers:\n\
         \x20 - basic_auth: {username: luma, password_file: password}\n\
         \x20   file_sd_configs: [{files: [alertmanagers.json]}]\n",
    );
    write("password", "secret");
    write("alertmanagers.json", &format!(r#"[{{"targets": ["{address}"]}}]"#));
    let record = |name: &str| format!("groups: [{{name: g, rules: [{{record: {name}, expr: 1 + 1}}]}}]\n");
    write(
        "rules.yml",
        "groups: [{name: g, rules: [{record: old, expr: 1 + 1}, \
         {alert: A, expr: old > 1, annotations: {text: 'is {{ $value }}'}}]}, {name: h}]\n",
    );
    let mut command = lumadb(directory.path());
    command.env("LUMADB_SECURITY_REQUIRE_AUTH", "false");
    let server = Server::start(command.env("LUMADB_PROMETHEUS_CONFIG_FILE", "prometheus.yml"));
    let alerts = told.recv_timeout(PATIENCE).unwrap();
    assert_eq!(alerts[0]["labels"], serde_json::json!({"alertname": "A", "cluster": "c", "dc": "x"}));
    assert_eq!(alerts[0]["annotations"]["text"], "is 2");
    let generator = alerts[0]["generatorURL"].as_str().unwrap();
    assert!(generator.starts_with(&format!("http://{}/graph?", server.prometheus)), "{generator}");
    assert_eq!(query(&server, "ALERTS")[0]["metric"]["alertstate"], "firing");
    let data = |path: &str| {
        let answer: Value = serde_json::from_str(&get(&server.prometheus, path, "").1).unwrap();
        answer["data"].clone()
    };
    let rules = data("/api/v1/rules");
    let group = &rules["groups"][0];
    assert_eq!((&group["name"], &group["interval"]), (&"g".into(), &0.2.into()));
    assert_eq!(group["rules"][0]["health"], "ok");
    assert_eq!(group["rules"][1]["state"], "firing");
    assert_eq!(data("/api/v1/rules?type=alert")["groups"][0]["rules"].as_array().unwrap().len(), 1);
    assert_eq!(data("/api/v1/alerts")["alerts"][0]["value"], "2e+00");
    assert_eq!(data("/api/v1/alertmanagers")["activeAlertmanagers"].as_array().unwrap().len(), 1);
    // Pages of groups, one after another.
    let page = data("/api/v1/rules?group_limit=1");
    assert_eq!(page["groups"].as_array().unwrap().len(), 1);
    let next = page["groupNextToken"].as_str().unwrap();
    let last = data(&format!("/api/v1/rules?group_limit=1&group_next_token={next}"));
    assert_eq!((&last["groups"][0]["name"], &last["groupNextToken"]), (&"h".into(), &Value::Null));
    for wrong in ["group_limit=0", "group_limit=x", "group_next_token=x", "group_limit=1&group_next_token=x"]
    {
        assert!(get(&server.prometheus, &format!("/api/v1/rules?{wrong}"), "").0.contains("400"), "{wrong}");
    }
    write("rules.yml", "groups: [{name: g, rules: [{record: old}]}]");
    let (status, what) = post(&server.prometheus, "/-/reload", "", "");
    assert!(status.contains("500") && what.contains("'expr' must be set"), "{status} {what}");
    assert_eq!(data("/api/v1/rules")["groups"][0]["rules"].as_array().unwrap().len(), 2);
    write("rules.yml", &record("new"));
    assert_eq!(post(&server.prometheus, "/-/reload", "", "").0, "HTTP/1.1 200 OK");
    wait("the new rule is evaluated", || !query(&server, "new").is_empty());
    wait("series of rules that went are ended", || query(&server, "{__name__=~\"old|ALERTS\"}").is_empty());
    write("rules.yml", &record("newest"));
    let hangup = std::process::Command::new("kill").args(["-HUP", &server.child.id().to_string()]).status();
    assert!(hangup.unwrap().success());
    wait("the newest rule is evaluated", || !query(&server, "newest").is_empty());
    let (_, metrics) = server.get("/metrics");
    assert!(metrics.contains("lumadb_alerts_errors_total 1\n"), "{metrics}");
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_server_with_wrong_rules_does_not_start() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("p.yml"), "remote_write: []").unwrap();
    let mut command = lumadb(directory.path());
    command.env("LUMADB_PROMETHEUS_CONFIG_FILE", "p.yml");
    command.arg("serve");
    for door in ["postgres", "http", "prometheus", "otlp", "otlp-http"] {
        command.args([format!("--{door}-port"), "0".to_owned()]);
    }
    let ended = end(&mut command);
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("p.yml") && ended.err.contains("remote_write"), "{}", ended.err);
}
