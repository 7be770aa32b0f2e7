//! SQLite in WAL mode: one table without row ids. A connection per thread that asks at a time.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rusqlite::{Connection, OptionalExtension};

use crate::engine::{Change, Class, Engine, Reader, Result, Settings, load_by_batches, moved};

pub struct Sqlite {
    path: PathBuf,
    settings: Settings,
    idle: Mutex<Vec<Connection>>,
}

pub fn open(directory: &Path, settings: Settings) -> Result<Sqlite> {
    let sqlite = Sqlite { path: directory.join("sqlite"), settings, idle: Mutex::default() };
    let connection = sqlite.connect()?;
    connection.execute_batch(
        "create table if not exists main (key blob primary key, value blob) strict, without rowid",
    )?;
    sqlite.give_back(connection);
    Ok(sqlite)
}

impl Sqlite {
    fn connect(&self) -> Result<Connection> {
        if let Some(idle) = self.idle.lock().ok().and_then(|mut idle| idle.pop()) {
            return Ok(idle);
        }
        let connection = Connection::open(&self.path)?;
        connection.busy_timeout(std::time::Duration::from_secs(60))?;
        connection.set_prepared_statement_cache_capacity(32);
        connection.pragma_update(None, "journal_mode", "wal")?;
        let synchronous = match self.settings.class {
            Class::None => "off",
            Class::Periodic => "normal",
            Class::EachCommit => "full",
        };
        connection.pragma_update(None, "synchronous", synchronous)?;
        connection.pragma_update(None, "cache_size", -((self.settings.cache_bytes >> 10) as i64))?;
        Ok(connection)
    }

    fn give_back(&self, connection: Connection) {
        if let Ok(mut idle) = self.idle.lock() {
            idle.push(connection);
        }
    }

    fn in_transaction<R>(&self, work: impl FnOnce(&Connection) -> Result<R>) -> Result<R> {
        let connection = self.connect()?;
        connection.prepare_cached("begin immediate")?.execute([])?;
        let done = work(&connection);
        connection.prepare_cached(if done.is_ok() { "commit" } else { "rollback" })?.execute([])?;
        self.give_back(connection);
        done
    }
}

impl Engine for Sqlite {
    fn write(&self, changes: &[Change]) -> Result<()> {
        self.in_transaction(|connection| {
            let mut put = connection.prepare_cached("insert or replace into main values (?1, ?2)")?;
            let mut delete = connection.prepare_cached("delete from main where key = ?1")?;
            for (key, value) in changes {
                match value {
                    Some(value) => put.execute((key, value))?,
                    None => delete.execute((key,))?,
                };
            }
            Ok(())
        })
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        let connection = self.connect()?;
        connection.prepare_cached("begin")?.execute([])?;
        Ok(Box::new(View { sqlite: self, connection: Some(connection) }))
    }

    fn transfer(&self, from: &[u8], to: &[u8]) -> Result<bool> {
        self.in_transaction(|connection| {
            for (key, by) in [(from, -1), (to, 1)] {
                let before: Option<Vec<u8>> = connection
                    .prepare_cached("select value from main where key = ?1")?
                    .query_row((key,), |row| row.get(0))
                    .optional()?;
                let after = moved(before.as_deref(), by);
                connection
                    .prepare_cached("insert or replace into main values (?1, ?2)")?
                    .execute((key, after))?;
            }
            Ok(true)
        })
    }

    fn load_sorted(&self, entries: &mut dyn Iterator<Item = (Vec<u8>, Vec<u8>)>) -> Result<()> {
        load_by_batches(self, entries)
    }

    fn delete_range(&self, from: &[u8], to: &[u8]) -> Result<()> {
        self.in_transaction(|connection| {
            connection.execute("delete from main where key >= ?1 and key < ?2", (from, to))?;
            Ok(())
        })
    }

    fn sync(&self) -> Result<()> {
        let connection = self.connect()?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection.query_row("pragma wal_checkpoint(full)", [], |_| Ok(()))?;
        // Its own setting goes with the connection.
        Ok(())
    }
}

struct View<'a> {
    sqlite: &'a Sqlite,
    connection: Option<Connection>,
}

impl View<'_> {
    fn connection(&self) -> Result<&Connection> {
        self.connection.as_ref().ok_or_else(|| "the reader was closed".into())
    }
}

impl Drop for View<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take()
            && connection.prepare_cached("commit").and_then(|mut commit| commit.execute([])).is_ok()
        {
            self.sqlite.give_back(connection);
        }
    }
}

impl Reader for View<'_> {
    fn get(&self, key: &[u8], use_value: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let mut select = self.connection()?.prepare_cached("select value from main where key = ?1")?;
        let mut rows = select.query((key,))?;
        let Some(row) = rows.next()? else { return Ok(false) };
        use_value(row.get_ref(0)?.as_blob()?);
        Ok(true)
    }

    fn scan(
        &self,
        from: &[u8],
        reverse: bool,
        count: usize,
        use_entry: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<usize> {
        let sql = if reverse {
            "select key, value from main where key <= ?1 order by key desc limit ?2"
        } else {
            "select key, value from main where key >= ?1 order by key limit ?2"
        };
        let mut select = self.connection()?.prepare_cached(sql)?;
        let mut rows = select.query((from, i64::try_from(count).unwrap_or(i64::MAX)))?;
        let mut found = 0;
        while let Some(row) = rows.next()? {
            use_entry(row.get_ref(0)?.as_blob()?, row.get_ref(1)?.as_blob()?);
            found += 1;
        }
        Ok(found)
    }
}
