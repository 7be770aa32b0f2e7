//! Series by what senders call them: the same bytes name the same series every time, and are not read again.
//!
//! Invariants: a fingerprint has 128 bits under a seed that nobody outside knows, so two different names never have the
//! same. Series do not go, so what is known stays true. There are at most some more fingerprints than twice as many as series;
//! then all are forgotten, which costs time only.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use parking_lot::{RwLock, RwLockReadGuard};
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::store::Metrics;

/// Fingerprints beyond twice the series.
const SPARE: usize = 100_000;

/// A series of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownSeries {
    pub(crate) shard: u32,
    pub(crate) id: u32,
}

/// The bytes of a name, in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(u128);

type Table = HashTable<(Fingerprint, KnownSeries)>;

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
    pub fn put(&self, names: impl Iterator<Item = (Fingerprint, KnownSeries)>, series: usize) {
        let mut names = names.peekable();
        if names.peek().is_none() {
            return;
        }
        let mut table = self.table.write();
        for (name, series) in names {
            let entry = table.entry(hash_of(name), |(other, _)| *other == name, |(name, _)| hash_of(*name));
            entry.insert((name, series));
        }
        if table.len() > series.saturating_mul(2).saturating_add(SPARE) {
            *table = Table::new();
        }
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
        self.table.find(hash_of(name), |(other, _)| *other == name).map(|(_, series)| *series)
    }
}

fn hash_of(name: Fingerprint) -> u64 {
    name.0 as u64
}
