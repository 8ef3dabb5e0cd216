//! Clocks that are wrong, and documents that are too large.

use ditto_crdt::{MAX_SKEW_MS, Sequence, SiteId};
use ditto_storage::{Direction, Keyspace, Storage};
use ditto_store::{DataError, Greeting, StoreError};

use crate::lifecycle::Peer;
use crate::support::{assert_consistent, failure, query, run, run_with, warnings};

const NOW: u64 = 1_800_000_000_000;
const YEAR_MS: u64 = 365 * 86_400_000;

#[test]
fn a_write_beats_what_it_replaces_whatever_the_clocks_say() {
    for skew in [-3 * YEAR_MS as i64, 3 * YEAR_MS as i64, 60 * YEAR_MS as i64] {
        let (a, b) = (Peer::with_clock(1, NOW), Peer::with_clock(2, NOW.saturating_add_signed(skew)));
        run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1, 'x': 0, 'y': 0})");
        for round in 1..5 {
            let (from, to) = if round % 2 == 1 { (&a, &b) } else { (&b, &a) };
            to.receive(from, from.changes(Sequence::ZERO));
            run(&to.store, &format!("UPDATE c SET x = {round}"));
            run(&to.store, &format!("UPDATE c SET y = {round}"));
            assert_eq!(
                query(&to.store, "SELECT x, y FROM c"),
                [format!(r#"{{"x":{round},"y":{round}}}"#)],
                "skew {skew}"
            );
        }
        a.receive(&b, b.changes(Sequence::ZERO));
        b.receive(&a, a.changes(Sequence::ZERO));
        assert_eq!(query(&a.store, "SELECT * FROM c"), query(&b.store, "SELECT * FROM c"), "skew {skew}");
        run(&a.store, "DELETE FROM c");
        run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1, 'z': 1})");
        b.receive(&a, a.changes(Sequence::ZERO));
        assert_eq!(query(&b.store, "SELECT * FROM c"), [r#"{"_id":1,"z":1}"#], "skew {skew}");
    }
}

#[test]
fn a_remote_clock_years_ahead_does_not_drag_the_local_one_and_is_reported() {
    let (a, b, c) =
        (Peer::with_clock(1, NOW), Peer::with_clock(2, NOW + 3 * YEAR_MS), Peer::with_clock(3, NOW));
    run(&b.store, "INSERT INTO c DOCUMENTS ({'_id': 1, 'x': 1})");
    run(&c.store, "INSERT INTO c DOCUMENTS ({'_id': 2, 'x': 1})");
    a.receive(&c, c.changes(Sequence::ZERO));
    assert_eq!(a.store.clock_skews(), []);
    a.receive(&b, b.changes(Sequence::ZERO));
    let skew = a.store.clock_skews()[0];
    let ahead = skew.ahead.expect("beyond the bound");
    assert_eq!((skew.peer, skew.site, ahead.site), (b.name, None, b.store.site()));
    assert!(ahead.ahead_ms.abs_diff(3 * YEAR_MS) < 1_000, "{}", ahead.ahead_ms);
    // What is written here is not from the future.
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 3, 'x': 1})");
    let d = Peer::with_clock(4, NOW);
    d.receive(&a, a.changes(Sequence(2)));
    assert_eq!(d.store.clock_skews(), [], "the clock of a stayed where it was");
    // But for what had to beat the future.
    run(&a.store, "UPDATE c SET x = 2 WHERE _id = 1");
    d.receive(&a, a.changes(Sequence::ZERO));
    assert_eq!(d.store.clock_skews().len(), 1);
    assert_eq!(query(&d.store, "SELECT x FROM c WHERE _id = 1"), [r#"{"x":2}"#]);
    let last = d.store.clock_skews();
    d.receive(&a, a.changes(Sequence::ZERO));
    assert_eq!(d.store.clock_skews(), last, "what is known already is not measured again");
    const { assert!(MAX_SKEW_MS < YEAR_MS) };
}

#[test]
fn clocks_are_compared_when_a_session_begins() {
    let a = Peer::with_clock(1, NOW);
    let (slow, fast) = (Peer::with_clock(2, NOW - YEAR_MS), Peer::with_clock(3, NOW + 3_600_000));
    for (peer, expected) in [(&slow, -(YEAR_MS as i64)), (&fast, 3_600_000)] {
        a.greet(peer);
        let skew = a.store.clock_skews().into_iter().find(|skew| skew.peer == peer.name).expect("is known");
        assert_eq!((skew.site, skew.ahead), (Some(peer.store.site()), None));
        let difference = skew.difference_ms.expect("it says so");
        assert!(difference.abs_diff(expected) < 1_000, "{difference}");
    }
    // Somebody has set it.
    fast.clock.set_now(NOW);
    a.greet(&fast);
    let difference = a.store.clock_skews()[1].difference_ms.expect("it says so");
    assert!(difference.abs() < 1_000, "{difference}");
}

#[test]
fn of_many_clocks_the_newest_are_remembered() {
    let a = Peer::new(1);
    let replica = a.store.replica();
    for number in 0..2_000_u64 {
        let mut name = [7; 32];
        name[..8].copy_from_slice(&number.to_be_bytes());
        let clock_ms = Some(if number % 2 == 0 { u64::MAX } else { number });
        let greeting = Greeting { site: SiteId(number), evictions: 0, is_behind: false, clock_ms };
        replica.greeted(&name, number, greeting).expect("stored");
    }
    let skews = a.store.clock_skews();
    assert_eq!((skews.len(), skews[0].site), (1_024, Some(SiteId(976))));
    assert!(skews.iter().all(|skew| skew.difference_ms.is_some_and(|difference| difference != 0)));
}

#[test]
fn what_grew_too_large_by_merging_can_be_read_shrunk_and_deleted() {
    let (a, b) = (Peer::new(1), Peer::new(2));
    let megabytes = |count: usize| "x".repeat(count << 20);
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1})");
    let too_large = failure(&a.store, "UPDATE c SET a = :a", &format!(r#"{{"a": "{}"}}"#, megabytes(6)));
    assert!(
        matches!(too_large, StoreError::Data(DataError::TooLarge { limit: 5_242_880, .. })),
        "{too_large}"
    );
    let too_large = failure(
        &a.store,
        "INSERT INTO c DOCUMENTS (:d)",
        &format!(r#"{{"d": {{"_id": 2, "a": "{}"}}}}"#, megabytes(6)),
    );
    assert!(too_large.to_string().contains("DOCUMENT_SIZE_HARD_LIMIT_BYTES"), "{too_large}");
    b.receive(&a, a.changes(Sequence::ZERO));
    run_with(&a.store, "UPDATE c SET a = :a", &format!(r#"{{"a": "{}"}}"#, megabytes(3)));
    run_with(&b.store, "UPDATE c SET b = :b", &format!(r#"{{"b": "{}"}}"#, megabytes(3)));
    a.receive(&b, b.changes(Sequence::ZERO));
    assert_eq!(query(&a.store, "SELECT char_length(a) + char_length(b) AS n FROM c"), [r#"{"n":6291456}"#]);
    failure(&a.store, "UPDATE c SET d = 1", "{}");
    failure(&a.store, "UPDATE c SET a = :a", &format!(r#"{{"a": "{}"}}"#, megabytes(4)));
    failure(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1, 'd': 'more'}) ON ID CONFLICT DO UPDATE", "{}");
    run_with(&a.store, "UPDATE c SET a = :a", &format!(r#"{{"a": "{}"}}"#, megabytes(1)));
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1, 'b': 'short'}) ON ID CONFLICT DO UPDATE");
    run(&a.store, "UPDATE c SET d = 1");
    b.receive(&a, a.changes(Sequence::ZERO));
    assert_eq!(query(&b.store, "SELECT b, d FROM c"), [r#"{"b":"short","d":1}"#]);
    // And one that is too large again goes as any other.
    run_with(&a.store, "UPDATE c SET a = :a", &format!(r#"{{"a": "{}"}}"#, megabytes(3)));
    run_with(&b.store, "UPDATE c SET b = :b", &format!(r#"{{"b": "{}"}}"#, megabytes(3)));
    a.receive(&b, b.changes(Sequence::ZERO));
    assert_eq!(run(&a.store, "DELETE FROM c").mutated_ids.len(), 1);
    b.receive(&a, a.changes(Sequence::ZERO));
    assert_eq!(query(&b.store, "SELECT * FROM c"), [""; 0]);
    assert_consistent(&a.store);
    assert_consistent(&b.store);
}

/// How many bytes the only document takes.
fn stored_bytes(peer: &Peer) -> usize {
    let snapshot = peer.storage.snapshot();
    let mut rows = snapshot.prefix(Keyspace::Documents, &[], Direction::Forward);
    rows.next().expect("a document").expect("reads").1.len()
}

#[test]
fn what_grew_too_large_of_many_small_members_can_be_shrunk_one_by_one() {
    let (a, b) = (Peer::new(1), Peer::new(2));
    let members = |range: std::ops::Range<usize>| -> String {
        range.map(|member| format!("m{member:03} = {member}")).collect::<Vec<_>>().join(", ")
    };
    for peer in [&a, &b] {
        run(&peer.store, "ALTER SYSTEM SET DOCUMENT_SIZE_HARD_LIMIT_BYTES = 4000");
    }
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1})");
    b.receive(&a, a.changes(Sequence::ZERO));
    run(&a.store, &format!("UPDATE c SET {}", members(0..200)));
    run(&b.store, &format!("UPDATE c SET {}", members(200..400)));
    a.receive(&b, b.changes(Sequence::ZERO));
    assert!(stored_bytes(&a) > 4000);
    failure(&a.store, "UPDATE c SET more = 1", "{}");
    for member in 0..400 {
        let before = stored_bytes(&a);
        run(&a.store, &format!("UPDATE c UNSET m{member:03}"));
        assert!(
            member > 0 || stored_bytes(&a) > before,
            "what is kept of a removed member is larger than it"
        );
    }
    assert_eq!(query(&a.store, "SELECT * FROM c"), [r#"{"_id":1}"#]);
    let failed = failure(&a.store, "UPDATE c SET more = 1", "{}");
    assert!(failed.to_string().contains("DELETE it and INSERT it anew"), "{failed}");
    run(&a.store, "DELETE FROM c");
    run(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 1, 'more': 1})");
    assert!(stored_bytes(&a) < 200);
    b.receive(&a, a.changes(Sequence::ZERO));
    assert_eq!(query(&b.store, "SELECT * FROM c"), [r#"{"_id":1,"more":1}"#]);
    let whole = "x".repeat(5000);
    let failed = failure(&a.store, "UPDATE c SET more = :w", &format!(r#"{{"w": "{whole}"}}"#));
    assert!(failed.to_string().contains("attachments"), "{failed}");
    assert_consistent(&a.store);
}

#[test]
fn a_document_over_the_soft_limit_is_written_with_a_warning() {
    let a = Peer::new(1);
    run(&a.store, "ALTER SYSTEM SET DOCUMENT_SIZE_SOFT_LIMIT_BYTES = 1024");
    let text = |size: usize| format!(r#"{{"t": "{}"}}"#, "x".repeat(size));
    let heard = warnings(|| {
        run_with(&a.store, "INSERT INTO c DOCUMENTS ({'_id': 'small', 't': :t})", &text(900));
    });
    assert_eq!(heard, [""; 0]);
    let statements = [
        "INSERT INTO c DOCUMENTS ({'_id': 'large', 't': :t})",
        "UPDATE c SET t = :t WHERE _id = 'large'",
        "INSERT INTO c DOCUMENTS ({'_id': 'large', 't': :t}) ON ID CONFLICT DO UPDATE",
    ];
    for statement in statements {
        let heard = warnings(|| {
            run_with(&a.store, statement, &text(1_100));
        });
        assert_eq!(heard.len(), 1, "{heard:?}");
        let expected = ["DOCUMENT_SIZE_SOFT_LIMIT_BYTES", "limit=1024", r#"id="\"large\"""#];
        assert!(expected.iter().all(|part| heard[0].contains(part)), "{heard:?}");
    }
    assert_eq!(query(&a.store, "SELECT char_length(t) AS n FROM c USE IDS 'large'"), [r#"{"n":1100}"#]);
}

#[test]
fn the_limits_are_parameters() {
    let a = Peer::new(1);
    run(&a.store, "ALTER SYSTEM SET document_size_soft_limit_bytes = 1024");
    run(&a.store, "ALTER SYSTEM SET document_size_hard_limit_bytes = 2048");
    let with = |size: usize| format!(r#"{{"d": {{"_id": {size}, "a": "{}"}}}}"#, "x".repeat(size));
    run_with(&a.store, "INSERT INTO c DOCUMENTS (:d)", &with(1_500));
    failure(&a.store, "INSERT INTO c DOCUMENTS (:d)", &with(2_100));
    failure(&a.store, "ALTER SYSTEM SET document_size_hard_limit_bytes = 1", "{}");
    assert_eq!(query(&a.store, "SELECT _id FROM c"), [r#"{"_id":1500}"#]);
}
