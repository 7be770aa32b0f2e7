//! Reading JSON, with PostgreSQL's errors.

use super::{DEPTH_MAX, Node};
use crate::error::{Error, ErrorKind, Result};

/// Reads one JSON value. With `decode`, escapes must stand for characters that text can hold.
pub(super) fn parse(text: &str, decode: bool) -> Result<Node<'_>> {
    let mut parser = Parser { text, at: 0, decode };
    let node = parser.value(0, "JSON value")?;
    parser.blanks();
    if parser.at < text.len() {
        return Err(parser.unexpected("end of input"));
    }
    Ok(node)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    decode: bool,
}

#[cold]
fn invalid(detail: String) -> Error {
    Error::new(ErrorKind::InvalidText, "invalid input syntax for type json").detail(detail)
}

impl<'a> Parser<'a> {
    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Skips blanks and takes the character if it comes.
    fn take(&mut self, wanted: u8) -> bool {
        self.blanks();
        let found = self.peek() == Some(wanted);
        if found {
            self.at += 1;
        }
        found
    }

    /// The token at hand is not what was expected.
    #[cold]
    fn unexpected(&mut self, expected: &str) -> Error {
        self.blanks();
        let start = self.at;
        let token = match self.peek() {
            None => return invalid("The input string ended unexpectedly.".into()),
            Some(b'{' | b'}' | b'[' | b']' | b',' | b':') => &self.text[start..=start],
            Some(b'"') => match self.string() {
                Ok(_) => &self.text[start..self.at],
                Err(error) => return error,
            },
            Some(_) => match self.word() {
                Ok(word) => word,
                Err(error) => return error,
            },
        };
        invalid(format!("Expected {expected}, but found \"{token}\"."))
    }

    fn value(&mut self, depth: usize, expected: &str) -> Result<Node<'a>> {
        if depth > DEPTH_MAX {
            return Err(Error::new(
                ErrorKind::StatementTooComplex,
                format!("JSON is nested more than {DEPTH_MAX} levels deep"),
            ));
        }
        self.blanks();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => Ok(Node::String(self.string()?)),
            None | Some(b'}' | b']' | b',' | b':') => Err(self.unexpected(expected)),
            Some(_) => Ok(match self.word()? {
                "null" => Node::Null,
                "true" => Node::Bool(true),
                "false" => Node::Bool(false),
                number => Node::Number(number),
            }),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Node<'a>> {
        self.at += 1;
        let mut elements = Vec::new();
        if self.take(b']') {
            return Ok(Node::Array(elements));
        }
        let mut expected = "array element or \"]\"";
        loop {
            elements.push(self.value(depth + 1, expected)?);
            if self.take(b']') {
                return Ok(Node::Array(elements));
            }
            if !self.take(b',') {
                return Err(self.unexpected("\",\" or \"]\""));
            }
            expected = "JSON value";
        }
    }

    fn object(&mut self, depth: usize) -> Result<Node<'a>> {
        self.at += 1;
        let mut members = Vec::new();
        if self.take(b'}') {
            return Ok(Node::Object(members));
        }
        let mut expected = "string or \"}\"";
        loop {
            self.blanks();
            if self.peek() != Some(b'"') {
                return Err(self.unexpected(expected));
            }
            let name = self.string()?;
            if !self.take(b':') {
                return Err(self.unexpected("\":\""));
            }
            members.push((name, self.value(depth + 1, "JSON value")?));
            if self.take(b'}') {
                return Ok(Node::Object(members));
            }
            if !self.take(b',') {
                return Err(self.unexpected("\",\" or \"}\""));
            }
            expected = "string";
        }
    }

    /// `null`, `true`, `false` or a number.
    fn word(&mut self) -> Result<&'a str> {
        let rest = &self.text[self.at..];
        let numeric = rest.starts_with(|c: char| c == '-' || c.is_ascii_digit());
        let end = rest
            .find(|c: char| {
                let part = c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii();
                !(part || (numeric && matches!(c, '+' | '-' | '.')))
            })
            .unwrap_or(rest.len());
        let length = end.max(rest.chars().next().map_or(0, char::len_utf8));
        let word = &rest[..length];
        if !(matches!(word, "null" | "true" | "false") || is_number(word)) {
            return Err(invalid(format!("Token \"{word}\" is invalid.")));
        }
        self.at += length;
        Ok(word)
    }

    fn string(&mut self) -> Result<String> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let Some(plain) = rest.bytes().position(|c| c == b'"' || c == b'\\' || c < 0x20) else {
                return Err(if rest.is_empty() {
                    invalid("The input string ended unexpectedly.".into())
                } else {
                    invalid(format!("Token \"\"{rest}\" is invalid."))
                });
            };
            out.push_str(&rest[..plain]);
            self.at += plain + 1;
            match rest.as_bytes()[plain] {
                b'"' => return Ok(out),
                b'\\' => self.escape(&mut out)?,
                control => {
                    return Err(invalid(format!("Character with value 0x{control:02x} must be escaped.")));
                }
            }
        }
    }

    fn escape(&mut self, out: &mut String) -> Result<()> {
        let Some(character) = self.text[self.at..].chars().next() else {
            return Err(invalid("The input string ended unexpectedly.".into()));
        };
        self.at += character.len_utf8();
        out.push(match character {
            '"' | '\\' | '/' => character,
            'b' => '\x08',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => return self.unicode(out),
            other => return Err(invalid(format!("Escape sequence \"\\{other}\" is invalid."))),
        });
        Ok(())
    }

    fn unicode(&mut self, out: &mut String) -> Result<()> {
        let first = self.four_digits()?;
        let code = match first {
            0 if self.decode => {
                return Err(Error::new(
                    ErrorKind::UntranslatableCharacter,
                    "unsupported Unicode escape sequence",
                )
                .detail("\\u0000 cannot be converted to text."));
            }
            0xd800..=0xdbff => {
                if !self.text[self.at..].starts_with("\\u") {
                    return Err(low_surrogate());
                }
                self.at += 2;
                let second = self.four_digits()?;
                if !(0xdc00..=0xdfff).contains(&second) {
                    return Err(low_surrogate());
                }
                0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
            }
            0xdc00..=0xdfff => return Err(low_surrogate()),
            code => code,
        };
        out.push(char::from_u32(code).ok_or_else(low_surrogate)?);
        Ok(())
    }

    fn four_digits(&mut self) -> Result<u32> {
        let digits = self.text.get(self.at..self.at + 4).filter(|d| d.bytes().all(|c| c.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        self.at += 4;
        code.ok_or_else(|| invalid("\"\\u\" must be followed by four hexadecimal digits.".into()))
    }
}

#[cold]
fn low_surrogate() -> Error {
    invalid("Unicode low surrogate must follow a high surrogate.".into())
}

fn is_number(word: &str) -> bool {
    let body = word.strip_prefix('-').unwrap_or(word);
    let (mantissa, exponent) = match body.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (body, None),
    };
    let (integer, fraction) = match mantissa.split_once('.') {
        Some((integer, fraction)) => (integer, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    digits(integer)
        && (integer.len() == 1 || !integer.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(digits)
}
