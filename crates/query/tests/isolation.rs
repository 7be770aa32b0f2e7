//! What transactions at the same time may and may not do, by level: the anomalies that the levels are
//! told apart by, each tried in both orders of the commits.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use luma_query::Session;
use support::{Fixture, run, state};

const LEVELS: [&str; 3] = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"];

/// Runs both transactions step by step, then commits the first and the second; the SQLSTATE of what failed.
async fn outcome(level: &str, steps: &[(usize, &str)]) -> (Fixture, Vec<Option<&'static str>>) {
    let fixture = Fixture::new();
    let mut sessions: [Session; 2] = [fixture.session(), fixture.session()];
    run(
        &mut sessions[0],
        "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 10), (2, 20)",
    )
    .await
    .unwrap();
    for session in &mut sessions {
        run(session, &format!("BEGIN ISOLATION LEVEL {level}")).await.unwrap();
        // Each sees the moment of its first statement.
        run(session, "SELECT count(*) FROM t WHERE id = 0").await.unwrap();
    }
    let mut failed = vec![None, None];
    for (who, sql) in steps {
        if let Err(error) = run(&mut sessions[*who], sql).await {
            failed[*who].get_or_insert(state(&error));
        }
    }
    for (who, session) in sessions.iter_mut().enumerate() {
        if let Err(error) = run(session, "COMMIT").await {
            failed[who].get_or_insert(state(&error));
        }
    }
    (fixture, failed)
}

async fn refused(steps: &[(usize, &str)]) -> Vec<bool> {
    let mut refused = Vec::new();
    for level in LEVELS {
        let (_, failed) = outcome(level, steps).await;
        assert_eq!(failed[0], None, "{level}: who commits first commits");
        assert!(matches!(failed[1], None | Some("40001")), "{level}: {failed:?}");
        refused.push(failed[1].is_some());
    }
    refused
}

#[tokio::test(flavor = "multi_thread")]
async fn write_skew_is_refused_by_serializable_alone() {
    let by_key = [
        (0, "SELECT v FROM t WHERE id = 2"),
        (1, "SELECT v FROM t WHERE id = 1"),
        (0, "UPDATE t SET v = 0 WHERE id = 1"),
        (1, "UPDATE t SET v = 0 WHERE id = 2"),
    ];
    assert_eq!(refused(&by_key).await, [false, false, true]);
    let by_sum = [
        (0, "SELECT sum(v) FROM t"),
        (1, "SELECT sum(v) FROM t"),
        (0, "UPDATE t SET v = -30 WHERE id = 1"),
        (1, "UPDATE t SET v = -30 WHERE id = 2"),
    ];
    assert_eq!(refused(&by_sum).await, [false, false, true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_appears_in_a_range_that_was_read_is_refused_by_serializable_alone() {
    let phantom = [
        (0, "SELECT count(*) FROM t WHERE v > 15"),
        (1, "SELECT count(*) FROM t WHERE v > 15"),
        (0, "INSERT INTO t VALUES (3, 30)"),
        (1, "INSERT INTO t VALUES (4, 40)"),
    ];
    assert_eq!(refused(&phantom).await, [false, false, true]);
    let absent = [
        (0, "SELECT v FROM t WHERE id = 7"),
        (1, "SELECT v FROM t WHERE id = 8"),
        (0, "INSERT INTO t VALUES (8, 1)"),
        (1, "INSERT INTO t VALUES (7, 1)"),
    ];
    assert_eq!(refused(&absent).await, [false, false, true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_update_is_refused_from_repeatable_read_on() {
    let fixture = Fixture::new();
    let (mut one, mut other) = (fixture.session(), fixture.session());
    run(&mut one, "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 10)").await.unwrap();
    for (level, expected) in LEVELS.into_iter().zip([None, Some("40001"), Some("40001")]) {
        run(&mut other, &format!("BEGIN ISOLATION LEVEL {level}; SELECT v FROM t")).await.unwrap();
        run(&mut one, "UPDATE t SET v = v + 1").await.unwrap();
        let updated = run(&mut other, "UPDATE t SET v = v + 1").await;
        assert_eq!(updated.err().as_ref().map(state), expected, "{level}");
        run(&mut other, if expected.is_none() { "COMMIT" } else { "ROLLBACK" }).await.unwrap();
    }
    assert_eq!(run(&mut one, "SELECT v FROM t").await.unwrap(), ["14"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn serializable_transactions_that_only_read_or_meet_nobody_commit() {
    let reader = [(0, "UPDATE t SET v = 0 WHERE id = 1"), (1, "SELECT sum(v) FROM t")];
    assert_eq!(refused(&reader).await, [false, false, false]);
    let apart = [(0, "UPDATE t SET v = v + 1 WHERE id = 1"), (1, "UPDATE t SET v = v + 1 WHERE id = 2")];
    let (fixture, failed) = outcome("SERIALIZABLE", &apart).await;
    assert_eq!(failed, [None, None]);
    let rows = run(&mut fixture.session(), "SELECT v FROM t ORDER BY id").await.unwrap();
    assert_eq!(rows, ["11", "21"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_level_can_be_a_sessions_default() {
    let fixture = Fixture::new();
    let mut session = fixture.session();
    run(&mut session, "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        .await
        .unwrap();
    assert_eq!(run(&mut session, "BEGIN; SHOW transaction_isolation").await.unwrap(), ["serializable"]);
    let late = run(&mut session, "SELECT 1; SET TRANSACTION ISOLATION LEVEL READ COMMITTED").await;
    assert_eq!(late.err().as_ref().map(state), Some("25001"));
}

#[tokio::test(flavor = "multi_thread")]
async fn skip_locked_gives_each_session_rows_that_no_other_holds() {
    let fixture = Fixture::new();
    let (mut one, mut other) = (fixture.session(), fixture.session());
    let jobs = "CREATE TABLE job (id int PRIMARY KEY, state text); \
                INSERT INTO job SELECT n, 'new' FROM generate_series(1, 6) AS g(n)";
    run(&mut one, jobs).await.unwrap();
    let take = "SELECT id FROM job WHERE state = 'new' ORDER BY id LIMIT 2 FOR UPDATE SKIP LOCKED";
    assert_eq!(run(&mut one, &format!("BEGIN; {take}")).await.unwrap(), ["1", "2"]);
    assert_eq!(run(&mut other, &format!("BEGIN; {take}")).await.unwrap(), ["3", "4"]);
    let first = "UPDATE job SET state = 'taken' WHERE id = \
                 (SELECT id FROM job WHERE state = 'new' ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 1) RETURNING id";
    // What a session holds itself is no obstacle.
    assert_eq!(run(&mut one, first).await.unwrap(), ["1"]);
    assert_eq!(run(&mut other, first).await.unwrap(), ["3"]);
    let rest = "SELECT id FROM job ORDER BY id FOR UPDATE SKIP LOCKED";
    assert_eq!(run(&mut one, rest).await.unwrap(), ["1", "2", "5", "6"]);
    let held = run(&mut other, "SELECT id FROM job WHERE id = 5 FOR UPDATE NOWAIT").await;
    assert_eq!(held.err().as_ref().map(state), Some("55P03"));
    run(&mut one, "COMMIT").await.unwrap();
    run(&mut other, "ROLLBACK").await.unwrap();
    // What was committed since the snapshot counts.
    assert_eq!(run(&mut other, take).await.unwrap(), ["2", "3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partial_unique_index_holds_between_transactions() {
    let fixture = Fixture::new();
    let (mut one, mut other) = (fixture.session(), fixture.session());
    run(&mut one, "CREATE TABLE t (id int PRIMARY KEY, name text, open bool)").await.unwrap();
    run(&mut one, "CREATE UNIQUE INDEX one_open ON t (lower(name)) WHERE open").await.unwrap();
    run(&mut one, "BEGIN; INSERT INTO t VALUES (1, 'A', true), (2, 'a', false)").await.unwrap();
    run(&mut other, "SET lock_timeout = '100ms'").await.unwrap();
    let waits = run(&mut other, "INSERT INTO t VALUES (3, 'a', true)").await;
    assert_eq!(waits.err().as_ref().map(state), Some("55P03"));
    run(&mut other, "INSERT INTO t VALUES (4, 'a', false)").await.unwrap();
    run(&mut one, "COMMIT").await.unwrap();
    let twice = run(&mut other, "UPDATE t SET open = true WHERE id = 4").await;
    assert_eq!(twice.err().as_ref().map(state), Some("23505"));
    run(&mut other, "UPDATE t SET open = false WHERE id = 1; UPDATE t SET open = true WHERE id = 4")
        .await
        .unwrap();
    assert_eq!(run(&mut one, "SELECT id FROM t WHERE open").await.unwrap(), ["4"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_that_waited_for_a_row_acts_on_what_the_row_became() {
    let fixture = Fixture::new();
    let (mut holder, mut merger) = (fixture.session(), fixture.session());
    let table = "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 10), (2, 20)";
    run(&mut holder, table).await.unwrap();
    run(&mut holder, "BEGIN; UPDATE t SET v = 11 WHERE id = 1").await.unwrap();
    let merge = "MERGE INTO t USING (VALUES (1), (3)) AS s(id) ON t.id = s.id \
                 WHEN MATCHED AND v = 10 THEN DELETE WHEN MATCHED THEN UPDATE SET v = t.v + 1 \
                 WHEN NOT MATCHED THEN INSERT VALUES (s.id, 30)";
    let waiting = tokio::spawn(async move { run(&mut merger, merge).await });
    // It reads the old row, and waits for the lock, whichever comes first.
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    run(&mut holder, "COMMIT").await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), ["MERGE 2"]);
    assert_eq!(run(&mut holder, "SELECT * FROM t ORDER BY id").await.unwrap(), ["1|12", "2|20", "3|30"]);
}

/// Two sessions in transactions that gave one deferrable key to a row each.
async fn two_that_defer(key: &str) -> (Fixture, [Session; 2]) {
    let fixture = Fixture::new();
    let mut sessions = [fixture.session(), fixture.session()];
    run(&mut sessions[0], &format!("CREATE TABLE t (id int {key} DEFERRABLE INITIALLY DEFERRED, v int)"))
        .await
        .unwrap();
    for (who, session) in sessions.iter_mut().enumerate() {
        run(session, "BEGIN").await.unwrap();
        run(session, &format!("INSERT INTO t VALUES (1, {who})")).await.unwrap();
    }
    (fixture, sessions)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_transactions_that_defer_one_key_one_commits() {
    for key in ["PRIMARY KEY", "UNIQUE"] {
        for level in LEVELS {
            let (fixture, mut sessions) = two_that_defer(key).await;
            // A third that began before the others committed, at a level of its own.
            let mut third = fixture.session();
            run(&mut third, &format!("BEGIN ISOLATION LEVEL {level}")).await.unwrap();
            run(&mut third, "INSERT INTO t VALUES (1, 3)").await.unwrap();
            run(&mut sessions[0], "COMMIT").await.unwrap();
            for late in [&mut sessions[1], &mut third] {
                let error = run(late, "COMMIT").await.unwrap_err();
                assert_eq!(state(&error), "23505", "{key}, {level}");
            }
            let mut reader = fixture.session();
            assert_eq!(run(&mut reader, "SELECT v FROM t").await.unwrap(), ["0"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deferred_key_waits_for_who_checked_it_before() {
    for (end, expected) in [("COMMIT", Some("23505")), ("ROLLBACK", None)] {
        let (_fixture, sessions) = two_that_defer("PRIMARY KEY").await;
        let [mut first, mut second] = sessions;
        run(&mut first, "SET CONSTRAINTS ALL IMMEDIATE").await.unwrap();
        run(&mut second, "SET lock_timeout = '100ms'; SAVEPOINT s").await.unwrap();
        let error = run(&mut second, "SET CONSTRAINTS ALL IMMEDIATE").await.unwrap_err();
        assert_eq!(state(&error), "55P03");
        run(&mut second, "ROLLBACK").await.unwrap();
        run(&mut second, "SET lock_timeout = 0; BEGIN; INSERT INTO t VALUES (1, 2)").await.unwrap();
        let waiting = tokio::spawn(async move { run(&mut second, "COMMIT").await });
        run(&mut first, end).await.unwrap();
        let ended = waiting.await.unwrap();
        assert_eq!(ended.err().as_ref().map(state), expected, "{end}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unique_key_waits_for_who_is_about_to_give_it_up() {
    for timing in ["", "DEFERRABLE", "DEFERRABLE INITIALLY DEFERRED"] {
        for change in ["DELETE FROM t WHERE id = 1", "UPDATE t SET v = 11 WHERE id = 1"] {
            for (end, expected) in [("COMMIT", None), ("ROLLBACK", Some("23505"))] {
                let fixture = Fixture::new();
                let (mut first, mut second) = (fixture.session(), fixture.session());
                let table = format!("CREATE TABLE t (id int PRIMARY KEY, v int UNIQUE {timing})");
                run(&mut first, &format!("{table}; INSERT INTO t VALUES (1, 10)")).await.unwrap();
                run(&mut first, &format!("BEGIN; {change}")).await.unwrap();
                let insert = "INSERT INTO t VALUES (2, 10)";
                run(&mut second, "SET lock_timeout = '100ms'").await.unwrap();
                assert_eq!(state(&run(&mut second, insert).await.unwrap_err()), "55P03", "{timing} {change}");
                run(&mut second, "SET lock_timeout = 0").await.unwrap();
                let waiting = tokio::spawn(async move { run(&mut second, insert).await });
                run(&mut first, end).await.unwrap();
                let ended = waiting.await.unwrap();
                assert_eq!(ended.err().as_ref().map(state), expected, "{timing} {change} {end}");
            }
        }
    }
}
