use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const OLD: Instance = Instance([1; 16]);
const NEW: Instance = Instance([2; 16]);

fn key(byte: u8) -> PeerKey {
    PeerKey::from([byte; 32])
}

fn link(id: u64, dialed: bool, number: u64) -> Link {
    Link { id: LinkId(id), peer: key(5), instance: OLD, kind: LinkKind::Tcp, dialed, number }
}

#[test]
fn a_self_connection_is_refused_at_every_step() {
    let mut table = LinkTable::new(key(5));
    assert_eq!(table.offer(link(1, true, 0)), Err(Redundant::SelfConnection));
    assert_eq!(table.admit(link(1, false, 0)), Verdict::Refuse(Redundant::SelfConnection));
    assert_eq!(table.session(key(5)), None);
}

#[test]
fn of_simultaneous_dials_the_one_of_the_greater_key_carries() {
    // Both have dialled when the other's greeting arrives.
    let mut greater = LinkTable::new(key(9));
    greater.offer(link(1, true, 0)).unwrap();
    assert_eq!(greater.admit(link(2, false, 0)), Verdict::Refuse(Redundant::Existing { keep: LinkId(1) }));
    assert_eq!(greater.admit(link(1, true, 0)), Verdict::Carry);

    let mut lesser = LinkTable::new(key(1));
    lesser.offer(link(1, true, 0)).unwrap();
    assert_eq!(lesser.admit(link(2, false, 0)), Verdict::Carry);
    assert_eq!(lesser.admit(link(1, true, 0)), Verdict::Refuse(Redundant::Existing { keep: LinkId(2) }));
}

#[test]
fn a_second_address_of_a_connected_peer_is_given_up_by_its_dialer() {
    let mut table = LinkTable::new(key(9));
    table.offer(link(1, true, 0)).unwrap();
    assert_eq!(table.offer(link(2, true, 1)), Err(Redundant::Existing { keep: LinkId(1) }));
    table.admit(link(1, true, 0));
    assert_eq!(table.offer(link(3, true, 2)), Err(Redundant::Existing { keep: LinkId(1) }));
    table.remove(LinkId(1));
    assert_eq!(table.offer(link(4, true, 3)), Ok(()));
}

#[test]
fn a_dialer_that_comes_back_replaces_its_older_link() {
    let mut table = LinkTable::new(key(1));
    assert_eq!(table.admit(link(1, false, 7)), Verdict::Carry);
    assert_eq!(table.admit(link(2, false, 8)), Verdict::Replace { close: LinkId(1) });
    assert_eq!(table.admit(link(3, false, 6)), Verdict::Refuse(Redundant::Existing { keep: LinkId(2) }));
}

#[test]
fn a_restarted_peer_replaces_whatever_it_had() {
    let mut table = LinkTable::new(key(9));
    table.offer(link(1, true, 4)).unwrap();
    table.admit(link(1, true, 4));
    let restarted = Link { instance: NEW, ..link(2, false, 0) };
    assert_eq!(table.admit(restarted), Verdict::Replace { close: LinkId(1) });
}

#[test]
fn a_better_kind_wins_later_and_a_worse_one_never() {
    let mut table = LinkTable::new(key(9));
    let of = |kind, id| Link { kind, ..link(id, true, id) };
    table.offer(of(LinkKind::WebSocket, 1)).unwrap();
    table.admit(of(LinkKind::WebSocket, 1));
    assert!(table.offer(of(LinkKind::BluetoothLe, 2)).is_err());
    assert_eq!(table.offer(of(LinkKind::Tcp, 3)), Ok(()));
    assert_eq!(table.admit(of(LinkKind::Tcp, 3)), Verdict::Replace { close: LinkId(1) });
    assert_eq!(table.remove(LinkId(1)), None);
    assert_eq!(table.remove(LinkId(3)).unwrap().id, LinkId(3));
    assert_eq!(table.sessions().count(), 0);
}

/// Two peers, links between them, and messages in flight that arrive in any order (in order on each link).
struct World {
    tables: [LinkTable; 2],
    /// Per link and direction: messages to the side that the index names.
    wires: Vec<[VecDeque<Message>; 2]>,
    links: Vec<(usize, LinkKind)>,
}

#[derive(Clone, Copy)]
enum Message {
    Greeting,
    Closed,
}

impl World {
    fn new() -> Self {
        Self {
            tables: [LinkTable::new(key(0)), LinkTable::new(key(1))],
            wires: Vec::new(),
            links: Vec::new(),
        }
    }

    fn describe(&self, side: usize, id: usize) -> Link {
        let (dialer, kind) = self.links[id];
        let peer = key(1 - side as u8);
        Link { id: LinkId(id as u64), peer, instance: OLD, kind, dialed: dialer == side, number: id as u64 }
    }

    fn dial(&mut self, side: usize, kind: LinkKind) {
        let id = self.links.len();
        self.links.push((side, kind));
        self.wires.push(Default::default());
        let link = self.describe(side, id);
        if self.tables[side].offer(link).is_ok() {
            self.wires[id][1 - side].push_back(Message::Greeting);
        }
    }

    /// Delivers one message. Returns whether there was one.
    fn deliver(&mut self, choice: usize) -> bool {
        let pending: Vec<_> =
            (0..self.wires.len() * 2).filter(|i| !self.wires[i / 2][i % 2].is_empty()).collect();
        let Some(&chosen) = pending.get(choice % pending.len().max(1)) else { return false };
        let (id, side) = (chosen / 2, chosen % 2);
        match self.wires[id][side].pop_front().unwrap() {
            Message::Closed => {
                self.tables[side].remove(LinkId(id as u64));
            }
            Message::Greeting => {
                let link = self.describe(side, id);
                match self.tables[side].admit(link) {
                    Verdict::Refuse(_) => self.wires[id][1 - side].push_back(Message::Closed),
                    verdict => {
                        if let Verdict::Replace { close } = verdict {
                            self.wires[close.0 as usize][1 - side].push_back(Message::Closed);
                        }
                        if !link.dialed {
                            self.wires[id][1 - side].push_back(Message::Greeting);
                        }
                    }
                }
            }
        }
        true
    }
}

proptest! {
    #[test]
    fn both_sides_agree_whatever_the_order(steps in prop::collection::vec((any::<bool>(), 0..2_usize, any::<usize>()), 1..40)) {
        let mut world = World::new();
        for (dial, side, choice) in steps {
            if dial || !world.deliver(choice) {
                let kind = if choice % 3 == 0 { LinkKind::Tcp } else { LinkKind::WebSocket };
                world.dial(side, kind);
            }
        }
        let mut choice = 0;
        while world.deliver(choice) {
            choice += 1;
        }
        let carried = [0, 1].map(|side| world.tables[side].session(key(1 - side as u8)).map(|link| link.id));
        prop_assert_eq!(carried[0], carried[1]);
        prop_assert!(carried[0].is_some(), "a peer was dialled and nothing broke, yet there is no link");
    }
}
