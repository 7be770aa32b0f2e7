//! Finding the values of a JSON file without reading all of it into memory: the elements of its
//! array, the features of a GeoJSON collection, or values one after the other.

use std::io::{self, BufRead, Read};

/// Longest value, bytes.
const VALUE_BYTES_MAX: usize = 64 << 20;

/// What values stand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// An array, with commas between them.
    Array,
    /// Nothing.
    Sequence,
}

/// Walks over JSON.
pub(super) struct Scanner<R> {
    input: R,
    /// Bytes from the start of the file.
    pub(super) offset: u64,
    /// The line, from 1.
    pub(super) line: u64,
}

impl<R: BufRead> Scanner<R> {
    pub(super) fn new(input: R, offset: u64, line: u64) -> Self {
        Self { input, offset, line }
    }

    /// Finds out what the values stand in and goes to the first; the input is at its start. In the
    /// case of a sequence the scanner has to be made anew at the start.
    pub(super) fn begin(&mut self) -> io::Result<Mode> {
        self.skip_mark()?;
        match self.skip_space()? {
            Some(b'[') => {
                self.take()?;
                return Ok(Mode::Array);
            }
            Some(b'{') => self.take()?,
            _ => return Ok(Mode::Sequence),
        };
        let mut value = Vec::new();
        loop {
            match self.skip_space()? {
                Some(b'"') => {
                    value.clear();
                    self.value(&mut value)?;
                    let is_features = value == b"\"features\"";
                    if self.skip_space()? != Some(b':') {
                        return Ok(Mode::Sequence);
                    }
                    self.take()?;
                    if self.skip_space()? == Some(b'[') && is_features {
                        self.take()?;
                        return Ok(Mode::Array);
                    }
                    value.clear();
                    self.value(&mut value)?;
                }
                Some(b',') => drop(self.take()?),
                _ => return Ok(Mode::Sequence),
            }
        }
    }

    /// Reads the next value into `value`; the line it began on, or `None` at the end.
    ///
    /// # Errors
    /// Of the input; when the text is no JSON.
    pub(super) fn next(&mut self, mode: Mode, value: &mut Vec<u8>) -> io::Result<Option<u64>> {
        value.clear();
        if self.offset == 0 {
            self.skip_mark()?;
        }
        let mut first = self.skip_space()?;
        if mode == Mode::Array && first == Some(b',') {
            self.take()?;
            first = self.skip_space()?;
        }
        match first {
            Some(b']') if mode == Mode::Array => Ok(None),
            None if mode == Mode::Sequence => Ok(None),
            None => Err(self.malformed("the array has no end")),
            Some(b',' | b']' | b'}' | b':') => Err(self.malformed("a value was expected")),
            Some(_) => {
                let line = self.line;
                self.value(value)?;
                Ok(Some(line))
            }
        }
    }

    /// Reads one value; only its brackets and quotes are looked at.
    fn value(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        let mut depth = 0usize;
        loop {
            let Some(byte) = self.peek()? else {
                return if depth == 0 && !out.is_empty() {
                    Ok(())
                } else {
                    Err(self.malformed("the text ends inside of a value"))
                };
            };
            match byte {
                b'"' => self.string(out)?,
                b'{' | b'[' => {
                    depth += 1;
                    out.push(self.take()?);
                }
                b'}' | b']' if depth == 0 => return Ok(()),
                b'}' | b']' => {
                    depth -= 1;
                    out.push(self.take()?);
                }
                b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => return Ok(()),
                _ => out.push(self.take()?),
            }
            if depth == 0 && matches!(out.last(), Some(b'"' | b'}' | b']')) {
                return Ok(());
            }
            if out.len() > VALUE_BYTES_MAX {
                return Err(self.malformed("a value is longer than 64 MB"));
            }
        }
    }

    fn string(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        out.push(self.take()?);
        loop {
            let byte = self.take()?;
            out.push(byte);
            match byte {
                b'"' => return Ok(()),
                b'\\' => out.push(self.take()?),
                _ if out.len() > VALUE_BYTES_MAX => {
                    return Err(self.malformed("a value is longer than 64 MB"));
                }
                _ => {}
            }
        }
    }

    /// Reads a line with its ending; whether there was one.
    pub(super) fn read_line(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        let read = self.input.by_ref().take(VALUE_BYTES_MAX as u64).read_until(b'\n', line)?;
        if read == VALUE_BYTES_MAX {
            return Err(self.malformed("a line is longer than 64 MB"));
        }
        self.offset += read as u64;
        self.line += u64::from(line.ends_with(b"\n"));
        Ok(read > 0)
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        Ok(self.input.fill_buf()?.first().copied())
    }

    fn take(&mut self) -> io::Result<u8> {
        let byte = self.peek()?.ok_or_else(|| self.malformed("the text ends inside of a value"))?;
        self.input.consume(1);
        self.offset += 1;
        self.line += u64::from(byte == b'\n');
        Ok(byte)
    }

    fn skip_space(&mut self) -> io::Result<Option<u8>> {
        loop {
            match self.peek()? {
                Some(b' ' | b'\t' | b'\n' | b'\r') => drop(self.take()?),
                other => return Ok(other),
            }
        }
    }

    /// Passes over a byte order mark.
    fn skip_mark(&mut self) -> io::Result<()> {
        if self.input.fill_buf()?.starts_with("\u{feff}".as_bytes()) {
            self.input.consume(3);
            self.offset += 3;
        }
        Ok(())
    }

    fn malformed(&self, what: &str) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, format!("line {}: {what}", self.line))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(text: &str) -> io::Result<Vec<String>> {
        let mut scanner = Scanner::new(text.as_bytes(), 0, 1);
        let mode = scanner.begin()?;
        if mode == Mode::Sequence {
            scanner = Scanner::new(text.as_bytes(), 0, 1);
        }
        let (mut value, mut all) = (Vec::new(), Vec::new());
        while scanner.next(mode, &mut value)?.is_some() {
            all.push(String::from_utf8_lossy(&value).into_owned());
        }
        Ok(all)
    }

    #[test]
    fn arrays_collections_and_sequences_give_their_values() {
        let objects = ["{\"a\": [1, \"]}\\\"\"]}", "{}"];
        let [one, two] = objects;
        for text in [
            format!("[{one},\n {two}]"),
            format!(" {one}\n{two}\n"),
            format!("{one}{two}"),
            format!("\u{feff}[{one},{two}]"),
            format!(
                "{{\"type\": \"FeatureCollection\", \"m\": {{\"features\": [1]}}, \"features\": [{one}, {two}], \"x\": 1}}"
            ),
        ] {
            assert_eq!(values(&text).unwrap(), objects, "{text}");
        }
        assert_eq!(values("[]").unwrap(), [""; 0]);
        assert_eq!(values("[1, \"a\", null]").unwrap(), ["1", "\"a\"", "null"]);
    }

    #[test]
    fn a_text_that_is_cut_off_is_an_error_with_its_line() {
        for text in ["[1,\n2", "[{\"a\":\n", "{\"a\": 1", "[1}"] {
            let error = values(text).unwrap_err().to_string();
            assert!(error.contains("line "), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_scanner_panic_or_stand_still(text in "[\\[\\]{}\",:\\\\a1 \n]{0,60}") {
            let _ = values(&text);
        }
    }
}
