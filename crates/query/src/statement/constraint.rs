//! Statements about when constraints are checked, which sqlparser does not know.

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

/// When constraints are checked.
#[derive(Clone, Debug)]
pub(crate) enum ConstraintStatement {
    /// `SET CONSTRAINTS ALL|name, … DEFERRED|IMMEDIATE`; no names are all.
    Set { names: Vec<ast::ObjectName>, deferred: bool },
    /// `ALTER TABLE [IF EXISTS] table ALTER CONSTRAINT name [NOT DEFERRABLE|DEFERRABLE] [INITIALLY …]`.
    Alter {
        table: ast::ObjectName,
        if_exists: bool,
        name: ast::Ident,
        characteristics: Option<ast::ConstraintCharacteristics>,
    },
}

/// Reads one of the statements; `None` when it is another one.
pub(super) fn parse(parser: &mut Parser<'_>) -> Result<Option<ConstraintStatement>, ParserError> {
    if word(parser, 0) == "SET" && word(parser, 1) == "CONSTRAINTS" {
        parser.next_token();
        parser.next_token();
        let names = if parser.parse_keyword(Keyword::ALL) {
            Vec::new()
        } else {
            parser.parse_comma_separated(|parser| parser.parse_object_name(false))?
        };
        let deferred = match word(parser, 0).as_str() {
            "DEFERRED" => true,
            "IMMEDIATE" => false,
            _ => return parser.expected("DEFERRED or IMMEDIATE", parser.peek_token()),
        };
        parser.next_token();
        return Ok(Some(ConstraintStatement::Set { names, deferred }));
    }
    if !alters_constraint(parser) {
        return Ok(None);
    }
    parser.expect_keywords(&[Keyword::ALTER, Keyword::TABLE])?;
    let if_exists = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
    let _ = parser.parse_keyword(Keyword::ONLY);
    let table = parser.parse_object_name(false)?;
    parser.expect_keywords(&[Keyword::ALTER, Keyword::CONSTRAINT])?;
    let name = parser.parse_identifier()?;
    let characteristics = parser.parse_constraint_characteristics()?;
    Ok(Some(ConstraintStatement::Alter { table, if_exists, name, characteristics }))
}

/// Whether it is an ALTER TABLE whose first action is ALTER CONSTRAINT.
fn alters_constraint(parser: &Parser<'_>) -> bool {
    if word(parser, 0) != "ALTER" || word(parser, 1) != "TABLE" {
        return false;
    }
    let mut at = 2;
    for skipped in ["IF", "EXISTS", "ONLY"] {
        if word(parser, at) == skipped {
            at += 1;
        }
    }
    at += 1;
    while parser.peek_nth_token(at).token == Token::Period {
        at += 2;
    }
    word(parser, at) == "ALTER" && word(parser, at + 1) == "CONSTRAINT"
}

fn word(parser: &Parser<'_>, at: usize) -> String {
    match parser.peek_nth_token(at).token {
        Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        _ => String::new(),
    }
}
