//! One fragment as it was at one moment, as XML or gzip.
//!
//! Both forms have a length that is known before the first byte is made, and are handed out piece by piece,
//! so neither a fragment nor its compressed form is ever whole in memory because of being written.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use flate2::{Decompress, FlushDecompress};
use lightning::{Direction, Snapshot};

use crate::engine::{Block, Engine, FragmentInfo};
use crate::error::{Error, Result};
use crate::moment::Moment;
use crate::pieces::{Checksum, Piece, stored};
use crate::record::View;
use crate::render;

/// A fragment.
pub struct Fragment {
    engine: Engine,
    snapshot: Snapshot,
    info: FragmentInfo,
    /// Those with something listed.
    blocks: Vec<(u32, Block)>,
    head: Vec<u8>,
}

impl std::fmt::Debug for Fragment {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Fragment").field("info", &self.info).finish_non_exhaustive()
    }
}

const GZIP_HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

impl Fragment {
    pub(crate) fn new(
        engine: Engine,
        snapshot: Snapshot,
        info: FragmentInfo,
        mut blocks: Vec<(u32, Block)>,
    ) -> Self {
        blocks.retain(|(_, block)| block.listed > 0);
        let namespaces = blocks.iter().fold(0, |all, (_, block)| all | block.namespaces);
        let mut head = Vec::with_capacity(256);
        render::fragment_head(namespaces, engine.settings().stylesheet.as_deref(), &mut head);
        Self { engine, snapshot, info, blocks, head }
    }

    /// What is known of it.
    pub fn info(&self) -> FragmentInfo {
        self.info
    }

    /// When it changed last.
    pub fn changed(&self) -> Moment {
        self.info.changed
    }

    /// Something that differs whenever its content differs.
    pub fn tag(&self) -> String {
        format!("{}-{:x}-{:x}", self.info.number, self.info.version, crc32fast::hash(&self.head) & 0xffff)
    }

    /// Its length as XML.
    pub fn plain_bytes(&self) -> u64 {
        let listed: u64 = self.blocks.iter().map(|(_, block)| block.bytes).sum();
        self.head.len() as u64 + listed + render::FRAGMENT_FOOT.len() as u64
    }

    /// Writes it as XML; no more than one block is in memory.
    pub fn write_plain(&self, out: &mut dyn Write) -> std::io::Result<()> {
        out.write_all(&self.head)?;
        let mut xml = Vec::new();
        for (block, _) in &self.blocks {
            xml.clear();
            self.render(*block, &mut xml).map_err(std::io::Error::other)?;
            out.write_all(&xml)?;
        }
        out.write_all(render::FRAGMENT_FOOT.as_bytes())
    }

    /// Writes it as a gzip file and keeps nothing; no more than one block is in memory.
    pub fn write_gzip(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let mut xml = Vec::new();
        self.assemble(
            &mut |block, version| {
                xml.clear();
                self.render(block, &mut xml)?;
                self.engine.inner.pieces.compress(version, &xml).map(Arc::new)
            },
            &mut |bytes| out.write_all(&bytes).map_err(|error| Error::io("the output".as_ref(), error)),
        )
        .map_err(std::io::Error::other)
    }

    /// Its gzip form as bytes one after the other, taken from the cache where it can be.
    pub fn gzip(&self) -> Result<Vec<Bytes>> {
        let wanted: Vec<_> = self.blocks.iter().map(|(number, block)| (*number, block.version)).collect();
        let mut known = self.engine.inner.pieces.get(self.info.number, &wanted).into_iter();
        let mut parts = Vec::with_capacity(self.blocks.len() + 3);
        let mut xml = Vec::new();
        self.assemble(
            &mut |block, version| match known.next().flatten() {
                Some(piece) => Ok(piece),
                None => self.make_piece(block, version, &mut xml),
            },
            &mut |bytes| {
                parts.push(bytes);
                Ok(())
            },
        )?;
        Ok(parts)
    }

    /// Blocks that must be rendered and compressed before [`Fragment::gzip`] is ready.
    pub fn cold_blocks(&self) -> usize {
        let wanted: Vec<_> = self.blocks.iter().map(|(number, block)| (*number, block.version)).collect();
        self.engine.inner.pieces.get(self.info.number, &wanted).iter().filter(|known| known.is_none()).count()
    }

    /// The lengths of the parts that [`Fragment::plain_part`] gives.
    pub fn plain_lengths(&self) -> Vec<u64> {
        let blocks = self.blocks.iter().map(|(_, block)| block.bytes);
        let foot = render::FRAGMENT_FOOT.len() as u64;
        std::iter::once(self.head.len() as u64).chain(blocks).chain([foot]).collect()
    }

    /// One part of its XML, from the cache where it can be.
    pub fn plain_part(&self, part: usize) -> Result<Bytes> {
        if part == 0 {
            return Ok(self.head.clone().into());
        }
        let Some((number, block)) = self.blocks.get(part - 1) else {
            return Ok(Bytes::from_static(render::FRAGMENT_FOOT.as_bytes()));
        };
        let known = self.engine.inner.pieces.get(self.info.number, &[(*number, block.version)]);
        if let Some(piece) = known.into_iter().flatten().next() {
            return inflate(&piece).map(Bytes::from);
        }
        let mut xml = Vec::with_capacity(block.bytes as usize);
        self.make_piece(*number, block.version, &mut xml)?;
        Ok(xml.into())
    }

    /// Renders and compresses what is not in the cache.
    pub(crate) fn warm(&self) -> Result<()> {
        self.gzip().map(drop)
    }

    fn make_piece(&self, block: u32, version: u64, xml: &mut Vec<u8>) -> Result<Arc<Piece>> {
        xml.clear();
        self.render(block, xml)?;
        let piece = Arc::new(self.engine.inner.pieces.compress(version, xml)?);
        self.engine.inner.pieces.keep(self.info.number, block, &piece);
        Ok(piece)
    }

    fn assemble(
        &self,
        piece_of: &mut dyn FnMut(u32, u64) -> Result<Arc<Piece>>,
        out: &mut dyn FnMut(Bytes) -> Result<()>,
    ) -> Result<()> {
        let mut checksum = Checksum::new();
        let mut first = GZIP_HEAD.to_vec();
        stored(&self.head, false, &mut first);
        checksum.add(crc32fast::hash(&self.head), self.head.len() as u64);
        out(first.into())?;
        for (block, known) in &self.blocks {
            let piece = piece_of(*block, known.version)?;
            checksum.add(piece.crc, piece.plain_bytes);
            out(piece.deflated.clone())?;
        }
        let foot = render::FRAGMENT_FOOT.as_bytes();
        let mut last = Vec::with_capacity(foot.len() + 16);
        stored(foot, true, &mut last);
        checksum.add(crc32fast::hash(foot), foot.len() as u64);
        last.extend_from_slice(&checksum.finish().to_le_bytes());
        last.extend_from_slice(&(self.plain_bytes() as u32).to_le_bytes());
        out(last.into())
    }

    fn render(&self, block: u32, xml: &mut Vec<u8>) -> Result<()> {
        let inner = &self.engine.inner;
        let index = self.info.number - 1;
        let mut range = inner.store.block_range(&self.snapshot, index, block, Direction::Forward)?;
        while let Some((_, record)) = range.next()? {
            render::entry(&inner.site, &View::stored(record)?, xml)?;
        }
        Ok(())
    }
}

fn inflate(piece: &Piece) -> Result<Vec<u8>> {
    let mut xml = Vec::with_capacity(piece.plain_bytes as usize + 16);
    Decompress::new(false)
        .decompress_vec(&piece.deflated, &mut xml, FlushDecompress::Sync)
        .map_err(|error| Error::Damaged(format!("decompression: {error}")))?;
    if xml.len() as u64 == piece.plain_bytes {
        Ok(xml)
    } else {
        Err(Error::Damaged("a compressed block has the wrong length".to_owned()))
    }
}
