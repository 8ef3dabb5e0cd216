//! Automerge as a peer: the collection is one document, a map by `_id`, and syncs by the sync protocol of the library.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::process::ExitCode;

use automerge::sync::{Message, State, SyncDoc as _};
use automerge::transaction::Transactable as _;
use automerge::{AutoCommit, ROOT, ReadDoc as _, ScalarValue, hydrate};
use ditto_rivals::Failure;
use ditto_rivals::framed::{Framed, Replica};
use ditto_rivals::protocol::{id, serve};
use serde_json::Value;

fn main() -> ExitCode {
    serve::<Framed<Collection>>()
}

struct Collection {
    document: AutoCommit,
    /// Whether everything up to some point was saved, so that the rest is enough.
    saved: bool,
}

impl Replica for Collection {
    type Session = State;

    fn load(saved: &[Vec<u8>]) -> Result<Self, Failure> {
        let document = AutoCommit::load(&saved.concat())?;
        Ok(Self { document, saved: !saved.is_empty() })
    }

    fn unsaved(&mut self) -> Result<Vec<u8>, Failure> {
        if self.saved {
            return Ok(self.document.save_incremental());
        }
        if self.document.get_heads().is_empty() {
            return Ok(Vec::new());
        }
        self.saved = true;
        Ok(self.document.save())
    }

    fn insert(&mut self, document: &Value) -> Result<(), Failure> {
        self.document.batch_create_object(ROOT, id(document)?, &hydrated(document), false)?;
        Ok(())
    }

    fn set_population(&mut self, id: &str, population: u64) -> Result<(), Failure> {
        let (_, object) = self.document.get(ROOT, id)?.ok_or("no such document")?;
        self.document.put(object, "population", population)?;
        Ok(())
    }

    fn commit(&mut self) {
        self.document.commit();
    }

    fn count(&self) -> usize {
        self.document.length(ROOT)
    }

    fn population(&self, id: &str) -> Option<u64> {
        let (_, object) = self.document.get(ROOT, id).ok()??;
        let (value, _) = self.document.get(object, "population").ok()??;
        value.as_u64()
    }

    fn session(&self, remembered: Option<&[u8]>) -> Result<State, Failure> {
        Ok(remembered.map(State::decode).transpose()?.unwrap_or_default())
    }

    fn remember(session: &State) -> Vec<u8> {
        session.encode()
    }

    fn receive(&mut self, session: &mut State, message: &[u8]) -> Result<(), Failure> {
        Ok(self.document.sync().receive_sync_message(session, Message::decode(message)?)?)
    }

    fn next_message(&mut self, session: &mut State) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.document.sync().generate_sync_message(session).map(Message::encode))
    }
}

fn hydrated(value: &Value) -> hydrate::Value {
    match value {
        Value::Null => ScalarValue::Null.into(),
        Value::Bool(value) => ScalarValue::Boolean(*value).into(),
        Value::Number(number) => match number.as_u64() {
            Some(integer) => integer.into(),
            None => number.as_f64().unwrap_or(f64::NAN).into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(values) => values.iter().map(hydrated).collect::<Vec<_>>().into(),
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| (name.as_str(), hydrated(value)));
            members.collect::<HashMap<_, _>>().into()
        }
    }
}
