//! Running statements on a connection's session: watched, cancelable, row by row into the buffer.

use std::sync::Arc;
use std::time::Instant;

use luma_model::{DataType, TextContext, Value};
use luma_query::{CancelHandle, CommandTag, Outcome, Prepared, RowSink, Session, Statement};

use crate::failure::Failure;
use crate::io::{Io, OUTPUT_BYTES_MAX, Transport};
use crate::message::backend;
use crate::message::frontend::Format;
use crate::metrics::Metrics;
use crate::rows::{OpenBatch, RowWriter, Rows};

/// Rows that are written before they are sent, where they are read one by one.
const SUNK_ROWS: usize = 512;

/// A session and the bytes it is reached by.
pub(crate) struct Runner<T> {
    pub(crate) io: Io<T>,
    pub(crate) session: Session,
    pub(crate) cancel: CancelHandle,
    pub(crate) metrics: Arc<Metrics>,
}

/// How a statement is run.
pub(crate) struct Run<'a> {
    pub(crate) prepared: &'a Arc<Prepared>,
    pub(crate) parameters: &'a [Value],
    pub(crate) formats: &'a [Format],
    /// Whether rows come after a RowDescription.
    pub(crate) describe: bool,
    /// Whether all rows are wanted at once, so that those in memory need no stream.
    pub(crate) all_rows: bool,
}

impl<T: Transport> Runner<T> {
    pub(crate) async fn prepare(
        &mut self,
        statement: Statement,
        types: &[Option<DataType>],
    ) -> Result<Arc<Prepared>, Failure> {
        let Self { io, session, .. } = self;
        Ok(io.watch(session.prepare(statement, types)).await??)
    }

    /// Begins a statement; rows that are in memory are written at once.
    pub(crate) async fn execute(&mut self, run: &Run<'_>) -> Result<Outcome, Failure> {
        let Self { io, session, .. } = self;
        let columns = run.prepared.columns().map_or(&[][..], |columns| columns);
        let context = session.text_context(columns.iter().map(|column| &column.data_type));
        let Some(columns) = run.prepared.columns().filter(|_| run.all_rows) else {
            let outcome = io.watch(session.execute(run.prepared, run.parameters, None)).await??;
            self.describe_rows(run, &outcome);
            return Ok(outcome);
        };
        // The rows go into a buffer of their own while `io` sends what is ready.
        let mut out = std::mem::take(&mut io.output);
        let mut writer = RowWriter {
            out: &mut out,
            columns,
            formats: run.formats,
            context: &context,
            describe: run.describe,
        };
        let sink: &mut dyn RowSink = &mut writer;
        let outcome = io.watch(session.execute(run.prepared, run.parameters, Some(sink))).await;
        if let Ok(Ok(Outcome::Complete(_) | Outcome::Rows(_))) = &outcome {
            writer.describe();
        }
        io.output = out;
        Ok(outcome??)
    }

    fn describe_rows(&mut self, run: &Run<'_>, outcome: &Outcome) {
        let columns = match outcome {
            Outcome::Rows(stream) => &stream.columns,
            Outcome::Complete(_) => match run.prepared.columns() {
                Some(columns) => columns,
                None => return,
            },
            Outcome::CopyIn(_) | Outcome::CopyOut(_) => return,
        };
        if run.describe {
            backend::row_description(&mut self.io.output, columns, |place| {
                run.formats.get(place).copied().unwrap_or(Format::Text)
            });
        }
    }

    /// Sends up to `rows_max` rows; whether the rows are at their end.
    pub(crate) async fn send_rows(
        &mut self,
        rows: &mut Rows,
        formats: &[Format],
        rows_max: u64,
    ) -> Result<bool, Failure> {
        let types = rows.stream.columns.iter().map(|column| &column.data_type);
        let context: TextContext = self.session.text_context(types);
        rows.given = 0;
        while rows.batch.is_none() && rows.stream.is_sinkable() {
            let left = rows_max - rows.given;
            if left == 0 {
                return Ok(false);
            }
            // The client works on the rows so far while the next ones are read.
            self.io.release();
            self.io.watch(tokio::task::yield_now()).await?;
            self.io.relieve().await?;
            self.cancel.check()?;
            let columns = Arc::clone(&rows.stream.columns);
            let out = &mut self.io.output;
            let mut writer =
                RowWriter { out, columns: &columns, formats, context: &context, describe: false };
            let sunk =
                rows.stream.sink(SUNK_ROWS.min(usize::try_from(left).unwrap_or(SUNK_ROWS)), &mut writer)?;
            rows.given += sunk.rows;
            if sunk.ended {
                return Ok(true);
            }
        }
        loop {
            let batch = match &mut rows.batch {
                Some(batch) if !batch.is_done() => batch,
                _ => match self.next_batch(rows).await? {
                    Some(batch) => rows.batch.insert(OpenBatch::new(&batch, &rows.stream.columns)?),
                    None => return Ok(true),
                },
            };
            let left = usize::try_from(rows_max - rows.given).unwrap_or(usize::MAX);
            if left == 0 && !batch.is_done() {
                return Ok(false);
            }
            let columns = &rows.stream.columns;
            let out = &mut self.io.output;
            rows.given += batch.write(out, columns, formats, &context, left, OUTPUT_BYTES_MAX)? as u64;
            self.io.relieve().await?;
            self.cancel.check()?;
        }
    }

    /// Passes over up to `rows_max` rows; the answer is how many.
    pub(crate) async fn pass_rows(&mut self, rows: &mut Rows, rows_max: u64) -> Result<u64, Failure> {
        let mut passed = 0;
        while passed < rows_max {
            let batch = match &mut rows.batch {
                Some(batch) if !batch.is_done() => batch,
                _ => match self.next_batch(rows).await? {
                    Some(batch) => rows.batch.insert(OpenBatch::new(&batch, &rows.stream.columns)?),
                    None => break,
                },
            };
            passed += batch.pass(usize::try_from(rows_max - passed).unwrap_or(usize::MAX)) as u64;
        }
        Ok(passed)
    }

    async fn next_batch(&mut self, rows: &mut Rows) -> Result<Option<arrow_array::RecordBatch>, Failure> {
        let cancel = &self.cancel;
        let stream = &mut rows.stream;
        let next = async {
            tokio::select! {
                biased;
                batch = stream.next_batch() => batch,
                error = cancel.canceled() => Err(error),
            }
        };
        Ok(self.io.watch(next).await??)
    }

    /// Ends the implicit transaction; its effects are durable on return.
    pub(crate) async fn sync(&mut self) -> Result<(), Failure> {
        let Self { io, session, .. } = self;
        Ok(io.finish(session.sync()).await?)
    }

    /// Writes what a statement had to say beside its result.
    pub(crate) fn notices(&mut self) {
        for notice in self.session.take_notices() {
            backend::notice_response(&mut self.io.output, &notice);
        }
    }

    /// Writes what other sessions said.
    pub(crate) fn notifications(&mut self) {
        for notification in self.session.take_notifications() {
            backend::notification_response(&mut self.io.output, &notification);
        }
    }

    /// Writes that a statement is complete.
    pub(crate) fn complete(&mut self, tag: &CommandTag, started: Instant) {
        self.notices();
        backend::command_complete(&mut self.io.output, tag);
        self.metrics.completed(tag, started.elapsed());
    }

    /// Writes the error of a statement and marks its transaction.
    pub(crate) fn fail(&mut self, error: &luma_model::Error) {
        self.session.fail();
        self.notices();
        Metrics::count(&self.metrics.errors);
        backend::error_response(&mut self.io.output, error, false);
    }

    /// Writes that the next statement may come, and lets everything be sent.
    pub(crate) fn ready(&mut self) {
        self.notices();
        self.notifications();
        for (name, value) in self.session.take_parameter_changes() {
            backend::parameter_status(&mut self.io.output, &name, &value);
        }
        backend::ready_for_query(&mut self.io.output, self.session.status());
        self.io.release();
    }
}
