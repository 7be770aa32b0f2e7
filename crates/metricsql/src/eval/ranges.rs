//! Values counted in ranges, as VictoriaMetrics' histograms do it: eighteen to a power of ten from 1e-9 to 1e18, each the value
//! of a label `vmrange`. What is negative or no number is not counted.

use std::collections::BTreeMap;

pub(super) const RANGE_LABEL: &str = "vmrange";

const PER_DECIMAL: f64 = 18.0;
const DECIMALS: (i32, i32) = (-9, 18);
const RANGES: usize = 27 * 18;

/// Which range a value is in; 0 is all below, the last all above.
fn range_of(value: f64) -> Option<usize> {
    if value.is_nan() || value < 0.0 {
        return None;
    }
    let at = (log10(value) - f64::from(DECIMALS.0)) * PER_DECIMAL;
    if at < 0.0 {
        return Some(0);
    }
    if at >= RANGES as f64 {
        return Some(RANGES + 1);
    }
    // A range has its upper end.
    let whole = at as usize;
    Some(whole + usize::from(at != whole as f64 || whole == 0))
}

/// The logarithm from the exponent and the rest: what powers of ten it gives exactly decides where they count.
fn log10(value: f64) -> f64 {
    if value == 0.0 || value.is_infinite() {
        return value.log10();
    }
    let exponent = value.log2().floor() as i32 + 1;
    let fraction = value / 2f64.powi(exponent);
    let log2 = if fraction == 0.5 {
        f64::from(exponent - 1)
    } else {
        fraction.ln() * std::f64::consts::LOG2_E + f64::from(exponent)
    };
    log2 * (std::f64::consts::LN_2 / std::f64::consts::LN_10)
}

/// The end of a range: three decimals, and an exponent of two digits.
fn end(at: usize) -> String {
    let value = 10f64.powi(DECIMALS.0) * 10f64.powf(at as f64 / PER_DECIMAL);
    let text = format!("{value:.3e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

fn label(range: usize) -> String {
    match range {
        0 => format!("0...{}", end(0)),
        at if at > RANGES => format!("{}...+Inf", end(RANGES)),
        at => format!("{}...{}", end(at - 1), end(at)),
    }
}

/// Counts of steps by range.
pub(super) struct Counts {
    by_range: BTreeMap<usize, Vec<f64>>,
    steps: usize,
    /// What is there where nothing was counted.
    nothing: f64,
}

impl Counts {
    pub fn new(steps: usize, nothing: f64) -> Self {
        Self { by_range: BTreeMap::new(), steps, nothing }
    }

    /// Counts a value at a step.
    pub fn add(&mut self, step: usize, value: f64) {
        let Some(range) = range_of(value) else { return };
        let counts = self.by_range.entry(range).or_insert_with(|| vec![self.nothing; self.steps]);
        if let Some(count) = counts.get_mut(step) {
            *count = if count.is_nan() { 1.0 } else { *count + 1.0 };
        }
    }

    /// The ranges that were met, each with its counts.
    pub fn finish(self) -> impl Iterator<Item = (String, Vec<f64>)> {
        self.by_range.into_iter().map(|(range, counts)| (label(range), counts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_in_the_range_that_has_them() {
        let of = |value: f64| range_of(value).map(label);
        assert_eq!(of(0.0).as_deref(), Some("0...1.000e-09"));
        assert_eq!(of(1.0).as_deref(), Some("8.799e-01...1.000e+00"));
        assert_eq!(of(1.1).as_deref(), Some("1.000e+00...1.136e+00"));
        assert_eq!(of(42.0).as_deref(), Some("4.084e+01...4.642e+01"));
        assert_eq!(of(f64::INFINITY).as_deref(), Some("1.000e+18...+Inf"));
        assert_eq!((of(-1.0), of(f64::NAN)), (None, None));
        for at in 1..=RANGES {
            let middle = 10f64.powf((at as f64 - 0.5) / PER_DECIMAL - 9.0);
            assert_eq!(range_of(middle), Some(at));
        }
    }
}
