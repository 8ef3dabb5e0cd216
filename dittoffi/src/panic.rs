//! No panic crosses the boundary: every exported function runs its body in here.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
};

use crate::error::{Error, ErrorCode};

/// Runs `body`; a failure or a panic becomes an error handle that the caller owns, success becomes `NULL`.
///
/// Unwind safety is asserted: what a panic may have left half done is behind the engine's own locks and transactions,
/// and an engine that panicked reports it as an internal error rather than taking the application down.
pub(crate) fn contain(body: impl FnOnce() -> Result<(), Error>) -> *mut Error {
    let outcome = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| Err(internal(payload)));
    match outcome {
        Ok(()) => ptr::null_mut(),
        Err(error) => error.into_raw(),
    }
}

/// Runs `body` of a function that has no way to report an error; a panic yields `fallback` and a log line.
pub(crate) fn contain_or<T>(fallback: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| {
        // The log line may end in a callback of the application's, so it gets a net of its own.
        let _ = catch_unwind(AssertUnwindSafe(|| tracing::error!("{}", internal(payload).message())));
        fallback
    })
}

fn internal(payload: Box<dyn Any + Send>) -> Error {
    let text = payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no text)");
    let error = Error::new(ErrorCode::Internal, format!("the library panicked: {text}; this is a bug in it"));
    // A payload whose destructor panics would otherwise escape.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(payload)));
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{dittoffi_error_code, dittoffi_error_free, dittoffi_error_message};

    /// Code and message of an error that is then freed.
    fn taken(error: *mut Error) -> (u32, String) {
        assert!(!error.is_null());
        // SAFETY: the handle is fresh and freed once, after its last use.
        unsafe {
            let code = dittoffi_error_code(error);
            let message = dittoffi_error_message(error).text("the message").unwrap().to_owned();
            dittoffi_error_free(error);
            (code, message)
        }
    }

    #[test]
    fn a_panic_becomes_an_internal_error_with_its_text() {
        let (code, message) = taken(contain(|| panic!("number {}", 7)));
        assert_eq!(code, ErrorCode::Internal as u32);
        assert!(message.contains("number 7"), "{message}");
        let (_, message) = taken(contain(|| std::panic::panic_any(7)));
        assert!(message.contains("panicked"), "{message}");
    }

    #[test]
    fn a_payload_whose_destructor_panics_does_not_escape() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("in the destructor");
            }
        }
        let (code, _) = taken(contain(|| std::panic::panic_any(Bomb)));
        assert_eq!(code, ErrorCode::Internal as u32);
    }

    #[test]
    fn success_is_null_and_a_fallback_stands_in_for_a_panic() {
        assert!(contain(|| Ok(())).is_null());
        assert_eq!(contain_or(7, || panic!("no")), 7);
    }
}
