//! What comes off a socket below the messages, and the key file of a peer.

use ditto_mesh::{Authority, Identity, PeerKey};
use ditto_transport::frame::{self, FrameError};
use ditto_transport::wire::LinkFrame;
use futures::FutureExt as _;

use crate::input::Input;

/// A byte that says how to read the rest.
pub fn frames(data: &[u8]) {
    let mut input = Input(data);
    let what = input.byte();
    let rest = input.0;
    match what % 4 {
        0 => stream(rest, frame::MAX_FRAME),
        1 => stream(rest, 16),
        2 => link_frame(rest),
        _ => {
            if let Ok(text) = std::str::from_utf8(rest)
                && let Ok(key) = text.parse::<PeerKey>()
            {
                assert_eq!(key.to_string().parse(), Ok(key));
            }
            let _ = Identity::new(rest, &Authority::OfflinePlayground { database_id: "attacks".into() });
        }
    }
}

fn stream(mut bytes: &[u8], limit: usize) {
    loop {
        let before = bytes;
        match frame::read_frame(&mut bytes, limit).now_or_never().expect("a slice never waits") {
            Ok(message) => {
                assert!(message.len() <= limit);
                let mut again = Vec::new();
                frame::push_frame(&mut again, &message);
                assert!(before.starts_with(&again), "a frame does not read back");
                link_frame(&message);
            }
            Err(FrameError::TooLong(announced)) => break assert!(announced as usize > limit),
            Err(_) => break,
        }
    }
}

fn link_frame(bytes: &[u8]) {
    let frame = LinkFrame::decode(bytes);
    let encoded = frame.encode();
    let body = encoded.get(4..).expect("a length comes first");
    let again = LinkFrame::decode(body);
    assert_eq!(again.encode(), encoded, "a frame of the link does not read back");
}
