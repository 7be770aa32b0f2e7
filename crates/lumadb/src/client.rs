//! A small client of the PostgreSQL protocol, for the commands that talk to a database.
//!
//! It speaks the simple protocol, in which values are text and every result says its types. The
//! database is a server, or a directory opened in this process: then the same protocol runs over a
//! pipe, so that the commands are the same for both.

mod message;
mod target;

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};
use luma_model::DataType;
use postgres_protocol::authentication::{md5_hash, sasl};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

pub(crate) use message::{Row, ServerError};
pub(crate) use target::{Database, block_on, open};

use crate::Failure;
use crate::client::message::{Backend, text_fields};

/// A stream to a database.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Data for COPY is sent once this much waits.
const COPY_BYTES_MAX: usize = 256 << 10;
/// Longest message that a server may send.
const MESSAGE_BYTES_MAX: usize = (1 << 30) + 1024;

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) data_type: DataType,
}

/// What comes back while statements run.
#[derive(Debug)]
pub(crate) enum Event {
    /// Rows follow.
    Columns(Vec<Column>),
    /// A row.
    Row(Row),
    /// A statement is complete, with its tag.
    Complete(String),
    /// There was no statement.
    Empty,
    /// A statement failed; those after it do not run.
    Error(ServerError),
    /// Something to tell.
    Notice(ServerError),
    /// Data is wanted, or will come.
    CopyIn,
    /// Data comes.
    CopyOut,
    /// Data of COPY.
    Data(Bytes),
    /// All is done.
    Ready,
}

/// Ends what a connection runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CancelKey {
    pub(crate) process: i32,
    pub(crate) secret: i32,
}

/// A connection.
pub(crate) struct Client {
    stream: Box<dyn Stream>,
    input: BytesMut,
    output: Vec<u8>,
    events: VecDeque<Event>,
    /// Ends what runs.
    pub(crate) cancel: CancelKey,
}

impl Client {
    async fn start(
        stream: Box<dyn Stream>,
        user: &str,
        password: Option<&[u8]>,
        database: &str,
    ) -> Result<Self, Failure> {
        let mut client = Self {
            stream,
            input: BytesMut::new(),
            output: Vec::new(),
            events: VecDeque::new(),
            cancel: CancelKey { process: 0, secret: 0 },
        };
        message::startup(&mut client.output, user, database);
        client.flush().await?;
        client.authenticate(user, password).await?;
        Ok(client)
    }

    async fn authenticate(&mut self, user: &str, password: Option<&[u8]>) -> Result<(), Failure> {
        let missing = || {
            Failure::new(format!(
                "the server asks for the password of \"{user}\"; put it into the URL or PGPASSWORD"
            ))
        };
        let mut scram: Option<sasl::ScramSha256> = None;
        loop {
            match self.message().await? {
                Backend { tag: b'R', mut body } if body.len() >= 4 => match body.get_u32() {
                    0 => {}
                    3 => {
                        let password = password.ok_or_else(missing)?;
                        message::password(&mut self.output, &[password, b"\0"].concat());
                    }
                    5 if body.len() >= 4 => {
                        let salt = [body[0], body[1], body[2], body[3]];
                        let hash = md5_hash(user.as_bytes(), password.ok_or_else(missing)?, salt);
                        message::password(&mut self.output, format!("{hash}\0").as_bytes());
                    }
                    10 => {
                        let password = password.ok_or_else(missing)?;
                        let exchange = sasl::ScramSha256::new(password, sasl::ChannelBinding::unsupported());
                        message::sasl_initial(&mut self.output, sasl::SCRAM_SHA_256, exchange.message());
                        scram = Some(exchange);
                    }
                    11 => {
                        let exchange = scram.as_mut().ok_or_else(unexpected)?;
                        exchange.update(&body)?;
                        message::password(&mut self.output, exchange.message());
                    }
                    12 => scram.as_mut().ok_or_else(unexpected)?.finish(&body)?,
                    other => {
                        let message = format!(
                            "the server asks for authentication method {other}, which is not known here"
                        );
                        return Err(Failure::new(message));
                    }
                },
                Backend { tag: b'K', mut body } if body.len() >= 8 => {
                    self.cancel = CancelKey { process: body.get_i32(), secret: body.get_i32() };
                }
                Backend { tag: b'E', body } => return Err(ServerError::read(&body).into()),
                Backend { tag: b'Z', .. } => return Ok(()),
                Backend { tag: b'S' | b'N' | b'v', .. } => {}
                _ => return Err(unexpected()),
            }
            self.flush().await?;
        }
    }

    /// Sends statements; their events follow, up to [`Event::Ready`].
    pub(crate) async fn send(&mut self, sql: &str) -> Result<(), Failure> {
        message::query(&mut self.output, sql);
        self.flush().await
    }

    /// The next event. Cancel-safe.
    pub(crate) async fn event(&mut self) -> Result<Event, Failure> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            let Backend { tag, body } = self.message().await?;
            return Ok(match tag {
                b'T' => Event::Columns(message::columns(&body).ok_or_else(unexpected)?),
                b'D' => Event::Row(Row::read(body.freeze()).ok_or_else(unexpected)?),
                b'C' => Event::Complete(text_fields(&body).next().unwrap_or_default()),
                b'I' => Event::Empty,
                b'E' => Event::Error(ServerError::read(&body)),
                b'N' => Event::Notice(ServerError::read(&body)),
                b'G' => Event::CopyIn,
                b'H' => Event::CopyOut,
                b'd' => Event::Data(body.freeze()),
                b'Z' => Event::Ready,
                b'S' | b'c' => continue,
                _ => return Err(unexpected()),
            });
        }
    }

    /// Runs statements and keeps their rows; for short results.
    ///
    /// # Errors
    /// The first error of a statement.
    pub(crate) async fn rows(&mut self, sql: &str) -> Result<Vec<Row>, Failure> {
        self.send(sql).await?;
        let (mut rows, mut failed) = (Vec::new(), None);
        loop {
            match self.event().await? {
                Event::Row(row) => rows.push(row),
                Event::Error(error) => failed = Some(error),
                Event::Ready => break,
                Event::CopyIn => message::copy_fail(&mut self.output, "no data was meant to be sent"),
                _ => {}
            }
            self.flush().await?;
        }
        failed.map_or(Ok(rows), |error| Err(error.into()))
    }

    /// Runs statements for what they do.
    ///
    /// # Errors
    /// The first error of a statement.
    pub(crate) async fn run(&mut self, sql: &str) -> Result<(), Failure> {
        self.rows(sql).await.map(drop)
    }

    /// Begins a COPY that takes data; [`Client::copy_data`] and [`Client::copy_end`] follow.
    pub(crate) async fn copy_in(&mut self, sql: &str) -> Result<(), Failure> {
        self.send(sql).await?;
        let mut failed = None;
        loop {
            match self.event().await? {
                Event::CopyIn => return Ok(()),
                Event::Error(error) => failed = Some(error),
                Event::Ready => {
                    return Err(failed.map_or_else(unexpected, Failure::from));
                }
                _ => {}
            }
        }
    }

    /// Sends data of a COPY.
    pub(crate) async fn copy_data(&mut self, data: &[u8]) -> Result<(), Failure> {
        for part in data.chunks(COPY_BYTES_MAX) {
            message::copy_data(&mut self.output, part);
            if self.output.len() >= COPY_BYTES_MAX {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Ends a COPY.
    ///
    /// # Errors
    /// What the server says against the data.
    pub(crate) async fn copy_end(&mut self) -> Result<(), ServerErrorOr> {
        message::copy_done(&mut self.output);
        self.flush().await.map_err(ServerErrorOr::Failure)?;
        let mut failed = None;
        loop {
            match self.event().await.map_err(ServerErrorOr::Failure)? {
                Event::Error(error) => failed = Some(error),
                Event::Ready => break,
                _ => {}
            }
        }
        failed.map_or(Ok(()), |error| Err(ServerErrorOr::Server(error)))
    }

    /// Says that a COPY that was begun has no data after all.
    pub(crate) async fn copy_refuse(&mut self) -> Result<(), Failure> {
        message::copy_fail(&mut self.output, "this command sends no data");
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        if self.output.is_empty() {
            return Ok(());
        }
        let sent = self.stream.write_all(&self.output).await;
        self.output.clear();
        // A server that ends a connection says why; that is worth more than the write's error.
        if let Err(error) = sent {
            while let Ok(Backend { tag, body }) = self.message().await {
                if tag == b'E' {
                    return Err(ServerError::read(&body).into());
                }
            }
            return Err(Failure::new(format!("the connection was lost: {error}")));
        }
        Ok(())
    }

    async fn message(&mut self) -> Result<Backend, Failure> {
        loop {
            if let Some(length) = self.input.get(1..5) {
                let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
                if !(4..=MESSAGE_BYTES_MAX).contains(&length) {
                    return Err(unexpected());
                }
                if self.input.len() > length {
                    let tag = self.input.get_u8();
                    let mut body = self.input.split_to(length);
                    body.advance(4);
                    return Ok(Backend { tag, body });
                }
            }
            if self.input.capacity() - self.input.len() < 4096 {
                self.input.reserve(64 << 10);
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(Failure::new("the server closed the connection"));
            }
        }
    }
}

/// What the server said against data, or what else went wrong.
#[derive(Debug)]
pub(crate) enum ServerErrorOr {
    Server(ServerError),
    Failure(Failure),
}

impl From<ServerErrorOr> for Failure {
    fn from(error: ServerErrorOr) -> Self {
        match error {
            ServerErrorOr::Server(error) => error.into(),
            ServerErrorOr::Failure(failure) => failure,
        }
    }
}

fn unexpected() -> Failure {
    Failure::new("the server does not speak the PostgreSQL protocol as expected")
}

/// A name as SQL writes it: quoted where it has to be.
pub(crate) fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A possibly qualified name, each part quoted; quotes that are there stay.
pub(crate) fn quote_name(name: &str) -> String {
    if name.contains('"') {
        return name.to_owned();
    }
    name.split('.').map(quote_identifier).collect::<Vec<_>>().join(".")
}

/// A text as SQL writes it.
pub(crate) fn quote_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
