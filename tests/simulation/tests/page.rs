//! `docs/testing.md` names tests that are there, and all of those that show what the oracles notice.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The cells of a row of a table.
fn cells(line: &str) -> Option<Vec<&str>> {
    let row = line.strip_prefix('|')?.strip_suffix('|')?;
    Some(row.split('|').map(str::trim).collect())
}

/// What stands between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The text of a module, and of those below it.
fn text(directory: &Path, module: &str) -> String {
    let below =
        fs::read_dir(directory.join(module)).into_iter().flatten().flatten().map(|entry| entry.path());
    let files: Vec<PathBuf> = [directory.join(format!("{module}.rs"))].into_iter().chain(below).collect();
    files.iter().filter_map(|file| fs::read_to_string(file).ok()).collect()
}

/// Whether there is a test of that name, as a function or as one of those that `replays!` makes.
fn is_test(text: &str, name: &str) -> bool {
    let replayed = text.lines().find_map(|line| line.strip_prefix("replays!(")?.strip_suffix(");"));
    let is_replayed = replayed.is_some_and(|names| names.split(", ").any(|replayed| replayed == name));
    is_replayed || text.contains(&format!("fn {name}("))
}

#[test]
fn every_test_that_the_page_names_is_where_it_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join("docs/testing.md")).expect("the page is there");
    let (_, attacks) = page.split_once("\n## Attacks").expect("the page has the attacks");
    let mut places = BTreeMap::new();
    let mut module = String::new();
    let (mut named, mut missing) = (0, Vec::new());
    let (mut attack, mut simulated) = (0, BTreeSet::new());
    for row in attacks.lines().filter_map(cells) {
        match row.as_slice() {
            [place, directory] => {
                if let ([place], Some(directory)) = (quoted(place).as_slice(), quoted(directory).first()) {
                    places.insert(place.to_string(), root.join(directory));
                }
            }
            [number, _, place, tests] => {
                attack = number.parse().unwrap_or(attack);
                if let Some(place) = quoted(place).first() {
                    module = (*place).to_owned();
                }
                if module.starts_with("simulation/") {
                    simulated.insert(attack);
                }
                for test in quoted(tests).into_iter().filter(|name| *name != "_id") {
                    named += 1;
                    let (place, name) = module.split_once('/').expect("a place and a module");
                    let directory = places.get(place).expect("the place is one of the table");
                    if !is_test(&text(directory, name), test) {
                        missing.push(format!("{module}: {test}"));
                    }
                }
            }
            _ => {}
        }
    }
    assert!(named > 100, "the table is read: {named} tests");
    assert_eq!(missing, Vec::<String>::new());
    let whole_peers: Vec<u32> = (1..=34).filter(|attack| !simulated.contains(attack)).collect();
    assert_eq!(whole_peers, [0; 0], "attacks that no simulated world meets");
}

#[test]
fn every_oracle_is_on_the_page_with_the_tests_that_show_that_it_notices() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("../../docs/testing.md")).expect("the page is there");
    let (_, oracles) =
        page.split_once("\n## The simulator and its oracles").expect("the page has the oracles");
    let (oracles, _) = oracles.split_once("\n## ").expect("another section follows");
    let named: BTreeSet<&str> = oracles.lines().filter_map(cells).flatten().flat_map(quoted).collect();
    let tests = fs::read_to_string(root.join("tests/oracles.rs")).expect("the tests are there");
    let names = tests.split("#[test]\nfn ").skip(1).filter_map(|test| test.split('(').next());
    let missing: Vec<&str> = names.filter(|name| !named.contains(name)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}
