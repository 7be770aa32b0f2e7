//! What sessions do to each other: advisory locks, notifications, temporary tables.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::cell::RefCell;

use luma_query::{Database, DatabaseOptions, Session};
use support::{Fixture, run, state};

async fn rows(session: &mut Session, sql: &str) -> Vec<String> {
    run(session, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

#[tokio::test]
async fn a_select_waits_for_an_advisory_lock_until_its_holder_gives_it_back() {
    let fixture = Fixture::new();
    let (mut holder, mut other) = (fixture.session(), fixture.session());
    rows(&mut holder, "SELECT pg_advisory_lock(7)").await;
    let order = RefCell::new(Vec::new());
    let waits = async {
        rows(&mut other, "SELECT pg_advisory_lock(i) FROM generate_series(6, 8) i").await;
        order.borrow_mut().push("got");
    };
    let frees = async {
        for _ in 0..20 {
            rows(&mut holder, "SELECT count(*) FROM generate_series(1, 1000)").await;
        }
        order.borrow_mut().push("freed");
        rows(&mut holder, "SELECT pg_advisory_unlock(7)").await;
    };
    tokio::join!(waits, frees);
    assert_eq!(*order.borrow(), ["freed", "got"]);
    // What the first attempt took before it had to wait was counted once.
    assert_eq!(
        rows(&mut other, "SELECT pg_advisory_unlock(6), pg_advisory_unlock(6), pg_advisory_unlock(7)").await,
        ["t|f|t"]
    );
}

#[tokio::test]
async fn locks_end_with_their_transaction_or_their_session() {
    let fixture = Fixture::new();
    let (mut holder, mut other) = (fixture.session(), fixture.session());
    rows(&mut holder, "BEGIN; SELECT pg_advisory_xact_lock(1), pg_advisory_lock(2)").await;
    let attempt = "SELECT pg_try_advisory_lock(1), pg_try_advisory_lock(2)";
    assert_eq!(rows(&mut other, attempt).await, ["f|f"]);
    rows(&mut holder, "ROLLBACK").await;
    assert_eq!(rows(&mut other, attempt).await, ["t|f"]);
    holder.close();
    assert_eq!(rows(&mut other, attempt).await, ["t|t"]);
}

#[tokio::test]
async fn a_circle_of_waiting_sessions_is_broken() {
    let fixture = Fixture::new();
    let (mut one, mut two) = (fixture.session(), fixture.session());
    rows(&mut one, "SELECT pg_advisory_lock(1)").await;
    rows(&mut two, "SELECT pg_advisory_lock(2)").await;
    async fn second(session: &mut Session, key: i64) -> Option<&'static str> {
        let got = run(session, &format!("SELECT pg_advisory_lock({key})")).await;
        rows(session, "SELECT pg_advisory_unlock_all()").await;
        got.err().map(|error| state(&error))
    }
    let (first, second) = tokio::join!(second(&mut one, 2), second(&mut two, 1));
    assert_eq!([first, second].iter().flatten().collect::<Vec<_>>(), [&"40P01"]);
}

#[tokio::test]
async fn lock_timeout_ends_the_wait() {
    let fixture = Fixture::new();
    let (mut holder, mut other) = (fixture.session(), fixture.session());
    rows(&mut holder, "SELECT pg_advisory_lock(1)").await;
    rows(&mut other, "SET lock_timeout = '20ms'").await;
    let refused = run(&mut other, "SELECT pg_advisory_lock(1)").await.unwrap_err();
    assert_eq!(state(&refused), "55P03");
}

fn heard(session: &mut Session) -> Vec<String> {
    let said = session.take_notifications();
    said.into_iter().map(|news| format!("{} {} {}", news.session, news.channel, news.payload)).collect()
}

#[tokio::test]
async fn news_are_told_when_their_transaction_commits_and_heard_between_transactions() {
    let fixture = Fixture::new();
    let (mut ear, mut voice) = (fixture.session(), fixture.session());
    let number = voice.number();
    rows(&mut ear, "LISTEN c").await;
    rows(&mut voice, "BEGIN; NOTIFY c, 'one'; SAVEPOINT s; SELECT pg_notify('c', 'undone'); ROLLBACK TO s")
        .await;
    assert!(heard(&mut ear).is_empty());
    rows(&mut ear, "BEGIN").await;
    rows(&mut voice, "COMMIT").await;
    assert!(heard(&mut ear).is_empty());
    rows(&mut ear, "COMMIT").await;
    ear.notified().await;
    assert_eq!(heard(&mut ear), [format!("{number} c one")]);
    rows(&mut voice, "BEGIN; NOTIFY c, 'never'; ROLLBACK").await;
    rows(&mut voice, "NOTIFY c").await;
    assert_eq!(heard(&mut ear), [format!("{number} c ")]);
    rows(&mut ear, "UNLISTEN *").await;
    rows(&mut voice, "NOTIFY c").await;
    assert!(heard(&mut ear).is_empty());
}

#[tokio::test]
async fn a_temporary_table_is_its_sessions_own_and_goes_with_it() {
    let fixture = Fixture::new();
    let (mut own, mut other) = (fixture.session(), fixture.session());
    rows(&mut own, "CREATE TEMP TABLE t (id int); INSERT INTO t VALUES (1)").await;
    assert_eq!(state(&run(&mut other, "SELECT * FROM t").await.unwrap_err()), "42P01");
    rows(&mut other, "CREATE TEMP TABLE t (id int); INSERT INTO t VALUES (2)").await;
    assert_eq!(rows(&mut own, "SELECT id FROM t").await, ["1"]);
    // Even with an open transaction that holds the table.
    rows(&mut own, "BEGIN; INSERT INTO t VALUES (3)").await;
    own.close();
    while fixture.database.catalog().tables().count() > 1 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(rows(&mut other, "SELECT id FROM t").await, ["2"]);
}

#[tokio::test]
async fn temporary_tables_of_a_server_that_was_killed_go_at_the_next_start() {
    let fixture = Fixture::new();
    let mut session = fixture.session();
    rows(
        &mut session,
        "CREATE TABLE kept (id int); CREATE TEMP TABLE t (id serial); INSERT INTO t VALUES (1)",
    )
    .await;
    // What lies on the disk now is what a killed server leaves.
    let left = tempfile::tempdir().unwrap();
    support::copy_directory(fixture.directory.path(), left.path());
    let engine = lightning::Database::open(left.path(), lightning::Options::default()).unwrap();
    let database = Database::open(engine, DatabaseOptions::default()).unwrap();
    let names: Vec<String> = database.catalog().tables().map(|table| table.name.clone()).collect();
    assert_eq!(names, ["kept"]);
    assert_eq!(database.catalog().sequences().count(), 0);
    assert!(database.catalog().schemas().all(|schema| !schema.name.starts_with("pg_temp")));
}

#[test]
fn subqueries_that_would_take_for_ever_to_plan_are_refused_at_once() {
    let planned = std::thread::Builder::new().stack_size(luma_query::STACK_BYTES).spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(nested_subqueries());
    });
    planned.unwrap().join().unwrap();
}

async fn nested_subqueries() {
    let fixture = Fixture::new();
    let mut session = fixture.session();
    rows(&mut session, "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    let nested = |levels: usize, around: fn(&str) -> String| {
        (0..levels).fold("SELECT id FROM t WHERE id = 1".to_owned(), |inner, _| around(&inner))
    };
    let scalar = |inner: &str| format!("SELECT ({inner})");
    let listed = |inner: &str| format!("SELECT id FROM t WHERE id IN ({inner})");
    let derived = |inner: &str| format!("SELECT id FROM ({inner}) AS s");
    for around in [scalar, listed] {
        assert_eq!(rows(&mut session, &nested(9, around)).await, ["1"]);
        assert_eq!(state(&run(&mut session, &nested(30, around)).await.unwrap_err()), "54001");
    }
    assert_eq!(rows(&mut session, &nested(30, derived)).await, ["1"]);
    // Beside each other they are no deeper.
    let many = vec!["(SELECT id FROM t)"; 40].join(" + ");
    assert_eq!(rows(&mut session, &format!("SELECT {many}")).await, ["40"]);
}
