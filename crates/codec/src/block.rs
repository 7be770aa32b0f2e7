//! The frame that all codecs share: a tag, counts, and bytes.

use std::borrow::Cow;

use crate::varint;

/// What is wrong with some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes end too early.
    #[error("the block ends before its last value; it was cut off or is damaged")]
    Truncated,
    /// The tag is none that this version knows.
    #[error("unknown block tag {0:#04x}; a newer version wrote it, or it is damaged")]
    UnknownTag(u8),
    /// The block says it holds more than the reader allows.
    #[error(
        "the block claims {claimed} {what}, more than the limit of {limit}; raise the limit if it is genuine"
    )]
    OverLimit {
        /// What there would be.
        claimed: u64,
        /// How much is allowed.
        limit: usize,
        /// Of what.
        what: &'static str,
    },
    /// The block holds something else than was asked for.
    #[error("the block holds {held}, not {wanted}")]
    WrongContent {
        /// What it holds.
        held: &'static str,
        /// What was asked for.
        wanted: &'static str,
    },
    /// The bytes contradict themselves.
    #[error("the block is damaged: {0}")]
    Malformed(&'static str),
}

/// How much a reader takes from a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many values.
    pub values: usize,
    /// How many bytes a compressed block may unpack to.
    pub bytes: usize,
}

impl Default for Limits {
    /// A million values, 64 MiB.
    fn default() -> Self {
        Self { values: 1 << 20, bytes: 64 << 20 }
    }
}

/// What a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Numbers as they are.
    RawFloats,
    /// Numbers as differences of bits.
    Floats,
    /// Times.
    Timestamps,
    /// Times with numbers.
    Samples,
    /// Texts.
    Strings,
    /// Times with numbers that are whole numbers by a power of ten.
    Decimals,
}

impl Content {
    fn of_tag(tag: u8) -> Option<Self> {
        Some(match tag {
            0x01 => Self::RawFloats,
            0x02 => Self::Floats,
            0x03 => Self::Timestamps,
            0x04 => Self::Samples,
            0x05 => Self::Strings,
            0x06 => Self::Decimals,
            _ => return None,
        })
    }

    fn tag(self) -> u8 {
        match self {
            Self::RawFloats => 0x01,
            Self::Floats => 0x02,
            Self::Timestamps => 0x03,
            Self::Samples => 0x04,
            Self::Strings => 0x05,
            Self::Decimals => 0x06,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::RawFloats | Self::Floats => "floats",
            Self::Timestamps => "timestamps",
            Self::Samples => "samples",
            Self::Strings => "strings",
            Self::Decimals => "decimals",
        }
    }
}

const LZ4: u8 = 0x40;
const ZSTD: u8 = 0x41;

/// How bytes are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// LZ4: fast to pack and to unpack.
    Lz4,
    /// Zstandard at a level from 1 to 22: smaller.
    Zstd(i32),
}

/// An opened block.
#[derive(Debug, Clone)]
pub struct Block<'a> {
    pub(crate) content: Content,
    pub(crate) count: usize,
    pub(crate) payload: Cow<'a, [u8]>,
}

/// Appends a block.
pub(crate) fn frame(content: Content, count: usize, payload: &[u8], out: &mut Vec<u8>) {
    out.push(content.tag());
    varint::write(count as u64, out);
    varint::write(payload.len() as u64, out);
    out.extend_from_slice(payload);
}

/// Packs a whole block into another one, and appends that; a block that gets no smaller is appended
/// as it is.
pub fn compress(block: &[u8], compression: Compression, out: &mut Vec<u8>) {
    let (tag, packed) = match compression {
        Compression::Lz4 => (LZ4, lz4_flex::block::compress(block)),
        Compression::Zstd(level) => match zstd::bulk::compress(block, level.clamp(1, 22)) {
            Ok(packed) => (ZSTD, packed),
            // It cannot fail but for want of memory; then the block stays as it is.
            Err(_) => return out.extend_from_slice(block),
        },
    };
    let mut framed = vec![tag];
    varint::write(block.len() as u64, &mut framed);
    varint::write(packed.len() as u64, &mut framed);
    framed.extend_from_slice(&packed);
    let smaller = framed.len() < block.len();
    out.extend_from_slice(if smaller { &framed } else { block });
}

impl<'a> Block<'a> {
    /// Opens the block at the start of some bytes, and gives the bytes behind it. A compressed block
    /// is unpacked.
    ///
    /// # Errors
    ///
    /// When the bytes are no block, or one over the limits.
    pub fn open(bytes: &'a [u8], limits: Limits) -> Result<(Self, &'a [u8]), Error> {
        let (tag, rest) = bytes.split_first().ok_or(Error::Truncated)?;
        if matches!(*tag, LZ4 | ZSTD) {
            let (length, rest) = varint::read(rest)?;
            let (packed, rest) = take(rest)?;
            if length > limits.bytes as u64 {
                return Err(Error::OverLimit { claimed: length, limit: limits.bytes, what: "bytes" });
            }
            let inner = unpack(*tag, packed, length as usize)?;
            let (block, behind) = Block::of_plain(&inner, limits)?;
            if !behind.is_empty() {
                return Err(Error::Malformed("there are bytes behind the compressed block"));
            }
            let block = Self { payload: Cow::Owned(block.payload.into_owned()), ..block };
            return Ok((block, rest));
        }
        Self::of_plain(bytes, limits)
    }

    fn of_plain(bytes: &[u8], limits: Limits) -> Result<(Block<'_>, &[u8]), Error> {
        let (tag, rest) = bytes.split_first().ok_or(Error::Truncated)?;
        let content = Content::of_tag(*tag).ok_or(Error::UnknownTag(*tag))?;
        let (count, rest) = varint::read(rest)?;
        if count > limits.values as u64 {
            return Err(Error::OverLimit { claimed: count, limit: limits.values, what: "values" });
        }
        let (payload, rest) = take(rest)?;
        Ok((Block { content, count: count as usize, payload: Cow::Borrowed(payload) }, rest))
    }

    /// What it holds.
    pub fn content(&self) -> Content {
        self.content
    }

    /// How many values it holds.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn wrong(&self, wanted: &'static str) -> Error {
        Error::WrongContent { held: self.content.name(), wanted }
    }

    /// A bound on how many values the payload can hold if each takes at least a bit: what is made
    /// room for before anything has been read.
    pub(crate) fn room(&self) -> usize {
        self.count.min(self.payload.len().saturating_mul(8))
    }
}

/// The bytes that a length announces, and those behind them.
pub(crate) fn take(bytes: &[u8]) -> Result<(&[u8], &[u8]), Error> {
    let (length, rest) = varint::read_len(bytes)?;
    rest.split_at_checked(length).ok_or(Error::Truncated)
}

fn unpack(tag: u8, packed: &[u8], length: usize) -> Result<Vec<u8>, Error> {
    let damaged = Error::Malformed("the compressed bytes do not unpack");
    let unpacked = if tag == LZ4 {
        // LZ4 makes at most 255 bytes of one, so no length can ask for more memory than that.
        if length > packed.len().saturating_mul(256) {
            return Err(damaged);
        }
        lz4_flex::block::decompress(packed, length).map_err(|_| damaged)?
    } else {
        let held = zstd::zstd_safe::get_frame_content_size(packed).ok().flatten();
        if held != Some(length as u64) {
            return Err(damaged);
        }
        zstd::bulk::decompress(packed, length).map_err(|_| damaged)?
    };
    if unpacked.len() == length { Ok(unpacked) } else { Err(damaged) }
}
