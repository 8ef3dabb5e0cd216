//! Worlds in which nothing happens by itself: a test says what does.

use ditto_store::StoreError;
use ditto_value::Object;

use crate::peer::Wish;
use crate::world::{PEACE_MS, World};

impl World {
    /// Starts all peers, each with these subscriptions.
    pub fn start_all(&mut self, queries: &[&str]) {
        for peer in 0..self.peers.len() {
            self.peers[peer].wishes = queries.iter().map(|query| Wish::plain(query)).collect();
            self.start(peer);
        }
        self.rest();
    }

    /// Waits until nothing moves.
    pub fn rest(&mut self) {
        self.until(self.now + PEACE_MS);
    }

    /// Executes a statement without arguments; whether it changed something.
    ///
    /// # Errors
    /// Those of the store.
    pub fn write(&mut self, peer: usize, statement: &str) -> Result<bool, StoreError> {
        let changed = self.execute(peer, statement, &Object::default())?;
        self.pump(peer);
        Ok(changed)
    }

    /// The link between two peers ends, and cannot come back.
    pub fn sever(&mut self, a: usize, b: usize) {
        for link in self.links_of(a) {
            if self.links[link].ends.contains(&b) {
                self.links[link].severed = true;
                self.end_link(link);
            }
        }
    }

    /// The link between two peers comes up.
    pub fn join(&mut self, a: usize, b: usize) {
        for link in self.links_of(a) {
            if self.links[link].ends.contains(&b) {
                self.links[link].severed = false;
                self.connect_soon(link);
            }
        }
    }

    /// What a query shows at a peer, row by row as JSON.
    #[must_use]
    pub fn show(&self, peer: usize, query: &str) -> Vec<String> {
        self.peers[peer].rows(query, &Object::default()).iter().map(ditto_value::Value::to_json).collect()
    }
}
