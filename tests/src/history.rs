//! What a writer of the kill tests writes: known from its name and the number of rounds alone, so that whatever
//! survives can be compared word for word.
//!
//! Round `n` inserts [`DOCUMENTS`] documents, and of those of round `n - 1` it edits the first and deletes the second.
//! Writing a round again changes nothing.

use std::collections::BTreeMap;

/// Documents that one round inserts, in one statement.
pub const DOCUMENTS: u64 = 50;

/// The `_id` of a document.
#[must_use]
pub fn id(writer: &str, number: u64) -> String {
    format!("{writer}{number:08}")
}

/// What document `number` says.
#[must_use]
pub fn text(number: u64) -> String {
    format!("what document {number} carries along")
}

/// The first document of a round.
#[must_use]
pub fn first(round: u64) -> u64 {
    round * DOCUMENTS
}

/// The documents of a writer after so many rounds, by `_id`, as JSON.
#[must_use]
pub fn after(writer: &str, rounds: u64) -> BTreeMap<String, String> {
    let mut documents = BTreeMap::new();
    for number in 0..first(rounds) {
        let is_edited = number % DOCUMENTS == 0 && number / DOCUMENTS + 1 < rounds;
        let is_deleted = number % DOCUMENTS == 1 && number / DOCUMENTS + 1 < rounds;
        let id = id(writer, number);
        let edited =
            if is_edited { format!("\"edited\":{},", number / DOCUMENTS + 1) } else { String::new() };
        if !is_deleted {
            // Members are sorted, as the database shows them.
            let text = text(number);
            let document = format!(r#"{{"_id":"{id}",{edited}"number":{number},"text":"{text}"}}"#);
            documents.insert(id, document);
        }
    }
    documents
}
