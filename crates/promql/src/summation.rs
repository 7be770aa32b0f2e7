//! Compensated summation after Kahan and Neumaier.

/// Adds a value to a sum and to what rounding has lost so far.
pub(crate) fn add_compensated(value: f64, sum: f64, lost: f64) -> (f64, f64) {
    let total = sum + value;
    let lost = if total.is_infinite() {
        0.0
    } else if sum.abs() >= value.abs() {
        // The larger operand keeps its digits, so the difference shows what the other lost.
        lost + ((sum - total) + value)
    } else {
        lost + ((value - total) + sum)
    };
    (total, lost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_values_survive_large_ones() {
        let (mut sum, mut lost) = (0.0, 0.0);
        for value in [1.0, 1e100, 1.0, -1e100] {
            (sum, lost) = add_compensated(value, sum, lost);
        }
        assert_eq!(sum + lost, 2.0);
    }

    #[test]
    fn an_infinite_sum_has_lost_nothing() {
        assert_eq!(add_compensated(f64::MAX, f64::MAX, 5.0), (f64::INFINITY, 0.0));
    }
}
