//! The arguments of the C functions. This file plays a C program that passes whatever it has.

use std::ffi::c_void;
use std::ptr;
use std::sync::Mutex;

use ditto_value::{Object, Value};
use dittoffi::callback::ChangeCallback;
use dittoffi::error::{
    DittoffiErrorCode as ErrorCode, Error, dittoffi_error_code, dittoffi_error_free, dittoffi_error_message,
};
use dittoffi::observer::{
    Observer, Signal, dittoffi_observer_free, dittoffi_peer_observe, dittoffi_signal_free,
};
use dittoffi::peer::{
    Peer, dittoffi_peer_execute, dittoffi_peer_free, dittoffi_peer_open, dittoffi_peer_set_device_name,
    dittoffi_peer_set_transport_config,
};
use dittoffi::query_result::{
    QueryResult, dittoffi_query_result_free, dittoffi_query_result_item_cbor,
    dittoffi_query_result_item_count, dittoffi_query_result_item_json,
    dittoffi_query_result_mutated_ids_cbor,
};
use dittoffi::slice::{Buffer, Slice, dittoffi_buffer_free};
use dittoffi::subscription::{
    Subscription, dittoffi_peer_subscribe, dittoffi_subscription_cancel, dittoffi_subscription_free,
};

use crate::input::Input;

/// Inputs that one peer bears; what they write is kept until then.
const INPUTS_OF_A_PEER: u32 = 500;
/// Longer statements take longer and find nothing else.
const MAX_TEXT: usize = 2_000;

/// A peer in memory and how many inputs it has borne.
struct Shared {
    peer: *mut Peer,
    inputs: u32,
    /// Where its key lives.
    directory: Option<tempfile::TempDir>,
}

// SAFETY: handles may be used and freed on any thread (the header says so); the mutex gives them to one at a time.
unsafe impl Send for Shared {}

static SHARED: Mutex<Shared> = Mutex::new(Shared { peer: ptr::null_mut(), inputs: 0, directory: None });

/// A byte for the function, one for the statement, and what the function takes.
pub fn abi(data: &[u8]) {
    let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if shared.inputs.is_multiple_of(INPUTS_OF_A_PEER) {
        open_another(&mut shared);
    }
    shared.inputs += 1;
    let peer = shared.peer;
    let mut input = Input(data);
    match input.byte() % 6 {
        0 | 1 => execute(peer, &mut input),
        2 => observe(peer, &mut input),
        3 => subscribe(peer, &mut input),
        4 => configure(peer, input.0),
        _ => open(input.0),
    }
}

fn slice(bytes: &[u8]) -> Slice {
    Slice { ptr: bytes.as_ptr(), len: bytes.len() }
}

/// Frees an error after a look at it. Returns whether there was one.
fn failed(error: *mut Error) -> bool {
    if error.is_null() {
        return false;
    }
    // SAFETY: the handle was returned just now, the message is read before it is freed, and it is freed once.
    let (code, message) = unsafe {
        let message = dittoffi_error_message(error);
        let text = std::slice::from_raw_parts(message.ptr, message.len);
        let found = (dittoffi_error_code(error), String::from_utf8_lossy(text).into_owned());
        dittoffi_error_free(error);
        found
    };
    assert_ne!(code, ErrorCode::Internal as u32, "something inside failed: {message}");
    assert!(!message.is_empty());
    true
}

fn text_and_arguments<'a>(input: &mut Input<'a>) -> (&'a [u8], &'a [u8]) {
    const STATEMENTS: [&str; 8] = [
        "INSERT INTO plants DOCUMENTS (:d) ON ID CONFLICT DO UPDATE",
        "INSERT INTO plants DOCUMENTS (:d), (:e) ON ID CONFLICT DO NOTHING",
        "UPDATE plants SET a = :a, m.b = :b WHERE _id = :id",
        "UPDATE plants APPLY n INCREMENT BY :by WHERE _id IN :ids",
        "SELECT * FROM plants WHERE a = :a OR m.b < :b OR _id IN :ids ORDER BY a LIMIT 5",
        "SELECT :a AS a, :d AS d, :ids AS ids FROM system:dual",
        "DELETE FROM plants WHERE _id = :id OR _id IN :ids",
        "ALTER SYSTEM SET user_collection_sync_scopes TO :d",
    ];
    let which = usize::from(input.byte());
    match STATEMENTS.get(which % 10) {
        Some(statement) => (statement.as_bytes(), input.0),
        None => {
            let text = input.slice();
            (text.get(..MAX_TEXT).unwrap_or(text), input.0)
        }
    }
}

fn execute(peer: *mut Peer, input: &mut Input<'_>) {
    let (text, arguments) = text_and_arguments(input);
    let mut result: *mut QueryResult = ptr::null_mut();
    // SAFETY: the handle lives, the slices outlive the call, and the place for the result is ours.
    if failed(unsafe { dittoffi_peer_execute(peer, slice(text), slice(arguments), &raw mut result) }) {
        assert!(result.is_null());
        return;
    }
    // SAFETY: the handle was returned just now.
    let items = unsafe { dittoffi_query_result_item_count(result) };
    for index in [0, items.saturating_sub(1), items] {
        for read in [dittoffi_query_result_item_cbor, dittoffi_query_result_item_json] {
            let mut buffer = Buffer { ptr: ptr::null_mut(), len: 0, capacity: 0 };
            // SAFETY: the handle lives; the buffer is ours to fill in and is freed once.
            unsafe {
                assert_eq!(failed(read(result, index, &raw mut buffer)), index >= items);
                dittoffi_buffer_free(buffer);
            }
        }
    }
    let mut buffer = Buffer { ptr: ptr::null_mut(), len: 0, capacity: 0 };
    // SAFETY: as above; the result is freed once and not used after.
    unsafe {
        assert!(!failed(dittoffi_query_result_mutated_ids_cbor(result, &raw mut buffer)));
        dittoffi_buffer_free(buffer);
        dittoffi_query_result_free(result);
    }
}

unsafe extern "C" fn changed(_context: *mut c_void, result: *mut QueryResult, signal: *mut Signal) {
    // SAFETY: both are owned by the callback and freed once.
    unsafe {
        dittoffi_query_result_free(result);
        dittoffi_signal_free(signal);
    }
}

fn observe(peer: *mut Peer, input: &mut Input<'_>) {
    let (text, arguments) = text_and_arguments(input);
    let callback = ChangeCallback { context: ptr::null_mut(), call: Some(changed), release: None };
    let mut observer: *mut Observer = ptr::null_mut();
    // SAFETY: the handle lives, the slices outlive the call, the callback needs no context, the place is ours, and the
    // observer is freed once.
    unsafe {
        let error = dittoffi_peer_observe(peer, slice(text), slice(arguments), callback, &raw mut observer);
        assert_eq!(failed(error), observer.is_null());
        dittoffi_observer_free(observer);
    }
}

fn subscribe(peer: *mut Peer, input: &mut Input<'_>) {
    let (text, arguments) = text_and_arguments(input);
    let mut subscription: *mut Subscription = ptr::null_mut();
    // SAFETY: as for an observer.
    unsafe {
        let error = dittoffi_peer_subscribe(peer, slice(text), slice(arguments), &raw mut subscription);
        assert_eq!(failed(error), subscription.is_null());
        dittoffi_subscription_cancel(subscription);
        dittoffi_subscription_free(subscription);
    }
}

/// Sync is not active, so nothing is listened on or dialled.
fn configure(peer: *mut Peer, bytes: &[u8]) {
    // SAFETY: the handle lives, the slices outlive the calls, the buffer is ours and freed once.
    unsafe {
        let mut problems = Buffer { ptr: ptr::null_mut(), len: 0, capacity: 0 };
        let _ = failed(dittoffi_peer_set_transport_config(peer, slice(bytes), &raw mut problems));
        dittoffi_buffer_free(problems);
        let _ = failed(dittoffi_peer_set_device_name(peer, slice(bytes)));
    }
}

/// A configuration that is never complete: the directory would be anywhere.
fn open(bytes: &[u8]) {
    let config = match Value::from_cbor(bytes) {
        Ok(Value::Object(mut config)) => {
            if matches!(config.get("directory"), Some(Value::String(_) | Value::Bytes(_))) {
                config.insert("directory", 1);
            }
            Value::Object(config).to_cbor()
        }
        _ => bytes.to_vec(),
    };
    let mut peer: *mut Peer = ptr::null_mut();
    // SAFETY: the slice outlives the call, and the place is ours.
    let error = unsafe { dittoffi_peer_open(slice(&config), &raw mut peer) };
    assert!(failed(error) && peer.is_null());
}

fn open_another(shared: &mut Shared) {
    // SAFETY: NULL, or the handle that was stored below; it is not used again.
    unsafe { dittoffi_peer_free(shared.peer) };
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_str().expect("text").to_owned();
    let config = Object::from([
        ("database_id", Value::from("attacks")),
        ("connect", Object::from([("type", "small_peers_only")]).into()),
        ("directory", Value::from(path)),
        ("in_memory", Value::Bool(true)),
    ]);
    let config = Value::Object(config).to_cbor();
    let mut peer: *mut Peer = ptr::null_mut();
    // SAFETY: the slice outlives the call, and the place is ours.
    assert!(!failed(unsafe { dittoffi_peer_open(slice(&config), &raw mut peer) }));
    (shared.peer, shared.directory) = (peer, Some(directory));
}
