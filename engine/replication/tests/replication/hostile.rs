//! Peers that do not follow the protocol: bytes from a generator, and honest messages changed on the way. Whatever
//! arrives costs at most its own session.

use crate::model::Model;
use crate::net::{Net, int, peer_id};
use crate::plants::PLANTS;
use crate::victim::{BAD, Victim, bytes, hello, literals, message, number, packed, packed_whole};
use ditto_crdt::Sequence;
use ditto_replication::limits::MAX_MESSAGE_BYTES;
use ditto_replication::{CloseReason, LocalPeer, Replica, Replicator, SessionId, SubscriptionId, Violation};
use ditto_value::{Object, Value};
use proptest::prelude::*;

/// A change to a message on its way.
#[derive(Clone, Debug)]
enum Mischief {
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
    Repeat,
    Drop,
}

fn mischief() -> impl Strategy<Value = Mischief> {
    prop_oneof![
        4 => (any::<prop::sample::Index>(), 1..=255_u8).prop_map(|(at, bits)| Mischief::Flip(at, bits)),
        1 => any::<prop::sample::Index>().prop_map(Mischief::Cut),
        1 => (any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 1..9))
            .prop_map(|(at, bytes)| Mischief::Insert(at, bytes)),
        1 => Just(Mischief::Repeat),
        1 => Just(Mischief::Drop),
    ]
}

fn mangle(mut message: Vec<u8>, mischief: &Mischief) -> Vec<Vec<u8>> {
    match mischief {
        Mischief::Flip(at, bits) => {
            if !message.is_empty() {
                let at = at.index(message.len());
                message[at] ^= bits;
            }
        }
        Mischief::Cut(at) => message.truncate(at.index(message.len() + 1)),
        Mischief::Insert(at, bytes) => {
            let at = at.index(message.len() + 1);
            message.splice(at..at, bytes.iter().copied());
        }
        Mischief::Repeat => return vec![message.clone(), message],
        Mischief::Drop => return Vec::new(),
    }
    vec![message]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_end_the_session_at_most(
        greet in any::<bool>(),
        messages in prop::collection::vec((1..21_u8, prop::collection::vec(any::<u8>(), 0..60)), 1..20),
    ) {
        let mut victim = Victim::new();
        if greet {
            victim.greet();
        }
        for (kind, rest) in messages {
            let mut bytes = vec![kind];
            bytes.extend(rest);
            victim.receive(&bytes);
        }
        prop_assert_eq!(victim.model.versions().len(), 1);
    }

    #[test]
    fn changed_messages_harm_nobody_else(
        changes in prop::collection::vec((0..40_usize, mischief()), 1..6),
        seed in 0..8_i64,
        documents in prop_oneof![Just(5), Just(40)],
    ) {
        // 0 is honest with 1; 2 talks to 1 through somebody who changes messages.
        let mut net = Net::new(2);
        net.subscribe(0, PLANTS);
        net.subscribe(1, "SELECT * FROM plants WHERE light = 1");
        let now = net.now;
        for i in 0..documents {
            net.model(0).insert(now, "plants", &format!("a{i}"), &[("light", int((i + seed) % 2))]);
            net.model(1).insert(now, "plants", &format!("a{i}"), &[("water", int(i))]);
        }
        net.rest();
        net.connect(0, 1);
        net.settle();
        let mut evil = Model::new(66);
        for i in 0..documents {
            // Long enough for a packed batch.
            let note = Value::from("evil ".repeat(30));
            evil.insert(now, "plants", &format!("a{i}"), &[("light", int(1)), ("note", note), ("evil", int(i))]);
        }
        evil.sync();
        let mut mallory = Replicator::new(LocalPeer::new(peer_id(2), "database"));
        mallory.subscribe(SubscriptionId(1), PLANTS, &Object::default(), &mut evil, now).expect("is understood");
        let (left, right) = (SessionId(1_000), SessionId(1_000));
        mallory.connected(left, peer_id(1), &mut evil, now);
        {
            let crate::net::Node { replicator, model, .. } = &mut net.nodes[1];
            replicator.connected(right, peer_id(2), model, now);
        }
        let mut count = 0;
        for _ in 0..60 {
            let mut quiet = true;
            while let Some((_, bytes)) = mallory.poll_transmit() {
                quiet = false;
                let changed = changes.iter().find(|(at, _)| *at == count).map(|(_, mischief)| mischief);
                count += 1;
                let delivered = changed.map_or_else(|| vec![bytes.clone()], |mischief| mangle(bytes.clone(), mischief));
                for bytes in delivered {
                    let crate::net::Node { replicator, model, .. } = &mut net.nodes[1];
                    replicator.receive(right, &bytes, model, now);
                }
            }
            for (session, bytes) in net.take_foreign(1) {
                if session == right {
                    quiet = false;
                    mallory.receive(left, &bytes, &mut evil, now);
                }
            }
            evil.sync();
            mallory.durable(evil.last_sequence(), &mut evil, now);
            net.settle();
            if quiet {
                break;
            }
        }
        // Everybody else still agrees and still talks.
        net.model(0).insert(now, "plants", "later", &[("light", int(1))]);
        net.rest();
        prop_assert!(net.model(1).visible("plants", "later").is_some());
        for (key, version) in net.nodes[1].model.versions() {
            prop_assert_eq!(net.nodes[0].model.versions().get(&key).copied(), Some(version), "{:?}", key);
        }
    }
}

#[test]
fn nothing_but_a_greeting_opens_a_session() {
    let mut victim = Victim::new();
    victim.receive(&message(8, &[number(1, 0)]));
    assert!(matches!(victim.failure(), Some(CloseReason::Violation(Violation::Unexpected(_)))));
    assert_eq!(victim.sent().len(), 1, "a farewell with the reason");
    victim.receive(&message(8, &[number(1, 0)]));
    assert!(victim.failure().is_none(), "a closed session takes nothing more");
}

#[test]
fn incompatible_versions_are_refused_with_a_reason() {
    let mut victim = Victim::new();
    let hello = [number(1, 7), number(2, 9), bytes(3, &[0; 16]), bytes(4, &[0; 8]), bytes(5, &[0; 8])];
    victim.receive(&message(1, &hello));
    let reason = victim.failure();
    assert_eq!(reason, Some(CloseReason::IncompatibleVersion { ours: (1, 1), theirs: (7, 9) }));
    let farewell = victim.sent().pop().unwrap_or_default();
    assert!(String::from_utf8_lossy(&farewell).contains("update"));
}

#[test]
fn messages_and_fields_of_the_future_are_skipped() {
    let mut victim = Victim::new();
    victim.greet();
    victim.receive(&message(99, &[bytes(1, b"who knows")]));
    victim.receive(&message(2, &[number(1, 1), number(77, 5), bytes(78, b"more")]));
    assert!(victim.failure().is_none() && victim.replicator.is_ready(BAD));
}

#[test]
fn forged_numbers_end_the_session() {
    let huge = u64::MAX;
    let document = [number(1, 1), bytes(2, b"id"), bytes(4, &[1; 16]), bytes(5, b"x")].concat();
    let forged: Vec<Vec<u8>> = vec![
        message(2, &[number(1, huge)]),
        message(3, &[number(1, huge)]),
        message(3, &[number(1, 1), bytes(2, &[0; 8]), bytes(3, &number(1, 55))]),
        message(5, &[number(1, 3)]),
        message(6, &[number(1, huge)]),
        message(6, &[number(1, 2)]),
        message(6, &[number(1, 1), bytes(2, &[number(1, 9), document[2..].to_vec()].concat())]),
        message(6, &[number(1, 1), bytes(3, &[number(1, 5), bytes(2, &[0; 8]), number(3, huge)].concat())]),
        message(7, &[number(1, 1), number(2, huge), bytes(3, b"x")]),
        message(7, &[number(1, 1), number(2, 1), bytes(3, b"too long")]),
        message(8, &[number(1, huge)]),
        message(10, &[number(1, 1)]),
        message(11, &[number(1, 1), bytes(2, &[0; 16])]),
        message(15, &[number(1, 1), bytes(2, &[number(1, 9), bytes(2, b"id"), bytes(3, &[1; 16])].concat())]),
        message(20, &[number(1, 1)]),
        packed(MAX_MESSAGE_BYTES as u64 + 1, &[0]),
        packed(huge, &[0]),
        packed(0, &[0]),
        packed(1, &[]),
        packed(3, &literals(&[99])),
        packed(1, &literals(&[99, 1, 2])),
        packed(1, &[0xff; 40]),
        // A match that begins before the first byte.
        packed(20, &[0x1f, 99, 2, 0, 0]),
        packed_whole(&message(8, &[number(1, huge)])),
        packed_whole(&packed_whole(&message(99, &[]))),
        packed_whole(&hello()),
        message(13, &[number(1, 1), number(2, 1)]),
        message(13, &[]),
        vec![6; MAX_MESSAGE_BYTES + 1],
        vec![0xff; 11],
        Vec::new(),
    ];
    for bytes in forged {
        let mut victim = Victim::new();
        victim.greet();
        victim.receive(&bytes);
        let reason = victim.failure();
        assert!(
            matches!(reason, Some(CloseReason::Violation(_))),
            "{:?}: {reason:?}",
            &bytes[..bytes.len().min(40)]
        );
        assert_eq!(victim.model.versions().len(), 1);
    }
}

#[test]
fn a_greeting_cannot_be_packed() {
    let mut victim = Victim::new();
    victim.receive(&packed_whole(&hello()));
    assert!(matches!(victim.failure(), Some(CloseReason::Violation(Violation::Unexpected(_)))));
}

#[test]
fn what_is_packed_means_the_same() {
    let mut victim = Victim::new();
    victim.greet();
    victim.receive(&packed_whole(&message(99, &[bytes(1, b"who knows")])));
    assert!(victim.replicator.is_ready(BAD));
    victim.receive(&packed_whole(&message(12, &[bytes(1, b"enough")])));
    assert_eq!(victim.failure(), Some(CloseReason::Remote("enough".to_owned())));
}

#[test]
fn a_packed_message_unpacks_to_no_more_than_it_says() {
    // A literal, then a match of all before it: the most that a block can become.
    let lengthy = |length: usize| [&[0x1f, 99, 1, 0][..], &vec![255; length / 255], &[0]].concat();
    for (length, unpacks) in [(MAX_MESSAGE_BYTES, "does not unpack"), (MAX_MESSAGE_BYTES + 1, "limit")] {
        let mut victim = Victim::new();
        victim.greet();
        victim.receive(&packed(length as u64, &lengthy(100 * MAX_MESSAGE_BYTES)));
        let reason = victim.failure().expect("the session ends").to_string();
        assert!(reason.contains(unpacks), "{reason}");
    }
}

#[test]
fn a_peer_that_never_answers_is_given_up() {
    let mut victim = Victim::new();
    let timeout = victim.replicator.next_timeout().expect("a greeting is awaited");
    victim.replicator.tick(&mut victim.model, timeout);
    assert!(matches!(victim.failure(), Some(CloseReason::Violation(Violation::Timeout(_)))));
}

#[test]
fn a_forged_position_is_only_believed_of_its_own_sender() {
    let mut victim = Victim::new();
    victim.greet();
    victim.receive(&message(3, &[number(1, 1), bytes(2, &[7; 8]), bytes(3, &number(1, 1))]));
    let end = [number(1, 1), bytes(2, &[7; 8]), number(3, u64::MAX), number(4, 1)].concat();
    victim.receive(&message(6, &[number(1, 1), bytes(3, &end)]));
    assert!(victim.failure().is_none());
    let own = victim.model.remembered(peer_id(3)).unwrap_or_default();
    assert!(own.is_empty());
    let of_sender = victim.model.remembered(peer_id(1)).unwrap_or_default();
    assert_eq!(of_sender.first().map(|seen| seen.sequence), Some(Sequence(u64::MAX)));
}
