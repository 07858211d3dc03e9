//! Lists whose entries are found by an index of their own type: no list can be asked with another's index, and none panics.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

/// A position in one kind of list.
pub trait Index: Copy {
    /// The index of a position.
    fn of(position: usize) -> Self;

    /// The position.
    fn position(self) -> usize;
}

/// Declares the [`Index`] of one kind of list.
macro_rules! index {
    ($(#[$attribute:meta])* $name:ident) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(usize);

        impl $name {
            /// The index of a position.
            pub const fn new(position: usize) -> Self {
                Self(position)
            }

            /// The position.
            pub const fn position(self) -> usize {
                self.0
            }
        }

        impl $crate::indexed::Index for $name {
            fn of(position: usize) -> Self {
                Self(position)
            }

            fn position(self) -> usize {
                self.0
            }
        }
    };
}

pub(crate) use index;

/// A list of `T` whose entries are found by `I`. Read as a slice it is walked like any other.
#[derive(Clone, Debug)]
pub struct Indexed<I, T> {
    list: Vec<T>,
    index: PhantomData<fn(I)>,
}

impl<I: Index, T> Indexed<I, T> {
    /// The entry at an index; `None` for an index of a longer list of the same kind.
    pub fn get(&self, index: I) -> Option<&T> {
        self.list.get(index.position())
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, index: I) -> Option<&mut T> {
        self.list.get_mut(index.position())
    }

    /// Every entry with its index, in order.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (I, &T)> {
        let entries = self.list.iter().enumerate();
        entries.map(|(position, entry)| (I::of(position), entry))
    }

    /// Every entry with its index, in order, to be changed.
    pub fn entries_mut(&mut self) -> impl ExactSizeIterator<Item = (I, &mut T)> {
        let entries = self.list.iter_mut().enumerate();
        entries.map(|(position, entry)| (I::of(position), entry))
    }
}

impl<I, T> Default for Indexed<I, T> {
    fn default() -> Self {
        Self::from(Vec::new())
    }
}

impl<I, T> From<Vec<T>> for Indexed<I, T> {
    fn from(list: Vec<T>) -> Self {
        Self {
            list,
            index: PhantomData,
        }
    }
}

impl<I, T> FromIterator<T> for Indexed<I, T> {
    fn from_iter<E: IntoIterator<Item = T>>(entries: E) -> Self {
        Self::from(Vec::from_iter(entries))
    }
}

impl<I, T> Deref for Indexed<I, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.list
    }
}

impl<I, T> DerefMut for Indexed<I, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.list
    }
}

impl<I, T> IntoIterator for Indexed<I, T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

impl<'a, I, T> IntoIterator for &'a Indexed<I, T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.iter()
    }
}

impl<'a, I, T> IntoIterator for &'a mut Indexed<I, T> {
    type Item = &'a mut T;
    type IntoIter = std::slice::IterMut<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.iter_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::Indexed;
    use crate::route::RouteIndex as LetterIndex;

    #[test]
    fn an_index_finds_the_entry_that_it_came_with() {
        let mut letters: Indexed<LetterIndex, char> = "abc".chars().collect();
        let entries: Vec<(LetterIndex, char)> = letters.entries().map(|(i, c)| (i, *c)).collect();
        for (index, letter) in entries {
            assert_eq!(letters.get(index), Some(&letter));
        }
        for (index, letter) in letters.entries_mut() {
            *letter = char::from(b'x' + index.position() as u8);
        }
        assert_eq!(letters.iter().collect::<String>(), "xyz");
    }

    #[test]
    fn an_index_of_a_longer_list_finds_nothing() {
        let mut letters: Indexed<LetterIndex, char> = "abc".chars().collect();
        assert_eq!(letters.get(LetterIndex::new(3)), None);
        assert_eq!(letters.get_mut(LetterIndex::new(usize::MAX)), None);
        assert_eq!(Indexed::<LetterIndex, char>::default().len(), 0);
    }
}
