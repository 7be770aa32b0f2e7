//! Applying changes: one batch, one commit.
//!
//! Invariants: the entry of a URL, its place and the figures of its block change in one commit, so a crash
//! leaves all or nothing; a batch that changes nothing writes nothing, so a fragment's `lastmod` is the
//! time of a real change.
//!
//! A batch looks its URLs up in sorted order, because neighbours share blocks of tables; that is what makes
//! large imports fast in little memory.

use std::collections::{BTreeSet, HashMap};

use lightning::{Direction, Durability, Readable, Snapshot, WriteBatch};

use super::layout::{Block, Place, pair, unpair};
use super::seen::Seen;
use super::slots::{Choice, Need, Slots};
use super::{Outcome, Store};
use crate::error::{Error, Result};
use crate::record::{Flags, Prepared, View};

/// A change, checked before.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// Adds or replaces an entry.
    Add(Prepared),
    /// Adds or replaces an entry of a list. Where the caller keeps what it has seen, each URL comes once in it:
    /// what comes again is refused.
    List(Prepared),
    /// Removes the entry with this key.
    Remove(String),
}

impl Change {
    pub(crate) fn key(&self) -> Result<&str> {
        match self {
            Self::Add(prepared) | Self::List(prepared) => Ok(View::stored(&prepared.record)?.key),
            Self::Remove(key) => Ok(key),
        }
    }
}

/// What only the one who writes knows.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) slots: Slots,
    pub(crate) next_version: u64,
    /// Something was committed that may not be durable yet.
    pub(crate) unsynced: bool,
    /// A commit failed: memory and store may differ, so nothing more is written.
    pub(crate) failed: Option<Error>,
}

/// A key that this batch changed already.
#[derive(Clone, Copy)]
struct Earlier {
    place: Option<Place>,
    /// Which change put it there.
    by: usize,
}

struct Batch<'a> {
    store: &'a Store,
    snapshot: Snapshot,
    writes: WriteBatch,
    touched: BTreeSet<(u32, u32)>,
    version: u64,
    now: i64,
}

impl Writer {
    /// Applies changes in order and commits them together. `seen` is what the list had before.
    pub(crate) fn apply(
        &mut self,
        store: &Store,
        changes: &[Change],
        durability: Durability,
        seen: Option<&mut Seen>,
    ) -> Result<Vec<Outcome>> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = self.try_apply(store, changes, durability, seen);
        if let Err(error) = &result {
            self.failed = Some(error.clone());
        }
        result
    }

    fn try_apply(
        &mut self,
        store: &Store,
        changes: &[Change],
        durability: Durability,
        mut seen: Option<&mut Seen>,
    ) -> Result<Vec<Outcome>> {
        let snapshot = store.database.snapshot();
        let (found, repeated) = look_up(store, &snapshot, changes)?;
        let mut batch = Batch {
            store,
            snapshot,
            writes: WriteBatch::new(),
            touched: BTreeSet::new(),
            version: self.next_version,
            now: chrono::Utc::now().timestamp_millis(),
        };
        let mut earlier: HashMap<&str, Earlier> = HashMap::new();
        let mut outcomes = Vec::with_capacity(changes.len());
        for (number, change) in changes.iter().enumerate() {
            let key = change.key()?;
            let before = if repeated { earlier.get(key).copied() } else { None };
            let old = before.map_or(found[number], |before| before.place);
            let (outcome, place) = match change {
                Change::Remove(_) => (self.remove(&mut batch, key, old), None),
                Change::List(_) if old.zip(seen.as_ref()).is_some_and(|(old, seen)| seen.has(old)) => {
                    (Outcome::Repeated, old)
                }
                Change::Add(prepared) | Change::List(prepared) => {
                    let same = before.and_then(|before| match &changes[before.by] {
                        Change::Add(pending) | Change::List(pending) => {
                            Some(pending.record == prepared.record)
                        }
                        Change::Remove(_) => None,
                    });
                    let (outcome, place) = self.put(&mut batch, key, prepared, old, same)?;
                    (outcome, Some(place))
                }
            };
            if let Some(seen) = &mut seen
                && outcome != Outcome::Repeated
            {
                seen.forget(old);
                if let (Change::List(_), Some(place)) = (change, place) {
                    seen.note(place);
                }
            }
            if repeated && outcome != Outcome::Repeated {
                earlier.insert(key, Earlier { place, by: number });
            }
            outcomes.push(outcome);
        }
        if batch.writes.is_empty() {
            if self.unsynced && durability == Durability::Sync {
                // "Unchanged" is an acknowledgement too. A commit is durable only after all before it, and
                // this one changes nothing that is read.
                batch.writes.delete(&store.blocks, b"");
                store.database.write(batch.writes, Durability::Sync)?;
                self.unsynced = false;
            }
            return Ok(outcomes);
        }
        for (fragment, block) in &batch.touched {
            let known = self.slots.fragments[*fragment as usize].block(*block);
            batch.writes.put(&store.blocks, &pair(*fragment, *block), &known.encode());
        }
        store.database.write(batch.writes, durability)?;
        self.unsynced = durability != Durability::Sync;
        self.next_version += 1;
        Ok(outcomes)
    }

    fn remove(&mut self, batch: &mut Batch<'_>, key: &str, old: Option<Place>) -> Outcome {
        let Some(old) = old else { return Outcome::Absent };
        batch.writes.delete(&batch.store.urls, key.as_bytes());
        self.take_away(batch, old);
        Outcome::Removed
    }

    /// Empties a slot.
    fn take_away(&mut self, batch: &mut Batch<'_>, old: Place) {
        batch.writes.delete(&batch.store.entries, &old.key());
        self.account(batch, old, |block| {
            block.count = block.count.saturating_sub(1);
            block.listed = block.listed.saturating_sub(u32::from(old.xml_bytes > 0));
            block.news = block.news.saturating_sub(u32::from(old.news));
            block.bytes = block.bytes.saturating_sub(u64::from(old.xml_bytes));
        });
    }

    fn put(
        &mut self,
        batch: &mut Batch<'_>,
        key: &str,
        prepared: &Prepared,
        old: Option<Place>,
        same_as_pending: Option<bool>,
    ) -> Result<(Outcome, Place)> {
        let crc = crc32fast::hash(&prepared.record);
        if let Some(old) = old
            && old.crc == crc
        {
            let same = match same_as_pending {
                Some(same) => same,
                None => batch
                    .snapshot
                    .get_with(&batch.store.entries, &old.key(), |record| record == prepared.record)?
                    .unwrap_or(false),
            };
            if same {
                return Ok((Outcome::Unchanged, old));
            }
        }
        let xml_bytes = prepared.xml_bytes;
        let namespaces = prepared.view().map_or(0, |view| view.flags.namespaces());
        let news = namespaces & Flags::NEWS != 0;
        let stays = old.filter(|old| {
            let bytes = u64::from(xml_bytes.saturating_sub(old.xml_bytes));
            self.slots.has_room(old.fragment, Need { bytes, news: u32::from(news && !old.news) })
        });
        if let (Some(old), None) = (old, stays) {
            self.take_away(batch, old);
        }
        let (fragment, slot) = match stays {
            Some(old) => (old.fragment, old.slot),
            None => self.choose(batch, Need { bytes: u64::from(xml_bytes), news: u32::from(news) })?,
        };
        let place = Place { fragment, slot, xml_bytes, news, crc };
        self.account(batch, place, |block| {
            let before = stays.map_or(0, |old| old.xml_bytes);
            block.count += u32::from(stays.is_none());
            block.listed = block.listed + u32::from(xml_bytes > 0) - u32::from(before > 0).min(block.listed);
            block.news =
                (block.news + u32::from(news)).saturating_sub(stays.map_or(0, |old| u32::from(old.news)));
            block.bytes = (block.bytes + u64::from(xml_bytes)).saturating_sub(u64::from(before));
            block.namespaces |= namespaces;
        });
        batch.writes.put(&batch.store.urls, key.as_bytes(), &place.encode());
        batch.writes.put(&batch.store.entries, &place.key(), &prepared.record);
        Ok((if old.is_some() { Outcome::Updated } else { Outcome::Added }, place))
    }

    fn account(&mut self, batch: &mut Batch<'_>, place: Place, change: impl FnOnce(&mut Block)) {
        let Some(fragment) = self.slots.fragments.get_mut(place.fragment as usize) else { return };
        let block = fragment.block(place.block());
        let (count, bytes, news) = (block.count, block.bytes, block.news);
        change(block);
        if block.count == 0 {
            block.namespaces = 0;
        }
        block.version = batch.version;
        block.changed = batch.now;
        let (count_now, bytes_now, news_now) = (block.count, block.bytes, block.news);
        fragment.count = fragment.count + count_now - count;
        fragment.bytes = fragment.bytes + bytes_now - bytes;
        fragment.news = fragment.news + news_now - news;
        batch.touched.insert((place.fragment, place.block()));
    }

    fn choose(&mut self, batch: &Batch<'_>, need: Need) -> Result<(u32, u32)> {
        // One look finds a free slot, unless what is stored contradicts the block's figures.
        for _ in 0..2 {
            match self.slots.choose(need, batch.version) {
                Choice::Slot(fragment, slot) => return Ok((fragment, slot)),
                Choice::LookInto { fragment, block } => {
                    let used = batch.store.slots_in_block(&batch.snapshot, fragment, block)?;
                    self.slots.found_free(fragment, block, used);
                }
            }
        }
        Err(Error::Damaged("a block has more entries than it counts".to_owned()))
    }
}

/// Where each changed URL lies, and whether one appears twice.
fn look_up(store: &Store, snapshot: &Snapshot, changes: &[Change]) -> Result<(Vec<Option<Place>>, bool)> {
    let mut order: Vec<(&str, u32)> = Vec::with_capacity(changes.len());
    for (number, change) in changes.iter().enumerate() {
        order.push((change.key()?, number as u32));
    }
    order.sort_unstable();
    let mut found = vec![None; changes.len()];
    let mut repeated = false;
    let mut last: Option<(&str, Option<Place>)> = None;
    for (key, number) in order {
        let place = match last {
            Some((before, place)) if before == key => {
                repeated = true;
                place
            }
            _ => store.place(snapshot, key)?,
        };
        last = Some((key, place));
        found[number as usize] = place;
    }
    Ok((found, repeated))
}

impl Store {
    pub(crate) fn place(&self, snapshot: &Snapshot, key: &str) -> Result<Option<Place>> {
        match snapshot.get_with(&self.urls, key.as_bytes(), Place::decode)? {
            None => Ok(None),
            Some(Some(place)) => Ok(Some(place)),
            Some(None) => Err(Error::Damaged(format!("the place of {key} can't be decoded"))),
        }
    }

    fn slots_in_block(&self, snapshot: &Snapshot, fragment: u32, block: u32) -> Result<Vec<u32>> {
        let mut range = self.block_range(snapshot, fragment, block, Direction::Forward)?;
        let mut used = Vec::new();
        while let Some((key, _)) = range.next()? {
            let (_, slot) = unpair(key).ok_or_else(|| Error::Damaged("the key of an entry".to_owned()))?;
            used.push(slot);
        }
        Ok(used)
    }
}
