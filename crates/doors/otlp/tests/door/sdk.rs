//! OpenTelemetry's SDK for Python exports every kind of metric, and it is read back value for value.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use luma_door_otlp::DoorOptions;
use luma_intake::OtlpOptions;
use luma_promql::Matcher;
use luma_vfs::SimDisk;
use serde_json::Value;

use crate::server::Server;

/// A Python that has the SDK.
fn python() -> Option<String> {
    let python = std::env::var("LUMA_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let modules = "import opentelemetry.exporter.otlp.proto.grpc, opentelemetry.exporter.otlp.proto.http";
    let there = Command::new(&python).args(["-c", modules]).output().is_ok_and(|it| it.status.success());
    if !there {
        println!("skipped: {python} has no OpenTelemetry SDK; LUMA_PYTHON may name one that has");
    }
    there.then_some(python)
}

/// What the SDK exported: queries, and the values they should have.
fn exported(python: &str, protocol: &str, server: &Server, temporality: &str) -> Vec<(String, f64)> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk.py");
    let address = server.address.to_string();
    let run = Command::new(python).args([script, protocol, &address, temporality]).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let lines = String::from_utf8(run.stdout).unwrap();
    let pair = |line: &str| {
        let pair: Value = serde_json::from_str(line).unwrap();
        (pair[0].as_str().unwrap().to_owned(), pair[1].as_f64().unwrap())
    };
    let pairs: Vec<_> = lines.lines().map(pair).collect();
    assert!(pairs.len() >= 30, "{lines}");
    pairs
}

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn check(server: &Server, query: &str, expected: f64) {
    let result = server.query(query, now());
    assert_eq!(result.as_array().unwrap().len(), 1, "{query}: {result}");
    let value: f64 = result[0]["value"][1].as_str().unwrap().parse().unwrap();
    assert!((value - expected).abs() <= 1e-9 * expected.abs(), "{query}: {value}, not {expected}");
}

fn server(disk: &SimDisk) -> Server {
    Server::on(disk, DoorOptions::default(), OtlpOptions::default())
}

#[test]
fn every_kind_of_metric_is_read_back_as_it_was_measured() {
    let Some(python) = python() else { return };
    let server = server(&SimDisk::new());
    for protocol in ["grpc", "http"] {
        let pairs = exported(&python, protocol, &server, "cumulative");
        for (query, expected) in &pairs {
            check(&server, query, *expected);
            if protocol == "http" {
                check(&server, &query.replace("shop-http", "as-json"), *expected);
            }
        }
        check(&server, &format!("target_info{{job=\"shop-{protocol}\",host_name=\"h\"}}"), 1.0);
        let matchers = [
            Matcher::equal("__name__", "requests_total"),
            Matcher::equal("job", &format!("shop-{protocol}")),
        ];
        let exemplars = server.store.exemplars(&matchers, 0, i64::MAX).unwrap();
        let (_, of_series) = exemplars.first().unwrap();
        assert_eq!(of_series[0].labels.get("trace_id"), "0102030405060708090a0b0c0d0e0f10");
    }
    let metadata = server.store.metadata();
    assert_eq!(metadata["requests_total"].help, "How many.");
}

#[test]
fn changes_add_up_to_what_was_measured_also_over_a_restart() {
    let Some(python) = python() else { return };
    let disk = SimDisk::new();
    for protocol in ["grpc", "http"] {
        let before = exported(&python, protocol, &server(&disk), "delta");
        // Another run of the program after a restart of the server, on the same series.
        let server = server(&disk);
        for (query, expected) in &before {
            check(&server, query, *expected);
        }
        let after = exported(&python, protocol, &server, "delta");
        for ((query, first), (other, second)) in before.iter().zip(&after) {
            assert_eq!(query, other);
            let is_of_now = query.starts_with("temperature") || query.contains("by-hand");
            check(&server, query, if is_of_now { *second } else { first + second });
        }
    }
}
