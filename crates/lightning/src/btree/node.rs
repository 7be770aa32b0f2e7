//! Nodes of the tree: slotted, sorted, immutable.
//!
//! ```text
//! kind u8, 3 zeros, count u32, prefix length u32, prefix, count × head u32, count × place u32, cells
//! cell = in an inner node the child's place; bytes rest of the key; in a leaf: bytes value
//! ```
//! All keys share the prefix. A head is the four key bytes after it, so most of a search touches one
//! small array. An inner node's key is not after any key below its child, and after all keys before it; its first
//! is cut to the prefix of the others, as nothing has to be told apart from what is before the node.
//!
//! Invariant: a decoded node was checked whole, so nothing that reads it can fail.

use luma_sync::atomic::AtomicU8;
use std::cmp::Ordering;
use std::ops::Range;

use super::heads;
use super::pages::PAGE_BYTES;
use crate::ahead;
use crate::cache::Cached;
use crate::codec::{Reader, put_bytes};

const HEADER_BYTES: usize = 12;
const LEAF: u8 = 1;
const INNER: u8 = 2;
/// Head and place.
const SLOT_BYTES: usize = 8;
/// So long is a child's place in a cell.
pub(super) const PLACE_BYTES: usize = 16;

/// Where a node is in the file, the checksum of what must be there, and how many keys a leaf has, so that
/// it can be dropped unread; 0 for an inner node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) page: u32,
    pub(super) length: u32,
    pub(super) checksum: u32,
    pub(super) entries: u32,
}

impl Place {
    /// Where it begins in the file.
    pub(super) fn offset(self) -> u64 {
        u64::from(self.page) * PAGE_BYTES as u64
    }

    pub(super) fn encode(self) -> [u8; PLACE_BYTES] {
        let mut bytes = [0; PLACE_BYTES];
        for (at, number) in [self.page, self.length, self.checksum, self.entries].iter().enumerate() {
            bytes[at * 4..at * 4 + 4].copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut numbers = bytes.chunks_exact(4).map(read_u32);
        Some(Self {
            page: numbers.next()?,
            length: numbers.next()?,
            checksum: numbers.next()?,
            entries: numbers.next()?,
        })
    }
}

#[inline]
fn read_u32(bytes: &[u8]) -> u32 {
    bytes.first_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

#[inline]
fn head_of(rest: &[u8]) -> u32 {
    match rest.first_chunk::<4>() {
        Some(bytes) => u32::from_be_bytes(*bytes),
        None => {
            rest.iter().fold((0, 24), |(head, shift), byte| (head | u32::from(*byte) << shift, shift - 8)).0
        }
    }
}

pub(super) fn shared(left: &[u8], right: &[u8]) -> usize {
    left.iter().zip(right).take_while(|(left, right)| left == right).count()
}

/// A key with a value, or with a child's place, in a buffer.
#[derive(Clone, Copy)]
pub(super) struct Cell {
    pub(super) start: usize,
    pub(super) key: usize,
    pub(super) payload: usize,
}

impl Cell {
    pub(super) fn key<'a>(&self, buffer: &'a [u8]) -> &'a [u8] {
        &buffer[self.start..self.start + self.key]
    }

    pub(super) fn payload<'a>(&self, buffer: &'a [u8]) -> &'a [u8] {
        &buffer[self.start + self.key..self.start + self.key + self.payload]
    }

    /// What it adds to a node whose keys share nothing.
    pub(super) fn bytes(&self) -> usize {
        let varint = |length: usize| if length < 0x80 { 1 } else { 3 + usize::from(length >= 1 << 21) * 2 };
        SLOT_BYTES + self.key + self.payload + varint(self.key) + varint(self.payload)
    }
}

/// What the keys of a node begin with, and its cells whose keys are stored; an inner node's first is not.
fn prefix_of<'a, 'b>(leaf: bool, cells: &'a [Cell], buffer: &'b [u8]) -> (&'b [u8], &'a [Cell]) {
    let last = cells.last().map_or(&[][..], |cell| cell.key(buffer));
    match cells {
        // The second key must stay after the first, so it is no part of the prefix as a whole.
        [_, stored @ ..] if !leaf && !stored.is_empty() => {
            let first = stored[0].key(buffer);
            (&last[..shared(&first[..first.len().saturating_sub(1)], last)], stored)
        }
        _ => (&last[..shared(cells.first().map_or(&[][..], |cell| cell.key(buffer)), last)], cells),
    }
}

/// At most so long is the node of sorted cells that add up to `bytes`.
pub(super) fn length_of(leaf: bool, cells: &[Cell], bytes: usize, buffer: &[u8]) -> usize {
    let (prefix, stored) = prefix_of(leaf, cells, buffer);
    HEADER_BYTES + bytes + prefix.len() - prefix.len() * stored.len()
}

/// The bytes of a node.
pub(super) fn encode(leaf: bool, cells: &[Cell], buffer: &[u8]) -> Vec<u8> {
    let (prefix, stored) = prefix_of(leaf, cells, buffer);
    let cut = cells.len() - stored.len();
    let rest = |at: usize, cell: &Cell| if at < cut { &[][..] } else { &cell.key(buffer)[prefix.len()..] };
    let mut out = vec![if leaf { LEAF } else { INNER }, 0, 0, 0];
    out.extend_from_slice(&(cells.len() as u32).to_le_bytes());
    out.extend_from_slice(&(prefix.len() as u32).to_le_bytes());
    out.extend_from_slice(prefix);
    for (at, cell) in cells.iter().enumerate() {
        out.extend_from_slice(&head_of(rest(at, cell)).to_le_bytes());
    }
    let places = out.len();
    out.resize(places + cells.len() * 4, 0);
    for (at, cell) in cells.iter().enumerate() {
        let place = out.len() as u32;
        out[places + at * 4..places + at * 4 + 4].copy_from_slice(&place.to_le_bytes());
        let rest = rest(at, cell);
        if leaf {
            put_bytes(&mut out, rest);
            put_bytes(&mut out, cell.payload(buffer));
        } else {
            out.extend_from_slice(cell.payload(buffer));
            put_bytes(&mut out, rest);
        }
    }
    out
}

/// A node in memory.
pub(crate) struct Node {
    bytes: Box<[u8]>,
    leaf: bool,
    count: usize,
    prefix: Range<usize>,
    uses: AtomicU8,
}

impl Cached for Node {
    fn bytes(&self) -> usize {
        self.bytes.len() + size_of::<Self>()
    }

    fn uses(&self) -> &AtomicU8 {
        &self.uses
    }
}

impl Node {
    /// Checks the bytes of a node; `None` when they are none.
    pub(super) fn decode(bytes: Box<[u8]>, leaf: bool) -> Option<Self> {
        let kind = *bytes.first()?;
        let count = read_u32(bytes.get(4..8)?) as usize;
        let prefix = HEADER_BYTES..HEADER_BYTES.checked_add(read_u32(bytes.get(8..12)?) as usize)?;
        if kind != if leaf { LEAF } else { INNER } || count == 0 {
            return None;
        }
        let cells = prefix.end.checked_add(count.checked_mul(SLOT_BYTES)?)?;
        bytes.get(..cells)?;
        let node = Self { bytes, leaf, count, prefix, uses: AtomicU8::new(0) };
        let mut before: Option<&[u8]> = None;
        for at in 0..count {
            let (rest, _) = node.parse(at)?;
            if node.head(at) != head_of(rest) || before.is_some_and(|before| before >= rest) {
                return None;
            }
            before = Some(rest);
        }
        Some(node)
    }

    #[inline]
    fn head(&self, at: usize) -> u32 {
        read_u32(self.bytes.get(self.prefix.end + at * 4..).unwrap_or_default())
    }

    /// The rest of a key, and what belongs to it.
    #[inline]
    fn parse(&self, at: usize) -> Option<(&[u8], &[u8])> {
        let place = read_u32(self.bytes.get(self.prefix.end + (self.count + at) * 4..)?);
        let mut reader = Reader::new(self.bytes.get(place as usize..)?);
        if self.leaf {
            return Some((reader.bytes()?, reader.bytes()?));
        }
        let place = reader.take(PLACE_BYTES as u64)?;
        Some((reader.bytes()?, place))
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// What all keys begin with.
    #[inline]
    pub(super) fn prefix(&self) -> &[u8] {
        self.bytes.get(self.prefix.clone()).unwrap_or_default()
    }

    /// A key without the prefix.
    #[inline]
    pub(super) fn rest(&self, at: usize) -> &[u8] {
        self.parse(at).map_or(&[], |(rest, _)| rest)
    }

    /// A key without the prefix, and where its value is.
    #[inline]
    pub(super) fn entry(&self, at: usize) -> (&[u8], Range<usize>) {
        let Some((rest, payload)) = self.parse(at) else { return (&[], 0..0) };
        let start = payload.as_ptr().addr() - self.bytes.as_ptr().addr();
        (rest, start..start + payload.len())
    }

    /// What an entry of this node said its value's place is.
    #[inline]
    pub(super) fn bytes_at(&self, place: &Range<usize>) -> &[u8] {
        self.bytes.get(place.clone()).unwrap_or_default()
    }

    pub(super) fn key(&self, at: usize) -> Vec<u8> {
        [self.prefix(), self.rest(at)].concat()
    }

    /// The value of a leaf's key, or the encoded place of a child.
    #[inline]
    pub(super) fn payload(&self, at: usize) -> &[u8] {
        self.parse(at).map_or(&[], |(_, payload)| payload)
    }

    /// Where a child is.
    pub(super) fn place(&self, at: usize) -> Place {
        Place::decode(self.payload(at)).unwrap_or_default()
    }

    /// Has fetched what [`Node::search`] looks at.
    #[inline]
    pub(super) fn fetch_heads(&self) {
        ahead::fetch(self.bytes.as_ptr(), self.prefix.end + self.count * 4);
    }

    /// How many keys are before `key`, and whether the next one is `key`.
    #[inline]
    pub(super) fn search(&self, key: &[u8]) -> (usize, bool) {
        let prefix = self.prefix();
        let Some(rest) = key.strip_prefix(prefix) else {
            return (if key < prefix { 0 } else { self.count }, false);
        };
        let sought = head_of(rest);
        let heads = self.bytes.get(self.prefix.end..self.prefix.end + self.count * 4).unwrap_or_default();
        let mut low = heads::count_before(heads, sought);
        if low == self.count || self.head(low) != sought {
            return (low, false);
        }
        // Among those with the same head, of which there is mostly one, the rest decides.
        let mut high = if low + 1 < self.count && self.head(low + 1) == sought {
            sought.checked_add(1).map_or(self.count, |next| heads::count_before(heads, next))
        } else {
            low + 1
        };
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.rest(middle).cmp(rest) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return (middle, true),
            }
        }
        (low, false)
    }

    /// The child that has `key`, if one has.
    #[inline]
    pub(super) fn child_of(&self, key: &[u8]) -> usize {
        match self.search(key) {
            (at, true) => at,
            (at, false) => at.saturating_sub(1),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn node_of(map: &BTreeMap<Vec<u8>, Vec<u8>>, leaf: bool) -> (Vec<u8>, usize) {
        let (mut buffer, mut cells, mut bytes) = (Vec::new(), Vec::new(), 0);
        for (key, value) in map {
            let cell = Cell { start: buffer.len(), key: key.len(), payload: value.len() };
            buffer.extend_from_slice(key);
            buffer.extend_from_slice(value);
            bytes += cell.bytes();
            cells.push(cell);
        }
        (encode(leaf, &cells, &buffer), length_of(leaf, &cells, bytes, &buffer))
    }

    proptest! {
        #[test]
        fn a_node_reads_as_a_map_and_is_no_longer_than_foretold(
            prefix in proptest::collection::vec(any::<u8>(), 0..6),
            rest in proptest::collection::btree_map(
                proptest::collection::vec(0u8..3, 0..9), proptest::collection::vec(any::<u8>(), 0..300), 1..60),
            probe in proptest::collection::vec(0u8..3, 0..9),
            with_prefix: bool,
        ) {
            let map: BTreeMap<Vec<u8>, Vec<u8>> =
                rest.into_iter().map(|(rest, value)| ([prefix.as_slice(), &rest].concat(), value)).collect();
            let (bytes, foretold) = node_of(&map, true);
            prop_assert!(bytes.len() <= foretold);
            let node = Node::decode(bytes.into(), true).unwrap();
            let probe = if with_prefix { [prefix, probe].concat() } else { probe };
            for key in map.keys().chain([&probe]) {
                let (at, found) = node.search(key);
                prop_assert_eq!(found, map.contains_key(key));
                prop_assert_eq!(at, map.keys().filter(|other| *other < key).count());
            }
            let all: Vec<_> = (0..node.count()).map(|at| (node.key(at), node.payload(at).to_vec())).collect();
            prop_assert_eq!(all, map.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn arbitrary_and_damaged_bytes_never_panic(
            junk: Vec<u8>,
            map in proptest::collection::btree_map(any::<Vec<u8>>(), Just(vec![1; PLACE_BYTES]), 1..9),
            at: usize,
            bit in 0u8..8,
        ) {
            for leaf in [false, true] {
                let _ = Node::decode(junk.clone().into(), leaf);
                let mut bytes = node_of(&map, leaf).0;
                let at = at % bytes.len();
                bytes[at] ^= 1u8 << bit;
                if let Some(node) = Node::decode(bytes.into(), leaf) {
                    for at in 0..node.count() {
                        let _ = (node.search(&node.key(at)), node.place(at));
                    }
                }
            }
        }

        #[test]
        fn a_first_key_that_is_shorter_costs_an_inner_node_no_prefix(
            prefix in proptest::collection::vec(any::<u8>(), 1..9),
            rest in proptest::collection::btree_set(any::<u16>(), 2..60),
        ) {
            let keys = rest.iter().map(|rest| [&prefix[..], &rest.to_be_bytes(), b"end"].concat());
            let place = Place::default().encode().to_vec();
            let map = keys.chain([Vec::new()]).map(|key| (key, place.clone())).collect();
            let node = Node::decode(node_of(&map, false).0.into(), false).unwrap();
            prop_assert!(node.prefix().starts_with(&prefix));
        }

        #[test]
        fn the_child_of_a_key_is_the_last_that_begins_before_it(
            keys in proptest::collection::btree_set(proptest::collection::vec(0u8..4, 0..5), 1..30),
            probe in proptest::collection::vec(0u8..4, 0..5),
        ) {
            let place = Place { page: 7, length: 8, checksum: 9, entries: 10 };
            let map = keys.iter().map(|key| (key.clone(), place.encode().to_vec())).collect();
            let node = Node::decode(node_of(&map, false).0.into(), false).unwrap();
            let expected = keys.iter().filter(|key| **key <= probe).count().saturating_sub(1);
            prop_assert_eq!(node.child_of(&probe), expected);
            prop_assert_eq!(node.place(0), place);
        }
    }
}
