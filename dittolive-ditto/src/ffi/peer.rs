//! A running peer.

use std::{
    ffi::c_void,
    path::{Path, PathBuf},
    ptr::{self, NonNull},
};

use dittolive_ditto_sys as sys;

use super::{
    bytes::{self, Buffer},
    error::check,
    observer::{self, Observer, Signal},
    outcome::{self, Outcome},
    query_result::QueryResult,
    subscription::Subscription,
};
use crate::{
    cbor::CborValue,
    error::{CoreApiErrorKind, DittoError},
};

/// A handle to a peer. After [`close`](Self::close) everything that can fail does, with `ReleasedDittoInstance`.
pub(crate) struct Peer(NonNull<sys::dittoffi_peer_t>);

// SAFETY: handles may be used and freed on any thread, several at once.
unsafe impl Send for Peer {}
// SAFETY: see above.
unsafe impl Sync for Peer {}

/// The result of a function that returns a handle through an out-pointer.
pub(super) fn handle<T, H>(
    wrap: impl FnOnce(*mut T) -> Option<H>,
    call: impl FnOnce(*mut *mut T) -> *mut sys::dittoffi_error_t,
) -> Result<H, DittoError> {
    let mut out = ptr::null_mut();
    check(call(&mut out))?;
    wrap(out).ok_or_else(|| DittoError::core(CoreApiErrorKind::Internal, "the library returned no handle"))
}

impl Peer {
    /// `config` is the CBOR map that the header describes.
    pub(crate) fn open(config: &[u8]) -> Result<Self, DittoError> {
        // SAFETY: the slice is borrowed for the call; `out` is a place for a handle.
        handle(
            |peer| NonNull::new(peer).map(Self),
            |out| unsafe { sys::dittoffi_peer_open(bytes::borrow(config), out) },
        )
    }

    pub(super) fn as_ptr(&self) -> *const sys::dittoffi_peer_t {
        self.0.as_ptr()
    }

    pub(crate) fn close(&self) {
        // SAFETY: a live handle.
        unsafe { sys::dittoffi_peer_close(self.0.as_ptr()) };
    }

    /// `arguments` is a CBOR map, or empty. `None` when the statement would have to wait for another writer.
    pub(crate) fn try_execute(
        &self,
        query: &str,
        arguments: &[u8],
    ) -> Result<Option<QueryResult>, DittoError> {
        let (query, arguments) = (bytes::borrow(query.as_bytes()), bytes::borrow(arguments));
        let mut out = ptr::null_mut();
        // SAFETY: a live handle, slices borrowed for the call; `out` is a place for a handle.
        check(unsafe { sys::dittoffi_peer_try_execute(self.0.as_ptr(), query, arguments, &mut out) })?;
        Ok(QueryResult::from_raw(out))
    }

    /// As [`Self::try_execute`], when it is the statement's turn. Dropping the future before that gives the turn up.
    pub(crate) fn execute_later(
        &self,
        query: &str,
        arguments: &[u8],
    ) -> Result<Outcome<QueryResult>, DittoError> {
        let executed = Outcome::default();
        let callback = sys::dittoffi_executed_callback_t {
            context: executed.context(),
            call: Some(call_executed),
            is_wanted: Some(outcome::is_wanted::<QueryResult>),
            release: Some(outcome::release::<QueryResult>),
        };
        let (query, arguments) = (bytes::borrow(query.as_bytes()), bytes::borrow(arguments));
        // SAFETY: a live handle, slices borrowed for the call, the callback is taken over also on failure.
        check(unsafe { sys::dittoffi_peer_execute_later(self.0.as_ptr(), query, arguments, callback) })?;
        Ok(executed)
    }

    pub(crate) fn observe(
        &self,
        query: &str,
        arguments: &[u8],
        handler: impl FnMut(QueryResult, Signal) + Send + 'static,
    ) -> Result<Observer, DittoError> {
        let (query, arguments) = (bytes::borrow(query.as_bytes()), bytes::borrow(arguments));
        let callback = observer::callback(handler);
        // SAFETY: a live handle, slices borrowed for the call, the callback is taken over also on failure; `out` is a
        // place for a handle.
        handle(Observer::from_raw, |out| unsafe {
            sys::dittoffi_peer_observe(self.0.as_ptr(), query, arguments, callback, out)
        })
    }

    pub(crate) fn subscribe(&self, query: &str, arguments: &[u8]) -> Result<Subscription, DittoError> {
        let (query, arguments) = (bytes::borrow(query.as_bytes()), bytes::borrow(arguments));
        // SAFETY: a live handle, slices borrowed for the call; `out` is a place for a handle.
        handle(Subscription::from_raw, |out| unsafe {
            sys::dittoffi_peer_subscribe(self.0.as_ptr(), query, arguments, out)
        })
    }

    pub(crate) fn start_sync(&self) -> Result<(), DittoError> {
        // SAFETY: a live handle.
        check(unsafe { sys::dittoffi_peer_start_sync(self.0.as_ptr()) })
    }

    pub(crate) fn stop_sync(&self) {
        // SAFETY: a live handle.
        unsafe { sys::dittoffi_peer_stop_sync(self.0.as_ptr()) };
    }

    pub(crate) fn is_sync_active(&self) -> bool {
        // SAFETY: a live handle.
        unsafe { sys::dittoffi_peer_is_sync_active(self.0.as_ptr()) }
    }

    /// Returns what could not be served, as a JSON array of texts.
    pub(crate) fn set_transport_config(&self, json: &str) -> Result<Buffer, DittoError> {
        // SAFETY: a live handle, a slice borrowed for the call; `out` is a place for a buffer.
        Buffer::from_call(|out| unsafe {
            sys::dittoffi_peer_set_transport_config(self.0.as_ptr(), bytes::borrow(json.as_bytes()), out)
        })
    }

    pub(crate) fn transport_config(&self) -> Result<Buffer, DittoError> {
        // SAFETY: a live handle; `out` is a place for a buffer.
        Buffer::from_call(|out| unsafe { sys::dittoffi_peer_transport_config(self.0.as_ptr(), out) })
    }

    pub(crate) fn directory(&self) -> Result<PathBuf, DittoError> {
        // SAFETY: a live handle; `out` is a place for a buffer.
        let path = Buffer::from_call(|out| unsafe { sys::dittoffi_peer_directory(self.0.as_ptr(), out) })?;
        path_from_bytes(path)
    }

    pub(crate) fn set_device_name(&self, name: &str) -> Result<(), DittoError> {
        // SAFETY: a live handle, a slice borrowed for the call.
        check(unsafe { sys::dittoffi_peer_set_device_name(self.0.as_ptr(), bytes::borrow(name.as_bytes())) })
    }
}

/// # Safety
/// Called with the context of [`Peer::execute_later`] before its release, and with handles that it may keep.
unsafe extern "C" fn call_executed(
    context: *mut c_void,
    error: *mut sys::dittoffi_error_t,
    result: *mut sys::dittoffi_query_result_t,
) {
    // SAFETY: made by `execute_later` and not yet released.
    unsafe { outcome::deliver(context, check(error), QueryResult::from_raw(result)) };
}

impl Drop for Peer {
    fn drop(&mut self) {
        // SAFETY: our handle, given up here.
        unsafe { sys::dittoffi_peer_free(self.0.as_ptr()) };
    }
}

/// A path as a slice of it is taken: in the system's own bytes where paths are bytes, else as text.
#[cfg(unix)]
pub(super) fn path_to_bytes(path: &Path) -> Result<&[u8], DittoError> {
    use std::os::unix::ffi::OsStrExt as _;
    Ok(path.as_os_str().as_bytes())
}

/// A path as a slice of it is taken: in the system's own bytes where paths are bytes, else as text.
#[cfg(not(unix))]
pub(super) fn path_to_bytes(path: &Path) -> Result<&[u8], DittoError> {
    path.to_str().map(str::as_bytes).ok_or_else(|| not_unicode(path))
}

/// A path as the library takes it: in the system's own bytes where paths are bytes, else as text.
#[cfg(unix)]
pub(crate) fn path_to_cbor(path: &Path) -> Result<CborValue, DittoError> {
    use std::os::unix::ffi::OsStrExt as _;
    Ok(match path.to_str() {
        Some(text) => text.into(),
        None => CborValue::Bytes(path.as_os_str().as_bytes().to_vec()),
    })
}

/// A path as the library takes it: in the system's own bytes where paths are bytes, else as text.
#[cfg(not(unix))]
pub(crate) fn path_to_cbor(path: &Path) -> Result<CborValue, DittoError> {
    path.to_str().map(CborValue::from).ok_or_else(|| not_unicode(path))
}

#[cfg(not(unix))]
fn not_unicode(path: &Path) -> DittoError {
    DittoError::new(crate::error::ErrorKind::IO, format!("the path {} is not valid Unicode", path.display()))
}

#[cfg(unix)]
fn path_from_bytes(path: Buffer) -> Result<PathBuf, DittoError> {
    use std::{ffi::OsString, os::unix::ffi::OsStringExt as _};
    Ok(OsString::from_vec(path.to_vec()).into())
}

#[cfg(not(unix))]
fn path_from_bytes(path: Buffer) -> Result<PathBuf, DittoError> {
    path.into_text().map(PathBuf::from)
}
