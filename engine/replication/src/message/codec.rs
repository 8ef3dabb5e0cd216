//! How each message is written and read, field by field.

use ditto_crdt::{RunId, Sequence, SiteId, Version};

use super::{
    Acknowledge, AddedInterest, Answer, Batch, BatchEnd, Begun, Body, Compared, Delivery, Exceptions, Found,
    Goodbye, Hello, Inquiry, Interests, Name, Names, Offer, OfferItem, Part, Question, Rest, SentDocument,
    Settled, Start, Surplus, Symbols, Walk,
};
use crate::limits::{
    MAX_ARGUMENT_BYTES, MAX_BATCH_DOCUMENTS, MAX_COLLECTION_BYTES, MAX_DELTA_BYTES, MAX_ID_BYTES,
    MAX_INQUIRY_ITEMS, MAX_INTERESTS, MAX_OFFER_ITEMS, MAX_OPEN_PARTS, MAX_QUERY_BYTES, MAX_QUESTION_HASHES,
    MAX_REASON_BYTES, MAX_RECONCILED_DOCUMENTS, MAX_RUNS, MAX_SYMBOLS, PART_BYTES, SYMBOLS_PER_MESSAGE,
    WINDOW_BATCHES,
};
use crate::reconciliation::{NameRange, symbols};
use crate::replica::{Checkpoint, Seen};
use crate::wire::{Content, DecodeError, Fields, Writer};

pub(super) fn version(out: &mut Writer, field: u64, version: Version) {
    out.bytes(field, &version.0.to_le_bytes());
}

fn read_version(content: Content<'_>, name: &'static str) -> Result<Version, DecodeError> {
    Ok(Version(u128::from_le_bytes(content.array(name)?)))
}

fn run(out: &mut Writer, field: u64, run: RunId) {
    out.bytes(field, &run.0.to_le_bytes());
}

fn read_run(content: Content<'_>, name: &'static str) -> Result<RunId, DecodeError> {
    Ok(RunId(u64::from_le_bytes(content.array(name)?)))
}

fn write_hashes(hashes: &[u128]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.to_le_bytes()).collect()
}

fn read_hashes(content: Content<'_>, name: &'static str, limit: usize) -> Result<Vec<u128>, DecodeError> {
    let (hashes, rest) = content.bytes(name, 16 * limit)?.as_chunks::<16>();
    if !rest.is_empty() {
        return Err(DecodeError::Field(name));
    }
    Ok(hashes.iter().map(|hash| u128::from_le_bytes(*hash)).collect())
}

/// Adds to a list that may not grow beyond `limit`.
fn push<T>(list: &mut Vec<T>, item: T, limit: usize, name: &'static str) -> Result<(), DecodeError> {
    if list.len() >= limit {
        return Err(DecodeError::Limit(name));
    }
    list.push(item);
    Ok(())
}

impl Hello {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::kind(1);
        out.number(1, self.versions.0);
        out.number(2, self.versions.1);
        out.bytes(3, &self.database);
        out.bytes(4, &self.site.0.to_le_bytes());
        run(&mut out, 5, self.run);
        out.nonzero(6, self.durable.0);
        for seen in &self.seen {
            out.structure(7, |out| {
                run(out, 1, seen.run);
                out.nonzero(2, seen.sequence.0);
                if seen.durable > seen.sequence {
                    out.number(3, seen.durable.0);
                }
            });
        }
        out.nonzero(8, self.capabilities);
        out.nonzero(9, self.evictions);
        out.nonzero(10, self.clock_ms);
        for begun in &self.begun {
            out.structure(11, |out| {
                out.bytes(1, &begun.whole.to_le_bytes());
                out.number(2, begun.bytes);
            });
        }
        out.0
    }

    pub(super) fn decode(mut fields: Fields<'_>) -> Result<Self, DecodeError> {
        let mut hello = Hello::default();
        let (mut database, mut site, mut run) = (None, None, None);
        while let Some((field, content)) = fields.field()? {
            match field {
                1 => hello.versions.0 = content.number("lowest version")?,
                2 => hello.versions.1 = content.number("highest version")?,
                3 => database = Some(content.array("database")?),
                4 => site = Some(SiteId(u64::from_le_bytes(content.array("site")?))),
                5 => run = Some(read_run(content, "run")?),
                6 => hello.durable = Sequence(content.number("durable")?),
                7 => {
                    push(&mut hello.seen, read_seen(content)?, MAX_RUNS, "seen")?;
                }
                8 => hello.capabilities = content.number("capabilities")?,
                9 => hello.evictions = content.number("evictions")?,
                10 => hello.clock_ms = content.number("clock")?,
                11 => push(&mut hello.begun, read_begun(content)?, MAX_OPEN_PARTS, "begun")?,
                _ => {}
            }
        }
        hello.database = database.ok_or(DecodeError::Missing("database"))?;
        hello.site = site.ok_or(DecodeError::Missing("site"))?;
        hello.run = run.ok_or(DecodeError::Missing("run"))?;
        Ok(hello)
    }
}

fn read_seen(content: Content<'_>) -> Result<Seen, DecodeError> {
    let mut fields = content.fields("seen")?;
    let (mut run, mut seen) = (None, Seen::default());
    while let Some((field, content)) = fields.field()? {
        match field {
            1 => run = Some(read_run(content, "seen")?),
            2 => seen.sequence = Sequence(content.number("seen")?),
            3 => seen.durable = Sequence(content.number("seen")?),
            _ => {}
        }
    }
    Ok(Seen { run: run.ok_or(DecodeError::Missing("seen"))?, ..seen })
}

fn read_begun(content: Content<'_>) -> Result<Begun, DecodeError> {
    let mut fields = content.fields("begun")?;
    let mut begun = Begun::default();
    while let Some((field, content)) = fields.field()? {
        match field {
            1 => begun.whole = u128::from_le_bytes(content.array("begun")?),
            2 => begun.bytes = content.number("begun")?,
            _ => {}
        }
    }
    Ok(begun)
}

fn read_checkpoint(content: Content<'_>, name: &'static str) -> Result<Checkpoint, DecodeError> {
    let mut fields = content.fields(name)?;
    let (mut run, mut sequence) = (None, Sequence(0));
    while let Some((field, content)) = fields.field()? {
        match field {
            1 => run = Some(read_run(content, name)?),
            2 => sequence = Sequence(content.number(name)?),
            _ => {}
        }
    }
    Ok(Checkpoint { run: run.ok_or(DecodeError::Missing(name))?, sequence })
}

/// What normalised queries begin with.
const BEGINNING: &str = "SELECT * FROM ";

impl Interests {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::kind(2);
        out.number(1, self.generation);
        for added in &self.added {
            out.structure(2, |out| {
                out.number(1, added.id);
                match added.query.strip_prefix(BEGINNING).filter(|_| added.is_short) {
                    Some(rest) => out.bytes(6, rest.as_bytes()),
                    None => out.bytes(2, added.query.as_bytes()),
                }
                if !added.arguments.is_empty() {
                    out.bytes(3, &added.arguments);
                }
                if let Some(greeted) = added.greeted {
                    out.number(5, greeted);
                } else if let Some(checkpoint) = added.checkpoint {
                    out.structure(4, |out| {
                        run(out, 1, checkpoint.run);
                        out.nonzero(2, checkpoint.sequence.0);
                    });
                }
            });
        }
        for removed in &self.removed {
            out.number(3, *removed);
        }
        out.flag(4, self.forgotten);
        if let Some(evictions) = self.evictions {
            out.number(5, evictions);
        }
        if let Some(changes) = self.changes {
            out.number(6, changes.0);
        }
        out.flag(7, self.durable);
        out.0
    }

    pub(super) fn decode(mut fields: Fields<'_>) -> Result<Self, DecodeError> {
        let mut interests = Interests::default();
        while let Some((field, content)) = fields.field()? {
            match field {
                1 => interests.generation = content.number("generation")?,
                2 => {
                    let added = AddedInterest::decode(content.fields("added")?)?;
                    push(&mut interests.added, added, MAX_INTERESTS, "added")?;
                }
                3 => push(&mut interests.removed, content.number("removed")?, MAX_INTERESTS, "removed")?,
                4 => interests.forgotten = content.number("forgotten")? != 0,
                5 => interests.evictions = Some(content.number("evictions")?),
                6 => interests.changes = Some(Sequence(content.number("changes")?)),
                7 => interests.durable = content.number("durable")? != 0,
                _ => {}
            }
        }
        Ok(interests)
    }
}

impl AddedInterest {
    pub(super) fn decode(mut fields: Fields<'_>) -> Result<Self, DecodeError> {
        let mut added = AddedInterest::default();
        while let Some((field, content)) = fields.field()? {
            match field {
                1 => added.id = content.number("interest")?,
                2 => added.query = content.text("query", MAX_QUERY_BYTES)?.to_owned(),
                3 => added.arguments = content.bytes("arguments", MAX_ARGUMENT_BYTES)?.to_vec(),
                4 => {
                    (added.checkpoint, added.greeted) = (Some(read_checkpoint(content, "checkpoint")?), None);
                }
                5 => {
                    let greeted = Some(content.number("greeted")?).filter(|greeted| *greeted > 0);
                    if greeted.is_some() {
                        (added.checkpoint, added.greeted) = (None, greeted);
                    }
                }
                6 => {
                    let rest = content.text("query", MAX_QUERY_BYTES - BEGINNING.len())?;
                    (added.query, added.is_short) = ([BEGINNING, rest].concat(), true);
                }
                _ => {}
            }
        }
        Ok(added)
    }
}

impl Walk {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::kind(3);
        out.number(1, self.generation);
        if let Some(present) = self.run {
            run(&mut out, 2, present);
        }
        for start in &self.starts {
            out.structure(3, |out| {
                out.number(1, start.interest);
                out.nonzero(2, start.sequence.0);
                if let Some(reason) = &start.refused {
                    out.bytes(3, reason.as_bytes());
                }
                out.flag(4, start.reconciled);
            });
        }
        out.flag(4, self.caught_up);
        out.0
    }

    pub(super) fn decode(mut fields: Fields<'_>) -> Result<Self, DecodeError> {
        let mut walk = Walk::default();
        while let Some((field, content)) = fields.field()? {
            match field {
                1 => walk.generation = content.number("generation")?,
                2 => walk.run = Some(read_run(content, "run")?),
                3 => {
                    let mut start = Start::default();
                    let mut inner = content.fields("start")?;
                    while let Some((field, content)) = inner.field()? {
                        match field {
                            1 => start.interest = content.number("interest")?,
                            2 => start.sequence = Sequence(content.number("sequence")?),
                            3 => {
                                start.refused = Some(content.text("refused", MAX_REASON_BYTES)?.to_owned());
                            }
                            4 => start.reconciled = content.number("reconciled")? != 0,
                            _ => {}
                        }
                    }
                    push(&mut walk.starts, start, MAX_INTERESTS, "starts")?;
                }
                4 => walk.caught_up = content.number("caught up")? != 0,
                _ => {}
            }
        }
        Ok(walk)
    }
}

impl Offer {
    pub(super) fn encode(&self, kind: u64) -> Vec<u8> {
        let mut out = Writer::kind(kind);
        out.number(1, self.offer);
        for item in &self.items {
            out.structure(2, |out| {
                out.number(1, item.interest);
                item.id.encode(out, 2, 5);
                version(out, 3, item.version);
                out.flag(4, item.matching);
            });
        }
        out.0
    }

    pub(super) fn decode(mut fields: Fields<'_>) -> Result<Self, DecodeError> {
        let mut offer = Offer::default();
        while let Some((field, content)) = fields.field()? {
            match field {
                1 => offer.offer = content.number("offer")?,
                2 => {
                    let mut item = OfferItem::default();
                    let mut inner = content.fields("item")?;
                    while let Some((field, content)) = inner.field()? {
                        match field {
                            1 => item.interest = content.number("interest")?,
                            2 => item.id = Name::decode_key(content)?,
                            3 => item.version = read_version(content, "version")?,
                            4 => item.matching = content.number("matching")? != 0,
                            5 => item.id = Name::decode_uuid(content)?,
                            _ => {}
                        }
                    }
                    push(&mut offer.items, item, MAX_OFFER_ITEMS, "items")?;
                }
                _ => {}
            }
        }
        Ok(offer)
    }
}

impl Answer {
    pub(super) fn decode(mut fields: Fields<'_>) -> Result<Self, DecodeError> {
        let mut answer = Answer::default();
        while let Some((field, content)) = fields.field()? {
            match field {
                1 => answer.offer = content.number("offer")?,
                2 => answer.wanted = content.bytes("wanted", MAX_OFFER_ITEMS.div_ceil(8))?.to_vec(),
                _ => {}
            }
        }
        Ok(answer)
    }
}

impl Batch {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::kind(6);
        out.number(1, self.batch);
        for document in &self.documents {
            out.structure(2, |out| document.encode(out));
        }
        if let Some(end) = self.end {
            out.structure(3, |out| {
                out.number(1, end.generation);
                run(out, 2, end.run);
                out.nonzero(3, end.sequence.0);
                out.flag(4, end.caught_up);
                if let Some(newest) = end.newest {
                    out.number(5, newest.0);
                }
                if let Some(parts) = end.parts {
                    out.number(6, parts.0);
                }
                if let Some(durable) = end.durable {
                    out.number(7, durable.0);
                }
            });
        }
        out.0
    }

    pub(super) fn decode(mut fields: Fields<'_>) -> Result<Self, DecodeError> {
        let mut batch = Batch::default();
        while let Some((field, content)) = fields.field()? {
            match field {
                1 => batch.batch = content.number("batch")?,
                2 => batch.documents.push(SentDocument::decode(content.fields("document")?)?),
                3 => {
                    let mut end = BatchEnd::default();
                    let mut run = None;
                    let mut inner = content.fields("end")?;
                    while let Some((field, content)) = inner.field()? {
                        match field {
                            1 => end.generation = content.number("generation")?,
                            2 => run = Some(read_run(content, "run")?),
                            3 => end.sequence = Sequence(content.number("sequence")?),
                            4 => end.caught_up = content.number("caught up")? != 0,
                            5 => end.newest = Some(Sequence(content.number("newest")?)),
                            6 => end.parts = Some(Sequence(content.number("parts")?)),
                            7 => end.durable = Some(Sequence(content.number("durable")?)),
                            _ => {}
                        }
                    }
                    end.run = run.ok_or(DecodeError::Missing("run"))?;
                    batch.end = Some(end);
                }
                _ => {}
            }
        }
        Ok(batch)
    }
}

impl SentDocument {
    pub(super) fn encode(&self, out: &mut Writer) {
        out.number(1, self.interest);
        self.id.encode(out, 2, 8);
        if let Some(before) = self.before {
            version(out, 3, before);
        }
        if let Some(after) = self.after {
            version(out, 4, after);
        }
        self.delta.encode(out, 5);
        out.flag(7, self.complete);
    }

    pub(super) fn decode(mut fields: Fields<'_>) -> Result<Self, DecodeError> {
        let mut document = SentDocument::default();
        while let Some((field, content)) = fields.field()? {
            match field {
                1 => document.interest = content.number("interest")?,
                2 => document.id = Name::decode_key(content)?,
                3 => document.before = Some(read_version(content, "before")?),
                4 => document.after = Some(read_version(content, "after")?),
                5 | 6 => document.delta = Body::decode(field - 5, content)?,
                7 => document.complete = content.number("complete")? != 0,
                8 => document.id = Name::decode_uuid(content)?,
                _ => {}
            }
        }
        if document.after.is_none() && !document.complete {
            return Err(DecodeError::Missing("after"));
        }
        Ok(document)
    }
}

impl Body {
    /// Takes two field numbers: `field` for the bytes, `field + 1` for the name of the parts.
    pub(super) fn encode(&self, out: &mut Writer, field: u64) {
        match self {
            Body::Inline(bytes) => out.bytes(field, bytes),
            Body::Parts(parts) => out.number(field + 1, *parts),
        }
    }

    pub(super) fn decode(which: u64, content: Content<'_>) -> Result<Self, DecodeError> {
        Ok(match which {
            0 => Body::Inline(content.bytes("delta", PART_BYTES)?.to_vec()),
            _ => Body::Parts(content.number("parts")?),
        })
    }
}

impl Part {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::kind(7);
        out.nonzero(1, self.parts);
        if self.dropped {
            out.flag(4, true);
        } else {
            out.number(2, self.total);
            out.bytes(3, &self.bytes);
        }
        if let Some(whole) = self.whole {
            out.bytes(5, &whole.to_le_bytes());
        }
        out.nonzero(6, self.after);
        out.0
    }

    pub(super) fn decode(mut fields: Fields<'_>) -> Result<Self, DecodeError> {
        let mut part = Part::default();
        while let Some((field, content)) = fields.field()? {
            match field {
                1 => part.parts = content.number("parts")?,
                2 => part.total = content.number("total")?,
                3 => part.bytes = content.bytes("bytes", PART_BYTES)?.to_vec(),
                4 => part.dropped = content.number("dropped")? != 0,
                5 => part.whole = Some(u128::from_le_bytes(content.array("whole")?)),
                6 => part.after = content.number("after")?,
                _ => {}
            }
        }
        if part.total > MAX_DELTA_BYTES as u64 {
            return Err(DecodeError::Limit("total"));
        }
        Ok(part)
    }
}

impl Acknowledge {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::kind(8);
        out.number(1, self.batch);
        for exceptions in &self.exceptions {
            out.structure(2, |out| {
                out.number(1, exceptions.batch);
                out.bytes(2, &exceptions.documents);
            });
        }
        out.0
    }

    pub(super) fn decode(mut fields: Fields<'_>) -> Result<Self, DecodeError> {
        let mut acknowledge = Acknowledge::default();
        while let Some((field, content)) = fields.field()? {
            match field {
                1 => acknowledge.batch = content.number("batch")?,
                2 => {
                    let mut exceptions = Exceptions::default();
                    let mut inner = content.fields("exceptions")?;
                    while let Some((field, content)) = inner.field()? {
                        match field {
                            1 => exceptions.batch = content.number("batch")?,
                            2 => {
                                let bits = content.bytes("documents", MAX_BATCH_DOCUMENTS.div_ceil(8))?;
                                exceptions.documents = bits.to_vec();
                            }
                            _ => {}
                        }
                    }
                    push(&mut acknowledge.exceptions, exceptions, WINDOW_BATCHES + 1, "exceptions")?;
                }
                _ => {}
            }
        }
        Ok(acknowledge)
    }
}

impl Question {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::kind(9);
        out.number(1, self.question);
        out.bytes(2, self.collection.as_bytes());
        out.bytes(3, &self.id);
        if let Some(hashes) = &self.hashes {
            out.bytes(4, &write_hashes(hashes));
        }
        out.0
    }

    pub(super) fn decode(mut fields: Fields<'_>) -> Result<Self, DecodeError> {
        let mut question = Question::default();
        while let Some((field, content)) = fields.field()? {
            match field {
                1 => question.question = content.number("question")?,
                2 => question.collection = content.text("collection", MAX_COLLECTION_BYTES)?.to_owned(),
                3 => question.id = content.bytes("id", MAX_ID_BYTES)?.to_vec(),
                4 => question.hashes = Some(read_hashes(content, "hashes", MAX_QUESTION_HASHES)?),
                _ => {}
            }
        }
        Ok(question)
    }
}

impl Rest {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::kind(10);
        out.number(1, self.question);
        if let Some(found) = &self.found {
            version(&mut out, 2, found.version);
            found.delta.encode(&mut out, 3);
            if !found.lacked.is_empty() {
                out.bytes(5, &found.lacked);
            }
            out.nonzero(6, found.newest.0);
        }
        out.0
    }

    pub(super) fn decode(mut fields: Fields<'_>) -> Result<Self, DecodeError> {
        let mut question = 0;
        let mut version = None;
        let mut delta = Body::default();
        let mut lacked = Vec::new();
        let mut newest = Sequence(0);
        while let Some((field, content)) = fields.field()? {
            match field {
                1 => question = content.number("question")?,
                2 => version = Some(read_version(content, "version")?),
                3 | 4 => delta = Body::decode(field - 3, content)?,
                5 => lacked = content.bytes("lacked", MAX_QUESTION_HASHES.div_ceil(8))?.to_vec(),
                6 => newest = Sequence(content.number("newest")?),
                _ => {}
            }
        }
        Ok(Rest { question, found: version.map(|version| Found { version, delta, lacked, newest }) })
    }
}

impl Surplus {
    pub(super) fn decode(mut fields: Fields<'_>) -> Result<Self, DecodeError> {
        let mut surplus = Surplus::default();
        let mut version = None;
        while let Some((field, content)) = fields.field()? {
            match field {
                1 => surplus.question = content.number("question")?,
                2 => version = Some(read_version(content, "version")?),
                3 | 4 => surplus.delta = Body::decode(field - 3, content)?,
                5 => surplus.newest = Sequence(content.number("newest")?),
                _ => {}
            }
        }
        surplus.version = version.ok_or(DecodeError::Missing("version"))?;
        Ok(surplus)
    }
}

impl Delivery {
    pub(super) fn decode(mut fields: Fields<'_>) -> Result<Self, DecodeError> {
        let mut delivery = Delivery::default();
        while let Some((field, content)) = fields.field()? {
            match field {
                1 => delivery.lazy = content.number("lazy")? != 0,
                2 => delivery.follows = content.number("follows")? != 0,
                _ => {}
            }
        }
        Ok(delivery)
    }
}

impl Compared {
    pub(super) fn decode(mut fields: Fields<'_>) -> Result<Self, DecodeError> {
        let mut compared = Compared::default();
        while let Some((field, content)) = fields.field()? {
            if field == 1 {
                compared.taken = content.number("taken")?;
            }
        }
        Ok(compared)
    }
}

impl Goodbye {
    pub(super) fn decode(mut fields: Fields<'_>) -> Result<Self, DecodeError> {
        let mut goodbye = Goodbye::default();
        while let Some((field, content)) = fields.field()? {
            if field == 1 {
                goodbye.reason = content.text("reason", MAX_REASON_BYTES)?.to_owned();
            }
        }
        Ok(goodbye)
    }
}

impl Symbols {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::kind(16);
        out.number(1, self.generation);
        out.nonzero(2, self.first);
        out.nonzero(3, self.documents);
        if !self.symbols.is_empty() {
            out.bytes(4, &symbols::encode(&self.symbols, self.first as usize, self.documents));
        }
        out.flag(5, self.nothing);
        out.flag(6, self.too_many);
        out.nonzero(7, self.range.bits());
        out.nonzero(8, self.range.prefix());
        out.0
    }

    pub(super) fn decode(mut fields: Fields<'_>) -> Result<Self, DecodeError> {
        let mut message = Symbols::default();
        let (mut bytes, mut range): (&[u8], _) = (&[], (0, 0));
        while let Some((field, content)) = fields.field()? {
            match field {
                1 => message.generation = content.number("generation")?,
                2 => message.first = content.number("first")?,
                3 => message.documents = content.number("documents")?,
                4 => bytes = content.bytes("symbols", usize::MAX)?,
                5 => message.nothing = content.number("nothing")? != 0,
                6 => message.too_many = content.number("too many")? != 0,
                7 => range.0 = content.number("bits of a range")?,
                8 => range.1 = content.number("range")?,
                _ => {}
            }
        }
        message.range = read_range(range)?;
        if message.first > MAX_SYMBOLS as u64 {
            return Err(DecodeError::Limit("first symbol"));
        }
        if message.documents > MAX_RECONCILED_DOCUMENTS as u64 {
            return Err(DecodeError::Limit("documents"));
        }
        message.symbols =
            symbols::decode(bytes, message.first as usize, message.documents, SYMBOLS_PER_MESSAGE)?;
        Ok(message)
    }
}

fn read_range((bits, prefix): (u64, u64)) -> Result<NameRange, DecodeError> {
    NameRange::new(bits, prefix).ok_or(DecodeError::Limit("ranges"))
}

impl Inquiry {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::kind(17);
        out.number(1, self.generation);
        out.nonzero(2, self.symbols);
        if !self.items.is_empty() {
            out.bytes(3, &write_hashes(&self.items));
        }
        out.nonzero(4, self.range.bits());
        out.nonzero(5, self.range.prefix());
        out.0
    }

    pub(super) fn decode(mut fields: Fields<'_>) -> Result<Self, DecodeError> {
        let mut inquiry = Inquiry::default();
        let mut range = (0, 0);
        while let Some((field, content)) = fields.field()? {
            match field {
                1 => inquiry.generation = content.number("generation")?,
                2 => inquiry.symbols = content.number("symbols")?,
                3 => inquiry.items = read_hashes(content, "items", MAX_INQUIRY_ITEMS)?,
                4 => range.0 = content.number("bits of a range")?,
                5 => range.1 = content.number("range")?,
                _ => {}
            }
        }
        inquiry.range = read_range(range)?;
        Ok(inquiry)
    }
}

impl Names {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::kind(18);
        out.number(1, self.generation);
        out.bytes(2, &write_hashes(&self.names));
        out.0
    }

    pub(super) fn decode(mut fields: Fields<'_>) -> Result<Self, DecodeError> {
        let mut names = Names::default();
        while let Some((field, content)) = fields.field()? {
            match field {
                1 => names.generation = content.number("generation")?,
                2 => names.names = read_hashes(content, "names", MAX_INQUIRY_ITEMS)?,
                _ => {}
            }
        }
        Ok(names)
    }
}

impl Settled {
    pub(super) fn decode(mut fields: Fields<'_>) -> Result<Self, DecodeError> {
        let mut settled = Settled::default();
        while let Some((field, content)) = fields.field()? {
            match field {
                1 => settled.generation = content.number("generation")?,
                2 => settled.sequence = Sequence(content.number("sequence")?),
                _ => {}
            }
        }
        Ok(settled)
    }
}
