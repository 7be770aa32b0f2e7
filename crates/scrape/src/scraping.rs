//! One answer of a target on its way into the store, with what is said about the scrape itself.
//!
//! Invariant: an answer is stored as a whole or, if anything of it can't be read or is over a limit, not at all. Then, and
//! when there is none, the target's series end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use luma_promql::{Labels, METRIC_NAME, STALE_MARKER, Sample};
use luma_targets::LabelSet;
use luma_telemetry::{Batch, Exemplar, Metrics};
use tracing::{error, warn};

use crate::cache::{Cache, Known};
use crate::exposition::{About, Scraped, Sink, parse};
use crate::fetch::Answer;
use crate::metrics::Counted;
use crate::settings::{Job, Limits};
use crate::target::{Target, joined};

/// What scraping needs wherever it is done.
#[derive(Debug)]
pub(crate) struct Context {
    pub store: Arc<Metrics>,
    /// How far in the future a sample may be.
    pub future_max: Duration,
    pub counted: Arc<Counted>,
}

/// What is said about a scrape.
#[derive(Debug, Default)]
struct Report {
    scraped: usize,
    kept: usize,
    new: usize,
}

/// The series that say how scraping went.
const REPORTED: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
];

/// Whose answer it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Of<'a> {
    pub target: &'a Target,
    pub job: &'a Job,
    pub context: &'a Context,
}

impl Of<'_> {
    /// Stores an answer, or that there is none, at a time in milliseconds; what was wrong. Blocks until it is durable.
    pub fn take(
        self,
        cache: &mut Cache,
        answer: Result<Answer, String>,
        t: i64,
        began: Instant,
    ) -> Result<(), String> {
        let took = began.elapsed();
        cache.begin();
        let (mut batch, mut report) = (Batch::default(), Report::default());
        let mut is_empty = true;
        let outcome = answer.and_then(|answer| answer.unpacked(self.job)).and_then(|(body, format)| {
            is_empty = body.is_empty();
            if is_empty {
                return Ok(());
            }
            let mut taking = self.taking(cache, &mut batch, t);
            let read = parse(format, &body, self.job.histograms, &mut taking);
            let read = read.and_then(|()| taking.finish());
            report = taking.report;
            read
        });
        if outcome.is_err() {
            batch.clear();
            cache.take_back();
        }
        let counted = &self.context.counted;
        Counted::add(&counted.scrapes, 1);
        Counted::add(&counted.failed, usize::from(outcome.is_err()));
        Counted::add(&counted.samples, batch.len());
        for ended in cache.ended() {
            put(&mut batch, ended.iter(), t, STALE_MARKER);
        }
        cache.end(outcome.is_ok() && !is_empty);
        let up = f64::from(u8::from(outcome.is_ok()));
        let numbers = [report.scraped, report.kept, report.new].map(|count| count as f64);
        let values = [up, took.as_secs_f64()].into_iter().chain(numbers);
        for (name, value) in REPORTED.into_iter().zip(values) {
            self.put_report(&mut batch, name, t, value);
        }
        self.store(&batch);
        outcome
    }

    /// Ends all series of a target that is there no more.
    pub fn end(self, cache: &mut Cache, t: i64) {
        cache.begin();
        let mut batch = Batch::default();
        for ended in cache.ended() {
            put(&mut batch, ended.iter(), t, STALE_MARKER);
        }
        for name in REPORTED {
            self.put_report(&mut batch, name, t, STALE_MARKER);
        }
        self.store(&batch);
    }

    fn put_report(self, batch: &mut Batch, name: &str, t: i64, value: f64) {
        put(batch, self.target.labels.iter().chain([(METRIC_NAME, name)]), t, value);
    }

    fn store(self, batch: &Batch) {
        let url = &self.target.url;
        match self.context.store.append(batch) {
            Ok(appended) => {
                if let Some((_, why)) = &appended.first_refusal {
                    warn!(%url, refused = appended.refused, %why, "samples of a target are refused");
                    Counted::add(&self.context.counted.refused, appended.refused);
                }
            }
            Err(error) => error!(%url, %error, "samples of a target could not be stored"),
        }
    }

    fn taking<'a>(&'a self, cache: &'a mut Cache, batch: &'a mut Batch, t: i64) -> Taking<'a> {
        let future = i64::try_from(self.context.future_max.as_millis()).unwrap_or(i64::MAX);
        Taking {
            of: *self,
            cache,
            batch,
            t,
            latest: t.saturating_add(future),
            report: Report::default(),
            put: 0,
            over_limit: false,
            in_future: 0,
            twice: 0,
            changed: BTreeSet::new(),
        }
    }
}

fn put<'a>(batch: &mut Batch, labels: impl Iterator<Item = (&'a str, &'a str)>, t: i64, value: f64) {
    match batch.series(labels) {
        Ok(series) => batch.float(series, t, 0, value),
        Err(error) => warn!(%error, "a series of a target is refused"),
    }
}

/// An answer while it is read.
struct Taking<'a> {
    of: Of<'a>,
    cache: &'a mut Cache,
    batch: &'a mut Batch,
    t: i64,
    latest: i64,
    report: Report,
    /// How many samples are in the batch.
    put: usize,
    over_limit: bool,
    in_future: usize,
    twice: usize,
    /// Families of which something new was said.
    changed: BTreeSet<String>,
}

impl Taking<'_> {
    fn finish(&mut self) -> Result<(), String> {
        let Of { target, job, context } = self.of;
        if self.over_limit {
            return Err(format!(
                "sample limit exceeded: {} samples, over {}",
                self.report.kept, job.limits.samples
            ));
        }
        let (twice, in_future) = (self.twice, self.in_future);
        if twice + in_future > 0 {
            warn!(url = %target.url, twice, in_future, "samples of a target are refused");
            Counted::add(&context.counted.refused, twice + in_future);
        }
        for family in std::mem::take(&mut self.changed) {
            if let Some(metadata) = self.cache.metadata.get(&family) {
                self.batch.metadata(&family, metadata.clone());
            }
        }
        Ok(())
    }
}

impl Sink for Taking<'_> {
    fn about(&mut self, family: &str, about: About<'_>) {
        if self.cache.about(family, about) {
            self.changed.insert(family.to_owned());
        }
    }

    fn sample(&mut self, sample: &Scraped<'_>) -> Result<(), String> {
        let Of { target, job, .. } = self.of;
        self.report.scraped += 1;
        let stated = sample.t.filter(|_| job.honor_timestamps);
        let (entry, known) = self.cache.series(sample.key, || series(sample, target, job))?;
        let Some(labels) = entry.labels.clone() else { return Ok(()) };
        self.report.kept += 1;
        if known == Known::Twice && stated.is_none() {
            self.twice += 1;
            return Ok(());
        }
        if job.limits.samples > 0 && self.put >= job.limits.samples {
            // The others are counted still.
            self.over_limit = true;
            return Ok(());
        }
        self.put += 1;
        self.report.new += usize::from(known == Known::New);
        let t = stated.unwrap_or(self.t);
        if t > self.latest {
            self.in_future += 1;
            return Ok(());
        }
        if stated.is_none() || job.track_timestamps_staleness {
            entry.is_current();
        }
        let series = self.batch.series(labels.iter()).map_err(|error| error.to_string())?;
        match &sample.value {
            Sample::Float(value) => self.batch.float(series, t, sample.start, *value),
            Sample::Histogram(value) => self.batch.histogram(series, t, sample.start, Arc::clone(value)),
        }
        for example in sample.exemplars {
            let t = if example.timed { example.exemplar.t } else { t };
            self.batch.exemplar(series, Exemplar { t, ..example.exemplar.clone() });
        }
        Ok(())
    }
}

/// The series of a sample; `None` if relabelling drops it.
fn series(sample: &Scraped<'_>, target: &Target, job: &Job) -> Result<Option<Labels>, String> {
    let has = |name: &str| sample.labels.iter().any(|(own, _)| own == name);
    let scraped: LabelSet = sample.labels.iter().map(|(name, value)| (&**name, &**value)).collect();
    let mut labels = joined(&scraped, has, &target.labels, job.honor_labels);
    if !job.metric_relabeling.apply(&mut labels) || labels.is_empty() {
        return Ok(None);
    }
    if labels.get(METRIC_NAME).is_empty() {
        return Err(format!("missing metric name ({METRIC_NAME} label)"));
    }
    bounded(&labels, &job.limits)?;
    Ok(Some(Labels::new(labels.iter())))
}

/// Checks the bounds on labels.
fn bounded(labels: &LabelSet, limits: &Limits) -> Result<(), String> {
    let short = |text: &str| text.chars().take(50).collect::<String>();
    let metric = || short(labels.get(METRIC_NAME));
    let count = labels.iter().count();
    if limits.labels > 0 && count > limits.labels {
        let limit = limits.labels;
        return Err(format!(
            "label_limit exceeded (metric: {}, number of labels: {count}, limit: {limit})",
            metric()
        ));
    }
    for (name, value) in labels.iter() {
        for (what, text, limit) in [("name", name, limits.label_name), ("value", value, limits.label_value)] {
            if limit > 0 && text.len() > limit {
                return Err(format!(
                    "label_{what}_length_limit exceeded (metric: {}, label name: {}, length: {}, limit: {limit})",
                    metric(),
                    short(name),
                    text.len()
                ));
            }
        }
    }
    Ok(())
}
