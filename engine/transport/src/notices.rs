//! Keeps repeated complaints out of the log.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How many different complaints are told apart at a time.
const MAX_SUBJECTS: usize = 256;

/// Lets the same complaint through once per interval and counts the rest.
pub(crate) struct Notices {
    every: Duration,
    subjects: Mutex<HashMap<String, Subject>>,
}

struct Subject {
    told: Instant,
    held_back: u64,
}

impl Notices {
    pub(crate) fn new(every: Duration) -> Self {
        Self { every, subjects: Mutex::default() }
    }

    /// Whether to tell about `subject` now; if so, how often it was held back since it was last told.
    pub(crate) fn due(&self, subject: String) -> Option<u64> {
        let now = Instant::now();
        let mut subjects = self.subjects.lock();
        if let Some(known) = subjects.get_mut(&subject) {
            if now.duration_since(known.told) < self.every {
                known.held_back += 1;
                return None;
            }
            known.told = now;
            return Some(std::mem::take(&mut known.held_back));
        }
        if subjects.len() >= MAX_SUBJECTS {
            subjects.retain(|_, known| now.duration_since(known.told) < self.every);
        }
        if subjects.len() >= MAX_SUBJECTS {
            return None;
        }
        subjects.insert(subject, Subject { told: now, held_back: 0 });
        Some(0)
    }

    /// The subject is settled: the next complaint about it is news.
    pub(crate) fn settled(&self, subject: &str) {
        self.subjects.lock().remove(subject);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn repetitions_are_counted_until_the_interval_is_over() {
        let notices = Notices::new(Duration::from_secs(60));
        assert_eq!(notices.due("a".into()), Some(0));
        assert_eq!(notices.due("a".into()), None);
        assert_eq!(notices.due("b".into()), Some(0));
        assert_eq!(notices.due("a".into()), None);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(notices.due("a".into()), Some(2));
        assert_eq!(notices.due("a".into()), None);
        notices.settled("a");
        assert_eq!(notices.due("a".into()), Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_subjects_is_bounded() {
        let notices = Notices::new(Duration::from_secs(60));
        let told = (0..10_000).filter(|n| notices.due(n.to_string()).is_some()).count();
        assert_eq!(told, MAX_SUBJECTS);
        tokio::time::advance(Duration::from_secs(61)).await;
        assert!(notices.due("new".into()).is_some());
    }
}
