//! The grammar of external tables:
//! `CREATE EXTERNAL TABLE name [(column type, …)] STORED AS format LOCATION 'path' [OPTIONS (name 'value', …)]`.

use datafusion::sql::sqlparser::ast::{ColumnDef, ObjectName};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::names::identifier;
use crate::statement::role::{take, word};

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
pub(super) fn parse(parser: &mut Parser<'_>) -> Result<Option<CreateExternal>, ParserError> {
    if [0, 1, 2].map(|at| word(parser, at)) != ["CREATE", "EXTERNAL", "TABLE"] {
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
