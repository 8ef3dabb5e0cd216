//! What most programs need: `use dittolive_ditto::prelude::*;`.

pub use crate::{
    cbor::{CborValue, CborValueGetters},
    ditto::{AppId, DatabaseId, Ditto, DittoConfig, DittoConfigConnect},
    dql::IntoQuery,
    error::DittoError,
    fs::{DittoRoot, PersistentRoot, TempRoot},
    logger::{CLogLevel, DittoLogger, LogLevel},
    store::{
        DocumentId, Store, StringPrimitiveFormat,
        transactions::{CreateTransactionOptions, Transaction, TransactionCompletionAction, TransactionInfo},
    },
    transport::{HttpListenConfig, TcpListenConfig, TransportConfig},
};
