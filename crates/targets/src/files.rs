//! Files that a configuration names: beside it, and several by one pattern.

use std::path::{Path, PathBuf};

/// A path that a configuration names, which is beside it unless it is absolute.
pub fn beside(directory: &Path, path: &str) -> PathBuf {
    directory.join(path)
}

/// The files that a pattern means, whose last part may have stars; in order.
///
/// # Errors
/// When the pattern names no file, or its directory can't be read.
pub fn matching(pattern: &Path) -> Result<Vec<PathBuf>, String> {
    let name = pattern.file_name().and_then(|name| name.to_str()).ok_or("it names no file")?;
    if !name.contains('*') {
        return Ok(vec![pattern.to_owned()]);
    }
    let directory = pattern.parent().unwrap_or(Path::new(""));
    let entries = std::fs::read_dir(directory).map_err(|error| error.to_string())?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.file_name().and_then(|own| own.to_str()).is_some_and(|own| is_like(own, name)))
        .collect();
    found.sort();
    Ok(found)
}

/// Whether a name is like a pattern with stars.
fn is_like(name: &str, pattern: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return name == pattern };
    let Some(rest) = name.strip_prefix(before) else { return false };
    rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| is_like(&rest[at..], after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_part_of_a_name() {
        for (name, pattern, like) in [
            ("a.yml", "a.yml", true),
            ("a.yml", "*.yml", true),
            ("a.b.yml", "a*.yml", true),
            ("ä.yml", "*", true),
            ("a.json", "*.yml", false),
            ("yml", "*.yml", false),
        ] {
            assert_eq!(is_like(name, pattern), like, "{name} {pattern}");
        }
    }
}
