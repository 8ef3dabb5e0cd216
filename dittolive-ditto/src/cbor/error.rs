use std::fmt;

/// Bytes that are not the CBOR of the wanted type, or a value that has no CBOR form.
#[derive(Debug)]
pub struct CborError(Box<str>);

impl CborError {
    pub(super) fn new(message: impl fmt::Display) -> Self {
        Self(message.to_string().into())
    }
}

impl fmt::Display for CborError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CborError {}

impl serde::de::Error for CborError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message)
    }
}

impl From<minicbor::decode::Error> for CborError {
    fn from(error: minicbor::decode::Error) -> Self {
        Self::new(format_args!("not valid CBOR: {error}"))
    }
}
