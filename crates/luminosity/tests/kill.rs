//! The processes are killed with SIGKILL while they add, merge, import and publish, again and again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use luminosity::{Engine, Settings, Verifier};

const BASE: &str = "https://example.com";
const WRITERS: u64 = 4;

fn rounds() -> u64 {
    std::env::var("LUX_KILL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(100)
}

fn serve(directory: &Path) -> (Child, String) {
    let mut process = Command::new(env!("CARGO_BIN_EXE_lux"))
        .args(["--url", BASE, "serve", "--listen", "127.0.0.1:0", "--dir"])
        .arg(directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url = line.trim().strip_prefix("listening on ").expect(&line).to_owned();
    (process, url)
}

/// What was acknowledged last of each URL, and what was being asked when the process was killed.
#[derive(Default)]
struct Known {
    /// Whether it is there.
    acknowledged: BTreeMap<String, bool>,
    /// Changes without an answer.
    open: BTreeMap<String, bool>,
}

/// Adds and removes URLs of its own until the service is gone.
fn write(url: &str, writer: u64, round: u64, known: &Mutex<Known>) {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(5))).build().into();
    for count in 0u64.. {
        let removes = count % 4 == 3;
        let number = if removes { count - 2 } else { count };
        let page = format!("{BASE}/{writer}/{round}/{number}?a=1&b=2");
        known.lock().unwrap().open.insert(page.clone(), !removes);
        let answer = if removes {
            let encoded: String =
                page.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat();
            agent.delete(format!("{url}/urls?url={encoded}")).call()
        } else {
            agent.post(format!("{url}/urls")).send(format!("{{\"url\":\"{page}\"}}").as_bytes())
        };
        let Ok(mut answer) = answer else { return };
        if answer.body_mut().read_to_string().is_err() {
            return;
        }
        let mut known = known.lock().unwrap();
        known.open.remove(&page);
        known.acknowledged.insert(page, !removes);
    }
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_removed_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let known: Arc<Mutex<Known>> = Arc::default();
    let total = AtomicU64::new(0);
    for round in 0..rounds() {
        let (mut process, url) = serve(directory.path());
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (url, known) = (&url, &known);
                scope.spawn(move || write(url, writer, round, known));
            }
            scope.spawn(|| {
                // Merges and reads go on meanwhile; whatever is answered must be whole.
                while !stop.load(Ordering::Relaxed) {
                    let _ = ureq::post(format!("{url}/compact")).send_empty();
                    let Ok(mut answer) = ureq::get(format!("{url}/sitemap.xml")).call() else { continue };
                    let Ok(text) = answer.body_mut().read_to_string() else { continue };
                    roxmltree::Document::parse(&text).unwrap();
                }
            });
            std::thread::sleep(Duration::from_millis(20 + (round * 37) % 90));
            process.kill().unwrap();
            process.wait().unwrap();
            stop.store(true, Ordering::Relaxed);
        });
        let engine = Engine::open(directory.path(), Settings::new(BASE)).unwrap();
        let mut known = known.lock().unwrap();
        let Known { acknowledged, open } = &mut *known;
        for (page, there) in open.iter() {
            // No answer came: both are right, but only one is.
            let found = engine.get(page).unwrap().is_some();
            let before = acknowledged.get(page).copied().unwrap_or(false);
            assert!(found == *there || found == before);
            acknowledged.insert(page.clone(), found);
        }
        open.clear();
        for (page, there) in acknowledged.iter() {
            assert_eq!(engine.get(page).unwrap().is_some(), *there, "round {round}: {page}");
        }
        let held = engine.check().unwrap();
        assert_eq!(held, acknowledged.values().filter(|there| **there).count() as u64, "round {round}");
        total.store(acknowledged.len() as u64, Ordering::Relaxed);
    }
    assert!(total.into_inner() > rounds() * WRITERS, "hardly anything was written");
}

#[test]
fn an_import_and_a_publication_that_are_killed_are_done_by_the_next_run() {
    let directory = tempfile::tempdir().unwrap();
    let (store, public) = (directory.path().join("store"), directory.path().join("public"));
    let file = directory.path().join("pages.txt");
    let total = 60_000;
    let lines: Vec<String> = (0..total).map(|number| format!("{BASE}/{number}")).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    let lux = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lux"));
        command.args(["--url", BASE, "--json", "--dir"]).arg(&store).args(arguments);
        command.stdout(Stdio::null()).spawn().unwrap()
    };
    let killed = |mut child: Child, after: u64| {
        std::thread::sleep(Duration::from_millis(after));
        let _ = child.kill();
        child.wait().unwrap()
    };
    let mut last = 0;
    for round in 0..rounds() / 10 {
        killed(lux(&["import", file.to_str().unwrap(), "--max-entries", "5000"]), 5 + (round * 53) % 400);
        if !store.exists() {
            continue;
        }
        let Ok(engine) = Engine::open(&store, Settings::new("")) else { continue };
        let held = engine.check().unwrap();
        assert!(held >= last, "round {round}: {held} after {last}");
        last = held;
    }
    assert!(lux(&["import", file.to_str().unwrap()]).wait().unwrap().success());
    for round in 0..rounds() / 5 {
        // Another entry in every fragment, so that all are written again.
        let engine = Engine::open(&store, Settings::new("")).unwrap();
        for number in (0..total).step_by(5000) {
            let lastmod = luminosity::Moment::from_millis(1000 * i64::try_from(round + 1).unwrap()).unwrap();
            engine
                .add(luminosity::Entry {
                    lastmod: Some(lastmod),
                    ..luminosity::Entry::new(format!("/{number}"))
                })
                .unwrap();
        }
        drop(engine);
        killed(lux(&["build", public.to_str().unwrap(), "--gzip"]), (round * 31) % 300);
        let Ok(names) = std::fs::read_dir(&public) else { continue };
        for name in names.map(|name| name.unwrap().file_name().into_string().unwrap()) {
            if name.ends_with(".xml.gz") {
                let mut text = String::new();
                let opened = std::fs::File::open(public.join(&name)).unwrap();
                flate2::read::GzDecoder::new(opened).read_to_string(&mut text).expect(&name);
                roxmltree::Document::parse(&text).expect(&name);
            }
        }
        if public.join("sitemap.xml").exists() {
            let mut verifier = Verifier::new(None);
            verifier.path(&public.join("sitemap.xml")).unwrap();
            assert_eq!(
                (verifier.found.errors, verifier.found.urls),
                (0, total),
                "{:?}",
                verifier.found.problems
            );
        }
    }
    assert!(lux(&["build", public.to_str().unwrap(), "--gzip"]).wait().unwrap().success());
    let parts = std::fs::read_dir(&public)
        .unwrap()
        .filter(|name| name.as_ref().unwrap().path().to_string_lossy().ends_with("-part"));
    assert_eq!(parts.count(), 0, "what was begun is swept away");
}
