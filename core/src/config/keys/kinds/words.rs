//! Enumerations: words, each with its meaning.

use std::fmt;

use super::{Defaulted, Kind};
use crate::config::keys::shape::{Form, Shape, WordList, Written, text};
use crate::config::node::Node;
use crate::config::reader::Reader;

/// The words of an enumeration, each with its meaning.
#[derive(Debug)]
pub struct Words<T: 'static>(pub &'static [(&'static str, T)]);

impl<T: Copy + PartialEq> Words<T> {
    /// The word that means this.
    pub fn name(&self, meaning: T) -> &'static str {
        let mut words = self.0.iter();
        let found = words.find(|(_, own)| *own == meaning);
        found.map_or("", |(name, _)| name)
    }

    /// The meaning of a word.
    pub fn meaning(&self, name: &str) -> Option<T> {
        let mut words = self.0.iter();
        let found = words.find(|(own, _)| *own == name);
        found.map(|(_, meaning)| *meaning)
    }
}

impl<T: fmt::Debug + Sync> WordList for Words<T> {
    fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|(name, _)| *name).collect()
    }
}

impl<T: Copy + PartialEq + fmt::Debug + Sync> Kind for &'static Words<T> {
    type Value = T;

    fn shape(&self) -> Shape {
        text(Form::Word(*self))
    }

    // The structure check notes words that are not in the table.
    fn read(&self, _: &mut Reader, node: &Node) -> Option<T> {
        let scalar = node.scalar().filter(|scalar| !scalar.is_placeholder())?;
        self.meaning(scalar.text())
    }
}

impl<T: Copy + PartialEq + fmt::Debug + Sync> Defaulted for &'static Words<T> {
    type Constant = T;

    fn value(&self, constant: T) -> T {
        constant
    }

    fn written(&self, constant: T) -> Written {
        Written::Text(self.name(constant).to_owned())
    }
}
