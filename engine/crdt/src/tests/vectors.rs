//! The deltas, values and ids that `docs/protocol.md` writes out.

use ditto_value::{Object, Value, ValueRef, key};

use crate::{
    Birth, Definitions, Delta, Document, Hlc, Kind, Path, RunId, Sequence, SiteId, Slot, Stamp, Version,
};

const PAGE: &str = include_str!("../../../../docs/protocol.md");
const MORNING: u64 = 1_780_000_000_000;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(digits: &str) -> Vec<u8> {
    let digits: String = digits.split_whitespace().collect();
    assert!(digits.len().is_multiple_of(2) && digits.is_ascii(), "{digits}");
    (0..digits.len() / 2).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap()).collect()
}

fn part(heading: &str) -> &'static str {
    let part = PAGE.split("\n### ").find(|part| part.starts_with(heading)).unwrap();
    part.split("\n## ").next().unwrap()
}

/// What the page writes out: what was done, the delta, the version after it.
fn written() -> Vec<(String, Vec<u8>, String)> {
    let mut steps: Vec<(String, Vec<u8>, String)> = Vec::new();
    let block = part("Deltas").split("```").nth(1).unwrap();
    for line in block.lines().skip(1).filter(|line| !line.is_empty()) {
        if let Some((done, version)) = line.split_once("  version ") {
            steps.push((done.trim().to_owned(), Vec::new(), version.to_owned()));
        } else {
            steps.last_mut().unwrap().1.extend(bytes(line.split("   ").next().unwrap()));
        }
    }
    steps
}

fn object(json: &str) -> Object {
    Value::from_json(json).unwrap().as_object().unwrap().clone()
}

/// What the site 1 in its run 2 does with one document, a step every millisecond.
fn told() -> Vec<(String, Vec<u8>, String)> {
    let definitions = &Definitions::default();
    let path = |dotted: &str| Path::new(dotted.split('.')).unwrap();
    let (slot, mut document) = (Slot { run: RunId(2), began: Sequence(1) }, Document::new());
    let mut told = Vec::new();
    let mut step = |done: &str, change: &dyn Fn(&mut Document, Stamp, Sequence)| {
        let number = told.len() as u64;
        let stamp = Stamp::new(Hlc::from_millis(MORNING + number), SiteId(1));
        change(&mut document, stamp, Sequence(number + 1));
        let delta = document.delta_since(Sequence(number)).encode();
        let version = hex(&document.version().0.to_le_bytes());
        told.push((done.to_owned(), delta, version));
        document.clone()
    };
    step("INSERT {\"n\": 1, \"care\": {\"light\": 6}}", &|document, stamp, sequence| {
        let birth = Birth { stamp, run: RunId(2) };
        let body = object(r#"{"n": 1, "care": {"light": 6}}"#);
        document.insert(&body, definitions, birth, sequence).unwrap();
    });
    step("SET n = 2", &|document, stamp, sequence| {
        document.set(&path("n"), &Value::from(2), definitions, stamp, sequence).unwrap();
    });
    step("INCREMENT c BY 5", &|document, stamp, sequence| {
        let five = Value::from(5);
        document.increment(&path("c"), Kind::Counter, &five, slot, definitions, stamp, sequence).unwrap();
    });
    step("PN_INCREMENT p BY -0.5", &|document, stamp, sequence| {
        let half = Value::Float(-0.5);
        document.increment(&path("p"), Kind::PnCounter, &half, slot, definitions, stamp, sequence).unwrap();
    });
    step("RESTART c WITH 10", &|document, stamp, sequence| {
        document.restart(&path("c"), 10, definitions, stamp, sequence).unwrap();
    });
    let whole = step("UNSET care", &|document, stamp, sequence| {
        assert!(document.unset(&path("care"), definitions, stamp, sequence).unwrap());
    });
    step("DELETE", &|document, _, sequence| assert!(document.delete(sequence)));
    step("INSERT {\"n\": 3}", &|document, stamp, sequence| {
        let birth = Birth { stamp, run: RunId(2) };
        document.insert(&object(r#"{"n": 3}"#), definitions, birth, sequence).unwrap();
    });
    let version = hex(&whole.version().0.to_le_bytes());
    told.insert(6, ("all of it".to_owned(), whole.canonical(), version));
    told
}

#[test]
fn the_deltas_are_the_documented_ones() {
    let (told, written) = (told(), written());
    let show = |steps: &[(String, Vec<u8>, String)]| -> String {
        steps
            .iter()
            .map(|(done, delta, version)| format!("{done}  version {version}\n{}\n", hex(delta)))
            .collect()
    };
    assert!(told == written, "\n{}\n\n{}", show(&told), show(&written));
}

#[test]
fn the_documented_deltas_make_the_documented_versions() {
    let mut document = Document::new();
    for (number, (done, delta, version)) in written().into_iter().enumerate() {
        let decoded = Delta::decode(&delta).unwrap();
        assert_eq!(decoded.encode(), delta, "{done}");
        document.merge(&decoded, Sequence(number as u64 + 1));
        assert_eq!(hex(&document.version().0.to_le_bytes()), version, "{done}");
        if done == "all of it" {
            assert_eq!(hex(&Version::of_canonical(&delta).0.to_le_bytes()), version);
        }
    }
}

/// Values as the page writes them: JSON, or bytes in hexadecimal digits.
fn value(text: &str) -> Value {
    match text.strip_prefix("bytes") {
        Some(digits) => Value::Bytes(bytes(digits)),
        None => Value::from_json(text).unwrap(),
    }
}

#[test]
fn the_values_and_ids_are_the_documented_ones() {
    let mut rows = 0;
    for line in part("Values").lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let [_, text, stored, id, _] = cells[..] else { panic!("{line}") };
        let value = value(text);
        assert_eq!(hex(&value.encode()), hex(&bytes(stored)), "{text}");
        assert_eq!(ValueRef::parse(&bytes(stored)).unwrap().to_value(), value, "{text}");
        if !id.is_empty() {
            let id = bytes(id);
            assert_eq!(hex(&key::of(&value)), hex(&id), "{text}");
            let (decoded, rest) = key::decode(&id).unwrap();
            assert_eq!((decoded, rest.len()), (value, 0), "{text}");
        }
        rows += 1;
    }
    assert!(rows > 20, "the table is there");
}
