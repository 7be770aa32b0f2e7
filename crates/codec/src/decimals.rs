//! Times with numbers that are whole numbers by a power of ten: smaller than the differences of their bits for most of what
//! is measured, and read several times as fast.

use crate::block::{Block, Content, Error, frame};
use crate::decimal::{mantissas, power};
use crate::integers::{pack, unpack};
use crate::samples::SampleColumns;

/// Appends a block of times with numbers, if all numbers have such a form; says whether it did.
pub fn encode_decimals(samples: &SampleColumns, out: &mut Vec<u8>) -> bool {
    let SampleColumns { timestamps, values } = samples;
    let Some((scale, mantissas)) = mantissas(values) else { return false };
    let mut payload = Vec::with_capacity(16 + values.len());
    payload.push(scale as u8);
    pack(timestamps, &mut payload);
    pack(&mantissas, &mut payload);
    frame(Content::Decimals, values.len(), &payload, out);
    true
}

impl Block<'_> {
    pub(crate) fn decimals(&self) -> Result<SampleColumns, Error> {
        let (scale, rest) = self.payload.split_first().ok_or(Error::Truncated)?;
        let (timestamps, rest) = unpack(rest, self.count)?;
        let (mantissas, rest) = unpack(rest, self.count)?;
        if !rest.is_empty() {
            return Err(Error::Malformed("there are bytes behind the last number"));
        }
        let power = power(usize::from(*scale)).ok_or(Error::Malformed("numbers have too many decimals"))?;
        let values = mantissas.into_iter().map(|mantissa| mantissa as f64 / power).collect();
        Ok(SampleColumns { timestamps, values })
    }
}
