//! Finding targets: those that a configuration names, and those in files, which are looked at again and again.
//!
//! A file that can't be read or makes no sense leaves the targets it had; a file that is gone takes them along.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use serde::Deserialize;
use tracing::warn;

use crate::files::{beside, matching};
use crate::relabel::LabelSet;
use crate::{Texts, duration};

/// How long a file of targets may be.
const BYTES_MAX: u64 = 64 << 20;
/// How often files are read again though they seem not to have changed.
const REFRESH: &str = "5m";
/// The endings a file of targets may have.
const ENDINGS: [&str; 3] = ["json", "yml", "yaml"];

/// Targets that a configuration, or a file, names.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaticTargets {
    targets: Option<Vec<String>>,
    labels: Option<Texts>,
}

/// Files that name targets.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileDiscovery {
    files: Vec<String>,
    refresh_interval: Option<String>,
}

/// The labels of a target: of its group, and `__address__`.
pub type Discovered = LabelSet;

/// What finds the targets of a job.
#[derive(Debug, Default)]
pub struct Discovery {
    fixed: Vec<Discovered>,
    patterns: Vec<(PathBuf, Duration)>,
    files: BTreeMap<PathBuf, File>,
}

#[derive(Debug)]
struct File {
    stamp: Option<(SystemTime, u64)>,
    read_at: Instant,
    targets: Vec<Discovered>,
}

impl StaticTargets {
    fn discovered<'a>(&'a self, more: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = Discovered> + 'a {
        self.targets.iter().flatten().map(move |address| {
            let group = self.labels.iter().flatten().map(|(name, value)| (name.as_str(), value.as_str()));
            let own = [("__address__", address.as_str())];
            group.chain(more.iter().copied()).chain(own).collect()
        })
    }
}

impl Discovery {
    /// What a configuration in a directory says.
    ///
    /// # Errors
    /// When the name of a file can be none of targets.
    pub fn new(fixed: &[StaticTargets], files: &[FileDiscovery], directory: &Path) -> Result<Self, String> {
        let mut patterns = Vec::new();
        for discovery in files {
            let interval = discovery.refresh_interval.as_deref().unwrap_or(REFRESH);
            let interval = duration("refresh_interval", interval)?;
            if discovery.files.is_empty() {
                return Err("file service discovery config must contain at least one path name".to_owned());
            }
            for pattern in &discovery.files {
                let path = beside(directory, pattern);
                let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
                let stars_before = path.parent().is_some_and(|path| path.to_string_lossy().contains('*'));
                if stars_before || !ENDINGS.contains(&ending.to_ascii_lowercase().as_str()) {
                    return Err(format!("path name {pattern:?} is not valid for file discovery"));
                }
                patterns.push((path, interval));
            }
        }
        let fixed = fixed.iter().flat_map(|group| group.discovered(&[])).collect();
        Ok(Self { fixed, patterns, files: BTreeMap::new() })
    }

    /// Whether targets may change.
    pub fn changes(&self) -> bool {
        !self.patterns.is_empty()
    }

    /// All targets found so far.
    pub fn targets(&self) -> impl Iterator<Item = &Discovered> {
        self.fixed.iter().chain(self.files.values().flat_map(|file| &file.targets))
    }

    /// Looks at the files; whether there is anything new. Reads files.
    pub fn refresh(&mut self) -> bool {
        let mut there = BTreeSet::new();
        let mut changed = false;
        for (pattern, interval) in self.patterns.clone() {
            let found = match matching(&pattern) {
                Ok(found) => found,
                Err(what) => {
                    warn!(pattern = %pattern.display(), what, "files of targets can't be listed");
                    // Those of before stay.
                    let same = |path: &&PathBuf| path.parent() == pattern.parent();
                    there.extend(self.files.keys().filter(same).cloned());
                    continue;
                }
            };
            for path in found {
                changed |= self.look_at(&path, interval);
                there.insert(path);
            }
        }
        let before = self.files.len();
        self.files.retain(|path, _| there.contains(path) && path.exists());
        changed || self.files.len() != before
    }

    fn look_at(&mut self, path: &Path, interval: Duration) -> bool {
        let stamp = std::fs::metadata(path).ok().and_then(|data| Some((data.modified().ok()?, data.len())));
        if let Some(known) = self.files.get(path)
            && known.stamp == stamp
            && known.read_at.elapsed() < interval
        {
            return false;
        }
        let read = read(path, stamp.map_or(0, |(_, length)| length));
        let known = self.files.get_mut(path);
        match (read, known) {
            (Ok(targets), known) => {
                let changed = known.is_none_or(|known| known.targets != targets);
                self.files.insert(path.to_owned(), File { stamp, read_at: Instant::now(), targets });
                changed
            }
            (Err(what), known) => {
                warn!(file = %path.display(), what, "a file of targets can't be read");
                if let Some(known) = known {
                    (known.stamp, known.read_at) = (stamp, Instant::now());
                }
                false
            }
        }
    }
}

fn read(path: &Path, length: u64) -> Result<Vec<Discovered>, String> {
    if length > BYTES_MAX {
        return Err(format!("it has {length} bytes, over the limit of {BYTES_MAX}; divide it"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    // JSON is YAML.
    let groups: Vec<StaticTargets> = serde_norway::from_str(&text).map_err(|error| error.to_string())?;
    let name = path.display().to_string();
    let more = [("__meta_filepath", name.as_str())];
    Ok(groups.iter().flat_map(|group| group.discovered(&more)).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn addresses(discovery: &Discovery) -> Vec<&str> {
        discovery.targets().map(|labels| labels.get("__address__")).collect()
    }

    #[test]
    fn files_of_targets_are_followed_and_mistakes_change_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        write("one.json", r#"[{"targets": ["a:1", "b:1"], "labels": {"zone": "x"}}]"#);
        let fixed: Vec<StaticTargets> = serde_norway::from_str("[{targets: ['s:1']}]").unwrap();
        let files: Vec<FileDiscovery> = serde_norway::from_str("[{files: ['*.json', two.yml]}]").unwrap();
        let mut discovery = Discovery::new(&fixed, &files, directory.path()).unwrap();
        assert!(discovery.refresh());
        assert_eq!(addresses(&discovery), ["s:1", "a:1", "b:1"]);
        let of_file = discovery.targets().nth(1).unwrap();
        assert_eq!(of_file.get("zone"), "x");
        assert!(of_file.get("__meta_filepath").ends_with("one.json"));
        assert!(!discovery.refresh());
        write("two.yml", "- targets: [c:1]\n");
        assert!(discovery.refresh());
        write("two.yml", "- targts: [d:1]\n");
        assert!(!discovery.refresh());
        assert_eq!(addresses(&discovery), ["s:1", "a:1", "b:1", "c:1"]);
        std::fs::remove_file(directory.path().join("one.json")).unwrap();
        assert!(discovery.refresh());
        assert_eq!(addresses(&discovery), ["s:1", "c:1"]);
    }

    #[test]
    fn names_that_can_be_no_files_of_targets_are_refused() {
        for files in ["[{files: [a.txt]}]", "[{files: ['*/a.yml']}]", "[{files: []}]"] {
            let files: Vec<FileDiscovery> = serde_norway::from_str(files).unwrap();
            assert!(Discovery::new(&[], &files, Path::new("")).is_err());
        }
    }
}
