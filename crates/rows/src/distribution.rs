//! How the values of a column are spread, as ANALYZE found it: what shares of a table's rows conditions keep.
//!
//! Values are compared as parts of keys, so that one way serves all types that have an order.

use luma_catalog::ColumnStatistics;
use luma_model::{KeyOrder, TextContext, ValueRef, parse_text};

use crate::table::OpenTable;

/// The values of a column, by the keys that [`OpenTable::encode_part`] makes of them, ascending and without others.
#[derive(Clone, Debug)]
pub struct Distribution {
    /// Share of rows with NULL.
    nulls: f64,
    /// Frequent values with their shares of the rows, in the order of keys.
    common: Vec<(Vec<u8>, f64)>,
    /// Share of rows with other values.
    others: f64,
    /// How many other values there are.
    other_values: f64,
    /// Between which there are equally many rows of the other values, ascending.
    bounds: Vec<Vec<u8>>,
    /// The share of one row.
    least: f64,
}

impl Distribution {
    /// Of what ANALYZE found about the column at that ordinal.
    pub(crate) fn new(table: &OpenTable, ordinal: usize, found: &ColumnStatistics, rows: u64) -> Self {
        let key = |text: &str| {
            let value = parse_text(table.data_type(ordinal), text, &TextContext::default()).ok()?;
            let mut key = Vec::new();
            table.encode_part(ordinal, value.as_ref(), KeyOrder::default(), &mut key).ok()?;
            Some(key)
        };
        let mut common: Vec<(Vec<u8>, f64)> =
            found.common.iter().filter_map(|known| Some((key(&known.text)?, known.share))).collect();
        common.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        let shares: f64 = common.iter().map(|(_, share)| share).sum();
        let mut bounds: Vec<Vec<u8>> = found.bounds.iter().filter_map(|text| key(text)).collect();
        // A type may have changed since.
        bounds.sort_unstable();
        Self {
            nulls: found.null_fraction,
            others: (1.0 - found.null_fraction - shares).max(0.0),
            other_values: (found.distinct as f64 - common.len() as f64).max(1.0),
            common,
            bounds,
            least: 1.0 / rows.max(1) as f64,
        }
    }

    /// The share of rows with NULL.
    pub fn nulls(&self) -> f64 {
        self.nulls
    }

    /// The share of rows with the value of which this is the key.
    pub fn equal(&self, key: &[u8]) -> f64 {
        match self.common.binary_search_by(|(known, _)| known.as_slice().cmp(key)) {
            Ok(place) => self.common[place].1,
            Err(_) => (self.others / self.other_values).max(self.least).min(1.0),
        }
    }

    /// The share of rows with any of the values of which these are the keys.
    pub fn any<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> f64 {
        keys.map(|key| self.equal(key)).sum::<f64>().min(1.0)
    }

    /// The share of rows with a value below that of which this is the key; `None` where that is not known.
    pub fn below(&self, key: &[u8]) -> Option<f64> {
        let common: f64 =
            self.common.iter().take_while(|(known, _)| known.as_slice() < key).map(|(_, share)| share).sum();
        let others = match (self.bounds.first(), self.bounds.last()) {
            (Some(first), _) if key <= first.as_slice() => 0.0,
            (_, Some(last)) if key > last.as_slice() => 1.0,
            (Some(_), Some(_)) => self.part_below(key),
            // All values are known, or of what is left nothing.
            _ if self.others <= self.least || !self.common.is_empty() && self.others < 0.01 => 0.0,
            _ => return None,
        };
        Some(common + self.others * others)
    }

    /// The share of the other rows below a key that is between the first bound and the last.
    fn part_below(&self, key: &[u8]) -> f64 {
        let above = self.bounds.partition_point(|bound| bound.as_slice() < key);
        let parts = self.bounds.len().saturating_sub(1).max(1) as f64;
        let (Some(low), Some(high)) = (self.bounds.get(above.wrapping_sub(1)), self.bounds.get(above)) else {
            return 0.0;
        };
        (above as f64 - 1.0 + between(low, high, key)) / parts
    }
}

/// Where a key is between two others, 0 to 1, by the eight bytes after those that all have: keys of numbers and moments are
/// nearly linear in these, and those of text as far as that can be said of text.
fn between(low: &[u8], high: &[u8], key: &[u8]) -> f64 {
    let same = low.iter().zip(high).take_while(|(low, high)| low == high).count();
    let number = |key: &[u8]| {
        let mut bytes = [0; 8];
        let rest = key.get(same..).unwrap_or_default();
        let length = rest.len().min(8);
        bytes[..length].copy_from_slice(&rest[..length]);
        u64::from_be_bytes(bytes) as f64
    };
    let (low, high, key) = (number(low), number(high), number(key));
    if high > low { ((key - low) / (high - low)).clamp(0.0, 1.0) } else { 0.5 }
}

impl OpenTable {
    /// How the values of the column at that ordinal are spread, if ANALYZE looked at them.
    pub fn distribution(&self, ordinal: usize) -> Option<&Distribution> {
        self.distributions().get(ordinal)?.as_ref()
    }

    /// The share of rows in which the column at that ordinal has that value, if ANALYZE looked at them.
    pub fn share_of_value(&self, ordinal: usize, value: ValueRef<'_>) -> Option<f64> {
        let known = self.distribution(ordinal)?;
        let mut key = Vec::new();
        self.encode_part(ordinal, value, KeyOrder::default(), &mut key).ok()?;
        Some(known.equal(&key))
    }
}

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests {
    use super::*;

    fn key(number: i32) -> Vec<u8> {
        let mut key = vec![1];
        key.extend(((number as u32) ^ 0x8000_0000).to_be_bytes());
        key
    }

    /// A tenth is NULL, three tenths are 50, and the others are spread from 0 to 1000, with half of them below 100.
    fn known() -> Distribution {
        Distribution {
            nulls: 0.1,
            common: vec![(key(50), 0.3)],
            others: 0.6,
            other_values: 300.0,
            bounds: [0, 50, 100, 500, 1000].map(key).to_vec(),
            least: 0.0001,
        }
    }

    #[test]
    fn shares_of_values_and_of_ranges() {
        let known = known();
        let close = |found: f64, expected: f64| {
            assert!((found - expected).abs() < 1e-6, "{found} instead of {expected}");
        };
        close(known.equal(&key(50)), 0.3);
        close(known.equal(&key(51)), 0.002);
        close(known.any([key(50), key(51), key(60)].iter().map(Vec::as_slice)), 0.304);
        let below = |number| known.below(&key(number)).expect("a share");
        close(below(-5), 0.0);
        close(below(0), 0.0);
        close(below(25), 0.6 / 8.0);
        close(below(50), 0.6 / 4.0);
        close(below(51), 0.3 + 0.6 * (0.25 + 0.25 / 50.0));
        close(below(300), 0.3 + 0.6 * 0.625);
        close(below(1001), 0.9);
    }

    #[test]
    fn without_bounds_ranges_are_not_known() {
        let unknown = Distribution { common: Vec::new(), bounds: Vec::new(), ..known() };
        assert_eq!(unknown.below(&key(3)), None);
        // All values are known.
        let whole = Distribution { common: vec![(key(1), 0.5), (key(2), 0.5)], others: 0.0, ..unknown };
        assert_eq!(whole.below(&key(2)), Some(0.5));
    }
}
