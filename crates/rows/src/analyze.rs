//! ANALYZE: what the planner wants to know about a table's values.
//!
//! Every row is counted; of large tables the values of one row in n are looked at, here and there. Distinct values
//! are estimated from the sample as Haas and Stokes do (their Duj1, which PostgreSQL uses too):
//! `n·d / (n − f1 + f1·n/N)` with `d` distinct values in a sample of `n` out of `N` rows, `f1` of
//! which were seen once.

use std::collections::HashMap;
use std::sync::Arc;

use lightning::TransactionReader;
use luma_catalog::{ColumnStatistics, TableStatistics};
use luma_model::{Result, Value};

use crate::table::OpenTable;

/// Rows whose values are looked at, at most about this many.
const SAMPLE_ROWS: u64 = 30_000;

#[derive(Default)]
struct Sample {
    nulls: u64,
    bytes: u64,
    seen: HashMap<Vec<u8>, u64>,
}

/// Reads the table as `reader` sees it and describes its columns.
pub fn analyze(
    table: &Arc<OpenTable>,
    reader: &TransactionReader,
    approximate_rows: u64,
) -> Result<TableStatistics> {
    let every = (approximate_rows / SAMPLE_ROWS).max(1);
    let mut samples: Vec<Sample> = table.columns().iter().map(|_| Sample::default()).collect();
    let mut sampled = 0u64;
    let rows = table.for_each_row(reader, every, &mut |values| {
        sampled += 1;
        for (sample, value) in samples.iter_mut().zip(values) {
            add(sample, &value);
        }
        Ok(())
    })?;
    let columns = table
        .columns()
        .iter()
        .zip(&samples)
        .filter(|(column, _)| !column.dropped)
        .map(|(column, sample)| ColumnStatistics {
            column: column.number,
            null_fraction: ratio(sample.nulls, sampled),
            distinct: distinct(sample, sampled - sample.nulls, rows),
            average_width: ratio(sample.bytes, sampled - sample.nulls),
        })
        .collect();
    Ok(TableStatistics { row_count: rows, columns })
}

fn add(sample: &mut Sample, value: &Value) {
    let mut bytes = Vec::new();
    if matches!(value, Value::Null) {
        sample.nulls += 1;
        return;
    }
    luma_model::encode_row(&[value.as_ref()], &mut bytes);
    sample.bytes += bytes.len() as u64;
    *sample.seen.entry(bytes).or_default() += 1;
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn distinct(sample: &Sample, sampled: u64, rows: u64) -> u64 {
    let seen = sample.seen.len() as f64;
    let once = sample.seen.values().filter(|count| **count == 1).count() as f64;
    let (sampled, rows) = (sampled as f64, rows as f64);
    if sampled == 0.0 {
        return 0;
    }
    let estimate = sampled * seen / (sampled - once + once * sampled / rows.max(sampled));
    estimate.clamp(seen, rows.max(seen)).round() as u64
}
