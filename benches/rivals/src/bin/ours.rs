//! Ours as a peer, through the SDK, as the benchmarks beside SQLite have it.
#![forbid(unsafe_code)]

use std::path::Path;
use std::process::ExitCode;

use ditto_rivals::protocol::{Invitation, Peer, Transport, serve};
use ditto_rivals::{Failure, documents, measure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[path = "../../../src/ours.rs"]
#[allow(dead_code, reason = "the benchmarks beside SQLite use the rest")]
mod ours;

fn main() -> ExitCode {
    serve::<Ours>()
}

struct Ours {
    peer: ours::Peer,
    watched: Option<ours::Observation<Option<u64>>>,
}

#[derive(Serialize)]
struct Change<'a> {
    id: &'a str,
    population: u64,
}

#[derive(Serialize)]
struct ById<'a> {
    id: &'a str,
}

#[derive(Deserialize)]
struct Row {
    population: u64,
}

impl Peer for Ours {
    fn open(directory: &Path, _: bool) -> Result<Self, Failure> {
        Ok(Self { peer: ours::Peer::open(directory)?, watched: None })
    }

    fn load(&mut self, documents: &[Value]) -> Result<(), Failure> {
        self.peer.insert_batches(documents)
    }

    fn listen(&mut self) -> Result<Invitation, Failure> {
        Ok(Invitation { transport: Transport::Tcp, address: self.peer.listen()?, secret: String::new() })
    }

    fn connect(&mut self, invitation: &Invitation) -> Result<(), Failure> {
        self.peer.subscribe()?;
        self.peer.connect_to(invitation.address);
        self.peer.start_sync()
    }

    fn wait_for_documents(&mut self, count: usize) -> Result<(), Failure> {
        self.peer.wait_for_documents(count)
    }

    fn wait_for_changes(&mut self, ids: &[String], population: u64) -> Result<(), Failure> {
        let mut rest = ids.iter().peekable();
        measure::wait_until("the arrival of all changes", || {
            while let Some(id) = rest.peek() {
                let result = self.peer.execute_with("SELECT * FROM c WHERE _id = :id", ById { id })?;
                let row = result.get_item(0).map(|item| item.deserialize_value::<Row>()).transpose()?;
                if row.is_none_or(|row| row.population != population) {
                    return Ok(false);
                }
                rest.next();
            }
            Ok(true)
        })
    }

    fn watch(&mut self, id: &str) -> Result<(), Failure> {
        let watched = self.peer.observe("SELECT * FROM c WHERE _id = :id", ById { id }, |result| {
            result.get_item(0).and_then(|item| item.deserialize_value::<Row>().ok()).map(|row| row.population)
        })?;
        watched.wait_for(Option::is_some)?;
        self.watched = Some(watched);
        Ok(())
    }

    fn wait_for_value(&mut self, population: u64) -> Result<(), Failure> {
        let watched = self.watched.as_ref().ok_or("no document is watched")?;
        watched.wait_for(|value| *value == Some(population))?;
        Ok(())
    }

    fn change(&mut self, ids: &[String], population: u64) -> Result<(), Failure> {
        for id in ids {
            let statement = "UPDATE c SET population = :population WHERE _id = :id";
            self.peer.execute_with(statement, Change { id, population })?;
        }
        Ok(())
    }

    fn close(self) -> Result<(), Failure> {
        self.peer.stop_sync();
        Ok(())
    }
}
