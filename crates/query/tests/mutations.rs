//! Statements that are nearly right: thousands of mutations of the corpus that is compared with
//! PostgreSQL go through real sessions. Whatever they mean, nothing may panic, and the session must answer
//! the next statement.
//!
//! The mutations are the same in every run. `LUMADB_SEED` gives others, `LUMADB_MUTATIONS` more; with
//! `LUMADB_TRACE` each is told before it runs, which names the one that ended the process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use support::{Fixture, run};

/// Mutated statements of one run.
const MUTATIONS: u64 = 6000;
/// Statements between two fresh databases: what mutations make must not pile up.
const PER_DATABASE: u64 = 400;

/// What panicked since it was last looked at.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A xorshift generator: the same numbers on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// Statements of the corpus, file by file.
fn corpus() -> Vec<Vec<String>> {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lumadb/tests/beside_postgres/cases");
    let mut files: Vec<_> = std::fs::read_dir(cases).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
        .iter()
        .map(|file| {
            let source = std::fs::read_to_string(file).unwrap();
            let lines = source.lines().filter(|line| !line.starts_with("--"));
            let text = lines.collect::<Vec<_>>().join("\n");
            text.split(";\n").map(|part| part.trim().trim_end_matches(';').to_owned()).collect()
        })
        .collect()
}

/// Words, numbers, strings and signs, each with the blanks behind it.
fn tokens(statement: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut characters = statement.chars().peekable();
    while let Some(first) = characters.next() {
        let mut token = first.to_string();
        if first == '\'' || first == '"' {
            for next in characters.by_ref() {
                token.push(next);
                if next == first {
                    break;
                }
            }
        } else if first.is_alphanumeric() || first == '_' {
            while let Some(next) = characters.next_if(|next| next.is_alphanumeric() || "_.".contains(*next)) {
                token.push(next);
            }
        }
        while let Some(blank) = characters.next_if(|next| next.is_whitespace()) {
            token.push(blank);
        }
        all.push(token);
    }
    all
}

/// What breaks code that did not expect it.
const ODD: &[&str] = &[
    "NULL ",
    "''",
    "'' ",
    "0 ",
    "-1 ",
    "2147483647 ",
    "2147483648 ",
    "-2147483648 ",
    "9223372036854775807 ",
    "-9223372036854775808 ",
    "9223372036854775808 ",
    "1e400 ",
    "1e-400 ",
    "'NaN'::numeric ",
    "'Infinity'::float8 ",
    "'infinity'::timestamptz ",
    "'-infinity'::date ",
    "'{}'::int[] ",
    "'{NULL}'::text[] ",
    "'[]'::jsonb ",
    "'null'::jsonb ",
    "'\u{10ffff}é'",
    "E'\\\\'",
    "1.5 ",
    "0.1 ",
    "3 ",
    "100 ",
    "'abc' ",
    "'1' ",
    "'2024-02-30' ",
    "true ",
    "$1 ",
    "$2147483647 ",
    "( ",
    ") ",
    "[",
    "]",
    ", ",
    ":: ",
    ".",
    "* ",
    "SELECT ",
    "FROM ",
    "WHERE ",
    "GROUP BY ",
    "ORDER BY ",
    "LIMIT ",
    "OFFSET ",
    "DISTINCT ",
    "CASE ",
    "END ",
    "OVER () ",
    "FILTER (WHERE true) ",
    "WITH ",
    "AS ",
    "IN ",
    "ANY ",
    "ALL ",
    "EXISTS ",
    "LATERAL ",
    "UNION ",
    "EXCEPT ALL ",
    "JOIN ",
    "ON ",
    "USING ",
    "DEFAULT ",
    "RETURNING * ",
    "ROW(",
    "ARRAY[",
    "interval '1 mon' ",
    "ctid ",
    "tableoid ",
    "1::regclass ",
    "'pg_class'::regclass ",
    "FOR UPDATE ",
    "COLLATE \"C\" ",
];

/// Whether a token is a number or a string.
fn is_literal(token: &str) -> bool {
    token.starts_with(|first: char| first == '\'' || first.is_ascii_digit())
}

/// Another value in the place of one of the literals: most such statements are right, or fail late.
fn revalue(parts: &mut [String], random: &mut Random) {
    let literals: Vec<usize> = (0..parts.len()).filter(|at| is_literal(&parts[*at])).collect();
    if let Some(at) = literals.get(random.below(literals.len())) {
        let other = *random.pick(&literals);
        parts[*at] = if random.below(2) == 0 { parts[other].clone() } else { (*random.pick(ODD)).to_owned() };
    }
}

fn mutate(statement: &str, others: &[Vec<String>], random: &mut Random) -> String {
    let mut parts = tokens(statement);
    if random.below(2) == 0 {
        revalue(&mut parts, random);
        return parts.concat();
    }
    for _ in 0..=random.below(3) {
        if parts.is_empty() {
            break;
        }
        let (at, other) = (random.below(parts.len()), random.below(parts.len()));
        match random.below(9) {
            0 => drop(parts.remove(at)),
            1 => parts.insert(at, parts[other].clone()),
            2 => parts.swap(at, other),
            3 | 4 => parts[at] = (*random.pick(ODD)).to_owned(),
            5 => parts.insert(at, (*random.pick(ODD)).to_owned()),
            6 => {
                let file = random.pick::<Vec<String>>(others);
                let foreign = tokens(random.pick::<String>(file));
                if !foreign.is_empty() {
                    parts[at].clone_from(random.pick(&foreign));
                }
            }
            7 => parts.truncate(at + 1),
            _ => {
                let mut bytes = std::mem::take(&mut parts[at]).into_bytes();
                let place = random.below(bytes.len());
                if let Some(byte) = bytes.get_mut(place) {
                    *byte = 32 + (random.next() % 95) as u8;
                }
                parts[at] = String::from_utf8_lossy(&bytes).into_owned();
            }
        }
    }
    parts.concat()
}

/// What would only wait, or make so much that the machine is the limit.
fn is_tame(statement: &str) -> bool {
    let lower = statement.to_lowercase();
    !["pg_sleep", "pg_terminate_backend", "pg_advisory"].iter().any(|word| lower.contains(word))
}

fn number_from(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn panics() -> Vec<String> {
    std::mem::take(&mut *PANICS.lock().unwrap_or_else(PoisonError::into_inner))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_mutated_statement_panics_and_the_session_answers_after_each() {
    std::panic::set_hook(Box::new(|info| {
        PANICS.lock().unwrap_or_else(PoisonError::into_inner).push(info.to_string());
    }));
    let corpus = corpus();
    let mut random = Random(number_from("LUMADB_SEED", 0x5eed) | 1);
    let wanted = number_from("LUMADB_MUTATIONS", MUTATIONS);
    let (mut done, mut failures, mut answered) = (0, Vec::new(), 0);
    while done < wanted {
        let fixture = Fixture::new();
        let mut session = fixture.session();
        run(&mut session, "SET statement_timeout = '2s'").await.unwrap();
        // What a file's statements are about is there before they are mutated.
        let file = random.pick(&corpus).clone();
        for statement in file.iter().filter(|statement| is_tame(statement)) {
            let _ = run(&mut session, statement).await;
        }
        let _ = run(&mut session, "ROLLBACK").await;
        drop(panics());
        for _ in 0..PER_DATABASE.min(wanted - done) {
            done += 1;
            let mutated = mutate(random.pick::<String>(&file), &corpus, &mut random);
            if !is_tame(&mutated) {
                continue;
            }
            if std::env::var_os("LUMADB_TRACE").is_some() {
                eprintln!("{mutated}");
            }
            // A panic on the session's own thread must not end the test before it is told.
            let ran = std::panic::AssertUnwindSafe(run(&mut session, &mutated));
            let ran = futures::FutureExt::catch_unwind(ran).await;
            answered += u64::from(matches!(ran, Ok(Ok(_))));
            let found = panics();
            if !found.is_empty() {
                failures.push(format!("{mutated}\n  {}", found.join("\n  ")));
                session = fixture.session();
                run(&mut session, "SET statement_timeout = '2s'").await.unwrap();
                continue;
            }
            let _ = run(&mut session, "ROLLBACK").await;
            match run(&mut session, "SELECT 1 + 1").await {
                Ok(rows) if rows == ["2"] => {}
                other => failures.push(format!("{mutated}\n  and then SELECT 1 + 1 gave {other:?}")),
            }
        }
    }
    drop(std::panic::take_hook());
    assert!(
        answered > wanted / 20,
        "only {answered} of {wanted} statements were right: the mutations are too wild"
    );
    assert!(failures.is_empty(), "{} of {wanted} statements:\n{}", failures.len(), failures.join("\n"));
}
