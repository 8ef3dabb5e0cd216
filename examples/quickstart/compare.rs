//! Do both peers hold the same?

use std::error::Error;

use dittolive_ditto::prelude::*;
use futures::executor::block_on;
use serde::Deserialize;
use serde_json::json;

use crate::pair::Pair;

/// Documents compared at a time.
const BATCH: usize = 1000;

#[derive(Deserialize)]
struct Id {
    #[serde(rename = "_id")]
    id: CborValue,
}

#[derive(Deserialize)]
struct Count {
    documents: usize,
}

/// Compares all documents of both stores byte by byte, in the memory of a batch and of one list of ids. Returns their
/// number.
pub fn stores(pair: &Pair) -> Result<usize, Box<dyn Error>> {
    let ids = block_on(pair.a.store().execute("SELECT _id FROM places"))?;
    let (on_a, on_b) = (ids.item_count(), count(&pair.b)?);
    if on_a != on_b {
        return Err(format!("A holds {on_a} documents, B {on_b}").into());
    }
    let mut rows = ids.iter();
    loop {
        let batch = rows
            .by_ref()
            .take(BATCH)
            .map(|row| row.deserialize_value().map(|Id { id }| id))
            .collect::<Result<Vec<_>, _>>()?;
        if batch.is_empty() {
            return Ok(on_a);
        }
        if documents(&pair.a, &batch)? != documents(&pair.b, &batch)? {
            return Err("the documents of A and B differ".into());
        }
    }
}

fn count(ditto: &Ditto) -> Result<usize, Box<dyn Error>> {
    let result = block_on(ditto.store().execute("SELECT COUNT(*) AS documents FROM places"))?;
    let Count { documents } = result.get_item(0).ok_or("a count has no row")?.deserialize_value()?;
    Ok(documents)
}

fn documents(ditto: &Ditto, ids: &[CborValue]) -> Result<Vec<Vec<u8>>, DittoError> {
    let rows =
        block_on(ditto.store().execute(("SELECT * FROM places WHERE _id IN :ids", json!({"ids": ids}))))?;
    let mut documents: Vec<_> = rows.iter().map(|row| row.cbor_data()).collect();
    documents.sort_unstable();
    Ok(documents)
}
