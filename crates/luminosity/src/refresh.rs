//! Bringing the store to what the sources say.
//!
//! What a source gives is added or updated; what came from a source once and is given by none any more is
//! removed. Entries that were added in other ways stay. Invariant: when a source fails, nothing is removed,
//! so a database that is away does not empty a sitemap.
//!
//! Memory: 16 bytes per URL of the sources while it runs.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use lightning::{Direction, Durability, Readable, WriteBatch};
use serde::Serialize;

use crate::engine::{Change, Engine, Outcome, Summary};
use crate::error::Result;
use crate::record::{Prepared, Scratch, View};
use crate::sources::SourceConfig;

/// Changes that are applied together.
const BATCH: usize = 4096;

/// What a refresh did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Refreshed {
    /// What became of what the sources gave.
    #[serde(flatten)]
    pub summary: Summary,
    /// Sources that failed, and why.
    pub failed: Vec<String>,
}

struct Pass<'a> {
    engine: &'a Engine,
    seen: HashSet<(u64, u64)>,
    hashers: (RandomState, RandomState),
    pending: Vec<Change>,
    scratch: Scratch,
    given: u64,
    summary: Summary,
    changed: &'a mut dyn FnMut(&str),
}

impl Pass<'_> {
    fn name(&self, key: &str) -> (u64, u64) {
        (self.hashers.0.hash_one(key), self.hashers.1.hash_one(key))
    }

    fn take(&mut self, entry: Result<crate::entry::Entry, String>) -> Result<()> {
        self.given += 1;
        let prepared = entry.and_then(|entry| {
            Prepared::new(self.engine.site(), entry, &mut self.scratch).map_err(|reason| reason.to_string())
        });
        match prepared {
            Err(reason) => self.summary.reject(self.given, reason),
            Ok(prepared) => {
                let key = View::stored(&prepared.record)?.key;
                let name = self.name(key);
                if self.seen.insert(name) {
                    self.pending.push(Change::Add(prepared));
                } else {
                    self.summary.reject(self.given, format!("{key} was given before; the first one counts"));
                }
            }
        }
        if self.pending.len() < BATCH { Ok(()) } else { self.apply(Durability::Buffered) }
    }

    fn apply(&mut self, durability: Durability) -> Result<()> {
        let store = &self.engine.inner.store;
        let snapshot = store.database.snapshot();
        // Marked first: after a crash in between, an entry without a mark would stay for ever.
        let mut marks = WriteBatch::new();
        for change in &self.pending {
            let key = change.key()?.as_bytes();
            let is_added = matches!(change, Change::Add(_));
            if is_added && snapshot.get(&store.sourced, key)?.is_none() {
                marks.put(&store.sourced, key, b"");
            }
        }
        if !marks.is_empty() {
            store.database.write(marks, Durability::Buffered)?;
        }
        let outcomes = self.engine.apply(&self.pending, durability)?;
        let mut unmarked = WriteBatch::new();
        for (change, outcome) in self.pending.iter().zip(outcomes) {
            self.summary.count(outcome);
            if matches!(outcome, Outcome::Added | Outcome::Updated | Outcome::Removed) {
                (self.changed)(&self.engine.site().parts(change.key()?).concat());
            }
            if let Change::Remove(key) = change {
                unmarked.delete(&store.sourced, key.as_bytes());
            }
        }
        if !unmarked.is_empty() {
            store.database.write(unmarked, Durability::Buffered)?;
        }
        self.pending.clear();
        Ok(())
    }

    fn remove_what_was_not_given(&mut self) -> Result<()> {
        let snapshot = self.engine.snapshot();
        let mut range = snapshot.prefix(&self.engine.inner.store.sourced, b"", Direction::Forward)?;
        while let Some((key, _)) = range.next()? {
            let key = String::from_utf8_lossy(key).into_owned();
            if !self.seen.contains(&self.name(&key)) {
                self.pending.push(Change::Remove(key));
            }
            if self.pending.len() >= BATCH {
                self.apply(Durability::Buffered)?;
            }
        }
        Ok(())
    }
}

impl Engine {
    /// Asks the sources and takes over what they say; durable on return. `changed` hears of each URL that is
    /// new, different or gone.
    ///
    /// # Errors
    /// What the store says. A source that fails is told of in the answer.
    pub fn refresh(&self, sources: &[SourceConfig], changed: &mut dyn FnMut(&str)) -> Result<Refreshed> {
        let mut pass = Pass {
            engine: self,
            seen: HashSet::new(),
            hashers: (RandomState::new(), RandomState::new()),
            pending: Vec::new(),
            scratch: Scratch::for_many(),
            given: 0,
            summary: Summary::default(),
            changed,
        };
        let mut failed = Vec::new();
        for source in sources {
            match source.resolve(&mut |entry| pass.take(entry)) {
                Ok(()) => {}
                Err(error @ crate::error::Error::Source { .. }) => failed.push(error.to_string()),
                Err(error) => return Err(error),
            }
        }
        if failed.is_empty() {
            pass.remove_what_was_not_given()?;
        }
        pass.apply(Durability::Sync)?;
        Ok(Refreshed { summary: pass.summary, failed })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::engine::Settings;
    use crate::entry::Entry;
    use std::path::Path;

    fn routes(list: &[&str]) -> SourceConfig {
        SourceConfig::Routes { path: None, routes: list.iter().map(|route| (*route).into()).collect() }
    }

    fn urls(engine: &Engine) -> Vec<String> {
        engine.entries_by_url().unwrap().map(|entry| entry.unwrap().url.split_off(19)).collect()
    }

    #[test]
    fn what_sources_no_longer_give_goes_and_what_others_added_stays() {
        let directory = tempfile::tempdir().unwrap();
        let engine = Engine::open(directory.path(), Settings::new("https://example.com")).unwrap();
        engine.add(Entry::new("/own")).unwrap();
        let mut heard = Vec::new();
        let first =
            engine.refresh(&[routes(&["/a", "/b", "/a", "/[x]"])], &mut |url| heard.push(url.to_owned()));
        let first = first.unwrap().summary;
        assert_eq!((first.added, first.rejected), (2, 2));
        assert_eq!(heard, ["https://example.com/a", "https://example.com/b"]);
        drop(engine);
        let engine = Engine::open(directory.path(), Settings::new("")).unwrap();
        let missing = SourceConfig::Csv { path: Path::new("/does/not/exist").to_owned(), map: [].into() };
        let second = engine.refresh(&[routes(&["/b", "/c"]), missing], &mut |_| {}).unwrap();
        assert_eq!((second.failed.len(), second.summary.added), (1, 1));
        assert_eq!(urls(&engine), ["/a", "/b", "/c", "/own"], "a source failed");
        let third = engine.refresh(&[routes(&["/b", "/c"])], &mut |_| {}).unwrap().summary;
        assert_eq!((third.removed, third.unchanged), (1, 2));
        assert_eq!(urls(&engine), ["/b", "/c", "/own"]);
        engine.check().unwrap();
    }
}
