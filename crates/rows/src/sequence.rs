//! Positions of sequences.
//!
//! Values are reserved in blocks: the end of a block is logged before its first value is given, so
//! that a value is never given twice, not even after a crash; the rest of a block may be skipped.
//! The block's place in the log is before that of any commit that uses its values, so nobody waits for
//! it. Like PostgreSQL's, sequences stand outside of transactions: a rollback gives nothing back.

use std::collections::HashMap;

use lightning::{Database, Keyspace, KeyspaceOptions, Readable, WriteBatch};
use luma_catalog::{Oid, Sequence, engine_error};
use luma_model::{Error, ErrorKind, Result};
use parking_lot::Mutex;

const KEYSPACE: &str = "sequences";
/// Values logged ahead, as many as PostgreSQL does.
const BLOCK: i64 = 32;

/// Where a sequence stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    /// The value given last, or to be given first.
    value: i64,
    /// Whether `value` was given.
    called: bool,
    /// Values that may still be given without logging.
    reserved: i64,
}

/// Positions of all sequences.
#[derive(Debug)]
pub struct Sequences {
    engine: Database,
    keyspace: Keyspace,
    positions: Mutex<HashMap<Oid, Position>>,
}

impl Sequences {
    pub(crate) fn open(engine: &Database) -> Result<Self> {
        let keyspace = match engine.keyspace(KEYSPACE) {
            Some(keyspace) => keyspace,
            None => engine.create_keyspace(KEYSPACE, KeyspaceOptions::default()).map_err(engine_error)?,
        };
        Ok(Self { engine: engine.clone(), keyspace, positions: Mutex::default() })
    }

    /// The next value. It is durable as soon as any later commit is.
    ///
    /// # Errors
    /// 2200H when a sequence that does not cycle has reached its end.
    pub fn next(&self, sequence: &Sequence) -> Result<i64> {
        let mut positions = self.positions.lock();
        let mut position = self.position(&mut positions, sequence)?;
        let value = if position.called { step(sequence, position.value)? } else { position.value };
        if position.reserved == 0 {
            // Log the end of the block; a block that would leave the bounds ends at them.
            let ahead = sequence.increment.saturating_mul(BLOCK - 1);
            let end = value.saturating_add(ahead).clamp(sequence.min, sequence.max);
            self.log(sequence.oid, end, true)?;
            position.reserved = BLOCK;
        }
        position = Position { value, called: true, reserved: position.reserved - 1 };
        if value == sequence.max || value == sequence.min {
            position.reserved = 0;
        }
        positions.insert(sequence.oid, position);
        Ok(value)
    }

    /// Sets the position (`setval`).
    ///
    /// # Errors
    /// 22003 outside of the sequence's bounds.
    pub fn set(&self, sequence: &Sequence, value: i64, called: bool) -> Result<()> {
        if value < sequence.min || value > sequence.max {
            return Err(Error::new(
                ErrorKind::OutOfRange,
                format!(
                    "setval: value {value} is out of bounds for sequence \"{}\" ({}..{})",
                    sequence.name, sequence.min, sequence.max
                ),
            ));
        }
        let mut positions = self.positions.lock();
        self.log(sequence.oid, value, called)?;
        positions.insert(sequence.oid, Position { value, called, reserved: 0 });
        Ok(())
    }

    /// The value given last and whether one was given at all (`SELECT last_value, is_called`).
    pub fn last(&self, sequence: &Sequence) -> Result<(i64, bool)> {
        let mut positions = self.positions.lock();
        let position = self.position(&mut positions, sequence)?;
        Ok((position.value, position.called))
    }

    /// Forgets a dropped sequence.
    pub fn remove(&self, oid: Oid) -> Result<()> {
        self.positions.lock().remove(&oid);
        let mut batch = WriteBatch::new();
        batch.delete(&self.keyspace, &oid.to_be_bytes());
        self.engine.write_behind(batch).map_err(engine_error)
    }

    fn position(&self, positions: &mut HashMap<Oid, Position>, sequence: &Sequence) -> Result<Position> {
        if let Some(position) = positions.get(&sequence.oid) {
            return Ok(*position);
        }
        let stored =
            self.engine.snapshot().get(&self.keyspace, &sequence.oid.to_be_bytes()).map_err(engine_error)?;
        let position = match stored.as_deref() {
            None => Position { value: sequence.start, called: false, reserved: 0 },
            Some([called, value @ ..]) if value.len() == 8 => {
                let mut bytes = [0; 8];
                bytes.copy_from_slice(value);
                Position { value: i64::from_be_bytes(bytes), called: *called == 1, reserved: 0 }
            }
            Some(_) => {
                return Err(Error::new(
                    ErrorKind::DataCorrupted,
                    format!("the position of sequence \"{}\" can't be read", sequence.name),
                ));
            }
        };
        positions.insert(sequence.oid, position);
        Ok(position)
    }

    fn log(&self, oid: Oid, value: i64, called: bool) -> Result<()> {
        let mut bytes = vec![u8::from(called)];
        bytes.extend_from_slice(&value.to_be_bytes());
        let mut batch = WriteBatch::new();
        batch.put(&self.keyspace, &oid.to_be_bytes(), &bytes);
        self.engine.write_behind(batch).map_err(engine_error)
    }
}

fn step(sequence: &Sequence, value: i64) -> Result<i64> {
    let next = value.checked_add(sequence.increment);
    match next {
        Some(next) if (sequence.min..=sequence.max).contains(&next) => Ok(next),
        _ if sequence.cycle && sequence.increment > 0 => Ok(sequence.min),
        _ if sequence.cycle => Ok(sequence.max),
        _ => {
            let (end, bound) =
                if sequence.increment > 0 { ("maximum", sequence.max) } else { ("minimum", sequence.min) };
            Err(Error::new(
                ErrorKind::SequenceLimit,
                format!("nextval: reached {end} value of sequence \"{}\" ({bound})", sequence.name),
            ))
        }
    }
}
