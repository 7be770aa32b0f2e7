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
async fn write(client: Client, writer: i64, round: i64, acknowledged: Arc<Mutex<BTreeSet<i64>>>) {
    for count in 0.. {
        let group = (round * WRITERS + writer) * 1_000_000 + count;
        let values: Vec<String> =
            (0..ROWS).map(|row| format!("({group}, {row}, 'row {row} of {group}')")).collect();
        let half = values.len() / 2;
        let script = format!(
            "BEGIN; INSERT INTO written VALUES {}; INSERT INTO written VALUES {}; COMMIT",
            values[..half.max(1)].join(", "),
            values[half.max(1)..].join(", ")
        );
        if client.batch_execute(&script).await.is_err() {
            return;
        }
        acknowledged.lock().unwrap().insert(group);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_transaction_is_lost_and_none_is_half_there() {
    let directory = tempfile::tempdir().unwrap();
    let acknowledged: Arc<Mutex<BTreeSet<i64>>> = Arc::default();
    let server = Server::start(directory.path());
    server
        .connect()
        .await
        .batch_execute("CREATE TABLE written (grp bigint, part bigint, note text, PRIMARY KEY (grp, part))")
        .await
        .unwrap();
    server.kill();
    let rounds = rounds();
    for round in 0..rounds {
        let server = Server::start(directory.path());
        let checker = server.connect().await;
        let known = acknowledged.lock().unwrap().clone();
        check(&checker, &known, round).await;
        let writers: Vec<_> = {
            let mut tasks = Vec::new();
            for writer in 0..WRITERS {
                let client = server.connect().await;
                tasks.push(tokio::spawn(write(client, writer, round as i64, Arc::clone(&acknowledged))));
            }
            tasks
        };
        // Somewhere in the middle of things, another place each round.
        tokio::time::sleep(Duration::from_millis(20 + (round * 37) % 180)).await;
        server.kill();
        for writer in writers {
            writer.await.unwrap();
        }
    }
    let server = Server::start(directory.path());
    let acknowledged = acknowledged.lock().unwrap().clone();
    check(&server.connect().await, &acknowledged, rounds).await;
    server.kill();
    assert!(acknowledged.len() as u64 > rounds, "the writers hardly wrote: {}", acknowledged.len());
}

async fn check(client: &Client, acknowledged: &BTreeSet<i64>, round: u64) {
    let rows = client.query("SELECT grp, count(*) FROM written GROUP BY grp", &[]).await.unwrap();
    let mut found = BTreeSet::new();
    for row in rows {
        let (group, parts): (i64, i64) = (row.get(0), row.get(1));
        assert_eq!(parts, ROWS, "round {round}: transaction {group} is there in part");
        found.insert(group);
    }
    let lost: Vec<&i64> = acknowledged.difference(&found).collect();
    assert!(lost.is_empty(), "round {round}: acknowledged transactions are lost: {lost:?}");
}
