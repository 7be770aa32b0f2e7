//! The database inside a program: a directory is opened, SQL runs in the process, results are Arrow.
//!
//! ```
//! # fn main() -> Result<(), lumadb::Failure> {
//! # let directory = tempfile::tempdir()?;
//! # let directory = directory.path();
//! let database = lumadb::Embedded::open(directory)?;
//! let mut connection = database.connect()?;
//! connection.run("CREATE TABLE t (id int PRIMARY KEY, name text); INSERT INTO t VALUES (1, 'one'), (2, 'two')")?;
//! let found = connection.run_with("SELECT name FROM t WHERE id = $1", &[Some("2")])?;
//! assert_eq!(found.rows(), 1);
//! assert_eq!(found.batches[0].schema().field(0).name(), "name");
//! database.close()?;
//! # Ok(())
//! # }
//! ```
//!
//! A directory is open in one process at a time. Each connection is a session of its own, with transactions and settings;
//! what one commits all others see. There are no sockets, no roles to log in as, and no server to start: whoever can open the
//! directory may do everything with it. A commit is on disk when the call returns, as with the server.

mod arrow;

use std::path::Path;
use std::sync::Arc;

use ::arrow::datatypes::SchemaRef;
use ::arrow::record_batch::RecordBatch;
use luma_model::{Error, ErrorKind, Value, parse_text};
use luma_query::{
    ADMINISTRATOR, CancelHandle, Column, CommandTag, DATABASE_NAME, Database, Outcome, RowSink, Session,
    SessionOptions,
};
use tokio::runtime::Runtime;

use crate::Failure;
use crate::config::Config;

/// An open database.
pub struct Embedded {
    database: Database,
    runtime: Arc<Runtime>,
}

impl std::fmt::Debug for Embedded {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Embedded").finish_non_exhaustive()
    }
}

impl Embedded {
    /// Opens the database in a directory with default settings; it is made if it does not exist.
    ///
    /// # Errors
    /// When the directory is open elsewhere, holds something else, is damaged, or cannot be written.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, Failure> {
        Self::open_with(&Config::load(None, &[])?, directory)
    }

    /// The same with the sections `[memory]`, `[query]`, `[wal]`, `[storage]` and `[compaction]` of a configuration.
    ///
    /// # Errors
    /// As [`Embedded::open`].
    pub fn open_with(config: &Config, directory: impl AsRef<Path>) -> Result<Self, Failure> {
        let database = crate::database::open_in_process(config, directory.as_ref())?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("lumadb-embedded")
            .thread_stack_size(luma_query::STACK_BYTES)
            .enable_all()
            .build()?;
        Ok(Self { database, runtime: Arc::new(runtime) })
    }

    /// A session of its own.
    ///
    /// # Errors
    /// When the database was closed.
    pub fn connect(&self) -> Result<Connection, Failure> {
        let options = SessionOptions {
            user: ADMINISTRATOR.to_owned(),
            database: DATABASE_NAME.to_owned(),
            application_name: "embedded".to_owned(),
            ..SessionOptions::default()
        };
        let session = self.database.session(options)?;
        Ok(Connection { session, runtime: Arc::clone(&self.runtime) })
    }

    /// Closes the database: connections that are left fail from now on. Everything that was committed is on disk already;
    /// dropping it does the same without telling of errors.
    ///
    /// # Errors
    /// When what is in memory could not be written.
    pub fn close(self) -> Result<(), Failure> {
        let engine = self.database.engine().clone();
        drop(self.database);
        Ok(engine.close()?)
    }
}

/// What a statement gave.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Names and types of the columns; none if the statement gives no rows.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Vec<RecordBatch>,
    /// How many rows were read or changed, where the statement counts them.
    pub count: Option<u64>,
}

impl Answer {
    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

/// A session.
pub struct Connection {
    session: Session,
    runtime: Arc<Runtime>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Connection {
    /// Runs statements, together in one transaction unless they say otherwise or one is open; the answer is the last one's.
    ///
    /// # Errors
    /// Of the first statement that fails; nothing of a transaction that the call began is kept then.
    pub fn run(&mut self, sql: &str) -> Result<Answer, Error> {
        self.run_with(sql, &[])
    }

    /// Runs one statement with values for `$1`, `$2`, …: each as text, as PostgreSQL reads the type its place wants.
    ///
    /// # Errors
    /// As [`Connection::run`]; 42601 for several statements with parameters, 22P02 and its kin for a text that is no value of its type.
    pub fn run_with(&mut self, sql: &str, parameters: &[Option<&str>]) -> Result<Answer, Error> {
        let Self { session, runtime } = self;
        if tokio::runtime::Handle::try_current().is_ok() {
            let message = "the embedded database waits, which no asynchronous task may";
            return Err(Error::new(ErrorKind::ObjectNotInPrerequisiteState, message)
                .hint("Call it in tokio::task::spawn_blocking, or on a thread of its own."));
        }
        runtime.block_on(async {
            let result = run(session, sql, parameters).await;
            if result.is_err() {
                session.fail();
            }
            let synced = session.sync().await;
            let answer = result?;
            synced?;
            Ok(answer)
        })
    }

    /// Lets statements of this connection read batches under a name; what had it before goes. `INSERT INTO t SELECT * FROM
    /// name` stores them.
    ///
    /// # Errors
    /// 42P07 if a table has the name; when a type or a value has no counterpart in SQL.
    pub fn register(&mut self, name: &str, schema: &SchemaRef, batches: &[RecordBatch]) -> Result<(), Error> {
        self.session.register(name, schema, batches)
    }

    /// Takes a name back; `false` if nothing was registered under it.
    pub fn unregister(&mut self, name: &str) -> bool {
        self.session.unregister(name)
    }

    /// Ends what runs, from another thread.
    pub fn cancel_handle(&self) -> CancelHandle {
        self.session.cancel_handle()
    }
}

async fn run(session: &mut Session, sql: &str, parameters: &[Option<&str>]) -> Result<Answer, Error> {
    let statements = session.parse_script(sql)?;
    if statements.len() > 1 && !parameters.is_empty() {
        let message = "cannot insert multiple commands into a prepared statement";
        return Err(Error::new(ErrorKind::Syntax, message));
    }
    let mut last = Answer {
        schema: SchemaRef::new(::arrow::datatypes::Schema::empty()),
        batches: Vec::new(),
        count: None,
    };
    for statement in statements {
        let prepared = session.prepare(statement, &[]).await?;
        let types = prepared.parameter_types();
        if types.len() != parameters.len() {
            let message =
                format!("{} parameters were given, and the statement has {}", parameters.len(), types.len());
            return Err(Error::new(ErrorKind::ProtocolViolation, message));
        }
        let context = session.text_context(types);
        let values = types.iter().zip(parameters).map(|(data_type, text)| match text {
            Some(text) => parse_text(data_type, text, &context),
            None => Ok(Value::Null),
        });
        let values = values.collect::<Result<Vec<Value>, Error>>()?;
        let columns: Arc<[Column]> = prepared.columns().cloned().unwrap_or_else(|| Vec::new().into());
        let mut sink = arrow::Gathered::new(&columns);
        let outcome = session.execute(&prepared, &values, Some(&mut sink as &mut dyn RowSink)).await?;
        let (columns, batches, tag) = match outcome {
            Outcome::Complete(tag) => (columns, sink.finish()?, tag),
            Outcome::Rows(mut stream) => {
                let mut batches = sink.finish()?;
                let mut rows = 0;
                let cancel = session.cancel_handle();
                loop {
                    let batch = tokio::select! {
                        batch = stream.next_batch() => batch?,
                        error = cancel.canceled() => return Err(error),
                    };
                    let Some(batch) = batch else { break };
                    rows += batch.num_rows() as u64;
                    batches.push(batch.columns().to_vec());
                }
                (Arc::clone(&stream.columns), batches, stream.tag(rows))
            }
            Outcome::CopyIn(copy) => {
                let message = "COPY FROM STDIN has nothing to read from here";
                return Err(copy.abort(session, message));
            }
            Outcome::CopyOut(_) => {
                let message = "COPY TO STDOUT has nowhere to write to here";
                return Err(Error::new(ErrorKind::FeatureNotSupported, message)
                    .hint("Write to a file, or run the query."));
            }
        };
        let context = session.text_context(columns.iter().map(|column| &column.data_type));
        let (schema, batches) = arrow::outer(&columns, &batches, &context)?;
        last = Answer { schema, batches, count: count(&tag) };
    }
    Ok(last)
}

fn count(tag: &CommandTag) -> Option<u64> {
    match tag {
        CommandTag::Select(rows)
        | CommandTag::Insert(rows)
        | CommandTag::Update(rows)
        | CommandTag::Delete(rows)
        | CommandTag::Merge(rows)
        | CommandTag::Copy(rows)
        | CommandTag::Fetch(rows)
        | CommandTag::Move(rows) => Some(*rows),
        CommandTag::Other(_) => None,
    }
}
