//! A relay for TCP connections that counts what passes.
//!
//! What two peers say of themselves is not taken for granted: the bytes are counted where they leave the process, with
//! TLS and framing, without the headers of TCP and IP.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::measure::PATIENCE;

/// Forwards connections to one address until the process ends.
pub struct Relay {
    address: SocketAddr,
    bytes: Arc<AtomicU64>,
}

impl Relay {
    /// Listens on a free port and forwards to `target`, dialling it anew for each connection.
    pub fn start(target: SocketAddr) -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let relay = Self { address: listener.local_addr()?, bytes: Arc::default() };
        let bytes = Arc::clone(&relay.bytes);
        thread::spawn(move || {
            for inbound in listener.incoming().map_while(Result::ok) {
                if let Err(error) = forward(inbound, target, &bytes) {
                    eprintln!("relay: {error}");
                }
            }
        });
        Ok(relay)
    }

    /// Where to connect to.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes forwarded so far, both directions together.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Waits until nothing has passed for `pause`, and returns what has passed by then.
    pub fn quiet(&self, pause: Duration) -> Result<u64, Failure> {
        quiet(|| self.bytes(), pause)
    }
}

/// Waits until a count has not changed for `pause`, and returns it.
pub fn quiet(bytes: impl Fn() -> u64, pause: Duration) -> Result<u64, Failure> {
    let start = Instant::now();
    let (mut seen, mut since) = (bytes(), Instant::now());
    while since.elapsed() < pause {
        if start.elapsed() > PATIENCE {
            return Err("the connection did not become quiet".into());
        }
        thread::sleep(pause / 20);
        let now = bytes();
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
    }
    Ok(seen)
}

fn forward(inbound: TcpStream, target: SocketAddr, bytes: &Arc<AtomicU64>) -> io::Result<()> {
    let outbound = TcpStream::connect(target)?;
    for (from, to) in [(inbound.try_clone()?, outbound.try_clone()?), (outbound, inbound)] {
        from.set_nodelay(true)?;
        let bytes = Arc::clone(bytes);
        thread::spawn(move || {
            // An end of the connection is an end of the relay's work, however it came about.
            let _ = copy(&from, &to, &bytes);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
    Ok(())
}

fn copy(mut from: &TcpStream, mut to: &TcpStream, bytes: &AtomicU64) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut buffer)?;
        let Some(chunk) = buffer.get(..length).filter(|chunk| !chunk.is_empty()) else { return Ok(()) };
        bytes.fetch_add(length as u64, Ordering::Relaxed);
        to.write_all(chunk)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_forwarded_in_both_directions_and_counted() {
        let echo = TcpListener::bind("127.0.0.1:0").unwrap();
        let relay = Relay::start(echo.local_addr().unwrap()).unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = echo.accept().unwrap();
            let mut text = [0; 5];
            stream.read_exact(&mut text).unwrap();
            stream.write_all(&text).unwrap();
        });
        let mut client = TcpStream::connect(relay.address()).unwrap();
        client.write_all(b"hello").unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "hello");
        server.join().unwrap();
        assert_eq!(relay.bytes(), 10);
    }
}
