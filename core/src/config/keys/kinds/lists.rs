//! Values that are lists, with a default for the whole.

use http::Method;

use super::words::Words;
use super::{Defaulted, Kind};
use crate::cluster::recovery::{Statuses, Triggers};
use crate::config::keys::shape::{Form, Shape, Written, list, text};
use crate::config::node::Node;
use crate::config::reader::Reader;
use crate::config::value;
use crate::flag::Glob;

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

/// Methods that are sent again although they had reached an upstream.
#[derive(Debug)]
pub struct RescuedMethods;

impl Kind for RescuedMethods {
    type Value = Vec<Method>;

    fn shape(&self) -> Shape {
        static ITEM: Shape = text(Form::Any);
        list(&ITEM)
    }

    fn read(&self, reader: &mut Reader, node: &Node) -> Option<Vec<Method>> {
        let mut methods = Vec::new();
        for node in node.items() {
            let method = reader.method(node);
            if let Some(method) = method.as_ref().filter(|method| !method.is_idempotent()) {
                let message =
                    format!("a rescued {method} may be done twice: by the canary and by stable");
                reader
                    .problems
                    .warning(node.span, message)
                    .hint("leave it out, unless the service itself sees to that");
            }
            methods.extend(method);
        }
        Some(methods)
    }
}

impl Defaulted for RescuedMethods {
    type Constant = &'static [Method];

    fn value(&self, constant: &'static [Method]) -> Vec<Method> {
        constant.to_vec()
    }

    fn written(&self, constant: &'static [Method]) -> Written {
        Written::List(constant.iter().map(ToString::to_string).collect())
    }
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
