use std::{
    borrow::Borrow,
    collections::{HashMap, hash_map},
    fmt,
    hash::Hash,
    sync::Arc,
};

/// A set of shared values.
///
/// The field [`keys`](Self::keys) is part of the interface for programs that walk it; the methods say the same shorter.
pub struct SetArc<T> {
    /// The values, as keys of a map to nothing.
    pub keys: HashMap<Arc<T>, ()>,
}

impl<T: Eq + Hash> SetArc<T> {
    /// Whether an equal value is in the set.
    pub fn contains<Q>(&self, value: &Q) -> bool
    where
        Arc<T>: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.keys.contains_key(value)
    }

    /// Adds a value; `false` when an equal one was there.
    pub fn insert(&mut self, value: Arc<T>) -> bool {
        self.keys.insert(value, ()).is_none()
    }

    /// Removes a value; `false` when no equal one was there.
    pub fn remove<Q>(&mut self, value: &Q) -> bool
    where
        Arc<T>: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.keys.remove(value).is_some()
    }
}

impl<T> SetArc<T> {
    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The values, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        self.keys.keys()
    }
}

impl<T: Eq + Hash> FromIterator<Arc<T>> for SetArc<T> {
    fn from_iter<I: IntoIterator<Item = Arc<T>>>(values: I) -> Self {
        Self { keys: values.into_iter().map(|value| (value, ())).collect() }
    }
}

impl<'set, T> IntoIterator for &'set SetArc<T> {
    type Item = &'set Arc<T>;
    type IntoIter = hash_map::Keys<'set, Arc<T>, ()>;

    fn into_iter(self) -> Self::IntoIter {
        self.keys.keys()
    }
}

impl<T: fmt::Debug> fmt::Debug for SetArc<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.keys.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_set_by_value() {
        let mut set: SetArc<u8> = [Arc::new(1), Arc::new(2), Arc::new(1)].into_iter().collect();
        assert_eq!((set.len(), set.keys.len()), (2, 2));
        assert!(set.contains(&1_u8) && !set.contains(&Arc::new(3)));
        assert!(!set.insert(Arc::new(2)) && set.remove(&2_u8) && !set.remove(&2_u8));
        assert_eq!(**set.keys.iter().next().unwrap().0, 1);
        assert_eq!(set.iter().count(), set.into_iter().count());
    }
}
