//! Sorted keys with places in the file: of the blocks of a part, and of the parts of a table. Each key is not
//! before the last one of its place and before the first one of the next.
//!
//! In memory the keys are one string of bytes without the prefix that all share, with an array of heads
//! (the next eight bytes), so most of a search touches only that array.

use crate::codec::{Reader, put_bytes, put_varint};

/// So many equal heads are looked at one by one before they are searched.
const EQUAL_HEADS: usize = 4;

/// Where a section is in its file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BlockPlace {
    pub(crate) offset: u64,
    /// With its trailer.
    pub(crate) length: u64,
}

impl BlockPlace {
    /// Where the next one may begin.
    pub(crate) fn end(self) -> u64 {
        self.offset.saturating_add(self.length)
    }
}

/// The index in memory.
#[derive(Debug)]
pub(crate) struct Index {
    prefix: Box<[u8]>,
    /// What follows the prefix in each key.
    rests: Box<[u8]>,
    ends: Box<[u32]>,
    heads: Box<[u64]>,
    places: Box<[BlockPlace]>,
}

/// Collects an index.
#[derive(Default)]
pub(crate) struct IndexBuilder {
    keys: Vec<u8>,
    ends: Vec<usize>,
    places: Vec<BlockPlace>,
}

impl IndexBuilder {
    pub(crate) fn add(&mut self, separator: &[u8], place: BlockPlace) {
        self.keys.extend_from_slice(separator);
        self.ends.push(self.keys.len());
        self.places.push(place);
    }

    /// About how long it will be.
    pub(crate) fn bytes(&self) -> usize {
        self.keys.len() + self.places.len() * 8
    }

    /// The index's bytes; the builder is empty afterwards.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let Self { keys, ends, places } = std::mem::take(self);
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let keys: Vec<&[u8]> = starts.zip(&ends).filter_map(|(start, end)| keys.get(start..*end)).collect();
        // Keys ascend, so what the first and the last share, all do.
        let prefix = match (keys.first(), keys.last()) {
            (Some(first), Some(last)) => shared_prefix(first, last),
            _ => &[],
        };
        let mut out = Vec::new();
        put_varint(&mut out, places.len() as u64);
        put_bytes(&mut out, prefix);
        for (key, place) in keys.iter().zip(&places) {
            put_bytes(&mut out, &key[prefix.len()..]);
            put_varint(&mut out, place.offset);
            put_varint(&mut out, place.length);
        }
        out
    }
}

fn shared_prefix<'a>(left: &'a [u8], right: &[u8]) -> &'a [u8] {
    let shared = left.iter().zip(right).take_while(|(left, right)| left == right).count();
    &left[..shared]
}

/// The shortest key that is not before `last` and before `next`.
pub(crate) fn separator<'a>(last: &'a [u8], next: &'a [u8]) -> &'a [u8] {
    let shared = shared_prefix(last, next).len();
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
        let count = reader.varint()?;
        let prefix = reader.bytes()?.into();
        // Each takes three bytes at least.
        let room = usize::try_from(count).ok().filter(|count| *count <= reader.rest.len() / 3)?;
        let mut rests = Vec::with_capacity(reader.rest.len());
        let (mut ends, mut heads, mut places) =
            (Vec::with_capacity(room), Vec::with_capacity(room), Vec::with_capacity(room));
        for _ in 0..count {
            let rest = reader.bytes()?;
            rests.extend_from_slice(rest);
            ends.push(u32::try_from(rests.len()).ok()?);
            heads.push(head(rest));
            places.push(BlockPlace { offset: reader.varint()?, length: reader.varint()? });
        }
        if !reader.rest.is_empty() {
            return None;
        }
        let (ends, heads, places) = (ends.into(), heads.into(), places.into());
        Some(Self { prefix, rests: rests.into(), ends, heads, places })
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.prefix.len() + self.rests.len() + self.len() * (4 + 8 + size_of::<BlockPlace>())
    }

    #[inline]
    pub(crate) fn place(&self, at: usize) -> Option<BlockPlace> {
        self.places.get(at).copied()
    }

    /// What follows the prefix in a key.
    #[inline]
    fn rest(&self, at: usize) -> &[u8] {
        let start = at.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |end| *end as usize);
        let end = self.ends.get(at).map_or(start, |end| *end as usize);
        self.rests.get(start..end).unwrap_or_default()
    }

    /// A key that is not before the last of its place, and before the first of the next.
    pub(crate) fn key(&self, at: usize) -> Vec<u8> {
        [&*self.prefix, self.rest(at)].concat()
    }

    /// The first place that can hold `key` or a later one; the number of places if there is none.
    #[inline]
    pub(crate) fn find(&self, key: &[u8]) -> usize {
        let start = &key[..key.len().min(self.prefix.len())];
        match start.cmp(&self.prefix[..start.len()]) {
            std::cmp::Ordering::Less => return 0,
            std::cmp::Ordering::Greater => return self.len(),
            std::cmp::Ordering::Equal if key.len() < self.prefix.len() => return 0,
            std::cmp::Ordering::Equal => {}
        }
        let key = &key[self.prefix.len()..];
        let sought = head(key);
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
            if self.rest(middle) < key {
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
                prop_assert_eq!(&index.key(at), key);
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
