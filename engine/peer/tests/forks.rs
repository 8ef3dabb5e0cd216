//! What other peers claim to have seen of this one's history.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use support::stranger::Stranger;
use support::{config, listen, open, subscribe};

/// Sequence 1,000.
const FAR: &[u8] = &[0x04, 0xe8, 0x07];
/// Sequence 0, left out and written.
const NOTHING: [&[u8]; 2] = [&[], &[0x04, 0]];

#[test]
fn who_claims_again_and_again_to_have_seen_another_history_is_refused_in_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let peer = open(directory.path());
    let _subscription = subscribe(&peer, "SELECT * FROM plants");
    let address = listen(&peer);
    let mut stranger = Stranger::new(&config(directory.path()).database_id);
    let runs = || peer.store().runs().len();
    let before = runs();

    // Having seen nothing of a run is no claim.
    for _ in 0..3 {
        stranger.meet(&address, &NOTHING);
    }
    // However many runs a greeting names, it is answered by one new identity.
    const ANSWERED: &str = "continues under a new identity; connect again";
    for _ in 0..8 {
        let reason = stranger.refusal(&address, &[FAR, FAR, FAR]);
        assert!(reason.ends_with(ANSWERED), "{reason}");
    }
    let reason = stranger.refusal(&address, &[FAR]);
    assert!(reason.contains("claims again and again to have seen another history"), "{reason}");
    assert!(reason.ends_with("start it again"), "{reason}");
    assert_eq!(runs(), before + 8);
    let site = peer.store().site();
    stranger.refusal(&address, &[FAR, FAR]);
    assert_eq!((runs(), peer.store().site()), (before + 8, site));

    // Others are still believed, and so is this one as long as it does not say so.
    stranger.meet(&address, &[]);
    let mut other = Stranger::new(&config(directory.path()).database_id);
    other.runs = 200;
    let reason = other.refusal(&address, &[FAR]);
    assert!(reason.ends_with(ANSWERED), "{reason}");
    other.meet(&address, &[]);
    assert_eq!(runs(), before + 9);
}
