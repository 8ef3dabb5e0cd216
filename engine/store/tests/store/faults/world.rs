//! The store that is attacked, the peer that it exchanges documents with, and what must be true of both.

use std::collections::BTreeMap;
use std::sync::Arc;

use ditto_crdt::{RunId, Sequence, Version};
use ditto_storage::{Direction, FaultyStorage, Keyspace, Loss, MemoryStorage, Snapshot};
use ditto_store::{
    Checkpoint, DocumentKey, Durability, Incoming, IncomingDocument, Seen, Store, StoreError, StoreOptions,
    TransactionKind,
};
use ditto_value::{Object, Value};

use crate::model::{Condition, Model, Step, apply_to_model, expected_rows, text};
use crate::support::{DATABASE, Later, TestEnvironment, assert_consistent, open_in, query, restore};

/// Written here only, so that a plain map of objects knows what is in it.
const OWN: &str = "c";
/// Written here and at the other peer.
const SHARED: &str = "shared";
/// A document with a counter that both peers increment and nobody deletes.
const TALLY: &str = "INSERT INTO tally INITIAL DOCUMENTS ({'_id': 'n'})";

const PEER: [u8; 32] = [9; 32];
const ORIGIN: u64 = 0xFEED;
const ROUNDS: u64 = 60;
/// 2027, when the tests' clock starts.
const NOW: u64 = 1_800_000_000_000;

/// SplitMix64.
pub struct Random(u64);

impl Random {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.draw() % end
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    fn id(&mut self) -> i64 {
        self.below(6) as i64
    }

    fn value(&mut self) -> i64 {
        self.below(4) as i64
    }
}

/// The store after one commit.
#[derive(Clone)]
struct Moment {
    /// What collection [`OWN`] holds.
    own: Model,
    /// What this store has added to the tally.
    added: i64,
    last: Sequence,
    rows: Arc<dyn Snapshot>,
}

type Rows = BTreeMap<(&'static str, Vec<u8>), Vec<u8>>;

/// Every stored row but those of runs, of which each opening adds one, the age, which each opening writes, and indexes, which
/// are built in pieces; whether those agree with the documents is what [`Store::verify`] says.
fn rows(snapshot: &dyn Snapshot) -> Rows {
    const TAG_RUN: u8 = 3;
    const TAG_INDEX: u8 = 4;
    let mut rows = Rows::new();
    for keyspace in Keyspace::ALL.into_iter().filter(|keyspace| *keyspace != Keyspace::Indexes) {
        for row in snapshot.prefix(keyspace, &[], Direction::Forward) {
            let (key, value) = row.expect("memory can be read");
            let tag = key.first().copied().filter(|_| keyspace == Keyspace::Catalog);
            if !matches!(tag, Some(TAG_RUN | TAG_INDEX)) && *key != *b"age" {
                rows.insert((keyspace.name(), key.to_vec()), value.to_vec());
            }
        }
    }
    rows
}

/// A copy of the disk that may be put back.
struct Image {
    moment: Moment,
    remote_position: Sequence,
    /// Whether the remote was told what the store added after the image was taken, or put back for the last time.
    surpassed: bool,
    /// The newest state that the image and the store have in common: its sequence, and what was added to the tally by then.
    /// An image has what was not durable yet, and the store may have lost that.
    shared: (Sequence, i64),
}

/// What the store was doing when a write failed.
struct UnderWay {
    own: Model,
    added: i64,
}

/// The store under attack and the other peer.
pub struct World {
    /// What happened, for a seed that fails.
    pub trace: Vec<String>,
    random: Random,
    disk: FaultyStorage,
    environment: Arc<TestEnvironment>,
    /// What the store does beside: builds of indexes that a crash has interrupted.
    beside: Arc<Later>,
    durability: Durability,
    /// `None` while the process is down.
    store: Option<Store>,
    /// The states since it was opened, the newest last; never empty while it is open.
    moments: Vec<Moment>,
    /// The first of them that a loss of power can lead to.
    durable: usize,
    /// The first of them that it may be found in when it is opened.
    oldest: usize,
    /// What a failed write may have done.
    under_way: Option<UnderWay>,
    /// The newest sequence that anybody was told of.
    told: Sequence,
    runs: Vec<(RunId, Sequence)>,
    remote: Store,
    /// What the remote has added to the tally.
    remote_added: i64,
    /// The position in the remote's history that was applied here.
    remote_position: Sequence,
    image: Option<Image>,
    /// What the store has added to the tally, as far as the remote was told.
    told_added: i64,
    /// What histories that were replaced by an image had added since, and told of.
    lost_added: i64,
    /// The remote has seen more of the store than the store has, and would say so when they meet.
    forked: bool,
}

impl World {
    /// A world in which nothing has happened.
    pub fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let disk = FaultyStorage::new(random.draw());
        let durability = if random.percent(25) { Durability::Immediate } else { Durability::Eventual };
        let remote = open_in(Arc::new(MemoryStorage::new()), random.draw());
        remote.execute(TALLY, &Object::new()).expect("the remote works");
        Self {
            trace: Vec::new(),
            environment: TestEnvironment::new(random.draw()),
            beside: Arc::default(),
            random,
            disk,
            durability,
            store: None,
            moments: Vec::new(),
            durable: 0,
            oldest: 0,
            under_way: None,
            told: Sequence::ZERO,
            runs: Vec::new(),
            remote,
            remote_added: 0,
            remote_position: Sequence::ZERO,
            image: None,
            told_added: 0,
            lost_added: 0,
            forked: false,
        }
    }

    /// Lets it all happen; panics when something does not hold.
    pub fn run(&mut self) {
        self.set_rates();
        self.start();
        for _ in 0..ROUNDS {
            match self.random.below(100) {
                0..34 => self.statement(),
                34..42 => self.query(),
                42..48 => self.index(),
                48..50 => self.background(),
                50..58 => self.transaction(),
                58..66 => self.increment(),
                66..74 => self.remote_statement(),
                74..82 => self.receive(),
                82..87 => self.tell(),
                87..92 => self.sync(),
                92..94 => self.run_begins(),
                94..96 => self.take_image(),
                96 => self.restore_image(),
                _ => self.fall(),
            }
            if self.under_way.is_some() {
                self.fall();
            }
        }
        self.converge();
    }

    /// The work beside the statements goes on. A piece of it that failed may be there all the same.
    fn background(&mut self) {
        self.beside.run();
        if self.disk.has_failed() {
            self.note("fails in the background");
            let Moment { own, added, .. } = self.newest().clone();
            self.under_way = Some(UnderWay { own, added });
        }
    }

    fn set_rates(&mut self) {
        if self.random.percent(70) {
            let (commits, syncs) = (self.random.below(80_000), self.random.below(80_000));
            self.disk.set_failure_rates(commits as u32, syncs as u32);
        }
    }

    fn note(&mut self, text: impl Into<String>) {
        self.trace.push(text.into());
    }

    fn store(&self) -> Store {
        self.store.clone().expect("the process is up")
    }

    fn newest(&self) -> &Moment {
        self.moments.last().expect("there is one while the process is up")
    }

    // Opening and ending.

    /// Opens the store; a disk that fails meanwhile is one more crash.
    fn start(&mut self) {
        loop {
            self.beside = Arc::default();
            let options = StoreOptions {
                durability: self.durability,
                ..StoreOptions::new(DATABASE, self.beside.clone())
            };
            match Store::open(Arc::new(self.disk.clone()), self.environment.clone(), options) {
                Ok(store) => break self.opened(store),
                Err(error) => {
                    self.note(format!("cannot be opened: {error}"));
                    assert!(matches!(error, ditto_store::OpenError::Storage(_)), "{error}");
                    // The states that it may be in stay what they were.
                    let loss = self.some_loss();
                    self.lose(loss);
                }
            }
        }
    }

    fn opened(&mut self, store: Store) {
        assert_consistent(&store);
        let found = rows(&*store.storage().snapshot());
        let allowed = self.moments.get(self.oldest..).unwrap_or_default();
        let own = own_documents(&store);
        let last = store.last_sequence();
        assert!(last >= self.told, "{last:?} after {:?} was told", self.told);
        let same = allowed.iter().rposition(|moment| rows(&*moment.rows) == found);
        let (own, added) = match (same, self.under_way.take()) {
            (Some(index), _) => {
                let moment = &allowed[index];
                assert_eq!(own, shown(&moment.own));
                let (number, of) = (index + 1, allowed.len());
                let (own, added) = (moment.own.clone(), moment.added);
                self.note(format!("opens at state {number} of {of}"));
                (own, added)
            }
            (None, Some(under_way)) => {
                assert_eq!(own, shown(&under_way.own), "what was under way happened in part");
                self.note("opens after what was under way");
                (under_way.own, under_way.added)
            }
            (None, None) if self.moments.is_empty() => (Model::new(), 0),
            (None, None) => {
                let newest = rows(&*self.newest().rows);
                panic!("opens in a state that was never acknowledged: {found:#?}\nnot {newest:#?}")
            }
        };
        assert!(store.durable_sequence() <= last);
        let runs = store.runs();
        let known = self.runs.iter().filter(|run| runs.contains(run)).count();
        assert!(runs.starts_with(&self.runs[..known]), "runs are appended: {runs:?} after {:?}", self.runs);
        assert!(runs.last().is_some_and(|(_, first)| *first == Sequence(last.0 + 1)));
        self.runs = runs;
        if let Some(image) = &mut self.image {
            image.shared = if last < image.shared.0 { (last, added) } else { image.shared };
        }
        self.moments = vec![Moment { own, added, last, rows: store.storage().snapshot().into() }];
        self.durable = 0;
        self.store = Some(store);
        if self.random.percent(20) {
            let years = self.random.below(10) * 31_536_000_000;
            self.environment.set_now(if self.random.percent(50) { NOW + years } else { NOW - years });
        }
    }

    fn some_loss(&mut self) -> Loss {
        match self.random.below(3) {
            0 => Loss::Nothing,
            1 => Loss::SomeUnsynced,
            _ => Loss::AllUnsynced,
        }
    }

    /// The process ends, and what the disk loses with it.
    fn lose(&mut self, loss: Loss) {
        self.note(format!("ends with {loss:?}"));
        self.store = None;
        self.disk = self.disk.restart(loss);
        if loss != Loss::Nothing {
            self.oldest = self.durable;
        }
    }

    /// The process ends in some way and begins again.
    fn fall(&mut self) {
        let loss = self.some_loss();
        if self.under_way.is_none() && self.random.percent(20) && self.store().close().is_ok() {
            self.note("closes");
            self.durable = self.moments.len() - 1;
        }
        self.oldest = self.moments.len() - 1;
        self.lose(loss);
        self.start();
    }

    fn take_image(&mut self) {
        self.note("an image is taken");
        let (moment, remote_position) = (self.newest().clone(), self.remote_position);
        let shared = (moment.last, moment.added);
        self.image = Some(Image { moment, remote_position, surpassed: false, shared });
    }

    /// The process ends, and the disk is what it was when the image was taken.
    fn restore_image(&mut self) {
        let Some(mut image) = self.image.take() else { return };
        self.note("the image is put back");
        self.store = None;
        self.disk = FaultyStorage::new(self.random.draw());
        restore(&*image.moment.rows, &self.disk);
        self.set_rates();
        if std::mem::take(&mut image.surpassed) {
            self.lost_added += self.told_added - image.shared.1;
            self.told_added = image.shared.1;
            self.forked = true;
        }
        image.shared = (image.moment.last, image.moment.added);
        self.told = self.told.min(image.moment.last);
        self.remote_position = image.remote_position;
        self.moments = vec![image.moment.clone()];
        (self.durable, self.oldest) = (0, 0);
        self.image = Some(image);
        self.start();
    }

    /// Before anything is exchanged the remote says what it has seen; but who only hears of it by others does not know.
    fn greet(&mut self) {
        if self.forked && self.random.percent(70) {
            self.forked = false;
            self.note("is a fork");
            self.begin_run(true);
        }
    }

    // What happens while it is up.

    /// Takes note of a commit that was acknowledged or failed.
    fn acknowledge<T>(&mut self, result: Result<T, StoreError>, after: UnderWay) -> Option<T> {
        let store = self.store();
        let failed_before = self.newest().clone();
        match result {
            Ok(result) => {
                let moment = Moment {
                    own: after.own,
                    added: after.added,
                    last: store.last_sequence(),
                    rows: store.storage().snapshot().into(),
                };
                assert!(moment.last >= failed_before.last);
                self.moments.push(moment);
                if store.durable_sequence() == store.last_sequence() && self.disk.unsynced_commits() == 0 {
                    self.durable = self.moments.len() - 1;
                }
                Some(result)
            }
            Err(StoreError::Storage(error)) => {
                self.note(format!("fails: {error}"));
                self.refuses_writes_and_reads_on(&store, &after);
                self.under_way = Some(after);
                None
            }
            Err(error) => panic!("fails for another reason than the disk: {error}"),
        }
    }

    /// What a store must be until it is opened again. A commit whose sync failed may be seen.
    fn refuses_writes_and_reads_on(&self, store: &Store, after: &UnderWay) {
        let own = own_documents(store);
        let before = shown(&self.newest().own);
        let seen = self.durability == Durability::Immediate && own == shown(&after.own);
        assert!(own == before || seen, "a failed write is seen: {own:?}");
        let count = query(store, "SELECT COUNT(*) AS n FROM c");
        assert_eq!(count, [format!(r#"{{"n":{}}}"#, own.len())], "the counters went on without the data");
        let again = store.execute("INSERT INTO c DOCUMENTS ({'_id': 99})", &Object::new());
        assert!(matches!(again, Err(StoreError::Storage(_))), "{again:?}");
        match store.sync() {
            // Nothing was left to sync when the write failed.
            Ok(durable) => assert_eq!((durable, self.durable), (self.newest().last, self.moments.len() - 1)),
            Err(error) => assert!(matches!(error, StoreError::Storage(_)), "{error}"),
        }
        assert_eq!(own_documents(store), own);
        assert_consistent(store);
    }

    fn step(&mut self) -> Step {
        let random = &mut self.random;
        let condition = match random.below(7) {
            0 => Condition::All,
            1 => Condition::IdIn((0..random.below(4)).map(|_| random.id()).collect()),
            2 => Condition::Equal(random.value()),
            3 => Condition::Greater(random.value()),
            4 => Condition::Missing,
            _ => Condition::Id(random.id()),
        };
        let field = if random.percent(50) { "a" } else { "b" };
        match random.below(12) {
            0..5 => {
                let ids = (0..1 + random.below(3)).map(|_| random.id()).collect();
                Step::Insert(ids, random.value(), random.below(3) as usize)
            }
            5..7 => Step::Set(field, random.value(), condition),
            7 => Step::SetNested(random.value(), condition),
            8 => Step::Unset(field, condition),
            9..11 => Step::Delete(condition),
            _ => Step::Evict(condition),
        }
    }

    fn statement(&mut self) {
        let step = self.step();
        let mut own = self.newest().own.clone();
        let expected = apply_to_model(&mut own, &step);
        let text = text(&step);
        self.note(&text);
        let before = self.disk.unsynced_commits();
        let result = self.store().execute(&text, &Object::new());
        if expected.is_none() {
            assert!(matches!(result, Err(StoreError::Data(_))), "{text}: {result:?}");
            return;
        }
        let written = result.is_ok() && self.durability == Durability::Eventual;
        let added = self.newest().added;
        self.acknowledge(result, UnderWay { own, added });
        if self.under_way.is_none() && self.durability == Durability::Immediate {
            assert_eq!(self.store().durable_sequence(), self.store().last_sequence());
            assert_eq!(self.durable, self.moments.len() - 1);
        }
        if written {
            assert!(self.disk.unsynced_commits() <= before + 1, "{text} is written in more than one batch");
        }
    }

    /// A question whose answer the map of objects knows.
    fn query(&mut self) {
        let random = &mut self.random;
        let condition = match random.below(6) {
            0 => Condition::All,
            1 => Condition::Missing,
            2 => Condition::Equal(random.value()),
            3 => Condition::Greater(random.value()),
            4 => Condition::Both(random.value(), random.value()),
            _ => Condition::Nested(random.value()),
        };
        let (descending, limit, offset) = (random.percent(50), random.below(5), random.below(3));
        let step = Step::Select(condition, descending, limit as usize, offset as usize);
        let text = text(&step);
        let found = query(&self.store(), &text);
        assert_eq!(Some(found), expected_rows(&self.newest().own, &step), "{text}");
    }

    /// An index comes or goes, in several commits.
    fn index(&mut self) {
        let number = self.random.below(3) as usize;
        let fields = ["a DESC, b", "m.k", "b"][number];
        let collection = if self.random.percent(70) { OWN } else { SHARED };
        let text = if self.random.percent(60) {
            format!("CREATE INDEX IF NOT EXISTS i{number} ON {collection} ({fields})")
        } else {
            format!("DROP INDEX IF EXISTS i{number} ON {collection}")
        };
        self.note(&text);
        let Moment { own, added, .. } = self.newest().clone();
        let result = self.store().execute(&text, &Object::new());
        self.acknowledge(result, UnderWay { own, added });
    }

    fn transaction(&mut self) {
        let steps: Vec<Step> = (0..1 + self.random.below(4)).map(|_| self.step()).collect();
        let store = self.store();
        let mut own = self.newest().own.clone();
        let transaction = match store.begin(TransactionKind::ReadWrite) {
            Ok(transaction) => transaction,
            Err(error) => panic!("{error}"),
        };
        for step in &steps {
            let mut inside = own.clone();
            let text = text(step);
            self.note(format!("in a transaction: {text}"));
            match (apply_to_model(&mut inside, step), transaction.execute(&text, &Object::new())) {
                (Some(_), Ok(_)) => own = inside,
                (None, Err(StoreError::Data(_))) => {}
                (expected, found) => panic!("{text}: expected {expected:?}, found {found:?}"),
            }
        }
        if self.random.percent(20) {
            return self.note("rolls back");
        }
        let result = transaction.commit();
        drop(transaction);
        let added = self.newest().added;
        self.acknowledge(result, UnderWay { own, added });
    }

    fn increment(&mut self) {
        let by = self.random.below(9) as i64 - 2;
        let (own, added) = (self.newest().own.clone(), self.newest().added);
        self.note("inserts the tally if need be");
        let result = self.store().execute(TALLY, &Object::new());
        if self.acknowledge(result, UnderWay { own: own.clone(), added }).is_none() {
            return;
        }
        let text = format!("UPDATE tally APPLY n INCREMENT BY {by} WHERE _id = 'n'");
        self.note(&text);
        let result = self.store().execute(&text, &Object::new());
        self.acknowledge(result, UnderWay { own, added: added + by });
    }

    fn remote_statement(&mut self) {
        if self.random.percent(30) {
            let by = self.random.below(9) as i64 - 2;
            self.remote_added += by;
            let text = format!("UPDATE tally APPLY n INCREMENT BY {by} WHERE _id = 'n'");
            self.remote.execute(&text, &Object::new()).expect("the remote works");
            return self.note(format!("remote: {text}"));
        }
        let step = self.step();
        let text = text(&step).replace(&format!(" {OWN} "), &format!(" {SHARED} "));
        self.note(format!("remote: {text}"));
        let result = self.remote.execute(&text, &Object::new());
        assert!(matches!(result, Ok(_) | Err(StoreError::Data(_))), "{result:?}");
        // The same document, written here too.
        let step = self.step();
        let text = crate::model::text(&step).replace(&format!(" {OWN} "), &format!(" {SHARED} "));
        self.note(&text);
        let (own, added) = (self.newest().own.clone(), self.newest().added);
        match self.store().execute(&text, &Object::new()) {
            Err(StoreError::Data(_)) => {}
            result => drop(self.acknowledge(result, UnderWay { own, added })),
        }
    }

    /// What the remote has to say arrives.
    fn receive(&mut self) {
        self.greet();
        if self.under_way.is_some() {
            return;
        }
        let replica = self.remote.replica();
        let upto = replica.last_sequence();
        // Sometimes again what is known already.
        let after = if self.random.percent(25) { Sequence::ZERO } else { self.remote_position.min(upto) };
        let mut documents = said(&self.remote, after, upto);
        if self.random.percent(30) {
            documents.truncate(self.random.below(documents.len() as u64 + 1) as usize);
        }
        let whole = documents.len();
        let checkpoint = Checkpoint { run: RunId(5), sequence: upto };
        let incoming = Incoming {
            from: PEER,
            origin: ORIGIN,
            documents,
            checkpoints: vec![([1; 16], checkpoint)],
            seen: Some(Seen { run: RunId(5), sequence: upto, durable: upto }),
            evictions: None,
        };
        self.note(format!("receives {whole} documents"));
        let (own, added) = (self.newest().own.clone(), self.newest().added);
        let result = self.store().replica().apply(incoming.clone());
        if let Some(applied) = self.acknowledge(result, UnderWay { own, added }) {
            assert!(applied.outcomes.iter().all(Result::is_ok), "{:?}", applied.outcomes);
            let store = self.store();
            assert_eq!(store.replica().checkpoint(&PEER, &[1; 16]).expect("reads"), Some(checkpoint));
            let own = self.newest().own.clone();
            match store.replica().apply(incoming) {
                Ok(again) => {
                    assert_eq!(again.last, applied.last, "what is known already changes nothing");
                    self.acknowledge(Ok(()), UnderWay { own, added });
                }
                result => drop(self.acknowledge(result.map(drop), UnderWay { own, added })),
            }
        }
    }

    /// The remote is told what is durable, and nothing else.
    fn tell(&mut self) {
        self.greet();
        if self.under_way.is_some() {
            return;
        }
        let store = self.store();
        let durable = store.durable_sequence();
        self.note(format!("tells up to {durable:?}"));
        self.told = self.told.max(durable);
        let documents: Vec<_> = said(&store, Sequence::ZERO, durable)
            .into_iter()
            .filter(|document| &*document.key.collection != OWN)
            .collect();
        if documents.iter().any(|document| &*document.key.collection == "tally") {
            self.told_added = self.newest().added;
            if let Some(image) = &mut self.image {
                image.surpassed = true;
            }
        }
        take(&self.remote, documents);
    }

    fn sync(&mut self) {
        self.note("syncs");
        match self.store().sync() {
            Ok(sequence) => {
                assert_eq!(sequence, self.newest().last);
                assert_eq!(self.store().durable_sequence(), sequence);
                assert_eq!(self.disk.unsynced_commits(), 0);
                self.durable = self.moments.len() - 1;
            }
            Err(StoreError::Storage(error)) => {
                self.note(format!("fails: {error}"));
                let Moment { own, added, .. } = self.newest().clone();
                self.under_way = Some(UnderWay { own, added });
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn run_begins(&mut self) {
        let new_site = self.random.percent(10);
        self.begin_run(new_site);
    }

    fn begin_run(&mut self, new_site: bool) {
        self.note("begins a run");
        let Moment { own, added, .. } = self.newest().clone();
        let result = self.store().begin_run(new_site);
        if self.acknowledge(result, UnderWay { own, added }).is_some() {
            self.runs = self.store().runs();
            self.durable = self.moments.len() - 1;
        }
    }

    // The end.

    /// Without faults both peers become equal, and every increment that was not lost, or that somebody saw, counts once.
    fn converge(&mut self) {
        self.disk.set_failure_rates(0, 0);
        if self.disk.has_failed() || self.store().sync().is_err() {
            self.fall();
            self.store().sync().expect("a disk that works");
        }
        let store = self.store();
        take(&self.remote, said(&store, Sequence::ZERO, store.last_sequence()));
        take(&store, said(&self.remote, Sequence::ZERO, self.remote.last_sequence()));
        for store in [&store, &self.remote] {
            assert_consistent(store);
        }
        assert_eq!(versions(&store), versions(&self.remote));
        for collection in [OWN, SHARED, "tally"] {
            let select = format!("SELECT * FROM {collection} ORDER BY _id");
            assert_eq!(query(&store, &select), query(&self.remote, &select));
        }
        let sum = self.newest().added + self.lost_added + self.remote_added;
        let tally = query(&store, "SELECT n FROM tally");
        let shown = tally.first().map(String::as_str);
        // Nobody has counted, or the sum.
        assert!(
            shown == Some(&*format!(r#"{{"n":{sum}}}"#)) || (sum == 0 && shown != Some("")),
            "{sum}: {tally:?}"
        );
    }
}

/// Everything that changed in `from`, as it would be sent.
fn said(from: &Store, after: Sequence, upto: Sequence) -> Vec<IncomingDocument> {
    let replica = from.replica();
    let changes = replica.changes(after, upto, usize::MAX).expect("changes can be read");
    changes
        .into_iter()
        .map(|change| {
            let excerpt = replica.delta_since(&change.key, after).expect("reads").expect("is there");
            IncomingDocument { key: change.key, delta: excerpt.delta, stated: excerpt.version }
        })
        .collect()
}

fn take(to: &Store, documents: Vec<IncomingDocument>) {
    let incoming = Incoming {
        from: [8; 32],
        origin: 1,
        documents,
        checkpoints: Vec::new(),
        seen: None,
        evictions: None,
    };
    let applied = to.replica().apply(incoming).expect("applies");
    assert!(applied.outcomes.iter().all(Result::is_ok), "{:?}", applied.outcomes);
}

/// By the hash of the `_id`: what one of them has deleted, the other may have buried.
fn versions(store: &Store) -> BTreeMap<(Arc<str>, Vec<u8>), Version> {
    let replica = store.replica();
    let changes = replica.changes(Sequence::ZERO, replica.last_sequence(), usize::MAX).expect("changes");
    let version = |key: &DocumentKey| replica.document(key).expect("reads").expect("is there").version;
    let hashed = |id: &[u8]| match id.split_first() {
        Some((0, hash)) => hash.to_vec(),
        _ => blake3::hash(id).as_bytes()[..16].to_vec(),
    };
    let name = |key: &DocumentKey| (Arc::clone(&key.collection), hashed(&key.id));
    changes.into_iter().map(|change| (name(&change.key), version(&change.key))).collect()
}

fn own_documents(store: &Store) -> Vec<String> {
    query(store, "SELECT * FROM c")
}

fn shown(model: &Model) -> Vec<String> {
    let document = |(id, document): (&i64, &Object)| {
        let mut document = document.clone();
        document.insert("_id", *id);
        Value::Object(document).to_json()
    };
    model.iter().map(document).collect()
}
