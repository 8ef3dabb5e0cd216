//! Batches that are applied as one, because a document of the first is told as it was when the last was told.

use crate::model::{Model, document_key};
use crate::net::int;
use crate::plants::PLANTS;
use crate::victim::{BAD, QUESTION, Victim, bytes, message, number, subscribed};
use ditto_crdt::Sequence;
use ditto_replication::limits::WORK_MS;
use ditto_replication::{DocumentKey, Replica};

const REST: u8 = 10;

/// What the author has of a document after a sequence.
fn delta(author: &Model, key: &DocumentKey, after: u64) -> (Vec<u8>, [u8; 16]) {
    let part = author.delta_since(key, Sequence(after)).expect("a model").expect("it is there");
    (part.delta, part.version.0.to_le_bytes())
}

/// A document of a batch as its author has it: the whole, or what came after a sequence.
fn document(author: &Model, key: &DocumentKey, id: &[u8], after: u64, before: Option<[u8; 16]>) -> Vec<u8> {
    let (delta, version) = delta(author, key, after);
    let before = before.map(|before| bytes(3, &before)).unwrap_or_default();
    let is_whole = number(7, u64::from(after == 0));
    bytes(2, &[number(1, 1), bytes(2, id), before, bytes(4, &version), bytes(5, &delta), is_whole].concat())
}

fn batch(number_of_batch: u64, end: u64, documents: &[Vec<u8>]) -> Vec<u8> {
    let end = [number(1, 1), bytes(2, &[7; 8]), number(3, end), number(4, 1)].concat();
    message(6, &[number(1, number_of_batch), documents.concat(), bytes(3, &end)])
}

/// The first question is answered with the whole document, which has changed once more as the publisher was there.
fn answer(author: &Model, key: &DocumentKey, newest: u64) -> Vec<u8> {
    let (delta, version) = delta(author, key, 0);
    message(REST, &[number(1, 1), bytes(2, &version), bytes(3, &delta), number(6, newest)])
}

/// The documents that were asked about, by what has been sent since.
fn asked_about(victim: &mut Victim) -> Vec<Vec<u8>> {
    let names = [b"fern".as_slice(), b"moss"];
    let questions = victim.sent().into_iter().filter(|sent| sent[0] == QUESTION);
    let named = |sent: Vec<u8>| {
        names.iter().find(|name| sent.windows(4).any(|part| part == **name)).map(|name| name.to_vec())
    };
    questions.filter_map(named).collect()
}

#[test]
fn a_document_by_its_name_and_by_its_hash_are_not_taken_in_one_commit() {
    let (fern, moss) = (document_key("plants", "fern"), document_key("plants", "moss"));
    let mut author = Model::new(3);
    author.insert(1_000, "plants", "moss", &[("light", int(1))]);
    author.insert(1_000, "plants", "fern", &[("light", int(1))]);
    let by_name = document(&author, &fern, &fern.id, 0, None);
    author.delete(1_000, "plants", "fern");
    let hash = [&[0][..], &blake3::hash(&fern.id).as_bytes()[..16]].concat();
    let by_hash = document(&author, &fern, &hash, 0, None);
    // What waits for an answer, which is as new as the second batch.
    let waits = document(&author, &moss, &moss.id, u64::MAX, Some([1; 16]));
    for [first, second] in [[&by_name, &by_hash], [&by_hash, &by_name]] {
        let mut victim = subscribed();
        victim.receive(&batch(1, 5, &[waits.clone(), first.clone()]));
        victim.receive(&batch(2, 9, std::slice::from_ref(second)));
        assert_eq!(asked_about(&mut victim), [b"moss"]);
        victim.receive(&answer(&author, &moss, 9));
        assert_eq!((victim.failure(), victim.model.count()), (None, 4));
        let last = victim.model.last_sequence();
        assert_eq!(victim.model.commit_of(last), Ok((last, last)), "the second batch is a commit of its own");
    }
}

/// How a batch tells a document.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Told {
    /// The whole state.
    Whole,
    /// What came after the batch before.
    Onward,
    /// What came after something that was never told.
    WithGap,
    /// The same, and it is not held any more when it is asked about.
    Lost,
}

/// One who holds a fern of its own, which is told what the author has of it: at first, in a batch with something that waits for an
/// answer, and in the next one. The answer has come, and the two are about to be applied as one.
fn about_to_apply(first: Told, second: Told) -> Victim {
    let (fern, moss) = (document_key("plants", "fern"), document_key("plants", "moss"));
    let mut victim = subscribed();
    victim.model.insert(1_000, "plants", "fern", &[("rings", int(1))]);
    victim.model.insert(1_000, "trees", "oak", &[("rings", int(1))]);
    // The author gets all of it, and is not asked what it lacks.
    let interest = [number(1, 1), bytes(2, PLANTS.as_bytes())].concat();
    victim.receive(&message(2, &[number(1, 1), bytes(2, &interest)]));
    let mut author = Model::new(3);
    let told = |author: &mut Model, told: Told, field: &str| {
        let before = |author: &Model| (author.last_sequence().0, delta(author, &fern, 0).1);
        let (mut after, mut version) = before(author);
        if matches!(told, Told::WithGap | Told::Lost) {
            author.set(1_000, "plants", "fern", "gap", 1);
            (after, version) = before(author);
        }
        author.set(1_000, "plants", "fern", field, 1);
        match told {
            Told::Whole => document(author, &fern, &fern.id, 0, None),
            Told::Onward | Told::WithGap | Told::Lost => {
                document(author, &fern, &fern.id, after, Some(version))
            }
        }
    };
    author.insert(1_000, "plants", "moss", &[("light", int(1))]);
    author.insert(1_000, "plants", "fern", &[("light", int(1))]);
    victim.receive(&batch(1, 2, &[document(&author, &fern, &fern.id, 0, None)]));
    let waits = document(&author, &moss, &moss.id, u64::MAX, Some([1; 16]));
    victim.receive(&batch(2, 5, &[waits, told(&mut author, first, "first")]));
    victim.receive(&batch(3, 9, &[told(&mut author, second, "second")]));
    if first == Told::Lost {
        assert_eq!(asked_about(&mut victim), [b"moss", b"fern"]);
        victim.receive(&message(REST, &[number(1, 2)]));
    } else {
        assert_eq!(asked_about(&mut victim), [b"moss"]);
    }
    // The call ends with the first look at what becomes of a document.
    victim.model.merge_ms = WORK_MS;
    victim.replicator.receive(BAD, &answer(&author, &moss, 9), &mut victim.model, 1_000);
    assert_eq!(victim.replicator.mechanisms().joined, 1);
    assert!(victim.model.visible("plants", "moss").is_none(), "it is not applied");
    victim
}

#[test]
fn what_is_joined_is_asked_about_only_where_it_may_have_a_gap() {
    use Told::{Lost, Onward, Whole, WithGap};
    for (first, second, evicts, asks) in [
        (Whole, Onward, false, false),
        (Whole, Onward, true, false),
        (Whole, WithGap, false, true),
        (Whole, WithGap, true, true),
        (Onward, Whole, false, false),
        (Onward, Whole, true, false),
        (Onward, Onward, false, false),
        // Its base may be what was evicted.
        (Onward, Onward, true, true),
        (Lost, Onward, false, true),
        (Lost, Whole, false, false),
    ] {
        let mut victim = about_to_apply(first, second);
        let before = victim.model.last_sequence();
        if evicts {
            victim.model.evict("trees", "oak");
            victim.replicator.committed(&mut victim.model, 1_000);
        }
        while victim.replicator.next_timeout().is_some_and(|due| due <= 1_000) {
            victim.replicator.tick(&mut victim.model, 1_000);
        }
        let asked = asked_about(&mut victim);
        let has_both = ["first", "second", "rings"]
            .iter()
            .all(|field| victim.model.field("plants", "fern", field) == Some(int(1)));
        let is_whole = asked.is_empty() && has_both;
        let waits = asked == [b"fern"] && !has_both;
        assert!(
            if asks { waits } else { is_whole },
            "{first:?}, {second:?}, {evicts}: {asked:?}, {has_both}"
        );
        let last = victim.model.last_sequence();
        let commit = if asks { (last, last) } else { (Sequence(before.0 + 1), last) };
        assert_eq!(victim.model.commit_of(last), Ok(commit));
        assert_eq!(victim.failure(), None);
    }
}
