//! What stays of a keyspace's values: those that have not expired and that its filter keeps.
//!
//! In a keyspace whose values expire each one begins with the time of its commit, in the log, in memory and
//! in files alike. Readers are shown it without that, and none that has expired. A flush, a merge and a
//! checkpoint leave out what has expired or what the filter removes; where something older could lie
//! below, a tombstone takes its place.
//!
//! Invariant: that changes only what views made afterwards show. A snapshot reads the memtables and files of
//! its own view, so the filter takes nothing from it; the clock takes from all alike.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::keyspace::KeyspaceInner;
use crate::merge_operator::{self, Below, Merges, is_value, stored_value};

/// What a filter says of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filtered {
    /// It stays.
    Keep,
    /// It goes, as if it had been deleted.
    Remove,
    /// This takes its place.
    Change(Vec<u8>),
}

/// Decides which values of a keyspace stay when they are written to files.
///
/// Called in flushes, merges and checkpoints, in any order, from several threads, and never under a lock
/// that commits need. Until then readers see the value as it was written; snapshots from before see it
/// always. The same value may be seen again, also one that a filter made.
pub trait CompactionFilter: std::fmt::Debug + Send + Sync {
    /// Says what becomes of a value.
    fn filter(&self, key: &[u8], value: &[u8]) -> Filtered;
}

/// The time of a commit before a value.
const STAMP_BYTES: usize = 8;
/// The stamp of what is not committed yet.
const NEVER: u64 = u64::MAX;

/// Milliseconds since 1970.
pub(crate) fn now_millis() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    since.as_millis() as u64
}

/// How long values live, and what the time is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expiry {
    ttl_millis: u64,
    now_millis: u64,
}

impl Expiry {
    /// A stored value without its stamp; `None` when it has expired.
    pub(crate) fn live<'a>(&self, stored: &'a [u8]) -> Option<&'a [u8]> {
        let (stamp, value) = stored.split_first_chunk::<STAMP_BYTES>()?;
        let expires = u64::from_le_bytes(*stamp).saturating_add(self.ttl_millis);
        (expires > self.now_millis).then_some(value)
    }
}

/// Puts a time where a stamped value begins.
pub(crate) fn stamp(stored: &mut [u8], millis: u64) {
    if let Some(place) = stored.first_chunk_mut::<STAMP_BYTES>() {
        *place = millis.to_le_bytes();
    }
}

fn stamped(value: &[u8], millis: u64) -> Vec<u8> {
    [&millis.to_le_bytes()[..], value].concat()
}

impl KeyspaceInner {
    /// What tells which values have expired by now, if values of this keyspace do.
    #[inline]
    pub(crate) fn expiry(&self) -> Option<Expiry> {
        let ttl = self.options.ttl?;
        Some(Expiry { ttl_millis: ttl.as_millis() as u64, now_millis: now_millis() })
    }

    /// What readers are shown of a stored value; `None` when it has expired.
    #[inline]
    pub(crate) fn shown<'a>(&self, stored: &'a [u8]) -> Option<&'a [u8]> {
        match self.expiry() {
            None => Some(stored),
            Some(expiry) => expiry.live(stored),
        }
    }

    /// What is stored of a value before its commit gives it a time.
    pub(crate) fn stored<'a>(&self, value: &'a [u8]) -> Cow<'a, [u8]> {
        match self.options.ttl {
            None if self.merges.is_some() => Cow::Owned(stored_value(value)),
            None => Cow::Borrowed(value),
            Some(_) => Cow::Owned(stamped(value, NEVER)),
        }
    }

    /// What is stored of a value that counts from now.
    pub(crate) fn stored_now<'a>(&self, value: &'a [u8]) -> Cow<'a, [u8]> {
        match self.options.ttl {
            None if self.merges.is_some() => Cow::Owned(stored_value(value)),
            None => Cow::Borrowed(value),
            Some(_) => Cow::Owned(stamped(value, now_millis())),
        }
    }

    /// What stays when its values are written to files.
    pub(crate) fn keep(&self) -> Keep {
        Keep { expiry: self.expiry(), filter: self.filter.clone(), merges: self.merges.clone() }
    }

    /// The same where all values stay: what is merged is merged.
    pub(crate) fn keep_all(&self) -> Keep {
        Keep { merges: self.merges.clone(), ..Keep::default() }
    }
}

/// What stays when values are written to files.
#[derive(Clone, Default)]
pub(crate) struct Keep {
    expiry: Option<Expiry>,
    filter: Option<Arc<dyn CompactionFilter>>,
    merges: Option<Merges>,
}

impl Keep {
    /// Whether all of them stay as they are.
    #[inline]
    pub(crate) fn is_all(&self) -> bool {
        !self.judges() && self.merges.is_none()
    }

    /// Whether some of them may go or be changed, however they were stored.
    #[inline]
    pub(crate) fn judges(&self) -> bool {
        self.expiry.is_some() || self.filter.is_some()
    }

    /// Whether operands are merged.
    pub(crate) fn merges(&self) -> bool {
        self.merges.is_some()
    }

    /// What is stored in the place of a stored value, of which this is below; `None` when it goes.
    #[inline]
    pub(crate) fn value<'a>(
        &self,
        key: &[u8],
        stored: &'a [u8],
        below: impl FnOnce() -> Below<'a>,
    ) -> Option<Cow<'a, [u8]>> {
        if self.is_all() { Some(Cow::Borrowed(stored)) } else { self.merged(key, stored, below) }
    }

    fn merged<'a>(
        &self,
        key: &[u8],
        stored: &'a [u8],
        below: impl FnOnce() -> Below<'a>,
    ) -> Option<Cow<'a, [u8]>> {
        let Some(merges) = &self.merges else { return self.judged(key, Cow::Borrowed(stored)) };
        if is_value(stored) {
            return self.judged(key, Cow::Borrowed(stored));
        }
        let merged = merges.settled(key, merge_operator::over(Cow::Borrowed(stored), below()));
        // What is not whole yet is judged when it is.
        if is_value(&merged) { self.judged(key, merged) } else { Some(merged) }
    }

    fn judged<'a>(&self, key: &[u8], stored: Cow<'a, [u8]>) -> Option<Cow<'a, [u8]>> {
        let before = usize::from(self.merges.is_some());
        let value = match &self.expiry {
            None => stored.get(before..).unwrap_or_default(),
            Some(expiry) => expiry.live(&stored)?,
        };
        let Some(filter) = &self.filter else { return Some(stored) };
        match filter.filter(key, value) {
            Filtered::Keep => Some(stored),
            Filtered::Remove => None,
            // It is as old as what it replaces.
            Filtered::Change(new) => {
                let stamp = stored.get(..stored.len() - value.len()).unwrap_or_default();
                Some(Cow::Owned([stamp, &new].concat()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_value_lives_for_its_time_from_its_commit_on() {
        let at = |now_millis| Expiry { ttl_millis: 100, now_millis };
        let mut stored = stamped(b"v", NEVER);
        assert_eq!(at(u64::MAX - 1).live(&stored), Some(&b"v"[..]));
        stamp(&mut stored, 1000);
        assert_eq!(at(1099).live(&stored), Some(&b"v"[..]));
        assert_eq!(at(1100).live(&stored), None);
        assert_eq!(at(0).live(b"short"), None);
    }

    #[derive(Debug)]
    struct Doubles;

    impl CompactionFilter for Doubles {
        fn filter(&self, key: &[u8], value: &[u8]) -> Filtered {
            match key {
                b"keep" => Filtered::Keep,
                b"remove" => Filtered::Remove,
                _ => Filtered::Change(value.repeat(2)),
            }
        }
    }

    #[test]
    fn a_changed_value_keeps_its_time() {
        let expiry = Some(Expiry { ttl_millis: 100, now_millis: 1050 });
        let keep = Keep { expiry, filter: Some(Arc::new(Doubles)), merges: None };
        let value = |keep: &Keep, key: &[u8], stored: &[u8]| {
            keep.value(key, stored, || Below::Older).map(Cow::into_owned)
        };
        let stored = stamped(b"v", 1000);
        assert_eq!(value(&keep, b"keep", &stored).unwrap(), stored);
        assert_eq!(value(&keep, b"remove", &stored), None);
        assert_eq!(value(&keep, b"change", &stored).unwrap(), stamped(b"vv", 1000));
        assert_eq!(value(&keep, b"keep", &stamped(b"v", 900)), None);
        assert_eq!(value(&Keep::default(), b"remove", &stored).unwrap(), stored);
    }
}
