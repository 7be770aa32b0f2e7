//! What programs of other languages make of it: the npm package's tests, and parsers of XML and of sitemaps
//! that share nothing with this crate.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::Command;

use luminosity::{
    Alternate, Engine, Entry, Image, Moment, News, NewsPublication, Priority, Publication, Settings, Video,
};

fn runs(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

#[test]
fn the_npm_package_passes_its_tests() {
    if !runs("node", &["-e", "process.exit(Number(process.versions.node.split('.')[0]) >= 20 ? 0 : 1)"]) {
        eprintln!("skipped: there is no node of version 20 or later");
        return;
    }
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packages/luminosity");
    let tests: Vec<_> = std::fs::read_dir(package.join("test"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|file| file.to_string_lossy().ends_with(".test.js"))
        .collect();
    assert!(tests.len() >= 3);
    let output = Command::new("node")
        .arg("--test")
        .args(tests)
        .current_dir(package)
        .env("LUMINOSITY_BINARY", env!("CARGO_BIN_EXE_lux"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

const PARSE: &str = r#"
import glob, gzip, json, sys, xml.etree.ElementTree as tree
s, i = "{http://www.sitemaps.org/schemas/sitemap/0.9}", "{http://www.google.com/schemas/sitemap-image/1.1}"
order = ["loc", "lastmod", "changefreq", "priority"]
found = {}
for name in sorted(glob.glob(sys.argv[1] + "/sitemap-*.xml.gz")):
    data = gzip.open(name).read()
    assert len(data) <= 50 << 20
    root = tree.fromstring(data)
    assert root.tag == s + "urlset" and 0 < len(root) <= 50000, name
    for url in root:
        own = [part.tag[len(s):] for part in url if part.tag.startswith(s)]
        assert own == [name for name in order if name in own], own
        loc = url.find(s + "loc").text
        assert len(loc) <= 2048 and loc.isascii() and loc not in found, loc
        found[loc] = [image.findtext(i + "title") for image in url.iter(i + "image")]
print(json.dumps(found))
"#;

#[test]
fn an_independent_parser_reads_back_what_was_put_in() {
    if !runs("python3", &["-c", "import xml.etree.ElementTree"]) {
        eprintln!("skipped: there is no python3");
        return;
    }
    let hostile = [
        "]]>",
        "</script>",
        "<![CDATA[",
        "&amp;",
        "\"'",
        "a\tb\nc",
        "\u{85}\u{2028}",
        "😀 ü",
        "-->",
        "&#x26;",
    ];
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings { entries_per_fragment: Some(100), ..Settings::new("https://example.com") };
    let engine = Engine::open(directory.path().join("store"), settings).unwrap();
    let text = |number: usize| {
        format!("t{}{}", hostile[number % hostile.len()], hostile[number / 10 % hostile.len()])
    };
    let entries = (0..500).map(|number| Entry {
        lastmod: Some(Moment::from_millis(number as i64 * 86_400_000).unwrap()),
        priority: Some(Priority::new(0.5).unwrap()),
        images: vec![Image { url: format!("/i?{number}&x"), title: Some(text(number)), ..Image::default() }],
        videos: vec![Video {
            thumbnail_loc: "/t".to_owned(),
            title: text(number),
            description: text(number),
            player_loc: Some("/p?a&b".to_owned()),
            ..Video::default()
        }],
        news: Some(News {
            publication: NewsPublication { name: text(number), language: "en".to_owned() },
            publication_date: Moment::now(),
            title: text(number),
            keywords: None,
        }),
        alternates: vec![Alternate { lang: "de".to_owned(), url: format!("/de/{number}?ä=\"") }],
        ..Entry::new(format!("/{number}/ü<>\"'?a=1&b={}", hostile[number % 5]))
    });
    assert_eq!(engine.add_many(entries).unwrap().rejected, 0);
    let public = directory.path().join("public");
    engine.publish(&Publication { gzip: true, ..Publication::new(&public) }).unwrap();
    let output = Command::new("python3").arg("-c").arg(PARSE).arg(&public).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected: serde_json::Map<String, serde_json::Value> = engine
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.url, entry.images.iter().map(|image| image.title.clone()).collect()))
        .collect();
    assert_eq!(found.as_object().unwrap(), &expected);
}
