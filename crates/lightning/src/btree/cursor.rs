//! Walking a tree.

use std::sync::Arc;

use super::node::{Node, Place};
use super::{BTree, Inner, Root};
use crate::Result;
use crate::options::Direction;

/// A walk over a tree that is too large for the cache anyway puts one of so many parts of it there.
const CACHE_SHARE: usize = 8;

/// A place in a tree. It keeps the tree alive.
pub(crate) struct TreeCursor {
    tree: Arc<BTree>,
    direction: Direction,
    /// Whether leaves read from the file go to the cache.
    keep: bool,
    /// Bytes of the leaves it went through.
    passed: usize,
    /// From the root to the leaf, each with the child that was taken.
    path: Vec<(Arc<Inner>, usize)>,
    leaf: Option<Arc<Node>>,
    at: usize,
    key: Vec<u8>,
}

impl TreeCursor {
    pub(crate) fn new(tree: Arc<BTree>, direction: Direction, keep: bool) -> Self {
        Self { tree, direction, keep, passed: 0, path: Vec::new(), leaf: None, at: 0, key: Vec::new() }
    }

    #[inline]
    pub(crate) fn key(&self) -> Option<&[u8]> {
        self.leaf.as_ref().map(|_| self.key.as_slice())
    }

    #[inline]
    pub(crate) fn value(&self) -> Option<&[u8]> {
        self.leaf.as_ref().map(|leaf| leaf.payload(self.at))
    }

    /// To the first entry in the cursor's direction.
    pub(crate) fn seek_first(&mut self) -> Result<()> {
        let forward = self.direction == Direction::Forward;
        let first = move |inner: &Inner| if forward { 0 } else { inner.node.count() - 1 };
        if self.descend(&first)? {
            self.place_at(if forward { 0 } else { self.entries() - 1 });
        }
        Ok(())
    }

    /// Forward: to the first key at or after `key`. Reverse: to the last at or before it.
    pub(crate) fn seek(&mut self, key: &[u8]) -> Result<()> {
        if !self.descend(&|inner: &Inner| inner.node.child_of(key))? {
            return Ok(());
        }
        let Some((before, found)) = self.leaf.as_ref().map(|leaf| leaf.search(key)) else { return Ok(()) };
        match self.direction {
            Direction::Forward if before == self.entries() => self.next_leaf(),
            Direction::Forward => {
                self.place_at(before);
                Ok(())
            }
            Direction::Reverse if before == 0 && !found => self.next_leaf(),
            Direction::Reverse => {
                self.place_at(if found { before } else { before - 1 });
                Ok(())
            }
        }
    }

    /// To no entry.
    pub(crate) fn finish(&mut self) {
        self.path.clear();
        self.leaf = None;
    }

    #[inline]
    pub(crate) fn advance(&mut self) -> Result<()> {
        let Some(leaf) = &self.leaf else { return Ok(()) };
        match self.direction {
            Direction::Forward if self.at + 1 < leaf.count() => self.place_at(self.at + 1),
            Direction::Reverse if self.at > 0 => self.place_at(self.at - 1),
            _ => return self.next_leaf(),
        }
        Ok(())
    }

    fn entries(&self) -> usize {
        self.leaf.as_ref().map_or(0, |leaf| leaf.count())
    }

    #[inline]
    fn place_at(&mut self, at: usize) {
        if let Some(leaf) = &self.leaf {
            self.at = at;
            self.key.clear();
            self.key.extend_from_slice(leaf.prefix());
            self.key.extend_from_slice(leaf.rest(at));
        }
    }

    /// Opens the leaf that the choices lead to; `false` when the tree is empty.
    fn descend(&mut self, choose: &dyn Fn(&Inner) -> usize) -> Result<bool> {
        self.path.clear();
        self.leaf = None;
        match &self.tree.root {
            Root::Empty => return Ok(false),
            Root::Leaf(place) => self.open(*place)?,
            Root::Inner(root) => self.descend_from(Arc::clone(root), choose)?,
        }
        Ok(true)
    }

    fn descend_from(&mut self, mut inner: Arc<Inner>, choose: &dyn Fn(&Inner) -> usize) -> Result<()> {
        loop {
            let at = choose(&inner);
            let (below, place) = (inner.children.get(at).cloned(), inner.node.place(at));
            self.path.push((inner, at));
            match below {
                Some(child) => inner = child,
                None => return self.open(place),
            }
        }
    }

    fn open(&mut self, place: Place) -> Result<()> {
        self.passed += place.length as usize;
        let cache = self.tree.file.cache_bytes();
        if self.keep && self.passed > cache / CACHE_SHARE {
            // What a long walk reads is of use to the next one only if the cache can hold all of it.
            self.keep = self.tree.bytes < cache as u64 / 2;
        }
        self.leaf = None;
        self.leaf = Some(self.tree.leaf(place, self.keep)?);
        Ok(())
    }

    /// To the first entry of the next leaf in the cursor's direction.
    fn next_leaf(&mut self) -> Result<()> {
        self.leaf = None;
        let forward = self.direction == Direction::Forward;
        while let Some((inner, at)) = self.path.pop() {
            let next =
                if forward { Some(at + 1).filter(|at| *at < inner.node.count()) } else { at.checked_sub(1) };
            let Some(next) = next else { continue };
            let (below, place) = (inner.children.get(next).cloned(), inner.node.place(next));
            self.path.push((inner, next));
            match below {
                None => self.open(place)?,
                Some(child) => {
                    self.descend_from(child, &|inner| if forward { 0 } else { inner.node.count() - 1 })?;
                }
            }
            self.place_at(if forward { 0 } else { self.entries() - 1 });
            return Ok(());
        }
        Ok(())
    }
}
