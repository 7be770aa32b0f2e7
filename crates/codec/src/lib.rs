//! Codecs for columns of time series, behind one tagged block format (`FORMAT.md`).
//!
//! - [`encode_floats`]: numbers, bit for bit, as the differences of their bits (Gorilla).
//! - [`encode_timestamps`]: times as the differences of their differences.
//! - [`encode_samples`]: times with numbers, with one prefix for both (after Prometheus' XOR2);
//!   [`OpenSamples`] takes them one at a time and can be read meanwhile.
//! - [`encode_decimals`]: the same for numbers of few digits, packed at one width.
//! - [`encode_strings`]: texts as numbers of a dictionary.
//! - [`compress`] packs a block with LZ4 or Zstandard into another one.
//!
//! [`Block::open`] reads any of them. A block says how many values it holds, so a reader sets
//! [`Limits`]: bytes from anywhere decode to values or an [`Error`], and to no more memory than the
//! limits allow.
//!
//! ```
//! use luma_codec::{Block, Limits, encode_floats};
//!
//! let mut bytes = Vec::new();
//! encode_floats(&[1.5, 1.5, f64::NAN], &mut bytes);
//! let (block, rest) = Block::open(&bytes, Limits::default()).unwrap();
//! let floats = block.floats().unwrap();
//! assert!(floats[..2] == [1.5, 1.5] && floats[2].is_nan() && rest.is_empty());
//! ```

mod bits;
mod block;
pub mod decimal;
mod decimals;
mod floats;
mod integers;
mod samples;
mod strings;
mod timestamps;
pub mod varint;
mod xor;

pub use block::{Block, Compression, Content, Error, Limits, compress};
pub use decimals::encode_decimals;
pub use floats::encode_floats;
pub use samples::{OpenSamples, SampleColumns, encode_samples};
pub use strings::{Strings, encode_strings};
pub use timestamps::encode_timestamps;
