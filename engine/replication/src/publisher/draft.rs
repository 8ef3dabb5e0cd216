//! The next step of the walk: what changed, and whether the other peer must hear of it.
//!
//! A row of the change log is weighed: it is nothing to the other peer, or a document to send, or one that is offered first,
//! because only the other peer knows whether it matters there.

use std::collections::VecDeque;

use ditto_crdt::{Sequence, Version};

use super::{Publisher, Served};
use crate::event::CloseReason;
use crate::known::{KeyHash, key_hash};
use crate::limits::{
    BYTES_PER_ROW, MAX_COMMIT_LOOKS, MAX_LARGE_DOCUMENTS, MAX_ROWS_PER_ROW, MAX_WORK_MS, OFFER_TARGET_BYTES,
    ROWS_PER_FILTER, WORK_MS,
};
use crate::message::{OfferItem, offered_size};
use crate::replica::{Change, DocumentKey, Replica, ReplicaError, match_against};
use crate::turn::{Counterpart, Turn};

#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) place: Place,
    pub(super) items: Vec<Item>,
    pub(super) bytes: usize,
    /// It is about the changes after this one …
    pub(super) start: Sequence,
    /// … up to this one.
    pub(super) end: Sequence,
    /// It is a commit with large documents.
    pub(super) large: bool,
    /// After its end such a commit follows, up to here, whose turn comes later.
    pub(super) aside: Option<Sequence>,
    /// What was durable when the rows were read, and the newest sequence right after.
    pub(super) durable: Sequence,
    pub(super) last: Sequence,
    /// There was a row for every sequence of it, about a document that had not changed again.
    pub(super) whole: bool,
    /// A transaction may be in it in part.
    pub(super) torn: bool,
    /// A transaction may be in it in part: it is cut, or what has changed again of it comes later.
    pub(super) partial: bool,
    /// From where on there could be parts of transactions of others when the rows were read.
    pub(super) parts: Option<Sequence>,
    pub(super) offer: u64,
    pub(super) asked: u64,
}

/// Where the changes of a draft lie.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Place {
    /// After the position, which moves to its end.
    #[default]
    Walk,
    /// Ahead of the position, where the walk goes on behind what waits.
    Onward,
    /// Ahead of the position, among what is new.
    Live,
    /// Anywhere: the position comes by in its own time.
    Beside,
}

#[derive(Debug)]
pub(super) enum Item {
    Ready(Ready),
    Offered(Candidate, Version, bool),
}

/// A changed document and how it would be sent.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) hash: KeyHash,
    pub(super) key: DocumentKey,
    pub(super) interest: u64,
    pub(super) sequence: Sequence,
    pub(super) since: Sequence,
    pub(super) before: Option<Version>,
}

#[derive(Debug)]
pub(super) struct Ready {
    pub(super) candidate: Candidate,
    pub(super) after: Version,
    /// Empty once it is on its way in parts.
    pub(super) delta: Vec<u8>,
    pub(super) bytes: usize,
    /// The name of the parts, once all are sent.
    pub(super) parts: Option<u64>,
}

pub(super) enum Weighed {
    Nothing,
    /// Changed since its row was read; a later row is about it.
    Moved,
    /// Too large to travel; what it would say begins at the one sequence and ends with the row at the other.
    Unsendable(DocumentKey, Sequence, Sequence),
    Item(Item),
}

impl Publisher {
    /// Goes on from `start` until a batch is full, everything durable is seen, `rows` are used up, or a large document waits.
    pub(super) fn collect(
        &mut self,
        place: Place,
        start: Sequence,
        rows: &mut usize,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<Draft, CloseReason> {
        let sizes = counterpart.sizes;
        let up_to = self.ahead.next(start, turn.durable);
        let (durable, parts) = (turn.durable, turn.parts_of_others);
        let mut draft = Draft { place, start, end: start, durable, parts, ..Draft::default() };
        let (mut offered, mut offered_bytes, mut large) = (0, 0, 0);
        let mut torn = false;
        let mut boundary = None;
        // Each row may be asked about by each of them, whatever that costs.
        let filters = self.served.values().filter(|served| !served.interest.unfiltered).count();
        let cost = (1 + filters * ROWS_PER_FILTER).min(MAX_ROWS_PER_ROW);
        let mut seen = Vec::new();
        let mut worked_ms = 0;
        'walk: while draft.end < up_to {
            let changes = turn.replica.changes(draft.end, up_to, sizes.rows_per_read)?;
            let last_read = changes.len() < sizes.rows_per_read;
            for change in changes {
                let full = draft.items.len() >= sizes.max_batch_documents
                    || draft.bytes >= sizes.max_batch_bytes
                    || worked_ms >= MAX_WORK_MS
                    || large >= MAX_LARGE_DOCUMENTS;
                if full || boundary.is_some_and(|boundary| change.sequence > boundary) {
                    // Beyond the bounds a commit is cut; the subscriber is behind then and says so.
                    draft.end = boundary.filter(|_| !full).unwrap_or(draft.end);
                    break 'walk;
                }
                *rows = rows.saturating_sub(cost);
                let sequence = change.sequence;
                draft.end = sequence;
                seen.push(sequence);
                match self.weigh(change, counterpart, turn)? {
                    Weighed::Nothing => {}
                    Weighed::Moved => torn = true,
                    Weighed::Unsendable(key, from, row) => self.unsendable.push((key, from, row)),
                    Weighed::Item(item) => {
                        if item.is_large(counterpart) && !draft.large {
                            *rows = rows.saturating_sub(item.bytes() / BYTES_PER_ROW);
                            let commit = turn.replica.commit_of(sequence)?;
                            let Some(end) = self.meet_large(&mut draft, &sizes, commit, up_to) else {
                                seen.retain(|sequence| *sequence <= draft.end);
                                break 'walk;
                            };
                            boundary = Some(end);
                        }
                        if let Item::Offered(candidate, ..) = &item {
                            offered += 1;
                            offered_bytes += offered_size(&candidate.key);
                        }
                        large += usize::from(item.is_large(counterpart));
                        draft.bytes += item.bytes();
                        draft.items.push(item);
                    }
                }
                worked_ms = turn.replica.worked_ms();
                if worked_ms >= WORK_MS {
                    *rows = 0;
                }
                let enough = draft.items.len() >= self.window.batch_documents(&sizes, self.lazy)
                    || draft.bytes >= self.window.batch_bytes(&sizes)
                    || *rows == 0;
                if offered >= sizes.offer_items || offered_bytes >= OFFER_TARGET_BYTES {
                    break 'walk;
                }
                if enough && boundary.is_none() {
                    boundary = Some(turn.replica.commit_of(sequence)?.1.min(up_to));
                }
            }
            if last_read {
                draft.end = up_to;
                break;
            }
        }
        draft.last = turn.replica.last_sequence();
        draft.whole = !torn && seen.len() as u64 == draft.end.0 - start.0;
        let is_cut = turn.replica.commit_of(draft.end)?.1 > draft.end;
        draft.partial = is_cut || !draft.whole && lacks_a_member(&seen, start, draft.end, turn.replica)?;
        draft.torn = torn || !draft.items.is_empty() && tears_a_commit(&seen, turn.durable, turn.replica)?;
        Ok(draft)
    }

    /// Decides what the other peer must hear of one change.
    pub(super) fn weigh(
        &self,
        change: Change,
        counterpart: &Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<Weighed, CloseReason> {
        let Change { sequence, key, origin } = change;
        if self.is_listed(&key, sequence) {
            return Ok(Weighed::Nothing);
        }
        let mut applicable = self
            .served
            .iter()
            .filter(|(_, served)| served.interest.collection == key.collection && sequence > served.from)
            .peekable();
        let Some(interest) = applicable.peek().map(|(id, _)| **id) else { return Ok(Weighed::Nothing) };
        let theirs = origin == Some(counterpart.remote.origin());
        if theirs && sequence > self.origin_floor {
            return Ok(Weighed::Nothing);
        }
        let hash = key_hash(&key);
        let known = counterpart.known.get(hash);
        let sent = known.and_then(|entry| entry.sent);
        let served: Vec<&Served> = applicable.map(|(_, served)| served).collect();
        let start = served.iter().map(|served| served.start).min().unwrap_or(Sequence(0));
        let (since, before) = sent.map_or((start, None), |(since, before)| (since, Some(before)));
        let candidate = Candidate { hash, key, interest, sequence, since, before };
        let unfiltered = served.iter().any(|served| served.interest.unfiltered);
        let is_under_way = self.under_way.contains(&hash);
        let unheld =
            known.is_none() && !is_under_way && served.iter().all(|served| sequence <= served.unheld);
        let doubtful = sent.is_none() && served.iter().any(|served| sequence <= served.held_in_part);
        if unfiltered && sent.is_none() && !theirs && !self.lazy && !doubtful {
            return candidate.read(turn.replica, counterpart, turn.events);
        }
        let interests = served.iter().map(|served| &served.interest);
        let Some((held, matching)) = match_against(turn.replica, &candidate.key, interests)? else {
            return Ok(Weighed::Nothing);
        };
        if held.newest != sequence {
            return Ok(Weighed::Moved);
        }
        if before == Some(held.version) || unheld && !matching {
            return Ok(Weighed::Nothing);
        }
        let may_be_unwanted =
            self.lazy || doubtful || theirs && sent.is_none() || !matching && known.is_none();
        if may_be_unwanted && !is_under_way {
            match self.answers.about(hash, held.version) {
                None => return Ok(Weighed::Item(Item::Offered(candidate, held.version, matching))),
                Some(false) => return Ok(Weighed::Nothing),
                Some(true) => {}
            }
        }
        candidate.read(turn.replica, counterpart, turn.events)
    }
}

impl Item {
    pub(super) fn offer(&self, counterpart: &Counterpart) -> Option<OfferItem> {
        match self {
            Item::Ready(_) => None,
            Item::Offered(candidate, version, matching) => Some(OfferItem {
                interest: candidate.interest,
                id: counterpart.name(&candidate.key),
                version: *version,
                matching: *matching,
            }),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Item::Ready(ready) => ready.candidate.key.id.len() + ready.bytes,
            Item::Offered(..) => 0,
        }
    }

    pub(super) fn candidate(&self) -> &Candidate {
        match self {
            Item::Ready(Ready { candidate, .. }) | Item::Offered(candidate, ..) => candidate,
        }
    }

    pub(super) fn sequence(&self) -> Sequence {
        self.candidate().sequence
    }

    pub(super) fn is_large(&self, counterpart: &Counterpart) -> bool {
        matches!(self, Item::Ready(ready) if counterpart.is_large(&ready.delta))
    }
}

impl Candidate {
    /// The first sequence that its delta says something of.
    pub(super) fn from(&self) -> Sequence {
        Sequence(self.since.0 + 1)
    }

    /// Reads what is to be sent, as long as the document is still the one that the row is about.
    pub(super) fn read(
        self,
        replica: &dyn Replica,
        counterpart: &Counterpart,
        events: &mut VecDeque<crate::Event>,
    ) -> Result<Weighed, CloseReason> {
        let Some(excerpt) = replica.delta_since(&self.key, self.since)? else {
            // Evicted; or buried no longer, and inserted again.
            return Ok(if self.key.is_by_hash() { Weighed::Moved } else { Weighed::Nothing });
        };
        if excerpt.newest != self.sequence {
            return Ok(Weighed::Moved);
        }
        let bytes = excerpt.delta.len();
        if bytes > counterpart.longest_delta() {
            events.push_back(counterpart.too_large(self.key.clone(), bytes));
            let from = self.from();
            return Ok(Weighed::Unsendable(self.key, from, self.sequence));
        }
        Ok(Weighed::Item(Item::Ready(Ready {
            candidate: self,
            after: excerpt.version,
            delta: excerpt.delta,
            bytes,
            parts: None,
        })))
    }
}

/// Whether of some commit with several members one has changed again and has its row elsewhere, by the rows that are missing among
/// `seen`, which are those after `start` up to `end`. The others may be among these, also in what has changed them again since.
fn lacks_a_member(
    seen: &[Sequence],
    start: Sequence,
    end: Sequence,
    replica: &dyn Replica,
) -> Result<bool, ReplicaError> {
    let (mut missing, mut looks) = (start.0 + 1, 0);
    for next in seen.iter().map(|row| row.0).chain([end.0 + 1]) {
        while missing < next {
            let (first, last) = replica.commit_of(Sequence(missing))?;
            looks += 1;
            if first < last || looks > MAX_COMMIT_LOOKS {
                return Ok(true);
            }
            missing += 1;
        }
        missing = next + 1;
    }
    Ok(false)
}

/// Whether a commit among `seen` may have members that changed again and are not durable yet, so that a
/// reader at the other peer would see the rest without them.
fn tears_a_commit(seen: &[Sequence], durable: Sequence, replica: &dyn Replica) -> Result<bool, ReplicaError> {
    if replica.last_sequence() <= durable {
        return Ok(false);
    }
    let mut rows = seen.iter().peekable();
    while let Some(sequence) = rows.next() {
        let (first, last) = replica.commit_of(*sequence)?;
        let mut members = 1;
        while rows.next_if(|sequence| **sequence <= last).is_some() {
            members += 1;
        }
        if members < last.0.saturating_sub(first.0) + 1 {
            return Ok(true);
        }
    }
    Ok(false)
}
