//! A peer's key pair, its certificate, and the TLS configurations made from them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, DistinguishedName, DnType, Issuer, SerialNumber};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{cipher_suite, default_provider, kx_group};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::time_provider::TimeProvider;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};

use crate::tickets::{HeldTickets, IssuedTickets, LIFETIME};
use crate::verifier::{Trust, Verifier};
use crate::{Authority, HandshakeRefused, PeerKey};

/// The peer protocol and its version, agreed on in the handshake (ALPN).
pub const PROTOCOL: &[u8] = b"ditto/1";

/// The moment that certificates are judged at, in seconds since 1970: some time in 2026. Certificates of the mechanisms
/// here do not expire, so a device with a broken clock can still connect.
pub(crate) const JUDGED_AT: Duration = Duration::from_secs(1_780_000_000);

/// A running instance of a peer: a random number made with each [`Identity`]. It tells a peer that dialled itself from
/// two peers that run on copies of one directory, and an old link of a peer from one made since it was restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Instance(pub [u8; 16]);

/// Who is at the other end of a link, as proven by the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remote {
    /// The peer.
    pub peer: PeerKey,
    /// Its running instance.
    pub instance: Instance,
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The stored key pair cannot be used.
    #[error(
        "the stored peer key is damaged: expected an Ed25519 key pair in PKCS#8 form; without it this is a new peer"
    )]
    InvalidKeyPair,
    /// No database id.
    #[error("the database id is empty; peers of one database share a non-empty id")]
    EmptyDatabaseId,
    /// No shared key.
    #[error("the shared key is empty; give a secret of 32 random bytes, or none at all")]
    EmptySharedKey,
    /// The operating system gave no randomness.
    #[error("the operating system gave no random numbers, which a key needs")]
    NoRandomness,
    /// The certificate could not be made.
    #[error("the peer's certificate could not be made")]
    Certificate(#[from] rcgen::Error),
    /// TLS refused what it was configured with.
    #[error("TLS could not be configured")]
    Tls(#[from] rustls::Error),
}

/// A peer's key pair under an [`Authority`]: everything that a handshake needs. One per running peer.
///
/// ```
/// use ditto_mesh::{Authority, Identity};
///
/// let authority = Authority::SharedKey { database_id: "3bd1a8ac".into(), key: b"a secret of all members".to_vec() };
/// let stored = Identity::generate()?; // once, at the first start of the peer
/// let identity = Identity::new(&stored, &authority)?;
/// assert!(identity.peer_key().to_string().starts_with("pk"));
/// # Ok::<(), ditto_mesh::IdentityError>(())
/// ```
pub struct Identity {
    peer_key: PeerKey,
    instance: Instance,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    dials: AtomicU64,
}

impl Identity {
    /// A new Ed25519 key pair in PKCS#8 form, for the caller to store and keep secret. It names the peer from then on.
    pub fn generate() -> Result<Vec<u8>, IdentityError> {
        Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
            .map(|document| document.as_ref().to_vec())
            .map_err(|_| IdentityError::NoRandomness)
    }

    /// The identity of a stored key pair (PKCS#8, version 1 or 2) under an authority.
    pub fn new(pkcs8: &[u8], authority: &Authority) -> Result<Self, IdentityError> {
        let pair =
            Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).map_err(|_| IdentityError::InvalidKeyPair)?;
        let peer_key: [u8; 32] =
            pair.public_key().as_ref().try_into().map_err(|_| IdentityError::InvalidKeyPair)?;
        let peer_key = PeerKey::from(peer_key);
        let instance = Instance::random()?;

        let leaf = certificate(authority, pkcs8, peer_key, instance)?;
        let verifier = Arc::new(Verifier::new(Trust::new(authority)?, Remote { peer: peer_key, instance }));
        let key = || PrivatePkcs8KeyDer::from(pkcs8.to_vec()).into();
        // One of each, as strong as our keys: what both sides would choose anyway.
        let provider = Arc::new(CryptoProvider {
            cipher_suites: vec![cipher_suite::TLS13_AES_128_GCM_SHA256],
            kx_groups: vec![kx_group::X25519],
            ..default_provider()
        });
        let time = Arc::new(SinceStart(Instant::now()));

        let mut server = ServerConfig::builder_with_details(provider.clone(), time.clone())
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(verifier.clone())
            .with_single_cert(vec![leaf.clone()], key())?;
        server.alpn_protocols = vec![PROTOCOL.to_vec()];
        server.send_tls13_tickets = 1;
        server.ticketer = Arc::new(IssuedTickets::new(LIFETIME));
        server.session_storage = Arc::new(NoServerSessionStorage {});

        let mut client = ClientConfig::builder_with_details(provider, time)
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_auth_cert(vec![leaf], key())?;
        client.alpn_protocols = vec![PROTOCOL.to_vec()];
        client.resumption = Resumption::store(Arc::new(HeldTickets::default()));
        client.enable_sni = false;

        Ok(Self {
            peer_key,
            instance,
            server: Arc::new(server),
            client: Arc::new(client),
            dials: AtomicU64::new(0),
        })
    }

    /// The public key that names this peer.
    pub fn peer_key(&self) -> PeerKey {
        self.peer_key
    }

    /// This running instance.
    pub fn instance(&self) -> Instance {
        self.instance
    }

    /// TLS 1.3 only, mutual authentication, no early data: for the side that accepts a link.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        self.server.clone()
    }

    /// As [`server_config`](Self::server_config), for the side that dials.
    pub fn client_config(&self) -> Arc<ClientConfig> {
        self.client.clone()
    }

    /// What TLS is to call the server that is reached by dialling `address`. Names play no part in who a peer is, which its key
    /// says, and none is sent: tickets are kept by it. An address is a hash of what is dialled here, whatever that is.
    pub fn server_name(address: &str) -> ServerName<'static> {
        let mut name = [0; 16];
        blake3::Hasher::new().update(address.as_bytes()).finalize_xof().fill(&mut name);
        ServerName::IpAddress(std::net::Ipv6Addr::from(name).into())
    }

    /// Who is at the other end of a connection whose handshake, made with the configurations of this identity, is
    /// **finished**: they belong to our database and have proven that they hold this key. [`HandshakeRefused::KeyInUse`]
    /// if it is our own key.
    pub fn remote(&self, certificates: Option<&[CertificateDer<'_>]>) -> Result<Remote, HandshakeRefused> {
        let leaf = certificates.and_then(|chain| chain.first()).ok_or(HandshakeRefused::NoCertificate)?;
        let remote = crate::verifier::read(leaf).ok_or(HandshakeRefused::Malformed)?;
        if remote.peer == self.peer_key { Err(HandshakeRefused::KeyInUse) } else { Ok(remote) }
    }

    /// A number greater than all before, for the next dial ([`Link::number`](crate::Link::number)).
    pub fn next_dial(&self) -> u64 {
        self.dials.fetch_add(1, Ordering::Relaxed)
    }
}

impl Instance {
    fn random() -> Result<Self, IdentityError> {
        let mut bytes = [0; 16];
        SystemRandom::new().fill(&mut bytes).map_err(|_| IdentityError::NoRandomness)?;
        // A certificate's serial number is a positive integer without leading zeros: this one fills its 16 bytes.
        bytes[0] = bytes[0] & 0x3f | 0x40;
        Ok(Self(bytes))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("peer_key", &self.peer_key).finish_non_exhaustive()
    }
}

/// The distinguished name `CN=name`.
pub(crate) fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// A leaf for the peer key, signed by the authority. The subject is for people who look at it with other tools.
fn certificate(
    authority: &Authority,
    pkcs8: &[u8],
    peer_key: PeerKey,
    instance: Instance,
) -> Result<CertificateDer<'static>, IdentityError> {
    let mut issuer = CertificateParams::default();
    issuer.distinguished_name = common_name(&authority.issuer_name(authority.mechanism()));
    let issuer = Issuer::new(issuer, key_pair(&authority.pkcs8()?)?);

    let mut leaf = CertificateParams::default();
    leaf.distinguished_name = common_name(&peer_key.to_string());
    leaf.serial_number = Some(SerialNumber::from_slice(&instance.0));
    leaf.not_before = rcgen::date_time_ymd(1970, 1, 1);
    leaf.not_after = rcgen::date_time_ymd(9999, 12, 31);
    Ok(leaf.signed_by(&key_pair(pkcs8)?, &issuer)?.der().clone())
}

pub(crate) fn key_pair(pkcs8: &[u8]) -> Result<rcgen::KeyPair, IdentityError> {
    rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(pkcs8), &rcgen::PKCS_ED25519)
        .map_err(|_| IdentityError::InvalidKeyPair)
}

/// The time that TLS asks for: only how old a ticket is depends on it, and no clock that somebody sets.
#[derive(Debug)]
struct SinceStart(Instant);

impl TimeProvider for SinceStart {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(JUDGED_AT + self.0.elapsed()))
    }
}

#[cfg(test)]
mod tests;
