//! The documents that a transaction changed, by key.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::ops::{Bound, RangeBounds};

use ditto_crdt::Sequence;
use ditto_storage::Bytes;

/// A document that a transaction changed.
#[derive(Clone, Default)]
pub(crate) struct Pending {
    /// The record before the transaction.
    pub before: Option<Bytes>,
    /// The record now. Once evicted: what is left of it, a record of which only removed births are, or `None`.
    pub after: Option<Bytes>,
    pub evicted: bool,
    /// `None` while nothing but an eviction happened to it.
    pub sequence: Option<Sequence>,
    pub origin: Option<u64>,
}

/// The documents that a transaction changed.
///
/// Most transactions change one, which needs no tree: the first node of one has room for eleven.
#[derive(Default)]
pub(crate) struct PendingDocuments {
    /// The only one, while there is no other.
    single: Option<(Bytes, Pending)>,
    several: BTreeMap<Bytes, Pending>,
}

impl PendingDocuments {
    pub(crate) fn len(&self) -> usize {
        usize::from(self.single.is_some()) + self.several.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&Pending> {
        match &self.single {
            Some((own, pending)) => (**own == *key).then_some(pending),
            None => self.several.get(key),
        }
    }

    /// What stands under `key`, put there by `new` if nothing does: then `true`.
    pub(crate) fn get_or_insert_with(
        &mut self,
        key: &Bytes,
        new: impl FnOnce() -> Pending,
    ) -> (&mut Pending, bool) {
        if self.is_empty() {
            return (&mut self.single.insert((key.clone(), new())).1, true);
        }
        if let Some((own, pending)) = self.single.take_if(|(own, _)| own != key) {
            self.several.insert(own, pending);
        }
        match &mut self.single {
            Some((_, pending)) => (pending, false),
            None => match self.several.entry(key.clone()) {
                btree_map::Entry::Occupied(entry) => (entry.into_mut(), false),
                btree_map::Entry::Vacant(entry) => (entry.insert(new()), true),
            },
        }
    }

    /// Puts back what was there before, or nothing.
    pub(crate) fn restore(&mut self, key: Bytes, pending: Option<Pending>) {
        if self.single.as_ref().is_some_and(|(own, _)| *own == key) {
            self.single = None;
        }
        match pending {
            Some(pending) => *self.get_or_insert_with(&key, Pending::default).0 = pending,
            None => drop(self.several.remove(&key)),
        }
    }

    /// All of them by key.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Bytes, &Pending)> {
        self.single.iter().map(|(key, pending)| (key, pending)).chain(&self.several)
    }

    /// Those in a range of keys, by key.
    pub(crate) fn range<'p>(
        &'p self,
        (low, high): (Bound<&'p [u8]>, Bound<&'p [u8]>),
    ) -> impl DoubleEndedIterator<Item = (&'p Bytes, &'p Pending)> {
        let single = self.single.iter().map(|(key, pending)| (key, pending));
        let single = single.filter(move |(key, _)| (low, high).contains(&***key));
        // Ordered maps panic on a range that ends before it starts.
        let is_empty = match (low, high) {
            (Bound::Included(low) | Bound::Excluded(low), Bound::Included(high) | Bound::Excluded(high)) => {
                high <= low
            }
            _ => false,
        };
        let several = (!is_empty).then(|| self.several.range::<[u8], _>((low, high)));
        single.chain(several.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(sequence: u64) -> Pending {
        Pending { sequence: Some(Sequence(sequence)), ..Pending::default() }
    }

    fn content(documents: &PendingDocuments) -> Vec<(Vec<u8>, u64)> {
        let sequence = |pending: &Pending| pending.sequence.map_or(0, |sequence| sequence.0);
        documents.iter().map(|(key, pending)| (key.to_vec(), sequence(pending))).collect()
    }

    #[test]
    fn one_or_several_are_found_by_key_and_come_in_its_order() {
        let mut documents = PendingDocuments::default();
        for (number, key) in [b"b", b"c", b"a", b"b"].into_iter().enumerate() {
            let key = Bytes::from(key);
            let (found, new) = documents.get_or_insert_with(&key, || pending(number as u64 + 1));
            assert_eq!((found.sequence.is_some(), new), (true, number < 3));
            assert!(documents.get(&key).is_some() && documents.get(b"d").is_none());
        }
        assert_eq!(content(&documents), [(b"a".to_vec(), 3), (b"b".to_vec(), 1), (b"c".to_vec(), 2)]);
        let from = |low: &'static [u8]| (Bound::Included(low), Bound::Excluded(&b"c"[..]));
        assert_eq!(documents.range(from(b"b")).count(), 1);
        assert_eq!(documents.range(from(b"a")).rev().count(), 2);
        assert_eq!(documents.range(from(b"d")).count(), 0);
        assert_eq!((documents.len(), documents.is_empty()), (3, false));
    }

    #[test]
    fn what_was_there_is_restored() {
        let mut documents = PendingDocuments::default();
        let (a, b) = (Bytes::from(b"a"), Bytes::from(b"b"));
        documents.get_or_insert_with(&a, || pending(1));
        documents.restore(a.clone(), Some(pending(7)));
        assert_eq!(content(&documents), [(b"a".to_vec(), 7)]);
        documents.restore(a.clone(), None);
        assert!(documents.is_empty());
        documents.get_or_insert_with(&b, || pending(2));
        documents.get_or_insert_with(&a, || pending(1));
        documents.restore(b, None);
        assert_eq!(content(&documents), [(b"a".to_vec(), 1)]);
        documents.restore(a, None);
        assert!(documents.is_empty());
    }
}
