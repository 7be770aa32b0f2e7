//! The two ways to hold a memtable's entries: a list that grows, and an array read back from the log.

use super::replayed::Replayed;
use super::skiplist::{Entry, Position, SkipList};

/// Sorted versions: by key, of one key the newest first.
pub(crate) enum Entries {
    List(SkipList),
    Replayed(Replayed),
}

/// A place among the entries it came from.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    Node(Position),
    Slot(usize),
}

impl Entries {
    /// Adds a version and returns where in memory its value is. Only lists grow: what was read back is frozen before
    /// anybody can write.
    pub(crate) fn insert(&self, key: &[u8], sequence: u64, value: Option<&[u8]>) -> usize {
        match self {
            Self::List(list) => list.insert(key, sequence, value),
            Self::Replayed(_) => unreachable!("a memtable read back from the log is never active"),
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::List(list) => list.is_empty(),
            Self::Replayed(replayed) => replayed.entries() == 0,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::List(list) => list.bytes(),
            Self::Replayed(replayed) => replayed.bytes(),
        }
    }

    pub(crate) fn entries(&self) -> usize {
        match self {
            Self::List(list) => list.entries(),
            Self::Replayed(replayed) => replayed.entries(),
        }
    }

    /// The newest version of a key that is not newer than `sequence`; `hash` is the key's.
    #[inline]
    pub(crate) fn get(&self, key: &[u8], hash: u64, sequence: u64) -> Option<Entry<'_>> {
        match self {
            Self::List(list) => list.get(key, hash, sequence),
            Self::Replayed(replayed) => {
                let entry = replayed.entry(replayed.seek(key, sequence)?);
                (entry.key == key).then_some(entry)
            }
        }
    }

    /// The first version at or after (`key`, `sequence`).
    #[inline]
    pub(crate) fn seek(&self, key: &[u8], sequence: u64) -> Option<Place> {
        match self {
            Self::List(list) => list.seek(key, sequence).map(Place::Node),
            Self::Replayed(replayed) => replayed.seek(key, sequence).map(Place::Slot),
        }
    }

    /// The oldest version of the largest key below `key`.
    pub(crate) fn seek_before(&self, key: &[u8]) -> Option<Place> {
        match self {
            Self::List(list) => list.seek_before(key).map(Place::Node),
            Self::Replayed(replayed) => replayed.seek_before(key).map(Place::Slot),
        }
    }

    pub(crate) fn first(&self) -> Option<Place> {
        match self {
            Self::List(list) => list.first().map(Place::Node),
            Self::Replayed(replayed) => replayed.entries().checked_sub(1).map(|_| Place::Slot(0)),
        }
    }

    /// The oldest version of the largest key.
    pub(crate) fn last(&self) -> Option<Place> {
        match self {
            Self::List(list) => list.last().map(Place::Node),
            Self::Replayed(replayed) => replayed.entries().checked_sub(1).map(Place::Slot),
        }
    }

    /// The version after this one.
    #[inline]
    pub(crate) fn next(&self, place: Place) -> Option<Place> {
        match (self, place) {
            (Self::List(list), Place::Node(position)) => list.next(position).map(Place::Node),
            (Self::Replayed(replayed), Place::Slot(slot)) => {
                Some(slot + 1).filter(|next| *next < replayed.entries()).map(Place::Slot)
            }
            _ => None,
        }
    }

    /// The version before this one; one that is added between them meanwhile may be passed over.
    #[inline]
    pub(crate) fn previous(&self, place: Place) -> Option<Place> {
        match (self, place) {
            (Self::List(list), Place::Node(position)) => list.previous(position).map(Place::Node),
            (Self::Replayed(_), Place::Slot(slot)) => slot.checked_sub(1).map(Place::Slot),
            _ => None,
        }
    }

    /// Has the version after this one fetched from memory: the next step is likely to be there.
    #[inline]
    pub(crate) fn fetch_next(&self, place: Place) {
        if let (Self::List(list), Place::Node(position)) = (self, place) {
            list.fetch_next(position);
        }
    }

    /// The version at a place, which must come from these entries.
    #[inline]
    pub(crate) fn entry(&self, place: Place) -> Entry<'_> {
        match (self, place) {
            (Self::List(list), Place::Node(position)) => list.entry(position),
            (Self::Replayed(replayed), Place::Slot(slot)) => replayed.entry(slot),
            _ => unreachable!("a place is only used with the entries it came from"),
        }
    }

    /// Keys spread evenly, and how many versions each stands for.
    pub(crate) fn sample(&self, wanted: usize) -> (Vec<&[u8]>, usize) {
        match self {
            Self::List(list) => list.sample(wanted),
            Self::Replayed(replayed) => replayed.sample(wanted),
        }
    }
}
