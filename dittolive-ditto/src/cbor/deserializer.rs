//! serde over the decoder of minicbor.
//!
//! `minicbor-serde` reads strictly: an `f64` field refuses the integer 3. Documents hold what the writer
//! thought of a number, so here everything describes itself and the visitor decides, as with JSON.

use minicbor::{
    Decoder,
    data::{IanaTag, Type},
};
use serde::{
    Deserializer,
    de::{DeserializeSeed, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor, value::SeqDeserializer},
    forward_to_deserialize_any,
};

use super::{CborError, MAX_DEPTH};

pub(super) struct CborDeserializer<'de> {
    decoder: Decoder<'de>,
    depth: usize,
}

impl<'de> CborDeserializer<'de> {
    pub(super) fn new(bytes: &'de [u8]) -> Self {
        Self { decoder: Decoder::new(bytes), depth: 0 }
    }

    /// Nothing may follow the value.
    pub(super) fn end(&self) -> Result<(), CborError> {
        let (position, len) = (self.decoder.position(), self.decoder.input().len());
        if position < len {
            return Err(CborError::new(format_args!("{} bytes follow the CBOR value", len - position)));
        }
        Ok(())
    }

    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, CborError>) -> Result<T, CborError> {
        if self.depth == MAX_DEPTH {
            return Err(CborError::new(format_args!("nested deeper than {MAX_DEPTH} levels")));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    fn read_seq<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, CborError> {
        let remaining = self.decoder.array()?;
        self.nested(|deserializer| {
            let mut members = Members { deserializer, remaining, open: true };
            let value = visitor.visit_seq(&mut members)?;
            members.finish()?;
            Ok(value)
        })
    }

    fn read_map<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, CborError> {
        let remaining = self.decoder.map()?;
        self.nested(|deserializer| {
            let mut members = Members { deserializer, remaining, open: true };
            let value = visitor.visit_map(&mut members)?;
            members.finish()?;
            Ok(value)
        })
    }
}

impl<'de> Deserializer<'de> for &mut CborDeserializer<'de> {
    type Error = CborError;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CborError> {
        match self.decoder.datatype()? {
            Type::Null | Type::Undefined => {
                self.decoder.skip()?;
                visitor.visit_unit()
            }
            Type::Bool => visitor.visit_bool(self.decoder.bool()?),
            Type::U8 | Type::U16 | Type::U32 | Type::U64 => visitor.visit_u64(self.decoder.u64()?),
            Type::I8 | Type::I16 | Type::I32 | Type::I64 => visitor.visit_i64(self.decoder.i64()?),
            Type::Int => visitor.visit_i128(self.decoder.int()?.into()),
            Type::Tag => match IanaTag::try_from(self.decoder.probe().tag()?) {
                Ok(IanaTag::PosBignum | IanaTag::NegBignum) => visitor.visit_i128(self.decoder.i128()?),
                // The meaning that a tag gives is for the reader of the value behind it.
                _ => {
                    self.decoder.tag()?;
                    self.nested(|deserializer| deserializer.deserialize_any(visitor))
                }
            },
            Type::F16 | Type::F32 | Type::F64 => visitor.visit_f64(self.decoder.f64()?),
            Type::Bytes => visitor.visit_borrowed_bytes(self.decoder.bytes()?),
            Type::BytesIndef => {
                let mut bytes = Vec::new();
                for chunk in self.decoder.bytes_iter()? {
                    bytes.extend_from_slice(chunk?);
                }
                visitor.visit_byte_buf(bytes)
            }
            Type::String => visitor.visit_borrowed_str(self.decoder.str()?),
            Type::StringIndef => {
                let mut text = String::new();
                for chunk in self.decoder.str_iter()? {
                    text.push_str(chunk?);
                }
                visitor.visit_string(text)
            }
            Type::Array | Type::ArrayIndef => self.read_seq(visitor),
            Type::Map | Type::MapIndef => self.read_map(visitor),
            other => Err(CborError::new(format_args!("CBOR of type {other} has no place in a document"))),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CborError> {
        if matches!(self.decoder.datatype()?, Type::Null | Type::Undefined) {
            self.decoder.skip()?;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, CborError> {
        visitor.visit_newtype_struct(self)
    }

    /// Bytes are also a sequence of numbers, so that they go into a plain `Vec<u8>`.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CborError> {
        if self.decoder.datatype()? == Type::Bytes {
            let bytes = self.decoder.bytes()?;
            return visitor.visit_seq(SeqDeserializer::new(bytes.iter().copied()));
        }
        self.deserialize_any(visitor)
    }

    /// An enum is its variant's name, or a map of one member from the name to the content.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, CborError> {
        match self.decoder.datatype()? {
            Type::Map => {
                if self.decoder.map()? != Some(1) {
                    return Err(CborError::new("an enum is a map of exactly one member"));
                }
                self.nested(|deserializer| visitor.visit_enum(Variant { deserializer, has_content: true }))
            }
            _ => visitor.visit_enum(Variant { deserializer: self, has_content: false }),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CborError> {
        self.decoder.skip()?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct tuple tuple_struct map struct identifier
    }
}

/// What is left of an array or a map.
struct Members<'a, 'de> {
    deserializer: &'a mut CborDeserializer<'de>,
    /// `None` when the end is a marker.
    remaining: Option<u64>,
    /// The marker was not read yet.
    open: bool,
}

impl Members<'_, '_> {
    /// Is there another one? Consumes the end marker.
    fn more(&mut self) -> Result<bool, CborError> {
        match &mut self.remaining {
            Some(0) => Ok(false),
            Some(count) => {
                *count -= 1;
                Ok(true)
            }
            None if !self.open => Ok(false),
            None if self.deserializer.decoder.datatype()? == Type::Break => {
                self.open = false;
                let position = self.deserializer.decoder.position();
                self.deserializer.decoder.set_position(position + 1);
                Ok(false)
            }
            None => Ok(true),
        }
    }

    /// A visitor that stops early (a tuple shorter than the array) has read the wrong thing.
    fn finish(&mut self) -> Result<(), CborError> {
        if self.more()? {
            return Err(CborError::new("more members than the type has"));
        }
        Ok(())
    }
}

impl<'de> SeqAccess<'de> for &mut Members<'_, 'de> {
    type Error = CborError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, CborError> {
        if !self.more()? {
            return Ok(None);
        }
        seed.deserialize(&mut *self.deserializer).map(Some)
    }
}

impl<'de> MapAccess<'de> for &mut Members<'_, 'de> {
    type Error = CborError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, CborError> {
        if !self.more()? {
            return Ok(None);
        }
        seed.deserialize(&mut *self.deserializer).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, CborError> {
        seed.deserialize(&mut *self.deserializer)
    }
}

struct Variant<'a, 'de> {
    deserializer: &'a mut CborDeserializer<'de>,
    has_content: bool,
}

impl<'a, 'de> EnumAccess<'de> for Variant<'a, 'de> {
    type Error = CborError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), CborError> {
        let name = seed.deserialize(&mut *self.deserializer)?;
        Ok((name, self))
    }
}

impl<'a, 'de> Variant<'a, 'de> {
    fn content(self) -> Result<&'a mut CborDeserializer<'de>, CborError> {
        if !self.has_content {
            return Err(CborError::new("a variant with content is a map of one member, found its name only"));
        }
        Ok(self.deserializer)
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, 'de> {
    type Error = CborError;

    fn unit_variant(self) -> Result<(), CborError> {
        if self.has_content {
            return serde::Deserialize::deserialize(self.deserializer);
        }
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, CborError> {
        seed.deserialize(self.content()?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, CborError> {
        self.content()?.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, CborError> {
        self.content()?.deserialize_any(visitor)
    }
}
