//! `SET a[1] = x`: an element of a column is assigned by assigning the column with the element changed.
//!
//! `SET a[1] = x, a[2] = y` becomes `SET a = luma_assign(luma_assign(a, 1, x), 2, y)`, and `d['k']['l'] = x` in a document
//! `d = luma_assign(d, 'k', luma_assign((d)['k'], 'l', x))`.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// The function that changes one element.
const ASSIGN: &str = "luma_assign";

/// Spells such assignments so; other tokens stay.
pub(super) fn tokens(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    if !tokens.iter().any(|token| token.token == Token::LBracket) {
        return tokens;
    }
    let mut spelled: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut rest: Vec<TokenWithSpan> =
        tokens.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).rev().collect();
    let mut updates = false;
    while let Some(token) = rest.pop() {
        updates |= ["update", "insert", "merge"].iter().any(|verb| is_word(&token, verb));
        let set = updates && is_word(&token, "set");
        spelled.push(token);
        if set {
            let list = assignments(&mut rest);
            for (place, (target, value)) in list.into_iter().enumerate() {
                if place > 0 {
                    spelled.push(TokenWithSpan::wrap(Token::Comma));
                }
                spelled.extend(target);
                spelled.extend(value);
            }
        }
    }
    spelled
}

type Tokens = Vec<TokenWithSpan>;

fn is_word(token: &TokenWithSpan, expected: &str) -> bool {
    matches!(&token.token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(expected))
}

/// What a list of assignments assigns to, and from its sign of equality on what: the tokens are taken from the end of `rest`.
fn assignments(rest: &mut Tokens) -> Vec<(Tokens, Tokens)> {
    let mut list: Vec<(Tokens, Tokens)> = Vec::new();
    loop {
        let (target, value) = (until(rest, true), until(rest, false));
        let (column, subscripts) = parts(&target);
        let Some((sign, new)) = value.split_first().filter(|_| !subscripts.is_empty()) else {
            list.push((target, value));
            if !comma(rest) {
                return list;
            }
            continue;
        };
        let known = list.iter().position(|(known, _)| same(known, &column));
        let base = match known {
            Some(at) => list[at].1.get(1..).unwrap_or_default().to_vec(),
            None => column.clone(),
        };
        let mut changed = vec![sign.clone()];
        changed.extend(assigned(base, &subscripts, new.to_vec()));
        match known {
            Some(at) => list[at].1 = changed,
            None => list.push((column, changed)),
        }
        if !comma(rest) {
            return list;
        }
    }
}

fn same(one: &[TokenWithSpan], other: &[TokenWithSpan]) -> bool {
    one.iter().map(|token| &token.token).eq(other.iter().map(|token| &token.token))
}

/// Takes a comma.
fn comma(rest: &mut Tokens) -> bool {
    let found = rest.last().is_some_and(|token| token.token == Token::Comma);
    if found {
        rest.pop();
    }
    found
}

/// Takes the tokens of a target, which its sign of equality ends, or of a value.
fn until(rest: &mut Tokens, target: bool) -> Tokens {
    let mut taken: Tokens = Vec::new();
    let mut depth = 0_usize;
    while let Some(token) = rest.last() {
        let distinct = taken.last().is_some_and(|before| is_word(before, "distinct"));
        let clause = ["where", "returning", "when"].iter().any(|word| is_word(token, word))
            || is_word(token, "from") && !distinct;
        let ends = match &token.token {
            Token::Eq if target => true,
            Token::Comma | Token::SemiColon | Token::EOF | Token::RParen => true,
            _ => clause && !taken.iter().any(|before| is_word(before, "case")),
        };
        if depth == 0 && ends {
            break;
        }
        match token.token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket => depth = depth.saturating_sub(1),
            _ => {}
        }
        taken.extend(rest.pop());
    }
    taken
}

/// A target's column, and what is in its brackets.
fn parts(target: &[TokenWithSpan]) -> (Tokens, Vec<Tokens>) {
    let Some(first) = target.iter().position(|token| token.token == Token::LBracket) else {
        return (target.to_vec(), Vec::new());
    };
    let (mut subscripts, mut current, mut depth): (Vec<Tokens>, Tokens, usize) = (Vec::new(), Vec::new(), 0);
    for token in &target[first..] {
        match token.token {
            Token::LBracket if depth == 0 => depth = 1,
            Token::RBracket if depth == 1 => {
                depth = 0;
                subscripts.push(std::mem::take(&mut current));
            }
            // A part of an array is assigned otherwise.
            Token::Colon if depth == 1 => return (target.to_vec(), Vec::new()),
            _ => {
                depth = match token.token {
                    Token::LBracket => depth + 1,
                    Token::RBracket => depth - 1,
                    _ => depth,
                };
                current.push(token.clone());
            }
        }
    }
    (target[..first].to_vec(), subscripts)
}

/// The call that gives the base with an element changed.
fn assigned(base: Tokens, subscripts: &[Tokens], value: Tokens) -> Tokens {
    let plain = |token: Token| TokenWithSpan::wrap(token);
    let Some((first, inner)) = subscripts.split_first() else { return value };
    let mut call = vec![plain(Token::make_word(ASSIGN, None)), plain(Token::LParen)];
    call.extend(base.iter().cloned());
    call.push(plain(Token::Comma));
    call.extend(first.iter().cloned());
    call.push(plain(Token::Comma));
    if inner.is_empty() {
        call.extend(value);
    } else {
        let mut element = vec![plain(Token::LParen)];
        element.extend(base);
        element.extend([plain(Token::RParen), plain(Token::LBracket)]);
        element.extend(first.iter().cloned());
        element.push(plain(Token::RBracket));
        call.extend(assigned(element, inner, value));
    }
    call.push(plain(Token::RParen));
    call
}
