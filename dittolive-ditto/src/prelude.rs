//! What most programs need: `use dittolive_ditto::prelude::*;`.

#[expect(deprecated, reason = "programs that use it are told so where they do")]
pub use crate::ditto::SiteId;
pub use crate::{
    cbor::{CborValue, CborValueGetters},
    disk_usage::{DiskUsage, DiskUsageItem, DiskUsageObserverHandle, FileSystemType},
    ditto::{AppId, DatabaseId, Ditto, DittoConfig, DittoConfigConnect, builder::DittoBuilder},
    dql::IntoQuery,
    error::DittoError,
    fs::{DittoRoot, PersistentRoot, TempRoot},
    identity::{self, Identity, OfflinePlayground, SharedKey},
    logger::{CLogLevel, DittoLogger, LogLevel},
    store::{
        DocumentId, Store, StringPrimitiveFormat,
        transactions::{CreateTransactionOptions, Transaction, TransactionCompletionAction, TransactionInfo},
    },
    transport::{HttpListenConfig, TcpListenConfig, TransportConfig},
};
