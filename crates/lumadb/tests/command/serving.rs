use std::process::Command;

use crate::process::{Server, end, good, lumadb, run};

#[test]
fn the_first_start_makes_an_administrator_and_the_next_one_keeps_everything() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&mut lumadb(directory.path()));
    let url = server.url();
    let password = server.password.clone().unwrap();
    good(
        directory.path(),
        &["sql", &url, "-c", "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (7)"],
    );
    let wrong = url.replace(&password, "wrong");
    let refused = run(directory.path(), &["sql", &wrong, "-c", "SELECT 1"]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("password authentication failed"), "{}", refused.err);
    assert_eq!(server.stop(), 0);
    let mut server = Server::start(&mut lumadb(directory.path()));
    assert_eq!(server.password, None, "a password is made once");
    server.password = Some(password);
    let rows = good(directory.path(), &["sql", &server.url(), "--format", "csv", "-c", "SELECT * FROM t"]);
    assert_eq!(rows, "id\n7\n");
    // What was acknowledged survives a kill.
    good(directory.path(), &["sql", &server.url(), "-c", "INSERT INTO t VALUES (8)"]);
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    let rows = good(
        directory.path(),
        &["sql", "--data-dir", "data", "--format", "csv", "-c", "SELECT id FROM t ORDER BY id"],
    );
    assert_eq!(rows, "id\n7\n8\n");
}

#[test]
fn health_and_metrics_are_told_over_http() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::open(directory.path());
    good(directory.path(), &["sql", &server.url(), "-c", "SELECT 1"]);
    for path in ["/health", "/health/live", "/health/ready"] {
        assert_eq!(server.get(path).0, "HTTP/1.1 200 OK", "{path}");
    }
    let (_, metrics) = server.get("/metrics");
    for line in [
        "lumadb_active_connections ",
        "lumadb_statements_total ",
        "lumadb_query_duration_seconds_count{type=\"select\"} 1",
        "lumadb_storage_bytes{tier=\"hot\"} ",
        "lumadb_cache_hits_total ",
        "lumadb_syncs_total ",
        "process_resident_memory_bytes ",
    ] {
        assert!(metrics.contains(line), "{line} is missing in:\n{metrics}");
    }
    assert_eq!(server.get("/nothing").0, "HTTP/1.1 404 Not Found");
}

#[test]
fn a_second_server_on_one_directory_is_told_who_has_it() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::open(directory.path());
    let second = run(
        directory.path(),
        &["serve", "--postgres-port", "0", "--http-port", "0", "--prometheus-port", "0"],
    );
    assert_eq!(second.code, 1);
    assert!(second.err.contains(&server.child.id().to_string()), "{}", second.err);
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_directory_of_something_else_and_a_port_that_is_taken_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("data")).unwrap();
    std::fs::write(directory.path().join("data/letters.txt"), "dear").unwrap();
    let foreign = run(
        directory.path(),
        &["serve", "--postgres-port", "0", "--http-port", "0", "--prometheus-port", "0"],
    );
    assert_eq!(foreign.code, 1);
    assert!(foreign.err.contains("cannot open the database in ./data"), "{}", foreign.err);
    assert_eq!(std::fs::read(directory.path().join("data/letters.txt")).unwrap(), b"dear");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let taken = run(
        directory.path(),
        &[
            "serve",
            "--data-dir",
            "other",
            "--postgres-port",
            &port,
            "--http-port",
            "0",
            "--prometheus-port",
            "0",
        ],
    );
    assert_eq!(taken.code, 1);
    assert!(taken.err.contains("postgres.port") && taken.err.contains(&port), "{}", taken.err);
}

#[test]
fn an_open_server_does_not_listen_to_the_world() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = lumadb(directory.path());
    command.env("LUMADB_SECURITY_REQUIRE_AUTH", "false").args(["serve", "--listen", "0.0.0.0"]);
    let refused = end(&mut command);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("loopback"), "{}", refused.err);
    assert!(!directory.path().join("data").exists());
}

#[test]
fn two_signals_stop_a_server_whose_clients_do_not_leave() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Server::open(directory.path());
    let signal = |name: &str, id: u32| {
        assert!(Command::new("kill").args([name, &id.to_string()]).status().unwrap().success());
    };
    // A client in the middle of its first packet, so that the doors have something to wait for.
    let _client = std::net::TcpStream::connect(&server.postgres).unwrap();
    signal("-INT", server.child.id());
    signal("-INT", server.child.id());
    let code = server.child.wait().unwrap().code();
    assert!(code == Some(130) || code == Some(0), "{code:?}");
}
