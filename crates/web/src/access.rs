//! Who may ask: names and passwords (HTTP Basic), if the server wants them, and no strange web pages.
//!
//! Deciding about a password costs milliseconds of hashing, so a hash of what was right is kept for a while.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, Method, header};
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

    /// Whether a request with these headers may come in.
    pub async fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(gate) = self.gate.clone() else { return true };
        let Some((user, password)) = credentials(headers) else { return false };
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
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
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
        assert_eq!(of("Bearer bHVtYTphOmI="), None);
        assert_eq!(of("Basic ***"), None);
        assert_eq!(credentials(&HeaderMap::new()), None);
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
