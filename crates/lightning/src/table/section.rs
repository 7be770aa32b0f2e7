//! Sections of a table file: compression, trailer, footer.

use std::path::Path;
use std::sync::Arc;

use luma_vfs::{BatchRead, VfsFile};

use super::index::BlockPlace;
use crate::options::Compression;
use crate::{Error, Result};

/// Compression byte and checksum.
const TRAILER_BYTES: usize = 5;
pub(crate) const FOOTER_BYTES: usize = 64;
const MAGIC: [u8; 8] = *b"LIGHTTBL";
const VERSION: u32 = 5;

const NONE: u8 = 0;
const LZ4: u8 = 1;
const ZSTD: u8 = 2;
const ZSTD_LEVEL: i32 = 3;
/// How much of what may be compressed is looked at first.
const SAMPLE_BYTES: usize = 16 << 10;
/// LZ4 can't expand more than this.
const LZ4_RATIO_MAX: usize = 255;
/// Zstd has no more in one of its blocks, which take four bytes or more.
const ZSTD_BLOCK_MAX: usize = 128 << 10;
const ZSTD_BLOCK_BYTES_MIN: usize = 4;

/// Appends a section to `out`; returns its length with the trailer.
pub(crate) fn append(out: &mut Vec<u8>, content: &[u8], compression: Compression) -> u64 {
    let start = out.len();
    let worthwhile = content.len() - content.len() / 8;
    let kind = match compression {
        Compression::None => NONE,
        Compression::Lz4 => {
            out.extend_from_slice(&(content.len() as u32).to_le_bytes());
            let body = out.len();
            out.resize(body + lz4_flex::block::get_maximum_output_size(content.len()), 0);
            match lz4_flex::block::compress_into(content, &mut out[body..]) {
                Ok(length) if length + 4 < worthwhile => {
                    out.truncate(body + length);
                    LZ4
                }
                _ => NONE,
            }
        }
        Compression::Zstd => {
            out.extend_from_slice(&(content.len() as u32).to_le_bytes());
            match zstd::bulk::compress(content, ZSTD_LEVEL) {
                Ok(bytes) if bytes.len() + 4 < worthwhile => {
                    out.extend_from_slice(&bytes);
                    ZSTD
                }
                _ => NONE,
            }
        }
    };
    if kind == NONE {
        out.truncate(start);
        out.extend_from_slice(content);
    }
    out.push(kind);
    let crc = crc32c::crc32c(&out[start..]);
    out.extend_from_slice(&crc.to_le_bytes());
    (out.len() - start) as u64
}

/// Whether content becomes shorter when it is compressed, as far as its beginning tells.
pub(crate) fn shrinks(content: &[u8], compression: Compression) -> bool {
    let sample = content.get(..SAMPLE_BYTES).unwrap_or(content);
    compression != Compression::None && append(&mut Vec::new(), sample, compression) < sample.len() as u64
}

/// Appends the end of a section whose content, as it is, is written already; returns the section's length.
pub(crate) fn append_trailer(out: &mut Vec<u8>, content: &[u8]) -> u64 {
    out.push(NONE);
    let crc = crc32c::crc32c_append(crc32c::crc32c(content), &[NONE]);
    out.extend_from_slice(&crc.to_le_bytes());
    (content.len() + TRAILER_BYTES) as u64
}

/// Reads, checks and expands a section.
pub(crate) fn read(file: &dyn VfsFile, path: &Path, place: BlockPlace) -> Result<Box<[u8]>> {
    check_place(file, path, place)?;
    let mut bytes = vec![0; place.length as usize];
    file.read_at(&mut bytes, place.offset).map_err(|error| Error::io(path, error))?;
    open(bytes, path, place)
}

/// A read of the bytes at a place, in a batch.
pub(crate) fn request(file: Arc<dyn VfsFile>, path: &Path, place: BlockPlace) -> Result<BatchRead> {
    check_place(file.as_ref(), path, place)?;
    Ok(BatchRead::new(file, place.offset, place.length as usize))
}

/// Checks that a file has a place.
fn check_place(file: &dyn VfsFile, path: &Path, place: BlockPlace) -> Result<()> {
    let damaged = |what| Error::corruption(path, place.offset, what);
    if place.length < TRAILER_BYTES as u64 || place.length > u64::from(u32::MAX) * 2 {
        return Err(damaged("the section's length is impossible"));
    }
    // The place comes from a checksummed section, but the file may have been cut since.
    let end = place.offset.checked_add(place.length);
    if end.is_none_or(|end| file.len().is_ok_and(|length| length < end)) {
        return Err(damaged("the section lies beyond the end of the file"));
    }
    Ok(())
}

/// Checks and expands the bytes of a section.
pub(crate) fn open(mut bytes: Vec<u8>, path: &Path, place: BlockPlace) -> Result<Box<[u8]>> {
    let damaged = |what| Error::corruption(path, place.offset, what);
    if bytes.len() < TRAILER_BYTES {
        return Err(damaged("the section's length is impossible"));
    }
    let crc = bytes.split_off(bytes.len() - 4);
    if crc32c::crc32c(&bytes).to_le_bytes() != crc[..] {
        return Err(damaged("the section does not match its checksum"));
    }
    let kind = bytes.pop().unwrap_or(u8::MAX);
    expand(kind, bytes).ok_or_else(|| damaged("the section can't be expanded"))
}

fn expand(kind: u8, bytes: Vec<u8>) -> Option<Box<[u8]>> {
    if kind == NONE {
        return Some(bytes.into());
    }
    let (length, body) = bytes.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    match kind {
        LZ4 if length <= body.len().saturating_mul(LZ4_RATIO_MAX) + 64 => {
            let mut out = vec![0; length];
            let written = lz4_flex::block::decompress_into(body, &mut out).ok()?;
            (written == length).then(|| out.into())
        }
        ZSTD if length <= (body.len() / ZSTD_BLOCK_BYTES_MIN + 1).saturating_mul(ZSTD_BLOCK_MAX) => {
            let out = zstd::bulk::decompress(body, length).ok()?;
            (out.len() == length).then(|| out.into())
        }
        _ => None,
    }
}

/// Where the sections are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) parts: BlockPlace,
    pub(crate) properties: BlockPlace,
}

impl Footer {
    pub(crate) fn encode(self) -> [u8; FOOTER_BYTES] {
        let mut bytes = [0; FOOTER_BYTES];
        let places = [self.parts, self.properties];
        for (place, out) in places.iter().zip(bytes.chunks_exact_mut(16)) {
            out[..8].copy_from_slice(&place.offset.to_le_bytes());
            out[8..].copy_from_slice(&place.length.to_le_bytes());
        }
        bytes[48..52].copy_from_slice(&VERSION.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..52]);
        bytes[52..56].copy_from_slice(&crc.to_le_bytes());
        bytes[56..].copy_from_slice(&MAGIC);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; FOOTER_BYTES], path: &Path, offset: u64) -> Result<Self> {
        let u64_at = |at: usize| {
            let mut field = [0; 8];
            field.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(field)
        };
        let crc = crc32c::crc32c(&bytes[..52]).to_le_bytes();
        if bytes[56..] != MAGIC || bytes[52..56] != crc {
            return Err(Error::corruption(path, offset, "the table's footer does not match its checksum"));
        }
        let version = u64_at(48) as u32;
        if version != VERSION {
            return Err(Error::UnsupportedVersion { file: path.to_owned(), version, supported: VERSION });
        }
        let place = |at| BlockPlace { offset: u64_at(at), length: u64_at(at + 8) };
        Ok(Self { parts: place(0), properties: place(16) })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use luma_vfs::{SimDisk, Vfs};
    use proptest::prelude::*;

    fn file_with(bytes: &[u8]) -> std::sync::Arc<dyn VfsFile> {
        let disk = SimDisk::new();
        disk.create_dir_all(Path::new("/")).unwrap();
        let file = disk.create(Path::new("/t")).unwrap();
        file.write_at(bytes, 0).unwrap();
        file
    }

    #[test]
    fn what_compresses_as_well_as_can_be_comes_back() {
        let content = vec![0; 10 << 20];
        for compression in [Compression::Lz4, Compression::Zstd] {
            let mut bytes = Vec::new();
            let length = append(&mut bytes, &content, compression);
            assert!(length < 50_000);
            let place = BlockPlace { offset: 0, length };
            assert!(*read(file_with(&bytes).as_ref(), Path::new("/t"), place).unwrap() == content[..]);
        }
    }

    proptest! {
        #[test]
        fn a_section_comes_back_and_a_flipped_bit_is_an_error(
            content in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..2000),
                proptest::collection::vec(0u8..2, 0..5000),
            ],
            compression in prop_oneof![Just(Compression::None), Just(Compression::Lz4), Just(Compression::Zstd)],
            flip: prop::sample::Index,
        ) {
            let mut bytes = vec![9; 3];
            let length = append(&mut bytes, &content, compression);
            let place = BlockPlace { offset: 3, length };
            let path = Path::new("/t");
            prop_assert_eq!(&*read(file_with(&bytes).as_ref(), path, place).unwrap(), content.as_slice());
            let bit = 24 + flip.index((bytes.len() - 3) * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(read(file_with(&bytes).as_ref(), path, place).is_err());
            let beyond = BlockPlace { offset: 4, length };
            prop_assert!(read(file_with(&bytes).as_ref(), path, beyond).is_err());
        }

        #[test]
        fn a_footer_comes_back_and_damage_is_an_error(numbers: [u64; 4], bit in 0..FOOTER_BYTES * 8) {
            let place = |at: usize| BlockPlace { offset: numbers[at], length: numbers[at + 1] };
            let footer = Footer { parts: place(0), properties: place(2) };
            let mut bytes = footer.encode();
            prop_assert_eq!(Footer::decode(&bytes, Path::new("/t"), 0).unwrap(), footer);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Footer::decode(&bytes, Path::new("/t"), 0).is_err());
        }
    }
}
