//! The 22 queries of TPC-H on columnar tables give DuckDB's answers, on 86,805 rows of another's generator.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::path::Path;
use std::process::Command;

#[test]
fn all_queries_give_the_answers_of_duckdb() {
    let Some(python) = std::env::var_os("LUMA_PYTHON") else {
        eprintln!("no LUMA_PYTHON: TPC-H is skipped");
        return;
    };
    let generator = Path::new(&python).with_file_name("tpchgen-cli");
    if !generator.exists() {
        eprintln!("no {}: TPC-H is skipped", generator.display());
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bench/tpch/run");
    let ran = Command::new(python)
        .arg(script)
        .args([env!("CARGO_BIN_EXE_lumadb"), "--scale", "0.01", "--check"])
        .output()
        .expect("the script starts");
    let shown = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{shown}{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(shown.matches(", the same").count(), 22, "{shown}");
}
