use std::fmt::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::process::{Server, good, lumadb, run};

fn database() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("data")).unwrap();
    directory
}

fn rows(directory: &Path, query: &str) -> String {
    good(directory, &["sql", "--data-dir", "data", "--format", "csv", "-c", query])
}

fn import(directory: &Path, arguments: &[&str]) -> String {
    good(directory, &[&["import", "--data-dir", "data"], arguments].concat())
}

#[test]
fn what_is_exported_and_imported_again_is_the_same_in_every_format() {
    let directory = database();
    let csv = "id,f,t,d,at,b,z\n1,1.5,\"a,\"\"b\"\"\n c\",2024-01-31,2013-01-01T06:00:00Z,true,00501\n2,NA,,NA,,false,10001\n";
    std::fs::write(directory.path().join("a.csv"), csv).unwrap();
    import(directory.path(), &["one", "a.csv", "--create", "--key", "id"]);
    let query = "SELECT * FROM one ORDER BY id";
    let expected = rows(directory.path(), query);
    assert_eq!(
        expected,
        "id,f,t,d,at,b,z\n1,1.5,\"a,\"\"b\"\"\n c\",2024-01-31,2013-01-01 06:00:00+00,t,00501\n2,,,,,f,10001\n"
    );
    for extension in ["csv", "parquet", "arrow"] {
        let file = format!("one.{extension}");
        good(directory.path(), &["export", "--data-dir", "data", "one", &file]);
        let table = format!("from_{extension}");
        import(directory.path(), &[&table, &file, "--create"]);
        assert_eq!(
            rows(directory.path(), &format!("SELECT * FROM {table} ORDER BY id")),
            expected,
            "{extension}"
        );
    }
    // JSON into a table that is there already.
    rows(
        directory.path(),
        "CREATE TABLE from_json (id int, f float8, t text, d date, at timestamptz, b bool, z text)",
    );
    for extension in ["json", "ndjson"] {
        let file = format!("one.{extension}");
        good(directory.path(), &["export", "--data-dir", "data", query, &file]);
        rows(directory.path(), "DELETE FROM from_json");
        import(directory.path(), &["from_json", &file]);
        assert_eq!(rows(directory.path(), "SELECT * FROM from_json ORDER BY id"), expected, "{extension}");
    }
    assert!(!directory.path().join("one.csv.partial").exists());
}

#[test]
fn rows_that_do_not_fit_are_listed_with_line_and_reason() {
    let directory = database();
    rows(directory.path(), "CREATE TABLE t (id int PRIMARY KEY, n smallint NOT NULL)");
    let csv = "id,n\n1,1\n2,70000\n3\n1,5\n4,\n5,5\nsix,6\n";
    std::fs::write(directory.path().join("a.csv"), csv).unwrap();
    let out = import(directory.path(), &["t", "a.csv"]);
    assert!(out.contains("2 rows") && out.contains("5 rejected, see a.csv.rejects.csv"), "{out}");
    assert_eq!(rows(directory.path(), "SELECT id FROM t ORDER BY id"), "id\n1\n5\n");
    let list = std::fs::read_to_string(directory.path().join("a.csv.rejects.csv")).unwrap();
    for part in [
        "3,\"column n: value \"\"70000\"\" is out of range for type smallint\",\"2,70000\"",
        "4,\"the record has 1 values instead of 2\",\"3\"",
        "8,\"column id: invalid input syntax for type integer: \"\"six\"\"\",\"six,6\"",
        "5,\"duplicate key value violates unique constraint",
        "6,\"null value in column",
    ] {
        assert!(list.contains(part), "{part} is missing in:\n{list}");
    }
    let stopped =
        run(directory.path(), &["import", "--data-dir", "data", "t", "a.csv", "--max-rejects", "2"]);
    assert_eq!(stopped.code, 1);
    assert!(stopped.err.contains("more than 2 rows"), "{}", stopped.err);
}

#[test]
fn what_is_wrong_with_a_target_or_a_file_is_said() {
    let directory = database();
    std::fs::write(directory.path().join("a.csv"), "id,n\n1,1\n").unwrap();
    for (arguments, expected) in [
        (&["t", "a.csv"][..], "t does not exist; --create makes it"),
        (&["t", "b.csv", "--create"], "b.csv"),
        (&["t", "a.xls", "--create"], "--format"),
        (&["t", "a.csv", "--create", "--key", "nothing"], "\"nothing\""),
        (&["t", "a.csv", "--format", "parquet", "--create"], "a.csv: the file can't be read"),
    ] {
        let failed = run(directory.path(), &[&["import", "--data-dir", "data"], arguments].concat());
        assert_eq!(failed.code, 1);
        assert!(failed.err.contains(expected), "{arguments:?}: {}", failed.err);
    }
    import(directory.path(), &["t", "a.csv", "--create"]);
    let failed = run(directory.path(), &["import", "--data-dir", "data", "t", "a.csv", "--create"]);
    assert!(failed.err.contains("exists already"), "{}", failed.err);
    std::fs::write(directory.path().join("c.csv"), "id,other\n1,1\n").unwrap();
    let failed = run(directory.path(), &["import", "--data-dir", "data", "t", "c.csv"]);
    assert!(failed.err.contains("no column \"other\"; it has id, n"), "{}", failed.err);
}

#[test]
fn objects_become_documents_of_a_collection() {
    let directory = database();
    let json = "{\"type\": \"FeatureCollection\", \"features\": [{\"name\": \"a\", \"p\": {\"x\": 1.50}}, {\"name\": \"b\"}]}";
    std::fs::write(directory.path().join("a.geojson"), json).unwrap();
    import(directory.path(), &["places", "a.geojson", "--create"]);
    let found = rows(directory.path(), "SELECT name, _doc -> 'p' ->> 'x' AS x FROM places ORDER BY name");
    assert_eq!(found, "name,x\na,1.50\nb,\n");
}

/// The import of a file this large is killed in its middle, more than once, and each time continued.
const ROWS: u32 = 200_000;

#[test]
fn an_import_that_is_killed_goes_on_without_doubling_or_losing_a_row() {
    let directory = database();
    let mut csv = String::from("id,text\n");
    for id in 0..ROWS {
        writeln!(csv, "{id},\"row {id}\"").unwrap();
    }
    std::fs::write(directory.path().join("a.csv"), csv).unwrap();
    let arguments = ["import", "--data-dir", "data", "t", "a.csv", "--create", "--batch-rows", "2000"];
    let mut killed = 0;
    for wait in [700, 500, 900, 600] {
        let mut child = lumadb(directory.path())
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        if child.try_wait().unwrap().is_some() {
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        killed += 1;
    }
    let out = run(directory.path(), &arguments);
    if out.code != 0 {
        // It was done before it was killed for the last time.
        assert!(out.err.contains("exists already"), "{}", out.err);
    }
    let found = rows(directory.path(), "SELECT count(*) AS n, count(DISTINCT id) AS d, sum(id) AS s FROM t");
    let sum = u64::from(ROWS) * u64::from(ROWS - 1) / 2;
    assert_eq!(found, format!("n,d,s\n{ROWS},{ROWS},{sum}\n"), "after {killed} kills");
    assert_eq!(rows(directory.path(), "SELECT count(*) AS n FROM lumadb_import.progress"), "n\n0\n");
}

#[test]
fn statistics_and_verification_speak_of_what_was_imported() {
    let directory = database();
    std::fs::write(directory.path().join("a.csv"), "id\n1\n2\n3\n").unwrap();
    import(directory.path(), &["t", "a.csv", "--create"]);
    let stats = good(directory.path(), &["stats", "--data-dir", "data"]);
    assert!(stats.contains("public.t  about 3 rows"), "{stats}");
    let verified = good(directory.path(), &["verify", "--data-dir", "data"]);
    assert!(verified.starts_with("good: "), "{verified}");
    // A byte of a stored file is flipped.
    let largest = std::fs::read_dir(directory.path().join("data/tables"))
        .unwrap()
        .flatten()
        .max_by_key(|entry| entry.metadata().unwrap().len());
    let Some(largest) = largest else { panic!("there is no stored file") };
    let mut bytes = std::fs::read(largest.path()).unwrap();
    bytes[10] ^= 1;
    std::fs::write(largest.path(), bytes).unwrap();
    let damaged = run(directory.path(), &["verify", "--data-dir", "data"]);
    assert_eq!(damaged.code, 1);
    let name = largest.file_name().into_string().unwrap();
    assert!(damaged.err.contains(&name), "{}", damaged.err);
}

#[test]
fn an_import_into_a_server_is_seen_by_others_batch_by_batch() {
    let directory = database();
    let server = Server::open(directory.path());
    std::fs::write(directory.path().join("a.csv"), "id\n1\n2\n3\n").unwrap();
    let url = server.url();
    good(directory.path(), &["import", "--url", &url, "t", "a.csv", "--create", "--batch-rows", "1"]);
    good(directory.path(), &["import", "--url", &url, "t", "a.csv"]);
    let found =
        good(directory.path(), &["sql", &url, "--format", "csv", "-c", "SELECT count(*) AS n FROM t"]);
    assert_eq!(found, "n\n6\n");
    assert!(good(directory.path(), &["stats", "--url", &url]).contains("public.t"));
}
