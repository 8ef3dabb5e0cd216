//! What is between the peers: channels that keep the order and lose nothing, until they end with all that is under way.

use crate::random::Random;

/// How one direction of a link behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quality {
    /// Milliseconds that every message takes.
    pub latency: u64,
    /// Up to so many milliseconds more, at random.
    pub jitter: u64,
    /// Bytes that pass in a millisecond; `None`: as many as there are.
    pub bytes_per_ms: Option<u64>,
    /// Of so many messages one is lost, and the link ends with it; 0 for none.
    pub lost_of: u64,
}

impl Quality {
    /// A good line.
    pub const GOOD: Self = Self { latency: 5, jitter: 0, bytes_per_ms: None, lost_of: 0 };

    /// How long a message takes at most, if it has the line to itself.
    #[must_use]
    pub fn longest(&self, bytes: u64) -> u64 {
        self.latency + self.jitter + self.bytes_per_ms.map_or(0, |speed| bytes / speed.max(1) + 1)
    }
}

/// Bytes under way above which a sender has to wait.
pub const BUFFER_BYTES: usize = 256 * 1024;

/// One link between two peers.
#[derive(Clone, Debug)]
pub struct Link {
    /// The two peers.
    pub ends: [usize; 2],
    /// What is sent by `ends[0]`, and by `ends[1]`.
    pub quality: [Quality; 2],
    /// Odd while the link is up; counts its beginnings and ends.
    pub epoch: u64,
    /// It cannot come up: the network is divided, or the script says so.
    pub severed: bool,
    /// Bytes delivered so far, both ways.
    pub bytes: u64,
    /// When the last message of each direction arrives.
    arrival: [u64; 2],
    /// When each direction is free for the next message.
    free: [u64; 2],
    under_way: [usize; 2],
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives after so many milliseconds.
    Arrives(u64),
    /// It is lost after so many milliseconds, and the link with it.
    Lost(u64),
}

impl Link {
    /// A link that is down.
    #[must_use]
    pub fn new(ends: [usize; 2], quality: [Quality; 2]) -> Self {
        Self {
            ends,
            quality,
            epoch: 0,
            severed: false,
            bytes: 0,
            arrival: [0; 2],
            free: [0; 2],
            under_way: [0; 2],
        }
    }

    /// Whether messages pass.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.epoch % 2 == 1
    }

    /// The other end.
    #[must_use]
    pub fn other(&self, peer: usize) -> usize {
        if self.ends[0] == peer { self.ends[1] } else { self.ends[0] }
    }

    /// Which direction a peer sends in.
    #[must_use]
    pub fn side(&self, peer: usize) -> usize {
        usize::from(self.ends[0] != peer)
    }

    /// The link comes up or goes down.
    pub fn turn(&mut self, now: u64) {
        self.epoch += 1;
        self.arrival = [now; 2];
        self.free = [now; 2];
        self.under_way = [0; 2];
    }

    /// A message enters the link on this side.
    pub fn send(&mut self, side: usize, bytes: usize, now: u64, random: &mut Random) -> Fate {
        let quality = self.quality[side];
        let sending = quality.bytes_per_ms.map_or(0, |speed| bytes as u64 / speed.max(1));
        self.free[side] = self.free[side].max(now) + sending;
        let jitter = if quality.jitter == 0 { 0 } else { random.below(quality.jitter + 1) };
        let arrival = self.free[side] + quality.latency + jitter;
        self.arrival[side] = self.arrival[side].max(arrival);
        self.under_way[side] += bytes;
        let delay = self.arrival[side] - now;
        if quality.lost_of > 0 && random.below(quality.lost_of) == 0 {
            return Fate::Lost(delay);
        }
        Fate::Arrives(delay)
    }

    /// A message leaves the link.
    pub fn deliver(&mut self, side: usize, bytes: usize) {
        self.under_way[side] = self.under_way[side].saturating_sub(bytes);
        self.bytes += bytes as u64;
    }

    /// Whether a sender has to wait.
    #[must_use]
    pub fn is_full(&self, side: usize) -> bool {
        self.under_way[side] > BUFFER_BYTES
    }

    /// Whether nothing is under way.
    #[must_use]
    pub fn is_still(&self) -> bool {
        self.under_way == [0; 2]
    }
}
