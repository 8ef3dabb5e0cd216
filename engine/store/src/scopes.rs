//! With whom the documents of a collection may be exchanged.
//!
//! The parameter USER_COLLECTION_SYNC_SCOPES is the only one that is kept: a program that forgets to set it again would
//! publish what was never meant to leave the device. It is written, and synced, before it is in force.

use std::collections::BTreeMap;
use std::sync::Arc;

use ditto_storage::Keyspace;
use ditto_value::{Object, Value};

use crate::error::{ParameterProblem, StoreError};
use crate::layout::{self, Reader};
use crate::store::Inner;

/// Name of the parameter.
pub(crate) const PARAMETER: &str = "user_collection_sync_scopes";

/// How many collections may have a scope of their own.
const MAX_SCOPES: usize = 10_000;

/// Who may receive the documents of a collection, and from whom they are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncScope {
    /// Everybody.
    #[default]
    AllPeers,
    /// Servers.
    BigPeerOnly,
    /// Everybody but servers.
    SmallPeersOnly,
    /// Nobody.
    LocalPeerOnly,
}

impl SyncScope {
    /// All of them, in the order of their numbers on disk.
    pub const ALL: [Self; 4] = [Self::AllPeers, Self::BigPeerOnly, Self::SmallPeersOnly, Self::LocalPeerOnly];

    /// As it is written in statements.
    pub fn name(self) -> &'static str {
        match self {
            Self::AllPeers => "AllPeers",
            Self::BigPeerOnly => "BigPeerOnly",
            Self::SmallPeersOnly => "SmallPeersOnly",
            Self::LocalPeerOnly => "LocalPeerOnly",
        }
    }

    /// Upper and lower case do not matter.
    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name().eq_ignore_ascii_case(name))
    }

    /// Whether documents go to and come from a peer that is, or is not, a server.
    pub fn allows(self, is_server: bool) -> bool {
        match self {
            Self::AllPeers => true,
            Self::BigPeerOnly => is_server,
            Self::SmallPeersOnly => !is_server,
            Self::LocalPeerOnly => false,
        }
    }
}

/// The scopes of all collections; whoever is not named has [`SyncScope::AllPeers`].
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Scopes(BTreeMap<String, SyncScope>);

impl Scopes {
    /// From the value of the parameter.
    pub(crate) fn of(value: &Value) -> Result<Self, ParameterProblem> {
        let Value::Object(members) = value else {
            let found = crate::parameters::kind_of(value);
            return Err(ParameterProblem::WrongKind { expected: "an object", found });
        };
        if members.len() > MAX_SCOPES {
            return Err(ParameterProblem::TooMany { most: MAX_SCOPES });
        }
        let mut scopes = BTreeMap::new();
        for (name, value) in members.iter() {
            let scope = match value {
                Value::String(word) => SyncScope::parse(word),
                _ => None,
            };
            let Some(scope) = scope else {
                let expected = SyncScope::ALL.map(SyncScope::name).join(", ");
                return Err(ParameterProblem::WrongMember { member: name.to_string(), expected });
            };
            if name.starts_with("__") || name.is_empty() || name.len() > layout::MAX_COLLECTION_NAME_BYTES {
                return Err(ParameterProblem::NotACollection { member: name.to_string() });
            }
            scopes.insert(name.to_string(), scope);
        }
        Ok(Self(scopes))
    }

    /// The value of the parameter.
    pub(crate) fn value(&self) -> Value {
        let members = self.0.iter().map(|(name, scope)| (name.clone(), Value::from(scope.name())));
        Value::Object(Object::from_iter(members))
    }

    pub(crate) fn get(&self, collection: &str) -> SyncScope {
        self.0.get(collection).copied().unwrap_or_default()
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, scope) in &self.0 {
            let number = SyncScope::ALL.iter().position(|other| other == scope).unwrap_or_default();
            // At most 3; names have at most 1,024 bytes.
            bytes.push(number as u8);
            bytes.extend_from_slice(&(name.len() as u16).to_be_bytes());
            bytes.extend_from_slice(name.as_bytes());
        }
        bytes
    }

    /// `None` if the bytes are no such row.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let mut scopes = BTreeMap::new();
        while !reader.0.is_empty() {
            let scope = *SyncScope::ALL.get(usize::from(reader.u8()?))?;
            let length = usize::from(reader.u16()?);
            let name = String::from_utf8(reader.take(length)?.to_vec()).ok()?;
            scopes.insert(name, scope);
        }
        Some(Self(scopes))
    }
}

/// Writes the scopes down, sees to it that they survive a loss of power, and lets `apply` put them in force.
pub(crate) fn keep<T>(
    inner: &Arc<Inner>,
    scopes: &Scopes,
    apply: impl FnOnce() -> T,
) -> Result<T, StoreError> {
    // Who has the turn may wait for the transaction that this runs inside of.
    inner.writer.check_nested()?;
    let commit = || {
        // Of two who change them, what the later one wrote is in force.
        let _turn = inner.scopes_turn.lock();
        let mut transaction = inner.begin_write()?;
        transaction.put_row(Keyspace::Catalog, layout::CATALOG_SCOPES.to_vec(), scopes.encode());
        let committed = transaction.commit()?;
        inner.sync_to(committed.mark)?;
        Ok(apply())
    };
    let kept = commit();
    // Without the turn: whoever is told may change them again.
    inner.deliver_commits();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> Value {
        Value::from_json(json).expect("JSON")
    }

    #[test]
    fn scopes_are_read_in_any_case_and_shown_in_one() {
        let scopes = Scopes::of(&value(r#"{"a": "localpeeronly", "b": "BIGPEERONLY"}"#)).expect("scopes");
        assert_eq!(scopes.value(), value(r#"{"a": "LocalPeerOnly", "b": "BigPeerOnly"}"#));
        assert_eq!(scopes.get("a"), SyncScope::LocalPeerOnly);
        assert_eq!(scopes.get("c"), SyncScope::AllPeers);
        assert_eq!(Scopes::decode(&scopes.encode()), Some(scopes));
    }

    #[test]
    fn each_scope_lets_those_through_whom_it_names() {
        // Servers, and everybody else.
        let table = [
            (SyncScope::AllPeers, [true, true]),
            (SyncScope::BigPeerOnly, [true, false]),
            (SyncScope::SmallPeersOnly, [false, true]),
            (SyncScope::LocalPeerOnly, [false, false]),
        ];
        assert_eq!(table.map(|(scope, _)| scope), SyncScope::ALL);
        for (scope, allowed) in table {
            assert_eq!([true, false].map(|is_server| scope.allows(is_server)), allowed, "{scope:?}");
        }
        assert_eq!(SyncScope::default(), SyncScope::AllPeers);
    }

    #[test]
    fn what_is_no_scope_or_no_collection_of_the_user_is_refused() {
        for wrong in
            [r#"{"a": "Nobody"}"#, r#"{"a": 1}"#, r#"{"__a": "AllPeers"}"#, r#"{"": "AllPeers"}"#, "[]"]
        {
            Scopes::of(&value(wrong)).expect_err(wrong);
        }
    }

    #[test]
    fn damaged_rows_are_noticed() {
        let row = Scopes::of(&value(r#"{"ab": "LocalPeerOnly"}"#)).expect("scopes").encode();
        for cut in 1..row.len() {
            assert_eq!(Scopes::decode(&row[..cut]), None, "{cut}");
        }
        assert_eq!(Scopes::decode(&[4, 0, 1, b'a']), None);
        assert_eq!(Scopes::decode(&[0, 0, 1, 0xff]), None);
    }
}
