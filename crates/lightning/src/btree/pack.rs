//! Packing sorted cells into nodes of about a page.
//!
//! Nodes are as full as a page allows while cells keep coming; the last two share what is left. A node is
//! larger than a page only for a cell that is. Keys that separate leaves are cut to what tells them apart.

use std::sync::Arc;

use super::Inner;
use super::node::{Cell, encode, length_of, shared};
use super::pages::PAGE_BYTES;

/// A node smaller than this asks for its neighbour's cells.
const SMALL_BYTES: usize = PAGE_BYTES / 4;

/// A finished node: the key that leads to it, its bytes and, above the lowest inner level, its children.
pub(super) struct Packed {
    pub(super) separator: Vec<u8>,
    pub(super) bytes: Vec<u8>,
    /// How many cells it has.
    pub(super) count: usize,
    pub(super) children: Vec<Arc<Inner>>,
}

/// Collects cells of neighbouring nodes.
pub(super) struct Pack {
    leaf: bool,
    buffer: Vec<u8>,
    cells: Vec<Cell>,
    children: Vec<Arc<Inner>>,
    bytes: usize,
    /// What leads to the next node.
    separator: Vec<u8>,
    /// The key that was taken last, if nothing is left: the next one's separator comes after it.
    taken: Option<Vec<u8>>,
}

impl Pack {
    pub(super) fn new(leaf: bool) -> Self {
        let (buffer, cells, children, separator) = Default::default();
        Self { leaf, buffer, cells, children, bytes: 0, separator, taken: None }
    }

    pub(super) fn is_leaf(&self) -> bool {
        self.leaf
    }

    pub(super) fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Says what leads to the first of the coming cells, unless there are some already.
    pub(super) fn begin(&mut self, separator: &[u8]) {
        if self.is_empty() {
            self.separator = separator.to_vec();
            self.taken = None;
        }
    }

    /// Whether what there is would make too small a node.
    pub(super) fn wants_more(&self) -> bool {
        !self.is_empty() && self.length() < SMALL_BYTES
    }

    fn length(&self) -> usize {
        length_of(self.leaf, &self.cells, self.bytes, &self.buffer)
    }

    /// Adds a cell after all before it; its key is in two parts.
    pub(super) fn push(&mut self, prefix: &[u8], rest: &[u8], payload: &[u8], child: Option<&Arc<Inner>>) {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(prefix);
        self.buffer.extend_from_slice(rest);
        self.buffer.extend_from_slice(payload);
        let cell = Cell { start, key: prefix.len() + rest.len(), payload: payload.len() };
        if let Some(taken) = self.taken.take() {
            self.separator = self.between(&taken, cell.key(&self.buffer));
        }
        self.bytes += cell.bytes();
        self.cells.push(cell);
        self.children.extend(child.cloned());
    }

    /// Takes a full node off the front once there is more than enough for two.
    pub(super) fn take_full(&mut self) -> Option<Packed> {
        if self.bytes <= 2 * PAGE_BYTES || self.length() <= 2 * PAGE_BYTES {
            return None;
        }
        Some(self.take(self.fitting()))
    }

    /// How many cells fill a page. One that is larger than a page is a node of its own.
    fn fitting(&self) -> usize {
        let mut bytes = 0;
        let fits = |(at, cell): &(usize, &Cell)| {
            bytes += cell.bytes();
            length_of(self.leaf, &self.cells[..=*at], bytes, &self.buffer) <= PAGE_BYTES
        };
        self.cells.iter().enumerate().take_while(fits).count().max(1)
    }

    /// Takes the last nodes.
    pub(super) fn take_rest(&mut self) -> Option<Packed> {
        if let Some(full) = self.take_full() {
            return Some(full);
        }
        let all = self.cells.len();
        if all < 2 || self.length() <= PAGE_BYTES {
            return (all > 0).then(|| self.take(all));
        }
        let mut bytes = 0;
        let half = |cell: &&Cell| {
            bytes += cell.bytes();
            bytes <= self.bytes / 2
        };
        let cells = self.cells.iter().take_while(half).count();
        Some(self.take(cells.clamp(1, all - 1).min(self.fitting())))
    }

    /// The shortest key after one that is not after the next. Above the leaves keys are that short already.
    fn between(&self, last: &[u8], next: &[u8]) -> Vec<u8> {
        let length = if self.leaf { shared(last, next) + 1 } else { next.len() };
        next[..length].to_vec()
    }

    fn take(&mut self, cells: usize) -> Packed {
        let bytes = encode(self.leaf, &self.cells[..cells], &self.buffer);
        let last = self.cells.get(cells - 1).map_or(&[][..], |cell| cell.key(&self.buffer));
        let next = self.cells.get(cells).map(|next| self.between(last, next.key(&self.buffer)));
        self.taken = next.is_none().then(|| last.to_vec());
        let separator = std::mem::replace(&mut self.separator, next.unwrap_or_default());
        let from = self.cells.get(cells).map_or(self.buffer.len(), |cell| cell.start);
        self.bytes -= self.cells.drain(..cells).map(|cell| cell.bytes()).sum::<usize>();
        self.buffer.drain(..from);
        self.cells.iter_mut().for_each(|cell| cell.start -= from);
        let children =
            if self.children.is_empty() { Vec::new() } else { self.children.drain(..cells).collect() };
        Packed { separator, bytes, count: cells, children }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::node::Node;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn packed_leaves_hold_all_in_order_and_are_led_to_by_their_separators(
            sizes in proptest::collection::vec((0usize..900, 0usize..60), 1..300),
            large in proptest::option::of((0usize..300, 4000usize..20_000)),
        ) {
            let mut pack = Pack::new(true);
            let mut packed = Vec::new();
            let mut all = Vec::new();
            pack.begin(b"");
            for (at, (size, key)) in sizes.iter().enumerate() {
                let size = large.filter(|(place, _)| *place == at).map_or(*size, |(_, size)| size);
                let key = [&(at as u32).to_be_bytes()[..], &vec![b'k'; *key]].concat();
                let value = vec![at as u8; size];
                pack.push(&key[..2], &key[2..], &value, None);
                all.push((key, value));
                packed.extend(std::iter::from_fn(|| pack.take_full()));
            }
            packed.extend(std::iter::from_fn(|| pack.take_rest()));
            prop_assert!(pack.is_empty());
            let mut found = Vec::new();
            let mut last: Option<Vec<u8>> = None;
            let pages = packed.len();
            let mut small = 0;
            for leaf in packed {
                let length = leaf.bytes.len();
                let node = Node::decode(leaf.bytes.into(), true).unwrap();
                prop_assert!(length <= PAGE_BYTES || node.count() == 1);
                small += usize::from(length < SMALL_BYTES);
                prop_assert!(last.is_none_or(|last| last < leaf.separator));
                prop_assert!(leaf.separator <= node.key(0));
                last = Some(node.key(node.count() - 1));
                found.extend((0..node.count()).map(|at| (node.key(at), node.payload(at).to_vec())));
            }
            prop_assert_eq!(found, all);
            prop_assert!(small <= 1 || large.is_some() && small <= 3, "{small} of {pages} nodes are small");
        }
    }
}
