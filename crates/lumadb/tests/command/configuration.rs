use crate::process::{end, good, lumadb, run};

#[test]
fn a_configuration_is_checked_and_shown_with_where_each_value_came_from() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("luma.toml");
    std::fs::write(&file, "[postgres]\nport = \"${DOOR:-7000}\"\n").unwrap();
    assert_eq!(good(directory.path(), &["config", "check"]), "luma.toml is good\n");
    let mut command = lumadb(directory.path());
    let shown = end(command.env("DOOR", "7001").env("LUMADB_HTTP_PORT", "7002").args(["config", "show"]));
    assert!(shown.out.contains("port = 7001  # luma.toml line 2"), "{}", shown.out);
    assert!(shown.out.contains("port = 7002  # environment variable LUMADB_HTTP_PORT"), "{}", shown.out);
    std::fs::write(&file, "[postgres]\nprot = 1\n").unwrap();
    let wrong = run(directory.path(), &["config", "check"]);
    assert_eq!(wrong.code, 1);
    assert_eq!(
        wrong.err,
        "lumadb: luma.toml line 2: unknown setting postgres.prot; did you mean postgres.port?\n"
    );
    let wrong = run(directory.path(), &["--config", "nothing.toml", "config", "check"]);
    assert!(wrong.err.contains("nothing.toml"), "{}", wrong.err);
}

#[test]
fn a_command_that_does_not_exist_is_a_usage_error() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(run(directory.path(), &["backwards"]).code, 2);
    assert!(good(directory.path(), &["version"]).starts_with("lumadb 0."));
    assert!(good(directory.path(), &["--version"]).starts_with("lumadb 0."));
}
