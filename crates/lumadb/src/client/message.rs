//! Messages as the client writes and reads them.

use std::fmt::Write;

use bytes::{Buf, Bytes, BytesMut};
use luma_model::DataType;

use crate::Failure;
use crate::client::Column;

/// A message of the server.
pub(super) struct Backend {
    pub(super) tag: u8,
    pub(super) body: BytesMut,
}

fn message(out: &mut Vec<u8>, tag: u8, parts: &[&[u8]]) {
    out.push(tag);
    let length: usize = parts.iter().map(|part| part.len()).sum();
    out.extend_from_slice(&(length as u32 + 4).to_be_bytes());
    for part in parts {
        out.extend_from_slice(part);
    }
}

pub(super) fn startup(out: &mut Vec<u8>, user: &str, database: &str) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(3u32 << 16).to_be_bytes());
    for text in
        ["user", user, "database", database, "application_name", "lumadb", "client_encoding", "UTF8", ""]
    {
        out.extend_from_slice(text.as_bytes());
        out.push(0);
    }
    let length = (out.len() - start) as u32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

pub(super) fn password(out: &mut Vec<u8>, bytes: &[u8]) {
    message(out, b'p', &[bytes]);
}

pub(super) fn sasl_initial(out: &mut Vec<u8>, mechanism: &str, first: &[u8]) {
    let length = (first.len() as u32).to_be_bytes();
    message(out, b'p', &[mechanism.as_bytes(), b"\0", &length, first]);
}

pub(super) fn query(out: &mut Vec<u8>, sql: &str) {
    message(out, b'Q', &[sql.as_bytes(), b"\0"]);
}

pub(super) fn copy_data(out: &mut Vec<u8>, data: &[u8]) {
    message(out, b'd', &[data]);
}

pub(super) fn copy_done(out: &mut Vec<u8>) {
    message(out, b'c', &[]);
}

pub(super) fn copy_fail(out: &mut Vec<u8>, reason: &str) {
    message(out, b'f', &[reason.as_bytes(), b"\0"]);
}

/// The request to end what a connection runs.
pub(super) fn cancel_request(process: i32, secret: i32) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&16u32.to_be_bytes());
    bytes[4..8].copy_from_slice(&80_877_102u32.to_be_bytes());
    bytes[8..12].copy_from_slice(&process.to_be_bytes());
    bytes[12..].copy_from_slice(&secret.to_be_bytes());
    bytes
}

/// Texts that end in a zero byte.
pub(super) fn text_fields(body: &[u8]) -> impl Iterator<Item = String> {
    body.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned())
}

/// The columns of a result.
pub(super) fn columns(mut body: &[u8]) -> Option<Vec<Column>> {
    let count = body.try_get_u16().ok()?;
    (0..count)
        .map(|_| {
            let end = body.iter().position(|byte| *byte == 0)?;
            let name = String::from_utf8_lossy(&body[..end]).into_owned();
            body.advance(end + 1);
            let mut fields = body.split_at_checked(18).map(|(fields, rest)| {
                body = rest;
                fields
            })?;
            fields.advance(6);
            let oid = fields.get_u32();
            fields.advance(2);
            let data_type = DataType::from_oid(oid, fields.get_i32()).unwrap_or(DataType::Text);
            Some(Column { name, data_type })
        })
        .collect()
}

/// A row of texts.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    bytes: Bytes,
    /// Where each value begins and ends; an end before its begin is NULL.
    places: Vec<(u32, u32)>,
}

impl Row {
    pub(super) fn read(bytes: Bytes) -> Option<Self> {
        let mut rest = &bytes[..];
        let count = rest.try_get_u16().ok()?;
        let mut places = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            let length = rest.try_get_i32().ok()?;
            let start = (bytes.len() - rest.len()) as u32;
            match usize::try_from(length) {
                Ok(length) => {
                    rest = rest.get(length..)?;
                    places.push((start, start + length as u32));
                }
                Err(_) => places.push((1, 0)),
            }
        }
        Some(Self { bytes, places })
    }

    /// The value at a place; `None` is NULL.
    pub(crate) fn get(&self, place: usize) -> Option<&str> {
        let (start, end) = *self.places.get(place)?;
        std::str::from_utf8(self.bytes.get(start as usize..end as usize)?).ok()
    }

    /// All values.
    pub(crate) fn values(&self) -> impl Iterator<Item = Option<&str>> {
        (0..self.places.len()).map(|place| self.get(place))
    }
}

/// What the server says went wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerError {
    pub(crate) severity: String,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) detail: Option<String>,
    pub(crate) hint: Option<String>,
    /// Where COPY was.
    pub(crate) context: Option<String>,
    /// Where in the statement, in characters from 1.
    pub(crate) position: Option<usize>,
}

impl ServerError {
    pub(super) fn read(body: &[u8]) -> Self {
        let mut error = Self::default();
        for field in text_fields(body) {
            let Some(code) = field.chars().next() else { continue };
            let text = field[code.len_utf8()..].to_owned();
            match code {
                'S' => error.severity = text,
                'C' => error.code = text,
                'M' => error.message = text,
                'D' => error.detail = Some(text),
                'H' => error.hint = Some(text),
                'W' => error.context = Some(text),
                'P' => error.position = text.parse().ok(),
                _ => {}
            }
        }
        error
    }

    /// As psql shows it, with the line of the statement and a caret below it.
    pub(crate) fn show(&self, sql: &str) -> String {
        let mut text = format!("{}:  {}", self.severity, self.message);
        if let Some((number, line, column)) = self.position.and_then(|position| place(sql, position)) {
            let head = format!("LINE {number}: ");
            let _ = write!(text, "\n{head}{line}\n{:width$}^", "", width = head.len() + column);
        }
        for (name, part) in [("DETAIL", &self.detail), ("HINT", &self.hint), ("CONTEXT", &self.context)] {
            if let Some(part) = part {
                let _ = write!(text, "\n{name}:  {part}");
            }
        }
        text
    }
}

/// The line at a place, its number from 1, and the column in it from 0.
fn place(sql: &str, position: usize) -> Option<(usize, &str, usize)> {
    let mut left = position.checked_sub(1)?;
    for (number, line) in sql.split('\n').enumerate() {
        let length = line.chars().count();
        if left <= length {
            return Some((number + 1, line.trim_end_matches('\r'), left));
        }
        left -= length + 1;
    }
    None
}

impl From<ServerError> for Failure {
    fn from(error: ServerError) -> Self {
        Self::new(error.show(""))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_error_points_at_its_place() {
        let error = ServerError::read(b"SERROR\0C42601\0Msyntax error\0Hhint\0P13\0\0");
        assert_eq!(error.code, "42601");
        let shown = error.show("SELECT 1,\n  FORM t");
        assert_eq!(shown, "ERROR:  syntax error\nLINE 2:   FORM t\n          ^\nHINT:  hint");
        assert_eq!(error.show("x"), "ERROR:  syntax error\nHINT:  hint");
    }

    #[test]
    fn a_row_gives_its_values_and_nulls() {
        let row = Row::read(Bytes::from_static(b"\0\x03\0\0\0\x01a\xff\xff\xff\xff\0\0\0\0")).unwrap();
        assert_eq!(row.values().collect::<Vec<_>>(), [Some("a"), None, Some("")]);
        assert!(Row::read(Bytes::from_static(b"\0\x01\0\0\0\x09a")).is_none());
    }

    #[test]
    fn a_description_gives_names_and_types() {
        let body = b"\0\x01n\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0";
        let columns = columns(body).unwrap();
        assert_eq!(columns, [Column { name: "n".into(), data_type: DataType::Int4 }]);
    }
}
