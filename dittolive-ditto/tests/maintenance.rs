//! Verifying, backing up and compacting a database, and what its files take.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by a panic that it failed")]

mod support;

use std::{
    fs,
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, mpsc::channel},
};

use dittolive_ditto::{
    disk_usage::DiskUsageObserver,
    error::{CoreApiErrorKind, ErrorKind},
    prelude::*,
    store::maintenance::Progress,
};

use self::support::{Peer, config, next, wait_for};

const CANCELLED: ErrorKind = ErrorKind::CoreApi(CoreApiErrorKind::Cancelled);

fn go_on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn stop(_: Progress) -> ControlFlow<()> {
    ControlFlow::Break(())
}

fn filled(documents: usize) -> Peer {
    let peer = Peer::new();
    let rows: Vec<_> = (0..documents).map(|id| format!("({{'_id': {id}, 'text': '{id:0>200}'}})")).collect();
    peer.execute("CREATE INDEX by_text ON c (text)");
    peer.execute(format!("INSERT INTO c DOCUMENTS {}", rows.join(", ")));
    peer
}

/// What is told while `work` runs.
fn told<T>(work: impl FnOnce(&mut dyn FnMut(Progress) -> ControlFlow<()>) -> T) -> (T, Vec<Progress>) {
    let mut seen = Vec::new();
    let outcome = work(&mut |progress| {
        seen.push(progress);
        ControlFlow::Continue(())
    });
    assert!(seen.is_sorted_by_key(|progress| progress.done), "{seen:?}");
    let last = seen.last().unwrap();
    assert!(last.done == last.total && last.fraction() == 1.0, "{seen:?}");
    (outcome, seen)
}

#[test]
fn a_database_is_verified_and_whoever_watches_may_stop_it() {
    let peer = filled(2000);
    let store = peer.ditto.store();
    let (report, seen) = told(|on_progress| store.verify(on_progress).unwrap());
    assert!(report.is_consistent() && report.inconsistencies.is_empty());
    assert_eq!((report.documents, report.changes, report.index_rows), (2000, 2000, 2000));
    assert!(seen.len() > 5 && seen[0].fraction() < 0.5, "{seen:?}");
    assert_eq!(store.verify(stop).unwrap_err().kind(), CANCELLED);
}

#[test]
fn a_panic_of_whoever_watches_ends_the_work_and_goes_on() {
    let peer = filled(2000);
    let mut calls = 0;
    let work = || {
        peer.ditto.store().verify(|_| {
            calls += 1;
            panic!("the application panics")
        })
    };
    let payload = catch_unwind(AssertUnwindSafe(work)).unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"the application panics"));
    assert_eq!(calls, 1);
    peer.execute("INSERT INTO c DOCUMENTS ({'_id': 'after'})");
}

#[test]
fn a_backup_is_an_instance_of_its_own() {
    let peer = filled(2000);
    let store = peer.ditto.store();
    let target = peer.root.root_path().join("backups/first");
    let (report, _) = told(|on_progress| store.backup(&target, on_progress).unwrap());
    assert_eq!(report.documents, 2000);
    assert!(report.bytes > 2000 * 200 && report.commit_id > 0);
    let error = store.backup(&target, go_on).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CoreApi(CoreApiErrorKind::IoAlreadyExists), "{error}");
    peer.execute("INSERT INTO c DOCUMENTS ({'_id': 'after'})");
    let restored = Ditto::open_sync(config(&peer.root, None).with_persistence_directory(&target)).unwrap();
    let restored = Peer { ditto: restored, root: TempRoot::new() };
    assert_eq!(restored.execute("SELECT * FROM c").item_count(), 2000);
    assert_eq!(peer.execute("SELECT * FROM c").item_count(), 2001);

    peer.execute(format!("INSERT INTO c DOCUMENTS ({{'_id': 'long', 'text': '{}'}})", "x".repeat(1_500_000)));
    let cancelled = peer.root.root_path().join("backups/second");
    assert_eq!(store.backup(&cancelled, stop).unwrap_err().kind(), CANCELLED);
    assert!(!cancelled.exists());
    let file = peer.root.root_path().join("file");
    fs::write(&file, "").unwrap();
    let error = store.backup(&file, go_on).unwrap_err();
    assert!(error.to_string().contains("file"), "{error}");
    assert!(store.backup("", go_on).is_err());
}

#[test]
fn a_compaction_gives_back_the_room_of_what_was_deleted() {
    let peer = filled(2000);
    peer.execute("EVICT FROM c WHERE _id >= 10");
    let store = peer.ditto.store();
    assert_eq!(store.compact(stop).unwrap_err().kind(), CANCELLED);
    let (report, _) = told(|on_progress| store.compact(on_progress).unwrap());
    assert!(report.bytes_after < report.bytes_before, "{report:?}");
    assert_eq!(peer.execute("SELECT * FROM c").item_count(), 10);
}

#[test]
fn collections_tell_what_is_in_them() {
    let peer = filled(20);
    peer.execute("INSERT INTO d DOCUMENTS ({'_id': 1})");
    let found = peer.ditto.store().collection_statistics().unwrap();
    let found: Vec<_> = found.iter().map(|c| (c.name.as_str(), c.documents, c.indexes)).collect();
    assert_eq!(found, [("c", 20, 1), ("d", 1, 0)]);
}

#[test]
fn a_closed_instance_has_nothing_to_look_after() {
    let Peer { root, ditto } = Peer::new();
    let store = ditto.store().clone();
    let usage = ditto.disk_usage().clone();
    drop(ditto);
    assert_eq!(store.verify(go_on).unwrap_err().kind(), ErrorKind::ReleasedDittoInstance);
    assert_eq!(store.compact(go_on).unwrap_err().kind(), ErrorKind::ReleasedDittoInstance);
    let error = store.backup(root.root_path().join("backup"), go_on).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReleasedDittoInstance);
    assert!(usage.item().size_in_bytes > 0);
    let (sender, calls) = channel();
    let _observer = usage.observe(move |item| drop(sender.send(item)));
    assert!(calls.recv().is_err(), "it is never called");
}

#[test]
fn the_files_are_a_tree_with_sizes() {
    let peer = filled(10);
    let usage = peer.ditto.disk_usage().item();
    let name = peer.root.root_path().file_name().unwrap().to_str().unwrap();
    assert_eq!((usage.fs_type, usage.path.as_str()), (FileSystemType::Directory, name));
    let children = usage.children.as_deref().unwrap();
    assert_eq!(usage.size_in_bytes, children.iter().map(|child| child.size_in_bytes).sum::<usize>());
    let key = children.iter().find(|child| child.path == format!("{name}/peer-key")).unwrap();
    assert!(key.size_in_bytes > 0 && key.fs_type == FileSystemType::File && key.children.is_none());
    #[expect(deprecated, reason = "it stays")]
    let store = peer.ditto.store().disk_usage().item();
    let part = children.iter().find(|child| child.path == format!("{name}/store")).unwrap();
    assert_eq!((store.path.as_str(), store.size_in_bytes), ("store", part.size_in_bytes));
}

#[test]
fn a_file_that_is_created_is_noticed_until_the_handle_is_dropped() {
    let peer = Peer::new();
    let (sender, usages) = channel();
    let observer: Arc<DiskUsageObserverHandle> =
        peer.ditto.disk_usage().observe(move |usage| drop(sender.send(usage)));
    let _: &Mutex<DiskUsageObserver> = &observer;
    next(&usages);
    fs::write(peer.root.root_path().join("of-somebody-else"), "x".repeat(77)).unwrap();
    wait_for(&usages, |usage| {
        let mut children = usage.children.iter().flatten();
        children.any(|child| child.path.ends_with("/of-somebody-else") && child.size_in_bytes == 77)
    });
    drop(observer);
    // The closure, which holds the sender, is gone.
    while usages.recv().is_ok() {}
}

#[test]
fn an_instance_may_end_inside_the_callback_of_its_disk_usage() {
    let Peer { root, ditto } = Peer::new();
    let slot = Arc::new(Mutex::new(None::<Ditto>));
    let (sender, ended) = channel();
    let own = slot.clone();
    let handle = ditto.disk_usage().observe(move |_| {
        // The first call may come before there is something to end.
        if let Some(ditto) = own.lock().unwrap().take() {
            drop(ditto);
            sender.send(()).unwrap();
        }
    });
    *slot.lock().unwrap() = Some(ditto);
    fs::write(root.root_path().join("of-somebody-else"), "").unwrap();
    next(&ended);
    drop(handle);
    drop(Ditto::open_sync(config(&root, None)).unwrap());
}
