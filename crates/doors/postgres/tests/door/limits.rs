//! Time limits and cancels, wherever a statement may be: waiting for a lock, asleep, computing, writing.

use std::time::Duration;

use tokio_postgres::{Client, Error};

use crate::server::Server;

/// Statements that do not end by themselves, or not for long. `t` has a thousand rows, row 1 is locked by
/// another transaction, and so is the advisory lock 1; `held` is locked as a whole.
const ENDLESS: &[&str] = &[
    "UPDATE t SET v = v WHERE id = 1",
    "SELECT * FROM t WHERE id = 1 FOR UPDATE",
    "INSERT INTO t VALUES (1, 0)",
    "INSERT INTO held VALUES (1)",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_sleep(100)",
    "SELECT count(*) FROM t a, t b, t c, t d WHERE a.v + b.v + c.v + d.v < 0",
    "SELECT a.id + b.id * c.id AS n FROM t a, t b, t c ORDER BY n DESC LIMIT 1",
    "SELECT count(*) FROM generate_series(1, 100000000000) g WHERE g < 0",
    "INSERT INTO sink SELECT g FROM generate_series(1, 100000000000) g",
    "CREATE TABLE made AS SELECT a.id FROM t a, t b, t c, t d",
    "CREATE MATERIALIZED VIEW made AS SELECT a.id FROM t a, t b, t c, t d",
    "UPDATE t SET v = (SELECT count(*) FROM t a, t b, t c WHERE a.v + b.v + c.v < t.id)",
    "DELETE FROM t WHERE (SELECT count(*) FROM t a, t b, t c WHERE a.v + b.v + c.v < t.id) < 0",
    "COPY (SELECT a.id FROM t a, t b, t c, t d WHERE a.v + b.v + c.v + d.v < 0) TO STDOUT",
    "DECLARE c CURSOR WITH HOLD FOR SELECT a.id FROM t a, t b, t c, t d WHERE a.v + b.v + c.v + d.v < 0; FETCH c",
];

fn code(ran: Result<(), Error>) -> String {
    let Err(failed) = ran else { return "it ended".to_owned() };
    failed.code().map_or_else(|| "no code".to_owned(), |code| code.code().to_owned())
}

/// Runs a script, or a COPY to its end.
async fn run(client: &Client, script: &str) -> Result<(), Error> {
    if !script.starts_with("COPY") {
        return client.batch_execute(script).await;
    }
    let rows = client.copy_out(script).await?;
    futures::pin_mut!(rows);
    while let Some(row) = futures::StreamExt::next(&mut rows).await {
        row?;
    }
    Ok(())
}

/// A server with what the statements are about, and the client that holds the locks.
async fn held() -> (Server, Client) {
    let server = Server::open().await;
    let holder = server.client().await;
    holder
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, v int); \
             INSERT INTO t SELECT g, g FROM generate_series(1, 1000) g; \
             CREATE TABLE held (id int); CREATE TABLE sink (id bigint)",
        )
        .await
        .unwrap();
    holder
        .batch_execute(
            "SELECT pg_advisory_lock(1); BEGIN; UPDATE t SET v = 0 WHERE id = 1; LOCK TABLE held IN ACCESS EXCLUSIVE MODE",
        )
        .await
        .unwrap();
    (server, holder)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_statement_timeout_ends_a_statement_wherever_it_is() {
    let (server, _holder) = held().await;
    let client = server.client().await;
    for endless in ENDLESS {
        println!("{endless}");
        client.batch_execute("SET statement_timeout = '200ms'").await.unwrap();
        assert_eq!(code(run(&client, endless).await), "57014", "{endless}");
        client.batch_execute("SET statement_timeout = 0").await.unwrap();
        let next = client.query("SELECT 1", &[]).await;
        assert!(next.is_ok(), "after {endless}: {next:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_ends_a_statement_wherever_it_is() {
    let (server, _holder) = held().await;
    let (client, other) = (server.client().await, server.client().await);
    let process: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    for endless in ENDLESS {
        println!("{endless}");
        let (failed, ()) = tokio::join!(run(&client, endless), async {
            let runs = "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND state = 'active'";
            while other.query_opt(runs, &[&process]).await.unwrap().is_none() {}
            tokio::time::sleep(Duration::from_millis(50)).await;
            other.query_one("SELECT pg_cancel_backend($1)", &[&process]).await.unwrap();
        });
        assert_eq!(code(failed), "57014", "{endless}");
        assert_eq!(client.query("SELECT 1", &[]).await.unwrap().len(), 1, "after {endless}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lock_timeout_ends_waits_for_locks_and_nothing_else() {
    let (server, _holder) = held().await;
    let client = server.client().await;
    client.batch_execute("SET lock_timeout = '50ms'").await.unwrap();
    for waiting in &ENDLESS[..5] {
        assert_eq!(code(client.batch_execute(waiting).await), "55P03", "{waiting}");
    }
    client.batch_execute("SELECT pg_sleep(0.2)").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_whom_is_seen() {
    let (server, holder) = held().await;
    let other = server.client().await;
    let pid = "SELECT pg_backend_pid()";
    let holding: i32 = holder.query_one(pid, &[]).await.unwrap().get(0);
    // The query that PostgreSQL's wiki gives for blocked statements, shortened.
    let blocked = "SELECT blocking.pid FROM pg_locks blocked \
        JOIN pg_locks blocking ON blocking.locktype = blocked.locktype \
         AND blocking.transactionid IS NOT DISTINCT FROM blocked.transactionid \
         AND blocking.relation IS NOT DISTINCT FROM blocked.relation \
         AND blocking.objid IS NOT DISTINCT FROM blocked.objid AND blocking.pid <> blocked.pid \
        WHERE NOT blocked.granted AND blocking.granted AND blocked.pid = $1";
    for (waiting, event) in [
        ("UPDATE t SET v = v WHERE id = 1", "transactionid"),
        ("INSERT INTO held VALUES (1)", "relation"),
        ("SELECT pg_advisory_lock(1)", "advisory"),
    ] {
        let client = server.client().await;
        let process: i32 = client.query_one(pid, &[]).await.unwrap().get(0);
        let (failed, ()) = tokio::join!(client.batch_execute(waiting), async {
            let waits = "SELECT wait_event FROM pg_stat_activity WHERE pid = $1 AND wait_event_type = 'Lock'";
            let row = loop {
                if let Some(row) = other.query_opt(waits, &[&process]).await.unwrap() {
                    break row;
                }
            };
            assert_eq!(row.get::<_, &str>(0), event, "{waiting}");
            let row = other.query_one("SELECT pg_blocking_pids($1)", &[&process]).await.unwrap();
            assert_eq!(row.get::<_, Vec<i32>>(0), [holding], "{waiting}");
            let row = other.query_one(blocked, &[&process]).await.unwrap();
            assert_eq!(row.get::<_, i32>(0), holding, "{waiting}");
            other.query_one("SELECT pg_cancel_backend($1)", &[&process]).await.unwrap();
        });
        assert_eq!(code(failed), "57014", "{waiting}");
    }
    let row = other.query_one("SELECT pg_blocking_pids($1)", &[&holding]).await.unwrap();
    assert_eq!(row.get::<_, Vec<i32>>(0), [0i32; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_are_counted_by_what_they_are_without_their_constants() {
    let (server, _holder) = held().await;
    let client = server.client().await;
    client.batch_execute("SELECT pg_stat_statements_reset()").await.unwrap();
    for number in 0..3 {
        client.simple_query(&format!("SELECT id FROM t WHERE id > {number} LIMIT 2")).await.unwrap();
    }
    for number in 2i32..6 {
        client.query("SELECT v FROM t WHERE id = $1", &[&number]).await.unwrap();
    }
    client.batch_execute("SELECT 1 / 0").await.unwrap_err();
    let seen = "SELECT query, calls, rows FROM pg_stat_statements WHERE query LIKE '%FROM t%' OR query LIKE '%/%' \
                ORDER BY query";
    let rows = client.query(seen, &[]).await.unwrap();
    let rows: Vec<(String, i64, i64)> = rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    assert_eq!(rows[0], ("SELECT id FROM t WHERE id > $1 LIMIT $2".to_owned(), 3, 6));
    assert_eq!(rows[1], ("SELECT v FROM t WHERE id = $1".to_owned(), 4, 4));
    assert_eq!(rows.len(), 2, "{rows:?}");
    let timed = "SELECT min_exec_time > 0 AND max_exec_time >= mean_exec_time AND total_exec_time >= max_exec_time \
                 FROM pg_stat_statements WHERE calls = 4";
    assert!(client.query_one(timed, &[]).await.unwrap().get::<_, bool>(0));
}
