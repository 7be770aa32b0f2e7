//! `lumadb stats`: what the database holds and, of a directory, how it is stored.

use clap::Args;
use serde_json::json;

use crate::Failure;
use crate::client::{Row, block_on, open};
use crate::command::Target;
use crate::config::{Config, format_bytes};

/// What `lumadb stats` takes.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Tables with about how many rows they have.
const TABLES: &str = "SELECT n.nspname, c.relname, c.reltuples::bigint \
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'lumadb_import') ORDER BY 1, 2";

/// Runs the command.
pub(crate) fn run(config: &Config, arguments: Arguments) -> Result<(), Failure> {
    let database = open(config, &arguments.target)?;
    let rows = block_on(async { database.connect().await?.rows(TABLES).await })?;
    let engine = database.local().map(|local| local.engine().stats());
    database.close()?;
    if arguments.json {
        let tables: Vec<_> = rows
            .iter()
            .map(|row| json!({ "schema": row.get(0), "name": row.get(1), "approximate_rows": count(row) }))
            .collect();
        let mut all = json!({ "tables": tables });
        if let Some(stats) = &engine {
            all["storage"] = json!({
                "table_bytes": stats.keyspaces.iter().map(|keyspace| keyspace.disk_bytes).sum::<u64>(),
                "log_bytes": stats.wal_bytes,
                "memtable_bytes": stats.memtable_bytes,
                "keyspaces": stats.keyspaces.len(),
                "failure": stats.failure,
            });
        }
        println!("{all:#}");
        return Ok(());
    }
    let width = rows.iter().map(|row| name(row).len()).max().unwrap_or_default();
    for row in &rows {
        println!("{:width$}  about {} rows", name(row), count(row));
    }
    if rows.is_empty() {
        println!("no tables");
    }
    if let Some(stats) = engine {
        let disk = stats.keyspaces.iter().map(|keyspace| keyspace.disk_bytes).sum();
        println!("stored in files: {}, in the log: {}", format_bytes(disk), format_bytes(stats.wal_bytes));
        if let Some(failure) = stats.failure {
            println!("writes are stopped: {failure}");
        }
    }
    Ok(())
}

fn name(row: &Row) -> String {
    format!("{}.{}", row.get(0).unwrap_or_default(), row.get(1).unwrap_or_default())
}

/// Rows of a table; 0 where they were never counted.
fn count(row: &Row) -> u64 {
    row.get(2).and_then(|text| text.parse().ok()).unwrap_or_default()
}
