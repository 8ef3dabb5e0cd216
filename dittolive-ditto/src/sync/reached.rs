use std::{
    future::Future,
    mem,
    num::NonZeroU64,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
};

use serde::Serialize;

use crate::{
    cbor::{self, CborValueGetters},
    dql::QueryResult,
    error::{DittoError, ErrorKind},
    ffi,
    instance::Instance,
};

/// Who has acknowledged a commit; `:peer` is null for anybody.
const QUERY: &str = "SELECT _id FROM system:data_sync_info \
                     WHERE documents.synced_up_to_local_commit_id >= :commit AND (:peer IS NULL OR _id = :peer) LIMIT 1";

#[derive(Serialize)]
struct Arguments<'a> {
    commit: NonZeroU64,
    peer: Option<&'a str>,
}

/// Waits until a commit has reached a peer, from [`Sync::commit_reached`](super::Sync::commit_reached). Dropping it ends the
/// wait.
pub(super) struct Reached {
    shared: Arc<Mutex<State>>,
    /// Kept for its end.
    _observer: ffi::Observer,
}

#[derive(Default)]
enum State {
    #[default]
    Unpolled,
    Awaited(Waker),
    Reached(String),
    /// The instance is closed.
    Ended,
}

/// Tells of the end when the observer, whose handler owns it, is gone.
struct Teller(Arc<Mutex<State>>);

impl Teller {
    fn tell(&self, news: State) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Reached(_)) {
            return;
        }
        let earlier = mem::replace(&mut *state, news);
        drop(state);
        if let State::Awaited(waker) = earlier {
            waker.wake();
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.tell(State::Ended);
    }
}

impl Reached {
    pub(super) fn wait(
        instance: &Instance,
        commit: NonZeroU64,
        peer: Option<&str>,
    ) -> Result<Self, DittoError> {
        let arguments = cbor::to_vec(&Arguments { commit, peer })?;
        let shared: Arc<Mutex<State>> = Arc::default();
        let teller = Teller(shared.clone());
        let handler = move |result, signal: ffi::Signal| {
            let rows = QueryResult::new(result);
            let row = rows.iter().next().map(|row| row.value());
            let peer = row.as_ref().and_then(|row| row.get("_id")?.as_str().map(str::to_owned));
            match peer {
                Some(peer) => teller.tell(State::Reached(peer)),
                None => signal.next(),
            }
        };
        Ok(Self { shared, _observer: instance.peer.observe(QUERY, &arguments, handler)? })
    }
}

impl Future for Reached {
    type Output = Result<String, DittoError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *state {
            State::Reached(peer) => Poll::Ready(Ok(peer.clone())),
            State::Ended => Poll::Ready(Err(ErrorKind::ReleasedDittoInstance.into())),
            waiting => {
                *waiting = State::Awaited(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
