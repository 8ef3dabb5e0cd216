//! An embedded peer-to-peer, offline-first document database.
//!
//! An application opens a [`Ditto`] instance on a directory. [`Ditto::store`] runs DQL statements on the documents there
//! and observes queries; [`Ditto::sync`] says which documents this peer wants from others, and starts and stops
//! talking to them. Reads and writes are local and never wait for a network.
//!
//! ```
//! use dittolive_ditto::prelude::*;
//! use futures::executor::block_on;
//! use serde_json::json;
//!
//! fn main() -> Result<(), DittoError> {
//!     let root = TempRoot::new();
//!     let config = DittoConfig::new("my-garden", DittoConfigConnect::SmallPeersOnly { private_key: None })
//!         .with_persistence_directory(root.root_path());
//!     let ditto = Ditto::open_sync(config)?;
//!
//!     // What this peer wants to hold, from whoever has it.
//!     ditto.sync().register_subscription("SELECT * FROM plants WHERE bed = 'A'")?;
//!     ditto.sync().start()?;
//!
//!     // Called now, and again whenever the result changes, here or on another peer.
//!     let _observer = ditto.store().register_observer("SELECT * FROM plants ORDER BY name", |plants| {
//!         println!("{} plants", plants.item_count());
//!     })?;
//!
//!     let basil = json!({ "_id": "p1", "name": "Basil", "bed": "A", "height": 12 });
//!     block_on(ditto.store().execute(("INSERT INTO plants DOCUMENTS (:plant)", json!({ "plant": basil }))))?;
//!     let tall = block_on(ditto.store().execute("SELECT name FROM plants WHERE height > 10"))?;
//!     assert_eq!(tall.get_item(0).unwrap().json_string(), r#"{"name":"Basil"}"#);
//!     Ok(())
//! }
//! ```
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`ditto`] | opening, configuring and closing an instance |
//! | [`store`] | executing and observing statements, transactions, ids of documents; verifying, backing up, compacting |
//! | [`dql`] | queries, results, rows, observers, differences of results |
//! | [`sync`] | subscriptions, starting and stopping |
//! | [`transport`] | addresses to listen on and to connect to |
//! | [`cbor`] | values of fields |
//! | [`disk_usage`] | what the files of an instance take |
//! | [`error`] | errors and their kinds |
//! | [`fs`], [`logger`] | directories, the log |
//! | [`identity`] | who may take part, as the builder of older programs says it |
//!
//! Functions of the database block and belong to no async runtime; the few `async` ones do their work on the thread
//! that polls them, and wait for their turn to write without blocking it.

mod c_string;
pub mod cbor;
pub mod disk_usage;
pub mod ditto;
pub mod dql;
pub mod error;
mod ffi;
pub mod fs;
pub mod identity;
mod instance;
pub mod logger;
pub mod prelude;
pub mod store;
pub mod sync;
pub mod transport;

#[doc(hidden)]
pub use self::ditto::builder::DittoBuilder;
pub use self::{
    c_string::OwnedCString,
    ditto::{AppId, DatabaseId, Ditto, DittoConfig, DittoConfigConnect},
    logger::LogLevel,
};

/// The README's example, compiled with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
