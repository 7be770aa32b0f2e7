//! What the README tells to type works as it is told, in the order it is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::Command;

/// Begins a block that is run.
const RUN: &str = "<!-- run -->\n```sh\n";

#[test]
fn the_tour_runs_as_it_is_written() {
    let readme = include_str!("../README.md");
    let mut script = String::from("set -eu\n");
    for block in readme.split(RUN).skip(1) {
        script.push_str(block.split("```").next().unwrap());
    }
    assert!(script.lines().filter(|line| line.contains("lux ")).count() > 15, "{script}");
    // The service of the tour ends with it.
    script.push_str("\nkill %1\nwait %1\n");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    let programs = Path::new(env!("CARGO_BIN_EXE_lux")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("skipped: the tour needs curl");
        return;
    }
    let output = Command::new("timeout")
        .args(["60", "bash", "-c", &script.replace("127.0.0.1:8080", &free)])
        .current_dir(directory.path())
        .env("PATH", path)
        .env("LUX_LISTEN", &free)
        .output()
        .unwrap();
    let said =
        format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script}\n{said}");
    for expected in ["1 rejected", "206", "304", "\"urls\":", "0 errors", "<title>", "User-agent: *"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
}
