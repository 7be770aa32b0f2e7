//! The Python package: made into a wheel, installed, and used by a program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::Command;

/// The library that cargo built beside this test.
fn library() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.with_file_name(format!("{}_lumadb{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX))
}

fn good(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{out}\n{err}");
    out.trim().to_owned()
}

#[test]
fn the_package_installs_and_a_program_uses_it() {
    let Some(python) = std::env::var_os("LUMA_PYTHON") else {
        println!("skipped: LUMA_PYTHON names no Python with pyarrow and pandas");
        return;
    };
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = tempfile::tempdir().unwrap();
    let (made, installed) = (directory.path().join("dist"), directory.path().join("installed"));
    let version = env!("CARGO_PKG_VERSION");
    let mut build = Command::new(&python);
    let wheel = good(build.arg(here.join("wheel.py")).arg(library()).arg(version).arg(&made));
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target"]);
    good(install.arg(&installed).arg(&wheel));
    let mut program = Command::new(&python);
    program.arg(here.join("tests/package.py")).arg(directory.path()).env("PYTHONPATH", &installed);
    assert_eq!(good(&mut program), "ok");
}
