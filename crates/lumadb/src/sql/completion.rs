//! Completion of keywords, tables and columns while typing.

use rustyline::Helper;
use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;

/// Words that SQL here begins with or goes on with.
const KEYWORDS: &[&str] = &[
    "ALTER",
    "ANALYZE",
    "AND",
    "AS",
    "ASC",
    "BEGIN",
    "BETWEEN",
    "BY",
    "CASE",
    "COLLECTION",
    "COLUMN",
    "COMMIT",
    "COPY",
    "CREATE",
    "CROSS",
    "DEFAULT",
    "DELETE",
    "DESC",
    "DISTINCT",
    "DROP",
    "ELSE",
    "END",
    "EXISTS",
    "EXPLAIN",
    "FALSE",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "ILIKE",
    "IN",
    "INDEX",
    "INNER",
    "INSERT",
    "INTO",
    "IS",
    "JOIN",
    "KEY",
    "LEFT",
    "LIKE",
    "LIMIT",
    "NOT",
    "NULL",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "PARTITION",
    "PRIMARY",
    "REFERENCES",
    "RETURNING",
    "RIGHT",
    "ROLLBACK",
    "SELECT",
    "SET",
    "SHOW",
    "TABLE",
    "THEN",
    "TRUE",
    "UNION",
    "UNIQUE",
    "UPDATE",
    "USING",
    "VALUES",
    "VIEW",
    "WHEN",
    "WHERE",
    "WITH",
];

/// What can be completed.
#[derive(Default)]
pub(super) struct Words {
    pub(super) names: Vec<String>,
}

impl Words {
    fn matching(&self, word: &str) -> Vec<String> {
        let keywords = KEYWORDS
            .iter()
            .filter(|keyword| keyword.len() > word.len() && keyword[..word.len()].eq_ignore_ascii_case(word))
            .map(|keyword| {
                if word.chars().all(char::is_uppercase) {
                    (*keyword).to_owned()
                } else {
                    keyword.to_lowercase()
                }
            });
        let names = self.names.iter().filter(|name| name.starts_with(word)).cloned();
        names.chain(keywords).collect()
    }
}

impl Completer for Words {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        place: usize,
        _: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let before = &line[..place];
        let start = before
            .rfind(|letter: char| !letter.is_alphanumeric() && letter != '_')
            .map_or(0, |last| last + before[last..].chars().next().map_or(1, char::len_utf8));
        let word = &before[start..];
        if word.is_empty() {
            return Ok((place, Vec::new()));
        }
        let pair = |text: String| Pair { display: text.clone(), replacement: text };
        Ok((start, self.matching(word).into_iter().map(pair).collect()))
    }
}

impl Hinter for Words {
    type Hint = String;
}
impl Highlighter for Words {}
impl Validator for Words {}
impl Helper for Words {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_first_and_keywords_keep_the_case_that_is_typed() {
        let words = Words { names: vec!["selections".into(), "other".into()] };
        assert_eq!(words.matching("sel"), ["selections", "select"]);
        assert_eq!(words.matching("SEL"), ["SELECT"]);
        assert_eq!(words.matching("ä"), Vec::<String>::new());
    }
}
