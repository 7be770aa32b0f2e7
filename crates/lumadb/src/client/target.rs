//! Finding the database that a command is about: a server, or a directory.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use luma_door_postgres::{Door, DoorOptions};
use luma_query::{ADMINISTRATOR, DATABASE_NAME};
use tokio::net::TcpStream;
use tokio_postgres::config::Host;
use tokio_util::sync::CancellationToken;

use crate::Failure;
use crate::client::{CancelKey, Client, Stream, message};
use crate::command::Target;
use crate::config::Config;

/// How long a server may take to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes on their way between the two ends of a pipe.
const PIPE_BYTES: usize = 256 << 10;

/// A database to connect to.
pub(crate) struct Database {
    place: Place,
    user: String,
    password: Option<Vec<u8>>,
    name: String,
}

enum Place {
    Server { host: String, port: u16 },
    Directory { door: Door, database: luma_query::Database },
}

/// Finds the database that a command is about.
///
/// # Errors
/// When the URL is not one or the directory can't be opened.
pub(crate) fn open(config: &Config, target: &Target) -> Result<Database, Failure> {
    // Not by clap, for which the variable would stand against an argument that overrides it.
    let variable = std::env::var("LUMADB_URL").ok().filter(|url| !url.is_empty());
    match (&target.data_dir, target.url.as_ref().or(variable.as_ref())) {
        (Some(directory), _) => Database::of_directory(config, directory),
        (None, Some(url)) => Database::of_url(url),
        (None, None) => {
            let host = config.host("postgres");
            let password = std::env::var("PGPASSWORD").ok().map(String::into_bytes);
            Ok(Database {
                place: Place::Server { host, port: config.count("postgres", "port") as u16 },
                user: ADMINISTRATOR.to_owned(),
                password,
                name: DATABASE_NAME.to_owned(),
            })
        }
    }
}

impl Database {
    fn of_directory(config: &Config, directory: &Path) -> Result<Self, Failure> {
        if !directory.is_dir() {
            let message = format!("{} is not a directory", directory.display());
            return Err(Failure::new(message));
        }
        let database = crate::database::open_in_process(config, directory)?;
        // Whoever can open the directory may do everything with it.
        let options = DoorOptions { require_auth: false, ..DoorOptions::default() };
        let door = Door::new(database.clone(), options, CancellationToken::new())?;
        Ok(Self {
            place: Place::Directory { door, database },
            user: ADMINISTRATOR.to_owned(),
            password: None,
            name: DATABASE_NAME.to_owned(),
        })
    }

    fn of_url(url: &str) -> Result<Self, Failure> {
        let config = tokio_postgres::Config::from_str(url).map_err(|error| {
            let cause =
                std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            Failure::new(format!("\"{url}\" is not a URL such as postgres://user@host:5432/lumadb{cause}"))
        })?;
        let host = match config.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            Some(_) => return Err(Failure::new("connections over Unix sockets are not supported")),
            None => "127.0.0.1".to_owned(),
        };
        let password = config.get_password().map(<[u8]>::to_vec);
        Ok(Self {
            place: Place::Server { host, port: config.get_ports().first().copied().unwrap_or(5432) },
            user: config.get_user().unwrap_or(ADMINISTRATOR).to_owned(),
            password: password.or_else(|| std::env::var("PGPASSWORD").ok().map(String::into_bytes)),
            name: config.get_dbname().unwrap_or(DATABASE_NAME).to_owned(),
        })
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// When there is no server or it does not let us in.
    pub(crate) async fn connect(&self) -> Result<Client, Failure> {
        let stream = self.stream().await?;
        Client::start(stream, &self.user, self.password.as_deref(), &self.name).await
    }

    /// Ends what a connection runs.
    pub(crate) async fn cancel(&self, key: CancelKey) -> Result<(), Failure> {
        use tokio::io::AsyncWriteExt;
        let mut stream = self.stream().await?;
        stream.write_all(&message::cancel_request(key.process, key.secret)).await?;
        Ok(stream.shutdown().await?)
    }

    async fn stream(&self) -> Result<Box<dyn Stream>, Failure> {
        match &self.place {
            Place::Server { host, port } => {
                let connect = TcpStream::connect((host.as_str(), *port));
                let failed =
                    |why: String| Failure::new(format!("cannot connect to a server at {host}:{port}: {why}"));
                match tokio::time::timeout(CONNECT_TIMEOUT, connect).await {
                    Ok(Ok(stream)) => {
                        stream.set_nodelay(true)?;
                        Ok(Box::new(stream))
                    }
                    Ok(Err(error)) => Err(failed(error.to_string())),
                    Err(_) => Err(failed("no answer in time".into())),
                }
            }
            Place::Directory { door, .. } => {
                let (client, server) = tokio::io::duplex(PIPE_BYTES);
                let door = door.clone();
                tokio::spawn(async move { door.connect(server, None).await });
                Ok(Box::new(client))
            }
        }
    }

    /// Closes a directory; what was committed is kept either way.
    ///
    /// # Errors
    /// When the last writes fail.
    pub(crate) fn close(self) -> Result<(), Failure> {
        if let Place::Directory { door, database } = self.place {
            drop(door);
            let engine = database.engine().clone();
            drop(database);
            engine.close()?;
        }
        Ok(())
    }

    /// The database itself, if it is a directory that this process has open.
    pub(crate) fn local(&self) -> Option<&luma_query::Database> {
        match &self.place {
            Place::Directory { database, .. } => Some(database),
            Place::Server { .. } => None,
        }
    }
}

/// Runs a command's work on a runtime of its own.
///
/// # Errors
/// Of the work.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(work)
}
