//! Functions of one value.

use chrono::{DateTime, Datelike, Timelike, Utc};

/// A function of one value.
pub(super) fn named(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "ceil" => f64::ceil,
        "floor" => f64::floor,
        "exp" => f64::exp,
        "ln" => f64::ln,
        "log2" => f64::log2,
        "log10" => f64::log10,
        "sqrt" => f64::sqrt,
        "sgn" => |v| {
            if v > 0.0 {
                1.0
            } else if v < 0.0 {
                -1.0
            } else {
                v
            }
        },
        "deg" => f64::to_degrees,
        "rad" => f64::to_radians,
        "sin" => f64::sin,
        "cos" => f64::cos,
        "tan" => f64::tan,
        "asin" => f64::asin,
        "acos" => f64::acos,
        "atan" => f64::atan,
        "sinh" => f64::sinh,
        "cosh" => f64::cosh,
        "tanh" => f64::tanh,
        "asinh" => f64::asinh,
        "acosh" => f64::acosh,
        "atanh" => f64::atanh,
        _ => return None,
    })
}

/// A part of a date, of seconds since the epoch.
pub(super) fn date_part(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "minute" => |v| date(v, |date| date.minute()),
        "hour" => |v| date(v, |date| date.hour()),
        "day_of_week" => |v| date(v, |date| date.weekday().num_days_from_sunday()),
        "day_of_month" => |v| date(v, |date| date.day()),
        "days_in_month" => |v| date(v, |date| u32::from(date.num_days_in_month())),
        "month" => |v| date(v, |date| date.month()),
        "year" => |v| date(v, |date| date.year().unsigned_abs()),
        _ => return None,
    })
}

fn date(v: f64, part: impl Fn(DateTime<Utc>) -> u32) -> f64 {
    if v.is_nan() {
        return f64::NAN;
    }
    DateTime::from_timestamp(v as i64, 0).map_or(f64::NAN, |date| f64::from(part(date)))
}

/// A value rounded to the nearest multiple.
pub(super) fn rounded(v: f64, nearest: f64) -> f64 {
    if v.is_nan() || nearest == 0.0 || nearest.is_nan() {
        return f64::NAN;
    }
    let moved = v + 0.5 * nearest.copysign(v);
    let multiple = moved - moved % nearest;
    // What the multiple has behind its point is all that the result may have.
    let digits = luma_promql::format_plain(nearest.abs());
    let decimals = digits.split_once('.').map_or(0, |(_, decimals)| decimals.len() as i32);
    let power = 10f64.powi(decimals);
    let scaled = multiple * power;
    if scaled.is_finite() { scaled.trunc() / power } else { multiple }
}
