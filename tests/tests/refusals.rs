//! What a peer refuses to open, as the application hears it: nothing is lost by it, and the message says what to do.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use ditto_storage::{Batch, DiskStorage, Keyspace, Storage as _};
use dittolive_ditto::prelude::*;
use futures::executor::block_on;

fn open(directory: &Path) -> Result<Ditto, DittoError> {
    let connect = DittoConfigConnect::SmallPeersOnly { private_key: None };
    Ditto::open_sync(DittoConfig::new("refusals", connect).with_persistence_directory(directory))
}

/// A database with one document, closed.
fn database() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let ditto = open(directory.path()).unwrap();
    block_on(ditto.store().execute("INSERT INTO things DOCUMENTS ({'_id': 'kept'})")).unwrap();
    ditto.close();
    directory
}

fn refusal(directory: &Path) -> String {
    open(directory).expect_err("the directory must be refused").to_string()
}

fn assert_kept(directory: &Path) {
    let ditto = open(directory).unwrap();
    let rows = block_on(ditto.store().execute("SELECT * FROM things")).unwrap();
    assert_eq!(rows.get_item(0).unwrap().json_string(), r#"{"_id":"kept"}"#);
}

/// Writes the version of the row format, as `docs/file-format.md` has it.
fn set_row_format(directory: &Path, version: u32) {
    let storage = DiskStorage::open(directory.join("store")).unwrap();
    let mut batch = Batch::new();
    batch.put(Keyspace::Catalog, b"format", [&b"ditto"[..], &version.to_be_bytes()].concat());
    storage.commit(batch).unwrap();
    storage.close().unwrap();
}

#[test]
fn rows_of_a_newer_format_are_refused_and_left_alone() {
    let directory = database();
    set_row_format(directory.path(), 3);
    let error = refusal(directory.path());
    assert!(error.contains("format version 3") && error.contains("open it with"), "{error}");
    set_row_format(directory.path(), 2);
    assert_kept(directory.path());
}

#[test]
fn files_of_another_format_are_refused_and_left_alone() {
    let directory = database();
    let marker = directory.path().join("store/storage/version");
    let known = fs::read(&marker).unwrap();
    fs::write(&marker, b"FJL\xff").unwrap();
    let error = refusal(directory.path());
    assert!(error.contains("storage format") && error.contains("open it with"), "{error}");
    fs::write(&marker, known).unwrap();
    assert_kept(directory.path());
}

#[test]
fn damaged_files_are_an_error_that_names_the_ways_out() {
    let directory = database();
    let tables = directory.path().join("store/storage/keyspaces/1/tables");
    for table in fs::read_dir(tables).unwrap() {
        fs::remove_file(table.unwrap().path()).unwrap();
    }
    let error = refusal(directory.path());
    assert!(error.contains("damaged") && error.contains("use a new directory"), "{error}");
}
