//! Putting files where others read them: complete or not at all.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::error::Error;

/// A path beside `path` that nobody else uses, for a file that is to become `path` when it is complete.
pub(crate) fn beside(path: &Path) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.{number}.part", process::id()))
}

/// Makes `temporary` become `path` in one step.
pub(crate) fn rename(temporary: &Path, path: &Path) -> Result<(), Error> {
    let renamed = fs::rename(temporary, path);
    // A rename between two names of one file leaves both.
    let _ = fs::remove_file(temporary);
    renamed.map_err(Error::writing(path))
}

/// Makes `to` a file with the content of `from`; without copying it where the file system can.
pub(crate) fn link_or_copy(from: &Path, to: &Path) -> Result<(), Error> {
    let temporary = beside(to);
    if fs::hard_link(from, &temporary).is_err() {
        fs::copy(from, &temporary).map_err(Error::io(format!(
            "copy {} to {}",
            from.display(),
            to.display()
        )))?;
    }
    rename(&temporary, to)
}

/// Writes `content` to `path` in one step.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<(), Error> {
    let temporary = beside(path);
    fs::write(&temporary, content).map_err(Error::writing(&temporary))?;
    rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_else_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        write(&from, b"one").unwrap();
        write(&to, b"old").unwrap();
        link_or_copy(&from, &to).unwrap();
        // A second time, when both are already one file.
        link_or_copy(&from, &to).unwrap();
        write(&from, b"two").unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"one");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }
}
