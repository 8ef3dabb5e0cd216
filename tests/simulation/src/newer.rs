//! What a peer of a newer build writes: documents with entries of a kind that this build does not know. They are not shown, but kept,
//! merged and passed on.

use ditto_crdt::{Sequence, Version};
use ditto_replication::{DocumentKey, Incoming, IncomingDocument, PeerId, Replica};
use ditto_store::StoreError;
use ditto_value::{Object, Value, key};

use crate::incident::{Incident, count};
use crate::ledger::Promise;
use crate::peer::Peer;
use crate::sabotage::Sabotage;
use crate::world::World;

/// What the entries say.
const UNKNOWN: &[u8] = b"of a kind that is unknown";

/// Bytes of a document of one life before its entries: format, number of lives, birth.
const BEFORE_ENTRIES: usize = 26;

/// The key of a document of `plants`.
pub(crate) fn name(id: &str) -> DocumentKey {
    let mut encoded = Vec::new();
    key::encode(&Value::from(id), &mut encoded);
    DocumentKey { collection: "plants".into(), id: encoded.into() }
}

/// The whole document, and whether it has such an entry.
fn canonical(peer: &Peer, id: &str) -> Option<(Vec<u8>, bool)> {
    let whole = peer.process.as_ref()?.replica.delta_since(&name(id), Sequence(0)).ok()??;
    let is_newer = whole.delta.windows(UNKNOWN.len()).any(|bytes| bytes == UNKNOWN);
    Some((whole.delta, is_newer))
}

/// Whether a peer has a document, but not what this build does not know of it.
pub(crate) fn lacks_the_unknown(peer: &Peer, id: &str) -> bool {
    canonical(peer, id).is_some_and(|(_, is_newer)| !is_newer)
}

impl World {
    /// A document is inserted, and then written by somebody whose build is newer.
    pub(crate) fn write_as_newer(&mut self, peer: usize) -> Result<(), StoreError> {
        self.counter += 1;
        let id = format!("newer-{peer}-{}", self.counter);
        let document = Object::from([("_id", Value::from(id.as_str())), ("a", Value::from(1))]);
        let arguments = Object::from([("d", Value::from(document))]);
        self.execute(peer, "INSERT INTO plants DOCUMENTS (:d)", &arguments)?;
        let Some((known, _)) = canonical(&self.peers[peer], &id) else { return Ok(()) };
        // Two entries: the register `a`, which is 1, as it is, and `b` of kind 200 with one payload.
        let mut delta = [&known[..BEFORE_ENTRIES], &[4, 2, b'a', 0, 0, 0, 3, 3, 1]].concat();
        delta.extend_from_slice(&[2, b'b', 0, 200, 1, 0, UNKNOWN.len() as u8]);
        delta.extend_from_slice(UNKNOWN);
        let Some(process) = &mut self.peers[peer].process else { return Ok(()) };
        if self.shared.sabotage != Some(Sabotage::LostWrites) {
            let documents = vec![IncomingDocument { key: name(&id), delta, stated: Version(0) }];
            let somebody = PeerId([255; 32]);
            let written =
                Incoming { from: somebody, documents, checkpoints: Vec::new(), seen: None, evictions: None };
            match process.replica.apply(written) {
                Ok(applied) if applied.outcomes.iter().all(Result::is_ok) => {}
                Ok(applied) => {
                    self.verdicts.push(format!("peer {peer}: {id} is refused: {:?}", applied.outcomes));
                    return Ok(());
                }
                Err(error) => {
                    self.disk_failed(peer, &error.to_string());
                    return Ok(());
                }
            }
        }
        let sequence = self.peers[peer].last_sequence();
        self.peers[peer].ledger.promise(Promise::Unknown(id), sequence);
        self.count(Incident::Newer);
        self.write_what_is_refused(peer)
    }

    /// Somebody whose build is this one changes such a document.
    pub(crate) fn change_as_older(&mut self, peer: usize) -> Result<(), StoreError> {
        let Some(id) = self.pick(peer, &["newer"]) else { return Ok(()) };
        let light = self.random.below(5);
        let arguments = Object::from([("id", Value::from(id)), ("light", Value::from(light))]);
        let has_changed =
            self.execute(peer, "UPDATE plants SET light = :light WHERE _id = :id", &arguments)?;
        count(&mut self.tally, Incident::ChangedNewer, u64::from(has_changed));
        Ok(())
    }
}
