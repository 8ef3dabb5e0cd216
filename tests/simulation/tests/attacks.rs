//! Attacks that need several peers, one scripted world each.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use ditto_replication::Event;
use ditto_simulation::incident::Incident;
use ditto_simulation::network::Quality;
use ditto_simulation::oracle::{coverage, leaks, sanity};
use ditto_simulation::peer::{Peer, Wish};
use ditto_simulation::world::World;
use ditto_storage::Loss;

const PLANTS: &str = "SELECT * FROM plants";

/// Peers in a row.
fn line(peers: usize) -> World {
    let edges: Vec<_> = (1..peers).map(|peer| (peer - 1, peer)).collect();
    World::scripted(7, peers, &edges)
}

fn write(world: &mut World, peer: usize, statement: &str) {
    assert!(world.write(peer, statement).expect("the disk works"), "{statement} changes nothing");
}

/// Every peer shows the same rows, and holds the same byte by byte.
fn agree(world: &World, rows: &[&str]) {
    for peer in 0..world.peers.len() {
        assert_eq!(world.show(peer, PLANTS), rows, "peer {peer}");
    }
    let mut verdicts = world.verdicts.clone();
    coverage::neighbours(world, &mut verdicts);
    coverage::equality(world, &mut verdicts);
    (0..world.links.len()).for_each(|link| coverage::checkpoints(world, link, &mut verdicts));
    sanity::storages(world, &mut verdicts);
    assert_eq!(verdicts, Vec::<String>::new());
}

#[test]
fn an_old_living_copy_is_taken_by_who_has_buried_others() {
    let mut world = line(3);
    world.start_all(&[PLANTS]);
    world.sever(1, 2);
    write(&mut world, 2, "INSERT INTO plants DOCUMENTS ({'_id': 'old'})");
    write(&mut world, 0, "INSERT INTO plants DOCUMENTS ({'_id': 'gone'})");
    write(&mut world, 0, "DELETE FROM plants WHERE _id = 'gone'");
    world.rest();
    let buried: u64 = (0..3).map(|peer| world.pass_days(peer, 30)).sum();
    assert!(buried > 0);
    world.join(1, 2);
    world.rest();
    agree(&world, &[r#"{"_id":"old"}"#]);
}

/// 1 wants but what is bright, and 0, which publishes only, has deleted a document of which 2 still has an old copy.
fn an_old_copy_behind_a_filter(days: u64) -> World {
    let mut world = World::scripted(7, 3, &[(0, 1), (1, 2), (0, 2)]);
    world.sever(0, 1);
    world.sever(1, 2);
    world.peers[2].wishes = vec![Wish::plain(PLANTS)];
    world.start(0);
    world.start(2);
    write(&mut world, 0, "INSERT INTO plants DOCUMENTS ({'_id': 1, 'light': 1})");
    write(&mut world, 0, "INSERT INTO plants DOCUMENTS ({'_id': 2, 'light': 1})");
    world.rest();
    world.sever(0, 2);
    write(&mut world, 0, "DELETE FROM plants WHERE _id = 1");
    write(&mut world, 0, "UPDATE plants SET light = 2 WHERE _id = 2");
    world.pass_days(0, days);
    world.peers[1].wishes = vec![Wish::plain("SELECT * FROM plants WHERE light = 1")];
    world.start(1);
    world.join(0, 1);
    world.rest();
    assert_eq!(world.show(1, PLANTS), [""; 0], "what 0 knows does not matter to it");
    world
}

#[test]
fn a_deletion_wins_at_who_takes_the_old_copy_from_elsewhere_behind_a_filter() {
    // As a tombstone, and as a grave.
    for days in [0, 30] {
        let mut world = an_old_copy_behind_a_filter(days);
        world.join(1, 2);
        world.rest();
        agree(&world, &[r#"{"_id":2,"light":2}"#]);
    }
}

#[test]
fn a_deletion_wins_when_its_publisher_is_back_after_the_old_copy_was_taken() {
    for days in [0, 30] {
        let mut world = an_old_copy_behind_a_filter(days);
        world.sever(0, 1);
        world.join(1, 2);
        world.rest();
        assert_eq!(world.show(1, PLANTS).len(), 2);
        world.join(0, 1);
        world.rest();
        agree(&world, &[r#"{"_id":2,"light":2}"#]);
    }
}

#[test]
fn a_deletion_wins_when_its_publisher_is_back_after_a_restart_of_who_took_the_old_copy() {
    for (days, loss) in
        [(0, Loss::Nothing), (0, Loss::AllUnsynced), (30, Loss::Nothing), (30, Loss::AllUnsynced)]
    {
        let mut world = an_old_copy_behind_a_filter(days);
        world.sever(0, 1);
        world.join(1, 2);
        world.rest();
        assert_eq!(world.show(1, PLANTS).len(), 2);
        world.end_process(1, loss);
        world.start(1);
        assert_eq!(world.show(1, PLANTS).len(), 2, "it was durable");
        world.join(0, 1);
        world.rest();
        agree(&world, &[r#"{"_id":2,"light":2}"#]);
    }
}

#[test]
fn the_grave_at_one_end_of_a_line_wins_against_the_old_copy_at_the_other() {
    let mut world = World::scripted(7, 3, &[(0, 1), (1, 2), (0, 2)]);
    world.sever(0, 1);
    world.sever(1, 2);
    for peer in [0, 2] {
        world.peers[peer].wishes = vec![Wish::plain(PLANTS)];
        world.start(peer);
    }
    write(&mut world, 0, "INSERT INTO plants DOCUMENTS ({'_id': 1})");
    world.rest();
    world.sever(0, 2);
    write(&mut world, 2, "DELETE FROM plants WHERE _id = 1");
    world.pass_days(2, 30);
    world.peers[1].wishes = vec![Wish::plain(PLANTS)];
    world.start(1);
    world.join(0, 1);
    world.rest();
    assert_eq!(world.show(1, PLANTS), [r#"{"_id":1}"#]);
    world.join(1, 2);
    world.rest();
    agree(&world, &[]);
}

#[test]
fn those_who_subscribe_to_a_filtered_subscriber_hear_of_leaving_and_deletion_as_well() {
    const BRIGHT: &str = "SELECT * FROM plants WHERE light = 1";
    for (at_2, days) in [(BRIGHT, 0), (BRIGHT, 30), (PLANTS, 0), (PLANTS, 30)] {
        let mut world = line(4);
        world.peers[1].wishes = vec![Wish::plain(BRIGHT)];
        world.peers[2].wishes = vec![Wish::plain(at_2)];
        world.peers[3].wishes = vec![Wish::plain(at_2)];
        (0..4).for_each(|peer| world.start(peer));
        for id in 1..4 {
            write(&mut world, 0, &format!("INSERT INTO plants DOCUMENTS ({{'_id': {id}, 'light': 1}})"));
        }
        world.rest();
        assert_eq!(world.show(3, PLANTS).len(), 3);
        world.sever(0, 1);
        write(&mut world, 0, "UPDATE plants SET light = 2 WHERE _id != 3");
        write(&mut world, 0, "DELETE FROM plants WHERE _id != 2");
        world.pass_days(0, days);
        world.join(0, 1);
        world.rest();
        agree(&world, &[r#"{"_id":2,"light":2}"#]);
    }
}

#[test]
fn a_long_line_of_equal_subscribers_carries_everything_once() {
    const PEERS: usize = 100;
    let mut world = line(PEERS);
    world.start_all(&[PLANTS]);
    let before = world.bytes();
    for peer in 0..PEERS {
        write(&mut world, peer, &format!("INSERT INTO plants DOCUMENTS ({{'_id': {peer}}})"));
    }
    world.rest();
    let rows: Vec<String> = (0..PEERS).map(|id| format!(r#"{{"_id":{id}}}"#)).collect();
    agree(&world, &rows.iter().map(String::as_str).collect::<Vec<_>>());
    // A document of some 40 bytes, with all that is said about it.
    let each = (world.bytes() - before) / ((PEERS - 1) * PEERS) as u64;
    assert!(each < 250, "{each} bytes for each document on each link");
}

#[test]
fn a_member_that_was_unset_long_ago_does_not_come_back_with_an_old_copy() {
    let mut world = line(3);
    world.start_all(&[PLANTS]);
    write(&mut world, 0, "INSERT INTO plants DOCUMENTS ({'_id': 1, 'x': 'old'})");
    world.rest();
    world.sever(1, 2);
    write(&mut world, 0, "UPDATE plants UNSET x WHERE _id = 1");
    world.rest();
    for peer in 0..3 {
        world.pass_days(peer, 30);
    }
    write(&mut world, 2, "UPDATE plants SET y = 1 WHERE _id = 1");
    world.join(1, 2);
    world.rest();
    agree(&world, &[r#"{"_id":1,"y":1}"#]);
}

#[test]
fn a_document_that_was_deleted_long_ago_elsewhere_is_inserted_by_who_did_not_know_it() {
    let mut world = line(3);
    world.start_all(&[PLANTS]);
    world.sever(1, 2);
    write(&mut world, 0, "INSERT INTO plants DOCUMENTS ({'_id': 1, 'x': 'old'})");
    world.rest();
    write(&mut world, 0, "DELETE FROM plants WHERE _id = 1");
    world.rest();
    for peer in 0..2 {
        world.pass_days(peer, 30);
    }
    write(&mut world, 2, "INSERT INTO plants DOCUMENTS ({'_id': 1, 'y': 'new'})");
    world.join(1, 2);
    world.rest();
    agree(&world, &[r#"{"_id":1,"y":"new"}"#]);
}

#[test]
fn a_deletion_by_a_clock_that_is_weeks_wrong_is_neither_early_nor_undone() {
    for weeks in [-3_i64, 3] {
        let mut world = line(3);
        world.peers[0].shift_clock(weeks * 7 * 86_400_000);
        world.start_all(&[PLANTS]);
        write(&mut world, 0, "INSERT INTO plants DOCUMENTS ({'_id': 1})");
        world.rest();
        write(&mut world, 0, "DELETE FROM plants WHERE _id = 1");
        world.rest();
        for peer in 0..3 {
            assert_eq!(world.pass_days(peer, 5), 0, "{weeks} weeks: peer {peer} buries too early");
        }
        assert_eq!(world.pass_days(1, 5), 1);
        world.meet();
        agree(&world, &[]);
    }
}

#[test]
fn tombstones_that_are_buried_at_different_times_fall_to_none_and_cost_nothing_after() {
    let mut world = line(3);
    world.start_all(&[PLANTS]);
    for id in 0..50 {
        write(&mut world, 0, &format!("INSERT INTO plants DOCUMENTS ({{'_id': {id}}})"));
    }
    world.rest();
    write(&mut world, 1, "DELETE FROM plants");
    world.rest();
    for peer in 0..3 {
        assert_eq!(world.pass_days(peer, 10), 50);
        world.meet();
    }
    assert_eq!((0..3).map(|peer| world.pass_days(peer, 10)).sum::<u64>(), 0, "none comes back");
    let before = world.bytes();
    world.meet();
    assert!(world.bytes() - before < 2 * 1_024);
    agree(&world, &[]);
}

#[test]
fn increments_around_an_eviction_add_up() {
    let mut world = line(3);
    world.start_all(&[PLANTS]);
    write(&mut world, 0, "INSERT INTO plants DOCUMENTS ({'_id': 1})");
    world.rest();
    for _ in 0..3 {
        write(&mut world, 1, "UPDATE plants APPLY n INCREMENT BY 1 WHERE _id = 1");
        world.rest();
        write(&mut world, 1, "EVICT FROM plants WHERE _id = 1");
        world.rest();
        write(&mut world, 2, "UPDATE plants APPLY n INCREMENT BY 10 WHERE _id = 1");
    }
    world.rest();
    agree(&world, &[r#"{"_id":1,"n":33}"#]);
}

#[test]
fn what_is_inserted_again_after_its_eviction_has_all_that_is_known_elsewhere() {
    // Whether it is connected meanwhile; and the same after what an image of the disk has forgotten.
    for (is_connected, is_restored) in [(true, false), (false, false), (false, true)] {
        let mut world = line(3);
        world.start_all(&[PLANTS]);
        world.rest();
        world.peers[0].take_image(1);
        write(&mut world, 0, "INSERT INTO plants DOCUMENTS ({'_id': 1, 'a': 1, 'b': 1})");
        write(&mut world, 0, "UPDATE plants APPLY n INCREMENT BY 1 WHERE _id = 1");
        world.rest();
        if !is_connected {
            world.sever(0, 1);
        }
        if is_restored {
            world.end_process(0, Loss::Nothing);
            world.peers[0].restore(2);
            world.start(0);
        } else {
            write(&mut world, 0, "EVICT FROM plants WHERE _id = 1");
        }
        write(&mut world, 0, "INSERT INTO plants DOCUMENTS ({'_id': 1, 'b': 2, 'c': 2})");
        write(&mut world, 0, "UPDATE plants APPLY n INCREMENT BY 2 WHERE _id = 1");
        write(&mut world, 2, "UPDATE plants APPLY n INCREMENT BY 4 WHERE _id = 1");
        if !is_connected {
            world.join(0, 1);
        }
        world.rest();
        agree(&world, &[r#"{"_id":1,"a":1,"b":2,"c":2,"n":7}"#]);
    }
}

#[test]
fn increments_of_a_restored_image_and_of_what_it_forgot_add_up() {
    let mut world = line(3);
    world.start_all(&[PLANTS]);
    write(&mut world, 0, "INSERT INTO plants DOCUMENTS ({'_id': 1})");
    write(&mut world, 0, "UPDATE plants APPLY n INCREMENT BY 1 WHERE _id = 1");
    world.rest();
    world.peers[0].take_image(1);
    write(&mut world, 0, "UPDATE plants APPLY n INCREMENT BY 2 WHERE _id = 1");
    world.rest();
    world.end_process(0, Loss::Nothing);
    world.peers[0].restore(2);
    // Before anybody tells it that it was restored.
    world.sever(0, 1);
    world.start(0);
    write(&mut world, 0, "UPDATE plants APPLY n INCREMENT BY 4 WHERE _id = 1");
    write(&mut world, 2, "UPDATE plants APPLY n INCREMENT BY 8 WHERE _id = 1");
    world.join(0, 1);
    world.rest();
    agree(&world, &[r#"{"_id":1,"n":15}"#]);
}

#[test]
fn a_restored_image_that_meets_a_third_peer_first_ends_equal_with_all() {
    let mut world = World::scripted(7, 3, &[(0, 1), (0, 2), (1, 2)]);
    world.start_all(&[PLANTS]);
    world.sever(0, 2);
    world.sever(1, 2);
    write(&mut world, 0, "INSERT INTO plants DOCUMENTS ({'_id': 1, 'x': 1})");
    world.rest();
    world.peers[0].take_image(1);
    write(&mut world, 0, "UPDATE plants SET x = 2 WHERE _id = 1");
    write(&mut world, 0, "INSERT INTO plants DOCUMENTS ({'_id': 2})");
    world.rest();
    world.end_process(0, Loss::Nothing);
    world.peers[0].restore(2);
    world.sever(0, 1);
    world.start(0);
    write(&mut world, 0, "UPDATE plants SET y = 3 WHERE _id = 1");
    world.join(0, 2);
    world.rest();
    world.join(1, 2);
    world.rest();
    world.join(0, 1);
    world.rest();
    agree(&world, &[r#"{"_id":1,"x":2,"y":3}"#, r#"{"_id":2}"#]);
}

#[test]
fn whoever_walks_on_gets_a_document_whose_row_has_moved_behind_the_position() {
    let mut world = line(2);
    world.start_all(&[PLANTS]);
    write(&mut world, 0, "INSERT INTO plants DOCUMENTS ({'_id': 1, 'x': 1})");
    world.rest();
    world.sever(0, 1);
    for field in ["a", "b", "c"] {
        write(&mut world, 0, &format!("UPDATE plants SET {field} = 1 WHERE _id = 1"));
        world.rest();
        world.join(0, 1);
        world.until(world.now + 12);
        write(&mut world, 0, &format!("UPDATE plants SET {field} = 2 WHERE _id = 1"));
        world.until(world.now + 12);
        world.sever(0, 1);
    }
    world.join(0, 1);
    world.rest();
    agree(&world, &[r#"{"_id":1,"a":2,"b":2,"c":2,"x":1}"#]);
}

/// How the second of two peers hears of what the first has.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Walk,
    Listing,
    Reconciliation,
}

#[test]
fn both_sides_write_during_every_step_of_the_first_sync() {
    for way in [Way::Walk, Way::Listing, Way::Reconciliation] {
        let mut world = line(2);
        let all = 400;
        world.peers[0].sizes.listed_changes = if way == Way::Listing { 20 } else { 1_000 };
        world.peers[0].sizes.window_documents = 4;
        world.peers[0].sizes.first_window_documents = 4;
        world.peers[0].sizes.batch_documents = 4;
        let insert = |world: &mut World, peer, id: i32| {
            write(world, peer, &format!("INSERT INTO plants DOCUMENTS ({{'_id': {id}}})"));
        };
        if way != Way::Reconciliation {
            world.sever(0, 1);
        }
        world.start_all(&[PLANTS]);
        let before = 80;
        (0..before).for_each(|id| insert(&mut world, 0, id));
        if way == Way::Reconciliation {
            // They hold the same, and no checkpoint says so any more.
            world.rest();
            world.sever(0, 1);
            write(&mut world, 1, "EVICT FROM plants WHERE _id = 1");
        }
        world.join(0, 1);
        for id in before..all {
            insert(&mut world, id as usize % 2, id);
            world.until(world.now + 1);
        }
        world.rest();
        let done = world.peers[0].mechanisms();
        assert_eq!(done.listed > 0, way == Way::Listing, "{way:?}");
        assert_eq!(done.reconciled > 0, way == Way::Reconciliation, "{way:?}");
        let expected: Vec<String> = (0..all).map(|id| format!(r#"{{"_id":{id}}}"#)).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        agree(&world, &expected);
    }
}

#[test]
fn two_large_copies_that_merge_at_a_third_peer_travel_and_can_be_shrunk() {
    let shrink = "UPDATE plants UNSET a, b WHERE _id = 1";
    let delete = "DELETE FROM plants WHERE _id = 1";
    for (statement, left) in [(shrink, &[r#"{"_id":1}"#, r#"{"_id":2}"#][..]), (delete, &[r#"{"_id":2}"#])] {
        let mut world = line(3);
        world.start_all(&[PLANTS]);
        write(&mut world, 1, "INSERT INTO plants DOCUMENTS ({'_id': 1})");
        world.rest();
        world.sever(0, 1);
        world.sever(1, 2);
        let large = "x".repeat(3 * 1024 * 1024);
        write(&mut world, 0, &format!("UPDATE plants SET a = '{large}' WHERE _id = 1"));
        write(&mut world, 2, &format!("UPDATE plants SET b = '{large}' WHERE _id = 1"));
        world.join(0, 1);
        world.join(1, 2);
        write(&mut world, 0, "INSERT INTO plants DOCUMENTS ({'_id': 2})");
        world.rest();
        for peer in 0..3 {
            let lengths = "SELECT char_length(a) AS a, char_length(b) AS b FROM plants WHERE _id = 1";
            let expected = format!(r#"{{"a":{0},"b":{0}}}"#, large.len());
            assert_eq!(world.show(peer, lengths), [expected], "peer {peer}");
        }
        write(&mut world, 1, statement);
        world.rest();
        agree(&world, left);
    }
}

#[test]
fn a_large_document_on_a_narrow_line_holds_up_nobody() {
    let mut world = line(2);
    world.start_all(&[PLANTS]);
    // The large document, which does not become shorter by packing, takes a minute.
    world.links[0].quality.iter_mut().for_each(|quality| quality.bytes_per_ms = Some(50));
    let mut state = 1_u64;
    let noise = (0..3 * 1024 * 1024).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'0' + (state >> 58) as u8).to_string().replace(['\\', '\''], "-")
    });
    let noise: String = noise.collect();
    write(&mut world, 0, &format!("INSERT INTO plants DOCUMENTS ({{'_id': 0, 'rings': '{noise}'}})"));
    world.until(world.now + 5_000);
    for number in 1..=4 {
        write(&mut world, number % 2, &format!("INSERT INTO plants DOCUMENTS ({{'_id': {number}}})"));
        // What the line has taken already, a part, and the way.
        world.until(world.now + 10_000);
        let arrived = format!("SELECT _id FROM plants WHERE _id = {number}");
        assert_eq!(world.show(1 - number % 2, &arrived).len(), 1, "{number} waits");
        assert_eq!(world.show(1, "SELECT _id FROM plants WHERE _id = 0").len(), 0, "it is under way");
    }
    world.until(world.now + 120_000);
    assert_eq!(world.show(1, PLANTS), world.show(0, PLANTS));
    assert_eq!(world.show(1, PLANTS).len(), 5);
    assert_eq!(world.verdicts, Vec::<String>::new());
}

#[test]
fn many_peers_that_edit_one_document_cost_a_multiple_of_their_edits() {
    const PEERS: usize = 8;
    const ROUNDS: usize = 5;
    let edges: Vec<_> = (1..PEERS).map(|peer| (0, peer)).collect();
    let mut world = World::scripted(7, PEERS, &edges);
    world.start_all(&[PLANTS]);
    write(&mut world, 0, "INSERT INTO plants DOCUMENTS ({'_id': 1})");
    world.rest();
    let before = world.bytes();
    for round in 0..ROUNDS {
        for peer in 0..PEERS {
            write(&mut world, peer, &format!("UPDATE plants SET f{peer} = {round} WHERE _id = 1"));
        }
        world.rest();
    }
    let per_edit = (world.bytes() - before) / (PEERS * ROUNDS) as u64;
    // Each edit has to pass every link once, at up to 250 bytes with what is said about it; twice that is no storm.
    assert!(per_edit < 2 * 250 * edges.len() as u64, "{per_edit} bytes");
    assert_eq!(world.verdicts, Vec::<String>::new());
}

#[test]
fn a_position_does_not_pass_a_change_that_a_loss_of_power_brings_back() {
    let mut missed = 0;
    for seed in 0..20 {
        let mut world = World::scripted(seed, 2, &[(0, 1)]);
        world.start_all(&[PLANTS]);
        world.sever(0, 1);
        write(&mut world, 0, "INSERT INTO plants DOCUMENTS ({'_id': 1, 'x': 1})");
        world.rest();
        world.join(0, 1);
        world.until(world.now + 10);
        // Its row moves behind what is durable; the walk does not meet it.
        write(&mut world, 0, "UPDATE plants SET x = 2 WHERE _id = 1");
        world.until(world.now + 8);
        world.end_process(0, Loss::AllUnsynced);
        world.start(0);
        world.rest();
        missed += usize::from(world.show(0, PLANTS) != world.show(1, PLANTS));
    }
    assert_eq!(missed, 0);
}

/// Both ends of a line of three do something while they do not hear of each other.
fn apart(world: &mut World, at_0: &[&str], at_2: &[&str]) {
    world.sever(1, 2);
    at_0.iter().for_each(|statement| write(world, 0, statement));
    world.until(world.now + 1);
    at_2.iter().for_each(|statement| write(world, 2, statement));
    world.join(1, 2);
    world.rest();
}

/// How often it has said that it does not take a document.
fn refused(peer: &Peer) -> usize {
    let is_refusal = |event: &&Event| matches!(event, Event::DocumentRefused { .. });
    peer.events.iter().filter(is_refusal).count()
}

#[test]
fn what_one_peer_refuses_or_finds_too_large_holds_up_nobody() {
    let mut world = World::scripted(7, 3, &[(0, 1), (0, 2)]);
    world.peers[1].refuses = true;
    world.start_all(&[PLANTS]);
    world.write_what_is_refused(0).expect("the disk works");
    write(&mut world, 0, "INSERT INTO plants DOCUMENTS ({'_id': 'after'})");
    world.rest();
    let ids = |world: &World, peer| world.show(peer, "SELECT _id FROM plants");
    let taken = [r#"{"_id":"after"}"#, r#"{"_id":"taken-0-2"}"#];
    assert_eq!(ids(&world, 1), taken);
    assert_eq!(world.show(2, PLANTS), world.show(0, PLANTS));
    assert_eq!((refused(&world.peers[1]), refused(&world.peers[2])), (2, 0));
    // The walk has passed them, also after a restart, and they are told only when they change.
    world.end_process(1, Loss::Nothing);
    world.start(1);
    world.rest();
    let before = world.bytes();
    world.meet();
    assert!(world.bytes() - before < 2 * 1_024);
    assert_eq!(refused(&world.peers[1]), 2);
    write(&mut world, 0, "UPDATE plants SET light = 7 WHERE light IS NOT MISSING");
    world.rest();
    assert_eq!(ids(&world, 1), taken);
    assert_eq!(refused(&world.peers[1]), 4);
    assert_eq!(world.show(2, PLANTS), world.show(0, PLANTS));
    assert_eq!(world.verdicts, Vec::<String>::new());
}

#[test]
fn a_stale_copy_is_answered_by_who_has_a_newer_one_that_its_sender_has_passed() {
    for at_0 in [vec![Wish::plain(PLANTS)], vec![]] {
        let mut world = an_old_copy_behind_a_filter(0);
        // What it takes from 2 now it tells to 0 later, and nobody else can tell it what is newer.
        world.sever(0, 1);
        world.join(1, 2);
        world.rest();
        assert_eq!(world.show(1, PLANTS), [r#"{"_id":1,"light":1}"#, r#"{"_id":2,"light":1}"#]);
        world.sever(1, 2);
        world.end_process(0, Loss::Nothing);
        world.peers[0].wishes = at_0;
        world.start(0);
        world.join(0, 1);
        world.rest();
        for peer in [0, 1] {
            assert_eq!(world.show(peer, PLANTS), [r#"{"_id":2,"light":2}"#], "peer {peer}");
        }
        world.join(1, 2);
        world.rest();
        agree(&world, &[r#"{"_id":2,"light":2}"#]);
    }
}

#[test]
fn a_deletion_that_saw_one_of_two_inserts_leaves_the_other_whole() {
    let insert = |field: &str| {
        format!("INSERT INTO plants DOCUMENTS ({{'_id': 1, '{field}': 1, 'm': {{'{field}': 1}}}})")
    };
    // As a tombstone and as a grave, and whether the deletion or the other insert comes first to who has neither.
    for days in [0, 30] {
        for first in [1, 3] {
            let mut world = line(4);
            world.start_all(&[PLANTS]);
            world.sever(1, 2);
            world.sever(2, 3);
            write(&mut world, 0, &insert("seen"));
            write(&mut world, 3, &insert("unseen"));
            world.rest();
            write(&mut world, 1, "DELETE FROM plants WHERE _id = 1");
            write(&mut world, 3, "UPDATE plants SET light = 2 WHERE _id = 1");
            world.rest();
            world.pass_days(0, days);
            world.pass_days(1, days);
            world.join(first, 2);
            world.rest();
            world.join(4 - first, 2);
            world.rest();
            agree(&world, &[r#"{"_id":1,"light":2,"m":{"unseen":1},"unseen":1}"#]);
        }
    }
}

#[test]
fn what_was_written_by_a_clock_near_the_end_of_time_can_be_overwritten_everywhere() {
    const YEAR: i64 = 365 * 86_400_000;
    for years in [70, 3_900] {
        let mut world = line(3);
        world.peers[0].shift_clock(years * YEAR);
        world.start_all(&[PLANTS]);
        write(&mut world, 0, "INSERT INTO plants DOCUMENTS ({'_id': 1, 'x': 'far ahead'})");
        world.rest();
        write(&mut world, 2, "UPDATE plants SET x = 'now' WHERE _id = 1");
        write(&mut world, 2, "UPDATE plants SET y = 1 WHERE _id = 1");
        write(&mut world, 2, "INSERT INTO plants DOCUMENTS ({'_id': 2})");
        world.rest();
        agree(&world, &[r#"{"_id":1,"x":"now","y":1}"#, r#"{"_id":2}"#]);
        write(&mut world, 1, "UPDATE plants UNSET x WHERE _id = 1");
        world.rest();
        write(&mut world, 2, "DELETE FROM plants WHERE _id = 1");
        world.rest();
        agree(&world, &[r#"{"_id":2}"#]);
    }
}

#[test]
fn increments_at_both_ends_add_up_and_go_with_a_generation_that_was_removed_or_restarted() {
    let shown = |n: &str| format!(r#"{{"_id":1,"m":{{{n}}}}}"#);
    let count = |by: i64| format!("UPDATE plants APPLY m.n INCREMENT BY {by} WHERE _id = 1");
    let mut world = line(3);
    world.start_all(&[PLANTS]);
    write(&mut world, 1, "INSERT INTO plants DOCUMENTS ({'_id': 1, 'm': {}})");
    world.rest();
    apart(&mut world, &[&count(1)], &[&count(10)]);
    agree(&world, &[&shown(r#""n":11"#)]);
    apart(&mut world, &["UPDATE plants UNSET m.n WHERE _id = 1"], &[&count(100)]);
    agree(&world, &[&shown("")]);
    apart(&mut world, &[&count(1)], &[&count(10)]);
    agree(&world, &[&shown(r#""n":11"#)]);
    apart(&mut world, &["UPDATE plants APPLY m.n RESTART WITH 1000 WHERE _id = 1"], &[&count(100)]);
    agree(&world, &[&shown(r#""n":1000"#)]);
    // Of a map that is removed at both ends the counter is one, in which both go on.
    let unset = "UPDATE plants UNSET m WHERE _id = 1";
    apart(&mut world, &[unset, &count(1)], &[unset, &count(10)]);
    agree(&world, &[&shown(r#""n":11"#)]);
}

#[test]
fn kinds_that_change_at_both_ends_hide_no_write_that_came_after() {
    let mut world = line(3);
    world.start_all(&[PLANTS]);
    write(&mut world, 1, "INSERT INTO plants DOCUMENTS ({'_id': 1, 'm': {'a': 1}, 'r': 1})");
    world.rest();
    apart(
        &mut world,
        &["UPDATE plants UNSET m.a WHERE _id = 1", "UPDATE plants SET r = {'b': 2} WHERE _id = 1"],
        &["UPDATE plants SET m.c = 3 WHERE _id = 1", "UPDATE plants SET r = 4 WHERE _id = 1"],
    );
    agree(&world, &[r#"{"_id":1,"m":{"c":3},"r":4}"#]);
    apart(
        &mut world,
        &["UPDATE plants SET m = 5 WHERE _id = 1"],
        &["UPDATE plants SET m = {} WHERE _id = 1", "UPDATE plants UNSET r WHERE _id = 1"],
    );
    agree(&world, &[r#"{"_id":1,"m":{"c":3}}"#]);
    write(&mut world, 0, "UPDATE plants SET m.d = 6 WHERE _id = 1");
    world.rest();
    agree(&world, &[r#"{"_id":1,"m":{"c":3,"d":6}}"#]);
}

#[test]
fn initial_documents_of_two_builds_are_one_and_stay_deleted_after_the_burial() {
    let mut world = line(3);
    world.start_all(&[PLANTS]);
    apart(
        &mut world,
        &["INSERT INTO plants INITIAL DOCUMENTS ({'_id': 1, 'build': 2})"],
        &["INSERT INTO plants INITIAL DOCUMENTS ({'_id': 1, 'build': 1})"],
    );
    agree(&world, &[r#"{"_id":1,"build":2}"#]);
    write(&mut world, 1, "DELETE FROM plants WHERE _id = 1");
    world.rest();
    for peer in 0..3 {
        assert_eq!(world.pass_days(peer, 30), 1);
    }
    for peer in [0, 2] {
        let statement = "INSERT INTO plants INITIAL DOCUMENTS ({'_id': 1, 'build': 3})";
        world.write(peer, statement).expect("the disk works");
    }
    world.meet();
    agree(&world, &[]);
}

#[test]
fn a_deletion_that_is_under_way_while_its_document_is_evicted_wins() {
    for days in [0, 30] {
        for delay in 0..40 {
            let mut world = line(3);
            world.tardiness = 40;
            world.start_all(&[PLANTS]);
            write(&mut world, 0, "INSERT INTO plants DOCUMENTS ({'_id': 1})");
            world.rest();
            write(&mut world, 0, "DELETE FROM plants WHERE _id = 1");
            world.until(world.now + delay);
            // It may be deleted here already.
            world.write(1, "EVICT FROM plants WHERE _id = 1").expect("the disk works");
            world.rest();
            (0..3).for_each(|peer| {
                world.pass_days(peer, days);
            });
            world.meet();
            agree(&world, &[]);
        }
    }
}

#[test]
fn a_deletion_that_is_buried_while_the_document_is_under_way_wins() {
    let mut world = line(3);
    world.peers[0].wishes = vec![Wish::plain(PLANTS)];
    world.peers[1].wishes = vec![Wish::plain(PLANTS)];
    world.peers[2].wishes = vec![Wish::plain("SELECT * FROM plants WHERE light = 1")];
    (0..3).for_each(|peer| world.start(peer));
    for id in 1..=2 {
        write(
            &mut world,
            1,
            &format!("INSERT INTO plants DOCUMENTS ({{'_id': {id}, 'light': 2, 'name': 'fern'}})"),
        );
    }
    world.rest();
    world.sever(1, 2);
    world.join(1, 2);
    world.rest();
    world.links[1].quality = [Quality { latency: 500, ..Quality::GOOD }; 2];
    // 2 asks for the rest of one of them after the other, and what comes after them waits.
    for id in 1..=2 {
        write(&mut world, 1, &format!("UPDATE plants SET light = 1 WHERE _id = {id}"));
        world.until(world.now + 60);
    }
    write(&mut world, 0, "INSERT INTO plants DOCUMENTS ({'_id': 3, 'light': 1})");
    world.until(world.now + 60);
    // Only 2 knows whether it has anything of this; so 1 tells nothing else until it says so.
    write(&mut world, 1, "INSERT INTO plants DOCUMENTS ({'_id': 4, 'light': 2})");
    world.until(world.now + 60);
    write(&mut world, 0, "DELETE FROM plants WHERE _id = 3");
    world.until(world.now + 60);
    assert_eq!(world.pass_days(1, 30), 1);
    assert_eq!(world.show(2, PLANTS), [""; 0], "it waits");
    world.rest();
    assert_eq!(
        world.show(2, PLANTS),
        [r#"{"_id":1,"light":1,"name":"fern"}"#, r#"{"_id":2,"light":1,"name":"fern"}"#]
    );
}

#[test]
fn an_eviction_keeps_what_nobody_else_has() {
    let mut world = line(2);
    world.start_all(&[PLANTS]);
    write(&mut world, 0, "INSERT INTO plants DOCUMENTS ({'_id': 1})");
    world.rest();
    world.sever(0, 1);
    write(&mut world, 1, "UPDATE plants SET x = 1 WHERE _id = 1");
    assert!(!world.write(1, "EVICT FROM plants WHERE _id = 1").expect("the disk works"));
    write(&mut world, 0, "UPDATE plants SET y = 2 WHERE _id = 1");
    world.join(0, 1);
    world.rest();
    agree(&world, &[r#"{"_id":1,"x":1,"y":2}"#]);
    write(&mut world, 1, "EVICT FROM plants WHERE _id = 1");
    world.rest();
    agree(&world, &[r#"{"_id":1,"x":1,"y":2}"#]);
}

#[test]
fn nothing_is_passed_by_while_a_collection_stays_at_home() {
    for away in [false, true] {
        for keeps in 0..3 {
            let mut world = line(3);
            world.scoped = true;
            world.stormy = true;
            world.start_all(&[PLANTS]);
            write(&mut world, 0, "INSERT INTO plants DOCUMENTS ({'_id': 1})");
            world.rest();
            let scope = "ALTER SYSTEM SET USER_COLLECTION_SYNC_SCOPES = {'plants': 'LocalPeerOnly'}";
            world.write(keeps, scope).expect("the disk works");
            if away {
                world.sever(0, 1);
            }
            for peer in 0..3 {
                write(&mut world, peer, &format!("INSERT INTO plants DOCUMENTS ({{'_id': {}}})", 2 + peer));
                world.until(world.now + 20);
            }
            world.join(0, 1);
            world.rest();
            let reset = "ALTER SYSTEM RESET USER_COLLECTION_SYNC_SCOPES";
            world.write(keeps, reset).expect("the disk works");
            world.scoped = false;
            world.stormy = false;
            world.meet();
            agree(&world, &[r#"{"_id":1}"#, r#"{"_id":2}"#, r#"{"_id":3}"#, r#"{"_id":4}"#]);
        }
    }
}

#[test]
fn increments_of_two_machines_with_one_key_add_up() {
    const ROUNDS: usize = 4;
    let mut world = World::scripted(7, 3, &[(0, 1), (1, 2)]);
    world.sever(1, 2);
    world.start_all(&[PLANTS]);
    write(&mut world, 0, "INSERT INTO plants DOCUMENTS ({'_id': 1})");
    world.rest();
    world.end_process(2, Loss::Nothing);
    world.peers[2] = Peer::clone_of(&world.peers[0], 2, 9);
    world.peers[0].forked = true;
    world.start(2);
    for _ in 0..ROUNDS {
        for (one, other) in [(0, 2), (2, 0)] {
            world.sever(1, other);
            world.join(1, one);
            world.rest();
            write(&mut world, one, "UPDATE plants APPLY n INCREMENT BY 1 WHERE _id = 1");
            world.rest();
        }
    }
    world.sever(1, 0);
    world.join(1, 2);
    world.rest();
    world.sever(1, 2);
    world.join(1, 0);
    world.rest();
    agree(&world, &[&format!(r#"{{"_id":1,"n":{}}}"#, 2 * ROUNDS)]);
}

#[test]
fn a_change_that_is_under_way_while_its_document_is_evicted_shows_no_half_of_it() {
    for delay in 0..60 {
        let mut world = World::scripted(delay, 2, &[(0, 1)]);
        world.tardiness = 40;
        world.start_all(&[PLANTS]);
        write(
            &mut world,
            0,
            "INSERT INTO plants DOCUMENTS ({'_id': 'keep-0-1', 'light': 1, 'name': 'fern'})",
        );
        world.rest();
        write(&mut world, 0, "UPDATE plants SET height = 1 WHERE _id = 'keep-0-1'");
        world.until(world.now + delay);
        write(&mut world, 1, "EVICT FROM plants WHERE _id = 'keep-0-1'");
        world.rest();
        agree(&world, &[r#"{"_id":"keep-0-1","height":1,"light":1,"name":"fern"}"#]);
    }
}

#[test]
fn who_has_everything_from_others_does_not_wait_for_a_peer_that_never_returns() {
    let mut world = World::scripted(7, 4, &[(0, 1), (0, 2), (1, 2), (1, 3)]);
    world.sever(0, 1);
    world.sever(1, 2);
    world.start_all(&[PLANTS]);
    for id in 0..1_000 {
        write(&mut world, 0, &format!("INSERT INTO plants DOCUMENTS ({{'_id': {id}}})"));
    }
    world.rest();
    assert_eq!(world.show(2, PLANTS).len(), 1_000);
    world.join(0, 1);
    let end = world.now + 10_000;
    while !world.peers[1].is_torn() && world.now < end {
        world.until(world.now + 1);
    }
    assert!(world.peers[1].is_torn(), "it is in the middle of a backlog");
    world.sever(0, 1);
    world.sever(0, 2);
    world.end_process(0, Loss::Nothing);
    world.join(1, 2);
    world.meet();
    for peer in 1..4 {
        assert_eq!(world.show(peer, PLANTS).len(), 1_000, "peer {peer}");
        assert!(!world.peers[peer].is_torn(), "peer {peer} is still catching up");
    }
}

#[test]
fn a_member_that_lies_ends_no_session_but_its_own_and_the_others_end_equal() {
    const LIES: &str = "SELECT * FROM lies";
    let (mut lies, mut found_out) = (0, 0);
    for seed in 0..20 {
        let mut world = line(3);
        world.admit_intruder(seed);
        world.start_all(&[PLANTS, LIES]);
        world.stormy = true;
        world.let_intruder_in();
        for number in 0..60 {
            let peer = number % 3;
            write(&mut world, peer, &format!("INSERT INTO plants DOCUMENTS ({{'_id': {}}})", 100 + number));
            let own = format!("INSERT INTO lies DOCUMENTS ({{'_id': {}}})", 100 + number);
            write(&mut world, peer, &own);
            world.until(world.now + 500);
        }
        world.stormy = false;
        world.shut_intruder_out();
        world.rest();
        let plants: Vec<String> = (100..160).map(|id| format!(r#"{{"_id":{id}}}"#)).collect();
        agree(&world, &plants.iter().map(String::as_str).collect::<Vec<_>>());
        let shown = world.show(0, LIES);
        assert!((100..160).all(|id| shown.iter().any(|row| row.contains(&format!(r#""_id":{id}"#)))));
        let mut verdicts = Vec::new();
        coverage::equality(&world, &mut verdicts);
        leaks::of_the_intruder(&world, &mut verdicts);
        assert_eq!(verdicts, Vec::<String>::new(), "seed {seed}");
        assert_eq!(world.meetings, 2, "seed {seed}: no session of honest peers has ended");
        let count = |incident: Incident| world.tally.get(incident.name()).copied().unwrap_or(0);
        lies += count(Incident::Lie);
        found_out += count(Incident::FoundOut);
    }
    assert!(lies > 100 && found_out > 20, "{lies} lies, {found_out} times found out");
}
