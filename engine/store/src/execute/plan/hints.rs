//! Directives: what a statement tells the planner.

use ditto_dql::{Directives, Source};
use ditto_value::{Object, Value};

use crate::store::Inner;

/// Most indexes in one plan, unless `#max_scans` says otherwise.
const MAX_SCANS: usize = 5;

/// Most key ranges of one scan, unless `#max_inlist` or `#max_serial_ranges` say otherwise: a range costs about as much
/// as reading a few documents.
pub(crate) const MAX_RANGES: usize = 10_000;

/// Bytes of keys that a statement gathers before it reads the first document, unless `#max_gathered` says otherwise:
/// some hundred thousand of them.
pub(crate) const MAX_GATHERED: usize = 64 << 20;

/// The directives that apply to one source.
pub(crate) struct Hints {
    /// The only indexes to use, if one of them can be; empty for none at all.
    pub indexes: Option<Vec<String>>,
    /// An index that gives the order of ORDER BY is better than any other.
    pub prefer_order: bool,
    /// Most indexes in one intersection; fewer than two for none.
    pub intersects: usize,
    /// Most indexes in one plan.
    pub max_scans: usize,
    /// Most key ranges of one scan.
    pub max_ranges: usize,
    /// Most bytes of keys that are gathered.
    pub max_gathered: usize,
}

impl Hints {
    /// The defaults of the store, overridden by those of the statement, overridden by those of the source.
    pub(crate) fn of(inner: &Inner, statement: &Directives, source: &Source) -> Self {
        let mut hints = Self {
            indexes: None,
            prefer_order: false,
            intersects: 0,
            max_scans: MAX_SCANS,
            max_ranges: MAX_RANGES,
            max_gathered: MAX_GATHERED,
        };
        if let Ok((_, Value::Object(defaults))) = inner.parameters.get("dql_default_directives") {
            hints.take(&defaults, source);
        }
        hints.take(&statement.0, source);
        hints.take(&source.directives.0, source);
        hints
    }

    /// What has the wrong kind has no effect, as unknown directives have none.
    fn take(&mut self, given: &Object, source: &Source) {
        let number =
            |name: &str| given.get(name).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
        let flag = |name: &str| given.get(name).and_then(Value::as_bool);
        match given.get("#index") {
            Some(Value::Null) => self.indexes = Some(Vec::new()),
            Some(Value::String(name)) => self.indexes = Some(named([name.as_str()])),
            Some(Value::Array(names)) => self.indexes = Some(named(names.iter().filter_map(Value::as_str))),
            _ => {}
        }
        if flag("#disable_index_scan") == Some(true) {
            self.indexes = Some(Vec::new());
        }
        self.prefer_order = flag("#prefer_order").unwrap_or(self.prefer_order);
        self.intersects = number("#intersects").unwrap_or(self.intersects);
        self.max_scans = number("#max_scans").unwrap_or(self.max_scans);
        self.max_gathered = number("#max_gathered").unwrap_or(self.max_gathered);
        for bound in ["#max_inlist", "#max_serial_ranges"].into_iter().filter_map(number) {
            self.max_ranges = self.max_ranges.min(bound.max(1));
        }
        for name in [source.collection.name.as_str(), source.name()] {
            if let Some(Value::Object(of_source)) = given.get(name) {
                self.take(of_source, source);
                break;
            }
        }
    }
}

fn named<'n>(names: impl IntoIterator<Item = &'n str>) -> Vec<String> {
    names.into_iter().filter(|name| !name.is_empty()).map(str::to_owned).collect()
}
