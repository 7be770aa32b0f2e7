//! What a statement gives back.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use futures::StreamExt;
use futures::stream::BoxStream;
use luma_model::{DataType, Error, ErrorKind, Result, ValueRef};
use tokio::time::Instant;

use crate::copy::{CopyIn, CopyOut};
use crate::prepared::Prepared;
use crate::statement::locate;
use crate::statements::Run;

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name; names may repeat.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
    /// The table it is a plain column of, else 0.
    pub table_oid: u32,
    /// Its number in that table, else 0.
    pub attribute: i16,
}

impl Column {
    /// A computed column.
    pub fn new(name: impl Into<String>, data_type: DataType) -> Self {
        Self { name: name.into(), data_type, table_oid: 0, attribute: 0 }
    }
}

/// Takes rows that are in memory already, one at a time and without copying.
pub trait RowSink: Send {
    /// Takes one row, a value per column.
    fn row(&mut self, values: &[ValueRef<'_>]) -> Result<()>;
}

/// Rows that are read when they are asked for, and without waiting.
pub(crate) trait RowSource: Send {
    /// Gives up to `rows` further rows one by one.
    fn sink(&mut self, rows: usize, sink: &mut dyn RowSink) -> Result<Sunk>;

    /// The next few rows; `None` at the end.
    fn batch(&mut self) -> Result<Option<RecordBatch>>;
}

/// What went into a sink.
#[derive(Clone, Copy, Debug)]
pub struct Sunk {
    /// How many rows.
    pub rows: u64,
    /// Whether there are no more.
    pub ended: bool,
}

/// Where a stream's rows come from.
enum Rows {
    Batches(BoxStream<'static, Result<RecordBatch>>),
    Source(Box<dyn RowSource>),
}

impl Rows {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        match self {
            Self::Batches(batches) => batches.next().await.transpose(),
            Self::Source(source) => {
                // It never waits, and others on the thread want their turn.
                tokio::task::yield_now().await;
                source.batch()
            }
        }
    }
}

/// How an execution ended or goes on.
pub enum Outcome {
    /// Done; the rows, if any, went into the sink.
    Complete(CommandTag),
    /// Rows to pull, after those that went into the sink.
    Rows(RowStream),
    /// Waits for data.
    CopyIn(CopyIn),
    /// Gives data.
    CopyOut(CopyOut),
}

/// Rows to pull, batch by batch; nothing is computed ahead of the reader but one batch.
pub struct RowStream {
    /// What the batches' columns are.
    pub columns: Arc<[Column]>,
    rows: Rows,
    tag: CommandTag,
    /// Rows that went into the sink already.
    sunk: u64,
    /// How long the statement may take, and until when that is.
    time: Option<(Duration, Instant)>,
    source: Option<Arc<Prepared>>,
    /// Counts the run when the stream ends.
    run: Option<Run>,
}

impl RowStream {
    pub(crate) fn new(
        columns: Arc<[Column]>,
        batches: BoxStream<'static, Result<RecordBatch>>,
        tag: CommandTag,
    ) -> Self {
        Self { columns, rows: Rows::Batches(batches), tag, sunk: 0, time: None, source: None, run: None }
    }

    /// A stream of rows that can go into a sink one by one, after so many that went there already.
    pub(crate) fn from_source(columns: Arc<[Column]>, source: Box<dyn RowSource>, sunk: u64) -> Self {
        let rows = Rows::Source(source);
        Self { columns, rows, tag: CommandTag::Select(0), sunk, time: None, source: None, run: None }
    }

    /// A stream of batches that exist already.
    pub(crate) fn ready(columns: Arc<[Column]>, batches: Vec<RecordBatch>, tag: CommandTag) -> Self {
        Self::new(columns, futures::stream::iter(batches.into_iter().map(Ok)).boxed(), tag)
    }

    pub(crate) fn with_tag(self, tag: CommandTag) -> Self {
        Self { tag, ..self }
    }

    /// Errors of the rows' computation get their place in this statement.
    pub(crate) fn comes_from(&mut self, source: Arc<Prepared>) {
        self.source = Some(source);
    }

    /// The rows and the time until the stream is dropped are those of the run.
    pub(crate) fn counts_into(&mut self, mut run: Run) {
        run.rows(self.sunk);
        self.run = Some(run);
    }

    /// Ends the stream with an error once the statement has taken so long, counted from `started`.
    pub(crate) fn limit_time(&mut self, limit: Duration, started: Instant) {
        self.time = Some((limit, started + limit));
    }

    /// Counts the time from now on: a client came back for more rows.
    pub fn restart_time(&mut self) {
        self.time = self.time.map(|(limit, _)| (limit, Instant::now() + limit));
    }

    /// The next batch; `None` at the end.
    ///
    /// # Errors
    /// Of the rows' computation; 57014 when `statement_timeout` has passed.
    pub async fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let next = self.next_within_time().await;
        if let Some(run) = &mut self.run {
            match &next {
                Ok(Some(batch)) => run.rows(batch.num_rows() as u64),
                Ok(None) => self.run = None,
                Err(_) => run.failed(),
            }
        }
        next
    }

    /// Whether rows can go into a sink one by one.
    pub fn is_sinkable(&self) -> bool {
        matches!(self.rows, Rows::Source(_))
    }

    /// Gives up to `rows` further rows to a sink one by one, without waiting; none of a stream of batches.
    ///
    /// # Errors
    /// As those of [`RowStream::next_batch`], and those of the sink.
    pub fn sink(&mut self, rows: usize, sink: &mut dyn RowSink) -> Result<Sunk> {
        let given = match &mut self.rows {
            Rows::Batches(_) => Ok(Sunk { rows: 0, ended: false }),
            Rows::Source(_) if self.time.is_some_and(|(_, ends)| Instant::now() >= ends) => {
                Err(statement_timeout())
            }
            Rows::Source(source) => {
                source.sink(rows, sink).map_err(|error| located(error, self.source.as_deref()))
            }
        };
        if let Some(run) = &mut self.run {
            match &given {
                Ok(sunk) => run.rows(sunk.rows),
                Err(_) => run.failed(),
            }
        }
        if given.as_ref().is_ok_and(|sunk| sunk.ended) {
            self.run = None;
        }
        given
    }

    async fn next_within_time(&mut self) -> Result<Option<RecordBatch>> {
        let source = self.source.as_deref();
        let rows = &mut self.rows;
        let next = async { rows.next().await.map_err(|error| located(error, source)) };
        let Some((_, ends)) = self.time else { return next.await };
        // A stream that always has a batch ready would never let the timer speak.
        if Instant::now() >= ends {
            return Err(statement_timeout());
        }
        tokio::time::timeout_at(ends, next).await.map_err(|_| statement_timeout())?
    }

    /// The tag once `rows` rows of the stream were sent, after those that went into the sink.
    pub fn tag(&self, rows: u64) -> CommandTag {
        let rows = self.sunk + rows;
        match self.tag {
            CommandTag::Select(_) => CommandTag::Select(rows),
            CommandTag::Fetch(_) => CommandTag::Fetch(rows),
            ref other => other.clone(),
        }
    }
}

/// An error with its place in the statement that the rows come from.
fn located(error: Error, source: Option<&Prepared>) -> Error {
    match source {
        Some(source) => locate(error, &source.statement),
        None => error,
    }
}

/// A statement took longer than it may.
pub(crate) fn statement_timeout() -> Error {
    Error::new(ErrorKind::QueryCanceled, "canceling statement due to statement timeout")
}

/// What a completed statement is called in the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandTag {
    /// Rows read.
    Select(u64),
    /// Rows inserted.
    Insert(u64),
    /// Rows updated.
    Update(u64),
    /// Rows deleted.
    Delete(u64),
    /// Rows merged.
    Merge(u64),
    /// Rows copied.
    Copy(u64),
    /// Rows fetched from a cursor.
    Fetch(u64),
    /// Rows that a cursor passed.
    Move(u64),
    /// A statement that counts nothing.
    Other(&'static str),
}

impl CommandTag {
    /// Appends the tag as the protocol spells it.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        let (word, count) = match self {
            Self::Select(count) => ("SELECT ", *count),
            Self::Insert(count) => ("INSERT 0 ", *count),
            Self::Update(count) => ("UPDATE ", *count),
            Self::Delete(count) => ("DELETE ", *count),
            Self::Merge(count) => ("MERGE ", *count),
            Self::Copy(count) => ("COPY ", *count),
            Self::Fetch(count) => ("FETCH ", *count),
            Self::Move(count) => ("MOVE ", *count),
            Self::Other(word) => {
                out.extend_from_slice(word.as_bytes());
                return;
            }
        };
        out.extend_from_slice(word.as_bytes());
        out.extend_from_slice(count.to_string().as_bytes());
    }
}

impl std::fmt::Display for CommandTag {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut bytes = Vec::new();
        self.write_to(&mut bytes);
        formatter.write_str(&String::from_utf8_lossy(&bytes))
    }
}

/// What ReadyForQuery says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    /// Outside of a transaction block.
    Idle,
    /// Inside one.
    InTransaction,
    /// Inside one that an error ended; only its end is accepted.
    Failed,
}

/// How grave a notice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Worth knowing.
    Notice,
    /// Likely a mistake.
    Warning,
}

/// Something to tell the client beside the result.
#[derive(Clone, Debug)]
pub struct Notice {
    /// How grave it is.
    pub severity: Severity,
    /// What it says, with its code.
    pub error: Error,
}
