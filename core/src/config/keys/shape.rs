//! Keys without the types of their values, and the shapes of values: single values of a form, lists, maps, or any of these.

use std::fmt;

use crate::config::node::{Node, Pair};

/// A key of a map, whatever the kind of its value.
pub trait Key: fmt::Debug + Sync {
    /// The part of its statement that every key has.
    fn statement(&self) -> &Statement;

    /// What its value may be; `None`: the contract has the key, but it is not supported yet.
    fn shape(&self) -> Option<Shape>;

    /// Its default as a file would write it; `None`: it has none, or one that depends on something else.
    fn default(&self) -> Option<Written> {
        None
    }

    /// The least and the most that its value may be, as a file would say it.
    fn bounds(&self) -> Bounds {
        Bounds::default()
    }

    /// The key itself.
    fn name(&self) -> &'static str {
        self.statement().name
    }

    /// What it is for, in a sentence.
    fn about(&self) -> String {
        let Bounds { least, most } = self.bounds();
        let default = self.default().map(|default| default.to_string());
        let stated = [("{default}", default), ("{least}", least), ("{most}", most)];
        let about = self.statement().about.to_owned();
        stated.into_iter().fold(about, |about, (place, text)| {
            about.replace(place, text.as_deref().unwrap_or(place))
        })
    }

    /// The key with its value, where a map has it.
    fn pair<'n>(&self, map: impl Into<Option<&'n Node>>) -> Option<&'n Pair>
    where
        Self: Sized,
    {
        map.into()?.pair(self.name())
    }

    /// Its value, where a map has it.
    fn node<'n>(&self, map: impl Into<Option<&'n Node>>) -> Option<&'n Node>
    where
        Self: Sized,
    {
        Some(&self.pair(map)?.value)
    }

    /// The items of the list that is its value; none, where there is no such list.
    fn items<'n>(&self, map: impl Into<Option<&'n Node>>) -> &'n [Node]
    where
        Self: Sized,
    {
        self.node(map).map(Node::items).unwrap_or_default()
    }

    /// The pairs of the map that is its value; none, where there is no such map.
    fn pairs<'n>(&self, map: impl Into<Option<&'n Node>>) -> &'n [Pair]
    where
        Self: Sized,
    {
        self.node(map).map(Node::pairs).unwrap_or_default()
    }
}

/// The part of a statement that every key has.
#[derive(Debug)]
pub struct Statement {
    /// The key.
    pub name: &'static str,
    /// What it is for, in a sentence. `{default}`, `{least}` and `{most}` stand for what is stated beside it.
    pub(super) about: &'static str,
    /// Whether its map needs it.
    pub required: bool,
    /// How its value bears on requests.
    pub scope: Scope,
}

/// How a value bears on requests. A key that does not say otherwise decides: counting too much as deciding costs a
/// snapshot, counting too little would leave a change without effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Requests are decided by it: it belongs in the digest.
    Decides,
    /// Each of its own keys says it for itself. In the digest, those that decide stand beside the top-level keys.
    ByKey,
    /// It is a source of flags: its name and its place among the sources belong in the digest, not where it is nor how
    /// it is asked.
    Source,
    /// Snapshots carry it beside what decides: a change makes a new snapshot with the same digest.
    Carried,
    /// It is about the process or about how sources are met: no snapshot has it.
    Process,
}

/// What a value may be: any of the forms that are stated.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// A single value.
    pub text: Option<Form>,
    /// A list of these.
    pub list: Option<&'static Shape>,
    /// A map.
    pub map: Option<Keys>,
    /// The name that the schema refers to it by. A shape that contains itself needs one.
    pub name: Option<&'static str>,
}

/// The keys of a map.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    /// Those that mean something.
    pub known: &'static [&'static dyn Key],
    /// What every other key, which is then a name, may hold; `None`: there are no others.
    pub named: Option<&'static Shape>,
}

/// How a single value is written.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    /// Any text, read as it stands in the file.
    Any,
    /// `true` or `false`.
    Bool,
    /// A whole number from the first to the second.
    Integer(u32, u32),
    /// As in `250ms`.
    Duration,
    /// The same, or `never`.
    DurationOrNever,
    /// The same, or `none`.
    DurationOrNone,
    /// As in `64KiB`.
    Size,
    /// The same, or `none`.
    SizeOrNone,
    /// As in `1KiB/s` or `1KiB/s over 10s`, or `none`.
    RateOrNone,
    /// As in `5%`.
    Percentage,
    /// An upstream's URL.
    Url,
    /// One of some words.
    Word(&'static dyn WordList),
    /// What lets a request be sent again: `connect`, `reset`, `timeout`, a status such as `503`, or a class such as
    /// `5xx`.
    Trigger,
}

/// Words of which a value is one.
pub trait WordList: fmt::Debug + Sync {
    /// The words, in the order in which they are listed to people.
    fn names(&self) -> Vec<&'static str>;
}

/// The least and the most that a value may be, as a file would say it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The least; `None`: no other than what its form allows.
    pub least: Option<String>,
    /// The most; `None`: no other than what its form allows.
    pub most: Option<String>,
}

impl Bounds {
    /// Within both.
    pub fn of(least: String, most: String) -> Self {
        Self {
            least: Some(least),
            most: Some(most),
        }
    }
}

/// A value as a file would say it; shown to people, an empty text is called so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// A number, `true` or `false`.
    Literal(String),
    /// A text.
    Text(String),
    /// Several texts.
    List(Vec<String>),
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) if text.is_empty() => f.write_str("empty"),
            Self::Literal(text) | Self::Text(text) => f.write_str(text),
            Self::List(items) => write!(f, "[{}]", items.join(", ")),
        }
    }
}

const NOTHING: Shape = Shape {
    text: None,
    list: None,
    map: None,
    name: None,
};

/// A single value.
pub const fn text(form: Form) -> Shape {
    Shape {
        text: Some(form),
        ..NOTHING
    }
}

/// A list.
pub const fn list(item: &'static Shape) -> Shape {
    Shape {
        list: Some(item),
        ..NOTHING
    }
}

/// A map with keys that mean something, and no others.
pub const fn map(known: &'static [&'static dyn Key]) -> Shape {
    Shape {
        map: Some(Keys { known, named: None }),
        ..NOTHING
    }
}

/// A map from names to values of one shape.
pub const fn names(shape: &'static Shape) -> Shape {
    map_with_names(&[], shape)
}

/// A map with keys that mean something, and names beside them.
pub const fn map_with_names(known: &'static [&'static dyn Key], named: &'static Shape) -> Shape {
    Shape {
        map: Some(Keys {
            known,
            named: Some(named),
        }),
        ..NOTHING
    }
}

/// A single value, or a list of such.
pub const fn text_or_list(form: Form, item: &'static Shape) -> Shape {
    Shape {
        text: Some(form),
        ..list(item)
    }
}

/// A single value, or a map that says more.
pub const fn text_or_map(form: Form, known: &'static [&'static dyn Key]) -> Shape {
    Shape {
        text: Some(form),
        ..map(known)
    }
}

/// Any text.
pub static TEXT: Shape = text(Form::Any);

/// A list of texts.
pub static TEXTS: Shape = list(&TEXT);
