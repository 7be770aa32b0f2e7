//! COPY of more rows than a transaction keeps in memory: they go into keyspaces of their own, and nobody can tell but by
//! the storage of the table.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::fmt::Write;

use luma_model::Result;
use luma_query::{CommandTag, Outcome, Session};
use support::{Fixture, run, state};

/// More than what is kept in memory.
const ROWS: u64 = 90_000;
const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, code int UNIQUE, name text NOT NULL)";

fn line(id: u64) -> String {
    format!("{id}\t{}\tname {:0>180}\n", id * 7, id % 97)
}

fn lines(ids: impl Iterator<Item = u64>) -> String {
    ids.fold(String::new(), |mut text, id| {
        write!(text, "{}", line(id)).unwrap();
        text
    })
}

/// All numbers up to [`ROWS`] in another order.
fn shuffled() -> impl Iterator<Item = u64> {
    (0..ROWS).map(|number| number * 48_271 % ROWS)
}

/// Copies a text into the table; an implicit transaction is not ended yet.
async fn copy_in(session: &mut Session, data: &str) -> Result<CommandTag> {
    let statement = session.parse_script("COPY t FROM STDIN")?.remove(0);
    let prepared = session.prepare(statement, &[]).await?;
    let Outcome::CopyIn(mut copy) = session.execute(&prepared, &[], None).await? else { panic!("no COPY") };
    for piece in data.as_bytes().chunks(8 << 10) {
        copy.write(session, piece).await?;
    }
    copy.finish(session).await
}

async fn copy(session: &mut Session, data: &str) -> Result<()> {
    let copied = copy_in(session, data).await;
    let synced = session.sync().await;
    copied?;
    synced
}

async fn one(session: &mut Session, sql: &str) -> String {
    run(session, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}")).join(",")
}

fn storage(fixture: &Fixture) -> u32 {
    fixture.database.catalog().tables().find(|table| table.name == "t").unwrap().storage
}

async fn check_all(session: &mut Session) {
    let all = format!("{ROWS}|{}", ROWS * (ROWS - 1) / 2);
    assert_eq!(one(session, "SELECT count(*), sum(id::bigint) FROM t").await, all);
    assert_eq!(one(session, "SELECT id FROM t WHERE code = 7 * 12345").await, "12345");
    assert_eq!(one(session, "SELECT code FROM t WHERE id = 77777").await, (77_777 * 7).to_string());
    let ordered = one(session, "SELECT id FROM t ORDER BY id DESC LIMIT 2").await;
    assert_eq!(ordered, format!("{},{}", ROWS - 1, ROWS - 2));
    let twice = run(session, "INSERT INTO t VALUES (-1, 7, '')").await.unwrap_err();
    assert_eq!(state(&twice), "23505");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_loaded_is_there_after_a_kill() {
    for ordered in [true, false] {
        let fixture = Fixture::new();
        let mut session = fixture.session();
        run(&mut session, TABLE).await.unwrap();
        let before = storage(&fixture);
        let data = if ordered { lines(0..ROWS) } else { lines(shuffled()) };
        copy(&mut session, &data).await.unwrap();
        assert_ne!(storage(&fixture), before, "the rows were not loaded");
        check_all(&mut session).await;
        // What lies on the disk now is what a killed server leaves.
        let left = tempfile::tempdir().unwrap();
        support::copy_directory(fixture.directory.path(), left.path());
        let left = Fixture::at(left);
        check_all(&mut left.session()).await;
        assert_eq!(one(&mut left.session(), "INSERT INTO t VALUES (-1, -1, 'x') RETURNING id").await, "-1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_ends_with_its_transaction() {
    let fixture = Fixture::new();
    let (mut session, mut other) = (fixture.session(), fixture.session());
    run(&mut other, TABLE).await.unwrap();
    let before = storage(&fixture);
    let data = lines(0..ROWS);
    let count = "SELECT count(*) FROM t";
    run(&mut session, "BEGIN; SAVEPOINT s").await.unwrap();
    copy(&mut session, &data).await.unwrap();
    assert_eq!(one(&mut session, count).await, ROWS.to_string());
    assert_eq!(one(&mut other, count).await, "0");
    run(&mut session, "ROLLBACK TO s").await.unwrap();
    assert_eq!(one(&mut session, count).await, "0");
    copy(&mut session, &data).await.unwrap();
    run(&mut session, "INSERT INTO t VALUES (-1, -1, 'and one'); DELETE FROM t WHERE id < 10").await.unwrap();
    assert_eq!(one(&mut session, count).await, (ROWS - 10).to_string());
    assert_eq!(one(&mut other, count).await, "0");
    run(&mut session, "ROLLBACK").await.unwrap();
    assert_eq!((one(&mut other, count).await, storage(&fixture)), ("0".into(), before));
    run(&mut session, "BEGIN").await.unwrap();
    copy(&mut session, &data).await.unwrap();
    run(&mut session, "COMMIT").await.unwrap();
    assert_ne!(storage(&fixture), before, "the rows were not loaded");
    check_all(&mut other).await;
    // The table has rows now, so these are changes like any.
    let more = format!("{}\t-5\tmore\n", ROWS + 1);
    let loaded = storage(&fixture);
    copy(&mut session, &more).await.unwrap();
    assert_eq!(storage(&fixture), loaded);
    assert_eq!(one(&mut other, count).await, (ROWS + 1).to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_may_not_be_there_end_a_load_and_leave_nothing() {
    let fixture = Fixture::new();
    let mut session = fixture.session();
    run(&mut session, TABLE).await.unwrap();
    let again = |id: u64| format!("{}{}", lines(0..ROWS), line(id));
    let code = format!("{}{ROWS}\t{}\tx\n", lines(0..ROWS), 7 * 500);
    let null = format!("{}{ROWS}\t-1\t\\N\n", lines(shuffled()));
    let number = format!("{}x\t-1\ty\n", lines(0..ROWS));
    let wrong = [
        (again(ROWS - 1), "23505", format!("Key (id)=({}) already exists.", ROWS - 1)),
        (again(17), "23505", "Key (id)=(17) already exists.".into()),
        (code, "23505", "Key (code)=(3500) already exists.".into()),
        (null, "23502", String::new()),
        (number, "22P02", String::new()),
    ];
    for (data, expected, detail) in wrong {
        let error = copy(&mut session, &data).await.unwrap_err();
        assert_eq!(state(&error), expected, "{error}");
        if !detail.is_empty() {
            assert_eq!(error.detail.as_deref(), Some(detail.as_str()));
        }
        assert_eq!(one(&mut session, "SELECT count(*) FROM t").await, "0");
    }
    copy(&mut session, &lines(shuffled())).await.unwrap();
    check_all(&mut session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_writers_keep_their_rows_and_get_their_turn() {
    let fixture = Fixture::new();
    let (mut session, mut other) = (fixture.session(), fixture.session());
    run(&mut session, TABLE).await.unwrap();
    let before = storage(&fixture);
    run(&mut other, "BEGIN; INSERT INTO t VALUES (-1, -1, 'other')").await.unwrap();
    copy(&mut session, &lines(0..ROWS)).await.unwrap();
    assert_eq!(storage(&fixture), before, "another's rows would have been lost");
    run(&mut other, "COMMIT").await.unwrap();
    assert_eq!(one(&mut session, "SELECT count(*) FROM t").await, (ROWS + 1).to_string());

    run(&mut session, "TRUNCATE t; BEGIN").await.unwrap();
    copy(&mut session, &lines(0..ROWS)).await.unwrap();
    // It waits, and then finds the table as it is then.
    let waiting =
        tokio::spawn(async move { run(&mut other, "INSERT INTO t VALUES (-1, -1, 'other')").await });
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert!(!waiting.is_finished());
    run(&mut session, "COMMIT").await.unwrap();
    waiting.await.unwrap().unwrap();
    assert_eq!(one(&mut session, "SELECT count(*) FROM t").await, (ROWS + 1).to_string());
    run(&mut session, "DELETE FROM t WHERE id = -1").await.unwrap();
    check_all(&mut session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_a_table_while_it_is_loaded_stays() {
    let fixture = Fixture::new();
    let (mut session, mut other) = (fixture.session(), fixture.session());
    run(&mut session, TABLE).await.unwrap();
    let before = storage(&fixture);
    let statement = session.parse_script("COPY t FROM STDIN").unwrap().remove(0);
    let prepared = session.prepare(statement, &[]).await.unwrap();
    let Outcome::CopyIn(mut copy) = session.execute(&prepared, &[], None).await.unwrap() else {
        panic!("no COPY")
    };
    for piece in lines(0..ROWS).as_bytes().chunks(1 << 20) {
        copy.write(&mut session, piece).await.unwrap();
    }
    run(&mut other, "COMMENT ON TABLE t IS 'many rows'").await.unwrap();
    run(&mut other, "ANALYZE t").await.unwrap();
    copy.finish(&mut session).await.unwrap();
    session.sync().await.unwrap();
    assert_ne!(storage(&fixture), before);
    assert_eq!(one(&mut session, "SELECT obj_description('t'::regclass)").await, "many rows");
    check_all(&mut session).await;
}
