//! Selectors of series and what stands behind them: ranges, `offset`, `@`, `anchored`, `smoothed`.

use super::durations::number_literal;
use super::lexer::{Keyword, Kind, Token};
use super::{Fault, Parsed, Parser, unexpected, unquote};
use crate::ast::{
    At, BinaryOp, Boundary, DurationExpr, Expr, MatrixSelector, Shift, Span, Subquery, VectorSelector,
};
use crate::labels::METRIC_NAME;
use crate::matcher::{MatchOp, Matcher};

impl Parser<'_> {
    /// A name, braces, or both.
    pub(super) fn selector(&mut self) -> Parsed<VectorSelector> {
        let token = self.peek()?;
        let mut span = token.span;
        let name = if token.kind == Kind::LeftBrace {
            None
        } else if token.can_name_a_metric() {
            self.take()?;
            Some(token.text.to_owned())
        } else {
            return Err(unexpected(token, "", ""));
        };
        let mut matchers = Vec::new();
        if self.peek()?.kind == Kind::LeftBrace {
            matchers = self.matchers()?;
            span.end = self.end;
        }
        if let Some(name) = &name {
            matchers.push(Matcher::equal(METRIC_NAME, name));
        }
        Ok(VectorSelector { name, matchers, shift: Shift::default(), boundary: Boundary::Plain, span })
    }

    fn matchers(&mut self) -> Parsed<Vec<Matcher>> {
        const CONTEXT: &str = "label matching";
        self.take()?;
        let mut matchers = Vec::new();
        if self.take_if(Kind::RightBrace)?.is_some() {
            return Ok(matchers);
        }
        loop {
            matchers.push(self.matcher()?);
            let token = self.peek()?;
            match token.kind {
                Kind::RightBrace => break,
                Kind::Comma => {
                    self.take()?;
                    if self.peek()?.kind == Kind::RightBrace {
                        break;
                    }
                }
                _ => return Err(unexpected(token, CONTEXT, "\",\" or \"}\"")),
            }
        }
        self.take()?;
        Ok(matchers)
    }

    fn matcher(&mut self) -> Parsed<Matcher> {
        const CONTEXT: &str = "label matching";
        let token = self.peek()?;
        let name = match token.kind {
            Kind::Identifier => token.text.to_owned(),
            Kind::String => string_value(token)?,
            _ => return Err(unexpected(token, CONTEXT, "identifier or \"}\"")),
        };
        self.take()?;
        let operator = self.peek()?;
        let op = match operator.kind {
            Kind::Assign => MatchOp::Equal,
            Kind::Operator(BinaryOp::Ne) => MatchOp::NotEqual,
            Kind::RegexMatch => MatchOp::Regex,
            Kind::RegexMismatch => MatchOp::NotRegex,
            // A quoted text alone is the metric's name.
            Kind::Comma | Kind::RightBrace if token.kind == Kind::String => {
                return Ok(Matcher::equal(METRIC_NAME, &name));
            }
            _ => return Err(unexpected(operator, CONTEXT, "label matching operator")),
        };
        self.take()?;
        let value = self.expect(Kind::String, CONTEXT, "string")?;
        let text = string_value(value)?;
        Matcher::new(op, &name, &text).map_err(|message| Fault::new(token.span.to(value.span), message))
    }

    /// Everything that binds to what stands before it.
    pub(super) fn modifiers(&mut self, mut expr: Expr) -> Parsed<Expr> {
        loop {
            let token = self.peek()?;
            match token.kind {
                Kind::LeftBracket => expr = self.brackets(expr)?,
                Kind::At => self.at(&mut expr)?,
                Kind::Keyword(Keyword::Offset) => self.offset(&mut expr)?,
                Kind::Keyword(Keyword::Anchored) => {
                    self.take()?;
                    set_boundary(&mut expr, Boundary::Anchored, "anchored")?;
                }
                Kind::Keyword(Keyword::Smoothed) => {
                    self.take()?;
                    set_boundary(&mut expr, Boundary::Smoothed, "smoothed")?;
                }
                _ => return Ok(expr),
            }
        }
    }

    fn brackets(&mut self, expr: Expr) -> Parsed<Expr> {
        let open = self.take()?;
        let range = self.positive_duration()?;
        let token = self.peek()?;
        let start = expr.span().start;
        match token.kind {
            Kind::RightBracket => {
                let close = self.take()?;
                let fault = |message: &str| Err(Fault::new(open.span.to(close.span), message));
                let Expr::Vector(selector) = expr else {
                    return fault("ranges only allowed for vector selectors");
                };
                if selector.shift.offset.is_some() {
                    return fault("no offset modifiers allowed before range");
                }
                if selector.shift.at.is_some() {
                    return fault("no @ modifiers allowed before range");
                }
                let span = Span { start, end: close.span.end };
                Ok(Expr::Matrix(Box::new(MatrixSelector { selector: *selector, range, span })))
            }
            Kind::Colon => {
                self.take()?;
                let step = match self.peek()?.kind {
                    Kind::RightBracket => None,
                    _ => Some(self.positive_duration()?),
                };
                let close = self.expect(Kind::RightBracket, "subquery selector", "\"]\"")?;
                let span = Span { start, end: close.span.end };
                let shift = Shift::default();
                Ok(Expr::Subquery(Box::new(Subquery { operand: expr, range, step, shift, span })))
            }
            _ => Err(unexpected(token, "subquery or range", "\":\" or \"]\"")),
        }
    }

    fn offset(&mut self, expr: &mut Expr) -> Parsed<()> {
        self.take()?;
        let duration = self.offset_duration()?;
        let (span, end) = (expr.span(), self.end);
        let Some((shift, own)) = shift_of(expr) else {
            return Err(Fault::new(
                span,
                "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
            ));
        };
        // An offset of nothing counts as none.
        let set = shift.offset.as_ref().is_some_and(|offset| *offset != DurationExpr::Literal(0.0));
        if set {
            return Err(Fault::new(span, "offset may not be set multiple times"));
        }
        shift.offset = Some(duration);
        own.end = end;
        Ok(())
    }

    fn at(&mut self, expr: &mut Expr) -> Parsed<()> {
        self.take()?;
        let token = self.peek()?;
        let at = match token.kind {
            Kind::Keyword(keyword @ (Keyword::Start | Keyword::End)) => {
                self.take()?;
                self.expect(Kind::LeftParen, "@", "timestamp")?;
                self.expect(Kind::RightParen, "@", "timestamp")?;
                if keyword == Keyword::Start { At::Start } else { At::End }
            }
            _ => {
                let mut sign = 1.0;
                if let Kind::Operator(op @ (BinaryOp::Add | BinaryOp::Sub)) = token.kind {
                    self.take()?;
                    sign = if op == BinaryOp::Sub { -1.0 } else { 1.0 };
                }
                let token = self.peek()?;
                if !matches!(token.kind, Kind::Number | Kind::Duration) {
                    return Err(unexpected(token, "@", "timestamp"));
                }
                self.take()?;
                let seconds = sign * number_literal(token)?;
                if seconds.abs() >= i64::MAX as f64 || seconds.is_nan() {
                    let text = crate::number::format_general(seconds);
                    return Err(Fault::new(
                        expr.span(),
                        format!("timestamp out of bounds for @ modifier: {text}"),
                    ));
                }
                At::Timestamp((seconds * 1000.0).round() as i64)
            }
        };
        let (span, end) = (expr.span(), self.end);
        let Some((shift, own)) = shift_of(expr) else {
            return Err(Fault::new(
                span,
                "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery",
            ));
        };
        if shift.at.is_some() {
            return Err(Fault::new(span, "@ <timestamp> may not be set multiple times"));
        }
        shift.at = Some(at);
        own.end = end;
        Ok(())
    }
}

fn shift_of(expr: &mut Expr) -> Option<(&mut Shift, &mut Span)> {
    match expr {
        Expr::Vector(v) => Some((&mut v.shift, &mut v.span)),
        Expr::Matrix(m) => Some((&mut m.selector.shift, &mut m.span)),
        Expr::Subquery(s) => Some((&mut s.shift, &mut s.span)),
        _ => None,
    }
}

fn set_boundary(expr: &mut Expr, boundary: Boundary, name: &str) -> Parsed<()> {
    let span = expr.span();
    let own = match expr {
        Expr::Vector(v) => &mut v.boundary,
        Expr::Matrix(m) => &mut m.selector.boundary,
        Expr::Subquery(_) => {
            return Err(Fault::new(span, format!("{name} modifier is not supported for subqueries")));
        }
        _ => return Err(Fault::new(span, format!("{name} modifier not implemented"))),
    };
    if *own != Boundary::Plain && *own != boundary {
        return Err(Fault::new(span, "anchored and smoothed modifiers cannot be used together"));
    }
    *own = boundary;
    Ok(())
}

/// The value of a string token.
pub(super) fn string_value(token: Token<'_>) -> Parsed<String> {
    unquote(token.text).map_err(|message| Fault::new(token.span, message))
}

impl Token<'_> {
    /// Whether the word may be a metric's name.
    pub(super) fn can_name_a_metric(self) -> bool {
        match self.kind {
            Kind::Identifier | Kind::MetricIdentifier | Kind::Aggregate(_) => true,
            Kind::Operator(op) => op.is_set(),
            Kind::Keyword(k) => matches!(
                k,
                Keyword::By
                    | Keyword::Offset
                    | Keyword::Without
                    | Keyword::Start
                    | Keyword::End
                    | Keyword::Step
                    | Keyword::Range
                    | Keyword::Anchored
                    | Keyword::Smoothed
            ),
            _ => false,
        }
    }

    /// Whether the word may be a label's name in a list of labels.
    pub(super) fn can_name_a_label(self) -> bool {
        match self.kind {
            Kind::Identifier | Kind::Aggregate(_) | Kind::Keyword(_) => true,
            Kind::Operator(op) => op.is_set() || op == BinaryOp::Atan2,
            _ => false,
        }
    }
}
