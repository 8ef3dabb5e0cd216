//! What can go wrong: [`DittoError`] with its [`ErrorKind`].
//!
//! Match on [`DittoError::kind`]; show the error itself to people. The text always names what was
//! wrong (the token of a query, the parameter, the path), so it is worth logging as it is.
//!
//! ```
//! use dittolive_ditto::error::{DittoError, ErrorKind};
//!
//! let error = DittoError::from(std::io::Error::other("the disk went away"));
//! assert_eq!(error.kind(), ErrorKind::IO);
//! assert_eq!(error.to_string(), "the disk went away");
//! ```

mod core_api;
mod kind;

use std::{borrow::Cow, convert::Infallible, error::Error, fmt, num::NonZeroI32};

pub use self::{core_api::CoreApiErrorKind, kind::ErrorKind};
use crate::{cbor::CborError, identity::AuthenticationClientFeedback};

/// The result of almost everything here.
pub type Result<Ok, Err = DittoError> = core::result::Result<Ok, Err>;

/// An error of the database: a [kind](ErrorKind) for programs and a message for people.
pub struct DittoError(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    cause: Cause,
}

enum Cause {
    /// The kind says it all.
    None,
    Message(Cow<'static, str>),
    Error(Box<dyn Error + Send + Sync>),
}

impl DittoError {
    /// What sort of error this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What an authentication server said about a login that it refused. `None` for errors of other kinds.
    #[must_use]
    pub fn get_authentication_client_feedback(&self) -> Option<AuthenticationClientFeedback> {
        // No login of this version brings words along.
        (self.kind() == ErrorKind::Authentication).then_some(AuthenticationClientFeedback { feedback: None })
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner { kind, cause: Cause::Message(message.into()) }))
    }

    pub(crate) fn core(kind: CoreApiErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::CoreApi(kind), message)
    }

    pub(crate) fn invalid_input(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    fn wrap(kind: ErrorKind, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Box::new(Inner { kind, cause: Cause::Error(error.into()) }))
    }
}

impl fmt::Display for DittoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let ErrorKind::CoreApi(kind) = self.0.kind {
            write!(f, "{}: ", kind.name())?;
        }
        match &self.0.cause {
            Cause::None => f.write_str(self.0.kind.description()),
            Cause::Message(message) => f.write_str(message),
            Cause::Error(error) => error.fmt(f),
        }
    }
}

impl fmt::Debug for DittoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("DittoError");
        debug.field("kind", &self.0.kind);
        match &self.0.cause {
            Cause::None => {}
            Cause::Message(message) => {
                debug.field("message", message);
            }
            Cause::Error(error) => {
                debug.field("cause", error);
            }
        }
        debug.finish()
    }
}

impl Error for DittoError {
    /// The message of a wrapped error is already our own, so the chain goes on below it.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0.cause {
            Cause::Error(error) => error.source(),
            Cause::None | Cause::Message(_) => None,
        }
    }
}

impl From<ErrorKind> for DittoError {
    fn from(kind: ErrorKind) -> Self {
        Self(Box::new(Inner { kind, cause: Cause::None }))
    }
}

impl From<i32> for DittoError {
    fn from(code: i32) -> Self {
        Self::new(ErrorKind::FfiLegacy, format!("the database library reported error number {code}"))
    }
}

impl From<NonZeroI32> for DittoError {
    fn from(code: NonZeroI32) -> Self {
        code.get().into()
    }
}

impl From<CborError> for DittoError {
    fn from(error: CborError) -> Self {
        Self::wrap(ErrorKind::InvalidInput, error)
    }
}

impl From<serde_json::Error> for DittoError {
    fn from(error: serde_json::Error) -> Self {
        Self::wrap(ErrorKind::InvalidInput, error)
    }
}

impl From<std::io::Error> for DittoError {
    fn from(error: std::io::Error) -> Self {
        Self::wrap(ErrorKind::IO, error)
    }
}

impl From<tokio::task::JoinError> for DittoError {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::wrap(ErrorKind::Internal, error)
    }
}

impl From<Infallible> for DittoError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_error_displays_its_kind_and_its_description() {
        let error = DittoError::core(CoreApiErrorKind::ParameterQuery, "no parameter `x`");
        assert_eq!(error.to_string(), "ParameterQuery: no parameter `x`");
        assert_eq!(error.kind(), ErrorKind::CoreApi(CoreApiErrorKind::ParameterQuery));
    }

    #[test]
    fn a_bare_kind_has_a_fixed_sentence() {
        let error = DittoError::from(ErrorKind::ReleasedDittoInstance);
        assert_eq!(error.to_string(), ErrorKind::ReleasedDittoInstance.to_string());
        assert!(!error.to_string().is_empty());
    }

    #[test]
    fn errors_of_others_keep_their_text() {
        let error = DittoError::from(serde_json::from_str::<u8>("x").unwrap_err());
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("line 1"));
    }

    #[test]
    fn it_travels_between_threads_and_into_boxes() {
        fn travels<T: Error + Send + Sync + 'static>() {}
        travels::<DittoError>();
        assert_eq!(size_of::<DittoError>(), size_of::<usize>());
    }
}
