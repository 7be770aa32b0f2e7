//! Samples of one series.

/// Samples of one series in the order of time.
///
/// A sample is a number, or a payload that only who wrote it understands.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// The series.
    pub series: u32,
    /// Milliseconds since the epoch, ascending, none twice.
    pub times: Vec<i64>,
    /// A number for each time; where there is a payload it counts for nothing.
    pub values: Vec<f64>,
    /// When the counter behind each sample started, 0 if unknown; empty if none is known.
    pub starts: Vec<i64>,
    /// The samples that are no numbers: their places, ascending, and their bytes.
    pub payloads: Vec<(u32, Vec<u8>)>,
}

impl Run {
    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Takes all samples out; memory is kept.
    pub fn clear(&mut self) {
        self.times.clear();
        self.values.clear();
        self.starts.clear();
        self.payloads.clear();
    }

    /// Adds a number.
    pub fn push_value(&mut self, t: i64, start: i64, value: f64) {
        self.push(t, start, value);
    }

    /// Adds a sample that is no number.
    pub fn push_payload(&mut self, t: i64, start: i64, payload: Vec<u8>) {
        self.payloads.push((self.times.len() as u32, payload));
        self.push(t, start, 0.0);
    }

    fn push(&mut self, t: i64, start: i64, value: f64) {
        if start != 0 && self.starts.is_empty() {
            self.starts.resize(self.times.len(), 0);
        }
        if start != 0 || !self.starts.is_empty() {
            self.starts.push(start);
        }
        self.times.push(t);
        self.values.push(value);
    }

    /// Gives its samples: place, time, start, number, and the payload if it is none.
    pub fn samples(&self) -> impl Iterator<Item = (i64, i64, f64, Option<&[u8]>)> {
        let mut payloads = self.payloads.iter().peekable();
        (0..self.times.len()).map(move |at| {
            let payload = payloads.next_if(|(place, _)| *place as usize == at);
            (
                self.times[at],
                self.starts.get(at).copied().unwrap_or(0),
                self.values[at],
                payload.map(|(_, bytes)| bytes.as_slice()),
            )
        })
    }

    /// Adds a sample of another run.
    pub(crate) fn push_sample(&mut self, (t, start, value, payload): (i64, i64, f64, Option<&[u8]>)) {
        match payload {
            Some(payload) => self.push_payload(t, start, payload.to_vec()),
            None => self.push_value(t, start, value),
        }
    }

    /// Adds all samples of another run, which are newer.
    pub(crate) fn append(&mut self, mut other: Run) {
        if self.is_empty() {
            std::mem::swap(&mut self.times, &mut other.times);
            std::mem::swap(&mut self.values, &mut other.values);
            std::mem::swap(&mut self.starts, &mut other.starts);
            std::mem::swap(&mut self.payloads, &mut other.payloads);
            return;
        }
        let before = self.times.len();
        if !other.starts.is_empty() && self.starts.is_empty() {
            self.starts.resize(before, 0);
        }
        self.payloads.extend(other.payloads.into_iter().map(|(at, bytes)| (at + before as u32, bytes)));
        self.times.append(&mut other.times);
        self.values.append(&mut other.values);
        self.starts.append(&mut other.starts);
        if !self.starts.is_empty() {
            self.starts.resize(self.times.len(), 0);
        }
    }

    /// Takes out what is before a time, but for the last `spared` of it if something is behind.
    pub(crate) fn forget_before(&mut self, from: i64, spared: usize) {
        let before = self.times.partition_point(|t| *t < from);
        if before == self.len() {
            return self.clear();
        }
        let gone = before.saturating_sub(spared);
        if gone > 0 {
            let kept = self.times[gone];
            self.retain(|t| t >= kept);
        }
    }

    /// Keeps the samples whose time is accepted.
    pub(crate) fn retain(&mut self, keeps: impl Fn(i64) -> bool) {
        if self.times.iter().all(|t| keeps(*t)) {
            return;
        }
        let mut kept = Run { series: self.series, ..Run::default() };
        for sample in self.samples().filter(|(t, ..)| keeps(*t)) {
            kept.push_sample(sample);
        }
        *self = kept;
    }
}
