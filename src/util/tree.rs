//! Ordered maps and sets of what an iterator gives, put in one by one. `collect` sorts first,
//! which is 5 KB of code for each kind of key and value.

use std::collections::{BTreeMap, BTreeSet};

/// Of several values with one key the last.
pub fn map<K: Ord, V>(pairs: impl IntoIterator<Item = (K, V)>) -> BTreeMap<K, V> {
    let mut map = BTreeMap::new();
    for (key, value) in pairs {
        map.insert(key, value);
    }
    map
}

pub fn set<T: Ord>(items: impl IntoIterator<Item = T>) -> BTreeSet<T> {
    let mut set = BTreeSet::new();
    for item in items {
        set.insert(item);
    }
    set
}
