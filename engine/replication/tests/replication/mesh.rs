//! Many peers with redundant links: everybody gets everything, and hardly anything twice.

use std::collections::BTreeSet;

use crate::net::{Net, int};
use ditto_replication::limits::LAZY_PATIENCE_MS;
use ditto_replication::{SessionId, SubscriptionId};

const PLANTS: &str = "SELECT * FROM plants";
/// Kind of an Offer.
const OFFER: u8 = 4;

/// Peers that all subscribe to everything, with these links.
struct Mesh {
    net: Net,
    sessions: Vec<(usize, SessionId)>,
}

impl Mesh {
    fn new(peers: usize, links: &[(usize, usize)]) -> Self {
        let mut net = Net::new(peers);
        for peer in 0..peers {
            net.subscribe(peer, PLANTS);
        }
        let mut sessions = Vec::new();
        for (a, b) in links {
            let (left, right) = net.connect(*a, *b);
            sessions.extend([(*a, left), (*b, right)]);
        }
        net.settle();
        Self { net, sessions }
    }

    fn write(&mut self, peer: usize, id: &str, value: i64) {
        let now = self.net.now;
        self.net.model(peer).insert(now, "plants", id, &[("light", int(value))]);
    }

    /// Delivers everything; time passes as it does on a quick network.
    fn settle(&mut self) {
        for _ in 0..15 {
            self.net.settle();
            self.net.advance(20);
        }
    }

    fn received(&self) -> u64 {
        self.sessions
            .iter()
            .map(|(peer, session)| self.net.statistics(*peer, *session).documents_received)
            .sum()
    }

    fn lazy(&self) -> usize {
        self.sessions.iter().filter(|(peer, session)| self.net.statistics(*peer, *session).lazy).count()
    }

    fn assert_equal(&self) {
        for peer in 1..self.net.nodes.len() {
            self.net.assert_equal(0, peer);
        }
    }
}

/// A ring with chords, always the same for a seed: connected, about four links a peer.
fn links(peers: usize, mut seed: u64) -> Vec<(usize, usize)> {
    let mut links: BTreeSet<(usize, usize)> = (0..peers).map(|peer| (peer, (peer + 1) % peers)).collect();
    let mut draw = |most: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % most
    };
    while links.len() < 2 * peers {
        let (a, b) = (draw(peers), draw(peers));
        let known = a == b || links.contains(&(a, b)) || links.contains(&(b, a));
        if !known {
            links.insert((a, b));
        }
    }
    links.into_iter().collect()
}

#[test]
fn in_a_mesh_of_thirty_at_most_three_tenths_arrive_twice() {
    const PEERS: usize = 30;
    const DOCUMENTS: usize = 40;
    let mut mesh = Mesh::new(PEERS, &links(PEERS, 1));
    // The links are judged by what they bring.
    for id in 0..5 {
        mesh.write(id * 7 % PEERS, &format!("first {id}"), 1);
        mesh.settle();
    }
    let before = mesh.received();
    for id in 0..DOCUMENTS {
        mesh.write(id * 7 % PEERS, &format!("plant {id}"), 1);
        mesh.settle();
    }
    mesh.net.rest();
    mesh.assert_equal();
    let needed = (DOCUMENTS * (PEERS - 1)) as u64;
    let received = mesh.received() - before;
    let (lazy, all) = (mesh.lazy(), mesh.sessions.len());
    println!("{received} documents received, {needed} needed, {lazy} of {all} links lazy");
    assert!(received * 10 <= needed * 13, "{received} received, {needed} needed");
    assert!(lazy < all - (PEERS - 1), "a tree of eager links is left");
}

/// A triangle in which 2 gets everything of 0 from 0, and 1 only announces it.
fn triangle() -> Mesh {
    let mut mesh = Mesh::new(3, &[(0, 1), (0, 2), (1, 2)]);
    for id in 0..5 {
        mesh.write(0, &format!("first {id}"), 1);
        mesh.settle();
    }
    assert_eq!(mesh.lazy(), 2, "1 and 2 announce to each other what both have from 0");
    mesh
}

#[test]
fn when_an_eager_link_ends_the_lazy_ones_take_over_at_once() {
    let mut mesh = triangle();
    mesh.net.disconnect(0, 2);
    mesh.sessions.retain(|(_, session)| ![3, 4].contains(&session.0));
    mesh.write(0, "fern", 1);
    // No time passes.
    mesh.net.settle();
    mesh.assert_equal();
    assert_eq!(mesh.lazy(), 0, "the link between 1 and 2 is needed, in both directions");
}

#[test]
fn what_is_announced_when_the_eager_link_ends_is_fetched_at_once() {
    let mut mesh = triangle();
    let to_2 =
        mesh.sessions.iter().find(|(peer, session)| *peer == 0 && session.0 == 3).expect("a session").1;
    mesh.net.nodes[0].replicator.set_blocked(to_2, true);
    mesh.write(0, "fern", 1);
    mesh.net.settle();
    assert!(mesh.net.model(2).visible("plants", "fern").is_none(), "1 has announced it");
    mesh.net.disconnect(0, 2);
    mesh.sessions.retain(|(_, session)| ![3, 4].contains(&session.0));
    // No time passes.
    mesh.net.settle();
    assert!(mesh.net.model(2).visible("plants", "fern").is_some());
    mesh.assert_equal();
}

#[test]
fn what_an_eager_link_announces_but_does_not_bring_is_fetched_over_a_lazy_one() {
    let mut mesh = triangle();
    // The link is there, and stands still.
    let to_2 =
        mesh.sessions.iter().find(|(peer, session)| *peer == 0 && session.0 == 3).expect("a session").1;
    mesh.net.nodes[0].replicator.set_blocked(to_2, true);
    mesh.write(0, "fern", 1);
    mesh.net.settle();
    assert!(mesh.net.model(1).visible("plants", "fern").is_some());
    assert!(mesh.net.model(2).visible("plants", "fern").is_none(), "it is waited for");
    mesh.net.advance(LAZY_PATIENCE_MS);
    mesh.net.settle();
    assert!(mesh.net.model(2).visible("plants", "fern").is_some());
    // The link that brought it is eager from now on.
    mesh.write(0, "moss", 1);
    mesh.net.settle();
    assert!(mesh.net.model(2).visible("plants", "moss").is_some());
    mesh.net.nodes[0].replicator.set_blocked(to_2, false);
    mesh.settle();
    mesh.assert_equal();
}

#[test]
fn nobody_waits_for_others_who_has_one_link_only() {
    let mut mesh = Mesh::new(3, &[(0, 1), (1, 2)]);
    for id in 0..5 {
        mesh.write(id % 3, &format!("plant {id}"), 1);
        mesh.net.settle();
        mesh.assert_equal();
    }
    assert_eq!(mesh.lazy(), 0);
}

#[test]
fn of_a_flood_of_offers_only_the_newest_is_kept_and_answered() {
    let mut mesh = triangle();
    let announced = |(peer, session): &&(usize, SessionId)| mesh.net.statistics(*peer, *session).lazy;
    let (peer, session) = *mesh.sessions.iter().find(announced).expect("a lazy link");
    let (now, node) = (mesh.net.now, &mut mesh.net.nodes[peer]);
    for offer in 101..=120 {
        // An offer with one document of interest 1 that nobody has.
        let mut item = vec![0x02, 1, 0x05, 2, b'1', offer, 0x07, 16];
        item.extend_from_slice(&[offer; 16]);
        item.extend_from_slice(&[0x08, 1]);
        let mut message = vec![4, 0x02, offer, 0x05, item.len() as u8];
        message.extend_from_slice(&item);
        node.replicator.receive(session, &message, &mut node.model, now);
    }
    assert!(node.replicator.is_ready(session));
    assert_eq!(node.replicator.poll_transmit(), None, "it waits for the eager link");
    node.replicator.tick(&mut node.model, now + LAZY_PATIENCE_MS);
    // Answer, offer 120, item 0 is wanted.
    assert_eq!(node.replicator.poll_transmit(), Some((session, vec![5, 0x02, 120, 0x05, 1, 1])));
}

/// Peers that join one after the other, each by links to four that hold everything already, or to one.
fn bytes_of_joining(links: usize) -> u64 {
    const PEERS: usize = 8;
    const DOCUMENTS: usize = 3_000;
    let mut mesh = Mesh::new(PEERS, &[]);
    let now = mesh.net.now;
    for id in 0..DOCUMENTS {
        mesh.net.model(0).insert(now, "plants", &format!("plant {id}"), &[("light", int(1))]);
    }
    for peer in 1..PEERS {
        for earlier in peer.saturating_sub(links)..peer {
            let (left, right) = mesh.net.connect(peer, earlier);
            mesh.sessions.extend([(peer, left), (earlier, right)]);
        }
        mesh.net.rest();
    }
    mesh.assert_equal();
    assert_eq!(mesh.received(), ((PEERS - 1) * DOCUMENTS) as u64);
    mesh.net.bytes
}

#[test]
fn who_joins_a_mesh_gets_everything_once_and_compares_with_the_others() {
    let (four, one) = (bytes_of_joining(4), bytes_of_joining(1));
    assert!(four * 10 <= one * 11, "{four} bytes with four links each, {one} with one");
}

/// Many documents at once, where nobody has found out yet which links are redundant.
#[test]
fn of_many_documents_in_a_new_mesh_few_arrive_twice() {
    const PEERS: usize = 12;
    const DOCUMENTS: usize = 3_000;
    let mut mesh = Mesh::new(PEERS, &links(PEERS, 3));
    let now = mesh.net.now;
    for id in 0..DOCUMENTS {
        mesh.net.model(0).insert(now, "plants", &format!("plant {id}"), &[("light", int(1))]);
    }
    mesh.net.rest();
    mesh.assert_equal();
    let (needed, received) = ((DOCUMENTS * (PEERS - 1)) as u64, mesh.received());
    assert!(received * 10 <= needed * 13, "{received} received, {needed} needed");
}

/// Whoever writes, the documents take the links of one tree, in both directions.
#[test]
fn both_directions_of_a_link_are_eager_or_lazy() {
    const PEERS: usize = 12;
    let mut mesh = Mesh::new(PEERS, &links(PEERS, 2));
    for id in 0..4 * PEERS {
        mesh.write(id * 5 % PEERS, &format!("plant {id}"), 1);
        mesh.settle();
    }
    let lazy = |(peer, session): &(usize, SessionId)| mesh.net.statistics(*peer, *session).lazy;
    let uneven = mesh.sessions.chunks(2).filter(|ends| lazy(&ends[0]) != lazy(&ends[1])).count();
    assert!(uneven * 10 <= mesh.sessions.len() / 2, "{uneven} links are eager in one direction only");
}

#[test]
fn a_link_that_brings_what_nobody_else_has_stays_eager_whatever_the_other_direction_is() {
    let mut net = Net::new(3);
    for peer in 0..3 {
        net.subscribe(peer, PLANTS);
    }
    net.subscribe(1, "SELECT * FROM pots");
    net.subscribe(1, "SELECT * FROM tools");
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        net.connect(a, b);
    }
    net.rest();
    let write = |net: &mut Net, peer: usize, collection: &str, id: &str| {
        let now = net.now;
        net.model(peer).insert(now, collection, id, &[]);
        net.settle();
        net.advance(20);
    };
    write(&mut net, 0, "pots", "clay");
    // 0 gets it from 2, and from 1 as well, because it does not sync it at once.
    net.nodes[0].syncs = false;
    write(&mut net, 2, "plants", "fern");
    net.nodes[0].syncs = true;
    net.settle();
    // 2 brings something else all the time.
    for number in 0..20 {
        write(&mut net, 2, "tools", &format!("spade {number}"));
    }
    let begin = net.now;
    write(&mut net, 0, "pots", "tin");
    assert!(net.model(1).visible("pots", "tin").is_some(), "after {} ms", net.now - begin);
}

#[test]
fn both_directions_of_a_link_become_lazy_together() {
    let mut mesh = Mesh::new(3, &[(0, 1), (0, 2), (1, 2)]);
    // 1 gets it from 0 and from 2; 2 gets it from 0 only, since 1 does not tell what it has not synced.
    mesh.net.nodes[1].syncs = false;
    mesh.write(0, "fern", 1);
    mesh.net.settle();
    assert_eq!(mesh.lazy(), 2, "the link between 1 and 2, in both directions");
}

#[test]
fn of_two_peers_that_hold_the_same_one_offers_it() {
    let mut mesh = triangle();
    let offers = |mesh: &Mesh| mesh.net.kinds.get(&OFFER).copied().unwrap_or_default();
    let before = offers(&mesh);
    mesh.write(0, "fern", 1);
    mesh.settle();
    mesh.assert_equal();
    assert_eq!(offers(&mesh) - before, 1, "1 and 2 have nothing else to tell each other");
}

#[test]
fn what_was_offered_before_it_was_evicted_there_is_sent_again() {
    let mut mesh = triangle();
    let session = |mesh: &Mesh, number: u64| {
        mesh.sessions.iter().find(|(peer, session)| *peer == 0 && session.0 == number).expect("a session").1
    };
    let (to_1, to_2) = (session(&mesh, 1), session(&mesh, 3));
    mesh.net.nodes[0].replicator.set_blocked(to_2, true);
    mesh.write(0, "fern", 1);
    mesh.net.settle();
    assert!(mesh.net.model(2).visible("plants", "fern").is_none(), "1 has announced it");
    mesh.net.nodes[0].replicator.set_blocked(to_1, true);
    mesh.net.model(1).evict("plants", "fern");
    mesh.net.settle();
    mesh.net.nodes[0].replicator.set_blocked(to_2, false);
    mesh.net.settle();
    mesh.net.disconnect(0, 1);
    mesh.net.disconnect(0, 2);
    mesh.net.rest();
    assert!(mesh.net.model(2).visible("plants", "fern").is_some());
    assert!(mesh.net.model(1).visible("plants", "fern").is_some(), "2 has it, and 1 wants it");
}

#[test]
fn nothing_is_due_for_ever_when_the_other_peer_unsubscribes_while_an_offer_is_put_off() {
    let mut mesh = triangle();
    mesh.write(2, "fern", 1);
    mesh.net.settle();
    mesh.net.unsubscribe(1, SubscriptionId(1));
    mesh.net.settle();
    mesh.net.advance(5_000);
    let now = mesh.net.now;
    for node in &mut mesh.net.nodes {
        node.replicator.tick(&mut node.model, now);
        assert!(node.replicator.next_timeout().is_none_or(|timeout| timeout > now));
    }
}
