//! A peer that does not read what it is sent: what waits for it is bounded, and nobody else waits.

use crate::beside::Beside;
use crate::model::document_key;
use crate::plants::PLANTS;
use crate::victim::{QUESTION, bytes, message, number, read};
use ditto_replication::Replica;
use ditto_replication::limits::{
    BATCH_TARGET_BYTES, MAX_INTERESTS, MAX_QUEUE_BYTES, MAX_QUEUE_MESSAGES, MAX_WAITING_QUESTIONS,
    QUEUE_TARGET_BYTES,
};
use ditto_value::Value;

/// Kind of a message, see `docs/protocol.md`.
const BATCH: u8 = 6;

/// Tells it such messages until the session ends, for a reason with these words; how many, and how much waited at most.
fn flood(mut beside: Beside, words: &str, message: impl Fn(u64) -> Vec<u8>) -> (u64, usize) {
    beside.block(true);
    let mut most = 0;
    for count in 1.. {
        beside.tell(&message(count));
        if let Some(reason) = beside.failure() {
            assert!(reason.to_string().contains(words), "{reason}");
            // A farewell is left.
            assert!(beside.memory() < 1_000);
            beside.assert_others_are_served();
            return (count, most);
        }
        most = most.max(beside.queued());
        if count % 5_000 == 0 {
            beside.assert_others_are_served();
        }
        assert!(count <= 100_000, "it takes whatever it is told");
    }
    (0, most)
}

#[test]
fn answers_that_nobody_reads_end_the_session() {
    let (count, most) = flood(Beside::new(10), "does not read", |offer| message(4, &[number(1, offer)]));
    assert_eq!(count, MAX_QUEUE_MESSAGES as u64 + 1, "each offer is answered");
    assert!(most <= 16 * MAX_QUEUE_MESSAGES);
}

#[test]
fn refusals_that_nobody_reads_end_the_session() {
    // Each has a reason of 256 bytes.
    let query = "x".repeat(300);
    let (_, most) = flood(Beside::new(10), "does not read", |generation| {
        let added = (1..=MAX_INTERESTS as u64).map(|id| {
            let id = (generation - 1) * MAX_INTERESTS as u64 + id;
            bytes(2, &[number(1, id), bytes(2, query.as_bytes())].concat())
        });
        message(2, &std::iter::once(number(1, generation)).chain(added).collect::<Vec<_>>())
    });
    let walk = 270 * MAX_INTERESTS;
    assert!((MAX_QUEUE_BYTES - walk..=MAX_QUEUE_BYTES).contains(&most), "{most} bytes");
}

#[test]
fn questions_of_who_reads_no_answer_are_answered_until_a_little_waits() {
    let mut beside = Beside::new(10);
    let rings = Value::from("ring ".repeat(20_000));
    let now = beside.net.now;
    beside.net.model(1).insert(now, "trees", "oak", &[("rings", rings)]);
    beside.net.rest();
    let oak = document_key("trees", "oak");
    let (count, most) = flood(beside, "questions", |question| {
        message(QUESTION, &[number(1, question), bytes(2, b"trees"), bytes(3, &oak.id), bytes(4, &[])])
    });
    let answer = 101_000;
    let answered = (QUEUE_TARGET_BYTES / answer + 1) as u64;
    assert_eq!(count, answered + MAX_WAITING_QUESTIONS as u64 + 1);
    assert!((QUEUE_TARGET_BYTES..QUEUE_TARGET_BYTES + answer).contains(&most), "{most} bytes");
}

/// It reads, and acknowledges what it is told.
fn read_and_acknowledge(beside: &mut Beside) {
    loop {
        let told = beside.read();
        let batches = told.iter().filter(|told| told[0] == BATCH).filter_map(|told| read(told, 1));
        let Some(batch) = batches.max() else { break };
        beside.tell(&message(8, &[number(1, batch)]));
    }
}

#[test]
fn who_reads_nothing_of_what_it_asked_for_is_sent_a_little_and_goes_on_when_it_reads() {
    const LENGTH: usize = 100_000;
    let mut beside = Beside::new(10);
    let interest = [number(1, 1), bytes(2, PLANTS.as_bytes())].concat();
    beside.tell(&message(2, &[number(1, 1), bytes(2, &interest)]));
    let grow = |beside: &mut Beside, number: u64| {
        let rings = Value::from("r".repeat(LENGTH));
        let now = beside.net.now;
        beside.net.model(1).insert(now, "plants", &format!("elm {number}"), &[("rings", rings)]);
        beside.assert_others_are_served();
    };
    // It has credit for more than is ever queued.
    for number in 0..10 {
        grow(&mut beside, number);
        read_and_acknowledge(&mut beside);
    }
    beside.block(true);
    for number in 10..100 {
        grow(&mut beside, number);
        let most = QUEUE_TARGET_BYTES + BATCH_TARGET_BYTES + 2 * LENGTH;
        assert!(beside.queued() <= most, "{} bytes", beside.queued());
    }
    assert!(beside.queued() > QUEUE_TARGET_BYTES, "it is the queue that is full");
    beside.block(false);
    read_and_acknowledge(&mut beside);
    assert_eq!(beside.failure(), None);
    assert_eq!(beside.acknowledged(), beside.net.nodes[1].model.last_sequence());
}
