//! Series by what senders call them: the same bytes name the same series every time, and are not read again.
//!
//! Invariants: a fingerprint has 128 bits under a seed that nobody outside knows, so two different names never have the
//! same. A fingerprint goes before its series does; what was looked up before that says so by its `round`, and the store
//! takes it no more. There are at most some more fingerprints than twice as many as series; then all are forgotten, which
//! costs time only.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use parking_lot::{RwLock, RwLockReadGuard};
use roaring::RoaringBitmap;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::store::Metrics;

/// Fingerprints beyond twice the series.
const SPARE: usize = 100_000;

/// A series of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownSeries {
    pub(crate) place: SeriesPlace,
    /// How often series had gone from the store when this was looked up.
    pub(crate) round: u64,
}

/// Where a series is in memory, as long as it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SeriesPlace {
    pub shard: u32,
    pub id: u32,
}

/// The bytes of a name, in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(u128);

#[derive(Debug, Default)]
struct Table {
    series: HashTable<(Fingerprint, SeriesPlace)>,
    round: u64,
}

/// The fingerprints of a store.
#[derive(Debug)]
pub(crate) struct Names {
    seed: u64,
    table: RwLock<Table>,
}

impl Default for Names {
    fn default() -> Self {
        Self { seed: RandomState::new().hash_one(0), table: RwLock::default() }
    }
}

impl Names {
    /// Notes which series names stand for.
    pub fn put(&self, names: impl Iterator<Item = (Fingerprint, SeriesPlace)>, series: usize) {
        let mut names = names.peekable();
        if names.peek().is_none() {
            return;
        }
        let mut table = self.table.write();
        for (name, series) in names {
            let entry =
                table.series.entry(hash_of(name), |(other, _)| *other == name, |(name, _)| hash_of(*name));
            entry.insert((name, series));
        }
        if table.series.len() > series.saturating_mul(2).saturating_add(SPARE) {
            table.series = HashTable::new();
        }
    }

    /// Forgets the names of series of each shard that go.
    pub fn forget(&self, gone: &[RoaringBitmap], round: u64) {
        let goes =
            |place: &SeriesPlace| gone.get(place.shard as usize).is_some_and(|gone| gone.contains(place.id));
        let mut table = self.table.write();
        table.series.retain(|(_, place)| !goes(place));
        table.series.shrink_to_fit(|(name, _)| hash_of(*name));
        table.round = round;
    }
}

/// Looks names up. While one lives, no batch with new names is stored.
#[derive(Debug)]
pub struct KnownNames<'s> {
    seed: u64,
    table: RwLockReadGuard<'s, Table>,
}

impl Metrics {
    /// What senders called series before.
    pub fn known_names(&self) -> KnownNames<'_> {
        KnownNames { seed: self.names.seed, table: self.names.table.read() }
    }
}

impl KnownNames<'_> {
    /// The fingerprint of a name: any bytes that always stand for the same labels.
    #[inline]
    pub fn fingerprint(&self, name: &[u8]) -> Fingerprint {
        Fingerprint(xxh3_128_with_seed(name, self.seed))
    }

    /// The series of a name.
    #[inline]
    pub fn get(&self, name: Fingerprint) -> Option<KnownSeries> {
        let found = self.table.series.find(hash_of(name), |(other, _)| *other == name);
        found.map(|(_, place)| KnownSeries { place: *place, round: self.table.round })
    }
}

fn hash_of(name: Fingerprint) -> u64 {
    name.0 as u64
}
