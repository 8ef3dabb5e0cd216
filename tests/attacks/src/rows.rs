//! Rows of a database that are not what was written.

use std::sync::Arc;

use ditto_crdt::Sequence;
use ditto_storage::{Bytes, Keyspace, Snapshot, Storage};
use ditto_store::{DocumentKey, Incoming, IncomingDocument, Store};
use ditto_value::Object;

use crate::database::{self, Row};
use crate::input::Input;

/// How much damage one input does.
const MAX_DAMAGE: usize = 16;

/// Damage to the rows of a small database: each time a byte that says what, then what it needs.
pub fn rows(data: &[u8]) {
    let mut input = Input(data);
    let mut rows: Vec<Row> = database::prototype().to_vec();
    for _ in 0..MAX_DAMAGE {
        if input.is_empty() || rows.is_empty() {
            break;
        }
        damage(&mut input, &mut rows);
    }
    let storage = database::storage(&rows);
    let Ok(store) = database::open(storage.clone(), 3) else { return };
    read(&store, &*storage.snapshot());
    write(&store);
    // An error is an answer.
    let _ = store.verify();
}

fn damage(input: &mut Input<'_>, rows: &mut Vec<Row>) {
    let what = input.byte();
    let index = usize::from(input.byte()) % rows.len();
    let Some(row) = rows.get_mut(index) else { return };
    match what % 8 {
        0 | 1 => {
            // A byte of the value.
            let (place, bits) = (input.number(), input.byte());
            row.2 = changed(&row.2, place, bits);
        }
        2 => {
            // A byte of the key.
            let (place, bits) = (input.number(), input.byte());
            row.1 = changed(&row.1, place, bits);
        }
        3 => row.2 = Bytes::from(input.slice()),
        4 => {
            let length = input.number() % (row.2.len() + 1);
            row.2 = Bytes::from(row.2.get(..length).unwrap_or_default());
        }
        5 => drop(rows.remove(index)),
        6 => {
            // The value of another row.
            let other = usize::from(input.byte()) % rows.len();
            let value = rows.get(other).map(|other| other.2.clone());
            if let (Some(row), Some(value)) = (rows.get_mut(index), value) {
                row.2 = value;
            }
        }
        _ => {
            let keyspace = Keyspace::ALL[usize::from(input.byte()) % Keyspace::ALL.len()];
            let (key, value) = (input.slice(), input.slice());
            if !key.is_empty() {
                rows.push((keyspace, Bytes::from(key), Bytes::from(value)));
            }
        }
    }
}

fn changed(bytes: &Bytes, place: usize, bits: u8) -> Bytes {
    let mut bytes = bytes.to_vec();
    if let Some(length) = bytes.len().checked_sub(1) {
        bytes[place.min(length)] ^= bits;
    }
    Bytes::from(bytes)
}

fn read(store: &Store, snapshot: &dyn Snapshot) {
    for statement in [
        "SELECT * FROM plants",
        "SELECT * FROM plants WHERE care.light > 6 OR name LIKE '%o%' ORDER BY height DESC LIMIT 3",
        "SELECT * FROM plants WHERE _id IN [1, 'b', 3, [1, true], {'a': 1}]",
        "SELECT COUNT(*) AS n, SUM(height) AS s FROM plants GROUP BY name",
        "SELECT * FROM pots",
        "SELECT * FROM COLLECTION plants (rings COUNTER, mass PN_COUNTER, care REGISTER)",
    ] {
        if let Ok(result) = store.execute(statement, &Object::new()) {
            result.rows.iter().for_each(|row| drop(row.value().to_json()));
        }
    }
    let replica = store.replica();
    let _ = (
        store.runs(),
        store.collections(),
        replica.remembered(&[1; 32]),
        replica.checkpoint(&[1; 32], &[2; 16]),
    );
    let _ = replica.commit_of(Sequence(1));
    for change in replica.changes(Sequence::ZERO, Sequence(u64::MAX), 100).unwrap_or_default() {
        exchange(store, &change.key);
    }
    for row in snapshot.prefix(Keyspace::Documents, &[], ditto_storage::Direction::Forward) {
        let (key, _) = row.expect("memory can be read");
        let id = key.get(4..).unwrap_or_default().into();
        exchange(store, &DocumentKey { collection: Arc::from("plants"), id });
    }
}

/// Everything that replication asks about one document, and the answer merged into it.
fn exchange(store: &Store, key: &DocumentKey) {
    let replica = store.replica();
    if let Ok(Some(document)) = replica.document(key) {
        let _ = document.value().map(|value| value.to_json());
    }
    let (_, hashes) = replica.entry_hashes(key).unwrap_or_default();
    let _ = replica.delta_lacking(key, &hashes);
    let Ok(Some(excerpt)) = replica.delta_since(key, Sequence::ZERO) else { return };
    let _ = replica.merged_version(key, &excerpt.delta);
    let document = IncomingDocument { key: key.clone(), delta: excerpt.delta, stated: excerpt.version };
    let from = [1; 32];
    let _ = replica.apply(Incoming {
        from,
        origin: 1,
        documents: vec![document],
        checkpoints: Vec::new(),
        seen: None,
        evictions: None,
    });
}

fn write(store: &Store) {
    for statement in [
        "UPDATE plants SET care.light = 1, name = 'x'",
        "UPDATE plants APPLY rings INCREMENT BY 1",
        "UPDATE plants APPLY mass PN_INCREMENT BY 1",
        "UPDATE plants UNSET care",
        "INSERT INTO plants DOCUMENTS ({'_id': 1, 'care': {'light': 1}}), ({'_id': 'new'}) ON ID CONFLICT DO UPDATE",
        "INSERT INTO more DOCUMENTS ({'_id': 1})",
        "EVICT FROM plants WHERE _id = 1",
        "DELETE FROM plants",
    ] {
        let _ = store.execute(statement, &Object::new());
    }
    let _ = store.begin_run(true);
}
