//! Numbers by patterns of digits: `9,999.99`, `FM0000`, `S99`, `RN`, `9.99EEEE`.

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

/// What a pattern is made of.
#[derive(Clone, Copy, PartialEq)]
enum Token {
    Nine,
    Zero,
    Point,
    Comma,
    Currency,
    Minus,
    Plus,
    EitherSign,
    Roman {
        upper: bool,
    },
    Ordinal {
        upper: bool,
    },
    /// Something that writes nothing where it stands.
    Silent,
    Plain(char),
}

/// Where the number's own sign is written.
#[derive(Clone, Copy, PartialEq)]
enum Sign {
    /// Before the first digit, a plus as a blank.
    Usual,
    /// `S` before the digits, or after them.
    Before,
    After,
    /// `PR`: negative numbers between angle brackets.
    Brackets,
    /// `MI` and `SG` write it themselves.
    Elsewhere,
}

/// A pattern that was read.
struct Pattern {
    tokens: Vec<Token>,
    /// Places before and after the point.
    whole: usize,
    decimals: usize,
    /// The place of the first `0`, and how many places there are up to the last one.
    first_zero: Option<usize>,
    zeros_end: usize,
    has_point: bool,
    /// Whether blanks fill what has no digit.
    fill: bool,
    sign: Sign,
    /// Places after `V`: by how many powers of ten the number is shown larger.
    shift: Option<usize>,
    exponent: bool,
}

/// The words of patterns that are more than a letter or differ by their place, longer ones first.
const WORDS: [&str; 17] =
    ["EEEE", "FM", "MI", "PL", "PR", "RN", "SG", "SP", "TH", "9", "0", ".", ",", "S", "V", "L", "D"];

fn wrong(message: &str) -> Error {
    Error::new(ErrorKind::Syntax, message)
}

/// The word that a pattern goes on with, as it is listed and as it is written.
fn word(rest: &str) -> Option<(&'static str, &str)> {
    let starts = |word: &&&str| rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    let others = ["G", "B", "C"];
    let found = WORDS.iter().find(starts).or_else(|| others.iter().find(|word| starts(word)));
    found.map(|word| (*word, &rest[..word.len()]))
}

impl Pattern {
    #[allow(clippy::too_many_lines)]
    fn read(pattern: &str) -> Result<Self> {
        let mut read = Self {
            tokens: Vec::new(),
            whole: 0,
            decimals: 0,
            first_zero: None,
            zeros_end: 0,
            has_point: false,
            fill: true,
            sign: Sign::Usual,
            shift: None,
            exponent: false,
        };
        // How many places stood before the `S`; and whether PL, MI or SG were there.
        let mut sign_after = 0;
        let (mut plus, mut minus) = (false, false);
        let mut rest = pattern;
        while let Some(first) = rest.chars().next() {
            if first == '"' {
                rest = &rest[1..];
                while let Some(next) = rest.chars().next() {
                    rest = &rest[next.len_utf8()..];
                    match next {
                        '"' => break,
                        '\\' => {
                            let Some(kept) = rest.chars().next() else { break };
                            rest = &rest[kept.len_utf8()..];
                            read.tokens.push(Token::Plain(kept));
                        }
                        next => read.tokens.push(Token::Plain(next)),
                    }
                }
                continue;
            }
            let Some((word, written)) = word(rest) else {
                // A backslash keeps the quotation mark after it.
                let kept = if rest.starts_with("\\\"") { '"' } else { first };
                rest = &rest[first.len_utf8() + usize::from(kept != first)..];
                read.tokens.push(Token::Plain(kept));
                continue;
            };
            rest = &rest[written.len()..];
            if read.exponent {
                return Err(wrong("\"EEEE\" must be the last pattern used"));
            }
            let upper = written.starts_with(|first: char| first.is_ascii_uppercase());
            let own_sign = matches!(read.sign, Sign::Before | Sign::After);
            read.tokens.push(match word {
                "9" if read.sign == Sign::Brackets => return Err(wrong("\"9\" must be ahead of \"PR\"")),
                "0" if read.sign == Sign::Brackets => return Err(wrong("\"0\" must be ahead of \"PR\"")),
                "9" => {
                    match &mut read.shift {
                        Some(places) => *places += 1,
                        None if read.has_point => read.decimals += 1,
                        None => read.whole += 1,
                    }
                    Token::Nine
                }
                "0" => {
                    if read.has_point {
                        read.decimals += 1;
                    } else {
                        read.first_zero = read.first_zero.or(Some(read.whole));
                        read.whole += 1;
                    }
                    read.zeros_end = read.whole + read.decimals;
                    Token::Zero
                }
                "." | "D" => {
                    if read.has_point {
                        return Err(wrong("multiple decimal points"));
                    }
                    if read.shift.is_some() {
                        return Err(wrong("cannot use \"V\" and decimal point together"));
                    }
                    read.has_point = true;
                    Token::Point
                }
                "," | "G" => Token::Comma,
                "L" => Token::Currency,
                "FM" => {
                    read.fill = false;
                    Token::Silent
                }
                "S" => {
                    if own_sign {
                        return Err(wrong("cannot use \"S\" twice"));
                    }
                    if plus || minus || read.sign == Sign::Brackets {
                        return Err(wrong("cannot use \"S\" and \"PL\"/\"MI\"/\"SG\"/\"PR\" together"));
                    }
                    read.sign = if read.has_point { Sign::After } else { Sign::Before };
                    sign_after = read.whole;
                    Token::Silent
                }
                "MI" | "PL" | "SG" => {
                    if own_sign {
                        return Err(wrong(&format!("cannot use \"S\" and \"{word}\" together")));
                    }
                    plus |= word != "MI";
                    minus |= word != "PL";
                    match word {
                        "MI" => Token::Minus,
                        "PL" => Token::Plus,
                        _ => Token::EitherSign,
                    }
                }
                "PR" => {
                    if own_sign || plus || minus {
                        return Err(wrong("cannot use \"PR\" and \"S\"/\"PL\"/\"MI\"/\"SG\" together"));
                    }
                    read.sign = Sign::Brackets;
                    Token::Silent
                }
                "RN" => Token::Roman { upper },
                "TH" => Token::Ordinal { upper },
                "V" => {
                    if read.has_point {
                        return Err(wrong("cannot use \"V\" and decimal point together"));
                    }
                    read.shift = Some(0);
                    Token::Silent
                }
                "EEEE" => {
                    let alone =
                        read.fill && read.sign == Sign::Usual && !plus && !minus && read.shift.is_none();
                    if !alone || read.roman().is_some() {
                        let detail =
                            "\"EEEE\" may only be used together with digit and decimal point patterns.";
                        return Err(wrong("\"EEEE\" is incompatible with other formats").detail(detail));
                    }
                    read.exponent = true;
                    Token::Silent
                }
                _ => Token::Silent,
            });
        }
        if plus || minus {
            read.sign = if minus { Sign::Elsewhere } else { Sign::Usual };
        } else if read.sign == Sign::Before && sign_after == read.whole {
            read.sign = Sign::After;
        }
        Ok(read)
    }

    /// Whether it asks for Roman numerals, and for capital ones.
    fn roman(&self) -> Option<bool> {
        self.tokens.iter().find_map(|token| match token {
            Token::Roman { upper } => Some(*upper),
            _ => None,
        })
    }
}

/// A number by a pattern. What is no `numeric` is rounded as C's library does it: its sign stays, and 9.99e0 becomes 1.0e1.
///
/// # Errors
/// 42601 when the pattern contradicts itself.
pub(super) fn show(number: NumericRef<'_>, is_numeric: bool, pattern: &str) -> Result<Value> {
    let pattern = Pattern::read(pattern)?;
    if let Some(upper) = pattern.roman() {
        let whole = number.round(0)?.as_ref().to_i64("bigint").map_or(0, i128::from);
        let letters = if (1..4000).contains(&whole) { roman_letters(whole) } else { "#".repeat(15) };
        let letters = if upper { letters } else { letters.to_lowercase() };
        return Ok(Value::Text(if pattern.fill { format!("{letters:>15}") } else { letters }));
    }
    let is_number = !number.is_nan() && number.scale().is_some();
    if pattern.exponent {
        return Ok(Value::Text(if is_number {
            scientific(number, pattern.decimals, !is_numeric)
        } else {
            let (whole, decimals) = (pattern.whole.max(1), pattern.decimals + 4);
            format!(" {}.{}", "#".repeat(whole), "#".repeat(decimals))
        }));
    }
    let places = pattern.whole + pattern.shift.unwrap_or(0);
    let mut negative = number.signum() < 0;
    let mut text = if is_number {
        let power =
            Numeric::new(10_i128.checked_pow(pattern.shift.unwrap_or(0) as u32).unwrap_or(i128::MAX), 0);
        let larger = if pattern.shift.is_some() { number.mul(power.as_ref())? } else { number.to_owned() };
        let rounded = larger.as_ref().round(pattern.decimals as i32)?;
        negative &= !is_numeric || rounded.as_ref().signum() < 0;
        rounded.as_ref().abs().to_string()
    } else {
        number.abs().to_string()
    };
    let digits = text.find('.').unwrap_or(text.len());
    let blanks = places.saturating_sub(digits);
    if digits > places {
        text = format!("{}.{}", "#".repeat(places), "#".repeat(pattern.decimals));
    }
    Ok(Value::Text(Writer::new(&pattern, &text, places, blanks, negative).run()))
}

/// A number as `d.ddde+xx`, with a blank where there is no sign.
fn scientific(number: NumericRef<'_>, decimals: usize, carries: bool) -> String {
    let text = number.abs().to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let all = format!("{whole}{fraction}");
    let sign = if number.signum() < 0 { '-' } else { ' ' };
    let first = all.find(|digit| digit != '0');
    let mut exponent = first.map_or(0, |first| whole.len() as i64 - 1 - first as i64);
    let kept = &all[first.unwrap_or(0)..];
    let mut digits: Vec<u8> = kept.bytes().take(decimals + 1).collect();
    digits.resize(decimals + 1, b'0');
    if kept.as_bytes().get(decimals + 1).is_some_and(|next| *next >= b'5') {
        // Upwards, also past the point: of `numeric` 9.99 is 10.0e+00 then.
        let nines = digits.iter().rev().take_while(|digit| **digit == b'9').count();
        let up = digits.len() - nines;
        digits[up..].fill(b'0');
        match up.checked_sub(1) {
            Some(place) => digits[place] += 1,
            None if carries => {
                digits[0] = b'1';
                exponent += 1;
            }
            None => digits.insert(0, b'1'),
        }
    }
    let point = digits.len() - decimals;
    let digits = String::from_utf8_lossy(&digits).into_owned();
    let separator = if decimals > 0 { "." } else { "" };
    let direction = if exponent < 0 { '-' } else { '+' };
    format!("{sign}{}{separator}{}e{direction}{:02}", &digits[..point], &digits[point..], exponent.abs())
}

/// Writes a number place by place.
struct Writer<'a> {
    pattern: &'a Pattern,
    /// The number's digits and point.
    text: &'a [u8],
    /// How many of them are written.
    used: usize,
    places: usize,
    /// Places before the first digit.
    blanks: usize,
    /// Places passed.
    passed: usize,
    /// The last place after the point that matters, where trailing zeros are left away.
    last_relevant: Option<usize>,
    negative: bool,
    sign_written: bool,
    /// Whether brackets are written: without filling, positive numbers have none.
    brackets: bool,
    in_number: bool,
    out: String,
}

impl<'a> Writer<'a> {
    fn new(pattern: &'a Pattern, text: &'a str, places: usize, blanks: usize, negative: bool) -> Self {
        let bytes = text.as_bytes();
        let trims = !pattern.fill && pattern.has_point;
        let last_relevant = text.find('.').filter(|_| trims).map(|point| {
            let last = bytes.iter().rposition(|digit| *digit != b'0').unwrap_or(point).max(point);
            // Places that a 0 stands for are kept.
            let kept =
                bytes.len().min(pattern.zeros_end.saturating_sub(blanks) + usize::from(pattern.decimals > 0));
            if pattern.zeros_end > pattern.whole { last.max(kept.saturating_sub(1)) } else { last }
        });
        let plain_plus = !negative && !pattern.fill && matches!(pattern.sign, Sign::Usual | Sign::Brackets);
        Self {
            pattern,
            text: bytes,
            used: 0,
            places,
            blanks,
            passed: 0,
            last_relevant,
            negative,
            sign_written: plain_plus || pattern.sign == Sign::Elsewhere,
            brackets: pattern.sign == Sign::Brackets && !plain_plus,
            in_number: false,
            out: String::new(),
        }
    }

    fn run(mut self) -> String {
        let fill = self.pattern.fill;
        for token in &self.pattern.tokens {
            match token {
                Token::Nine | Token::Zero | Token::Point => self.place(*token),
                Token::Comma if self.in_number => self.out.push(','),
                Token::Comma if fill => self.out.push(' '),
                // No currency's sign is known.
                Token::Currency => self.out.push(' '),
                Token::Minus if self.negative => self.out.push('-'),
                Token::Plus if !self.negative => self.out.push('+'),
                Token::Minus | Token::Plus if fill => self.out.push(' '),
                Token::EitherSign => self.out.push(if self.negative { '-' } else { '+' }),
                Token::Ordinal { upper }
                    if !self.negative && !self.pattern.has_point && self.text.first() != Some(&b'#') =>
                {
                    self.out.push_str(ordinal(self.text, *upper));
                }
                Token::Plain(character) => self.out.push(*character),
                _ => {}
            }
        }
        self.out
    }

    /// Whether the digit to come is the zero before a point that the pattern has no `0` for.
    fn is_bare_zero(&self) -> bool {
        let zero = self.pattern.first_zero.is_none() && self.pattern.decimals > 0;
        zero && self.used == 0 && self.text.first() == Some(&b'0')
    }

    /// Whether nothing after the point matters.
    fn ends_at_point(&self) -> bool {
        self.last_relevant.and_then(|last| self.text.get(last)) == Some(&b'.')
    }

    fn place(&mut self, token: Token) {
        let zero_here = self.pattern.first_zero.is_some_and(|first| first <= self.passed);
        let first_zero_here = self.pattern.first_zero == Some(self.passed);
        self.in_number = false;
        let begins = self.passed >= self.blanks || first_zero_here;
        if !self.sign_written && begins && (!self.is_bare_zero() || self.ends_at_point()) {
            self.sign();
        }
        if self.passed < self.blanks && !zero_here {
            if self.pattern.fill {
                self.out.push(' ');
            }
        } else if self.passed < self.blanks {
            self.out.push('0');
            self.in_number = true;
        } else {
            self.digit(token);
        }
        self.passed += 1;
        let count = self.places + self.pattern.decimals + usize::from(self.pattern.has_point);
        if self.passed == count {
            self.end_sign();
        }
    }

    fn digit(&mut self, token: Token) {
        let Some(next) = self.text.get(self.used).copied() else { return };
        let irrelevant = self.last_relevant.is_some_and(|last| self.used > last) && token != Token::Zero;
        match next {
            b'.' => self.out.push('.'),
            _ if irrelevant => {}
            _ if self.is_bare_zero() => match (self.pattern.fill, self.ends_at_point()) {
                (true, _) => self.out.push(' '),
                (false, true) => self.out.push('0'),
                (false, false) => {}
            },
            digit => {
                self.out.push(digit.into());
                self.in_number = true;
            }
        }
        self.used += 1;
    }

    /// The sign before the first digit.
    fn sign(&mut self) {
        match self.pattern.sign {
            Sign::After | Sign::Elsewhere => return,
            Sign::Before => self.out.push(if self.negative { '-' } else { '+' }),
            Sign::Brackets => self.out.push(if self.negative { '<' } else { ' ' }),
            Sign::Usual if self.negative => self.out.push('-'),
            Sign::Usual if self.pattern.fill => self.out.push(' '),
            Sign::Usual => {}
        }
        self.sign_written = true;
    }

    /// What follows the last digit.
    fn end_sign(&mut self) {
        match self.pattern.sign {
            Sign::Brackets if self.sign_written && self.brackets => {
                self.out.push(if self.negative { '>' } else { ' ' });
            }
            Sign::After => self.out.push(if self.negative { '-' } else { '+' }),
            _ => {}
        }
    }
}

/// The letters after an ordinal number.
fn ordinal(digits: &[u8], upper: bool) -> &'static str {
    let (tens, ones) = match digits {
        [.., tens, ones] => (*tens, *ones),
        [ones] => (b'0', *ones),
        [] => (b'0', b'0'),
    };
    match (tens, ones, upper) {
        (b'1', _, true) => "TH",
        (b'1', _, false) => "th",
        (_, b'1', true) => "ST",
        (_, b'1', false) => "st",
        (_, b'2', true) => "ND",
        (_, b'2', false) => "nd",
        (_, b'3', true) => "RD",
        (_, b'3', false) => "rd",
        (_, _, true) => "TH",
        (_, _, false) => "th",
    }
}

/// The number in a text, whatever groups its digits.
///
/// # Errors
/// 0A000 for Roman numerals and exponents, which are not read.
pub(super) fn read(source: &str, pattern: &str) -> Result<Value> {
    let upper = pattern.to_uppercase();
    for word in ["EEEE", "RN"] {
        if upper.contains(word) {
            let message = format!("\"{word}\" not supported for input");
            return Err(Error::new(ErrorKind::FeatureNotSupported, message));
        }
    }
    let kept: String = source.chars().filter(|c| c.is_ascii_digit() || matches!(c, '.' | '-')).collect();
    let negative = kept.contains('-') || source.contains('<');
    let digits = kept.replace('-', "");
    let number = Numeric::parse(&digits).map_err(|_| {
        Error::new(ErrorKind::InvalidText, format!("invalid input syntax for type numeric: \"{source}\""))
    })?;
    Ok(Value::Numeric(if negative { number.as_ref().neg() } else { number }))
}
