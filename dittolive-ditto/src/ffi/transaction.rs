//! Transactions.

use std::{
    ffi::c_void,
    ptr::{self, NonNull},
};

use dittolive_ditto_sys as sys;

use super::{
    bytes::{self, Buffer},
    error::check,
    outcome::{self, Outcome},
    peer::{Peer, handle},
    query_result::QueryResult,
};
use crate::error::DittoError;

/// A handle to a transaction, which is rolled back when it is dropped without a commit.
pub(crate) struct Transaction(NonNull<sys::dittoffi_transaction_t>);

// SAFETY: handles may be used and freed on any thread, several at once.
unsafe impl Send for Transaction {}
// SAFETY: see above.
unsafe impl Sync for Transaction {}

impl Transaction {
    /// `arguments` is a CBOR map, or empty.
    pub(crate) fn execute(&self, query: &str, arguments: &[u8]) -> Result<QueryResult, DittoError> {
        let (query, arguments) = (bytes::borrow(query.as_bytes()), bytes::borrow(arguments));
        // SAFETY: a live handle, slices borrowed for the call; `out` is a place for a handle.
        handle(QueryResult::from_raw, |out| unsafe {
            sys::dittoffi_transaction_execute(self.0.as_ptr(), query, arguments, out)
        })
    }

    pub(crate) fn commit(&self) -> Result<(), DittoError> {
        // SAFETY: a live handle; the number is not wanted.
        check(unsafe { sys::dittoffi_transaction_commit(self.0.as_ptr(), ptr::null_mut()) })
    }

    pub(crate) fn id(&self) -> Result<String, DittoError> {
        // SAFETY: a live handle; `out` is a place for a buffer.
        Buffer::from_call(|out| unsafe { sys::dittoffi_transaction_id(self.0.as_ptr(), out) })?.into_text()
    }

    /// While the guard lives, what runs on this thread is inside of the transaction.
    pub(crate) fn enter(&self) -> Inside<'_> {
        // SAFETY: a live handle.
        unsafe { sys::dittoffi_transaction_enter(self.0.as_ptr()) };
        Inside { transaction: self, on_this_thread: ptr::null() }
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        // SAFETY: our handle, given up here.
        unsafe { sys::dittoffi_transaction_free(self.0.as_ptr()) };
    }
}

/// See [`Transaction::enter`]. Stays on its thread.
pub(crate) struct Inside<'transaction> {
    transaction: &'transaction Transaction,
    /// What makes it stay.
    on_this_thread: *const (),
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let _ = self.on_this_thread;
        // SAFETY: a live handle, entered on this thread, which the guard cannot have left.
        unsafe { sys::dittoffi_transaction_leave(self.transaction.0.as_ptr()) };
    }
}

impl Peer {
    /// Begins a transaction. Dropping the future before it is ready gives the place in the queue up.
    pub(crate) fn begin_transaction(
        &self,
        hint: &str,
        is_read_only: bool,
    ) -> Result<Outcome<Transaction>, DittoError> {
        let begin = Outcome::default();
        let callback = sys::dittoffi_begun_callback_t {
            context: begin.context(),
            call: Some(call),
            release: Some(outcome::release::<Transaction>),
        };
        // SAFETY: a live handle, a slice borrowed for the call, the callback is taken over also on failure.
        check(unsafe {
            sys::dittoffi_peer_begin_transaction(
                self.as_ptr(),
                bytes::borrow(hint.as_bytes()),
                is_read_only,
                callback,
            )
        })?;
        Ok(begin)
    }
}

/// # Safety
/// Called with the context of [`Peer::begin_transaction`] before its release, and with handles that it may keep.
unsafe extern "C" fn call(
    context: *mut c_void,
    error: *mut sys::dittoffi_error_t,
    transaction: *mut sys::dittoffi_transaction_t,
) {
    let transaction = NonNull::new(transaction).map(Transaction);
    // SAFETY: made by `begin_transaction` and not yet released.
    unsafe { outcome::deliver(context, check(error), transaction) };
}
