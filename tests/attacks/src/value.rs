//! Values: the binary form, CBOR, JSON, keys.

use std::cmp::Ordering;

use ditto_value::{Value, ValueKind, ValueRef, binary as binary_form, compare, key as keys};

/// The binary form, checked and unchecked.
pub fn binary(data: &[u8]) {
    let checked = ValueRef::parse(data);
    read_everything(ValueRef::from_stored(data));
    let Ok(stored) = checked else { return };
    let value = stored.to_value();
    assert_eq!(value.encode(), data, "a value has one encoding");
    assert_eq!(compare(&value, stored), Ordering::Equal);
    assert_eq!(value.depth(), stored.depth());
    assert_eq!(value.to_json(), stored.to_json());
    let mut cbor = Vec::new();
    stored.write_cbor(&mut cbor);
    assert_eq!(cbor, value.to_cbor());
    assert_eq!(binary_form::from_cbor(&cbor).expect("CBOR holds every value"), data);
    let text = value.to_json();
    // The JSON reader takes one level less.
    if value.depth() < ditto_value::MAX_DEPTH - 1 {
        assert_eq!(Value::from_json(&text).expect("it was written as JSON").to_json(), text);
    }
    let key = keys::of(stored);
    let (decoded, rest) = keys::decode(&key).expect("it was written as a key");
    assert!(rest.is_empty());
    assert_eq!(compare(&decoded, stored), Ordering::Equal);
    assert_eq!(keys::of(&decoded), key);
}

/// Every reading of bytes that nobody has checked.
fn read_everything(stored: ValueRef<'_>) {
    let value = stored.to_value();
    assert_eq!(ValueRef::from_stored(&value.encode()).to_value(), value);
    let _ = (stored.kind(), stored.len(), stored.depth(), stored.to_json(), stored.compare(stored));
    let _ = (stored.as_bool(), stored.as_i64(), stored.as_u64(), stored.as_f64(), stored.as_str());
    let _ =
        (stored.as_bytes(), stored.get("a"), stored.path(["a", "b"]), stored.at(0), stored.at(usize::MAX));
    let _ = (keys::of(stored), stored.to_object());
    for (name, _) in stored.members().take(64) {
        let _ = stored.get(name);
    }
    for element in stored.elements().take(64) {
        let _ = element.kind();
    }
}

/// One CBOR item.
pub fn cbor(data: &[u8]) {
    let transcoded = binary_form::from_cbor(data);
    let decoded = Value::from_cbor(data);
    match (transcoded, decoded) {
        (Ok(binary), Ok(value)) => {
            assert_eq!(binary, value.encode(), "two ways to read CBOR disagree");
            assert!(ValueRef::parse(&binary).is_ok(), "what comes from CBOR is not a valid value");
            let written = value.to_cbor();
            assert_eq!(Value::from_cbor(&written).expect("it was written as CBOR").encode(), binary);
            assert_eq!(Value::from_cbor(&written).expect("just now").to_cbor(), written);
        }
        (Err(_), Err(_)) => {}
        (binary, value) => panic!("two ways to read CBOR disagree: {binary:?}, {value:?}"),
    }
}

/// A JSON text.
pub fn json(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(value) = Value::from_json(text) else { return };
    let binary = value.encode();
    assert!(ValueRef::parse(&binary).is_ok(), "what comes from JSON is not a valid value");
    let written = value.to_json();
    let again = Value::from_json(&written).expect("it was written as JSON");
    assert_eq!(again.encode(), binary);
}

/// Keys one after another, ascending and descending.
pub fn key(data: &[u8]) {
    for descending in [false, true] {
        let decode = if descending { keys::decode_descending } else { keys::decode };
        let mut rest = data;
        let mut previous: Option<(Value, &[u8])> = None;
        while let Ok((value, after)) = decode(rest) {
            let (bytes, _) = rest.split_at(rest.len() - after.len());
            let mut encoded = Vec::new();
            if descending {
                keys::encode_descending(&value, &mut encoded);
            } else {
                keys::encode(&value, &mut encoded);
            }
            assert_eq!(encoded, bytes, "a key has one encoding");
            assert!(value.kind() != ValueKind::Float || value.as_f64().is_some_and(f64::is_finite));
            if let Some((last, last_bytes)) = previous {
                let order = last.compare(&value);
                let order = if descending { order.reverse() } else { order };
                assert_eq!(last_bytes.cmp(bytes), order, "{last:?} and {value:?}");
            }
            previous = Some((value, bytes));
            rest = after;
        }
    }
}
