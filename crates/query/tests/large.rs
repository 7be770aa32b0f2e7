//! Statements of many terms are planned as others are, and those that are too deep for that are refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use luma_query::Session;
use support::{Fixture, run, state};

async fn one(session: &mut Session, sql: &str) -> String {
    let shown: String = sql.chars().take(60).collect();
    let mut rows = run(session, sql).await.unwrap_or_else(|error| panic!("{shown}: {error}"));
    assert_eq!(rows.len(), 1, "{shown}");
    rows.remove(0)
}

fn list(count: i64, join: &str, term: impl Fn(i64) -> String) -> String {
    (0..count).map(term).collect::<Vec<_>>().join(join)
}

async fn table(session: &mut Session) {
    one(session, "CREATE TABLE t (id int PRIMARY KEY, a int, b numeric, s text); SELECT 1").await;
    one(
        session,
        "INSERT INTO t SELECT i, i % 10, i / 4.0, 's' || i FROM generate_series(0, 999) i; SELECT 1",
    )
    .await;
}

#[tokio::test]
async fn long_lists_of_operators_mean_what_short_ones_do() {
    let fixture = Fixture::new();
    let mut session = fixture.session();
    table(&mut session).await;
    let mut ask = async |condition: String| {
        one(&mut session, &format!("SELECT count(*) FROM t WHERE {condition}")).await
    };
    assert_eq!(ask(list(1_500, " AND ", |n| format!("id <> {n}"))).await, "0");
    assert_eq!(ask(list(500, " AND ", |n| format!("id <> {}", n * 2))).await, "500");
    assert_eq!(ask(list(700, " OR ", |n| format!("id = {}", n * 3))).await, "334");
    assert_eq!(ask(list(300, " OR ", |n| format!("(id = {n} AND a = {})", n % 20))).await, "150");
    assert_eq!(ask(list(300, " AND ", |n| format!("(id < 500 OR id <> {})", n + 600))).await, "700");
    assert_eq!(ask(format!("id = 7 AND a = {}", list(70, " + ", |_| "0.1".into()))).await, "1");
    assert_eq!(ask(format!("({}) AND a = 3", list(6_000, " OR ", |n| format!("id = {n}")))).await, "100");
    let mut value = async |expression: String| {
        one(&mut session, &format!("SELECT {expression} FROM t WHERE id = 3")).await
    };
    assert_eq!(value(list(2_000, " + ", |_| "1".into())).await, "2000");
    assert_eq!(value(list(1_000, " + ", |_| "id".into())).await, "3000");
    let mixed = list(500, " + ", |n| if n % 2 == 0 { "id".into() } else { "b".into() });
    assert_eq!(value(format!("({mixed})::float8")).await, (250.0 * 3.0 + 250.0 * 0.75).to_string());
    assert_eq!(value(list(101, " - ", |_| "1".into())).await, "-99");
    assert_eq!(value(list(40, " * ", |_| "(-1)".into())).await, "1");
    assert_eq!(value(format!("length({})", list(1_000, " || ", |_| "s".into()))).await, "2000");
    assert_eq!(
        value(format!("{} || s", list(20, " || ", |n| format!("'{}'", n % 10)))).await,
        "01234567890123456789s3"
    );
    assert_eq!(value(format!("now() = now() + {}", list(50, " + ", |_| "interval '0 s'".into()))).await, "t");
    let union = list(400, " UNION ALL ", |n| format!("SELECT {n} AS n"));
    assert_eq!(
        one(&mut session, &format!("SELECT sum(n), min(n), count(*) FROM ({union}) u")).await,
        "79800|0|400"
    );
    // An overflow in the middle is one, whatever follows.
    let error =
        run(&mut session, &format!("SELECT 2147483600 + {} - 1000", list(60, " + ", |_| "1".into()))).await;
    assert_eq!(state(&error.unwrap_err()), "22003");
    // Calls in one another are read once.
    for call in ["coalesce(", "greatest(", "upper(", "abs("] {
        let argument = if call == "upper(" { "s" } else { "a" };
        one(
            &mut session,
            &format!("SELECT {}{argument}{} FROM t WHERE id = 3", call.repeat(60), ")".repeat(60)),
        )
        .await;
    }
}

#[tokio::test]
async fn what_is_too_deep_is_refused_and_the_session_goes_on() {
    let fixture = Fixture::new();
    let mut session = fixture.session();
    table(&mut session).await;
    let tables = list(1_000, ", ", |n| format!("t t{n}"));
    let named = list(1_000, ", ", |n| {
        if n == 0 { "c0 AS (SELECT 1)".into() } else { format!("c{n} AS (SELECT * FROM c{})", n - 1) }
    });
    let deep = [
        list(20_000, " + ", |_| "1".into()),
        list(20_000, " || ", |_| "'s'".into()),
        format!("true{}", " AND true".repeat(50_000)),
        format!("1{}", "::int".repeat(1_000)),
        format!("{}true", "NOT ".repeat(1_000)),
        format!("{}1", "- ".repeat(1_000)),
        format!("'{{}}'::jsonb{}", " -> 'a'".repeat(1_000)),
        format!("{}1{}", "(".repeat(5_000), ")".repeat(5_000)),
        format!("{}1{}", "abs(".repeat(5_000), ")".repeat(5_000)),
        format!("{}1{}", "nullif(".repeat(30), ", 2)".repeat(30)),
        format!("1 FROM {tables}"),
        list(5_000, " UNION ", |n| if n == 0 { "1".into() } else { format!("SELECT {n}") }),
    ];
    for statement in
        deep.iter().map(|rest| format!("SELECT {rest}")).chain([format!("WITH {named} SELECT * FROM c999")])
    {
        let shown: String = statement.chars().take(60).collect();
        let Err(error) = run(&mut session, &statement).await else { panic!("{shown} was planned") };
        assert_eq!(state(&error), "54001", "{shown}: {error}");
        assert_eq!(one(&mut session, "SELECT count(*) FROM t").await, "1000");
    }
    one(&mut session, &format!("SELECT {}", list(1_664, ", ", |n| n.to_string()))).await;
    let wide = run(&mut session, &format!("SELECT {}", list(1_665, ", ", |n| n.to_string()))).await;
    assert_eq!(state(&wide.unwrap_err()), "54011");
}

#[tokio::test]
async fn planning_ends_with_the_time_of_its_statement() {
    let fixture = Fixture::new();
    let mut session = fixture.session();
    table(&mut session).await;
    run(&mut session, "SET statement_timeout = '1ms'").await.unwrap();
    // Nothing else runs on this thread, so planning itself has to look at the clock.
    let condition = list(1_000, " AND ", |n| format!("(a <> {n} OR b <> {n})"));
    let error = run(&mut session, &format!("SELECT count(*) FROM t WHERE {condition}")).await.unwrap_err();
    assert_eq!(state(&error), "57014");
}

#[tokio::test]
async fn values_that_would_take_all_memory_are_refused() {
    let fixture = Fixture::new();
    let mut session = fixture.session();
    let many = "repeat('x', 200000000)";
    for expression in [
        "repeat('x', 2000000000)".to_owned(),
        "lpad('x', 2000000000)".into(),
        "rpad('x', 2000000000, 'ab')".into(),
        "replace(repeat('a', 10000000), 'a', repeat('b', 1000))".into(),
        format!("concat({many}, {many})"),
        format!("{many} || {many}"),
        "array_fill(0, ARRAY[2000000000])".into(),
        // Each is small enough, but not all of a batch.
        "max(length(repeat('x', 1000000 + i))) FROM generate_series(1, 8000) i".into(),
    ] {
        let error = run(&mut session, &format!("SELECT {expression}")).await.unwrap_err();
        assert_eq!(state(&error), "54000", "{expression}: {error}");
    }
    assert_eq!(
        one(&mut session, "SELECT length(repeat('ab', 100000)), lpad('7', 3, '0'), rpad('abc', 2)").await,
        "200000|007|ab"
    );
}
