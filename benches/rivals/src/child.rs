//! A peer that runs as a process of its own.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use ditto_rivals::Failure;
use ditto_rivals::measure::PATIENCE;
use ditto_rivals::protocol::{Command, Invitation, Reply};

use crate::stores::Store;

/// A peer that has a database open.
pub struct Peer {
    process: Child,
    commands: ChildStdin,
    replies: Receiver<Result<Reply, String>>,
}

/// The answer did not come in time.
#[derive(Debug)]
pub struct TooSlow(Duration);

impl std::fmt::Display for TooSlow {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "not done within {} s", self.0.as_secs())
    }
}

impl std::error::Error for TooSlow {}

impl Peer {
    /// Starts a process for the database in `directory`.
    pub fn open(store: &Store, directory: &Path, relayed: bool) -> Result<Self, Failure> {
        let mut process = store.command()?.spawn()?;
        let commands = process.stdin.take().ok_or("a process without standard input")?;
        let output = process.stdout.take().ok_or("a process without standard output")?;
        let (sender, replies) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                let reply = line
                    .map_err(|error| error.to_string())
                    .and_then(|line| serde_json::from_str(&line).map_err(|error| format!("{error}: {line}")));
                if sender.send(reply).is_err() {
                    break;
                }
            }
        });
        let mut peer = Self { process, commands, replies };
        peer.ask(&Command::Open { directory: directory.to_owned(), relayed })?;
        Ok(peer)
    }

    /// Tells it to do something; [`Self::reply`] waits until it is done.
    pub fn tell(&mut self, command: &Command) -> Result<(), Failure> {
        let mut line = serde_json::to_vec(command)?;
        line.push(b'\n');
        Ok(self.commands.write_all(&line)?)
    }

    pub fn reply(&mut self, patience: Duration) -> Result<Reply, Failure> {
        let reply = self.replies.recv_timeout(patience).map_err(|error| match error {
            RecvTimeoutError::Timeout => Failure::from(TooSlow(patience)),
            RecvTimeoutError::Disconnected => "the process has ended".into(),
        })??;
        match reply.error {
            Some(error) => Err(error.into()),
            None => Ok(reply),
        }
    }

    /// Tells it to do something and waits until it is done.
    pub fn ask(&mut self, command: &Command) -> Result<Reply, Failure> {
        self.ask_patiently(command, PATIENCE)
    }

    pub fn ask_patiently(&mut self, command: &Command, patience: Duration) -> Result<Reply, Failure> {
        self.tell(command)?;
        self.reply(patience)
    }

    pub fn listen(&mut self) -> Result<Invitation, Failure> {
        Ok(self.ask(&Command::Listen)?.invitation.ok_or("a peer that listens has no address")?)
    }

    /// The greatest resident memory so far, in bytes.
    pub fn peak_memory(&self) -> Result<f64, Failure> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let kibibytes = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .and_then(|rest| rest.trim().strip_suffix("kB"))
            .ok_or("the kernel does not say how much memory a process had")?;
        Ok(kibibytes.trim().parse::<f64>()? * 1024.0)
    }

    /// Closes the database and waits for the end of the process.
    pub fn close(mut self) -> Result<(), Failure> {
        self.ask(&Command::Close)?;
        self.process.wait()?;
        Ok(())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Whatever it does: nobody wants it any more. Both fail only if it has ended before.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
