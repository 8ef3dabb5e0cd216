//! What happens to the peers of a world, by name: what goes wrong, and what the applications do. Counted in a
//! [`Tally`] when it has happened, not when it was meant to: a full disk counts when a write has failed of it.

use crate::tally::Tally;
use crate::world::World;

macro_rules! incidents {
    ($($incident:ident = $name:literal,)*) => {
        /// One thing that happens.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Incident { $(#[doc = $name] $incident,)* }

        impl Incident {
            /// Everything that may happen.
            pub const ALL: &[Self] = &[$(Self::$incident,)*];

            /// What it is called in a tally.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$incident => $name,)* }
            }
        }
    };
}

incidents! {
    // Links.
    Broken = "links that broke",
    UnderWay = "links that ended with something under way",
    Lost = "messages that were lost",
    Full = "messages after which a sender had to wait",
    Asymmetric = "links that are slower one way",
    Partition = "partitions",
    Heal = "partitions that healed",
    Excused = "sessions that ended since a narrow or slow line took too long",
    // Processes and disks.
    Crash = "processes that ended at once",
    PowerLoss = "losses of power with an unsynced tail",
    FailedDisk = "disks that failed",
    FullDisk = "full disks that a write failed of",
    FailedOpening = "stores that could not be opened yet",
    Recovery = "storages that were recovered",
    Image = "images made",
    Restoration = "images restored",
    Copy = "directories copied",
    Fork = "histories that somebody knew to be lost",
    // Clocks.
    SetBack = "clocks that jumped backward",
    SetAhead = "clocks that jumped forward",
    SetByAYear = "clocks that jumped by more than a year",
    YearsWrong = "clocks that are years wrong from the beginning",
    Days = "days that passed",
    Burial = "tombstones buried",
    // Who is there.
    Late = "peers that came late",
    Leave = "peers that left",
    Return = "peers that returned",
    LateReturn = "peers that returned after others had buried tombstones",
    Gone = "peers that left for good",
    Older = "peers of an older build",
    Slow = "peers that read slowly",
    // What is wanted, and may travel.
    Subscription = "subscriptions begun",
    Renunciation = "subscriptions ended",
    Pause = "collections that were not wanted for a while",
    Resume = "collections that were wanted again",
    KeptBack = "collections kept at home",
    Release = "collections that may travel again",
    RefusedSubscription = "subscriptions refused",
    Left = "documents that left a filter",
    // What applications do.
    Insert = "documents inserted",
    Large = "large documents written",
    Update = "documents updated",
    Several = "statements that changed several documents",
    Delete = "documents deleted",
    UnseenBirth = "births that a deletion did not see",
    Eviction = "documents evicted",
    Counter = "counters incremented",
    Register = "registers written by one peer alone",
    Contested = "registers written that another peer writes as well",
    Kind = "members that changed their kind",
    Restart = "counters restarted",
    Initial = "documents inserted as INITIAL",
    Index = "statements that make or drop an index",
    Transaction = "transactions",
    Overlap = "transactions that overlap with two others",
    Spanning = "transactions over two collections or interests",
    Newer = "documents written by a newer build",
    ChangedNewer = "documents of a newer build changed by an older one",
    Refusal = "documents refused",
    Stale = "stale copies",
    StalePassed = "stale copies of what their sender has passed",
    // Liars.
    Call = "calls of liars",
    Lie = "messages forged",
    Taken = "documents taken of liars",
    FoundOut = "liars found out",
}

/// It has happened so often.
pub(crate) fn count(tally: &mut Tally, incident: Incident, times: u64) {
    *tally.entry(incident.name()).or_default() += times;
}

impl World {
    /// It has happened.
    pub(crate) fn count(&mut self, incident: Incident) {
        count(&mut self.tally, incident, 1);
    }
}
