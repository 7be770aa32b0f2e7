//! How much lies in a range, and where to cut: from block indexes and skip-list towers, no data read.
//! What of an index is not cached is read.

use std::ops::Bound;

use crate::view::KeyspaceView;

/// About how much lies in a range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RangeEstimate {
    /// Keys; versions and tombstones in memory are counted as keys.
    pub entries: u64,
    /// Bytes on disk and in memory.
    pub bytes: u64,
}

/// Keys looked at per memtable.
const SAMPLE: usize = 64;

fn key_of<'a>(bound: &Bound<&'a [u8]>) -> Option<&'a [u8]> {
    match bound {
        Bound::Included(key) | Bound::Excluded(key) => Some(key),
        Bound::Unbounded => None,
    }
}

pub(crate) fn range(keyspace: &KeyspaceView, start: Bound<&[u8]>, end: Bound<&[u8]>) -> RangeEstimate {
    let (start, end) = (key_of(&start), key_of(&end));
    let mut total = RangeEstimate::default();
    if let (Some(start), Some(end)) = (start, end)
        && start > end
    {
        return total;
    }
    for (_, table) in keyspace.tree.tables() {
        // Where the index can't be read, reading the range will say so.
        let share = table.share_between(start, end).unwrap_or(1.0);
        total.entries += (table.meta.entries as f64 * share).ceil() as u64;
        total.bytes += (table.meta.bytes_with_blobs() as f64 * share).ceil() as u64;
    }
    if let Some(tree) = keyspace.tree.btree() {
        let from = start.map_or(0, |start| tree.leaves_before(start));
        let to = end.map_or(tree.leaves(), |end| (tree.leaves_before(end) + 1).min(tree.leaves()));
        let mut share = to.saturating_sub(from) as f64 / tree.leaves().max(1) as f64;
        if to.saturating_sub(from) == 1 && start.is_some() && end.is_some() {
            share /= 2.0;
        }
        total.entries += (tree.entries as f64 * share).ceil() as u64;
        total.bytes += (tree.bytes as f64 * share).ceil() as u64;
    }
    for table in keyspace.memtables().filter(|table| !table.is_empty()) {
        let (keys, _) = table.sample(SAMPLE);
        let inside =
            |key: &&&[u8]| start.is_none_or(|start| **key >= start) && end.is_none_or(|end| **key <= end);
        let share = keys.iter().filter(inside).count() as f64 / keys.len().max(1) as f64;
        total.entries += (table.entries() as f64 * share).ceil() as u64;
        total.bytes += (table.bytes() as f64 * share).ceil() as u64;
    }
    total
}

pub(crate) fn split_points(keyspace: &KeyspaceView, parts: usize) -> Vec<Vec<u8>> {
    let mut leaves: Vec<(Vec<u8>, u64)> = Vec::new();
    if let Some(tree) = keyspace.tree.btree() {
        let step = (tree.leaves() / (parts as u64 * 8).max(1)).max(1);
        let bytes = tree.bytes / tree.leaves().max(1) * step;
        let ends = (step - 1..tree.leaves()).step_by(step as usize);
        leaves.extend(ends.filter_map(|leaf| Some((tree.key_after(leaf)?, bytes))));
    }
    for (_, table) in keyspace.tree.tables() {
        // A few keys per part and table are enough.
        let keys = table.sample(parts * 8).unwrap_or_default();
        let bytes = table.meta.bytes_with_blobs() / keys.len().max(1) as u64;
        leaves.extend(keys.into_iter().map(|key| (key, bytes)));
    }
    let mut weighted: Vec<(&[u8], u64)> =
        leaves.iter().map(|(key, bytes)| (key.as_slice(), *bytes)).collect();
    for table in keyspace.memtables().filter(|table| !table.is_empty()) {
        let (keys, _) = table.sample(parts * 8);
        let bytes = table.bytes() as u64 / keys.len().max(1) as u64;
        weighted.extend(keys.into_iter().map(|key| (key, bytes)));
    }
    cut(weighted, parts)
}

/// Keys that cut what they stand for, each for so many bytes, into parts of about the same size; fewer where there
/// are not so many keys.
pub(crate) fn cut(mut weighted: Vec<(&[u8], u64)>, parts: usize) -> Vec<Vec<u8>> {
    weighted.sort_unstable();
    let total: u64 = weighted.iter().map(|(_, bytes)| *bytes).sum();
    let mut points: Vec<Vec<u8>> = Vec::new();
    let mut seen = 0;
    for (key, bytes) in &weighted {
        seen += bytes;
        let wanted = total * (points.len() as u64 + 1) / parts.max(1) as u64;
        let last = weighted.last().is_some_and(|(last, _)| last == key);
        if seen >= wanted
            && points.len() + 1 < parts
            && !last
            && points.last().is_none_or(|last| last.as_slice() < *key)
        {
            points.push(key.to_vec());
        }
    }
    points
}
