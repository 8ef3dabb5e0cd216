//! Batches that are applied as one, because a document of the first is told as it was when the last was told.

use crate::model::{Model, document_key};
use crate::net::int;
use crate::victim::{QUESTION, Victim, bytes, message, number, subscribed};
use ditto_crdt::Sequence;
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
