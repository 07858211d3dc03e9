//! Holds a tree against the table of keys: unknown and missing keys, values of the wrong kind, unknown words.
//!
//! The reader judges single values (is this a duration?), and the sections judge how values go together.

use super::keys::shape::{Form, Keys, Shape, WordList};
use super::node::{Node, Pair, Scalar, Value};
use super::problems::Problems;

/// Notes every way in which a tree is not of a shape.
pub fn check(node: &Node, shape: &Shape, problems: &mut Problems) {
    match (&node.value, shape.list, &shape.map) {
        (Value::Scalar(scalar), ..) => check_text(node, scalar, shape, problems),
        (Value::List(items), Some(item), _) => {
            for node in items {
                check(node, item, problems);
            }
        }
        (Value::Map(pairs), _, Some(keys)) => check_map(node, pairs, keys, problems),
        _ => wrong_kind(node, shape, problems),
    }
}

fn wrong_kind(node: &Node, shape: &Shape, problems: &mut Problems) {
    let message = format!("expected {}, found {}", expected(shape), node.kind());
    let nothing = node.scalar().is_some_and(Scalar::is_nothing);
    let hint = match shape {
        Shape {
            text: None,
            map: Some(_),
            ..
        } if nothing => Some("write `{}`, or remove the key".to_owned()),
        Shape {
            text: None,
            list: Some(_),
            ..
        } if nothing => Some("write `[]`, or remove the key".to_owned()),
        Shape { list: Some(_), .. } if node.scalar().is_some() => {
            Some("a list of one is written `[value]`".to_owned())
        }
        _ => None,
    };
    problems.error(node.span, message).maybe_hint(hint);
}

/// The forms that a shape takes, for people.
fn expected(shape: &Shape) -> String {
    let text = shape.text.map(|form| match form {
        Form::Any => "a text",
        Form::Bool => "true or false",
        Form::Integer(..) => "a whole number",
        Form::Duration => "a duration",
        Form::DurationOrNever => "a duration, or never",
        Form::DurationOrNone => "a duration, or none",
        Form::Size => "a size",
        Form::SizeOrNone => "a size, or none",
        Form::RateOrNone => "a rate, or none",
        Form::Percentage => "a percentage",
        Form::Url => "a URL",
        Form::Word(_) => "a word",
        Form::Trigger => "a cause or a status",
    });
    let list = shape.list.map(|_| "a list");
    let map = shape.map.as_ref().map(|_| "a map");
    let forms: Vec<&str> = [text, list, map].into_iter().flatten().collect();
    forms.join(" or ")
}

fn check_text(node: &Node, scalar: &Scalar, shape: &Shape, problems: &mut Problems) {
    // Where any text will do, `null` is a text; an empty place and `~` never are.
    let nothing = match shape.text {
        Some(Form::Any) => scalar.is_nothing() && matches!(scalar.text(), "" | "~"),
        _ => scalar.is_nothing(),
    };
    match shape.text {
        Some(_) if !nothing => {}
        _ => return wrong_kind(node, shape, problems),
    }
    if scalar.is_placeholder() {
        return;
    }
    if let Some(Form::Word(words)) = shape.text {
        check_word(node, scalar, words, problems);
    }
}

fn check_word(node: &Node, scalar: &Scalar, words: &dyn WordList, problems: &mut Problems) {
    let names = words.names();
    if names.contains(&scalar.text()) {
        return;
    }
    let shown = scalar.shown();
    let hint = problems.suggest(shown, names.iter().copied());
    problems
        .error(node.span, format!("`{shown}` is not known here"))
        .hint(hint.unwrap_or_else(|| valid(&names)));
}

fn valid(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [only] => format!("valid here is {only}"),
        _ => format!("valid here are {}", names.join(", ")),
    }
}

fn check_map(node: &Node, pairs: &[Pair], keys: &Keys, problems: &mut Problems) {
    for pair in pairs {
        let known = keys.known.iter().find(|key| key.name() == pair.key);
        match (known, keys.named) {
            (Some(key), _) => match key.shape() {
                Some(shape) => check(&pair.value, &shape, problems),
                None => {
                    let message = format!("`{}` is not supported yet", pair.key);
                    problems.error(pair.key_span, message);
                }
            },
            (None, Some(shape)) => check(&pair.value, shape, problems),
            (None, None) => unknown(pair, keys, problems),
        }
    }
    for key in keys.known.iter().filter(|key| key.statement().required) {
        if !pairs.iter().any(|pair| pair.key == key.name()) {
            problems
                .error(node.span, format!("`{}` is missing", key.name()))
                .hint(key.about());
        }
    }
}

fn unknown(pair: &Pair, keys: &Keys, problems: &mut Problems) {
    let names = || {
        keys.known
            .iter()
            .filter(|key| key.shape().is_some())
            .map(|key| key.name())
    };
    let hint = problems.suggest(&pair.key, names()).unwrap_or_else(|| {
        let names: Vec<String> = names().map(|name| format!("`{name}`")).collect();
        format!("valid here are {}", names.join(", "))
    });
    problems
        .error(pair.key_span, format!("unknown key `{}`", pair.key))
        .hint(hint);
}
