//! Key-value pairs on their way into a keyspace that no committed table names yet.
//!
//! Pairs that come in the order of their keys go straight into tables of the engine. Others are sorted in memory, and
//! past a budget they go into the keyspace in sorted unlogged batches, which the engine's own merging orders.

use lightning::{Database, Durability, Ingestion, Keyspace, Readable, Snapshot, WriteBatch};
use luma_catalog::engine_error;
use luma_model::Result;

/// From here on pairs that came in order are written while they come.
const STREAM_BYTES: usize = 4 << 20;
/// Pairs of a batch.
const BATCH_PAIRS: usize = 1024;

/// Where a pair's key and value lie in the bytes; the value follows the key.
#[derive(Clone, Copy, Debug)]
struct Pair {
    start: usize,
    key_bytes: u32,
    value_bytes: u32,
}

/// Pairs in memory.
#[derive(Debug, Default)]
struct Pairs {
    bytes: Vec<u8>,
    places: Vec<Pair>,
    /// Whether a key came that is not after the one before it.
    unordered: bool,
}

impl Pairs {
    fn add(&mut self, key: &[u8], value: &[u8]) {
        self.unordered |= self.places.last().is_some_and(|last| self.key(last) >= key);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        // The engine refuses longer ones; see `check_key_size`.
        let (key_bytes, value_bytes) = (key.len() as u32, value.len() as u32);
        self.places.push(Pair { start, key_bytes, value_bytes });
    }

    fn key(&self, pair: &Pair) -> &[u8] {
        self.bytes.get(pair.start..pair.start + pair.key_bytes as usize).unwrap_or_default()
    }

    fn value(&self, pair: &Pair) -> &[u8] {
        let start = pair.start + pair.key_bytes as usize;
        self.bytes.get(start..start + pair.value_bytes as usize).unwrap_or_default()
    }

    fn memory(&self) -> usize {
        self.bytes.len() + self.places.len() * size_of::<Pair>()
    }

    /// Orders the pairs; the first key that two of them have.
    fn sort(&mut self) -> Option<Vec<u8>> {
        if !self.unordered {
            return None;
        }
        let mut places = std::mem::take(&mut self.places);
        places.sort_unstable_by(|a, b| self.key(a).cmp(self.key(b)));
        self.places = places;
        self.unordered = false;
        let twice = self.places.windows(2).find(|pair| self.key(&pair[0]) == self.key(&pair[1]))?;
        Some(self.key(&twice[0]).to_vec())
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.places.iter().map(|pair| (self.key(pair), self.value(pair)))
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.places.clear();
        self.unordered = false;
    }
}

/// Fills one keyspace.
#[derive(Debug)]
pub(crate) struct Filler {
    engine: Database,
    keyspace: Keyspace,
    pairs: Pairs,
    budget_bytes: usize,
    /// What takes the pairs while their keys come in order.
    stream: Option<Ingestion>,
    /// Whether the keyspace has some of the pairs.
    filled: bool,
}

impl Filler {
    pub(crate) fn new(engine: &Database, keyspace: &Keyspace, budget_bytes: usize) -> Self {
        Self {
            engine: engine.clone(),
            keyspace: keyspace.clone(),
            pairs: Pairs::default(),
            budget_bytes,
            stream: None,
            filled: false,
        }
    }

    /// Adds a pair. A key that was there before is given back, at the latest when the filler is finished.
    pub(crate) fn add(&mut self, key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>> {
        if let Some(stream) = &mut self.stream {
            match stream.put(key, value) {
                Ok(()) => return Ok(None),
                Err(lightning::Error::OutOfOrder { .. }) => self.end_stream()?,
                Err(error) => return Err(engine_error(error)),
            }
        }
        self.pairs.add(key, value);
        if self.pairs.memory() >= self.budget_bytes {
            return self.spill();
        }
        if !self.filled && !self.pairs.unordered && self.pairs.memory() >= STREAM_BYTES {
            self.begin_stream()?;
        }
        Ok(None)
    }

    fn begin_stream(&mut self) -> Result<()> {
        let mut stream = self.engine.ingest(&self.keyspace).map_err(engine_error)?;
        for (key, value) in self.pairs.iter() {
            stream.put(key, value).map_err(engine_error)?;
        }
        self.pairs.clear();
        self.stream = Some(stream);
        Ok(())
    }

    fn end_stream(&mut self) -> Result<()> {
        if let Some(stream) = self.stream.take() {
            stream.finish().map_err(engine_error)?;
            self.filled = true;
        }
        Ok(())
    }

    fn spill(&mut self) -> Result<Option<Vec<u8>>> {
        if let Some(key) = self.pairs.sort() {
            return Ok(Some(key));
        }
        let before: Option<Snapshot> = self.filled.then(|| self.engine.snapshot());
        let mut batch = WriteBatch::new();
        for (count, (key, value)) in self.pairs.iter().enumerate() {
            if let Some(before) = &before
                && before.get_with(&self.keyspace, key, |_| ()).map_err(engine_error)?.is_some()
            {
                return Ok(Some(key.to_vec()));
            }
            batch.put(&self.keyspace, key, value);
            if count % BATCH_PAIRS == BATCH_PAIRS - 1 {
                self.engine.write(std::mem::take(&mut batch), Durability::Unlogged).map_err(engine_error)?;
            }
        }
        self.engine.write(batch, Durability::Unlogged).map_err(engine_error)?;
        self.filled = true;
        self.pairs.clear();
        Ok(None)
    }

    /// Makes everything durable.
    pub(crate) fn finish(mut self) -> Result<Option<Vec<u8>>> {
        if self.filled {
            if let Some(key) = self.spill()? {
                return Ok(Some(key));
            }
            self.keyspace.flush().map_err(engine_error)?;
            return Ok(None);
        }
        if let Some(key) = self.pairs.sort() {
            return Ok(Some(key));
        }
        if self.stream.is_none() {
            self.begin_stream()?;
        }
        self.end_stream()?;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;
    use std::ops::Bound;

    use lightning::{Direction, KeyspaceOptions, Options};
    use proptest::prelude::*;

    use super::*;

    fn database() -> (tempfile::TempDir, Database, Keyspace) {
        let directory = tempfile::tempdir().unwrap();
        let options = Options { background_threads: 0, ..Options::default() };
        let engine = Database::open(directory.path(), options).unwrap();
        let keyspace = engine.create_keyspace("filled", KeyspaceOptions::default()).unwrap();
        (directory, engine, keyspace)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// In order at first, perhaps, and then in any: everything is there once, or a key that came twice is told.
        #[test]
        fn what_was_added_is_there(
            ordered in 0u32..400,
            others in proptest::collection::vec(0u32..2000, 0..60),
            budget in prop_oneof![Just(300usize), Just(3_000), Just(1 << 20)],
        ) {
            let (_directory, engine, keyspace) = database();
            let mut filler = Filler::new(&engine, &keyspace, budget);
            let (mut model, mut doubled, mut told) = (BTreeMap::new(), false, None);
            for number in (0..ordered).chain(others) {
                let (key, value) = (number.to_be_bytes().to_vec(), vec![number as u8; 9]);
                doubled |= model.insert(key.clone(), value.clone()).is_some();
                told = told.or(filler.add(&key, &value).unwrap());
                if number == ordered / 2 && !filler.filled && !filler.pairs.unordered {
                    // As if there had been some megabytes of them.
                    filler.begin_stream().unwrap();
                }
                if told.is_some() {
                    break;
                }
            }
            if told.is_none() {
                told = filler.finish().unwrap();
            }
            prop_assert_eq!(told.is_some(), doubled);
            if let Some(key) = told {
                prop_assert!(model.contains_key(&key));
                return Ok(());
            }
            let snapshot = engine.snapshot();
            let mut range =
                snapshot.range(&keyspace, Bound::Unbounded, Bound::Unbounded, Direction::Forward).unwrap();
            let mut found = BTreeMap::new();
            while let Some((key, value)) = range.next().unwrap() {
                found.insert(key.to_vec(), value.to_vec());
            }
            prop_assert_eq!(found, model);
        }
    }
}
