//! Tokens.
//!
//! Three languages in one: inside of braces words are label names, inside of brackets they are
//! parts of a duration, elsewhere they are names and keywords.

use super::{Fault, Parsed};
use crate::ast::{AggregateOp, BinaryOp, Span};
use crate::number::quoted;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    End,
    Comma,
    Colon,
    Assign,
    RegexMatch,
    RegexMismatch,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    At,
    Identifier,
    /// A name with a colon in it: of a metric, never of a label or function.
    MetricIdentifier,
    Number,
    Duration,
    String,
    Operator(BinaryOp),
    Aggregate(AggregateOp),
    Keyword(Keyword),
}

/// Words with a meaning of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keyword {
    Offset,
    Smoothed,
    Anchored,
    By,
    Without,
    On,
    Ignoring,
    GroupLeft,
    GroupRight,
    Fill,
    FillLeft,
    FillRight,
    Bool,
    Start,
    End,
    Step,
    Range,
    MinOf,
    MaxOf,
}

impl Keyword {
    fn named(word: &str) -> Option<Self> {
        Some(match word {
            "offset" => Self::Offset,
            "smoothed" => Self::Smoothed,
            "anchored" => Self::Anchored,
            "by" => Self::By,
            "without" => Self::Without,
            "on" => Self::On,
            "ignoring" => Self::Ignoring,
            "group_left" => Self::GroupLeft,
            "group_right" => Self::GroupRight,
            "fill" => Self::Fill,
            "fill_left" => Self::FillLeft,
            "fill_right" => Self::FillRight,
            "bool" => Self::Bool,
            "start" => Self::Start,
            "end" => Self::End,
            "step" => Self::Step,
            "range" => Self::Range,
            "min_of" => Self::MinOf,
            "max_of" => Self::MaxOf,
            _ => return None,
        })
    }
}

/// A token and its text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'a> {
    pub kind: Kind,
    pub text: &'a str,
    pub span: Span,
}

impl Token<'_> {
    /// Whether it can end an expression.
    pub fn closes(self) -> bool {
        matches!(
            self.kind,
            Kind::RightBrace | Kind::RightParen | Kind::RightBracket | Kind::Duration | Kind::Number
        )
    }

    /// How errors call it.
    pub fn describe(self) -> String {
        match self.kind {
            Kind::End => "end of input".to_owned(),
            Kind::Identifier => format!("identifier {}", quoted(self.text)),
            Kind::MetricIdentifier => format!("metric identifier {}", quoted(self.text)),
            Kind::Number => format!("number {}", shortened(self.text)),
            Kind::Duration => format!("duration {}", shortened(self.text)),
            Kind::String => format!("string {}", shortened(self.text)),
            Kind::Operator(_) | Kind::At => format!("<op:{}>", self.text),
            Kind::Aggregate(_) => format!("<aggr:{}>", self.text),
            Kind::Keyword(Keyword::Start | Keyword::End | Keyword::Step | Keyword::Range) => {
                quoted(self.text)
            }
            Kind::Keyword(_) => format!("<{}>", self.text),
            _ => quoted(self.text),
        }
    }
}

fn shortened(text: &str) -> String {
    if text.len() > 10 {
        let head: String = text.chars().take(10).collect();
        quoted(&head) + "..."
    } else {
        quoted(text)
    }
}

pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    parens: usize,
    in_braces: bool,
    in_brackets: bool,
    colon_seen: bool,
}

impl<'a> Lexer<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0, parens: 0, in_braces: false, in_brackets: false, colon_seen: false }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn skip_while(&mut self, f: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&f) {
            self.bump();
        }
    }

    fn eat(&mut self, c: char) -> bool {
        let there = self.peek() == Some(c);
        if there {
            self.bump();
        }
        there
    }

    fn fault(&self, start: usize, message: impl Into<String>) -> Fault {
        Fault::new(Span { start, end: self.text.len() }, message)
    }

    fn token(&self, kind: Kind, start: usize) -> Token<'a> {
        Token { kind, text: &self.text[start..self.at], span: Span { start, end: self.at } }
    }

    pub fn next(&mut self) -> Parsed<Token<'a>> {
        loop {
            self.skip_while(is_space);
            if self.peek() != Some('#') || self.in_brackets {
                break;
            }
            self.skip_while(|c| c != '\n' && c != '\r');
        }
        let start = self.at;
        let Some(c) = self.bump() else { return self.end(start) };
        if matches!(c, '"' | '\'' | '`') && !self.in_brackets {
            return self.string(c, start);
        }
        if self.in_braces {
            return self.inside_braces(c, start);
        }
        if let Some(kind) = self.bracket_or_paren(c, start)? {
            return Ok(self.token(kind, start));
        }
        let starts_number =
            c.is_ascii_digit() || (c == '.' && self.peek().is_some_and(|d| d.is_ascii_digit()));
        if starts_number {
            self.at = start;
            return self.number_or_duration(start);
        }
        if self.in_brackets {
            return self.inside_brackets(c, start);
        }
        self.statement(c, start)
    }

    fn end(&mut self, start: usize) -> Parsed<Token<'a>> {
        if self.in_braces {
            return Err(self.fault(start, "unexpected end of input inside braces"));
        }
        if self.in_brackets {
            return Err(self.fault(start, "unexpected end of input in duration expression"));
        }
        if self.parens > 0 {
            return Err(self.fault(start, "unclosed left parenthesis"));
        }
        Ok(self.token(Kind::End, start))
    }

    fn bracket_or_paren(&mut self, c: char, start: usize) -> Parsed<Option<Kind>> {
        Ok(Some(match c {
            '(' => {
                self.parens += 1;
                Kind::LeftParen
            }
            ')' if self.parens == 0 => {
                return Err(self.fault(start, "unexpected right parenthesis ')'"));
            }
            ')' => {
                self.parens -= 1;
                Kind::RightParen
            }
            '{' if !self.in_brackets => {
                self.in_braces = true;
                Kind::LeftBrace
            }
            '[' if !self.in_brackets => {
                self.in_brackets = true;
                self.colon_seen = false;
                Kind::LeftBracket
            }
            ']' if self.in_brackets => {
                self.in_brackets = false;
                Kind::RightBracket
            }
            ']' => return Err(self.fault(start, "unexpected right bracket ']'")),
            ',' => Kind::Comma,
            _ => return Ok(None),
        }))
    }

    fn inside_braces(&mut self, c: char, start: usize) -> Parsed<Token<'a>> {
        let kind = match c {
            ',' => Kind::Comma,
            '}' => {
                self.in_braces = false;
                Kind::RightBrace
            }
            '=' if self.eat('~') => Kind::RegexMatch,
            '=' => Kind::Assign,
            '!' => match self.bump() {
                Some('~') => Kind::RegexMismatch,
                Some('=') => Kind::Operator(BinaryOp::Ne),
                other => {
                    let message = format!("unexpected character after '!' inside braces: {}", rune(other));
                    return Err(self.fault(start, message));
                }
            },
            '{' => return Err(self.fault(start, "unexpected left brace '{'")),
            c if is_letter(c) => {
                self.skip_while(|c| is_letter(c) || c.is_ascii_digit());
                Kind::Identifier
            }
            c => {
                return Err(
                    self.fault(start, format!("unexpected character inside braces: {}", rune(Some(c))))
                );
            }
        };
        Ok(self.token(kind, start))
    }

    fn inside_brackets(&mut self, c: char, start: usize) -> Parsed<Token<'a>> {
        let kind = match c {
            ':' if self.colon_seen => {
                return Err(self.fault(start, "unexpected repeated colon in duration expression"));
            }
            ':' => {
                self.colon_seen = true;
                Kind::Colon
            }
            '+' => Kind::Operator(BinaryOp::Add),
            '-' => Kind::Operator(BinaryOp::Sub),
            '*' => Kind::Operator(BinaryOp::Mul),
            '/' => Kind::Operator(BinaryOp::Div),
            '%' => Kind::Operator(BinaryOp::Mod),
            '^' => Kind::Operator(BinaryOp::Pow),
            c => {
                self.skip_while(is_letter);
                match self.text[start..self.at].to_ascii_lowercase().as_str() {
                    "step" => Kind::Keyword(Keyword::Step),
                    "range" => Kind::Keyword(Keyword::Range),
                    "min_of" | "min" => Kind::Keyword(Keyword::MinOf),
                    "max_of" | "max" => Kind::Keyword(Keyword::MaxOf),
                    _ => {
                        let message =
                            format!("unexpected character in duration expression: {}", rune(Some(c)));
                        return Err(self.fault(start, message));
                    }
                }
            }
        };
        Ok(self.token(kind, start))
    }

    fn statement(&mut self, c: char, start: usize) -> Parsed<Token<'a>> {
        let kind = match c {
            '+' => Kind::Operator(BinaryOp::Add),
            '-' => Kind::Operator(BinaryOp::Sub),
            '*' => Kind::Operator(BinaryOp::Mul),
            '/' => Kind::Operator(BinaryOp::Div),
            '%' => Kind::Operator(BinaryOp::Mod),
            '^' => Kind::Operator(BinaryOp::Pow),
            '@' => Kind::At,
            '=' if self.eat('=') => Kind::Operator(BinaryOp::Eq),
            '=' if self.peek() == Some('~') => {
                return Err(self.fault(start, "unexpected character after '=': '~'"));
            }
            '=' => Kind::Assign,
            '!' => match self.bump() {
                Some('=') => Kind::Operator(BinaryOp::Ne),
                other => {
                    return Err(self.fault(start, format!("unexpected character after '!': {}", rune(other))));
                }
            },
            '<' if self.eat('=') => Kind::Operator(BinaryOp::Le),
            '<' if self.eat('/') => Kind::Operator(BinaryOp::TrimUpper),
            '<' => Kind::Operator(BinaryOp::Lt),
            '>' if self.eat('=') => Kind::Operator(BinaryOp::Ge),
            '>' if self.eat('/') => Kind::Operator(BinaryOp::TrimLower),
            '>' => Kind::Operator(BinaryOp::Gt),
            c if is_letter(c) || c == ':' => {
                self.skip_while(|c| is_letter(c) || c.is_ascii_digit() || c == ':');
                self.word(start)
            }
            c => return Err(self.fault(start, format!("unexpected character: {}", rune(Some(c))))),
        };
        Ok(self.token(kind, start))
    }

    fn word(&self, start: usize) -> Kind {
        let word = &self.text[start..self.at];
        let lower = word.to_ascii_lowercase();
        match lower.as_str() {
            "inf" | "nan" => return Kind::Number,
            "and" | "or" | "unless" | "atan2" => {
                if let Some(op) = BinaryOp::named(&lower) {
                    return Kind::Operator(op);
                }
            }
            // Metrics may have these names, so they count only before a parenthesis.
            "fill" | "fill_left" | "fill_right" | "min_of" | "max_of"
                if !self.text[self.at..].trim_start_matches(is_space).starts_with('(') =>
            {
                return Kind::Identifier;
            }
            _ => {}
        }
        if let Some(keyword) = Keyword::named(&lower) {
            return Kind::Keyword(keyword);
        }
        if let Some(op) = AggregateOp::named(&lower) {
            return Kind::Aggregate(op);
        }
        if word.contains(':') { Kind::MetricIdentifier } else { Kind::Identifier }
    }

    fn number_or_duration(&mut self, start: usize) -> Parsed<Token<'a>> {
        let rest = &self.text[start..];
        let word_end = |at: usize| !rest[at..].starts_with(|c: char| is_letter(c) || c.is_ascii_digit());
        let number = number_length(rest);
        if number > 0 && word_end(number) {
            self.at = start + number;
            return Ok(self.token(Kind::Number, start));
        }
        let duration = duration_length(rest);
        if duration > 0 && word_end(duration) {
            self.at = start + duration;
            return Ok(self.token(Kind::Duration, start));
        }
        self.skip_while(|c| is_letter(c) || c.is_ascii_digit() || c == '.');
        let text = &self.text[start..self.at];
        Err(self.fault(start, format!("bad number or duration syntax: {}", quoted(text))))
    }

    fn string(&mut self, quote: char, start: usize) -> Parsed<Token<'a>> {
        loop {
            match self.bump() {
                None if quote == '`' => return Err(self.fault(start, "unterminated raw string")),
                None => return Err(self.fault(start, "unterminated quoted string")),
                Some('\n') if quote != '`' => return Err(self.fault(start, "unterminated quoted string")),
                Some('\\') if quote != '`' => {
                    if self.bump().is_none() {
                        return Err(self.fault(start, "escape sequence not terminated"));
                    }
                }
                Some(c) if c == quote => return Ok(self.token(Kind::String, start)),
                Some(_) => {}
            }
        }
    }
}

fn rune(c: Option<char>) -> String {
    match c {
        None => "'\u{fffd}'".to_owned(),
        Some('\'') => r"'\''".to_owned(),
        Some(c) => format!("'{}'", c.escape_debug().collect::<String>().replace("\\\"", "\"")),
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

fn is_letter(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic()
}

/// How many bytes at the start are a number.
fn number_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits = |mut at: usize, hex: bool| {
        let is_digit = |b: &u8| if hex { b.is_ascii_hexdigit() } else { b.is_ascii_digit() };
        while let Some(b) = bytes.get(at) {
            let separates = *b == b'_' && bytes.get(at + 1).is_some_and(u8::is_ascii_alphanumeric);
            if !is_digit(b) && !separates {
                break;
            }
            at += 1;
        }
        at
    };
    if bytes.len() > 2 && bytes[0] == b'0' && matches!(bytes[1], b'x' | b'X') {
        let end = digits(2, true);
        return if end > 2 { end } else { 0 };
    }
    let mut at = digits(0, false);
    if bytes.get(at) == Some(&b'.') {
        at = digits(at + 1, false);
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let end = digits(at + 1 + sign, false);
        if end > at + 1 + sign {
            return end;
        }
    }
    at
}

/// How many bytes at the start are a duration.
fn duration_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 0;
    while bytes.get(at).is_some_and(u8::is_ascii_digit) {
        let mut end = at;
        while bytes.get(end).is_some_and(u8::is_ascii_digit) {
            end += 1;
        }
        end += match bytes.get(end) {
            Some(b'm') if bytes.get(end + 1) == Some(&b's') => 2,
            Some(b's' | b'm' | b'h' | b'd' | b'w' | b'y') => 1,
            _ => return 0,
        };
        at = end;
    }
    at
}
