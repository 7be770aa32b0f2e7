//! InfluxDB's line protocol: `measurement,tag=value field=1.5,other=2i 1700000000000000000`.
//!
//! Each field becomes a series named after the measurement and the field, `measurement_field`, with the tags as labels. Truth values
//! are 1 and 0, a text in quotes the number in it or 0.

use std::borrow::Cow;

use super::{Lines, lines, number, shown};
use crate::request::WriteRequest;

/// What times are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// Nanoseconds.
    #[default]
    Nanoseconds,
    /// Microseconds.
    Microseconds,
    /// Milliseconds.
    Milliseconds,
    /// Seconds.
    Seconds,
    /// Minutes.
    Minutes,
    /// Hours.
    Hours,
}

impl Precision {
    /// The precision of that name, as any version of InfluxDB calls it; nanoseconds for an empty one.
    pub fn of(name: &str) -> Option<Self> {
        Some(match name {
            "" | "n" | "ns" => Self::Nanoseconds,
            "u" | "us" | "µ" | "µs" => Self::Microseconds,
            "ms" => Self::Milliseconds,
            "s" => Self::Seconds,
            "m" => Self::Minutes,
            "h" => Self::Hours,
            _ => return None,
        })
    }

    fn milliseconds(self, time: i64) -> Option<i64> {
        match self {
            Self::Nanoseconds => Some(time / 1_000_000),
            Self::Microseconds => Some(time / 1000),
            Self::Milliseconds => Some(time),
            Self::Seconds => time.checked_mul(1000),
            Self::Minutes => time.checked_mul(60_000),
            Self::Hours => time.checked_mul(3_600_000),
        }
    }
}

/// How a text is to be read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reading<'a> {
    /// What times are counted in.
    pub precision: Precision,
    /// The time of lines that say none, in milliseconds.
    pub now: i64,
    /// The label `db` of series that have none; empty for none.
    pub database: &'a str,
}

/// Reads a text into a request.
pub fn read(text: &[u8], reading: Reading<'_>, request: &mut WriteRequest) -> Lines {
    let mut found = Lines::default();
    let (mut tags, mut fields) = (Vec::new(), Vec::new());
    lines(text, &mut found, |line, found| {
        let line = line.trim_start_matches([' ', '\t']);
        if line.starts_with('#') {
            return;
        }
        tags.clear();
        fields.clear();
        match point(line, reading, &mut tags, &mut fields) {
            Ok((measurement, t)) => {
                if !reading.database.is_empty() && !tags.iter().any(|(name, _)| name == "db") {
                    tags.push((Cow::Borrowed("db"), Cow::Borrowed(reading.database)));
                }
                for (field, value) in &fields {
                    let name = format!("{measurement}_{field}");
                    let labels = tags.iter().map(|(name, value)| (&**name, &**value));
                    let labels = labels.chain([("__name__", name.as_str())]);
                    if let Some(series) = request.series(labels, 1) {
                        request.float(series, t, 0, *value);
                    }
                }
            }
            Err(what) => found.refuse(format!("unable to parse '{}': {what}", shown(line))),
        }
    });
    found
}

type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// A line's measurement and time; its tags and fields go into the lists.
fn point<'a>(
    line: &'a str,
    reading: Reading<'_>,
    tags: &mut Vec<Pair<'a>>,
    fields: &mut Vec<(Cow<'a, str>, f64)>,
) -> Result<(Cow<'a, str>, i64), &'static str> {
    let (measurement, mut rest) = part(line, &[',', ' ']);
    if measurement.is_empty() {
        return Err("missing measurement");
    }
    while let Some(tag) = rest.strip_prefix(',') {
        let (name, after) = part(tag, &['=', ',', ' ']);
        let value = after.strip_prefix('=').ok_or("missing tag value")?;
        if name.is_empty() {
            return Err("missing tag key");
        }
        let (value, after) = part(value, &[',', ' ']);
        if !value.is_empty() {
            tags.push((unescaped(name), unescaped(value)));
        }
        rest = after;
    }
    rest = rest.trim_start_matches(' ');
    if rest.is_empty() {
        return Err("missing fields");
    }
    loop {
        let (name, after) = part(rest, &['=', ',', ' ']);
        let value = after.strip_prefix('=').ok_or("missing field value")?;
        if name.is_empty() {
            return Err("missing field key");
        }
        let (value, after) = field(value)?;
        fields.push((unescaped(name), value));
        rest = after;
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => break,
        }
    }
    let time = rest.trim();
    if time.is_empty() {
        return Ok((unescaped(measurement), reading.now));
    }
    let t = time.parse().ok().and_then(|time| reading.precision.milliseconds(time)).ok_or("bad timestamp")?;
    Ok((unescaped(measurement), t))
}

/// What comes before the first of some characters that is not escaped, and the rest from it on.
fn part<'a>(text: &'a str, ends: &[char]) -> (&'a str, &'a str) {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if ends.contains(&c) {
            return text.split_at(at);
        }
    }
    (text, "")
}

/// A field's value, and what comes after it.
fn field(text: &str) -> Result<(f64, &str), &'static str> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (inner, after) = part(quoted, &['"']);
        let after = after.strip_prefix('"').ok_or("unbalanced quotes")?;
        if !(after.is_empty() || after.starts_with([',', ' '])) {
            return Err("invalid field format");
        }
        // Some clients write numbers in quotes; other texts are no measurement.
        return Ok((number(inner).unwrap_or(0.0), after));
    }
    let (value, after) = part(text, &[',', ' ']);
    let read = match value {
        "t" | "T" | "true" | "True" | "TRUE" => Some(1.0),
        "f" | "F" | "false" | "False" | "FALSE" => Some(0.0),
        value => match (value.strip_suffix('i'), value.strip_suffix('u')) {
            (Some(whole), _) => whole.parse::<i64>().ok().map(|whole| whole as f64),
            (_, Some(whole)) => whole.parse::<u64>().ok().map(|whole| whole as f64),
            _ => number(value).filter(|value| value.is_finite()),
        },
    };
    read.map(|value| (value, after)).ok_or(if value.is_empty() {
        "missing field value"
    } else {
        "invalid number"
    })
}

/// A name or value with escapes as what they stand for.
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match chars.peek() {
            Some(next @ (' ' | ',' | '=' | '\\')) if c == '\\' => {
                out.push(*next);
                chars.next();
            }
            _ => out.push(c),
        }
    }
    Cow::Owned(out)
}
