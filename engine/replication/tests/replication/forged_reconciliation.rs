//! Peers that lie while both find out where they differ.

use crate::model::{Model, document_key};
use crate::net::int;
use crate::plants::PLANTS;
use crate::victim::{BAD, Victim, bytes, message, number, read};
use ditto_crdt::Sequence;
use ditto_replication::limits::{ANSWER_TIMEOUT_MS, MAX_STOCK_MS};
use ditto_replication::{CloseReason, Replica, Violation};

/// Symbols that no set has.
pub fn nonsense(first: u64, count: u64, documents: u64) -> Vec<u8> {
    let symbols: Vec<u8> =
        (0..count).flat_map(|i| [(first + i) as u8 | 1; 20].into_iter().chain([2])).collect();
    message(16, &[number(1, 1), number(2, first), number(3, documents), bytes(4, &symbols)])
}

/// A victim that is a publisher in a reconciliation.
pub fn compared() -> Victim {
    let mut victim = Victim::new();
    victim.greet_with_plants();
    let interest = [number(1, 1), bytes(2, PLANTS.as_bytes())].concat();
    victim.receive(&message(2, &[number(1, 1), bytes(2, &interest)]));
    assert!(victim.sent().iter().any(|message| message[0] == 3));
    victim
}

#[test]
fn symbols_of_no_set_lead_to_a_walk() {
    // Who says that it holds next to nothing is sent everything, who says that it holds as much is offered it.
    for (claimed, is_offered) in [(10, false), (40, true)] {
        let mut victim = compared();
        let (mut first, mut wanted) = (0, 8);
        let mut answers = Vec::new();
        while wanted > first {
            victim.receive(&nonsense(first, wanted - first, claimed));
            first = wanted;
            let sent = victim.sent();
            let asked = sent.iter().filter(|sent| sent[0] == 17).filter_map(|sent| read(sent, 2)).max();
            wanted = asked.unwrap_or(first);
            answers.extend(sent);
            assert!(first < 100_000, "it asks for ever");
        }
        assert_eq!(victim.failure(), None);
        let settled: Vec<_> = answers.iter().filter(|sent| sent[0] == 19).map(|sent| read(sent, 2)).collect();
        assert_eq!(settled, [None], "at 0");
        if is_offered {
            victim.receive(&message(5, &[number(1, 1), bytes(2, &[0xff; 6])]));
        }
        let sent = victim.replicator.statistics(BAD).expect("the session goes on").documents_sent;
        assert_eq!(sent, victim.model.count() as u64, "everything is told");
    }
}

#[test]
fn symbols_with_impossible_counts_lead_to_a_walk() {
    for first in [[1_u8; 16], [0; 16]] {
        let mut victim = compared();
        // Sums, checks, and the greatest distance that there is: a varint of 64 bits.
        let symbol = |index: u8| {
            let sum = if index == 0 { first } else { [index; 16] };
            [&sum[..], &[index; 4], &[0xfe], &[0xff; 8], &[0x01]].concat()
        };
        let symbols: Vec<u8> = (0..8).flat_map(symbol).collect();
        victim.receive(&message(16, &[number(1, 1), number(3, 40), bytes(4, &symbols)]));
        let sent = victim.sent();
        assert!(sent.iter().any(|sent| sent[0] == 19 && read(sent, 2).is_none()), "settled at 0");
        assert_eq!(victim.failure(), None);
    }
}

#[test]
fn symbols_that_nobody_asked_for_end_the_session() {
    let forged: Vec<Vec<Vec<u8>>> = vec![
        vec![nonsense(1, 7, 40)],
        vec![nonsense(0, 9, 40)],
        vec![nonsense(0, 8, 1 << 21)],
        vec![nonsense(0, 4, 40), nonsense(4, 4, 41)],
        vec![nonsense(0, 4, 40), nonsense(0, 4, 40)],
        vec![message(16, &[number(1, 1), number(3, 40)])],
        // Of ranges that are too narrow, do not exist, or have not had their turn, and of a part after the whole.
        vec![message(16, &[number(1, 1), number(7, 7)])],
        vec![message(16, &[number(1, 1), number(7, 1), number(8, 2)])],
        vec![message(16, &[number(1, 1), number(7, 1), number(8, 1)])],
        vec![nonsense(0, 8, 40), message(16, &[number(1, 1), number(7, 1)])],
        vec![message(16, &[number(1, 2), number(3, 0)])],
        vec![message(18, &[number(1, 1), bytes(2, &[0; 16])])],
        vec![message(18, &[number(1, 9), bytes(2, &[])])],
    ];
    for messages in forged {
        let mut victim = compared();
        messages.iter().for_each(|message| victim.receive(message));
        let reason = victim.failure();
        assert!(matches!(reason, Some(CloseReason::Violation(_))), "{:?}: {reason:?}", &messages[0][..9]);
    }
}

#[test]
fn a_subscriber_that_never_describes_what_it_holds_is_given_up() {
    let mut victim = compared();
    let timeout = victim.replicator.next_timeout().expect("symbols are awaited");
    assert!(timeout > 1_000, "it is not in a hurry");
    victim.replicator.tick(&mut victim.model, timeout);
    assert!(matches!(victim.failure(), Some(CloseReason::Violation(Violation::Timeout(_)))));
}

#[test]
fn who_states_more_changes_has_more_time_to_take_stock_but_not_for_ever() {
    let patience = |changes: u64| {
        let mut victim = compared();
        let again = [number(1, 2), bytes(2, PLANTS.as_bytes())].concat();
        victim.receive(&message(2, &[number(1, 2), bytes(2, &again), number(3, 1), number(6, changes)]));
        let timeout = victim.replicator.next_timeout().expect("symbols are awaited");
        victim.replicator.tick(&mut victim.model, timeout - 1);
        assert_eq!(victim.failure(), None);
        victim.replicator.tick(&mut victim.model, timeout);
        assert!(matches!(victim.failure(), Some(CloseReason::Violation(Violation::Timeout(_)))));
        timeout - 1_000
    };
    assert_eq!(patience(1_000), ANSWER_TIMEOUT_MS + 100);
    assert_eq!(patience(2_000_000), ANSWER_TIMEOUT_MS + 200_000);
    assert_eq!(patience(u64::MAX), ANSWER_TIMEOUT_MS + MAX_STOCK_MS);
}

/// A victim that is a subscriber in a reconciliation up to the publisher's sequence 9, in the run of seven sevens.
pub fn described() -> Victim {
    let mut victim = Victim::new();
    victim.greet_with_plants();
    let start = [number(1, 1), number(2, 9), number(4, 1)].concat();
    victim.receive(&message(3, &[number(1, 1), bytes(2, &[7; 8]), bytes(3, &start)]));
    let sent = victim.sent();
    let symbols: Vec<_> = sent.iter().filter(|sent| sent[0] == 16).map(|sent| read(sent, 3)).collect();
    assert_eq!(symbols, [Some(41)]);
    victim
}

#[test]
fn inquiries_are_answered_within_bounds() {
    let mut victim = described();
    victim.receive(&message(17, &[number(1, 1), number(2, 32), bytes(3, &[1; 32])]));
    while victim.replicator.next_timeout() == Some(1_000) {
        victim.replicator.tick(&mut victim.model, 1_000);
    }
    let sent = victim.sent();
    let names: Vec<_> = sent.iter().filter(|sent| sent[0] == 18).collect();
    assert_eq!(names, [&message(18, &[number(1, 1), bytes(2, &[0; 32])])], "there are no such documents");
    assert_eq!(sent.iter().filter(|sent| sent[0] == 16).filter_map(|sent| read(sent, 2)).max(), Some(8));
    for i in 0.. {
        victim.receive(&message(17, &[number(1, 1), bytes(3, &[1; 16 * 4_096])]));
        if let Some(reason) = victim.failure() {
            assert_eq!(reason, CloseReason::Violation(Violation::Limit("symbols")));
            break;
        }
        victim.sent();
        assert!(i < 100, "it answers for ever");
    }
}

#[test]
fn a_range_is_described_once_and_none_before_it_again() {
    let mut victim = described();
    let mut answers = |bits, range| {
        victim.receive(&message(17, &[number(1, 1), number(2, 8), number(4, bits), number(5, range)]));
        while victim.replicator.next_timeout() == Some(1_000) {
            victim.replicator.tick(&mut victim.model, 1_000);
        }
        assert_eq!(victim.failure(), None);
        let sent = victim.sent();
        let symbols = sent.iter().filter(|sent| sent[0] == 16);
        symbols.map(|sent| [3, 7, 8].map(|field| read(sent, field).unwrap_or_default())).collect::<Vec<_>>()
    };
    let mut documents = 0;
    for range in 0..4 {
        let [[held, 2, there]] = answers(2, range)[..] else { panic!("one message, of that range") };
        assert_eq!(there, range);
        documents += held;
        for (bits, earlier) in [(0, 0), (1, range / 2), (2, range), (6, 0)] {
            let begins_it = bits == 6 && range == 0;
            assert!(begins_it || answers(bits, earlier).is_empty(), "{bits} {earlier}");
        }
    }
    assert_eq!(documents, 41, "each document is in one of them");
    assert_eq!(answers(6, 63).len(), 1);
    assert!(answers(6, 62).is_empty());
}

#[test]
fn forged_ends_of_a_reconciliation_end_the_session() {
    let forged: Vec<Vec<u8>> = vec![
        message(17, &[number(1, 1), number(2, u64::MAX)]),
        message(17, &[number(1, 2)]),
        message(17, &[number(1, 1), bytes(3, &[1; 17])]),
        message(17, &[number(1, 1), number(4, 7)]),
        message(17, &[number(1, 1), number(4, u64::MAX), number(5, u64::MAX)]),
        message(17, &[number(1, 1), number(4, 2), number(5, 4)]),
        message(17, &[number(1, 1), bytes(3, &[1; 16 * 4_097])]),
        message(19, &[number(1, 2)]),
        message(19, &[number(1, 1), number(2, 8)]),
        message(19, &[number(1, 1), number(2, 10)]),
    ];
    for bytes in forged {
        let mut victim = described();
        victim.receive(&bytes);
        let reason = victim.failure();
        assert!(matches!(reason, Some(CloseReason::Violation(_))), "{:?}: {reason:?}", &bytes[..4]);
    }
    let mut victim = described();
    victim.receive(&message(19, &[number(1, 1), number(2, 9)]));
    assert!(victim.failure().is_none() && victim.model.checkpoints().is_empty());
}

#[test]
fn what_was_sent_before_the_end_of_a_reconciliation_moves_no_checkpoint() {
    let mut victim = described();
    let mut author = Model::new(3);
    author.insert(1_000, "plants", "fern", &[("light", int(1))]);
    author.set(1_000, "plants", "fern", "light", 2);
    let fern = document_key("plants", "fern");
    let delta = author.delta_since(&fern, Sequence(1)).expect("a model").expect("it is there").delta;
    // A document whose base is not held: the batch waits for the answer to a question.
    let document = [number(1, 1), bytes(2, &fern.id), bytes(4, &[1; 16]), bytes(5, &delta)].concat();
    let end = |sequence| [number(1, 1), bytes(2, &[7; 8]), number(3, sequence), number(4, 1)].concat();
    victim.receive(&message(6, &[number(1, 1), bytes(2, &document), bytes(3, &end(20))]));
    // Everything is going to be told.
    victim.receive(&message(19, &[number(1, 1)]));
    victim.receive(&message(10, &[number(1, 1)]));
    assert!(victim.model.checkpoints().is_empty());
    victim.receive(&message(6, &[number(1, 2), bytes(3, &end(3))]));
    let checkpoints: Vec<Sequence> = victim.model.checkpoints().iter().map(|kept| kept.sequence).collect();
    assert_eq!((victim.failure(), checkpoints), (None, vec![Sequence(3)]));
}
