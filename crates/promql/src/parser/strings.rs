//! Quoted texts.

/// The text that a quoted text stands for: in backquotes as it is, in quotes with Go's escapes.
///
/// # Errors
///
/// When an escape sequence is none; the text says which.
pub fn unquote(text: &str) -> Result<String, String> {
    let mut chars = text.chars();
    let quote = chars.next().ok_or("empty string literal")?;
    let inner = text
        .get(1..)
        .and_then(|rest| rest.strip_suffix(quote))
        .ok_or_else(|| format!("unterminated string literal {text}"))?;
    if quote == '`' {
        return Ok(inner.replace('\r', ""));
    }
    let mut out: Vec<u8> = Vec::with_capacity(inner.len());
    let mut rest = inner.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let escaped = rest.next().ok_or("escape sequence not terminated")?;
        let simple = match escaped {
            'a' => 0x07,
            'b' => 0x08,
            'f' => 0x0c,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 0x0b,
            '\\' => b'\\',
            c if c == quote => c as u8,
            'x' => digits(&mut rest, None, 2, 16)? as u8,
            'u' | 'U' => {
                let code = digits(&mut rest, None, if escaped == 'u' { 4 } else { 8 }, 16)?;
                let c = char::from_u32(code).ok_or("escape sequence is an invalid Unicode code point")?;
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            '0'..='7' => {
                let code = digits(&mut rest, Some(escaped), 3, 8)?;
                u8::try_from(code).map_err(|_| "escape sequence is an invalid Unicode code point")?
            }
            other => return Err(format!("unknown escape sequence U+{:04X} '{other}'", other as u32)),
        };
        out.push(simple);
    }
    String::from_utf8(out).map_err(|_| "string literal is not valid UTF-8".to_owned())
}

fn digits(
    rest: &mut std::str::Chars<'_>,
    first: Option<char>,
    count: u32,
    radix: u32,
) -> Result<u32, String> {
    let mut value = 0u32;
    let mut first = first;
    for _ in 0..count {
        let c = first.take().or_else(|| rest.next()).ok_or("escape sequence not terminated")?;
        let digit = c
            .to_digit(radix)
            .ok_or_else(|| format!("illegal character U+{:04X} '{c}' in escape sequence", c as u32))?;
        value = value.wrapping_mul(radix).wrapping_add(digit);
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn escapes_are_those_of_go() {
        assert_eq!(unquote(r#""a\n\x41\101\u263a\"""#).unwrap(), "a\nAA\u{263a}\"");
        assert_eq!(unquote(r"'it\'s'").unwrap(), "it's");
        assert_eq!(unquote(r"`a\n`").unwrap(), r"a\n");
        assert_eq!(unquote(r#""\xe2\x98\xba""#).unwrap(), "\u{263a}");
        assert!(unquote(r#""\q""#).unwrap_err().contains("unknown escape"));
        assert!(unquote(r#""\xff""#).is_err());
        assert!(unquote(r#""\ud800""#).is_err());
    }
}
