//! The files of columnar tables, compared with their checksums.

use luma_catalog::Catalog;
use luma_model::Result;
use luma_rows::Store;

/// What was found good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VerifiedFiles {
    /// How many files there are.
    pub files: u64,
    /// Their rows, the deleted ones too.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Reads all files of the columnar tables of the database that lies in `engine`. Files that no table has are
/// removed, as at every start.
///
/// # Errors
/// The first file that is missing or damaged.
pub fn verify_columns(engine: &lightning::Database) -> Result<VerifiedFiles> {
    let catalog = Catalog::open(engine)?.current();
    let store = Store::open(engine.clone(), &catalog, 0)?;
    let snapshot = engine.snapshot();
    let mut found = VerifiedFiles::default();
    for table in catalog.tables().filter(|table| table.columnar.is_some()) {
        let open = store.table(table)?;
        let Some(files) = &open.files else { continue };
        for view in files.views(&snapshot)? {
            view.verify()?;
            found.files += 1;
            found.rows += view.entry().rows;
            found.bytes += view.entry().bytes;
        }
    }
    Ok(found)
}
