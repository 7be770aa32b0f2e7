//! Opening: the series that are known, then the log from where files end.
//!
//! Series come from the registry, each with its newest sample, so what was refused before a restart is refused
//! after it. Of the log only what no flush has is put in again; what files have as well is recognised when it
//! is read.

mod load;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize};

use hashbrown::{HashMap, HashSet};
use luma_log::Log;
use luma_strata::Tombstone;
use luma_vfs::Vfs;
use parking_lot::{Mutex, RwLock};
use roaring::RoaringBitmap;

use crate::batch::{Named, hash_of};
use crate::dormant::Dormant;
use crate::error::{Error, Result};
use crate::exemplars::Exemplars;
use crate::known::Names;
use crate::metadata::MetadataTable;
use crate::record::{Entry, RecordReader};
use crate::references::References;
use crate::shard::Shard;
use crate::store::{Metrics, MetricsOptions, Period, SHARDS_MAX};
use crate::tier::{Saved, Tier};
use crate::versions::Versions;

impl Metrics {
    /// Opens the store in a directory, which is made if it does not exist, with all that is in its files and
    /// its log.
    ///
    /// # Errors
    /// When another process has the directory, or the log or the manifest is damaged.
    pub fn open(vfs: Arc<dyn Vfs>, directory: &Path, options: MetricsOptions) -> Result<Self> {
        vfs.create_dir_all(directory).map_err(|error| Error::of_lock(directory, error.into()))?;
        let lock = vfs.lock(&directory.join("LOCK")).map_err(|error| Error::of_lock(directory, error))?;
        let tier = Tier::open(&vfs, directory, &options)?;
        let shards = (0..options.shards.clamp(1, SHARDS_MAX)).map(|_| Shard::default()).collect();
        let mut opening = Opening {
            shards,
            known: HashMap::new(),
            ended: HashSet::new(),
            superseded: RoaringBitmap::new(),
            given: tier.next_reference()?,
            next_reference: 0,
            metadata: MetadataTable::default(),
            exemplars: Exemplars::new(options.exemplars_max),
            period: Period::default(),
            dormant: None,
            asleep: RoaringBitmap::new(),
            graves: Vec::new(),
        };
        // Newest samples are known from there, and in files.
        tier.load(&mut |records| opening.load(records))?;
        let dormant = Dormant::open(tier.database(), |reference| opening.known.contains_key(&reference))?;
        opening.asleep = dormant.references();
        opening.dormant = Some(dormant);
        let saved = Saved { to: tier.saved()?, registered: opening.known.keys().copied().collect() };
        let warm = tier.table.snapshot();
        warm.entries().for_each(|entry| opening.period.extend(entry.times));
        let tombstones = warm.tombstones();
        opening.graves = tombstones.to_vec();
        for grave in tombstones {
            opening.deleted(grave);
        }
        opening.find_in_files(&warm)?;
        let log = Log::open(vfs, &directory.join("log"), options.log, &mut |lsn, record| {
            let of_log = |tombstone: &&Arc<Tombstone>| lsn.0 <= tombstone.mark;
            let deleted: Vec<_> = tombstones.iter().filter(of_log).collect();
            let fate = |series, t| match deleted.iter().any(|grave| grave.hides(series, t)) {
                true => Fate::Deleted,
                false if lsn <= saved.to => Fate::InFiles,
                false => Fate::New,
            };
            let is_saved = lsn <= saved.to;
            opening.put(&record, is_saved, fate).map_err(|what| {
                luma_log::Error::Replay(format!("the batch that ends at {} is damaged: {what}", lsn.0))
            })
        })?;
        if log.end() < saved.to {
            let (end, to) = (log.end().0, saved.to.0);
            return Err(Error::DamagedRegistry(format!(
                "the log ends at {end}, but files have it up to {to}"
            )));
        }
        let next_reference = opening.next_reference.max(opening.given);
        let hot_from = warm.entries().map(|entry| entry.times.1.saturating_add(1)).max();
        let store = Self {
            shards: opening.shards,
            log,
            tier,
            hot_from: AtomicI64::new(hot_from.unwrap_or(i64::MIN)),
            moving: Mutex::new(saved),
            metadata: opening.metadata,
            exemplars: opening.exemplars,
            dormant: opening.dormant.ok_or_else(|| Error::DamagedRegistry("it was not read".to_owned()))?,
            names: Names::default(),
            period: opening.period,
            versions: Versions::default(),
            series: AtomicUsize::new(opening.known.len()),
            references: References::new(next_reference),
            round: RwLock::new(0),
            maybe_ended: AtomicBool::new(true),
            lost_samples: AtomicBool::new(true),
            series_max: options.series_max,
            out_of_order_window_ms: options.out_of_order_window_ms.max(0),
            _lock: lock,
        };
        if !opening.superseded.is_empty() {
            // Once the other series sleeps they would count as awake again.
            store.strip_registry(&opening.superseded)?;
        }
        Ok(store)
    }
}

/// What has been put together so far.
struct Opening {
    shards: Box<[Shard]>,
    known: HashMap<u32, (usize, u32)>,
    /// Series that the log still has and that ended.
    ended: HashSet<u32>,
    /// Those of the registry whose labels another series has by now. A crash came before the disk learned that they ended.
    superseded: RoaringBitmap,
    /// References below it were given; of these, those that are not known ended.
    given: u32,
    next_reference: u32,
    metadata: MetadataTable,
    exemplars: Exemplars,
    period: Period,
    /// Those that sleep, once the registry is read, and their references.
    dormant: Option<Dormant>,
    asleep: RoaringBitmap,
    graves: Vec<Arc<Tombstone>>,
}

/// What became of a sample since it was logged.
enum Fate {
    New,
    InFiles,
    Deleted,
}

impl Opening {
    /// Puts in what a record says, samples only if they are neither in files nor deleted. `is_saved` says that the registry and
    /// files know all of it.
    fn put(&mut self, record: &[u8], is_saved: bool, fate: impl Fn(u32, i64) -> Fate) -> Result<(), String> {
        let mut reader = RecordReader::new(record)?;
        while let Some(entry) = reader.next()? {
            match entry {
                // The registry has it, or it fell asleep later, or it ended.
                Entry::Series { reference, .. } if is_saved => {
                    if !self.known.contains_key(&reference) {
                        self.ended.insert(reference);
                    }
                }
                Entry::Series { reference, key } => self.add_series(reference, key)?,
                Entry::Sample { reference, point } => {
                    let Some((at, id)) = self.known.get(&reference) else {
                        if reference < self.given || self.ended.contains(&reference) {
                            continue;
                        }
                        return Err(format!("it has a sample of series {reference}, which no batch defined"));
                    };
                    let shard = &mut self.shards[*at];
                    let late = shard.writer.get_mut().accept(*id, &point);
                    match fate(reference, point.t) {
                        Fate::New => {
                            self.period.extend((point.t, point.t));
                            shard.state.get_mut().put(*id, point, late);
                        }
                        Fate::Deleted => shard.writer.get_mut().deleted(*id, point.t, point.t),
                        Fate::InFiles => {}
                    }
                }
                Entry::Metadata { family, metadata } => self.metadata.replay(family, metadata),
                Entry::Exemplar { reference, exemplar } => self.exemplars.replay(reference, exemplar),
                Entry::ForgetExemplars => self.exemplars.forget(),
                Entry::Deleted { .. } => return Err("it has what only the registry has".to_owned()),
            }
        }
        Ok(())
    }

    /// Notes that samples known so far were deleted, perhaps before some of them: then one that is sent again counts as
    /// late, and is recognised when it is read.
    fn deleted(&mut self, grave: &Tombstone) {
        for (at, id) in grave.series.iter().filter_map(|series| self.known.get(&series)) {
            self.shards[*at].writer.get_mut().deleted(*id, grave.from, grave.to);
        }
    }

    fn add_series(&mut self, reference: u32, key: &[u8]) -> Result<(), String> {
        let hash = hash_of(key);
        let named = Named::Key(hash, key);
        let at = named.shard(self.shards.len());
        let shard = &mut self.shards[at];
        if let Some((before, id)) = self.known.get(&reference) {
            // The registry and the log both have it.
            let same = *before == at && shard.writer.get_mut().find(named) == Some(*id);
            return if same { Ok(()) } else { Err(format!("it defines series {reference} again")) };
        }
        let sleeper = match &self.dormant {
            Some(dormant) if self.asleep.remove(reference) => {
                dormant.find(key).map_err(|error| error.to_string())?
            }
            _ => None,
        };
        if let Some(id) = shard.writer.get_mut().find(named) {
            // Of two with the same labels the earlier one had ended when the later one came.
            let other = shard.writer.get_mut().reference(id);
            if reference < other {
                self.ended.insert(reference);
                return Ok(());
            }
            self.ended.insert(other);
            self.superseded.insert(other);
            self.known.remove(&other);
            shard.writer.get_mut().remove(&RoaringBitmap::from([id]));
            shard.state.get_mut().remove(id);
        }
        let writer = shard.writer.get_mut();
        let (id, labels) = match &sleeper {
            None => writer.add_series(hash, key, reference),
            Some(sleeper) => writer.wake(hash, key, sleeper),
        };
        let state = shard.state.get_mut();
        state.add_series(id, reference, labels);
        if let Some((dormant, sleeper)) = self.dormant.as_ref().zip(sleeper) {
            if let Some(series) = state.get_mut(id) {
                series.extend(sleeper.times);
            }
            for grave in self.graves.iter().filter(|grave| grave.series.contains(reference)) {
                writer.deleted(id, grave.from, grave.to);
            }
            dormant.wake(sleeper);
        }
        self.known.insert(reference, (at, id));
        let next = reference.checked_add(1).ok_or("its series has the last number there is")?;
        self.next_reference = self.next_reference.max(next);
        Ok(())
    }
}
