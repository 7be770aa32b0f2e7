//! Examples of what was measured: the newest ones of all series, in a ring.
//!
//! Invariants: those of a series are in the order of time. What is in memory is in the log; a flush says it again before it
//! cuts the log.

use std::collections::VecDeque;

use hashbrown::HashMap;
use luma_promql::Labels;
use parking_lot::{Mutex, MutexGuard};

use crate::error::Result;
use crate::record::RecordWriter;

/// How many characters the labels of an exemplar may have together.
const LABEL_CHARACTERS_MAX: usize = 128;

/// An example of what a series measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// What names it, such as the identifier of a trace.
    pub labels: Labels,
    /// Its value.
    pub value: f64,
    /// Milliseconds since the epoch.
    pub t: i64,
}

impl Exemplar {
    /// Whether its labels are as short as they have to be.
    pub(crate) fn is_short(&self) -> bool {
        let of = |text: &str| text.chars().count();
        self.labels.iter().map(|(name, value)| of(name) + of(value)).sum::<usize>() <= LABEL_CHARACTERS_MAX
    }

    fn same(&self, other: &Self) -> bool {
        self.t == other.t && self.value.to_bits() == other.value.to_bits() && self.labels == other.labels
    }
}

#[derive(Debug)]
struct Ring {
    exemplars: VecDeque<(u32, Exemplar)>,
    /// How many of a series are there, and its newest one.
    of_series: HashMap<u32, (usize, Exemplar)>,
    capacity: usize,
}

/// The exemplars there are.
#[derive(Debug)]
pub(crate) struct Exemplars(Mutex<Ring>);

/// The ring while a batch is added to it.
pub(crate) struct Adding<'a>(MutexGuard<'a, Ring>);

impl Exemplars {
    pub fn new(capacity: usize) -> Self {
        Self(Mutex::new(Ring { exemplars: VecDeque::new(), of_series: HashMap::new(), capacity }))
    }

    pub fn begin(&self) -> Adding<'_> {
        Adding(self.0.lock())
    }

    /// Those from `from` to `to` of some series, in the order of time for each.
    pub fn select(&self, series: &HashMap<u32, Labels>, from: i64, to: i64) -> HashMap<u32, Vec<Exemplar>> {
        let mut found: HashMap<u32, Vec<Exemplar>> = HashMap::new();
        for (reference, exemplar) in &self.0.lock().exemplars {
            if (from..=to).contains(&exemplar.t) && series.contains_key(reference) {
                found.entry(*reference).or_default().push(exemplar.clone());
            }
        }
        found
    }

    /// Has all of them appended to the log again, in one record, while nobody adds any.
    pub fn say_again(&self, append: &mut dyn FnMut(RecordWriter) -> Result<()>) -> Result<()> {
        let ring = self.0.lock();
        let mut record = RecordWriter::with_capacity(0);
        if !ring.exemplars.is_empty() {
            record.forget_exemplars();
        }
        ring.exemplars.iter().for_each(|(reference, exemplar)| record.exemplar(*reference, exemplar));
        append(record)
    }

    /// Forgets what was replayed so far.
    pub fn forget(&mut self) {
        let ring = self.0.get_mut();
        ring.exemplars.clear();
        ring.of_series.clear();
    }

    /// Puts in what a record says.
    pub fn replay(&mut self, reference: u32, exemplar: Exemplar) {
        self.0.get_mut().push(reference, exemplar);
    }
}

impl Adding<'_> {
    /// Adds an exemplar of a series and writes it into a record; whether it was taken.
    pub fn add(&mut self, reference: u32, exemplar: &Exemplar, record: &mut RecordWriter) -> bool {
        let newest = self.0.of_series.get(&reference).map(|(_, newest)| newest);
        if newest.is_some_and(|newest| newest.same(exemplar)) {
            return true;
        }
        if newest.is_some_and(|newest| newest.t >= exemplar.t) || !exemplar.is_short() {
            return false;
        }
        record.exemplar(reference, exemplar);
        self.0.push(reference, exemplar.clone());
        true
    }
}

impl Ring {
    fn push(&mut self, reference: u32, exemplar: Exemplar) {
        if self.capacity == 0 {
            return;
        }
        while self.exemplars.len() >= self.capacity {
            let Some((evicted, _)) = self.exemplars.pop_front() else { break };
            if let Some((count, _)) = self.of_series.get_mut(&evicted) {
                *count -= 1;
                if *count == 0 {
                    self.of_series.remove(&evicted);
                }
            }
        }
        let (count, newest) = self.of_series.entry(reference).or_insert_with(|| (0, exemplar.clone()));
        *count += 1;
        *newest = exemplar.clone();
        self.exemplars.push_back((reference, exemplar));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_oldest_goes_when_there_are_too_many_and_a_series_takes_only_newer_ones() {
        let exemplars = Exemplars::new(3);
        let at = |t: i64| Exemplar { labels: Labels::new([("trace", t.to_string())]), value: 1.0, t };
        let mut record = RecordWriter::with_capacity(0);
        let mut adding = exemplars.begin();
        let mut add = |reference, t| adding.add(reference, &at(t), &mut record);
        assert!(add(1, 10) && add(1, 10), "the same one again is there");
        assert!(!add(1, 9), "an older one is refused");
        assert!(add(2, 5) && add(2, 6) && add(2, 7));
        assert!(add(1, 9), "nothing of the series is there any more");
        drop(adding);
        let series = HashMap::from_iter([(1, Labels::default()), (2, Labels::default())]);
        let found = exemplars.select(&series, 0, 100);
        let times = |reference| found[&reference].iter().map(|exemplar| exemplar.t).collect::<Vec<_>>();
        assert_eq!((times(1), times(2)), (vec![9], vec![6, 7]));
        assert_eq!(exemplars.select(&series, 7, 8)[&2].len(), 1);
        let long = Exemplar { labels: Labels::new([("trace", "x".repeat(124))]), ..at(20) };
        assert!(!exemplars.begin().add(1, &long, &mut record));
    }
}
