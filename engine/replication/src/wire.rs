//! The byte form of messages: tagged fields, so that an older build skips what it does not know.
//!
//! A *varint* is little-endian base 128, 7 bits a byte, the high bit set on all but the last; at most 10
//! bytes, and no more than 64 bits. A *structure* is a sequence of fields, up to the end of its bytes. A field is
//!
//! ```text
//! varint   number << 1 | kind        number ≥ 1
//! kind 0:  varint                    an unsigned integer
//! kind 1:  varint length ‖ bytes     bytes, text (UTF-8), or a structure
//! ```
//!
//! A field that repeats is a list where the table of the message says so; elsewhere the last one counts.
//! Nothing here recurses: the depth of a message is the depth of the code that reads it.

/// Bytes that are not a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end in the middle of something.
    #[error("the bytes end too early")]
    Truncated,
    /// A varint is longer than 64 bits.
    #[error("a number is longer than 64 bits")]
    Varint,
    /// A field has number 0.
    #[error("field number 0 does not exist")]
    FieldZero,
    /// A field does not have the kind or the length that its table says.
    #[error("field `{0}` has the wrong form")]
    Field(&'static str),
    /// A field that may not be absent is.
    #[error("field `{0}` is missing")]
    Missing(&'static str),
    /// A length or a count is greater than its limit.
    #[error("`{0}` is greater than its limit")]
    Limit(&'static str),
    /// The block of a packed message does not unpack to the length that it says.
    #[error("a packed message does not unpack to its length")]
    Block,
    /// There is a packed message in a packed message.
    #[error("a packed message contains another one")]
    Nested,
}

/// Writes fields.
#[derive(Debug, Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub(crate) fn kind(kind: u64) -> Self {
        let mut writer = Self::default();
        writer.varint(kind);
        writer
    }

    pub(crate) fn number(&mut self, field: u64, value: u64) {
        self.varint(field << 1);
        self.varint(value);
    }

    /// Zero is written as absence.
    pub(crate) fn nonzero(&mut self, field: u64, value: u64) {
        if value != 0 {
            self.number(field, value);
        }
    }

    pub(crate) fn flag(&mut self, field: u64, value: bool) {
        self.nonzero(field, u64::from(value));
    }

    pub(crate) fn bytes(&mut self, field: u64, value: &[u8]) {
        self.varint(field << 1 | 1);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    pub(crate) fn structure(&mut self, field: u64, write: impl FnOnce(&mut Writer)) {
        let mut inner = Writer::default();
        write(&mut inner);
        self.bytes(field, &inner.0);
    }
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Content<'a> {
    pub(crate) fn number(self, name: &'static str) -> Result<u64, DecodeError> {
        match self {
            Content::Number(value) => Ok(value),
            Content::Bytes(_) => Err(DecodeError::Field(name)),
        }
    }

    /// At most `limit` bytes.
    pub(crate) fn bytes(self, name: &'static str, limit: usize) -> Result<&'a [u8], DecodeError> {
        match self {
            Content::Bytes(value) if value.len() > limit => Err(DecodeError::Limit(name)),
            Content::Bytes(value) => Ok(value),
            Content::Number(_) => Err(DecodeError::Field(name)),
        }
    }

    pub(crate) fn array<const N: usize>(self, name: &'static str) -> Result<[u8; N], DecodeError> {
        self.bytes(name, N)?.try_into().map_err(|_| DecodeError::Field(name))
    }

    pub(crate) fn text(self, name: &'static str, limit: usize) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes(name, limit)?).map_err(|_| DecodeError::Field(name))
    }

    pub(crate) fn fields(self, name: &'static str) -> Result<Fields<'a>, DecodeError> {
        Ok(Fields(self.bytes(name, usize::MAX)?))
    }
}

/// Reads fields until the bytes end or are found malformed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0_u64;
        for (index, byte) in self.0.iter().enumerate() {
            let bits = u64::from(byte & 0x7f);
            let shift = 7 * index as u32;
            if shift > 63 || bits << shift >> shift != bits {
                return Err(DecodeError::Varint);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                self.0 = self.0.get(index + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        Err(DecodeError::Truncated)
    }

    /// The next field and its number.
    pub(crate) fn field(&mut self) -> Result<Option<(u64, Content<'a>)>, DecodeError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = tag >> 1;
        if number == 0 {
            return Err(DecodeError::FieldZero);
        }
        if tag & 1 == 0 {
            return Ok(Some((number, Content::Number(self.varint()?))));
        }
        let length = usize::try_from(self.varint()?).map_err(|_| DecodeError::Truncated)?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(Some((number, Content::Bytes(bytes))))
    }
}
