//! Each limit of what a peer may send: that much is taken, and one more ends the session, in words that name it.

use std::collections::BTreeSet;

use crate::forged_reconciliation::{compared, described, nonsense};
use crate::model::document_key;
use crate::plants::PLANTS;
use crate::victim::{
    BAD, QUESTION, Victim, asked, batch, bytes, end, ends_in_words, greeted, hello, id, interest, invited,
    lacking, literals, message, number, offered, packed, publishes, subscribed,
};
use ditto_replication::CloseReason;
use ditto_replication::limits::{
    ANSWER_TIMEOUT_MS, FIRST_SYMBOLS, MAX_ARGUMENT_BYTES, MAX_BATCH_DOCUMENTS, MAX_BUFFERED_DOCUMENTS,
    MAX_COLLECTION_BYTES, MAX_DELTA_BYTES, MAX_ID_BYTES, MAX_INQUIRY_ITEMS, MAX_INTERESTS, MAX_MESSAGE_BYTES,
    MAX_OFFER_ITEMS, MAX_OPEN_PARTS, MAX_QUERY_BYTES, MAX_QUESTION_HASHES, MAX_QUEUE_MESSAGES,
    MAX_RANGE_BITS, MAX_REASON_BYTES, MAX_RECONCILED_DOCUMENTS, MAX_RUNS, MAX_SYMBOL_INQUIRIES, MAX_SYMBOLS,
    MAX_WAITING_QUESTION_BYTES, MAX_WAITING_QUESTIONS, PART_BYTES, QUEUE_TARGET_BYTES, SYMBOLS_PER_MESSAGE,
    WINDOW_BATCHES,
};
use ditto_value::Value;

/// Something of which so much may be sent.
struct Case {
    /// Its constant.
    limit: &'static str,
    most: u64,
    /// What is too much, in the reason for which the session ends.
    words: &'static str,
    begin: fn() -> Victim,
    /// Messages that have so much of it.
    messages: fn(u64) -> Vec<Vec<u8>>,
}

macro_rules! case {
    ($limit:ident, $words:literal, $begin:expr, $messages:expr) => {
        case!($limit, $limit, $words, $begin, $messages)
    };
    ($limit:ident, $most:expr, $words:literal, $begin:expr, $messages:expr) => {
        Case {
            limit: stringify!($limit),
            most: $most as u64,
            words: $words,
            begin: $begin,
            messages: $messages,
        }
    };
}

/// A message with so many fields.
fn with(kind: u8, first: Vec<u8>, count: u64, field: impl Fn(u64) -> Vec<u8>) -> Vec<u8> {
    message(kind, &std::iter::once(first).chain((1..=count).map(field)).collect::<Vec<_>>())
}

fn nothing() -> Vec<u8> {
    Vec::new()
}

/// One that has answered more than the other peer reads, and lets further questions wait.
fn unread() -> Victim {
    let mut victim = Victim::new();
    let rings = Value::from("ring ".repeat(20_000));
    victim.model.insert(1_000, "plants", "oak", &[("rings", rings)]);
    // It packs nothing.
    victim.receive(&[hello(), number(8, 0)].concat());
    let oak = document_key("plants", "oak");
    let question = message(QUESTION, &[number(1, 1), bytes(2, b"plants"), bytes(3, &oak.id)]);
    while victim.replicator.queued_bytes(BAD) <= QUEUE_TARGET_BYTES {
        victim.receive(&question);
    }
    victim
}

/// A document of a batch that says nothing.
fn whole(place: u64) -> Vec<u8> {
    bytes(2, &[number(1, 1), bytes(2, &id(place)), bytes(5, &[1, 0]), number(7, 1)].concat())
}

/// Documents of one batch, in messages that are not too long; the batch goes on.
fn in_messages(number_of_batch: u64, places: std::ops::Range<u64>) -> Vec<Vec<u8>> {
    let places: Vec<u64> = places.collect();
    let messages = places.chunks(1_000).map(|places| {
        let documents = places.iter().map(|place| whole(*place));
        message(6, &std::iter::once(number(1, number_of_batch)).chain(documents).collect::<Vec<_>>())
    });
    messages.collect()
}

/// What repeats itself, packed: `length` bytes of the last of `first`, after the others of it.
fn repeated(first: &[u8], length: usize) -> Vec<u8> {
    const LAST: usize = 5;
    let matched = length - first.len() - LAST;
    let mut block = vec![(first.len() as u8) << 4 | 15];
    block.extend_from_slice(first);
    block.extend([1, 0]);
    let mut more = matched - 4 - 15;
    while more >= 255 {
        block.push(255);
        more -= 255;
    }
    block.push(more as u8);
    block.extend(literals(&[0; LAST]));
    packed(length as u64, &block)
}

fn query(length: u64) -> Vec<u8> {
    [PLANTS.as_bytes(), &vec![b' '; length as usize - PLANTS.len()]].concat()
}

fn zeros(count: u64) -> Vec<u8> {
    vec![0; count as usize]
}

/// So many bits, all of them set.
fn bits(count: u64) -> Vec<u8> {
    vec![0xff; count.div_ceil(8) as usize]
}

fn cases() -> Vec<Case> {
    let in_hello = [
        case!(MAX_RUNS, "`seen`", Victim::new, |count| {
            let seen = (1..=count).map(|run| bytes(7, &bytes(1, &run.to_le_bytes())));
            vec![std::iter::once(hello()).chain(seen).collect::<Vec<_>>().concat()]
        }),
        case!(MAX_OPEN_PARTS, "`begun`", Victim::new, |count| {
            let whole = |whole: u64| [bytes(1, &u128::from(whole).to_le_bytes()), number(2, 1)].concat();
            let begun = (1..=count).map(|begun| bytes(11, &whole(begun)));
            vec![std::iter::once(hello()).chain(begun).collect::<Vec<_>>().concat()]
        }),
    ];
    let in_interests = [
        case!(MAX_INTERESTS, "`added`", greeted, |count| {
            let added = |id| bytes(2, &[number(1, id), bytes(2, PLANTS.as_bytes())].concat());
            vec![with(2, number(1, 1), count, added)]
        }),
        case!(MAX_INTERESTS, "`removed`", greeted, |count| {
            vec![with(2, number(1, 1), count, |id| number(3, id))]
        }),
        // Of several messages.
        case!(MAX_INTERESTS, "interests", greeted, |count: u64| {
            let added = |id| bytes(2, &[number(1, id), bytes(2, PLANTS.as_bytes())].concat());
            let half = count / 2;
            let first = with(2, number(1, 1), half, added);
            let second = with(2, number(1, 2), count - half, |id| added(half + id));
            vec![first, second]
        }),
        case!(MAX_QUERY_BYTES, "`query`", greeted, |count| vec![interest(bytes(2, &query(count)))]),
        case!(MAX_QUERY_BYTES, "`query`", greeted, |count| {
            vec![interest(bytes(6, &query(count)["SELECT * FROM ".len()..]))]
        }),
        case!(MAX_ARGUMENT_BYTES, "`arguments`", greeted, |count| vec![interest(bytes(3, &zeros(count)))]),
    ];
    let in_walk = [
        case!(MAX_INTERESTS, "`starts`", greeted, |count| {
            vec![with(3, number(1, 1), count, |_| bytes(3, &number(1, 1)))]
        }),
        case!(MAX_REASON_BYTES, "`refused`", greeted, |count| {
            let refused = [number(1, 1), bytes(3, &zeros(count))].concat();
            vec![message(3, &[number(1, 1), bytes(3, &refused)])]
        }),
    ];
    let in_offers = [
        case!(MAX_OFFER_ITEMS, "`items`", subscribed, |count| {
            let item = |place| [number(1, 1), bytes(2, &id(place)), bytes(3, &[1; 16])].concat();
            vec![with(4, number(1, 1), count, |place| bytes(2, &item(place)))]
        }),
        case!(MAX_ID_BYTES, "`id`", subscribed, |count| {
            let item = [number(1, 1), bytes(2, &zeros(count)), bytes(3, &[1; 16])].concat();
            vec![message(4, &[number(1, 1), bytes(2, &item)])]
        }),
        case!(MAX_OFFER_ITEMS, "`wanted`", greeted, |count| vec![message(5, &[bytes(2, &bits(count))])]),
        case!(MAX_OFFER_ITEMS, "`items`", publishes, |count| {
            let item = |place| [number(1, 1), bytes(2, &id(place)), bytes(3, &[1; 16])].concat();
            vec![with(15, number(1, 1), count, |place| bytes(2, &item(place)))]
        }),
        case!(MAX_ID_BYTES, "`id`", publishes, |count| {
            let item = [number(1, 1), bytes(2, &zeros(count)), bytes(3, &[1; 16])].concat();
            vec![message(15, &[number(1, 1), bytes(2, &item)])]
        }),
    ];
    let in_batches = [
        case!(MAX_ID_BYTES, "`id`", subscribed, |count| {
            let document = [number(1, 1), bytes(2, &zeros(count)), bytes(4, &[1; 16])].concat();
            vec![message(6, &[number(1, 1), bytes(2, &document)])]
        }),
        case!(PART_BYTES, "`delta`", subscribed, |count| {
            let document = [number(1, 1), bytes(2, &id(1)), bytes(4, &[1; 16]), bytes(5, &zeros(count))];
            vec![message(6, &[number(1, 1), bytes(2, &document.concat())])]
        }),
        case!(MAX_BATCH_DOCUMENTS, "documents of a batch", subscribed, |count| in_messages(1, 0..count)),
        // Behind a batch that waits for an answer.
        case!(MAX_BUFFERED_DOCUMENTS, "unacknowledged documents", subscribed, |count| {
            const MOST: u64 = MAX_BATCH_DOCUMENTS as u64;
            let ends = |number_of_batch| message(6, &[number(1, number_of_batch), end(7)]);
            let mut messages = vec![message(6, &[number(1, 1), lacking(0)])];
            for first in 0..count / MOST {
                messages.extend(in_messages(first + 1, u64::from(first == 0)..MOST));
                messages.push(ends(first + 1));
            }
            messages.extend(in_messages(count / MOST + 1, 0..count % MOST));
            messages
        }),
        case!(WINDOW_BATCHES, WINDOW_BATCHES + 1, "unacknowledged batches", subscribed, |count| {
            let first = batch(1, [lacking(1)]);
            std::iter::once(first).chain((2..=count).map(|waits| batch(waits, []))).collect::<Vec<_>>()
        }),
        // In the first batch its run is that of the Walk.
        case!(MAX_RUNS, "runs of one session", subscribed, |count| {
            let begun = |run| message(6, &[number(1, run), end(run)]);
            (1..=count).map(begun).collect::<Vec<_>>()
        }),
    ];
    let in_parts = [
        case!(MAX_DELTA_BYTES, "`total`", greeted, |count| {
            vec![message(7, &[number(1, 1), number(2, count), bytes(3, &[0])])]
        }),
        case!(PART_BYTES, "`bytes`", greeted, |count| {
            vec![message(7, &[number(1, 1), number(2, 1 << 20), bytes(3, &zeros(count))])]
        }),
        case!(MAX_OPEN_PARTS, "open parts", greeted, |count| {
            (1..=count)
                .map(|name| message(7, &[number(1, name), number(2, 2), bytes(3, &[0])]))
                .collect::<Vec<_>>()
        }),
    ];
    let in_acknowledgements = [
        case!(WINDOW_BATCHES, WINDOW_BATCHES + 1, "`exceptions`", greeted, |count| {
            vec![with(8, nothing(), count, |batch| bytes(2, &number(1, batch)))]
        }),
        case!(MAX_BATCH_DOCUMENTS, "`documents`", greeted, |count| {
            vec![message(8, &[bytes(2, &[number(1, 1), bytes(2, &bits(count))].concat())])]
        }),
    ];
    let in_questions = [
        case!(MAX_COLLECTION_BYTES, "`collection`", greeted, |count| {
            vec![message(9, &[number(1, 1), bytes(2, &zeros(count)), bytes(3, &id(1))])]
        }),
        case!(MAX_ID_BYTES, "`id`", greeted, |count| {
            vec![message(9, &[number(1, 1), bytes(2, b"plants"), bytes(3, &zeros(count))])]
        }),
        case!(MAX_QUESTION_HASHES, "`hashes`", greeted, |count| {
            vec![message(
                9,
                &[number(1, 1), bytes(2, b"plants"), bytes(3, &id(1)), bytes(4, &zeros(16 * count))],
            )]
        }),
        case!(MAX_WAITING_QUESTIONS, "questions", unread, |count| {
            let asks = |question| message(9, &[number(1, question), bytes(2, b"plants"), bytes(3, &[])]);
            (1..=count).map(asks).collect::<Vec<_>>()
        }),
        case!(MAX_WAITING_QUESTION_BYTES, "questions", unread, |count| {
            // Hashes and the name of a collection, which is as long as is left.
            let most = 16 * MAX_QUESTION_HASHES as u64;
            let asks = |length: u64| {
                let hashes = length / 16 * 16;
                message(9, &[bytes(2, &zeros(length - hashes)), bytes(4, &zeros(hashes))])
            };
            let all = std::iter::repeat_n(most, (count / most) as usize).chain([count % most]);
            all.map(asks).collect::<Vec<_>>()
        }),
        case!(MAX_QUESTION_HASHES, "`lacked`", asked, |count| {
            vec![message(10, &[number(1, 1), bytes(2, &[1; 16]), bytes(5, &bits(count))])]
        }),
        case!(PART_BYTES, "`delta`", asked, |count| {
            vec![message(10, &[number(1, 1), bytes(2, &[1; 16]), bytes(3, &zeros(count))])]
        }),
        case!(PART_BYTES, "`delta`", invited, |count| {
            vec![message(11, &[number(1, 1), bytes(2, &[1; 16]), bytes(3, &zeros(count))])]
        }),
    ];
    let in_reconciliations = [
        case!(MAX_SYMBOLS, "`first symbol`", greeted, |count| vec![message(16, &[number(2, count)])]),
        case!(MAX_RECONCILED_DOCUMENTS, "`documents`", compared, |count| {
            vec![nonsense(0, FIRST_SYMBOLS as u64, count)]
        }),
        case!(SYMBOLS_PER_MESSAGE, "`symbols`", greeted, |count| {
            let symbols = [[1; 20].as_slice(), &[2]].concat().repeat(count as usize);
            vec![message(16, &[number(3, count), bytes(4, &symbols)])]
        }),
        case!(MAX_RANGE_BITS, "`ranges`", greeted, |count| vec![message(16, &[number(7, count)])]),
        case!(MAX_RANGE_BITS, (1 << MAX_RANGE_BITS) - 1, "`ranges`", greeted, |count| {
            vec![message(16, &[number(7, MAX_RANGE_BITS.into()), number(8, count)])]
        }),
        case!(FIRST_SYMBOLS, "symbols", compared, |count| vec![nonsense(0, count, 40)]),
        case!(MAX_SYMBOLS, "symbols", described, |count| {
            vec![message(17, &[number(1, 1), number(2, count)])]
        }),
        case!(MAX_SYMBOLS, "symbols", described, |count: u64| {
            const MOST: u64 = MAX_INQUIRY_ITEMS as u64;
            let asks = |items: u64| message(17, &[number(1, 1), bytes(3, &zeros(16 * items))]);
            let all = std::iter::repeat_n(MOST, (count / MOST) as usize).chain([count % MOST]);
            all.map(asks).collect::<Vec<_>>()
        }),
        case!(MAX_SYMBOL_INQUIRIES, "inquiries for symbols", described, |count| {
            let asks = |inquiry| message(17, &[number(1, 1), number(2, FIRST_SYMBOLS as u64 + inquiry)]);
            (1..=count).map(asks).collect::<Vec<_>>()
        }),
        case!(MAX_INQUIRY_ITEMS, "`items`", described, |count| {
            vec![message(17, &[number(1, 1), bytes(3, &zeros(16 * count))])]
        }),
        case!(MAX_RANGE_BITS, "`ranges`", described, |count| {
            vec![message(17, &[number(1, 1), number(4, count)])]
        }),
        case!(MAX_RANGE_BITS, (1 << MAX_RANGE_BITS) - 1, "`ranges`", described, |count| {
            vec![message(17, &[number(1, 1), number(4, MAX_RANGE_BITS.into()), number(5, count)])]
        }),
        case!(MAX_INQUIRY_ITEMS, "`names`", greeted, |count| vec![message(
            18,
            &[bytes(2, &zeros(16 * count))]
        )]),
    ];
    let in_all = [
        case!(MAX_MESSAGE_BYTES, "`message`", greeted, |count: u64| {
            vec![message(99, &[bytes(1, &zeros(count - 5))])]
        }),
        case!(MAX_MESSAGE_BYTES, "`length`", greeted, |count: u64| {
            // The kind of no message, and one field: its number, and a length in three bytes.
            let content = bytes(1, &zeros(count - 5));
            vec![repeated(&[&[99], &content[..4], &[0]].concat(), count as usize)]
        }),
        case!(MAX_REASON_BYTES, "`reason`", greeted, |count| vec![message(12, &[bytes(1, &zeros(count))])]),
        // Each is answered.
        case!(MAX_QUEUE_MESSAGES, "does not read", subscribed, |count| {
            (1..=count).map(|offer| message(4, &[number(1, offer)])).collect::<Vec<_>>()
        }),
    ];
    let mut cases = Vec::new();
    cases.extend(in_hello);
    cases.extend(in_interests);
    cases.extend(in_walk);
    cases.extend(in_offers);
    cases.extend(in_batches);
    cases.extend(in_parts);
    cases.extend(in_acknowledgements);
    cases.extend(in_questions);
    cases.extend(in_reconciliations);
    cases.extend(in_all);
    cases
}

#[test]
fn so_much_is_taken_and_one_more_ends_the_session_in_words() {
    for Case { limit, most, words, begin, messages } in cases() {
        let mut victim = begin();
        messages(most).iter().for_each(|message| victim.receive(message));
        let failure = victim.failure();
        let is_taken = matches!(failure, None | Some(CloseReason::Remote(_)));
        assert!(is_taken, "{limit}, {most} of {words}: {failure:?}");
        let mut victim = begin();
        messages(most + 1).iter().for_each(|message| victim.receive(message));
        ends_in_words(&mut victim, words, &format!("{limit}, one more than {most} of {words}"));
    }
}

type Awaited = (&'static str, fn() -> Victim);

/// What is awaited of the other peer, each since a second after the clock began.
const AWAITED: [Awaited; 3] = [("the greeting", Victim::new), ("an offer", offered), ("a question", asked)];

/// Waits until then, as somebody who is not late.
fn wait(victim: &mut Victim, until: u64) {
    let mut now = 1_000;
    while let Some(due) = victim.replicator.next_timeout().filter(|due| *due < until) {
        now = due.max(now + 1);
        victim.replicator.tick(&mut victim.model, now);
    }
    victim.replicator.tick(&mut victim.model, until);
}

#[test]
fn an_answer_may_take_so_long_and_no_longer() {
    for (words, begin) in AWAITED {
        let mut victim = begin();
        wait(&mut victim, 1_000 + ANSWER_TIMEOUT_MS - 1);
        assert_eq!(victim.failure(), None, "{words}");
        wait(&mut victim, 1_000 + ANSWER_TIMEOUT_MS);
        ends_in_words(&mut victim, words, words);
    }
}

/// Limits that end the session and are no number of a message, with the tests that pass them.
const ELSEWHERE: [(&str, &str, &str); 3] = [
    ("ANSWER_TIMEOUT_MS", include_str!("limits.rs"), "an_answer_may_take_so_long_and_no_longer"),
    ("MAX_BUFFERED_BYTES", include_str!("floods.rs"), "a_flood_of_unfinished_batches_is_bounded"),
    ("MAX_QUEUE_BYTES", include_str!("unread.rs"), "refusals_that_nobody_reads_end_the_session"),
];

#[test]
fn every_limit_that_ends_the_session_is_passed_by_a_test() {
    let page = include_str!("../../../../docs/protocol.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let ends = |row: &str| row.split(" | ").nth(1).is_some_and(|ends| ends.starts_with("yes"));
    let documented: BTreeSet<&str> = rows.filter(|(_, row)| ends(row)).map(|(name, _)| name).collect();
    assert!(ELSEWHERE.iter().all(|(_, text, test)| text.contains(&format!("fn {test}()"))));
    let elsewhere = ELSEWHERE.iter().map(|(limit, ..)| *limit);
    let passed: BTreeSet<&str> = cases().iter().map(|case| case.limit).chain(elsewhere).collect();
    assert_eq!(passed, documented);
    // And what the reader of messages knows of limits is among them.
    let reader = [
        include_str!("../../src/message/codec.rs"),
        include_str!("../../src/message/name.rs"),
        include_str!("../../src/message/packed.rs"),
        include_str!("../../src/message.rs"),
    ];
    let of_reader =
        reader.iter().filter_map(|text| text.split_once("use crate::limits::")?.1.split_once(';'));
    let of_reader = of_reader.flat_map(|(names, _)| names.split(|c: char| !c.is_alphanumeric() && c != '_'));
    let is_chosen = |name: &str| name.starts_with("PACK_");
    let missing: Vec<&str> =
        of_reader.filter(|name| !name.is_empty() && !is_chosen(name) && !passed.contains(name)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}
