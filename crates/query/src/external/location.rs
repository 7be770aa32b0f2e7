//! Which files a location names, and who may name files of the server.
//!
//! A location is an absolute path, or one after `file://`, or a file of another machine (`remote`). `*` and `?` stand
//! for any and for one character within a name; a directory stands for its files with the format's extension.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use luma_model::{Error, ErrorKind, Result};
use luma_vfs::Vfs;

use crate::external::remote::{Remote, is_remote};
use crate::session::SessionInfo;

/// Files that one location names at most.
const FILES_MAX: usize = 100_000;

/// Refuses everybody but administrators, as files are the server's own.
///
/// # Errors
/// 42501.
pub(crate) fn require_administrator(info: &SessionInfo, what: &str) -> Result<()> {
    if info.catalog.role(&info.user).is_some_and(|role| role.superuser) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InsufficientPrivilege, format!("permission denied to {what}"))
        .detail("Only administrators (superusers) may have the server read and write files.")
        .hint("Anyone can COPY to stdout or from stdin. psql's \\copy command also works for anyone."))
}

/// The path that a location means.
///
/// # Errors
/// 42602 for a relative one, 0A000 for another kind of URL.
pub(crate) fn path(location: &str) -> Result<PathBuf> {
    let path = match location.split_once("://") {
        Some(("file", path)) => path,
        Some((scheme, _)) => {
            let message = format!("locations beginning with {scheme}:// are not supported");
            return Err(Error::new(ErrorKind::FeatureNotSupported, message)
                .hint("Use an absolute path, s3://bucket/key, or a URL of a web server."));
        }
        None => location,
    };
    if !path.starts_with('/') {
        let message = format!("relative path not allowed: \"{location}\"");
        return Err(Error::new(ErrorKind::InvalidName, message).hint("Use an absolute path."));
    }
    Ok(PathBuf::from(path))
}

/// What the system says about a file.
pub(crate) fn failed(action: &str, path: &Path, error: &std::io::Error) -> Error {
    let kind = match error.kind() {
        std::io::ErrorKind::NotFound => ErrorKind::UndefinedFile,
        std::io::ErrorKind::PermissionDenied => ErrorKind::InsufficientPrivilege,
        std::io::ErrorKind::StorageFull => ErrorKind::DiskFull,
        std::io::ErrorKind::Unsupported => ErrorKind::FeatureNotSupported,
        std::io::ErrorKind::InvalidInput => ErrorKind::InvalidParameterValue,
        _ => ErrorKind::IoError,
    };
    Error::new(kind, format!("could not {action} file \"{}\": {error}", path.display()))
}

/// The files that a location names, sorted, and where they are; at least one.
///
/// # Errors
/// 58P01 when there is none, 54000 when there are too many, and what another machine says.
pub(crate) fn found(
    disk: Arc<dyn Vfs>,
    location: &str,
    extensions: &[&str],
) -> Result<(Arc<dyn Vfs>, Vec<PathBuf>)> {
    if !is_remote(location) {
        let files = files(disk.as_ref(), location, extensions)?;
        return Ok((disk, files));
    }
    let failed = |error: std::io::Error| failed("open", Path::new(location), &error);
    let remote = Remote::of(location).map_err(failed)?;
    let name = location.strip_prefix(remote.base()).unwrap_or_default();
    let names = remote_names(&remote, location, name, extensions).map_err(failed)?;
    if names.len() > FILES_MAX {
        let message = format!("\"{location}\" names more than {FILES_MAX} files");
        return Err(Error::new(ErrorKind::ProgramLimit, message));
    }
    if names.is_empty() {
        return Err(Error::new(ErrorKind::UndefinedFile, format!("there is no file \"{location}\"")).hint(
            "A name that ends where a directory would stands for its files with the format's extension.",
        ));
    }
    let mut files: Vec<PathBuf> =
        names.into_iter().map(|name| PathBuf::from(format!("{}{name}", remote.base()))).collect();
    files.sort();
    Ok((Arc::new(remote), files))
}

/// What of a server a location names.
fn remote_names(
    remote: &Remote,
    location: &str,
    name: &str,
    extensions: &[&str],
) -> std::io::Result<Vec<String>> {
    // A question mark begins the query of a URL.
    let web = location.starts_with("http");
    let Some(star) = name.find(['*', '?']).filter(|_| !web || name.contains('*')) else {
        if web || remote.has(name)? {
            return Ok(vec![name.to_owned()]);
        }
        let directory =
            if name.is_empty() { String::new() } else { format!("{}/", name.trim_end_matches('/')) };
        let mut names = remote.list(&directory, FILES_MAX)?.unwrap_or_default();
        names.retain(|file| {
            let own = file.strip_prefix(&directory).is_some_and(|own| !own.contains('/'));
            own && has_extension(Path::new(file), extensions)
        });
        return Ok(names);
    };
    let listed = remote.list(name.get(..star).unwrap_or_default(), FILES_MAX)?;
    let Some(mut names) = listed else {
        let message = "a web server does not list its files; name them one by one";
        return Err(std::io::Error::new(std::io::ErrorKind::Unsupported, message));
    };
    let wanted: Vec<&str> = name.split('/').collect();
    names.retain(|file| {
        let parts: Vec<&str> = file.split('/').collect();
        parts.len() == wanted.len() && wanted.iter().zip(&parts).all(|(wanted, part)| matches(wanted, part))
    });
    Ok(names)
}

/// The files of the server that a location names, sorted; at least one.
///
/// # Errors
/// 58P01 when there is none, 54000 when there are too many.
fn files(vfs: &dyn Vfs, location: &str, extensions: &[&str]) -> Result<Vec<PathBuf>> {
    let whole = path(location)?;
    let mut found = vec![PathBuf::from("/")];
    for part in whole.components().filter_map(|part| match part {
        std::path::Component::Normal(part) => part.to_str(),
        _ => None,
    }) {
        if !part.contains(['*', '?']) {
            for path in &mut found {
                path.push(part);
            }
            continue;
        }
        let mut next = Vec::new();
        for directory in found {
            let names = vfs.read_dir(&directory).unwrap_or_default();
            next.extend(names.iter().filter(|name| matches(part, name)).map(|name| directory.join(name)));
            if next.len() > FILES_MAX {
                let message = format!("\"{location}\" names more than {FILES_MAX} files");
                return Err(Error::new(ErrorKind::ProgramLimit, message));
            }
        }
        found = next;
    }
    let mut files = Vec::new();
    for path in found {
        match vfs.read_dir(&path) {
            Ok(names) => files.extend(
                names.iter().map(|name| path.join(name)).filter(|file| has_extension(file, extensions)),
            ),
            Err(_) if vfs.exists(&path) => files.push(path),
            Err(_) => {}
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(Error::new(ErrorKind::UndefinedFile, format!("there is no file \"{location}\"")).hint(
            "The path is one of the server. A directory stands for its files with the format's extension.",
        ));
    }
    Ok(files)
}

fn has_extension(file: &Path, extensions: &[&str]) -> bool {
    let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    extensions.iter().any(|known| known.eq_ignore_ascii_case(extension))
}

/// Whether a name has the form of a pattern with `*` and `?`; hidden names only where the pattern says so.
fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut of) = (0, 0);
    // Where the last star was, and up to where it was taken to stand for.
    let mut star: Option<(usize, usize)> = None;
    while let Some(character) = name.get(at) {
        match pattern.get(of) {
            Some('*') => {
                star = Some((of, at));
                of += 1;
            }
            Some(wanted) if *wanted == '?' || wanted == character => {
                at += 1;
                of += 1;
            }
            _ => {
                let Some((place, taken)) = &mut star else { return false };
                *taken += 1;
                (of, at) = (*place + 1, *taken);
            }
        }
    }
    pattern.get(of..).unwrap_or_default().iter().all(|rest| *rest == '*')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stand_for_names() {
        for (pattern, name, wanted) in [
            ("*", "a", true),
            ("*", ".hidden", false),
            (".*", ".hidden", true),
            ("*.csv", "a.csv", true),
            ("*.csv", "a.csv.gz", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("part-??.parquet", "part-07.parquet", true),
            ("part-??.parquet", "part-7.parquet", false),
        ] {
            assert_eq!(matches(pattern, name), wanted, "{pattern} {name}");
        }
    }

    #[test]
    fn a_location_names_files_of_directories_and_of_patterns() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["one.csv", "two.csv", "three.txt"] {
            std::fs::write(directory.path().join(name), "x").unwrap();
        }
        let vfs = luma_vfs::RealDisk;
        let root = directory.path().to_str().unwrap();
        let names = |location: String| -> Vec<String> {
            let files = files(&vfs, &location, &["csv"]).unwrap();
            files.iter().map(|file| file.file_name().unwrap().to_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names(root.to_owned()), ["one.csv", "two.csv"]);
        assert_eq!(names(format!("file://{root}/t*")), ["three.txt", "two.csv"]);
        assert_eq!(names(format!("{root}/three.txt")), ["three.txt"]);
        let none = files(&vfs, &format!("{root}/*.parquet"), &["parquet"]).unwrap_err();
        assert_eq!(none.kind, ErrorKind::UndefinedFile);
        assert_eq!(path("here.csv").unwrap_err().kind, ErrorKind::InvalidName);
        assert_eq!(path("ftp://x/y").unwrap_err().kind, ErrorKind::FeatureNotSupported);
    }
}
