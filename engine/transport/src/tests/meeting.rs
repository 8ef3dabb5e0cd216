//! Links come and go: configuration, simultaneous dials, shutdown.

use std::io;
use std::net::TcpListener;

use super::*;

#[tokio::test]
async fn a_port_in_use_is_a_problem_that_names_address_and_cause() {
    let reserved = ReservedPort::new();
    let port = reserved.number();
    let taken = TcpListener::bind(reserved.address).unwrap();
    let peer = TestPeer::new(&playground());
    let problems = peer.transports.apply(config(Some(port), &[]));
    let [Problem::ListenFailed { address, kind, .. }] = problems.as_slice() else { panic!("{problems:?}") };
    assert_eq!((address.as_str(), *kind), (&*format!("127.0.0.1:{port}"), io::ErrorKind::AddrInUse));
    let text = problems[0].to_string();
    assert!(text.contains(&port.to_string()) && text.contains("in use"), "{text}");
    assert_eq!(peer.transports.listen_addresses(), []);

    drop(taken);
    assert_eq!(peer.transports.apply(config(Some(port), &[])), [], "the same configuration is tried again");
    assert_eq!(peer.transports.listen_addresses()[0].port(), port);
}

#[tokio::test]
async fn one_bad_entry_does_not_keep_the_good_ones_from_working() {
    let mut acceptor = TestPeer::new(&playground());
    let address = acceptor.listen();
    let dialer = TestPeer::new(&playground());
    let listen_tcp = Some(ListenTcp { interface: "nonsense".into(), port: 0 });
    let problems =
        dialer.transports.apply(TransportConfig { listen_tcp, ..config(None, &["nonsense", &address]) });
    assert!(matches!(
        problems.as_slice(),
        [Problem::InvalidListenAddress { .. }, Problem::InvalidTarget { .. }]
    ));
    assert_eq!(acceptor.up().await.peer, dialer.key());
}

#[tokio::test]
async fn every_form_of_listen_address_works() {
    for interface in ["127.0.0.1", "0.0.0.0", "[::]", "::"] {
        let mut acceptor = TestPeer::new(&playground());
        let listen_tcp = Some(ListenTcp { interface: interface.into(), port: 0 });
        assert_eq!(acceptor.transports.apply(TransportConfig { listen_tcp, ..config(None, &[]) }), []);
        let port = acceptor.transports.listen_addresses()[0].port();
        let dialer = TestPeer::new(&playground());
        dialer.connect(&[&format!("localhost:{port}")]);
        assert_eq!(acceptor.up().await.peer, dialer.key(), "{interface}");
    }
}

#[tokio::test]
async fn the_listen_address_changes_while_links_stay() {
    let (mut acceptor, at_acceptor, _dialer, at_dialer) = linked(64).await;
    let port = ReservedPort::new();
    acceptor.listen_on(&port);
    assert_eq!(acceptor.transports.apply(config(None, &[])), []);
    TcpListener::bind(port.address).expect("the port is released at once");
    assert_eq!(acceptor.transports.listen_addresses(), []);
    at_dialer.outgoing.try_send(Channel::Control, b"still here".to_vec()).unwrap();
    assert_eq!(acceptor.message().await.1, b"still here");
    assert_eq!(at_acceptor.peer, at_acceptor.outgoing.peer());
    let new = acceptor.listen();
    let third = TestPeer::new(&playground());
    third.connect(&[&new]);
    assert_eq!(acceptor.up().await.peer, third.key());
}

#[tokio::test]
async fn a_removed_target_is_disconnected_and_a_re_added_one_comes_back() {
    let (mut acceptor, at_acceptor, mut dialer, at_dialer) = linked(64).await;
    let address = acceptor.address();
    let mut third = TestPeer::new(&playground());
    let other = third.listen();
    dialer.connect(&[&address, &other]);
    let to_third = dialer.up().await;
    assert_eq!(third.up().await.peer, dialer.key());

    dialer.connect(&[&other]);
    assert_eq!(dialer.down().await, (at_dialer.link, LinkDown::TargetRemoved));
    let (link, reason) = acceptor.down().await;
    assert_eq!(link, at_acceptor.link);
    assert_eq!(reason, LinkDown::ByPeer("removed from the configuration".into()));

    dialer.connect(&[&address, &other]);
    assert_eq!(dialer.up().await.peer, acceptor.key());
    assert_eq!(acceptor.up().await.peer, dialer.key());
    to_third.outgoing.try_send(Channel::Control, vec![1]).expect("the other link was left alone");
    assert_eq!(third.message().await.1, [1]);
}

#[tokio::test]
async fn a_closed_link_comes_back_by_itself() {
    let (mut acceptor, at_acceptor, mut dialer, at_dialer) = linked(64).await;
    at_acceptor.outgoing.close("test");
    assert_eq!(acceptor.down().await, (at_acceptor.link, LinkDown::Closed("test".into())));
    assert_eq!(dialer.down().await, (at_dialer.link, LinkDown::ByPeer("closed: test".into())));
    assert_ne!(dialer.up().await.link, at_dialer.link);
    acceptor.up().await;
}

#[tokio::test]
async fn a_peer_that_starts_late_or_again_is_found() {
    let port = ReservedPort::new();
    let mut dialer = TestPeer::new(&playground());
    dialer.connect(&[&port.address.to_string()]);
    assert!(matches!(dialer.problem().await, Problem::Unreachable { .. }));
    for _ in 0..2 {
        let mut acceptor = TestPeer::new(&playground());
        acceptor.listen_on(&port);
        assert_eq!(dialer.up().await.peer, acceptor.key());
        acceptor.up().await;
        acceptor.shutdown().await;
        assert_eq!(dialer.down().await.1, LinkDown::ByPeer("shutting down".into()));
    }
}

/// What two peers think of their link to each other, and messages to find out whether they agree.
struct Meeting {
    peers: [TestPeer; 2],
    links: [Option<Up>; 2],
}

impl Meeting {
    /// Takes in what happens until both have the same link: each gets on its own what the other sent on its own.
    async fn settle(&mut self) {
        let mut round = 0_u64;
        let mut heard = [None; 2];
        loop {
            let [left, right] = &mut self.peers;
            let (at, event) = tokio::select! {
                event = left.next() => (0, event),
                event = right.next() => (1, event),
            };
            match event {
                LinkEvent::Up { link, peer, dialed, outgoing, .. } => {
                    assert!(self.links[at].is_none(), "a second link to one peer");
                    self.links[at] = Some(Up { link, peer, dialed, outgoing });
                }
                LinkEvent::Down { link, .. } => {
                    assert_eq!(self.links[at].take().map(|up| up.link), Some(link));
                }
                LinkEvent::Message { link, bytes, .. } => {
                    if self.links[at].as_ref().is_some_and(|up| up.link == link) {
                        heard[at] = bytes.try_into().ok().map(u64::from_le_bytes);
                    }
                    if heard == [Some(round); 2] {
                        return;
                    }
                    continue;
                }
                other => panic!("expected links and messages, found {other:?}"),
            }
            // Something changed: what was said before proves nothing any more.
            round += 1;
            heard = [None; 2];
            if let [Some(left), Some(right)] = &self.links {
                for up in [left, right] {
                    // A link that is about to be replaced may be down already.
                    let _ = up.outgoing.try_send(Channel::Control, round.to_le_bytes().to_vec());
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn simultaneous_dials_end_in_one_link_that_both_sides_agree_on() {
    for _ in 0..8 {
        let (left, right) = (TestPeer::new(&playground()), TestPeer::new(&playground()));
        let (to_left, to_right) = (left.listen(), right.listen());
        assert_eq!(left.transports.apply(config(Some(0), &[&to_right])), []);
        assert_eq!(right.transports.apply(config(Some(0), &[&to_left])), []);

        let mut meeting = Meeting { peers: [left, right], links: [None, None] };
        meeting.settle().await;
        let [Some(at_left), Some(at_right)] = &meeting.links else { panic!("no links") };
        assert_ne!(at_left.dialed, at_right.dialed, "the two sides agree");
    }
}

#[tokio::test]
async fn a_peer_listed_under_two_addresses_gets_one_link() {
    let acceptor = TestPeer::new(&playground());
    let address = acceptor.listen();
    let by_name = format!("localhost:{}", acceptor.transports.listen_addresses()[0].port());
    let dialer = TestPeer::new(&playground());
    dialer.connect(&[&address, &by_name]);
    let mut meeting = Meeting { peers: [acceptor, dialer], links: [None, None] };
    meeting.settle().await;
}

#[tokio::test]
async fn a_restarted_peer_replaces_its_old_link_before_that_is_known_to_be_dead() {
    let stored = Identity::generate().unwrap();
    let identity = || Arc::new(Identity::new(&stored, &playground()).unwrap());
    let mut acceptor = TestPeer::new(&playground());
    let address = acceptor.listen();
    let mut first = TestPeer::of(identity(), Options::default(), 64);
    first.connect(&[&address]);
    let old = acceptor.up().await;
    first.up().await;
    // The first instance still runs and believes in its link; for the acceptor it is history.
    let second = TestPeer::of(identity(), Options::default(), 64);
    second.connect(&[&address]);
    assert_eq!(acceptor.down().await, (old.link, LinkDown::Superseded));
    let new = acceptor.up().await;
    assert_eq!(new.peer, old.peer);
    new.outgoing.try_send(Channel::Control, vec![1]).unwrap();
}

#[tokio::test]
async fn shutdown_says_goodbye_and_releases_the_port_at_once() {
    let (acceptor, _, mut dialer, _) = linked(64).await;
    let port = ReservedPort::new();
    acceptor.listen_on(&port);
    acceptor.shutdown().await;
    TcpListener::bind(port.address).expect("the port is free");
    assert_eq!(acceptor.transports.listen_addresses(), []);
    assert_eq!(acceptor.transports.apply(config(Some(0), &[])), [], "after a shutdown nothing happens");
    assert_eq!(acceptor.transports.listen_addresses(), []);
    assert_eq!(dialer.down().await.1, LinkDown::ByPeer("shutting down".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_does_not_wait_for_a_consumer_that_reads_nothing() {
    let (acceptor, _at_acceptor, dialer, at_dialer) = linked(1).await;
    for _ in 0..10 {
        at_dialer.outgoing.try_send(Channel::Control, vec![1]).unwrap();
    }
    acceptor.shutdown().await;
    dialer.shutdown().await;
}

#[tokio::test]
async fn dropping_the_handle_closes_everything() {
    let (acceptor, _, mut dialer, _) = linked(64).await;
    let port = ReservedPort::new();
    acceptor.listen_on(&port);
    drop(acceptor);
    TcpListener::bind(port.address).expect("the port is free");
    assert_eq!(dialer.down().await.1, LinkDown::ByPeer("shutting down".into()));
}

#[tokio::test]
async fn a_consumer_that_is_gone_ends_the_link() {
    let (acceptor, _, mut dialer, at_dialer) = linked(64).await;
    let TestPeer { transports: _transports, events, .. } = acceptor;
    drop(events);
    at_dialer.outgoing.try_send(Channel::Control, vec![1]).unwrap();
    assert!(matches!(dialer.down().await.1, LinkDown::ByPeer(_)));
}

#[tokio::test]
async fn two_peers_of_one_process_meet_without_a_socket() {
    let (mut left, mut right) = (TestPeer::new(&playground()), TestPeer::new(&playground()));
    left.transports.connect_in_process(&right.transports);
    let (at_left, at_right) = (left.up().await, right.up().await);
    assert!(at_left.dialed && !at_right.dialed);
    assert_eq!((at_left.peer, at_right.peer), (right.key(), left.key()));
    at_left.outgoing.try_send(Channel::Replication, vec![5; 500_000]).unwrap();
    assert_eq!(right.message().await, (Channel::Replication, vec![5; 500_000]));
    left.shutdown().await;
    assert_eq!(right.down().await, (at_right.link, LinkDown::ByPeer("shutting down".into())));
}
