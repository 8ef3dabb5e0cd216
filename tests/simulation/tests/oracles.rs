//! An oracle that cannot fail is worth nothing: each notices what is broken on purpose.

#![allow(clippy::panic, reason = "a test fails by panicking")]

use ditto_simulation::run::run;
use ditto_simulation::sabotage::Sabotage;
use ditto_simulation::world::Settings;

/// Some seed of the first ones leads to a verdict with one of these words, and the same seed without the sabotage to none.
fn notices(sabotage: Sabotage, words: &[&str]) {
    let mut others = Vec::new();
    for seed in 0..30 {
        let settings = Settings { peers: Some(3), small: false, ..Settings::of(seed) };
        let verdicts = run(Settings { sabotage: Some(sabotage), ..settings }).verdicts;
        if verdicts.iter().any(|verdict| words.iter().any(|word| verdict.contains(word))) {
            assert_eq!(run(settings).verdicts, Vec::<String>::new(), "without sabotage, seed {seed}");
            return;
        }
        others.extend(verdicts);
    }
    panic!("{sabotage:?} is not noticed, only {others:?}");
}

#[test]
fn documents_that_were_never_merged_are_missed() {
    notices(Sabotage::DroppedDocuments, &["did not arrive", "has Some", "differ in"]);
}

#[test]
fn a_position_ahead_of_the_data_is_noticed_in_the_storm() {
    notices(Sabotage::DroppedDocuments, &["a position is ahead of the data"]);
}

#[test]
fn a_stored_checkpoint_ahead_of_the_data_is_noticed_when_the_session_ends() {
    notices(Sabotage::EarlyCheckpoints, &["a stored checkpoint is ahead of the data"]);
}

#[test]
fn checkpoints_that_are_not_found_again_cost_too_much() {
    notices(Sabotage::ForgottenCheckpoints, &["without change took"]);
}

#[test]
fn acknowledged_writes_that_are_lost_are_missed() {
    notices(Sabotage::LostWrites, &["Field("]);
}

#[test]
fn a_disk_that_loses_what_was_synced_is_noticed_when_it_is_opened_again() {
    notices(Sabotage::LostSyncs, &["but its disk owes"]);
}

#[test]
fn a_history_that_is_gone_without_a_word_is_taken_for_a_copy() {
    notices(Sabotage::SwappedDisks, &["is no copy, but ForkDetected"]);
}

#[test]
fn what_was_deleted_and_is_back_is_noticed() {
    notices(Sabotage::Resurrection, &["Deletion("]);
}

#[test]
fn a_counter_that_counts_twice_is_noticed() {
    notices(Sabotage::DoubleCounting, &["count-"]);
}

#[test]
fn half_a_transaction_is_noticed() {
    notices(Sabotage::HalfTransactions, &["sees"]);
}

#[test]
fn a_transaction_that_becomes_visible_in_two_steps_is_noticed() {
    notices(Sabotage::SplitBatches, &["sees"]);
}

#[test]
fn a_queue_that_is_never_emptied_is_noticed() {
    notices(Sabotage::EndlessWaiting, &["still has", "no answer in time"]);
}

#[test]
fn bytes_without_a_reason_are_noticed() {
    notices(Sabotage::Waste, &["bytes, more than"]);
}

#[test]
fn clocks_that_are_not_compared_are_noticed() {
    notices(Sabotage::FalseClocks, &["measures"]);
}

#[test]
fn a_transaction_that_was_acknowledged_and_is_lost_is_missed() {
    notices(Sabotage::LostWrites, &["which is not what was written last"]);
}
