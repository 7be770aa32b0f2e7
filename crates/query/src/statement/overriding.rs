//! `INSERT … OVERRIDING SYSTEM VALUE`, which sqlparser does not know: the clause becomes a hint of the INSERT.

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Whitespace};

/// What the hint says, and then whose values are overridden.
const HINT: &str = "luma overriding ";

/// The replaced tokens of the clause that begins with the word at `order`, and of its INSERT.
pub(super) fn replace(
    tokens: &[TokenWithSpan],
    places: &[usize],
    words: &[String],
    order: usize,
    instead: &mut Vec<(usize, Vec<TokenWithSpan>)>,
) {
    let whose = match words.get(order + 1).map(String::as_str) {
        Some(whose @ ("SYSTEM" | "USER")) => whose.to_ascii_lowercase(),
        _ => return,
    };
    let insert = words[..order].iter().rposition(|word| word == "INSERT");
    let (Some(insert), Some("VALUE")) = (insert, words.get(order + 2).map(String::as_str)) else { return };
    let span = tokens[places[insert]].span;
    let hint = Token::Whitespace(Whitespace::MultiLineComment(format!("+{HINT}{whose}")));
    instead.push((places[insert], vec![tokens[places[insert]].clone(), TokenWithSpan { token: hint, span }]));
    instead.extend(places[order..order + 3].iter().map(|at| (*at, Vec::new())));
}

/// Whose values an INSERT overrides: `system` or `user`.
pub(crate) fn overrides(insert: &ast::Insert) -> Option<&str> {
    insert.optimizer_hints.iter().find_map(|hint| hint.text.strip_prefix(HINT))
}
