//! What the two ends of a link say to each other below the channels.
//!
//! The dialer opens one yamux stream per concern and names it by its first byte. Streams with names that the acceptor
//! does not know are reset, so later versions can add some. Stream `LINK` carries frames of the link itself: a byte for
//! the kind, then a body; unknown kinds, and bytes behind the known body, are skipped.

/// The stream of the link itself: greeting, ping, goodbye. Always read, however busy the consumer is.
pub(crate) const LINK: u8 = 0;
/// The stream of [`Channel::Control`](crate::Channel::Control).
pub(crate) const CONTROL: u8 = 1;
/// The stream of [`Channel::Replication`](crate::Channel::Replication). Attachments will be 3.
pub(crate) const REPLICATION: u8 = 2;

/// Frames of the link itself are short.
pub(crate) const MAX_LINK_FRAME: usize = 1024;

/// The longest text of a goodbye, in bytes.
const MAX_REASON: usize = 256;

/// A frame of the link itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkFrame {
    /// First in each direction. The dialer's says the number of its dial; the acceptor's repeats it.
    Greeting {
        /// Counts the dials of the dialer.
        number: u64,
    },
    /// Asks for a pong.
    Ping,
    /// Answers a ping.
    Pong,
    /// Last: why the link is closed.
    Goodbye {
        /// What to make of it.
        cause: Cause,
        /// Text for a log.
        reason: String,
    },
    /// Of a later version.
    Unknown,
}

/// What the other side should make of a goodbye.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// See the text.
    Other,
    /// Another link to the same peer is kept: no need to dial again.
    Redundant,
}

impl LinkFrame {
    /// The frame with its length.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let body = match self {
            Self::Ping => vec![0],
            Self::Pong => vec![1],
            Self::Greeting { number } => [&[2][..], &number.to_le_bytes()].concat(),
            Self::Goodbye { cause, reason } => {
                let cut = (0..=MAX_REASON).rev().find_map(|cut| reason.get(..cut)).unwrap_or(reason);
                [&[3, u8::from(*cause == Cause::Redundant)], cut.as_bytes()].concat()
            }
            Self::Unknown => vec![u8::MAX],
        };
        let mut frame = Vec::new();
        crate::frame::push_frame(&mut frame, &body);
        frame
    }

    /// Reads a frame's bytes (without the length). Total: what makes no sense is `Unknown`.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        match bytes {
            [0, ..] => Self::Ping,
            [1, ..] => Self::Pong,
            [2, number @ ..] => match number.first_chunk() {
                Some(number) => Self::Greeting { number: u64::from_le_bytes(*number) },
                None => Self::Unknown,
            },
            [3, cause, reason @ ..] => Self::Goodbye {
                cause: if *cause == 1 { Cause::Redundant } else { Cause::Other },
                reason: printable(reason),
            },
            _ => Self::Unknown,
        }
    }
}

/// Text of the other side, made safe for a log.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().filter(|c| !c.is_control()).take(MAX_REASON).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_round_trip_and_strange_ones_are_skipped() {
        for frame in [
            LinkFrame::Ping,
            LinkFrame::Pong,
            LinkFrame::Greeting { number: u64::MAX - 1 },
            LinkFrame::Goodbye { cause: Cause::Redundant, reason: "why".into() },
            LinkFrame::Goodbye { cause: Cause::Other, reason: String::new() },
            LinkFrame::Unknown,
        ] {
            assert_eq!(LinkFrame::decode(&frame.encode()[4..]), frame);
        }
        for bytes in [&[][..], &[2], &[2, 1, 2], &[3], &[77, 1]] {
            assert_eq!(LinkFrame::decode(bytes), LinkFrame::Unknown);
        }
        assert_eq!(LinkFrame::decode(&[0, 9, 9]), LinkFrame::Ping);
    }

    #[test]
    fn a_hostile_goodbye_cannot_forge_log_lines() {
        let LinkFrame::Goodbye { reason, .. } = LinkFrame::decode(b"\x03\x00bye\n\x1b[31mERROR \xff") else {
            panic!("not a goodbye")
        };
        assert_eq!(reason, "bye[31mERROR \u{fffd}");
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let frame = LinkFrame::Goodbye { cause: Cause::Other, reason: "ä".repeat(500) }.encode();
        assert!(frame.len() <= 4 + MAX_LINK_FRAME);
        assert!(
            matches!(LinkFrame::decode(&frame[4..]), LinkFrame::Goodbye { reason, .. } if reason == "ä".repeat(128))
        );
    }
}
