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

use indicatif::ProgressBar;

use crate::Failure;
use crate::line::Line;

/// What a workload is told.
pub struct Context {
    /// Factor for all numbers of documents and operations.
    pub scale: f64,
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
}

/// All of them, in the order of the table of budgets.
pub const WORKLOADS: &[Workload] = &[
    Workload { name: "batch-insert", run: insert::batches },
    Workload { name: "single-insert", run: insert::single },
    Workload { name: "update-field", run: update::field },
    Workload { name: "select-by-id", run: read::by_id },
    Workload { name: "scan", run: read::filtered_scan },
    Workload { name: "indexed-range", run: read::indexed_range },
    Workload { name: "observer", run: observe::commit_to_callback },
    Workload { name: "observed-writes", run: observe::writes_with_observers },
    Workload { name: "first-sync", run: sync::first },
    Workload { name: "filtered-sync", run: sync::filtered },
    Workload { name: "sync-memory", run: footprint::memory_of_first_sync },
    Workload { name: "sync-slope", run: sync::slope },
    Workload { name: "change", run: sync::small_change },
    Workload { name: "small-documents", run: sync::small_documents },
    Workload { name: "reconnect", run: sync::reconnect },
    Workload { name: "resync", run: sync::after_partition },
    Workload { name: "reconcile", run: sync::without_checkpoint },
    Workload { name: "mesh", run: mesh::thirty_peers },
    Workload { name: "open", run: open::open },
    Workload { name: "idle-memory", run: footprint::idle_memory },
    Workload { name: "library-size", run: footprint::library_size },
];
