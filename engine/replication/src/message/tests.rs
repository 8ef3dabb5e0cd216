//! Every message survives its byte form, and no bytes break the reader.

use ditto_crdt::{RunId, Sequence, SiteId, Version};
use proptest::prelude::*;

use super::*;
use crate::limits::MAX_RANGE_BITS;
use crate::reconciliation::{NameRange, naming::Naming, symbols::Stretch};
use crate::replica::{DocumentKey, Seen};

fn bytes(limit: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..limit)
}

fn versions() -> impl Strategy<Value = Version> {
    any::<u128>().prop_map(Version)
}

fn checkpoints() -> impl Strategy<Value = Checkpoint> {
    (any::<u64>(), any::<u64>())
        .prop_map(|(run, sequence)| Checkpoint { run: RunId(run), sequence: Sequence(sequence) })
}

fn seen() -> impl Strategy<Value = Seen> {
    (any::<[u64; 2]>(), prop::option::of(1..1_000_u64)).prop_map(|([run, sequence], more)| Seen {
        run: RunId(run),
        sequence: Sequence(sequence >> 1),
        durable: Sequence(more.map_or(0, |more| (sequence >> 1) + more)),
    })
}

fn bodies() -> impl Strategy<Value = Body> {
    prop_oneof![bytes(40).prop_map(Body::Inline), any::<u64>().prop_map(Body::Parts)]
}

fn names() -> impl Strategy<Value = Name> {
    prop_oneof![bytes(20).prop_map(Name::Key), any::<[u8; 16]>().prop_map(Name::Uuid)]
}

fn hello() -> impl Strategy<Value = Hello> {
    let begun = any::<(u128, u64)>().prop_map(|(whole, bytes)| Begun { whole, bytes });
    let lists = (prop::collection::vec(seen(), 0..5), prop::collection::vec(begun, 0..4));
    (any::<(u64, u64)>(), any::<[u8; 16]>(), any::<[u64; 6]>(), lists).prop_map(
        |(versions, database, [site, run, durable, capabilities, evictions, clock_ms], (seen, begun))| {
            Hello {
                versions,
                database,
                site: SiteId(site),
                run: RunId(run),
                durable: Sequence(durable),
                seen,
                capabilities,
                evictions,
                clock_ms,
                begun,
            }
        },
    )
}

fn interests() -> impl Strategy<Value = Interests> {
    let start = prop_oneof![
        prop::option::of(checkpoints()).prop_map(|checkpoint| (checkpoint, None)),
        (1..=u64::MAX).prop_map(|greeted| (None, Some(greeted))),
    ];
    let added = (any::<u64>(), ".{0,20}", any::<bool>(), bytes(9), start).prop_map(
        |(id, rest, is_short, arguments, (checkpoint, greeted))| AddedInterest {
            id,
            query: if is_short { format!("SELECT * FROM {rest}") } else { rest },
            is_short,
            arguments,
            checkpoint,
            greeted,
        },
    );
    let removed = prop::collection::vec(any::<u64>(), 0..4);
    let numbers = (prop::option::of(any::<u64>()), prop::option::of(any::<u64>()));
    (any::<u64>(), prop::collection::vec(added, 0..4), removed, any::<[bool; 2]>(), numbers).prop_map(
        |(generation, added, removed, [forgotten, durable], (evictions, changes))| Interests {
            generation,
            added,
            removed,
            forgotten,
            evictions,
            changes: changes.map(Sequence),
            durable,
        },
    )
}

fn walks() -> impl Strategy<Value = Walk> {
    let start = (any::<u64>(), any::<u64>(), prop::option::of(".{0,20}"), any::<bool>()).prop_map(
        |(interest, sequence, refused, reconciled)| Start {
            interest,
            sequence: Sequence(sequence),
            refused,
            reconciled,
        },
    );
    (any::<u64>(), prop::option::of(any::<u64>()), prop::collection::vec(start, 0..4), any::<bool>())
        .prop_map(|(generation, run, starts, caught_up)| Walk {
            generation,
            run: run.map(RunId),
            starts,
            caught_up,
        })
}

fn offers() -> impl Strategy<Value = Offer> {
    let item = (any::<u64>(), names(), versions(), any::<bool>())
        .prop_map(|(interest, id, version, matching)| OfferItem { interest, id, version, matching });
    (any::<u64>(), prop::collection::vec(item, 0..5)).prop_map(|(offer, items)| Offer { offer, items })
}

fn batches() -> impl Strategy<Value = Batch> {
    let document =
        (any::<u64>(), names(), [prop::option::of(versions()), prop::option::of(versions())], bodies())
            .prop_map(|(interest, id, [before, after], delta)| {
                let complete = after.is_none() || before.is_none();
                SentDocument { interest, id, before, after, delta, complete }
            });
    let optional = || prop::option::of(any::<u64>().prop_map(Sequence));
    let end = (any::<[u64; 3]>(), optional(), any::<bool>(), optional(), optional()).prop_map(
        |([generation, run, sequence], newest, caught_up, parts, durable)| {
            let sequence = Sequence(sequence);
            BatchEnd { generation, run: RunId(run), sequence, newest, caught_up, parts, durable }
        },
    );
    (any::<u64>(), prop::collection::vec(document, 0..4), prop::option::of(end))
        .prop_map(|(batch, documents, end)| Batch { batch, documents, end })
}

/// Symbols `first` to `end` of a set.
fn stretch(items: &[u128], first: u64, end: u64) -> Vec<Symbol> {
    let mut stretch = Stretch::new(first as usize, end as usize);
    items.iter().for_each(|item| stretch.add(*item));
    stretch.finish()
}

fn ranges() -> impl Strategy<Value = NameRange> {
    (0..=u64::from(MAX_RANGE_BITS), any::<u64>())
        .prop_map(|(bits, prefix)| NameRange::new(bits, prefix & !(!0 << bits)).unwrap_or_default())
}

fn reconciliations() -> impl Strategy<Value = Message> {
    let hashes = || prop::collection::vec(any::<u128>(), 0..9);
    prop_oneof![
        (any::<u64>(), 0..9_000_u64, 0..9_u64, hashes(), 0..1_000_000_u64, any::<[bool; 2]>(), ranges())
            .prop_map(|(generation, first, length, items, documents, [nothing, too_many], range)| {
                let symbols = stretch(&items, first, first + length);
                Message::Symbols(Symbols { generation, first, documents, symbols, nothing, too_many, range })
            }),
        (any::<[u64; 2]>(), hashes(), ranges()).prop_map(|([generation, symbols], items, range)| {
            Message::Inquiry(Inquiry { generation, symbols, items, range })
        }),
        (any::<u64>(), hashes()).prop_map(|(generation, names)| Message::Names(Names { generation, names })),
        any::<[u64; 2]>().prop_map(|[generation, sequence]| {
            Message::Settled(Settled { generation, sequence: Sequence(sequence) })
        }),
    ]
}

fn messages() -> impl Strategy<Value = Message> {
    let hashes = prop::option::of(prop::collection::vec(any::<u128>(), 0..5));
    let sequences = || any::<u64>().prop_map(Sequence);
    let found = (versions(), bodies(), bytes(5), sequences())
        .prop_map(|(version, delta, lacked, newest)| Found { version, delta, lacked, newest });
    prop_oneof![
        hello().prop_map(Message::Hello),
        interests().prop_map(Message::Interests),
        walks().prop_map(Message::Walk),
        offers().prop_map(Message::Offer),
        offers().prop_map(Message::Taken),
        any::<u64>().prop_map(|taken| Message::Compared(Compared { taken })),
        (any::<u64>(), bytes(9)).prop_map(|(offer, wanted)| Message::Answer(Answer { offer, wanted })),
        batches().prop_map(Message::Batch),
        (any::<[u64; 2]>(), 0..1_000_u64, bytes(40), prop::option::of(any::<u128>())).prop_map(
            |([parts, after], total, bytes, whole)| {
                Message::Part(Part { parts, total, bytes, dropped: false, whole, after })
            }
        ),
        (any::<u64>(), prop::option::of(any::<u128>())).prop_map(|(parts, whole)| {
            Message::Part(Part { parts, dropped: true, whole, ..Part::default() })
        }),
        (any::<u64>(), prop::collection::vec((any::<u64>(), bytes(9)), 0..3)).prop_map(
            |(batch, exceptions)| {
                let exceptions =
                    exceptions.into_iter().map(|(batch, documents)| Exceptions { batch, documents });
                Message::Acknowledge(Acknowledge { batch, exceptions: exceptions.collect() })
            }
        ),
        (any::<u64>(), ".{0,9}", bytes(20), hashes).prop_map(|(question, collection, id, hashes)| {
            Message::Question(Question { question, collection, id, hashes })
        }),
        (any::<u64>(), prop::option::of(found))
            .prop_map(|(question, found)| Message::Rest(Rest { question, found })),
        (any::<u64>(), versions(), bodies(), sequences()).prop_map(|(question, version, delta, newest)| {
            Message::Surplus(Surplus { question, version, delta, newest })
        }),
        (0..=MAX_MESSAGE_BYTES as u64, bytes(40))
            .prop_map(|(length, block)| Message::Packed(Packed { length, block })),
        ".{0,60}".prop_map(|reason| Message::Goodbye(Goodbye { reason })),
        any::<(bool, bool)>().prop_map(|(lazy, follows)| Message::Delivery(Delivery { lazy, follows })),
        reconciliations(),
    ]
}

proptest! {
    #[test]
    fn a_message_is_read_as_it_was_written(message in messages()) {
        prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn a_message_is_read_from_its_packed_form(message in messages(), padding in 0..3_000_usize) {
        let mut out = Writer(message.encode());
        out.bytes(100, &b"padding that repeats itself, "[..].repeat(padding / 29));
        let packed = pack(out.0.clone());
        let nested = matches!(message, Message::Packed(_));
        match Message::decode(&packed) {
            Ok(Message::Packed(_)) if packed == out.0 => {}
            Ok(Message::Packed(packed)) if nested => prop_assert_eq!(packed.unpack(), Err(DecodeError::Nested)),
            Ok(Message::Packed(packed)) => prop_assert_eq!(packed.unpack(), Ok(message)),
            read => prop_assert_eq!(read, Ok(message)),
        }
        prop_assert!(packed.len() <= out.0.len());
        prop_assert!(out.0.len() < 2_000 || packed.len() < out.0.len() * 7 / 8);
    }

    #[test]
    fn fields_of_a_newer_version_are_skipped(message in messages(), number in 100..1_000_u64, value in bytes(9)) {
        let mut out = Writer(message.encode());
        out.bytes(number, &value);
        out.number(number, 5);
        prop_assert_eq!(Message::decode(&out.0), Ok(message));
    }

    #[test]
    fn every_byte_string_is_read_or_refused(bytes in bytes(200)) {
        let _ = Message::decode(&bytes);
    }

    #[test]
    fn a_damaged_message_is_read_or_refused(
        message in messages(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = message.encode();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let _ = Message::decode(&bytes);
        bytes.truncate(cut.index(bytes.len() + 1));
        let _ = Message::decode(&bytes);
    }

    #[test]
    fn every_block_is_unpacked_or_refused(length in 0..200_u64, block in bytes(200)) {
        let _ = Packed { length, block }.unpack();
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Four literals, a match of 34 bytes one byte back, five literals.
fn packed_goodbye() -> Packed {
    let block = [&[0x4f, 0x0c, 0x03, 40, b'z', 1, 0, 15, 0x50][..], &[b'z'; 5]].concat();
    Packed { length: 43, block }
}

#[test]
fn the_packed_vector_is_a_goodbye() {
    assert_eq!(packed_goodbye().unpack(), Ok(Message::Goodbye(Goodbye { reason: "z".repeat(40) })));
}

/// The test vectors of `docs/protocol.md`.
#[test]
fn the_documented_vectors_are_what_is_written() {
    let key = DocumentKey { collection: "c".into(), id: vec![0x31, 0x78].into() };
    let naming = Naming::new(RunId(2), Sequence(9), 1);
    let name = naming.name(&key);
    let item = naming.item(name, Version(5));
    let buried = Name::Key([0].into_iter().chain(1..=16).collect());
    let vectors = [
        (
            Message::Hello(Hello {
                versions: (1, 1),
                database: *b"0123456789abcdef",
                site: SiteId(1),
                run: RunId(2),
                durable: Sequence(300),
                seen: vec![Seen { run: RunId(3), sequence: Sequence(4), durable: Sequence(0) }],
                capabilities: 0,
                evictions: 0,
                clock_ms: 0,
                begun: Vec::new(),
            }),
            "0102010401071030313233343536373839616263646566090801000000000000000b0802000000000000000cac020f0c\
             030803000000000000000404",
        ),
        (
            Message::Interests(Interests {
                generation: 1,
                added: vec![AddedInterest {
                    id: 1,
                    query: "SELECT * FROM c".to_owned(),
                    ..AddedInterest::default()
                }],
                ..Interests::default()
            }),
            "02020105130201050f53454c454354202a2046524f4d2063",
        ),
        (
            Message::Batch(Batch {
                batch: 1,
                documents: vec![SentDocument {
                    interest: 1,
                    id: Name::Key(vec![0x31, 0x78]),
                    before: None,
                    after: Some(Version(5)),
                    delta: Body::Inline(vec![1, 0]),
                    complete: true,
                }],
                end: Some(BatchEnd {
                    generation: 1,
                    run: RunId(2),
                    sequence: Sequence(9),
                    newest: None,
                    caught_up: true,
                    parts: None,
                    durable: None,
                }),
            }),
            "060201051e0201050231780910050000000000000000000000000000000b0201000e01071002010508020000000000000006090801",
        ),
        (
            Message::Batch(Batch {
                batch: 1,
                documents: vec![SentDocument {
                    interest: 1,
                    id: Name::Uuid(0x0f1e_2d3c_4b5a_4978_8695_a4b3_c2d1_e0ff_u128.to_be_bytes()),
                    before: None,
                    after: None,
                    delta: Body::Inline(vec![1, 0]),
                    complete: true,
                }],
                end: Some(BatchEnd {
                    generation: 1,
                    run: RunId(2),
                    sequence: Sequence(9),
                    newest: None,
                    caught_up: true,
                    parts: None,
                    durable: None,
                }),
            }),
            "060201051a020111100f1e2d3c4b5a49788695a4b3c2d1e0ff0b0201000e01071002010508020000000000000006090801",
        ),
        (Message::Packed(packed_goodbye()), "0d022b050e4f0c03287a01000f507a7a7a7a7a"),
        (Message::Acknowledge(Acknowledge { batch: 1, exceptions: Vec::new() }), "080201"),
        (
            Message::Acknowledge(Acknowledge {
                batch: 2,
                exceptions: vec![Exceptions { batch: 1, documents: vec![1, 2] }],
            }),
            "0802020506020105020102",
        ),
        (Message::Goodbye(Goodbye { reason: "why".to_owned() }), "0c0303776879"),
        (Message::Delivery(Delivery { lazy: true, follows: false }), "0e0201"),
        (
            Message::Taken(Offer {
                offer: 1,
                items: vec![OfferItem {
                    interest: 1,
                    id: Name::Key(vec![0x31, 0x78]),
                    version: Version(5),
                    matching: false,
                }],
            }),
            "0f02010518020105023178071005000000000000000000000000000000",
        ),
        (Message::Compared(Compared { taken: 1 }), "140201"),
        (
            Message::Batch(Batch {
                batch: 2,
                documents: Vec::new(),
                end: Some(BatchEnd {
                    generation: 1,
                    run: RunId(2),
                    sequence: Sequence(9),
                    newest: None,
                    caught_up: true,
                    parts: Some(Sequence(7)),
                    durable: Some(Sequence(11)),
                }),
            }),
            "0602020714020105080200000000000000060908010c070e0b",
        ),
        (
            Message::Rest(Rest {
                question: 1,
                found: Some(Found {
                    version: Version(5),
                    delta: Body::Inline(vec![1, 0]),
                    lacked: vec![2],
                    newest: Sequence(8),
                }),
            }),
            "0a0201051005000000000000000000000000000000070201000b01020c08",
        ),
        (
            Message::Surplus(Surplus {
                question: 1,
                version: Version(5),
                delta: Body::Inline(vec![1, 0]),
                newest: Sequence(8),
            }),
            "0b0201051005000000000000000000000000000000070201000a08",
        ),
        (
            Message::Symbols(Symbols {
                generation: 1,
                first: 0,
                documents: 1,
                symbols: stretch(&[item], 0, 4),
                ..Symbols::default()
            }),
            "10020106010954e9fa1e8023839bedd3c1a4ad2fdde84b87bddb9d00e9fa1e8023839bedd3c1a4ad2fdde84b87bddb9d02000000000000000000000000000000000000000000000000000000000000000000000000000000000000",
        ),
        (
            Message::Inquiry(Inquiry { generation: 1, symbols: 32, items: vec![item], ..Inquiry::default() }),
            "11020104200710e9fa1e8023839bedd3c1a4ad2fdde84b",
        ),
        (
            Message::Inquiry(Inquiry {
                generation: 1,
                symbols: 8,
                range: NameRange::new(3, 6).unwrap_or_default(),
                ..Inquiry::default()
            }),
            "110201040808030a06",
        ),
        (
            Message::Symbols(Symbols {
                generation: 1,
                range: NameRange::new(3, 6).unwrap_or_default(),
                ..Symbols::default()
            }),
            "1002010e031006",
        ),
        (
            Message::Names(Names { generation: 1, names: vec![name] }),
            "12020105102c94f29252fa8167ca81b719495ed60d",
        ),
        (Message::Settled(Settled { generation: 1, sequence: Sequence(9) }), "1302010409"),
        (
            Message::Part(Part { parts: 1, total: 5, bytes: vec![1, 2], ..Part::default() }),
            "070201040507020102",
        ),
        (Message::Part(Part { parts: 1, dropped: true, ..Part::default() }), "0702010801"),
        (
            Message::Part(Part {
                parts: 1,
                total: 300,
                bytes: vec![3],
                dropped: false,
                whole: Some(7),
                after: 130,
            }),
            "07020104ac020701030b10070000000000000000000000000000000c8201",
        ),
        (
            Message::Part(Part { dropped: true, whole: Some(7), ..Part::default() }),
            "0708010b1007000000000000000000000000000000",
        ),
        (
            Message::Hello(Hello {
                versions: (1, 2),
                database: *b"0123456789abcdef",
                site: SiteId(1),
                run: RunId(2),
                durable: Sequence(300),
                seen: vec![
                    Seen { run: RunId(3), sequence: Sequence(4), durable: Sequence(8) },
                    Seen { run: RunId(5), ..Seen::default() },
                ],
                capabilities: 31,
                evictions: 6,
                clock_ms: 1_780_000_000_000,
                begun: vec![Begun { whole: 7, bytes: 130 }],
            }),
            "0102010402071030313233343536373839616263646566090801000000000000000b0802000000000000000cac020f0e03080300000000000000040406080f0a03080500000000000000101f12061480909282e7331715031007000000000000000000000000000000048201",
        ),
        (
            Message::Interests(Interests {
                generation: 2,
                added: vec![AddedInterest {
                    id: 2,
                    query: "SELECT * FROM c WHERE a = :b".to_owned(),
                    is_short: false,
                    arguments: vec![0xa1, 0x61, b'b', 1],
                    checkpoint: Some(Checkpoint { run: RunId(2), sequence: Sequence(9) }),
                    greeted: None,
                }],
                removed: vec![1],
                forgotten: true,
                evictions: Some(7),
                changes: Some(Sequence(301)),
                durable: false,
            }),
            "02020205340202051c53454c454354202a2046524f4d20632057484552452061203d203a620704a1616201090c030802000000000000000409060108010a070cad02",
        ),
        (
            Message::Walk(Walk {
                generation: 1,
                run: Some(RunId(2)),
                starts: vec![Start { interest: 1, ..Start::default() }],
                caught_up: false,
            }),
            "0302010508020000000000000007020201",
        ),
        (
            Message::Interests(Interests {
                generation: 1,
                added: vec![AddedInterest {
                    id: 1,
                    query: "SELECT * FROM c".to_owned(),
                    is_short: true,
                    greeted: Some(2),
                    ..AddedInterest::default()
                }],
                durable: true,
                ..Interests::default()
            }),
            "020201050702010d01630a020e01",
        ),
        (Message::Walk(Walk { generation: 1, run: None, starts: Vec::new(), caught_up: true }), "0302010801"),
        (
            Message::Walk(Walk {
                generation: 2,
                run: Some(RunId(2)),
                caught_up: false,
                starts: vec![
                    Start { interest: 2, refused: Some("why".to_owned()), ..Start::default() },
                    Start { interest: 3, sequence: Sequence(9), reconciled: true, ..Start::default() },
                ],
            }),
            "030202050802000000000000000707020207037768790706020304090801",
        ),
        (
            Message::Offer(Offer {
                offer: 1,
                items: vec![
                    OfferItem {
                        interest: 1,
                        id: Name::Key(vec![0x31, 0x78]),
                        version: Version(5),
                        matching: true,
                    },
                    OfferItem { interest: 1, id: buried.clone(), version: Version(6), matching: false },
                ],
            }),
            "040201051a0201050231780710050000000000000000000000000000000801052702010511000102030405060708090a0b0c0d0e0f10071006000000000000000000000000000000",
        ),
        (Message::Answer(Answer { offer: 1, wanted: vec![2] }), "050201050102"),
        (
            Message::Batch(Batch {
                batch: 3,
                documents: vec![SentDocument {
                    interest: 1,
                    id: Name::Key(vec![0x31, 0x78]),
                    before: Some(Version(5)),
                    after: Some(Version(6)),
                    delta: Body::Parts(1),
                    complete: false,
                }],
                end: None,
            }),
            "060203052c0201050231780710050000000000000000000000000000000910060000000000000000000000000000000c01",
        ),
        (
            Message::Batch(Batch {
                batch: 3,
                documents: Vec::new(),
                end: Some(BatchEnd {
                    generation: 1,
                    run: RunId(2),
                    sequence: Sequence(9),
                    newest: Some(Sequence(12)),
                    caught_up: false,
                    parts: None,
                    durable: None,
                }),
            }),
            "060203071002010508020000000000000006090a0c",
        ),
        (
            Message::Question(Question {
                question: 1,
                collection: "c".to_owned(),
                id: vec![0x31, 0x78],
                hashes: Some(vec![1, 2]),
            }),
            "0902010501630702317809200100000000000000000000000000000002000000000000000000000000000000",
        ),
        (
            Message::Question(Question {
                question: 2,
                collection: "c".to_owned(),
                id: vec![0x31, 0x78],
                hashes: Some(Vec::new()),
            }),
            "090202050163070231780900",
        ),
        (
            Message::Question(Question {
                question: 3,
                collection: "c".to_owned(),
                id: vec![0x31, 0x78],
                hashes: None,
            }),
            "09020305016307023178",
        ),
        (
            Message::Rest(Rest {
                question: 2,
                found: Some(Found {
                    version: Version(5),
                    delta: Body::Parts(2),
                    lacked: Vec::new(),
                    newest: Sequence(8),
                }),
            }),
            "0a020205100500000000000000000000000000000008020c08",
        ),
        (Message::Rest(Rest { question: 3, found: None }), "0a0203"),
    ];
    let documentation = include_str!("../../../../docs/protocol.md");
    for (message, expected) in vectors {
        let written = hex(&message.encode());
        assert_eq!(written, expected, "{message:?}");
        assert_eq!(Message::decode(&message.encode()), Ok(message));
        assert!(documentation.lines().any(|line| line == written), "docs/protocol.md lacks {written}");
    }
}

#[test]
fn a_position_without_the_run_that_it_lies_in_is_refused() {
    let message = |kind, write: fn(&mut Writer)| {
        let mut out = Writer::kind(kind);
        write(&mut out);
        Message::decode(&out.0)
    };
    let hello = |site, run| {
        let mut out = Writer::kind(1);
        out.bytes(3, &[7; 16]);
        for (field, id) in [(4, site), (5, run)] {
            if let Some(id) = id {
                out.bytes(field, &u64::to_le_bytes(id));
            }
        }
        Message::decode(&out.0)
    };
    assert!(hello(Some(1), Some(2)).is_ok());
    assert_eq!(hello(None, Some(2)), Err(DecodeError::Missing("site")));
    assert_eq!(hello(Some(1), None), Err(DecodeError::Missing("run")));
    assert_eq!(
        message(6, |out| out.structure(3, |out| out.number(3, 9))),
        Err(DecodeError::Missing("run")),
        "the end of a batch"
    );
    assert!(message(6, |out| out.number(1, 1)).is_ok(), "a batch that goes on");
}

/// The table at the end of *Limits and violations*.
#[test]
fn the_documented_limits_are_those_of_the_code() {
    use crate::limits::*;
    macro_rules! values {
        ($($name:ident)*) => { [$((stringify!($name), $name as u64)),*] };
    }
    let values = values![
        MAX_MESSAGE_BYTES MESSAGE_TARGET_BYTES PACK_MIN_BYTES PACK_MIN_SAVING PART_BYTES MAX_DELTA_BYTES
        MAX_WAITED_DELTA_BYTES MAX_OPEN_PARTS MAX_LEFT_PART_BYTES LEFT_PARTS_MS MAX_UNREFERRED_ANSWERS MAX_LARGE_DOCUMENTS BATCH_TARGET_DOCUMENTS BATCH_TARGET_BYTES MAX_BATCH_DOCUMENTS
        MAX_BATCH_BYTES WINDOW_BYTES WINDOW_DOCUMENTS FIRST_WINDOW_DOCUMENTS WINDOW_BATCHES MAX_FILLED_BYTES MAX_BUFFERED_BYTES MAX_MEMORY_BYTES MAX_BUFFERED_DOCUMENTS
        WAITING_DOCUMENT_BYTES SERVED_BYTES COMPILED_TIMES
        ROWS_PER_CALL BYTES_PER_ROW ROWS_PER_FILTER MAX_ROWS_PER_ROW WORK_MS MAX_MATCH_MS MAX_WORK_MS MAX_COMMIT_LOOKS ROWS_PER_READ LIVE_ROWS MAX_RANGES_AHEAD MIN_LISTED_CHANGES MAX_LEFT_OUT
        MAX_OFFER_ITEMS MAX_KEPT_ANSWERS OFFER_TARGET_BYTES TAKEN_DELAY_MS SILENT_ROWS POSITION_DELAY_MS MAX_INTERESTS MAX_INTEREST_BYTES MAX_QUERY_BYTES
        MAX_ARGUMENT_BYTES MAX_COLLECTION_BYTES MAX_ID_BYTES MAX_RUNS MAX_REASON_BYTES MAX_QUESTION_HASHES
        MAX_WAITING_QUESTIONS MAX_WAITING_QUESTION_BYTES MAX_WAITING_SURPLUSES MAX_JOINED_BATCHES MAX_TEARS
        MAX_REMEMBERED_PEERS MAX_WITHHELD LEFT_PATIENCE_MS ANSWER_TIMEOUT_MS LATE_MS LATER_OFFER_MS MIN_POSTPONED_CHANGES MAX_POSTPONED_MS MAX_UNSERVED LAZY_PATIENCE_MS MAX_LAZY_WAIT_MS MIN_RECONCILED_CHANGES
        MAX_RECONCILED_DOCUMENTS MAX_RANGE_BITS STOCK_CHANGES_PER_MS MAX_STOCK_MS MAX_BROKEN_OFF MAX_RECONCILIATIONS FIRST_SYMBOLS MAX_SYMBOL_INQUIRIES MAX_SYMBOLS SYMBOLS_PER_MESSAGE
        MAX_INQUIRY_ITEMS ITEMS_PER_CALL KNOWN_DOCUMENTS QUEUE_TARGET_BYTES MAX_QUEUE_BYTES MAX_QUEUE_MESSAGES
    ];
    let documentation = include_str!("../../../../docs/protocol.md");
    for (name, value) in values {
        let row = format!("| `{name}` | {value} |");
        assert!(documentation.contains(&row), "docs/protocol.md lacks {row}");
    }
    let all = include_str!("../limits.rs").lines().filter(|line| line.starts_with("pub const ")).count();
    assert_eq!(all, values.len() + 2, "all but the two protocol versions");
}
