//! Laws of values, checked on arbitrary ones.

use std::cmp::Ordering;

use proptest::prelude::*;

use crate::{Malformed, Object, Value, ValueRef, Writer, binary, compare, key};

/// Numbers around the places where representations change.
fn numbers() -> impl Strategy<Value = Value> {
    let edges = prop::sample::select(vec![
        0.0,
        -0.0,
        0.5,
        -0.5,
        1.0,
        1.5,
        255.0,
        256.0,
        -256.25,
        9_007_199_254_740_991.0,
        9_007_199_254_740_992.0,
        9_223_372_036_854_775_807.0,
        -9_223_372_036_854_775_808.0,
        18_446_744_073_709_551_615.0,
        18_446_744_073_709_549_568.0,
        -18_446_744_073_709_549_568.0,
        f64::MAX,
        f64::MIN,
        f64::MIN_POSITIVE,
        5e-324,
        65504.0,
        6e-8,
        1e-7,
    ]);
    prop_oneof![
        any::<i64>().prop_map(Value::from),
        (-300i64..300).prop_map(Value::from),
        prop::sample::select(vec![i64::MIN, i64::MIN + 1, i64::MAX, 1 << 53, (1 << 53) + 1])
            .prop_map(Value::from),
        (0..64u32).prop_map(|shift| Value::from(u64::MAX >> shift)),
        (0..64u32).prop_map(|shift| Value::from(1u64 << shift)),
        any::<f64>().prop_filter_map("finite", |number| number.is_finite().then_some(Value::Float(number))),
        any::<f32>()
            .prop_filter_map("finite", |number| number.is_finite().then_some(Value::Float(number.into()))),
        (-300i32..300).prop_map(|number| Value::Float(f64::from(number) / 8.0)),
        edges.prop_map(Value::from),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[ab\u{0}]{0,3}", "\\PC{0,5}", "[a-z\"\\\\\u{1}\n\u{1F600}]{0,300}"]
}

pub(crate) fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        numbers(),
        text().prop_map(Value::from),
        prop::collection::vec(prop_oneof![Just(0u8), Just(255), any::<u8>()], 0..6).prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((text(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// So many cases of each law, or as many as `DITTO_LAW_CASES` says.
fn cases(usually: u32) -> ProptestConfig {
    let chosen = std::env::var("DITTO_LAW_CASES").ok();
    ProptestConfig::with_cases(chosen.map_or(usually, |number| number.parse().expect("a number")))
}

/// Equal as the order sees it, for conversions that do not keep the kind of number.
fn assert_same(left: &Value, right: &Value) {
    assert_eq!(left.compare(right), Ordering::Equal, "{left:?} and {right:?}");
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn the_binary_form_reads_back(value in values()) {
        let bytes = value.encode();
        let parsed = ValueRef::parse(&bytes).unwrap();
        prop_assert_eq!(parsed.to_value(), value.clone());
        prop_assert_eq!(parsed.kind(), value.kind());
        prop_assert_eq!(Value::from_tree(&value), value);
    }

    #[test]
    fn json_reads_back_but_for_bytes(value in values()) {
        let again = Value::from_json(&value.to_json()).unwrap();
        prop_assert_eq!(again.to_json(), value.to_json());
        prop_assert_eq!(ValueRef::from_stored(&value.encode()).to_json(), value.to_json());
        if !contains_bytes(&value) {
            prop_assert_eq!(again, value);
        }
    }

    #[test]
    fn maps_are_taken_in_any_order_and_the_last_of_equal_names_counts(members in prop::collection::vec(("[abc]{0,2}", values()), 0..8)) {
        let mut cbor = vec![0xBF];
        for (name, value) in &members {
            cbor.push(0x60 + name.len() as u8);
            cbor.extend_from_slice(name.as_bytes());
            cbor.extend_from_slice(&value.to_cbor());
        }
        cbor.push(0xFF);
        let expected = Value::Object(members.into_iter().collect());
        prop_assert_eq!(binary::from_cbor(&cbor).unwrap(), expected.encode());
        prop_assert_eq!(Value::from_cbor(&cbor).unwrap(), expected);
    }

    #[test]
    fn cbor_reads_back(value in values()) {
        let bytes = value.to_cbor();
        prop_assert_eq!(Value::from_cbor(&bytes).unwrap(), value.clone());
        let mut of_stored = Vec::new();
        ValueRef::from_stored(&value.encode()).write_cbor(&mut of_stored);
        prop_assert_eq!(of_stored, bytes);
    }

    #[test]
    fn keys_order_as_values_do(left in values(), right in values()) {
        let expected = left.compare(&right);
        prop_assert_eq!(key::of(&left).cmp(&key::of(&right)), expected);
        prop_assert_eq!(right.compare(&left), expected.reverse());
        let (left_bytes, right_bytes) = (left.encode(), right.encode());
        let (stored_left, stored_right) = (ValueRef::from_stored(&left_bytes), ValueRef::from_stored(&right_bytes));
        prop_assert_eq!(stored_left.compare(stored_right), expected);
        prop_assert_eq!(compare(&left, stored_right), expected);
        let (mut left_key, mut right_key) = (Vec::new(), Vec::new());
        key::encode_descending(&left, &mut left_key);
        key::encode_descending(stored_right, &mut right_key);
        prop_assert_eq!(left_key.cmp(&right_key), expected.reverse());
    }

    #[test]
    fn numeric_keys_order_as_numbers_do(left in numbers(), right in numbers()) {
        prop_assert_eq!(key::of(&left).cmp(&key::of(&right)), left.compare(&right));
    }

    #[test]
    fn order_is_transitive(mut some in prop::collection::vec(values(), 3)) {
        some.sort_by(Value::compare);
        prop_assert!(some[0].compare(&some[1]).is_le());
        prop_assert!(some[1].compare(&some[2]).is_le());
        prop_assert!(some[0].compare(&some[2]).is_le());
    }

    #[test]
    fn number_order_is_transitive(mut some in prop::collection::vec(numbers(), 3)) {
        some.sort_by(Value::compare);
        prop_assert!(some[0].compare(&some[2]).is_le());
    }

    #[test]
    fn keys_delimit_themselves(first in values(), second in values(), suffix in prop::collection::vec(any::<u8>(), 0..4)) {
        let mut bytes = Vec::new();
        key::encode(&first, &mut bytes);
        key::encode_descending(&second, &mut bytes);
        bytes.extend_from_slice(&suffix);
        let (decoded, rest) = key::decode(&bytes).unwrap();
        assert_same(&decoded, &first);
        prop_assert_eq!(key::length(&bytes), Ok(bytes.len() - rest.len()));
        let both = rest.len();
        let (decoded, rest) = key::decode_descending(rest).unwrap();
        assert_same(&decoded, &second);
        prop_assert_eq!(key::length_descending(&bytes[bytes.len() - both..]), Ok(both - rest.len()));
        prop_assert_eq!(rest, &suffix[..]);
    }

    #[test]
    fn a_key_is_transcoded_to_what_it_decodes_to(value in values(), descending in any::<bool>()) {
        let mut bytes = Vec::new();
        if descending {
            key::encode_descending(&value, &mut bytes);
        } else {
            key::encode(&value, &mut bytes);
        }
        let decoded = if descending { key::decode_descending(&bytes) } else { key::decode(&bytes) };
        let mut writer = Writer::new();
        prop_assert_eq!(key::transcode(&bytes, descending, &mut writer), Ok(()));
        prop_assert_eq!(writer.into_bytes(), decoded.unwrap().0.encode());
    }

    #[test]
    fn keys_of_ids_are_lossless(value in values().prop_filter("ids hold no floats", |value| !contains_float(value))) {
        let bytes = key::of(&value);
        prop_assert_eq!(key::decode(&bytes), Ok((value, &[][..])));
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(hostile_byte(), 0..80)) {
        survive(&bytes);
    }

    #[test]
    fn damaged_bytes_never_panic(value in values(), damage in prop::collection::vec((any::<prop::sample::Index>(), hostile_byte()), 1..4)) {
        for mut bytes in [value.encode(), value.to_cbor(), key::of(&value)] {
            for (index, byte) in &damage {
                let index = index.index(bytes.len());
                bytes[index] = *byte;
            }
            survive(&bytes);
        }
    }

    #[test]
    fn truncated_bytes_are_refused_or_another_value(value in values(), cut in any::<prop::sample::Index>()) {
        let bytes = value.encode();
        survive(&bytes[..cut.index(bytes.len())]);
        let bytes = value.to_cbor();
        prop_assert!(Value::from_cbor(&bytes[..cut.index(bytes.len())]).is_err());
        let bytes = key::of(&value);
        prop_assert!(key::decode(&bytes[..cut.index(bytes.len())]).is_err());
        prop_assert!(key::length(&bytes[..cut.index(bytes.len())]).is_err());
        let (first, end) = key::first_bytes(value.kind());
        prop_assert!((first..end).contains(&bytes[0]));
    }

    #[test]
    fn reading_a_path_equals_decoding(value in values(), names in prop::collection::vec(text(), 0..3)) {
        let bytes = value.encode();
        let stored = ValueRef::from_stored(&bytes);
        let expected = names.iter().try_fold(&value, |value, name| value.get(name));
        prop_assert_eq!(stored.path(names.iter().map(String::as_str)).map(ValueRef::to_value), expected.cloned());
        every_member_is_found(&value, stored);
    }

    #[test]
    fn an_object_with_or_without_a_member_is_what_encoding_it_gives(
        members in prop::collection::vec(("[a-e]{0,2}", values()), 0..6),
        long in prop::sample::select(&[0usize, 250, 70_000]),
        name in "[a-e]{0,2}",
        value in prop::option::of(values()),
    ) {
        let mut object: Object = members.into_iter().collect();
        if long > 0 {
            object.insert("b", "x".repeat(long));
        }
        let whole = Value::from(object.clone()).encode();
        let encoded = value.as_ref().map(Value::encode);
        let mut written = b"before".to_vec();
        ValueRef::from_stored(&whole).write_with(&name, encoded.as_deref(), &mut written);
        match value {
            Some(value) => drop(object.insert(name.as_str(), value)),
            None => drop(object.remove(&name)),
        }
        prop_assert_eq!(written, [b"before", &Value::from(object).encode()[..]].concat());
    }

    #[test]
    fn objects_behave_as_maps(members in prop::collection::vec(("[a-e]{0,2}", 0i64..9), 0..12), removed in "[a-e]{0,2}") {
        let map: std::collections::BTreeMap<String, Value> =
            members.iter().map(|(name, value)| (name.clone(), Value::from(*value))).collect();
        let collected: Object = members.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let mut inserted = Object::new();
        for (name, value) in &members {
            inserted.insert(name.as_str(), *value);
        }
        prop_assert_eq!(&collected, &inserted);
        prop_assert_eq!(collected.iter().map(|(name, value)| (name.to_owned(), value.clone())).collect::<std::collections::BTreeMap<_, _>>(), map.clone());
        prop_assert_eq!(inserted.remove(&removed), map.get(&removed).cloned());
        prop_assert_eq!(inserted.get(&removed), None);
    }
}

fn hostile_byte() -> impl Strategy<Value = u8> {
    prop_oneof![0u8..12, 0x0fu8..0x38, any::<u8>()]
}

fn contains_bytes(value: &Value) -> bool {
    match value {
        Value::Bytes(_) => true,
        Value::Array(elements) => elements.iter().any(contains_bytes),
        Value::Object(members) => members.values().any(contains_bytes),
        _ => false,
    }
}

fn contains_float(value: &Value) -> bool {
    match value {
        Value::Float(_) => true,
        Value::Array(elements) => elements.iter().any(contains_float),
        Value::Object(members) => members.values().any(contains_float),
        _ => false,
    }
}

fn every_member_is_found(value: &Value, stored: ValueRef<'_>) {
    assert_eq!(stored.to_value(), *value);
    match value {
        Value::Array(elements) => {
            assert_eq!(stored.len(), elements.len());
            assert_eq!(stored.elements().len(), elements.len());
            for (index, element) in elements.iter().enumerate() {
                every_member_is_found(element, stored.at(index).unwrap());
            }
            assert!(stored.at(elements.len()).is_none());
        }
        Value::Object(members) => {
            assert_eq!(stored.len(), members.len());
            assert_eq!(stored.members().len(), members.len());
            for (name, member) in members {
                every_member_is_found(member, stored.get(name).unwrap());
            }
        }
        _ => assert!(stored.is_empty()),
    }
}

/// Reads hostile bytes in every way there is.
fn survive(bytes: &[u8]) {
    let stored = ValueRef::from_stored(bytes);
    let value = stored.to_value();
    let json = stored.to_json();
    let mut cbor = Vec::new();
    stored.write_cbor(&mut cbor);
    assert_eq!(Value::from_cbor(&cbor).unwrap().depth(), value.depth());
    assert!(Value::from_json(&json).is_ok());
    let _ = (stored.kind(), stored.as_bool(), stored.as_i64(), stored.as_u64(), stored.as_f64());
    let _ =
        (stored.as_str(), stored.as_bytes(), stored.get("a"), stored.at(1), stored.len(), key::of(stored));
    for value in [None, Some(&[0][..])] {
        let mut written = Vec::new();
        stored.write_with("a", value, &mut written);
        assert!(written.len() <= bytes.len() * 2 + 20);
    }
    assert_eq!(stored.compare(stored), Ordering::Equal);
    assert_eq!(stored.members().count(), stored.members().len());
    assert_eq!(stored.raw_members().count(), stored.members().len());
    assert_eq!(stored.elements().count(), stored.elements().len());
    if let Ok(parsed) = ValueRef::parse(bytes) {
        assert_eq!(parsed.to_value().encode(), bytes, "there is one encoding of a value");
    }
    if let Ok(binary) = binary::from_cbor(bytes) {
        assert_eq!(ValueRef::parse(&binary).unwrap().to_value().encode(), binary);
    }
    if let Ok(value) = Value::from_cbor(bytes) {
        assert_eq!(Value::from_cbor(&value.to_cbor()).unwrap(), value);
    }
    let length = key::length(bytes);
    if let Ok((value, rest)) = key::decode(bytes) {
        assert_eq!(key::of(&value), bytes[..bytes.len() - rest.len()], "there is one key of a value");
        assert_eq!(length, Ok(bytes.len() - rest.len()));
    }
    if let Ok((value, rest)) = key::decode_descending(bytes) {
        let mut again = Vec::new();
        key::encode_descending(&value, &mut again);
        assert_eq!(again, bytes[..bytes.len() - rest.len()]);
        assert_eq!(key::length_descending(bytes), Ok(again.len()));
    }
    for descending in [false, true] {
        let decoded = if descending { key::decode_descending(bytes) } else { key::decode(bytes) };
        let transcoded = key::transcode(bytes, descending, &mut Writer::new());
        assert_eq!(transcoded.err(), decoded.err());
    }
}

/// The stored form of arrays that no encoder writes.
fn stored_arrays(depth: usize) -> Vec<u8> {
    (1..depth).fold(vec![0x10], |inner, _| {
        let mut writer = Writer::new();
        writer.array(|array| array.with(|writer| writer.encoded(&inner)));
        writer.into_bytes()
    })
}

fn nested_arrays(depth: usize) -> Value {
    (1..depth).fold(Value::Array(Vec::new()), |inner, _| Value::Array(vec![inner]))
}

#[test]
fn nesting_is_limited_everywhere() {
    let deepest = nested_arrays(crate::MAX_DEPTH);
    assert_eq!(deepest.depth(), 128);
    assert!(ValueRef::parse(&deepest.encode()).is_ok());
    assert_eq!(Value::from_cbor(&deepest.to_cbor()).unwrap(), deepest);
    assert_eq!(key::decode(&key::of(&deepest)).unwrap().0, deepest);
    assert_eq!(ValueRef::from_stored(&nested_arrays(129).encode()).depth(), 128);
    let too_deep = stored_arrays(129);
    assert!(ValueRef::parse(&too_deep).is_err());
    assert!(Value::from_cbor(&[&[0x81; 128][..], &[0x80]].concat()).is_err());
    assert!(key::decode(&[&[0x32; 129][..], &[0; 129]].concat()).is_err());
    assert_eq!(ValueRef::from_stored(&too_deep).to_value().depth(), 128);
    assert_eq!(Value::from_tree(ValueRef::from_stored(&stored_arrays(10_000))).depth(), 128);
    assert_eq!(Value::from_json(&format!("{}{}", "[".repeat(127), "]".repeat(127))).unwrap().depth(), 127);
    assert!(Value::from_json(&"[".repeat(100_000)).is_err());
    survive(&vec![0x81; 100_000]);
    survive(&vec![0xc1; 100_000]);
}

#[test]
fn json_numbers_become_the_narrowest_kind() {
    let kinds = |text: &str| Value::from_json(text).unwrap();
    assert_eq!(kinds("7"), Value::Int(7));
    assert_eq!(kinds("7.0"), Value::Float(7.0));
    assert_eq!(kinds("18446744073709551615"), Value::UInt(u64::MAX));
    assert_eq!(kinds("9223372036854775807"), Value::Int(i64::MAX));
    assert_eq!(kinds("18446744073709551616"), Value::Float(18_446_744_073_709_551_616.0));
    assert_eq!(kinds(r#"{"a":1,"a":2}"#).get("a"), Some(&Value::Int(2)));
    assert!(Value::from_json("1e999").is_err());
    let error = Value::from_json("{\"a\":\n 1,}").unwrap_err();
    assert_eq!((error.line, error.column), (2, 4));
}

#[test]
fn bytes_are_base64_in_json() {
    assert_eq!(Value::from(&b"fern"[..]).to_json(), r#""ZmVybg==""#);
}

#[test]
fn cbor_takes_what_other_encoders_write() {
    let indefinite = b"\xbf\x61a\x9f\x01\xff\x7f\x62no\x61w\xff\x5f\x41x\x41y\xff\xff";
    let value = Value::from_cbor(indefinite).unwrap();
    assert_eq!(value.get("a"), Some(&Value::from(vec![Value::Int(1)])));
    assert_eq!(value.get("now"), Some(&Value::from(&b"xy"[..])));
    assert_eq!(Value::from_cbor(b"\xc1\x1a\x00\x00\x00\x05").unwrap(), Value::Int(5));
    assert_eq!(Value::from_cbor(b"\xf7").unwrap(), Value::Null);
    assert_eq!(Value::from_cbor(b"\xf9\x3c\x00").unwrap(), Value::Float(1.0));
    assert_eq!(Value::from_cbor(b"\xf9\x00\x01").unwrap(), Value::Float(2f64.powi(-24)));
    assert_eq!(Value::Float(1.5).to_cbor(), b"\xf9\x3e\x00");
    assert_eq!(Value::Float(0.1).to_cbor().len(), 9);
    assert_eq!(Value::Float(65536.0).to_cbor().len(), 5);
    assert_eq!(Value::Int(i64::MIN).to_cbor(), b"\x3b\x7f\xff\xff\xff\xff\xff\xff\xff");
}

#[test]
fn cbor_refuses_what_no_value_holds() {
    let refused: [&[u8]; 12] = [
        b"",
        b"\xa1\x01\x02",
        b"\xf9\x7e\x00",
        b"\xfb\x7f\xf0\0\0\0\0\0\0",
        b"\x3b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xc2\x41\x01",
        b"\xe0",
        b"\xff",
        b"\x01\x02",
        b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\x62\xc3\x28",
    ];
    for bytes in refused {
        assert!(Value::from_cbor(bytes).is_err(), "{bytes:?}");
    }
}

#[test]
fn the_order_of_kinds_is_that_of_the_language() {
    let ascending = [
        Value::Bool(false),
        Value::Bool(true),
        Value::Float(f64::MIN),
        Value::Int(i64::MIN),
        Value::Int((1 << 53) + 1),
        Value::Float(9_007_199_254_740_994.0),
        Value::Int(i64::MAX),
        Value::Float(9_223_372_036_854_775_808.0),
        Value::UInt(u64::MAX),
        Value::Float(18_446_744_073_709_551_616.0),
        Value::from(&b""[..]),
        Value::from("a"),
        Value::from("ab"),
        Value::Array(vec![]),
        Value::from(Object::new()),
        Value::Null,
    ];
    assert!(ascending.is_sorted_by(|left, right| left.compare(right).is_lt()));
    assert!(ascending.is_sorted_by(|left, right| key::of(left) < key::of(right)));
    assert!(key::of(&Value::Null) < vec![key::MISSING]);
    assert_eq!(key::length(&[key::MISSING, 1]), Ok(1));
    assert_eq!(key::length_descending(&[!key::MISSING, 1]), Ok(1));
    assert_eq!(Value::Int(7).compare(&Value::Float(7.0)), Ordering::Equal);
    assert_ne!(Value::Int(7), Value::Float(7.0));
}

#[test]
fn small_documents_are_small() {
    let value = Value::from_json(r#"{"_id":"p1","name":"fern","light":6}"#).unwrap();
    assert_eq!(value.encode().len(), 1 + (3 + 3) + (5 + 2) + (4 + 5) + 6 + 1);
}

#[test]
fn large_containers_are_found_by_offset() {
    for count in [3, 80, 300, 70_000] {
        let object: Object =
            (0..count).map(|index| (format!("member {index:06}"), i64::from(index))).collect();
        let bytes = Value::from(object).encode();
        let stored = ValueRef::parse(&bytes).unwrap();
        let found = stored.get(&format!("member {:06}", count - 1)).and_then(ValueRef::as_i64);
        assert_eq!(found, Some(i64::from(count - 1)));
    }
}

#[test]
fn another_encoding_of_a_value_is_refused() {
    let refused: [&[u8]; 9] = [
        &[],
        &[0x03, 0],
        &[0x03, 5, 0],
        &[0x04, 5, 0, 0, 0, 0, 0, 0, 0],
        &[0x05, 0, 0, 0, 0, 0, 0, 0xF0, 0x7F],
        &[0x10, 0],
        &[0x11, 0x00, 1, 0, 1, 0],
        &[0x20, b'b', 0, b'a', 0, 1, 2, 3, 4, 2],
        &[0x10, 0x00, 0x00, 1, 1],
    ];
    for bytes in refused {
        assert!(matches!(ValueRef::parse(bytes), Err(Malformed { .. })), "{bytes:?}");
    }
    assert!(ValueRef::parse(&[0x10, 0x00, 0x00, 1, 2, 2]).is_ok());
}

#[test]
fn a_writer_can_reuse_its_memory_and_follow_a_header() {
    let mut writer = Writer::after(vec![9, 9]);
    writer.array(|array| {
        array.value(&Value::Int(1));
        array.with(|writer| writer.encoded(&Value::from("x").encode()));
    });
    let bytes = writer.take();
    assert_eq!(ValueRef::parse(&bytes[2..]).unwrap().to_json(), r#"[1,"x"]"#);
    writer.value(&Value::Null);
    assert_eq!(writer.take(), [0]);
}

#[test]
fn a_fraction_with_more_digits_than_a_float_is_no_key() {
    let mut key = key::of(&Value::Float(3.5));
    assert!(key::decode(&key).is_ok());
    // One more in 2^56: a float next to 3.5 has no such digit.
    *key.last_mut().unwrap() |= 1;
    assert!(key::decode(&key).is_err());
}
