//! Reading a log back.
//!
//! A frame that does not check ends the stream. It is a torn tail when it is in the last segment and
//! no later frame proves that this place was durable once; otherwise it is damage. A segment that
//! has a successor must reach exactly to where the successor begins.
//!
//! A log never goes on inside an old segment: after recovery the next segment begins where the last
//! whole record ended, so what a torn tail left behind can't be taken for new frames.
//!
//! Cost: each segment is read once, into a buffer that whoever takes the records may keep, so records
//! are not copied unless a frame ends inside them. Where threads are allowed, some read and check
//! segments, each at most two ahead, while another takes their records in order.

use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use luma_vfs::Vfs;

use crate::frame::{FORMAT_VERSION, FRAME_MAGIC};
use crate::frame::{
    FRAME_ALIGN, FRAME_HEADER, Frame, HeaderError, SEGMENT_HEADER, SegmentHeader, frame_length,
};
use crate::segment::{Segments, file_name, sequence_of, spare_sequence_of};
use crate::{Error, Lsn, Result};

/// Threads that read segments, if there are so many processors.
const READERS_MAX: usize = 4;

/// A record that was read back. It lies in a buffer with its neighbours, which may be kept.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    buffer: &'a Arc<Vec<u8>>,
    start: usize,
    end: usize,
}

impl<'a> Record<'a> {
    /// The buffer the record lies in.
    pub fn buffer(&self) -> &'a Arc<Vec<u8>> {
        self.buffer
    }

    /// Where in the buffer it lies.
    pub fn range(&self) -> Range<usize> {
        self.start..self.end
    }
}

impl Deref for Record<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }
}

/// What is called with each record and the place where it ends.
pub(crate) type Deliver<'a> = dyn FnMut(Lsn, Record<'_>) -> Result<()> + 'a;

/// Where a log goes on.
pub(crate) struct Recovered {
    pub(crate) next_sequence: u64,
    pub(crate) end: u64,
}

/// Puts records together from stream slices.
struct Assembler<'a> {
    /// Start of an unfinished record: its length field and what is there of its bytes.
    partial: Vec<u8>,
    /// Nothing was fed yet that began a record.
    waiting_for_record: bool,
    position: u64,
    /// Where the last whole record ended.
    end: u64,
    deliver: &'a mut Deliver<'a>,
}

impl Assembler<'_> {
    /// Takes the next bytes of the stream, which lie in `buffer`.
    fn feed(&mut self, buffer: &Arc<Vec<u8>>, range: Range<usize>, first_record: Option<u32>) -> Result<()> {
        let mut bytes = buffer.get(range.clone()).unwrap_or_default();
        if self.waiting_for_record {
            // The log begins in the middle of a record whose start was released.
            let Some(rest) = first_record.and_then(|offset| bytes.get(offset as usize..)) else {
                self.position += bytes.len() as u64;
                self.end = self.position;
                return Ok(());
            };
            self.position += (bytes.len() - rest.len()) as u64;
            self.end = self.position;
            bytes = rest;
            self.waiting_for_record = false;
        }
        self.position += bytes.len() as u64;
        if !self.partial.is_empty() {
            bytes = self.complete_partial(bytes)?;
        }
        if !self.partial.is_empty() {
            return Ok(());
        }
        while let Some(length) = record_length(bytes) {
            let Some(rest) = bytes.get(4 + length..) else { break };
            bytes = rest;
            self.end = self.position - bytes.len() as u64;
            let end = range.end - bytes.len();
            (self.deliver)(Lsn(self.end), Record { buffer, start: end - length, end })?;
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }

    fn complete_partial<'b>(&mut self, mut bytes: &'b [u8]) -> Result<&'b [u8]> {
        let missing = 4usize.saturating_sub(self.partial.len()).min(bytes.len());
        self.partial.extend_from_slice(&bytes[..missing]);
        bytes = &bytes[missing..];
        let Some(length) = record_length(&self.partial) else { return Ok(bytes) };
        let missing = (4 + length - self.partial.len()).min(bytes.len());
        self.partial.extend_from_slice(&bytes[..missing]);
        bytes = &bytes[missing..];
        if self.partial.len() == 4 + length {
            self.end = self.position - bytes.len() as u64;
            let record = Arc::new(std::mem::take(&mut self.partial));
            (self.deliver)(Lsn(self.end), Record { buffer: &record, start: 4, end: 4 + length })?;
        }
        Ok(bytes)
    }
}

fn record_length(bytes: &[u8]) -> Option<usize> {
    Some(u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?) as usize)
}

#[derive(Clone, Copy)]
struct Found {
    sequence: u64,
    header: SegmentHeader,
}

/// Reads every segment in order, delivers every whole record, and says where to go on.
pub(crate) fn recover(
    vfs: &Arc<dyn Vfs>,
    segments: &mut Segments,
    threads: bool,
    deliver: &mut Deliver<'_>,
) -> Result<Recovered> {
    let directory = segments.directory().to_owned();
    let names = vfs.read_dir(&directory).map_err(|error| Error::io(&directory, error))?;
    let mut sequences: Vec<u64> = names.iter().filter_map(|name| sequence_of(name)).collect();
    sequences.sort_unstable();
    let mut newest = sequences.last().copied().unwrap_or_default();
    for sequence in names.iter().filter_map(|name| spare_sequence_of(name)) {
        segments.adopt_spare(sequence);
        newest = newest.max(sequence);
    }
    let mut found: Vec<Found> = Vec::with_capacity(sequences.len());
    for (index, sequence) in sequences.iter().enumerate() {
        let last = index + 1 == sequences.len();
        let Some(header) = read_header(vfs.as_ref(), &directory, *sequence, last)? else {
            segments.retire(*sequence)?;
            continue;
        };
        if let Some(before) = found.last()
            && before.sequence != header.previous
        {
            let path = directory.join(file_name(header.previous));
            return Err(Error::corruption(&path, 0, "this log segment is missing"));
        }
        found.push(Found { sequence: *sequence, header });
    }
    let base = found.first().map_or(0, |first| first.header.base);
    let mut assembler =
        Assembler { partial: Vec::new(), waiting_for_record: base > 0, position: base, end: base, deliver };
    let mut tail = None;
    read_all(vfs, &directory, &found, threads, &mut |segment| {
        if segment.last {
            tail = Some((Arc::clone(&segment.content), segment.end));
        }
        replay(&segment, &mut assembler)
    })?;
    if let Some(last) = found.last() {
        // What was read may be in the page cache only; the next segment vouches for it. A sync alone would
        // not do after one that failed: it takes for written what is not.
        let path = directory.join(file_name(last.sequence));
        let written = vfs.open_write(&path).and_then(|file| {
            if let Some((content, end)) = &tail {
                file.write_at(content.get(..*end).unwrap_or_default(), 0)?;
                // Nothing more is written to it, so what was reserved is given back.
                file.set_len(*end as u64)?;
            }
            file.sync_data()
        });
        written.map_err(|error| Error::io(&path, error))?;
    }
    // So may be the names: the next segment names its predecessor, which has to be there after a crash.
    vfs.sync_dir(&directory).map_err(|error| Error::io(&directory, error))?;
    let end = assembler.end;
    // A torn record may have begun segments ago; those that hold only its later parts go, newest first.
    while found.len() > 1 && found.last().is_some_and(|last| last.header.base > end) {
        if let Some(last) = found.pop() {
            segments.retire(last.sequence)?;
        }
    }
    for segment in &found {
        segments.adopt(segment.sequence, segment.header.base);
    }
    Ok(Recovered { next_sequence: newest + 1, end })
}

fn read_file(vfs: &dyn Vfs, path: &Path) -> Result<Vec<u8>> {
    vfs.open(path).and_then(|file| file.read_all()).map_err(|error| Error::io(path, error))
}

/// The header of a segment; `None` when it is the last one and its making was cut off.
fn read_header(vfs: &dyn Vfs, directory: &Path, sequence: u64, last: bool) -> Result<Option<SegmentHeader>> {
    let path = directory.join(file_name(sequence));
    let io = |error| Error::io(&path, error);
    let file = vfs.open(&path).map_err(io)?;
    let mut bytes = [0; SEGMENT_HEADER];
    let length = file.len().map_err(io)?.min(SEGMENT_HEADER as u64) as usize;
    file.read_at(&mut bytes[..length], 0).map_err(io)?;
    match SegmentHeader::decode(&bytes[..length]) {
        Ok(header) if header.sequence == sequence => Ok(Some(header)),
        Err(HeaderError::Version(version)) => {
            Err(Error::UnsupportedVersion { file: path, version, supported: FORMAT_VERSION })
        }
        _ => {
            let content = read_file(vfs, &path)?;
            // A frame of this number could only be written once the header was durable.
            let frames = frames_from(sequence, &content, SEGMENT_HEADER).next().is_some();
            if last && !frames {
                return Ok(None);
            }
            Err(Error::corruption(&path, 0, "the header of this log segment does not match its checksum"))
        }
    }
}

/// Every valid frame at or after an offset, wherever it lies.
fn frames_from(sequence: u64, content: &[u8], from: usize) -> impl Iterator<Item = Frame<'_>> {
    (from..content.len().saturating_sub(FRAME_HEADER - 1)).step_by(FRAME_ALIGN).filter_map(move |at| {
        let bytes = &content[at..];
        if bytes[..4] != FRAME_MAGIC.to_le_bytes() {
            return None;
        }
        Frame::decode(sequence, bytes)
    })
}

/// A segment as it was read: its chain of valid frames.
struct Checked {
    content: Arc<Vec<u8>>,
    /// Where the body of each frame lies, and where in it the first record begins.
    bodies: Vec<(Range<usize>, Option<u32>)>,
    /// Where the last of them ends.
    end: usize,
    /// Whether no other segment follows.
    last: bool,
}

/// Reads the segments in order and hands each to `take`.
fn read_all(
    vfs: &Arc<dyn Vfs>,
    directory: &Path,
    found: &[Found],
    threads: bool,
    take: &mut dyn FnMut(Checked) -> Result<()>,
) -> Result<()> {
    let read = |index: usize| {
        let segment = found.get(index)?;
        let until = found.get(index + 1).map(|next| next.header.base);
        let path = directory.join(file_name(segment.sequence));
        Some(read_segment(vfs.as_ref(), path, segment, until))
    };
    let useful = if threads { READERS_MAX.min(found.len()) } else { 1 };
    // Asking for processors reads files of the system.
    let readers = if useful < 2 { useful } else { useful.min(luma_sync::available_parallelism()) };
    if readers < 2 {
        return (0..).map_while(read).try_for_each(|segment| take(segment?));
    }
    std::thread::scope(|scope| {
        let receivers: Vec<_> = (0..readers)
            .map(|first| {
                let (sender, receiver) = mpsc::sync_channel(1);
                scope.spawn(move || {
                    for segment in (first..).step_by(readers).map_while(read) {
                        let failed = segment.is_err();
                        // The receiver is gone once a segment or a record was refused.
                        if sender.send(segment).is_err() || failed {
                            return;
                        }
                    }
                });
                receiver
            })
            .collect();
        let mut turns = receivers.iter().cycle();
        std::iter::from_fn(|| turns.next()?.recv().ok()).try_for_each(|segment| take(segment?))
    })
}

fn replay(segment: &Checked, assembler: &mut Assembler<'_>) -> Result<()> {
    let mut bodies = segment.bodies.iter();
    bodies.try_for_each(|(body, first)| assembler.feed(&segment.content, body.clone(), *first))
}

/// Reads a segment and checks its frames, up to where the next segment begins or the log ends.
fn read_segment(vfs: &dyn Vfs, path: PathBuf, segment: &Found, until: Option<u64>) -> Result<Checked> {
    let content = read_file(vfs, &path)?;
    let mut bodies = Vec::new();
    let mut position = segment.header.base;
    let mut offset = SEGMENT_HEADER;
    // What lies beyond the next segment's beginning was torn and never counted.
    while until.is_none_or(|until| position < until) {
        let frame = content.get(offset..).and_then(|bytes| Frame::decode(segment.sequence, bytes));
        let Some(frame) = frame.filter(|frame| frame.position == position) else {
            if until.is_some() {
                return Err(Error::corruption(
                    &path,
                    offset as u64,
                    "a log frame does not match its checksum, and the log goes on in the next segment",
                ));
            }
            let proof = frames_from(segment.sequence, &content, offset)
                .any(|later| later.position >= position && later.synced > position);
            if proof {
                return Err(Error::corruption(
                    &path,
                    offset as u64,
                    "a log frame does not match its checksum, and later frames say it was durable",
                ));
            }
            break;
        };
        let whole = frame.body.len();
        let length = until.map_or(whole, |until| whole.min((until - position) as usize));
        let first_record = frame.first_record.filter(|first| (*first as usize) < length);
        let start = offset + FRAME_HEADER;
        bodies.push((start..start + length, first_record));
        position += length as u64;
        offset += frame_length(whole);
    }
    let end = offset.min(content.len());
    Ok(Checked { content: Arc::new(content), bodies, end, last: until.is_none() })
}
