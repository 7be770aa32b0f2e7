//! Splitting the text of a date, time or interval into fields, as PostgreSQL does.

/// Most fields of one text.
const FIELDS_MAX: usize = 25;
/// Longest text that is looked at; longer ones are no dates.
const LENGTH_MAX: usize = 256;

/// What a field looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::text) enum Shape {
    /// Digits, perhaps with one point.
    Number,
    /// Letters.
    Word,
    /// Parts joined by `-`, `/` or `.`, or a zone's name.
    Date,
    /// Digits and colons.
    Time,
    /// A sign and digits.
    Offset,
    /// A sign and letters.
    SignedWord,
}

/// A field, in lower case.
#[derive(Debug)]
pub(in crate::text) struct Field {
    pub(in crate::text) shape: Shape,
    pub(in crate::text) text: String,
}

struct Cursor<'a> {
    rest: &'a [u8],
    text: String,
}

impl Cursor<'_> {
    fn peek(&self) -> u8 {
        self.rest.first().copied().unwrap_or(0)
    }

    fn take(&mut self) {
        self.text.push(char::from(self.peek().to_ascii_lowercase()));
        self.rest = self.rest.get(1..).unwrap_or_default();
    }

    fn take_while(&mut self, wanted: impl Fn(u8) -> bool) {
        while !self.rest.is_empty() && wanted(self.peek()) {
            self.take();
        }
    }
}

/// The fields of a text; `None` when it cannot be split.
pub(in crate::text) fn split(text: &str) -> Option<Vec<Field>> {
    if text.len() > LENGTH_MAX || !text.is_ascii() {
        return None;
    }
    let mut fields = Vec::new();
    let mut cursor = Cursor { rest: text.as_bytes(), text: String::new() };
    while let Some(first) = cursor.rest.first().copied() {
        if first.is_ascii_whitespace() || first == 0x0b {
            cursor.rest = &cursor.rest[1..];
            continue;
        }
        let shape = match first {
            b'0'..=b'9' => number(&mut cursor),
            b'.' => {
                cursor.take();
                cursor.take_while(|c| c.is_ascii_digit());
                Shape::Number
            }
            b'a'..=b'z' | b'A'..=b'Z' => word(&mut cursor),
            b'+' | b'-' => signed(&mut cursor)?,
            _ if first.is_ascii_punctuation() => {
                cursor.rest = &cursor.rest[1..];
                continue;
            }
            _ => return None,
        };
        if fields.len() == FIELDS_MAX {
            return None;
        }
        fields.push(Field { shape, text: std::mem::take(&mut cursor.text) });
    }
    Some(fields)
}

fn number(cursor: &mut Cursor<'_>) -> Shape {
    cursor.take();
    cursor.take_while(|c| c.is_ascii_digit());
    match cursor.peek() {
        b':' => {
            cursor.take();
            cursor.take_while(|c| c.is_ascii_digit() || c == b':' || c == b'.');
            Shape::Time
        }
        delimiter @ (b'-' | b'/' | b'.') => {
            cursor.take();
            if !cursor.peek().is_ascii_digit() {
                cursor.take_while(|c| c.is_ascii_alphanumeric() || c == delimiter);
                return Shape::Date;
            }
            cursor.take_while(|c| c.is_ascii_digit());
            if cursor.peek() == delimiter {
                cursor.take();
                cursor.take_while(|c| c.is_ascii_digit() || c == delimiter);
                return Shape::Date;
            }
            if delimiter == b'.' { Shape::Number } else { Shape::Date }
        }
        _ => Shape::Number,
    }
}

fn word(cursor: &mut Cursor<'_>) -> Shape {
    cursor.take();
    cursor.take_while(|c| c.is_ascii_alphabetic());
    let next = cursor.peek();
    let joined = match next {
        b'-' | b'/' | b'.' => true,
        // Distinguishes the zone EST5EDT from the word of J2451187.
        b'+' | b'0'..=b'9' => super::words::lookup(&cursor.text).is_none(),
        _ => false,
    };
    if !joined {
        return Shape::Word;
    }
    cursor.take_while(|c| matches!(c, b'+' | b'-' | b'/' | b'_' | b'.' | b':') || c.is_ascii_alphanumeric());
    Shape::Date
}

fn signed(cursor: &mut Cursor<'_>) -> Option<Shape> {
    cursor.take();
    while cursor.peek().is_ascii_whitespace() {
        cursor.rest = &cursor.rest[1..];
    }
    if cursor.peek().is_ascii_digit() {
        cursor.take_while(|c| c.is_ascii_digit() || matches!(c, b':' | b'.' | b'-'));
        return Some(Shape::Offset);
    }
    if cursor.peek().is_ascii_alphabetic() {
        cursor.take_while(|c| c.is_ascii_alphabetic());
        return Some(Shape::SignedWord);
    }
    None
}
