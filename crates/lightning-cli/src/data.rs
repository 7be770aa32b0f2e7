//! Commands on keys.

use std::io::{self, BufWriter, Read, Write};
use std::ops::Bound;

use lightning::{Database, Direction, Durability, KeyspaceOptions, Readable, WriteBatch};

use crate::Done;
use crate::arguments::{Create, Get, Options, Put, Scan};
use crate::failure::{Code, Failure};
use crate::output::{bytes_of, print_done, write_entry, write_value};
use crate::store;

pub(crate) fn create(options: &Options, wanted: &Create) -> Done {
    let keyspace = &wanted.keyspace;
    let database = Database::open(&keyspace.path, lightning::Options::default())?;
    // Other options of a keyspace keep their defaults, however many there come to be.
    #[allow(clippy::needless_update)]
    let keyspace_options = KeyspaceOptions {
        layout: wanted.layout.into(),
        compression: wanted.compression.map(Into::into),
        blob_threshold: wanted.blob_threshold,
        merge_operator: wanted.merge_operator.as_deref().map(Into::into),
        compaction: wanted.compaction(),
        prefix: wanted.prefix(),
        ..KeyspaceOptions::default()
    };
    database.create_keyspace(&keyspace.keyspace, keyspace_options)?;
    database.close()?;
    Ok(print_done(options.format, options.quiet, "created")?)
}

fn not_there(key: &str) -> Failure {
    Failure::new(Code::NotFound, format!("there is no key {key:?}"))
}

pub(crate) fn get(options: &Options, wanted: &Get) -> Done {
    let key = bytes_of(&wanted.key, wanted.hex)?;
    let database = store::existing(&wanted.keyspace.path)?;
    let keyspace = store::keyspace(&database, &wanted.keyspace.keyspace)?;
    let value = database.snapshot().get(&keyspace, &key)?.ok_or_else(|| not_there(&wanted.key))?;
    Ok(write_value(&mut io::stdout().lock(), options.format, &key, &value)?)
}

pub(crate) fn put(options: &Options, wanted: &Put) -> Done {
    let key = bytes_of(&wanted.key, wanted.hex)?;
    let value = if wanted.value == "-" {
        let mut value = Vec::new();
        // One byte more than allowed is refused below.
        io::stdin().lock().take(lightning::VALUE_BYTES_MAX + 1).read_to_end(&mut value)?;
        value
    } else {
        bytes_of(&wanted.value, wanted.hex)?
    };
    let database = store::existing(&wanted.keyspace.path)?;
    let keyspace = store::keyspace(&database, &wanted.keyspace.keyspace)?;
    let mut batch = WriteBatch::new();
    batch.put(&keyspace, &key, &value);
    database.write(batch, Durability::Sync)?;
    Ok(print_done(options.format, options.quiet, "written")?)
}

pub(crate) fn delete(options: &Options, wanted: &Get) -> Done {
    let key = bytes_of(&wanted.key, wanted.hex)?;
    let database = store::existing(&wanted.keyspace.path)?;
    let keyspace = store::keyspace(&database, &wanted.keyspace.keyspace)?;
    // Nobody else has the database open.
    if database.snapshot().get_with(&keyspace, &key, |_| ())?.is_none() {
        return Err(not_there(&wanted.key));
    }
    let mut batch = WriteBatch::new();
    batch.delete(&keyspace, &key);
    database.write(batch, Durability::Sync)?;
    Ok(print_done(options.format, options.quiet, "deleted")?)
}

pub(crate) fn scan(options: &Options, wanted: &Scan) -> Done {
    let given = |key: &Option<String>| key.as_ref().map(|key| bytes_of(key, wanted.hex)).transpose();
    let (start, end, prefix) = (given(&wanted.start)?, given(&wanted.end)?, given(&wanted.prefix)?);
    if let (Some(start), Some(end)) = (&start, &end)
        && start > end
    {
        return Err(Failure::new(Code::Validation, "--start comes after --end"));
    }
    let database = store::existing(&wanted.keyspace.path)?;
    let keyspace = store::keyspace(&database, &wanted.keyspace.keyspace)?;
    let direction = if wanted.reverse { Direction::Reverse } else { Direction::Forward };
    let snapshot = database.snapshot();
    let mut range = match &prefix {
        Some(prefix) => snapshot.prefix(&keyspace, prefix, direction)?,
        None => {
            let start = start.as_deref().map_or(Bound::Unbounded, Bound::Included);
            let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            snapshot.range(&keyspace, start, end, direction)?
        }
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let mut left = wanted.limit.unwrap_or(u64::MAX);
    while left > 0
        && let Some((key, value)) = range.next()?
    {
        left -= 1;
        match write_entry(&mut out, options.format, key, value) {
            // Like `lightning scan | head`.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
    }
    match out.flush() {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        flushed => Ok(flushed?),
    }
}
