//! The server is killed with SIGKILL under concurrent writers, again and again. After each restart
//! every acknowledged transaction is there as a whole, and no other is there in part.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_postgres::{Client, NoTls};

const WRITERS: i64 = 4;
/// Rows of one transaction.
const ROWS: i64 = 3;

fn rounds() -> u64 {
    std::env::var("LUMADB_KILL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(100)
}

struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start(directory: &Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_lumadb"))
            .args([
                "serve",
                "--postgres-port",
                "0",
                "--http-port",
                "0",
                "--prometheus-port",
                "0",
                "--data-dir",
            ])
            .arg(directory)
            .env("LUMADB_SECURITY_REQUIRE_AUTH", "false")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        let mut address = String::new();
        let output = process.stdout.take().unwrap();
        for line in BufReader::new(output).lines() {
            let line = line.unwrap();
            if let Some(found) = line.strip_prefix("postgres ") {
                found.clone_into(&mut address);
            }
            if line == "ready" {
                return Self { process, address };
            }
        }
        let ended = process.wait();
        panic!("the server ended before it was ready: {ended:?}");
    }

    async fn connect(&self) -> Client {
        let (host, port) = self.address.rsplit_once(':').unwrap();
        let text = format!("host={host} port={port} user=lumadb dbname=lumadb");
        let (client, connection) = tokio_postgres::connect(&text, NoTls).await.expect("a connection");
        tokio::spawn(connection);
        client
    }

    fn kill(mut self) {
        // SIGKILL: no handler runs, nothing is flushed.
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Commits transactions until the server is gone; notes each that was acknowledged.
async fn write(
    client: Client,
    first: i64,
    script: fn(i64) -> String,
    acknowledged: Arc<Mutex<BTreeSet<i64>>>,
) {
    for group in first.. {
        if client.batch_execute(&script(group)).await.is_err() {
            return;
        }
        acknowledged.lock().unwrap().insert(group);
    }
}

fn rows_of(group: i64) -> String {
    let values: Vec<String> =
        (0..ROWS).map(|row| format!("({group}, {row}, 'row {row} of {group}')")).collect();
    let half = values.len() / 2;
    format!(
        "BEGIN; INSERT INTO written VALUES {}; INSERT INTO written VALUES {}; COMMIT",
        values[..half.max(1)].join(", "),
        values[half.max(1)..].join(", ")
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_transaction_is_lost_and_none_is_half_there() {
    let table = "CREATE TABLE written (grp bigint, part bigint, note text, PRIMARY KEY (grp, part))";
    kill_again_and_again(table, rows_of, 0, async |client| {
        let rows = client.query("SELECT grp, count(*) FROM written GROUP BY grp", &[]).await.unwrap();
        rows.iter()
            .map(|row| {
                let (group, parts): (i64, i64) = (row.get(0), row.get(1));
                assert_eq!(parts, ROWS, "transaction {group} is there in part");
                group
            })
            .collect()
    })
    .await;
}

/// Rows of a group in the columnar table: of some so many that they go to a file at once.
fn parts_of(group: i64) -> i64 {
    if group % 3 == 0 { 11_000 } else { ROWS }
}

/// Every transaction also changes and deletes what it inserted, in files and before they are files.
fn columns_of(group: i64) -> String {
    let parts = parts_of(group);
    format!(
        "BEGIN; INSERT INTO written VALUES ({group}); \
         INSERT INTO columns SELECT {group}, n FROM generate_series(1, {parts}) AS s (n); \
         UPDATE columns SET part = -part WHERE grp = {group} AND part < 3; \
         DELETE FROM columns WHERE grp = {group} AND part = 3; COMMIT"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_columnar_tables_are_there_as_a_whole_with_what_was_deleted_of_them() {
    let tables = "CREATE TABLE written (grp bigint PRIMARY KEY); \
                  CREATE TABLE columns (grp bigint, part bigint) WITH (engine = 'columnar', sort_by = 'grp, part')";
    kill_again_and_again(tables, columns_of, 2, async |client| {
        let found = "SELECT grp, count(*), sum(part)::bigint FROM columns GROUP BY grp";
        let rows = client.query(found, &[]).await.unwrap();
        let groups: BTreeSet<i64> = rows
            .iter()
            .map(|row| {
                let (group, parts, sum): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
                let all = parts_of(group);
                // Two are negative, and the third is gone.
                let expected = (all - 1, all * (all + 1) / 2 - 2 * (1 + 2) - 3);
                assert_eq!((parts, sum), expected, "transaction {group} is there in part");
                group
            })
            .collect();
        let written = client.query("SELECT grp FROM written", &[]).await.unwrap();
        let written: BTreeSet<i64> = written.iter().map(|row| row.get(0)).collect();
        assert_eq!(groups, written);
        groups
    })
    .await;
}

/// Starts the server, lets writers run `script` for one group after another, and kills it, round after round;
/// `found` gives the groups that are there and checks that they are whole. Meanwhile `vacuum` clients have the
/// columnar table merged.
async fn kill_again_and_again(
    tables: &str,
    script: fn(i64) -> String,
    vacuum: usize,
    found: impl AsyncFn(&Client) -> BTreeSet<i64>,
) {
    let directory = tempfile::tempdir().unwrap();
    let acknowledged: Arc<Mutex<BTreeSet<i64>>> = Arc::default();
    let server = Server::start(directory.path());
    server.connect().await.batch_execute(tables).await.unwrap();
    server.kill();
    let rounds = rounds();
    let check = async |client: &Client, round: u64| {
        let known = acknowledged.lock().unwrap().clone();
        let found = found(client).await;
        let lost: Vec<&i64> = known.difference(&found).collect();
        assert!(lost.is_empty(), "round {round}: acknowledged transactions are lost: {lost:?}");
    };
    for round in 0..rounds {
        let server = Server::start(directory.path());
        check(&server.connect().await, round).await;
        let mut tasks = Vec::new();
        for writer in 0..WRITERS {
            let client = server.connect().await;
            let first = (round as i64 * WRITERS + writer) * 1_000_000;
            tasks.push(tokio::spawn(write(client, first, script, Arc::clone(&acknowledged))));
        }
        for _ in 0..vacuum {
            let client = server.connect().await;
            tasks.push(tokio::spawn(
                async move { while client.batch_execute("VACUUM columns").await.is_ok() {} },
            ));
        }
        // Somewhere in the middle of things, another place each round.
        tokio::time::sleep(Duration::from_millis(20 + (round * 37) % 180)).await;
        server.kill();
        for task in tasks {
            task.await.unwrap();
        }
    }
    let server = Server::start(directory.path());
    check(&server.connect().await, rounds).await;
    server.kill();
    let count = acknowledged.lock().unwrap().len();
    assert!(count as u64 > rounds, "the writers hardly wrote: {count}");
}
