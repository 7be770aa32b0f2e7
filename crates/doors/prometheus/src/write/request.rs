//! A request to write on its way into a batch: what is refused before the store sees it is counted here.

use std::sync::Arc;

use axum::http::StatusCode;
use luma_promql::{FloatHistogram, Labels, METRIC_NAME};
use luma_telemetry::{Appended, Batch, BatchSeries, Error, Exemplar, LabelError, Metadata, Metrics};

use super::{Outcome, Rejected};

/// A batch, and what is not in it.
#[derive(Debug)]
pub(crate) struct WriteRequest {
    batch: Batch,
    /// The latest time that a sample may have.
    latest: i64,
    refused: usize,
    /// Why the first one was refused, and how many samples were taken before.
    first: Option<(usize, String)>,
}

impl WriteRequest {
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

    pub fn float(&mut self, series: BatchSeries, t: i64, start: i64, value: f64) {
        if self.is_in_time(t) {
            self.batch.float(series, t, start, value);
        }
    }

    pub fn histogram(
        &mut self,
        series: BatchSeries,
        t: i64,
        start: i64,
        value: Result<FloatHistogram, String>,
    ) {
        match value {
            Ok(value) if self.is_in_time(t) => self.batch.histogram(series, t, start, Arc::new(value)),
            Ok(_) => {}
            Err(what) => self.refuse(1, format!("invalid histogram at {t}: {what}")),
        }
    }

    pub fn exemplar(&mut self, series: BatchSeries, exemplar: Exemplar) {
        self.batch.exemplar(series, exemplar);
    }

    pub fn metadata(&mut self, family: &str, metadata: Metadata) {
        self.batch.metadata(family, metadata);
    }

    fn is_in_time(&mut self, t: i64) -> bool {
        if t <= self.latest {
            return true;
        }
        self.refuse(
            1,
            format!("out of bounds: {t} is too far in the future, the latest time taken is {}", self.latest),
        );
        false
    }

    /// Notes that samples are left out.
    pub fn refuse(&mut self, samples: usize, what: String) {
        self.refused += samples;
        if self.first.is_none() {
            self.first = Some((self.batch.len(), what));
        }
    }

    /// Stores what is left; returns when it is durable.
    pub fn store(self, store: &Metrics) -> Outcome {
        let appended = store.append(&self.batch).map_err(|error| Rejected {
            status: match error {
                Error::BatchTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            },
            what: error.to_string(),
        })?;
        let refusal = self.refusal(&appended);
        Ok((Appended { refused: appended.refused + self.refused, ..appended }, refusal))
    }

    /// Why the first sample that is not in the store was refused.
    fn refusal(&self, appended: &Appended) -> Option<String> {
        let more = match appended.refused + self.refused {
            0 | 1 => String::new(),
            count => format!(" ({count} samples refused)"),
        };
        let by_store = appended.first_refusal.as_ref();
        match (&self.first, by_store) {
            (Some((before, what)), None) => Some((before, what.clone())),
            (Some((before, what)), Some((at, _))) if before <= at => Some((before, what.clone())),
            (_, Some((at, refusal))) => {
                let series = self.batch.describe(*at).map(|(labels, _)| labels).unwrap_or_default();
                Some((at, format!("{refusal} for series {series}")))
            }
            (None, None) => None,
        }
        .map(|(_, what)| what + &more)
    }
}
