//! Two peers of one store: a publisher that has documents, and a subscriber behind a relay.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use ditto_rivals::Failure;
use ditto_rivals::measure::{Latencies, PATIENCE};
use ditto_rivals::protocol::{Command, Invitation, Transport};
use ditto_rivals::relay::Relay;
use ditto_rivals::udp::UdpRelay;
use tempfile::{TempDir, tempdir};

use crate::child::Peer;
use crate::stores::Store;

/// How long loading may take: it is not measured.
const LOADING: Duration = Duration::from_secs(600);

/// How long a connection must be silent to count as having nothing more to say.
const QUIET: Duration = Duration::from_secs(1);

/// Changes of one document before the next one has its turn: some stores tell the whole history of a document.
const CHANGES_EACH: usize = 10;

const POLL: Duration = Duration::from_millis(1);

pub struct Pair {
    store: &'static Store,
    /// Ends before the publisher: it would try to connect again.
    subscriber: Option<Peer>,
    publisher: Peer,
    invitation: Invitation,
    relay: Counter,
    /// What the publisher set as a population last.
    population: u64,
    /// Which document is changed next.
    watched: usize,
    /// Of the subscriber. The publisher's is kept for as long as its peer.
    directory: TempDir,
    #[expect(dead_code, reason = "the database goes with its directory")]
    published: TempDir,
}

/// A relay of either kind.
enum Counter {
    Tcp(Relay),
    Udp(UdpRelay),
}

impl Counter {
    fn start(invitation: &Invitation) -> Result<Self, Failure> {
        Ok(match invitation.transport {
            Transport::Tcp => Self::Tcp(Relay::start(invitation.address)?),
            Transport::Udp => Self::Udp(UdpRelay::start(invitation.address)?),
        })
    }

    fn quiet(&self) -> Result<f64, Failure> {
        Ok(match self {
            Self::Tcp(relay) => relay.quiet(QUIET)?,
            Self::Udp(relay) => relay.quiet(QUIET)?,
        } as f64)
    }

    fn bytes(&self) -> f64 {
        match self {
            Self::Tcp(relay) => relay.bytes() as f64,
            Self::Udp(relay) => relay.bytes() as f64,
        }
    }

    /// The same invitation, by way of the relay.
    fn invitation(&self, direct: &Invitation) -> Invitation {
        let address = match self {
            Self::Tcp(relay) => relay.address(),
            Self::Udp(relay) => relay.address(),
        };
        Invitation { address, ..direct.clone() }
    }
}

impl Pair {
    /// A publisher with the first `count` documents of a file, and a subscriber that got them through the relay within
    /// `limit`. Returns also how many bytes that took.
    pub fn new(
        store: &'static Store,
        file: &Path,
        count: usize,
        limit: Duration,
    ) -> Result<(Self, f64), Failure> {
        let (published, directory) = (tempdir()?, tempdir()?);
        let mut publisher = Peer::open(store, published.path(), false)?;
        publisher.ask_patiently(&Command::Load { file: file.to_owned(), count }, LOADING)?;
        let invitation = publisher.listen()?;
        let relay = Counter::start(&invitation)?;
        let subscriber = None;
        let mut pair = Self {
            store,
            publisher,
            invitation,
            relay,
            subscriber,
            population: 0,
            watched: 0,
            directory,
            published,
        };
        let subscriber = pair.rejoin()?;
        subscriber.ask_patiently(&Command::WaitForDocuments { count }, limit)?;
        let bytes = pair.relay.quiet()?;
        Ok((pair, bytes))
    }

    /// Opens the subscriber's database in a new process and connects through the relay.
    fn rejoin(&mut self) -> Result<&mut Peer, Failure> {
        let mut subscriber = Peer::open(self.store, self.directory.path(), true)?;
        let invitation = self.relay.invitation(&self.invitation);
        subscriber.ask(&Command::Connect { invitation })?;
        Ok(self.subscriber.insert(subscriber))
    }

    /// Ends the subscriber's process, and returns what has passed by then.
    fn leave(&mut self) -> Result<f64, Failure> {
        if let Some(subscriber) = self.subscriber.take() {
            subscriber.close()?;
        }
        self.relay.quiet()
    }

    /// Another subscriber with nothing, without the relay: how long it takes to get `count` documents.
    fn another(
        &mut self,
        directory: &Path,
        count: usize,
        limit: Duration,
    ) -> Result<(Peer, Duration), Failure> {
        let mut subscriber = Peer::open(self.store, directory, false)?;
        let start = Instant::now();
        subscriber.ask(&Command::Connect { invitation: self.invitation.clone() })?;
        subscriber.ask_patiently(&Command::WaitForDocuments { count }, limit)?;
        Ok((subscriber, start.elapsed()))
    }

    /// Documents a second of a first sync, and the greatest memory of who receives.
    pub fn first_sync(&mut self, count: usize, limit: Duration) -> Result<[f64; 2], Failure> {
        let directory = tempdir()?;
        let (subscriber, time) = self.another(directory.path(), count, limit)?;
        let memory = subscriber.peak_memory()?;
        subscriber.close()?;
        Ok([count as f64 / time.as_secs_f64(), memory])
    }

    /// Milliseconds and bytes until the subscriber has what changed while it was away, and its greatest memory, that of
    /// opening its database included.
    pub fn resync(&mut self, ids: Vec<String>) -> Result<[f64; 3], Failure> {
        let before = self.leave()?;
        let population = self.next_population();
        self.publisher.ask(&Command::Change { ids: ids.clone(), population })?;
        let mut subscriber = Peer::open(self.store, self.directory.path(), true)?;
        let invitation = self.relay.invitation(&self.invitation);
        let start = Instant::now();
        subscriber.ask(&Command::Connect { invitation })?;
        subscriber.ask(&Command::WaitForChanges { ids, population })?;
        let time = start.elapsed();
        let bytes = self.relay.quiet()? - before;
        let memory = subscriber.peak_memory()?;
        self.subscriber = Some(subscriber);
        Ok([milliseconds(time), bytes, memory])
    }

    /// Bytes of a connection while nothing has changed.
    pub fn reconnect(&mut self) -> Result<[f64; 1], Failure> {
        let before = self.leave()?;
        self.rejoin()?;
        let start = Instant::now();
        while self.relay.bytes() == before {
            if start.elapsed() > PATIENCE {
                return Err("no new connection was made".into());
            }
            thread::sleep(POLL);
        }
        Ok([self.relay.quiet()? - before])
    }

    /// Milliseconds, p50 and p99, from the command to change a document to the answer that it arrived, and of a
    /// command and its answer alone, without the relay.
    pub fn latency(&mut self, ids: &[String], count: usize) -> Result<[f64; 3], Failure> {
        self.leave()?;
        let directory = tempdir()?;
        let (mut subscriber, _) = self.another(directory.path(), ids.len(), PATIENCE)?;
        // For warming up.
        self.changes(&mut subscriber, ids, count.div_ceil(10))?;
        let latencies = self.changes(&mut subscriber, ids, count)?;
        let mut pipe = Latencies::default();
        for _ in 0..count {
            let start = Instant::now();
            subscriber.ask(&Command::Nothing)?;
            pipe.push(start.elapsed());
        }
        subscriber.close()?;
        Ok([latencies.percentile(50), latencies.percentile(99), pipe.percentile(50)].map(milliseconds))
    }

    /// Bytes of one change, its answers included.
    pub fn change_bytes(&mut self, ids: &[String], count: usize) -> Result<[f64; 1], Failure> {
        self.leave()?;
        self.rejoin()?;
        let mut subscriber = self.subscriber.take().ok_or("no subscriber")?;
        self.changes(&mut subscriber, ids, 1)?;
        let before = self.relay.quiet()?;
        self.changes(&mut subscriber, ids, count)?;
        let bytes = self.relay.quiet()? - before;
        self.subscriber = Some(subscriber);
        Ok([bytes / count as f64])
    }

    /// One change after another, a few to each of the documents: how long each took.
    fn changes(&mut self, subscriber: &mut Peer, ids: &[String], count: usize) -> Result<Latencies, Failure> {
        let mut latencies = Latencies::default();
        for number in 0..count {
            let id = ids.get(self.watched % ids.len()).ok_or("no documents")?;
            if number % CHANGES_EACH == 0 {
                subscriber.ask(&Command::Watch { id: id.clone() })?;
            }
            latencies.push(self.change(subscriber, id)?);
            if number % CHANGES_EACH == CHANGES_EACH - 1 || number == count - 1 {
                self.watched += 1;
            }
        }
        Ok(latencies)
    }

    /// Changes a document that is watched there.
    fn change(&mut self, subscriber: &mut Peer, id: &str) -> Result<Duration, Failure> {
        let population = self.next_population();
        subscriber.tell(&Command::WaitForValue { population })?;
        let start = Instant::now();
        self.publisher.tell(&Command::Change { ids: vec![id.to_owned()], population })?;
        subscriber.reply(PATIENCE)?;
        let time = start.elapsed();
        self.publisher.reply(PATIENCE)?;
        Ok(time)
    }

    /// One that no document had before.
    const fn next_population(&mut self) -> u64 {
        self.population += 1;
        ditto_rivals::documents::POPULATIONS + self.population
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
