//! What a peer sends, asks for or does not read takes memory and time within bounds.

use std::sync::atomic::Ordering;

use crate::model::{Model, document_key};
use crate::net::{Net, int, peer_id};
use crate::plants::PLANTS;
use crate::victim::{BAD, QUESTION, Victim, bytes, hello_of, message, number, packed_whole};
use ditto_crdt::{Sequence, Version};
use ditto_replication::limits::{
    COMPILED_TIMES, MAX_BUFFERED_BYTES, MAX_BUFFERED_DOCUMENTS, MAX_FILLED_BYTES, MAX_INTEREST_BYTES,
    MAX_MATCH_MS, MAX_MESSAGE_BYTES, PART_BYTES, TAKEN_DELAY_MS, WAITING_DOCUMENT_BYTES, WORK_MS,
};
use ditto_replication::{
    Buffered, CloseReason, Event, LocalPeer, Replica, Replicator, SessionId, SubscriptionId,
};
use ditto_value::{Object, Value};

/// Kind of a message, see `docs/protocol.md`.
const TAKEN: u8 = 15;

#[test]
fn filters_that_cost_much_count_as_one_that_matches() {
    let mut net = Net::new(2);
    for id in ["fern", "oak", "moss"] {
        let now = net.now;
        net.model(0).insert(now, "plants", id, &[("light", int(0))]);
    }
    for light in 1..=20 {
        net.subscribe(1, &format!("SELECT * FROM plants WHERE light = {light}"));
    }
    net.model(0).match_ms.store(MAX_MATCH_MS / 2, Ordering::Relaxed);
    net.connect(0, 1);
    net.rest();
    net.assert_equal(0, 1);
    let most = net.model(0).most_worked.get();
    assert!(most <= WORK_MS + MAX_MATCH_MS, "{most} ms in one go");
}

#[test]
fn filters_that_cost_much_do_not_keep_what_was_taken_from_being_offered() {
    let mut net = Net::new(2);
    net.subscribe(1, "SELECT * FROM plants WHERE light = 9");
    for light in 1..=20 {
        net.subscribe(0, &format!("SELECT * FROM plants WHERE light = {light}"));
    }
    net.connect(0, 1);
    net.rest();
    for id in ["fern", "oak", "moss"] {
        let now = net.now;
        net.model(1).insert(now, "plants", id, &[("light", int(0))]);
    }
    net.settle();
    // The walk has come by, and nothing of it matched. Now each filter takes long.
    net.model(1).match_ms.store(MAX_MATCH_MS / 2, Ordering::Relaxed);
    net.model(1).most_worked.set(0);
    assert!(!net.kinds.contains_key(&TAKEN));
    net.advance(TAKEN_DELAY_MS);
    net.rest();
    assert_eq!(net.kinds.get(&TAKEN).copied().unwrap_or_default(), 3, "each takes a call of its own");
    let most = net.model(1).most_worked.get();
    assert!((MAX_MATCH_MS..=WORK_MS + MAX_MATCH_MS).contains(&most), "{most} ms in one go");
}

#[test]
fn merges_that_cost_much_are_spread_over_many_calls() {
    let mut net = Net::new(2);
    net.subscribe(1, PLANTS);
    let ids: Vec<String> = (0..20).map(|number| format!("fern{number}")).collect();
    let now = net.now;
    for id in &ids {
        net.model(0).insert(now, "plants", id, &[("light", int(0))]);
    }
    net.connect(0, 1);
    net.rest();
    net.disconnect(0, 1);
    // In another session each has to be tried out, and what does not fit is asked for.
    for (number, id) in ids.iter().enumerate() {
        net.model(0).set(now, "plants", id, "light", 5);
        if number % 2 == 0 {
            net.model(1).set(now, "plants", id, "rings", 5);
        }
    }
    net.model(1).merge_ms = WORK_MS;
    net.connect(0, 1);
    net.rest();
    assert!(ids.iter().all(|id| net.model(1).field("plants", id, "light") == Some(int(5))));
    assert!(ids.iter().step_by(2).all(|id| net.model(0).field("plants", id, "rings") == Some(int(5))));
    let most = net.model(1).most_worked.get();
    assert!(most <= 2 * WORK_MS, "{most} ms in one go");
}

#[test]
fn documents_that_cost_much_to_read_are_read_once_when_stock_is_taken() {
    // It takes as long to read many of them as one call works, or half as long to look at one.
    for (stock_ms, match_ms) in [(WORK_MS, 0), (0, WORK_MS / 2)] {
        let mut net = Net::new(2);
        for number in 0..100 {
            let now = net.now;
            net.model(0).insert(now, "plants", &format!("plant {number}"), &[("light", int(1))]);
        }
        net.nodes[1].model = net.nodes[0].model.twin(2);
        for peer in 0..2 {
            net.model(peer).sync();
            net.model(peer).stock_ms = stock_ms;
            net.model(peer).match_ms.store(match_ms, Ordering::Relaxed);
        }
        net.subscribe(1, "SELECT * FROM plants WHERE light = 1");
        net.connect(0, 1);
        net.rest();
        assert_eq!(net.nodes[0].replicator.mechanisms().reconciled, 1);
        for peer in 0..2 {
            let read = net.model(peer).stock_read.get();
            assert_eq!(read, 2, "at peer {peer}: all of them, and that there are no more");
            let most = net.model(peer).most_worked.get();
            assert!(most <= 2 * WORK_MS, "{most} ms in one go");
        }
    }
}

#[test]
fn what_was_checked_of_a_batch_is_not_looked_at_again_in_each_call() {
    const COUNT: u64 = 100;
    let mut victim = Victim::new();
    victim.greet();
    victim.receive(&message(3, &[number(1, 1), bytes(2, &[7; 8]), bytes(3, &number(1, 1))]));
    // Buried documents, each to be looked for among those that are alive, and none of them what it is said to be.
    let documents = (0..COUNT).map(|place| {
        let hash = [&[0; 9][..], &place.to_be_bytes()].concat();
        bytes(2, &[number(1, 1), bytes(2, &hash), bytes(4, &[1; 16]), bytes(5, &[1, 0])].concat())
    });
    let end = bytes(3, &[number(1, 1), bytes(2, &[7; 8]), number(3, 5)].concat());
    victim.model.merge_ms = WORK_MS;
    let batch: Vec<_> = [number(1, 1)].into_iter().chain(documents).chain([end]).collect();
    victim.receive(&message(6, &batch));
    let mut calls = 1;
    while victim.replicator.next_timeout().is_some_and(|timeout| timeout <= 1_000) {
        victim.replicator.tick(&mut victim.model, 1_000);
        calls += 1;
    }
    let asked = victim.sent().iter().filter(|sent| sent[0] == QUESTION).count();
    assert_eq!((victim.failure(), asked as u64), (None, COUNT));
    assert!(calls >= COUNT / 2, "{calls} calls");
    let named = victim.model.named.get() as u64;
    assert!(named <= 3 * COUNT, "{named} were looked for");
}

#[test]
fn a_flood_of_unfinished_batches_is_bounded() {
    flood_of_unfinished_batches(<[u8]>::to_vec);
}

#[test]
fn a_flood_of_unfinished_batches_is_bounded_by_what_they_unpack_to() {
    flood_of_unfinished_batches(packed_whole);
}

fn flood_of_unfinished_batches(wrap: fn(&[u8]) -> Vec<u8>) {
    let mut victim = Victim::new();
    victim.greet();
    // Interest 1 is the victim's subscription.
    victim.receive(&message(3, &[number(1, 1), bytes(2, &[7; 8]), bytes(3, &number(1, 1))]));
    let delta = vec![0; 100 * 1024];
    let mut sent = 0;
    for i in 0..u64::MAX {
        let id = i.to_be_bytes();
        let document = [number(1, 1), bytes(2, &id), bytes(4, &[1; 16]), bytes(5, &delta)].concat();
        victim.receive(&wrap(&message(6, &[number(1, 1), bytes(2, &document)])));
        sent += delta.len();
        let counted = sent + id.len() * (i as usize + 1);
        if let Some(reason) = victim.failure() {
            assert!(counted > MAX_BUFFERED_BYTES && reason.to_string().contains("bytes of documents"));
            break;
        }
        assert!(counted <= MAX_BUFFERED_BYTES, "it takes whatever it is sent");
        assert_eq!(victim.buffered(), Buffered { documents: sent, questions: 0, counted });
    }
    assert_eq!(victim.buffered(), Buffered::default(), "it goes with the session");
}

#[test]
fn what_all_sessions_hold_is_bounded_and_who_holds_most_comes_back_later() {
    const MEMORY: usize = 1024 * 1024;
    const DELTA: usize = 10 * 1024;
    let mut model = Model::new(1);
    let mut local = LocalPeer::new(peer_id(0), "database");
    local.sizes.memory_bytes = MEMORY;
    let mut replicator = Replicator::new(local);
    replicator
        .subscribe(SubscriptionId(1), PLANTS, &Object::default(), &mut model, 1_000)
        .expect("is understood");
    // The tenth sends least.
    let sessions: Vec<SessionId> = (1..=10).map(SessionId).collect();
    for session in &sessions {
        replicator.connected(*session, peer_id(session.0 as usize), &mut model, 1_000);
        replicator.receive(*session, &hello_of(Model::new(2)), &mut model, 1_000);
        let start = message(3, &[number(1, 1), bytes(2, &[7; 8]), bytes(3, &number(1, 1))]);
        replicator.receive(*session, &start, &mut model, 1_000);
        assert!(replicator.is_ready(*session));
    }
    let mut ended = Vec::new();
    for i in 0..100_u64 {
        for session in sessions.iter().filter(|session| session.0 < 10 || i % 10 == 0) {
            let document =
                [number(1, 1), bytes(2, &i.to_be_bytes()), bytes(4, &[1; 16]), bytes(5, &[0; DELTA])];
            let unfinished = message(6, &[number(1, 1), bytes(2, &document.concat())]);
            replicator.receive(*session, &unfinished, &mut model, 1_000);
            let held: usize = sessions.iter().filter_map(|session| replicator.held_bytes(*session)).sum();
            assert!(held <= MEMORY, "{held} bytes");
        }
        while let Some(event) = replicator.poll_event() {
            if let Event::SessionFailed { session, reason, .. } = event {
                assert_eq!(reason, CloseReason::Crowded);
                ended.push(session);
            }
        }
    }
    assert!(ended.len() >= 8, "each of nine would hold all of it: {ended:?}");
    let least = sessions.last().expect("ten");
    assert!(replicator.is_ready(*least) && !ended.contains(least), "who holds little goes on");
}

/// Somebody who is told of documents that do not fit, in one batch, and has asked for each.
fn asks_for(author: &Model, ids: impl Iterator<Item = String>) -> Victim {
    let mut victim = Victim::new();
    victim.greet();
    // Interest 1 is the victim's subscription.
    victim.receive(&message(3, &[number(1, 1), bytes(2, &[7; 8]), bytes(3, &number(1, 1))]));
    let mut batch = vec![number(1, 1)];
    let mut count = 0;
    for id in ids {
        let key = document_key("plants", &id);
        let held = author.delta_since(&key, Sequence(u64::MAX)).expect("a model").expect("it is there");
        let document = [number(1, 1), bytes(2, &key.id), bytes(4, &[1; 16]), bytes(5, &held.delta)];
        batch.push(bytes(2, &document.concat()));
        count += 1;
    }
    let end = [number(1, 1), bytes(2, &[7; 8]), number(3, 5)].concat();
    batch.push(bytes(3, &end));
    victim.receive(&message(6, &batch));
    assert_eq!(victim.sent().iter().filter(|sent| sent[0] == QUESTION).count(), count);
    victim
}

#[test]
fn what_is_answered_beyond_what_a_batch_waits_with_is_merged_before_it() {
    const LENGTH: usize = 100 * 1024;
    let count = (MAX_FILLED_BYTES / LENGTH + 30) as u64;
    let id = |number: u64| format!("fern {number}");
    let mut author = Model::new(3);
    let notes = Value::from("n".repeat(LENGTH));
    for number in 1..=count {
        author.insert(1_000, "plants", &id(number), &[("notes", notes.clone())]);
    }
    let mut victim = asks_for(&author, (1..=count).map(id));
    let answer = |question, delta: &[u8], version: Version| {
        let version = version.0.to_le_bytes();
        message(10, &[number(1, question), bytes(2, &version), bytes(3, delta)])
    };
    let answer_of = |question| {
        let held = author.delta_since(&document_key("plants", &id(question)), Sequence(0));
        let held = held.expect("a model").expect("it is there");
        answer(question, &held.delta, held.version)
    };
    for question in 2..count {
        victim.receive(&answer_of(question));
    }
    // The last one is not to be read.
    victim.receive(&answer(count, &vec![0; LENGTH], Version(1)));
    assert!(victim.model.visible("plants", &id(2)).is_none(), "it waits for the first");
    assert!(victim.model.visible("plants", &id(count - 1)).is_some(), "too much would wait");
    assert!(victim.sent().is_empty(), "nothing is acknowledged");
    victim.receive(&answer_of(1));
    assert!((1..count).all(|number| victim.model.visible("plants", &id(number)).is_some()));
    let durable = victim.model.sync();
    victim.replicator.durable(durable, &mut victim.model, 1_000);
    let acknowledged = victim.sent();
    let (mut bits, last) = (vec![0; (count - 1) as usize / 8 + 1], (count - 1) as usize);
    bits[last / 8] = 1 << (last % 8);
    let refused = [number(1, 1), bytes(2, &bits)].concat();
    assert!(acknowledged.contains(&message(8, &[number(1, 1), bytes(2, &refused)])));
    assert_eq!(victim.failure(), None);
}

#[test]
fn names_of_documents_that_wait_to_be_asked_about_count_as_what_is_held() {
    const COUNT: usize = 1_000;
    let id = |number| format!("{number:010000}");
    let mut author = Model::new(3);
    for number in 0..COUNT {
        author.insert(1_000, "plants", &id(number), &[("light", int(1))]);
    }
    let mut victim = Victim::new();
    victim.greet();
    victim.receive(&message(3, &[number(1, 1), bytes(2, &[7; 8]), bytes(3, &number(1, 1))]));
    let before = victim.replicator.held_bytes(BAD).expect("it is open");
    // Each is whole, and the version that it is said to have is another one: it seems that the author lacks something.
    for part in 0..COUNT / 10 {
        let documents = (10 * part..10 * (part + 1)).map(|place| {
            let key = document_key("plants", &id(place));
            let held = author.delta_since(&key, Sequence(0)).expect("a model").expect("it is there");
            let document =
                [number(1, 1), bytes(2, &key.id), bytes(4, &[1; 16]), bytes(5, &held.delta), number(7, 1)];
            bytes(2, &document.concat())
        });
        victim.receive(&message(6, &std::iter::once(number(1, 1)).chain(documents).collect::<Vec<_>>()));
    }
    let end = [number(1, 1), bytes(2, &[7; 8]), number(3, 5)].concat();
    victim.receive(&message(6, &[number(1, 1), bytes(3, &end)]));
    let asked = victim.replicator.statistics(BAD).expect("it is open").questions_asked as usize;
    assert!((1..COUNT / 2).contains(&asked), "{asked} questions");
    let held = victim.replicator.held_bytes(BAD).expect("it is open") - before;
    assert!(held >= (COUNT - asked) * 10_000, "{held} bytes");
}

#[test]
fn interests_count_as_what_is_held_until_they_end() {
    const COUNT: u64 = 100;
    let mut victim = Victim::new();
    victim.greet();
    let before = victim.replicator.held_bytes(BAD).expect("it is open");
    let query = |id| format!("SELECT * FROM plants WHERE name = '{}{id}'", "n".repeat(1_000));
    let added = (1..=COUNT).map(|id| bytes(2, &[number(1, id), bytes(2, query(id).as_bytes())].concat()));
    let added: Vec<_> = std::iter::once(number(1, 1)).chain(added).collect();
    victim.receive(&message(2, &added));
    let held = victim.replicator.held_bytes(BAD).expect("it is open") - before;
    let asked = COUNT as usize * 1_000;
    assert!((COMPILED_TIMES * asked..2 * COMPILED_TIMES * asked).contains(&held), "{held} bytes");
    let removed = (1..=COUNT).map(|id| number(3, id));
    let removed: Vec<_> = std::iter::once(number(1, 2)).chain(removed).collect();
    victim.receive(&message(2, &removed));
    victim.sent();
    assert!(victim.replicator.held_bytes(BAD).expect("it is open") <= before + 1_000);
    assert_eq!(victim.failure(), None);
}

#[test]
fn documents_that_wait_count_with_what_they_take_besides_their_bytes() {
    const COUNT: u64 = 1_000;
    let mut victim = Victim::new();
    victim.greet();
    victim.receive(&message(3, &[number(1, 1), bytes(2, &[7; 8]), bytes(3, &number(1, 1))]));
    let before = victim.replicator.held_bytes(BAD).expect("it is open");
    let documents = (1..=COUNT).map(|id| {
        let document = [number(1, 1), bytes(2, &id.to_be_bytes()), bytes(4, &[1; 16]), bytes(5, &[0])];
        bytes(2, &document.concat())
    });
    victim.receive(&message(6, &std::iter::once(number(1, 1)).chain(documents).collect::<Vec<_>>()));
    let held = victim.replicator.held_bytes(BAD).expect("it is open") - before;
    assert!(held >= COUNT as usize * WAITING_DOCUMENT_BYTES, "{held} bytes");
    assert_eq!(victim.failure(), None);
}

#[test]
fn a_document_twice_in_a_batch_ends_the_session_as_it_comes() {
    for ids in [[1, 2], [1, 1]] {
        let mut victim = Victim::new();
        victim.greet();
        victim.receive(&message(3, &[number(1, 1), bytes(2, &[7; 8]), bytes(3, &number(1, 1))]));
        for id in ids {
            let document = [number(1, 1), bytes(2, &[b'1', id, 0, 1]), bytes(4, &[1; 16])].concat();
            victim.receive(&message(6, &[number(1, 1), bytes(2, &document)]));
        }
        let failure = victim.failure().map(|reason| reason.to_string());
        assert_eq!(failure.is_some_and(|reason| reason.contains("twice in a batch")), ids == [1, 1]);
    }
}

#[test]
fn documents_that_come_by_themselves_behind_a_batch_without_an_end_are_bounded() {
    let mut victim = Victim::new();
    victim.greet();
    victim.receive(&message(3, &[number(1, 1), bytes(2, &[7; 8]), bytes(3, &number(1, 1))]));
    victim.receive(&message(6, &[number(1, 1)]));
    let own = document_key("plants", "own");
    for question in 1..u64::MAX {
        // It may give what the answer did not know, which waits for the batch.
        victim.receive(&message(QUESTION, &[number(1, question), bytes(2, b"plants"), bytes(3, &own.id)]));
        victim.receive(&message(11, &[number(1, question), bytes(2, &[1; 16])]));
        victim.sent();
        if let Some(reason) = victim.failure() {
            assert!(reason.to_string().contains("by themselves"), "{reason}");
            assert_eq!(question, MAX_BUFFERED_DOCUMENTS as u64 + 1);
            break;
        }
        assert!(question <= MAX_BUFFERED_DOCUMENTS as u64, "it takes whatever it is sent");
    }
}

#[test]
fn large_documents_that_are_begun_and_not_ended_are_bounded() {
    let part = |name, dropped: &[u8], length: usize| {
        let total = number(2, 60 << 20);
        message(7, &[number(1, name), total, bytes(3, &vec![0; length]), dropped.to_vec()])
    };
    let flood = |message: &dyn Fn(u64) -> Vec<u8>| {
        let mut victim = Victim::new();
        victim.greet();
        let mut sent = 0;
        for i in 1..u64::MAX {
            let message = message(i);
            sent += message.len();
            victim.receive(&message);
            if let Some(failure) = victim.failure() {
                assert_eq!(
                    victim.sent().last().map(|farewell| farewell[0]),
                    Some(12),
                    "a farewell with the reason"
                );
                return failure.to_string();
            }
            assert!(sent <= MAX_BUFFERED_BYTES + MAX_MESSAGE_BYTES, "it takes whatever it is sent");
        }
        String::new()
    };
    // Ever more of them; a few that go on and on; and one that is longer than it says.
    assert!(flood(&|i| part(i, &[], 1)).contains("open parts"));
    assert!(flood(&|i| part(1 + i / 450, &[], PART_BYTES)).contains("bytes of documents"));
    assert!(flood(&|_| part(1, &[], PART_BYTES)).contains("does not fit"));
    // What is taken back may not go on, and what never began cannot be taken back.
    let twice = |i| part(1, &if i == 2 { number(4, 1) } else { Vec::new() }, 1);
    assert!(flood(&twice).contains("closed"));
    assert!(flood(&|i| part(i, &number(4, 1), 1)).contains("not open"));
    // Taken back again and again they cost nothing.
    let mut victim = Victim::new();
    victim.greet();
    for name in 1..1_300 {
        victim.receive(&part(name, &[], PART_BYTES));
        victim.receive(&part(name, &number(4, 1), 0));
    }
    assert!(victim.failure().is_none());
}

#[test]
fn a_flood_of_questions_that_nobody_reads_the_answers_of_is_bounded() {
    let mut victim = Victim::new();
    let rings = Value::from("ring ".repeat(20_000));
    victim.model.insert(1_000, "plants", "oak", &[("rings", rings)]);
    victim.greet();
    let oak = document_key("plants", "oak");
    for i in 0..u64::MAX {
        victim.receive(&message(9, &[number(1, i), bytes(2, b"plants"), bytes(3, &oak.id)]));
        if victim.failure().is_some() {
            break;
        }
        assert!(i < 200_000, "it queues whatever it is asked");
    }
    let queued: usize = victim.sent().iter().map(Vec::len).sum();
    assert!(queued < 1024, "what was queued is dropped with the session");
}

#[test]
fn questions_that_have_to_wait_are_not_looked_at_again_with_every_message() {
    const COUNT: u64 = 300;
    let mut victim = Victim::new();
    let mut remote = Model::new(2);
    remote.insert(1_000, "plants", "moss", &[]);
    remote.sync();
    victim.greet_as(remote);
    // What does not match is offered, and as long as that is not answered, what is asked about it waits.
    let interest = [number(1, 1), bytes(2, b"SELECT * FROM plants WHERE light = 2")].concat();
    victim.receive(&message(2, &[number(1, 1), bytes(2, &interest)]));
    assert!(victim.sent().iter().any(|sent| sent[0] == 4));
    let own = document_key("plants", "own");
    for question in 1..=COUNT {
        let fields = [number(1, question), bytes(2, b"plants"), bytes(3, &own.id), bytes(4, &[])];
        victim.receive(&message(9, &fields));
    }
    assert!(victim.sent().iter().all(|sent| sent[0] != 10), "they wait");
    let questions = COUNT as usize * ("plants".len() + own.id.len());
    assert_eq!(victim.buffered(), Buffered { documents: 0, questions, counted: questions });
    let looks = victim.model.answers_read.get() as u64;
    assert!(looks <= 2 * COUNT, "{looks} looks at {COUNT}");
    victim.receive(&message(5, &[number(1, 1)]));
    let answers = victim.sent().iter().filter(|sent| sent[0] == 10).count();
    assert_eq!((victim.failure(), answers as u64), (None, COUNT));
    assert_eq!(victim.buffered(), Buffered::default());
}

#[test]
fn subscriptions_that_are_too_long_together_are_refused_in_words() {
    let mut victim = Victim::new();
    victim.greet();
    let filter = |number: u64| format!("SELECT * FROM plants WHERE light = {}{number}", "0".repeat(60_000));
    for id in 1..=20_u64 {
        let interest = [number(1, id), bytes(2, filter(id).as_bytes())].concat();
        victim.receive(&message(2, &[number(1, id), bytes(2, &interest)]));
    }
    assert_eq!(victim.failure(), None);
    let refused = b"subscribe to fewer";
    let refusals = victim.sent();
    let refusals = refusals.iter().filter(|sent| sent.windows(refused.len()).any(|part| part == refused));
    assert_eq!(refusals.count(), 20 - MAX_INTEREST_BYTES / 60_050);
}

#[test]
fn joined_documents_that_become_longer_than_they_came_are_counted_as_they_are() {
    let mut victim = Victim::new();
    victim.greet();
    let start = [number(1, 1)].concat();
    victim.receive(&message(3, &[number(1, 1), bytes(2, &[7; 8]), bytes(3, &start)]));
    // A name that is spelled once as long as all members were written together.
    let members = (0..100).map(|member| (format!("member {member}"), int(1)));
    let mut author = Model::new(3);
    author.insert(1_000, "plants", "fern", &[(&"n".repeat(150), Value::Object(members.collect()))]);
    author.insert(1_000, "plants", "moss", &[("light", int(1))]);
    let delta = |author: &Model, id: &str, after| {
        let part = author.delta_since(&document_key("plants", id), Sequence(after));
        part.expect("a model").expect("it is there").delta
    };
    let whole = delta(&author, "fern", 0);
    author.set(1_000, "plants", "fern", "light", 2);
    let part = delta(&author, "fern", 2);
    let document = |id: &str, delta: &[u8], complete| {
        let key = document_key("plants", id);
        [number(1, 1), bytes(2, &key.id), bytes(4, &[1; 16]), bytes(5, delta), number(7, complete)].concat()
    };
    let end = |sequence| [number(1, 1), bytes(2, &[7; 8]), number(3, sequence), number(4, 1)].concat();
    let moss = document("moss", &delta(&author, "moss", 0), 0);
    let first = [number(1, 1), bytes(2, &moss), bytes(2, &document("fern", &whole, 1)), bytes(3, &end(5))];
    victim.receive(&message(6, &first));
    victim.receive(&message(6, &[number(1, 2), bytes(2, &document("fern", &part, 0)), bytes(3, &end(9))]));
    // What is known of `moss` by now belongs to the second batch; the two are applied together, if `fern` is answered.
    let rest = |question, delta: &[u8]| {
        message(10, &[number(1, question), bytes(2, &[2; 16]), bytes(3, delta), number(6, 9)])
    };
    victim.receive(&rest(1, &delta(&author, "moss", 0)));
    let asked = victim.sent().iter().filter(|sent| sent[0] == 9).count();
    assert_eq!(asked, 2, "it asks for both");
    victim.receive(&rest(2, &part));
    assert_eq!(victim.failure(), None);
    assert!(victim.model.visible("plants", "moss").is_some());
}
