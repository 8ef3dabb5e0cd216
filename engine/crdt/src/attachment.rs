//! The token of an attachment: what a document holds of bytes that are stored elsewhere.
//!
//! An object of three members: `id`, the 32-byte digest of the bytes in URL-safe base64 without padding, `len`, their number,
//! and `metadata`, an object of strings.

use ditto_value::{Node, Number, Tree};

/// What 32 bytes take in base64 without padding.
const ID_LENGTH: usize = 43;

const OTHER_MEMBERS: &str = "its members are not `id`, `len` and `metadata`";

/// Whether a value is the token of an attachment. Undeclared, it is written as one, and not as an object of which every
/// member merges on its own.
pub fn is_attachment_token<'a>(value: impl Tree<'a>) -> bool {
    check(value).is_ok()
}

/// What keeps a value from being a token.
pub(crate) fn check<'a>(value: impl Tree<'a>) -> Result<(), &'static str> {
    let Node::Object(mut members) = value.node() else { return Err("it is not an object") };
    if members.len() != 3 {
        return Err(OTHER_MEMBERS);
    }
    let mut member = |name| members.next().filter(|(found, _)| *found == name).map(|(_, value)| value);
    let Some(id) = member("id") else { return Err(OTHER_MEMBERS) };
    let (Some(len), Some(metadata)) = (member("len"), member("metadata")) else { return Err(OTHER_MEMBERS) };
    if !matches!(id.node(), Node::String(id) if is_digest(id)) {
        return Err("its `id` is not a 32-byte digest in URL-safe base64 without padding");
    }
    if !matches!(len.node(), Node::Number(Number::Int(0..) | Number::UInt(_))) {
        return Err("its `len` is not a number of bytes");
    }
    let Node::Object(mut metadata) = metadata.node() else { return Err("its `metadata` is not an object") };
    if !metadata.all(|(_, value)| matches!(value.node(), Node::String(_))) {
        return Err("its `metadata` has a value that is not a string");
    }
    Ok(())
}

fn is_digest(text: &str) -> bool {
    let bytes = text.as_bytes();
    // The last digit stands for four bits only: the two others are zero.
    let fits = |last: &u8| b"AEIMQUYcgkosw048".contains(last);
    bytes.len() == ID_LENGTH
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        && bytes.last().is_some_and(fits)
}

#[cfg(test)]
mod tests {
    use ditto_value::Value;

    use super::*;

    #[test]
    fn a_token_has_a_digest_a_length_and_strings_about_it() {
        let id = "A".repeat(ID_LENGTH);
        let of_json = |json: &str| check(&Value::from_json(&json.replace("$", &id)).unwrap());
        for token in [
            r#"{"id": "$", "len": 0, "metadata": {}}"#,
            r#"{"id": "$", "len": 18446744073709551615, "metadata": {"name": "leaf", "": ""}}"#,
        ] {
            assert_eq!(of_json(token), Ok(()), "{token}");
        }
        for (value, problem) in [
            (r#"null"#, "not an object"),
            (r#"[]"#, "not an object"),
            (r#"{}"#, "its members"),
            (r#"{"id": "$", "len": 1}"#, "its members"),
            (r#"{"id": "$", "len": 1, "metadata": {}, "more": 1}"#, "its members"),
            (r#"{"ID": "$", "len": 1, "metadata": {}}"#, "its members"),
            (r#"{"id": "$A", "len": 1, "metadata": {}}"#, "`id`"),
            (r#"{"id": "", "len": 1, "metadata": {}}"#, "`id`"),
            (r#"{"id": 5, "len": 1, "metadata": {}}"#, "`id`"),
            (r#"{"id": "$", "len": -1, "metadata": {}}"#, "`len`"),
            (r#"{"id": "$", "len": 1.0, "metadata": {}}"#, "`len`"),
            (r#"{"id": "$", "len": "1", "metadata": {}}"#, "`len`"),
            (r#"{"id": "$", "len": 1, "metadata": null}"#, "`metadata` is not"),
            (r#"{"id": "$", "len": 1, "metadata": {"a": "b", "c": 1}}"#, "`metadata` has"),
        ] {
            assert!(of_json(value).unwrap_err().contains(problem), "{value}");
        }
        for (changed, fine) in
            [('_', false), ('-', false), ('+', false), ('=', false), ('B', false), ('w', true)]
        {
            let id = format!("{}{changed}", &id[1..]);
            assert_eq!(is_digest(&id), fine, "{id}");
            assert_eq!(is_digest(&id.chars().rev().collect::<String>()), !"+=".contains(changed));
        }
    }
}
