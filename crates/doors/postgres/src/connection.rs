//! A client's connection after its start: from message to message until it ends.
//!
//! Invariants: every cycle that a Query or Sync begins ends in exactly one ReadyForQuery; after an
//! error in the extended protocol all messages up to the next Sync are skipped; a connection whose
//! framing is lost is told so and closed; the session is closed, and with it an open transaction
//! rolled back, however the connection ends.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use luma_model::{Error, ErrorKind};
use luma_query::{Prepared, TransactionStatus};
use tokio_util::sync::CancellationToken;

use crate::extended::Portal;
use crate::failure::{Failure, violation};
use crate::io::{Disconnected, Io, Transport};
use crate::message::backend;
use crate::message::frame::Frame;
use crate::registry::Registration;
use crate::session::Runner;
use crate::slots::Slots;

/// How long a client that is sent away may take to read why.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A client's connection.
pub(crate) struct Connection<T> {
    pub(crate) runner: Runner<T>,
    /// The unnamed statement of Parse, if there is one; `Some(None)` is the empty statement. Those with
    /// names are the session's, as SQL names statements, too.
    #[allow(clippy::option_option, reason = "no statement, and the empty one, are two things")]
    pub(crate) unnamed: Option<Option<Arc<Prepared>>>,
    pub(crate) portals: Slots<Portal>,
    /// After an error, until Sync.
    skipping: bool,
    /// The server wants to stop.
    stop: CancellationToken,
    _registration: Registration,
}

impl<T: Transport> Connection<T> {
    pub(crate) fn new(runner: Runner<T>, stop: CancellationToken, registration: Registration) -> Self {
        Self {
            runner,
            unnamed: None,
            portals: Slots::new(),
            skipping: false,
            stop,
            _registration: registration,
        }
    }

    /// Serves the client until it leaves or is sent away.
    pub(crate) async fn run(mut self) {
        match self.serve().await {
            Ok(()) | Err(Failure::Disconnected) => {}
            Err(Failure::Fatal(error) | Failure::Statement(error)) => {
                self.runner.notices();
                send_away(&mut self.runner.io, &error).await;
            }
        }
        self.portals.clear();
        self.runner.session.close();
    }

    async fn serve(&mut self) -> Result<(), Failure> {
        loop {
            while let Some(frame) = self.runner.io.input.message().map_err(Failure::Fatal)? {
                if frame.tag == b'X' {
                    return Ok(());
                }
                self.handle(frame).await?;
                self.runner.io.relieve().await?;
            }
            self.runner.io.flush().await?;
            // While a transaction is open, what others say waits for its end.
            let Runner { io, session, cancel, .. } = &mut self.runner;
            let at_rest = io.output.is_empty();
            let patience = session.patience();
            let idle = async {
                match patience {
                    Some((limit, error)) => {
                        tokio::time::sleep(limit).await;
                        error
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                read = io.read() => read?,
                () = session.notified(), if at_rest => {
                    self.runner.notifications();
                    self.runner.io.release();
                }
                error = cancel.terminated() => return Err(Failure::Fatal(error)),
                error = idle => return Err(Failure::Fatal(error)),
                () = self.stop.cancelled() => return Err(Failure::Fatal(shutting_down())),
            }
        }
    }

    async fn handle(&mut self, Frame { tag, body }: Frame) -> Result<(), Failure> {
        match tag {
            b'S' => self.sync().await,
            _ if self.skipping => Ok(()),
            b'H' => {
                self.runner.io.release();
                Ok(())
            }
            // What is left of a COPY that failed.
            b'd' | b'c' | b'f' => Ok(()),
            b'Q' => self.query(&body).await,
            b'F' => {
                let message = "function calls by number are not supported";
                self.runner.fail(&Error::new(ErrorKind::FeatureNotSupported, message).hint("Use SELECT."));
                self.end_cycle().await
            }
            _ => match self.extended(tag, &body).await {
                Err(Failure::Statement(error)) => {
                    self.runner.fail(&error);
                    self.skipping = true;
                    // Clients that asked for a flush wait for the error, and do not ask again.
                    self.runner.io.release();
                    Ok(())
                }
                other => other,
            },
        }
    }

    async fn extended(&mut self, tag: u8, body: &BytesMut) -> Result<(), Failure> {
        match tag {
            b'P' => self.parse(body).await,
            b'B' => self.bind(body),
            b'D' => self.describe(body),
            b'E' => self.run_portal(body).await,
            b'C' => self.close(body),
            _ => Err(violation(format!("unexpected message type {tag} outside of authentication")).into()),
        }
    }

    async fn sync(&mut self) -> Result<(), Failure> {
        self.skipping = false;
        self.end_cycle().await
    }

    /// Ends the implicit transaction and says that the next statement may come.
    pub(crate) async fn end_cycle(&mut self) -> Result<(), Failure> {
        match self.runner.sync().await {
            Err(Failure::Statement(error)) => self.runner.fail(&error),
            other => other?,
        }
        if self.runner.session.status() == TransactionStatus::Idle {
            self.portals.clear_named();
            if let Some(portal) = self.portals.get_mut("") {
                portal.end();
            }
        }
        self.runner.ready();
        Ok(())
    }
}

/// Tells a client why its connection ends, if it listens.
pub(crate) async fn send_away<T: Transport>(io: &mut Io<T>, error: &Error) {
    backend::error_response(&mut io.output, error, true);
    io.release();
    let last = async {
        io.flush().await?;
        io.shut_down().await;
        Ok(())
    };
    let _: Result<Result<(), Disconnected>, _> = tokio::time::timeout(LAST_WORDS, last).await;
}

pub(crate) fn shutting_down() -> Error {
    Error::new(ErrorKind::AdminShutdown, "terminating connection due to administrator command")
}
