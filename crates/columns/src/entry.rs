//! What the manifest says about a file.

use std::sync::Arc;

use crate::address::file_number;

const VERSION: u8 = 1;

/// What the manifest says about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Its number, which is its name.
    pub number: u64,
    /// How often its rows have been merged.
    pub level: u8,
    /// How many rows it has, the deleted ones too.
    pub rows: u64,
    /// How many bytes it has.
    pub bytes: u64,
    /// The sorting bytes of the values that all of its rows have in the columns the table is partitioned by.
    pub partition: Vec<u8>,
    /// The CRC-32C of each 32 KiB.
    pub sums: Arc<[u32]>,
}

impl FileEntry {
    /// The entry's value.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION, self.level];
        for number in [self.rows, self.bytes, self.partition.len() as u64] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.partition);
        for sum in self.sums.iter() {
            out.extend_from_slice(&sum.to_le_bytes());
        }
        out
    }

    /// What a key and its value say; `None` if they are damaged or a newer version wrote them.
    pub fn decode(key: &[u8], value: &[u8]) -> Option<Self> {
        let number = file_number(key)?;
        let ([version, level], rest) = value.split_first_chunk::<2>()?;
        let (rows, rest) = rest.split_first_chunk::<8>()?;
        let (bytes, rest) = rest.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<8>()?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        let (partition, rest) = rest.split_at_checked(length)?;
        let (sums, rest) = rest.as_chunks::<4>();
        (*version == VERSION && rest.is_empty()).then(|| Self {
            number,
            level: *level,
            rows: u64::from_le_bytes(*rows),
            bytes: u64::from_le_bytes(*bytes),
            partition: partition.to_vec(),
            sums: sums.iter().map(|sum| u32::from_le_bytes(*sum)).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::file_key;

    #[test]
    fn entries_come_back_and_damaged_ones_are_refused() {
        let entry = FileEntry {
            number: 7,
            level: 2,
            rows: 1 << 33,
            bytes: 70_000,
            partition: vec![1, 2, 3],
            sums: Arc::from([1, u32::MAX, 3]),
        };
        let value = entry.encode();
        assert_eq!(FileEntry::decode(&file_key(7), &value), Some(entry));
        for length in (0..29).chain([value.len() - 1]) {
            assert_eq!(FileEntry::decode(&file_key(7), &value[..length]), None, "{length}");
        }
        assert_eq!(FileEntry::decode(b"x", &value), None);
    }
}
