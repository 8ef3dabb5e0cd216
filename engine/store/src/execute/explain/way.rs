//! The way to the documents of a statement, as EXPLAIN shows it.

use ditto_dql::{End, Expr, Test, UseIds};
use ditto_value::{Object, Value};

use super::{extended, flagged, operator, text};
use crate::execute::plan::{Access, Edge, Ids, Place, Plan, Question, Scan, Shortcut, tests};
use crate::execute::system;

/// Shows the way to the documents of a question.
pub(super) struct Way<'q> {
    pub question: &'q Question<'q>,
    pub plan: &'q Plan,
}

impl Way<'_> {
    /// Whether documents are read by ids that were found before.
    pub(super) fn is_fetched(&self) -> bool {
        match &self.plan.access {
            Access::Virtual | Access::Shortcuts(_) => false,
            Access::Ids(_) | Access::Union(_) | Access::Intersect(_) => true,
            Access::Scan(scan) => scan.index.is_some() && scan.covering.is_none(),
        }
    }

    /// The way, and what is gathered on it.
    pub(super) fn whole(&self) -> Value {
        let way = self.of(&self.plan.access);
        let regroups = |scan: &Scan| scan.ordered.is_some_and(|ordered| ordered.regroup);
        let way = if self.plan.by_id { extended(way, [("arrival", Value::from("_id"))]) } else { way };
        let way = flagged(way, "regroups", matches!(&self.plan.access, Access::Scan(scan) if regroups(scan)));
        let gathers = self.plan.by_id
            || matches!(&self.plan.access, Access::Union(_))
            || matches!(&self.plan.access, Access::Scan(scan) if regroups(scan));
        if !gathers {
            return way;
        }
        let most = u64::try_from(self.plan.max_gathered).unwrap_or(u64::MAX);
        extended(way, [("maxGathered", Value::from(most))])
    }

    fn of(&self, access: &Access) -> Value {
        let members = self.source();
        match access {
            Access::Virtual => full_scan(members, "system", false),
            Access::Ids(ids) => extended(operator("idScan", members), [("ids", self.ids(*ids))]),
            Access::Scan(scan) => self.scan(scan),
            Access::Union(branches) => {
                let scans = branches.iter().map(|branch| self.of(branch)).collect::<Vec<_>>();
                extended(operator("unionScan", members), [("children", scans.into())])
            }
            Access::Intersect(scans) => {
                let scans = scans.iter().map(|scan| self.scan(scan)).collect::<Vec<_>>();
                extended(operator("intersectScan", members), [("children", scans.into())])
            }
            Access::Shortcuts(shortcuts) => match &**shortcuts {
                [Shortcut::Edge(edge)] => self.edge(edge),
                _ if shortcuts.iter().all(|shortcut| matches!(shortcut, Shortcut::Count)) => {
                    operator("countScan", members)
                }
                _ => {
                    let way = |shortcut: &Shortcut| match shortcut {
                        Shortcut::Count => operator("countScan", self.source()),
                        Shortcut::Edge(edge) => self.edge(edge),
                    };
                    let ways = shortcuts.iter().map(way).collect::<Vec<_>>();
                    extended(operator("aggregateScan", members), [("children", ways.into())])
                }
            },
        }
    }

    /// The conditions that are not asked again: of the documents of all ids, of the rows of an index that are not marked.
    pub(super) fn answered(&self) -> Vec<Place> {
        match &self.plan.access {
            Access::Ids(ids) => ids.answers().into_iter().collect(),
            Access::Scan(scan) if scan.index.is_some() => {
                scan.answers().map(|condition| condition.place).collect()
            }
            Access::Shortcuts(shortcuts) => match shortcuts.first() {
                Some(Shortcut::Edge(edge)) => edge.scan.answers().map(|condition| condition.place).collect(),
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    /// With the texts of some conditions as a member, if there are any.
    pub(super) fn with_texts(&self, operator: Value, name: &str, places: Vec<Place>) -> Value {
        let texts: Vec<Value> =
            places.into_iter().filter_map(|place| place.find(self.question.filter)).map(text).collect();
        if texts.is_empty() { operator } else { extended(operator, [(name, texts.into())]) }
    }

    fn source(&self) -> [(&'static str, Value); 2] {
        let source = self.question.source;
        [("collection", Value::from(source.collection.name.as_str())), ("alias", Value::from(source.name()))]
    }

    fn ids(&self, ids: Ids) -> Value {
        let asked = match ids {
            Ids::Used => None,
            Ids::One(place) | Ids::List(place) => {
                place.find(self.question.filter).and_then(|condition| tests(condition).next())
            }
        };
        match (asked, &self.question.source.ids) {
            (Some(Test::Equal(value)), _) => text(value),
            (Some(Test::In(list)), _) => text(list),
            (_, Some(UseIds::Each(each))) => each.iter().map(text).collect::<Vec<_>>().into(),
            (_, Some(UseIds::List(list))) => text(list),
            (_, None) => Value::Null,
        }
    }

    fn edge(&self, edge: &Edge) -> Value {
        let key = edge.scan.key(edge.position).map_or_else(id_key, system::index_key);
        let end = if edge.greatest { "greatest" } else { "least" };
        extended(self.scan(&edge.scan), [("value", end.into()), ("of", key)])
    }

    fn scan(&self, scan: &Scan) -> Value {
        let members = self.source();
        let shown = match &scan.index {
            None if scan.conditions.is_empty() => return full_scan(members, "default", scan.backward),
            None => extended(
                operator("idScan", members),
                [("datasource", Value::from("default")), ("spans", self.spans(scan))],
            ),
            Some(index) => {
                let desc = Object::from([("index", Value::from(&*index.name)), ("spans", self.spans(scan))]);
                extended(
                    operator("indexScan", members),
                    [
                        ("datasource", Value::from("default")),
                        ("desc", desc.into()),
                        ("covering", Value::Bool(scan.covering.is_some())),
                    ],
                )
            }
        };
        let shown = flagged(shown, "backward", scan.backward);
        let shown =
            self.with_texts(shown, "answers", scan.answers().map(|condition| condition.place).collect());
        if !scan.may_overflow(self.question.filter) {
            return shown;
        }
        let most = u64::try_from(scan.max_ranges).unwrap_or(u64::MAX);
        extended(shown, [("maxRanges", Value::from(most))])
    }

    /// A list of spans, each a list with one part for each key. Several ways to fulfil a condition make several spans;
    /// several conditions of one key, all of which must be fulfilled, make several parts.
    fn spans(&self, scan: &Scan) -> Value {
        let mut spans: Vec<Vec<Value>> = vec![Vec::new()];
        for (position, conditions) in scan.conditions.iter().enumerate() {
            let key = scan.key(position).map_or_else(id_key, system::index_key);
            let key = extended(key, [("include_missing", Value::Bool(true))]);
            for condition in conditions {
                let tests = condition.place.find(self.question.filter).into_iter().flat_map(tests);
                let ranges: Vec<Value> = tests.flat_map(|test| ranges(&test)).collect();
                let part = |range: &Value| {
                    Object::from([("index_key", key.clone()), ("range", range.clone())]).into()
                };
                spans = spans
                    .iter()
                    .flat_map(|span| ranges.iter().map(|range| [&span[..], &[part(range)]].concat()))
                    .collect();
            }
        }
        Value::Array(spans.into_iter().map(Value::Array).collect())
    }
}

/// As [`system::index_key`] shows keys.
fn id_key() -> Value {
    Object::from([("direction", Value::from("asc")), ("key", vec![Value::from("_id")].into())]).into()
}

fn full_scan(members: [(&str, Value); 2], datasource: &str, backward: bool) -> Value {
    let path = Object::from([("full_scan", Object::new())]);
    let scan = extended(
        operator("scan", members),
        [("datasource", Value::from(datasource)), ("descriptor", Object::from([("path", path)]).into())],
    );
    flagged(scan, "backward", backward)
}

/// The ranges of a test.
fn ranges(test: &Test<'_>) -> Vec<Value> {
    let end = |expr: Value, included: bool| {
        Value::Object(Object::from([("expr", expr), ("included", Value::Bool(included))]))
    };
    let range = |low: Option<Value>, high: Option<Value>| {
        let ends = [("low", low), ("high", high)];
        let ends = ends.into_iter().filter_map(|(name, end)| Some((name, end?)));
        Value::Object(ends.collect())
    };
    let one = |expr: Value| vec![range(Some(end(expr.clone(), true)), Some(end(expr, true)))];
    let written = |given: &End<'_>| end(text(given.value), given.included);
    match test {
        Test::Equal(value) => one(text(value)),
        Test::NotEqual(value) => {
            vec![range(None, Some(end(text(value), false))), range(Some(end(text(value), false)), None)]
        }
        Test::In(list) => match list {
            Expr::Literal(Value::Array(elements)) if elements.len() <= MAX_SHOWN => {
                elements.iter().flat_map(|element| one(text(&Expr::Literal(element.clone())))).collect()
            }
            list => vec![Object::from([("in", text(list))]).into()],
        },
        Test::Range { low, high } => vec![range(low.as_ref().map(written), high.as_ref().map(written))],
        Test::Like { pattern, .. } => vec![Object::from([("like", text(pattern))]).into()],
        Test::Null => one("NULL".into()),
        Test::Missing => one("MISSING".into()),
        Test::Boolean(value) => one(if *value { "TRUE" } else { "FALSE" }.into()),
    }
}

/// Longest list of which every element is shown as a span of its own.
const MAX_SHOWN: usize = 16;
