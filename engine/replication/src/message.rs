//! The messages of a session and their byte form; `docs/protocol.md` has the same as tables.
//!
//! A message is a varint *kind* followed by the fields of a [structure](crate::wire). Unknown kinds and
//! fields are skipped.

use ditto_crdt::{RunId, Sequence, SiteId, Version};

use crate::limits::MAX_MESSAGE_BYTES;
use crate::reconciliation::{NameRange, symbols::Symbol};
use crate::replica::{Checkpoint, DocumentKey, Seen};
use crate::wire::{DecodeError, Fields, Writer};

pub(crate) mod bits;
mod codec;
mod name;
mod packed;
#[cfg(test)]
mod tests;

pub(crate) use name::Name;
pub(crate) use packed::{Packed, pack};

/// Everything that one side can say to the other.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Message {
    Hello(Hello),
    Interests(Interests),
    Walk(Walk),
    Offer(Offer),
    Answer(Answer),
    Batch(Batch),
    Part(Part),
    Acknowledge(Acknowledge),
    Question(Question),
    Rest(Rest),
    Surplus(Surplus),
    Goodbye(Goodbye),
    Delivery(Delivery),
    Packed(Packed),
    Symbols(Symbols),
    Inquiry(Inquiry),
    Names(Names),
    Settled(Settled),
    /// What the sender has taken from others, for the publisher of these interests to compare; nothing is *matching*.
    Taken(Offer),
    Compared(Compared),
    /// Of a newer version; to be ignored.
    Unknown(u64),
}

/// First message of each side.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Hello {
    /// Lowest and highest protocol version.
    pub(crate) versions: (u64, u64),
    pub(crate) database: [u8; 16],
    pub(crate) site: SiteId,
    pub(crate) run: RunId,
    /// Last durable sequence of the sender.
    pub(crate) durable: Sequence,
    /// Per run of the receiver, how far the sender has seen it.
    pub(crate) seen: Vec<Seen>,
    pub(crate) capabilities: u64,
    /// How often the sender has evicted documents.
    pub(crate) evictions: u64,
    /// The wall clock of the sender in milliseconds since 1970; 0 if it does not say.
    pub(crate) clock_ms: u64,
    /// What the sender has of long deltas of the receiver, from sessions that ended before the rest came.
    pub(crate) begun: Vec<Begun>,
}

/// The beginning of a long delta that its receiver has.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Begun {
    /// Digest of the whole.
    pub(crate) whole: u128,
    pub(crate) bytes: u64,
}

/// What the sender wants from now on, as a change to what it wanted before.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Interests {
    pub(crate) generation: u64,
    pub(crate) added: Vec<AddedInterest>,
    pub(crate) removed: Vec<u64>,
    /// The sender has evicted documents: nothing that it was sent counts as held by it.
    pub(crate) forgotten: bool,
    /// How often the sender has evicted documents, if more often than it said before.
    pub(crate) evictions: Option<u64>,
    /// How much the sender's change log has by now, if that may matter and is more than it said before.
    pub(crate) changes: Option<Sequence>,
    /// Everything that the sender holds is durable.
    pub(crate) durable: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct AddedInterest {
    /// Never used twice in a session.
    pub(crate) id: u64,
    pub(crate) query: String,
    /// What all queries begin with does not travel.
    pub(crate) is_short: bool,
    /// CBOR map; empty for none.
    pub(crate) arguments: Vec<u8>,
    pub(crate) checkpoint: Option<Checkpoint>,
    /// The checkpoint is what the sender's greeting says it has seen of a run, the first one being 1. Then it does not travel.
    pub(crate) greeted: Option<u64>,
}

/// The publisher's answer to [`Interests`]: where it starts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Walk {
    pub(crate) generation: u64,
    /// The run in whose history all positions from here on lie, if it is another than its greeting has said.
    pub(crate) run: Option<RunId>,
    /// Of all added interests, or only where that is not their checkpoint.
    pub(crate) starts: Vec<Start>,
    /// There is nothing to tell: it counts as a batch without documents that ends there, and which is acknowledged.
    pub(crate) caught_up: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Start {
    pub(crate) interest: u64,
    pub(crate) sequence: Sequence,
    /// Present if the interest is not served.
    pub(crate) refused: Option<String>,
    /// What lies before the start is reconciled; the interest counts once that is [`Settled`].
    pub(crate) reconciled: bool,
}

/// Documents that changed and that the subscriber may not need to hear of.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Offer {
    pub(crate) offer: u64,
    pub(crate) items: Vec<OfferItem>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct OfferItem {
    pub(crate) interest: u64,
    pub(crate) id: Name,
    pub(crate) version: Version,
    /// It matches the interest: wanted unless held in this version. Otherwise wanted only if held in
    /// another version.
    pub(crate) matching: bool,
}

/// About how many bytes a document takes in an offer.
pub(crate) fn offered_size(key: &DocumentKey) -> usize {
    const BESIDE_THE_NAME: usize = 40;
    key.id.len() + BESIDE_THE_NAME
}

/// Bit *i* (byte *i* / 8, bit *i* % 8) is set if item *i* of the offer is wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answer {
    pub(crate) offer: u64,
    pub(crate) wanted: Vec<u8>,
}

/// Documents that are applied together; one batch may be spread over several such messages.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Batch {
    pub(crate) batch: u64,
    pub(crate) documents: Vec<SentDocument>,
    /// In the last message of the batch.
    pub(crate) end: Option<BatchEnd>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct BatchEnd {
    /// Generation of the interests that the batch serves.
    pub(crate) generation: u64,
    pub(crate) run: RunId,
    /// Everything up to here has been told.
    pub(crate) sequence: Sequence,
    /// The batch has changes beyond that, up to here.
    pub(crate) newest: Option<Sequence>,
    /// Nothing durable was left to tell, and no transaction is torn.
    pub(crate) caught_up: bool,
    /// But from this sequence on there may be parts of transactions that the sender is still waiting for itself.
    pub(crate) parts: Option<Sequence>,
    /// The last durable sequence of the publisher, if that is after both the sequence and the newest.
    pub(crate) durable: Option<Sequence>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SentDocument {
    pub(crate) interest: u64,
    pub(crate) id: Name,
    /// The version that the receiver was told of before in this session.
    pub(crate) before: Option<Version>,
    /// Absent: that of the delta, which is the whole state.
    pub(crate) after: Option<Version>,
    pub(crate) delta: Body,
    /// The delta is the whole state.
    pub(crate) complete: bool,
}

/// A delta, in the message or sent ahead in parts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    Inline(Vec<u8>),
    Parts(u64),
}

impl Default for Body {
    fn default() -> Self {
        Body::Inline(Vec::new())
    }
}

/// The next bytes of a long delta.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Part {
    pub(crate) parts: u64,
    /// Length of the whole.
    pub(crate) total: u64,
    pub(crate) bytes: Vec<u8>,
    /// Nothing more comes of it, and no message refers to it.
    pub(crate) dropped: bool,
    /// Digest of the whole, in its first part. With *dropped* and without a name: what was [`Begun`] of that is of no use any more.
    pub(crate) whole: Option<u128>,
    /// In the first part: it goes on after so many bytes that were [`Begun`].
    pub(crate) after: u64,
}

/// Everything up to this batch is durable at the sender of this message.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Acknowledge {
    pub(crate) batch: u64,
    /// Batches that were not taken as they were sent, as a whole: of each, the documents.
    pub(crate) exceptions: Vec<Exceptions>,
}

/// Documents that are not held as they were sent: refused, not wanted any more, or dead at the sender of this message.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Exceptions {
    pub(crate) batch: u64,
    /// Bit *i* is set for document *i* of the batch.
    pub(crate) documents: Vec<u8>,
}

/// Asks for what the sender of this message lacks of one document.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Question {
    pub(crate) question: u64,
    pub(crate) collection: String,
    pub(crate) id: Vec<u8>,
    /// Hashes of what it holds; `None` asks for the whole state.
    pub(crate) hashes: Option<Vec<u128>>,
}

/// The answer to a [`Question`].
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rest {
    pub(crate) question: u64,
    /// Absent if the document is not held any more.
    pub(crate) found: Option<Found>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Found {
    pub(crate) version: Version,
    pub(crate) delta: Body,
    /// Bit *i* is set if hash *i* of the question is not known here.
    pub(crate) lacked: Vec<u8>,
    /// Sequence of the newest change in it; 0 if the sender does not say.
    pub(crate) newest: Sequence,
}

/// What the sender of a [`Rest`] lacked.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Surplus {
    pub(crate) question: u64,
    pub(crate) version: Version,
    pub(crate) delta: Body,
    /// As in [`Found`].
    pub(crate) newest: Sequence,
}

/// How the sender wants to hear of changed documents from now on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Delivery {
    /// Offered, and sent if the answer says so; otherwise sent at once where that is known to be wanted.
    pub(crate) lazy: bool,
    /// Because the receiver said the same of the other direction.
    pub(crate) follows: bool,
}

/// All is told that is known otherwise of what was [`Taken`](Message::Taken).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Compared {
    /// The number of that offer.
    pub(crate) taken: u64,
}

/// The last message of a session.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Goodbye {
    pub(crate) reason: String,
}

/// What a subscriber holds in the collections of the reconciled interests of a generation.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Symbols {
    pub(crate) generation: u64,
    /// Number of the first symbol here.
    pub(crate) first: u64,
    /// How many documents it holds; 0 also if they are too many to be reconciled.
    pub(crate) documents: u64,
    pub(crate) symbols: Vec<Symbol>,
    /// It holds none, of whatever name, …
    pub(crate) nothing: bool,
    /// … or too many.
    pub(crate) too_many: bool,
    /// All but `nothing` is about documents with these names.
    pub(crate) range: NameRange,
}

/// What a publisher wants to know of that.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Inquiry {
    pub(crate) generation: u64,
    /// All symbols below this number; what is wanted never becomes less.
    pub(crate) symbols: u64,
    /// The names of these items.
    pub(crate) items: Vec<u128>,
    /// Of documents with these names.
    pub(crate) range: NameRange,
}

/// The names of the items of an [`Inquiry`], in their order; 0 for one that there is not.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Names {
    pub(crate) generation: u64,
    pub(crate) names: Vec<u128>,
}

/// The reconciliation of a generation is over.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Settled {
    pub(crate) generation: u64,
    /// From the next batch on, its interests stand here: where their walk started, or at 0 if it begins anew.
    pub(crate) sequence: Sequence,
}

impl Message {
    /// An answer with its body.
    pub(crate) fn with_body(mut self, body: Body) -> Self {
        match &mut self {
            Message::Rest(Rest { found: Some(found), .. }) => found.delta = body,
            Message::Surplus(surplus) => surplus.delta = body,
            _ => {}
        }
        self
    }

    /// The byte form.
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Message::Hello(hello) => hello.encode(),
            Message::Interests(interests) => interests.encode(),
            Message::Walk(walk) => walk.encode(),
            Message::Offer(offer) => offer.encode(4),
            Message::Taken(taken) => taken.encode(15),
            Message::Answer(answer) => {
                let mut out = Writer::kind(5);
                out.number(1, answer.offer);
                out.bytes(2, &answer.wanted);
                out.0
            }
            Message::Batch(batch) => batch.encode(),
            Message::Part(part) => part.encode(),
            Message::Acknowledge(acknowledge) => acknowledge.encode(),
            Message::Question(question) => question.encode(),
            Message::Rest(rest) => rest.encode(),
            Message::Surplus(surplus) => {
                let mut out = Writer::kind(11);
                out.number(1, surplus.question);
                codec::version(&mut out, 2, surplus.version);
                surplus.delta.encode(&mut out, 3);
                out.nonzero(5, surplus.newest.0);
                out.0
            }
            Message::Goodbye(goodbye) => {
                let mut out = Writer::kind(12);
                out.bytes(1, goodbye.reason.as_bytes());
                out.0
            }
            Message::Delivery(delivery) => {
                let mut out = Writer::kind(14);
                out.flag(1, delivery.lazy);
                out.flag(2, delivery.follows);
                out.0
            }
            Message::Packed(packed) => packed.encode(),
            Message::Symbols(symbols) => symbols.encode(),
            Message::Inquiry(inquiry) => inquiry.encode(),
            Message::Names(names) => names.encode(),
            Message::Settled(settled) => {
                let mut out = Writer::kind(19);
                out.number(1, settled.generation);
                out.nonzero(2, settled.sequence.0);
                out.0
            }
            Message::Compared(compared) => {
                let mut out = Writer::kind(20);
                out.number(1, compared.taken);
                out.0
            }
            Message::Unknown(kind) => Writer::kind(*kind).0,
        }
    }

    /// Reads hostile bytes. Time and memory are proportional to their length.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_MESSAGE_BYTES {
            return Err(DecodeError::Limit("message"));
        }
        let mut fields = Fields(bytes);
        let kind = fields.varint()?;
        Ok(match kind {
            1 => Message::Hello(Hello::decode(fields)?),
            2 => Message::Interests(Interests::decode(fields)?),
            3 => Message::Walk(Walk::decode(fields)?),
            4 => Message::Offer(Offer::decode(fields)?),
            5 => Message::Answer(Answer::decode(fields)?),
            6 => Message::Batch(Batch::decode(fields)?),
            7 => Message::Part(Part::decode(fields)?),
            8 => Message::Acknowledge(Acknowledge::decode(fields)?),
            9 => Message::Question(Question::decode(fields)?),
            10 => Message::Rest(Rest::decode(fields)?),
            11 => Message::Surplus(Surplus::decode(fields)?),
            12 => Message::Goodbye(Goodbye::decode(fields)?),
            13 => Message::Packed(Packed::decode(fields)?),
            14 => Message::Delivery(Delivery::decode(fields)?),
            15 => Message::Taken(Offer::decode(fields)?),
            16 => Message::Symbols(Symbols::decode(fields)?),
            17 => Message::Inquiry(Inquiry::decode(fields)?),
            18 => Message::Names(Names::decode(fields)?),
            19 => Message::Settled(Settled::decode(fields)?),
            20 => Message::Compared(Compared::decode(fields)?),
            kind => Message::Unknown(kind),
        })
    }
}
