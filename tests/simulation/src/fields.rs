//! Messages as the fields that they consist of (docs/protocol.md, section 2), for those who change them on their way.

/// What a field says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// A number.
    Number(u64),
    /// Bytes, a text, or fields.
    Bytes(Vec<u8>),
}

/// One field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// Its number.
    pub(crate) number: u64,
    /// What it says.
    pub(crate) content: Content,
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// All fields, if that is what the bytes are.
pub(crate) fn read(mut bytes: &[u8]) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let (tag, value) = (varint(&mut bytes)?, varint(&mut bytes)?);
        let content = if tag & 1 == 0 {
            Content::Number(value)
        } else {
            let (content, rest) = bytes.split_at_checked(usize::try_from(value).ok()?)?;
            bytes = rest;
            Content::Bytes(content.to_vec())
        };
        fields.push(Field { number: tag >> 1, content });
    }
    Some(fields)
}

/// The bytes of fields.
pub(crate) fn write(fields: &[Field]) -> Vec<u8> {
    let mut out = Vec::new();
    for field in fields {
        match &field.content {
            Content::Number(number) => {
                put_varint(&mut out, field.number << 1);
                put_varint(&mut out, *number);
            }
            Content::Bytes(bytes) => {
                put_varint(&mut out, field.number << 1 | 1);
                put_varint(&mut out, bytes.len() as u64);
                out.extend_from_slice(bytes);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_as_it_was() {
        let bytes = [2, 1, 5, 3, 7, 8, 9, 0x82, 0x01, 0xff, 0x7f];
        let fields = read(&bytes).unwrap_or_default();
        assert_eq!(fields.len(), 3);
        assert_eq!(write(&fields), bytes);
        assert_eq!(read(&bytes[..5]), None, "the bytes end too early");
    }
}
