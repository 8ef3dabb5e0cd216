//! What a peer has acknowledged is on its disk whenever it begins again, or the one begins again that was told.
//!
//! What counts is what the publisher believes: by interest, as its store hears it, and of all interests together, as the session
//! says it. Nothing of that is ever forgotten here, although the product forgets it with the session or takes it for void. What
//! does not have to be there any more: documents that the subscriber did not take, or has evicted, until they are acknowledged
//! again, and what it took after an image was made that has taken the place of the disk of either. What travels, and what is
//! subscribed to, may be decided anew: what was acknowledged before stays.

use std::collections::{BTreeMap, BTreeSet};

use ditto_crdt::Sequence;
use ditto_replication::{Acknowledged, DocumentKey, PeerId, Replica, Sent, ServedInterest};
use ditto_value::{Object, Value};

use super::coverage::{self, Asked};
use crate::peer::{Peer, Wish};
use crate::world::World;

/// What replication says to the store of a publisher.
#[derive(Debug)]
pub enum Heard {
    /// A peer asks for something, and is served.
    Serves(PeerId, ServedInterest),
    /// A peer has acknowledged something.
    Acknowledged(PeerId, Acknowledged),
}

/// A document by its collection and the hash of its `_id`.
type Name = (String, [u8; 16]);

fn name(key: &DocumentKey) -> Name {
    (key.collection.to_string(), coverage::hashed(key))
}

/// One thing that a subscriber has asked for.
#[derive(Clone, Debug)]
struct Interest {
    /// With the query as the publisher says it.
    wish: Wish,
    /// The sequence of the publisher up to which it has acknowledged that.
    up_to: Sequence,
    /// It is served in the present session.
    is_served: bool,
}

/// What a publisher was told by a subscriber.
#[derive(Clone, Debug, Default)]
struct Receipt {
    interests: BTreeMap<[u8; 16], Interest>,
    /// Documents that it did not take as they were sent, with the first sequence that was sent then.
    unheld: BTreeMap<Name, Sequence>,
    /// Documents that it has evicted since the last session began: acknowledgements of this session may be older.
    evicted: BTreeSet<Name>,
    /// What it has taken back since the session began: until when it is served, only the publisher knows.
    renounced: Vec<Wish>,
    /// What the session said last of all that is asked for, and how often it has forgotten that.
    statistics: (Sequence, u64),
}

impl Receipt {
    /// A session begins.
    fn meet(&mut self) {
        self.statistics = (Sequence(0), 0);
        self.renounced.clear();
        self.interests.values_mut().for_each(|interest| interest.is_served = false);
        // What comes again may be held again.
        self.unheld
            .extend(std::mem::take(&mut self.evicted).into_iter().map(|name| (name, Sequence(u64::MAX))));
    }

    fn serve(&mut self, interest: &ServedInterest) {
        let arguments = match Value::from_cbor(&interest.arguments) {
            Ok(Value::Object(arguments)) => arguments,
            _ => Object::default(),
        };
        let wish = Wish { query: interest.query.clone(), arguments };
        let new = Interest { wish, up_to: Sequence(0), is_served: true };
        self.interests.entry(interest.selection).or_insert(new).is_served = true;
    }

    fn acknowledge(&mut self, acknowledged: &Acknowledged) {
        for Sent { key, from, .. } in &acknowledged.held {
            if !self.unheld.is_empty() && self.unheld.get(&name(key)).is_some_and(|first| first >= from) {
                self.unheld.remove(&name(key));
            }
        }
        for Sent { key, from, .. } in &acknowledged.unheld {
            let first = self.unheld.entry(name(key)).or_insert(*from);
            *first = (*first).min(*from);
        }
        for (selection, up_to) in &acknowledged.interests {
            if let Some(interest) = self.interests.get_mut(selection) {
                interest.up_to = interest.up_to.max(*up_to);
            }
        }
    }

    /// The session says up to where all is acknowledged that is asked for; some of it may be asked for only since then.
    fn conclude(&mut self, acknowledged: Sequence, forgotten: u64, since: &BTreeSet<[u8; 16]>) {
        let (last, times) = std::mem::replace(&mut self.statistics, (acknowledged, forgotten));
        if times == forgotten && acknowledged <= last {
            return;
        }
        for (selection, interest) in &mut self.interests {
            let is_served = interest.is_served && !self.renounced.contains(&interest.wish);
            if is_served && !since.contains(selection) {
                interest.up_to = interest.up_to.max(acknowledged);
            }
        }
    }

    fn is_excepted(&self, key: &DocumentKey) -> bool {
        let is_empty = self.unheld.is_empty() && self.evicted.is_empty();
        !is_empty && {
            let name = name(key);
            self.unheld.contains_key(&name) || self.evicted.contains(&name)
        }
    }
}

/// By publisher and subscriber.
type Between = BTreeMap<(usize, usize), Receipt>;

/// Everything that was acknowledged in a world.
#[derive(Debug, Default)]
pub(crate) struct Receipts {
    between: Between,
    /// The same of a peer, by its number, when its image was made.
    images: BTreeMap<usize, Between>,
}

impl Receipts {
    /// A session begins between two peers.
    pub(crate) fn meet(&mut self, ends: [usize; 2]) {
        for pair in [(ends[0], ends[1]), (ends[1], ends[0])] {
            self.between.entry(pair).or_default().meet();
        }
    }

    /// A peer has taken back a subscription, with the query as publishers say it.
    pub(crate) fn renounce(&mut self, subscriber: usize, wish: &Wish) {
        for receipt in of_subscriber(&mut self.between, subscriber) {
            receipt.renounced.push(wish.clone());
        }
    }

    /// A peer has evicted documents. Its own image has them still.
    pub(crate) fn evict(&mut self, subscriber: usize, keys: &[DocumentKey]) {
        let images = self.images.iter_mut().filter(|(peer, _)| **peer != subscriber).map(|(_, image)| image);
        for between in images.chain([&mut self.between]) {
            for receipt in of_subscriber(between, subscriber) {
                receipt.evicted.extend(keys.iter().map(name));
            }
        }
    }

    /// An image is made of the disk of a peer.
    pub(crate) fn take_image(&mut self, peer: usize) {
        let concerns = |(pair, _): &(&(usize, usize), &Receipt)| pair.0 == peer || pair.1 == peer;
        let image = self.between.iter().filter(concerns).map(|(pair, receipt)| (*pair, receipt.clone()));
        self.images.insert(peer, image.collect());
    }

    /// The image took the place of the disk: that is what it was told, and has acknowledged.
    pub(crate) fn restore(&mut self, peer: usize) {
        let is_of_others = |pair: &(usize, usize)| pair.0 != peer && pair.1 != peer;
        self.between.retain(|pair, _| is_of_others(pair));
        self.between.extend(self.images.get(&peer).cloned().unwrap_or_default());
        for (_, image) in self.images.iter_mut().filter(|(other, _)| **other != peer) {
            image.retain(|pair, _| is_of_others(pair));
        }
    }
}

fn of_subscriber(between: &mut Between, subscriber: usize) -> impl Iterator<Item = &mut Receipt> {
    between.iter_mut().filter(move |(pair, _)| pair.1 == subscriber).map(|(_, receipt)| receipt)
}

impl World {
    /// Writes down what a peer was told since the last time.
    pub(crate) fn take_receipts(&mut self, publisher: usize) {
        let Some(process) = &mut self.peers[publisher].process else { return };
        let heard = process.replica.take_heard();
        if heard.is_empty() {
            return;
        }
        let (mut since, mut told) = (BTreeMap::<usize, BTreeSet<[u8; 16]>>::new(), BTreeSet::new());
        for heard in heard {
            let (Heard::Serves(remote, _) | Heard::Acknowledged(remote, _)) = &heard;
            let Some(subscriber) = self.peer_of(&remote.0) else { continue };
            let receipt = self.receipts.between.entry((publisher, subscriber)).or_default();
            match &heard {
                Heard::Serves(_, interest) => {
                    since.entry(subscriber).or_default().insert(interest.selection);
                    receipt.serve(interest);
                }
                Heard::Acknowledged(_, acknowledged) => {
                    told.insert(subscriber);
                    receipt.acknowledge(acknowledged);
                }
            }
        }
        for subscriber in told {
            let links = self.links_of(publisher);
            let link = links.into_iter().find(|link| self.links[*link].other(publisher) == subscriber);
            let process = self.peers[publisher].process.as_ref();
            let statistics = process.zip(link).and_then(|(process, link)| {
                let session = process.sessions.get(&link)?;
                process.replicator.statistics(*session)
            });
            if let (Some(statistics), Some(receipt)) =
                (statistics, self.receipts.between.get_mut(&(publisher, subscriber)))
            {
                let since = since.get(&subscriber).cloned().unwrap_or_default();
                receipt.conclude(statistics.acknowledged, statistics.forgotten, &since);
            }
        }
    }
}

/// What a peer whose store was opened a moment ago has acknowledged is there, and so is what was acknowledged to it.
pub fn of_peer(world: &World, peer: usize, verdicts: &mut Vec<String>) {
    // Of two machines with one key nobody knows which one was meant.
    let is_single = |number: usize| {
        let same = |other: &&Peer| other.key == world.peers[number].key;
        world.peers.iter().filter(same).count() == 1
    };
    for ((publisher, subscriber), receipt) in &world.receipts.between {
        if ![publisher, subscriber].contains(&&peer) || !is_single(*publisher) || !is_single(*subscriber) {
            continue;
        }
        let (from, to) = (&world.peers[*publisher], &world.peers[*subscriber]);
        let Some(process) = &from.process else { continue };
        let asked = |interest: &Interest| {
            let wish = &interest.wish;
            let compiled = process.replica.compile(&wish.query, &wish.arguments).ok()?;
            Some(Asked { interest: compiled, up_to: interest.up_to })
        };
        let told = receipt.interests.values().filter(|interest| interest.up_to > Sequence(0));
        let asked: Vec<Asked> = told.filter_map(asked).collect();
        coverage::compare(from, to, &asked, &|_| false, &|key| receipt.is_excepted(key), verdicts);
    }
}
