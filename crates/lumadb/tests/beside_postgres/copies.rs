//! COPY with every option beside PostgreSQL: the same bytes out, the same rows of them in, and the same errors.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::servers::{Lumadb, Postgres, programs};

const COLUMNS: &str = "(id int, word text, n numeric(8,2), at timestamp, flag boolean)";
const ROWS: &str =
    "INSERT INTO t VALUES (1, 'plain', 1.5, '2024-01-02 03:04:05', true), (2, '', NULL, NULL, NULL),
    (3, NULL, -0.25, 'infinity', false), (4, E'tab\\tquote\"comma,back\\\\slash\\nline', 0, NULL, true),
    (5, 'NULL', 7, NULL, NULL), (6, '\\N', 7, NULL, NULL), (7, 'it''s; 100%', 12345.6, NULL, NULL)";

/// Options that write, and options that read the same.
const BOTH_WAYS: &[(&str, &str)] = &[
    ("", ""),
    ("(FORMAT text, DELIMITER '|', NULL 'none')", "(FORMAT text, DELIMITER '|', NULL 'none')"),
    ("(FORMAT text, HEADER)", "(FORMAT text, HEADER MATCH)"),
    ("(FORMAT csv)", "(FORMAT csv)"),
    ("(FORMAT csv, HEADER)", "(FORMAT csv, HEADER match)"),
    (
        "(FORMAT csv, DELIMITER ';', QUOTE '''', ESCAPE '\\')",
        "(FORMAT csv, DELIMITER ';', QUOTE '''', ESCAPE '\\')",
    ),
    ("(FORMAT csv, NULL 'NULL')", "(FORMAT csv, NULL 'NULL')"),
    ("(FORMAT csv, HEADER, FORCE_QUOTE *)", "(FORMAT csv, HEADER)"),
    ("(FORMAT csv, FORCE_QUOTE (word, flag))", "(FORMAT csv, FORCE_NOT_NULL (word))"),
    ("(FORMAT csv, FORCE_QUOTE (word))", "(FORMAT csv, FORCE_NULL (word, n))"),
    ("CSV HEADER FORCE QUOTE word", "CSV HEADER FORCE NOT NULL word"),
    ("CSV FORCE QUOTE *", "CSV"),
    ("WITH CSV DELIMITER ';' NULL 'x'", "WITH CSV DELIMITER ';' NULL 'x'"),
    ("(FORMAT binary)", "(FORMAT binary)"),
];

/// What is refused: the rest of a COPY, and what it is given.
const REFUSED: &[(&str, &str)] = &[
    ("FROM STDIN (FORMAT csv, HEADER MATCH)", "id,wort,n,at,flag\n"),
    ("FROM STDIN (FORMAT csv, HEADER MATCH)", "id,word\n"),
    ("TO STDOUT (FORMAT csv, HEADER MATCH)", ""),
    ("TO STDOUT (FORMAT text, FORCE_QUOTE *)", ""),
    ("TO STDOUT (FORMAT csv, FORCE_NULL (word))", ""),
    ("TO STDOUT (FORMAT csv, FORCE_NOT_NULL (word))", ""),
    ("FROM STDIN (FORMAT csv, FORCE_QUOTE (word))", ""),
    ("FROM STDIN (FORMAT csv, FORCE_NULL (other))", ""),
    ("(id) TO STDOUT (FORMAT csv, FORCE_QUOTE (word))", ""),
    ("FROM STDIN (FORMAT csv)", "1,a,x,,\n"),
    ("FROM STDIN (FORMAT csv)", "1,a\n"),
    ("FROM STDIN (FORMAT csv)", "1,\"a\n"),
    ("TO 'relative.csv'", ""),
    ("FROM '/there/is/no/such/file'", ""),
];

/// Runs a script with psql; its output, and the SQLSTATE that it ended with.
fn psql(target: &str, script: &str, input: &[u8]) -> (Vec<u8>, Option<String>) {
    let mut process = Command::new(programs().unwrap().join("psql"))
        .args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-v",
            "VERBOSITY=verbose",
            "-d",
            target,
            "-c",
            script,
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It does not read what a refused statement would have taken.
    let _ = process.stdin.take().unwrap().write_all(input);
    let output = process.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let state =
        said.lines().find_map(|line| Some(line.split_once("ERROR:  ")?.1.split(':').next()?.to_owned()));
    assert!(output.status.success() || state.is_some(), "{script}: {said}");
    (output.stdout, state)
}

#[test]
fn copies_are_postgresql_s_with_every_option() {
    let mut postgres = match Postgres::start() {
        Ok(postgres) => postgres,
        Err(reason) => {
            assert!(std::env::var_os("CI").is_none(), "{reason}");
            eprintln!("skipped: {reason}");
            return;
        }
    };
    let ours = Lumadb::start();
    drop(postgres.session());
    let (theirs, ours) = (postgres.connection_string(), ours.connection_string());
    for target in [&theirs, &ours] {
        assert_eq!(psql(target, &format!("CREATE TABLE t {COLUMNS}; {ROWS}"), b"").1, None);
    }
    let directory = tempfile::tempdir().unwrap();
    let contents = "SELECT * FROM c ORDER BY id";
    for (out, back) in BOTH_WAYS {
        let copy = format!("COPY (SELECT * FROM t ORDER BY id) TO STDOUT {out}");
        let (one, other) = (psql(&theirs, &copy, b""), psql(&ours, &copy, b""));
        assert_eq!(String::from_utf8_lossy(&other.0), String::from_utf8_lossy(&one.0), "{copy}");
        assert_eq!((&one.1, &other.1), (&None, &None), "{copy}");
        // On the server, the same bytes are in a file.
        let file = directory.path().join("copied");
        let file = file.to_str().unwrap();
        let stored = psql(&ours, &copy.replace("STDOUT", &format!("'{file}'")), b"");
        assert_eq!(stored.1, None, "{copy}");
        assert_eq!(std::fs::read(file).unwrap(), one.0, "{copy}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        let mut read = Vec::new();
        for (target, from) in
            [(&theirs, "STDIN".to_owned()), (&ours, "STDIN".to_owned()), (&ours, format!("'{file}'"))]
        {
            let make = format!("DROP TABLE IF EXISTS c; CREATE TABLE c {COLUMNS}");
            assert_eq!(psql(target, &make, b"").1, None);
            let copy = format!("COPY c FROM {from} {back}");
            assert_eq!(psql(target, &copy, &one.0).1, None, "{copy}");
            read.push(psql(target, contents, b"").0);
        }
        for rows in &read[1..] {
            assert_eq!(String::from_utf8_lossy(rows), String::from_utf8_lossy(&read[0]), "{out} {back}");
        }
    }
    for (rest, input) in REFUSED {
        let copy = format!("COPY t {rest}");
        let (one, other) = (psql(&theirs, &copy, input.as_bytes()), psql(&ours, &copy, input.as_bytes()));
        assert!(one.1.is_some(), "{copy}");
        assert_eq!(other.1, one.1, "{copy}");
    }
}
