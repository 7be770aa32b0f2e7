//! Text cases: each file of `tests/cases` is a session of its own on an empty database.
//!
//! A statement ends with `;` at the end of a line; the lines after it that begin with `-->` are
//! what it must give: rows as `a|b`, or its tag, or `ERROR` and the SQLSTATE. With `LUMADB_ACCEPT`
//! set, the answers are written into the files instead of being compared.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::fmt::Write as _;
use std::path::Path;

use support::{Fixture, run, state};

struct Case {
    /// The statement with the comments before it.
    text: String,
    expected: Vec<String>,
    line: usize,
}

fn parse(source: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut text = String::new();
    let mut line_of_text = 1;
    for (number, line) in source.lines().enumerate() {
        if let Some(answer) = line.strip_prefix("-->") {
            let answer = answer.strip_prefix(' ').unwrap_or(answer);
            cases.last_mut().expect("an answer comes after a statement").expected.push(answer.to_owned());
            continue;
        }
        if text.is_empty() {
            line_of_text = number + 1;
        }
        text.push_str(line);
        text.push('\n');
        if line.trim_end().ends_with(';') {
            cases.push(Case { text: std::mem::take(&mut text), expected: Vec::new(), line: line_of_text });
        }
    }
    assert!(text.trim().is_empty(), "the last statement has no semicolon");
    cases
}

async fn check(path: &Path) -> Vec<String> {
    let source = std::fs::read_to_string(path).unwrap();
    let accept = std::env::var_os("LUMADB_ACCEPT").is_some();
    let fixture = Fixture::new();
    let mut session = fixture.session();
    let mut failures = Vec::new();
    let mut accepted = String::new();
    for case in parse(&source) {
        let (answer, shown) = match run(&mut session, &case.text).await {
            Ok(rows) => (rows, String::new()),
            Err(error) => (vec![format!("ERROR {}", state(&error))], format!(" ({error})")),
        };
        accepted.push_str(&case.text);
        for line in &answer {
            writeln!(accepted, "--> {line}").unwrap();
        }
        if !accept && answer != case.expected {
            failures.push(format!(
                "{}:{}: {}\n  expected {:?}\n  got      {answer:?}{shown}",
                path.file_name().unwrap().to_string_lossy(),
                case.line,
                case.text.trim(),
                case.expected
            ));
        }
    }
    if accept {
        std::fs::write(path, accepted).unwrap();
    }
    failures
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_give_what_their_cases_say() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut files: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    let mut failures = Vec::new();
    for file in files {
        failures.extend(check(&file).await);
    }
    assert!(failures.is_empty(), "{} cases failed:\n{}", failures.len(), failures.join("\n"));
}
