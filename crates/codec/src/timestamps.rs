//! Times as the differences of their differences: one bit for each time of a regular series.

use crate::bits::{BitReader, BitWriter};
use crate::block::{Block, Content, Error, frame};

/// Appends a block of times (or of any whole numbers that grow evenly), in any order.
pub fn encode_timestamps(values: &[i64], out: &mut Vec<u8>) {
    let mut bits = BitWriter::default();
    let (mut before, mut delta) = (0i64, 0i64);
    for (at, value) in values.iter().enumerate() {
        if at == 0 {
            bits.write(*value as u64, 64);
        } else {
            let new_delta = value.wrapping_sub(before);
            write_change(new_delta.wrapping_sub(delta), &mut bits);
            delta = new_delta;
        }
        before = *value;
    }
    frame(Content::Timestamps, values.len(), &bits.finish(), out);
}

/// The prefixes of a change and the bits behind each: as many as milliseconds, jitter of seconds and
/// gaps need.
const WIDTHS: [(u64, u32, u32); 4] = [(0b10, 2, 7), (0b110, 3, 14), (0b1110, 4, 20), (0b1111, 4, 64)];

pub(crate) fn write_change(change: i64, bits: &mut BitWriter) {
    if change == 0 {
        return bits.write(0, 1);
    }
    for (prefix, length, width) in WIDTHS {
        let unused = 64 - width;
        if change << unused >> unused == change {
            bits.write(prefix, length);
            let masked = if width == 64 { change as u64 } else { change as u64 & ((1 << width) - 1) };
            return bits.write(masked, width);
        }
    }
}

#[inline]
pub(crate) fn read_change(bits: &mut BitReader<'_>) -> Result<i64, Error> {
    let ones = (!bits.peek()).leading_zeros().min(4);
    let Some(at) = ones.checked_sub(1) else {
        bits.skip(1)?;
        return Ok(0);
    };
    let (_, length, width) = WIDTHS[at as usize];
    bits.skip(length)?;
    bits.read_signed(width)
}

impl Block<'_> {
    /// The times of a block of times.
    ///
    /// # Errors
    ///
    /// When it holds something else or is damaged.
    pub fn timestamps(&self) -> Result<Vec<i64>, Error> {
        if self.content != Content::Timestamps {
            return Err(self.wrong("timestamps"));
        }
        let mut bits = BitReader::new(&self.payload);
        let mut values = Vec::with_capacity(self.room());
        if self.count == 0 {
            return Ok(values);
        }
        let mut value = bits.read(64)? as i64;
        values.push(value);
        let mut delta = 0i64;
        for _ in 1..self.count {
            delta = delta.wrapping_add(read_change(&mut bits)?);
            value = value.wrapping_add(delta);
            values.push(value);
        }
        Ok(values)
    }
}
