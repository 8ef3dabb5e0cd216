//! What a peer program is told, and how it answers: one JSON object a line.

use std::io::{BufRead as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Failure;

/// One thing to do. The answer comes when it is done.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Command {
    /// Open or create the database in a directory, and say whether a relay will lie between. Comes first.
    Open { directory: PathBuf, relayed: bool },
    /// Insert the first `count` documents of a file that has one a line.
    Load { file: PathBuf, count: usize },
    /// Let others in. The only command that is answered with an invitation.
    Listen,
    /// Connect, and get everything from there, now and whenever it changes.
    Connect { invitation: Invitation },
    /// Wait until so many documents are held that were not held when the database was created.
    WaitForDocuments { count: usize },
    /// Wait until each of these documents has arrived with this population.
    WaitForChanges { ids: Vec<String>, population: u64 },
    /// Look at one document from now on.
    Watch { id: String },
    /// Wait until the watched document has this population.
    WaitForValue { population: u64 },
    /// Set the population of these documents.
    Change { ids: Vec<String>, population: u64 },
    /// Just answer, to see how long that takes.
    Nothing,
    /// Close the database and end.
    Close,
}

/// How to reach a peer that listens.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Invitation {
    pub transport: Transport,
    pub address: SocketAddr,
    /// Whatever else has to be known.
    pub secret: String,
}

/// What a relay has to forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    Tcp,
    Udp,
}

/// The answer to a command.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Reply {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invitation: Option<Invitation>,
    /// Why it was not done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A store as a peer; see [`Command`] for what the methods do.
pub trait Peer: Sized {
    fn open(directory: &Path, relayed: bool) -> Result<Self, Failure>;
    fn load(&mut self, documents: &[Value]) -> Result<(), Failure>;
    fn listen(&mut self) -> Result<Invitation, Failure>;
    fn connect(&mut self, invitation: &Invitation) -> Result<(), Failure>;
    fn wait_for_documents(&mut self, count: usize) -> Result<(), Failure>;
    fn wait_for_changes(&mut self, ids: &[String], population: u64) -> Result<(), Failure>;
    fn watch(&mut self, id: &str) -> Result<(), Failure>;
    fn wait_for_value(&mut self, population: u64) -> Result<(), Failure>;
    fn change(&mut self, ids: &[String], population: u64) -> Result<(), Failure>;
    fn close(self) -> Result<(), Failure>;
}

/// Obeys the commands on standard input until [`Command::Close`] or its end.
pub fn serve<P: Peer>() -> ExitCode {
    match obey::<P>() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn obey<P: Peer>() -> Result<(), Failure> {
    let mut open = None;
    for line in std::io::stdin().lock().lines() {
        let command = serde_json::from_str(&line?)?;
        let last = matches!(command, Command::Close);
        let reply = carry_out::<P>(&mut open, command)
            .unwrap_or_else(|error| Reply { error: Some(error.to_string()), ..Reply::default() });
        let mut output = std::io::stdout().lock();
        serde_json::to_writer(&mut output, &reply)?;
        writeln!(output)?;
        output.flush()?;
        if last {
            break;
        }
    }
    Ok(())
}

fn carry_out<P: Peer>(open: &mut Option<P>, command: Command) -> Result<Reply, Failure> {
    if let Command::Open { directory, relayed } = command {
        *open = Some(P::open(&directory, relayed)?);
        return Ok(Reply::default());
    }
    if let Command::Close = command {
        open.take().map(P::close).transpose()?;
        return Ok(Reply::default());
    }
    let peer = open.as_mut().ok_or("no database is open: the first command is `open`")?;
    let mut reply = Reply::default();
    match command {
        Command::Load { file, count } => peer.load(&read(&file, count)?)?,
        Command::Listen => reply.invitation = Some(peer.listen()?),
        Command::Connect { invitation } => peer.connect(&invitation)?,
        Command::WaitForDocuments { count } => peer.wait_for_documents(count)?,
        Command::WaitForChanges { ids, population } => peer.wait_for_changes(&ids, population)?,
        Command::Watch { id } => peer.watch(&id)?,
        Command::WaitForValue { population } => peer.wait_for_value(population)?,
        Command::Change { ids, population } => peer.change(&ids, population)?,
        Command::Open { .. } | Command::Close | Command::Nothing => {}
    }
    Ok(reply)
}

fn read(file: &Path, count: usize) -> Result<Vec<Value>, Failure> {
    let lines = std::io::BufReader::new(std::fs::File::open(file)?).lines();
    lines.take(count).map(|line| Ok(serde_json::from_str(&line?)?)).collect()
}

/// The `_id` of a document.
pub fn id(document: &Value) -> Result<&str, Failure> {
    Ok(document.get("_id").and_then(Value::as_str).ok_or("a document without `_id`")?)
}
