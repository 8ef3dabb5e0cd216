//! Where in a document an entry is.

use std::borrow::Cow;

use ditto_value::MAX_DEPTH;

/// How long the encoded path of an entry may be. Entries repeat their paths, so this bounds what a long name costs.
pub const MAX_PATH_BYTES: usize = 16 * 1024;

/// The member names from the document's root to an entry; at least one, and the first is not `_id`.
///
/// Encoded as each name's UTF-8 (with `00` written as `01 01` and `01` as `01 02`) followed by `00`, so that the byte
/// order of paths is the order of their names, one by one, and that a path's prefixes are byte prefixes.
///
/// ```
/// use ditto_crdt::Path;
///
/// let light = Path::new(["care", "light"])?;
/// assert!(Path::new(["care"])?.is_prefix_of(&light));
/// assert_eq!(light.to_string(), "care.light");
/// # Ok::<(), ditto_crdt::PathError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(Box<[u8]>);

/// Names that are not the path of an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// No name at all: the document itself is not an entry.
    #[error("a path needs at least one name")]
    Empty,
    /// `_id` never changes, so it is not an entry.
    #[error("`_id` cannot be changed; copy the document under another `_id` and delete this one")]
    Id,
    /// More names than a value may be nested.
    #[error("a path has more than {MAX_DEPTH} names; nest the document less deeply")]
    TooDeep,
    /// Longer than [`MAX_PATH_BYTES`].
    #[error("a path is longer than {MAX_PATH_BYTES} bytes; use shorter member names")]
    TooLong,
    /// Bytes that are not an encoded path.
    #[error("bytes are not the encoding of a path")]
    Malformed,
}

impl Path {
    /// The path of these names.
    ///
    /// # Errors
    /// See [`PathError`].
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<Self, PathError> {
        let mut bytes = Vec::new();
        for name in names {
            push_name(&mut bytes, name.as_bytes());
        }
        Self::from_encoded(&bytes)
    }

    /// Checks bytes from outside.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, PathError> {
        validate(bytes)?;
        Ok(Self(bytes.into()))
    }

    /// Takes what [`push_name`] wrote.
    pub(crate) fn from_encoded(bytes: &[u8]) -> Result<Self, PathError> {
        check(bytes)?;
        Ok(Self(bytes.into()))
    }

    /// Takes what [`check`] was asked about already.
    pub(crate) fn checked(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The names from the root on.
    pub fn names(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.0.split(|byte| *byte == 0).take(self.depth()).map(decode_name)
    }

    /// How many names there are; at least one.
    pub fn depth(&self) -> usize {
        depth(&self.0)
    }

    /// Whether `other` is this path or below it.
    pub fn is_prefix_of(&self, other: &Path) -> bool {
        other.0.starts_with(&self.0)
    }

    /// The paths above this one, the shortest first.
    pub(crate) fn ancestors(&self) -> impl Iterator<Item = Path> + '_ {
        let inner = self.0.len().saturating_sub(1);
        let ends = self.0.iter().enumerate().take(inner).filter(|(_, byte)| **byte == 0);
        ends.filter_map(|(end, _)| self.0.get(..=end).map(|bytes| Path(bytes.into())))
    }
}

/// Checks bytes from outside: that they are the encoding of a path that an entry may have.
pub(crate) fn validate(bytes: &[u8]) -> Result<(), PathError> {
    check(bytes)?;
    let mut escaped = false;
    let mut well_formed = bytes.last() == Some(&0) && std::str::from_utf8(bytes).is_ok();
    for byte in bytes {
        well_formed &= !escaped || matches!(byte, 1 | 2);
        escaped = *byte == 1 && !escaped;
    }
    if well_formed { Ok(()) } else { Err(PathError::Malformed) }
}

/// The checks that hold for every path, for one in a buffer.
pub(crate) fn check(bytes: &[u8]) -> Result<(), PathError> {
    match bytes {
        [] => Err(PathError::Empty),
        _ if bytes.starts_with(b"_id\0") => Err(PathError::Id),
        _ if bytes.len() > MAX_PATH_BYTES => Err(PathError::TooLong),
        _ if depth(bytes) > MAX_DEPTH => Err(PathError::TooDeep),
        _ => Ok(()),
    }
}

pub(crate) fn depth(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == 0).count()
}

/// Appends the encoding of one more name.
pub(crate) fn push_name(bytes: &mut Vec<u8>, name: &[u8]) {
    if name.iter().any(|byte| *byte < 2) {
        for byte in name {
            match byte {
                0 | 1 => bytes.extend_from_slice(&[1, byte + 1]),
                _ => bytes.push(*byte),
            }
        }
    } else {
        bytes.extend_from_slice(name);
    }
    bytes.push(0);
}

/// Reads the encoding of a name, without its terminator.
pub(crate) fn decode_name(bytes: &[u8]) -> Cow<'_, str> {
    if !bytes.contains(&1) {
        return std::str::from_utf8(bytes).unwrap_or_default().into();
    }
    let mut name = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(byte) = rest.next() {
        name.push(if *byte == 1 { rest.next().map_or(1, |escaped| escaped.wrapping_sub(1)) } else { *byte });
    }
    String::from_utf8(name).unwrap_or_default().into()
}

impl std::fmt::Display for Path {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, name) in self.names().enumerate() {
            formatter.write_str(if index > 0 { "." } else { "" })?;
            formatter.write_str(&name)?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Path {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names() -> impl Strategy<Value = Vec<String>> {
        prop::collection::vec("[\u{0}\u{1}\u{2}ab]{0,3}", 1..4)
    }

    proptest! {
        #[test]
        fn paths_read_back_and_order_as_their_names(left in names(), right in names()) {
            let path = |names: &[String]| Path::new(names.iter().map(String::as_str)).unwrap();
            let (left_path, right_path) = (path(&left), path(&right));
            prop_assert_eq!(left_path.names().collect::<Vec<_>>(), left.clone());
            prop_assert_eq!(left_path.cmp(&right_path), left.cmp(&right));
            prop_assert_eq!(left_path.is_prefix_of(&right_path), right.starts_with(&left));
            prop_assert_eq!(left_path.ancestors().count(), left.len() - 1);
            prop_assert_eq!(Path::decode(left_path.bytes()), Ok(left_path.clone()));
        }

        #[test]
        fn a_decoded_path_has_one_encoding(bytes in prop::collection::vec(0u8..4, 0..6)) {
            if let Ok(path) = Path::decode(&bytes) {
                let names: Vec<String> = path.names().map(Cow::into_owned).collect();
                let again = Path::new(names.iter().map(String::as_str)).unwrap();
                prop_assert_eq!(again.bytes(), &bytes[..]);
            }
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        assert_eq!(Path::new([]), Err(PathError::Empty));
        assert_eq!(Path::new(["_id", "row"]), Err(PathError::Id));
        assert!(Path::new(["care", "_id"]).is_ok());
        assert_eq!(Path::new(std::iter::repeat_n("a", 129)), Err(PathError::TooDeep));
        assert_eq!(Path::new(["a".repeat(MAX_PATH_BYTES).as_str()]), Err(PathError::TooLong));
    }
}
