//! CREATE and REFRESH of materialized views, whose WITH [NO] DATA sqlparser does not know.

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{IsOptional, Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

/// What is done with a materialized view.
#[derive(Clone, Debug)]
pub(crate) enum MaterializedStatement {
    /// `CREATE MATERIALIZED VIEW [IF NOT EXISTS] name [(column, …)] AS query [WITH [NO] DATA]`
    Create {
        name: ast::ObjectName,
        if_not_exists: bool,
        columns: Vec<ast::Ident>,
        query: Box<ast::Query>,
        with_data: bool,
    },
    /// `REFRESH MATERIALIZED VIEW [CONCURRENTLY] name [WITH [NO] DATA]`
    Refresh { name: ast::ObjectName, concurrently: bool, with_data: bool },
}

/// Reads one of the statements; `None` when it is another one.
pub(super) fn parse(parser: &mut Parser<'_>) -> Result<Option<MaterializedStatement>, ParserError> {
    if parser.parse_keywords(&[Keyword::CREATE, Keyword::MATERIALIZED, Keyword::VIEW]) {
        let if_not_exists = parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
        let name = parser.parse_object_name(false)?;
        let columns = parser.parse_parenthesized_column_list(IsOptional::Optional, false)?;
        if parser.parse_keyword(Keyword::USING) {
            // The one access method there is has no name that matters.
            parser.parse_identifier()?;
        }
        parser.expect_keyword_is(Keyword::AS)?;
        let query = parser.parse_query()?;
        let with_data = data(parser)?;
        return Ok(Some(MaterializedStatement::Create { name, if_not_exists, columns, query, with_data }));
    }
    if word(parser, 0) == "REFRESH" && word(parser, 1) == "MATERIALIZED" {
        parser.next_token();
        parser.next_token();
        parser.expect_keyword_is(Keyword::VIEW)?;
        let concurrently = parser.parse_keyword(Keyword::CONCURRENTLY);
        let name = parser.parse_object_name(false)?;
        let with_data = data(parser)?;
        return Ok(Some(MaterializedStatement::Refresh { name, concurrently, with_data }));
    }
    Ok(None)
}

fn word(parser: &Parser<'_>, at: usize) -> String {
    match parser.peek_nth_token(at).token {
        Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        _ => String::new(),
    }
}

/// `WITH [NO] DATA`; with data unless it says otherwise.
fn data(parser: &mut Parser<'_>) -> Result<bool, ParserError> {
    if !parser.parse_keyword(Keyword::WITH) {
        return Ok(true);
    }
    let none = parser.parse_keyword(Keyword::NO);
    parser.expect_keyword_is(Keyword::DATA)?;
    Ok(!none)
}
