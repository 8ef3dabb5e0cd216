//! Judges the other side's certificate during the handshake.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, SignatureScheme,
};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use crate::authority::ISSUER_PREFIX;
use crate::identity::{JUDGED_AT, common_name, key_pair};
use crate::{Authority, HandshakeRefused, IdentityError, Instance, Mechanism, PeerKey, Remote};

/// The SubjectPublicKeyInfo of an Ed25519 key (RFC 8410, section 4); the 32-byte key follows.
const SPKI_ED25519: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

static ED25519: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[webpki::ring::ED25519],
    mapping: &[(SignatureScheme::ED25519, &[webpki::ring::ED25519])],
};

/// Who and which running instance a certificate names, without judging it.
pub(crate) fn read(certificate: &CertificateDer<'_>) -> Option<Remote> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    let key = certificate.subject_public_key_info();
    let key: [u8; 32] = key.strip_prefix(&SPKI_ED25519)?.try_into().ok()?;
    let instance = Instance(certificate.serial().try_into().ok()?);
    Some(Remote { peer: PeerKey::from(key), instance })
}

/// Which issuer we trust, and the names that tell what is wrong with another one.
#[derive(Debug)]
pub(crate) struct Trust {
    anchor: TrustAnchor<'static>,
    mechanism: Mechanism,
    /// The issuer of a peer of our database that is configured with the other mechanism.
    other_mechanism: Vec<u8>,
}

impl Trust {
    pub(crate) fn new(authority: &Authority) -> Result<Self, IdentityError> {
        let mechanism = authority.mechanism();
        Ok(Self {
            anchor: anchor(authority, mechanism)?,
            mechanism,
            other_mechanism: anchor(authority, mechanism.other())?.subject.to_vec(),
        })
    }

    /// Whether our authority has signed `certificate`, and for whom.
    pub(crate) fn judge(&self, certificate: &CertificateDer<'_>) -> Result<Remote, HandshakeRefused> {
        let remote = read(certificate).ok_or(HandshakeRefused::Malformed)?;
        let leaf = EndEntityCert::try_from(certificate).map_err(|_| HandshakeRefused::Malformed)?;
        if leaf.issuer() != self.anchor.subject.as_ref() {
            let prefix = ISSUER_PREFIX.as_bytes();
            return Err(if leaf.issuer() == self.other_mechanism {
                HandshakeRefused::WrongMechanism
            } else if leaf.issuer().windows(prefix.len()).any(|window| window == prefix) {
                HandshakeRefused::WrongDatabase
            } else {
                HandshakeRefused::Malformed
            });
        }
        let verified = leaf.verify_for_usage(
            ED25519.all,
            std::slice::from_ref(&self.anchor),
            &[],
            UnixTime::since_unix_epoch(JUDGED_AT),
            KeyUsage::client_auth(),
            None,
            None,
        );
        verified.map(|_| remote).map_err(|error| match error {
            webpki::Error::InvalidSignatureForPublicKey if self.mechanism == Mechanism::SharedKey => {
                HandshakeRefused::WrongSharedKey
            }
            webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. } => {
                HandshakeRefused::Expired
            }
            _ => HandshakeRefused::Malformed,
        })
    }
}

/// The authority as the issuer of `mechanism`'s name. Only the name is of use for the other mechanism.
fn anchor(authority: &Authority, mechanism: Mechanism) -> Result<TrustAnchor<'static>, IdentityError> {
    let mut root = rcgen::CertificateParams::default();
    root.distinguished_name = common_name(&authority.issuer_name(mechanism));
    root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = root.self_signed(&key_pair(&authority.pkcs8()?)?)?;
    let anchor = anchor_from_trusted_cert(root.der())
        .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
    Ok(anchor.to_owned())
}

/// Both directions of mutual authentication: members of our database other than this very instance.
#[derive(Debug)]
pub(crate) struct Verifier {
    trust: Trust,
    local: Remote,
}

impl Verifier {
    pub(crate) fn new(trust: Trust, local: Remote) -> Self {
        Self { trust, local }
    }

    fn verify(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        let remote = self.trust.judge(certificate).map_err(HandshakeRefused::to_tls)?;
        if remote == self.local { Err(HandshakeRefused::SelfConnection.to_tls()) } else { Ok(()) }
    }
}

/// Names and intermediates play no part.
impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify(end_entity).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &ED25519)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ED25519.supported_schemes()
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify(end_entity).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &ED25519)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ED25519.supported_schemes()
    }
}
