//! Nothing is lost silently: every update that a deletion absorbs was seen by whoever deleted, or is reported somewhere.

use std::collections::{BTreeMap, BTreeSet};

use ditto_crdt::Sequence;
use ditto_storage::{Snapshot, Storage};
use ditto_store::{Acknowledged, DocumentKey, Sent};
use ditto_value::Value;
use proptest::prelude::*;

use crate::lifecycle::{Peer, incoming};
use crate::support::{assert_consistent, run};

const PEERS: usize = 3;
const DAY_MS: u64 = 86_400_000;
/// What each peer asks all others for.
const INTEREST: [u8; 16] = [1; 16];

#[derive(Clone, Debug)]
enum Step {
    Insert(usize, i64),
    /// A field that nobody has written before.
    Update(usize, i64),
    Delete(usize, i64),
    Evict(usize, i64),
    /// From, to, how many documents at most, whether it is acknowledged.
    Send(usize, usize, usize, bool),
    /// Goes on under another site id, as after a move.
    NewSite(usize),
    TakeImage(usize),
    Restore(usize),
    Housekeeping(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (peer, id) = (0..PEERS, 0..3i64);
    let sent = prop_oneof![3 => Just(usize::MAX), 1 => 0..3usize];
    prop_oneof![
        4 => (peer.clone(), id.clone()).prop_map(|(peer, id)| Step::Insert(peer, id)),
        8 => (peer.clone(), id.clone()).prop_map(|(peer, id)| Step::Update(peer, id)),
        3 => (peer.clone(), id.clone()).prop_map(|(peer, id)| Step::Delete(peer, id)),
        2 => (peer.clone(), id).prop_map(|(peer, id)| Step::Evict(peer, id)),
        10 => (peer.clone(), 1..PEERS, sent, prop::bool::weighted(0.7))
            .prop_map(|(from, to, count, acked)| Step::Send(from, (from + to) % PEERS, count, acked)),
        1 => peer.clone().prop_map(Step::NewSite),
        1 => peer.clone().prop_map(Step::TakeImage),
        1 => peer.clone().prop_map(Step::Restore),
        1 => peer.prop_map(Step::Housekeeping),
    ]
}

/// The peers, and what is known of each write.
struct World {
    peers: Vec<Peer>,
    images: Vec<Option<Box<dyn Snapshot>>>,
    /// Up to where the second has taken what the first has.
    positions: BTreeMap<(usize, usize), Sequence>,
    writes: u64,
    /// Writes that were visible to somebody who deleted their document.
    seen: BTreeSet<String>,
    /// Writes whose last copy, or last report, went with an eviction or an image that was put back.
    forgotten: BTreeSet<String>,
}

impl World {
    fn new() -> Self {
        Self {
            peers: (0..PEERS).map(|number| Peer::new(number as u8 + 1)).collect(),
            images: (0..PEERS).map(|_| None).collect(),
            positions: BTreeMap::new(),
            writes: 0,
            seen: BTreeSet::new(),
            forgotten: BTreeSet::new(),
        }
    }

    /// The writes that a peer shows, of one document or of all.
    fn visible(&self, peer: usize, id: Option<i64>) -> BTreeSet<String> {
        let filter = id.map_or(String::new(), |id| format!("WHERE _id = {id}"));
        let rows = run(&self.peers[peer].store, &format!("SELECT * FROM c {filter}")).rows;
        let names = |row: &ditto_store::Row| {
            let names = row.value().members().map(|(name, _)| name.to_string());
            names.filter(|name| name.starts_with('w')).collect::<Vec<_>>()
        };
        rows.iter().flat_map(names).collect()
    }

    /// The writes that a peer reports as lost.
    fn reported(&self, peer: usize) -> BTreeSet<String> {
        let rows = run(&self.peers[peer].store, "SELECT fields FROM system:conflicts").rows;
        let fields =
            rows.iter().flat_map(|row| match row.value().get("fields").map(|fields| fields.to_value()) {
                Some(Value::Array(fields)) => fields,
                _ => Vec::new(),
            });
        fields.filter_map(|field| field.get("path").and_then(Value::as_str).map(str::to_string)).collect()
    }

    /// The writes of which something is left.
    fn accounted(&self) -> BTreeSet<String> {
        let all = (0..PEERS).flat_map(|peer| [self.visible(peer, None), self.reported(peer)]);
        all.flatten().chain(self.seen.iter().cloned()).collect()
    }

    /// Does what may forget something for good, as the documentation says.
    fn forgetting(&mut self, act: impl FnOnce(&mut Self)) {
        let before = self.accounted();
        act(self);
        let after = self.accounted();
        self.forgotten.extend(before.difference(&after).cloned());
    }

    fn happen(&mut self, step: &Step) {
        match *step {
            Step::Insert(peer, id) => {
                let text = format!("INSERT INTO c DOCUMENTS ({{'_id': {id}}}) ON ID CONFLICT DO UPDATE");
                run(&self.peers[peer].store, &text);
            }
            Step::Update(peer, id) => {
                let text = format!("UPDATE c SET w{} = 1 WHERE _id = {id}", self.writes);
                self.writes += 1;
                if run(&self.peers[peer].store, &text).mutated_ids.is_empty() {
                    self.writes -= 1;
                }
            }
            Step::Delete(peer, id) => {
                self.seen.append(&mut self.visible(peer, Some(id)));
                run(&self.peers[peer].store, &format!("DELETE FROM c WHERE _id = {id}"));
            }
            Step::Evict(peer, id) => self.forgetting(|world| {
                run(&world.peers[peer].store, &format!("EVICT FROM c WHERE _id = {id}"));
                world.positions.retain(|(_, to), _| *to != peer);
            }),
            Step::Send(from, to, count, acknowledged) => self.send(from, to, count, acknowledged),
            Step::NewSite(peer) => drop(self.peers[peer].store.begin_run(true).expect("begins")),
            Step::TakeImage(peer) => self.images[peer] = Some(self.peers[peer].storage.snapshot()),
            Step::Restore(peer) => {
                let Some(image) = self.images[peer].take() else { return };
                self.forgetting(|world| {
                    let old = world.peers.remove(peer);
                    world.peers.insert(peer, old.restored(&*image));
                    // The first peer that it meets has seen more of it.
                    world.peers[peer].store.begin_run(true).expect("begins");
                    world.positions.retain(|(from, to), _| *from != peer && *to != peer);
                });
            }
            Step::Housekeeping(peer) => drop(self.peers[peer].after(8 * DAY_MS)),
        }
    }

    /// A session: greetings, the first documents of what is new, and an acknowledgement of what was taken as it was sent.
    fn send(&mut self, from: usize, to: usize, count: usize, acknowledged: bool) {
        let (sender, receiver) = (&self.peers[from], &self.peers[to]);
        for (one, other) in [(sender, receiver), (receiver, sender)] {
            one.greet(other);
            one.serve(other, "SELECT * FROM c", INTEREST[0]);
        }
        let position = self.positions.entry((from, to)).or_insert(Sequence::ZERO);
        let documents = sender.changes(*position);
        let sequences: Vec<(DocumentKey, Sequence)> = sequences(sender, *position);
        let whole = documents.len() <= count;
        let documents: Vec<_> = documents.into_iter().take(count).collect();
        let applied = receiver.store.replica().apply(incoming(sender, documents)).expect("applies");
        let taken = sequences.into_iter().zip(applied.outcomes);
        let end = match whole {
            true => sender.store.last_sequence(),
            false => taken.clone().last().map_or(*position, |((_, sequence), _)| sequence),
        };
        let exception = |outcome: Result<ditto_store::replica::Outcome, ditto_store::Refused>| {
            outcome.map_or(true, |outcome| outcome.absorbed)
        };
        let from = Sequence(position.0 + 1);
        let (unheld, held): (Vec<_>, Vec<_>) = taken.partition(|(_, outcome)| exception(outcome.clone()));
        *position = end;
        if acknowledged {
            let sent = |((key, row), _): ((DocumentKey, Sequence), _)| Sent { key, from, row: Some(row) };
            let acknowledged = Acknowledged {
                interests: vec![(INTEREST, end)],
                held: held.into_iter().map(sent).collect(),
                unheld: unheld.into_iter().map(sent).collect(),
            };
            sender.store.replica().acknowledged(&receiver.name, &acknowledged);
        } else {
            // It was not heard, so the walk begins there again.
            *position = Sequence::ZERO;
        }
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let accounted = self.accounted();
        for number in 0..self.writes {
            let name = format!("w{number}");
            prop_assert!(
                accounted.contains(&name) || self.forgotten.contains(&name),
                "{name} is nowhere, nobody reports it, and nobody who deleted has seen it"
            );
        }
        Ok(())
    }
}

/// The rows of the change log after a position.
fn sequences(peer: &Peer, after: Sequence) -> Vec<(DocumentKey, Sequence)> {
    let replica = peer.store.replica();
    let changes = replica.changes(after, replica.last_sequence(), usize::MAX).expect("changes");
    changes.into_iter().map(|change| (change.key, change.sequence)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn what_a_deletion_absorbs_was_seen_by_the_deleter_or_is_reported(
        steps in prop::collection::vec(step(), 0..60)
    ) {
        let mut world = World::new();
        for step in &steps {
            world.happen(step);
            world.check()?;
        }
        for _ in 0..2 {
            for from in 0..PEERS {
                for to in (0..PEERS).filter(|to| *to != from) {
                    world.positions.clear();
                    world.send(from, to, usize::MAX, true);
                    world.check()?;
                }
            }
        }
        world.peers.iter().for_each(|peer| assert_consistent(&peer.store));
    }
}
