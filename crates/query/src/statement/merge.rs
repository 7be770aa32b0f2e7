//! The actions of MERGE that sqlparser does not know, spelled with names that no column has.
//!
//! `DO NOTHING` becomes an update or insert of the column [`NOTHING`], `INSERT DEFAULT VALUES` an insert of
//! [`DEFAULT_VALUES`].

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

/// The column of an action that does nothing.
pub(crate) const NOTHING: &str = "\u{1}nothing";
/// The column of a row of nothing but defaults.
pub(crate) const DEFAULT_VALUES: &str = "\u{1}default";

/// What stands instead of tokens: the place of each, and its replacement.
type Instead = Vec<(usize, Vec<TokenWithSpan>)>;

/// Replaces such actions of a statement that begins with MERGE. `words` are the tokens at `places`.
pub(super) fn replace(tokens: &[TokenWithSpan], places: &[usize], words: &[String], instead: &mut Instead) {
    let mut matched = true;
    for at in 0..words.len() {
        let is = |offset: usize, expected: &str| words.get(at + offset).is_some_and(|word| word == expected);
        let text = if is(0, "WHEN") {
            matched = !is(1, "NOT");
            continue;
        } else if is(0, "THEN") && is(1, "DO") && is(2, "NOTHING") {
            if matched { (1..3, update(NOTHING)) } else { (1..3, insert(NOTHING)) }
        } else if is(0, "THEN") && is(1, "INSERT") && is(2, "DEFAULT") && is(3, "VALUES") {
            (1..4, insert(DEFAULT_VALUES))
        } else {
            continue;
        };
        let (range, stands) = text;
        let span = tokens[places[at + 1]].span;
        let stands = stands.into_iter().map(|token| TokenWithSpan { token, span }).collect();
        instead.push((places[at + range.start], stands));
        instead.extend((range.start + 1..range.end).map(|offset| (places[at + offset], Vec::new())));
    }
}

fn name(name: &str) -> Token {
    Token::Word(Word { value: name.to_owned(), quote_style: Some('"'), keyword: Keyword::NoKeyword })
}

fn update(column: &str) -> Vec<Token> {
    let zero = Token::Number("0".into(), false);
    vec![Token::make_keyword("UPDATE"), Token::make_keyword("SET"), name(column), Token::Eq, zero]
}

fn insert(column: &str) -> Vec<Token> {
    vec![
        Token::make_keyword("INSERT"),
        Token::LParen,
        name(column),
        Token::RParen,
        Token::make_keyword("VALUES"),
        Token::LParen,
        Token::Number("0".into(), false),
        Token::RParen,
    ]
}
