//! Whole handshakes in memory: two TLS connections whose bytes are pumped by hand.

use rustls::HandshakeKind::{self, Full, Resumed};
use rustls::{ClientConnection, ServerConnection};

use super::*;
use crate::tickets::MAX_HELD;
use crate::verifier::Trust;
use crate::{Refusal, RefusedBy};

fn playground(id: &str) -> Authority {
    Authority::OfflinePlayground { database_id: id.into() }
}

fn shared(id: &str, key: &str) -> Authority {
    Authority::SharedKey { database_id: id.into(), key: key.into() }
}

fn identity(authority: &Authority) -> Identity {
    Identity::new(&Identity::generate().unwrap(), authority).unwrap()
}

/// What is dialled.
const HERE: &str = "127.0.0.1:4040";

/// What a handshake ends in, at the dialer and at the acceptor.
type Outcome = [Result<Remote, rustls::Error>; 2];

fn handshake(dialer: &Identity, acceptor: &Identity) -> Outcome {
    handshake_of(dialer, dialer.client_config(), acceptor, acceptor.server_config())
}

fn handshake_of(
    dialer: &Identity,
    client: Arc<ClientConfig>,
    acceptor: &Identity,
    server: Arc<ServerConfig>,
) -> Outcome {
    let mut client = ClientConnection::new(client, Identity::server_name(HERE)).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    let [client_error, server_error] = pump(&mut client, &mut server);
    let client = client_error.map_or_else(|| Ok(dialer.remote(client.peer_certificates()).unwrap()), Err);
    let server = server_error.map_or_else(|| Ok(acceptor.remote(server.peer_certificates()).unwrap()), Err);
    [client, server]
}

/// Moves bytes until neither side has any more to say. What each of them stumbles over.
fn pump(client: &mut ClientConnection, server: &mut ServerConnection) -> [Option<rustls::Error>; 2] {
    let (mut client_error, mut server_error) = (None, None);
    while client.wants_write() || server.wants_write() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() && server_error.is_none() {
            server.read_tls(&mut wire).unwrap();
            server_error = server.process_new_packets().err();
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() && client_error.is_none() {
            client.read_tls(&mut wire).unwrap();
            client_error = client.process_new_packets().err();
        }
    }
    [client_error, server_error]
}

/// Both sides must know: the dialer sees the certificate first and refuses, the acceptor is told.
fn assert_refused(outcome: Outcome, reason: HandshakeRefused) {
    let [dialer, acceptor] = outcome.map(|result| Refusal::from_tls(&result.unwrap_err()));
    assert_eq!(dialer, Some(Refusal { reason, by: RefusedBy::Us }));
    assert_eq!(acceptor, Some(Refusal { reason, by: RefusedBy::Them }));
}

#[test]
fn members_of_one_database_learn_each_others_keys() {
    for (left, right) in [
        (playground("3BD1-a"), playground("3bd1-A")),
        (shared("3bd1-a", "secret"), shared("3BD1-A", "secret")),
    ] {
        let (left, right) = (identity(&left), identity(&right));
        let [dialer, acceptor] = handshake(&left, &right);
        assert_eq!(dialer.unwrap(), Remote { peer: right.peer_key(), instance: right.instance() });
        assert_eq!(acceptor.unwrap(), Remote { peer: left.peer_key(), instance: left.instance() });
    }
}

#[test]
fn a_refusal_says_which_of_id_mechanism_and_key_is_wrong() {
    let ours = shared("a", "secret");
    for (theirs, reason) in [
        (shared("b", "secret"), HandshakeRefused::WrongDatabase),
        (shared("b", "other"), HandshakeRefused::WrongDatabase),
        (playground("b"), HandshakeRefused::WrongDatabase),
        (playground("a"), HandshakeRefused::WrongMechanism),
        (shared("a", "other"), HandshakeRefused::WrongSharedKey),
    ] {
        assert_refused(handshake(&identity(&ours), &identity(&theirs)), reason);
        assert_refused(handshake(&identity(&theirs), &identity(&ours)), reason);
    }
}

#[test]
fn a_peer_does_not_connect_to_itself() {
    let peer = identity(&playground("a"));
    assert_refused(handshake(&peer, &peer), HandshakeRefused::SelfConnection);
}

#[test]
fn two_peers_on_copies_of_one_directory_notice_it() {
    let stored = Identity::generate().unwrap();
    let original = Identity::new(&stored, &playground("a")).unwrap();
    let copy = Identity::new(&stored, &playground("a")).unwrap();
    assert_eq!(original.peer_key(), copy.peer_key());

    for kind in [Full, Resumed] {
        let (client, server) = meet(&original, &copy, HERE);
        assert_eq!(kinds(&client, &server), [kind; 2]);
        assert_eq!(original.remote(client.peer_certificates()), Err(HandshakeRefused::KeyInUse));
        assert_eq!(copy.remote(server.peer_certificates()), Err(HandshakeRefused::KeyInUse));
    }
}

/// The two ends of a connection that nobody refuses.
fn meet(dialer: &Identity, acceptor: &Identity, address: &str) -> (ClientConnection, ServerConnection) {
    meet_by(dialer.client_config(), acceptor.server_config(), address)
}

fn meet_by(
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    address: &str,
) -> (ClientConnection, ServerConnection) {
    let mut client = ClientConnection::new(client, Identity::server_name(address)).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    assert_eq!(pump(&mut client, &mut server), [None, None]);
    (client, server)
}

/// As the dialer and as the acceptor sees it.
fn kinds(client: &ClientConnection, server: &ServerConnection) -> [HandshakeKind; 2] {
    [client.handshake_kind().unwrap(), server.handshake_kind().unwrap()]
}

fn assert_kind(dialer: &Identity, acceptor: &Identity, address: &str, expected: HandshakeKind) {
    let (client, server) = meet(dialer, acceptor, address);
    assert_eq!(kinds(&client, &server), [expected; 2]);
    let at_dialer = dialer.remote(client.peer_certificates()).unwrap();
    assert_eq!(at_dialer, Remote { peer: acceptor.peer_key(), instance: acceptor.instance() });
    let at_acceptor = acceptor.remote(server.peer_certificates()).unwrap();
    assert_eq!(at_acceptor, Remote { peer: dialer.peer_key(), instance: dialer.instance() });
    assert_eq!(client.alpn_protocol(), Some(PROTOCOL));
    assert_eq!(server.alpn_protocol(), Some(PROTOCOL));
}

#[test]
fn peers_that_have_met_meet_again_without_certificates_and_know_each_other_as_before() {
    let (left, right) = (identity(&shared("a", "k")), identity(&shared("a", "k")));
    assert_kind(&left, &right, HERE, Full);
    for _ in 0..3 {
        assert_kind(&left, &right, HERE, Resumed);
    }
    // The other direction has tickets of its own.
    assert_kind(&right, &left, HERE, Full);
    assert_kind(&right, &left, HERE, Resumed);
}

#[test]
fn a_ticket_is_for_the_address_it_was_given_at_and_harmless_at_another_peer() {
    let [dialer, first, second] = [(); 3].map(|()| identity(&playground("a")));
    assert_kind(&dialer, &first, "first", Full);
    assert_kind(&dialer, &second, "second", Full);
    assert_kind(&dialer, &second, "second", Resumed);
    assert_kind(&dialer, &first, "first", Resumed);
    // Somebody else is there now.
    assert_kind(&dialer, &second, "first", Full);
    assert_kind(&dialer, &second, "first", Resumed);
    assert_kind(&dialer, &first, "first", Full);
}

#[test]
fn who_has_started_again_knows_no_tickets_and_is_another_instance() {
    let stored = [(); 2].map(|()| Identity::generate().unwrap());
    let start = |peer: usize| Identity::new(&stored[peer], &playground("a")).unwrap();
    let (dialer, acceptor) = (start(0), start(1));
    assert_kind(&dialer, &acceptor, HERE, Full);
    let again = start(1);
    assert_kind(&dialer, &again, HERE, Full);
    assert_kind(&dialer, &again, HERE, Resumed);
    let dialer = start(0);
    assert_kind(&dialer, &again, HERE, Full);
}

/// What a peer used before there were tickets: every cipher suite and key exchange, no resumption.
fn without_tickets(stored: &[u8], authority: &Authority) -> (Identity, Arc<ClientConfig>, Arc<ServerConfig>) {
    let peer = Identity::new(stored, authority).unwrap();
    let leaf = certificate(authority, stored, peer.peer_key(), peer.instance()).unwrap();
    let local = Remote { peer: peer.peer_key(), instance: peer.instance() };
    let verifier = Arc::new(Verifier::new(Trust::new(authority).unwrap(), local));
    let key = || PrivatePkcs8KeyDer::from(stored.to_vec()).into();
    let (provider, time) = (Arc::new(default_provider()), Arc::new(SinceStart(Instant::now())));
    let mut client = ClientConfig::builder_with_details(provider.clone(), time.clone())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(verifier.clone())
        .with_client_auth_cert(vec![leaf.clone()], key())
        .unwrap();
    client.alpn_protocols = vec![PROTOCOL.to_vec()];
    client.resumption = Resumption::disabled();
    let mut server = ServerConfig::builder_with_details(provider, time)
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![leaf], key())
        .unwrap();
    server.alpn_protocols = vec![PROTOCOL.to_vec()];
    server.send_tls13_tickets = 0;
    (peer, Arc::new(client), Arc::new(server))
}

#[test]
fn a_peer_without_tickets_at_either_end_is_met_as_ever() {
    let peer = identity(&playground("a"));
    let (older, client, server) = without_tickets(&Identity::generate().unwrap(), &playground("a"));
    for _ in 0..2 {
        let (dialer, acceptor) = meet_by(client.clone(), peer.server_config(), HERE);
        assert_eq!(kinds(&dialer, &acceptor), [Full; 2]);
        assert_eq!(older.remote(dialer.peer_certificates()).unwrap().peer, peer.peer_key());
        assert_eq!(peer.remote(acceptor.peer_certificates()).unwrap().peer, older.peer_key());

        let (dialer, acceptor) = meet_by(peer.client_config(), server.clone(), HERE);
        assert_eq!(kinds(&dialer, &acceptor), [Full; 2]);
        assert_eq!(peer.remote(dialer.peer_certificates()).unwrap().peer, older.peer_key());
        assert_eq!(older.remote(acceptor.peer_certificates()).unwrap().peer, peer.peer_key());
    }
}

#[test]
fn a_resumed_session_has_keys_of_its_own_and_no_early_data() {
    let (left, right) = (identity(&playground("a")), identity(&playground("a")));
    assert_kind(&left, &right, HERE, Full);
    let mut client = ClientConnection::new(left.client_config(), Identity::server_name(HERE)).unwrap();
    assert!(client.early_data().is_none());
    let mut server = ServerConnection::new(right.server_config()).unwrap();
    assert_eq!(pump(&mut client, &mut server), [None, None]);
    assert_eq!(kinds(&client, &server), [Resumed; 2]);
    let group =
        |group: Option<&'static dyn rustls::crypto::SupportedKxGroup>| group.map(|group| group.name());
    assert_eq!(group(client.negotiated_key_exchange_group()), Some(rustls::NamedGroup::X25519));
    assert_eq!(group(server.negotiated_key_exchange_group()), Some(rustls::NamedGroup::X25519));
}

#[test]
fn a_dialer_holds_one_ticket_for_each_address_and_not_too_many() {
    let (left, right) = (identity(&playground("a")), identity(&playground("a")));
    let held = Arc::new(HeldTickets::default());
    let mut client = (*left.client_config()).clone();
    client.resumption = Resumption::store(held.clone());
    let client = Arc::new(client);
    let mut generous = (*right.server_config()).clone();
    generous.send_tls13_tickets = 9;
    meet_by(client.clone(), Arc::new(generous), HERE);
    assert_eq!(held.count(), 1);
    for number in 0..=MAX_HELD {
        meet_by(client.clone(), right.server_config(), &number.to_string());
    }
    assert_eq!(held.count(), MAX_HELD);
    for (address, expected) in [(HERE, Full), ("0", Full), ("9", Resumed)] {
        let (client, server) = meet_by(client.clone(), right.server_config(), address);
        assert_eq!(kinds(&client, &server), [expected; 2], "{address}");
    }
}

#[test]
fn who_is_refused_is_refused_however_often_it_comes() {
    // The dialer has been here under the right key; the key is another one now.
    let stored = Identity::generate().unwrap();
    let acceptor = identity(&shared("a", "new"));
    let before = Identity::new(&stored, &shared("a", "old")).unwrap();
    assert_kind(&before, &identity(&shared("a", "old")), HERE, Full);
    for _ in 0..3 {
        assert_refused(handshake(&before, &acceptor), HandshakeRefused::WrongSharedKey);
    }
    let now = Identity::new(&stored, &shared("a", "new")).unwrap();
    assert_kind(&now, &acceptor, HERE, Full);
    assert_kind(&now, &acceptor, HERE, Resumed);
    for _ in 0..3 {
        assert_refused(handshake(&before, &acceptor), HandshakeRefused::WrongSharedKey);
    }
    // A peer that has met others does not take itself for one of them.
    for _ in 0..3 {
        assert_refused(handshake(&acceptor, &acceptor), HandshakeRefused::SelfConnection);
    }
}

#[test]
fn a_ticket_without_the_secret_of_its_session_is_of_no_use() {
    // A thief has seen a ticket on the wire, and shows it with a secret of its own.
    let [victim, acceptor, thief] = [(); 3].map(|()| identity(&shared("a", "k")));
    let stolen = Arc::new(StolenTicket::default());
    let mut server = (*acceptor.server_config()).clone();
    server.ticketer = stolen.clone();
    let server = Arc::new(server);
    let (client, connection) = meet_by(victim.client_config(), server.clone(), HERE);
    assert_eq!(kinds(&client, &connection), [Full; 2]);
    let (client, connection) = meet_by(thief.client_config(), server.clone(), HERE);
    assert_eq!(kinds(&client, &connection), [Full; 2]);

    let mut client = ClientConnection::new(thief.client_config(), Identity::server_name(HERE)).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    let [dialer, acceptor] = pump(&mut client, &mut server);
    let misbehaved = rustls::PeerMisbehaved::IncorrectBinder;
    assert_eq!(acceptor, Some(rustls::Error::PeerMisbehaved(misbehaved)));
    assert!(dialer.is_some());
    assert_eq!(server.peer_certificates(), None);
}

/// Names every session by the same ticket, and knows the first.
#[derive(Debug, Default)]
struct StolenTicket {
    sessions: parking_lot::Mutex<Vec<Vec<u8>>>,
}

impl rustls::server::ProducesTickets for StolenTicket {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        60
    }

    fn encrypt(&self, state: &[u8]) -> Option<Vec<u8>> {
        self.sessions.lock().push(state.to_vec());
        Some(vec![7; 8])
    }

    fn decrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        self.sessions.lock().first().cloned()
    }
}

#[test]
fn the_acceptor_refuses_a_dialer_that_does_not_judge() {
    // A hostile dialer accepts any server: the acceptor's own verifier must hold.
    let (ours, theirs) = (identity(&shared("a", "secret")), identity(&shared("a", "guess")));
    let mut client = (*theirs.client_config()).clone();
    let trusting = Verifier::new(
        Trust::new(&shared("a", "secret")).unwrap(),
        Remote { peer: theirs.peer_key(), instance: theirs.instance() },
    );
    client.dangerous().set_certificate_verifier(Arc::new(trusting));
    let [dialer, acceptor] = handshake_of(&theirs, Arc::new(client), &ours, ours.server_config());
    let reason = HandshakeRefused::WrongSharedKey;
    let refusal = |error: &rustls::Error| Refusal::from_tls(error);
    assert_eq!(refusal(&acceptor.unwrap_err()), Some(Refusal { reason, by: RefusedBy::Us }));
    assert_eq!(refusal(&dialer.unwrap_err()), Some(Refusal { reason, by: RefusedBy::Them }));
}

#[test]
fn a_dialer_without_a_certificate_is_refused() {
    let ours = identity(&playground("a"));
    let verifier = Verifier::new(
        Trust::new(&playground("a")).unwrap(),
        Remote { peer: PeerKey::from([0; 32]), instance: Instance([0; 16]) },
    );
    let mut client = ClientConfig::builder_with_details(
        Arc::new(default_provider()),
        Arc::new(SinceStart(Instant::now())),
    )
    .with_protocol_versions(&[&TLS13])
    .unwrap()
    .dangerous()
    .with_custom_certificate_verifier(Arc::new(verifier))
    .with_no_client_auth();
    client.alpn_protocols = vec![PROTOCOL.to_vec()];
    let [dialer, acceptor] = handshake_of(&ours, Arc::new(client), &ours, ours.server_config());
    let reason = HandshakeRefused::NoCertificate;
    assert_eq!(Refusal::from_tls(&acceptor.unwrap_err()), Some(Refusal { reason, by: RefusedBy::Us }));
    assert_eq!(Refusal::from_tls(&dialer.unwrap_err()), Some(Refusal { reason, by: RefusedBy::Them }));
}

#[test]
fn another_protocol_is_refused() {
    let (ours, theirs) = (identity(&playground("a")), identity(&playground("a")));
    let mut client = (*theirs.client_config()).clone();
    client.alpn_protocols = vec![b"h2".to_vec()];
    let outcome = handshake_of(&theirs, Arc::new(client), &ours, ours.server_config());
    let [dialer, acceptor] = outcome.map(|result| Refusal::from_tls(&result.unwrap_err()));
    let reason = HandshakeRefused::OtherProtocol;
    assert_eq!(acceptor, Some(Refusal { reason, by: RefusedBy::Us }));
    assert_eq!(dialer, Some(Refusal { reason, by: RefusedBy::Them }));
}

#[test]
fn garbage_is_not_tls() {
    let mut server = ServerConnection::new(identity(&playground("a")).server_config()).unwrap();
    server.read_tls(&mut &b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"[..]).unwrap();
    let refusal = Refusal::from_tls(&server.process_new_packets().unwrap_err());
    assert_eq!(refusal, Some(Refusal { reason: HandshakeRefused::NotTls, by: RefusedBy::Us }));
}

#[test]
fn damaged_certificates_are_malformed_and_never_accepted() {
    let authority = playground("a");
    let stored = Identity::generate().unwrap();
    let peer = Identity::new(&stored, &authority).unwrap();
    let leaf = certificate(&authority, &stored, peer.peer_key(), peer.instance()).unwrap();
    let trust = Trust::new(&authority).unwrap();
    assert!(trust.judge(&leaf).is_ok());
    for position in 0..leaf.len() {
        let mut bytes = leaf.to_vec();
        bytes[position] ^= 0x41;
        assert!(trust.judge(&bytes.into()).is_err(), "byte {position} does not matter");
        assert!(trust.judge(&leaf[..position].to_vec().into()).is_err());
    }
    for bytes in [&[][..], &[0x30], &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], &[0xff; 64]] {
        assert_eq!(trust.judge(&bytes.to_vec().into()), Err(HandshakeRefused::Malformed));
    }
}

#[test]
fn an_expired_certificate_of_ours_is_called_so() {
    let authority = shared("a", "secret");
    let stored = Identity::generate().unwrap();
    let mut issuer = CertificateParams::default();
    issuer.distinguished_name = common_name(&authority.issuer_name(authority.mechanism()));
    let issuer = Issuer::new(issuer, key_pair(&authority.pkcs8().unwrap()).unwrap());
    let mut leaf = CertificateParams::default();
    leaf.serial_number = Some(SerialNumber::from_slice(&Instance::random().unwrap().0));
    leaf.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let leaf = leaf.signed_by(&key_pair(&stored).unwrap(), &issuer).unwrap();
    assert_eq!(Trust::new(&authority).unwrap().judge(leaf.der()), Err(HandshakeRefused::Expired));
}

#[test]
fn what_is_said_of_an_expired_certificate_names_the_moment_and_blames_no_clock() {
    // 20,601 days after the first of 1970.
    assert_eq!(JUDGED_AT.as_secs(), 20_601 * 86_400 + 20 * 3_600 + 26 * 60 + 40);
    let said = HandshakeRefused::Expired.to_string();
    assert!(said.contains("not valid on 2026-05-28 at 20:26:40 UTC"), "{said}");
    assert!(!said.contains("check the clock"), "{said}");
}

#[test]
fn key_pairs_of_both_pkcs8_versions_are_read_and_others_refused() {
    let v2 = Identity::generate().unwrap();
    let authority = shared("a", "secret");
    let v1 = authority.pkcs8().unwrap();
    assert_eq!(
        Identity::new(&v1, &authority).unwrap().peer_key().as_bytes(),
        &authority.public_key().unwrap()
    );
    assert_eq!(
        Identity::new(&v2, &authority).unwrap().peer_key(),
        Identity::new(&v2, &playground("b")).unwrap().peer_key(),
        "the peer key does not depend on the database"
    );
    for damaged in [&v2[..v2.len() - 1], &[], b"not a key"] {
        assert!(matches!(Identity::new(damaged, &authority), Err(IdentityError::InvalidKeyPair)));
    }
}

#[test]
fn dials_are_numbered_upwards() {
    let peer = identity(&playground("a"));
    assert!(peer.next_dial() < peer.next_dial());
}
