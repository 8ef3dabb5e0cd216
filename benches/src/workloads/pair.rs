//! Both sides with the same documents.

use tempfile::{TempDir, tempdir};

use super::Context;
use crate::Failure;
use crate::documents::{Document, documents};
use crate::ours::Peer;
use crate::sqlite::Sqlite;

/// One filled database of ours and one of SQLite's.
pub struct Filled {
    pub ours: Peer,
    pub sqlite: Sqlite,
    pub documents: Vec<Document>,
    /// Whether ours has the index that SQLite's has.
    pub indexed: bool,
    #[expect(dead_code, reason = "the databases go with their directory")]
    directory: TempDir,
}

impl Filled {
    pub fn new(context: &Context, seed: u64, count: usize) -> Result<Self, Failure> {
        context.step(format!("filling both databases with {count} documents"));
        let documents = documents(seed, count);
        let directory = tempdir()?;
        let ours = Peer::open(directory.path())?;
        let indexed = ours.create_index();
        ours.insert_batches(&documents)?;
        let sqlite = Sqlite::with(directory.path(), &documents)?;
        Ok(Self { ours, sqlite, documents, indexed, directory })
    }
}
