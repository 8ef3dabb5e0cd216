//! Where a storage lies, so that a copy of it can tell that it is one.

use std::fs;
use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;

/// Identifies a directory on a machine, as 16 bytes that mean nothing else.
pub type Place = [u8; 16];

/// The identity that the operating system's installation has, where there is one to read without asking anybody.
const MACHINE_FILES: &[&str] = &["/etc/machine-id", "/var/lib/dbus/machine-id"];

const CONTEXT: &str = "ditto-storage 2026 place of a directory 1";

/// The place of a directory: a hash of
///
/// * its file number (inode) where the platform has one: a copy gets another one, a move on the same file system does
///   not change it;
/// * the moment it was made, where the file system keeps that: a file number is soon given to another file once it is
///   free, so a directory that is removed and brought back from a copy may have the number it had;
/// * the machine id, where there is one: the disk of a virtual machine is copied with file numbers and times.
///
/// What is not part of it: the path, which a move changes; the number of the device, which on many file systems is
/// another one after every start.
///
/// # Errors
/// The directory cannot be looked at.
pub(crate) fn of_directory(path: &Path) -> io::Result<Place> {
    let metadata = fs::metadata(path)?;
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    hasher.update(&file_number(&metadata).to_le_bytes());
    let made = metadata.created().ok().and_then(|made| made.duration_since(UNIX_EPOCH).ok());
    hasher.update(&made.map_or(0, |made| made.as_nanos()).to_le_bytes());
    let machine = MACHINE_FILES.iter().find_map(|path| fs::read(path).ok().filter(|id| !id.is_empty()));
    hasher.update(machine.as_deref().unwrap_or_default());
    let mut place = Place::default();
    hasher.finalize_xof().fill(&mut place);
    Ok(place)
}

#[cfg(unix)]
fn file_number(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn file_number(_metadata: &fs::Metadata) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_keeps_the_place_and_a_copy_has_another() {
        let root = tempfile::tempdir().unwrap();
        let (first, second) = (root.path().join("first"), root.path().join("below/second"));
        fs::create_dir_all(&first).unwrap();
        let place = of_directory(&first).unwrap();
        fs::write(first.join("file"), "content").unwrap();
        assert_eq!(of_directory(&first).unwrap(), place);
        fs::create_dir(root.path().join("below")).unwrap();
        fs::rename(&first, &second).unwrap();
        assert_eq!(of_directory(&second).unwrap(), place);
        fs::create_dir(&first).unwrap();
        fs::copy(second.join("file"), first.join("file")).unwrap();
        assert_ne!(of_directory(&first).unwrap(), place);
        assert!(of_directory(&root.path().join("missing")).is_err());
    }
}
