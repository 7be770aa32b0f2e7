//! Clients that people have, each as a process of its own, against a server of its own.
//!
//! A script does what its client's own suite does on the happy path, and asserts what PostgreSQL 15
//! answers; each of them passes on a PostgreSQL 15 as it is. `.ci/run` brings the clients; where one
//! is missing its test says so and skips, except in CI. `docs/clients.md` is the list of what passes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod encrypted;
mod tokio_postgres_client;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A running server that lets everyone in.
pub(crate) struct Server {
    process: Child,
    address: String,
    /// The administrator's, where clients prove who they are.
    pub(crate) password: String,
    directory: tempfile::TempDir,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(settings: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_lumadb"))
            .args([
                "serve",
                "--postgres-port",
                "0",
                "--http-port",
                "0",
                "--prometheus-port",
                "0",
                "--data-dir",
            ])
            .arg(directory.path().join("data"))
            .current_dir(directory.path())
            .env("LUMADB_SECURITY_REQUIRE_AUTH", "false")
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (mut address, mut password) = (String::new(), String::new());
        for line in BufReader::new(process.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            if let Some(found) = line.strip_prefix("postgres ") {
                found.clone_into(&mut address);
            }
            if let Some(found) = line.strip_prefix("password for lumadb: ") {
                found.clone_into(&mut password);
            }
            if line == "ready" {
                return Self { process, address, password, directory };
            }
        }
        panic!("the server ended before it was ready: {:?}", process.wait());
    }

    pub(crate) fn port(&self) -> &str {
        self.address.rsplit_once(':').unwrap().1
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://lumadb@{}/lumadb", self.address)
    }

    /// A folder for what a client writes.
    fn scratch(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where Debian's package has the driver.
pub(crate) const JDBC: &str = "/usr/share/java/postgresql.jar";

pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

pub(crate) fn skip(reason: &str) {
    assert!(std::env::var_os("CI").is_none(), "{reason}");
    eprintln!("skipped: {reason}");
}

/// Runs a client to its end, which must be a good one.
pub(crate) fn pass(command: &mut Command) {
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{out}\n{err}");
    eprintln!("{}", out.trim());
}

/// Runs a script in Python that needs these modules.
fn python(name: &str, modules: &str) {
    let python = std::env::var("LUMA_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let probe = Command::new(&python).args(["-c", &format!("import {modules}")]).output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        return skip(&format!("{python} can't import {modules}; LUMA_PYTHON names one that can"));
    }
    let server = Server::start();
    pass(Command::new(python).arg(script(name)).arg(server.url()).current_dir(server.scratch()));
}

#[test]
fn psycopg_works() {
    python("psycopg3.py", "psycopg");
}

#[test]
fn asyncpg_works() {
    python("asyncpg_client.py", "asyncpg");
}

#[test]
fn sqlalchemy_and_alembic_work() {
    python("sqlalchemy_alembic.py", "sqlalchemy.ext.asyncio, alembic, psycopg, psycopg2, asyncpg");
}

#[test]
fn django_works() {
    python("django_orm.py", "django, psycopg");
}

#[test]
fn pandas_works() {
    python("pandas_frames.py", "pandas, sqlalchemy, psycopg");
}

#[test]
fn what_grafana_sends_is_answered() {
    python("grafana.py", "psycopg");
}

#[test]
fn what_pgadmin_sends_is_answered() {
    python("pgadmin.py", "psycopg");
}

#[test]
fn node_postgres_works() {
    let Some(modules) =
        std::env::var_os("LUMA_NODE_MODULES").filter(|path| Path::new(path).join("pg").exists())
    else {
        return skip("LUMA_NODE_MODULES names no folder with the package pg");
    };
    let server = Server::start();
    let script = script("node_postgres.cjs");
    pass(Command::new("node").env("NODE_PATH", modules).arg(script).arg(server.url()));
}

#[test]
fn sqlx_works() {
    let Some(client) = std::env::var_os("LUMA_SQLX").filter(|path| Path::new(path).exists()) else {
        return skip("LUMA_SQLX names no program built from tests/clients/sqlx");
    };
    let server = Server::start();
    pass(Command::new(client).arg(server.url()));
}

#[test]
fn jdbc_works() {
    let driver = Path::new(JDBC);
    if !driver.exists() || Command::new("javac").arg("-version").output().is_err() {
        return skip("there is no JDK, or no JDBC driver (Debian's libpostgresql-jdbc-java)");
    }
    let server = Server::start();
    let url = format!("jdbc:postgresql://{}/lumadb?user=lumadb", server.address);
    pass(Command::new("java").arg("-cp").arg(driver).arg(script("Jdbc.java")).arg(url));
}
