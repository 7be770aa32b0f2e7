//! Opening the database that a configuration describes.

use std::path::Path;
use std::sync::Arc;

use lightning::{Compression, Options, SyncMode};
use luma_query::{ADMINISTRATOR, Database, DatabaseOptions};
use rand::TryRngCore;
use rand::rngs::OsRng;

use crate::Failure;
use crate::config::Config;

/// Where sorts and joins go on past the memory limit, inside of the data directory.
const SPILL_DIR: &str = "spill";
/// Letters of a made password; none is mistaken for another.
const PASSWORD_LETTERS: &[u8] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
/// Letters in a made password: some 116 bits.
const PASSWORD_LENGTH: usize = 20;

/// Opens a directory's database, or makes one.
///
/// # Errors
/// When the directory is in use, is not a database's, can't be written, or is damaged.
pub fn open(config: &Config, directory: &Path) -> Result<Database, Failure> {
    let engine = open_engine(config, directory)?;
    let spill = directory.join(SPILL_DIR);
    // What a crash left there is of no use.
    let _ = std::fs::remove_dir_all(&spill);
    let bytes = |name| config.count("memory", name) as usize;
    let mut options = DatabaseOptions {
        statement_memory_bytes: bytes("statement_memory"),
        max_transaction_bytes: bytes("max_transaction_size"),
        build_memory_bytes: bytes("build_memory"),
        column_cache_bytes: bytes("column_cache_size"),
        spill_dir: config.flag("query", "spill").then_some(spill),
        auto_analyze: config.flag("query", "auto_analyze"),
        ..DatabaseOptions::default()
    };
    match config.count("query", "threads") {
        0 => {}
        threads => options.query_threads = threads as usize,
    }
    Ok(Database::open(engine, options)?)
}

/// Opens a directory's database for whoever is in this process and may do everything with it, metrics included.
///
/// # Errors
/// As [`open`]; when the administrator can't be stored, or the metrics can't be read.
pub(crate) fn open_in_process(config: &Config, directory: &Path) -> Result<Database, Failure> {
    let database = open(config, directory)?;
    ensure_administrator(&database, false)?;
    if crate::metrics::exist(directory) {
        database.read_metrics(Arc::new(crate::metrics::open(config, directory)?));
    }
    Ok(database)
}

/// Opens only the engine of a directory.
///
/// # Errors
/// As [`open`].
pub fn open_engine(config: &Config, directory: &Path) -> Result<lightning::Database, Failure> {
    let bytes = |section, name| config.count(section, name) as usize;
    let options = Options {
        // Memtables take from it.
        cache_bytes: bytes("memory", "block_cache_size") + bytes("memory", "write_buffer_size"),
        memtable_bytes: bytes("memory", "memtable_size"),
        write_buffer_bytes: bytes("memory", "write_buffer_size"),
        bloom_bits_per_key: config.count("memory", "bloom_bits_per_key") as u32,
        max_wal_bytes: config.count("wal", "max_size"),
        wal_segment_bytes: config.count("wal", "max_file_size"),
        sync: match config.text("wal", "sync_mode") {
            "periodic" => SyncMode::Periodic(config.duration("wal", "sync_interval")),
            "never" => SyncMode::Async,
            _ => SyncMode::Sync,
        },
        compression: match config.text("storage", "compression") {
            "none" => Compression::None,
            "zstd" => Compression::Zstd,
            _ => Compression::Lz4,
        },
        background_threads: bytes("compaction", "max_background_jobs"),
        level0_tables: bytes("compaction", "level0_file_num_trigger"),
        ..Options::default()
    };
    lightning::Database::open(directory, options).map_err(|error| {
        Failure::from(error).context(format!("cannot open the database in {}", directory.display()))
    })
}

/// Makes the first administrator if nobody can administer the database: with a password, which is
/// the answer, or without one where none is asked for.
///
/// # Errors
/// When it can't be stored.
pub fn ensure_administrator(database: &Database, with_password: bool) -> Result<Option<String>, Failure> {
    let able = database
        .roles()
        .iter()
        .any(|role| role.superuser && role.can_login && (!with_password || role.password.is_some()));
    if able {
        return Ok(None);
    }
    if !with_password {
        database.put_role(ADMINISTRATOR, true, None)?;
        return Ok(None);
    }
    let password = random_password()?;
    database.put_role(ADMINISTRATOR, true, luma_query::password::verifier(&password)?)?;
    Ok(Some(password))
}

/// A password that nobody guesses.
///
/// # Errors
/// When the system gives no random bytes.
pub(crate) fn random_password() -> Result<String, Failure> {
    let mut password = String::new();
    while password.len() < PASSWORD_LENGTH {
        let mut byte = [0];
        OsRng
            .try_fill_bytes(&mut byte)
            .map_err(|error| Failure::new(format!("the system gives no random bytes: {error}")))?;
        // Bytes past the last letter are thrown away, so that all letters are as likely.
        if let Some(letter) = PASSWORD_LETTERS.get(usize::from(byte[0] & 63)) {
            password.push(char::from(*letter));
        }
    }
    Ok(password)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn made_passwords_are_long_and_differ() {
        let (one, two) = (random_password().unwrap(), random_password().unwrap());
        assert_eq!(one.len(), PASSWORD_LENGTH);
        assert_ne!(one, two);
    }

    #[test]
    fn the_first_administrator_is_made_once_and_gets_a_password_when_one_is_needed() {
        let directory = tempfile::tempdir().unwrap();
        let config = Config::resolve(None, &[], &[]).unwrap();
        let database = open(&config, directory.path()).unwrap();
        assert_eq!(ensure_administrator(&database, false).unwrap(), None);
        assert!(ensure_administrator(&database, true).unwrap().is_some());
        assert_eq!(ensure_administrator(&database, true).unwrap(), None);
        let role = database.role(ADMINISTRATOR).unwrap();
        assert!(role.superuser && role.password.as_ref().unwrap().scram.is_some());
    }
}
