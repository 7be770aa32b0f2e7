//! Series descriptions: labels and a sequence of values.

use std::sync::Arc;

use luma_promql::{
    FloatHistogram, Labels, METRIC_NAME, ResetHint, STALE_MARKER, Sample, parse_duration, parse_number,
    unquote,
};

/// A value of a sequence; `None` is a gap.
#[derive(Debug, Clone)]
pub struct Item {
    pub sample: Option<Sample>,
    /// Whether the description says what the histogram's hint must be.
    pub hint_given: bool,
}

/// Splits a line into labels and the rest.
pub fn labels(line: &str) -> Result<(Labels, &str), String> {
    let line = line.trim_start();
    let end = line.find(|c: char| c == '{' || c.is_whitespace()).unwrap_or(line.len());
    let (name, mut rest) = line.split_at(end);
    let mut pairs: Vec<(String, String)> = Vec::new();
    if !name.is_empty() {
        pairs.push((METRIC_NAME.to_owned(), name.to_owned()));
    }
    // Two braces open a histogram, not labels.
    if rest.starts_with('{') && !(name.is_empty() && rest.starts_with("{{")) {
        rest = rest[1..].trim_start();
        while !rest.starts_with('}') {
            let key;
            if rest.starts_with(['"', '\'', '`']) {
                (key, rest) = string(rest)?;
            } else {
                let end = rest.find(|c: char| c == '=' || c.is_whitespace()).ok_or("no = in labels")?;
                key = rest[..end].to_owned();
                rest = &rest[end..];
            }
            rest = rest.trim_start();
            if let Some(tail) = rest.strip_prefix('=') {
                let value;
                (value, rest) = string(tail.trim_start())?;
                pairs.push((key, value));
            } else {
                pairs.push((METRIC_NAME.to_owned(), key));
            }
            rest = rest.trim_start().trim_start_matches(',').trim_start();
            if rest.is_empty() {
                return Err("labels do not end".to_owned());
            }
        }
        rest = &rest[1..];
    }
    Ok((Labels::new(pairs), rest))
}

fn string(text: &str) -> Result<(String, &str), String> {
    let quote = text.chars().next().ok_or("no string")?;
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' && quote != '`' {
            escaped = true;
        } else if c == quote {
            return Ok((unquote(&text[..=at])?, &text[at + 1..]));
        }
    }
    Err(format!("unterminated string {text}"))
}

/// The values of a sequence.
pub fn values(text: &str) -> Result<Vec<Item>, String> {
    let mut out = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        rest = item(rest, &mut out)?.trim_start();
    }
    Ok(out)
}

fn item<'t>(text: &'t str, out: &mut Vec<Item>) -> Result<&'t str, String> {
    if let Some(rest) = text.strip_prefix('_') {
        let (times, rest) = repetition(rest)?;
        let gaps = times.unwrap_or(1);
        out.extend((0..gaps).map(|_| Item { sample: None, hint_given: false }));
        return Ok(rest);
    }
    if text.starts_with("{{") {
        return histogram_item(text, out);
    }
    let (first, mut rest) = number(text)?;
    let mut increment = 0.0;
    if rest.starts_with(['+', '-']) {
        (increment, rest) = number(rest)?;
    }
    let (times, rest) = repetition(rest)?;
    let mut value = first;
    for _ in 0..=times.unwrap_or(0) {
        out.push(Item { sample: Some(Sample::Float(value)), hint_given: false });
        // A gap's marker must keep its bits.
        if increment != 0.0 {
            value += increment;
        }
    }
    Ok(rest)
}

fn histogram_item<'t>(text: &'t str, out: &mut Vec<Item>) -> Result<&'t str, String> {
    let (first, mut hint_given, mut rest) = histogram(text)?;
    let mut change = None;
    for (sign, adding) in [("+{{", true), ("-{{", false)] {
        if rest.starts_with(sign) {
            let (other, given, tail) = histogram(&rest[1..])?;
            hint_given = given;
            change = Some((other, adding));
            rest = tail;
        }
    }
    let (times, rest) = repetition(rest)?;
    let mut value = first;
    for at in 0..=times.unwrap_or(0) {
        if at > 0
            && let Some((other, adding)) = &change
        {
            let combined = if *adding { value.add(other) } else { value.subtract(other) };
            combined.map_err(|e| format!("{e:?}"))?;
        }
        out.push(Item { sample: Some(Sample::Histogram(Arc::new(value.clone()))), hint_given });
    }
    Ok(rest)
}

fn repetition(text: &str) -> Result<(Option<usize>, &str), String> {
    let Some(digits) = text.strip_prefix('x') else { return Ok((None, text)) };
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let times = digits[..end].parse().map_err(|e| format!("bad repetition in {text}: {e}"))?;
    Ok((Some(times), &digits[end..]))
}

/// A number at the start of a text.
fn number(text: &str) -> Result<(f64, &str), String> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let sign = text.len() - unsigned.len();
    for (word, value) in [("stale", STALE_MARKER), ("inf", f64::INFINITY), ("nan", f64::NAN)] {
        if unsigned.get(..word.len()).is_some_and(|w| w.eq_ignore_ascii_case(word)) {
            let value = if text.starts_with('-') { -value } else { value };
            return Ok((value, &unsigned[word.len()..]));
        }
    }
    let bytes = unsigned.as_bytes();
    let digits = |mut at: usize| {
        while bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        at
    };
    let mut end = digits(0);
    if bytes.get(end) == Some(&b'.') {
        end = digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let signed = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        end = digits(end + 1 + signed);
    }
    let (number, rest) = text.split_at(sign + end);
    // A leading zero is no octal number here.
    let value = number.parse().map_err(|_| format!("no number: {text}"))?;
    Ok((value, rest))
}

/// A histogram in double braces.
fn histogram(text: &str) -> Result<(FloatHistogram, bool, &str), String> {
    let (inner, rest) = text
        .strip_prefix("{{")
        .and_then(|t| t.split_once("}}"))
        .ok_or_else(|| format!("no histogram: {text}"))?;
    let mut h = FloatHistogram::default();
    let (mut hint_given, mut offset, mut negative_offset) = (false, 0, 0);
    let (mut buckets, mut negative) = (Vec::new(), Vec::new());
    let mut fields = inner.trim();
    while !fields.is_empty() {
        let (key, tail) = fields.split_once(':').ok_or_else(|| format!("no value in {fields}"))?;
        let list = tail.starts_with('[');
        let end = if list { tail.find(']').map(|at| at + 1) } else { tail.find(' ') };
        let (value, tail) = tail.split_at(end.unwrap_or(tail.len()));
        fields = tail.trim_start();
        let float = || parse_number(value).ok_or_else(|| format!("no number: {value}"));
        let whole = || value.parse::<i32>().map_err(|e| format!("{value}: {e}"));
        let floats = || {
            let inner = value.trim_start_matches('[').trim_end_matches(']');
            inner.split_whitespace().map(|n| number(n).map(|(n, _)| n)).collect::<Result<Vec<f64>, String>>()
        };
        match key.trim() {
            "schema" => h.schema = whole()?,
            "sum" => h.sum = float()?,
            "count" => h.count = float()?,
            "z_bucket" => h.zero_count = float()?,
            "z_bucket_w" => h.zero_threshold = float()?,
            "custom_values" => h.custom_bounds = floats()?.into(),
            "buckets" => buckets = floats()?,
            "n_buckets" => negative = floats()?,
            "offset" => offset = whole()?,
            "n_offset" => negative_offset = whole()?,
            "counter_reset_hint" => {
                hint_given = true;
                h.hint = match value {
                    "reset" => ResetHint::Reset,
                    "not_reset" => ResetHint::NotReset,
                    "gauge" => ResetHint::Gauge,
                    _ => ResetHint::Unknown,
                };
            }
            other => return Err(format!("unknown field {other} of a histogram")),
        }
    }
    h.positive = FloatHistogram::buckets_of_spans(&[(offset, buckets.len() as u32)], &buckets);
    h.negative = FloatHistogram::buckets_of_spans(&[(negative_offset, negative.len() as u32)], &negative);
    Ok((h, hint_given, rest))
}

/// The starts of an `@st` line: offsets in milliseconds from the samples' times.
pub fn starts(text: &str) -> Result<Vec<Option<i64>>, String> {
    let mut out: Vec<Option<i64>> = Vec::new();
    for item in text.split_whitespace() {
        let (body, times) = match item.rsplit_once('x') {
            Some((body, times)) => (body, Some(times.parse::<usize>().map_err(|e| format!("{item}: {e}"))?)),
            None => (item, None),
        };
        match body {
            "_" => out.extend(std::iter::repeat_n(None, times.unwrap_or(1))),
            "*" => {
                let last = out.iter().rev().flatten().next().copied().unwrap_or(0);
                out.extend(std::iter::repeat_n(Some(last), times.unwrap_or(0) + 1));
            }
            body => {
                let split = body[1..].find(['+', '-']).map_or(body.len(), |at| at + 1);
                let mut start = signed_duration(&body[..split])?;
                let delta = if split < body.len() { signed_duration(&body[split..])? } else { 0 };
                for _ in 0..=times.unwrap_or(0) {
                    out.push(Some(start));
                    start += delta;
                }
            }
        }
    }
    Ok(out)
}

fn signed_duration(text: &str) -> Result<i64, String> {
    match text.strip_prefix('-') {
        Some(positive) => parse_duration(positive).map(|ms| -ms),
        None => parse_duration(text.trim_start_matches('+')),
    }
}
