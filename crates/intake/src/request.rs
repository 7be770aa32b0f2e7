//! A request to write on its way into a batch: what is refused before the store sees it is counted here.

use std::sync::Arc;

use luma_promql::{FloatHistogram, Labels, METRIC_NAME};
use luma_telemetry::{
    Appended, Batch, BatchSeries, Exemplar, Fingerprint, KnownSeries, LabelError, Metadata, Metrics, Pending,
    Result,
};

/// What became of the samples, and why the first that was not stored was refused.
pub type Outcome = Result<(Appended, Option<String>)>;

/// A batch, and what is not in it.
#[derive(Debug)]
pub struct WriteRequest {
    batch: Batch,
    /// The latest time that a sample may have.
    latest: i64,
    refused: usize,
    /// Why the first one was refused, and how many samples were taken before.
    first: Option<(usize, String)>,
}

impl WriteRequest {
    /// A request whose samples may be as late as `latest`, in milliseconds.
    pub fn new(latest: i64) -> Self {
        Self { batch: Batch::default(), latest, refused: 0, first: None }
    }

    /// Names a series; if its labels are no good that is noted, with how many samples that costs.
    pub fn series<'a>(
        &mut self,
        labels: impl Iterator<Item = (&'a str, &'a str)> + Clone,
        samples: usize,
    ) -> Option<BatchSeries> {
        let shown = |labels: Vec<(&'a str, &'a str)>| Labels::new(labels);
        if !labels.clone().any(|(name, value)| name == METRIC_NAME && !value.is_empty()) {
            let what = format!("invalid metric name or labels, got {}", shown(labels.collect()));
            self.refuse(samples, what);
            return None;
        }
        match self.batch.series(labels.clone()) {
            Ok(series) => Some(series),
            Err(error) => {
                let labels = shown(labels.collect());
                self.refuse(
                    samples,
                    match error {
                        LabelError::Duplicate(name) => {
                            format!("invalid labels for series, labels {labels}, duplicated label {name}")
                        }
                        // Labels that are too many or too long are not repeated in the answer.
                        LabelError::TooMany { .. } | LabelError::TooLong { .. } => {
                            format!("invalid labels for series {:?}: {error}", labels.metric_name())
                        }
                        LabelError::Empty | LabelError::Unnamed => {
                            format!("invalid metric name or labels, got {labels}: {error}")
                        }
                    },
                );
                None
            }
        }
    }

    /// Names a series that the store knows.
    pub fn known(&mut self, series: KnownSeries) -> BatchSeries {
        self.batch.known(series)
    }

    /// Has the store know a series by a name from now on.
    pub fn name(&mut self, series: BatchSeries, name: Fingerprint) {
        self.batch.name(series, name);
    }

    /// Adds a number: its time, and when its counter started (0 if that is unknown), in milliseconds.
    #[inline]
    pub fn float(&mut self, series: BatchSeries, t: i64, start: i64, value: f64) {
        if self.is_in_time(t) {
            self.batch.float(series, t, start, value);
        }
    }

    /// Adds a histogram, or notes what is wrong with it.
    pub fn histogram(
        &mut self,
        series: BatchSeries,
        t: i64,
        start: i64,
        value: std::result::Result<impl Into<Arc<FloatHistogram>>, String>,
    ) {
        match value {
            Ok(value) if self.is_in_time(t) => self.batch.histogram(series, t, start, value.into()),
            Ok(_) => {}
            Err(what) => self.refuse(1, format!("invalid histogram at {t}: {what}")),
        }
    }

    /// Adds an example of what a series measured.
    pub fn exemplar(&mut self, series: BatchSeries, exemplar: Exemplar) {
        self.batch.exemplar(series, exemplar);
    }

    /// Adds what a family of metrics says of itself.
    pub fn metadata(&mut self, family: &str, metadata: Metadata) {
        self.batch.metadata(family, metadata);
    }

    /// Whether a sample of this time, in milliseconds, may be taken; if not, that is noted.
    pub fn is_in_time(&mut self, t: i64) -> bool {
        if t <= self.latest {
            return true;
        }
        self.refuse(
            1,
            format!("out of bounds: {t} is too far in the future, the latest time taken is {}", self.latest),
        );
        false
    }

    /// Whether nothing was refused so far.
    pub fn is_whole(&self) -> bool {
        self.refused == 0
    }

    /// Notes that samples are left out.
    pub fn refuse(&mut self, samples: usize, what: String) {
        self.refused += samples;
        if self.first.is_none() {
            self.first = Some((self.batch.len(), what));
        }
    }

    /// Stores what is left; returns when it is durable.
    ///
    /// # Errors
    /// When the batch is too large, or the log failed: then nothing is acknowledged.
    pub fn store(self, store: &Metrics) -> Outcome {
        let pending = self.begin(store)?;
        self.finish(pending)
    }

    /// Puts what is left into the store; it is acknowledged by [`finish`](Self::finish).
    ///
    /// # Errors
    /// When the batch is too large, or the log failed: then nothing is stored.
    pub fn begin<'s>(&self, store: &'s Metrics) -> Result<Pending<'s>> {
        store.begin_append(&self.batch)
    }

    /// Returns when what was begun is durable.
    ///
    /// # Errors
    /// When the log failed: then nothing is acknowledged.
    pub fn finish(self, pending: Pending<'_>) -> Outcome {
        let series = pending.refused_series().cloned().unwrap_or_default();
        let appended = pending.wait()?;
        let refusal = self.refusal(&appended, &series);
        Ok((Appended { refused: appended.refused + self.refused, ..appended }, refusal))
    }

    /// Why the first sample that is not in the store was refused; `series` is that of the first which the store refused.
    fn refusal(&self, appended: &Appended, series: &Labels) -> Option<String> {
        let more = match appended.refused + self.refused {
            0 | 1 => String::new(),
            count => format!(" ({count} samples refused)"),
        };
        let by_store = appended.first_refusal.as_ref();
        match (&self.first, by_store) {
            (Some((before, what)), None) => Some((before, what.clone())),
            (Some((before, what)), Some((at, _))) if before <= at => Some((before, what.clone())),
            (_, Some((at, refusal))) => Some((at, format!("{refusal} for series {series}"))),
            (None, None) => None,
        }
        .map(|(_, what)| what + &more)
    }
}
