//! Who has a link to whom.

use std::collections::{BTreeSet, VecDeque};

use crate::random::Random;

/// The form of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// 0 – 1 – 2 – …
    Line,
    /// A line whose ends are joined.
    Ring,
    /// Everybody has a link to 0.
    Star,
    /// Everybody has a link to an earlier one.
    Tree,
    /// A tree with some links more.
    Random,
    /// Everybody has a link to everybody.
    Full,
}

/// The largest network in which everybody has a link to everybody.
const LARGEST_FULL: usize = 6;

impl Shape {
    /// A form that suits so many peers.
    pub fn draw(random: &mut Random, peers: usize) -> Self {
        let all = [Self::Line, Self::Ring, Self::Star, Self::Tree, Self::Random, Self::Full];
        let choices = if peers > LARGEST_FULL { all.len() - 1 } else { all.len() };
        *random.choose(all.get(..choices).unwrap_or(&all))
    }

    /// Pairs of peers, the smaller number first, no pair twice; all peers are joined.
    pub fn edges(self, random: &mut Random, peers: usize) -> Vec<(usize, usize)> {
        let mut edges = BTreeSet::new();
        let mut join = |a: usize, b: usize| {
            if a != b {
                edges.insert((a.min(b), a.max(b)));
            }
        };
        let mut earlier = |of: usize| usize::try_from(random.below(of as u64)).unwrap_or(0);
        for peer in 1..peers {
            match self {
                Self::Line | Self::Ring => join(peer - 1, peer),
                Self::Star => join(0, peer),
                Self::Tree | Self::Random => join(earlier(peer), peer),
                Self::Full => (0..peer).for_each(|other| join(other, peer)),
            }
        }
        match self {
            Self::Ring => join(0, peers - 1),
            Self::Random => (0..peers).for_each(|peer| join(earlier(peers), peer)),
            _ => {}
        }
        edges.into_iter().collect()
    }
}

/// The greatest number of links between two peers, along the shortest way.
#[must_use]
pub fn diameter(peers: usize, edges: &[(usize, usize)]) -> u64 {
    let mut neighbours = vec![Vec::new(); peers];
    for (a, b) in edges {
        neighbours[*a].push(*b);
        neighbours[*b].push(*a);
    }
    let farthest = |from: usize| {
        let mut distance = vec![None; peers];
        distance[from] = Some(0);
        let mut queue = VecDeque::from([(from, 0)]);
        let mut last = 0;
        while let Some((peer, steps)) = queue.pop_front() {
            last = steps;
            for next in &neighbours[peer] {
                if distance[*next].is_none() {
                    distance[*next] = Some(steps + 1);
                    queue.push_back((*next, steps + 1));
                }
            }
        }
        last
    };
    (0..peers).map(farthest).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_joins_all_peers() {
        let mut random = Random::new(1);
        for peers in 2..20 {
            for shape in [Shape::Line, Shape::Ring, Shape::Star, Shape::Tree, Shape::Random, Shape::Full] {
                let edges = shape.edges(&mut random, peers);
                let mut reached = BTreeSet::from([0]);
                for _ in 0..peers {
                    for (a, b) in &edges {
                        if reached.contains(a) || reached.contains(b) {
                            reached.extend([*a, *b]);
                        }
                    }
                }
                assert_eq!(reached.len(), peers, "{shape:?}");
            }
        }
    }

    #[test]
    fn the_diameter_of_known_forms() {
        let mut random = Random::new(1);
        let mut of = |shape: Shape, peers: usize| diameter(peers, &shape.edges(&mut random, peers));
        assert_eq!(of(Shape::Line, 10), 9);
        assert_eq!(of(Shape::Ring, 10), 5);
        assert_eq!(of(Shape::Star, 10), 2);
        assert_eq!(of(Shape::Full, 5), 1);
        assert_eq!(of(Shape::Line, 2), 1);
    }
}
