//! COPY's bytes into rows.
//!
//! Data comes cut anywhere; only whole rows are taken, the rest waits for more. A row may not be
//! longer than 1 GiB, as the protocol's messages.

use luma_model::{DataType, Error, ErrorKind, Result, TextContext, Value, from_binary, parse_text};

use crate::copy::encode::BINARY_SIGNATURE;
use crate::copy::json;
use crate::copy::options::{CopyFormat, CopyOptions, Header};

/// Longest row.
const ROW_BYTES_MAX: usize = 1 << 30;

/// Takes rows out of a stream of bytes.
pub(crate) struct Decoder {
    options: CopyOptions,
    /// What errors say the data is.
    about: String,
    columns: Vec<(String, DataType)>,
    buffer: Vec<u8>,
    /// Where the next row begins.
    start: usize,
    /// Up to where the buffer was searched for a row's end already, and whether inside quotes.
    searched: usize,
    in_quotes: bool,
    /// No more data comes.
    ended: bool,
    /// `\.` or the binary trailer was seen.
    closed: bool,
    header_done: bool,
    /// Rows taken, which are lines but for CSV with line breaks in values.
    line: u64,
    field: Vec<u8>,
}

impl Decoder {
    pub(crate) fn new(options: &CopyOptions, about: String, columns: Vec<(String, DataType)>) -> Self {
        let header_done = options.format != CopyFormat::Binary && options.header == Header::None;
        Self {
            options: options.clone(),
            about,
            columns,
            buffer: Vec::new(),
            start: 0,
            searched: 0,
            in_quotes: false,
            ended: false,
            closed: false,
            header_done,
            line: 0,
            field: Vec::new(),
        }
    }

    /// Adds data.
    pub(crate) fn push(&mut self, data: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.searched -= self.start;
            self.start = 0;
        }
        self.buffer.extend_from_slice(data);
    }

    /// How much data was not looked at yet.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.buffer.len() - self.searched.max(self.start)
    }

    /// Whether [`Decoder::end`] was called.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    /// No more data comes.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// Says in an error which row it is about.
    pub(crate) fn locate(&self, error: Error) -> Error {
        error.context(format!("{}, line {}", self.about, self.line))
    }

    /// Takes the next whole row into `row`; `false` when there is none yet, or none any more.
    pub(crate) fn next(&mut self, context: &TextContext, row: &mut Vec<Value>) -> Result<bool> {
        row.clear();
        let taken = match self.options.format {
            CopyFormat::Binary => self.next_binary(row),
            CopyFormat::Json => self.next_object(context, row),
            _ => self.next_text(context, row),
        };
        taken.map_err(|error| self.locate(error))
    }

    fn next_text(&mut self, context: &TextContext, row: &mut Vec<Value>) -> Result<bool> {
        loop {
            if self.closed {
                return Ok(false);
            }
            let Some((line_start, line_end)) = self.next_line()? else { return Ok(false) };
            self.line += 1;
            if !self.header_done {
                self.header_done = true;
                if self.options.header == Header::Match {
                    self.check_header(line_start, line_end)?;
                }
                continue;
            }
            if &self.buffer[line_start..line_end] == b"\\." {
                self.closed = true;
                return Ok(false);
            }
            let mut at = line_start;
            for place in 0..self.columns.len() {
                if at > line_end {
                    return Err(bad(format!("missing data for column \"{}\"", self.columns[place].0)));
                }
                let (next, null) = if self.options.format == CopyFormat::Csv {
                    self.csv_field(at, line_end)?
                } else {
                    self.text_field(at, line_end)
                };
                at = next;
                let (name, data_type) = &self.columns[place];
                row.push(if null && !self.options.force_not_null.has(place) || self.null_quoted(place) {
                    Value::Null
                } else {
                    let text = std::str::from_utf8(&self.field).map_err(|_| {
                        Error::new(
                            ErrorKind::CharacterNotInRepertoire,
                            format!("invalid byte sequence for encoding \"UTF8\" in column \"{name}\""),
                        )
                    })?;
                    read(data_type, text, context).map_err(|error| {
                        let place = format!("{}, line {}, column {name}", self.about, self.line);
                        error.column(name).context(format!("{place}: \"{text}\""))
                    })?
                });
            }
            if at <= line_end {
                return Err(bad("extra data after last expected column"));
            }
            return Ok(true);
        }
    }

    /// Whether a quoted field that reads as NULL is one.
    fn null_quoted(&self, place: usize) -> bool {
        self.options.force_null.has(place) && self.field == self.options.null.as_bytes()
    }

    /// The fields of a line.
    fn fields(&mut self, start: usize, end: usize) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let mut at = start;
        while at <= end {
            let (next, _) = match self.options.format {
                CopyFormat::Csv => self.csv_field(at, end)?,
                _ => self.text_field(at, end),
            };
            at = next;
            found.push(String::from_utf8_lossy(&self.field).into_owned());
        }
        Ok(found)
    }

    /// Compares the names of a header with those of the columns.
    fn check_header(&mut self, start: usize, end: usize) -> Result<()> {
        let found = self.fields(start, end)?;
        if found.len() != self.columns.len() {
            let (found, expected) = (found.len(), self.columns.len());
            let message = format!("wrong number of fields in header line: got {found}, expected {expected}");
            return Err(bad(message));
        }
        for (place, (found, (name, _))) in found.iter().zip(&self.columns).enumerate() {
            if found != name {
                let place = place + 1;
                let message = format!(
                    "column name mismatch in header line field {place}: got \"{found}\", expected \"{name}\""
                );
                return Err(bad(message));
            }
        }
        Ok(())
    }

    /// Takes a line that is a JSON object; empty lines are none.
    fn next_object(&mut self, context: &TextContext, row: &mut Vec<Value>) -> Result<bool> {
        loop {
            let Some((start, end)) = self.next_line()? else { return Ok(false) };
            self.line += 1;
            let line = self.buffer.get(start..end).unwrap_or_default();
            if !line.trim_ascii().is_empty() {
                let place = || format!("{}, line {}", self.about, self.line);
                json::read_object(line, &self.columns, self.options.other_fields, context, &place, row)?;
                return Ok(true);
            }
        }
    }

    /// The next line without its end.
    fn next_line(&mut self) -> Result<Option<(usize, usize)>> {
        let csv = self.options.format == CopyFormat::Csv;
        let mut at = self.searched.max(self.start);
        while at < self.buffer.len() {
            // What lies before the next byte that means something is passed over.
            let rest = &self.buffer[at..];
            let (quote, escape) = (self.options.quote, self.options.escape);
            let next = match (csv, self.in_quotes) {
                (false, _) => memchr::memchr(b'\n', rest),
                (true, false) => memchr::memchr2(quote, b'\n', rest),
                (true, true) => memchr::memchr2(quote, escape, rest),
            };
            let Some(skipped) = next else {
                at = self.buffer.len();
                break;
            };
            at += skipped;
            let byte = self.buffer[at];
            if csv && byte == self.options.quote {
                self.in_quotes = !self.in_quotes;
            } else if csv && self.in_quotes && byte == self.options.escape {
                // The escaped character is looked at only when it is there.
                if at + 1 >= self.buffer.len() && !self.ended {
                    break;
                }
                at += 1;
            } else if byte == b'\n' && !self.in_quotes {
                let escaped = self.options.format == CopyFormat::Text && self.is_escaped(at);
                if !escaped {
                    let start = self.start;
                    let mut end = at;
                    if end > start && self.buffer[end - 1] == b'\r' {
                        end -= 1;
                    }
                    self.start = at + 1;
                    self.searched = self.start;
                    return Ok(Some((start, end)));
                }
            }
            at += 1;
        }
        self.searched = at;
        if self.buffer.len() - self.start > ROW_BYTES_MAX {
            return Err(Error::new(ErrorKind::ProgramLimit, "a row is longer than 1 GiB"));
        }
        if !self.ended || self.start >= self.buffer.len() {
            return Ok(None);
        }
        if self.in_quotes {
            return Err(bad("unterminated CSV quoted field"));
        }
        let (start, mut end) = (self.start, self.buffer.len());
        if self.buffer[end - 1] == b'\r' {
            end -= 1;
        }
        self.start = self.buffer.len();
        self.searched = self.start;
        Ok(Some((start, end)))
    }

    /// Whether an odd number of backslashes stands before this place.
    fn is_escaped(&self, at: usize) -> bool {
        let before = &self.buffer[self.start..at];
        before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
    }

    /// Takes a field of the text format into `self.field`; gives where the next begins (past the
    /// line's end after the last) and whether it is NULL.
    fn text_field(&mut self, start: usize, end: usize) -> (usize, bool) {
        self.field.clear();
        let line = &self.buffer[..end];
        let delimiter = self.options.delimiter;
        let plain = memchr::memchr2(delimiter, b'\\', &line[start..]).map_or(end, |length| start + length);
        self.field.extend_from_slice(&line[start..plain]);
        let mut at = plain;
        let mut raw_end = end;
        while at < end {
            let byte = line[at];
            if byte == self.options.delimiter {
                raw_end = at;
                break;
            }
            if byte != b'\\' || at + 1 >= end {
                self.field.push(byte);
                at += 1;
                continue;
            }
            at += 2;
            match line[at - 1] {
                b'b' => self.field.push(8),
                b'f' => self.field.push(12),
                b'n' => self.field.push(b'\n'),
                b'r' => self.field.push(b'\r'),
                b't' => self.field.push(b'\t'),
                b'v' => self.field.push(11),
                b'x' => {
                    let digits =
                        line[at..end].iter().take(2).take_while(|byte| byte.is_ascii_hexdigit()).count();
                    if digits == 0 {
                        self.field.push(b'x');
                        continue;
                    }
                    self.field.push(number(&line[at..at + digits], 16));
                    at += digits;
                }
                b'0'..=b'7' => {
                    let more =
                        line[at..end].iter().take(2).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
                    self.field.push(number(&line[at - 1..at + more], 8));
                    at += more;
                }
                other => self.field.push(other),
            }
        }
        let null = &line[start..raw_end] == self.options.null.as_bytes();
        (raw_end + 1, null)
    }

    /// As `text_field`, of CSV.
    fn csv_field(&mut self, start: usize, end: usize) -> Result<(usize, bool)> {
        self.field.clear();
        let line = &self.buffer[..end];
        let (quote, escape) = (self.options.quote, self.options.escape);
        let delimiter = self.options.delimiter;
        let plain = memchr::memchr2(delimiter, quote, &line[start..]).map_or(end, |length| start + length);
        self.field.extend_from_slice(&line[start..plain]);
        let mut at = plain;
        let mut quoted = false;
        let mut inside = false;
        while at < end {
            let byte = line[at];
            if inside {
                if byte == escape && at + 1 < end && (line[at + 1] == quote || line[at + 1] == escape) {
                    self.field.push(line[at + 1]);
                    at += 2;
                    continue;
                }
                if byte == quote {
                    inside = false;
                } else {
                    self.field.push(byte);
                }
            } else if byte == self.options.delimiter {
                break;
            } else if byte == quote {
                inside = true;
                quoted = true;
            } else {
                self.field.push(byte);
            }
            at += 1;
        }
        if inside {
            return Err(bad("unterminated CSV quoted field"));
        }
        let null = !quoted && self.field == self.options.null.as_bytes();
        Ok((at + 1, null))
    }

    fn next_binary(&mut self, row: &mut Vec<Value>) -> Result<bool> {
        if self.closed {
            return Ok(false);
        }
        if !self.header_done && !self.binary_header()? {
            return Ok(false);
        }
        let mut at = self.start;
        let Some(count) = self.integer::<2>(at)? else { return Ok(false) };
        let count = i16::from_be_bytes(count);
        at += 2;
        if count == -1 {
            self.closed = true;
            self.start = at;
            return Ok(false);
        }
        if usize::try_from(count).ok() != Some(self.columns.len()) {
            return Err(bad(format!("row field count is {count}, expected {}", self.columns.len())));
        }
        for place in 0..self.columns.len() {
            let Some(length) = self.integer::<4>(at)? else { return Ok(false) };
            at += 4;
            let length = i32::from_be_bytes(length);
            if length == -1 {
                row.push(Value::Null);
                continue;
            }
            let length = usize::try_from(length)
                .ok()
                .filter(|length| *length <= ROW_BYTES_MAX)
                .ok_or_else(|| bad("invalid field size"))?;
            let Some(bytes) = self.buffer.get(at..at + length) else {
                return self.incomplete();
            };
            let (name, data_type) = &self.columns[place];
            let value = from_binary(data_type, bytes).and_then(|value| match data_type {
                DataType::Numeric(None) => {
                    luma_model::coerce_for_storage(value, data_type, data_type, &TextContext::default())
                }
                _ => Ok(value),
            });
            row.push(value.map_err(|error| error.column(name))?);
            at += length;
        }
        self.line += 1;
        self.start = at;
        self.searched = at;
        Ok(true)
    }

    fn binary_header(&mut self) -> Result<bool> {
        let Some(header) = self.buffer.get(self.start..self.start + 19) else { return self.incomplete() };
        if &header[..11] != BINARY_SIGNATURE {
            return Err(bad("COPY file signature not recognized"));
        }
        if header[11] != 0 || header[12] != 0 {
            return Err(bad("unrecognized critical flags in COPY file header"));
        }
        let extension = u32::from_be_bytes([header[15], header[16], header[17], header[18]]) as usize;
        if extension > ROW_BYTES_MAX {
            return Err(bad("invalid COPY file header (wrong length)"));
        }
        if self.buffer.len() < self.start + 19 + extension {
            return self.incomplete();
        }
        self.start += 19 + extension;
        self.searched = self.start;
        self.header_done = true;
        Ok(true)
    }

    fn integer<const N: usize>(&self, at: usize) -> Result<Option<[u8; N]>> {
        match self.buffer.get(at..at + N) {
            Some(bytes) => {
                let mut integer = [0; N];
                integer.copy_from_slice(bytes);
                Ok(Some(integer))
            }
            None => self.incomplete().map(|_| None),
        }
    }

    /// A row that is not whole: fine while more data may come.
    fn incomplete(&self) -> Result<bool> {
        if self.ended { Err(bad("unexpected EOF in COPY data")) } else { Ok(false) }
    }
}

/// The fields of the first line of CSV that begins with `bytes`; `None` where they do not have all of it.
///
/// # Errors
/// 22P04 when a quote is left open.
pub(crate) fn first_fields(options: &CopyOptions, bytes: &[u8], ended: bool) -> Result<Option<Vec<String>>> {
    let mut decoder = Decoder::new(options, String::new(), Vec::new());
    decoder.push(bytes);
    decoder.ended = ended;
    let Some((start, end)) = decoder.next_line()? else { return Ok(None) };
    decoder.fields(start, end).map(Some)
}

/// A value of a column; `numeric` without precision has limits of its own when it is stored.
fn read(data_type: &DataType, text: &str, context: &TextContext) -> Result<Value> {
    let value = parse_text(data_type, text, context)?;
    match data_type {
        DataType::Numeric(None) => luma_model::coerce_for_storage(value, data_type, data_type, context),
        _ => Ok(value),
    }
}

fn number(digits: &[u8], radix: u32) -> u8 {
    digits
        .iter()
        .filter_map(|digit| (*digit as char).to_digit(radix))
        .fold(0u32, |sum, digit| sum * radix + digit) as u8
}

fn bad(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::BadCopyFormat, message)
}
