//! Attacks of `attacks.md` that need a store, each by name and number.

use std::time::Instant;

use ditto_crdt::{Birth, Definitions, Delta, Document, Hlc, Path, RunId, Sequence, SiteId, Stamp};
use ditto_storage::{Direction, Keyspace, Storage};
use ditto_store::{IncomingDocument, Refused, TransactionKind};
use ditto_value::{Object, Value};

use crate::lifecycle::{Peer, incoming, reap};
use crate::support::{assert_consistent, failure, query, run};

const NOW: u64 = 1_800_000_000_000;
const DAY_MS: u64 = 86_400_000;

fn show(peer: &Peer) -> Vec<String> {
    query(&peer.store, "SELECT * FROM c ORDER BY _id")
}

#[test]
fn attack_1_a_live_document_is_taken_however_old_it_is_and_whatever_was_forgotten_here() {
    // C was away for ten years, and its clock was behind even then.
    let (p, c) = (Peer::with_clock(1, NOW), Peer::with_clock(2, NOW - 4_000 * DAY_MS));
    run(&c.store, "INSERT INTO c DOCUMENTS ({'_id': 'd', 'x': 1})");
    run(&c.store, "UPDATE c SET y = 2");
    run(&p.store, "INSERT INTO c DOCUMENTS ({'_id': 'a'}), ({'_id': 'b'}), ({'_id': 'kept'})");
    run(&p.store, "DELETE FROM c WHERE _id = 'a'");
    assert_eq!(p.after(60 * DAY_MS).buried, 1);
    run(&p.store, "DELETE FROM c WHERE _id = 'b'");
    assert_eq!(p.counts(), (1, 1, 1), "a grave and a tombstone, neither of which is that of the document");
    assert_eq!(p.receive(&c, c.changes(Sequence::ZERO)), []);
    assert_eq!(show(&p), [r#"{"_id":"d","x":1,"y":2}"#, r#"{"_id":"kept"}"#]);
    c.receive(&p, p.changes(Sequence::ZERO));
    assert_eq!(show(&c), show(&p), "and what is unknown to the other is no reason to drop it");
    for peer in [&p, &c] {
        peer.after(60 * DAY_MS);
        assert_eq!(show(peer).len(), 2, "nor is its age");
        assert_consistent(&peer.store);
    }
}

/// The whole document with `x` written at the last time that a write may have.
fn at_the_end_of_time(of: &Peer) -> Vec<IncomingDocument> {
    let mut changes = of.changes(Sequence::ZERO);
    let mut document = Document::new();
    document.merge(&Delta::decode(&changes[0].delta).expect("a delta"), Sequence(1));
    let (path, last) = (Path::new(["x"]).expect("a path"), Stamp::new(Hlc(Hlc::MAX.0 - 1), SiteId(9)));
    document.set(&path, &Value::from(2), &Definitions::default(), last, Sequence(2)).expect("it is alive");
    changes[0].delta = document.canonical();
    changes[0].stated = document.version();
    changes
}

#[test]
fn attack_2_a_document_at_the_last_stamp_is_deleted_and_inserted_anew() {
    for in_one_transaction in [false, true] {
        let (a, b) = (Peer::new(1), Peer::new(2));
        run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1, 'x': 1, 'y': 1})");
        let hostile = at_the_end_of_time(&a);
        for peer in [&a, &b] {
            peer.receive(&Peer::new(9), hostile.clone());
            assert_eq!(show(peer), [r#"{"_id":1,"x":2,"y":1}"#]);
        }
        for statement in [
            "UPDATE c SET x = 3",
            "UPDATE c UNSET y",
            "UPDATE c APPLY n INCREMENT BY 1",
            "INSERT INTO c DOCUMENTS ({'_id': 1, 'x': 3}) ON ID CONFLICT DO UPDATE",
        ] {
            let error = failure(&a.store, statement, "{}").to_string();
            assert!(error.contains("delete it and insert it again"), "{statement}: {error}");
        }
        run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 2})");
        let anew = ["DELETE FROM c WHERE _id = 1", "INSERT INTO c DOCUMENTS ({'_id': 1, 'x': 3})"];
        if in_one_transaction {
            let transaction = a.store.begin(TransactionKind::ReadWrite).expect("begins");
            anew.iter().for_each(|text| drop(transaction.execute(text, &Object::new()).expect("runs")));
            transaction.commit().expect("commits");
        } else {
            anew.iter().for_each(|text| drop(run(&a.store, text)));
        }
        run(&a.store, "UPDATE c SET x = 4 WHERE _id = 1");
        b.receive(&a, a.changes(Sequence::ZERO));
        a.receive(&b, b.changes(Sequence::ZERO));
        for peer in [&a, &b] {
            peer.receive(&Peer::new(9), hostile.clone());
            assert_eq!(show(peer), [r#"{"_id":1,"x":4}"#, r#"{"_id":2}"#], "the old life does not come back");
            assert_consistent(&peer.store);
        }
    }
}

#[test]
fn attack_6_an_insert_that_is_unaware_of_a_grave_survives_it() {
    for grave_travels_first in [true, false] {
        let (a, b, c) = (Peer::new(1), Peer::new(2), Peer::new(3));
        run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 'd', 'x': 1})");
        let old = a.changes(Sequence::ZERO);
        c.receive(&a, old.clone());
        run(&a.store, "DELETE FROM c");
        assert_eq!(a.after(60 * DAY_MS).buried, 1);
        assert_eq!(a.counts(), (0, 0, 1));
        run(&b.store, "INSERT INTO c DOCUMENTS ({'_id': 'd', 'y': 2})");
        if grave_travels_first {
            b.receive(&a, a.changes(Sequence::ZERO));
            a.receive(&b, b.changes(Sequence::ZERO));
        } else {
            a.receive(&b, b.changes(Sequence::ZERO));
            b.receive(&a, a.changes(Sequence::ZERO));
        }
        // Who still has the old life loses it, and takes the new one.
        c.receive(&b, b.changes(Sequence::ZERO));
        for peer in [&a, &b, &c] {
            assert_eq!(show(peer), [r#"{"_id":"d","y":2}"#]);
            peer.receive(&c, old.clone());
            assert_eq!(show(peer), [r#"{"_id":"d","y":2}"#], "what was buried stays dead");
            assert_consistent(&peer.store);
        }
        let key = b.changes(Sequence::ZERO).remove(0).key;
        assert_eq!(a.version(&key), b.version(&key));
        assert_eq!(a.version(&key), c.version(&key));
        assert_eq!(a.counts(), (1, 0, 0), "the grave was opened");
    }
}

/// The numbers are in `docs/measurements.md`; half a minute without optimisation.
#[test]
#[ignore = "attack 31 at scale, for a nightly run"]
fn attack_31_a_hundred_thousand_tombstones_become_graves() {
    const COUNT: usize = 100_000;
    let a = Peer::new(1);
    let bytes = |peer: &Peer| -> u64 {
        let keyspaces = [Keyspace::Documents, Keyspace::Changes, Keyspace::Graves];
        keyspaces.map(|keyspace| content_bytes(&*peer.storage, keyspace)).iter().sum()
    };
    let start = Instant::now();
    for chunk in 0..COUNT / 1_000 {
        let documents: Vec<String> = (0..1_000)
            .map(|number| {
                format!("({{'_id': '{:032x}', 'text': 'something that was there'}})", chunk * 1_000 + number)
            })
            .collect();
        run(&a.store, &format!("INSERT INTO c DOCUMENTS {}", documents.join(", ")));
    }
    let each = |what: &str, since: Instant| {
        let each = bytes(&a) / COUNT as u64;
        println!("{what}: {each} bytes each, {:.2} s", since.elapsed().as_secs_f64());
        each
    };
    let alive = each("inserted", start);
    let start = Instant::now();
    run(&a.store, "DELETE FROM c");
    let tombstone = each("deleted", start);
    let start = Instant::now();
    a.clock.advance(60 * DAY_MS);
    assert_eq!(reap(&a.store).buried, COUNT as u64);
    let grave = each("buried", start);
    assert!(grave < tombstone && tombstone < alive && grave < 110, "{alive}, {tombstone}, {grave}");
    assert_eq!(a.counts(), (0, 0, COUNT as u64));
    let b = Peer::new(2);
    let told = a.changes(Sequence::ZERO);
    let sent: usize = told.iter().map(|document| document.key.id.len() + document.delta.len()).sum();
    let start = Instant::now();
    b.receive(&a, told);
    let took = start.elapsed().as_secs_f64();
    println!("told to a peer that never had them: {} bytes each, {took:.2} s", sent / COUNT);
    assert_eq!(b.counts(), (0, 0, COUNT as u64));
    assert!(sent / COUNT < 60);
}

/// What is stored in a keyspace, keys and values.
fn content_bytes(storage: &dyn Storage, keyspace: Keyspace) -> u64 {
    let snapshot = storage.snapshot();
    let rows = snapshot.prefix(keyspace, &[], Direction::Forward);
    rows.map(|row| row.map(|(key, value)| (key.len() + value.len()) as u64).expect("reads")).sum()
}

/// Somebody who has raised the limit of what may be written.
fn unbounded(seed: u8) -> Peer {
    let peer = Peer::new(seed);
    run(&peer.store, "ALTER SYSTEM SET DOCUMENT_SIZE_HARD_LIMIT_BYTES = 1000000000");
    peer
}

/// A document of 40 MiB, there.
fn large(seed: u8) -> Peer {
    let peer = unbounded(seed);
    run(&peer.store, "INSERT INTO c DOCUMENTS ({'_id': 'd', 'small': 1})");
    let arguments = Object::from([("text", "x".repeat(40 << 20))]);
    let statement = format!("UPDATE c SET by{seed} = :text");
    peer.store.execute(&statement, &arguments).expect("as large as it likes");
    peer
}

/// What is not taken, and why.
fn refusals(to: &Peer, from: &Peer, documents: Vec<IncomingDocument>) -> Vec<Refused> {
    let applied = to.store.replica().apply(incoming(from, documents)).expect("applies");
    applied.outcomes.into_iter().filter_map(Result::err).collect()
}

fn fields(peer: &Peer) -> String {
    query(&peer.store, "SELECT object_keys(c) AS fields FROM c").concat()
}

#[test]
fn a_document_that_would_grow_beyond_what_can_travel_is_refused_and_its_removal_is_not() {
    let (a, b) = (large(1), large(2));
    let (from_a, from_b) = (a.changes(Sequence::ZERO), b.changes(Sequence::ZERO));
    let victim = unbounded(3);
    assert_eq!(refusals(&victim, &a, from_a.clone()), []);
    let before = fields(&victim);
    let refused = refusals(&victim, &b, from_b.clone());
    let [Refused::TooLarge(reason)] = &refused[..] else { panic!("80 MiB are taken: {refused:?}") };
    assert_eq!(reason, "the merged document has more than 64 MiB; divide it into several");
    let merged = victim.store.replica().merged_version(&from_b[0].key, &from_b[0].delta).expect("reads");
    assert_eq!(merged, Err(refused[0].clone()), "nor would they be");
    assert_eq!(fields(&victim), before, "what was there stays");
    assert_consistent(&victim.store);

    // A document that has become so large before there was a limit.
    let arguments = Object::from([("text", "y".repeat(30 << 20))]);
    a.store.execute("UPDATE c SET more = :text", &arguments).expect("nothing bounds it here");
    run(&victim.store, "UPDATE c SET later = 1");
    let grows = victim.changes(Sequence::ZERO);
    assert!(matches!(refusals(&a, &victim, grows)[..], [Refused::TooLarge(_)]), "it does not grow further");
    run(&victim.store, "UPDATE c UNSET small");
    let mut removal = victim.changes(Sequence::ZERO);
    let at = Sequence(victim.store.last_sequence().0 - 1);
    removal[0].delta =
        victim.store.replica().delta_since(&removal[0].key, at).expect("reads").expect("there").delta;
    assert_eq!(refusals(&a, &victim, removal), [], "but what is removed is");
    assert!(!fields(&a).contains("small"), "{}", fields(&a));
    run(&victim.store, "DELETE FROM c");
    assert_eq!(refusals(&a, &victim, victim.changes(Sequence::ZERO)), []);
    assert_eq!(show(&a), [""; 0], "and so is the deletion");
    assert_consistent(&a.store);
}

/// What only somebody who forges can send: the document with so many births that are living.
fn with_births(of: &Peer, births: u64) -> (Document, Vec<IncomingDocument>) {
    let mut changes = of.changes(Sequence::ZERO);
    let mut document = Document::new();
    document.merge(&Delta::decode(&changes[0].delta).expect("a delta"), Sequence(1));
    for number in 0..births {
        let birth = Birth { stamp: Stamp::new(Hlc(number + 1), SiteId(9)), run: RunId(9) };
        let mut born = Document::new();
        born.insert(&Object::new(), &Definitions::default(), birth, Sequence(1)).expect("a new birth");
        document.merge(&born.delta_since(Sequence::ZERO), Sequence(1));
    }
    changes[0].delta = document.canonical();
    changes[0].stated = document.version();
    (document, changes)
}

#[test]
fn attack_30_a_document_of_very_many_births_can_be_written_and_deleted_and_fills_no_memory() {
    const BIRTHS: u64 = 20_000;
    let (honest, victim) = (Peer::new(1), Peer::new(2));
    run(&honest.store, "INSERT INTO c DOCUMENTS ({'_id': 'd', 'x': 1})");
    let (mut document, forged) = with_births(&honest, BIRTHS);
    assert_eq!(refusals(&victim, &honest, forged.clone()), [], "it is not larger than others");
    let long = Object::from([("text", "x".repeat(10_000))]);
    for statement in [
        "UPDATE c SET x = :text",
        "INSERT INTO c DOCUMENTS ({'_id': 'd', 'x': :text}) ON ID CONFLICT DO UPDATE",
    ] {
        let error = victim.store.execute(statement, &long).expect_err("200 MB are not made").to_string();
        assert!(error.contains("inserted 20001 times") && error.contains("64 MiB"), "{error}");
    }
    assert_eq!(show(&victim), [r#"{"_id":"d","x":1}"#]);
    run(&victim.store, "UPDATE c SET x = 2");
    assert_eq!(show(&victim), [r#"{"_id":"d","x":2}"#]);
    assert_consistent(&victim.store);

    let mut deletion = forged;
    document.delete(Sequence(2));
    deletion[0].delta = document.delta_since(Sequence(1)).encode();
    deletion[0].stated = document.version();
    let foreseen =
        victim.store.replica().merged_version(&deletion[0].key, &deletion[0].delta).expect("reads");
    assert_eq!(foreseen, Ok(document.version()));
    assert_eq!(refusals(&victim, &honest, deletion), []);
    assert_eq!(show(&victim), [""; 0]);
    run(&victim.store, "INSERT INTO c DOCUMENTS ({'_id': 'd', 'x': 3})");
    victim.store.execute("UPDATE c SET x = :text", &long).expect("the new life is alone");
    assert_consistent(&victim.store);
}
