use std::{
    env, fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

use uuid::Uuid;

use crate::{
    OwnedCString,
    error::{DittoError, ErrorKind},
};

/// The id that the peers of one database share.
///
/// Any text will do among peers only; with a server it is a UUID with hyphens. Ids that differ only in the case of
/// their letters are the same database, and equal.
///
/// ```
/// use dittolive_ditto::DatabaseId;
///
/// let id: DatabaseId = "My-Garden".parse()?;
/// assert_eq!(id, DatabaseId::from("my-garden"));
/// assert_eq!(id.as_str(), "My-Garden");
/// # Ok::<_, dittolive_ditto::error::DittoError>(())
/// ```
#[derive(Clone, Debug)]
pub struct DatabaseId(String);

/// [`DatabaseId`] under its older name.
pub type AppId = DatabaseId;

/// Where the vendor's cloud would be; nothing ever connects there unless it is configured.
const CLOUD_DOMAIN: &str = "cloud.ditto.live";

impl DatabaseId {
    /// A random id, a UUID.
    #[must_use]
    pub fn generate() -> Self {
        Self::from_uuid(Uuid::new_v4())
    }

    /// The UUID in lower case with hyphens.
    #[must_use]
    pub fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid.hyphenated().to_string())
    }

    /// The content of an environment variable.
    ///
    /// # Errors
    /// With a kind of `Config` when the variable is missing or not Unicode.
    pub fn from_env(var: &str) -> Result<Self, DittoError> {
        env::var(var).map(Self).map_err(|error| {
            DittoError::new(ErrorKind::Config, format!("the environment variable {var}: {error}"))
        })
    }

    /// The id as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as it was given, in the type of older interfaces.
    #[must_use]
    pub fn to_c_string(&self) -> OwnedCString {
        self.as_str().into()
    }

    /// The address of this database's authentication in the vendor's cloud: a text, not contacted by default.
    #[must_use]
    pub fn default_auth_url(&self) -> String {
        format!("https://{}.{CLOUD_DOMAIN}", self.0)
    }

    /// The address of this database's sync in the vendor's cloud: a text, not contacted by default.
    #[must_use]
    pub fn default_sync_url(&self) -> String {
        format!("wss://{}.{CLOUD_DOMAIN}", self.0)
    }

    fn folded(&self) -> String {
        self.0.to_lowercase()
    }
}

impl PartialEq for DatabaseId {
    fn eq(&self, other: &Self) -> bool {
        self.folded() == other.folded()
    }
}

impl Eq for DatabaseId {}

impl Hash for DatabaseId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.folded().hash(state);
    }
}

impl fmt::Display for DatabaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for DatabaseId {
    type Err = DittoError;

    /// Never fails.
    fn from_str(text: &str) -> Result<Self, DittoError> {
        Ok(text.into())
    }
}

impl From<&str> for DatabaseId {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for DatabaseId {
    fn from(text: String) -> Self {
        Self(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_ids_are_lower_case_uuids() {
        let id = DatabaseId::generate();
        assert_eq!(Uuid::parse_str(id.as_str()).unwrap().hyphenated().to_string(), id.to_string());
        assert_ne!(id, DatabaseId::generate());
    }

    #[test]
    fn a_missing_variable_is_a_config_error_that_names_it() {
        let error = DatabaseId::from_env("DITTO_NO_SUCH_VARIABLE").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("DITTO_NO_SUCH_VARIABLE"));
    }

    #[test]
    fn urls_are_texts_made_of_the_id() {
        let id = DatabaseId::from("x");
        assert!(id.default_auth_url().starts_with("https://x."));
        assert!(id.default_sync_url().starts_with("wss://x."));
    }
}
