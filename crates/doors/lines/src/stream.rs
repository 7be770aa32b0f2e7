//! Lines over TCP and UDP: what has arrived is stored before more is read, so a client that is too fast waits.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::serve::Listener;
use luma_intake::lines::LINE_BYTES_MAX;
use luma_web::{Connection, Limited};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::server::{Door, Protocol};

/// How much is read at a time.
const READ_BYTES: usize = 256 << 10;
/// How long a datagram may be.
const DATAGRAM_BYTES_MAX: usize = 64 << 10;
/// How much of datagrams is stored at a time.
const DATAGRAMS_BYTES: usize = 1 << 20;

impl Door {
    /// Takes lines over TCP until the shutdown.
    pub async fn listen(&self, listener: TcpListener, protocol: Protocol, shutdown: CancellationToken) {
        let options = self.options();
        let mut listener = Limited {
            listener,
            permits: Arc::new(Semaphore::new(options.max_connections.max(1))),
            idle: options.idle,
            active: Arc::clone(&options.metrics.active_connections),
        };
        let mut clients = JoinSet::new();
        loop {
            let (connection, address) = tokio::select! {
                accepted = listener.accept() => accepted,
                Some(_) = clients.join_next() => continue,
                () = shutdown.cancelled() => break,
            };
            let (door, stop) = (self.clone(), shutdown.clone());
            clients.spawn(async move {
                let served = tokio::select! {
                    served = door.serve(connection, protocol, address) => served,
                    () = stop.cancelled() => Ok(()),
                };
                if let Err(error) = served {
                    debug!(%address, %error, "a client's connection ended");
                }
            });
        }
        // What they sent and is being stored is stored.
        while clients.join_next().await.is_some() {}
    }

    async fn serve(
        &self,
        mut connection: Connection,
        protocol: Protocol,
        address: SocketAddr,
    ) -> io::Result<()> {
        let mut arrived = Vec::with_capacity(READ_BYTES);
        loop {
            let length = (&mut connection).take(READ_BYTES as u64).read_buf(&mut arrived).await?;
            let ended = length == 0;
            // A line that is cut off by the end counts as one.
            let whole =
                if ended { arrived.len() } else { memchr::memrchr(b'\n', &arrived).map_or(0, |at| at + 1) };
            if whole == 0 {
                if ended {
                    return Ok(());
                }
                if arrived.len() > LINE_BYTES_MAX {
                    let what = format!("a line is over the limit of {LINE_BYTES_MAX} bytes");
                    warn!(%address, what, "a client's lines are refused");
                    self.refused(1);
                    return self.tell(&mut connection, protocol, &[what]).await;
                }
                continue;
            }
            let rest = arrived.split_off(whole);
            let lines = std::mem::replace(&mut arrived, rest);
            match self.take_lines(protocol, lines).await {
                Ok(wrong) => self.tell(&mut connection, protocol, &wrong).await?,
                // The client sees that what it sent last may be missing.
                Err(what) => return self.tell(&mut connection, protocol, &[what]).await,
            }
            if ended {
                return Ok(());
            }
        }
    }

    /// Tells what was wrong, where the protocol has a place for it.
    async fn tell(
        &self,
        connection: &mut Connection,
        protocol: Protocol,
        wrong: &[String],
    ) -> io::Result<()> {
        for what in wrong {
            debug!(what, "a line is refused");
        }
        if protocol == Protocol::OpenTsdb && !wrong.is_empty() {
            connection.write_all((wrong.join("\n") + "\n").as_bytes()).await?;
        }
        Ok(())
    }

    /// Takes lines in datagrams until the shutdown. Nobody is told of what is wrong with them.
    pub async fn listen_datagrams(&self, socket: UdpSocket, protocol: Protocol, shutdown: CancellationToken) {
        let mut datagram = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            let received = tokio::select! {
                received = socket.recv(&mut datagram) => received,
                () = shutdown.cancelled() => return,
            };
            let mut lines = Vec::new();
            let mut take = |length: usize, datagram: &[u8]| {
                lines.extend_from_slice(datagram.get(..length).unwrap_or_default());
                lines.push(b'\n');
                lines.len() < DATAGRAMS_BYTES
            };
            match received {
                Ok(length) => {
                    // What is there already is stored along.
                    let mut more = take(length, &datagram);
                    while more {
                        let Ok(length) = socket.try_recv(&mut datagram) else { break };
                        more = take(length, &datagram);
                    }
                }
                Err(error) => {
                    warn!(%error, "a datagram could not be received");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    continue;
                }
            }
            if let Ok(wrong) = self.take_lines(protocol, lines).await {
                for what in wrong {
                    debug!(what, "a line is refused");
                }
            }
        }
    }
}
