//! The links of all peers: which carries the session, and in what order their ups and downs are told.

use std::collections::HashMap;
use std::sync::Arc;

use ditto_mesh::{Link, LinkId, LinkTable, PeerKey, Redundant, Verdict};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::LinkSender;
use crate::event::LinkDown;
use crate::sender::LinkShared;

pub(crate) struct Registry {
    state: Mutex<State>,
    withdrawn: Notify,
}

struct State {
    table: LinkTable,
    /// Links whose end has not been told yet, so also those that have left the table.
    live: HashMap<LinkId, Arc<LinkShared>>,
}

impl Registry {
    pub(crate) fn new(local: PeerKey) -> Self {
        Self {
            state: Mutex::new(State { table: LinkTable::new(local), live: HashMap::new() }),
            withdrawn: Notify::new(),
        }
    }

    /// [`LinkTable::offer`]; the link leaves the table when the claim is dropped.
    pub(crate) fn offer(self: &Arc<Self>, link: Link) -> Result<Claim, Redundant> {
        self.state.lock().table.offer(link)?;
        Ok(self.claim(link.id))
    }

    /// The claim of a link that is not in the table yet.
    pub(crate) fn claim(self: &Arc<Self>, id: LinkId) -> Claim {
        Claim { registry: self.clone(), id }
    }

    /// [`LinkTable::admit`]. Returns the ends of older links to the same peer, which must be told before this one is.
    pub(crate) fn admit(&self, link: Link, sender: &LinkSender) -> Result<Vec<CancellationToken>, Redundant> {
        let mut state = self.state.lock();
        match state.table.admit(link) {
            Verdict::Carry => {}
            Verdict::Replace { close } => {
                if let Some(old) = state.live.get(&close) {
                    old.close(LinkDown::Superseded);
                }
            }
            Verdict::Refuse(redundant) => {
                // The other side may have dialled because it has lost the link that we keep.
                if let Redundant::Existing { keep } = redundant
                    && let Some(kept) = state.live.get(&keep)
                {
                    kept.probe.notify_one();
                }
                return Err(redundant);
            }
        }
        let older = state.live.values().filter(|other| other.peer == link.peer);
        let ends = older.map(|other| other.ended.clone()).collect();
        state.live.insert(link.id, sender.shared().clone());
        Ok(ends)
    }

    /// The end of a link has been told.
    pub(crate) fn ended(&self, id: LinkId) {
        if let Some(link) = self.state.lock().live.remove(&id) {
            link.ended.cancel();
        }
    }

    /// Waits until no link carries a session with `peer`.
    pub(crate) async fn disconnected(&self, peer: PeerKey) {
        loop {
            let withdrawn = self.withdrawn.notified();
            if self.state.lock().table.session(peer).is_none() {
                return;
            }
            withdrawn.await;
        }
    }

    fn withdraw(&self, id: LinkId) {
        self.state.lock().table.remove(id);
        self.withdrawn.notify_waiters();
    }
}

/// A link's place in the table, given up when dropped.
pub(crate) struct Claim {
    registry: Arc<Registry>,
    id: LinkId,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.registry.withdraw(self.id);
    }
}
