//! The files of columnar tables: Parquet on disk, and in Lightning which files count and which of their rows
//! are deleted.
//!
//! - [`ColumnStore`] has the files of all tables; a file that no manifest has any more goes when nobody can
//!   need it, which [`Pin`]s decide.
//! - [`Sink`] takes rows and makes files of them, sorted and partitioned as the table says.
//! - [`FileView`] is a file as a transaction sees it, and [`GroupRead`] reads a row group of it.
//!
//! A table's manifest is a keyspace: an entry for each file, and a key for each deleted row ([`RowAddress`]).
//! Both change in the transaction that the statement belongs to, so visibility, conflicts, savepoints and the
//! log are Lightning's.

mod address;
mod cache;
mod entry;
mod file;
mod kept;
mod layout;
mod packed;
mod pin;
mod read;
mod sink;
mod store;

pub use address::{RowAddress, file_key};
pub use entry::FileEntry;
pub use file::{ColumnFile, ColumnSummary, FileView};
pub use layout::{from_file, refuse_unstorable};
pub use pin::Pin;
pub use read::{Evaluate, GroupBatches, GroupRead, Predicate, ROW_NUMBER, Wanted};
pub use sink::{Finished, Sink};
pub use store::ColumnStore;

use luma_model::{Error, ErrorKind};

/// What went wrong with a file, in the words of SQL.
pub(crate) fn file_error(error: luma_strata::Error) -> Error {
    let message = error.to_string();
    match error {
        luma_strata::Error::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
            Error::new(ErrorKind::DiskFull, message).hint("Free some space and try again.")
        }
        luma_strata::Error::Io { .. } => Error::new(ErrorKind::IoError, message),
        _ => Error::new(ErrorKind::DataCorrupted, message)
            .hint("Run `lumadb verify` to see all damage; restore the file from a backup."),
    }
}
