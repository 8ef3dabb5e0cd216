//! How many callers are served at once: in all, and of one host, so that none can keep the others out.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Options, Problem};

/// Bits of an IPv6 address that name a network; whoever has the network has all addresses in it.
const NETWORK_BITS: u32 = 64;

/// Handshakes under way, by host.
type Hosts = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// Counts accepted connections.
pub(crate) struct Admission {
    half_open: Arc<Semaphore>,
    accepted: Arc<Semaphore>,
    hosts: Hosts,
    per_host: usize,
    limit: usize,
}

/// The right to a handshake. Held until it is over.
pub(crate) struct Turn {
    _half_open: OwnedSemaphorePermit,
    host: Option<(IpAddr, Hosts)>,
}

/// The right to a connection. Held until that is closed.
pub(crate) struct Place(#[expect(dead_code, reason = "given back when dropped")] OwnedSemaphorePermit);

impl Admission {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            half_open: Arc::new(Semaphore::new(options.half_open.max(1))),
            accepted: Arc::new(Semaphore::new(options.accepted.max(1))),
            hosts: Arc::default(),
            per_host: options.half_open_per_host.max(1),
            limit: options.accepted.max(1),
        }
    }

    /// Waits until one more handshake may begin. To be called before a connection is accepted, so that a flood waits
    /// outside. `None` when there is none to be had any more.
    pub(crate) async fn turn(&self) -> Option<Turn> {
        let half_open = self.half_open.clone().acquire_owned().await.ok()?;
        Some(Turn { _half_open: half_open, host: None })
    }

    /// Whether a caller from that address is served.
    pub(crate) fn admit(&self, turn: &mut Turn, address: IpAddr) -> Result<Place, Problem> {
        let full = Problem::TooManyConnections { limit: self.limit };
        let place = self.accepted.clone().try_acquire_owned().map_err(|_| full)?;
        let host = host(address);
        let mut hosts = self.hosts.lock();
        let under_way = hosts.entry(host).or_default();
        if *under_way >= self.per_host {
            return Err(Problem::TooManyHandshakes { host: host.to_string(), limit: self.per_host });
        }
        *under_way += 1;
        turn.host = Some((host, self.hosts.clone()));
        Ok(Place(place))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some((host, hosts)) = self.host.take() else { return };
        let mut hosts = hosts.lock();
        if let Some(under_way) = hosts.get_mut(&host) {
            *under_way -= 1;
            if *under_way == 0 {
                hosts.remove(&host);
            }
        }
    }
}

/// What callers are counted by: the IPv4 address, or the IPv6 network.
pub(crate) fn host(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            Ipv6Addr::from_bits(address.to_bits() >> NETWORK_BITS << NETWORK_BITS).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn admission(half_open_per_host: usize, accepted: usize) -> Admission {
        Admission::new(&Options { half_open: 4, half_open_per_host, accepted, ..Options::default() })
    }

    fn turn(admission: &Admission) -> Option<Turn> {
        admission.turn().now_or_never().flatten()
    }

    #[test]
    fn one_host_cannot_take_every_turn() {
        let admission = admission(2, 100);
        let (greedy, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let mut turns = [(); 4].map(|()| turn(&admission).unwrap());
        assert!(turn(&admission).is_none());
        let [first, second, third, fourth] = &mut turns;
        let _places = [first, second].map(|turn| admission.admit(turn, greedy).unwrap());
        assert!(matches!(admission.admit(third, greedy), Err(Problem::TooManyHandshakes { limit: 2, .. })));
        let _place = admission.admit(fourth, other).unwrap();

        drop(turns);
        assert!(admission.hosts.lock().is_empty(), "nothing is remembered of who is gone");
        assert!(admission.admit(&mut turn(&admission).unwrap(), greedy).is_ok());
    }

    #[test]
    fn a_connection_counts_until_it_is_closed() {
        let admission = admission(4, 1);
        let address = "192.0.2.1".parse().unwrap();
        let place = admission.admit(&mut turn(&admission).unwrap(), address).unwrap();
        let refused = admission.admit(&mut turn(&admission).unwrap(), address);
        assert!(matches!(refused, Err(Problem::TooManyConnections { limit: 1 })));
        drop(place);
        assert!(admission.admit(&mut turn(&admission).unwrap(), address).is_ok());
    }

    #[test]
    fn addresses_of_one_network_are_one_host() {
        let host = |address: &str| host(address.parse().unwrap()).to_string();
        assert_eq!(host("2001:db8:1:2:3:4:5:6"), host("2001:db8:1:2::9"));
        assert_ne!(host("2001:db8:1:2::1"), host("2001:db8:1:3::1"));
        assert_eq!((host("::ffff:192.0.2.1").as_str(), host("::1").as_str()), ("192.0.2.1", "::1"));
    }
}
