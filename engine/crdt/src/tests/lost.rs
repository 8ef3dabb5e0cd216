//! What a removal is said to take with it.

use ditto_value::{Object, Value};
use proptest::prelude::*;

use super::laws::cases;
use super::peers::{Peer, actions, names_of, run};
use crate::{Delta, Sequence, Version};

fn object(json: &str) -> Object {
    Value::from_json(json).unwrap().as_object().unwrap().clone()
}

fn deletion(of: &Peer) -> Delta {
    let mut document = of.document.clone();
    document.delete(Sequence(1_000));
    document.delta_since(Sequence(999))
}

/// Path and value of all that `peer` would lose.
fn losses(peer: &Peer, delta: &Delta) -> Vec<String> {
    let line = |lost: crate::Lost| {
        let value = lost.value.map_or("?".to_owned(), |value| value.to_json());
        format!("{} {value} by {}", lost.path, lost.stamp.site.0)
    };
    peer.document.lost_to(delta).into_iter().map(line).collect()
}

#[test]
fn a_removal_takes_what_was_written_after_the_insert() {
    let (mut a, mut b) = (Peer::new(0, 0), Peer::new(1, 0));
    a.insert(&object(r#"{"x": 1, "care": {"light": 2}}"#));
    b.receive_all(&a);
    let delete = deletion(&a);
    assert_eq!(losses(&b, &delete), [""; 0], "whoever removed the birth has seen its INSERT");
    b.set(&names_of("x"), &Value::from(5)).unwrap();
    b.set(&names_of("care.feed.how"), &Value::from("daily")).unwrap();
    b.set(&names_of("empty"), &Value::Object(Object::new())).unwrap();
    b.unset(&names_of("care.light")).unwrap();
    b.increment(&names_of("n"), 4).unwrap();
    b.increment(&names_of("n"), -1).unwrap();
    b.restart(&names_of("r"), 10).unwrap();
    let expected =
        [r#"care.feed.how "daily" by 200"#, "empty {} by 200", "n 3 by 200", "r 10 by 200", "x 5 by 200"];
    assert_eq!(losses(&b, &delete), expected, "what was unset is not lost, and made maps are not named");
    assert_eq!(losses(&b, &b.document.delta_since(Sequence::ZERO)), [""; 0], "nothing is removed");
    b.receive(&delete);
    assert_eq!(losses(&b, &delete), [""; 0], "it is gone already");
}

#[test]
fn a_write_under_a_birth_that_survives_is_not_lost() {
    let (mut a, mut b) = (Peer::new(0, 0), Peer::new(1, 0));
    a.insert(&object(r#"{"x": 1}"#));
    let delete = deletion(&a);
    b.insert(&object(r#"{"y": 1}"#));
    b.receive_all(&a);
    b.set(&names_of("x"), &Value::from(5)).unwrap();
    assert_eq!(losses(&b, &delete), [""; 0]);
    let both = deletion(&b);
    b.set(&names_of("x"), &Value::from(6)).unwrap();
    assert_eq!(losses(&b, &both), ["x 6 by 200"], "written under both births, named once");
}

#[test]
fn what_was_removed_under_a_birth_that_survives_is_not_lost() {
    // One peer writes under both births, another knows of one of them and removes the map there.
    let (mut a, mut b, mut c) = (Peer::new(0, 0), Peer::new(1, 0), Peer::new(2, 0));
    a.insert(&object(r#"{"x": 1}"#));
    let delete = deletion(&a);
    b.insert(&object("{}"));
    c.receive_all(&b);
    b.receive_all(&a);
    b.set(&names_of("care.light"), &Value::from(5)).unwrap();
    b.increment(&names_of("care.n"), 2).unwrap();
    let everything = b.document.delta_since(Sequence::ZERO);
    let lives = everything.lives.into_iter().filter(|(birth, _)| birth.stamp.site == b.site());
    c.receive(&Delta { lives: lives.collect() });
    assert!(c.unset(&names_of("care")).unwrap());
    assert_eq!(losses(&b, &delete), [""; 0], "it survives under the other birth");
    b.receive(&c.document.delta_since(Sequence::ZERO));
    assert_eq!(b.json(), r#"{"x":1}"#);
    assert_eq!(losses(&b, &delete), [""; 0], "it was removed, and not by the deletion");
}

#[test]
fn what_arrives_for_the_dead_is_told_apart_from_what_is_merely_old() {
    let (mut a, mut b) = (Peer::new(0, 0), Peer::new(1, 0));
    a.insert(&object(r#"{"x": 1}"#));
    b.receive_all(&a);
    a.set(&names_of("x"), &Value::from(2)).unwrap();
    let old = a.receive(&b.document.delta_since(Sequence::ZERO));
    assert_eq!((old.changed, old.surplus, old.absorbed), (false, true, false));
    a.delete();
    let dead = a.receive(&b.document.delta_since(Sequence::ZERO));
    assert_eq!((dead.changed, dead.surplus, dead.absorbed), (false, true, true));
    let same = a.receive(&a.document.delta_since(Sequence::ZERO));
    assert_eq!((same.changed, same.surplus, same.absorbed), (false, false, false));
}

proptest! {
    #![proptest_config(cases(150))]

    /// A grave knows what the tombstone knew, by content and by version; and what is reported as lost is what is not
    /// there any more.
    #[test]
    fn graves_equal_tombstones_and_losses_are_real(history in actions(2, false)) {
        let mut peers = run(2, &history, |_, _| {});
        let delete = deletion(&peers[0]);
        let lost = peers[1].document.lost_to(&delete);
        let was_alive = peers[1].document.is_alive();
        peers[1].receive(&delete);
        let document = &peers[1].document;
        prop_assert!(lost.is_empty() || was_alive);
        for lost in lost {
            prop_assert!(lost.sequence <= document.newest_sequence());
            let kept = document.living().any(|(birth, entries)| {
                let mut same = entries.iter().filter(|(key, _)| key.path == lost.path && key.kind == lost.kind);
                birth.stamp != lost.stamp && same.any(|(_, entry)| entry.content.newest() >= lost.stamp)
            });
            prop_assert!(!kept, "{lost:?} is still there");
        }
        if document.is_known() && !document.is_alive() {
            let grave = crate::Document::buried(document.removed_births(), Sequence(7));
            prop_assert_eq!(grave.version(), document.version());
            prop_assert_eq!(grave.canonical(), document.canonical());
            prop_assert_ne!(grave.version(), Version::NOTHING);
        }
    }
}
