//! The grammar of sequences: CREATE SEQUENCE and ALTER SEQUENCE, whose options come in any order and
//! with signs; and the options of identity columns, brought to the order that sqlparser knows.

use datafusion::sql::sqlparser::ast::{DataType, Expr, ObjectName, SequenceOptions, UnaryOperator, Value};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::statement::role::{take, word};

/// A statement about a sequence.
#[derive(Clone, Debug)]
pub(crate) enum SequenceStatement {
    Create {
        name: ObjectName,
        if_not_exists: bool,
        options: Options,
    },
    Alter {
        name: ObjectName,
        if_exists: bool,
        options: Options,
    },
    Rename {
        name: ObjectName,
        if_exists: bool,
        to: String,
    },
    /// OWNER TO: there is one owner.
    SetOwner {
        name: ObjectName,
        if_exists: bool,
    },
}

/// What a statement says of a sequence.
#[allow(clippy::option_option, reason = "not said, and said to be nothing, are two things")]
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) data_type: Option<DataType>,
    pub(crate) list: Vec<SequenceOptions>,
    /// `RESTART [WITH n]`.
    pub(crate) restart: Option<Option<Expr>>,
    /// `OWNED BY table.column`; inside, `None` for NONE.
    pub(crate) owned_by: Option<Option<ObjectName>>,
}

/// Parses a statement about a sequence, if the next words begin one.
pub(super) fn parse(parser: &mut Parser<'_>) -> Result<Option<SequenceStatement>, ParserError> {
    let verb = word(parser, 0);
    if !matches!(verb.as_str(), "CREATE" | "ALTER") || word(parser, 1) != "SEQUENCE" {
        return Ok(None);
    }
    parser.next_token();
    parser.next_token();
    let conditional = take(parser, "IF");
    if conditional {
        let not = take(parser, "NOT");
        if not != (verb == "CREATE") || !take(parser, "EXISTS") {
            return parser.expected("EXISTS", parser.peek_token());
        }
    }
    let name = parser.parse_object_name(false)?;
    if verb == "CREATE" {
        let options = options(parser)?;
        return Ok(Some(SequenceStatement::Create { name, if_not_exists: conditional, options }));
    }
    let if_exists = conditional;
    match (word(parser, 0).as_str(), word(parser, 1).as_str()) {
        ("RENAME", "TO") => {
            parser.next_token();
            parser.next_token();
            let to = crate::names::identifier(&parser.parse_identifier()?);
            Ok(Some(SequenceStatement::Rename { name, if_exists, to }))
        }
        ("OWNER", "TO") => {
            parser.next_token();
            parser.next_token();
            parser.parse_identifier()?;
            Ok(Some(SequenceStatement::SetOwner { name, if_exists }))
        }
        _ => Ok(Some(SequenceStatement::Alter { name, if_exists, options: options(parser)? })),
    }
}

fn options(parser: &mut Parser<'_>) -> Result<Options, ParserError> {
    let mut found = Options::default();
    loop {
        let next = word(parser, 0);
        if next.is_empty() {
            return Ok(found);
        }
        if let Some(option) = option(parser)? {
            found.list.push(option);
            continue;
        }
        parser.next_token();
        match next.as_str() {
            "AS" => found.data_type = Some(parser.parse_data_type()?),
            "RESTART" => {
                let with = take(parser, "WITH");
                let given =
                    matches!(parser.peek_token().token, Token::Number(..) | Token::Minus | Token::Plus);
                found.restart = Some(if with || given { Some(number(parser)?) } else { None });
            }
            "OWNED" if take(parser, "BY") => {
                found.owned_by =
                    Some(if take(parser, "NONE") { None } else { Some(parser.parse_object_name(false)?) });
            }
            _ => {
                parser.prev_token();
                return parser.expected("an option of sequences", parser.peek_token());
            }
        }
    }
}

/// One of the options that identity columns have, too; `None` leaves the words where they are.
pub(super) fn option(parser: &mut Parser<'_>) -> Result<Option<SequenceOptions>, ParserError> {
    let (first, second) = (word(parser, 0), word(parser, 1));
    let length = match (first.as_str(), second.as_str()) {
        ("NO", "MINVALUE" | "MAXVALUE" | "CYCLE") | ("INCREMENT", "BY") | ("START", "WITH") => 2,
        ("INCREMENT" | "START" | "MINVALUE" | "MAXVALUE" | "CACHE" | "CYCLE", _) => 1,
        _ => return Ok(None),
    };
    for _ in 0..length {
        parser.next_token();
    }
    Ok(Some(match (first.as_str(), second.as_str()) {
        ("NO", "MINVALUE") => SequenceOptions::MinValue(None),
        ("NO", "MAXVALUE") => SequenceOptions::MaxValue(None),
        ("NO", _) => SequenceOptions::Cycle(true),
        ("CYCLE", _) => SequenceOptions::Cycle(false),
        ("INCREMENT", _) => SequenceOptions::IncrementBy(number(parser)?, true),
        ("START", _) => SequenceOptions::StartWith(number(parser)?, true),
        ("MINVALUE", _) => SequenceOptions::MinValue(Some(number(parser)?)),
        ("MAXVALUE", _) => SequenceOptions::MaxValue(Some(number(parser)?)),
        _ => SequenceOptions::Cache(number(parser)?),
    }))
}

/// A whole number with its sign.
pub(super) fn number(parser: &mut Parser<'_>) -> Result<Expr, ParserError> {
    let minus = parser.consume_token(&Token::Minus);
    if !minus {
        let _ = parser.consume_token(&Token::Plus);
    }
    let next = parser.peek_token();
    let Token::Number(digits, _) = next.token else { return parser.expected("a number", next) };
    parser.next_token();
    let number = Expr::Value(Value::Number(digits, false).with_empty_span());
    Ok(if minus { Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(number) } } else { number })
}

/// The options in parentheses after IDENTITY in sqlparser's order.
pub(super) fn order_identity_options(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let word = |token: &TokenWithSpan| match &token.token {
        Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        _ => String::new(),
    };
    let real = |token: &TokenWithSpan| !matches!(token.token, Token::Whitespace(_));
    if !tokens.iter().any(|token| word(token) == "IDENTITY") {
        return tokens;
    }
    let mut ordered = Vec::with_capacity(tokens.len());
    let mut rest = tokens.into_iter().filter(real).peekable();
    while let Some(token) = rest.next() {
        let identity = word(&token) == "IDENTITY";
        ordered.push(token);
        if !identity || rest.peek().is_none_or(|next| next.token != Token::LParen) {
            continue;
        }
        ordered.extend(rest.next());
        let mut groups: Vec<(usize, Vec<TokenWithSpan>)> = Vec::new();
        let mut no = false;
        while let Some(next) = rest.next_if(|next| next.token != Token::RParen) {
            let place = match word(&next).as_str() {
                "INCREMENT" => Some(0),
                "MINVALUE" => Some(1),
                "MAXVALUE" => Some(2),
                "START" => Some(3),
                "CACHE" => Some(4),
                "CYCLE" => Some(5),
                // Names of sequences are their tables' to choose.
                "SEQUENCE" => Some(6),
                "NO" => {
                    no = true;
                    groups.push((usize::MAX, vec![next]));
                    continue;
                }
                _ => None,
            };
            match (place, groups.last_mut()) {
                (Some(place), Some(group)) if no => {
                    group.0 = place;
                    group.1.push(next);
                }
                (Some(place), _) => groups.push((place, vec![next])),
                (None, Some(group)) => group.1.push(next),
                (None, None) => groups.push((usize::MAX, vec![next])),
            }
            no = false;
        }
        groups.sort_by_key(|group| group.0);
        ordered.extend(groups.into_iter().filter(|group| group.0 != 6).flat_map(|group| group.1));
    }
    ordered
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::statement::{Body, parse as parse_script};

    #[test]
    fn options_come_in_any_order_and_with_signs() {
        let body =
            parse_script("CREATE SEQUENCE s START 5 INCREMENT -2 NO CYCLE MAXVALUE +9 AS int").unwrap();
        let Body::Sequence(SequenceStatement::Create { options, .. }) = &body[0].body else { panic!() };
        let text: Vec<String> = options.list.iter().map(|option| option.to_string().trim().into()).collect();
        assert_eq!(text, ["START WITH 5", "INCREMENT BY -2", "NO CYCLE", "MAXVALUE 9"]);
        assert!(options.data_type.is_some());
    }

    #[test]
    fn options_of_identity_columns_come_in_any_order() {
        for options in [
            "START WITH 10 INCREMENT BY 5",
            "SEQUENCE NAME public.s START WITH 1 INCREMENT BY 1 NO MINVALUE NO MAXVALUE CACHE 1",
            "NO CYCLE INCREMENT 3",
        ] {
            let text = format!("CREATE TABLE t (a int GENERATED ALWAYS AS IDENTITY ({options}), b text)");
            parse_script(&text).unwrap();
        }
    }
}
