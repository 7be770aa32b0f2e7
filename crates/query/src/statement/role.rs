//! The grammar of CREATE, ALTER and DROP of roles and users.
//!
//! Attributes that have no meaning here (there is one database and no replication) are kept as
//! words, so that whoever runs the statement can say so.

use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, Word};

use crate::names::identifier;

/// A statement about roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RoleStatement {
    /// `CREATE ROLE name …`, `CREATE USER name …`.
    Create { name: String, attributes: Attributes },
    /// `ALTER ROLE name …`, `ALTER USER name …`.
    Alter { name: String, attributes: Attributes },
    /// `ALTER ROLE name RENAME TO name`.
    Rename { name: String, to: String },
    /// `DROP ROLE [IF EXISTS] name, …`.
    Drop { names: Vec<String>, if_exists: bool },
}

/// What a statement says of a role; `None` where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) superuser: Option<bool>,
    pub(crate) login: Option<bool>,
    /// `PASSWORD 'text'`; empty for `PASSWORD NULL`, which is the same.
    pub(crate) password: Option<String>,
    /// Attributes without a meaning here.
    pub(crate) ignored: Vec<String>,
}

/// Parses a statement about roles, if the next words begin one.
pub(super) fn parse(parser: &mut Parser<'_>) -> Result<Option<RoleStatement>, ParserError> {
    let (verb, kind) = (word(parser, 0), word(parser, 1));
    if !matches!(kind.as_str(), "ROLE" | "USER") || !matches!(verb.as_str(), "CREATE" | "ALTER" | "DROP") {
        return Ok(None);
    }
    // `CREATE USER MAPPING` and `ALTER ROLE … SET` are other statements.
    if word(parser, 2) == "MAPPING" {
        return Ok(None);
    }
    parser.next_token();
    parser.next_token();
    match verb.as_str() {
        "DROP" => {
            let if_exists = take(parser, "IF");
            if if_exists && !take(parser, "EXISTS") {
                return parser.expected("EXISTS", parser.peek_token());
            }
            let names = parser.parse_comma_separated(name)?;
            Ok(Some(RoleStatement::Drop { names, if_exists }))
        }
        "ALTER" => {
            let name = name(parser)?;
            if take(parser, "RENAME") {
                if !take(parser, "TO") {
                    return parser.expected("TO", parser.peek_token());
                }
                return Ok(Some(RoleStatement::Rename { name, to: self::name(parser)? }));
            }
            Ok(Some(RoleStatement::Alter { name, attributes: attributes(parser)? }))
        }
        _ => {
            let name = name(parser)?;
            let mut attributes = attributes(parser)?;
            if kind == "USER" && attributes.login.is_none() {
                attributes.login = Some(true);
            }
            Ok(Some(RoleStatement::Create { name, attributes }))
        }
    }
}

fn name(parser: &mut Parser<'_>) -> Result<String, ParserError> {
    Ok(identifier(&parser.parse_identifier()?))
}

/// The unquoted word at a distance, in capitals; empty if there is none.
pub(super) fn word(parser: &Parser<'_>, at: usize) -> String {
    match parser.peek_nth_token(at).token {
        Token::Word(Word { value, quote_style: None, .. }) => value.to_ascii_uppercase(),
        _ => String::new(),
    }
}

pub(super) fn take(parser: &mut Parser<'_>, wanted: &str) -> bool {
    let found = word(parser, 0) == wanted;
    if found {
        parser.next_token();
    }
    found
}

fn attributes(parser: &mut Parser<'_>) -> Result<Attributes, ParserError> {
    let mut attributes = Attributes::default();
    take(parser, "WITH");
    loop {
        let next = word(parser, 0);
        if next.is_empty() {
            return Ok(attributes);
        }
        let repeated = match next.as_str() {
            "SUPERUSER" | "NOSUPERUSER" => attributes.superuser.replace(next == "SUPERUSER").is_some(),
            "LOGIN" | "NOLOGIN" => attributes.login.replace(next == "LOGIN").is_some(),
            "PASSWORD" | "ENCRYPTED" => {
                parser.next_token();
                if next == "ENCRYPTED" && !take(parser, "PASSWORD") {
                    return parser.expected("PASSWORD", parser.peek_token());
                }
                let password = if word(parser, 0) == "NULL" {
                    String::new()
                } else {
                    let at = parser.peek_token();
                    match at.token {
                        Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => text,
                        _ => return parser.expected("a password", at),
                    }
                };
                attributes.password.replace(password).is_some()
            }
            // Nothing to take away and nothing to inherit.
            "INHERIT" | "NOINHERIT" | "NOCREATEDB" | "NOCREATEROLE" | "NOREPLICATION" | "NOBYPASSRLS" => {
                false
            }
            "CREATEDB" | "CREATEROLE" | "REPLICATION" | "BYPASSRLS" => {
                attributes.ignored.push(next);
                false
            }
            _ => return parser.expected("an attribute of roles", parser.peek_token()),
        };
        if repeated {
            return Err(ParserError::ParserError("conflicting or redundant options".to_owned()));
        }
        parser.next_token();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::statement::{Body, parse as parse_script};

    fn parsed(sql: &str) -> RoleStatement {
        match parse_script(sql).unwrap().remove(0).body {
            Body::Role(statement) => statement,
            other => panic!("{sql} is {other:?}"),
        }
    }

    #[test]
    fn a_user_is_a_role_that_may_log_in() {
        let RoleStatement::Create { name, attributes } =
            parsed("create user Ann with password 'x' superuser")
        else {
            panic!()
        };
        assert_eq!((name.as_str(), attributes.login, attributes.superuser), ("ann", Some(true), Some(true)));
        assert_eq!(attributes.password, Some("x".to_owned()));
        let RoleStatement::Create { name, attributes } = parsed("CREATE ROLE \"Team\" NOINHERIT CREATEDB")
        else {
            panic!()
        };
        assert_eq!((name.as_str(), attributes.login), ("Team", None));
        assert_eq!(attributes.ignored, ["CREATEDB"]);
    }

    #[test]
    fn altering_says_only_what_changes() {
        assert_eq!(
            parsed("ALTER USER ann ENCRYPTED PASSWORD NULL"),
            RoleStatement::Alter {
                name: "ann".into(),
                attributes: Attributes { password: Some(String::new()), ..Attributes::default() }
            }
        );
        assert_eq!(
            parsed("ALTER ROLE ann RENAME TO bob"),
            RoleStatement::Rename { name: "ann".into(), to: "bob".into() }
        );
        assert_eq!(
            parsed("DROP ROLE IF EXISTS a, \"B\""),
            RoleStatement::Drop { names: vec!["a".into(), "B".into()], if_exists: true }
        );
    }

    #[test]
    fn what_does_not_fit_is_a_syntax_error_with_its_place() {
        for sql in [
            "CREATE ROLE",
            "CREATE ROLE a LOGIN NOLOGIN",
            "CREATE ROLE a CONNECTION LIMIT 5",
            "ALTER ROLE a PASSWORD 5",
            "DROP ROLE IF a",
        ] {
            let error = parse_script(sql).unwrap_err();
            assert_eq!(error.sqlstate(), "42601", "{sql}");
        }
    }
}
