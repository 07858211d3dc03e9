//! The tree that a YAML file is read into: every node knows its place in the file and the very text that stands there.

use std::fmt;

use super::diagnostic::Span;

/// A value of the file, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The value's text; for a map or list in block style that is a key's value, the key.
    pub span: Span,
    /// The value.
    pub value: Value,
}

/// The three kinds of nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text, not yet read as anything.
    Scalar(Scalar),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in file order, every key once.
    Map(Vec<Pair>),
}

/// A key of a map with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// The value.
    pub value: Node,
}

/// A text as the file has it. YAML's own ideas of numbers and booleans are not applied: `007` stays `007`.
#[derive(Clone, PartialEq, Eq)]
pub struct Scalar {
    text: String,
    quoted: bool,
    fill: Fill,
}

/// Whether something was put into a scalar.
#[derive(Clone, PartialEq, Eq)]
enum Fill {
    /// The text is the file's.
    None,
    /// Values were put in, which may be secret; this is how the scalar is written in the file.
    Filled(String),
    /// A value that should have been put in is unset; this is how the scalar is written in the file.
    Placeholder(String),
}

impl Node {
    /// The scalar, if it is one.
    pub fn scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Value::Scalar(scalar) => Some(scalar),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The items; none, if it is not a list.
    pub fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            Value::Scalar(_) | Value::Map(_) => &[],
        }
    }

    /// The items, or the node itself where it is no list: one or several of the same.
    pub fn one_or_many(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            Value::Scalar(_) | Value::Map(_) => std::slice::from_ref(self),
        }
    }

    /// The pairs; none, if it is not a map.
    pub fn pairs(&self) -> &[Pair] {
        match &self.value {
            Value::Map(pairs) => pairs,
            Value::Scalar(_) | Value::List(_) => &[],
        }
    }

    /// The pair of a key.
    pub fn pair(&self, key: &str) -> Option<&Pair> {
        self.pairs().iter().find(|pair| pair.key == key)
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.pair(key).map(|pair| &pair.value)
    }

    /// A map without any key.
    pub fn empty_map() -> Self {
        Self {
            span: Span::default(),
            value: Value::Map(Vec::new()),
        }
    }

    /// Whether it has a placeholder anywhere, so that its value is not known.
    pub fn has_placeholder(&self) -> bool {
        match &self.value {
            Value::Scalar(scalar) => scalar.is_placeholder(),
            Value::List(items) => items.iter().any(Self::has_placeholder),
            Value::Map(pairs) => pairs.iter().any(|pair| pair.value.has_placeholder()),
        }
    }

    /// Its kind, for people.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
            Value::Scalar(scalar) if scalar.is_nothing() => "nothing",
            Value::Scalar(_) => "a single value",
        }
    }
}

impl Scalar {
    /// A text as it stands in the file.
    pub fn new(text: String, quoted: bool) -> Self {
        Self {
            text,
            quoted,
            fill: Fill::None,
        }
    }

    /// The text, with everything put in.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text as it may be shown: as it stands in the file, `${…}` included.
    pub fn shown(&self) -> &str {
        match &self.fill {
            Fill::None => &self.text,
            Fill::Filled(written) | Fill::Placeholder(written) => written,
        }
    }

    /// Whether it stands in quotes or in a block, and so can only be a text.
    pub fn is_quoted(&self) -> bool {
        self.quoted && matches!(self.fill, Fill::None)
    }

    /// Whether something was put in, so that the text must not be shown.
    pub fn is_filled(&self) -> bool {
        !matches!(self.fill, Fill::None)
    }

    /// Whether a placeholder stands for something unset, so that the text means nothing.
    pub fn is_placeholder(&self) -> bool {
        matches!(self.fill, Fill::Placeholder(_))
    }

    /// Whether nothing is there: no text, `~` or `null`.
    pub fn is_nothing(&self) -> bool {
        !self.quoted
            && !self.is_filled()
            && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// Puts values in.
    pub(super) fn fill(&mut self, text: String, placeholder: bool) {
        let written = std::mem::replace(&mut self.text, text);
        self.fill = if placeholder {
            Fill::Placeholder(written)
        } else {
            Fill::Filled(written)
        };
    }
}

// A value that was put in may be a secret: it must not appear in any output.
impl fmt::Debug for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.shown())
    }
}
