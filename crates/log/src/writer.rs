//! Writing frames: the one place that changes segment files while the log runs.

use luma_sync::Mutex;

use crate::frame::{FRAME_BODY_USUAL, FRAME_HEADER, Frame, frame_length};
use crate::place::NOTED_BODY_MIN;
use crate::segment::{Segment, Segments};
use crate::{Lsn, Result};

/// The end of the log on disk. Only one thread has it at a time.
pub(crate) struct Writer {
    segment: Segment,
    /// Stream position of the next frame.
    position: u64,
    /// How far everything is synced.
    synced: u64,
    /// Where the record ends of which the stream's end is part.
    next_record: u64,
    next_sequence: u64,
    scratch: Vec<u8>,
}

impl Writer {
    pub(crate) fn new(segment: Segment, position: u64) -> Self {
        let next_sequence = segment.sequence + 1;
        Self {
            segment,
            position,
            synced: position,
            next_record: position,
            next_sequence,
            scratch: Vec::new(),
        }
    }

    /// Writes a slice of the stream that begins where the last one ended; not durable yet.
    pub(crate) fn write(&mut self, mut bytes: &[u8], segments: &Mutex<Segments>) -> Result<()> {
        // All record starts in this slice, for the frames to name the first in each.
        let mut record = (self.next_record - self.position) as usize;
        let mut done = 0;
        let total = bytes.len();
        let all = bytes;
        while !bytes.is_empty() {
            if self.segment.room() < frame_length(1) as u64 {
                self.rotate(segments)?;
            }
            let room = (self.segment.room() as usize / 8 * 8).saturating_sub(FRAME_HEADER);
            let (body, rest) = bytes.split_at(bytes.len().min(room).min(FRAME_BODY_USUAL));
            let end = done + body.len();
            let first_record = (record < end).then(|| (record - done) as u32);
            while record < end {
                record = next_record(all, record);
            }
            if done > 0 || body.len() >= NOTED_BODY_MIN {
                segments.lock().note_frame(self.position, self.segment.offset, body.len());
            }
            self.write_frame(body, first_record)?;
            done = end;
            bytes = rest;
        }
        self.next_record = self.position - total as u64 + record as u64;
        Ok(())
    }

    fn write_frame(&mut self, body: &[u8], first_record: Option<u32>) -> Result<()> {
        let frame = Frame { position: self.position, synced: self.synced, first_record, body };
        self.scratch.clear();
        frame.encode(self.segment.sequence, &mut self.scratch);
        self.segment.write(&self.scratch)?;
        self.position += body.len() as u64;
        Ok(())
    }

    fn rotate(&mut self, segments: &Mutex<Segments>) -> Result<()> {
        self.segment.sync()?;
        self.synced = self.position;
        self.segment = segments.lock().create(self.next_sequence, self.position, u64::MAX)?;
        self.next_sequence += 1;
        Ok(())
    }

    /// Makes everything written durable.
    pub(crate) fn sync(&mut self) -> Result<Lsn> {
        if self.synced < self.position {
            self.segment.sync()?;
            self.synced = self.position;
        }
        Ok(Lsn(self.synced))
    }

    pub(crate) fn position(&self) -> Lsn {
        Lsn(self.position)
    }

    /// Writes an empty frame that says how far the log is durable, so that later damage to the last
    /// frame is told apart from a torn tail.
    pub(crate) fn seal(&mut self) -> Result<()> {
        if self.segment.room() >= frame_length(0) as u64 {
            self.write_frame(&[], None)?;
            self.segment.sync()?;
        }
        Ok(())
    }
}

/// Where the record after the one at `at` begins; the length field may lie beyond the slice.
fn next_record(stream: &[u8], at: usize) -> usize {
    let length = stream.get(at..at + 4).and_then(|field| field.try_into().ok()).map(u32::from_le_bytes);
    at + 4 + length.unwrap_or_default() as usize
}
