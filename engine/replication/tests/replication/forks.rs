//! Directories that were restored or copied: a history that others have seen and that is not there.

use crate::net::{Net, int, peer_id};
use crate::plants::{PLANTS, insert, pair, set};
use ditto_crdt::{RunId, Sequence};
use ditto_replication::limits::{MAX_RUNS, MIN_RECONCILED_CHANGES};
use ditto_replication::{CloseReason, Event, Incoming, Replica, Seen};

#[test]
fn a_restored_directory_is_noticed_and_continues_as_someone_else() {
    let (mut net, _, _) = pair();
    insert(&mut net, 0, "fern", &[("light", 1)]);
    net.rest();
    let image = net.model(0).image();
    insert(&mut net, 0, "moss", &[("light", 1)]);
    set(&mut net, 0, "fern", "light", 2);
    net.rest();
    net.restart(0);
    net.model(0).restore(&image);
    net.subscribe(0, PLANTS);
    insert(&mut net, 0, "ivy", &[]);
    set(&mut net, 0, "fern", "water", 3);
    let site = net.model(0).site();
    net.connect(0, 1);
    answer_fork(&mut net, 0);
    assert_ne!(net.model(0).site(), site);
    insert(&mut net, 0, "palm", &[]);
    net.rest();
    net.assert_equal(0, 1);
    // The claim is answered: the next meeting is an ordinary one.
    net.disconnect(0, 1);
    net.nodes[0].events.clear();
    let before = net.bytes;
    net.connect(0, 1);
    net.rest();
    assert!(!net.nodes[0].events.iter().any(|event| matches!(event, Event::ForkDetected { .. })));
    assert!(net.bytes - before < 1024);
}

const POTS: &str = "SELECT * FROM pots";

/// Kinds of messages.
const WALK: u8 = 3;

const SETTLED: u8 = 19;

/// Peer 0 has lost a change that each subscriber had been told around: a document had moved past the end of what was told, and is
/// back where it was, which is behind that. The end of what was told is not lost. Returns what the first subscriber had seen.
fn restored_to_where_a_document_had_not_moved(net: &mut Net, subscribers: &[usize]) -> Seen {
    net.subscribe(0, PLANTS);
    for plant in 0..200 {
        insert(net, 0, &format!("plant {plant}"), &[("light", 1)]);
    }
    net.rest();
    let image = net.model(0).image();
    set(net, 0, "plant 7", "light", 2);
    for &subscriber in subscribers {
        net.connect(0, subscriber);
        while net.model(subscriber).remembered(peer_id(0)).expect("usable").is_empty() {
            assert!(net.step(), "nothing was told");
        }
        net.disconnect(0, subscriber);
        let told = net.model(subscriber).remembered(peer_id(0)).expect("usable")[0];
        assert!(told.sequence < Sequence(200) && told.durable == Sequence(201), "{told:?}");
        let moved = net.model(subscriber).field("plants", "plant 7", "light");
        assert_eq!(moved, None, "it has moved to the end of the log");
    }
    net.restart(0);
    net.model(0).restore(&image);
    net.subscribe(0, PLANTS);
    net.model(subscribers[0]).remembered(peer_id(0)).expect("usable")[0]
}

/// Delivers until a peer finds that its history is not what the other one has seen, goes on as someone else, and connects again.
pub fn answer_fork(net: &mut Net, peer: usize) -> (RunId, Sequence) {
    loop {
        net.collect_events();
        let found = net.nodes[peer].events.iter().find_map(|event| match event {
            Event::ForkDetected { remote, run, sequence, .. } => Some((*remote, *run, *sequence)),
            _ => None,
        });
        if let Some((remote, run, sequence)) = found {
            let failed = net.failures(peer);
            assert!(matches!(failed[..], [Event::SessionFailed { reason: CloseReason::Forked, .. }]));
            net.model(peer).take_new_site(run, sequence);
            let other = (0..net.nodes.len()).find(|other| peer_id(*other) == remote).expect("a peer");
            net.disconnect(peer, other);
            net.connect(peer, other);
            return (run, sequence);
        }
        assert!(net.step(), "no fork is found");
    }
}

#[test]
fn what_was_told_rests_on_what_had_moved_past_it() {
    let mut net = Net::new(2);
    net.subscribe(1, PLANTS);
    let told = restored_to_where_a_document_had_not_moved(&mut net, &[1]);
    net.connect(0, 1);
    assert_eq!(answer_fork(&mut net, 0), (told.run, told.durable));
    net.rest();
    net.assert_equal(0, 1);
    assert_eq!(net.model(1).field("plants", "plant 7", "light"), Some(int(1)));
}

#[test]
fn a_checkpoint_of_a_lost_history_is_not_believed_after_the_fork_was_answered() {
    let mut net = Net::new(2);
    net.subscribe(1, PLANTS);
    restored_to_where_a_document_had_not_moved(&mut net, &[1]);
    net.connect(0, 1);
    answer_fork(&mut net, 0);
    net.disconnect(0, 1);
    net.connect(0, 1);
    net.rest();
    assert_eq!(forks(&net, 0), 1, "it was answered");
    net.assert_equal(0, 1);
}

#[test]
fn a_checkpoint_of_a_lost_history_is_not_believed_where_another_peer_claimed_it_first() {
    let mut net = Net::new(3);
    net.subscribe(1, PLANTS);
    net.subscribe(2, PLANTS);
    restored_to_where_a_document_had_not_moved(&mut net, &[1, 2]);
    net.connect(0, 2);
    answer_fork(&mut net, 0);
    net.rest();
    net.connect(0, 1);
    net.rest();
    assert_eq!(forks(&net, 0), 1, "one answer serves both");
    net.assert_equal(0, 2);
    net.assert_equal(0, 1);
}

#[test]
fn a_checkpoint_of_a_lost_history_is_not_believed_when_its_interest_is_stated_again_later() {
    let mut net = Net::new(2);
    let plants = net.subscribe(1, PLANTS);
    net.subscribe(1, POTS);
    restored_to_where_a_document_had_not_moved(&mut net, &[1]);
    net.unsubscribe(1, plants);
    net.connect(0, 1);
    answer_fork(&mut net, 0);
    net.rest();
    net.disconnect(0, 1);
    net.subscribe(1, PLANTS);
    net.connect(0, 1);
    net.rest();
    net.assert_equal(0, 1);
}

#[test]
fn what_was_told_in_a_session_is_believed_in_it() {
    let few = "SELECT * FROM plants WHERE light = 1";
    let mut net = Net::new(2);
    let id = net.subscribe(1, few);
    net.connect(0, 1);
    for plant in 0..2 * MIN_RECONCILED_CHANGES as i64 {
        insert(&mut net, 0, &format!("plant {plant}"), &[("light", plant % 2)]);
        insert(&mut net, 1, &format!("other plant {plant}"), &[("light", plant % 2)]);
    }
    net.rest();
    net.unsubscribe(1, id);
    net.rest();
    net.kinds.clear();
    net.subscribe(1, few);
    net.rest();
    assert!(net.kinds.contains_key(&WALK) && !net.kinds.contains_key(&SETTLED), "{:?}", net.kinds);
}

fn forks(net: &Net, peer: usize) -> usize {
    net.nodes[peer].events.iter().filter(|event| matches!(event, Event::ForkDetected { .. })).count()
}

#[test]
fn of_many_runs_those_are_claimed_that_rest_on_most() {
    let mut net = Net::new(2);
    for opening in 0..=MAX_RUNS as u64 {
        net.model(0).open();
        insert(&mut net, 0, &format!("plant {opening}"), &[]);
        let (run, sequence) = (net.model(0).current_run(), net.model(0).last_sequence());
        // Much was durable when the first little was told.
        let durable = Sequence(if opening == 0 { 1_000 } else { 0 });
        let (documents, checkpoints) = (Vec::new(), Vec::new());
        let seen = Some(Seen { run, sequence, durable });
        let told = Incoming { from: peer_id(0), documents, checkpoints, seen, evictions: None };
        net.model(1).apply(told).expect("usable");
    }
    net.connect(0, 1);
    net.settle();
    assert_eq!(forks(&net, 0), 1);
}

#[test]
fn a_run_in_which_nothing_changed_is_claimed_like_any_other() {
    let mut net = Net::new(2);
    net.subscribe(1, PLANTS);
    for plant in 0..2 * MIN_RECONCILED_CHANGES as i64 {
        insert(&mut net, 0, &format!("plant {plant}"), &[]);
        insert(&mut net, 1, &format!("other plant {plant}"), &[]);
    }
    for opening in 0..2 * MAX_RUNS {
        net.model(0).open();
        net.kinds.clear();
        net.connect(0, 1);
        net.rest();
        net.disconnect(0, 1);
        assert_eq!(net.kinds.contains_key(&SETTLED), opening == 0, "opening {opening}");
    }
}

#[test]
fn a_machine_resumed_from_an_image_of_its_memory_lacks_the_run_of_the_session_since() {
    for begins_runs in [false, true] {
        let mut net = Net::new(2);
        net.subscribe(1, PLANTS);
        insert(&mut net, 0, "fern", &[]);
        let image = net.model(0).image();
        insert(&mut net, 0, "moss", &[]);
        let session = |net: &mut Net| {
            if begins_runs {
                net.model(0).open();
            }
            net.connect(0, 1);
            net.rest();
            net.disconnect(0, 1);
        };
        session(&mut net);
        net.restart(0);
        net.model(0).resume(&image);
        // More than the history that is lost.
        for id in ["ivy", "palm", "sage"] {
            insert(&mut net, 0, id, &[]);
        }
        session(&mut net);
        assert_eq!(forks(&net, 0), usize::from(begins_runs), "without the run nobody notices");
    }
}

#[test]
fn a_run_that_is_forgotten_is_no_fork_and_costs_the_whole_walk() {
    let (mut net, _, _) = pair();
    insert(&mut net, 0, "fern", &[("light", 1)]);
    net.rest();
    net.disconnect(0, 1);
    for _ in 0..3 {
        net.model(0).open();
    }
    net.model(0).forget_runs(2);
    insert(&mut net, 0, "moss", &[]);
    let (site, documents) = (net.model(0).site(), |net: &Net, at| net.statistics(1, at).documents_received);
    let (_, right) = net.connect(0, 1);
    net.rest();
    assert_eq!((forks(&net, 0), net.model(0).site()), (0, site));
    net.assert_equal(0, 1);
    assert_eq!(documents(&net, right), 2, "where it stood is not known any more");
    net.disconnect(0, 1);
    let (_, right) = net.connect(0, 1);
    net.rest();
    assert_eq!((forks(&net, 0), documents(&net, right)), (0, 0), "from then on it is");
}
