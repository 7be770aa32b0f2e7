//! Cursors that SQL declares.
//!
//! A cursor reads its query as far as it was asked to. One that was declared with SCROLL keeps the
//! rows it has read, within the memory of a statement, and goes both ways; any other forgets them.
//! Its position is a row from 1 on, 0 before the first, one past the last behind it.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::sql::sqlparser::ast::{self, FetchDirection};
use luma_model::{DataType, Error, ErrorKind, Result, Value};

use crate::execute;
use crate::names::identifier;
use crate::outcome::{CommandTag, Outcome, RowStream};
use crate::session::Session;

/// An open cursor.
pub(crate) struct Cursor {
    pub(crate) stream: RowStream,
    /// Outlives its transaction.
    pub(crate) hold: bool,
    /// Rows that were read: all of them when it scrolls, those not given yet otherwise.
    rows: Vec<RecordBatch>,
    /// How many rows went before those in `rows`.
    forgotten: usize,
    /// How many rows were read until now.
    read: usize,
    ended: bool,
    position: usize,
    scrolls: bool,
    memory_bytes_max: usize,
}

impl Cursor {
    fn new(stream: RowStream, hold: bool, scrolls: bool, memory_bytes_max: usize) -> Self {
        Self {
            stream,
            hold,
            rows: Vec::new(),
            forgotten: 0,
            read: 0,
            ended: false,
            position: 0,
            scrolls,
            memory_bytes_max,
        }
    }

    /// Reads until there are `wanted` rows or no more.
    async fn read_to(&mut self, wanted: usize) -> Result<()> {
        while self.read < wanted && !self.ended {
            match self.stream.next_batch().await? {
                Some(batch) if batch.num_rows() == 0 => {}
                Some(batch) => {
                    self.read += batch.num_rows();
                    self.rows.push(batch);
                    let bytes: usize = self.rows.iter().map(RecordBatch::get_array_memory_size).sum();
                    if self.scrolls && bytes > self.memory_bytes_max {
                        return Err(Error::new(
                            ErrorKind::OutOfMemory,
                            "the rows of a scrollable cursor take more memory than a statement may have",
                        )
                        .hint("Declare it with NO SCROLL, or select fewer rows."));
                    }
                }
                None => self.ended = true,
            }
        }
        Ok(())
    }

    /// Rows `first` to `last`, counted from 1, as far as they were read.
    fn slice(&self, first: usize, last: usize) -> Vec<RecordBatch> {
        let (mut before, mut given) = (self.forgotten, Vec::new());
        for batch in &self.rows {
            let (start, end) = (first.max(before + 1), last.min(before + batch.num_rows()));
            if start <= end {
                given.push(batch.slice(start - before - 1, end - start + 1));
            }
            before += batch.num_rows();
        }
        given
    }

    /// Drops rows that a cursor without SCROLL never gives again; the current one stays.
    fn forget(&mut self) {
        let kept_from = self.position.max(1) - 1;
        while let Some(batch) = self.rows.first() {
            if self.scrolls || self.forgotten + batch.num_rows() > kept_from {
                return;
            }
            self.forgotten += batch.num_rows();
            self.rows.remove(0);
        }
    }

    /// The next `count` rows; all for `None`.
    async fn forward(&mut self, count: Option<usize>) -> Result<Vec<RecordBatch>> {
        let last = count.map_or(usize::MAX, |count| self.position.saturating_add(count));
        self.read_to(last).await?;
        let rows = self.slice(self.position + 1, last);
        self.position = last.min(self.read + 1);
        self.forget();
        Ok(rows)
    }

    /// The `count` rows before the current one, the nearest first.
    fn backward(&mut self, count: Option<usize>) -> Result<Vec<RecordBatch>> {
        self.must_scroll()?;
        let first = count.map_or(1, |count| self.position.saturating_sub(count).max(1));
        let rows = (first..self.position).rev().flat_map(|row| self.slice(row, row)).collect();
        self.position = count.map_or(0, |count| self.position.saturating_sub(count));
        Ok(rows)
    }

    /// The row at a place.
    async fn at(&mut self, row: usize) -> Result<Vec<RecordBatch>> {
        if row < self.position {
            self.must_scroll()?;
        }
        self.read_to(row).await?;
        self.position = row.min(self.read + 1);
        let rows = if row == 0 { Vec::new() } else { self.slice(row, row) };
        self.forget();
        Ok(rows)
    }

    fn must_scroll(&self) -> Result<()> {
        if self.scrolls {
            return Ok(());
        }
        Err(Error::new(ErrorKind::ObjectNotInPrerequisiteState, "cursor can only scan forward")
            .hint("Declare it with SCROLL option to enable backward scan."))
    }

    async fn fetch(&mut self, direction: &FetchDirection) -> Result<Vec<RecordBatch>> {
        let relative = |position: usize, by: i64| {
            let by_abs = usize::try_from(by.unsigned_abs()).unwrap_or(usize::MAX);
            if by < 0 { position.saturating_sub(by_abs) } else { position.saturating_add(by_abs) }
        };
        match direction {
            FetchDirection::Next => self.steps(1).await,
            FetchDirection::Prior => self.steps(-1).await,
            FetchDirection::Count { limit } | FetchDirection::Forward { limit: Some(limit) } => {
                self.steps(number(limit)?).await
            }
            FetchDirection::Forward { limit: None } => self.steps(1).await,
            FetchDirection::Backward { limit } => {
                let count = limit.as_ref().map_or(Ok(1), number)?;
                self.steps(count.saturating_neg()).await
            }
            FetchDirection::All | FetchDirection::ForwardAll => self.forward(None).await,
            FetchDirection::BackwardAll => self.backward(None),
            FetchDirection::First => self.at(1).await,
            FetchDirection::Last => self.row_from_end(1).await,
            FetchDirection::Absolute { limit } => match number(limit)? {
                row if row < 0 => {
                    self.row_from_end(usize::try_from(row.unsigned_abs()).unwrap_or(usize::MAX)).await
                }
                row => self.at(usize::try_from(row).unwrap_or(usize::MAX)).await,
            },
            FetchDirection::Relative { limit } => {
                let row = relative(self.position, number(limit)?);
                self.at(row).await
            }
        }
    }

    /// So many rows on; back for a number below zero, the current row again for zero.
    async fn steps(&mut self, count: i64) -> Result<Vec<RecordBatch>> {
        let steps = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
        match count {
            0 => self.at(self.position).await,
            1.. => self.forward(Some(steps)).await,
            _ => self.backward(Some(steps)),
        }
    }

    /// The row that is so many from the end, the last one for 1.
    async fn row_from_end(&mut self, back: usize) -> Result<Vec<RecordBatch>> {
        self.must_scroll()?;
        self.read_to(usize::MAX).await?;
        self.at((self.read + 1).saturating_sub(back)).await
    }
}

fn number(value: &ast::ValueWithSpan) -> Result<i64> {
    let text = value.to_string();
    text.parse().map_err(|_| Error::new(ErrorKind::Syntax, format!("\"{text}\" is not a count of rows")))
}

/// Runs DECLARE.
pub(crate) async fn declare(
    session: &mut Session,
    statements: &[ast::Declare],
    types: &[DataType],
    parameters: &[Value],
) -> Result<()> {
    let [declare] = statements else {
        return Err(Error::new(ErrorKind::Syntax, "DECLARE takes one cursor"));
    };
    let (Some(name), Some(query)) = (declare.names.first().map(identifier), &declare.for_query) else {
        return Err(Error::new(ErrorKind::Syntax, "DECLARE takes a name and a query"));
    };
    let hold = declare.hold == Some(true);
    if session.active()?.implicit && !hold {
        return Err(Error::new(
            ErrorKind::NoActiveTransaction,
            "DECLARE CURSOR can only be used in transaction blocks",
        ));
    }
    if session.cursors.contains_key(&name) {
        return Err(Error::new(ErrorKind::DuplicateCursor, format!("cursor \"{name}\" already exists")));
    }
    let info = session.new_info();
    let (columns, batches) = execute::run_query(session, query, types, parameters, &info).await?;
    let stream = RowStream::new(columns.into(), batches, CommandTag::Fetch(0));
    let memory = session.shared.options.statement_memory_bytes;
    let cursor = Cursor::new(stream, hold, declare.scroll == Some(true), memory);
    session.cursors.insert(name, cursor);
    Ok(())
}

pub(crate) fn no_cursor(name: &str) -> Error {
    Error::new(ErrorKind::InvalidCursorName, format!("cursor \"{name}\" does not exist"))
}

/// Runs FETCH.
pub(crate) async fn fetch(session: &mut Session, name: &str, direction: &FetchDirection) -> Result<Outcome> {
    let cursor = session.cursors.get_mut(name).ok_or_else(|| no_cursor(name))?;
    let rows = cursor.fetch(direction).await?;
    Ok(Outcome::Rows(RowStream::ready(Arc::clone(&cursor.stream.columns), rows, CommandTag::Fetch(0))))
}

/// Runs MOVE: as FETCH, but only the number of rows is said.
pub(crate) async fn pass(session: &mut Session, name: &str, direction: &FetchDirection) -> Result<Outcome> {
    let cursor = session.cursors.get_mut(name).ok_or_else(|| no_cursor(name))?;
    let rows = cursor.fetch(direction).await?;
    let count = rows.iter().map(|batch| batch.num_rows() as u64).sum();
    Ok(Outcome::Complete(CommandTag::Move(count)))
}
