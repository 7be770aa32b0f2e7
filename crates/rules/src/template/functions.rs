//! Functions of templates: Go's own, and Prometheus'.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use chrono::DateTime;
use luma_promql::parse_duration;
use regex::Regex;

use super::Scope;
use super::format::{general, printf};
use super::value::Value;

const NAMES: [&str; 46] = [
    "and",
    "args",
    "eq",
    "externalURL",
    "first",
    "ge",
    "graphLink",
    "gt",
    "html",
    "humanize",
    "humanize1024",
    "humanizeDuration",
    "humanizePercentage",
    "humanizeTimestamp",
    "index",
    "js",
    "label",
    "le",
    "len",
    "lt",
    "match",
    "ne",
    "not",
    "now",
    "or",
    "parseDuration",
    "pathPrefix",
    "print",
    "printf",
    "println",
    "query",
    "reReplaceAll",
    "safeHtml",
    "sortByLabel",
    "stripDomain",
    "stripPort",
    "strvalue",
    "tableLink",
    "title",
    "toDuration",
    "toLower",
    "toTime",
    "toUpper",
    "urlQueryEscape",
    "urlquery",
    "value",
];

/// The functions that are there.
pub(super) fn exists(name: &str) -> bool {
    NAMES.contains(&name)
}

type Outcome = Result<Value, String>;

/// Calls a function.
pub(super) fn call(name: &str, arguments: Vec<Value>, scope: &Scope<'_>) -> Outcome {
    let text = |text: String| Ok(Value::Text(text));
    match (name, arguments.as_slice()) {
        ("not", [value]) => Ok(Value::Bool(!value.is_true())),
        ("eq", [first, rest @ ..]) if !rest.is_empty() => {
            for other in rest {
                if compare(first, other)? == Some(Ordering::Equal) {
                    return Ok(Value::Bool(true));
                }
            }
            Ok(Value::Bool(false))
        }
        ("ne", [a, b]) => Ok(Value::Bool(compare(a, b)? != Some(Ordering::Equal))),
        ("lt", [a, b]) => Ok(Value::Bool(compare(a, b)?.is_some_and(Ordering::is_lt))),
        ("le", [a, b]) => Ok(Value::Bool(compare(a, b)?.is_some_and(Ordering::is_le))),
        ("gt", [a, b]) => Ok(Value::Bool(compare(a, b)?.is_some_and(Ordering::is_gt))),
        ("ge", [a, b]) => Ok(Value::Bool(compare(a, b)?.is_some_and(Ordering::is_ge))),
        ("len", [of]) => length(of),
        ("index", [of, keys @ ..]) => keys.iter().try_fold(of.clone(), |of, key| item(&of, key)),
        ("print", all) => text(print(all)),
        ("println", all) => text(all.iter().map(Value::printed).collect::<Vec<_>>().join(" ") + "\n"),
        ("printf", [Value::Text(format), rest @ ..]) => text(printf(format, rest)),
        ("html", all) => text(html(&print(all))),
        ("js", all) => text(format!("{:?}", print(all)).trim_matches('"').to_owned()),
        ("urlquery", all) => text(escaped(&print(all))),
        ("urlQueryEscape", [Value::Text(of)]) => text(escaped(of)),
        ("safeHtml", [Value::Text(of)]) => text(of.clone()),
        ("query", [Value::Text(query)]) => (scope.query)(query).map(Value::List),
        ("first", [Value::List(items)]) => {
            items.first().cloned().ok_or_else(|| "first() called on vector with no elements".to_owned())
        }
        ("label", [Value::Text(label), sample]) => sample.field("Labels")?.field(label),
        ("value", [sample]) => sample.field("Value"),
        ("strvalue", [sample]) => sample.field("Labels")?.field("__value__"),
        ("sortByLabel", [Value::Text(label), Value::List(items)]) => {
            let mut sorted = items.clone();
            let key =
                |item: &Value| item.field("Labels").and_then(|of| of.field(label)).map(|of| of.printed());
            sorted.sort_by_cached_key(|item| key(item).unwrap_or_default());
            Ok(Value::List(sorted))
        }
        ("args", all) => {
            let named = all.iter().enumerate().map(|(at, value)| (format!("arg{at}"), value.clone()));
            Ok(Value::Map(named.collect::<BTreeMap<_, _>>()))
        }
        ("match", [Value::Text(pattern), Value::Text(of)]) => {
            Ok(Value::Bool(expression(pattern)?.is_match(of)))
        }
        ("reReplaceAll", [Value::Text(pattern), Value::Text(by), Value::Text(of)]) => {
            text(expression(pattern)?.replace_all(of, by.as_str()).into_owned())
        }
        ("title", [Value::Text(of)]) => text(title(of)),
        ("toUpper", [Value::Text(of)]) => text(of.to_uppercase()),
        ("toLower", [Value::Text(of)]) => text(of.to_lowercase()),
        ("stripPort", [Value::Text(of)]) => text(host_and_port(of).0.to_owned()),
        ("stripDomain", [Value::Text(of)]) => text(without_domain(of)),
        ("graphLink", [Value::Text(of)]) => text(format!("/graph?g0.expr={}&g0.tab=0", escaped(of))),
        ("tableLink", [Value::Text(of)]) => text(format!("/graph?g0.expr={}&g0.tab=1", escaped(of))),
        ("externalURL", []) => text(scope.external_url.to_owned()),
        ("pathPrefix", []) => text(path(scope.external_url).to_owned()),
        ("parseDuration", [Value::Text(of)]) => {
            let milliseconds = parse_duration(of)?;
            Ok(Value::Float(milliseconds as f64 / 1000.0))
        }
        ("humanize", [of]) => text(humanized(of.number()?)),
        ("humanize1024", [of]) => text(humanized_by_1024(of.number()?)),
        ("humanizeDuration", [of]) => text(humanized_duration(of.number()?)),
        ("humanizePercentage", [of]) => text(short(of.number()? * 100.0) + "%"),
        ("humanizeTimestamp", [of]) => time(of.number()?).map(Value::Text),
        ("toTime", [of]) => time(of.number()?).map(Value::Text),
        ("toDuration", [of]) => text(humanized_duration(of.number()?)),
        ("now", []) => Ok(Value::Float(scope.now)),
        (_, all) => {
            let kinds: Vec<&str> = all.iter().map(Value::kind).collect();
            Err(format!("it does not take ({})", kinds.join(", ")))
        }
    }
}

/// How two values of a kind compare; not at all if one is no number.
fn compare(a: &Value, b: &Value) -> Result<Option<Ordering>, String> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Ok(Some(a.cmp(b))),
        (Value::Float(a), Value::Float(b)) => Ok(a.partial_cmp(b)),
        (Value::Text(a), Value::Text(b)) => Ok(Some(a.cmp(b))),
        (Value::Bool(a), Value::Bool(b)) => Ok(Some(a.cmp(b))),
        _ => Err("incompatible types for comparison".to_owned()),
    }
}

fn length(of: &Value) -> Outcome {
    let length = match of {
        Value::Text(text) => text.len(),
        Value::List(items) => items.len(),
        Value::Map(items) => items.len(),
        Value::Texts(items) => items.len(),
        other => return Err(format!("len of type {}", other.kind())),
    };
    Ok(Value::Int(length as i64))
}

fn item(of: &Value, key: &Value) -> Outcome {
    match (of, key) {
        (Value::List(items), Value::Int(at)) => {
            let item = usize::try_from(*at).ok().and_then(|at| items.get(at));
            item.cloned().ok_or_else(|| format!("index out of range: {at}"))
        }
        (Value::Map(_) | Value::Texts(_), Value::Text(name)) => of.field(name),
        _ => Err(format!("can't index {} by {}", of.kind(), key.kind())),
    }
}

/// Values one behind another, with a space between two that are no texts.
fn print(all: &[Value]) -> String {
    let mut out = String::new();
    for (at, value) in all.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|before| all.get(before));
        let is_text = |value: &Value| matches!(value, Value::Text(_));
        if before.is_some_and(|before| !is_text(before) && !is_text(value)) {
            out.push(' ');
        }
        value.print(&mut out);
    }
    out
}

fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            other => out.push(other),
        }
    }
    out
}

pub(crate) fn escaped(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn expression(pattern: &str) -> Result<Regex, String> {
    regex::RegexBuilder::new(pattern).size_limit(1 << 20).build().map_err(|error| error.to_string())
}

fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for letter in text.chars() {
        if inside {
            out.push(letter);
        } else {
            out.extend(letter.to_uppercase());
        }
        inside = letter.is_alphanumeric() || matches!(letter, '_' | '\'');
    }
    out
}

/// A host, and `:` and its port if it has one.
fn host_and_port(text: &str) -> (&str, &str) {
    match text.rfind(':') {
        Some(at) if text[at + 1..].bytes().all(|byte| byte.is_ascii_digit()) => {
            let host = &text[..at];
            let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            match bare {
                Some(bare) => (bare, &text[at..]),
                None if host.contains(':') => (text, ""),
                None => (host, &text[at..]),
            }
        }
        _ => (text, ""),
    }
}

fn without_domain(text: &str) -> String {
    let (host, port) = host_and_port(text);
    if host.parse::<std::net::IpAddr>().is_ok() {
        return text.to_owned();
    }
    let name = host.split('.').next().unwrap_or_default();
    format!("{name}{port}")
}

/// The path of an address.
fn path(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    rest.find('/').map_or("", |at| rest[at..].trim_end_matches('/'))
}

/// Four significant digits.
fn short(value: f64) -> String {
    general(value, Some(4))
}

fn humanized(mut value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return short(value);
    }
    let mut prefix = "";
    if value.abs() >= 1.0 {
        for next in ["k", "M", "G", "T", "P", "E", "Z", "Y"] {
            if value.abs() < 1000.0 {
                break;
            }
            (prefix, value) = (next, value / 1000.0);
        }
    } else {
        for next in ["m", "u", "n", "p", "f", "a", "z", "y"] {
            if value.abs() >= 1.0 {
                break;
            }
            (prefix, value) = (next, value * 1000.0);
        }
    }
    short(value) + prefix
}

fn humanized_by_1024(mut value: f64) -> String {
    let mut prefix = "";
    if value.abs() > 1.0 && value.is_finite() {
        for next in ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"] {
            if value.abs() < 1024.0 {
                break;
            }
            (prefix, value) = (next, value / 1024.0);
        }
    }
    short(value) + prefix
}

fn humanized_duration(value: f64) -> String {
    if !value.is_finite() {
        return short(value);
    }
    if value == 0.0 {
        return "0s".to_owned();
    }
    if value.abs() < 1.0 {
        return humanized(value) + "s";
    }
    let (sign, value) = if value < 0.0 { ("-", -value) } else { ("", value) };
    let whole = value as i64;
    let (seconds, minutes, hours, days) = (whole % 60, whole / 60 % 60, whole / 3600 % 24, whole / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{sign}{}s", short(value)),
        (0, 0, _) => format!("{sign}{minutes}m {seconds}s"),
        (0, ..) => format!("{sign}{hours}h {minutes}m {seconds}s"),
        _ => format!("{sign}{days}d {hours}h {minutes}m {seconds}s"),
    }
}

fn time(seconds: f64) -> Result<String, String> {
    if !seconds.is_finite() {
        return Ok(short(seconds));
    }
    let time = DateTime::from_timestamp_millis((seconds * 1000.0).round() as i64);
    let time = time.ok_or_else(|| format!("{seconds} is no time of the calendar"))?;
    let fraction = time.format("%.3f").to_string();
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    Ok(format!("{}{fraction} +0000 UTC", time.format("%Y-%m-%d %H:%M:%S")))
}
