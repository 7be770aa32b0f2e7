//! Answers to GET and HEAD: conditions and ranges of RFC 9110.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures::{Stream, StreamExt};

use crate::moment::Moment;

/// Something that can be asked for.
pub(super) struct Representation {
    pub(super) kind: &'static str,
    /// `gzip`, when it is compressed for the way.
    pub(super) encoding: Option<&'static str>,
    /// Whether another form would have been sent to who accepts another encoding.
    pub(super) varies: bool,
    /// Without quotes; differs whenever a byte does.
    pub(super) tag: String,
    pub(super) changed: Option<Moment>,
    pub(super) parts: Parts,
}

/// The bytes, in parts.
pub(super) enum Parts {
    /// All there.
    Ready(Vec<Bytes>),
    /// Made when they are sent: the length of each, and how to make it.
    Made(Vec<u64>, Box<dyn Fn(usize) -> std::io::Result<Bytes> + Send>),
}

impl Parts {
    fn lengths(&self) -> Vec<u64> {
        match self {
            Self::Ready(parts) => parts.iter().map(|part| part.len() as u64).collect(),
            Self::Made(lengths, _) => lengths.clone(),
        }
    }

    fn stream(self, from: u64, to: u64) -> impl Stream<Item = std::io::Result<Bytes>> + Send {
        let mut start = 0;
        let mut wanted = Vec::new();
        for (number, length) in self.lengths().into_iter().enumerate() {
            let end = start + length;
            if start < to && end > from {
                wanted.push((number, from.saturating_sub(start) as usize, (to.min(end) - start) as usize));
            }
            start = end;
        }
        futures::stream::iter(wanted).map(move |(number, from, to)| {
            let part = match &self {
                Self::Ready(parts) => parts.get(number).cloned().unwrap_or_default(),
                Self::Made(_, make) => make(number)?,
            };
            // A part that is not as long as was said would shift all that follows.
            if part.len() < to {
                Err(std::io::Error::other("a part is too short"))
            } else {
                Ok(part.slice(from..to))
            }
        })
    }
}

fn insert(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The date that may be told: until its second is over, another change could get the same one.
fn told(changed: Option<Moment>, now: i64) -> Option<Moment> {
    changed.filter(|changed| now - changed.millis >= 1000)
}

/// Whether the client has it already, so that nothing needs to be made.
pub(super) fn is_known(headers: &HeaderMap, tag: &str, changed: Option<Moment>, now: i64) -> bool {
    if let Some(known) = text(headers, &header::IF_NONE_MATCH) {
        return known.split(',').any(|known| {
            let known = known.trim();
            known == "*" || known.strip_prefix("W/").unwrap_or(known).trim_matches('"') == tag
        });
    }
    let since = text(headers, &header::IF_MODIFIED_SINCE).and_then(http_date);
    matches!((since, told(changed, now)), (Some(since), Some(changed)) if changed.millis <= since)
}

fn http_date(text: &str) -> Option<i64> {
    chrono::DateTime::parse_from_rfc2822(text).ok().map(|date| date.timestamp_millis())
}

/// What a header asks for.
#[derive(Debug, PartialEq, Eq)]
enum Range {
    Whole,
    Part(u64, u64),
    Impossible,
}

/// One range; of several the whole is sent, as the standard allows.
fn range(headers: &HeaderMap, tag: &str, changed: Option<Moment>, length: u64) -> Range {
    let Some(asked) = text(headers, &header::RANGE).and_then(|asked| asked.strip_prefix("bytes=")) else {
        return Range::Whole;
    };
    if let Some(condition) = text(headers, &header::IF_RANGE) {
        let same_date =
            || http_date(condition).is_some_and(|date| Some(date) == changed.map(|changed| changed.millis));
        if condition != tag && !same_date() {
            return Range::Whole;
        }
    }
    let Some((first, last)) = asked.split_once('-') else { return Range::Whole };
    let (first, last) = (first.trim(), last.trim());
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    let (from, to) = match (number(first), number(last)) {
        (Some(from), Some(last)) if from <= last => (from, last.saturating_add(1).min(length)),
        (Some(from), None) if last.is_empty() => (from, length),
        (None, Some(suffix)) if first.is_empty() => (length.saturating_sub(suffix), length),
        _ => return Range::Whole,
    };
    if from < to { Range::Part(from, to) } else { Range::Impossible }
}

/// Answers with a representation, a part of it, or that it is known.
pub(super) fn answer(method: &Method, headers: &HeaderMap, what: Representation, now: i64) -> Response {
    let known = is_known(headers, &what.tag, what.changed, now);
    let (tag, changed) = (format!("\"{}\"", what.tag), told(what.changed, now));
    let mut response = Response::new(Body::empty());
    insert(&mut response, header::ETAG, &tag);
    insert(&mut response, header::CACHE_CONTROL, "no-cache");
    if what.varies {
        insert(&mut response, header::VARY, "accept-encoding");
    }
    if let Some(changed) = changed {
        insert(&mut response, header::LAST_MODIFIED, &changed.http_date());
    }
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    insert(&mut response, header::CONTENT_TYPE, what.kind);
    insert(&mut response, header::ACCEPT_RANGES, "bytes");
    insert(&mut response, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    if let Some(encoding) = what.encoding {
        insert(&mut response, header::CONTENT_ENCODING, encoding);
    }
    let length: u64 = what.parts.lengths().iter().sum();
    // Ranges are for GET alone.
    let range = if method == Method::GET { range(headers, &tag, changed, length) } else { Range::Whole };
    let (from, to) = match range {
        Range::Whole => (0, length),
        Range::Part(from, to) => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            insert(&mut response, header::CONTENT_RANGE, &format!("bytes {from}-{}/{length}", to - 1));
            (from, to)
        }
        Range::Impossible => {
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            insert(&mut response, header::CONTENT_RANGE, &format!("bytes */{length}"));
            return response;
        }
    };
    insert(&mut response, header::CONTENT_LENGTH, itoa::Buffer::new().format(to - from));
    if method == Method::GET {
        *response.body_mut() = Body::from_stream(what.parts.stream(from, to));
    }
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn headers(list: &[(HeaderName, &str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn ranges_are_cut_to_what_is_there() {
        for (asked, expected) in [
            ("bytes=0-9", Range::Part(0, 10)),
            ("bytes=90-", Range::Part(90, 100)),
            ("bytes=-10", Range::Part(90, 100)),
            ("bytes=-1000", Range::Part(0, 100)),
            ("bytes=50-99999999999999999999999", Range::Part(50, 100)),
            ("bytes=100-", Range::Impossible),
            ("bytes=-0", Range::Impossible),
            ("bytes=9-3", Range::Whole),
            ("bytes=a-b", Range::Whole),
            ("bytes=0-1,5-6", Range::Whole),
            ("lines=0-1", Range::Whole),
            ("bytes=-", Range::Whole),
        ] {
            assert_eq!(range(&headers(&[(header::RANGE, asked)]), "\"t\"", None, 100), expected, "{asked}");
        }
        let other = headers(&[(header::RANGE, "bytes=0-9"), (header::IF_RANGE, "\"other\"")]);
        assert_eq!(range(&other, "\"t\"", None, 100), Range::Whole);
        let same = headers(&[(header::RANGE, "bytes=0-9"), (header::IF_RANGE, "\"t\"")]);
        assert_eq!(range(&same, "\"t\"", None, 100), Range::Part(0, 10));
    }

    #[test]
    fn what_is_known_is_not_sent_again() {
        let changed = Some(Moment::parse("2026-11-21T07:00:00Z").unwrap());
        let known = |name, value| is_known(&headers(&[(name, value)]), "t", changed, i64::MAX);
        assert!(known(header::IF_NONE_MATCH, "\"a\", W/\"t\""));
        assert!(known(header::IF_NONE_MATCH, "*"));
        assert!(!known(header::IF_NONE_MATCH, "\"a\""));
        assert!(known(header::IF_MODIFIED_SINCE, "Sat, 21 Nov 2026 07:00:00 GMT"));
        assert!(!known(header::IF_MODIFIED_SINCE, "Sat, 21 Nov 2026 06:59:59 GMT"));
        assert!(!known(header::IF_MODIFIED_SINCE, "yesterday"));
        let at_once = headers(&[(header::IF_MODIFIED_SINCE, "Sat, 21 Nov 2026 07:00:00 GMT")]);
        let millis = changed.map_or(0, |changed| changed.millis);
        assert!(!is_known(&at_once, "t", changed, millis + 999), "it may change again within the second");
    }
}
