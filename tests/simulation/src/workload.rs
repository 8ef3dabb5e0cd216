//! What the applications do, at random.
//!
//! Kinds of documents in `plants`, told apart by the beginning of their `_id`, which goes on with the number of the peer that
//! inserted them: `keep` is never deleted and collects fields that are written once, and one
//! that everybody writes (`contested`); `once` is inserted once and perhaps
//! deleted; `count` is a counter that everybody increments; `churn` is inserted, changed and deleted by everybody; `own` has a
//! `note` that only this peer writes, and is not deleted either.
//!
//! In `pairs` each peer has three documents `a`, `b`, `c`. One transaction writes the same `first` to `a` and `b`, another the same
//! `second` to `b` and `c`, now and then one writes both, so that nobody may ever see two of them differ; others lie in two collections (`spanning`).

use ditto_replication::Replica;
use ditto_store::{DataError, StoreError, TransactionKind};
use ditto_value::{Object, Value};

use crate::births;
use crate::excuses::Look;
use crate::incident::{Incident, count};
use crate::intruder;
use crate::ledger::{Promise, Register};
use crate::oracle;
use crate::peer::Wish;
use crate::sabotage::Sabotage;
use crate::spanning;
use crate::world::{Happening, Wanting, World};

fn wish(query: &str, arguments: Object) -> Wish {
    Wish { query: query.to_owned(), arguments }
}

/// Subscribes to everything but the documents that belong together.
pub(crate) const PLANTS: &str = "SELECT * FROM plants";

fn everything() -> Wish {
    Wish::plain(PLANTS)
}

/// Subscribes to the documents that belong together.
pub(crate) const PAIRS: &str = "SELECT * FROM pairs";

fn register(peer: usize, collection: &'static str, document: &str, field: &str) -> Register {
    Register { collection, document: format!("{peer}-{document}"), field: field.to_owned() }
}

/// Documents to which one transaction writes the same, each by its collection and what follows the number of the peer in its `_id`; and
/// the field.
pub(crate) type Group = (&'static str, [(&'static str, &'static str); 2]);

/// One of two that share a document.
pub(crate) const FIRST: Group = ("first", [("pairs", "a"), ("pairs", "b")]);
/// The other.
pub(crate) const SECOND: Group = ("second", [("pairs", "b"), ("pairs", "c")]);

fn pairs() -> Wish {
    Wish::plain(PAIRS)
}

impl World {
    pub(crate) fn choose_subscriptions(&mut self) {
        self.wanting = if self.random.percent(60) { Wanting::Everything } else { Wanting::Parts };
        self.own_ids = self.wanting == Wanting::Parts;
        for peer in 0..self.peers.len() {
            let mut wishes = match (self.wanting, self.random.below(10)) {
                (Wanting::Everything, _) => vec![everything(), pairs()],
                (Wanting::Parts, 0..4) => vec![everything(), pairs()],
                (Wanting::Parts, 4..6) => vec![self.filtered()],
                (Wanting::Parts, 6..9) => vec![self.filtered(), self.filtered()],
                // Who subscribes to nothing only publishes.
                (Wanting::Parts, _) => vec![],
            };
            wishes.dedup();
            if self.spanning.is_some() && wishes.contains(&pairs()) {
                wishes.extend(spanning::wishes());
            }
            if self.intruder.is_some() {
                wishes.insert(0, intruder::wish());
            }
            self.peers[peer].wishes = wishes;
        }
    }

    fn filtered(&mut self) -> Wish {
        let light = self.random.below(4);
        match self.random.below(2) {
            0 => wish("SELECT * FROM plants WHERE light = :light", Object::from([("light", light)])),
            _ => wish("SELECT * FROM plants WHERE light < :light", Object::from([("light", light + 1)])),
        }
    }

    /// A subscription begins, ends, or is taken back for a while. Where everybody wants everything that stays so.
    pub(crate) fn change_subscriptions(&mut self, peer: usize) {
        let now = self.now;
        if self.peers[peer].process.is_none() {
            return;
        }
        if self.wanting == Wanting::Parts
            && (self.resume(peer) || self.random.percent(30) && self.pause(peer))
        {
            self.pump(peer);
            return;
        }
        let wishes = self.peers[peer].wishes.len() as u64;
        let of_everything = if self.spanning.is_some() { 4 } else { 2 };
        let least = if self.wanting == Wanting::Everything { of_everything } else { 1 }
            + u64::from(self.intruder.is_some());
        if wishes > least && self.random.percent(50) {
            let index = usize::try_from(self.random.between(least, wishes - 1)).unwrap_or(0);
            self.note(|| format!("peer {peer} ends subscription {index}"));
            self.count(Incident::Renunciation);
            self.take_back(peer, index);
            self.peers[peer].renounce(index, now);
            // Who does not subscribe to transactions any more may hold a part, and pass it on.
            self.look_at_transactions(peer, Look::Changed);
        } else {
            let wish = self.filtered();
            self.note(|| format!("peer {peer} subscribes {wish:?}"));
            self.count(Incident::Subscription);
            self.peers[peer].wish(wish, now);
        }
        self.pump(peer);
    }

    /// All that a peer wants of plants it does not want for a while; false if it wants all of them.
    fn pause(&mut self, peer: usize) -> bool {
        let is_filtered = |wish: &Wish| wish.query.starts_with(PLANTS) && wish.query != PLANTS;
        let wishes = &self.peers[peer].wishes;
        if !wishes.iter().any(is_filtered) || wishes.iter().any(|wish| wish.query == PLANTS) {
            return false;
        }
        self.note(|| format!("peer {peer} wants no plants for a while"));
        self.count(Incident::Pause);
        while let Some(index) = self.peers[peer].wishes.iter().position(is_filtered) {
            self.take_back(peer, index);
            let wish = self.peers[peer].wishes[index].clone();
            self.peers[peer].renounce(index, self.now);
            self.peers[peer].paused.push(wish);
        }
        self.look_at_transactions(peer, Look::Changed);
        true
    }

    /// It wants them again; false if nothing is taken back.
    pub(crate) fn resume(&mut self, peer: usize) -> bool {
        let paused = std::mem::take(&mut self.peers[peer].paused);
        if paused.is_empty() {
            return false;
        }
        self.note(|| format!("peer {peer} wants plants again"));
        self.count(Incident::Resume);
        paused.into_iter().for_each(|wish| self.peers[peer].wish(wish, self.now));
        true
    }

    /// A subscription is taken back.
    fn take_back(&mut self, peer: usize, index: usize) {
        let wish = &self.peers[peer].wishes[index];
        let process = self.peers[peer].process.as_ref();
        let interest = process.and_then(|process| process.replica.compile(&wish.query, &wish.arguments).ok());
        if let Some(interest) = interest {
            let wish = Wish { query: interest.normalized, arguments: wish.arguments.clone() };
            self.receipts.renounce(peer, &wish);
        }
    }

    /// One deed, and an appointment for the next.
    pub(crate) fn application(&mut self, peer: usize) {
        if !self.stormy {
            return;
        }
        if self.peers[peer].process.is_some() && !self.peers[peer].failed {
            let before = self.peers[peer].last_sequence();
            let outcome = self
                .deed(peer)
                .and_then(|()| self.write_among_lies(peer))
                .and_then(|()| self.contend(peer))
                .and_then(|()| self.span(peer));
            match outcome {
                // Large copies that were written apart may be too large together: who writes to that is told, and nothing changes.
                Err(error) if !(self.climate.large && is_too_large(&error)) => self.failed(peer, &error),
                _ => {
                    let (documents, bytes) = oracle::cost::of_changes(&self.peers[peer], before);
                    self.changes += documents;
                    self.change_bytes += bytes;
                }
            }
            self.pump(peer);
        }
        // Bursts and pauses; of a crowd each one does less.
        let delay = if self.random.percent(60) { self.random.below(20) } else { self.random.below(3_000) };
        let crowd = (self.peers.len() as u64 / 4).max(1);
        self.schedule(delay * crowd, Happening::Write { peer });
    }

    fn deed(&mut self, peer: usize) -> Result<(), StoreError> {
        match self.random.below(100) {
            0..23 => self.insert(peer),
            23..55 => self.update(peer),
            55..65 => self.delete(peer),
            65..68 => self.several(peer),
            68..71 => self.note_down(peer),
            71..82 => self.increment(peer),
            82..94 => self.transaction(peer),
            94..98 if self.climate.evictions => self.evict(peer),
            98 if self.climate.newer => self.write_as_newer(peer),
            99 if self.climate.newer => self.change_as_older(peer),
            98 if self.climate.indexes => self.index(peer),
            99 if self.climate.kinds => self.initial(peer),
            _ => Ok(()),
        }
    }

    /// Executes a statement at a peer, and writes it down.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) fn execute(
        &mut self,
        peer: usize,
        statement: &str,
        arguments: &Object,
    ) -> Result<bool, StoreError> {
        let evicted = self.peers[peer].evicted_by(statement, arguments);
        let result = self.peers[peer].execute(statement, arguments);
        self.receipts.evict(peer, &evicted);
        self.note(|| {
            let arguments: String = Value::from(arguments.clone()).to_json().chars().take(200).collect();
            let outcome = match &result {
                Ok(true) => String::new(),
                Ok(false) => "(nothing)".to_owned(),
                Err(error) => error.to_string(),
            };
            format!("peer {peer}: {statement} {arguments} {outcome}")
        });
        result
    }

    /// Two to seven parts.
    fn rings(&self) -> String {
        "ring ".repeat(40_000 * (1 + self.counter as usize % 4))
    }

    fn document(&mut self, id: &str) -> Object {
        self.counter += 1;
        let light = self.random.below(5);
        let mut body = Object::from([("_id", Value::from(id)), ("light", Value::from(light))]);
        if self.shared.sabotage != Some(Sabotage::HalfDocuments) {
            body.insert("name", format!("plant {}", self.counter));
        }
        if self.climate.large && self.random.percent(3) {
            self.count(Incident::Large);
            body.insert("rings", self.rings());
        }
        if self.random.percent(20) {
            body.insert("care", Object::from([("water", light)]));
        }
        body
    }

    fn insert(&mut self, peer: usize) -> Result<(), StoreError> {
        self.counter += 1;
        let id = match self.random.below(10) {
            0 => format!("keep-{peer}-{}", self.counter),
            1 if self.counter.is_multiple_of(2) => format!("keep-{peer}-{}", self.counter),
            1 => return self.insert_as(peer, &format!("own-{peer}-{}", self.counter)),
            2..5 => format!("once-{peer}-{}", self.counter),
            _ if self.own_ids => format!("churn-{peer}-{}", self.random.below(12)),
            _ => format!("churn-x-{}", self.random.below(12)),
        };
        self.insert_as(peer, &id)
    }

    fn insert_as(&mut self, peer: usize, id: &str) -> Result<(), StoreError> {
        let document = self.document(id);
        if id.starts_with(births::SHARED) {
            return self.bear(peer, id, document);
        }
        self.insert_or_update(peer, document)
    }

    pub(crate) fn insert_or_update(&mut self, peer: usize, document: Object) -> Result<(), StoreError> {
        let arguments = Object::from([("d", Value::from(document))]);
        self.execute(peer, "INSERT INTO plants DOCUMENTS (:d) ON ID CONFLICT DO UPDATE", &arguments)?;
        self.count(Incident::Insert);
        Ok(())
    }

    /// Writes the field that is only written here.
    fn note_down(&mut self, peer: usize) -> Result<(), StoreError> {
        let Some(id) = self.pick(peer, &[&format!("own-{peer}-")]) else { return Ok(()) };
        self.counter += 1;
        let value = self.random.percent(80).then_some(self.counter as i64);
        let (statement, arguments) = match value {
            Some(value) => {
                let arguments =
                    Object::from([("id", Value::from(id.as_str())), ("value", Value::from(value))]);
                ("UPDATE plants SET note = :value WHERE _id = :id", arguments)
            }
            None => ("UPDATE plants UNSET note WHERE _id = :id", Object::from([("id", id.as_str())])),
        };
        let outcome = self.execute(peer, statement, &arguments);
        count(&mut self.tally, Incident::Register, u64::from(outcome.is_ok()));
        let register = Register { collection: "plants", document: id, field: "note".to_owned() };
        self.write_down(peer, vec![(register, value)], outcome.map(|_| ()))
    }

    /// The ledger learns of what was written to registers.
    fn write_down(
        &mut self,
        peer: usize,
        written: Vec<(Register, Option<i64>)>,
        outcome: Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let sequence = self.peers[peer].last_sequence();
        let ledger = &mut self.peers[peer].ledger;
        for (register, value) in written {
            match outcome {
                Ok(()) => ledger.write(register, value, sequence),
                Err(_) => ledger.perhaps_write(register, value),
            }
        }
        outcome
    }

    pub(crate) fn pick(&mut self, peer: usize, kinds: &[&str]) -> Option<String> {
        let mut living = self.peers[peer].living("plants");
        living.retain(|id| kinds.iter().any(|kind| id.starts_with(kind)));
        if living.is_empty() { None } else { Some(self.random.choose(&living).clone()) }
    }

    fn update(&mut self, peer: usize) -> Result<(), StoreError> {
        let Some(id) = self.pick(peer, &["keep", "once", "churn"]) else { return Ok(()) };
        self.counter += 1;
        if id.starts_with("keep") && self.random.percent(70) {
            let field = format!("f{}", self.counter);
            let arguments = Object::from([("id", id.as_str())]);
            let lost = self.shared.sabotage == Some(Sabotage::LostWrites);
            let statement = format!("UPDATE plants SET {field} = 1 WHERE _id = :id");
            if lost || self.execute(peer, &statement, &arguments)? {
                let sequence = self.peers[peer].last_sequence();
                self.peers[peer].ledger.promise(Promise::Field(id, field), sequence);
            }
            return Ok(());
        }
        let value = self.random.below(5);
        if self.climate.kinds && self.random.percent(30) {
            return self.change_kind(peer, &id);
        }
        let statement = match self.random.below(5) {
            0 => "UPDATE plants SET light = :value WHERE _id = :id",
            1 => "UPDATE plants SET height = :value WHERE _id = :id",
            2 => "UPDATE plants UNSET height WHERE _id = :id",
            3 => "UPDATE plants SET care.water = :value WHERE _id = :id",
            _ => "UPDATE plants APPLY visits INCREMENT BY 1 WHERE _id = :id",
        };
        let mut arguments = Object::from([("id", Value::from(id)), ("value", Value::from(value))]);
        if !statement.contains(":value") {
            arguments.remove("value");
        }
        let has_changed = self.execute(peer, statement, &arguments)?;
        count(&mut self.tally, Incident::Update, u64::from(has_changed));
        Ok(())
    }

    /// Members of one name become registers, maps and counters.
    fn change_kind(&mut self, peer: usize, id: &str) -> Result<(), StoreError> {
        let statements = [
            "UPDATE plants SET care = {} WHERE _id = :id",
            "UPDATE plants SET care = 3 WHERE _id = :id",
            "UPDATE plants SET care = {'water': 7, 'soil': {}} WHERE _id = :id",
            "UPDATE plants UNSET care WHERE _id = :id",
            "UPDATE plants UNSET visits WHERE _id = :id",
            "UPDATE plants SET visits = 5 WHERE _id = :id",
            "UPDATE plants APPLY visits RESTART WITH 3 WHERE _id = :id",
        ];
        let statement = *self.random.choose(&statements);
        match self.execute(peer, statement, &Object::from([("id", id)])) {
            Ok(has_changed) => {
                let incident = if statement.contains("RESTART") { Incident::Restart } else { Incident::Kind };
                count(&mut self.tally, incident, u64::from(has_changed));
                Ok(())
            }
            // Not everything can be written over everything.
            Err(StoreError::Data(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// A document that every application brings with it.
    fn initial(&mut self, peer: usize) -> Result<(), StoreError> {
        let number = self.random.below(12);
        let id = if self.own_ids { format!("churn-{peer}-{number}") } else { format!("churn-x-{number}") };
        let arguments = Object::from([("d", Value::from(self.document(&id)))]);
        let is_new = self.execute(peer, "INSERT INTO plants INITIAL DOCUMENTS (:d)", &arguments)?;
        count(&mut self.tally, Incident::Initial, u64::from(is_new));
        Ok(())
    }

    /// An index comes or goes.
    fn index(&mut self, peer: usize) -> Result<(), StoreError> {
        let statements = [
            "CREATE INDEX IF NOT EXISTS by_light ON plants (light)",
            "CREATE INDEX IF NOT EXISTS by_height ON plants (height, light)",
            "DROP INDEX IF EXISTS by_light ON plants",
        ];
        let statement = *self.random.choose(&statements);
        self.execute(peer, statement, &Object::default())?;
        self.count(Incident::Index);
        Ok(())
    }

    fn delete(&mut self, peer: usize) -> Result<(), StoreError> {
        let Some(id) = self.pick(peer, &["once", "churn"]) else { return Ok(()) };
        let arguments = Object::from([("id", id.as_str())]);
        if id.starts_with(births::SHARED) {
            self.see_births(peer, &id);
            self.delete_elsewhere(peer, &id);
        }
        let outcome = self.execute(peer, "DELETE FROM plants WHERE _id = :id", &arguments);
        self.deletions += u64::from(!matches!(outcome, Ok(false)));
        let is_deleted = outcome?;
        count(&mut self.tally, Incident::Delete, u64::from(is_deleted));
        if is_deleted && id.starts_with("once") {
            let sequence = self.peers[peer].last_sequence();
            self.peers[peer].ledger.promise(Promise::Deletion(id.clone()), sequence);
            if self.shared.sabotage == Some(Sabotage::Resurrection) {
                self.insert_as(peer, &id)?;
            }
        }
        Ok(())
    }

    /// One statement that changes several documents.
    fn several(&mut self, peer: usize) -> Result<(), StoreError> {
        let light = self.random.below(5);
        let arguments = Object::from([("light", light)]);
        let statement = "UPDATE plants SET height = :light WHERE light = :light";
        let has_changed = self.execute(peer, statement, &arguments)?;
        count(&mut self.tally, Incident::Several, u64::from(has_changed));
        Ok(())
    }

    fn increment(&mut self, peer: usize) -> Result<(), StoreError> {
        const FEW: usize = 3;
        let counters = self.peers[peer].living("plants").iter().filter(|id| id.starts_with("count")).count();
        if counters < FEW && self.random.percent(40) {
            self.counter += 1;
            let id = format!("count-{peer}-{}", self.counter);
            return self.insert_as(peer, &id);
        }
        let Some(id) = self.pick(peer, &["count"]) else { return Ok(()) };
        let amount = *self.random.choose(&[1, 2, 5, -1]);
        let arguments = Object::from([("id", Value::from(id.as_str())), ("amount", Value::from(amount))]);
        let statement = "UPDATE plants APPLY visits INCREMENT BY :amount WHERE _id = :id";
        if self.shared.sabotage == Some(Sabotage::DoubleCounting) {
            self.execute(peer, statement, &arguments)?;
        }
        let is_lost = self.shared.sabotage == Some(Sabotage::LostWrites);
        match if is_lost { Ok(true) } else { self.execute(peer, statement, &arguments) } {
            Ok(true) => {
                let sequence = self.peers[peer].last_sequence();
                self.peers[peer].ledger.increment(&id, amount, sequence);
                self.count(Incident::Counter);
            }
            Ok(false) => {}
            Err(error) => {
                self.peers[peer].ledger.perhaps_increment(&id, amount);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Several statements on several documents that belong together.
    fn transaction(&mut self, peer: usize) -> Result<(), StoreError> {
        let (groups, incident): (&[Group], _) = match self.random.below(5) {
            0 | 1 => (&[FIRST], Incident::Transaction),
            2 | 3 => (&[SECOND], Incident::Transaction),
            _ => (&[FIRST, SECOND], Incident::Overlap),
        };
        self.write_together(peer, groups, incident)
    }

    /// One transaction that writes the same to all documents of each of these groups.
    pub(crate) fn write_together(
        &mut self,
        peer: usize,
        groups: &[Group],
        incident: Incident,
    ) -> Result<(), StoreError> {
        self.counter += 1;
        let turn = self.counter;
        self.write_by_parts(peer);
        let Some(process) = &self.peers[peer].process else { return Ok(()) };
        let transaction = process.store.begin(TransactionKind::ReadWrite)?;
        let mut written = Vec::new();
        for (field, members) in groups {
            for (collection, document) in *members {
                let id = format!("{peer}-{document}");
                let mut body = Object::from([("_id", Value::from(id)), (*field, Value::from(turn))]);
                if self.climate.large && turn.is_multiple_of(4) && document == "b" {
                    self.count(Incident::Large);
                    body.insert("rings", self.rings());
                }
                if collection == "halves" {
                    body.insert("half", document);
                }
                let arguments = Object::from([("d", Value::from(body))]);
                let statement = format!("INSERT INTO {collection} DOCUMENTS (:d) ON ID CONFLICT DO UPDATE");
                transaction.execute(&statement, &arguments)?;
                written.push((register(peer, collection, document, field), Some(turn as i64)));
                if matches!(self.shared.sabotage, Some(Sabotage::HalfTransactions | Sabotage::NeverWhole)) {
                    break;
                }
            }
        }
        let is_lost = self.shared.sabotage == Some(Sabotage::LostWrites) && turn.is_multiple_of(2);
        if is_lost {
            transaction.rollback();
        }
        let outcome = if is_lost { Ok(()) } else { transaction.commit().map(|_| ()) };
        self.note(|| format!("peer {peer}: transaction {turn} of {groups:?}"));
        count(&mut self.tally, incident, u64::from(outcome.is_ok()));
        self.write_down(peer, written, outcome)
    }

    /// Only of what its owner has and may tell (of what stays at home everything is forgotten), and by one peer only:
    /// applications that evict apart from each other can lose the last copy.
    fn evict(&mut self, peer: usize) -> Result<(), StoreError> {
        let Some(id) = self.pick(peer, &["keep", "once", "churn", "count"]) else { return Ok(()) };
        let owner = id.split('-').nth(1).and_then(|owner| owner.parse::<usize>().ok());
        let allowed = owner.is_some_and(|owner| (owner + 1) % self.founders == peer);
        let ledger = &self.peers[peer].ledger;
        // Who holds something for another may be taken back to a time before that, or leave for good.
        let may_miss = self.climate.restores || self.climate.losses;
        let forgettable = !ledger.concerns(&id) && (!may_miss || !ledger.counts(&id));
        if !allowed || !forgettable || self.peers[peer].keeps_at_home("plants") {
            return Ok(());
        }
        let arguments = Object::from([("id", id.as_str())]);
        let is_evicted = self.execute(peer, "EVICT FROM plants WHERE _id = :id", &arguments)?;
        count(&mut self.tally, Incident::Eviction, u64::from(is_evicted));
        Ok(())
    }
}

fn is_too_large(error: &StoreError) -> bool {
    matches!(error, StoreError::Data(DataError::TooLarge { .. }))
}
