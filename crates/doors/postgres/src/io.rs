//! One connection's bytes: what arrived and was not used, what is to be sent.
//!
//! Answers wait in [`Io::output`] until a Sync or Flush makes them [`ready`](Io::release); ready
//! bytes may be sent at any time, and are sent when nothing more waits to be read, when a statement
//! takes long, or past 64 KiB. A client that does not read stops the connection's task at
//! [`Io::flush`], and with it the statement that makes the rows: memory stays bounded.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_util::sync::CancellationToken;

use crate::message::frame::Input;

/// Answers are sent once this many bytes wait.
pub(crate) const OUTPUT_BYTES_MAX: usize = 64 << 10;
/// Room for one read.
const READ_BYTES: usize = 16 << 10;
/// Bytes read ahead while a statement runs, to notice a client that goes away.
const READ_AHEAD_BYTES_MAX: usize = 64 << 10;

/// What the protocol runs over: a TCP connection, or a pipe inside the process.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Transport for T {}

/// The client is gone, or was sent away in the middle of something.
#[derive(Debug)]
pub(crate) struct Disconnected;

impl From<io::Error> for Disconnected {
    fn from(_: io::Error) -> Self {
        Self
    }
}

/// One connection's bytes.
pub(crate) struct Io<T> {
    stream: T,
    pub(crate) input: Input,
    /// Answers of the statements since the last Sync or Flush.
    pub(crate) output: Vec<u8>,
    /// Answers before that; the first `sent` bytes are sent.
    ready: Vec<u8>,
    sent: usize,
    /// Whether the stream may hold back what was written to it, as TLS does.
    unflushed: bool,
    /// Ends waiting for a client that does not read, when the server must stop.
    force: CancellationToken,
}

impl<T: Transport> Io<T> {
    pub(crate) fn new(stream: T, force: CancellationToken) -> Self {
        Self {
            stream,
            input: Input::new(),
            output: Vec::new(),
            ready: Vec::new(),
            sent: 0,
            unflushed: false,
            force,
        }
    }

    /// The stream alone; what arrived and what waits is lost.
    pub(crate) fn into_stream(self) -> T {
        self.stream
    }

    /// Reads what arrived; waits if that is nothing. Cancel-safe.
    pub(crate) async fn read(&mut self) -> Result<(), Disconnected> {
        self.input.reserve(READ_BYTES);
        match self.stream.read_buf(&mut self.input.buffer).await? {
            0 => Err(Disconnected),
            _ => Ok(()),
        }
    }

    /// Lets the answers so far be sent.
    pub(crate) fn release(&mut self) {
        if self.ready.is_empty() {
            std::mem::swap(&mut self.ready, &mut self.output);
        } else {
            self.ready.append(&mut self.output);
        }
    }

    /// Sends what is ready; waits until the client took it.
    pub(crate) async fn flush(&mut self) -> Result<(), Disconnected> {
        while self.sent < self.ready.len() {
            let sent = tokio::select! {
                biased;
                sent = self.stream.write(&self.ready[self.sent..]) => sent?,
                () = self.force.cancelled() => return Err(Disconnected),
            };
            if sent == 0 {
                return Err(Disconnected);
            }
            self.sent += sent;
            self.unflushed = true;
        }
        if self.unflushed {
            tokio::select! {
                biased;
                flushed = self.stream.flush() => flushed?,
                () = self.force.cancelled() => return Err(Disconnected),
            }
            self.unflushed = false;
        }
        self.ready.clear();
        self.sent = 0;
        if self.ready.capacity() > 4 * OUTPUT_BYTES_MAX {
            self.ready = Vec::new();
        }
        Ok(())
    }

    /// Sends everything if much waits.
    pub(crate) async fn relieve(&mut self) -> Result<(), Disconnected> {
        if self.output.len() + self.ready.len() - self.sent < OUTPUT_BYTES_MAX {
            return Ok(());
        }
        self.release();
        self.flush().await
    }

    /// Runs `work`. If that takes long, sends what is ready meanwhile and notices when the client
    /// goes away; `work` is then dropped.
    pub(crate) async fn watch<F: Future>(&mut self, work: F) -> Result<F::Output, Disconnected> {
        let mut work = pin!(work);
        std::future::poll_fn(|context| {
            if let Poll::Ready(output) = work.as_mut().poll(context) {
                return Poll::Ready(Ok(output));
            }
            self.poll_send(context)?;
            self.poll_read_ahead(context).map(Err)
        })
        .await
    }

    /// As `watch`, for work that must come to its end: a commit.
    pub(crate) async fn finish<F: Future>(&mut self, work: F) -> F::Output {
        let mut work = pin!(work);
        std::future::poll_fn(|context| {
            let output = work.as_mut().poll(context);
            if output.is_pending() {
                // A client that is gone is noticed by the next flush.
                let _ = self.poll_send(context);
            }
            output
        })
        .await
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Result<(), Disconnected> {
        while self.sent < self.ready.len() {
            match Pin::new(&mut self.stream).poll_write(context, &self.ready[self.sent..]) {
                Poll::Ready(Ok(0)) => return Err(Disconnected),
                Poll::Ready(Ok(sent)) => {
                    self.sent += sent;
                    self.unflushed = true;
                }
                Poll::Ready(Err(error)) => return Err(error.into()),
                Poll::Pending => return Ok(()),
            }
        }
        self.ready.clear();
        self.sent = 0;
        if self.unflushed
            && let Poll::Ready(flushed) = Pin::new(&mut self.stream).poll_flush(context)
        {
            flushed?;
            self.unflushed = false;
        }
        Ok(())
    }

    /// Tells the other side that nothing more comes, where the transport can.
    pub(crate) async fn shut_down(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Ends only when the client is gone.
    fn poll_read_ahead(&mut self, context: &mut Context<'_>) -> Poll<Disconnected> {
        let mut bytes = [0; 4096];
        while self.input.buffer.len() < READ_AHEAD_BYTES_MAX {
            let mut read = ReadBuf::new(&mut bytes);
            match Pin::new(&mut self.stream).poll_read(context, &mut read) {
                Poll::Ready(Ok(())) if read.filled().is_empty() => return Poll::Ready(Disconnected),
                Poll::Ready(Ok(())) => self.input.buffer.extend_from_slice(read.filled()),
                Poll::Ready(Err(error)) => return Poll::Ready(error.into()),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn ready_answers_are_sent_while_a_statement_runs() {
        let (mut client, server) = tokio::io::duplex(1024);
        let mut io = Io::new(server, CancellationToken::new());
        io.output.extend_from_slice(b"ready");
        io.release();
        io.output.extend_from_slice(b" not");
        let mut got = [0; 5];
        io.watch(async { client.read_exact(&mut got).await.unwrap() }).await.unwrap();
        assert_eq!(&got, b"ready");
    }

    #[tokio::test]
    async fn a_client_that_goes_away_ends_the_statement() {
        let (client, server) = tokio::io::duplex(1024);
        let mut io = Io::new(server, CancellationToken::new());
        let gone = async {
            tokio::task::yield_now().await;
            drop(client);
        };
        let (ended, ()) = tokio::join!(io.watch(std::future::pending::<()>()), gone);
        assert!(ended.is_err());
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_waited_for_until_the_server_must_stop() {
        let (_client, server) = tokio::io::duplex(16);
        let force = CancellationToken::new();
        let mut io = Io::new(server, force.clone());
        io.output = vec![0; 100];
        io.release();
        assert!(tokio::time::timeout(Duration::from_millis(20), io.flush()).await.is_err());
        force.cancel();
        assert!(io.flush().await.is_err());
    }
}
