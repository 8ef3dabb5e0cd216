//! The manifests of fjall's trees, checked before anything relies on them.
//!
//! ```text
//! keyspaces/<number>/current   number of the manifest 8 | its checksum 16 | 0 = XXH3    (little endian)
//! keyspaces/<number>/v<n>      the manifest: which tables make up the tree
//! keyspaces/<number>/tables/   the tables
//! ```
//!
//! fjall 3 writes the checksum and does not look at it: a damaged manifest would end the process by an assertion or by an
//! allocation of its count of things, or make tables with all their rows disappear without a word. It also takes what is there
//! in part (a directory that was copied or restored in part) for what was being created, and removes it, with its tables:
//! a keyspace without `current`, and all of them where tree 0 is missing; without `version` it makes a new database beside
//! the old one. [`Directory`](crate::directory::Directory) lets a database appear complete or not at all, so whatever is
//! missing is damage.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use crate::Keyspace;

/// What is wrong with a manifest.
#[derive(Debug)]
pub(crate) enum ManifestError {
    Io(io::Error),
    Damaged(String),
}

impl From<io::Error> for ManifestError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Checks that the fjall database in `database` has all its parts, and their manifests. A few small files are read.
pub(crate) fn check_manifests(database: &Path) -> Result<(), ManifestError> {
    let version = database.join("version");
    if !version.try_exists()? {
        return Err(ManifestError::Damaged(format!("{} is missing", version.display())));
    }
    // Tree 0 holds the names of the others.
    (0..=Keyspace::COUNT)
        .try_for_each(|tree| check_manifest(&database.join("keyspaces").join(tree.to_string())))
}

fn check_manifest(keyspace: &Path) -> Result<(), ManifestError> {
    let damaged = |problem: &str| Err(ManifestError::Damaged(format!("{}: {problem}", keyspace.display())));
    let current = match fs::read(keyspace.join("current")) {
        Ok(current) => current,
        Err(error) if error.kind() == ErrorKind::NotFound => return damaged("`current` is missing"),
        Err(error) => return Err(error.into()),
    };
    let Some((number, checksum)) = read_current(&current) else {
        return damaged("`current` is not the name of a manifest");
    };
    match fs::read(keyspace.join(format!("v{number}"))) {
        Ok(manifest) if xxhash_rust::xxh3::xxh3_128(&manifest) == checksum => Ok(()),
        Ok(_) => damaged("the manifest is not what was written"),
        Err(error) if error.kind() == ErrorKind::NotFound => damaged("the manifest is missing"),
        Err(error) => Err(error.into()),
    }
}

fn read_current(bytes: &[u8]) -> Option<(u64, u128)> {
    const XXH3: &[u8] = &[0];
    let (number, rest) = bytes.split_first_chunk()?;
    let (checksum, kind) = rest.split_first_chunk()?;
    (kind == XXH3).then(|| (u64::from_le_bytes(*number), u128::from_le_bytes(*checksum)))
}
