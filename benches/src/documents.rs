//! The documents that are inserted: always the same ones.

use serde::Serialize;

/// How many documents one transaction inserts, on both sides.
pub const BATCH: usize = 1_000;

/// Names that documents are spread over evenly; conditions on them select one in [`COUNTRIES`]`.len()`.
pub const COUNTRIES: [&str; 50] = [
    "AR", "AT", "AU", "BD", "BE", "BR", "CA", "CH", "CL", "CN", "CO", "CZ", "DE", "DK", "EG", "ES", "ET",
    "FI", "FR", "GB", "GR", "HU", "ID", "IE", "IN", "IR", "IT", "JP", "KE", "KR", "MX", "MY", "NG", "NL",
    "NO", "NZ", "PE", "PH", "PK", "PL", "PT", "RO", "RU", "SE", "TH", "TR", "UA", "US", "VN", "ZA",
];

/// Populations lie below this, evenly.
pub const POPULATIONS: u64 = 1_000_000;

/// A document of about 300 bytes as JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Document {
    /// Unique among the documents of a seed.
    #[serde(rename = "_id")]
    pub id: String,
    pub name: String,
    pub country: &'static str,
    pub population: u64,
    pub elevation: f64,
    pub capital: bool,
    pub position: Position,
    pub languages: Vec<&'static str>,
    pub note: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Position {
    pub latitude: f64,
    pub longitude: f64,
}

/// A document of 189 bytes as JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SmallDocument {
    #[serde(rename = "_id")]
    pub id: String,
    pub text: String,
}

const SMALL_DOCUMENT_BYTES: usize = 189;

/// SplitMix64 (Steele, Lea, Flood 2014): enough randomness for test data, and the same on every machine.
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub const fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// An index into a list of this length.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    fn choose<T: Copy>(&mut self, from: &[T], default: T) -> T {
        from.get(self.index(from.len())).copied().unwrap_or(default)
    }

    fn words(&mut self, count: usize) -> String {
        const SYLLABLES: [&str; 16] = [
            "ba", "ro", "lin", "ta", "mer", "os", "ka", "vi", "den", "su", "hal", "ne", "por", "gi", "wey",
            "ul",
        ];
        let mut text = String::new();
        for word in 0..count {
            if word > 0 {
                text.push(' ');
            }
            for _ in 0..3 {
                text.push_str(self.choose(&SYLLABLES, "a"));
            }
        }
        text
    }
}

/// The first `count` documents of `seed`.
pub fn documents(seed: u64, count: usize) -> Vec<Document> {
    let mut random = Random::new(seed);
    (0..count).map(|number| document(&mut random, number)).collect()
}

fn document(random: &mut Random, number: usize) -> Document {
    let mut coordinate =
        |degrees: u64| random.below(degrees * 10_000) as f64 / 10_000.0 - degrees as f64 / 2.0;
    let position = Position { latitude: coordinate(180), longitude: coordinate(360) };
    Document {
        // Not in the order of insertion, as the ids of applications seldom are.
        id: format!("{:08x}{number:08x}", random.below(1 << 32)),
        name: random.words(2),
        country: random.choose(&COUNTRIES, "AR"),
        population: random.below(POPULATIONS),
        elevation: random.below(80_000) as f64 / 10.0,
        capital: random.below(20) == 0,
        position,
        languages: (0..2).map(|_| random.choose(&["de", "en", "es", "fr", "ja", "pt", "sw"], "en")).collect(),
        note: random.words(10),
    }
}

/// Documents of 189 bytes, as another peer-to-peer database was measured with.
pub fn small_documents(seed: u64, count: usize) -> Vec<SmallDocument> {
    let mut random = Random::new(seed);
    let one = |number| {
        let id = format!("{:08x}{number:08x}", random.below(1 << 32));
        let mut text = random.words(24);
        text.truncate(SMALL_DOCUMENT_BYTES - r#"{"_id":"","text":""}"#.len() - id.len());
        SmallDocument { id, text }
    };
    (0..count).map(one).collect()
}

/// Bytes of all of them as JSON.
pub fn json_bytes<T: Serialize>(documents: &[T]) -> Result<usize, serde_json::Error> {
    documents.iter().map(|document| Ok(serde_json::to_vec(document)?.len())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_have_about_300_bytes_and_small_ones_189() {
        let documents = documents(1, 1_000);
        let mean = json_bytes(&documents).unwrap() / documents.len();
        assert!((280..=320).contains(&mean), "{mean}");
        for small in small_documents(1, 10) {
            assert_eq!(json_bytes(&[small]).unwrap(), SMALL_DOCUMENT_BYTES);
        }
    }

    #[test]
    fn a_seed_always_gives_the_same_documents_with_different_ids() {
        assert_eq!(documents(7, 20), documents(7, 20));
        assert_ne!(documents(7, 20), documents(8, 20));
        let ids: std::collections::HashSet<_> =
            documents(7, 500).into_iter().map(|document| document.id).collect();
        assert_eq!(ids.len(), 500);
    }
}
