//! A client of the PostgreSQL protocol that keeps every byte of an answer: names, types, rows, tags
//! and SQLSTATEs, as they came.

use std::fmt::Write as _;
use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a server said to one statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Names and type numbers of the result's columns.
    pub columns: Option<Vec<(String, u32)>>,
    /// Types of the parameters, where they were asked for.
    pub parameters: Vec<u32>,
    pub rows: Vec<String>,
    pub tag: String,
    /// SQLSTATE, and the message for the reader.
    pub error: Option<String>,
    pub message: String,
    /// Where in the statement an error is, in characters.
    pub position: Option<String>,
}

/// The types regproc, regclass and their kin.
const IDENTIFIERS: [u32; 8] = [24, 2202, 2203, 2204, 2205, 2206, 4089, 4096];

trait Stream: Read + Write + Send {}
impl Stream for TcpStream {}
impl Stream for UnixStream {}

/// A connection.
pub struct Client {
    stream: BufReader<Box<dyn Stream>>,
}

impl Client {
    pub fn tcp(address: &str, user: &str, database: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::start(Box::new(stream), user, database)
    }

    pub fn socket(path: &Path, user: &str, database: &str) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::start(Box::new(stream), user, database)
    }

    fn start(stream: Box<dyn Stream>, user: &str, database: &str) -> Self {
        let mut client = Self { stream: BufReader::new(stream) };
        let mut body = 196_608_i32.to_be_bytes().to_vec();
        for text in ["user", user, "database", database, "client_encoding", "UTF8", ""] {
            body.extend_from_slice(text.as_bytes());
            body.push(0);
        }
        let mut message = (body.len() as i32 + 4).to_be_bytes().to_vec();
        message.extend(body);
        client.stream.get_mut().write_all(&message).unwrap();
        let answers = client.until_ready(false);
        assert!(answers.iter().all(|answer| answer.error.is_none()), "no way in: {answers:?}");
        client
    }

    /// Runs a text in the simple protocol; one answer per statement that gave one.
    pub fn simple(&mut self, text: &str) -> Answer {
        self.send(&[(b'Q', zero_terminated(text))]);
        let mut answers = self.until_ready(false);
        assert!(answers.len() <= 1, "one statement gave {} answers: {text}", answers.len());
        answers.pop().unwrap_or_default()
    }

    /// Runs a statement in the extended protocol, with its results in binary form when `binary`.
    pub fn extended(&mut self, text: &str, values: &[Option<String>], binary: bool) -> Answer {
        let mut parse = vec![0];
        parse.extend(zero_terminated(text));
        parse.extend(0_i16.to_be_bytes());
        let mut bind = vec![0, 0];
        bind.extend(0_i16.to_be_bytes());
        bind.extend((values.len() as i16).to_be_bytes());
        for value in values {
            match value {
                None => bind.extend((-1_i32).to_be_bytes()),
                Some(value) => {
                    bind.extend((value.len() as i32).to_be_bytes());
                    bind.extend(value.as_bytes());
                }
            }
        }
        bind.extend(1_i16.to_be_bytes());
        bind.extend(i16::from(binary).to_be_bytes());
        self.send(&[
            (b'P', parse),
            (b'D', vec![b'S', 0]),
            (b'B', bind),
            (b'E', vec![0, 0, 0, 0, 0]),
            (b'S', Vec::new()),
        ]);
        let mut answers = self.until_ready(binary);
        answers.pop().unwrap_or_default()
    }

    fn send(&mut self, messages: &[(u8, Vec<u8>)]) {
        let mut bytes = Vec::new();
        for (kind, body) in messages {
            bytes.push(*kind);
            bytes.extend((body.len() as i32 + 4).to_be_bytes());
            bytes.extend(body);
        }
        self.stream.get_mut().write_all(&bytes).unwrap();
    }

    fn until_ready(&mut self, binary: bool) -> Vec<Answer> {
        let mut answers = Vec::new();
        let mut current = Answer::default();
        loop {
            let mut head = [0; 5];
            self.stream.read_exact(&mut head).unwrap();
            let length = i32::from_be_bytes([head[1], head[2], head[3], head[4]]);
            let mut body = vec![0; usize::try_from(length - 4).unwrap()];
            self.stream.read_exact(&mut body).unwrap();
            let mut body = Body(&body);
            match head[0] {
                b'T' => current.columns = Some(body.columns()),
                b't' => {
                    let count = body.short();
                    current.parameters = (0..count).map(|_| known_type(body.int() as u32)).collect();
                }
                b'D' => {
                    let row = body.row(current.columns.as_deref().unwrap_or_default(), binary);
                    current.rows.push(row);
                }
                b'C' => {
                    current.tag = body.text();
                    answers.push(std::mem::take(&mut current));
                }
                b'I' => {
                    current.tag = "(nothing)".to_owned();
                    answers.push(std::mem::take(&mut current));
                }
                b'E' => {
                    body.error(&mut current);
                    // What came before an error depends on how far a server was.
                    current.rows.clear();
                    current.columns = None;
                    answers.push(std::mem::take(&mut current));
                }
                b'G' => {
                    // COPY … FROM STDIN: there is nothing to send here.
                    self.send(&[(b'f', zero_terminated("no data"))]);
                }
                b'H' => current.tag = "COPY OUT".to_owned(),
                b'd' => current.rows.push(String::from_utf8_lossy(body.0).into_owned()),
                b'Z' => return answers,
                _ => {}
            }
        }
    }
}

fn zero_terminated(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

/// Types that users made have whatever number is free.
const FIRST_MADE_TYPE: u32 = 16384;

fn known_type(oid: u32) -> u32 {
    if oid < FIRST_MADE_TYPE { oid } else { u32::MAX }
}

/// An array in binary form names the type of its elements.
fn without_made_type(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if let [0, 0, 0, 0 | 1, 0, 0, 0, 0 | 1, rest @ ..] = bytes.as_mut_slice()
        && let Some(element) = rest.first_chunk_mut::<4>()
        && (FIRST_MADE_TYPE..1 << 20).contains(&u32::from_be_bytes(*element))
    {
        *element = [0xff; 4];
    }
    bytes
}

/// A message's body, read from its start.
struct Body<'a>(&'a [u8]);

impl Body<'_> {
    fn take(&mut self, count: usize) -> &[u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    fn short(&mut self) -> i16 {
        i16::from_be_bytes(self.take(2).try_into().unwrap())
    }

    fn int(&mut self) -> i32 {
        i32::from_be_bytes(self.take(4).try_into().unwrap())
    }

    fn text(&mut self) -> String {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap();
        let text = String::from_utf8_lossy(self.take(end)).into_owned();
        self.take(1);
        text
    }

    fn columns(&mut self) -> Vec<(String, u32)> {
        let count = self.short();
        (0..count)
            .map(|_| {
                let name = self.text();
                self.take(6);
                let oid = known_type(self.int() as u32);
                self.take(8);
                (name, oid)
            })
            .collect()
    }

    fn row(&mut self, columns: &[(String, u32)], binary: bool) -> String {
        let count = self.short();
        let mut row = String::new();
        for at in 0..count {
            if at > 0 {
                row.push('|');
            }
            let length = self.int();
            let column = columns.get(usize::from(at.unsigned_abs()));
            if binary && length == 4 && column.is_some_and(|(_, oid)| IDENTIFIERS.contains(oid)) {
                // The number of an object is each server's own; only that there is one is the same.
                let own = self.take(4).iter().any(|byte| *byte != 0);
                row.push_str(if own { "object" } else { "none" });
            } else if let Ok(length) = usize::try_from(length) {
                let bytes = without_made_type(self.take(length));
                match std::str::from_utf8(&bytes) {
                    Ok(text) if !text.contains('\0') => row.push_str(text),
                    _ => bytes.iter().for_each(|byte| write!(row, "{byte:02x}").unwrap()),
                }
            } else {
                row.push_str("NULL");
            }
        }
        row
    }

    fn error(&mut self, answer: &mut Answer) {
        loop {
            let kind = self.take(1)[0];
            match kind {
                0 => return,
                b'C' => answer.error = Some(self.text()),
                b'M' => answer.message = self.text(),
                b'P' => answer.position = Some(self.text()),
                _ => {
                    self.text();
                }
            }
        }
    }
}

impl Answer {
    /// The answer in a form to compare: rows sorted unless their order was asked for.
    pub fn comparable(&self, ordered: bool) -> String {
        if let Some(code) = &self.error {
            return format!("ERROR {code}");
        }
        let mut text = String::new();
        if !self.parameters.is_empty() {
            writeln!(text, "parameters {:?}", self.parameters).unwrap();
        }
        if let Some(columns) = &self.columns {
            for (name, oid) in columns {
                write!(text, "[{name} {oid}]").unwrap();
            }
            text.push('\n');
        }
        let mut rows = self.rows.clone();
        if !ordered {
            rows.sort();
        }
        for row in rows {
            text.push_str(&row);
            text.push('\n');
        }
        text.push_str(&self.tag);
        text
    }
}
