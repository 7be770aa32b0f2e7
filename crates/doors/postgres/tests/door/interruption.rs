use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio_postgres::NoTls;

use crate::raw::{Raw, query};
use crate::server::Server;

/// A statement that does not end by itself.
const ENDLESS: &str = "SELECT count(*) FROM n a, n b, n c, n d, n e WHERE a.i + b.i + c.i + d.i + e.i < 0";

async fn with_rows() -> Server {
    let server = Server::open().await;
    server.numbers(1000).await;
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_statement_is_canceled_and_the_session_goes_on() {
    let server = with_rows().await;
    let client = server.client().await;
    let token = client.cancel_token();
    let (failed, ()) = tokio::join!(client.query(ENDLESS, &[]), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        token.cancel_query(NoTls).await.unwrap();
    });
    assert_eq!(failed.unwrap_err().code().unwrap().code(), "57014");
    assert_eq!(client.query("SELECT 1", &[]).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_cancels_nothing() {
    let server = with_rows().await;
    let client = server.client().await;
    let mut raw = Raw::silent(&server).await;
    raw.startup(80_877_102, &[0, 0, 0, 2, 0, 0, 0, 0]).await;
    assert!(raw.message().await.is_none());
    assert!(client.query("SELECT 1", &[]).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_ends_its_statement() {
    let server = with_rows().await;
    let before = server.metrics.active_connections.load(Ordering::Relaxed);
    let mut raw = Raw::connect(&server).await;
    raw.send(&query(ENDLESS)).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(raw);
    server.until(|server| server.metrics.active_connections.load(Ordering::Relaxed) <= before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_shutdown_idle_clients_and_after_the_grace_busy_ones_are_told_why() {
    let server = with_rows().await;
    let mut idle = Raw::connect(&server).await;
    let mut busy = Raw::connect(&server).await;
    busy.send(&query(ENDLESS)).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.stop.cancel();
    assert_eq!(idle.last_words().await.as_deref(), Some("57P01"));
    assert_eq!(busy.last_words().await.as_deref(), Some("57P01"));
    server.served.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_does_not_make_memory_grow() {
    let server = with_rows().await;
    let mut raw = Raw::connect(&server).await;
    let resident = || {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap();
        text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    };
    // A million rows of a hundred bytes and more.
    raw.send(&query("SELECT a.i, b.i, repeat('x', 100) FROM n a, n b")).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = resident();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after = resident();
    assert!(after < before + (32 << 20), "{before} became {after}");
    let rows = raw.ready().await.iter().filter(|tag| *tag == "D").count();
    assert_eq!(rows, 1_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_statement_timeout_also_ends_a_statement_whose_rows_are_being_sent() {
    let server = with_rows().await;
    let client = server.client().await;
    client.batch_execute("SET statement_timeout = '300ms'").await.unwrap();
    // A billion rows: some come at once, all of them never.
    let rows = client.query_raw("SELECT a.i FROM n a, n b, n c", &[] as &[i32; 0]).await.unwrap();
    futures::pin_mut!(rows);
    let mut count = 0u64;
    let failed = loop {
        match futures::StreamExt::next(&mut rows).await.expect("an error before the end") {
            Ok(_) => count += 1,
            Err(failed) => break failed,
        }
    };
    assert_eq!(failed.code().unwrap().code(), "57014");
    assert!(count > 0);
    assert_eq!(client.query("SELECT 1", &[]).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_seen_canceled_and_ended_by_their_process_numbers() {
    let server = with_rows().await;
    let (client, other) = (server.client().await, server.client().await);
    let process: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let seen = "SELECT state, query FROM pg_stat_activity WHERE pid = $1";
    let row = other.query_one(seen, &[&process]).await.unwrap();
    assert_eq!((row.get(0), row.get(1)), ("idle", "SELECT pg_backend_pid()"));
    let (failed, ()) = tokio::join!(client.query(ENDLESS, &[]), async {
        while other.query_one(seen, &[&process]).await.unwrap().get::<_, &str>(0) != "active" {}
        assert!(
            other.query_one("SELECT pg_cancel_backend($1)", &[&process]).await.unwrap().get::<_, bool>(0)
        );
    });
    assert_eq!(failed.unwrap_err().code().unwrap().code(), "57014");
    client.batch_execute("BEGIN; SELECT 1").await.unwrap();
    let row = other.query_one(seen, &[&process]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), "idle in transaction");
    assert!(other.query_one("SELECT pg_terminate_backend($1)", &[&process]).await.unwrap().get::<_, bool>(0));
    while other.query_opt(seen, &[&process]).await.unwrap().is_some() {}
    assert!(client.query("SELECT 1", &[]).await.is_err());
    assert!(!other.query_one("SELECT pg_cancel_backend($1)", &[&process]).await.unwrap().get::<_, bool>(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_idle_longer_than_they_may_are_sent_away() {
    let server = with_rows().await;
    for (setting, expected) in [
        ("SET idle_in_transaction_session_timeout = 50; BEGIN", "25P03"),
        ("SET idle_session_timeout = 50", "57P05"),
    ] {
        let mut raw = Raw::connect(&server).await;
        raw.send(&query(setting)).await;
        assert_eq!(raw.last_words().await.as_deref(), Some(expected), "{setting}");
    }
    // Outside of a transaction the first one does not count.
    let client = server.client().await;
    client.batch_execute("SET idle_in_transaction_session_timeout = 20").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(client.query("SELECT 1", &[]).await.is_ok());
}
