//! Which series have which labels: postings per label value, and the texts, each kept once.
//!
//! Invariants: a series is in the postings of exactly the values it has, so the postings of one name's values are
//! disjoint, and `any` is their union; no postings and no name are empty.
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
    /// By number.
    series: Vec<Option<Labels>>,
    all: RoaringBitmap,
    names: BTreeMap<Arc<str>, LabelValues>,
}

impl SeriesIndex {
    /// Adds a series, which must not be there yet, under a number that no other has.
    pub fn insert(&mut self, id: u32, labels: Labels) {
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
        let at = id as usize;
        if self.series.len() <= at {
            self.series.resize(at + 1, None);
        }
        if let Some(place) = self.series.get_mut(at) {
            *place = Some(labels);
        }
        self.all.insert(id);
    }

    /// Removes a series.
    pub fn remove(&mut self, id: u32) {
        let Some(labels) = self.series.get_mut(id as usize).and_then(Option::take) else { return };
        self.all.remove(id);
        for (name, value) in labels.shared() {
            let Some(of_name) = self.names.get_mut(name) else { continue };
            of_name.any.remove(id);
            if of_name.values.get_mut(value).is_some_and(|postings| postings.remove(id)) {
                of_name.values.remove(value);
            }
            if of_name.values.is_empty() {
                self.names.remove(name);
            }
        }
    }

    /// Every name and value, and how many series have them.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str, u64)> {
        self.names.iter().flat_map(|(name, of_name)| {
            of_name.values.iter().map(|(value, postings)| (&**name, &**value, postings.len()))
        })
    }

    /// The labels of a series.
    pub fn labels(&self, id: u32) -> Option<&Labels> {
        self.series.get(id as usize)?.as_ref()
    }
}
