//! What is to be sent on one session, in its byte form: messages in their order, and beside them long deltas in parts.
//!
//! A part is cut off when the channel takes it, by turns with a message if one waits. So a message waits for one part at most,
//! whatever the length of the delta, and a long delta is held once.

use std::collections::{BTreeMap, VecDeque};

use ditto_crdt::Version;

use crate::limits::{MAX_UNREFERRED_ANSWERS, WINDOW_BYTES};
use crate::message::{Begun, Body, Message, Part, pack};

/// What the channel has not taken yet.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    messages: VecDeque<Queued>,
    bytes: usize,
    /// Long answers that were sent, and the messages that refer to them were not; how many, and their bytes.
    unreferred: (usize, usize),
    /// Long answers, each with the message that refers to it; they go before long documents.
    answers: VecDeque<(Long, Message)>,
    answer_bytes: usize,
    /// Long documents of a batch that follows when all of them are sent.
    documents: VecDeque<Long>,
    /// The names of those that are.
    sent: Vec<u64>,
    /// Messages that refer to long documents or take them back, and wait here: until they have left, the other side keeps what it has.
    closing: usize,
    last_name: u64,
    /// What the other peer has of long deltas from earlier sessions: bytes, by digest. It keeps them until they are used or of no use.
    begun: BTreeMap<u128, usize>,
    /// The next turn is a part's.
    part_next: bool,
    /// The other peer reads packed messages.
    pub(crate) packs: bool,
}

/// A message in its byte form.
#[derive(Debug)]
struct Queued {
    message: Vec<u8>,
    /// How long the answer is that it refers to and that was sent before it, if there is one.
    answer: Option<usize>,
    /// Whether it refers to long documents, or takes one back.
    closes: bool,
}

/// A delta that travels in parts.
#[derive(Debug)]
struct Long {
    delta: Vec<u8>,
    /// Its name, once a part is sent: names ascend in the order in which they are first used.
    name: Option<u64>,
    sent: usize,
    /// Its digest, for who goes on with it in another session.
    whole: Option<u128>,
}

impl Long {
    fn new(delta: Vec<u8>) -> Self {
        Self { delta, name: None, sent: 0, whole: None }
    }

    /// One that goes on where an earlier session ended, if it is among what was begun.
    fn resumed(delta: Vec<u8>, begun: &mut BTreeMap<u128, usize>) -> Self {
        let whole = Version::of_canonical(&delta).0;
        // A part has at least one byte.
        let sent = begun.remove(&whole).unwrap_or(0).min(delta.len().saturating_sub(1));
        Self { delta, name: None, sent, whole: Some(whole) }
    }

    /// The next part; `is_whole` after the last.
    fn part(&mut self, last_name: &mut u64, longest: usize) -> Part {
        let (whole, after) = if self.name.is_none() { (self.whole, self.sent as u64) } else { (None, 0) };
        let parts = *self.name.get_or_insert_with(|| {
            *last_name += 1;
            *last_name
        });
        let rest = self.delta.get(self.sent..).unwrap_or_default();
        let bytes = rest.get(..longest).unwrap_or(rest).to_vec();
        self.sent += bytes.len();
        Part { parts, total: self.delta.len() as u64, bytes, dropped: false, whole, after }
    }

    fn unsent(&self) -> usize {
        self.delta.len() - self.sent
    }

    fn is_whole(&self) -> bool {
        self.sent == self.delta.len()
    }
}

impl Outbox {
    pub(crate) fn push(&mut self, message: &Message) {
        self.push_behind(message, None);
    }

    fn push_behind(&mut self, message: &Message, answer: Option<usize>) {
        let closes = closes_documents(message);
        let message = self.encode(message);
        self.bytes += message.len();
        self.closing += usize::from(closes);
        self.messages.push_back(Queued { message, answer, closes });
    }

    fn encode(&self, message: &Message) -> Vec<u8> {
        let bytes = message.encode();
        if self.packs { pack(bytes) } else { bytes }
    }

    /// Cuts a long delta at once, for a peer that lets everything wait for it; returns its name.
    pub(crate) fn push_parts(&mut self, delta: Vec<u8>, longest: usize) -> u64 {
        let mut long = Long::new(delta);
        while !long.is_whole() {
            let part = long.part(&mut self.last_name, longest);
            self.push(&Message::Part(part));
        }
        self.last_name
    }

    /// A long answer, and the message that refers to it.
    pub(crate) fn push_answer(&mut self, delta: Vec<u8>, message: Message) {
        let long = Long::resumed(delta, &mut self.begun);
        self.answer_bytes += long.unsent();
        self.answers.push_back((long, message));
    }

    /// Long documents of the next batch that has any.
    pub(crate) fn push_documents(&mut self, deltas: impl Iterator<Item = Vec<u8>>) {
        self.documents.extend(deltas.map(|delta| Long::resumed(delta, &mut self.begun)));
    }

    /// The names of the long documents, in their order, when all of them are sent.
    pub(crate) fn take_documents(&mut self) -> Option<Vec<u64>> {
        self.documents.is_empty().then(|| std::mem::take(&mut self.sent))
    }

    /// Whether there is no long document that the channel has not taken.
    pub(crate) fn has_sent_documents(&self) -> bool {
        self.documents.is_empty()
    }

    /// The long documents are not to be sent any more; tells the other peer of those of which it has got something.
    pub(crate) fn drop_documents(&mut self) {
        let mut names = std::mem::take(&mut self.sent);
        for long in std::mem::take(&mut self.documents) {
            match (long.name, long.whole) {
                (Some(name), _) => names.push(name),
                (None, Some(whole)) if long.sent > 0 => {
                    self.begun.insert(whole, long.sent);
                }
                _ => {}
            }
        }
        for parts in names {
            self.push(&Message::Part(Part { parts, dropped: true, ..Part::default() }));
        }
    }

    /// What the other peer says that it has of long deltas.
    pub(crate) fn resume(&mut self, begun: &[Begun]) {
        let said = begun.iter().filter(|begun| begun.bytes > 0);
        self.begun = said.map(|begun| (begun.whole, begun.bytes as usize)).collect();
    }

    /// All is told, and nothing was of use any more of what the other peer has of long deltas: it need not keep that.
    pub(crate) fn forget_begun(&mut self) {
        for whole in std::mem::take(&mut self.begun).into_keys() {
            self.push(&Message::Part(Part { dropped: true, whole: Some(whole), ..Part::default() }));
        }
    }

    /// The next message; a part has at most `longest` bytes of a delta.
    pub(crate) fn pop(&mut self, longest: usize) -> Option<Vec<u8>> {
        let is_parts_turn = std::mem::take(&mut self.part_next) || self.messages.is_empty();
        if is_parts_turn && let Some(part) = self.pop_part(longest) {
            return Some(self.encode(&Message::Part(part)));
        }
        let Queued { message, answer, closes } = self.messages.pop_front()?;
        self.bytes -= message.len();
        self.closing -= usize::from(closes);
        if let Some(length) = answer {
            self.unreferred = (self.unreferred.0 - 1, self.unreferred.1 - length);
        }
        self.part_next = true;
        Some(message)
    }

    fn pop_part(&mut self, longest: usize) -> Option<Part> {
        let (count, bytes) = self.unreferred;
        // The other side keeps what it has in parts until it knows what for.
        let may_begin = count < MAX_UNREFERRED_ANSWERS && bytes < WINDOW_BYTES;
        if let Some((answer, _)) = self.answers.front_mut()
            && (may_begin || answer.name.is_some())
        {
            let part = answer.part(&mut self.last_name, longest);
            self.answer_bytes -= part.bytes.len();
            if answer.is_whole()
                && let Some((_, message)) = self.answers.pop_front()
            {
                let length = part.total as usize;
                self.unreferred = (count + 1, bytes + length);
                self.push_behind(&message.with_body(Body::Parts(part.parts)), Some(length));
            }
            return Some(part);
        }
        // As many documents as one batch may have, and as many answers as may wait, are all that the other side keeps in parts.
        let may_begin = self.closing == 0;
        let document = self.documents.front_mut().filter(|document| may_begin || document.name.is_some())?;
        let part = document.part(&mut self.last_name, longest);
        if document.is_whole() {
            self.documents.pop_front();
            self.sent.push(part.parts);
        }
        Some(part)
    }

    pub(crate) fn clear(&mut self) {
        *self = Self { last_name: self.last_name, packs: self.packs, ..Self::default() };
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.answers.is_empty() && self.documents.is_empty()
    }

    /// How many messages, long deltas not included.
    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Their bytes, as they are sent.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of long answers.
    pub(crate) fn answer_bytes(&self) -> usize {
        self.answer_bytes
    }

    /// Bytes that are in memory because of what the other peer asked for, or does not read; long documents of batches not included.
    pub(crate) fn asked_bytes(&self) -> usize {
        self.bytes + self.answers.iter().map(|(long, _)| long.delta.len()).sum::<usize>()
    }

    /// Bytes of everything.
    pub(crate) fn all_bytes(&self) -> usize {
        let documents = self.documents.iter().map(Long::unsent);
        self.bytes + self.answer_bytes + documents.sum::<usize>()
    }
}

/// Whether a message is about long documents that were sent before it: what has come of them in parts is used with it, or dropped.
fn closes_documents(message: &Message) -> bool {
    match message {
        Message::Batch(batch) => {
            batch.documents.iter().any(|document| matches!(document.delta, Body::Parts(_)))
        }
        Message::Part(part) => part.dropped,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{MAX_LARGE_DOCUMENTS, PART_BYTES};
    use crate::message::{Batch, Found, Goodbye, Rest, SentDocument};
    use crate::parts::Reassembly;

    fn message(reason: &str) -> Message {
        Message::Goodbye(Goodbye { reason: reason.to_owned() })
    }

    fn pop(outbox: &mut Outbox) -> Option<Message> {
        outbox.pop(PART_BYTES).map(|bytes| Message::decode(&bytes).expect("an own message"))
    }

    fn part(popped: Option<Message>) -> (u64, usize) {
        let Some(Message::Part(part)) = popped else { panic!("{popped:?}") };
        (part.parts, part.bytes.len())
    }

    #[test]
    fn a_message_waits_for_one_part_at_most() {
        let mut outbox = Outbox::default();
        outbox.push_documents([vec![1; 3 * PART_BYTES]].into_iter());
        assert_eq!(part(pop(&mut outbox)), (1, PART_BYTES));
        outbox.push(&message("first"));
        outbox.push(&message("second"));
        assert_eq!(pop(&mut outbox), Some(message("first")));
        assert_eq!(part(pop(&mut outbox)), (1, PART_BYTES), "and the parts go on");
        assert_eq!(pop(&mut outbox), Some(message("second")));
        assert_eq!(outbox.take_documents(), None, "not all is sent");
        assert_eq!(part(pop(&mut outbox)), (1, PART_BYTES));
        assert!(outbox.is_empty() && outbox.has_sent_documents());
        assert_eq!(outbox.take_documents(), Some(vec![1]));
        assert_eq!(pop(&mut outbox), None);
    }

    #[test]
    fn a_long_answer_overtakes_a_long_document_and_its_message_follows_its_last_part() {
        let mut outbox = Outbox::default();
        outbox.push_documents([vec![1; 2 * PART_BYTES]].into_iter());
        assert_eq!(part(pop(&mut outbox)), (1, PART_BYTES));
        let rest =
            |delta| Message::Rest(Rest { question: 7, found: Some(Found { delta, ..Found::default() }) });
        outbox.push_answer(vec![2; PART_BYTES + 5], rest(Body::default()));
        assert_eq!(outbox.all_bytes(), 2 * PART_BYTES + 5);
        assert_eq!(part(pop(&mut outbox)), (2, PART_BYTES));
        assert_eq!(part(pop(&mut outbox)), (2, 5));
        assert_eq!(outbox.answer_bytes(), 0);
        assert_eq!(pop(&mut outbox), Some(rest(Body::Parts(2))));
        assert_eq!(part(pop(&mut outbox)), (1, PART_BYTES));
        assert_eq!(outbox.take_documents(), Some(vec![1]));
    }

    #[test]
    fn long_answers_do_not_wait_for_their_messages_in_any_number() {
        let rest = |question| Message::Rest(Rest { question, found: Some(Found::default()) });
        let mut outbox = Outbox::default();
        for _ in 0..2_000 {
            outbox.push(&message("short"));
        }
        outbox.push_documents(vec![vec![3; 2 * PART_BYTES]; MAX_LARGE_DOCUMENTS].into_iter());
        for question in 0..150 {
            outbox.push_answer(vec![1; PART_BYTES + 1], rest(question));
        }
        let mut reassembly = Reassembly::default();
        let (mut answered, mut most) = (0, 0);
        while let Some(next) = pop(&mut outbox) {
            match next {
                Message::Part(part) => assert_eq!(reassembly.receive(part), Ok(())),
                Message::Rest(Rest { question, found: Some(found) }) => {
                    assert_eq!(question, answered);
                    assert_eq!(reassembly.take(found.delta).map(|delta| delta.len()), Ok(PART_BYTES + 1));
                    answered += 1;
                }
                _ => {}
            }
            most = most.max(reassembly.bytes());
        }
        assert_eq!((answered, outbox.has_sent_documents()), (150, true));
        assert!(most <= (2 * MAX_LARGE_DOCUMENTS + 2 * MAX_UNREFERRED_ANSWERS) * PART_BYTES);
    }

    #[test]
    fn long_documents_do_not_begin_before_the_batch_of_the_last_ones_has_left() {
        let refer = |names: Vec<u64>| {
            let document =
                |name| SentDocument { complete: true, delta: Body::Parts(name), ..SentDocument::default() };
            let documents = names.into_iter().map(document).collect();
            Message::Batch(Batch { batch: 1, documents, ..Batch::default() })
        };
        for is_dropped in [false, true] {
            let mut outbox = Outbox::default();
            let mut reassembly = Reassembly::default();
            let mut deliver = |outbox: &mut Outbox| {
                match pop(outbox)? {
                    Message::Part(part) => assert_eq!(reassembly.receive(part), Ok(())),
                    Message::Batch(batch) => {
                        batch.documents.into_iter().for_each(|document| {
                            assert!(reassembly.take(document.delta).is_ok());
                        });
                    }
                    _ => {}
                }
                Some(reassembly.bytes())
            };
            let documents = |count| vec![vec![1; PART_BYTES + 1]; count].into_iter();
            outbox.push_documents(documents(MAX_LARGE_DOCUMENTS));
            while !outbox.has_sent_documents() {
                outbox.push(&message("between two parts"));
                outbox.push(&message("more than leave"));
                deliver(&mut outbox);
            }
            if is_dropped {
                outbox.drop_documents();
            } else {
                let names = outbox.take_documents().expect("all are sent");
                outbox.push(&refer(names));
            }
            // The next commit, and as many answers as may be open beside it.
            outbox.push_documents(documents(MAX_LARGE_DOCUMENTS));
            for question in 0..MAX_UNREFERRED_ANSWERS as u64 {
                let rest = Message::Rest(Rest { question, found: Some(Found::default()) });
                outbox.push_answer(vec![2; PART_BYTES + 1], rest);
            }
            while deliver(&mut outbox).is_some() {}
            let names = outbox.take_documents().expect("all are sent");
            assert_eq!(names.len(), MAX_LARGE_DOCUMENTS);
            outbox.push(&refer(names));
            assert_eq!(deliver(&mut outbox), Some(MAX_UNREFERRED_ANSWERS * (PART_BYTES + 1)));
        }
    }

    #[test]
    fn documents_that_are_dropped_are_taken_back_if_something_of_them_was_sent() {
        let mut outbox = Outbox::default();
        outbox.push_documents(
            [vec![1; PART_BYTES + 1], vec![2; 2 * PART_BYTES], vec![3; PART_BYTES]].into_iter(),
        );
        for _ in 0..3 {
            pop(&mut outbox);
        }
        outbox.drop_documents();
        let dropped = |parts| Some(Message::Part(Part { parts, dropped: true, ..Part::default() }));
        assert_eq!([pop(&mut outbox), pop(&mut outbox), pop(&mut outbox)], [dropped(1), dropped(2), None]);
        assert_eq!(outbox.take_documents(), Some(Vec::new()));
    }
}
