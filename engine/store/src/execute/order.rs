//! ORDER BY, and the best few of many rows without keeping the others.

use std::collections::BinaryHeap;

use ditto_dql::{Context, Item, SortItem};
use ditto_value::key;

/// Appends the sort key of a row: bytes that compare as the rows are to be ordered.
pub(crate) fn sort_key<'a>(items: &'a [SortItem], context: &Context<'a>, out: &mut Vec<u8>) {
    for item in items {
        let start = out.len();
        encode_item(&item.expr.evaluate(context), out);
        if item.descending {
            out.iter_mut().skip(start).for_each(|byte| *byte = !*byte);
        }
    }
}

/// Appends the key of a value, MISSING behind all others.
pub(crate) fn encode_item(item: &Item<'_>, out: &mut Vec<u8>) {
    match item {
        Item::Missing => out.push(key::MISSING),
        Item::Ref(value) => key::encode(*value, out),
        Item::Borrowed(value) => key::encode(*value, out),
        Item::Owned(value) => key::encode(value, out),
    }
}

/// Something with its sort key; equal keys keep the order of arrival.
struct Keyed<T> {
    key: Vec<u8>,
    arrival: u64,
    item: T,
}

impl<T> PartialEq for Keyed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Keyed<T> {}

impl<T> PartialOrd for Keyed<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Keyed<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key).then(self.arrival.cmp(&other.arrival))
    }
}

/// Sorts what it is given; with a bound, it keeps only so many of the first.
pub(crate) struct Sorter<T> {
    heap: BinaryHeap<Keyed<T>>,
    bound: usize,
    arrivals: u64,
}

impl<T> Sorter<T> {
    /// `bound`: how many are wanted at most.
    pub(crate) fn new(bound: usize) -> Self {
        Self { heap: BinaryHeap::new(), bound, arrivals: 0 }
    }

    /// Offers something. `item` is called only if it is among the first so far.
    pub(crate) fn offer(&mut self, key: &[u8], item: impl FnOnce() -> T) {
        let arrival = self.arrivals;
        self.arrivals += 1;
        if self.heap.len() >= self.bound {
            match self.heap.peek() {
                Some(greatest) if *key < *greatest.key => {}
                _ => return,
            }
            self.heap.pop();
        }
        self.heap.push(Keyed { key: key.to_vec(), arrival, item: item() });
    }

    /// All that was kept, in order.
    pub(crate) fn finish(self) -> impl Iterator<Item = T> {
        self.heap.into_sorted_vec().into_iter().map(|keyed| keyed.item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bounded_sorter_keeps_the_first_and_the_order_of_arrival() {
        let mut sorter = Sorter::new(3);
        for (key, item) in [(5, 'a'), (1, 'b'), (3, 'c'), (1, 'd'), (9, 'e'), (3, 'f')] {
            sorter.offer(&[key], || item);
        }
        assert_eq!(sorter.finish().collect::<String>(), "bdc");
        let mut none = Sorter::new(0);
        none.offer(&[1], || panic!("nothing is wanted"));
        assert_eq!(none.finish().count(), 0);
    }
}
