//! The log, which belongs to the whole process: one test, so that nobody else is in the way.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by a panic that it failed")]

mod support;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
    mpsc::channel,
};

use dittolive_ditto::prelude::*;

use self::support::{Peer, next};

#[test]
fn a_callback_takes_the_lines_until_it_is_replaced_or_cleared() {
    assert!(DittoLogger::get_logging_enabled());
    DittoLogger::set_minimum_log_level(LogLevel::Info);
    let (sender, lines) = channel();
    DittoLogger::set_custom_log_callback(move |level, text| {
        // What it logs itself is not given to it again.
        DittoLogger::__log_error("from inside");
        sender.send((level, text.to_owned())).ok();
    });
    DittoLogger::__log_error("a line");
    let (level, text) = next(&lines);
    assert!(level == LogLevel::Error && text.contains("a line"), "{text}");

    // Lines of the database come too, with their level, and the lesser ones do not.
    drop(Peer::new());
    let (level, text) = next(&lines);
    assert_eq!(level, LogLevel::Info, "{text}");
    DittoLogger::set_minimum_log_level(LogLevel::Error);
    while lines.try_recv().is_ok() {}
    drop(Peer::new());
    assert!(lines.try_recv().is_err());
    DittoLogger::set_logging_enabled(false);
    DittoLogger::__log_error("not wanted");
    assert!(lines.try_recv().is_err() && !DittoLogger::get_logging_enabled());
    DittoLogger::set_logging_enabled(true);

    // Replaced, the old one is dropped; a panic ends one call only.
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    DittoLogger::set_custom_log_callback(move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        panic!("the application panics");
    });
    assert!(lines.recv().is_err());
    DittoLogger::__log_error("one");
    DittoLogger::__log_error("two");
    assert_eq!(calls.load(Ordering::SeqCst), 2);

    // A callback may clear itself; it is dropped when it has returned.
    let (sender, lines) = channel();
    DittoLogger::set_custom_log_callback(move |_, text| {
        DittoLogger::clear_custom_log_callback();
        sender.send(text.to_owned()).unwrap();
    });
    assert_eq!(Arc::strong_count(&calls), 1);
    DittoLogger::__log_error("the last one");
    DittoLogger::__log_error("to the standard error stream");
    assert!(next(&lines).contains("the last one"));
    assert!(lines.recv().is_err());
}
