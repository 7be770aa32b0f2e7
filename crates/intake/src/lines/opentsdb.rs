//! OpenTSDB: lines `put name 1700000000 1.5 tag=value`, and JSON as `/api/put` takes it.
//!
//! Times are seconds, or milliseconds if they are too great for that.

use serde_json::Value;

use super::{Lines, lines, number, shown};
use crate::request::WriteRequest;

/// Times up to this are seconds; greater ones are milliseconds.
const SECONDS_MAX: i64 = u32::MAX as i64;

/// Reads lines into a request; `now` is the time of arrival, in milliseconds.
pub fn read(text: &[u8], now: i64, request: &mut WriteRequest) -> Lines {
    let mut found = Lines::default();
    lines(text, &mut found, |line, found| {
        if let Err(what) = put(line, now, request) {
            found.refuse(format!("put: {what}: '{}'", shown(line)));
        }
    });
    found
}

fn put(line: &str, now: i64, request: &mut WriteRequest) -> Result<(), &'static str> {
    let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
    if words.next() != Some("put") {
        return Err("unknown command, only put is taken");
    }
    let name = words.next().ok_or("missing metric")?;
    let time = words.next().ok_or("missing timestamp")?;
    let value = words.next().ok_or("missing value")?;
    let time = number(time).filter(|time| time.is_finite()).ok_or("invalid timestamp")?;
    let value = number(value).ok_or("invalid value")?;
    let tags = words.map(|tag| tag.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or("invalid tag"));
    let tags: Vec<(&str, &str)> = tags.collect::<Result<_, _>>()?;
    point(name, time as i64, value, &tags, now, request);
    Ok(())
}

fn point(name: &str, time: i64, value: f64, tags: &[(&str, &str)], now: i64, request: &mut WriteRequest) {
    let t = match time {
        0 => now,
        1..=SECONDS_MAX => time * 1000,
        time => time,
    };
    let labels = tags.iter().copied().chain([("__name__", name)]);
    if let Some(series) = request.series(labels, 1) {
        request.float(series, t, 0, value);
    }
}

/// What was read of a request's points.
#[derive(Debug, Clone, Default)]
pub struct Points {
    /// How many there were.
    pub count: usize,
    /// Those that were no good, and what is wrong with them.
    pub wrong: Vec<(Value, String)>,
}

/// Reads the points of a text, one or a list of them, into a request.
///
/// # Errors
/// When it is no JSON.
pub fn read_json(text: &[u8], now: i64, request: &mut WriteRequest) -> Result<Points, serde_json::Error> {
    let points = match serde_json::from_slice(text)? {
        Value::Array(points) => points,
        one => vec![one],
    };
    let mut found = Points { count: points.len(), wrong: Vec::new() };
    for given in points {
        if let Err(what) = json_point(&given, now, request) {
            found.wrong.push((given, what.to_owned()));
        }
    }
    Ok(found)
}

/// A number, which may be in quotes.
fn json_number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(value) => value.as_f64(),
        Value::String(text) => number(text),
        _ => None,
    }
}

fn json_point(given: &Value, now: i64, request: &mut WriteRequest) -> Result<(), &'static str> {
    let name = given.get("metric").and_then(Value::as_str).filter(|name| !name.is_empty());
    let name = name.ok_or("Metric name was empty")?;
    let time = match given.get("timestamp") {
        None | Some(Value::Null) => 0.0,
        Some(time) => json_number(time).filter(|time| time.is_finite()).ok_or("Invalid timestamp")?,
    };
    let value = given.get("value").ok_or("Empty value")?;
    let value = json_number(value).ok_or("Unable to parse value to a number")?;
    let mut texts = Vec::new();
    match given.get("tags") {
        None | Some(Value::Null) => {}
        Some(Value::Object(tags)) => {
            for (name, value) in tags {
                texts.push((
                    name.as_str(),
                    match value {
                        Value::String(text) => text.clone(),
                        Value::Number(_) | Value::Bool(_) => value.to_string(),
                        _ => return Err("Invalid tag value"),
                    },
                ));
            }
        }
        Some(_) => return Err("Invalid tags"),
    }
    let tags: Vec<(&str, &str)> = texts.iter().map(|(name, value)| (*name, value.as_str())).collect();
    if tags.iter().any(|(name, _)| name.is_empty()) {
        return Err("Empty tag name");
    }
    point(name, time as i64, value, &tags, now, request);
    Ok(())
}
