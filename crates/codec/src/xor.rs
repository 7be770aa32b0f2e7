//! Numbers as the bits that differ from the number before.
//!
//! The differing bits lie in a window between leading and trailing zeros. A number uses the window of
//! the one before if its bits fit and a new window would not be shorter.

use crate::bits::{BitReader, BitWriter};
use crate::block::Error;

/// The window of the number before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    leading: u32,
    length: u32,
}

impl Window {
    /// No window: every number makes its own.
    pub fn none() -> Self {
        Self { leading: 64, length: 0 }
    }

    /// Writes a difference that is not zero: a bit that says whether the window is new, the window
    /// (5 bits of leading zeros, 6 bits of length less one) if it is, and the bits in it.
    pub fn write(&mut self, difference: u64, out: &mut BitWriter) {
        let leading = difference.leading_zeros().min(31);
        let trailing = difference.trailing_zeros();
        let length = 64 - leading - trailing;
        let fits = self.length > 0 && leading >= self.leading && trailing >= 64 - self.leading - self.length;
        // A new window costs 11 bits more than the old one.
        if fits && self.length <= length + 11 {
            out.write(0, 1);
        } else {
            *self = Self { leading, length };
            out.write(0b1 << 11 | u64::from(leading) << 6 | u64::from(length - 1), 12);
        }
        out.write(difference >> (64 - self.leading - self.length), self.length);
    }

    /// Reads a difference.
    #[inline]
    pub fn read(&mut self, bits: &mut BitReader<'_>) -> Result<u64, Error> {
        let head = bits.peek();
        if head >> 63 == 1 {
            let leading = (head >> 58 & 0x1f) as u32;
            let length = (head >> 52 & 0x3f) as u32 + 1;
            if leading + length > 64 {
                return Err(Error::Malformed("a number has more than 64 bits"));
            }
            *self = Self { leading, length };
            bits.skip(12)?;
        } else if self.length == 0 {
            return Err(Error::Malformed("a number refers to a window before the first"));
        } else {
            bits.skip(1)?;
        }
        Ok(bits.read(self.length)? << (64 - self.leading - self.length))
    }
}
