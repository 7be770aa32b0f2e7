//! Reading several leaves at the same time.

use std::sync::Arc;

use luma_vfs::BatchRead;
use smallvec::SmallVec;

use super::file::{BEYOND, node_of};
use super::node::{Node, Place};
use super::pages::PAGE_BYTES;
use super::{BTree, SEGMENT_PAGES};
use crate::{Error, Result, ahead};

/// One of so many parts of the cache is filled with one batch.
const CACHE_SHARE: usize = 8;

impl BTree {
    /// Reads the leaves of keys that are not in the cache, as many as it can well take, and has fetched from memory
    /// those that are.
    pub(crate) fn prefetch<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> Result<()> {
        let leaves: SmallVec<[Place; 64]> = keys.filter_map(|key| self.leaf_of(key)).collect();
        let segment = |place: &Place| self.segments.get(place.page as usize / SEGMENT_PAGES);
        for place in &leaves {
            if let Some(leaf) =
                segment(place).and_then(|segment| segment.address(place.page as usize % SEGMENT_PAGES))
            {
                ahead::fetch(leaf, size_of::<Node>());
            }
        }
        let mut places = Vec::new();
        for place in leaves {
            match segment(&place).map(|segment| segment.find(place.page as usize % SEGMENT_PAGES)).as_deref()
            {
                Some(Some(leaf)) => leaf.fetch_heads(),
                _ => places.push(place),
            }
        }
        places.sort_unstable_by_key(|place| place.page);
        places.dedup_by_key(|place| place.page);
        places.truncate(self.file.cache_bytes() / CACHE_SHARE / PAGE_BYTES);
        self.load(&places, true).map(drop)
    }

    /// Reads leaves from the file; `keep` puts them into the cache.
    pub(super) fn load(&self, places: &[Place], keep: bool) -> Result<Vec<Arc<Node>>> {
        let Some(handle) = self.handle.as_ref().filter(|_| !places.is_empty()) else { return Ok(Vec::new()) };
        let path = self.path();
        let length = handle.len().map_err(|error| Error::io(&path, error))?;
        let mut reads = Vec::with_capacity(places.len());
        for place in places {
            // What damage makes of a length is never allocated.
            if place.offset() + u64::from(place.length) > length {
                return Err(Error::corruption(&path, place.offset(), BEYOND));
            }
            reads.push(BatchRead::new(Arc::clone(handle), place.offset(), place.length as usize));
        }
        self.file.vfs.read_batch(&mut reads);
        let mut leaves = Vec::with_capacity(places.len());
        for (place, read) in places.iter().zip(reads) {
            let bytes = read.into_bytes().map_err(|error| Error::io(&path, error))?;
            let leaf = Arc::new(node_of(bytes, &path, *place, true)?);
            let page = place.page as usize;
            if let Some(segment) = self.segments.get(page / SEGMENT_PAGES).filter(|_| keep) {
                segment.put(segment, page % SEGMENT_PAGES, &leaf);
            }
            leaves.push(leaf);
        }
        Ok(leaves)
    }
}
