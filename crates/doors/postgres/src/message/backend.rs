//! What clients get, appended to a write buffer.

use luma_model::Error;
use luma_query::{Column, CommandTag, Notice, Notification, Severity, TransactionStatus};

use crate::message::frontend::Format;

/// Answers without a body.
pub(crate) const PARSE_COMPLETE: &[u8] = b"1\0\0\0\x04";
pub(crate) const BIND_COMPLETE: &[u8] = b"2\0\0\0\x04";
pub(crate) const CLOSE_COMPLETE: &[u8] = b"3\0\0\0\x04";
pub(crate) const NO_DATA: &[u8] = b"n\0\0\0\x04";
pub(crate) const EMPTY_QUERY: &[u8] = b"I\0\0\0\x04";
pub(crate) const PORTAL_SUSPENDED: &[u8] = b"s\0\0\0\x04";
pub(crate) const COPY_DONE: &[u8] = b"c\0\0\0\x04";

/// Appends a message: its tag, a length to be known later, its body.
fn message(out: &mut Vec<u8>, tag: u8, body: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    body(out);
    finish(out, start);
}

/// Puts the length where `start` left room for it.
pub(crate) fn finish(out: &mut [u8], start: usize) {
    let length = (out.len() - start) as u32;
    if let Some(place) = out.get_mut(start..start + 4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    // A zero byte would end the text early and shift what follows.
    out.extend(text.bytes().filter(|byte| *byte != 0));
    out.push(0);
}

/// Whether the client is to send a password, and how.
pub(crate) fn authentication(out: &mut Vec<u8>, code: u32, body: &[u8]) {
    message(out, b'R', |out| {
        out.extend_from_slice(&code.to_be_bytes());
        out.extend_from_slice(body);
    });
}

/// The newest protocol the server speaks, and options it does not know.
pub(crate) fn negotiate_protocol_version(out: &mut Vec<u8>, unknown: &[String]) {
    message(out, b'v', |out| {
        out.extend_from_slice(&0u32.to_be_bytes());
        out.extend_from_slice(&(unknown.len() as u32).to_be_bytes());
        for option in unknown {
            text(out, option);
        }
    });
}

pub(crate) fn backend_key_data(out: &mut Vec<u8>, process: i32, secret: i32) {
    message(out, b'K', |out| {
        out.extend_from_slice(&process.to_be_bytes());
        out.extend_from_slice(&secret.to_be_bytes());
    });
}

pub(crate) fn parameter_status(out: &mut Vec<u8>, name: &str, value: &str) {
    message(out, b'S', |out| {
        text(out, name);
        text(out, value);
    });
}

pub(crate) fn ready_for_query(out: &mut Vec<u8>, status: TransactionStatus) {
    let status = match status {
        TransactionStatus::Idle => b'I',
        TransactionStatus::InTransaction => b'T',
        TransactionStatus::Failed => b'E',
    };
    out.extend_from_slice(&[b'Z', 0, 0, 0, 5, status]);
}

pub(crate) fn command_complete(out: &mut Vec<u8>, tag: &CommandTag) {
    message(out, b'C', |out| {
        tag.write_to(out);
        out.push(0);
    });
}

pub(crate) fn parameter_description(out: &mut Vec<u8>, types: impl ExactSizeIterator<Item = u32>) {
    message(out, b't', |out| {
        out.extend_from_slice(&(types.len() as u16).to_be_bytes());
        for oid in types {
            out.extend_from_slice(&oid.to_be_bytes());
        }
    });
}

pub(crate) fn row_description(out: &mut Vec<u8>, columns: &[Column], format: impl Fn(usize) -> Format) {
    message(out, b'T', |out| {
        out.extend_from_slice(&(columns.len() as u16).to_be_bytes());
        for (place, column) in columns.iter().enumerate() {
            text(out, &column.name);
            out.extend_from_slice(&column.table_oid.to_be_bytes());
            out.extend_from_slice(&column.attribute.to_be_bytes());
            out.extend_from_slice(&column.data_type.oid().to_be_bytes());
            out.extend_from_slice(&column.data_type.type_len().to_be_bytes());
            out.extend_from_slice(&column.data_type.typmod().to_be_bytes());
            out.extend_from_slice(&format(place).code().to_be_bytes());
        }
    });
}

/// The start of a COPY; `tag` is `G` for data in, `H` for data out.
pub(crate) fn copy_response(out: &mut Vec<u8>, tag: u8, format: Format, columns: usize) {
    message(out, tag, |out| {
        out.push(format.code() as u8);
        out.extend_from_slice(&(columns as u16).to_be_bytes());
        for _ in 0..columns {
            out.extend_from_slice(&format.code().to_be_bytes());
        }
    });
}

pub(crate) fn copy_data(out: &mut Vec<u8>, data: &[u8]) {
    message(out, b'd', |out| out.extend_from_slice(data));
}

/// An error that ends a statement, or with `fatal` the connection.
pub(crate) fn error_response(out: &mut Vec<u8>, error: &Error, fatal: bool) {
    message(out, b'E', |out| fields(out, if fatal { "FATAL" } else { "ERROR" }, error));
}

/// What another session said to all who listen.
pub(crate) fn notification_response(out: &mut Vec<u8>, notification: &Notification) {
    message(out, b'A', |out| {
        let session = u32::try_from(notification.session).unwrap_or(u32::MAX);
        out.extend_from_slice(&session.to_be_bytes());
        text(out, &notification.channel);
        text(out, &notification.payload);
    });
}

pub(crate) fn notice_response(out: &mut Vec<u8>, notice: &Notice) {
    let severity = match notice.severity {
        Severity::Notice => "NOTICE",
        Severity::Warning => "WARNING",
    };
    message(out, b'N', |out| fields(out, severity, &notice.error));
}

fn fields(out: &mut Vec<u8>, severity: &str, error: &Error) {
    let mut field = |code: u8, value: &str| {
        out.push(code);
        text(out, value);
    };
    field(b'S', severity);
    field(b'V', severity);
    field(b'C', error.sqlstate());
    field(b'M', &error.message);
    let optional = [
        (b'D', &error.detail),
        (b'H', &error.hint),
        (b'W', &error.context),
        (b's', &error.schema),
        (b't', &error.table),
        (b'c', &error.column),
        (b'd', &error.data_type),
        (b'n', &error.constraint),
    ];
    for (code, value) in optional {
        if let Some(value) = value {
            field(code, value);
        }
    }
    if let Some(position) = error.position {
        field(b'P', &position.to_string());
    }
    out.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use luma_model::ErrorKind;

    #[test]
    fn an_error_carries_every_field_it_has() {
        let error = Error::new(ErrorKind::UniqueViolation, "duplicate\0 key")
            .detail("d")
            .hint("h")
            .position(7)
            .table("t")
            .constraint("n");
        let mut out = Vec::new();
        error_response(&mut out, &error, false);
        let expected = b"SERROR\0VERROR\0C23505\0Mduplicate key\0Dd\0Hh\0tt\0nn\0P7\0\0";
        assert_eq!((out[0], &out[5..]), (b'E', &expected[..]));
        assert_eq!(out[1..5], ((expected.len() + 4) as u32).to_be_bytes());
    }

    #[test]
    fn the_tag_and_the_state_are_spelt_as_clients_expect() {
        let mut out = Vec::new();
        command_complete(&mut out, &CommandTag::Insert(3));
        ready_for_query(&mut out, TransactionStatus::Failed);
        assert_eq!(out, b"C\0\0\0\x0fINSERT 0 3\0Z\0\0\0\x05E");
    }
}
