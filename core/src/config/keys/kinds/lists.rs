//! Values that are lists, with a default for the whole.

use http::Method;

use super::words::Words;
use super::{Defaulted, Kind};
use crate::cluster::policy::{AllowedScheme, PortRange};
use crate::cluster::recovery::{Statuses, Triggers};
use crate::config::keys::shape::{Form, Shape, Written, list, text};
use crate::config::node::Node;
use crate::config::reader::Reader;
use crate::config::value;
use crate::flag::Glob;
use crate::identity::token::Algorithm;
use crate::mirror::MemberPath;

/// Names and globs of flags.
#[derive(Debug)]
pub struct Globs;

impl Kind for Globs {
    type Value = Vec<Glob>;

    fn shape(&self) -> Shape {
        static ITEM: Shape = text(Form::Any);
        list(&ITEM)
    }

    fn read(&self, reader: &mut Reader, node: &Node) -> Option<Vec<Glob>> {
        let names = node.items().iter().filter_map(|node| reader.name(node));
        Some(names.map(Glob::new).collect())
    }
}

impl Defaulted for Globs {
    type Constant = &'static [&'static str];

    fn value(&self, constant: Self::Constant) -> Vec<Glob> {
        constant.iter().map(|glob| Glob::new(glob)).collect()
    }

    fn written(&self, constant: Self::Constant) -> Written {
        Written::List(constant.iter().map(ToString::to_string).collect())
    }
}

/// Methods whose requests are sent a second time.
#[derive(Debug)]
pub struct Methods {
    /// Which of them may do harm.
    harmful: fn(&Method) -> bool,
    /// What is said of these: what becomes of such a request, by whom it is done, and what helps.
    warning: (&'static str, &'static str, &'static str),
}

/// Methods that are sent again although they had reached an upstream.
pub static RESCUED: Methods = Methods {
    harmful: |method| !method.is_idempotent(),
    warning: (
        "rescued",
        "by the canary and by stable",
        "leave it out, unless the service itself sees to that",
    ),
};

/// Methods whose requests a shadow gets as well.
pub static MIRRORED: Methods = Methods {
    harmful: |method| !method.is_safe(),
    warning: (
        "mirrored",
        "by the service and by its shadow",
        "leave it out, unless the shadow keeps what it does to itself",
    ),
};

impl Kind for &'static Methods {
    type Value = Vec<Method>;

    fn shape(&self) -> Shape {
        static ITEM: Shape = text(Form::Any);
        list(&ITEM)
    }

    fn read(&self, reader: &mut Reader, node: &Node) -> Option<Vec<Method>> {
        let mut methods = Vec::new();
        for node in node.items() {
            let method = reader.method(node);
            if let Some(method) = method.as_ref().filter(|method| (self.harmful)(method)) {
                let (what, whose, hint) = self.warning;
                let message = format!("a {what} {method} may be done twice: {whose}");
                reader.problems.warning(node.span, message).hint(hint);
            }
            methods.extend(method);
        }
        Some(methods)
    }
}

impl Defaulted for &'static Methods {
    type Constant = &'static [Method];

    fn value(&self, constant: &'static [Method]) -> Vec<Method> {
        constant.to_vec()
    }

    fn written(&self, constant: &'static [Method]) -> Written {
        Written::List(constant.iter().map(ToString::to_string).collect())
    }
}

/// Members of JSON documents.
#[derive(Debug)]
pub struct MemberPaths;

impl Kind for MemberPaths {
    type Value = Vec<MemberPath>;

    fn shape(&self) -> Shape {
        static ITEM: Shape = text(Form::Any);
        list(&ITEM)
    }

    fn read(&self, reader: &mut Reader, node: &Node) -> Option<Vec<MemberPath>> {
        let what = "the path of a member";
        let paths = node.items().iter().filter_map(|node| {
            let path = reader.parse(node, what, None, |text| text.parse().map(Some));
            path.flatten()
        });
        Some(paths.collect())
    }
}

/// Ports, one by one or from one to another.
#[derive(Debug)]
pub struct Ports;

impl Kind for Ports {
    type Value = Vec<PortRange>;

    fn shape(&self) -> Shape {
        static ITEM: Shape = text(Form::Any);
        list(&ITEM)
    }

    fn read(&self, reader: &mut Reader, node: &Node) -> Option<Vec<PortRange>> {
        let what = "a port or a range of ports";
        let ports = node.items().iter();
        let ports = ports.filter_map(|node| reader.parse(node, what, PortRange::ALL, port_range));
        let ports = ports.collect();
        some_at_least(reader, node).then_some(ports)
    }
}

impl Defaulted for Ports {
    type Constant = &'static [PortRange];

    fn value(&self, constant: Self::Constant) -> Vec<PortRange> {
        constant.to_vec()
    }

    fn written(&self, constant: Self::Constant) -> Written {
        Written::List(constant.iter().map(ToString::to_string).collect())
    }
}

/// As in `443` or `1024-65535`.
fn port_range(text: &str) -> Result<PortRange, String> {
    let number = |text: &str| {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|port| is_plain && *port != 0)
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    number(first)
        .zip(number(last))
        .filter(|(first, last)| first <= last)
        .map(|(first, last)| PortRange { first, last })
        .ok_or_else(|| "a number from 1 to 65535, or two as in 1024-65535".to_owned())
}

/// Schemes that canaries may have.
#[derive(Debug)]
pub struct Schemes;

static SCHEMES: Words<AllowedScheme> = Words(&[
    ("http", AllowedScheme::Http),
    ("https", AllowedScheme::Https),
    ("h2c", AllowedScheme::H2c),
]);

impl Kind for Schemes {
    type Value = Vec<AllowedScheme>;

    fn shape(&self) -> Shape {
        static ITEM: Shape = text(Form::Word(&SCHEMES));
        list(&ITEM)
    }

    fn read(&self, reader: &mut Reader, node: &Node) -> Option<Vec<AllowedScheme>> {
        let schemes = node.items().iter();
        let schemes = schemes.filter_map(|node| (&SCHEMES).read(reader, node));
        let schemes = schemes.collect();
        some_at_least(reader, node).then_some(schemes)
    }
}

impl Defaulted for Schemes {
    type Constant = &'static [AllowedScheme];

    fn value(&self, constant: Self::Constant) -> Vec<AllowedScheme> {
        constant.to_vec()
    }

    fn written(&self, constant: Self::Constant) -> Written {
        let names = constant.iter().map(|scheme| SCHEMES.name(*scheme));
        Written::List(names.map(str::to_owned).collect())
    }
}

/// How tokens may be signed.
#[derive(Debug)]
pub struct Algorithms;

/// The names of algorithms (RFC 7518, section 3.1; RFC 8037, section 3.1).
pub static ALGORITHMS: Words<Algorithm> = Words(&[
    ("RS256", Algorithm::Rs256),
    ("RS384", Algorithm::Rs384),
    ("RS512", Algorithm::Rs512),
    ("PS256", Algorithm::Ps256),
    ("PS384", Algorithm::Ps384),
    ("PS512", Algorithm::Ps512),
    ("ES256", Algorithm::Es256),
    ("ES384", Algorithm::Es384),
    ("EdDSA", Algorithm::EdDsa),
    ("HS256", Algorithm::Hs256),
]);

impl Kind for Algorithms {
    type Value = Vec<Algorithm>;

    fn shape(&self) -> Shape {
        static ITEM: Shape = text(Form::Word(&ALGORITHMS));
        list(&ITEM)
    }

    fn read(&self, reader: &mut Reader, node: &Node) -> Option<Vec<Algorithm>> {
        let algorithms = node.items().iter();
        let algorithms = algorithms.filter_map(|node| (&ALGORITHMS).read(reader, node));
        let algorithms = algorithms.collect();
        some_at_least(reader, node).then_some(algorithms)
    }
}

/// Whether a list that means nothing without items has any.
fn some_at_least(reader: &mut Reader, node: &Node) -> bool {
    let has_some = !node.items().is_empty();
    if !has_some {
        let message = "an empty list would allow none at all";
        reader
            .problems
            .error(node.span, message.to_owned())
            .hint("leave the key out, or list what is allowed");
    }
    has_some
}

/// The triggers on which a request is sent again.
#[derive(Debug)]
pub struct TriggerList;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// No connection could be made.
    Connect,
    /// The connection broke before an answer began.
    Reset,
    /// No answer began in time.
    Timeout,
    /// The answer has a status from the first to the second.
    Statuses(u16, u16),
}

/// The triggers that have names; single statuses are triggers, too.
static TRIGGERS: Words<Trigger> = Words(&[
    ("connect", Trigger::Connect),
    ("reset", Trigger::Reset),
    ("timeout", Trigger::Timeout),
    ("4xx", Trigger::Statuses(Statuses::FIRST, 499)),
    ("5xx", SERVER_ERRORS),
]);

/// `5xx`.
pub const SERVER_ERRORS: Trigger = Trigger::Statuses(500, Statuses::LAST);

impl Kind for TriggerList {
    type Value = Triggers;

    fn shape(&self) -> Shape {
        static ITEM: Shape = text(Form::Trigger);
        list(&ITEM)
    }

    fn read(&self, reader: &mut Reader, node: &Node) -> Option<Triggers> {
        let mut triggers = Triggers::default();
        for node in node.items() {
            if let Some(trigger) = trigger(reader, node) {
                add(trigger, &mut triggers);
            }
        }
        Some(triggers)
    }
}

impl Defaulted for TriggerList {
    type Constant = &'static [Trigger];

    fn value(&self, constant: &'static [Trigger]) -> Triggers {
        let mut triggers = Triggers::default();
        for trigger in constant {
            add(*trigger, &mut triggers);
        }
        triggers
    }

    fn written(&self, constant: &'static [Trigger]) -> Written {
        let names = constant.iter().map(|trigger| TRIGGERS.name(*trigger));
        Written::List(names.map(str::to_owned).collect())
    }
}

fn add(trigger: Trigger, triggers: &mut Triggers) {
    match trigger {
        Trigger::Connect => triggers.connect = true,
        Trigger::Reset => triggers.reset = true,
        Trigger::Timeout => triggers.timeout = true,
        Trigger::Statuses(first, last) => {
            (first..=last).for_each(|status| triggers.statuses.insert(status));
        }
    }
}

fn trigger(reader: &mut Reader, node: &Node) -> Option<Trigger> {
    let scalar = node.scalar().filter(|scalar| !scalar.is_nothing())?;
    if scalar.is_placeholder() {
        return None;
    }
    let trigger = TRIGGERS
        .meaning(scalar.text())
        .or_else(|| single_status(scalar.text()));
    if trigger.is_none() {
        let shown = value::shortened(scalar.shown());
        let causes = TRIGGERS
            .0
            .iter()
            .filter(|(_, trigger)| !matches!(trigger, Trigger::Statuses(..)));
        let hint = reader
            .problems
            .suggest(scalar.shown(), causes.map(|(name, _)| *name));
        let valid =
            "valid here are `connect`, `reset`, `timeout`, `5xx` and statuses from 400 to 599";
        reader
            .problems
            .error(node.span, format!("`{shown}` is not known here"))
            .hint(hint.unwrap_or_else(|| valid.to_owned()));
    }
    trigger
}

/// As in `503`.
fn single_status(text: &str) -> Option<Trigger> {
    let status = text.parse().ok().filter(|_| text.len() == 3)?;
    (Statuses::FIRST..=Statuses::LAST)
        .contains(&status)
        .then_some(Trigger::Statuses(status, status))
}
