//! What the applications of the two peers do, at random.
//!
//! Three kinds of documents, told apart by the beginning of their `_id`: `keep` is never deleted and collects fields that
//! are written once; `once` is inserted once and perhaps deleted; `churn` is inserted, changed and deleted by
//! everybody.

use ditto_store::StoreError;
use ditto_value::{Object, Value};

use super::peer::{Promise, Wish};
use super::{Happening, World};

fn wish(query: &str, arguments: Object) -> Wish {
    Wish { query: query.to_owned(), arguments }
}

fn everything() -> Wish {
    wish("SELECT * FROM plants", Object::default())
}

impl World {
    pub(super) fn choose_subscriptions(&mut self) {
        match self.random.below(5) {
            0 | 1 => {
                self.shared_ids = true;
                self.peers[0].wishes = vec![everything()];
                self.peers[1].wishes = vec![everything()];
            }
            2 => self.peers[1].wishes = vec![everything()],
            3 => {
                self.peers[0].wishes = vec![everything()];
                self.peers[1].wishes = vec![self.filtered()];
            }
            _ => {
                self.peers[0].wishes = vec![self.filtered()];
                self.peers[1].wishes = vec![self.filtered(), self.filtered()];
                self.peers[1].wishes.dedup();
            }
        }
    }

    fn filtered(&mut self) -> Wish {
        let light = self.random.below(4);
        match self.random.below(2) {
            0 => wish("SELECT * FROM plants WHERE light = :light", Object::from([("light", light)])),
            _ => wish("SELECT * FROM plants WHERE light < :light", Object::from([("light", light + 1)])),
        }
    }

    /// One deed, and an appointment for the next.
    pub(super) fn application(&mut self, peer: usize) {
        if !self.stormy {
            return;
        }
        if self.peers[peer].process.is_some() {
            if let Err(error) = self.deed(peer) {
                self.disk_failed(peer, &error);
            }
            self.pump(peer);
        }
        // Bursts and pauses.
        let delay = if self.random.percent(60) { self.random.below(20) } else { self.random.below(3_000) };
        self.schedule(delay, Happening::Write { peer });
    }

    fn deed(&mut self, peer: usize) -> Result<(), StoreError> {
        let now = self.now;
        match self.random.below(100) {
            0..25 => self.insert(peer),
            25..60 => self.update(peer),
            60..72 => self.delete(peer),
            72..80 => self.transaction(peer),
            80..84 => self.evict(peer),
            84..87 if !self.shared_ids => {
                let wish = self.filtered();
                self.note(|| format!("peer {peer} subscribes {wish:?}"));
                self.peers[peer].wish(wish, now);
                Ok(())
            }
            87..89 if self.peers[peer].wishes.len() > 1 => {
                let index = self.random.below(self.peers[peer].wishes.len() as u64);
                self.note(|| format!("peer {peer} ends subscription {index}"));
                self.peers[peer].renounce(usize::try_from(index).unwrap_or(0), now);
                Ok(())
            }
            89 => {
                self.schedule(0, Happening::Crash { peer });
                Ok(())
            }
            90 => {
                self.note(|| format!("the disk of peer {peer} will fail"));
                let Self { peers, random, .. } = self;
                peers[peer].break_disk(random);
                Ok(())
            }
            91..93 => self.housekeeping(peer),
            _ => Ok(()),
        }
    }

    /// Time passes at one peer, and what is due is buried.
    fn housekeeping(&mut self, peer: usize) -> Result<(), StoreError> {
        let days = self.random.below(12);
        self.note(|| format!("{days} days pass at peer {peer}"));
        let mut buried = 0;
        for _ in 0..days {
            self.peers[peer].pass(1, self.now);
            let Some(process) = &self.peers[peer].process else { return Ok(()) };
            loop {
                let reaped = process.store.reap()?;
                buried += reaped.buried;
                if reaped.again_in_ms > 1_000 {
                    break;
                }
            }
        }
        self.note(|| format!("peer {peer} buries {buried}"));
        Ok(())
    }

    fn execute(&mut self, peer: usize, statement: &str, arguments: &Object) -> Result<bool, StoreError> {
        let changed = self.peers[peer].execute(statement, arguments)?;
        self.note(|| {
            let arguments = Value::from(arguments.clone()).to_json();
            format!("peer {peer}: {statement} {arguments} {}", if changed { "" } else { "(nothing)" })
        });
        Ok(changed)
    }

    fn document(&mut self, id: &str) -> Object {
        self.counter += 1;
        let light = self.random.below(5);
        let mut body = Object::from([("_id", Value::from(id)), ("light", Value::from(light))]);
        body.insert("name", format!("plant {}", self.counter));
        if self.random.percent(3) {
            body.insert("rings", "ring ".repeat(60_000));
        }
        if self.random.percent(20) {
            body.insert("care", Object::from([("water", light)]));
        }
        body
    }

    fn insert(&mut self, peer: usize) -> Result<(), StoreError> {
        self.counter += 1;
        let owner = if self.shared_ids { "x".to_owned() } else { peer.to_string() };
        let id = match self.random.below(10) {
            0..2 => format!("keep-{peer}-{}", self.counter),
            2..5 => format!("once-{peer}-{}", self.counter),
            _ => format!("churn-{owner}-{}", self.random.below(12)),
        };
        let document = self.document(&id);
        let arguments = Object::from([("d", Value::from(document))]);
        self.execute(peer, "INSERT INTO plants DOCUMENTS (:d) ON ID CONFLICT DO UPDATE", &arguments)?;
        Ok(())
    }

    fn pick(&mut self, peer: usize) -> Option<String> {
        let living = self.peers[peer].living();
        if living.is_empty() { None } else { Some(self.random.choose(&living).clone()) }
    }

    fn update(&mut self, peer: usize) -> Result<(), StoreError> {
        let Some(id) = self.pick(peer) else { return Ok(()) };
        self.counter += 1;
        if id.starts_with("keep") && self.random.percent(70) {
            let field = format!("f{}", self.counter);
            let arguments = Object::from([("id", id.as_str())]);
            if self.execute(peer, &format!("UPDATE plants SET {field} = 1 WHERE _id = :id"), &arguments)? {
                self.peers[peer].promise(Promise::Field(id, field));
            }
            return Ok(());
        }
        let value = self.random.below(5);
        let arguments = Object::from([("id", Value::from(id)), ("value", Value::from(value))]);
        let statement = match self.random.below(4) {
            0 => "UPDATE plants SET light = :value WHERE _id = :id",
            1 => "UPDATE plants SET height = :value WHERE _id = :id",
            2 => "UPDATE plants UNSET height WHERE _id = :id",
            _ => "UPDATE plants APPLY visits INCREMENT BY 1 WHERE _id = :id",
        };
        let mut arguments = arguments;
        if !statement.contains(":value") {
            arguments.remove("value");
        }
        self.execute(peer, statement, &arguments)?;
        Ok(())
    }

    fn delete(&mut self, peer: usize) -> Result<(), StoreError> {
        let Some(id) = self.pick(peer).filter(|id| !id.starts_with("keep")) else { return Ok(()) };
        let arguments = Object::from([("id", id.as_str())]);
        if self.execute(peer, "DELETE FROM plants WHERE _id = :id", &arguments)? && id.starts_with("once") {
            self.peers[peer].promise(Promise::Deletion(id));
        }
        Ok(())
    }

    fn transaction(&mut self, peer: usize) -> Result<(), StoreError> {
        let light = self.random.below(5);
        let arguments = Object::from([("light", light)]);
        self.execute(peer, "UPDATE plants SET height = :light WHERE light = :light", &arguments)?;
        Ok(())
    }

    /// Only of what everybody else has: an application that evicts its own last copy has lost it.
    fn evict(&mut self, peer: usize) -> Result<(), StoreError> {
        let Some(id) = self.pick(peer) else { return Ok(()) };
        let foreign = id.split('-').nth(1) == Some(if peer == 0 { "1" } else { "0" });
        if !foreign {
            return Ok(());
        }
        let mine = |promise: &Promise| match promise {
            Promise::Field(document, _) | Promise::Deletion(document) => *document == id,
        };
        if self.peers[peer].promises.keys().any(mine) {
            return Ok(());
        }
        let arguments = Object::from([("id", id.as_str())]);
        self.execute(peer, "EVICT FROM plants WHERE _id = :id", &arguments)?;
        Ok(())
    }
}
