//! Runs SQL text against a database in a temporary directory.

use std::path::Path;
use std::sync::Arc;

use luma_model::{CellReader, DataType, Error, Result, TextContext, Value, ValueRef, format_text};
use luma_query::{Column, Database, DatabaseOptions, Outcome, Prepared, RowSink, Session, SessionOptions};

pub struct Fixture {
    pub database: Database,
    #[allow(dead_code, reason = "only some tests look at the files")]
    pub directory: tempfile::TempDir,
}

impl Fixture {
    pub fn new() -> Self {
        Self::at(tempfile::tempdir().unwrap())
    }

    /// Of which statistics do not make themselves, so that plans are the same however long a test takes.
    #[allow(dead_code, reason = "only some tests open what others left")]
    pub fn at(directory: tempfile::TempDir) -> Self {
        Self::opened(directory, DatabaseOptions { auto_analyze: false, ..DatabaseOptions::default() })
    }

    pub fn opened(directory: tempfile::TempDir, options: DatabaseOptions) -> Self {
        let engine = lightning::Database::open(directory.path(), lightning::Options::default()).unwrap();
        let database = Database::open(engine, options).unwrap();
        Self { database, directory }
    }

    /// The same database, closed and opened again; sessions must be gone.
    #[allow(dead_code, reason = "only some tests start again")]
    pub fn reopened(self) -> Self {
        let Self { database, directory } = self;
        drop(database);
        Self::at(directory)
    }

    pub fn session(&self) -> Session {
        let options = SessionOptions { user: "lumadb".into(), ..SessionOptions::default() };
        self.database.session(options).unwrap()
    }
}

struct Rows {
    columns: Arc<[Column]>,
    lines: Vec<String>,
}

impl RowSink for Rows {
    fn row(&mut self, values: &[ValueRef<'_>]) -> Result<()> {
        let cells: Vec<String> = values
            .iter()
            .zip(self.columns.iter())
            .map(|(value, column)| show(*value, &column.data_type))
            .collect();
        self.lines.push(cells.join("|"));
        Ok(())
    }
}

fn show(value: ValueRef<'_>, data_type: &DataType) -> String {
    if matches!(value, ValueRef::Null) {
        return "NULL".into();
    }
    let mut out = Vec::new();
    format_text(value, data_type, &TextContext::default(), &mut out);
    String::from_utf8(out).unwrap()
}

/// Runs every statement of the text; the answer is the rows of the last, `a|b`, or its tag.
pub async fn run(session: &mut Session, sql: &str) -> Result<Vec<String>> {
    run_with(session, sql, &[], &[]).await
}

pub async fn run_with(
    session: &mut Session,
    sql: &str,
    types: &[Option<DataType>],
    values: &[Value],
) -> Result<Vec<String>> {
    let result = run_all(session, sql, types, values).await;
    if result.is_err() {
        session.fail();
    }
    let synced = session.sync().await;
    let lines = result?;
    synced?;
    Ok(lines)
}

async fn run_all(
    session: &mut Session,
    sql: &str,
    types: &[Option<DataType>],
    values: &[Value],
) -> Result<Vec<String>> {
    let mut last = Vec::new();
    for statement in session.parse_script(sql)? {
        let prepared = session.prepare(statement, types).await?;
        last = run_prepared(session, &prepared, values).await?;
    }
    Ok(last)
}

/// Runs a prepared statement; its transaction is not ended.
pub async fn run_prepared(
    session: &mut Session,
    prepared: &Arc<Prepared>,
    values: &[Value],
) -> Result<Vec<String>> {
    let columns: Arc<[Column]> = prepared.columns().cloned().unwrap_or_else(|| Vec::new().into());
    let mut rows = Rows { columns, lines: Vec::new() };
    Ok(match session.execute(prepared, values, Some(&mut rows)).await? {
        Outcome::Complete(tag) if prepared.columns().is_none() => vec![tag.to_string()],
        Outcome::Complete(_) => rows.lines,
        Outcome::Rows(mut stream) => {
            let mut lines = rows.lines;
            while let Some(batch) = stream.next_batch().await? {
                let readers: Vec<CellReader> = batch
                    .columns()
                    .iter()
                    .zip(stream.columns.iter())
                    .map(|(array, column)| CellReader::new(array.as_ref(), &column.data_type))
                    .collect::<Result<_>>()?;
                for row in 0..batch.num_rows() {
                    let cells: Vec<String> = readers
                        .iter()
                        .zip(stream.columns.iter())
                        .map(|(reader, column)| Ok(show(reader.get(row)?, &column.data_type)))
                        .collect::<Result<_>>()?;
                    lines.push(cells.join("|"));
                }
            }
            lines
        }
        Outcome::CopyIn(_) | Outcome::CopyOut(_) => vec!["COPY".into()],
    })
}

/// Copies a directory with all that is in it.
#[allow(dead_code, reason = "only some tests look at what a killed process leaves")]
pub fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_directory(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[allow(dead_code, reason = "only some tests look at SQLSTATEs")]
pub fn state(error: &Error) -> &'static str {
    error.kind.sqlstate()
}
