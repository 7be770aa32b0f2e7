//! Commands that rearrange what is stored.

use serde_json::json;

use crate::Done;
use crate::arguments::{Options, Whole};
use crate::output::print;
use crate::progress::Progress;
use crate::store;

pub(crate) fn compact(options: &Options, wanted: &Whole) -> Done {
    let database = store::existing(&wanted.path)?;
    let keyspaces = store::keyspaces(&database, wanted.keyspace.as_deref())?;
    let disk_bytes = || keyspaces.iter().map(|keyspace| keyspace.stats().disk_bytes).sum::<u64>();
    let before = disk_bytes();
    let mut progress = Progress::new(options.quiet);
    for (at, keyspace) in keyspaces.iter().enumerate() {
        progress.say(&|| format!("compacting {:?}, {} of {}", keyspace.name(), at + 1, keyspaces.len()));
        keyspace.compact()?;
    }
    drop(progress);
    let after = disk_bytes();
    database.clone().close()?;
    if options.quiet {
        return Ok(());
    }
    let text = || format!("{} keyspaces, {before} bytes before, {after} bytes after", keyspaces.len());
    let value = json!({ "keyspaces": keyspaces.len(), "bytes_before": before, "bytes_after": after });
    Ok(print(options.format, &text, value)?)
}
