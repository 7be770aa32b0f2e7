//! The list of records that did not fit: line, reason and record, as CSV.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::Failure;
use crate::import::source::Reject;

/// Lists rejected records; the file is made with the first.
pub(super) struct Rejects {
    path: PathBuf,
    file: Option<File>,
    /// How many there were, those of an earlier run included.
    pub(super) count: u64,
    max: u64,
}

impl Rejects {
    pub(super) fn new(path: Option<PathBuf>, source: &Path, count: u64, max: u64) -> Self {
        let path = path.unwrap_or_else(|| {
            let mut name = source.file_name().unwrap_or_default().to_owned();
            name.push(".rejects.csv");
            PathBuf::from(name)
        });
        Self { path, file: None, count, max }
    }

    /// Where they are listed.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Lists a record.
    ///
    /// # Errors
    /// When there are too many, or the file can't be written.
    pub(super) fn add(&mut self, reject: &Reject) -> Result<(), Failure> {
        let fresh = self.count == 0;
        self.count += 1;
        let failed =
            |error: std::io::Error| Failure::new(format!("cannot write {}: {error}", self.path.display()));
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                // What an earlier run of the same import listed is kept.
                let mut options = OpenOptions::new();
                options.create(true).append(!fresh).write(true).truncate(fresh);
                let mut file = options.open(&self.path).map_err(failed)?;
                if fresh {
                    file.write_all(b"line,reason,record\n").map_err(failed)?;
                }
                none.insert(file)
            }
        };
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        let line = format!("{},{},{}\n", reject.line, quoted(&reject.reason), quoted(&reject.record));
        file.write_all(line.as_bytes()).map_err(failed)?;
        if self.count > self.max {
            return Err(Failure::new(format!(
                "more than {} rows do not fit, the last on line {}: {}; see {} or raise --max-rejects",
                self.max,
                reject.line,
                reject.reason,
                self.path.display()
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn rejects_are_listed_and_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("r.csv");
        let mut rejects = Rejects::new(Some(path.clone()), Path::new("x"), 0, 1);
        let reject = Reject { line: 7, reason: "bad \"x\"".into(), record: "a,b".into() };
        rejects.add(&reject).unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "line,reason,record\n7,\"bad \"\"x\"\"\",\"a,b\"\n"
        );
        let mut again = Rejects::new(Some(path.clone()), Path::new("x"), 1, 1);
        assert!(again.add(&reject).unwrap_err().to_string().contains("line 7"));
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 3);
    }
}
