//! The commit feed: who wants to know is told of every commit, after it, in commit order, under no lock.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use ditto_crdt::Record;
use ditto_crdt::Sequence;
use ditto_storage::Bytes;
use ditto_value::ValueRef;
use parking_lot::Mutex;

use crate::layout::DocumentKey;

/// One commit that changed documents (or evicted some).
#[derive(Debug)]
pub struct Commit {
    /// Sequence of the first changed document.
    pub first: Sequence,
    /// Sequence of the last changed document, or of the eviction when the commit only evicted.
    pub last: Sequence,
    /// Hash of the peer that sent the commit; `None` for local writes. Whether a single document is exactly
    /// what that peer holds stands in its `changes` row.
    pub origin: Option<u64>,
    /// What changed, by sequence.
    pub changed: Vec<ChangedDocument>,
}

impl Commit {
    /// What changed, in pieces of one collection each.
    pub(crate) fn by_collection(&self) -> impl Iterator<Item = &[ChangedDocument]> {
        self.changed.chunk_by(|left, right| left.key.collection == right.key.collection)
    }

    /// About how many bytes of memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        let length = |record: &Option<Bytes>| record.as_ref().map_or(0, |record| record.len());
        self.changed.iter().map(|document| length(&document.before) + length(&document.after)).sum::<usize>()
            + self.changed.len() * size_of::<ChangedDocument>()
    }
}

/// What a commit did to one document.
#[derive(Clone, Debug)]
pub struct ChangedDocument {
    /// Which document.
    pub key: DocumentKey,
    /// Its sequence; `None` if it was evicted.
    pub sequence: Option<Sequence>,
    /// The record before, tombstones included.
    pub before: Option<Bytes>,
    /// The record after, tombstones included; `None` if it was evicted.
    pub after: Option<Bytes>,
}

impl ChangedDocument {
    /// The visible document before, if there was one.
    pub fn before_value(&self) -> Option<ValueRef<'_>> {
        self.before.as_deref().and_then(visible)
    }

    /// The visible document after, if there is one.
    pub fn after_value(&self) -> Option<ValueRef<'_>> {
        self.after.as_deref().and_then(visible)
    }
}

/// The visible document of a record.
pub(crate) fn visible(record: &[u8]) -> Option<ValueRef<'_>> {
    let record = Record::parse(record).ok()?;
    record.alive.then_some(record.value)
}

/// Is called with every commit.
type CommitHook = dyn Fn(&Arc<Commit>) + Send + Sync;

/// What is called after commits.
#[derive(Clone)]
pub(crate) enum Hook {
    /// With every commit.
    Commit(Arc<CommitHook>),
    /// Without: nothing needs to be put together for it.
    Signal(Arc<dyn Fn() + Send + Sync>),
}

/// Keeps a hook registered; dropping it ends the calls (one that is running ends by itself).
#[must_use = "dropping the handle ends the calls"]
pub struct CommitSubscription {
    feed: Weak<Feed>,
    id: u64,
}

impl Drop for CommitSubscription {
    fn drop(&mut self) {
        if let Some(feed) = self.feed.upgrade() {
            let mut hooks = feed.hooks.lock();
            let kept: Vec<_> = hooks.list.iter().filter(|(id, _)| *id != self.id).cloned().collect();
            hooks.list = kept.into();
            feed.count.store(hooks.with_commit(), Ordering::Release);
        }
    }
}

struct Hooks {
    next: u64,
    list: Arc<[(u64, Hook)]>,
}

impl Hooks {
    fn with_commit(&self) -> usize {
        self.list.iter().filter(|(_, hook)| matches!(hook, Hook::Commit(_))).count()
    }
}

#[derive(Default)]
struct Queue {
    commits: VecDeque<Arc<Commit>>,
    /// Somebody is delivering; whoever else commits only leaves its commit here.
    delivering: bool,
}

pub(crate) struct Feed {
    hooks: Mutex<Hooks>,
    /// How many hooks want a [`Commit`]: without any, nobody builds one.
    count: AtomicUsize,
    /// Commits for the hooks.
    queue: Mutex<Queue>,
    /// Commits for [`Self::tell`].
    untold: Mutex<VecDeque<Arc<Commit>>>,
    /// Held by whoever tells of them.
    telling: Mutex<()>,
}

impl Feed {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            hooks: Mutex::new(Hooks { next: 0, list: Arc::from([]) }),
            count: AtomicUsize::new(0),
            queue: Mutex::new(Queue::default()),
            untold: Mutex::default(),
            telling: Mutex::default(),
        })
    }

    pub(crate) fn subscribe(self: &Arc<Self>, hook: Hook) -> CommitSubscription {
        let mut hooks = self.hooks.lock();
        let id = hooks.next;
        hooks.next += 1;
        hooks.list = hooks.list.iter().cloned().chain([(id, hook)]).collect();
        self.count.store(hooks.with_commit(), Ordering::Release);
        CommitSubscription { feed: Arc::downgrade(self), id }
    }

    pub(crate) fn has_hooks(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }

    /// Called while the writer is held, so that the queues have the order of the commits.
    pub(crate) fn push(&self, commit: Commit) {
        let commit = Arc::new(commit);
        if self.has_hooks() {
            self.queue.lock().commits.push_back(Arc::clone(&commit));
        }
        self.untold.lock().push_back(commit);
    }

    /// Called after the writer was given back, by every writer that committed. Calls `tell` with every commit, and
    /// returns when it has returned for the caller's: what a writer does next comes after everybody was told of what it
    /// did. `tell` must not write and must not wait for anybody who does.
    pub(crate) fn tell(&self, tell: impl Fn(&Arc<Commit>)) {
        let turn = self.telling.lock();
        loop {
            let Some(commit) = self.untold.lock().pop_front() else { break };
            tell(&commit);
        }
        drop(turn);
    }

    /// Called after the writer was given back, by every writer that committed.
    pub(crate) fn signal(&self) {
        let hooks = Arc::clone(&self.hooks.lock().list);
        for (_, hook) in hooks.iter() {
            if let Hook::Signal(hook) = hook {
                hook();
            }
        }
    }

    /// Called after the writer was given back. Calls the hooks with every queued commit, unless another thread (or a
    /// caller further up this stack) is at it already.
    pub(crate) fn deliver(&self) {
        {
            let mut queue = self.queue.lock();
            if queue.delivering || queue.commits.is_empty() {
                return;
            }
            queue.delivering = true;
        }
        let done = Delivering(self);
        loop {
            let commit = {
                let mut queue = self.queue.lock();
                match queue.commits.pop_front() {
                    Some(commit) => commit,
                    None => {
                        queue.delivering = false;
                        std::mem::forget(done);
                        return;
                    }
                }
            };
            let hooks = Arc::clone(&self.hooks.lock().list);
            for (_, hook) in hooks.iter() {
                if let Hook::Commit(hook) = hook {
                    hook(&commit);
                }
            }
        }
    }
}

/// Lets others deliver even if a hook panics.
struct Delivering<'a>(&'a Feed);

impl Drop for Delivering<'_> {
    fn drop(&mut self) {
        self.0.queue.lock().delivering = false;
    }
}
