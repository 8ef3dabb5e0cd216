//! Documents by way of an index: in the order of its rows, by `_id`, or in the order of ORDER BY.
//!
//! An index gives the order of ORDER BY group by group: rows of a group are equal in the fields that ORDER BY asks for.
//! Within a group documents are to come by `_id`, as they do without an index. Where they do not (an index is read
//! backward, or has further fields), the rows of the group are gathered first, as many as there is room for; for the others
//! the group is read again.

use std::ops::ControlFlow;

use ditto_dql::{Context, Expr};
use ditto_storage::Direction;
use ditto_value::{ValueRef, Writer};

use super::access::{Holds, Run, asked};
use super::found::Found;
use super::gathered::{First, Room};
use super::index_rows::{IndexRows, malformed};
use super::order;
use super::plan::{KeyRange, Ordered, Ranges, Scan};
use super::scope::of_document;
use crate::catalog::Collection;
use crate::error::StoreError;
use crate::index::Index;
use crate::layout;
use crate::write::parse_record;

type Flow = Result<ControlFlow<()>, StoreError>;

const GO_ON: Flow = Ok(ControlFlow::Continue(()));

/// Rows of a group that are gathered before it is read again the other way instead.
const MAX_GATHERED: usize = 1_024;

/// Rows of an index that is read whole, after which it is left if more than half of them do not spare their document.
const TRIED: usize = 256;

/// Length of the collection id at the front of a `documents` key.
const COLLECTION: usize = 4;

/// A row that waits for its turn.
struct Waiting {
    row: Vec<u8>,
    is_marked: bool,
}

/// Rows that are equal in the leading fields.
struct Group {
    /// What they all begin with.
    prefix: Vec<u8>,
    /// One of the fields is cut: the documents say more of the order.
    is_cut: bool,
    /// By `_id`; if a field is cut, in the order of ORDER BY before.
    rows: First<Waiting>,
    /// Too many rows: `rows` is given up, the group is read again.
    is_read_again: bool,
}

/// One scan while it runs.
pub(super) struct IndexScan<'s, 'r, 'e> {
    run: &'s mut Run<'r, 'e>,
    scan: &'s Scan,
    index: &'s Index,
    collection: &'s Collection,
    ranges: Ranges,
    /// Conditions that need not be asked again of rows that are not marked.
    answered: Vec<&'r Expr>,
    /// Rows that are not marked are documents of the statement, whatever else their documents say.
    is_whole: bool,
    /// The `documents` key of the row before.
    key: Vec<u8>,
    /// Writes what covering rows tell.
    writer: Writer,
    group: Option<Group>,
    /// How many rows were read, and how many of them are marked.
    tried: (usize, usize),
}

impl<'s, 'r, 'e> IndexScan<'s, 'r, 'e> {
    pub(super) fn new(
        run: &'s mut Run<'r, 'e>,
        scan: &'s Scan,
        index: &'s Index,
        collection: &'s Collection,
    ) -> Self {
        let filter = run.question.filter;
        let ranges = scan.ranges(filter, collection, &run.context);
        let answers = scan.answers().filter(|_| ranges.is_exact);
        let answered = answers.filter_map(|condition| condition.place.find(filter)).collect();
        let is_whole = ranges.is_exact && scan.is_whole(run.conjuncts.len());
        let key = layout::document_key(collection.id, &[]);
        let writer = Writer::new();
        Self {
            run,
            scan,
            index,
            collection,
            ranges,
            answered,
            is_whole,
            key,
            writer,
            group: None,
            tried: (0, 0),
        }
    }

    /// Offers every document of the scan, in the order in which its rows come, or as ORDER BY wants it.
    pub(super) fn in_order(mut self, rows: &IndexRows<'_>) -> Flow {
        let ranges = std::mem::take(&mut self.ranges.list);
        // To read documents one by one for more than half of the rows would take longer than to read them all in turn.
        let is_on_trial = self.scan.conditions.is_empty() && self.scan.ordered.is_none();
        let mut last_tried = None;
        let direction = if self.scan.backward { Direction::Backward } else { Direction::Forward };
        let in_turn: Box<dyn Iterator<Item = &KeyRange>> =
            if self.scan.backward { Box::new(ranges.iter().rev()) } else { Box::new(ranges.iter()) };
        for range in in_turn {
            let flow = rows.scan(self.index, range, direction, &mut |row, is_marked| {
                match self.scan.ordered {
                    // A row that is not marked has no cut field.
                    Some(ordered) if ordered.regroup || is_marked => {
                        self.sort_in(rows, &ranges, ordered, row, is_marked)
                    }
                    _ => {
                        if self.end_group(rows, &ranges)?.is_break() {
                            return Ok(ControlFlow::Break(()));
                        }
                        let flow = self.offer(row, is_marked)?;
                        if flow.is_continue() && is_on_trial && self.is_too_slow(is_marked) {
                            last_tried = Some(row.to_vec());
                            return Ok(ControlFlow::Break(()));
                        }
                        Ok(flow)
                    }
                }
            })?;
            if let Some(last) = &last_tried {
                let index = self.index;
                return self.run.everything(self.collection, &mut |key, record| {
                    let document = parse_record(record)?.value;
                    Ok(index.entry(layout::id_of_document_key(key), document).key <= *last)
                });
            }
            if flow.is_break() {
                return Ok(flow);
            }
        }
        self.end_group(rows, &ranges)
    }

    /// Whether too many rows have not spared the document until now.
    fn is_too_slow(&mut self, is_marked: bool) -> bool {
        self.tried.0 += 1;
        self.tried.1 += usize::from(is_marked);
        self.tried.0 >= TRIED && self.tried.1 > self.tried.0 / 2
    }

    /// Offers every document of the scan by `_id`. All rows are gathered first.
    pub(super) fn by_id(mut self, rows: &IndexRows<'_>) -> Flow {
        let mut waiting = Vec::new();
        let mut room = Room::new(self.run.plan.max_gathered);
        for range in std::mem::take(&mut self.ranges.list) {
            let flow = rows.scan(self.index, &range, Direction::Forward, &mut |row, is_marked| {
                waiting.push(Waiting { row: row.to_vec(), is_marked });
                Ok(room.take(row.len()))
            })?;
            if flow.is_break() {
                return self.run.everything(self.collection, &mut |_, _| Ok(false));
            }
        }
        let index = self.index;
        waiting.sort_by(|left, right| index.id_of(&left.row).cmp(&index.id_of(&right.row)));
        self.offer_all(waiting)
    }

    fn offer_all(&mut self, rows: impl IntoIterator<Item = Waiting>) -> Flow {
        for Waiting { row, is_marked } in rows {
            if self.offer(&row, is_marked)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        GO_ON
    }

    /// Puts a row into its group, which ends the one before.
    fn sort_in(
        &mut self,
        rows: &IndexRows<'_>,
        ranges: &[KeyRange],
        ordered: Ordered,
        row: &[u8],
        is_marked: bool,
    ) -> Flow {
        let mut end = self.index.fields_end(row, 0).ok_or_else(malformed)?;
        let mut is_cut = false;
        for number in 0..ordered.fields {
            let field = self.index.field_end(row, end, number).ok_or_else(malformed)?;
            end = field.end;
            is_cut = field.is_cut && number >= ordered.from;
            if is_cut {
                break;
            }
        }
        let prefix = row.get(..end).ok_or_else(malformed)?;
        if self.group.as_ref().is_none_or(|group| group.prefix != prefix)
            && self.end_group(rows, ranges)?.is_break()
        {
            return Ok(ControlFlow::Break(()));
        }
        if self.group.is_none() && !is_cut && !ordered.regroup {
            return self.offer(row, is_marked);
        }
        let mut group = self.group.take().unwrap_or_else(|| Group {
            prefix: prefix.to_vec(),
            is_cut,
            rows: First::new(self.run.plan.max_gathered),
            is_read_again: false,
        });
        if !group.is_read_again {
            self.gather(&mut group.rows, is_cut, row, is_marked)?;
            // Behind its prefix there is nothing but the `_id`: forward it comes in the right order.
            let can_be_read_again = !is_cut && ordered.fields == self.index.keys.len();
            if can_be_read_again && group.rows.len() > MAX_GATHERED {
                group.is_read_again = true;
                group.rows = First::new(0);
            }
        }
        self.group = Some(group);
        GO_ON
    }

    /// Puts a row where it comes within its group.
    fn gather(
        &self,
        rows: &mut First<Waiting>,
        is_cut: bool,
        row: &[u8],
        is_marked: bool,
    ) -> Result<(), StoreError> {
        let id = self.index.id_of(row).ok_or_else(malformed)?;
        let mut place = Vec::new();
        if is_cut {
            let key = layout::document_key(self.collection.id, id);
            let Some(record) = self.run.view.get(&key)? else { return Ok(()) };
            let document = of_document(&self.run.context, parse_record(&record)?.value);
            order::sort_key(self.run.question.order_by, &document, &mut place);
        }
        place.extend_from_slice(id);
        rows.offer(place, row.len(), Waiting { row: row.to_vec(), is_marked });
        Ok(())
    }

    /// Offers the documents of the group that was gathered, if there is one.
    fn end_group(&mut self, rows: &IndexRows<'_>, ranges: &[KeyRange]) -> Flow {
        let Some(group) = self.group.take() else { return GO_ON };
        let all = KeyRange::of_prefix(group.prefix);
        let parts: Vec<KeyRange> = ranges.iter().map(|range| range.intersection(&all)).collect();
        let mut next = (!group.is_read_again).then_some(group.rows);
        if next.is_none() {
            return self.each_row(rows, &parts, &mut |scan, row, is_marked| scan.offer(row, is_marked));
        }
        // Those that there was no room for are read again.
        while let Some(first) = next.take() {
            let (waiting, rest) = first.finish();
            if self.offer_all(waiting.into_iter().map(|(_, waiting)| waiting))?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            let Some(mut rest) = rest else { break };
            let _ = self.each_row(rows, &parts, &mut |scan, row, is_marked| {
                scan.gather(&mut rest, group.is_cut, row, is_marked)?;
                GO_ON
            })?;
            next = Some(rest);
        }
        GO_ON
    }

    /// Calls `each` with the rows in some ranges.
    fn each_row(
        &mut self,
        rows: &IndexRows<'_>,
        ranges: &[KeyRange],
        each: &mut dyn FnMut(&mut Self, &[u8], bool) -> Flow,
    ) -> Flow {
        for range in ranges {
            let flow = rows.scan(self.index, range, Direction::Forward, &mut |row, is_marked| {
                each(self, row, is_marked)
            })?;
            if flow.is_break() {
                return Ok(flow);
            }
        }
        GO_ON
    }

    /// Offers the document of a row.
    fn offer(&mut self, row: &[u8], is_marked: bool) -> Flow {
        if self.is_whole && !is_marked && self.run.skipped > 0 {
            self.run.pass_over()?;
            return GO_ON;
        }
        let Self { run, scan, index, answered, is_whole, ranges, writer, .. } = self;
        let holds = |conjunct: &Expr, row: &Context<'_>| {
            let is_answered = !is_marked && answered.iter().any(|answered| std::ptr::eq(*answered, conjunct));
            is_answered || asked(conjunct, row)
        };
        let holds: Option<&Holds<'_>> = if *is_whole && !is_marked { None } else { Some(&holds) };
        if let (Some(covering), false, true) = (&scan.covering, is_marked, ranges.is_exact) {
            writer.bytes_mut().clear();
            covering.write(index, row, writer).ok_or_else(malformed)?;
            let document = ValueRef::from_stored(writer.written_after(0));
            return run.offer(&Found::of_row(index, row, document), holds);
        }
        let id = index.id_of(row).ok_or_else(malformed)?;
        self.key.truncate(COLLECTION);
        self.key.extend_from_slice(id);
        let key = &self.key[..];
        let Some(record) = run.view.get(key)? else {
            tracing::warn!(index = &*index.name, "a row leads to no document; Store::verify tells more");
            return GO_ON;
        };
        run.offer_record(key, &record, holds)
    }
}
