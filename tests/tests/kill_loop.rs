//! Two processes write and sync; either or both are killed at any moment and started again: nothing acknowledged is
//! lost, both end with the same documents word for word, and nothing is sent again from the start.
//!
//! The moments come from a seed that a failure prints; `DITTO_KILL_SEED=17` takes that one, `DITTO_KILL_ROUNDS=500`
//! goes on for longer. Processes keep their own time, so that a seed is a similar story and not the same one.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, UNIX_EPOCH};

use ditto_simulation::random::Random;
use ditto_tests::history::{self, DOCUMENTS};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);
const DATABASE_ID: &str = "kill-loop";
const NAMES: [&str; 2] = ["a", "b"];
/// Kills, unless the environment says otherwise.
const KILLS: u64 = 10;
/// Rounds of writing that a process is asked for between two kills; more than it has time for.
const AHEAD: u64 = 40;
/// Documents that may come twice after a kill: those of one batch, whose checkpoint was not stored yet.
const A_BATCH: u64 = 1_000 + DOCUMENTS;

/// A `sync-child` process and its answers.
struct Peer {
    name: &'static str,
    child: Child,
    commands: ChildStdin,
    answers: Receiver<String>,
    address: String,
    /// Rounds that it has acknowledged.
    rounds: u64,
    /// Rounds that it was asked for.
    asked: u64,
    /// What a command is waiting for.
    replies: Vec<String>,
    /// Documents it holds, as last told.
    documents: u64,
    /// The other one has acknowledged everything up to this commit.
    synced: u64,
}

impl Peer {
    fn start(name: &'static str, directory: &Path, rounds: u64) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sync-child"))
            .arg(directory)
            .arg(DATABASE_ID)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let commands = child.stdin.take().unwrap();
        let output = child.stdout.take().unwrap();
        let (sender, answers) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                let Ok(line) = line else { break };
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let replies = Vec::new();
        let (address, asked) = (String::new(), rounds);
        let mut peer =
            Self { name, child, commands, answers, address, rounds, asked, replies, documents: 0, synced: 0 };
        let ready = peer.reply();
        peer.address = ready.strip_prefix("ready ").expect("the address comes first").to_owned();
        peer
    }

    fn say(&mut self, command: &str) {
        writeln!(self.commands, "{command}").unwrap();
        self.commands.flush().unwrap();
    }

    /// Takes in one line of output.
    fn hear(&mut self, line: String) {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["now", documents] => self.documents = documents.parse().unwrap(),
            ["synced", commit] => self.synced = commit.parse().unwrap(),
            ["wrote", _, round] => self.rounds = self.rounds.max(round.parse::<u64>().unwrap() + 1),
            _ => self.replies.push(line),
        }
    }

    /// Takes in one line of output; fails after [`PATIENCE`].
    fn hear_one(&mut self) {
        let line = self.answers.recv_timeout(PATIENCE);
        let line = line.unwrap_or_else(|error| panic!("peer {} does not answer: {error}", self.name));
        self.hear(line);
    }

    /// Takes in what comes until then. Returns whether the process may still say something.
    fn hear_until(&mut self, end: Instant) -> bool {
        loop {
            match self.answers.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => self.hear(line),
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    fn reply(&mut self) -> String {
        while self.replies.is_empty() {
            self.hear_one();
        }
        self.replies.remove(0)
    }

    fn rows(&mut self) -> BTreeMap<String, String> {
        self.say("rows");
        let mut rows = BTreeMap::new();
        loop {
            let row = self.reply();
            if row == "end" {
                return rows;
            }
            let id = row.split('"').nth(3).expect("the _id is the first member").to_owned();
            assert_eq!(rows.insert(id, row), None, "peer {} shows a document twice", self.name);
        }
    }

    fn received(&mut self) -> u64 {
        self.say("received");
        self.reply().strip_prefix("received ").unwrap().parse().unwrap()
    }

    /// Asks for more, once it has done what it was asked for.
    fn write(&mut self, rounds: u64) {
        self.finish();
        self.asked += rounds;
        self.say(&format!("write {} {} {}", self.name, self.rounds, self.asked));
    }

    fn finish(&mut self) {
        while self.rounds < self.asked {
            self.hear_one();
        }
    }

    /// Waits until the other one knows, durably, that it holds everything up to now.
    fn finish_sync(&mut self) {
        self.say("mark");
        let commit = self.reply().strip_prefix("marked ").unwrap().parse().unwrap();
        while self.synced < commit {
            self.hear_one();
        }
    }

    /// SIGKILL: no destructor, no flush. Returns the rounds that were acknowledged.
    fn kill(mut self) -> u64 {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        // What it said before it died was said.
        assert!(!self.hear_until(Instant::now() + PATIENCE), "the pipe outlives the process");
        self.rounds
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // A test that fails must not leave processes behind; a process that is gone already is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect("a number"))
}

fn assert_same(found: &BTreeMap<String, String>, expected: &BTreeMap<String, String>, what: &str) {
    for (id, document) in expected {
        assert_eq!(found.get(id), Some(document), "{what}: document {id}");
    }
    let more = found.keys().find(|id| !expected.contains_key(*id));
    assert_eq!(more, None, "{what}: a document too many");
}

/// What was acknowledged is there, as far as the round that was under way may not have touched it.
fn assert_kept(peer: &mut Peer) {
    let found = peer.rows();
    let (name, rounds) = (peer.name, peer.rounds);
    let newest = history::first(rounds.saturating_sub(1));
    let touched = [history::id(name, newest), history::id(name, newest + 1)];
    for (id, document) in history::after(name, rounds).iter().filter(|(id, _)| !touched.contains(id)) {
        assert_eq!(found.get(id), Some(document), "peer {name} lost {id} of {rounds} acknowledged rounds");
    }
    for round in 0..rounds.saturating_sub(1) {
        let id = history::id(name, history::first(round) + 1);
        assert!(!found.contains_key(&id), "peer {name} brought {id} back, whose delete was acknowledged");
    }
}

/// Both write what is left of so many rounds, and hold the same when it has arrived. Returns how many documents each
/// did not have before, and how many it was sent. Nothing is under way any more then, positions neither.
fn settle(peers: &mut [Peer; 2], rounds: u64) -> [(u64, u64); 2] {
    let mut expected = history::after(NAMES[0], rounds);
    expected.extend(history::after(NAMES[1], rounds));
    for peer in &mut *peers {
        peer.finish();
        let more = rounds - peer.rounds;
        peer.write(more);
        peer.finish();
    }
    let before = peers.each_mut().map(Peer::rows);
    connect(peers);
    let mut outcome = [(0, 0); 2];
    for ((peer, before), outcome) in peers.iter_mut().zip(&before).zip(&mut outcome) {
        while peer.documents != expected.len() as u64 {
            peer.hear_one();
        }
        assert_same(&peer.rows(), &expected, &format!("peer {} in the end", peer.name));
        let new = expected.iter().filter(|(id, document)| before.get(*id) != Some(document)).count();
        let gone = before.keys().filter(|id| !expected.contains_key(*id)).count();
        *outcome = ((new + gone) as u64, peer.received());
    }
    peers.iter_mut().for_each(Peer::finish_sync);
    outcome
}

/// Starts a process for each that is dead.
fn revive(alive: [Option<Peer>; 2], directories: &[TempDir; 2], rounds: [u64; 2]) -> [Peer; 2] {
    let mut number = 0;
    alive.map(|survivor| {
        let peer = survivor.unwrap_or_else(|| {
            let mut peer = Peer::start(NAMES[number], directories[number].path(), rounds[number]);
            assert_kept(&mut peer);
            peer
        });
        number += 1;
        peer
    })
}

fn connect(peers: &mut [Peer; 2]) {
    let address = peers[0].address.clone();
    peers[1].say(&format!("connect {address}"));
}

#[test]
fn a_sync_survives_the_death_of_either_process_at_any_moment() {
    let clock = u64::from(UNIX_EPOCH.elapsed().unwrap().subsec_nanos());
    let (seed, kills) = (number("DITTO_KILL_SEED", clock), number("DITTO_KILL_ROUNDS", KILLS));
    // Shown when the test fails.
    println!("DITTO_KILL_SEED={seed}");
    let mut random = Random::new(seed);
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];

    let mut peers = revive([None, None], &directories, [0, 0]);
    for kill in 0..kills {
        connect(&mut peers);
        peers.iter_mut().for_each(|peer| peer.write(AHEAD));
        // The moment: while both write, or some time after, while they send each other what they wrote.
        let pause = if random.percent(50) {
            let witness = &mut peers[usize::from(random.percent(50))];
            let goal = witness.rounds + random.below(AHEAD);
            while witness.rounds < goal {
                witness.hear_one();
            }
            random.below(20_000)
        } else {
            peers.iter_mut().for_each(Peer::finish);
            random.below(60_000)
        };
        for peer in &mut peers {
            peer.hear_until(Instant::now() + Duration::from_micros(pause / 2));
        }
        let victims = *random.choose(&[[0].as_slice(), &[1], &[0, 1], &[1, 0]]);
        for Peer { name, rounds, documents, .. } in &peers {
            println!(
                "kill {kill} of {victims:?}: peer {name} has written {rounds} rounds and holds {documents} documents"
            );
        }

        let mut rounds = [0, 0];
        let mut alive = peers.map(Some);
        for victim in victims {
            rounds[*victim] = alive[*victim].take().unwrap().kill();
        }
        peers = revive(alive, &directories, rounds);
    }

    // Two new processes: what they count, they count from the last kill.
    let rounds = peers.map(Peer::kill);
    let mut peers = revive([None, None], &directories, rounds);
    let all = rounds[0].max(rounds[1]) + 1;
    let last = settle(&mut peers, all);
    println!("missing and received after the last kill: {last:?}");
    for (missing, received) in last {
        assert!(
            received <= missing + A_BATCH,
            "{received} documents were sent for {missing} that were missing"
        );
    }

    let rounds = peers.map(Peer::kill);
    let mut peers = revive([None, None], &directories, rounds);
    let once_more = settle(&mut peers, all + 1);
    println!("missing and received when nothing was under way: {once_more:?}");
    for (missing, received) in once_more {
        assert_eq!(received, missing, "documents were sent again although everything had arrived");
    }
    assert!(history::first(all) > 2 * A_BATCH, "too little was written for this to mean something");
}
