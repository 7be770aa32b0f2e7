//! Reading the fields of a message's body, borrowed and checked.

use luma_model::{Error, ErrorKind, Result};

/// What is left of a body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

fn too_short() -> Error {
    Error::new(ErrorKind::ProtocolViolation, "insufficient data left in message")
}

impl<'a> Fields<'a> {
    /// The next `length` bytes.
    pub(crate) fn bytes(&mut self, length: usize) -> Result<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or_else(too_short)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        let (byte, rest) = self.0.split_first().ok_or_else(too_short)?;
        self.0 = rest;
        Ok(*byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk::<N>().ok_or_else(too_short)?;
        self.0 = rest;
        Ok(*bytes)
    }

    pub(crate) fn i16(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    pub(crate) fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    /// Text up to a zero byte.
    pub(crate) fn text(&mut self) -> Result<&'a str> {
        let end = self
            .0
            .iter()
            .position(|byte| *byte == 0)
            .ok_or_else(|| Error::new(ErrorKind::ProtocolViolation, "invalid string in message"))?;
        let text = utf8(&self.0[..end])?;
        self.0 = &self.0[end + 1..];
        Ok(text)
    }

    /// Refuses what is left over.
    pub(crate) fn end(&self) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::ProtocolViolation, "invalid message format"))
    }
}

/// Checks that bytes are UTF-8.
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|error| {
        let start = error.valid_up_to();
        let length = error.error_len().unwrap_or(bytes.len() - start).min(4);
        let wrong: Vec<String> =
            bytes[start..start + length].iter().map(|byte| format!("0x{byte:02x}")).collect();
        Error::new(
            ErrorKind::CharacterNotInRepertoire,
            format!("invalid byte sequence for encoding \"UTF8\": {}", wrong.join(" ")),
        )
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_in_turn_and_leftovers_refused() {
        let mut fields = Fields(b"ab\0\0\x05\xff\xff\xff\xfe!");
        assert_eq!(fields.text().unwrap(), "ab");
        assert_eq!(fields.i16().unwrap(), 5);
        assert_eq!(fields.i32().unwrap(), -2);
        assert!(fields.end().is_err());
        assert_eq!(fields.u8().unwrap(), b'!');
        assert!(fields.end().is_ok());
        assert!(fields.u8().is_err());
    }

    #[test]
    fn text_must_end_and_be_utf8() {
        assert_eq!(Fields(b"abc").text().unwrap_err().sqlstate(), "08P01");
        let error = Fields(b"a\xff\0").text().unwrap_err();
        assert_eq!(
            (error.sqlstate(), error.message.as_str()),
            ("22021", "invalid byte sequence for encoding \"UTF8\": 0xff",)
        );
    }
}
