//! Statements by their text, so that a repeated statement is parsed and planned once.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;

use ditto_dql::{Arguments, Expr, Statement};
use ditto_value::Value;
use parking_lot::Mutex;

use crate::environment::random_uuid;
use crate::error::StoreError;
use crate::execute::PlanCache;
use crate::store::Inner;

/// How many statements are kept, unless the parameter `STATEMENT_CACHE_SIZE` says something else.
pub(crate) const DEFAULT_CACHE_STATEMENTS: usize = 512;

/// Longest text that is kept, in bytes: longer ones carry their data in literals and do not come again.
const CACHE_TEXT_BYTES: usize = 4096;

/// A parsed statement, with everything that depends on its text alone, and its last plan.
pub(crate) struct Prepared {
    pub statement: Statement,
    pub parameters: Vec<String>,
    /// Whether it calls `request_info()`.
    asks_for_request: bool,
    /// How its documents were reached the last time.
    pub plans: PlanCache,
}

impl Prepared {
    pub(crate) fn new(text: &str) -> Result<Self, StoreError> {
        let statement = ditto_dql::parse(text)?;
        let parameters = match &statement {
            // A plan is made without the arguments.
            Statement::Explain(_) | Statement::Advise { .. } => Vec::new(),
            statement => statement.parameters().into_iter().map(str::to_owned).collect(),
        };
        let mut asks_for_request = false;
        statement.for_each_expression(&mut |expr| {
            expr.visit(&mut |expr| {
                asks_for_request |= matches!(expr, Expr::Call(call) if call.function.name == "request_info");
            });
        });
        Ok(Self { statement, parameters, asks_for_request, plans: PlanCache::default() })
    }

    /// What `request_info()` yields in one run, if the statement calls it.
    pub(crate) fn request(&self, inner: &Inner, now_ms: u64) -> Option<Value> {
        self.asks_for_request.then(|| {
            let id = random_uuid(&*inner.environment);
            ditto_dql::request_object(&inner.database_id, &id, i64::try_from(now_ms).unwrap_or(i64::MAX))
        })
    }

    /// Every placeholder needs an argument; further arguments do no harm.
    pub(crate) fn check<'a>(&self, arguments: impl Into<Arguments<'a>>) -> Result<(), StoreError> {
        let arguments = arguments.into();
        match self.parameters.iter().find(|name| arguments.get(name).is_missing()) {
            Some(name) => Err(StoreError::MissingArgument { name: name.clone() }),
            None => Ok(()),
        }
    }
}

/// The statement cache: two generations by text. A statement that is used moves to the young one; when that is full, it becomes
/// the old one, and what was not used for so long is forgotten. A hit costs one hash.
#[derive(Default)]
pub(crate) struct Statements(Mutex<Generations>);

struct Generations {
    /// Most statements of both.
    capacity: usize,
    young: HashMap<Box<str>, Arc<Prepared>>,
    old: HashMap<Box<str>, Arc<Prepared>>,
}

impl Default for Generations {
    fn default() -> Self {
        Self { capacity: DEFAULT_CACHE_STATEMENTS, young: HashMap::new(), old: HashMap::new() }
    }
}

impl Statements {
    /// How many statements to keep from now on; of those that are too many, all go.
    pub(crate) fn set_capacity(&self, capacity: usize) {
        let mut kept = self.0.lock();
        if kept.young.len() + kept.old.len() > capacity {
            (kept.young, kept.old) = Default::default();
        }
        kept.capacity = capacity;
    }

    pub(crate) fn prepare(&self, text: &str) -> Result<Arc<Prepared>, StoreError> {
        if text.len() > CACHE_TEXT_BYTES {
            return Ok(Arc::new(Prepared::new(text)?));
        }
        if let Some(prepared) = self.0.lock().get(text) {
            return Ok(prepared);
        }
        let prepared = Arc::new(Prepared::new(text)?);
        self.0.lock().put(text.into(), Arc::clone(&prepared));
        Ok(prepared)
    }
}

impl Generations {
    fn get(&mut self, text: &str) -> Option<Arc<Prepared>> {
        if let Some(prepared) = self.young.get(text) {
            return Some(Arc::clone(prepared));
        }
        let (text, prepared) = self.old.remove_entry(text)?;
        self.put(text, Arc::clone(&prepared));
        Some(prepared)
    }

    fn put(&mut self, text: Box<str>, prepared: Arc<Prepared>) {
        if self.young.len() >= self.capacity / 2 {
            self.old = mem::take(&mut self.young);
        }
        if self.capacity >= 2 {
            self.young.insert(text, prepared);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_number_of_statements_is_bounded() {
        let statements = Statements::default();
        let used = statements.prepare("SELECT * FROM used").expect("compiles");
        for number in 0..3 * DEFAULT_CACHE_STATEMENTS {
            statements.prepare(&format!("SELECT * FROM c{number}")).expect("compiles");
            let again = statements.prepare("SELECT * FROM used").expect("compiles");
            assert!(Arc::ptr_eq(&used, &again), "it was parsed again after {number} others");
            let kept = statements.0.lock();
            assert!(kept.young.len() + kept.old.len() <= DEFAULT_CACHE_STATEMENTS);
        }
        assert!(statements.0.lock().get("SELECT * FROM c0").is_none());
    }

    #[test]
    fn the_number_of_statements_can_be_changed() {
        let statements = Statements::default();
        let is_kept = |text: &str| {
            let first = statements.prepare(text).expect("compiles");
            Arc::ptr_eq(&first, &statements.prepare(text).expect("compiles"))
        };
        for (capacity, kept) in [(4, true), (0, false), (1, false), (2, true)] {
            statements.set_capacity(capacity);
            for number in 0..10 {
                assert_eq!(is_kept(&format!("SELECT * FROM c{number}")), kept, "{capacity}");
                let kept = statements.0.lock();
                assert!(kept.young.len() + kept.old.len() <= capacity, "{capacity}");
            }
        }
    }
}
