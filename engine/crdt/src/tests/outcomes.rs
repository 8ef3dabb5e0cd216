//! Outcomes that the language documents: kinds under one name, definitions, strict mode; and what records cost.

use ditto_value::{Object, Value};

use super::peers::{Peer, id, names_of, path};
use crate::{
    Birth, Definition, Definitions, Delta, Document, Hlc, Kind, RunId, Sequence, SiteId, Slot, Stamp,
    WriteError, record,
};

fn object(json: &str) -> Object {
    Value::from_json(json).unwrap().as_object().unwrap().clone()
}

/// One document and a clock.
struct Writer {
    document: Document,
    time: u64,
}

impl Writer {
    fn inserted(body: &str, definitions: &Definitions) -> Self {
        let mut writer = Self { document: Document::new(), time: 0 };
        let (stamp, sequence) = writer.next();
        let birth = Birth { stamp, run: RunId(1) };
        writer.document.insert(&object(body), definitions, birth, sequence).unwrap();
        writer
    }

    fn next(&mut self) -> (Stamp, Sequence) {
        self.time += 1;
        (Stamp::new(Hlc::from_millis(self.time), SiteId(1)), Sequence(self.time))
    }

    fn set(&mut self, dotted: &str, value: &str, definitions: &Definitions) -> Result<(), WriteError> {
        let (stamp, sequence) = self.next();
        let value = Value::from_json(value).unwrap();
        self.document.set(&path(&names_of(dotted)), &value, definitions, stamp, sequence)
    }

    fn unset(&mut self, dotted: &str, definitions: &Definitions) -> Result<bool, WriteError> {
        let (stamp, sequence) = self.next();
        self.document.unset(&path(&names_of(dotted)), definitions, stamp, sequence)
    }

    fn increment(
        &mut self,
        dotted: &str,
        kind: Kind,
        by: &str,
        definitions: &Definitions,
    ) -> Result<(), WriteError> {
        let (stamp, sequence) = self.next();
        let by = Value::from_json(by).unwrap();
        let slot = Slot { run: RunId(1), began: self.document.began() };
        self.document.increment(&path(&names_of(dotted)), kind, &by, slot, definitions, stamp, sequence)
    }

    fn json(&self, definitions: &Definitions) -> String {
        let mut seen = self.document.visible(&id(), definitions).unwrap();
        seen.remove("_id");
        Value::from(seen).to_json()
    }
}

fn declared(name: &str, kind: Kind) -> Definitions {
    Definitions::default().with(name, Definition::of(kind))
}

fn strict() -> Definitions {
    Definitions::new(true)
}

#[test]
fn an_object_as_register_and_a_member_below_it_are_two_kinds() {
    let none = Definitions::default();
    let register = declared("care", Kind::Register);
    let mut writer = Writer::inserted(r#"{"care": {"a": 1, "b": 2}}"#, &register);
    assert_eq!(writer.json(&none), r#"{"care":{"a":1,"b":2}}"#);
    writer.set("care.a", "9", &none).unwrap();
    assert_eq!(writer.json(&none), r#"{"care":{"a":9}}"#);
    assert_eq!(writer.json(&register), r#"{"care":{"a":1,"b":2}}"#);
    assert_eq!(
        writer.set("care.a", "9", &register),
        Err(WriteError::NotAMap { path: path(&names_of("care")), kind: Kind::Register })
    );
}

#[test]
fn assigning_a_map_merges_and_old_members_reappear() {
    let none = Definitions::default();
    let mut writer = Writer::inserted(r#"{"care": {"water": "daily", "light": 6}}"#, &none);
    for (dotted, value, expected) in [
        ("care.light", "8", r#"{"care":{"light":8,"water":"daily"}}"#),
        ("care", r#"{"feed":"weekly"}"#, r#"{"care":{"feed":"weekly","light":8,"water":"daily"}}"#),
        ("care", "{}", r#"{"care":{"feed":"weekly","light":8,"water":"daily"}}"#),
        ("care", "5", r#"{"care":5}"#),
        ("care", r#"{"x":1}"#, r#"{"care":{"feed":"weekly","light":8,"water":"daily","x":1}}"#),
    ] {
        writer.set(dotted, value, &none).unwrap();
        assert_eq!(writer.json(&none), expected);
    }
    assert!(writer.unset("care", &none).unwrap());
    assert_eq!(writer.json(&none), "{}");
    assert!(!writer.unset("care", &none).unwrap());
    writer.set("care", r#"{"feed":"weekly"}"#, &none).unwrap();
    assert_eq!(writer.json(&none), r#"{"care":{"feed":"weekly"}}"#);
}

#[test]
fn statements_of_one_transaction_replace_each_other() {
    let none = Definitions::default();
    let mut writer = Writer::inserted(r#"{"care": {"water": 1}}"#, &none);
    let (stamp, sequence) = writer.next();
    let care = path(&names_of("care"));
    writer.document.unset(&care, &none, stamp, sequence).unwrap();
    writer.document.set(&care, &object(r#"{"feed": 2}"#).into(), &none, stamp, sequence).unwrap();
    assert_eq!(writer.json(&none), r#"{"care":{"feed":2}}"#);
    let earlier = Stamp::new(Hlc::ZERO, SiteId(9));
    let refused = writer.document.set(&care, &Value::Null, &none, earlier, sequence);
    assert!(matches!(refused, Err(WriteError::NotNewer { .. })));
}

#[test]
fn counters_are_kinds_of_their_own() {
    let none = Definitions::default();
    let mut writer = Writer::inserted(r#"{"uses": 10}"#, &none);
    writer.increment("uses", Kind::PnCounter, "4", &none).unwrap();
    writer.increment("uses", Kind::PnCounter, "4", &none).unwrap();
    assert_eq!(writer.json(&none), r#"{"uses":8}"#);
    writer.increment("uses", Kind::Counter, "1", &none).unwrap();
    assert_eq!(writer.json(&none), r#"{"uses":1}"#);
    assert_eq!(writer.json(&declared("uses", Kind::PnCounter)), r#"{"uses":8}"#);
    assert_eq!(writer.json(&declared("uses", Kind::Register)), r#"{"uses":10}"#);
    assert_eq!(writer.json(&declared("uses", Kind::Attachment)), "{}");
    writer.increment("uses", Kind::PnCounter, "-0.5", &none).unwrap();
    assert_eq!(writer.json(&none), r#"{"uses":7.5}"#);
    assert!(matches!(
        writer.increment("uses", Kind::Counter, "0.5", &none),
        Err(WriteError::WrongType { kind: Kind::Counter, .. })
    ));
}

#[test]
fn a_declared_counter_starts_at_its_initial_value_and_does_not_overflow() {
    let (none, counter) = (Definitions::default(), declared("n", Kind::Counter));
    let mut writer = Writer::inserted(r#"{"n": 9223372036854775806}"#, &counter);
    writer.increment("n", Kind::Counter, "1", &none).unwrap();
    assert_eq!(writer.json(&none), r#"{"n":9223372036854775807}"#);
    let version = writer.document.version();
    assert!(matches!(writer.increment("n", Kind::Counter, "1", &none), Err(WriteError::Overflow { .. })));
    assert_eq!(writer.document.version(), version, "a refused write changes nothing");
    assert!(matches!(writer.set("n", "1", &counter), Err(WriteError::CounterAssigned { .. })));
    let refused = writer.increment("n", Kind::PnCounter, "1", &counter).unwrap_err();
    assert!(
        matches!(refused, WriteError::OtherKind { declared: Kind::Counter, needed: Kind::PnCounter, .. }),
        "{refused}"
    );
    assert!(refused.to_string().ends_with("count with APPLY n INCREMENT BY"), "{refused}");
    let refused = writer.increment("n", Kind::Counter, "1", &declared("n", Kind::PnCounter)).unwrap_err();
    assert!(refused.to_string().ends_with("count with APPLY n PN_INCREMENT BY"), "{refused}");
}

#[test]
fn a_counter_that_has_counted_all_it_can_says_how_it_counts_on() {
    let none = Definitions::default();
    let mut writer = Writer::inserted("{}", &none);
    // Up and down by as much as there is: the value stays small, what was counted does not.
    for _ in 0..2 {
        writer.increment("n", Kind::Counter, "9223372036854775807", &none).unwrap();
        writer.increment("n", Kind::Counter, "-9223372036854775807", &none).unwrap();
    }
    writer.increment("n", Kind::Counter, "1", &none).unwrap();
    let refused = writer.increment("n", Kind::Counter, "5", &none).unwrap_err();
    assert_eq!(refused, WriteError::CountedOut { path: path(&names_of("n")), value: 1 });
    assert!(refused.to_string().contains("APPLY n RESTART WITH 1 lets it count on"), "{refused}");
    let (stamp, sequence) = writer.next();
    writer.document.restart(&path(&names_of("n")), 1, &none, stamp, sequence).unwrap();
    writer.increment("n", Kind::Counter, "5", &none).unwrap();
    assert_eq!(writer.json(&none), r#"{"n":6}"#);
    let refused = writer.increment("n", Kind::Counter, "9223372036854775807", &none).unwrap_err();
    assert!(refused.to_string().contains("APPLY n RESTART WITH"), "{refused}");
}

#[test]
fn a_legacy_counter_counts_whole_numbers_exactly_or_not_at_all() {
    let none = Definitions::default();
    let mut writer = Writer::inserted("{}", &none);
    let mut count = |by: &str| writer.increment("n", Kind::PnCounter, by, &none);
    count("9007199254740991").unwrap();
    count("1").unwrap();
    for by in ["1", "3", "0.5", "1e-300", "1e308"] {
        let refused = count(by).unwrap_err();
        assert!(matches!(refused, WriteError::Inexact { .. }), "{by}: {refused}");
        assert!(refused.to_string().contains("UNSET n and count anew"), "{refused}");
    }
    count("0").unwrap();
    count("2").unwrap();
    count("-2").unwrap();
    assert_eq!(writer.json(&none), r#"{"n":9007199254740992}"#);
    writer.unset("n", &none).unwrap();
    writer.increment("n", Kind::PnCounter, "0.1", &none).unwrap();
    writer.increment("n", Kind::PnCounter, "0.2", &none).unwrap();
    assert_eq!(writer.json(&none), r#"{"n":0.30000000000000004}"#, "fractions are what doubles make of them");
    writer.increment("m", Kind::PnCounter, "1.5e308", &none).unwrap();
    let refused = writer.increment("m", Kind::PnCounter, "1.5e308", &none).unwrap_err();
    assert!(matches!(refused, WriteError::Overflow { .. }), "{refused}");
}

#[test]
fn strict_mode_sees_and_writes_registers_only() {
    let none = Definitions::default();
    let mut writer = Writer::inserted(r#"{"care": {"light": 6}, "name": "fern"}"#, &none);
    assert_eq!(writer.json(&strict()), r#"{"name":"fern"}"#);
    assert_eq!(
        writer.json(&strict().with("care", Definition::of(Kind::Map))),
        r#"{"care":{"light":6},"name":"fern"}"#
    );
    assert!(matches!(writer.set("care.light", "1", &strict()), Err(WriteError::NotAMap { .. })));
    assert!(!writer.unset("care", &strict()).unwrap());
    writer.set("care", r#"{"x":{"y":1}}"#, &strict()).unwrap();
    assert_eq!(writer.json(&strict()), r#"{"care":{"x":{"y":1}},"name":"fern"}"#);
    assert_eq!(writer.json(&declared("care", Kind::Map)), r#"{"care":{"light":6},"name":"fern"}"#);
    assert!(writer.unset("care", &strict()).unwrap());
    assert_eq!(writer.json(&none), r#"{"care":{"light":6},"name":"fern"}"#, "the map was not meant");
}

#[test]
fn nested_definitions_hold_below_their_map() {
    let inner =
        Definition::map([("log", Definition::of(Kind::Register)), ("n", Definition::of(Kind::Counter))]);
    let definitions = Definitions::default().with("care", inner);
    let mut writer =
        Writer::inserted(r#"{"care": {"log": {"a": 1}, "n": 2, "free": {"b": 1}}}"#, &definitions);
    let none = Definitions::default();
    assert!(matches!(writer.set("care.log.a", "2", &definitions), Err(WriteError::NotAMap { .. })));
    writer.set("care.free.b", "2", &definitions).unwrap();
    writer.increment("care.n", Kind::Counter, "3", &definitions).unwrap();
    assert_eq!(writer.json(&none), r#"{"care":{"free":{"b":2},"log":{"a":1},"n":5}}"#);
    assert!(matches!(
        writer.set("care", "1", &definitions),
        Err(WriteError::WrongType { kind: Kind::Map, .. })
    ));
}

#[test]
fn attachments_are_registers_of_their_own_kind() {
    let attachment = declared("photo", Kind::Attachment);
    let none = Definitions::default();
    let token = format!(r#"{{"id":"{}","len":3,"metadata":{{}}}}"#, "a".repeat(42) + "A");
    let body = format!(r#"{{"photo":{token}}}"#);
    for definitions in [&attachment, &none] {
        let writer = Writer::inserted(&body, definitions);
        assert_eq!(writer.json(&none), body);
        assert_eq!(writer.json(&attachment), body);
        assert_eq!(writer.json(&declared("photo", Kind::Map)), "{}");
        let stored = record::encode(&writer.document, &id());
        let again = crate::Record::parse(&stored).unwrap().document().unwrap();
        assert_eq!(again.canonical(), writer.document.canonical());
        let birth = writer.document.living_births().next().unwrap();
        let inserted = record::insert(&id(), &object(&body), definitions, birth, Sequence(1)).unwrap();
        assert_eq!(inserted.record, stored);
    }
    // Where something else is declared, or assumed, it is that.
    for (definitions, kind) in [(declared("photo", Kind::Map), Kind::Map), (strict(), Kind::Register)] {
        let writer = Writer::inserted(&body, &definitions);
        assert_eq!(writer.json(&declared("photo", kind)), body);
        assert_eq!(writer.json(&attachment), "{}");
    }
    let mut writer = Writer::inserted(r#"{"care": {"light": 1}}"#, &none);
    writer.set("care.photo", &token, &none).unwrap();
    assert_eq!(writer.json(&none), format!(r#"{{"care":{{"light":1,"photo":{token}}}}}"#));
    for wrong in [r#"{"id":"abc","len":3,"metadata":{}}"#, "5"] {
        let refused = writer.set("photo", wrong, &attachment).unwrap_err();
        assert!(matches!(refused, WriteError::NotAToken { .. }), "{refused}");
        assert!(refused.to_string().contains("`photo` is declared ATTACHMENT"), "{refused}");
    }
}

#[test]
fn a_map_removed_concurrently_with_a_write_below_keeps_the_write() {
    for lag in [0, 500] {
        let (mut a, mut b) = (Peer::new(0, 0), Peer::new(1, lag));
        a.insert(&object(r#"{"care": {"light": 1, "tips": {}}}"#));
        b.receive_all(&a);
        a.unset(&names_of("care")).unwrap();
        b.set(&names_of("care.feed"), &Value::from("x")).unwrap();
        a.receive_all(&b);
        b.receive_all(&a);
        assert_eq!(a.json(), r#"{"care":{"feed":"x"}}"#);
        assert_eq!(b.json(), a.json());
    }
}

/// What both have after each did something to `before` that the other had not seen; whichever clock is ahead.
fn apart(before: &str, one: impl Fn(&mut Peer), other: impl Fn(&mut Peer)) -> [String; 2] {
    [(0, 500), (500, 0)].map(|(lag, other_lag)| {
        let (mut a, mut b) = (Peer::new(0, lag), Peer::new(1, other_lag));
        a.insert(&object(before));
        b.receive_all(&a);
        one(&mut a);
        other(&mut b);
        a.receive_all(&b);
        b.receive_all(&a);
        assert_eq!(a.document.canonical(), b.document.canonical());
        assert_eq!(a.visible(), a.model.visible(&id(), &Definitions::default()));
        a.json()
    })
}

#[test]
fn a_member_of_a_removed_map_survives_if_the_removal_has_not_seen_its_newest_value() {
    let before = r#"{"care": {"light": 1, "tips": {"n": 1, "m": 2}}}"#;
    let unset = |peer: &mut Peer| assert!(peer.unset(&names_of("care")).unwrap());
    let set = |dotted: &'static str, value: Value| {
        move |peer: &mut Peer| peer.set(&names_of(dotted), &value).unwrap()
    };
    for (write, expected) in [
        (set("care.light", 7.into()), r#"{"care":{"light":7}}"#),
        (set("care.tips.n", 5.into()), r#"{"care":{"tips":{"n":5}}}"#),
        (set("care", object(r#"{"tips": {}}"#).into()), r#"{"care":{"tips":{}}}"#),
        (set("care.tips", 3.into()), r#"{"care":{"tips":3}}"#),
        (set("care", 3.into()), r#"{"care":3}"#),
    ] {
        assert_eq!(apart(before, unset, write), [expected, expected]);
    }
    let both = apart(before, unset, |peer| assert!(peer.unset(&names_of("care.tips")).unwrap()));
    assert_eq!(both, ["{}", "{}"]);
}

#[test]
fn a_removed_map_stays_removed_whatever_older_copies_arrive() {
    let (mut a, mut b, mut c) = (Peer::new(0, 0), Peer::new(1, 0), Peer::new(2, 90_000_000));
    a.insert(&object(r#"{"care": {"light": 1}}"#));
    c.receive_all(&a);
    a.set(&names_of("care.light"), &Value::from(2)).unwrap();
    b.receive_all(&a);
    b.unset(&names_of("care")).unwrap();
    b.store();
    b.receive_all(&a);
    b.receive_all(&c);
    c.receive_all(&b);
    c.receive_all(&a);
    assert_eq!((b.json(), c.json()), ("{}".to_owned(), "{}".to_owned()));
    c.set(&names_of("care.light"), &Value::from(3)).unwrap();
    b.receive_all(&c);
    assert_eq!(b.json(), r#"{"care":{"light":3}}"#, "who has seen the removal writes anew");
}

#[test]
fn of_a_counter_below_a_removed_map_only_what_restarts_it_survives() {
    let before = r#"{"care": {"light": 1}}"#;
    let unset = |peer: &mut Peer| assert!(peer.unset(&names_of("care")).unwrap());
    let increment = |peer: &mut Peer| peer.increment(&names_of("care.n"), 5).unwrap();
    let first = r#"{"care":{"n":5}}"#;
    assert_eq!(apart(before, unset, increment), [first, first], "a counter that the removal has not seen");
    for kind in [Kind::Counter, Kind::PnCounter] {
        let counted = |lag, other_lag| {
            let (mut a, mut b) = (Peer::new(0, lag), Peer::new(1, other_lag));
            a.insert(&object(before));
            a.count(&names_of("care.n"), kind, 2.0).unwrap();
            b.receive_all(&a);
            (a, b)
        };
        for (lag, other_lag) in [(0, 500), (500, 0)] {
            let (mut a, mut b) = counted(lag, other_lag);
            a.unset(&names_of("care")).unwrap();
            b.count(&names_of("care.n"), kind, 5.0).unwrap();
            a.receive_all(&b);
            assert_eq!(a.json(), "{}", "the increment went to what was removed");
            b.receive_all(&a);
            a.count(&names_of("care.n"), kind, 3.0).unwrap();
            b.count(&names_of("care.n"), kind, 4.0).unwrap();
            a.receive_all(&b);
            assert_eq!(a.json(), r#"{"care":{"n":7}}"#, "it counts anew");
        }
    }
    for (lag, other_lag) in [(0, 500), (500, 0)] {
        let (mut a, mut b) = (Peer::new(0, lag), Peer::new(1, other_lag));
        a.insert(&object(before));
        a.increment(&names_of("care.n"), 2).unwrap();
        b.receive_all(&a);
        a.unset(&names_of("care")).unwrap();
        b.restart(&names_of("care.n"), 9).unwrap();
        b.increment(&names_of("care.n"), 1).unwrap();
        a.receive_all(&b);
        assert_eq!(a.json(), r#"{"care":{"n":10}}"#);
        // Both remove it apart from each other, and count on: it is one removal.
        b.receive_all(&a);
        a.unset(&names_of("care")).unwrap();
        b.unset(&names_of("care")).unwrap();
        a.increment(&names_of("care.n"), 1).unwrap();
        b.increment(&names_of("care.n"), 1).unwrap();
        a.receive_all(&b);
        assert_eq!(a.json(), r#"{"care":{"n":2}}"#);
    }
}

#[test]
fn removing_a_seed_below_a_map_removes_it_whatever_others_were_seeded_with() {
    let seeded = |peer: &mut Peer, body: &str| {
        let definitions = Definitions::default();
        peer.document.insert(&object(body), &definitions, Birth::INITIAL, Sequence(1)).unwrap();
    };
    let (mut a, mut b) = (Peer::new(0, 0), Peer::new(1, 0));
    seeded(&mut a, r#"{"care": {"light": 1}}"#);
    seeded(&mut b, r#"{"care": {"light": 2, "water": 2}}"#);
    a.unset(&names_of("care")).unwrap();
    a.receive(&b.document.delta_since(Sequence::ZERO));
    b.receive(&a.document.delta_since(Sequence::ZERO));
    assert_eq!(a.json(), r#"{"care":{"water":2}}"#, "what it has not seen stays");
    assert_eq!(b.json(), a.json());
}

#[test]
fn a_delete_beats_a_concurrent_update() {
    for lag in [0, 500] {
        let (mut a, mut b) = (Peer::new(0, lag), Peer::new(1, 0));
        a.insert(&object(r#"{"x": 1}"#));
        b.receive_all(&a);
        a.delete();
        b.set(&names_of("x"), &Value::from(2)).unwrap();
        a.receive_all(&b);
        b.receive_all(&a);
        assert_eq!((a.json().as_str(), b.json().as_str()), ("deleted", "deleted"));
        assert!(matches!(a.set(&names_of("x"), &Value::from(3)), Err(WriteError::NotAlive)));
        a.insert(&object(r#"{"y": 1}"#));
        assert_eq!(a.json(), r#"{"y":1}"#, "nothing of the older life leaks into the newer one");
    }
}

#[test]
fn entries_of_unknown_kinds_are_kept_forwarded_and_merged() {
    let peer = Writer::inserted(r#"{"a": 1}"#, &Definitions::default());
    let known = peer.document.canonical();
    // One more entry, `b` of kind 200 with one payload: name, kind, one payload, the birth's mark, three bytes.
    let with = |payload: &[u8; 3]| {
        // Format, number of lives and birth; then two entries, of which the first is the register.
        let mut bytes = [&known[..26], &[4, 2, b'a', 0, 0, 0, 3, 3, 1]].concat();
        bytes.extend_from_slice(&[2, b'b', 0, 200, 1, 0, 3]);
        bytes.extend_from_slice(payload);
        Delta::decode(&bytes).unwrap()
    };
    let (left, right) = (with(b"xyz"), with(b"abc"));
    let mut document = Document::new();
    assert!(document.merge(&left, Sequence(1)).changed);
    assert!(document.merge(&right, Sequence(2)).changed);
    assert!(!document.merge(&left, Sequence(3)).changed);
    let stored = record::encode(&document, &id());
    let again = crate::Record::parse(&stored).unwrap().document().unwrap();
    let forwarded = again.canonical();
    assert!(
        forwarded.windows(3).any(|bytes| bytes == b"xyz")
            && forwarded.windows(3).any(|bytes| bytes == b"abc")
    );
    assert_eq!(again.version(), document.version());
    assert_eq!(
        Value::from(again.visible(&id(), &Definitions::default()).unwrap()).to_json(),
        r#"{"_id":"p1","a":1}"#
    );
    let mut other = Document::new();
    other.merge(&right, Sequence(1));
    other.merge(&left, Sequence(1));
    assert_eq!(other.canonical(), forwarded);
}

#[test]
fn a_fresh_document_costs_about_fifty_bytes_besides_its_value() {
    let body = object(r#"{"name": "fern", "care": {"light": 6, "water": "daily"}, "tags": [1, 2, 3]}"#);
    let birth = Birth {
        stamp: Stamp::new(Hlc::from_millis(1_800_000_000_000), SiteId(u64::MAX)),
        run: RunId(u64::MAX),
    };
    let inserted = record::insert(&id(), &body, &Definitions::default(), birth, Sequence(1_000_000)).unwrap();
    let stored = crate::Record::parse(&inserted.record).unwrap();
    assert!(stored.is_plain());
    let overhead = inserted.record.len() - stored.value.bytes().len();
    assert!(overhead <= 48, "{overhead}");
    let mut document = stored.document().unwrap();
    let stamp = Stamp::new(Hlc::from_millis(1_800_000_000_001), SiteId(1));
    let light = path(&names_of("care.light"));
    document.set(&light, &Value::from(7), &Definitions::default(), stamp, Sequence(1_000_001)).unwrap();
    let updated = record::encode(&document, &id());
    assert!(updated.len() - inserted.record.len() < 60, "one member with another stamp");
}

#[test]
fn a_fresh_document_travels_in_fewer_bytes_than_its_json() {
    let json = r#"{"_id":"01HV6Z9JQ2","amenities":{"parking":true,"seats":42,"toilets":false},"city":"Aarhus","location":{"lat":56.1572,"lon":10.2107},"name":"Café Fern & Moss","opened":"2019-04-01","phone":"+45 12 34 56 78","rating":4.5,"tags":["coffee","plants","quiet"],"website":"https://example.org/fern-and-moss"}"#;
    let mut body = object(json);
    let id = body.remove("_id").unwrap();
    let birth = Birth { stamp: Stamp::new(Hlc::from_millis(1), SiteId(1)), run: RunId(1) };
    let inserted = record::insert(&id, &body, &Definitions::default(), birth, Sequence(1)).unwrap();
    let delta = crate::Record::parse(&inserted.record).unwrap().delta_since(Sequence::ZERO).unwrap();
    assert!(delta.len() < json.len(), "{} bytes for {}", delta.len(), json.len());
}

#[test]
fn nesting_beyond_the_limit_is_refused_and_changes_nothing() {
    let none = Definitions::default();
    let mut writer = Writer::inserted("{}", &none);
    let deep =
        |levels: usize| (0..levels).fold(Value::Int(1), |inner, _| Object::from([("a", inner)]).into());
    let version = writer.document.version();
    let (stamp, sequence) = writer.next();
    let long = path(&vec!["a".to_owned(); 100]);
    let too_deep = writer.document.set(&long, &deep(29), &none, stamp, sequence);
    assert!(too_deep.is_err());
    assert_eq!(writer.document.version(), version);
    writer.document.set(&long, &deep(28), &none, stamp, sequence).unwrap();
    assert_eq!(Value::from(writer.document.visible(&id(), &none).unwrap()).depth(), 128);
    let array = (0..127).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
    let birth = Birth { stamp, run: RunId(3) };
    assert!(record::insert(&id(), &Object::from([("a", array.clone())]), &none, birth, sequence).is_ok());
    let array = Value::Array(vec![array]);
    assert!(record::insert(&id(), &Object::from([("a", array)]), &none, birth, sequence).is_err());
}
