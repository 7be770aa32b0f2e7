//! `pg_stat_statements`: how often statements ran, how long they took and how many rows they gave.
//!
//! Statements that differ in constants only are one entry: constants are shown as `$1`, `$2`, … as
//! PostgreSQL shows them. An entry is found when a statement is prepared; running it costs two looks at
//! the clock and one short lock of the entry. Entries are bounded; past the bound those with the fewest
//! calls go.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use luma_model::{DataType, Value};
use parking_lot::Mutex;

use crate::functions::row::Definition;
use crate::outcome::{CommandTag, Outcome};
use crate::pg_catalog::{Rows, oid, text};
use crate::plan::context::Names;

/// Most entries, as `pg_stat_statements.max` is by default.
const ENTRIES_MAX: usize = 5000;
/// Longest text that is kept, in bytes; a longer one is cut.
const TEXT_BYTES_MAX: usize = 16 << 10;

/// What is known of one statement.
#[derive(Debug, Default, Clone, Copy)]
struct Numbers {
    calls: u64,
    total_ms: f64,
    min_ms: f64,
    max_ms: f64,
    mean_ms: f64,
    /// Sum of squares of differences from the mean.
    squares: f64,
    rows: u64,
}

impl Numbers {
    fn add(&mut self, took: Duration, rows: u64) {
        let ms = took.as_secs_f64() * 1000.0;
        self.min_ms = if self.calls == 0 { ms } else { self.min_ms.min(ms) };
        self.max_ms = self.max_ms.max(ms);
        self.calls += 1;
        self.total_ms += ms;
        let before = ms - self.mean_ms;
        self.mean_ms += before / self.calls as f64;
        self.squares += before * (ms - self.mean_ms);
        self.rows += rows;
    }

    fn deviation(&self) -> f64 {
        if self.calls == 0 { 0.0 } else { (self.squares / self.calls as f64).sqrt() }
    }
}

/// One statement of one user.
#[derive(Debug)]
pub(crate) struct Entry {
    user: String,
    text: String,
    number: i64,
    numbers: Mutex<Numbers>,
}

/// A run that is not over: dropping it counts it.
pub(crate) struct Run {
    entry: Arc<Entry>,
    started: Instant,
    rows: u64,
    failed: bool,
}

impl Run {
    pub(crate) fn begin(entry: &Arc<Entry>) -> Self {
        Self { entry: Arc::clone(entry), started: Instant::now(), rows: 0, failed: false }
    }

    /// Rows that the statement gave or changed, beside those before.
    pub(crate) fn rows(&mut self, count: u64) {
        self.rows += count;
    }

    /// It ended with an error, and does not count.
    pub(crate) fn failed(&mut self) {
        self.failed = true;
    }

    /// What the statement came to: its rows are counted here or by the stream that it goes on as.
    pub(crate) fn outcome(mut self, outcome: &mut Outcome) {
        match outcome {
            Outcome::Rows(stream) => stream.counts_into(self),
            Outcome::Complete(tag) => self.rows(rows_of(tag)),
            // The copy's own end is not seen here: its beginning is what is counted.
            Outcome::CopyIn(_) | Outcome::CopyOut(_) => {}
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if !self.failed {
            self.entry.numbers.lock().add(self.started.elapsed(), self.rows);
        }
    }
}

fn rows_of(tag: &CommandTag) -> u64 {
    match tag {
        CommandTag::Select(rows)
        | CommandTag::Insert(rows)
        | CommandTag::Update(rows)
        | CommandTag::Delete(rows)
        | CommandTag::Merge(rows)
        | CommandTag::Copy(rows)
        | CommandTag::Fetch(rows)
        | CommandTag::Move(rows) => *rows,
        CommandTag::Other(_) => 0,
    }
}

/// The statements of all sessions, by user and text.
#[derive(Debug, Default)]
pub(crate) struct Statements(Mutex<HashMap<(String, String), Arc<Entry>>>);

impl Statements {
    /// The entry of a statement.
    pub(crate) fn entry(&self, user: &str, source: &str) -> Arc<Entry> {
        let key = (user.to_owned(), normalized(source));
        let mut all = self.0.lock();
        if let Some(known) = all.get(&key) {
            return Arc::clone(known);
        }
        if all.len() >= ENTRIES_MAX {
            let mut calls: Vec<u64> = all.values().map(|entry| entry.numbers.lock().calls).collect();
            calls.sort_unstable();
            // A twentieth goes, so that this is rare.
            let least = calls.get(ENTRIES_MAX / 20).copied().unwrap_or(0);
            let mut left = ENTRIES_MAX / 20;
            all.retain(|_, entry| {
                let goes = left > 0 && entry.numbers.lock().calls <= least;
                left -= usize::from(goes);
                !goes
            });
        }
        let (user, text) = key.clone();
        let number = number_of(&key);
        let entry = Arc::new(Entry { user, text, number, numbers: Mutex::default() });
        all.insert(key, Arc::clone(&entry));
        entry
    }

    fn reset(&self) {
        self.0.lock().clear();
    }
}

/// A number that is the same in every run of the program (FNV-1a).
fn number_of((user, text): &(String, String)) -> i64 {
    let bytes = user.bytes().chain([0]).chain(text.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash as i64
}

/// The text with `$n` in the place of constants, counted on from the parameters that it has.
fn normalized(source: &str) -> String {
    let text = without_constants(source);
    let mut next = highest_parameter(&text);
    let mut parts = text.split(GAP);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        next += 1;
        out.push_str(&format!("${next}{part}"));
    }
    out
}

/// What stands for a constant that was taken out. No text of SQL has it.
const GAP: char = '\0';

/// The text with gaps in the place of constants.
fn without_constants(source: &str) -> String {
    let mut out = String::with_capacity(source.len().min(TEXT_BYTES_MAX));
    let bytes = source.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if out.len() >= TEXT_BYTES_MAX {
            break;
        }
        let end = match byte {
            b'\'' => quoted_end(bytes, at + 1, b'\'', prefixed_by_e(bytes, at)),
            b'$' => dollar_end(bytes, at).unwrap_or(at),
            b'0'..=b'9' if !continues_word(bytes, at) => number_end(bytes, at),
            b'"' => {
                let end = quoted_end(bytes, at + 1, b'"', false);
                out.push_str(source.get(at..end).unwrap_or_default());
                at = end;
                continue;
            }
            b'-' if bytes.get(at + 1) == Some(&b'-') => {
                let line = bytes[at..].iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len() - at);
                out.push_str(source.get(at..at + line).unwrap_or_default());
                at += line;
                continue;
            }
            _ => at,
        };
        if end > at {
            // A prefix of the constant belongs to it.
            if byte == b'\'' && prefixed(bytes, at) {
                out.pop();
            }
            out.push(GAP);
            at = end;
            continue;
        }
        let width = source[at..].chars().next().map_or(1, char::len_utf8);
        out.push_str(source.get(at..at + width).unwrap_or_default());
        at += width;
    }
    out
}

/// Whether the byte is a part of a word or of a parameter that began before it.
fn continues_word(bytes: &[u8], at: usize) -> bool {
    at.checked_sub(1).and_then(|before| bytes.get(before)).is_some_and(|byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'"') || *byte >= 0x80
    })
}

/// Whether a quote stands behind `E`, `B`, `X` or `N` alone.
fn prefixed(bytes: &[u8], at: usize) -> bool {
    let Some(before) = at.checked_sub(1) else { return false };
    let letter = bytes.get(before).is_some_and(|byte| b"eEbBxXnN".contains(byte));
    letter && !continues_word(bytes, before)
}

fn prefixed_by_e(bytes: &[u8], at: usize) -> bool {
    prefixed(bytes, at) && at.checked_sub(1).and_then(|at| bytes.get(at)).is_some_and(|e| b"eE".contains(e))
}

/// Where a quoted text ends, behind its last quote.
fn quoted_end(bytes: &[u8], mut at: usize, quote: u8, escapes: bool) -> usize {
    while let Some(byte) = bytes.get(at) {
        if *byte == b'\\' && escapes {
            at += 2;
        } else if *byte != quote {
            at += 1;
        } else if bytes.get(at + 1) == Some(&quote) {
            at += 2;
        } else {
            return at + 1;
        }
    }
    bytes.len()
}

/// Where `$tag$…$tag$` ends; `None` when none begins there.
fn dollar_end(bytes: &[u8], at: usize) -> Option<usize> {
    if continues_word(bytes, at) {
        return None;
    }
    let rest = bytes.get(at + 1..)?;
    let length = rest.iter().position(|byte| *byte == b'$')?;
    let tag = rest.get(..length)?;
    let named = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80;
    if tag.first().is_some_and(u8::is_ascii_digit) || !tag.iter().all(named) {
        return None;
    }
    let mark = bytes.get(at..at + length + 2)?;
    let body = at + mark.len();
    let end = bytes.get(body..)?.windows(mark.len()).position(|part| part == mark)?;
    Some(body + end + mark.len())
}

fn number_end(bytes: &[u8], at: usize) -> usize {
    let mut end = at;
    while let Some(byte) = bytes.get(end) {
        let sign = matches!(byte, b'+' | b'-')
            && matches!(bytes.get(end - usize::from(end > at)), Some(b'e' | b'E'));
        if byte.is_ascii_alphanumeric() || *byte == b'.' || (sign && end > at) {
            end += 1;
        } else {
            break;
        }
    }
    end
}

/// The highest number of a parameter in a text without constants.
fn highest_parameter(source: &str) -> u64 {
    let numbers = source.split('$').skip(1).filter_map(|rest| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u16>().ok()
    });
    numbers.max().unwrap_or(0).into()
}

/// `pg_stat_statements`.
pub(crate) fn table(names: &Names<'_>) -> Rows {
    let numbers = [
        ("plans", DataType::Int8),
        ("total_plan_time", DataType::Float8),
        ("calls", DataType::Int8),
        ("total_exec_time", DataType::Float8),
        ("min_exec_time", DataType::Float8),
        ("max_exec_time", DataType::Float8),
        ("mean_exec_time", DataType::Float8),
        ("stddev_exec_time", DataType::Float8),
        ("rows", DataType::Int8),
    ];
    let mut columns = vec![
        ("userid", DataType::Oid),
        ("dbid", DataType::Oid),
        ("toplevel", DataType::Bool),
        ("queryid", DataType::Int8),
        ("query", DataType::Text),
    ];
    columns.extend(numbers);
    let mut rows = Rows::new(columns);
    let entries: Vec<Arc<Entry>> = names.shared.statements.0.lock().values().cloned().collect();
    for entry in entries {
        let numbers = *entry.numbers.lock();
        if numbers.calls == 0 {
            continue;
        }
        let role = names.catalog.role(&entry.user).map_or(10, |role| role.oid);
        rows.add(vec![
            oid(role),
            oid(crate::database::DATABASE_OID),
            Value::Bool(true),
            Value::Int8(entry.number),
            text(entry.text.as_str()),
            Value::Int8(0),
            Value::Float8(0.0),
            Value::Int8(numbers.calls as i64),
            Value::Float8(numbers.total_ms),
            Value::Float8(numbers.min_ms),
            Value::Float8(numbers.max_ms),
            Value::Float8(numbers.mean_ms),
            Value::Float8(numbers.deviation()),
            Value::Int8(numbers.rows as i64),
        ]);
    }
    rows
}

pub(crate) static FUNCTIONS: &[Definition] =
    &[Definition::new("pg_stat_statements_reset", (0, 0), DataType::Void, |info, _, _| {
        info.shared.statements.reset();
        Ok(text(""))
    })
    .volatile()];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_become_parameters_counted_on_from_those_there_are() {
        for (source, expected) in [
            ("SELECT 1", "SELECT $1"),
            (
                "SELECT a1, b FROM t WHERE c = 'it''s' AND d > 1.5e-3",
                "SELECT a1, b FROM t WHERE c = $1 AND d > $2",
            ),
            ("SELECT $2 + 10", "SELECT $2 + $3"),
            ("SELECT E'a\\'b', \"1\"", "SELECT $1, \"1\""),
            ("SELECT $x$1 'two$x$, ü || 3 -- 4", "SELECT $1, ü || $2 -- 4"),
            ("SELECT 'open", "SELECT $1"),
        ] {
            assert_eq!(normalized(source), expected);
        }
    }

    #[test]
    fn the_numbers_are_those_of_the_samples() {
        let mut numbers = Numbers::default();
        for ms in [2, 4, 4, 4, 5, 5, 7, 9] {
            numbers.add(Duration::from_millis(ms), 2);
        }
        assert_eq!((numbers.calls, numbers.rows), (8, 16));
        let close = |one: f64, other: f64| (one - other).abs() < 1e-9;
        assert!(close(numbers.mean_ms, 5.0) && close(numbers.deviation(), 2.0));
        assert!(close(numbers.min_ms, 2.0) && close(numbers.max_ms, 9.0) && close(numbers.total_ms, 40.0));
    }

    #[test]
    fn entries_are_bounded() {
        let all = Statements::default();
        for number in 0..ENTRIES_MAX + 10 {
            all.entry("u", &format!("SELECT c{number}"));
        }
        assert!(all.0.lock().len() <= ENTRIES_MAX);
        assert!(Arc::ptr_eq(
            &all.entry("u", "SELECT x WHERE 1 = 2"),
            &all.entry("u", "SELECT x WHERE 3 = 4")
        ));
    }
}
