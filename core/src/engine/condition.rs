//! Conditions on a user, as data that evaluates, compares and prints.

pub mod compile;
mod display;
mod evaluate;
mod operator;
mod version;

use std::net::IpAddr;
use std::sync::Arc;

use crate::context::{Field, Moment};

pub use operator::{Compare, Operator};

/// A condition over the context.
#[derive(Clone, Debug, PartialEq)]
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
    /// A test of a constant, which was decided when it was compiled.
    Settled(Box<Settled>),
    /// Never, and why: the condition could not be compiled, or would hold by chance.
    Never(Box<str>),
}

impl Condition {
    /// Whether it obviously holds for nobody.
    pub fn is_never(&self) -> bool {
        match self {
            Self::All(parts) => parts.iter().any(Self::is_never),
            Self::Any(parts) => parts.iter().all(Self::is_never),
            Self::Segment(segment) => segment.condition.is_never(),
            Self::Settled(settled) => !settled.held,
            Self::Never(_) => true,
            Self::Not(_) | Self::Test(_) => false,
        }
    }

    /// How many tests it comes to at worst. A reference to a segment is one, too.
    pub fn tests(&self) -> usize {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().map(Self::tests).sum(),
            Self::Not(part) => part.tests(),
            Self::Segment(segment) => 1 + segment.condition.tests(),
            Self::Test(_) | Self::Settled(_) => 1,
            Self::Never(_) => 0,
        }
    }

    /// How deep the segments stand in each other that it refers to.
    pub fn depth(&self) -> usize {
        match self {
            Self::All(parts) | Self::Any(parts) => {
                parts.iter().map(Self::depth).max().unwrap_or_default()
            }
            Self::Not(part) => part.depth(),
            Self::Segment(segment) => 1 + segment.condition.depth(),
            Self::Test(_) | Self::Settled(_) | Self::Never(_) => 0,
        }
    }
}

/// A named audience that rings refer to.
#[derive(Debug, PartialEq)]
pub struct Segment {
    /// Its name.
    pub name: Arc<str>,
    /// Who belongs to it.
    pub condition: Condition,
}

/// A test of something that is the same for every request (Unleash's `environment`, `appName`, the host's name).
#[derive(Clone, Debug, PartialEq)]
pub struct Settled {
    /// The test; its field is [`Field::Constant`].
    pub constraint: Constraint,
    /// The constant's value.
    pub value: Option<Box<str>>,
    /// Whether it passed.
    pub held: bool,
}

/// One test of one field.
#[derive(Clone, Debug, PartialEq)]
pub struct Constraint {
    /// The field that is tested.
    pub field: Field,
    /// The field's name, for people.
    pub field_name: Arc<str>,
    /// What the field must be.
    pub test: Test,
}

/// The value of a field as a constraint sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldValue<'a> {
    /// No value.
    Missing,
    /// A text.
    Text(&'a str),
    /// The client's address.
    Address(IpAddr),
    /// The moment of the decision.
    Moment(Moment),
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
    /// An address in one of these networks.
    Within(Vec<ipnet::IpNet>),
    /// An address in none of these networks, or missing.
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

/// Regular expressions are equal when their texts are.
impl PartialEq for Test {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::In(a), Self::In(b)) | (Self::NotIn(a), Self::NotIn(b)) => a == b,
            (Self::StartsWith(a), Self::StartsWith(b))
            | (Self::EndsWith(a), Self::EndsWith(b))
            | (Self::Contains(a), Self::Contains(b)) => a == b,
            (Self::Within(a), Self::Within(b)) | (Self::NotWithin(a), Self::NotWithin(b)) => a == b,
            (Self::Number(how, a), Self::Number(so, b)) => how == so && a == b,
            (Self::Date(how, a), Self::Date(so, b)) => how == so && a == b,
            (Self::Semver(how, a), Self::Semver(so, b)) => how == so && a == b,
            (Self::Matches(a), Self::Matches(b)) => a.as_str() == b.as_str(),
            _ => false,
        }
    }
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
