//! Changes (points of delta temporality) added up to cumulative series.
//!
//! The store's newest sample of a series is the sum so far; what is kept here spares the look-up. Requests with
//! changes take turns until their samples are in the store, so a sum is never read while it changes.

use std::collections::HashMap;
use std::sync::Arc;

use luma_promql::{
    FloatHistogram, Labels, Matcher, ResetHint, Sample, Select, Source, SourceError, is_stale,
};
use luma_telemetry::Metrics;
use parking_lot::{Mutex, MutexGuard};
use xxhash_rust::xxh3::xxh3_128;

/// A series of which nothing came for so long starts anew.
const SILENCE_MS: i64 = 3_600_000;
/// How many sums a generation has; there are two.
const GENERATION: usize = 200_000;

/// A sum: when it was last added to, when it began (0 if that is unknown), and what it is.
#[derive(Debug, Clone)]
struct Sum {
    t: i64,
    start: i64,
    value: Sample,
}

/// Sums by a hash of their series' labels. When the young ones are too many the old ones are forgotten.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<u128, Sum>,
    old: HashMap<u128, Sum>,
}

impl Generations {
    fn get(&self, series: u128) -> Option<&Sum> {
        self.young.get(&series).or_else(|| self.old.get(&series))
    }

    fn put(&mut self, series: u128, sum: Sum) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(series, sum);
    }

    fn forget(&mut self, series: u128) {
        self.young.remove(&series);
        self.old.remove(&series);
    }
}

/// The sums that are remembered of a store.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<Generations>);

/// The sums of one request.
pub(super) struct Sums<'k> {
    known: &'k Known,
    store: &'k Metrics,
    /// Held from the first change on.
    turn: Option<MutexGuard<'k, Generations>>,
    /// Those that this request made; `None` for a series that has ended.
    made: HashMap<u128, Option<Sum>>,
}

/// A series' labels, sorted by name.
pub(super) type Pairs<'a> = [(&'a str, &'a str)];

impl<'k> Sums<'k> {
    pub fn new(known: &'k Known, store: &'k Metrics) -> Self {
        Self { known, store, turn: None, made: HashMap::new() }
    }

    /// The sum of a series after a change, and when it began; or why there is none.
    pub fn add(
        &mut self,
        labels: &Pairs<'_>,
        t: i64,
        start: i64,
        change: Sample,
    ) -> Result<Result<(Sample, i64), String>, SourceError> {
        let series = hash_of(labels);
        let before = self.before(series, labels, t)?;
        let sum = match before {
            Some(sum) if sum.t >= t => {
                return Ok(Err(format!(
                    "the changes of series {} are added up to {}, and this one is of {t}",
                    Labels::new(labels.iter().copied()),
                    sum.t
                )));
            }
            Some(sum) => match added(&sum.value, &change) {
                Some(value) => Sum { t, start: sum.start, value },
                None => Sum { t, start, value: change },
            },
            None => Sum { t, start, value: change },
        };
        let outcome = (sum.value.clone(), sum.start);
        self.made.insert(series, Some(sum));
        Ok(Ok(outcome))
    }

    /// Notes that a series has ended.
    pub fn end(&mut self, labels: &Pairs<'_>) {
        self.turn();
        self.made.insert(hash_of(labels), None);
    }

    fn turn(&mut self) -> &Generations {
        let known = self.known;
        self.turn.get_or_insert_with(|| known.0.lock())
    }

    fn before(&mut self, series: u128, labels: &Pairs<'_>, t: i64) -> Result<Option<Sum>, SourceError> {
        if let Some(made) = self.made.get(&series) {
            return Ok(made.clone());
        }
        match self.turn().get(series) {
            Some(sum) => Ok(Some(sum.clone())),
            None => stored(self.store, labels, t.saturating_sub(SILENCE_MS)),
        }
    }

    /// Remembers the sums once their samples are in the store, or forgets those of a request of which something
    /// was refused: then the store knows better.
    pub fn remember(self, whole: bool) {
        let Some(mut known) = self.turn else { return };
        for (series, sum) in self.made {
            match sum.filter(|_| whole) {
                Some(sum) => known.put(series, sum),
                None => known.forget(series),
            }
        }
    }
}

fn hash_of(labels: &Pairs<'_>) -> u128 {
    let mut key = Vec::with_capacity(256);
    for (name, value) in labels {
        for text in [name, value] {
            key.extend_from_slice(&(text.len() as u64).to_le_bytes());
            key.extend_from_slice(text.as_bytes());
        }
    }
    xxh3_128(&key)
}

/// A sum and a change of the same kind, if they can be added.
fn added(sum: &Sample, change: &Sample) -> Option<Sample> {
    match (sum, change) {
        (Sample::Float(sum), Sample::Float(change)) => Some(Sample::Float(sum + change)),
        (Sample::Histogram(sum), Sample::Histogram(change)) => {
            let mut sum = FloatHistogram::clone(sum);
            sum.add(change).ok()?;
            sum.hint = ResetHint::Unknown;
            Some(Sample::Histogram(Arc::new(sum.compacted())))
        }
        _ => None,
    }
}

/// The newest sample of a series, unless it ended or is older than `from`.
fn stored(store: &Metrics, labels: &Pairs<'_>, from: i64) -> Result<Option<Sum>, SourceError> {
    let matchers: Vec<Matcher> = labels.iter().map(|(name, value)| Matcher::equal(name, value)).collect();
    let own = Labels::new(labels.iter().copied());
    for series in store.select(&Select { matchers: &matchers, start: from, end: i64::MAX })? {
        let series = series?;
        // Others may have more labels.
        if series.labels != own {
            continue;
        }
        let start = |starts: &[i64]| starts.last().copied().unwrap_or(0);
        let float = series.floats.last().filter(|point| point.t >= from).map(|point| Sum {
            t: point.t,
            start: start(&series.float_starts),
            value: Sample::Float(point.v),
        });
        let histogram = series.histograms.last().filter(|point| point.t >= from).map(|point| Sum {
            t: point.t,
            start: start(&series.histogram_starts),
            value: Sample::Histogram(point.h.clone()),
        });
        let newest = float.into_iter().chain(histogram).max_by_key(|sum| sum.t);
        return Ok(newest.filter(|sum| match &sum.value {
            Sample::Float(value) => !is_stale(*value),
            Sample::Histogram(histogram) => !is_stale(histogram.sum),
        }));
    }
    Ok(None)
}
