//! Plans of statements that are run again.
//!
//! A plan is kept beside its statement, with all that it was made from: it is used again while the collection is the same,
//! the same indexes can be used, and no system parameter was set.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{Access, Plan, Question, plan};
use crate::error::StoreError;
use crate::execute::View;
use crate::execute::view::UsableIndexes;
use crate::parameters::Settings;

/// A plan, and what it was made from besides the statement.
pub(crate) struct Made {
    pub plan: Plan,
    /// [`Settings::revision`].
    revision: u64,
    /// `None` if indexes did not matter.
    indexes: Option<UsableIndexes>,
}

/// The plan of the last run of one statement.
#[derive(Default)]
pub(crate) struct PlanCache(Mutex<Option<Arc<Made>>>);

impl PlanCache {
    /// The plan for a question, which must be the same one every time.
    pub(crate) fn plan(
        &self,
        view: View<'_>,
        settings: Settings,
        question: Question<'_>,
    ) -> Result<Arc<Made>, StoreError> {
        let last = self.0.lock().clone();
        if let Some(made) = last
            && made.holds(view, settings, &question)?
        {
            return Ok(made);
        }
        let made = Arc::new(Made::new(view, settings, question)?);
        *self.0.lock() = Some(Arc::clone(&made));
        Ok(made)
    }
}

impl Made {
    pub(crate) fn new(
        view: View<'_>,
        settings: Settings,
        question: Question<'_>,
    ) -> Result<Self, StoreError> {
        let (plan, indexes) = plan(view, question, settings)?;
        Ok(Self { plan, revision: settings.revision, indexes })
    }

    fn holds(&self, view: View<'_>, settings: Settings, question: &Question<'_>) -> Result<bool, StoreError> {
        if self.revision != settings.revision {
            return Ok(false);
        }
        if matches!(self.plan.access, Access::Virtual) {
            return Ok(true);
        }
        let collection = view.collection(&question.source.collection.name);
        match (&collection, &self.plan.collection) {
            (None, None) => Ok(true),
            (Some(collection), Some(known)) if Arc::ptr_eq(collection, known) => match &self.indexes {
                Some(indexes) => Ok(*indexes == view.usable_indexes(collection)?),
                None => Ok(true),
            },
            _ => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use ditto_storage::MemoryStorage;
    use ditto_value::Object;

    use super::*;
    use crate::{Environment, Executor, Store, StoreOptions};

    struct Fixed;

    impl Environment for Fixed {
        fn now_ms(&self) -> u64 {
            1
        }

        fn random_u64(&self) -> u64 {
            4
        }
    }

    struct Nobody;

    impl Executor for Nobody {
        fn spawn(&self, _: Box<dyn FnOnce() + Send>) {}
    }

    #[test]
    fn a_plan_is_made_once() {
        let options = StoreOptions::new("a database", Arc::new(Nobody));
        let store =
            Store::open(Arc::new(MemoryStorage::new()), Arc::new(Fixed), options).expect("the store opens");
        let run = |text: &str| store.execute(text, &Object::new()).expect("runs");
        run("INSERT INTO t DOCUMENTS ({'_id': 1, 'a': 1})");
        run("CREATE INDEX a ON t (a)");
        for text in ["SELECT * FROM t WHERE _id = 1", "SELECT * FROM t WHERE a = 1", "UPDATE t SET b = 1"] {
            let plan = || {
                run(text);
                let prepared = store.inner.statements.prepare(text).expect("it is known");
                prepared.plans.0.lock().clone().expect("it has a plan")
            };
            assert!(Arc::ptr_eq(&plan(), &plan()), "{text}");
        }
    }
}
