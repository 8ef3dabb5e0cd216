//! What an expression evaluates to.

use ditto_value::{Number, Tree, Value, ValueKind, ValueRef};

/// The result of an expression: a value, wherever it lives, or MISSING.
///
/// Fields are views into the stored document, literals and arguments are borrowed; only computed text, arrays
/// and objects allocate.
#[derive(Debug, Clone)]
pub enum Item<'a> {
    /// No value at all; leaves its member out of a row.
    Missing,
    /// Part of a stored document.
    Ref(ValueRef<'a>),
    /// A literal, or part of an argument.
    Borrowed(&'a Value),
    /// Computed.
    Owned(Value),
}

/// An [`Item`] that is not missing, borrowed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum View<'v> {
    Ref(ValueRef<'v>),
    Value(&'v Value),
}

impl<'a> Item<'a> {
    /// NULL.
    pub const NULL: Self = Self::Owned(Value::Null);

    /// Whether this is MISSING.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing)
    }

    /// Whether this is null; MISSING is not.
    pub fn is_null(&self) -> bool {
        self.kind() == Some(ValueKind::Null)
    }

    /// The kind of value; `None` for MISSING.
    pub fn kind(&self) -> Option<ValueKind> {
        self.view().map(View::kind)
    }

    /// The boolean, if this is one.
    pub fn as_bool(&self) -> Option<bool> {
        self.view()?.as_bool()
    }

    /// The text, if this is a string.
    pub fn as_str(&self) -> Option<&str> {
        self.view()?.as_str()
    }

    /// The number, if this is an integer of the signed 64-bit range.
    pub fn as_i64(&self) -> Option<i64> {
        match self.view()?.as_number()? {
            Number::Int(number) => Some(number),
            Number::UInt(_) | Number::Float(_) => None,
        }
    }

    /// The value, decoded or cloned if need be; `None` for MISSING.
    pub fn into_value(self) -> Option<Value> {
        match self {
            Self::Missing => None,
            Self::Ref(value) => Some(value.to_value()),
            Self::Borrowed(value) => Some(value.clone()),
            Self::Owned(value) => Some(value),
        }
    }

    pub(crate) fn view(&self) -> Option<View<'_>> {
        match self {
            Self::Missing => None,
            Self::Ref(value) => Some(View::Ref(*value)),
            Self::Borrowed(value) => Some(View::Value(value)),
            Self::Owned(value) => Some(View::Value(value)),
        }
    }

    /// The member of an object; MISSING for every other value.
    pub(crate) fn member(self, name: &str) -> Item<'a> {
        match self {
            Self::Missing => Self::Missing,
            Self::Ref(value) => value.get(name).into(),
            Self::Borrowed(value) => value.get(name).into(),
            Self::Owned(Value::Object(mut object)) => object.remove(name).into(),
            Self::Owned(_) => Self::Missing,
        }
    }

    /// The element of an array, from the end when negative; MISSING for every other value.
    pub(crate) fn element(self, index: i64) -> Item<'a> {
        let Some(position) = self.view().and_then(|view| {
            let length = i64::try_from(view.array_len()?).ok()?;
            let position = if index < 0 { index.checked_add(length)? } else { index };
            usize::try_from(position).ok()
        }) else {
            return Self::Missing;
        };
        match self {
            Self::Missing => Self::Missing,
            Self::Ref(value) => value.at(position).into(),
            Self::Borrowed(value) => value.at(position).into(),
            Self::Owned(Value::Array(elements)) => elements.into_iter().nth(position).into(),
            Self::Owned(_) => Self::Missing,
        }
    }
}

impl<'v> View<'v> {
    pub fn kind(self) -> ValueKind {
        match self {
            Self::Ref(value) => value.kind(),
            Self::Value(value) => value.kind(),
        }
    }

    pub fn as_bool(self) -> Option<bool> {
        match self {
            Self::Ref(value) => value.as_bool(),
            Self::Value(value) => value.as_bool(),
        }
    }

    pub fn as_number(self) -> Option<Number> {
        match self {
            Self::Ref(value) => value.as_number(),
            Self::Value(Value::Int(number)) => Some(Number::Int(*number)),
            Self::Value(Value::UInt(number)) => Some(Number::UInt(*number)),
            Self::Value(Value::Float(number)) => Some(Number::Float(*number)),
            Self::Value(_) => None,
        }
    }

    pub fn as_str(self) -> Option<&'v str> {
        match self {
            Self::Ref(value) => value.as_str(),
            Self::Value(value) => value.as_str(),
        }
    }

    pub fn as_bytes(self) -> Option<&'v [u8]> {
        match self {
            Self::Ref(value) => value.as_bytes(),
            Self::Value(value) => value.as_bytes(),
        }
    }

    /// The number of elements, if this is an array.
    pub fn array_len(self) -> Option<usize> {
        match self {
            Self::Ref(value) => (value.kind() == ValueKind::Array).then(|| value.len()),
            Self::Value(value) => value.as_array().map(<[Value]>::len),
        }
    }

    /// The number of members, if this is an object.
    pub fn object_len(self) -> Option<usize> {
        match self {
            Self::Ref(value) => (value.kind() == ValueKind::Object).then(|| value.len()),
            Self::Value(value) => value.as_object().map(ditto_value::Object::len),
        }
    }

    /// The elements; none if this is not an array.
    pub fn elements(self) -> impl Iterator<Item = View<'v>> {
        let (stored, owned) = match self {
            Self::Ref(value) => (Some(value.elements()), None),
            Self::Value(value) => (None, value.as_array()),
        };
        let stored = stored.into_iter().flatten().map(View::Ref);
        stored.chain(owned.unwrap_or_default().iter().map(View::Value))
    }

    /// The members in order of their names; none if this is not an object.
    pub fn members(self) -> impl Iterator<Item = (&'v str, View<'v>)> {
        let (stored, owned) = match self {
            Self::Ref(value) => (Some(value.members()), None),
            Self::Value(value) => (None, value.as_object()),
        };
        let stored = stored.into_iter().flatten().map(|(name, value)| (name, View::Ref(value)));
        let owned = owned.into_iter().flat_map(|object| object.iter());
        stored.chain(owned.map(|(name, value)| (name, View::Value(value))))
    }

    pub fn to_value(self) -> Value {
        match self {
            Self::Ref(value) => value.to_value(),
            Self::Value(value) => value.clone(),
        }
    }

    pub fn to_json(self) -> String {
        match self {
            Self::Ref(value) => value.to_json(),
            Self::Value(value) => value.to_json(),
        }
    }

    /// The total order of values.
    pub fn compare(self, other: View<'_>) -> std::cmp::Ordering {
        match (self, other) {
            (Self::Ref(left), View::Ref(right)) => ditto_value::compare(left, right),
            (Self::Ref(left), View::Value(right)) => ditto_value::compare(left, right),
            (Self::Value(left), View::Ref(right)) => ditto_value::compare(left, right),
            (Self::Value(left), View::Value(right)) => ditto_value::compare(left, right),
        }
    }

    /// A cheap estimate of the size of the value in bytes.
    pub fn approximate_size(self) -> usize {
        fn of<'t>(value: impl Tree<'t>, depth: usize) -> usize {
            use ditto_value::Node;
            const NODE: usize = size_of::<Value>();
            NODE + match value.node() {
                Node::Null | Node::Bool(_) | Node::Number(_) => 0,
                Node::Bytes(bytes) => bytes.len(),
                Node::String(text) => text.len(),
                Node::Array(_) | Node::Object(_) if depth >= ditto_value::MAX_DEPTH => 0,
                Node::Array(elements) => elements.map(|element| of(element, depth + 1)).sum(),
                Node::Object(members) => {
                    members.map(|(name, member)| name.len() + of(member, depth + 1)).sum()
                }
            }
        }
        match self {
            Self::Ref(value) => value.bytes().len(),
            Self::Value(value) => of(value, 0),
        }
    }
}

impl From<bool> for Item<'_> {
    fn from(value: bool) -> Self {
        Self::Owned(Value::Bool(value))
    }
}

impl<'a> From<Option<ValueRef<'a>>> for Item<'a> {
    fn from(value: Option<ValueRef<'a>>) -> Self {
        value.map_or(Self::Missing, Self::Ref)
    }
}

impl<'a> From<Option<&'a Value>> for Item<'a> {
    fn from(value: Option<&'a Value>) -> Self {
        value.map_or(Self::Missing, Self::Borrowed)
    }
}

impl From<Option<Value>> for Item<'_> {
    fn from(value: Option<Value>) -> Self {
        value.map_or(Self::Missing, Self::Owned)
    }
}
