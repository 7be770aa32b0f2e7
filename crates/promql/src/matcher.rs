//! Label matchers: which series a selector takes.
//!
//! Regular expressions are anchored on both sides, and `.` matches a line feed. An absent label
//! has the empty value.

mod candidates;

use regex::Regex;

use crate::labels::Labels;

pub use candidates::Candidates;

/// How a matcher compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

/// One condition on a label.
#[derive(Debug, Clone)]
pub struct Matcher {
    name: String,
    op: MatchOp,
    value: String,
    regex: Option<Regex>,
}

impl Matcher {
    /// A matcher.
    ///
    /// # Errors
    ///
    /// When the operation is a regular expression and the value is none: the text says why.
    pub fn new(op: MatchOp, name: &str, value: &str) -> Result<Self, String> {
        let regex = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(anchored(value)?),
        };
        Ok(Self { name: name.to_owned(), op, value: value.to_owned(), regex })
    }

    /// A matcher for one exact value.
    pub fn equal(name: &str, value: &str) -> Self {
        Self { name: name.to_owned(), op: MatchOp::Equal, value: value.to_owned(), regex: None }
    }

    /// The label's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it compares.
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// What it compares with: a value or the text of a regular expression.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Where the values that [`Matcher::matches`], or for the negative operations those that do not, are
    /// to be looked for.
    pub fn candidates(&self) -> Candidates {
        match self.op {
            MatchOp::Equal | MatchOp::NotEqual => Candidates::Values(vec![self.value.clone()]),
            MatchOp::Regex | MatchOp::NotRegex => Candidates::of_regex(&self.value),
        }
    }

    /// Whether a label of this value matches; an absent label's value is empty.
    pub fn matches(&self, value: &str) -> bool {
        match (self.op, &self.regex) {
            (MatchOp::Equal, _) => value == self.value,
            (MatchOp::NotEqual, _) => value != self.value,
            (MatchOp::Regex, Some(regex)) => regex.is_match(value),
            (MatchOp::NotRegex, Some(regex)) => !regex.is_match(value),
            (MatchOp::Regex | MatchOp::NotRegex, None) => false,
        }
    }
}

/// Whether a series matches all of the matchers.
pub fn matches_all(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|m| m.matches(labels.get(&m.name)))
}

/// The text of a regular expression that must match a whole value.
fn whole(pattern: &str) -> String {
    format!("^(?s:{})$", literal_braces(pattern))
}

/// Compiles a regular expression that must match a whole value.
///
/// # Errors
/// What is wrong with it, in Prometheus' words.
pub fn anchored(pattern: &str) -> Result<Regex, String> {
    Regex::new(&whole(pattern)).map_err(|e| {
        let reason = match e {
            regex::Error::Syntax(text) => text.lines().last().unwrap_or_default().trim().to_owned(),
            regex::Error::CompiledTooBig(bytes) => format!("compiled it would exceed {bytes} bytes"),
            other => other.to_string(),
        };
        format!("error parsing regexp: {}: `{pattern}`", reason.trim_start_matches("error: "))
    })
}

/// RE2 takes a brace that starts no repetition as itself; escapes those.
fn literal_braces(pattern: &str) -> String {
    let bytes = pattern.as_bytes();
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern.char_indices();
    let mut in_class = false;
    while let Some((at, c)) = rest.next() {
        match c {
            '\\' => {
                out.push(c);
                if let Some((_, escaped)) = rest.next() {
                    out.push(escaped);
                    // \p{..}, \P{..} and \x{..} own their brace.
                    if matches!(escaped, 'p' | 'P' | 'x') && bytes.get(at + 2) == Some(&b'{') {
                        for (_, inner) in rest.by_ref() {
                            out.push(inner);
                            if inner == '}' {
                                break;
                            }
                        }
                    }
                }
                continue;
            }
            '[' if !in_class => in_class = true,
            ']' => in_class = false,
            '{' if !in_class && !is_repetition(&bytes[at + 1..]) => out.push('\\'),
            _ => {}
        }
        out.push(c);
    }
    out
}

/// Whether what follows an opening brace is `n}`, `n,}` or `n,m}`.
fn is_repetition(rest: &[u8]) -> bool {
    let Some(end) = rest.iter().position(|b| *b == b'}') else { return false };
    let mut parts = rest[..end].splitn(2, |b| *b == b',');
    let digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    let first = parts.next().unwrap_or_default();
    !first.is_empty() && digits(first) && parts.next().is_none_or(digits)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn matches(pattern: &str, value: &str) -> bool {
        Matcher::new(MatchOp::Regex, "l", pattern).unwrap().matches(value)
    }

    #[test]
    fn a_regex_is_anchored_and_a_dot_takes_a_line_feed() {
        assert!(matches("a.c", "a\nc"));
        assert!(!matches("b", "abc"));
        assert!(matches("a|b", "b"));
        assert!(!matches("a|b", "ab"));
    }

    #[test]
    fn a_brace_that_repeats_nothing_is_itself() {
        assert!(matches("a{b", "a{b"));
        assert!(matches("{}", "{}"));
        assert!(matches("a{2}", "aa"));
        assert!(matches("a{1,}[{]", "aaa{"));
        assert!(matches(r"\p{Lu}{2}", "AB"));
    }

    #[test]
    fn a_bad_regex_is_an_error_that_names_it() {
        let error = Matcher::new(MatchOp::Regex, "l", "a(").unwrap_err();
        assert!(error.contains("`a(`"), "{error}");
    }

    #[test]
    fn an_absent_label_is_the_empty_value() {
        let labels = Labels::new([("a", "1")]);
        let differs = Matcher::new(MatchOp::NotEqual, "b", "x").unwrap();
        assert!(matches_all(&[differs], &labels));
    }
}
