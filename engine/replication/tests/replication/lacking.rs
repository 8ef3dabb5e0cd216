//! What an old copy lacks comes back to who told it, whenever the session ends.

use crate::model::document_key;
use crate::net::{Net, peer_id};
use crate::plants::{PLANTS, insert};
use ditto_crdt::Sequence;
use ditto_replication::limits::TAKEN_DELAY_MS;
use ditto_replication::{Incoming, IncomingDocument, Replica, Sizes};

const POTS: &str = "SELECT * FROM pots";
const BRIGHT: &str = "SELECT * FROM plants WHERE light = 1";
const FERNS: [&str; 3] = ["fern 1", "fern 2", "fern 3"];
const ACKNOWLEDGE: u8 = 8;
const QUESTION: u8 = 9;

/// When 0 asks 1 for what it gets as old copies.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Asks {
    Always,
    /// When 1 has them already, and what else 0 asks for has been told up to there.
    Later,
    /// Not any more, before it has acknowledged them.
    Before,
}

#[test]
fn old_copies_are_not_acknowledged_before_all_that_they_lack_is_asked_about() {
    for asks in [Asks::Always, Asks::Later, Asks::Before] {
        let mut net = Net::new(3);
        net.subscribe(2, PLANTS);
        net.restart_with(1, Sizes { silent_rows: 1, ..Sizes::default() });
        net.subscribe(1, BRIGHT);
        net.restart_with(0, Sizes { open_questions: 1, ..Sizes::default() });
        FERNS.iter().for_each(|fern| insert(&mut net, 0, fern, &[("light", 1)]));
        net.connect(0, 2);
        net.rest();
        net.disconnect(0, 2);
        // 0 deletes them, of which 1 does not hear, and gets them from there as 2 holds them.
        let now = net.now;
        assert!(FERNS.iter().all(|fern| net.model(0).delete(now, "plants", fern)));
        let first = net.subscribe(0, if asks == Asks::Later { POTS } else { PLANTS });
        let (left, right) = net.connect(0, 1);
        net.rest();
        if asks != Asks::Later {
            net.held.insert((1, right));
        }
        net.connect(1, 2);
        net.settle();
        if asks == Asks::Later {
            net.subscribe(0, PLANTS);
            net.until_asked((1, right), (0, left), 1);
            net.settle();
        }
        assert!(FERNS.iter().all(|fern| net.model(1).visible("plants", fern).is_some()));
        let waiting = net.waiting((1, right));
        assert!(waiting.contains(&QUESTION) && !waiting.contains(&ACKNOWLEDGE), "{asks:?}: {waiting:?}");
        if asks == Asks::Before {
            net.unsubscribe(0, first);
        }
        // Of the first 1 hears from elsewhere before it is asked: that answer leaves nothing to be given back.
        let key = document_key("plants", FERNS[0]);
        let held = net.model(0).delta_since(&key, Sequence(0)).expect("a model").expect("it is there");
        let document = IncomingDocument { key, delta: held.delta, stated: held.version };
        let (documents, checkpoints) = (vec![document], Vec::new());
        let incoming = Incoming { from: peer_id(7), documents, checkpoints, seen: None, evictions: None };
        net.model(1).apply(incoming).expect("a model");
        net.held = [(0, left)].into();
        net.settle();
        net.advance(TAKEN_DELAY_MS);
        net.settle();
        // The session ends before 0 has asked about the others.
        net.disconnect(0, 1);
        net.disconnect(1, 2);
        assert!(net.model(1).visible("plants", FERNS[1]).is_some());
        net.held.clear();
        net.connect(0, 1);
        net.rest();
        for fern in FERNS {
            assert_eq!(net.model(1).visible("plants", fern), None, "{asks:?}: {fern}");
        }
    }
}
