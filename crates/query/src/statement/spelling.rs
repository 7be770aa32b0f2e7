//! Tokens as PostgreSQL's scanner cuts them, and clauses that sqlparser knows under another spelling.
//!
//! - An operator of several signs does not end in a sign of a number: `a->-1` is `a -> -1`.
//! - Two strings with a line break between them are one.
//! - `ORDER BY a USING >` is `ORDER BY a DESC`, and a frame that excludes no others is without the clause.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Whitespace};

use crate::statement::dialect::Grammar;

/// Gives tokens in sqlparser's spelling.
pub(super) fn tokens(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut spelled: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut rest = tokens.into_iter().peekable();
    // Whether a line ended since the last token that counts.
    let mut broken = false;
    while let Some(token) = rest.next() {
        match &token.token {
            Token::Whitespace(blank) => {
                broken |= matches!(blank, Whitespace::Newline | Whitespace::SingleLineComment { .. });
                spelled.push(token);
                continue;
            }
            Token::SingleQuotedString(more) if broken => {
                if let Some(Token::SingleQuotedString(text)) = last(&mut spelled) {
                    text.push_str(more);
                    continue;
                }
                spelled.push(token);
            }
            Token::CustomBinaryOperator(signs) => match without_number_sign(signs) {
                Some(parts) => {
                    spelled.extend(
                        parts.into_iter().map(|part| TokenWithSpan { token: part, span: token.span }),
                    );
                }
                None => spelled.push(token),
            },
            Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("using") => {
                while rest.peek().is_some_and(|next| matches!(next.token, Token::Whitespace(_))) {
                    rest.next();
                }
                let direction = match rest.peek().map(|next| &next.token) {
                    Some(Token::Gt) => Some("DESC"),
                    Some(Token::Lt) => Some("ASC"),
                    _ => None,
                };
                match direction {
                    Some(direction) => {
                        rest.next();
                        spelled
                            .push(TokenWithSpan { token: Token::make_keyword(direction), span: token.span });
                    }
                    None => spelled.push(token),
                }
            }
            Token::Word(word) if word.value.eq_ignore_ascii_case("others") => {
                let before = ["NO", "EXCLUDE"];
                if ends_with(&spelled, &before) {
                    drop_last(&mut spelled);
                    drop_last(&mut spelled);
                } else {
                    spelled.push(token);
                }
            }
            _ => spelled.push(token),
        }
        broken = false;
    }
    spelled
}

fn counts(token: &TokenWithSpan) -> bool {
    !matches!(token.token, Token::Whitespace(_))
}

fn last(tokens: &mut [TokenWithSpan]) -> Option<&mut Token> {
    tokens.iter_mut().rev().find(|token| counts(token)).map(|token| &mut token.token)
}

/// Whether these words, the last one first, end the tokens.
fn ends_with(tokens: &[TokenWithSpan], words: &[&str]) -> bool {
    let mut found = tokens.iter().rev().filter(|token| counts(token));
    words.iter().all(|wanted| match found.next().map(|token| &token.token) {
        Some(Token::Word(word)) => word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted),
        _ => false,
    })
}

fn drop_last(tokens: &mut Vec<TokenWithSpan>) {
    while tokens.pop().is_some_and(|token| !counts(&token)) {}
}

/// An operator and the signs of the number after it, where PostgreSQL takes them apart.
fn without_number_sign(signs: &str) -> Option<Vec<Token>> {
    let operator = signs.trim_end_matches(['+', '-']);
    if operator.is_empty()
        || operator.len() == signs.len()
        || signs.contains(['~', '!', '@', '#', '%', '^', '&', '|', '`', '?'])
    {
        return None;
    }
    let dialect = Grammar::new();
    let mut parts = Tokenizer::new(&dialect, operator).tokenize().ok()?;
    parts.extend(
        signs[operator.len()..].chars().map(|sign| if sign == '-' { Token::Minus } else { Token::Plus }),
    );
    Some(parts)
}
