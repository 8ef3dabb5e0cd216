//! Callbacks: what to call, with what, and how to let go of it.
//!
//! Each triple is taken over by value. Whatever becomes of it, also when the function that took it fails, `release` is
//! called exactly once, when the library will not call `call` again.

use std::{ffi::c_void, ops::ControlFlow, ptr};

use crate::{
    error::{Error, ErrorCode},
    observer::Signal,
    query_result::QueryResult,
    slice::Slice,
    transaction::Transaction,
};

/// Called with each result of an observed query.
///
/// `call` gets `context`, a result and a signal, both owned by it: free the result with `dittoffi_query_result_free`,
/// give the signal to `dittoffi_signal_next` when the next change is wanted. It runs on a thread of the library, never
/// twice at once, and may call any function of the library. It must return normally: an exception or a panic must not
/// leave it. `release` gets `context` once, after the last call; it may be `NULL`.
#[repr(C)]
#[derive(Debug)]
pub struct ChangeCallback {
    /// Handed to both functions; `NULL` is allowed. Must be usable from any thread.
    pub context: *mut c_void,
    /// Takes the next result.
    pub call:
        Option<unsafe extern "C" fn(context: *mut c_void, result: *mut QueryResult, signal: *mut Signal)>,
    /// Lets go of `context`.
    pub release: Option<unsafe extern "C" fn(context: *mut c_void)>,
}

/// Called with the outcome of beginning a transaction.
///
/// `call` gets `context` and either an error or a transaction, the other being `NULL`; it owns what it gets: free the
/// error with `dittoffi_error_free`, the transaction with `dittoffi_transaction_free`. It is called once if the function
/// that took the callback succeeded, and never if it failed; on the thread of that function before it returns, or on a
/// thread of the library. It may call any function of the library. It must return normally: an exception or a panic must
/// not leave it. `release` gets `context` once, after the call; it may be `NULL`.
#[repr(C)]
#[derive(Debug)]
pub struct BegunCallback {
    /// Handed to both functions; `NULL` is allowed. Must be usable from any thread.
    pub context: *mut c_void,
    /// Takes the outcome.
    pub call:
        Option<unsafe extern "C" fn(context: *mut c_void, error: *mut Error, transaction: *mut Transaction)>,
    /// Lets go of `context`.
    pub release: Option<unsafe extern "C" fn(context: *mut c_void)>,
}

/// Called with the outcome of a statement.
///
/// `call` gets `context` and either an error or a result, the other being `NULL`; it owns what it gets: free the error
/// with `dittoffi_error_free`, the result with `dittoffi_query_result_free`. It is called once if the function that took
/// the callback succeeded, and never if it failed; on the thread of that function before it returns, or on a thread of
/// the library. `is_wanted` is asked before the statement is run; if it answers `false` nothing is done, and `call` gets
/// an error. It may be `NULL`: always. All may call any function of the library, and must return normally: an exception
/// or a panic must not leave them. `release` gets `context` once, after the call; it may be `NULL`.
#[repr(C)]
#[derive(Debug)]
pub struct ExecutedCallback {
    /// Handed to all functions; `NULL` is allowed. Must be usable from any thread.
    pub context: *mut c_void,
    /// Takes the outcome.
    pub call: Option<unsafe extern "C" fn(context: *mut c_void, error: *mut Error, result: *mut QueryResult)>,
    /// Whether the statement is still to be run.
    pub is_wanted: Option<unsafe extern "C" fn(context: *mut c_void) -> bool>,
    /// Lets go of `context`.
    pub release: Option<unsafe extern "C" fn(context: *mut c_void)>,
}

/// Called with each log line.
///
/// `call` gets `context`, a `dittoffi_log_level_t` and the text, which is borrowed for the call. It runs on the thread
/// that logs, on several at once, maybe in the middle of a call of the application's own: it must not call the library.
/// It must return normally. `release` gets `context` once, after the last call; it may be `NULL`.
#[repr(C)]
#[derive(Debug)]
pub struct LogCallback {
    /// Handed to both functions; `NULL` is allowed. Must be usable from any thread, several at once.
    pub context: *mut c_void,
    /// Takes the next line.
    pub call: Option<unsafe extern "C" fn(context: *mut c_void, level: u8, message: Slice)>,
    /// Lets go of `context`.
    pub release: Option<unsafe extern "C" fn(context: *mut c_void)>,
}

/// Called while a function does something that may take long.
///
/// `call` gets `context`, how much is done, and how much there is to do in all, which may grow; its answer is whether to go
/// on. If it is not, the function fails with `DITTOFFI_ERROR_CODE_CANCELLED`; the answer of the last call, when all is done,
/// does not matter. It runs on the thread of that function, before that returns, and may call any function of the library.
/// It must return normally. `call` is `NULL` if nobody wants to know. `release` gets `context` once, after the last call
/// and before that function returns; it may be `NULL`.
#[repr(C)]
#[derive(Debug)]
pub struct ProgressCallback {
    /// Handed to both functions; `NULL` is allowed.
    pub context: *mut c_void,
    /// Takes how far it is, answers whether to go on.
    pub call: Option<unsafe extern "C" fn(context: *mut c_void, done: u64, total: u64) -> bool>,
    /// Lets go of `context`.
    pub release: Option<unsafe extern "C" fn(context: *mut c_void)>,
}

/// Called with what a directory holds.
///
/// `call` gets `context` and the JSON that `dittoffi_peer_disk_usage` describes, which is borrowed for the call. It runs on
/// a thread of the library, never twice at once, and may call any function of the library. It must return normally: an
/// exception or a panic must not leave it. `release` gets `context` once, after the last call; it may be `NULL`.
#[repr(C)]
#[derive(Debug)]
pub struct DiskUsageCallback {
    /// Handed to both functions; `NULL` is allowed. Must be usable from any thread.
    pub context: *mut c_void,
    /// Takes the next tree.
    pub call: Option<unsafe extern "C" fn(context: *mut c_void, usage: Slice)>,
    /// Lets go of `context`.
    pub release: Option<unsafe extern "C" fn(context: *mut c_void)>,
}

/// A context and the duty to release it.
#[derive(Debug)]
struct Context {
    pointer: *mut c_void,
    release: Option<unsafe extern "C" fn(*mut c_void)>,
}

// SAFETY: the callbacks' contract says that the context may be used from any thread, several at once where the callback
// is; the library itself never looks into it.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

impl Drop for Context {
    fn drop(&mut self) {
        if let Some(release) = self.release {
            // SAFETY: the caller promised that `release` takes this context; a Context is not Clone, so this is the
            // only time.
            unsafe { release(self.pointer) };
        }
    }
}

/// A [`ChangeCallback`] taken over.
#[derive(Debug)]
pub(crate) struct OnChange {
    context: Context,
    call: unsafe extern "C" fn(*mut c_void, *mut QueryResult, *mut Signal),
}

impl OnChange {
    /// Takes the callback over; on failure it is released.
    pub(crate) fn new(callback: ChangeCallback) -> Result<Self, Error> {
        let context = Context { pointer: callback.context, release: callback.release };
        Ok(Self { context, call: callback.call.ok_or_else(missing)? })
    }

    /// `&mut self`: calls never overlap.
    pub(crate) fn call(&mut self, result: *mut QueryResult, signal: *mut Signal) {
        // SAFETY: the caller promised that `call` takes this context; both handles are fresh and owned by it.
        unsafe { (self.call)(self.context.pointer, result, signal) };
    }
}

/// A callback that gets an outcome once, taken over: an error, or a handle to a `T`.
#[derive(Debug)]
pub(crate) struct OnOutcome<T> {
    context: Context,
    call: unsafe extern "C" fn(*mut c_void, *mut Error, *mut T),
    is_wanted: Option<unsafe extern "C" fn(*mut c_void) -> bool>,
}

impl OnOutcome<Transaction> {
    /// Takes the callback over; on failure it is released.
    pub(crate) fn begun(callback: BegunCallback) -> Result<Self, Error> {
        let context = Context { pointer: callback.context, release: callback.release };
        Ok(Self { context, call: callback.call.ok_or_else(missing)?, is_wanted: None })
    }
}

impl OnOutcome<QueryResult> {
    /// Takes the callback over; on failure it is released.
    pub(crate) fn executed(callback: ExecutedCallback) -> Result<Self, Error> {
        let context = Context { pointer: callback.context, release: callback.release };
        Ok(Self { context, call: callback.call.ok_or_else(missing)?, is_wanted: callback.is_wanted })
    }
}

impl<T> OnOutcome<T> {
    /// From now on the caller counts on being called.
    pub(crate) fn expected(self) -> Expected<T> {
        Expected(Some(self))
    }

    fn call(self, outcome: Result<*mut T, Error>) {
        let (error, handle) = match outcome {
            Ok(handle) => (ptr::null_mut(), handle),
            Err(error) => (error.into_raw(), ptr::null_mut()),
        };
        // SAFETY: the caller promised that `call` takes this context; the handle is fresh and owned by it.
        unsafe { (self.call)(self.context.pointer, error, handle) };
    }
}

/// An [`OnOutcome`] that is called whatever happens.
#[derive(Debug)]
pub(crate) struct Expected<T>(Option<OnOutcome<T>>);

impl<T> Expected<T> {
    pub(crate) fn is_wanted(&self) -> bool {
        let Some(OnOutcome { context, is_wanted: Some(is_wanted), .. }) = &self.0 else { return true };
        // SAFETY: the caller promised that `is_wanted` takes this context, which is not released yet.
        unsafe { is_wanted(context.pointer) }
    }

    pub(crate) fn call(mut self, outcome: Result<*mut T, Error>) {
        if let Some(callback) = self.0.take() {
            callback.call(outcome);
        }
    }
}

impl<T> Drop for Expected<T> {
    fn drop(&mut self) {
        if let Some(callback) = self.0.take() {
            callback.call(Err(Error::new(
                ErrorCode::PeerClosed,
                "the peer was closed, or this was not wanted any more, before its turn came",
            )));
        }
    }
}

/// A [`LogCallback`] taken over.
#[derive(Debug)]
pub(crate) struct OnLog {
    context: Context,
    call: unsafe extern "C" fn(*mut c_void, u8, Slice),
}

impl OnLog {
    /// Takes the callback over; on failure it is released.
    pub(crate) fn new(callback: LogCallback) -> Result<Self, Error> {
        let context = Context { pointer: callback.context, release: callback.release };
        Ok(Self { context, call: callback.call.ok_or_else(missing)? })
    }

    pub(crate) fn call(&self, level: u8, message: &str) {
        // SAFETY: the caller promised that `call` takes this context, from any thread; the message outlives the call.
        unsafe { (self.call)(self.context.pointer, level, Slice::borrowed(message.as_bytes())) };
    }
}

/// A [`ProgressCallback`] taken over.
#[derive(Debug)]
pub(crate) struct OnProgress {
    context: Context,
    call: Option<unsafe extern "C" fn(*mut c_void, u64, u64) -> bool>,
}

impl OnProgress {
    /// Takes the callback over.
    pub(crate) fn new(callback: ProgressCallback) -> Self {
        let context = Context { pointer: callback.context, release: callback.release };
        Self { context, call: callback.call }
    }

    /// Breaks if the caller does not want to go on.
    pub(crate) fn call(&mut self, done: u64, total: u64) -> ControlFlow<()> {
        let Some(call) = self.call else { return ControlFlow::Continue(()) };
        // SAFETY: the caller promised that `call` takes this context, on the thread of the function that took it.
        let goes_on = unsafe { call(self.context.pointer, done, total) };
        if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

/// A [`DiskUsageCallback`] taken over.
#[derive(Debug)]
pub(crate) struct OnDiskUsage {
    context: Context,
    call: unsafe extern "C" fn(*mut c_void, Slice),
}

impl OnDiskUsage {
    /// Takes the callback over; on failure it is released.
    pub(crate) fn new(callback: DiskUsageCallback) -> Result<Self, Error> {
        let context = Context { pointer: callback.context, release: callback.release };
        Ok(Self { context, call: callback.call.ok_or_else(missing)? })
    }

    /// `&mut self`: calls never overlap.
    pub(crate) fn call(&mut self, usage: &str) {
        // SAFETY: the caller promised that `call` takes this context; the text outlives the call.
        unsafe { (self.call)(self.context.pointer, Slice::borrowed(usage.as_bytes())) };
    }
}

fn missing() -> Error {
    Error::new(ErrorCode::InvalidInput, "the callback's `call` is NULL")
}

#[cfg(test)]
mod tests {
    use std::{
        ptr,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    unsafe extern "C" fn release(context: *mut c_void) {
        // SAFETY: the tests below pass an AtomicUsize that outlives the callback.
        unsafe { &*context.cast::<AtomicUsize>() }.fetch_add(1, Ordering::Relaxed);
    }

    unsafe extern "C" fn ignore(_: *mut c_void, _: *mut QueryResult, _: *mut Signal) {}

    #[test]
    fn a_context_is_released_exactly_once() {
        let releases = AtomicUsize::new(0);
        let context = ptr::from_ref(&releases).cast_mut().cast();
        let callback = |call| ChangeCallback { context, call, release: Some(release) };
        let mut taken = OnChange::new(callback(Some(ignore))).unwrap();
        taken.call(ptr::null_mut(), ptr::null_mut());
        assert_eq!(releases.load(Ordering::Relaxed), 0);
        drop(taken);
        assert_eq!(releases.load(Ordering::Relaxed), 1);
        assert!(OnChange::new(callback(None)).is_err());
        assert_eq!(releases.load(Ordering::Relaxed), 2);
    }

    unsafe extern "C" fn until_it_is_done(context: *mut c_void, done: u64, total: u64) -> bool {
        // SAFETY: as in `release`.
        unsafe { &*context.cast::<AtomicUsize>() }.fetch_add(10, Ordering::Relaxed);
        done < total
    }

    #[test]
    fn progress_is_told_to_whoever_wants_to_know_and_they_may_end_it() {
        let count = AtomicUsize::new(0);
        let context = ptr::from_ref(&count).cast_mut().cast();
        let callback = |call| OnProgress::new(ProgressCallback { context, call, release: Some(release) });
        let mut progress = callback(Some(until_it_is_done));
        assert!(progress.call(1, 2).is_continue());
        assert!(progress.call(2, 2).is_break());
        drop(progress);
        assert_eq!(count.swap(0, Ordering::Relaxed), 21);
        assert!(callback(None).call(2, 2).is_continue());
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }

    unsafe extern "C" fn outcome(context: *mut c_void, error: *mut Error, transaction: *mut Transaction) {
        assert!(!error.is_null() && transaction.is_null());
        // SAFETY: the error is this function's own; the context as in `release`.
        unsafe {
            crate::error::dittoffi_error_free(error);
            (*context.cast::<AtomicUsize>()).fetch_add(100, Ordering::Relaxed);
        }
    }

    #[test]
    fn who_waits_for_a_transaction_is_called_once_whatever_happens() {
        let count = AtomicUsize::new(0);
        let context = ptr::from_ref(&count).cast_mut().cast();
        let callback = |call| OnOutcome::begun(BegunCallback { context, call, release: Some(release) });
        drop(callback(Some(outcome)).unwrap());
        assert_eq!(count.swap(0, Ordering::Relaxed), 1, "not expected, so not called");
        assert!(callback(None).is_err());
        assert_eq!(count.swap(0, Ordering::Relaxed), 1);
        drop(callback(Some(outcome)).unwrap().expected());
        assert_eq!(count.swap(0, Ordering::Relaxed), 101);
        callback(Some(outcome)).unwrap().expected().call(Err(missing()));
        assert_eq!(count.swap(0, Ordering::Relaxed), 101);
        assert!(callback(Some(outcome)).unwrap().expected().is_wanted());
    }
}
