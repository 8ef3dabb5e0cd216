//! Which of several links between two peers carries their session.
//!
//! Two peers easily end up with several links: both dial at once, a peer is listed under two addresses, a laptop changes
//! its network before the old link is known to be dead, a faster transport comes into range. One link carries the session,
//! and both sides must pick the same one without asking each other.
//!
//! A link is set up in three steps, and the table decides at each from what both sides know by then:
//!
//! 1. The dialer, once it knows whom it reached, [offers](LinkTable::offer) the link. It gives up a dial that leads to a
//!    peer it already has a link with, so the acceptor never hears of it; otherwise it greets.
//! 2. The acceptor, on the greeting, [admits](LinkTable::admit) the link or refuses it, and greets back or says goodbye.
//! 3. The dialer, on that answer, admits it as well.
//!
//! Of two links, [the better](Link::is_better_than) one is the one
//!
//! 1. of the better kind;
//! 2. else, if both were dialled by one side, the one dialled later (its dialer no longer believes in the older one);
//! 3. else the one dialled by the peer with the greater key.
//!
//! A link to a newer instance of the peer always replaces one to an older instance, which cannot be alive any more.

use std::collections::HashMap;
use std::fmt;

use crate::{Instance, PeerKey};

/// Names a link within one process; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(pub u64);

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link {}", self.0)
    }
}

/// The transport behind a link; a greater one is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum LinkKind {
    /// Bluetooth Low Energy: a few kilobytes a second.
    BluetoothLe,
    /// WebSocket, possibly through proxies.
    WebSocket,
    /// TCP.
    Tcp,
    /// Two peers in one process.
    InProcess,
}

impl fmt::Display for LinkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BluetoothLe => "bluetooth",
            Self::WebSocket => "websocket",
            Self::Tcp => "tcp",
            Self::InProcess => "in-process",
        })
    }
}

/// What the table knows of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Names it.
    pub id: LinkId,
    /// Whom it leads to.
    pub peer: PeerKey,
    /// The running instance of that peer.
    pub instance: Instance,
    /// The transport.
    pub kind: LinkKind,
    /// Whether this peer dialled it.
    pub dialed: bool,
    /// The dialer's number for it ([`Identity::next_dial`](crate::Identity::next_dial)).
    pub number: u64,
}

impl Link {
    /// The rule of this module for two links between `local` and one instance of a peer. For two different links
    /// exactly one is better, and both sides find the same one.
    pub fn is_better_than(&self, other: &Self, local: PeerKey) -> bool {
        if self.kind != other.kind {
            self.kind > other.kind
        } else if self.dialed == other.dialed {
            self.number > other.number
        } else {
            self.dialed == (local > self.peer)
        }
    }
}

/// Why a link is not wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redundant {
    /// It leads back to this peer.
    SelfConnection,
    /// Another link to the same peer is kept. If that one might be dead, this is the moment to probe it.
    Existing {
        /// The other link.
        keep: LinkId,
    },
}

/// What to do with a link whose other side has greeted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It carries the session with that peer.
    Carry,
    /// It carries the session from now on, in the place of an older link, which has left the table and is to be closed.
    Replace {
        /// The older link.
        close: LinkId,
    },
    /// It is not in the table and is to be closed.
    Refuse(Redundant),
}

/// See the [module](self). At most one link per peer carries; lookups are O(1), offers O(offers under way).
#[derive(Debug)]
pub struct LinkTable {
    local: PeerKey,
    carrying: HashMap<PeerKey, Link>,
    offered: Vec<Link>,
}

impl LinkTable {
    /// An empty table of the peer `local`.
    pub fn new(local: PeerKey) -> Self {
        Self { local, carrying: HashMap::new(), offered: Vec::new() }
    }

    /// Step 1, at the dialer: whether to go on with a dial that reached `link.peer`. If so, the link is remembered until
    /// [`admit`](Self::admit) or [`remove`](Self::remove).
    pub fn offer(&mut self, link: Link) -> Result<(), Redundant> {
        if link.peer == self.local {
            return Err(Redundant::SelfConnection);
        }
        let mut rivals = self.carrying.get(&link.peer).into_iter().chain(self.offered_to(link.peer));
        if let Some(rival) = rivals.find(|rival| rival.instance == link.instance && rival.kind >= link.kind) {
            return Err(Redundant::Existing { keep: rival.id });
        }
        drop(rivals);
        self.offered.push(link);
        Ok(())
    }

    /// Steps 2 and 3, at either side: the other side has greeted on `link`.
    pub fn admit(&mut self, link: Link) -> Verdict {
        if link.peer == self.local {
            return Verdict::Refuse(Redundant::SelfConnection);
        }
        self.offered.retain(|offered| offered.id != link.id);
        let loses_to =
            |rival: &&Link| rival.instance == link.instance && rival.is_better_than(&link, self.local);
        let carrying = self.carrying.get(&link.peer);
        if let Some(rival) = carrying.into_iter().chain(self.offered_to(link.peer)).find(loses_to) {
            return Verdict::Refuse(Redundant::Existing { keep: rival.id });
        }
        match self.carrying.insert(link.peer, link) {
            Some(old) => Verdict::Replace { close: old.id },
            None => Verdict::Carry,
        }
    }

    /// Forgets a link that ended. Returns it if it carried a session.
    pub fn remove(&mut self, id: LinkId) -> Option<Link> {
        self.offered.retain(|offered| offered.id != id);
        let peer = self.carrying.values().find(|link| link.id == id)?.peer;
        self.carrying.remove(&peer)
    }

    /// The link that carries the session with `peer`.
    pub fn session(&self, peer: PeerKey) -> Option<&Link> {
        self.carrying.get(&peer)
    }

    /// All links that carry a session, in no order.
    pub fn sessions(&self) -> impl Iterator<Item = &Link> {
        self.carrying.values()
    }

    fn offered_to(&self, peer: PeerKey) -> impl Iterator<Item = &Link> {
        self.offered.iter().filter(move |offered| offered.peer == peer)
    }
}

#[cfg(test)]
mod tests;
