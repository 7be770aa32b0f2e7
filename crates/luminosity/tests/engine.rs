//! What an engine promises, against a model and an independent XML parser.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use luminosity::{
    ChangeFreq, Engine, Entry, Error, Image, Moment, News, NewsPublication, Outcome, Publication,
    RedirectPolicy, Settings, Verifier,
};
use proptest::prelude::*;

const BASE: &str = "https://example.com";

fn open(directory: &Path, entries_per_fragment: u32) -> Engine {
    let settings = Settings { entries_per_fragment: Some(entries_per_fragment), ..Settings::new(BASE) };
    Engine::open(directory, settings).unwrap()
}

fn plain(engine: &Engine, number: u32) -> String {
    let mut xml = Vec::new();
    engine.fragment(number).unwrap().unwrap().write_plain(&mut xml).unwrap();
    String::from_utf8(xml).unwrap()
}

/// The URLs of a fragment, read by another parser.
fn locs(xml: &str) -> Vec<String> {
    let document = roxmltree::Document::parse(xml).unwrap();
    let space = "http://www.sitemaps.org/schemas/sitemap/0.9";
    let locs = document.descendants().filter(|node| node.has_tag_name((space, "loc")));
    locs.map(|node| node.text().unwrap().to_owned()).collect()
}

fn where_listed(engine: &Engine) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    for info in engine.fragments().unwrap().iter().filter(|info| info.listed > 0) {
        for url in locs(&plain(engine, info.number)) {
            assert!(found.insert(url, info.number).is_none(), "a URL is listed twice");
        }
    }
    found
}

#[derive(Clone, Debug)]
enum Step {
    Add(u8, u8),
    Many(Vec<(u8, bool)>),
    Remove(u8),
    Compact,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (any::<u8>(), 0u8..4).prop_map(|(url, form)| Step::Add(url, form)),
        3 => prop::collection::vec((any::<u8>(), any::<bool>()), 0..20).prop_map(Step::Many),
        4 => any::<u8>().prop_map(Step::Remove),
        1 => Just(Step::Compact),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..60)
}

fn entry(url: u8, form: u8) -> Entry {
    let plain = Entry::new(format!("{BASE}/{url}?a=1&b=<{form}>"));
    match form {
        0 => Entry::new(format!("{BASE}/{url}")),
        1 => Entry { changefreq: Some(ChangeFreq::Daily), ..plain },
        2 => {
            let image =
                Image { url: "/i".to_owned(), title: Some("]]></script>&".to_owned()), ..Image::default() };
            Entry { images: vec![image], ..plain }
        }
        // Kept, but not listed.
        _ => Entry { canonical: Some(format!("{BASE}/other")), ..plain },
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn an_engine_holds_what_a_map_holds_and_moves_nothing(steps in steps()) {
        let directory = tempfile::tempdir().unwrap();
        let mut engine = open(directory.path(), 40);
        let mut model: BTreeMap<String, Entry> = BTreeMap::new();
        let normal = |entry: &Entry, engine: &Engine| engine.site().page(&entry.url).unwrap();
        for step in steps {
            let before = where_listed(&engine);
            match step {
                Step::Add(url, form) => {
                    let entry = entry(url, form);
                    let known = model.insert(normal(&entry, &engine), entry.clone());
                    let expected = match known {
                        None => Outcome::Added,
                        Some(known) if known == entry => Outcome::Unchanged,
                        Some(_) => Outcome::Updated,
                    };
                    prop_assert_eq!(engine.add(entry).unwrap(), expected);
                }
                Step::Many(many) => {
                    for (url, listed) in &many {
                        let entry = entry(*url, if *listed { 1 } else { 3 });
                        model.insert(normal(&entry, &engine), entry);
                    }
                    let entries = many.iter().map(|(url, listed)| entry(*url, if *listed { 1 } else { 3 }));
                    let summary = engine.add_many(entries).unwrap();
                    prop_assert_eq!((summary.added + summary.updated + summary.unchanged) as usize, many.len());
                }
                Step::Remove(url) => {
                    let url = normal(&entry(url, 1), &engine);
                    let expected = if model.remove(&url).is_some() { Outcome::Removed } else { Outcome::Absent };
                    prop_assert_eq!(engine.remove(&url).unwrap(), expected);
                }
                Step::Compact => engine.compact().unwrap(),
                Step::Reopen => {
                    drop(engine);
                    engine = open(directory.path(), 40);
                }
            }
            let after = where_listed(&engine);
            let listed: BTreeSet<&String> =
                model.iter().filter(|(_, entry)| entry.canonical.is_none()).map(|(url, _)| url).collect();
            prop_assert_eq!(after.keys().collect::<BTreeSet<_>>(), listed);
            for (url, fragment) in &after {
                prop_assert!(before.get(url).is_none_or(|was| was == fragment), "{} moved", url);
            }
        }
        prop_assert_eq!(engine.check().unwrap() as usize, model.len());
        let held: Vec<String> = engine.entries_by_url().unwrap().map(|entry| entry.unwrap().url).collect();
        prop_assert_eq!(held, model.keys().cloned().collect::<Vec<_>>());
        let stats = engine.stats().unwrap();
        prop_assert_eq!(stats.urls as usize, model.len());
        for info in engine.fragments().unwrap() {
            prop_assert!(info.entries <= 40);
        }
    }
}

#[test]
fn a_change_makes_only_the_fragment_it_touches_new() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path(), 1000);
    engine.add_many((0..5000).map(|number| Entry::new(format!("/{number}")))).unwrap();
    let before = engine.fragments().unwrap();
    assert_eq!(before.len(), 5);
    let public = directory.path().join("public");
    let publication = Publication { gzip: true, ..Publication::new(&public) };
    assert_eq!(engine.publish(&publication).unwrap().written.len(), 6);
    assert_eq!(engine.publish(&publication).unwrap().written.len(), 0, "nothing changed");
    // Dates of HTTP and of the index have seconds.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let changed = Entry { lastmod: Some(Moment::parse("2026-11-21").unwrap()), ..Entry::new("/2500") };
    assert_eq!(engine.add(changed).unwrap(), Outcome::Updated);
    assert_eq!(engine.remove("/4700").unwrap(), Outcome::Removed);
    for (before, after) in before.iter().zip(engine.fragments().unwrap()) {
        let touched = matches!(after.number, 3 | 5);
        assert_eq!((before.version != after.version, before.changed != after.changed), (touched, touched));
    }
    let published = engine.publish(&publication).unwrap();
    assert_eq!(published.written, ["sitemap-3.xml.gz", "sitemap-5.xml.gz", "sitemap.xml"]);
    let mut verifier = Verifier::new(Some(engine.site().clone()));
    verifier.path(&public).unwrap();
    assert_eq!((verifier.found.errors, verifier.found.urls), (0, 4999), "{:?}", verifier.found.problems);
}

#[test]
fn both_forms_of_a_fragment_are_the_same_and_as_long_as_was_said() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path(), 50_000);
    engine
        .add_many(
            (0..3000)
                .map(|number| entry((number % 256) as u8, 2))
                .chain((0..2000).map(|number| Entry::new(format!("/n/{number}")))),
        )
        .unwrap();
    let fragment = engine.fragment(1).unwrap().unwrap();
    let xml = plain(&engine, 1);
    assert_eq!(xml.len() as u64, fragment.plain_bytes());
    let cold = fragment.gzip().unwrap().concat();
    assert_eq!(cold, fragment.gzip().unwrap().concat(), "warm and cold are the same");
    let mut inflated = String::new();
    flate2::read::GzDecoder::new(cold.as_slice()).read_to_string(&mut inflated).unwrap();
    assert_eq!(inflated, xml);
    let parts: Vec<u8> = (0..fragment.plain_lengths().len())
        .flat_map(|part| fragment.plain_part(part).unwrap().to_vec())
        .collect();
    assert_eq!(parts, xml.as_bytes());
    assert_eq!(locs(&xml).len(), 2256);
}

#[test]
fn fragments_keep_to_the_limits_of_bytes_and_news() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path(), 50_000);
    let caption = "é".repeat(2048);
    let image =
        |number| Image { url: format!("/i{number}"), caption: Some(caption.clone()), ..Image::default() };
    // Some 4 MB each: twelve fit into 50 MB.
    let large = (0..15)
        .map(|page| Entry { images: (0..1000).map(image).collect(), ..Entry::new(format!("/{page}")) });
    assert_eq!(engine.add_many(large).unwrap().rejected, 0);
    let news = |page: u32| {
        let publication = NewsPublication { name: "N & N".to_owned(), language: "de".to_owned() };
        let news = News {
            publication,
            publication_date: Moment::now(),
            title: format!("News <{page}>"),
            keywords: None,
        };
        Entry { news: Some(news), ..Entry::new(format!("/news/{page}")) }
    };
    assert_eq!(engine.add_many((0..2500).map(news)).unwrap().added, 2500);
    // An entry that gets news where no more fit moves, and stays one entry.
    engine.add_many((0..10).map(|page| Entry::new(format!("/late/{page}")))).unwrap();
    engine.add_many((0..10).map(|page| Entry { url: format!("/late/{page}"), ..news(9000 + page) })).unwrap();
    let public = directory.path().join("public");
    engine.publish(&Publication::new(&public)).unwrap();
    let mut verifier = Verifier::new(Some(engine.site().clone()));
    verifier.path(&public).unwrap();
    assert_eq!((verifier.found.errors, verifier.found.urls), (0, 2525), "{:?}", verifier.found.problems);
    assert_eq!(engine.check().unwrap(), 2525);
}

#[test]
fn what_is_refused_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path(), 100);
    engine.add(Entry::new("/a")).unwrap();
    let before = engine.fragments().unwrap();
    for url in ["https://evil.test/", "javascript:alert(1)", "/a\u{0}b", &format!("/{}", "a".repeat(2048))] {
        assert!(matches!(engine.add(Entry::new(url)), Err(Error::Invalid(_))), "{url}");
    }
    let mixed = ["/a", "https://evil.test/", "/b", "/a"].map(Entry::new);
    let summary = engine.add_many(mixed).unwrap();
    assert_eq!((summary.added, summary.unchanged, summary.rejected, summary.rejects[0].at), (1, 2, 1, 1));
    assert_eq!(engine.fragments().unwrap()[0].entries, before[0].entries + 1);
    let other = Engine::open(directory.path().join("x"), Settings::new("no url")).unwrap_err();
    assert!(matches!(other, Error::Settings(_)) && !directory.path().join("x").exists());
}

#[test]
fn a_second_writer_is_told_who_has_the_store_and_another_site_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path(), 100);
    assert!(Engine::open(directory.path(), Settings::new(BASE)).unwrap_err().is_locked());
    drop(engine);
    let other = Engine::open(directory.path(), Settings::new("https://other.test")).unwrap_err().to_string();
    assert!(other.contains("https://example.com"), "{other}");
    let changed = Settings { entries_per_fragment: Some(7), ..Settings::new(BASE) };
    assert!(
        Engine::open(directory.path(), changed).unwrap_err().to_string().contains("100 entries per fragment")
    );
    assert_eq!(Engine::open(directory.path(), Settings::new("")).unwrap().site().origin(), BASE);
}

#[test]
fn pages_that_moved_are_removed_kept_or_marked() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path(), 100);
    for (number, policy) in
        [RedirectPolicy::Remove, RedirectPolicy::Keep, RedirectPolicy::Mark].into_iter().enumerate()
    {
        let (from, to) = (format!("/old{number}"), format!("/new{number}"));
        engine.add(Entry { changefreq: Some(ChangeFreq::Daily), ..Entry::new(&from) }).unwrap();
        engine.redirect(&from, &to, 301, policy).unwrap();
        assert_eq!(engine.get(&to).unwrap().unwrap().changefreq, Some(ChangeFreq::Daily), "taken over");
    }
    assert_eq!(engine.get("/old0").unwrap(), None);
    assert_eq!(engine.get("/old2").unwrap().unwrap().redirect.unwrap().to, "https://example.com/new2");
    let listed: Vec<String> = where_listed(&engine).into_keys().collect();
    assert_eq!(listed, ["new0", "new1", "new2", "old1"].map(|page| format!("{BASE}/{page}")));
    assert!(engine.redirect("/a", "/a#x", 301, RedirectPolicy::Remove).is_err());
}

#[test]
fn a_list_that_shrinks_and_grows_leaves_no_ruins() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path(), 600);
    for round in 0..6 {
        engine.add_many((0..1200).map(|number| Entry::new(format!("/{round}/{number}")))).unwrap();
        for number in 0..1200 {
            if number % 8 != 0 {
                engine.remove(&format!("/{round}/{number}")).unwrap();
            }
        }
    }
    let stats = engine.stats().unwrap();
    assert_eq!(stats.urls, 6 * 150);
    assert!(stats.fragments <= 5, "{} fragments for 900 URLs", stats.fragments);
}

#[test]
fn many_short_runs_leave_neither_a_long_log_nor_many_tables_behind() {
    let directory = tempfile::tempdir().unwrap();
    for number in 0..60 {
        let engine = Engine::open(directory.path(), Settings::new("https://example.com")).unwrap();
        engine.add(Entry::new(format!("/{number}"))).unwrap();
    }
    let engine = Engine::open(directory.path(), Settings::new("https://example.com")).unwrap();
    let stats = engine.stats().unwrap();
    assert_eq!(stats.urls, 60);
    assert!(stats.log_bytes < 16 << 20, "{stats:?}");
    assert!(stats.unmerged_tables <= 24, "{stats:?}");
}
