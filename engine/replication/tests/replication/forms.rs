//! What the form of a field allows: so many bytes and no others, numbers of 64 bits, and lengths of what is there.

use crate::forged_reconciliation::{compared, described};
use crate::victim::{
    BAD, Victim, asked, bytes, ends_in_words, greeted, hello, id, interest, invited, message, number,
    publishes, subscribed,
};

/// A field of so many bytes, and what is too long or too short, in the reason.
type Fixed = (usize, &'static str, fn() -> Victim, fn(&[u8]) -> Vec<u8>);

fn fixed() -> Vec<Fixed> {
    vec![
        (16, "database", Victim::new, |value| [hello(), bytes(3, value)].concat()),
        (8, "site", Victim::new, |value| [hello(), bytes(4, value)].concat()),
        (8, "run", Victim::new, |value| [hello(), bytes(5, value)].concat()),
        (8, "seen", Victim::new, |value| [hello(), bytes(7, &bytes(1, value))].concat()),
        (16, "begun", Victim::new, |value| [hello(), bytes(11, &bytes(1, value))].concat()),
        (8, "checkpoint", greeted, |value| interest(bytes(4, &bytes(1, value)))),
        (8, "run", greeted, |value| message(3, &[number(1, 1), bytes(2, value)])),
        (16, "version", subscribed, |value| of_offer(4, &[bytes(2, &id(1)), bytes(3, value)])),
        (16, "uuid", subscribed, |value| of_offer(4, &[bytes(5, value)])),
        (16, "before", subscribed, |value| of_batch(&[bytes(3, value)])),
        (16, "after", subscribed, |value| of_batch(&[bytes(4, value)])),
        (16, "uuid", subscribed, |value| of_batch(&[bytes(8, value)])),
        (8, "run", subscribed, |value| {
            message(6, &[number(1, 1), bytes(3, &[number(1, 1), bytes(2, value)].concat())])
        }),
        (16, "whole", greeted, |value| {
            message(7, &[number(1, 1), number(2, 2), bytes(3, &[0]), bytes(5, value)])
        }),
        (16, "version", asked, |value| message(10, &[number(1, 1), bytes(2, value)])),
        (16, "version", invited, |value| message(11, &[number(1, 1), bytes(2, value)])),
        (16, "version", publishes, |value| of_offer(15, &[bytes(2, &id(1)), bytes(3, value)])),
        (16, "uuid", publishes, |value| of_offer(15, &[bytes(5, value)])),
    ]
}

fn of_offer(kind: u8, fields: &[Vec<u8>]) -> Vec<u8> {
    message(kind, &[number(1, 1), bytes(2, &[number(1, 1), fields.concat()].concat())])
}

fn of_batch(fields: &[Vec<u8>]) -> Vec<u8> {
    let document = [number(1, 1), bytes(2, &id(1)), bytes(4, &[1; 16]), fields.concat()].concat();
    message(6, &[number(1, 1), bytes(2, &document)])
}

#[test]
fn a_field_of_so_many_bytes_has_neither_more_nor_less() {
    for (length, name, begin, message) in fixed() {
        // The first bytes of the database are those that there are.
        let value = |length: usize| match name {
            "database" => database().into_iter().chain([0]).take(length).collect(),
            _ => vec![1; length],
        };
        let mut victim = begin();
        victim.receive(&message(&value(length)));
        assert_eq!(victim.failure(), None, "{name}");
        for length in [length - 1, length + 1] {
            let mut victim = begin();
            victim.receive(&message(&value(length)));
            ends_in_words(&mut victim, &format!("`{name}`"), &format!("{length} bytes of {name}"));
        }
    }
    // Where several follow each other, the last one is not shorter.
    let asks = |hashes: &[u8]| message(9, &[bytes(2, b"plants"), bytes(4, hashes)]);
    let inquires = |items: &[u8]| message(17, &[number(1, 1), bytes(3, items)]);
    let names = |names: &[u8]| message(18, &[bytes(2, names)]);
    for (name, begin, message) in [
        ("hashes", greeted as fn() -> Victim, &asks as &dyn Fn(&[u8]) -> Vec<u8>),
        ("items", described, &inquires),
        ("names", greeted, &names),
    ] {
        for (length, is_taken) in [(32, true), (31, false), (33, false)] {
            let mut victim = begin();
            victim.receive(&message(&vec![1; length]));
            if is_taken {
                assert_eq!(victim.failure(), None, "{name}");
            } else {
                ends_in_words(&mut victim, &format!("`{name}`"), &format!("{length} bytes of {name}"));
            }
        }
    }
}

/// What the name of the database becomes, as a greeting says it.
fn database() -> Vec<u8> {
    let hello = hello();
    let field = bytes(3, &[0; 16]);
    let start = hello.windows(2).position(|window| window == &field[..2]).expect("it is there") + 2;
    hello[start..start + 16].to_vec()
}

#[test]
fn a_number_has_64_bits() {
    let durable = |value: &[u8]| [hello(), vec![6 << 1], value.to_vec()].concat();
    let most = [&[0xff; 9][..], &[1]].concat();
    let mut victim = Victim::new();
    victim.receive(&durable(&most));
    assert!(victim.failure().is_none() && victim.replicator.is_ready(BAD));
    for more in [[&[0xff; 9][..], &[2]].concat(), [&[0xff; 10][..], &[0]].concat()] {
        let mut victim = Victim::new();
        victim.receive(&durable(&more));
        ends_in_words(&mut victim, "longer than 64 bits", "a number");
    }
}

/// Lengths and numbers that nothing can have: who reserved memory for them would fail.
#[test]
fn nothing_is_reserved_for_what_is_only_announced() {
    const ALL: std::ops::RangeInclusive<u8> = 1..=21;
    let begins: [(fn() -> Victim, _); 7] = [
        (Victim::new, 1..=1),
        (greeted, ALL),
        (subscribed, ALL),
        (asked, 10..=11),
        (publishes, ALL),
        (compared, 16..=18),
        (described, 17..=19),
    ];
    for (begin, kinds) in begins {
        for (kind, field, inner) in kinds
            .flat_map(|kind| (1..=12).flat_map(move |field| (0..=8).map(move |inner| (kind, field, inner))))
        {
            let mut huge = number(if inner == 0 { field } else { inner }, u64::MAX);
            for is_length in [0, 1] {
                huge[0] |= is_length;
                let of_field = if inner == 0 { huge.clone() } else { bytes(field, &huge) };
                let mut victim = begin();
                let before = victim.replicator.held_bytes(BAD).expect("it is open");
                victim.receive(&message(kind, &[number(1, 1), of_field]));
                let held = victim.replicator.held_bytes(BAD).unwrap_or_default();
                assert!(held <= before + 1_000, "kind {kind}, field {field}.{inner}: {held} bytes");
            }
        }
    }
}
