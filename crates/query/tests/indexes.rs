//! What the planner reads of indexes: order, partial and expression indexes. A twin of the table without any
//! index answers the same; EXPLAIN tells that the index was read.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use luma_query::Session;
use support::{Fixture, run};

const COLUMNS: &str = "id int, a int, b int, c text, d numeric, f float8, done boolean";

const INDEXES: &[&str] = &[
    "CREATE INDEX by_a ON t (a)",
    "CREATE INDEX by_ab ON t (a, b DESC)",
    "CREATE INDEX by_c ON t (c DESC NULLS LAST)",
    "CREATE INDEX by_d ON t (d)",
    "CREATE INDEX by_f ON t (f)",
    "CREATE INDEX open ON t (b) WHERE NOT done",
    "CREATE INDEX high ON t (b) WHERE a > 40",
    "CREATE INDEX few ON t (a) WHERE c IN ('x1', 'x2')",
    "CREATE INDEX present ON t (id, b) WHERE f IS NOT NULL AND a > 45",
    "CREATE INDEX upper_c ON t (upper(c))",
    "CREATE INDEX sum_ab ON t ((a + b))",
];

async fn fixture(rows: usize) -> (Fixture, Session) {
    let fixture = Fixture::new();
    let mut session = fixture.session();
    for table in ["t", "bare"] {
        let key = if table == "t" { ", PRIMARY KEY (id)" } else { "" };
        run(&mut session, &format!("CREATE TABLE {table} ({COLUMNS}{key})")).await.unwrap();
        let fill = format!(
            "INSERT INTO {table} SELECT n, nullif(n * 7 % 50, 3), nullif(n * 13 % 20, 5), \
             CASE WHEN n % 11 = 0 THEN NULL ELSE 'x' || (n % 30) END, nullif((n * 3 % 40) / 4.0, 2.5), \
             CASE n % 9 WHEN 0 THEN NULL WHEN 1 THEN 'NaN'::float8 WHEN 2 THEN -1.5 ELSE n % 17 END, n % 6 > 1 \
             FROM generate_series(1, {rows}) AS s(n)"
        );
        run(&mut session, &fill).await.unwrap();
    }
    for index in INDEXES {
        run(&mut session, index).await.unwrap();
    }
    run(&mut session, "ANALYZE t").await.unwrap();
    (fixture, session)
}

/// The lines of the plan of a query over `t`.
async fn plan(session: &mut Session, query: &str) -> String {
    run(session, &format!("EXPLAIN {query}")).await.unwrap().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_gives_what_a_table_without_indexes_gives() {
    let (_fixture, mut session) = fixture(700).await;
    let filters = [
        "true",
        "a = 7",
        "a > 30",
        "a > 40 AND b < 9",
        "a >= 41",
        "a BETWEEN 42 AND 45",
        "a IN (41, 44)",
        "a IN (4, 44)",
        "NOT done",
        "NOT done AND b = 4",
        "done",
        "c = 'x1'",
        "c IN ('x1', 'x2')",
        "c = 'x3'",
        "upper(c) = 'X7'",
        "upper(c) > 'X7'",
        "upper(c) IN ('X1', 'X20')",
        "a + b = 30",
        "a + b > 50",
        "f IS NOT NULL AND d > 3",
        "f > 2 AND d > 3",
        "f = 'NaN'",
        "d = 7.5",
        "b IS NULL",
        "a IS NULL OR b = 1",
    ];
    let orders = [
        "id",
        "id DESC",
        "a, id",
        "a DESC, id",
        "a, b DESC, id",
        "a DESC, b, id",
        "a DESC NULLS LAST, id",
        "a NULLS FIRST, id",
        "c, id",
        "c DESC, id",
        "c DESC NULLS LAST, id",
        "c NULLS FIRST, id",
        "d, id",
        "d DESC, id DESC",
        "f, id",
        "f DESC, id",
        "b, id",
        "upper(c), id",
    ];
    let mut differing = Vec::new();
    for filter in filters {
        for order in orders {
            for limit in ["", " LIMIT 5 OFFSET 2"] {
                let query = |table: &str| {
                    format!("SELECT id, a, b, c, d, f FROM {table} WHERE {filter} ORDER BY {order}{limit}")
                };
                let indexed = run(&mut session, &query("t")).await.unwrap();
                if indexed != run(&mut session, &query("bare")).await.unwrap() {
                    differing.push(query("t"));
                }
            }
        }
    }
    assert!(differing.is_empty(), "{differing:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_an_index_saves_the_sort() {
    let (_fixture, mut session) = fixture(5000).await;
    // With a computed column, so that no fast path takes them.
    for (query, index) in [
        ("SELECT * FROM t ORDER BY id", "full scan, in order"),
        ("SELECT * FROM t ORDER BY id DESC", "full scan, in order, backward"),
        ("SELECT *, 1 FROM t ORDER BY id DESC LIMIT 3", "full scan, in order, backward"),
        ("SELECT id, 1 FROM t WHERE id > 100 ORDER BY id LIMIT 3", "in order"),
        ("SELECT *, 1 FROM t ORDER BY a LIMIT 3", "index by_a, in order"),
        ("SELECT *, 1 FROM t ORDER BY a DESC LIMIT 3", "index by_a, in order, backward"),
        ("SELECT *, 1 FROM t ORDER BY a DESC, b LIMIT 3", "index by_ab, in order, backward"),
        ("SELECT id AS x, 1 FROM t WHERE a = 9 ORDER BY b DESC LIMIT 3", "in order"),
        ("SELECT * FROM t WHERE NOT done ORDER BY b LIMIT 2", "index open, in order"),
    ] {
        let found = plan(&mut session, query).await;
        assert!(found.contains(index) && !found.contains("SortExec"), "{query}\n{found}");
    }
    // By the index every row is looked up for itself: sorting them is cheaper.
    let whole = plan(&mut session, "SELECT * FROM t ORDER BY a").await;
    assert!(whole.contains("SortExec") && whole.contains("full scan"), "{whole}");
    // NULLs are at the other end than the index has them.
    let nulls = plan(&mut session, "SELECT * FROM t ORDER BY a NULLS FIRST LIMIT 3").await;
    assert!(nulls.contains("SortExec"), "{nulls}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_of_some_rows_serves_only_conditions_that_imply_it() {
    let (_fixture, mut session) = fixture(5000).await;
    for (condition, index, used) in [
        ("NOT done AND b = 3", "index open", true),
        ("done AND b = 3", "index open", false),
        ("a > 45 AND b = 3", "index high", true),
        ("a >= 41 AND b = 3", "index high", true),
        ("a >= 40 AND b = 3", "index high", false),
        ("b = 3", "index high", false),
        ("a > 45 AND f > 3", "index present", true),
        ("a > 45 AND f IS NOT NULL", "index present", true),
        ("a > 44 AND f > 3", "index present", false),
        ("a > 45", "index present", false),
        ("upper(c) = 'X7'", "index upper_c", true),
        ("upper(c) IN ('X7', 'X8')", "index upper_c", true),
        ("lower(c) = 'x7'", "index upper_c", false),
        ("a + b = 30", "index sum_ab", true),
        ("b + a = 30", "index sum_ab", false),
    ] {
        let found = plan(&mut session, &format!("SELECT * FROM t WHERE {condition}")).await;
        assert_eq!(found.contains(index), used, "{condition}\n{found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_analyze_found_is_there_after_a_restart() {
    let (fixture, mut session) = fixture(700).await;
    let asked = "EXPLAIN SELECT * FROM t JOIN t AS u ON t.id = u.id";
    let before = run(&mut session, asked).await.unwrap();
    let rows = "SELECT reltuples FROM pg_class WHERE relname = 't'";
    assert_eq!(run(&mut session, rows).await.unwrap(), ["700"]);
    drop(session);
    let fixture = fixture.reopened();
    let mut session = fixture.session();
    assert_eq!(run(&mut session, rows).await.unwrap(), ["700"]);
    assert_eq!(run(&mut session, asked).await.unwrap(), before);
}
