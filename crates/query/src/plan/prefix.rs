//! What all texts that match a LIKE pattern begin with: a range of keys for an index, a share of the rows for estimates.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::Like;

/// The texts that may match a pattern.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Prefix {
    /// What they begin with; not empty.
    pub text: String,
    /// The first text past all that begin so; `None` if there is none.
    pub end: Option<String>,
    /// Whether all texts that begin so match.
    pub is_all: bool,
}

/// The beginning that a condition asks of its text, if it is a pattern that begins with more than wildcards.
pub(super) fn prefix(like: &Like) -> Option<Prefix> {
    if like.negated || like.case_insensitive {
        return None;
    }
    let Expr::Literal(
        ScalarValue::Utf8(Some(pattern))
        | ScalarValue::Utf8View(Some(pattern))
        | ScalarValue::LargeUtf8(Some(pattern)),
        _,
    ) = like.pattern.as_ref()
    else {
        return None;
    };
    let escape = like.escape_char.unwrap_or('\\');
    let mut text = String::new();
    let mut rest = pattern.chars();
    let mut wildcard = None;
    while let Some(next) = rest.next() {
        match next {
            '%' | '_' if next != escape => {
                wildcard = Some(next);
                break;
            }
            _ if next == escape => text.push(rest.next()?),
            _ => text.push(next),
        }
    }
    if text.is_empty() {
        return None;
    }
    let is_all = wildcard == Some('%') && rest.as_str().is_empty();
    let end = end(&text);
    Some(Prefix { text, end, is_all })
}

/// The first text, by its bytes, past all those that begin with this one. UTF-8 orders as the numbers of its characters do.
fn end(text: &str) -> Option<String> {
    let mut end = text.to_owned();
    while let Some(last) = end.pop() {
        // The numbers between are not characters.
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) };
        if let Some(next) = next {
            end.push(next);
            return Some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{col, lit};

    use super::*;

    fn of(pattern: &str) -> Option<(String, Option<String>, bool)> {
        let like = Like::new(false, Box::new(col("t")), Box::new(lit(pattern)), None, false);
        prefix(&like).map(|found| (found.text, found.end, found.is_all))
    }

    #[test]
    fn what_texts_begin_with() {
        let some = |text: &str, end: &str, is_all| Some((text.to_owned(), Some(end.to_owned()), is_all));
        assert_eq!(of("ab%"), some("ab", "ac", true));
        assert_eq!(of("ab"), some("ab", "ac", false));
        assert_eq!(of("ab%c"), some("ab", "ac", false));
        assert_eq!(of("a_"), some("a", "b", false));
        assert_eq!(of(r"50\%%"), some("50%", "50&", true));
        assert_eq!(of("%a"), None);
        assert_eq!(of(""), None);
        assert_eq!(of("\u{d7ff}%"), some("\u{d7ff}", "\u{e000}", true));
        assert_eq!(of("a\u{10ffff}%"), some("a\u{10ffff}", "b", true));
        assert_eq!(of("\u{10ffff}%"), Some(("\u{10ffff}".into(), None, true)));
    }
}
