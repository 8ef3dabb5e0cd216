//! From serde types to bytes and back.

use minicbor::encode::{Encoder, Write};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{CborError, CborValue, deserializer::CborDeserializer};

/// The CBOR of any serde value. `None` and `()` are null; an enum is externally tagged.
///
/// # Errors
/// When the value's own `Serialize` fails.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CborError> {
    // Small documents fit; growing step by step from nothing would cost as much as writing them.
    let mut bytes = Vec::with_capacity(512);
    let mut serializer = minicbor_serde::Serializer::new(&mut bytes);
    serializer.serialize_unit_as_null(true);
    value.serialize(&mut serializer).map_err(CborError::new)?;
    Ok(bytes)
}

/// Reads a serde value from CBOR, which must end where the value ends.
///
/// Numbers are read into any numeric type that can hold them (an integer into an `f64` too), bytes into
/// a `Vec<u8>`, null into `()` or `None`.
///
/// # Errors
/// When the bytes are not valid CBOR, nest deeper than [`MAX_DEPTH`](super::MAX_DEPTH), or hold something
/// else than `T`.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CborError> {
    decode(bytes)
}

/// [`from_slice`] for types that borrow from the bytes.
pub(crate) fn decode<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, CborError> {
    let mut deserializer = CborDeserializer::new(bytes);
    let value = T::deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// Deterministic encoding (RFC 8949, section 4.2.1): equal values give equal bytes, and the members of
/// a map are in the order of their encoded keys.
pub(crate) fn encode_canonical(value: &CborValue) -> Result<Vec<u8>, CborError> {
    let mut bytes = Vec::new();
    write_canonical(value, &mut Encoder::new(&mut bytes))?;
    Ok(bytes)
}

fn write_canonical<W: Write>(value: &CborValue, encoder: &mut Encoder<W>) -> Result<(), CborError>
where
    W::Error: std::fmt::Display,
{
    match value {
        CborValue::Null => encoder.null(),
        CborValue::Bool(value) => encoder.bool(*value),
        CborValue::Integer(value) => match minicbor::data::Int::try_from(*value) {
            Ok(value) => encoder.int(value),
            Err(_) => {
                return Err(CborError::new(format_args!("{value} does not fit an integer of 64 bits")));
            }
        },
        CborValue::Float(value) => encoder.f64(*value),
        CborValue::Bytes(bytes) => encoder.bytes(bytes),
        CborValue::Text(text) => encoder.str(text),
        CborValue::Array(elements) => {
            encoder.array(elements.len() as u64).map_err(CborError::new)?;
            for element in elements {
                write_canonical(element, encoder)?;
            }
            return Ok(());
        }
        CborValue::Map(members) => {
            let mut encoded = Vec::with_capacity(members.len());
            for (key, member) in members {
                encoded.push((encode_canonical(key)?, member));
            }
            encoded.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            encoder.map(encoded.len() as u64).map_err(CborError::new)?;
            for (key, member) in encoded {
                encoder.writer_mut().write_all(&key).map_err(CborError::new)?;
                write_canonical(member, encoder)?;
            }
            return Ok(());
        }
    }
    .map(drop)
    .map_err(CborError::new)
}
