//! `pg_dump` of either server, given to `psql` for the other one and for a LumaDB: the copy is dumped as its
//! original is.

use std::path::Path;
use std::process::Command;

use crate::servers::{Lumadb, Postgres, programs};
use crate::wire::Client;

/// What is dumped.
const DEFINITIONS: &[&str] = &[
    "CREATE SCHEMA other",
    "CREATE TABLE parent (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a text DEFAULT 'it''s' NOT NULL, \
     b numeric(10,2) CHECK (b > 0), c date DEFAULT '2024-01-02', u varchar(20) UNIQUE)",
    "CREATE TABLE child (id bigserial PRIMARY KEY, p int REFERENCES parent (id) ON DELETE CASCADE, \
     double int GENERATED ALWAYS AS (p * 2) STORED)",
    "CREATE TABLE other.\"Odd name\" (\"A b\" int, j jsonb, list int[], raw bytea, f float8)",
    "CREATE INDEX child_p ON child (p DESC, id)",
    "CREATE INDEX child_sum ON child ((p + id)) WHERE p > 0",
    "CREATE INDEX parent_with ON parent (lower(a)) INCLUDE (b)",
    "CREATE TABLE \"user\" (\"order\" int PRIMARY KEY, \"select\" text)",
    "CREATE UNIQUE INDEX odd ON other.\"Odd name\" (\"A b\")",
    "CREATE VIEW seen AS SELECT id, a FROM parent WHERE b > 1",
    "CREATE MATERIALIZED VIEW kept AS SELECT a, count(*) AS n FROM parent GROUP BY a",
    "CREATE UNIQUE INDEX kept_a ON kept (a)",
    "CREATE MATERIALIZED VIEW unfilled AS SELECT n FROM kept WITH NO DATA",
    "CREATE VIEW over_kept AS SELECT n FROM kept",
    "CREATE SEQUENCE loose START 5 INCREMENT 3 MAXVALUE 100 CYCLE",
    "SELECT nextval('loose'), nextval('loose')",
    "CREATE TYPE mood AS ENUM ('sad', 'it''s ok', 'happy')",
    "ALTER TYPE mood ADD VALUE 'fine' BEFORE 'happy'",
    "CREATE DOMAIN positive AS int DEFAULT 7 CONSTRAINT above CHECK (VALUE > 0)",
    "CREATE TYPE other.shade AS ENUM ('dark')",
    "CREATE TABLE felt (m mood DEFAULT 'sad', many mood[], n positive NOT NULL, s other.shade)",
    "INSERT INTO felt VALUES ('fine', '{happy,\"it''s ok\"}', 3, 'dark'), (NULL, NULL, 4, NULL)",
    "COMMENT ON TYPE mood IS 'felt'",
    "COMMENT ON TABLE parent IS 'whole'",
    "COMMENT ON COLUMN parent.a IS 'a part'",
    "INSERT INTO parent (a, b, u) VALUES ('tab\tand\nline', 1.5, 'one'), ('\\back', 2, NULL)",
    "INSERT INTO child (p) VALUES (1), (2), (NULL)",
    "INSERT INTO other.\"Odd name\" VALUES (1, '{\"k\": [1, null]}', '{1,NULL,3}', '\\x00ff', 0.1), (NULL, NULL, NULL, NULL, 'NaN')",
];

fn dump(programs: &Path, source: &str, options: &[&str]) -> String {
    let output = Command::new(programs.join("pg_dump")).arg("-d").arg(source).args(options).output().unwrap();
    assert!(output.status.success(), "pg_dump: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn restore(programs: &Path, target: &str, script: &str) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dump.sql");
    std::fs::write(&file, script).unwrap();
    let output = Command::new(programs.join("psql"))
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", target, "-f"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(output.status.success(), "psql: {}\n{script}", String::from_utf8_lossy(&output.stderr));
}

/// The statements alone; the key of `\restrict` is another each time.
fn statements(dump: &str) -> Vec<&str> {
    let noise = |line: &&str| line.is_empty() || line.starts_with("--") || line.contains("restrict ");
    dump.lines().filter(|line| !noise(line)).collect()
}

/// Tells the lines that only one of two dumps has.
fn same(one: &str, other: &str) {
    let (one, other) = (statements(one), statements(other));
    let only = |here: &[&str], there: &[&str]| -> Vec<String> {
        here.iter().filter(|line| !there.contains(line)).map(|line| (*line).to_owned()).collect()
    };
    assert!(
        one == other,
        "only in the copy: {:#?}\nonly in the original: {:#?}",
        only(&one, &other),
        only(&other, &one)
    );
}

fn define(session: &mut Client) {
    for definition in DEFINITIONS {
        let answer = session.simple(definition);
        assert_eq!(answer.error, None, "{definition}: {}", answer.message);
    }
}

#[test]
fn what_pg_dump_writes_of_a_database_makes_the_same_database() {
    let Ok(programs) = programs() else {
        assert!(std::env::var_os("CI").is_none(), "there is no pg_dump");
        eprintln!("skipped: there is no pg_dump");
        return;
    };
    let original = Lumadb::start();
    define(&mut original.session());
    let whole = dump(&programs, &original.connection_string(), &[]);
    let copy = Lumadb::start();
    restore(&programs, &copy.connection_string(), &whole);
    same(&dump(&programs, &copy.connection_string(), &[]), &whole);
    // In two parts, as many do it.
    let in_parts = Lumadb::start();
    restore(
        &programs,
        &in_parts.connection_string(),
        &dump(&programs, &original.connection_string(), &["--schema-only"]),
    );
    let rows = dump(&programs, &original.connection_string(), &["--data-only"]);
    // Rows of materialized views belong to neither part.
    let rows = format!("{rows}\nREFRESH MATERIALIZED VIEW public.kept;\n");
    restore(&programs, &in_parts.connection_string(), &rows);
    same(&dump(&programs, &in_parts.connection_string(), &[]), &whole);
}

#[test]
fn external_tables_are_dumped_as_foreign_ones_and_made_again_of_them() {
    let Ok(programs) = programs() else {
        assert!(std::env::var_os("CI").is_none(), "there is no pg_dump");
        eprintln!("skipped: there is no pg_dump");
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("it's.csv");
    std::fs::write(&file, "id;a word\n1;one\n2;two\n").unwrap();
    let original = Lumadb::start();
    let place = file.to_str().unwrap().replace('\'', "''");
    let made = original.session().simple(&format!(
        "CREATE EXTERNAL TABLE rest STORED AS csv LOCATION '{place}' OPTIONS (delimiter ';')"
    ));
    assert_eq!(made.error, None, "{}", made.message);
    let whole = dump(&programs, &original.connection_string(), &[]);
    assert!(whole.contains("CREATE FOREIGN TABLE public.rest"), "{whole}");
    let copy = Lumadb::start();
    restore(&programs, &copy.connection_string(), &whole);
    same(&dump(&programs, &copy.connection_string(), &[]), &whole);
    let rows = |server: &Lumadb| server.session().simple("SELECT * FROM rest ORDER BY id").rows;
    assert_eq!(rows(&copy).len(), 2);
    assert_eq!(rows(&copy), rows(&original));
    let cleaned = dump(&programs, &original.connection_string(), &["--clean"]);
    restore(&programs, &copy.connection_string(), &cleaned);
    same(&dump(&programs, &copy.connection_string(), &[]), &whole);
}

#[test]
fn a_dump_of_postgresql_is_taken_whole() {
    let (Ok(programs), Ok(mut postgres)) = (programs(), Postgres::start()) else {
        assert!(std::env::var_os("CI").is_none(), "there is no PostgreSQL");
        eprintln!("skipped: there is no PostgreSQL");
        return;
    };
    define(&mut postgres.session());
    let copy = Lumadb::start();
    let roles = copy.session().simple("CREATE ROLE postgres");
    assert_eq!(roles.error, None, "{}", roles.message);
    restore(&programs, &copy.connection_string(), &dump(&programs, &postgres.connection_string(), &[]));
    let rows = ["--data-only"];
    let theirs = dump(&programs, &postgres.connection_string(), &rows);
    assert_eq!(statements(&dump(&programs, &copy.connection_string(), &rows)), statements(&theirs));
}

#[test]
fn a_dump_of_ours_is_taken_whole_by_postgresql() {
    let (Ok(programs), Ok(mut postgres)) = (programs(), Postgres::start()) else {
        assert!(std::env::var_os("CI").is_none(), "there is no PostgreSQL");
        eprintln!("skipped: there is no PostgreSQL");
        return;
    };
    let original = Lumadb::start();
    define(&mut original.session());
    let mut target = postgres.session();
    let role = target.simple("CREATE ROLE lumadb");
    assert_eq!(role.error, None, "{}", role.message);
    let source = original.connection_string();
    for part in ["--schema-only", "--data-only"] {
        restore(&programs, &postgres.connection_string(), &dump(&programs, &source, &[part]));
    }
    let rows = ["--data-only"];
    let theirs = dump(&programs, &postgres.connection_string(), &rows);
    assert_eq!(statements(&theirs), statements(&dump(&programs, &source, &rows)));
}
