//! Laws on random histories.

use std::collections::HashSet;

use ditto_value::{Object, Value, ValueKind, ValueRef};
use proptest::prelude::*;

use super::peers::{Action, Peer, act, actions, definitions, id, run, token};
use crate::delta::DeltaLife;
use crate::entry::{Content, Counter};
use crate::{
    Birth, Definition, Definitions, Delta, Document, Hlc, Kind, Path, Record, RunId, Sequence, SiteId, Stamp,
    Version, record,
};

/// The version as the documentation says it: of the canonical bytes, which are those of the whole as a delta.
fn version_of_bytes(document: &Document) -> Version {
    let canonical = document.delta_since(Sequence::ZERO).encode();
    assert_eq!(document.canonical(), canonical);
    let hash = u128::from_le_bytes(blake3::hash(&canonical).as_bytes()[..16].try_into().unwrap());
    if document.is_known() { Version(hash) } else { Version::NOTHING }
}

/// Everything that is stored, local sequences included.
fn dump(document: &Document) -> String {
    format!("{:?} {:?}", document.lives, document.newest_sequence())
}

pub(super) fn check_invariants(document: &Document) {
    assert_eq!(document.version(), version_of_bytes(document));
    let bytes = record::encode(document, &id());
    let stored = Record::parse(&bytes).unwrap();
    assert_eq!(
        (stored.version, stored.alive, stored.newest_sequence, stored.began),
        (document.version(), document.is_alive(), document.newest_sequence(), document.began())
    );
    let again = stored.document().unwrap();
    assert_eq!(stored.newest_stamp().unwrap(), again.newest_stamp());
    assert_eq!(dump(&again), dump(document));
    assert_eq!(record::encode(&again, &id()), bytes);
    match document.visible(&id(), &Definitions::default()) {
        Some(visible) => {
            assert!(ValueRef::parse(stored.value.bytes()).is_ok());
            assert_eq!(stored.value.to_value(), Value::Object(visible));
        }
        None => assert!(stored.value.is_null()),
    }
    for after in 0..4 {
        let after = Sequence(document.newest_sequence().0.saturating_sub(after));
        assert_eq!(stored.delta_since(after).unwrap(), document.delta_since(after).encode());
    }
    let canonical = document.canonical();
    assert_eq!(stored.delta_since(Sequence::ZERO).unwrap(), canonical);
    let decoded = Delta::decode(&canonical).unwrap();
    assert_eq!(decoded.encode(), canonical);
    let mut copy = Document::new();
    copy.merge(&decoded, Sequence(1));
    let received = record::receive(&id(), &canonical, Sequence(1)).unwrap();
    assert_eq!((received.record, received.version), (record::encode(&copy, &id()), copy.version()));
    assert_eq!((copy.canonical(), copy.version()), (canonical, document.version()));
}

fn merged(states: &[&Delta]) -> Document {
    let mut document = Document::new();
    for (index, delta) in states.iter().enumerate() {
        document.merge(delta, Sequence(index as u64 + 1));
    }
    document
}

fn whole(peer: &Peer) -> Delta {
    peer.document.delta_since(Sequence::ZERO)
}

/// Cuts into the smallest deltas there are: every birth, entry, slot and payload on its own.
fn shattered(delta: &Delta) -> Vec<Delta> {
    let mut parts = Vec::new();
    for (birth, life) in &delta.lives {
        let DeltaLife::Living(contents) = life else {
            parts.push((*birth, DeltaLife::Removed));
            continue;
        };
        parts.push((*birth, DeltaLife::Living(Vec::new())));
        for (key, content) in contents {
            let mut pieces = vec![content.clone()];
            if let Content::Counter(Counter { generation, base, slots }) = content {
                let piece = |slots| Content::Counter(Counter { generation: *generation, base: *base, slots });
                pieces = slots.iter().map(|(slot, tally)| piece([(*slot, *tally)].into())).collect();
                pieces.push(piece([].into()));
            }
            if let Content::Unknown(payloads) = content {
                pieces = payloads.iter().map(|payload| Content::Unknown([payload.clone()].into())).collect();
            }
            parts.extend(
                pieces.into_iter().map(|piece| (*birth, DeltaLife::Living(vec![(key.clone(), piece)]))),
            );
        }
    }
    parts.into_iter().map(|life| Delta { lives: vec![life] }).collect()
}

/// So many cases of each law, or as many as `DITTO_LAW_CASES` says.
pub(super) fn cases(usually: u32) -> ProptestConfig {
    let chosen = std::env::var("DITTO_LAW_CASES").ok();
    ProptestConfig::with_cases(chosen.map_or(usually, |number| number.parse().expect("a number")))
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn a_document_behaves_as_the_model(history in actions(3, true)) {
        run(3, &history, |peers, actor| {
            let peer = &peers[actor];
            assert_eq!(peer.visible(), peer.model.visible(&id(), &Definitions::default()));
        });
    }

    #[test]
    fn every_statement_sees_what_its_definitions_say(history in actions(3, true), definitions in definitions()) {
        run(3, &history, |peers, actor| {
            let peer = &peers[actor];
            assert_eq!(peer.document.visible(&id(), &definitions), peer.model.visible(&id(), &definitions));
        });
    }

    #[test]
    fn two_copies_of_one_site_converge_too(history in actions(2, false), more in actions(2, false)) {
        // A directory was copied, and nobody has noticed yet: both write with the same stamps and slots.
        let mut peers = run(2, &history, |_, _| {});
        let [a, b] = &mut peers[..] else { unreachable!() };
        a.receive_all(b);
        let copy = a.copied();
        peers.truncate(1);
        peers.push(copy);
        for (actor, action) in &more {
            act(&mut peers, *actor, action);
        }
        let [a, b] = [whole(&peers[0]), whole(&peers[1])];
        let (one, other) = (merged(&[&a, &b]), merged(&[&b, &a, &b]));
        prop_assert_eq!(one.canonical(), other.canonical());
        prop_assert_eq!(one.version(), other.version());
        check_invariants(&one);
    }

    #[test]
    fn records_and_versions_hold_after_every_action(history in actions(3, false)) {
        run(3, &history, |peers, actor| check_invariants(&peers[actor].document));
    }

    #[test]
    fn merging_is_commutative_associative_and_idempotent(history in actions(3, false)) {
        let peers = run(3, &history, |_, _| {});
        let [a, b, c] = [whole(&peers[0]), whole(&peers[1]), whole(&peers[2])];
        let expected = merged(&[&a, &b, &c]);
        let bc = merged(&[&b, &c]).delta_since(Sequence::ZERO);
        for document in [
            merged(&[&c, &b, &a]),
            merged(&[&b, &a, &c]),
            merged(&[&a, &bc]),
            merged(&[&bc, &a]),
            merged(&[&a, &a, &b, &c, &b, &a]),
        ] {
            prop_assert_eq!(document.canonical(), expected.canonical());
            prop_assert_eq!(document.version(), expected.version());
        }
        let mut again = expected.clone();
        let unchanged = again.merge(&expected.delta_since(Sequence::ZERO), Sequence(99));
        prop_assert!(!unchanged.changed && !unchanged.surplus);
    }

    #[test]
    fn any_splitting_order_and_duplication_converges(history in actions(3, false), order in any::<u64>()) {
        let peers = run(3, &history, |_, _| {});
        let deltas: Vec<Delta> = peers.iter().map(whole).collect();
        let expected = merged(&deltas.iter().collect::<Vec<_>>());
        let mut parts: Vec<Delta> = deltas.iter().flat_map(shattered).chain(deltas.clone()).collect();
        parts.extend(parts.clone());
        parts.sort_by_cached_key(|part| blake3::keyed_hash(blake3::hash(&order.to_le_bytes()).as_bytes(), &part.encode()).to_hex());
        let mut document = Document::new();
        for (index, part) in parts.iter().enumerate() {
            let part = Delta::decode(&part.encode()).unwrap();
            document.merge(&part, Sequence(index as u64 + 1));
        }
        prop_assert_eq!(document.canonical(), expected.canonical());
        prop_assert_eq!(document.version(), expected.version());
        check_invariants(&document);
    }

    #[test]
    fn a_write_below_a_map_survives_every_removal_that_has_not_seen_it(
        history in actions(2, true),
        skews in [-90_000i64..90_000, -90_000i64..90_000],
        value in prop_oneof![Just(Value::Null), (0i64..5).prop_map(Value::from), "[xy]{0,2}".prop_map(Value::from)],
        counts in any::<bool>(),
    ) {
        let mut peers = run(2, &history, |_, _| {});
        let [a, b] = &mut peers[..] else { unreachable!() };
        a.receive_all(b);
        b.receive_all(a);
        if !a.document.is_alive() {
            a.insert(&Object::from([("a", Object::from([("b", 0)]))]));
            b.receive_all(a);
        }
        for (actor, hours) in skews.into_iter().enumerate() {
            act(&mut peers, actor, &Action::Skew(hours));
        }
        let [a, b] = &mut peers[..] else { unreachable!() };
        let below = ["a".to_owned(), "b".to_owned()];
        a.unset(&below[..1]).unwrap();
        match (counts, &value) {
            (true, Value::Int(number)) => b.restart(&below, *number).unwrap(),
            _ => b.set(&below, &value).unwrap(),
        }
        let (removed, written) = (whole(a), whole(b));
        a.receive(&written);
        b.receive(&removed);
        a.receive_all(b);
        for peer in [&*a, &*b] {
            let visible = peer.visible().unwrap();
            prop_assert_eq!(visible.get("a").and_then(|map| map.get("b")), Some(&value));
            prop_assert_eq!(visible.get("a").and_then(Value::as_object).map(Object::len), Some(1));
        }
    }

    #[test]
    fn versions_are_equal_exactly_if_documents_are(history in actions(3, false)) {
        let mut seen = std::collections::HashMap::new();
        run(3, &history, |peers, actor| {
            let document = &peers[actor].document;
            let canonical = document.canonical();
            let first = seen.entry(document.version()).or_insert_with(|| canonical.clone());
            assert_eq!(*first, canonical);
        });
        let distinct: HashSet<_> = seen.values().collect();
        prop_assert_eq!(distinct.len(), seen.len());
    }

    #[test]
    fn the_changes_since_a_meeting_are_enough_for_the_next(history in actions(2, false), more in actions(2, false)) {
        let mut peers = run(2, &history, |_, _| {});
        let [a, b] = &mut peers[..] else { unreachable!() };
        a.receive_all(b);
        b.receive_all(a);
        let (since_a, since_b) = (a.document.newest_sequence(), b.document.newest_sequence());
        let more = more.iter().filter(|(_, action)| {
            !matches!(action, Action::Evict | Action::Receive(_) | Action::ReceiveSince(..))
        });
        more.for_each(|(actor, action)| act(&mut peers, *actor, action));
        let [a, b] = &mut peers[..] else { unreachable!() };
        let (from_a, from_b) = (a.document.delta_since(since_a), b.document.delta_since(since_b));
        a.receive(&from_b);
        b.receive(&from_a);
        prop_assert_eq!(a.document.version(), b.document.version());
        prop_assert_eq!(a.document.canonical(), b.document.canonical());
    }

    #[test]
    fn what_is_lacking_by_hash_makes_equal(history in actions(2, false)) {
        let mut peers = run(2, &history, |_, _| {});
        let [a, b] = &mut peers[..] else { unreachable!() };
        let known: HashSet<u128> = b.document.entry_hashes().into_iter().collect();
        let lacking = a.document.delta_lacking(&known);
        let expected = merged(&[&whole(a), &whole(b)]);
        let merged = b.receive(&lacking);
        prop_assert_eq!(b.document.canonical(), expected.canonical());
        let known: HashSet<u128> = expected.entry_hashes().into_iter().collect();
        prop_assert!(b.document.delta_lacking(&known).is_empty());
        prop_assert!(merged.changed || lacking.is_empty() || merged.surplus);
    }

    #[test]
    fn surplus_says_whether_the_sender_lacks_something_it_sent(history in actions(2, false)) {
        let mut peers = run(2, &history, |_, _| {});
        let [a, b] = &mut peers[..] else { unreachable!() };
        let merged = b.receive(&whole(a));
        if a.document.version() == b.document.version() {
            prop_assert!(!merged.surplus);
        }
    }

    #[test]
    fn damaged_deltas_are_refused_or_merge(history in actions(2, false), damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let peers = run(2, &history, |_, _| {});
        let mut bytes = peers[0].document.canonical();
        for (index, byte) in damage {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        let received = record::receive(&id(), &bytes, Sequence(1));
        prop_assert_eq!(received.is_ok(), Delta::decode(&bytes).is_ok());
        if let Ok(delta) = Delta::decode(&bytes) {
            prop_assert_eq!(received.unwrap().record, record::encode(&merged(&[&delta]), &id()));
            prop_assert_eq!(delta.encode(), bytes, "there is one encoding of a delta");
            let mut document = peers[1].document.clone();
            document.merge(&delta, Sequence(1000));
            prop_assert_eq!(document.version(), version_of_bytes(&document));
            let other = merged(&[&delta, &whole(&peers[1])]);
            prop_assert_eq!(document.canonical(), other.canonical());
            prop_assert_eq!(document.visible(&id(), &Definitions::default()), other.visible(&id(), &Definitions::default()));
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(prop_oneof![0u8..4, any::<u8>()], 0..120)) {
        let _ = Delta::decode(&bytes);
        for head in [&[][..], &[1, 1, 5, 0], &[1, 3, 5, 0]] {
            let bytes = [head, &bytes].concat();
            if let Ok(stored) = Record::parse(&bytes) {
                let _ = (stored.document(), stored.delta_since(Sequence::ZERO), stored.value.to_value());
            }
        }
    }

    #[test]
    fn damaged_records_never_panic(history in actions(2, false), damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let peers = run(2, &history, |_, _| {});
        let mut bytes = record::encode(&peers[0].document, &id());
        for (index, byte) in damage {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        if let Ok(stored) = Record::parse(&bytes) {
            let _ = (stored.delta_since(Sequence::ZERO), stored.value.to_value());
            let _ = stored.assign("b", &Value::Null, Stamp::new(Hlc::from_millis(1 << 40), SiteId(1)), Sequence(99));
            if let Ok(document) = stored.document() {
                let _ = (document.visible(&id(), &Definitions::default()), record::encode(&document, &id()));
            }
        }
    }

    #[test]
    fn the_fast_assignment_equals_the_ordinary_one(history in actions(2, false), name in "(_id|[abcd])".prop_map(String::from), value in super::peers::member_values()) {
        run(2, &history, |peers, actor| {
            let bytes = record::encode(&peers[actor].document, &id());
            let stored = Record::parse(&bytes).unwrap();
            for (ahead, site) in [(0, 0), (0, 9), (1, 3)] {
                let mut document = stored.document().unwrap();
                let stamp = Stamp::new(Hlc(document.newest_stamp().0 + ahead), SiteId(site));
                let sequence = Sequence(document.newest_sequence().0 + ahead);
                let fast = stored.assign(&name, &value, stamp, sequence).unwrap();
                let simple = stored.is_plain() && !matches!(value, Value::Object(_)) && name != "_id";
                let replaced = stored.value.get(&name).map(ValueRef::kind);
                if simple && ahead == 1 && replaced != Some(ValueKind::Object) {
                    assert!(fast.is_some(), "the case that it is for");
                }
                let Some(fast) = fast else { continue };
                let set = document.set(&Path::new([name.as_str()]).unwrap(), &value, &Definitions::default(), stamp, sequence);
                assert_eq!(set, Ok(()));
                assert_eq!(fast, record::encode(&document, &id()));
            }
        });
    }

    #[test]
    fn the_fast_insert_equals_the_ordinary_one(body in documents(), strict in any::<bool>()) {
        let definitions = [Definitions::default(), Definitions::new(strict).with("a", Definition::of(Kind::Register))];
        for definitions in definitions {
            let birth = Birth { stamp: Stamp::new(Hlc::from_millis(5), SiteId(3)), run: RunId(9) };
            let mut document = Document::new();
            document.insert(&body, &definitions, birth, Sequence(300)).unwrap();
            let inserted = record::insert(&id(), &body, &definitions, birth, Sequence(300)).unwrap();
            prop_assert_eq!(&inserted.record, &record::encode(&document, &id()));
            prop_assert_eq!(inserted.version, document.version());
            let mut with_id = body.clone();
            with_id.insert("_id", 7);
            let skipped = record::insert(&id(), &with_id, &definitions, birth, Sequence(300)).unwrap();
            prop_assert_eq!(skipped.record, inserted.record);
            check_invariants(&document);
        }
    }
}

/// Members of every kind of value, with names around `_id` and with control characters.
fn documents() -> impl Strategy<Value = Object> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        prop::collection::vec(any::<u8>(), 0..9).prop_map(Value::from),
        any::<i8>().prop_map(|of| token(&Value::from(i64::from(of)))),
    ];
    let name = || {
        prop_oneof!["[a_\u{0}\u{1}i]{0,3}", "_ic|_ie|_id_|zz"].prop_filter("not the id", |name| name != "_id")
    };
    let value = leaf.prop_recursive(3, 24, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name(), inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    });
    prop::collection::vec((name(), value), 0..8).prop_map(|members| members.into_iter().collect())
}
