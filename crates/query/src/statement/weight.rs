//! How deep a statement is, found from its tokens before a tree is made of them.
//!
//! The parser counts brackets, but `1 + 1 + 1 …` and `SELECT 1 UNION SELECT 2 UNION …` make trees as deep as they are long, and
//! whoever walks, copies or drops such a tree needs stack for each level.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use luma_model::{Error, ErrorKind, Result};

/// Most operators that stand one upon the other; PostgreSQL's stack of 2 MB is for about as many.
const OPERATORS_MAX: usize = 5_000;
/// Most conditions that AND and OR put together, which [`balance`](super::balance) makes shallow.
const CONDITIONS_MAX: usize = 20_000;
/// How deep they are then, at most.
const CONDITIONS_DEPTH: usize = 16;
/// Most prefixes and suffixes (`NOT`, `-`, `::type`, `[1]`, `-> 'a'`) upon one value: calls in one another for the planner.
const AFFIXES_MAX: usize = 100;
/// Most queries that UNION, INTERSECT and EXCEPT put together.
const QUERIES_MAX: usize = 1_000;
/// What a statement may have before it needs more room than others.
const TOKENS_SMALL: usize = 3_000;
const DEPTH_SMALL: usize = 100;

/// What was met between two brackets.
#[derive(Default)]
struct Level {
    affixes: usize,
    operators: usize,
    conditions: usize,
    queries: usize,
    /// The deepest that ended in it.
    inner: usize,
    is_case: bool,
}

impl Level {
    fn operator(&mut self) {
        self.operators += 1;
        self.inner = self.inner.max(self.affixes);
        self.affixes = 0;
    }

    fn condition(&mut self) {
        self.conditions += 1;
        self.inner = self.inner.max(self.operators + self.affixes);
        (self.operators, self.affixes) = (0, 0);
    }

    /// Ends a value of a list, or a branch of a CASE; gives its depth.
    fn end_value(&mut self) -> usize {
        let depth = self.conditions.min(CONDITIONS_DEPTH) + self.operators + self.affixes + self.inner;
        (self.conditions, self.operators, self.affixes, self.inner) = (0, 0, 0, 0);
        depth
    }

    fn query(&mut self) -> usize {
        self.queries += 1;
        self.end_value()
    }

    fn check(&self) -> Result<()> {
        let limits = [
            (self.operators + self.inner, OPERATORS_MAX, "operators"),
            (self.conditions, CONDITIONS_MAX, "conditions"),
            (self.affixes, AFFIXES_MAX, "operators of one value"),
            (self.queries, QUERIES_MAX, "queries"),
        ];
        match limits.into_iter().find(|(count, most, _)| count > most) {
            Some((_, most, what)) => Err(too_complex(most, what)),
            None => Ok(()),
        }
    }
}

pub(crate) fn too_complex(most: usize, what: &str) -> Error {
    let message =
        format!("stack depth limit exceeded: the statement has more than {most} {what} upon one another");
    Error::new(ErrorKind::StatementTooComplex, message)
        .hint("Write lists as IN (…), = ANY (array) or VALUES, or cut the statement into several.")
}

/// Whether a statement is so large or deep that it is planned with more room.
///
/// # Errors
/// 54001 when it is deeper than what can be planned.
pub(super) fn is_heavy(tokens: &[TokenWithSpan]) -> Result<bool> {
    let mut levels = vec![Level::default()];
    let mut deepest = 0;
    let mut after_value = false;
    for token in tokens {
        // A bracket too many is for the parser to name.
        let Some(level) = levels.last_mut() else { return Ok(true) };
        let mut is_value = false;
        match &token.token {
            Token::Whitespace(_) => continue,
            Token::LBracket if after_value => {
                level.affixes += 1;
                levels.push(Level::default());
            }
            Token::LParen | Token::LBracket => levels.push(Level::default()),
            Token::RParen | Token::RBracket => {
                deepest = deepest.max(close(&mut levels));
                is_value = true;
            }
            Token::Comma => deepest = deepest.max(level.end_value()),
            // `x::int`, `document -> 'a'`.
            Token::DoubleColon
            | Token::Arrow
            | Token::LongArrow
            | Token::HashArrow
            | Token::HashLongArrow => {
                level.affixes += 1;
            }
            Token::Word(word) => match word.keyword {
                Keyword::CASE => levels.push(Level { is_case: true, ..Level::default() }),
                Keyword::WHEN | Keyword::THEN | Keyword::ELSE => deepest = deepest.max(level.end_value()),
                Keyword::END if level.is_case => {
                    deepest = deepest.max(close(&mut levels));
                    is_value = true;
                }
                Keyword::AND | Keyword::OR => level.condition(),
                Keyword::NOT | Keyword::IS | Keyword::COLLATE | Keyword::ZONE => level.affixes += 1,
                Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT => deepest = deepest.max(level.query()),
                _ => is_value = true,
            },
            Token::Placeholder(_) | Token::Number(..) | Token::SingleQuotedString(_) => is_value = true,
            Token::Period | Token::EOF | Token::SemiColon => {}
            // Whatever is left is an operator: between two values, or before one.
            _ if after_value => level.operator(),
            _ => level.affixes += 1,
        }
        after_value = is_value;
        if let Some(level) = levels.last() {
            level.check()?;
        }
    }
    while !levels.is_empty() {
        deepest = deepest.max(close(&mut levels));
    }
    Ok(deepest > DEPTH_SMALL || tokens.len() > TOKENS_SMALL)
}

/// Ends the innermost level; gives how deep it was.
fn close(levels: &mut Vec<Level>) -> usize {
    let Some(mut closed) = levels.pop() else { return 0 };
    let depth = closed.queries + closed.end_value() + 1;
    if let Some(outer) = levels.last_mut() {
        outer.inner = outer.inner.max(depth);
    }
    depth
}
