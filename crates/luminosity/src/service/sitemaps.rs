//! Sitemaps, their index, `robots.txt` and the stylesheet.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use super::answer::{Parts, Representation, answer, is_known};
use super::{Answer, Ctx, Refusal, Shared, blocking};
use crate::config::Config;
use crate::engine::FragmentInfo;
use crate::error::Result;
use crate::fragment::Fragment;
use crate::moment::Moment;
use crate::publish::{STYLESHEET, empty_sitemap, fragment_name, write_index};

/// A fragment's gzip form, shared by those who asked for it at once.
pub(super) type Gzip = Arc<Vec<Bytes>>;

const XML: &str = "application/xml; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// The sitemap or the index.
    Main,
    Fragment {
        number: u32,
        gzip: bool,
    },
    Robots,
    Stylesheet,
    Key,
    Nothing,
}

fn asked(config: &Config, path: &str, query: Option<&str>) -> Asked {
    let Some(name) = path.strip_prefix('/') else { return Asked::Nothing };
    let filename = &config.output.filename;
    if name == filename {
        let page =
            query.into_iter().flat_map(|query| query.split('&')).find_map(|pair| pair.strip_prefix("page="));
        return match page.map(number) {
            None => Asked::Main,
            Some(Some(number)) => Asked::Fragment { number, gzip: false },
            Some(None) => Asked::Nothing,
        };
    }
    match name {
        "robots.txt" => return Asked::Robots,
        "sitemap.xsl" => return Asked::Stylesheet,
        _ => {}
    }
    if config.index_now.as_ref().is_some_and(|found| name.strip_suffix(".txt") == Some(&found.key)) {
        return Asked::Key;
    }
    let stem = filename.strip_suffix(".xml").unwrap_or(filename);
    let Some(rest) = name.strip_prefix(stem).and_then(|rest| rest.strip_prefix('-')) else {
        return Asked::Nothing;
    };
    let (rest, gzip) = rest.strip_suffix(".gz").map_or((rest, false), |rest| (rest, true));
    match rest.strip_suffix(".xml").and_then(number) {
        Some(number) => Asked::Fragment { number, gzip },
        None => Asked::Nothing,
    }
}

/// A number as the service writes it, so that a fragment has one name.
fn number(text: &str) -> Option<u32> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| plain)
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let mut found = None;
    let lists = headers.get_all(header::ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    for item in lists.flat_map(|list| list.split(',')) {
        let mut words = item.split(';').map(str::trim);
        let name = words.next().unwrap_or_default();
        let quality =
            words.find_map(|word| word.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse::<f32>().ok());
        let taken = quality.is_some_and(|quality| quality > 0.0);
        match name.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => return taken,
            "*" => found = Some(taken),
            _ => {}
        }
    }
    found.unwrap_or(false)
}

pub(super) async fn serve(State(shared): Ctx, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let asked = asked(&shared.config, uri.path(), uri.query());
    if asked != Asked::Nothing && method != Method::GET && method != Method::HEAD {
        let allow = [(header::ALLOW, "GET, HEAD")];
        return (StatusCode::METHOD_NOT_ALLOWED, allow).into_response();
    }
    shared.metrics.requests.add(1);
    let begun = std::time::Instant::now();
    let answered = find(&shared, asked, &method, &headers).await.unwrap_or_else(IntoResponse::into_response);
    shared.metrics.serve_micros.add(begun.elapsed().as_micros() as u64);
    answered
}

async fn find(shared: &Arc<Shared>, asked: Asked, method: &Method, headers: &HeaderMap) -> Answer {
    let now = chrono::Utc::now().timestamp_millis();
    let small = |kind, text: &str| {
        let what = Representation {
            kind,
            encoding: None,
            varies: false,
            tag: format!("{:x}-{:x}", text.len(), crc32fast::hash(text.as_bytes())),
            changed: None,
            parts: Parts::Ready(vec![Bytes::copy_from_slice(text.as_bytes())]),
        };
        Ok(answer(method, headers, what, now))
    };
    let missing = || Refusal::new(StatusCode::NOT_FOUND, "there is no such sitemap");
    match asked {
        Asked::Nothing => Err(missing()),
        Asked::Robots => small(TEXT, &shared.robots),
        Asked::Stylesheet => small("text/xsl; charset=utf-8", STYLESHEET),
        Asked::Key => small(TEXT, shared.config.index_now.as_ref().map_or("", |found| &found.key)),
        Asked::Main => {
            shared.fresh.ready().await?;
            let snapshot = shared.engine.snapshot();
            let all = shared.engine.fragments_at(&snapshot)?;
            let listed: Vec<_> = all.iter().filter(|info| info.listed > 0).copied().collect();
            if let [only] = listed.as_slice()
                && let Some(fragment) = shared.engine.fragment_at(&snapshot, only.number)?
            {
                return fragment_answer(shared, fragment, false, method, headers, now).await;
            }
            Ok(answer(method, headers, index(shared, &all, &listed)?, now))
        }
        Asked::Fragment { number, gzip } => {
            shared.fresh.ready().await?;
            let fragment = shared.engine.fragment(number)?.ok_or_else(missing)?;
            fragment_answer(shared, fragment, gzip, method, headers, now).await
        }
    }
}

fn index(shared: &Shared, all: &[FragmentInfo], listed: &[FragmentInfo]) -> Result<Representation> {
    let output = &shared.config.output;
    let stylesheet = shared.engine.settings().stylesheet.as_deref();
    let base = shared.config.url_of(shared.engine.site(), "")?;
    let name = |number| format!("{base}{}", fragment_name(&output.filename, number, output.gzip));
    let xml =
        if listed.is_empty() { empty_sitemap(stylesheet) } else { write_index(listed, &name, stylesheet) };
    // An emptied fragment changed the index too.
    let changed: Option<Moment> = all.iter().map(|info| info.changed).max_by_key(|changed| changed.millis);
    Ok(Representation {
        kind: XML,
        encoding: None,
        varies: false,
        tag: format!("i{:x}-{:x}", xml.len(), crc32fast::hash(&xml)),
        changed,
        parts: Parts::Ready(vec![xml.into()]),
    })
}

async fn fragment_answer(
    shared: &Arc<Shared>,
    fragment: Fragment,
    as_file: bool,
    method: &Method,
    headers: &HeaderMap,
    now: i64,
) -> Answer {
    let compressed = as_file || accepts_gzip(headers);
    let tag = format!("{}{}", fragment.tag(), if compressed { "-gz" } else { "" });
    let (kind, encoding) = match (as_file, compressed) {
        (true, _) => ("application/gzip", None),
        (false, true) => (XML, Some("gzip")),
        (false, false) => (XML, None),
    };
    let changed = Some(fragment.changed());
    let parts = if is_known(headers, &tag, changed, now) {
        Parts::Ready(Vec::new())
    } else {
        parts(shared, fragment, compressed).await?
    };
    Ok(answer(method, headers, Representation { kind, encoding, varies: !as_file, tag, changed, parts }, now))
}

async fn parts(shared: &Shared, fragment: Fragment, compressed: bool) -> Result<Parts> {
    let fragment = Arc::new(fragment);
    let cold = fragment.cold_blocks();
    let mut gzip = None;
    if cold > 0 {
        shared.metrics.blocks_made.add(cold as u64);
        let making = Arc::clone(&fragment);
        let key = (fragment.info().number, fragment.tag());
        let make = || blocking(move || making.gzip().map(Arc::new));
        gzip = Some(shared.gzip.get(key, make).await?);
    }
    if !compressed {
        return Ok(Parts::Made(
            fragment.plain_lengths(),
            Box::new(move |part| fragment.plain_part(part).map_err(std::io::Error::other)),
        ));
    }
    match gzip {
        Some(parts) => Ok(Parts::Ready(parts.to_vec())),
        None => fragment.gzip().map(Parts::Ready),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn paths_name_one_thing_each() {
        let index_now = serde_json::from_str(r#"{"key":"0123456789abcdef"}"#).unwrap();
        let config = Config { index_now: Some(index_now), ..Config::default() };
        let plain = |number| Asked::Fragment { number, gzip: false };
        for (path, query, expected) in [
            ("/sitemap.xml", None, Asked::Main),
            ("/sitemap.xml", Some("utm=1"), Asked::Main),
            ("/sitemap.xml", Some("a=b&page=3"), plain(3)),
            ("/sitemap.xml", Some("page=x"), Asked::Nothing),
            ("/sitemap-12.xml", None, plain(12)),
            ("/sitemap-12.xml.gz", None, Asked::Fragment { number: 12, gzip: true }),
            ("/sitemap-012.xml", None, Asked::Nothing),
            ("/sitemap-+1.xml", None, Asked::Nothing),
            ("/sitemap-99999999999.xml", None, Asked::Nothing),
            ("/sitemap-.xml", None, Asked::Nothing),
            ("/robots.txt", None, Asked::Robots),
            ("/0123456789abcdef.txt", None, Asked::Key),
            ("/", None, Asked::Nothing),
            ("", None, Asked::Nothing),
        ] {
            assert_eq!(asked(&config, path, query), expected, "{path}");
        }
    }

    #[test]
    fn gzip_is_sent_to_who_takes_it() {
        for (header, expected) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("*", true),
            ("*;q=0", false),
            ("gzip;q=0, *", false),
            ("identity", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, header.parse().unwrap())]);
            assert_eq!(accepts_gzip(&headers), expected, "{header}");
        }
    }
}
