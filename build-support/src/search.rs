//! Looking for the library in directories.

use std::path::{Path, PathBuf};

use crate::{
    error::Refusal,
    fingerprint::Fingerprint,
    settings::{SEARCH_PATH, Settings},
};

/// A directory to look in, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// What led there, such as `PWD`.
    pub origin: &'static str,
    /// The directory.
    pub directory: PathBuf,
}

impl Place {
    fn new(origin: &'static str, directory: impl Into<PathBuf>) -> Self {
        Self { origin, directory: directory.into() }
    }
}

/// The directories of `DITTOFFI_SEARCH_PATH`.
pub fn search_path(directories: &[PathBuf]) -> Vec<Place> {
    // Two separators in a row, or a trailing one, name no directory.
    let named = directories.iter().filter(|directory| !directory.as_os_str().is_empty());
    named.map(|directory| Place::new(SEARCH_PATH, directory)).collect()
}

/// All other directories, in the order of the search.
pub fn places(settings: &Settings) -> Vec<Place> {
    let mut places = vec![Place::new("OUT_DIR", &settings.out_dir)];
    places.extend(settings.working_directory.iter().map(|directory| Place::new("PWD", directory)));
    if let Some(target) = settings.cargo_target_directory() {
        places.push(Place::new(
            "cargo target directory",
            target.join(settings.target.triple()).join(&settings.profile),
        ));
        if settings.target == settings.host {
            places.push(Place::new("cargo target directory", target.join(&settings.profile)));
        }
    }
    // What is installed in this system runs on this system.
    if settings.target == settings.host {
        places.extend(settings.system_directories.iter().map(|directory| Place::new("system", directory)));
    }
    places
}

/// The first library that fits. Those that do not are added to `refusals`.
pub fn find(settings: &Settings, places: &[Place], refusals: &mut Vec<Refusal>) -> Option<(Place, PathBuf)> {
    for place in places {
        let path = place.directory.join(settings.file_name());
        match look(settings, place, &path) {
            Ok(()) => return Some((place.clone(), path)),
            Err(reason) => {
                refusals.push(Refusal::new(format!("{} ({})", path.display(), place.origin), reason))
            }
        }
    }
    None
}

fn look(settings: &Settings, place: &Place, path: &Path) -> Result<(), String> {
    if !place.directory.is_dir() {
        return Err("there is no such directory".to_owned());
    }
    if !path.is_file() {
        let other = match settings.linkage {
            crate::Linkage::Static => crate::Linkage::Dynamic,
            crate::Linkage::Dynamic => crate::Linkage::Static,
        };
        let other_name = settings.target.file_name(other);
        return Err(if place.directory.join(other_name).is_file() {
            let value = u8::from(other == crate::Linkage::Static);
            format!("there is no such file, but a {other_name}: LIBDITTO_STATIC={value} would link that")
        } else {
            "there is no such file".to_owned()
        });
    }
    if let Some(import) = settings.import_library()
        && !place.directory.join(import).is_file()
    {
        return Err(format!("there is no {import} beside it, which the linker needs"));
    }
    Fingerprint::check(path, &settings.abi, &settings.target)
}
