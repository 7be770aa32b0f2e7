//! Entries and operations as JSON.

use std::io::Read;

use serde::Deserialize;

use super::{ImportProgress, LINE_BYTES_MAX, Sink};
use crate::engine::Change;
use crate::entry::Entry;
use crate::error::{Error, Result};
use crate::record::{Prepared, Scratch};
use crate::site::Site;

/// A line of `sitemap.ops.jsonl`. Its timestamp says nothing that the order of lines does not.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Operation {
    #[serde(alias = "update")]
    Add { entry: Entry },
    #[serde(alias = "delete")]
    Remove {
        #[serde(alias = "loc")]
        url: String,
    },
}

/// Reads one line.
pub(crate) fn line(site: &Site, line: &[u8], scratch: &mut Scratch) -> Result<Option<Change>, String> {
    let line = line.trim_ascii();
    if line.is_empty() {
        return Ok(None);
    }
    let line = std::str::from_utf8(line).map_err(|_| "the line is not UTF-8".to_owned())?;
    let entry = if line.starts_with("{\"op\"") { None } else { Some(serde_json::from_str::<Entry>(line)) };
    let (entry, in_list) = match entry {
        Some(Ok(entry)) => (entry, true),
        other => match serde_json::from_str::<Operation>(line) {
            Ok(Operation::Add { entry }) => (entry, false),
            Ok(Operation::Remove { url }) => {
                let normal = site.page(&url).map_err(|reason| reason.to_string())?;
                return Ok(Some(Change::Remove(site.key(&normal).to_owned())));
            }
            Err(operation_error) => {
                let error = match other {
                    Some(Err(error)) if !line.contains("\"op\"") => error,
                    _ => operation_error,
                };
                return Err(json_reason(&error));
            }
        },
    };
    let prepared = Prepared::new(site, entry, scratch).map_err(|reason| reason.to_string())?;
    Ok(Some(if in_list { Change::List(prepared) } else { Change::Add(prepared) }))
}

/// Why a line is no entry, without its number, which the caller knows better.
pub fn json_reason(error: &serde_json::Error) -> String {
    let reason = error.to_string().replace(" at line 1 column ", " at column ");
    if reason.contains("hex escape") {
        return format!("{reason}: a \\u escape that is cut off, or half of a surrogate pair");
    }
    reason
}

/// Reads an array of entries, one element after the other; a damaged element does not spoil the others.
pub(super) fn array(
    site: &Site,
    input: &mut (dyn Read + Send),
    sink: &mut Sink<'_>,
    progress: &mut dyn FnMut(ImportProgress),
) -> Result<()> {
    let mut elements = Elements::default();
    let mut scratch = Scratch::for_many();
    let mut buffer = vec![0; 64 << 10];
    let mut reached = ImportProgress::default();
    loop {
        let read = input.read(&mut buffer).map_err(|error| Error::io("the input".as_ref(), error))?;
        if read == 0 {
            break;
        }
        reached.bytes += read as u64;
        for byte in &buffer[..read] {
            match elements.next(*byte) {
                Step::More => {}
                Step::Element(at) => {
                    reached.lines += 1;
                    sink.push(at, line(site, &elements.bytes, &mut scratch))?;
                    elements.bytes.clear();
                }
                Step::Bad(at, reason) => sink.reject(at, reason),
            }
        }
        progress(reached);
    }
    if let Some((at, reason)) = elements.end() {
        sink.reject(at, reason);
    }
    Ok(())
}

/// Gives each element of an array that is in memory, with the line it begins at.
pub(crate) fn each_element(bytes: &[u8], mut give: impl FnMut(u64, Result<&[u8], String>)) {
    let mut elements = Elements::default();
    for byte in bytes {
        match elements.next(*byte) {
            Step::More => {}
            Step::Element(at) => {
                give(at, Ok(&elements.bytes));
                elements.bytes.clear();
            }
            Step::Bad(at, reason) => give(at, Err(reason)),
        }
    }
    if let Some((at, reason)) = elements.end() {
        give(at, Err(reason));
    }
}

/// Cuts an array of objects into its elements. Only strings, brackets and braces matter for that.
#[derive(Default)]
struct Elements {
    bytes: Vec<u8>,
    depth: usize,
    in_string: bool,
    escaped: bool,
    opened: bool,
    closed: bool,
    too_long: bool,
    /// Something is here that is no entry.
    lost: bool,
    /// Line of the byte before, and of the element's start.
    newlines: u64,
    begun: u64,
}

enum Step {
    More,
    /// An element that began at this line is in `bytes`.
    Element(u64),
    Bad(u64, String),
}

impl Elements {
    fn next(&mut self, byte: u8) -> Step {
        let line = self.newlines + 1;
        self.newlines += u64::from(byte == b'\n');
        if self.depth == 0 {
            return self.outside(byte, line);
        }
        if self.too_long {
            // Its strings may never end; a line that starts an object begins anew.
        } else if self.bytes.len() < LINE_BYTES_MAX {
            self.bytes.push(byte);
        } else {
            self.too_long = true;
            self.bytes.clear();
        }
        if self.in_string {
            match (self.escaped, byte) {
                (true, _) => self.escaped = false,
                (false, b'\\') => self.escaped = true,
                (false, b'"') => self.in_string = false,
                _ => {}
            }
            return Step::More;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth -= 1;
                if self.depth == 0 {
                    if std::mem::take(&mut self.too_long) {
                        return Step::Bad(
                            self.begun,
                            format!("the entry is longer than {LINE_BYTES_MAX} bytes"),
                        );
                    }
                    return Step::Element(self.begun);
                }
            }
            _ => {}
        }
        Step::More
    }

    fn outside(&mut self, byte: u8, line: u64) -> Step {
        match byte {
            b'[' if !self.opened => (self.opened, self.lost) = (true, false),
            b']' if self.opened => self.closed = true,
            b'{' if self.opened && !self.closed => {
                self.depth = 1;
                self.begun = line;
                self.bytes.clear();
                self.bytes.push(byte);
            }
            b',' if self.opened => self.lost = false,
            b',' => {}
            b' ' | b'\n' | b'\r' | b'\t' => {}
            // A byte order mark.
            0xef | 0xbb | 0xbf if !self.opened => {}
            // Told once, not of every byte; the next comma or array begins anew.
            _ if std::mem::replace(&mut self.lost, true) => {}
            _ => {
                return Step::Bad(
                    line,
                    format!("\"{}\" is not expected here; an array of entries is", byte.escape_ascii()),
                );
            }
        }
        Step::More
    }

    fn end(&self) -> Option<(u64, String)> {
        if self.depth > 0 {
            return Some((self.begun, "the file ends inside of this entry".to_owned()));
        }
        let told = self.lost && !self.opened;
        (!self.closed && !told).then(|| (self.newlines + 1, "the file ends before its array does".to_owned()))
    }
}
