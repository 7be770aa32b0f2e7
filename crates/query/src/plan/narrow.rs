//! The ranges of a key that have the rows which filters let pass, and how many rows these are about.

use std::ops::Bound;

use lightning::Keyspace;
use luma_model::{DataType, KeyOrder, Value, ValueRef, encode_key, prefix_successor};
use luma_rows::KeyRange;

use crate::plan::subject::{Constraint, LIST_MAX, Subjects};

/// Assumed share of rows that an equality keeps without statistics.
const EQUAL_FRACTION: f64 = 0.005;
/// Assumed share of rows that an inequality keeps.
const RANGE_FRACTION: f64 = 0.33;
/// So few entries of a range are not told from one block's.
const COUNTED_MIN: f64 = 1000.0;
/// The same of entries with one value, which are often fewer than a block has.
const COUNTED_EQUAL_MIN: f64 = 10_000.0;
/// The most values whose entries are counted.
const COUNTED_PREFIXES_MAX: f64 = 8.0;
/// The share of rows in a range of which the engine finds nothing.
const SMALL_RANGE: f64 = 0.005;

/// The share of rows that have one of these values.
fn equal_fraction(subjects: &Subjects<'_>, subject: usize, values: &[Value]) -> f64 {
    let known = subjects.distribution(subject);
    let each = |value: &Value| match known.zip(subjects.key(subject, value)) {
        Some((known, key)) => known.equal(&key),
        None => EQUAL_FRACTION,
    };
    values.iter().map(each).sum::<f64>().min(1.0)
}

/// The share of rows with a value in a range, if ANALYZE looked at them.
fn range_fraction(subjects: &Subjects<'_>, subject: usize, constraint: &Constraint) -> Option<f64> {
    let known = subjects.distribution(subject)?;
    let below = |(value, equal): &(Value, bool)| {
        let key = subjects.key(subject, value)?;
        Some(known.below(&key)? + if *equal { known.equal(&key) } else { 0.0 })
    };
    let low = match &constraint.lower {
        // What is equal to a bound that is in the range is not below it.
        Some((value, included)) => below(&(value.clone(), !included))?,
        None => 0.0,
    };
    let high = match &constraint.upper {
        Some(upper) => below(upper)?,
        None => 1.0 - known.nulls(),
    };
    Some((high - low).clamp(0.0, 1.0))
}

/// A part of the keys.
pub(super) struct Narrowed {
    pub ranges: Vec<KeyRange>,
    /// Leading parts with one value each.
    pub fixed: usize,
    pub rows: f64,
    pub description: String,
}

/// The ranges of a key whose entries are in a keyspace and whose parts are these columns; `None` when the first is
/// unconstrained.
pub(super) fn narrow(
    subjects: &Subjects<'_>,
    (keys, parts): (&Keyspace, &[(usize, KeyOrder)]),
    constraints: &[Constraint],
    unique: bool,
    rows: f64,
) -> Option<Narrowed> {
    let mut prefixes: Vec<Vec<u8>> = vec![Vec::new()];
    let mut used = Vec::new();
    let mut fraction = 1.0f64;
    let mut exact = 0;
    let mut ranges: Option<Vec<KeyRange>> = None;
    let mut fixed = 0;
    let mut unknown = false;
    for (subject, order) in parts {
        let constraint = &constraints[*subject];
        let data_type = subjects.data_type(*subject);
        let name = subjects.name(*subject);
        if let Some(values) = &constraint.equal
            && values.len().saturating_mul(prefixes.len()) <= LIST_MAX
        {
            let mut longer = Vec::with_capacity(values.len() * prefixes.len());
            for prefix in &prefixes {
                for value in values {
                    let mut key = prefix.clone();
                    encode_key(value.as_ref(), data_type, *order, &mut key).ok()?;
                    longer.push(key);
                }
            }
            longer.sort_unstable();
            longer.dedup();
            prefixes = longer;
            exact += 1;
            fraction *= equal_fraction(subjects, *subject, values);
            unknown |= subjects.distribution(*subject).is_none();
            if values.len() == 1 && fixed + 1 == exact {
                fixed += 1;
            }
            used.push(if values.len() == 1 {
                format!("{name} = constant")
            } else {
                format!("{name} in {} values", values.len())
            });
            continue;
        }
        if constraint.lower.is_none() && constraint.upper.is_none() {
            break;
        }
        ranges = Some(
            prefixes
                .iter()
                .map(|prefix| bounded(prefix, data_type, *order, constraint))
                .collect::<Option<Vec<_>>>()?,
        );
        fraction *= range_fraction(subjects, *subject, constraint).unwrap_or_else(|| {
            let sides = usize::from(constraint.lower.is_some()) + usize::from(constraint.upper.is_some());
            RANGE_FRACTION.powi(sides as i32)
        });
        used.push(format!("{name} range"));
        break;
    }
    if used.is_empty() {
        return None;
    }
    let count = prefixes.len() as f64;
    let is_range = ranges.is_some();
    let ranges = ranges.unwrap_or_else(|| prefixes.into_iter().map(KeyRange::prefix).collect());
    let mut expected = (rows * fraction).max(count);
    // The engine counts what a range has now, in whole blocks: of a small one it knows no more than that it is small.
    let counted = || {
        let entries = |range: &KeyRange| keys.approximate_range(range.start(), range.end()).entries as f64;
        ranges.iter().map(entries).sum::<f64>()
    };
    if unique && exact == parts.len() {
        expected = count;
    } else if is_range && count == 1.0 {
        let counted = counted();
        expected =
            if counted > COUNTED_MIN { counted } else { expected.min(counted.max(rows * SMALL_RANGE)) };
    } else if unknown && count <= COUNTED_PREFIXES_MAX {
        expected = Some(counted()).filter(|counted| *counted > COUNTED_EQUAL_MIN).unwrap_or(expected);
    }
    Some(Narrowed { ranges, fixed, rows: expected.min(rows), description: used.join(", ") })
}

/// The keys after `prefix` whose next part lies within the constraint. NULL lies in no range.
pub(crate) fn bounded(
    prefix: &[u8],
    data_type: &DataType,
    order: KeyOrder,
    constraint: &Constraint,
) -> Option<KeyRange> {
    let encoded = |value: &Value| {
        let mut key = prefix.to_vec();
        encode_key(value.as_ref(), data_type, order, &mut key).ok()?;
        Some(key)
    };
    let (low, high) = if order.descending {
        (&constraint.upper, &constraint.lower)
    } else {
        (&constraint.lower, &constraint.upper)
    };
    let mut null = prefix.to_vec();
    encode_key(ValueRef::Null, data_type, order, &mut null).ok()?;
    let start = match low {
        Some((value, true)) => Bound::Included(encoded(value)?),
        Some((value, false)) => prefix_successor(&encoded(value)?).map_or(Bound::Unbounded, Bound::Included),
        None if order.nulls_first => prefix_successor(&null).map_or(Bound::Unbounded, Bound::Included),
        None => Bound::Included(prefix.to_vec()),
    };
    let end = match high {
        Some((value, true)) => prefix_successor(&encoded(value)?).map_or(Bound::Unbounded, Bound::Excluded),
        Some((value, false)) => Bound::Excluded(encoded(value)?),
        None if order.nulls_first => prefix_successor(prefix).map_or(Bound::Unbounded, Bound::Excluded),
        None => Bound::Excluded(null),
    };
    Some(KeyRange { start, end })
}
