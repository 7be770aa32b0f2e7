//! How far an import is, kept in the database beside the rows.
//!
//! The record changes in the transaction of the batch it speaks of. It is removed when the command
//! has imported all of its files.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::Failure;
use crate::client::{Client, quote_literal};
use crate::import::source::Place;

const DEFINITION: &str = "CREATE SCHEMA IF NOT EXISTS lumadb_import; \
    CREATE TABLE IF NOT EXISTS lumadb_import.progress (target text, source text, size bigint, modified bigint, \
    position bigint, line bigint, imported bigint, rejected bigint, done boolean, PRIMARY KEY (target, source))";

/// How far an import is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    target: String,
    source: PathBuf,
    size: u64,
    /// Seconds since 1970.
    modified: u64,
    pub(super) place: Place,
    pub(super) rows: u64,
    pub(super) rejected: u64,
    pub(super) done: bool,
}

impl Progress {
    /// An import that has not begun.
    pub(super) fn new(target: &str, file: &Path) -> Result<Self, Failure> {
        let source = file.canonicalize()?;
        let metadata = source.metadata()?;
        if !metadata.is_file() {
            return Err(Failure::new("it is not a file"));
        }
        let modified = metadata.modified()?.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        Ok(Self {
            target: target.to_owned(),
            source,
            size: metadata.len(),
            modified,
            place: Place::default(),
            rows: 0,
            rejected: 0,
            done: false,
        })
    }

    /// Makes the table of records.
    pub(super) async fn prepare(client: &mut Client) -> Result<(), Failure> {
        client.run(DEFINITION).await
    }

    /// What an earlier run of the same import left; `None` if there was none.
    ///
    /// # Errors
    /// When the file is not the one it was.
    pub(super) async fn earlier(&self, client: &mut Client) -> Result<Option<Self>, Failure> {
        let sql = format!(
            "SELECT size, modified, position, line, imported, rejected, done FROM lumadb_import.progress WHERE {}",
            self.condition()
        );
        let rows = client.rows(&sql).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let number = |place| row.get(place).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
        if (number(0), number(1)) != (self.size, self.modified) {
            return Err(Failure::new(format!(
                "the file changed since an import of it was broken off after {} rows; --restart begins anew",
                number(4)
            )));
        }
        Ok(Some(Self {
            place: Place { offset: number(2), line: number(3) },
            rows: number(4),
            rejected: number(5),
            done: row.get(6) == Some("t"),
            ..self.clone()
        }))
    }

    /// The statement that records it.
    pub(super) fn record(&self) -> String {
        format!(
            "INSERT INTO lumadb_import.progress VALUES ({}, {}, {}, {}, {}, {}, {}, {}, {}) \
             ON CONFLICT (target, source) DO UPDATE SET position = excluded.position, line = excluded.line, \
             imported = excluded.imported, rejected = excluded.rejected, done = excluded.done",
            quote_literal(&self.target),
            quote_literal(&self.source.display().to_string()),
            self.size,
            self.modified,
            self.place.offset,
            self.place.line,
            self.rows,
            self.rejected,
            self.done
        )
    }

    /// Forgets it.
    pub(super) async fn forget(&self, client: &mut Client) -> Result<(), Failure> {
        client.run(&format!("DELETE FROM lumadb_import.progress WHERE {}", self.condition())).await
    }

    fn condition(&self) -> String {
        let source = quote_literal(&self.source.display().to_string());
        format!("target = {} AND source = {source}", quote_literal(&self.target))
    }
}
