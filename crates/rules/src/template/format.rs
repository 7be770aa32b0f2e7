//! Go's `printf`.

use std::iter::Peekable;
use std::str::Chars;

use luma_promql::format_general;

use super::value::Value;

/// The widest field, and the most digits behind a point.
const WIDTH_MAX: usize = 256;

/// Flags, width and digits of a verb.
#[derive(Default)]
struct Spec {
    left: bool,
    zeros: bool,
    plus: bool,
    width: usize,
    precision: Option<usize>,
}

/// Writes arguments as a format says.
pub(super) fn printf(format: &str, arguments: &[Value]) -> String {
    let mut out = String::new();
    let mut arguments = arguments.iter();
    let mut letters = format.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        let mut spec = Spec::default();
        while let Some(flag) = letters.next_if(|c| matches!(c, '-' | '0' | '+' | ' ' | '#')) {
            match flag {
                '-' => spec.left = true,
                '0' => spec.zeros = true,
                '+' => spec.plus = true,
                _ => {}
            }
        }
        spec.width = digits(&mut letters);
        if letters.next_if_eq(&'.').is_some() {
            spec.precision = Some(digits(&mut letters));
        }
        match letters.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(verb) => match arguments.next() {
                None => {
                    out.push_str("%!");
                    out.push(verb);
                    out.push_str("(MISSING)");
                }
                Some(argument) => pad(&written(verb, argument, &spec), &spec, argument, &mut out),
            },
        }
    }
    let extra: Vec<String> =
        arguments.map(|argument| format!("{}={}", argument.kind(), argument.printed())).collect();
    if !extra.is_empty() {
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    out
}

/// A number at the beginning of a text; 0 if there is none.
fn digits(letters: &mut Peekable<Chars<'_>>) -> usize {
    let mut number = 0usize;
    while let Some(digit) = letters.next_if(char::is_ascii_digit) {
        number = (number * 10 + digit.to_digit(10).unwrap_or(0) as usize).min(WIDTH_MAX);
    }
    number
}

fn pad(text: &str, spec: &Spec, argument: &Value, out: &mut String) {
    let missing = spec.width.saturating_sub(text.chars().count());
    let is_number = matches!(argument, Value::Int(_) | Value::Float(_));
    if spec.left {
        out.push_str(text);
        out.extend(std::iter::repeat_n(' ', missing));
    } else if spec.zeros && is_number {
        let digits = text.trim_start_matches(['-', '+']);
        out.push_str(&text[..text.len() - digits.len()]);
        out.extend(std::iter::repeat_n('0', missing));
        out.push_str(digits);
    } else {
        out.extend(std::iter::repeat_n(' ', missing));
        out.push_str(text);
    }
}

fn written(verb: char, argument: &Value, spec: &Spec) -> String {
    let wrong = || format!("%!{verb}({}={})", argument.kind(), argument.printed());
    let signed =
        |text: String, negative: bool| if spec.plus && !negative { format!("+{text}") } else { text };
    match (verb, argument) {
        ('v', Value::Float(value)) => signed(general(*value, spec.precision), value.is_sign_negative()),
        ('v', other) => other.printed(),
        ('s' | 'q', Value::Text(text)) => {
            let cut: String = text.chars().take(spec.precision.unwrap_or(usize::MAX)).collect();
            if verb == 's' { cut } else { format!("{cut:?}") }
        }
        ('s', Value::List(_) | Value::Map(_) | Value::Texts(_)) => argument.printed(),
        ('d', Value::Int(value)) => signed(value.to_string(), *value < 0),
        ('x', Value::Int(value)) => {
            format!("{}{:x}", if *value < 0 { "-" } else { "" }, value.unsigned_abs())
        }
        ('t', Value::Bool(value)) => value.to_string(),
        ('f' | 'F', Value::Float(value)) => {
            let text = special(*value).unwrap_or_else(|| format!("{value:.*}", spec.precision.unwrap_or(6)));
            signed(text, value.is_sign_negative())
        }
        ('e', Value::Float(value)) => {
            let text = special(*value).unwrap_or_else(|| scientific(*value, spec.precision.unwrap_or(6)));
            signed(text, value.is_sign_negative())
        }
        ('g', Value::Float(value)) => signed(general(*value, spec.precision), value.is_sign_negative()),
        _ => wrong(),
    }
}

fn special(value: f64) -> Option<String> {
    (!value.is_finite()).then(|| format_general(value))
}

/// So many significant digits (`%.4g`), or as many as there have to be.
pub(super) fn general(value: f64, precision: Option<usize>) -> String {
    let Some(digits) = precision else { return format_general(value) };
    if let Some(text) = special(value) {
        return text;
    }
    let digits = digits.max(1);
    if value == 0.0 {
        return if value.is_sign_negative() { "-0" } else { "0" }.to_owned();
    }
    let exponent = format!("{value:.*e}", digits - 1);
    let power: i32 = exponent.rsplit('e').next().and_then(|text| text.parse().ok()).unwrap_or(0);
    let shorter = |text: &str| {
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text.to_owned()
        }
    };
    if power < -4 || power >= digits as i32 {
        let text = scientific(value, digits - 1);
        let (mantissa, tail) = text.split_once('e').unwrap_or((&text, "+00"));
        return format!("{}e{tail}", shorter(mantissa));
    }
    let decimals = usize::try_from(digits as i32 - 1 - power).unwrap_or(0);
    shorter(&format!("{value:.decimals$}"))
}

fn scientific(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let power: i32 = exponent.parse().unwrap_or(0);
    format!("{mantissa}e{}{:02}", if power < 0 { '-' } else { '+' }, power.unsigned_abs())
}
