//! The bytes of segment headers and frames.
//!
//! The log is one stream of record bytes; a frame carries a slice of it. The checksum covers the
//! segment's number, so a frame that a recycled file still holds from its former life never passes,
//! and the position chains frames, so a frame is accepted only right after its predecessor.

/// Where frames begin in a segment.
pub(crate) const SEGMENT_HEADER: usize = 512;
pub(crate) const FRAME_HEADER: usize = 32;
/// A frame that claims more is none.
pub(crate) const FRAME_BODY_MAX: usize = 4 << 20;
/// A longer batch is cut, so that a torn write loses little, the checksum and the copy stay in the processor's
/// cache, and the buffer is small.
pub(crate) const FRAME_BODY_USUAL: usize = 256 << 10;
/// Frames start at multiples of this.
pub(crate) const FRAME_ALIGN: usize = 8;
pub(crate) const FORMAT_VERSION: u32 = 1;

const SEGMENT_MAGIC: [u8; 8] = *b"LUMA-LOG";
pub(crate) const FRAME_MAGIC: u32 = u32::from_le_bytes(*b"LFR1");
/// No record begins in the frame.
const NO_RECORD: u32 = u32::MAX;

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// The first bytes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// Numbers segments; never given twice while an old file could hold frames of that number.
    pub(crate) sequence: u64,
    /// The number of the segment before.
    pub(crate) previous: u64,
    /// The stream position of the first byte.
    pub(crate) base: u64,
}

/// Why a segment header can't be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HeaderError {
    Damaged,
    Version(u32),
}

impl SegmentHeader {
    pub(crate) fn encode(self) -> [u8; SEGMENT_HEADER] {
        let mut bytes = [0; SEGMENT_HEADER];
        bytes[..8].copy_from_slice(&SEGMENT_MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.base.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.previous.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..40]);
        bytes[40..44].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let damaged = HeaderError::Damaged;
        let (Some(magic), Some(version), Some(sequence), Some(base), Some(previous), Some(crc)) = (
            bytes.get(..8),
            u32_at(bytes, 8),
            u64_at(bytes, 16),
            u64_at(bytes, 24),
            u64_at(bytes, 32),
            u32_at(bytes, 40),
        ) else {
            return Err(damaged);
        };
        if magic != SEGMENT_MAGIC || crc32c::crc32c(&bytes[..40]) != crc {
            return Err(damaged);
        }
        if version > FORMAT_VERSION {
            return Err(HeaderError::Version(version));
        }
        Ok(Self { sequence, previous, base })
    }
}

/// A slice of the stream, as found in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// The stream position of the first byte of the body.
    pub(crate) position: u64,
    /// How far the log was durable when this was written.
    pub(crate) synced: u64,
    /// Where in the body the first record begins.
    pub(crate) first_record: Option<u32>,
    pub(crate) body: &'a [u8],
}

/// Bytes a frame takes in its segment.
pub(crate) fn frame_length(body: usize) -> usize {
    (FRAME_HEADER + body).next_multiple_of(FRAME_ALIGN)
}

impl<'a> Frame<'a> {
    pub(crate) fn encode(&self, sequence: u64, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&FRAME_MAGIC.to_le_bytes());
        out.extend_from_slice(&(self.body.len() as u32).to_le_bytes());
        out.extend_from_slice(&self.position.to_le_bytes());
        out.extend_from_slice(&self.synced.to_le_bytes());
        out.extend_from_slice(&self.first_record.unwrap_or(NO_RECORD).to_le_bytes());
        let crc = Self::checksum(sequence, &out[start..], self.body);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(self.body);
        out.resize(start + frame_length(self.body.len()), 0);
    }

    fn checksum(sequence: u64, header: &[u8], body: &[u8]) -> u32 {
        let crc = crc32c::crc32c(&sequence.to_le_bytes());
        crc32c::crc32c_append(crc32c::crc32c_append(crc, header), body)
    }

    /// The frame at the start of `bytes`, if there is a whole one of this segment.
    pub(crate) fn decode(sequence: u64, bytes: &'a [u8]) -> Option<Self> {
        if u32_at(bytes, 0)? != FRAME_MAGIC {
            return None;
        }
        let length = u32_at(bytes, 4)? as usize;
        if length > FRAME_BODY_MAX {
            return None;
        }
        let body = bytes.get(FRAME_HEADER..FRAME_HEADER + length)?;
        if Self::checksum(sequence, &bytes[..28], body) != u32_at(bytes, 28)? {
            return None;
        }
        let first_record = Some(u32_at(bytes, 24)?).filter(|offset| *offset != NO_RECORD);
        Some(Self { position: u64_at(bytes, 8)?, synced: u64_at(bytes, 16)?, first_record, body })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_frame_comes_back_only_in_its_own_segment_and_only_undamaged(
            sequence: u64,
            position: u64,
            synced: u64,
            first_record in proptest::option::of(0u32..100),
            body in proptest::collection::vec(any::<u8>(), 0..300),
            flip: prop::sample::Index,
        ) {
            let frame = Frame { position, synced, first_record, body: &body };
            let mut bytes = Vec::new();
            frame.encode(sequence, &mut bytes);
            prop_assert_eq!(bytes.len(), frame_length(body.len()));
            prop_assert_eq!(Frame::decode(sequence, &bytes), Some(frame));
            prop_assert_eq!(Frame::decode(sequence.wrapping_add(1), &bytes), None);
            let bit = flip.index((FRAME_HEADER + body.len()) * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Frame::decode(sequence, &bytes), None);
        }

        #[test]
        fn a_segment_header_comes_back_and_damage_is_seen(sequence: u64, previous: u64, base: u64, bit in 0usize..44 * 8) {
            let header = SegmentHeader { sequence, previous, base };
            let mut bytes = header.encode();
            prop_assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(SegmentHeader::decode(&bytes), Err(HeaderError::Damaged));
        }

        #[test]
        fn arbitrary_bytes_are_no_frame_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(Frame::decode(1, &bytes), None);
            prop_assert!(SegmentHeader::decode(&bytes).is_err());
        }
    }

    #[test]
    fn a_newer_format_is_told_apart_from_damage() {
        let mut bytes = SegmentHeader { sequence: 1, previous: 0, base: 0 }.encode();
        bytes[8..12].copy_from_slice(&9u32.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..40]);
        bytes[40..44].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&bytes), Err(HeaderError::Version(9)));
    }
}
