//! Prints the table of `docs/protocol.md`: what two peers without checkpoints send each other, both ways, until they are
//! equal. The same on every machine. `cargo bench -p ditto-replication --bench reconciliation` takes a few minutes.

#![allow(clippy::expect_used, clippy::panic, reason = "a benchmark fails by panicking")]

#[allow(dead_code, reason = "it serves the tests, too")]
#[path = "../tests/replication/model/mod.rs"]
mod model;
#[allow(dead_code, reason = "it serves the tests, too")]
#[path = "../tests/replication/net.rs"]
mod net;
#[allow(dead_code, reason = "it serves the tests, too")]
#[path = "../tests/replication/twins.rs"]
mod twins;

use twins::{Spread, cost, cost_in_ranges};

fn main() {
    println!("| documents | differences | clustered | scattered | walk from 0 |");
    println!("| ---: | ---: | ---: | ---: | ---: |");
    for documents in [100, 10_000, 100_000] {
        for differences in [0, 1, 10, 100, 1_000] {
            if differences > documents {
                continue;
            }
            let [clustered, scattered] = [Spread::Clustered, Spread::Scattered]
                .map(|spread| cost(documents, differences, spread, false).bytes);
            let walk = cost(documents, differences, Spread::Scattered, true).bytes;
            println!("| {documents} | {differences} | {clustered} | {scattered} | {walk} |");
        }
    }
    println!();
    println!("| documents | at once | differences | ranges | scattered |");
    println!("| ---: | ---: | ---: | ---: | ---: |");
    for at_once in [100_000, 60_000, 15_000, 2_000] {
        for differences in [0, 1_000] {
            let cost = cost_in_ranges(100_000, differences, at_once);
            println!("| 100000 | {at_once} | {differences} | {} | {} |", cost.ranges / 2, cost.bytes);
        }
    }
}
