//! Statement by statement beside PostgreSQL 15: the same text goes to a real server and to ours, and
//! both have to say the same: column names, type numbers, rows, command tags, SQLSTATEs.
//!
//! `cases/*.sql` are sessions on an empty database. A statement ends with `;` at the end of a line.
//! `--$ 1 | abc` before it gives parameters (text form, `NULL` for null) and sends it through the
//! extended protocol. Statements that only read are sent there too, with binary results.
//!
//! What differs is listed in `deviations.txt` with its reason: `== reason`, then one line
//! `file.sql: statement` each. A listed statement that no longer differs fails the test, too.
//! `LUMADB_CASES=name` runs one file. With `LUMADB_ACCEPT` set, the list is written anew: what no
//! longer differs goes, what is new is appended.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod copies;
mod dump;
mod random;
mod servers;
mod wire;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use servers::{Lumadb, Postgres};
use wire::{Answer, Client};

/// Fewest statements of the corpus; one that goes needs another in its place.
const STATEMENTS_MIN: usize = 3000;

/// The reason that new differences get.
const UNEXPLAINED: &str = "not looked at yet";

struct Case {
    text: String,
    line: usize,
    parameters: Option<Vec<Option<String>>>,
}

fn parse(source: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut text = String::new();
    let mut line_of_text = 1;
    let mut parameters = None;
    for (number, line) in source.lines().enumerate() {
        if let Some(values) = line.strip_prefix("--$") {
            let values = values.split('|').map(str::trim);
            parameters =
                Some(values.map(|value| (value != "NULL").then(|| value.to_owned())).collect::<Vec<_>>());
            continue;
        }
        if text.is_empty() {
            if line.trim().is_empty() || line.starts_with("--") {
                continue;
            }
            line_of_text = number + 1;
        }
        text.push_str(line);
        text.push('\n');
        if line.trim_end().ends_with(';') {
            let statement = std::mem::take(&mut text).trim().trim_end_matches(';').to_owned();
            cases.push(Case { text: statement, line: line_of_text, parameters: parameters.take() });
        }
    }
    assert!(text.trim().is_empty(), "the last statement has no semicolon: {text}");
    cases
}

/// The statement's words outside of parentheses and strings, in capitals.
fn outer_words(text: &str) -> String {
    let (mut depth, mut quoted) = (0, false);
    let mut words = String::new();
    for character in text.chars() {
        match character {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ if depth == 0 && !quoted => {
                words.push(if character.is_whitespace() { ' ' } else { character.to_ascii_uppercase() });
            }
            _ => {}
        }
    }
    words
}

fn is_ordered(text: &str) -> bool {
    let words = outer_words(text);
    words.contains("ORDER BY") || words.starts_with("FETCH") || words.starts_with("COPY")
}

/// Whether it can be sent twice without a second effect.
fn only_reads(text: &str) -> bool {
    let words = outer_words(text);
    let first = words.split_whitespace().next().unwrap_or_default().to_owned();
    let effect = ["nextval", "setval", "random", "clock_timestamp", "INTO ", "txid_current"];
    matches!(first.as_str(), "SELECT" | "VALUES" | "") && !effect.iter().any(|word| text.contains(word))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The differences that are known: each statement with its reason, in the order of the file.
#[derive(Default)]
struct Deviations {
    reasons: Vec<String>,
    statements: Vec<(String, usize)>,
}

impl Deviations {
    fn read(path: &Path) -> Self {
        let mut read = Self::default();
        for line in std::fs::read_to_string(path).unwrap_or_default().lines() {
            if let Some(reason) = line.strip_prefix("== ") {
                read.reasons.push(reason.to_owned());
            } else if !line.trim().is_empty() && !line.starts_with('#') {
                assert!(!read.reasons.is_empty(), "a deviation without a reason: {line}");
                read.statements.push((line.to_owned(), read.reasons.len() - 1));
            }
        }
        read
    }

    /// The file's text: what still differs, and below it what is new.
    fn text(&self, differing: &[String]) -> String {
        let mut text = "# Where LumaDB answers otherwise than PostgreSQL 15, and why. Written by hand and by LUMADB_ACCEPT.\n".to_owned();
        for (number, reason) in self.reasons.iter().enumerate() {
            let kept: Vec<&str> = self
                .statements
                .iter()
                .filter(|(statement, place)| *place == number && differing.contains(statement))
                .map(|(statement, _)| statement.as_str())
                .collect();
            if !kept.is_empty() {
                write!(text, "\n== {reason}\n{}\n", kept.join("\n")).unwrap();
            }
        }
        let mut added: Vec<&str> = Vec::new();
        for statement in differing {
            if !self.contains(statement) && !added.contains(&statement.as_str()) {
                added.push(statement);
            }
        }
        if !added.is_empty() {
            write!(text, "\n== {UNEXPLAINED}\n{}\n", added.join("\n")).unwrap();
        }
        text
    }

    fn contains(&self, statement: &str) -> bool {
        self.statements.iter().any(|(known, _)| known == statement)
    }
}

struct Difference {
    statement: String,
    report: String,
}

fn shown(answer: &Answer, ordered: bool) -> String {
    let mut text = answer.comparable(ordered);
    if let Some(position) = &answer.position {
        write!(text, " at {position}").unwrap();
    }
    if !answer.message.is_empty() {
        write!(text, " ({})", answer.message).unwrap();
    }
    text
}

/// Runs one case on both; the difference, if there is one. With `places`, each error must have one
/// where PostgreSQL's has.
fn differ(case: &Case, places: bool, postgres: &mut Client, ours: &mut Client) -> Option<String> {
    let ordered = is_ordered(&case.text);
    let mut compare = |how: &str, run: &dyn Fn(&mut Client) -> Answer| {
        let (theirs, own) = (run(postgres), run(ours));
        // An error without a place is less; one with the wrong place misleads.
        let misplaced = (places || own.position.is_some()) && own.position != theirs.position;
        let same = theirs.comparable(ordered) == own.comparable(ordered) && !misplaced;
        (!same).then(|| {
            format!(
                "{how}\n  PostgreSQL: {}\n  LumaDB:     {}",
                shown(&theirs, ordered),
                shown(&own, ordered)
            )
        })
    };
    if let Some(values) = &case.parameters {
        return compare("with parameters", &|client| client.extended(&case.text, values, false));
    }
    compare("simple", &|client| client.simple(&case.text)).or_else(|| {
        if !only_reads(&case.text) {
            return None;
        }
        compare("extended, binary", &|client| client.extended(&case.text, &[], true))
    })
}

/// Runs a file's statements; gives them, and those that differ.
fn run_file(path: &Path, postgres: &mut Postgres) -> (Vec<String>, Vec<Difference>) {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let server = Lumadb::start();
    let (mut theirs, mut ours) = (postgres.session(), server.session());
    let cases = parse(&std::fs::read_to_string(path).unwrap());
    let mut statements = Vec::new();
    let mut differences = Vec::new();
    for case in &cases {
        let statement = format!("{name}: {}", one_line(&case.text));
        statements.push(statement.clone());
        if let Some(report) = differ(case, name == "positions.sql", &mut theirs, &mut ours) {
            let report = format!("{name}:{}: {}\n  {report}", case.line, case.text);
            differences.push(Difference { statement, report });
        }
    }
    (statements, differences)
}

#[test]
fn every_statement_is_answered_as_postgresql_answers_it() {
    let mut postgres = match Postgres::start() {
        Ok(postgres) => postgres,
        Err(reason) => {
            assert!(std::env::var_os("CI").is_none(), "{reason}");
            eprintln!("skipped: {reason}");
            return;
        }
    };
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/beside_postgres");
    let list = directory.join("deviations.txt");
    let wanted = std::env::var("LUMADB_CASES").ok();
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(directory.join("cases")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| wanted.as_ref().is_none_or(|name| path.to_string_lossy().contains(name.as_str())));
    files.sort();
    let known = Deviations::read(&list);
    let (mut count, mut failures, mut differing) = (0, Vec::new(), Vec::new());
    let mut ran = Vec::new();
    for file in &files {
        let (statements, differences) = run_file(file, &mut postgres);
        count += statements.len();
        ran.extend(statements);
        for difference in differences {
            if !known.contains(&difference.statement) {
                failures.push(difference.report);
            }
            differing.push(difference.statement);
        }
    }
    // Past the capture of a test that passes: the count is a figure of its own.
    writeln!(
        std::io::stderr(),
        "beside PostgreSQL: {count} statements, {} differ, {} of them not listed",
        differing.len(),
        failures.len()
    )
    .unwrap();
    assert!(wanted.is_some() || count >= STATEMENTS_MIN, "{count} statements are left of {STATEMENTS_MIN}");
    if std::env::var_os("LUMADB_ACCEPT").is_some() && wanted.is_none() {
        std::fs::write(&list, known.text(&differing)).unwrap();
    }
    for (statement, _) in &known.statements {
        let relevant = wanted.is_none() || ran.contains(statement);
        if relevant && !differing.contains(statement) {
            failures.push(format!("listed, but no longer different: {statement}"));
        }
    }
    assert!(failures.is_empty(), "{} differences:\n{}", failures.len(), failures.join("\n"));
}
