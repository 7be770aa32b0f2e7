//! Bits in bytes, the most significant first.

use crate::block::Error;

/// Collects bits.
#[derive(Debug, Clone, Default)]
pub(crate) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits not in `bytes` yet, at the top.
    pending: u64,
    count: u32,
}

impl BitWriter {
    /// Appends the lowest `width` bits of a value, at most 64.
    pub fn write(&mut self, value: u64, width: u32) {
        if width == 0 {
            return;
        }
        let value = value << (64 - width);
        self.pending |= value >> self.count;
        let total = self.count + width;
        if total < 64 {
            self.count = total;
            return;
        }
        self.bytes.extend_from_slice(&self.pending.to_be_bytes());
        let taken = 64 - self.count;
        self.pending = if taken == 64 { 0 } else { value << taken };
        self.count = total - 64;
    }

    /// The bytes; bits to the end of the last one are zero.
    pub fn finish(mut self) -> Vec<u8> {
        let left = self.count.div_ceil(8) as usize;
        self.bytes.extend_from_slice(&self.pending.to_be_bytes()[..left]);
        self.bytes
    }
}

/// Reads bits.
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> BitReader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, end: bytes.len().saturating_mul(8) }
    }

    /// The next bits at the top of a word, at least 57 of them; zeros behind the end.
    #[inline]
    pub fn peek(&self) -> u64 {
        let byte = self.at / 8;
        let word = match self.bytes.get(byte..byte + 8) {
            Some(eight) => {
                let mut word = [0; 8];
                word.copy_from_slice(eight);
                u64::from_be_bytes(word)
            }
            None => self.tail(byte),
        };
        word << (self.at % 8)
    }

    #[cold]
    fn tail(&self, byte: usize) -> u64 {
        let mut word = [0; 8];
        let rest = self.bytes.get(byte..).unwrap_or_default();
        word[..rest.len()].copy_from_slice(rest);
        u64::from_be_bytes(word)
    }

    /// Passes over bits.
    #[inline]
    pub fn skip(&mut self, width: u32) -> Result<(), Error> {
        self.at += width as usize;
        if self.at > self.end { Err(Error::Truncated) } else { Ok(()) }
    }

    /// The next `width` bits, at most 64.
    #[inline]
    pub fn read(&mut self, width: u32) -> Result<u64, Error> {
        if width > 57 {
            return self.read_wide(width);
        }
        // In two shifts, so that no bits at all is no shift by 64.
        let value = self.peek() >> 1 >> (63 - width);
        self.skip(width)?;
        Ok(value)
    }

    #[cold]
    fn read_wide(&mut self, width: u32) -> Result<u64, Error> {
        let high = self.read(width - 32)?;
        Ok(high << 32 | self.read(32)?)
    }

    /// The next `width` bits as a number with a sign.
    #[inline]
    pub fn read_signed(&mut self, width: u32) -> Result<i64, Error> {
        let value = self.read(width)?;
        let unused = 64 - width;
        Ok((value << unused) as i64 >> unused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_written_is_read(parts in proptest::collection::vec((any::<u64>(), 0u32..=64), 0..200)) {
            let mut writer = BitWriter::default();
            let masked = |value: u64, width: u32| if width == 0 { 0 } else { value << (64 - width) >> (64 - width) };
            for (value, width) in &parts {
                writer.write(masked(*value, *width), *width);
            }
            let bytes = writer.finish();
            let total: u32 = parts.iter().map(|(_, width)| width).sum();
            prop_assert_eq!(bytes.len(), total.div_ceil(8) as usize);
            let mut reader = BitReader::new(&bytes);
            for (value, width) in &parts {
                prop_assert_eq!(reader.read(*width).ok(), Some(masked(*value, *width)));
            }
            prop_assert!(reader.read(8).is_err());
        }
    }

    #[test]
    fn the_sign_is_the_top_bit() {
        let mut writer = BitWriter::default();
        writer.write(0b1110, 4);
        writer.write(0b0110, 4);
        let bytes = writer.finish();
        let mut reader = BitReader::new(&bytes);
        assert_eq!(reader.read_signed(4).ok(), Some(-2));
        assert_eq!(reader.read_signed(4).ok(), Some(6));
    }
}
