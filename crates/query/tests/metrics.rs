//! SQL over metrics: what it gives is what the store and PromQL give.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;

use luma_model::{DataType, Value};
use luma_promql::{FloatHistogram, Options, Value as Answer, range};
use luma_telemetry::{Batch, Metrics, MetricsOptions};
use luma_vfs::RealDisk;
use support::{Fixture, run, run_with, state};

/// A Monday, at midnight.
const BEGIN: i64 = 1_704_067_200_000;
const STEP: i64 = 15_000;

/// What a counter of a host has at a place: it begins again now and then.
fn counted(host: u32, at: i64) -> f64 {
    (at % 50) as f64 * f64::from(host + 1) * 1.5
}

/// Three hosts' counters for an hour, a metric with a histogram, one with odd names; a part of it in files.
fn store(fixture: &Fixture) -> Arc<Metrics> {
    let options = MetricsOptions { out_of_order_window_ms: i64::MAX, ..MetricsOptions::default() };
    let store =
        Metrics::open(Arc::new(RealDisk), &fixture.directory.path().join("metrics"), options).unwrap();
    for half in 0..2 {
        let mut batch = Batch::default();
        for host in 0..3u32 {
            let (name, zone) = (format!("web-{host}"), ["a", "b", "a"][host as usize]);
            let labels = [("__name__", "requests_total"), ("host", &name), ("zone", zone)];
            let series = batch.series(labels.into_iter().filter(|(_, value)| *value != "b")).unwrap();
            for at in half * 120..half * 120 + 120 {
                batch.float(series, BEGIN + at * STEP, 0, counted(host, at));
            }
        }
        store.append(&batch).unwrap();
        if half == 0 {
            store.flush(i64::MAX).unwrap();
        }
    }
    let mut batch = Batch::default();
    let series = batch.series([("__name__", "latency"), ("ts", "label"), ("value", "label")]).unwrap();
    batch.float(series, BEGIN, 0, luma_promql::STALE_MARKER);
    let histogram = FloatHistogram { count: 3.0, sum: 7.5, zero_count: 3.0, ..FloatHistogram::default() };
    batch.histogram(series, BEGIN + STEP, 0, Arc::new(histogram));
    let long = format!("{}{}", "long_".repeat(14), "Name");
    let series = batch.series([("__name__", long.as_str())]).unwrap();
    batch.float(series, BEGIN, 0, 1.0);
    store.append(&batch).unwrap();
    let store = Arc::new(store);
    fixture.database.read_metrics(Arc::clone(&store));
    store
}

#[tokio::test]
async fn a_metric_is_a_table_of_its_labels_and_samples() {
    let fixture = Fixture::new();
    store(&fixture);
    let mut session = fixture.session();
    let all = run(&mut session, "SELECT * FROM metrics.requests_total ORDER BY host, ts").await.unwrap();
    assert_eq!(all.len(), 720);
    assert_eq!(all[1], "2024-01-01 00:00:15+00|1.5|NULL|web-0|a");
    assert_eq!(all[241], "2024-01-01 00:00:15+00|3|NULL|web-1|NULL");
    // Whatever is asked of labels and times is what filters keep of all.
    for (filter, host) in [
        ("host = 'web-1'", Some("web-1")),
        ("host IN ('web-1', 'web.1')", Some("web-1")),
        ("host LIKE '%-2'", Some("web-2")),
        ("zone IS NULL", Some("web-1")),
        ("zone IS NOT NULL AND host <> 'web-0'", Some("web-2")),
        ("host = 'web-1' OR host = 'none'", Some("web-1")),
        ("upper(host) = 'WEB-0'", Some("web-0")),
        ("host = 'none'", None),
    ] {
        let sql = format!(
            "SELECT ts, value, histogram, host, zone FROM metrics.requests_total WHERE {filter} ORDER BY ts"
        );
        let found = run(&mut session, &sql).await.unwrap();
        let expected: Vec<String> =
            all.iter().filter(|row| host.is_some_and(|host| row.contains(host))).cloned().collect();
        assert_eq!(found, expected, "{filter}");
    }
    let within = run(
        &mut session,
        "SELECT count(*), min(ts), max(ts) FROM metrics.requests_total
         WHERE ts >= '2024-01-01 00:10:00+00' AND ts < '2024-01-01 00:00:00+00'::timestamptz + interval '20 minutes'",
    );
    assert_eq!(within.await.unwrap(), ["120|2024-01-01 00:10:00+00|2024-01-01 00:19:45+00"]);
    let limited = run(&mut session, "SELECT value FROM metrics.requests_total LIMIT 7").await.unwrap();
    assert_eq!(limited.len(), 7);
    let plan = run(
        &mut session,
        "EXPLAIN SELECT value FROM metrics.requests_total
         WHERE host = 'web-1' AND ts > now() - interval '1 hour'",
    );
    let plan = plan.await.unwrap().join("\n");
    assert!(plan.contains(r#"series={host="web-1"}, ts>="#), "{plan}");
}

#[tokio::test]
async fn histograms_and_odd_names_are_there() {
    let fixture = Fixture::new();
    store(&fixture);
    let mut session = fixture.session();
    let rows = run(&mut session, "SELECT *, histogram->>'sum' FROM metrics.latency").await.unwrap();
    assert_eq!(
        rows,
        [
            r#"2024-01-01 00:00:15+00|NULL|{"sum": "7.5", "count": "3", "buckets": [[3, "-0", "0", "3"]]}|label|label|7.5"#
        ]
    );
    let names = run(
        &mut session,
        "SELECT column_name, data_type FROM information_schema.columns
         WHERE table_schema = 'metrics' AND table_name = 'latency' ORDER BY ordinal_position",
    );
    assert_eq!(
        names.await.unwrap(),
        [
            "ts|timestamp with time zone",
            "value|double precision",
            "histogram|jsonb",
            "label_ts|text",
            "label_value|text"
        ]
    );
    let long = format!("{}{}", "long_".repeat(14), "Name");
    for name in [long.as_str(), &long[..60]] {
        let sql = format!("SELECT value FROM metrics.\"{name}\"");
        assert_eq!(run(&mut session, &sql).await.unwrap(), ["1"], "{name}");
    }
    let tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'metrics' ORDER BY 1";
    assert_eq!(run(&mut session, tables).await.unwrap(), ["latency", long.as_str(), "requests_total"]);
    let stored = run(&mut session, "CREATE VIEW v AS SELECT * FROM metrics.latency").await.unwrap_err();
    assert_eq!(state(&stored), "0A000");
    let stored = "CREATE VIEW v AS SELECT ts, label_ts AS label FROM metrics.latency; SELECT label FROM v";
    assert_eq!(run(&mut session, stored).await.unwrap(), ["label"]);
    let missing = run(&mut session, "SELECT * FROM metrics.none").await.unwrap_err();
    assert_eq!(state(&missing), "42P01");
    for statement in [
        "INSERT INTO metrics.latency (ts) VALUES (now())",
        "DELETE FROM metrics.latency",
        "DROP TABLE metrics.latency",
    ] {
        assert!(run(&mut session, statement).await.is_err(), "{statement}");
    }
}

#[tokio::test]
async fn promql_gives_the_rows_of_its_answer() {
    let fixture = Fixture::new();
    let store = store(&fixture);
    let mut session = fixture.session();
    let query = "sum by (zone) (rate(requests_total[5m]))";
    let (start, end, step) = (BEGIN + 600_000, BEGIN + 1_800_000, 60_000);
    let answer = range(store.as_ref(), query, start, end, step, &Options::default()).unwrap().value;
    let Answer::Matrix(series) = answer else { panic!("{answer:?}") };
    let mut expected: Vec<String> = Vec::new();
    for series in &series {
        for point in &series.floats {
            expected.push(format!(
                "{}|{}|{}",
                point.t / 1000,
                series.labels.find("zone").unwrap_or("NULL"),
                point.v
            ));
        }
    }
    assert!(expected.len() > 40);
    let columns = "SELECT extract(epoch FROM ts)::bigint, labels->>'zone', value";
    let sql = format!(
        "{columns} FROM promql('{query}', '2024-01-01 00:10:00Z', '2024-01-01 00:30:00Z', '1 minute')
         ORDER BY labels::text, ts"
    );
    let mut found = run(&mut session, &sql).await.unwrap();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    // By parameters, and for rows of a table.
    let types = [Some(DataType::Text), Some(DataType::TimestampTz), Some(DataType::Interval)];
    let values = [
        Value::Text(query.to_owned()),
        Value::TimestampTz(start * 1000),
        Value::Interval(luma_model::Interval::new(0, 0, step * 1000)),
    ];
    let sql = format!("{columns} FROM promql($1, $2, $2 + interval '20 minutes', $3)");
    let mut found = run_with(&mut session, &sql, &types, &values).await.unwrap();
    found.sort();
    assert_eq!(found, expected);
    run(
        &mut session,
        "CREATE TABLE hosts (name text PRIMARY KEY); INSERT INTO hosts VALUES ('web-0'), ('web-2'), ('x')",
    )
    .await
    .unwrap();
    let joined = run(
        &mut session,
        "SELECT h.name, m.v FROM hosts h,
         LATERAL promql('requests_total{host=\"' || h.name || '\"}', '2024-01-01 00:00:15Z') AS m(t, v) ORDER BY 1",
    );
    assert_eq!(joined.await.unwrap(), ["web-0|1.5", "web-2|4.5"]);
    assert_eq!(run(&mut session, "SELECT value, labels FROM promql('1 + 1')").await.unwrap(), ["2|{}"]);
    for (sql, wanted) in [
        ("SELECT * FROM promql('sum(')", "22023"),
        ("SELECT * FROM promql('\"text\"')", "22023"),
        ("SELECT * FROM promql('up', now(), now(), '0 s')", "22023"),
        ("SELECT * FROM promql('up', now(), now())", "42883"),
    ] {
        assert_eq!(state(&run(&mut session, sql).await.unwrap_err()), wanted, "{sql}");
    }
}

#[tokio::test]
async fn buckets_and_rates_of_samples() {
    let fixture = Fixture::new();
    store(&fixture);
    let mut session = fixture.session();
    let sql = "SELECT host, time_bucket('10 minutes', ts) AS at, increase(value, ts), rate(value, ts), delta(value, ts)
               FROM metrics.requests_total GROUP BY 1, 2 ORDER BY 1, 2";
    let mut expected = Vec::new();
    for host in 0..3 {
        for bucket in 0..6 {
            let places = bucket * 40..bucket * 40 + 40;
            let values: Vec<f64> = places.map(|at| counted(host, at)).collect();
            let grown: f64 = values
                .windows(2)
                .map(|pair| if pair[1] < pair[0] { pair[1] } else { pair[1] - pair[0] })
                .sum();
            let delta = values[39] - values[0];
            expected.push(format!(
                "web-{host}|2024-01-01 00:{bucket}0:00+00|{grown}|{}|{delta}",
                grown / (39.0 * 15.0)
            ));
        }
    }
    assert_eq!(run(&mut session, sql).await.unwrap(), expected);
    assert_eq!(run(&mut session, "SELECT rate(1, now()::timestamp)").await.unwrap(), ["NULL"]);
    assert_eq!(state(&run(&mut session, "SELECT rate('a'::text, now())").await.unwrap_err()), "42883");
    for (call, wanted) in [
        ("time_bucket('1 week', '2024-01-03 05:00'::timestamp)", "2024-01-01 00:00:00"),
        ("time_bucket('5 minutes', '2024-01-03 05:07:30+00'::timestamptz)", "2024-01-03 05:05:00+00"),
        (
            "time_bucket('5 minutes', '2024-01-03 05:07:30'::timestamp, '2000-01-01 00:02'::timestamp)",
            "2024-01-03 05:07:00",
        ),
        ("time_bucket('3 months', '2024-06-30'::timestamp)", "2024-04-01 00:00:00"),
        ("time_bucket('1 year', '1999-12-31 23:59'::timestamp)", "1999-01-01 00:00:00"),
    ] {
        assert_eq!(run(&mut session, &format!("SELECT {call}")).await.unwrap(), [wanted], "{call}");
    }
    for call in
        ["time_bucket('1 month 1 day', now())", "time_bucket('0', now())", "time_bucket('-1 month', now())"]
    {
        assert!(run(&mut session, &format!("SELECT {call}")).await.is_err(), "{call}");
    }
}

#[tokio::test]
async fn a_database_without_metrics_says_so() {
    let fixture = Fixture::new();
    let mut session = fixture.session();
    assert_eq!(state(&run(&mut session, "SELECT * FROM promql('up')").await.unwrap_err()), "0A000");
    assert_eq!(state(&run(&mut session, "SELECT * FROM metrics.up").await.unwrap_err()), "42P01");
}
