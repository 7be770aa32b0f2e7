//! Columns in the order of a language: what their keys and indexes serve, in tables of rows and of columns, and after
//! a start. That the answers are right is compared with PostgreSQL elsewhere.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use luma_query::Session;
use support::{Fixture, run, run_with, state};

const COLUMNS: &str = "id int PRIMARY KEY, name text COLLATE \"de-x-icu\" NOT NULL, login text COLLATE ci";

/// A table with indexes over columns with collations, and a twin without.
async fn fill(session: &mut Session) {
    let ci = "CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)";
    run(session, ci).await.unwrap();
    for table in ["t", "bare"] {
        run(session, &format!("CREATE TABLE {table} ({COLUMNS})")).await.unwrap();
        let rows = "SELECT n, CASE n % 5 WHEN 0 THEN 'ä' WHEN 1 THEN 'Z' WHEN 2 THEN 'ß' WHEN 3 THEN '' ELSE 'b' END \
                    || chr(97 + n % 26) || n, CASE n % 3 WHEN 0 THEN NULL WHEN 1 THEN 'USER' ELSE 'user' END || n";
        run(session, &format!("INSERT INTO {table} {rows} FROM generate_series(1, 900) AS g(n)"))
            .await
            .unwrap();
    }
    for index in [
        "CREATE INDEX by_name ON t (name)",
        "CREATE INDEX down ON t (name DESC, id)",
        "CREATE UNIQUE INDEX by_login ON t (login)",
    ] {
        run(session, index).await.unwrap();
    }
    run(session, "ANALYZE t").await.unwrap();
}

const FILTERS: [&str; 12] = [
    "name < 'b'",
    "name >= 'ä' AND name < 'B'",
    "name > 'zz'",
    "name = 'äf5'",
    "name IN ('äf5', 'Zb1', 'nosuch')",
    "name BETWEEN 'ss' AND 'ßz'",
    "name COLLATE \"C\" > 'b'",
    "name LIKE 'ä%'",
    "login = 'USER2'",
    "login IN ('user4', 'User5', 'x')",
    "login > 'user5' AND login <= 'USER62'",
    "login <> 'user1'",
];

async fn compare(session: &mut Session) {
    for filter in FILTERS {
        for order in ["name, id", "login DESC, id", "name COLLATE \"C\" DESC, id"] {
            let query =
                |table: &str| format!("SELECT id, name, login FROM {table} WHERE {filter} ORDER BY {order}");
            let ours = run(session, &query("t")).await.unwrap();
            assert_eq!(ours, run(session, &query("bare")).await.unwrap(), "{filter} {order}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn indexes_over_collations_serve_ranges_and_equality_and_change_no_answer() {
    let fixture = Fixture::new();
    let mut session = fixture.session();
    fill(&mut session).await;
    for (filter, index) in [
        ("name > 'a' AND name < 'B'", "by_name (name range)"),
        ("name = 'äf5'", "by_name (name = constant)"),
        ("login = 'USER2'", "by_login (login = constant)"),
        ("login > 'user5' AND login < 'USER6'", "by_login (login range)"),
    ] {
        let plan = run(&mut session, &format!("EXPLAIN SELECT * FROM t WHERE {filter}")).await.unwrap();
        assert!(plan.join("\n").contains(index), "{filter}: {plan:?}");
    }
    // Another collation is another order.
    let plan = run(&mut session, "EXPLAIN SELECT * FROM t WHERE name COLLATE \"C\" < 'a'").await.unwrap();
    assert!(!plan.join("\n").contains("by_name"), "{plan:?}");
    compare(&mut session).await;
    for change in [
        "UPDATE {} SET name = upper(name) WHERE id % 7 = 0",
        "UPDATE {} SET login = upper(login) WHERE id % 4 = 0",
        "DELETE FROM {} WHERE name BETWEEN 'b' AND 'C'",
    ] {
        for table in ["t", "bare"] {
            run(&mut session, &change.replace("{}", table)).await.unwrap();
        }
    }
    compare(&mut session).await;
    let twice = run(&mut session, "INSERT INTO t VALUES (9999, 'x', 'uSeR2')").await.unwrap_err();
    assert_eq!(state(&twice), "23505");
}

#[tokio::test(flavor = "multi_thread")]
async fn collations_and_their_keys_are_the_same_after_a_start() {
    let fixture = Fixture::new();
    let mut session = fixture.session();
    fill(&mut session).await;
    run(&mut session, "ALTER COLLATION ci RENAME TO insensitive").await.unwrap();
    drop(session);
    let fixture = fixture.reopened();
    let mut session = fixture.session();
    compare(&mut session).await;
    let twice = run(&mut session, "INSERT INTO t VALUES (9999, 'x', 'uSeR2')").await.unwrap_err();
    assert_eq!(state(&twice), "23505");
    let named = "SELECT collation_name FROM information_schema.columns WHERE table_name = 't' ORDER BY ordinal_position";
    assert_eq!(run(&mut session, named).await.unwrap(), ["NULL", "de-x-icu", "insensitive"]);
    let dropped = run(&mut session, "DROP COLLATION insensitive").await.unwrap_err();
    assert_eq!(state(&dropped), "2BP01");
}

#[tokio::test(flavor = "multi_thread")]
async fn prepared_statements_compare_by_the_columns_collation() {
    let fixture = Fixture::new();
    let mut session = fixture.session();
    fill(&mut session).await;
    let by_login = "SELECT id FROM t WHERE login = $1";
    let text = |text: &str| luma_model::Value::Text(text.to_owned());
    assert_eq!(run_with(&mut session, by_login, &[None], &[text("uSER2")]).await.unwrap(), ["2"]);
    let below = "SELECT count(*) FROM t WHERE name < $1";
    let expected = run(&mut session, "SELECT count(*) FROM bare WHERE name < 'B'").await.unwrap();
    assert_eq!(run_with(&mut session, below, &[None], &[text("B")]).await.unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn columnar_tables_have_collations_too() {
    let fixture = Fixture::new();
    let mut session = fixture.session();
    fill(&mut session).await;
    let columns = COLUMNS.replace(" PRIMARY KEY", "");
    run(&mut session, &format!("CREATE TABLE c ({columns}) WITH (engine = 'columnar')")).await.unwrap();
    run(&mut session, "INSERT INTO c SELECT * FROM bare").await.unwrap();
    run(&mut session, "VACUUM c").await.unwrap();
    for filter in FILTERS {
        let query = |table: &str| format!("SELECT id FROM {table} WHERE {filter} ORDER BY name, login, id");
        let rows = run(&mut session, &query("c")).await.unwrap();
        assert_eq!(rows, run(&mut session, &query("bare")).await.unwrap(), "{filter}");
    }
    let extremes = |table: &str| format!("SELECT min(name), max(name), count(DISTINCT login) FROM {table}");
    let found = run(&mut session, &extremes("c")).await.unwrap();
    assert_eq!(found, run(&mut session, &extremes("bare")).await.unwrap());
}
