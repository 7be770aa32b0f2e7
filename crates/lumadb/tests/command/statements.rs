use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use crate::process::{end, good, lumadb, run};

/// An empty database's directory.
fn database() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("data")).unwrap();
    directory
}

fn sql(directory: &Path, arguments: &[&str]) -> String {
    good(directory, &[&["sql", "--data-dir", "data"], arguments].concat())
}

#[test]
fn results_are_shown_in_every_format() {
    let directory = database();
    let query = "SELECT 1 AS n, 'a \"b\", c' AS t, NULL::int AS x, true AS b";
    for (format, expected) in [
        ("csv", "n,t,x,b\n1,\"a \"\"b\"\", c\",,t\n"),
        ("json", "[\n  {\"n\": 1, \"t\": \"a \\\"b\\\", c\", \"x\": null, \"b\": true}\n]\n"),
        ("ndjson", "{\"n\": 1, \"t\": \"a \\\"b\\\", c\", \"x\": null, \"b\": true}\n"),
        ("table", " n |    t     | x | b \n---+----------+---+---\n 1 | a \"b\", c |   | t\n(1 row)\n\n"),
    ] {
        assert_eq!(sql(directory.path(), &["--format", format, "-c", query]), expected, "{format}");
    }
}

#[test]
fn an_error_points_at_its_place_and_is_exit_code_one() {
    let directory = database();
    let failed = run(directory.path(), &["sql", "--data-dir", "data", "-c", "SELECT 1;\nSELEC 2"]);
    assert_eq!(failed.code, 1);
    assert!(failed.err.contains("LINE 2: SELEC 2\n        ^"), "{}", failed.err);
}

#[test]
fn scripts_run_statement_by_statement_from_files_and_standard_input() {
    let directory = database();
    std::fs::write(
        directory.path().join("a.sql"),
        "CREATE TABLE t (v text); -- ;\nINSERT INTO t VALUES (';');\n",
    )
    .unwrap();
    let out = sql(directory.path(), &["-f", "a.sql"]);
    assert_eq!(out, "CREATE TABLE\nINSERT 0 1\n");
    let mut child = lumadb(directory.path())
        .args(["sql", "--data-dir", "data", "--format", "csv"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"SELECT v FROM t;\nSELECT 2 AS two").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "v\n;\ntwo\n2\n");
}

#[test]
fn a_directory_that_is_none_is_not_made() {
    let directory = tempfile::tempdir().unwrap();
    let failed = run(directory.path(), &["sql", "--data-dir", "nowhere", "-c", "SELECT 1"]);
    assert_eq!(failed.code, 1);
    assert!(failed.err.contains("nowhere is not a directory"), "{}", failed.err);
    assert!(!directory.path().join("nowhere").exists());
}

#[test]
fn the_variable_names_the_server_unless_an_argument_does() {
    let directory = database();
    let sql = |arguments: &[&str]| {
        let mut command = lumadb(directory.path());
        end(command
            .env("LUMADB_URL", "postgres://127.0.0.1:1/lumadb")
            .args(["sql", "-c", "SELECT 1"])
            .args(arguments))
    };
    assert!(sql(&[]).err.contains("127.0.0.1:1"));
    assert!(sql(&["--url", "postgres://127.0.0.1:2/lumadb"]).err.contains("127.0.0.1:2"));
    assert!(sql(&["postgres://127.0.0.1:2/lumadb"]).err.contains("127.0.0.1:2"));
    assert_eq!(sql(&["--data-dir", "data"]).code, 0);
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let failed = run(directory.path(), &["sql", "postgres://lumadb@127.0.0.1:1/lumadb", "-c", "SELECT 1"]);
    assert_eq!(failed.code, 1);
    assert!(failed.err.contains("cannot connect to a server at 127.0.0.1:1"), "{}", failed.err);
    let failed = run(directory.path(), &["sql", "not a url", "-c", "SELECT 1"]);
    assert!(failed.err.contains("is not a URL"), "{}", failed.err);
}
