//! ANALYZE: what the planner wants to know about a table's values.
//!
//! Every row is counted; of large tables the values of one row in n are looked at, here and there. Distinct values
//! are estimated from the sample as Haas and Stokes do (their Duj1, which PostgreSQL uses too):
//! `n·d / (n − f1 + f1·n/N)` with `d` distinct values in a sample of `n` out of `N` rows, `f1` of
//! which were seen once.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use lightning::TransactionReader;
use luma_catalog::{ColumnStatistics, CommonValue, TableStatistics};
use luma_model::{Error, ErrorKind, KeyOrder, Result, TextContext, Value, format_text};

use crate::table::OpenTable;

/// Rows whose values are looked at, at most about this many.
const SAMPLE_ROWS: u64 = 30_000;
/// Frequent values of a column that are kept, and parts that the others are divided into; PostgreSQL's default.
const TARGET: usize = 100;
/// The same for all columns of a table together.
const TARGET_OF_TABLE: usize = 4_000;
/// Bytes of a value that is told from others by all of them, and may be kept.
const WIDE: usize = 512;

/// A value that was seen.
struct Seen {
    count: u64,
    /// What it is, if it may be kept.
    value: Option<Value>,
}

#[derive(Default)]
struct Sample {
    nulls: u64,
    bytes: u64,
    /// By the value as a part of a key.
    seen: HashMap<Vec<u8>, Seen>,
}

/// Reads the table as `reader` sees it and describes its columns; `go_on` is asked now and then.
///
/// # Errors
/// When rows cannot be read, and 57014 when it should not go on.
pub fn analyze(
    table: &Arc<OpenTable>,
    reader: &TransactionReader,
    approximate_rows: u64,
    go_on: &dyn Fn() -> bool,
) -> Result<TableStatistics> {
    let every = (approximate_rows / SAMPLE_ROWS).max(1);
    let mut samples: Vec<Sample> = table.columns().iter().map(|_| Sample::default()).collect();
    let mut sampled = 0u64;
    let rows = table.for_each_row(reader, every, &mut |values| {
        if !go_on() {
            return Err(Error::new(ErrorKind::QueryCanceled, "statistics are not wanted any more"));
        }
        sampled += 1;
        for (ordinal, (sample, value)) in samples.iter_mut().zip(values).enumerate() {
            sample.add(table, ordinal, value);
        }
        Ok(())
    })?;
    let target = (TARGET_OF_TABLE / samples.len().max(1)).clamp(TARGET / 10, TARGET);
    let columns = table.columns().iter().zip(samples).enumerate();
    let columns = columns
        .filter(|(_, (column, _))| !column.dropped)
        .map(|(ordinal, (column, sample))| {
            let text = |value: &Value| {
                let mut text = Vec::new();
                format_text(value.as_ref(), table.data_type(ordinal), &TextContext::default(), &mut text);
                String::from_utf8_lossy(&text).into_owned()
            };
            let there = sampled - sample.nulls;
            let rows_with_values = (rows as f64 * ratio(there, sampled)).round();
            let distinct = sample.distinct(there as f64, rows_with_values);
            let (null_fraction, average_width) = (ratio(sample.nulls, sampled), ratio(sample.bytes, there));
            let (common, bounds) = sample.distribution(sampled, rows, distinct, target, &text);
            ColumnStatistics {
                column: column.number,
                null_fraction,
                distinct: distinct.round() as u64,
                average_width,
                common,
                bounds,
            }
        })
        .collect();
    Ok(TableStatistics { row_count: rows, columns })
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

impl Sample {
    fn add(&mut self, table: &OpenTable, ordinal: usize, value: Value) {
        if matches!(value, Value::Null) {
            self.nulls += 1;
            return;
        }
        let mut bytes = Vec::new();
        luma_model::encode_row(&[value.as_ref()], &mut bytes);
        self.bytes += bytes.len() as u64;
        let mut key = Vec::new();
        let has_order = table.encode_part(ordinal, value.as_ref(), KeyOrder::default(), &mut key).is_ok();
        let kept = has_order && bytes.len() <= WIDE && key.len() <= 2 * WIDE;
        if !kept {
            // Told from others well enough, without keeping all of it.
            let mut hasher = DefaultHasher::new();
            bytes.hash(&mut hasher);
            key.clear();
            key.extend(hasher.finish().to_be_bytes());
        }
        let seen = self.seen.entry(key).or_insert_with(|| Seen { count: 0, value: kept.then_some(value) });
        seen.count += 1;
    }

    /// How many different values there are in that many rows, of which so many were sampled.
    fn distinct(&self, sampled: f64, rows: f64) -> f64 {
        let seen = self.seen.len() as f64;
        let once = self.seen.values().filter(|seen| seen.count == 1).count() as f64;
        if sampled == 0.0 {
            return 0.0;
        }
        let estimate = sampled * seen / (sampled - once + once * sampled / rows.max(sampled));
        estimate.clamp(seen, rows.max(seen))
    }

    /// The frequent values, and the bounds of equally large parts of the others.
    fn distribution(
        self,
        sampled: u64,
        rows: u64,
        distinct: f64,
        target: usize,
        text: &dyn Fn(&Value) -> String,
    ) -> (Vec<CommonValue>, Vec<String>) {
        let nulls = self.nulls;
        let everything = self.seen.len();
        let mut values: Vec<(Vec<u8>, u64, Value)> =
            self.seen.into_iter().filter_map(|(key, seen)| Some((key, seen.count, seen.value?))).collect();
        values.sort_unstable_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        // All of them are known, and each comes many times.
        let all = values.len() == everything
            && everything <= target
            && distinct.round() as usize <= everything
            && distinct <= rows as f64 / 10.0;
        let common = if all {
            values.len()
        } else {
            let counts: Vec<u64> = values.iter().take(target).map(|(_, count, _)| *count).collect();
            frequent(&counts, sampled, nulls, rows, distinct)
        };
        let mut others = values.split_off(common);
        let common = values
            .iter()
            .map(|(_, count, value)| CommonValue { text: text(value), share: ratio(*count, sampled) })
            .collect();
        others.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        (common, bounds(&others, target).into_iter().map(text).collect())
    }
}

/// How many of the values with these counts, the largest first, are clearly more frequent than what is left: by more than two
/// standard deviations of the hypergeometric distribution that a count in a sample has (as PostgreSQL's
/// `analyze_mcv_list` does since version 11).
fn frequent(counts: &[u64], sampled: u64, nulls: u64, rows: u64, distinct: f64) -> usize {
    let (sampled, rows) = (sampled as f64, (rows as f64).max(sampled as f64));
    let mut taken: f64 = counts.iter().map(|count| *count as f64).sum();
    let mut kept = counts.len();
    while let Some(last) = kept.checked_sub(1) {
        let count = counts[last] as f64;
        taken -= count;
        let left = (distinct - last as f64).max(1.0);
        let usual = ((sampled - nulls as f64 - taken) / left).max(0.0);
        let expected = rows * count / sampled;
        let variance = if rows > 1.0 {
            sampled * expected * (rows - expected) * (rows - sampled) / (rows * rows * (rows - 1.0))
        } else {
            0.0
        };
        if count > 1.0 && count > usual + 2.0 * variance.max(0.0).sqrt() + 0.5 {
            break;
        }
        kept = last;
    }
    kept
}

/// The bounds of at most `parts` equally large parts of ascending values with their counts.
fn bounds(values: &[(Vec<u8>, u64, Value)], parts: usize) -> Vec<&Value> {
    if values.len() < 2 {
        return Vec::new();
    }
    let total: u64 = values.iter().map(|(_, count, _)| count).sum();
    let bounds = (parts + 1).min(values.len());
    let mut found = Vec::with_capacity(bounds);
    let mut values = values.iter();
    let mut current = values.next();
    let mut before = 0;
    for bound in 0..bounds as u64 {
        let wanted = bound * (total - 1) / (bounds as u64 - 1);
        while let Some((_, count, _)) = current
            && before + count <= wanted
        {
            before += count;
            current = values.next();
        }
        found.extend(current.map(|(_, _, value)| value));
    }
    found
}

#[cfg(test)]
#[allow(clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn frequent_values_are_those_that_stand_out() {
        // 1,000 of 10,000 rows with 3 values that stand out among some hundreds.
        assert_eq!(frequent(&[300, 200, 100, 2, 2, 1, 1], 1000, 0, 10_000, 500.0), 3);
        // All values were seen equally often.
        assert_eq!(frequent(&[2; 100], 1000, 0, 1000, 500.0), 0);
        // Twice by chance, of very many.
        assert_eq!(frequent(&[2, 2, 2], 1000, 0, 1_000_000, 100_000.0), 0);
        assert_eq!(frequent(&[], 0, 0, 0, 0.0), 0);
    }

    #[test]
    fn bounds_divide_into_equal_parts() {
        let value = |number: i32, count| (number.to_be_bytes().to_vec(), count, Value::Int4(number));
        let shown = |values: &[_], parts| {
            bounds(values, parts)
                .into_iter()
                .map(|value| match value {
                    Value::Int4(number) => *number,
                    other => panic!("{other:?}"),
                })
                .collect::<Vec<_>>()
        };
        let even: Vec<_> = (0..101).map(|number| value(number, 1)).collect();
        assert_eq!(shown(&even, 4), [0, 25, 50, 75, 100]);
        // Half of them are one value.
        let uneven: Vec<_> = (0..10).map(|number| value(number, if number == 3 { 9 } else { 1 })).collect();
        assert_eq!(shown(&uneven, 4), [0, 3, 3, 4, 9]);
        assert_eq!(shown(&even[..1], 4), [0i32; 0]);
        assert_eq!(shown(&even[..2], 4), [0, 1]);
    }
}
