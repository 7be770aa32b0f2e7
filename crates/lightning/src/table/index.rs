//! A table's block index: for each block a key not before its last one, and where it is.
//!
//! In memory the keys are one string of bytes with an array of heads (eight bytes after the prefix
//! that all keys share), so most of a search touches only that array.

use crate::codec::{Reader, put_bytes, put_varint};

/// So many equal heads are looked at one by one before they are searched.
const EQUAL_HEADS: usize = 4;

/// Where a block is in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockPlace {
    pub(crate) offset: u64,
    /// With its trailer.
    pub(crate) length: u64,
}

/// The index in memory.
#[derive(Debug)]
pub(crate) struct Index {
    keys: Vec<u8>,
    ends: Vec<u32>,
    heads: Vec<u64>,
    prefix: usize,
    places: Vec<BlockPlace>,
}

/// Collects the index of a table.
#[derive(Default)]
pub(crate) struct IndexBuilder {
    bytes: Vec<u8>,
    blocks: u64,
}

impl IndexBuilder {
    pub(crate) fn add(&mut self, separator: &[u8], place: BlockPlace) {
        put_bytes(&mut self.bytes, separator);
        put_varint(&mut self.bytes, place.offset);
        put_varint(&mut self.bytes, place.length);
        self.blocks += 1;
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes.len() + 10);
        put_varint(&mut out, self.blocks);
        out.extend_from_slice(&self.bytes);
        out
    }
}

/// The shortest key that is not before `last` and before `next`.
pub(crate) fn separator<'a>(last: &'a [u8], next: &'a [u8]) -> &'a [u8] {
    let shared = last.iter().zip(next).take_while(|(left, right)| left == right).count();
    // `next` up to and with the first byte that differs is after `last`, and must stay before `next`.
    if shared + 1 < next.len() && shared + 1 < last.len() { &next[..=shared] } else { last }
}

fn head(key: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let length = key.len().min(8);
    bytes[..length].copy_from_slice(&key[..length]);
    u64::from_be_bytes(bytes)
}

impl Index {
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let blocks = reader.varint()?;
        let (mut keys, mut ends, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..blocks {
            keys.extend_from_slice(reader.bytes()?);
            ends.push(u32::try_from(keys.len()).ok()?);
            places.push(BlockPlace { offset: reader.varint()?, length: reader.varint()? });
        }
        if !reader.rest.is_empty() {
            return None;
        }
        let mut index = Self { keys, ends, heads: Vec::new(), prefix: 0, places };
        if let Some(last) = index.len().checked_sub(1) {
            let (first, last) = (index.key(0), index.key(last));
            index.prefix = first.iter().zip(last).take_while(|(left, right)| left == right).count();
        }
        index.heads =
            (0..index.len()).map(|at| head(index.key(at).get(index.prefix..).unwrap_or_default())).collect();
        Some(index)
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.keys.len() + self.len() * (4 + 8 + size_of::<BlockPlace>())
    }

    pub(crate) fn place(&self, block: usize) -> Option<BlockPlace> {
        self.places.get(block).copied()
    }

    /// A key that is not before the last of a block, and before the first of the next.
    #[inline]
    pub(crate) fn key(&self, block: usize) -> &[u8] {
        let start = block.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        &self.keys[start..self.ends[block] as usize]
    }

    /// The first block that can hold `key` or a later one; the number of blocks if there is none.
    #[inline]
    pub(crate) fn find(&self, key: &[u8]) -> usize {
        if self.prefix > 0 {
            let shared = &self.keys[..self.prefix];
            let start = &key[..key.len().min(self.prefix)];
            match start.cmp(&shared[..start.len()]) {
                std::cmp::Ordering::Less => return 0,
                std::cmp::Ordering::Greater => return self.len(),
                std::cmp::Ordering::Equal if key.len() < self.prefix => return 0,
                std::cmp::Ordering::Equal => {}
            }
        }
        let sought = head(&key[self.prefix..]);
        let low = self.heads.partition_point(|head| *head < sought);
        // Where heads are equal the whole keys decide.
        let equal = self.heads[low..].iter().take(EQUAL_HEADS).take_while(|head| **head == sought).count();
        let high = if equal < EQUAL_HEADS {
            low + equal
        } else {
            low + self.heads[low..].partition_point(|head| *head == sought)
        };
        let (mut low, mut high) = (low, high);
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.key(middle) < key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn find_agrees_with_a_plain_search(
            prefix in proptest::collection::vec(any::<u8>(), 0..4),
            rest in proptest::collection::btree_set(proptest::collection::vec(0u8..3, 0..14), 0..60),
            probe in proptest::collection::vec(0u8..3, 0..14),
            with_prefix: bool,
        ) {
            let keys: Vec<Vec<u8>> = rest.iter().map(|rest| [prefix.as_slice(), rest].concat()).collect();
            let mut builder = IndexBuilder::default();
            for (at, key) in keys.iter().enumerate() {
                builder.add(key, BlockPlace { offset: at as u64, length: 1 });
            }
            let index = Index::decode(&builder.finish()).unwrap();
            let probe = if with_prefix { [prefix, probe].concat() } else { probe };
            prop_assert_eq!(index.find(&probe), keys.iter().filter(|key| **key < probe).count());
            for (at, key) in keys.iter().enumerate() {
                prop_assert_eq!(index.find(key), at);
                prop_assert_eq!(index.key(at), key.as_slice());
            }
        }

        #[test]
        fn a_separator_lies_between(mut left: Vec<u8>, mut right: Vec<u8>) {
            prop_assume!(left != right);
            if left > right {
                std::mem::swap(&mut left, &mut right);
            }
            let key = separator(&left, &right);
            prop_assert!(left.as_slice() <= key && key < right.as_slice() || key == left);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Index::decode(&bytes);
        }
    }
}
