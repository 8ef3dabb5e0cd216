// Copyright (c) 2024-present, fjall-rs
// This source code is licensed under both the Apache 2.0 and MIT License
// (found in the LICENSE-* files in the repository)

use crate::key::InternalKey;
use crate::{
    value::{InternalValue, SeqNo, UserKey, UserValue},
    ValueType,
};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

pub use crate::tree::inner::MemtableId;

/// DITTO PATCH: an internal key with the first 16 bytes of its user key as a number. Nearly all comparisons are decided
/// by it, without a look at a user key that lies elsewhere in memory. Of two writes of one batch to one user key, which
/// have the same sequence number, the second replaces the first, so the type of the value is not a part of the key.
#[derive(Clone)]
struct Key {
    prefix: u128,
    user_key: UserKey,
    seqno: SeqNo,
}

impl Key {
    fn new(key: InternalKey) -> Self {
        let mut prefix = [0; 16];
        for (to, from) in prefix.iter_mut().zip(&*key.user_key) {
            *to = *from;
        }
        Self {
            prefix: u128::from_be_bytes(prefix),
            user_key: key.user_key,
            seqno: key.seqno,
        }
    }
}

/// DITTO PATCH: bytes of memory that an item takes: its place in a node, of which two thirds are in use, and what is
/// allocated for a key or a value that does not fit into its place.
fn bytes_of(key: &UserKey, value: &UserValue) -> u64 {
    const IN_PLACE: usize = 20;
    const ALLOCATION: usize = 24;
    let allocated = |length: usize| if length > IN_PLACE { length + ALLOCATION } else { 0 };
    let place = 3 * (std::mem::size_of::<Key>() + std::mem::size_of::<(ValueType, UserValue)>()) / 2;
    (place + allocated(key.len()) + allocated(value.len())) as u64
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.prefix
            .cmp(&other.prefix)
            .then_with(|| self.user_key.cmp(&other.user_key))
            .then_with(|| other.seqno.cmp(&self.seqno))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key {}

type Items = BTreeMap<Key, (ValueType, UserValue)>;

/// The memtable serves as an intermediary, ephemeral, sorted storage for new items
///
/// When the Memtable exceeds some size, it should be flushed to a table.
pub struct Memtable {
    #[doc(hidden)]
    pub id: MemtableId,

    /// DITTO PATCH: was a lock-free skip list (crossbeam-skiplist), in which every step of a search is a miss of the
    /// cache, for the node and again for its key. Items are never changed or removed.
    items: RwLock<Items>,

    /// Approximate active memtable size.
    ///
    /// If this grows too large, a flush is triggered.
    pub(crate) approximate_size: AtomicU64,

    /// Highest encountered sequence number.
    ///
    /// This is used so that `get_highest_seqno` has O(1) complexity.
    pub(crate) highest_seqno: AtomicU64,

    pub(crate) requested_rotation: AtomicBool,
}

/// DITTO PATCH: the items of a range. They are taken out a few at a time, more with each time, so that those who write do
/// not wait for a whole scan. Who iterates may or may not see what is inserted meanwhile; it has a sequence number that
/// they do not ask for.
struct Range<'a> {
    memtable: &'a Memtable,
    /// What was not taken out yet.
    rest: Option<(Bound<Key>, Bound<Key>)>,
    /// Taken out from the front; the next one is last.
    front: Vec<InternalValue>,
    /// Taken out from the back; the next one is last.
    back: Vec<InternalValue>,
    /// How many are taken out the next time.
    chunk: usize,
}

const FIRST_CHUNK: usize = 4;
const LARGEST_CHUNK: usize = 256;

fn to_item((key, (value_type, value)): (&Key, &(ValueType, UserValue))) -> InternalValue {
    InternalValue {
        key: InternalKey {
            user_key: key.user_key.clone(),
            seqno: key.seqno,
            value_type: *value_type,
        },
        value: value.clone(),
    }
}

/// Whether a range ends before it starts, for which ordered maps panic.
fn is_reversed(low: &Bound<Key>, high: &Bound<Key>) -> bool {
    match (low, high) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(low), Bound::Included(high)) => low > high,
        (Bound::Included(low) | Bound::Excluded(low), Bound::Included(high) | Bound::Excluded(high)) => {
            low >= high
        }
    }
}

impl Range<'_> {
    fn grow(&mut self) -> usize {
        let chunk = self.chunk;
        self.chunk = (chunk * 4).min(LARGEST_CHUNK);
        chunk
    }

    fn fill_front(&mut self) {
        let Some((low, high)) = self.rest.take() else {
            return;
        };
        let chunk = self.grow();
        {
            let items = self.memtable.read();
            self.front
                .extend(items.range((low, high.clone())).take(chunk).map(to_item));
        }
        if self.front.len() == chunk {
            if let Some(last) = self.front.last() {
                let low = Bound::Excluded(Key::new(last.key.clone()));
                self.rest = (!is_reversed(&low, &high)).then_some((low, high));
            }
        }
        self.front.reverse();
    }

    fn fill_back(&mut self) {
        let Some((low, high)) = self.rest.take() else {
            return;
        };
        let chunk = self.grow();
        {
            let items = self.memtable.read();
            self.back.extend(
                items
                    .range((low.clone(), high))
                    .rev()
                    .take(chunk)
                    .map(to_item),
            );
        }
        if self.back.len() == chunk {
            if let Some(last) = self.back.last() {
                let high = Bound::Excluded(Key::new(last.key.clone()));
                self.rest = (!is_reversed(&low, &high)).then_some((low, high));
            }
        }
        self.back.reverse();
    }
}

impl Iterator for Range<'_> {
    type Item = InternalValue;

    fn next(&mut self) -> Option<InternalValue> {
        if self.front.is_empty() {
            self.fill_front();
        }
        if let Some(item) = self.front.pop() {
            return Some(item);
        }
        // What is left was taken out from the other end.
        (!self.back.is_empty()).then(|| self.back.remove(0))
    }
}

impl DoubleEndedIterator for Range<'_> {
    fn next_back(&mut self) -> Option<InternalValue> {
        if self.back.is_empty() {
            self.fill_back();
        }
        if let Some(item) = self.back.pop() {
            return Some(item);
        }
        (!self.front.is_empty()).then(|| self.front.remove(0))
    }
}

impl Memtable {
    /// Returns the memtable ID.
    pub fn id(&self) -> MemtableId {
        self.id
    }

    /// Returns `true` if the memtable was already flagged for rotation.
    pub fn is_flagged_for_rotation(&self) -> bool {
        self.requested_rotation
            .load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Flags the memtable as requested for rotation.
    pub fn flag_rotated(&self) {
        self.requested_rotation
            .store(true, std::sync::atomic::Ordering::Relaxed);
    }

    #[doc(hidden)]
    #[must_use]
    pub fn new(id: MemtableId) -> Self {
        Self {
            id,
            items: RwLock::default(),
            approximate_size: AtomicU64::default(),
            highest_seqno: AtomicU64::default(),
            requested_rotation: AtomicBool::default(),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Items> {
        // Nothing that is done while the lock is held can panic half-way.
        self.items.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates an iterator over all items.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = InternalValue> + '_ {
        self.range(..)
    }

    /// Creates an iterator over a range of items.
    pub(crate) fn range<'a, R: RangeBounds<InternalKey> + 'a>(
        &'a self,
        range: R,
    ) -> impl DoubleEndedIterator<Item = InternalValue> + 'a {
        let low = range.start_bound().cloned().map(Key::new);
        let high = range.end_bound().cloned().map(Key::new);
        Range {
            memtable: self,
            rest: (!is_reversed(&low, &high)).then_some((low, high)),
            front: Vec::new(),
            back: Vec::new(),
            chunk: FIRST_CHUNK,
        }
    }

    /// Returns the item by key if it exists.
    ///
    /// The item with the highest seqno will be returned, if `seqno` is None.
    #[doc(hidden)]
    pub fn get(&self, key: &[u8], seqno: SeqNo) -> Option<InternalValue> {
        if seqno == 0 {
            return None;
        }

        // NOTE: This range start deserves some explanation...
        // InternalKeys are multi-sorted by 2 categories: user_key and Reverse(seqno). (tombstone doesn't really matter)
        // We search for the lowest entry that is greater or equal the user's prefix key
        // and has the seqno (or lower) we want (because the seqno is stored in reverse order)
        //
        // Example: We search for "abc"
        //
        // key -> seqno
        //
        // a   -> 7
        // abc -> 5 <<< This is the lowest key (highest seqno) that matches the key with seqno=None
        // abc -> 4
        // abc -> 3 <<< If searching for abc and seqno=4, we would get this
        // abcdef -> 6
        // abcdef -> 5
        //
        let lower_bound = Key::new(InternalKey::new(key, seqno - 1, ValueType::Value));

        let items = self.read();
        let (found, value) = items.range(lower_bound..).next()?;
        (*found.user_key == *key).then(|| to_item((found, value)))
    }

    /// Gets approximate size of memtable in bytes.
    pub fn size(&self) -> u64 {
        self.approximate_size
            .load(std::sync::atomic::Ordering::Acquire)
    }

    /// Counts the number of items in the memtable.
    pub fn len(&self) -> usize {
        self.read().len()
    }

    /// Returns `true` if the memtable is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.read().is_empty()
    }

    /// Inserts an item into the memtable
    #[doc(hidden)]
    pub fn insert(&self, item: InternalValue) -> (u64, u64) {
        let item_size = bytes_of(&item.key.user_key, &item.value);

        let size_before = self
            .approximate_size
            .fetch_add(item_size, std::sync::atomic::Ordering::AcqRel);

        let key = Key::new(InternalKey::new(
            item.key.user_key,
            item.key.seqno,
            item.key.value_type,
        ));
        self.items
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, (item.key.value_type, item.value));

        self.highest_seqno
            .fetch_max(item.key.seqno, std::sync::atomic::Ordering::AcqRel);

        (item_size, size_before + item_size)
    }

    /// Returns the highest sequence number in the memtable.
    pub fn get_highest_seqno(&self) -> Option<SeqNo> {
        if self.is_empty() {
            None
        } else {
            Some(
                self.highest_seqno
                    .load(std::sync::atomic::Ordering::Acquire),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ValueType;
    use test_log::test;

    #[test]
    #[expect(clippy::unwrap_used)]
    fn memtable_mvcc_point_read() {
        let memtable = Memtable::new(0);

        memtable.insert(InternalValue::from_components(
            *b"hello-key-999991",
            *b"hello-value-999991",
            0,
            ValueType::Value,
        ));

        let item = memtable.get(b"hello-key-99999", SeqNo::MAX);
        assert_eq!(None, item);

        let item = memtable.get(b"hello-key-999991", SeqNo::MAX);
        assert_eq!(*b"hello-value-999991", &*item.unwrap().value);

        memtable.insert(InternalValue::from_components(
            *b"hello-key-999991",
            *b"hello-value-999991-2",
            1,
            ValueType::Value,
        ));

        let item = memtable.get(b"hello-key-99999", SeqNo::MAX);
        assert_eq!(None, item);

        let item = memtable.get(b"hello-key-999991", SeqNo::MAX);
        assert_eq!((*b"hello-value-999991-2"), &*item.unwrap().value);

        let item = memtable.get(b"hello-key-99999", 1);
        assert_eq!(None, item);

        let item = memtable.get(b"hello-key-999991", 1);
        assert_eq!((*b"hello-value-999991"), &*item.unwrap().value);

        let item = memtable.get(b"hello-key-99999", 2);
        assert_eq!(None, item);

        let item = memtable.get(b"hello-key-999991", 2);
        assert_eq!((*b"hello-value-999991-2"), &*item.unwrap().value);
    }

    #[test]
    fn memtable_get() {
        let memtable = Memtable::new(0);

        let value =
            InternalValue::from_components(b"abc".to_vec(), b"abc".to_vec(), 0, ValueType::Value);

        memtable.insert(value.clone());

        assert_eq!(Some(value), memtable.get(b"abc", SeqNo::MAX));
    }

    #[test]
    fn memtable_get_highest_seqno() {
        let memtable = Memtable::new(0);

        memtable.insert(InternalValue::from_components(
            b"abc".to_vec(),
            b"abc".to_vec(),
            0,
            ValueType::Value,
        ));
        memtable.insert(InternalValue::from_components(
            b"abc".to_vec(),
            b"abc".to_vec(),
            1,
            ValueType::Value,
        ));
        memtable.insert(InternalValue::from_components(
            b"abc".to_vec(),
            b"abc".to_vec(),
            2,
            ValueType::Value,
        ));
        memtable.insert(InternalValue::from_components(
            b"abc".to_vec(),
            b"abc".to_vec(),
            3,
            ValueType::Value,
        ));
        memtable.insert(InternalValue::from_components(
            b"abc".to_vec(),
            b"abc".to_vec(),
            4,
            ValueType::Value,
        ));

        assert_eq!(
            Some(InternalValue::from_components(
                b"abc".to_vec(),
                b"abc".to_vec(),
                4,
                ValueType::Value,
            )),
            memtable.get(b"abc", SeqNo::MAX)
        );
    }

    #[test]
    fn memtable_get_prefix() {
        let memtable = Memtable::new(0);

        memtable.insert(InternalValue::from_components(
            b"abc0".to_vec(),
            b"abc".to_vec(),
            0,
            ValueType::Value,
        ));
        memtable.insert(InternalValue::from_components(
            b"abc".to_vec(),
            b"abc".to_vec(),
            255,
            ValueType::Value,
        ));

        assert_eq!(
            Some(InternalValue::from_components(
                b"abc".to_vec(),
                b"abc".to_vec(),
                255,
                ValueType::Value,
            )),
            memtable.get(b"abc", SeqNo::MAX)
        );

        assert_eq!(
            Some(InternalValue::from_components(
                b"abc0".to_vec(),
                b"abc".to_vec(),
                0,
                ValueType::Value,
            )),
            memtable.get(b"abc0", SeqNo::MAX)
        );
    }

    #[test]
    fn memtable_get_old_version() {
        let memtable = Memtable::new(0);

        memtable.insert(InternalValue::from_components(
            b"abc".to_vec(),
            b"abc".to_vec(),
            0,
            ValueType::Value,
        ));
        memtable.insert(InternalValue::from_components(
            b"abc".to_vec(),
            b"abc".to_vec(),
            99,
            ValueType::Value,
        ));
        memtable.insert(InternalValue::from_components(
            b"abc".to_vec(),
            b"abc".to_vec(),
            255,
            ValueType::Value,
        ));

        assert_eq!(
            Some(InternalValue::from_components(
                b"abc".to_vec(),
                b"abc".to_vec(),
                255,
                ValueType::Value,
            )),
            memtable.get(b"abc", SeqNo::MAX)
        );

        assert_eq!(
            Some(InternalValue::from_components(
                b"abc".to_vec(),
                b"abc".to_vec(),
                99,
                ValueType::Value,
            )),
            memtable.get(b"abc", 100)
        );

        assert_eq!(
            Some(InternalValue::from_components(
                b"abc".to_vec(),
                b"abc".to_vec(),
                0,
                ValueType::Value,
            )),
            memtable.get(b"abc", 50)
        );
    }
}
