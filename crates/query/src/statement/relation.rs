//! Statements about tables and their kin that sqlparser does not know: SET SCHEMA, changes of identity columns, what only says
//! how rows are stored, REINDEX and CLUSTER.

use datafusion::sql::sqlparser::ast::{self, ObjectName, SequenceOptions};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::names::identifier;
use crate::statement::role::{take, word};
use crate::statement::sequence::number;

/// A statement about a relation.
#[derive(Clone, Debug)]
pub(crate) enum RelationStatement {
    /// `ALTER … name SET SCHEMA schema`; `tag` is what the client is told.
    SetSchema { tag: &'static str, name: ObjectName, if_exists: bool, schema: String },
    /// `ALTER TABLE table ALTER [COLUMN] column …` of an identity column.
    Identity { table: ObjectName, if_exists: bool, column: String, change: IdentityChange },
    /// `ALTER TABLE table VALIDATE CONSTRAINT name`.
    Validate { table: ObjectName, if_exists: bool, constraint: String },
    /// What PostgreSQL stores rows by and this database does not.
    Tuning { tag: &'static str, name: ObjectName, if_exists: bool },
    /// `REINDEX` and `CLUSTER`: indexes are always whole, and rows always lie in the order of their key.
    Rebuild { tag: &'static str, name: Option<ObjectName> },
}

/// What becomes of an identity column.
#[allow(clippy::option_option, reason = "not said, and said without a number, are two things")]
#[derive(Clone, Debug)]
pub(crate) enum IdentityChange {
    /// `DROP IDENTITY [IF EXISTS]`.
    Drop { if_exists: bool },
    /// `SET GENERATED …`, `SET option`, `RESTART [WITH n]`, several of them.
    Set {
        generated: Option<ast::GeneratedAs>,
        options: Vec<SequenceOptions>,
        restart: Option<Option<ast::Expr>>,
    },
}

/// Parses the statement, if the next words begin it.
pub(super) fn parse(parser: &mut Parser<'_>) -> Result<Option<RelationStatement>, ParserError> {
    match word(parser, 0).as_str() {
        "REINDEX" => rebuild(parser, "REINDEX").map(Some),
        "CLUSTER" => rebuild(parser, "CLUSTER").map(Some),
        // What is not ours is an error here, so that its words are read again.
        "ALTER" => parser.maybe_parse(|parser| {
            alter(parser)?.ok_or_else(|| ParserError::ParserError("another statement".into()))
        }),
        _ => Ok(None),
    }
}

/// `REINDEX [(…)] {INDEX | TABLE | SCHEMA | DATABASE | SYSTEM} [CONCURRENTLY] [name]`, `CLUSTER [VERBOSE] [table [USING index]]`.
fn rebuild(parser: &mut Parser<'_>, tag: &'static str) -> Result<RelationStatement, ParserError> {
    parser.next_token();
    if parser.consume_token(&Token::LParen) {
        while !matches!(parser.next_token().token, Token::RParen | Token::EOF) {}
    }
    let whole = ["SCHEMA", "DATABASE", "SYSTEM"].contains(&word(parser, 0).as_str());
    for skipped in ["VERBOSE", "INDEX", "TABLE", "SCHEMA", "DATABASE", "SYSTEM", "CONCURRENTLY"] {
        take(parser, skipped);
    }
    let name = match parser.peek_token().token {
        Token::EOF => None,
        _ => Some(parser.parse_object_name(false)?),
    };
    if take(parser, "USING") {
        parser.parse_identifier()?;
    }
    Ok(RelationStatement::Rebuild { tag, name: name.filter(|_| !whole) })
}

/// An ALTER that is one of ours; an error or `None` leaves it to sqlparser.
fn alter(parser: &mut Parser<'_>) -> Result<Option<RelationStatement>, ParserError> {
    parser.next_token();
    let tag = match parser.next_token().to_string().to_uppercase().as_str() {
        "TABLE" => "ALTER TABLE",
        "VIEW" => "ALTER VIEW",
        "SEQUENCE" => "ALTER SEQUENCE",
        "INDEX" => "ALTER INDEX",
        _ => return Ok(None),
    };
    let if_exists = take(parser, "IF") && take(parser, "EXISTS");
    take(parser, "ONLY");
    let name = parser.parse_object_name(false)?;
    if word(parser, 0) == "SET" && word(parser, 1) == "SCHEMA" {
        parser.next_token();
        parser.next_token();
        let schema = identifier(&parser.parse_identifier()?);
        return Ok(Some(RelationStatement::SetSchema { tag, name, if_exists, schema }));
    }
    if word(parser, 0) == "VALIDATE" && word(parser, 1) == "CONSTRAINT" {
        parser.next_token();
        parser.next_token();
        let constraint = identifier(&parser.parse_identifier()?);
        return Ok(Some(RelationStatement::Validate { table: name, if_exists, constraint }));
    }
    if take(parser, "ALTER") {
        take(parser, "COLUMN");
        let column = identifier(&parser.parse_identifier()?);
        if tunes(parser) {
            return Ok(Some(RelationStatement::Tuning { tag, name, if_exists }));
        }
        let change = identity(parser)?;
        let statement = |change| RelationStatement::Identity { table: name, if_exists, column, change };
        return Ok(change.map(statement));
    }
    Ok(tunes(parser).then_some(RelationStatement::Tuning { tag, name, if_exists }))
}

/// Whether what follows says how rows are stored; it is passed over then.
fn tunes(parser: &mut Parser<'_>) -> bool {
    let listed = |parser: &Parser<'_>| parser.peek_nth_token(1).token == Token::LParen;
    let (first, second) = (word(parser, 0), word(parser, 1));
    let tunes = match (first.as_str(), second.as_str()) {
        ("SET" | "RESET", "") => listed(parser),
        ("SET", what) => {
            ["STATISTICS", "STORAGE", "COMPRESSION", "TABLESPACE", "LOGGED", "WITHOUT", "ACCESS"]
                .contains(&what)
        }
        ("CLUSTER", "ON") | ("REPLICA", "IDENTITY") => true,
        _ => false,
    };
    if tunes {
        while parser.next_token().token != Token::EOF {}
    }
    tunes
}

/// What is said of an identity column; `None` where it is something else.
fn identity(parser: &mut Parser<'_>) -> Result<Option<IdentityChange>, ParserError> {
    if word(parser, 0) == "DROP" && word(parser, 1) == "IDENTITY" {
        parser.next_token();
        parser.next_token();
        let if_exists = take(parser, "IF") && take(parser, "EXISTS");
        return Ok(Some(IdentityChange::Drop { if_exists }));
    }
    let (mut generated, mut options, mut restart) = (None, Vec::new(), None);
    loop {
        if take(parser, "RESTART") {
            let with = take(parser, "WITH");
            let given = matches!(parser.peek_token().token, Token::Number(..) | Token::Minus | Token::Plus);
            restart = Some(if with || given { Some(number(parser)?) } else { None });
            continue;
        }
        if word(parser, 0) != "SET" {
            break;
        }
        match word(parser, 1).as_str() {
            "GENERATED" => {
                parser.next_token();
                parser.next_token();
                generated = Some(if take(parser, "ALWAYS") {
                    ast::GeneratedAs::Always
                } else if take(parser, "BY") && take(parser, "DEFAULT") {
                    ast::GeneratedAs::ByDefault
                } else {
                    return parser.expected("ALWAYS or BY DEFAULT", parser.peek_token());
                });
            }
            "INCREMENT" | "MINVALUE" | "MAXVALUE" | "START" | "CACHE" | "CYCLE" | "NO" => {
                parser.next_token();
                options.extend(crate::statement::sequence::option(parser)?);
            }
            _ => return Ok(None),
        }
    }
    let said = generated.is_some() || !options.is_empty() || restart.is_some();
    Ok(said.then_some(IdentityChange::Set { generated, options, restart }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::statement::{Body, parse as parse_script};

    fn parsed(text: &str) -> RelationStatement {
        match parse_script(text).unwrap().pop().unwrap().body {
            Body::Relation(statement) => statement,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn an_identity_column_is_changed_in_several_ways_at_once() {
        let text = "ALTER TABLE t ALTER COLUMN id SET GENERATED BY DEFAULT SET INCREMENT BY 5 RESTART WITH 7";
        let RelationStatement::Identity { change, .. } = parsed(text) else { panic!() };
        let IdentityChange::Set { generated, options, restart } = change else { panic!() };
        assert_eq!(generated, Some(ast::GeneratedAs::ByDefault));
        assert_eq!(options.len(), 1);
        assert_eq!(restart.flatten().unwrap().to_string(), "7");
    }

    #[test]
    fn statements_of_sqlparser_stay_its_own() {
        for text in [
            "ALTER TABLE t ALTER c SET DEFAULT 1",
            "ALTER TABLE t ALTER c SET NOT NULL",
            "ALTER TABLE t ADD c int",
        ] {
            assert!(matches!(parse_script(text).unwrap()[0].body, Body::Sql(_)), "{text}");
        }
    }
}
