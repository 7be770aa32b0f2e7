//! Indexes that have all that a query wants: their answers are those of a table without indexes, whatever the types, orders
//! and kinds of the keys, after changes, and with a transaction's own writes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use luma_query::Session;
use support::{Fixture, run};

const COLUMNS: &str =
    "i int, big bigint, s smallint, b bool, d date, ts timestamp, tz timestamptz, u uuid, txt text,
    vc varchar(9), ch char(5), num numeric, fixed numeric(9,2), f float8, m mood, by bytea, t time,
    j jsonb, arr int[]";

/// Rows of every type, with NULLs and equal values among them.
const ROWS: &str = "SELECT CASE WHEN n % 7 = 0 THEN NULL ELSE n % 40 - 20 END, n * 5000000000 % 77, (n % 5)::smallint,
    CASE n % 3 WHEN 0 THEN true WHEN 1 THEN false END, date '2024-01-01' + n % 50,
    timestamp '2024-01-01' + n % 9 * interval '1 hour', timestamptz '2024-01-01 UTC' - n % 11 * interval '1 day',
    ('00000000-0000-0000-0000-0000000000' || 10 + n % 80)::uuid,
    CASE WHEN n % 6 = 0 THEN NULL ELSE repeat(chr(97 + n % 4), n % 5) END, 'v' || n % 13, 'c' || n % 4,
    CASE WHEN n % 2 = 0 THEN 1.50 ELSE 1.5 + n % 9 END, n % 10 / 4.0, CASE WHEN n % 2 = 0 THEN -0.0 ELSE n % 6 / 2.0 END,
    (ARRAY['sad', 'ok', 'happy'])[n % 3 + 1]::mood, decode(lpad(to_hex(n % 300), 4, '0'), 'hex'),
    time '10:00' + n % 20 * interval '1 minute', CASE WHEN n % 4 > 0 THEN jsonb_build_object('a', n % 6) END,
    ARRAY[n % 3, NULL, n], n FROM generate_series(1, 600) AS r(n)";

const INDEXES: &[&str] = &[
    "CREATE INDEX one ON has (i)",
    "CREATE INDEX two ON has (b DESC, big, s DESC NULLS LAST)",
    "CREATE INDEX three ON has (d DESC NULLS LAST, ts, tz DESC)",
    "CREATE INDEX four ON has (u, txt DESC, vc)",
    "CREATE INDEX five ON has (ch, num, m)",
    "CREATE INDEX six ON has (m, by DESC, t)",
    "CREATE INDEX seven ON has (fixed, f)",
    "CREATE INDEX eight ON has (vc) WHERE i > 0",
    "CREATE INDEX nine ON has ((i + s), by)",
    "CREATE UNIQUE INDEX ten ON has (txt, id)",
    "CREATE INDEX eleven ON has (s) INCLUDE (num, ch, j, arr)",
    "CREATE UNIQUE INDEX twelve ON has (tz DESC, id) INCLUDE (fixed, f, i)",
];

/// A query of `{}`, and whether an index alone gives its rows.
const QUERIES: &[(&str, bool)] = &[
    ("SELECT i FROM {} WHERE i = 3", true),
    ("SELECT i, id FROM {} WHERE i BETWEEN -5 AND 5", true),
    ("SELECT id FROM {} WHERE i IN (1, 2, 19)", true),
    ("SELECT count(*) FROM {} WHERE i > 10", true),
    ("SELECT id, i FROM {} WHERE i < -15 AND id % 2 = 0", true),
    ("SELECT i, s FROM {} WHERE i = 3", false),
    ("SELECT b, big, s, id FROM {} WHERE b", true),
    ("SELECT s, big FROM {} WHERE b = false AND big > 10", true),
    ("SELECT tz, ts, d FROM {} WHERE d = '2024-01-09'", true),
    ("SELECT d, tz FROM {} WHERE d >= '2024-02-10'", true),
    ("SELECT txt, vc FROM {} WHERE u = '00000000-0000-0000-0000-000000000017'", true),
    ("SELECT m, by, t FROM {} WHERE m = 'ok'", true),
    ("SELECT m, t FROM {} WHERE m > 'sad' AND length(by) = 2", true),
    ("SELECT m, ch FROM {} WHERE ch = 'c1'", false),
    ("SELECT num FROM {} WHERE ch = 'c1'", false),
    ("SELECT fixed, f FROM {} WHERE fixed = 0.5", false),
    ("SELECT vc FROM {} WHERE vc = 'v3' AND i > 0", false),
    ("SELECT by FROM {} WHERE i + s = 3", false),
    ("SELECT txt, id FROM {} WHERE txt = 'aaaa'", true),
    ("SELECT txt FROM {} WHERE txt = ''", true),
    ("SELECT s, num, ch, j, arr, id FROM {} WHERE s = 3", true),
    ("SELECT j FROM {} WHERE s = 1 AND num > 2", true),
    ("SELECT s, num, fixed FROM {} WHERE s = 3", false),
    ("SELECT f, id, fixed, i FROM {} WHERE tz > '2023-12-25'", true),
];

async fn filled() -> (Fixture, Session) {
    let fixture = Fixture::new();
    let mut session = fixture.session();
    run(&mut session, "SET TimeZone = 'UTC'").await.unwrap();
    run(&mut session, "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')").await.unwrap();
    for (table, id) in [("has", "id int PRIMARY KEY"), ("has_not", "id int")] {
        run(&mut session, &format!("CREATE TABLE {table} ({COLUMNS}, {id})")).await.unwrap();
        run(&mut session, &format!("INSERT INTO {table} {ROWS}")).await.unwrap();
    }
    for index in INDEXES {
        run(&mut session, index).await.unwrap();
    }
    run(&mut session, "ANALYZE has").await.unwrap();
    (fixture, session)
}

async fn rows(session: &mut Session, query: &str, table: &str) -> Vec<String> {
    let mut rows = run(session, &query.replace("{}", table)).await.unwrap();
    rows.sort();
    rows
}

async fn compare(session: &mut Session) {
    for (query, _) in QUERIES {
        let expected = rows(session, query, "has_not").await;
        assert_eq!(rows(session, query, "has").await, expected, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_alone_gives_what_the_rows_would() {
    let (_fixture, mut session) = filled().await;
    for (query, only) in QUERIES {
        let plan =
            run(&mut session, &format!("EXPLAIN {}", query.replace("{}", "has"))).await.unwrap().join("\n");
        assert_eq!(plan.contains("index only"), *only, "{query}\n{plan}");
        assert!(!rows(&mut session, query, "has").await.is_empty(), "{query}");
    }
    compare(&mut session).await;

    // A transaction's own changes are in its entries, too.
    run(&mut session, "BEGIN").await.unwrap();
    for table in ["has", "has_not"] {
        for change in [
            format!("UPDATE {table} SET i = i + 1, txt = txt || 'a', m = 'ok' WHERE id % 3 = 0"),
            format!("UPDATE {table} SET num = num + 1, fixed = 7, ch = 'new' WHERE id % 5 = 1"),
            format!("DELETE FROM {table} WHERE id % 10 = 4"),
            format!(
                "INSERT INTO {table} (id, i, d, b, m, txt) VALUES (1000, 3, '2024-01-09', true, 'ok', 'aaaa')"
            ),
        ] {
            run(&mut session, &change).await.unwrap();
        }
    }
    compare(&mut session).await;
    run(&mut session, "ROLLBACK").await.unwrap();
    compare(&mut session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_of_an_index_are_read_without_a_plan_and_many_rows_with_one() {
    let (_fixture, mut session) = filled().await;
    for query in [
        "SELECT id, ch FROM {} WHERE i BETWEEN -3 AND 4",
        "SELECT id, ch FROM {} WHERE i > -30 AND 400 >= i",
        "SELECT id FROM {} WHERE d >= '2024-01-20' AND d < '2024-01-25'",
        "SELECT f FROM {} WHERE d > '2024-01-20' AND d < '2024-01-10'",
    ] {
        let plan =
            run(&mut session, &format!("EXPLAIN {}", query.replace("{}", "has"))).await.unwrap().join("\n");
        assert!(plan.contains("fast path"), "{plan}");
        assert_eq!(
            rows(&mut session, query, "has").await,
            rows(&mut session, query, "has_not").await,
            "{query}"
        );
    }
    // More than may be looked up: the same rows in another way.
    run(&mut session, "CREATE TABLE large (id int PRIMARY KEY, k int, note text)").await.unwrap();
    run(
        &mut session,
        "INSERT INTO large SELECT n, n % 5000, 'note ' || n FROM generate_series(1, 30000) AS r(n)",
    )
    .await
    .unwrap();
    run(&mut session, "CREATE INDEX ON large (k)").await.unwrap();
    for (high, count) in [(9, 54), (4999, 29_994)] {
        let query = format!("SELECT id, note FROM large WHERE k BETWEEN 1 AND {high}");
        assert_eq!(run(&mut session, &query).await.unwrap().len(), count);
    }
}

/// ORDER BY, LIMIT and OFFSET, and the way that is taken if it is the fast one.
const TAILS: &[(&str, Option<&str>)] = &[
    ("SELECT * FROM {} WHERE id = 7 LIMIT 1", Some("key has_pkey")),
    ("SELECT id, i FROM {} WHERE id > 100 ORDER BY id LIMIT 20", Some("key has_pkey")),
    (
        "SELECT id AS n, i FROM {} WHERE id <= 100 ORDER BY n DESC LIMIT 20 OFFSET 30",
        Some("key has_pkey, backward"),
    ),
    ("SELECT id, txt FROM {} ORDER BY 1 DESC LIMIT 7", Some("key has_pkey, backward")),
    ("SELECT id FROM {} ORDER BY id OFFSET 590 LIMIT 100", Some("key has_pkey")),
    ("SELECT id FROM {} ORDER BY id LIMIT 0", Some("key has_pkey")),
    ("SELECT id FROM {} ORDER BY id LIMIT NULL OFFSET 598", Some("key has_pkey")),
    ("SELECT id, txt FROM {} WHERE i = 3 ORDER BY id DESC LIMIT 3", Some("index one, backward")),
    ("SELECT i, id FROM {} WHERE i = 3 ORDER BY i DESC, id", Some("index only one")),
    ("SELECT id, i FROM {} WHERE i > 5 ORDER BY i, id LIMIT 30", Some("index only one")),
    (
        "SELECT id, ch, i FROM {} WHERE i <= 5 ORDER BY i DESC, id DESC LIMIT 30 OFFSET 5",
        Some("index one, backward"),
    ),
    ("SELECT id, i FROM {} ORDER BY i, id LIMIT 590 OFFSET 3", Some("index only one")),
    ("SELECT id, i FROM {} ORDER BY i DESC, id DESC LIMIT 100", Some("index only one, backward")),
    ("SELECT id, i FROM {} ORDER BY i NULLS FIRST, id LIMIT 100", None),
    ("SELECT id, i FROM {} ORDER BY i, id DESC LIMIT 100", None),
    (
        "SELECT d, ts, tz, id FROM {} ORDER BY d DESC NULLS LAST, ts, tz DESC, id LIMIT 50",
        Some("index only three"),
    ),
    (
        "SELECT d, ts, tz, id FROM {} ORDER BY d NULLS FIRST, ts DESC NULLS LAST, tz NULLS LAST, id DESC LIMIT 50",
        None,
    ),
    ("SELECT big AS i, i AS big, id FROM {} WHERE i BETWEEN 1 AND 9 ORDER BY i, id LIMIT 9", None),
    (
        "SELECT i, i, id FROM {} WHERE i BETWEEN 1 AND 9 ORDER BY has.i, has.id LIMIT 9",
        Some("index only one"),
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_first_rows_in_the_order_of_a_key_are_read_without_a_plan() {
    let (_fixture, mut session) = filled().await;
    for (query, way) in TAILS {
        let here = query.replace("{}", "has");
        let plan = run(&mut session, &format!("EXPLAIN {here}")).await.unwrap().join("\n");
        match way {
            Some(way) => assert!(plan.contains("fast path") && plan.ends_with(way), "{query}\n{plan}"),
            None => assert!(!plan.contains("fast path"), "{query}\n{plan}"),
        }
        let there = query.replace("{}", "has_not AS has");
        assert_eq!(
            run(&mut session, &here).await.unwrap(),
            run(&mut session, &there).await.unwrap(),
            "{query}"
        );
    }
    for (query, state) in [
        ("SELECT id FROM has ORDER BY id LIMIT -1", "2201W"),
        ("SELECT id FROM has ORDER BY id LIMIT 1 OFFSET -1", "2201X"),
    ] {
        assert_eq!(support::state(&run(&mut session, query).await.unwrap_err()), state, "{query}");
    }
}

/// Conditions that more than one index serves, and how the plan calls that.
const COMBINED: &[(&str, &str)] = &[
    ("i = 3 OR d = '2024-01-09'", "any of index one (i = constant) and index three (d = constant)"),
    ("i = 3 OR id = 17", "any of index one (i = constant) and primary key has_pkey (id = constant)"),
    ("i IN (1, 2, 3) OR txt = 'aaaa' OR id BETWEEN 5 AND 7", "any of index one"),
    ("(i = 3 AND f > 0) OR (d = '2024-01-09' AND ch <> 'c1') OR id = 100000", "any of index one"),
    ("(i = 3 OR d = '2024-01-09') AND num > 2", "any of index one"),
    ("i BETWEEN 2000 AND 8000 AND d BETWEEN '2049-03-02' AND '2065-08-04'", "both of index"),
    ("i BETWEEN 2000 AND 8000 AND d BETWEEN '2049-03-02' AND '2065-08-04' AND f IS NULL", "both of index"),
    // One of them leaves few rows.
    ("i BETWEEN 1 AND 9 AND d BETWEEN '2024-02-10' AND '2035-02-12'", "index one (i range)"),
    // The same column: ranges of one key.
    ("i = 1 OR i = 2", "index one (i in 2 values)"),
    ("id = 1 OR id = 2 OR id IN (3, 9, 9)", "primary key has_pkey (id in 4 values)"),
    ("id IN (1, 2) AND f IS NULL", "primary key has_pkey (id in 2 values)"),
    // No index has the second.
    ("i = 3 OR f = 1", "full scan"),
    ("i = 3 OR i IS NULL", "full scan"),
];

#[tokio::test(flavor = "multi_thread")]
async fn several_indexes_find_rows_together() {
    let (_fixture, mut session) = filled().await;
    // So many rows that looking at all costs more than any index.
    for table in ["has", "has_not"] {
        run(&mut session, &format!("INSERT INTO {table} (id, i, d) SELECT n, n, date '2030-01-01' + n FROM generate_series(2000, 30000) AS r(n)"))
            .await
            .unwrap();
    }
    run(&mut session, "ANALYZE has").await.unwrap();
    for (condition, way) in COMBINED {
        let query = format!("SELECT id, f, txt FROM {{}} WHERE {condition}");
        let plan =
            run(&mut session, &format!("EXPLAIN {}", query.replace("{}", "has"))).await.unwrap().join("\n");
        assert!(plan.contains(way), "{condition}\n{plan}");
        let expected = rows(&mut session, &query, "has_not").await;
        assert_eq!(rows(&mut session, &query, "has").await, expected, "{condition}");
        let ordered = format!("{query} ORDER BY id DESC LIMIT 3");
        let expected = run(&mut session, &ordered.replace("{}", "has_not")).await.unwrap();
        assert_eq!(run(&mut session, &ordered.replace("{}", "has")).await.unwrap(), expected, "{condition}");
        // Changes see the same rows.
        let count = |table: &str| {
            format!("BEGIN; DELETE FROM {table} WHERE {condition}; SELECT count(*) FROM {table}")
        };
        let left = run(&mut session, &count("has")).await.unwrap();
        run(&mut session, "ROLLBACK").await.unwrap();
        assert_eq!(left, run(&mut session, &count("has_not")).await.unwrap(), "{condition}");
        run(&mut session, "ROLLBACK").await.unwrap();
    }
}
