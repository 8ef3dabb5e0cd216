use std::fmt;

/// Text in the places where older interfaces hand out a C string.
///
/// ```
/// let id = dittolive_ditto::DatabaseId::from("my-garden").to_c_string();
/// assert_eq!(id.to_str(), "my-garden");
/// assert_eq!(id.into_string(), "my-garden");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnedCString(Box<str>);

impl OwnedCString {
    /// The text, without a terminating zero.
    #[must_use]
    pub fn to_str(&self) -> &str {
        &self.0
    }

    /// The text as a `String`.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0.into()
    }
}

impl From<&str> for OwnedCString {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for OwnedCString {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<OwnedCString> for String {
    fn from(text: OwnedCString) -> Self {
        text.into_string()
    }
}

impl AsRef<str> for OwnedCString {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OwnedCString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for OwnedCString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
