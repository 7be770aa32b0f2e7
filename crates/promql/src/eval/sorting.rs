//! Sorting: the order of an instant answer.

use std::cmp::Ordering;

use crate::ast::Call;
use crate::error::Result;
use crate::value::Series;

use super::calls::{argument, text_argument};
use super::{Context, Grid};

impl Context<'_> {
    pub(super) fn sort_by_value(&self, grid: Grid, call: &Call) -> Result<Vec<Series>> {
        let mut series = self.sortable(grid, call)?;
        for s in &mut series {
            s.histograms.clear();
        }
        series.retain(|s| !s.is_empty());
        if self.is_range {
            return Ok(series);
        }
        let descending = call.function.name == "sort_desc";
        let value = |s: &Series| s.floats.first().map_or(f64::NAN, |p| p.v);
        series.sort_by(|a, b| by_value(value(a), value(b), descending));
        Ok(series)
    }

    pub(super) fn sort_by_label(&self, grid: Grid, call: &Call) -> Result<Vec<Series>> {
        let mut series = self.sortable(grid, call)?;
        if self.is_range {
            return Ok(series);
        }
        let names = (1..call.args.len()).map(|at| text_argument(call, at)).collect::<Result<Vec<_>>>()?;
        let descending = call.function.name == "sort_by_label_desc";
        series.sort_by(|a, b| {
            let by_names = names
                .iter()
                .map(|name| natural(a.labels.get(name), b.labels.get(name)))
                .find(|ordering| ordering.is_ne());
            let ordering = by_names.unwrap_or_else(|| a.labels.cmp(&b.labels));
            if descending { ordering.reverse() } else { ordering }
        });
        Ok(series)
    }

    fn sortable(&self, grid: Grid, call: &Call) -> Result<Vec<Series>> {
        if self.is_range {
            self.note(|notes| notes.ineffective_sort(call.span));
        }
        self.series(grid, argument(call, 0)?)
    }
}

/// The order of values; NaN is last either way.
pub(super) fn by_value(a: f64, b: f64, descending: bool) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => {
            let ordering = a.partial_cmp(&b).unwrap_or(Ordering::Equal);
            if descending { ordering.reverse() } else { ordering }
        }
    }
}

/// The order in which numbers within texts count as numbers.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (chunks(a), chunks(b));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) => {
                let numeric = |s: &str| s.starts_with(|c: char| c.is_ascii_digit());
                let ordering = if numeric(x) && numeric(y) {
                    let (m, n) = (x.trim_start_matches('0'), y.trim_start_matches('0'));
                    m.len().cmp(&n.len()).then_with(|| m.cmp(n)).then_with(|| x.len().cmp(&y.len()))
                } else {
                    x.cmp(y)
                };
                if ordering.is_ne() {
                    return ordering;
                }
            }
        }
    }
}

/// Runs of digits and of anything else.
fn chunks(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let digits = first.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(rest.len());
        let (chunk, tail) = rest.split_at(end);
        rest = tail;
        Some(chunk)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_within_texts_count_as_numbers() {
        let mut texts = ["cpu10", "cpu2", "cpu1", "cpu", "4", "10", "a", "1.9", "1.10"];
        texts.sort_by(|a, b| natural(a, b));
        assert_eq!(texts, ["1.9", "1.10", "4", "10", "a", "cpu", "cpu1", "cpu2", "cpu10"]);
    }

    #[test]
    fn nan_is_last_in_either_direction() {
        for descending in [false, true] {
            let mut values = [1.0, f64::NAN, 2.0];
            values.sort_by(|a, b| by_value(*a, *b, descending));
            assert!(values[2].is_nan());
            assert_eq!(values[0], if descending { 2.0 } else { 1.0 });
        }
    }
}
