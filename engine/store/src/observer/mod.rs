//! Live queries: the result of a SELECT now, and again whenever a commit changed it.
//!
//! ```text
//! commit ─► registry ─────► state ─────────────────► lanes ────────► refresh ─► callback
//!           whom can it     marks the result stale   a few at a      only if the result
//!           concern?        and keeps the commit     time read       is another one
//! ```
//!
//! | file | what |
//! | --- | --- |
//! | `watch` | which changed documents can change the result of a query |
//! | `registry` | every observer, found by the documents that concern it |
//! | `state` | one observer: idle or busy, what it has not seen yet, the call of the application |
//! | `lanes` | how many results are brought up to date at once |
//! | `memory` | how much the rows of all observers together may take |
//!
//! Where a document's place in the result depends on itself alone, the rows are kept and the commits that
//! concern them are applied ([`LiveRows`](crate::execute::LiveRows)); other queries, and observers that lag far behind,
//! read again. A writer never waits for any of this: what takes long is left to the executor.

mod lanes;
mod memory;
mod registry;
mod state;
mod watch;

use std::sync::Arc;

use ditto_dql::Statement;
use ditto_value::Object;

pub(crate) use self::memory::{DEFAULT_BYTES as DEFAULT_MEMORY_BYTES, Share};
pub(crate) use self::registry::Observers;
pub use self::state::SignalNext;
use self::state::{Callback, State};
use self::watch::Watch;
use crate::error::StoreError;
use crate::execute;
use crate::store::Store;

/// A registered observer. Clones are handles to the same one; dropping the last of them cancels it.
#[derive(Clone)]
pub struct Observer(Arc<Handle>);

struct Handle(Arc<State>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Observer {
    pub(crate) fn register(
        store: &Store,
        text: &str,
        arguments: Object,
        on_change: Callback,
    ) -> Result<Self, StoreError> {
        let inner = &store.inner;
        inner.check_open()?;
        let prepared = inner.statements.prepare(text)?;
        prepared.check(&arguments)?;
        let Statement::Select(select) = &prepared.statement else {
            return Err(execute::not_allowed(&prepared.statement, "an observer"));
        };
        if !select.joins.is_empty() {
            return Err(StoreError::unsupported("JOIN"));
        }
        // Later there is nobody to be told.
        execute::check_window(inner, select, &arguments)?;
        let watch = Watch::new(inner, &prepared.statement, select, &arguments)?;
        let state = State::new(inner, text, arguments, prepared, watch, on_change);
        inner.observers.add(&state);
        // From here on every commit finds it, and what was committed before is read.
        state.reread();
        Ok(Self(Arc::new(Handle(state))))
    }

    /// The statement.
    pub fn text(&self) -> &str {
        &self.0.0.text
    }

    /// Its arguments.
    pub fn arguments(&self) -> &Object {
        &self.0.0.arguments
    }

    /// A number that no other observer of this store has.
    pub fn id(&self) -> u64 {
        self.0.0.id
    }

    /// After this returns no new call starts; one that is running goes on. A second cancel does nothing.
    pub fn cancel(&self) {
        self.0.0.cancel();
    }

    /// Whether it was cancelled, by whatever means.
    pub fn is_cancelled(&self) -> bool {
        self.0.0.is_cancelled()
    }
}

impl std::fmt::Debug for Observer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Observer").field("id", &self.id()).field("text", &self.text()).finish()
    }
}
