//! The fast path and DataFusion answer alike: the same question about one row, asked once by its key
//! and once through a subquery that the fast path does not take. Rows, column names, types and
//! SQLSTATEs must be equal.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use luma_model::Value;
use luma_query::Session;
use support::{Fixture, run, run_with, state};

const ROWS: &str = "INSERT INTO t VALUES
    (1, 5, 7000000000, 2, 12.50, 1.5, 2.25, 'text', 'vc', 'ch', true, '2024-02-29', '2024-02-29 12:34:56.789',
     '2024-02-29 12:34:56+00', '1 day 02:00', '{\"a\": [1, 2]}', '{1,2,NULL}', 'b0f1c6a0-0000-4000-8000-000000000001', 1.500),
    (2, 0, -1, -3, -0.05, -0.0, 'NaN', '', '', '', false, '1999-12-31', '1999-12-31 23:59:59.999999',
     '1999-12-31 23:59:59-08', '-1 mon', '[]', '{}', 'ffffffff-ffff-ffff-ffff-ffffffffffff', 0.00),
    (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)";

const EXPRESSIONS: &[&str] = &[
    "*",
    "id, i",
    "i + 1",
    "i - big",
    "i * s",
    "i / 2",
    "i % 2",
    "10 / i",
    "-i",
    "-num",
    "big + 1",
    "s + s",
    "num + 1",
    "num - 0.001",
    "num * num",
    "num / 3",
    "num * i",
    "1 / num",
    "any_num + 1",
    "any_num / 7",
    "any_num * num",
    "f + 1",
    "f / 2",
    "r * 2",
    "r + f",
    "i = 5",
    "i < big",
    "num = 12.5",
    "num > i",
    "any_num = 1.5",
    "txt || '!'",
    "txt || i",
    "vc = 'vc'",
    "ch = 'ch'",
    "ch || '|'",
    "txt = 'text'",
    "txt LIKE 't%'",
    "b AND i > 1",
    "NOT b",
    "b OR NULL",
    "b IS NULL",
    "i IS NOT NULL",
    "d",
    "ts",
    "tz",
    "iv",
    "j",
    "arr",
    "u",
    "CAST(i AS text)",
    "CAST(num AS int)",
    "i::numeric",
    "f::int",
    "txt::int",
    "num::text",
    "b::int",
    "i::bool",
    "coalesce(i, 9)",
    "nullif(i, 5)",
    "CASE WHEN i > 1 THEN 'big' ELSE 'small' END",
    "CASE i WHEN 5 THEN 1 ELSE 2.5 END",
    "upper(txt)",
    "length(txt)",
    "abs(i)",
    "lower(vc)",
    "nosuch",
    "i + txt",
    "txt > 5",
    "2147483647 + i",
    "big * big * big",
    "32767::smallint + s",
    "i AS named, i",
    "'literal'",
    "NULL",
    "1.5",
    "true",
    "7000000000",
    "i BETWEEN 1 AND 9",
    "i IN (1, 5)",
    "txt IN ('text', 'x')",
    "num IN (12.5, 1)",
    "greatest(i, 3)",
    "round(num)",
];

/// Names and types of a statement's columns.
async fn describe(session: &mut Session, text: &str) -> Result<Vec<String>, &'static str> {
    let statement = session.parse_script(text).map_err(|error| state(&error))?.pop().unwrap();
    let prepared = session.prepare(statement, &[]).await.map_err(|error| state(&error));
    let described = prepared.map(|prepared| {
        let columns = prepared.columns().cloned().unwrap();
        columns.iter().map(|column| format!("{} {}", column.name, column.data_type.base_name())).collect()
    });
    if described.is_err() {
        session.fail();
    }
    session.sync().await.unwrap();
    described
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_by_its_key_is_answered_as_datafusion_answers() {
    let fixture = Fixture::new();
    let mut session = fixture.session();
    run(
        &mut session,
        "CREATE TABLE t (id int PRIMARY KEY, i int, big bigint, s smallint, num numeric(10,2), f float8, r real, \
         txt text, vc varchar(5), ch char(4), b boolean, d date, ts timestamp, tz timestamptz, iv interval, j jsonb, \
         arr int[], u uuid, any_num numeric)",
    )
    .await
    .unwrap();
    run(&mut session, ROWS).await.unwrap();
    let mut differences = Vec::new();
    for expression in EXPRESSIONS {
        for key in 1..=4 {
            let mut answers = Vec::new();
            for source in ["t", "(SELECT * FROM t) AS t"] {
                let text = format!("SELECT {expression} FROM {source} WHERE id = {key}");
                let columns = describe(&mut session, &text).await;
                let rows = match run(&mut session, &text).await {
                    Ok(rows) => rows,
                    Err(error) => vec![format!("ERROR {}", state(&error))],
                };
                answers.push((columns, rows));
            }
            // An error that only evaluation finds may come before or after the description.
            let failed =
                answers.iter().all(|(_, rows)| rows.first().is_some_and(|row| row.starts_with("ERROR")));
            if answers[0] != answers[1] && !(failed && answers[0].1 == answers[1].1) {
                differences
                    .push(format!("{expression} of row {key}:\n  {:?}\n  {:?}", answers[0], answers[1]));
            }
        }
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

/// Conditions on columns of keys, and whether the fast path takes them.
const RANGES: &[(&str, bool)] = &[
    ("a = 3", true),
    ("a = 3 AND b = 4", true),
    ("a BETWEEN 3 AND 5", true),
    ("a > 3 AND a <= 5", true),
    ("5 >= a AND 3 < a", true),
    ("a >= 9", true),
    ("a < 2", true),
    ("a > 5 AND a < 5", true),
    ("a BETWEEN 6 AND 2", true),
    ("a = 4 AND b BETWEEN 2 AND 7", true),
    ("a = 4 AND b > 2", true),
    ("b < 3 AND a = 4", true),
    ("a = 4 AND b = 5 AND d >= '2026-01-02'", true),
    ("a = 4 AND b = 5 AND d > '2026-01-02' AND d < '2026-01-09'", true),
    ("a = 2 + 2 AND b >= 1 + 1", true),
    ("a > NULL", true),
    ("a = 2147483647 + 1", true),
    ("k = 2", true),
    ("k = 2 AND n = 5", true),
    ("x = 'x1'", true),
    ("t.a = 3 AND t.b < 4", true),
    ("k = 2 AND n > 5", true),
    ("a IN (3, 9, 3, NULL)", true),
    ("a IN (NULL)", true),
    ("a = 3 AND b IN (9, 1, 4)", true),
    ("a = ANY ('{5,2,NULL,77}')", true),
    ("a = 4 AND b = ANY ('{}')", true),
    ("k IN (4, 1, 2)", true),
    ("k = 2 AND n IN (1, 5)", true),
    ("x = ANY ('{x1,x3}')", true),
    ("d = ANY ('{2026-01-02}') AND a = 3 AND b = 2", true),
    ("a IN (1, 2) AND b = 3", false),
    ("a NOT IN (1, 2)", false),
    ("a IN (1, b)", false),
    ("a <> ANY ('{1}')", false),
    ("a = ALL ('{1}')", false),
    ("k = 2 AND a = 3", false),
    ("b = 3", false),
    ("a = 3 AND d > '2026-01-01'", false),
    ("a > 3 AND b = 2", false),
    ("a > 1.5", false),
    ("a = 3 OR a = 4", false),
    ("a <> 3", false),
    ("a = 3 AND a = 3", false),
    ("a > b", false),
    ("x > 'x1'", false),
];

#[tokio::test(flavor = "multi_thread")]
async fn rows_next_to_each_other_are_those_that_datafusion_finds() {
    let fixture = Fixture::new();
    let mut session = fixture.session();
    run(
        &mut session,
        "CREATE TABLE t (a int, b bigint, d date, k smallint, n int, x text, PRIMARY KEY (a, b, d)); \
         CREATE INDEX by_kn ON t (k DESC NULLS LAST, n); CREATE INDEX by_x ON t (x)",
    )
    .await
    .unwrap();
    let fill = "INSERT INTO t SELECT n / 200, n / 20 % 10, date '2026-01-01' + n % 20, nullif(n % 6, 3), nullif(n % 7, 2), \
                CASE WHEN n % 5 > 0 THEN 'x' || n % 4 END FROM generate_series(1, 2400) AS s(n)";
    run(&mut session, fill).await.unwrap();
    for (condition, taken) in RANGES {
        let asked = format!("SELECT x, a, b AS named, d, n FROM t WHERE {condition}");
        let shown = run(&mut session, &format!("EXPLAIN {asked}")).await;
        if let Ok(shown) = &shown {
            assert_eq!(shown[0].starts_with("fast path"), *taken, "{condition}: {shown:?}");
        }
        let mut answers = Vec::new();
        for source in ["t", "(SELECT * FROM t) AS t"] {
            let asked = asked.replace("FROM t", &format!("FROM {source}"));
            let described = describe(&mut session, &asked).await;
            let mut rows = run(&mut session, &asked).await.map_err(|error| state(&error));
            if let Ok(rows) = &mut rows {
                rows.sort();
            }
            answers.push((described, rows));
        }
        assert_eq!(answers[0], answers[1], "{condition}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_bounds_and_changes_of_the_same_transaction_are_seen() {
    let fixture = Fixture::new();
    let mut session = fixture.session();
    run(&mut session, "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT n, n FROM generate_series(1, 5000) AS s(n)")
        .await
        .unwrap();
    let asked = "SELECT id FROM t WHERE id BETWEEN $1 AND $2 + 9";
    let given = |low: Value, high: Value| [low, high];
    let rows = run_with(&mut session, asked, &[], &given(Value::Int4(7), Value::Int4(7))).await.unwrap();
    assert_eq!(rows, (7..=16).map(|id| id.to_string()).collect::<Vec<_>>());
    let rows = run_with(&mut session, asked, &[], &given(Value::Int4(1), Value::Int4(4000))).await.unwrap();
    assert_eq!(rows.len(), 4009);
    assert!(
        run_with(&mut session, asked, &[], &given(Value::Null, Value::Int4(7))).await.unwrap().is_empty()
    );
    let failed =
        run_with(&mut session, asked, &[], &given(Value::Int4(1), Value::Int4(i32::MAX))).await.unwrap_err();
    assert_eq!(state(&failed), "22003");
    let seen =
        "BEGIN; DELETE FROM t WHERE id < 9; INSERT INTO t VALUES (-1, 0); SELECT id FROM t WHERE id <= 10";
    assert_eq!(run(&mut session, seen).await.unwrap(), ["-1", "9", "10"]);
    run(&mut session, "ROLLBACK").await.unwrap();
    assert_eq!(run(&mut session, "SELECT count(*) FROM t").await.unwrap(), ["5000"]);
}

/// Queries that the fast path does not take, each with two sets of parameters.
const REPEATED: &[(&str, [&[i32]; 2])] = &[
    ("SELECT name, sum(v) FROM t JOIN u USING (id) WHERE id < $1 GROUP BY name ORDER BY name", [&[40], &[7]]),
    ("SELECT id, v FROM t WHERE v > $1 ORDER BY v DESC, id LIMIT $2", [&[3, 4], &[8, 2]]),
    (
        "SELECT t.*, u.name FROM t LEFT JOIN u ON t.id = u.id AND u.id <> $1 WHERE t.v = $2 ORDER BY t.id",
        [&[5, 5], &[6, 2]],
    ),
    ("SELECT count(*) FROM t WHERE id IN (SELECT id FROM u WHERE id > $1) AND v < $2", [&[10, 5], &[50, 90]]),
    ("WITH few AS (SELECT * FROM both_of WHERE id < $1) SELECT max(name), count(*) FROM few", [&[9], &[90]]),
    ("SELECT DISTINCT v FROM t WHERE $1 = 1 OR v = $1 ORDER BY 1", [&[1], &[4]]),
    (
        "SELECT id, (SELECT name FROM u WHERE u.id = t.id) FROM t WHERE id % $1 = 0 ORDER BY id",
        [&[30], &[45]],
    ),
    (
        "SELECT at AT TIME ZONE 'UTC' - at::timestamp, at::text FROM t WHERE id = $1 OR v + 0 = -1",
        [&[3], &[4]],
    ),
    ("SELECT count(*) FROM c WHERE k < $1", [&[10], &[3]]),
    ("SELECT n FROM generate_series(1, $1) AS s(n) ORDER BY n DESC LIMIT 2", [&[5], &[9]]),
    ("SELECT count(*) FROM pg_class WHERE relname = 'made' AND relnatts > $1", [&[0], &[1]]),
];

/// What happens between executions.
const BETWEEN: &[&str] = &[
    "SELECT 1",
    "INSERT INTO t VALUES (1001, 4, '2024-06-01 00:00+00'); DELETE FROM u WHERE id % 9 = 0",
    "INSERT INTO c SELECT n FROM generate_series(1, 9) AS s(n)",
    "SET timezone = 'Asia/Tokyo'",
    "BEGIN; UPDATE t SET v = v + 1 WHERE id < 20",
    "ROLLBACK",
    "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t",
    "COMMIT",
    "CREATE TABLE made (x int); CREATE INDEX ON t (v)",
    "CREATE OR REPLACE VIEW both_of AS SELECT t.id, upper(name) AS name FROM t JOIN u USING (id)",
    "CREATE SCHEMA other; CREATE TABLE other.u (id int PRIMARY KEY, name text); SET search_path = other, public",
    "INSERT INTO other.u VALUES (3, 'from other')",
    "RESET search_path",
    "TRUNCATE u",
    "CREATE TEMP TABLE u (id int PRIMARY KEY, name text); INSERT INTO u VALUES (6, 'temporary')",
    "RESET timezone",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_was_kept_says_what_a_new_one_says() {
    let fixture = Fixture::new();
    let mut session = fixture.session();
    let made = "CREATE TABLE t (id int PRIMARY KEY, v int, at timestamptz); CREATE TABLE u (id int PRIMARY KEY, name text);
        CREATE TABLE c (k int) WITH (engine = 'columnar');
        CREATE VIEW both_of AS SELECT t.id, name FROM t JOIN u USING (id);
        INSERT INTO t SELECT n, n % 10, '2024-03-01 12:00+00' FROM generate_series(1, 100) AS s(n);
        INSERT INTO u SELECT n, 'name ' || n % 4 FROM generate_series(1, 80) AS s(n)";
    run(&mut session, made).await.unwrap();
    let mut prepared = Vec::new();
    for (text, _) in REPEATED {
        let statement = session.parse_script(text).unwrap().remove(0);
        prepared.push(session.prepare(statement, &[]).await.unwrap());
    }
    for between in BETWEEN {
        run(&mut session, between).await.unwrap();
        for ((text, sets), prepared) in REPEATED.iter().zip(&prepared) {
            for values in sets {
                let values: Vec<Value> = values
                    .iter()
                    .zip(prepared.parameter_types())
                    .map(|(value, data_type)| match data_type {
                        luma_model::DataType::Int8 => Value::Int8(i64::from(*value)),
                        luma_model::DataType::Int2 => Value::Int2(i16::try_from(*value).unwrap()),
                        _ => Value::Int4(*value),
                    })
                    .collect();
                // Twice, so that the second begins with what the first kept.
                let first = support::run_prepared(&mut session, prepared, &values).await;
                let second = support::run_prepared(&mut session, prepared, &values).await;
                let anew = run_with(&mut session, text, &[], &values).await;
                let told = format!("{text} with {values:?} after {between}");
                assert_eq!(first.unwrap(), *anew.as_ref().unwrap(), "{told}");
                assert_eq!(second.unwrap(), anew.unwrap(), "{told}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_keys_may_be_parameters() {
    let fixture = Fixture::new();
    let mut session = fixture.session();
    run(&mut session, "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT n, n FROM generate_series(1, 500) AS s(n)")
        .await
        .unwrap();
    let list = |values: &[Option<i32>]| {
        let elements = values.iter().map(|value| value.map_or(Value::Null, Value::Int4)).collect();
        Value::Array(luma_model::ArrayValue { elements })
    };
    let asked = "SELECT id FROM t WHERE id = ANY($1)";
    let found =
        run_with(&mut session, asked, &[], &[list(&[Some(9), None, Some(3), Some(9), Some(-1)])]).await;
    assert_eq!(found.unwrap(), ["3", "9"]);
    assert!(run_with(&mut session, asked, &[], &[list(&[])]).await.unwrap().is_empty());
    assert!(run_with(&mut session, asked, &[], &[Value::Null]).await.unwrap().is_empty());
    let asked = "SELECT id FROM t WHERE id IN ($1, $2, 4) ORDER BY id DESC LIMIT $3";
    let given = [Value::Int4(8), Value::Int4(4), Value::Int8(2)];
    assert_eq!(run_with(&mut session, asked, &[], &given).await.unwrap(), ["8", "4"]);
    let given = [Value::Null, Value::Int4(5), Value::Null];
    assert_eq!(run_with(&mut session, asked, &[], &given).await.unwrap(), ["5", "4"]);
}
