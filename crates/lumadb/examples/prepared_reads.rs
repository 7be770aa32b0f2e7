//! Prints how many single-row reads by key one thread makes through a prepared statement, without a
//! socket: what a statement costs beyond the engine's point read.
//!
//! `cargo run --release -p lumadb --example prepared_reads [rows]`
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::time::Instant;

use luma_model::{Value, ValueRef};
use luma_query::{Database, DatabaseOptions, Outcome, RowSink, Session, SessionOptions};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Counts rows and the bytes of their texts, so that no read is for nothing.
#[derive(Default)]
struct Count {
    rows: u64,
    bytes: u64,
}

impl RowSink for Count {
    fn row(&mut self, values: &[ValueRef<'_>]) -> luma_model::Result<()> {
        self.rows += 1;
        if let Some(ValueRef::Text(text)) = values.first() {
            self.bytes += text.len() as u64;
        }
        Ok(())
    }
}

/// Seconds this thread was on a processor: fair on a machine that others use too.
fn computed_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|first| first.parse::<f64>().ok());
    nanoseconds.unwrap_or_default() / 1e9
}

async fn run(session: &mut Session, sql: &str) {
    for statement in session.parse_script(sql).unwrap() {
        let prepared = session.prepare(statement, &[]).await.unwrap();
        let outcome = session.execute(&prepared, &[], None).await.unwrap();
        if let Outcome::Rows(mut rows) = outcome {
            while rows.next_batch().await.unwrap().is_some() {}
        }
        session.sync().await.unwrap();
    }
}

fn main() {
    let rows: u64 = std::env::args().nth(1).map_or(1_000_000, |text| text.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let options = lightning::Options { cache_bytes: 1 << 30, ..lightning::Options::default() };
    let engine = lightning::Database::open(directory.path(), options).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let database = Database::open(engine, DatabaseOptions::default()).unwrap();
        let user = SessionOptions { user: "lumadb".into(), database: "lumadb".into(), ..SessionOptions::default() };
        let mut session = database.session(user).unwrap();
        run(&mut session, "CREATE TABLE points (id bigint PRIMARY KEY, note text)").await;
        for first in (0..rows).step_by(100_000) {
            let last = (first + 100_000).min(rows) - 1;
            let insert = format!(
                "INSERT INTO points SELECT n, 'the note of row ' || n FROM generate_series({first}, {last}) AS s(n)"
            );
            run(&mut session, &insert).await;
        }
        run(&mut session, "CHECKPOINT").await;
        let statement = session.parse_script("SELECT note FROM points WHERE id = $1").unwrap().remove(0);
        let prepared = session.prepare(statement, &[]).await.unwrap();
        let mut count = Count::default();
        for round in ["first time", "cached"] {
            let (clock, computed) = (Instant::now(), computed_seconds());
            let mut seed = 1u64;
            for _ in 0..rows {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let key = [Value::Int8(((seed >> 20) % rows) as i64)];
                session.execute(&prepared, &key, Some(&mut count)).await.unwrap();
            }
            let (clock, computed) = (clock.elapsed().as_secs_f64(), computed_seconds() - computed);
            println!(
                "reads by key through a prepared statement, {round:<10} {:>11.0} /s {:>11.0} /s of thread time",
                rows as f64 / clock,
                rows as f64 / computed
            );
        }
        assert_eq!(count.rows, rows * 2);
        assert!(count.bytes > rows * 2 * 17);
    });
}
