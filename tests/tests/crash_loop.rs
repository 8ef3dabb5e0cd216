//! One process writes to one database, and is killed at any moment, again and again: whatever it acknowledged is there
//! word for word, no statement is there in part, and the database agrees with itself.
//!
//! The moments come from a seed that a failure prints; `DITTO_CRASH_SEED=17` takes that one, `DITTO_CRASH_KILLS=2000` goes
//! on for longer. Processes keep their own time, so that a seed is a similar story and not the same one.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, UNIX_EPOCH};

use ditto_peer::SystemEnvironment;
use ditto_simulation::random::Random;
use ditto_storage::DiskStorage;
use ditto_store::{Executor, Store, StoreOptions};
use ditto_tests::story::{self, Documents, Evicted};
use ditto_value::Object;
use serde_json::Value;

const DATABASE_ID: &str = "crash-loop";
/// Longer than anything here takes on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Kills, unless the environment says otherwise.
const KILLS: u64 = 20;
const WRITERS: usize = 3;

/// How a process comes to its end.
#[derive(Clone, Copy, Debug)]
enum End {
    /// Killed so long after it was started, which may be before it has opened the database.
    AfterStart(Duration),
    /// Killed so long after so many acknowledgements.
    AfterSteps(u64, Duration),
    /// Told to close the database, and killed so long after.
    WhileClosing(Duration),
    /// Told to close the database, which it does.
    Closed,
}

fn an_end(random: &mut Random) -> End {
    let micros = |random: &mut Random, most| Duration::from_micros(random.below(most));
    match random.below(100) {
        0..15 => End::AfterStart(micros(random, 40_000)),
        15..88 => End::AfterSteps(random.between(1, 80), micros(random, 3_000)),
        88..95 => End::WhileClosing(micros(random, 15_000)),
        _ => End::Closed,
    }
}

/// A `crash-child` process and its answers.
struct Process {
    child: Child,
    commands: Option<ChildStdin>,
    answers: Receiver<String>,
    heard: Vec<String>,
}

impl Process {
    fn start(directory: &Path, seed: u64, steps: [u64; WRITERS]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_crash-child"))
            .arg(directory)
            .args([DATABASE_ID, &seed.to_string()])
            .args(steps.map(|step| step.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let commands = child.stdin.take();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let (sender, answers) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            // Without its end a line may be a part of one.
            while output.read_line(&mut line).is_ok() && line.pop() == Some('\n') {
                if sender.send(std::mem::take(&mut line)).is_err() {
                    break;
                }
            }
        });
        Self { child, commands, answers, heard: Vec::new() }
    }

    /// Takes in what comes until then. False when nothing more will come.
    fn hear_until(&mut self, end: Instant) -> bool {
        loop {
            match self.answers.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => self.heard.push(line),
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    /// Takes in so many lines; fails after [`PATIENCE`].
    fn hear(&mut self, lines: u64) {
        for _ in 0..lines {
            let line = self.answers.recv_timeout(PATIENCE);
            self.heard.push(line.unwrap_or_else(|error| panic!("the process is silent: {error}")));
        }
    }

    /// Brings the process to its end. Returns everything that it said.
    fn end(mut self, end: End) -> Vec<String> {
        match end {
            End::AfterStart(delay) => drop(self.hear_until(Instant::now() + delay)),
            End::AfterSteps(steps, delay) => {
                self.hear(1 + steps);
                self.hear_until(Instant::now() + delay);
            }
            End::WhileClosing(delay) => {
                self.hear(2);
                self.commands = None;
                self.hear_until(Instant::now() + delay);
            }
            End::Closed => {
                self.hear(2);
                self.commands = None;
                assert!(!self.hear_until(Instant::now() + PATIENCE), "it does not close");
                assert_eq!(self.heard.last().map(String::as_str), Some("closed"));
            }
        }
        // SIGKILL: no destructor, no flush. What it said before was said.
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        assert!(!self.hear_until(Instant::now() + PATIENCE), "the pipe outlives the process");
        std::mem::take(&mut self.heard)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A test that fails must not leave processes behind; a process that is gone already is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is known of one writer.
#[derive(Default)]
struct Writer {
    /// The first step that was not acknowledged.
    next: u64,
    /// What it has written until then.
    documents: Documents,
}

/// Takes an answer of the process into account.
fn acknowledge(writers: &mut [Writer; WRITERS], seed: u64, answer: &str) {
    let words: Vec<&str> = answer.split(' ').collect();
    let (verb, rest) = words.split_first().unwrap();
    if matches!(*verb, "ready" | "closed") {
        return;
    }
    let number: u64 = rest[0].parse().unwrap();
    let writer = &mut writers[usize::try_from(number).unwrap()];
    assert_eq!(rest[1].parse(), Ok(writer.next), "steps are done one after another");
    let evicted: Vec<String> = rest[2..].iter().map(|&id| id.to_owned()).collect();
    let step = story::step(seed, number, writer.next);
    match (*verb, step.after(&writer.documents, Evicted::Reported(&evicted))) {
        ("done", Some(after)) => writer.documents = after,
        ("failed", None) => {}
        (_, expected) => panic!("{answer}: expected that it {}", expected.map_or("fails", |_| "is done")),
    }
    writer.next += 1;
}

/// The documents of each writer, read by the engine itself from a copy of the directory, so that the next process finds
/// what the killed one left.
fn read(directory: &Path) -> [Documents; WRITERS] {
    struct NoExecutor;
    impl Executor for NoExecutor {
        fn spawn(&self, _job: Box<dyn FnOnce() + Send>) {}
    }
    let copy = tempfile::tempdir().unwrap();
    copy_directory(directory, copy.path());
    let mut documents: [Documents; WRITERS] = Default::default();
    if !copy.path().join("store").exists() {
        return documents;
    }
    let storage = Arc::new(DiskStorage::open(copy.path().join("store")).expect("the storage opens again"));
    let options = StoreOptions::new(DATABASE_ID, Arc::new(NoExecutor));
    let store = Store::open(storage, Arc::new(SystemEnvironment), options).expect("the database opens again");
    let verified = store.verify().expect("every row can be read");
    assert!(verified.is_consistent(), "{:#?}", verified.inconsistencies);
    let select = format!("SELECT * FROM {}", story::COLLECTION);
    for row in store.execute(&select, &Object::new()).expect("the collection can be read").rows {
        let document: Value = serde_json::from_str(&row.value().to_json()).unwrap();
        let owner = usize::try_from(document["owner"].as_u64().expect("an owner")).unwrap();
        let id = document["_id"].as_str().expect("a text").to_owned();
        documents[owner].insert(id, document);
    }
    documents
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_directory(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The step that was under way has happened as a whole or not at all; which of both is known from now on. Returns whether
/// it has.
fn settle(number: usize, writer: &mut Writer, seed: u64, found: &Documents, may_go_on: bool) -> bool {
    if *found == writer.documents {
        return false;
    }
    let step = story::step(seed, number as u64, writer.next);
    let after = step.after(&writer.documents, Evicted::All);
    if may_go_on && after.as_ref() == Some(found) {
        writer.documents = after.unwrap();
        writer.next += 1;
        return true;
    }
    let expected = &writer.documents;
    let ids = expected.keys().chain(found.keys());
    let differing: Vec<_> = ids
        .filter(|id| expected.get(*id) != found.get(*id))
        .map(|id| format!("{id}:\n  acknowledged {:?}\n  found {:?}", expected.get(id), found.get(id)))
        .collect();
    panic!(
        "writer {number} differs after step {} in {} documents; under way was {step:#?}\n{}",
        writer.next,
        differing.len(),
        differing.join("\n")
    );
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect("a number"))
}

#[test]
fn what_was_acknowledged_survives_the_death_of_the_process_at_any_moment() {
    let clock = u64::from(UNIX_EPOCH.elapsed().unwrap().subsec_nanos());
    let (seed, kills) = (number("DITTO_CRASH_SEED", clock), number("DITTO_CRASH_KILLS", KILLS));
    // Shown when the test fails.
    println!("DITTO_CRASH_SEED={seed}");
    let mut random = Random::new(seed);
    let directory = tempfile::tempdir().unwrap();
    let mut writers: [Writer; WRITERS] = Default::default();
    let (mut survived, mut before_ready) = (0, 0);

    for kill in 0..kills {
        // The last process closes the database, so that a clean end is always among them.
        let end = if kill + 1 == kills { End::Closed } else { an_end(&mut random) };
        let process = Process::start(directory.path(), seed, writers.each_ref().map(|writer| writer.next));
        let answers = process.end(end);
        println!("end {kill}: {end:?} after {} answers", answers.len());
        before_ready += u64::from(answers.is_empty());
        answers.iter().for_each(|answer| acknowledge(&mut writers, seed, answer));
        let found = read(directory.path());
        let may_go_on = !matches!(end, End::Closed);
        for (number, (writer, found)) in writers.iter_mut().zip(&found).enumerate() {
            survived += u64::from(settle(number, writer, seed, found, may_go_on));
        }
    }
    let steps: u64 = writers.iter().map(|writer| writer.next).sum();
    println!(
        "{kills} ends, {before_ready} of them before the database was open: {steps} steps, {survived} of them there though not acknowledged"
    );
    assert!(steps > kills, "too little was written for this to mean something");
}
