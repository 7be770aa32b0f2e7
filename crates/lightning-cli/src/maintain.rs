//! Commands that rearrange what is stored.

use serde_json::json;

use crate::Done;
use crate::arguments::{Convert, Options, Whole};
use crate::output::{print, print_done};
use crate::progress::{Progress, percent};
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

pub(crate) fn convert(options: &Options, wanted: &Convert) -> Done {
    let database = store::existing(&wanted.keyspace.path)?;
    let keyspace = store::keyspace(&database, &wanted.keyspace.keyspace)?;
    let layout = wanted.layout.into();
    let done = if keyspace.options().layout == layout { "it has that layout already" } else { "converted" };
    let mut progress = Progress::new(options.quiet);
    keyspace.convert(layout, &mut |now| {
        progress.say(&|| format!("converting: {} %", percent(now.done_keys, now.total_keys)));
    })?;
    drop(progress);
    database.clone().close()?;
    Ok(print_done(options.format, options.quiet, done)?)
}
