use std::{fmt, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};

use super::{Identity, sealed};
use crate::{
    AppId, DittoConfigConnect,
    error::{DittoError, ErrorKind},
    fs::DittoRoot,
};

/// The tag of an ASN.1 SEQUENCE, with which a private key in DER begins.
const SEQUENCE: u8 = 0x30;

/// Only peers with the same key are members.
#[derive(Clone)]
pub struct SharedKey {
    app_id: AppId,
    key: Vec<u8>,
}

impl SharedKey {
    /// The identity of that database with a private key: base64 of its DER form, as
    /// `openssl ecparam -name prime256v1 -genkey -noout -outform DER | base64 -w 0` makes it. It is the same key as these DER
    /// bytes in [`DittoConfigConnect::SmallPeersOnly`]. The root is taken for the sake of older programs.
    ///
    /// # Errors
    /// With a kind of `Config` when the key is of another form.
    pub fn new(
        _ditto_root: Arc<dyn DittoRoot>,
        app_id: AppId,
        key_der_b64: &str,
    ) -> Result<Self, DittoError> {
        let wrong = |problem: String| {
            DittoError::new(
                ErrorKind::Config,
                format!("the shared key must be base64 of a private key in DER form: {problem}"),
            )
        };
        let key = BASE64_STANDARD.decode(key_der_b64.trim()).map_err(|error| wrong(error.to_string()))?;
        if key.first() != Some(&SEQUENCE) {
            return Err(wrong("what was decoded is no DER sequence".to_owned()));
        }
        Ok(Self { app_id, key })
    }
}

impl sealed::Identity for SharedKey {
    fn app_id(&self) -> &AppId {
        &self.app_id
    }

    fn connect(&self) -> DittoConfigConnect {
        DittoConfigConnect::SmallPeersOnly { private_key: Some(self.key.clone()) }
    }
}

impl Identity for SharedKey {
    /// Fails with a kind of `Config`: there is no server.
    fn auth_url(&self) -> Result<String, DittoError> {
        Err(no_server())
    }

    /// Fails with a kind of `Config`: there is no server.
    fn sync_url(&self) -> Result<String, DittoError> {
        Err(no_server())
    }

    fn is_cloud_sync_enabled(&self) -> bool {
        false
    }

    fn requires_offline_only_license_token(&self) -> bool {
        false
    }
}

fn no_server() -> DittoError {
    DittoError::new(ErrorKind::Config, "a SharedKey has no server, so it has no address")
}

/// Without the key.
impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedKey").field("app_id", &self.app_id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::TempRoot;

    #[test]
    fn a_key_is_der_in_base64() {
        let new = |key: &str| SharedKey::new(Arc::new(TempRoot::new()), AppId::from("x"), key);
        for wrong in ["", "not base64!", "AAAA"] {
            assert_eq!(new(wrong).unwrap_err().kind(), ErrorKind::Config, "{wrong}");
        }
        let key = new(" MAMCAQE=\n").unwrap();
        assert!(!format!("{key:?}").contains("48"), "a key is never shown");
        assert_eq!(key.auth_url().unwrap_err().kind(), ErrorKind::Config);
        let DittoConfigConnect::SmallPeersOnly { private_key: Some(bytes) } = sealed::Identity::connect(&key)
        else {
            panic!()
        };
        assert_eq!(bytes, [0x30, 3, 2, 1, 1]);
    }
}
