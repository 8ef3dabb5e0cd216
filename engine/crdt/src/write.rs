//! Local writes. A write goes under every living birth, so that it survives whichever of them is removed elsewhere.

use ditto_value::{MAX_DEPTH, Object, Value};

use crate::attachment;
use crate::definitions::Scope;
use crate::document::{Entries, Life, LifeState};
use crate::entry::{self, Content, Counter, Entry, EntryKey, Uncountable};
use crate::path::{Path, PathError, depth, push_name};
use crate::spread::Copies;
use crate::{Birth, Definitions, Document, Hlc, Kind, MAX_MERGED_BYTES, MAX_PARTS, Sequence, Slot, Stamp};

/// Why a document cannot be written so. It is unchanged then.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WriteError {
    /// UPDATE of what was deleted or never inserted.
    #[error("the document does not exist; insert it first")]
    NotAlive,
    /// An INSERT repeats a birth. One transaction that inserts, deletes and inserts again needs a second stamp.
    #[error("the document has had this birth before; insert it with a new stamp")]
    BirthKnown,
    /// The stamp is the last there is, because the document holds one at or next to it (a broken clock wrote it).
    #[error(
        "the document holds a write stamped at the year 6000, which no write can exceed; delete it and insert it again"
    )]
    Exhausted,
    /// The stamp does not exceed what the write would replace; see [`Document::newest_stamp`]. Only the writes of one
    /// statement, which do not overlap, may share a stamp.
    #[error("the write's stamp {stamp:?} must exceed the document's newest, {newest:?}")]
    NotNewer {
        /// The stamp of the write.
        stamp: Stamp,
        /// The newest stamp of the document.
        newest: Stamp,
    },
    /// A step into a member that is declared (or, in strict mode, assumed) to be no map.
    #[error("`{path}` is a {kind} and has no members of its own; declare it as MAP or assign it as a whole")]
    NotAMap {
        /// The member stepped into.
        path: Path,
        /// What it is declared to be.
        kind: Kind,
    },
    /// A value of the wrong type for a declared kind.
    #[error("`{path}` is declared {kind}, which cannot hold a value of type {found:?}")]
    WrongType {
        /// The member.
        path: Path,
        /// What it is declared to be.
        kind: Kind,
        /// What was to be assigned or added.
        found: ditto_value::ValueKind,
    },
    /// An ATTACHMENT takes the token of one.
    #[error(
        "`{path}` is declared ATTACHMENT and takes the token of one, an object of `id`, `len` and `metadata` as creating the \
         attachment gives it: {problem}"
    )]
    NotAToken {
        /// The member.
        path: Path,
        /// What is wrong.
        problem: &'static str,
    },
    /// SET of a counter.
    #[error(
        "`{path}` is declared {kind} and cannot be assigned; use APPLY {path} INCREMENT BY or RESTART WITH"
    )]
    CounterAssigned {
        /// The member.
        path: Path,
        /// What it is declared to be.
        kind: Kind,
    },
    /// APPLY of one kind to a member that is declared (or, in strict mode, assumed) to be of another.
    #[error("`{path}` is a {declared} here; {}", other_way(path, *declared, *needed))]
    OtherKind {
        /// The member.
        path: Path,
        /// What the definitions say.
        declared: Kind,
        /// What the operation needs.
        needed: Kind,
    },
    /// A counter would leave the range of its numbers.
    #[error("`{path}` would leave the range of a {kind}; count less, or begin anew with {}", anew(path, *kind))]
    Overflow {
        /// The counter.
        path: Path,
        /// Its kind.
        kind: Kind,
    },
    /// A COUNTER is in its range, but this copy has added up, or taken away, 2^64 in all.
    #[error(
        "`{path}` has counted 2^64 in this direction, which is all that it can, although its value is {value}; APPLY {path} \
         RESTART WITH {value} lets it count on"
    )]
    CountedOut {
        /// The counter.
        path: Path,
        /// Its present value.
        value: i64,
    },
    /// A PN_COUNTER holds doubles: whole numbers are counted exactly or not at all, and nothing is counted without effect.
    #[error(
        "`{path}` has counted so far that {} cannot be added to it: a PN_COUNTER is exact up to 2^53; use a COUNTER, or \
         UNSET {path} and count anew",
        by.to_json()
    )]
    Inexact {
        /// The counter.
        path: Path,
        /// The increment.
        by: Value,
    },
    /// A write goes under every living birth, and the copies of this statement would be together more than can travel.
    #[error(
        "the document was inserted {births} times by peers that did not know of each other, and what is written goes under each of \
         these births, together more than {} MiB or {MAX_PARTS} members; write less at once, or delete the document and insert it \
         anew",
        MAX_MERGED_BYTES >> 20
    )]
    TooManyBirths {
        /// How many births are living.
        births: usize,
    },
    /// More nesting than a value may have.
    #[error("the document is nested deeper than {MAX_DEPTH} levels; nest it less deeply")]
    TooDeep,
    /// A member name that cannot be an entry's.
    #[error(transparent)]
    Path(#[from] PathError),
}

impl Document {
    /// Inserts `body`, which has no `_id`: a new life; or, if the document is alive, writes each of its members as an
    /// upsert does. Returns whether anything was written.
    ///
    /// An INITIAL insert (`birth` is [`Birth::INITIAL`]) writes nothing if anything is known of the document, also if it
    /// was deleted.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn insert(
        &mut self,
        body: &Object,
        definitions: &Definitions,
        birth: Birth,
        sequence: Sequence,
    ) -> Result<bool, WriteError> {
        if birth == Birth::INITIAL {
            if self.is_known() {
                return Ok(false);
            }
        } else {
            self.check_stamp(birth.stamp)?;
        }
        let alive = self.is_alive();
        if !alive && self.lives.contains_key(&birth) {
            return Err(WriteError::BirthKnown);
        }
        let mut writes = Writes { stamp: birth.stamp, inserting: true, list: Vec::with_capacity(body.len()) };
        writes.members(&mut Vec::new(), body, definitions.scope())?;
        self.spread(writes.copies(), sequence)?;
        self.touch(sequence);
        self.newest = birth.stamp;
        if !alive {
            self.lives.insert(birth, Life { sequence, state: LifeState::Living(Entries::new()) });
        }
        self.apply(birth.stamp, sequence, |under| {
            for (key, content) in &writes.list {
                under.put(key, content.clone());
            }
        });
        Ok(true)
    }

    /// Assigns a value. An object is, where the definitions let it be a map, merged member by member; missing maps on
    /// the way are made.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn set(
        &mut self,
        path: &Path,
        value: &Value,
        definitions: &Definitions,
        stamp: Stamp,
        sequence: Sequence,
    ) -> Result<(), WriteError> {
        self.check_alive(stamp)?;
        let (ancestors, scope) = self.descend(path, definitions)?;
        let mut writes = Writes { stamp, inserting: false, list: Vec::new() };
        writes.value(&mut path.bytes().to_vec(), value, scope)?;
        self.spread(Copies::of_maps(&ancestors).with(writes.copies()), sequence)?;
        self.touch(sequence);
        self.newest = stamp;
        self.apply(stamp, sequence, |under| {
            under.maps(&ancestors);
            for (key, content) in &writes.list {
                under.put(key, content.clone());
            }
        });
        Ok(())
    }

    /// Removes a member: every kind of it and everything below; in strict mode only the declared kind, or the register.
    /// Returns whether there was anything to remove.
    ///
    /// At the member itself the removal is a write like any other. Below it only what is known here is removed: a concurrent
    /// write survives, whichever is the later.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn unset(
        &mut self,
        path: &Path,
        definitions: &Definitions,
        stamp: Stamp,
        sequence: Sequence,
    ) -> Result<bool, WriteError> {
        self.check_alive(stamp)?;
        let (_, scope) = self.descend(path, definitions)?;
        let only = if definitions.strict { scope.only() } else { None };
        let mut removed = false;
        self.apply(stamp, sequence, |under| removed |= under.remove(path, only));
        if removed {
            self.touch(sequence);
            self.newest = stamp;
        }
        Ok(removed)
    }

    /// Adds to a counter, which is made if it is not there. `slot` is this copy's: the run with which the database was
    /// opened, and [`Document::began`].
    ///
    /// # Errors
    /// See [`WriteError`]; `kind` must be a counter kind and `by` an integer or, for PN_COUNTER, any number.
    #[expect(clippy::too_many_arguments, reason = "they are independent of each other")]
    pub fn increment(
        &mut self,
        path: &Path,
        kind: Kind,
        by: &Value,
        slot: Slot,
        definitions: &Definitions,
        stamp: Stamp,
        sequence: Sequence,
    ) -> Result<(), WriteError> {
        self.check_alive(stamp)?;
        let (ancestors, scope) = self.descend(path, definitions)?;
        let key = EntryKey { path: path.clone(), kind };
        check_counter(&key, kind, scope)?;
        if entry::amount(kind, by).is_none() {
            return Err(WriteError::WrongType { path: path.clone(), kind, found: by.kind() });
        }
        for (_, entries) in self.living() {
            check_count(entries, &key, slot, by)?;
        }
        self.spread(Copies::of_maps(&ancestors).with(Copies::of_count(&key)), sequence)?;
        self.touch(sequence);
        self.newest = stamp;
        self.apply(stamp, sequence, |under| {
            under.maps(&ancestors);
            under.count(&key, slot, by);
        });
        Ok(())
    }

    /// Sets a COUNTER to an integer, dropping the increments that are known here.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn restart(
        &mut self,
        path: &Path,
        with: i64,
        definitions: &Definitions,
        stamp: Stamp,
        sequence: Sequence,
    ) -> Result<(), WriteError> {
        self.check_alive(stamp)?;
        let (ancestors, scope) = self.descend(path, definitions)?;
        let key = EntryKey { path: path.clone(), kind: Kind::Counter };
        check_counter(&key, Kind::Counter, scope)?;
        let restarted = Content::Counter(Counter { base: Some(with as u64), ..Counter::opened(stamp) });
        self.spread(Copies::of_maps(&ancestors).with(Copies::of_entry(&key, &restarted)), sequence)?;
        self.touch(sequence);
        self.newest = stamp;
        self.apply(stamp, sequence, |under| {
            under.maps(&ancestors);
            under.put(&key, restarted.clone());
        });
        Ok(())
    }

    fn check_alive(&self, stamp: Stamp) -> Result<(), WriteError> {
        if self.is_alive() { self.check_stamp(stamp) } else { Err(WriteError::NotAlive) }
    }

    /// An equal stamp is another write of the same statement. Such writes must not overlap: of two kinds with one stamp at
    /// one path, a reader sees the greater kind and not the later write.
    fn check_stamp(&self, stamp: Stamp) -> Result<(), WriteError> {
        if stamp.time >= Hlc::MAX {
            Err(WriteError::Exhausted)
        } else if stamp < self.newest {
            Err(WriteError::NotNewer { stamp, newest: self.newest })
        } else {
            Ok(())
        }
    }

    /// The maps above `path`, and the definitions that hold there.
    fn descend<'d>(
        &self,
        path: &Path,
        definitions: &'d Definitions,
    ) -> Result<(Vec<Path>, Scope<'d>), WriteError> {
        let ancestors: Vec<Path> = path.ancestors().collect();
        let mut scope = definitions.scope();
        let mut names = path.names();
        for ancestor in &ancestors {
            scope = scope.member(&names.next().unwrap_or_default());
            if let Some(kind) = scope.only().filter(|kind| *kind != Kind::Map) {
                return Err(WriteError::NotAMap { path: ancestor.clone(), kind });
            }
        }
        let scope = scope.member(&names.next().unwrap_or_default());
        Ok((ancestors, scope))
    }

    /// Runs `write` under every living birth.
    fn apply(&mut self, stamp: Stamp, sequence: Sequence, mut write: impl FnMut(&mut Under<'_>)) {
        for life in self.lives.values_mut() {
            if let LifeState::Living(entries) = &mut life.state {
                write(&mut Under { entries, stamp, sequence });
            }
        }
    }
}

fn check_counter(key: &EntryKey, kind: Kind, scope: Scope<'_>) -> Result<(), WriteError> {
    match scope.only() {
        Some(declared) if declared != kind => {
            Err(WriteError::OtherKind { path: key.path.clone(), declared, needed: kind })
        }
        _ if !kind.is_counter() => {
            Err(WriteError::OtherKind { path: key.path.clone(), declared: kind, needed: Kind::Counter })
        }
        _ => Ok(()),
    }
}

/// What to do instead of counting in a member of another kind.
fn other_way(path: &Path, declared: Kind, needed: Kind) -> String {
    match declared {
        Kind::Counter => format!("count with APPLY {path} INCREMENT BY"),
        Kind::PnCounter => format!("count with APPLY {path} PN_INCREMENT BY"),
        _ => format!("declare it as {needed} to count with it"),
    }
}

/// How a counter is given up for a new one.
fn anew(path: &Path, kind: Kind) -> String {
    match kind {
        Kind::Counter => format!("APPLY {path} RESTART WITH"),
        _ => format!("UNSET {path}"),
    }
}

fn check_count(entries: &Entries, key: &EntryKey, slot: Slot, by: &Value) -> Result<(), WriteError> {
    let null = Counter::null();
    let counter = match entries.get(key).map(|entry| &entry.content) {
        Some(Content::Counter(counter)) => counter,
        _ => &null,
    };
    let (path, kind) = (key.path.clone(), key.kind);
    let exact = counter.exact();
    if let (Kind::Counter, Value::Int(by)) = (kind, by)
        && i64::try_from(exact + i128::from(*by)).is_err()
    {
        return Err(WriteError::Overflow { path, kind });
    }
    let mut tally = counter.slots.get(&slot).copied().unwrap_or_default();
    entry::count(kind, &mut tally, by).map_err(|reason| match (reason, i64::try_from(exact)) {
        (Uncountable::Inexact, _) => WriteError::Inexact { path, by: by.clone() },
        (Uncountable::Full, Ok(value)) if kind == Kind::Counter => WriteError::CountedOut { path, value },
        (Uncountable::Full | Uncountable::NoNumber, _) => WriteError::Overflow { path, kind },
    })
}

/// The entries that a value is written as.
struct Writes {
    stamp: Stamp,
    /// INSERT, which may open counters, rather than SET.
    inserting: bool,
    list: Vec<(EntryKey, Content)>,
}

impl Writes {
    /// What they take under one birth.
    fn copies(&self) -> Copies {
        self.list
            .iter()
            .map(|(key, content)| Copies::of_entry(key, content))
            .fold(Copies::default(), Copies::with)
    }

    fn members(&mut self, path: &mut Vec<u8>, members: &Object, scope: Scope<'_>) -> Result<(), WriteError> {
        let length = path.len();
        for (name, value) in members {
            push_name(path, name.as_bytes());
            self.value(path, value, scope.member(name))?;
            path.truncate(length);
        }
        Ok(())
    }

    fn value(&mut self, bytes: &mut Vec<u8>, value: &Value, scope: Scope<'_>) -> Result<(), WriteError> {
        let path = Path::from_encoded(bytes)?;
        let stamp = self.stamp;
        let natural = match value {
            Value::Object(_) if attachment::is_attachment_token(value) => Kind::Attachment,
            Value::Object(_) => Kind::Map,
            _ => Kind::Register,
        };
        let kind = scope.only().unwrap_or(natural);
        let content = match (kind, value) {
            (Kind::Map, Value::Object(members)) => {
                if depth(bytes) >= MAX_DEPTH {
                    return Err(WriteError::TooDeep);
                }
                let key = EntryKey { path, kind };
                self.list.push((key, Content::Map { stamp, present: true }));
                return self.members(bytes, members, scope);
            }
            (Kind::Register, value) => {
                if depth(bytes) + value.depth() > MAX_DEPTH {
                    return Err(WriteError::TooDeep);
                }
                Content::Register { stamp, value: Some(value.encode().into()) }
            }
            (Kind::Attachment, value) => {
                if let Err(problem) = attachment::check(value) {
                    return Err(WriteError::NotAToken { path, problem });
                }
                if depth(bytes) + value.depth() > MAX_DEPTH {
                    return Err(WriteError::TooDeep);
                }
                Content::Register { stamp, value: Some(value.encode().into()) }
            }
            (Kind::Counter | Kind::PnCounter, _) if !self.inserting => {
                return Err(WriteError::CounterAssigned { path, kind });
            }
            (Kind::Counter | Kind::PnCounter, value) => match entry::amount(kind, value) {
                Some(base) => Content::Counter(Counter { base: Some(base), ..Counter::opened(stamp) }),
                None => return Err(WriteError::WrongType { path, kind, found: value.kind() }),
            },
            _ => return Err(WriteError::WrongType { path, kind, found: value.kind() }),
        };
        self.list.push((EntryKey { path, kind }, content));
        Ok(())
    }
}

/// One living birth that is being written under.
struct Under<'u> {
    entries: &'u mut Entries,
    stamp: Stamp,
    sequence: Sequence,
}

impl Under<'_> {
    fn put(&mut self, key: &EntryKey, content: Content) {
        self.entries.insert(key.clone(), Entry { content, sequence: self.sequence });
    }

    /// Makes the maps on the way to a member visible, without stamping those anew that are.
    fn maps(&mut self, paths: &[Path]) {
        for path in paths {
            let mut map = None;
            let mut other = Stamp::ZERO;
            let from = EntryKey { path: path.clone(), kind: Kind::Register };
            for (_, entry) in self.entries.range(from..).take_while(|(key, _)| key.path == *path) {
                match &entry.content {
                    Content::Map { stamp, present: true } => map = Some(*stamp),
                    content if !content.is_removed() => other = other.max(content.newest()),
                    _ => {}
                }
            }
            if map.is_none_or(|map| map < other) {
                let key = EntryKey { path: path.clone(), kind: Kind::Map };
                self.put(&key, Content::Map { stamp: self.stamp, present: true });
            }
        }
    }

    fn remove(&mut self, path: &Path, only: Option<Kind>) -> bool {
        let with_members = only.is_none_or(|only| only == Kind::Map);
        let from = EntryKey { path: path.clone(), kind: Kind::Register };
        let removals: Vec<(EntryKey, Content)> = self
            .entries
            .range(from..)
            .take_while(|(key, _)| path.is_prefix_of(&key.path))
            .filter(|(key, entry)| {
                let meant =
                    if key.path == *path { only.is_none_or(|only| only == key.kind) } else { with_members };
                meant && !entry.content.is_removed()
            })
            .filter_map(|(key, entry)| {
                let stamp = (key.path == *path).then_some(self.stamp);
                Some((key.clone(), entry.content.removed(stamp)?))
            })
            .collect();
        let any = !removals.is_empty();
        for (key, content) in removals {
            self.put(&key, content);
        }
        any
    }

    fn count(&mut self, key: &EntryKey, slot: Slot, by: &Value) {
        if !self.entries.contains_key(key) {
            self.put(key, Content::Counter(Counter::null()));
        }
        let Some(Entry { content: Content::Counter(counter), .. }) = self.entries.get_mut(key) else {
            return;
        };
        let tally = counter.slots.entry(slot).or_default();
        if entry::count(key.kind, tally, by).is_ok() {
            tally.stamp = self.stamp;
            tally.sequence = self.sequence;
        }
    }
}
