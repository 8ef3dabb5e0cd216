// Generated from dittoffi.h by `cargo run -p ditto-bindings`; do not edit.

pub const DITTOFFI_ABI_FINGERPRINT: &::core::ffi::CStr = c"1270ab0af6bab95d6d417834334163db";
pub const DITTOFFI_ABI_REVISION: u32 = 1;
/// Signing in or out failed.
pub const DITTOFFI_ERROR_CODE_AUTHENTICATION: dittoffi_error_code_t = 1;
/// The configuration is unusable.
pub const DITTOFFI_ERROR_CODE_CONFIG: dittoffi_error_code_t = 2;
/// A fault inside the library, a contained panic included.
pub const DITTOFFI_ERROR_CODE_INTERNAL: dittoffi_error_code_t = 3;
/// Bad user data: a query, document, path, name, argument or pointer.
pub const DITTOFFI_ERROR_CODE_INVALID_INPUT: dittoffi_error_code_t = 4;
/// The file system or the network failed.
pub const DITTOFFI_ERROR_CODE_IO: dittoffi_error_code_t = 5;
/// The license token is bad.
pub const DITTOFFI_ERROR_CODE_LICENSE: dittoffi_error_code_t = 6;
/// Sync was started without a license.
pub const DITTOFFI_ERROR_CODE_NOT_ACTIVATED: dittoffi_error_code_t = 7;
/// There is no such document or path.
pub const DITTOFFI_ERROR_CODE_NON_EXTANT: dittoffi_error_code_t = 8;
/// The peer has been closed.
pub const DITTOFFI_ERROR_CODE_PEER_CLOSED: dittoffi_error_code_t = 9;
/// The feature has been removed.
pub const DITTOFFI_ERROR_CODE_DEPRECATION: dittoffi_error_code_t = 10;
/// The license token has expired.
pub const DITTOFFI_ERROR_CODE_ACTIVATION_LICENSE_TOKEN_EXPIRED: dittoffi_error_code_t = 1000;
/// The license token does not verify.
pub const DITTOFFI_ERROR_CODE_ACTIVATION_LICENSE_TOKEN_INVALID: dittoffi_error_code_t = 1001;
/// The license token was made for a later version.
pub const DITTOFFI_ERROR_CODE_ACTIVATION_LICENSE_UNSUPPORTED_FUTURE_VERSION: dittoffi_error_code_t = 1002;
/// The peer is not activated.
pub const DITTOFFI_ERROR_CODE_ACTIVATION_NOT_ACTIVATED: dittoffi_error_code_t = 1003;
/// The peer needs no activation.
pub const DITTOFFI_ERROR_CODE_ACTIVATION_UNNECESSARY: dittoffi_error_code_t = 1004;
/// Sync with a server needs an expiration handler first.
pub const DITTOFFI_ERROR_CODE_AUTHENTICATION_EXPIRATION_HANDLER_MISSING: dittoffi_error_code_t = 1005;
/// Text is not base64.
pub const DITTOFFI_ERROR_CODE_BASE64_INVALID: dittoffi_error_code_t = 1006;
/// Bytes are not well-formed CBOR.
pub const DITTOFFI_ERROR_CODE_CBOR_INVALID: dittoffi_error_code_t = 1007;
/// CBOR holds something that the database has no value for.
pub const DITTOFFI_ERROR_CODE_CBOR_UNSUPPORTED: dittoffi_error_code_t = 1008;
/// A document's replicated form is broken, or the operation does not fit the kind of the field.
pub const DITTOFFI_ERROR_CODE_CRDT: dittoffi_error_code_t = 1009;
/// An identity key path of a differ is bad.
pub const DITTOFFI_ERROR_CODE_DIFFER_IDENTITY_KEY_PATH_INVALID: dittoffi_error_code_t = 1010;
/// A statement failed while it ran.
pub const DITTOFFI_ERROR_CODE_DQL_EVALUATION_ERROR: dittoffi_error_code_t = 1011;
/// The arguments do not fit the statement.
pub const DITTOFFI_ERROR_CODE_DQL_INVALID_QUERY_ARGS: dittoffi_error_code_t = 1012;
/// A statement does not compile; the message says where.
pub const DITTOFFI_ERROR_CODE_DQL_QUERY_COMPILATION: dittoffi_error_code_t = 1013;
/// A statement uses what is not supported.
pub const DITTOFFI_ERROR_CODE_DQL_UNSUPPORTED: dittoffi_error_code_t = 1014;
/// A passphrase was given for a database that is not encrypted.
pub const DITTOFFI_ERROR_CODE_ENCRYPTION_EXTRANEOUS_PASSPHRASE_GIVEN: dittoffi_error_code_t = 1015;
/// The passphrase is wrong.
pub const DITTOFFI_ERROR_CODE_ENCRYPTION_PASSPHRASE_INVALID: dittoffi_error_code_t = 1016;
/// The database is encrypted and no passphrase was given.
pub const DITTOFFI_ERROR_CODE_ENCRYPTION_PASSPHRASE_NOT_GIVEN: dittoffi_error_code_t = 1017;
/// A store operation was not awaited.
pub const DITTOFFI_ERROR_CODE_JS_FLOATING_STORE_OPERATION: dittoffi_error_code_t = 1018;
/// A file exists already.
pub const DITTOFFI_ERROR_CODE_IO_ALREADY_EXISTS: dittoffi_error_code_t = 1019;
/** A file or directory does not exist; of a running peer: its directory was removed or moved away. Reads go on where they
 can; once the directory is back, so do writes.*/
pub const DITTOFFI_ERROR_CODE_IO_NOT_FOUND: dittoffi_error_code_t = 1020;
/// Reading or writing failed.
pub const DITTOFFI_ERROR_CODE_IO_OPERATION_FAILED: dittoffi_error_code_t = 1021;
/// Permission to a file is denied, or the disk is read-only.
pub const DITTOFFI_ERROR_CODE_IO_PERMISSION_DENIED: dittoffi_error_code_t = 1022;
/// Another peer, here or in another process, has the directory open.
pub const DITTOFFI_ERROR_CODE_LOCKED_DITTO_WORKING_DIRECTORY: dittoffi_error_code_t = 1023;
/// A system parameter is unknown or its value is of the wrong type.
pub const DITTOFFI_ERROR_CODE_PARAMETER_QUERY: dittoffi_error_code_t = 1024;
/// The storage failed.
pub const DITTOFFI_ERROR_CODE_STORE_DATABASE: dittoffi_error_code_t = 1025;
/// A document id is bad.
pub const DITTOFFI_ERROR_CODE_STORE_DOCUMENT_ID: dittoffi_error_code_t = 1026;
/// There is no such document.
pub const DITTOFFI_ERROR_CODE_STORE_DOCUMENT_NOT_FOUND: dittoffi_error_code_t = 1027;
/// A query failed.
pub const DITTOFFI_ERROR_CODE_STORE_QUERY: dittoffi_error_code_t = 1028;
/// A read-only transaction cannot write.
pub const DITTOFFI_ERROR_CODE_STORE_TRANSACTION_READ_ONLY: dittoffi_error_code_t = 1029;
/// A transport failed.
pub const DITTOFFI_ERROR_CODE_TRANSPORT: dittoffi_error_code_t = 1030;
/// What was asked for is not supported.
pub const DITTOFFI_ERROR_CODE_UNSUPPORTED: dittoffi_error_code_t = 1031;
/// A value is nested too deeply.
pub const DITTOFFI_ERROR_CODE_VALIDATION_DEPTH_LIMIT_EXCEEDED: dittoffi_error_code_t = 1032;
/// CBOR of an argument or document is bad.
pub const DITTOFFI_ERROR_CODE_VALIDATION_INVALID_CBOR: dittoffi_error_code_t = 1033;
/// JSON of an argument or document is bad.
pub const DITTOFFI_ERROR_CODE_VALIDATION_INVALID_JSON: dittoffi_error_code_t = 1034;
/// A transport configuration is bad.
pub const DITTOFFI_ERROR_CODE_VALIDATION_INVALID_TRANSPORT_CONFIG: dittoffi_error_code_t = 1035;
/// The configuration of the peer is bad.
pub const DITTOFFI_ERROR_CODE_VALIDATION_INVALID_DITTO_CONFIG: dittoffi_error_code_t = 1036;
/// A document or the arguments are something else than an object.
pub const DITTOFFI_ERROR_CODE_VALIDATION_NOT_A_MAP: dittoffi_error_code_t = 1037;
/// A value or document is too large.
pub const DITTOFFI_ERROR_CODE_VALIDATION_SIZE_LIMIT_EXCEEDED: dittoffi_error_code_t = 1038;
/// A kind of error that has no code of its own.
pub const DITTOFFI_ERROR_CODE_UNKNOWN: dittoffi_error_code_t = 1039;
/// A fault inside the database.
pub const DITTOFFI_ERROR_CODE_CORE_INTERNAL: dittoffi_error_code_t = 1040;
/// A read-write transaction is open, and something inside of it wants to write beside it.
pub const DITTOFFI_ERROR_CODE_STORE_TRANSACTION_NESTED: dittoffi_error_code_t = 1041;
/// Another writer went on for so long that waiting for it was given up.
pub const DITTOFFI_ERROR_CODE_STORE_TRANSACTION_TIMEOUT: dittoffi_error_code_t = 1042;
/// The disk, or the quota on it, is full. Reads go on; once there is room, so do writes, within half a minute.
pub const DITTOFFI_ERROR_CODE_STORE_DISK_FULL: dittoffi_error_code_t = 1043;
/// What is on disk is not what was written. Nothing is written; what can be read still is.
pub const DITTOFFI_ERROR_CODE_STORE_CORRUPT: dittoffi_error_code_t = 1044;
/// The database was written in a format that this version does not read.
pub const DITTOFFI_ERROR_CODE_STORE_FORMAT_UNSUPPORTED: dittoffi_error_code_t = 1045;
/// Whoever watched the progress did not want to go on.
pub const DITTOFFI_ERROR_CODE_CANCELLED: dittoffi_error_code_t = 1046;
/** What kind of error it is. Numbers never change their meaning; later versions may add some, so a caller treats one
 that it does not know like `DITTOFFI_ERROR_CODE_UNKNOWN`.

 Below 1000: what the application did or what became of the peer. From 1000: reported by one part of the database.*/
pub type dittoffi_error_code_t = ::core::ffi::c_uint;
/// Something is broken.
pub const DITTOFFI_LOG_LEVEL_ERROR: dittoffi_log_level_t = 1;
/// Something is not as it should be.
pub const DITTOFFI_LOG_LEVEL_WARNING: dittoffi_log_level_t = 2;
/// What a user may want to know.
pub const DITTOFFI_LOG_LEVEL_INFO: dittoffi_log_level_t = 3;
/// What a developer may want to know.
pub const DITTOFFI_LOG_LEVEL_DEBUG: dittoffi_log_level_t = 4;
/// Everything.
pub const DITTOFFI_LOG_LEVEL_VERBOSE: dittoffi_log_level_t = 5;
/// How grave a log line is.
pub type dittoffi_log_level_t = ::core::ffi::c_uint;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct dittoffi_disk_usage_observer_t {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct dittoffi_error_t {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct dittoffi_observer_t {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct dittoffi_peer_t {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct dittoffi_query_result_t {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct dittoffi_signal_t {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct dittoffi_subscription_t {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct dittoffi_transaction_t {
    _unused: [u8; 0],
}
/** Bytes that the library allocated and the caller owns. Release them with `dittoffi_buffer_free`, once, and with
 nothing else. Text is UTF-8 without a terminating zero.*/
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct dittoffi_buffer_t {
    /// First byte.
    pub ptr: *mut u8,
    /// Number of bytes.
    pub len: usize,
    /// What was allocated; of use to the library only.
    pub capacity: usize,
}
/** Bytes that belong to somebody else, borrowed for as long as the function says; as an argument, for the call.
 `ptr` may be `NULL` when `len` is 0. Text is UTF-8 without a terminating zero.*/
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct dittoffi_slice_t {
    /// First byte.
    pub ptr: *const u8,
    /// Number of bytes.
    pub len: usize,
}
/** Called with what a directory holds.

 `call` gets `context` and the JSON that `dittoffi_peer_disk_usage` describes, which is borrowed for the call. It runs on
 a thread of the library, never twice at once, and may call any function of the library. It must return normally: an
 exception or a panic must not leave it. `release` gets `context` once, after the last call; it may be `NULL`.*/
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct dittoffi_disk_usage_callback_t {
    /// Handed to both functions; `NULL` is allowed. Must be usable from any thread.
    pub context: *mut ::core::ffi::c_void,
    /// Takes the next tree.
    pub call: ::core::option::Option<
        unsafe extern "C" fn(context: *mut ::core::ffi::c_void, usage: dittoffi_slice_t),
    >,
    /// Lets go of `context`.
    pub release: ::core::option::Option<
        unsafe extern "C" fn(context: *mut ::core::ffi::c_void),
    >,
}
/** Called with each log line.

 `call` gets `context`, a `dittoffi_log_level_t` and the text, which is borrowed for the call. It runs on the thread
 that logs, on several at once, maybe in the middle of a call of the application's own: it must not call the library.
 It must return normally. `release` gets `context` once, after the last call; it may be `NULL`.*/
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct dittoffi_log_callback_t {
    /// Handed to both functions; `NULL` is allowed. Must be usable from any thread, several at once.
    pub context: *mut ::core::ffi::c_void,
    /// Takes the next line.
    pub call: ::core::option::Option<
        unsafe extern "C" fn(
            context: *mut ::core::ffi::c_void,
            level: u8,
            message: dittoffi_slice_t,
        ),
    >,
    /// Lets go of `context`.
    pub release: ::core::option::Option<
        unsafe extern "C" fn(context: *mut ::core::ffi::c_void),
    >,
}
/** Called while a function does something that may take long.

 `call` gets `context`, how much is done, and how much there is to do in all, which may grow; its answer is whether to go
 on. If it is not, the function fails with `DITTOFFI_ERROR_CODE_CANCELLED`; the answer of the last call, when all is done,
 does not matter. It runs on the thread of that function, before that returns, and may call any function of the library.
 It must return normally. `call` is `NULL` if nobody wants to know. `release` gets `context` once, after the last call
 and before that function returns; it may be `NULL`.*/
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct dittoffi_progress_callback_t {
    /// Handed to both functions; `NULL` is allowed.
    pub context: *mut ::core::ffi::c_void,
    /// Takes how far it is, answers whether to go on.
    pub call: ::core::option::Option<
        unsafe extern "C" fn(
            context: *mut ::core::ffi::c_void,
            done: u64,
            total: u64,
        ) -> bool,
    >,
    /// Lets go of `context`.
    pub release: ::core::option::Option<
        unsafe extern "C" fn(context: *mut ::core::ffi::c_void),
    >,
}
/** Called with each result of an observed query.

 `call` gets `context`, a result and a signal, both owned by it: free the result with `dittoffi_query_result_free`,
 give the signal to `dittoffi_signal_next` when the next change is wanted. It runs on a thread of the library, never
 twice at once, and may call any function of the library. It must return normally: an exception or a panic must not
 leave it. `release` gets `context` once, after the last call; it may be `NULL`.*/
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct dittoffi_change_callback_t {
    /// Handed to both functions; `NULL` is allowed. Must be usable from any thread.
    pub context: *mut ::core::ffi::c_void,
    /// Takes the next result.
    pub call: ::core::option::Option<
        unsafe extern "C" fn(
            context: *mut ::core::ffi::c_void,
            result: *mut dittoffi_query_result_t,
            signal: *mut dittoffi_signal_t,
        ),
    >,
    /// Lets go of `context`.
    pub release: ::core::option::Option<
        unsafe extern "C" fn(context: *mut ::core::ffi::c_void),
    >,
}
/** Called with the outcome of a statement.

 `call` gets `context` and either an error or a result, the other being `NULL`; it owns what it gets: free the error
 with `dittoffi_error_free`, the result with `dittoffi_query_result_free`. It is called once if the function that took
 the callback succeeded, and never if it failed; on the thread of that function before it returns, or on a thread of
 the library. `is_wanted` is asked before the statement is run; if it answers `false` nothing is done, and `call` gets
 an error. It may be `NULL`: always. All may call any function of the library, and must return normally: an exception
 or a panic must not leave them. `release` gets `context` once, after the call; it may be `NULL`.*/
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct dittoffi_executed_callback_t {
    /// Handed to all functions; `NULL` is allowed. Must be usable from any thread.
    pub context: *mut ::core::ffi::c_void,
    /// Takes the outcome.
    pub call: ::core::option::Option<
        unsafe extern "C" fn(
            context: *mut ::core::ffi::c_void,
            error: *mut dittoffi_error_t,
            result: *mut dittoffi_query_result_t,
        ),
    >,
    /// Whether the statement is still to be run.
    pub is_wanted: ::core::option::Option<
        unsafe extern "C" fn(context: *mut ::core::ffi::c_void) -> bool,
    >,
    /// Lets go of `context`.
    pub release: ::core::option::Option<
        unsafe extern "C" fn(context: *mut ::core::ffi::c_void),
    >,
}
/** Called with the outcome of beginning a transaction.

 `call` gets `context` and either an error or a transaction, the other being `NULL`; it owns what it gets: free the
 error with `dittoffi_error_free`, the transaction with `dittoffi_transaction_free`. It is called once if the function
 that took the callback succeeded, and never if it failed; on the thread of that function before it returns, or on a
 thread of the library. It may call any function of the library. It must return normally: an exception or a panic must
 not leave it. `release` gets `context` once, after the call; it may be `NULL`.*/
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct dittoffi_begun_callback_t {
    /// Handed to both functions; `NULL` is allowed. Must be usable from any thread.
    pub context: *mut ::core::ffi::c_void,
    /// Takes the outcome.
    pub call: ::core::option::Option<
        unsafe extern "C" fn(
            context: *mut ::core::ffi::c_void,
            error: *mut dittoffi_error_t,
            transaction: *mut dittoffi_transaction_t,
        ),
    >,
    /// Lets go of `context`.
    pub release: ::core::option::Option<
        unsafe extern "C" fn(context: *mut ::core::ffi::c_void),
    >,
}
unsafe extern "C" {
    /** The files of the peer's directory; blocks while it looks at all of them. `out` gets a JSON object with `fs_type`
 (`Directory`, `File` or `SymLink`), `path` (from the last name of the peer's directory on, with `/` between names),
 `size_in_bytes` (of a directory: of all files below it) and `children` (of a directory: an array of such objects, by
 path; else null). Works when the peer is closed too.*/
    pub fn dittoffi_peer_disk_usage(
        peer: *const dittoffi_peer_t,
        out: *mut dittoffi_buffer_t,
    ) -> *mut dittoffi_error_t;
    /** Calls back with what `dittoffi_peer_disk_usage` says, at once and then whenever that has changed, whoever changed it. A
 change is noticed after half a second or more, and what changes meanwhile is one change.

 The callback is taken over: its `release` is called exactly once, also when this function fails.*/
    pub fn dittoffi_peer_observe_disk_usage(
        peer: *const dittoffi_peer_t,
        callback: dittoffi_disk_usage_callback_t,
        out: *mut *mut dittoffi_disk_usage_observer_t,
    ) -> *mut dittoffi_error_t;
    /** Ends the observation. When it returns, no further call of the callback starts; one that runs goes on. Doing it twice,
 or after the peer was closed, does nothing. May be called from the callback.*/
    pub fn dittoffi_disk_usage_observer_cancel(
        observer: *const dittoffi_disk_usage_observer_t,
    );
    /// Another handle to the same observer, to be freed like the first.
    pub fn dittoffi_disk_usage_observer_clone(
        observer: *const dittoffi_disk_usage_observer_t,
    ) -> *mut dittoffi_disk_usage_observer_t;
    /// Frees a handle to an observer; with the last one the observation ends as by `dittoffi_disk_usage_observer_cancel`.
    pub fn dittoffi_disk_usage_observer_free(
        observer: *mut dittoffi_disk_usage_observer_t,
    );
    /// The `dittoffi_error_code_t` of an error; `DITTOFFI_ERROR_CODE_UNKNOWN` for `NULL`.
    pub fn dittoffi_error_code(error: *const dittoffi_error_t) -> u32;
    /// What went wrong and what it goes back to, for a person to read. Valid until the error is freed; empty for `NULL`.
    pub fn dittoffi_error_message(error: *const dittoffi_error_t) -> dittoffi_slice_t;
    /// Another handle to the same error, to be freed like the first.
    pub fn dittoffi_error_clone(error: *const dittoffi_error_t) -> *mut dittoffi_error_t;
    /// Frees a handle to an error.
    pub fn dittoffi_error_free(error: *mut dittoffi_error_t);
    /// Turns logging on, as it is at first, or off.
    pub fn dittoffi_logger_set_enabled(enabled: bool);
    /// Whether logging is on.
    pub fn dittoffi_logger_get_enabled() -> bool;
    /** Sets the `dittoffi_log_level_t` up to which lines are written; at first it is `DITTOFFI_LOG_LEVEL_WARNING`. 0 counts
 as 1, what is above 5 as 5.*/
    pub fn dittoffi_logger_set_minimum_level(level: u8);
    /// The `dittoffi_log_level_t` up to which lines are written.
    pub fn dittoffi_logger_get_minimum_level() -> u8;
    /** Sends log lines to `callback` instead of the standard error stream, in place of an earlier callback, which is
 released when its last running call has returned. The callback is taken over: its `release` is called exactly once,
 also when this function fails.*/
    pub fn dittoffi_logger_set_callback(
        callback: dittoffi_log_callback_t,
    ) -> *mut dittoffi_error_t;
    /** Sends log lines to the standard error stream again and releases the callback, when its last running call has
 returned.*/
    pub fn dittoffi_logger_clear_callback();
    /// Writes a line to the log, as the library does. For applications and SDKs that want one log.
    pub fn dittoffi_logger_log(
        level: u8,
        message: dittoffi_slice_t,
    ) -> *mut dittoffi_error_t;
    /** Reads every row of the database and compares what is stored twice; blocks until that is done. Finding something wrong is
 a result and no error. `progress` counts rows; the total is an estimate. `out` gets a JSON object:

 | member | value |
 | --- | --- |
 | `documents` | living documents |
 | `tombstones` | deleted documents that are remembered |
 | `graves` | deleted documents of which only a trace is left |
 | `conflicts` | reports of lost writes |
 | `changes` | rows of the log of changes |
 | `index_rows` | rows of all indexes |
 | `inconsistent` | how many inconsistencies there are; 0 if all is well |
 | `inconsistencies` | the first hundred of them: an array of objects with the texts `place` and `problem` |

 The callback is taken over: its `release` is called exactly once, also when this function fails.*/
    pub fn dittoffi_peer_verify(
        peer: *const dittoffi_peer_t,
        progress: dittoffi_progress_callback_t,
        out: *mut dittoffi_buffer_t,
    ) -> *mut dittoffi_error_t;
    /** Copies the database as it is at one moment to `directory`, a path as in `dittoffi_peer_open`'s configuration; blocks
 until the copy is complete and on the platter. The directory must be empty, or is made. A peer that is opened there has
 the documents of that moment and a key of its own, and syncs with this one as any other. What an attempt that failed has
 left is removed. `progress` counts documents. `out` gets a JSON object of numbers: `documents` (deleted ones that are
 remembered among them), `bytes`, and `commit_id`, that of the newest commit in the copy.

 A directory that is not empty is refused with `DITTOFFI_ERROR_CODE_IO_ALREADY_EXISTS`. The callback is taken over: its
 `release` is called exactly once, also when this function fails.*/
    pub fn dittoffi_peer_backup(
        peer: *const dittoffi_peer_t,
        directory: dittoffi_slice_t,
        progress: dittoffi_progress_callback_t,
        out: *mut dittoffi_buffer_t,
    ) -> *mut dittoffi_error_t;
    /** Gives back the room that deleted and overwritten documents take; blocks until that is done. It costs time, and room for
 a while, in proportion to the size of the database. Ended before its time it keeps what it has done. `progress` counts
 bytes of files. `out` gets a JSON object of numbers: `bytes_before` and `bytes_after`, of the files with the documents.

 The callback is taken over: its `release` is called exactly once, also when this function fails.*/
    pub fn dittoffi_peer_compact(
        peer: *const dittoffi_peer_t,
        progress: dittoffi_progress_callback_t,
        out: *mut dittoffi_buffer_t,
    ) -> *mut dittoffi_error_t;
    /** What is known of the collections without reading them: a JSON array of objects, by name, with `name`, `documents`
 (living ones), `graves` (deleted ones of which only a trace is left), `indexes` and `evictions` (so far).*/
    pub fn dittoffi_peer_collections(
        peer: *const dittoffi_peer_t,
        out: *mut dittoffi_buffer_t,
    ) -> *mut dittoffi_error_t;
    /** Observes a `SELECT`. The callback gets the first result after this function has returned (there always is one, maybe
 without items) and then the newest one whenever a commit has changed it and the signal of the one before was given to
 `dittoffi_signal_next`; changes in between are delivered as one. `arguments` is a CBOR map from parameter name to
 value, or empty.

 The callback is taken over: its `release` is called exactly once, also when this function fails.*/
    pub fn dittoffi_peer_observe(
        peer: *const dittoffi_peer_t,
        query: dittoffi_slice_t,
        arguments: dittoffi_slice_t,
        callback: dittoffi_change_callback_t,
        out: *mut *mut dittoffi_observer_t,
    ) -> *mut dittoffi_error_t;
    /** Ends the observation. When it returns, no further call of the callback starts; one that runs goes on. Doing it twice,
 or after the peer was closed, does nothing. May be called from the callback.*/
    pub fn dittoffi_observer_cancel(observer: *const dittoffi_observer_t);
    /// Another handle to the same observer, to be freed like the first.
    pub fn dittoffi_observer_clone(
        observer: *const dittoffi_observer_t,
    ) -> *mut dittoffi_observer_t;
    /// Frees a handle to an observer; with the last one the observation ends as by `dittoffi_observer_cancel`.
    pub fn dittoffi_observer_free(observer: *mut dittoffi_observer_t);
    /** Asks the observer for its next result, and frees the signal. From any thread, at any time, inside the callback or
 later.*/
    pub fn dittoffi_signal_next(signal: *mut dittoffi_signal_t);
    /// Frees a signal without asking for more: the observer pauses for ever.
    pub fn dittoffi_signal_free(signal: *mut dittoffi_signal_t);
    /** Opens a peer, and blocks while it reads its directory. `config` is a CBOR map:

 | key | value |
 | --- | --- |
 | `database_id` | text; peers with equal ids, letter case aside, belong together |
 | `connect` | map: `type` is `small_peers_only` (and then maybe `private_key`: bytes) or `server` (and then `url`: text) |
 | `directory` | text, or bytes where paths are bytes: where the database lives; created when absent |
 | `device_name` | text, optional: what other peers see |
 | `in_memory` | boolean, optional: keep documents in memory only |
 | `system_parameters` | map, optional: from name to value |

 Null counts as absent, an unknown key is an error. A directory that is open already, in any process, is refused with
 `DITTOFFI_ERROR_CODE_LOCKED_DITTO_WORKING_DIRECTORY`.*/
    pub fn dittoffi_peer_open(
        config: dittoffi_slice_t,
        out: *mut *mut dittoffi_peer_t,
    ) -> *mut dittoffi_error_t;
    /// Another handle to the same peer, to be freed like the first.
    pub fn dittoffi_peer_clone(peer: *const dittoffi_peer_t) -> *mut dittoffi_peer_t;
    /// Frees a handle to a peer; with the last one the peer is closed as by `dittoffi_peer_close`, and so it may block.
    pub fn dittoffi_peer_free(peer: *mut dittoffi_peer_t);
    /** Closes a peer for all its handles: stops sync, ends its observers and subscriptions, writes everything to disk and
 unlocks the directory; blocks until that is done. Open transactions have some seconds to end, none if this is called
 from inside of one (`dittoffi_transaction_enter`), and are rolled back then. Handles stay valid, and what is asked of them fails with
 `DITTOFFI_ERROR_CODE_PEER_CLOSED`. Doing it twice does nothing.*/
    pub fn dittoffi_peer_close(peer: *const dittoffi_peer_t);
    /** Runs a statement, and blocks until it is done; a mutating one waits for the writers before it. What it wrote survives a crash of the process when this returns.
 `arguments` is a CBOR map from parameter name to value, or empty. The message of a statement that does not compile
 says where and what was expected.*/
    pub fn dittoffi_peer_execute(
        peer: *const dittoffi_peer_t,
        query: dittoffi_slice_t,
        arguments: dittoffi_slice_t,
        out: *mut *mut dittoffi_query_result_t,
    ) -> *mut dittoffi_error_t;
    /** As `dittoffi_peer_execute`, but never waits for another writer: `out` gets `NULL` if the statement would have to, and
 nothing is done then. `CREATE INDEX` and `DROP INDEX` with something to do always would. To wait without blocking:
 `dittoffi_peer_execute_later`.*/
    pub fn dittoffi_peer_try_execute(
        peer: *const dittoffi_peer_t,
        query: dittoffi_slice_t,
        arguments: dittoffi_slice_t,
        out: *mut *mut dittoffi_query_result_t,
    ) -> *mut dittoffi_error_t;
    /** As `dittoffi_peer_execute`, but does not block: the callback gets the result, or why there is none, when it was the
 statement's turn. If there is nothing to wait for it is called before this function returns, on the same thread. Other
 errors than those of the handles, the texts and the arguments come by the callback.

 The callback is taken over: its `release` is called exactly once, also when this function fails.*/
    pub fn dittoffi_peer_execute_later(
        peer: *const dittoffi_peer_t,
        query: dittoffi_slice_t,
        arguments: dittoffi_slice_t,
        callback: dittoffi_executed_callback_t,
    ) -> *mut dittoffi_error_t;
    /** Starts to sync with other peers by the transport configuration. What of it cannot be served is logged, and told by
 `dittoffi_peer_set_transport_config`. Doing it twice does nothing.*/
    pub fn dittoffi_peer_start_sync(
        peer: *const dittoffi_peer_t,
    ) -> *mut dittoffi_error_t;
    /// Closes all connections and listeners; blocks until that is done. Doing it twice does nothing.
    pub fn dittoffi_peer_stop_sync(peer: *const dittoffi_peer_t);
    /// Whether sync is active; `false` for `NULL` and for a closed peer.
    pub fn dittoffi_peer_is_sync_active(peer: *const dittoffi_peer_t) -> bool;
    /** Replaces the transport configuration; it applies at once when sync is active: addresses that are gone are
 disconnected, new ones connected to. `problems` gets a JSON array of texts, one for each part that cannot be served:
 an address that is none, a transport that this platform does not have, and, when sync is active, a port in use; it may
 be `NULL`. The configuration is a JSON object, and what it leaves out is off, empty or 0:

 | member | value |
 | --- | --- |
 | `connect.tcp_servers` | array of texts `host:port`; the host is a DNS name, an IPv4 address or a bracketed IPv6 address |
 | `connect.websocket_urls` | array of texts `ws://…` or `wss://…` |
 | `connect.retry_interval` | milliseconds: the longest pause between two attempts; 0 is 5000 |
 | `listen.tcp` | object: `enabled`, `interface_ip` (an address, text; empty is `[::]`), `port` (0 is any free one) |
 | `listen.http` | object: as `tcp`, and `websocket_sync`, `tls_key_path`, `tls_certificate_path` |
 | `peer_to_peer` | object: `bluetooth_le`, `lan`, `awdl`, `wifi_aware`, each an object with `enabled`; `lan` has `mdns_enabled` and `multicast_enabled` too |
 | `global` | object: `sync_group`, `routing_hint`, numbers |

 `{"listen": {"tcp": {"enabled": true, "interface_ip": "127.0.0.1", "port": 4040}}}` accepts peers of this machine. The
 real port is in the row `listen_tcp` of `SELECT * FROM system:transports_info`.*/
    pub fn dittoffi_peer_set_transport_config(
        peer: *const dittoffi_peer_t,
        config: dittoffi_slice_t,
        problems: *mut dittoffi_buffer_t,
    ) -> *mut dittoffi_error_t;
    /// The transport configuration, in the form that `dittoffi_peer_set_transport_config` takes, with all members.
    pub fn dittoffi_peer_transport_config(
        peer: *const dittoffi_peer_t,
        out: *mut dittoffi_buffer_t,
    ) -> *mut dittoffi_error_t;
    /** The peers that are known and how they are connected: a JSON object of `localPeer` (a peer) and `remotePeers` (an array
 of peers). A peer has `peerKeyString`, `deviceName`, `os`, `dittoSdkVersion` (both may be null), and `connections`: an
 array of objects with `id`, `peerKeyString1`, `peerKeyString2` and `connectionType`. More members may come.*/
    pub fn dittoffi_peer_presence(
        peer: *const dittoffi_peer_t,
        out: *mut dittoffi_buffer_t,
    ) -> *mut dittoffi_error_t;
    /// The absolute path of the peer's directory, in the system's own bytes where paths are bytes.
    pub fn dittoffi_peer_directory(
        peer: *const dittoffi_peer_t,
        out: *mut dittoffi_buffer_t,
    ) -> *mut dittoffi_error_t;
    /// The peer key, as text: the public key that names this peer everywhere.
    pub fn dittoffi_peer_key(
        peer: *const dittoffi_peer_t,
        out: *mut dittoffi_buffer_t,
    ) -> *mut dittoffi_error_t;
    /// Sets the name that other peers see. A long one is cut.
    pub fn dittoffi_peer_set_device_name(
        peer: *const dittoffi_peer_t,
        name: dittoffi_slice_t,
    ) -> *mut dittoffi_error_t;
    /// How many items the result has; 0 for `NULL`.
    pub fn dittoffi_query_result_item_count(
        result: *const dittoffi_query_result_t,
    ) -> usize;
    /// Item `index` (from 0) as one CBOR data item.
    pub fn dittoffi_query_result_item_cbor(
        result: *const dittoffi_query_result_t,
        index: usize,
        out: *mut dittoffi_buffer_t,
    ) -> *mut dittoffi_error_t;
    /// Item `index` (from 0) as JSON text, without white space.
    pub fn dittoffi_query_result_item_json(
        result: *const dittoffi_query_result_t,
        index: usize,
        out: *mut dittoffi_buffer_t,
    ) -> *mut dittoffi_error_t;
    /// All items at once as a CBOR sequence: as many data items as there are items, one after the other.
    pub fn dittoffi_query_result_items_cbor(
        result: *const dittoffi_query_result_t,
        out: *mut dittoffi_buffer_t,
    ) -> *mut dittoffi_error_t;
    /// The ids of the documents that the statement changed, as one CBOR array.
    pub fn dittoffi_query_result_mutated_ids_cbor(
        result: *const dittoffi_query_result_t,
        out: *mut dittoffi_buffer_t,
    ) -> *mut dittoffi_error_t;
    /** The number of the commit that a mutating statement made, or of the last one before it when it changed nothing. 0 for
 other statements, for results that an observer delivers, and for `NULL`. In a transaction: 0 until it is committed.*/
    pub fn dittoffi_query_result_commit_id(
        result: *const dittoffi_query_result_t,
    ) -> u64;
    /// Another handle to the same result, to be freed like the first.
    pub fn dittoffi_query_result_clone(
        result: *const dittoffi_query_result_t,
    ) -> *mut dittoffi_query_result_t;
    /// Frees a handle to a result.
    pub fn dittoffi_query_result_free(result: *mut dittoffi_query_result_t);
    /// Frees a buffer that a function of this library filled in. A buffer whose `ptr` is `NULL` is left alone.
    pub fn dittoffi_buffer_free(buffer: dittoffi_buffer_t);
    /** Asks the peers that this one syncs with for the documents of `SELECT * FROM collection [WHERE condition]`, now and
 from now on, while sync is active. `arguments` is a CBOR map from parameter name to value, or empty. Blocks while the
 library is busy with what another peer has sent.*/
    pub fn dittoffi_peer_subscribe(
        peer: *const dittoffi_peer_t,
        query: dittoffi_slice_t,
        arguments: dittoffi_slice_t,
        out: *mut *mut dittoffi_subscription_t,
    ) -> *mut dittoffi_error_t;
    /// Ends the subscription. Documents that have arrived stay. Doing it twice, or after the peer was closed, does nothing.
    pub fn dittoffi_subscription_cancel(subscription: *const dittoffi_subscription_t);
    /// Another handle to the same subscription, to be freed like the first.
    pub fn dittoffi_subscription_clone(
        subscription: *const dittoffi_subscription_t,
    ) -> *mut dittoffi_subscription_t;
    /// Frees a handle to a subscription. The subscription goes on.
    pub fn dittoffi_subscription_free(subscription: *mut dittoffi_subscription_t);
    /** Begins a transaction, without blocking. A read-write one is alone: it begins when the writers before it, plain
 mutating statements included, are done, in the order in which they came. A read-only one sees one moment and begins
 at once, beside whatever else is open. `hint` names it in logs and errors, and may be empty.

 The callback gets the transaction, or why there is none: the peer is closed, this is inside of another read-write
 transaction (see `dittoffi_transaction_enter`: `DITTOFFI_ERROR_CODE_STORE_TRANSACTION_NESTED`), or another writer
 went on for longer than the system parameter `TRANSACTION_WAIT_TIMEOUT_MS`
 (`DITTOFFI_ERROR_CODE_STORE_TRANSACTION_TIMEOUT`). If there is nothing to wait for it is called before this function
 returns, on the same thread.

 The callback is taken over: its `release` is called exactly once, also when this function fails.*/
    pub fn dittoffi_peer_begin_transaction(
        peer: *const dittoffi_peer_t,
        hint: dittoffi_slice_t,
        is_read_only: bool,
        callback: dittoffi_begun_callback_t,
    ) -> *mut dittoffi_error_t;
    /** Runs a statement in a transaction, as `dittoffi_peer_execute` does without one. It sees what earlier statements of the
 transaction wrote. One that fails has no effect and does not end the transaction.*/
    pub fn dittoffi_transaction_execute(
        transaction: *const dittoffi_transaction_t,
        query: dittoffi_slice_t,
        arguments: dittoffi_slice_t,
        out: *mut *mut dittoffi_query_result_t,
    ) -> *mut dittoffi_error_t;
    /** Ends a transaction: everything in it happens at once. Blocks until it survives a crash of the process.
 `commit_id` gets the number of the commit, 0 for a read-only transaction; it may be `NULL`.*/
    pub fn dittoffi_transaction_commit(
        transaction: *const dittoffi_transaction_t,
        commit_id: *mut u64,
    ) -> *mut dittoffi_error_t;
    /// Ends a transaction: nothing of it happens. Does nothing if it has ended.
    pub fn dittoffi_transaction_rollback(transaction: *const dittoffi_transaction_t);
    /** Says that the code which runs on this thread belongs to the transaction, until `dittoffi_transaction_leave`. While a
 read-write transaction is open, other writers wait for its end; one that is started from inside of it would wait for
 ever, and fails with `DITTOFFI_ERROR_CODE_STORE_TRANSACTION_NESTED` instead. Calls nest. A task that moves between
 threads enters whenever it runs and leaves whenever it pauses.*/
    pub fn dittoffi_transaction_enter(transaction: *const dittoffi_transaction_t);
    /// Ends the newest `dittoffi_transaction_enter` of the transaction on this thread.
    pub fn dittoffi_transaction_leave(transaction: *const dittoffi_transaction_t);
    /// The id of the transaction as text. No other one has it, anywhere.
    pub fn dittoffi_transaction_id(
        transaction: *const dittoffi_transaction_t,
        out: *mut dittoffi_buffer_t,
    ) -> *mut dittoffi_error_t;
    /// Another handle to the same transaction, to be freed like the first.
    pub fn dittoffi_transaction_clone(
        transaction: *const dittoffi_transaction_t,
    ) -> *mut dittoffi_transaction_t;
    /// Frees a handle to a transaction; with the last one it is rolled back if it was not committed.
    pub fn dittoffi_transaction_free(transaction: *mut dittoffi_transaction_t);
    /// The version of the library, such as `0.1.0`. Valid for ever.
    pub fn dittoffi_version() -> dittoffi_slice_t;
    /** The fingerprint of the header that the library was built with: 32 hexadecimal digits. A program compares it with
 `DITTOFFI_ABI_FINGERPRINT` of the header it was compiled with; when they differ, the two do not fit. Valid for ever.*/
    pub fn dittoffi_abi_fingerprint() -> dittoffi_slice_t;
}
