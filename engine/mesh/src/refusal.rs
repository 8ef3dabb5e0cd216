//! Why a handshake was refused, on the refusing and on the refused side.
//!
//! The refusing side knows the reason. It travels to the other side as one of TLS's alerts, so that both can say in plain
//! words what to correct. The table is part of the protocol:
//!
//! | reason | certificate error | alert |
//! | --- | --- | --- |
//! | [`WrongDatabase`](HandshakeRefused::WrongDatabase) | `UnknownIssuer` | `unknown_ca` |
//! | [`WrongMechanism`](HandshakeRefused::WrongMechanism) | `InvalidPurpose` | `unsupported_certificate` |
//! | [`WrongSharedKey`](HandshakeRefused::WrongSharedKey) | `BadSignature` | `decrypt_error` |
//! | [`Malformed`](HandshakeRefused::Malformed) | `BadEncoding` | `bad_certificate` |
//! | [`Expired`](HandshakeRefused::Expired) | `Expired` | `certificate_expired` |
//! | [`SelfConnection`](HandshakeRefused::SelfConnection) | `ApplicationVerificationFailure` | `access_denied` |
//! | [`NoCertificate`](HandshakeRefused::NoCertificate) | – | `certificate_required` |
//! | [`OtherProtocol`](HandshakeRefused::OtherProtocol) | – | `no_application_protocol`, `protocol_version` |
//!
//! [`KeyInUse`](HandshakeRefused::KeyInUse) needs no alert: both sides see it for themselves, after the handshake, when each has
//! proven that it holds the key. (A certificate alone proves nothing, and a peer may give up its key over this.)

use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError, Error};

/// Why two peers do not connect. The text says what was found and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeRefused {
    /// The two peers belong to different databases.
    #[error(
        "wrong database id: the two peers are configured with different database ids; use the same id on both"
    )]
    WrongDatabase,
    /// One peer has a shared key and the other has none.
    #[error(
        "wrong mechanism: same database id, but one peer has a shared key and the other has none; configure both alike"
    )]
    WrongMechanism,
    /// Both have a shared key, and the two keys differ.
    #[error(
        "wrong shared key: same database id, but the two peers have different shared keys; use the same key on both"
    )]
    WrongSharedKey,
    /// A certificate that no version of this protocol issues.
    #[error("malformed certificate: not one that a peer of this database issues")]
    Malformed,
    /// The certificate is no longer, or not yet, valid at the one moment at which all are judged; no clock is asked.
    #[error(
        "expired certificate: it is not valid on 2026-05-28 at 20:26:40 UTC, when every certificate is judged, whatever the \
         clocks say; the peer that shows it must issue one that is, best from 1970 to 9999"
    )]
    Expired,
    /// The peer dialled itself.
    #[error("self-connection: the address leads back to this very peer; remove it from the connect list")]
    SelfConnection,
    /// Another running peer has our key: the directory was copied.
    #[error(
        "peer key in use: another running peer has the same peer key, its directory is a copy; one of them needs a new key"
    )]
    KeyInUse,
    /// The other side showed no certificate.
    #[error("no certificate: the other side did not identify itself, it is not a peer")]
    NoCertificate,
    /// TLS, but not our protocol or not a version of it that we speak.
    #[error("other protocol: the other side speaks TLS, but no common version of the peer protocol")]
    OtherProtocol,
    /// What arrived is not TLS at all.
    #[error("not a peer: what the other side sent is not TLS")]
    NotTls,
}

/// Which side refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusedBy {
    /// This peer refused the other one.
    Us,
    /// The other peer refused this one and told so.
    Them,
}

/// A refused handshake, as recovered from the error of the TLS connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Refusal {
    /// Why.
    pub reason: HandshakeRefused,
    /// By whom.
    pub by: RefusedBy,
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = match self.by {
            RefusedBy::Us => "refused by this peer",
            RefusedBy::Them => "refused by the other peer",
        };
        write!(f, "{by}: {}", self.reason)
    }
}

impl HandshakeRefused {
    /// What the verifier returns to TLS for this reason; see the table of this module.
    pub(crate) fn to_tls(self) -> Error {
        Error::InvalidCertificate(match self {
            Self::WrongDatabase => CertificateError::UnknownIssuer,
            Self::WrongMechanism => CertificateError::InvalidPurpose,
            Self::WrongSharedKey => CertificateError::BadSignature,
            Self::Expired => CertificateError::Expired,
            Self::SelfConnection => CertificateError::ApplicationVerificationFailure,
            Self::Malformed | Self::KeyInUse | Self::NoCertificate | Self::OtherProtocol | Self::NotTls => {
                CertificateError::BadEncoding
            }
        })
    }

    /// The reason a certificate was refused for; `None` for an error that is none of ours.
    fn from_alert(alert: AlertDescription) -> Option<Self> {
        Some(match alert {
            AlertDescription::UnknownCA => Self::WrongDatabase,
            AlertDescription::UnsupportedCertificate => Self::WrongMechanism,
            AlertDescription::DecryptError => Self::WrongSharedKey,
            AlertDescription::CertificateExpired => Self::Expired,
            AlertDescription::AccessDenied => Self::SelfConnection,
            AlertDescription::BadCertificate | AlertDescription::CertificateUnknown => Self::Malformed,
            AlertDescription::CertificateRequired => Self::NoCertificate,
            AlertDescription::NoApplicationProtocol | AlertDescription::ProtocolVersion => {
                Self::OtherProtocol
            }
            _ => return None,
        })
    }
}

impl Refusal {
    /// The refusal behind an error of a TLS connection; `None` if it is no refusal but, say, a broken connection.
    pub fn from_tls(error: &Error) -> Option<Self> {
        let us = |reason| Some(Self { reason, by: RefusedBy::Us });
        match error {
            Error::InvalidCertificate(error) => us(HandshakeRefused::from_alert(error.clone().into())?),
            Error::AlertReceived(alert) => {
                Some(Self { reason: HandshakeRefused::from_alert(*alert)?, by: RefusedBy::Them })
            }
            Error::NoCertificatesPresented => us(HandshakeRefused::NoCertificate),
            Error::NoApplicationProtocol | Error::PeerIncompatible(_) => us(HandshakeRefused::OtherProtocol),
            Error::InvalidMessage(_) => us(HandshakeRefused::NotTls),
            _ => None,
        }
    }

    /// As [`from_tls`](Self::from_tls), for a TLS error that travels inside an I/O error (as it does in `tokio-rustls`).
    pub fn from_io(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref::<Error>().and_then(Self::from_tls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_of_the_verifier_is_recovered_on_both_sides() {
        for reason in [
            HandshakeRefused::WrongDatabase,
            HandshakeRefused::WrongMechanism,
            HandshakeRefused::WrongSharedKey,
            HandshakeRefused::Malformed,
            HandshakeRefused::Expired,
            HandshakeRefused::SelfConnection,
        ] {
            let error = reason.to_tls();
            assert_eq!(Refusal::from_tls(&error), Some(Refusal { reason, by: RefusedBy::Us }));
            let Error::InvalidCertificate(error) = error else { panic!("{error}") };
            let alert = Error::AlertReceived(error.into());
            assert_eq!(Refusal::from_tls(&alert), Some(Refusal { reason, by: RefusedBy::Them }));
            let io = io::Error::new(io::ErrorKind::InvalidData, alert);
            assert_eq!(Refusal::from_io(&io), Some(Refusal { reason, by: RefusedBy::Them }));
        }
    }

    #[test]
    fn a_broken_connection_is_no_refusal() {
        assert_eq!(Refusal::from_io(&io::Error::from(io::ErrorKind::ConnectionReset)), None);
        assert_eq!(Refusal::from_tls(&Error::HandshakeNotComplete), None);
        assert_eq!(Refusal::from_tls(&Error::AlertReceived(AlertDescription::InternalError)), None);
    }
}
