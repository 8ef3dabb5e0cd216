use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::*;

fn any_value() -> impl Strategy<Value = CborValue> {
    let leaf = prop_oneof![
        Just(CborValue::Null),
        any::<bool>().prop_map(CborValue::from),
        any::<i64>().prop_map(CborValue::from),
        any::<u64>().prop_map(CborValue::from),
        any::<f64>().prop_map(CborValue::from),
        any::<Vec<u8>>().prop_map(CborValue::Bytes),
        ".{0,12}".prop_map(CborValue::Text),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(CborValue::Array),
            prop::collection::btree_map(inner.clone(), inner, 0..6).prop_map(CborValue::Map),
        ]
    })
}

proptest! {
    #[test]
    fn values_survive_both_encoders(value in any_value()) {
        prop_assert_eq!(&from_slice::<CborValue>(&to_vec(&value).unwrap()).unwrap(), &value);
        prop_assert_eq!(&from_slice::<CborValue>(&encode_canonical(&value).unwrap()).unwrap(), &value);
    }

    #[test]
    fn arbitrary_bytes_are_a_value_or_an_error(bytes in any::<Vec<u8>>()) {
        let _ = from_slice::<CborValue>(&bytes);
        let _ = from_slice::<Place>(&bytes);
    }

    #[test]
    fn the_order_is_total(a in any_value(), b in any_value()) {
        prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        prop_assert_eq!(a == b, encode_canonical(&a).unwrap() == encode_canonical(&b).unwrap()
            || matches!((&a, &b), (CborValue::Float(x), CborValue::Float(y)) if x == y));
    }

    #[test]
    fn json_survives_the_way_through_cbor(text in "[a-z]{0,8}", number in any::<i64>(), float in -1e9..1e9) {
        let json = json!({"text": text, "number": number, "list": [float, null, true, u64::MAX]});
        let cbor = CborValue::from(json.clone());
        prop_assert_eq!(serde_json::Value::try_from(cbor.clone()).unwrap(), json.clone());
        prop_assert_eq!(from_slice::<CborValue>(&to_vec(&json).unwrap()).unwrap(), cbor);
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Place {
    name: String,
    height: f64,
    people: u64,
    image: Vec<u8>,
    mayor: Option<String>,
    kind: Kind,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Town,
    Ruin(u16),
    Region { parts: Vec<String> },
}

#[test]
fn a_struct_survives() {
    for kind in [Kind::Town, Kind::Ruin(79), Kind::Region { parts: vec!["a".into()] }] {
        let place = Place {
            name: "Pompeii".into(),
            height: 14.5,
            people: u64::MAX,
            image: vec![1, 2, 255],
            mayor: None,
            kind,
        };
        assert_eq!(from_slice::<Place>(&to_vec(&place).unwrap()).unwrap(), place);
    }
}

#[test]
fn numbers_are_read_into_what_holds_them() {
    assert_eq!(from_slice::<f64>(&to_vec(&3).unwrap()).unwrap(), 3.0);
    assert_eq!(from_slice::<f64>(&to_vec(&0.1_f32).unwrap()).unwrap(), f64::from(0.1_f32));
    assert_eq!(from_slice::<f64>(&[0xf9, 0x3e, 0x00]).unwrap(), 1.5);
    assert_eq!(from_slice::<i8>(&to_vec(&-100_i64).unwrap()).unwrap(), -100);
    assert!(from_slice::<i8>(&to_vec(&300).unwrap()).is_err());
    assert!(from_slice::<u8>(&to_vec("3").unwrap()).is_err());
}

#[test]
fn bytes_are_read_into_a_plain_vector() {
    let bytes = to_vec(&CborValue::Bytes(vec![1, 2, 3])).unwrap();
    assert_eq!(from_slice::<Vec<u8>>(&bytes).unwrap(), [1, 2, 3]);
}

#[test]
fn options_and_units_are_transparent() {
    assert_eq!(to_vec(&Some(json!({"a": 1}))).unwrap(), to_vec(&json!({"a": 1})).unwrap());
    assert_eq!(to_vec(&None::<u8>).unwrap(), [0xf6]);
    assert_eq!(to_vec(&()).unwrap(), [0xf6]);
    assert_eq!(from_slice::<Option<u8>>(&[0xf6]).unwrap(), None);
}

#[test]
fn maps_of_unknown_length_are_read() {
    #[derive(Serialize)]
    struct Flat {
        a: u8,
        #[serde(flatten)]
        rest: HashMap<String, u8>,
    }
    let bytes = to_vec(&Flat { a: 1, rest: HashMap::from([("b".into(), 2)]) }).unwrap();
    assert_eq!(
        from_slice::<BTreeMap<String, u8>>(&bytes).unwrap(),
        BTreeMap::from([("a".into(), 1), ("b".into(), 2)])
    );
}

#[test]
fn nesting_has_a_limit_and_trailing_bytes_are_refused() {
    let mut deep = vec![0x81; 100_000];
    deep.push(0);
    assert!(from_slice::<CborValue>(&deep).unwrap_err().to_string().contains("256"));
    let mut tags = vec![0xc9; 100_000];
    tags.push(0);
    assert!(from_slice::<CborValue>(&tags).is_err());
    assert!(from_slice::<CborValue>(&[0, 0]).unwrap_err().to_string().contains("1 bytes follow"));
}

#[test]
fn canonical_maps_are_ordered_by_encoded_key() {
    let map = CborValue::from(json!({"bb": 1, "a": 2, "aaa": 3}));
    assert_eq!(encode_canonical(&map).unwrap(), b"\xa3\x61a\x02\x62bb\x01\x63aaa\x03");
}

#[test]
fn json_cannot_say_everything() {
    let refused = [
        CborValue::Float(f64::NAN),
        CborValue::Integer(i128::MAX),
        CborValue::Map(BTreeMap::from([(CborValue::Integer(1), CborValue::Null)])),
    ];
    for value in refused {
        assert!(serde_json::Value::try_from(value).is_err());
    }
    assert_eq!(serde_json::Value::try_from(CborValue::Bytes(vec![1, 2])).unwrap(), json!("AQI="));
}

#[test]
fn getters_are_typed() {
    let mut value = CborValue::from(json!({"list": [1, 2.5], "key": {"a": "text"}}));
    assert_eq!(value.get("list").and_then(|list| list.get(0)?.as_u64()), Some(1));
    assert_eq!(value.get("list").and_then(|list| list.get(0)?.as_f64()), None);
    assert_eq!(value.get("list").and_then(|list| list.get("a")), None);
    assert_eq!(CborValue::Integer(-1).as_u64(), None);
    assert_eq!(CborValue::Null.as_null(), Some(()));
    *value.get_mut(&String::from("key")).unwrap() = CborValue::Bool(true);
    assert_eq!(value.get("key").and_then(CborValueGetters::as_bool), Some(true));
    assert_eq!(value.as_object().unwrap().len(), 2);
}
