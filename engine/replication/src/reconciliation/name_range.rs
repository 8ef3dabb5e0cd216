//! Parts of what is reconciled: with more documents than fit at once, ranges of their names are compared one after the
//! other.

use crate::limits::MAX_RANGE_BITS;

/// The names that begin with the same bits, the most significant first. Names are hashes, so ranges of as many bits have about as
/// many documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NameRange {
    bits: u32,
    prefix: u64,
}

impl NameRange {
    /// `None` if there is no such range, or if it is narrower than [`MAX_RANGE_BITS`].
    pub(crate) fn new(bits: u64, prefix: u64) -> Option<Self> {
        let bits = u32::try_from(bits).ok().filter(|bits| *bits <= MAX_RANGE_BITS)?;
        (prefix >> bits == 0).then_some(Self { bits, prefix })
    }

    pub(crate) fn bits(self) -> u64 {
        self.bits.into()
    }

    pub(crate) fn prefix(self) -> u64 {
        self.prefix
    }

    /// Whether it has the names that begin with these 64 bits.
    pub(crate) fn has(self, beginning: u64) -> bool {
        beginning.checked_shr(u64::BITS - self.bits).unwrap_or_default() == self.prefix
    }

    /// The lower half of it.
    pub(crate) fn lower_half(self) -> Option<Self> {
        Self::new(self.bits() + 1, self.prefix << 1)
    }

    /// The range of as many bits that follows.
    pub(crate) fn next(self) -> Option<Self> {
        Self::new(self.bits(), self.prefix + 1)
    }

    pub(crate) fn is_after(self, other: Self) -> bool {
        self.start() > other.start()
    }

    /// Whether it is the first part of a wider one.
    pub(crate) fn is_first_part_of(self, wider: Self) -> bool {
        self.start() == wider.start() && self.bits > wider.bits
    }

    /// How many of the narrowest ranges there are before it.
    fn start(self) -> u64 {
        self.prefix << (MAX_RANGE_BITS - self.bits)
    }
}

/// The bits of a name by which it belongs to ranges.
pub(crate) fn beginning(name: u128) -> u64 {
    (name >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ranges_of_as_many_bits_have_every_name_once() {
        for bits in 0..=u64::from(MAX_RANGE_BITS) {
            let mut range = NameRange::new(bits, 0);
            let mut found = [0; 200];
            let mut ranges = 0;
            while let Some(present) = range {
                let names = (0..200_u64).map(|name| name.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                names.zip(&mut found).for_each(|(name, found)| *found += u32::from(present.has(name)));
                let next = present.next();
                assert!(next.is_none_or(|next| next.is_after(present) && !next.is_first_part_of(present)));
                range = next;
                ranges += 1;
            }
            assert_eq!((ranges, found), (1_u64 << bits, [1; 200]));
        }
    }

    #[test]
    fn the_lower_half_begins_the_whole() {
        let mut wider = NameRange::default();
        while let Some(half) = wider.lower_half() {
            assert!(
                half.is_first_part_of(wider)
                    && !wider.is_first_part_of(half)
                    && !half.is_first_part_of(half)
                    && !half.is_after(wider)
            );
            assert!(wider.has(0) && half.has(0) && wider.has(u64::MAX >> (wider.bits + 1)));
            assert!(!half.has(1 << (63 - wider.bits)));
            wider = half;
        }
        assert_eq!(wider.bits, MAX_RANGE_BITS);
    }

    #[test]
    fn there_is_no_range_beyond_the_last() {
        assert_eq!(NameRange::new(0, 1), None);
        assert_eq!(NameRange::new(3, 8), None);
        assert_eq!(NameRange::new(u64::from(MAX_RANGE_BITS) + 1, 0), None);
        assert_eq!(NameRange::new(u64::MAX, u64::MAX), None);
        assert!(NameRange::new(3, 7).is_some_and(|last| last.next().is_none()));
    }
}
