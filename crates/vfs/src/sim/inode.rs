//! The bytes of one simulated file: as processes see them, and what of that is on the platter.
//!
//! Invariant: a sector without an entry in `pending` is the same live and on the platter.

use std::collections::BTreeMap;

use super::random::Random;

pub(crate) const SECTOR: usize = 512;
/// More versions of one sector than this add nothing to what a crash can show.
const VERSIONS_MAX: usize = 4;

type Sector = [u8; SECTOR];

#[derive(Clone, Debug)]
struct Pending {
    durable: Sector,
    versions: Vec<Sector>,
    /// A sync failed on it: only a new write makes a later sync save it.
    lost: bool,
}

/// A file's content.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inode {
    pub(crate) live: Vec<u8>,
    durable_length: usize,
    pending: BTreeMap<usize, Pending>,
}

impl Inode {
    fn sector(&self, index: usize) -> Sector {
        let mut sector = [0; SECTOR];
        let start = (index * SECTOR).min(self.live.len());
        let end = (start + SECTOR).min(self.live.len());
        sector[..end - start].copy_from_slice(&self.live[start..end]);
        sector
    }

    /// Changes `from..to` with `change`, keeping each touched sector's history.
    fn touch(&mut self, from: usize, to: usize, change: impl FnOnce(&mut Vec<u8>)) {
        let sectors = from / SECTOR..to.div_ceil(SECTOR);
        for index in sectors.clone() {
            let durable = self.sector(index);
            self.pending.entry(index).or_insert(Pending { durable, versions: Vec::new(), lost: false });
        }
        change(&mut self.live);
        for index in sectors {
            let now = self.sector(index);
            if let Some(pending) = self.pending.get_mut(&index) {
                pending.lost = false;
                if pending.versions.len() == VERSIONS_MAX {
                    pending.versions.pop();
                }
                pending.versions.push(now);
            }
        }
    }

    pub(crate) fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        self.touch(offset, end, |live| {
            if live.len() < end {
                live.resize(end, 0);
            }
            live[offset..end].copy_from_slice(bytes);
        });
    }

    pub(crate) fn set_length(&mut self, length: usize) {
        if length < self.live.len() {
            self.touch(length, self.live.len(), |live| live.truncate(length));
        } else {
            self.live.resize(length, 0);
        }
    }

    pub(crate) fn sync(&mut self) {
        self.durable_length = self.live.len();
        self.pending.retain(|_, pending| pending.lost);
    }

    pub(crate) fn fail_sync(&mut self) {
        for pending in self.pending.values_mut() {
            pending.lost = true;
        }
    }

    pub(crate) fn flip(&mut self, offset: usize, bit: u8) -> bool {
        let Some(byte) = self.live.get_mut(offset) else { return false };
        *byte ^= 1 << (bit % 8);
        if let Some(pending) = self.pending.get_mut(&(offset / SECTOR)) {
            for version in pending.versions.iter_mut().chain(std::iter::once(&mut pending.durable)) {
                version[offset % SECTOR] ^= 1 << (bit % 8);
            }
        }
        true
    }

    /// What a power loss could leave of it.
    pub(crate) fn crashed(&self, random: &mut Random) -> Self {
        let (low, high) =
            (self.durable_length.min(self.live.len()), self.durable_length.max(self.live.len()));
        let length = match random.below(3) {
            _ if low == high => low,
            0 => self.durable_length,
            1 => self.live.len(),
            _ => low + random.below((high - low) as u64 + 1) as usize,
        };
        let mut live = self.live.clone();
        live.resize(length, 0);
        for (index, pending) in &self.pending {
            let pick = random.below(pending.versions.len() as u64 + 1) as usize;
            let sector = if pick == 0 { &pending.durable } else { &pending.versions[pick - 1] };
            let start = (index * SECTOR).min(length);
            let end = (start + SECTOR).min(length);
            live[start..end].copy_from_slice(&sector[..end - start]);
        }
        Self { live, durable_length: length, pending: BTreeMap::new() }
    }
}
