//! Messages with nothing in them, and interests that change with each message, in any number: each costs a little, what is held does not
//! grow, and others are served meanwhile.

use std::collections::BTreeSet;

use crate::beside::Beside;
use crate::victim::{QUESTION, bytes, message, number};
use ditto_replication::limits::{COMPILED_TIMES, FIRST_WINDOW_DOCUMENTS, SERVED_BYTES};

/// Kinds of messages, see `docs/protocol.md`.
const WALK: u8 = 3;
const OFFER: u8 = 4;

const COUNT: u64 = 2_000;

/// What is held on account of who sends messages with nothing in them.
const LITTLE: usize = 1_000;

fn end(sequence: u64) -> Vec<u8> {
    bytes(3, &[number(1, 1), bytes(2, &[7; 8]), number(3, sequence), number(4, 1)].concat())
}

/// Messages by their number, from 1.
type Flood = (&'static str, fn(u64) -> Vec<u8>);

const EMPTY: [Flood; 12] = [
    ("a batch that goes on", |_| message(6, &[number(1, 1)])),
    ("batches that end where the one before did", |batch| message(6, &[number(1, batch), end(5)])),
    ("batches that end further on", |batch| message(6, &[number(1, batch), end(batch)])),
    ("offers", |offer| message(4, &[number(1, offer)])),
    ("offers without a number", |_| message(4, &[])),
    ("answers to what was answered", |_| message(5, &[])),
    ("questions", |question| message(QUESTION, &[number(1, question)])),
    ("questions of one number", |_| message(QUESTION, &[])),
    ("acknowledgements", |_| message(8, &[])),
    ("deliveries", |lazy| message(14, &[number(1, lazy % 2)])),
    ("messages of a newer version", |_| message(99, &[])),
    ("symbols of nothing", |_| message(16, &[])),
];

#[test]
fn messages_with_nothing_in_them_cost_little_each() {
    for (what, flood) in EMPTY {
        let mut beside = Beside::new(1_000);
        let before = beside.memory();
        for count in 1..=COUNT {
            let looked_at = beside.looked_at();
            beside.tell(&flood(count));
            assert_eq!(beside.failure(), None, "{what}");
            let looks = beside.looked_at() - looked_at;
            assert!(looks <= 2, "{what}: {looks} looks");
            beside.read();
            let more = beside.memory().saturating_sub(before);
            assert!(more <= LITTLE, "{what}: {more} bytes");
            if count % 1_000 == 0 {
                beside.assert_others_are_served();
            }
        }
    }
}

const MANY: u64 = 300;

/// How many messages, whether each says that something is forgotten, and by its number which interests it adds and removes.
type Change = (&'static str, u64, bool, fn(u64) -> (Vec<u64>, Vec<u64>));

const CHANGES: [Change; 4] = [
    ("another one each time", COUNT, false, |count| (vec![count], vec![count - 1])),
    ("another one each time, and something forgotten", COUNT / 2, true, |count| {
        (vec![count], vec![count - 1])
    }),
    ("ten others each time", COUNT / 2, false, |count| {
        ((10 * count..10 * count + 10).collect(), (10 * count - 10..10 * count).collect())
    }),
    ("one more each time, until there are many", 2 * MANY, false, |count| {
        (vec![count], count.checked_sub(MANY).into_iter().collect())
    }),
];

#[test]
fn interests_that_change_with_each_message_cost_little_each() {
    for (what, messages, forgets, change) in CHANGES {
        // Nothing of it matches, so each is offered anew.
        let mut beside = Beside::new(100);
        let mut served = BTreeSet::new();
        let query = |id| format!("SELECT * FROM plants WHERE rings = {id}");
        for count in 1..=messages {
            let (added, removed) = change(count);
            served.retain(|id| !removed.contains(id));
            served.extend(added.clone());
            let added = added.iter().map(|id| {
                let query = query(*id);
                bytes(2, &[number(1, *id), bytes(2, query.as_bytes())].concat())
            });
            let removed = removed.iter().map(|id| number(3, *id));
            let fields =
                [number(1, count), number(4, forgets.into())].into_iter().chain(added).chain(removed);
            let looked_at = beside.looked_at();
            beside.tell(&message(2, &fields.collect::<Vec<_>>()));
            assert_eq!(beside.failure(), None, "{what}");
            let looks = beside.looked_at() - looked_at;
            assert!((1..=FIRST_WINDOW_DOCUMENTS / 2).contains(&looks), "{what}: {looks} looks");
            let kinds: Vec<u8> = beside.read().iter().map(|sent| sent[0]).collect();
            assert_eq!(kinds, [WALK, OFFER], "{what}");
            let memory = beside.memory();
            let of_one = SERVED_BYTES + COMPILED_TIMES * query(messages * 10).len();
            assert!(memory <= LITTLE + served.len() * of_one, "{what}: {memory} bytes");
            if count % 500 == 0 {
                beside.assert_others_are_served();
            }
        }
    }
}
