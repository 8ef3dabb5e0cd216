//! What a writer of the crash loop does: statements that follow from a seed, and a naive model of what they leave
//! behind, so that whatever survives a crash can be compared word for word.
//!
//! Several writers share one collection. Each has documents of its own, so that the outcome of one story does not
//! depend on how the stories interleave.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use ditto_simulation::random::Random;

/// The collection that all writers write to.
pub const COLLECTION: &str = "things";

/// Ids that one writer uses; few, so that they are updated, deleted and inserted again.
const IDS: u64 = 120;
/// Groups that a writer's documents belong to: what updates, deletes and evictions of many documents name.
const GROUPS: u64 = 6;

/// Documents by `_id`.
pub type Documents = BTreeMap<String, Value>;

/// One statement with its arguments, and what it is to the model.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Its text.
    pub text: String,
    /// Its arguments.
    pub arguments: Value,
    effect: Effect,
}

/// What happens all at once or not at all.
#[derive(Clone, Debug)]
pub struct Step {
    /// In their order.
    pub statements: Vec<Statement>,
    /// Whether they belong into a transaction.
    pub is_transaction: bool,
    /// Whether that is rolled back in the end.
    pub rolls_back: bool,
}

#[derive(Clone, Debug)]
enum Effect {
    /// What to do with ids that exist.
    Insert(Vec<Value>, Conflict),
    Update(Selection, Change),
    Remove(Selection),
    /// The store decides which of those it may forget, and reports them.
    Evict(Selection),
    /// An index comes or goes.
    Index,
}

#[derive(Clone, Copy, Debug)]
enum Conflict {
    Fail,
    Nothing,
    Update,
}

#[derive(Clone, Debug)]
enum Change {
    /// A value for the field, and one for a member of the map `care`.
    Set(String, Value),
    /// Removes a field, or a member of the map `care`.
    Unset(&'static [&'static str]),
    Increment(i64),
    Restart(i64),
}

#[derive(Clone, Debug)]
enum Selection {
    Ids(Vec<String>),
    Group(u64),
}

/// The `number`-th step of a writer. A step does not depend on those before it.
#[must_use]
pub fn step(seed: u64, writer: u64, number: u64) -> Step {
    let seed = seed.wrapping_mul(0x1_0000_01b3).wrapping_add(writer) ^ number.rotate_left(32);
    let mut author = Author { random: Random::new(seed), writer, number };
    if author.random.percent(2) {
        return Step { statements: vec![author.index()], is_transaction: false, rolls_back: false };
    }
    if author.random.percent(75) {
        return Step { statements: vec![author.statement()], is_transaction: false, rolls_back: false };
    }
    let mut statements: Vec<Statement> =
        (0..author.random.between(1, 6)).map(|_| author.statement()).collect();
    // One report says what a step has evicted, so it has one statement that evicts.
    let mut evicts = false;
    statements.retain(|statement| {
        let again = evicts && statement.evicts();
        evicts |= statement.evicts();
        !again
    });
    Step { statements, is_transaction: true, rolls_back: author.random.percent(15) }
}

impl Statement {
    /// Whether the store chooses documents to evict.
    #[must_use]
    pub fn evicts(&self) -> bool {
        matches!(self.effect, Effect::Evict(_))
    }
}

/// Which of the documents that an EVICT names are gone.
#[derive(Clone, Copy, Debug)]
pub enum Evicted<'a> {
    /// Those that the store reported.
    Reported(&'a [String]),
    /// All of them.
    All,
}

impl Step {
    /// What the step leaves of the documents of its writer; `None` if it fails on these or is rolled back.
    #[must_use]
    pub fn after(&self, before: &Documents, evicted: Evicted<'_>) -> Option<Documents> {
        if self.rolls_back {
            return None;
        }
        let mut after = before.clone();
        self.statements.iter().all(|statement| statement.effect.apply(&mut after, evicted)).then_some(after)
    }
}

struct Author {
    random: Random,
    writer: u64,
    number: u64,
}

impl Author {
    fn statement(&mut self) -> Statement {
        match self.random.below(100) {
            0..35 => self.insert(),
            35..70 => self.update(),
            70..88 => {
                let selection = self.selection();
                self.removal("DELETE", Effect::Remove(selection.clone()), &selection)
            }
            _ => {
                let selection = self.selection();
                self.removal("EVICT", Effect::Evict(selection.clone()), &selection)
            }
        }
    }

    /// Whichever writer comes first makes or drops it.
    fn index(&mut self) -> Statement {
        let name = self.random.below(3);
        let fields = ["owner, grp", "text", "count DESC, care.light"][usize::try_from(name).unwrap_or(0)];
        let text = if self.random.percent(60) {
            format!("CREATE INDEX IF NOT EXISTS index{name} ON {COLLECTION} ({fields})")
        } else {
            format!("DROP INDEX IF EXISTS index{name} ON {COLLECTION}")
        };
        Statement { text, arguments: json!({}), effect: Effect::Index }
    }

    fn id(&mut self) -> String {
        format!("w{}-{:03}", self.writer, self.random.below(IDS))
    }

    fn text(&mut self) -> String {
        // Now and then longer than the buffers on the way to the disk.
        let words = if self.random.percent(5) { self.random.below(1_500) } else { self.random.below(12) };
        (0..words).map(|_| format!("word{} ", self.random.below(1_000))).collect()
    }

    fn document(&mut self) -> Value {
        let mut care = Map::new();
        for name in ["light", "water", "note"] {
            if self.random.percent(60) {
                care.insert(name.to_owned(), json!(self.random.below(10)));
            }
        }
        json!({
            "_id": self.id(),
            "owner": self.writer,
            "grp": self.random.below(GROUPS),
            "step": self.number,
            "text": self.text(),
            "care": care,
            "tags": [self.random.below(5), "tag", null, self.random.below(1_000) as f64 / 8.0],
        })
    }

    fn insert(&mut self) -> Statement {
        let many = if self.random.percent(10) { 100 } else { self.random.between(1, 12) };
        let mut documents = BTreeMap::new();
        for _ in 0..many {
            let document = self.document();
            documents.insert(document["_id"].to_string(), document);
        }
        let documents: Vec<Value> = documents.into_values().collect();
        let (clause, conflict) = *self.random.choose(&[
            ("ON ID CONFLICT DO UPDATE", Conflict::Update),
            ("ON ID CONFLICT DO UPDATE", Conflict::Update),
            ("ON ID CONFLICT DO NOTHING", Conflict::Nothing),
            ("", Conflict::Fail),
        ]);
        Statement {
            text: format!("INSERT INTO {COLLECTION} DOCUMENTS (:documents) {clause}"),
            arguments: json!({ "documents": documents }),
            effect: Effect::Insert(documents, conflict),
        }
    }

    fn update(&mut self) -> Statement {
        let selection = self.selection();
        let (clause, value, change) = match self.random.below(6) {
            0 | 1 => {
                let value = json!(format!("{} of {}", self.text(), self.number));
                (
                    "SET text = :value, care.note = :value",
                    value.clone(),
                    Change::Set("text".to_owned(), value),
                )
            }
            2 => ("UNSET text", Value::Null, Change::Unset(&["text"])),
            3 => ("UNSET care.light", Value::Null, Change::Unset(&["care", "light"])),
            4 => {
                let by = self.random.below(20) as i64 - 5;
                ("APPLY count INCREMENT BY :value", json!(by), Change::Increment(by))
            }
            _ => {
                let with = self.random.below(100) as i64;
                ("APPLY count RESTART WITH :value", json!(with), Change::Restart(with))
            }
        };
        let (condition, mut arguments) = self.condition(&selection);
        if !value.is_null() {
            arguments["value"] = value;
        }
        Statement {
            text: format!("UPDATE {COLLECTION} {clause} WHERE {condition}"),
            arguments,
            effect: Effect::Update(selection, change),
        }
    }

    fn removal(&mut self, verb: &str, effect: Effect, selection: &Selection) -> Statement {
        let (condition, arguments) = self.condition(selection);
        Statement { text: format!("{verb} FROM {COLLECTION} WHERE {condition}"), arguments, effect }
    }

    fn selection(&mut self) -> Selection {
        if self.random.percent(50) {
            return Selection::Group(self.random.below(GROUPS));
        }
        let ids = (0..self.random.between(1, 10)).map(|_| self.id()).collect();
        Selection::Ids(ids)
    }

    fn condition(&self, selection: &Selection) -> (&'static str, Value) {
        match selection {
            Selection::Ids(ids) => ("_id IN :ids", json!({ "ids": ids })),
            Selection::Group(group) => {
                ("owner = :owner AND grp = :grp", json!({ "owner": self.writer, "grp": group }))
            }
        }
    }
}

impl Selection {
    fn accepts(&self, id: &str, document: &Value) -> bool {
        match self {
            Self::Ids(ids) => ids.iter().any(|wanted| wanted == id),
            Self::Group(group) => document["grp"] == json!(group),
        }
    }
}

impl Effect {
    /// False if the statement fails; the documents may be anything then.
    fn apply(&self, documents: &mut Documents, evicted: Evicted<'_>) -> bool {
        match self {
            Self::Insert(new, conflict) => {
                for document in new {
                    let Some(id) = document["_id"].as_str() else { return false };
                    match (documents.get_mut(id), conflict) {
                        (None, _) => drop(documents.insert(id.to_owned(), document.clone())),
                        (Some(_), Conflict::Fail) => return false,
                        (Some(_), Conflict::Nothing) => {}
                        (Some(old), Conflict::Update) => assign(old, document),
                    }
                }
            }
            Self::Update(selection, change) => {
                let chosen = documents.iter_mut().filter(|(id, document)| selection.accepts(id, document));
                chosen.for_each(|(_, document)| change.apply(document));
            }
            Self::Remove(selection) => documents.retain(|id, document| !selection.accepts(id, document)),
            Self::Index => {}
            Self::Evict(selection) => documents.retain(|id, document| match evicted {
                Evicted::Reported(ids) => !ids.contains(id),
                Evicted::All => !selection.accepts(id, document),
            }),
        }
        true
    }
}

/// Objects are merged member by member, everything else is replaced.
fn assign(old: &mut Value, new: &Value) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (name, value) in new {
                assign(old.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (old, new) => *old = new.clone(),
    }
}

impl Change {
    fn apply(&self, document: &mut Value) {
        match self {
            Self::Set(field, value) => {
                document[field] = value.clone();
                document["care"]["note"] = value.clone();
            }
            Self::Unset(path) => {
                let Some((last, above)) = path.split_last() else { return };
                let map = above.iter().try_fold(document, |value, name| value.get_mut(*name));
                if let Some(map) = map.and_then(Value::as_object_mut) {
                    map.remove(*last);
                }
            }
            Self::Increment(by) => {
                document["count"] = json!(document["count"].as_i64().unwrap_or(0) + by);
            }
            Self::Restart(with) => document["count"] = json!(with),
        }
    }
}
