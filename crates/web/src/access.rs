//! Who may ask: names and passwords, if the server wants them, and no strange web pages.
//!
//! They come by HTTP Basic, or as clients of InfluxDB send them: as a token that is `name:password`, or in the address.
//!
//! Deciding about a password costs milliseconds of hashing, so a hash of what was right is kept for a while.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, Method, Uri, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

/// How long a password that was right counts as such.
const TRUST: Duration = Duration::from_mins(1);
/// How many passwords that were right are kept.
const TRUSTED_MAX: usize = 1024;

/// Decides who may use the door.
pub trait Gate: Send + Sync {
    /// Whether this is the password of a user who may. May take milliseconds.
    fn admits(&self, user: &str, password: &str) -> bool;
}

/// Passwords that were right a moment ago, by their hashes.
#[derive(Debug, Default)]
struct Trusted(Mutex<HashMap<[u8; 32], Instant>>);

/// Who is let in: everyone if there is no gate.
#[derive(Default)]
pub struct Admission {
    gate: Option<Arc<dyn Gate>>,
    trusted: Trusted,
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Admission").field("gate", &self.gate.is_some()).finish_non_exhaustive()
    }
}

impl Admission {
    /// Those whom the gate admits, or everyone.
    pub fn new(gate: Option<Arc<dyn Gate>>) -> Self {
        Self { gate, trusted: Trusted::default() }
    }

    /// Whether a request with these headers for this address may come in.
    pub async fn admits(&self, headers: &HeaderMap, address: &Uri) -> bool {
        let Some(gate) = self.gate.clone() else { return true };
        let Some((user, password)) = credentials(headers).or_else(|| in_address(address)) else {
            return false;
        };
        let pair = format!("{user}:{password}").into_bytes();
        if self.trusted.contains(&pair) {
            return true;
        }
        let asked = tokio::task::spawn_blocking(move || gate.admits(&user, &password)).await;
        let admitted = asked.unwrap_or(false);
        if admitted {
            self.trusted.add(&pair);
        }
        admitted
    }
}

impl Trusted {
    pub fn contains(&self, credentials: &[u8]) -> bool {
        self.0.lock().get(&key(credentials)).is_some_and(|until| Instant::now() < *until)
    }

    pub fn add(&self, credentials: &[u8]) {
        let mut known = self.0.lock();
        if known.len() >= TRUSTED_MAX {
            let now = Instant::now();
            known.retain(|_, until| now < *until);
        }
        if known.len() < TRUSTED_MAX {
            known.insert(key(credentials), Instant::now() + TRUST);
        }
    }
}

fn key(credentials: &[u8]) -> [u8; 32] {
    Sha256::digest(credentials).into()
}

/// User and password of a request.
fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    let decoded = if scheme.eq_ignore_ascii_case("basic") {
        String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?
    } else if scheme.eq_ignore_ascii_case("token") {
        encoded.trim().to_owned()
    } else {
        return None;
    };
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// User and password that InfluxDB's addresses have as `u` and `p`.
fn in_address(address: &Uri) -> Option<(String, String)> {
    if !matches!(address.path(), "/write" | "/query") {
        return None;
    }
    let pairs = || form_urlencoded::parse(address.query().unwrap_or_default().as_bytes());
    let parameter = |name: &str| pairs().find(|(own, _)| own == name).map(|(_, value)| value.into_owned());
    Some((parameter("u")?, parameter("p").unwrap_or_default()))
}

/// Whether a web page of another server makes a browser send what changes something.
pub fn is_strange_page(method: &Method, headers: &HeaderMap) -> bool {
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return false;
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(origin) = text(header::ORIGIN) else { return false };
    let own = origin.split_once("://").map(|(_, host)| host);
    own.is_none() || own != text(header::HOST)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn of(value: &'static str) -> Option<(String, String)> {
        credentials(&headers(&[("authorization", value)]))
    }

    #[test]
    fn user_and_password_come_from_the_header() {
        assert_eq!(of("Basic bHVtYTphOmI="), Some(("luma".into(), "a:b".into())));
        assert_eq!(of("basic bHVtYTo="), Some(("luma".into(), String::new())));
        assert_eq!(of("Token luma:a:b"), Some(("luma".into(), "a:b".into())));
        assert_eq!(of("Token luma"), None);
        assert_eq!(of("Bearer bHVtYTphOmI="), None);
        assert_eq!(of("Basic ***"), None);
        assert_eq!(credentials(&HeaderMap::new()), None);
    }

    #[test]
    fn addresses_of_influxdb_may_name_the_user() {
        let of = |address: &'static str| in_address(&Uri::from_static(address));
        assert_eq!(of("/write?db=d&u=luma&p=a%20b"), Some(("luma".into(), "a b".into())));
        assert_eq!(of("/query?u=luma"), Some(("luma".into(), String::new())));
        assert_eq!(of("/write?p=a"), None);
        assert_eq!(of("/api/v1/query?u=luma&p=a"), None);
    }

    #[test]
    fn only_the_right_password_is_trusted() {
        let trusted = Trusted::default();
        trusted.add(b"luma:one");
        assert!(trusted.contains(b"luma:one"));
        assert!(!trusted.contains(b"luma:two"));
    }

    #[test]
    fn a_page_of_another_server_changes_nothing() {
        let from = |origin| headers(&[("host", "localhost:9090"), ("origin", origin)]);
        assert!(is_strange_page(&Method::POST, &from("http://evil.example")));
        assert!(is_strange_page(&Method::POST, &from("null")));
        assert!(!is_strange_page(&Method::POST, &from("http://localhost:9090")));
        assert!(!is_strange_page(&Method::POST, &headers(&[("host", "localhost:9090")])));
        assert!(!is_strange_page(&Method::GET, &from("http://evil.example")));
    }
}
