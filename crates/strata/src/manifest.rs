//! What the manifest says: which files there are, and what is deleted of them.
//!
//! Entries are keys of one Lightning keyspace, so any number of them changes in one transaction, together with
//! whatever else the caller keeps in the same database.

use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::tombstone::Tombstone;

const VERSION: u8 = 1;

const FILE: u8 = b'f';
const TOMBSTONE: u8 = b't';

/// What the manifest says about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Its number, which is its name and is not given again while it is there.
    pub number: u64,
    /// Of two samples of one series and time that of the file with the lower order counts.
    pub order: u64,
    /// 0 as written first, 1 merged with others of its window, 2 with others of its day.
    pub level: u8,
    /// The time of its first and last sample, in milliseconds.
    pub times: (i64, i64),
    /// Its first and last series.
    pub series: (u32, u32),
    /// How many samples it has.
    pub rows: u64,
    /// How many bytes it has.
    pub bytes: u64,
    /// The CRC-32C of each 32 KiB.
    pub sums: Arc<[u32]>,
}

impl FileEntry {
    /// Whether it may have samples from `from` to `to`.
    pub fn overlaps(&self, from: i64, to: i64) -> bool {
        self.times.0 <= to && self.times.1 >= from
    }

    pub(crate) fn key(number: u64) -> [u8; 9] {
        key(FILE, number)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION, self.level];
        out.extend_from_slice(&self.order.to_le_bytes());
        for t in [self.times.0, self.times.1] {
            out.extend_from_slice(&t.to_le_bytes());
        }
        for series in [self.series.0, self.series.1] {
            out.extend_from_slice(&series.to_le_bytes());
        }
        for number in [self.rows, self.bytes] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for sum in self.sums.iter() {
            out.extend_from_slice(&sum.to_le_bytes());
        }
        out
    }

    fn decode(number: u64, bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader { rest: bytes };
        let [version, level] = reader.take::<2>()?;
        if version != VERSION {
            return None;
        }
        let order = reader.u64()?;
        let times = (reader.u64()? as i64, reader.u64()? as i64);
        let series = (reader.u32()?, reader.u32()?);
        let (rows, bytes) = (reader.u64()?, reader.u64()?);
        let (sums, rest) = reader.rest.as_chunks::<4>();
        let sums = sums.iter().map(|sum| u32::from_le_bytes(*sum)).collect();
        rest.is_empty().then_some(Self { number, order, level, times, series, rows, bytes, sums })
    }
}

impl Tombstone {
    pub(crate) fn key(number: u64) -> [u8; 9] {
        key(TOMBSTONE, number)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        for t in [self.from, self.to] {
            out.extend_from_slice(&t.to_le_bytes());
        }
        for number in [self.before, self.mark] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        // A vector takes any number of bytes.
        let _ = self.series.serialize_into(&mut out);
        out
    }

    fn decode(number: u64, bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader { rest: bytes };
        let [version] = reader.take::<1>()?;
        if version != VERSION {
            return None;
        }
        let (from, to) = (reader.u64()? as i64, reader.u64()? as i64);
        let (before, mark) = (reader.u64()?, reader.u64()?);
        let series = RoaringBitmap::deserialize_from(reader.rest).ok()?;
        Some(Self { number, series, from, to, before, mark })
    }
}

/// One entry.
#[derive(Debug)]
pub(crate) enum Entry {
    File(FileEntry),
    Tombstone(Tombstone),
}

impl Entry {
    /// What a key and its value say; `None` if they are damaged or a newer version wrote them.
    pub fn decode(key: &[u8], value: &[u8]) -> Option<Self> {
        let (kind, number) = key.split_first()?;
        let number = u64::from_be_bytes(number.try_into().ok()?);
        match *kind {
            FILE => FileEntry::decode(number, value).map(Self::File),
            TOMBSTONE => Tombstone::decode(number, value).map(Self::Tombstone),
            _ => None,
        }
    }
}

fn key(kind: u8, number: u64) -> [u8; 9] {
    let mut key = [kind; 9];
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn entries_come_back_and_damaged_ones_are_refused() {
        let file = FileEntry {
            number: 7,
            order: 3,
            level: 2,
            times: (-5, i64::MAX),
            series: (1, u32::MAX),
            rows: 9,
            bytes: 70_000,
            sums: Arc::from([1, u32::MAX, 3]),
        };
        let bytes = file.encode();
        match Entry::decode(&FileEntry::key(7), &bytes) {
            Some(Entry::File(read)) => assert_eq!(read, file),
            other => panic!("{other:?}"),
        }
        let tombstone = Tombstone {
            number: 8,
            series: [1, 5, 1 << 31].into(),
            from: i64::MIN,
            to: 4,
            before: 9,
            mark: 11,
        };
        let grave = tombstone.encode();
        match Entry::decode(&Tombstone::key(8), &grave) {
            Some(Entry::Tombstone(read)) => assert_eq!(read, tombstone),
            other => panic!("{other:?}"),
        }
        for length in 0..grave.len() {
            assert!(Entry::decode(&Tombstone::key(8), &grave[..length]).is_none(), "{length}");
        }
        for length in (0..46).chain([bytes.len() - 1]) {
            assert!(Entry::decode(&FileEntry::key(7), &bytes[..length]).is_none(), "{length}");
        }
        assert!(Entry::decode(b"x0000000", &bytes).is_none());
    }
}
