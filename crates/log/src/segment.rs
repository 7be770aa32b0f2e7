//! Segment files: names, making, recycling.
//!
//! Invariants: each live segment names its predecessor; a live segment's name and header are durable
//! before a frame is written to it; segments go oldest first, each durably before the next.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use luma_vfs::{Vfs, VfsFile};

use crate::frame::{SEGMENT_HEADER, SegmentHeader};
use crate::place::{Frames, Place};
use crate::{Error, Lsn, Result};

/// Bytes of a new file that are overwritten with zeros at a time, ahead of the frames, so that a
/// commit changes data blocks only and no file metadata. Four times what was written before, within these:
/// each time costs a commit of the file system's journal, and a small database should be small.
const ZERO_AHEAD: std::ops::RangeInclusive<u64> = 12 << 10..=512 << 10;
/// A write so large bears the change of metadata; zeros ahead of it would double what is written.
const LARGE_WRITE: u64 = 64 << 10;
/// The disk is put to work each time so much was written: nothing else can be written while a sync waits, so that it had
/// better wait for little.
const PUSHED_BYTES: u64 = 1 << 20;
/// What is reserved for the first segment after a start at first; it grows fourfold, so that a small
/// database is small.
pub(crate) const RESERVED_MIN: u64 = 16 << 10;
/// More spare files than this are removed.
const SPARES_MAX: usize = 1;

/// A segment open for writing.
pub(crate) struct Segment {
    pub(crate) file: Arc<dyn VfsFile>,
    pub(crate) path: PathBuf,
    pub(crate) sequence: u64,
    /// Where the next frame goes.
    pub(crate) offset: u64,
    zeroed: u64,
    /// Up to where the system was asked to write, or the file is durable.
    pushed: u64,
    /// Up to where the file has space.
    reserved: u64,
    bytes: u64,
}

impl Segment {
    /// Bytes left for frames.
    pub(crate) fn room(&self) -> u64 {
        self.bytes.saturating_sub(self.offset)
    }

    /// Writes encoded frames at the end.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let length = bytes.len() as u64;
        let end = self.offset + length;
        if end > self.zeroed {
            let ahead = if length < LARGE_WRITE {
                (self.offset * 4).clamp(*ZERO_AHEAD.start(), *ZERO_AHEAD.end())
            } else {
                0
            };
            let until = (end + ahead).min(self.bytes).max(end);
            self.reserve(until)?;
            let from = self.zeroed.max(end);
            if from < until {
                let zeros = vec![0; (until - from) as usize];
                self.file.write_at(&zeros, from).map_err(|error| Error::io(&self.path, error))?;
            }
            self.zeroed = until;
        }
        self.file.write_at(bytes, self.offset).map_err(|error| Error::io(&self.path, error))?;
        self.offset = end;
        if self.offset - self.pushed >= PUSHED_BYTES {
            self.file.begin_writeback(self.pushed, self.offset - self.pushed);
            self.pushed = self.offset;
        }
        Ok(())
    }

    fn reserve(&mut self, until: u64) -> Result<()> {
        if until > self.reserved {
            self.reserved = (until * 4).min(self.bytes).max(until);
            self.file.preallocate(self.reserved).map_err(|error| Error::io(&self.path, error))?;
        }
        Ok(())
    }

    pub(crate) fn sync(&mut self) -> Result<()> {
        self.file.sync_data().map_err(|error| Error::io(&self.path, error))?;
        self.pushed = self.offset;
        Ok(())
    }
}

struct LiveSegment {
    sequence: u64,
    base: u64,
    frames: Frames,
    /// Whether its file has another name, or may have: then it is not written again.
    shared: bool,
}

/// The segment files of a log's directory.
pub(crate) struct Segments {
    vfs: Arc<dyn Vfs>,
    directory: PathBuf,
    segment_bytes: u64,
    live: VecDeque<LiveSegment>,
    /// Numbers of segments whose files can be used again; the files keep the number in their names,
    /// so that it is not given again while their frames exist.
    spares: Vec<u64>,
}

pub(crate) fn file_name(sequence: u64) -> String {
    format!("{sequence:016x}.wal")
}

fn spare_name(sequence: u64) -> String {
    format!("{sequence:016x}.spare")
}

fn number_before(name: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_suffix(suffix)?;
    if digits.len() == 16 { u64::from_str_radix(digits, 16).ok() } else { None }
}

/// The number in a live segment's name.
pub(crate) fn sequence_of(name: &str) -> Option<u64> {
    number_before(name, ".wal")
}

/// The number in a spare file's name.
pub(crate) fn spare_sequence_of(name: &str) -> Option<u64> {
    number_before(name, ".spare")
}

impl Segments {
    pub(crate) fn new(vfs: Arc<dyn Vfs>, directory: PathBuf, segment_bytes: u64) -> Self {
        Self { vfs, directory, segment_bytes, live: VecDeque::new(), spares: Vec::new() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn io<T>(&self, result: std::io::Result<T>, name: &str) -> Result<T> {
        result.map_err(|error| Error::io(&self.path(name), error))
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Takes over a live segment found at start.
    pub(crate) fn adopt(&mut self, sequence: u64, base: u64) {
        let frames = Frames::default();
        self.live.push_back(LiveSegment { sequence, base, frames, shared: true });
    }

    /// Takes over a spare file found at start.
    pub(crate) fn adopt_spare(&mut self, sequence: u64) {
        self.spares.push(sequence);
    }

    /// Makes the next segment, from a spare file if there is one, and leaves it durable and empty,
    /// with space for so many bytes at first.
    pub(crate) fn create(&mut self, sequence: u64, base: u64, reserved: u64) -> Result<Segment> {
        let name = file_name(sequence);
        let path = self.path(&name);
        let spare = self.spares.pop();
        let file = if let Some(spare) = spare {
            let spare = spare_name(spare);
            self.io(self.vfs.rename(&self.path(&spare), &path), &spare)?;
            self.io(self.vfs.open_write(&path), &name)?
        } else {
            self.io(self.vfs.create(&path), &name)?
        };
        let written = self.io(file.len(), &name)?;
        let previous = self.live.back().map_or(0, |last| last.sequence);
        self.io(file.write_at(&SegmentHeader { sequence, previous, base }.encode(), 0), &name)?;
        let reserved = reserved.min(self.segment_bytes);
        self.io(file.preallocate(reserved), &name)?;
        self.io(file.sync_all(), &name)?;
        self.io(self.vfs.sync_dir(&self.directory), "")?;
        self.live.push_back(LiveSegment { sequence, base, frames: Frames::default(), shared: false });
        Ok(Segment {
            file,
            path,
            sequence,
            offset: SEGMENT_HEADER as u64,
            zeroed: written.max(SEGMENT_HEADER as u64),
            pushed: SEGMENT_HEADER as u64,
            reserved: reserved.max(written),
            bytes: self.segment_bytes,
        })
    }

    /// Turns the oldest segments that end at or before `lsn` into spares.
    pub(crate) fn release_before(&mut self, lsn: Lsn) -> Result<()> {
        while self.live.get(1).is_some_and(|next| next.base <= lsn.0) {
            let Some(oldest) = self.live.pop_front() else { break };
            if oldest.shared {
                self.remove(oldest.sequence)?;
            } else {
                self.retire(oldest.sequence)?;
            }
        }
        Ok(())
    }

    /// Makes a segment that holds nothing live a spare, or removes it; durable on return.
    pub(crate) fn retire(&mut self, sequence: u64) -> Result<()> {
        if self.spares.len() >= SPARES_MAX {
            return self.remove(sequence);
        }
        let name = file_name(sequence);
        self.io(self.vfs.rename(&self.path(&name), &self.path(&spare_name(sequence))), &name)?;
        self.spares.push(sequence);
        self.io(self.vfs.sync_dir(&self.directory), "")
    }

    fn remove(&mut self, sequence: u64) -> Result<()> {
        let name = file_name(sequence);
        self.io(self.vfs.remove_file(&self.path(&name)), &name)?;
        self.io(self.vfs.sync_dir(&self.directory), "")
    }

    /// Notes a frame of the newest segment, for [`Segments::place`].
    pub(crate) fn note_frame(&mut self, position: u64, offset: u64, body: usize) {
        if let Some(newest) = self.live.back_mut() {
            newest.frames.note(position, offset, body);
        }
    }

    /// Where bytes of the stream lie; `None` if they are not together in one live segment that was written since
    /// the start.
    pub(crate) fn place(&self, at: Lsn, bytes: u64) -> Option<Place> {
        let index = self.live.partition_point(|segment| segment.base <= at.0).checked_sub(1)?;
        let segment = self.live.get(index)?;
        segment.frames.place(segment.sequence, at, bytes)
    }

    /// Gives the file of a live segment one more name.
    pub(crate) fn share(&mut self, sequence: u64, name: &Path) -> Result<()> {
        let path = self.path(&file_name(sequence));
        let gone =
            || std::io::Error::new(std::io::ErrorKind::NotFound, "this log segment is not kept any more");
        let known = self.live.iter_mut().find(|segment| segment.sequence == sequence);
        let segment = known.ok_or_else(|| Error::io(&path, gone()))?;
        // Also after a failure it may have the name.
        segment.shared = true;
        self.vfs.link(&path, name).map_err(|error| Error::io(name, error))
    }

    /// The number of the oldest live segment.
    pub(crate) fn oldest(&self) -> u64 {
        self.live.front().map_or(0, |oldest| oldest.sequence)
    }

    /// Where the oldest segment begins.
    pub(crate) fn begin(&self) -> Lsn {
        Lsn(self.live.front().map_or(0, |oldest| oldest.base))
    }

    /// Bytes of all live segments.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.live.len() as u64 * self.segment_bytes
    }

    /// Where the oldest segment ends, unless it is the only one.
    pub(crate) fn oldest_end(&self) -> Option<Lsn> {
        self.live.get(1).map(|next| Lsn(next.base))
    }
}
