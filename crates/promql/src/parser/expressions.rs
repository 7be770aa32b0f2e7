//! Operators, calls and aggregations.

use super::durations::number_literal;
use super::lexer::{Keyword, Kind, Token};
use super::selectors::string_value;
use super::{Fault, Parsed, Parser, unexpected};
use crate::ast::{Aggregate, AggregateOp, Binary, BinaryOp, Call, Cardinality, Expr, Matching, Span, Unary};
use crate::function;
use crate::number::quoted;

impl Parser<'_> {
    /// An expression of operators that bind at least as tightly as `precedence`.
    pub(super) fn expression(&mut self, precedence: u8) -> Parsed<Expr> {
        self.nested(|p| {
            let mut left = p.unary()?;
            let mut chain = 0usize;
            loop {
                let token = p.peek()?;
                let Kind::Operator(op) = token.kind else { return Ok(left) };
                if op.precedence() < precedence {
                    return Ok(left);
                }
                // A tree of operators is walked recursively, whichever way it leans.
                chain += 1;
                if chain > super::DEPTH_MAX {
                    let message =
                        format!("more than {} operators in a row; use parentheses", super::DEPTH_MAX);
                    return Err(Fault::new(token.span, message));
                }
                p.take()?;
                let (return_bool, matching) = p.binary_modifiers()?;
                let above = if op == BinaryOp::Pow { op.precedence() } else { op.precedence() + 1 };
                let right = p.expression(above)?;
                left = Expr::Binary(Box::new(Binary { op, left, right, return_bool, matching }));
            }
        })
    }

    fn unary(&mut self) -> Parsed<Expr> {
        let token = self.peek()?;
        let Kind::Operator(op @ (BinaryOp::Add | BinaryOp::Sub)) = token.kind else {
            let primary = self.primary()?;
            return self.modifiers(primary);
        };
        self.take()?;
        let negative = op == BinaryOp::Sub;
        let operand = self.expression(BinaryOp::Pow.precedence())?;
        let span = token.span.to(operand.span());
        Ok(match operand {
            Expr::Number(value, _) => Expr::Number(if negative { -value } else { value }, span),
            operand => Expr::Unary(Box::new(Unary { negative, operand, span })),
        })
    }

    fn primary(&mut self) -> Parsed<Expr> {
        let token = self.peek()?;
        match token.kind {
            Kind::Number | Kind::Duration => {
                self.take()?;
                Ok(Expr::Number(number_literal(token)?, token.span))
            }
            Kind::String => {
                self.take()?;
                Ok(Expr::String(string_value(token)?, token.span))
            }
            Kind::LeftParen => {
                self.take()?;
                let inner = self.expression(0)?;
                let close = self.expect(Kind::RightParen, "", "")?;
                Ok(Expr::Paren(Box::new(inner), token.span.to(close.span)))
            }
            Kind::Aggregate(op) => self.aggregate_or_metric(op),
            Kind::Identifier | Kind::Keyword(_) => self.call_or_metric(),
            _ => self.selector().map(|s| Expr::Vector(Box::new(s))),
        }
    }

    /// Words such as `sum` are aggregations if a parenthesis or a grouping follows.
    fn aggregate_or_metric(&mut self, op: AggregateOp) -> Parsed<Expr> {
        let name = self.take()?;
        let next = self.peek()?;
        match next.kind {
            Kind::LeftParen | Kind::Keyword(Keyword::By | Keyword::Without) => self.aggregate(op, name),
            Kind::Identifier | Kind::Number | Kind::String | Kind::Aggregate(_) => {
                Err(unexpected(next, "aggregation", ""))
            }
            _ => self.metric_named(name),
        }
    }

    /// A selector whose name has been taken already.
    fn metric_named(&mut self, name: Token<'_>) -> Parsed<Expr> {
        let mut selector = if self.peek()?.kind == Kind::LeftBrace {
            self.selector()?
        } else {
            crate::ast::VectorSelector {
                name: None,
                matchers: Vec::new(),
                shift: crate::ast::Shift::default(),
                boundary: crate::ast::Boundary::Plain,
                span: name.span,
            }
        };
        selector.span.start = name.span.start;
        selector.matchers.push(crate::matcher::Matcher::equal(crate::labels::METRIC_NAME, name.text));
        selector.name = Some(name.text.to_owned());
        Ok(Expr::Vector(Box::new(selector)))
    }

    fn aggregate(&mut self, op: AggregateOp, name: Token<'_>) -> Parsed<Expr> {
        let mut grouping = self.grouping()?;
        if self.peek()?.kind != Kind::LeftParen {
            return Err(unexpected(self.peek()?, "aggregation", ""));
        }
        let mut args = self.arguments()?;
        if grouping.is_none() {
            grouping = self.grouping()?;
        }
        let span = Span { start: name.span.start, end: self.end };
        if args.is_empty() {
            return Err(Fault::new(span, "no arguments for aggregate expression provided"));
        }
        let desired = if op.has_param() { 2 } else { 1 };
        if args.len() != desired {
            let message = format!(
                "wrong number of arguments for aggregate expression provided, expected {desired}, got {}",
                args.len()
            );
            return Err(Fault::new(span, message));
        }
        let operand = args.remove(desired - 1);
        let param = args.pop();
        let (without, grouping) = grouping.unwrap_or_default();
        Ok(Expr::Aggregate(Box::new(Aggregate { op, operand, param, grouping, without, span })))
    }

    /// `by (..)` or `without (..)`, if there.
    fn grouping(&mut self) -> Parsed<Option<(bool, Vec<String>)>> {
        let without = match self.peek()?.kind {
            Kind::Keyword(Keyword::By) => false,
            Kind::Keyword(Keyword::Without) => true,
            _ => return Ok(None),
        };
        self.take()?;
        Ok(Some((without, self.label_list()?)))
    }

    fn label_list(&mut self) -> Parsed<Vec<String>> {
        const CONTEXT: &str = "grouping opts";
        self.expect(Kind::LeftParen, CONTEXT, "\"(\"")?;
        let mut labels = Vec::new();
        if self.take_if(Kind::RightParen)?.is_some() {
            return Ok(labels);
        }
        loop {
            let token = self.take()?;
            let label = if token.kind == Kind::String {
                string_value(token)?
            } else if token.can_name_a_label() {
                token.text.to_owned()
            } else {
                return Err(unexpected(token, CONTEXT, "label"));
            };
            if label.is_empty() {
                let message = format!("invalid label name for grouping: {}", quoted(&label));
                return Err(Fault::new(token.span, message));
            }
            labels.push(label);
            let token = self.peek()?;
            match token.kind {
                Kind::Comma => {
                    self.take()?;
                    if self.take_if(Kind::RightParen)?.is_some() {
                        return Ok(labels);
                    }
                }
                Kind::RightParen => {
                    self.take()?;
                    return Ok(labels);
                }
                _ => return Err(unexpected(token, CONTEXT, "\",\" or \")\"")),
            }
        }
    }

    fn call_or_metric(&mut self) -> Parsed<Expr> {
        let name = self.take()?;
        if self.peek()?.kind != Kind::LeftParen {
            if !name.can_name_a_metric() {
                return Err(unexpected(name, "", ""));
            }
            return self.metric_named(name);
        }
        let callable = match name.kind {
            Kind::Keyword(k) => matches!(
                k,
                Keyword::Start
                    | Keyword::End
                    | Keyword::Step
                    | Keyword::Range
                    | Keyword::MinOf
                    | Keyword::MaxOf
            ),
            _ => true,
        };
        if !callable {
            return Err(unexpected(name, "", ""));
        }
        let text = if matches!(name.kind, Kind::Keyword(_)) {
            name.text.to_ascii_lowercase()
        } else {
            name.text.to_owned()
        };
        let args = self.arguments()?;
        let Some(function) = function::find(&text) else {
            return Err(Fault::new(name.span, format!("unknown function with name {}", quoted(name.text))));
        };
        let span = Span { start: name.span.start, end: self.end };
        Ok(Expr::Call(Box::new(Call { function, args, span })))
    }

    fn arguments(&mut self) -> Parsed<Vec<Expr>> {
        self.take()?;
        let mut args = Vec::new();
        if self.take_if(Kind::RightParen)?.is_some() {
            return Ok(args);
        }
        loop {
            args.push(self.expression(0)?);
            let token = self.peek()?;
            match token.kind {
                Kind::Comma => {
                    let comma = self.take()?;
                    if self.peek()?.kind == Kind::RightParen {
                        return Err(Fault::new(
                            comma.span,
                            "trailing commas not allowed in function call args",
                        ));
                    }
                }
                Kind::RightParen => {
                    self.take()?;
                    return Ok(args);
                }
                _ => return Err(unexpected(token, "", "")),
            }
        }
    }

    fn binary_modifiers(&mut self) -> Parsed<(bool, Matching)> {
        let return_bool = self.take_if(Kind::Keyword(Keyword::Bool))?.is_some();
        let mut matching = Matching::default();
        let on = match self.peek()?.kind {
            Kind::Keyword(Keyword::On) => Some(true),
            Kind::Keyword(Keyword::Ignoring) => Some(false),
            _ => None,
        };
        if let Some(on) = on {
            self.take()?;
            matching.on = on;
            matching.labels = self.label_list()?;
            matching.cardinality = match self.peek()?.kind {
                Kind::Keyword(Keyword::GroupLeft) => Cardinality::ManyToOne,
                Kind::Keyword(Keyword::GroupRight) => Cardinality::OneToMany,
                _ => Cardinality::OneToOne,
            };
            if matching.cardinality != Cardinality::OneToOne {
                self.take()?;
                if self.peek()?.kind == Kind::LeftParen {
                    matching.include = self.label_list()?;
                }
            }
        }
        loop {
            let token = self.peek()?;
            let Kind::Keyword(keyword @ (Keyword::Fill | Keyword::FillLeft | Keyword::FillRight)) =
                token.kind
            else {
                return Ok((return_bool, matching));
            };
            self.take()?;
            let value = self.fill_value()?;
            let duplicate = (keyword != Keyword::FillRight && matching.fill_left.is_some())
                || (keyword != Keyword::FillLeft && matching.fill_right.is_some());
            if duplicate {
                return Err(Fault::new(token.span, "fill modifier set more than once for one side"));
            }
            if keyword != Keyword::FillRight {
                matching.fill_left = Some(value);
            }
            if keyword != Keyword::FillLeft {
                matching.fill_right = Some(value);
            }
        }
    }

    fn fill_value(&mut self) -> Parsed<f64> {
        self.expect(Kind::LeftParen, "fill modifier", "\"(\"")?;
        let mut sign = 1.0;
        if let Kind::Operator(op @ (BinaryOp::Add | BinaryOp::Sub)) = self.peek()?.kind {
            self.take()?;
            sign = if op == BinaryOp::Sub { -1.0 } else { 1.0 };
        }
        let token = self.take()?;
        if !matches!(token.kind, Kind::Number | Kind::Duration) {
            return Err(unexpected(token, "fill modifier", "number"));
        }
        let value = sign * number_literal(token)?;
        self.expect(Kind::RightParen, "fill modifier", "\")\"")?;
        Ok(value)
    }
}
