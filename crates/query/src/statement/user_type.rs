//! The grammar of types that users make: CREATE, ALTER and DROP of TYPE and DOMAIN.

use datafusion::sql::sqlparser::ast::{DataType, Expr, Ident, ObjectName, Value};
use datafusion::sql::sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::names::identifier;
use crate::statement::role::{take, word};

/// A statement about a type.
#[derive(Clone, Debug)]
pub(crate) enum TypeStatement {
    CreateEnum { name: ObjectName, labels: Vec<String> },
    CreateDomain { name: ObjectName, base: DataType, constraints: Vec<DomainConstraint> },
    Alter { name: ObjectName, domain: bool, change: TypeChange },
    Drop { names: Vec<ObjectName>, domain: bool, if_exists: bool, cascade: bool },
}

/// What an ALTER does.
#[derive(Clone, Debug)]
pub(crate) enum TypeChange {
    AddValue {
        label: String,
        if_not_exists: bool,
        place: Place,
    },
    RenameValue {
        from: String,
        to: String,
    },
    Rename(String),
    SetSchema(String),
    /// There is one owner.
    SetOwner,
    SetDefault(Option<Expr>),
    SetNotNull(bool),
    AddConstraint {
        constraint: DomainConstraint,
        not_valid: bool,
    },
    DropConstraint {
        name: String,
        if_exists: bool,
    },
    RenameConstraint {
        from: String,
        to: String,
    },
    ValidateConstraint(String),
}

/// Where a new label goes.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Last,
    Before(String),
    After(String),
}

/// A condition of a domain.
#[derive(Clone, Debug)]
pub(crate) enum DomainConstraint {
    NotNull,
    Null,
    Default(Expr),
    Check { name: Option<String>, condition: Expr },
}

/// Parses a statement about a type, if the next words begin one.
pub(super) fn parse(parser: &mut Parser<'_>) -> Result<Option<TypeStatement>, ParserError> {
    let (verb, what) = (word(parser, 0), word(parser, 1));
    let domain = what == "DOMAIN";
    if !domain && what != "TYPE" {
        return Ok(None);
    }
    match verb.as_str() {
        "CREATE" if domain => {
            skip(parser, 2);
            create_domain(parser).map(Some)
        }
        "CREATE" => create_enum(parser),
        "ALTER" => {
            skip(parser, 2);
            let name = parser.parse_object_name(false)?;
            let change = if domain { alter_domain(parser)? } else { alter_type(parser)? };
            Ok(Some(TypeStatement::Alter { name, domain, change }))
        }
        "DROP" => {
            skip(parser, 2);
            let if_exists = take(parser, "IF");
            if if_exists && !take(parser, "EXISTS") {
                return parser.expected("EXISTS", parser.peek_token());
            }
            let names = parser.parse_comma_separated(|parser| parser.parse_object_name(false))?;
            let cascade = take(parser, "CASCADE");
            take(parser, "RESTRICT");
            Ok(Some(TypeStatement::Drop { names, domain, if_exists, cascade }))
        }
        _ => Ok(None),
    }
}

fn skip(parser: &mut Parser<'_>, count: usize) {
    for _ in 0..count {
        parser.next_token();
    }
}

fn expect(parser: &mut Parser<'_>, wanted: &'static str) -> Result<(), ParserError> {
    if take(parser, wanted) { Ok(()) } else { parser.expected(wanted, parser.peek_token()) }
}

fn name(parser: &mut Parser<'_>) -> Result<String, ParserError> {
    parser.parse_identifier().map(|name| identifier(&name))
}

fn label(parser: &mut Parser<'_>) -> Result<String, ParserError> {
    match parser.next_token().token {
        Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => Ok(text),
        _ => {
            parser.prev_token();
            parser.expected("a label in quotes", parser.peek_token())
        }
    }
}

/// Types of other kinds are left to sqlparser, which knows them, to be refused by name.
fn create_enum(parser: &mut Parser<'_>) -> Result<Option<TypeStatement>, ParserError> {
    parser.maybe_parse(|parser| {
        skip(parser, 2);
        let name = parser.parse_object_name(false)?;
        expect(parser, "AS")?;
        expect(parser, "ENUM")?;
        parser.expect_token(&Token::LParen)?;
        let labels = parser.parse_comma_separated0(label, Token::RParen)?;
        parser.expect_token(&Token::RParen)?;
        Ok(TypeStatement::CreateEnum { name, labels })
    })
}

fn create_domain(parser: &mut Parser<'_>) -> Result<TypeStatement, ParserError> {
    let name = parser.parse_object_name(false)?;
    take(parser, "AS");
    let base = parser.parse_data_type()?;
    let mut constraints = Vec::new();
    while !matches!(parser.peek_token().token, Token::EOF) {
        if take(parser, "COLLATE") {
            parser.parse_object_name(false)?;
            continue;
        }
        constraints.push(constraint(parser)?);
    }
    Ok(TypeStatement::CreateDomain { name, base, constraints })
}

fn constraint(parser: &mut Parser<'_>) -> Result<DomainConstraint, ParserError> {
    let given = if take(parser, "CONSTRAINT") { Some(name(parser)?) } else { None };
    match word(parser, 0).as_str() {
        "NOT" => {
            skip(parser, 1);
            expect(parser, "NULL")?;
            Ok(DomainConstraint::NotNull)
        }
        "NULL" => {
            skip(parser, 1);
            Ok(DomainConstraint::Null)
        }
        "DEFAULT" => {
            skip(parser, 1);
            default(parser).map(DomainConstraint::Default)
        }
        "CHECK" => {
            skip(parser, 1);
            parser.expect_token(&Token::LParen)?;
            let condition = parser.parse_expr()?;
            parser.expect_token(&Token::RParen)?;
            Ok(DomainConstraint::Check { name: given, condition })
        }
        _ => parser.expected("NOT NULL, NULL, DEFAULT or CHECK", parser.peek_token()),
    }
}

/// The words NOT NULL behind a default are no part of it.
fn default(parser: &mut Parser<'_>) -> Result<Expr, ParserError> {
    parser.parse_subexpr(PostgreSqlDialect {}.prec_value(Precedence::Is))
}

fn alter_type(parser: &mut Parser<'_>) -> Result<TypeChange, ParserError> {
    match (word(parser, 0).as_str(), word(parser, 1).as_str()) {
        ("ADD", "VALUE") => {
            skip(parser, 2);
            let if_not_exists = take(parser, "IF");
            if if_not_exists {
                expect(parser, "NOT")?;
                expect(parser, "EXISTS")?;
            }
            let added = label(parser)?;
            let place = if take(parser, "BEFORE") {
                Place::Before(label(parser)?)
            } else if take(parser, "AFTER") {
                Place::After(label(parser)?)
            } else {
                Place::Last
            };
            Ok(TypeChange::AddValue { label: added, if_not_exists, place })
        }
        ("RENAME", "VALUE") => {
            skip(parser, 2);
            let from = label(parser)?;
            expect(parser, "TO")?;
            Ok(TypeChange::RenameValue { from, to: label(parser)? })
        }
        _ => alter_either(parser),
    }
}

fn alter_domain(parser: &mut Parser<'_>) -> Result<TypeChange, ParserError> {
    match (word(parser, 0).as_str(), word(parser, 1).as_str()) {
        ("SET", "DEFAULT") => {
            skip(parser, 2);
            default(parser).map(|value| TypeChange::SetDefault(Some(value)))
        }
        ("DROP", "DEFAULT") => {
            skip(parser, 2);
            Ok(TypeChange::SetDefault(None))
        }
        (verb @ ("SET" | "DROP"), "NOT") => {
            let set = verb == "SET";
            skip(parser, 2);
            expect(parser, "NULL")?;
            Ok(TypeChange::SetNotNull(set))
        }
        ("ADD", _) => {
            skip(parser, 1);
            let constraint = constraint(parser)?;
            let not_valid = take(parser, "NOT");
            if not_valid {
                expect(parser, "VALID")?;
            }
            Ok(TypeChange::AddConstraint { constraint, not_valid })
        }
        ("DROP", "CONSTRAINT") => {
            skip(parser, 2);
            let if_exists = take(parser, "IF");
            if if_exists {
                expect(parser, "EXISTS")?;
            }
            let name = name(parser)?;
            if !take(parser, "CASCADE") {
                take(parser, "RESTRICT");
            }
            Ok(TypeChange::DropConstraint { name, if_exists })
        }
        ("RENAME", "CONSTRAINT") => {
            skip(parser, 2);
            let from = name(parser)?;
            expect(parser, "TO")?;
            Ok(TypeChange::RenameConstraint { from, to: name(parser)? })
        }
        ("VALIDATE", "CONSTRAINT") => {
            skip(parser, 2);
            name(parser).map(TypeChange::ValidateConstraint)
        }
        _ => alter_either(parser),
    }
}

fn alter_either(parser: &mut Parser<'_>) -> Result<TypeChange, ParserError> {
    match (word(parser, 0).as_str(), word(parser, 1).as_str()) {
        ("RENAME", "TO") => {
            skip(parser, 2);
            name(parser).map(TypeChange::Rename)
        }
        ("SET", "SCHEMA") => {
            skip(parser, 2);
            name(parser).map(TypeChange::SetSchema)
        }
        ("OWNER", "TO") => {
            skip(parser, 2);
            name(parser)?;
            Ok(TypeChange::SetOwner)
        }
        _ => parser.expected("a change of the type", parser.peek_token()),
    }
}

/// The condition with `VALUE` replaced.
pub(crate) fn over_value(condition: &Expr, value: &Expr) -> Expr {
    let mut condition = condition.clone();
    let _ = datafusion::sql::sqlparser::ast::visit_expressions_mut(&mut condition, |part| {
        if is_value(part) {
            *part = Expr::Nested(Box::new(value.clone()));
        }
        std::ops::ControlFlow::<()>::Continue(())
    });
    condition
}

fn is_value(expr: &Expr) -> bool {
    match expr {
        Expr::Identifier(Ident { value, quote_style: None, .. }) => value.eq_ignore_ascii_case("value"),
        Expr::Value(value) => {
            matches!(&value.value, Value::Placeholder(name) if name.eq_ignore_ascii_case("value"))
        }
        _ => false,
    }
}
