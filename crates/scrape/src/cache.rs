//! What a target said before: its series by the bytes it calls them, so that known ones are not relabelled again, and so
//! that it is seen which of them ended.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use hashbrown::hash_map::EntryRef;
use luma_promql::Labels;
use luma_telemetry::Metadata;

use crate::exposition::About;

/// How many entries beyond twice those of the last good answer are kept while answers are no good.
const SPARE: usize = 1000;
/// How many families may have metadata.
const FAMILIES_MAX: usize = 100_000;

#[derive(Debug)]
pub(crate) struct Entry {
    /// The labels of the series in the store; `None` if relabelling drops it.
    pub labels: Option<Labels>,
    /// The turn in which it was there last.
    seen: u64,
    /// The turn in which it last had a sample after which it may end.
    current: u64,
    /// The one before that.
    before: u64,
}

impl Entry {
    /// Notes that the series has a sample in the turn that goes on, after which it may end.
    pub fn is_current(&mut self) {
        if self.current != self.seen {
            (self.before, self.current) = (self.current, self.seen);
        }
    }
}

/// What a target's answers have in common; a turn is an answer.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    turn: u64,
    entries: HashMap<Vec<u8>, Entry>,
    /// How many entries there were after the last good answer.
    good: usize,
    pub metadata: BTreeMap<String, Metadata>,
}

/// Whether a series was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    New,
    Before,
    /// It was in this answer already.
    Twice,
}

impl Cache {
    /// Begins a turn.
    pub fn begin(&mut self) {
        self.turn += 1;
    }

    /// The series that bytes stand for, made by `make` if they are new.
    pub fn series(
        &mut self,
        key: &[u8],
        make: impl FnOnce() -> Result<Option<Labels>, String>,
    ) -> Result<(&mut Entry, Known), String> {
        let (entry, known) = match self.entries.entry_ref(key) {
            EntryRef::Occupied(entry) => (entry.into_mut(), Known::Before),
            EntryRef::Vacant(entry) => {
                let labels = make()?;
                (entry.insert(Entry { labels, seen: 0, current: 0, before: 0 }), Known::New)
            }
        };
        let known = if entry.seen == self.turn { Known::Twice } else { known };
        entry.seen = self.turn;
        Ok((entry, known))
    }

    /// Takes back that series have samples in this turn: its answer is not stored.
    pub fn take_back(&mut self) {
        for entry in self.entries.values_mut().filter(|entry| entry.current == self.turn) {
            entry.current = entry.before;
        }
    }

    /// The series that had a sample in the turn before and have none in this one.
    pub fn ended(&self) -> Vec<Labels> {
        let mut ended: Vec<Labels> = self
            .entries
            .values()
            .filter(|entry| entry.current > 0 && entry.current + 1 == self.turn)
            .filter_map(|entry| entry.labels.clone())
            .collect();
        if !ended.is_empty() {
            // Something else may have become the same series.
            let of_now = self.entries.values().filter(|entry| entry.current == self.turn);
            let now: std::collections::BTreeSet<&Labels> =
                of_now.filter_map(|entry| entry.labels.as_ref()).collect();
            ended.retain(|labels| !now.contains(labels));
        }
        ended.sort();
        ended.dedup();
        ended
    }

    /// Ends a turn: after a good answer what was not in it is forgotten.
    pub fn end(&mut self, good: bool) {
        if good || self.entries.len() > self.good * 2 + SPARE {
            let turn = self.turn;
            self.entries.retain(|_, entry| entry.seen == turn);
        }
        if good {
            self.good = self.entries.len();
        }
    }

    /// Takes what is said of a family; whether that is new.
    pub fn about(&mut self, family: &str, about: About<'_>) -> bool {
        if !self.metadata.contains_key(family) {
            if self.metadata.len() >= FAMILIES_MAX {
                return false;
            }
            self.metadata
                .insert(family.to_owned(), Metadata { kind: "unknown".to_owned(), ..Metadata::default() });
        }
        let Some(metadata) = self.metadata.get_mut(family) else { return false };
        let (place, text) = match about {
            About::Kind(text) => (&mut metadata.kind, text),
            About::Help(text) => (&mut metadata.help, text),
            About::Unit(text) => (&mut metadata.unit, text),
        };
        let changed = place != text;
        if changed {
            text.clone_into(place);
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn labels(name: &str) -> Labels {
        Labels::new([("__name__", name)])
    }

    /// A turn in which these series have samples; the ended ones.
    fn turn(cache: &mut Cache, keys: &[&str], good: bool) -> Vec<String> {
        cache.begin();
        for key in keys {
            let (entry, _) = cache.series(key.as_bytes(), || Ok(Some(labels(key)))).unwrap();
            entry.is_current();
        }
        if !good {
            cache.take_back();
        }
        let ended = cache.ended().iter().map(|labels| labels.metric_name().to_owned()).collect();
        cache.end(good);
        ended
    }

    #[test]
    fn a_series_ends_once_and_may_begin_again() {
        let mut cache = Cache::default();
        assert!(turn(&mut cache, &["a", "b"], true).is_empty());
        assert_eq!(turn(&mut cache, &["a"], true), ["b"]);
        assert!(turn(&mut cache, &["a", "b"], true).is_empty());
        // What an answer that is not stored had is no sample.
        assert_eq!(turn(&mut cache, &["a", "c"], false), ["a", "b"]);
        assert!(turn(&mut cache, &[], false).is_empty());
        // They are known still.
        cache.begin();
        let (_, known) = cache.series(b"a", || Err("known".to_owned())).unwrap();
        assert_eq!(known, Known::Before);
        let (_, known) = cache.series(b"a", || Err("known".to_owned())).unwrap();
        assert_eq!(known, Known::Twice);
    }

    #[test]
    fn answers_that_are_no_good_do_not_grow_the_cache_for_ever() {
        let mut cache = Cache::default();
        for round in 0..100 {
            let names: Vec<String> = (0..100).map(|n| format!("m_{round}_{n}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            turn(&mut cache, &names, false);
        }
        assert!(cache.entries.len() <= SPARE + 100, "{}", cache.entries.len());
    }
}
