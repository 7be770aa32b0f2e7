//! COPY: tables in and out as a stream of bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use datafusion::sql::sqlparser::ast::{self, CopySource, CopyTarget, Statement as Sql};
use luma_model::arrow::CellReader;
use luma_model::{DataType, Error, ErrorKind, Result, TextContext, Value};
use luma_rows::{ConflictTarget, OpenTable, Suspended};

use crate::dml::target::Target;
use crate::execute;
use crate::expression::TableExpressions;
use crate::names::{Scope, identifier, qualified};
use crate::outcome::{CommandTag, Outcome, RowStream};
use crate::session::Session;

pub(crate) mod decode;
pub(crate) mod encode;
mod file;
pub(crate) mod json;
mod load;
pub(crate) mod options;

use load::{Candidate, TableLoad};
pub use options::CopyFormat;
use options::CopyOptions;

/// Bytes of data that are waited for before rows are made of them.
const PIECE_BYTES: usize = 64 << 10;
/// Rows between looks at how much there is.
const PIECE_ROWS: usize = 4096;

/// Runs COPY.
pub(crate) async fn statement(session: &mut Session, body: &Sql) -> Result<Outcome> {
    let Sql::Copy { source, to, target, options, legacy_options, .. } = body else {
        return Err(execute::unsupported(body));
    };
    let options = CopyOptions::parse(options, legacy_options, *to)?;
    match (to, target) {
        (_, CopyTarget::Stdout | CopyTarget::Stdin) if options.format == CopyFormat::Parquet => {
            Err(Error::new(ErrorKind::FeatureNotSupported, "COPY with the format parquet needs a file").hint(
                "Use COPY … TO 'path' or FROM 'path' on the server, `lumadb export` or `lumadb import`.",
            ))
        }
        (true, CopyTarget::Stdout) => copy_out(session, source, options).await.map(Outcome::CopyOut),
        (false, CopyTarget::Stdin) => copy_in(session, source, options).await.map(Outcome::CopyIn),
        (true, CopyTarget::File { filename }) => {
            file::write(session, source, options, filename).await.map(Outcome::Complete)
        }
        (false, CopyTarget::File { filename }) => {
            file::read(session, source, options, filename).await.map(Outcome::Complete)
        }
        _ => Err(Error::new(
            ErrorKind::InsufficientPrivilege,
            "COPY to or from a program on the server is not allowed",
        )),
    }
}

fn source_table(
    session: &Session,
    name: &ast::ObjectName,
    columns: &[ast::Ident],
) -> Result<(Arc<luma_catalog::Table>, Vec<usize>)> {
    let catalog = session.catalog();
    let scope = Scope { catalog: &catalog, search_path: session.search_path() };
    let table = Arc::clone(scope.table(&qualified(name)?)?);
    let ordinals = if columns.is_empty() {
        table.live_columns().map(|column| usize::from(column.number) - 1).collect()
    } else {
        let mut ordinals = Vec::new();
        for column in columns {
            let ordinal = crate::dml::insert::ordinal(&table, &identifier(column))?;
            if ordinals.contains(&ordinal) {
                return Err(Error::new(
                    ErrorKind::DuplicateColumn,
                    format!("column \"{}\" specified more than once", identifier(column)),
                ));
            }
            ordinals.push(ordinal);
        }
        ordinals
    };
    Ok((table, ordinals))
}

/// A COPY FROM STDIN that waits for its data.
pub struct CopyIn {
    /// The data's format.
    pub format: CopyFormat,
    /// Values per row.
    pub columns: usize,
    target: Target,
    ordinals: Vec<usize>,
    given: Vec<bool>,
    expressions: Arc<TableExpressions>,
    decoder: decode::Decoder,
    left: Suspended,
    context: TextContext,
    rows: u64,
    seen: Option<crate::collection::SeenFields>,
    candidate: Option<Candidate>,
    load: Option<TableLoad>,
}

async fn copy_in(session: &mut Session, source: &CopySource, mut options: CopyOptions) -> Result<CopyIn> {
    let CopySource::Table { table_name, columns } = source else {
        return Err(Error::new(ErrorKind::Syntax, "COPY FROM takes a table"));
    };
    let (definition, ordinals) = source_table(session, table_name, columns)?;
    let target = Target::open(session, &definition).await?;
    let table = Arc::clone(&target.table);
    let types: Vec<(String, DataType)> = ordinals
        .iter()
        .map(|ordinal| (table.columns()[*ordinal].name.clone(), table.data_type(*ordinal).clone()))
        .collect();
    let names: Vec<&str> = types.iter().map(|(name, _)| name.as_str()).collect();
    options.resolve(&names, Some(&table.definition))?;
    let mut given = vec![false; table.columns().len()];
    for ordinal in &ordinals {
        given[*ordinal] = true;
    }
    let expressions = target.info.shared.expressions(&table.definition, &target.info)?;
    let seen = table.is_collection().then(crate::collection::SeenFields::default);
    let candidate = Candidate::new(session, &target)?;
    Ok(CopyIn {
        format: options.format,
        columns: ordinals.len(),
        context: target.info.text_context(),
        decoder: decode::Decoder::new(&options, format!("COPY {}", table.definition.name), types),
        target,
        ordinals,
        given,
        expressions,
        left: Suspended::default(),
        rows: 0,
        seen,
        candidate,
        load: None,
    })
}

impl CopyIn {
    /// Takes the next piece of data, cut anywhere.
    ///
    /// # Errors
    /// 22P04 and conversion errors, which name the line; of constraints. The COPY is over then.
    pub async fn write(&mut self, session: &mut Session, data: &[u8]) -> Result<()> {
        self.decoder.push(data);
        if self.decoder.waiting_bytes() < PIECE_BYTES {
            return Ok(());
        }
        let written = self.drain(session).await;
        if written.is_err() {
            session.fail();
        }
        written
    }

    /// Ends the data: everything is in the transaction when this returns.
    pub async fn finish(mut self, session: &mut Session) -> Result<CommandTag> {
        let finished = self.finish_rows(session).await;
        if finished.is_err() {
            session.fail();
        }
        finished
    }

    /// The client gave up: the transaction fails.
    pub fn abort(self, session: &mut Session, message: &str) -> Error {
        session.fail();
        Error::new(ErrorKind::QueryCanceled, format!("COPY from stdin failed: {message}"))
    }

    async fn finish_rows(&mut self, session: &mut Session) -> Result<CommandTag> {
        self.decoder.end();
        self.drain(session).await?;
        if let Some(load) = self.load.take() {
            load.finish(session).await?;
        }
        let mut writer = self.target.writer(session)?;
        writer.resume(std::mem::take(&mut self.left));
        writer.finish().await?;
        if let Some(seen) = self.seen.take() {
            crate::ddl::learn_fields(session, &self.target.table.definition, &seen).await?;
        }
        Ok(CommandTag::Copy(self.rows))
    }

    /// Takes all rows that are whole.
    async fn drain(&mut self, session: &mut Session) -> Result<()> {
        loop {
            let more = self.take_rows(session).await?;
            let due = match &self.candidate {
                Some(candidate) => candidate.is_due(session)?,
                None => false,
            };
            if due && let Some(candidate) = self.candidate.take() {
                self.load = candidate.begin(session, &self.target)?;
            }
            if let Some(load) = &mut self.load
                && load.is_full()
            {
                load.hand_over().await?;
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// Takes some rows; whether there may be more.
    async fn take_rows(&mut self, session: &mut Session) -> Result<bool> {
        let table: Arc<OpenTable> = Arc::clone(&self.target.table);
        let mut writer = self.target.writer(session)?;
        writer.resume(std::mem::take(&mut self.left));
        let mut values = vec![Value::Null; table.columns().len()];
        let mut row = Vec::with_capacity(self.columns);
        let mut count = 0;
        let mut more = true;
        while count < PIECE_ROWS && !self.load.as_ref().is_some_and(TableLoad::is_full) {
            more = self.decoder.next(&self.context, &mut row)?;
            if !more {
                break;
            }
            count += 1;
            for (ordinal, value) in values.iter_mut().enumerate() {
                if !self.given[ordinal] {
                    *value = self.target.evaluator.default_of(&self.expressions, ordinal)?;
                }
            }
            for (value, ordinal) in row.drain(..).zip(&self.ordinals) {
                values[*ordinal] = value;
            }
            if let Some(seen) = &mut self.seen {
                crate::collection::complete(&mut values, &table, &self.target.info, None)?;
                if let Value::Text(text) = &values[crate::collection::DOCUMENT] {
                    seen.add(&crate::collection::parse(text)?);
                }
            }
            self.expressions.complete(&mut values, &self.target.info)?;
            let taken = match &mut self.load {
                Some(load) => load.add(&values, &self.target.evaluator),
                None => crate::dml::insert::insert_row(&mut writer, &table, &values, &ConflictTarget::None)
                    .await
                    .map(|_| ()),
            };
            taken.map_err(|error| self.decoder.locate(error))?;
            self.rows += 1;
        }
        self.target.check_size(&writer)?;
        self.left = writer.suspend();
        Ok(more)
    }
}

/// A COPY TO STDOUT in progress.
pub struct CopyOut {
    /// The data's format.
    pub format: CopyFormat,
    /// Values per row.
    pub columns: usize,
    options: CopyOptions,
    stream: RowStream,
    context: TextContext,
    ready: VecDeque<Bytes>,
    /// What the next message begins with.
    begun: Vec<u8>,
    started: bool,
    ended: bool,
    rows: u64,
}

/// The query whose rows are copied.
fn copied_query(session: &Session, source: &CopySource) -> Result<ast::Query> {
    Ok(match source {
        CopySource::Query(query) => query.as_ref().clone(),
        CopySource::Table { table_name, columns } => {
            let (table, ordinals) = source_table(session, table_name, columns)?;
            if table.filled_by.is_some() {
                return Err(Error::new(
                    ErrorKind::WrongObjectType,
                    format!("cannot copy from materialized view \"{}\"", table.name),
                )
                .hint("Try the COPY (SELECT ...) TO variant."));
            }
            let items = ordinals
                .iter()
                .map(|ordinal| {
                    let name = ast::Ident::with_quote('"', table.columns[*ordinal].name.clone());
                    ast::SelectItem::UnnamedExpr(ast::Expr::Identifier(name))
                })
                .collect();
            let relation = execute::table_factor(table_name.clone(), None);
            let from = ast::TableWithJoins { relation, joins: Vec::new() };
            execute::select_query(items, vec![from], None)
        }
    })
}

async fn copy_out(session: &mut Session, source: &CopySource, mut options: CopyOptions) -> Result<CopyOut> {
    let query = copied_query(session, source)?;
    let info = session.new_info();
    let (columns, batches) = execute::run_query(session, &query, &[], &[], &info).await?;
    let table = match source {
        CopySource::Table { table_name, columns } => Some(source_table(session, table_name, columns)?.0),
        CopySource::Query(_) => None,
    };
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    options.resolve(&names, table.as_deref())?;
    Ok(CopyOut {
        format: options.format,
        columns: columns.len(),
        options,
        stream: RowStream::new(columns.into(), batches, CommandTag::Copy(0)),
        context: info.text_context(),
        ready: VecDeque::new(),
        begun: Vec::new(),
        started: false,
        ended: false,
        rows: 0,
    })
}

impl CopyOut {
    /// Ends the copy with an error once the statement has taken so long.
    pub(crate) fn limit_time(&mut self, limit: std::time::Duration, started: tokio::time::Instant) {
        self.stream.limit_time(limit, started);
    }

    /// The next message's payload: one row (or the header or trailer of a format).
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Ok(Some(bytes));
            }
            if self.ended {
                return Ok(None);
            }
            if !self.started {
                self.started = true;
                let mut out = Vec::new();
                encode::header(&self.options, &self.stream.columns, &mut out);
                if self.options.format == CopyFormat::Binary {
                    // Clients read a message as a row; the first one begins with the header.
                    self.begun = out;
                } else if !out.is_empty() {
                    self.ready.push_back(Bytes::from(out));
                }
                continue;
            }
            let Some(batch) = self.stream.next_batch().await? else {
                self.ended = true;
                let mut out = std::mem::take(&mut self.begun);
                encode::trailer(&self.options, &mut out);
                if !out.is_empty() {
                    self.ready.push_back(Bytes::from(out));
                }
                continue;
            };
            let readers = batch
                .columns()
                .iter()
                .zip(self.stream.columns.iter())
                .map(|(array, column)| CellReader::new(array.as_ref(), &column.data_type))
                .collect::<Result<Vec<_>>>()?;
            let mut out = std::mem::take(&mut self.begun);
            out.reserve(batch.num_rows() * 32);
            let mut ends = Vec::with_capacity(batch.num_rows());
            for row in 0..batch.num_rows() {
                encode::begin_row(&self.options, readers.len(), &mut out);
                for (place, (reader, column)) in readers.iter().zip(self.stream.columns.iter()).enumerate() {
                    encode::value(&self.options, place, reader.get(row)?, column, &self.context, &mut out);
                }
                encode::end_row(&self.options, &mut out);
                ends.push(out.len());
            }
            self.rows += batch.num_rows() as u64;
            let mut rest = BytesMut::from(out.as_slice());
            let mut taken = 0;
            for end in ends {
                self.ready.push_back(rest.split_to(end - taken).freeze());
                taken = end;
            }
        }
    }

    /// What the finished COPY is called.
    pub fn tag(&self) -> CommandTag {
        CommandTag::Copy(self.rows)
    }
}
