//! A skip list in an arena: one writer at a time, readers without locks.
//!
//! Order: keys ascending, and for one key the newest version (highest sequence) first. Inserting the
//! same key and sequence again puts the later one first, so it is the one that reads find.
//!
//! Invariants (what the `unsafe` here rests on):
//! - Nodes live in chunks that are freed only when the list is dropped, and never move.
//! - A node's header, key and value are written before the node is linked with a release store, and
//!   never change after; readers follow links with acquire loads.
//! - The link back is set after those forward, so it may lead past a node that is just being inserted,
//!   which no snapshot shows yet, and never to a node that is not linked.
//! - Only the holder of the `writer` mutex links nodes or touches the arena.
//!
//! Cost: 40 bytes, a tower of 1.33 pointers on average, and the bytes of key and value per entry; of a long
//! list the hash index besides.

// A tower starts 40 bytes after its node, which is aligned to 8.
#![allow(clippy::cast_ptr_alignment)]
// A position is only read through the list it came from, which keeps it alive.
#![allow(clippy::unused_self)]

use std::alloc::Layout;
use std::cmp::Ordering as Order;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::hash_index::HashIndex;
use crate::ahead;
use crate::table::hash;

/// A shorter list is searched as fast without the index.
const INDEXED_ENTRIES_MIN: usize = 256;
/// Newer versions of a key that a read walks over before it descends to its own.
const VERSIONS_WALKED_MAX: usize = 8;
/// What is fetched of a node that is read soon: the node and most keys and values.
const NODE_FETCHED: usize = 128;
const HEIGHT_MAX: usize = 14;
const CHUNK_BYTES_MAX: usize = 256 << 10;

/// A version of a key; its tower, key bytes and value bytes follow in memory.
#[repr(C, align(8))]
struct Node {
    /// The first eight key bytes as a number, zeros if there are fewer: most comparisons end here.
    head: u64,
    sequence: u64,
    /// The node before on the lowest level; null after the list's head.
    previous: Link,
    key_length: u32,
    value_length: u32,
    tombstone: bool,
    height: u8,
}

type Link = AtomicPtr<Node>;

/// A place in the list; valid as long as the list lives.
#[derive(Clone, Copy)]
pub(crate) struct Position(NonNull<Node>);

// SAFETY: a position is an address of immutable memory; what may be read through it is decided by
// the methods of `SkipList`, which need the list itself.
unsafe impl Send for Position {}
// SAFETY: as above.
unsafe impl Sync for Position {}

/// A version read from the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) sequence: u64,
    /// `None` is a tombstone.
    pub(crate) value: Option<&'a [u8]>,
}

struct Writer {
    chunks: Vec<(NonNull<u8>, Layout)>,
    /// Free bytes of the newest chunk.
    free: NonNull<u8>,
    left: usize,
    next_chunk: usize,
    /// Before which links the last insertion happened: ascending keys find their place at once.
    /// A null stands for the list's head.
    splice: [*mut Node; HEIGHT_MAX],
    random: u64,
}

/// The list.
pub(crate) struct SkipList {
    heads: [Link; HEIGHT_MAX],
    height: AtomicUsize,
    bytes: AtomicUsize,
    entries: AtomicUsize,
    /// The newest version of each key; none for a list that is only walked.
    index: Option<HashIndex<Node>>,
    writer: Mutex<Writer>,
}

// SAFETY: raw pointers in `Writer` are only used under its mutex and point into chunks the list
// owns; nodes are immutable once linked, and links are atomic.
unsafe impl Send for SkipList {}
// SAFETY: as above.
unsafe impl Sync for SkipList {}

fn head_of(key: &[u8]) -> u64 {
    let mut head = [0; 8];
    let length = key.len().min(8);
    head[..length].copy_from_slice(&key[..length]);
    u64::from_be_bytes(head)
}

impl Node {
    const HEADER: usize = size_of::<Node>();

    /// # Safety
    /// `node` points to a linked or fully written node of a living list, and `level` is below its height.
    unsafe fn link<'a>(node: *const Node, level: usize) -> &'a Link {
        // SAFETY: the tower follows the header; `level` is in it.
        unsafe { &*node.cast::<u8>().add(Self::HEADER).cast::<Link>().add(level) }
    }

    /// # Safety
    /// `node` points to a fully written node of a list that outlives `'a`.
    unsafe fn key<'a>(node: *const Node) -> &'a [u8] {
        // SAFETY: the key follows the tower.
        unsafe { std::slice::from_raw_parts(Self::behind_tower(node), (*node).key_length as usize) }
    }

    /// # Safety
    /// `node` points to a fully written node of a living list.
    unsafe fn behind_tower(node: *const Node) -> *const u8 {
        // SAFETY: the node has a tower of its height.
        unsafe { node.cast::<u8>().add(Self::HEADER + size_of::<Link>() * usize::from((*node).height)) }
    }

    /// # Safety
    /// `node` points to a fully written node of a list that outlives `'a`.
    unsafe fn entry<'a>(node: *const Node) -> Entry<'a> {
        // SAFETY: the value follows the key.
        unsafe {
            let key = Self::key(node);
            // From the node on: a pointer of the key's slice may not leave it.
            let start = Self::behind_tower(node).add(key.len());
            let value = std::slice::from_raw_parts(start, (*node).value_length as usize);
            Entry { key, sequence: (*node).sequence, value: (!(*node).tombstone).then_some(value) }
        }
    }

    /// Whether the node comes before the place of (`key`, `sequence`).
    ///
    /// # Safety
    /// `node` points to a fully written node of a living list.
    #[inline]
    unsafe fn before(node: *const Node, head: u64, key: &[u8], sequence: u64) -> bool {
        // SAFETY: by this function's own contract.
        unsafe {
            match (*node).head.cmp(&head) {
                Order::Less => true,
                Order::Greater => false,
                Order::Equal => match Self::key(node).cmp(key) {
                    Order::Less => true,
                    Order::Greater => false,
                    Order::Equal => (*node).sequence > sequence,
                },
            }
        }
    }
}

impl Writer {
    fn allocate(&mut self, bytes: usize) -> NonNull<u8> {
        let bytes = bytes.next_multiple_of(8);
        if bytes > self.left {
            let size = bytes.max(self.next_chunk);
            self.next_chunk = (self.next_chunk * 2).min(CHUNK_BYTES_MAX);
            let Ok(layout) = Layout::from_size_align(size, 8) else {
                std::alloc::handle_alloc_error(Layout::new::<Node>())
            };
            // SAFETY: the size is not zero, a node's header alone has 32 bytes.
            let Some(chunk) = NonNull::new(unsafe { std::alloc::alloc(layout) }) else {
                std::alloc::handle_alloc_error(layout)
            };
            self.chunks.push((chunk, layout));
            // A large entry in a chunk of its own leaves the current chunk in use.
            if size - bytes < self.left {
                return chunk;
            }
            self.free = chunk;
            self.left = size;
        }
        let start = self.free;
        // SAFETY: `bytes` are left in the chunk after `free`.
        self.free = unsafe { self.free.add(bytes) };
        self.left -= bytes;
        start
    }

    fn random_height(&mut self) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (1 + self.random.trailing_zeros() as usize / 2).min(HEIGHT_MAX)
    }
}

impl SkipList {
    /// An empty list whose first chunk has `first_chunk` bytes.
    pub(crate) fn new(first_chunk: usize) -> Self {
        Self::of(first_chunk, Some(HashIndex::new()))
    }

    /// One in which nobody looks up single keys often enough to pay for an index.
    pub(crate) fn unindexed(first_chunk: usize) -> Self {
        Self::of(first_chunk, None)
    }

    fn of(first_chunk: usize, index: Option<HashIndex<Node>>) -> Self {
        Self {
            heads: [const { AtomicPtr::new(ptr::null_mut()) }; HEIGHT_MAX],
            height: AtomicUsize::new(1),
            bytes: AtomicUsize::new(0),
            entries: AtomicUsize::new(0),
            index,
            writer: Mutex::new(Writer {
                chunks: Vec::new(),
                free: NonNull::dangling(),
                left: 0,
                next_chunk: first_chunk,
                splice: [ptr::null_mut(); HEIGHT_MAX],
                random: 0x9e37_79b9_7f4a_7c15,
            }),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.heads[0].load(Ordering::Acquire).is_null()
    }

    /// Bytes of all entries.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How many versions there are.
    pub(crate) fn entries(&self) -> usize {
        self.entries.load(Ordering::Relaxed)
    }

    /// The link at `level` after `node`, or after the head if `node` is null.
    ///
    /// # Safety
    /// `node` is null or a node of this list that is higher than `level`.
    #[inline]
    unsafe fn link(&self, node: *const Node, level: usize) -> &Link {
        // SAFETY: by this function's own contract.
        if node.is_null() { &self.heads[level] } else { unsafe { Node::link(node, level) } }
    }

    /// Adds a version and returns where in memory its value is. Its key and value must be within the limits of the
    /// engine.
    pub(crate) fn insert(&self, key: &[u8], sequence: u64, value: Option<&[u8]>) -> usize {
        let mut writer = self.writer.lock();
        let writer = &mut *writer;
        let height = writer.random_height();
        let value_bytes = value.unwrap_or_default();
        let tower = size_of::<Link>() * height;
        let total = Node::HEADER + tower + key.len() + value_bytes.len();
        let head = head_of(key);
        let indexed = self.index.as_ref().map(|index| (index, hash(key)));
        if let Some((index, hash)) = indexed {
            index.fetch_slot(hash);
        }
        self.find_splice(&mut writer.splice, head, key, sequence);
        let node = writer.allocate(total).cast::<Node>().as_ptr();
        let address = node.addr() + Node::HEADER + tower + key.len();
        // SAFETY: `total` bytes at `node`, aligned to eight, belong to nobody else. Everything is
        // written before the node is linked. The splice holds nodes of this list.
        unsafe {
            node.write(Node {
                head,
                sequence,
                previous: AtomicPtr::new(writer.splice[0]),
                key_length: key.len() as u32,
                value_length: value_bytes.len() as u32,
                tombstone: value.is_none(),
                height: height as u8,
            });
            let bytes = node.cast::<u8>().add(Node::HEADER + tower);
            ptr::copy_nonoverlapping(key.as_ptr(), bytes, key.len());
            ptr::copy_nonoverlapping(value_bytes.as_ptr(), bytes.add(key.len()), value_bytes.len());
            for level in 0..height {
                let next = self.link(writer.splice[level], level).load(Ordering::Relaxed);
                node.cast::<u8>().add(Node::HEADER).cast::<Link>().add(level).write(AtomicPtr::new(next));
            }
            let after = self.link(writer.splice[0], 0).load(Ordering::Relaxed);
            for level in 0..height {
                self.link(writer.splice[level], level).store(node, Ordering::Release);
                writer.splice[level] = node;
            }
            if !after.is_null() {
                (*after).previous.store(node, Ordering::Release);
            }
        }
        self.height.fetch_max(height, Ordering::Relaxed);
        self.bytes.fetch_add(total, Ordering::Relaxed);
        let entries = self.entries.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some((index, hash)) = indexed {
            self.add_to_index(index, node, hash, entries);
        }
        address
    }

    /// Makes a node that was just linked the one to be found for its key. The caller is the writer.
    fn add_to_index(&self, index: &HashIndex<Node>, node: *mut Node, key_hash: u64, entries: usize) {
        if index.is_used() {
            // SAFETY: only nodes of this list are in the index.
            let is_same = |other: *mut Node| unsafe { Node::key(other) == Node::key(node) };
            // SAFETY: as above.
            let is_newer = |other: *mut Node| unsafe { (*other).sequence > (*node).sequence };
            index.put(key_hash, node, is_same, is_newer);
        } else if entries < INDEXED_ENTRIES_MIN {
            return;
        }
        let mut at = self.first();
        let newest_of_each = std::iter::from_fn(|| {
            let newest = at?;
            let key = self.entry(newest).key;
            at = self.next(newest);
            while let Some(older) = at.filter(|older| self.entry(*older).key == key) {
                at = self.next(older);
            }
            Some(newest.0.as_ptr())
        });
        // SAFETY: only nodes of this list are in the index.
        let grown = index.grow(newest_of_each, |node| hash(unsafe { Node::key(node) }));
        self.bytes.fetch_add(grown, Ordering::Relaxed);
    }

    /// The newest version of a key that is not newer than `sequence`; `hash` is the key's.
    #[inline]
    pub(crate) fn get(&self, key: &[u8], hash: u64, sequence: u64) -> Option<Entry<'_>> {
        // SAFETY: only nodes of this list are in the index.
        let found =
            self.index.as_ref().and_then(|index| index.get(hash, |node| unsafe { Node::key(node) == key }));
        let Some(newest) = found else {
            let entry = self.entry(self.seek(key, sequence)?);
            return (entry.key == key).then_some(entry);
        };
        let mut at = NonNull::new(newest).map(Position);
        for _ in 0..VERSIONS_WALKED_MAX {
            let entry = self.entry(at?);
            if entry.key != key {
                return None;
            }
            if entry.sequence <= sequence {
                return Some(entry);
            }
            at = self.next(at?);
        }
        let entry = self.entry(self.seek(key, sequence)?);
        (entry.key == key).then_some(entry)
    }

    /// Has fetched what tells where the key with this hash is.
    #[inline]
    pub(crate) fn fetch_place(&self, hash: u64) {
        if let Some(index) = &self.index {
            index.fetch_slot(hash);
        }
    }

    /// Has the newest version of the key with this hash fetched.
    #[inline]
    pub(crate) fn fetch_entry(&self, hash: u64) {
        // Mostly the first with its tag is the one, and fetching another does no harm.
        if let Some(node) = self.index.as_ref().and_then(|index| index.get(hash, |_| true)) {
            ahead::fetch(node, NODE_FETCHED);
        }
    }

    /// Moves the splice to the place of (`key`, `sequence`).
    fn find_splice(&self, splice: &mut [*mut Node; HEIGHT_MAX], head: u64, key: &[u8], sequence: u64) {
        // SAFETY: the splice holds null or nodes of this list at their own levels, and so do links.
        unsafe {
            let is_before = |node: *mut Node| node.is_null() || Node::before(node, head, key, sequence);
            // The lowest level where the place lies between the last insertion and its successor;
            // all levels above have wider gaps.
            let brackets = |level: usize| {
                let next = self.link(splice[level], level).load(Ordering::Relaxed);
                is_before(splice[level]) && (next.is_null() || !Node::before(next, head, key, sequence))
            };
            let top = (0..HEIGHT_MAX).find(|level| brackets(*level)).unwrap_or(HEIGHT_MAX);
            let mut node = if top == HEIGHT_MAX { ptr::null_mut() } else { splice[top] };
            for level in (0..top).rev() {
                loop {
                    let next = self.link(node, level).load(Ordering::Relaxed);
                    if next.is_null() || !Node::before(next, head, key, sequence) {
                        break;
                    }
                    node = next;
                }
                splice[level] = node;
            }
        }
    }

    /// The last node before the place of (`key`, `sequence`) and the first one after it, or nulls.
    ///
    /// Both are from one look: reading the link again could give a newer version that was inserted
    /// between them since.
    #[inline]
    fn find(&self, key: &[u8], sequence: u64) -> (*mut Node, *mut Node) {
        let head = head_of(key);
        let mut node: *mut Node = ptr::null_mut();
        let mut next: *mut Node = ptr::null_mut();
        for level in (0..self.height.load(Ordering::Relaxed)).rev() {
            loop {
                // SAFETY: `node` is null or was found on this level or a higher one.
                next = unsafe { self.link(node, level).load(Ordering::Acquire) };
                // SAFETY: linked nodes are fully written.
                if next.is_null() || !unsafe { Node::before(next, head, key, sequence) } {
                    break;
                }
                node = next;
            }
        }
        (node, next)
    }

    /// The first version at or after (`key`, `sequence`): of this key it is the newest that is not
    /// newer than `sequence`.
    #[inline]
    pub(crate) fn seek(&self, key: &[u8], sequence: u64) -> Option<Position> {
        NonNull::new(self.find(key, sequence).1).map(Position)
    }

    /// The oldest version of the largest key below `key`.
    pub(crate) fn seek_before(&self, key: &[u8]) -> Option<Position> {
        NonNull::new(self.find(key, u64::MAX).0).map(Position)
    }

    /// The first version of all.
    pub(crate) fn first(&self) -> Option<Position> {
        NonNull::new(self.heads[0].load(Ordering::Acquire)).map(Position)
    }

    /// The oldest version of the largest key.
    pub(crate) fn last(&self) -> Option<Position> {
        let mut node: *mut Node = ptr::null_mut();
        for level in (0..HEIGHT_MAX).rev() {
            loop {
                // SAFETY: `node` is null or was found on this level or a higher one.
                let next = unsafe { self.link(node, level).load(Ordering::Acquire) };
                if next.is_null() {
                    break;
                }
                node = next;
            }
        }
        NonNull::new(node).map(Position)
    }

    /// The version after this one. The position must come from this list.
    #[inline]
    pub(crate) fn next(&self, position: Position) -> Option<Position> {
        // SAFETY: a position holds a node of this list, which is not freed while the list lives.
        NonNull::new(unsafe { Node::link(position.0.as_ptr(), 0).load(Ordering::Acquire) }).map(Position)
    }

    /// The version before this one; one that is inserted between them meanwhile may be passed over. The
    /// position must come from this list.
    #[inline]
    pub(crate) fn previous(&self, position: Position) -> Option<Position> {
        // SAFETY: as in `next`.
        NonNull::new(unsafe { (*position.0.as_ptr()).previous.load(Ordering::Acquire) }).map(Position)
    }

    /// Has the processor fetch the version after this one: a walk waits for memory at each step otherwise,
    /// since neighbours in the order are anywhere in the arena. The position must come from this list.
    #[inline]
    pub(crate) fn fetch_next(&self, position: Position) {
        // SAFETY: as in `next`.
        let next = unsafe { Node::link(position.0.as_ptr(), 0).load(Ordering::Acquire) };
        ahead::fetch(next, NODE_FETCHED);
    }

    /// The version at a position, which must come from this list.
    #[inline]
    pub(crate) fn entry(&self, position: Position) -> Entry<'_> {
        // SAFETY: as in `next`; the entry can't outlive the borrow of the list.
        unsafe { Node::entry(position.0.as_ptr()) }
    }

    /// Keys spread evenly over the list, at least `wanted` if there are so many, and how many
    /// versions each stands for.
    pub(crate) fn sample(&self, wanted: usize) -> (Vec<&[u8]>, usize) {
        for level in (0..HEIGHT_MAX).rev() {
            let mut keys = Vec::new();
            let mut next = self.heads[level].load(Ordering::Acquire);
            while !next.is_null() {
                // SAFETY: a linked node of this list, found on this level.
                unsafe {
                    keys.push(Node::key(next));
                    next = Node::link(next, level).load(Ordering::Acquire);
                }
            }
            if keys.len() >= wanted || level == 0 {
                return (keys, 1 << (2 * level));
            }
        }
        (Vec::new(), 1)
    }
}

impl Drop for SkipList {
    fn drop(&mut self) {
        for (chunk, layout) in self.writer.get_mut().chunks.drain(..) {
            // SAFETY: allocated with this layout in `allocate`; nodes need no drop.
            unsafe { std::alloc::dealloc(chunk.as_ptr(), layout) };
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    // Under Miri each step takes some ten thousand times as long.
    /// Versions that a thread writes.
    const WRITES: u64 = if cfg!(miri) { 60 } else { 20_000 };
    /// Keys of a list with an index, and how many versions they have together at most.
    const KEYS: u16 = if cfg!(miri) { 20 } else { 700 };
    const VERSIONS: usize = if cfg!(miri) { 80 } else { 2500 };

    fn contents(list: &SkipList) -> Vec<(Vec<u8>, u64, Option<Vec<u8>>)> {
        let mut all = Vec::new();
        let mut at = list.first();
        while let Some(position) = at {
            let entry = list.entry(position);
            all.push((entry.key.to_vec(), entry.sequence, entry.value.map(<[u8]>::to_vec)));
            at = list.next(position);
        }
        all
    }

    proptest! {
        #[test]
        fn it_orders_as_a_map_of_key_and_descending_sequence(
            operations in proptest::collection::vec(
                (proptest::collection::vec(0u8..3, 0..10), 0u64..20, proptest::option::of(any::<u8>())), 0..200),
            probe in proptest::collection::vec(0u8..3, 0..10),
            at in 0u64..20,
        ) {
            let list = SkipList::new(64);
            let mut model = BTreeMap::new();
            let mut later = Vec::new();
            for (key, sequence, value) in operations {
                let value = value.map(|byte| vec![byte; usize::from(byte)]);
                list.insert(&key, sequence, value.as_deref());
                if model.insert((key.clone(), std::cmp::Reverse(sequence)), value).is_some() {
                    later.push(key);
                }
            }
            let mut found = contents(&list);
            // Of equal (key, sequence) the later insertion comes first.
            found.dedup_by(|second, first| second.0 == first.0 && second.1 == first.1);
            let expected: Vec<_> = model.iter().map(|((key, sequence), value)| (key.clone(), sequence.0, value.clone())).collect();
            prop_assert_eq!(&found, &expected);
            let sought = list.seek(&probe, at).map(|position| list.entry(position).key.to_vec());
            let wanted = model.range((probe.clone(), std::cmp::Reverse(at))..).next().map(|((key, _), _)| key.clone());
            prop_assert_eq!(sought, wanted);
            let sought = list.seek_before(&probe).map(|position| list.entry(position).key.to_vec());
            let wanted = model.range(..(probe, std::cmp::Reverse(u64::MAX))).next_back().map(|((key, _), _)| key.clone());
            prop_assert_eq!(sought, wanted);
            let last = list.last().map(|position| list.entry(position).key.to_vec());
            prop_assert_eq!(last, model.keys().next_back().map(|(key, _)| key.clone()));
        }
    }

    proptest! {
        #[test]
        fn the_index_finds_what_a_descent_finds(
            operations in proptest::collection::vec((0..KEYS, 0u64..9), VERSIONS / 12..VERSIONS),
            in_order: bool,
        ) {
            let (list, mut versions) = (SkipList::new(64), BTreeMap::new());
            for (at, (key, random)) in operations.into_iter().enumerate() {
                // As commits do it, or in any order, as replay may.
                let sequence = if in_order { at as u64 / 4 } else { random };
                list.insert(&key.to_be_bytes(), sequence, Some(&at.to_be_bytes()));
                versions.insert((key, std::cmp::Reverse(sequence)), at);
            }
            for key in 0..KEYS {
                let bytes = key.to_be_bytes();
                for sequence in [0, 3, 8, 300, u64::MAX] {
                    let found = list.get(&bytes, hash(&bytes), sequence).map(|entry| entry.value.unwrap().to_vec());
                    let mut expected = versions.range((key, std::cmp::Reverse(sequence))..);
                    let expected = expected.next().filter(|((other, _), _)| *other == key);
                    prop_assert_eq!(found, expected.map(|(_, at)| at.to_be_bytes().to_vec()));
                }
            }
        }
    }

    #[test]
    fn a_reader_never_gets_a_version_newer_than_it_asked_for_while_newer_ones_come() {
        let list = SkipList::new(64);
        list.insert(b"k", 0, Some(b""));
        let newest = std::sync::atomic::AtomicU64::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 1..=WRITES {
                    list.insert(b"k", number, Some(b""));
                    newest.store(number, Ordering::Release);
                }
            });
            loop {
                let asked = newest.load(Ordering::Acquire);
                let found = list.entry(list.seek(b"k", asked).unwrap());
                assert_eq!(found.sequence, asked);
                assert_eq!(list.get(b"k", hash(b"k"), asked).unwrap().sequence, asked);
                if asked == WRITES {
                    break;
                }
            }
        });
    }

    #[test]
    fn readers_see_a_consistent_list_while_one_writes() {
        let list = SkipList::new(64);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..WRITES {
                    let key = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
                    list.insert(&key, number, Some(&key));
                }
            });
            for _ in 0..20 {
                let all = contents(&list);
                assert!(all.windows(2).all(|pair| pair[0].0 < pair[1].0));
                assert!(all.iter().all(|(key, _, value)| value.as_ref() == Some(key)));
            }
        });
        assert_eq!(list.entries(), WRITES as usize);
    }
}
