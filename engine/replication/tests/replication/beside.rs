//! Two honest peers, and beside them somebody who tells one of them whatever a test says.

use crate::model::Model;
use crate::net::{Net, Node, int, peer_id};
use crate::plants::PLANTS;
use crate::victim::{hello_of, message, number};
use ditto_crdt::Sequence;
use ditto_replication::{CloseReason, Event, SessionId};

/// The session of the one who is told.
const BAD: SessionId = SessionId(1_000);
const TOLD: usize = 1;

pub struct Beside {
    pub net: Net,
    /// Documents that the honest ones have written to see whether they arrive.
    written: usize,
}

impl Beside {
    /// Both hold so many documents, and want all; the third has greeted, as somebody who reads no packed messages.
    pub fn new(documents: usize) -> Self {
        let mut net = Net::new(2);
        for number in 0..documents {
            let now = net.now;
            net.model(TOLD).insert(now, "plants", &format!("fern {number}"), &[("light", int(1))]);
        }
        net.subscribe(0, PLANTS);
        net.subscribe(1, PLANTS);
        net.connect(0, 1);
        net.rest();
        let mut remote = Model::new(3);
        for number in 0..40 {
            remote.insert(1_000, "plants", &format!("moss {number}"), &[("light", int(1))]);
        }
        remote.sync();
        let now = net.now;
        let Node { replicator, model, .. } = &mut net.nodes[TOLD];
        replicator.connected(BAD, peer_id(2), model, now);
        let mut beside = Self { net, written: 0 };
        beside.tell(&[hello_of(remote), number(8, 0)].concat());
        assert!(beside.net.nodes[TOLD].replicator.is_ready(BAD));
        beside.read();
        // Its interest 1 is told from 0, in whatever run.
        beside.tell(&message(3, &[number(1, 1)]));
        beside
    }

    pub fn tell(&mut self, message: &[u8]) {
        let now = self.net.now;
        let Node { replicator, model, .. } = &mut self.net.nodes[TOLD];
        replicator.receive(BAD, message, model, now);
    }

    /// What the third is told.
    pub fn read(&mut self) -> Vec<Vec<u8>> {
        self.net.take_foreign(TOLD).into_iter().map(|(_, message)| message).collect()
    }

    /// Whether it reads nothing from now on.
    pub fn block(&mut self, is_blocked: bool) {
        self.net.nodes[TOLD].replicator.set_blocked(BAD, is_blocked);
    }

    /// Bytes that are held on its account, and that wait for it.
    pub fn memory(&self) -> usize {
        let replicator = &self.net.nodes[TOLD].replicator;
        replicator.held_bytes(BAD).unwrap_or_default().max(self.queued())
    }

    pub fn queued(&self) -> usize {
        self.net.nodes[TOLD].replicator.queued_bytes(BAD)
    }

    /// What it has acknowledged.
    pub fn acknowledged(&self) -> Sequence {
        self.net.statistics(TOLD, BAD).acknowledged
    }

    /// How much the one who is told has looked at until now.
    pub fn looked_at(&self) -> usize {
        let model = &self.net.nodes[TOLD].model;
        model.documents_read.get() + model.stock_read.get() + model.answers_read.get() + model.named.get()
    }

    /// The honest ones hear of each other's changes.
    pub fn assert_others_are_served(&mut self) {
        self.written += 1;
        let id = format!("oak {}", self.written);
        let now = self.net.now;
        for peer in 0..2 {
            self.net.model(peer).insert(now, "plants", &format!("{id} of {peer}"), &[("light", int(1))]);
        }
        self.net.settle();
        for (peer, other) in [(0, 1), (1, 0)] {
            let id = format!("{id} of {other}");
            assert!(self.net.model(peer).visible("plants", &id).is_some(), "{id} at {peer}");
        }
    }

    /// Why the session with the third has ended, if it has; no other may.
    pub fn failure(&mut self) -> Option<CloseReason> {
        self.net.collect_events();
        let mut failed =
            self.net.nodes.iter().flat_map(|node| &node.events).filter_map(|event| match event {
                Event::SessionFailed { session, reason, .. } => Some((*session, reason.clone())),
                _ => None,
            });
        let first = failed.next();
        assert!(failed.next().is_none() && first.as_ref().is_none_or(|(session, _)| *session == BAD));
        first.map(|(_, reason)| reason)
    }
}
