//! Lengths of time: literals, and expressions of them in ranges, steps and offsets.

use super::lexer::{Keyword, Kind, Token};
use super::{Fault, Parsed, Parser, unexpected};
use crate::ast::{BinaryOp, DurationExpr, Span};
use crate::number::{parse_number, quoted};

/// The longest duration in seconds: 2^63 nanoseconds.
const SECONDS_MAX: f64 = 9_223_372_036.854_776;

/// Milliseconds of a duration such as `1h30m`.
///
/// # Errors
///
/// When the text is no duration or too long a one.
pub fn parse_duration(text: &str) -> Result<i64, String> {
    match text {
        "" => return Err("empty duration string".to_owned()),
        "0" => return Ok(0),
        _ => {}
    }
    const UNITS: [(&str, i64); 7] = [
        ("y", 365 * 86_400_000),
        ("w", 7 * 86_400_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
        ("ms", 1),
    ];
    let mut rest = text;
    let mut total = 0i64;
    let mut next_unit = 0;
    let invalid = || format!("not a valid duration string: {}", quoted(text));
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(invalid)?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let at = UNITS.iter().position(|(name, _)| *name == &tail[..unit]).ok_or_else(invalid)?;
        if at < next_unit || number.is_empty() {
            return Err(invalid());
        }
        next_unit = at + 1;
        let part = number.parse::<i64>().ok().and_then(|n| n.checked_mul(UNITS[at].1));
        total = part
            .and_then(|part| total.checked_add(part))
            .filter(|ms| *ms <= i64::MAX / 1_000_000)
            .ok_or("duration out of range")?;
        rest = &tail[unit..];
    }
    Ok(total)
}

/// A number or duration as seconds.
pub(super) fn number_literal(token: Token<'_>) -> Parsed<f64> {
    match token.kind {
        Kind::Duration => parse_duration(token.text)
            .map(|ms| ms as f64 / 1000.0)
            .map_err(|message| Fault::new(token.span, message)),
        _ => parse_number(token.text).ok_or_else(|| {
            Fault::new(token.span, format!("error parsing number: {}: invalid syntax", quoted(token.text)))
        }),
    }
}

impl Parser<'_> {
    /// What stands in brackets: longer than nothing as far as the text alone can tell.
    pub(super) fn positive_duration(&mut self) -> Parsed<DurationExpr> {
        let start = self.peek()?.span.start;
        let duration = self.duration(0)?;
        if let DurationExpr::Literal(seconds) = duration
            && seconds <= 0.0
        {
            let span = Span { start, end: self.end };
            return Err(Fault::new(span, "duration must be greater than 0"));
        }
        Ok(duration)
    }

    fn duration(&mut self, precedence: u8) -> Parsed<DurationExpr> {
        self.nested(|p| {
            let mut left = p.signed_duration()?;
            loop {
                let token = p.peek()?;
                let Kind::Operator(op) = token.kind else { return Ok(left) };
                if op.precedence() < 4.max(precedence) {
                    return Ok(left);
                }
                p.take()?;
                let above = if op == BinaryOp::Pow { op.precedence() } else { op.precedence() + 1 };
                let right = p.duration(above)?;
                if right == DurationExpr::Literal(0.0) {
                    match op {
                        BinaryOp::Div => return Err(Fault::new(token.span, "division by zero")),
                        BinaryOp::Mod => return Err(Fault::new(token.span, "modulo by zero")),
                        _ => {}
                    }
                }
                left = DurationExpr::Arithmetic(op, Box::new(left), Box::new(right));
            }
        })
    }

    fn signed_duration(&mut self) -> Parsed<DurationExpr> {
        let token = self.peek()?;
        match token.kind {
            Kind::Operator(op @ (BinaryOp::Add | BinaryOp::Sub)) => {
                self.take()?;
                let operand = self.duration(BinaryOp::Pow.precedence())?;
                Ok(if op == BinaryOp::Sub { negative(operand) } else { operand })
            }
            _ => self.duration_primary("subquery or range selector"),
        }
    }

    /// What follows `offset`: one literal, call or parenthesis, with a sign if need be. Operators
    /// behind it belong to the expression around it.
    pub(super) fn offset_duration(&mut self) -> Parsed<DurationExpr> {
        let token = self.peek()?;
        match token.kind {
            Kind::Operator(op @ (BinaryOp::Add | BinaryOp::Sub)) => {
                self.take()?;
                let operand = self.duration_primary("offset")?;
                Ok(if op == BinaryOp::Sub { negative(operand) } else { operand })
            }
            _ => self.duration_primary("offset"),
        }
    }

    fn duration_primary(&mut self, context: &str) -> Parsed<DurationExpr> {
        let token = self.peek()?;
        match token.kind {
            Kind::Number | Kind::Duration => {
                self.take()?;
                let seconds = number_literal(token)?;
                if seconds.abs() > SECONDS_MAX {
                    return Err(Fault::new(token.span, "duration out of range"));
                }
                Ok(DurationExpr::Literal(seconds))
            }
            Kind::Keyword(keyword @ (Keyword::Step | Keyword::Range)) => {
                self.take()?;
                self.expect(Kind::LeftParen, context, "\"(\"")?;
                self.expect(Kind::RightParen, context, "\")\"")?;
                Ok(if keyword == Keyword::Step { DurationExpr::Step } else { DurationExpr::Range })
            }
            Kind::Keyword(Keyword::MinOf | Keyword::MaxOf) => {
                self.take()?;
                self.expect(Kind::LeftParen, context, "\"(\"")?;
                let left = Box::new(self.duration(0)?);
                self.expect(Kind::Comma, context, "\",\"")?;
                let right = Box::new(self.duration(0)?);
                self.expect(Kind::RightParen, context, "\")\"")?;
                Ok(if token.kind == Kind::Keyword(Keyword::MinOf) {
                    DurationExpr::Min(left, right)
                } else {
                    DurationExpr::Max(left, right)
                })
            }
            Kind::LeftParen => {
                self.take()?;
                let inner = self.duration(0)?;
                self.expect(Kind::RightParen, context, "\")\"")?;
                Ok(inner)
            }
            _ => Err(unexpected(token, context, "number, duration, step(), or range()")),
        }
    }
}

fn negative(duration: DurationExpr) -> DurationExpr {
    match duration {
        DurationExpr::Literal(seconds) => DurationExpr::Literal(-seconds),
        other => DurationExpr::Negative(Box::new(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_names_its_units_from_the_longest_down_and_each_once() {
        assert_eq!(parse_duration("1h30m"), Ok(5_400_000));
        assert_eq!(parse_duration("1y2w3d4h5m6s7ms"), Ok(33_019_506_007 - 2_000 * 86_400 + 172_800_000));
        assert_eq!(parse_duration("0"), Ok(0));
        for bad in ["30m1h", "1m1m", "1", "m", "1x", "-1m", "1.5h"] {
            assert_eq!(parse_duration(bad), Err(format!("not a valid duration string: \"{bad}\"")), "{bad}");
        }
        assert_eq!(parse_duration("300y"), Err("duration out of range".to_owned()));
        assert_eq!(parse_duration("99999999999999999999s"), Err("duration out of range".to_owned()));
    }
}
