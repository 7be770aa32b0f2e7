//! Intervals in ISO 8601: with designators (`P1Y2M3DT4H5M6S`) and in the alternative format
//! (`P0001-02-03T04:05:06`).

use super::super::datetime::Fault;
use super::parts::{Parts, Unit};
use crate::interval::Interval;

pub(super) fn parse(text: &str) -> Result<Interval, Fault> {
    let body = text.strip_prefix('P').filter(|body| !body.is_empty()).ok_or(Fault::Format)?;
    let (date, time) = match body.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (body, None),
    };
    let mut parts = Parts::default();
    let date_units = [('Y', Unit::Year), ('M', Unit::Month), ('W', Unit::Week), ('D', Unit::Day)];
    section(date, &date_units, '-', 8, &[Unit::Year, Unit::Month, Unit::Day], &mut parts)?;
    if let Some(time) = time {
        let time_units = [('H', Unit::Hour), ('M', Unit::Minute), ('S', Unit::Second)];
        section(time, &time_units, ':', 6, &[Unit::Hour, Unit::Minute, Unit::Second], &mut parts)?;
    }
    parts.finish()
}

/// One side of the `T`.
fn section(
    text: &str,
    designators: &[(char, Unit)],
    separator: char,
    run_together: usize,
    units: &[Unit; 3],
    parts: &mut Parts,
) -> Result<(), Fault> {
    let mut rest = text;
    let mut designated = false;
    while !rest.is_empty() {
        let (value, fraction, width, after) = number(rest)?;
        let mut characters = after.chars();
        let Some(designator) = characters.next() else {
            return match designated {
                true => Err(Fault::Format),
                // Digits run together: YYYYMMDD or HHMMSS.
                false if width == run_together => {
                    parts.add(units[0], value / 10_000, 0.0)?;
                    parts.add(units[1], value / 100 % 100, 0.0)?;
                    parts.add(units[2], value % 100, fraction)?;
                    Ok(())
                }
                false => parts.add(units[0], value, fraction).map(|_| ()),
            };
        };
        if designator == separator && !designated {
            return separated(rest, separator, units, parts);
        }
        let unit = designators.iter().find(|(known, _)| *known == designator).ok_or(Fault::Format)?.1;
        parts.add(unit, value, fraction)?;
        designated = true;
        rest = characters.as_str();
    }
    Ok(())
}

fn separated(text: &str, separator: char, units: &[Unit; 3], parts: &mut Parts) -> Result<(), Fault> {
    let mut rest = text;
    for unit in units {
        let (value, fraction, _, after) = number(rest)?;
        parts.add(*unit, value, fraction)?;
        if after.is_empty() {
            return Ok(());
        }
        rest = after.strip_prefix(separator).ok_or(Fault::Format)?;
    }
    Err(Fault::Format)
}

/// A number with sign and fraction; its value, fraction and how many digits it has before the point.
fn number(text: &str) -> Result<(i64, f64, usize, &str), Fault> {
    let negative = text.starts_with('-');
    let body = text.strip_prefix(['-', '+']).unwrap_or(text);
    let width = body.find(|c: char| !c.is_ascii_digit()).unwrap_or(body.len());
    let mut rest = &body[width..];
    let mut fraction = 0.0;
    let mut fraction_width = 0;
    if let Some(after) = rest.strip_prefix('.') {
        fraction_width = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        // The fraction of the whole number as a double, not the double of the fraction alone.
        let end = width + 1 + fraction_width;
        fraction = format!("0{}0", &body[..end]).parse::<f64>().map_err(|_| Fault::Format)?.fract();
        rest = &after[fraction_width..];
    }
    if width + fraction_width == 0 {
        return Err(Fault::Format);
    }
    let value: i64 = if width == 0 { 0 } else { body[..width].parse().map_err(|_| Fault::Range)? };
    Ok(if negative { (-value, -fraction, width, rest) } else { (value, fraction, width, rest) })
}
