//! Limits and timeouts.

use std::time::Duration;

/// Limits and timeouts of all links. The defaults suit real networks; tests use shorter ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// From an open socket to a greeted peer, whatever the other side does in that time. 10 s.
    pub handshake_timeout: Duration,
    /// To open a TCP connection to one address. 5 s.
    pub connect_timeout: Duration,
    /// When no byte came from the other side for so long, it is asked for a sign of life; by the side that was dialled an eighth
    /// later, so that not both ask. 4 s: an idle link costs one short packet each way in that time.
    pub keep_alive: Duration,
    /// If none comes within this time after that, the link is down. 5 s, so that a peer that has vanished is noticed 9 s after
    /// its last byte. A Bluetooth link answers within 2 s, unless it is being lost.
    pub answer_timeout: Duration,
    /// As long as the other side takes what is sent to it, it may be silent for longer, but no longer than this: an answer
    /// waits behind all that is on its way, and a buffer may take much for a peer that is not there any more. 30 s.
    pub sending_patience: Duration,
    /// A message of which no byte could be sent for this long takes the link down. 60 s.
    pub stall_timeout: Duration,
    /// How long a closing link may take to say goodbye. 500 ms.
    pub goodbye_timeout: Duration,
    /// Bytes that wait on one channel of one link before [`SendError::Full`](crate::SendError::Full). Enough for the writer to
    /// have its hands full until more comes; what is sent next waits for all of them. 256 KiB.
    pub queue_bytes: usize,
    /// Accepted connections whose handshake is under way; further ones wait in the operating system's backlog. 128.
    pub half_open: usize,
    /// The same from one IPv4 address or IPv6 network of 64 bits; further ones are closed at once, so that a host that
    /// connects and says nothing does not keep the others waiting. 32.
    pub half_open_per_host: usize,
    /// Accepted connections at a time, links included; further ones are closed at once. Each takes a file descriptor,
    /// which the database needs too. 512.
    pub accepted: usize,
    /// The same complaint is made at most this often. 60 s.
    pub complain_every: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            keep_alive: Duration::from_secs(4),
            answer_timeout: Duration::from_secs(5),
            sending_patience: Duration::from_secs(30),
            stall_timeout: Duration::from_secs(60),
            goodbye_timeout: Duration::from_millis(500),
            queue_bytes: 256 * 1024,
            half_open: 128,
            half_open_per_host: 32,
            accepted: 512,
            complain_every: Duration::from_secs(60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_whose_power_fails_is_given_up_within_ten_seconds() {
        let options = Options::default();
        assert!(
            options.keep_alive + options.keep_alive / 8 + options.answer_timeout < Duration::from_secs(10)
        );
    }
}
