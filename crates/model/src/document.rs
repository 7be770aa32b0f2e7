//! JSON documents as bytes, with any field found without decoding the rest.
//!
//! A document keeps the order of its members and every digit of its numbers. Objects carry a table of
//! their members in the order of the names, so that a field is found by binary search; arrays carry
//! where each element ends. `FORMAT.md` shows the layout.
//!
//! Reading damaged bytes never panics: what cannot be read is absent. [`DocumentRef::validate`] checks
//! all of a document that comes from elsewhere.

mod encode;
mod infer;
mod read;

pub use encode::encode_document;
pub use infer::{infer_type, unify};
pub use read::{DocumentElements, DocumentKind, DocumentMembers, DocumentRef};

/// Deepest nesting.
pub const DOCUMENT_DEPTH_MAX: usize = 128;
/// Most bytes of an encoded document.
pub const DOCUMENT_BYTES_MAX: usize = 16 << 20;

const VERSION: u8 = 1;

const TAG_NULL: u8 = 0;
const TAG_FALSE: u8 = 1;
const TAG_TRUE: u8 = 2;
/// A 64-bit integer.
const TAG_INTEGER: u8 = 3;
/// Any other number, as text.
const TAG_NUMBER: u8 = 4;
const TAG_STRING: u8 = 5;
const TAG_ARRAY: u8 = 6;
const TAG_OBJECT: u8 = 7;
/// Bits of a container's first byte that say how wide its table's entries are.
const WIDTH_SHIFT: u8 = 4;

#[cfg(test)]
mod tests;
