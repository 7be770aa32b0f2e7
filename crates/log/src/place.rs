//! Where bytes of the stream lie in the files of segments, for those who want to read them there.
//!
//! A run of the stream is cut by the headers of the frames it goes on in. Who keeps a [`Place`] can read the bytes
//! again from the segment's file alone, also when that has another name by then. Nothing here is checked but the
//! headers' shape: a frame's checksum would need the whole frame, so the bytes want one of their own.

use crate::Lsn;
use crate::frame::{FRAME_HEADER, FRAME_MAGIC, frame_length};

/// A frame shorter than this is not noted, unless it goes on with what a longer one began.
pub(crate) const NOTED_BODY_MIN: usize = 4096;

/// Where a run of stream bytes lies in the file of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The segment's number.
    pub segment: u64,
    /// Where in its file the first byte is.
    pub offset: u64,
    /// Bytes of the file up to the last one, with the headers of frames between.
    pub length: u64,
    /// How many of them come before the first such header.
    pub first: u64,
}

/// A frame in a segment's file.
#[derive(Clone, Copy)]
struct Noted {
    position: u64,
    offset: u64,
    body: u64,
}

/// The longer frames of a segment, in order.
#[derive(Default)]
pub(crate) struct Frames(Vec<Noted>);

impl Frames {
    /// Notes a frame at an offset of the file, whose body has the stream from `position` on.
    pub(crate) fn note(&mut self, position: u64, offset: u64, body: usize) {
        self.0.push(Noted { position, offset, body: body as u64 });
    }

    /// Where so many bytes of the stream lie; `None` if not all of them are in noted frames.
    pub(crate) fn place(&self, segment: u64, at: Lsn, bytes: u64) -> Option<Place> {
        let from = self.0.partition_point(|frame| frame.position <= at.0).checked_sub(1)?;
        let start = self.0.get(from)?;
        let in_start = at.0 - start.position;
        let offset = start.offset + FRAME_HEADER as u64 + in_start;
        let first = start.body.checked_sub(in_start).filter(|left| *left > 0)?.min(bytes);
        let mut next = start.position + start.body;
        for frame in self.0.get(from..)? {
            if frame.position != start.position && frame.position != next {
                return None;
            }
            next = frame.position + frame.body;
            if next >= at.0 + bytes {
                let end = frame.offset + FRAME_HEADER as u64 + (at.0 + bytes - frame.position);
                return Some(Place { segment, offset, length: end - offset, first });
            }
        }
        None
    }
}

/// Takes the headers of frames out of the bytes of a [`Place`], the first of which has `first` bytes before it.
/// `None` if there are no headers where they should be.
pub fn without_headers(mut bytes: Vec<u8>, first: u64) -> Option<Vec<u8>> {
    let mut written = usize::try_from(first).ok().filter(|first| *first <= bytes.len())?;
    let mut at = written;
    while at < bytes.len() {
        // Frames begin at multiples of eight, and only the last one of a run could end elsewhere.
        let header = bytes.get(at..at + FRAME_HEADER)?;
        if header[..4] != FRAME_MAGIC.to_le_bytes() {
            return None;
        }
        let body = u32::from_le_bytes(header[4..8].try_into().ok()?) as usize;
        let from = at + FRAME_HEADER;
        let until = (from + body).min(bytes.len());
        bytes.copy_within(from..until, written);
        written += until - from;
        at += frame_length(body);
    }
    bytes.truncate(written);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Flusher, Log, LogOptions};
    use luma_vfs::{SimDisk, Vfs};
    use proptest::prelude::*;
    use std::path::Path;
    use std::sync::Arc;

    proptest! {
        #[test]
        fn bytes_are_found_in_the_files_wherever_frames_cut_them(
            records in proptest::collection::vec((1usize..700_000, any::<bool>()), 1..12),
            segment_bytes in 300_000u64..2_000_000,
        ) {
            let disk = SimDisk::new();
            let options = LogOptions { segment_bytes, flusher: Flusher::Inline, ..LogOptions::default() };
            let log = Log::open(Arc::new(disk.clone()), Path::new("/log"), options, &mut |_, _| Ok(())).unwrap();
            let mut found = 0;
            for (number, (length, wait)) in records.iter().enumerate() {
                let bytes: Vec<u8> = (0..*length).map(|at| (at * 31 + number * 7) as u8).collect();
                let end = log.append(&[&bytes]).unwrap();
                if *wait {
                    log.wait_durable(end).unwrap();
                }
                let at = Lsn(end.0 - *length as u64);
                log.wait_durable(log.end()).unwrap();
                let Some(place) = log.place(at, *length as u64) else { continue };
                found += 1;
                let name = format!("/log/{number}.copy");
                log.share(place.segment, Path::new(&name)).unwrap();
                let file = disk.open(Path::new(&name)).unwrap();
                let mut raw = vec![0; place.length as usize];
                file.read_at(&mut raw, place.offset).unwrap();
                prop_assert!(without_headers(raw.clone(), place.first).unwrap() == bytes);
                if place.first < *length as u64 {
                    raw[place.first as usize] ^= 1;
                    prop_assert_eq!(without_headers(raw, place.first), None);
                }
            }
            let whole = |length: usize| (length as u64) < segment_bytes / 4 && length >= NOTED_BODY_MIN;
            let many = records.iter().filter(|(length, _)| whole(*length)).count();
            // At most each segment's end cuts one.
            prop_assert!(found + (log.end().0 / (segment_bytes - 1024)) as usize + 1 >= many);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, first in 0u64..300) {
            let _ = without_headers(bytes, first);
        }
    }

    #[test]
    fn a_segment_with_another_name_is_not_written_again() {
        let disk = SimDisk::new();
        let options =
            LogOptions { segment_bytes: 64 << 10, flusher: Flusher::Inline, ..LogOptions::default() };
        let open = |options| {
            Log::open(Arc::new(disk.clone()), Path::new("/log"), options, &mut |_, _| Ok(())).unwrap()
        };
        let log = open(options.clone());
        let value = vec![7; 20_000];
        let end = log.append(&[&value]).unwrap();
        log.wait_durable(end).unwrap();
        let place = log.place(Lsn(end.0 - 20_000), 20_000).unwrap();
        log.share(place.segment, Path::new("/log/shared")).unwrap();
        // Started again, it does not know that.
        drop(log);
        let log = open(options);
        for _ in 0..20 {
            let end = log.append(&[&vec![1; 30_000]]).unwrap();
            log.wait_durable(end).unwrap();
            log.truncate_before(end).unwrap();
        }
        let mut raw = vec![0; place.length as usize];
        disk.open(Path::new("/log/shared")).unwrap().read_at(&mut raw, place.offset).unwrap();
        assert!(without_headers(raw, place.first).unwrap() == value);
    }
}
