//! Transactions: several statements that happen together or not at all.

use ditto_store::{Transaction as StoreTransaction, TransactionKind, TransactionOptions};

use crate::{
    callback::{BegunCallback, OnOutcome},
    config,
    error::Error,
    handle, panic,
    peer::Peer,
    query_result::QueryResult,
    slice::{Buffer, Slice},
};

/// An open transaction, or what is left of one that has ended: a handle that answers with errors. It is rolled back when
/// its last handle is freed without a commit. Calls from several threads take turns.
pub struct Transaction(StoreTransaction);

impl Transaction {
    pub(crate) fn into_raw(transaction: StoreTransaction) -> *mut Self {
        handle::new(Self(transaction))
    }
}

/// Begins a transaction, without blocking. A read-write one is alone: it begins when the writers before it, plain
/// mutating statements included, are done, in the order in which they came. A read-only one sees one moment and begins
/// at once, beside whatever else is open. `hint` names it in logs and errors, and may be empty.
///
/// The callback gets the transaction, or why there is none: the peer is closed, this is inside of another read-write
/// transaction (see `dittoffi_transaction_enter`: `DITTOFFI_ERROR_CODE_STORE_TRANSACTION_NESTED`), or another writer
/// went on for longer than the system parameter `TRANSACTION_WAIT_TIMEOUT_MS`
/// (`DITTOFFI_ERROR_CODE_STORE_TRANSACTION_TIMEOUT`). If there is nothing to wait for it is called before this function
/// returns, on the same thread.
///
/// The callback is taken over: its `release` is called exactly once, also when this function fails.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_peer_begin_transaction(
    peer: *const Peer,
    hint: Slice,
    is_read_only: bool,
    callback: BegunCallback,
) -> *mut Error {
    panic::contain(|| {
        let callback = OnOutcome::begun(callback)?;
        // SAFETY: the caller passes NULL or a live handle, and a slice that it keeps for the call.
        let (peer, hint) = unsafe { (handle::borrow(peer, "peer")?, hint.text("the hint")?) };
        let kind = if is_read_only { TransactionKind::ReadOnly } else { TransactionKind::ReadWrite };
        let hint = (!hint.is_empty()).then(|| hint.to_owned());
        let begun = callback.expected();
        peer.engine().store().begin_later(TransactionOptions { kind, hint }, move |outcome| {
            begun.call(outcome.map(Transaction::into_raw).map_err(Error::from));
        });
        Ok(())
    })
}

/// Runs a statement in a transaction, as `dittoffi_peer_execute` does without one. It sees what earlier statements of the
/// transaction wrote. One that fails has no effect and does not end the transaction.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_transaction_execute(
    transaction: *const Transaction,
    query: Slice,
    arguments: Slice,
    out: *mut *mut QueryResult,
) -> *mut Error {
    panic::contain(|| {
        // SAFETY: the caller passes NULL or a live handle, and slices that it keeps for the call.
        let (transaction, query, arguments) = unsafe {
            let transaction = handle::borrow(transaction, "transaction")?;
            let arguments = config::arguments_binary(arguments.bytes("the arguments")?)?;
            (transaction, query.text("the query")?, arguments)
        };
        handle::require(out, "result")?;
        let result = transaction.0.execute(query, arguments.value())?;
        // SAFETY: the caller passes NULL or a place for a handle.
        unsafe { handle::store(out, "result", || QueryResult::into_raw(result)) }
    })
}

/// Ends a transaction: everything in it happens at once. Blocks until it survives a crash of the process.
/// `commit_id` gets the number of the commit, 0 for a read-only transaction; it may be `NULL`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_transaction_commit(
    transaction: *const Transaction,
    commit_id: *mut u64,
) -> *mut Error {
    panic::contain(|| {
        // SAFETY: the caller passes NULL or a live handle.
        let committed = unsafe { handle::borrow(transaction, "transaction") }?.0.commit()?;
        if !commit_id.is_null() {
            // SAFETY: not NULL, so the caller passes a place for a number.
            unsafe { commit_id.write(committed.unwrap_or(0)) };
        }
        Ok(())
    })
}

/// Ends a transaction: nothing of it happens. Does nothing if it has ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_transaction_rollback(transaction: *const Transaction) {
    panic::contain_or((), || {
        // SAFETY: the caller passes NULL or a live handle.
        if let Some(transaction) = unsafe { transaction.as_ref() } {
            transaction.0.rollback();
        }
    });
}

/// Says that the code which runs on this thread belongs to the transaction, until `dittoffi_transaction_leave`. While a
/// read-write transaction is open, other writers wait for its end; one that is started from inside of it would wait for
/// ever, and fails with `DITTOFFI_ERROR_CODE_STORE_TRANSACTION_NESTED` instead. Calls nest. A task that moves between
/// threads enters whenever it runs and leaves whenever it pauses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_transaction_enter(transaction: *const Transaction) {
    panic::contain_or((), || {
        // SAFETY: the caller passes NULL or a live handle.
        if let Some(transaction) = unsafe { transaction.as_ref() } {
            transaction.0.enter();
        }
    });
}

/// Ends the newest `dittoffi_transaction_enter` of the transaction on this thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_transaction_leave(transaction: *const Transaction) {
    panic::contain_or((), || {
        // SAFETY: the caller passes NULL or a live handle.
        if let Some(transaction) = unsafe { transaction.as_ref() } {
            transaction.0.leave();
        }
    });
}

/// The id of the transaction as text. No other one has it, anywhere.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_transaction_id(
    transaction: *const Transaction,
    out: *mut Buffer,
) -> *mut Error {
    panic::contain(|| {
        // SAFETY: the caller passes NULL or a live handle.
        let transaction = unsafe { handle::borrow(transaction, "transaction") }?;
        // SAFETY: the caller passes NULL or a place for a buffer.
        unsafe { handle::store(out, "id", || transaction.0.info().id.into()) }
    })
}

/// Another handle to the same transaction, to be freed like the first.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_transaction_clone(transaction: *const Transaction) -> *mut Transaction {
    // SAFETY: the caller passes NULL or a live handle.
    unsafe { handle::clone(transaction) }
}

/// Frees a handle to a transaction; with the last one it is rolled back if it was not committed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_transaction_free(transaction: *mut Transaction) {
    // SAFETY: the caller passes NULL or a live handle that it gives up.
    panic::contain_or((), || unsafe { handle::free(transaction) });
}
