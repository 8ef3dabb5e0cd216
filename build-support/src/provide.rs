//! The whole way from the settings to a library that can be linked.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    artifact::Linkage,
    checkout::Checkout,
    error::{Error, Refusal},
    hygiene, place,
    search::{self, Place},
    settings::{DOWNLOAD_BASE, SEARCH_PATH, Settings},
};

/// A library to link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provided {
    /// The directory that it is in.
    pub directory: PathBuf,
    /// Where it came from, for people.
    pub origin: String,
    /// Files that, when they change, make another library.
    pub inputs: Vec<PathBuf>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// Finds, builds or downloads the library. See the [crate's documentation](crate) for the order.
pub fn provide(settings: &Settings) -> Result<Provided, Error> {
    let mut refusals = Vec::new();
    if let Some(directories) = &settings.search_path {
        let places = search::search_path(directories);
        return match search::find(settings, &places, &mut refusals) {
            Some((place, path)) => settle(settings, &place, &path),
            None => {
                if places.is_empty() {
                    refusals.push(Refusal::new(SEARCH_PATH, "is set but names no directory"));
                }
                Err(not_found(
                    settings,
                    refusals,
                    format!(
                        "{SEARCH_PATH} is set, so nothing else was tried: correct it, or unset it for the default order."
                    ),
                ))
            }
        };
    }
    if let Some(checkout) = Checkout::around(settings) {
        return checkout.build(settings);
    }
    if let Some((place, path)) = search::find(settings, &search::places(settings), &mut refusals) {
        return settle(settings, &place, &path);
    }
    match fetch(settings) {
        Ok(origin) => settle_in_out_dir(settings, origin),
        Err(refusal) => {
            refusals.push(refusal);
            Err(not_found(
                settings,
                refusals,
                format!(
                    "Put the library in one of these places, name its directory in {SEARCH_PATH}, or set {DOWNLOAD_BASE}."
                ),
            ))
        }
    }
}

fn not_found(settings: &Settings, refusals: Vec<Refusal>, advice: String) -> Error {
    let wanted = format!(
        "{} ({} library for {}, ABI {})",
        settings.file_name(),
        settings.linkage,
        settings.target,
        settings.abi
    );
    Error::NotFound { wanted, refusals, advice }
}

#[cfg(feature = "download")]
fn fetch(settings: &Settings) -> Result<String, Refusal> {
    crate::download::to_out_dir(settings, &crate::download::Patience::default())
}

#[cfg(not(feature = "download"))]
fn fetch(_: &Settings) -> Result<String, Refusal> {
    Err(Refusal::new(
        "download",
        "this build has it not: enable the feature `download` of dittolive-ditto-sys",
    ))
}

fn settle_in_out_dir(settings: &Settings, origin: String) -> Result<Provided, Error> {
    let path = settings.out_dir.join(settings.file_name());
    let place = Place { origin: "OUT_DIR", directory: settings.out_dir.clone() };
    Ok(Provided { origin, ..settle(settings, &place, &path)? })
}

/// Makes a library that was found ready to be linked.
fn settle(settings: &Settings, place: &Place, path: &Path) -> Result<Provided, Error> {
    let own = place.directory == settings.out_dir;
    let mut provided = Provided {
        directory: place.directory.clone(),
        origin: format!("{} ({})", path.display(), place.origin),
        // What this script itself writes must not make it run again.
        inputs: if own { Vec::new() } else { vec![path.to_owned()] },
        warnings: Vec::new(),
    };
    match settings.linkage {
        Linkage::Static => {
            let bytes = fs::read(path).map_err(Error::reading(path))?;
            match (hygiene::is_treated(&bytes, &settings.target), &settings.amend_with) {
                (Ok(true), _) => {}
                (Ok(false), Some(objcopy)) => {
                    let amended = settings.out_dir.join(settings.file_name());
                    hygiene::treat(path, &amended, &settings.target, objcopy)?;
                    provided.directory.clone_from(&settings.out_dir);
                }
                (Ok(false), None) => provided.warnings.push(format!(
                    "{} is a raw Rust static library, whose symbols may clash with this program's; set \
                     LIBDITTO_STATIC_AMEND_WITH to an objcopy, such as rust-objcopy or llvm-objcopy, to rename them",
                    path.display()
                )),
                (Err(error), _) => provided.warnings.push(format!("{}: {error}", path.display())),
            }
        }
        // Cargo tells the loader of programs that it starts about directories inside the target directory only.
        Linkage::Dynamic if !own => {
            for name in [Some(settings.file_name()), settings.import_library()].into_iter().flatten() {
                place::link_or_copy(&place.directory.join(name), &settings.out_dir.join(name))?;
            }
            provided.directory.clone_from(&settings.out_dir);
        }
        Linkage::Dynamic => {}
    }
    Ok(provided)
}

#[cfg(test)]
mod tests;
