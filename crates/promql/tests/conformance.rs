//! Runs scripts in the format of Prometheus' own PromQL tests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "conformance/beside_promtool.rs"]
mod beside_promtool;
#[path = "conformance/compare.rs"]
mod compare;
#[path = "conformance/fixed.rs"]
mod fixed;
#[path = "conformance/script.rs"]
mod script;
#[path = "conformance/series.rs"]
mod series;

use std::path::{Path, PathBuf};

use luma_promql::{Labels, MemorySource, Sample, Source};

impl script::Store for MemorySource {
    fn insert(&mut self, labels: &Labels, t: i64, start: i64, sample: Sample) {
        Self::insert(self, labels, t, start, sample);
    }

    fn source(&self) -> &dyn Source {
        self
    }
}

/// Runs every script of a directory; the failures of all.
fn run_directory(directory: &Path) -> (usize, Vec<String>) {
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory)
        .expect("the directory can be read")
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "test"))
        .collect();
    files.sort();
    let (mut cases, mut failures) = (0, Vec::new());
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let outcome = script::run(&std::fs::read_to_string(&file).unwrap(), MemorySource::default);
        println!("{name}: {} of {} cases pass", outcome.cases - outcome.failures.len(), outcome.cases);
        cases += outcome.cases;
        failures.extend(outcome.failures.into_iter().map(|failure| format!("{name}:{failure}")));
    }
    (cases, failures)
}

fn assert_passes(directory: &Path) {
    let (cases, failures) = run_directory(directory);
    assert!(cases > 0, "no case in {}", directory.display());
    assert!(failures.is_empty(), "{} of {cases} cases fail:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn every_own_case_passes() {
    assert_passes(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases"));
}

#[test]
fn every_case_of_prometheus_passes() {
    let directory = match std::env::var_os("LUMADB_PROMQL_CASES") {
        Some(directory) => PathBuf::from(directory),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/promql"),
    };
    if !directory.is_dir() {
        println!("skipped: {} is not there; LUMADB_PROMQL_CASES may name the cases", directory.display());
        return;
    }
    assert_passes(&directory);
}

#[test]
fn a_wrong_expectation_is_noticed() {
    for (expected, complaint) in [
        ("{} 2", "expected 2"),
        ("{a=\"b\"} 1", "unexpected"),
        ("", "unexpected"),
        ("expect fail\n", "expected a failure"),
        ("expect warn\n{} 1", "expected a warning"),
        ("{} {{count:1}}", "expected histogram"),
    ] {
        let outcome = script::run(
            &format!("load 1m\n m 1\n\neval instant at 0 sum(m)\n{expected}\n"),
            MemorySource::default,
        );
        assert_eq!(outcome.failures.len(), 1, "{expected}");
        assert!(outcome.failures[0].contains(complaint), "{expected}: {}", outcome.failures[0]);
    }
}
