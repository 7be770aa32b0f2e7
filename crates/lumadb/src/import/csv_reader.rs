//! Reading CSV: records with their lines and places, quoted values told from unquoted ones.
//!
//! RFC 4180 with either line ending; a quote inside of a quoted value is doubled. Lines without a
//! quote take a short way that only looks for separators.

use std::io::{self, Read};

/// Bytes read at a time.
const READ_BYTES: usize = 1 << 20;
/// Longest record, bytes; a quote that is never closed must not take the whole file into memory.
const RECORD_BYTES_MAX: usize = 64 << 20;

/// A record: its values and where it was.
#[derive(Debug, Default)]
pub(super) struct Record {
    bytes: Vec<u8>,
    ends: Vec<u32>,
    quoted: Vec<bool>,
    /// The line it began on, from 1.
    pub(super) line: u64,
}

impl Record {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The value at a place, and whether it was quoted.
    pub(super) fn get(&self, place: usize) -> Option<(&[u8], bool)> {
        let end = *self.ends.get(place)? as usize;
        let start = if place == 0 { 0 } else { self.ends[place - 1] as usize };
        Some((&self.bytes[start..end], self.quoted[place]))
    }

    /// All values, and whether each was quoted.
    pub(super) fn values(&self) -> impl Iterator<Item = (&[u8], bool)> {
        (0..self.len()).filter_map(|place| self.get(place))
    }

    /// The record about as it was, to show it.
    pub(super) fn text(&self) -> String {
        let values: Vec<_> = self.values().map(|(value, _)| String::from_utf8_lossy(value)).collect();
        values.join(",")
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.quoted.clear();
    }

    fn end_value(&mut self, quoted: bool) {
        self.ends.push(self.bytes.len() as u32);
        self.quoted.push(quoted);
    }
}

/// Reads records.
pub(super) struct CsvReader<R> {
    input: R,
    buffer: Vec<u8>,
    start: usize,
    ended: bool,
    delimiter: u8,
    /// Where the next record begins, bytes from the start of the file.
    pub(super) offset: u64,
    /// The line the next record begins on, from 1.
    pub(super) line: u64,
}

impl<R: Read> CsvReader<R> {
    /// A reader of an input that stands at a record's beginning.
    pub(super) fn new(input: R, delimiter: u8, offset: u64, line: u64) -> Self {
        Self { input, buffer: Vec::new(), start: 0, ended: false, delimiter, offset, line }
    }

    /// Reads the next record; `false` at the end. Empty lines are passed over.
    ///
    /// # Errors
    /// Of the input; when a quote is not closed.
    pub(super) fn read(&mut self, record: &mut Record) -> io::Result<bool> {
        loop {
            let Some(length) = self.record_length()? else { return Ok(false) };
            let bytes = &self.buffer[self.start..self.start + length];
            record.clear();
            record.line = self.line;
            let lines = split(bytes, self.delimiter, record);
            self.start += length;
            self.offset += length as u64;
            self.line += lines;
            if record.len() > 1 || record.get(0).is_some_and(|(value, quoted)| quoted || !value.is_empty()) {
                return Ok(true);
            }
        }
    }

    /// Bytes of the next record with its line ending, all of them in the buffer; `None` at the end.
    fn record_length(&mut self) -> io::Result<Option<usize>> {
        let (mut looked, mut quotes) = (0, 0);
        loop {
            let bytes = &self.buffer[self.start..];
            while let Some(newline) = memchr::memchr(b'\n', &bytes[looked..]) {
                let line = &bytes[looked..looked + newline];
                quotes += memchr::memchr_iter(b'"', line).count();
                looked += newline + 1;
                // Inside of quotes there is an odd number of them so far, doubled ones included.
                if quotes % 2 == 0 {
                    return Ok(Some(looked));
                }
            }
            if self.ended {
                quotes += memchr::memchr_iter(b'"', &bytes[looked..]).count();
                return match (bytes.len(), quotes % 2) {
                    (0, _) => Ok(None),
                    (length, 0) => Ok(Some(length)),
                    _ => Err(self.malformed("a quote is not closed")),
                };
            }
            if bytes.len() > RECORD_BYTES_MAX {
                return Err(self.malformed("a record is longer than 64 MB; is a quote not closed?"));
            }
            self.fill()?;
        }
    }

    fn malformed(&self, what: &str) -> io::Error {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("the record that begins on line {}: {what}", self.line),
        )
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let read = (&mut self.input).take(READ_BYTES as u64).read_to_end(&mut self.buffer)?;
        self.ended = read == 0;
        Ok(())
    }
}

/// Cuts a record into values; the answer is how many lines it took.
fn split(bytes: &[u8], delimiter: u8, record: &mut Record) -> u64 {
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let body = body.strip_suffix(b"\r").unwrap_or(body);
    if memchr::memchr(b'"', body).is_none() {
        let mut start = 0;
        for place in memchr::memchr_iter(delimiter, body) {
            record.bytes.extend_from_slice(&body[start..place]);
            record.end_value(false);
            start = place + 1;
        }
        record.bytes.extend_from_slice(&body[start..]);
        record.end_value(false);
        return 1;
    }
    let mut rest = body;
    loop {
        let quoted = rest.first() == Some(&b'"');
        if quoted {
            rest = &rest[1..];
            while let Some(place) = memchr::memchr(b'"', rest) {
                record.bytes.extend_from_slice(&rest[..place]);
                rest = &rest[place + 1..];
                if rest.first() != Some(&b'"') {
                    break;
                }
                record.bytes.push(b'"');
                rest = &rest[1..];
            }
        }
        let end = memchr::memchr(delimiter, rest);
        record.bytes.extend_from_slice(&rest[..end.unwrap_or(rest.len())]);
        record.end_value(quoted);
        match end {
            Some(end) => rest = &rest[end + 1..],
            None => break,
        }
    }
    memchr::memchr_iter(b'\n', bytes).count().max(1) as u64
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Values = Vec<(String, bool)>;

    fn read_all(text: &[u8]) -> io::Result<Vec<(Values, u64)>> {
        let mut reader = CsvReader::new(text, b',', 0, 1);
        let (mut record, mut all) = (Record::default(), Vec::new());
        while reader.read(&mut record)? {
            let values = record.values();
            let values = values.map(|(value, quoted)| (String::from_utf8_lossy(value).into_owned(), quoted));
            all.push((values.collect(), record.line));
        }
        assert_eq!(reader.offset, text.len() as u64);
        Ok(all)
    }

    #[test]
    fn quotes_line_breaks_and_empty_lines_are_kept_apart() {
        let all = read_all(b"a,b\r\n\n\"x,\"\"y\"\"\n2\",\n,\"\"").unwrap();
        let value = |text: &str, quoted| (text.to_owned(), quoted);
        assert_eq!(
            all,
            [
                (vec![value("a", false), value("b", false)], 1),
                (vec![value("x,\"y\"\n2", true), value("", false)], 3),
                (vec![value("", false), value("", true)], 5),
            ]
        );
    }

    #[test]
    fn a_quote_that_is_not_closed_names_its_line() {
        let error = read_all(b"a\n\"b\nc\n").unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_and_can_be_read_from_any_record(
            rows in proptest::collection::vec(proptest::collection::vec("[a\",\n\r é]{0,6}", 2..4), 1..8)
        ) {
            let mut text = Vec::new();
            let mut offsets = vec![0];
            for row in &rows {
                let values: Vec<_> = row.iter().map(|value| format!("\"{}\"", value.replace('"', "\"\""))).collect();
                text.extend_from_slice(values.join(",").as_bytes());
                text.push(b'\n');
                offsets.push(text.len());
            }
            for (first, offset) in offsets.iter().enumerate() {
                let read = read_all(&text[*offset..]).unwrap();
                let read: Vec<Vec<String>> =
                    read.into_iter().map(|(values, _)| values.into_iter().map(|(value, _)| value).collect()).collect();
                prop_assert_eq!(&read, &rows[first..]);
            }
        }

        #[test]
        fn no_bytes_make_the_reader_panic(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_all(&text);
        }
    }
}
