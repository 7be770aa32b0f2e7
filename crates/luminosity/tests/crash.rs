//! Power loss at any moment of adding, removing, merging and publishing.
//!
//! Each world runs a seeded workload on a simulated disk whose power goes at some operation. Then the store
//! is opened on what is left: every change that was acknowledged is there, none other is except the one that
//! was being made, whole; and what a web server would find in the published directory is whole too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use luma_vfs::{FaultPlan, SimDisk, Vfs};
use luminosity::{Engine, Entry, Priority, Publication, RedirectPolicy, Settings};

const STORE: &str = "/store";
const PUBLIC: &str = "/public";
const BASE: &str = "https://example.com";

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// URLs and their priorities.
type Model = BTreeMap<String, f64>;

fn open(disk: &SimDisk) -> luminosity::Result<Engine> {
    let settings = Settings {
        entries_per_fragment: Some(30),
        write_buffer_bytes: 64 << 10,
        cache_bytes: 1 << 20,
        ..Settings::new(BASE)
    };
    Engine::open_with_vfs(Arc::new(disk.clone()), STORE, settings, false)
}

fn held(engine: &Engine) -> Model {
    engine
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.url, entry.priority.map_or(0.0, Priority::value)))
        .collect()
}

fn entry(random: &mut Random) -> Entry {
    let url = format!("{BASE}/{}/{}", random.below(150), "x".repeat(random.below(60) as usize % 7));
    Entry { priority: Some(Priority::new(random.below(11) as f64 / 10.0).unwrap()), ..Entry::new(url) }
}

fn priority(entry: &Entry) -> f64 {
    entry.priority.unwrap().value()
}

/// One step: what the store holds after it, and whether it went well.
fn step(engine: &Engine, random: &mut Random, before: &Model) -> (Model, luminosity::Result<()>) {
    let mut after = before.clone();
    let known =
        |random: &mut Random| before.keys().nth(random.below(before.len().max(1) as u64) as usize).cloned();
    let done = match random.below(20) {
        0..=7 => {
            let entry = entry(random);
            after.insert(entry.url.clone(), priority(&entry));
            engine.add(entry).map(drop)
        }
        8..=10 => {
            let entries: Vec<Entry> = (0..random.below(80)).map(|_| entry(random)).collect();
            after.extend(entries.iter().map(|entry| (entry.url.clone(), priority(entry))));
            engine.add_many(entries).map(drop)
        }
        11..=14 => match known(random) {
            Some(url) => {
                after.remove(&url);
                engine.remove(&url).map(drop)
            }
            None => Ok(()),
        },
        15 => match known(random) {
            Some(from) => {
                let to = format!("{BASE}/moved/{}", random.below(1000));
                let value = after.remove(&from).unwrap();
                after.entry(to.clone()).or_insert(value);
                engine.redirect(&from, &to, 301, RedirectPolicy::Remove)
            }
            None => Ok(()),
        },
        16 => engine.compact(),
        _ => {
            let publication =
                Publication { gzip: random.below(2) == 0, threads: Some(1), ..Publication::new(PUBLIC) };
            engine.publish(&publication).map(drop)
        }
    };
    (after, done)
}

fn read(disk: &SimDisk, name: &str) -> Option<Vec<u8>> {
    let file = disk.open(&Path::new(PUBLIC).join(name)).ok()?;
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(&mut bytes, 0).unwrap();
    Some(bytes)
}

/// Whatever has the name of a sitemap is a whole one, and what an index names is there.
fn check_public(disk: &SimDisk, seed: u64) -> usize {
    let Ok(names) = disk.read_dir(Path::new(PUBLIC)) else { return 0 };
    let mut whole = 0;
    for name in names.iter().filter(|name| !name.starts_with('.')) {
        let mut bytes = read(disk, name).unwrap();
        if bytes.starts_with(&[0x1f, 0x8b]) {
            let mut inflated = Vec::new();
            flate2::read::GzDecoder::new(bytes.as_slice())
                .read_to_end(&mut inflated)
                .unwrap_or_else(|error| panic!("seed {seed}: {name}: {error}"));
            bytes = inflated;
        }
        let text = String::from_utf8(bytes).unwrap();
        let document =
            roxmltree::Document::parse(&text).unwrap_or_else(|error| panic!("seed {seed}: {name}: {error}"));
        if document.root_element().tag_name().name() == "sitemapindex" {
            for loc in document.descendants().filter(|node| node.tag_name().name() == "loc") {
                let named = loc.text().unwrap().rsplit('/').next().unwrap();
                assert!(
                    names.iter().any(|name| name == named),
                    "seed {seed}: {named} is named and not there"
                );
            }
        }
        whole += 1;
    }
    whole
}

/// A tag never stands for two contents, not even across a crash.
fn check_tags(engine: &Engine, tags: &mut HashMap<String, Vec<u8>>, seed: u64) {
    for info in engine.fragments().unwrap() {
        let Some(fragment) = engine.fragment(info.number).unwrap() else { continue };
        let mut xml = Vec::new();
        fragment.write_plain(&mut xml).unwrap();
        let known = tags.entry(fragment.tag()).or_insert_with(|| xml.clone());
        assert!(*known == xml, "seed {seed}: the tag {} stands for two contents", fragment.tag());
    }
}

/// Runs a world; returns how often the power went while something was being done, and how many whole files
/// were found after.
fn world(seed: u64) -> (u64, usize) {
    let mut random = Random(seed);
    let disk = SimDisk::new();
    let mut model = Model::new();
    let mut tags = HashMap::new();
    let (mut crashed, mut whole) = (0, 0);
    for life in 0..3 {
        let last = life == 2;
        if !last {
            disk.set_faults(FaultPlan { crash_at: Some(random.below(600)), ..FaultPlan::default() });
        }
        let mut possible = model.clone();
        if let Ok(engine) = open(&disk) {
            let mut broken = None;
            for _ in 0..60 {
                let (after, done) = step(&engine, &mut random, &model);
                if let Err(error) = done {
                    possible = after;
                    broken = Some(error);
                    break;
                }
                model = after;
                if !last && random.below(10) == 0 {
                    // A look may hit the power loss as well.
                    if engine.fragments().is_err() {
                        break;
                    }
                }
            }
            assert!(!last || broken.is_none(), "seed {seed}: {broken:?}");
            if broken.is_none() {
                possible = model.clone();
            }
            crashed += u64::from(broken.is_some());
            drop(engine);
        }
        disk.crash(random.next());
        whole += check_public(&disk, seed);
        let engine = open(&disk).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let found = held(&engine);
        assert!(found == model || found == possible, "seed {seed}: {}", difference(&found, &model));
        engine.check().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        check_tags(&engine, &mut tags, seed);
        model = found;
        disk.kill(engine);
    }
    (crashed, whole)
}

fn difference(found: &Model, expected: &Model) -> String {
    let missing: Vec<_> = expected.iter().filter(|(url, value)| found.get(*url) != Some(value)).collect();
    let back: Vec<_> = found.keys().filter(|url| !expected.contains_key(*url)).collect();
    format!("missing or different {missing:?}, not expected {back:?}")
}

#[test]
fn a_thousand_power_losses_lose_nothing_and_leave_nothing_half() {
    let worlds: u64 =
        std::env::var("LUX_CRASH_WORLDS").ok().and_then(|text| text.parse().ok()).unwrap_or(700);
    let threads = std::thread::available_parallelism().unwrap().get() as u64;
    let results: Vec<(u64, usize)> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn(move || (thread..worlds).step_by(threads as usize).map(world).collect::<Vec<_>>())
            })
            .collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let crashed: u64 = results.iter().map(|(crashed, _)| crashed).sum();
    assert!(crashed > worlds * 10 / 7, "only {crashed} times in {worlds} worlds was something interrupted");
    assert!(
        results.iter().map(|(_, whole)| whole).sum::<usize>() as u64 > worlds,
        "hardly anything was published"
    );
}
