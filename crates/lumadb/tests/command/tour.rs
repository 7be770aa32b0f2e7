//! The README's tour, typed as it stands there.

use std::process::Command;

use crate::process::Server;

/// What the README says to type, and what it says comes out.
struct Step {
    commands: String,
    output: String,
}

/// The blocks of the section "Five minutes": `sh` ones, each with the `text` one after it if there is
/// one.
fn steps(readme: &str) -> Vec<Step> {
    let (_, section) = readme.split_once("## Five minutes\n").expect("the tour");
    let section = section.split("\n## ").next().unwrap();
    let mut steps: Vec<Step> = Vec::new();
    let mut lines = section.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else { continue };
        let block: String =
            lines.by_ref().take_while(|line| *line != "```").flat_map(|line| [line, "\n"]).collect();
        match kind {
            "sh" => steps.push(Step { commands: block, output: String::new() }),
            "text" => steps.last_mut().expect("output comes after commands").output = block,
            other => panic!("a block of kind {other:?} in the tour"),
        }
    }
    steps
}

#[test]
fn the_tour_of_the_readme_goes_as_it_is_written() {
    if Command::new("psql").arg("--version").output().is_err() {
        eprintln!("skipped: psql is not installed");
        return;
    }
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md")).unwrap();
    let steps = steps(&readme);
    assert!(steps.len() > 5, "the tour has {} steps", steps.len());
    let directory = tempfile::tempdir().unwrap();
    let server = Server::open(directory.path());
    let (_, port) = server.postgres.rsplit_once(':').unwrap();
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_lumadb")).parent().unwrap().display();
    // The tour's own settings, but for where the test's server and binary are.
    let settings = steps[0].commands.replace("$PWD/target/debug", &binary.to_string()).replace("5432", port);
    for step in &steps[1..] {
        let script = format!("set -e\n{settings}export PGPORT={port}\n{}", step.commands);
        let mut shell = Command::new("sh");
        let ended = shell.current_dir(directory.path()).args(["-c", &script]).output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
        assert!(ended.status.success(), "{}: {err}", step.commands);
        if !step.output.is_empty() {
            assert_eq!(out, step.output, "{}: {err}", step.commands);
        }
    }
    assert_eq!(server.stop(), 0);
}
