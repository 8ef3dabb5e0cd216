//! What the directory of a peer holds, now or whenever it changes.

use ditto_peer::{DiskUsage, DiskUsageObserver as Watch};

use crate::{
    callback::{DiskUsageCallback, OnDiskUsage},
    error::{Error, ErrorCode},
    handle, panic,
    peer::Peer,
    slice::Buffer,
};

/// Somebody who watches the directory of a peer. It ends with `dittoffi_disk_usage_observer_cancel`, when its last handle is
/// freed, or with the peer.
pub struct DiskUsageObserver(Watch);

/// The files of the peer's directory; blocks while it looks at all of them. `out` gets a JSON object with `fs_type`
/// (`Directory`, `File` or `SymLink`), `path` (from the last name of the peer's directory on, with `/` between names),
/// `size_in_bytes` (of a directory: of all files below it) and `children` (of a directory: an array of such objects, by
/// path; else null). Works when the peer is closed too.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_peer_disk_usage(peer: *const Peer, out: *mut Buffer) -> *mut Error {
    panic::contain(|| {
        // SAFETY: the caller passes NULL or a live handle.
        let peer = unsafe { handle::borrow(peer, "peer") }?;
        handle::require(out, "disk usage")?;
        let usage = json(&peer.engine().disk_usage())?;
        // SAFETY: the caller passes NULL or a place for a buffer.
        unsafe { handle::store(out, "disk usage", || usage.into()) }
    })
}

/// Calls back with what `dittoffi_peer_disk_usage` says, at once and then whenever that has changed, whoever changed it. A
/// change is noticed after half a second or more, and what changes meanwhile is one change.
///
/// The callback is taken over: its `release` is called exactly once, also when this function fails.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_peer_observe_disk_usage(
    peer: *const Peer,
    callback: DiskUsageCallback,
    out: *mut *mut DiskUsageObserver,
) -> *mut Error {
    panic::contain(|| {
        let mut callback = OnDiskUsage::new(callback)?;
        // SAFETY: the caller passes NULL or a live handle.
        let peer = unsafe { handle::borrow(peer, "peer") }?;
        handle::require(out, "observer")?;
        let watch = peer.engine().observe_disk_usage(move |usage| match json(usage) {
            Ok(usage) => callback.call(&usage),
            Err(error) => tracing::error!("the disk usage cannot be told: {}", error.message()),
        })?;
        // SAFETY: the caller passes NULL or a place for a handle.
        unsafe { handle::store(out, "observer", || handle::new(DiskUsageObserver(watch))) }
    })
}

/// Ends the observation. When it returns, no further call of the callback starts; one that runs goes on. Doing it twice,
/// or after the peer was closed, does nothing. May be called from the callback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_disk_usage_observer_cancel(observer: *const DiskUsageObserver) {
    panic::contain_or((), || {
        // SAFETY: the caller passes NULL or a live handle.
        if let Some(observer) = unsafe { observer.as_ref() } {
            observer.0.cancel();
        }
    });
}

/// Another handle to the same observer, to be freed like the first.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_disk_usage_observer_clone(
    observer: *const DiskUsageObserver,
) -> *mut DiskUsageObserver {
    // SAFETY: the caller passes NULL or a live handle.
    unsafe { handle::clone(observer) }
}

/// Frees a handle to an observer; with the last one the observation ends as by `dittoffi_disk_usage_observer_cancel`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_disk_usage_observer_free(observer: *mut DiskUsageObserver) {
    // SAFETY: the caller passes NULL or a live handle that it gives up.
    panic::contain_or((), || unsafe { handle::free(observer) });
}

fn json(usage: &DiskUsage) -> Result<String, Error> {
    serde_json::to_string(usage).map_err(|error| Error::caused(ErrorCode::Internal, &error))
}
