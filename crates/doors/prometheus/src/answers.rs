//! Answers to range queries, kept under a bound of memory: what a later query asks again is not computed again.
//!
//! An answer is kept with the store's version from before it was computed. Later the store says from which time on samples changed
//! since; steps that depend on earlier samples only are as they were. Where every step of a query stands for itself
//! (`Dialect::ahead_of_step`), those steps are taken from the answer and the others computed; any other answer is good as a whole, for the
//! same start and end, if nothing that was read for it changed.
//!
//! Invariants: an answer with kept steps is, bit for bit, what computing all of it would give. So steps of answers with
//! annotations or native histograms (whose hints depend on samples outside) are not taken apart.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use luma_promql::{Annotations, Answer, FloatPoint, Options, Series, Source, Statistics, Value, Watched};
use luma_telemetry::Metrics;
use parking_lot::Mutex;

use crate::query::Dialect;

/// Which part of all memory one answer may take.
const PARTS: usize = 4;

/// Bytes of an answer, a series and a label beside those of points and texts, about.
const ANSWER_BYTES: usize = 400;
const SERIES_BYTES: usize = 120;
const LABEL_BYTES: usize = 40;

/// Which queries may have steps in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    dialect: Dialect,
    query: String,
    step: i64,
    /// Where in a step steps begin.
    phase: i64,
    lookback_ms: i64,
}

/// A range query; times in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RangeQuery<'q> {
    pub dialect: Dialect,
    pub query: &'q str,
    pub start: i64,
    pub end: i64,
    pub step: i64,
}

/// What an answer depends on.
#[derive(Debug, Clone, Copy)]
enum Holds {
    /// Each step on samples up to so far behind it.
    Steps { ahead: i64 },
    /// All of it on its end, and on samples up to a time.
    Whole { end: i64, until: i64 },
}

/// An answer that is kept.
#[derive(Debug)]
struct Kept {
    /// The store's version before it was computed.
    version: u64,
    /// Its first and last step.
    steps: (i64, i64),
    holds: Holds,
    series: Vec<Series>,
    annotations: Annotations,
    bytes: usize,
}

/// The answers that are kept, those that were used the longest ago go first.
#[derive(Debug, Default)]
struct Shelf {
    answers: HashMap<Arc<Key>, (u64, Arc<Kept>)>,
    /// By when they were used last.
    by_use: BTreeMap<u64, Arc<Key>>,
    uses: u64,
    bytes: usize,
}

/// Answers to range queries.
#[derive(Debug)]
pub(crate) struct Answers {
    shelf: Mutex<Shelf>,
    bytes_max: usize,
}

/// An answer, and how many of its steps were kept ones.
pub(crate) struct Found {
    pub answer: Answer,
    pub kept_steps: usize,
}

/// Computes an answer from one time to another.
type Compute<'c> = dyn Fn(&dyn Source, (i64, i64)) -> luma_promql::Result<Answer> + 'c;

impl Answers {
    /// Keeps so many bytes of answers at most, none if that is 0.
    pub fn new(bytes_max: usize) -> Self {
        Self { shelf: Mutex::default(), bytes_max }
    }

    /// How many bytes are kept.
    pub fn bytes(&self) -> usize {
        self.shelf.lock().bytes
    }

    /// Answers a range query, with what is kept.
    pub fn range(
        &self,
        store: &Metrics,
        asked: RangeQuery<'_>,
        options: &Options,
    ) -> luma_promql::Result<Found> {
        let RangeQuery { dialect, query, start, end, step } = asked;
        let compute = |source: &dyn Source, (start, end): (i64, i64)| {
            dialect.range(source, query, start, end, step, options)
        };
        // One step alone is not a part of several.
        let length = end.checked_sub(start).filter(|length| step > 0 && *length >= step);
        let Some(length) = length.filter(|_| self.bytes_max > 0) else {
            return Ok(Found { answer: compute(store, (start, end))?, kept_steps: 0 });
        };
        let last = end - length % step;
        let steps = (start, last);
        let phase = start.rem_euclid(step);
        let key = Key { dialect, query: query.to_owned(), step, phase, lookback_ms: options.lookback_ms };
        // Before anything is read.
        let version = store.version();
        let kept = self.shelf.lock().find(&key);
        if let Some(kept) = kept {
            let changed = store.changed_since(kept.version).unwrap_or(i64::MAX);
            match kept.holds {
                Holds::Whole { end: whole, until }
                    if (kept.steps, whole) == (steps, end) && until < changed =>
                {
                    return Ok(Found { answer: kept.whole(), kept_steps: steps_of(steps, step) });
                }
                Holds::Steps { ahead } => {
                    let plan = Plan::new(steps, step, kept.valid(changed, ahead, step));
                    if let Some(plan) = plan
                        && let Some(found) = self.completed(store, &key, &kept, &plan, version, &compute)?
                    {
                        return Ok(found);
                    }
                }
                Holds::Whole { .. } => {}
            }
        }
        let watched = Watched::new(store);
        let answer = compute(&watched, (start, end))?;
        if !dialect.is_repeatable(query) {
            return Ok(Found { answer, kept_steps: 0 });
        }
        let apart = answer.annotations.is_empty() && !watched.saw_histograms();
        let holds = match dialect.ahead_of_step(query, step, options).filter(|_| apart) {
            Some(ahead) => Holds::Steps { ahead },
            None => Holds::Whole { end, until: watched.until() },
        };
        self.keep(key, version, steps, holds, &answer);
        Ok(Found { answer, kept_steps: 0 })
    }

    /// An answer with kept steps, if what is to be computed goes with them.
    fn completed(
        &self,
        store: &Metrics,
        key: &Key,
        kept: &Kept,
        plan: &Plan,
        version: u64,
        compute: &Compute<'_>,
    ) -> luma_promql::Result<Option<Found>> {
        let mut series = kept.between(plan.kept);
        for missing in plan.missing.into_iter().flatten() {
            let watched = Watched::new(store);
            let Answer { value: Value::Matrix(new), annotations, .. } = compute(&watched, missing)? else {
                return Ok(None);
            };
            if !annotations.is_empty() || watched.saw_histograms() {
                return Ok(None);
            }
            series = if missing < plan.kept { joined(new, series) } else { joined(series, new) };
        }
        let answer = Answer {
            value: Value::Matrix(series),
            annotations: Annotations::default(),
            statistics: Statistics::default(),
            step_samples: Vec::new(),
        };
        // A part of what is kept takes nothing of it away.
        if plan.missing.iter().any(Option::is_some) {
            self.keep(key.clone(), version, plan.steps, kept.holds, &answer);
        }
        Ok(Some(Found { answer, kept_steps: steps_of(plan.kept, key.step) }))
    }

    fn keep(&self, key: Key, version: u64, steps: (i64, i64), holds: Holds, answer: &Answer) {
        let Value::Matrix(series) = &answer.value else { return };
        let bytes = ANSWER_BYTES + key.query.len() + series.iter().map(bytes_of).sum::<usize>();
        if bytes > self.bytes_max / PARTS {
            return;
        }
        let (series, annotations) = (series.clone(), answer.annotations.clone());
        let kept = Kept { version, steps, holds, series, annotations, bytes };
        self.shelf.lock().put(key, kept, self.bytes_max);
    }
}

fn bytes_of(series: &Series) -> usize {
    let points = series.floats.len() * size_of::<FloatPoint>();
    // Bounds of buckets are mostly shared, their counts are not.
    let histograms = series.histograms.iter().map(|point| {
        let h = &point.h;
        size_of_val(&**h) + 16 * (h.positive.len() + h.negative.len() + h.custom_bounds.len()) + 32
    });
    let labels = series.labels.iter().map(|(name, value)| LABEL_BYTES + name.len() + value.len());
    SERIES_BYTES + points + histograms.sum::<usize>() + labels.sum::<usize>()
}

fn steps_of((first, last): (i64, i64), step: i64) -> usize {
    usize::try_from((last - first) / step).map_or(0, |steps| steps + 1)
}

impl Kept {
    fn whole(&self) -> Answer {
        Answer {
            value: Value::Matrix(self.series.clone()),
            annotations: self.annotations.clone(),
            statistics: Statistics::default(),
            step_samples: Vec::new(),
        }
    }

    /// The first and last step that depend on nothing that changed; the last may be before the first.
    fn valid(&self, changed: i64, ahead: i64, step: i64) -> (i64, i64) {
        let (first, last) = self.steps;
        let before = i128::from(changed) - i128::from(ahead) - 1 - i128::from(first);
        let steps = before.div_euclid(i128::from(step)).clamp(-1, i128::from((last - first) / step));
        (first, first + steps as i64 * step)
    }

    /// The points from one step to another.
    fn between(&self, (first, last): (i64, i64)) -> Vec<Series> {
        let cut = |series: &Series| {
            let floats = &series.floats;
            let from = floats.partition_point(|point| point.t < first);
            let to = floats.partition_point(|point| point.t <= last);
            let floats = floats.get(from..to).filter(|floats| !floats.is_empty())?;
            let mut out = Series::default();
            (out.labels, out.floats) = (series.labels.clone(), floats.to_vec());
            Some(out)
        };
        self.series.iter().filter_map(cut).collect()
    }
}

/// Which steps are taken and which computed.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    steps: (i64, i64),
    kept: (i64, i64),
    /// Before and behind the kept ones.
    missing: [Option<(i64, i64)>; 2],
}

impl Plan {
    /// `None` if there is too little to take.
    fn new(asked: (i64, i64), step: i64, valid: (i64, i64)) -> Option<Self> {
        let mut kept = (asked.0.max(valid.0), asked.1.min(valid.1));
        // One step alone may be answered where several are refused, so two are computed at least.
        if kept.0 == asked.0 + step {
            kept.0 = kept.0.saturating_add(step);
        }
        if kept.1 == asked.1 - step {
            kept.1 = kept.1.saturating_sub(step);
        }
        let part = |(first, last): (i64, i64)| (last - first) / step + 1;
        // Each part is a query of its own.
        if kept.1 < kept.0 || part(kept) * 2 < part(asked) {
            return None;
        }
        let before = (asked.0 < kept.0).then(|| (asked.0, kept.0 - step));
        let behind = (kept.1 < asked.1).then(|| (kept.1 + step, asked.1));
        Some(Self { steps: asked, kept, missing: [before, behind] })
    }
}

/// Series with the points of both, those of `late` behind those of `early`; both in the order of labels.
fn joined(early: Vec<Series>, late: Vec<Series>) -> Vec<Series> {
    let mut all = Vec::with_capacity(early.len().max(late.len()));
    let (mut early, mut late) = (early.into_iter().peekable(), late.into_iter().peekable());
    loop {
        let order = match (early.peek(), late.peek()) {
            (Some(one), Some(other)) => one.labels.cmp(&other.labels),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (None, None) => return all,
        };
        let mut series = if order.is_gt() { late.next() } else { early.next() };
        if order.is_eq()
            && let (Some(series), Some(more)) = (&mut series, late.next())
        {
            series.floats.extend(more.floats);
        }
        all.extend(series);
    }
}

impl Shelf {
    fn find(&mut self, key: &Key) -> Option<Arc<Kept>> {
        let (used, kept) = self.answers.get_mut(key)?;
        let key = self.by_use.remove(used)?;
        self.uses += 1;
        *used = self.uses;
        self.by_use.insert(self.uses, key);
        Some(Arc::clone(kept))
    }

    fn put(&mut self, key: Key, kept: Kept, bytes_max: usize) {
        let key = Arc::new(key);
        self.remove(&key);
        self.uses += 1;
        self.bytes += kept.bytes;
        self.by_use.insert(self.uses, Arc::clone(&key));
        self.answers.insert(key, (self.uses, Arc::new(kept)));
        while self.bytes > bytes_max
            && let Some((_, oldest)) = self.by_use.first_key_value()
        {
            let oldest = Arc::clone(oldest);
            self.remove(&oldest);
        }
    }

    fn remove(&mut self, key: &Key) {
        if let Some((used, kept)) = self.answers.remove(key) {
            self.by_use.remove(&used);
            self.bytes -= kept.bytes;
        }
    }
}
