//! The command `lightning`, as it is typed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use lightning::{Database, KeyspaceOptions, Layout, Options, Readable, WriteBatch};
use serde_json::Value;

const LAYOUTS: [&str; 2] = ["lsm", "btree"];

fn lightning(at: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lightning")).current_dir(at).args(arguments).output().unwrap()
}

/// Runs it, checks the exit code and returns what it said: its answer, or the reason of its failure.
#[track_caller]
fn ends(at: &Path, code: i32, arguments: &[&str]) -> String {
    let output = lightning(at, arguments);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {out}{err}");
    if code == 0 {
        assert_eq!(err, "", "{arguments:?} succeeded");
        out.into_owned()
    } else {
        err.into_owned()
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn keys_are_written_read_scanned_and_deleted_in_either_layout() {
    for layout in LAYOUTS {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        assert_eq!(ends(at, 0, &["create", "db", "--layout", layout]), "created\n");
        for (key, value) in [("ada", "1815"), ("grace", "1906"), ("alan", "1912")] {
            assert_eq!(ends(at, 0, &["put", "db", key, value]), "written\n");
        }
        assert_eq!(ends(at, 0, &["get", "db", "ada"]), "1815\n");
        assert_eq!(ends(at, 0, &["get", "db", "ada", "--format", "hex"]), "31383135\n");
        assert_eq!(json(&ends(at, 0, &["-o", "json", "get", "db", "ada"]))["value"], "1815");
        assert_eq!(ends(at, 0, &["scan", "db"]), "ada\t1815\nalan\t1912\ngrace\t1906\n");
        assert_eq!(
            ends(at, 0, &["scan", "db", "--prefix", "a", "--reverse", "--limit", "1"]),
            "alan\t1912\n"
        );
        assert_eq!(ends(at, 0, &["scan", "db", "--start", "alan", "--end", "grace"]), "alan\t1912\n");
        assert_eq!(ends(at, 0, &["-q", "put", "db", "ff00", "fe", "--hex"]), "");
        let last = ends(at, 0, &["scan", "db", "--reverse", "--limit", "1", "-o", "json"]);
        assert_eq!((&json(&last)["key_hex"], &json(&last)["value_hex"]), (&"ff00".into(), &"fe".into()));
        assert_eq!(ends(at, 0, &["delete", "db", "ff00", "--hex"]), "deleted\n");
        assert!(ends(at, 3, &["delete", "db", "ff00", "--hex"]).contains("no key"));
        ends(at, 0, &["compact", "db"]);
        let stats = json(&ends(at, 0, &["stats", "db", "--format", "json"]));
        assert_eq!(stats["keyspaces"][0]["layout"], layout);
        assert_eq!(stats["keyspaces"][0]["approximate_entries"], 3);
        assert!(
            ends(at, 0, &["stats", "db"]).contains(&format!("keyspace \"default\" ({layout}): about 3 keys"))
        );
        assert_eq!(json(&ends(at, 0, &["health", "db", "-o", "json"]))["status"], "healthy");
        let checked = json(&ends(at, 0, &["check", "db", "--verbose", "-o", "json"]));
        assert_eq!((&checked["entries"], &checked["details"][0]["name"]), (&3.into(), &"default".into()));
        assert_eq!(json(&ends(at, 0, &["check", "db", "--checksums", "0", "-o", "json"]))["checksums"], 0);
        let other = LAYOUTS[usize::from(layout == "lsm")];
        assert_eq!(ends(at, 0, &["convert", "db", "--layout", other]), "converted\n");
        assert!(ends(at, 0, &["convert", "db", "--layout", other]).contains("already"));
        assert!(ends(at, 0, &["stats", "db"]).contains(&format!("({other}): about 3 keys")));
        assert_eq!(ends(at, 0, &["get", "db", "grace"]), "1906\n");
        ends(at, 3, &["convert", "db", "--layout", other, "-k", "none"]);
        ends(at, 0, &["create", "db", "--keyspace", "other", "--compression", "zstd"]);
        ends(at, 0, &["put", "db", "ada", "countess", "-k", "other"]);
        assert_eq!(ends(at, 0, &["get", "db", "ada", "--keyspace", "other"]), "countess\n");
        assert_eq!(ends(at, 0, &["get", "db", "ada"]), "1815\n");
    }
}

#[test]
fn a_keyspace_is_made_with_the_compaction_that_was_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    ends(at, 0, &["create", "db"]);
    ends(at, 0, &["create", "db", "-k", "runs", "--compaction", "universal"]);
    ends(at, 0, &["create", "db", "-k", "events", "--fifo", "1000000"]);
    let database = lightning::Database::open(at.join("db"), lightning::Options::default()).unwrap();
    let of = |name: &str| database.keyspace(name).unwrap().options().compaction;
    assert_eq!(of("default"), lightning::CompactionStrategy::Leveled);
    assert_eq!(of("runs"), lightning::CompactionStrategy::universal());
    assert_eq!(of("events"), lightning::CompactionStrategy::Fifo { bytes_max: 1_000_000 });
}

#[test]
fn a_value_comes_from_standard_input_byte_for_byte() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    ends(at, 0, &["create", "db"]);
    let value: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let mut child = Command::new(env!("CARGO_BIN_EXE_lightning-cli"))
        .current_dir(at)
        .args(["--quiet", "put", "db", "all", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&value).unwrap();
    assert!(child.wait().unwrap().success());
    let found = lightning(at, &["get", "db", "all"]).stdout;
    assert!(found.strip_suffix(b"\n").unwrap() == value);
}

#[test]
fn what_is_called_wrongly_ends_with_its_code_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    for arguments in [
        &["get", "nowhere", "a"][..],
        &["put", "nowhere", "a", "b"],
        &["scan", "nowhere"],
        &["check", "nowhere"],
        &["compact", "nowhere"],
        &["health", "."],
    ] {
        assert!(ends(at, 3, arguments).contains("lightning create"), "{arguments:?}");
    }
    assert!(!at.join("nowhere").exists(), "a mistake leaves nothing behind");
    let unknown = ends(at, 2, &["backup", "db", "to"]);
    assert!(unknown.contains("unrecognized subcommand 'backup'"), "{unknown}");
    ends(at, 2, &["get"]);
    ends(at, 2, &["create", "db", "--layout", "hash"]);
    let unknown = ends(at, 8, &["create", "counts", "--merge-operator", "mystery"]);
    assert!(unknown.contains("mystery"), "{unknown}");
    let of_counts = ["create", "counts", "--merge-operator", "append", "--blob-threshold", "100"];
    assert_eq!(ends(at, 0, &of_counts), "created\n");
    ends(at, 0, &["put", "counts", "key", "value"]);
    assert_eq!(ends(at, 0, &["get", "counts", "key"]), "value\n");
    ends(at, 2, &["create", "db", "--compaction", "tiered"]);
    ends(at, 2, &["create", "db", "--prefix-up-to", "//"]);
    ends(at, 2, &["create", "db", "--prefix-up-to", "/", "--prefix-bytes", "2"]);
    ends(at, 0, &["create", "paths", "--prefix-up-to", "/"]);
    ends(at, 2, &["create", "db", "--compaction", "universal", "--fifo", "1000"]);
    ends(at, 2, &["stats", "db", "--format", "hex"]);
    ends(at, 2, &["bench", "--threads", "0"]);
    ends(at, 0, &["create", "db"]);
    let exists = ends(at, 4, &["create", "db", "-o", "json"]);
    assert_eq!(json(&exists)["code"], 4);
    assert!(ends(at, 3, &["get", "db", "a"]).contains("no key \"a\""));
    assert!(ends(at, 3, &["get", "db", "a", "-k", "other"]).contains("there are \"default\""));
    ends(at, 5, &["put", "db", "xyz", "00", "--hex"]);
    assert!(ends(at, 5, &["put", "db", &"k".repeat(70_000), "v"]).contains("65536"));
    ends(at, 5, &["scan", "db", "--start", "b", "--end", "a"]);
    std::fs::create_dir(at.join("letters")).unwrap();
    std::fs::write(at.join("letters/a.txt"), "dear").unwrap();
    assert!(ends(at, 8, &["create", "letters"]).contains("not a Lightning database"));
    assert!(ends(at, 8, &["stats", "letters"]).contains("a.txt"));
    assert_eq!(ends(at, 0, &["scan", "db"]), "");
}

#[test]
fn a_database_in_use_is_named_with_its_owner() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let open = Database::open(at.join("db"), Options::default()).unwrap();
    open.create_keyspace("default", KeyspaceOptions::default()).unwrap();
    let told = ends(at, 8, &["get", "db", "a"]);
    assert!(told.contains(&format!("process {}", std::process::id())), "{told}");
    drop(open);
    ends(at, 3, &["get", "db", "a"]);
}

#[test]
fn damage_is_found_and_told_from_other_failures() {
    for (layout, end) in [(Layout::Lsm, ".table"), (Layout::BTree, ".tree")] {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        let database = Database::open(at.join("db"), Options::default()).unwrap();
        let options = KeyspaceOptions { layout, ..KeyspaceOptions::default() };
        let keyspace = database.create_keyspace("default", options).unwrap();
        let mut batch = WriteBatch::new();
        for number in 0..5000u32 {
            batch.put(
                &keyspace,
                &number.to_be_bytes(),
                &number.wrapping_mul(2_654_435_761).to_le_bytes().repeat(9),
            );
        }
        database.write(batch, lightning::Durability::Sync).unwrap();
        assert!(database.snapshot().get(&keyspace, &7u32.to_be_bytes()).unwrap().is_some());
        drop(keyspace);
        database.close().unwrap();
        let stored = std::fs::read_dir(at.join("db/tables")).unwrap().map(|entry| entry.unwrap().path());
        let path = stored.into_iter().find(|path| path.to_string_lossy().ends_with(end)).unwrap();
        assert_eq!(json(&ends(at, 0, &["check", "db", "-o", "json"]))["entries"], 5000);
        let mut bytes = std::fs::read(&path).unwrap();
        // Some block in the middle.
        let place = bytes.len() / 2;
        bytes[place] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let told = ends(at, 10, &["check", "db"]);
        assert!(told.contains(end) && told.contains("damaged"), "{told}");
        assert_eq!(json(&ends(at, 10, &["check", "db", "-o", "json"]))["code"], 10);
    }
}

#[test]
fn a_bench_prints_rates_and_percentiles_and_leaves_no_keyspace() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    for layout in LAYOUTS {
        let arguments =
            ["bench", "db", "--ops", "2000", "--threads", "3", "--value-size", "50", "--layout", layout];
        let measured = json(&ends(at, 0, &[&arguments[..], &["-o", "json"]].concat()));
        let names: Vec<&str> = measured["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|result| result["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["write", "read", "scan"]);
        for result in measured["results"].as_array().unwrap() {
            assert_eq!(result["ops"], 2000);
            let latency = |name: &str| result["latency_us"][name].as_f64().unwrap();
            assert!(latency("p50") <= latency("p99") && latency("p99") <= latency("max"));
        }
        assert!(ends(at, 0, &arguments).contains("p999"));
        assert_eq!(json(&ends(at, 0, &["stats", "db", "-o", "json"]))["keyspaces"], Value::Array(Vec::new()));
    }
    let temporary = Command::new(env!("CARGO_BIN_EXE_lightning"))
        .env("TMPDIR", at)
        .args(["bench", "--ops", "10", "--value-size", "0"])
        .output()
        .unwrap();
    assert!(temporary.status.success());
    let left: Vec<_> = std::fs::read_dir(at).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["db"]);
}
