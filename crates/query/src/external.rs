//! Files of others as tables: `read_parquet`, `read_csv` and `read_json`, and the external tables over them.
//!
//! - `location` says which files a text names, and who may name files.
//! - `remote` has files of object stores and web servers.
//! - `source` is what is read: files of one format, and the columns they have.
//! - `infer` finds the columns of text files.
//! - `read` reads one file into batches.
//! - `scan` is DataFusion's view of it, and `function` the functions in FROM.

pub(crate) mod function;
mod infer;
pub(crate) mod location;
mod read;
pub(crate) mod remote;
mod scan;
mod source;

pub(crate) use read::{FileBytes, as_type};
pub(crate) use source::Format;

/// The columns of files.
///
/// # Errors
/// 42501 for all but administrators; when there is no file, or it is not of the format.
pub(crate) fn columns(
    info: &std::sync::Arc<crate::session::SessionInfo>,
    format: Format,
    location: &str,
    options: &[(String, String)],
) -> luma_model::Result<Vec<(String, luma_model::DataType)>> {
    location::require_administrator(info, "read files of the server")?;
    let vfs = info.shared.engine.vfs();
    source::Source::open(vfs, format, location, options, None, info.text_context())
        .map(|source| source.columns)
}
