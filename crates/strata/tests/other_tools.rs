//! Other people's tools read our files: DuckDB and PyArrow see the samples that were written.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "table/world.rs"]
mod world;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use lightning::{Database, Options};
use luma_strata::{Change, Run, Table, TableOptions};
use luma_vfs::RealDisk;

/// What the formula of `FORMAT.md` gives, by another's reader; a number as its bits, a payload in hexadecimal.
const QUERY: &str = r#"
import struct, sys
import duckdb, pyarrow.parquet
path = sys.argv[1]
rows = duckdb.sql(f"""
    SELECT series, epoch_ms(ts), coalesce(value, (mantissa - coalesce(base, 0)) / pow(10, scale) + coalesce(residual, 0)), epoch_ms("start"), payload,
           json_extract_string(labels, '$.host')
    FROM '{path}' ORDER BY 1, 2
""").fetchall()
for series, t, value, start, payload, host in rows:
    assert host == str(series), host
    shown = payload.hex() if payload is not None else struct.pack('>d', value).hex()
    print(series, t, shown, start or 0)
file = pyarrow.parquet.ParquetFile(path)
table = file.read()
assert table.num_rows == len(rows) and table['ts'].type.tz == 'UTC', table.schema
metadata = file.metadata.row_group(0)
assert metadata.column(0).has_offset_index and metadata.column(0).has_column_index
assert [column.column_index for column in metadata.sorting_columns] == [0, 1]
print(*metadata.column(3).encodings, file=sys.stderr)
"#;

#[test]
fn duckdb_and_pyarrow_read_every_sample() {
    let Some(python) = std::env::var_os("LUMA_PYTHON") else {
        println!("skipped: LUMA_PYTHON names no Python with duckdb and pyarrow");
        return;
    };
    let tools = Command::new(&python).args(["-c", "import duckdb, pyarrow"]).output().unwrap();
    if !tools.status.success() {
        println!("skipped: {} has no duckdb or no pyarrow", Path::new(&python).display());
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(directory.path().join("manifest"), Options::default()).unwrap();
    let files = directory.path().join("files");
    let table = Table::open(Arc::new(RealDisk), &files, &database, "m", TableOptions::default()).unwrap();
    // Files of which one has counters and whatever numbers may be, the other noise, whose mantissas get another encoding.
    for (series, encoding) in [(0..50u32, "DELTA_BINARY_PACKED"), (50..70, "BYTE_STREAM_SPLIT")] {
        let (path, expected) = written(&table, series);
        let output = Command::new(&python).args(["-c", QUERY]).arg(&path).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let encodings = String::from_utf8_lossy(&output.stderr);
        assert!(encodings.contains(encoding), "{encodings}");
        let found = String::from_utf8(output.stdout).unwrap();
        for (found, expected) in found.lines().zip(expected.lines()) {
            assert_eq!(found, expected);
        }
        assert_eq!(found.lines().count(), expected.lines().count());
    }
}

/// A number of a series.
fn value(series: u32, at: i64) -> f64 {
    if series >= 50 {
        return (at * at % 31 * 1_000_003) as f64 * 0.001;
    }
    match series % 5 {
        0 => at as f64,
        // Some of them with what arithmetic leaves in last digits.
        1 if at % 4 == 0 => (at * 7919 % 100_003) as f64 * 0.01,
        1 => (at * 7919 % 100_003) as f64 / 100.0,
        2 => (at as f64).sqrt(),
        3 if at % 3 == 0 => f64::NAN,
        3 => -0.0,
        _ => f64::from_bits(0x7ff0_0000_0000_0002),
    }
}

/// Writes a file of series; gives its path and what is in it.
fn written(table: &Table, series: std::ops::Range<u32>) -> (PathBuf, String) {
    let mut file = table.new_file().unwrap();
    let mut expected = String::new();
    for series in series {
        let mut run = Run { series, ..Run::default() };
        for at in 0..2000i64 {
            let (t, start) =
                (1_700_000_000_000 + at * 15_000, if series % 3 == 0 { 1_600_000_000_000 } else { 0 });
            let shown = if series % 7 == 6 && at % 2 == 0 {
                let payload = vec![series as u8, at as u8];
                run.push_payload(t, start, payload);
                format!("{:02x}{:02x}", series as u8, at as u8)
            } else {
                run.push_value(t, start, value(series, at));
                format!("{:016x}", value(series, at).to_bits())
            };
            expected.push_str(&format!("{series} {t} {shown} {start}\n"));
        }
        file.push(&world::labels(series), &run).unwrap();
    }
    let add = vec![file.finish().unwrap().unwrap()];
    table.commit(Change { add, ..Change::default() }, |_| Ok(())).unwrap();
    (table.snapshot().paths().last().unwrap().to_owned(), expected)
}
