//! The command `lux`, as it is typed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

fn lux(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lux"));
    command.current_dir(directory).args(arguments);
    for name in ["LUX_CONFIG", "LUX_DIR", "LUX_URL", "LUX_TOKEN", "LUX_LISTEN", "LUX_WEBHOOK_SECRET"] {
        command.env_remove(name);
    }
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[track_caller]
fn ends(directory: &Path, code: i32, arguments: &[&str]) -> String {
    let output = lux(directory, arguments);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    said
}

struct Served(Child, String);

impl Served {
    fn start(directory: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_lux"))
            .current_dir(directory)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").unwrap().to_owned();
        Self(child, url)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn from_nothing_to_a_checked_sitemap() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    assert!(ends(at, 1, &["stats"]).contains("there is no store"));
    assert!(ends(at, 1, &["add", "/a"]).contains("--url"));
    assert!(!at.join(".luminosity").exists(), "a mistake leaves nothing behind");
    ends(at, 2, &["frobnicate"]);
    std::fs::write(
        at.join("pages.jsonl"),
        "{\"url\":\"/a?b=1&c=2\",\"lastmod\":\"2026-11-21\"}\n{\"url\":\"https://evil.test/\"}\nnot json\n\n\
         {\"url\":\"/x\",\"images\":[{\"url\":\"/i\",\"title\":\"]]></script>\"}]}\n{\"url\":\"/\\ud800\"}\n{\"url\":\"/t",
    )
    .unwrap();
    let told =
        ends(at, 3, &["--url", "https://example.com", "import", "pages.jsonl", "--rejects", "rejects.jsonl"]);
    assert!(told.starts_with("2 added, 0 updated, 0 unchanged, 0 removed, 0 absent, 4 rejected"), "{told}");
    let rejects = std::fs::read_to_string(at.join("rejects.jsonl")).unwrap();
    let lines: Vec<u64> = rejects
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["line"].as_u64().unwrap())
        .collect();
    assert_eq!(lines, [2, 3, 6, 7], "{rejects}");
    std::fs::write(at.join("more.csv"), "loc,priority\n/c,0.5\n/d,5\n\"/e\n/f\",\n").unwrap();
    let told = ends(at, 3, &["import", "more.csv"]);
    assert!(
        told.contains("1 added") && told.contains("more.csv:3: ") && told.contains("more.csv:4: "),
        "{told}"
    );
    assert_eq!(
        ends(at, 0, &["add", "/new", "--priority", "0.7", "--lastmod", "2026-11-21T07:00:00Z"]),
        "added\n"
    );
    assert_eq!(
        ends(at, 0, &["add", r#"{"url":"/new","priority":0.7,"lastmod":"2026-11-21T07:00:00Z"}"#]),
        "unchanged\n"
    );
    assert!(ends(at, 1, &["add", "/new", "--priority", "7"]).contains("0.0 to 1.0"));
    assert!(ends(at, 0, &["get", "/new"]).contains("\"priority\":0.7"));
    ends(at, 3, &["remove", "/c", "/never"]);
    ends(at, 1, &["get", "/c"]);
    ends(at, 0, &["redirect", "/new", "/newer"]);
    let listed = ends(at, 0, &["list"]);
    assert_eq!(listed, "https://example.com/a?b=1&c=2\nhttps://example.com/newer\nhttps://example.com/x\n");
    assert_eq!(ends(at, 0, &["list", "--prefix", "/a", "-n", "1"]).lines().count(), 1);
    assert!(ends(at, 0, &["build", "public", "--dry-run"]).contains("1 files to write"));
    assert!(!at.join("public").exists());
    ends(at, 0, &["build", "public", "--gzip"]);
    assert!(ends(at, 0, &["verify", "public"]).contains("2 files, 3 URLs, 1 sitemaps named: 0 errors"));
    assert!(ends(at, 0, &["stats"]).contains("Total URLs:  3 (3 listed)"));
    assert!(ends(at, 0, &["check"]).contains("3 entries"));
    ends(at, 0, &["compact"]);
    assert!(ends(at, 0, &["robots"]).contains("User-agent: *"));
    let other = ends(at, 1, &["--url", "https://other.test", "add", "/a"]);
    assert!(other.contains("https://example.com"), "{other}");
}

#[test]
fn what_is_exported_is_imported_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let lines = "{\"url\":\"/a\",\"videos\":[{\"thumbnail_loc\":\"/t\",\"title\":\"<&>\",\"description\":\"d\",\"player_loc\":\"/p\"}]}\n{\"url\":\"/b\",\"priority\":0.25,\"alternates\":[{\"lang\":\"de\",\"url\":\"/de\"}]}\n{\"url\":\"/c\"}\n";
    std::fs::write(at.join("pages.jsonl"), lines).unwrap();
    ends(at, 0, &["--url", "https://example.com", "import", "pages.jsonl"]);
    let all = ends(at, 0, &["list", "--json"]);
    for (form, name) in
        [("jsonl", "x.jsonl"), ("ops", "sitemap.ops.jsonl"), ("json", "sitemap.snapshot.json")]
    {
        ends(at, 0, &["export", name, "--format", form]);
        ends(at, 0, &["--dir", form, "--url", "https://example.com", "import", name]);
        assert_eq!(ends(at, 0, &["--dir", form, "list", "--json"]), all, "{form}");
    }
    ends(at, 0, &["build", "public"]);
    ends(at, 0, &["--dir", "xml", "--url", "https://example.com", "import", "public/sitemap.xml"]);
    assert_eq!(ends(at, 0, &["--dir", "xml", "list", "--json"]), all, "the sitemap itself says everything");
}

#[test]
fn a_url_that_comes_twice_in_a_list_is_told_with_its_line_and_the_first_one_stays() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    // More lines than are applied at once lie between the two.
    let mut lines = "{\"url\":\"/a\",\"priority\":0.5}\n{\"url\":\"/b\"}\n{\"url\":\"/b\"}\n".to_owned();
    lines.extend((0..5000).map(|number| format!("{{\"url\":\"/{number}\"}}\n")));
    lines.push_str("{\"url\":\"https://EXAMPLE.com/a\",\"priority\":0.1}\n");
    std::fs::write(at.join("pages.jsonl"), &lines).unwrap();
    let texts: Vec<&str> = lines.lines().map(|line| line.split('"').nth(3).unwrap()).collect();
    std::fs::write(at.join("pages.txt"), texts.join("\n")).unwrap();
    for (round, file) in ["pages.jsonl", "pages.jsonl", "pages.txt"].into_iter().enumerate() {
        let told = ends(at, 3, &["--url", "https://example.com", "import", file]);
        assert!(
            told.contains(&format!("{file}:3: /b came before in this list; the first one stays")),
            "{told}"
        );
        assert!(told.contains(&format!("{file}:5004: /a came before")), "{told}");
        assert!(told.contains("2 rejected"), "{told}");
        let unchanged = if round == 0 { "5002 added" } else { "0 added" };
        assert!(told.contains(unchanged), "{told}");
        let priority = if file == "pages.jsonl" { "\"priority\":0.5" } else { "/a" };
        assert!(ends(at, 0, &["get", "/a"]).contains(priority));
    }
    // Operations are applied one after the other, and another list is another state.
    let op = |priority| format!("{{\"op\":\"add\",\"entry\":{{\"url\":\"/a\",\"priority\":{priority}}}}}\n");
    std::fs::write(at.join("sitemap.ops.jsonl"), op(0.2) + &op(0.3)).unwrap();
    assert!(ends(at, 0, &["import", "sitemap.ops.jsonl"]).contains("2 updated"));
    assert!(ends(at, 0, &["get", "/a"]).contains("\"priority\":0.3"));
}

#[test]
fn a_file_is_followed_and_a_torn_line_waits_for_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let file = at.join("sitemap.ops.jsonl");
    let op = |url: &str| format!("{{\"op\":\"add\",\"timestamp\":1,\"entry\":{{\"url\":\"{url}\"}}}}\n");
    std::fs::write(&file, op("/1")).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_lux"))
        .current_dir(at)
        .args(["--url", "https://example.com", "import", "--follow", "sitemap.ops.jsonl"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("1 added"), "{line}");
    let mut out = std::fs::OpenOptions::new().append(true).open(&file).unwrap();
    let second = op("/2");
    out.write_all(&second.as_bytes()[..20]).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(400));
    out.write_all(&second.as_bytes()[20..]).unwrap();
    out.write_all(b"{\"op\":\"remove\",\"timestamp\":2,\"url\":\"/1\"}\n").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1500));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(ends(at, 0, &["list"]), "https://example.com/2\n");
}

#[test]
fn the_earlier_projects_files_are_taken_over_and_what_is_damaged_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let old = at.join("old");
    std::fs::create_dir_all(old.join("logs")).unwrap();
    let config = r#"{"mode":"incremental","baseUrl":"https://example.com","incremental":{"logDir":"./logs","compactInterval":3600000},
        "robots":{"rules":[{"userAgent":"*","disallow":["/admin"]}]},"analytics":{"id":"x"},"output":{"path":"./public"}}"#;
    std::fs::write(old.join("gravito.seo.config.json"), config).unwrap();
    let snapshot = "[\n{\"url\":\"https://example.com/a\",\"lastmod\":\"2024-01-01T00:00:00.000Z\"},\n{\"url\":\"https://example.com/b\",\"priority\":\"broken\"},\n{\"url\":\"https://example.com/c\"},\n{\"url\":\"https://exam";
    std::fs::write(old.join("logs/sitemap.snapshot.json"), snapshot).unwrap();
    let ops = "{\"op\":\"add\",\"timestamp\":1700000000000,\"entry\":{\"url\":\"https://example.com/d\"}}\n{\"op\":\"remove\",\"timestamp\":1700000000001,\"url\":\"https://example.com/c\"}\n{\"op\":\"add\",\"timestamp\":17";
    std::fs::write(old.join("logs/sitemap.ops.jsonl"), ops).unwrap();
    let before = std::fs::read(old.join("logs/sitemap.ops.jsonl")).unwrap();
    let told = ends(at, 3, &["migrate", "old"]);
    assert!(told.contains("3 added") && told.contains("1 removed") && told.contains("3 rejected"), "{told}");
    assert!(told.contains("left out: analytics"), "{told}");
    for place in ["sitemap.snapshot.json:3: ", "sitemap.snapshot.json:5: ", "sitemap.ops.jsonl:3: "] {
        assert!(told.contains(place), "{place}: {told}");
    }
    assert_eq!(ends(at, 0, &["list"]), "https://example.com/a\nhttps://example.com/d\n");
    assert!(ends(at, 0, &["robots"]).contains("Disallow: /admin"));
    assert_eq!(std::fs::read(old.join("logs/sitemap.ops.jsonl")).unwrap(), before, "only read");
    assert!(ends(at, 1, &["migrate", "old"]).contains("exists already"));
    assert!(ends(at, 1, &["migrate", "nowhere"]).contains("no directory"));
}

#[test]
fn a_second_process_is_told_and_the_first_is_verified_by_url() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    std::fs::write(at.join("luminosity.toml"), "base_url = \"https://example.com\"\n").unwrap();
    let served = Served::start(at, &[]);
    let told = ends(at, 1, &["add", "/a"]);
    assert!(told.contains(&served.0.id().to_string()) && told.contains("HTTP service"), "{told}");
    let body = "{\"url\":\"/0\"}\n{\"url\":\"/1\"}\n{\"url\":\"/2\"}\n";
    let reply = ureq::post(&format!("{}/urls", served.1))
        .header("content-type", "application/x-ndjson")
        .send(body.as_bytes());
    assert_eq!(reply.unwrap().status(), 200);
    let sitemap = format!("{}/sitemap.xml", served.1);
    assert!(ends(at, 0, &["verify", &sitemap]).contains("1 files, 3 URLs"));
    // Without a configuration, the URLs must be of the host that was asked.
    let told = ends(directory.path().parent().unwrap(), 1, &["verify", "http://127.0.0.1:1/sitemap.xml"]);
    assert!(told.contains("127.0.0.1:1"), "{told}");
    ends(at, 2, &["serve", "--listen"]);
    drop(served);
    assert_eq!(ends(at, 0, &["add", "/a"]), "added\n");
    assert!(ends(at, 1, &["serve", "--listen", "nonsense"]).contains("nonsense"));
}

#[test]
fn a_configuration_is_written_once_and_names_and_places_are_taken_from_it() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    assert!(ends(at, 0, &["init"]).contains("set base_url"));
    assert!(ends(at, 1, &["init", "https://shop.example"]).contains("--force"));
    ends(at, 0, &["init", "https://shop.example", "--force"]);
    assert!(ends(at, 1, &["init", "no site", "--write", "x.toml"]).contains("no site"));
    assert!(!at.join("x.toml").exists());
    assert!(ends(at, 1, &["warm"]).contains("there is no store"));
    ends(at, 0, &["add", "/a"]);
    assert_eq!(ends(at, 0, &["warm"]), "1 fragments are ready\n");
    assert!(ends(at, 0, &["compact"]).contains("--force"));
    assert!(ends(at, 0, &["compact", "--force"]).starts_with("merged: 1 URLs"));
    let robots = "User-agent: *\nAllow: /\n\nSitemap: https://shop.example/sitemap.xml\n";
    assert_eq!(ends(at, 0, &["robots"]), robots);
    assert!(ends(at, 0, &["generate", "--out", "there"]).contains("2 files written"));
    assert_eq!(std::fs::read_to_string(at.join("there/robots.txt")).unwrap(), robots);
    assert!(ends(at, 0, &["build"]).contains("2 files written"));
    assert!(at.join("public/sitemap.xml").exists());
    ends(at, 2, &["generate", "here", "--out", "there"]);
    assert!(ends(at, 1, &["generate", "ftp://here"]).contains("s3://bucket/prefix"));
    std::fs::rename(at.join("luminosity.toml"), at.join("mine.toml")).unwrap();
    assert!(ends(at, 0, &["-c", "mine.toml", "stats"]).contains("https://shop.example"));
    assert!(ends(at, 1, &["-c", "none.toml", "stats"]).contains("none.toml"));
    let served = Served::start(at, &["--config", "mine.toml"]);
    let toml = std::fs::read_to_string(at.join("mine.toml")).unwrap();
    let listen = served.1.strip_prefix("http://").unwrap();
    std::fs::write(at.join("mine.toml"), toml.replace("127.0.0.1:8080", listen)).unwrap();
    assert_eq!(ends(at, 0, &["-c", "mine.toml", "warm"]), "1 fragments are ready\n", "by the service");
}

#[test]
fn what_is_wrong_is_said_once_and_the_rest_goes_in() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    ends(at, 0, &["init", "https://shop.example"]);
    std::fs::write(at.join("object.json"), r#"{"url":"/a"}"#).unwrap();
    let told = ends(at, 3, &["import", "object.json"]);
    assert!(told.contains(" 1 rejected") && told.contains("an array of entries is"), "{told}");
    std::fs::write(at.join("mixed.json"), r#"[{"url":"/1"}, 7, "x", {"url":"/2"}]"#).unwrap();
    assert!(
        ends(at, 3, &["import", "mixed.json"])
            .contains("2 added, 0 updated, 0 unchanged, 0 removed, 0 absent, 2 rejected")
    );
    assert!(ends(at, 1, &["add", "[\"/a\"]"]).contains("import takes an array"));
    assert!(ends(at, 1, &["add", r#"{"url":"/\ud800"}"#]).contains("surrogate"));
    let xml = "<urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\" xmlns:xhtml=\"http://www.w3.org/1999/xhtml\">\n\
        <url><loc>https://shop.example/a?x=1&y=2</loc></url>\n\
        <url><loc>https://shop.example/b?x=1&copy;=2&z</loc></url>\n\
        <url><loc>https://shop.example/c</loc><xhtml:link rel=\"alternate\" hreflang=\"de\" href=\"/de?a&b=2;&amp;c\"/></url>\n\
        <url><loc>https://shop.example/d</loc><lastmod>2020-13-01</lastmod><priority>7</priority></url>\n</urlset>";
    std::fs::write(at.join("old.xml"), xml).unwrap();
    let told = ends(at, 3, &["import", "old.xml"]);
    assert!(told.starts_with("3 added") && told.contains("old.xml:5: "), "{told}");
    let listed = ends(at, 0, &["list", "--json"]);
    for url in ["/a?x=1&y=2\"", "/b?x=1&copy;=2&z\"", "/de?a&b=2;&c\""] {
        assert!(listed.contains(url), "{url}: {listed}");
    }
    let told = ends(at, 3, &["verify", "old.xml"]);
    for place in [
        "old.xml:2: error: not well-formed XML: & must",
        "old.xml:3: error: not well-formed XML: & must",
        "old.xml:4: error: not well-formed XML: & must",
        "old.xml:5: error: \"2020-13-01\" is no date",
        "old.xml:5: error: priority 7",
    ] {
        assert!(told.contains(place), "{place}: {told}");
    }
    std::fs::create_dir(at.join("empty")).unwrap();
    assert!(ends(at, 1, &["migrate", "empty"]).contains("has no gravito.seo.config"));
    assert!(!at.join("luminosity.json").exists());
}
