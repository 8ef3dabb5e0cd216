//! Coded symbols: a description of a set from which another set of almost the same items finds the difference.
//!
//! A *rateless invertible Bloom lookup table* ("Practical Rateless Set Reconciliation", Yang, Gilad, Alizadeh, 2024,
//! arXiv:2402.02668). Every set has one endless sequence of symbols. An item is part of symbol *i* with probability
//! 1 / (1 + *i* / 2), chosen by the item alone, so that it is part of the same symbols on both sides, and the
//! difference of two sequences is the sequence of the difference of the sets. A symbol with one item gives it away;
//! taken out of all others it leaves more of them with one. For *d* differences the first 1.35 *d* to 1.7 *d* symbols
//! are enough, wherever the differences are, and however many items there are. Symbol 0 holds all items: it says at
//! once whether the sets are equal.
//!
//! Items are hashes that nobody could choose, so they are their own source of randomness.

use std::collections::HashSet;

use crate::wire::{DecodeError, Fields, Writer};

/// The exclusive or of some items and of their checks, and how many they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Symbol {
    sum: u128,
    check: u32,
    /// In a difference: ours less theirs.
    count: i64,
}

impl Symbol {
    fn add(&mut self, item: u128, check: u32, count: i64) {
        self.sum ^= item;
        self.check ^= check;
        self.count = self.count.wrapping_add(count);
    }

    fn minus(self, other: Self) -> Self {
        Self {
            sum: self.sum ^ other.sum,
            check: self.check ^ other.check,
            count: self.count.wrapping_sub(other.count),
        }
    }

    /// Whether it seems to hold one item. Wrong once in 2^32, which the decoder survives.
    fn is_single(&self) -> bool {
        (self.count == 1 || self.count == -1) && self.check == check(self.sum)
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A mixture of all bits (the finalizer of SplitMix64).
fn mix(value: u64) -> u64 {
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// What tells an item from the exclusive or of several.
fn check(item: u128) -> u32 {
    let mixed = mix((item as u64).wrapping_add(mix((item >> 64) as u64 ^ STEP)));
    (mixed >> 32) as u32
}

/// The numbers below `end` of the symbols that an item is part of, ascending from 0.
fn places(item: u128, end: usize) -> impl Iterator<Item = usize> {
    let mut state = item as u64 ^ (item >> 64) as u64;
    let first = Some(0).filter(|first| *first < end);
    std::iter::successors(first, move |last| {
        state = state.wrapping_add(STEP);
        // In (0, 1]; 53 bits, so that every machine calculates the same.
        let chance = ((mix(state) >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        // The item is in none of the next `skip` - 1 symbols with a probability of ((last + 1.5) / (last + 1.5 + skip))².
        let skip = ((*last as f64 + 1.5) * (1.0 / chance.sqrt() - 1.0)).ceil();
        Some(last.saturating_add((skip as usize).max(1))).filter(|next| *next < end)
    })
}

/// A stretch of the symbols of a set, while the items are added to it.
#[derive(Debug)]
pub(crate) struct Stretch {
    first: usize,
    symbols: Vec<Symbol>,
}

impl Stretch {
    /// Symbols `first` to `end` (exclusive) of the empty set.
    pub(crate) fn new(first: usize, end: usize) -> Self {
        Self { first, symbols: vec![Symbol::default(); end.saturating_sub(first)] }
    }

    fn end(&self) -> usize {
        self.first + self.symbols.len()
    }

    /// Takes time proportional to the logarithm of the end of the stretch.
    pub(crate) fn add(&mut self, item: u128) {
        self.add_times(item, 1);
    }

    fn add_times(&mut self, item: u128, count: i64) {
        let check = check(item);
        for place in places(item, self.end()) {
            let symbol = place.checked_sub(self.first).and_then(|at| self.symbols.get_mut(at));
            if let Some(symbol) = symbol {
                symbol.add(item, check, count);
            }
        }
    }

    pub(crate) fn finish(self) -> Vec<Symbol> {
        self.symbols
    }
}

/// How many of `documents` items symbol `index` holds on average. The count of a symbol travels as its distance to that.
fn expected(index: usize, documents: u64) -> i64 {
    (2 * documents / (2 + index as u64)) as i64
}

/// The byte form of the symbols from number `first` on, of a set of so many items: of each, the sum in 16 bytes, the
/// check in 4, and the count, nearly always in 1 or 2.
pub(crate) fn encode(symbols: &[Symbol], first: usize, documents: u64) -> Vec<u8> {
    let mut out = Writer::default();
    for (index, symbol) in symbols.iter().enumerate() {
        out.0.extend_from_slice(&symbol.sum.to_le_bytes());
        out.0.extend_from_slice(&symbol.check.to_le_bytes());
        let distance = symbol.count.wrapping_sub(expected(first + index, documents));
        out.varint((distance << 1 ^ distance >> 63) as u64);
    }
    out.0
}

/// Reads what [`encode`] wrote, at most `limit` symbols.
pub(crate) fn decode(
    bytes: &[u8],
    first: usize,
    documents: u64,
    limit: usize,
) -> Result<Vec<Symbol>, DecodeError> {
    let mut symbols = Vec::new();
    let mut fields = Fields(bytes);
    while !fields.0.is_empty() {
        if symbols.len() >= limit {
            return Err(DecodeError::Limit("symbols"));
        }
        let (sum, rest) = fields.0.split_first_chunk().ok_or(DecodeError::Truncated)?;
        let (check, rest) = rest.split_first_chunk().ok_or(DecodeError::Truncated)?;
        fields.0 = rest;
        let zigzag = fields.varint()?;
        let distance = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
        symbols.push(Symbol {
            sum: u128::from_le_bytes(*sum),
            check: u32::from_le_bytes(*check),
            count: distance.wrapping_add(expected(first + symbols.len(), documents)),
        });
    }
    Ok(symbols)
}

/// The symbols are not those of any difference, or chance has played a trick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inconsistent;

/// Finds the difference between our set and theirs.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// Ours less theirs, less what was found.
    rest: Vec<Symbol>,
    /// Numbers of symbols that may hold one item.
    candidates: Vec<usize>,
    found: HashSet<u128>,
    /// Items that they lack.
    pub(crate) ours: Vec<u128>,
    /// Items that we lack.
    pub(crate) theirs: Vec<u128>,
}

impl Decoder {
    /// How many symbols it has.
    pub(crate) fn len(&self) -> usize {
        self.rest.len()
    }

    /// Takes the next symbols of both sides, equally many.
    pub(crate) fn extend(&mut self, ours: &[Symbol], theirs: &[Symbol]) {
        let first = self.rest.len();
        let symbols = ours.iter().zip(theirs).map(|(ours, theirs)| ours.minus(*theirs)).collect();
        let mut stretch = Stretch { first, symbols };
        self.ours.iter().for_each(|item| stretch.add_times(*item, -1));
        self.theirs.iter().for_each(|item| stretch.add_times(*item, 1));
        self.rest.extend(stretch.finish());
        self.candidates.extend(first..self.rest.len());
    }

    /// Takes out what can be found, at most `limit` items; returns whether there may be more to find without further
    /// symbols.
    pub(crate) fn peel(&mut self, limit: usize) -> Result<bool, Inconsistent> {
        let mut left = limit;
        while let Some(index) = self.candidates.pop() {
            let Some(Symbol { sum: item, check, count }) =
                self.rest.get(index).copied().filter(Symbol::is_single)
            else {
                continue;
            };
            if left == 0 {
                self.candidates.push(index);
                return Ok(true);
            }
            left -= 1;
            // Nothing is found twice, and never more than there are symbols.
            if !self.found.insert(item) || self.found.len() > self.rest.len() {
                return Err(Inconsistent);
            }
            let mut belongs = false;
            for place in places(item, self.rest.len()) {
                belongs |= place == index;
                if let Some(symbol) = self.rest.get_mut(place) {
                    symbol.add(item, check, -count);
                    if symbol.is_single() {
                        self.candidates.push(place);
                    }
                }
            }
            if !belongs {
                return Err(Inconsistent);
            }
            if count == 1 { self.ours.push(item) } else { self.theirs.push(item) }
        }
        Ok(false)
    }

    /// Whether the whole difference is found; to be asked when [`Self::peel`] has come to its end.
    pub(crate) fn is_complete(&self) -> Result<bool, Inconsistent> {
        if !self.rest.first().is_some_and(Symbol::is_empty) {
            return Ok(false);
        }
        if self.rest.iter().all(Symbol::is_empty) { Ok(true) } else { Err(Inconsistent) }
    }

    /// About how many differences there are, the found ones included. With *k* symbols it is off by a factor of
    /// 1 + (2 / *k*)^½ or so.
    pub(crate) fn estimate(&self) -> u64 {
        // Of d items that are left, symbol i holds each with probability p, as ours (+1) or theirs (-1): its count
        // varies by d · p · (1 - p) around p times their sum, which symbol 0 tells. The exact p follows from
        // `places`: the sum over all symbols before of the probability that the next place after it is this one.
        let total = self.rest.first().map_or(0, |symbol| symbol.count) as f64;
        let (mut squares, mut weights) = (0.0, 0.0);
        let mut before = 1.5_f64.powi(2);
        for (index, symbol) in self.rest.iter().enumerate().skip(1) {
            let index = index as f64;
            let p = before * ((index + 0.5).powi(-2) - (index + 1.5).powi(-2));
            before += p * (index + 1.5).powi(2);
            squares += (symbol.count as f64 - p * total).powi(2);
            weights += p * (1.0 - p);
        }
        let left = if weights > 0.0 { squares / weights } else { 0.0 };
        // Neither fewer than the counts differ by …
        let left = left.max(total.abs());
        (self.found.len() as u64).saturating_add(left as u64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn item(number: u64) -> u128 {
        crate::known::first_16(blake3::hash(&number.to_le_bytes()).as_bytes())
    }

    fn symbols(items: &[u128], first: usize, end: usize) -> Vec<Symbol> {
        let mut stretch = Stretch::new(first, end);
        items.iter().for_each(|item| stretch.add(*item));
        stretch.finish()
    }

    /// The difference in sorted order, and how many symbols it took.
    fn difference(ours: &[u128], theirs: &[u128], step: usize) -> (Vec<u128>, Vec<u128>, usize) {
        let mut decoder = Decoder::default();
        loop {
            let (first, end) = (decoder.len(), decoder.len() + step);
            let travelled = encode(&symbols(theirs, first, end), first, theirs.len() as u64);
            let arrived = decode(&travelled, first, theirs.len() as u64, step).expect("it is well-formed");
            decoder.extend(&symbols(ours, first, end), &arrived);
            while decoder.peel(7).expect("it is consistent") {}
            if decoder.is_complete().expect("it is consistent") {
                break;
            }
            assert!(decoder.len() < 100 + 10 * (ours.len() + theirs.len()), "it does not end");
        }
        let (mut left, mut right) = (decoder.ours.clone(), decoder.theirs.clone());
        left.sort_unstable();
        right.sort_unstable();
        (left, right, decoder.len())
    }

    fn sorted(items: impl Iterator<Item = u64>) -> Vec<u128> {
        let mut items: Vec<u128> = items.map(item).collect();
        items.sort_unstable();
        items
    }

    proptest! {
        #[test]
        fn the_difference_of_any_two_sets_is_found(
            both in prop::collection::hash_set(0..10_000_u64, 0..300),
            ours in prop::collection::hash_set(10_000..20_000_u64, 0..200),
            theirs in prop::collection::hash_set(20_000..30_000_u64, 0..200),
            step in 1..40_usize,
        ) {
            let left: Vec<u128> = both.iter().chain(&ours).map(|number| item(*number)).collect();
            let right: Vec<u128> = both.iter().chain(&theirs).map(|number| item(*number)).collect();
            let (found_left, found_right, _) = difference(&left, &right, step);
            prop_assert_eq!(found_left, sorted(ours.into_iter()));
            prop_assert_eq!(found_right, sorted(theirs.into_iter()));
        }

        #[test]
        fn symbols_of_nobody_are_inconsistent_or_never_complete(
            bytes in prop::collection::vec(any::<[u8; 21]>(), 1..60),
            honest in any::<bool>(),
        ) {
            let mut bytes = bytes.concat();
            // Counts are made to be one byte.
            bytes.iter_mut().skip(20).step_by(21).for_each(|byte| *byte &= 3);
            let theirs = decode(&bytes, 0, 0, 60).expect("it is well-formed");
            let ours = if honest { symbols(&[item(1)], 0, theirs.len()) } else { theirs.clone() };
            let mut decoder = Decoder::default();
            decoder.extend(&ours, &theirs);
            let mut rounds = 0;
            while decoder.peel(1) == Ok(true) {
                rounds += 1;
                prop_assert!(rounds <= theirs.len());
            }
            prop_assert_eq!(decoder.is_complete() == Ok(true), !honest);
        }
    }

    #[test]
    fn equal_sets_are_known_by_the_first_symbol() {
        let items: Vec<u128> = (0..1_000).map(item).collect();
        assert_eq!(difference(&items, &items, 1), (Vec::new(), Vec::new(), 1));
        assert_eq!(difference(&[], &[], 1).2, 1);
        assert_eq!(difference(&items[1..], &items, 1).2, 1, "one difference as well");
    }

    #[test]
    fn the_symbols_that_it_takes_are_few() {
        let items: Vec<u128> = (0..12_000).map(item).collect();
        for (differences, most) in [(10, 3.0), (100, 2.0), (1_000, 1.6), (10_000, 1.45)] {
            let (_, _, took) = difference(
                &items[differences / 2..],
                &items[..12_000 - differences / 2],
                1 + differences / 20,
            );
            let took = took as f64 / (differences as f64);
            assert!(took < most, "{took} symbols a difference for {differences}");
        }
    }

    #[test]
    fn a_few_symbols_tell_how_many_differences_there_are() {
        for differences in [100, 1_000, 10_000] {
            for ours in [0, differences / 2, differences] {
                let items: Vec<u128> = (0..differences as u64).map(item).collect();
                let (left, right) = items.split_at(ours);
                let mut decoder = Decoder::default();
                decoder.extend(&symbols(left, 0, 256), &symbols(right, 0, 256));
                let estimate = decoder.estimate() as usize;
                assert!(estimate.abs_diff(differences) < differences / 3, "{estimate} for {differences}");
            }
        }
    }

    #[test]
    fn a_symbol_holds_the_share_of_the_items_that_is_expected() {
        let items: Vec<u128> = (0..10_000).map(item).collect();
        for (index, symbol) in symbols(&items, 0, 200).iter().enumerate() {
            let share = 10_000.0 / (1.0 + index as f64 / 2.0);
            let distance = (symbol.count as f64 - share).abs();
            assert!(distance < 4.0 * share.sqrt() + share / 20.0, "symbol {index} has {}", symbol.count);
        }
    }

    #[test]
    fn a_count_is_one_or_two_bytes() {
        let items: Vec<u128> = (0..10_000).map(item).collect();
        let bytes = encode(&symbols(&items, 0, 500), 0, items.len() as u64);
        assert!(bytes.len() < 500 * 22, "{} bytes", bytes.len());
    }

    #[test]
    fn an_item_in_a_symbol_that_it_is_no_part_of_is_a_lie() {
        let mut theirs = vec![Symbol::default(); 50];
        let elsewhere = (1..50).find(|index| places(item(1), 50).all(|place| place != *index));
        theirs[elsewhere.expect("it is not everywhere")].add(item(1), check(item(1)), 1);
        let mut decoder = Decoder::default();
        decoder.extend(&[Symbol::default(); 50], &theirs);
        assert_eq!(decoder.peel(usize::MAX), Err(Inconsistent));
    }

    #[test]
    fn an_item_that_is_found_again_and_again_ends_the_search() {
        // Only in symbol 0, though it belongs to others as well: taken out there, it is found missing in those.
        let mut theirs = vec![Symbol::default(); 50];
        theirs[0].add(item(2), check(item(2)), 1);
        assert!(places(item(2), 50).count() > 1);
        let mut decoder = Decoder::default();
        decoder.extend(&[Symbol::default(); 50], &theirs);
        assert_eq!(decoder.peel(usize::MAX), Err(Inconsistent));
    }

    #[test]
    fn places_and_checks_are_the_same_on_every_machine() {
        let first: Vec<usize> = places(1, 1_000).collect();
        let known = [0, 1, 2, 3, 6, 10, 12, 13, 19, 37, 42, 67, 87, 130, 180, 274, 673, 839, 930];
        assert_eq!((first, check(1)), (known.to_vec(), 3_934_611_666));
        let check: String = check(1).to_le_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let known = known.map(|place| place.to_string()).join(", ");
        let sentence =
            format!("has the check `{check}`, and is part of the symbols {known} of the first 1000.");
        assert!(
            include_str!("../../../../docs/protocol.md").contains(&sentence),
            "docs/protocol.md lacks {sentence}"
        );
    }
}
