//! Header edits as data: what configuration asks for and what forwarding adds, applied by the code that holds the headers.

use http::{HeaderName, HeaderValue};

/// One edit of a header list. Edits are applied in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Removes every field of this name.
    Remove(HeaderName),
    /// Replaces every field of this name by one.
    Set(HeaderName, HeaderValue),
    /// Adds a field beside those that are there.
    Add(HeaderName, HeaderValue),
    /// Adds a field unless there is one of this name.
    SetMissing(HeaderName, HeaderValue),
}

/// Something that edits can be applied to.
pub trait HeaderSink {
    /// Whether there is a field of this name.
    fn has(&self, name: &HeaderName) -> bool;
    /// Removes every field of this name.
    fn remove(&mut self, name: &HeaderName);
    /// Replaces every field of this name by one.
    fn set(&mut self, name: &HeaderName, value: &HeaderValue);
    /// Adds a field beside those that are there.
    fn add(&mut self, name: &HeaderName, value: &HeaderValue);

    /// Applies an edit that is used once.
    fn take(&mut self, edit: Edit) {
        match edit {
            Edit::Remove(name) => self.remove(&name),
            Edit::Set(name, value) => self.set(&name, &value),
            Edit::Add(name, value) => self.add(&name, &value),
            Edit::SetMissing(name, value) => {
                if !self.has(&name) {
                    self.set(&name, &value);
                }
            }
        }
    }

    /// Applies edits in order.
    fn apply<'a>(&mut self, edits: impl IntoIterator<Item = &'a Edit>)
    where
        Self: Sized,
    {
        for edit in edits {
            match edit {
                Edit::Remove(name) => self.remove(name),
                Edit::Set(name, value) => self.set(name, value),
                Edit::Add(name, value) => self.add(name, value),
                Edit::SetMissing(name, value) => {
                    if !self.has(name) {
                        self.set(name, value);
                    }
                }
            }
        }
    }
}

impl HeaderSink for http::HeaderMap {
    fn has(&self, name: &HeaderName) -> bool {
        self.contains_key(name)
    }

    fn remove(&mut self, name: &HeaderName) {
        self.remove(name);
    }

    fn set(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.insert(name, value.clone());
    }

    fn add(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.append(name, value.clone());
    }

    fn take(&mut self, edit: Edit) {
        match edit {
            Edit::Remove(name) => drop(self.remove(name)),
            Edit::Set(name, value) => drop(self.insert(name, value)),
            Edit::Add(name, value) => {
                self.append(name, value);
            }
            Edit::SetMissing(name, value) => {
                self.entry(name).or_insert(value);
            }
        }
    }
}
