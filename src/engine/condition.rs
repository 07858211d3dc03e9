//! Conditions: what can be asked of a user, as data that evaluates, compares and prints.

mod compile;
mod display;
mod evaluate;
mod operator;
mod version;

use std::sync::Arc;

use crate::context::{Field, Moment};
use crate::engine::Segment;

pub use compile::{ConstraintError, Problem};
pub use operator::Operator;

/// A condition over the context.
#[derive(Clone, Debug)]
pub enum Condition {
    /// All of these; of none: always.
    All(Vec<Condition>),
    /// Any of these; of none: never.
    Any(Vec<Condition>),
    /// Not this.
    Not(Box<Condition>),
    /// The user belongs to a segment.
    Segment(Arc<Segment>),
    /// One field passes one test.
    Test(Constraint),
}

/// One test of one field.
#[derive(Clone, Debug)]
pub struct Constraint {
    /// What is looked at.
    pub field: Field,
    /// The field's name, for people.
    pub field_name: Arc<str>,
    /// What it must be.
    pub test: Test,
}

/// What a field must be. A missing value passes no test but `NotIn` and `NotWithin`.
#[derive(Clone, Debug)]
pub enum Test {
    /// One of these texts.
    In(TextSet),
    /// None of these texts, or missing.
    NotIn(TextSet),
    /// Begins with one of these.
    StartsWith(Texts),
    /// Ends with one of these.
    EndsWith(Texts),
    /// Contains one of these.
    Contains(Texts),
    /// An address in one of these networks (`remoteAddress` only).
    Within(Vec<ipnet::IpNet>),
    /// An address in none of these networks (`remoteAddress` only).
    NotWithin(Vec<ipnet::IpNet>),
    /// Compares as a number.
    Number(Compare, f64),
    /// Compares as a point in time (`now`, or a text in RFC 3339).
    Date(Compare, Moment),
    /// Compares as a semantic version (semver.org 2.0.0).
    Semver(Compare, semver::Version),
    /// Matches an expression somewhere, as in Unleash's REGEX.
    Matches(regex::Regex),
}

/// How two values must compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// Equal.
    Eq,
    /// Greater (later).
    Gt,
    /// Greater or equal.
    Gte,
    /// Less (earlier).
    Lt,
    /// Less or equal.
    Lte,
}

/// A set of texts, hashed; with `ignore_case` held in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextSet {
    /// The texts.
    pub texts: rustc_hash::FxHashSet<Box<str>>,
    /// Whether case is ignored.
    pub ignore_case: bool,
}

/// A list of texts, tried in turn; with `ignore_case` held in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts {
    /// The texts.
    pub texts: Vec<Box<str>>,
    /// Whether case is ignored.
    pub ignore_case: bool,
}
