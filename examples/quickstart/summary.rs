//! Numbers in words, and the summary at the end.

use std::{io, time::Duration};

use crate::{link::Link, load::Loaded, output::say};

/// What the run took.
pub struct Summary {
    pub loaded: Loaded,
    pub load_time: Duration,
    pub first_sync: Link,
    pub sync_time: Duration,
}

impl Summary {
    pub fn print(&self) -> io::Result<()> {
        let Self { loaded, load_time, first_sync, sync_time } = self;
        let Link { documents_sent, bytes_sent, .. } = *first_sync;
        say!("\nSummary")?;
        line("documents", loaded.documents.to_string())?;
        match loaded.resumed {
            true => line("loading", "done by an earlier run".to_owned())?,
            false => line("loading", pace(loaded.inserted, *load_time))?,
        }
        let Some(each) = bytes_sent.checked_div(documents_sent) else {
            line("sync", format!("{:.2} s, no document had to be sent again", sync_time.as_secs_f64()))?;
            return line("sent by A", bytes(bytes_sent));
        };
        line("first sync", pace(documents_sent, *sync_time))?;
        line("sent by A", format!("{documents_sent} documents, {}", bytes(bytes_sent)))?;
        line("", format!("{each} bytes per document, encryption and all headers included"))
    }
}

fn line(name: &str, value: String) -> io::Result<()> {
    say!("   {name:<11} {value}")
}

fn pace(documents: u64, time: Duration) -> String {
    format!("{:.2} s, {}", time.as_secs_f64(), rate(documents, time))
}

/// Documents a second.
pub fn rate(documents: u64, time: Duration) -> String {
    let seconds = time.as_secs_f64().max(f64::EPSILON);
    format!("{:.0} documents/s", documents as f64 / seconds)
}

/// A size in a unit for people.
pub fn bytes(bytes: u64) -> String {
    const KIB: f64 = 1024.0;
    match bytes as f64 {
        few if few < KIB => format!("{bytes} bytes"),
        some if some < KIB * KIB => format!("{:.1} KiB", some / KIB),
        many => format!("{:.1} MiB", many / KIB / KIB),
    }
}
