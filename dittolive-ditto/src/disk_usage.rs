//! What the files of an instance take: [`DiskUsage`], from [`Ditto::disk_usage`](crate::Ditto::disk_usage).
//!
//! ```
//! use dittolive_ditto::prelude::*;
//!
//! # let root = TempRoot::new();
//! # let config = DittoConfig::new("my-garden", DittoConfigConnect::SmallPeersOnly { private_key: None })
//! #     .with_persistence_directory(root.root_path());
//! # let ditto = Ditto::open_sync(config)?;
//! let usage: DiskUsageItem = ditto.disk_usage().item();
//! assert_eq!(usage.fs_type, FileSystemType::Directory);
//! for part in usage.children.iter().flatten() {
//!     println!("{:>12} bytes {}", part.size_in_bytes, part.path);
//! }
//!
//! // Called soon, and again whenever a file changes, until the handle is dropped.
//! let _observer = ditto.disk_usage().observe(|usage| println!("{} bytes", usage.size_in_bytes));
//! # Ok::<_, DittoError>(())
//! ```

use std::{
    fmt,
    marker::PhantomData,
    sync::{Arc, Mutex},
};

use serde::{Deserialize, Serialize};

use crate::{
    ffi,
    instance::Instance,
    logger::{LogLevel, log},
};

/// What a path leads to.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[repr(C)]
pub enum FileSystemType {
    /// A directory.
    Directory = 0,
    /// A file, or something else that is no directory.
    File,
    /// A symbolic link, which is not followed.
    SymLink,
}

/// A file, or a directory with everything in it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct DiskUsageItem {
    /// What it is.
    pub fs_type: FileSystemType,
    /// Where it is: from the last name of the observed directory on, such as `garden/store/storage.lock`.
    pub path: String,
    /// Bytes of the file; of a directory, of all files below it.
    pub size_in_bytes: usize,
    /// What is in a directory, by path; `None` for others.
    pub children: Option<Vec<DiskUsageItem>>,
}

/// [`DiskUsageItem`] under its older name.
pub type DiskUsageChild = DiskUsageItem;

impl DiskUsageItem {
    fn empty(path: &str) -> Self {
        Self {
            fs_type: FileSystemType::Directory,
            path: path.to_owned(),
            size_in_bytes: 0,
            children: Some(Vec::new()),
        }
    }

    /// The directory of this name in this one, with paths that begin there.
    fn part(self, name: &str) -> Self {
        let prefix = format!("{}/", self.path);
        let mut children = self.children.into_iter().flatten();
        let part = children.find(|child| child.path.strip_prefix(&prefix) == Some(name));
        part.map_or_else(|| Self::empty(name), |part| part.below(prefix.len()))
    }

    /// With paths that begin later by so many bytes.
    fn below(mut self, skipped: usize) -> Self {
        self.path = self.path.get(skipped..).unwrap_or_default().to_owned();
        let children = self.children.map(|children| children.into_iter().map(|child| child.below(skipped)));
        self.children = children.map(Iterator::collect);
        self
    }
}

/// What is called with the files of an instance: any `FnMut(DiskUsageItem)` that may move to another thread.
pub trait DiskUsageCallback: FnMut(DiskUsageItem) + Send + 'static {}
impl<F: FnMut(DiskUsageItem) + Send + 'static> DiskUsageCallback for F {}

/// The files of an instance, now or whenever they change. See the [module](self).
#[derive(Clone)]
pub struct DiskUsage {
    instance: Arc<Instance>,
    /// The directory in the instance's own that is looked at; `None` for all.
    part: Option<&'static str>,
}

impl DiskUsage {
    pub(crate) fn new(instance: Arc<Instance>) -> Self {
        Self { instance, part: None }
    }

    /// Of the documents only.
    pub(crate) fn of_store(instance: Arc<Instance>) -> Self {
        Self { instance, part: Some("store") }
    }

    /// The files and directories as they are now, which is looked up in the file system. Works when the instance is closed,
    /// too.
    #[must_use]
    pub fn item(&self) -> DiskUsageItem {
        let usage = self.instance.peer.disk_usage();
        usage.map_or_else(|error| unreadable(&error), |json| parse(&json, self.part))
    }

    /// [`item`](Self::item) under its older name.
    #[deprecated(note = "use `item`")]
    #[must_use]
    pub fn exec(&self) -> DiskUsageChild {
        self.item()
    }

    /// Calls `callback` with [`item`](Self::item), soon and then whenever something has changed, whoever changed it, until
    /// the handle is dropped or the instance closed. A change is noticed after half a second or more; what changes
    /// meanwhile is one change. Calls come one after the other on a thread of the database; a panic ends the call, not
    /// the observer. On an instance that is closed it is never called.
    #[must_use = "the observer ends when this handle is dropped"]
    pub fn observe<F: DiskUsageCallback>(&self, mut callback: F) -> Arc<DiskUsageObserverHandle> {
        let part = self.part;
        let observer = self.instance.peer.observe_disk_usage(move |json| callback(parse(json, part)));
        let observer = observer
            .inspect_err(|error| log(LogLevel::Error, &format!("the disk usage is not observed: {error}")));
        Arc::new(Mutex::new(DiskUsageObserver { _observer: observer.ok(), callback: PhantomData }))
    }
}

impl fmt::Debug for DiskUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskUsage").finish_non_exhaustive()
    }
}

fn parse(json: &[u8], part: Option<&str>) -> DiskUsageItem {
    match serde_json::from_slice::<DiskUsageItem>(json) {
        Ok(item) => match part {
            Some(part) => item.part(part),
            None => item,
        },
        Err(error) => unreadable(&error),
    }
}

/// What stands for a tree that the library could not give, which would be a fault in it.
fn unreadable(error: &dyn fmt::Display) -> DiskUsageItem {
    log(LogLevel::Error, &format!("the disk usage cannot be read: {error}"));
    DiskUsageItem::empty("")
}

/// Somebody who watches the files of an instance, until it is dropped.
pub struct DiskUsageObserver<F: ?Sized + DiskUsageCallback = dyn DiskUsageCallback> {
    /// `None` when the instance was closed before.
    _observer: Option<ffi::DiskUsageObserver>,
    callback: PhantomData<fn(Box<F>)>,
}

/// [`DiskUsageObserver`] under its older name.
pub type DiskUsageObserverCtx<F = dyn DiskUsageCallback> = DiskUsageObserver<F>;

/// What [`DiskUsage::observe`] gives: the observer ends when it is dropped.
pub type DiskUsageObserverHandle<F = dyn DiskUsageCallback> = Mutex<DiskUsageObserver<F>>;

impl<F: ?Sized + DiskUsageCallback> fmt::Debug for DiskUsageObserver<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskUsageObserver").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_begins_with_its_own_name() {
        let json = br#"{"fs_type": "Directory", "path": "garden", "size_in_bytes": 8, "children": [
            {"fs_type": "File", "path": "garden/peer-key", "size_in_bytes": 3, "children": null},
            {"fs_type": "Directory", "path": "garden/store", "size_in_bytes": 5, "children": [
                {"fs_type": "SymLink", "path": "garden/store/x", "size_in_bytes": 5, "children": null}]}]}"#;
        let whole = parse(json, None);
        assert_eq!((whole.path.as_str(), whole.size_in_bytes), ("garden", 8));
        let part = parse(json, Some("store"));
        assert_eq!((part.path.as_str(), part.size_in_bytes), ("store", 5));
        let child = &part.children.unwrap()[0];
        assert_eq!(
            (child.path.as_str(), child.fs_type, &child.children),
            ("store/x", FileSystemType::SymLink, &None)
        );
        assert_eq!(parse(json, Some("none")), DiskUsageItem::empty("none"));
    }
}
