//! Observers: a query whose result is delivered at once and again whenever it changes.

use ditto_store::{Observer as StoreObserver, SignalNext};
use parking_lot::Mutex;

use crate::{
    callback::{ChangeCallback, OnChange},
    config,
    error::Error,
    handle, panic,
    peer::Peer,
    query_result::QueryResult,
    slice::Slice,
};

/// An observed query. It ends with `dittoffi_observer_cancel`, when its last handle is freed, or with the peer.
pub struct Observer(StoreObserver);

/// The right to ask an observer for its next result. The callback owns it.
pub struct Signal(Mutex<Option<SignalNext>>);

/// Observes a `SELECT`. The callback gets the first result after this function has returned (there always is one, maybe
/// without items) and then the newest one whenever a commit has changed it and the signal of the one before was given to
/// `dittoffi_signal_next`; changes in between are delivered as one. `arguments` is a CBOR map from parameter name to
/// value, or empty.
///
/// The callback is taken over: its `release` is called exactly once, also when this function fails.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_peer_observe(
    peer: *const Peer,
    query: Slice,
    arguments: Slice,
    callback: ChangeCallback,
    out: *mut *mut Observer,
) -> *mut Error {
    panic::contain(|| {
        let mut callback = OnChange::new(callback)?;
        // SAFETY: the caller passes NULL or a live handle, and slices that it keeps for the call.
        let (peer, query, arguments) = unsafe {
            let peer = handle::borrow(peer, "peer")?;
            (peer, query.text("the query")?, config::arguments(arguments.bytes("the arguments")?)?)
        };
        handle::require(out, "observer")?;
        let observer = peer.engine().store().observe(
            query,
            arguments,
            Box::new(move |result, signal| {
                let signal = handle::new(Signal(Mutex::new(Some(signal))));
                callback.call(QueryResult::into_raw(result), signal);
            }),
        )?;
        // SAFETY: the caller passes NULL or a place for a handle.
        unsafe { handle::store(out, "observer", || handle::new(Observer(observer))) }
    })
}

/// Ends the observation. When it returns, no further call of the callback starts; one that runs goes on. Doing it twice,
/// or after the peer was closed, does nothing. May be called from the callback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_observer_cancel(observer: *const Observer) {
    panic::contain_or((), || {
        // SAFETY: the caller passes NULL or a live handle.
        if let Some(observer) = unsafe { observer.as_ref() } {
            observer.0.cancel();
        }
    });
}

/// Another handle to the same observer, to be freed like the first.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_observer_clone(observer: *const Observer) -> *mut Observer {
    // SAFETY: the caller passes NULL or a live handle.
    unsafe { handle::clone(observer) }
}

/// Frees a handle to an observer; with the last one the observation ends as by `dittoffi_observer_cancel`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_observer_free(observer: *mut Observer) {
    // SAFETY: the caller passes NULL or a live handle that it gives up.
    panic::contain_or((), || unsafe { handle::free(observer) });
}

/// Asks the observer for its next result, and frees the signal. From any thread, at any time, inside the callback or
/// later.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_signal_next(signal: *mut Signal) {
    panic::contain_or((), || {
        // SAFETY: the caller passes NULL or a live handle.
        let next = unsafe { signal.as_ref() }.and_then(|signal| signal.0.lock().take());
        // SAFETY: the caller gives the handle up.
        unsafe { handle::free(signal) };
        if let Some(next) = next {
            next.signal();
        }
    });
}

/// Frees a signal without asking for more: the observer pauses for ever.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_signal_free(signal: *mut Signal) {
    // SAFETY: the caller passes NULL or a live handle that it gives up.
    panic::contain_or((), || unsafe { handle::free(signal) });
}
