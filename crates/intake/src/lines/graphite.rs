//! Graphite's plaintext: `name;tag=value 1.5 1700000000`. A time of -1 or none is that of arrival.

use super::{Lines, lines, number, shown};
use crate::request::WriteRequest;

/// Reads a text into a request; `now` is the time of arrival, in milliseconds.
pub fn read(text: &[u8], now: i64, request: &mut WriteRequest) -> Lines {
    let mut found = Lines::default();
    // Whole seconds, as lines have them.
    let now = now - now.rem_euclid(1000);
    lines(text, &mut found, |line, found| {
        if let Err(what) = point(line, now, request) {
            found.refuse(format!("unable to parse '{}': {what}", shown(line)));
        }
    });
    found
}

fn point(line: &str, now: i64, request: &mut WriteRequest) -> Result<(), &'static str> {
    let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
    let path = words.next().ok_or("missing name")?;
    let value = words.next().ok_or("missing value")?;
    let time = words.next();
    if words.next().is_some() {
        return Err("too many words");
    }
    let value = number(value).ok_or("invalid number")?;
    let time = time.map(|time| number(time).filter(|time| time.is_finite()).ok_or("bad timestamp"));
    let t = match time.transpose()?.map(|seconds| seconds as i64) {
        None | Some(0 | -1) => now,
        Some(seconds) => seconds.saturating_mul(1000),
    };
    let mut parts = path.split(';');
    let name = parts.next().filter(|name| !name.is_empty()).ok_or("missing name")?;
    let tags = parts.filter(|tag| !tag.is_empty()).map(|tag| tag.split_once('=').ok_or("missing tag value"));
    let mut labels: Vec<(&str, &str)> = tags.collect::<Result<_, _>>()?;
    if labels.iter().any(|(name, _)| name.is_empty()) {
        return Err("missing tag key");
    }
    labels.push(("__name__", name));
    if let Some(series) = request.series(labels.iter().copied(), 1) {
        request.float(series, t, 0, value);
    }
    Ok(())
}
