//! A relay for UDP that counts what passes, as [`crate::relay`] is for TCP.
//!
//! It listens on IPv4 and forwards to an IPv6 address, or the other way round, as the target demands: two peers that are
//! bound to one family each cannot find a way around it.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::Failure;

/// Forwards datagrams to one address until the process ends.
pub struct UdpRelay {
    address: SocketAddr,
    bytes: Arc<AtomicU64>,
}

impl UdpRelay {
    /// Listens on a free port of the other family than `target` has.
    pub fn start(target: SocketAddr) -> Result<Self, Failure> {
        let front: SocketAddr =
            if target.is_ipv4() { (Ipv6Addr::LOCALHOST, 0).into() } else { (Ipv4Addr::LOCALHOST, 0).into() };
        let front = UdpSocket::bind(front)?;
        let relay = Self { address: front.local_addr()?, bytes: Arc::default() };
        let bytes = Arc::clone(&relay.bytes);
        thread::spawn(move || {
            if let Err(error) = forward(&front, target, &bytes) {
                eprintln!("relay: {error}");
            }
        });
        Ok(relay)
    }

    /// Where to send to.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes forwarded so far, both directions together, without the headers of UDP and IP.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// As [`crate::relay::Relay::quiet`].
    pub fn quiet(&self, pause: Duration) -> Result<u64, Failure> {
        crate::relay::quiet(|| self.bytes(), pause)
    }
}

/// Each sender gets a socket of its own towards the target, so that answers find back to it.
fn forward(front: &UdpSocket, target: SocketAddr, bytes: &Arc<AtomicU64>) -> io::Result<()> {
    let mut senders: HashMap<SocketAddr, UdpSocket> = HashMap::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let (length, sender) = receive(front, &mut buffer)?;
        let Some(datagram) = buffer.get(..length) else { continue };
        let back = match senders.entry(sender) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) => {
                new.insert(answers(front, target, sender, bytes)?)
            }
        };
        bytes.fetch_add(length as u64, Ordering::Relaxed);
        // Who does not listen any more is as good as a datagram that is lost.
        let _ = back.send(datagram);
    }
}

/// A socket whose datagrams go to `target`, and what comes from there to `sender`.
fn answers(
    front: &UdpSocket,
    target: SocketAddr,
    sender: SocketAddr,
    bytes: &Arc<AtomicU64>,
) -> io::Result<UdpSocket> {
    let back = UdpSocket::bind(SocketAddr::new(target.ip(), 0))?;
    back.connect(target)?;
    let (front, from, bytes) = (front.try_clone()?, back.try_clone()?, Arc::clone(bytes));
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok((length, _)) = receive(&from, &mut buffer) {
            let Some(datagram) = buffer.get(..length) else { continue };
            bytes.fetch_add(length as u64, Ordering::Relaxed);
            let _ = front.send_to(datagram, sender);
        }
    });
    Ok(back)
}

/// The next datagram. That an earlier one was refused at its destination is told here, and is of no interest.
fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    loop {
        match socket.recv_from(buffer) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_are_forwarded_in_both_directions_and_counted() {
        let echo = UdpSocket::bind("[::1]:0").unwrap();
        let relay = UdpRelay::start(echo.local_addr().unwrap()).unwrap();
        assert!(relay.address().is_ipv4());
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(b"hello", relay.address()).unwrap();
        let mut buffer = [0; 16];
        let (length, sender) = echo.recv_from(&mut buffer).unwrap();
        echo.send_to(&buffer[..length], sender).unwrap();
        let (length, _) = client.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"hello");
        assert_eq!(relay.bytes(), 10);
    }
}
