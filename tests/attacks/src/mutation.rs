//! Inputs made from others, by seed.

/// Changes inputs in the ways that decoders dislike.
pub struct Mutator(u64);

/// Lengths and numbers at which something changes.
const NUMBERS: [u64; 14] = [
    0,
    1,
    2,
    24,
    0x7F,
    0x80,
    0xFF,
    0x100,
    0x7FFF,
    0xFFFF,
    0x7FFF_FFFF,
    0xFFFF_FFFF,
    i64::MAX as u64,
    u64::MAX,
];

impl Mutator {
    /// The same changes for the same seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn below(&mut self, end: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % (end.max(1) as u64)).unwrap_or(0)
    }

    /// One to four changes of `input`, some of them with parts of `other`.
    #[must_use]
    pub fn mutate(&mut self, input: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = input.to_vec();
        for _ in 0..=self.below(4) {
            self.change(&mut bytes, other);
        }
        bytes
    }

    fn range(&mut self, bytes: &[u8], most: usize) -> std::ops::Range<usize> {
        let start = self.below(bytes.len() + 1);
        let end = (start + self.below(most + 1)).min(bytes.len());
        start..end
    }

    fn change(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let place = self.below(bytes.len());
        match self.below(9) {
            0 => {
                let bit = 1 << self.below(8);
                bytes.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= bit);
            }
            1 => {
                let value = self.below(256) as u8;
                bytes.iter_mut().skip(place).take(1).for_each(|byte| *byte = value);
            }
            2 => {
                let by = [1, 255, 16, 240][self.below(4)];
                bytes.iter_mut().skip(place).take(1).for_each(|byte| *byte = byte.wrapping_add(by));
            }
            3 => bytes.truncate(place),
            4 => {
                let range = self.range(bytes, 16);
                bytes.drain(range);
            }
            5 => {
                let range = self.range(bytes, 32);
                let copy: Vec<u8> = bytes.get(range).unwrap_or_default().to_vec();
                bytes.splice(place..place, copy);
            }
            6 => {
                let range = self.range(other, 64);
                let part: Vec<u8> = other.get(range).unwrap_or_default().to_vec();
                bytes.splice(place..place, part);
            }
            7 => {
                let number = NUMBERS[self.below(NUMBERS.len())];
                let width = [1, 2, 4, 8][self.below(4)];
                let number = if self.below(2) == 0 { number.to_le_bytes() } else { number.to_be_bytes() };
                let part = if self.below(2) == 0 { &number[..width] } else { &number[8 - width..] };
                let end = (place + width).min(bytes.len());
                bytes.splice(place..end, part.iter().copied());
            }
            _ => {
                let range = self.range(bytes, 8);
                if let Some(part) = bytes.get_mut(range) {
                    part.reverse();
                }
            }
        }
    }
}
