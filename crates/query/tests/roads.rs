//! The fast path and DataFusion answer alike: the same question about one row, asked once by its key
//! and once through a subquery that the fast path does not take. Rows, column names, types and
//! SQLSTATEs must be equal.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use support::{Fixture, describe, run, state};

const ROWS: &str = "INSERT INTO t VALUES
    (1, 5, 7000000000, 2, 12.50, 1.5, 2.25, 'text', 'vc', 'ch', true, '2024-02-29', '2024-02-29 12:34:56.789',
     '2024-02-29 12:34:56+00', '1 day 02:00', '{\"a\": [1, 2]}', '{1,2,NULL}', 'b0f1c6a0-0000-4000-8000-000000000001', 1.500),
    (2, 0, -1, -3, -0.05, -0.0, 'NaN', '', '', '', false, '1999-12-31', '1999-12-31 23:59:59.999999',
     '1999-12-31 23:59:59-08', '-1 mon', '[]', '{}', 'ffffffff-ffff-ffff-ffff-ffffffffffff', 0.00),
    (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)";

const EXPRESSIONS: &[&str] = &[
    "*", "id, i", "i + 1", "i - big", "i * s", "i / 2", "i % 2", "10 / i", "-i", "-num", "big + 1", "s + s", "num + 1",
    "num - 0.001", "num * num", "num / 3", "num * i", "1 / num", "any_num + 1", "any_num / 7", "any_num * num", "f + 1",
    "f / 2", "r * 2", "r + f", "i = 5", "i < big", "num = 12.5", "num > i", "any_num = 1.5", "txt || '!'", "txt || i",
    "vc = 'vc'", "ch = 'ch'", "ch || '|'", "txt = 'text'", "txt LIKE 't%'", "b AND i > 1", "NOT b", "b OR NULL", "b IS NULL",
    "i IS NOT NULL", "d", "ts", "tz", "iv", "j", "arr", "u", "CAST(i AS text)", "CAST(num AS int)", "i::numeric", "f::int",
    "txt::int", "num::text", "b::int", "i::bool", "coalesce(i, 9)", "nullif(i, 5)", "CASE WHEN i > 1 THEN 'big' ELSE 'small' END",
    "CASE i WHEN 5 THEN 1 ELSE 2.5 END", "upper(txt)", "length(txt)", "abs(i)", "lower(vc)", "nosuch", "i + txt", "txt > 5",
    "2147483647 + i", "big * big * big", "32767::smallint + s", "i AS named, i", "'literal'", "NULL", "1.5", "true", "7000000000",
    "i BETWEEN 1 AND 9", "i IN (1, 5)", "txt IN ('text', 'x')", "num IN (12.5, 1)", "greatest(i, 3)", "round(num)",
];

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
                let columns = describe(&mut session, &text).map_err(|error| state(&error));
                let rows = match run(&mut session, &text).await {
                    Ok(rows) => rows,
                    Err(error) => vec![format!("ERROR {}", state(&error))],
                };
                answers.push((columns, rows));
            }
            // An error that only evaluation finds may come before or after the description.
            let failed = answers.iter().all(|(_, rows)| rows.first().is_some_and(|row| row.starts_with("ERROR")));
            if answers[0] != answers[1] && !(failed && answers[0].1 == answers[1].1) {
                differences.push(format!("{expression} of row {key}:\n  {:?}\n  {:?}", answers[0], answers[1]));
            }
        }
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}
