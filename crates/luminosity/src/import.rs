//! Entries from files.
//!
//! What can't be taken is reported with its line and reason, and the rest goes in. A run that is cut off
//! leaves what it had committed; running it again changes nothing twice.
//!
//! Lines are parsed and checked by threads and applied in their order by one. Memory: a few chunks of
//! [`CHUNK_BYTES`], whatever the size of the file.

mod csv_rows;
pub(crate) mod json;

use std::collections::VecDeque;
use std::io::{BufRead, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use lightning::Durability;
use parking_lot::Mutex;

use crate::engine::{Change, Engine, Rejected, Summary};
use crate::error::{Error, Result};
use crate::record::Scratch;
use crate::site::Site;

/// The form of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object per line: an entry, or an operation of `sitemap.ops.jsonl`.
    Jsonl,
    /// A JSON array of entries, as in `sitemap.snapshot.json`.
    Json,
    /// Comma-separated, with a line of names.
    Csv,
    /// A sitemap.
    Xml,
    /// One URL per line.
    Text,
}

impl Format {
    /// The form a file name suggests.
    pub fn of_name(name: &str) -> Option<Self> {
        let name = name.strip_suffix(".gz").unwrap_or(name).to_ascii_lowercase();
        Some(match name.rsplit_once('.')?.1 {
            "jsonl" | "ndjson" => Self::Jsonl,
            "json" => Self::Json,
            "csv" => Self::Csv,
            "xml" => Self::Xml,
            "txt" => Self::Text,
            _ => return None,
        })
    }
}

/// How far an import is.
#[derive(Clone, Copy, Debug, Default)]
pub struct ImportProgress {
    /// Bytes read.
    pub bytes: u64,
    /// Lines read, or entries of files that have no lines.
    pub lines: u64,
}

/// Bytes parsed at once.
const CHUNK_BYTES: usize = 128 << 10;
/// Longest line that is read; longer ones are rejected without being kept.
const LINE_BYTES_MAX: usize = 16 << 20;

/// Lines that belong together.
pub(crate) struct Chunk {
    bytes: Vec<u8>,
    first_line: u64,
    rejects: Vec<Rejected>,
}

/// What became of a chunk.
#[derive(Default)]
pub(crate) struct Parsed {
    changes: Vec<Change>,
    rejects: Vec<Rejected>,
}

impl Parsed {
    pub(crate) fn reject(&mut self, at: u64, reason: impl ToString) {
        self.rejects.push(Rejected { at, reason: reason.to_string() });
    }
}

/// Parses one line; `None` means it is empty.
type ParseLine = fn(&Site, &[u8], &mut Scratch) -> Result<Option<Change>, String>;

impl Engine {
    /// Reads entries and applies them; durable on return. `rejected` hears of each that is not taken.
    ///
    /// # Errors
    /// What the input or the store says. What was applied before stays.
    pub fn import(
        &self,
        input: &mut (dyn Read + Send),
        format: Format,
        rejected: &mut dyn FnMut(&Rejected),
        progress: &mut dyn FnMut(ImportProgress),
    ) -> Result<Summary> {
        let mut sink =
            Sink { engine: self, summary: Summary::default(), rejected, pending: Vec::new(), unsynced: 0 };
        match format {
            Format::Jsonl => import_lines(self, input, json::line, &mut sink, progress)?,
            Format::Text => import_lines(self, input, text_line, &mut sink, progress)?,
            Format::Json => json::array(self.site(), input, &mut sink, progress)?,
            Format::Csv => csv_rows::rows(self.site(), input, &mut sink, progress)?,
            Format::Xml => crate::reader::import(self.site(), input, &mut sink, progress)?,
        }
        sink.finish()
    }
}

fn text_line(site: &Site, line: &[u8], scratch: &mut Scratch) -> Result<Option<Change>, String> {
    let line = std::str::from_utf8(line).map_err(|_| "the line is not UTF-8".to_owned())?.trim();
    if line.is_empty() {
        return Ok(None);
    }
    let prepared = crate::record::Prepared::new(site, crate::entry::Entry::new(line), scratch);
    prepared.map(|prepared| Some(Change::Add(prepared))).map_err(|reason| reason.to_string())
}

/// Where parsed changes go.
pub(crate) struct Sink<'a> {
    engine: &'a Engine,
    summary: Summary,
    rejected: &'a mut dyn FnMut(&Rejected),
    pending: Vec<Change>,
    /// Changes since the log was waited for.
    unsynced: usize,
}

/// Changes applied at once.
const PENDING_MAX: usize = 4096;
/// After so many changes the log is waited for, so that what waits in memory to be written has a bound.
const UNSYNCED_MAX: usize = 6 << 10;

impl Sink<'_> {
    pub(crate) fn reject(&mut self, at: u64, reason: String) {
        let reject = Rejected { at, reason };
        (self.rejected)(&reject);
        self.summary.reject(reject.at, reject.reason);
    }

    pub(crate) fn push(&mut self, at: u64, change: Result<Option<Change>, String>) -> Result<()> {
        match change {
            Ok(None) => {}
            Ok(Some(change)) => self.pending.push(change),
            Err(reason) => self.reject(at, reason),
        }
        if self.pending.len() >= PENDING_MAX { self.apply(Durability::Buffered) } else { Ok(()) }
    }

    fn take(&mut self, parsed: Parsed) -> Result<()> {
        for reject in parsed.rejects {
            self.reject(reject.at, reject.reason);
        }
        self.pending.extend(parsed.changes);
        if self.pending.len() >= PENDING_MAX { self.apply(Durability::Buffered) } else { Ok(()) }
    }

    fn apply(&mut self, durability: Durability) -> Result<()> {
        self.unsynced += self.pending.len();
        let full = self.unsynced >= UNSYNCED_MAX;
        let durability = if full { Durability::Sync } else { durability };
        self.engine.apply_counted(&self.pending, durability, &mut self.summary)?;
        self.unsynced = if durability == Durability::Sync { 0 } else { self.unsynced };
        self.pending.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<Summary> {
        self.apply(Durability::Sync)?;
        Ok(self.summary)
    }
}

type Job = (Chunk, SyncSender<Parsed>);

fn import_lines(
    engine: &Engine,
    input: &mut (dyn Read + Send),
    parse_line: ParseLine,
    sink: &mut Sink<'_>,
    progress: &mut dyn FnMut(ImportProgress),
) -> Result<()> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).clamp(1, 8);
    let site = engine.site();
    std::thread::scope(|scope| {
        let (jobs, queue) = sync_channel::<Job>(1);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..threads {
            let queue = Arc::clone(&queue);
            scope.spawn(move || work(site, &queue, parse_line));
        }
        drop(queue);
        let mut lines = Lines::new(input);
        let mut waiting: VecDeque<(Receiver<Parsed>, ImportProgress)> = VecDeque::new();
        loop {
            let chunk = lines.next_chunk().map_err(|error| Error::io("the input".as_ref(), error))?;
            let ended = chunk.is_none();
            if let Some(chunk) = chunk {
                let (done, result) = sync_channel(1);
                jobs.send((chunk, done)).map_err(|_| Error::Closed)?;
                waiting.push_back((result, ImportProgress { bytes: lines.bytes, lines: lines.line }));
            }
            while waiting.len() > if ended { 0 } else { threads } {
                let Some((result, reached)) = waiting.pop_front() else { break };
                sink.take(result.recv().map_err(|_| Error::Closed)?)?;
                progress(reached);
            }
            if ended {
                return Ok(());
            }
        }
    })
}

fn work(site: &Site, queue: &Mutex<Receiver<Job>>, parse_line: ParseLine) {
    let mut scratch = Scratch::for_many();
    loop {
        let job = queue.lock().recv();
        let Ok((chunk, done)) = job else { return };
        let mut parsed =
            Parsed { changes: Vec::with_capacity(chunk.bytes.len() / 64), rejects: chunk.rejects };
        let mut number = chunk.first_line;
        let mut rest = chunk.bytes.as_slice();
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            match parse_line(site, &rest[..end], &mut scratch) {
                Ok(None) => {}
                Ok(Some(change)) => parsed.changes.push(change),
                Err(reason) => parsed.reject(number, reason),
            }
            rest = rest.get(end + 1..).unwrap_or_default();
            number += 1;
        }
        // Nobody listens when the import failed meanwhile.
        let _ = done.send(parsed);
    }
}

/// Cuts an input into chunks of whole lines.
struct Lines<'a> {
    input: &'a mut (dyn Read + Send),
    /// The start of a line whose end was not read yet.
    begun: Vec<u8>,
    line: u64,
    bytes: u64,
    ended: bool,
}

impl<'a> Lines<'a> {
    fn new(input: &'a mut (dyn Read + Send)) -> Self {
        Self { input, begun: Vec::new(), line: 0, bytes: 0, ended: false }
    }

    fn next_chunk(&mut self) -> std::io::Result<Option<Chunk>> {
        if self.ended {
            return Ok(None);
        }
        let mut bytes = std::mem::take(&mut self.begun);
        let mut rejects = Vec::new();
        let first_line = self.line + 1;
        let mut searched = 0;
        loop {
            let read = (&mut *self.input).take(CHUNK_BYTES as u64).read_to_end(&mut bytes)?;
            self.bytes += read as u64;
            if read == 0 {
                self.ended = true;
                break;
            }
            if let Some(end) = memchr::memrchr(b'\n', &bytes[searched..]) {
                self.begun = bytes.split_off(searched + end + 1);
                break;
            }
            searched = bytes.len();
            if bytes.len() > LINE_BYTES_MAX {
                rejects.push(Rejected {
                    at: first_line,
                    reason: format!("the line is longer than {LINE_BYTES_MAX} bytes"),
                });
                bytes.clear();
                self.skip_line(&mut bytes)?;
                break;
            }
        }
        let lines = memchr::memchr_iter(b'\n', &bytes).count();
        let unfinished = bytes.last().is_some_and(|last| *last != b'\n');
        self.line += (lines + usize::from(unfinished)) as u64;
        Ok(Some(Chunk { bytes, first_line, rejects }))
    }

    /// Reads to the end of a line that is too long, and leaves an empty one in its place.
    fn skip_line(&mut self, bytes: &mut Vec<u8>) -> std::io::Result<()> {
        loop {
            let mut next = Vec::new();
            let read = (&mut *self.input).take(CHUNK_BYTES as u64).read_to_end(&mut next)?;
            self.bytes += read as u64;
            if read == 0 {
                self.ended = true;
                bytes.push(b'\n');
                return Ok(());
            }
            if let Some(end) = memchr::memchr(b'\n', &next) {
                self.begun = next.split_off(end + 1);
                bytes.push(b'\n');
                return Ok(());
            }
        }
    }
}

/// Inflates an input that begins like gzip.
pub fn maybe_gzip(mut input: impl BufRead + Send + 'static) -> std::io::Result<Box<dyn Read + Send>> {
    let start = input.fill_buf()?;
    if start.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(flate2::bufread::MultiGzDecoder::new(input)));
    }
    Ok(Box::new(input))
}
