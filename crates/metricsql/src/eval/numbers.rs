//! What is computed of several numbers.

/// A quantile of numbers in any order; gaps do not count.
pub(super) fn quantile(phi: f64, values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().filter(|value| !value.is_nan()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    if phi.is_nan() {
        return f64::NAN;
    }
    if phi < 0.0 {
        return f64::NEG_INFINITY;
    }
    if phi > 1.0 {
        return f64::INFINITY;
    }
    let rank = phi * last as f64;
    let lower = rank.floor() as usize;
    let weight = rank - rank.floor();
    let of = |at: usize| sorted.get(at.min(last)).copied().unwrap_or(f64::NAN);
    of(lower) * (1.0 - weight) + of(lower + 1) * weight
}

/// The variance; NaN of none.
pub(super) fn variance(values: impl IntoIterator<Item = f64>) -> f64 {
    let (mut mean, mut count, mut squares) = (0.0, 0.0, 0.0);
    for value in values.into_iter().filter(|value| !value.is_nan()) {
        count += 1.0;
        let before = mean;
        mean += (value - mean) / count;
        squares += (value - before) * (value - mean);
    }
    squares / count
}

/// The mean; NaN of none.
pub(super) fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for value in values.into_iter().filter(|value| !value.is_nan()) {
        sum += value;
        count += 1.0;
    }
    sum / count
}

/// One number made of all that are no gap; NaN of none.
pub(super) fn folded(values: impl IntoIterator<Item = f64>, f: impl Fn(f64, f64) -> f64) -> f64 {
    values.into_iter().filter(|value| !value.is_nan()).reduce(f).unwrap_or(f64::NAN)
}

/// The number that is there most often. `start` is what there was before, which counts where nothing else is there more often.
pub(super) fn mode(start: f64, values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().filter(|value| !value.is_nan()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let (mut mode, mut current, mut most, mut since) = (start, start, 0, -1);
    for (at, value) in (0i64..).zip(&sorted) {
        if *value == current {
            continue;
        }
        if at - since > most || mode.is_nan() {
            (most, mode) = (at - since, current);
        }
        (since, current) = (at, *value);
    }
    if !sorted.is_empty() && (sorted.len() as i64 - since > most || mode.is_nan()) {
        mode = current;
    }
    mode
}

/// The straight line through samples: its value at a time, and what it grows by in a second. Times in milliseconds.
pub(super) fn regression(values: &[f64], times: &[i64], at: i64) -> (f64, f64) {
    let Some(first) = values.first() else { return (f64::NAN, f64::NAN) };
    if values.iter().all(|value| value == first) {
        return (*first, 0.0);
    }
    let (mut v_sum, mut t_sum, mut tv_sum, mut tt_sum, mut n) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (v, t) in values.iter().zip(times).filter(|(v, _)| !v.is_nan()) {
        let dt = (t - at) as f64 / 1e3;
        v_sum += v;
        t_sum += dt;
        tv_sum += dt * v;
        tt_sum += dt * dt;
        n += 1.0;
    }
    if n == 0.0 {
        return (f64::NAN, f64::NAN);
    }
    let t_diff = tt_sum - t_sum * t_sum / n;
    let k = if t_diff.abs() >= 1e-6 { (tv_sum - t_sum * v_sum / n) / t_diff } else { 0.0 };
    (v_sum / n - k * t_sum / n, k)
}
