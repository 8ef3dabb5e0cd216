//! The peer's private key on disk: made at first start, readable by its owner only.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ditto_mesh::Identity;
use thiserror::Error;

const FILE_NAME: &str = "peer-key";
/// A private key is about 85 bytes; a file beyond this is something else.
const MAX_FILE_SIZE: u64 = 4096;

/// Why the key cannot be read or made.
#[derive(Debug, Error)]
#[error(
    "the peer key file {} cannot be used ({source}): check its permissions, or put it back from a backup; removing it gives \
     this directory a new identity",
    path.display()
)]
pub struct KeyFileError {
    /// The file.
    pub path: PathBuf,
    /// What went wrong.
    #[source]
    pub source: io::Error,
}

/// Reads the PKCS#8 key pair of `directory`, or makes one that is durable before it is returned.
///
/// # Errors
/// The file cannot be read or written.
pub fn load_or_create(directory: &Path) -> Result<Vec<u8>, KeyFileError> {
    let path = directory.join(FILE_NAME);
    let attempt = match fs::metadata(&path) {
        Ok(metadata) if metadata.len() > MAX_FILE_SIZE => {
            Err(io::Error::new(io::ErrorKind::InvalidData, "it is too large for a key"))
        }
        Ok(_) => fs::read(&path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(directory, &path),
        Err(error) => Err(error),
    };
    attempt.map_err(|source| KeyFileError { path, source })
}

/// Removes the key, so that [`load_or_create`] makes another one.
///
/// # Errors
/// The file is there and cannot be removed.
pub(crate) fn remove(directory: &Path) -> Result<(), KeyFileError> {
    let path = directory.join(FILE_NAME);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(KeyFileError { path, source: error }),
        _ => Ok(()),
    }
}

/// What is to be said of a key file whose content is no key.
pub(crate) fn damaged(directory: &Path) -> KeyFileError {
    let source = io::Error::new(io::ErrorKind::InvalidData, "it holds no Ed25519 key pair in PKCS#8 form");
    KeyFileError { path: directory.join(FILE_NAME), source }
}

fn create(directory: &Path, path: &Path) -> io::Result<Vec<u8>> {
    let key = Identity::generate().map_err(io::Error::other)?;
    let temporary = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&temporary)?;
    file.write_all(&key)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    // The rename is durable only when the directory is.
    #[cfg(unix)]
    fs::File::open(directory)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = directory;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_stays_the_same_and_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let first = load_or_create(directory.path()).unwrap();
        let second = load_or_create(directory.path()).unwrap();
        assert_eq!(first, second);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(directory.path().join(FILE_NAME)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_file_that_cannot_be_a_key_is_an_error_that_names_it() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(FILE_NAME), vec![0; 5000]).unwrap();
        let error = load_or_create(directory.path()).unwrap_err();
        assert!(error.to_string().contains("peer-key"), "{error}");
    }
}
