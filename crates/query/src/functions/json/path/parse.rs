//! Reading paths.

use luma_model::{Error, ErrorKind, Result};
use serde_json::Value as Json;

use super::{Comparison, Condition, Method, Node, Operator, Path, Step};

/// Deepest nesting of parentheses and brackets.
const DEPTH_MAX: usize = 100;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    /// A name without quotes.
    Word(String),
    Quoted(String),
    Variable(String),
    Number(String),
    Symbol(&'static str),
    End,
}

/// Longest first.
const SYMBOLS: [&str; 29] = [
    "**", "==", "!=", "<>", "<=", ">=", "&&", "||", "$", "@", "?", "(", ")", "[", "]", "{", "}", ".", ",",
    "*", "+", "-", "/", "%", "<", ">", "!", "=", ":",
];

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    /// How many subscripts, and how many filters, are around.
    subscripts: usize,
    filters: usize,
}

/// Reads a path.
///
/// # Errors
/// 42601 for what is no path, 22P02 for nothing at all.
pub(super) fn parse(text: &str) -> Result<Path> {
    let tokens = tokens(text)?;
    let mut parser = Parser { text, tokens, at: 0, depth: 0, subscripts: 0, filters: 0 };
    if *parser.peek() == Token::End {
        let message = format!("invalid input syntax for type jsonpath: \"{text}\"");
        return Err(Error::new(ErrorKind::InvalidText, message));
    }
    let strict = parser.word("strict");
    if !strict {
        parser.word("lax");
    }
    let root = match parser.either()? {
        Either::Value(node) => node,
        Either::Condition(condition) => Node::Condition(Box::new(condition)),
    };
    match parser.peek() {
        Token::End => Ok(Path { strict, root }),
        _ => Err(parser.unexpected()),
    }
}

fn syntax(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Syntax, message)
}

fn tokens(text: &str) -> Result<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if let Some(comment) = rest.strip_prefix("/*") {
            let Some(end) = comment.find("*/") else {
                return Err(syntax("unexpected end of comment at end of jsonpath input"));
            };
            rest = &comment[end + 2..];
            continue;
        }
        let Some(first) = rest.chars().next() else {
            tokens.push(Token::End);
            return Ok(tokens);
        };
        let digit_follows = rest.chars().nth(1).is_some_and(|next| next.is_ascii_digit());
        if first == '"' {
            let (string, length) = quoted(rest)?;
            tokens.push(Token::Quoted(string));
            rest = &rest[length..];
        } else if first.is_ascii_digit() || first == '.' && digit_follows && !after_value(&tokens) {
            let length = number_length(rest);
            if rest[length..].starts_with(|c: char| c.is_alphanumeric() || c == '_') {
                return Err(syntax(format!(
                    "trailing junk after numeric literal at or near \"{}\" of jsonpath input",
                    rest.chars().take(length + 1).collect::<String>()
                )));
            }
            tokens.push(Token::Number(rest[..length].to_owned()));
            rest = &rest[length..];
        } else if let Some(name) =
            rest.strip_prefix('$').filter(|name| name.starts_with(is_name) || name.starts_with('"'))
        {
            let (name, length) = if name.starts_with('"') {
                let (name, length) = quoted(name)?;
                (name, length)
            } else {
                let length = name.find(|c| !is_name(c)).unwrap_or(name.len());
                (name[..length].to_owned(), length)
            };
            tokens.push(Token::Variable(name));
            rest = &rest[1 + length..];
        } else if is_name(first) || first == '\\' {
            let (name, length) = word(rest)?;
            tokens.push(Token::Word(name));
            rest = &rest[length..];
        } else if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            tokens.push(Token::Symbol(symbol));
            rest = &rest[symbol.len()..];
        } else {
            return Err(near(&first.to_string()));
        }
    }
}

/// Whether a point after these tokens is a step and not the beginning of a number.
fn after_value(tokens: &[Token]) -> bool {
    !matches!(
        tokens.last(),
        None | Some(Token::Symbol(
            "(" | "[" | "," | "+" | "-" | "*" | "/" | "%" | "<" | ">" | "==" | "!=" | "<>" | "<=" | ">="
        ))
    )
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || !c.is_ascii()
}

/// How long the number is that a text begins with.
fn number_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits = |mut at: usize| {
        while bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        at
    };
    let mut at = digits(0);
    if bytes.get(at) == Some(&b'.') {
        at = digits(at + 1);
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let end = digits(at + 1 + sign);
        if end > at + 1 + sign {
            at = end;
        }
    }
    at
}

/// A name, in which a backslash begins an escape.
fn word(text: &str) -> Result<(String, usize)> {
    let mut name = String::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        if c == '\\' {
            let (escaped, length) = escape(&text[at..])?;
            name.push(escaped);
            at += length;
        } else if is_name(c) {
            name.push(c);
            at += c.len_utf8();
        } else {
            break;
        }
    }
    Ok((name, at))
}

/// A string in quotes, and how long it is with them.
fn quoted(text: &str) -> Result<(String, usize)> {
    let mut string = String::new();
    let mut at = 1;
    while let Some(c) = text[at..].chars().next() {
        match c {
            '"' => return Ok((string, at + 1)),
            '\\' => {
                let (escaped, length) = escape(&text[at..])?;
                string.push(escaped);
                at += length;
            }
            other => {
                string.push(other);
                at += other.len_utf8();
            }
        }
    }
    Err(syntax("unterminated quoted string at end of jsonpath input"))
}

/// The character of an escape, and how long the escape is.
fn escape(text: &str) -> Result<(char, usize)> {
    let unit = |digits: &str| u32::from_str_radix(digits, 16).ok();
    let invalid = || syntax("invalid Unicode escape sequence of jsonpath input");
    let mut rest = text.chars().skip(1);
    Ok(match rest.next() {
        Some('b') => ('\u{8}', 2),
        Some('f') => ('\u{c}', 2),
        Some('n') => ('\n', 2),
        Some('r') => ('\r', 2),
        Some('t') => ('\t', 2),
        Some('v') => ('\u{b}', 2),
        Some('x') => {
            let code = text.get(2..4).and_then(unit).and_then(char::from_u32);
            (code.ok_or_else(|| syntax("invalid hexadecimal character sequence of jsonpath input"))?, 4)
        }
        Some('u') if text[2..].starts_with('{') => {
            let end = text.find('}').ok_or_else(invalid)?;
            let code = text.get(3..end).and_then(unit).and_then(char::from_u32);
            (code.ok_or_else(invalid)?, end + 1)
        }
        Some('u') => {
            let first = text.get(2..6).and_then(unit).ok_or_else(invalid)?;
            match first {
                0xd800..0xdc00 => {
                    let second = text.get(6..8).filter(|mark| *mark == "\\u").and(text.get(8..12));
                    let second = second.and_then(unit).filter(|low| (0xdc00..0xe000).contains(low));
                    let second = second.ok_or_else(invalid)?;
                    let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                    (char::from_u32(code).ok_or_else(invalid)?, 12)
                }
                code => (char::from_u32(code).ok_or_else(invalid)?, 6),
            }
        }
        Some(other) => (other, 1 + other.len_utf8()),
        None => return Err(syntax("unexpected end after backslash at end of jsonpath input")),
    })
}

fn near(text: &str) -> Error {
    syntax(format!("syntax error at or near \"{text}\" of jsonpath input"))
}

/// What parentheses may hold.
enum Either {
    Value(Node),
    Condition(Condition),
}

impl Parser<'_> {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).unwrap_or(&Token::End)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn symbol(&mut self, wanted: &str) -> bool {
        let found = matches!(self.peek(), Token::Symbol(symbol) if *symbol == wanted);
        self.at += usize::from(found);
        found
    }

    fn word(&mut self, wanted: &str) -> bool {
        let found = matches!(self.peek(), Token::Word(word) if word.eq_ignore_ascii_case(wanted));
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, wanted: &str) -> Result<()> {
        if self.symbol(wanted) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn unexpected(&self) -> Error {
        match self.peek() {
            Token::End => syntax(format!("syntax error at end of jsonpath input \"{}\"", self.text)),
            Token::Word(text) | Token::Number(text) | Token::Quoted(text) | Token::Variable(text) => {
                near(text)
            }
            Token::Symbol(symbol) => near(symbol),
        }
    }

    fn deeper(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Error::new(ErrorKind::ProgramLimit, "a path is nested at most 100 deep"));
        }
        Ok(())
    }

    /// A condition or a value, whichever it is.
    fn either(&mut self) -> Result<Either> {
        let mut left = self.conjunction()?;
        while self.symbol("||") {
            let (one, other) = (self.condition_of(left)?, self.conjunction()?);
            let other = self.condition_of(other)?;
            left = Either::Condition(Condition::Or(Box::new(one), Box::new(other)));
        }
        Ok(left)
    }

    fn conjunction(&mut self) -> Result<Either> {
        let mut left = self.comparison()?;
        while self.symbol("&&") {
            let (one, other) = (self.condition_of(left)?, self.comparison()?);
            let other = self.condition_of(other)?;
            left = Either::Condition(Condition::And(Box::new(one), Box::new(other)));
        }
        Ok(left)
    }

    fn condition_of(&self, either: Either) -> Result<Condition> {
        match either {
            Either::Condition(condition) => Ok(condition),
            Either::Value(Node::Condition(condition)) => Ok(*condition),
            Either::Value(_) => Err(self.unexpected()),
        }
    }

    fn value_of(&self, either: Either) -> Result<Node> {
        match either {
            Either::Value(node) => Ok(node),
            Either::Condition(_) => Err(self.unexpected()),
        }
    }

    fn comparison(&mut self) -> Result<Either> {
        if self.symbol("!") {
            self.deeper()?;
            let inner = match self.peek() {
                Token::Symbol("!") => return Err(self.unexpected()),
                _ => self.comparison_operand()?,
            };
            self.depth -= 1;
            let inner = self.condition_of(inner)?;
            return Ok(Either::Condition(Condition::Not(Box::new(inner))));
        }
        let left = self.comparison_operand()?;
        let operator = match self.peek() {
            Token::Symbol("==" | "=") => Comparison::Equal,
            Token::Symbol("!=" | "<>") => Comparison::Unequal,
            Token::Symbol("<") => Comparison::Less,
            Token::Symbol("<=") => Comparison::LessOrEqual,
            Token::Symbol(">") => Comparison::Greater,
            Token::Symbol(">=") => Comparison::GreaterOrEqual,
            Token::Word(word) if word.eq_ignore_ascii_case("starts") => return self.starts_with(left),
            Token::Word(word) if word.eq_ignore_ascii_case("like_regex") => return self.like_regex(left),
            _ => return Ok(left),
        };
        self.at += 1;
        let left = self.value_of(left)?;
        let right = self.sum()?;
        Ok(Either::Condition(Condition::Compare(operator, left, self.value_of(right)?)))
    }

    /// `exists (…)`, or a value, or a condition in parentheses.
    fn comparison_operand(&mut self) -> Result<Either> {
        if matches!(self.peek(), Token::Word(word) if word.eq_ignore_ascii_case("exists")) {
            self.at += 1;
            self.expect("(")?;
            let inner = self.either()?;
            let inner = self.value_of(inner)?;
            self.expect(")")?;
            return Ok(Either::Condition(Condition::Exists(inner)));
        }
        self.sum()
    }

    fn starts_with(&mut self, left: Either) -> Result<Either> {
        self.at += 1;
        if !self.word("with") {
            return Err(self.unexpected());
        }
        let prefix = match self.next() {
            Token::Quoted(text) => Node::Literal(Json::String(text)),
            Token::Variable(name) => Node::Variable(name),
            _ => {
                self.at -= 1;
                return Err(self.unexpected());
            }
        };
        Ok(Either::Condition(Condition::StartsWith(self.value_of(left)?, prefix)))
    }

    fn like_regex(&mut self, left: Either) -> Result<Either> {
        self.at += 1;
        let Token::Quoted(pattern) = self.peek().clone() else { return Err(self.unexpected()) };
        self.at += 1;
        let mut flags = String::new();
        if self.word("flag") {
            let Token::Quoted(given) = self.peek().clone() else { return Err(self.unexpected()) };
            self.at += 1;
            flags = given;
        }
        if let Some(unknown) = flags.chars().find(|flag| !"ismxq".contains(*flag)) {
            return Err(syntax("invalid input syntax for type jsonpath")
                .detail(format!("Unrecognized flag character \"{unknown}\" in LIKE_REGEX predicate.")));
        }
        if flags.contains('x') && !flags.contains('q') {
            return Err(Error::new(
                ErrorKind::FeatureNotSupported,
                "XQuery \"x\" flag (expanded regular expressions) is not implemented",
            ));
        }
        let pattern = if flags.contains('q') { regex::escape(&pattern) } else { pattern };
        let compiled = regex::RegexBuilder::new(&pattern)
            .case_insensitive(flags.contains('i'))
            .multi_line(flags.contains('m'))
            .dot_matches_new_line(flags.contains('s'))
            .build()
            .map_err(|error| {
                Error::new(ErrorKind::InvalidRegex, format!("invalid regular expression: {error}"))
            })?;
        Ok(Either::Condition(Condition::Matches(self.value_of(left)?, compiled)))
    }

    fn sum(&mut self) -> Result<Either> {
        let mut left = self.product()?;
        loop {
            let operator = match self.peek() {
                Token::Symbol("+") => Operator::Add,
                Token::Symbol("-") => Operator::Subtract,
                _ => return Ok(left),
            };
            self.at += 1;
            let right = self.product()?;
            left = self.arithmetic(operator, left, right)?;
        }
    }

    fn product(&mut self) -> Result<Either> {
        let mut left = self.signed()?;
        loop {
            let operator = match self.peek() {
                Token::Symbol("*") => Operator::Multiply,
                Token::Symbol("/") => Operator::Divide,
                Token::Symbol("%") => Operator::Remainder,
                _ => return Ok(left),
            };
            self.at += 1;
            let right = self.signed()?;
            left = self.arithmetic(operator, left, right)?;
        }
    }

    fn arithmetic(&self, operator: Operator, left: Either, right: Either) -> Result<Either> {
        let (left, right) = (self.value_of(left)?, self.value_of(right)?);
        Ok(Either::Value(Node::Arithmetic(operator, Box::new(left), Box::new(right))))
    }

    fn signed(&mut self) -> Result<Either> {
        let negative = match self.peek() {
            Token::Symbol("-") => true,
            Token::Symbol("+") => false,
            _ => return self.accessor(),
        };
        self.at += 1;
        self.deeper()?;
        let operand = self.signed()?;
        self.depth -= 1;
        Ok(Either::Value(Node::Sign(negative, Box::new(self.value_of(operand)?))))
    }

    /// A value and the steps after it.
    fn accessor(&mut self) -> Result<Either> {
        let primary = if self.symbol("(") {
            self.deeper()?;
            let inner = self.either()?;
            self.depth -= 1;
            self.expect(")")?;
            if let Either::Condition(condition) = inner {
                if self.word("is") {
                    if !self.word("unknown") {
                        return Err(self.unexpected());
                    }
                    return Ok(Either::Condition(Condition::IsUnknown(Box::new(condition))));
                }
                if !matches!(self.peek(), Token::Symbol("." | "[" | "?")) {
                    return Ok(Either::Condition(condition));
                }
                Node::Condition(Box::new(condition))
            } else {
                self.value_of(inner)?
            }
        } else {
            self.primary()?
        };
        let mut steps = Vec::new();
        while let Some(step) = self.step()? {
            steps.push(step);
        }
        Ok(Either::Value(if steps.is_empty() { primary } else { Node::Steps(Box::new(primary), steps) }))
    }

    fn primary(&mut self) -> Result<Node> {
        let node = match self.peek().clone() {
            Token::Symbol("$") => Node::Root,
            Token::Symbol("@") if self.filters == 0 => {
                return Err(syntax("@ is not allowed in root expressions"));
            }
            Token::Symbol("@") => Node::Current,
            Token::Variable(name) => Node::Variable(name),
            Token::Quoted(text) => Node::Literal(Json::String(text)),
            Token::Number(digits) => Node::Literal(literal(&digits)?),
            Token::Word(word) if word == "true" => Node::Literal(Json::Bool(true)),
            Token::Word(word) if word == "false" => Node::Literal(Json::Bool(false)),
            Token::Word(word) if word == "null" => Node::Literal(Json::Null),
            Token::Word(word) if word.eq_ignore_ascii_case("last") => {
                if self.subscripts == 0 {
                    return Err(syntax("LAST is allowed only in array subscripts"));
                }
                Node::Last
            }
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        Ok(node)
    }

    fn step(&mut self) -> Result<Option<Step>> {
        if self.symbol("[") {
            if self.symbol("*") {
                self.expect("]")?;
                return Ok(Some(Step::AllElements));
            }
            return self.subscript().map(Some);
        }
        if self.symbol("?") {
            self.expect("(")?;
            self.deeper()?;
            self.filters += 1;
            let condition = self.either()?;
            self.filters -= 1;
            self.depth -= 1;
            let condition = self.condition_of(condition)?;
            self.expect(")")?;
            return Ok(Some(Step::Filter(condition)));
        }
        if !self.symbol(".") {
            return Ok(None);
        }
        if self.symbol("**") {
            return self.levels().map(Some);
        }
        if self.symbol("*") {
            return Ok(Some(Step::AllMembers));
        }
        let (name, is_word) = match self.next() {
            Token::Word(name) => (name, true),
            Token::Quoted(name) => (name, false),
            _ => {
                self.at -= 1;
                return Err(self.unexpected());
            }
        };
        if !is_word || !self.symbol("(") {
            return Ok(Some(Step::Member(name)));
        }
        if name.eq_ignore_ascii_case("datetime") {
            return Err(Error::new(
                ErrorKind::FeatureNotSupported,
                "the jsonpath item method .datetime() is not supported",
            ));
        }
        let Some((_, method)) = Method::ALL.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)) else {
            self.at -= 1;
            return Err(self.unexpected());
        };
        self.expect(")")?;
        Ok(Some(Step::Method(*method)))
    }

    fn subscript(&mut self) -> Result<Step> {
        self.deeper()?;
        self.subscripts += 1;
        let mut places = Vec::new();
        loop {
            let first = self.sum()?;
            let first = self.value_of(first)?;
            let last = if self.word("to") {
                let last = self.sum()?;
                Some(self.value_of(last)?)
            } else {
                None
            };
            places.push((first, last));
            if !self.symbol(",") {
                break;
            }
        }
        self.expect("]")?;
        self.subscripts -= 1;
        self.depth -= 1;
        Ok(Step::Elements(places))
    }

    fn levels(&mut self) -> Result<Step> {
        if !self.symbol("{") {
            return Ok(Step::Levels(0, u32::MAX));
        }
        let first = self.level()?;
        let last = if self.word("to") { self.level()? } else { first };
        self.expect("}")?;
        Ok(Step::Levels(first, last))
    }

    fn level(&mut self) -> Result<u32> {
        if self.word("last") {
            return Ok(u32::MAX);
        }
        match self.peek() {
            Token::Number(digits) => {
                let level = digits.parse().map_err(|_| self.unexpected())?;
                self.at += 1;
                Ok(level)
            }
            _ => Err(self.unexpected()),
        }
    }
}

/// A number as JSON writes it: `.5` and `5.` have a zero more.
fn literal(digits: &str) -> Result<Json> {
    let number = luma_model::Numeric::parse(digits)
        .map_err(|_| Error::new(ErrorKind::OutOfRange, "value overflows numeric format"))?;
    Ok(super::number(&number))
}
