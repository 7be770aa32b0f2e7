//! Where the values of a regular expression are to be looked for: a store need not try all it has.
//!
//! Always a superset: whoever looks there still asks the expression itself. At most
//! `LITERALS_MAX` texts come of an expression.

use regex_syntax::hir::literal::Extractor;

use super::whole;

/// Alternations of more texts are not taken apart.
const LITERALS_MAX: usize = 1024;

/// Which values a matcher's text can stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Candidates {
    /// One of these and no other.
    Values(Vec<String>),
    /// Such as begin with one of these.
    Prefixes(Vec<String>),
    /// Any.
    All,
}

impl Candidates {
    pub(super) fn of_regex(pattern: &str) -> Self {
        let Ok(hir) = regex_syntax::parse(&whole(pattern)) else { return Self::All };
        let mut extractor = Extractor::new();
        extractor.limit_total(LITERALS_MAX).limit_repeat(16).limit_literal_len(256);
        let literals = extractor.extract(&hir);
        let Some(literals) = literals.literals() else { return Self::All };
        let mut exact = true;
        let mut texts: Vec<String> = Vec::with_capacity(literals.len());
        for literal in literals {
            let bytes = literal.as_bytes();
            // A literal that was cut within a character counts up to that character.
            let whole = match std::str::from_utf8(bytes) {
                Ok(whole) => whole,
                Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
            };
            exact &= literal.is_exact() && whole.len() == bytes.len();
            texts.push(whole.to_owned());
        }
        texts.sort_unstable();
        texts.dedup();
        if exact {
            return Self::Values(texts);
        }
        if texts.iter().any(String::is_empty) {
            return Self::All;
        }
        // A prefix of a prefix takes its values too.
        let mut least: Vec<String> = Vec::with_capacity(texts.len());
        for text in texts {
            if least.last().is_none_or(|before| !text.starts_with(before.as_str())) {
                least.push(text);
            }
        }
        Self::Prefixes(least)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::matcher::{MatchOp, Matcher};
    use proptest::prelude::*;

    fn values(texts: &[&str]) -> Candidates {
        Candidates::Values(texts.iter().map(ToString::to_string).collect())
    }

    fn prefixes(texts: &[&str]) -> Candidates {
        Candidates::Prefixes(texts.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn alternations_are_values_and_beginnings_are_prefixes() {
        for (pattern, expected) in [
            ("a", values(&["a"])),
            ("", values(&[""])),
            ("b|a|a", values(&["a", "b"])),
            ("(api|web)-1", values(&["api-1", "web-1"])),
            ("a?", values(&["", "a"])),
            ("web-.*", prefixes(&["web-"])),
            ("web-.+|we.*", prefixes(&["we"])),
            (".*", Candidates::All),
            (".*a", Candidates::All),
            ("a|.*", Candidates::All),
        ] {
            assert_eq!(Candidates::of_regex(pattern), expected, "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn no_value_that_matches_is_outside_of_the_candidates(
            pattern in "([ab.|?*+()^$é]|\\[a-c\\]|\\(\\?i:a\\)|\\\\b|x\\{1,20\\}){0,6}",
            values in proptest::collection::vec("[aAbcxé\n]{0,5}|x{15,20}", 40),
        ) {
            let Ok(matcher) = Matcher::new(MatchOp::Regex, "l", &pattern) else { return Ok(()) };
            let candidates = matcher.candidates();
            for value in values.iter().filter(|value| matcher.matches(value)) {
                let found = match &candidates {
                    Candidates::Values(values) => values.contains(value),
                    Candidates::Prefixes(prefixes) => prefixes.iter().any(|p| value.starts_with(p.as_str())),
                    Candidates::All => true,
                };
                prop_assert!(found, "{value:?} is not in {candidates:?}");
            }
        }
    }
}
