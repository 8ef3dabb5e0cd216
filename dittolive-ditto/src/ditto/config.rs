use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use url::Url;

use crate::{
    cbor::{CborValue, encode_canonical},
    error::{CoreApiErrorKind, DittoError},
    ffi, fs,
};

/// How an instance is opened.
///
/// ```
/// use dittolive_ditto::{DittoConfig, DittoConfigConnect};
/// use serde_json::json;
///
/// let mut config = DittoConfig::new("my-garden", DittoConfigConnect::SmallPeersOnly { private_key: None })
///     .with_persistence_directory("/var/lib/garden");
/// config.system_parameters.insert("DQL_STRICT_MODE".into(), json!(true));
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DittoConfig {
    /// Peers with equal ids, letter case aside, belong together.
    pub database_id: String,
    /// Whom the instance connects with.
    pub connect: DittoConfigConnect,
    /// Where the data lives. A relative path starts at the directory of the running program; without a path it is
    /// `ditto-<database id in lower case>` there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistence_directory: Option<PathBuf>,
    /// Not settled yet.
    #[doc(hidden)]
    #[serde(default)]
    pub experimental: DittoConfigExperimental,
    /// System parameters that are set before anything runs.
    #[serde(default, skip_serializing_if = "HashMap::is_empty")]
    pub system_parameters: HashMap<String, serde_json::Value>,
}

/// Parts of the configuration that are not settled yet.
#[doc(hidden)]
#[non_exhaustive]
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct DittoConfigExperimental {
    /// Protects the directory.
    #[serde(default)]
    pub passphrase: Option<String>,
}

/// Whom an instance connects with.
#[non_exhaustive]
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum DittoConfigConnect {
    /// A server, and the peers that it vouches for.
    Server {
        /// The address of the server.
        url: Url,
    },
    /// Other peers only.
    SmallPeersOnly {
        /// Only peers with the same key connect: any bytes, of which 32 random ones are enough. A key that can be
        /// guessed can be guessed by whoever reaches the port. Without a key it is every peer that knows the database
        /// id, which is for development: the connections are encrypted, but anybody may be at the other end.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "base64_text")]
        private_key: Option<Vec<u8>>,
    },
}

/// Configurations are logged; secrets are not.
const SECRET: &str = "…";

impl fmt::Debug for DittoConfigExperimental {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let passphrase = self.passphrase.as_ref().map(|_| SECRET);
        f.debug_struct("DittoConfigExperimental").field("passphrase", &passphrase).finish()
    }
}

impl fmt::Debug for DittoConfigConnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server { url } => f.debug_struct("Server").field("url", &url.as_str()).finish(),
            Self::SmallPeersOnly { private_key } => {
                let private_key = private_key.as_ref().map(|_| SECRET);
                f.debug_struct("SmallPeersOnly").field("private_key", &private_key).finish()
            }
        }
    }
}

impl DittoConfig {
    /// A configuration with defaults for everything else.
    pub fn new<S: Into<String>>(database_id: S, connect: DittoConfigConnect) -> Self {
        Self {
            database_id: database_id.into(),
            connect,
            persistence_directory: None,
            experimental: DittoConfigExperimental::default(),
            system_parameters: HashMap::new(),
        }
    }

    /// Sets where the data lives.
    #[must_use]
    pub fn with_persistence_directory<P: Into<PathBuf>>(mut self, path: P) -> Self {
        self.persistence_directory = Some(path.into());
        self
    }

    /// Whether peers alone, without a server, make up the database.
    pub(super) fn is_offline(&self) -> bool {
        matches!(self.connect, DittoConfigConnect::SmallPeersOnly { .. })
    }

    /// Refuses what cannot be opened before anything is touched.
    pub(super) fn validate(&self) -> Result<(), DittoError> {
        if !self.is_offline() && uuid::Uuid::try_parse(&self.database_id).is_err() {
            return Err(DittoError::core(
                CoreApiErrorKind::ValidationInvalidDittoConfig,
                format!("with a server the database id must be a UUID, found \"{}\"", self.database_id),
            ));
        }
        if self.experimental.passphrase.is_some() {
            return Err(DittoError::core(
                CoreApiErrorKind::Unsupported,
                "a passphrase was given, but this version cannot encrypt the persistence directory",
            ));
        }
        Ok(())
    }

    /// The directory as an absolute path.
    pub(super) fn directory(&self) -> Result<PathBuf, DittoError> {
        let name = match &self.persistence_directory {
            Some(path) if path.is_absolute() => return Ok(path.clone()),
            Some(path) => path.clone(),
            None => PathBuf::from(format!("ditto-{}", as_file_name(&self.database_id))),
        };
        Ok(fs::executable_directory()?.join(name))
    }

    /// The configuration as the library takes it.
    pub(super) fn to_cbor(&self, directory: &Path) -> Result<Vec<u8>, DittoError> {
        let connect = match &self.connect {
            DittoConfigConnect::Server { url } => {
                map([("type", "server".into()), ("url", url.as_str().into())])
            }
            DittoConfigConnect::SmallPeersOnly { private_key } => map([
                ("type", "small_peers_only".into()),
                ("private_key", private_key.clone().map_or(CborValue::Null, CborValue::Bytes)),
            ]),
        };
        let system_parameters = CborValue::Map(
            self.system_parameters
                .iter()
                .map(|(name, value)| (name.as_str().into(), value.clone().into()))
                .collect(),
        );
        let config = map([
            ("database_id", self.database_id.as_str().into()),
            ("connect", connect),
            ("directory", ffi::path_to_cbor(directory)?),
            ("system_parameters", system_parameters),
        ]);
        Ok(encode_canonical(&config)?)
    }
}

fn map<const N: usize>(members: [(&str, CborValue); N]) -> CborValue {
    CborValue::Map(members.into_iter().map(|(key, value)| (key.into(), value)).collect())
}

/// The id in lower case, with everything that could mean something in a path written as `%` and hexadecimal digits.
fn as_file_name(database_id: &str) -> String {
    let mut name = String::new();
    for byte in database_id.to_lowercase().bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' => name.push(char::from(byte)),
            _ => name.push_str(&format!("%{byte:02x}")),
        }
    }
    name
}

mod base64_text {
    use base64::{Engine, prelude::BASE64_STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(key: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
        match key {
            Some(key) => serializer.serialize_some(&BASE64_STANDARD.encode(key)),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        Option::<String>::deserialize(deserializer)?
            .map(|text| BASE64_STANDARD.decode(text))
            .transpose()
            .map_err(|error| D::Error::custom(format_args!("the private key is not base64: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn offline(private_key: Option<Vec<u8>>) -> DittoConfig {
        DittoConfig::new("Garden/../x", DittoConfigConnect::SmallPeersOnly { private_key })
    }

    #[test]
    fn the_serde_form_is_tagged_and_omits_defaults() {
        let json = serde_json::to_value(offline(None)).unwrap();
        assert_eq!(json["connect"], json!({"type": "small_peers_only"}));
        assert_eq!(json.get("persistence_directory"), None);
        assert_eq!(json.get("system_parameters"), None);
        let json = serde_json::to_value(offline(Some(vec![1, 2, 3]))).unwrap();
        assert_eq!(json["connect"]["private_key"], json!("AQID"));
        let config: DittoConfig = serde_json::from_value(json).unwrap();
        assert!(
            matches!(config.connect, DittoConfigConnect::SmallPeersOnly { private_key: Some(key) } if key == [1, 2, 3])
        );
        let config: DittoConfig = serde_json::from_value(
            json!({"database_id": "x", "connect": {"type": "server", "url": "https://example.com"}}),
        )
        .unwrap();
        assert!(
            matches!(config.connect, DittoConfigConnect::Server { url } if url.host_str() == Some("example.com"))
        );
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut config = offline(Some(vec![123, 124, 125]));
        config.experimental.passphrase = Some("open sesame".to_owned());
        let shown = format!("{config:?}");
        assert!(shown.contains("private_key: Some(") && shown.contains("passphrase: Some("), "{shown}");
        assert!(!shown.contains("124") && !shown.contains("sesame"), "{shown}");
    }

    #[test]
    fn a_server_wants_a_uuid_in_any_letter_case() {
        let connect = DittoConfigConnect::Server { url: "https://example.com".parse().unwrap() };
        let error = DittoConfig::new("garden", connect.clone()).validate().unwrap_err();
        assert!(error.to_string().contains("garden"));
        DittoConfig::new("0A5F2C3E-8B1D-4E6F-9A7B-1C2D3E4F5A6B", connect).validate().unwrap();
    }

    #[test]
    fn the_directory_is_absolute_and_stays_below_its_root() {
        let root = fs::executable_directory().unwrap();
        assert_eq!(offline(None).directory().unwrap(), root.join("ditto-garden%2f..%2fx"));
        assert_eq!(offline(None).with_persistence_directory("a/b").directory().unwrap(), root.join("a/b"));
        let absolute = std::env::temp_dir().join("c");
        assert_eq!(offline(None).with_persistence_directory(&absolute).directory().unwrap(), absolute);
    }
}
