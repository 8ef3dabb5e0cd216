//! Virtual collections: read-only rows that are computed when they are read.

use std::collections::BTreeMap;
use std::sync::Arc;

use ditto_value::Object;
use parking_lot::RwLock;

/// Computes the rows of a virtual collection.
pub(crate) type Rows = Arc<dyn Fn() -> Vec<Object> + Send + Sync>;

/// What applications may not write to, and what SELECT finds by a name with this prefix.
pub(crate) const SYSTEM_PREFIX: &str = "system:";

/// Registered virtual collections by their full name.
#[derive(Default)]
pub(crate) struct VirtualCollections(RwLock<BTreeMap<String, Rows>>);

impl VirtualCollections {
    pub(crate) fn register(&self, name: &str, rows: Rows) {
        self.0.write().insert(name.to_string(), rows);
    }

    /// The rows of `name`, computed outside of any lock; `None` if there is no such collection.
    pub(crate) fn rows(&self, name: &str) -> Option<Vec<Object>> {
        let rows = self.0.read().get(name).cloned()?;
        Some(rows())
    }
}
