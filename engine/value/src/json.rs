//! JSON both ways.

use std::fmt::{self, Write as _};

use base64::Engine as _;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::{MAX_DEPTH, Node, Number, Object, Tree, Value};

/// Text that is not JSON, or not JSON that a value can hold.
#[derive(Debug, thiserror::Error)]
#[error("not valid JSON (line {line}, column {column}): {message}")]
pub struct JsonError {
    /// Line of the text, from 1.
    pub line: usize,
    /// Column of the line in bytes, from 1; 0 at its very start.
    pub column: usize,
    /// What was expected or is wrong there.
    pub message: String,
}

pub(crate) fn parse(text: &str) -> Result<Value, JsonError> {
    // serde_json's own nesting limit stands for ours; it refuses the 128th level already.
    serde_json::from_str(text).map_err(|error| JsonError {
        line: error.line(),
        column: error.column(),
        message: message_without_position(&error.to_string()),
    })
}

fn message_without_position(message: &str) -> String {
    message.rsplit_once(" at line ").map_or(message, |(message, _)| message).to_owned()
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Deserialize::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        if value.is_finite() { Ok(Value::Float(value)) } else { Err(E::custom("a number is not finite")) }
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Value, E> {
        Ok(Value::Bytes(value.to_owned()))
    }

    fn visit_byte_buf<E>(self, value: Vec<u8>) -> Result<Value, E> {
        Ok(Value::Bytes(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(element) = elements.next_element()? {
            array.push(element);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object: Vec<(String, Value)> = Vec::new();
        while let Some(member) = members.next_entry()? {
            object.push(member);
        }
        Ok(Value::Object(Object::from_iter(object)))
    }
}

pub(crate) fn write<'a>(value: impl Tree<'a>, out: &mut String) {
    write_nested(value, out, 0);
}

fn write_nested<'a>(value: impl Tree<'a>, out: &mut String, depth: usize) {
    match value.node() {
        Node::Null => out.push_str("null"),
        Node::Bool(true) => out.push_str("true"),
        Node::Bool(false) => out.push_str("false"),
        Node::Number(number) => write_number(number, out),
        Node::Bytes(bytes) => {
            out.push('"');
            base64::engine::general_purpose::STANDARD.encode_string(bytes, out);
            out.push('"');
        }
        Node::String(text) => write_string(text, out),
        Node::Array(_) | Node::Object(_) if depth >= MAX_DEPTH => out.push_str("null"),
        Node::Array(elements) => {
            out.push('[');
            for (index, element) in elements.enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_nested(element, out, depth + 1);
            }
            out.push(']');
        }
        Node::Object(members) => {
            out.push('{');
            for (index, (name, member)) in members.enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_string(name, out);
                out.push(':');
                write_nested(member, out, depth + 1);
            }
            out.push('}');
        }
    }
}

fn write_number(number: Number, out: &mut String) {
    // Writing to a string cannot fail. Rust's `Debug` of a double is the shortest text that reads back equal, always
    // with a fraction or an exponent, so that it stays a float.
    let _ = match number {
        Number::Int(value) => write!(out, "{value}"),
        Number::UInt(value) => write!(out, "{value}"),
        Number::Float(value) => write!(out, "{value:?}"),
    };
}

fn write_string(text: &str, out: &mut String) {
    out.push('"');
    let mut plain = 0;
    for (index, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x08 => "\\b",
            0x0C => "\\f",
            0..=0x1F => "",
            _ => continue,
        };
        out.push_str(text.get(plain..index).unwrap_or_default());
        if escape.is_empty() {
            let _ = write!(out, "\\u{byte:04x}");
        } else {
            out.push_str(escape);
        }
        plain = index + 1;
    }
    out.push_str(text.get(plain..).unwrap_or_default());
    out.push('"');
}
