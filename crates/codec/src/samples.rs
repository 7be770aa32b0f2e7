//! Times with numbers: one prefix says what both do.
//!
//! A sample that comes on time with the same number takes one bit, one that comes on time with
//! another number two and the difference, and a marker for the end of a series five.

use crate::bits::{BitReader, BitWriter};
use crate::block::{Block, Content, Error, frame};
use crate::timestamps::{read_change, write_change};
use crate::xor::Window;

/// The number that marks the end of a series.
const STALE: u64 = 0x7ff0_0000_0000_0002;

/// On time, the same number.
const SAME: (u64, u32) = (0b0, 1);
/// On time, another number.
const DIFFERS: (u64, u32) = (0b10, 2);
/// Another time, the same number.
const LATE: (u64, u32) = (0b110, 3);
/// Another time, another number.
const LATE_DIFFERS: (u64, u32) = (0b1110, 4);
/// On time, the end.
const ENDS: (u64, u32) = (0b11110, 5);
/// Another time, the end.
const LATE_ENDS: (u64, u32) = (0b11111, 5);

/// The two columns of a block of samples.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SampleColumns {
    /// Times.
    pub timestamps: Vec<i64>,
    /// Numbers, as many.
    pub values: Vec<f64>,
}

/// Appends a block of times with numbers.
pub fn encode_samples(samples: impl IntoIterator<Item = (i64, f64)>, out: &mut Vec<u8>) {
    let mut bits = BitWriter::default();
    let (mut count, mut before, mut delta, mut value) = (0usize, 0i64, 0i64, 0u64);
    let mut window = Window::none();
    for (t, v) in samples {
        let v = v.to_bits();
        if count == 0 {
            bits.write(t as u64, 64);
            bits.write(v, 64);
            value = v;
        } else {
            let new_delta = t.wrapping_sub(before);
            let change = new_delta.wrapping_sub(delta);
            delta = new_delta;
            let ends = v == STALE && value != STALE;
            let (prefix, width) = match (change == 0, v == value, ends) {
                (true, true, _) => SAME,
                (true, _, true) => ENDS,
                (true, false, false) => DIFFERS,
                (false, true, _) => LATE,
                (false, _, true) => LATE_ENDS,
                (false, false, false) => LATE_DIFFERS,
            };
            bits.write(prefix, width);
            if change != 0 {
                write_change(change, &mut bits);
            }
            // The end is no number to take differences from.
            if v != value && !ends {
                window.write(v ^ value, &mut bits);
            }
            if !ends {
                value = v;
            }
        }
        before = t;
        count += 1;
    }
    frame(Content::Samples, count, &bits.finish(), out);
}

impl Block<'_> {
    /// The columns of a block of samples.
    ///
    /// # Errors
    ///
    /// When it holds something else or is damaged.
    pub fn samples(&self) -> Result<SampleColumns, Error> {
        if self.content != Content::Samples {
            return Err(self.wrong("samples"));
        }
        let mut columns = SampleColumns {
            timestamps: Vec::with_capacity(self.room()),
            values: Vec::with_capacity(self.room()),
        };
        if self.count == 0 {
            return Ok(columns);
        }
        let mut bits = BitReader::new(&self.payload);
        let mut t = bits.read(64)? as i64;
        let mut value = bits.read(64)?;
        let mut delta = 0i64;
        let mut window = Window::none();
        columns.timestamps.push(t);
        columns.values.push(f64::from_bits(value));
        for _ in 1..self.count {
            let head = bits.peek();
            let ones = (!head).leading_zeros().min(5);
            // A zero ends every prefix but the longest.
            bits.skip((ones + 1).min(5))?;
            let late = matches!(ones, 2 | 3 | 5);
            if late {
                delta = delta.wrapping_add(read_change(&mut bits)?);
            }
            if matches!(ones, 1 | 3) {
                value ^= window.read(&mut bits)?;
            }
            t = t.wrapping_add(delta);
            columns.timestamps.push(t);
            columns.values.push(f64::from_bits(if ones >= 4 { STALE } else { value }));
        }
        Ok(columns)
    }
}
