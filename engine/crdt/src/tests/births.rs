//! Documents of very many births: what somebody forges who wants to stall or to fill those who take it.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::Duration;

use ditto_value::{Object, Value};

use crate::delta::{DeltaLife, natural};
use crate::entry::{Content, Counter, Entry, EntryKey, Tally};
use crate::size::{FIRST_ENTRY, FIRST_SLOT};
use crate::{
    Birth, Definitions, Delta, Document, Hlc, Kind, MAX_PARTS, Path, RunId, Sequence, SiteId, Size, Slot,
    Stamp, WriteError, record,
};

fn birth(number: usize) -> Birth {
    Birth { stamp: at(number as u64), run: RunId(1) }
}

fn at(time: u64) -> Stamp {
    Stamp::new(Hlc::from_millis(time), SiteId(1))
}

/// Later than all births.
const LATER: u64 = 10_000_000;

/// A document of the births of these numbers, each with these entries.
fn living(births: std::ops::Range<usize>, contents: &[(EntryKey, Content)]) -> Document {
    let lives = births.map(|number| (birth(number), DeltaLife::Living(contents.to_vec()))).collect();
    let mut document = Document::new();
    document.take(Delta { lives }, Sequence(1));
    document
}

fn register(name: &str, stamp: Stamp, value: Option<i64>) -> (EntryKey, Content) {
    let key = EntryKey { path: Path::new([name]).unwrap(), kind: Kind::Register };
    (key, Content::Register { stamp, value: value.map(|value| Value::Int(value).encode().into()) })
}

fn counter(name: &str, slots: u64, stamp: Stamp) -> (EntryKey, Content) {
    let tally = Tally { increments: 1, stamp, ..Tally::default() };
    let slots = (0..slots).map(|run| (Slot { run: RunId(run), began: Sequence(1) }, tally)).collect();
    let key = EntryKey { path: Path::new([name]).unwrap(), kind: Kind::Counter };
    (key, Content::Counter(Counter { slots, ..Counter::null() }))
}

/// What goes over everything once for each birth would take at least ten times as long.
fn within_a_minute<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    std::thread::spawn(move || done.send(work()));
    result.recv_timeout(Duration::from_secs(60)).expect("it takes time linear in the document")
}

#[test]
fn attack_30_very_many_births_are_removed_in_one_pass() {
    const BIRTHS: usize = 300_000;
    let document = within_a_minute(|| {
        let mut document = living(0..BIRTHS, &[]);
        assert_eq!(document.newest_stamp(), birth(BIRTHS - 1).stamp.time);
        assert!(document.take(Delta::removed((10..BIRTHS).map(birth)), Sequence(2)).changed);
        document
    });
    assert_eq!(document.newest_stamp(), birth(9).stamp.time, "the newest of what is left");
    assert_eq!((document.living_births().count(), document.lives.len()), (10, BIRTHS));
}

#[test]
fn attack_30_what_the_removal_of_very_many_births_takes_is_found_in_one_pass() {
    const MANY: usize = 200_000;
    let lost = within_a_minute(|| {
        let written = |number| register(&format!("{number:06}"), at(LATER), Some(1));
        let dying: Vec<_> = (0..MANY).map(written).chain([counter("n", 100_000, at(LATER))]).collect();
        let mut document = living(0..MANY, &[]);
        document.take(Delta { lives: vec![(birth(0), DeltaLife::Living(dying))] }, Sequence(2));
        // The last birth has one of the registers and the counter as well.
        let surviving = vec![written(7), counter("n", 100_000, at(LATER))];
        document.take(Delta { lives: vec![(birth(MANY - 1), DeltaLife::Living(surviving))] }, Sequence(3));
        document.lost_to(&Delta::removed([birth(0)]))
    });
    assert_eq!(lost.len(), MANY - 1);
    assert!(
        lost.iter().all(|lost| lost.kind == Kind::Register && lost.path != Path::new(["000007"]).unwrap())
    );
}

/// What [`MAX_PARTS`] says that a part takes.
const PART_BYTES: usize = 150;

#[test]
fn the_first_of_several_counts_for_the_room_that_is_made_for_all() {
    // Of a leaf of a tree of the standard library, which is made whole.
    const LEAF: usize = 11;
    let leaf = |key: usize, value: usize| LEAF * (key + value);
    let entries = leaf(size_of::<EntryKey>(), size_of::<Entry>());
    let slots = leaf(size_of::<Slot>(), size_of::<Tally>());
    let payloads = leaf(size_of::<(Stamp, Box<[u8]>)>(), 0);
    println!("first leaves: {entries} bytes of entries, {slots} of slots, {payloads} of payloads");
    assert!(entries <= (Size::of_entries(1).parts + Size::of_births(1).parts) * PART_BYTES);
    assert!(slots.max(payloads) <= Size::of_slots(1).parts * PART_BYTES);
    assert_eq!((Size::of_entries(1).parts, Size::of_slots(1).parts), (1 + FIRST_ENTRY, 1 + FIRST_SLOT));
    assert_eq!((Size::of_entries(0), Size::of_slots(0)), (Size::default(), Size::default()));
}

#[test]
fn births_with_entries_are_bounded_by_what_they_take_and_alike_wherever_they_are_looked_at() {
    // One part for the birth, one for the entry, six for the room beside it.
    const MOST: usize = MAX_PARTS / 8;
    let forms = [
        ("natural", vec![register("x", Stamp::ZERO, Some(1))]),
        ("listed", vec![register("x", at(LATER), None)]),
    ];
    for (form, contents) in forms {
        let lives = (0..MOST).map(|number| {
            let contents = contents.iter().cloned().map(|(key, content)| match content {
                Content::Register { value: Some(value), .. } => {
                    (key, Content::Register { stamp: birth(number).stamp, value: Some(value) })
                }
                content => (key, content),
            });
            (birth(number), DeltaLife::Living(contents.collect()))
        });
        let mut delta = Delta { lives: lives.collect() };
        let bytes = delta.encode();
        Delta::decode(&bytes).expect(form);
        delta.lives.push((birth(MOST), DeltaLife::Removed));
        let bytes = delta.encode();
        assert!(Delta::decode(&bytes).expect_err(form).too_large, "{form}");
        let received = record::receive(&Value::from(1), &bytes, Sequence(1));
        assert!(received.expect_err(form).too_large, "{form}");

        let mut document = Document::new();
        document.take(delta, Sequence(1));
        assert_eq!(document.size().parts, MAX_PARTS + 1, "{form}");
        assert!(document.checked_version().is_err(), "{form}");
        document.take(Delta::removed([birth(0)]), Sequence(2));
        assert!(document.checked_version().is_ok(), "{form}: what is removed takes its entries with it");
    }
}

#[test]
fn one_birth_counts_alike_in_a_delta_that_is_read_at_once_and_in_one_that_is_decoded() {
    let delta = |members: usize| {
        let object: Object = (0..members).map(|name| (format!("{name:x}"), Value::Null)).collect();
        let object = Value::from(object).encode();
        [natural::head(birth(1), object.len()), object].concat()
    };
    let most = MAX_PARTS - FIRST_ENTRY - 1;
    assert!(record::receive(&Value::from(1), &delta(most), Sequence(1)).is_ok());
    let more = delta(most + 1);
    assert!(record::receive(&Value::from(1), &more, Sequence(1)).expect_err("received").too_large);
    assert!(Delta::decode(&more).expect_err("decoded").too_large);
}

/// A document of the size that its delta was found to have, whatever is in it.
#[test]
fn a_delta_is_refused_exactly_where_the_document_that_it_makes_is() {
    let contents =
        [counter("n", 3, at(LATER)), register("x", at(LATER), Some(1)), register("y", at(LATER), None)];
    let one = living(0..1, &contents).size().parts;
    assert_eq!(one, 1 + (3 + 6) + (3 + 4));
    let lives: BTreeMap<Birth, DeltaLife> = (0..MAX_PARTS / one)
        .map(|number| (birth(number), DeltaLife::Living(contents.to_vec())))
        .chain((0..MAX_PARTS % one).map(|number| (birth(LATER as usize + number), DeltaLife::Removed)))
        .collect();
    let mut delta = Delta { lives: lives.into_iter().collect() };
    let mut document = Document::new();
    document.merge(&delta, Sequence(1));
    assert_eq!(document.size().parts, MAX_PARTS);
    assert!(Delta::decode(&delta.encode()).is_ok());
    delta.lives.push((birth(2 * LATER as usize), DeltaLife::Living(Vec::new())));
    assert!(Delta::decode(&delta.encode()).is_err());
}

struct Statement {
    document: Document,
    sequence: u64,
}

impl Statement {
    fn stamp(&self) -> Stamp {
        at(LATER + self.sequence)
    }

    fn set(&mut self, names: &[&str], value: &Value) -> Result<(), WriteError> {
        let (path, stamp) = (Path::new(names.iter().copied()).unwrap(), self.stamp());
        self.document.set(&path, value, &Definitions::default(), stamp, Sequence(self.sequence))
    }

    fn increment(&mut self, names: &[&str]) -> Result<(), WriteError> {
        let (path, stamp) = (Path::new(names.iter().copied()).unwrap(), self.stamp());
        let slot = Slot { run: RunId(1), began: Sequence(1) };
        let (by, sequence) = (Value::Int(1), Sequence(self.sequence));
        self.document.increment(&path, Kind::Counter, &by, slot, &Definitions::default(), stamp, sequence)
    }

    fn restart(&mut self, names: &[&str]) -> Result<(), WriteError> {
        let (path, stamp) = (Path::new(names.iter().copied()).unwrap(), self.stamp());
        self.document.restart(&path, 1, &Definitions::default(), stamp, Sequence(self.sequence))
    }

    fn insert(&mut self, value: Value) -> Result<bool, WriteError> {
        let birth = Birth { stamp: self.stamp(), run: RunId(9) };
        let body = Object::from([("x", value)]);
        self.document.insert(&body, &Definitions::default(), birth, Sequence(self.sequence))
    }
}

fn statement(births: usize) -> Statement {
    Statement { document: living(0..births, &[]), sequence: 2 }
}

#[test]
fn attack_30_a_write_that_very_many_births_would_multiply_is_refused_before_it_is_made() {
    const BIRTHS: usize = 1_000;
    let refused = WriteError::TooManyBirths { births: BIRTHS };
    let mut many = statement(BIRTHS);
    let before = many.document.canonical();
    let long = Value::from("x".repeat(100_000));
    assert_eq!(many.set(&["x"], &long), Err(refused.clone()));
    assert_eq!(many.insert(long.clone()), Err(refused.clone()));
    // Each map on the way spells the whole path to it.
    let deep: Vec<String> = (0..100).map(|_| "n".repeat(50)).collect();
    let deep: Vec<&str> = deep.iter().map(String::as_str).collect();
    assert_eq!(many.set(&deep, &Value::Null), Err(refused.clone()));
    assert_eq!(many.increment(&deep), Err(refused.clone()));
    assert_eq!(many.restart(&deep), Err(refused));
    assert_eq!(many.document.canonical(), before, "it is unchanged");
    assert_eq!(many.document.newest_sequence(), Sequence(1));

    many.set(&["x"], &Value::from("short")).unwrap();
    many.increment(&["n"]).unwrap();
    many.restart(&["r"]).unwrap();
    assert!(many.document.delete(Sequence(3)), "it can be deleted");
    many.sequence = 3;
    assert!(many.insert(long).unwrap(), "and inserted anew");

    let mut few = statement(13);
    few.set(&["x"], &Value::from("x".repeat(4 << 20))).expect("as large as honest peers write");
    assert!(few.document.checked_version().is_ok());
}

#[test]
fn attack_30_what_very_many_births_would_take_with_their_first_entry_is_counted() {
    // With one part for the entry itself; with one for its slot and four for the room beside that.
    let (register, counter) = (1 + FIRST_ENTRY, 1 + FIRST_ENTRY + 1 + FIRST_SLOT);
    let refused = |births| Err(WriteError::TooManyBirths { births });
    let births = MAX_PARTS / register;
    assert_eq!(statement(births).set(&["x"], &Value::Null), Ok(()));
    assert_eq!(statement(births + 1).set(&["x"], &Value::Null), refused(births + 1));
    let births = MAX_PARTS / counter;
    assert_eq!(statement(births).increment(&["n"]), Ok(()));
    assert_eq!(statement(births + 1).increment(&["n"]), refused(births + 1));
}

#[test]
fn attack_30_the_writes_of_one_statement_are_counted_together() {
    const BIRTHS: usize = 1_000;
    let mut many = statement(BIRTHS);
    // Two of them are 60 MB.
    let value = Value::from("x".repeat(30_000));
    many.set(&["a"], &value).unwrap();
    many.set(&["b"], &value).unwrap();
    assert_eq!(many.set(&["c"], &value), Err(WriteError::TooManyBirths { births: BIRTHS }));
    many.sequence += 1;
    many.set(&["c"], &value).expect("the next statement finds a document that was found to be small enough");
}

#[test]
fn a_write_under_one_birth_is_as_large_as_it_likes() {
    let mut one = statement(1);
    one.set(&["x"], &Value::from("x".repeat(70 << 20))).unwrap();
    let mut reborn = statement(1_000);
    reborn.document.take(Delta::removed((1..1_000).map(birth)), Sequence(2));
    reborn.sequence = 3;
    reborn.set(&["x"], &Value::from("x".repeat(1 << 20))).expect("what is removed takes no copy");
}
