//! What a peer tells of its sync with others, in collections that a program reads and observes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use ditto_value::Value;
use support::{await_that, connect, execute, listen, number, open, subscribe, text};

const INFO: &str = "SELECT _id, documents.sync_session_status AS state, \
                    documents.synced_up_to_local_commit_id AS synced, \
                    documents.last_update_received_time AS updated, \
                    last_heard_time AS heard, disconnected_time AS lost FROM system:data_sync_info";

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

/// Waits until the only row of the status is in this state, and as it is wanted.
fn await_state(peer: &ditto_peer::Peer, state: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
    let wanted = |rows: &[Value]| rows.iter().any(|row| text(row, "state") == Some(state) && is_wanted(row));
    let mut rows = await_that(peer, INFO, wanted);
    assert_eq!(rows.len(), 1);
    rows.remove(0)
}

#[test]
fn the_state_of_a_peer_is_told_from_the_first_meeting_over_its_loss_and_a_restart() {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [a, b] = directories.each_ref().map(|directory| open(directory.path()));
    subscribe(&b, "SELECT * FROM c");
    execute(&a, "INSERT INTO c DOCUMENTS ({'_id': 1})");
    let commit = a.store().last_sequence().0;
    assert_eq!(execute(&a, INFO), [], "nobody was met");

    let begin = now_ms();
    connect(&b, &listen(&a));
    let connected = await_state(&a, "Connected", |row| number(row, "synced") >= Some(commit));
    assert_eq!(text(&connected, "_id"), Some(&*b.peer_key()));
    assert_eq!(connected.get("lost"), Some(&Value::Null));
    let heard = number(&connected, "heard").unwrap();
    assert!((begin..=now_ms()).contains(&heard), "{heard}");
    let idle = await_state(&a, "Connected", |row| number(row, "heard") > Some(heard + 1_000));
    assert_eq!(idle.get("updated"), Some(&Value::Null), "signs of life, and no document");

    b.close();
    let lost = await_state(&a, "Not Connected", |_| true);
    let (at, heard) = (number(&lost, "lost").unwrap(), number(&lost, "heard").unwrap());
    assert!(begin <= heard && heard <= at && at <= now_ms(), "heard {heard}, lost {at}");
    assert_eq!(lost.get("synced"), connected.get("synced"));
    a.stop_sync();
    let disabled = await_state(&a, "Disabled", |_| true);
    assert_eq!(disabled.get("lost"), lost.get("lost"));
    a.close();
    drop((a, b));

    let [a, b] = directories.each_ref().map(|directory| open(directory.path()));
    let known = await_state(&a, "Disabled", |_| true);
    assert_eq!(text(&known, "_id"), Some(&*b.peer_key()));
    assert_eq!(known.get("synced"), connected.get("synced"), "what it acknowledged was stored");
    let heard = number(&known, "heard").unwrap();
    assert!((begin..=at).contains(&heard), "when it was met last: {heard}");
    assert_eq!(known.get("lost"), Some(&Value::Null));
    let address = listen(&a);
    await_state(&a, "Not Connected", |row| row.get("synced") == connected.get("synced"));
    subscribe(&b, "SELECT * FROM c");
    connect(&b, &address);
    execute(&a, "INSERT INTO c DOCUMENTS ({'_id': 2})");
    let commit = a.store().last_sequence().0;
    await_state(&a, "Connected", |row| number(row, "synced") >= Some(commit));
}

/// What is between two peers: a connection that passes everything on until the power fails, and stays open then.
struct Line {
    address: String,
    has_power: Arc<AtomicBool>,
}

impl Line {
    fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let has_power = Arc::new(AtomicBool::new(true));
        let power = Arc::clone(&has_power);
        std::thread::spawn(move || {
            for inbound in listener.incoming().map_while(Result::ok) {
                let outbound = TcpStream::connect(&target).unwrap();
                let ways =
                    [(inbound.try_clone().unwrap(), outbound.try_clone().unwrap()), (outbound, inbound)];
                for (from, to) in ways {
                    let power = Arc::clone(&power);
                    std::thread::spawn(move || pass_on(from, to, &power));
                }
            }
        });
        Self { address, has_power }
    }

    fn fail(&self) {
        self.has_power.store(false, Ordering::SeqCst);
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, has_power: &AtomicBool) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if has_power.load(Ordering::SeqCst) && to.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
    // Nobody hears anything of an end either.
    if !has_power.load(Ordering::SeqCst) {
        std::mem::forget(to);
    }
}

#[test]
fn a_peer_whose_power_fails_is_shown_as_not_connected() {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [a, b] = directories.each_ref().map(|directory| open(directory.path()));
    subscribe(&b, "SELECT * FROM c");
    execute(&a, "INSERT INTO c DOCUMENTS ({'_id': 1})");
    let line = Line::to(listen(&a));
    connect(&b, &line.address);
    let commit = a.store().last_sequence().0;
    for peer in [&a, &b] {
        await_state(peer, "Connected", |_| true);
    }
    await_state(&a, "Connected", |row| number(row, "synced") >= Some(commit));
    line.fail();
    // Each by itself, as the connection has not ended. How soon is measured where time can be stopped (`life.rs` of the
    // transports).
    for peer in [&a, &b] {
        let lost = await_state(peer, "Not Connected", |_| true);
        let silence = number(&lost, "lost").unwrap() - number(&lost, "heard").unwrap();
        assert!(silence < 20_000, "{silence} ms, on a busy machine too");
    }
}

const SUBSCRIPTIONS: &str = "SELECT * FROM system:subscriptions ORDER BY subscription";

/// States and reasons, in the order in which was subscribed.
fn states(rows: &[Value]) -> Vec<(&str, Option<&str>)> {
    rows.iter().map(|row| (text(row, "state").unwrap(), text(row, "reason"))).collect()
}

#[test]
fn what_became_of_each_subscription_at_each_peer_is_told() {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [a, b] = directories.each_ref().map(|directory| open(directory.path()));
    execute(&a, "ALTER SYSTEM SET USER_COLLECTION_SYNC_SCOPES = {'theirs': 'LocalPeerOnly'}");
    // Nobody is a server yet.
    execute(&b, "ALTER SYSTEM SET USER_COLLECTION_SYNC_SCOPES = {'ours': 'BigPeerOnly'}");
    let [empty, refused, ours] =
        ["SELECT * FROM c", "SELECT * FROM theirs WHERE x > 1", "SELECT * FROM ours"]
            .map(|query| subscribe(&b, query));
    let disabled = execute(&b, SUBSCRIPTIONS);
    assert_eq!(states(&disabled), [("Disabled", None); 3]);
    assert_eq!(disabled[1].get("peer"), Some(&Value::Null));
    assert_eq!(text(&disabled[1], "query"), Some("SELECT * FROM theirs WHERE x > 1"));
    b.start_sync().unwrap();
    let alone = await_that(&b, SUBSCRIPTIONS, |rows| states(rows)[0].0 == "Not Connected");
    assert_eq!(states(&alone)[1].0, "Not Connected");

    connect(&b, &listen(&a));
    let told = await_that(&b, SUBSCRIPTIONS, |rows| {
        states(rows)[0].0 == "Serving" && states(rows)[1].0 == "Refused" && text(&rows[0], "peer").is_some()
    });
    assert!(told.iter().all(|row| text(row, "peer") == Some(&*a.peer_key())), "{told:?}");
    assert!(states(&told)[1].1.unwrap().contains("theirs"), "{told:?}");
    let (state, reason) = states(&told)[2];
    assert!(state == "Refused" && reason.unwrap().contains("USER_COLLECTION_SYNC_SCOPES"), "{told:?}");
    // Nobody is asked again for what was asked for.
    subscribe(&b, "SELECT * FROM theirs WHERE x>1");
    let again = await_that(&b, SUBSCRIPTIONS, |rows| rows.len() == 4);
    assert_eq!(states(&again)[3], states(&again)[1]);

    a.close();
    let lost = await_that(&b, SUBSCRIPTIONS, |rows| states(rows)[0].0 == "Not Connected");
    assert_eq!(text(&lost[0], "peer"), Some(&*a.peer_key()));
    for subscription in [empty, refused, ours] {
        subscription.cancel();
    }
    await_that(&b, SUBSCRIPTIONS, |rows| rows.len() == 1);
}

#[test]
fn a_subscription_for_which_there_is_no_room_is_told_so_until_there_is() {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [a, b] = directories.each_ref().map(|directory| open(directory.path()));
    connect(&b, &listen(&a));
    let mut subscriptions: Vec<_> =
        (0..=1_000).map(|x| subscribe(&b, &format!("SELECT * FROM c WHERE x = {x}"))).collect();
    let refused = "SELECT reason, subscription FROM system:subscriptions WHERE state = 'Refused'";
    let rows = await_that(&b, refused, |rows| !rows.is_empty());
    assert_eq!(rows.len(), 1);
    let reason = text(&rows[0], "reason").unwrap();
    assert!(reason.contains("1,000 other") && reason.contains("wider subscriptions"), "{reason}");
    let refused = number(&rows[0], "subscription").unwrap();
    // They are numbered from 1.
    subscriptions.swap_remove(usize::from(refused == 1)).cancel();
    let serving = "SELECT subscription FROM system:subscriptions WHERE state = 'Serving'";
    await_that(&b, serving, |rows| rows.iter().any(|row| number(row, "subscription") == Some(refused)));
}

#[test]
fn evict_says_which_subscriptions_bring_back_what_it_removed() {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [a, b] = directories.each_ref().map(|directory| open(directory.path()));
    execute(&a, "INSERT INTO c DOCUMENTS ({'_id': 1, 'x': 1}), ({'_id': 2, 'x': 2}), ({'_id': 3, 'x': 3})");
    let all = subscribe(&b, "SELECT * FROM c");
    connect(&b, &listen(&a));
    await_that(&b, "SELECT _id FROM c", |rows| rows.len() == 3);
    let report = |peer: &ditto_peer::Peer| {
        let report = "SELECT evicted, subscribed, subscribed_ids, subscriptions FROM system:evictions";
        execute(peer, report)[0].to_json()
    };
    let (two, one) = (subscribe(&b, "SELECT * FROM c WHERE x = 2"), subscribe(&b, "SELECT * FROM d"));
    all.cancel();
    execute(&b, "EVICT FROM c WHERE x > 1");
    assert_eq!(
        report(&b),
        r#"{"evicted":2,"subscribed":1,"subscribed_ids":[2],"subscriptions":["SELECT * FROM c WHERE x = 2"]}"#
    );
    await_that(&b, "SELECT _id FROM c", |rows| rows.iter().any(|row| number(row, "_id") == Some(2)));
    for subscription in [two, one] {
        subscription.cancel();
    }
    execute(&b, "EVICT FROM c");
    assert_eq!(report(&b), r#"{"evicted":2,"subscribed":0,"subscribed_ids":[],"subscriptions":[]}"#);
}
