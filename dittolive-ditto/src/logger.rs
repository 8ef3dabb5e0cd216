//! The log of the database.

use crate::{
    error::{DittoError, Result},
    ffi,
};

/// How grave a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum LogLevel {
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

/// [`LogLevel`] under its other name.
pub type CLogLevel = LogLevel;

impl LogLevel {
    /// A number of the library; what is below or above the levels counts as the nearest one.
    fn from_number(number: u8) -> Self {
        match number {
            0 | 1 => Self::Error,
            2 => Self::Warning,
            3 => Self::Info,
            4 => Self::Debug,
            _ => Self::Verbose,
        }
    }
}

/// The log, which all instances of a process share.
///
/// Lines go to the standard error stream, or to a callback when there is one.
///
/// ```
/// use dittolive_ditto::logger::{DittoLogger, LogLevel};
///
/// DittoLogger::set_minimum_log_level(LogLevel::Error);
/// assert_eq!(DittoLogger::get_minimum_log_level(), LogLevel::Error);
/// ```
#[derive(Debug)]
pub enum DittoLogger {}

impl DittoLogger {
    /// Turns the log on or off.
    pub fn set_logging_enabled(enabled: bool) {
        ffi::log::set_enabled(enabled);
    }

    /// Whether the log is on, as it is at first.
    #[must_use]
    pub fn get_logging_enabled() -> bool {
        ffi::log::is_enabled()
    }

    /// Sets the least grave level that is still logged.
    pub fn set_minimum_log_level(level: LogLevel) {
        ffi::log::set_minimum_level(level as u8);
    }

    /// The least grave level that is still logged.
    #[must_use]
    pub fn get_minimum_log_level() -> LogLevel {
        LogLevel::from_number(ffi::log::minimum_level())
    }

    /// Gives every log line to `callback`, in place of the standard error stream and of an earlier callback.
    ///
    /// It is called on the thread that logs, on several at once, maybe in the middle of a call of the application's own:
    /// it must not use the database. What it logs itself is not given to it, and a panic in it ends the call only.
    pub fn set_custom_log_callback<F: Fn(LogLevel, &str) + Send + Sync + 'static>(callback: F) {
        let handler = move |level, message: &str| callback(LogLevel::from_number(level), message);
        // Fails only on misuse of the C interface, which this call cannot be.
        let _: Result<(), DittoError> = ffi::log::set_callback(handler);
    }

    /// Drops the callback; log lines go to the standard error stream again.
    pub fn clear_custom_log_callback() {
        ffi::log::clear_callback();
    }

    /// Writes a line of level `Error`, for tests of the log.
    #[doc(hidden)]
    pub fn __log_error(message: impl Into<String>) {
        log(LogLevel::Error, &message.into());
    }
}

/// Writes a line to the log of the database.
pub(crate) fn log(level: LogLevel, message: &str) {
    // A line that cannot be logged has nowhere else to go.
    let _: Result<(), DittoError> = ffi::log::log(level as u8, message);
}
