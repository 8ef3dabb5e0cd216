//! What is measured.

pub mod footprint;
mod insert;
mod mesh;
mod observe;
mod open;
mod pair;
mod read;
mod sync;
mod update;

use std::path::PathBuf;

use indicatif::ProgressBar;

use crate::Failure;
use crate::line::Line;

/// What a workload is told.
pub struct Context {
    /// Factor for all numbers of documents and operations.
    pub scale: f64,
    /// Real documents, one JSON object a line, in place of the extract in the repository.
    pub places: Option<PathBuf>,
    /// Where to say what is going on.
    pub progress: ProgressBar,
}

impl Context {
    /// `count` of something, scaled; at least one.
    pub fn scaled(&self, count: usize) -> usize {
        ((count as f64 * self.scale) as usize).max(1)
    }

    /// Says what is being done.
    pub fn step(&self, what: impl Into<String>) {
        self.progress.set_message(what.into());
        self.progress.tick();
    }
}

/// One measurement that gives one line or a few that belong together.
pub struct Workload {
    /// As given to `--only`.
    pub name: &'static str,
    /// Measures.
    pub run: fn(&Context) -> Result<Vec<Line>, Failure>,
    /// Whether peers sync in it.
    syncs: bool,
}

/// Given to `--only`, this names every workload in which peers sync.
pub const SYNC: &str = "sync";

impl Workload {
    /// Whether `--only` means it.
    pub fn is_named(&self, name: &str) -> bool {
        name == self.name || name == SYNC && self.syncs
    }

    const fn local(name: &'static str, run: fn(&Context) -> Result<Vec<Line>, Failure>) -> Self {
        Self { name, run, syncs: false }
    }

    const fn syncing(name: &'static str, run: fn(&Context) -> Result<Vec<Line>, Failure>) -> Self {
        Self { name, run, syncs: true }
    }
}

/// All of them, in the order of the table of budgets.
pub const WORKLOADS: &[Workload] = &[
    Workload::local("batch-insert", insert::batches),
    Workload::local("single-insert", insert::single),
    Workload::local("update-field", update::field),
    Workload::local("select-by-id", read::by_id),
    Workload::local("scan", read::filtered_scan),
    Workload::local("indexed-range", read::indexed_range),
    Workload::local("observer", observe::commit_to_callback),
    Workload::local("observed-writes", observe::writes_with_observers),
    Workload::syncing("first-sync", sync::first),
    Workload::syncing("places-sync", sync::places),
    Workload::syncing("filtered-sync", sync::filtered),
    Workload::syncing("sync-memory", footprint::memory_of_first_sync),
    Workload::syncing("sync-slope", sync::slope),
    Workload::syncing("change", sync::small_change),
    Workload::syncing("small-documents", sync::small_documents),
    Workload::syncing("reconnect", sync::reconnect),
    Workload::syncing("resync", sync::after_partition),
    Workload::syncing("reconcile", sync::without_checkpoint),
    Workload::syncing("mesh", mesh::thirty_peers),
    Workload::local("open", open::open),
    Workload::local("idle-memory", footprint::idle_memory),
    Workload::local("library-size", footprint::library_size),
];
