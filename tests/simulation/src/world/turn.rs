//! One process has its turn: it acts, and what it asks for is done.

use ditto_replication::limits::{MAX_BUFFERED_BYTES, MAX_QUEUE_BYTES};
use ditto_replication::{CloseReason, Event, Violation};

use crate::excuses::Look;
use crate::incident::{Incident, count};
use crate::intruder::{self, TO_INTRUDER};
use crate::network::Fate;
use crate::older::without_capabilities;
use crate::oracle::{self, sanity};
use crate::peer::Process;
use crate::sabotage::Sabotage;
use crate::tally;
use crate::world::{Happening, START, World};

/// From this latency on a few turns take as long as anybody waits.
const SLOW_MS: u64 = 1_000;

impl World {
    pub(super) fn arrive(&mut self, link: usize, epoch: u64, side: usize, bytes: &[u8]) {
        if self.links[link].epoch != epoch {
            return;
        }
        let wire = &mut self.links[link];
        let was_full = wire.is_full(side);
        wire.deliver(side, bytes.len());
        let (from, to) = (wire.ends[side], wire.ends[1 - side]);
        let is_free = was_full && !wire.is_full(side);
        self.imprint(bytes);
        self.fingerprint ^= self.now ^ link as u64;
        let now = self.now;
        self.with(to, |process| {
            if let Some(session) = process.sessions.get(&link) {
                process.replicator.receive(*session, bytes, &mut process.replica, now);
            }
        });
        if is_free && self.links[link].epoch == epoch {
            self.with(from, |process| {
                if let Some(session) = process.sessions.get(&link) {
                    process.replicator.set_blocked(*session, false);
                }
            });
        }
    }

    pub(crate) fn imprint(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.fingerprint = (self.fingerprint ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Lets a process act and carries out what it asks for.
    pub(crate) fn with(&mut self, peer: usize, act: impl FnOnce(&mut Process)) {
        let Some(process) = &mut self.peers[peer].process else { return };
        act(process);
        self.pump(peer);
    }

    /// Sends, looks at events, and makes appointments.
    pub(crate) fn pump(&mut self, peer: usize) {
        let now = self.now;
        let sizes = self.peers[peer].sizes;
        let usual = sanity::usual_length(self.climate.large);
        let Some(process) = &mut self.peers[peer].process else { return };
        process.replicator.committed(&mut process.replica, now);
        for (link, session) in &process.sessions {
            // Who asks for more than it reads is answered until that is too much.
            let bound = |longest| match *link == TO_INTRUDER {
                true => MAX_QUEUE_BYTES,
                false => sanity::most_queued(&sizes, longest),
            };
            let times = if self.shared.sabotage == Some(Sabotage::DeepQueues) { 1_000 } else { 1 };
            let queued = times * process.replicator.queued_bytes(*session);
            if queued > bound(usual) {
                let most = bound(usual.max(sanity::longest_document(process)));
                if queued > most {
                    self.overfull = Some(format!("{queued} bytes waited in one session, more than {most}"));
                }
            }
        }
        self.look_at_buffers(peer);
        self.take_receipts(peer);
        self.take_stale_copies(peer);
        self.send(peer);
        let is_whole_again = self.peers[peer].look_for_tears();
        let Some(process) = &mut self.peers[peer].process else { return };
        let mut events = Vec::new();
        while let Some(event) = process.replicator.poll_event() {
            let is_kept_back = self.shared.sabotage == Some(Sabotage::UnreportedLeavings)
                && matches!(event, Event::DocumentsLeft { .. });
            if !matches!(event, Event::Progress { .. }) && !is_kept_back {
                events.push(event);
            }
        }
        let timeout = process.replicator.next_timeout();
        let unsynced = process.replicator.awaits_durability()
            || process.store.durable_sequence() < process.store.last_sequence();
        let last = process.store.last_sequence();
        let has_changed = last > self.peers[peer].seen;
        if has_changed {
            let seen = std::mem::replace(&mut self.peers[peer].seen, last);
            self.last_change = now;
            self.trace
                .note(now - START, || format!("peer {peer} changes {}", self.peers[peer].changed(seen)));
            if let Some(half) = oracle::half_document(&self.peers[peer], seen) {
                self.note(|| half.clone());
                self.verdicts.push(half);
            }
        }
        if events.iter().any(|event| matches!(event, Event::LeftInPart { .. })) {
            self.look_at_transactions(peer, Look::Opened);
        } else if has_changed || is_whole_again {
            self.look_at_transactions(peer, Look::Changed);
        }
        if let Some(timeout) = timeout {
            // Whoever is busy looks at the clock late.
            let late = self.random.below(self.tardiness.max(1));
            let due = timeout.max(now + 1) + late;
            if self.peers[peer].tick_due.is_none_or(|present| due < present) {
                self.peers[peer].tick_due = Some(due);
                self.schedule(due - now, Happening::Tick { peer });
            }
        }
        if unsynced && self.peers[peer].sync_due.is_none() {
            let late = if self.shared.sabotage == Some(Sabotage::LateSyncs) { 20_000 } else { 0 };
            let delay = self.random.between(1, 30) + late;
            self.peers[peer].sync_due = Some(now + delay);
            let boot = self.peers[peer].boots;
            self.schedule(delay, Happening::Sync { peer, boot });
        }
        self.look_at_leavings(peer, &events);
        for event in events {
            self.note(|| format!("peer {peer}: {event:?}"));
            if self.react(peer, &event) {
                self.peers[peer].events.push(event);
            } else {
                return self.disk_failed(peer, "it failed in a session");
            }
        }
    }

    /// What waits of what has come.
    fn look_at_buffers(&mut self, peer: usize) {
        let usual = sanity::usual_length(self.climate.large);
        let Some(process) = &self.peers[peer].process else { return };
        let own = &self.peers[peer].sizes;
        for (link, session) in &process.sessions {
            let mut buffered = process.replicator.buffered(*session);
            match self.shared.sabotage {
                Some(Sabotage::DeepBuffers) => {
                    buffered.documents *= 1_000;
                    buffered.counted *= 1_000;
                }
                Some(Sabotage::UncountedBuffers) => buffered.counted = 0,
                _ => {}
            }
            let most = |longest| match self.links.get(*link) {
                Some(wire) => sanity::most_buffered(own, &self.peers[wire.other(peer)].sizes, longest),
                // It sends what it likes.
                None => MAX_BUFFERED_BYTES,
            };
            if sanity::wrong_buffer(buffered, most(usual)).is_some() {
                let processes = self.peers.iter().filter_map(|peer| peer.process.as_ref());
                let longest = processes.map(sanity::longest_document).max().unwrap_or(0);
                if let Some(wrong) = sanity::wrong_buffer(buffered, most(longest.max(usual))) {
                    self.overfull = Some(wrong);
                }
            }
        }
    }

    fn send(&mut self, peer: usize) {
        let older: Vec<bool> = self.peers.iter().map(|peer| peer.older).collect();
        loop {
            let Some(process) = &mut self.peers[peer].process else { return };
            let Some((session, mut bytes)) = process.replicator.poll_transmit() else { return };
            tally::message(&mut self.tally, &bytes);
            let Some(link) = process.link(session) else { continue };
            if link == TO_INTRUDER {
                self.tell_intruder(peer, bytes);
                continue;
            }
            let wire = &mut self.links[link];
            let (side, epoch) = (wire.side(peer), wire.epoch);
            if wire.ends.iter().any(|end| older[*end]) {
                bytes = without_capabilities(bytes);
            }
            let fate = wire.send(side, bytes.len(), self.now, &mut self.random);
            count(&mut self.tally, Incident::Full, u64::from(wire.is_full(side)));
            if wire.is_full(side) || self.shared.sabotage == Some(Sabotage::EndlessWaiting) {
                process.replicator.set_blocked(session, true);
            }
            match (self.shared.sabotage, bytes.first_mut()) {
                (Some(Sabotage::AlteredMessages), Some(first)) if self.random.percent(1) => *first = 0xff,
                (Some(Sabotage::LostMessages), _) if !self.stormy && self.random.percent(5) => continue,
                _ => {}
            }
            match fate {
                Fate::Arrives(delay) => self.schedule(delay, Happening::Arrival { link, epoch, side, bytes }),
                Fate::Lost(delay) => {
                    self.count(Incident::Lost);
                    self.schedule(delay, Happening::Break { link, epoch });
                }
            }
        }
    }

    /// Does what an event asks for; false if the disk failed.
    fn react(&mut self, peer: usize, event: &Event) -> bool {
        match event {
            event if intruder::has_caused(event) => self.react_to_intruder(peer, event),
            Event::SessionFailed { reason: CloseReason::Replica(_), .. } => false,
            Event::SessionFailed { session, reason, .. } => {
                // On a line that is too narrow for what is said, or if that takes many turns of seconds, an answer may take
                // longer than anybody waits.
                let patient = matches!(reason, CloseReason::Violation(Violation::Timeout(_)));
                let many_turns = self.small && self.climate.latency >= SLOW_MS;
                let excused = patient && (self.climate.narrow && self.stormy || many_turns);
                if matches!(reason, CloseReason::Violation(_)) && !excused {
                    self.verdicts.push(format!("peer {peer}: {event:?}"));
                }
                count(&mut self.tally, Incident::Excused, u64::from(excused));
                let link = self.peers[peer].process.as_ref().and_then(|process| process.link(*session));
                if let Some(link) = link {
                    let epoch = self.links[link].epoch;
                    self.schedule(1, Happening::Break { link, epoch });
                }
                true
            }
            Event::ForkDetected { run, sequence, .. } => {
                if !self.peers[peer].forked {
                    self.verdicts.push(format!("peer {peer} is no copy, but {event:?}"));
                }
                self.count(Incident::Fork);
                self.excuse_all_parts();
                self.peers[peer].answer_fork(*run, *sequence).is_ok()
            }
            Event::SubscriptionRefused { .. } if self.scoped => {
                self.count(Incident::RefusedSubscription);
                // Where nothing comes any more nobody waits for the rest either.
                self.excuse_all_parts();
                true
            }
            Event::DocumentRefused { key, .. } if self.expects_refusal(peer, key) => true,
            Event::DocumentRefused { .. } | Event::SubscriptionRefused { .. } => {
                self.verdicts.push(format!("peer {peer}: {event:?}"));
                true
            }
            _ => true,
        }
    }

    pub(super) fn sync(&mut self, peer: usize) {
        let now = self.now;
        let Some(process) = &mut self.peers[peer].process else { return };
        match process.store.sync() {
            Ok(_) if self.shared.sabotage == Some(Sabotage::ForgottenSyncs) && !self.stormy => {}
            Ok(durable) => {
                process.replicator.durable(durable, &mut process.replica, now);
                self.pump(peer);
            }
            Err(error) => self.disk_failed(peer, &error.to_string()),
        }
    }
}
