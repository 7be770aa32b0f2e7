//! The grammar of external tables:
//! `CREATE EXTERNAL TABLE name [(column type, …)] STORED AS format LOCATION 'path' [OPTIONS (name 'value', …)]`,
//! and what pg_dump makes of one:
//! `CREATE FOREIGN TABLE name (column type, …) SERVER files OPTIONS (format 'csv', location 'path', …)`.

use datafusion::sql::sqlparser::ast::{ColumnDef, ObjectName};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::names::identifier;
use crate::statement::role::{take, word};

/// A statement about external tables.
#[derive(Clone, Debug)]
pub(crate) enum ExternalStatement {
    Create(CreateExternal),
    /// Of the foreign server `files` and its wrapper, which are always there: what it is called.
    Server(&'static str),
}

/// `CREATE EXTERNAL TABLE`.
#[derive(Clone, Debug)]
pub(crate) struct CreateExternal {
    pub(crate) name: ObjectName,
    pub(crate) if_not_exists: bool,
    /// Found in the files where there are none.
    pub(crate) columns: Vec<ColumnDef>,
    pub(crate) format: String,
    pub(crate) location: String,
    pub(crate) options: Vec<(String, String)>,
}

/// Parses the statement, if the next words begin it.
pub(super) fn parse(parser: &mut Parser<'_>) -> Result<Option<ExternalStatement>, ParserError> {
    match server(parser)? {
        Some(tag) => Ok(Some(ExternalStatement::Server(tag))),
        None => Ok(create(parser)?.map(ExternalStatement::Create)),
    }
}

/// What pg_dump makes of the server that foreign tables are of, and of its wrapper.
fn server(parser: &mut Parser<'_>) -> Result<Option<&'static str>, ParserError> {
    let words: [String; 4] = std::array::from_fn(|at| word(parser, at));
    let words: [&str; 4] = std::array::from_fn(|at| words.get(at).map_or("", String::as_str));
    let (tag, length) = match words {
        ["CREATE", "FOREIGN", "DATA", "WRAPPER"] => ("CREATE FOREIGN DATA WRAPPER", 4),
        ["ALTER", "FOREIGN", "DATA", "WRAPPER"] => ("ALTER FOREIGN DATA WRAPPER", 4),
        ["DROP", "FOREIGN", "DATA", "WRAPPER"] => ("DROP FOREIGN DATA WRAPPER", 4),
        ["CREATE", "SERVER", ..] => ("CREATE SERVER", 2),
        ["ALTER", "SERVER", ..] => ("ALTER SERVER", 2),
        ["DROP", "SERVER", ..] => ("DROP SERVER", 2),
        _ => return Ok(None),
    };
    for _ in 0..length {
        parser.next_token();
    }
    if take(parser, "IF") {
        take(parser, "NOT");
        take(parser, "EXISTS");
    }
    if !take(parser, "FILES") {
        return parser.expected("files, as there is no other foreign server", parser.peek_token());
    }
    if take(parser, "FOREIGN") && !(take(parser, "DATA") && take(parser, "WRAPPER") && take(parser, "FILES"))
    {
        return parser.expected("DATA WRAPPER files", parser.peek_token());
    }
    if take(parser, "OWNER") {
        take(parser, "TO");
        parser.parse_identifier()?;
    }
    Ok(Some(tag))
}

fn create(parser: &mut Parser<'_>) -> Result<Option<CreateExternal>, ParserError> {
    let foreign = word(parser, 1) == "FOREIGN";
    let begins = word(parser, 0) == "CREATE" && (foreign || word(parser, 1) == "EXTERNAL");
    if !begins || word(parser, 2) != "TABLE" {
        return Ok(None);
    }
    for _ in 0..3 {
        parser.next_token();
    }
    let if_not_exists = take(parser, "IF");
    if if_not_exists && !(take(parser, "NOT") && take(parser, "EXISTS")) {
        return parser.expected("NOT EXISTS", parser.peek_token());
    }
    let name = parser.parse_object_name(false)?;
    let (columns, constraints) = parser.parse_columns()?;
    if !constraints.is_empty() {
        return parser.expected("names and types of columns only", parser.peek_token());
    }
    if foreign {
        return of_server(parser, name, if_not_exists, columns).map(Some);
    }
    if !(take(parser, "STORED") && take(parser, "AS")) {
        return parser.expected("STORED AS", parser.peek_token());
    }
    let format = identifier(&parser.parse_identifier()?);
    if !take(parser, "LOCATION") {
        return parser.expected("LOCATION", parser.peek_token());
    }
    let location = parser.parse_literal_string()?;
    let options = if take(parser, "OPTIONS") { options(parser)? } else { Vec::new() };
    Ok(Some(CreateExternal { name, if_not_exists, columns, format, location, options }))
}

/// The rest of CREATE FOREIGN TABLE, after the columns.
fn of_server(
    parser: &mut Parser<'_>,
    name: ObjectName,
    if_not_exists: bool,
    columns: Vec<ColumnDef>,
) -> Result<CreateExternal, ParserError> {
    if !(take(parser, "SERVER") && take(parser, "FILES") && take(parser, "OPTIONS")) {
        return parser.expected(
            "SERVER files OPTIONS (…), as there are no other foreign servers",
            parser.peek_token(),
        );
    }
    let mut options = options(parser)?;
    let mut given = |wanted: &str| {
        let place = options.iter().position(|(name, _)| name == wanted);
        place.map(|place| options.remove(place).1)
    };
    let (Some(format), Some(location)) = (given("format"), given("location")) else {
        return Err(ParserError::ParserError("the options format and location are missing".into()));
    };
    Ok(CreateExternal { name, if_not_exists, columns, format, location, options })
}

/// `ALTER` and `DROP FOREIGN TABLE` as statements about a table.
pub(super) fn tokens(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut words = tokens.iter().enumerate().filter_map(|(place, token)| match &token.token {
        Token::Whitespace(_) => None,
        Token::Word(word) => Some((place, word.value.to_ascii_uppercase())),
        _ => Some((place, String::new())),
    });
    if let (Some((_, verb)), Some((place, kind)), Some((_, table))) =
        (words.next(), words.next(), words.next())
        && matches!(verb.as_str(), "ALTER" | "DROP")
        && kind == "FOREIGN"
        && table == "TABLE"
    {
        tokens.remove(place);
    }
    tokens
}

fn options(parser: &mut Parser<'_>) -> Result<Vec<(String, String)>, ParserError> {
    parser.expect_token(&Token::LParen)?;
    let options = parser.parse_comma_separated(|parser| {
        let name = identifier(&parser.parse_identifier()?);
        let _ = parser.consume_token(&Token::Eq);
        let value = match parser.peek_token().token {
            Token::SingleQuotedString(text) => {
                parser.next_token();
                text
            }
            _ => identifier(&parser.parse_identifier()?),
        };
        Ok((name, value))
    })?;
    parser.expect_token(&Token::RParen)?;
    Ok(options)
}
