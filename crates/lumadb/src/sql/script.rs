//! Cutting a script into statements: at semicolons outside of quotes, comments and dollar quotes.

/// The statements of a script, without their semicolons; empty ones are left out.
pub(super) fn split(text: &str) -> Vec<&str> {
    let mut statements = Vec::new();
    let mut rest = text;
    while let Some(end) = statement_end(rest) {
        statements.push(&rest[..end]);
        rest = &rest[end + 1..];
    }
    statements.push(rest);
    statements.retain(|statement| !statement.trim().is_empty());
    statements
}

/// Where the first statement's semicolon is.
pub(super) fn statement_end(text: &str) -> Option<usize> {
    let mut place = 0;
    while let Some(rest) = text.get(place..).filter(|rest| !rest.is_empty()) {
        let first = rest.as_bytes()[0];
        place += match first {
            b';' => return Some(place),
            b'\'' | b'"' => {
                let escapes = first == b'\'' && ends_in_escape_mark(&text[..place]);
                quoted(rest, first, escapes)?
            }
            b'-' if rest.starts_with("--") => rest.find('\n')?,
            b'/' if rest.starts_with("/*") => block_comment(rest)?,
            b'$' if !ends_in_word(&text[..place]) => match dollar_tag(rest) {
                Some(tag) => rest[tag.len()..].find(tag)? + 2 * tag.len(),
                None => 1,
            },
            _ => rest.chars().next().map_or(1, char::len_utf8),
        };
    }
    None
}

/// The length of a quoted text with its quotes; doubled quotes stay inside.
fn quoted(text: &str, quote: u8, escapes: bool) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut place = 1;
    loop {
        match *bytes.get(place)? {
            b'\\' if escapes => place += 2,
            byte if byte == quote && bytes.get(place + 1) == Some(&quote) => place += 2,
            byte if byte == quote => return Some(place + 1),
            _ => place += 1,
        }
    }
}

/// The length of a comment, which may hold others.
fn block_comment(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut depth, mut place) = (0, 0);
    loop {
        match (bytes.get(place)?, bytes.get(place + 1)?) {
            (b'/', b'*') => (depth, place) = (depth + 1, place + 2),
            (b'*', b'/') => {
                (depth, place) = (depth - 1, place + 2);
                if depth == 0 {
                    return Some(place);
                }
            }
            _ => place += 1,
        }
    }
}

/// `$$` or `$name$` at the start.
fn dollar_tag(text: &str) -> Option<&str> {
    let end = text[1..].find('$')? + 1;
    let name = &text[1..end];
    let first_fits = name.chars().next().is_none_or(|first| first.is_alphabetic() || first == '_');
    let fits = first_fits && name.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
    fits.then(|| &text[..=end])
}

fn ends_in_word(text: &str) -> bool {
    text.chars().next_back().is_some_and(|last| last.is_alphanumeric() || last == '_')
}

/// Whether `E` or `e` stands in front, alone.
fn ends_in_escape_mark(text: &str) -> bool {
    text.strip_suffix(['E', 'e']).is_some_and(|before| !ends_in_word(before))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_in_quotes_and_comments_do_not_end_a_statement() {
        for statement in [
            "SELECT ';''x;' AS \"a;b\"",
            "SELECT 1 -- ; not here\n+ 1",
            "SELECT /* ; /* ; */ ; */ 2",
            "SELECT $$;$$, $a$ ; $$ ; $a$",
            "SELECT E'it\\'s; fine'",
            "SELECT $1, a$b",
            "SELECT 'ä;ö'",
        ] {
            let script = format!("{statement};SELECT 3;");
            assert_eq!(split(&script), [statement, "SELECT 3"]);
            assert_eq!(statement_end(statement), None);
        }
    }

    #[test]
    fn a_statement_that_is_not_finished_has_no_end() {
        for text in ["SELECT ';", "SELECT /* ;", "SELECT $$ ;", "SELECT \";", "-- ;"] {
            assert_eq!(statement_end(text), None, "{text}");
        }
        assert_eq!(split(" ; ;; "), Vec::<&str>::new());
    }
}
