//! Orders of joins and steps of aggregates, as EXPLAIN shows them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use luma_query::{DatabaseOptions, Session};
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

#[tokio::test(flavor = "multi_thread")]
async fn the_least_and_the_greatest_come_from_a_key_where_one_orders_them() {
    let fixture = Fixture::new();
    let mut session = fixture.session();
    for statement in [
        "CREATE TABLE sale (shop int, number int, price numeric, note text, day date, PRIMARY KEY (shop, number))",
        "INSERT INTO sale SELECT n % 10, n, CASE WHEN n % 3 > 0 THEN n * 1.5 - 900 END, 'note ' || n, \
         CASE WHEN n > 500 THEN date '2026-01-01' + n % 400 END FROM generate_series(1, 3000) AS s(n)",
        "CREATE INDEX ON sale (price DESC)",
        "CREATE INDEX ON sale (day)",
        "CREATE INDEX ON sale (note) WHERE shop = 3",
        "CREATE TABLE empty (id int PRIMARY KEY)",
        "ANALYZE sale",
    ] {
        run(&mut session, statement).await.unwrap();
    }
    // What is asked, the same as nothing that a key orders, and whether a key gives it.
    for (query, apart, by_key) in [
        ("max(shop) FROM sale", "max(shop + 0) FROM sale", true),
        ("min(shop), max(shop) FROM sale", "min(shop + 0), max(shop + 0) FROM sale", true),
        ("max(number) FROM sale WHERE shop = 4", "max(number + 0) FROM sale WHERE shop = 4", true),
        ("max(number) FROM sale", "max(number + 0) FROM sale", false),
        ("max(number) FROM sale WHERE shop = 44", "max(number + 0) FROM sale WHERE shop = 44", true),
        ("min(price), max(price) FROM sale", "min(price + 0), max(price + 0) FROM sale", true),
        ("max(price) FROM sale WHERE number % 7 = 1", "max(price + 0) FROM sale WHERE number % 7 = 1", true),
        ("max(price) FROM sale WHERE price < -800", "max(price + 0) FROM sale WHERE price < -800", true),
        ("min(day), max(day) FROM sale", "min(day + 0), max(day + 0) FROM sale", true),
        ("max(day) FROM sale WHERE day IS NULL", "max(day + 0) FROM sale WHERE day IS NULL", true),
        ("max(note) FROM sale", "max(note || '') FROM sale", false),
        ("max(day), count(*) FROM sale", "max(day + 0), count(*) FROM sale", false),
        ("max(d) FROM (SELECT day AS d FROM sale AS x) AS y", "max(day + 0) FROM sale", true),
        ("max(day) FILTER (WHERE shop = 1) FROM sale", "max(day + 0) FROM sale WHERE shop = 1", false),
        ("coalesce(max(id), 7) FROM empty", "7", false),
    ] {
        let shown = plan(&mut session, &format!("SELECT {query}")).await;
        let limited = shown.contains("Limit") || shown.contains("fetch=1") || shown.contains("limit=1");
        assert_eq!(limited, by_key, "{query}:\n{shown}");
        let given = run(&mut session, &format!("SELECT {query}")).await.unwrap();
        assert_eq!(given, run(&mut session, &format!("SELECT {apart}")).await.unwrap(), "{query}");
    }
    let query = "SELECT shop, number FROM sale AS s WHERE number = (SELECT max(number) FROM sale AS o WHERE o.shop = s.shop) \
                 AND price >= (SELECT min(price) FROM sale) ORDER BY 1";
    let apart = "SELECT shop, max(number) FROM sale GROUP BY shop ORDER BY 1";
    let expected = run(&mut session, apart).await.unwrap();
    let given = run(&mut session, query).await.unwrap();
    assert!(!given.is_empty() && given.iter().all(|row| expected.contains(row)), "{given:?}");
    run(&mut session, "BEGIN").await.unwrap();
    run(&mut session, "INSERT INTO sale VALUES (99, 1, 99999, 'z', '2030-01-01')").await.unwrap();
    run(&mut session, "DELETE FROM sale WHERE shop = 0").await.unwrap();
    let own = run(&mut session, "SELECT min(shop), max(shop), max(price) FROM sale").await.unwrap();
    assert_eq!(
        own,
        run(&mut session, "SELECT min(shop + 0), max(shop + 0), max(price + 0) FROM sale").await.unwrap()
    );
    run(&mut session, "ROLLBACK").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn vacuum_makes_statistics_if_it_is_asked_to() {
    let fixture = Fixture::new();
    let mut session = fixture.session();
    let mut plans = Vec::new();
    for (table, statement) in [
        ("plain", "VACUUM plain"),
        ("not_asked", "VACUUM (ANALYZE false, VERBOSE) not_asked"),
        ("analyzed", "ANALYZE plain2, analyzed (k)"),
        ("both", "VACUUM ANALYZE plain2, both"),
        ("options", "VACUUM (VERBOSE, ANALYZE) options"),
    ] {
        run(&mut session, "CREATE TABLE IF NOT EXISTS plain2 (k int)").await.unwrap();
        run(&mut session, &format!("CREATE TABLE {table} (id int PRIMARY KEY, k int)")).await.unwrap();
        run(
            &mut session,
            &format!("INSERT INTO {table} SELECT n, n % 50 FROM generate_series(1, 5000) AS s(n)"),
        )
        .await
        .unwrap();
        run(&mut session, &format!("CREATE INDEX ON {table} (k)")).await.unwrap();
        run(&mut session, statement).await.unwrap();
        let shown = plan(&mut session, &format!("SELECT count(*) FROM {table} WHERE k = 1")).await;
        let rows = shown.split_once("rows~").unwrap_or_else(|| panic!("no estimate:\n{shown}")).1;
        plans.push(rows.lines().next().unwrap().parse::<u64>().unwrap());
    }
    assert_eq!(plans[0], plans[1], "{plans:?}");
    assert!((90..110).contains(&plans[2]) && plans[2] != plans[0], "{plans:?}");
    assert!(plans[3..].iter().all(|rows| *rows == plans[2]), "{plans:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_read_by_an_index_if_it_is_small_and_all_rows_if_it_is_not() {
    let fixture = Fixture::new();
    let mut session = fixture.session();
    for statement in [
        "CREATE TABLE event (id int PRIMARY KEY, at timestamp, size int)",
        "INSERT INTO event SELECT n, timestamp '2026-01-01' + n * interval '1 minute', n % 100 \
         FROM generate_series(1, 40000) AS s(n)",
        "CREATE INDEX by_time ON event (at)",
    ] {
        run(&mut session, statement).await.unwrap();
    }
    for flushed in [false, true] {
        for (condition, by_index) in [
            ("at >= '2026-01-28 12:00'", true),
            ("at BETWEEN '2026-01-05' AND '2026-01-05 00:10'", true),
            ("at < '2026-01-20'", false),
            ("at > '2026-01-02'", false),
        ] {
            let query = format!("SELECT count(*), sum(size) FROM event WHERE {condition}");
            let shown = plan(&mut session, &query).await;
            assert_eq!(shown.contains("by_time"), by_index, "{condition}, flushed: {flushed}:\n{shown}");
            let apart = format!(
                "SELECT count(*), sum(size) FROM (SELECT at + interval '0' AS at, size FROM event) AS e WHERE {condition}"
            );
            assert_eq!(run(&mut session, &query).await.unwrap(), run(&mut session, &apart).await.unwrap());
        }
        run(&mut session, "CHECKPOINT").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_sees_all_values_that_come_round_regularly() {
    let fixture = Fixture::new();
    let mut session = fixture.session();
    run(&mut session, "CREATE TABLE wheel (id int PRIMARY KEY, spoke int)").await.unwrap();
    run(&mut session, "INSERT INTO wheel SELECT n, n % 60 FROM generate_series(1, 130000) AS s(n)")
        .await
        .unwrap();
    run(&mut session, "ANALYZE wheel").await.unwrap();
    let query = "SELECT n_distinct FROM pg_stats WHERE tablename = 'wheel' ORDER BY attname";
    assert_eq!(run(&mut session, query).await.unwrap(), ["-1", "60"]);
    // An array of a query's rows is looked up, not gone through for each row.
    let query =
        "SELECT count(*) FROM wheel WHERE id = ANY (ARRAY(SELECT spoke * 1000 FROM wheel WHERE id < 90000))";
    let shown = plan(&mut session, query).await;
    assert!(shown.contains("Join"), "{shown}");
    assert_eq!(run(&mut session, query).await.unwrap(), ["59"]);
}

/// A table of orders: most are done, some wait, very few failed; days come closer to each other towards the end.
async fn orders(session: &mut Session, engine: &str) {
    for statement in [
        &format!(
            "CREATE TABLE orders (id int NOT NULL, state text, day date, note text, weight float8) {engine}"
        ),
        "INSERT INTO orders SELECT n, CASE WHEN n % 500 = 0 THEN 'failed' WHEN n % 20 = 0 THEN 'waits' ELSE 'done' END, \
         date '2026-01-01' + sqrt(n)::int, CASE WHEN n % 4 = 0 THEN 'note ' || n END, ln(n) FROM generate_series(1, 40000) AS s(n)",
        "CREATE TABLE item (number int, orders int, text text)",
        "INSERT INTO item SELECT n, n % 40000, 'item ' || n FROM generate_series(1, 4000) AS s(n)",
        "ANALYZE",
    ] {
        run(session, statement).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_say_how_frequent_values_are_and_how_they_are_spread() {
    for engine in ["", "WITH (engine = 'columnar')"] {
        let fixture = Fixture::new();
        let mut session = fixture.session();
        orders(&mut session, engine).await;
        // Shares and bounds are what the rows say, about: the sample is three quarters of them.
        let found = run(
            &mut session,
            "SELECT value, abs(share - (SELECT count(*) / 40000.0 FROM orders WHERE state = value)) < 0.01 \
             FROM (SELECT unnest(most_common_vals) AS value, unnest(most_common_freqs) AS share FROM pg_stats \
             WHERE tablename = 'orders' AND attname = 'state') AS known ORDER BY share DESC",
        );
        assert_eq!(found.await.unwrap(), ["done|t", "waits|t", "failed|t"]);
        let nulls = "SELECT abs(null_frac - 0.75) < 0.02 FROM pg_stats WHERE tablename = 'orders' AND attname = 'note'";
        assert_eq!(run(&mut session, nulls).await.unwrap(), ["t"]);
        for column in ["id", "weight"] {
            let parts = format!(
                "SELECT count(*), min(rows) > 300, max(rows) < 500 FROM (SELECT bound, (SELECT count(*) FROM orders \
                 WHERE {column} >= bound AND {column} < next) AS rows FROM (SELECT bound, lead(bound) OVER (ORDER BY bound) AS next \
                 FROM (SELECT unnest(histogram_bounds::float8[]) AS bound FROM pg_stats \
                 WHERE tablename = 'orders' AND attname = '{column}') AS b) AS b WHERE next IS NOT NULL) AS parts"
            );
            assert_eq!(run(&mut session, &parts).await.unwrap(), ["100|t|t"], "{column}");
        }
        // The side of a join that is kept in memory is the one with fewer rows, which only the statistics tell.
        for (condition, few) in [
            ("state = 'failed'", true),
            ("state = 'done'", false),
            ("state IN ('failed', 'waits')", true),
            ("state <> 'done'", true),
            ("state <> 'waits'", false),
            ("day > '2026-07-18'", true),
            ("day < '2026-02-15'", true),
            ("day > '2026-02-15'", false),
            ("day BETWEEN '2026-07-10' AND '2026-07-15'", true),
            ("weight < 7.5", true),
            ("weight > 7.5", false),
            ("note LIKE 'note 39%'", true),
            ("note LIKE 'note %'", false),
            ("note IS NULL AND state = 'failed'", true),
            ("note IS NOT NULL", false),
        ] {
            let query = format!(
                "SELECT count(*), sum(i.number) FROM item i JOIN orders o ON o.id = i.orders WHERE o.{}",
                condition.replace("AND state", "AND o.state")
            );
            let shown = plan(&mut session, &query).await;
            assert!(shown.contains("HashJoin"), "{shown}");
            let kept =
                ["RowScan", "ColumnScan"].iter().filter_map(|scan| shown.find(scan)).min().expect(&shown);
            let first = shown[kept..].lines().next().unwrap();
            assert_eq!(first.contains("orders"), few, "{engine} {condition}:\n{shown}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frequent_values_are_not_looked_up_one_by_one() {
    let fixture = Fixture::new();
    let mut session = fixture.session();
    orders(&mut session, "").await;
    run(&mut session, "CREATE INDEX by_state ON orders (state)").await.unwrap();
    run(&mut session, "CREATE INDEX by_note ON orders (note)").await.unwrap();
    for (condition, by_index) in [
        ("state = 'done'", false),
        ("state = 'failed'", true),
        ("state = 'never'", true),
        ("state IN ('never', 'failed')", true),
        ("state IN ('done', 'failed')", false),
        ("note LIKE 'note 39%'", true),
        ("note LIKE 'note 3999_'", true),
        ("note LIKE 'note%'", false),
        ("note LIKE '%9'", false),
        ("note NOT LIKE 'note 39%'", false),
    ] {
        let query = format!("SELECT count(*), sum(weight) > 0 FROM orders WHERE {condition}");
        let shown = plan(&mut session, &query).await;
        assert_eq!(shown.contains("index by_"), by_index, "{condition}:\n{shown}");
        let apart = format!(
            "SELECT count(*), sum(weight) > 0 FROM (SELECT state || '' AS state, note || '' AS note, weight FROM orders) AS o \
             WHERE {condition}"
        );
        assert_eq!(run(&mut session, &query).await.unwrap(), run(&mut session, &apart).await.unwrap());
    }
}

/// The tables whose statistics made themselves, once there are that many.
async fn made(session: &mut Session, tables: usize) -> Vec<String> {
    let made = "SELECT relname, n_mod_since_analyze, last_autoanalyze <= now(), analyze_count FROM pg_stat_user_tables \
                WHERE autoanalyze_count > 0 ORDER BY relname";
    let mut found = Vec::new();
    for _ in 0..600 {
        found = run(session, made).await.unwrap();
        if found.len() >= tables {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_make_themselves() {
    let fixture = Fixture::opened(tempfile::tempdir().unwrap(), DatabaseOptions::default());
    let mut session = fixture.session();
    for statement in [
        "CREATE TABLE few (id int PRIMARY KEY)",
        "INSERT INTO few VALUES (1), (2)",
        "CREATE TABLE plain (id int PRIMARY KEY, k int)",
        "INSERT INTO plain SELECT n, n % 7 FROM generate_series(1, 1000) AS s(n)",
        "UPDATE plain SET k = 8 WHERE id <= 10",
        "DELETE FROM plain WHERE id = 11",
        "CREATE TABLE packed (id int, k int) WITH (engine = 'columnar')",
        "INSERT INTO packed SELECT n, n % 7 FROM generate_series(1, 1000) AS s(n)",
    ] {
        run(&mut session, statement).await.unwrap();
    }
    let counts = "SELECT n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables WHERE relname = 'plain'";
    assert_eq!(run(&mut session, counts).await.unwrap(), ["1000|10|1"]);
    assert_eq!(made(&mut session, 2).await, ["packed|0|t|0", "plain|0|t|0"]);
    // What the engine keeps of older versions are no rows.
    for _ in 0..5 {
        run(&mut session, "UPDATE plain SET k = 8 WHERE id > 1").await.unwrap();
    }
    run(&mut session, "DELETE FROM plain WHERE id < 100").await.unwrap();
    run(&mut session, "INSERT INTO packed VALUES (0, 0)").await.unwrap();
    let live = "SELECT relname, n_live_tup FROM pg_stat_user_tables WHERE relname <> 'few' ORDER BY 1";
    assert_eq!(run(&mut session, live).await.unwrap(), ["packed|1001", "plain|901"]);
    run(&mut session, "TRUNCATE packed").await.unwrap();
    assert_eq!(run(&mut session, live).await.unwrap(), ["packed|0", "plain|901"]);
    run(&mut session, "INSERT INTO packed SELECT n, n % 7 FROM generate_series(1, 1000) AS s(n)")
        .await
        .unwrap();
    run(&mut session, "ANALYZE").await.unwrap();
    let known = "SELECT tablename, attname, n_distinct FROM pg_stats WHERE tablename <> 'few' ORDER BY 1, 2";
    let statistics = run(&mut session, known).await.unwrap();
    assert_eq!(statistics, ["packed|id|-1", "packed|k|7", "plain|id|-1", "plain|k|1"]);
    drop(session);
    let fixture = fixture.reopened();
    let mut session = fixture.session();
    assert_eq!(run(&mut session, known).await.unwrap(), statistics);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_a_session_make_no_statistics() {
    let fixture = Fixture::opened(tempfile::tempdir().unwrap(), DatabaseOptions::default());
    let mut session = fixture.session();
    for table in ["TEMPORARY TABLE mine", "TABLE plain"] {
        let rows = format!("CREATE {table} AS SELECT n FROM generate_series(1, 1000) AS s(n)");
        run(&mut session, &rows).await.unwrap();
    }
    // Both are looked at in one round.
    assert_eq!(made(&mut session, 1).await, ["plain|0|t|0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_very_many_groups_takes_no_room_for_them() {
    let fixture = Fixture::new();
    let mut session = fixture.session();
    run(
        &mut session,
        "CREATE TABLE t AS SELECT n % 3 AS k, 'x' || n % 5 AS s, n FROM generate_series(1, 100) AS n",
    )
    .await
    .unwrap();
    for (limit, is_short) in [("2", true), ("1000000000", false), ("9223372036854775807", false)] {
        for (query, groups) in [
            ("SELECT DISTINCT s FROM t ORDER BY s", 5),
            ("SELECT k, max(n) FROM t GROUP BY k ORDER BY max(n) DESC", 3),
        ] {
            let rows = run(&mut session, &format!("{query} LIMIT {limit}")).await.unwrap();
            assert_eq!(rows.len(), if is_short { 2 } else { groups }, "{query} LIMIT {limit}");
            assert_eq!(rows, run(&mut session, query).await.unwrap()[..rows.len()]);
        }
    }
}
