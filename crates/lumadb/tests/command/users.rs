use std::io::Write;
use std::process::Stdio;

use crate::process::{Server, good, lumadb, run};

#[test]
fn users_are_made_changed_listed_and_dropped() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("data")).unwrap();
    let user = |arguments: &[&str]| run(directory.path(), &[&["user"], arguments].concat());
    let made = user(&["create", "boss", "--admin"]);
    assert_eq!(made.code, 0, "{}", made.err);
    let password = made.out.trim().strip_prefix("password for boss: ").unwrap().to_owned();
    assert_eq!(user(&["create", "boss"]).code, 1);
    let mut child = lumadb(directory.path())
        .args(["user", "create", "reader", "--password-stdin"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all("gehëim\n".as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(user(&["list"]).out, "boss (administrator)\nreader\n");
    let server = Server::start(&mut lumadb(directory.path()));
    assert_eq!(server.password, None, "there is an administrator");
    let url = |user: &str, password: &str| format!("postgres://{user}:{password}@{}/lumadb", server.postgres);
    good(directory.path(), &["sql", &url("boss", &password), "-c", "SELECT 1"]);
    good(directory.path(), &["sql", &url("reader", "geh%C3%ABim"), "-c", "SELECT 1"]);
    assert_eq!(run(directory.path(), &["sql", &url("reader", "geheim"), "-c", "SELECT 1"]).code, 1);
    assert_eq!(user(&["list"]).code, 1, "the server has the directory");
    assert_eq!(server.stop(), 0);
    assert_eq!(user(&["drop", "reader"]).code, 0);
    assert_eq!(user(&["drop", "reader"]).code, 1);
    assert_eq!(user(&["passwd", "reader"]).code, 1);
    let refused = user(&["drop", "boss"]);
    assert!(refused.err.contains("last administrator"), "{}", refused.err);
}

#[test]
fn roles_are_changed_by_sql_while_the_server_runs() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&mut lumadb(directory.path()));
    let admin = server.url();
    let url = |user: &str, password: &str| format!("postgres://{user}:{password}@{}/lumadb", server.postgres);
    let sql = |url: &str, text: &str| run(directory.path(), &["sql", url, "-c", text]);
    good(directory.path(), &["sql", &admin, "-c", "CREATE USER ann WITH PASSWORD 'first'"]);
    let ann = url("ann", "first");
    assert_eq!(sql(&ann, "SELECT 1").code, 0);
    let refused = sql(&ann, "CREATE ROLE eve LOGIN SUPERUSER");
    assert!(refused.err.contains("permission denied to create role"), "{}", refused.err);
    assert!(sql(&ann, "ALTER ROLE ann SUPERUSER").err.contains("permission denied"), "{}", refused.err);
    assert_eq!(sql(&ann, "ALTER USER ann PASSWORD 'second'").code, 0);
    assert_eq!(sql(&ann, "SELECT 1").code, 1, "the old password is no longer good");
    let ann = url("ann", "second");
    assert_eq!(sql(&ann, "SELECT 1").code, 0);
    assert_eq!(sql(&admin, "ALTER ROLE ann NOLOGIN").code, 0);
    assert_eq!(sql(&ann, "SELECT 1").code, 1, "may not log in");
    for last in ["ALTER ROLE lumadb NOSUPERUSER", "ALTER ROLE lumadb NOLOGIN"] {
        assert!(sql(&admin, last).err.contains("last administrator"));
    }
    assert!(sql(&admin, "DROP ROLE lumadb").err.contains("current user cannot be dropped"));
    assert_eq!(sql(&admin, "BEGIN; DROP ROLE ann; ROLLBACK").code, 0);
    assert_eq!(sql(&admin, "DROP ROLE ann, ann").code, 1, "the second is gone, so nothing happens");
    assert_eq!(sql(&admin, "DROP ROLE ann").code, 0);
    assert!(sql(&admin, "DROP ROLE ann").err.contains("does not exist"));
    assert_eq!(sql(&admin, "DROP ROLE IF EXISTS ann").code, 0);
    assert_eq!(server.stop(), 0);
}
