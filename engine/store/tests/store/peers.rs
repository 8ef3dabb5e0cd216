//! What is remembered of remote peers, and what must stay true when it is forgotten.

use ditto_storage::{Batch, Keyspace, Storage};

use crate::lifecycle::Peer;

#[test]
fn a_row_of_nobody_is_no_peer() {
    let a = Peer::new(1);
    let mut batch = Batch::new();
    batch.put(Keyspace::Replication, [&[3][..], &[0; 32]].concat(), [0; 40]);
    a.storage.commit(batch).expect("commits");
    let image = a.storage.snapshot();
    let a = a.restored(&*image);
    assert_eq!(a.store.replica().known_peers(), []);
}
