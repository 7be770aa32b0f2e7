//! Functions with regular expressions.
//!
//! Expressions are the `regex` crate's: no back references and no look-around, and time that is linear in the
//! text. As in PostgreSQL a dot matches line breaks unless the flag `n` is given.

use std::borrow::Cow;
use std::cell::RefCell;

use luma_model::{ArrayValue, DataType, Error, ErrorKind, Result, TextContext, Value, ValueRef, format_text};
use regex::{Captures, Match, Regex, RegexBuilder};

use crate::functions::numbers::int;
use crate::functions::overload::Kind::{Bool, Int4, Text, TextArray};
use crate::functions::overload::{Function, Overload};
use crate::functions::text::{character_place, invalid, string, text};

/// Compiled expressions that a thread keeps; a statement has few, and each is used for every row.
const KEPT: usize = 8;

thread_local! {
    static COMPILED: RefCell<Vec<(String, String, Regex)>> = const { RefCell::new(Vec::new()) };
}

/// A pattern with PostgreSQL's marks of words in the crate's spelling.
pub(crate) fn spelled(pattern: &str) -> Cow<'_, str> {
    if !["\\y", "\\Y", "\\m", "\\M", "[[:<:]]", "[[:>:]]"].iter().any(|mark| pattern.contains(mark)) {
        return Cow::Borrowed(pattern);
    }
    let pattern = pattern.replace("[[:<:]]", "\\m").replace("[[:>:]]", "\\M");
    let mut out = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        out.push(character);
        if character != '\\' {
            continue;
        }
        match characters.next() {
            Some('y') => out.push('b'),
            Some('Y') => out.push('B'),
            Some('m') => out.push_str("b{start}"),
            Some('M') => out.push_str("b{end}"),
            other => out.extend(other),
        }
    }
    Cow::Owned(out)
}

fn compile(pattern: &str, flags: &str) -> Result<Regex> {
    let mut builder = RegexBuilder::new(&spelled(pattern));
    builder.dot_matches_new_line(true);
    for flag in flags.chars() {
        match flag {
            'i' => {
                builder.case_insensitive(true);
            }
            'n' | 'm' => {
                builder.multi_line(true).dot_matches_new_line(false);
            }
            'x' => {
                builder.ignore_whitespace(true);
            }
            'g' | 'c' | 's' | 'e' | 'q' | 't' | 'w' | 'p' => {}
            other => return Err(invalid(format!("invalid regular expression option: \"{other}\""))),
        }
    }
    builder.build().map_err(|error| {
        let reason = error.to_string();
        let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        Error::new(ErrorKind::InvalidRegex, format!("invalid regular expression: {reason}"))
    })
}

fn compiled(pattern: &str, flags: &str) -> Result<Regex> {
    COMPILED.with_borrow_mut(|kept| {
        let known = kept.iter().position(|(one, other, _)| one == pattern && other == flags);
        let entry = match known {
            Some(at) => kept.remove(at),
            None => (pattern.to_owned(), flags.to_owned(), compile(pattern, flags)?),
        };
        let found = entry.2.clone();
        kept.truncate(KEPT - 1);
        kept.insert(0, entry);
        Ok(found)
    })
}

/// The first match, or what its first group matched.
pub(super) fn first_match(value: ValueRef<'_>, pattern: ValueRef<'_>) -> Result<Value> {
    let found = compiled(string(pattern), "")?;
    Ok(found.captures(string(value)).map_or(Value::Null, |captures| {
        let group = if captures.len() > 1 { captures.get(1) } else { captures.get(0) };
        of_match(group)
    }))
}

fn of_match(found: Option<Match<'_>>) -> Value {
    found.map_or(Value::Null, |found| Value::Text(found.as_str().to_owned()))
}

/// What a replacement means: `\1` a group, `\&` the match, `\\` a backslash.
fn expand(template: &str, captures: &Captures<'_>, out: &mut String) {
    let mut characters = template.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match characters.next() {
            Some('&') => out.push_str(captures.get(0).map_or("", |found| found.as_str())),
            Some(digit) if digit.is_ascii_digit() => {
                let group = captures.get(digit as usize - '0' as usize);
                out.push_str(group.map_or("", |found| found.as_str()));
            }
            Some(other) => out.push(other),
            None => out.push('\\'),
        }
    }
}

/// An argument that may be left away.
fn flags<'a>(values: &'a [ValueRef<'a>], at: usize) -> &'a str {
    values.get(at).map_or("", |flags| string(*flags))
}

/// A number from `least` on that may be left away.
fn count(values: &[ValueRef<'_>], at: usize, name: &str, least: i64, missing: i64) -> Result<usize> {
    let number = values.get(at).map_or(missing, |number| int(*number));
    if number < least {
        return Err(invalid(format!("invalid value for parameter \"{name}\": {number}")));
    }
    Ok(usize::try_from(number).unwrap_or(usize::MAX))
}

/// The byte where the character of that number is, from 1.
fn byte_of(source: &str, character: usize) -> usize {
    source.char_indices().nth(character - 1).map_or(source.len(), |(at, _)| at)
}

/// Replaces the match of that number from a place on, or each when the number is 0.
fn replace(values: &[ValueRef<'_>], start: usize, number: usize, flags: &str) -> Result<Value> {
    let (source, template) = (string(values[0]), string(values[2]));
    let found = compiled(string(values[1]), flags)?;
    let begin = byte_of(source, start);
    let mut last = begin;
    let mut out = source[..begin].to_owned();
    for (at, captures) in found.captures_iter(&source[begin..]).enumerate() {
        let Some(whole) = captures.get(0) else { continue };
        if number != 0 && at + 1 != number {
            continue;
        }
        out.push_str(&source[last..begin + whole.start()]);
        expand(template, &captures, &mut out);
        last = begin + whole.end();
        if number != 0 {
            break;
        }
    }
    out.push_str(&source[last..]);
    text(out)
}

fn groups(captures: &Captures<'_>) -> Value {
    let elements = if captures.len() > 1 {
        captures.iter().skip(1).map(of_match).collect()
    } else {
        vec![of_match(captures.get(0))]
    };
    Value::Array(ArrayValue { elements })
}

/// Each match's groups, as the text of an array: arrays have one dimension here.
fn all_groups(values: &[ValueRef<'_>]) -> Result<Value> {
    let flags = flags(values, 2);
    let found = compiled(string(values[1]), flags)?;
    let limit = if flags.contains('g') { usize::MAX } else { 1 };
    let elements = found
        .captures_iter(string(values[0]))
        .take(limit)
        .map(|captures| {
            let mut out = Vec::new();
            let array = DataType::Text.array_of();
            format_text(groups(&captures).as_ref(), &array, &TextContext::default(), &mut out);
            Value::Text(String::from_utf8_lossy(&out).into_owned())
        })
        .collect();
    Ok(Value::Array(ArrayValue { elements }))
}

/// The parts between matches. Matches of nothing at the ends, or right after another, part nothing.
fn split(values: &[ValueRef<'_>]) -> Result<Value> {
    let source = string(values[0]);
    let found = compiled(string(values[1]), flags(values, 2))?;
    let mut elements = Vec::new();
    let mut last = 0;
    for part in found.find_iter(source) {
        if part.is_empty() && (part.start() == last || part.start() == source.len()) {
            continue;
        }
        elements.push(Value::Text(source[last..part.start()].to_owned()));
        last = part.end();
    }
    elements.push(Value::Text(source[last..].to_owned()));
    Ok(Value::Array(ArrayValue { elements }))
}

fn counted(values: &[ValueRef<'_>]) -> Result<Value> {
    let source = string(values[0]);
    let start = byte_of(source, count(values, 2, "start", 1, 1)?);
    let found = compiled(string(values[1]), flags(values, 3))?;
    Ok(Value::Int4(found.find_iter(&source[start..]).count() as i32))
}

/// The group of a match, both numbered, from a place on, in bytes of the source.
fn nth(values: &[ValueRef<'_>], flags: &str, group: usize) -> Result<Option<(usize, usize)>> {
    let source = string(values[0]);
    let start = byte_of(source, count(values, 2, "start", 1, 1)?);
    let number = count(values, 3, "n", 1, 1)?;
    let found = compiled(string(values[1]), flags)?;
    let captures = found.captures_iter(&source[start..]).nth(number - 1);
    let matched = captures.and_then(|captures| captures.get(group).map(|part| (part.start(), part.end())));
    Ok(matched.map(|(from, to)| (start + from, start + to)))
}

/// Where a match is, in characters from 1; 0 when there is none.
fn place(values: &[ValueRef<'_>]) -> Result<Value> {
    let end = count(values, 4, "endoption", 0, 0)?;
    if end > 1 {
        return Err(invalid(format!("invalid value for parameter \"endoption\": {end}")));
    }
    let group = count(values, 6, "subexpr", 0, 0)?;
    let found = nth(values, flags(values, 5), group)?;
    let at = found.map_or(0, |(from, to)| if end == 1 { to + 1 } else { from + 1 });
    Ok(Value::Int4(character_place(string(values[0]), at)))
}

fn substring(values: &[ValueRef<'_>]) -> Result<Value> {
    let group = count(values, 5, "subexpr", 0, 0)?;
    let found = nth(values, flags(values, 4), group)?;
    Ok(found.map_or(Value::Null, |(from, to)| Value::Text(string(values[0])[from..to].to_owned())))
}

/// Whether a text matches some, or all, of the patterns: NULL where none decides and one might.
fn matches_some(
    value: ValueRef<'_>,
    operator: &str,
    negated: bool,
    all: bool,
    patterns: ValueRef<'_>,
) -> Result<Value> {
    let ValueRef::Array(patterns) = patterns else { return Ok(Value::Null) };
    let flags = if operator.ends_with('*') { "i" } else { "" };
    let mut unknown = false;
    for pattern in patterns.iter() {
        let (ValueRef::Text(source), ValueRef::Text(pattern)) = (value, pattern) else {
            unknown = true;
            continue;
        };
        let found = if operator.starts_with("~~") {
            compiled(&like_as_regex(pattern)?, flags)?.is_match(source)
        } else {
            compiled(pattern, flags)?.is_match(source)
        };
        if (found != negated) != all {
            return Ok(Value::Bool(!all));
        }
    }
    Ok(if unknown { Value::Null } else { Value::Bool(all) })
}

/// A LIKE pattern as an expression over the whole text.
fn like_as_regex(pattern: &str) -> Result<String> {
    let mut expression = String::from("^(?:");
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '%' => expression.push_str(".*"),
            '_' => expression.push('.'),
            '\\' => match characters.next() {
                Some(escaped) => expression.push_str(&regex::escape(escaped.encode_utf8(&mut [0; 4]))),
                None => {
                    let message = "LIKE pattern must not end with escape character";
                    return Err(Error::new(ErrorKind::InvalidEscapeSequence, message));
                }
            },
            other => expression.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    expression.push_str(")$");
    Ok(expression)
}

pub(crate) static FUNCTIONS: &[&Function] = &[
    &Function::new(
        "luma_matches",
        &[Overload::new(&[Text, Text, Bool, Bool, TextArray], Bool, |_, values, _| {
            let negated = matches!(values[2], ValueRef::Bool(true));
            let all = matches!(values[3], ValueRef::Bool(true));
            matches_some(values[0], string(values[1]), negated, all, values[4])
        })
        .takes_null()],
    ),
    &Function::new(
        "regexp_replace",
        &[
            Overload::new(&[Text, Text, Text, Text], Text, |_, values, _| {
                let flags = flags(values, 3);
                replace(values, 1, usize::from(!flags.contains('g')), flags)
            })
            .optional(1),
            Overload::new(&[Text, Text, Text, Int4, Int4, Text], Text, |_, values, _| {
                let start = count(values, 3, "start", 1, 1)?;
                let flags = flags(values, 5);
                let number = count(values, 4, "n", 0, i64::from(!flags.contains('g')))?;
                replace(values, start, number, flags)
            })
            .optional(2),
        ],
    ),
    &Function::new(
        "regexp_match",
        &[Overload::new(&[Text, Text, Text], TextArray, |_, values, _| {
            let found = compiled(string(values[1]), flags(values, 2))?;
            Ok(found.captures(string(values[0])).map_or(Value::Null, |captures| groups(&captures)))
        })
        .optional(1)],
    ),
    &Function::new(
        "luma_regexp_matches",
        &[Overload::new(&[Text, Text, Text], TextArray, |_, values, _| all_groups(values)).optional(1)],
    ),
    &Function::new(
        "regexp_split_to_array",
        &[Overload::new(&[Text, Text, Text], TextArray, |_, values, _| split(values)).optional(1)],
    ),
    &Function::new(
        "regexp_count",
        &[Overload::new(&[Text, Text, Int4, Text], Int4, |_, values, _| counted(values)).optional(2)],
    ),
    &Function::new(
        "regexp_instr",
        &[Overload::new(&[Text, Text, Int4, Int4, Int4, Text, Int4], Int4, |_, values, _| place(values))
            .optional(5)],
    ),
    &Function::new(
        "regexp_substr",
        &[Overload::new(&[Text, Text, Int4, Int4, Text, Int4], Text, |_, values, _| substring(values))
            .optional(4)],
    ),
    &Function::new(
        "regexp_like",
        &[Overload::new(&[Text, Text, Text], Bool, |_, values, _| {
            let found = compiled(string(values[1]), flags(values, 2))?;
            Ok(Value::Bool(found.is_match(string(values[0]))))
        })
        .optional(1)],
    ),
];
