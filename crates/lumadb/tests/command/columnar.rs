//! Columnar tables from the command line: imported, read by other tools, verified.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{good, run};

/// Sums and texts by another's reader.
const QUERY: &str = r#"
import sys
import duckdb, pyarrow.parquet
path = sys.argv[1]
print(duckdb.sql(f'''SELECT count(*), sum(id), min(name), max("at"), sum(price) FROM '{path}' ''').fetchall()[0])
file = pyarrow.parquet.ParquetFile(path)
assert file.read().num_rows == file.metadata.num_rows
assert file.metadata.row_group(0).column(0).has_column_index
"#;

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory.join("data/columns")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn what_is_imported_is_in_files_that_other_tools_read_and_verification_checks() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("data")).unwrap();
    let row = |id| format!("{id},name {},2026-01-{:02} 10:00:00,{}.25\n", id % 77, id % 28 + 1, id % 100);
    let rows: Vec<String> = (0..30_000).map(row).collect();
    let rows = rows.concat();
    std::fs::write(directory.path().join("sales.csv"), format!("id,name,at,price\n{rows}")).unwrap();
    let sql = |statement: &str| good(directory.path(), &["sql", "--data-dir", "data", "-c", statement]);
    let import = ["import", "--data-dir", "data", "sales", "sales.csv", "--create", "--engine", "columnar"];
    good(directory.path(), &import);
    sql("VACUUM sales");
    let described = sql("SELECT reloptions FROM pg_class WHERE relname = 'sales'");
    assert!(described.contains("engine=columnar"), "{described}");
    let found = files(directory.path());
    let [file] = found.as_slice() else { panic!("one file after VACUUM: {found:?}") };
    if let Some(python) = std::env::var_os("LUMA_PYTHON") {
        let read = Command::new(python).args(["-c", QUERY]).arg(file).output().unwrap();
        assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
        let shown = String::from_utf8(read.stdout).unwrap();
        assert!(
            shown.starts_with("(30000, 449985000, 'name 0', datetime.datetime(2026, 1, 28, 10, 0"),
            "{shown}"
        );
    } else {
        eprintln!("no LUMA_PYTHON: other tools' readings are skipped");
    }
    let verified = good(directory.path(), &["verify", "--data-dir", "data"]);
    assert!(verified.contains("good: 30000 rows in 1 files of columns"), "{verified}");
    let mut bytes = std::fs::read(file).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(file, bytes).unwrap();
    let damaged = run(directory.path(), &["verify", "--data-dir", "data"]);
    assert_ne!(damaged.code, 0);
    let name = file.file_name().unwrap().to_string_lossy();
    assert!(damaged.err.contains(&*name) && damaged.err.contains("is damaged"), "{}", damaged.err);
}
