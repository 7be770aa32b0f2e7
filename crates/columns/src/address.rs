//! Where a row of a file is: as the key by which statements name it, and under which its deletion is noted.

const FILE: u8 = b'f';
const DELETED: u8 = b'd';

/// A row of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowAddress {
    /// The file's number.
    pub file: u64,
    /// The row's place in it, from 0.
    pub row: u32,
}

impl RowAddress {
    /// Bytes of a key.
    pub const KEY_BYTES: usize = 13;

    /// The key: that of the row, and in the manifest that of its deletion.
    pub fn key(self) -> [u8; Self::KEY_BYTES] {
        let mut key = [DELETED; Self::KEY_BYTES];
        key[1..9].copy_from_slice(&self.file.to_be_bytes());
        key[9..].copy_from_slice(&self.row.to_be_bytes());
        key
    }

    /// The row that has this key; `None` for keys of other rows.
    pub fn from_key(key: &[u8]) -> Option<Self> {
        let key: &[u8; Self::KEY_BYTES] = key.try_into().ok()?;
        let (tag, rest) = key.split_first()?;
        let (file, row) = rest.split_first_chunk::<8>()?;
        let row: [u8; 4] = row.try_into().ok()?;
        (*tag == DELETED).then(|| Self { file: u64::from_be_bytes(*file), row: u32::from_be_bytes(row) })
    }
}

/// The key of a file's entry in the manifest.
pub fn file_key(number: u64) -> [u8; 9] {
    let mut key = [FILE; 9];
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

/// The number in the key of a file's entry.
pub(crate) fn file_number(key: &[u8]) -> Option<u64> {
    let (tag, number) = key.split_first()?;
    let number: [u8; 8] = number.try_into().ok()?;
    (*tag == FILE).then(|| u64::from_be_bytes(number))
}

/// Where the keys of files' entries begin, and with which key they have ended.
pub(crate) const FILES: ([u8; 1], [u8; 1]) = ([FILE], [FILE + 1]);
/// Where the keys of deleted rows begin, and with which key they have ended.
pub(crate) const DELETIONS: ([u8; 1], [u8; 1]) = ([DELETED], [DELETED + 1]);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_come_back_and_sort_by_file_and_row() {
        let addresses = [(1, 0), (1, 1), (1, u32::MAX), (2, 0), (u64::MAX, 7)];
        let keys: Vec<_> =
            addresses.iter().map(|(file, row)| RowAddress { file: *file, row: *row }.key()).collect();
        assert!(keys.is_sorted());
        for (key, (file, row)) in keys.iter().zip(addresses) {
            assert_eq!(RowAddress::from_key(key), Some(RowAddress { file, row }));
        }
        assert_eq!(RowAddress::from_key(&file_key(3)), None);
        assert_eq!(file_number(&file_key(3)), Some(3));
        assert_eq!(file_number(&keys[0]), None);
    }
}
