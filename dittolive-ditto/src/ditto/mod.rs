//! An instance: [`Ditto`].

pub mod builder;
mod config;
mod id;
mod license;

use std::{
    env, fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use self::builder::DittoBuilder;
pub use self::{
    config::{DittoConfig, DittoConfigConnect, DittoConfigExperimental},
    id::{AppId, DatabaseId},
};
pub use crate::logger::LogLevel;
use crate::{
    disk_usage::DiskUsage,
    error::{DittoError, ErrorKind},
    ffi,
    fs::{DittoRoot, PersistentRoot},
    identity::OfflinePlayground,
    instance::Instance,
    logger::{DittoLogger, log},
    store::Store,
    sync::Sync,
    transport::TransportConfig,
};

/// The configuration of an instance, under the path of older programs.
#[doc(hidden)]
pub mod init {
    pub use super::{DittoConfig, DittoConfigConnect};
}

/// A peer's number in older interfaces. Peers are named by their keys.
#[deprecated(note = "peers are named by their keys")]
pub type SiteId = u64;

/// A name of older interfaces, without content.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct TransportDiagnostics;

/// A running instance of the database in one directory: documents, and sync with other peers.
///
/// Share it as `Arc<Ditto>`. Dropping it, or [`close`](Self::close), stops sync, ends observers and subscriptions, and
/// unlocks the directory; both block until that is done.
///
/// ```
/// use dittolive_ditto::prelude::*;
///
/// let root = TempRoot::new();
/// let config = DittoConfig::new("my-garden", DittoConfigConnect::SmallPeersOnly { private_key: None })
///     .with_persistence_directory(root.root_path());
/// let ditto = Ditto::open_sync(config)?;
/// assert_eq!(ditto.app_id(), DatabaseId::from("my-garden"));
/// # Ok::<_, DittoError>(())
/// ```
pub struct Ditto {
    store: Store,
    sync: Sync,
    disk_usage: DiskUsage,
    /// With the directory resolved.
    config: DittoConfig,
    directory: PathBuf,
    instance: Arc<Instance>,
    /// Of an instance that was built: removed, if it is temporary, after the instance has closed.
    root: Option<Arc<dyn DittoRoot>>,
}

impl Ditto {
    /// Opens an instance. The work is done on the polling thread, without an async runtime.
    ///
    /// # Errors
    /// - `CoreApi(LockedDittoWorkingDirectory)`: another instance, here or in another process, has the directory.
    /// - `CoreApi(ValidationInvalidDittoConfig)`: the configuration cannot be used; the message says what of it.
    /// - `CoreApi(ParameterQuery)`: a system parameter is unknown or its value does not fit; the message names it.
    /// - `IO` and `CoreApi(Io…)`: the directory cannot be used.
    /// - `CoreApi(StoreDiskFull)`: there is no room for what is needed to open it.
    /// - `CoreApi(StoreCorrupt)`: its files are damaged; open a backup, or use a new directory and let it sync.
    /// - `CoreApi(StoreFormatUnsupported)`: a later version has written it.
    pub async fn open(config: DittoConfig) -> Result<Self, DittoError> {
        Self::open_sync(config)
    }

    /// Opens an instance, and blocks meanwhile.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_sync(config: DittoConfig) -> Result<Self, DittoError> {
        ffi::check_library()?;
        config.validate()?;
        let directory = config.directory()?;
        let peer = ffi::Peer::open(&config.to_cbor(&directory)?)?;
        let directory = peer.directory()?;
        let instance = Arc::new(Instance::new(peer));
        Ok(Self {
            store: Store::new(instance.clone()),
            sync: Sync::new(instance.clone()),
            disk_usage: DiskUsage::new(instance.clone()),
            config: config.with_persistence_directory(&directory),
            directory,
            instance,
            root: None,
        })
    }

    /// Opens an instance step by step, in the way of older programs.
    #[must_use]
    pub fn builder() -> DittoBuilder {
        DittoBuilder::default()
    }

    /// An instance of an [`OfflinePlayground`] in the directory of the running program.
    ///
    /// # Panics
    /// When it cannot be opened; [`Ditto::open_sync`] gives an error instead.
    #[deprecated(note = "use `Ditto::open` or `Ditto::open_sync`")]
    #[must_use]
    #[expect(clippy::panic, reason = "the signature has no other way to fail, and this one is documented")]
    pub fn new(app_id: AppId) -> Self {
        let build = || {
            Self::builder()
                .with_root(Arc::new(PersistentRoot::from_current_exe()?))
                .with_minimum_log_level(LogLevel::Info)
                .with_identity(|root| OfflinePlayground::new(root, app_id))?
                .build()
        };
        match build() {
            Ok(ditto) => ditto,
            Err(error) => panic!("{error}"),
        }
    }

    /// Closes the instance, as dropping it does.
    pub fn close(self) {
        drop(self);
    }

    /// The documents.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Sync with other peers.
    #[must_use]
    pub fn sync(&self) -> &Sync {
        &self.sync
    }

    /// What the files of this instance take.
    #[must_use]
    pub fn disk_usage(&self) -> &DiskUsage {
        &self.disk_usage
    }

    /// [`Sync::start`].
    ///
    /// # Errors
    /// As there.
    pub fn start_sync(&self) -> Result<(), DittoError> {
        self.sync.start()
    }

    /// [`Sync::stop`].
    pub fn stop_sync(&self) {
        self.sync.stop();
    }

    /// [`Sync::is_active`].
    #[must_use]
    pub fn is_sync_active(&self) -> bool {
        self.sync.is_active()
    }

    /// Replaces the transport configuration. It applies at once when sync is active: connections to addresses that were
    /// removed close. What the platform does not have is ignored; other problems are logged.
    pub fn set_transport_config(&self, config: TransportConfig) {
        if let Err(error) = self.try_set_transport_config(&config) {
            log(LogLevel::Error, &format!("the transport configuration was not applied: {error}"));
        }
    }

    /// [`set_transport_config`](Self::set_transport_config) that tells what could not be served, in words: while sync is not
    /// active, addresses that are none and what the platform does not have; when it is, also what the network refuses, such as
    /// a port in use.
    ///
    /// # Errors
    /// With a kind of `ReleasedDittoInstance` when the instance is closed.
    pub fn try_set_transport_config(&self, config: &TransportConfig) -> Result<Vec<String>, DittoError> {
        let problems = self.instance.peer.set_transport_config(&serde_json::to_string(config)?)?;
        Ok(serde_json::from_slice(&problems)?)
    }

    /// Reads the transport configuration, lets `update` change it, and sets it.
    pub fn update_transport_config(&self, update: impl FnOnce(&mut TransportConfig)) {
        let mut config = self.transport_config();
        update(&mut config);
        self.set_transport_config(config);
    }

    /// The transport configuration as it is now.
    #[must_use]
    pub fn transport_config(&self) -> TransportConfig {
        self.read_transport_config().unwrap_or_else(|error| {
            log(LogLevel::Error, &format!("the transport configuration cannot be read: {error}"));
            TransportConfig::default()
        })
    }

    /// [`transport_config`](Self::transport_config) under its older name.
    ///
    /// # Errors
    /// With a kind of `ReleasedDittoInstance` when the instance is closed.
    #[deprecated(note = "use `transport_config`")]
    pub fn current_transport_config(&self) -> Result<TransportConfig, DittoError> {
        self.read_transport_config()
    }

    fn read_transport_config(&self) -> Result<TransportConfig, DittoError> {
        Ok(serde_json::from_slice(&self.instance.peer.transport_config()?)?)
    }

    /// Takes a license token. No feature needs one; the token's form is checked, and that is all.
    ///
    /// # Errors
    /// With a kind of `License` when it does not look like a token, and of `Internal` on an instance with a server, which
    /// takes none.
    pub fn set_offline_only_license_token(&self, license_token: &str) -> Result<(), DittoError> {
        if !self.config.is_offline() {
            return Err(DittoError::new(
                ErrorKind::Internal,
                "an instance that connects with a server takes no license token",
            ));
        }
        license::check_form(license_token)
    }

    /// [`set_offline_only_license_token`](Self::set_offline_only_license_token) with the content of an environment variable.
    ///
    /// # Errors
    /// With a kind of `Config` when the variable is missing or not Unicode; else as there.
    pub fn set_license_from_env(&self, var_name: &str) -> Result<(), DittoError> {
        let token = env::var(var_name).map_err(|error| {
            DittoError::new(ErrorKind::Config, format!("the environment variable {var_name}: {error}"))
        })?;
        self.set_offline_only_license_token(&token)
    }

    /// Whether sync may start, which it always may.
    #[must_use]
    pub fn is_activated(&self) -> bool {
        true
    }

    /// The configuration that is in effect, with an absolute directory.
    #[must_use]
    pub fn config(&self) -> DittoConfig {
        self.config.clone()
    }

    /// Where the data lives.
    #[must_use]
    pub fn absolute_persistence_directory(&self) -> PathBuf {
        self.directory.clone()
    }

    /// The id of the database.
    #[must_use]
    pub fn app_id(&self) -> AppId {
        self.config.database_id.as_str().into()
    }

    /// Sets the name that other peers see, at first the host's. A long one is cut.
    pub fn set_device_name(&self, name: &str) {
        if let Err(error) = self.instance.peer.set_device_name(name) {
            log(LogLevel::Error, &format!("the device name was not set: {error}"));
        }
    }

    /// The version of the SDK.
    #[must_use]
    pub fn version() -> String {
        env!("CARGO_PKG_VERSION").to_owned()
    }

    /// [`version`](Self::version) without an allocation.
    pub fn with_sdk_version<R>(ret: impl FnOnce(&str) -> R) -> R {
        ret(env!("CARGO_PKG_VERSION"))
    }

    /// [`absolute_persistence_directory`](Self::absolute_persistence_directory) under an older name.
    #[deprecated(note = "use `absolute_persistence_directory`")]
    #[must_use]
    pub fn persistence_directory(&self) -> &Path {
        &self.directory
    }

    /// [`absolute_persistence_directory`](Self::absolute_persistence_directory) under an older name.
    #[deprecated(note = "use `absolute_persistence_directory`")]
    #[must_use]
    pub fn root_dir(&self) -> &Path {
        &self.directory
    }

    /// [`absolute_persistence_directory`](Self::absolute_persistence_directory) under an older name.
    #[deprecated(note = "use `absolute_persistence_directory`")]
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.directory
    }

    /// [`app_id`](Self::app_id) under an older name.
    #[deprecated(note = "use `app_id`")]
    #[must_use]
    pub fn application_id(&self) -> AppId {
        self.app_id()
    }

    /// [`DittoLogger::set_logging_enabled`].
    #[deprecated(note = "use `DittoLogger`")]
    pub fn set_logging_enabled(enabled: bool) {
        DittoLogger::set_logging_enabled(enabled);
    }

    /// [`DittoLogger::get_logging_enabled`].
    #[deprecated(note = "use `DittoLogger`")]
    #[must_use]
    pub fn get_logging_enabled() -> bool {
        DittoLogger::get_logging_enabled()
    }

    /// [`DittoLogger::set_minimum_log_level`].
    #[deprecated(note = "use `DittoLogger`")]
    pub fn set_minimum_log_level(log_level: LogLevel) {
        DittoLogger::set_minimum_log_level(log_level);
    }

    /// [`DittoLogger::get_minimum_log_level`].
    #[deprecated(note = "use `DittoLogger`")]
    #[must_use]
    pub fn get_minimum_log_level() -> LogLevel {
        DittoLogger::get_minimum_log_level()
    }

    /// There is nothing to turn off; always succeeds.
    ///
    /// # Errors
    /// None.
    pub fn disable_sync_with_v3(&self) -> Result<(), DittoError> {
        Ok(())
    }
}

impl Drop for Ditto {
    fn drop(&mut self) {
        self.instance.close();
    }
}

impl fmt::Debug for Ditto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ditto")
            .field("database_id", &self.config.database_id)
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}
