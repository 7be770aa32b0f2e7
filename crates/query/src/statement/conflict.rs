//! ON CONFLICT over expressions and with a condition, which sqlparser does not know.
//!
//! `ON CONFLICT (lower(name)) WHERE active DO …` becomes `ON CONFLICT ON CONSTRAINT` with a name that no
//! constraint has and that holds the text; whoever runs the statement asks for it by [`target_of`].

use datafusion::sql::sqlparser::ast::{self, Expr, ObjectName, Query, SetExpr};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};
use luma_model::{Error, ErrorKind, Result};

/// Begins the name that holds a target.
const MARK: char = '\u{1}';

/// What a conflict is looked for in.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) parts: Vec<Expr>,
    pub(crate) condition: Option<Expr>,
}

/// The tokens that stand for the target from `open` (its parenthesis) to the word DO, and where that is;
/// `None` for a plain list of columns. `words` are the tokens at `places`.
pub(super) fn replaced(
    tokens: &[TokenWithSpan],
    places: &[usize],
    words: &[String],
    open: usize,
) -> Option<(Vec<TokenWithSpan>, usize)> {
    let mut depth = 0usize;
    let mut close = None;
    let mut end = None;
    for (at, word) in words.iter().enumerate().skip(open) {
        match word.as_str() {
            "(" => depth += 1,
            ")" => {
                depth = depth.checked_sub(1)?;
                if depth == 0 && close.is_none() {
                    close = Some(at);
                }
            }
            "DO" if depth == 0 => {
                end = Some(at);
                break;
            }
            _ => {}
        }
    }
    let (close, end) = (close?, end?);
    let name_or_comma = |at: usize| matches!(tokens[places[at]].token, Token::Word(_) | Token::Comma);
    if close + 1 == end && (open + 1..close).all(name_or_comma) {
        return None;
    }
    let text: String =
        tokens[places[open]..places[end]].iter().map(|token| token.token.to_string()).collect();
    let span = tokens[places[open]].span;
    let name = Token::Word(Word {
        value: format!("{MARK}{text}"),
        quote_style: Some('"'),
        keyword: datafusion::sql::sqlparser::keywords::Keyword::NoKeyword,
    });
    let stands = [Token::make_keyword("ON"), Token::make_keyword("CONSTRAINT"), name];
    Some((stands.into_iter().map(|token| TokenWithSpan { token, span }).collect(), end))
}

/// The target that a constraint's name stands for, if it stands for one.
pub(crate) fn target_of(name: &ObjectName) -> Option<Result<Target>> {
    let [ast::ObjectNamePart::Identifier(name)] = name.0.as_slice() else { return None };
    let text = name.value.strip_prefix(MARK)?;
    Some(parse(text))
}

/// A list in parentheses and a condition read like the same words of a query.
fn parse(text: &str) -> Result<Target> {
    let wrong = || Error::new(ErrorKind::Syntax, format!("\"{text}\" is no target of ON CONFLICT"));
    let (list, condition) = match text.rfind(')') {
        Some(_) => split(text).ok_or_else(wrong)?,
        None => return Err(wrong()),
    };
    let query: Query = crate::plan::context::parse_query(&format!("SELECT {list} {condition}"))?;
    let SetExpr::Select(select) = *query.body else { return Err(wrong()) };
    let parts = select.projection.into_iter().map(|item| match item {
        ast::SelectItem::UnnamedExpr(expr) => Ok(expr),
        _ => Err(wrong()),
    });
    Ok(Target { parts: parts.collect::<Result<_>>()?, condition: select.selection })
}

/// What is in the first parentheses, and what is behind them.
fn split(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('(')?;
    let (mut depth, mut quoted) = (1usize, None);
    for (at, character) in inner.char_indices() {
        match (quoted, character) {
            (Some(quote), character) if quote == character => quoted = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quoted = Some(character),
            (None, '(') => depth += 1,
            (None, ')') => {
                depth -= 1;
                if depth == 0 {
                    return Some((&inner[..at], &inner[at + 1..]));
                }
            }
            _ => {}
        }
    }
    None
}
