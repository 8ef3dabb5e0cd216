//! Whole peers and their directories: copied, backed up, taken away, closed by many at once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use ditto_peer::{Peer, PeerError};
use ditto_storage::StorageError;
use ditto_store::{BackupError, StoreError, TransactionKind};
use ditto_value::{Object, Value};
use support::{PATIENCE, await_that, connect, execute, listen, open};

fn await_rows(peer: &Peer, query: &str, rows: usize) {
    await_that(peer, query, |found| found.len() == rows);
}

/// Lets two peers that want everything meet, checks that each gets what the other wrote, and that they end up equal.
fn sync_both_ways(one: &Peer, other: &Peer, before: usize) {
    for (peer, name) in [(one, "one"), (other, "other")] {
        peer.subscribe("SELECT * FROM c", Object::new()).unwrap();
        execute(peer, &format!("INSERT INTO c DOCUMENTS ({{'_id': '{name}'}})"));
    }
    execute(one, "UPDATE c APPLY n INCREMENT BY 1 WHERE _id = 'counted'");
    execute(other, "UPDATE c APPLY n INCREMENT BY 1 WHERE _id = 'counted'");
    connect(other, &listen(one));
    for peer in [one, other] {
        await_rows(peer, "SELECT * FROM c", before + 2);
        await_rows(peer, "SELECT * FROM c WHERE n = 3", 1);
        assert!(peer.store().verify().unwrap().is_consistent());
    }
    let all = "SELECT * FROM c ORDER BY _id";
    assert_eq!(execute(one, all), execute(other, all));
}

fn filled(directory: &Path) -> Peer {
    let peer = open(directory);
    execute(&peer, "INSERT INTO c DOCUMENTS ({'_id': 'counted'})");
    execute(&peer, "UPDATE c APPLY n INCREMENT BY 1");
    peer
}

#[test]
fn a_copied_directory_is_a_peer_of_its_own_and_syncs_with_its_original() {
    let root = tempfile::tempdir().unwrap();
    let (home, copy) = (root.path().join("home"), root.path().join("copy"));
    let original = filled(&home);
    let (key, site) = (original.peer_key(), original.store().site());
    original.close();
    drop(original);
    assert!(Command::new("cp").arg("-a").arg(&home).arg(&copy).status().unwrap().success());
    let copied = open(&copy);
    let (copied_key, copied_site) = (copied.peer_key(), copied.store().site());
    assert!(copied_key != key && copied_site != site);
    let original = open(&home);
    assert_eq!((original.peer_key(), original.store().site()), (key, site));
    sync_both_ways(&original, &copied, 1);
    drop(copied);
    let copied = open(&copy);
    assert_eq!((copied.peer_key(), copied.store().site()), (copied_key, copied_site), "it stays what it is");
}

/// Makes the files in `directory` those of `image`; the directory itself stays what it was.
fn put_back(image: &Path, directory: &Path) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }.unwrap();
    }
    let copied = Command::new("cp").arg("-a").arg(image.join(".")).arg(directory).status().unwrap();
    assert!(copied.success());
}

#[test]
fn attack_11_a_directory_that_is_restored_in_place_is_noticed_and_everybody_ends_equal() {
    let root = tempfile::tempdir().unwrap();
    let (home, image) = (root.path().join("home"), root.path().join("image"));
    let (witness, stranger) = (open(&root.path().join("witness")), open(&root.path().join("stranger")));
    for peer in [&witness, &stranger] {
        peer.subscribe("SELECT * FROM c", Object::new()).unwrap();
    }
    let peer = filled(&home);
    execute(&peer, "INSERT INTO c DOCUMENTS ({'_id': 'doomed'})");
    let (key, site) = (peer.peer_key(), peer.store().site());
    peer.subscribe("SELECT * FROM c", Object::new()).unwrap();
    connect(&witness, &listen(&peer));
    await_rows(&witness, "SELECT * FROM c WHERE n = 1 OR _id = 'doomed'", 2);
    peer.close();
    drop(peer);
    assert!(Command::new("cp").arg("-a").arg(home.join("store")).arg(&image).status().unwrap().success());

    // What is lost with the image, but for those who have seen it.
    let peer = open(&home);
    peer.subscribe("SELECT * FROM c", Object::new()).unwrap();
    execute(&peer, "INSERT INTO c DOCUMENTS ({'_id': 'lost'})");
    execute(&peer, "UPDATE c APPLY n INCREMENT BY 5 WHERE _id = 'counted'");
    connect(&witness, &listen(&peer));
    await_rows(&witness, "SELECT * FROM c WHERE _id = 'lost' OR n = 6", 2);
    // And what the witness knows that it holds.
    execute(&witness, "UPDATE c SET written = true WHERE _id = 'doomed'");
    let commit = witness.store().last_sequence().0;
    let told = format!(
        "SELECT * FROM system:data_sync_info WHERE documents.synced_up_to_local_commit_id >= {commit}"
    );
    await_rows(&witness, &told, 1);
    // The peer may get the same port again.
    witness.stop_sync();
    peer.close();
    drop(peer);
    put_back(&image, &home.join("store"));

    let peer = open(&home);
    assert!(!peer.store().is_copy(), "it looks as if nothing had happened");
    assert_eq!((peer.peer_key(), peer.store().site()), (key, site));
    peer.subscribe("SELECT * FROM c", Object::new()).unwrap();
    // More than what was lost.
    for id in 0..5 {
        execute(&peer, &format!("INSERT INTO c DOCUMENTS ({{'_id': {id}}})"));
    }
    execute(&peer, "UPDATE c APPLY n INCREMENT BY 3 WHERE _id = 'counted'");
    execute(&peer, "DELETE FROM c WHERE _id = 'doomed'");
    let address = listen(&peer);
    connect(&stranger, &address);
    await_rows(&stranger, "SELECT * FROM c WHERE n = 4", 1);
    assert_eq!(peer.store().site(), site, "the stranger has seen nothing else");

    connect(&witness, &address);
    for other in [&peer, &witness, &stranger] {
        await_rows(other, "SELECT * FROM c", 7);
        await_rows(other, "SELECT * FROM c WHERE n = 9", 1);
    }
    assert_ne!(peer.store().site(), site);
    // The deletion is of a history that did not have what was written.
    await_rows(&witness, "SELECT * FROM system:conflicts WHERE document = 'doomed'", 1);
    execute(&peer, "INSERT INTO c DOCUMENTS ({'_id': 'again'})");
    execute(&witness, "UPDATE c APPLY n INCREMENT BY 1 WHERE _id = 'counted'");
    let all = "SELECT * FROM c ORDER BY _id";
    for other in [&peer, &witness, &stranger] {
        await_rows(other, "SELECT * FROM c WHERE _id = 'again' OR n = 10", 2);
        assert_eq!(execute(other, all), execute(&peer, all));
        assert!(other.store().verify().unwrap().is_consistent());
    }
}

#[test]
fn a_moved_directory_is_the_same_peer() {
    let root = tempfile::tempdir().unwrap();
    let (home, moved) = (root.path().join("home"), root.path().join("moved"));
    let peer = filled(&home);
    let (key, site) = (peer.peer_key(), peer.store().site());
    drop(peer);
    std::fs::rename(&home, &moved).unwrap();
    let peer = open(&moved);
    assert_eq!((peer.peer_key(), peer.store().site()), (key, site));
}

#[test]
fn a_backup_is_a_peer_of_its_own_and_syncs_with_its_original() {
    let root = tempfile::tempdir().unwrap();
    let (home, target) = (root.path().join("home"), root.path().join("below/backup"));
    let original = filled(&home);
    let mut calls = 0;
    let progress = original.backup(&target, &mut |_| {
        calls += 1;
        ControlFlow::Continue(())
    });
    assert_eq!((progress.unwrap().documents, calls), (1, 1));
    execute(&original, "INSERT INTO c DOCUMENTS ({'_id': 'after'})");
    let again = original.backup(&target, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(again, Err(PeerError::Backup(BackupError::NotEmpty))), "{again:?}");

    let restored = open(&target);
    assert!(restored.peer_key() != original.peer_key() && restored.store().site() != original.store().site());
    assert_eq!(execute(&restored, "SELECT * FROM c").len(), 1);
    sync_both_ways(&original, &restored, 2);
}

#[test]
fn a_backup_that_fails_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let peer = filled(&root.path().join("home"));
    let filling = "x".repeat(1_500_000);
    execute(&peer, &format!("INSERT INTO c DOCUMENTS ({{'_id': 2, 'filling': '{filling}'}})"));
    let target = root.path().join("target");
    let cancelled = peer.backup(&target, &mut |_| ControlFlow::Break(()));
    assert!(matches!(cancelled, Err(PeerError::Backup(BackupError::Cancelled))), "{cancelled:?}");
    assert!(!target.exists());
    std::fs::create_dir(&target).unwrap();
    peer.backup(&target, &mut |_| ControlFlow::Break(())).unwrap_err();
    assert_eq!(std::fs::read_dir(&target).unwrap().count(), 0);
    let file = root.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = peer.backup(&file, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(error, PeerError::Directory { .. }), "{error}");
    peer.close();
    let error = peer.backup(&target, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(error, PeerError::Backup(BackupError::Source(StoreError::Closed))), "{error}");
}

#[test]
fn a_directory_that_goes_and_comes_back_stops_sync_and_lets_it_go_on() {
    let root = tempfile::tempdir().unwrap();
    let (home, away) = (root.path().join("home"), root.path().join("away"));
    let (peer, other) = (open(&home), open(&root.path().join("other")));
    for peer in [&peer, &other] {
        peer.subscribe("SELECT * FROM c", Object::new()).unwrap();
    }
    connect(&peer, &listen(&other));
    execute(&peer, "INSERT INTO c DOCUMENTS ({'_id': 1})");
    await_rows(&other, "SELECT * FROM c", 1);

    std::fs::rename(&home, &away).unwrap();
    let begin = Instant::now();
    let error = loop {
        assert!(begin.elapsed() < PATIENCE, "nobody notices");
        if let Err(error) = peer.store().execute("UPDATE c SET x = 1", &Object::new()) {
            break error;
        }
    };
    let StoreError::Storage(error) = error else { panic!("{error}") };
    assert!(matches!(error.root(), StorageError::DirectoryRemoved { .. }), "{error}");
    assert_eq!(execute(&peer, "SELECT _id FROM c").len(), 1, "what is in memory can be read");
    // The one that is well goes on meanwhile.
    execute(&other, "INSERT INTO c DOCUMENTS ({'_id': 2})");
    while peer.is_sync_active() {
        assert!(begin.elapsed() < PATIENCE, "sync does not stop");
        thread::yield_now();
    }
    let refused = peer.start_sync().unwrap_err();
    assert!(matches!(refused, PeerError::Store(StoreError::Storage(_))), "{refused}");

    std::fs::rename(&away, &home).unwrap();
    await_rows(&peer, "SELECT * FROM c", 2);
    assert!(peer.is_sync_active());
    execute(&peer, "INSERT INTO c DOCUMENTS ({'_id': 3})");
    await_rows(&other, "SELECT * FROM c", 3);
    assert!(peer.store().verify().unwrap().is_consistent());
    peer.close();
    let again = open(&home);
    assert_eq!(execute(&again, "SELECT * FROM c").len(), 3);
}

#[test]
fn a_storage_that_does_not_come_back_does_not_keep_the_peer_from_closing() {
    let root = tempfile::tempdir().unwrap();
    let home = root.path().join("home");
    let peer = open(&home);
    std::fs::remove_dir_all(&home).unwrap();
    let begin = Instant::now();
    while peer.store().execute("INSERT INTO c DOCUMENTS ({})", &Object::new()).is_ok() {
        assert!(begin.elapsed() < PATIENCE, "nobody notices");
    }
    peer.close();
    drop(peer);
    assert_eq!(execute(&open(&home), "SELECT * FROM c").len(), 0);
}

#[test]
fn whoever_closes_returns_when_it_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..5 {
        let peer = open(directory.path());
        execute(&peer, "INSERT INTO c DOCUMENTS ({'x': 1})");
        let opened: usize = thread::scope(|scope| {
            let threads: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(|| {
                        peer.close();
                        // Free, or in the hands of another one of these.
                        let store = directory.path().join("store");
                        usize::from(ditto_storage::DiskStorage::open(store).is_ok())
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert!(opened > 0, "closed, and still locked");
        assert!(matches!(peer.store().execute("SELECT * FROM c", &Object::new()), Err(StoreError::Closed)));
    }
}

#[test]
fn sync_may_be_told_things_inside_of_a_transaction_that_it_waits_for() {
    let root = tempfile::tempdir().unwrap();
    let (peer, other) = (open(&root.path().join("one")), open(&root.path().join("other")));
    peer.subscribe("SELECT * FROM c", Object::new()).unwrap();
    execute(&other, "INSERT INTO c DOCUMENTS ({'_id': 0})");
    connect(&peer, &listen(&other));
    await_rows(&peer, "SELECT * FROM c", 1);
    let transaction = peer.store().begin(TransactionKind::ReadWrite).unwrap();
    let sent = || {
        execute(&other, "SELECT bytes_sent FROM system:data_sync_info")[0].get("bytes_sent").unwrap().as_i64()
    };
    let before = sent();
    // Does not become much shorter by packing.
    let filling: String =
        (0..5_000_u32).map(|number| format!("{:04x}", number.wrapping_mul(40_503) & 0xFFFF)).collect();
    execute(&other, &format!("INSERT INTO c DOCUMENTS ({{'_id': 1, 'filling': '{filling}'}})"));
    let begin = Instant::now();
    // From then on the sync thread has something to write, and waits.
    while sent() < before.map(|before| before + 10_000) {
        assert!(begin.elapsed() < PATIENCE, "nothing is sent");
        thread::yield_now();
    }
    transaction.inside(|| {
        peer.subscribe("SELECT * FROM d", Object::new()).unwrap();
        peer.stop_sync();
        assert!(!peer.is_sync_active());
        peer.start_sync().unwrap();
    });
    assert_eq!(execute(&peer, "SELECT * FROM c").len(), 1);
    transaction.commit().unwrap();
    await_rows(&peer, "SELECT * FROM c", 2);
    execute(&other, "INSERT INTO d DOCUMENTS ({'_id': 1})");
    await_rows(&peer, "SELECT * FROM d", 1);
}

#[test]
fn the_first_session_after_a_pause_begins_a_run() {
    let root = tempfile::tempdir().unwrap();
    let (often, seldom) = (open(&root.path().join("often")), open(&root.path().join("seldom")));
    execute(&often, "ALTER SYSTEM SET run_after_pause_ms = 0");
    often.subscribe("SELECT * FROM c", Object::new()).unwrap();
    let address = listen(&seldom);
    for session in 1..4 {
        execute(&seldom, &format!("INSERT INTO c DOCUMENTS ({{'_id': {session}}})"));
        connect(&often, &address);
        await_rows(&often, "SELECT * FROM c", session);
        often.stop_sync();
        // More if a link came up twice.
        assert!(often.store().runs().len() > session);
        assert_eq!(seldom.store().runs().len(), 1);
    }
}

#[test]
fn an_evicted_document_with_earlier_lives_does_not_come_back_unasked() {
    let root = tempfile::tempdir().unwrap();
    let (peer, other) = (open(&root.path().join("one")), open(&root.path().join("other")));
    execute(&other, "INSERT INTO c DOCUMENTS ({'_id': 'd'})");
    execute(&other, "DELETE FROM c");
    execute(&other, "INSERT INTO c DOCUMENTS ({'_id': 'd', 'life': 'second'})");
    let subscription = peer.subscribe("SELECT * FROM c", Object::new()).unwrap();
    let address = listen(&other);
    connect(&peer, &address);
    await_rows(&peer, "SELECT * FROM c", 1);
    subscription.cancel();
    execute(&peer, "EVICT FROM c");
    assert_eq!(peer.store().verify().unwrap().graves, 1);
    // The other one is told of the grave, and has more; what comes after is told last.
    other.subscribe("SELECT * FROM c", Object::new()).unwrap();
    execute(&peer, "INSERT INTO c DOCUMENTS ({'_id': 'after'})");
    await_rows(&other, "SELECT * FROM c", 2);
    execute(&other, "INSERT INTO done DOCUMENTS ({'_id': 1})");
    peer.subscribe("SELECT * FROM done", Object::new()).unwrap();
    await_rows(&peer, "SELECT * FROM done", 1);
    assert_eq!(execute(&peer, "SELECT * FROM c").len(), 1);
    // Whoever asks for it again gets it.
    peer.subscribe("SELECT * FROM c", Object::new()).unwrap();
    await_rows(&peer, "SELECT * FROM c", 2);
    assert_eq!(
        execute(&peer, "SELECT life FROM c WHERE _id = 'd'")[0].get("life"),
        Some(&Value::from("second"))
    );
    for peer in [&peer, &other] {
        assert!(peer.store().verify().unwrap().is_consistent());
    }
}

#[test]
fn long_work_ends_when_the_peer_closes() {
    let root = tempfile::tempdir().unwrap();
    let home = root.path().join("home");
    let peer = filled(&home);
    let (sender, begun) = mpsc::channel();
    // Again and again, so that it is in the middle of one of them.
    let threads = [sender.clone(), sender].map(|sender| {
        let peer = peer.clone();
        thread::spawn(move || {
            // The receiver is gone once it has heard often enough.
            let told = || {
                let _ = sender.send(());
                ControlFlow::Continue(())
            };
            loop {
                if let Err(error) = peer.verify(&mut |_| told()) {
                    return error;
                }
                if let Err(error) = peer.compact(&mut |_| told()) {
                    return error;
                }
            }
        })
    });
    for _ in 0..10 {
        begun.recv_timeout(PATIENCE).expect("it works");
    }
    peer.close();
    drop(open(&home));
    for thread in threads {
        let error = thread.join().unwrap();
        let PeerError::Store(error) = error else { panic!("{error}") };
        assert!(matches!(error, StoreError::Closed | StoreError::Storage(StorageError::Closed)), "{error:?}");
    }
}
