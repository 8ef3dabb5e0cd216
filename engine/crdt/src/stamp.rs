//! Who wrote when, and what is numbered how.

/// A hybrid logical time: 48 bits of milliseconds since 1970, then 16 bits that count within a millisecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hlc(pub u64);

/// The start of the year 6000 in milliseconds since 1970.
const YEAR_6000_MS: u64 = 127_174_492_800_000;

impl Hlc {
    /// Before every write.
    pub const ZERO: Self = Self(0);
    /// The last time that a stamp may have: the start of the year 6000. Decoders refuse later ones, and a local write
    /// must be before it, so that a document that reached it is recognised (see [`crate::WriteError::Exhausted`]).
    pub const MAX: Self = Self(YEAR_6000_MS << 16);

    /// The first time of a millisecond; clamped to [`Hlc::MAX`].
    pub fn from_millis(milliseconds: u64) -> Self {
        Self(milliseconds.min(YEAR_6000_MS) << 16)
    }

    /// Milliseconds since 1970.
    pub fn millis(self) -> u64 {
        self.0 >> 16
    }

    /// The next time, at most [`Hlc::MAX`].
    pub(crate) fn next(self) -> Self {
        Self(self.0.saturating_add(1)).min(Self::MAX)
    }
}

/// One history of writes: a peer's database directory, renewed when the directory was copied or restored. 0 is the
/// null site, which writes INITIAL documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteId(pub u64);

/// One opening of a database: random, so that no two have the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub u64);

/// Which of two writes wins: the later, and of simultaneous ones the greater site's. One per transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// When.
    pub time: Hlc,
    /// Who.
    pub site: SiteId,
}

impl Stamp {
    /// The stamp of INITIAL documents; every other write wins over it.
    pub const ZERO: Self = Self { time: Hlc::ZERO, site: SiteId(0) };

    /// The least that is greater. That a write bears it is as good as impossible: sites are random.
    pub(crate) fn successor(self) -> Self {
        match self.site.0.checked_add(1) {
            Some(site) => Self { time: self.time, site: SiteId(site) },
            None => Self { time: self.time.next(), site: SiteId(0) },
        }
    }

    /// A stamp of that time and site.
    pub const fn new(time: Hlc, site: SiteId) -> Self {
        Self { time, site }
    }
}

/// What an INSERT adds to a document, unique for ever. The order only makes storage deterministic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Birth {
    /// The stamp of the INSERT.
    pub stamp: Stamp,
    /// The run in which it was executed.
    pub run: RunId,
}

impl Birth {
    /// The birth of every INITIAL document: the same on every peer, so that all seeds are one write.
    pub const INITIAL: Self = Self { stamp: Stamp::ZERO, run: RunId(0) };
}

/// Numbers the changes of documents in one database, from 1. Local; never sent as a part of a document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

impl Sequence {
    /// Before every change.
    pub const ZERO: Self = Self(0);
}
