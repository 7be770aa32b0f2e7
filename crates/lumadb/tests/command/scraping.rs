//! Targets of a file: scraped, changed, shown; and the server's own metrics in itself.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::metrics::{get, post, query};
use crate::process::{Server, lumadb};

/// How long to wait for what comes within seconds.
const PATIENCE: Duration = Duration::from_mins(1);

fn wait(what: &str, mut is: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < until, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_server_scrapes_what_its_file_says_and_itself() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    let target = Server::open(tempfile::tempdir().unwrap().path());
    let configuration = |job: &str, more: &str| {
        format!(
            "global: {{scrape_interval: 200ms, evaluation_interval: 1m}}\nscrape_configs:\n- job_name: {job}\n\
             \x20 file_sd_configs: [{{files: [targets.json]}}]\n{more}"
        )
    };
    write("prometheus.yml", &configuration("other", ""));
    write("targets.json", &format!(r#"[{{"targets": ["{}"], "labels": {{"zone": "z"}}}}]"#, target.http));
    let mut command = lumadb(directory.path());
    command.env("LUMADB_SECURITY_REQUIRE_AUTH", "false");
    command.env("LUMADB_PROMETHEUS_OWN_METRICS_INTERVAL", "200ms");
    let server = Server::start(command.env("LUMADB_PROMETHEUS_CONFIG_FILE", "prometheus.yml"));
    let is_up = |job: &str| {
        let up = query(&server, &format!("up{{job=\"{job}\"}}"));
        up.first().is_some_and(|series| series["value"][1] == "1")
    };
    wait("the target is scraped", || is_up("other"));
    let found = query(&server, "lumadb_metrics_series{job=\"other\"}");
    assert_eq!(found[0]["metric"]["zone"], "z");
    assert_eq!(found[0]["metric"]["instance"], target.http);
    wait("the server stores its own metrics", || is_up("lumadb"));
    let own = query(&server, "lumadb_scrapes_total{job=\"lumadb\"}");
    assert_eq!(own[0]["metric"]["instance"], server.prometheus);
    let data = |path: &str| {
        let answer: Value = serde_json::from_str(&get(&server.prometheus, path, "").1).unwrap();
        answer["data"].clone()
    };
    assert_eq!(data("/api/v1/scrape_pools")["scrapePools"], serde_json::json!(["lumadb", "other"]));
    let targets = data("/api/v1/targets?state=active&scrapePool=other");
    assert_eq!(targets["activeTargets"][0]["health"], "up");
    assert_eq!(targets["activeTargets"][0]["scrapeUrl"], format!("http://{}/metrics", target.http));
    assert_eq!(
        data("/api/v1/metadata?metric=lumadb_scrapes_total")["lumadb_scrapes_total"][0]["type"],
        "counter"
    );

    // What is wrong changes nothing.
    write("prometheus.yml", &configuration("other", "  kubernetes_sd_configs: []\n"));
    let (status, what) = post(&server.prometheus, "/-/reload", "", "");
    assert!(status.contains("500") && what.contains("kubernetes_sd_configs"), "{status} {what}");
    assert!(is_up("other"));
    let dropping = "  relabel_configs: [{source_labels: [zone], regex: z, action: drop}]\n";
    write("prometheus.yml", &configuration("another", dropping));
    assert_eq!(post(&server.prometheus, "/-/reload", "", "").0, "HTTP/1.1 200 OK");
    wait("series of the job that went are ended", || query(&server, "up{job=\"other\"}").is_empty());
    wait("the target is dropped", || data("/api/v1/targets")["droppedTargetCounts"]["another"] == 1);
    assert!(query(&server, "up{job=\"another\"}").is_empty());
    write("prometheus.yml", &configuration("another", ""));
    assert_eq!(post(&server.prometheus, "/-/reload", "", "").0, "HTTP/1.1 200 OK");
    wait("the target is asked by the new job", || is_up("another"));
    assert_eq!(server.stop(), 0);
}
