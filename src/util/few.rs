//! Maps of few entries, with little code for each kind.

/// A map that is looked through from its first entry on, which is the one that was put in first:
/// for at most some hundred entries. A tree is about 6 KB of code more for each kind of entry.
#[derive(Debug)]
pub struct Few<K, V>(Vec<(K, V)>);

impl<K, V> Default for Few<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Copy + PartialEq, V> Few<K, V> {
    fn place(&self, key: K) -> Option<usize> {
        self.0.iter().position(|(other, _)| *other == key)
    }

    pub fn get(&self, key: K) -> Option<&V> {
        self.place(key).map(|n| &self.0[n].1)
    }

    pub fn get_mut(&mut self, key: K) -> Option<&mut V> {
        self.place(key).map(|n| &mut self.0[n].1)
    }

    /// Puts `value` in the place of what was there, which is dropped.
    pub fn insert(&mut self, key: K, value: V) {
        match self.get_mut(key) {
            Some(old) => *old = value,
            None => self.0.push((key, value)),
        }
    }

    pub fn remove(&mut self, key: K) -> Option<V> {
        self.place(key).map(|n| self.0.remove(n).1)
    }

    pub fn retain(&mut self, mut stays: impl FnMut(&V) -> bool) {
        self.0.retain(|(_, value)| stays(value));
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        self.0.iter().map(|(key, value)| (*key, value))
    }

    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    pub fn keys(&self) -> impl Iterator<Item = K> + '_ {
        self.0.iter().map(|(key, _)| *key)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map(steps in proptest::collection::vec((0u8..4, 0u8..8, any::<u16>()), 0..60)) {
            let (mut few, mut map) = (Few::default(), BTreeMap::new());
            for (what, key, value) in steps {
                match what {
                    0 => prop_assert_eq!(few.remove(key), map.remove(&key)),
                    1 => {
                        few.retain(|v| v % 3 != 0);
                        map.retain(|_, v| *v % 3 != 0);
                    }
                    _ => {
                        few.insert(key, value);
                        map.insert(key, value);
                    }
                }
                for key in 0..8 {
                    prop_assert_eq!(few.get(key), map.get(&key));
                    prop_assert_eq!(few.get_mut(key), map.get_mut(&key));
                }
                let mut all: Vec<_> = few.iter().collect();
                all.sort_unstable();
                prop_assert!(all.into_iter().eq(map.iter().map(|(key, value)| (*key, value))));
                prop_assert!(few.keys().eq(few.iter().map(|(key, _)| key)));
                prop_assert!(few.values().eq(few.iter().map(|(_, value)| value)));
                few.values_mut().chain(map.values_mut()).for_each(|v| *v = v.rotate_left(1));
                prop_assert_eq!(few.len(), map.len());
            }
        }
    }
}
