//! The other side is broken, hostile or misconfigured.

use ditto_mesh::{HandshakeRefused, Refusal, RefusedBy};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, HandshakeKind, SignatureScheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::Instant;
use tokio_rustls::{TlsConnector, TlsStream};

use super::*;
use crate::counted::Counted;
use crate::establish::{Failure, Opened, Secured, drive, open_accepted, open_dialed, secure};
use crate::listen::{Caller, welcome};
use crate::wire::{CONTROL, Cause, LINK, LinkFrame, MAX_LINK_FRAME, REPLICATION};

/// Whatever a rogue calls what it has dialled.
const HERE: &str = "here";

fn shared(id: &str, key: &str) -> Authority {
    Authority::SharedKey { database_id: id.into(), key: key.into() }
}

async fn assert_both_told(left: &Authority, right: &Authority, expected: HandshakeRefused) {
    let (mut acceptor, mut dialer) = (TestPeer::new(left), TestPeer::new(right));
    let address = acceptor.listen();
    dialer.connect(&[&address]);
    let Problem::Refused { address: target, dialed: true, refusal, repeated: 0 } = dialer.problem().await
    else {
        panic!("not refused")
    };
    assert_eq!((target, refusal), (address, Refusal { reason: expected, by: RefusedBy::Us }));
    let Problem::Refused { dialed: false, refusal, repeated: 0, .. } = acceptor.problem().await else {
        panic!("not refused")
    };
    assert_eq!(refusal, Refusal { reason: expected, by: RefusedBy::Them });
}

#[tokio::test]
async fn a_wrong_database_id_is_named_on_both_sides() {
    assert_both_told(&shared("a", "k"), &shared("b", "k"), HandshakeRefused::WrongDatabase).await;
}

#[tokio::test]
async fn a_wrong_shared_key_is_named_on_both_sides() {
    assert_both_told(&shared("a", "k"), &shared("a", "l"), HandshakeRefused::WrongSharedKey).await;
}

#[tokio::test]
async fn a_shared_key_on_one_side_only_is_named_on_both_sides() {
    let playground = Authority::OfflinePlayground { database_id: "a".into() };
    assert_both_told(&shared("a", "k"), &playground, HandshakeRefused::WrongMechanism).await;
}

#[tokio::test]
async fn a_refusal_repeats_quietly_until_the_configuration_is_right() {
    let options = Options { complain_every: Duration::from_secs(3600), ..Options::default() };
    let mut acceptor = TestPeer::with(&shared("a", "k"), options.clone(), 64);
    let mut dialer = TestPeer::with(&shared("a", "l"), options, 64);
    let address = acceptor.listen();
    let quick = TransportConfig { longest_pause: Duration::from_millis(1), ..config(None, &[&address]) };
    assert_eq!(dialer.transports.apply(quick), []);
    dialer.problem().await;
    acceptor.problem().await;
    // The dialer tries again many times a second; the next thing to hear of is the right peer.
    let right = TestPeer::new(&shared("a", "k"));
    right.connect(&[&address]);
    assert_eq!(acceptor.up().await.peer, right.key());
}

#[tokio::test]
async fn a_peer_that_dials_itself_is_told_so() {
    let mut peer = TestPeer::new(&playground());
    let address = peer.listen();
    let port = peer.transports.listen_addresses()[0].port();
    assert_eq!(peer.transports.apply(config(Some(0), &[&address])), []);
    assert_eq!(peer.transports.listen_addresses()[0].port(), port, "what does not change is left alone");
    for _ in 0..2 {
        let Problem::Refused { refusal, .. } = peer.problem().await else { panic!("not refused") };
        assert_eq!(refusal.reason, HandshakeRefused::SelfConnection);
    }
}

#[tokio::test]
async fn two_peers_with_one_key_are_both_told() {
    let stored = Identity::generate().unwrap();
    let peer = || {
        let identity = Arc::new(Identity::new(&stored, &playground()).unwrap());
        TestPeer::of(identity, Options::default(), 64)
    };
    for in_process in [false, true] {
        let (mut acceptor, mut dialer) = (peer(), peer());
        if in_process {
            dialer.transports.connect_in_process(&acceptor.transports);
        } else {
            dialer.connect(&[&acceptor.listen()]);
        }
        for peer in [&mut acceptor, &mut dialer] {
            let Problem::Refused { refusal, .. } = peer.problem().await else { panic!("not refused") };
            assert_eq!(refusal, Refusal { reason: HandshakeRefused::KeyInUse, by: RefusedBy::Us });
        }
    }
}

/// Who is at each end of a handshake over a pipe, and whether a ticket was used, as the dialer and as the acceptor sees it.
async fn shaken_hands(
    dialer: &Identity,
    acceptor: &Identity,
) -> [Result<(PeerKey, HandshakeKind), Failure>; 2] {
    let (ours, theirs) = duplex(64 * 1024);
    let (mut ours, mut theirs) = tokio::join!(
        secure(Counted::new(ours), dialer, Some(HERE)),
        secure(Counted::new(theirs), acceptor, None),
    );
    // Tickets are read with whatever comes after them.
    if let (Ok(Secured { tls: ours, .. }), Ok(Secured { tls: theirs, .. })) = (&mut ours, &mut theirs) {
        theirs.write_all(&[0]).await.unwrap();
        theirs.flush().await.unwrap();
        ours.read_u8().await.unwrap();
    }
    [ours, theirs].map(|end| {
        let Secured { tls, remote } = end?;
        Ok((remote.peer, tls.get_ref().1.handshake_kind().unwrap()))
    })
}

#[tokio::test]
async fn tickets_let_in_nobody_whom_a_full_handshake_would_refuse() {
    let of = |authority: &Authority| Identity::new(&Identity::generate().unwrap(), authority).unwrap();
    let (dialer, acceptor, stranger) = (of(&shared("a", "k")), of(&shared("a", "k")), of(&shared("a", "l")));
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed] {
        let [at_dialer, at_acceptor] = shaken_hands(&dialer, &acceptor).await;
        assert_eq!(at_dialer.unwrap(), (acceptor.peer_key(), kind));
        assert_eq!(at_acceptor.unwrap(), (dialer.peer_key(), kind));
        // The one shows a ticket that the other does not know; nobody comes in with none.
        for (dialer, acceptor) in [(&dialer, &stranger), (&stranger, &acceptor)] {
            let ends = shaken_hands(dialer, acceptor).await;
            for (end, by) in ends.into_iter().zip([RefusedBy::Us, RefusedBy::Them]) {
                let Err(Failure::Refused(refusal)) = end else { panic!("not refused") };
                assert_eq!(refusal, Refusal { reason: HandshakeRefused::WrongSharedKey, by });
            }
        }
        // That has cost the dialer its ticket, and it gets another one.
        let [at_dialer, _] = shaken_hands(&dialer, &acceptor).await;
        assert_eq!(at_dialer.unwrap().1, HandshakeKind::Full);
    }
}

#[tokio::test]
async fn garbage_is_refused_and_the_next_caller_is_served() {
    let mut acceptor = TestPeer::new(&playground());
    let address = acceptor.listen();
    let mut socket = TcpStream::connect(&address).await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n").await.unwrap();
    let Problem::Refused { refusal, dialed: false, .. } = acceptor.problem().await else {
        panic!("not refused")
    };
    assert_eq!(refusal, Refusal { reason: HandshakeRefused::NotTls, by: RefusedBy::Us });
    timeout(PATIENCE, socket.read_to_end(&mut Vec::new())).await.expect("the socket stays open").unwrap();

    let dialer = TestPeer::new(&playground());
    dialer.connect(&[&address]);
    assert_eq!(acceptor.up().await.peer, dialer.key());
}

#[tokio::test]
async fn a_silent_caller_is_dropped_and_does_not_keep_others_out_for_long() {
    let options = Options { handshake_timeout: Duration::from_secs(1), half_open: 1, ..Options::default() };
    let mut acceptor = TestPeer::with(&playground(), options, 64);
    let address = acceptor.listen();
    let mut silent = TcpStream::connect(&address).await.unwrap();
    let mut half = TcpStream::connect(&address).await.unwrap();
    half.write_all(&[0x16, 0x03, 0x01]).await.unwrap();

    let dialer = TestPeer::new(&playground());
    dialer.connect(&[&address]);
    assert_eq!(acceptor.up().await.peer, dialer.key());
    for socket in [&mut silent, &mut half] {
        let closed = timeout(PATIENCE, socket.read_to_end(&mut Vec::new())).await;
        let _ = closed.expect("a silent connection stays open");
    }
}

#[tokio::test]
async fn a_host_that_connects_and_says_nothing_does_not_keep_other_hosts_waiting() {
    let options = Options {
        handshake_timeout: 2 * PATIENCE,
        half_open: 3,
        half_open_per_host: 2,
        ..Options::default()
    };
    let mut acceptor = TestPeer::with(&playground(), options, 64);
    let address = acceptor.listen();
    let mut silent = Vec::new();
    for _ in 0..2 {
        silent.push(TcpStream::connect(&address).await.unwrap());
    }
    for _ in 0..2 {
        let mut turned_away = TcpStream::connect(&address).await.unwrap();
        let closed = timeout(PATIENCE, turned_away.read_to_end(&mut Vec::new())).await;
        let _ = closed.expect("one connection too many stays open");
    }
    let Problem::TooManyHandshakes { host, limit: 2 } = acceptor.problem().await else {
        panic!("not turned away")
    };
    assert_eq!(host, "127.0.0.1");

    // Only Linux has the whole of 127.0.0.0/8 on its loopback interface.
    if cfg!(target_os = "linux") {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let socket = socket.connect(address.parse().unwrap()).await.unwrap();
        let mut other = rogue_on(socket).await;
        tokio::select! {
            error = drive(&mut other.mux) => panic!("{error}"),
            _ = acceptor.up() => {}
        }
    }
}

#[tokio::test]
async fn when_all_connections_are_taken_a_peer_is_turned_away_until_one_is_free() {
    let mut acceptor = TestPeer::with(&playground(), Options { accepted: 1, ..Options::default() }, 64);
    let address = acceptor.listen();
    let first = TestPeer::new(&playground());
    first.connect(&[&address]);
    assert_eq!(acceptor.up().await.peer, first.key());

    let second = TestPeer::new(&playground());
    let quick = TransportConfig { longest_pause: Duration::from_millis(1), ..config(None, &[&address]) };
    assert_eq!(second.transports.apply(quick), []);
    assert!(matches!(acceptor.problem().await, Problem::TooManyConnections { limit: 1 }));
    first.shutdown().await;
    acceptor.down().await;
    assert_eq!(acceptor.up().await.peer, second.key());
}

#[tokio::test]
async fn an_address_where_no_peer_answers_is_reported_once_and_tried_again() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let options = Options { handshake_timeout: Duration::from_millis(50), ..Options::default() };
    let mut dialer = TestPeer::with(&playground(), options, 64);
    let quick = TransportConfig { longest_pause: Duration::from_millis(1), ..config(None, &[&address]) };
    assert_eq!(dialer.transports.apply(quick), []);
    let Problem::Unreachable { target, cause } = dialer.problem().await else { panic!("reached") };
    assert_eq!((target, cause.as_str()), (address, "no answer in time"));
    for _ in 0..3 {
        timeout(PATIENCE, silent.accept()).await.expect("not tried again").unwrap();
    }
    assert!(dialer.events.try_recv().is_err(), "repetitions are held back");
}

/// A peer that has been greeted and now does as it likes.
async fn rogue(address: &str) -> Opened {
    rogue_on(TcpStream::connect(address).await.unwrap()).await
}

async fn rogue_on(socket: TcpStream) -> Opened {
    let secured = secure(Counted::new(socket), &identity(), Some(HERE)).await.unwrap();
    open_dialed(secured.tls, 0, Instant::now() + PATIENCE, PATIENCE).await.unwrap()
}

#[tokio::test]
async fn an_announced_message_of_four_gibibytes_closes_the_link() {
    let mut acceptor = TestPeer::new(&playground());
    let mut rogue = rogue(&acceptor.listen()).await;
    acceptor.up().await;
    rogue.replication.write_all(&[0xff; 8]).await.unwrap();
    let (end, (_, reason)) = tokio::join!(timeout(PATIENCE, drive(&mut rogue.mux)), acceptor.down());
    assert!(end.is_ok(), "the connection stays open");
    assert_eq!(reason, LinkDown::FrameTooLong { channel: Channel::Replication, length: u32::MAX });
}

#[tokio::test]
async fn a_long_link_frame_closes_the_link() {
    let mut acceptor = TestPeer::new(&playground());
    let mut rogue = rogue(&acceptor.listen()).await;
    acceptor.up().await;
    rogue.link.write_all(&(MAX_LINK_FRAME as u32 + 1).to_le_bytes()).await.unwrap();
    let (_, (_, reason)) = tokio::join!(drive(&mut rogue.mux), acceptor.down());
    assert!(matches!(reason, LinkDown::Violation(_)), "{reason:?}");
}

/// The kinds of yamux frames, and their flags.
const DATA: u8 = 0;
const WINDOW_UPDATE: u8 = 1;
const PING: u8 = 2;
const SYN: u8 = 1;
const ACK: u8 = 2;
const FIN: u8 = 4;
const RST: u8 = 8;

/// A yamux frame; `length` is that of the body, or what the kind has in its place.
fn frame(kind: u8, flags: u8, stream: u8, length: u32, body: &[u8]) -> Vec<u8> {
    [&[0, kind, 0, flags, 0, 0, 0, stream], &length.to_be_bytes()[..], body].concat()
}

fn data(flags: u8, stream: u8, body: &[u8]) -> Vec<u8> {
    frame(DATA, flags, stream, body.len() as u32, body)
}

/// The connection of a peer that has greeted, and writes its yamux frames by hand: 1 is the stream of the link, 3 that of the
/// control channel and 5 of the replication channel.
async fn handwritten(acceptor: &mut TestPeer) -> (TlsStream<Counted>, Up) {
    let greeting = [&[LINK][..], &LinkFrame::Greeting { number: 0 }.encode()].concat();
    let opening = [data(SYN, 1, &greeting), data(SYN, 3, &[CONTROL]), data(SYN, 5, &[REPLICATION])].concat();
    let tls = says(&acceptor.listen(), &opening).await;
    (tls, acceptor.up().await)
}

/// A connection on which this has been written after the handshake.
async fn says(address: &str, bytes: &[u8]) -> TlsStream<Counted> {
    let socket = TcpStream::connect(address).await.unwrap();
    let mut tls = secure(Counted::new(socket), &identity(), Some(HERE)).await.unwrap().tls;
    tls.write_all(bytes).await.unwrap();
    tls.flush().await.unwrap();
    tls
}

fn identity() -> Identity {
    Identity::new(&Identity::generate().unwrap(), &playground()).unwrap()
}

#[tokio::test]
async fn who_opens_a_link_in_a_wrong_way_is_told_so() {
    let ping = [&[LINK][..], &LinkFrame::Ping.encode()].concat();
    let openings = [
        ([data(SYN, 1, &ping), data(SYN, 3, &[CONTROL]), data(SYN, 5, &[REPLICATION])], "not a greeting"),
        ([data(SYN, 1, &ping), data(SYN, 3, &[CONTROL]), data(SYN, 5, &[CONTROL])], "opened twice"),
        ([data(SYN, 1, &ping), data(SYN, 2, &[]), Vec::new()], "broken multiplexing"),
    ];
    let acceptor = TestPeer::new(&playground());
    let address = acceptor.listen();
    for (opening, reason) in openings {
        let words = last_words(says(&address, &opening.concat()).await).await;
        assert!(words.contains(reason), "{reason}: {words:?}");
    }
}

#[tokio::test]
async fn who_does_not_greet_in_time_is_told_so() {
    for dialed in [true, false] {
        let (ours, theirs) = duplex(64 * 1024);
        let (our_identity, their_identity) = (identity(), identity());
        let (ours, theirs) = tokio::join!(
            secure(Counted::new(ours), &our_identity, dialed.then_some(HERE)),
            secure(Counted::new(theirs), &their_identity, (!dialed).then_some(HERE)),
        );
        let (ours, mut theirs) = (ours.unwrap().tls, theirs.unwrap().tls);
        let soon = Instant::now() + Duration::from_millis(10);
        let opened = if dialed {
            open_dialed(ours, 0, soon, PATIENCE).await
        } else {
            theirs.write_all(&data(SYN, 1, &[LINK])).await.unwrap();
            theirs.flush().await.unwrap();
            open_accepted(ours, soon, PATIENCE).await
        };
        assert!(matches!(opened, Err(Failure::TimedOut)));
        let words = last_words(theirs).await;
        assert!(words.contains("no answer in time"), "{words:?}");
    }
}

#[tokio::test]
async fn who_is_silent_or_reads_nothing_is_told_why_the_link_ends() {
    let silent = Options {
        keep_alive: Duration::from_millis(20),
        answer_timeout: Duration::from_millis(200),
        ..Options::default()
    };
    let stalled = Options {
        keep_alive: Duration::from_secs(3600),
        stall_timeout: Duration::from_millis(300),
        ..Options::default()
    };
    for (options, reason) in [(silent, "does not answer"), (stalled, "has read nothing")] {
        let mut acceptor = TestPeer::with(&playground(), options, 64);
        let (tls, up) = handwritten(&mut acceptor).await;
        if reason == "has read nothing" {
            up.outgoing.try_send(Channel::Replication, vec![0; MAX_FRAME]).unwrap();
        }
        let (words, (_, down)) = tokio::join!(last_words(tls), acceptor.down());
        assert!(down.to_string().contains(reason), "{down}");
        assert!(words.contains(reason), "{reason}");
    }
}

#[tokio::test]
async fn a_link_of_which_the_other_side_ends_one_stream_ends() {
    for (stream, name) in [(1, "link"), (3, "control"), (5, "replication")] {
        for flag in [FIN, RST] {
            let mut acceptor = TestPeer::new(&playground());
            let (mut tls, _) = handwritten(&mut acceptor).await;
            let message = data(0, 5, &[1, 0, 0, 0, 7]);
            tls.write_all(&[message, frame(DATA, flag, stream, 0, &[])].concat()).await.unwrap();
            tls.flush().await.unwrap();
            let mut event = acceptor.next().await;
            // What came before on another stream may count or not.
            if stream == 5 || matches!(event, LinkEvent::Message { .. }) {
                assert!(matches!(event, LinkEvent::Message { .. }), "{name}: {event:?}");
                event = acceptor.next().await;
            }
            let LinkEvent::Down { reason: LinkDown::Violation(reason), .. } = event else {
                panic!("{name}: {event:?}")
            };
            assert_eq!(reason, format!("the {name} stream was closed without a goodbye"));
            let words = last_words(tls).await;
            assert_eq!(words.contains(&reason), (stream, flag) != (1, RST), "{name}: {words:?}");
        }
    }
}

/// Everything that still comes, as far as it is text.
async fn last_words(mut tls: TlsStream<Counted>) -> String {
    let mut words = Vec::new();
    timeout(PATIENCE, tls.read_to_end(&mut words)).await.expect("the connection stays open").unwrap();
    String::from_utf8_lossy(&words).into_owned()
}

#[tokio::test]
async fn who_breaks_the_multiplexing_is_told_so_and_nothing_after_that_arrives() {
    let violations = [
        ("more than the window", data(0, 5, &[0; 300 * 1024])),
        ("a stream that is open already", data(SYN, 5, &[2])),
        ("a stream that the acceptor would open", data(SYN, 2, &[9])),
        ("a window beyond 32 bits", frame(WINDOW_UPDATE, 0, 5, u32::MAX, &[])),
        ("a pong that nobody asked for", frame(PING, ACK, 0, 77, &[])),
    ];
    for (what, violation) in violations {
        let mut acceptor = TestPeer::new(&playground());
        let (mut tls, _) = handwritten(&mut acceptor).await;
        let message = |content| data(0, 3, &[1, 0, 0, 0, content]);
        tls.write_all(&message(7)).await.unwrap();
        tls.flush().await.unwrap();
        assert_eq!(acceptor.message().await, (Channel::Control, vec![7]), "{what}");
        tls.write_all(&[violation, message(8)].concat()).await.unwrap();
        tls.flush().await.unwrap();
        let (_, reason) = acceptor.down().await;
        assert!(matches!(&reason, LinkDown::Violation(_)), "{what}: {reason:?}");
        let words = last_words(tls).await;
        assert!(words.contains(&reason.to_string()), "{what}: {words:?}");
    }
}

#[tokio::test]
async fn a_round_trip_is_measured_when_much_arrives_and_not_before() {
    let mut acceptor = TestPeer::new(&playground());
    let (mut tls, up) = handwritten(&mut acceptor).await;
    let mut seen = [Vec::new(), Vec::new()];
    for (length, seen) in [100_u16, 5_000].into_iter().zip(&mut seen) {
        let message = [&u32::from(length).to_le_bytes()[..], &vec![7; usize::from(length)]].concat();
        tls.write_all(&data(0, 5, &message)).await.unwrap();
        tls.flush().await.unwrap();
        assert_eq!(acceptor.message().await.1.len(), usize::from(length));
        // Whatever was sent before this has been read when it arrives.
        up.outgoing.try_send(Channel::Control, b"heard".to_vec()).unwrap();
        while !seen.ends_with(b"heard") {
            timeout(PATIENCE, tls.read_buf(seen)).await.expect("nothing more comes").unwrap();
        }
    }
    let pings =
        seen.map(|bytes| bytes.windows(8).filter(|header| *header == [0, PING, 0, SYN, 0, 0, 0, 0]).count());
    assert_eq!(pings, [0, 1]);
}

#[tokio::test]
async fn streams_of_a_later_version_are_declined_without_harm() {
    let mut acceptor = TestPeer::new(&playground());
    let mut rogue = rogue(&acceptor.listen()).await;
    acceptor.up().await;
    let mut unknown = std::future::poll_fn(|cx| rogue.mux.poll_new_outbound(cx)).await.unwrap();
    let talking = async {
        unknown.write_all(&[9, 1, 2, 3]).await.unwrap();
        rogue.control.write_all(&[2, 0, 0, 0, 7, 7]).await.unwrap();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        error = drive(&mut rogue.mux) => panic!("{error}"),
        () = talking => {}
        message = acceptor.message() => assert_eq!(message, (Channel::Control, vec![7, 7])),
    }
}

#[tokio::test]
async fn a_peer_that_vanishes_without_a_word_is_noticed() {
    let options = Options {
        keep_alive: Duration::from_millis(20),
        answer_timeout: Duration::from_millis(200),
        ..Options::default()
    };
    let mut acceptor = TestPeer::with(&playground(), options, 64);
    // Nobody drives this connection any more: as good as a pulled cable.
    let _rogue = rogue(&acceptor.listen()).await;
    acceptor.up().await;
    assert_eq!(acceptor.down().await.1, LinkDown::Silent);
}

#[tokio::test]
async fn an_idle_link_stays_up() {
    let options = Options {
        keep_alive: Duration::from_millis(10),
        answer_timeout: Duration::from_secs(20),
        ..Options::default()
    };
    let mut acceptor = TestPeer::with(&playground(), options.clone(), 64);
    let mut dialer = TestPeer::with(&playground(), options, 64);
    dialer.connect(&[&acceptor.listen()]);
    let (at_acceptor, _) = (acceptor.up().await, dialer.up().await);
    let before = at_acceptor.outgoing.traffic();
    let pinged = async {
        while at_acceptor.outgoing.traffic().received < before.received + 1000 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = pinged => {}
        event = acceptor.next() => panic!("{event:?}"),
        event = dialer.next() => panic!("{event:?}"),
    }
}

#[tokio::test]
async fn a_peer_that_reads_nothing_is_dropped_in_the_end() {
    let options = Options {
        keep_alive: Duration::from_secs(3600),
        stall_timeout: Duration::from_millis(300),
        ..Options::default()
    };
    let mut acceptor = TestPeer::with(&playground(), options, 64);
    let mut rogue = rogue(&acceptor.listen()).await;
    let up = acceptor.up().await;
    let reason = async {
        loop {
            while up.outgoing.try_send(Channel::Replication, vec![0; MAX_FRAME]).is_ok() {}
            match acceptor.next().await {
                LinkEvent::Writable { .. } => {}
                LinkEvent::Down { reason, .. } => return reason,
                other => panic!("{other:?}"),
            }
        }
    };
    // Alive, as its multiplexer answers, but it takes nothing from its streams.
    let (_, reason) = tokio::join!(drive(&mut rogue.mux), reason);
    assert!(matches!(reason, LinkDown::Stalled { channel: Channel::Replication, .. }), "{reason:?}");
}

#[tokio::test]
async fn any_cut_of_the_connection_ends_in_one_down() {
    let mut acceptor = TestPeer::new(&playground());
    let mut rogue = rogue(&acceptor.listen()).await;
    let up = acceptor.up().await;
    rogue.control.write_all(&[3, 0, 0, 0, 1, 2, 3, 9, 0, 0, 0, 1]).await.unwrap();
    tokio::select! {
        error = drive(&mut rogue.mux) => panic!("{error}"),
        message = acceptor.message() => {
            assert_eq!(message, (Channel::Control, vec![1, 2, 3]), "what is whole is delivered");
        }
    }
    drop(rogue);
    let (link, reason) = acceptor.down().await;
    assert_eq!(link, up.link);
    assert!(matches!(reason, LinkDown::Lost(_)), "{reason:?}");
    assert!(matches!(up.outgoing.try_send(Channel::Control, Vec::new()), Err(SendError::Closed(_))));
}

#[tokio::test]
async fn what_was_sent_before_a_goodbye_is_delivered_before_the_end() {
    let mut acceptor = TestPeer::with(&playground(), Options::default(), 1);
    let mut rogue = rogue(&acceptor.listen()).await;
    let leaving = async {
        for number in 0..20 {
            rogue.control.write_all(&[1, 0, 0, 0, number]).await.unwrap();
        }
        rogue
            .link
            .write_all(&LinkFrame::Goodbye { cause: Cause::Other, reason: "bye".into() }.encode())
            .await
            .unwrap();
    };
    tokio::select! {
        error = drive(&mut rogue.mux) => panic!("{error}"),
        () = leaving => {}
    }
    std::future::poll_fn(|cx| rogue.mux.poll_close(cx)).await.unwrap();
    acceptor.up().await;
    for number in 0..20 {
        assert_eq!(acceptor.message().await, (Channel::Control, vec![number]));
    }
    assert_eq!(acceptor.down().await.1, LinkDown::ByPeer("bye".into()));
}

#[tokio::test]
async fn garbage_on_a_pipe_is_answered_with_an_alert() {
    let acceptor = TestPeer::new(&playground());
    let (mut ours, theirs) = duplex(64 * 1024);
    let caller = Caller { address: "test".into(), host: "test".into(), kind: LinkKind::InProcess };
    let welcoming = tokio::spawn(welcome(acceptor.transports.hub(), Counted::new(theirs), caller, None));
    ours.write_all(&[0; 32]).await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, ours.read_to_end(&mut answer)).await.expect("the pipe stays open").unwrap();
    assert_eq!(answer.first(), Some(&21), "an alert record says why");
    drop(ours);
    welcoming.await.unwrap();
}

#[tokio::test]
async fn a_dialer_that_does_not_judge_us_is_refused_and_told_why() {
    // For the dialer the handshake is complete; our alert arrives when it waits for our greeting.
    let mut acceptor = TestPeer::new(&shared("a", "k"));
    let address = acceptor.listen();
    let identity = Identity::new(&Identity::generate().unwrap(), &shared("a", "guess")).unwrap();
    let mut config = (*identity.client_config()).clone();
    config.dangerous().set_certificate_verifier(Arc::new(Gullible));
    let socket = Counted::new(TcpStream::connect(&address).await.unwrap());
    let tls =
        TlsConnector::from(Arc::new(config)).connect(Identity::server_name(HERE), socket).await.unwrap();
    let Err(Failure::Refused(refusal)) =
        open_dialed(tls.into(), 0, Instant::now() + PATIENCE, PATIENCE).await
    else {
        panic!("not refused")
    };
    let reason = HandshakeRefused::WrongSharedKey;
    assert_eq!(refusal, Refusal { reason, by: RefusedBy::Them });
    let Problem::Refused { refusal, .. } = acceptor.problem().await else { panic!("not refused") };
    assert_eq!(refusal, Refusal { reason, by: RefusedBy::Us });
}

/// Believes everything.
#[derive(Debug)]
struct Gullible;

impl ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}
