//! The two roots at the start of a tree's file. The newer one counts; the next checkpoint replaces the
//! older one.

use std::path::Path;

use super::node::{PLACE_BYTES, Place};
use crate::{Error, Result};

const MAGIC: [u8; 8] = *b"LIGHTREE";
const VERSION: u32 = 2;
const CHECKSUM_AT: usize = 32 + PLACE_BYTES;
pub(super) const SLOT_BYTES: usize = CHECKSUM_AT + 4;
/// More levels would need more leaves than there are pages.
const HEIGHT_MAX: u32 = 40;

/// What a checkpoint left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) generation: u64,
    /// Levels; none for an empty tree, one for a leaf.
    pub(super) height: u32,
    pub(super) entries: u64,
    pub(super) root: Place,
}

impl Slot {
    pub(super) fn encode(&self) -> [u8; SLOT_BYTES] {
        let mut bytes = [0; SLOT_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.height.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.generation.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.entries.to_le_bytes());
        bytes[32..CHECKSUM_AT].copy_from_slice(&self.root.encode());
        let checksum = crc32c::crc32c(&bytes[..CHECKSUM_AT]);
        bytes[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The slot in these bytes; `None` when there is none, or it was not written whole.
    pub(super) fn decode(bytes: &[u8], path: &Path) -> Result<Option<Self>> {
        let u32_at = |at: usize| bytes.get(at..at + 4)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
        let u64_at = |at: usize| bytes.get(at..at + 8)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        let checked = bytes.get(..CHECKSUM_AT).map(crc32c::crc32c);
        if checked.is_none() || u32_at(CHECKSUM_AT) != checked || !bytes.starts_with(&MAGIC) {
            return Ok(None);
        }
        if let Some(version) = u32_at(8).filter(|version| *version != VERSION) {
            return Err(Error::UnsupportedVersion { file: path.to_owned(), version, supported: VERSION });
        }
        let root = bytes.get(32..CHECKSUM_AT).and_then(Place::decode);
        let (Some(height), Some(generation), Some(entries), Some(root)) =
            (u32_at(12), u64_at(16), u64_at(24), root)
        else {
            return Ok(None);
        };
        Ok((height <= HEIGHT_MAX).then_some(Self { generation, height, entries, root }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_slot_comes_back_and_any_flipped_bit_unmakes_it() {
        let root = Place { page: 5, length: 6, checksum: 7, entries: 8 };
        let slot = Slot { generation: 9, height: 3, entries: 1 << 40, root };
        let bytes = slot.encode();
        let path = Path::new("/t");
        assert_eq!(Slot::decode(&bytes, path).unwrap(), Some(slot));
        for bit in 0..SLOT_BYTES * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Slot::decode(&damaged, path).unwrap(), None, "bit {bit}");
        }
        assert_eq!(Slot::decode(&bytes[..SLOT_BYTES - 1], path).unwrap(), None);
        let mut newer = bytes;
        newer[8] = 7;
        let checksum = crc32c::crc32c(&newer[..CHECKSUM_AT]);
        newer[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
        assert!(matches!(Slot::decode(&newer, path), Err(Error::UnsupportedVersion { version: 7, .. })));
    }
}
