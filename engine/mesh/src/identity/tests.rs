//! Whole handshakes in memory: two TLS connections whose bytes are pumped by hand.

use rustls::{ClientConnection, ServerConnection};

use super::*;
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
    let mut client = ClientConnection::new(client, Identity::server_name()).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
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
    let client = client_error.map_or_else(|| Ok(dialer.remote(client.peer_certificates()).unwrap()), Err);
    let server = server_error.map_or_else(|| Ok(acceptor.remote(server.peer_certificates()).unwrap()), Err);
    [client, server]
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

    let mut client = ClientConnection::new(original.client_config(), Identity::server_name()).unwrap();
    let mut server = ServerConnection::new(copy.server_config()).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets().unwrap();
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets().unwrap();
    }
    assert_eq!(original.remote(client.peer_certificates()), Err(HandshakeRefused::KeyInUse));
    assert_eq!(copy.remote(server.peer_certificates()), Err(HandshakeRefused::KeyInUse));
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
    let mut client = ClientConfig::builder_with_details(Arc::new(default_provider()), Arc::new(Timeless))
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
