//! Who may take part, as programs of the builder say it: [`OfflinePlayground`] and [`SharedKey`].
//!
//! They are another way to write a [`DittoConfigConnect`], for [`DittoBuilder`](crate::ditto::builder::DittoBuilder).

mod offline_playground;
mod shared_key;

use crate::{AppId, DittoConfigConnect, error::DittoError};

pub use self::{offline_playground::OfflinePlayground, shared_key::SharedKey};

/// An identity of the builder. Only the types of this module are identities.
pub trait Identity: sealed::Identity + Send + Sync {
    /// Where the database's authentication is.
    ///
    /// # Errors
    /// When the identity knows no server.
    fn auth_url(&self) -> Result<String, DittoError>;

    /// Where the database's server is.
    ///
    /// # Errors
    /// When the identity knows no server.
    fn sync_url(&self) -> Result<String, DittoError>;

    /// Whether a server is connected to besides what the transport configuration says.
    fn is_cloud_sync_enabled(&self) -> bool;

    /// Whether sync needs a license token, which it never does.
    fn requires_offline_only_license_token(&self) -> bool;
}

pub(crate) mod sealed {
    use super::{AppId, DittoConfigConnect};

    /// What the builder asks an identity for.
    pub trait Identity {
        /// The database.
        fn app_id(&self) -> &AppId;

        /// Whom to connect with.
        fn connect(&self) -> DittoConfigConnect;
    }
}

/// What an authentication server said beyond yes or no.
#[derive(Clone, Debug)]
pub struct AuthenticationClientFeedback {
    /// Its words, if there were any.
    pub feedback: Option<serde_json::Value>,
}
