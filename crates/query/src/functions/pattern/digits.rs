//! Numbers by patterns of digits: `9,999.99`, `FM0000`, `S99`, `RN`.

use luma_model::{Error, ErrorKind, Numeric, NumericRef, Result, Value};

const ROMAN: [(i128, &str); 13] = [
    (1000, "M"),
    (900, "CM"),
    (500, "D"),
    (400, "CD"),
    (100, "C"),
    (90, "XC"),
    (50, "L"),
    (40, "XL"),
    (10, "X"),
    (9, "IX"),
    (5, "V"),
    (4, "IV"),
    (1, "I"),
];

/// A number from 1 on in Roman numerals.
pub(super) fn roman_letters(mut number: i128) -> String {
    let mut out = String::new();
    for (value, letters) in ROMAN {
        while number >= value {
            out.push_str(letters);
            number -= value;
        }
    }
    out
}

fn roman(number: NumericRef<'_>, fill: bool) -> String {
    let whole = number.to_i64("bigint").map_or(0, i128::from);
    if !(1..4000).contains(&whole) {
        return "#".repeat(15);
    }
    let letters = roman_letters(whole);
    if fill { format!("{letters:>15}") } else { letters }
}

/// Where a sign is written, when the pattern says so.
#[derive(Clone, Copy, PartialEq)]
enum Sign {
    Default,
    Before,
    After,
    MinusAfter,
    Brackets,
}

/// A number by a pattern.
pub(super) fn show(number: NumericRef<'_>, pattern: &str) -> Result<Value> {
    let upper = pattern.to_uppercase();
    let fill = !upper.contains("FM");
    let upper = upper.replace("FM", "");
    if upper.contains("RN") {
        return Ok(Value::Text(roman(number, fill)));
    }
    let (whole, fraction) = match upper.find(['.', 'D']) {
        Some(at) => (&upper[..at], Some(&upper[at + 1..])),
        None => (upper.as_str(), None),
    };
    let is_place = |character: char| matches!(character, '9' | '0');
    let decimals = fraction.map_or(0, |fraction| fraction.chars().filter(|c| is_place(*c)).count());
    let places = whole.chars().filter(|c| is_place(*c)).count();
    let sign = match () {
        () if upper.starts_with('S') => Sign::Before,
        () if upper.ends_with('S') => Sign::After,
        () if upper.ends_with("MI") => Sign::MinusAfter,
        () if upper.contains("PR") => Sign::Brackets,
        () => Sign::Default,
    };
    let negative = number.signum() < 0;
    let text = number.round(decimals as i32)?.as_ref().abs().to_string();
    let (digits, decimal_digits) = text.split_once('.').unwrap_or((&text, ""));
    let digits = if digits == "0" && decimals > 0 && !whole.contains('0') { "" } else { digits };
    let overflow = digits.len() > places;
    let first_zero = whole.chars().filter(|c| is_place(*c)).position(|c| c == '0').unwrap_or(places);
    let mut out = String::new();
    let mut seen = 0;
    let mut started = false;
    for character in whole.chars() {
        match character {
            '9' | '0' => {
                let from_right = places - seen;
                if overflow {
                    out.push('#');
                    started = true;
                } else if from_right <= digits.len() {
                    let digit = digits.as_bytes().get(digits.len() - from_right).copied().unwrap_or(b'0');
                    out.push(digit.into());
                    started = true;
                } else if seen >= first_zero {
                    out.push('0');
                    started = true;
                } else if fill {
                    out.push(' ');
                }
                seen += 1;
            }
            ',' | 'G' if started => out.push(','),
            ',' | 'G' if fill => out.push(' '),
            // No currency's sign is known.
            ' ' | 'L' => out.push(' '),
            _ => {}
        }
    }
    if let Some(fraction) = fraction {
        let mut shown = String::new();
        let mut used = decimal_digits.chars();
        let last_zero = fraction.chars().filter(|c| is_place(*c)).collect::<Vec<_>>();
        let keep = last_zero.iter().rposition(|c| *c == '0').map_or(0, |at| at + 1);
        for _ in 0..decimals {
            shown.push(if overflow { '#' } else { used.next().unwrap_or('0') });
        }
        if !fill {
            while shown.len() > keep && shown.ends_with('0') {
                shown.pop();
            }
        }
        out.push('.');
        out.push_str(&shown);
    }
    Ok(Value::Text(signed(&out, negative, sign, fill)))
}

/// The sign beside the first digit, or where the pattern has it.
fn signed(shown: &str, negative: bool, sign: Sign, fill: bool) -> String {
    let blanks = shown.len() - shown.trim_start().len();
    let (blank, digits) = shown.split_at(blanks);
    match sign {
        Sign::Default if negative => format!("{blank}-{digits}"),
        Sign::Default if fill => format!("{blank} {digits}"),
        Sign::Default => digits.to_owned(),
        Sign::Before => format!("{blank}{}{digits}", if negative { '-' } else { '+' }),
        Sign::After => format!("{shown}{}", if negative { '-' } else { '+' }),
        Sign::MinusAfter if negative => format!("{shown}-"),
        Sign::MinusAfter => format!("{shown}{}", if fill { " " } else { "" }),
        Sign::Brackets if negative => format!("{blank}<{digits}>"),
        Sign::Brackets if fill => format!("{blank} {digits} "),
        Sign::Brackets => digits.to_owned(),
    }
}

/// The number in a text, whatever groups its digits.
pub(super) fn read(source: &str) -> Result<Value> {
    let kept: String = source.chars().filter(|c| c.is_ascii_digit() || matches!(c, '.' | '-')).collect();
    let negative = kept.contains('-') || source.contains('<');
    let digits = kept.replace('-', "");
    let number = Numeric::parse(&digits).map_err(|_| {
        Error::new(ErrorKind::InvalidText, format!("invalid input syntax for type numeric: \"{source}\""))
    })?;
    Ok(Value::Numeric(if negative { number.as_ref().neg() } else { number }))
}
