//! Prints what it costs to get from a statement to its plan: processor time of the thread, without a socket.
//!
//! `cargo run --release -p lumadb --example planning [rounds]`
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use luma_model::{DataType, Value, ValueRef};
use luma_query::{Database, DatabaseOptions, Outcome, RowSink, Session, SessionOptions};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rows of the table: few enough to be in the cache.
const ROWS: u64 = 1000;

/// Counts rows, so that no statement is for nothing.
struct Count(u64);

impl RowSink for Count {
    fn row(&mut self, _values: &[ValueRef<'_>]) -> luma_model::Result<()> {
        self.0 += 1;
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
        if let Outcome::Rows(mut rows) = session.execute(&prepared, &[], None).await.unwrap() {
            while rows.next_batch().await.unwrap().is_some() {}
        }
        session.sync().await.unwrap();
    }
}

fn show(what: &str, rounds: u64, begun: f64) {
    println!("{what:<68} {:>8.2} µs", (computed_seconds() - begun) * 1e6 / rounds as f64);
}

fn main() {
    let rounds: u64 = std::env::args().nth(1).map_or(200_000, |text| text.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let engine = lightning::Database::open(directory.path(), lightning::Options::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let database = Database::open(engine, DatabaseOptions::default()).unwrap();
        let user =
            SessionOptions { user: "lumadb".into(), database: "lumadb".into(), ..SessionOptions::default() };
        let mut session = database.session(user).unwrap();
        run(&mut session, "CREATE TABLE points (id bigint PRIMARY KEY, note text)").await;
        let fill = format!(
            "INSERT INTO points SELECT n, 'note ' || n FROM generate_series(0, {}) AS s(n)",
            ROWS - 1
        );
        run(&mut session, &fill).await;
        let mut count = Count(0);

        let text = "SELECT note FROM points WHERE id = $1";
        let statement = session.parse_script(text).unwrap().remove(0);
        let prepared = session.prepare(statement, &[Some(DataType::Int8)]).await.unwrap();
        let begun = computed_seconds();
        for round in 0..rounds {
            let key = [Value::Int8((round % ROWS) as i64)];
            session.execute(&prepared, &key, Some(&mut count)).await.unwrap();
        }
        show("a prepared statement from its plan to its row, all of it", rounds, begun);
        assert_eq!(count.0, rounds);

        let begun = computed_seconds();
        for _ in 0..rounds {
            let statement = session.parse_script(text).unwrap().remove(0);
            let prepared = session.prepare(statement, &[Some(DataType::Int8)]).await.unwrap();
            assert!(prepared.columns().is_some());
        }
        show("a text with parameters, parsed and planned anew", rounds, begun);

        let begun = computed_seconds();
        for round in 0..rounds {
            let text = format!("SELECT note FROM points WHERE id = {}", round % ROWS);
            let statement = session.parse_script(&text).unwrap().remove(0);
            let prepared = session.prepare(statement, &[]).await.unwrap();
            assert!(prepared.columns().is_some());
        }
        show("a plain statement that names its row, parsed and planned", rounds, begun);

        let begun = computed_seconds();
        for round in 0..rounds {
            let text = format!("SELECT note FROM points WHERE id = {}", round % ROWS);
            let statement = session.parse_script(&text).unwrap().remove(0);
            let prepared = session.prepare(statement, &[]).await.unwrap();
            session.execute(&prepared, &[], Some(&mut count)).await.unwrap();
        }
        show("the same with its row", rounds, begun);
        assert_eq!(count.0, rounds * 2);
    });
}
