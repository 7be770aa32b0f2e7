//! Sources in files.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use super::{EntrySink, SourceConfig, entry_of};
use crate::entry::Entry;
use crate::error::Result;
use crate::moment::Moment;

pub(super) fn csv(
    source: &SourceConfig,
    path: &Path,
    map: &BTreeMap<String, String>,
    sink: EntrySink<'_>,
) -> Result<()> {
    let mut reader = csv::Reader::from_path(path).map_err(|error| source.failed(error))?;
    let names: Vec<String> =
        reader.headers().map_err(|error| source.failed(error))?.iter().map(str::to_owned).collect();
    for row in reader.records() {
        let row = row.map_err(|error| source.failed(error))?;
        let object: Map<String, Value> = names
            .iter()
            .zip(&row)
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name.clone(), Value::from(value)))
            .collect();
        sink(entry_of(&Value::Object(object), map))?;
    }
    Ok(())
}

pub(super) fn glob(
    source: &SourceConfig,
    root: &Path,
    pattern: &str,
    prefix: &str,
    sink: EntrySink<'_>,
) -> Result<()> {
    let full = format!("{}/{pattern}", glob::Pattern::escape(&root.to_string_lossy()));
    for found in glob::glob(&full).map_err(|error| source.failed(error))? {
        let path = found.map_err(|error| source.failed(error))?;
        let metadata = path.metadata().map_err(|error| source.failed(error))?;
        if !metadata.is_file() {
            continue;
        }
        let relative = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
        let changed = metadata.modified().ok().and_then(|time| {
            let seconds = time.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
            Moment::from_millis(i64::try_from(seconds).ok()? * 1000).ok()
        });
        let url = format!("{}/{}", prefix.trim_end_matches('/'), page_of(&relative));
        sink(Ok(Entry { lastmod: changed, ..Entry::new(url) }))?;
    }
    Ok(())
}

/// The path under which a file is served: no extension, and a directory for its index.
fn page_of(file: &str) -> String {
    let encoded: String = file
        .split('/')
        .map(|part| {
            url::form_urlencoded::byte_serialize(part.as_bytes()).collect::<String>().replace('+', "%20")
        })
        .collect::<Vec<_>>()
        .join("/");
    let pages = [".html", ".htm", ".md", ".mdx", ".php", ".tsx", ".jsx", ".vue", ".svelte", ".astro"];
    let bare = pages.iter().find_map(|extension| encoded.strip_suffix(extension)).unwrap_or(&encoded);
    match bare.strip_suffix("index") {
        Some(directory) if directory.is_empty() || directory.ends_with('/') => directory.to_owned(),
        _ => bare.to_owned(),
    }
}

pub(super) fn routes(
    source: &SourceConfig,
    path: Option<&Path>,
    routes: &[Value],
    sink: EntrySink<'_>,
) -> Result<()> {
    let mut give = |routes: &[Value]| routes.iter().try_for_each(|route| sink(route_of(route)));
    give(routes)?;
    let Some(path) = path else { return Ok(()) };
    let text = std::fs::read_to_string(path).map_err(|error| source.failed(error))?;
    let value: Value = serde_json::from_str(&text).map_err(|error| source.failed(error))?;
    let list = value.get("routes").or_else(|| value.get("pages")).unwrap_or(&value);
    match list {
        Value::Array(list) => give(list),
        // A manifest from route to file.
        Value::Object(map) => give(&map.keys().map(|key| Value::from(key.as_str())).collect::<Vec<_>>()),
        _ => Err(source.failed("the file holds no list of routes")),
    }
}

fn route_of(route: &Value) -> Result<Entry, String> {
    let mut route = route.clone();
    if let Value::Object(map) = &mut route
        && let Some(path) = map.remove("path")
    {
        map.insert("url".to_owned(), path);
    }
    let entry = entry_of(&route, &BTreeMap::new())?;
    // A pattern is no page.
    if entry.url.contains(['[', ']', '{', '}', '*']) || entry.url.contains("/:") {
        return Err(format!("{} is a pattern, not a page", entry.url));
    }
    Ok(entry)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn urls(source: &SourceConfig) -> (Vec<String>, usize) {
        let (mut urls, mut refused) = (Vec::new(), 0);
        source
            .resolve(&mut |entry| {
                match entry {
                    Ok(entry) => urls.push(entry.url),
                    Err(_) => refused += 1,
                }
                Ok(())
            })
            .unwrap();
        urls.sort();
        (urls, refused)
    }

    #[test]
    fn files_become_pages() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["index.html", "about us.html", "blog/index.html", "blog/ü.html", "style.css"] {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let source = SourceConfig::Glob {
            root: directory.path().to_owned(),
            pattern: "**/*.html".to_owned(),
            prefix: "/docs/".to_owned(),
        };
        assert_eq!(urls(&source).0, ["/docs/", "/docs/about%20us", "/docs/blog/", "/docs/blog/%C3%BC"]);
    }

    #[test]
    fn routes_and_rows_become_entries() {
        let directory = tempfile::tempdir().unwrap();
        let manifest = directory.path().join("routes.json");
        std::fs::write(&manifest, r#"{"pages":{"/":"a.js","/about":"b.js","/blog/[slug]":"c.js"}}"#).unwrap();
        let source =
            SourceConfig::Routes { path: Some(manifest), routes: vec![serde_json::json!({"path": "/x"})] };
        assert_eq!(urls(&source), (vec!["/".to_owned(), "/about".to_owned(), "/x".to_owned()], 1));
        let table = directory.path().join("a.csv");
        std::fs::write(&table, "slug,changed\na,2026-11-21\nb,\n").unwrap();
        let map = BTreeMap::from([
            ("url".to_owned(), "/p/{slug}".to_owned()),
            ("lastmod".to_owned(), "changed".to_owned()),
        ]);
        assert_eq!(urls(&SourceConfig::Csv { path: table, map }).0, ["/p/a", "/p/b"]);
    }
}
