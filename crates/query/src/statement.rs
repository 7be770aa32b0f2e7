//! SQL text into statements.
//!
//! The grammar is sqlparser's PostgreSQL dialect. What it lacks (`CREATE COLLECTION`, some short
//! forms) is recognised here by its leading words.

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::parser::{IsOptional, Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};
use luma_model::{Error, ErrorKind, Result};

mod assignment;
mod balance;
pub(crate) mod conflict;
pub(crate) mod constraint;
mod cursor;
pub(crate) mod dialect;
pub(crate) mod external;
pub(crate) mod form;
pub(crate) mod like;
mod locate;
pub(crate) mod materialized;
pub(crate) mod merge;
pub(crate) mod overriding;
pub(crate) mod relation;
pub(crate) mod role;
pub(crate) mod sequence;
mod spelling;
mod subscript;
pub(crate) mod user_type;
pub(crate) mod weight;

use crate::roomy;
use dialect::Grammar;
pub(crate) use locate::locate;

/// Longest SQL text.
const TEXT_BYTES_MAX: usize = 256 << 20;
/// Deepest nesting.
const DEPTH_MAX: usize = 200;

/// One parsed statement.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Its text.
    pub text: String,
    /// Where it starts in the text it came in, in characters from 1; a part of a statement has no place.
    start: Option<u32>,
    /// Whether it is so large or deep that it is planned with more room.
    pub(crate) heavy: bool,
    pub(crate) body: Body,
}

impl Statement {
    /// The cursor that a MOVE passes over rows of, and how many, if it goes forward.
    pub fn moves_forward(&self) -> Option<(String, u64)> {
        use ast::FetchDirection::{All, Count, Forward, ForwardAll, Next};
        let Body::Move { name, direction } = &self.body else { return None };
        let count = match direction {
            Next | Forward { limit: None } => 1,
            All | ForwardAll => u64::MAX,
            Count { limit } | Forward { limit: Some(limit) } => limit.to_string().parse().ok()?,
            _ => return None,
        };
        Some((crate::names::identifier(name), count))
    }

    /// Takes parameters away from the arguments of functions: places that a client keeps for results.
    pub fn drop_arguments(&mut self, parameters: &[usize]) {
        if parameters.is_empty() {
            return;
        }
        let Body::Sql(body) = &mut self.body else { return };
        let dropped = |argument: &ast::FunctionArg| match argument {
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(ast::Expr::Value(value))) => {
                let ast::Value::Placeholder(name) = &value.value else { return false };
                let place = name.strip_prefix('$').and_then(|digits| digits.parse().ok());
                place.is_some_and(|place| parameters.contains(&place))
            }
            _ => false,
        };
        let _ = ast::VisitMut::visit(body.as_mut(), &mut ArgumentDropper(&dropped));
    }

    /// A statement that is part of another one; it stands for itself in no text.
    pub(crate) fn part(statement: ast::Statement) -> Self {
        Self { text: statement.to_string(), start: None, heavy: false, body: Body::Sql(Box::new(statement)) }
    }
}

/// Takes arguments away from the functions of a statement.
struct ArgumentDropper<'a>(&'a dyn Fn(&ast::FunctionArg) -> bool);

impl ast::VisitorMut for ArgumentDropper<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut ast::Expr) -> std::ops::ControlFlow<()> {
        if let ast::Expr::Function(function) = expr
            && let ast::FunctionArguments::List(list) = &mut function.args
        {
            list.args.retain(|argument| !(self.0)(argument));
        }
        std::ops::ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut ast::TableFactor) -> std::ops::ControlFlow<()> {
        if let ast::TableFactor::Table { args: Some(function), .. } = factor {
            function.args.retain(|argument| !(self.0)(argument));
        }
        std::ops::ControlFlow::Continue(())
    }
}

/// What was parsed.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// A statement of sqlparser's grammar.
    Sql(Box<ast::Statement>),
    /// `CREATE COLLECTION [IF NOT EXISTS] name`.
    CreateCollection { name: ast::ObjectName, if_not_exists: bool },
    /// `DROP COLLECTION [IF EXISTS] name, …`.
    DropCollection { names: Vec<ast::ObjectName>, if_exists: bool },
    /// `DISCARD ALL`.
    DiscardAll,
    /// `DISCARD PLANS`, `SEQUENCES` or `TEMP`: what the client is told.
    Discard(&'static str),
    /// `ANALYZE [table]`.
    Analyze(Vec<ast::ObjectName>),
    /// `VACUUM …` of these tables, or of all.
    Vacuum {
        /// What is compacted; compaction runs by itself, too.
        tables: Vec<ast::ObjectName>,
        /// Whether their statistics are made anew.
        analyze: bool,
    },
    /// `CHECKPOINT`.
    Checkpoint,
    /// SET CONSTRAINTS and ALTER TABLE … ALTER CONSTRAINT.
    Constraint(constraint::ConstraintStatement),
    /// What is understood and can't be done.
    Refused { message: &'static str, hint: &'static str },
    /// A statement whose WITH queries change rows.
    With(form::With),
    /// CREATE and REFRESH of materialized views.
    Materialized(materialized::MaterializedStatement),
    /// CREATE EXTERNAL TABLE and its kin.
    External(external::ExternalStatement),
    /// CREATE SEQUENCE and ALTER SEQUENCE.
    Sequence(sequence::SequenceStatement),
    /// ALTER … SET SCHEMA, identity columns, REINDEX and their kin.
    Relation(relation::RelationStatement),
    /// `MOVE … FROM cursor`.
    Move { name: ast::Ident, direction: ast::FetchDirection },
    /// CREATE, ALTER and DROP of roles and users.
    Role(role::RoleStatement),
    /// CREATE, ALTER and DROP of types and domains.
    Type(user_type::TypeStatement),
}

/// Splits and parses a script.
///
/// # Errors
/// 42601 with the position of the first token that does not fit.
pub(crate) fn parse(text: &str) -> Result<Vec<Statement>> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Error::new(ErrorKind::ProgramLimit, "the statement is longer than 256 MB"));
    }
    let dialect = Grammar::new();
    let tokens = Tokenizer::new(&dialect, text).tokenize_with_location().map_err(|error| {
        let position = position(text, error.location.line, error.location.column);
        Error::new(ErrorKind::Syntax, lower_first(&error.message)).position(position)
    })?;
    let mut statements = Vec::new();
    let mut cursor = Cursor { text, line: 1, column: 1, byte: 0, place: 1 };
    for part in tokens.split(|token| token.token == Token::SemiColon) {
        if part.iter().all(|token| matches!(token.token, Token::Whitespace(_) | Token::EOF)) {
            continue;
        }
        let (start, source) = cursor.source_text(part);
        let heavy = weight::is_heavy(part)?;
        let body = roomy::call(heavy, || parse_one(text, part, &dialect))?;
        statements.push(Statement { text: source, start: Some(start), heavy, body });
    }
    Ok(statements)
}

/// Refuses parameters with numbers that no client can give; memory is taken for all up to the highest.
fn check_parameters(text: &str, tokens: &[TokenWithSpan]) -> Result<()> {
    for token in tokens {
        let Token::Placeholder(name) = &token.token else { continue };
        let Some(digits) = name.strip_prefix('$').filter(|digits| digits.bytes().all(|c| c.is_ascii_digit()))
        else {
            continue;
        };
        if !digits.parse().is_ok_and(|number| (1..=crate::prepared::PARAMETERS_MAX).contains(&number)) {
            let place = position(text, token.span.start.line, token.span.start.column);
            let message = format!("there is no parameter {name}");
            return Err(Error::new(ErrorKind::UndefinedParameter, message).position(place));
        }
    }
    Ok(())
}

fn parse_one(text: &str, tokens: &[TokenWithSpan], dialect: &Grammar) -> Result<Body> {
    check_parameters(text, tokens)?;
    let mut parser = Parser::new(dialect).with_recursion_limit(DEPTH_MAX).with_tokens_with_locations(
        sequence::order_identity_options(form::tokens(external::tokens(subscript::tokens(
            spelling::tokens(copy_tokens(tokens)),
        )))),
    );
    let body = (|| {
        if let Some(statement) = role::parse(&mut parser)? {
            return Ok(Body::Role(statement));
        }
        if let Some(statement) = constraint::parse(&mut parser)? {
            return Ok(Body::Constraint(statement));
        }
        if let Some(statement) = relation::parse(&mut parser)? {
            return Ok(Body::Relation(statement));
        }
        if let Some(statement) = sequence::parse(&mut parser)? {
            return Ok(Body::Sequence(statement));
        }
        if let Some(statement) = external::parse(&mut parser)? {
            return Ok(Body::External(statement));
        }
        if let Some(statement) = user_type::parse(&mut parser)? {
            return Ok(Body::Type(statement));
        }
        if let Some(statement) = materialized::parse(&mut parser)? {
            return Ok(Body::Materialized(statement));
        }
        if let Some(body) = cursor::parse(&mut parser)? {
            return Ok(body);
        }
        if let Some(body) = parse_own(&mut parser)? {
            return Ok(body);
        }
        parser.parse_statement().map(|statement| Body::Sql(Box::new(statement)))
    })()
    .map_err(|error| syntax_error(text, tokens, &mut parser, &error))?;
    let next = parser.next_token();
    if next.token != Token::EOF {
        return Err(near(text, &next));
    }
    match body {
        Body::Sql(mut statement) => {
            balance::balance(statement.as_mut());
            assignment::spread(&mut statement)?;
            form::statement(*statement)
        }
        other => Ok(other),
    }
}

/// sqlparser wants a semicolon after `COPY … FROM STDIN`, spells an option's `on` as `true`, and knows neither
/// `HEADER MATCH` nor `FORCE_QUOTE *`.
fn copy_tokens(tokens: &[TokenWithSpan]) -> Vec<TokenWithSpan> {
    let word = |token: &TokenWithSpan| match &token.token {
        Token::Word(word) => word.value.to_ascii_uppercase(),
        _ => String::new(),
    };
    let tokens = tokens.to_vec();
    let first = tokens.iter().find(|token| !matches!(token.token, Token::Whitespace(_)));
    if first.is_none_or(|first| word(first) != "COPY") {
        return tokens;
    }
    let mut last = String::new();
    let quoted = |name: &str| TokenWithSpan::wrap(Token::make_word(name, Some('"')));
    let mut spelled = Vec::with_capacity(tokens.len());
    for token in tokens {
        match (last.as_str(), &token.token) {
            ("HEADER", Token::Word(_)) if word(&token) == "MATCH" => {
                spelled.extend([Token::Comma, Token::make_keyword("FORMAT")].map(TokenWithSpan::wrap));
                spelled.push(quoted(crate::copy::options::HEADER_MATCH));
            }
            ("QUOTE", Token::Mul) => spelled.push(quoted(crate::copy::options::ALL_COLUMNS)),
            ("FORCE_QUOTE", Token::Mul) => {
                spelled.push(TokenWithSpan::wrap(Token::LParen));
                spelled.push(quoted(crate::copy::options::ALL_COLUMNS));
                spelled.push(TokenWithSpan::wrap(Token::RParen));
            }
            _ => spelled.push(token.clone()),
        }
        if !matches!(token.token, Token::Whitespace(_)) {
            last = word(&token);
        }
    }
    let mut tokens = spelled;
    for token in &mut tokens {
        match word(token).as_str() {
            "ON" => token.token = Token::make_keyword("TRUE"),
            "OFF" => token.token = Token::make_keyword("FALSE"),
            _ => {}
        }
    }
    if tokens.iter().any(|token| word(token) == "STDIN") {
        tokens.retain(|token| token.token != Token::EOF);
        tokens.push(TokenWithSpan::wrap(Token::SemiColon));
    }
    tokens
}

/// The statements that sqlparser does not know, or knows in another form.
fn parse_own(parser: &mut Parser<'_>) -> Result<Option<Body>, ParserError> {
    let word = |parser: &Parser<'_>, at: usize| match parser.peek_nth_token(at).token {
        Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        _ => String::new(),
    };
    let skip = |parser: &mut Parser<'_>, count: usize| {
        for _ in 0..count {
            parser.next_token();
        }
    };
    match (word(parser, 0).as_str(), word(parser, 1).as_str()) {
        ("CREATE", "COLLECTION") => {
            skip(parser, 2);
            let if_not_exists = word(parser, 0) == "IF";
            skip(parser, if if_not_exists { 3 } else { 0 });
            Ok(Some(Body::CreateCollection { name: parser.parse_object_name(false)?, if_not_exists }))
        }
        ("DROP", "COLLECTION") => {
            skip(parser, 2);
            let if_exists = word(parser, 0) == "IF";
            skip(parser, if if_exists { 2 } else { 0 });
            let names = parser.parse_comma_separated(|parser| parser.parse_object_name(false))?;
            Ok(Some(Body::DropCollection { names, if_exists }))
        }
        ("DISCARD", what) => {
            let tag = match what {
                "PLANS" => Some("DISCARD PLANS"),
                "SEQUENCES" => Some("DISCARD SEQUENCES"),
                "TEMP" | "TEMPORARY" => Some("DISCARD TEMP"),
                _ => None,
            };
            skip(parser, 2);
            Ok(Some(tag.map_or(Body::DiscardAll, Body::Discard)))
        }
        ("DO", _) => {
            while parser.next_token().token != Token::EOF {}
            Ok(Some(Body::Refused {
                message: "DO blocks are not supported",
                hint: "There is no procedural language; run the block's statements one by one.",
            }))
        }
        ("PREPARE", "TRANSACTION") | ("COMMIT" | "ROLLBACK", "PREPARED") => {
            while parser.next_token().token != Token::EOF {}
            Ok(Some(Body::Refused {
                message: "prepared transactions are not supported",
                hint: "Commit with COMMIT; there is no two-phase commit.",
            }))
        }
        ("CHECKPOINT", _) => {
            skip(parser, 1);
            Ok(Some(Body::Checkpoint))
        }
        (verb @ ("ANALYZE" | "ANALYSE" | "VACUUM"), _) => {
            let vacuum = verb == "VACUUM";
            skip(parser, 1);
            let is_analyze = |word: &str| matches!(word, "ANALYZE" | "ANALYSE");
            let mut analyze = !vacuum;
            if parser.consume_token(&Token::LParen) {
                while !matches!(parser.peek_token().token, Token::RParen | Token::EOF) {
                    if is_analyze(&word(parser, 0)) {
                        analyze = !matches!(parser.peek_nth_token(1).token.to_string().as_str(), "0")
                            && !matches!(word(parser, 1).as_str(), "FALSE" | "OFF");
                    }
                    skip(parser, 1);
                }
                skip(parser, 1);
            }
            while matches!(word(parser, 0).as_str(), "VERBOSE" | "FULL" | "FREEZE" | "ANALYZE" | "ANALYSE") {
                analyze |= is_analyze(&word(parser, 0));
                skip(parser, 1);
            }
            let mut tables = Vec::new();
            if parser.peek_token().token != Token::EOF {
                tables = parser.parse_comma_separated(|parser| {
                    let table = parser.parse_object_name(false)?;
                    // Statistics are those of all columns.
                    parser.parse_parenthesized_column_list(IsOptional::Optional, false)?;
                    Ok(table)
                })?;
            }
            Ok(Some(if vacuum { Body::Vacuum { tables, analyze } } else { Body::Analyze(tables) }))
        }
        _ => Ok(None),
    }
}

/// sqlparser says what it expected; PostgreSQL says where it stopped. Give both.
fn syntax_error(text: &str, tokens: &[TokenWithSpan], parser: &mut Parser<'_>, error: &ParserError) -> Error {
    let message = match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message.clone(),
        ParserError::RecursionLimitExceeded => {
            return Error::new(ErrorKind::StatementTooComplex, "the statement is nested too deeply");
        }
    };
    // The message ends in "at Line: l, Column: c" where the parser knows the place.
    let located = message.rfind(" at Line: ").and_then(|at| {
        let mut numbers = message[at..]
            .split(|character: char| !character.is_ascii_digit())
            .filter(|part| !part.is_empty())
            .filter_map(|part| part.parse::<u64>().ok());
        Some((at, numbers.next()?, numbers.next()?))
    });
    let expected = located.map_or(message.as_str(), |(at, ..)| &message[..at]);
    let found = match located {
        Some((_, line, column)) => tokens
            .iter()
            .find(|token| token.span.start.line == line && token.span.start.column == column)
            .cloned()
            .unwrap_or_else(|| parser.peek_token()),
        None => parser.peek_token(),
    };
    near(text, &found).hint(format!("{expected}."))
}

fn near(text: &str, token: &TokenWithSpan) -> Error {
    let error = match &token.token {
        Token::EOF => Error::new(ErrorKind::Syntax, "syntax error at end of input"),
        token => Error::new(ErrorKind::Syntax, format!("syntax error at or near \"{token}\"")),
    };
    let start = token.span.start;
    if start.line == 0 {
        return error.position(u32::try_from(text.chars().count()).unwrap_or(0) + 1);
    }
    error.position(position(text, start.line, start.column))
}

/// Line and column (from 1, in characters) as a position in the whole text (from 1, in characters).
fn position(text: &str, line: u64, column: u64) -> u32 {
    let before: usize = text
        .split_inclusive('\n')
        .take(usize::try_from(line.saturating_sub(1)).unwrap_or(0))
        .map(|line| line.chars().count())
        .sum();
    u32::try_from(before as u64 + column).unwrap_or(u32::MAX)
}

/// A place in the text that only moves forward, so that a long script is walked once.
struct Cursor<'a> {
    text: &'a str,
    line: u64,
    column: u64,
    byte: usize,
    /// Characters before, plus one.
    place: u32,
}

impl Cursor<'_> {
    /// The part of the text that these tokens cover, and where it starts.
    fn source_text(&mut self, tokens: &[TokenWithSpan]) -> (u32, String) {
        let real = |token: &&TokenWithSpan| !matches!(token.token, Token::Whitespace(_) | Token::EOF);
        let (Some(first), Some(last)) = (tokens.iter().find(real), tokens.iter().rev().find(real)) else {
            return (self.place, String::new());
        };
        let start = self.seek(first.span.start.line, first.span.start.column);
        let place = self.place;
        let end = self.seek(last.span.end.line, last.span.end.column);
        (place, self.text[start..end].to_owned())
    }

    fn seek(&mut self, line: u64, column: u64) -> usize {
        for character in self.text[self.byte..].chars() {
            if (self.line, self.column) >= (line, column) {
                break;
            }
            self.byte += character.len_utf8();
            self.place = self.place.saturating_add(1);
            if character == '\n' {
                (self.line, self.column) = (self.line + 1, 1);
            } else {
                self.column += 1;
            }
        }
        self.byte
    }
}

fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => String::new(),
    }
}
