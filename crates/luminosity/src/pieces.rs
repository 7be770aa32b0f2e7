//! Compressed pieces of fragments, and the memory that keeps them.
//!
//! A gzip stream may be put together from pieces that were compressed on their own, each ending at a byte
//! (a sync flush): the checksums of the pieces combine to that of the whole. So a change compresses some
//! 60 KB anew instead of 6 MB, and a fragment of 50,000 entries is ready within a millisecond.
//!
//! Invariants: a piece is used only for the version of its block that it was made of; the cache holds at
//! most the bytes it was given, besides what is being served.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};
use parking_lot::Mutex;

use crate::error::{Error, Result};

/// A compressed block.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) version: u64,
    pub(crate) deflated: Bytes,
    pub(crate) plain_bytes: u64,
    pub(crate) crc: u32,
}

struct Kept {
    piece: Arc<Piece>,
    /// Asked for since the clock's hand came by.
    used: bool,
}

#[derive(Default)]
struct Cache {
    kept: HashMap<(u32, u32), Kept>,
    /// The clock's face; names of pieces that are gone are skipped.
    hand: VecDeque<(u32, u32)>,
    bytes: usize,
}

/// Makes pieces and keeps them.
pub(crate) struct Pieces {
    cache: Mutex<Cache>,
    bytes_max: usize,
    compressors: Mutex<Vec<Compress>>,
    level: u32,
}

/// What a kept piece costs besides its bytes.
const OVERHEAD: usize = 160;
/// Compressors that wait for work; each has some 300 KB.
const IDLE_COMPRESSORS: usize = 4;

impl Pieces {
    pub(crate) fn new(bytes_max: usize, level: u32) -> Self {
        Self { cache: Mutex::default(), bytes_max, compressors: Mutex::default(), level }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.cache.lock().bytes
    }

    /// The pieces of these blocks and versions, as far as they are there.
    pub(crate) fn get(&self, fragment: u32, wanted: &[(u32, u64)]) -> Vec<Option<Arc<Piece>>> {
        let mut cache = self.cache.lock();
        wanted
            .iter()
            .map(|(block, version)| {
                let kept = cache.kept.get_mut(&(fragment, *block))?;
                kept.used = true;
                (kept.piece.version == *version).then(|| Arc::clone(&kept.piece))
            })
            .collect()
    }

    /// Keeps a piece, unless there is a newer one.
    pub(crate) fn keep(&self, fragment: u32, block: u32, piece: &Arc<Piece>) {
        let size = piece.deflated.len() + OVERHEAD;
        if size > self.bytes_max {
            return;
        }
        let mut cache = self.cache.lock();
        let cache = &mut *cache;
        match cache.kept.get_mut(&(fragment, block)) {
            Some(kept) if kept.piece.version >= piece.version => return,
            Some(kept) => {
                cache.bytes = cache.bytes + size - kept.piece.deflated.len() - OVERHEAD;
                kept.piece = Arc::clone(piece);
            }
            None => {
                cache.kept.insert((fragment, block), Kept { piece: Arc::clone(piece), used: false });
                cache.hand.push_back((fragment, block));
                cache.bytes += size;
            }
        }
        while cache.bytes > self.bytes_max {
            let Some(name) = cache.hand.pop_front() else { break };
            match cache.kept.get_mut(&name) {
                Some(kept) if kept.used => {
                    kept.used = false;
                    cache.hand.push_back(name);
                }
                Some(kept) => {
                    cache.bytes -= kept.piece.deflated.len() + OVERHEAD;
                    cache.kept.remove(&name);
                }
                None => {}
            }
        }
    }

    /// Compresses a block's XML.
    pub(crate) fn compress(&self, version: u64, plain: &[u8]) -> Result<Piece> {
        let idle = self.compressors.lock().pop();
        let mut compress = idle.unwrap_or_else(|| Compress::new(Compression::new(self.level), false));
        compress.reset();
        let deflated = deflate(&mut compress, plain)?;
        let mut compressors = self.compressors.lock();
        if compressors.len() < IDLE_COMPRESSORS {
            compressors.push(compress);
        }
        drop(compressors);
        let plain_bytes = plain.len() as u64;
        Ok(Piece { version, deflated: deflated.into(), plain_bytes, crc: crc32fast::hash(plain) })
    }
}

fn deflate(compress: &mut Compress, plain: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(plain.len() / 8 + 256);
    loop {
        let read = compress.total_in() as usize;
        let before = out.len();
        let status = compress
            .compress_vec(plain.get(read..).unwrap_or_default(), &mut out, FlushCompress::Sync)
            .map_err(|error| Error::Damaged(format!("compression: {error}")))?;
        // A flush is complete once it left room in what it was given.
        let done = compress.total_in() as usize == plain.len() && out.len() < out.capacity();
        if done || (status == Status::BufError && out.len() == before && out.len() < out.capacity()) {
            out.shrink_to_fit();
            return Ok(out);
        }
        out.reserve(out.capacity().max(4096));
    }
}

/// A stored, uncompressed block of deflate; at most 65,535 bytes.
pub(crate) fn stored(text: &[u8], last: bool, out: &mut Vec<u8>) {
    let length = text.len() as u16;
    out.push(u8::from(last));
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&(!length).to_le_bytes());
    out.extend_from_slice(text);
}

/// The checksum of texts one after the other.
pub(crate) struct Checksum(crc32fast::Hasher);

impl Checksum {
    pub(crate) fn new() -> Self {
        Self(crc32fast::Hasher::new())
    }

    pub(crate) fn add(&mut self, crc: u32, bytes: u64) {
        self.0.combine(&crc32fast::Hasher::new_with_initial_len(crc, bytes));
    }

    pub(crate) fn finish(self) -> u32 {
        self.0.finalize()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn piece(version: u64, bytes: usize) -> Arc<Piece> {
        Arc::new(Piece { version, deflated: vec![0; bytes].into(), plain_bytes: 0, crc: 0 })
    }

    #[test]
    fn the_cache_stays_within_its_bytes_and_keeps_what_is_asked_for() {
        let pieces = Pieces::new(10 * (1000 + OVERHEAD), 6);
        for block in 0..1000 {
            pieces.keep(0, block, &piece(1, 1000));
            pieces.get(0, &[(0, 1)]);
            assert!(pieces.bytes() <= 10 * (1000 + OVERHEAD));
        }
        assert!(pieces.get(0, &[(0, 1)])[0].is_some(), "asked for all the time");
        assert!(pieces.get(0, &[(1, 1)])[0].is_none(), "never asked for");
        pieces.keep(0, 5000, &piece(1, 1 << 20));
        assert!(pieces.get(0, &[(5000, 1)])[0].is_none(), "larger than the cache");
    }

    #[test]
    fn only_the_version_asked_for_is_given_and_an_older_one_replaces_none() {
        let pieces = Pieces::new(1 << 20, 6);
        pieces.keep(1, 1, &piece(5, 10));
        pieces.keep(1, 1, &piece(4, 20));
        assert!(pieces.get(1, &[(1, 4)])[0].is_none());
        assert_eq!(pieces.get(1, &[(1, 5)])[0].as_ref().unwrap().deflated.len(), 10);
        pieces.keep(1, 1, &piece(6, 30));
        assert!(pieces.get(1, &[(1, 5)])[0].is_none());
        assert_eq!(pieces.bytes(), 30 + OVERHEAD);
    }

    proptest! {
        #[test]
        fn pieces_make_one_gzip_stream(texts in proptest::collection::vec("[a-c]{0,300}|\\PC{0,40}", 0..6), level in 1u32..10) {
            let pieces = Pieces::new(1 << 20, level);
            let mut stream = vec![];
            let mut checksum = Checksum::new();
            for text in &texts {
                let piece = pieces.compress(1, text.as_bytes()).unwrap();
                stream.extend_from_slice(&piece.deflated);
                checksum.add(piece.crc, piece.plain_bytes);
            }
            stored(b"end", true, &mut stream);
            checksum.add(crc32fast::hash(b"end"), 3);
            let whole = format!("{}end", texts.concat());
            prop_assert_eq!(checksum.finish(), crc32fast::hash(whole.as_bytes()));
            let mut inflated = String::new();
            std::io::Read::read_to_string(&mut flate2::read::DeflateDecoder::new(stream.as_slice()), &mut inflated).unwrap();
            prop_assert_eq!(inflated, whole);
        }
    }
}
