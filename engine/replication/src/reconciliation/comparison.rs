//! The publisher's side: what the subscriber lacks of what it is to be told.

use std::collections::{HashSet, VecDeque};

use ditto_crdt::Sequence;

use super::name_range::{NameRange, beginning};
use super::naming::Naming;
use super::stock::{Scan, Sum};
use super::symbols::{Decoder, Inconsistent, Symbol};
use crate::event::{CloseReason, Violation};
use crate::limits::{FIRST_SYMBOLS, MAX_RECONCILED_DOCUMENTS, SYMBOLS_PER_MESSAGE};
use crate::message::{Inquiry, Names, Symbols};
use crate::replica::{Change, DocumentKey, Held, Interest, Replica, ReplicaError, match_against};
use crate::sizes::Sizes;

/// What a document costs on the wire beside its delta, in bytes; about.
const DOCUMENT_BYTES: u64 = 60;
/// What an offer costs beside the `_id`.
const OFFER_BYTES: u64 = 25;
/// What a symbol costs.
const SYMBOL_BYTES: u64 = 22;
/// What it costs to ask for a name and to be told.
const NAME_BYTES: u64 = 32;
/// Inquiries for names that may be open at once.
const OPEN_INQUIRIES: usize = 4;
/// More documents than can be told.
const TOO_MANY: u64 = u64::MAX;
/// With fewer symbols than this, the estimate may be twice too large.
const ENOUGH_FOR_AN_ESTIMATE: usize = 64;
/// Who holds less than one in so many documents is sent all of them.
const LITTLE_HELD: u64 = 8;

/// The interests of one message, compared with what the subscriber holds.
#[derive(Debug)]
pub(crate) struct Comparison {
    pub(crate) generation: u64,
    /// Numbers and queries.
    pub(crate) interests: Vec<(u64, Interest)>,
    /// Later changes are the walk's.
    pub(crate) fence: Sequence,
    naming: Naming,
    /// Whether the subscriber can do it range by range.
    has_ranges: bool,
    /// What all of the following is about, save `is_nothing_held`.
    range: NameRange,
    /// The subscriber knows that this is the range.
    is_announced: bool,
    /// `None` before its turn has come.
    scan: Option<Scan>,
    /// Buried documents are in the stock: one that was buried while it was taken is there twice until the end.
    has_graves: bool,
    /// No range is so narrow that what is in it fits.
    is_too_large: bool,
    /// Every document that is to be held by the subscriber: 32 bytes each, together with `others` at most
    /// [`MAX_RECONCILED_DOCUMENTS`](crate::limits::MAX_RECONCILED_DOCUMENTS).
    stock: Vec<Stocked>,
    /// Name and row of every document that matters only if the subscriber holds it.
    others: Vec<(u128, Sequence)>,
    /// Bytes that the walk would take, for `stock` and for `others`.
    walk_bytes: (u64, u64),
    /// How many documents the subscriber holds; `None` before it has said so.
    documents: Option<u64>,
    /// The subscriber has said that it holds none, of whatever name.
    pub(crate) is_nothing_held: bool,
    /// It holds little of a wider range.
    is_little_held: bool,
    /// Symbols that were received and not yet compared.
    arrived: Vec<Symbol>,
    /// How many were received and asked for, in all.
    received: usize,
    requested: usize,
    sum: Option<Sum>,
    decoder: Decoder,
    /// Since when the subscriber has owed an answer; `None` before its turn has come, and when it owes nothing.
    pub(crate) waiting_since: Option<u64>,
    /// When everything is told, what has to be durable before that may be said.
    pub(crate) settles_when: Option<Sequence>,
    stage: Stage,
}

#[derive(Debug)]
struct Stocked {
    item: u128,
    /// Of its name.
    beginning: u64,
    row: Sequence,
}

#[derive(Debug)]
enum Stage {
    Stocktaking,
    Comparing,
    Telling(Difference),
}

#[derive(Debug, Default)]
struct Difference {
    /// Rows of what the subscriber lacks, for certain.
    lacking: VecDeque<Sequence>,
    /// Rows of what it lacks and is too long for a message.
    large: VecDeque<Sequence>,
    /// Items that the subscriber has been asked to name.
    asked: VecDeque<Vec<u128>>,
    /// Items that it holds and that are not ours, to be asked for.
    unnamed: Vec<u128>,
}

/// What a publisher has to do for a comparison.
#[derive(Debug)]
pub(crate) enum Next {
    /// Wait for the other peer.
    Wait,
    /// Come again in the next call.
    More,
    /// Send this, and come again.
    Ask(Inquiry),
    /// Send what [`Comparison::lacking`] yields, and come again.
    Send,
    /// The same with what [`Comparison::large`] yields, if that may be begun now; otherwise wait.
    SendLarge,
    /// Everything of the range is sent: [go on](Comparison::go_on) with the next, or settle.
    Over,
    /// Walk from the beginning instead.
    Walk,
}

impl Comparison {
    pub(crate) fn new(generation: u64, naming: Naming, fence: Sequence, has_ranges: bool) -> Self {
        Self {
            generation,
            interests: Vec::new(),
            fence,
            naming,
            has_ranges,
            range: NameRange::default(),
            is_announced: true,
            scan: None,
            has_graves: false,
            is_too_large: false,
            stock: Vec::new(),
            others: Vec::new(),
            walk_bytes: (0, 0),
            documents: None,
            is_nothing_held: false,
            is_little_held: false,
            arrived: Vec::new(),
            received: 0,
            requested: FIRST_SYMBOLS,
            sum: None,
            decoder: Decoder::default(),
            waiting_since: None,
            settles_when: None,
            stage: Stage::Stocktaking,
        }
    }

    /// Bytes of its stock and of its symbols.
    pub(crate) fn memory(&self) -> usize {
        size_of_val(&*self.stock)
            + size_of_val(&*self.others)
            + (self.arrived.len() + self.decoder.len()) * size_of::<Symbol>()
    }

    /// Whether the subscriber holds so many documents that an offer of each costs less than those that it need not be sent.
    pub(crate) fn is_mostly_held(&self) -> bool {
        self.documents.is_some_and(|documents| documents.saturating_mul(2) >= self.stock.len() as u64)
    }

    /// Whether the subscriber has taken stock.
    pub(crate) fn is_described(&self) -> bool {
        self.documents.is_some()
    }

    /// What the subscriber has said of what it holds is not true any more.
    pub(crate) fn disregard(&mut self) {
        self.documents = None;
        self.is_nothing_held = false;
    }

    /// A row that the subscriber lacks; each is returned once.
    pub(crate) fn lacking(&mut self) -> Option<Sequence> {
        match &mut self.stage {
            Stage::Telling(difference) => difference.lacking.pop_front(),
            _ => None,
        }
    }

    /// The row of a large document that the subscriber lacks; each is returned once.
    pub(crate) fn large(&mut self) -> Option<Sequence> {
        match &mut self.stage {
            Stage::Telling(difference) => difference.large.pop_front(),
            _ => None,
        }
    }

    /// A row that the subscriber lacks has a large document: its turn comes later.
    pub(crate) fn set_aside(&mut self, sequence: Sequence) {
        if let Stage::Telling(difference) = &mut self.stage {
            difference.large.push_back(sequence);
        }
    }

    /// Goes on with the next range; returns whether there is one.
    pub(crate) fn go_on(&mut self) -> bool {
        let Some(next) = self.range.next() else { return false };
        let naming = self.naming.clone();
        let mut comparison = Self::new(self.generation, naming, self.fence, self.has_ranges);
        comparison.interests = std::mem::take(&mut self.interests);
        (comparison.range, comparison.is_announced) = (next, false);
        comparison.is_nothing_held = self.is_nothing_held;
        *self = comparison;
        true
    }

    /// Takes stock of a part of the range only, of which the subscriber has said nothing yet.
    fn narrow(&mut self, range: NameRange) {
        let before = (self.stock.len(), self.others.len());
        self.stock.retain(|stocked| range.has(stocked.beginning));
        self.others.retain(|(name, _)| range.has(beginning(*name)));
        let share = |bytes: u64, left: usize, before: usize| bytes / before.max(1) as u64 * left as u64;
        self.walk_bytes.0 = share(self.walk_bytes.0, self.stock.len(), before.0);
        self.walk_bytes.1 = share(self.walk_bytes.1, self.others.len(), before.1);
        (self.range, self.is_announced) = (range, false);
        (self.documents, self.received, self.requested) = (None, 0, FIRST_SYMBOLS);
        self.arrived = Vec::new();
        self.waiting_since = None;
    }

    /// Whether the subscriber, which holds so many documents, holds so few of these that they may as well be sent again.
    fn is_little(&self, documents: u64) -> bool {
        documents.saturating_mul(LITTLE_HELD) < self.stock.len() as u64
    }

    fn is_full(&self, sizes: &Sizes) -> bool {
        self.stock.len() + self.others.len() >= sizes.reconciled_documents
    }

    /// The subscriber describes what it holds.
    pub(crate) fn symbols(&mut self, symbols: Symbols, now: u64) -> Result<(), CloseReason> {
        if self.has_ranges && symbols.range.is_first_part_of(self.range) && self.documents.is_none() {
            // It has taken stock in smaller pieces.
            self.narrow(symbols.range);
            self.is_announced = true;
        }
        if self.range.is_first_part_of(symbols.range) {
            // It does not know yet that this is too much for once; but it may hold so little that this does not matter.
            self.is_little_held |= !symbols.too_many && self.is_little(symbols.documents);
            self.is_nothing_held = symbols.nothing && symbols.documents == 0;
            return Ok(());
        }
        if self.range.is_after(symbols.range) {
            // Of that range, fewer than it was asked for were enough.
            return Ok(());
        }
        if symbols.range != self.range {
            return Err(Violation::Unexpected("range of symbols").into());
        }
        let received = self.received + symbols.symbols.len();
        let fits = symbols.first == self.received as u64
            && received <= self.requested
            && self.documents.is_none_or(|documents| documents == symbols.documents);
        if !fits || symbols.symbols.is_empty() && symbols.documents > 0 {
            return Err(Violation::Unexpected("symbols").into());
        }
        self.received = received;
        if matches!(self.stage, Stage::Telling(_)) {
            // Fewer than it was asked for were enough.
            return Ok(());
        }
        self.documents = Some(if symbols.too_many { TOO_MANY } else { symbols.documents });
        self.is_nothing_held = symbols.nothing && self.documents == Some(0);
        self.arrived.extend(symbols.symbols);
        self.waiting_since = Some(now).filter(|_| received < self.requested);
        Ok(())
    }

    /// The subscriber tells what it calls some documents.
    pub(crate) fn names(
        &mut self,
        names: &Names,
        replica: &dyn Replica,
        now: u64,
    ) -> Result<(), CloseReason> {
        let Stage::Telling(difference) = &mut self.stage else {
            return Err(Violation::Unexpected("names").into());
        };
        let Some(items) = difference.asked.pop_front().filter(|asked| asked.len() == names.names.len())
        else {
            return Err(Violation::Unexpected("names").into());
        };
        self.waiting_since = Some(now).filter(|_| !difference.asked.is_empty());
        for (item, name) in items.into_iter().zip(&names.names) {
            let found = self.others.binary_search_by_key(name, |(name, _)| *name).ok();
            let Some((_, sequence)) = found.and_then(|index| self.others.get(index)) else { continue };
            let Some(change) = row(*sequence, replica)? else { continue };
            let held = replica.held(&change.key)?;
            if held.is_some_and(|held| self.naming.item(*name, held.version) != item) {
                difference.lacking.push_back(*sequence);
            }
        }
        Ok(())
    }

    /// Does a bounded piece of work.
    pub(crate) fn work(
        &mut self,
        replica: &dyn Replica,
        sizes: &Sizes,
        now: u64,
    ) -> Result<Next, ReplicaError> {
        if matches!(self.stage, Stage::Stocktaking) {
            self.take_stock(replica, sizes)?;
            if !std::mem::replace(&mut self.is_announced, true) {
                return Ok(Next::Ask(self.inquiry()));
            }
            if self.is_little_held || self.documents.is_some_and(|documents| self.is_little(documents)) {
                return Ok(Next::Walk);
            }
            if self.is_too_large {
                if self.documents.is_some() {
                    return Ok(Next::Walk);
                }
                // What is walked for depends on how much is held there.
                self.waiting_since.get_or_insert(now);
                return Ok(Next::Wait);
            }
            if !self.scan.as_ref().is_some_and(Scan::is_over) {
                return Ok(Next::More);
            }
            self.others.sort_unstable();
            self.others.dedup();
            self.stage = Stage::Comparing;
        }
        if matches!(self.stage, Stage::Comparing) {
            if self.stock.is_empty() && self.others.is_empty() {
                return Ok(Next::Over);
            }
            match self.compare(sizes, now) {
                Ok(Some(next)) => return Ok(next),
                Ok(None) => {}
                Err(Inconsistent) => return Ok(Next::Walk),
            }
        }
        let Stage::Telling(difference) = &mut self.stage else { return Ok(Next::More) };
        if !difference.unnamed.is_empty() && difference.asked.len() < OPEN_INQUIRIES {
            let rest = difference.unnamed.len().saturating_sub(sizes.inquiry_items);
            let items = difference.unnamed.split_off(rest);
            difference.asked.push_back(items.clone());
            self.waiting_since.get_or_insert(now);
            let (generation, range) = (self.generation, self.range);
            return Ok(Next::Ask(Inquiry { generation, symbols: 0, items, range }));
        }
        Ok(match difference {
            Difference { lacking, .. } if !lacking.is_empty() => Next::Send,
            Difference { large, .. } if !large.is_empty() => Next::SendLarge,
            Difference { asked, .. } if !asked.is_empty() => Next::Wait,
            _ => Next::Over,
        })
    }

    fn take_stock(&mut self, replica: &dyn Replica, sizes: &Sizes) -> Result<(), ReplicaError> {
        let collections = || self.interests.iter().map(|(_, interest)| interest.collection.clone());
        let mut scan = self.scan.take().unwrap_or_else(|| Scan::new(collections()));
        let outcome = scan.read(replica, sizes, |key, held| self.take_in(&key, held, replica, sizes));
        if scan.is_over() && std::mem::take(&mut self.has_graves) {
            // One that was buried meanwhile is there twice.
            self.stock.sort_unstable_by_key(|stocked| stocked.item);
            self.stock.dedup_by_key(|stocked| stocked.item);
        }
        self.scan = Some(scan);
        outcome
    }

    /// Adds a document to the stock.
    fn take_in(
        &mut self,
        key: &DocumentKey,
        held: Held,
        replica: &dyn Replica,
        sizes: &Sizes,
    ) -> Result<(), ReplicaError> {
        let name = self.naming.name(key);
        let beginning = beginning(name);
        if !self.range.has(beginning) || held.newest > self.fence || self.is_too_large {
            return Ok(());
        }
        let of_collection = self.interests.iter().map(|(_, interest)| interest);
        let of_collection = of_collection.filter(|interest| interest.collection == key.collection);
        let found = if of_collection.clone().any(|interest| interest.unfiltered) {
            Some((held, true))
        } else {
            match_against(replica, key, of_collection)?
        };
        let Some((held, is_asked_for)) = found.filter(|(held, _)| held.newest <= self.fence) else {
            return Ok(());
        };
        while self.is_full(sizes) {
            match self.range.lower_half().filter(|_| self.has_ranges) {
                Some(half) => self.narrow(half),
                None => {
                    self.is_too_large = true;
                    return Ok(());
                }
            }
        }
        if !self.range.has(beginning) {
            return Ok(());
        }
        self.has_graves |= key.is_by_hash();
        if is_asked_for {
            let item = self.naming.item(name, held.version);
            self.stock.push(Stocked { item, beginning, row: held.newest });
            self.walk_bytes.0 += (held.value_bytes + key.id.len()) as u64 + DOCUMENT_BYTES;
        } else {
            self.others.push((name, held.newest));
            self.walk_bytes.1 += key.id.len() as u64 + OFFER_BYTES;
        }
        Ok(())
    }

    /// `None` when the difference is known.
    fn compare(&mut self, sizes: &Sizes, now: u64) -> Result<Option<Next>, Inconsistent> {
        let Some(documents) = self.documents else {
            self.waiting_since.get_or_insert(now);
            return Ok(Some(Next::Wait));
        };
        if documents == TOO_MANY || documents == 0 && self.range.prefix() == 0 {
            return Ok(Some(Next::Walk));
        }
        if documents == 0 {
            let lacking = in_order(self.stock.drain(..).map(|stocked| stocked.row).collect());
            self.tell(Difference { lacking, ..Difference::default() });
            return Ok(None);
        }
        if self.has_enough_symbols() {
            let (first, end) = (self.decoder.len(), self.received);
            let sum = self.sum.get_or_insert_with(|| Sum::new(first, end));
            if !sum.add(&self.stock, sizes, |stocked| stocked.item) {
                return Ok(Some(Next::More));
            }
            let ours = self.sum.take().map(Sum::finish).unwrap_or_default();
            let theirs: Vec<Symbol> = self.arrived.drain(..ours.len().min(self.arrived.len())).collect();
            self.decoder.extend(&ours, &theirs);
        }
        if self.decoder.peel(sizes.items_per_call)? {
            return Ok(Some(Next::More));
        }
        if self.has_enough_symbols() {
            return Ok(Some(Next::More));
        }
        if self.decoder.is_complete()? {
            let difference = self.difference()?;
            self.tell(difference);
            return Ok(None);
        }
        if self.decoder.len() < self.requested {
            return Ok(Some(Next::Wait));
        }
        let Some(symbols) = self.further_symbols(documents, sizes.symbols) else {
            return Ok(Some(Next::Walk));
        };
        self.requested = symbols;
        self.waiting_since = Some(now);
        Ok(Some(Next::Ask(self.inquiry())))
    }

    /// Up to which symbol the subscriber is to go.
    fn inquiry(&self) -> Inquiry {
        let (generation, range) = (self.generation, self.range);
        Inquiry { generation, symbols: self.requested as u64, items: Vec::new(), range }
    }

    /// Whether to look at those that have arrived, which costs a pass over all that is here: all of those that were asked for, or many.
    fn has_enough_symbols(&self) -> bool {
        let are_all = self.received >= self.requested;
        !self.arrived.is_empty() && (are_all || self.arrived.len() >= SYMBOLS_PER_MESSAGE)
    }

    /// Up to which symbol to ask next; `None` if the walk is cheaper.
    fn further_symbols(&self, documents: u64, most: usize) -> Option<usize> {
        let (received, ours) = (self.decoder.len(), self.stock.len() as u64);
        // What the subscriber says of its symbols may be anything; more than can be told is as good as everything.
        let estimate = self.decoder.estimate().min(MAX_RECONCILED_DOCUMENTS as u64 * 2);
        let certain = if received < ENOUGH_FOR_AN_ESTIMATE { estimate / 2 } else { estimate };
        let certain = certain.max(ours.abs_diff(documents));
        let lacking = ((certain + ours).saturating_sub(documents) / 2).min(ours);
        let (stock_bytes, other_bytes) = self.walk_bytes;
        let documents_bytes = stock_bytes / ours.max(1) * lacking;
        let names = if self.others.is_empty() { 0 } else { certain.saturating_sub(lacking) };
        let symbols_bytes = certain * SYMBOL_BYTES * 7 / 5;
        if documents_bytes + symbols_bytes + names * NAME_BYTES > stock_bytes + other_bytes {
            return None;
        }
        let least = received + (received / 8).max(FIRST_SYMBOLS);
        let likely = usize::try_from(estimate * 7 / 5).unwrap_or(usize::MAX).saturating_add(FIRST_SYMBOLS);
        let symbols = likely.clamp(least, received.saturating_mul(8).max(least));
        (symbols <= most).then_some(symbols)
    }

    /// All that the subscriber lacks of the range is known.
    fn tell(&mut self, difference: Difference) {
        self.stage = Stage::Telling(difference);
        self.waiting_since = None;
    }

    /// What follows from the decoded symbols.
    fn difference(&mut self) -> Result<Difference, Inconsistent> {
        let Decoder { ours, theirs, .. } = std::mem::take(&mut self.decoder);
        let lacked: HashSet<u128> = ours.into_iter().collect();
        let rows = self.stock.iter().filter(|stocked| lacked.contains(&stocked.item));
        let lacking: Vec<Sequence> = rows.map(|stocked| stocked.row).collect();
        self.stock = Vec::new();
        if lacking.len() != lacked.len() {
            return Err(Inconsistent);
        }
        let lacking = in_order(lacking);
        // What they hold and we do not is theirs to tell. But of what matters only if they hold it, they hold another
        // version, or none.
        let unnamed = if self.others.is_empty() { Vec::new() } else { theirs };
        Ok(Difference { lacking, unnamed, ..Difference::default() })
    }

    /// The interest under whose number a document is sent.
    pub(crate) fn interest(&self, key: &DocumentKey) -> Option<u64> {
        let of_collection = self.interests.iter().find(|(_, interest)| interest.collection == key.collection);
        of_collection.map(|(number, _)| *number)
    }
}

/// In the order of the change log: what was written together is told together.
fn in_order(mut rows: Vec<Sequence>) -> VecDeque<Sequence> {
    rows.sort_unstable();
    rows.into()
}

/// The row of a sequence, if the document has not changed since.
pub(crate) fn row(sequence: Sequence, replica: &dyn Replica) -> Result<Option<Change>, ReplicaError> {
    Ok(replica.changes(Sequence(sequence.0.saturating_sub(1)), sequence, 1)?.pop())
}
