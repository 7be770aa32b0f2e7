//! JSON text: checked as it is (`json`), or brought into canonical form (`jsonb`).
//!
//! The canonical form is PostgreSQL's: members ordered by the length of their names, then by bytes;
//! of members with one name the last one stays; one blank after colons and commas; numbers with
//! their digits but without exponents.

mod number;
mod parse;

use crate::error::Result;
pub(crate) use number::plain as plain_number;

/// Deepest nesting.
pub(crate) const DEPTH_MAX: usize = 1000;

/// A JSON value as it was written.
#[derive(Clone, Debug, PartialEq)]
enum Node<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    String(String),
    Array(Vec<Node<'a>>),
    Object(Vec<(String, Node<'a>)>),
}

/// Checks that a text is JSON.
pub(crate) fn validate(text: &str) -> Result<()> {
    parse::parse(text, false).map(|_| ())
}

/// The canonical form of a JSON text.
pub(crate) fn canonical(text: &str) -> Result<String> {
    let node = parse::parse(text, true)?;
    let mut out = Vec::with_capacity(text.len() + text.len() / 8);
    write(node, &mut out)?;
    String::from_utf8(out).map_err(|_| crate::Error::internal("JSON that is not UTF-8"))
}

fn write(node: Node<'_>, out: &mut Vec<u8>) -> Result<()> {
    match node {
        Node::Null => out.extend_from_slice(b"null"),
        Node::Bool(true) => out.extend_from_slice(b"true"),
        Node::Bool(false) => out.extend_from_slice(b"false"),
        Node::Number(text) => number::write_plain(text, out)?,
        Node::String(text) => write_string(&text, out),
        Node::Array(elements) => {
            out.push(b'[');
            for (place, element) in elements.into_iter().enumerate() {
                if place > 0 {
                    out.extend_from_slice(b", ");
                }
                write(element, out)?;
            }
            out.push(b']');
        }
        Node::Object(mut members) => {
            // The sort is stable: of equal names the last one is the last one given.
            members.sort_by(|(one, _), (other, _)| one.len().cmp(&other.len()).then_with(|| one.cmp(other)));
            out.push(b'{');
            let mut members = members.into_iter().peekable();
            let mut first = true;
            while let Some((name, value)) = members.next() {
                if members.peek().is_some_and(|(next, _)| *next == name) {
                    continue;
                }
                if !first {
                    out.extend_from_slice(b", ");
                }
                first = false;
                write_string(&name, out);
                out.extend_from_slice(b": ");
                write(value, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

/// Appends a string with quotes, escaping only what must be.
pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|c| *c < 0x20 || *c == b'"' || *c == b'\\') {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            control => out.extend_from_slice(format!("\\u{control:04x}").as_bytes()),
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn members_are_ordered_by_length_and_the_last_of_a_name_stays() {
        let given = r#"{ "bb":1,"a":2 , "a":3,"c":[ ],"é":null}"#;
        assert_eq!(canonical(given).unwrap(), r#"{"a": 3, "c": [], "bb": 1, "é": null}"#);
        assert_eq!(canonical("[1,{},[true,false]]").unwrap(), "[1, {}, [true, false]]");
    }

    #[test]
    fn strings_keep_only_the_escapes_that_they_need() {
        assert_eq!(canonical(r#""\u00e9\/\ud83d\ude00\u001f\b""#).unwrap(), r#""é/😀\u001f\b""#);
        assert_eq!(canonical(r#""a\"b\\c""#).unwrap(), r#""a\"b\\c""#);
    }

    #[test]
    fn what_is_no_json_is_told_with_the_place() {
        for (text, detail) in [
            ("", "The input string ended unexpectedly."),
            ("{", "The input string ended unexpectedly."),
            ("[1,", "The input string ended unexpectedly."),
            ("abc", "Token \"abc\" is invalid."),
            ("'a'", "Token \"'\" is invalid."),
            ("]", "Expected JSON value, but found \"]\"."),
            ("[1 2]", "Expected \",\" or \"]\", but found \"2\"."),
            ("{1:2}", "Expected string or \"}\", but found \"1\"."),
            ("{\"a\" 2}", "Expected \":\", but found \"2\"."),
            ("{\"a\":2 \"b\"}", "Expected \",\" or \"}\", but found \"\"b\"\"."),
            ("{\"a\":2,}", "Expected string, but found \"}\"."),
            ("1 2", "Expected end of input, but found \"2\"."),
            ("01", "Token \"01\" is invalid."),
            ("-", "Token \"-\" is invalid."),
            ("\"\\x\"", "Escape sequence \"\\x\" is invalid."),
        ] {
            let error = validate(text).unwrap_err();
            assert_eq!(error.message, "invalid input syntax for type json");
            assert_eq!(error.detail.as_deref(), Some(detail), "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_before_the_stack_ends() {
        let deep = "[".repeat(100_000);
        assert_eq!(validate(&deep).unwrap_err().sqlstate(), "54001");
    }

    proptest! {
        #[test]
        fn canonical_text_is_its_own_canonical_form(text in "[\\[\\]{}:,\"a1e.\\- \\\\ntruefals]{0,20}") {
            if let Ok(once) = canonical(&text) {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&once).is_ok());
                prop_assert_eq!(canonical(&once).unwrap(), once);
            }
        }
    }
}
