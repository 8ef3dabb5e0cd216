//! Loro as a peer: the collection is one document with a map by `_id`.
//!
//! The library has no messages of its own. Each side says its version once; from then on it sends updates: what it has
//! beyond what the other side said or sent. For who has nothing a snapshot would be larger by two fifths and no faster.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use ditto_rivals::Failure;
use ditto_rivals::framed::{Framed, Replica};
use ditto_rivals::protocol::{id, serve};
use loro::{
    Container, ExportMode, ID, LoroDoc, LoroList, LoroMap, LoroValue, ValueOrContainer, VersionVector,
};
use serde_json::Value;

fn main() -> ExitCode {
    serve::<Framed<Collection>>()
}

struct Collection {
    document: LoroDoc,
    saved: VersionVector,
}

#[derive(Default)]
struct Session {
    /// Whether the own version was said.
    greeted: bool,
    /// What the other side has, once it has said it.
    theirs: Option<VersionVector>,
}

/// What a message begins with.
const VERSION: u8 = 0;
const CHANGES: u8 = 1;

impl Collection {
    fn map(&self) -> LoroMap {
        self.document.get_map("c")
    }

    fn member(&self, id: &str) -> Option<LoroMap> {
        match self.map().get(id)? {
            ValueOrContainer::Container(Container::Map(map)) => Some(map),
            _ => None,
        }
    }

    /// Everything beyond `version`.
    fn beyond(&self, version: &VersionVector) -> Result<Vec<u8>, Failure> {
        Ok(self.document.export(ExportMode::updates(version))?)
    }
}

impl Replica for Collection {
    type Session = Session;

    fn load(saved: &[Vec<u8>]) -> Result<Self, Failure> {
        let document = LoroDoc::new();
        if !saved.is_empty() {
            document.import_batch(saved)?;
        }
        let saved = document.oplog_vv();
        Ok(Self { document, saved })
    }

    fn unsaved(&mut self) -> Result<Vec<u8>, Failure> {
        let version = self.document.oplog_vv();
        if version == self.saved {
            return Ok(Vec::new());
        }
        let unsaved = self.beyond(&self.saved)?;
        self.saved = version;
        Ok(unsaved)
    }

    fn insert(&mut self, document: &Value) -> Result<(), Failure> {
        let map = self.map().insert_container(id(document)?, LoroMap::new())?;
        fill(&map, document)
    }

    fn set_population(&mut self, id: &str, population: u64) -> Result<(), Failure> {
        let member = self.member(id).ok_or("no such document")?;
        Ok(member.insert("population", i64::try_from(population)?)?)
    }

    fn commit(&mut self) {
        self.document.commit();
    }

    fn count(&self) -> usize {
        self.map().len()
    }

    fn population(&self, id: &str) -> Option<u64> {
        match self.member(id)?.get("population")? {
            ValueOrContainer::Value(LoroValue::I64(value)) => u64::try_from(value).ok(),
            _ => None,
        }
    }

    fn session(&self, _: Option<&[u8]>) -> Result<Session, Failure> {
        Ok(Session::default())
    }

    fn remember(_: &Session) -> Vec<u8> {
        Vec::new()
    }

    fn receive(&mut self, session: &mut Session, message: &[u8]) -> Result<(), Failure> {
        match message.split_first() {
            Some((&VERSION, version)) => session.theirs = Some(VersionVector::decode(version)?),
            Some((&CHANGES, changes)) => {
                let status = self.document.import(changes)?;
                let theirs = session.theirs.get_or_insert_default();
                for (peer, (_, end)) in status.success.iter() {
                    theirs.try_update_last(ID::new(*peer, end - 1));
                }
            }
            _ => return Err("a message of unknown kind".into()),
        }
        Ok(())
    }

    fn next_message(&mut self, session: &mut Session) -> Result<Option<Vec<u8>>, Failure> {
        let own = self.document.oplog_vv();
        if !session.greeted {
            session.greeted = true;
            return Ok(Some([&[VERSION], own.encode().as_slice()].concat()));
        }
        let Some(theirs) = session.theirs.as_mut().filter(|theirs| !theirs.includes_vv(&own)) else {
            return Ok(None);
        };
        let known = theirs.clone();
        theirs.merge(&own);
        Ok(Some([&[CHANGES], self.beyond(&known)?.as_slice()].concat()))
    }
}

fn fill(map: &LoroMap, members: &Value) -> Result<(), Failure> {
    for (name, value) in members.as_object().into_iter().flatten() {
        match value {
            Value::Object(_) => fill(&map.insert_container(name, LoroMap::new())?, value)?,
            Value::Array(values) => {
                let list = map.insert_container(name, LoroList::new())?;
                values.iter().try_for_each(|value| list.push(LoroValue::from(value.clone())))?;
            }
            _ => map.insert(name, LoroValue::from(value.clone()))?,
        }
    }
    Ok(())
}
