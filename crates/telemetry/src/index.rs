//! Which series have which labels: postings per label value, and the texts, each kept once.
//!
//! Invariants: series are numbered from 0 without a gap and never go; a series is in the postings of
//! exactly the values it has, so the postings of one name's values are disjoint, and `any` is their union.
//!
//! Cost: a pair of name and value 32 bytes in the series; a value that one series has some 40 bytes
//! and its text, others a bitmap.

mod postings;
mod select;

use std::collections::BTreeMap;
use std::sync::Arc;

use luma_promql::Labels;
use roaring::RoaringBitmap;

use postings::Postings;

/// The values of one label name.
#[derive(Debug, Default)]
struct LabelValues {
    values: BTreeMap<Arc<str>, Postings>,
    any: RoaringBitmap,
}

/// The series of a shard by their labels.
#[derive(Debug, Default)]
pub(crate) struct SeriesIndex {
    series: Vec<Labels>,
    names: BTreeMap<Arc<str>, LabelValues>,
}

impl SeriesIndex {
    /// Adds a series, which must not be there yet, under the next number.
    pub fn insert(&mut self, labels: Labels) {
        let id = self.series.len() as u32;
        for (name, value) in labels.shared() {
            if !self.names.contains_key(name) {
                self.names.insert(Arc::clone(name), LabelValues::default());
            }
            let Some(of_name) = self.names.get_mut(name) else { continue };
            of_name.any.insert(id);
            match of_name.values.get_mut(value) {
                Some(postings) => postings.insert(id),
                None => {
                    of_name.values.insert(Arc::clone(value), Postings::One(id));
                }
            }
        }
        self.series.push(labels);
    }

    /// Every name and value, and how many series have them.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str, u64)> {
        self.names.iter().flat_map(|(name, of_name)| {
            of_name.values.iter().map(|(value, postings)| (&**name, &**value, postings.len()))
        })
    }

    /// The labels of a series.
    pub fn labels(&self, id: u32) -> Option<&Labels> {
        self.series.get(id as usize)
    }
}
