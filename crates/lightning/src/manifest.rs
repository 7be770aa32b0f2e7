//! The manifest: which keyspaces and tables exist.
//!
//! A checksummed log of edits, replaced by a fresh one with the whole state at each start and when it
//! has grown; `CURRENT` names the one that counts and is replaced by a rename.
//!
//! Invariants: an edit counts once its frame is durable; every edit is synced before the next is
//! written, so only the last frame can be torn. Tables are durable before the edit that names them.

mod edit;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use luma_vfs::{Vfs, VfsFile};

use crate::{Error, Result};
pub(crate) use edit::{Edit, ManifestState};

const CURRENT: &str = "CURRENT";
const CURRENT_NEXT: &str = "CURRENT.next";
const MAGIC: [u8; 8] = *b"LIGHTMAN";
const VERSION: u32 = 8;
const HEADER_BYTES: usize = 16;
const FRAME_BYTES: usize = 8;
/// A manifest this long is replaced, if its state is much smaller.
const REWRITE_BYTES: u64 = 1 << 20;

/// The open manifest.
pub(crate) struct Manifest {
    vfs: Arc<dyn Vfs>,
    directory: PathBuf,
    number: u64,
    path: PathBuf,
    file: Arc<dyn VfsFile>,
    end: u64,
    fresh_bytes: u64,
    rewrite_bytes: u64,
    state: ManifestState,
}

fn file_name(number: u64) -> String {
    format!("MANIFEST-{number:06}")
}

/// Whether a file in the database's directory is the manifest's business.
pub(crate) fn owns(name: &str) -> bool {
    name == CURRENT || name == CURRENT_NEXT || name.starts_with("MANIFEST-")
}

fn frame(edits: &[Edit], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + FRAME_BYTES, 0);
    for edit in edits {
        edit.encode(out);
    }
    let length = (out.len() - start - FRAME_BYTES) as u32;
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&length.to_le_bytes()), &out[start + FRAME_BYTES..]);
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
}

/// The payload of the frame at the start of `bytes`.
fn unframe(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let payload = rest.get(..u32::from_le_bytes(*length) as usize)?;
    let expected = crc32c::crc32c_append(crc32c::crc32c(length), payload);
    (expected == u32::from_le_bytes(*crc)).then_some(payload)
}

impl Manifest {
    /// Opens the manifest of a database, or starts one in a directory that holds nothing else.
    pub(crate) fn open(vfs: &Arc<dyn Vfs>, directory: &Path) -> Result<Self> {
        let current = directory.join(CURRENT);
        let (number, state) = if vfs.exists(&current) {
            let number = read_current(vfs.as_ref(), &current)?;
            (number, read(vfs.as_ref(), &directory.join(file_name(number)))?)
        } else {
            check_ours(vfs.as_ref(), directory)?;
            (0, ManifestState::default())
        };
        let manifest = Self::start(vfs, directory, number + 1, state)?;
        manifest.remove_others()?;
        Ok(manifest)
    }

    /// Writes a manifest with this state and makes it the current one.
    fn start(vfs: &Arc<dyn Vfs>, directory: &Path, number: u64, state: ManifestState) -> Result<Self> {
        let path = directory.join(file_name(number));
        let io = |error| Error::io(&path, error);
        let file = vfs.create(&path).map_err(io)?;
        let mut bytes = vec![0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..12]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        frame(&state.edits(), &mut bytes);
        file.write_at(&bytes, 0).map_err(io)?;
        file.sync_all().map_err(io)?;
        let next = directory.join(CURRENT_NEXT);
        let current = directory.join(CURRENT);
        let named = vfs.create(&next).and_then(|file| {
            file.write_at(format!("{}\n", file_name(number)).as_bytes(), 0)?;
            file.sync_all()?;
            // The manifest's own name is durable before `CURRENT` says it.
            vfs.sync_dir(directory)?;
            vfs.rename(&next, &current)?;
            vfs.sync_dir(directory)
        });
        named.map_err(|error| Error::io(&current, error))?;
        let end = bytes.len() as u64;
        Ok(Self {
            vfs: Arc::clone(vfs),
            directory: directory.to_owned(),
            number,
            path,
            file,
            end,
            fresh_bytes: end,
            rewrite_bytes: REWRITE_BYTES,
            state,
        })
    }

    fn remove_others(&self) -> Result<()> {
        let io = |error| Error::io(&self.directory, error);
        for name in self.vfs.read_dir(&self.directory).map_err(io)? {
            if name.starts_with("MANIFEST-") && name != file_name(self.number) {
                self.vfs.remove_file(&self.directory.join(&name)).map_err(io)?;
            }
        }
        Ok(())
    }

    /// What exists.
    pub(crate) fn state(&self) -> &ManifestState {
        &self.state
    }

    /// Replaces manifests longer than this, for tests that want to see it happen.
    #[cfg(test)]
    pub(crate) fn set_rewrite_bytes(&mut self, bytes: u64) {
        self.rewrite_bytes = bytes;
    }

    /// Makes edits durable, all or none.
    pub(crate) fn commit(&mut self, edits: &[Edit]) -> Result<()> {
        let mut bytes = Vec::new();
        frame(edits, &mut bytes);
        let io = |error| Error::io(&self.path, error);
        self.file.write_at(&bytes, self.end).map_err(io)?;
        self.file.sync_data().map_err(io)?;
        self.end += bytes.len() as u64;
        for edit in edits {
            self.state.apply(edit);
        }
        if self.end > self.rewrite_bytes && self.end > self.fresh_bytes * 4 {
            let rewrite_bytes = self.rewrite_bytes;
            let state = std::mem::take(&mut self.state);
            *self = Self::start(&self.vfs, &self.directory, self.number + 1, state)?;
            self.rewrite_bytes = rewrite_bytes;
            self.remove_others()?;
        }
        Ok(())
    }

    /// Ends the manifest so that later damage to its last edit is told apart from a torn one.
    pub(crate) fn seal(&mut self) -> Result<()> {
        self.commit(&[])
    }
}

fn read_all(vfs: &dyn Vfs, path: &Path) -> Result<Vec<u8>> {
    let io = |error| Error::io(path, error);
    let file = vfs.open(path).map_err(io)?;
    let mut bytes = vec![0; file.len().map_err(io)? as usize];
    file.read_at(&mut bytes, 0).map_err(io)?;
    Ok(bytes)
}

fn read_current(vfs: &dyn Vfs, path: &Path) -> Result<u64> {
    let bytes = read_all(vfs, path)?;
    let name = std::str::from_utf8(&bytes).ok().and_then(|text| text.strip_suffix('\n'));
    let number = name.and_then(|name| name.strip_prefix("MANIFEST-")?.parse().ok());
    number.ok_or_else(|| Error::corruption(path, 0, "it does not name a manifest"))
}

/// Whether a directory holds a database.
pub(crate) fn has_current(vfs: &dyn Vfs, directory: &Path) -> bool {
    vfs.exists(&directory.join(CURRENT))
}

/// Refuses a directory of something else. One without `CURRENT` may hold what a cut-off start left, and
/// nothing else.
pub(crate) fn check_ours(vfs: &dyn Vfs, directory: &Path) -> Result<()> {
    if has_current(vfs, directory) {
        return Ok(());
    }
    let names = vfs.read_dir(directory).map_err(|error| Error::io(directory, error))?;
    match names.iter().find(|name| !owns(name) && *name != crate::engine::LOCK_FILE) {
        Some(name) => {
            let what = format!("it holds \"{name}\" but no {CURRENT}");
            Err(Error::NotADatabase { path: directory.to_owned(), what })
        }
        None => Ok(()),
    }
}

fn read(vfs: &dyn Vfs, path: &Path) -> Result<ManifestState> {
    let bytes = read_all(vfs, path).map_err(|error| match error {
        Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            Error::corruption(path, 0, format!("{CURRENT} names this manifest, and it is missing"))
        }
        other => other,
    })?;
    let header = bytes.get(..HEADER_BYTES).filter(|header| {
        header[..8] == MAGIC && header[12..16] == crc32c::crc32c(&header[..12]).to_le_bytes()
    });
    let Some(header) = header else {
        return Err(Error::corruption(path, 0, "the manifest's header does not match its checksum"));
    };
    let version = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
    if version != VERSION {
        return Err(Error::UnsupportedVersion { file: path.to_owned(), version, supported: VERSION });
    }
    let mut state = ManifestState::default();
    let mut at = HEADER_BYTES;
    while let Some(payload) = bytes.get(at..).and_then(unframe) {
        let damaged = || Error::corruption(path, at as u64, "an edit of the manifest is malformed");
        for edit in Edit::decode_all(payload).ok_or_else(damaged)? {
            state.apply(&edit);
        }
        at += FRAME_BYTES + payload.len();
    }
    // The first frame was durable before `CURRENT` named this file; a frame after a bad one proves
    // that the bad one was durable.
    let later = (at + 1..bytes.len()).any(|start| unframe(&bytes[start..]).is_some_and(proves_damage));
    if at == HEADER_BYTES || later {
        return Err(Error::corruption(
            path,
            at as u64,
            "an edit of the manifest does not match its checksum",
        ));
    }
    Ok(state)
}

/// Whether the payload of a frame found by searching is really one.
fn proves_damage(payload: &[u8]) -> bool {
    // Eight zero bytes are no frame: the checksum of an empty one is not zero.
    Edit::decode_all(payload).is_some()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::options::KeyspaceOptions;
    use crate::table::TableMeta;
    use luma_vfs::SimDisk;

    fn open(disk: &SimDisk) -> Result<Manifest> {
        let vfs: Arc<dyn Vfs> = Arc::new(disk.clone());
        vfs.create_dir_all(Path::new("/db")).unwrap();
        Manifest::open(&vfs, Path::new("/db"))
    }

    fn edits(step: u64) -> Vec<Edit> {
        let meta = TableMeta {
            id: step,
            bytes: 10,
            entries: 1,
            smallest: vec![1],
            largest: vec![2],
            ..TableMeta::default()
        };
        match step % 3 {
            0 => vec![Edit::CreateKeyspace {
                id: step,
                name: format!("k{step}"),
                options: KeyspaceOptions::default(),
                tree: 0,
            }],
            1 => vec![Edit::Tables {
                keyspace: step - 1,
                added: vec![(0, meta)],
                removed: vec![],
                flushed: step,
            }],
            _ => vec![
                Edit::Tables {
                    keyspace: step - 2,
                    added: vec![(1, meta)],
                    removed: vec![step - 1],
                    flushed: step,
                },
                Edit::Progress { sequence: step * 10, log_released: step },
            ],
        }
    }

    #[test]
    fn a_crash_at_every_change_leaves_the_state_before_or_after_an_edit() {
        let disk = SimDisk::new();
        disk.record();
        let mut states = Vec::new();
        let mut manifest = open(&disk).unwrap();
        manifest.set_rewrite_bytes(200);
        states.push((disk.recorded(), manifest.state().clone()));
        for step in 0..30 {
            manifest.commit(&edits(step)).unwrap();
            states.push((disk.recorded(), manifest.state().clone()));
        }
        let shadow = SimDisk::new();
        for (index, op) in disk.take_record().iter().enumerate() {
            shadow.apply(op).unwrap();
            let done = states.iter().rposition(|(at, _)| *at <= index + 1).unwrap_or(0);
            for seed in 0..10 {
                let after = shadow.crash_image(seed);
                let found =
                    open(&after).unwrap_or_else(|error| panic!("change {index} seed {seed}: {error}"));
                let next = states.get(done + 1).unwrap_or(&states[done]);
                assert!(
                    *found.state() == states[done].1
                        || *found.state() == next.1
                        || *found.state() == ManifestState::default() && done == 0
                );
            }
        }
    }

    #[test]
    fn after_a_seal_every_flipped_bit_is_an_error() {
        let disk = SimDisk::new();
        let mut manifest = open(&disk).unwrap();
        for step in 0..5 {
            manifest.commit(&edits(step)).unwrap();
        }
        let state = manifest.state().clone();
        let content = manifest.end;
        manifest.seal().unwrap();
        let path = manifest.path.clone();
        for offset in 0..content {
            let damaged = disk.fork();
            damaged.flip_bit(&path, offset, (offset % 8) as u8).unwrap();
            match open(&damaged) {
                Ok(found) => assert_eq!(*found.state(), state, "flip at {offset}"),
                Err(Error::Corruption { file, .. }) => assert_eq!(file, path),
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn a_directory_of_something_else_is_refused() {
        let disk = SimDisk::new();
        disk.create_dir_all(Path::new("/db")).unwrap();
        disk.create(Path::new("/db/letter.txt")).unwrap();
        assert!(matches!(open(&disk), Err(Error::NotADatabase { .. })));
    }
}
