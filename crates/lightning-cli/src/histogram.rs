//! Latencies by size class: what percentiles need, in little memory.
//!
//! Each power of two is cut in 32 classes, so a percentile is told within 3 percent. Adding costs an
//! increment.

const CLASS_BITS: u32 = 5;
const CLASSES: usize = ((64 - CLASS_BITS as usize) + 1) << CLASS_BITS;

/// How often which latency was seen, in nanoseconds.
#[derive(Clone)]
pub(crate) struct Histogram {
    classes: Vec<u64>,
    count: u64,
    max: u64,
}

fn class_of(value: u64) -> usize {
    let bits = 64 - value.leading_zeros();
    match bits.checked_sub(CLASS_BITS + 1) {
        None => value as usize,
        Some(shift) => ((shift as usize) << CLASS_BITS) + (value >> shift) as usize,
    }
}

/// The largest value of a class.
fn last_of(class: usize) -> u64 {
    match (class >> CLASS_BITS).checked_sub(1) {
        None | Some(0) => class as u64,
        Some(shift) => {
            let first = ((class - (shift << CLASS_BITS)) as u64) << shift;
            first + ((1 << shift) - 1)
        }
    }
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { classes: vec![0; CLASSES], count: 0, max: 0 }
    }

    pub(crate) fn add(&mut self, value: u64) {
        self.classes[class_of(value)] += 1;
        self.count += 1;
        self.max = self.max.max(value);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (mine, its) in self.classes.iter_mut().zip(&other.classes) {
            *mine += its;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn max(&self) -> u64 {
        self.max
    }

    /// What that part of all values, from 0 to 1, does not exceed.
    pub(crate) fn quantile(&self, part: f64) -> u64 {
        let rank = ((self.count as f64 * part).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        for (class, count) in self.classes.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return last_of(class).min(self.max);
            }
        }
        self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_within_a_class_of_the_sorted_values() {
        let mut values: Vec<u64> = (0..20_000u64).map(|at| (at * at * 7919) % 50_000_000).collect();
        values.extend([0, 1, 31, 32, 33, u64::MAX]);
        let (mut left, mut right) = (Histogram::new(), Histogram::new());
        for (at, value) in values.iter().enumerate() {
            if at % 2 == 0 { left.add(*value) } else { right.add(*value) }
        }
        left.merge(&right);
        values.sort_unstable();
        for part in [0.001, 0.1, 0.5, 0.95, 0.99, 0.999, 1.0] {
            let exact = values[((values.len() as f64 * part).ceil() as usize).max(1) - 1];
            let told = left.quantile(part);
            assert!(told >= exact && told as f64 <= exact as f64 * 1.04 + 1.0, "{part}: {told} for {exact}");
        }
        assert_eq!((left.count(), left.max()), (values.len() as u64, u64::MAX));
    }
}
