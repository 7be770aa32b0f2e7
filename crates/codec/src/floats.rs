//! Numbers: the first as it is, then for each a bit that says whether it differs from the one before,
//! and the difference if it does. Numbers that this makes no smaller are kept as they are.

use crate::bits::{BitReader, BitWriter};
use crate::block::{Block, Content, Error, frame};
use crate::xor::Window;

/// Appends a block of numbers. Every bit of every number is kept, those of NaN included.
pub fn encode_floats(values: &[f64], out: &mut Vec<u8>) {
    let mut bits = BitWriter::default();
    let mut window = Window::none();
    let mut before = None;
    for value in values {
        let value = value.to_bits();
        match before {
            None => bits.write(value, 64),
            Some(before) if before == value => bits.write(0, 1),
            Some(before) => {
                bits.write(1, 1);
                window.write(before ^ value, &mut bits);
            }
        }
        before = Some(value);
    }
    let payload = bits.finish();
    if payload.len() < values.len() * 8 {
        frame(Content::Floats, values.len(), &payload, out);
    } else {
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_bits().to_le_bytes()).collect();
        frame(Content::RawFloats, values.len(), &raw, out);
    }
}

impl Block<'_> {
    /// The numbers of a block of numbers.
    ///
    /// # Errors
    ///
    /// When it holds something else or is damaged.
    pub fn floats(&self) -> Result<Vec<f64>, Error> {
        match self.content {
            Content::RawFloats => {
                let (words, rest) = self.payload.as_chunks::<8>();
                if words.len() != self.count || !rest.is_empty() {
                    return Err(Error::Malformed("the length does not fit the number of values"));
                }
                Ok(words.iter().map(|w| f64::from_bits(u64::from_le_bytes(*w))).collect())
            }
            Content::Floats => self.differing_floats(),
            _ => Err(self.wrong("floats")),
        }
    }

    fn differing_floats(&self) -> Result<Vec<f64>, Error> {
        let mut bits = BitReader::new(&self.payload);
        let mut values = Vec::with_capacity(self.room());
        if self.count == 0 {
            return Ok(values);
        }
        let mut window = Window::none();
        let mut value = bits.read(64)?;
        values.push(f64::from_bits(value));
        for _ in 1..self.count {
            let differs = bits.peek() >> 63 == 1;
            bits.skip(1)?;
            if differs {
                value ^= window.read(&mut bits)?;
            }
            values.push(f64::from_bits(value));
        }
        Ok(values)
    }
}
