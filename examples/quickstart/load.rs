//! Loading a file into A, once.

use std::{
    error::Error,
    fs, io,
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use ditto_examples::import::import;
use dittolive_ditto::prelude::*;
use futures::executor::block_on;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::{COLLECTION, output::say, summary::rate};

/// Remembers in A which file it holds, so that a later run does not load it again (and bring back what was deleted).
const RECALL: &str = "SELECT * FROM quickstart_files WHERE _id = :file AND changed = :changed";
const REMEMBER: &str = "INSERT INTO quickstart_files DOCUMENTS (:file) ON ID CONFLICT DO UPDATE";

/// What A holds of the file.
#[derive(Clone, Copy, Debug)]
pub struct Loaded {
    /// Documents in the file.
    pub documents: u64,
    /// Documents that were added now.
    pub inserted: u64,
    /// An earlier run has loaded the file.
    pub resumed: bool,
}

pub fn load(ditto: &Ditto, path: &Path) -> Result<Loaded, Box<dyn Error>> {
    let store = ditto.store();
    let file = path.canonicalize().unwrap_or_else(|_| path.to_owned()).display().to_string();
    // A file that was written anew is loaded again; documents that exist stay as they are.
    let changed = fs::metadata(path).and_then(|metadata| metadata.modified());
    let changed = changed.ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let changed = changed.map(|time| time.as_secs_f64()).unwrap_or_default();
    let known = block_on(store.execute((RECALL, json!({ "file": file, "changed": changed }))))?;
    if let Some(documents) = known.get_item(0).and_then(|row| row.value().get("documents")?.as_u64()) {
        return Ok(Loaded { documents, inserted: 0, resumed: true });
    }

    let bar = ProgressBar::new(0)
        .with_style(ProgressStyle::with_template("   [{bar:40}] {percent:>3} % of the file")?);
    let imported = import(store, path, COLLECTION, |progress| {
        bar.set_length(progress.total);
        bar.set_position(progress.position);
    });
    bar.finish_and_clear();
    let imported = imported?;
    if imported.documents == 0 {
        return Err(format!("{} has no document, so there is nothing to sync", path.display()).into());
    }
    let file = json!({ "_id": file, "changed": changed, "documents": imported.documents });
    block_on(store.execute((REMEMBER, json!({ "file": file }))))?;
    Ok(Loaded { documents: imported.documents, inserted: imported.inserted, resumed: false })
}

impl Loaded {
    pub fn print(&self, time: Duration) -> io::Result<()> {
        let Self { documents, inserted, resumed } = self;
        if *resumed {
            return say!("   A has its {documents} documents from an earlier run; nothing is loaded again");
        }
        say!("   {inserted} documents in {:.2} s, {}", time.as_secs_f64(), rate(*inserted, time))?;
        if inserted < documents {
            say!("   {} were there already", documents - inserted)?;
        }
        Ok(())
    }
}
