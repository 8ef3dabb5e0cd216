#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use ditto_crdt::{Birth, Definitions, Document, Hlc, SiteId, Stamp};
use ditto_mesh::{Authority, Identity};
use ditto_replication::LocalPeer;
use ditto_replication::limits::LEFT_PATIENCE_MS;
use ditto_storage::MemoryStorage;
use ditto_store::StoreOptions;
use ditto_transport::Transports;
use ditto_value::{Object, Value};
use tokio::runtime::Runtime;

use super::*;
use crate::SystemEnvironment;
use crate::callbacks::CallbackThreads;

const DATABASE: &str = "a database";

fn hub() -> Hub {
    let options = StoreOptions::new(DATABASE, Arc::new(CallbackThreads::start().unwrap()));
    let store = Store::open(Arc::new(MemoryStorage::new()), Arc::new(SystemEnvironment), options).unwrap();
    let replicator = Replicator::new(LocalPeer::new(PeerId([1; 32]), DATABASE));
    let (status, subscriptions) = (SyncStatus::default(), SubscriptionStatus::default());
    Hub::new(replicator, store, status, subscriptions, DurabilityHandle::default())
}

/// One end of a link of two peers that say nothing of their own.
struct Line {
    runtime: Runtime,
    ends: [Transports; 2],
    events: mpsc::Receiver<LinkEvent>,
    _others: mpsc::Receiver<LinkEvent>,
}

impl Line {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let authority = Authority::OfflinePlayground { database_id: DATABASE.to_owned() };
        let end = || {
            let identity = Identity::new(&Identity::generate().unwrap(), &authority).unwrap();
            let (sender, events) = mpsc::channel(8);
            (Transports::new(Arc::new(identity), runtime.handle().clone(), sender), events)
        };
        let ((ours, events), (theirs, others)) = (end(), end());
        ours.connect_in_process(&theirs);
        Self { runtime, ends: [ours, theirs], events, _others: others }
    }

    /// What happens next at this end.
    fn next(&mut self) -> LinkEvent {
        self.runtime.block_on(self.events.recv()).unwrap()
    }

    fn cut(&mut self) -> LinkEvent {
        let [ours, _] = &self.ends;
        self.runtime.block_on(ours.shutdown());
        self.next()
    }
}

/// The messages of a peer that greets, says where it starts, and tells of one document without saying that this is all.
fn first_messages() -> [Vec<u8>; 3] {
    let database = LocalPeer::new(PeerId([2; 32]), DATABASE).database;
    let (site, run) = ([7; 8], [9; 8]);
    let hello = [&[1, 2, 1, 4, 1, 7, 16], &database[..], &[9, 8], &site, &[11, 8], &run, &[12, 9]].concat();
    let walk = vec![3, 2, 1];
    let birth = Birth { stamp: Stamp::new(Hlc::from_millis(1_000), SiteId(7)), run: RunId(9) };
    let mut document = Document::new();
    document.insert(&Object::new(), &Definitions::default(), birth, Sequence(1)).unwrap();
    let (id, delta) =
        (ditto_value::key::of(&Value::from("fern")), document.delta_since(Sequence::ZERO).encode());
    let field = |tag, bytes: &[u8]| [&[tag, bytes.len() as u8], bytes].concat();
    let told = [vec![2, 1], field(5, &id), field(11, &delta), vec![14, 1]].concat();
    let end = [vec![2, 1], field(5, &run), vec![6, 1]].concat();
    let batch = [vec![6, 2, 1], field(5, &told), field(7, &end)].concat();
    [hello, walk, batch]
}

#[test]
fn a_part_is_not_told_for_longer_than_the_rest_is_waited_for() {
    let mut hub = hub();
    let query = "SELECT * FROM plants";
    hub.replicator.subscribe(SubscriptionId(1), query, &Object::new(), &mut hub.replica, 0).unwrap();
    let mut line = Line::new();
    let up = line.next();
    let LinkEvent::Up { link, .. } = &up else { panic!("{up:?}") };
    let link = *link;
    hub.on_link(up);
    for bytes in first_messages() {
        hub.on_link(LinkEvent::Message { link, channel: Channel::Replication, bytes });
        hub.pump();
    }
    // What may be a part is taken one call after that was said.
    hub.replicator.tick(&mut hub.replica, hub.clock.now_ms());
    hub.pump();
    assert_eq!(hub.store.execute("SELECT * FROM plants", &Object::new()).unwrap().rows.len(), 1);
    let says_so = |hub: &Hub| hub.status.rows(true, &[])[0].get("catching_up") == Some(&Value::Bool(true));
    assert!(says_so(&hub));
    hub.on_link(line.cut());
    hub.pump();
    assert!(says_so(&hub), "the rest may come");
    hub.replicator.tick(&mut hub.replica, hub.clock.now_ms() + LEFT_PATIENCE_MS);
    hub.pump();
    assert!(!says_so(&hub));
}
