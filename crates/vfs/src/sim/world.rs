//! The simulated disk's state: names, files, faults, and the one place where changes are applied.
//!
//! Invariant: the live path and [`World::apply`] change state through the same function, so kept
//! changes rebuild exactly the disk they came from.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::inode::Inode;
use super::random::Random;
use super::{FaultPlan, SimOp};

/// Files by path. Compared as bytes: comparing paths component by component costs a tenth of a crash run.
type Names = BTreeMap<OsString, u64>;

#[derive(Clone, Debug)]
enum NameChange {
    Create { path: PathBuf, inode: u64 },
    Rename { from: PathBuf, to: PathBuf, inode: u64 },
    Remove { path: PathBuf },
}

impl NameChange {
    fn apply(&self, names: &mut Names) {
        match self {
            Self::Create { path, inode } => {
                names.insert(path.clone().into(), *inode);
            }
            Self::Rename { from, to, inode } => {
                names.remove(from.as_os_str());
                names.insert(to.clone().into(), *inode);
            }
            Self::Remove { path } => {
                names.remove(path.as_os_str());
            }
        }
    }

    fn is_in(&self, directory: &Path) -> bool {
        let path = match self {
            Self::Create { path, .. } | Self::Remove { path } | Self::Rename { to: path, .. } => path,
        };
        path.parent() == Some(directory)
    }
}

/// All state of a simulated disk.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) plan: FaultPlan,
    pub(crate) operations: u64,
    pub(crate) syncs: u64,
    pub(crate) journal: Option<Vec<SimOp>>,
    pub(crate) locks: BTreeSet<PathBuf>,
    directories: BTreeSet<PathBuf>,
    names: Names,
    durable_names: Names,
    changes: Vec<NameChange>,
    inodes: HashMap<u64, Inode>,
    next_inode: u64,
}

fn missing(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{} does not exist", path.display()))
}

fn gone() -> io::Error {
    io::Error::other("the handle was opened before the power loss")
}

impl World {
    /// Counts an operation and fails it if the plan says so.
    pub(crate) fn begin(&mut self) -> io::Result<()> {
        let number = self.operations;
        self.operations += 1;
        if self.plan.crash_at.is_some_and(|at| number >= at) {
            return Err(io::Error::other("simulated power loss"));
        }
        if self.plan.error_at == Some(number) {
            return Err(io::Error::other("simulated input/output error"));
        }
        Ok(())
    }

    pub(crate) fn check_writable(&self) -> io::Result<()> {
        if self.plan.read_only {
            return Err(io::Error::new(
                io::ErrorKind::ReadOnlyFilesystem,
                "simulated: read-only file system",
            ));
        }
        Ok(())
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        // Each file once, however many names it has.
        let inodes: BTreeSet<&u64> = self.names.values().collect();
        inodes.into_iter().filter_map(|inode| self.inodes.get(inode)).map(|file| file.live.len() as u64).sum()
    }

    /// A change asked for by a user of the disk.
    pub(crate) fn change(&mut self, op: SimOp) -> io::Result<()> {
        let number = self.operations;
        self.begin()?;
        self.check_writable()?;
        if self.plan.no_links && matches!(op, SimOp::Link { .. }) {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "simulated: a file has one name"));
        }
        if let Some(space) = self.plan.space_bytes {
            let (inode, end) = match &op {
                SimOp::Write { inode, offset, bytes } => (inode, offset + bytes.len() as u64),
                SimOp::SetLen { inode, length } => (inode, *length),
                _ => (&0, 0),
            };
            let length = self.inodes.get(inode).map_or(0, |file| file.live.len() as u64);
            if end > length && self.used_bytes() + (end - length) > space {
                return Err(io::Error::new(io::ErrorKind::StorageFull, "simulated: no space left on device"));
            }
        }
        if let SimOp::Sync { inode } = &op {
            self.syncs += 1;
            if self.plan.sync_error_at.is_some_and(|at| number >= at) {
                self.plan.sync_error_at = None;
                if let Some(file) = self.inodes.get_mut(inode) {
                    file.fail_sync();
                }
                return Err(io::Error::other("simulated failure of a sync"));
            }
        }
        self.apply(&op)?;
        if let Some(journal) = &mut self.journal {
            journal.push(op);
        }
        Ok(())
    }

    /// Changes the state.
    pub(crate) fn apply(&mut self, op: &SimOp) -> io::Result<()> {
        match op {
            SimOp::Create { path, inode } => {
                self.inodes.insert(*inode, Inode::default());
                self.next_inode = self.next_inode.max(*inode + 1);
                self.rename_or(NameChange::Create { path: path.clone(), inode: *inode });
            }
            SimOp::CreateDir { path } => {
                self.directories.extend(path.ancestors().map(Path::to_path_buf));
            }
            SimOp::Rename { from, to } => {
                let inode = *self.names.get(from.as_os_str()).ok_or_else(|| missing(from))?;
                self.rename_or(NameChange::Rename { from: from.clone(), to: to.clone(), inode });
            }
            SimOp::Link { file, name } => {
                let inode = *self.names.get(file.as_os_str()).ok_or_else(|| missing(file))?;
                if self.names.contains_key(name.as_os_str()) {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                self.rename_or(NameChange::Create { path: name.clone(), inode });
            }
            SimOp::Remove { path } => {
                self.names.get(path.as_os_str()).ok_or_else(|| missing(path))?;
                self.rename_or(NameChange::Remove { path: path.clone() });
            }
            SimOp::SyncDir { path } => {
                let (here, elsewhere) =
                    std::mem::take(&mut self.changes).into_iter().partition(|change| change.is_in(path));
                self.changes = elsewhere;
                let here: Vec<NameChange> = here;
                for change in here {
                    change.apply(&mut self.durable_names);
                }
            }
            SimOp::Write { inode, offset, bytes } => {
                self.inodes.get_mut(inode).ok_or_else(gone)?.write(*offset as usize, bytes);
            }
            SimOp::SetLen { inode, length } => {
                self.inodes.get_mut(inode).ok_or_else(gone)?.set_length(*length as usize);
            }
            SimOp::Sync { inode } => self.inodes.get_mut(inode).ok_or_else(gone)?.sync(),
        }
        Ok(())
    }

    fn rename_or(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    pub(crate) fn create(&mut self, path: &Path) -> io::Result<u64> {
        if let Some(inode) = self.names.get(path.as_os_str()).copied() {
            self.change(SimOp::SetLen { inode, length: 0 })?;
            return Ok(inode);
        }
        if path.parent().is_some_and(|parent| !self.directories.contains(parent)) {
            return Err(missing(path));
        }
        let inode = self.next_inode;
        self.change(SimOp::Create { path: path.into(), inode })?;
        Ok(inode)
    }

    pub(crate) fn open(&mut self, path: &Path) -> io::Result<u64> {
        self.begin()?;
        self.names.get(path.as_os_str()).copied().ok_or_else(|| missing(path))
    }

    pub(crate) fn exists(&self, path: &Path) -> bool {
        self.names.contains_key(path.as_os_str()) || self.directories.contains(path)
    }

    pub(crate) fn read_dir(&mut self, path: &Path) -> io::Result<Vec<String>> {
        self.begin()?;
        if !self.directories.contains(path) {
            return Err(missing(path));
        }
        let children = self
            .names
            .keys()
            .map(Path::new)
            .chain(self.directories.iter().map(PathBuf::as_path))
            .filter(|name| name.parent() == Some(path));
        let mut names: Vec<String> = children
            .filter_map(|name| name.file_name())
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    pub(crate) fn read(&mut self, inode: u64, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.begin()?;
        let live = &self.inodes.get(&inode).ok_or_else(gone)?.live;
        let bytes = usize::try_from(offset)
            .ok()
            .and_then(|start| live.get(start..start.checked_add(buffer.len())?))
            .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    pub(crate) fn length(&mut self, inode: u64) -> io::Result<u64> {
        self.begin()?;
        Ok(self.inodes.get(&inode).ok_or_else(gone)?.live.len() as u64)
    }

    pub(crate) fn flip_bit(&mut self, path: &Path, offset: u64, bit: u8) -> io::Result<()> {
        let inode = self.names.get(path.as_os_str()).ok_or_else(|| missing(path))?;
        let file = self.inodes.get_mut(inode).ok_or_else(gone)?;
        if file.flip(offset as usize, bit) { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    pub(crate) fn fork(&self) -> Self {
        Self {
            directories: self.directories.clone(),
            names: self.names.clone(),
            durable_names: self.durable_names.clone(),
            changes: self.changes.clone(),
            inodes: self.inodes.clone(),
            next_inode: self.next_inode,
            ..Self::default()
        }
    }

    /// What a power loss could leave. New inode numbers keep old handles from writing to it.
    pub(crate) fn crashed(&self, random: &mut Random) -> Self {
        let mut names = self.durable_names.clone();
        for change in &self.changes {
            if random.below(2) == 0 {
                change.apply(&mut names);
            }
        }
        let mut next_inode = self.next_inode;
        let mut inodes = HashMap::new();
        // Two names of one file (a rename kept on one side only) stay one file.
        let mut renumbered: HashMap<u64, u64> = HashMap::new();
        for inode in names.values_mut() {
            let number = *renumbered.entry(*inode).or_insert_with(|| {
                next_inode += 1;
                next_inode
            });
            if let Some(file) = self.inodes.get(inode)
                && !inodes.contains_key(&number)
            {
                inodes.insert(number, file.crashed(random));
            }
            *inode = number;
        }
        Self {
            directories: self.directories.clone(),
            durable_names: names.clone(),
            names,
            inodes,
            next_inode: next_inode + 1,
            ..Self::default()
        }
    }
}
