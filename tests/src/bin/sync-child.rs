//! One peer in a process of its own, for tests that kill it.
//!
//! `sync-child DIRECTORY DATABASE_ID` prints `ready ADDRESS` and then obeys commands on standard
//! input, one a line: `connect ADDRESS`; `write WRITER FROM TO` writes these rounds of a [`history`] and says
//! `wrote WRITER ROUND` after each; `rows` prints every document as JSON and `end`; `received` prints how many
//! documents came from other peers; `mark` writes something that nobody subscribes to and says `marked COMMIT`.
//! Whenever documents come or go, it says `now COUNT`, and `synced COMMIT` whenever the other peer has acknowledged
//! everything up to a later commit.
//! The process ends with its standard input.

use std::io::{self, BufRead, Write};

use ditto_tests::history;
use dittolive_ditto::dql::QueryResult;
use dittolive_ditto::prelude::*;
use futures::executor::block_on;
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = |name: &str| arguments.next().ok_or_else(|| format!("{name} is missing"));
    let (directory, database_id) = (argument("DIRECTORY")?, argument("DATABASE_ID")?);

    let config = DittoConfig::new(database_id, DittoConfigConnect::SmallPeersOnly { private_key: None })
        .with_persistence_directory(directory);
    let ditto = Ditto::open_sync(config)?;
    ditto.update_transport_config(|config| {
        config.listen.tcp = TcpListenConfig { enabled: true, interface_ip: "127.0.0.1".to_owned(), port: 0 };
    });
    ditto.sync().register_subscription("SELECT * FROM things")?;
    ditto.sync().start()?;
    answer(&format!("ready {}", address(&ditto)?))?;
    let _observer = ditto.store().register_observer("SELECT COUNT(*) AS n FROM things", |result| {
        // Nobody is there to be told that the other end of the pipe is gone.
        let _ = number(&result, "n").map(|count| answer(&format!("now {count}")));
    })?;

    let acknowledged = "SELECT documents.synced_up_to_local_commit_id AS n FROM system:data_sync_info";
    let _sync_observer = ditto.store().register_observer(acknowledged, |result| {
        // The row comes with the first connection, the number with the first acknowledgement.
        let _ = number(&result, "n").map(|commit| answer(&format!("synced {commit}")));
    })?;

    for line in io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["connect", address] => ditto.update_transport_config(|config| {
                config.connect.tcp_servers = [(*address).to_owned()].into();
            }),
            ["write", writer, from, to] => {
                for round in from.parse()?..to.parse()? {
                    write(&ditto, writer, round)?;
                    answer(&format!("wrote {writer} {round}"))?;
                }
            }
            ["rows"] => {
                for row in &block_on(ditto.store().execute("SELECT * FROM things"))? {
                    answer(&row.json_string())?;
                }
                answer("end")?;
            }
            ["mark"] => {
                let mark = "INSERT INTO marks DOCUMENTS ({ 'mark': true })";
                let commit = block_on(ditto.store().execute(mark))?.commit_id().ok_or("no commit")?;
                answer(&format!("marked {commit}"))?;
            }
            ["received"] => answer(&format!("received {}", received(&ditto)?))?,
            _ => return Err(format!("not a command: {line}").into()),
        }
    }
    Ok(())
}

fn answer(text: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{text}")?;
    output.flush()
}

fn write(ditto: &Ditto, writer: &str, round: u64) -> Result<(), Failure> {
    let (first, end) = (history::first(round), history::first(round + 1));
    let documents: Vec<Value> = (first..end)
        .map(|number| {
            json!({ "_id": history::id(writer, number), "number": number, "text": history::text(number) })
        })
        .collect();
    let insert = "INSERT INTO things DOCUMENTS (:documents) ON ID CONFLICT DO NOTHING";
    block_on(ditto.store().execute((insert, json!({ "documents": documents }))))?;
    if let Some(previous) = round.checked_sub(1).map(history::first) {
        let edit = "UPDATE things SET edited = :round WHERE _id = :id";
        let arguments = json!({ "round": round, "id": history::id(writer, previous) });
        block_on(ditto.store().execute((edit, arguments)))?;
        let delete = "DELETE FROM things WHERE _id = :id";
        block_on(ditto.store().execute((delete, json!({ "id": history::id(writer, previous + 1) }))))?;
    }
    Ok(())
}

/// Where this peer listens.
fn address(ditto: &Ditto) -> Result<String, Failure> {
    let sockets =
        block_on(ditto.store().execute("SELECT value FROM system:transports_info WHERE _id = 'listen_tcp'"))?;
    let row: Value = sockets.get_item(0).ok_or("not listening")?.deserialize_value()?;
    Ok(row["value"].as_str().ok_or("no address")?.to_owned())
}

/// Documents that came from all other peers in this process.
fn received(ditto: &Ditto) -> Result<u64, Failure> {
    let result =
        block_on(ditto.store().execute("SELECT SUM(documents_received) AS n FROM system:data_sync_info"))?;
    number(&result, "n")
}

fn number(result: &QueryResult, member: &str) -> Result<u64, Failure> {
    let row: Value = result.get_item(0).ok_or("no row")?.deserialize_value()?;
    row[member].as_u64().ok_or_else(|| format!("{member} is missing in {row}").into())
}
