//! Where series come from.

use crate::error::SourceError;
use crate::histogram::FloatHistogram;
use crate::labels::Labels;
use crate::matcher::Matcher;
use crate::value::{FloatPoint, HistogramPoint, is_stale};

/// Which samples of which series.
#[derive(Debug, Clone, Copy)]
pub struct Select<'a> {
    /// What the series' labels must fulfil, all of it.
    pub matchers: &'a [Matcher],
    /// The first millisecond of interest.
    pub start: i64,
    /// The last millisecond of interest.
    pub end: i64,
}

/// The samples of one series.
///
/// Points are in the order of time and have no time twice, not across kinds either; stale markers
/// are among them. Histograms carry the hints that
/// [`mark_counter_resets`](crate::mark_counter_resets) gives.
#[derive(Debug, Clone, Default)]
pub struct SeriesData {
    /// Its labels.
    pub labels: Labels,
    /// Its numbers.
    pub floats: Vec<FloatPoint>,
    /// When the counter behind each number started, 0 if unknown; empty if none is known.
    pub float_starts: Vec<i64>,
    /// Its histograms.
    pub histograms: Vec<HistogramPoint>,
    /// When the counter behind each histogram started, 0 if unknown; empty if none is known.
    pub histogram_starts: Vec<i64>,
}

impl SeriesData {
    /// Takes the stale markers out: ranges have no use for them.
    pub(crate) fn without_stale(mut self) -> Self {
        if self.floats.iter().any(|p| is_stale(p.v)) {
            let fresh: Vec<bool> = self.floats.iter().map(|p| !is_stale(p.v)).collect();
            retain(&mut self.floats, &fresh);
            retain(&mut self.float_starts, &fresh);
        }
        if self.histograms.iter().any(|p| is_stale(p.h.sum)) {
            let fresh: Vec<bool> = self.histograms.iter().map(|p| !is_stale(p.h.sum)).collect();
            retain(&mut self.histograms, &fresh);
            retain(&mut self.histogram_starts, &fresh);
        }
        self
    }

    /// Reduces histograms to count and sum, and notes resets that only the buckets show.
    pub(crate) fn into_statistics(mut self) -> Self {
        use crate::histogram::ResetHint::{NotReset, Reset, Unknown};
        let mut previous: Option<std::sync::Arc<FloatHistogram>> = None;
        for point in &mut self.histograms {
            let full = point.h.clone();
            if is_stale(full.sum) {
                continue;
            }
            let hint = match (full.hint, &previous) {
                (Unknown, Some(before)) if full.is_reset_after(before) => Reset,
                (Unknown, Some(_)) => NotReset,
                (known, _) => known,
            };
            point.h = full.statistics(hint).into();
            previous = Some(full);
        }
        self
    }
}

fn retain<T>(items: &mut Vec<T>, keep: &[bool]) {
    let mut keep = keep.iter();
    items.retain(|_| keep.next().copied().unwrap_or(true));
}

type Outcome = Result<SeriesData, SourceError>;

/// A series that was found, and how its samples are read: by whoever has the time.
pub(crate) struct Unread<'a>(Box<dyn FnOnce() -> Outcome + Send + 'a>);

impl Unread<'_> {
    /// Reads the samples.
    pub fn read(self) -> Outcome {
        (self.0)()
    }
}

/// A set of series, one after another: a query holds no more of them than it has to.
///
/// Finding the next one and reading its samples are two things, so that several threads can read.
pub struct SeriesSet<'a>(Box<dyn Iterator<Item = Unread<'a>> + Send + 'a>);

impl<'a> SeriesSet<'a> {
    /// Series whose samples are at hand.
    pub fn of(series: impl Iterator<Item = Outcome> + Send + 'a) -> Self {
        Self(Box::new(series.map(|series| Unread(Box::new(move || series)))))
    }

    /// Series whose samples are read when the functions are called, each once, in any order and on any thread.
    pub fn reading<F: FnOnce() -> Outcome + Send + 'a>(series: impl Iterator<Item = F> + Send + 'a) -> Self {
        Self(Box::new(series.map(|read| Unread(Box::new(read)))))
    }

    /// The same series; `look` is called with each that was read.
    pub(crate) fn inspected(self, look: impl Fn(&SeriesData) + Clone + Send + 'a) -> Self {
        Self(Box::new(self.0.map(move |unread| {
            let look = look.clone();
            Unread(Box::new(move || unread.read().inspect(look)))
        })))
    }

    /// The next series, not read yet.
    pub(crate) fn next_unread(&mut self) -> Option<Unread<'a>> {
        self.0.next()
    }
}

impl Iterator for SeriesSet<'_> {
    type Item = Outcome;

    fn next(&mut self) -> Option<Outcome> {
        self.next_unread().map(Unread::read)
    }
}

/// A store of series.
pub trait Source: Sync {
    /// The series that fulfil a request, with (at least) the samples it asks for. Series may be
    /// without any. The order of series is that of an unsorted answer.
    ///
    /// # Errors
    ///
    /// What the store reports; the query fails with it.
    fn select(&self, request: &Select<'_>) -> Result<SeriesSet<'_>, SourceError>;
}
