//! Transactions over two collections, and over two interests in one: who subscribes to all of them sees all of such a transaction or
//! nothing, as of those in `pairs`.
//!
//! In `halves` each peer has two documents, `left` and `right`, and who subscribes to `pairs` does so to each of them, by filters of
//! their own. One transaction writes the same `third` to `b` in `pairs` and to `left`, another the same `fourth` to both halves,
//! now and then one writes both.
//!
//! Not where collections stay at home for a while: who gets one of the two from a peer, and not the other, gets parts.

use ditto_store::StoreError;

use crate::incident::Incident;
use crate::peer::Wish;
use crate::random::Random;
use crate::workload::Group;
use crate::world::World;

/// In so many of a hundred worlds there are such transactions.
const WORLDS: u64 = 30;
/// Of a hundred deeds of an application so many are followed by one.
const DEEDS: u64 = 10;

/// Subscribes to one half of all peers.
pub(crate) const LEFT: &str = "SELECT * FROM halves WHERE half = 'left'";
/// Subscribes to the other.
pub(crate) const RIGHT: &str = "SELECT * FROM halves WHERE half = 'right'";

/// Over two collections.
pub(crate) const THIRD: Group = ("third", [("pairs", "b"), ("halves", "left")]);
/// Over two interests in one.
pub(crate) const FOURTH: Group = ("fourth", [("halves", "left"), ("halves", "right")]);

/// What who subscribes to `pairs` wants besides.
pub(crate) fn wishes() -> [Wish; 2] {
    [LEFT, RIGHT].map(Wish::plain)
}

/// The dice of a world with such transactions: other ones than those of its story. The seeds that are stories of
/// `tests/seeds.rs` have none.
pub(crate) fn dice(seed: u64) -> Option<Random> {
    let mut dice = Random::new(seed ^ 0x2437_2437_2437_2437);
    dice.percent(WORLDS).then_some(dice)
}

impl World {
    /// Now and then a peer writes one.
    pub(crate) fn span(&mut self, peer: usize) -> Result<(), StoreError> {
        let Some(dice) = &mut self.spanning else { return Ok(()) };
        if !dice.percent(DEEDS) {
            return Ok(());
        }
        let groups: &[Group] = match dice.below(5) {
            0 | 1 => &[THIRD],
            2 | 3 => &[FOURTH],
            _ => &[THIRD, FOURTH],
        };
        self.write_together(peer, groups, Incident::Spanning)
    }
}
