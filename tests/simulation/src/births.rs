//! Births of documents whose ids everybody inserts and deletes: a deletion takes those that its peer holds and no others. One that
//! it has not seen stays alive, with everything that was inserted with it.

use std::collections::BTreeSet;

use ditto_crdt::{Birth, Delta, Document, Sequence};
use ditto_replication::Replica;
use ditto_store::StoreError;
use ditto_value::{Object, Value};

use crate::incident::{Incident, count};
use crate::ledger::Promise;
use crate::newer::name;
use crate::peer::Peer;
use crate::sabotage::Sabotage;
use crate::world::World;

/// How the ids begin that everybody inserts.
pub(crate) const SHARED: &str = "churn-x-";

/// Everything that a peer knows of a document.
fn known(peer: &Peer, id: &str) -> Option<Document> {
    let whole = peer.process.as_ref()?.replica.delta_since(&name(id), Sequence(0)).ok()??;
    let mut document = Document::new();
    document.take(Delta::decode(&whole.delta).ok()?, Sequence(1));
    Some(document)
}

fn living(peer: &Peer, id: &str) -> BTreeSet<Birth> {
    known(peer, id).map(|document| document.living_births().collect()).unwrap_or_default()
}

/// Whether a document would be whole at a peer if it had no birth but this one.
pub(crate) fn is_whole(peer: &Peer, id: &str, birth: Birth) -> bool {
    let Some(mut document) = known(peer, id) else { return false };
    let others: Vec<Birth> = document.living_births().filter(|other| *other != birth).collect();
    document.take(Delta::removed(others), Sequence(2));
    let visible = document.visible(&Value::from(id), &ditto_crdt::Definitions::default());
    visible.is_some_and(|visible| ["light", "name"].iter().all(|field| visible.get(field).is_some()))
}

impl World {
    /// Inserts a document whose birth nobody takes away that does not know it.
    pub(crate) fn bear(&mut self, peer: usize, id: &str, document: Object) -> Result<(), StoreError> {
        let before = living(&self.peers[peer], id);
        self.insert_or_update(peer, document)?;
        let sequence = self.peers[peer].last_sequence();
        // None if it was alive: then it was an update, under the births that are known here.
        for birth in living(&self.peers[peer], id).difference(&before) {
            self.peers[peer].ledger.promise(Promise::Birth(id.to_owned(), *birth), sequence);
        }
        Ok(())
    }

    /// Writes down which births a deletion takes that a peer is about to make. Whether it succeeds, and stays, is not known.
    pub(crate) fn see_births(&mut self, peer: usize, id: &str) {
        let seen = living(&self.peers[peer], id);
        let promises = self.peers.iter().flat_map(|peer| peer.ledger.promises());
        let is_unseen = |promise: &&Promise| match promise {
            Promise::Birth(of, birth) => {
                of == id && !seen.contains(birth) && !self.deleted_births.contains(birth)
            }
            _ => false,
        };
        let unseen = promises.filter(is_unseen).count() as u64;
        count(&mut self.tally, Incident::UnseenBirth, unseen);
        self.deleted_births.extend(seen);
    }

    /// What [`Sabotage::GreedyDeletions`] does.
    pub(crate) fn delete_elsewhere(&mut self, peer: usize, id: &str) {
        if self.shared.sabotage != Some(Sabotage::GreedyDeletions) {
            return;
        }
        for other in (0..self.peers.len()).filter(|other| *other != peer) {
            // A disk that fails is noticed by the next who writes.
            self.deletions += 1;
            let _ = self.execute(other, "DELETE FROM plants WHERE _id = :id", &Object::from([("id", id)]));
            self.pump(other);
        }
    }
}
