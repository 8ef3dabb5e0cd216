//! What remote peers are known to hold and is forgotten, because it is too much or too old.

use std::collections::BTreeSet;

use ditto_crdt::Sequence;

use super::holder::{ExceptionName, Held, Holder};
use super::statements::{PeerBytes, SelectionBytes};
use super::storing::{split_unheld_name, unheld_name};
use super::{Holdings, State};
use crate::error::StoreError;
use crate::lifecycle::names;
use crate::lifecycle::rows::{self, Forgotten, InterestRow};

/// Interests of one peer that are remembered, of all its sessions: as many as one session may have. Of more, those are forgotten
/// that were not used for longest.
pub const MAX_REMEMBERED_INTERESTS: usize = 1_000;
/// Stands for all interests of the last session that are forgotten: of none of them is known how far it has come.
const FORGOTTEN: SelectionBytes = [0xff; 16];
/// Their queries and arguments together, in bytes: as many as those of one session may have.
pub const MAX_REMEMBERED_INTEREST_BYTES: usize = 1024 * 1024;

impl Holdings {
    /// The interests of a peer beyond what is remembered of one, those that were not used for longest, with their collections.
    pub(crate) fn excess(&self, peer: &PeerBytes) -> Vec<(SelectionBytes, Option<Box<str>>)> {
        let state = self.0.read();
        let Some(holder) = state.peers.get(peer) else { return Vec::new() };
        let mut count = holder.interests.keys().filter(|selection| **selection != FORGOTTEN).count();
        let mut bytes: usize = holder.interests.values().map(Held::bytes).sum();
        if count <= MAX_REMEMBERED_INTERESTS && bytes <= MAX_REMEMBERED_INTEREST_BYTES {
            return Vec::new();
        }
        let mut oldest: Vec<_> =
            holder.interests.iter().filter(|(selection, _)| **selection != FORGOTTEN).collect();
        oldest.sort_by_key(|(_, held)| held.row.used_ms);
        let mut excess = Vec::new();
        for (selection, held) in oldest {
            if count <= MAX_REMEMBERED_INTERESTS && bytes <= MAX_REMEMBERED_INTEREST_BYTES {
                break;
            }
            count -= 1;
            bytes -= held.bytes();
            excess.push((*selection, held.collection.clone()));
        }
        excess
    }

    /// Forgets interests of a peer, with their rows.
    pub(crate) fn forget_interests<'s>(
        &self,
        peer: &PeerBytes,
        selections: impl IntoIterator<Item = &'s SelectionBytes>,
    ) {
        let mut state = self.0.write();
        let State { peers, dirty, .. } = &mut *state;
        let Some(holder) = peers.get_mut(peer) else { return };
        let mut asked_for_ms = None;
        for selection in selections {
            if let Some(held) = holder.interests.remove(selection) {
                if held.row.used_ms >= holder.row.used_ms {
                    asked_for_ms = asked_for_ms.max(Some(held.row.used_ms));
                }
                holder.has_left_row |= held.row.acknowledged > Sequence::ZERO;
                let key = rows::interest_key(peer, selection);
                // A peer may ask for something else again and again: of what was never stored nothing is to be removed.
                if held.is_stored {
                    dirty.insert(key);
                } else {
                    dirty.remove(&key);
                }
            }
        }
        if let Some(used_ms) = asked_for_ms {
            let key = rows::interest_key(peer, &FORGOTTEN);
            let row = InterestRow { used_ms, ..InterestRow::default() };
            let forgotten = Held::new(row, dirty.contains(&key));
            holder.interests.entry(FORGOTTEN).or_insert(forgotten).row.used_ms = used_ms;
            dirty.insert(key);
        }
    }

    /// The keys of all rows with the time of their last use. Exceptions, and what was offered, are as old as their peer. A row that
    /// says what is unproven goes with its peer, and is not counted.
    pub(crate) fn ages(&self) -> Vec<(Vec<u8>, u64)> {
        let state = self.0.read();
        let mut ages = Vec::new();
        for (peer, holder) in &state.peers {
            ages.push((rows::peer_key(peer), holder.row.used_ms));
            let interests = holder.interests.iter();
            ages.extend(interests.map(|(name, held)| (rows::interest_key(peer, name), held.row.used_ms)));
            let offered = holder.offered.keys().map(|name| rows::offered_key(peer, name));
            ages.extend(offered.map(|key| (key, holder.row.used_ms)));
            let exceptions = holder.unheld.keys();
            ages.extend(
                exceptions.map(|name| (rows::unheld_key(peer, &unheld_name(name)), holder.row.used_ms)),
            );
        }
        ages
    }

    /// Forgets the rows of these keys; their removal from the storage is the caller's. With an exception goes all that
    /// the peer has acknowledged, with a peer everything. Answers with what is to be stored of that in the same commit.
    pub(crate) fn forget(&self, keys: &BTreeSet<Vec<u8>>, last: Sequence) -> Forgotten {
        let mut state = self.0.write();
        for key in keys {
            let Some((tag, peer, rest)) = rows::split_replication_key(key) else { continue };
            if tag == rows::TAG_PEER {
                if let Some(holder) = state.peers.remove(&peer) {
                    state.dirty.extend(holder.keys(&peer));
                    state.forgotten.peers = last;
                    let unproven = if holder.unheld.is_empty() { holder.unproven } else { last };
                    state.forgotten.exceptions = state.forgotten.exceptions.max(unproven);
                }
                continue;
            }
            let Some(holder) = state.peers.get_mut(&peer) else { continue };
            match tag {
                rows::TAG_INTEREST => {
                    if let Ok(selection) = SelectionBytes::try_from(rest) {
                        holder.interests.remove(&selection);
                    }
                }
                rows::TAG_OFFERED => {
                    if let Ok(collection) = std::str::from_utf8(rest) {
                        holder.offered.remove(collection);
                    }
                }
                _ => {
                    if let Some(name) = split_unheld_name(rest) {
                        holder.unheld.remove(&name);
                    }
                    holder.unproven = last;
                    holder.interests.values_mut().for_each(|held| held.row.acknowledged = Sequence::ZERO);
                    let interests = holder.interests.keys().map(|name| rows::interest_key(&peer, name));
                    let keys: Vec<_> = interests.chain([rows::unproven_key(&peer)]).collect();
                    state.dirty.extend(keys);
                }
            }
        }
        state.forgotten
    }

    /// The exceptions whose document is dead or gone: `is_needed` says of collection and hash whether it lives.
    pub(crate) fn drop_exceptions(
        &self,
        is_needed: &dyn Fn(&str, &names::KeyHash) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let all: Vec<(PeerBytes, ExceptionName)> = {
            let state = self.0.read();
            let of = |(peer, holder): (&PeerBytes, &Holder)| {
                holder.unheld.keys().map(|name| (*peer, name.clone())).collect::<Vec<_>>()
            };
            state.peers.iter().flat_map(of).collect()
        };
        for (peer, name) in all {
            if !is_needed(&name.0, &name.1)? {
                let mut state = self.0.write();
                let State { peers, dirty, .. } = &mut *state;
                if let Some(holder) = peers.get_mut(&peer)
                    && holder.unheld.remove(&name).is_some()
                {
                    dirty.insert(rows::unheld_key(&peer, &unheld_name(&name)));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ditto_storage::Batch;

    use super::*;
    use crate::lifecycle::holdings::ServedInterest;

    const PEER: PeerBytes = [7; 32];
    const MOST: u64 = MAX_REMEMBERED_INTERESTS as u64;

    /// The peer asks for something, and what is too much is forgotten.
    fn serve(holdings: &Holdings, number: u64) {
        let mut selection = [0; 16];
        selection[..8].copy_from_slice(&number.to_be_bytes());
        let query = format!("SELECT * FROM c WHERE a = {number}");
        let interest = ServedInterest { selection, query, arguments: Vec::new(), held: Sequence::ZERO };
        holdings.serves(&PEER, 1, interest, Sequence::ZERO, number);
        let excess = holdings.excess(&PEER);
        holdings.forget_interests(&PEER, excess.iter().map(|(selection, _)| selection));
    }

    /// Rows that a commit puts and deletes.
    fn flush(holdings: &Holdings) -> (usize, usize) {
        let mut batch = Batch::new();
        holdings.flush(&mut batch, 0);
        let puts = batch.operations().iter().filter(|operation| operation.value.is_some()).count();
        (puts, batch.operations().len() - puts)
    }

    #[test]
    fn who_asks_for_something_else_again_and_again_leaves_nothing_to_be_stored_of_that() {
        let holdings = Holdings::default();
        (0..10 * MOST).for_each(|number| serve(&holdings, number));
        let others = ["the peer", "what is forgotten"].len();
        assert_eq!(flush(&holdings), (MAX_REMEMBERED_INTERESTS + others, 0));
        (0..10 * MOST).for_each(|number| serve(&holdings, 20 * MOST + number));
        assert_eq!(
            flush(&holdings),
            (MAX_REMEMBERED_INTERESTS + 1, MAX_REMEMBERED_INTERESTS),
            "those that were"
        );
    }

    #[test]
    fn what_was_stored_is_removed_also_if_it_is_asked_for_and_forgotten_once_more() {
        let holdings = Holdings::default();
        (0..MOST).for_each(|number| serve(&holdings, number));
        flush(&holdings);
        for round in 1..=3 {
            (0..2 * MOST).for_each(|number| serve(&holdings, 10 * MOST * round + number));
            (0..MOST).for_each(|number| serve(&holdings, number));
        }
        (0..MOST).for_each(|number| serve(&holdings, 100 * MOST + number));
        assert_eq!(flush(&holdings), (MAX_REMEMBERED_INTERESTS + 1, MAX_REMEMBERED_INTERESTS));
    }
}
