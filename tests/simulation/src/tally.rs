//! What has run and happened in a world, counted by name, to see whether the seeds reach everything.

use std::collections::BTreeMap;

use ditto_replication::Mechanisms;

use crate::incident::Incident;

/// How often, by name.
pub type Tally = BTreeMap<&'static str, u64>;

/// The names of messages by their kind.
const MESSAGES: [&str; 20] = [
    "Hello",
    "Interests",
    "Walk",
    "Offer",
    "Answer",
    "Batch",
    "Part",
    "Acknowledge",
    "Question",
    "Rest",
    "Surplus",
    "Goodbye",
    "packed",
    "Delivery",
    "Taken",
    "Symbols",
    "Inquiry",
    "Names",
    "Settled",
    "Compared",
];

/// Before anything has happened: everything that there is, not once.
pub(crate) fn empty() -> Tally {
    let mut tally = Tally::new();
    let names = MESSAGES.into_iter().chain(Incident::ALL.iter().map(|incident| incident.name()));
    tally.extend(names.map(|name| (name, 0)));
    mechanisms(&mut tally, Mechanisms::default());
    tally
}

/// A message was sent.
pub(crate) fn message(tally: &mut Tally, bytes: &[u8]) {
    let kind = bytes.first().map_or(0, |kind| usize::from(*kind));
    *tally.entry(kind.checked_sub(1).and_then(|kind| MESSAGES.get(kind)).unwrap_or(&"other")).or_default() +=
        1;
}

/// A process has done this.
pub(crate) fn mechanisms(tally: &mut Tally, done: Mechanisms) {
    let named = [
        ("listed", done.listed),
        ("told ahead", done.ahead),
        ("told onward", done.onward),
        ("in part", done.partial),
        ("joined", done.joined),
        ("answered apart", done.apart),
        ("reconciled", done.reconciled),
        ("further ranges", done.ranges),
        ("walked instead", done.walked_instead),
        ("postponed", done.postponed),
        ("resumed", done.resumed),
    ];
    for (name, times) in named {
        *tally.entry(name).or_default() += times;
    }
}

/// The tallies of many worlds.
#[derive(Debug, Default)]
pub struct Summary(BTreeMap<&'static str, (u64, u64)>);

impl Summary {
    /// One more world.
    pub fn add(&mut self, tally: &Tally) {
        for (name, times) in tally {
            let (sum, worlds) = self.0.entry(name).or_default();
            *sum += times;
            *worlds += u64::from(*times > 0);
        }
    }

    /// What has happened in none of them.
    pub fn missing(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().filter(|(_, (sum, _))| *sum == 0).map(|(name, _)| *name)
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all: Vec<_> =
            self.0.iter().map(|(name, (sum, worlds))| format!("{name} {sum} (in {worlds})")).collect();
        write!(f, "how often, and in how many worlds: {}", all.join(", "))
    }
}
