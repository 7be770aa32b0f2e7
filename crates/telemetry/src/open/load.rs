//! The registry of series into memory, each shard by a thread of its own.
//!
//! Invariants: what a record says of a series concerns one shard only, so threads share nothing but the records. Records that
//! define series come before those with newest samples.

use hashbrown::HashMap;
use luma_strata::Snapshot;
use roaring::RoaringBitmap;

use super::Opening;
use crate::batch::{Named, hash_of};
use crate::error::{Error, Result};
use crate::record::{Entry, RecordReader};
use crate::shard::{Last, Shard, Writer};

/// What a thread found.
#[derive(Default)]
struct Loaded {
    /// References, and the numbers of the series in the shard.
    added: Vec<(u32, u32)>,
    /// References of those that had ended when another with the same labels came.
    ended: Vec<u32>,
    /// Samples of series that this shard does not have.
    strange: RoaringBitmap,
}

impl Opening {
    /// Puts in what some records of the registry say.
    pub(super) fn load(&mut self, records: &[Vec<u8>]) -> Result<()> {
        let (count, known) = (self.shards.len(), &self.known);
        let loaded = std::thread::scope(|scope| {
            let threads = self.shards.iter_mut().enumerate().map(|(at, shard)| {
                let load = move || load_shard(shard, (at, count), known, records);
                thread().spawn_scoped(scope, load)
            });
            let threads: Vec<_> = threads.collect();
            let joined = threads.into_iter().map(|thread| match thread.map_err(Error::NoThread)?.join() {
                Ok(loaded) => loaded.map_err(Error::DamagedRegistry),
                Err(panic) => std::panic::resume_unwind(panic),
            });
            joined.collect::<Result<Vec<Loaded>>>()
        })?;
        let strange = loaded.iter().map(|of_shard| of_shard.strange.clone()).reduce(|all, of| all & of);
        if let Some(reference) = strange.and_then(|strange| strange.max()).filter(|of| *of >= self.given) {
            let what = format!("it has a sample of series {reference}, which nothing defines");
            return Err(Error::DamagedRegistry(what));
        }
        self.known.reserve(loaded.iter().map(|of_shard| of_shard.added.len()).sum());
        for (at, of_shard) in loaded.into_iter().enumerate() {
            for (reference, id) in of_shard.added {
                self.known.insert(reference, (at, id));
                let next = reference.checked_add(1).ok_or_else(|| {
                    Error::DamagedRegistry("its series has the last number there is".to_owned())
                })?;
                self.next_reference = self.next_reference.max(next);
            }
            for reference in of_shard.ended {
                self.known.remove(&reference);
                self.ended.insert(reference);
                self.superseded.insert(reference);
            }
        }
        Ok(())
    }

    /// Notes between which times series may have samples in files.
    pub(super) fn find_in_files(&mut self, files: &Snapshot) -> Result<()> {
        std::thread::scope(|scope| {
            for shard in &mut self.shards {
                let find = || {
                    let (writer, state) = (shard.writer.get_mut(), shard.state.get_mut());
                    state.iter_mut().for_each(|(id, series)| {
                        let newest = writer.last(id).map_or(i64::MAX, |(t, _)| t);
                        if let Some(span) = files.span(series.reference, i64::MIN, newest) {
                            series.extend(span);
                        }
                    });
                };
                thread().spawn_scoped(scope, find).map_err(Error::NoThread)?;
            }
            Ok(())
        })
    }
}

fn thread() -> std::thread::Builder {
    std::thread::Builder::new().name("metrics-open".into())
}

fn load_shard(
    shard: &mut Shard,
    (own, count): (usize, usize),
    known: &HashMap<u32, (usize, u32)>,
    records: &[Vec<u8>],
) -> std::result::Result<Loaded, String> {
    let (writer, state) = (shard.writer.get_mut(), shard.state.get_mut());
    let mut loaded = Loaded::default();
    let mut strange = RoaringBitmap::new();
    let mut newest = |writer: &mut Writer, reference: u32, last: Last| match known.get(&reference) {
        Some((at, id)) if *at == own => writer.set_last(*id, &last),
        _ => {
            strange.insert(reference);
        }
    };
    for record in records {
        let mut reader = RecordReader::new(record)?;
        while let Some(entry) = reader.next()? {
            match entry {
                Entry::Series { reference, key } => {
                    let hash = hash_of(key);
                    let named = Named::Key(hash, key);
                    if named.shard(count) != own {
                        continue;
                    }
                    if let Some(id) = writer.find(named) {
                        // Of two with the same labels the earlier one had ended when the later one came.
                        let other = writer.reference(id);
                        // A flush that failed, or a removal, may have left it there.
                        if reference == other {
                            continue;
                        }
                        loaded.ended.push(reference.min(other));
                        if reference < other {
                            continue;
                        }
                        loaded.added.retain(|(reference, _)| *reference != other);
                        writer.remove(&RoaringBitmap::from([id]));
                        state.remove(id);
                    }
                    let (id, labels) = writer.add_series(hash, key, reference);
                    state.add_series(id, reference, labels);
                    loaded.added.push((reference, id));
                }
                Entry::Sample { reference, point } => {
                    newest(writer, reference, (point.t, Some(point)));
                }
                Entry::Deleted { reference, t } => newest(writer, reference, (t, None)),
                _ => return Err("it has something that is no series and no sample".to_owned()),
            }
        }
    }
    loaded.strange = strange;
    Ok(loaded)
}
