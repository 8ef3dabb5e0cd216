//! ADVISE: which indexes a statement would be better off with.
//!
//! The planner decides: it is given, beside the indexes that there are, all those that the clauses of the statement make
//! one think of. What it then prefers to the present way is suggested.

use std::collections::BTreeSet;
use std::sync::Arc;

use ditto_dql::{
    AggregateFunction, Collection, CreateIndex, Delete, Directives, Evict, Expr, IndexKey, Insert,
    InsertBody, Namespace, Statement, Update, path_text,
};
use ditto_value::{Object, Value};

use super::plan::{Access, Arrival, Condition, Place, Plan, Question, Reads, is_virtual, plan, plan_with};
use super::scope::{Scope, Shape};
use super::view::View;
use super::{mutation, select, system};
use crate::error::StoreError;
use crate::index::{self, Definition, Index, MAX_INDEX_KEYS, Position, State};
use crate::layout::{CollectionId, IndexId};
use crate::store::Inner;

/// Most indexes that are thought of for one statement.
const MAX_THOUGHTS: usize = 64;

/// What is to be said of a statement.
pub(super) struct Advice {
    /// The statement as written.
    text: String,
    outcome: &'static str,
    existing: Vec<Value>,
    suggestions: Vec<Suggestion>,
}

struct Suggestion {
    create: CreateIndex,
    reason: String,
}

/// Thinks about a statement, whose text follows the word ADVISE in `text`, without running it.
pub(super) fn advise(
    view: View<'_>,
    scope: &Scope<'_>,
    statement: &Statement,
    text: &str,
) -> Result<Advice, StoreError> {
    let mut advice = Advice {
        text: advised(text).to_owned(),
        outcome: "nothing to advise",
        existing: Vec::new(),
        suggestions: Vec::new(),
    };
    let Some(asked) = question(statement) else { return Ok(advice) };
    // What the planner is told about indexes is no part of the question which ones there should be.
    let source = ditto_dql::Source { directives: Directives::default(), ..asked.source.clone() };
    let question = Question { directives: &Directives::default(), source: &source, ..asked };
    if is_virtual(&source) {
        return Ok(advice);
    }
    if !Shape::new(&source, scope.settings).is_plain() {
        advice.outcome = "nothing to advise: with type definitions, and in strict mode, no index is used";
        return Ok(advice);
    }
    let (present, _) = plan(view, question, scope.settings)?;
    let used = indexes_of(&present);
    let collection = default_name(&source.collection);
    advice.existing = used.iter().map(|index| described(&collection, index)).collect();
    let thoughts = Thoughts::of(&question, &present);
    let (better, _) = plan_with(view, question, scope.settings, &thoughts.indexes)?;
    for index in indexes_of(&better) {
        if thoughts.indexes.iter().any(|thought| Arc::ptr_eq(thought, &index)) {
            let reason = thoughts.reason(&index);
            let name = free_name(&present, &source.collection.name, &index.keys);
            let create = CreateIndex {
                name,
                collection: source.collection.clone(),
                keys: index.keys.clone(),
                if_not_exists: false,
            };
            advice.suggestions.push(Suggestion { create, reason });
        }
    }
    advice.outcome = match (&advice.suggestions[..], &used[..], &present.access) {
        ([_, ..], ..) => "suggestions are made",
        ([], [_, ..], _) => "an optimal index exists",
        ([], [], Access::Ids(_) | Access::Shortcuts(_)) => "nothing to advise: no index is needed",
        ([], [], _) if !thoughts.has_keys => "no usable keys: no index can serve the statement",
        _ => "nothing to advise: no index would be used",
    };
    Ok(advice)
}

impl Advice {
    /// The row `{advice: …}`.
    pub(super) fn row(&self) -> Object {
        Object::from([("advice", self.members())])
    }

    fn members(&self) -> Object {
        let suggested = self.suggestions.iter().map(Suggestion::shown).collect::<Vec<_>>();
        Object::from([
            ("statement", Value::from(&*self.text)),
            ("suggestedIndexes", suggested.into()),
            ("existingIndexes", self.existing.clone().into()),
            ("outcome", Value::from(self.outcome)),
        ])
    }

    /// Creates the indexes. The row says which ones were, and why others were not.
    pub(super) fn provision(&self, inner: &Arc<Inner>) -> Object {
        let (mut created, mut failed) = (Vec::new(), Vec::new());
        for suggestion in &self.suggestions {
            match index::create(inner, &suggestion.create) {
                Ok(()) => created.push(suggestion.shown()),
                Err(error) => {
                    let mut shown = suggestion.members();
                    shown.insert("error", error.to_string());
                    failed.push(Value::Object(shown));
                }
            }
        }
        let mut members = self.members();
        members.insert("createdIndexes", created);
        members.insert("failedIndexes", failed);
        Object::from([("advice", members)])
    }
}

impl Suggestion {
    fn shown(&self) -> Value {
        Value::Object(self.members())
    }

    fn members(&self) -> Object {
        let CreateIndex { name, collection, keys, .. } = &self.create;
        let keys: Vec<String> = keys.iter().map(key_text).collect();
        let (name, of) = (path_text([name.as_str()]), path_text([collection.name.as_str()]));
        let statement = format!("CREATE INDEX {name} ON default:{of} ({})", keys.join(", "));
        Object::from([
            ("collection", Value::from(default_name(collection))),
            ("reason", Value::from(&*self.reason)),
            ("statement", Value::from(statement)),
        ])
    }
}

/// What follows ADVISE or ADVISE AND PROVISION.
fn advised(text: &str) -> &str {
    let after = |text: &'_ str, word: &str| {
        let (head, tail) = text.split_at_checked(word.len())?;
        head.eq_ignore_ascii_case(word).then_some(tail.len())
    };
    let mut rest = text.trim();
    for word in ["ADVISE", "AND", "PROVISION"] {
        if let Some(left) = after(rest, word) {
            rest = rest.get(rest.len() - left..).unwrap_or_default().trim_start();
        }
    }
    rest
}

fn question(statement: &Statement) -> Option<Question<'_>> {
    match statement {
        Statement::Select(select) if select.joins.is_empty() => Some(select::question(select)),
        Statement::Insert(Insert { body: InsertBody::Select(select), .. }) if select.joins.is_empty() => {
            Some(select::question(select))
        }
        Statement::Update(Update { directives, selection, .. })
        | Statement::Delete(Delete { directives, selection, .. })
        | Statement::Evict(Evict { directives, selection, .. }) => {
            Some(mutation::question(directives, selection))
        }
        _ => None,
    }
}

fn indexes_of(plan: &Plan) -> Vec<Arc<Index>> {
    let mut indexes: Vec<Arc<Index>> = Vec::new();
    for index in plan.access.scans().into_iter().filter_map(|scan| scan.index.as_ref()) {
        if !indexes.iter().any(|known| Arc::ptr_eq(known, index)) {
            indexes.push(Arc::clone(index));
        }
    }
    indexes
}

fn default_name(collection: &Collection) -> String {
    match collection.namespace {
        Namespace::Default => format!("default:{}", collection.name),
        Namespace::System => collection.to_string(),
    }
}

fn described(collection: &str, index: &Index) -> Value {
    let fields = index.keys.iter().map(system::index_key).collect::<Vec<_>>();
    let members = [
        ("collection", Value::from(collection)),
        ("index", Value::from(&*index.name)),
        ("fields", fields.into()),
    ];
    Object::from(members).into()
}

fn key_text(key: &IndexKey) -> String {
    let path = path_text(key.path.iter().map(String::as_str));
    if key.descending { format!("{path} DESC") } else { path }
}

/// `adv_collection_field_field`, which no index of the collection has yet.
fn free_name(plan: &Plan, collection: &str, keys: &[IndexKey]) -> String {
    let mut name = format!("adv_{collection}");
    for key in keys {
        key.path.iter().for_each(|step| name += &format!("_{step}"));
        if key.descending {
            name += "_desc";
        }
    }
    let is_taken =
        |name: &str| plan.collection.as_ref().is_some_and(|found| found.indexes.get(name).is_some());
    let numbered = (2..).map(|number| format!("{name}_{number}"));
    std::iter::once(name.clone()).chain(numbered).find(|name| !is_taken(name)).unwrap_or(name)
}

/// Fields by what a statement asks of them.
#[derive(Default)]
struct Fields {
    equal: Vec<IndexKey>,
    ranged: Vec<IndexKey>,
    sorted: Vec<IndexKey>,
    edges: Vec<IndexKey>,
}

/// Indexes that there could be.
struct Thoughts {
    indexes: Vec<Arc<Index>>,
    equal: BTreeSet<Vec<String>>,
    ranged: BTreeSet<Vec<String>>,
    edges: BTreeSet<Vec<String>>,
    /// There is something that an index could serve.
    has_keys: bool,
}

impl Thoughts {
    fn of(question: &Question<'_>, present: &Plan) -> Self {
        let mut thoughts = Self {
            indexes: Vec::new(),
            equal: BTreeSet::new(),
            ranged: BTreeSet::new(),
            edges: BTreeSet::new(),
            has_keys: false,
        };
        let collection = present.collection.as_ref().map_or(CollectionId(0), |collection| collection.id);
        // Those that are being built, too.
        let there = present.collection.as_ref().map(|collection| collection.indexes.all());
        let conjuncts = question.filter.map(Expr::conjuncts).unwrap_or_default();
        let conditions = Condition::all(conjuncts, Place::Conjunct);
        let mut whole = Fields::of(&conditions);
        whole.sorted = sorted(question, &conditions);
        whole.edges = edges(question);
        thoughts.add(collection, &whole);
        for (number, conjunct) in conjuncts.iter().enumerate() {
            let Expr::Or(disjuncts) = conjunct else { continue };
            for (position, disjunct) in disjuncts.iter().enumerate() {
                let place = |part| Place::Disjunct { conjunct: number, disjunct: position, part };
                thoughts.add(collection, &Fields::of(&Condition::all(disjunct.conjuncts(), place)));
            }
        }
        thoughts.has_keys = !thoughts.indexes.is_empty();
        let exists = |thought: &Arc<Index>| {
            there.iter().flat_map(|all| all.iter()).any(|index| index.keys == thought.keys)
        };
        thoughts.indexes.retain(|thought| !exists(thought));
        thoughts
    }

    /// Fields that are equal to something, then one that lies in a range, then those of ORDER BY; and the beginnings of
    /// that, as no more fields than of use are suggested.
    fn add(&mut self, collection: CollectionId, fields: &Fields) {
        let paths = |keys: &[IndexKey]| keys.iter().map(|key| key.path.clone()).collect::<Vec<_>>();
        self.equal.extend(paths(&fields.equal));
        self.ranged.extend(paths(&fields.ranged));
        self.edges.extend(paths(&fields.edges));
        let ranges = std::iter::once(None).chain(fields.ranged.iter().map(Some));
        for range in ranges {
            let limited: Vec<IndexKey> = fields.equal.iter().chain(range).cloned().collect();
            self.think(collection, &limited, &[]);
            self.think(collection, &limited, &fields.sorted);
        }
        for edge in &fields.edges {
            self.think(collection, &fields.equal, std::slice::from_ref(edge));
        }
    }

    fn think(&mut self, collection: CollectionId, first: &[IndexKey], then: &[IndexKey]) {
        let mut keys: Vec<IndexKey> = Vec::new();
        for key in first.iter().chain(then) {
            if !keys.iter().any(|known| known.path == key.path) && keys.len() < MAX_INDEX_KEYS {
                keys.push(key.clone());
            }
        }
        let is_known = self.indexes.iter().any(|index| index.keys == keys);
        if keys.is_empty() || is_known || self.indexes.len() >= MAX_THOUGHTS {
            return;
        }
        let (name, state, position) = ("".into(), State::Ready, Position::default());
        let definition = Definition { collection, name, keys, state, position };
        self.indexes.push(Arc::new(Index::new(IndexId(u32::MAX), definition)));
    }

    fn reason(&self, index: &Index) -> String {
        let mut parts: Vec<String> = Vec::new();
        for key in &index.keys {
            let what = if self.equal.contains(&key.path) {
                "a condition leaves single values of"
            } else if self.ranged.contains(&key.path) {
                "a condition limits"
            } else if self.edges.contains(&key.path) {
                "MIN or MAX asks for an end of"
            } else {
                "ORDER BY asks for"
            };
            parts.push(format!("{what} {}", path_text(key.path.iter().map(String::as_str))));
        }
        parts.join("; ")
    }
}

impl Fields {
    fn of(conditions: &[Condition<'_>]) -> Self {
        let mut fields = Self::default();
        for condition in conditions.iter().filter(|condition| !condition.is_of_id()) {
            let of_kind = if condition.is_of_points() { &mut fields.equal } else { &mut fields.ranged };
            of_kind.push(IndexKey { path: condition.path.to_vec(), descending: false });
        }
        fields
    }
}

/// The fields of ORDER BY that an index could be in the order of.
fn sorted(question: &Question<'_>, conditions: &[Condition<'_>]) -> Vec<IndexKey> {
    let mut keys = Vec::new();
    if question.arrival == Arrival::ById {
        return keys;
    }
    for item in question.order_by {
        let Some((0, path)) = item.expr.field() else { break };
        let is_one = conditions.iter().any(|condition| condition.path == path && condition.has_one_value());
        if path == ["_id"] {
            break;
        }
        if !is_one {
            keys.push(IndexKey { path: path.to_vec(), descending: item.descending });
        }
    }
    keys
}

/// The fields of MIN and MAX.
fn edges(question: &Question<'_>) -> Vec<IndexKey> {
    let Reads::Groups(grouping) = question.reads else { return Vec::new() };
    let ends = [AggregateFunction::Minimum, AggregateFunction::Maximum];
    let fields = grouping.aggregates.iter().filter(|call| ends.contains(&call.function)).filter_map(|call| {
        let (0, path) = call.argument.as_ref()?.field()? else { return None };
        (path != ["_id"]).then(|| IndexKey { path: path.to_vec(), descending: false })
    });
    if grouping.keys.is_empty() { fields.collect() } else { Vec::new() }
}
