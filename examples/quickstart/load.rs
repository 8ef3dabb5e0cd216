//! Loading a file into A, once.

use std::{error::Error, path::Path, time::Duration};

use ditto_examples::import::import;
use dittolive_ditto::prelude::*;
use futures::executor::block_on;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::{COLLECTION, summary::rate};

/// Remembers in A which file it holds, so that a later run does not load it again (and bring back what was deleted).
const RECALL: &str = "SELECT * FROM quickstart_files WHERE _id = :file";
const REMEMBER: &str = "INSERT INTO quickstart_files DOCUMENTS (:file)";

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
    let known = block_on(store.execute((RECALL, json!({ "file": file }))))?;
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
    let file = json!({ "_id": file, "documents": imported.documents });
    block_on(store.execute((REMEMBER, json!({ "file": file }))))?;
    Ok(Loaded { documents: imported.documents, inserted: imported.inserted, resumed: false })
}

impl Loaded {
    pub fn print(&self, time: Duration) {
        let Self { documents, inserted, resumed } = self;
        if *resumed {
            println!("   A has its {documents} documents from an earlier run; nothing is loaded again");
        } else {
            println!("   {inserted} documents in {:.2} s, {}", time.as_secs_f64(), rate(*inserted, time));
            if inserted < documents {
                println!("   {} were there already", documents - inserted);
            }
        }
    }
}
