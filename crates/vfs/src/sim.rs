//! A disk in memory that forgets, tears and refuses as real ones do, the same way for the same seed.
//!
//! What always holds:
//! - A synced byte survives every crash; so does a directory entry after its directory was synced.
//! - An un-synced 512-byte sector holds after a crash either its synced content or that of one of
//!   the writes since, each sector on its own: loss, reordering and tearing are the same thing here.
//! - After a failed sync the bytes it was to save stay un-synced even if a later sync succeeds,
//!   unless they are written again (as Linux behaves).
//! - Directories themselves are durable at once; the names of files in them are not.
//!
//! Every call that reaches the disk is one operation and has a number. A [`FaultPlan`] picks
//! numbers that fail. With [`SimDisk::record`] the changing operations are kept, so that a test can
//! rebuild the disk as it was before each one ([`SimDisk::apply`]) and crash there
//! ([`SimDisk::crash_image`]) without running its workload again.

mod inode;
mod random;
mod world;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::{FileLock, LockError, Vfs, VfsFile};
use random::Random;
use world::World;

/// Which operations fail. Numbers count from 0 since the disk was made or last crashed.
#[derive(Clone, Debug, Default)]
pub struct FaultPlan {
    /// The power goes at this operation: it and all later ones fail.
    pub crash_at: Option<u64>,
    /// This one operation fails with an input/output error.
    pub error_at: Option<u64>,
    /// The first sync of a file at or after this operation fails.
    pub sync_error_at: Option<u64>,
    /// Writes that would take the disk past this many bytes fail with "no space left".
    pub space_bytes: Option<u64>,
    /// Every change is refused, as on a disk mounted for reading.
    pub read_only: bool,
    /// No file gets a second name, as on file systems that have no such thing.
    pub no_links: bool,
}

/// A change of the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SimOp {
    /// A new empty file behind a name.
    Create {
        /// The name.
        path: PathBuf,
        /// Identifies the file whatever its name.
        inode: u64,
    },
    /// A directory and its parents.
    CreateDir {
        /// The name.
        path: PathBuf,
    },
    /// A new name for a file.
    Rename {
        /// The old name.
        from: PathBuf,
        /// The new name.
        to: PathBuf,
    },
    /// One more name for a file.
    Link {
        /// A name it has.
        file: PathBuf,
        /// The other.
        name: PathBuf,
    },
    /// A name goes.
    Remove {
        /// The name.
        path: PathBuf,
    },
    /// The names in a directory become durable.
    SyncDir {
        /// The directory.
        path: PathBuf,
    },
    /// Bytes change.
    Write {
        /// The file.
        inode: u64,
        /// Where.
        offset: u64,
        /// What.
        bytes: Arc<[u8]>,
    },
    /// The length changes.
    SetLen {
        /// The file.
        inode: u64,
        /// To what.
        length: u64,
    },
    /// The content of a file becomes durable.
    Sync {
        /// The file.
        inode: u64,
    },
}

/// A simulated disk; clones share it.
#[derive(Clone, Debug)]
pub struct SimDisk {
    world: Arc<Mutex<World>>,
}

#[derive(Debug)]
struct SimFile {
    world: Arc<Mutex<World>>,
    inode: u64,
}

#[derive(Debug)]
struct SimLock {
    world: Arc<Mutex<World>>,
    path: PathBuf,
}

impl FileLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.world.lock().locks.remove(&self.path);
    }
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl SimDisk {
    /// An empty disk without faults.
    pub fn new() -> Self {
        Self { world: Arc::new(Mutex::new(World::default())) }
    }

    /// Sets which operations fail from now on; gives back what was set before.
    pub fn set_faults(&self, plan: FaultPlan) -> FaultPlan {
        std::mem::replace(&mut self.world.lock().plan, plan)
    }

    /// How many operations there were since the disk was made or last crashed.
    pub fn operations(&self) -> u64 {
        self.world.lock().operations
    }

    /// How many syncs of files there were since the disk was made or last crashed.
    pub fn syncs(&self) -> u64 {
        self.world.lock().syncs
    }

    /// Bytes in files.
    pub fn used_bytes(&self) -> u64 {
        self.world.lock().used_bytes()
    }

    /// Starts keeping each change.
    pub fn record(&self) {
        self.world.lock().journal = Some(Vec::new());
    }

    /// How many changes were kept so far.
    pub fn recorded(&self) -> usize {
        self.world.lock().journal.as_ref().map_or(0, Vec::len)
    }

    /// Ends keeping changes and returns them in order.
    pub fn take_record(&self) -> Vec<SimOp> {
        self.world.lock().journal.take().unwrap_or_default()
    }

    /// Repeats a kept change on this disk.
    pub fn apply(&self, op: &SimOp) -> io::Result<()> {
        self.world.lock().apply(op)
    }

    /// A copy with the same content, synced and not.
    pub fn fork(&self) -> Self {
        Self { world: Arc::new(Mutex::new(self.world.lock().fork())) }
    }

    /// A new disk as this one could be found after a power loss now.
    pub fn crash_image(&self, seed: u64) -> Self {
        let world = self.world.lock().crashed(&mut Random::new(seed));
        Self { world: Arc::new(Mutex::new(world)) }
    }

    /// The power goes and comes back: a seeded subset of what was not synced is lost, locks are free,
    /// handles opened before fail, faults and counters are reset.
    pub fn crash(&self, seed: u64) {
        let mut world = self.world.lock();
        let next = world.crashed(&mut Random::new(seed));
        *world = next;
    }

    /// The process that used the disk is gone: its locks are free, what it wrote stays as it is. `process` is
    /// what it had; dropping that changes nothing any more.
    pub fn kill<T>(&self, process: T) {
        let dead = FaultPlan { crash_at: Some(0), ..FaultPlan::default() };
        let plan = self.set_faults(dead);
        drop(process);
        self.set_faults(plan);
        self.world.lock().locks.clear();
    }

    /// Flips one bit of a file, durably.
    pub fn flip_bit(&self, path: &Path, offset: u64, bit: u8) -> io::Result<()> {
        self.world.lock().flip_bit(path, offset, bit)
    }
}

impl Vfs for SimDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        let inode = self.world.lock().open(path)?;
        Ok(Arc::new(SimFile { world: Arc::clone(&self.world), inode }))
    }

    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        self.open(path)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        let inode = self.world.lock().create(path)?;
        Ok(Arc::new(SimFile { world: Arc::clone(&self.world), inode }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.world.lock().change(SimOp::Rename { from: from.into(), to: to.into() })
    }

    fn link(&self, file: &Path, name: &Path) -> io::Result<()> {
        self.world.lock().change(SimOp::Link { file: file.into(), name: name.into() })
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.world.lock().change(SimOp::Remove { path: path.into() })
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<String>> {
        self.world.lock().read_dir(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.world.lock().change(SimOp::CreateDir { path: path.into() })
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.world.lock().change(SimOp::SyncDir { path: path.into() })
    }

    fn exists(&self, path: &Path) -> bool {
        self.world.lock().exists(path)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn FileLock>, LockError> {
        let mut world = self.world.lock();
        world.begin()?;
        // A lock is a file with its owner's number.
        world.check_writable()?;
        if !world.locks.insert(path.to_owned()) {
            return Err(LockError::Held { pid: Some(std::process::id()) });
        }
        Ok(Box::new(SimLock { world: Arc::clone(&self.world), path: path.to_owned() }))
    }
}

impl VfsFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.world.lock().read(self.inode, buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.world.lock().change(SimOp::Write { inode: self.inode, offset, bytes: bytes.into() })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.world.lock().change(SimOp::Sync { inode: self.inode })
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        self.world.lock().length(self.inode)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.world.lock().change(SimOp::SetLen { inode: self.inode, length })
    }

    fn preallocate(&self, length: u64) -> io::Result<()> {
        if self.len()? >= length { Ok(()) } else { self.set_len(length) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const FILE: &str = "/d/f";

    fn disk_with_file() -> (SimDisk, Arc<dyn VfsFile>) {
        let disk = SimDisk::new();
        disk.create_dir_all(Path::new("/d")).unwrap();
        let file = disk.create(Path::new(FILE)).unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        (disk, file)
    }

    fn content(disk: &SimDisk, path: &str) -> Vec<u8> {
        let file = disk.open(Path::new(path)).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_at(&mut bytes, 0).unwrap();
        bytes
    }

    #[test]
    fn synced_bytes_survive_and_unsynced_sectors_go_either_way() {
        let (disk, file) = disk_with_file();
        file.write_at(&[1; 2048], 0).unwrap();
        file.sync_data().unwrap();
        file.write_at(&[2; 1024], 512).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..64 {
            let bytes = content(&disk.crash_image(seed), FILE);
            assert_eq!(bytes[..512], [1; 512]);
            assert_eq!(bytes[1536..], [1; 512]);
            let (first, second) = (bytes[512], bytes[1024]);
            assert!(bytes[512..1024].iter().all(|byte| *byte == first), "a sector is never torn");
            seen.insert((first, second));
        }
        assert_eq!(seen.len(), 4, "lost, kept, and both ways of reordering: {seen:?}");
    }

    #[test]
    fn an_unsynced_name_may_go_and_a_synced_one_stays() {
        let (disk, file) = disk_with_file();
        file.write_at(b"x", 0).unwrap();
        file.sync_data().unwrap();
        disk.rename(Path::new(FILE), Path::new("/d/g")).unwrap();
        let outcomes: Vec<bool> =
            (0..32).map(|seed| disk.crash_image(seed).exists(Path::new("/d/g"))).collect();
        assert!(outcomes.contains(&true) && outcomes.contains(&false));
        for seed in 0..32 {
            let after = disk.crash_image(seed);
            assert_ne!(after.exists(Path::new("/d/g")), after.exists(Path::new(FILE)), "rename is atomic");
        }
        disk.sync_dir(Path::new("/d")).unwrap();
        assert!((0..32).all(|seed| disk.crash_image(seed).exists(Path::new("/d/g"))));
    }

    #[test]
    fn a_file_of_two_names_stays_until_both_are_gone() {
        let (disk, file) = disk_with_file();
        file.write_at(b"x", 0).unwrap();
        file.sync_data().unwrap();
        let (name, other) = (Path::new(FILE), Path::new("/d/g"));
        disk.link(name, other).unwrap();
        assert_eq!(disk.link(name, other).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        let kept = |seed| disk.crash_image(seed).exists(other);
        assert!((0..32).any(kept) && !(0..32).all(kept), "its name is durable with its directory");
        disk.sync_dir(Path::new("/d")).unwrap();
        disk.remove_file(name).unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        assert!((0..32).all(|seed| content(&disk.crash_image(seed), "/d/g") == b"x"));
        assert_eq!(disk.used_bytes(), 1);
        disk.remove_file(other).unwrap();
        assert_eq!(disk.used_bytes(), 0);
    }

    #[test]
    fn after_a_failed_sync_a_later_one_does_not_save_the_bytes() {
        let (disk, file) = disk_with_file();
        file.write_at(&[1; 512], 0).unwrap();
        file.sync_data().unwrap();
        file.write_at(&[2; 512], 0).unwrap();
        disk.set_faults(FaultPlan { sync_error_at: Some(0), ..FaultPlan::default() });
        file.sync_data().unwrap_err();
        file.sync_data().unwrap();
        assert!((0..32).any(|seed| content(&disk.crash_image(seed), FILE)[0] == 1));
        file.write_at(&[3; 512], 0).unwrap();
        file.sync_data().unwrap();
        assert!((0..32).all(|seed| content(&disk.crash_image(seed), FILE)[0] == 3));
    }

    #[test]
    fn faults_strike_the_operation_they_name() {
        let (disk, file) = disk_with_file();
        let now = disk.operations();
        disk.set_faults(FaultPlan { error_at: Some(now + 1), ..FaultPlan::default() });
        file.write_at(b"a", 0).unwrap();
        file.write_at(b"b", 0).unwrap_err();
        file.write_at(b"c", 0).unwrap();
        disk.set_faults(FaultPlan { space_bytes: Some(100), ..FaultPlan::default() });
        let error = file.write_at(&[0; 200], 0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        disk.set_faults(FaultPlan { crash_at: Some(disk.operations()), ..FaultPlan::default() });
        file.write_at(b"d", 0).unwrap_err();
        disk.open(Path::new(FILE)).unwrap_err();
        disk.crash(1);
        file.write_at(b"e", 0).unwrap_err();
        disk.open(Path::new(FILE)).unwrap();
    }

    #[test]
    fn a_flipped_bit_is_seen_by_the_next_read() {
        let (disk, file) = disk_with_file();
        file.write_at(&[0; 4], 0).unwrap();
        file.sync_data().unwrap();
        disk.flip_bit(Path::new(FILE), 2, 3).unwrap();
        assert_eq!(content(&disk, FILE), [0, 0, 8, 0]);
    }

    #[test]
    fn a_lock_is_held_until_dropped() {
        let disk = SimDisk::new();
        let held = disk.lock(Path::new("/l")).unwrap();
        assert!(matches!(disk.lock(Path::new("/l")), Err(LockError::Held { .. })));
        drop(held);
        disk.lock(Path::new("/l")).unwrap();
    }

    proptest! {
        #[test]
        fn kept_changes_rebuild_the_disk_and_a_crash_is_the_same_for_the_same_seed(
            steps in proptest::collection::vec((0u64..3000, 1usize..900, any::<u8>(), 0u8..8), 1..40),
            seed: u64,
        ) {
            let disk = SimDisk::new();
            disk.record();
            disk.create_dir_all(Path::new("/d")).unwrap();
            let file = disk.create(Path::new(FILE)).unwrap();
            for (offset, length, byte, kind) in steps {
                match kind {
                    0 => file.sync_data().unwrap(),
                    1 => disk.sync_dir(Path::new("/d")).unwrap(),
                    2 => file.set_len(offset).unwrap(),
                    _ => file.write_at(&vec![byte; length], offset).unwrap(),
                }
            }
            let again = SimDisk::new();
            for op in disk.take_record() {
                again.apply(&op).unwrap();
            }
            prop_assert_eq!(content(&disk, FILE), content(&again, FILE));
            let (one, two) = (disk.crash_image(seed), again.crash_image(seed));
            prop_assert_eq!(one.exists(Path::new(FILE)), two.exists(Path::new(FILE)));
            if one.exists(Path::new(FILE)) {
                prop_assert_eq!(content(&one, FILE), content(&two, FILE));
            }
        }
    }
}
