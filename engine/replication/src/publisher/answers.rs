//! What the other peer has said of offered documents beyond the batch that its answer led to, so that it is asked once.
//!
//! A batch ends early where a large document comes, or when it is full. Without this each of them would cost another round
//! trip, and an offer of everything behind it.

use std::collections::HashMap;

use ditto_crdt::Version;

use crate::known::KeyHash;

/// Answers by document, each about one version: bounded, and safe to forget.
#[derive(Debug, Default)]
pub(super) struct Answers(HashMap<KeyHash, (Version, bool)>);

impl Answers {
    /// The document is wanted in this version, or is not. At most so many answers are kept.
    pub(super) fn keep(&mut self, document: KeyHash, version: Version, is_wanted: bool, most: usize) {
        if self.0.len() >= most {
            self.0.clear();
        }
        self.0.insert(document, (version, is_wanted));
    }

    /// Whether the document is wanted in this version, as far as that was said.
    pub(super) fn about(&self, document: KeyHash, version: Version) -> Option<bool> {
        self.0.get(&document).filter(|(answered, _)| *answered == version).map(|(_, is_wanted)| *is_wanted)
    }

    /// The other peer says something else of a document now.
    pub(super) fn forget_about(&mut self, document: KeyHash) {
        self.0.remove(&document);
    }

    /// The other peer may say something else now.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MAX_KEPT_ANSWERS;

    #[test]
    fn an_answer_is_about_one_version_and_memory_is_bounded() {
        let mut answers = Answers::default();
        answers.keep(1, Version(10), true, MAX_KEPT_ANSWERS);
        answers.keep(2, Version(10), false, MAX_KEPT_ANSWERS);
        assert_eq!(answers.about(1, Version(10)), Some(true));
        assert_eq!(answers.about(2, Version(10)), Some(false));
        assert_eq!(answers.about(1, Version(11)), None);
        assert_eq!(answers.about(3, Version(10)), None);
        for document in 0..3 * MAX_KEPT_ANSWERS as u128 {
            answers.keep(document, Version(10), true, MAX_KEPT_ANSWERS);
            assert!(answers.0.len() <= MAX_KEPT_ANSWERS);
        }
        answers.forget();
        assert_eq!(answers.about(1, Version(10)), None);
    }
}
