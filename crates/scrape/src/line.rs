//! A line of the text forms: a cursor over its parts.

use std::borrow::Cow;

/// How many labels are read before somebody decides how many there may be.
const LABELS_MAX: usize = 1000;

/// Labels as they were read: borrowed, unless something in them was escaped.
pub(crate) type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// What is left of a line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a> {
    all: &'a str,
    at: usize,
}

fn is_name_start(byte: u8, colon: bool) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || (colon && byte == b':')
}

impl<'a> Line<'a> {
    pub fn new(all: &'a str) -> Self {
        Self { all, at: 0 }
    }

    pub fn rest(&self) -> &'a str {
        self.all.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.all.as_bytes().get(self.at).copied()
    }

    /// Skips spaces and tabs; whether there was one.
    pub fn blanks(&mut self) -> bool {
        let begin = self.at;
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
        self.at > begin
    }

    /// Skips a byte, if it comes next.
    pub fn skip(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    /// What comes up to a blank or a brace.
    pub fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let length = rest.find([' ', '\t', '{', '}']).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    /// A name without quotes; with colons, if it may be a metric's.
    pub fn name(&mut self, colon: bool) -> Option<&'a str> {
        let rest = self.rest();
        let mut bytes = rest.bytes();
        if !bytes.next().is_some_and(|first| is_name_start(first, colon)) {
            return None;
        }
        let more = bytes.take_while(|byte| is_name_start(*byte, colon) || byte.is_ascii_digit()).count();
        self.at += 1 + more;
        rest.get(..=more)
    }

    /// A text in double quotes, with `\\`, `\"` and `\n` for what they stand.
    pub fn quoted(&mut self) -> Result<Cow<'a, str>, String> {
        if !self.skip(b'"') {
            return Err(self.unexpected("a text in double quotes"));
        }
        let rest = self.rest();
        let bytes = rest.as_bytes();
        let mut at = 0;
        let mut escaped = false;
        loop {
            match bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    at += 2;
                }
                Some(_) => at += 1,
                None => return Err(format!("a text in double quotes has no end: {:?}", shortened(rest))),
            }
        }
        let inner = rest.get(..at).ok_or_else(|| "an escape is cut off".to_owned())?;
        self.at += at + 1;
        Ok(if escaped { Cow::Owned(unescaped(inner, true)) } else { Cow::Borrowed(inner) })
    }

    /// A metric's name and labels; what they are written as comes with them.
    pub fn series(&mut self, pairs: &mut Pairs<'a>) -> Result<&'a str, String> {
        let begin = self.at;
        if let Some(name) = self.name(true) {
            pairs.push((Cow::Borrowed("__name__"), Cow::Borrowed(name)));
        }
        let mut end = self.at;
        self.blanks();
        if self.skip(b'{') {
            self.labels(pairs)?;
            end = self.at;
        }
        match pairs.first() {
            Some((name, _)) if name == "__name__" => Ok(self.all.get(begin..end).unwrap_or_default()),
            _ => Err(self.unexpected("the name of a metric")),
        }
    }

    /// What comes after an opening brace, up to the closing one. A text in quotes without a value is the metric's name.
    pub fn labels(&mut self, pairs: &mut Pairs<'a>) -> Result<(), String> {
        loop {
            self.blanks();
            if self.skip(b'}') {
                return Ok(());
            }
            let name = match self.peek() {
                Some(b'"') => self.quoted()?,
                _ => Cow::Borrowed(self.name(false).ok_or_else(|| self.unexpected("the name of a label"))?),
            };
            self.blanks();
            if self.skip(b'=') {
                self.blanks();
                let value = self.quoted()?;
                if pairs.len() > LABELS_MAX {
                    return Err(format!("a metric has more than {LABELS_MAX} labels"));
                }
                if pairs.iter().any(|(own, _)| *own == name) {
                    return Err(format!("the label {name:?} is there twice"));
                }
                pairs.push((name, value));
            } else if pairs.first().is_some_and(|(first, _)| first == "__name__") {
                return Err("a metric has two names".to_owned());
            } else {
                pairs.insert(0, (Cow::Borrowed("__name__"), name));
            }
            self.blanks();
            if !self.skip(b',') && self.peek() != Some(b'}') {
                return Err(self.unexpected("a comma or a closing brace"));
            }
        }
    }

    /// What was expected instead of what comes.
    pub fn unexpected(&self, expected: &str) -> String {
        format!("expected {expected}, got {:?}", shortened(self.rest()))
    }
}

/// The beginning of a text, for messages.
pub(crate) fn shortened(text: &str) -> &str {
    text.get(..text.floor_char_boundary(50)).unwrap_or(text)
}

/// A text with escapes as what they stand for; others stay as they are.
pub(crate) fn unescaped(text: &str, quotes: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('\\') => out.push('\\'),
            Some('"') if quotes => out.push('"'),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}
