//! Values as bytes that sort as the values do.
//!
//! The encodings of several columns, one after the other, sort as the tuple of the columns. Each
//! column begins with a marker that says whether it is NULL; the bytes after it are self-delimiting,
//! and inverted when the column descends. Equal values have equal bytes: -0 is 0, 1.00 is 1.0, a
//! month is 30 days. `FORMAT.md` shows the bytes of every type.
//!
//! Text sorts by its bytes (the collation "C"); NaN is the largest number; an array sorts by its
//! elements, NULL last among them, and then by its length.

mod decode;
mod encode;

pub use decode::decode_key;
pub use encode::encode_key;

/// How a column of a key sorts; ascending with NULL last unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct KeyOrder {
    /// Whether large values come first.
    pub descending: bool,
    /// Whether NULL comes before all values.
    pub nulls_first: bool,
}

impl KeyOrder {
    /// Ascending, NULL last.
    pub const ASCENDING: KeyOrder = KeyOrder { descending: false, nulls_first: false };
    /// Descending, NULL first: PostgreSQL's `DESC`.
    pub const DESCENDING: KeyOrder = KeyOrder { descending: true, nulls_first: true };
}

const NULL_FIRST: u8 = 0;
const PRESENT: u8 = 1;
const NULL_LAST: u8 = 2;

/// Follows a zero byte that belongs to the text.
const ESCAPED_ZERO: u8 = 0xff;
/// Follows the zero byte that ends the text.
const END: u8 = 0x01;

const ARRAY_END: u8 = 0;
const ARRAY_ELEMENT: u8 = 1;

/// The smallest key that is larger than every key beginning with this prefix; `None` when there is
/// none, because the prefix is empty or all of it is 0xff.
pub fn prefix_successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut successor = prefix[..=last].to_vec();
    successor[last] += 1;
    Some(successor)
}

#[cfg(test)]
mod tests;
