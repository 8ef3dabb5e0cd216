//! What the directory of a peer holds: a tree of files with their sizes, now or whenever it changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;
use tokio::runtime::Handle;

/// Directories below each other that are looked into; deeper ones count as empty. As JSON they are twice as deep, and readers
/// of JSON often stop at 128.
const MAX_DEPTH: usize = 48;
/// The shortest pause between two looks of an observer,
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
/// which are at least this many times as far apart as one of them takes.
const PAUSE_PER_LOOK: u32 = 20;

/// A file, or a directory with everything in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DiskUsage {
    /// What it is.
    pub fs_type: FileSystemType,
    /// Its path, from the last name of the observed directory on, with `/` between names. What is not Unicode is replaced.
    pub path: String,
    /// Bytes of the file; of a directory, of all files below it.
    pub size_in_bytes: u64,
    /// What is in a directory, by path; `None` for others.
    pub children: Option<Vec<DiskUsage>>,
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum FileSystemType {
    /// A directory.
    Directory,
    /// A file, or something else that is no directory.
    File,
    /// A link, which is not followed.
    SymLink,
}

impl DiskUsage {
    /// Looks at `directory` and what is below it. What vanishes or cannot be read meanwhile counts as not there.
    pub(crate) fn measure(directory: &Path) -> Self {
        let name = directory.file_name().unwrap_or(directory.as_os_str()).to_string_lossy().into_owned();
        Self::directory(directory, name, MAX_DEPTH)
    }

    fn directory(directory: &Path, path: String, depth: usize) -> Self {
        let mut children = Vec::new();
        if depth > 0 {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                // Of the link itself, where it is one.
                let Ok(metadata) = entry.metadata() else { continue };
                let path = format!("{path}/{}", entry.file_name().to_string_lossy());
                if metadata.is_dir() {
                    children.push(Self::directory(&entry.path(), path, depth - 1));
                    continue;
                }
                let fs_type =
                    if metadata.is_symlink() { FileSystemType::SymLink } else { FileSystemType::File };
                children.push(Self { fs_type, path, size_in_bytes: metadata.len(), children: None });
            }
        }
        children.sort_by(|left, right| left.path.cmp(&right.path));
        let size_in_bytes = children.iter().map(|child| child.size_in_bytes).sum();
        Self { fs_type: FileSystemType::Directory, path, size_in_bytes, children: Some(children) }
    }
}

/// Is called with each tree that differs from the one before.
type Callback = Box<dyn FnMut(&DiskUsage) + Send>;

/// Looks at a directory from time to time. Clones are handles to the same one; dropping the last of them cancels it.
#[derive(Clone)]
pub struct DiskUsageObserver(Arc<Watch>);

struct Watch {
    shared: Arc<Shared>,
}

struct Shared {
    cancelled: AtomicBool,
    /// Taken out while it is called.
    callback: Mutex<Option<Callback>>,
}

impl DiskUsageObserver {
    /// Calls back at once, and then whenever something below `directory` has changed, whoever did it. Calls come one
    /// after the other, on blocking threads of the runtime.
    pub(crate) fn start(runtime: &Handle, directory: PathBuf, callback: Callback) -> Self {
        let shared =
            Arc::new(Shared { cancelled: AtomicBool::new(false), callback: Mutex::new(Some(callback)) });
        let watched = Arc::clone(&shared);
        let blocking = runtime.clone();
        runtime.spawn(async move {
            let mut last = None;
            while !watched.cancelled.load(Ordering::SeqCst) {
                let (watched, directory) = (Arc::clone(&watched), directory.clone());
                let look = blocking.spawn_blocking(move || {
                    let begin = Instant::now();
                    let found = DiskUsage::measure(&directory);
                    let took = begin.elapsed();
                    if last.as_ref() != Some(&found) {
                        watched.call(&found);
                    }
                    (Some(found), took)
                });
                // An error is a panic of the callback, or the end of the runtime.
                let Ok((found, took)) = look.await else { return };
                last = found;
                tokio::time::sleep(SHORTEST_PAUSE.max(took * PAUSE_PER_LOOK)).await;
            }
        });
        Self(Arc::new(Watch { shared }))
    }

    /// No call starts after this has returned; one that runs goes on. Doing it twice does nothing.
    pub fn cancel(&self) {
        self.0.shared.cancel();
    }
}

impl Shared {
    fn call(&self, found: &DiskUsage) {
        let Some(mut callback) = self.callback.lock().take() else { return };
        callback(found);
        let mut place = self.callback.lock();
        if !self.cancelled.load(Ordering::SeqCst) {
            *place = Some(callback);
        }
    }

    fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        let callback = self.callback.lock().take();
        // Outside of the lock: it may own anything.
        drop(callback);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.cancel();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn sizes_add_up_and_paths_begin_with_the_directory() {
        let root = tempfile::tempdir().unwrap();
        let top = root.path().join("top");
        fs::create_dir_all(top.join("a/b")).unwrap();
        fs::write(top.join("a/b/file"), [0; 100]).unwrap();
        fs::write(top.join("other"), [0; 11]).unwrap();
        let usage = DiskUsage::measure(&top);
        assert_eq!(
            (usage.fs_type, &*usage.path, usage.size_in_bytes),
            (FileSystemType::Directory, "top", 111)
        );
        let children = usage.children.unwrap();
        let paths: Vec<_> = children.iter().map(|child| &*child.path).collect();
        assert_eq!(paths, ["top/a", "top/other"]);
        assert_eq!((children[0].size_in_bytes, children[1].fs_type), (100, FileSystemType::File));
        assert_eq!(children[1].children, None);
        let below = children[0].children.as_ref().unwrap()[0].children.as_ref().unwrap();
        assert_eq!(below[0].path, "top/a/b/file");
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(&top, top.join("link")).unwrap();
            let found = DiskUsage::measure(&top).children.unwrap();
            assert_eq!((found[1].fs_type, &found[1].children), (FileSystemType::SymLink, &None));
        }
        let gone = DiskUsage::measure(&root.path().join("gone"));
        assert_eq!((gone.size_in_bytes, gone.children), (0, Some(Vec::new())));
    }

    #[test]
    fn an_observer_is_called_at_once_and_when_something_changes_until_it_is_cancelled() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let (sender, sizes) = mpsc::channel();
        let callback = Box::new(move |usage: &DiskUsage| sender.send(usage.size_in_bytes).unwrap());
        let observer = DiskUsageObserver::start(runtime.handle(), directory.path().to_owned(), callback);
        assert_eq!(sizes.recv_timeout(PATIENCE), Ok(0));
        fs::create_dir(directory.path().join("new")).unwrap();
        assert_eq!(sizes.recv_timeout(PATIENCE), Ok(0));
        fs::write(directory.path().join("new/file"), [0; 5]).unwrap();
        while sizes.recv_timeout(PATIENCE).unwrap() != 5 {}
        observer.cancel();
        // The callback, which holds the sender, is gone.
        assert_eq!(sizes.recv_timeout(PATIENCE), Err(mpsc::RecvTimeoutError::Disconnected));
        drop(observer);
    }
}
