//! Directories that an instance lives in.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::{
    OwnedCString,
    error::{DittoError, ErrorKind},
};

/// A directory for an instance.
pub trait DittoRoot: Send + Sync {
    /// Where it is.
    fn root_path(&self) -> &Path;

    /// Whether it is there.
    fn exists(&self) -> bool {
        self.root_path().exists()
    }

    /// Whether an instance can live in it.
    ///
    /// # Errors
    /// With a kind of `IO` when it is not a directory that can be read.
    fn is_valid(&self) -> Result<(), DittoError> {
        fs::read_dir(self.root_path()).map(drop).map_err(|error| unusable(self.root_path(), &error))
    }

    /// The path as text.
    ///
    /// # Errors
    /// With a kind of `InvalidInput` when it is not UTF-8.
    fn root_path_as_str(&self) -> Result<&str, DittoError> {
        let path = self.root_path();
        path.to_str()
            .ok_or_else(|| DittoError::invalid_input(format!("the path {} is not UTF-8", path.display())))
    }

    /// The path as text, in the type of older interfaces.
    ///
    /// # Errors
    /// As [`root_path_as_str`](Self::root_path_as_str).
    fn root_dir_to_c_str(&self) -> Result<OwnedCString, DittoError> {
        self.root_path_as_str().map(OwnedCString::from)
    }

    /// [`root_path`](Self::root_path) under its older name.
    #[deprecated(note = "use `root_path`")]
    fn data_path(&self) -> &Path {
        self.root_path()
    }

    /// [`root_path_as_str`](Self::root_path_as_str) under its older name.
    ///
    /// # Errors
    /// As there.
    #[deprecated(note = "use `root_path_as_str`")]
    fn data_path_as_str(&self) -> Result<&str, DittoError> {
        self.root_path_as_str()
    }

    /// [`root_dir_to_c_str`](Self::root_dir_to_c_str) under its older name.
    ///
    /// # Errors
    /// As there.
    #[deprecated(note = "use `root_dir_to_c_str`")]
    fn data_dir_to_c_str(&self) -> Result<OwnedCString, DittoError> {
        self.root_dir_to_c_str()
    }
}

fn unusable(path: &Path, error: &std::io::Error) -> DittoError {
    DittoError::new(ErrorKind::IO, format!("cannot use the directory {}: {error}", path.display()))
}

/// A directory that stays.
#[derive(Clone, Debug)]
pub struct PersistentRoot {
    path: PathBuf,
}

impl PersistentRoot {
    /// The environment variable that [`from_env`](Self::from_env) reads.
    const VARIABLE: &str = "DITTO_ROOT_PATH";

    /// The directory at `root_dir`, which is created with its parents when it is absent.
    ///
    /// # Errors
    /// With a kind of `IO` when it cannot be created.
    pub fn new(root_dir: impl Into<PathBuf>) -> Result<Self, DittoError> {
        let path = root_dir.into();
        fs::create_dir_all(&path).map_err(|error| unusable(&path, &error))?;
        Ok(Self { path })
    }

    /// The directory of the running program.
    ///
    /// # Errors
    /// With a kind of `IO` when it cannot be determined.
    pub fn from_current_exe() -> Result<Self, DittoError> {
        Self::new(executable_directory()?)
    }

    /// The directory that the environment variable `DITTO_ROOT_PATH` names.
    ///
    /// # Errors
    /// With a kind of `InvalidInput` when it is not set.
    pub fn from_env() -> Result<Self, DittoError> {
        match env::var_os(Self::VARIABLE) {
            Some(path) => Self::new(path),
            None => Err(DittoError::invalid_input(format!(
                "the environment variable {} is not set; it names the directory",
                Self::VARIABLE
            ))),
        }
    }
}

impl Default for PersistentRoot {
    /// The directory of the running program.
    ///
    /// # Panics
    /// When it cannot be determined; [`PersistentRoot::from_current_exe`] gives an error instead.
    #[expect(clippy::panic, reason = "`Default` has no other way to fail, and this one is documented")]
    fn default() -> Self {
        match Self::from_current_exe() {
            Ok(root) => root,
            Err(error) => panic!("{error}"),
        }
    }
}

impl DittoRoot for PersistentRoot {
    fn root_path(&self) -> &Path {
        &self.path
    }
}

/// A directory that is removed with everything in it when this is dropped.
///
/// Keep it for longer than the instance that lives in it.
#[derive(Debug)]
pub struct TempRoot {
    /// `<temporary directory>/<random name>`.
    parent: PathBuf,
    /// `<parent>/ditto`.
    path: PathBuf,
}

impl TempRoot {
    /// A new directory below the system's directory for temporary files.
    ///
    /// # Panics
    /// When it cannot be created.
    #[must_use]
    #[expect(clippy::panic, reason = "the signature has no other way to fail, and this one is documented")]
    pub fn new() -> Self {
        let parent = env::temp_dir().join(uuid::Uuid::new_v4().simple().to_string());
        let path = parent.join("ditto");
        if let Err(error) = fs::create_dir_all(&path) {
            panic!("{}", unusable(&path, &error));
        }
        Self { parent, path }
    }
}

impl Default for TempRoot {
    fn default() -> Self {
        Self::new()
    }
}

impl DittoRoot for TempRoot {
    fn root_path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TempRoot {
    fn drop(&mut self) {
        // What cannot be removed now is what the system's own cleaning of temporary files is for.
        let _ = fs::remove_dir_all(&self.parent);
    }
}

/// The directory that relative persistence directories start from.
pub(crate) fn executable_directory() -> Result<PathBuf, DittoError> {
    let executable = env::current_exe()?;
    match executable.parent() {
        Some(directory) if directory.to_str().is_some() => Ok(directory.to_owned()),
        _ => Err(DittoError::new(
            ErrorKind::IO,
            format!(
                "the directory of the program {} cannot hold the database; give an absolute persistence directory",
                executable.display()
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_root_is_removed_with_its_content() {
        let root = TempRoot::new();
        let (path, parent) = (root.root_path().to_owned(), root.parent.clone());
        fs::write(path.join("file"), "content").unwrap();
        assert!(root.exists() && root.is_valid().is_ok() && path.ends_with("ditto"));
        drop(root);
        assert!(!parent.exists());
    }

    #[test]
    fn a_persistent_root_is_created_and_stays() {
        let temporary = TempRoot::new();
        let path = temporary.root_path().join("a/b");
        drop(PersistentRoot::new(&path).unwrap());
        assert!(path.is_dir());
        let file = temporary.root_path().join("file");
        fs::write(&file, "").unwrap();
        let error = PersistentRoot::new(&file).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::IO);
        assert!(error.to_string().contains("file"));
    }
}
