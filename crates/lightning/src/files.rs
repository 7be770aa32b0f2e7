//! The open files of tables: a bounded number of them, since a process may have only so many.
//!
//! Invariant: at most `max` files are kept open; readers hold one longer only while they read from it.
//! A file that was used since its last turn stays for another one. Only reads that miss the block cache
//! come here.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;

use luma_sync::Mutex;
use luma_vfs::VfsFile;

struct Opened {
    file: Arc<dyn VfsFile>,
    used: bool,
}

#[derive(Default)]
struct State {
    files: HashMap<u64, Opened>,
    /// Each file once, and those that were closed meanwhile.
    turns: VecDeque<u64>,
}

/// Keeps files open by number.
pub(crate) struct OpenFiles {
    max: usize,
    state: Mutex<State>,
}

impl OpenFiles {
    pub(crate) fn new(max: usize) -> Self {
        Self { max: max.max(1), state: Mutex::default() }
    }

    /// The open file of this number; opens it if it is not.
    pub(crate) fn get(
        &self,
        number: u64,
        open: impl FnOnce() -> io::Result<Arc<dyn VfsFile>>,
    ) -> io::Result<Arc<dyn VfsFile>> {
        if let Some(opened) = self.state.lock().files.get_mut(&number) {
            opened.used = true;
            return Ok(Arc::clone(&opened.file));
        }
        let file = open()?;
        let mut closed = Vec::new();
        let mut state = self.state.lock();
        if let Some(opened) = state.files.get(&number) {
            return Ok(Arc::clone(&opened.file));
        }
        while state.files.len() >= self.max {
            let Some(next) = state.turns.pop_front() else { break };
            match state.files.get_mut(&next) {
                Some(opened) if opened.used => {
                    opened.used = false;
                    state.turns.push_back(next);
                }
                _ => closed.extend(state.files.remove(&next)),
            }
        }
        state.files.insert(number, Opened { file: Arc::clone(&file), used: false });
        state.turns.push_back(number);
        drop(state);
        // Closing takes a while: not under the lock.
        drop(closed);
        Ok(file)
    }

    /// Closes a file that will not be asked for again.
    pub(crate) fn close(&self, number: u64) {
        let mut state = self.state.lock();
        let closed = state.files.remove(&number);
        if closed.is_some() {
            state.turns.retain(|other| *other != number);
        }
        drop(state);
        drop(closed);
    }

    /// Files kept open.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().files.len()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use luma_vfs::{SimDisk, Vfs};
    use std::path::Path;

    #[test]
    fn no_more_files_are_open_than_allowed_and_those_in_use_stay() {
        let disk = SimDisk::new();
        disk.create_dir_all(Path::new("/t")).unwrap();
        let path = |number: u64| format!("/t/{number}");
        for number in 0..20 {
            disk.create(Path::new(&path(number))).unwrap().write_at(&[number as u8], 0).unwrap();
        }
        let files = OpenFiles::new(4);
        let mut opened = Vec::new();
        let mut read = |number: u64| {
            let open = || {
                opened.push(number);
                disk.open(Path::new(&path(number)))
            };
            let file = files.get(number, open).unwrap();
            assert_eq!(file.read_all().unwrap(), [number as u8]);
            assert!(files.len() <= 4);
        };
        for number in 0..20 {
            read(number);
            read(0);
        }
        assert_eq!(opened.iter().filter(|number| **number == 0).count(), 1, "one that is in use stays open");
        assert_eq!(opened.len(), 20);
        assert!(files.get(30, || disk.open(Path::new("/t/missing"))).is_err());
        (0..20).for_each(|number| files.close(number));
        assert_eq!(files.len(), 0);
    }
}
