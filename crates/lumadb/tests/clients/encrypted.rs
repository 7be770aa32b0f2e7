//! Clients that only talk through TLS, to a server whose certificate they know.

use std::path::Path;
use std::process::Command;

use crate::{JDBC, Server, pass, script, skip};

/// A certificate for `localhost` and its key in a directory; whether OpenSSL is there to make them.
fn certificate(directory: &Path, name: &str) -> bool {
    let made = Command::new("openssl")
        .current_dir(directory)
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")])
        .output();
    made.is_ok_and(|made| made.status.success())
}

fn psql(server: &Server, options: &str, sql: &str) -> Result<String, String> {
    let target = format!(
        "host=localhost hostaddr=127.0.0.1 port={} user=lumadb dbname=lumadb password='{}' {options}",
        server.port(),
        server.password
    );
    let output = Command::new("psql").args(["-X", "-A", "-t", "-c", sql, &target]).output().unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    if output.status.success() { Ok(out) } else { Err(err) }
}

#[test]
fn clients_that_want_tls_get_it_and_others_need_not() {
    let directory = tempfile::tempdir().unwrap();
    let has_psql = Command::new("psql").arg("--version").output().is_ok();
    if !has_psql || !certificate(directory.path(), "own") || !certificate(directory.path(), "other") {
        return skip("there is no psql or no openssl");
    }
    let file = |name: &str| directory.path().join(name).display().to_string();
    let (certificate, key) = (file("own.pem"), file("own.key"));
    let server = Server::start_with(&[
        ("LUMADB_SECURITY_REQUIRE_AUTH", "true"),
        ("LUMADB_POSTGRES_TLS_CERTIFICATE", &certificate),
        ("LUMADB_POSTGRES_TLS_KEY", &key),
    ]);
    let verified = format!("sslmode=verify-full sslrootcert={certificate}");
    // More than the buffers on the way hold.
    let rows = psql(&server, &verified, "SELECT repeat('x', 1000) FROM generate_series(1, 5000)").unwrap();
    assert_eq!(rows.lines().filter(|row| row.len() == 1000).count(), 5000);
    assert_eq!(psql(&server, "sslmode=require", "SELECT 1").unwrap(), "1\n");
    assert_eq!(psql(&server, "sslmode=disable", "SELECT 1").unwrap(), "1\n");
    let wrong = psql(&server, &format!("sslmode=verify-ca sslrootcert={}", file("other.pem")), "SELECT 1");
    assert!(wrong.unwrap_err().contains("certificate verify failed"));
    let refused = psql(&server, "sslmode=require user=nobody", "SELECT 1").unwrap_err();
    assert!(refused.contains("password authentication failed"), "{refused}");
    if Path::new(JDBC).exists() {
        let url = format!(
            "jdbc:postgresql://localhost:{}/lumadb?user=lumadb&password={}&sslmode=verify-full&sslrootcert={certificate}",
            server.port(),
            server.password
        );
        pass(Command::new("java").args(["-cp", JDBC]).arg(script("Jdbc.java")).arg(url));
    }
}

#[test]
fn a_server_without_a_certificate_says_no_and_one_with_a_wrong_key_does_not_start() {
    let directory = tempfile::tempdir().unwrap();
    if !certificate(directory.path(), "own") || !certificate(directory.path(), "other") {
        return skip("there is no openssl");
    }
    let server = Server::start();
    let refused = psql(&server, "sslmode=require", "SELECT 1").unwrap_err();
    assert!(refused.contains("server does not support SSL"), "{refused}");
    let file = |name: &str| directory.path().join(name);
    let ended = Command::new(env!("CARGO_BIN_EXE_lumadb"))
        .args(["serve", "--postgres-port", "0", "--http-port", "0", "--prometheus-port", "0", "--data-dir"])
        .arg(file("data"))
        .env("LUMADB_POSTGRES_TLS_CERTIFICATE", file("own.pem"))
        .env("LUMADB_POSTGRES_TLS_KEY", file("other.key"))
        .output()
        .unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(!ended.status.success() && said.contains("other.key"), "{said}");
}
