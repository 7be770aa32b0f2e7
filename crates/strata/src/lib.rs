//! Series with their samples as Parquet files on disk, and the manifest that says which there are.
//!
//! - [`Table`] is a set of files with one manifest; [`Table::snapshot`] is the set at a moment, whose files
//!   stay until it is dropped.
//! - [`NewFile`] takes [`Run`]s, samples of one series each, in the order of series. It counts when
//!   [`Table::commit`] has put it into the manifest.
//! - [`Snapshot::scan`] finds the samples of some series and some time in all files, and [`Unread::read`] gives those of
//!   one of them, merged.
//! - [`Table::compact`] makes large files of small ones, [`Table::retain`] removes old ones, and a
//!   [`Tombstone`] hides what was deleted until compaction drops it.
//!
//! What files of other tables need as well is public, too: [`blocks`] with a checksum each, and [`open_file`] for
//! files that go when nobody reads them.
//!
//! `FORMAT.md` has the columns and the manifest's bytes.

pub mod blocks;
mod compact;
mod copy;
mod cursor;
mod error;
mod file_writer;
mod layout;
mod manifest;
pub mod open_file;
mod place;
mod rows;
mod run;
mod scan;
mod span;
mod table;
mod tombstone;
mod unit;

pub use compact::Compacted;
pub use error::{Error, Result};
pub use file_writer::{Finished, NewFile};
pub use manifest::FileEntry;
pub use place::Place;
pub use run::Run;
pub use scan::{Scan, Series, Unread};
pub use table::{Change, Snapshot, Table, TableOptions, TableStats};
pub use tombstone::Tombstone;
