//! What two peers have after both wrote apart from each other: the table of the language reference, row by row, each in both
//! orders in time and in both orders of arrival.

use ditto_crdt::Sequence;

use crate::lifecycle::Peer;
use crate::support::{query, run};

const NOW: u64 = 1_800_000_000_000;

/// Who wrote first by the clocks, and whose changes travel first.
const ORDERS: [(bool, bool); 4] = [(true, true), (true, false), (false, true), (false, false)];

struct Case {
    /// On both before they part.
    before: String,
    left: String,
    right: String,
    /// What each does then, before they meet; nothing if empty.
    then: [String; 2],
}

impl Case {
    fn then(self, left: impl Into<String>, right: impl Into<String>) -> Self {
        Self { then: [left.into(), right.into()], ..self }
    }

    /// What both show in the end; the same on both.
    fn run(&self, left_first: bool, left_travels_first: bool) -> String {
        let (left, right) = (Peer::with_clock(1, NOW), Peer::with_clock(2, NOW));
        if !self.before.is_empty() {
            run(&left.store, &self.before);
            right.receive(&left, left.changes(Sequence::ZERO));
        }
        left.clock.set_now(NOW + if left_first { 1_000 } else { 9_000 });
        right.clock.set_now(NOW + 5_000);
        run(&left.store, &self.left);
        run(&right.store, &self.right);
        for (peer, statement) in [&left, &right].into_iter().zip(&self.then) {
            if !statement.is_empty() {
                run(&peer.store, statement);
            }
        }
        let (to_right, to_left) = (left.changes(Sequence::ZERO), right.changes(Sequence::ZERO));
        if left_travels_first {
            right.receive(&left, to_right);
            left.receive(&right, right.changes(Sequence::ZERO));
        } else {
            left.receive(&right, to_left);
            right.receive(&left, left.changes(Sequence::ZERO));
        }
        let shown = query(&left.store, "SELECT * FROM plants");
        assert_eq!(shown, query(&right.store, "SELECT * FROM plants"), "{} | {}", self.left, self.right);
        let key = left.changes(Sequence::ZERO).remove(0).key;
        assert_eq!(left.version(&key), right.version(&key));
        shown.into_iter().next().unwrap_or_else(|| "nothing".to_string())
    }

    fn expect(&self, left_first: &str, right_first: &str) {
        for (first, travels_first) in ORDERS {
            let expected = if first { left_first } else { right_first };
            let found = self.run(first, travels_first);
            assert_eq!(found, expected, "{} | {} ({first}, {travels_first})", self.left, self.right);
        }
    }
}

fn case(before: impl Into<String>, left: impl Into<String>, right: impl Into<String>) -> Case {
    Case { before: before.into(), left: left.into(), right: right.into(), then: Default::default() }
}

const PLANT: &str =
    "INSERT INTO plants DOCUMENTS ({'_id': 'p', 'bed': 'Z', 'care': {'water': 'daily', 'light': 6}})";

#[test]
fn of_two_assignments_the_later_wins() {
    case(PLANT, "UPDATE plants SET bed = 'A'", "UPDATE plants SET bed = 'B'").expect(
        r#"{"_id":"p","bed":"B","care":{"light":6,"water":"daily"}}"#,
        r#"{"_id":"p","bed":"A","care":{"light":6,"water":"daily"}}"#,
    );
}

#[test]
fn members_of_a_map_are_written_apart() {
    let both = r#"{"_id":"p","bed":"Z","care":{"light":7,"water":"weekly"}}"#;
    case(PLANT, "UPDATE plants SET care.light = 7", "UPDATE plants SET care.water = 'weekly'")
        .expect(both, both);
    let both = r#"{"_id":"p","bed":"Z","care":{"feed":"x","light":7,"water":"daily"}}"#;
    case(PLANT, "UPDATE plants SET care = {'light': 7}", "UPDATE plants SET care.feed = 'x'")
        .expect(both, both);
}

#[test]
fn a_write_below_a_map_survives_its_removal() {
    let fed = r#"{"_id":"p","bed":"Z","care":{"feed":"x"}}"#;
    case(PLANT, "UPDATE plants UNSET care", "UPDATE plants SET care.feed = 'x'").expect(fed, fed);
    let tips = "INSERT INTO plants DOCUMENTS ({'_id': 'p', 'care': {'tips': {'n': 1}, 'light': 6}})";
    // The reference shows {n: null} where the removal is later: a member that survives and a value that nobody wrote.
    let kept = r#"{"_id":"p","care":{"light":6,"tips":{"n":5}}}"#;
    case(tips, "UPDATE plants UNSET care.tips", "UPDATE plants SET care.tips.n = 5").expect(kept, kept);
    let empty = "INSERT INTO plants DOCUMENTS ({'_id': 'p', 'care': {'tips': {}, 'light': 6}})";
    case(empty, "UPDATE plants UNSET care.tips", "UPDATE plants SET care.tips.n = 5").expect(kept, kept);
    // Of the member that is named the later write wins.
    let five = r#"{"_id":"p","care":{"light":6,"tips":{"n":5}}}"#;
    let none = r#"{"_id":"p","care":{"light":6,"tips":{}}}"#;
    case(tips, "UPDATE plants UNSET care.tips.n", "UPDATE plants SET care.tips.n = 5").expect(five, none);
}

#[test]
fn an_array_is_one_value() {
    let tags = "INSERT INTO plants DOCUMENTS ({'_id': 'p', 'tags': ['herb']})";
    case(tags, "UPDATE plants SET tags = ['herb', 'sun']", "UPDATE plants SET tags = ['shade']")
        .expect(r#"{"_id":"p","tags":["shade"]}"#, r#"{"_id":"p","tags":["herb","sun"]}"#);
}

#[test]
fn increments_add_up_and_a_restart_drops_what_it_has_not_seen() {
    let counted = "INSERT INTO COLLECTION plants (uses COUNTER) DOCUMENTS ({'_id': 'p', 'uses': 3})";
    let sum = r#"{"_id":"p","uses":15}"#;
    case(counted, "UPDATE plants APPLY uses INCREMENT BY 5", "UPDATE plants APPLY uses INCREMENT BY 7")
        .expect(sum, sum);
    let restarted = r#"{"_id":"p","uses":100}"#;
    case(counted, "UPDATE plants APPLY uses RESTART WITH 100", "UPDATE plants APPLY uses INCREMENT BY 5")
        .expect(restarted, restarted);
    let first = r#"{"_id":"p","bed":1,"uses":12}"#;
    let plain = "INSERT INTO plants DOCUMENTS ({'_id': 'p', 'bed': 1})";
    case(plain, "UPDATE plants APPLY uses INCREMENT BY 5", "UPDATE plants APPLY uses INCREMENT BY 7")
        .expect(first, first);
    let legacy = r#"{"_id":"p","bed":1,"uses":2.5}"#;
    case(
        plain,
        "UPDATE plants APPLY uses PN_INCREMENT BY 4",
        "UPDATE plants APPLY uses PN_INCREMENT BY -1.5",
    )
    .expect(legacy, legacy);
    case(counted, "UPDATE plants APPLY uses RESTART WITH 100", "UPDATE plants APPLY uses RESTART WITH 200")
        .expect(r#"{"_id":"p","uses":200}"#, r#"{"_id":"p","uses":100}"#);
}

#[test]
fn initial_counters_that_differ_are_one_counter_that_starts_from_the_greater_number() {
    let seed = |uses: i64| {
        format!(
            "INSERT INTO COLLECTION plants (uses COUNTER) INITIAL DOCUMENTS ({{'_id': 'p', 'uses': {uses}}})"
        )
    };
    let greater = r#"{"_id":"p","uses":8}"#;
    case("", seed(5), seed(8)).expect(greater, greater);
    case("", seed(-5), seed(-8)).expect(r#"{"_id":"p","uses":-5}"#, r#"{"_id":"p","uses":-5}"#);
    // What was counted before they met counts, whichever it was counted from.
    for (left, right) in [(5, 8), (8, 5)] {
        let counted = r#"{"_id":"p","uses":11}"#;
        let counts = case("", seed(left), seed(right))
            .then("UPDATE plants APPLY uses INCREMENT BY 2", "UPDATE plants APPLY uses INCREMENT BY 1");
        counts.expect(counted, counted);
    }
    let legacy = |uses: f64| {
        format!(
            "INSERT INTO COLLECTION plants (uses PN_COUNTER) INITIAL DOCUMENTS ({{'_id': 'p', 'uses': {uses}}})"
        )
    };
    let less = r#"{"_id":"p","uses":-1.5}"#;
    case("", legacy(-1.5), legacy(-2.5)).expect(less, less);
}

#[test]
fn an_initial_number_and_an_initial_counter_are_two_values_of_which_the_counter_is_shown() {
    let counter = "INSERT INTO COLLECTION plants (uses COUNTER) INITIAL DOCUMENTS ({'_id': 'p', 'uses': 5})";
    let number = "INSERT INTO plants INITIAL DOCUMENTS ({'_id': 'p', 'uses': 100})";
    let counted = r#"{"_id":"p","uses":5}"#;
    case("", counter, number).expect(counted, counted);
    let more = r#"{"_id":"p","uses":7}"#;
    case("", counter, number).then("UPDATE plants APPLY uses INCREMENT BY 2", "").expect(more, more);
    let assigned = r#"{"_id":"p","uses":1}"#;
    case("", counter, number).then("", "UPDATE plants SET uses = 1").expect(assigned, assigned);
    let (left, right) = (Peer::with_clock(1, NOW), Peer::with_clock(2, NOW));
    run(&left.store, counter);
    run(&right.store, number);
    left.receive(&right, right.changes(Sequence::ZERO));
    let declared = query(&left.store, "SELECT uses FROM COLLECTION plants (uses REGISTER)");
    assert_eq!(declared, [r#"{"uses":100}"#], "the number is there, too");
}

#[test]
fn of_two_inserted_counters_the_later_one_counts_with_what_was_added_to_it() {
    let insert = |uses: i64| {
        format!("INSERT INTO COLLECTION plants (uses COUNTER) DOCUMENTS ({{'_id': 'p', 'uses': {uses}}})")
    };
    case("", insert(3), insert(10)).expect(r#"{"_id":"p","uses":10}"#, r#"{"_id":"p","uses":3}"#);
    // An increment that knew only the counter that lost goes with it, as with a RESTART.
    case("", insert(3), insert(10))
        .then("UPDATE plants APPLY uses INCREMENT BY 5", "UPDATE plants APPLY uses INCREMENT BY 7")
        .expect(r#"{"_id":"p","uses":17}"#, r#"{"_id":"p","uses":8}"#);
    // Once they have met, everybody counts on one counter.
    let (left, right) = (Peer::with_clock(1, NOW), Peer::with_clock(2, NOW + 5_000));
    let meet = || {
        right.receive(&left, left.changes(Sequence::ZERO));
        left.receive(&right, right.changes(Sequence::ZERO));
    };
    run(&left.store, &insert(3));
    run(&right.store, &insert(10));
    meet();
    run(&left.store, "UPDATE plants APPLY uses INCREMENT BY 1");
    run(&right.store, "UPDATE plants APPLY uses INCREMENT BY 2");
    meet();
    for peer in [&left, &right] {
        assert_eq!(query(&peer.store, "SELECT uses FROM plants"), [r#"{"uses":13}"#]);
    }
}

#[test]
fn an_unset_legacy_counter_does_not_come_back_with_an_increment_that_it_had_not_seen() {
    let counted = "INSERT INTO COLLECTION plants (uses PN_COUNTER) DOCUMENTS ({'_id': 'p', 'uses': 3})";
    let gone = r#"{"_id":"p"}"#;
    case(counted, "UPDATE plants UNSET uses", "UPDATE plants APPLY uses PN_INCREMENT BY 0.5")
        .expect(gone, gone);
    let again = r#"{"_id":"p","uses":0.5}"#;
    case(
        "INSERT INTO plants DOCUMENTS ({'_id': 'p', 'bed': 1})",
        "UPDATE plants UNSET uses, bed",
        "UPDATE plants APPLY uses PN_INCREMENT BY 0.5",
    )
    .expect(again, again);
}

#[test]
fn an_unset_counter_does_not_come_back_with_an_increment_that_it_had_not_seen() {
    // The increment goes to the generation that it knew, which the removal replaced.
    let counted = "INSERT INTO COLLECTION plants (uses COUNTER) DOCUMENTS ({'_id': 'p', 'uses': 3})";
    let gone = r#"{"_id":"p"}"#;
    case(counted, "UPDATE plants UNSET uses", "UPDATE plants APPLY uses INCREMENT BY 5").expect(gone, gone);
}

#[test]
fn of_a_counter_below_a_removed_map_survives_what_restarts_it_and_no_increment_of_what_was_removed() {
    let counted = "INSERT INTO COLLECTION plants (care MAP(cuts COUNTER)) DOCUMENTS ({'_id': 'p', 'care': {'cuts': 3}})";
    let gone = r#"{"_id":"p"}"#;
    case(counted, "UPDATE plants UNSET care", "UPDATE plants APPLY care.cuts INCREMENT BY 5")
        .expect(gone, gone);
    let restarted = r#"{"_id":"p","care":{"cuts":9}}"#;
    case(counted, "UPDATE plants UNSET care", "UPDATE plants APPLY care.cuts RESTART WITH 9")
        .expect(restarted, restarted);
    let first = r#"{"_id":"p","care":{"cuts":5}}"#;
    case(PLANT, "UPDATE plants UNSET care, bed", "UPDATE plants APPLY care.cuts INCREMENT BY 5")
        .expect(first, first);
}

#[test]
fn a_deletion_wins_over_an_update_and_the_update_is_reported() {
    for (first, travels_first) in ORDERS {
        let deletion = case(PLANT, "DELETE FROM plants", "UPDATE plants SET name = 'x'");
        assert_eq!(deletion.run(first, travels_first), "nothing", "no husk");
    }
    let (left, right) = (Peer::with_clock(1, NOW), Peer::with_clock(2, NOW));
    run(&left.store, PLANT);
    right.receive(&left, left.changes(Sequence::ZERO));
    run(&left.store, "DELETE FROM plants");
    run(&right.store, "UPDATE plants SET name = 'x'");
    right.receive(&left, left.changes(Sequence(1)));
    assert_eq!(query(&right.store, "SELECT document FROM system:conflicts"), [r#"{"document":"p"}"#]);
}

#[test]
fn two_inserts_of_one_id_become_one_document() {
    case(
        "",
        "INSERT INTO plants DOCUMENTS ({'_id': 'p', 'bed': 'A', 'left': 1})",
        "INSERT INTO plants DOCUMENTS ({'_id': 'p', 'bed': 'B', 'right': 1})",
    )
    .expect(r#"{"_id":"p","bed":"B","left":1,"right":1}"#, r#"{"_id":"p","bed":"A","left":1,"right":1}"#);
}

#[test]
fn an_ordinary_insert_wins_over_an_initial_one_member_by_member() {
    let ordinary = r#"{"_id":"p","bed":"B","left":1,"right":1}"#;
    case(
        "",
        "INSERT INTO plants INITIAL DOCUMENTS ({'_id': 'p', 'bed': 'A', 'left': 1})",
        "INSERT INTO plants DOCUMENTS ({'_id': 'p', 'bed': 'B', 'right': 1})",
    )
    .expect(ordinary, ordinary);
}

#[test]
fn initial_documents_are_one_write_everywhere() {
    let same = r#"{"_id":"p","bed":"A"}"#;
    let seed = "INSERT INTO plants INITIAL DOCUMENTS ({'_id': 'p', 'bed': 'A'})";
    case("", seed, seed).expect(same, same);
    let greater = r#"{"_id":"p","bed":"B","left":1,"right":1}"#;
    case(
        "",
        "INSERT INTO plants INITIAL DOCUMENTS ({'_id': 'p', 'bed': 'A', 'left': 1})",
        "INSERT INTO plants INITIAL DOCUMENTS ({'_id': 'p', 'bed': 'B', 'right': 1})",
    )
    .expect(greater, greater);
    let updated = r#"{"_id":"p","bed":"C"}"#;
    case(seed, "UPDATE plants SET bed = 'C'", seed).expect(updated, updated);
    let counted = r#"{"_id":"p","uses":7}"#;
    let counter = "INSERT INTO COLLECTION plants (uses COUNTER) INITIAL DOCUMENTS ({'_id': 'p', 'uses': 5})";
    case(counter, "UPDATE plants APPLY uses INCREMENT BY 2", counter).expect(counted, counted);
}

#[test]
fn an_initial_document_that_was_deleted_stays_deleted() {
    let peer = Peer::new(1);
    let seed = "INSERT INTO plants INITIAL DOCUMENTS ({'_id': 'p', 'bed': 'A'})";
    let other_seed = "INSERT INTO plants INITIAL DOCUMENTS ({'_id': 'p', 'bed': 'B'})";
    run(&peer.store, seed);
    run(&peer.store, "DELETE FROM plants");
    for statement in [seed, other_seed] {
        assert_eq!(run(&peer.store, statement).mutated_ids, []);
        assert_eq!(query(&peer.store, "SELECT * FROM plants"), [""; 0]);
    }
    // Of a document that was inserted in the ordinary way as well: the reference would show its fields as nulls.
    run(&peer.store, "INSERT INTO plants DOCUMENTS ({'_id': 'q', 'bed': 'A'})");
    run(&peer.store, "DELETE FROM plants");
    run(&peer.store, "INSERT INTO plants INITIAL DOCUMENTS ({'_id': 'q', 'bed': 'B'})");
    assert_eq!(query(&peer.store, "SELECT * FROM plants"), [""; 0]);
    // Forgotten is not deleted.
    run(&peer.store, "INSERT INTO plants INITIAL DOCUMENTS ({'_id': 'r', 'bed': 'A'})");
    run(&peer.store, "EVICT FROM plants");
    assert_eq!(
        run(&peer.store, "INSERT INTO plants INITIAL DOCUMENTS ({'_id': 'r', 'bed': 'A'})").mutated_ids.len(),
        1
    );
    // And the seed of a peer that has not heard of the deletion does not bring it back.
    let late = Peer::new(2);
    run(&late.store, seed);
    peer.receive(&late, late.changes(Sequence::ZERO));
    late.receive(&peer, peer.changes(Sequence::ZERO));
    for peer in [&peer, &late] {
        assert_eq!(query(&peer.store, "SELECT _id FROM plants"), [r#"{"_id":"r"}"#]);
    }
}

#[test]
fn of_two_attachments_the_later_wins_whole() {
    const ONE: &str =
        "{'id': '47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU', 'len': 1, 'metadata': {'a': '1'}}";
    const OTHER: &str =
        "{'id': 'ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0', 'len': 3, 'metadata': {'b': '2'}}";
    let plain = "INSERT INTO plants DOCUMENTS ({'_id': 'p'})";
    let seeded = format!("INSERT INTO plants DOCUMENTS ({{'_id': 'p', 'photo': {ONE}}})");
    let shown = |token: &str| {
        format!(
            r#"{{"_id":"p","photo":{}}}"#,
            token.replace('\'', "\"").replace(": ", ":").replace(", ", ",")
        )
    };
    for target in ["plants", "COLLECTION plants (photo ATTACHMENT)"] {
        for before in [plain, &seeded] {
            let set = |token: &str| format!("UPDATE {target} SET photo = {token}");
            case(before, set(ONE), set(OTHER)).expect(&shown(OTHER), &shown(ONE));
        }
    }
}

#[test]
fn kinds_under_one_name_do_not_destroy_each_other() {
    let object =
        "INSERT INTO COLLECTION plants (care REGISTER) DOCUMENTS ({'_id': 'p', 'care': {'a': 1, 'b': 2}})";
    let left = Peer::with_clock(1, NOW);
    let right = Peer::with_clock(2, NOW);
    run(&left.store, object);
    right.receive(&left, left.changes(Sequence::ZERO));
    run(&left.store, "UPDATE plants SET care.a = 9");
    right.clock.set_now(NOW + 5_000);
    run(&right.store, "UPDATE COLLECTION plants (care REGISTER) SET care = {'c': 3}");
    right.receive(&left, left.changes(Sequence::ZERO));
    left.receive(&right, right.changes(Sequence::ZERO));
    for peer in [&left, &right] {
        let show = |definition: &str| {
            query(&peer.store, &format!("SELECT care FROM COLLECTION plants {definition}"))
        };
        assert_eq!(show(""), [r#"{"care":{"c":3}}"#], "the newest");
        assert_eq!(show("(care REGISTER)"), [r#"{"care":{"c":3}}"#]);
        assert_eq!(show("(care MAP)"), [r#"{"care":{"a":9}}"#], "nothing that was written is gone");
    }
    run(&left.store, "UPDATE plants APPLY care INCREMENT BY 1");
    right.receive(&left, left.changes(Sequence::ZERO));
    assert_eq!(query(&right.store, "SELECT care FROM plants"), [r#"{"care":1}"#]);
    assert_eq!(query(&right.store, "SELECT care FROM COLLECTION plants (care MAP)"), [r#"{"care":{"a":9}}"#]);
}
