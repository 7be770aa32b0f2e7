//! Moving samples from memory to files.
//!
//! A flush takes everything that is not in files, window by window of time, so that the log can be cut where it
//! began. What is newer than `hot_from` also stays in memory, for queries; the rest gives its memory back.
//!
//! Invariants: a place in the log is taken while no batch is half in, so every sample before it is flushed. What
//! is flushed beyond it is durable in the log before files have it, so no batch shows in part after a crash; it
//! is put in again by a replay and recognised when it is read. Files, registry and that place change in one
//! transaction. Memory is given back after that, and `hot_from` is raised before it is.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use luma_log::Lsn;
use luma_promql::Labels;
use luma_strata::{Change, Finished, NewFile};
use roaring::RoaringBitmap;

use crate::batch::Point;
use crate::error::Result;
use crate::head::{FlushMark, Head};
use crate::record::RecordWriter;
use crate::shard::Last;
use crate::store::Metrics;
use crate::tier::{BLOCK_SERIES, NewestOfBlock, json_of, run_of};

/// How many files are written at the same time, each of its own window: they hold up to a row group in memory.
const WINDOWS_MAX: usize = 4;

/// What a flush did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flushed {
    /// How many series had new samples.
    pub series: usize,
    /// How many samples went to files.
    pub samples: u64,
    /// How many files were written.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// A series in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub reference: u32,
    shard: u32,
    id: u32,
}

impl Metrics {
    /// Moves all samples in memory to files and cuts the log. Samples from `hot_from` on (in milliseconds)
    /// also stay in memory, where queries that ask for no older ones find them.
    ///
    /// # Errors
    /// When files cannot be written, or the manifest or the log fails. Everything is in the log then as before.
    pub fn flush(&self, hot_from: i64) -> Result<Flushed> {
        let mut saved = self.moving.lock();
        let to = self.whole_batches();
        // Whoever woke before that place is in memory.
        let woken = self.dormant.woken();
        let places = self.places();
        let marked: Vec<(Place, FlushMark)> =
            places.iter().filter_map(|place| Some((*place, self.mark(*place)?))).collect();
        let new: Vec<(u32, Labels)> = places
            .iter()
            .filter(|place| !saved.registered.contains(place.reference))
            .filter_map(|place| Some((place.reference, self.labels(*place)?)))
            .collect();
        let changed = marked.iter().map(|(place, _)| place.reference);
        let changed = changed.chain(new.iter().map(|(reference, _)| *reference));
        let changed = changed.chain(woken.iter().map(|sleeper| sleeper.reference));
        let blocks: RoaringBitmap = changed.map(|reference| reference / BLOCK_SERIES).collect();
        self.say_again()?;
        // What is marked is durable as well then, also what came after `to`.
        let newest = self.durable_newest(&places, &blocks)?;
        let add = self.write_files(&marked)?;
        let mut done = Flushed { series: marked.len(), files: add.len(), ..Flushed::default() };
        for finished in &add {
            done.samples += finished.entry().rows;
            done.bytes += finished.entry().bytes;
        }
        self.tier.add_series(to, new.iter().map(|(reference, labels)| (*reference, labels)))?;
        saved.registered.extend(new.iter().map(|(reference, _)| *reference));
        self.tier.table.commit(Change { add, ..Change::default() }, |transaction| {
            for of_block in &newest {
                self.tier.put_newest(transaction, of_block)?;
            }
            self.dormant.write_woken(transaction, &woken)?;
            self.tier.put_saved(transaction, to)
        })?;
        self.dormant.forget_woken(woken.len());
        saved.to = to;
        let in_files = self.tier.table.snapshot().entries().map(|entry| entry.times.1).max();
        let complete_from = in_files.map_or(i64::MIN, |t| t.saturating_add(1)).min(hot_from);
        self.hot_from.fetch_max(complete_from, Ordering::AcqRel);
        let mut marked = marked.into_iter().peekable();
        for place in places {
            let mark = marked.next_if(|(of, _)| of.reference == place.reference);
            self.in_state(place, |head| match mark {
                Some((_, mark)) => head.flushed(mark, hot_from),
                // It may have been too new when it was flushed, and have no more samples since.
                None => head.give_back(hot_from),
            });
        }
        // Of what only memory had, as its file is past keeping, there may be nothing left now.
        self.maybe_ended.store(true, Ordering::Release);
        self.log.truncate_before(to)?;
        Ok(done)
    }

    /// Puts metadata and exemplars at the log's end, before the log is cut.
    fn say_again(&self) -> Result<()> {
        let mut append = |record: RecordWriter| -> Result<()> {
            record.finish().map_or(Ok(()), |record| Ok(self.log.append(&[&record]).map(drop)?))
        };
        self.metadata.say_again(&mut append)?;
        self.exemplars.say_again(&mut append)
    }

    /// A place in the log before which every batch is in memory as a whole.
    pub(crate) fn whole_batches(&self) -> Lsn {
        let _writers: Vec<_> = self.shards.iter().map(|shard| shard.writer.lock()).collect();
        self.log.end()
    }

    /// All series in the order of references.
    pub(crate) fn places(&self) -> Vec<Place> {
        let mut places = Vec::with_capacity(self.series_len());
        for (shard, of_shard) in self.shards.iter().enumerate() {
            let state = of_shard.state.read();
            places.extend(state.iter().map(|(id, series)| Place {
                reference: series.reference,
                shard: shard as u32,
                id,
            }));
        }
        places.sort_unstable_by_key(|place| place.reference);
        places
    }

    fn in_state<R>(&self, place: Place, change: impl FnOnce(&mut Head) -> R) -> Option<R> {
        let mut state = self.shards.get(place.shard as usize)?.state.write();
        state.get_mut(place.id).map(|series| change(&mut series.head))
    }

    fn mark(&self, place: Place) -> Option<FlushMark> {
        self.in_state(place, Head::mark).flatten()
    }

    fn labels(&self, place: Place) -> Option<Labels> {
        self.shards.get(place.shard as usize)?.state.read().index.labels(place.id).cloned()
    }

    /// The newest samples of the series in some blocks, when the log has them for good. The registry may know no others: after
    /// a crash one that the log lost would count as there, and who sends it again would be told so.
    pub(crate) fn durable_newest(
        &self,
        places: &[Place],
        blocks: &RoaringBitmap,
    ) -> Result<Vec<NewestOfBlock>> {
        let newest = |block| {
            let from = places.partition_point(|place| place.reference / BLOCK_SERIES < block);
            let to = places.partition_point(|place| place.reference / BLOCK_SERIES <= block);
            NewestOfBlock::new(block, &self.newest(places.get(from..to).unwrap_or_default()))
        };
        let newest = blocks.iter().map(newest).collect();
        self.log.wait_durable(self.log.end())?;
        Ok(newest)
    }

    fn newest(&self, places: &[Place]) -> Vec<(u32, Last)> {
        let newest = |place: &Place| {
            let last = self.shards.get(place.shard as usize)?.writer.lock().last(place.id)?;
            Some((place.reference, last))
        };
        places.iter().filter_map(newest).collect()
    }

    /// Writes what is marked, one file for each window of time.
    fn write_files(&self, marked: &[(Place, FlushMark)]) -> Result<Vec<Finished>> {
        let mut add = Vec::new();
        let mut from = Some(i64::MIN);
        while let Some(window) = from {
            let (files, next) = self.write_windows(marked, window)?;
            for file in files {
                add.extend(file.finish()?);
            }
            from = next;
        }
        Ok(add)
    }

    /// Writes the first windows from a number on; and from where there are more.
    fn write_windows(
        &self,
        marked: &[(Place, FlushMark)],
        from: i64,
    ) -> Result<(impl Iterator<Item = NewFile>, Option<i64>)> {
        let window_ms = self.tier.table.options().window_ms.max(1);
        let window = |point: &Point| point.t.div_euclid(window_ms);
        let mut files: BTreeMap<i64, NewFile> = BTreeMap::new();
        let mut next: Option<i64> = None;
        for (place, mark) in marked {
            let state = self.shards.get(place.shard as usize).map(|shard| shard.state.read());
            let found = state.as_ref().and_then(|state| {
                let series = state.get(place.id)?;
                Some((series.head.unflushed(*mark), state.index.labels(place.id)?.clone()))
            });
            drop(state);
            let Some((unflushed, labels)) = found else { continue };
            // A series that has nothing for the windows that are written now is not decoded: many are with a back-fill of many.
            let from_ms = from.saturating_mul(window_ms);
            let Some(first) = unflushed.first_from(from_ms).map(|t| t.div_euclid(window_ms)) else {
                continue;
            };
            let last = files.keys().next_back().filter(|last| files.len() >= WINDOWS_MAX && first > **last);
            if last.is_some() {
                next = Some(next.map_or(first, |next| next.min(first)));
                continue;
            }
            let points = unflushed.points()?;
            let json = json_of(&labels);
            for points in points.chunk_by(|a, b| window(a) == window(b)) {
                let Some(number) = points.first().map(window).filter(|number| *number >= from) else {
                    continue;
                };
                if !files.contains_key(&number) {
                    // The first windows stay, so that those which stay have all series from the start.
                    let last = files.keys().next_back().copied().filter(|_| files.len() >= WINDOWS_MAX);
                    if let Some(last) = last {
                        let left = last.max(number);
                        next = Some(next.map_or(left, |next| next.min(left)));
                        if number > last {
                            continue;
                        }
                        files.remove(&last);
                    }
                    files.insert(number, self.tier.table.new_file()?);
                }
                if let Some(file) = files.get_mut(&number) {
                    file.push(&json, &run_of(place.reference, points))?;
                }
            }
        }
        Ok((files.into_values(), next))
    }
}
