//! What a statement returned.

use ditto_store::QueryResult as StoreResult;
use ditto_value::Value;

use crate::{
    error::{Error, ErrorCode},
    handle, panic,
    slice::Buffer,
};

/// What a statement returned: items, ids of mutated documents, the commit. Immutable. Items stay in the database's own
/// binary form and are converted one by one when they are asked for.
#[derive(Debug)]
pub struct QueryResult(StoreResult);

impl QueryResult {
    pub(crate) fn into_raw(result: StoreResult) -> *mut Self {
        handle::new(Self(result))
    }

    fn item(&self, index: usize) -> Result<ditto_value::ValueRef<'_>, Error> {
        let row = self.0.rows.get(index).ok_or_else(|| {
            Error::new(
                ErrorCode::InvalidInput,
                format!("there is no item {index}: the result has {}", self.0.rows.len()),
            )
        })?;
        Ok(row.value())
    }
}

/// How many items the result has; 0 for `NULL`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_query_result_item_count(result: *const QueryResult) -> usize {
    // SAFETY: the caller passes NULL or a live handle.
    unsafe { result.as_ref() }.map_or(0, |result| result.0.rows.len())
}

/// Item `index` (from 0) as one CBOR data item.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_query_result_item_cbor(
    result: *const QueryResult,
    index: usize,
    out: *mut Buffer,
) -> *mut Error {
    panic::contain(|| {
        // SAFETY: the caller passes NULL or a live handle.
        let item = unsafe { handle::borrow(result, "query result") }?.item(index)?;
        // SAFETY: the caller passes NULL or a place for a buffer.
        unsafe {
            handle::store(out, "item", || {
                let mut cbor = Vec::new();
                item.write_cbor(&mut cbor);
                cbor.into()
            })
        }
    })
}

/// Item `index` (from 0) as JSON text, without white space.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_query_result_item_json(
    result: *const QueryResult,
    index: usize,
    out: *mut Buffer,
) -> *mut Error {
    panic::contain(|| {
        // SAFETY: the caller passes NULL or a live handle.
        let item = unsafe { handle::borrow(result, "query result") }?.item(index)?;
        // SAFETY: the caller passes NULL or a place for a buffer.
        unsafe {
            handle::store(out, "item", || {
                let mut json = String::new();
                item.write_json(&mut json);
                json.into()
            })
        }
    })
}

/// All items at once as a CBOR sequence: as many data items as there are items, one after the other.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_query_result_items_cbor(
    result: *const QueryResult,
    out: *mut Buffer,
) -> *mut Error {
    panic::contain(|| {
        // SAFETY: the caller passes NULL or a live handle.
        let result = unsafe { handle::borrow(result, "query result") }?;
        // SAFETY: the caller passes NULL or a place for a buffer.
        unsafe {
            handle::store(out, "items", || {
                let mut cbor = Vec::new();
                for row in &result.0.rows {
                    row.value().write_cbor(&mut cbor);
                }
                cbor.into()
            })
        }
    })
}

/// The ids of the documents that the statement changed, as one CBOR array.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_query_result_mutated_ids_cbor(
    result: *const QueryResult,
    out: *mut Buffer,
) -> *mut Error {
    panic::contain(|| {
        // SAFETY: the caller passes NULL or a live handle.
        let result = unsafe { handle::borrow(result, "query result") }?;
        // SAFETY: the caller passes NULL or a place for a buffer.
        unsafe {
            handle::store(out, "mutated ids", || Value::Array(result.0.mutated_ids.clone()).to_cbor().into())
        }
    })
}

/// The number of the commit that a mutating statement made, or of the last one before it when it changed nothing. 0 for
/// other statements, for results that an observer delivers, and for `NULL`. In a transaction: 0 until it is committed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_query_result_commit_id(result: *const QueryResult) -> u64 {
    // SAFETY: the caller passes NULL or a live handle.
    unsafe { result.as_ref() }.and_then(|result| result.0.committed_as()).unwrap_or(0)
}

/// Another handle to the same result, to be freed like the first.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_query_result_clone(result: *const QueryResult) -> *mut QueryResult {
    // SAFETY: the caller passes NULL or a live handle.
    unsafe { handle::clone(result) }
}

/// Frees a handle to a result.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_query_result_free(result: *mut QueryResult) {
    // SAFETY: the caller passes NULL or a live handle that it gives up.
    panic::contain_or((), || unsafe { handle::free(result) });
}
