//! How often other peers have made this process take a new identity.
//!
//! Who has seen a history of ours that we do not have is believed, because going on would contradict what was told. But each new
//! identity costs everybody: checkpoints are void, and a run stays in the list that others compare. So one that says so again
//! and again, by mistake or on purpose, is not believed for ever. The same bounds two machines with one key, of which each
//! hears from others what the other one has told.

use std::collections::BTreeMap;

use ditto_replication::{PeerId, SessionId};

/// New identities because of one peer key, while the database is open. A restored database needs one for each peer that saw
/// more, and another if that one learns of yet more elsewhere.
const MAX_BY_PEER: u32 = 8;

/// Peer keys that are counted; further ones are not believed.
const MAX_PEERS: usize = 1_024;

/// What to do about a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Take a new identity, and record the claim.
    NewIdentity,
    /// Record the claim: an earlier one of the same greeting has led to a new identity, which answers all of them.
    Record,
    /// End the session.
    Refuse,
}

/// Counts them.
#[derive(Debug, Default)]
pub(crate) struct Forks {
    by_peer: BTreeMap<PeerId, u32>,
    /// The session whose claims are being answered.
    answering: Option<SessionId>,
}

impl Forks {
    /// A claim of the greeting of a session. Those of one greeting come one after another.
    pub(crate) fn claimed(&mut self, session: SessionId, remote: PeerId) -> Answer {
        if self.answering == Some(session) {
            return Answer::Record;
        }
        let is_full = self.by_peer.len() >= MAX_PEERS;
        let count = match self.by_peer.get_mut(&remote) {
            None if is_full => return Answer::Refuse,
            None => self.by_peer.entry(remote).or_default(),
            Some(count) => count,
        };
        if *count >= MAX_BY_PEER {
            return Answer::Refuse;
        }
        *count += 1;
        self.answering = Some(session);
        Answer::NewIdentity
    }

    /// The new identity could not be taken: it answers no further claim.
    pub(crate) fn unanswered(&mut self) {
        self.answering = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_counts_once_and_each_peer_for_itself() {
        let mut forks = Forks::default();
        let (one, other) = (PeerId([1; 32]), PeerId([2; 32]));
        for session in 1..=u64::from(MAX_BY_PEER) {
            assert_eq!(forks.claimed(SessionId(session), one), Answer::NewIdentity);
            assert_eq!(forks.claimed(SessionId(session), one), Answer::Record);
        }
        for session in [100, 101] {
            assert_eq!(forks.claimed(SessionId(session), one), Answer::Refuse);
            assert_eq!(forks.claimed(SessionId(session), one), Answer::Refuse);
        }
        assert_eq!(forks.claimed(SessionId(102), other), Answer::NewIdentity);
    }

    #[test]
    fn an_identity_that_was_not_taken_answers_nothing() {
        let mut forks = Forks::default();
        let (session, remote) = (SessionId(1), PeerId([1; 32]));
        assert_eq!(forks.claimed(session, remote), Answer::NewIdentity);
        forks.unanswered();
        assert_eq!(forks.claimed(session, remote), Answer::NewIdentity);
    }

    #[test]
    fn keys_without_number_do_not_fill_the_memory() {
        let mut forks = Forks::default();
        let key = |number: usize| PeerId(std::array::from_fn(|place| (number >> (8 * (place % 4))) as u8));
        for number in 0..MAX_PEERS {
            assert_eq!(forks.claimed(SessionId(number as u64), key(number)), Answer::NewIdentity);
        }
        assert_eq!(forks.claimed(SessionId(90_000), key(MAX_PEERS)), Answer::Refuse);
        assert_eq!(forks.claimed(SessionId(90_001), key(0)), Answer::NewIdentity);
    }
}
