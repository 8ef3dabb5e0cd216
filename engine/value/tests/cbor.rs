//! The CBOR reader against another implementation, on bytes that are almost CBOR.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use ditto_value::{Object, Value};
use minicbor::data::{Tag, Type};
use minicbor::decode::{Decoder, Error};
use proptest::prelude::*;

/// What `minicbor` reads. `None` where values hold less than CBOR does.
fn read(decoder: &mut Decoder<'_>) -> Result<Option<Value>, Error> {
    let finite = |value: f64| value.is_finite().then_some(Value::Float(value));
    Ok(Some(match decoder.datatype()? {
        Type::Null => return decoder.null().map(|()| Some(Value::Null)),
        Type::Undefined => return decoder.undefined().map(|()| Some(Value::Null)),
        Type::Bool => Value::Bool(decoder.bool()?),
        Type::U8 | Type::U16 | Type::U32 | Type::U64 => Value::from(decoder.u64()?),
        Type::I8 | Type::I16 | Type::I32 | Type::I64 => Value::Int(decoder.i64()?),
        Type::F32 => return decoder.f32().map(|value| finite(value.into())),
        Type::F64 => return decoder.f64().map(finite),
        Type::Bytes | Type::BytesIndef => {
            Value::Bytes(decoder.bytes_iter()?.collect::<Result<Vec<_>, _>>()?.concat())
        }
        Type::String | Type::StringIndef => {
            Value::String(decoder.str_iter()?.collect::<Result<Vec<_>, _>>()?.concat())
        }
        Type::Array | Type::ArrayIndef => {
            let (length, mut elements) = (decoder.array()?, Vec::new());
            while more(decoder, length, elements.len())? {
                let Some(element) = read(decoder)? else { return Ok(None) };
                elements.push(element);
            }
            Value::Array(elements)
        }
        Type::Map | Type::MapIndef => {
            let (length, mut taken, mut members) = (decoder.map()?, 0, Object::new());
            while more(decoder, length, taken)? {
                // A name is a text and nothing else, also not one with a tag.
                if !matches!(decoder.datatype()?, Type::String | Type::StringIndef) {
                    return Ok(None);
                }
                let Some(Value::String(name)) = read(decoder)? else { return Ok(None) };
                let Some(member) = read(decoder)? else { return Ok(None) };
                members.insert(name, member);
                taken += 1;
            }
            Value::Object(members)
        }
        Type::Tag => match decoder.tag()? {
            tag if tag == Tag::new(2) || tag == Tag::new(3) => return Ok(None),
            _ => return read(decoder),
        },
        // Half-precision floats need a feature of that crate's.
        _ => return Ok(None),
    }))
}

fn more(decoder: &mut Decoder<'_>, length: Option<u64>, taken: usize) -> Result<bool, Error> {
    match length {
        Some(length) => Ok((taken as u64) < length),
        None if decoder.datatype()? == Type::Break => {
            decoder.set_position(decoder.position() + 1);
            Ok(false)
        }
        None => Ok(true),
    }
}

fn expected(bytes: &[u8]) -> Result<Option<Value>, Error> {
    let mut decoder = Decoder::new(bytes);
    let value = read(&mut decoder)?;
    Ok(value.filter(|_| decoder.position() == bytes.len()))
}

/// Heads of every kind with short contents, so that much of it fits together.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let head =
        (0..8u8, prop_oneof![4 => 0..4u8, 1 => 24..32u8]).prop_map(|(major, info)| vec![major << 5 | info]);
    let text = "[a-cé]{0,3}".prop_map(|text| [&[0x60 + text.len() as u8], text.as_bytes()].concat());
    let number = any::<u64>().prop_map(|number| [&[0x1B][..], &number.to_be_bytes()].concat());
    let negative = any::<u64>().prop_map(|number| [&[0x3B][..], &number.to_be_bytes()].concat());
    let double = any::<u64>().prop_map(|bits| [&[0xFB][..], &bits.to_be_bytes()].concat());
    let single = any::<u32>().prop_map(|bits| [&[0xFA][..], &bits.to_be_bytes()].concat());
    let open =
        prop_oneof![Just(vec![0x9F]), Just(vec![0xBF]), Just(vec![0x7F]), Just(vec![0x5F]), Just(vec![0xFF])];
    let piece =
        prop_oneof![6 => head, 4 => text, 1 => number, 1 => negative, 1 => double, 1 => single, 3 => open];
    prop::collection::vec(piece, 1..12).prop_map(|pieces| pieces.concat())
}

/// So many cases, or as many as `DITTO_LAW_CASES` says.
fn cases(usually: u32) -> ProptestConfig {
    let chosen = std::env::var("DITTO_LAW_CASES").ok();
    ProptestConfig::with_cases(chosen.map_or(usually, |number| number.parse().expect("a number")))
}

proptest! {
    #![proptest_config(cases(4_000))]

    #[test]
    fn the_same_bytes_are_read_as_the_same_values(bytes in pieces()) {
        let found = Value::from_cbor(&bytes);
        match expected(&bytes) {
            Ok(Some(expected)) => prop_assert_eq!(found.unwrap().encode(), expected.encode()),
            // There is one kind of float that only we read.
            _ if bytes.contains(&0xF9) => {}
            _ => prop_assert!(found.is_err(), "{bytes:02x?} was read as {found:?}"),
        }
    }
}
