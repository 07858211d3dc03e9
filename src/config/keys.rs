//! The one table of what `routes.yaml` may say: the structure check, the JSON Schema and the "did you mean" hints
//! are all made from it.

mod client_api;
mod flags;
mod identity;
mod process;
mod routes;
mod services;
mod unleash;

/// A key of a map.
#[derive(Debug)]
pub struct Key {
    /// The key.
    pub name: &'static str,
    /// What it is for, in a sentence.
    pub about: &'static str,
    /// What its value may be; `None`: the contract has the key, but it is not supported yet.
    pub shape: Option<&'static Shape>,
    /// Whether its map needs it.
    pub required: bool,
}

/// What a value may be: any of the forms that are stated.
#[derive(Debug)]
pub struct Shape {
    /// A single value.
    pub text: Option<Text>,
    /// A list of these.
    pub list: Option<&'static Shape>,
    /// A map.
    pub map: Option<Keys>,
    /// The name that the schema refers to it by. What contains itself needs one.
    pub name: Option<&'static str>,
}

/// The keys of a map.
#[derive(Debug)]
pub struct Keys {
    /// Those that mean something.
    pub known: &'static [Key],
    /// What every other key, which is then a name, may hold; `None`: there are no others.
    pub named: Option<&'static Shape>,
}

/// What a single value says.
#[derive(Clone, Copy, Debug)]
pub enum Text {
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
    Word(&'static [Word]),
    /// What lets a request be sent again: `connect`, `reset`, `timeout`, a status such as `503`, or a class such as
    /// `5xx`.
    Trigger,
}

/// One of the words that a value may be.
#[derive(Debug)]
pub struct Word {
    /// The word.
    pub name: &'static str,
    /// Whether it is supported; else it is "not supported yet".
    pub due: bool,
}

/// The whole file.
pub static ROOT: Shape = map(&[
    required(
        "services",
        "What callers want: each has a stable deployment and its canaries.",
        &services::SERVICES,
    ),
    required(
        "routes",
        "Which requests go to which service; the most specific route wins.",
        &routes::ROUTES,
    ),
    key(
        "flags",
        "Canary flags kept in this file, for those without a flag server.",
        &flags::FLAGS,
    ),
    key(
        "segments",
        "Named audiences that rings refer to.",
        &flags::SEGMENTS,
    ),
    key(
        "identity",
        "Who the user is, and what flags may look at.",
        &identity::IDENTITY,
    ),
    key(
        "canary_urls",
        "Which upstreams flags may name.",
        &process::CANARY_URLS,
    ),
    key(
        "listeners",
        "Where end users' traffic is taken; default 0.0.0.0:8080.",
        &process::LISTENERS,
    ),
    key(
        "admin",
        "Where the admin API, metrics and probes are; default 127.0.0.1:9900.",
        &process::ADMIN,
    ),
    key(
        "server",
        "The process: threads, state, trusted proxies, shutdown.",
        &process::SERVER,
    ),
    key("logging", "What is logged, and how.", &process::LOGGING),
    key(
        "unleash",
        "A flag server, or a list of named ones in order of precedence.",
        &unleash::UNLEASH,
    ),
    later("launchdarkly"),
    later("redis"),
    key(
        "client_api",
        "What client apps and servers ask Serin itself; off unless present.",
        &client_api::CLIENT_API,
    ),
    later("attribution"),
]);

static TEXT: Shape = text(Text::Any);
static TEXTS: Shape = list(&TEXT);
static BOOL: Shape = text(Text::Bool);
static DURATION: Shape = text(Text::Duration);
static PERCENTAGE: Shape = text(Text::Percentage);
static URL: Shape = text(Text::Url);

const fn key(name: &'static str, about: &'static str, shape: &'static Shape) -> Key {
    Key {
        name,
        about,
        shape: Some(shape),
        required: false,
    }
}

const fn required(name: &'static str, about: &'static str, shape: &'static Shape) -> Key {
    Key {
        required: true,
        ..key(name, about, shape)
    }
}

/// A key of the contract that is not supported yet.
const fn later(name: &'static str) -> Key {
    Key {
        name,
        about: "",
        shape: None,
        required: false,
    }
}

const fn word(name: &'static str) -> Word {
    Word { name, due: true }
}

const NOTHING: Shape = Shape {
    text: None,
    list: None,
    map: None,
    name: None,
};

const fn text(text: Text) -> Shape {
    Shape {
        text: Some(text),
        ..NOTHING
    }
}

const fn list(item: &'static Shape) -> Shape {
    Shape {
        list: Some(item),
        ..NOTHING
    }
}

const fn map(known: &'static [Key]) -> Shape {
    Shape {
        map: Some(Keys { known, named: None }),
        ..NOTHING
    }
}

/// A map from names to values of one shape.
const fn names(shape: &'static Shape) -> Shape {
    map_with_names(&[], shape)
}

/// A map with keys that mean something, and names beside them.
const fn map_with_names(known: &'static [Key], named: &'static Shape) -> Shape {
    Shape {
        map: Some(Keys {
            known,
            named: Some(named),
        }),
        ..NOTHING
    }
}

/// A single value, or a list of such.
const fn text_or_list(text: Text, item: &'static Shape) -> Shape {
    Shape {
        text: Some(text),
        ..list(item)
    }
}

/// A single value, or a map that says more.
const fn text_or_map(text: Text, known: &'static [Key]) -> Shape {
    Shape {
        text: Some(text),
        ..map(known)
    }
}
