//! A database with changed bytes in one of its files, whose checksums nevertheless match: opening, reading,
//! verifying, writing and merging may say that it is damaged, but never panic, hang or take memory without bound.
//!
//! The databases have blob files, merge operands, deleted ranges, prefixes and Ribbon filters in them.
//! Input: a byte for the database (layout and compression), one for the file, then changes of four bytes:
//! what to do, where (two bytes), with which byte.
#![no_main]

use std::ops::Bound;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use libfuzzer_sys::fuzz_target;
use lightning::{
    Compression, Database, Direction, Durability, KeyspaceOptions, Layout, Options, Prefix, Readable, Result,
    WriteBatch,
};
use luma_vfs::{SimDisk, Vfs};

fn open(disk: &SimDisk) -> Result<Database> {
    let options = Options {
        wal_segment_bytes: 4096,
        background_threads: 0,
        block_bytes: 200,
        memtable_bytes: 2 << 10,
        table_bytes: 2 << 10,
        level_bytes: 4 << 10,
        level0_tables: 2,
        blob_threshold: 20,
        ribbon_filters: true,
        ..Options::default()
    };
    Database::open_with_vfs(Arc::new(disk.clone()), "/db", options)
}

/// Two keyspaces, several tables or nodes, some of it only in the log.
fn make(layout: Layout, compression: Compression) -> Result<SimDisk> {
    let disk = SimDisk::new();
    let database = open(&disk)?;
    for (name, merges) in [("a", false), ("b", true)] {
        let options = KeyspaceOptions {
            layout,
            compression: Some(compression),
            merge_operator: merges.then(|| "append".into()),
            prefix: merges.then_some(Prefix::Bytes(6)),
            ..KeyspaceOptions::default()
        };
        let keyspace = database.create_keyspace(name, options)?;
        for round in 0..6u8 {
            let mut batch = WriteBatch::new();
            for number in 0..20u32 {
                let key = format!("key {:04}", (number * 37 + u32::from(round)) % 90);
                match (number + u32::from(round)) % 7 {
                    0 => batch.delete(&keyspace, key.as_bytes()),
                    1 if merges => batch.merge(&keyspace, key.as_bytes(), b"more"),
                    2 if round == 4 => {
                        let after = [key.as_bytes(), b"~"].concat();
                        batch.delete_range(&keyspace, Bound::Included(key.as_bytes()), Bound::Excluded(&after));
                    }
                    rest => batch.put(&keyspace, key.as_bytes(), &[round; 30][..rest as usize * 4]),
                }
            }
            database.write(batch, Durability::Sync)?;
            if round % 2 == 1 {
                keyspace.flush()?;
            }
        }
    }
    let left = disk.fork();
    drop(database);
    Ok(left)
}

fn databases() -> &'static [SimDisk] {
    static DATABASES: OnceLock<Vec<SimDisk>> = OnceLock::new();
    DATABASES.get_or_init(|| {
        let kinds = [
            (Layout::Lsm, Compression::None),
            (Layout::Lsm, Compression::Lz4),
            (Layout::Lsm, Compression::Zstd),
            (Layout::BTree, Compression::None),
        ];
        kinds.into_iter().map(|(layout, compression)| make(layout, compression).expect("a healthy disk")).collect()
    })
}

fn files(disk: &SimDisk) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![PathBuf::from("/db")];
    while let Some(directory) = directories.pop() {
        for name in disk.read_dir(&directory).unwrap_or_default() {
            let path = directory.join(name);
            match disk.open(&path) {
                Ok(_) => found.push(path),
                Err(_) => directories.push(path),
            }
        }
    }
    found.sort();
    found
}

fn damage(disk: &SimDisk, path: &PathBuf, changes: &[u8]) -> std::io::Result<()> {
    let file = disk.open_write(path)?;
    for change in changes.chunks_exact(4) {
        let length = file.len()?;
        let at = u64::from(u16::from_le_bytes([change[1], change[2]])) % (length + 1);
        match change[0] % 16 {
            0 => file.set_len(at)?,
            1 => file.write_at(&vec![change[3]; usize::from(change[0]) + 1], at)?,
            2 => file.write_at(&[0xff; 8], at)?,
            _ => file.write_at(&change[3..], at)?,
        }
    }
    file.sync_all()
}

fn use_it(disk: &SimDisk) -> Result<()> {
    let database = open(disk)?;
    let _ = database.verify(&mut |_| ());
    for name in database.keyspace_names() {
        let Some(keyspace) = database.keyspace(&name) else { continue };
        let snapshot = database.snapshot();
        for direction in [Direction::Forward, Direction::Reverse] {
            let mut range = snapshot.range(&keyspace, Bound::Unbounded, Bound::Unbounded, direction)?;
            while range.next()?.is_some() {}
        }
        snapshot.prefix(&keyspace, b"key 00", Direction::Forward)?.next()?;
        for number in (0..90).step_by(9) {
            snapshot.get(&keyspace, format!("key {number:04}").as_bytes())?;
        }
        let mut batch = WriteBatch::new();
        batch.put(&keyspace, b"key 0040x", b"new");
        database.write(batch, Durability::Sync)?;
        keyspace.flush()?;
        keyspace.compact()?;
    }
    database.close()?;
    drop(open(disk)?);
    Ok(())
}

fuzz_target!(|input: &[u8]| {
    let [database, file, changes @ ..] = input else { return };
    let databases = databases();
    let disk = databases[usize::from(*database) % databases.len()].fork();
    let files = files(&disk);
    damage(&disk, &files[usize::from(*file) % files.len()], changes).expect("a healthy disk");
    let _ = use_it(&disk);
});
