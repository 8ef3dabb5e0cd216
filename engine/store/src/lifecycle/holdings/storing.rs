//! The rows that say what remote peers hold.

use ditto_crdt::Sequence;
use ditto_storage::{Batch, Direction, Keyspace, Snapshot};
use parking_lot::RwLock;

use super::holder::{Exception, ExceptionName, Held, Holder};
use super::statements::{PeerBytes, SelectionBytes};
use super::{Holdings, State};
use crate::error::OpenError;
use crate::layout::{self, Reader};
use crate::lifecycle::rows::{self, Forgotten, InterestRow, PeerRow};

/// How long evidence may wait in memory for a commit to go with, in milliseconds.
const FLUSH_AFTER_MS: u64 = 1_000;

/// The rest of the `replication` key: length of the collection's name (2) ‖ name ‖ hash (16).
pub(super) fn unheld_name((collection, hash): &ExceptionName) -> Vec<u8> {
    let length = u16::try_from(collection.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes()[..], collection.as_bytes(), hash].concat()
}

pub(super) fn split_unheld_name(bytes: &[u8]) -> Option<ExceptionName> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let (collection, hash) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    Some((std::str::from_utf8(collection).ok()?.into(), hash.try_into().ok()?))
}

impl Holdings {
    /// Reads what was kept.
    pub(crate) fn read(snapshot: &dyn Snapshot) -> Result<Self, OpenError> {
        let mut state = State::default();
        if let Some(value) = snapshot.get(Keyspace::Catalog, layout::CATALOG_FORGOTTEN)? {
            let corrupt = || OpenError::Corrupt { row: "forgotten".to_string(), found: value.len() };
            state.forgotten = Forgotten::decode(&value).ok_or_else(corrupt)?;
        }
        let others = [rows::TAG_INTEREST, rows::TAG_UNHELD, rows::TAG_OFFERED, rows::TAG_UNPROVEN];
        for tag in std::iter::once(rows::TAG_PEER).chain(others) {
            for row in snapshot.prefix(Keyspace::Replication, &[tag], Direction::Forward) {
                let (key, value) = row?;
                if state.read_row(&key, &value).is_none() {
                    return Err(OpenError::Corrupt { row: "replication".to_string(), found: value.len() });
                }
            }
        }
        Ok(Self(RwLock::new(state)))
    }

    /// Adds what the storage does not have to a commit, unless that was done a moment ago and no peer was met since: what is
    /// recorded as coming from a peer would be taken for proven after a crash if nothing was known of the peer then.
    pub(crate) fn join_commit(&self, batch: &mut Batch, now_ms: u64) {
        let due = {
            let state = self.0.read();
            let is_time = now_ms.abs_diff(state.flushed_ms) >= FLUSH_AFTER_MS;
            !state.dirty.is_empty() && (is_time || state.has_new_peer)
        };
        if due {
            self.flush(batch, now_ms);
        }
    }

    /// Adds everything that the storage does not have.
    pub(crate) fn flush(&self, batch: &mut Batch, now_ms: u64) {
        let mut state = self.0.write();
        state.flushed_ms = now_ms;
        state.has_new_peer = false;
        state.peers.values_mut().for_each(|holder| holder.has_left_row = false);
        for key in std::mem::take(&mut state.dirty) {
            match state.row(&key) {
                Some(value) => {
                    state.is_stored(&key);
                    batch.put(Keyspace::Replication, key, value);
                }
                None => batch.delete(Keyspace::Replication, key),
            }
        }
    }
}

impl Exception {
    fn encode(self) -> Vec<u8> {
        let row = self.row.map(layout::sequence_key);
        [&layout::sequence_key(self.from)[..], row.as_ref().map_or(&[], |row| &row[..])].concat()
    }

    fn decode(value: &[u8]) -> Option<Self> {
        let mut reader = Reader(value);
        let from = Sequence(reader.u64()?);
        let row = if reader.0.is_empty() { None } else { Some(Sequence(reader.u64()?)) };
        reader.end()?;
        Some(Self { from, row })
    }
}

impl Holder {
    /// The keys of all its rows.
    pub(super) fn keys(&self, peer: &PeerBytes) -> Vec<Vec<u8>> {
        let interests = self.interests.keys().map(|name| rows::interest_key(peer, name));
        let exceptions = self.unheld.keys().map(|name| rows::unheld_key(peer, &unheld_name(name)));
        let offered = self.offered.keys().map(|name| rows::offered_key(peer, name));
        let unproven = (self.unproven > Sequence::ZERO).then(|| rows::unproven_key(peer));
        let others = offered.chain(unproven).chain([rows::peer_key(peer)]);
        interests.chain(exceptions).chain(others).collect()
    }
}

impl State {
    /// What is to be stored under a key; `None` if nothing is.
    fn row(&self, key: &[u8]) -> Option<Vec<u8>> {
        let (tag, peer, rest) = rows::split_replication_key(key)?;
        let holder = self.peers.get(&peer)?;
        match tag {
            rows::TAG_PEER => Some(holder.row.encode()),
            rows::TAG_INTEREST => {
                Some(holder.interests.get::<SelectionBytes>(rest.try_into().ok()?)?.row.encode())
            }
            rows::TAG_OFFERED => {
                let offered = holder.offered.get(std::str::from_utf8(rest).ok()?)?;
                Some(layout::sequence_key(*offered).to_vec())
            }
            rows::TAG_UNPROVEN => {
                (holder.unproven > Sequence::ZERO).then(|| layout::sequence_key(holder.unproven).to_vec())
            }
            _ => Some(holder.unheld.get(&split_unheld_name(rest)?)?.encode()),
        }
    }

    /// A row is stored from now on.
    fn is_stored(&mut self, key: &[u8]) {
        let Some((rows::TAG_INTEREST, peer, rest)) = rows::split_replication_key(key) else { return };
        if let Some(holder) = self.peers.get_mut(&peer)
            && let Some(held) = holder.interests.get_mut(rest)
        {
            held.is_stored = true;
        }
    }

    fn read_row(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let (tag, peer, rest) = rows::split_replication_key(key)?;
        if tag == rows::TAG_PEER {
            let row = PeerRow::decode(value)?;
            // Its claims are no evidence, but there may be a row.
            if peer == rows::NOBODY {
                return Some(());
            }
            self.peers.entry(peer).or_default().row = row;
            return Some(());
        }
        // Rows of a peer without its own row were left by a pruning.
        let Some(holder) = self.peers.get_mut(&peer) else { return Some(()) };
        if tag == rows::TAG_INTEREST {
            let row = InterestRow::decode(value)?;
            holder.interests.insert(rest.try_into().ok()?, Held::new(row, true));
        } else if tag == rows::TAG_OFFERED {
            let collection = std::str::from_utf8(rest).ok()?;
            holder.offered.insert(collection.into(), layout::decode_sequence_key(value)?);
        } else if tag == rows::TAG_UNPROVEN {
            holder.unproven = layout::decode_sequence_key(value)?;
        } else {
            holder.unheld.insert(split_unheld_name(rest)?, Exception::decode(value)?);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_is_read_with_and_without_its_row_and_in_no_other_length() {
        for row in [None, Some(Sequence(7))] {
            let exception = Exception { from: Sequence(5), row };
            let read = Exception::decode(&exception.encode()).map(|read| (read.from, read.row));
            assert_eq!(read, Some((Sequence(5), row)));
        }
        // As older builds wrote it.
        let older = Exception::decode(&5_u64.to_be_bytes()).map(|read| (read.from, read.row));
        assert_eq!(older, Some((Sequence(5), None)));
        for length in (0..8).chain(9..16).chain(17..30) {
            assert!(Exception::decode(&vec![0; length]).is_none(), "{length} bytes");
        }
    }
}
