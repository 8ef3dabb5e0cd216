//! Virtual collections: read-only rows that are computed when they are read.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use ditto_value::Object;
use parking_lot::{Mutex, RwLock};

use crate::error::StoreError;

/// Is given row after row; may stop that.
pub(crate) type EachRow<'f> = dyn FnMut(Object) -> Result<ControlFlow<()>, StoreError> + 'f;

/// Computes the rows of a virtual collection, one after the other.
pub(crate) type Rows = Arc<dyn Fn(&mut EachRow<'_>) -> Result<ControlFlow<()>, StoreError> + Send + Sync>;

/// What applications may not write to, and what SELECT finds by a name with this prefix.
pub(crate) const SYSTEM_PREFIX: &str = "system:";

/// So many unknown names are remembered.
const MAX_UNKNOWN: usize = 64;

/// Registered virtual collections by their full name.
#[derive(Default)]
pub(crate) struct VirtualCollections {
    registered: RwLock<BTreeMap<String, Registered>>,
    /// Names that were asked for and are none.
    unknown: Mutex<BTreeSet<String>>,
}

#[derive(Clone)]
struct Registered {
    rows: Rows,
    /// Its observers hear of every change, so that they need not look.
    tells: bool,
}

impl VirtualCollections {
    pub(crate) fn register(&self, name: &str, rows: Rows, tells: bool) {
        self.registered.write().insert(name.to_string(), Registered { rows, tells });
    }

    /// Calls `each` with the rows of `name`, outside of any lock. A collection that is not there has none.
    pub(crate) fn for_each_row(
        &self,
        name: &str,
        each: &mut EachRow<'_>,
    ) -> Result<ControlFlow<()>, StoreError> {
        let registered = self.registered.read().get(name).cloned();
        match registered {
            Some(Registered { rows, .. }) => rows(each),
            None => {
                self.warn(name);
                Ok(ControlFlow::Continue(()))
            }
        }
    }

    /// Whether the observers of `name` hear of every change of it.
    pub(crate) fn tells(&self, name: &str) -> bool {
        self.registered.read().get(name).is_some_and(|registered| registered.tells)
    }

    /// Says once that there is no such collection.
    fn warn(&self, name: &str) {
        let mut unknown = self.unknown.lock();
        if unknown.len() < MAX_UNKNOWN && unknown.insert(name.to_string()) {
            let known = self.registered.read().keys().cloned().collect::<Vec<_>>().join(", ");
            tracing::warn!(
                "there is no collection `{name}`, so it has no rows; those that there are: {known}"
            );
        }
    }
}

/// The rows of a collection that are made all at once.
pub(crate) fn all_at_once(rows: impl Fn() -> Vec<Object> + Send + Sync + 'static) -> Rows {
    Arc::new(move |each| {
        for row in rows() {
            if each(row)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    })
}
