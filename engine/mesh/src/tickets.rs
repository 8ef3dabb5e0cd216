//! What both sides remember of a handshake, so that the next one between them needs no certificates.
//!
//! TLS calls that resumption: the acceptor issues a *ticket* after each handshake, and a dialer that shows it is who it was
//! when it got it, and so is the acceptor. Both prove it with a secret of that session, and agree on new keys all the same. Who
//! comes in by a ticket has been judged in full once, by the same running peer. Everything is in memory only, and belongs to
//! one [`Identity`](crate::Identity): a peer that starts again, or under another authority, knows no tickets. One that is
//! unknown, used or too old does no harm: the handshake is a full one. (Certificates of the mechanisms here do not expire; where
//! one does, its tickets would have to end with it.)

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use ring::rand::{SecureRandom as _, SystemRandom};
use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use rustls::server::ProducesTickets;

/// How long a ticket is good for. TLS allows a week.
pub(crate) const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Tickets that an acceptor knows; one more takes the place of the oldest. As many as there are accepted connections.
const MAX_ISSUED: usize = 512;

/// The longest session that a ticket is issued for, in bytes. One with a certificate of the peers here takes less than half of
/// it.
const MAX_SESSION_BYTES: usize = 1024;

/// The random bytes that a ticket consists of. It only names a session; nobody can use it without the secret of that.
const TICKET_BYTES: usize = 8;

/// Tickets that a dialer holds, one for each address; one more takes the place of the oldest. TLS allows the other side
/// 128 KiB each, with its certificate; from the peers here they take a kilobyte.
pub(crate) const MAX_HELD: usize = 64;

/// Sessions that dialers may resume, each once.
pub(crate) struct IssuedTickets {
    sessions: Mutex<VecDeque<Session>>,
    lifetime: Duration,
    random: SystemRandom,
}

struct Session {
    ticket: [u8; TICKET_BYTES],
    /// Whatever TLS wants to know again.
    state: Vec<u8>,
    issued: Instant,
}

impl IssuedTickets {
    pub(crate) fn new(lifetime: Duration) -> Self {
        Self { sessions: Mutex::default(), lifetime, random: SystemRandom::new() }
    }
}

/// Tickets need not be encrypted, since nothing but their name leaves the process.
impl ProducesTickets for IssuedTickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(self.lifetime.as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, state: &[u8]) -> Option<Vec<u8>> {
        if state.len() > MAX_SESSION_BYTES {
            return None;
        }
        let mut ticket = [0; TICKET_BYTES];
        self.random.fill(&mut ticket).ok()?;
        let mut sessions = self.sessions.lock();
        if sessions.iter().any(|session| session.ticket == ticket) {
            return None;
        }
        let is_over = |session: &Session| session.issued.elapsed() >= self.lifetime;
        while sessions.len() >= MAX_ISSUED || sessions.front().is_some_and(is_over) {
            sessions.pop_front();
        }
        sessions.push_back(Session { ticket, state: state.to_vec(), issued: Instant::now() });
        Some(ticket.to_vec())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let mut sessions = self.sessions.lock();
        let place = sessions.iter().position(|session| session.ticket == ticket)?;
        let session = sessions.remove(place)?;
        (session.issued.elapsed() < self.lifetime).then_some(session.state)
    }
}

impl fmt::Debug for IssuedTickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedTickets").finish_non_exhaustive()
    }
}

/// The newest ticket of each address that was dialled, until it is used.
#[derive(Default)]
pub(crate) struct HeldTickets {
    tickets: Mutex<VecDeque<(ServerName<'static>, Tls13ClientSessionValue)>>,
}

#[cfg(test)]
impl HeldTickets {
    pub(crate) fn count(&self) -> usize {
        self.tickets.lock().len()
    }
}

impl ClientSessionStore for HeldTickets {
    fn insert_tls13_ticket(&self, server: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        let mut tickets = self.tickets.lock();
        tickets.retain(|(other, _)| *other != server);
        if tickets.len() >= MAX_HELD {
            tickets.pop_front();
        }
        tickets.push_back((server, ticket));
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let mut tickets = self.tickets.lock();
        let place = tickets.iter().position(|(other, _)| other == server)?;
        tickets.remove(place).map(|(_, ticket)| ticket)
    }

    // All agree on the first group, and there is no TLS 1.2.

    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}
}

impl fmt::Debug for HeldTickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldTickets").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_good_once_and_only_while_it_is_young() {
        let tickets = IssuedTickets::new(LIFETIME);
        let ticket = tickets.encrypt(b"state").unwrap();
        assert_eq!(ticket.len(), TICKET_BYTES);
        for unknown in [&[][..], &[0; 4], &[0; 400], &ticket[1..]] {
            assert_eq!(tickets.decrypt(unknown), None);
        }
        assert_eq!(tickets.decrypt(&ticket).as_deref(), Some(&b"state"[..]));
        assert_eq!(tickets.decrypt(&ticket), None);

        let short_lived = IssuedTickets::new(Duration::ZERO);
        let ticket = short_lived.encrypt(b"state").unwrap();
        assert_eq!(short_lived.decrypt(&ticket), None);
    }

    #[test]
    fn tickets_take_no_more_memory_than_they_may() {
        let tickets = IssuedTickets::new(LIFETIME);
        assert_eq!(tickets.encrypt(&[0; MAX_SESSION_BYTES + 1]), None);
        let issued: Vec<_> =
            (0..=MAX_ISSUED).map(|_| tickets.encrypt(&[7; MAX_SESSION_BYTES]).unwrap()).collect();
        assert_eq!(tickets.sessions.lock().len(), MAX_ISSUED);
        assert_eq!(tickets.decrypt(&issued[0]), None, "the oldest had to go");
        assert!(issued[1..].iter().all(|ticket| tickets.decrypt(ticket).is_some()));
    }
}
