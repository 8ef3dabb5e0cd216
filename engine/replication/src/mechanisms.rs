//! How often something happened that only much data, or little memory, makes necessary.

/// Counted by a [`Replicator`](crate::Replicator) for all its sessions, to see whether tests reach everything. Nothing depends
/// on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mechanisms {
    /// Batches of a listing.
    pub listed: u64,
    /// Batches of what was new, told before its turn.
    pub ahead: u64,
    /// Batches told behind a large document that waits.
    pub onward: u64,
    /// Batches that may show a transaction in part.
    pub partial: u64,
    /// Batches that were applied with the one before.
    pub joined: u64,
    /// Documents that came by themselves and were merged before a batch that waited, since enough of them did.
    pub apart: u64,
    /// Reconciliations that found the difference.
    pub reconciled: u64,
    /// Ranges that reconciliations went on with after their first.
    pub ranges: u64,
    /// Reconciliations that were given up for the walk.
    pub walked_instead: u64,
    /// Sessions that subscribed later, because another one was bringing much.
    pub postponed: u64,
    /// Long deltas that went on where an earlier session had ended.
    pub resumed: u64,
}

impl Mechanisms {
    /// Takes over what was counted elsewhere.
    pub(crate) fn add(&mut self, other: Self) {
        self.listed += other.listed;
        self.ahead += other.ahead;
        self.onward += other.onward;
        self.partial += other.partial;
        self.joined += other.joined;
        self.apart += other.apart;
        self.reconciled += other.reconciled;
        self.ranges += other.ranges;
        self.walked_instead += other.walked_instead;
        self.postponed += other.postponed;
        self.resumed += other.resumed;
    }
}
