//! Whatever byte of a cleanly closed database is damaged: the right answer, or an error that names a file.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;

use lightning::{
    Compression, Database, Direction, Durability, Error, KeyspaceOptions, Layout, Options, Readable, Result,
    WriteBatch,
};
use luma_vfs::{SimDisk, Vfs};

const LAYOUTS: [Layout; 2] = [Layout::Lsm, Layout::BTree];

type Content = BTreeMap<(String, Vec<u8>), Vec<u8>>;

fn open(disk: &SimDisk) -> Result<Database> {
    let options = Options {
        wal_segment_bytes: 4096,
        background_threads: 0,
        block_bytes: 200,
        index_part_bytes: 64,
        ..Options::default()
    };
    Database::open_with_vfs(Arc::new(disk.clone()), "/db", options)
}

fn content(database: &Database) -> Result<Content> {
    let snapshot = database.snapshot();
    let mut all = Content::new();
    for name in database.keyspace_names() {
        let keyspace = database.keyspace(&name).unwrap();
        let mut range = snapshot.range(&keyspace, Bound::Unbounded, Bound::Unbounded, Direction::Forward)?;
        while let Some((key, value)) = range.next()? {
            all.insert((name.clone(), key.to_vec()), value.to_vec());
        }
    }
    Ok(all)
}

fn files(disk: &SimDisk) -> Vec<(PathBuf, u64)> {
    let names = |directory: &str| {
        let path = PathBuf::from(directory);
        disk.read_dir(&path).unwrap().into_iter().map(move |name| path.join(name))
    };
    let all = names("/db").chain(names("/db/tables")).chain(names("/db/log"));
    all.filter_map(|path| Some((path.clone(), disk.open(&path).ok()?.len().ok()?))).collect()
}

#[test]
fn every_damaged_byte_is_harmless_or_an_error() {
    for layout in LAYOUTS {
        let disk = SimDisk::new();
        let database = open(&disk).unwrap();
        for (name, compression) in [("a", Compression::None), ("b", Compression::Zstd)] {
            let options = KeyspaceOptions {
                layout,
                compression: Some(compression),
                blob_threshold: (name == "b").then_some(20),
                merge_operator: (name == "b").then(|| "append".into()),
                ..KeyspaceOptions::default()
            };
            let keyspace = database.create_keyspace(name, options).unwrap();
            for round in 0..2u8 {
                let mut batch = WriteBatch::new();
                for number in 0..12u32 {
                    batch.put(&keyspace, format!("key {:04}", number * 37 % 20).as_bytes(), &[round; 30]);
                    if name == "b" && number % 3 == 0 {
                        batch.merge(&keyspace, format!("key {number:04}").as_bytes(), b"more");
                    }
                }
                database.write(batch, Durability::Sync).unwrap();
                keyspace.flush().unwrap();
            }
        }
        let converted = database.keyspace("b").unwrap();
        converted.convert(LAYOUTS[usize::from(layout == Layout::Lsm)], &mut |_| {}).unwrap();
        drop(converted);
        let expected = content(&database).unwrap();
        database.close().unwrap();
        let (mut errors, mut bytes) = (0, 0);
        for (path, length) in files(&disk) {
            for offset in 0..length {
                let damaged = disk.fork();
                damaged.flip_bit(&path, offset, (offset % 8) as u8).unwrap();
                bytes += 1;
                match open(&damaged).and_then(|database| content(&database)) {
                    Ok(found) => assert!(found == expected, "{} at {offset}", path.display()),
                    Err(Error::Corruption { file, .. } | Error::UnsupportedVersion { file, .. }) => {
                        assert!(
                            file.starts_with("/db"),
                            "{} at {offset}: {}",
                            path.display(),
                            file.display()
                        );
                        errors += 1;
                    }
                    Err(error) => panic!("{} at {offset}: {error}", path.display()),
                }
            }
        }
        println!("{layout:?}: {errors} of {bytes} flips are errors");
        assert!(errors > 500);
    }
}
