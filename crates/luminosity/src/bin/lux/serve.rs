//! `lux serve`.

use std::io::Write;
use std::net::SocketAddr;

use luminosity::Service;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};

use crate::arguments::{Options, Serve};
use crate::limits;
use crate::store::{config, open};
use crate::{Done, Ended, Failure};

pub(crate) fn run(options: &Options, wanted: &Serve) -> Done {
    let mut config = config(options)?;
    let server = &mut config.server;
    if let Some(listen) = &wanted.listen {
        server.listen.clone_from(listen);
    }
    server.token = wanted.token.clone().or(server.token.take()).filter(|token| !token.is_empty());
    server.webhook_secret =
        wanted.webhook_secret.clone().or(server.webhook_secret.take()).filter(|secret| !secret.is_empty());
    let engine = open(&config, true)?;
    limits::raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        // Rendering and compression; more threads than processors only take memory.
        .max_blocking_threads(std::thread::available_parallelism().map_or(1, std::num::NonZero::get) + 6)
        .thread_name("lux-serve")
        .build()?;
    runtime.block_on(async {
        let listener = listen(&config.server.listen)
            .await
            .map_err(|error| Failure(format!("can't listen on {}: {error}", config.server.listen)))?;
        let address = listener.local_addr()?;
        let service = Service::new(engine, config.clone(), is_private(address))?;
        if config.server.token.is_none() && !is_private(address) {
            eprintln!("lux: others reach {address}, so changes are refused until a token is set: LUX_TOKEN");
        }
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        // Whoever started it waits for this line.
        let mut out = std::io::stdout();
        writeln!(out, "listening on http://{address}")?;
        out.flush()?;
        let ended = wanted.until_eof.then(end_of_input);
        let stop = async move {
            let ended = async {
                match ended {
                    Some(ended) => drop(ended.await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                () = ended => {}
            }
        };
        service.run(listener, stop).await?;
        Ok::<_, Failure>(())
    })?;
    Ok(Ended::Well)
}

/// Connections that may wait to be taken: many crawlers may come at once.
const BACKLOG: u32 = 4096;

async fn listen(place: &str) -> std::io::Result<TcpListener> {
    let mut failed = std::io::Error::other("it is no address");
    for address in tokio::net::lookup_host(place).await? {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // The port of a service that was just stopped may be taken at once.
        socket.set_reuseaddr(true)?;
        match socket.bind(address).and_then(|()| socket.listen(BACKLOG)) {
            Ok(listener) => return Ok(listener),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Completes when nobody can write to standard input any more.
fn end_of_input() -> tokio::sync::oneshot::Receiver<()> {
    let (ended, waiting) = tokio::sync::oneshot::channel::<()>();
    // Not a thread of the runtime, which would wait for it when another signal stops the service.
    std::thread::spawn(move || {
        // An input that fails has ended too.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        drop(ended);
    });
    waiting
}

/// Whether only this machine reaches an address.
fn is_private(address: SocketAddr) -> bool {
    address.ip().is_loopback()
}
