//! Syncing two peers of one process over TCP and TLS on the loopback interface.
//!
//! Bytes are counted by a [`Relay`] between the two, both directions together. Latencies are measured without it.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tempfile::{TempDir, tempdir};

use super::Context;
use super::footprint;
use super::open::MANY;
use crate::Failure;
use crate::documents::{Document, POPULATIONS, Random, documents, json_bytes};
use crate::line::{Budget, Line, Unit, grouped, milliseconds, rate};
use crate::measure::{Latencies, timed};
use crate::ours::{Observation, Peer};
use crate::relay::Relay;

/// How long a connection must be silent to count as having nothing more to say.
const QUIET: Duration = Duration::from_millis(500);

/// Nothing is told before it is durable, which it is 100 ms after its commit at the latest; and what is not yet when a
/// subscriber with a filter arrives is a change during the sync, which is offered to it even if it does not match.
const UNTIL_DURABLE: Duration = Duration::from_millis(500);

/// Two peers: one has documents and listens, the other one subscribes to them and dials.
struct Mesh {
    publisher: Peer,
    subscriber: Peer,
    relay: Option<Relay>,
    #[expect(dead_code, reason = "the databases go with their directories")]
    directories: [TempDir; 2],
}

impl Mesh {
    /// A publisher with documents that listens, and a subscriber that has not started to sync.
    fn new<T: Serialize>(documents: &[T], relayed: bool) -> Result<(Self, Duration), Failure> {
        Self::subscribed_to("SELECT * FROM c", documents, relayed)
    }

    /// The same with another subscription.
    fn subscribed_to<T: Serialize>(
        query: &str,
        documents: &[T],
        relayed: bool,
    ) -> Result<(Self, Duration), Failure> {
        let directories = [tempdir()?, tempdir()?];
        let [first, second] = &directories;
        let publisher = Peer::open(first.path())?;
        let loading = timed(|| publisher.insert_batches(documents))?;
        thread::sleep(UNTIL_DURABLE);
        let address = publisher.listen()?;
        let relay = relayed.then(|| Relay::start(address)).transpose()?;
        let subscriber = Peer::open(second.path())?;
        subscriber.subscribe_to(query)?;
        subscriber.connect_to(relay.as_ref().map_or(address, Relay::address));
        Ok((Self { publisher, subscriber, relay, directories }, loading))
    }

    /// Waits until nothing passes and returns how many bytes have passed so far.
    fn bytes(&self) -> Result<f64, Failure> {
        let relay = self.relay.as_ref().ok_or("this mesh has no relay")?;
        Ok(relay.quiet(QUIET)? as f64)
    }

    /// Everything from the publisher, and everything told to it.
    fn settle(&self, count: usize) -> Result<(), Failure> {
        self.subscriber.start_sync()?;
        self.subscriber.wait_for_documents(count)?;
        if let Some(relay) = &self.relay {
            relay.quiet(QUIET)?;
        }
        Ok(())
    }
}

/// A subscriber with nothing gets a large collection.
pub fn first(context: &Context) -> Result<Vec<Line>, Failure> {
    let [documents, bytes] = everything(context, "first sync", &documents(10, context.scaled(MANY)))?;
    Ok(vec![documents.within(Budget::RatioAtLeast(0.5)), bytes.within(Budget::RatioAtMost(0.6))])
}

/// How fast, and with how many bytes, a subscriber with nothing gets all of these documents.
fn everything<T: Serialize>(context: &Context, name: &str, documents: &[T]) -> Result<[Line; 2], Failure> {
    let json = json_bytes(documents)? as f64;
    context.step("loading the publisher");
    let (mesh, loading) = Mesh::new(documents, false)?;
    context.step("first sync");
    let syncing = timed(|| mesh.settle(documents.len()))?;
    drop(mesh);
    context.step("first sync, counting bytes");
    let (mesh, _) = Mesh::new(documents, true)?;
    mesh.settle(documents.len())?;
    let bytes = mesh.bytes()?;
    Ok([
        Line::rate(format!("{name}, documents (peer: our local batch insert)"), documents.len(), syncing)
            .against(rate(documents.len(), loading)),
        Line::new(format!("{name}, bytes (peer: the documents as JSON)"), bytes, Unit::Bytes).against(json),
    ])
}

/// One line of a file of documents, under an `_id` of its own.
#[derive(Serialize)]
struct Place {
    #[serde(rename = "_id")]
    id: String,
    #[serde(flatten)]
    fields: serde_json::Map<String, serde_json::Value>,
}

/// The documents of a file with one JSON object a line. The `_id` is a UUID of version 4, as an INSERT without one makes it.
fn read_places(file: &Path) -> Result<Vec<Place>, Failure> {
    let mut random = Random::new(18);
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let place = |line| {
        let (high, low) = (random.next(), random.next());
        let number = (u128::from(high) << 64 | u128::from(low)) & !(0xf << 76 | 3 << 62) | 4 << 76 | 2 << 62;
        let digits = format!("{number:032x}");
        let id =
            [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| digits.get(part).unwrap_or_default()).join("-");
        Ok(Place { id, fields: serde_json::from_str(line)? })
    };
    text.lines().map(place).collect()
}

/// A subscriber with nothing gets real documents: short ones, with text of many scripts.
pub fn places(context: &Context) -> Result<Vec<Line>, Failure> {
    let extract = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/data/places.jsonl");
    let places = read_places(&context.places.clone().unwrap_or_else(extract))?;
    let name = format!("first sync of {} places", grouped(places.len()));
    let [documents, bytes] = everything(context, &name, &places)?;
    let memory = footprint::memory_of_receiver(context, &places)?;
    let memory = Line::new(format!("{name}, memory of the subscriber"), memory, Unit::Bytes);
    // The budgets are for all places; what a few cost besides their documents says nothing of them.
    Ok(if context.places.is_some() {
        vec![
            documents.within(Budget::RatioAtLeast(0.5)),
            bytes.within(Budget::RatioAtMost(0.6)),
            memory.within(Budget::AtMost(64.0 * 1_048_576.0)),
        ]
    } else {
        vec![documents, bytes, memory]
    })
}

/// A subscriber with nothing gets the documents of one country out of a large collection, by a filter.
pub fn filtered(context: &Context) -> Result<Vec<Line>, Failure> {
    let documents = documents(16, context.scaled(MANY));
    let Some(country) = documents.first().map(|document| document.country) else { return Ok(Vec::new()) };
    let matching: Vec<_> = documents.iter().filter(|document| document.country == country).collect();
    let json = json_bytes(&matching)? as f64;
    let query = format!("SELECT * FROM c WHERE country = '{country}'");
    let measure = |relayed| -> Result<(Mesh, Duration), Failure> {
        context.step("loading the publisher");
        let (mesh, _) = Mesh::subscribed_to(&query, &documents, relayed)?;
        context.step("first sync by a filter");
        let syncing = timed(|| mesh.settle(matching.len()))?;
        Ok((mesh, syncing))
    };
    let (_, syncing) = measure(false)?;
    let (mesh, _) = measure(true)?;
    let part = matching.len() as f64 / documents.len() as f64;
    let name =
        format!("first sync by a filter that {:.1} % of {} match", 100.0 * part, grouped(documents.len()));
    Ok(vec![
        Line::rate(format!("{name}, documents of the collection"), documents.len(), syncing),
        Line::new(format!("{name}, bytes (peer: what matches as JSON)"), mesh.bytes()?, Unit::Bytes)
            .against(json),
    ])
}

/// Ten times as many documents take ten times as long, and what is changed while many are under way does not wait for them.
pub fn slope(context: &Context) -> Result<Vec<Line>, Failure> {
    let (small, large) = (context.scaled(MANY), context.scaled(10 * MANY));
    let load = |count| -> Result<Mesh, Failure> {
        context.step(format!("loading {count} documents"));
        let (mesh, _) = Mesh::new(&crate::documents::small_documents(15, count), false)?;
        context.step(format!("first sync of {count} documents"));
        Ok(mesh)
    };
    let time = |count| -> Result<f64, Failure> {
        let mesh = load(count)?;
        Ok(timed(|| mesh.settle(count))?.as_secs_f64())
    };
    // By turns: a machine that others use as well is not as fast in one half of a minute as in the next.
    let (mut few, mut many) = ([0.0; 3], [0.0; 3]);
    for (few, many) in few.iter_mut().zip(&mut many) {
        (*few, *many) = (time(small)?, time(large)?);
    }
    few.sort_by(f64::total_cmp);
    many.sort_by(f64::total_cmp);
    let ([_, few, _], [_, many, _]) = (few, many);
    let (told, rest) = news_among(&load(large)?, large)?;
    Ok(vec![
        Line::new(
            format!("first sync of {} documents (peer: of {})", grouped(large), grouped(small)),
            1000.0 * many,
            Unit::Milliseconds,
        )
        .against(1000.0 * few)
        .within(Budget::RatioAtMost(11.0)),
        Line::time(
            "a document inserted when a third of these has arrived (peer: the rest of the sync)",
            told,
        )
        .against(milliseconds(rest)),
    ])
}

/// How long a document that is inserted when a third of many has arrived takes, and how long the rest.
fn news_among(mesh: &Mesh, count: usize) -> Result<(Duration, Duration), Failure> {
    let news = mesh
        .subscriber
        .observe("SELECT * FROM c WHERE _id = :id", ById { id: NEWS }, |result| result.item_count())?;
    mesh.subscriber.start_sync()?;
    crate::measure::wait_until("a third of the documents", || {
        Ok(mesh.subscriber.documents_received()?.is_some_and(|received| received >= count / 3))
    })?;
    let start = Instant::now();
    mesh.publisher
        .execute_with("INSERT INTO c DOCUMENTS (:document)", New { document: Text { id: NEWS, text: "" } })?;
    let (told, _) = news.wait_for(|rows| *rows > 0)?;
    mesh.subscriber.wait_for_documents(count + 1)?;
    Ok((told - start, start.elapsed()))
}

/// The document that is inserted while many are under way.
const NEWS: &str = "inserted during the first sync";

#[derive(Serialize)]
struct New<'a> {
    document: Text<'a>,
}

/// A subscriber with nothing gets documents of 189 bytes.
pub fn small_documents(context: &Context) -> Result<Vec<Line>, Failure> {
    let documents = crate::documents::small_documents(11, context.scaled(10_000));
    let (mut all, mut first) = (Latencies::default(), Latencies::default());
    for repetition in 0..crate::measure::REPETITIONS {
        context.step(format!("repetition {repetition}"));
        let (mesh, _) = Mesh::new(&documents, false)?;
        let any =
            mesh.subscriber.observe("SELECT * FROM c LIMIT 1", Nothing {}, |result| result.item_count())?;
        let start = Instant::now();
        mesh.settle(documents.len())?;
        all.push(start.elapsed());
        let (arrived, _) = any.wait_for(|rows| *rows > 0)?;
        first.push(arrived - start);
    }
    let name = format!("first sync of {} small documents", grouped(documents.len()));
    Ok(vec![
        Line::time(name, all.percentile(50)).within(Budget::AtMost(500.0)),
        Line::time("first sync, the first document", first.percentile(50)).within(Budget::AtMost(100.0)),
    ])
}

#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
struct Change<'a> {
    #[serde(rename = "_id")]
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

impl Mesh {
    fn change(&self, document: &Document, population: u64) -> Result<(), Failure> {
        let statement = "UPDATE c SET population = :population WHERE _id = :_id";
        self.publisher.execute_with(statement, Change { id: &document.id, population })?;
        Ok(())
    }

    /// What the subscriber has as the population of a document, whenever that changes.
    fn observe_population(&self, document: &Document) -> Result<Observation<Option<u64>>, Failure> {
        self.subscriber.observe("SELECT * FROM c WHERE _id = :id", ById { id: &document.id }, |result| {
            result.get_item(0).and_then(|item| item.deserialize_value::<Row>().ok()).map(|row| row.population)
        })
    }
}

/// One field changes here and an observer is called there, one change after another.
pub fn small_change(context: &Context) -> Result<Vec<Line>, Failure> {
    const WARMING_UP: usize = 100;
    let documents = documents(12, 1_000);
    let Some(target) = documents.first() else { return Ok(Vec::new()) };
    let count = context.scaled(2_000);
    let mut latencies = Latencies::default();
    let mut bytes_each = 0.0;
    for relayed in [false, true] {
        context.step(if relayed { "counting bytes" } else { "measuring latencies" });
        let (mesh, _) = Mesh::new(&documents, relayed)?;
        mesh.settle(documents.len())?;
        let observation = mesh.observe_population(target)?;
        observation.wait_for(Option::is_some)?;
        let before = if relayed { mesh.bytes()? } else { 0.0 };
        for number in 0..WARMING_UP + count {
            let population = POPULATIONS + number as u64;
            let start = Instant::now();
            mesh.change(target, population)?;
            let (called, _) = observation.wait_for(|value| *value == Some(population))?;
            if !relayed && number >= WARMING_UP {
                latencies.push(called - start);
            }
        }
        if relayed {
            bytes_each = (mesh.bytes()? - before) / (WARMING_UP + count) as f64;
        }
    }
    Ok(vec![
        Line::time("small change, p50", latencies.percentile(50)).within(Budget::AtMost(0.8)),
        Line::time("small change, p99", latencies.percentile(99)).within(Budget::AtMost(3.0)),
        Line::new("small change, bytes with TLS and answers", bytes_each, Unit::Bytes)
            .within(Budget::AtMost(250.0)),
    ])
}

/// The bytes of one connection, made anew while nothing changed.
fn reconnection(mesh: &Mesh) -> Result<f64, Failure> {
    mesh.subscriber.stop_sync();
    let before = mesh.bytes()?;
    mesh.subscriber.start_sync()?;
    crate::measure::wait_until("a new connection", || {
        Ok(mesh.relay.as_ref().is_some_and(|relay| relay.bytes() as f64 > before))
    })?;
    Ok(mesh.bytes()? - before)
}

/// The subscriber goes and comes back while nothing changed. The budget is for all that passes, TLS too, whose handshake
/// takes half of it: two hellos with a key each, and the ticket for the next one. What depends on how many documents there are
/// is what passes beyond a reconnection with an empty collection.
pub fn reconnect(context: &Context) -> Result<Vec<Line>, Failure> {
    context.step("connecting to an empty collection");
    let (empty, _) = Mesh::new::<Document>(&[], true)?;
    empty.settle(0)?;
    let of_nothing = reconnection(&empty)?;
    drop(empty);
    context.step("first sync");
    let documents = documents(13, context.scaled(MANY));
    let (mesh, _) = Mesh::new(&documents, true)?;
    mesh.settle(documents.len())?;
    context.step("reconnecting");
    let bytes = reconnection(&mesh)?;
    let beyond = (bytes - of_nothing).max(0.0);
    let name = format!("reconnect, none of {} changed", grouped(documents.len()));
    Ok(vec![
        Line::new(format!("{name}, all bytes with TLS (peer: empty collection)"), bytes, Unit::Bytes)
            .against(of_nothing)
            .within(Budget::AtMost(1024.0)),
        Line::new(format!("{name}, bytes beyond those of an empty collection"), beyond, Unit::Bytes),
    ])
}

/// One document in a hundred changes while the subscriber is away.
pub fn after_partition(context: &Context) -> Result<Vec<Line>, Failure> {
    context.step("first sync");
    let documents = documents(14, context.scaled(MANY));
    let (mesh, _) = Mesh::new(&documents, true)?;
    mesh.settle(documents.len())?;
    mesh.subscriber.stop_sync();
    let before = mesh.bytes()?;
    context.step("changing documents");
    let changed: Vec<_> = documents.iter().step_by(100).collect();
    for document in &changed {
        mesh.change(document, POPULATIONS)?;
    }
    let Some(last) = changed.last() else { return Ok(Vec::new()) };
    let observation = mesh.observe_population(last)?;
    context.step("resync");
    let start = Instant::now();
    mesh.subscriber.start_sync()?;
    let (arrived, _) = observation.wait_for(|population| *population == Some(POPULATIONS))?;
    let bytes = mesh.bytes()? - before;
    let deltas: Vec<_> =
        changed.iter().map(|document| Change { id: &document.id, population: POPULATIONS }).collect();
    let deltas = json_bytes(&deltas)? as f64;
    Ok(vec![
        Line::new("resync of 1 % changed, bytes (peer: the changes as JSON)", bytes, Unit::Bytes)
            .against(deltas)
            .within(Budget::AtMost(2.0 * deltas + 65_536.0)),
        Line::time("resync of 1 % changed", arrived - start),
    ])
}

#[derive(Serialize)]
struct Text<'a> {
    #[serde(rename = "_id")]
    id: &'a str,
    text: &'a str,
}

#[derive(Deserialize)]
struct TextRow {
    text: String,
}

/// One document in ten thousand changes while the subscriber is away, which has lost its checkpoint: it has evicted a document. The
/// collection is larger than what is reconciled at once.
pub fn without_checkpoint(context: &Context) -> Result<Vec<Line>, Failure> {
    const CHANGED: &str = "changed while the other peer was away";
    let documents = crate::documents::small_documents(17, context.scaled(10 * MANY));
    context.step("first sync");
    let (mesh, _) = Mesh::new(&documents, true)?;
    mesh.settle(documents.len())?;
    mesh.subscriber.stop_sync();
    let before = mesh.bytes()?;
    context.step("changing documents");
    let changed: Vec<_> = documents.iter().step_by(10_000).collect();
    // Nothing is told before it is durable, and what becomes so later counts as a change after the reconciliation has begun.
    mesh.publisher.execute("ALTER SYSTEM SET DURABLE_COMMITS = true")?;
    for document in &changed {
        let change = Text { id: &document.id, text: CHANGED };
        mesh.publisher.execute_with("UPDATE c SET text = :text WHERE _id = :_id", change)?;
    }
    let Some(evicted) = documents.last() else { return Ok(Vec::new()) };
    mesh.subscriber.execute_with("EVICT FROM c WHERE _id = :id", ById { id: &evicted.id })?;
    let observe = |id| {
        mesh.subscriber.observe("SELECT * FROM c WHERE _id = :id", ById { id }, |result| {
            result.get_item(0).and_then(|item| item.deserialize_value::<TextRow>().ok()).map(|row| row.text)
        })
    };
    let observations: Vec<_> =
        changed.iter().map(|document| observe(&document.id)).collect::<Result<_, _>>()?;
    context.step("reconciliation");
    let start = Instant::now();
    mesh.subscriber.start_sync()?;
    let mut arrived = start;
    for observation in &observations {
        let (time, _) = observation.wait_for(|text| text.as_deref() == Some(CHANGED))?;
        arrived = arrived.max(time);
    }
    let bytes = mesh.bytes()? - before;
    let name = format!("{} changes among {} without a checkpoint", changed.len(), grouped(documents.len()));
    Ok(vec![
        Line::time(name.clone(), arrived - start),
        Line::new(format!("{name}, bytes"), bytes, Unit::Bytes),
    ])
}
