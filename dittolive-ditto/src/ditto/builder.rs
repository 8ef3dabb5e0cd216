//! Opening an instance step by step: [`DittoBuilder`].

use std::{path, sync::Arc};

use super::{Ditto, DittoConfig};
use crate::{
    error::{DittoError, ErrorKind},
    fs::{DittoRoot, TempRoot},
    identity::Identity,
    logger::{DittoLogger, LogLevel},
    transport::TransportConfig,
};

/// Opens an instance in the way of older programs; newer ones use [`Ditto::open`] with a [`DittoConfig`].
///
/// First comes the root, then the identity, then the transport configuration.
///
/// ```
/// use dittolive_ditto::{ditto::builder::DittoBuilder, prelude::*};
///
/// let ditto = DittoBuilder::default()
///     .with_temp_dir()
///     .with_identity(|root| OfflinePlayground::new(root, AppId::from("my-garden")))?
///     .with_transport_config(|_identity| TransportConfig::new())?
///     .build()?;
/// assert_eq!(ditto.app_id().as_str(), "my-garden");
/// # Ok::<_, DittoError>(())
/// ```
#[derive(Default)]
pub struct DittoBuilder {
    root: Option<Arc<dyn DittoRoot>>,
    identity: Option<Arc<dyn Identity>>,
    transport_config: Option<TransportConfig>,
    minimum_log_level: Option<LogLevel>,
}

impl DittoBuilder {
    /// A builder without anything.
    #[doc(hidden)]
    #[deprecated(note = "use `Ditto::builder`")]
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Where the data lives. The instance keeps the root for as long as it is open.
    #[must_use]
    pub fn with_root(mut self, ditto_root: Arc<dyn DittoRoot>) -> Self {
        self.root = Some(ditto_root);
        self
    }

    /// The data lives in a new [`TempRoot`], which is removed when the instance has closed.
    #[must_use]
    pub fn with_temp_dir(self) -> Self {
        self.with_root(Arc::new(TempRoot::new()))
    }

    /// The least grave level that the log of the process shows.
    #[must_use]
    pub fn with_minimum_log_level(mut self, log_level: LogLevel) -> Self {
        self.minimum_log_level = Some(log_level);
        self
    }

    /// Which database, and who may take part in it.
    ///
    /// # Errors
    /// With a kind of `Config` when there is no root yet, and what `factory` fails with.
    pub fn with_identity<F, I>(mut self, factory: F) -> Result<Self, DittoError>
    where
        F: FnOnce(Arc<dyn DittoRoot>) -> Result<I, DittoError>,
        I: Identity + 'static,
    {
        let root = self.root.clone().ok_or_else(|| lacks("a root", "with_root"))?;
        self.identity = Some(Arc::new(factory(root)?));
        Ok(self)
    }

    /// The transport configuration that the instance begins with.
    ///
    /// # Errors
    /// With a kind of `Config` when there is no identity yet.
    pub fn with_transport_config<T>(mut self, factory: T) -> Result<Self, DittoError>
    where
        T: FnOnce(Arc<dyn Identity>) -> TransportConfig,
    {
        let identity = self.identity.clone().ok_or_else(|| lacks("an identity", "with_identity"))?;
        self.transport_config = Some(factory(identity));
        Ok(self)
    }

    /// Opens the instance, and blocks meanwhile.
    ///
    /// # Errors
    /// With a kind of `Config` when root or identity is missing, else as [`Ditto::open`].
    pub fn build(self) -> Result<Ditto, DittoError> {
        let root = self.root.ok_or_else(|| lacks("a root", "with_root"))?;
        let identity = self.identity.ok_or_else(|| lacks("an identity", "with_identity"))?;
        if let Some(level) = self.minimum_log_level {
            DittoLogger::set_minimum_log_level(level);
        }
        // Relative roots are relative to the working directory, other than the paths of a DittoConfig.
        let directory = path::absolute(root.root_path())?;
        let config = DittoConfig::new(identity.app_id().as_str(), identity.connect())
            .with_persistence_directory(directory);
        let mut ditto = Ditto::open_sync(config)?;
        ditto.root = Some(root);
        if let Some(config) = self.transport_config {
            ditto.set_transport_config(config);
        }
        Ok(ditto)
    }
}

fn lacks(what: &str, call: &str) -> DittoError {
    DittoError::new(ErrorKind::Config, format!("the builder has not got {what} yet: call `{call}` before"))
}
