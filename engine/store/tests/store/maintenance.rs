//! Long work that somebody watches: how far it is, and that it ends when it is told to.

use std::ops::ControlFlow;
use std::sync::Arc;

use ditto_storage::DiskStorage;
use ditto_store::{CompactProgress, Store, StoreError, VerifyProgress};

use crate::support::{open, open_in, query, run, run_with};

/// A store with so many documents in `c`, one index and another collection.
fn filled(store: Store, documents: usize) -> Store {
    run(&store, "CREATE INDEX by_n ON c (n)");
    let filling = "x".repeat(200);
    let rows: Vec<_> =
        (0..documents).map(|id| format!(r#"{{"_id": {id}, "n": {id}, "f": "{filling}"}}"#)).collect();
    run_with(&store, "INSERT INTO c DOCUMENTS (:rows)", &format!(r#"{{"rows": [{}]}}"#, rows.join(",")));
    run(&store, "INSERT INTO d DOCUMENTS ({'_id': 1})");
    store
}

#[test]
fn a_verification_tells_how_far_it_is_and_may_be_stopped() {
    let store = filled(open(1), 3000);
    let mut seen = Vec::new();
    let verified = store.verify_with(&mut |progress| {
        seen.push(*progress);
        ControlFlow::Continue(())
    });
    assert_eq!(verified.expect("verifies").documents, 3001);
    assert!(seen.len() > 9000 / 1024 && seen.is_sorted_by_key(|progress| progress.rows), "{seen:?}");
    assert!(seen.iter().all(|progress| progress.total_rows >= 3 * 3000 && progress.inconsistent == 0));
    let VerifyProgress { rows, total_rows, .. } = *seen.last().expect("some");
    assert_eq!(rows, total_rows);

    let mut calls = 0;
    let cancelled = store.verify_with(&mut |_| {
        calls += 1;
        ControlFlow::Break(())
    });
    assert!(matches!(cancelled, Err(StoreError::Cancelled { .. })), "{cancelled:?}");
    assert_eq!(calls, 1);
    let closed = store.verify_with(&mut |_| {
        store.close().expect("closes");
        ControlFlow::Continue(())
    });
    assert!(matches!(closed, Err(StoreError::Closed)), "{closed:?}");
}

#[test]
fn a_compaction_tells_how_far_it_is_and_what_it_gave_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let storage = Arc::new(DiskStorage::open(directory.path()).expect("opens"));
    let store = filled(open_in(storage, 1), 3000);
    run(&store, "EVICT FROM c WHERE n >= 10");
    let cancelled = store.compact(&mut |_| ControlFlow::Break(()));
    assert!(matches!(cancelled, Err(StoreError::Cancelled { .. })), "{cancelled:?}");
    let mut seen = Vec::new();
    let compacted = store.compact(&mut |progress| {
        seen.push(*progress);
        ControlFlow::Continue(())
    });
    let compacted = compacted.expect("compacts");
    assert!(compacted.bytes_after < compacted.bytes_before / 4, "{compacted:?}");
    let total = compacted.bytes_before;
    assert!(seen.iter().all(|progress| progress.bytes <= total && progress.total_bytes == total), "{seen:?}");
    assert!(seen.is_sorted_by_key(|progress| progress.bytes), "{seen:?}");
    assert_eq!(seen.last(), Some(&CompactProgress { bytes: total, total_bytes: total }));
    assert_eq!(query(&store, "SELECT _id FROM c").len(), 10);
    assert!(store.verify().expect("verifies").is_consistent());
    store.close().expect("closes");
    let closed = store.compact(&mut |_| ControlFlow::Continue(()));
    assert!(matches!(closed, Err(StoreError::Closed)), "{closed:?}");
}

#[test]
fn collections_tell_what_is_in_them() {
    let store = filled(open(1), 30);
    let found: Vec<_> = store.collections().into_iter().map(|c| (c.name, c.documents, c.indexes)).collect();
    assert_eq!(found, [("c".into(), 30, 1), ("d".into(), 1, 0)]);
}
