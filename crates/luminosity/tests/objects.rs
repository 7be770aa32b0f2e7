//! Publication to an object store in memory that fails at every place it can. S3's protocol: `python.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use luminosity::{Engine, Entry, Image, Objects, Publication, Settings};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    Attribute, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;
use tempfile::TempDir;

const BASE: &str = "https://example.com";

/// A store that does so many requests and then fails all, every other time after having done what it was
/// asked.
#[derive(Debug)]
struct Flaky {
    inner: InMemory,
    left: AtomicI64,
    put: Mutex<Vec<String>>,
}

impl std::fmt::Display for Flaky {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("flaky")
    }
}

impl Flaky {
    fn new() -> Arc<Self> {
        Arc::new(Self { inner: InMemory::new(), left: AtomicI64::new(i64::MAX), put: Mutex::default() })
    }

    /// Whether the request is done, and whether that is said.
    fn spend(&self) -> (bool, Result<()>) {
        let left = self.left.fetch_sub(1, Ordering::SeqCst);
        let failed = || Err(Error::Generic { store: "flaky", source: "the line is cut".into() });
        match left {
            1.. => (true, Ok(())),
            0 => (self.put.lock().len().is_multiple_of(2), failed()),
            _ => (false, failed()),
        }
    }
}

#[async_trait::async_trait]
impl ObjectStore for Flaky {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let (done, said) = self.spend();
        if done {
            self.put.lock().push(path.to_string());
            let result = self.inner.put_opts(path, payload, options).await?;
            return said.map(|()| result);
        }
        Err(said.unwrap_err())
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.spend().1?;
        self.put.lock().push(path.to_string());
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.spend().1?;
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        match self.spend().1 {
            Ok(()) => self.inner.delete_stream(paths),
            Err(error) => futures::stream::once(async { Err(error) }).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.spend().1?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// What is in a store, by name, read in a runtime of its own.
fn held(store: Arc<dyn ObjectStore>) -> BTreeMap<String, Vec<u8>> {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async move {
        let mut found = BTreeMap::new();
        let all: Vec<ObjectMeta> = store.list(None).try_collect().await.unwrap();
        for meta in all {
            let bytes = store.get(&meta.location).await.unwrap().bytes().await.unwrap();
            found.insert(meta.location.to_string(), bytes.to_vec());
        }
        found
    })
}

fn engine(entries_per_fragment: u32) -> (TempDir, Engine) {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings { entries_per_fragment: Some(entries_per_fragment), ..Settings::new(BASE) };
    let engine = Engine::open(directory.path().join("store"), settings).unwrap();
    (directory, engine)
}

fn pages(numbers: std::ops::Range<u32>) -> impl Iterator<Item = Entry> {
    numbers.map(|number| Entry::new(format!("/{number}?a=1&b=2")))
}

fn remove(engine: &Engine, numbers: std::ops::Range<u32>) {
    for number in numbers {
        engine.remove(&format!("/{number}?a=1&b=2")).unwrap();
    }
}

fn to(store: &Arc<Flaky>, gzip: bool) -> Publication {
    let objects = Objects::new(Arc::clone(store) as Arc<dyn ObjectStore>, "/deep/maps/", "memory").unwrap();
    Publication { gzip, threads: Some(1), ..Publication::to(objects) }
}

#[test]
fn an_object_store_holds_what_a_directory_does_and_unchanged_objects_are_not_sent_again() {
    for gzip in [true, false] {
        let (directory, engine) = engine(100);
        engine.add_many(pages(0..450)).unwrap();
        let store = Flaky::new();
        let public = directory.path().join("public");
        let published = engine.publish(&to(&store, gzip)).unwrap();
        assert_eq!((published.fragments, published.urls, published.written.len()), (5, 450, 6));
        let compare = || {
            engine.publish(&Publication { gzip, ..Publication::new(&public) }).unwrap();
            let files: BTreeMap<String, Vec<u8>> = std::fs::read_dir(&public)
                .unwrap()
                .map(|file| file.unwrap().path())
                .filter(|path| !path.ends_with(".luminosity.lock"))
                .map(|path| {
                    let name = path.file_name().unwrap().to_str().unwrap();
                    (format!("deep/maps/{name}"), std::fs::read(&path).unwrap())
                })
                .collect();
            assert_eq!(held(store.clone()), files);
        };
        compare();
        store.put.lock().clear();
        engine.publish(&to(&store, gzip)).unwrap();
        assert!(store.put.lock().is_empty(), "nothing changed");
        std::thread::sleep(Duration::from_millis(1100));
        engine.remove("/250?a=1&b=2").unwrap();
        engine.publish(&to(&store, gzip)).unwrap();
        let fragment = if gzip { "deep/maps/sitemap-3.xml.gz" } else { "deep/maps/sitemap-3.xml" };
        let index = "deep/maps/sitemap.xml";
        assert_eq!(
            *store.put.lock(),
            [fragment, index, "deep/maps/.luminosity.json"],
            "the index comes last"
        );
        compare();
        remove(&engine, 100..450);
        engine.publish(&to(&store, gzip)).unwrap();
        compare();
        assert!(!held(store.clone()).keys().any(|name| name.contains("-3")), "what is not needed goes");
    }
}

#[test]
fn objects_larger_than_a_part_arrive_whole_and_say_what_they_are() {
    let (_directory, engine) = engine(50_000);
    let caption = "&".repeat(400);
    let entries = (0..4000u32).map(|number| Entry {
        images: vec![Image { url: "/i".to_owned(), caption: Some(caption.clone()), ..Image::default() }],
        ..Entry::new(format!("/{number}"))
    });
    engine.add_many(entries).unwrap();
    let store = Flaky::new();
    let published = engine.publish(&to(&store, false)).unwrap();
    assert!(published.bytes > 6 << 20, "{published:?}");
    let mut expected = Vec::new();
    engine.fragment(1).unwrap().unwrap().write_plain(&mut expected).unwrap();
    assert!(held(store.clone())["deep/maps/sitemap.xml"] == expected);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let found = runtime.block_on(store.inner.get(&Path::from("deep/maps/sitemap.xml"))).unwrap();
    assert_eq!(
        found.attributes.get(&Attribute::ContentType).unwrap().as_ref(),
        "application/xml; charset=utf-8"
    );
}

#[test]
fn wherever_the_line_is_cut_an_index_names_only_whole_objects_and_the_next_run_mends_it() {
    let (_directory, engine) = engine(50);
    let store = Flaky::new();
    let mut begun = 0;
    for cut in 0..60 {
        // Fragments grow, appear and go from one round to the next.
        let (keep, all) = (100 + (cut * 37) % 200, 400);
        remove(&engine, keep..all);
        engine.add_many(pages(0..keep)).unwrap();
        store.left.store(i64::from(cut % 9), Ordering::SeqCst);
        let failed = engine.publish(&to(&store, true));
        begun += u32::from(failed.is_err());
        if let Err(error) = failed {
            assert!(error.to_string().contains("the line is cut"), "{error}");
        }
        store.left.store(i64::MAX, Ordering::SeqCst);
        check(&held(store.clone()));
        if cut % 3 == 0 {
            engine.publish(&to(&store, true)).unwrap();
            assert_eq!(check(&held(store.clone())), keep as usize);
        }
    }
    assert!(begun > 25, "only {begun} were cut off");
}

/// Every object is whole, and what the index names is there. Returns the URLs of what it names.
fn check(held: &BTreeMap<String, Vec<u8>>) -> usize {
    let text = |bytes: &[u8]| {
        let mut text = String::new();
        if bytes.starts_with(&[0x1f, 0x8b]) {
            flate2::read::GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
        } else {
            text = String::from_utf8(bytes.to_vec()).unwrap();
        }
        text
    };
    for (name, bytes) in held.iter().filter(|(name, _)| name.contains(".xml")) {
        roxmltree::Document::parse(&text(bytes)).expect(name);
    }
    let Some(index) = held.get("deep/maps/sitemap.xml") else { return 0 };
    let index = text(index);
    let named: Vec<String> = index
        .split("<loc>")
        .skip(1)
        .map(|rest| rest.split("</loc>").next().unwrap().replace(BASE, "deep/maps"))
        .collect();
    named
        .iter()
        .map(|name| {
            let bytes = held.get(name).unwrap_or_else(|| panic!("{name} is named and not there"));
            text(bytes).matches("<url>").count()
        })
        .sum()
}

#[test]
fn a_place_that_is_none_is_refused_and_says_how_it_is_written() {
    for url in ["ftp://bucket/x", "s3:///x", "bucket", "https://example.com/x"] {
        let error = Objects::at(url).unwrap_err().to_string();
        assert!(error.starts_with(url), "{error}");
    }
}
