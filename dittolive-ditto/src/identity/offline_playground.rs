use std::sync::Arc;

use super::{Identity, sealed};
use crate::{AppId, DittoConfigConnect, error::DittoError, fs::DittoRoot};

/// Every peer that knows the id of the database is a member: for development.
#[derive(Clone, Debug)]
pub struct OfflinePlayground {
    app_id: AppId,
}

impl OfflinePlayground {
    /// The identity of that database. The root is taken for the sake of older programs.
    ///
    /// # Errors
    /// None; the signature is that of all identities.
    pub fn new(_ditto_root: Arc<dyn DittoRoot>, app_id: AppId) -> Result<Self, DittoError> {
        Ok(Self { app_id })
    }

    /// The identity of a new database.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn random(ditto_root: Arc<dyn DittoRoot>) -> Result<Self, DittoError> {
        Self::new(ditto_root, AppId::generate())
    }
}

impl sealed::Identity for OfflinePlayground {
    fn app_id(&self) -> &AppId {
        &self.app_id
    }

    fn connect(&self) -> DittoConfigConnect {
        DittoConfigConnect::SmallPeersOnly { private_key: None }
    }
}

impl Identity for OfflinePlayground {
    /// Fails with a kind of `InvalidInput`: there is no server.
    fn auth_url(&self) -> Result<String, DittoError> {
        Err(no_server())
    }

    /// Fails with a kind of `InvalidInput`: there is no server.
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
    DittoError::invalid_input("an OfflinePlayground has no server, so it has no address")
}
