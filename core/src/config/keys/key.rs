//! A key by the kind of its value: how the table states it, and how a section reads it.

use super::kinds::{Defaulted, Kind};
use super::shape::{Bounds, Key, Scope, Shape, Statement, Written};
use crate::config::node::Node;
use crate::config::reader::Reader;

/// A key without a default.
#[derive(Debug)]
pub struct Stated<K> {
    statement: Statement,
    kind: K,
}

/// A key with a default.
#[derive(Debug)]
pub struct Setting<K: Defaulted> {
    statement: Statement,
    kind: K,
    default: K::Constant,
}

/// A key whose value is read part by part: a map, a list, or a single value that stands for one.
#[derive(Debug)]
pub struct Group {
    statement: Statement,
    shape: &'static Shape,
}

/// A key of the contract that is not supported yet.
#[derive(Debug)]
pub struct Later {
    statement: Statement,
}

impl<K: Kind> Stated<K> {
    /// The value, if it is stated and can be read.
    pub fn read<'n>(
        &self,
        reader: &mut Reader,
        map: impl Into<Option<&'n Node>>,
    ) -> Option<K::Value> {
        self.kind.read(reader, self.node(map)?)
    }
}

impl<K: Defaulted> Setting<K> {
    /// The value that is stated and can be read, else the default.
    pub fn read<'n>(&self, reader: &mut Reader, map: impl Into<Option<&'n Node>>) -> K::Value {
        self.try_read(reader, map)
            .unwrap_or_else(|| self.kind.value(self.default))
    }

    /// The value that is stated, else the default; `None`: the stated value cannot be read.
    pub fn try_read<'n>(
        &self,
        reader: &mut Reader,
        map: impl Into<Option<&'n Node>>,
    ) -> Option<K::Value> {
        match self.node(map) {
            Some(node) => self.kind.read(reader, node),
            None => Some(self.kind.value(self.default)),
        }
    }

    /// The same key with another scope.
    pub(super) const fn within(mut self, scope: Scope) -> Self {
        self.statement.scope = scope;
        self
    }
}

impl<K: Kind> Key for Stated<K> {
    fn statement(&self) -> &Statement {
        &self.statement
    }

    fn shape(&self) -> Option<Shape> {
        Some(self.kind.shape())
    }

    fn bounds(&self) -> Bounds {
        self.kind.bounds()
    }
}

impl<K: Defaulted> Key for Setting<K> {
    fn statement(&self) -> &Statement {
        &self.statement
    }

    fn shape(&self) -> Option<Shape> {
        Some(self.kind.shape())
    }

    fn default(&self) -> Option<Written> {
        Some(self.kind.written(self.default))
    }

    fn bounds(&self) -> Bounds {
        self.kind.bounds()
    }
}

impl Key for Group {
    fn statement(&self) -> &Statement {
        &self.statement
    }

    fn shape(&self) -> Option<Shape> {
        Some(*self.shape)
    }
}

impl Key for Later {
    fn statement(&self) -> &Statement {
        &self.statement
    }

    fn shape(&self) -> Option<Shape> {
        None
    }
}

const fn statement(name: &'static str, about: &'static str) -> Statement {
    Statement {
        name,
        about,
        required: false,
        scope: Scope::Decides,
    }
}

/// A key without a default.
pub(super) const fn stated<K>(name: &'static str, about: &'static str, kind: K) -> Stated<K> {
    Stated {
        statement: statement(name, about),
        kind,
    }
}

/// A key that its map needs.
pub(super) const fn required<K>(name: &'static str, about: &'static str, kind: K) -> Stated<K> {
    let required = true;
    Stated {
        statement: Statement {
            required,
            ..statement(name, about)
        },
        kind,
    }
}

/// A key with a default.
pub(super) const fn setting<K: Defaulted>(
    name: &'static str,
    about: &'static str,
    kind: K,
    default: K::Constant,
) -> Setting<K> {
    Setting {
        statement: statement(name, about),
        kind,
        default,
    }
}

/// A key whose value is read part by part.
pub(super) const fn group(name: &'static str, about: &'static str, shape: &'static Shape) -> Group {
    Group {
        statement: statement(name, about),
        shape,
    }
}

/// Such a key at the top of the file, which has to say what it has to do with requests.
pub(super) const fn top(
    name: &'static str,
    about: &'static str,
    shape: &'static Shape,
    scope: Scope,
) -> Group {
    group(name, about, shape).within(scope)
}

/// The same key, which its map needs.
pub(super) const fn needed(mut group: Group) -> Group {
    group.statement.required = true;
    group
}

impl Group {
    /// The same key with another scope.
    pub(super) const fn within(mut self, scope: Scope) -> Self {
        self.statement.scope = scope;
        self
    }
}

pub(super) const fn later(name: &'static str) -> Later {
    Later {
        statement: statement(name, ""),
    }
}
