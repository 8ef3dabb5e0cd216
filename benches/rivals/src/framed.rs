//! Peers that hold all documents in memory and exchange messages over TCP, for libraries that leave storage and the
//! network to their users.
//!
//! A message is preceded by its length, four bytes, greatest first. There is no TLS. What a peer learns or writes it
//! appends to a file and syncs that before it tells others, as ours does.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use serde_json::Value;

use crate::Failure;
use crate::documents::BATCH;
use crate::measure::PATIENCE;
use crate::protocol::{Invitation, Peer, Transport};

/// A collection in memory that messages bring up to date.
pub trait Replica: Send + Sized + 'static {
    /// What is known of one peer.
    type Session: Send;

    /// Puts together what [`Self::unsaved`] returned since the beginning.
    fn load(saved: &[Vec<u8>]) -> Result<Self, Failure>;
    /// What is new since it was asked last.
    fn unsaved(&mut self) -> Result<Vec<u8>, Failure>;

    fn insert(&mut self, document: &Value) -> Result<(), Failure>;
    fn set_population(&mut self, id: &str, population: u64) -> Result<(), Failure>;
    /// Ends a transaction.
    fn commit(&mut self);
    fn count(&self) -> usize;
    fn population(&self, id: &str) -> Option<u64>;

    /// A connection to a peer of which [`Self::remember`] returned this when the last one ended.
    fn session(&self, remembered: Option<&[u8]>) -> Result<Self::Session, Failure>;
    fn remember(session: &Self::Session) -> Vec<u8>;
    fn receive(&mut self, session: &mut Self::Session, message: &[u8]) -> Result<(), Failure>;
    fn next_message(&mut self, session: &mut Self::Session) -> Result<Option<Vec<u8>>, Failure>;
}

/// A replica as a peer.
pub struct Framed<R: Replica> {
    shared: Arc<Shared<R>>,
    directory: PathBuf,
    connection: Option<TcpStream>,
    watched: String,
}

struct Shared<R: Replica> {
    state: Mutex<State<R>>,
    changed: Condvar,
}

struct State<R: Replica> {
    replica: R,
    file: File,
    /// By the name of the peer.
    sessions: HashMap<Vec<u8>, Session<R>>,
    remembered: HashMap<Vec<u8>, Vec<u8>>,
}

struct Session<R: Replica> {
    replica: R::Session,
    outbox: mpsc::Sender<Vec<u8>>,
}

/// How a peer that dialled is called, and what it remembers of the peer that it dials.
const NAME: &str = "name";
const REMEMBERED: &str = "remembered";
/// What a dialling peer calls the other one: there is but one.
const PUBLISHER: &[u8] = b"publisher";

impl<R: Replica> Peer for Framed<R> {
    fn open(directory: &Path, _: bool) -> Result<Self, Failure> {
        let path = directory.join("changes");
        let mut saved = Vec::new();
        if path.exists() {
            let mut file = io::BufReader::new(File::open(&path)?);
            while let Some(chunk) = read_frame(&mut file)? {
                saved.push(chunk);
            }
        }
        let replica = R::load(&saved)?;
        drop(saved);
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let state = State { replica, file, sessions: HashMap::new(), remembered: HashMap::new() };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        Ok(Self { shared, directory: directory.to_owned(), connection: None, watched: String::new() })
    }

    fn load(&mut self, documents: &[Value]) -> Result<(), Failure> {
        let mut state = self.shared.state.lock();
        for batch in documents.chunks(BATCH) {
            for document in batch {
                state.replica.insert(document)?;
            }
            state.replica.commit();
        }
        state.save_and_tell()
    }

    fn listen(&mut self) -> Result<Invitation, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::clone(&self.shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&shared);
                thread::spawn(move || report(accept(&shared, stream)));
            }
        });
        Ok(Invitation { transport: Transport::Tcp, address, secret: String::new() })
    }

    fn connect(&mut self, invitation: &Invitation) -> Result<(), Failure> {
        let mut stream = TcpStream::connect(invitation.address)?;
        stream.set_nodelay(true)?;
        let name = self.directory.join(NAME);
        if !name.exists() {
            // The directory has a name that no other peer's has.
            fs::write(&name, self.directory.as_os_str().as_encoded_bytes())?;
        }
        write_frame(&mut stream, &fs::read(name)?)?;
        if let Ok(remembered) = fs::read(self.directory.join(REMEMBERED)) {
            self.shared.state.lock().remembered.insert(PUBLISHER.to_vec(), remembered);
        }
        self.connection = Some(stream.try_clone()?);
        let shared = Arc::clone(&self.shared);
        thread::spawn(move || report(converse(&shared, stream, PUBLISHER)));
        Ok(())
    }

    fn wait_for_documents(&mut self, count: usize) -> Result<(), Failure> {
        self.shared.wait_until(|replica| replica.count() >= count)
    }

    fn wait_for_changes(&mut self, ids: &[String], population: u64) -> Result<(), Failure> {
        let mut arrived = 0;
        self.shared.wait_until(|replica| {
            let rest = ids.iter().skip(arrived);
            arrived += rest.take_while(|id| replica.population(id) == Some(population)).count();
            arrived == ids.len()
        })
    }

    fn watch(&mut self, id: &str) -> Result<(), Failure> {
        id.clone_into(&mut self.watched);
        Ok(())
    }

    fn wait_for_value(&mut self, population: u64) -> Result<(), Failure> {
        self.shared.wait_until(|replica| replica.population(&self.watched) == Some(population))
    }

    fn change(&mut self, ids: &[String], population: u64) -> Result<(), Failure> {
        let mut state = self.shared.state.lock();
        for id in ids {
            state.replica.set_population(id, population)?;
        }
        state.replica.commit();
        state.save_and_tell()
    }

    fn close(self) -> Result<(), Failure> {
        if let Some(connection) = self.connection {
            let state = self.shared.state.lock();
            let remembered = state.sessions.get(PUBLISHER).map(|session| R::remember(&session.replica));
            fs::write(self.directory.join(REMEMBERED), remembered.unwrap_or_default())?;
            connection.shutdown(Shutdown::Both)?;
        }
        Ok(())
    }
}

impl<R: Replica> Shared<R> {
    fn wait_until(&self, mut condition: impl FnMut(&R) -> bool) -> Result<(), Failure> {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.state.lock();
        while !condition(&state.replica) {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                return Err(format!("nothing of the kind arrived within {} s", PATIENCE.as_secs()).into());
            }
        }
        Ok(())
    }
}

impl<R: Replica> State<R> {
    /// Makes durable what is new, and then tells it to all.
    fn save_and_tell(&mut self) -> Result<(), Failure> {
        let unsaved = self.replica.unsaved()?;
        if !unsaved.is_empty() {
            write_frame(&mut self.file, &unsaved)?;
            self.file.sync_data()?;
        }
        for session in self.sessions.values_mut() {
            while let Some(message) = self.replica.next_message(&mut session.replica)? {
                // A connection that has ended is noticed by who reads from it.
                let _ = session.outbox.send(message);
            }
        }
        Ok(())
    }
}

fn accept<R: Replica>(shared: &Shared<R>, mut stream: TcpStream) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    let Some(name) = read_frame(&mut stream)? else { return Ok(()) };
    converse(shared, stream, &name)
}

/// Exchanges messages with a peer until the connection ends.
fn converse<R: Replica>(shared: &Shared<R>, mut stream: TcpStream, name: &[u8]) -> Result<(), Failure> {
    let (outbox, messages) = mpsc::channel::<Vec<u8>>();
    let mut writer = stream.try_clone()?;
    thread::spawn(move || {
        for message in messages {
            if write_frame(&mut writer, &message).is_err() {
                break;
            }
        }
    });
    {
        let mut state = shared.state.lock();
        let remembered = state.remembered.get(name).filter(|remembered| !remembered.is_empty());
        let replica = state.replica.session(remembered.map(Vec::as_slice))?;
        state.sessions.insert(name.to_vec(), Session { replica, outbox });
        state.save_and_tell()?;
    }
    while let Some(message) = read_frame(&mut stream)? {
        let mut state = shared.state.lock();
        let State { replica, sessions, .. } = &mut *state;
        let session = sessions.get_mut(name).ok_or("a message came after the end of its session")?;
        replica.receive(&mut session.replica, &message)?;
        drop(message);
        state.save_and_tell()?;
        shared.changed.notify_all();
    }
    let mut state = shared.state.lock();
    if let Some(session) = state.sessions.remove(name) {
        state.remembered.insert(name.to_vec(), R::remember(&session.replica));
    }
    Ok(())
}

fn report(outcome: Result<(), Failure>) {
    if let Err(error) = outcome {
        eprintln!("connection: {error}");
    }
}

fn write_frame(to: &mut impl io::Write, content: &[u8]) -> Result<(), Failure> {
    let length = u32::try_from(content.len())?;
    // In one piece, so that a short message is one packet.
    let mut frame = Vec::with_capacity(4 + content.len());
    frame.extend(length.to_be_bytes());
    frame.extend(content);
    to.write_all(&frame)?;
    Ok(())
}

/// The next frame; `None` at an end between two of them.
fn read_frame(from: &mut impl io::Read) -> Result<Option<Vec<u8>>, Failure> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = u64::from(u32::from_be_bytes(length));
    let mut content = Vec::new();
    if from.take(length).read_to_end(&mut content)? as u64 != length {
        return Err("the connection or file ended within a frame".into());
    }
    Ok(Some(content))
}
