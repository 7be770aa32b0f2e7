//! Which series fulfil all of some matchers.
//!
//! Matchers are taken in the order of what they cost: the number of values that must be looked at. Once
//! fewer series are left than a matcher has values to look at, the series' own labels are asked instead.

use std::ops::Bound;
use std::sync::Arc;

use luma_promql::{Candidates, MatchOp, Matcher};
use roaring::RoaringBitmap;

use super::{LabelValues, SeriesIndex};

impl SeriesIndex {
    /// The series that fulfil all matchers.
    pub fn select(&self, matchers: &[Matcher]) -> RoaringBitmap {
        let mut plan: Vec<(usize, &Matcher, Candidates)> = matchers
            .iter()
            .map(|matcher| {
                let candidates = matcher.candidates();
                let values = self.names.get(matcher.name()).map_or(0, |of_name| of_name.values.len());
                let cost = match &candidates {
                    Candidates::Values(texts) => texts.len().min(values),
                    Candidates::Prefixes(_) | Candidates::All => values,
                };
                (cost, matcher, candidates)
            })
            .collect();
        plan.sort_by_key(|(cost, matcher, _)| (*cost, matcher.op() != MatchOp::Equal));
        let mut left = self.all.clone();
        for (cost, matcher, candidates) in plan {
            if left.is_empty() {
                break;
            }
            if left.len() < cost as u64 {
                left = left.into_iter().filter(|id| self.fulfils(*id, matcher)).collect();
            } else {
                self.narrow(&mut left, matcher, &candidates);
            }
        }
        left
    }

    fn fulfils(&self, id: u32, matcher: &Matcher) -> bool {
        self.labels(id).is_some_and(|labels| matcher.matches(labels.get(matcher.name())))
    }

    fn narrow(&self, left: &mut RoaringBitmap, matcher: &Matcher, candidates: &Candidates) {
        let absent_matches = matcher.matches("");
        let Some(of_name) = self.names.get(matcher.name()) else {
            if !absent_matches {
                left.clear();
            }
            return;
        };
        // What the text stands for; a negative matcher matches everything else.
        let negative = matches!(matcher.op(), MatchOp::NotEqual | MatchOp::NotRegex);
        let stands_for = of_name.union(candidates, |value| matcher.matches(value) != negative);
        match (negative, absent_matches) {
            (false, false) => *left &= stands_for,
            (true, true) => *left -= stands_for,
            (false, true) => *left -= &of_name.any - stands_for,
            (true, false) => *left &= &of_name.any - stands_for,
        }
    }

    /// All names of labels, in order.
    pub fn all_names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.names.keys()
    }

    /// All values of a label, in order.
    pub fn all_values(&self, name: &str) -> impl Iterator<Item = &Arc<str>> {
        self.names.get(name).into_iter().flat_map(|of_name| of_name.values.keys())
    }

    /// The names of labels of some series, in order.
    pub fn names_of<'a>(&'a self, series: &'a RoaringBitmap) -> impl Iterator<Item = &'a Arc<str>> {
        let met = self.names.iter().filter(|(_, of_name)| !of_name.any.is_disjoint(series));
        met.map(|(name, _)| name)
    }

    /// The values of a label of some series, in order.
    pub fn values_of<'a>(
        &'a self,
        name: &str,
        series: &'a RoaringBitmap,
    ) -> impl Iterator<Item = &'a Arc<str>> {
        let of_name = self.names.get(name).into_iter().flat_map(|of_name| &of_name.values);
        of_name.filter(|(_, postings)| postings.meets(series)).map(|(value, _)| value)
    }
}

impl LabelValues {
    /// The series whose value is one of the candidates and accepted.
    fn union(&self, candidates: &Candidates, accepts: impl Fn(&str) -> bool) -> RoaringBitmap {
        let mut set = RoaringBitmap::new();
        match candidates {
            Candidates::Values(texts) => {
                for text in texts.iter().filter(|text| accepts(text)) {
                    if let Some(postings) = self.values.get(text.as_str()) {
                        postings.add_to(&mut set);
                    }
                }
            }
            Candidates::Prefixes(prefixes) => {
                for prefix in prefixes {
                    let from = (Bound::Included(prefix.as_str()), Bound::Unbounded);
                    let of_prefix = self.values.range::<str, _>(from);
                    for (value, postings) in of_prefix.take_while(|(value, _)| value.starts_with(prefix)) {
                        if accepts(value) {
                            postings.add_to(&mut set);
                        }
                    }
                }
            }
            Candidates::All => {
                for (value, postings) in &self.values {
                    if accepts(value) {
                        postings.add_to(&mut set);
                    }
                }
            }
        }
        set
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use luma_promql::{Labels, matches_all};
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn labels() -> impl Strategy<Value = Labels> {
        let value = || "(web|api|db)?(-[0-3])?";
        (value(), value(), "m|n|")
            .prop_map(|(job, host, name)| {
                Labels::new([("job", job.as_str()), ("host", &host), ("__name__", &name)])
            })
            .prop_filter("labels", |labels| !labels.is_empty())
    }

    fn matcher() -> impl Strategy<Value = Matcher> {
        let name = prop_oneof![Just("job"), Just("host"), Just("__name__"), Just("other")];
        let text = prop_oneof![Just("web-1"), Just("api"), Just(""), Just("m")];
        let pattern = prop_oneof![
            Just("web.*"),
            Just("web|api|"),
            Just("(web|api)-[12]"),
            Just(".+"),
            Just(".*"),
            Just(".*-1"),
            Just("w.*|a.*"),
            Just("(?i:WEB)-1"),
            Just(""),
        ];
        (name, text, pattern, 0..4).prop_map(|(name, text, pattern, op)| {
            let (op, value) = match op {
                0 => (MatchOp::Equal, text),
                1 => (MatchOp::NotEqual, text),
                2 => (MatchOp::Regex, pattern),
                _ => (MatchOp::NotRegex, pattern),
            };
            Matcher::new(op, name, value).unwrap()
        })
    }

    proptest! {
        #[test]
        fn matchers_choose_the_series_that_a_scan_chooses(
            series in proptest::collection::btree_set(labels(), 0..60),
            goes in proptest::collection::vec(any::<bool>(), 60),
            matchers in proptest::collection::vec(matcher(), 0..4),
        ) {
            let mut index = SeriesIndex::default();
            // Those that go leave nothing, and their numbers are given again.
            let mut free = Vec::new();
            for (id, (labels, goes)) in series.iter().zip(&goes).enumerate() {
                index.insert(id as u32, labels.clone());
                if *goes {
                    index.remove(id as u32);
                    free.push(id as u32);
                }
            }
            let mut series: BTreeMap<u32, Labels> = series.into_iter().enumerate().map(|(id, labels)| (id as u32, labels)).collect();
            series.retain(|id, _| !free.contains(id));
            if let Some(id) = free.first() {
                let again = Labels::new([("job", "again"), ("host", "web-1")]);
                index.insert(*id, again.clone());
                series.insert(*id, again);
            }
            let chosen = index.select(&matchers);
            let scanned: BTreeMap<u32, Labels> =
                series.iter().filter(|(_, labels)| matches_all(&matchers, labels)).map(|(id, labels)| (*id, labels.clone())).collect();
            let of = |id: u32| (id, index.labels(id).unwrap().clone());
            prop_assert_eq!(chosen.iter().map(of).collect::<BTreeMap<_, _>>(), scanned.clone());
            let names = |series: &BTreeMap<u32, Labels>| -> BTreeSet<String> {
                series.values().flat_map(|l| l.iter().map(|(name, _)| name.to_owned())).collect()
            };
            let found = |found: &mut dyn Iterator<Item = &Arc<str>>| -> BTreeSet<String> { found.map(ToString::to_string).collect() };
            prop_assert_eq!(found(&mut index.names_of(&chosen)), names(&scanned));
            prop_assert_eq!(found(&mut index.all_names()), names(&series));
            for name in ["job", "host", "other"] {
                let values = |series: &BTreeMap<u32, Labels>| -> BTreeSet<String> {
                    series.values().filter_map(|l| l.find(name).map(str::to_owned)).collect()
                };
                prop_assert_eq!(found(&mut index.values_of(name, &chosen)), values(&scanned));
                prop_assert_eq!(found(&mut index.all_values(name)), values(&series));
            }
        }
    }
}
