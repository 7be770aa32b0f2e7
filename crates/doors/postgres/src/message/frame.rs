//! Cutting the bytes that arrived into messages.
//!
//! A message is a tag, a length that counts itself, and a body. A tag that no client sends or a
//! length outside its bounds means that the boundary between messages is lost: such an error is
//! fatal to the connection. Memory grows with the bytes that arrived, never with a claimed length.

use bytes::{Buf, BytesMut};
use luma_model::{Error, ErrorKind, Result};

/// Longest message of a client that is not authenticated yet, bytes.
pub(crate) const UNAUTHENTICATED_BYTES_MAX: usize = 10 << 10;
/// Longest message, bytes.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1 << 30;
/// Tags of the messages that clients send.
const TAGS: &[u8] = b"QPBDESHCXdcfpF";
/// A read buffer that grew past this is given back once it is empty.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// Bytes that arrived and were not used yet.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) buffer: BytesMut,
    length_max: usize,
}

/// A whole message.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) tag: u8,
    pub(crate) body: BytesMut,
}

impl Input {
    pub(crate) fn new() -> Self {
        Self { buffer: BytesMut::new(), length_max: UNAUTHENTICATED_BYTES_MAX }
    }

    /// Lets messages of an authenticated client be long.
    pub(crate) fn trust(&mut self) {
        self.length_max = MESSAGE_BYTES_MAX;
    }

    /// Makes room for the next read.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT_BYTES_MAX {
            self.buffer = BytesMut::with_capacity(bytes);
        } else if self.buffer.capacity() - self.buffer.len() < bytes / 2 {
            self.buffer.reserve(bytes);
        }
    }

    /// The next message, if all of it arrived.
    ///
    /// # Errors
    /// 08P01 when the boundary between messages is lost; nothing more can be read then.
    pub(crate) fn message(&mut self) -> Result<Option<Frame>> {
        let Some(length) = self.body_length()? else { return Ok(None) };
        if self.buffer.len() < length + 5 {
            return Ok(None);
        }
        let tag = self.buffer[0];
        self.buffer.advance(5);
        Ok(Some(Frame { tag, body: self.buffer.split_to(length) }))
    }

    fn body_length(&self) -> Result<Option<usize>> {
        let Some(tag) = self.buffer.first() else { return Ok(None) };
        if !TAGS.contains(tag) {
            let message = format!("invalid frontend message type {tag}");
            return Err(Error::new(ErrorKind::ProtocolViolation, message));
        }
        let Some(length) = self.buffer.get(1..5).and_then(|bytes| bytes.try_into().ok()) else {
            return Ok(None);
        };
        self.checked_length(u32::from_be_bytes(length)).map(Some)
    }

    /// The next startup packet, which has no tag: its code and the rest.
    ///
    /// # Errors
    /// 08P01 when its length is not one a startup packet can have.
    pub(crate) fn startup_packet(&mut self) -> Result<Option<(u32, BytesMut)>> {
        let Some(length) = self.buffer.get(..4).and_then(|bytes| bytes.try_into().ok()) else {
            return Ok(None);
        };
        let length = self.checked_length(u32::from_be_bytes(length)).ok().filter(|length| *length >= 4);
        let Some(length) = length else {
            return Err(Error::new(ErrorKind::ProtocolViolation, "invalid length of startup packet"));
        };
        if self.buffer.len() < length + 4 {
            return Ok(None);
        }
        self.buffer.advance(4);
        let mut packet = self.buffer.split_to(length);
        Ok(Some((packet.get_u32(), packet)))
    }

    /// A length without its own four bytes.
    fn checked_length(&self, claimed: u32) -> Result<usize> {
        match (claimed as usize).checked_sub(4) {
            None => Err(Error::new(ErrorKind::ProtocolViolation, "invalid message length")),
            Some(length) if length > self.length_max => Err(Error::new(
                ErrorKind::ProtocolViolation,
                format!("message of {length} bytes is longer than the limit of {} bytes", self.length_max),
            )),
            Some(length) => Ok(length),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn input(bytes: &[u8]) -> Input {
        let mut input = Input::new();
        input.buffer.extend_from_slice(bytes);
        input
    }

    #[test]
    fn messages_are_cut_where_their_length_says() {
        let mut input = input(b"S\0\0\0\x04Q\0\0\0\x06a\0H\0\0");
        let frame = input.message().unwrap().unwrap();
        assert_eq!((frame.tag, frame.body.len()), (b'S', 0));
        let frame = input.message().unwrap().unwrap();
        assert_eq!((frame.tag, &frame.body[..]), (b'Q', &b"a\0"[..]));
        assert!(input.message().unwrap().is_none());
        input.buffer.extend_from_slice(b"\0\x04");
        assert_eq!(input.message().unwrap().unwrap().tag, b'H');
    }

    #[test]
    fn a_length_out_of_bounds_is_refused_before_its_bytes_arrive() {
        assert!(input(b"Q\0\0\0\x03").message().is_err());
        assert!(input(b"Q\x7f\xff\xff\xff").message().is_err());
        assert!(input(b"\0\0\0\x07").startup_packet().is_err());
        assert!(input(b"\0\x01\0\0").startup_packet().is_err());
        let mut trusted = input(b"Q\x3f\xff\xff\xff");
        trusted.trust();
        assert!(trusted.message().unwrap().is_none());
    }

    #[test]
    fn a_tag_that_no_client_sends_is_refused_at_once() {
        assert!(input(b"G").message().is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_framing_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut messages = input(&bytes);
            while let Ok(Some(_)) = messages.message() {}
            let mut packets = input(&bytes);
            while let Ok(Some(_)) = packets.startup_packet() {}
        }
    }
}
