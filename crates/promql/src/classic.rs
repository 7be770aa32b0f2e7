//! Quantiles and fractions of classic histograms: cumulative counts in series with an `le` label.

/// A bucket: how many observations are at most its bound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ClassicBucket {
    pub upper: f64,
    pub count: f64,
}

/// Counts that fell from one bucket to the next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Correction {
    pub from: f64,
    pub to: f64,
    pub max_difference: f64,
}

/// Relative differences up to this are rounding errors.
const TOLERANCE: f64 = 1e-12;

/// A quantile, and what had to be corrected for it. The buckets are sorted and corrected in place.
pub(crate) fn quantile(q: f64, buckets: &mut Vec<ClassicBucket>) -> (f64, Option<Correction>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if !sort_and_coalesce(buckets) {
        return (f64::NAN, None);
    }
    let correction = ensure_monotonic(buckets);
    let [.., before_last, last] = buckets.as_slice() else { return (f64::NAN, correction) };
    if last.count == 0.0 {
        return (f64::NAN, correction);
    }
    let rank = q * last.count;
    let finite = &buckets[..buckets.len() - 1];
    let at = finite.partition_point(|b| b.count < rank || b.count.is_nan());
    let Some(bucket) = finite.get(at) else { return (before_last.upper, correction) };
    if at == 0 && bucket.upper <= 0.0 {
        return (bucket.upper, correction);
    }
    let before = if at == 0 { ClassicBucket { upper: 0.0, count: 0.0 } } else { finite[at - 1] };
    let share = (rank - before.count) / (bucket.count - before.count);
    (before.upper + (bucket.upper - before.upper) * share, correction)
}

/// The share of observations between two values.
pub(crate) fn fraction(lower: f64, upper: f64, buckets: &mut Vec<ClassicBucket>) -> f64 {
    if !sort_and_coalesce(buckets) {
        return f64::NAN;
    }
    let Some(count) = buckets.last().map(|b| b.count) else { return f64::NAN };
    if count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let mut rank = 0.0;
    let (mut lower_rank, mut upper_rank) = (None, None);
    let mut from = if buckets[0].upper <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
    for bucket in buckets.iter() {
        let interpolated = |value: f64| {
            if from == f64::NEG_INFINITY {
                bucket.count
            } else {
                rank + (bucket.count - rank) * (value - from) / (bucket.upper - from)
            }
        };
        for (value, set) in [(lower, &mut lower_rank), (upper, &mut upper_rank)] {
            if set.is_some() {
                continue;
            }
            if from >= value {
                *set = Some(rank);
            } else if bucket.upper > value {
                *set = Some(interpolated(value));
            }
        }
        if lower_rank.is_some() && upper_rank.is_some() {
            break;
        }
        rank = bucket.count;
        from = bucket.upper;
    }
    let capped = |rank: Option<f64>| rank.filter(|r| *r <= count).unwrap_or(count);
    (capped(upper_rank) - capped(lower_rank)) / count
}

/// Sorts by bound and adds up buckets of one bound; whether the last one takes everything.
fn sort_and_coalesce(buckets: &mut Vec<ClassicBucket>) -> bool {
    buckets.sort_by(|a, b| a.upper.total_cmp(&b.upper));
    buckets.dedup_by(|next, own| {
        let same = next.upper == own.upper;
        if same {
            own.count += next.count;
        }
        same
    });
    buckets.last().is_some_and(|b| b.upper == f64::INFINITY)
}

/// Lifts counts that fall below the one before; tiny differences go without a word.
fn ensure_monotonic(buckets: &mut [ClassicBucket]) -> Option<Correction> {
    let mut correction: Option<Correction> = None;
    let mut previous = buckets.first()?.count;
    for bucket in &mut buckets[1..] {
        let current = bucket.count;
        if current == previous {
            continue;
        }
        let nearly = (current - previous).abs() <= TOLERANCE * (current.abs() + previous.abs());
        if nearly {
            bucket.count = previous;
        } else if current < previous {
            bucket.count = previous;
            let difference = previous - current;
            let so_far = correction.get_or_insert(Correction {
                from: bucket.upper,
                to: bucket.upper,
                max_difference: difference,
            });
            so_far.from = so_far.from.min(bucket.upper);
            so_far.to = so_far.to.max(bucket.upper);
            so_far.max_difference = so_far.max_difference.max(difference);
        } else {
            previous = current;
        }
    }
    correction
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(pairs: &[(f64, f64)]) -> Vec<ClassicBucket> {
        pairs.iter().map(|(upper, count)| ClassicBucket { upper: *upper, count: *count }).collect()
    }

    #[test]
    fn falling_counts_are_lifted_and_reported() {
        let mut falling = buckets(&[
            (0.1, 2.0),
            (1.0, 1.0),
            (10.0, 5.0),
            (100.0, 4.0),
            (1000.0, 9.0),
            (f64::INFINITY, 8.0),
        ]);
        let (value, correction) = quantile(0.5, &mut falling);
        assert!((value - 8.5).abs() < 1e-9);
        let correction = correction.map(|c| (c.from, c.to, c.max_difference));
        assert_eq!(correction, Some((1.0, f64::INFINITY, 1.0)));
    }

    #[test]
    fn without_an_infinite_bucket_nothing_is_known() {
        assert!(quantile(0.5, &mut buckets(&[(1.0, 2.0), (2.0, 3.0)])).0.is_nan());
        assert!(fraction(0.0, 1.0, &mut buckets(&[(1.0, 2.0)])).is_nan());
    }
}
