//! Header fields for tests that read requests without an HTTP library: what a parser borrowed from the connection's
//! buffer.

use crate::request::HeaderLookup;
use crate::request::limits::FieldSizes;

/// Header fields as a loop of our own would hold them, with names in lower case.
pub struct RawFields<'a>(Vec<(String, &'a [u8])>);

impl<'a> RawFields<'a> {
    /// The fields that a parser found, as (name, value).
    pub fn of<'n>(parsed: impl IntoIterator<Item = (&'n str, &'a [u8])>) -> Self {
        let lower = |(name, value): (&str, &'a [u8])| (name.to_ascii_lowercase(), value);
        Self(parsed.into_iter().map(lower).collect())
    }

    /// All fields in their order, as (name, value).
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a [u8])> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }
}

impl HeaderLookup for RawFields<'_> {
    fn first(&self, name: &str) -> Option<&[u8]> {
        let found = self.0.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| *value)
    }

    fn visit<'a>(&'a self, name: &str, visit: &mut dyn FnMut(&'a [u8])) {
        for (_, value) in self.0.iter().filter(|(own, _)| own == name) {
            visit(value);
        }
    }

    fn visit_names<'a>(&'a self, visit: &mut dyn FnMut(&'a str)) {
        for (name, _) in &self.0 {
            visit(name);
        }
    }

    fn sizes(&self) -> FieldSizes {
        let mut sizes = FieldSizes::default();
        for (name, value) in &self.0 {
            sizes.add(name.as_bytes(), value);
        }
        sizes
    }
}
