//! The attacks of `attacks.md` that concern one document, each by name and number.

use ditto_value::{Object, Value, Writer};

use super::peers::{Peer, names_of};
use crate::{
    Birth, Definition, Definitions, Delta, Document, Hlc, Kind, MAX_PARTS, MAX_PATHS_BYTES, Path, Record,
    RunId, Sequence, SiteId, Slot, Stamp, Version, WriteError, record,
};

fn object(json: &str) -> Object {
    Value::from_json(json).unwrap().as_object().unwrap().clone()
}

fn set(peer: &mut Peer, dotted: &str, value: impl Into<Value>) {
    peer.set(&names_of(dotted), &value.into()).unwrap();
}

/// Merges everybody's state in every order, requires one result, and gives it to everybody.
fn meet(peers: &mut [&mut Peer]) -> String {
    let deltas: Vec<Delta> = peers.iter().map(|peer| peer.document.delta_since(Sequence::ZERO)).collect();
    let mut results = Vec::new();
    for start in 0..deltas.len() {
        for backwards in [false, true] {
            let mut order: Vec<usize> =
                (0..deltas.len()).map(|index| (start + index) % deltas.len()).collect();
            if backwards {
                order.reverse();
            }
            let mut document = Document::new();
            for index in order {
                document.merge(&deltas[index], Sequence(1));
            }
            results.push(document.canonical());
        }
    }
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "the order of merging matters");
    for peer in peers.iter_mut() {
        for delta in &deltas {
            peer.receive(delta);
        }
        assert_eq!(peer.document.canonical(), results[0]);
    }
    peers[0].json()
}

#[test]
fn attack_4_a_copy_begins_anew_when_it_comes_back_to_life() {
    let birth = |time| Birth { stamp: Stamp::new(Hlc::from_millis(time), SiteId(1)), run: RunId(1) };
    let whole = Document::buried([birth(1)], Sequence(3)).delta_since(Sequence::ZERO);
    let mut document = Document::buried([birth(1)], Sequence(5));
    assert!(!document.merge(&whole, Sequence(7)).changed);
    assert_eq!(document.began(), Sequence(5));
    let living = Object::from([("x", 1)]);
    document.insert(&living, &Definitions::default(), birth(2), Sequence(8)).unwrap();
    assert_eq!(document.began(), Sequence(8), "written");
    let delta = document.delta_since(Sequence(5));
    let mut other = Document::buried([birth(1)], Sequence(5));
    other.merge(&delta, Sequence(9));
    assert_eq!(other.began(), Sequence(9), "received");
    other.merge(
        &Document::buried([birth(1), birth(3)], Sequence(1)).delta_since(Sequence::ZERO),
        Sequence(10),
    );
    assert_eq!(other.began(), Sequence(9));
}

#[test]
fn attack_2_a_stamp_of_2090_can_be_overwritten_and_hides_nothing() {
    let (mut a, mut b) = (Peer::new(0, 0), Peer::new(1, 0));
    a.insert(&object(r#"{"x": 1}"#));
    meet(&mut [&mut a, &mut b]);
    let far = Stamp::new(Hlc::from_millis(3_786_912_000_000), SiteId(77));
    let path = Path::new(["x"]).unwrap();
    b.document.set(&path, &Value::from(2), &Definitions::default(), far, Sequence(50)).unwrap();
    a.receive(&b.document.delta_since(Sequence::ZERO));
    for value in 3..6 {
        set(&mut a, "x", value);
        set(&mut a, "y", value);
        b.receive(&a.document.delta_since(Sequence::ZERO));
        assert_eq!(b.json(), format!(r#"{{"x":{value},"y":{value}}}"#));
    }
}

#[test]
fn attack_2_at_the_last_stamp_a_write_says_why_it_fails_and_a_new_birth_helps() {
    let mut a = Peer::new(0, 0);
    a.insert(&object(r#"{"x": 1}"#));
    // The bytes a hostile or broken peer sends: the same entry at the last stamp there is.
    let mut other = a.document.clone();
    other.newest = Stamp::ZERO;
    let path = Path::new(["x"]).unwrap();
    let almost = Stamp::new(Hlc(Hlc::MAX.0 - 1), SiteId(9));
    other.set(&path, &Value::from(2), &Definitions::default(), almost, Sequence(50)).unwrap();
    a.receive(&other.delta_since(Sequence::ZERO));
    assert_eq!(a.set(&names_of("x"), &Value::from(3)), Err(WriteError::Exhausted));
    assert_eq!(a.unset(&names_of("x")), Err(WriteError::Exhausted));
    assert_eq!(a.json(), r#"{"x":2}"#);
    a.delete();
    a.insert(&object(r#"{"x": 3}"#));
    set(&mut a, "x", 4);
    let mut b = Peer::new(1, 0);
    b.receive(&other.delta_since(Sequence::ZERO));
    assert_eq!(meet(&mut [&mut a, &mut b]), r#"{"x":4}"#);
}

#[test]
fn attack_3_an_unset_member_does_not_come_back_from_an_old_copy() {
    let (mut p, mut b, mut c) = (Peer::new(0, 0), Peer::new(1, 0), Peer::new(2, 0));
    p.insert(&object(r#"{"x": "old", "y": 1}"#));
    meet(&mut [&mut p, &mut b, &mut c]);
    assert!(p.unset(&names_of("x")).unwrap());
    p.store();
    set(&mut p, "y", 2);
    assert_eq!(meet(&mut [&mut p, &mut b, &mut c]), r#"{"y":2}"#);
}

#[test]
fn attack_4_an_evicted_document_that_is_inserted_again_gets_everything_back() {
    let (mut s, mut p) = (Peer::new(0, 0), Peer::new(1, 0));
    s.insert(&object(r#"{"x": 1, "y": 1}"#));
    meet(&mut [&mut s, &mut p]);
    s.document = Document::new();
    s.insert(&object(r#"{"z": 1}"#));
    assert_eq!(meet(&mut [&mut s, &mut p]), r#"{"x":1,"y":1,"z":1}"#);
}

#[test]
fn attack_5_increments_before_and_after_an_eviction_all_count() {
    let (mut s, mut p) = (Peer::new(0, 0), Peer::new(1, 0));
    s.insert(&object("{}"));
    s.increment(&names_of("n"), 5).unwrap();
    meet(&mut [&mut s, &mut p]);
    s.document = Document::new();
    p.increment(&names_of("n"), 1).unwrap();
    s.receive(&p.document.delta_since(Sequence::ZERO));
    s.increment(&names_of("n"), 2).unwrap();
    assert_eq!(meet(&mut [&mut s, &mut p]), r#"{"n":8}"#);
}

#[test]
fn attack_6_an_insert_unaware_of_an_old_deletion_survives() {
    let (mut a, mut b) = (Peer::new(0, 0), Peer::new(1, 900_000));
    a.insert(&object(r#"{"x": 1}"#));
    a.delete();
    b.insert(&object(r#"{"y": 2}"#));
    assert_eq!(meet(&mut [&mut a, &mut b]), r#"{"y":2}"#);
}

#[test]
fn attack_6_a_deletion_seen_as_a_grave_has_the_same_outcome() {
    let (mut a, mut b) = (Peer::new(0, 0), Peer::new(1, 0));
    let birth = a.insert(&object(r#"{"x": 1}"#));
    meet(&mut [&mut a, &mut b]);
    set(&mut b, "x", 2);
    let grave = Document::buried([birth], Sequence(1));
    assert_eq!(grave.removed_births().collect::<Vec<_>>(), [birth]);
    b.receive(&grave.delta_since(Sequence::ZERO));
    assert_eq!(b.json(), "deleted");
    assert_eq!(b.document.canonical(), grave.canonical());
}

#[test]
fn attack_7_a_delete_that_saw_one_of_two_inserts_leaves_the_other_intact() {
    let (mut a, mut b, mut c) = (Peer::new(0, 0), Peer::new(1, 5), Peer::new(2, 9));
    a.insert(&object(r#"{"x": 1, "care": {"light": 1}}"#));
    b.insert(&object(r#"{"x": 2, "care": {"water": 2}}"#));
    c.receive(&a.document.delta_since(Sequence::ZERO));
    set(&mut c, "z", 3);
    c.delete();
    assert_eq!(meet(&mut [&mut a, &mut b, &mut c]), r#"{"care":{"water":2},"x":2}"#);
}

#[test]
fn attack_7_concurrent_inserts_merge_member_by_member() {
    let (mut a, mut b) = (Peer::new(0, 0), Peer::new(1, 500));
    a.insert(&object(r#"{"x": 1, "care": {"light": 1}}"#));
    b.insert(&object(r#"{"x": 2, "care": {"water": 2}}"#));
    assert_eq!(meet(&mut [&mut a, &mut b]), r#"{"care":{"light":1,"water":2},"x":1}"#);
    set(&mut b, "x", 5);
    assert_eq!(meet(&mut [&mut a, &mut b]), r#"{"care":{"light":1,"water":2},"x":5}"#);
    assert_eq!(a.document.living_births().count(), 2, "a write goes under every living birth");
    a.delete();
    assert_eq!(meet(&mut [&mut a, &mut b]), "deleted");
}

#[test]
fn attack_8_first_increments_of_two_peers_add_up() {
    let (mut a, mut b) = (Peer::new(0, 0), Peer::new(1, 70));
    a.insert(&object(r#"{"n": 10}"#));
    meet(&mut [&mut a, &mut b]);
    a.increment(&names_of("n"), 5).unwrap();
    b.increment(&names_of("n"), 7).unwrap();
    b.increment(&names_of("n"), -1).unwrap();
    assert_eq!(meet(&mut [&mut a, &mut b]), r#"{"n":11}"#);
}

#[test]
fn attack_8_an_increment_unseen_by_a_restart_or_removal_is_dropped_and_a_later_one_counts() {
    let (mut a, mut b) = (Peer::new(0, 0), Peer::new(1, 70));
    a.insert(&object("{}"));
    a.increment(&names_of("n"), 1).unwrap();
    meet(&mut [&mut a, &mut b]);
    a.restart(&names_of("n"), 100).unwrap();
    b.increment(&names_of("n"), 5).unwrap();
    assert_eq!(meet(&mut [&mut a, &mut b]), r#"{"n":100}"#);
    b.increment(&names_of("n"), 5).unwrap();
    assert_eq!(meet(&mut [&mut a, &mut b]), r#"{"n":105}"#);
    a.unset(&names_of("n")).unwrap();
    b.increment(&names_of("n"), 5).unwrap();
    assert_eq!(meet(&mut [&mut a, &mut b]), "{}");
    b.increment(&names_of("n"), 2).unwrap();
    assert_eq!(meet(&mut [&mut a, &mut b]), r#"{"n":2}"#);
}

#[test]
fn attack_24_no_write_is_invisible_because_of_a_kind() {
    let mut a = Peer::new(0, 0);
    a.insert(&object(r#"{"care": {}, "name": "fern"}"#));
    assert_eq!(a.json(), r#"{"care":{},"name":"fern"}"#);
    set(&mut a, "name", object(r#"{"latin": {}}"#));
    assert_eq!(a.json(), r#"{"care":{},"name":{"latin":{}}}"#);
    set(&mut a, "name", "fern");
    set(&mut a, "name.latin.x", 1);
    assert_eq!(a.json(), r#"{"care":{},"name":{"latin":{"x":1}}}"#);
    a.unset(&names_of("name.latin")).unwrap();
    assert_eq!(a.json(), r#"{"care":{},"name":{}}"#);
    a.increment(&names_of("care"), 2).unwrap();
    assert_eq!(a.json(), r#"{"care":2,"name":{}}"#);
    set(&mut a, "care", object("{}"));
    assert_eq!(a.json(), r#"{"care":{},"name":{}}"#);
}

#[test]
fn attack_24_concurrent_kinds_show_the_newer_and_keep_the_older() {
    let (mut a, mut b) = (Peer::new(0, 0), Peer::new(1, 100));
    a.insert(&object(r#"{"care": {"light": 1}}"#));
    meet(&mut [&mut a, &mut b]);
    set(&mut b, "care.water", 2);
    set(&mut a, "care", 5);
    assert_eq!(meet(&mut [&mut a, &mut b]), r#"{"care":5}"#);
    let declared = Definitions::default().with("care", Definition::of(Kind::Map));
    let seen = a.document.visible(&super::peers::id(), &declared).unwrap();
    assert_eq!(seen.get("care").unwrap().to_json(), r#"{"light":1,"water":2}"#);
}

fn initial(body: &str) -> Document {
    let mut document = Document::new();
    let definitions = Definitions::default();
    document.insert(&object(body), &definitions, Birth::INITIAL, Sequence(1)).unwrap();
    document
}

#[test]
fn attack_25_the_greater_value_of_two_initial_ones_wins_everywhere_and_loses_to_any_write() {
    let (mut a, mut b) = (Peer::new(0, 0), Peer::new(1, 100));
    a.document = initial(r#"{"x": 1, "only": "a", "number": 1.0}"#);
    b.document = initial(r#"{"x": 2, "number": 1}"#);
    assert_eq!(initial(r#"{"x": 2, "number": 1}"#).canonical(), b.document.canonical());
    assert_eq!(meet(&mut [&mut a, &mut b]), r#"{"number":1.0,"only":"a","x":2}"#);
    set(&mut a, "x", 0);
    assert_eq!(meet(&mut [&mut a, &mut b]), r#"{"number":1.0,"only":"a","x":0}"#);
}

#[test]
fn attack_25_an_initial_document_that_was_deleted_stays_deleted() {
    let (mut a, mut b) = (Peer::new(0, 0), Peer::new(1, 100));
    a.document = initial(r#"{"x": 1}"#);
    a.delete();
    let definitions = Definitions::default();
    let again = a.document.insert(&object(r#"{"x": 1}"#), &definitions, Birth::INITIAL, Sequence(9));
    assert_eq!(again, Ok(false));
    b.document = initial(r#"{"x": 5}"#);
    assert_eq!(meet(&mut [&mut a, &mut b]), "deleted");
}

#[test]
fn attack_30_forged_deltas_are_refused() {
    let mut document = Document::new();
    let birth = Birth { stamp: Stamp::new(Hlc::from_millis(5), SiteId(3)), run: RunId(9) };
    document.insert(&object(r#"{"x": 1}"#), &Definitions::default(), birth, Sequence(1)).unwrap();
    let good = document.canonical();
    let forged = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        Delta::decode(&bytes)
    };
    assert!(forged(&|_| {}).is_ok());
    assert!(forged(&|bytes| bytes[2..10].copy_from_slice(&(Hlc::MAX.0 + 1).to_le_bytes())).is_err());
    assert!(forged(&|bytes| bytes[0] = 2).is_err());
    assert!(forged(&|bytes| bytes.push(0)).is_err());
    assert!(forged(&|bytes| bytes[1] = 2).is_err());
    assert!(forged(&|bytes| bytes[26] = 250).is_err());
    let listed = [&good[..26], &[3, 2, b'x', 0, 0, 0, 3, 3, 1]].concat();
    assert!(Delta::decode(&listed).is_err(), "these entries have a natural form");
    assert!(Delta::decode(&[&[1, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F][..], &[0; 200]].concat()).is_err());
    for cut in 0..good.len() {
        assert!(Delta::decode(&good[..cut]).is_err());
    }
    let deep_map = |depth: usize| {
        let path = b"a\0".repeat(depth);
        let mut entry = vec![path.len() as u8];
        if path.len() > 127 {
            entry = vec![path.len() as u8 | 0x80, (path.len() >> 7) as u8];
        }
        [&good[..26], &[3], &entry[..], &path, &[1, 0, 1]].concat()
    };
    assert!(Delta::decode(&deep_map(127)).is_ok());
    assert!(Delta::decode(&deep_map(128)).is_err(), "its object would be nested too deeply");
    let id_entry = [&good[..26], &[3, 4], b"_id\0", &[0, 0, 1]].concat();
    assert!(Delta::decode(&id_entry).is_err(), "`_id` is not an entry");
}

/// As the documentation of the file format says it.
#[test]
fn a_version_is_a_hash_of_the_canonical_bytes() {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut document = initial(r#"{"x": 1}"#);
    assert_eq!(hex(&document.canonical()), format!("0101{}010720780301010301", "00".repeat(24)));
    assert_eq!(hex(&document.version().0.to_le_bytes()), "bd24a5863f7c1b8cd8ee2013d76ae7a6");
    document.delete(Sequence(2));
    assert_eq!(hex(&document.canonical()), format!("0101{}00", "00".repeat(24)));
    assert_eq!(hex(&document.version().0.to_le_bytes()), "e1a617ad78986c8fe28b2822796df1c7");
    assert_eq!(Document::new().version(), Version::NOTHING);
}

/// As the documentation of the protocol says them, under *Question*.
#[test]
fn the_hashes_of_births_and_entries_are_the_documented_ones() {
    let documentation = include_str!("../../../../docs/protocol.md");
    let hashes = |document: &Document| -> Vec<String> {
        let hex = |hash: u128| hash.to_le_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let hashes: Vec<String> = document.entry_hashes().into_iter().map(hex).collect();
        assert!(
            hashes.iter().all(|hash| documentation.contains(hash)),
            "docs/protocol.md lacks one of {hashes:?}"
        );
        hashes
    };
    let initial = initial(r#"{"x": 1}"#);
    assert_eq!(hashes(&initial), ["b761af0994c3eb04ad7efbd13fa288a3", "029b9bf37a594ce430f2d5af5fe54ffc"]);

    let definitions = Definitions::default();
    let birth = Birth { stamp: Stamp::new(Hlc(1), SiteId(2)), run: RunId(3) };
    let mut document = Document::new();
    document.insert(&object(r#"{"x": 1}"#), &definitions, birth, Sequence(1)).unwrap();
    let x = "8034c2f158a6961d414f3a9bddb3c690";
    assert_eq!(hashes(&document), ["8429ad46e4d386094d2301aeafe10b75", x]);

    let (path, stamp) = (Path::new(["n"]).unwrap(), Stamp::new(Hlc(6), SiteId(7)));
    let slot = Slot { run: RunId(4), began: Sequence(5) };
    document.increment(&path, Kind::Counter, &Value::Int(8), slot, &definitions, stamp, Sequence(2)).unwrap();
    let generation = "595b8fb2e0428044b349413f7532c39c";
    let slot = "e7e17f6e2b52770dd181cfcd64147186";
    assert_eq!(hashes(&document), ["8429ad46e4d386094d2301aeafe10b75", generation, slot, x]);

    document.delete(Sequence(3));
    assert_eq!(hashes(&document), ["c9b6b47b08dcf39b830fed811458b88a"]);
}

/// A sum of hashes of entries could be steered: of enough entries some sum up to any given number (Wagner, *A Generalized
/// Birthday Problem*, 2002).
#[test]
fn attack_30_versions_of_parts_say_nothing_of_the_version_of_the_whole() {
    let [none, x, y, both] =
        [r"{}", r#"{"x": 1}"#, r#"{"y": 2}"#, r#"{"x": 1, "y": 2}"#].map(|body| initial(body).version().0);
    assert_ne!(both.wrapping_sub(x), y.wrapping_sub(none));
    assert_ne!(both ^ x, y ^ none);
}

#[test]
fn attack_32_an_increment_that_arrives_alone_is_not_answered_with_what_its_sender_has() {
    let (mut a, mut b, mut c) = (Peer::new(0, 0), Peer::new(1, 70), Peer::new(2, 140));
    a.insert(&object("{}"));
    meet(&mut [&mut a, &mut b, &mut c]);
    for peer in [&mut a, &mut b, &mut c] {
        peer.increment(&names_of("n"), 1).unwrap();
    }
    meet(&mut [&mut a, &mut b, &mut c]);
    let before = a.document.newest_sequence();
    a.increment(&names_of("n"), 1).unwrap();
    let merged = b.receive(&a.document.delta_since(before));
    assert!(merged.changed && !merged.surplus);
    assert_eq!(b.document.version(), a.document.version());
}

#[test]
fn attack_30_a_short_delta_is_not_a_huge_document() {
    let head = &initial(r#"{"x": 1}"#).canonical()[..26];
    let natural = |object: &Value| {
        let object = object.encode();
        assert!(object.len() < 1 << 14);
        let length = [object.len() as u8 | 0x80, (object.len() >> 7) as u8];
        Delta::decode(&[head, &[1], &length, &object].concat())
    };
    let many: Object = (10..99).map(|name| (name.to_string(), Value::Null)).collect();
    let below = |levels: usize| {
        (0..levels).fold(Value::from(many.clone()), |inner, _| Object::from([("abcdefgh", inner)]).into())
    };
    assert!(natural(&below(3)).is_ok());
    let refused = natural(&below(60)).unwrap_err();
    assert!(refused.to_string().contains("too long"), "{refused}");
    // A document like that travels as a list, which spells every path.
    let mut document = Document::new();
    let body = Object::from([("a", below(60))]);
    document.insert(&body, &Definitions::default(), Birth::INITIAL, Sequence(1)).unwrap();
    super::laws::check_invariants(&document);
    for wrong in [Value::from(Object::new()), Value::from(1), Object::from([("_id", many.clone())]).into()] {
        let object = wrong.encode();
        assert!(Delta::decode(&[head, &[1, object.len() as u8], &object[..]].concat()).is_err());
    }
}

#[test]
fn attack_31_a_map_with_churning_keys_is_compacted_by_a_new_birth() {
    let mut a = Peer::new(0, 0);
    a.insert(&object("{}"));
    for round in 0..100 {
        set(&mut a, &format!("care.{round:03}"), round);
        a.unset(&names_of(&format!("care.{round:03}"))).unwrap();
    }
    let record_length = |peer: &Peer| record::encode(&peer.document, &super::peers::id()).len();
    let grown = record_length(&a);
    assert!(
        (1500..5000).contains(&grown),
        "a removed entry costs its path, a stamp and little else: {grown}"
    );
    a.delete();
    a.insert(&object(r#"{"care": {}}"#));
    assert!(record_length(&a) < 150);
}

/// The numbers are in `docs/measurements.md`.
#[test]
fn attack_31_ten_thousand_sites_count_and_a_restart_compacts() {
    const SITES: u64 = 10_000;
    let mut a = Peer::new(0, 0);
    a.insert(&object("{}"));
    let (path, definitions) = (Path::new(["n"]).unwrap(), Definitions::default());
    let count = |a: &mut Peer, site: u64| {
        // Sites and sequences as long as real ones.
        let slot = Slot { run: RunId(site.wrapping_mul(0x9E37_79B9_7F4A_7C15)), began: Sequence(1_000_000) };
        let (stamp, sequence) = (Stamp::new(a.stamp().time, SiteId(slot.run.0)), a.next_sequence());
        let by = Value::from(1);
        a.document.increment(&path, Kind::Counter, &by, slot, &definitions, stamp, sequence).unwrap();
    };
    for site in 1..=SITES {
        count(&mut a, site);
    }
    assert_eq!(a.json(), r#"{"n":10000}"#);
    let bytes = record::encode(&a.document, &super::peers::id());
    let started = std::time::Instant::now();
    a.document = Record::parse(&bytes).unwrap().document().unwrap();
    count(&mut a, 77);
    let stored = record::encode(&a.document, &super::peers::id());
    let one_write = started.elapsed();
    let whole = a.document.canonical();
    let last = Sequence(a.document.newest_sequence().0 - 1);
    let change = a.document.delta_since(last).encode();
    let (record_bytes, delta_bytes) = (stored.len() as u64 / SITES, whole.len() as u64 / SITES);
    println!("a site: {record_bytes} bytes stored, {delta_bytes} sent; one write {one_write:?}");
    assert!(record_bytes <= 54 && delta_bytes <= 31, "{record_bytes}, {delta_bytes}");
    assert!(change.len() < 100, "only the slot that changed travels");
    let again = Record::parse(&stored).unwrap().document().unwrap();
    assert_eq!(again.canonical(), whole);
    let mut b = Peer::new(1, 0);
    b.receive(&a.document.delta_since(Sequence::ZERO));
    a.restart(&names_of("n"), 10_001).unwrap();
    assert!(record::encode(&a.document, &super::peers::id()).len() < 200);
    b.receive(&a.document.delta_since(Sequence::ZERO));
    assert_eq!(b.json(), r#"{"n":10001}"#);
    assert!(b.document.canonical().len() < 100);
}

#[test]
fn attack_31_a_document_that_is_created_anew_every_day_grows_by_a_birth_each_time() {
    let mut a = Peer::new(0, 0);
    a.insert(&object(r#"{"x": 1}"#));
    for _ in 0..365 {
        a.delete();
        a.insert(&object(r#"{"x": 1}"#));
    }
    let stored = record::encode(&a.document, &super::peers::id()).len();
    println!("a year of births: {stored} bytes stored, {} sent", a.document.canonical().len());
    assert!((365 * 24..365 * 28 + 100).contains(&stored), "{stored}");
}

/// A delta of one birth whose entries are listed: so many, by what follows.
fn listed(entries: usize, what_follows: &[u8]) -> Vec<u8> {
    let mut delta = crate::delta::natural::head(birth_of_an_attack(), 0);
    delta.truncate(2 + 24);
    crate::codec::put_varint(&mut delta, entries as u64 + 2);
    delta.extend_from_slice(what_follows);
    delta
}

fn birth_of_an_attack() -> Birth {
    Birth { stamp: Stamp::new(Hlc::from_millis(1_000), SiteId(1)), run: RunId(1) }
}

/// A delta in natural form: groups of 80 members with names of one byte, all below one name of `prefix` bytes, with one value.
fn dense(groups: usize, prefix: usize, value: i64) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.object(|object| {
        object.object(&"p".repeat(prefix), |object| {
            for group in 0..groups {
                object.object(&format!("{group:06}"), |object| {
                    (b'#'..b'#' + 80).for_each(|name| {
                        object.value(char::from(name).encode_utf8(&mut [0; 4]), &Value::Int(value))
                    });
                });
            }
        });
    });
    let object = writer.into_bytes();
    [crate::delta::natural::head(birth_of_an_attack(), object.len()), object].concat()
}

#[test]
fn a_short_delta_does_not_become_a_huge_document() {
    let too_many = MAX_PARTS + 1;
    let mut slots = vec![2, b'n', 0, 2, 0, 0];
    crate::codec::put_varint(&mut slots, MAX_PARTS as u64);
    slots.resize(slots.len() + 12 * MAX_PARTS, 0);
    let hostile = [
        ("entries", listed(too_many, &vec![0; 5 * too_many])),
        ("slots", listed(1, &slots)),
        ("members", dense(too_many / 81 + 1, 1, 0)),
        ("paths", dense(15_000, 105, i64::MAX)),
    ];
    for (what, delta) in hostile {
        let error = Delta::decode(&delta).expect_err(what);
        assert!(error.too_large, "{what}: {error}");
        assert!(record::receive(&Value::from(1), &delta, Sequence(1)).expect_err(what).too_large, "{what}");
    }
}

#[test]
fn a_document_has_the_size_that_its_delta_was_found_to_have() {
    let honest = dense(100, 1, 0);
    let delta = Delta::decode(&honest).unwrap();
    let mut document = Document::new();
    document.take(delta, Sequence(1));
    let size = document.size();
    assert_eq!(size.parts, 1 + (1 + 100 * 81) + 6, "a birth with entries takes more");
    assert_eq!(size.paths, 2 + 100 * (2 + 7) + 100 * 80 * (2 + 7 + 2));
    assert!(size.parts < MAX_PARTS && size.paths < MAX_PATHS_BYTES);
    assert_eq!(document.checked_version(), Ok(document.version()));
    assert_eq!(document.canonical(), honest);
    let path = Path::new(["n"]).unwrap();
    let stamp = Stamp::new(Hlc::from_millis(2_000), SiteId(1));
    let slot = Slot { run: RunId(1), began: Sequence(1) };
    document
        .increment(&path, Kind::Counter, &Value::from(1), slot, &Definitions::default(), stamp, Sequence(2))
        .unwrap();
    assert_eq!(document.size().parts, size.parts + 1 + 1 + 4, "a counter takes more");
}
