//! Sources in SQL, asked over PostgreSQL's protocol: of a PostgreSQL 15, and of LumaDB where its program was
//! built beside this one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use luminosity::{Engine, Entry, Settings, SourceConfig};

/// A server that ends with the test.
struct Server {
    process: Child,
    url: String,
    _directory: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// PostgreSQL refuses to run as root; its package brings a user.
fn owner(directory: &Path) -> Option<(u32, u32)> {
    if directory.metadata().unwrap().uid() != 0 {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let fields =
        users.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|f| f[0] == "postgres")?;
    Some((fields[2].parse().unwrap(), fields[3].parse().unwrap()))
}

fn postgres() -> Option<Server> {
    let programs = PathBuf::from("/usr/lib/postgresql/15/bin");
    if !programs.join("initdb").exists() {
        eprintln!("skipped: there is no PostgreSQL 15 server (Debian's package: postgresql)");
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    let user = owner(directory.path());
    if let Some((uid, gid)) = user {
        chown(directory.path(), Some(uid), Some(gid)).unwrap();
    }
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let command = |name: &str| {
        let mut command = Command::new(programs.join(name));
        command.current_dir(directory.path()).env("LC_ALL", "C").stdout(Stdio::null()).stderr(Stdio::null());
        if let Some((uid, gid)) = user {
            command.uid(uid).gid(gid);
        }
        command
    };
    let made =
        command("initdb").args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "-N", "-D", "data"]).status();
    assert!(made.unwrap().success());
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let process = command("postgres")
        .args(["-D", "data", "-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"])
        .args(["-c", "unix_socket_directories=", "-c", "timezone=UTC"])
        .spawn()
        .unwrap();
    let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
    Some(Server { process, url, _directory: directory })
}

fn lumadb() -> Option<Server> {
    let program = Path::new(env!("CARGO_BIN_EXE_lux")).with_file_name("lumadb");
    if !program.exists() {
        eprintln!("skipped: lumadb was not built beside lux");
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut process = Command::new(program)
        .args(["serve", "--postgres-port", "0", "--http-port", "0", "--prometheus-port", "0", "--data-dir"])
        .arg(directory.path())
        .env("LUMADB_SECURITY_REQUIRE_AUTH", "false")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
    let address = lines.find_map(|line| line.strip_prefix("postgres ").map(str::to_owned)).unwrap();
    // It goes on to write there.
    std::thread::spawn(move || lines.for_each(drop));
    Some(Server { process, url: format!("postgres://lumadb@{address}/lumadb"), _directory: directory })
}

/// Runs statements, once the server takes them.
fn run(url: &str, statements: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let deadline = Instant::now() + Duration::from_mins(1);
        let (client, connection) = loop {
            match tokio_postgres::connect(url, tokio_postgres::NoTls).await {
                Ok(found) => break found,
                Err(error) => assert!(Instant::now() < deadline, "{url}: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        tokio::spawn(connection);
        client.batch_execute(statements).await.unwrap();
    });
}

fn source(url: &str, query: &str) -> SourceConfig {
    serde_json::from_value(serde_json::json!({
        "type": "sql", "url": url, "query": query,
        "map": { "url": "/products/{slug}?id={id}", "lastmod": "changed", "priority": "weight", "changefreq": "freq" },
    }))
    .unwrap()
}

fn rows_become_entries(server: &Server) {
    run(
        &server.url,
        "CREATE TABLE products (id bigint PRIMARY KEY, slug text NOT NULL, changed timestamptz, weight numeric(2,1), freq text);
         INSERT INTO products VALUES (1, 'a&b', '2026-11-21 10:00:00+02', 0.5, 'daily'), (2, 'ü', NULL, NULL, NULL),
             (3, 'bad', NULL, 7.5, NULL)",
    );
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::open(directory.path(), Settings::new("https://example.com")).unwrap();
    let all = source(&server.url, "SELECT id, slug, changed, weight, freq FROM products ORDER BY id");
    let refreshed = engine.refresh(std::slice::from_ref(&all), &mut |_| {}).unwrap();
    assert_eq!((refreshed.summary.added, refreshed.summary.rejected), (2, 1), "{refreshed:?}");
    assert!(
        refreshed.failed.is_empty() && refreshed.summary.rejects[0].reason.contains("7.5"),
        "{refreshed:?}"
    );
    let json = |url: &str| serde_json::to_string(&engine.get(url).unwrap().unwrap()).unwrap();
    assert_eq!(
        json("/products/a&b?id=1"),
        r#"{"url":"https://example.com/products/a&b?id=1","lastmod":"2026-11-21T08:00:00Z","changefreq":"daily","priority":0.5}"#
    );
    assert_eq!(json("/products/ü?id=2"), r#"{"url":"https://example.com/products/%C3%BC?id=2"}"#);
    engine.add(Entry::new("/by-hand")).unwrap();
    run(
        &server.url,
        "DELETE FROM products WHERE id = 1; INSERT INTO products (id, slug) SELECT n, 'p' || n FROM generate_series(10, 5009) n",
    );
    let refreshed = engine.refresh(&[all], &mut |_| {}).unwrap();
    assert_eq!((refreshed.summary.added, refreshed.summary.removed), (5000, 1), "{refreshed:?}");
    assert!(engine.get("/by-hand").unwrap().is_some());
    let wrong = source(&server.url, "SELECT slug FROM nowhere");
    let refreshed = engine.refresh(&[wrong], &mut |_| {}).unwrap();
    assert!(refreshed.failed[0].contains("nowhere"), "{refreshed:?}");
    assert_eq!(engine.stats().unwrap().urls, 5002, "a query that fails removes nothing");
}

#[test]
fn rows_of_postgresql_become_entries_and_go_with_their_rows() {
    if let Some(server) = postgres() {
        rows_become_entries(&server);
    }
}

#[test]
fn rows_of_lumadb_become_entries_and_go_with_their_rows() {
    if let Some(server) = lumadb() {
        rows_become_entries(&server);
    }
}
