//! From text to syntax tree.
//!
//! A parser of our own rather than a crate: annotations need the place of every argument, and the
//! language of Prometheus 3 has duration expressions, `anchored`, `smoothed`, `fill` and the trim
//! operators, which the crates at hand do not carry.
//!
//! Nesting is limited to [`DEPTH_MAX`], so that no text overflows the stack.

mod check;
mod durations;
mod expressions;
mod lexer;
mod selectors;
mod strings;

use crate::ast::{Expr, Span, VectorSelector};
use crate::matcher::Matcher;
use lexer::{Kind, Lexer, Token};

pub use durations::parse_duration;
pub use strings::unquote;

/// How deeply expressions may nest.
pub const DEPTH_MAX: usize = 200;

/// A text is no query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: parse error: {message}")]
pub struct ParseError {
    /// What is wrong.
    pub message: String,
    /// Where.
    pub span: Span,
    /// The line, from 1.
    pub line: usize,
    /// The byte in the line, from 1.
    pub column: usize,
}

/// Reads a query.
///
/// # Errors
///
/// When the text is no query, or its types do not fit.
pub fn parse(text: &str) -> Result<Expr, ParseError> {
    let mut parser = Parser::new(text);
    let parsed = parser.query().and_then(|expr| check::check(&expr, text).map(|()| expr));
    parsed.map_err(|fault| fault.at(text))
}

/// Reads a selector of series, as `match[]` parameters hold.
///
/// # Errors
///
/// When the text is no selector.
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>, ParseError> {
    let mut parser = Parser::new(text);
    let parsed = parser.only_selector().and_then(|selector| {
        check::check_selector(&selector)?;
        Ok(selector.matchers)
    });
    parsed.map_err(|fault| fault.at(text))
}

/// Line and column of a byte, both from 1.
pub(crate) fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.as_bytes().get(..at.min(text.len())).unwrap_or_default();
    let mut lines = before.split(|b| *b == b'\n');
    let last = lines.next_back().unwrap_or_default();
    (lines.count() + 1, last.len() + 1)
}

/// An error without line and column.
#[derive(Debug)]
struct Fault {
    message: String,
    span: Span,
}

impl Fault {
    fn new(span: Span, message: impl Into<String>) -> Self {
        Self { message: message.into(), span }
    }

    fn at(self, text: &str) -> ParseError {
        let (line, column) = line_and_column(text, self.span.start);
        ParseError { message: self.message, span: self.span, line, column }
    }
}

type Parsed<T> = Result<T, Fault>;

struct Parser<'a> {
    lexer: Lexer<'a>,
    ahead: Option<Token<'a>>,
    /// Where the last token ended that can end an expression.
    end: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Self {
        Self { lexer: Lexer::new(text), ahead: None, end: 0, depth: 0 }
    }

    fn query(&mut self) -> Parsed<Expr> {
        if self.peek()?.kind == Kind::End {
            return Err(Fault::new(Span::default(), "no expression found in input"));
        }
        let expr = self.expression(0)?;
        self.expect_end()?;
        Ok(expr)
    }

    fn only_selector(&mut self) -> Parsed<VectorSelector> {
        let selector = self.selector()?;
        self.expect_end()?;
        Ok(selector)
    }

    fn expect_end(&mut self) -> Parsed<()> {
        let token = self.peek()?;
        if token.kind == Kind::End { Ok(()) } else { Err(unexpected(token, "", "")) }
    }

    fn peek(&mut self) -> Parsed<Token<'a>> {
        if let Some(token) = self.ahead {
            return Ok(token);
        }
        let token = self.lexer.next()?;
        self.ahead = Some(token);
        Ok(token)
    }

    fn take(&mut self) -> Parsed<Token<'a>> {
        let token = self.peek()?;
        self.ahead = None;
        if token.closes() {
            self.end = token.span.end;
        }
        Ok(token)
    }

    fn take_if(&mut self, kind: Kind) -> Parsed<Option<Token<'a>>> {
        if self.peek()?.kind == kind { self.take().map(Some) } else { Ok(None) }
    }

    fn expect(&mut self, kind: Kind, context: &str, expected: &str) -> Parsed<Token<'a>> {
        let token = self.peek()?;
        if token.kind == kind { self.take() } else { Err(unexpected(token, context, expected)) }
    }

    /// Counts one more level of nesting while `f` runs.
    fn nested<T>(&mut self, f: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let span = self.peek()?.span;
            return Err(Fault::new(
                span,
                format!("expression nests deeper than {DEPTH_MAX} levels; split it"),
            ));
        }
        let result = f(self);
        self.depth -= 1;
        result
    }
}

fn unexpected(token: Token<'_>, context: &str, expected: &str) -> Fault {
    let mut message = format!("unexpected {}", token.describe());
    if !context.is_empty() {
        message += &format!(" in {context}");
    }
    if !expected.is_empty() {
        message += &format!(", expected {expected}");
    }
    Fault::new(token.span, message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn error(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn errors_say_what_prometheus_says() {
        let cases = [
            ("", "1:1: parse error: no expression found in input"),
            ("1+", "1:3: parse error: unexpected end of input"),
            ("foo and", "1:8: parse error: unexpected end of input"),
            ("*1", "1:1: parse error: unexpected <op:*>"),
            ("(1", "1:3: parse error: unclosed left parenthesis"),
            ("1 == 1", "1:3: parse error: comparisons between scalars must use BOOL modifier"),
            ("foo or 1", r#"1:1: parse error: set operator "or" not allowed in binary scalar expression"#),
            (
                "foo or on(bar) group_left(baz) bar",
                r#"1:1: parse error: no grouping allowed for "or" operation"#,
            ),
            (
                "http_requests{group=\"production\"} + on(instance) group_left(job,instance) cpu",
                r#"1:35: parse error: label "instance" must not occur in ON and GROUP clause at once"#,
            ),
            ("foo + bool bar", "1:5: parse error: bool modifier can only be used on comparison operators"),
            ("foo{", "1:5: parse error: unexpected end of input inside braces"),
            ("{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
            ("{x=\"\"}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
            (
                "foo{__name__=\"bar\"}",
                r#"1:1: parse error: metric name must not be set twice: "foo" or "bar""#,
            ),
            (
                "rate(foo)",
                r#"1:6: parse error: expected type range vector in call to function "rate", got instant vector"#,
            ),
            ("floor()", r#"1:1: parse error: expected 1 argument(s) in call to "floor", got 0"#),
            ("nope(1)", r#"1:1: parse error: unknown function with name "nope""#),
            (
                "topk(foo)",
                "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1",
            ),
            (
                "sum(1)",
                "1:5: parse error: expected type instant vector in aggregation expression, got scalar",
            ),
            (
                "foo[5m] + 1",
                "1:1: parse error: binary expression must contain only scalar and instant vector types",
            ),
            (
                "-\"string\"",
                r#"1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got "string""#,
            ),
            (
                "foo[5m] offset",
                "1:15: parse error: unexpected end of input in offset, expected number, duration, step(), or range()",
            ),
            (
                "1 offset 1d",
                "1:1: parse error: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
            ),
            ("foo offset 1s offset 2s", "1:1: parse error: offset may not be set multiple times"),
            ("foo[0m]", "1:5: parse error: duration must be greater than 0"),
            ("sum by (a(b)", "1:10: parse error: unexpected \"(\" in grouping opts, expected \",\" or \")\""),
            ("foo(bar", "1:8: parse error: unclosed left parenthesis"),
            ("sum(foo,)", "1:8: parse error: trailing commas not allowed in function call args"),
            ("foo{a=1}", "1:7: parse error: unexpected character inside braces: '1'"),
            ("a\n+\n$", "3:1: parse error: unexpected character: '$'"),
        ];
        for (text, expected) in cases {
            assert_eq!(error(text), expected, "{text}");
        }
    }

    #[test]
    fn precedence_is_that_of_the_language() {
        let shape = |text: &str| shape_of(&parse(text).unwrap());
        assert_eq!(shape("a + b * c"), "(a+(b*c))");
        assert_eq!(shape("a ^ b ^ c"), "(a^(b^c))");
        assert_eq!(shape("-a ^ b"), "-(a^b)");
        assert_eq!(shape("-a * b"), "(-a*b)");
        assert_eq!(shape("a or b and c unless d"), "(aor((bandc)unlessd))");
        assert_eq!(shape("a - b - c"), "((a-b)-c)");
        assert_eq!(shape("a > b + c"), "(a>(b+c))");
        assert_eq!(shape("a ^ -b * c"), "((a^-b)*c)");
    }

    fn shape_of(expr: &Expr) -> String {
        match expr {
            Expr::Binary(b) => format!("({}{}{})", shape_of(&b.left), b.op.name(), shape_of(&b.right)),
            Expr::Unary(u) => format!("-{}", shape_of(&u.operand)),
            Expr::Vector(v) => v.name.clone().unwrap_or_default(),
            _ => "?".to_owned(),
        }
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_overflow() {
        for (open, close) in [("(", ")"), ("-", ""), ("abs(", ")")] {
            let text = open.repeat(100_000) + "x" + &close.repeat(100_000);
            assert!(error(&text).contains("nests deeper"), "{open}");
        }
        assert!(parse(&("x".to_owned() + &" ^ x".repeat(10_000))).is_err());
        assert!(parse(&("x".to_owned() + &" + x".repeat(150))).is_ok());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-z0-9\\[\\](){}+*/<>=!~\"'`@:,. \\-\\\\^%\\n]{0,60}") {
            let _ = parse(&text);
        }

        #[test]
        fn no_text_of_any_characters_panics(text in any::<String>()) {
            let _ = parse(&text);
            let _ = parse_selector(&text);
        }
    }
}
