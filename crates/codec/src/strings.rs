//! Texts as numbers of a dictionary, in as few bits as the dictionary's size needs.

use std::collections::HashMap;

use crate::bits::{BitReader, BitWriter};
use crate::block::{Block, Content, Error, frame, take};
use crate::varint;

/// The texts of a block: each distinct text once, and which one each value is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Strings {
    /// The bytes of all distinct texts, one behind another.
    bytes: Vec<u8>,
    /// Where each distinct text ends.
    ends: Vec<usize>,
    /// Which text each value is.
    indices: Vec<u32>,
}

impl Strings {
    /// How many values there are.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// A value.
    pub fn get(&self, at: usize) -> Option<&[u8]> {
        self.indices.get(at).and_then(|index| self.distinct(*index))
    }

    /// All values.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.indices.iter().filter_map(|index| self.distinct(*index))
    }

    /// How many distinct texts there are.
    pub fn distinct_len(&self) -> usize {
        self.ends.len()
    }

    /// Which distinct text each value is.
    pub fn indices(&self) -> &[u32] {
        &self.indices
    }

    /// A distinct text.
    pub fn distinct(&self, index: u32) -> Option<&[u8]> {
        let index = index as usize;
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.bytes.get(start..end)
    }
}

/// Appends a block of texts (or any bytes).
pub fn encode_strings<S: AsRef<[u8]>>(values: &[S], out: &mut Vec<u8>) {
    let mut numbers: HashMap<&[u8], u64> = HashMap::new();
    let mut distinct: Vec<&[u8]> = Vec::new();
    let mut indices = Vec::with_capacity(values.len());
    for value in values {
        let value = value.as_ref();
        let index = *numbers.entry(value).or_insert_with(|| {
            distinct.push(value);
            distinct.len() as u64 - 1
        });
        indices.push(index);
    }
    let mut payload = Vec::new();
    varint::write(distinct.len() as u64, &mut payload);
    for text in &distinct {
        varint::write(text.len() as u64, &mut payload);
        payload.extend_from_slice(text);
    }
    let width = index_width(distinct.len());
    let mut bits = BitWriter::default();
    for index in indices {
        bits.write(index, width);
    }
    payload.extend_from_slice(&bits.finish());
    frame(Content::Strings, values.len(), &payload, out);
}

/// The bits that tell `distinct` texts apart.
fn index_width(distinct: usize) -> u32 {
    distinct.saturating_sub(1).checked_ilog2().map_or(0, |log| log + 1)
}

impl Block<'_> {
    /// The texts of a block of texts.
    ///
    /// # Errors
    ///
    /// When it holds something else or is damaged.
    pub fn strings(&self) -> Result<Strings, Error> {
        if self.content != Content::Strings {
            return Err(self.wrong("strings"));
        }
        let (distinct, mut rest) = varint::read_len(&self.payload)?;
        // There is a value for every distinct text, and each takes at least the byte of its length.
        if distinct > self.count || distinct > rest.len() || u32::try_from(distinct).is_err() {
            return Err(Error::Malformed("the dictionary has more texts than there are values"));
        }
        if distinct == 0 && self.count > 0 {
            return Err(Error::Malformed("there are values but no dictionary"));
        }
        let mut strings = Strings { ends: Vec::with_capacity(distinct), ..Strings::default() };
        for _ in 0..distinct {
            let text;
            (text, rest) = take(rest)?;
            strings.bytes.extend_from_slice(text);
            strings.ends.push(strings.bytes.len());
        }
        let width = index_width(distinct);
        // One text takes no bits at all, so only the reader's limit bounds how often it is there.
        if (width as usize).saturating_mul(self.count) > rest.len().saturating_mul(8) {
            return Err(Error::Truncated);
        }
        let mut bits = BitReader::new(rest);
        strings.indices.reserve_exact(self.count);
        for _ in 0..self.count {
            let index = bits.read(width)? as u32;
            if index as usize >= distinct {
                return Err(Error::Malformed("a value is not in the dictionary"));
            }
            strings.indices.push(index);
        }
        Ok(strings)
    }
}
