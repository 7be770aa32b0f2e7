//! Where in a statement an error is.
//!
//! Planning knows what it could not find or read, by name, but DataFusion's tree has lost the place.
//! The error's message names the thing as PostgreSQL's does; this finds it again in the text, so that
//! a client can point at it. Only done for an error, so that no statement pays for it. An error whose
//! place is not certain gets none.

use datafusion::sql::sqlparser::ast::Statement as Sql;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Word};
use luma_model::{Error, ErrorKind};

use super::{Body, Statement, position};

/// Longest statement that is searched.
const SEARCHED_BYTES_MAX: usize = 1 << 20;

/// The error with its place in the text that the statement came in, if it has none and it can be told.
pub(crate) fn locate(error: Error, statement: &Statement) -> Error {
    if error.position.is_some() || statement.text.len() > SEARCHED_BYTES_MAX || !has_places(&statement.body) {
        return error;
    }
    let (Some(wanted), Some(first)) = (wanted(&error), statement.start) else { return error };
    let Ok(tokens) = Tokenizer::new(&PostgreSqlDialect {}, &statement.text).tokenize_with_location() else {
        return error;
    };
    let tokens: Vec<_> = tokens
        .into_iter()
        .filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF))
        .collect();
    // What such a function finds wrong is its own affair, not that of the literal.
    let reads_formats =
        |at: usize| at > 1 && is(&tokens, at - 1, &Token::LParen) && is_reader(&tokens, at - 2);
    match wanted.find(&tokens).filter(|at| !reads_formats(*at)) {
        Some(at) => {
            let start = tokens[at].span.start;
            error.position(first + position(&statement.text, start.line, start.column) - 1)
        }
        None => error,
    }
}

/// Whether PostgreSQL gives places for errors of such a statement: of queries, not of definitions.
fn has_places(body: &Body) -> bool {
    matches!(
        body,
        Body::Sql(statement) if matches!(
            **statement,
            Sql::Query(_)
                | Sql::Insert(_)
                | Sql::Update(_)
                | Sql::Delete(_)
                | Sql::Merge(_)
                | Sql::Explain { .. }
                | Sql::CreateView(_)
                | Sql::CreateTable(_)
                | Sql::Declare { .. }
                | Sql::Prepare { .. }
        )
    )
}

/// What to look for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    /// A relation by its name, with or without a schema.
    Relation(Vec<String>),
    /// The first column written with this table's name.
    TableOfColumn(String),
    /// A column as it is written.
    Column(Vec<String>),
    /// A column of the table that is written to.
    Target(String),
    /// A function by its name.
    Function(Vec<String>),
    /// An operator, if it is there once.
    Operator(String),
    /// A parameter as it is written.
    Parameter(String),
    /// A string literal, if it is there once.
    Literal(String),
}

fn wanted(error: &Error) -> Option<Wanted> {
    let message = error.message.as_str();
    let quoted = |before: &str, after: &str| {
        message.strip_prefix(before)?.strip_prefix('"')?.strip_suffix(after)?.strip_suffix('"')
    };
    match error.kind {
        ErrorKind::UndefinedTable => {
            if let Some(table) = quoted("missing FROM-clause entry for table ", "") {
                return Some(Wanted::TableOfColumn(table.to_owned()));
            }
            quoted("relation ", " does not exist").map(|name| Wanted::Relation(parts(name)))
        }
        ErrorKind::UndefinedColumn => {
            if let Some((column, _)) =
                message.strip_prefix("column \"").and_then(|rest| rest.split_once("\" of relation \""))
            {
                return Some(Wanted::Target(column.to_owned()));
            }
            let name = message.strip_prefix("column ")?.strip_suffix(" does not exist")?;
            Some(Wanted::Column(match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
                Some(name) => vec![name.to_owned()],
                None => parts(name),
            }))
        }
        ErrorKind::AmbiguousColumn => {
            quoted("column reference ", " is ambiguous").map(|name| Wanted::Column(vec![name.to_owned()]))
        }
        ErrorKind::GroupingError => {
            let (name, _) = message.strip_prefix("column \"")?.split_once('"')?;
            Some(Wanted::Column(parts(name)))
        }
        ErrorKind::UndefinedFunction => {
            if let Some(types) = message.strip_prefix("operator does not exist: ") {
                let operator =
                    types.split(' ').find(|word| !word.starts_with(|c: char| c.is_alphanumeric()))?;
                return Some(Wanted::Operator(operator.to_owned()));
            }
            let (name, _) = message.strip_prefix("function ")?.split_once('(')?;
            Some(Wanted::Function(parts(name)))
        }
        ErrorKind::UndefinedObject => {
            quoted("type ", " does not exist").map(|name| Wanted::Column(parts(name)))
        }
        ErrorKind::UndefinedParameter => {
            let number = message.strip_prefix("there is no parameter ")?;
            Some(Wanted::Parameter(number.to_owned()))
        }
        ErrorKind::InvalidText | ErrorKind::InvalidDatetime | ErrorKind::DatetimeOverflow => {
            let (start, text) = message.strip_suffix('"')?.split_once(": \"")?;
            let known = ["invalid input ", "malformed ", "date/time field value "];
            known.iter().any(|known| start.starts_with(known)).then(|| Wanted::Literal(text.to_owned()))
        }
        ErrorKind::OutOfRange => {
            let rest = message.strip_prefix("value ").unwrap_or(message).strip_prefix('"')?;
            let (text, rest) = rest.split_once('"')?;
            rest.starts_with(" is out of range").then(|| Wanted::Literal(text.to_owned()))
        }
        _ => None,
    }
}

fn parts(name: &str) -> Vec<String> {
    name.split('.').map(|part| part.trim_matches('"').to_owned()).collect()
}

impl Wanted {
    /// The number of the token where it starts.
    fn find(&self, tokens: &[TokenWithSpan]) -> Option<usize> {
        match self {
            Self::Relation(name) => names(tokens, name)
                .find(|at| introduces_relation(tokens, *at))
                // A name in a string: 'x'::regclass, nextval('x').
                .or_else(|| Self::Literal(name.join(".")).find(tokens)),
            Self::TableOfColumn(table) => (0..tokens.len()).find(|at| {
                is_word(tokens, *at, table)
                    && is(tokens, at + 1, &Token::Period)
                    && !(*at > 0 && is(tokens, at - 1, &Token::Period))
            }),
            Self::Column(name) => {
                let reference = |at: &usize| {
                    !is(tokens, at + 2 * name.len() - 1, &Token::LParen)
                        && !(*at > 0 && (is_word(tokens, at - 1, "as") || is_word(tokens, at - 1, "from")))
                };
                // A message may qualify what the statement does not.
                names(tokens, name).find(reference).or_else(|| {
                    let [_, column] = name.as_slice() else { return None };
                    names(tokens, std::slice::from_ref(column)).find(|at| !is(tokens, at + 1, &Token::LParen))
                })
            }
            Self::Target(column) => names(tokens, std::slice::from_ref(column)).next(),
            Self::Function(name) => names(tokens, name)
                .find(|at| is(tokens, at + 2 * name.len() - 1, &Token::LParen))
                .or_else(|| names(tokens, &name[name.len() - 1..]).find(|at| is(tokens, at + 1, &Token::LParen))),
            Self::Operator(operator) => {
                once((0..tokens.len()).filter(|at| tokens[*at].token.to_string() == *operator))
            }
            Self::Parameter(number) => (0..tokens.len())
                .find(|at| matches!(&tokens[*at].token, Token::Placeholder(found) if found == number)),
            Self::Literal(text) => once((0..tokens.len()).filter(|at| {
                matches!(&tokens[*at].token, Token::SingleQuotedString(found) | Token::EscapedStringLiteral(found) if found == text)
            })),
        }
    }
}

/// Where a name starts that is written with just these parts.
fn names<'t>(tokens: &'t [TokenWithSpan], name: &'t [String]) -> impl Iterator<Item = usize> + 't {
    (0..tokens.len()).filter(move |at| {
        let end = at + 2 * name.len() - 1;
        name.iter().enumerate().all(|(number, part)| {
            is_word(tokens, at + 2 * number, part)
                && (number == 0 || is(tokens, at + 2 * number - 1, &Token::Period))
        }) && !is(tokens, end, &Token::Period)
            && !(*at > 0 && is(tokens, at - 1, &Token::Period))
    })
}

/// Whether a relation is named here: after the words that bring one, or after a comma.
fn introduces_relation(tokens: &[TokenWithSpan], at: usize) -> bool {
    let Some(before) = at.checked_sub(1) else { return false };
    is(tokens, before, &Token::Comma)
        || is(tokens, before, &Token::LParen)
        || ["from", "join", "into", "update", "only", "using", "lateral"]
            .iter()
            .any(|word| is_word(tokens, before, word))
}

fn is(tokens: &[TokenWithSpan], at: usize, token: &Token) -> bool {
    tokens.get(at).is_some_and(|found| found.token == *token)
}

/// Whether the token is this name, folded to lower case unless it is quoted.
fn is_word(tokens: &[TokenWithSpan], at: usize, name: &str) -> bool {
    match tokens.get(at).map(|token| &token.token) {
        Some(Token::Word(Word { value, quote_style: None, .. })) => value.to_lowercase() == name,
        Some(Token::Word(Word { value, .. })) => value == name,
        _ => false,
    }
}

/// Whether the token names a function that reads text by a format.
fn is_reader(tokens: &[TokenWithSpan], at: usize) -> bool {
    ["to_date", "to_timestamp", "to_number"].iter().any(|name| is_word(tokens, at, name))
}

/// The only one of them.
fn once(mut places: impl Iterator<Item = usize>) -> Option<usize> {
    let first = places.next()?;
    places.next().is_none().then_some(first)
}
