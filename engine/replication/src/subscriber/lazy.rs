//! Redundant links: of several peers that bring the same documents, one sends them and the others only announce them.
//!
//! As in an epidemic broadcast tree (Leitão, Pereira, Rodrigues: *Epidemic Broadcast Trees*, SRDS 2007), the receiver
//! decides. A link whose batch brought mostly what was here already becomes *lazy*, as long as another one is *eager*:
//! from then on its publisher offers what changed, and the answer is put off until the eager link has brought it, or has
//! been silent for [`LAZY_PATIENCE_MS`](crate::limits::LAZY_PATIENCE_MS). A lazy link whose batch brought mostly what was new becomes eager, and all do
//! when a session ends. Whatever is decided costs bytes or time, never documents: the publisher's position does not pass
//! an offer without an answer.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Subscriber;
use super::wanted::wants;
use crate::event::{CloseReason, Violation};
use crate::known::{KeyHash, key_hash};
use crate::message::{Answer, Delivery, Message, Offer, OfferItem, bits};
use crate::replica::{DocumentKey, Held};
use crate::turn::{Counterpart, EagerLinks, Turn};

/// How the publisher was asked to deliver, and the offer that is not answered yet.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    pub(super) lazy: bool,
    /// The last batch brought mostly what was new.
    useful: bool,
    /// A publisher has one offer open: a later one says that it has dropped this one.
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    offer: Offer,
    /// When it came.
    since: u64,
    /// So many documents at its beginning were held when they were looked for.
    held: usize,
    /// The other peer has forgotten documents since it made it: what it offered it may not hold any more.
    stale: bool,
}

/// What was found of offered documents: each is looked for once in a call, however often it is offered.
#[derive(Default)]
struct Looks {
    held: HashMap<KeyHash, Option<Held>>,
    /// What has come and is not applied yet, once that matters.
    arriving: Option<Arriving>,
}

/// The names of what has come and is not applied yet, in batches and by itself. They are kept as it comes: an offer may be of a single
/// document, and 48,000 wait.
struct Arriving {
    batches: Vec<Arc<HashSet<KeyHash>>>,
    singles: Arc<HashMap<KeyHash, usize>>,
}

impl Arriving {
    fn contains(&self, hash: &KeyHash) -> bool {
        self.singles.contains_key(hash) || self.batches.iter().any(|names| names.contains(hash))
    }
}

/// What one batch has brought.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Brought {
    pub(super) new: usize,
    pub(super) known: usize,
}

impl Subscriber {
    /// Whether the publisher sends documents without asking.
    pub(crate) fn is_eager(&self) -> bool {
        !self.delivered.lazy
    }

    /// The other peer asks which of some changed documents matter here.
    pub(crate) fn offer(
        &mut self,
        offer: Offer,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        if offer.items.iter().any(|item| !self.wanted.contains_key(&item.interest)) {
            return Err(Violation::Unexpected("offer for an unknown interest").into());
        }
        self.delivered.waiting = Some(Waiting { offer, since: turn.now, held: 0, stale: false });
        self.answer_offer(counterpart, turn)
    }

    /// The other peer has forgotten documents; the offer stands.
    pub(super) fn distrust_offer(&mut self) {
        if let Some(waiting) = &mut self.delivered.waiting {
            waiting.stale = true;
        }
    }

    /// Answers the offer if it need not wait any more.
    pub(crate) fn answer_offer(
        &mut self,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        let Some(mut waiting) = self.delivered.waiting.take() else { return Ok(()) };
        let mut looks = Looks::default();
        if self.may_wait(waiting.since, turn.now, turn.eager) {
            // From the first one that was lacking: so each look costs what has come since.
            while let Some(item) = waiting.offer.items.get(waiting.held) {
                if self.is_lacking(item, waiting.stale, &mut looks, counterpart, turn)? {
                    self.delivered.waiting = Some(waiting);
                    return Ok(());
                }
                waiting.held += 1;
            }
        }
        let Waiting { offer: Offer { offer, items }, stale, .. } = waiting;
        let lacking = items.iter().map(|item| self.is_lacking(item, stale, &mut looks, counterpart, turn));
        let wanted = lacking.collect::<Result<Vec<_>, _>>()?;
        // What is said to be held is not sent, and is told with the next position: that is acknowledged when it is durable.
        let held = looks.held.values().flatten().map(|held| held.newest).max();
        self.stated = self.stated.max(held.unwrap_or_default());
        counterpart.send(&Message::Answer(Answer { offer, wanted: bits::collect(wanted.into_iter()) }));
        Ok(())
    }

    /// Whether a document is wanted and not held as it is offered. If it is held so, it need not be offered to the other peer,
    /// unless that has forgotten what it offered.
    fn is_lacking(
        &self,
        item: &OfferItem,
        stale: bool,
        looks: &mut Looks,
        counterpart: &mut Counterpart,
        turn: &Turn<'_>,
    ) -> Result<bool, CloseReason> {
        // It was there when the offer came; its end has been told, and nobody needs the document then.
        let Some(interest) = self.wanted.get(&item.interest) else { return Ok(false) };
        let key =
            DocumentKey { collection: interest.collection.clone(), id: item.id.clone().into_key().into() };
        let hash = key_hash(&key);
        let held = match looks.held.get(&hash) {
            Some(held) => *held,
            None => {
                let held = turn.replica.held(&key)?;
                looks.held.insert(hash, held);
                held
            }
        };
        Ok(match held {
            // A change of what waits here to be applied matters as well.
            None => {
                let mut is_arriving =
                    || looks.arriving.get_or_insert_with(|| self.arriving()).contains(&hash);
                (item.matching || is_arriving()) && wants(&self.wanted, &key.collection)
            }
            Some(held) if held.version == item.version => {
                if !stale {
                    counterpart.known.sent(hash, held.newest, held.version);
                }
                false
            }
            Some(_) => true,
        })
    }

    /// Documents that have come, in batches or by themselves, and are not applied yet.
    fn arriving(&self) -> Arriving {
        let batches = self.batches.iter().map(|batch| Arc::clone(&batch.names)).collect();
        Arriving { batches, singles: Arc::clone(&self.single_names) }
    }

    fn may_wait(&self, since: u64, now: u64, eager: EagerLinks) -> bool {
        self.delivered.lazy && eager.count > 0 && now < eager.waits_until(since)
    }

    /// When an offer has waited long enough for another link.
    pub(super) fn offer_timeout(&self, eager: EagerLinks) -> Option<u64> {
        self.delivered.waiting.as_ref().map(|waiting| eager.waits_until(waiting.since))
    }

    /// Judges the link by a batch that was applied.
    pub(super) fn judge(
        &mut self,
        brought: Brought,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        let Brought { new, known } = brought;
        if new != known {
            self.delivered.useful = new > known;
        }
        if new > known {
            return self.deliver_eagerly(counterpart, turn);
        }
        if known > new {
            self.deliver_lazily(false, counterpart, turn);
        }
        Ok(())
    }

    /// The other peer has decided on the other direction. A tree that serves every author has both directions of a link, or
    /// neither.
    pub(crate) fn follow(
        &mut self,
        delivery: Delivery,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        match delivery {
            Delivery { follows: true, .. } => Ok(()),
            Delivery { lazy: false, .. } => self.resume(true, counterpart, turn),
            Delivery { lazy: true, .. } if !self.delivered.useful => {
                self.deliver_lazily(true, counterpart, turn);
                Ok(())
            }
            Delivery { lazy: true, .. } => Ok(()),
        }
    }

    fn deliver_lazily(&mut self, follows: bool, counterpart: &mut Counterpart, turn: &Turn<'_>) {
        if !self.delivered.lazy && turn.eager.count > 1 {
            self.delivered.lazy = true;
            counterpart.statistics.lazy = true;
            counterpart.send(&Message::Delivery(Delivery { lazy: true, follows }));
        }
    }

    /// Lets the publisher send again what it knows to be wanted.
    pub(crate) fn deliver_eagerly(
        &mut self,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        self.resume(false, counterpart, turn)
    }

    fn resume(
        &mut self,
        follows: bool,
        counterpart: &mut Counterpart,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        if std::mem::take(&mut self.delivered.lazy) {
            counterpart.statistics.lazy = false;
            counterpart.send(&Message::Delivery(Delivery { lazy: false, follows }));
            self.answer_offer(counterpart, turn)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ditto_crdt::Version;

    use super::super::Inbound;
    use super::super::single::{Reason, Single};
    use super::*;
    use crate::event::SessionId;
    use crate::replica::PeerId;
    use crate::sizes::Sizes;

    #[test]
    fn what_has_come_is_known_by_its_name_and_nothing_is_hashed_to_find_that_out() -> Result<(), CloseReason>
    {
        let key = |id: u8| DocumentKey { collection: "plants".into(), id: [id].as_slice().into() };
        let mut subscriber = Subscriber::default();
        let mut counterpart = Counterpart::new(SessionId(1), PeerId([1; 32]), Sizes::default());
        subscriber.batches.extend((1..=3).map(|batch| Inbound {
            names: Arc::new([key_hash(&key(batch))].into()),
            ..Inbound::new(batch.into())
        }));
        for id in [3, 4, 4] {
            let (stated, newest) = (Version(1), ditto_crdt::Sequence(1));
            let (reason, stale, place) = (Reason::Surplus, false, None);
            let single =
                Single { key: key(id), stated, delta: vec![id], newest, after: 3, reason, stale, place };
            subscriber.keep(single, &mut counterpart)?;
        }
        let names = |subscriber: &Subscriber| -> Vec<u8> {
            let arriving = subscriber.arriving();
            (0..9).filter(|id| arriving.contains(&key_hash(&key(*id)))).collect()
        };
        assert_eq!(names(&subscriber), [1, 2, 3, 4]);
        let arriving = subscriber.arriving();
        let mut batches = subscriber.batches.iter().zip(&arriving.batches);
        assert!(batches.all(|(batch, names)| Arc::ptr_eq(&batch.names, names)), "no name is copied");
        assert!(Arc::ptr_eq(&subscriber.single_names, &arriving.singles));
        drop(arriving);
        subscriber.batches.pop_front();
        subscriber.forget_name(key_hash(&key(3)));
        subscriber.forget_name(key_hash(&key(4)));
        assert_eq!(names(&subscriber), [2, 3, 4], "one of two is left");
        subscriber.forget_name(key_hash(&key(4)));
        assert_eq!(names(&subscriber), [2, 3]);
        Ok(())
    }
}
