//! COPY: data in either direction inside of a statement, the same in both protocols.

use luma_query::{CommandTag, CopyFormat, CopyIn, CopyOut};

use crate::failure::{Failure, violation};
use crate::io::Transport;
use crate::message::backend;
use crate::message::field::Fields;
use crate::message::frame::Frame;
use crate::message::frontend::Format;
use crate::session::Runner;

fn format(format: CopyFormat) -> Format {
    match format {
        CopyFormat::Binary => Format::Binary,
        CopyFormat::Text | CopyFormat::Csv | CopyFormat::Json | CopyFormat::Parquet => Format::Text,
    }
}

impl<T: Transport> Runner<T> {
    /// Takes the client's data to its end.
    pub(crate) async fn copy_in(&mut self, mut copy: CopyIn) -> Result<CommandTag, Failure> {
        backend::copy_response(&mut self.io.output, b'G', format(copy.format), copy.columns);
        self.io.release();
        self.io.flush().await?;
        loop {
            let Frame { tag, body } = match self.copy_message().await {
                Ok(frame) => frame,
                Err(failure) => {
                    let _ = copy.abort(&mut self.session, "the connection ended before the data did");
                    return Err(failure);
                }
            };
            match tag {
                b'd' => self.io.watch(copy.write(&mut self.session, &body)).await??,
                b'c' => return Ok(self.io.watch(copy.finish(&mut self.session)).await??),
                b'f' => {
                    let reason = Fields(&body).text().unwrap_or_default().to_owned();
                    return Err(copy.abort(&mut self.session, &reason).into());
                }
                // Clients send a Sync after Execute without knowing that it is a COPY.
                b'H' | b'S' => {}
                b'X' => {
                    let _ = copy.abort(&mut self.session, "the client left");
                    return Err(Failure::Disconnected);
                }
                tag => {
                    let _ = copy.abort(&mut self.session, "a message did not belong there");
                    let message = format!("unexpected message type 0x{tag:02X} during COPY from stdin");
                    return Err(violation(message).into());
                }
            }
        }
    }

    async fn copy_message(&mut self) -> Result<Frame, Failure> {
        loop {
            if let Some(frame) = self.io.input.message().map_err(Failure::Fatal)? {
                return Ok(frame);
            }
            tokio::select! {
                biased;
                error = self.cancel.canceled() => return Err(error.into()),
                read = self.io.read() => read?,
            }
        }
    }

    /// Gives data to the client to its end.
    pub(crate) async fn copy_out(&mut self, mut copy: CopyOut) -> Result<CommandTag, Failure> {
        backend::copy_response(&mut self.io.output, b'H', format(copy.format), copy.columns);
        loop {
            let cancel = &self.cancel;
            let next = async {
                tokio::select! {
                    biased;
                    data = copy.next() => data,
                    error = cancel.canceled() => Err(error),
                }
            };
            let Some(data) = self.io.watch(next).await?? else { break };
            backend::copy_data(&mut self.io.output, &data);
            self.io.relieve().await?;
            self.cancel.check()?;
        }
        self.io.output.extend_from_slice(backend::COPY_DONE);
        Ok(copy.tag())
    }
}
