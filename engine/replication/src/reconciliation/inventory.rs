//! The subscriber's side: what it holds, told in symbols.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::name_range::{NameRange, beginning};
use super::naming::Naming;
use super::stock::{Scan, Sum};
use crate::capabilities::RANGES;
use crate::event::{CloseReason, Violation};
use crate::limits::{FIRST_SYMBOLS, MAX_SYMBOL_INQUIRIES, MAX_SYMBOLS};
use crate::message::{Inquiry, Message, Names, Symbols};
use crate::turn::{Counterpart, Turn};

/// All documents of some collections that this peer holds, deleted ones included, by their hashes.
#[derive(Debug)]
pub(crate) struct Inventory {
    pub(crate) generation: u64,
    naming: Naming,
    collections: BTreeSet<Arc<str>>,
    /// Whether it has any documents, in whatever range.
    holds_any: bool,
    /// What all of the following is about.
    range: NameRange,
    /// `None` before its turn has come.
    scan: Option<Scan>,
    /// Item and name of each document: 32 bytes, for at most [`MAX_RECONCILED_DOCUMENTS`](crate::limits::MAX_RECONCILED_DOCUMENTS).
    stock: Vec<(u128, u128)>,
    is_too_large: bool,
    /// Buried documents are in the stock: one that was buried while it was taken is there twice until the end.
    has_graves: bool,
    is_sorted: bool,
    sum: Option<Sum>,
    /// Symbols that were sent, and that are wanted.
    sent: usize,
    wanted: usize,
    /// Messages that asked for more symbols.
    inquiries: usize,
    /// Items whose names are asked for, and how many were until now.
    questions: VecDeque<Vec<u128>>,
    questioned: usize,
}

impl Inventory {
    pub(crate) fn new(generation: u64, naming: Naming) -> Self {
        Self {
            generation,
            naming,
            collections: BTreeSet::new(),
            holds_any: false,
            range: NameRange::default(),
            scan: None,
            stock: Vec::new(),
            is_too_large: false,
            has_graves: false,
            is_sorted: false,
            sum: None,
            sent: 0,
            wanted: FIRST_SYMBOLS,
            inquiries: 0,
            questions: VecDeque::new(),
            questioned: 0,
        }
    }

    /// Bytes of its stock.
    pub(crate) fn memory(&self) -> usize {
        size_of_val(&*self.stock)
    }

    /// Documents of this collection belong to it as well.
    pub(crate) fn include(&mut self, collection: Arc<str>) {
        self.collections.insert(collection);
    }

    /// From now on it is about another range.
    fn go_on_with(&mut self, range: NameRange) {
        let Self {
            generation, naming, collections, holds_any, range: before, scan, stock, has_graves, ..
        } = self;
        let mut next = Self::new(*generation, naming.clone());
        (next.collections, next.holds_any, next.range) = (std::mem::take(collections), *holds_any, range);
        if range.is_first_part_of(*before) {
            (next.scan, next.stock) = (scan.take(), std::mem::take(stock));
            next.stock.retain(|(_, name)| range.has(beginning(*name)));
            next.has_graves = *has_graves;
        }
        *self = next;
    }

    /// The publisher wants to know more.
    pub(crate) fn inquiry(&mut self, inquiry: Inquiry) -> Result<(), CloseReason> {
        if inquiry.range.is_first_part_of(self.range) || inquiry.range.is_after(self.range) {
            self.go_on_with(inquiry.range);
        }
        if inquiry.range != self.range {
            // It does not know yet in which smaller pieces this peer has taken stock.
            return Ok(());
        }
        self.questioned += inquiry.items.len();
        let wanted = usize::try_from(inquiry.symbols).unwrap_or(usize::MAX);
        if wanted > MAX_SYMBOLS || self.questioned > MAX_SYMBOLS {
            return Err(Violation::Limit("symbols").into());
        }
        self.inquiries += usize::from(wanted > self.wanted);
        if self.inquiries > MAX_SYMBOL_INQUIRIES {
            return Err(Violation::Limit("inquiries for symbols").into());
        }
        self.wanted = self.wanted.max(wanted);
        if !inquiry.items.is_empty() {
            self.questions.push_back(inquiry.items);
        }
        Ok(())
    }

    /// Does a bounded piece of what is to be done; returns whether that was not all of it.
    pub(crate) fn work(
        &mut self,
        counterpart: &mut Counterpart,
        turn: &Turn<'_>,
    ) -> Result<bool, CloseReason> {
        let sizes = counterpart.sizes;
        let has_ranges = counterpart.can(RANGES);
        let Self { naming, collections, holds_any, range, stock, is_too_large, has_graves, .. } = self;
        let scan = self.scan.get_or_insert_with(|| Scan::new(collections.iter().cloned()));
        if !scan.is_over() {
            scan.read(turn.replica, &sizes, |key, held| {
                *holds_any = true;
                let name = naming.name(&key);
                if !range.has(beginning(name)) || *is_too_large {
                    return Ok(());
                }
                while stock.len() >= sizes.reconciled_documents && !*is_too_large {
                    match range.lower_half().filter(|_| has_ranges) {
                        Some(half) => {
                            *range = half;
                            stock.retain(|(_, name)| half.has(beginning(*name)));
                        }
                        None => (*is_too_large, *stock) = (true, Vec::new()),
                    }
                }
                if range.has(beginning(name)) && !*is_too_large {
                    stock.push((naming.item(name, held.version), name));
                    *has_graves |= key.is_by_hash();
                }
                Ok(())
            })?;
            if !scan.is_over() {
                return Ok(true);
            }
            if *has_graves {
                // One that was buried meanwhile is there twice.
                self.sort();
                self.stock.dedup();
            }
        }
        if counterpart.outbox.bytes() > sizes.queue_bytes {
            return Ok(true);
        }
        if self.sent < self.wanted {
            self.describe(counterpart);
        } else if let Some(items) = self.questions.pop_front() {
            self.name(&items, counterpart);
        }
        Ok(self.sent < self.wanted || !self.questions.is_empty())
    }

    /// Sends the next symbols, once everything is added up.
    fn describe(&mut self, counterpart: &mut Counterpart) {
        let mut message = Symbols {
            generation: self.generation,
            first: self.sent as u64,
            documents: self.stock.len() as u64,
            symbols: Vec::new(),
            nothing: !self.holds_any,
            too_many: self.is_too_large,
            range: self.range,
        };
        if self.stock.is_empty() {
            // Nothing, or more than can be told: no symbols, whatever is wanted.
            self.wanted = 0;
            return counterpart.send(&Message::Symbols(message));
        }
        let end = self.wanted.min(self.sent + counterpart.sizes.symbols_per_message);
        let sum = self.sum.get_or_insert_with(|| Sum::new(self.sent, end));
        if !sum.add(&self.stock, &counterpart.sizes, |(item, _)| *item) {
            return;
        }
        message.symbols = self.sum.take().map(Sum::finish).unwrap_or_default();
        self.sent += message.symbols.len();
        counterpart.send(&Message::Symbols(message));
    }

    fn sort(&mut self) {
        if !std::mem::replace(&mut self.is_sorted, true) {
            self.stock.sort_unstable();
        }
    }

    /// Tells the names of some documents; 0 for what there is not.
    fn name(&mut self, items: &[u128], counterpart: &mut Counterpart) {
        self.sort();
        let find = |item: &u128| {
            let found = self.stock.binary_search_by_key(item, |(item, _)| *item).ok();
            found.and_then(|index| self.stock.get(index)).map_or(0, |(_, name)| *name)
        };
        let names = items.iter().map(find).collect();
        counterpart.send(&Message::Names(Names { generation: self.generation, names }));
    }
}

#[cfg(test)]
mod tests {
    use ditto_crdt::{RunId, Sequence};

    use super::*;

    #[test]
    fn each_range_has_as_many_inquiries_and_questions() -> Result<(), CloseReason> {
        let mut inventory = Inventory::new(1, Naming::new(RunId(1), Sequence(1), 1));
        for prefix in 0..64 {
            let range = NameRange::new(6, prefix).unwrap_or_default();
            for symbols in [16, 32, 64, 128] {
                inventory.inquiry(Inquiry { generation: 1, symbols, range, items: vec![1; 4_096] })?;
            }
        }
        Ok(())
    }

    #[test]
    fn symbols_are_not_asked_for_one_by_one() -> Result<(), CloseReason> {
        let ask = |symbols| Inquiry { generation: 1, symbols, ..Inquiry::default() };
        let naming = || Naming::new(RunId(1), Sequence(1), 1);
        let mut patient = Inventory::new(1, naming());
        let mut symbols = FIRST_SYMBOLS as u64;
        while symbols < MAX_SYMBOLS as u64 {
            symbols = (symbols + (symbols / 8).max(FIRST_SYMBOLS as u64)).min(MAX_SYMBOLS as u64);
            patient.inquiry(ask(symbols))?;
            patient.inquiry(ask(symbols))?;
        }
        let mut greedy = Inventory::new(1, naming());
        let first = FIRST_SYMBOLS as u64 + 1;
        let refused = (first..first + 1_000).find(|symbols| greedy.inquiry(ask(*symbols)).is_err());
        assert_eq!(refused, Some(first + MAX_SYMBOL_INQUIRIES as u64));
        Ok(())
    }
}
