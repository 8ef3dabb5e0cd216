//! The configuration of a peer and the arguments of a statement, decoded from CBOR.
//!
//! The shape is documented at `dittoffi_peer_open`. Unknown keys are errors: a misspelt one must not be ignored.

use std::path::PathBuf;

use ditto_peer::{Connect, PeerConfig};
use ditto_value::{CborError, Object, Value, ValueKind, ValueRef, binary};

use crate::error::{Error, ErrorCode};

/// Arguments of a statement: a CBOR map, or nothing at all.
pub(crate) fn arguments(cbor: &[u8]) -> Result<Object, Error> {
    Ok(arguments_binary(cbor)?.value().to_object().unwrap_or_default())
}

/// [`arguments`] in the binary form, which statements read in place.
pub(crate) fn arguments_binary(cbor: &[u8]) -> Result<Arguments, Error> {
    const NONE: u8 = 0xA0;
    let cbor = if cbor.is_empty() { &[NONE] } else { cbor };
    let invalid = |message: String| Error::new(ErrorCode::DqlInvalidQueryArgs, message);
    let arguments = binary::from_cbor(cbor)
        .map(Arguments)
        .map_err(|error| invalid(malformed(&error, "the arguments").message().to_owned()))?;
    match arguments.value().kind() {
        ValueKind::Object => Ok(arguments),
        _ => {
            let found = kind(&arguments.value().to_value());
            Err(invalid(format!("the arguments must be a map from name to value, not {found}")))
        }
    }
}

/// An object in the binary form.
pub(crate) struct Arguments(Vec<u8>);

impl Arguments {
    pub(crate) fn value(&self) -> ValueRef<'_> {
        ValueRef::from_stored(&self.0)
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// A path in the system's own bytes where paths are bytes, else as text.
pub(crate) fn path(bytes: &[u8], name: &str) -> Result<PathBuf, Error> {
    if bytes.is_empty() {
        return Err(Error::new(ErrorCode::InvalidInput, format!("{name} is empty")));
    }
    #[cfg(unix)]
    {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};
        Ok(OsStr::from_bytes(bytes).into())
    }
    #[cfg(not(unix))]
    {
        let text = std::str::from_utf8(bytes);
        text.map(PathBuf::from)
            .map_err(|error| Error::new(ErrorCode::InvalidInput, format!("{name} is not UTF-8: {error}")))
    }
}

/// The configuration of a peer.
pub(crate) fn peer(cbor: &[u8]) -> Result<PeerConfig, Error> {
    let mut fields = Fields::of("the configuration", decode(cbor, "the configuration")?)?;
    let config = PeerConfig {
        database_id: fields.text("database_id")?.ok_or_else(|| fields.missing("database_id"))?,
        connect: connect(fields.take("connect").ok_or_else(|| fields.missing("connect"))?)?,
        directory: fields.path("directory")?.ok_or_else(|| fields.missing("directory"))?,
        device_name: fields.text("device_name")?,
        in_memory: fields.flag("in_memory")?.unwrap_or(false),
        system_parameters: match fields.take("system_parameters") {
            None => Object::new(),
            Some(Value::Object(parameters)) => parameters,
            Some(other) => return Err(fields.wrong("system_parameters", "a map", &other)),
        }
        .into_iter()
        .collect(),
    };
    fields.finish()?;
    Ok(config)
}

fn connect(value: Value) -> Result<Connect, Error> {
    let mut fields = Fields::of("`connect`", value)?;
    let connect = match fields.text("type")?.as_deref() {
        Some("small_peers_only") => Connect::SmallPeersOnly { private_key: fields.bytes("private_key")? },
        Some("server") => Connect::Server { url: fields.text("url")?.ok_or_else(|| fields.missing("url"))? },
        Some(other) => {
            return Err(invalid(format!(
                "`connect` has the type \"{other}\"; known are \"small_peers_only\" and \"server\""
            )));
        }
        None => return Err(fields.missing("type")),
    };
    fields.finish()?;
    Ok(connect)
}

fn decode(cbor: &[u8], name: &str) -> Result<Value, Error> {
    Value::from_cbor(cbor).map_err(|error| malformed(&error, name))
}

fn malformed(error: &CborError, name: &str) -> Error {
    let cause = Error::caused(ErrorCode::ValidationInvalidCbor, error);
    Error::new(ErrorCode::ValidationInvalidCbor, format!("{name}: {}", cause.message()))
}

fn invalid(message: String) -> Error {
    Error::new(ErrorCode::ValidationInvalidDittoConfig, message)
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Int(_) | Value::UInt(_) => "an integer",
        Value::Float(_) => "a float",
        Value::Bytes(_) => "bytes",
        Value::String(_) => "text",
        Value::Array(_) => "an array",
        Value::Object(_) => "a map",
    }
}

/// A map that is emptied key by key; null counts as absent.
struct Fields {
    name: &'static str,
    object: Object,
}

impl Fields {
    fn of(name: &'static str, value: Value) -> Result<Self, Error> {
        match value {
            Value::Object(object) => Ok(Self { name, object }),
            other => Err(invalid(format!("{name} must be a map, not {}", kind(&other)))),
        }
    }

    fn take(&mut self, key: &str) -> Option<Value> {
        self.object.remove(key).filter(|value| !matches!(value, Value::Null))
    }

    fn text(&mut self, key: &str) -> Result<Option<String>, Error> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(key, "text", &other)),
        }
    }

    fn bytes(&mut self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Bytes(bytes)) => Ok(Some(bytes)),
            Some(other) => Err(self.wrong(key, "bytes", &other)),
        }
    }

    fn flag(&mut self, key: &str) -> Result<Option<bool>, Error> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(self.wrong(key, "a boolean", &other)),
        }
    }

    fn path(&mut self, key: &str) -> Result<Option<PathBuf>, Error> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.into())),
            #[cfg(unix)]
            Some(Value::Bytes(bytes)) => {
                use std::{ffi::OsString, os::unix::ffi::OsStringExt as _};
                Ok(Some(OsString::from_vec(bytes).into()))
            }
            Some(other) => Err(self.wrong(key, "a path", &other)),
        }
    }

    fn missing(&self, key: &str) -> Error {
        invalid(format!("{} has no `{key}`", self.name))
    }

    fn wrong(&self, key: &str, expected: &str, found: &Value) -> Error {
        invalid(format!("`{key}` in {} must be {expected}, not {}", self.name, kind(found)))
    }

    fn finish(self) -> Result<(), Error> {
        match self.object.iter().next() {
            None => Ok(()),
            Some((key, _)) => Err(invalid(format!("{} has an unknown key `{key}`", self.name))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> Result<PeerConfig, Error> {
        peer(&Value::from_json(json).unwrap().to_cbor())
    }

    #[test]
    fn a_configuration_is_read() {
        let config = config(
            r#"{"database_id": "d", "connect": {"type": "server", "url": "wss://x"}, "directory": "/d",
                "device_name": null, "in_memory": true, "system_parameters": {"a": 1}}"#,
        )
        .unwrap();
        assert_eq!(config.database_id, "d");
        assert_eq!(config.connect, Connect::Server { url: "wss://x".to_owned() });
        assert_eq!(config.directory, PathBuf::from("/d"));
        assert_eq!(config.device_name, None);
        assert!(config.in_memory);
        assert_eq!(config.system_parameters.get("a"), Some(&Value::Int(1)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (json, named) in [
            ("{}", "database_id"),
            ("[]", "must be a map"),
            (r#"{"database_id": 1}"#, "database_id"),
            (r#"{"database_id": "d", "connect": {"type": "ship"}}"#, "\"ship\""),
            (r#"{"database_id": "d", "connect": {"type": "server"}}"#, "url"),
            (
                r#"{"database_id": "d", "connect": {"type": "small_peers_only", "private_key": "x"}}"#,
                "private_key",
            ),
            (r#"{"database_id": "d", "connect": {"type": "small_peers_only", "key": "x"}}"#, "`key`"),
            (r#"{"database_id": "d", "connect": {"type": "small_peers_only"}}"#, "directory"),
            (
                r#"{"database_id": "d", "connect": {"type": "small_peers_only"}, "directory": "/d", "dir": "/d"}"#,
                "`dir`",
            ),
        ] {
            let error = config(json).unwrap_err();
            assert!(error.message().contains(named), "{json}: {}", error.message());
        }
    }

    #[test]
    fn arguments_are_a_map_or_nothing() {
        assert!(arguments(b"").unwrap().is_empty());
        assert_eq!(arguments(b"\xa1\x61a\x01").unwrap().get("a"), Some(&Value::Int(1)));
        assert!(arguments(b"\x01").unwrap_err().message().contains("an integer"));
        for wrong in [b"\x01".as_slice(), b"\xa1", b"\xa1\x01\x01", b"\xa1\x61a\xf9\x7e\x00"] {
            let error = arguments(wrong).unwrap_err();
            assert!(error.message().contains("the arguments"), "{}", error.message());
            assert_eq!(error.code(), ErrorCode::DqlInvalidQueryArgs);
        }
    }
}
