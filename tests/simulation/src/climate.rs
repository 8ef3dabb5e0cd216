//! Which faults a seed brings. Each is there in about half of the worlds, so that every combination is met, also that
//! of none.

use crate::network::Quality;
use crate::random::Random;

/// The faults of one world.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Climate {
    /// Milliseconds that messages take.
    pub latency: u64,
    /// The two directions of a link differ.
    pub asymmetric: bool,
    /// Messages take longer at random.
    pub jitter: bool,
    /// Links carry a bounded number of bytes in a second.
    pub narrow: bool,
    /// Messages are lost, and end their link.
    pub loss: bool,
    /// Links end and come back.
    pub flaps: bool,
    /// The network is divided and joined again.
    pub partitions: bool,
    /// Processes end and come back.
    pub crashes: bool,
    /// Writes and syncs fail.
    pub disk_failures: bool,
    /// Disks fill up, and there is room again.
    pub full_disks: bool,
    /// Clocks are wrong, and jump.
    pub clocks: bool,
    /// Days pass, at one peer and at all.
    pub days: bool,
    /// Peers come late, leave, and return after weeks.
    pub absences: bool,
    /// Some of those that leave never return.
    pub losses: bool,
    /// Subscriptions change.
    pub subscriptions: bool,
    /// Documents are evicted.
    pub evictions: bool,
    /// Directories are copied and used twice.
    pub copies: bool,
    /// Old images are restored in place.
    pub restores: bool,
    /// Some documents are larger than a message part.
    pub large: bool,
    /// Members change their kinds, counters are unset and restarted, documents are inserted as INITIAL.
    pub kinds: bool,
    /// Some peers have indexes, which come and go.
    pub indexes: bool,
    /// Some peers are of an older build.
    pub older: bool,
    /// Collections stay at home for a while.
    pub scopes: bool,
    /// Somebody of a newer build writes what this build does not know.
    pub newer: bool,
}

impl Climate {
    /// The climate of a seed: in one of eight worlds nothing ever fails.
    pub fn draw(random: &mut Random) -> Self {
        let calm = random.below(8) == 0;
        let mut half = |chance: u64| random.percent(chance) && !calm;
        let mut climate = Self {
            asymmetric: half(30),
            jitter: half(70),
            narrow: half(25),
            loss: half(30),
            flaps: half(70),
            partitions: half(40),
            crashes: half(60),
            disk_failures: half(40),
            full_disks: half(25),
            clocks: half(60),
            days: half(50),
            absences: half(35),
            losses: half(15),
            subscriptions: half(50),
            evictions: half(60),
            copies: half(15),
            restores: half(20),
            large: half(50),
            kinds: half(50),
            indexes: half(30),
            older: half(15),
            scopes: half(20),
            newer: false,
            latency: 0,
        };
        climate.latency = *random.choose(&[1, 10, 100, 1_000]);
        climate
    }

    /// Whether no link, process, disk or subscription changes, so that each byte is sent for a reason.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        *self == Self { latency: self.latency, large: self.large, ..Self::default() }
    }

    /// How a link behaves in one direction.
    pub fn quality(&self, random: &mut Random) -> Quality {
        let latency = if self.asymmetric { self.latency * random.between(1, 5) } else { self.latency };
        Quality {
            latency,
            jitter: if self.jitter { latency * 2 } else { 0 },
            bytes_per_ms: self.narrow.then(|| random.between(20, 500)),
            lost_of: if self.loss { *random.choose(&[0, 30, 100, 1_000]) } else { 0 },
        }
    }

    /// How wrong a clock is, in milliseconds.
    pub fn skew(&self, random: &mut Random) -> i64 {
        const HOUR: i64 = 3_600_000;
        const YEAR: i64 = 365 * 24 * HOUR;
        let skews = [0, 0, 5_000, -3_000, -HOUR, 2 * HOUR, YEAR, -9 * YEAR, 40 * YEAR];
        if self.clocks { *random.choose(&skews) } else { 0 }
    }
}
