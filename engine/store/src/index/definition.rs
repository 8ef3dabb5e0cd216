//! What the catalog says of an index.

use std::sync::Arc;

use ditto_dql::IndexKey;
use ditto_storage::{Keyspace, Snapshot, StorageError};

use super::{Index, Position};
use crate::layout::{self, CollectionId, Reader};

/// Where an index is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Every document has its row.
    Ready = 0,
    /// Some documents may have none yet.
    Building = 1,
    /// It is no more; its rows are being removed.
    Dropped = 2,
}

impl State {
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        [Self::Ready, Self::Building, Self::Dropped].into_iter().find(|state| *state as u8 == code)
    }
}

/// A row of the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Definition {
    pub collection: CollectionId,
    pub name: Arc<str>,
    pub keys: Vec<IndexKey>,
    pub state: State,
    pub position: Position,
}

impl Definition {
    /// Limits of the parser and of CREATE INDEX see to it that every length fits.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.state as u8];
        out.extend_from_slice(&self.collection.0.to_be_bytes());
        put_text(&mut out, &self.name);
        out.push(u8::try_from(self.keys.len()).unwrap_or(u8::MAX));
        for key in &self.keys {
            out.push(u8::from(key.descending));
            out.push(u8::try_from(key.path.len()).unwrap_or(u8::MAX));
            key.path.iter().for_each(|name| put_text(&mut out, name));
        }
        out.extend_from_slice(&self.position.indexed.to_be_bytes());
        out.extend_from_slice(&self.position.after);
        out
    }

    /// Reads what [`Definition::encode`] wrote.
    pub(crate) fn decode(row: &[u8]) -> Option<Self> {
        let mut reader = Reader(row);
        let state = State::from_code(reader.u8()?)?;
        let collection = CollectionId(reader.u32()?);
        let name = text(&mut reader)?.into();
        let keys = (0..reader.u8()?)
            .map(|_| {
                let descending = match reader.u8()? {
                    0 => false,
                    1 => true,
                    _ => return None,
                };
                let path = (0..reader.u8()?).map(|_| text(&mut reader)).collect::<Option<Vec<_>>>()?;
                (!path.is_empty()).then_some(IndexKey { path, descending })
            })
            .collect::<Option<Vec<_>>>()?;
        let indexed = reader.u64()?;
        let position = Position { indexed, after: reader.rest().to_vec() };
        (!keys.is_empty()).then_some(Self { collection, name, keys, state, position })
    }

    /// Whether `index` has the rows of all documents in `snapshot`, which may be older than the index.
    pub(crate) fn is_ready_in(snapshot: &dyn Snapshot, index: &Index) -> Result<bool, StorageError> {
        let row = snapshot.get(Keyspace::Catalog, &layout::index_definition_key(index.id))?;
        Ok(row.is_some_and(|row| row.first() == Some(&(State::Ready as u8))))
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn text(reader: &mut Reader<'_>) -> Option<String> {
    let length = reader.u16()?;
    String::from_utf8(reader.take(usize::from(length))?.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_reads_back_and_damaged_ones_are_refused() {
        let keys = vec![
            IndexKey { path: vec!["care".into(), "light".into()], descending: true },
            IndexKey { path: vec!["bed".into()], descending: false },
        ];
        let position = Position { indexed: 7, after: vec![1, 2] };
        let definition = Definition {
            collection: CollectionId(3),
            name: "ix".into(),
            keys,
            state: State::Building,
            position,
        };
        let row = definition.encode();
        assert_eq!(Definition::decode(&row), Some(definition.clone()));
        for length in 0..row.len() - definition.position.after.len() {
            assert_eq!(Definition::decode(&row[..length]), None, "{length}");
        }
        assert_eq!(Definition::decode(&[&[9], &row[1..]].concat()), None);
    }
}
