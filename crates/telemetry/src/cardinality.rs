//! What the series are many of.

use std::cmp::Reverse;

use hashbrown::HashMap;

use crate::store::Metrics;

/// Counts of series by what they have in common, each list the longest first.
#[derive(Debug, Clone, Default)]
pub struct Cardinality {
    /// How many series there are.
    pub series: usize,
    /// How many different pairs of names and values.
    pub pairs: usize,
    /// How many chunks of samples.
    pub chunks: usize,
    /// Metrics by how many series they have.
    pub series_by_metric: Vec<(String, u64)>,
    /// Labels by how many values they have.
    pub values_by_label: Vec<(String, u64)>,
    /// Labels by how many bytes their values take, each as often as a series has it.
    pub bytes_by_label: Vec<(String, u64)>,
    /// Pairs (`name=value`) by how many series have them.
    pub series_by_pair: Vec<(String, u64)>,
}

impl Metrics {
    /// Counts series, at most `limit` items of each list. Costs a look at every pair.
    pub fn cardinality(&self, limit: usize) -> Cardinality {
        let states = self.states();
        let mut pairs: HashMap<(&str, &str), u64> = HashMap::new();
        let mut chunks = 0;
        for state in &states {
            for (name, value, series) in state.index.pairs() {
                *pairs.entry((name, value)).or_default() += series;
            }
            chunks += state.iter().map(|(_, series)| series.head.chunks()).sum::<usize>();
        }
        let mut by_metric = Vec::new();
        let mut values: HashMap<&str, u64> = HashMap::new();
        let mut bytes: HashMap<&str, u64> = HashMap::new();
        for ((name, value), series) in &pairs {
            *values.entry(name).or_default() += 1;
            *bytes.entry(name).or_default() += series * value.len() as u64;
            if *name == luma_promql::METRIC_NAME {
                by_metric.push(((*value).to_owned(), *series));
            }
        }
        let owned = |counts: HashMap<&str, u64>| -> Vec<(String, u64)> {
            counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
        };
        let mut by_pair: Vec<(&(&str, &str), &u64)> = pairs.iter().collect();
        by_pair.sort_unstable_by_key(|(pair, count)| (Reverse(**count), **pair));
        by_pair.truncate(limit);
        let by_pair = by_pair.into_iter().map(|((name, value), count)| (format!("{name}={value}"), *count));
        Cardinality {
            series: self.series_len(),
            pairs: pairs.len(),
            chunks,
            series_by_metric: top(by_metric, limit),
            values_by_label: top(owned(values), limit),
            bytes_by_label: top(owned(bytes), limit),
            series_by_pair: by_pair.collect(),
        }
    }
}

fn top(mut counts: Vec<(String, u64)>, limit: usize) -> Vec<(String, u64)> {
    counts.sort_unstable_by(|a, b| (Reverse(a.1), &a.0).cmp(&(Reverse(b.1), &b.0)));
    counts.truncate(limit);
    counts
}
