//! Series that sleep: they ended, memory has nothing of them, and files still have their samples.
//!
//! They are in the registry's database, in groups of neighbours by metric and labels, each a value of its own; a query that
//! reaches the times of a group looks at its members one after another. Where a group is and which of its members still sleep is in
//! memory, some three bytes a series. One that gets a sample wakes: it is found by a fingerprint of its labels and is the same series
//! as before, with the same reference and the same newest sample.
//!
//! Invariants: a group is on disk before a member of it leaves memory. A series is in memory or asleep: it changes sides while
//! its shard is locked, so whoever holds all shards sees it once. The disk learns of those that woke with the flush that puts them back
//! into the registry, in its transaction; until then the log says so. What the registry has is awake, whatever a group says.

mod group;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use lightning::{
    Database, Direction, Durability, Keyspace, KeyspaceOptions, Readable, Transaction, TransactionMode,
    TransactionOptions,
};
use luma_promql::{METRIC_NAME, Matcher};
use parking_lot::RwLock;
use roaring::RoaringBitmap;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::batch::{Point, labels_of_key, metric_of};
use crate::error::{Error, Result};
use crate::record::{Entry, RecordReader, RecordWriter};
use group::Header;

/// Members of a group.
const GROUP_SERIES: usize = 1024;
/// Bytes of a transaction that writes many.
const TRANSACTION_BYTES: usize = 8 << 20;

pub(crate) const GROUPS: &str = "metrics.dormant";
pub(crate) const BY_LABELS: &str = "metrics.dormant.by_labels";
const SEED_KEY: &[u8] = b"seed";

/// A series on its way to sleep.
#[derive(Debug, Clone)]
pub(crate) struct Tired {
    pub reference: u32,
    pub key: Vec<u8>,
    /// Its samples are between these times.
    pub times: (i64, i64),
    /// `None` if it was deleted.
    pub newest: Option<Point>,
}

/// A series that sleeps, as it is needed to wake it.
#[derive(Debug, Clone)]
pub(crate) struct Sleeper {
    pub reference: u32,
    pub times: (i64, i64),
    pub newest: Option<Point>,
    group: u32,
    fingerprint: [u8; 16],
}

/// What memory knows of a group.
#[derive(Debug)]
struct Group {
    times: (i64, i64),
    /// The metrics of its members; `None` if they are many.
    metrics: Option<Box<[Box<str>]>>,
    /// The references of those that sleep.
    asleep: Arc<RoaringBitmap>,
}

#[derive(Debug, Default)]
struct State {
    groups: BTreeMap<u32, Group>,
    next_group: u32,
    /// Those that woke and the disk does not know yet, and their references. For the disk they sleep.
    woken: Vec<Sleeper>,
    pending: RoaringBitmap,
    len: usize,
}

/// The series that sleep.
#[derive(Debug)]
pub(crate) struct Dormant {
    database: Database,
    groups: Keyspace,
    by_labels: Keyspace,
    seed: u64,
    state: RwLock<State>,
}

/// Those that sleep at a moment and may have samples of a time.
pub(crate) struct View {
    snapshot: lightning::Snapshot,
    keyspace: Keyspace,
    groups: Vec<(u32, Arc<RoaringBitmap>)>,
}

/// A series that sleeps, as groups have it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member<'g> {
    pub reference: u32,
    pub times: (i64, i64),
    pub key: &'g [u8],
}

impl Member<'_> {
    /// Whether it may have samples between two times and fulfils all matchers.
    pub fn is_chosen(&self, matchers: &[Matcher], from: i64, to: i64) -> bool {
        let value =
            |name: &str| labels_of_key(self.key).find(|(of, _)| *of == name).map_or("", |(_, value)| value);
        self.times.0 <= to
            && self.times.1 >= from
            && matchers.iter().all(|matcher| matcher.matches(value(matcher.name())))
    }
}

fn damaged(what: &str) -> Error {
    Error::DamagedRegistry(format!("of series that sleep, {what}"))
}

impl Dormant {
    /// Those that a registry has; of `awake` none sleeps.
    pub fn open(database: &Database, awake: impl Fn(u32) -> bool) -> Result<Self> {
        let keyspace = |name: &str| match database.keyspace(name) {
            Some(keyspace) => Ok(keyspace),
            None => database.create_keyspace(name, KeyspaceOptions::default()),
        };
        let (groups, by_labels) = (keyspace(GROUPS)?, keyspace(BY_LABELS)?);
        let snapshot = database.snapshot();
        let seed = match snapshot.get(&by_labels, SEED_KEY)? {
            Some(seed) => {
                u64::from_le_bytes(seed.try_into().map_err(|_| damaged("the seed has another length"))?)
            }
            None => {
                let seed = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0);
                let mut transaction = database.begin(TransactionOptions::default());
                transaction.put(&by_labels, SEED_KEY, &u64::to_le_bytes(seed))?;
                transaction.commit()?;
                seed
            }
        };
        let mut state = State::default();
        let mut range = snapshot.range(&groups, Bound::Unbounded, Bound::Unbounded, Direction::Forward)?;
        while let Some((key, value)) = range.next()? {
            let number = key.try_into().map_err(|_| damaged("the key of a group is none"))?;
            let number = u32::from_be_bytes(number);
            let (header, _) = Header::decode(value).ok_or_else(|| damaged("a group makes no sense"))?;
            state.next_group = number.checked_add(1).ok_or_else(|| damaged("a group has the last number"))?;
            let asleep = Arc::new(header.asleep);
            state.groups.insert(number, Group { times: header.times, metrics: header.metrics, asleep });
        }
        let wrong = state.keep_each_once(awake);
        let own = Self { database: database.clone(), groups, by_labels, seed, state: RwLock::new(state) };
        if !wrong.is_empty() {
            own.strip_beds(&wrong)?;
        }
        Ok(own)
    }

    /// How many sleep.
    pub fn len(&self) -> usize {
        self.state.read().len
    }

    /// The references of all that sleep.
    pub fn references(&self) -> RoaringBitmap {
        let state = self.state.read();
        state.groups.values().fold(RoaringBitmap::new(), |all, group| all | group.asleep.as_ref())
    }

    /// The series with these labels, if it sleeps.
    pub fn find(&self, key: &[u8]) -> Result<Option<Sleeper>> {
        let state = self.state.read();
        if state.len == 0 {
            return Ok(None);
        }
        let fingerprint = self.fingerprint(key);
        let Some(value) = self.database.snapshot().get(&self.by_labels, &fingerprint)? else {
            return Ok(None);
        };
        let sleeper = sleeper_of(&value, fingerprint).ok_or_else(|| damaged("one makes no sense"))?;
        let is_asleep = |group: &Group| group.asleep.contains(sleeper.reference);
        Ok(state.groups.get(&sleeper.group).is_some_and(is_asleep).then_some(sleeper))
    }

    /// Notes that one woke. Its shard is locked.
    pub fn wake(&self, sleeper: Sleeper) {
        let mut state = self.state.write();
        state.forget(sleeper.group, sleeper.reference);
        state.pending.insert(sleeper.reference);
        state.woken.push(sleeper);
    }

    /// Whether one woke and the disk does not know of it. Until then it stays awake.
    pub fn is_pending(&self, reference: u32) -> bool {
        self.state.read().pending.contains(reference)
    }

    /// Those that woke and that the disk does not know of.
    pub fn woken(&self) -> Vec<Sleeper> {
        self.state.read().woken.clone()
    }

    /// Writes in a transaction that some woke.
    pub fn write_woken(&self, transaction: &mut Transaction, woken: &[Sleeper]) -> lightning::Result<()> {
        let mut groups: Vec<u32> = woken.iter().map(|sleeper| sleeper.group).collect();
        groups.sort_unstable();
        groups.dedup();
        for sleeper in woken {
            transaction.delete(&self.by_labels, &sleeper.fingerprint)?;
        }
        self.write_headers(transaction, groups.into_iter(), woken.len())
    }

    /// The disk knows of the first `count` that woke.
    pub fn forget_woken(&self, count: usize) {
        let mut state = self.state.write();
        let count = count.min(state.woken.len());
        state.woken.drain(..count);
        state.pending = state.woken.iter().map(|sleeper| sleeper.reference).collect();
        state.groups.retain(|_, group| !group.asleep.is_empty());
    }

    /// Writes which members of some groups sleep; nothing of a group of which none does. Of those that woke the registry has
    /// the first `registered`.
    fn write_headers(
        &self,
        transaction: &mut Transaction,
        groups: impl Iterator<Item = u32>,
        registered: usize,
    ) -> lightning::Result<()> {
        let (asleep, snapshot) = {
            let state = self.state.read();
            let mut asleep: BTreeMap<u32, RoaringBitmap> = groups
                .map(|number| {
                    (number, state.groups.get(&number).map(|of| (*of.asleep).clone()).unwrap_or_default())
                })
                .collect();
            for sleeper in state.woken.iter().skip(registered) {
                asleep.entry(sleeper.group).and_modify(|asleep| {
                    asleep.insert(sleeper.reference);
                });
            }
            (asleep, self.database.snapshot())
        };
        for (number, asleep) in asleep {
            let key = number.to_be_bytes();
            if asleep.is_empty() {
                transaction.delete(&self.groups, &key)?;
            } else if let Some(before) = snapshot.get(&self.groups, &key)?
                // Whoever reads a damaged one says so.
                && let Some(value) = Header::with_asleep(&before, &asleep)
            {
                transaction.put(&self.groups, &key, &value)?;
            }
        }
        Ok(())
    }

    /// Writes groups for some series, which are awake until [`Self::fall_asleep`]; gives the group of each.
    pub fn make_beds(&self, mut tired: Vec<Tired>) -> Result<Vec<(Tired, u32)>> {
        // Neighbours have labels in common: they take fewer bytes, and queries that name a metric skip other groups.
        tired.sort_by_cached_key(|tired| (metric_of(&tired.key).to_owned(), tired.key.clone()));
        let mut transaction = self.begin();
        let mut beds = Vec::with_capacity(tired.len());
        for members in tired.chunks(GROUP_SERIES) {
            let number = {
                let mut state = self.state.write();
                let number = state.next_group;
                state.next_group =
                    number.checked_add(1).ok_or_else(|| damaged("there are too many groups"))?;
                let header = Header::of(members);
                transaction.put(&self.groups, &number.to_be_bytes(), &header.encode(members))?;
                let group = Group { times: header.times, metrics: header.metrics, asleep: Arc::default() };
                state.groups.insert(number, group);
                number
            };
            for member in members {
                let value = value_of(member, number);
                transaction.put(&self.by_labels, &self.fingerprint(&member.key), &value)?;
                beds.push(number);
            }
            if transaction.write_set_bytes() >= TRANSACTION_BYTES {
                std::mem::replace(&mut transaction, self.begin()).commit()?;
            }
        }
        transaction.commit()?;
        Ok(tired.into_iter().zip(beds).collect())
    }

    /// Notes that a series sleeps in its group. Its shard is locked.
    pub fn fall_asleep(&self, reference: u32, group: u32) {
        let mut state = self.state.write();
        if let Some(group) = state.groups.get_mut(&group)
            && Arc::make_mut(&mut group.asleep).insert(reference)
        {
            state.len += 1;
        }
    }

    /// Takes those out of some groups on disk that did not fall asleep.
    pub fn strip_beds(&self, groups: &RoaringBitmap) -> Result<()> {
        let mut transaction = self.begin();
        self.write_headers(&mut transaction, groups.iter(), 0)?;
        transaction.commit()?;
        self.state.write().groups.retain(|_, group| !group.asleep.is_empty());
        Ok(())
    }

    /// Forgets those that have no samples any more, and notes whose newest was deleted; how many went.
    pub fn retain(
        &self,
        is_kept: impl Fn(&Member<'_>) -> bool,
        newest_is_deleted: impl Fn(&Member<'_>) -> bool,
    ) -> Result<usize> {
        let numbers: Vec<u32> = self.state.read().groups.keys().copied().collect();
        let mut went = 0;
        for number in numbers {
            let view = self.view_of(number);
            let (mut gone, mut deleted) = (Vec::new(), Vec::new());
            view.each(|member| {
                if !is_kept(&member) {
                    gone.push((member.reference, self.fingerprint(member.key)));
                } else if newest_is_deleted(&member) {
                    deleted.push(self.fingerprint(member.key));
                }
            })?;
            if gone.is_empty() && deleted.is_empty() {
                continue;
            }
            let mut transaction = self.begin();
            for fingerprint in deleted {
                let Some(value) = transaction.get(&self.by_labels, &fingerprint)? else { continue };
                let cut = value.get(..HEAD_BYTES).unwrap_or_default().to_vec();
                transaction.put(&self.by_labels, &fingerprint, &cut)?;
            }
            {
                let mut state = self.state.write();
                gone.retain(|(reference, _)| state.forget(number, *reference));
            }
            went += gone.len();
            for (_, fingerprint) in &gone {
                transaction.delete(&self.by_labels, fingerprint)?;
            }
            self.write_headers(&mut transaction, std::iter::once(number), 0)?;
            transaction.commit()?;
        }
        self.state.write().groups.retain(|_, group| !group.asleep.is_empty());
        Ok(went)
    }

    /// Those that may have samples between two times and may fulfil all matchers.
    pub fn view(&self, matchers: &[Matcher], from: i64, to: i64) -> View {
        let state = self.state.read();
        let of_metric: Vec<&Matcher> =
            matchers.iter().filter(|matcher| matcher.name() == METRIC_NAME).collect();
        let may_have = |group: &&Group| {
            let any = |metrics: &[Box<str>]| {
                metrics.iter().any(|metric| of_metric.iter().all(|matcher| matcher.matches(metric)))
            };
            group.times.0 <= to && group.times.1 >= from && group.metrics.as_deref().is_none_or(any)
        };
        let groups = state.groups.iter().filter(|(_, group)| may_have(group));
        let groups = groups.map(|(number, group)| (*number, Arc::clone(&group.asleep))).collect();
        View { snapshot: self.database.snapshot(), keyspace: self.groups.clone(), groups }
    }

    fn view_of(&self, number: u32) -> View {
        let state = self.state.read();
        let group = state.groups.get(&number).map(|group| (number, Arc::clone(&group.asleep)));
        let groups = group.into_iter().collect();
        View { snapshot: self.database.snapshot(), keyspace: self.groups.clone(), groups }
    }

    fn fingerprint(&self, key: &[u8]) -> [u8; 16] {
        xxh3_128_with_seed(key, self.seed).to_be_bytes()
    }

    /// A transaction of the one who moves series: there is nothing to check, and it may come to the disk later.
    fn begin(&self) -> Transaction {
        self.database.begin(TransactionOptions {
            mode: TransactionMode::Pessimistic,
            durability: Durability::Buffered,
            ..TransactionOptions::default()
        })
    }
}

impl State {
    /// Takes those out of groups that are awake, or sleep in a later group: a crash came before the disk learned that they
    /// woke. Gives the groups that are wrong on the disk: one of them that falls asleep again would be in two.
    fn keep_each_once(&mut self, awake: impl Fn(u32) -> bool) -> RoaringBitmap {
        let (mut seen, mut wrong) = (RoaringBitmap::new(), RoaringBitmap::new());
        for (number, group) in self.groups.iter_mut().rev() {
            let is_here = |reference: &u32| !seen.contains(*reference) && !awake(*reference);
            let asleep: RoaringBitmap = group.asleep.iter().filter(is_here).collect();
            if asleep != *group.asleep {
                wrong.insert(*number);
            }
            seen |= &asleep;
            self.len += asleep.len() as usize;
            group.asleep = Arc::new(asleep);
        }
        wrong
    }

    /// Takes one out of its group; whether it slept there.
    fn forget(&mut self, group: u32, reference: u32) -> bool {
        let Some(group) = self.groups.get_mut(&group) else { return false };
        let slept = Arc::make_mut(&mut group.asleep).remove(reference);
        self.len -= usize::from(slept);
        slept
    }
}

impl View {
    /// Hands each to `f`.
    ///
    /// # Errors
    /// When a group cannot be read.
    pub fn each(&self, mut f: impl FnMut(Member<'_>)) -> Result<()> {
        for (number, asleep) in self.groups.iter().filter(|(_, asleep)| !asleep.is_empty()) {
            let value = self.snapshot.get(&self.keyspace, &number.to_be_bytes())?;
            let value = value.ok_or_else(|| damaged("a group is missing"))?;
            let unpacked = Header::decode(&value).and_then(|(_, rest)| group::unpacked(rest));
            let unpacked = unpacked.ok_or_else(|| damaged("a group makes no sense"))?;
            group::each_member(&unpacked, |member| {
                if asleep.contains(member.reference) {
                    f(member);
                }
            })
            .ok_or_else(|| damaged("a member of a group makes no sense"))?;
        }
        Ok(())
    }
}

/// Bytes of what is found by labels before the newest sample.
const HEAD_BYTES: usize = 4 + 4 + 8 + 8;

fn value_of(tired: &Tired, group: u32) -> Vec<u8> {
    let mut value = Vec::with_capacity(HEAD_BYTES + 16);
    value.extend_from_slice(&tired.reference.to_le_bytes());
    value.extend_from_slice(&group.to_le_bytes());
    value.extend_from_slice(&tired.times.0.to_le_bytes());
    value.extend_from_slice(&tired.times.1.to_le_bytes());
    if let Some(newest) = &tired.newest {
        let mut record = RecordWriter::with_capacity(16);
        record.sample(tired.reference, newest);
        value.extend(record.finish().unwrap_or_default());
    }
    value
}

fn sleeper_of(value: &[u8], fingerprint: [u8; 16]) -> Option<Sleeper> {
    let (reference, rest) = value.split_first_chunk()?;
    let (group, rest) = rest.split_first_chunk()?;
    let (first, rest) = rest.split_first_chunk()?;
    let (last, record) = rest.split_first_chunk()?;
    let newest = match record {
        [] => None,
        record => match RecordReader::new(record).ok()?.next().ok()?? {
            Entry::Sample { point, .. } => Some(point),
            _ => return None,
        },
    };
    Some(Sleeper {
        reference: u32::from_le_bytes(*reference),
        group: u32::from_le_bytes(*group),
        times: (i64::from_le_bytes(*first), i64::from_le_bytes(*last)),
        newest,
        fingerprint,
    })
}
