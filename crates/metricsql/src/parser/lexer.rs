//! Tokens.

use luma_promql::unquote;

use crate::ast::Length;
use crate::parser::Fault;

/// How many tokens a query may have, templates put in.
pub(crate) const TOKENS_MAX: usize = 50_000;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Word(String),
    Number(f64),
    Duration(Length),
    Text(String),
    Sign(&'static str),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    pub kind: Kind,
    /// Its first byte in the query.
    pub at: usize,
}

impl Token {
    pub fn is(&self, sign: &str) -> bool {
        matches!(&self.kind, Kind::Sign(own) if *own == sign)
    }
}

const SIGNS: [&str; 24] = [
    "=~", "!~", "==", "!=", ">=", "<=", "(", ")", "{", "}", "[", "]", ",", ":", "=", ">", "<", "+", "-", "*",
    "/", "%", "^", "@",
];

/// The multiples that suffixes of numbers stand for, longer ones first.
const MULTIPLES: [(&str, f64); 16] = [
    ("KiB", 1024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
    ("TiB", 1_099_511_627_776.0),
    ("KB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("TB", 1e12),
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("K", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
];

/// Milliseconds of the units of durations, longer names first.
const UNITS: [(&str, f64); 7] = [
    ("ms", 1.0),
    ("s", 1e3),
    ("m", 60e3),
    ("h", 3_600e3),
    ("d", 86_400e3),
    ("w", 604_800e3),
    ("y", 31_536_000e3),
];

/// The tokens of a query.
pub(crate) fn tokens(text: &str) -> Result<Vec<Token>, Fault> {
    let mut tokens = Vec::new();
    let (mut at, mut brackets) = (0, 0usize);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let Some(c) = rest.chars().next() else { break };
        if c.is_ascii_whitespace() {
            at += 1;
            continue;
        }
        if c == '#' {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        }
        if tokens.len() >= TOKENS_MAX {
            return Err(Fault::new(at, format!("a query may have {TOKENS_MAX} tokens")));
        }
        let (kind, length) = token(rest, brackets > 0).map_err(|what| Fault::new(at, what))?;
        match kind {
            Kind::Sign("[") => brackets += 1,
            Kind::Sign("]") => brackets = brackets.saturating_sub(1),
            _ => {}
        }
        tokens.push(Token { kind, at });
        at += length;
    }
    Ok(tokens)
}

/// The token that a text begins with, and its bytes.
fn token(rest: &str, in_brackets: bool) -> Result<(Kind, usize), String> {
    let c = rest.chars().next().unwrap_or_default();
    if matches!(c, '"' | '\'' | '`') {
        let length = text_length(rest, c).ok_or("a text has no end")?;
        let inner = rest.get(..length).unwrap_or_default();
        return Ok((Kind::Text(unquote(inner)?), length));
    }
    let next_is_digit = rest.get(1..).is_some_and(|more| more.starts_with(|c: char| c.is_ascii_digit()));
    if c.is_ascii_digit() || (c == '.' && next_is_digit) {
        return number(rest);
    }
    if (c == ':' && !in_brackets) || c == '_' || c == '\\' || c.is_alphabetic() {
        return Ok(word(rest));
    }
    match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
        Some(sign) => Ok((Kind::Sign(sign), sign.len())),
        None => Err(format!("unexpected character {c:?}")),
    }
}

fn text_length(rest: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' && quote != '`' {
            escaped = true;
        } else if c == quote {
            return Some(at + 1);
        }
    }
    None
}

/// A name; a backslash takes the character behind it as it is.
fn word(rest: &str) -> (Kind, usize) {
    let (mut name, mut chars, mut length) = (String::new(), rest.chars(), 0);
    while let Some(c) = chars.next() {
        let taken = match c {
            '\\' => match chars.next() {
                Some(escaped) => {
                    length += 1;
                    escaped
                }
                None => break,
            },
            c if c == '_' || c == ':' || c.is_alphanumeric() => c,
            _ => break,
        };
        name.push(taken);
        length += taken.len_utf8();
    }
    (Kind::Word(name), length.max(1))
}

fn number(rest: &str) -> Result<(Kind, usize), String> {
    if let Some((length, bytes)) = duration(rest) {
        return Ok((Kind::Duration(length), bytes));
    }
    let radix = match rest.get(..2) {
        Some("0x" | "0X") => Some((16, 2)),
        Some("0b" | "0B") => Some((2, 2)),
        Some("0o" | "0O") => Some((8, 2)),
        _ => None,
    };
    if let Some((radix, skip)) = radix {
        let digits = rest.get(skip..).unwrap_or_default();
        let end = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
        let value = i64::from_str_radix(digits.get(..end).unwrap_or_default(), radix);
        return value
            .map(|value| (Kind::Number(value as f64), skip + end))
            .map_err(|_| "bad number".to_owned());
    }
    let end = float_length(rest);
    let value: f64 =
        rest.get(..end).and_then(|digits| digits.parse().ok()).ok_or_else(|| "bad number".to_owned())?;
    let behind = rest.get(end..).unwrap_or_default();
    let multiple = MULTIPLES.iter().find(|(suffix, _)| ends_word(behind, suffix));
    let (suffix, factor) = multiple.map_or((0, 1.0), |(suffix, factor)| (suffix.len(), *factor));
    let length = end + suffix;
    if rest.get(length..).is_some_and(|behind| behind.starts_with(|c: char| c == '_' || c.is_alphanumeric()))
    {
        return Err("bad number or duration".to_owned());
    }
    Ok((Kind::Number(value * factor), length))
}

/// Whether a text begins with a word.
fn ends_word(text: &str, word: &str) -> bool {
    text.strip_prefix(word)
        .is_some_and(|behind| !behind.starts_with(|c: char| c == '_' || c.is_alphanumeric()))
}

fn float_length(rest: &str) -> usize {
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let mut end = digits(rest);
    if rest.get(end..).is_some_and(|more| more.starts_with('.')) {
        end += 1 + digits(rest.get(end + 1..).unwrap_or_default());
    }
    let exponent = rest.get(end..).filter(|more| more.starts_with(['e', 'E']));
    if let Some(exponent) = exponent.and_then(|more| more.get(1..)) {
        let sign = usize::from(exponent.starts_with(['+', '-']));
        let count = digits(exponent.get(sign..).unwrap_or_default());
        if count > 0 {
            end += 1 + sign + count;
        }
    }
    end
}

/// A length of time such as `1h30m` or `5i`, and its bytes.
fn duration(text: &str) -> Option<(Length, usize)> {
    let (mut length, mut at) = (Length { ms: 0.0, steps: 0.0 }, 0);
    while let Some(rest) = text.get(at..) {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        if digits == 0 {
            break;
        }
        let value: f64 = rest.get(..digits)?.parse().ok()?;
        let behind = rest.get(digits..)?;
        if behind.starts_with('i') {
            length.steps += value;
            at += digits + 1;
        } else {
            let (unit, ms) = UNITS.iter().find(|(unit, _)| behind.starts_with(unit))?;
            length.ms += value * ms;
            at += digits + unit.len();
        }
    }
    let ends = !text.get(at..)?.starts_with(|c: char| c == '_' || c.is_alphabetic());
    (at > 0 && ends).then_some((length, at))
}
