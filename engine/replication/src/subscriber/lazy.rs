//! Redundant links: of several peers that bring the same documents, one sends them and the others only announce them.
//!
//! As in an epidemic broadcast tree (Leitão, Pereira, Rodrigues: *Epidemic Broadcast Trees*, SRDS 2007), the receiver
//! decides. A link whose batch brought mostly what was here already becomes *lazy*, as long as another one is *eager*:
//! from then on its publisher offers what changed, and the answer is put off until the eager link has brought it, or has
//! been silent for [`LAZY_PATIENCE_MS`]. A lazy link whose batch brought mostly what was new becomes eager, and all do
//! when a session ends. Whatever is decided costs bytes or time, never documents: the publisher's position does not pass
//! an offer without an answer.

use super::Subscriber;
use super::wanted::wants;
use crate::event::{CloseReason, Violation};
use crate::limits::{LAZY_PATIENCE_MS, MAX_LAZY_WAIT_MS};
use crate::message::{Answer, Delivery, Message, Offer, OfferItem, bits};
use crate::replica::DocumentKey;
use crate::turn::{EagerLinks, Link, Turn};

/// How the publisher was asked to deliver, and the offer that is not answered yet.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    pub(super) lazy: bool,
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
        link: &mut Link,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        if offer.items.iter().any(|item| !self.wanted.contains_key(&item.interest)) {
            return Err(Violation::Unexpected("offer for an unknown interest").into());
        }
        self.delivered.waiting = Some(Waiting { offer, since: turn.now, held: 0 });
        self.answer_offer(link, turn)
    }

    /// Answers the offer if it need not wait any more.
    pub(crate) fn answer_offer(&mut self, link: &mut Link, turn: &mut Turn<'_>) -> Result<(), CloseReason> {
        let Some(mut waiting) = self.delivered.waiting.take() else { return Ok(()) };
        if self.may_wait(waiting.since, turn.now, turn.eager) {
            // From the first one that was lacking: so each look costs what has come since.
            while let Some(item) = waiting.offer.items.get(waiting.held) {
                if self.is_lacking(item, turn)? {
                    self.delivered.waiting = Some(waiting);
                    return Ok(());
                }
                waiting.held += 1;
            }
        }
        let Offer { offer, items } = waiting.offer;
        let wanted = items.iter().map(|item| self.is_lacking(item, turn)).collect::<Result<Vec<_>, _>>()?;
        link.send(&Message::Answer(Answer { offer, wanted: bits::collect(wanted.into_iter()) }));
        Ok(())
    }

    /// Whether a document is wanted and not held as it is offered.
    fn is_lacking(&self, item: &OfferItem, turn: &Turn<'_>) -> Result<bool, CloseReason> {
        // It was there when the offer came; its end has been told, and nobody needs the document then.
        let Some(interest) = self.wanted.get(&item.interest) else { return Ok(false) };
        let key =
            DocumentKey { collection: interest.collection.clone(), id: item.id.clone().into_key().into() };
        let held = turn.replica.held(&key)?.map(|held| held.version);
        Ok(match held {
            None => item.matching && wants(&self.wanted, &key.collection),
            Some(version) => version != item.version,
        })
    }

    fn may_wait(&self, since: u64, now: u64, eager: EagerLinks) -> bool {
        self.delivered.lazy && eager.count > 0 && now < self.waits_until(since, eager)
    }

    fn waits_until(&self, since: u64, eager: EagerLinks) -> u64 {
        let sign_of_life = eager.last_received.unwrap_or(0).max(since);
        (sign_of_life + LAZY_PATIENCE_MS).min(since + MAX_LAZY_WAIT_MS)
    }

    /// When an offer has waited long enough for another link.
    pub(super) fn offer_timeout(&self, eager: EagerLinks) -> Option<u64> {
        self.delivered.waiting.as_ref().map(|waiting| self.waits_until(waiting.since, eager))
    }

    /// Judges the link by a batch that was applied.
    pub(super) fn judge(
        &mut self,
        brought: Brought,
        link: &mut Link,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        let Brought { new, known } = brought;
        if new > known {
            return self.deliver_eagerly(link, turn);
        }
        if known > new && !self.delivered.lazy && turn.eager.count > 1 {
            self.delivered.lazy = true;
            link.statistics.lazy = true;
            link.send(&Message::Delivery(Delivery { lazy: true }));
        }
        Ok(())
    }

    /// Lets the publisher send again what it knows to be wanted.
    pub(crate) fn deliver_eagerly(
        &mut self,
        link: &mut Link,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        if std::mem::take(&mut self.delivered.lazy) {
            link.statistics.lazy = false;
            link.send(&Message::Delivery(Delivery { lazy: false }));
            self.answer_offer(link, turn)?;
        }
        Ok(())
    }
}
