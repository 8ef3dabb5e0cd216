//! A file of JSON Lines becomes documents of a collection.
//!
//! The rules, for any size of file in constant memory:
//!
//! - The file is read to its end before anything is written, so **a broken file changes nothing**. Should it break between
//!   the two passes (somebody writes to it), the batches before the broken line stay.
//! - An object without `_id` gets `<file name>-<line number>`, such as `places-0000042`: importing a file again, or what
//!   an interrupted import left, adds nothing twice.
//! - A document whose `_id` exists is left as it is.
//! - A batch is one commit, of [`BATCH`] documents.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use dittolive_ditto::{error::DittoError, store::Store};
use futures::executor::block_on;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::json_lines::{JsonLines, Line, ReadError};

/// Documents in one statement.
pub const BATCH: usize = 1000;

/// Why an import failed.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Before anything was written.
    #[error("{0}; nothing was imported")]
    Broken(ReadError),
    /// The file changed while it was imported.
    #[error(
        "{error}; the file changed during the import, and the {kept} documents before that line were kept"
    )]
    Changed {
        /// What is wrong now.
        error: ReadError,
        /// Documents that are in the collection.
        kept: u64,
    },
    /// The database refused a batch.
    #[error("{}, lines {first} to {last}: {source}; {}", path.display(), kept_text(*kept, *first))]
    Refused {
        /// The file.
        path: PathBuf,
        /// The first line of the batch.
        first: u64,
        /// The last line of the batch.
        last: u64,
        /// Documents that are in the collection.
        kept: u64,
        /// Its reason.
        source: DittoError,
    },
    /// The name cannot be quoted.
    #[error("a collection cannot be named {0:?}")]
    CollectionName(String),
}

/// How far an import is, in bytes of the file; it is read twice.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Bytes read so far in both passes.
    pub position: u64,
    /// Bytes to read in both passes.
    pub total: u64,
}

/// What an import did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Documents in the file.
    pub documents: u64,
    /// Documents that are new in the collection.
    pub inserted: u64,
}

/// Imports `path` into `collection`. `on_progress` is called about once a batch.
///
/// # Errors
/// When the file cannot be read or is broken, and when the database refuses a document.
pub fn import(
    store: &Store,
    path: &Path,
    collection: &str,
    mut on_progress: impl FnMut(Progress),
) -> Result<Imported, ImportError> {
    if collection.is_empty() || collection.contains('`') {
        return Err(ImportError::CollectionName(collection.to_owned()));
    }
    let statement = format!("INSERT INTO `{collection}` DOCUMENTS (:docs) ON ID CONFLICT DO NOTHING");
    check(path, &mut on_progress).map_err(ImportError::Broken)?;

    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = name.split('.').next().unwrap_or_default();
    let mut lines = JsonLines::open(path).map_err(ImportError::Broken)?;
    let mut imported = Imported::default();
    let mut batch = Batch::default();
    loop {
        let line = match lines.next().transpose() {
            Ok(line) => line,
            Err(error) => return Err(ImportError::Changed { error, kept: imported.documents }),
        };
        let at_end = line.is_none();
        if let Some(line) = line {
            batch.push(line, stem, &mut imported);
        }
        if batch.docs.len() == BATCH || at_end && !batch.docs.is_empty() {
            batch.insert(store, &statement, path, &mut imported)?;
            on_progress(Progress { position: lines.size() + lines.position(), total: 2 * lines.size() });
        }
        if at_end {
            return Ok(imported);
        }
    }
}

/// Reads the file to its end.
fn check(path: &Path, on_progress: &mut impl FnMut(Progress)) -> Result<(), ReadError> {
    let mut lines = JsonLines::open(path)?;
    let total = 2 * lines.size();
    let mut count = 0;
    while let Some(line) = lines.next() {
        line?;
        count += 1;
        if count % BATCH == 0 {
            on_progress(Progress { position: lines.position(), total });
        }
    }
    Ok(())
}

/// The arguments of the statement.
#[derive(Default, Serialize)]
struct Batch {
    docs: Vec<Map<String, Value>>,
    /// What is in `docs`, as JSON.
    #[serde(skip)]
    ids: HashSet<String>,
    #[serde(skip)]
    first: u64,
    #[serde(skip)]
    last: u64,
}

impl Batch {
    /// Takes a document, unless an earlier one of the batch has its `_id`: that one exists then.
    fn push(&mut self, line: Line, stem: &str, imported: &mut Imported) {
        let Line { number, mut fields } = line;
        let id = fields.entry("_id").or_insert_with(|| format!("{stem}-{number:07}").into());
        if !self.ids.insert(id.to_string()) {
            imported.documents += 1;
            return;
        }
        if self.docs.is_empty() {
            self.first = number;
        }
        self.last = number;
        self.docs.push(fields);
    }

    fn insert(
        &mut self,
        store: &Store,
        statement: &str,
        path: &Path,
        imported: &mut Imported,
    ) -> Result<(), ImportError> {
        let result = block_on(store.execute((statement, &*self))).map_err(|source| ImportError::Refused {
            path: path.to_owned(),
            first: self.first,
            last: self.last,
            kept: imported.inserted,
            source,
        })?;
        imported.documents += self.docs.len() as u64;
        imported.inserted += result.mutated_document_ids().len() as u64;
        self.docs.clear();
        self.ids.clear();
        Ok(())
    }
}

/// What became of the lines before `first`.
fn kept_text(kept: u64, first: u64) -> String {
    match kept {
        0 => "nothing was imported".to_owned(),
        _ => format!("the documents before line {first} were kept"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use dittolive_ditto::prelude::*;

    use super::*;

    struct Fixture {
        ditto: Ditto,
        root: TempRoot,
    }

    impl Fixture {
        fn new() -> Self {
            let root = TempRoot::new();
            let connect = DittoConfigConnect::SmallPeersOnly { private_key: None };
            let config =
                DittoConfig::new("import", connect).with_persistence_directory(root.root_path().join("db"));
            Self { ditto: Ditto::open_sync(config).unwrap(), root }
        }

        fn import(&self, content: &str) -> Result<Imported, ImportError> {
            let path = self.root.root_path().join("file.v1.jsonl");
            fs::write(&path, content).unwrap();
            import(self.ditto.store(), &path, "my places", |progress| {
                assert!(progress.position <= progress.total)
            })
        }

        fn ids(&self) -> Vec<String> {
            let result =
                block_on(self.ditto.store().execute("SELECT _id FROM `my places` ORDER BY _id")).unwrap();
            result.iter().map(|item| item.value()["_id"].as_str().unwrap().to_owned()).collect()
        }
    }

    #[test]
    fn a_file_becomes_documents_and_a_second_time_nothing() {
        let fixture = Fixture::new();
        let file: String = (0..2500).map(|x| format!("{{\"x\":{x}}}\n")).collect();
        let first = fixture.import(&file).unwrap();
        assert_eq!((first.documents, first.inserted), (2500, 2500));
        let second = fixture.import(&file).unwrap();
        assert_eq!((second.documents, second.inserted), (2500, 0));
        assert_eq!(fixture.ids().first().map(String::as_str), Some("file-0000001"));
        assert_eq!(fixture.ids().len(), 2500);
    }

    #[test]
    fn the_first_of_several_documents_with_one_id_stays() {
        let fixture = Fixture::new();
        let imported = fixture.import("{\"_id\":\"a\",\"x\":1}\n{\"_id\":\"a\",\"x\":2}\n").unwrap();
        assert_eq!((imported.documents, imported.inserted), (2, 1));
        let rows = block_on(fixture.ditto.store().execute("SELECT x FROM `my places`")).unwrap();
        assert_eq!(rows.get_item(0).unwrap().json_string(), "{\"x\":1}");
    }

    #[test]
    fn a_broken_file_changes_nothing() {
        let fixture = Fixture::new();
        let mut file: String = (0..1500).map(|x| format!("{{\"x\":{x}}}\n")).collect();
        file.push_str("oops\n");
        let error = fixture.import(&file).unwrap_err().to_string();
        assert!(error.contains("line 1501") && error.ends_with("nothing was imported"), "{error}");
        assert!(fixture.ids().is_empty());
    }

    #[test]
    fn a_document_that_the_database_refuses_is_reported_with_its_lines() {
        let fixture = Fixture::new();
        let error = fixture.import("{\"_id\":\"a\"}\n{\"_id\":null}\n").unwrap_err().to_string();
        assert!(error.contains("file.v1.jsonl, lines 1 to 2: "), "{error}");
        assert!(error.ends_with("nothing was imported"), "{error}");
    }
}
