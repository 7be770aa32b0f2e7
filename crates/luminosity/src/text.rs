//! Texts inside of XML, HTML and scripts.
//!
//! Invariant: what [`escape`] writes is well-formed XML 1.0 for every text that [`check`] accepts, in
//! elements and in quoted attributes, and a parser gives the text back.

use crate::error::Invalid;

/// Whether XML 1.0 can hold the character at all; no escape helps the others.
fn is_xml_char(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

/// Refuses what XML can't hold.
pub(crate) fn check(text: &str) -> Result<(), Invalid> {
    // Most texts are printable ASCII, which a loop without branches proves.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Ok(());
    }
    match text.char_indices().find(|(_, character)| !is_xml_char(*character)) {
        None => Ok(()),
        Some((at, character)) => Err(Invalid::new(format!(
            "the character U+{:04X} at byte {at} can't be written in XML; remove it",
            character as u32
        ))),
    }
}

fn entity(byte: u8) -> Option<&'static [u8]> {
    Some(match byte {
        b'&' => b"&amp;",
        b'<' => b"&lt;",
        b'>' => b"&gt;",
        b'"' => b"&quot;",
        b'\'' => b"&apos;",
        // Parsers turn these into a line feed, and in attributes all three into spaces.
        b'\r' => b"&#13;",
        b'\n' => b"&#10;",
        b'\t' => b"&#9;",
        _ => return None,
    })
}

/// Writes a text so that XML holds it, in elements and in attributes.
pub(crate) fn escape(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let mut written = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if let Some(entity) = entity(*byte) {
            out.extend_from_slice(&bytes[written..at]);
            out.extend_from_slice(entity);
            written = at + 1;
        }
    }
    out.extend_from_slice(&bytes[written..]);
}

/// A text for HTML, in elements and in double-quoted attributes.
pub(crate) fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\0' => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

/// JSON that can stand in a `<script>`: no tag can end in it and no line ends that JavaScript minds.
pub(crate) fn escape_script(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_xml_cannot_hold_is_refused() {
        for text in ["\0", "a\u{b}b", "\u{1f}", "\u{fffe}", "\u{ffff}"] {
            assert!(check(text).is_err(), "{text:?}");
        }
        for text in ["", "\t\r\n", "é", "\u{10ffff}", "]]>", "\u{7f}"] {
            assert!(check(text).is_ok(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn an_independent_parser_gives_every_text_back(text: String) {
            prop_assume!(check(&text).is_ok());
            let mut xml = b"<a b=\"".to_vec();
            escape(&mut xml, &text);
            xml.extend_from_slice(b"\">");
            escape(&mut xml, &text);
            xml.extend_from_slice(b"</a>");
            let xml = String::from_utf8(xml).unwrap();
            let document = roxmltree::Document::parse(&xml).unwrap();
            prop_assert_eq!(document.root_element().attribute("b").unwrap(), &text);
            prop_assert_eq!(document.root_element().text().unwrap_or_default(), &text);
        }

        #[test]
        fn json_in_a_script_stays_the_same_json_and_ends_no_script(text: String) {
            let text = format!("{text}</script><!--");
            let json = escape_script(&serde_json::to_string(&text).unwrap());
            prop_assert!(!json.contains('<'));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
