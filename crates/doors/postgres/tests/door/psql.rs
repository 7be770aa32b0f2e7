use std::io::Write;
use std::process::{Command, Stdio};

use crate::server::Server;

/// Runs a script in psql; `None` where psql is not installed.
async fn psql(server: &Server, script: &str) -> Option<(String, String)> {
    let mut child = Command::new("psql")
        .args(["-X", "-q", "-A", "-t", "-h", "127.0.0.1", "-U", "lumadb", "-d", "lumadb", "-p"])
        .arg(server.address.port().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    child.stdin.take()?.write_all(script.as_bytes()).unwrap();
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    Some((String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap()))
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_runs_statements_copies_and_shows_errors_at_their_place() {
    let server = Server::open().await;
    let script = "CREATE TABLE t (id int PRIMARY KEY, v text);\n\
        \\copy t from stdin csv\n1,one\n2,\"two, too\"\n\\.\n\
        SELECT * FROM t ORDER BY id;\n\
        SELEC 1;\n\
        BEGIN; SELECT 1/0;\nSELECT 2;\nROLLBACK;\n\
        \\copy t to stdout csv\n";
    let Some((out, err)) = psql(&server, script).await else {
        eprintln!("skipped: psql is not installed");
        return;
    };
    assert!(out.starts_with("1|one\n2|two, too\n1,one\n2,\"two, too\"\n"), "{out}\n{err}");
    assert!(err.contains("syntax error at or near \"SELEC\"\nLINE 1: SELEC 1;\n        ^"), "{err}");
    assert!(err.contains("division by zero"), "{err}");
    assert!(err.contains("current transaction is aborted"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_describes_tables() {
    let server = Server::open().await;
    let script = "CREATE TABLE customers (id int PRIMARY KEY, name varchar(20) NOT NULL DEFAULT 'x');\n\
        CREATE INDEX by_name ON customers (name);\n\\t off\n\\d customers\n\\dt\n\\l\n\\du\n";
    let Some((out, err)) = psql(&server, script).await else {
        eprintln!("skipped: psql is not installed");
        return;
    };
    assert_eq!(err, "");
    for part in [
        "id|integer|",
        "name|character varying(20)|",
        "customers_pkey",
        "by_name",
        "customers|table",
        "lumadb",
    ] {
        assert!(out.contains(part), "{part} is missing in:\n{out}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_describes_materialized_views() {
    let server = Server::open().await;
    let script = "CREATE TABLE sale (region text, amount int);\n\
        CREATE MATERIALIZED VIEW per_region AS SELECT region, sum(amount) AS total FROM sale GROUP BY region;\n\
        CREATE UNIQUE INDEX per_region_key ON per_region (region);\n\
        \\t off\n\\d per_region\n\\dm\n\\d+ per_region\n";
    let Some((out, err)) = psql(&server, script).await else {
        eprintln!("skipped: psql is not installed");
        return;
    };
    assert_eq!(err, "");
    for part in [
        "Materialized view \"public.per_region\"",
        "total|bigint|",
        "\"per_region_key\" UNIQUE, btree (region)",
        "public|per_region|materialized view|",
        "View definition:",
    ] {
        assert!(out.contains(part), "{part} is missing in:\n{out}");
    }
}
