//! Records: what is read from a disk that may be damaged.

use std::collections::HashSet;

use ditto_crdt::{Definitions, Delta, Hlc, Record, Sequence, SiteId, Stamp, record as records};
use ditto_value::Value;

/// A stored record.
pub fn record(data: &[u8]) {
    let Ok(stored) = Record::parse(data) else { return };
    let id = Value::from("p1");
    let _ = (stored.is_plain(), stored.newest_stamp(), stored.value.to_value());
    let stamp = Stamp::new(Hlc::from_millis(1 << 40), SiteId(1));
    for name in ["name", "_id", ""] {
        for value in [Value::from(1), Value::from("text"), Value::Array(vec![Value::Null])] {
            if let Ok(Some(assigned)) = stored.assign(name, &value, stamp, Sequence(99)) {
                let assigned = Record::parse(&assigned).expect("it was written just now");
                let _ = (assigned.document().map(drop), assigned.value.to_value());
            }
        }
    }
    let since = Sequence(stored.newest_sequence.0.saturating_sub(1));
    for after in [Sequence::ZERO, since, Sequence(u64::MAX)] {
        if let Ok(delta) = stored.delta_since(after) {
            let _ = Delta::decode(&delta);
        }
    }
    let Ok(mut document) = stored.document() else { return };
    let _ = document.visible(&id, &Definitions::default());
    let _ = document.visible(&id, &Definitions::new(true));
    let known: HashSet<u128> = document.entry_hashes().into_iter().take(3).collect();
    let _ = document.delta_lacking(&known).encode();
    let encoded = records::encode(&document, &id);
    let again = Record::parse(&encoded).expect("it was written just now");
    let again = again.document().expect("it was written just now");
    assert_eq!(records::encode(&again, &id), encoded, "a record does not read back");
    let delta = document.delta_since(Sequence::ZERO);
    document.merge(&delta, Sequence(stored.newest_sequence.0.saturating_add(1)));
    document.delete(Sequence(u64::MAX));
    let _ = records::encode(&document, &id);
}
