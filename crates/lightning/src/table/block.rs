//! Data blocks: sorted entries with shared key prefixes and restart points.
//!
//! ```text
//! entry   = varint shared, varint rest, varint (value length << 2 | kind), key rest, value
//! block   = entry*, u32 restart offset *, u32 number of restarts
//! ```
//! At a restart point `shared` is 0. Loading a block walks it once: a malformed one is refused, and
//! each entry's place and four bytes of its key (those after the prefix that all keys of the block
//! share) are kept, so that a point read searches those and touches one entry. That costs 8 bytes of
//! memory per entry.

use luma_sync::atomic::AtomicU8;
use std::sync::Arc;

use crate::ahead;
use crate::cache::Cached;
use crate::codec::{Reader, put_varint};
use crate::options::Direction;

const RESTART_INTERVAL: usize = 16;

const VALUE: u8 = 0;
const TOMBSTONE: u8 = 1;
const POINTER: u8 = 2;

/// What a table has for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored<'a> {
    Value(&'a [u8]),
    Tombstone,
    /// Where in a blob file the value is.
    Pointer(&'a [u8]),
}

impl<'a> Stored<'a> {
    fn kind(self) -> u8 {
        match self {
            Self::Value(_) => VALUE,
            Self::Tombstone => TOMBSTONE,
            Self::Pointer(_) => POINTER,
        }
    }

    fn bytes(self) -> &'a [u8] {
        match self {
            Self::Value(bytes) | Self::Pointer(bytes) => bytes,
            Self::Tombstone => &[],
        }
    }

    #[inline]
    fn of(kind: u8, bytes: &'a [u8]) -> Self {
        match kind {
            VALUE => Self::Value(bytes),
            TOMBSTONE => Self::Tombstone,
            _ => Self::Pointer(bytes),
        }
    }
}

/// Collects entries in ascending order.
#[derive(Default)]
pub(crate) struct BlockBuilder {
    bytes: Vec<u8>,
    restarts: Vec<u32>,
    entries: usize,
    last_key: Vec<u8>,
}

fn shared_prefix(left: &[u8], right: &[u8]) -> usize {
    left.iter().zip(right).take_while(|(left, right)| left == right).count()
}

impl BlockBuilder {
    pub(crate) fn add(&mut self, key: &[u8], stored: Stored<'_>) {
        let shared = if self.entries.is_multiple_of(RESTART_INTERVAL) {
            self.restarts.push(self.bytes.len() as u32);
            0
        } else {
            shared_prefix(&self.last_key, key)
        };
        let bytes = stored.bytes();
        put_varint(&mut self.bytes, shared as u64);
        put_varint(&mut self.bytes, (key.len() - shared) as u64);
        put_varint(&mut self.bytes, (bytes.len() as u64) << 2 | u64::from(stored.kind()));
        self.bytes.extend_from_slice(&key[shared..]);
        self.bytes.extend_from_slice(bytes);
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        self.entries += 1;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries == 0
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The block's bytes; the builder is empty afterwards.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        out.clear();
        out.append(&mut self.bytes);
        for restart in &self.restarts {
            out.extend_from_slice(&restart.to_le_bytes());
        }
        out.extend_from_slice(&(self.restarts.len() as u32).to_le_bytes());
        self.restarts.clear();
        self.entries = 0;
    }
}

/// So much of a key a directory has besides what all keys share.
const HEAD_BYTES: usize = 4;
/// What is fetched of an entry that is read soon: the whole of most.
const ENTRY_FETCHED: usize = 128;
/// Words of a directory that are kept in the block itself: enough for 4 KiB of rows of 100 bytes.
const INLINE_WORDS: usize = 84;

/// A block in memory. What a point read needs first lies together.
#[repr(C)]
pub(crate) struct Block {
    /// How often it was read of late; the cache's business.
    uses: AtomicU8,
    /// How many bytes all keys share.
    prefix: usize,
    entries: usize,
    bytes: Box<[u8]>,
    /// Where the restart offsets begin, which is where the entries end.
    restarts_at: usize,
    directory: Directory,
    restarts: usize,
}

/// The bytes that all keys share, in words; four key bytes of each entry after those; where each entry
/// begins. A large one is elsewhere in memory.
#[repr(C)]
struct Directory {
    length: usize,
    inline: [u32; INLINE_WORDS],
    large: Box<[u32]>,
}

impl Cached for Block {
    fn bytes(&self) -> usize {
        self.bytes.len() + self.directory.large.len() * 4 + size_of::<Self>() + 16
    }

    fn uses(&self) -> &AtomicU8 {
        &self.uses
    }
}

impl Directory {
    fn new(words: &[u32]) -> Self {
        let mut inline = [0; INLINE_WORDS];
        match inline.get_mut(..words.len()) {
            Some(here) => {
                here.copy_from_slice(words);
                Self { length: words.len(), inline, large: Box::from([]) }
            }
            None => Self { length: words.len(), inline, large: words.into() },
        }
    }

    #[inline]
    fn words(&self) -> &[u32] {
        self.inline.get(..self.length).unwrap_or(&self.large)
    }
}

struct RawEntry<'a> {
    shared: usize,
    rest: &'a [u8],
    value: &'a [u8],
    kind: u8,
    next: usize,
}

/// Four bytes of a key as a number, zeros where there are none.
#[inline]
fn head_at(key: &[u8], at: usize) -> u32 {
    let rest = key.get(at..).unwrap_or_default();
    match rest.first_chunk::<4>() {
        Some(bytes) => u32::from_be_bytes(*bytes),
        None => {
            rest.iter().zip([24, 16, 8, 0]).fold(0, |head, (byte, shift)| head | u32::from(*byte) << shift)
        }
    }
}

impl Block {
    /// Takes over a block's bytes; `None` when they are malformed.
    pub(crate) fn new(bytes: Box<[u8]>) -> Option<Self> {
        let tail = bytes.len().checked_sub(4)?;
        let restarts = u32::from_le_bytes(bytes.get(tail..)?.try_into().ok()?) as usize;
        let restarts_at = tail.checked_sub(restarts.checked_mul(4)?)?;
        let mut block = Self {
            bytes,
            restarts_at,
            restarts,
            prefix: 0,
            entries: 0,
            directory: Directory::new(&[]),
            uses: AtomicU8::new(0),
        };
        block.build_directory()?;
        Some(block)
    }

    fn build_directory(&mut self) -> Option<()> {
        let (mut offsets, mut offset, mut restart) = (Vec::new(), 0, 0);
        let mut key = Vec::new();
        let mut first_key = Vec::new();
        while offset < self.restarts_at {
            let entry = self.entry_at(offset)?;
            // Every restart point is an entry that shares nothing.
            if restart < self.restarts && self.restart(restart) == offset {
                restart += 1;
                if entry.shared != 0 {
                    return None;
                }
            }
            if offsets.is_empty() {
                if restart == 0 || entry.shared > 0 {
                    return None;
                }
            } else if entry.rest <= key.get(entry.shared..)? {
                // Walks and searches rely on the order.
                return None;
            }
            key.truncate(entry.shared);
            key.extend_from_slice(entry.rest);
            if offsets.is_empty() {
                first_key.clone_from(&key);
            }
            offsets.push(u32::try_from(offset).ok()?);
            offset = entry.next;
        }
        if restart != self.restarts {
            return None;
        }
        // Keys ascend, so what the first and the last share, all do.
        let prefix = shared_prefix(&first_key, &key);
        let mut directory = Vec::with_capacity(prefix.div_ceil(4) + offsets.len() * 2);
        directory.extend(first_key[..prefix].chunks(4).map(|bytes| head_at(bytes, 0)));
        key.clear();
        for offset in &offsets {
            let entry = self.entry_at(*offset as usize)?;
            key.truncate(entry.shared);
            key.extend_from_slice(entry.rest);
            directory.push(head_at(&key, prefix));
        }
        directory.extend_from_slice(&offsets);
        (self.prefix, self.entries, self.directory) = (prefix, offsets.len(), Directory::new(&directory));
        Some(())
    }

    /// Has fetched what [`Block::get`] searches, where that is not in the block itself.
    #[inline]
    pub(crate) fn fetch_directory(&self) {
        let large = &self.directory.large;
        ahead::fetch(large.as_ptr(), size_of_val(&**large));
    }

    #[inline]
    fn offset(&self, entry: usize) -> Option<usize> {
        let at = self.prefix.div_ceil(4) + self.entries + entry;
        self.directory.words().get(at).map(|offset| *offset as usize)
    }

    fn restart(&self, index: usize) -> usize {
        let at = self.restarts_at + index * 4;
        let offset = self.bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        offset.map_or(self.restarts_at, |bytes| u32::from_le_bytes(bytes) as usize)
    }

    #[inline]
    fn entry_at(&self, offset: usize) -> Option<RawEntry<'_>> {
        let bytes = self.bytes.get(offset..self.restarts_at)?;
        // Most entries have one byte for each length.
        let (shared, rest, value, mut reader) = match bytes {
            [shared, rest, value, tail @ ..] if (shared | rest | value) & 0x80 == 0 => {
                (usize::from(*shared), u64::from(*rest), u64::from(*value), Reader::new(tail))
            }
            _ => {
                let mut reader = Reader::new(bytes);
                (reader.varint()? as usize, reader.varint()?, reader.varint()?, reader)
            }
        };
        let rest = reader.take(rest)?;
        let kind = (value & 3) as u8;
        if kind == 3 {
            return None;
        }
        let value = reader.take(value >> 2)?;
        Some(RawEntry { shared, rest, value, kind, next: self.restarts_at - reader.rest.len() })
    }

    /// The last restart point whose key is not after `key`.
    #[inline]
    fn restart_before(&self, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.restarts);
        while low + 1 < high {
            let middle = usize::midpoint(low, high);
            match self.entry_at(self.restart(middle)) {
                Some(entry) if entry.rest <= key => low = middle,
                _ => high = middle,
            }
        }
        low
    }

    /// What is stored for a key.
    #[inline]
    pub(crate) fn get(&self, key: &[u8]) -> Option<Stored<'_>> {
        self.find(key).map(|(_, stored)| stored)
    }

    /// The entry of a key, and what it has.
    #[inline]
    pub(crate) fn find(&self, key: &[u8]) -> Option<(usize, Stored<'_>)> {
        let (heads, head) = self.heads_for(key)?;
        let from = heads.partition_point(|other| *other < head);
        let same = heads[from..].iter().take_while(|other| **other == head).count();
        (from..from + same).find_map(|at| Some((at, self.value_if_key(at, key)?)))
    }

    /// Has the first entry fetched that may be a key's.
    #[inline]
    pub(crate) fn fetch_entry(&self, key: &[u8]) {
        if let Some((heads, head)) = self.heads_for(key)
            && let Some(offset) = self.offset(heads.partition_point(|other| *other < head))
        {
            ahead::fetch(self.bytes.as_ptr().wrapping_add(offset), ENTRY_FETCHED);
        }
    }

    /// What an entry has.
    #[inline]
    pub(crate) fn stored_at(&self, entry: usize) -> Option<Stored<'_>> {
        let entry = self.entry_at(self.offset(entry)?)?;
        Some(Stored::of(entry.kind, entry.value))
    }

    /// The heads of the entries, and the one that a key would have; `None` if it lacks what all keys share.
    #[inline]
    fn heads_for(&self, key: &[u8]) -> Option<(&[u32], u32)> {
        let (prefix, rest) = self.directory.words().split_at_checked(self.prefix.div_ceil(4))?;
        let shared = key.get(..self.prefix)?;
        if !shared.chunks(4).zip(prefix).all(|(bytes, word)| head_at(bytes, 0) == *word) {
            return None;
        }
        Some((rest.get(..self.entries)?, head_at(key, self.prefix)))
    }

    /// The value of an entry if its key is `key`, which is known to have the prefix all keys share, and the entry's
    /// head.
    ///
    /// The entry's own bytes are compared first, then, going back, those of the entries from which it
    /// takes the rest, as far as the head does not tell.
    #[inline]
    fn value_if_key(&self, at: usize, key: &[u8]) -> Option<Stored<'_>> {
        let entry = self.entry_at(self.offset(at)?)?;
        if key.get(entry.shared..)? != entry.rest {
            return None;
        }
        let mut unproved = entry.shared;
        let mut at = at;
        while unproved > self.prefix + HEAD_BYTES {
            at = at.checked_sub(1)?;
            let before = self.entry_at(self.offset(at)?)?;
            if before.shared < unproved {
                if key.get(before.shared..unproved)? != before.rest.get(..unproved - before.shared)? {
                    return None;
                }
                unproved = before.shared;
            }
        }
        Some(Stored::of(entry.kind, entry.value))
    }
}

struct Pending {
    key: (usize, usize),
    value: (usize, usize),
    kind: u8,
}

/// Walks a block in one direction.
pub(crate) struct BlockCursor {
    block: Arc<Block>,
    direction: Direction,
    valid: bool,
    key: Vec<u8>,
    value: (usize, usize),
    kind: u8,
    /// Forward: where the next entry is. Reverse: the restart interval in `pending`.
    next: usize,
    /// Reverse only: the entries of the interval not shown yet, and their keys.
    pending: Vec<Pending>,
    keys: Vec<u8>,
}

impl BlockCursor {
    pub(crate) fn new(block: Arc<Block>, direction: Direction) -> Self {
        Self {
            block,
            direction,
            valid: false,
            key: Vec::new(),
            value: (0, 0),
            kind: 0,
            next: 0,
            pending: Vec::new(),
            keys: Vec::new(),
        }
    }

    /// Goes on in another block, unplaced, keeping its buffers.
    pub(crate) fn reset(&mut self, block: Arc<Block>) {
        self.block = block;
        self.valid = false;
    }

    #[inline]
    pub(crate) fn is_valid(&self) -> bool {
        self.valid
    }

    #[inline]
    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }

    #[inline]
    pub(crate) fn value(&self) -> Option<&[u8]> {
        if self.kind == VALUE { self.block.bytes.get(self.value.0..self.value.1) } else { None }
    }

    /// Whether the value here is in a blob file.
    #[inline]
    pub(crate) fn is_pointer(&self) -> bool {
        self.kind == POINTER
    }

    #[inline]
    pub(crate) fn stored(&self) -> Stored<'_> {
        let bytes = self.block.bytes.get(self.value.0..self.value.1);
        Stored::of(self.kind, bytes.unwrap_or_default())
    }

    /// To the first entry in the cursor's direction.
    pub(crate) fn seek_first(&mut self) {
        self.key.clear();
        match self.direction {
            Direction::Forward => {
                self.next = 0;
                self.advance();
            }
            Direction::Reverse => {
                self.load_interval(self.block.restarts.wrapping_sub(1), None);
                self.advance();
            }
        }
    }

    /// Forward: to the first key at or after `key`. Reverse: to the last at or before it.
    pub(crate) fn seek(&mut self, key: &[u8]) {
        let restart = self.block.restart_before(key);
        self.key.clear();
        match self.direction {
            Direction::Forward => {
                self.next = self.block.restart(restart);
                self.advance();
                while self.valid && self.key.as_slice() < key {
                    self.advance();
                }
            }
            Direction::Reverse => {
                self.load_interval(restart, Some(key));
                self.advance();
            }
        }
    }

    #[inline]
    pub(crate) fn advance(&mut self) {
        match self.direction {
            Direction::Forward => self.step_forward(),
            Direction::Reverse => {
                while self.pending.is_empty() && self.next > 0 {
                    self.load_interval(self.next - 1, None);
                }
                let Some(entry) = self.pending.pop() else {
                    self.valid = false;
                    return;
                };
                self.key.clear();
                self.key.extend_from_slice(&self.keys[entry.key.0..entry.key.1]);
                self.value = entry.value;
                self.kind = entry.kind;
                self.valid = true;
            }
        }
    }

    #[inline]
    fn step_forward(&mut self) {
        self.valid = false;
        let Some(entry) = self.block.entry_at(self.next) else { return };
        if entry.shared > self.key.len() {
            return;
        }
        self.key.truncate(entry.shared);
        self.key.extend_from_slice(entry.rest);
        self.value = (entry.next - entry.value.len(), entry.next);
        self.kind = entry.kind;
        self.next = entry.next;
        self.valid = true;
    }

    /// Reads the entries of a restart interval that are not after `last` into `pending`.
    fn load_interval(&mut self, interval: usize, last: Option<&[u8]>) {
        self.pending.clear();
        self.keys.clear();
        self.next = 0;
        if interval >= self.block.restarts {
            return;
        }
        self.next = interval;
        let mut offset = self.block.restart(interval);
        let end = if interval + 1 < self.block.restarts {
            self.block.restart(interval + 1)
        } else {
            self.block.restarts_at
        };
        let mut previous = (0, 0);
        while offset < end {
            let Some(entry) = self.block.entry_at(offset) else { return };
            if entry.shared > previous.1 - previous.0 {
                return;
            }
            let start = self.keys.len();
            self.keys.extend_from_within(previous.0..previous.0 + entry.shared);
            self.keys.extend_from_slice(entry.rest);
            previous = (start, self.keys.len());
            if last.is_some_and(|last| &self.keys[start..] > last) {
                return;
            }
            self.pending.push(Pending {
                key: previous,
                value: (entry.next - entry.value.len(), entry.next),
                kind: entry.kind,
            });
            offset = entry.next;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Values that begin with a zero stand for pointers.
    fn stored_of(value: Option<&Vec<u8>>) -> Stored<'_> {
        match value {
            None => Stored::Tombstone,
            Some(bytes) if bytes.first() == Some(&0) => Stored::Pointer(bytes),
            Some(bytes) => Stored::Value(bytes),
        }
    }

    fn block_of(entries: &BTreeMap<Vec<u8>, Option<Vec<u8>>>) -> Arc<Block> {
        let mut builder = BlockBuilder::default();
        for (key, value) in entries {
            builder.add(key, stored_of(value.as_ref()));
        }
        let mut bytes = Vec::new();
        builder.finish(&mut bytes);
        Arc::new(Block::new(bytes.into()).unwrap())
    }

    #[test]
    fn keys_out_of_order_are_no_block() {
        for keys in [[b"a", b"b"], [b"b", b"a"], [b"a", b"a"]] {
            let mut builder = BlockBuilder::default();
            for key in keys {
                builder.add(key, Stored::Tombstone);
            }
            let mut bytes = Vec::new();
            builder.finish(&mut bytes);
            assert_eq!(Block::new(bytes.into()).is_some(), keys == [b"a", b"b"]);
        }
    }

    proptest! {
        #[test]
        fn gets_and_walks_agree_with_a_map(
            entries in proptest::collection::btree_map(
                proptest::collection::vec(0u8..4, 0..8),
                proptest::option::of(proptest::collection::vec(0u8..9, 0..20)), 0..120),
            probe in proptest::collection::vec(0u8..4, 0..8),
        ) {
            let block = block_of(&entries);
            for key in entries.keys().chain([&probe]) {
                prop_assert_eq!(block.get(key), entries.get(key).map(|value| stored_of(value.as_ref())));
            }
            for direction in [Direction::Forward, Direction::Reverse] {
                let mut cursor = BlockCursor::new(Arc::clone(&block), direction);
                let mut collect = |start: Option<&[u8]>| {
                    match start {
                        Some(key) => cursor.seek(key),
                        None => cursor.seek_first(),
                    }
                    let mut found = Vec::new();
                    while cursor.is_valid() {
                        let stored = cursor.stored();
                        let kind = stored_of(entries.get(cursor.key()).and_then(Option::as_ref)).kind();
                        assert_eq!(stored.kind(), kind);
                        let value = (stored != Stored::Tombstone).then(|| stored.bytes().to_vec());
                        found.push((cursor.key().to_vec(), value));
                        cursor.advance();
                    }
                    found
                };
                let own = |(key, value): (&Vec<u8>, &Option<Vec<u8>>)| (key.clone(), value.clone());
                let mut all: Vec<_> = entries.iter().map(own).collect();
                let mut from: Vec<_> = match direction {
                    Direction::Forward => entries.range(probe.clone()..),
                    Direction::Reverse => entries.range(..=probe.clone()),
                }.map(own).collect();
                if direction == Direction::Reverse {
                    all.reverse();
                    from.reverse();
                }
                prop_assert_eq!(collect(None), all);
                prop_assert_eq!(collect(Some(&probe)), from);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, key: Vec<u8>) {
            if let Some(block) = Block::new(bytes.into()) {
                let block = Arc::new(block);
                let _ = block.get(&key);
                for direction in [Direction::Forward, Direction::Reverse] {
                    let mut cursor = BlockCursor::new(Arc::clone(&block), direction);
                    cursor.seek(&key);
                    cursor.seek_first();
                    let mut steps = 0;
                    while cursor.is_valid() && steps < 1000 {
                        cursor.advance();
                        steps += 1;
                    }
                }
            }
        }
    }
}
