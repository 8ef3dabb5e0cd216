//! Threads that come and go with the work, for jobs that may block.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// A thread without work ends after this time, unless it is the last one.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// What a pool is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The name of its threads; at most 15 bytes of it are shown by the system.
    pub name: &'static str,
    /// Threads at once. When all of them are busy, further jobs wait.
    pub most: usize,
    /// So many busy threads are worth a warning.
    pub many: usize,
}

/// Runs jobs in the order of arrival, each on a thread of its own as long as there are enough. One thread is always
/// there. Dropping the pool drops the jobs that have not begun; those that run end by themselves.
pub(crate) struct ThreadPool(Arc<Shared>);

struct Shared {
    limits: Limits,
    state: Mutex<State>,
    /// A job has come, or the end.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    /// Of these, those that wait for a job.
    idle: usize,
    stopped: bool,
    /// That many are busy was reported, and there were not few since.
    reported: Report,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Report {
    #[default]
    Nothing,
    Many,
    All,
}

impl ThreadPool {
    /// # Errors
    /// The operating system refuses a thread.
    pub(crate) fn start(limits: Limits) -> io::Result<Self> {
        let state = State { threads: 1, ..State::default() };
        let shared = Arc::new(Shared { limits, state: Mutex::new(state), changed: Condvar::new() });
        Shared::start_thread(&shared)?;
        Ok(Self(shared))
    }

    /// Has `job` run. After [`Self::stop`] it is dropped.
    pub(crate) fn spawn(&self, job: Job) {
        let shared = &self.0;
        let mut state = shared.state.lock();
        if state.stopped {
            drop(state);
            // Outside of the lock: what it owns may do anything when it is dropped.
            drop(job);
            return;
        }
        state.jobs.push_back(job);
        let report = shared.report(&mut state);
        let more = state.jobs.len() > state.idle && state.threads < shared.limits.most;
        state.threads += usize::from(more);
        let busy = state.threads - state.idle;
        shared.changed.notify_one();
        drop(state);
        let Limits { name, most, .. } = shared.limits;
        match report {
            Some(Report::All) => {
                tracing::error!(
                    "all {most} threads `{name}` are busy: callbacks wait until others have returned"
                );
            }
            Some(_) => tracing::warn!(
                "{busy} threads `{name}` are busy at once, of at most {most}: callbacks should return soon"
            ),
            None => {}
        }
        if more && let Err(error) = Shared::start_thread(shared) {
            shared.state.lock().threads -= 1;
            tracing::error!(%error, "no further thread `{name}`: callbacks wait until others have returned");
        }
    }

    /// Drops the jobs that have not begun, and all that come.
    pub(crate) fn stop(&self) {
        let jobs = {
            let mut state = self.0.state.lock();
            state.stopped = true;
            mem::take(&mut state.jobs)
        };
        self.0.changed.notify_all();
        // Outside of the lock, as in `spawn`.
        drop(jobs);
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    /// Takes note of how many threads are busy; answers with what is to be said of it.
    fn report(&self, state: &mut State) -> Option<Report> {
        let (waiting, busy) = (state.jobs.len(), state.threads - state.idle);
        let found = if busy >= self.limits.most && waiting > 0 {
            Report::All
        } else if busy >= self.limits.many {
            Report::Many
        } else {
            // So that a number that goes up and down is not reported each time.
            if busy < self.limits.many / 2 {
                state.reported = Report::Nothing;
            }
            return None;
        };
        let is_news = found > state.reported;
        state.reported = found.max(state.reported);
        is_news.then_some(found)
    }

    /// Starts a thread that is counted already.
    fn start_thread(shared: &Arc<Self>) -> io::Result<()> {
        let run = Arc::clone(shared);
        thread::Builder::new().name(shared.limits.name.to_owned()).spawn(move || run.serve())?;
        Ok(())
    }

    fn serve(&self) {
        while let Some(job) = self.next() {
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                tracing::error!("a job of a thread `{}` panicked", self.limits.name);
            }
        }
    }

    /// Waits for a job; `None` if this thread is to end.
    fn next(&self) -> Option<Job> {
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            if state.stopped {
                state.threads -= 1;
                return None;
            }
            state.idle += 1;
            let waited_long = self.changed.wait_for(&mut state, KEEP_ALIVE).timed_out();
            state.idle -= 1;
            if waited_long && state.jobs.is_empty() && state.threads > 1 {
                state.threads -= 1;
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn pool(most: usize) -> ThreadPool {
        ThreadPool::start(Limits { name: "test", most, many: most }).unwrap()
    }

    /// A job that says that it has begun, and waits until the sender is dropped.
    fn blocking(pool: &ThreadPool, begun: &mpsc::Sender<()>) -> mpsc::Sender<()> {
        let (release, released) = mpsc::channel::<()>();
        let begun = begun.clone();
        pool.spawn(Box::new(move || {
            begun.send(()).unwrap();
            // Nobody whose job has begun sends.
            let _ = released.recv();
        }));
        release
    }

    #[test]
    fn jobs_that_block_leave_the_others_a_thread_up_to_the_bound() {
        let pool = pool(3);
        let (sender, begun) = mpsc::channel();
        let blocked: Vec<_> = (0..3).map(|_| blocking(&pool, &sender)).collect();
        (0..3).for_each(|_| begun.recv_timeout(PATIENCE).unwrap());
        let (sender, order) = mpsc::channel();
        for number in 0..2 {
            let sender = sender.clone();
            pool.spawn(Box::new(move || sender.send(number).unwrap()));
        }
        {
            let state = pool.0.state.lock();
            assert_eq!((state.threads, state.jobs.len(), state.reported), (3, 2, Report::All));
        }
        drop(blocked);
        // Each on a thread of its own, so in any order.
        let mut done = [order.recv_timeout(PATIENCE), order.recv_timeout(PATIENCE)].map(Result::unwrap);
        done.sort_unstable();
        assert_eq!(done, [0, 1]);
    }

    #[test]
    fn a_thread_that_is_free_is_used_again_also_after_a_panic() {
        let pool = pool(8);
        let (sender, threads) = mpsc::channel();
        let rest = || {
            while pool.0.state.lock().idle == 0 {
                thread::yield_now();
            }
        };
        rest();
        for _ in 0..3 {
            let panicking = sender.clone();
            pool.spawn(Box::new(move || {
                panicking.send(thread::current().id()).unwrap();
                panic!("the job panics");
            }));
            let first = threads.recv_timeout(PATIENCE).unwrap();
            rest();
            let sender = sender.clone();
            pool.spawn(Box::new(move || sender.send(thread::current().id()).unwrap()));
            assert_eq!(threads.recv_timeout(PATIENCE), Ok(first));
            rest();
        }
    }

    #[test]
    fn a_pool_that_stops_drops_what_has_not_begun() {
        let pool = pool(1);
        let (sender, begun) = mpsc::channel();
        let running = blocking(&pool, &sender);
        begun.recv_timeout(PATIENCE).unwrap();
        let waiting = blocking(&pool, &sender);
        pool.stop();
        assert!(waiting.send(()).is_err(), "its job is gone");
        assert!(blocking(&pool, &sender).send(()).is_err());
        drop(running);
        drop(sender);
        let more = begun.recv_timeout(PATIENCE);
        assert_eq!(more, Err(mpsc::RecvTimeoutError::Disconnected), "none of them has begun");
        while pool.0.state.lock().threads > 0 {
            thread::yield_now();
        }
    }
}
