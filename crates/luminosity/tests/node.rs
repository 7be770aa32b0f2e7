//! The npm package's tests, which also read sitemaps with the npm package `sitemap`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::Command;

fn runs(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

#[test]
fn the_npm_package_passes_its_tests() {
    if !runs("node", &["-e", "process.exit(Number(process.versions.node.split('.')[0]) >= 20 ? 0 : 1)"]) {
        eprintln!("skipped: there is no node of version 20 or later");
        return;
    }
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packages/luminosity");
    let tests: Vec<_> = std::fs::read_dir(package.join("test"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|file| file.to_string_lossy().ends_with(".test.js"))
        .collect();
    assert!(tests.len() >= 3);
    let output = Command::new("node")
        .arg("--test")
        .args(tests)
        .current_dir(package)
        .env("LUMINOSITY_BINARY", env!("CARGO_BIN_EXE_lux"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
