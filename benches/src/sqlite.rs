//! The other side: SQLite as an application would use it for documents.

use std::path::Path;

use rusqlite::Connection;

use crate::Failure;
use crate::documents::{BATCH, Document};

/// A database with one table of JSON documents and an index on `population`.
pub struct Sqlite {
    pub connection: Connection,
}

impl Sqlite {
    /// Opens or creates the database in `directory`.
    pub fn open(directory: &Path) -> Result<Self, Failure> {
        let connection = Connection::open(directory.join("documents.sqlite"))?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL;
             PRAGMA synchronous = NORMAL;
             CREATE TABLE IF NOT EXISTS c (id TEXT PRIMARY KEY, body TEXT NOT NULL);
             CREATE INDEX IF NOT EXISTS c_population ON c (json_extract(body, '$.population'));",
        )?;
        Ok(Self { connection })
    }

    /// Opens a database and fills it.
    pub fn with(directory: &Path, documents: &[Document]) -> Result<Self, Failure> {
        let mut sqlite = Self::open(directory)?;
        sqlite.insert_batches(documents)?;
        Ok(sqlite)
    }

    /// Inserts documents, [`BATCH`] a transaction.
    pub fn insert_batches(&mut self, documents: &[Document]) -> Result<(), Failure> {
        for batch in documents.chunks(BATCH) {
            let transaction = self.connection.transaction()?;
            let mut insert = transaction.prepare("INSERT INTO c (id, body) VALUES (?1, ?2)")?;
            for document in batch {
                insert.execute((&document.id, serde_json::to_string(document)?))?;
            }
            drop(insert);
            transaction.commit()?;
        }
        Ok(())
    }
}
