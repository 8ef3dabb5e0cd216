//! Where log lines go. One logger for the process, as quiet as warnings unless told otherwise.

use std::sync::{
    Arc, Once,
    atomic::{AtomicBool, AtomicU8, Ordering},
};

use parking_lot::RwLock;
use tracing::{Level, level_filters::LevelFilter};

use crate::{
    callback::{LogCallback, OnLog},
    error::{Error, ErrorCode},
    panic,
    subscriber::{Line, Subscriber},
};

/// How grave a log line is.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DittoffiLogLevel {
    /// Something is broken.
    Error = 1,
    /// Something is not as it should be.
    Warning = 2,
    /// What a user may want to know.
    Info = 3,
    /// What a developer may want to know.
    Debug = 4,
    /// Everything.
    Verbose = 5,
}

static ENABLED: AtomicBool = AtomicBool::new(true);
static MINIMUM_LEVEL: AtomicU8 = AtomicU8::new(DittoffiLogLevel::Warning as u8);
static CALLBACK: RwLock<Option<Arc<OnLog>>> = RwLock::new(None);

/// Makes the engine's log lines come here. Where this crate is linked into a Rust program as a crate and that program
/// has a subscriber of its own, that one keeps them.
pub(crate) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let _ = tracing::subscriber::set_global_default(Subscriber::new(maximum, write));
    });
}

fn maximum() -> LevelFilter {
    if !ENABLED.load(Ordering::Relaxed) {
        return LevelFilter::OFF;
    }
    match MINIMUM_LEVEL.load(Ordering::Relaxed) {
        1 => LevelFilter::ERROR,
        2 => LevelFilter::WARN,
        3 => LevelFilter::INFO,
        4 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    }
}

fn write(line: &Line<'_>) {
    // Cloned, so that the lock is not held while the application runs.
    let callback = CALLBACK.read().clone();
    match callback {
        Some(callback) => callback.call(number(line.level), &line.text()),
        None => line.write_to_stderr(),
    }
}

const fn number(level: Level) -> u8 {
    let level = match level {
        Level::ERROR => DittoffiLogLevel::Error,
        Level::WARN => DittoffiLogLevel::Warning,
        Level::INFO => DittoffiLogLevel::Info,
        Level::DEBUG => DittoffiLogLevel::Debug,
        Level::TRACE => DittoffiLogLevel::Verbose,
    };
    level as u8
}

/// Turns logging on, as it is at first, or off.
#[unsafe(no_mangle)]
pub extern "C" fn dittoffi_logger_set_enabled(enabled: bool) {
    panic::contain_or((), || {
        install();
        ENABLED.store(enabled, Ordering::Relaxed);
        tracing::callsite::rebuild_interest_cache();
    });
}

/// Whether logging is on.
#[unsafe(no_mangle)]
pub extern "C" fn dittoffi_logger_get_enabled() -> bool {
    ENABLED.load(Ordering::Relaxed)
}

/// Sets the `dittoffi_log_level_t` up to which lines are written; at first it is `DITTOFFI_LOG_LEVEL_WARNING`. 0 counts
/// as 1, what is above 5 as 5.
#[unsafe(no_mangle)]
pub extern "C" fn dittoffi_logger_set_minimum_level(level: u8) {
    panic::contain_or((), || {
        install();
        let level = level.clamp(DittoffiLogLevel::Error as u8, DittoffiLogLevel::Verbose as u8);
        MINIMUM_LEVEL.store(level, Ordering::Relaxed);
        tracing::callsite::rebuild_interest_cache();
    });
}

/// The `dittoffi_log_level_t` up to which lines are written.
#[unsafe(no_mangle)]
pub extern "C" fn dittoffi_logger_get_minimum_level() -> u8 {
    MINIMUM_LEVEL.load(Ordering::Relaxed)
}

/// Sends log lines to `callback` instead of the standard error stream, in place of an earlier callback, which is
/// released when its last running call has returned. The callback is taken over: its `release` is called exactly once,
/// also when this function fails.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_logger_set_callback(callback: LogCallback) -> *mut Error {
    panic::contain(|| {
        install();
        replace(Some(Arc::new(OnLog::new(callback)?)));
        Ok(())
    })
}

/// Sends log lines to the standard error stream again and releases the callback, when its last running call has
/// returned.
#[unsafe(no_mangle)]
pub extern "C" fn dittoffi_logger_clear_callback() {
    panic::contain_or((), || replace(None));
}

fn replace(callback: Option<Arc<OnLog>>) {
    let previous = std::mem::replace(&mut *CALLBACK.write(), callback);
    // Dropped without the lock: `release` belongs to the application.
    drop(previous);
}

/// Writes a line to the log, as the library does. For applications and SDKs that want one log.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_logger_log(level: u8, message: crate::slice::Slice) -> *mut Error {
    panic::contain(|| {
        install();
        // SAFETY: the caller keeps the slice for the call.
        let message = unsafe { message.text("the message") }?;
        match level {
            1 => tracing::error!(target: "application", "{message}"),
            2 => tracing::warn!(target: "application", "{message}"),
            3 => tracing::info!(target: "application", "{message}"),
            4 => tracing::debug!(target: "application", "{message}"),
            5 => tracing::trace!(target: "application", "{message}"),
            other => {
                return Err(Error::new(
                    ErrorCode::InvalidInput,
                    format!("{other} is not a log level; they go from 1 (error) to 5 (verbose)"),
                ));
            }
        }
        Ok(())
    })
}
