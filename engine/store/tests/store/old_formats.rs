//! Databases that earlier builds wrote, one for each format: they open for ever, and everything in them reads as it did.
//!
//! `tests/data/format-<n>/storage` is what was written, `shown.txt` what was read from it then. The directory of a new format is
//! written once, with `cargo test -p ditto-store --test store -- --ignored write_a_database_of_this_format`, and then never again.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ditto_crdt::{RunId, Sequence};
use ditto_storage::{DiskStorage, Keyspace, Storage};
use ditto_store::{FORMAT_VERSION, Incoming, Seen, Store};
use ditto_value::{Object, Value};

use crate::lifecycle::Peer;
use crate::support::{assert_consistent, open_in, query, restore, run};

const HOUR_MS: u64 = 3_600_000;

/// A peer of which something was seen, since format 2, and what.
const SOMEBODY: [u8; 32] = [7; 32];
const SEEN: Seen = Seen { run: RunId(5), sequence: Sequence(6), durable: Sequence(8) };

fn data(format: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/format-{format}"))
}

/// Values, kinds, lives, losses, indexes, runs and what is known of another peer.
fn written() -> Peer {
    let (a, b) = (Peer::new(1), Peer::new(2));
    let mut values = Object::new();
    for (name, value) in [
        ("_id", Value::from("values")),
        ("null", Value::Null),
        ("true", Value::from(true)),
        ("int", Value::from(-5)),
        ("large", Value::UInt(u64::MAX)),
        ("float", Value::from(2.0)),
        ("text", Value::from("Grüße 🌱")),
        ("bytes", Value::Bytes(vec![0, 255, 7])),
    ] {
        values.insert(name, value);
    }
    a.store
        .execute("INSERT INTO kinds DOCUMENTS (:values)", &Object::from([("values", Value::Object(values))]))
        .unwrap();
    for statement in [
        "INSERT INTO kinds DOCUMENTS ({'_id': {'x': 1, 'y': [true, null]}, 'map': {'deep': {'er': {}}, 'list': [1, {'a': 2}, []]}})",
        "INSERT INTO kinds INITIAL DOCUMENTS ({'_id': 'initial', 'n': 1})",
        "UPDATE kinds SET map.deep.er = 'overwritten', map.added = 1 WHERE _id.x = 1",
        "UPDATE kinds UNSET map.list WHERE _id.x = 1",
        "INSERT INTO COLLECTION counters (n COUNTER, p PN_COUNTER) DOCUMENTS ({'_id': 1, 'n': 5, 'p': 1.5})",
        "UPDATE COLLECTION counters (n COUNTER, p PN_COUNTER) APPLY n INCREMENT BY 3, p PN_INCREMENT BY -0.5",
        "CREATE INDEX by_both ON indexed (a DESC, n.m)",
        "CREATE INDEX by_text ON indexed (text)",
        "INSERT INTO lives DOCUMENTS ({'_id': 'twice', 'life': 1}), ({'_id': 'buried'}), ({'_id': 'lost', 'x': 1})",
        "DELETE FROM lives WHERE _id = 'twice'",
        "INSERT INTO lives DOCUMENTS ({'_id': 'twice', 'life': 2})",
    ] {
        run(&a.store, statement);
    }
    for id in 0..40 {
        let text = if id % 10 == 0 { "long ".repeat(300) } else { format!("text {id}") };
        run(
            &a.store,
            &format!(
                "INSERT INTO indexed DOCUMENTS ({{'_id': {id}, 'a': {}, 'n': {{'m': {}}}, 'text': '{text}'}})",
                id % 7,
                id % 3
            ),
        );
    }
    // Both write `mixed` in another kind, and `lost` is deleted by one and changed by the other.
    b.receive(&a, a.changes(Sequence(0)));
    run(
        &a.store,
        "INSERT INTO kinds DOCUMENTS ({'_id': 'mixed', 'v': 'a register'}) ON ID CONFLICT DO UPDATE",
    );
    run(
        &b.store,
        "INSERT INTO COLLECTION kinds (v COUNTER) DOCUMENTS ({'_id': 'mixed', 'v': 7}) ON ID CONFLICT DO UPDATE",
    );
    run(&a.store, "UPDATE lives SET x = 'not seen by the other one' WHERE _id = 'lost'");
    run(&b.store, "DELETE FROM lives WHERE _id IN ('lost', 'buried')");
    a.greet(&b);
    a.serve(&b, "SELECT * FROM lives", 1);
    a.receive(&b, b.changes(Sequence(0)));
    a.acknowledged(&b, 1, Vec::new());
    run(&a.store, "ALTER SYSTEM SET tombstone_ttl_hours = 1");
    let _ = a.after(30 * HOUR_MS);
    let told = Incoming {
        from: SOMEBODY,
        origin: 7,
        documents: Vec::new(),
        checkpoints: Vec::new(),
        seen: Some(SEEN),
        evictions: None,
    };
    a.store.replica().apply(told).unwrap();
    // Not buried yet.
    run(&a.store, "INSERT INTO lives DOCUMENTS ({'_id': 'dead'})");
    run(&a.store, "DELETE FROM lives WHERE _id = 'dead'");
    let image = a.storage.clone().snapshot();
    a.restored(&*image)
}

/// Everything that can be seen of the database.
fn shown(store: &Store) -> String {
    let mut text = String::new();
    for statement in [
        "SELECT * FROM kinds ORDER BY _id",
        "SELECT * FROM COLLECTION kinds (v COUNTER) WHERE _id = 'mixed'",
        "SELECT * FROM COLLECTION counters (n COUNTER, p PN_COUNTER)",
        "SELECT * FROM lives ORDER BY _id",
        "SELECT _id, a, n FROM indexed WHERE a > 2 ORDER BY a DESC, n.m LIMIT 20",
        "SELECT _id FROM indexed WHERE text >= 'long' AND text < 'text 2' ORDER BY text",
        "SELECT collection, document, fields, set_aside FROM system:conflicts",
        "SELECT * FROM system:indexes ORDER BY _id",
    ] {
        text += &format!("{statement}\n");
        query(store, statement).iter().for_each(|row| text += &format!("  {row}\n"));
    }
    let found = store.verify().unwrap();
    text += &format!(
        "{} documents, {} tombstones, {} graves, {} conflicts\n",
        found.documents, found.tombstones, found.graves, found.conflicts
    );
    text
}

#[test]
#[ignore = "writes the database of a new format, once"]
fn write_a_database_of_this_format() {
    let directory = data(FORMAT_VERSION);
    fs::create_dir_all(&directory).unwrap();
    let storage = directory.join("storage");
    assert!(
        !storage.exists(),
        "{} exists; a format that was released is never written again",
        storage.display()
    );
    let peer = written();
    let disk = DiskStorage::open(&storage).unwrap();
    restore(&*peer.storage.snapshot(), &disk);
    disk.close().unwrap();
    drop(disk);
    for entry in fs::read_dir(storage.join("storage")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "jnl") {
            // Without the room for more.
            let used =
                fs::read(&path).unwrap().iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            OpenOptions::new().write(true).open(path).unwrap().set_len(used as u64).unwrap();
        }
    }
    fs::write(directory.join("shown.txt"), shown(&peer.store)).unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, target).unwrap();
        }
    }
}

fn row_of_format(storage: &dyn Storage) -> Vec<u8> {
    storage.get(Keyspace::Catalog, b"format").unwrap().unwrap().to_vec()
}

fn opens_for_ever(format: u32) {
    let original = data(format);
    let expected = fs::read_to_string(original.join("shown.txt")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    copy(&original.join("storage"), directory.path());
    for opening in 0..3 {
        let storage: Arc<dyn Storage> = Arc::new(DiskStorage::open(directory.path()).unwrap());
        let written_by = if opening == 0 { format } else { FORMAT_VERSION };
        assert_eq!(row_of_format(&*storage), [&b"ditto"[..], &written_by.to_be_bytes()].concat());
        let store = open_in(Arc::clone(&storage), 9);
        assert_eq!(row_of_format(&*storage), [&b"ditto"[..], &FORMAT_VERSION.to_be_bytes()].concat());
        assert_eq!(
            store.replica().remembered(&SOMEBODY).unwrap(),
            if format < 2 { vec![] } else { vec![SEEN] }
        );
        assert_eq!(shown(&store), expected, "opening {opening}");
        assert_consistent(&store);
        // It can be written to: every document is read and written anew, and what was written is taken back.
        run(&store, "UPDATE kinds SET written = true");
        run(&store, "UPDATE indexed SET a = a + 1");
        run(&store, "UPDATE indexed SET a = a - 1");
        run(&store, "UPDATE kinds UNSET written");
        assert_eq!(shown(&store), expected, "after writing, opening {opening}");
        assert_consistent(&store);
        store.close().unwrap();
    }
}

#[test]
fn a_database_of_format_1_opens_for_ever() {
    opens_for_ever(1);
}

#[test]
fn a_database_of_format_2_opens_for_ever() {
    opens_for_ever(2);
}
