//! What clients send, borrowed from the message it came in.

use luma_model::{Error, ErrorKind, Result};

use crate::message::field::Fields;

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Binary,
}

impl Format {
    pub(crate) fn code(self) -> i16 {
        match self {
            Self::Text => 0,
            Self::Binary => 1,
        }
    }
}

/// Format codes of a Bind: none (all text), one for all, or one each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Formats<'a>(&'a [u8]);

impl<'a> Formats<'a> {
    fn read(fields: &mut Fields<'a>) -> Result<Self> {
        let count = count(fields)?;
        let codes = fields.bytes(count * 2)?;
        for code in codes.chunks_exact(2) {
            if code[0] != 0 || code[1] > 1 {
                let code = i16::from_be_bytes([code[0], code[1]]);
                let message = format!("unsupported format code: {code}");
                return Err(Error::new(ErrorKind::InvalidParameterValue, message));
            }
        }
        Ok(Self(codes))
    }

    /// How many codes were given.
    pub(crate) fn count(&self) -> usize {
        self.0.len() / 2
    }

    /// The format of the value at a place.
    pub(crate) fn get(&self, place: usize) -> Format {
        let place = if self.0.len() == 2 { 0 } else { place };
        match self.0.get(place * 2 + 1) {
            Some(1) => Format::Binary,
            _ => Format::Text,
        }
    }
}

/// Analyse a statement.
pub(crate) struct Parse<'a> {
    pub(crate) name: &'a str,
    pub(crate) text: &'a str,
    types: &'a [u8],
}

impl<'a> Parse<'a> {
    pub(crate) fn read(body: &'a [u8]) -> Result<Self> {
        let mut fields = Fields(body);
        let (name, text) = (fields.text()?, fields.text()?);
        let count = count(&mut fields)?;
        let types = fields.bytes(count * 4)?;
        fields.end()?;
        Ok(Self { name, text, types })
    }

    /// Types of the parameters; 0 where the server is to find out.
    pub(crate) fn types(&self) -> impl Iterator<Item = u32> {
        self.types.chunks_exact(4).map(|bytes| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }
}

/// Make a portal of a statement and values.
pub(crate) struct Bind<'a> {
    pub(crate) portal: &'a str,
    pub(crate) statement: &'a str,
    pub(crate) parameter_formats: Formats<'a>,
    pub(crate) parameter_count: usize,
    /// The parameters, each a length and its bytes; checked.
    parameters: Fields<'a>,
    pub(crate) result_formats: Formats<'a>,
}

impl<'a> Bind<'a> {
    pub(crate) fn read(body: &'a [u8]) -> Result<Self> {
        let mut fields = Fields(body);
        let (portal, statement) = (fields.text()?, fields.text()?);
        let parameter_formats = Formats::read(&mut fields)?;
        let parameter_count = count(&mut fields)?;
        let given = parameter_formats.count();
        if given > 1 && given != parameter_count {
            return Err(Error::new(
                ErrorKind::ProtocolViolation,
                format!("bind message has {given} parameter formats but {parameter_count} parameters"),
            ));
        }
        let parameters = fields;
        for _ in 0..parameter_count {
            parameter(&mut fields)?;
        }
        let result_formats = Formats::read(&mut fields)?;
        fields.end()?;
        Ok(Self { portal, statement, parameter_formats, parameter_count, parameters, result_formats })
    }

    /// The parameters' bytes; `None` is NULL.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = Option<&'a [u8]>> {
        let mut fields = self.parameters;
        (0..self.parameter_count).map_while(move |_| parameter(&mut fields).ok())
    }
}

/// What Describe and Close are about.
pub(crate) enum Subject<'a> {
    Statement(&'a str),
    Portal(&'a str),
}

impl<'a> Subject<'a> {
    pub(crate) fn read(body: &'a [u8]) -> Result<Self> {
        let mut fields = Fields(body);
        let (kind, name) = (fields.u8()?, fields.text()?);
        fields.end()?;
        match kind {
            b'S' => Ok(Self::Statement(name)),
            b'P' => Ok(Self::Portal(name)),
            kind => Err(Error::new(
                ErrorKind::ProtocolViolation,
                format!("invalid subtype {kind} of a DESCRIBE or CLOSE message"),
            )),
        }
    }
}

/// Run a portal.
pub(crate) struct Execute<'a> {
    pub(crate) portal: &'a str,
    /// Most rows to give; 0 for all.
    pub(crate) rows_max: u64,
}

impl<'a> Execute<'a> {
    pub(crate) fn read(body: &'a [u8]) -> Result<Self> {
        let mut fields = Fields(body);
        let (portal, rows_max) = (fields.text()?, fields.i32()?);
        fields.end()?;
        Ok(Self { portal, rows_max: u64::try_from(rows_max).unwrap_or(0) })
    }
}

/// A number of things: the protocol's i16, read as unsigned as PostgreSQL 14 and later do.
fn count(fields: &mut Fields<'_>) -> Result<usize> {
    fields.i16().map(|count| usize::from(count as u16))
}

fn parameter<'a>(fields: &mut Fields<'a>) -> Result<Option<&'a [u8]>> {
    match fields.i32()? {
        -1 => Ok(None),
        length => match usize::try_from(length) {
            Ok(length) => fields.bytes(length).map(Some),
            Err(_) => Err(Error::new(ErrorKind::ProtocolViolation, "invalid length of a parameter")),
        },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_bind_is_read_with_nulls_and_formats() {
        let body = b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x02ab\xff\xff\xff\xff\0\x02\0\x01\0\0";
        let bind = Bind::read(body).unwrap();
        assert_eq!((bind.portal, bind.statement), ("p", "s"));
        assert_eq!(bind.parameters().collect::<Vec<_>>(), [Some(&b"ab"[..]), None]);
        assert_eq!(bind.parameter_formats.get(1), Format::Binary);
        assert_eq!((bind.result_formats.get(0), bind.result_formats.get(1)), (Format::Binary, Format::Text));
    }

    #[test]
    fn a_bind_with_a_wrong_length_or_code_is_refused() {
        for body in [
            &b"p\0s\0\0\0\0\x01\0\0\0\x09ab\0\0"[..],
            b"p\0s\0\0\0\0\x01\xff\xff\xff\xfe\0\0",
            b"p\0s\0\0\x01\0\x02\0\0\0\0",
            b"p\0s\0\0\x03\0\0\0\0\0\0\0\x01\0\0\0\0\0\0",
            b"p\0s\0\0\0\0\0\0\0!",
        ] {
            assert!(Bind::read(body).is_err(), "{body:?}");
        }
    }

    #[test]
    fn a_parse_gives_its_parameter_types() {
        let parse = Parse::read(b"s\0select $1\0\0\x02\0\0\0\x17\0\0\0\0").unwrap();
        assert_eq!((parse.name, parse.text), ("s", "select $1"));
        assert_eq!(parse.types().collect::<Vec<_>>(), [23, 0]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_message_panic(body in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = Parse::read(&body);
            if let Ok(bind) = Bind::read(&body) {
                let _ = bind.parameters().count();
            }
            let _ = Subject::read(&body);
            let _ = Execute::read(&body);
        }
    }
}
