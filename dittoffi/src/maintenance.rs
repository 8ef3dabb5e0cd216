//! Looking after a database: verifying, copying and compacting it, and what is in its collections.
//!
//! All of it may take long, and happens on the caller's thread while others go on reading and writing.

use ditto_store::CollectionStatistics;
use serde_json::json;

use crate::{
    callback::{OnProgress, ProgressCallback},
    config,
    error::Error,
    handle, panic,
    peer::Peer,
    slice::{Buffer, Slice},
};

/// Reads every row of the database and compares what is stored twice; blocks until that is done. Finding something wrong is
/// a result and no error. `progress` counts rows; the total is an estimate. `out` gets a JSON object:
///
/// | member | value |
/// | --- | --- |
/// | `documents` | living documents |
/// | `tombstones` | deleted documents that are remembered |
/// | `graves` | deleted documents of which only a trace is left |
/// | `conflicts` | reports of lost writes |
/// | `changes` | rows of the log of changes |
/// | `index_rows` | rows of all indexes |
/// | `inconsistent` | how many inconsistencies there are; 0 if all is well |
/// | `inconsistencies` | the first hundred of them: an array of objects with the texts `place` and `problem` |
///
/// The callback is taken over: its `release` is called exactly once, also when this function fails.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_peer_verify(
    peer: *const Peer,
    progress: ProgressCallback,
    out: *mut Buffer,
) -> *mut Error {
    panic::contain(|| {
        let mut progress = OnProgress::new(progress);
        // SAFETY: the caller passes NULL or a live handle.
        let peer = unsafe { handle::borrow(peer, "peer") }?;
        handle::require(out, "result")?;
        let found = peer.engine().verify(&mut |at| progress.call(at.rows, at.total_rows))?;
        let inconsistencies: Vec<_> = found
            .inconsistencies
            .iter()
            .map(|found| json!({ "place": found.place, "problem": found.problem }))
            .collect();
        let found = json!({
            "documents": found.documents,
            "tombstones": found.tombstones,
            "graves": found.graves,
            "conflicts": found.conflicts,
            "changes": found.changes,
            "index_rows": found.index_rows,
            "inconsistent": found.inconsistent,
            "inconsistencies": inconsistencies,
        });
        // SAFETY: the caller passes NULL or a place for a buffer.
        unsafe { handle::store(out, "result", || found.to_string().into()) }
    })
}

/// Copies the database as it is at one moment to `directory`, a path as in `dittoffi_peer_open`'s configuration; blocks
/// until the copy is complete and on the platter. The directory must be empty, or is made. A peer that is opened there has
/// the documents of that moment and a key of its own, and syncs with this one as any other. What an attempt that failed has
/// left is removed. `progress` counts documents. `out` gets a JSON object of numbers: `documents` (deleted ones that are
/// remembered among them), `bytes`, and `commit_id`, that of the newest commit in the copy.
///
/// A directory that is not empty is refused with `DITTOFFI_ERROR_CODE_IO_ALREADY_EXISTS`. The callback is taken over: its
/// `release` is called exactly once, also when this function fails.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_peer_backup(
    peer: *const Peer,
    directory: Slice,
    progress: ProgressCallback,
    out: *mut Buffer,
) -> *mut Error {
    panic::contain(|| {
        let mut progress = OnProgress::new(progress);
        // SAFETY: the caller passes NULL or a live handle, and a slice that it keeps for the call.
        let (peer, directory) =
            unsafe { (handle::borrow(peer, "peer")?, directory.bytes("the directory of the backup")?) };
        let directory = config::path(directory, "the directory of the backup")?;
        handle::require(out, "result")?;
        let copied = peer.engine().backup(&directory, &mut |at| {
            // Deleted documents come on top of those that are counted.
            progress.call(at.documents, at.total_documents.max(at.documents))
        })?;
        let copied =
            json!({ "documents": copied.documents, "bytes": copied.bytes, "commit_id": copied.last.0 });
        // SAFETY: the caller passes NULL or a place for a buffer.
        unsafe { handle::store(out, "result", || copied.to_string().into()) }
    })
}

/// Gives back the room that deleted and overwritten documents take; blocks until that is done. It costs time, and room for
/// a while, in proportion to the size of the database. Ended before its time it keeps what it has done. `progress` counts
/// bytes of files. `out` gets a JSON object of numbers: `bytes_before` and `bytes_after`, of the files with the documents.
///
/// The callback is taken over: its `release` is called exactly once, also when this function fails.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_peer_compact(
    peer: *const Peer,
    progress: ProgressCallback,
    out: *mut Buffer,
) -> *mut Error {
    panic::contain(|| {
        let mut progress = OnProgress::new(progress);
        // SAFETY: the caller passes NULL or a live handle.
        let peer = unsafe { handle::borrow(peer, "peer") }?;
        handle::require(out, "result")?;
        let compacted = peer.engine().compact(&mut |at| progress.call(at.bytes, at.total_bytes))?;
        let compacted =
            json!({ "bytes_before": compacted.bytes_before, "bytes_after": compacted.bytes_after });
        // SAFETY: the caller passes NULL or a place for a buffer.
        unsafe { handle::store(out, "result", || compacted.to_string().into()) }
    })
}

/// What is known of the collections without reading them: a JSON array of objects, by name, with `name`, `documents`
/// (living ones), `graves` (deleted ones of which only a trace is left), `indexes` and `evictions` (so far).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_peer_collections(peer: *const Peer, out: *mut Buffer) -> *mut Error {
    panic::contain(|| {
        // SAFETY: the caller passes NULL or a live handle.
        let peer = unsafe { handle::borrow(peer, "peer") }?;
        let collections: Vec<_> =
            peer.engine().store().collections().iter().map(collection_statistics).collect();
        // SAFETY: the caller passes NULL or a place for a buffer.
        unsafe { handle::store(out, "collections", || json!(collections).to_string().into()) }
    })
}

fn collection_statistics(statistics: &CollectionStatistics) -> serde_json::Value {
    json!({
        "name": &*statistics.name,
        "documents": statistics.documents,
        "graves": statistics.graves,
        "indexes": statistics.indexes,
        "evictions": statistics.evictions,
    })
}
