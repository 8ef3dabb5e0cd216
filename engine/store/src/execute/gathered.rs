//! What is gathered before the first document is read, within bounds.

use std::ops::ControlFlow;

/// What something that is gathered takes besides its bytes: its place in a collection, and allocations.
const OVERHEAD: usize = 64;

/// Room for so many bytes.
pub(super) struct Room {
    left: usize,
    is_used_up: bool,
}

impl Room {
    pub(super) fn new(bytes: usize) -> Self {
        Self { left: bytes, is_used_up: false }
    }

    /// Takes room for something of this length. Breaks if there is none left.
    pub(super) fn take(&mut self, length: usize) -> ControlFlow<()> {
        match self.left.checked_sub(length.saturating_add(OVERHEAD)) {
            Some(left) => {
                self.left = left;
                ControlFlow::Continue(())
            }
            None => {
                self.is_used_up = true;
                ControlFlow::Break(())
            }
        }
    }

    /// Whether it was asked for more than there was.
    pub(super) fn is_used_up(&self) -> bool {
        self.is_used_up
    }
}

/// The first of many items in the order of their keys, as many as there is room for.
pub(super) struct First<T> {
    bytes: usize,
    room: Room,
    /// Not in order while more are coming.
    items: Vec<(Vec<u8>, T)>,
    /// Only items behind this key are taken.
    after: Option<Vec<u8>>,
    /// There was no room for some; all up to this key are here.
    until: Option<Vec<u8>>,
}

impl<T> First<T> {
    pub(super) fn new(bytes: usize) -> Self {
        Self { bytes, room: Room::new(bytes), items: Vec::new(), after: None, until: None }
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// Takes an item, of this length besides its key. Keys are distinct.
    pub(super) fn offer(&mut self, key: Vec<u8>, length: usize, item: T) {
        let is_done = self.after.as_ref().is_some_and(|after| key <= *after);
        if is_done || self.until.as_ref().is_some_and(|until| key > *until) {
            return;
        }
        let flow = self.room.take(key.len() + length);
        self.items.push((key, item));
        if flow.is_break() && self.items.len() > 1 {
            self.sort();
            self.items.truncate(self.items.len() / 2);
            self.until = self.items.last().map(|(key, _)| key.clone());
            self.room = Room::new(self.bytes / 2);
        }
    }

    fn sort(&mut self) {
        self.items.sort_unstable_by(|left, right| left.0.cmp(&right.0));
    }

    /// The items in order, and what takes those that there was no room for when all are offered again, if there are any.
    pub(super) fn finish(mut self) -> (Vec<(Vec<u8>, T)>, Option<Self>) {
        self.sort();
        let rest = self.until.map(|until| Self { after: Some(until), ..Self::new(self.bytes) });
        (self.items, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_used_up_by_what_does_not_fit() {
        let mut room = Room::new(3 * OVERHEAD);
        assert!(room.take(OVERHEAD).is_continue() && !room.is_used_up());
        assert!(room.take(1).is_break() && room.is_used_up());
    }

    #[test]
    fn all_come_in_order_however_little_room_there_is() {
        // All from 1 to 100, in no order.
        let keys: Vec<u8> = (1..101_u16).map(|n| (n * 37 % 101) as u8).collect();
        for bytes in [0, 100, 500, 1_000, 3_000, 20_000] {
            let (mut found, mut rounds) = (Vec::new(), 0);
            let mut next = Some(First::new(bytes));
            while let Some(mut first) = next.take() {
                for key in &keys {
                    first.offer(vec![*key], 1, *key);
                    assert!(first.len() <= bytes / OVERHEAD + 2, "{} items in {bytes} bytes", first.len());
                }
                let (items, rest) = first.finish();
                found.extend(items.into_iter().map(|(_, key)| key));
                (next, rounds) = (rest, rounds + 1);
            }
            let mut expected = keys.clone();
            expected.sort_unstable();
            assert_eq!(found, expected, "{bytes} bytes");
            assert_eq!(rounds == 1, bytes == 20_000, "{rounds} rounds in {bytes} bytes");
        }
    }
}
