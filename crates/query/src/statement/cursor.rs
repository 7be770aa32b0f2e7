//! The grammar of FETCH and MOVE: `[direction] [FROM | IN] cursor`.

use datafusion::sql::sqlparser::ast::{FetchDirection, FetchPosition, Statement, Value, ValueWithSpan};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::statement::Body;
use crate::statement::role::{take, word};

/// Parses FETCH or MOVE, if the next word is one.
pub(super) fn parse(parser: &mut Parser<'_>) -> Result<Option<Body>, ParserError> {
    let verb = word(parser, 0);
    if verb != "FETCH" && verb != "MOVE" {
        return Ok(None);
    }
    parser.next_token();
    let direction = direction(parser)?;
    let _ = take(parser, "FROM") || take(parser, "IN");
    let name = parser.parse_identifier()?;
    if verb == "MOVE" {
        return Ok(Some(Body::Move { name, direction }));
    }
    let position = FetchPosition::From;
    Ok(Some(Body::Sql(Box::new(Statement::Fetch { name, direction, position, into: None }))))
}

fn direction(parser: &mut Parser<'_>) -> Result<FetchDirection, ParserError> {
    // A word with nothing behind it is the cursor's name.
    let named = matches!(parser.peek_nth_token(1).token, Token::EOF);
    let first = if named { String::new() } else { word(parser, 0) };
    let known = ["NEXT", "PRIOR", "FIRST", "LAST", "ABSOLUTE", "RELATIVE", "ALL", "FORWARD", "BACKWARD"];
    if known.contains(&first.as_str()) {
        parser.next_token();
    }
    Ok(match first.as_str() {
        "PRIOR" => FetchDirection::Prior,
        "FIRST" => FetchDirection::First,
        "LAST" => FetchDirection::Last,
        "ABSOLUTE" => FetchDirection::Absolute { limit: required(parser)? },
        "RELATIVE" => FetchDirection::Relative { limit: required(parser)? },
        "ALL" => FetchDirection::All,
        "FORWARD" if take(parser, "ALL") => FetchDirection::ForwardAll,
        "FORWARD" => FetchDirection::Forward { limit: number(parser)? },
        "BACKWARD" if take(parser, "ALL") => FetchDirection::BackwardAll,
        "BACKWARD" => FetchDirection::Backward { limit: number(parser)? },
        _ => match number(parser)? {
            Some(limit) => FetchDirection::Count { limit },
            None => FetchDirection::Next,
        },
    })
}

fn required(parser: &mut Parser<'_>) -> Result<ValueWithSpan, ParserError> {
    match number(parser)? {
        Some(number) => Ok(number),
        None => parser.expected("a number of rows", parser.peek_token()),
    }
}

/// A whole number with its sign, if one is next.
fn number(parser: &mut Parser<'_>) -> Result<Option<ValueWithSpan>, ParserError> {
    let sign = if parser.consume_token(&Token::Minus) {
        "-"
    } else {
        let _ = parser.consume_token(&Token::Plus);
        ""
    };
    let next = parser.peek_token();
    match next.token {
        Token::Number(digits, _) => {
            parser.next_token();
            Ok(Some(Value::Number(format!("{sign}{digits}"), false).with_empty_span()))
        }
        _ if sign.is_empty() => Ok(None),
        _ => parser.expected("a number of rows", next),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::statement::parse as parse_script;

    fn fetched(sql: &str) -> String {
        match parse_script(sql).unwrap().remove(0).body {
            Body::Sql(statement) => match *statement {
                Statement::Fetch { name, direction, .. } => format!("{direction} {name}"),
                other => panic!("{sql} is {other:?}"),
            },
            Body::Move { name, direction } => format!("move {direction} {name}"),
            other => panic!("{sql} is {other:?}"),
        }
    }

    #[test]
    fn direction_and_from_may_both_be_left_out() {
        for (sql, expected) in [
            ("FETCH c", "NEXT c"),
            ("fetch next", "NEXT next"),
            ("FETCH FROM c", "NEXT c"),
            ("FETCH -2 c", "-2 c"),
            ("FETCH FORWARD ALL IN c", "FORWARD ALL c"),
            ("FETCH BACKWARD c", "BACKWARD c"),
            ("FETCH ABSOLUTE -1 FROM c", "ABSOLUTE -1 c"),
            ("MOVE RELATIVE 3 FROM c", "move RELATIVE 3 c"),
            ("MOVE ALL c", "move ALL c"),
        ] {
            assert_eq!(fetched(sql).split_whitespace().collect::<Vec<_>>().join(" "), expected, "{sql}");
        }
        assert_eq!(parse_script("FETCH ABSOLUTE FROM c").unwrap_err().sqlstate(), "42601");
    }
}
