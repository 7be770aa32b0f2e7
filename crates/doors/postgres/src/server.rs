//! Accepting connections, starting their sessions, and stopping.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use luma_model::{Error, ErrorKind};
use luma_query::{ADMINISTRATOR, Database, SessionOptions};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::authentication::{Demand, MockSecret, nonce, refused, same, scram};
use crate::connection::{Connection, send_away, shutting_down};
use crate::failure::{Failure, violation};
use crate::io::{Io, Transport};
use crate::message::backend;
use crate::message::field::Fields;
use crate::metrics::Metrics;
use crate::registry::Registry;
use crate::session::Runner;
use crate::startup::{self, Packet, Startup};
use crate::tls::Tls;

/// Connections past `max_connections` that may ask for a cancel or be told that there are too many.
const SPARE_CONNECTIONS: usize = 64;
/// How long a session that was told to end may take to do so.
const TERMINATION: Duration = Duration::from_secs(2);
/// How long to wait after the system refused to accept a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bounds and rules of the door.
#[derive(Clone, Debug)]
pub struct DoorOptions {
    /// Whether clients prove who they are; if not, everyone is the administrator.
    pub require_auth: bool,
    /// Most clients at a time.
    pub max_connections: usize,
    /// How long a client may take to prove who it is.
    pub auth_timeout: Duration,
    /// How long running statements may go on when the server stops.
    pub shutdown_grace: Duration,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Encrypts the connections of clients that ask for it.
    pub tls: Option<Tls>,
}

impl Default for DoorOptions {
    fn default() -> Self {
        Self {
            require_auth: true,
            max_connections: 500,
            auth_timeout: Duration::from_secs(30),
            shutdown_grace: Duration::from_secs(10),
            metrics: Arc::default(),
            tls: None,
        }
    }
}

/// A door to a database; clones share it.
#[derive(Clone)]
pub struct Door {
    shared: Arc<Shared>,
}

struct Shared {
    database: Database,
    options: DoorOptions,
    permits: Arc<Semaphore>,
    registry: Arc<Registry>,
    secret: MockSecret,
    /// The server wants to stop: nothing new begins.
    stop: CancellationToken,
    /// The server must stop: nobody is waited for.
    force: CancellationToken,
}

/// Serves clients until `shutdown`, then lets running statements end within the grace period.
///
/// # Errors
/// When the system gives no random bytes.
pub async fn serve(
    listener: TcpListener,
    database: Database,
    options: DoorOptions,
    shutdown: CancellationToken,
) -> luma_model::Result<()> {
    Door::new(database, options, shutdown)?.listen(listener).await;
    Ok(())
}

/// Counts a connection while it lives.
struct Connected(Arc<Metrics>);

impl Connected {
    fn new(metrics: &Arc<Metrics>) -> Self {
        Metrics::count(&metrics.connections);
        Metrics::count(&metrics.active_connections);
        Self(Arc::clone(metrics))
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.active_connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a client wants.
enum Greeting {
    /// To say what it wants where nobody else hears it.
    Encryption,
    /// To end what another session runs, which is done.
    Cancel,
    Session(Startup),
}

/// Sends a client away that got no session.
async fn refuse<T: Transport>(io: &mut Io<T>, failure: Failure) {
    match failure {
        Failure::Disconnected => {}
        Failure::Fatal(error) | Failure::Statement(error) => send_away(io, &error).await,
    }
}

/// A client that may have a session.
struct Admitted {
    startup: Startup,
    _permit: OwnedSemaphorePermit,
    _connected: Connected,
}

impl Door {
    /// A door that stops with `shutdown`.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn new(
        database: Database,
        options: DoorOptions,
        shutdown: CancellationToken,
    ) -> luma_model::Result<Self> {
        let shared = Shared {
            permits: Arc::new(Semaphore::new(options.max_connections)),
            registry: Arc::default(),
            secret: MockSecret::new()?,
            stop: shutdown,
            force: CancellationToken::new(),
            database,
            options,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Accepts clients until the shutdown; returns when all of them are gone.
    pub async fn listen(&self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        let connections_max = self.shared.options.max_connections + SPARE_CONNECTIONS;
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                Some(ended) = connections.join_next() => {
                    report(ended);
                    continue;
                }
                () = self.shared.stop.cancelled() => break,
            };
            match accepted {
                Ok(_) if connections.len() >= connections_max => {
                    Metrics::count(&self.shared.options.metrics.rejected_connections);
                }
                Ok((stream, address)) => {
                    if let Err(error) = stream.set_nodelay(true) {
                        debug!(%address, %error, "a connection ended before it began");
                        continue;
                    }
                    let door = self.clone();
                    connections.spawn(async move { door.connect(stream, Some(address.to_string())).await });
                }
                Err(error) if is_of_one_client(&error) => debug!(%error, "a connection was not accepted"),
                Err(error) => {
                    warn!(%error, "connections can't be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        self.drain(&mut connections).await;
    }

    /// Waits for the connections, each time less patiently.
    async fn drain(&self, connections: &mut JoinSet<()>) {
        let grace = self.shared.options.shutdown_grace;
        if tokio::time::timeout(grace, join_all(connections)).await.is_ok() {
            return;
        }
        info!(connections = connections.len(), "ending statements that still run");
        self.shared.registry.terminate_all();
        self.shared.force.cancel();
        if tokio::time::timeout(TERMINATION, join_all(connections)).await.is_err() {
            warn!(connections = connections.len(), "some connections did not end and are dropped");
            connections.shutdown().await;
        }
    }

    /// Serves one client over any stream until it leaves.
    pub async fn connect<T: Transport>(&self, stream: T, address: Option<String>) {
        let deadline = Instant::now() + self.shared.options.auth_timeout;
        let mut io = self.io(stream);
        let tls = self.shared.options.tls.as_ref();
        match self.in_time(deadline, self.greet(&mut io, tls.is_some())).await {
            Ok(Greeting::Session(startup)) => self.welcome(io, startup, address, deadline).await,
            Ok(Greeting::Encryption) => {
                let Some(tls) = tls else { return };
                // A client that can't be understood can't be told anything.
                let Ok(stream) = self.in_time(deadline, tls.accept(io.into_stream())).await else { return };
                let mut io = self.io(stream);
                match self.in_time(deadline, self.greet(&mut io, false)).await {
                    Ok(Greeting::Session(startup)) => self.welcome(io, startup, address, deadline).await,
                    Ok(_) => {}
                    Err(failure) => refuse(&mut io, failure).await,
                }
            }
            Ok(Greeting::Cancel) => {}
            Err(failure) => refuse(&mut io, failure).await,
        }
    }

    fn io<T: Transport>(&self, stream: T) -> Io<T> {
        Io::new(stream, self.shared.force.child_token())
    }

    /// Does a part of the start, as long as the client has time for it and the server goes on.
    async fn in_time<R>(
        &self,
        deadline: Instant,
        work: impl Future<Output = Result<R, Failure>>,
    ) -> Result<R, Failure> {
        let ended = |kind, message: &str| Err(Failure::Fatal(Error::new(kind, message)));
        tokio::select! {
            done = tokio::time::timeout_at(deadline, work) => match done {
                Ok(done) => done,
                Err(_) => ended(ErrorKind::QueryCanceled, "canceling authentication due to timeout"),
            },
            () = self.shared.stop.cancelled() => {
                ended(ErrorKind::CannotConnectNow, "the database system is shutting down")
            }
        }
    }

    /// Gives a client its session and serves it.
    async fn welcome<T: Transport>(
        &self,
        mut io: Io<T>,
        startup: Startup,
        address: Option<String>,
        deadline: Instant,
    ) {
        let admitted = self.in_time(deadline, self.admit(&mut io, startup)).await;
        let started = admitted.and_then(|admitted| {
            let (session, registration) = self.begin(&mut io, &admitted.startup, address)?;
            Ok((admitted, session, registration))
        });
        match started {
            Ok((admitted, session, registration)) => {
                let runner = Runner {
                    io,
                    cancel: session.cancel_handle(),
                    session,
                    metrics: Arc::clone(&self.shared.options.metrics),
                };
                debug!(user = admitted.startup.user, process = registration.process, "a session began");
                Connection::new(runner, self.shared.stop.child_token(), registration).run().await;
            }
            Err(failure) => refuse(&mut io, failure).await,
        }
    }

    /// From the first packet to what the client wants.
    async fn greet<T: Transport>(&self, io: &mut Io<T>, may_encrypt: bool) -> Result<Greeting, Failure> {
        loop {
            let Some((code, body)) = io.input.startup_packet().map_err(Failure::Fatal)? else {
                io.read().await?;
                continue;
            };
            match startup::read(code, &body).map_err(Failure::Fatal)? {
                Packet::Encryption { tls } => {
                    if !io.input.buffer.is_empty() {
                        // It could have come from someone between the client and us.
                        let message = "received unencrypted data after an encryption request";
                        return Err(Failure::Fatal(violation(message)));
                    }
                    let encrypts = tls && may_encrypt;
                    io.output.push(if encrypts { b'S' } else { b'N' });
                    io.release();
                    io.flush().await?;
                    if encrypts {
                        return Ok(Greeting::Encryption);
                    }
                }
                Packet::Cancel { process, secret } => {
                    self.shared.registry.cancel(process, secret);
                    return Ok(Greeting::Cancel);
                }
                Packet::Startup(startup) => return Ok(Greeting::Session(startup)),
            }
        }
    }

    /// To the proof of who the client is.
    async fn admit<T: Transport>(&self, io: &mut Io<T>, startup: Startup) -> Result<Admitted, Failure> {
        if startup.newer || !startup.unknown_options.is_empty() {
            backend::negotiate_protocol_version(&mut io.output, &startup.unknown_options);
        }
        let Ok(permit) = Arc::clone(&self.shared.permits).try_acquire_owned() else {
            Metrics::count(&self.shared.options.metrics.rejected_connections);
            let message = "sorry, too many clients already";
            return Err(Failure::Fatal(Error::new(ErrorKind::TooManyConnections, message)));
        };
        let connected = Connected::new(&self.shared.options.metrics);
        if self.shared.options.require_auth {
            self.authenticate(io, &startup.user).await?;
        }
        Ok(Admitted { startup, _permit: permit, _connected: connected })
    }

    async fn authenticate<T: Transport>(&self, io: &mut Io<T>, user: &str) -> Result<(), Failure> {
        let role = self.shared.database.role(user);
        let right = match Demand::of(role.as_deref(), user, &self.shared.secret)? {
            Demand::Scram(verification) => authenticate_scram(io, verification).await?,
            Demand::Md5 { salt, expected } => {
                backend::authentication(&mut io.output, 5, &salt);
                let answer = password_message(io).await?;
                let mut fields = Fields(&answer);
                same(fields.text().map_err(Failure::Fatal)?.as_bytes(), expected.as_bytes())
            }
        };
        if right {
            return Ok(());
        }
        Metrics::count(&self.shared.options.metrics.authentication_failures);
        warn!(user, "a password was wrong");
        Err(Failure::Fatal(refused(user)))
    }

    /// Begins the session and tells the client so.
    fn begin<T: Transport>(
        &self,
        io: &mut Io<T>,
        startup: &Startup,
        address: Option<String>,
    ) -> Result<(luma_query::Session, crate::registry::Registration), Failure> {
        let database = &self.shared.database;
        let known = self.shared.options.require_auth || database.role(&startup.user).is_some();
        let session = database.session(SessionOptions {
            user: if known { startup.user.clone() } else { ADMINISTRATOR.to_owned() },
            database: match startup.database.as_str() {
                "" => startup.user.clone(),
                database => database.to_owned(),
            },
            application_name: startup.application_name.clone(),
            client_address: address,
            parameters: startup.parameters.clone(),
        })?;
        let process = session.number() as i32;
        let registration = self.shared.registry.register(process, session.cancel_handle())?;
        backend::authentication(&mut io.output, 0, &[]);
        for (name, value) in session.reported_parameters() {
            backend::parameter_status(&mut io.output, &name, &value);
        }
        backend::backend_key_data(&mut io.output, registration.process, registration.secret);
        backend::ready_for_query(&mut io.output, session.status());
        io.release();
        io.input.trust();
        if self.shared.stop.is_cancelled() {
            return Err(Failure::Fatal(shutting_down()));
        }
        Ok((session, registration))
    }
}

async fn authenticate_scram<T: Transport>(
    io: &mut Io<T>,
    verification: scram::Verification,
) -> Result<bool, Failure> {
    backend::authentication(&mut io.output, 10, format!("{}\0\0", scram::MECHANISM).as_bytes());
    let message = password_message(io).await?;
    let first = (|| {
        let mut fields = Fields(&message);
        let mechanism = fields.text()?;
        if mechanism != scram::MECHANISM {
            return Err(violation("client selected an invalid SASL authentication mechanism"));
        }
        let length = usize::try_from(fields.i32()?).map_err(|_| violation("SCRAM needs a first message"))?;
        let first = crate::message::field::utf8(fields.bytes(length)?)?;
        fields.end()?;
        verification.begin(first, &nonce()?)
    })();
    let exchange = first.map_err(Failure::Fatal)?;
    backend::authentication(&mut io.output, 11, exchange.challenge.as_bytes());
    let message = password_message(io).await?;
    let proof = crate::message::field::utf8(&message).map_err(Failure::Fatal)?;
    match exchange.finish(proof).map_err(Failure::Fatal)? {
        Some(signature) => {
            backend::authentication(&mut io.output, 12, signature.as_bytes());
            Ok(true)
        }
        None => Ok(false),
    }
}

/// Sends the demand and waits for the answer.
async fn password_message<T: Transport>(io: &mut Io<T>) -> Result<bytes::BytesMut, Failure> {
    io.release();
    io.flush().await?;
    loop {
        match io.input.message().map_err(Failure::Fatal)? {
            Some(frame) if frame.tag == b'p' => return Ok(frame.body),
            Some(frame) if frame.tag == b'X' => return Err(Failure::Disconnected),
            Some(frame) => {
                let message = format!("expected password response, got message type {}", frame.tag);
                return Err(Failure::Fatal(violation(message)));
            }
            None => io.read().await?,
        }
    }
}

async fn join_all(connections: &mut JoinSet<()>) {
    while let Some(ended) = connections.join_next().await {
        report(ended);
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(ended) = ended
        && ended.is_panic()
    {
        error!(%ended, "a connection ended by a defect");
    }
}

fn is_of_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
