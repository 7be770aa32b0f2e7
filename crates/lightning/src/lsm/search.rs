//! Looking for many keys at once.

use std::sync::Arc;

use smallvec::SmallVec;

use super::Levels;
use crate::Result;
use crate::table::{Looked, Missing, Probe, Table, read_missing};

/// One of so many parts of the cache is filled with one batch.
const CACHE_SHARE: u64 = 8;
/// A key takes two rounds per table that seems to have it, one for the part and one for the block, and one for
/// a value in a blob file.
const ROUNDS_MAX: usize = 8;

/// How far the look-up of a key is.
pub(crate) struct Search<'a> {
    /// How many tables are known not to have it.
    passed: usize,
    probe: Option<Probe<'a>>,
    state: State,
}

#[derive(PartialEq, Eq)]
enum State {
    /// In some table.
    Searching,
    /// The probe is where it is.
    Found,
    /// No table has it.
    Absent,
    /// Something has to be read from the disk.
    Waiting,
}

impl Search<'_> {
    /// On to the next table.
    fn pass(&mut self) {
        self.passed += 1;
        self.probe = None;
    }

    fn look<T>(&mut self, looked: Looked<T>, missing: &mut Vec<Missing>) -> Option<T> {
        match looked {
            Looked::At(here) => return Some(here),
            Looked::Absent => self.pass(),
            Looked::Unknown(unknown) => {
                self.state = State::Waiting;
                missing.push(unknown);
            }
        }
        None
    }
}

impl Levels {
    /// Looks for keys, each with its hash. Reads their parts, blocks and large values that are not in the cache,
    /// together, as much as it can well take; so some may not be found yet.
    pub(crate) fn search<'a>(&'a self, keys: &[(&[u8], u64)]) -> Result<SmallVec<[Search<'a>; 64]>> {
        let search = |_: &_| Search { passed: 0, probe: None, state: State::Searching };
        let mut searches: SmallVec<[Search<'a>; 64]> = keys.iter().map(search).collect();
        for _ in 0..ROUNDS_MAX {
            let mut missing: Vec<Missing> = Vec::new();
            while searches.iter().any(|search| search.state == State::Searching) {
                self.step(keys, &mut searches, &mut missing);
            }
            if !self.read_fitting(missing)? {
                break;
            }
            for search in searches.iter_mut().filter(|search| search.state == State::Waiting) {
                search.state = State::Searching;
            }
        }
        Ok(searches)
    }

    /// Looks in the next table of each key.
    fn step<'a>(&'a self, keys: &[(&[u8], u64)], searches: &mut [Search<'a>], missing: &mut Vec<Missing>) {
        let mut each = |take: &mut dyn FnMut(&mut Search<'a>, &[u8], u64)| {
            for (search, (key, hash)) in searches.iter_mut().zip(keys) {
                if search.state == State::Searching {
                    take(search, key, *hash);
                }
            }
        };
        each(&mut |search, key, hash| {
            while search.probe.is_none() && search.state == State::Searching {
                match self.tables_of(key).nth(search.passed) {
                    Some(table) => search.probe = search.look(Probe::begin(table, key, hash), missing),
                    None => search.state = State::Absent,
                }
            }
        });
        each(&mut |search, _, hash| {
            if search.probe.as_ref().is_some_and(|probe| !probe.passes(hash)) {
                search.pass();
            }
        });
        each(&mut |search, _, _| search.probe.iter().for_each(Probe::open));
        each(&mut |search, key, _| search.probe.iter().for_each(|probe| probe.approach(key)));
        each(&mut |search, key, _| {
            if let Some(probe) = &mut search.probe {
                let looked = probe.find(key);
                if search.look(looked, missing).is_some() {
                    search.state = State::Found;
                }
            }
        });
    }

    /// Reads what is missing and fits into the cache; `false` if nothing was.
    fn read_fitting(&self, mut missing: Vec<Missing>) -> Result<bool> {
        missing.sort_unstable_by_key(Missing::number);
        missing.dedup_by_key(|missing| missing.number());
        let Some(room) = self.tables().next().map(|(_, table)| table.cache_bytes() as u64 / CACHE_SHARE)
        else {
            return Ok(false);
        };
        let mut bytes = 0;
        let fitting = missing.iter().take_while(|missing| {
            bytes += missing.bytes();
            bytes <= room
        });
        let fitting = fitting.count();
        if fitting < 2 {
            // One by itself is read as well when it is asked for.
            return Ok(false);
        }
        missing.truncate(fitting);
        read_missing(&missing)?;
        Ok(true)
    }

    /// The tables that may have a key, newest first.
    fn tables_of(&self, key: &[u8]) -> impl Iterator<Item = &Arc<Table>> {
        let in_runs = self
            .runs
            .iter()
            .filter_map(|run| run.get(run.partition_point(|table| table.meta.largest.as_slice() < key)));
        self.level0.iter().chain(in_runs).filter(|table| !self.is_in_hole(table, key))
    }

    /// Hands the value of a key that was looked for to `use_value`, as [`Levels::get`] does.
    #[inline]
    pub(crate) fn get_found<R, F: FnOnce(Option<&[u8]>) -> R>(
        &self,
        search: &Search<'_>,
        key: &[u8],
        hash: u64,
        use_value: F,
    ) -> Result<std::result::Result<R, F>> {
        let use_value = match (&search.state, &search.probe) {
            (State::Absent, _) => return Ok(Err(use_value)),
            (State::Found, Some(probe)) => match probe.give(use_value) {
                Ok(used) => return Ok(Ok(used)),
                Err(unused) => unused,
            },
            _ => use_value,
        };
        self.get(key, hash, use_value)
    }
}
