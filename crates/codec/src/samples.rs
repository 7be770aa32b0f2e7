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

/// A block of times with numbers that still grows, a sample at a time.
///
/// It takes the bytes of the finished block and some 80 more; it can be read while it grows.
#[derive(Debug, Clone)]
pub struct OpenSamples {
    bits: BitWriter,
    count: usize,
    before: i64,
    delta: i64,
    /// The last number that was no marker behind another number.
    value: u64,
    last: u64,
    window: Window,
}

impl Default for OpenSamples {
    fn default() -> Self {
        let bits = BitWriter::default();
        Self { bits, count: 0, before: 0, delta: 0, value: 0, last: 0, window: Window::none() }
    }
}

impl OpenSamples {
    /// Adds a sample.
    pub fn push(&mut self, t: i64, v: f64) {
        let v = v.to_bits();
        if self.count == 0 {
            self.bits.write(t as u64, 64);
            self.bits.write(v, 64);
            self.value = v;
        } else {
            let new_delta = t.wrapping_sub(self.before);
            let change = new_delta.wrapping_sub(self.delta);
            self.delta = new_delta;
            let ends = v == STALE && self.value != STALE;
            let (prefix, width) = match (change == 0, v == self.value, ends) {
                (true, true, _) => SAME,
                (true, _, true) => ENDS,
                (true, false, false) => DIFFERS,
                (false, true, _) => LATE,
                (false, _, true) => LATE_ENDS,
                (false, false, false) => LATE_DIFFERS,
            };
            self.bits.write(prefix, width);
            if change != 0 {
                write_change(change, &mut self.bits);
            }
            // The end is no number to take differences from.
            if v != self.value && !ends {
                self.window.write(v ^ self.value, &mut self.bits);
            }
            if !ends {
                self.value = v;
            }
        }
        self.before = t;
        self.last = v;
        self.count += 1;
    }

    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The sample that came last.
    pub fn last(&self) -> Option<(i64, f64)> {
        (self.count > 0).then_some((self.before, f64::from_bits(self.last)))
    }

    /// Appends the samples so far as a block.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        frame(Content::Samples, self.count, &self.bits.clone().finish(), out);
    }

    /// The columns of the samples so far.
    pub fn columns(&self) -> Result<SampleColumns, Error> {
        let payload = self.bits.clone().finish().into();
        Block { content: Content::Samples, count: self.count, payload }.samples()
    }
}

/// Appends a block of times with numbers.
pub fn encode_samples(samples: impl IntoIterator<Item = (i64, f64)>, out: &mut Vec<u8>) {
    let mut open = OpenSamples::default();
    samples.into_iter().for_each(|(t, v)| open.push(t, v));
    frame(Content::Samples, open.count, &open.bits.finish(), out);
}

impl Block<'_> {
    /// The columns of a block of samples, of either form.
    ///
    /// # Errors
    ///
    /// When it holds something else or is damaged.
    pub fn samples(&self) -> Result<SampleColumns, Error> {
        if self.content == Content::Decimals {
            return self.decimals();
        }
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
