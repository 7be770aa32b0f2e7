//! What Python makes of it: parsers of XML and of sitemaps that share nothing with this crate, and an object
//! store that speaks S3's protocol. `LUMA_PYTHON` names an interpreter that has the packages `lxml`,
//! `ultimate-sitemap-parser` and `moto[server]`; what is missing is said, and its test skipped.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use luminosity::{
    Alternate, Engine, Entry, Image, Moment, News, NewsPublication, Priority, Publication, Settings, Video,
};

const BASE: &str = "https://example.com";

/// An interpreter that has these modules.
fn python(modules: &str) -> Option<String> {
    let python = std::env::var("LUMA_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let import = format!("import {modules}");
    if Command::new(&python).args(["-c", &import]).output().is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    eprintln!("skipped: {python} can't import {modules}; LUMA_PYTHON names one that can");
    None
}

const HOSTILE: [&str; 10] =
    ["]]>", "</script>", "<![CDATA[", "&amp;", "\"'", "a\tb\nc", "x\u{85}\u{2028}", "😀 ü", "-->", "&#x26;"];

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
    let Some(python) = python("xml.etree.ElementTree") else { return };
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings { entries_per_fragment: Some(100), ..Settings::new("https://example.com") };
    let engine = Engine::open(directory.path().join("store"), settings).unwrap();
    let text = |number: usize| {
        format!("{}{}", HOSTILE[number % HOSTILE.len()], HOSTILE[number / 10 % HOSTILE.len()])
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
        ..Entry::new(format!("/{number}/ü<>\"'?a=1&b={}", HOSTILE[number % 5]))
    });
    let summary = engine.add_many(entries).unwrap();
    assert_eq!(summary.rejects, []);
    let public = directory.path().join("public");
    engine.publish(&Publication { gzip: true, ..Publication::new(&public) }).unwrap();
    let output = Command::new(&python).arg("-c").arg(PARSE).arg(&public).output().unwrap();
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

const READ: &str = r#"
import json, sys, urllib.request
from lxml import etree
from usp.tree import sitemap_tree_for_homepage
base = sys.argv[1]
tree = sitemap_tree_for_homepage(base, use_known_paths=False)
found = {}
for page in tree.all_pages():
    assert page.url not in found, page.url
    found[page.url] = [
        float(page.priority), page.last_modified.isoformat()[:10], page.change_frequency.value,
        [[image.loc, image.title] for image in page.images or []],
        page.news_story.title if page.news_story else None,
    ]
strict = etree.XMLParser(resolve_entities=False, no_network=True, recover=False)
for name in ["sitemap.xml", "sitemap-1.xml", "sitemap-2.xml", "sitemap.xsl"]:
    etree.fromstring(urllib.request.urlopen(f"{base}/{name}").read(), strict)
show = etree.XSLT(etree.fromstring(urllib.request.urlopen(f"{base}/sitemap.xsl").read(), strict))
html = str(show(etree.fromstring(urllib.request.urlopen(f"{base}/sitemap-1.xml").read(), strict)))
print(json.dumps([found, html]))
"#;

#[test]
fn a_sitemap_parser_from_pypi_finds_every_page_by_robots_txt_and_the_stylesheet_shows_them() {
    let Some(python) = python("usp.tree, lxml.etree") else { return };
    let directory = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let base = format!("http://{free}");
    // This parser resolves entities a second time, so texts that look like one come out as another.
    let texts: Vec<&str> = HOSTILE.into_iter().filter(|text| !text.contains('&')).collect();
    let entries: Vec<serde_json::Value> = (0..150)
        .map(|number| {
            let hostile = texts[number % texts.len()];
            let query = texts[number % 4];
            serde_json::json!({
                "url": format!("/{number}/ü?a=1&b={query}"), "priority": 0.3, "lastmod": "2026-11-21", "changefreq": "daily",
                "images": [{ "url": format!("/i/{number}?x&y"), "title": format!("a{hostile}z") }],
                "news": { "publication": { "name": hostile, "language": "en" }, "publication_date": "2026-11-21",
                    "title": format!("a{hostile}z") },
            })
        })
        .collect();
    std::fs::write(directory.path().join("pages.json"), serde_json::to_vec(&entries).unwrap()).unwrap();
    let lux = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lux"));
        command.current_dir(directory.path()).args(["--url", &base]).args(arguments);
        command
    };
    std::fs::write(directory.path().join("luminosity.toml"), "[output]\nstylesheet = \"/sitemap.xsl\"\n")
        .unwrap();
    let output = lux(&["import", "pages.json", "--max-entries", "100"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listed = lux(&["list", "--json"]).output().unwrap().stdout;
    let mut served = lux(&["serve", "--listen", &free.to_string()]).stdout(Stdio::piped()).spawn().unwrap();
    BufReader::new(served.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    let output = Command::new(&python).arg("-c").arg(READ).arg(&base).output().unwrap();
    served.kill().unwrap();
    served.wait().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (found, html): (serde_json::Map<String, serde_json::Value>, String) =
        serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found.len(), 150);
    for line in String::from_utf8(listed).unwrap().lines() {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        let url = entry["url"].as_str().unwrap();
        let image = &entry["images"][0];
        // The parser trims texts, as it may; nothing else may change.
        let expected = serde_json::json!([
            0.3,
            "2026-11-21",
            "daily",
            [[image["url"], image["title"]]],
            entry["news"]["title"]
        ]);
        assert_eq!(found[url], expected, "{url}");
    }
    assert_eq!(html.matches("<a href=\"http://127.0.0.1").count(), 100, "{html}");
}

#[test]
fn what_lux_publishes_through_s3_is_read_back_by_its_own_client() {
    let Some(python) = python("moto.server, boto3") else { return };
    let server = "from moto.server import ThreadedMotoServer\nimport sys\n\
        server = ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False)\nserver.start()\n\
        print(server.get_host_and_port()[1], flush=True)\nsys.stdin.read()\nserver.stop()\n";
    let mut moto = Command::new(&python)
        .args(["-c", server])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(moto.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let port: u16 = line.trim().parse().expect(&line);
    let endpoint = format!("http://127.0.0.1:{port}");
    let client = |code: &str| {
        let code = format!(
            "import boto3, gzip, json\ns3 = boto3.client('s3', endpoint_url='{endpoint}', region_name='us-east-1', \
             aws_access_key_id='k', aws_secret_access_key='s')\n{code}"
        );
        let output = Command::new(&python).arg("-c").arg(code).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    client("s3.create_bucket(Bucket='maps')");
    let directory = tempfile::tempdir().unwrap();
    let lines: Vec<String> = (0..2500).map(|number| format!("{BASE}/{number}?a=1&b=2")).collect();
    std::fs::write(directory.path().join("pages.txt"), lines.join("\n")).unwrap();
    let lux = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_lux"))
            .current_dir(directory.path())
            .args(arguments)
            .envs([
                ("AWS_ENDPOINT_URL", endpoint.as_str()),
                ("AWS_ACCESS_KEY_ID", "k"),
                ("AWS_SECRET_ACCESS_KEY", "s"),
                ("AWS_REGION", "us-east-1"),
            ])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    lux(&["--url", BASE, "import", "pages.txt", "--max-entries", "1000"]);
    let told = lux(&["generate", "s3://maps/site", "--gzip"]);
    assert!(told.starts_with("2500 URLs in 3 fragments: 4 files written, 0 kept"), "{told}");
    assert!(lux(&["generate", "--out", "s3://maps/site", "--gzip"]).contains("0 files written, 3 kept"));
    // The index tells seconds.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    lux(&["remove", "/2400?a=1&b=2"]);
    assert!(lux(&["generate", "s3://maps/site", "--gzip"]).contains("2 files written, 2 kept"));
    let listed = client(
        "count = 0\nfor o in s3.list_objects_v2(Bucket='maps')['Contents']:\n  \
           got = s3.get_object(Bucket='maps', Key=o['Key']); data = got['Body'].read()\n  \
           if o['Key'].endswith('.gz'): count += gzip.decompress(data).count(b'<url>')\n  \
           print(o['Key'], got['ContentType'])\nprint(count)",
    );
    assert_eq!(
        listed.lines().collect::<Vec<_>>(),
        [
            "site/.luminosity.json application/json",
            "site/sitemap-1.xml.gz application/gzip",
            "site/sitemap-2.xml.gz application/gzip",
            "site/sitemap-3.xml.gz application/gzip",
            "site/sitemap.xml application/xml; charset=utf-8",
            "2499",
        ]
    );
    drop(moto.stdin.take());
    moto.wait().unwrap();
}
