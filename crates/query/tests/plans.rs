//! Orders of joins and steps of aggregates, as EXPLAIN shows them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use luma_query::Session;
use support::{Fixture, run};

/// The lines of a query's plan.
async fn plan(session: &mut Session, query: &str) -> String {
    run(session, &format!("EXPLAIN {query}")).await.unwrap().join("\n")
}

async fn filled(tables: &[(&str, &str, &str)]) -> (Fixture, Session) {
    let fixture = Fixture::new();
    let mut session = fixture.session();
    for (table, columns, rows) in tables {
        run(&mut session, &format!("CREATE TABLE {table} ({columns}) WITH (engine = 'columnar')"))
            .await
            .unwrap();
        run(&mut session, &format!("INSERT INTO {table} {rows}")).await.unwrap();
        run(&mut session, &format!("ANALYZE {table}")).await.unwrap();
    }
    (fixture, session)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_join_that_leaves_few_rows_comes_first() {
    let (_fixture, mut session) = filled(&[
        ("nation", "id int, name text", "SELECT n, 'nation ' || n FROM generate_series(1, 20) AS s(n)"),
        ("buyer", "id int, nation int", "SELECT n, n % 20 + 1 FROM generate_series(1, 2000) AS s(n)"),
        (
            "item",
            "id int, buyer int, seller int",
            "SELECT n, n % 2000 + 1, n % 100 + 1 FROM generate_series(1, 20000) AS s(n)",
        ),
        ("seller", "id int, nation int", "SELECT n, n % 20 + 1 FROM generate_series(1, 100) AS s(n)"),
    ])
    .await;
    let query = "SELECT count(*) FROM item i, seller s, buyer b, nation n WHERE i.seller = s.id AND i.buyer = b.id \
                 AND b.nation = s.nation AND s.nation = n.id AND n.name = 'nation 4'";
    let shown = plan(&mut session, query).await;
    // `b.nation = n.id` stands nowhere: it follows from the others, and leaves 100 of the 2,000 buyers.
    let joins: Vec<&str> = shown.lines().filter(|line| line.contains("HashJoin")).collect();
    assert_eq!(joins.len(), 3, "{shown}");
    assert!(!joins[0].contains("(id@0, nation@"), "{shown}");
    assert!(shown.contains("id@0, nation@"), "{shown}");
    let answer = run(&mut session, query).await.unwrap();
    run(
        &mut session,
        "CREATE TABLE plain AS SELECT i.id, s.nation AS one, b.nation AS other FROM item i \
                       LEFT JOIN seller s ON i.seller = s.id LEFT JOIN buyer b ON i.buyer = b.id",
    )
    .await
    .unwrap();
    assert_eq!(
        run(&mut session, "SELECT count(*) FROM plain WHERE one = 4 AND other = 4").await.unwrap(),
        answer
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn different_values_are_grouped_before_they_are_counted() {
    let (_fixture, mut session) = filled(&[(
        "seen",
        "k int, v bigint, p int",
        "SELECT n % 7, n % 1000, n % 50 FROM generate_series(1, 20000) AS s(n)",
    )])
    .await;
    let query = "SELECT k, count(DISTINCT v), count(*), avg(p) FROM seen GROUP BY k ORDER BY k";
    let shown = plan(&mut session, query).await;
    assert!(!shown.contains("DISTINCT"), "{shown}");
    let apart = "SELECT a.k, d.many, a.rows, a.mean FROM (SELECT k, count(*) AS rows, avg(p) AS mean FROM seen GROUP BY k) a \
                 JOIN (SELECT k, count(*) AS many FROM (SELECT DISTINCT k, v FROM seen) x GROUP BY k) d ON a.k = d.k ORDER BY 1";
    assert_eq!(run(&mut session, query).await.unwrap(), run(&mut session, apart).await.unwrap());
}
