//! Directories that stay when the power goes: a new name is on the platter only when the directory that holds it is.

use std::fs;
use std::io;
use std::path::Path;

/// Creates a directory, and those above it that are missing. When this returns they survive the loss of power. So does an
/// empty one that is there already, which its owner may have made a moment ago.
///
/// # Errors
/// The operating system refuses to create or to sync a directory.
///
/// ```
/// # let root = tempfile::tempdir()?;
/// let directory = root.path().join("databases/garden");
/// ditto_storage::create_directories(&directory)?;
/// ditto_storage::create_directories(&directory)?;
/// assert!(directory.is_dir());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn create_directories(path: &Path) -> io::Result<()> {
    create_with(path, &mut sync_directory)
}

fn create_with(path: &Path, sync: &mut dyn FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    let is_missing = |directory: &&Path| !directory.as_os_str().is_empty() && !directory.exists();
    let missing: Vec<&Path> = path.ancestors().take_while(is_missing).collect();
    fs::create_dir_all(path)?;
    let is_empty = missing.is_empty() && fs::read_dir(path)?.next().is_none();
    let new = if is_empty { vec![path] } else { missing };
    // The uppermost first: what is below it can be reached when it is there.
    new.into_iter().rev().filter_map(Path::parent).try_for_each(|parent| {
        match parent.as_os_str().is_empty() {
            true => sync(Path::new(".")),
            false => sync(parent),
        }
    })
}

/// Makes new names in a directory durable. Windows does so itself and has no way to ask for it.
#[cfg(unix)]
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "the signature of the other platforms")]
pub(crate) fn sync_directory(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The directories that are synced, as seen from `root`.
    fn synced(root: &Path, path: &str) -> Vec<String> {
        let mut synced = Vec::new();
        let mut sync = |directory: &Path| {
            assert!(directory.is_dir());
            synced.push(format!("/{}", directory.strip_prefix(root).unwrap().display()));
            sync_directory(directory)
        };
        create_with(&root.join(path), &mut sync).unwrap();
        synced
    }

    #[test]
    fn whatever_holds_a_new_name_is_synced() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(synced(root.path(), "a/b/c"), ["/", "/a", "/a/b"]);
        assert_eq!(synced(root.path(), "a/d"), ["/a"]);
        assert_eq!(synced(root.path(), "a/b/c"), ["/a/b"], "it is empty and may be new");
        assert_eq!(synced(root.path(), "a/b"), Vec::<String>::new());
    }

    #[test]
    fn what_is_no_directory_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(create_directories(&file).is_err());
        assert!(create_directories(&file.join("below")).is_err());
    }
}
