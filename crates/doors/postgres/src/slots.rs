//! Things that a client names: statements and portals. The unnamed one needs no look-up.

use std::collections::HashMap;

/// Named things and the unnamed one.
#[derive(Debug)]
pub(crate) struct Slots<V> {
    unnamed: Option<V>,
    named: HashMap<String, V>,
}

impl<V> Slots<V> {
    pub(crate) fn new() -> Self {
        Self { unnamed: None, named: HashMap::new() }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&V> {
        if name.is_empty() { self.unnamed.as_ref() } else { self.named.get(name) }
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut V> {
        if name.is_empty() { self.unnamed.as_mut() } else { self.named.get_mut(name) }
    }

    /// Puts it in its place; the unnamed one is replaced.
    pub(crate) fn insert(&mut self, name: &str, value: V) {
        if name.is_empty() {
            self.unnamed = Some(value);
        } else {
            self.named.insert(name.to_owned(), value);
        }
    }

    /// Whether a name is taken; the empty one never is.
    pub(crate) fn is_taken(&self, name: &str) -> bool {
        self.named.contains_key(name)
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<V> {
        if name.is_empty() { self.unnamed.take() } else { self.named.remove(name) }
    }

    pub(crate) fn clear(&mut self) {
        self.unnamed = None;
        self.named.clear();
    }

    /// Removes the named ones.
    pub(crate) fn clear_named(&mut self) {
        self.named.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unnamed_one_is_replaced_and_named_ones_are_taken() {
        let mut slots = Slots::new();
        slots.insert("", 1);
        slots.insert("", 2);
        slots.insert("a", 3);
        assert_eq!((slots.get(""), slots.get("a"), slots.get("b")), (Some(&2), Some(&3), None));
        assert!(slots.is_taken("a") && !slots.is_taken(""));
        slots.clear_named();
        assert_eq!((slots.remove(""), slots.remove("a")), (Some(2), None));
    }
}
