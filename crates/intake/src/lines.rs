//! Protocols of lines of text: InfluxDB's, OpenTSDB's and Graphite's, into series as VictoriaMetrics makes them.
//!
//! A line that is none is noted and left out; the others are stored.

pub mod graphite;
pub mod influx;
pub mod opentsdb;

use std::borrow::Cow;

/// How long a line may be, in bytes.
pub const LINE_BYTES_MAX: usize = 256 << 10;

/// How many errors are told one by one.
const ERRORS_MAX: usize = 10;

/// What was read of a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines {
    /// How many lines were no good.
    pub wrong: usize,
    /// What is wrong with the first of them.
    pub errors: Vec<String>,
}

impl Lines {
    /// Notes that a line is no good.
    fn refuse(&mut self, what: String) {
        self.wrong += 1;
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(what);
        }
    }
}

/// The lines of a text without their ends, and without empty ones; what is too long or no UTF-8 is noted.
fn lines<'a>(text: &'a [u8], lines: &mut Lines, mut f: impl FnMut(&'a str, &mut Lines)) {
    for line in text.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.iter().all(|byte| *byte == b' ' || *byte == b'\t') {
            continue;
        }
        if line.len() > LINE_BYTES_MAX {
            let begin = String::from_utf8_lossy(line.get(..40).unwrap_or_default()).into_owned();
            lines.refuse(format!(
                "unable to parse '{begin}…': it has {} bytes, over the limit of {LINE_BYTES_MAX}",
                line.len()
            ));
            continue;
        }
        match std::str::from_utf8(line) {
            Ok(line) => f(line, lines),
            Err(_) => {
                lines.refuse(format!("unable to parse '{}': it is no UTF-8", String::from_utf8_lossy(line)));
            }
        }
    }
}

/// A line for messages.
fn shown(line: &str) -> Cow<'_, str> {
    match line.get(..line.floor_char_boundary(120)) {
        Some(begin) if begin.len() < line.len() => Cow::Owned(format!("{begin}…")),
        _ => Cow::Borrowed(line),
    }
}

/// A number, as programs that write lines write them.
fn number(text: &str) -> Option<f64> {
    luma_promql::parse_float(text)
}
