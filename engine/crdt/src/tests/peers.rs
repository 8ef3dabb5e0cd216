//! A few peers that write one document, with the naive model beside each.

use ditto_value::{Object, Value};
use proptest::prelude::*;

use super::model::Model;
use crate::delta::DeltaLife;
use crate::entry::{Content, EntryKey};
use crate::{
    Birth, Definition, Definitions, Delta, Document, HybridClock, Kind, Path, Record, RunId, Sequence,
    SiteId, Slot, Stamp, WriteError, record,
};

#[derive(Clone, Debug)]
pub(super) enum Action {
    Insert(Object),
    Set(Vec<String>, Value),
    Unset(Vec<String>),
    Increment(Vec<String>, i64),
    /// By so many quarters.
    PnIncrement(Vec<String>, i64),
    Restart(Vec<String>, i64),
    /// An INSERT that declares a counter of that kind.
    InsertCounter(String, Kind, i64),
    /// An INITIAL insert.
    Initial(Object),
    /// SET of a value as one unit: a register or an attachment.
    SetAs(Vec<String>, Kind, Object),
    /// What a newer build wrote arrives.
    Unknown(Vec<String>, u8, u8),
    /// The wall clock goes so many hours forward or back.
    Skew(i64),
    Delete,
    /// The other's whole state arrives.
    Receive(usize),
    /// Only what changed at the other since this sequence arrives. Has no counterpart in the model.
    ReceiveSince(usize, u64),
    /// The record is written and read back.
    Store,
    Evict,
}

fn names() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[abc]", 1..4)
}

/// The token of an attachment.
pub(super) fn token(of: &Value) -> Value {
    let id: String = of
        .to_json()
        .bytes()
        .chain(std::iter::repeat(0))
        .map(|byte| (b'a' + byte % 16) as char)
        .take(42)
        .collect();
    let members = [("id", Value::from(id + "A")), ("len", 3.into()), ("metadata", Object::new().into())];
    Value::Object(members.into_iter().collect())
}

pub(super) fn member_values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        (0i64..3).prop_map(|of| token(&of.into())),
        (0i64..5).prop_map(Value::from),
        "[xy]{0,2}".prop_map(Value::from),
        Just(Value::Null),
        Just(Value::Array(vec![Value::Int(1)])),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop::collection::vec(("[abc]", inner), 0..3)
            .prop_map(|members| Value::Object(members.into_iter().collect()))
    })
}

fn bodies() -> impl Strategy<Value = Object> {
    prop::collection::vec(("[abc]", member_values()), 0..4).prop_map(|members| members.into_iter().collect())
}

fn counters() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Counter), Just(Kind::PnCounter)]
}

fn units() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Register), Just(Kind::Attachment)]
}

/// Definitions of a few members, at the top and below.
pub(super) fn definitions() -> impl Strategy<Value = Definitions> {
    let kind = || {
        prop_oneof![
            Just(Kind::Register),
            Just(Kind::Map),
            Just(Kind::Counter),
            Just(Kind::PnCounter),
            Just(Kind::Attachment)
        ]
    };
    let below = prop::collection::vec(("[abc]", kind()), 0..3)
        .prop_map(|members| members.into_iter().map(|(name, kind)| (name, Definition::of(kind))));
    let member = prop_oneof![kind().prop_map(Definition::of), below.prop_map(Definition::map)];
    (any::<bool>(), prop::collection::vec(("[abc]", member), 0..3)).prop_map(|(strict, members)| {
        let start = Definitions::new(strict);
        members.into_iter().fold(start, |definitions, (name, member)| definitions.with(name, member))
    })
}

/// Definitions that make `names` a member of that kind, and what is above it maps.
fn declared(names: &[String], kind: Kind) -> Definitions {
    let Some((first, rest)) = names.split_first() else { return Definitions::default() };
    let definition = rest.iter().rev().fold(None, |inner: Option<Definition>, name| {
        let inner = inner.unwrap_or(Definition::of(kind));
        Some(Definition::map([(name.clone(), inner)]))
    });
    Definitions::default().with(first.clone(), definition.unwrap_or(Definition::of(kind)))
}

pub(super) fn actions(peers: usize, whole_only: bool) -> impl Strategy<Value = Vec<(usize, Action)>> {
    let receive = if whole_only {
        (0..peers).prop_map(Action::Receive).boxed()
    } else {
        prop_oneof![
            (0..peers).prop_map(Action::Receive),
            (0..peers, 0..20u64).prop_map(|(from, since)| Action::ReceiveSince(from, since)),
        ]
        .boxed()
    };
    let action = prop_oneof![
        2 => bodies().prop_map(Action::Insert),
        6 => (names(), member_values()).prop_map(|(names, value)| Action::Set(names, value)),
        3 => names().prop_map(Action::Unset),
        4 => (names(), -3i64..6).prop_map(|(names, by)| Action::Increment(names, by)),
        2 => (names(), -9i64..20).prop_map(|(names, by)| Action::PnIncrement(names, by)),
        1 => (names(), 0i64..50).prop_map(|(names, with)| Action::Restart(names, with)),
        1 => ("[abc]", counters(), -9i64..20).prop_map(|(name, kind, from)| Action::InsertCounter(name, kind, from)),
        1 => bodies().prop_map(Action::Initial),
        2 => (names(), units(), bodies()).prop_map(|(names, kind, value)| Action::SetAs(names, kind, value)),
        1 => (names(), 5u8..8, any::<u8>()).prop_map(|(names, code, payload)| Action::Unknown(names, code, payload)),
        1 => (-90_000i64..90_000).prop_map(Action::Skew),
        1 => Just(Action::Delete),
        5 => receive,
        1 => Just(Action::Store),
        1 => Just(Action::Evict),
    ];
    prop::collection::vec((0..peers, action), 1..40)
}

pub(super) fn id() -> Value {
    Value::from("p1")
}

pub(super) struct Peer {
    pub(super) document: Document,
    pub(super) model: Model,
    site: SiteId,
    clock: HybridClock,
    now_ms: u64,
    sequence: u64,
}

impl Peer {
    /// `lag_ms` is how far its wall clock is behind the others'.
    pub(super) fn new(index: usize, lag_ms: u64) -> Self {
        Self {
            document: Document::new(),
            model: Model::default(),
            // Apart, so that no stamp of one is the successor of another's.
            site: SiteId(100 * (index as u64 + 1)),
            clock: HybridClock::new(crate::Hlc::ZERO),
            now_ms: 1_000_000_000_000 - lag_ms,
            sequence: 0,
        }
    }

    pub(super) fn site(&self) -> SiteId {
        self.site
    }

    pub(super) fn next_sequence(&mut self) -> Sequence {
        self.sequence += 1;
        Sequence(self.sequence)
    }

    pub(super) fn stamp(&mut self) -> Stamp {
        self.now_ms += 1;
        Stamp::new(self.clock.stamp(self.now_ms, Some(self.document.newest_stamp())), self.site)
    }

    pub(super) fn insert(&mut self, body: &Object) -> Birth {
        let birth = Birth { stamp: self.stamp(), run: RunId(self.site.0 * 7) };
        let sequence = self.next_sequence();
        let inserted = self.document.insert(body, &Definitions::default(), birth, sequence);
        // Two copies of one site, of which one has learned of a birth that the other made and removed.
        if inserted != Err(WriteError::BirthKnown) {
            inserted.unwrap();
            self.model.insert(body, birth);
        }
        birth
    }

    pub(super) fn set(&mut self, names: &[String], value: &Value) -> Result<(), WriteError> {
        let (path, stamp, sequence) = (path(names), self.stamp(), self.next_sequence());
        self.document.set(&path, value, &Definitions::default(), stamp, sequence)?;
        self.model.set(names, value, stamp);
        Ok(())
    }

    pub(super) fn unset(&mut self, names: &[String]) -> Result<bool, WriteError> {
        let (path, stamp, sequence) = (path(names), self.stamp(), self.next_sequence());
        let removed = self.document.unset(&path, &Definitions::default(), stamp, sequence)?;
        self.model.unset(names, stamp);
        Ok(removed)
    }

    pub(super) fn increment(&mut self, names: &[String], by: i64) -> Result<(), WriteError> {
        self.count(names, Kind::Counter, by as f64)
    }

    pub(super) fn count(&mut self, names: &[String], kind: Kind, by: f64) -> Result<(), WriteError> {
        let (path, stamp, sequence) = (path(names), self.stamp(), self.next_sequence());
        let slot = Slot { run: RunId(self.site.0 * 7), began: self.document.began() };
        let by_value = if kind == Kind::Counter { Value::from(by as i64) } else { Value::from(by) };
        self.document.increment(&path, kind, &by_value, slot, &Definitions::default(), stamp, sequence)?;
        self.model.increment(names, kind, by, slot, stamp);
        Ok(())
    }

    fn insert_counter(&mut self, name: &str, kind: Kind, from: i64) {
        let birth = Birth { stamp: self.stamp(), run: RunId(self.site.0 * 7) };
        let sequence = self.next_sequence();
        let definitions = Definitions::default().with(name, Definition::of(kind));
        let body = Object::from([(name, from)]);
        let inserted = self.document.insert(&body, &definitions, birth, sequence);
        if inserted == Err(WriteError::BirthKnown) {
            return;
        }
        inserted.unwrap();
        self.model.insert_counter(name, kind, from as f64, birth);
    }

    fn initial(&mut self, body: &Object) {
        let sequence = self.next_sequence();
        self.document.insert(body, &Definitions::default(), Birth::INITIAL, sequence).unwrap();
        self.model.insert(body, Birth::INITIAL);
    }

    fn set_as(&mut self, names: &[String], kind: Kind, value: &Object) {
        let (stamp, sequence) = (self.stamp(), self.next_sequence());
        let value = Value::Object(value.clone());
        let value = if kind == Kind::Attachment { token(&value) } else { value };
        self.document.set(&path(names), &value, &declared(names, kind), stamp, sequence).unwrap();
        self.model.set_as(names, kind, &value, stamp);
    }

    fn receive_unknown(&mut self, names: &[String], code: u8, payload: u8) {
        let stamp = self.stamp();
        let key = EntryKey { path: path(names), kind: Kind::Unknown(code) };
        let content = Content::Unknown([(stamp, Box::from([payload]))].into());
        let life = |birth| (birth, DeltaLife::Living(vec![(key.clone(), content.clone())]));
        let delta = Delta { lives: self.document.living_births().map(life).collect() };
        self.receive(&delta);
        self.model.receive_unknown(names, code, stamp, &[payload]);
    }

    pub(super) fn restart(&mut self, names: &[String], with: i64) -> Result<(), WriteError> {
        let (path, stamp, sequence) = (path(names), self.stamp(), self.next_sequence());
        self.document.restart(&path, with, &Definitions::default(), stamp, sequence)?;
        self.model.restart(names, with, stamp);
        Ok(())
    }

    pub(super) fn delete(&mut self) {
        let sequence = self.next_sequence();
        self.document.delete(sequence);
        self.model.delete();
    }

    pub(super) fn receive(&mut self, delta: &Delta) -> crate::Merged {
        let sequence = self.next_sequence();
        self.document.merge(delta, sequence)
    }

    /// Everything that `other` holds.
    pub(super) fn receive_all(&mut self, other: &Peer) {
        self.receive(&other.document.delta_since(Sequence::ZERO));
        self.model.merge(&other.model);
    }

    pub(super) fn store(&mut self) {
        let bytes = record::encode(&self.document, &id());
        self.document = Record::parse(&bytes).unwrap().document().unwrap();
    }

    /// The same directory, opened elsewhere.
    pub(super) fn copied(&self) -> Self {
        Self {
            document: self.document.clone(),
            model: self.model.clone(),
            site: self.site,
            clock: self.clock.clone(),
            now_ms: self.now_ms,
            sequence: self.sequence,
        }
    }

    pub(super) fn visible(&self) -> Option<Object> {
        self.document.visible(&id(), &Definitions::default())
    }

    pub(super) fn json(&self) -> String {
        self.visible().map_or("deleted".to_owned(), |mut members| {
            members.remove("_id");
            Value::from(members).to_json()
        })
    }
}

pub(super) fn path(names: &[String]) -> Path {
    Path::new(names.iter().map(String::as_str)).unwrap()
}

pub(super) fn names_of(dotted: &str) -> Vec<String> {
    dotted.split('.').map(str::to_owned).collect()
}

/// Runs a history; `check` sees the peers after every action.
pub(super) fn run(
    peers: usize,
    actions: &[(usize, Action)],
    mut check: impl FnMut(&[Peer], usize),
) -> Vec<Peer> {
    let mut all: Vec<Peer> = (0..peers).map(|index| Peer::new(index, index as u64 * 13)).collect();
    for (actor, action) in actions {
        act(&mut all, *actor, action);
        check(&all, *actor);
    }
    all
}

pub(super) fn act(all: &mut [Peer], actor: usize, action: &Action) {
    let alive = all[actor].document.is_alive();
    match action {
        Action::Receive(from) => {
            if *from != actor {
                let (delta, model) =
                    (all[*from].document.delta_since(Sequence::ZERO), all[*from].model.clone());
                all[actor].receive(&delta);
                all[actor].model.merge(&model);
            }
        }
        Action::ReceiveSince(from, since) => {
            let delta = all[*from].document.delta_since(Sequence(*since));
            all[actor].receive(&delta);
        }
        Action::Insert(body) => {
            all[actor].insert(body);
        }
        Action::InsertCounter(name, kind, from) => all[actor].insert_counter(name, *kind, *from),
        Action::Initial(body) => all[actor].initial(body),
        Action::Skew(hours) => {
            let peer = &mut all[actor];
            peer.now_ms = peer.now_ms.saturating_add_signed(hours * 3_600_000);
        }
        Action::Delete => all[actor].delete(),
        Action::Store => all[actor].store(),
        Action::Evict => {
            all[actor].document = Document::new();
            all[actor].model = Model::default();
        }
        _ if !alive => {}
        Action::Set(names, value) => all[actor].set(names, value).unwrap(),
        Action::Unset(names) => {
            all[actor].unset(names).unwrap();
        }
        Action::Increment(names, by) => all[actor].increment(names, *by).unwrap(),
        Action::PnIncrement(names, quarters) => {
            all[actor].count(names, Kind::PnCounter, *quarters as f64 / 4.0).unwrap();
        }
        Action::Restart(names, with) => all[actor].restart(names, *with).unwrap(),
        Action::SetAs(names, kind, value) => all[actor].set_as(names, *kind, value),
        Action::Unknown(names, code, payload) => all[actor].receive_unknown(names, *code, *payload),
    }
}
