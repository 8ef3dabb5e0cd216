//! What a checkpoint promises, looked at after every message.

use crate::net::{Net, peer_id};
use ditto_crdt::{Sequence, SiteId};
use ditto_replication::Replica;

pub const PLANTS: &str = "SELECT * FROM plants";

/// The name of the checkpoint of [`PLANTS`], as `docs/protocol.md` has it.
pub fn of_all_plants(site: SiteId) -> [u8; 16] {
    let first = |hash: &[u8]| <[u8; 16]>::try_from(&hash[..16]).expect("16 bytes");
    let selection = blake3::hash(&[&(PLANTS.len() as u64).to_le_bytes(), PLANTS.as_bytes()].concat());
    let (evictions, large_documents) = (0_u64.to_le_bytes(), 8_u64.to_le_bytes());
    let name =
        [&first(selection.as_bytes())[..], &evictions, &large_documents, &site.0.to_le_bytes()].concat();
    first(&blake3::derive_key("ditto-replication 2026 effective interest 2", &name))
}

/// Watches that everything a publisher told up to a checkpoint is held, of a subscriber that writes nothing itself.
#[derive(Default)]
pub struct Watch {
    /// Up to here it was.
    seen: Sequence,
}

impl Watch {
    pub fn look(&mut self, net: &Net) {
        let [publisher, subscriber] = &net.nodes[..] else { panic!("two peers") };
        // Other interests have checkpoints of their own, which say nothing of all plants.
        let plants = of_all_plants(subscriber.model.site());
        if let Some(checkpoint) = subscriber.model.checkpoint(peer_id(0), &plants).expect("readable") {
            let rows = publisher.model.changes(self.seen, checkpoint.sequence, usize::MAX).expect("readable");
            for row in rows.iter().filter(|row| &*row.key.collection == "plants") {
                let (theirs, ours) =
                    (publisher.model.canonical(&row.key), subscriber.model.canonical(&row.key));
                assert!(theirs == ours, "{:?} at {:?} before {checkpoint:?}", row.key, row.sequence);
            }
            self.seen = self.seen.max(checkpoint.sequence);
        }
    }

    /// Delivers everything there is.
    pub fn settle(&mut self, net: &mut Net) {
        while net.step() {
            self.look(net);
        }
        net.rest();
        net.assert_equal(0, 1);
    }
}
