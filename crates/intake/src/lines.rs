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
                let text = String::from_utf8_lossy(line);
                lines.refuse(format!("unable to parse '{}': it is no UTF-8", shown(&text)));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::WriteRequest;
    use proptest::prelude::*;

    /// How many lines of a text each protocol refuses.
    fn refused(text: &[u8]) -> [usize; 3] {
        let request = || WriteRequest::new(i64::MAX);
        [
            influx::read(text, influx::Reading::default(), &mut request()).wrong,
            opentsdb::read(text, 0, &mut request()).wrong,
            graphite::read(text, 0, &mut request()).wrong,
        ]
    }

    #[test]
    fn lines_that_are_none_are_refused_one_by_one() {
        assert_eq!(refused(b"\n \r\n\xff\n"), [1, 1, 1]);
        assert_eq!(refused(b"m v=1 1\nput m 1 2 a=b\nm 1 2\n"), [2, 2, 2]);
        for wrong in
            ["m,=b v=1", "m,a v=1", ",a=b v=1", "m v=", "m =1", "m v=1 x", "m v=\"x", "m v=NaN", "m v=1i1"]
        {
            assert_eq!(refused(wrong.as_bytes())[0], 1, "{wrong}");
        }
        for wrong in ["put", "put m", "put m 1", "put m x 1", "put m 1 x", "put m 1 2 a", "put m 1 2 =b"] {
            assert_eq!(refused(wrong.as_bytes())[1], 1, "{wrong}");
        }
        for wrong in ["m", "m x", "m 1 x", "m 1 2 3", ";a=b 1", "m;a 1", "m;=b 1"] {
            assert_eq!(refused(wrong.as_bytes())[2], 1, "{wrong}");
        }
        let long = [&vec![b'x'; LINE_BYTES_MAX + 1][..], b" v=1\n"].concat();
        assert_eq!(refused(&long), [1, 1, 1]);
    }

    #[test]
    fn what_is_said_of_a_line_is_short_however_long_the_line_is() {
        for line in [vec![b'x'; 100_000], vec![0xff; 100_000], vec![b'x'; LINE_BYTES_MAX + 1]] {
            let found = influx::read(&line, influx::Reading::default(), &mut WriteRequest::new(i64::MAX));
            assert_eq!(found.errors.len(), 1);
            assert!(found.errors.iter().all(|error| error.len() < 500), "{:?}", found.errors);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(text in proptest::collection::vec(any::<u8>(), 0..60), like in "[a-z,=; \\\\\"0-9.\n]{0,60}") {
            refused(&text);
            refused(like.as_bytes());
            let _ = opentsdb::read_json(&text, 0, &mut WriteRequest::new(i64::MAX));
        }
    }
}
