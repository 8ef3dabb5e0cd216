//! What other peers claim to have seen of this one's history.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;

use ditto_mesh::{Authority, Identity};
use ditto_transport::{Channel, LinkDown, LinkEvent, LinkSender, TransportConfig, Transports};
use support::{PATIENCE, config, listen, open, subscribe};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Kinds of messages.
const HELLO: u8 = 1;
const INTERESTS: u8 = 2;

/// A stranger's peer that says what it likes, always with the same key.
struct Stranger {
    stored: Vec<u8>,
    runtime: Runtime,
    database: Vec<u8>,
    runs: u8,
}

impl Stranger {
    fn new(database_id: &str) -> Self {
        let hash = blake3::derive_key("ditto-replication 2026 database id 1", database_id.as_bytes());
        Self {
            stored: Identity::generate().unwrap(),
            runtime: Runtime::new().unwrap(),
            database: hash[..16].to_vec(),
            runs: 0,
        }
    }

    /// A greeting that claims to have seen runs that nobody has heard of, each up to the sequence of these bytes.
    fn hello(&mut self, sequences: &[&[u8]]) -> Vec<u8> {
        let mut hello = [&[HELLO, 0x02, 1, 0x04, 1, 0x07, 16][..], &self.database].concat();
        hello.extend([0x09, 8, 7, 7, 7, 7, 7, 7, 7, 7, 0x0b, 8, 9, 9, 9, 9, 9, 9, 9, 9]);
        for sequence in sequences {
            self.runs += 1;
            let run = [self.runs, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0];
            hello.extend([0x0f, 10 + sequence.len() as u8, 0x03, 8]);
            hello.extend(run);
            hello.extend(*sequence);
        }
        hello
    }

    /// Connects, greets, and hangs up once it is asked for documents.
    fn meet(&mut self, address: &str, sequences: &[&[u8]]) {
        assert_eq!(self.talk(address, sequences, false), None);
    }

    /// Connects and greets; answers why the other side hangs up.
    fn refusal(&mut self, address: &str, sequences: &[&[u8]]) -> String {
        self.talk(address, sequences, true).unwrap()
    }

    fn talk(&mut self, address: &str, sequences: &[&[u8]], stays: bool) -> Option<String> {
        let hello = self.hello(sequences);
        let authority = Authority::OfflinePlayground { database_id: config("".as_ref()).database_id };
        let identity = Arc::new(Identity::new(&self.stored, &authority).unwrap());
        let (sender, mut events) = mpsc::channel(64);
        let transports = Transports::new(identity, self.runtime.handle().clone(), sender);
        let connect_tcp = BTreeSet::from([address.to_owned()]);
        assert_eq!(transports.apply(TransportConfig { connect_tcp, ..TransportConfig::default() }), []);
        self.runtime.block_on(async {
            let mut link: Option<LinkSender> = None;
            let reason = loop {
                match timeout(PATIENCE, events.recv()).await.expect("nothing happens").unwrap() {
                    LinkEvent::Up { outgoing, .. } => {
                        outgoing.try_send(Channel::Replication, hello.clone()).unwrap();
                        link = Some(outgoing);
                    }
                    LinkEvent::Message { bytes, .. } if !stays && bytes.first() == Some(&INTERESTS) => {
                        break None;
                    }
                    LinkEvent::Down { reason: LinkDown::ByPeer(reason), .. } => break Some(reason),
                    LinkEvent::Down { reason, .. } => panic!("{reason}"),
                    _ => {}
                }
            };
            drop(link);
            transports.shutdown().await;
            reason
        })
    }
}

/// Sequence 1,000.
const FAR: &[u8] = &[0x04, 0xe8, 0x07];
/// Sequence 0, left out and written.
const NOTHING: [&[u8]; 2] = [&[], &[0x04, 0]];

#[test]
fn who_claims_again_and_again_to_have_seen_another_history_is_refused_in_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let peer = open(directory.path());
    let _subscription = subscribe(&peer, "SELECT * FROM plants");
    let address = listen(&peer);
    let mut stranger = Stranger::new(&config(directory.path()).database_id);
    let runs = || peer.store().runs().len();
    let before = runs();

    // Having seen nothing of a run is no claim.
    for _ in 0..3 {
        stranger.meet(&address, &NOTHING);
    }
    // However many runs a greeting names, it is answered by one new identity.
    for _ in 0..8 {
        stranger.meet(&address, &[FAR, FAR, FAR]);
    }
    let reason = stranger.refusal(&address, &[FAR]);
    assert!(reason.contains("claims again and again to have seen another history"), "{reason}");
    assert!(reason.ends_with("start it again"), "{reason}");
    assert_eq!(runs(), before + 8);
    let site = peer.store().site();
    stranger.refusal(&address, &[FAR, FAR]);
    assert_eq!((runs(), peer.store().site()), (before + 8, site));

    // Others are still believed, and so is this one as long as it does not say so.
    stranger.meet(&address, &[]);
    let mut other = Stranger::new(&config(directory.path()).database_id);
    other.runs = 200;
    other.meet(&address, &[FAR]);
    other.meet(&address, &[]);
    assert_eq!(runs(), before + 9);
}
