//! The protocol's messages: framing, reading what clients send, writing what they get.
//!
//! Nothing here allocates per message: frames are cut out of one read buffer, fields are borrowed
//! from their frame, and answers are appended to one write buffer.

pub(crate) mod backend;
pub(crate) mod field;
pub(crate) mod frame;
pub(crate) mod frontend;
