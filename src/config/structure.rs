//! Holds a tree against the table of keys: unknown and missing keys, values of the wrong kind, unknown words.
//!
//! What a single value says (is this a duration?) is the reader's business, and how values go together the sections'.

use super::keys::{Keys, Shape, Text, Word};
use super::node::{Entry, Node, Scalar, Value};
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
        (Value::Map(entries), _, Some(keys)) => check_map(node, entries, keys, problems),
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
    let text = shape.text.map(|text| match text {
        Text::Any => "a text",
        Text::Bool => "true or false",
        Text::Integer(..) => "a whole number",
        Text::Duration => "a duration",
        Text::DurationOrNever => "a duration, or never",
        Text::DurationOrNone => "a duration, or none",
        Text::Size => "a size",
        Text::SizeOrNone => "a size, or none",
        Text::RateOrNone => "a rate, or none",
        Text::Percentage => "a percentage",
        Text::Url => "a URL",
        Text::Word(_) => "a word",
        Text::Trigger => "a cause or a status",
    });
    let list = shape.list.map(|_| "a list");
    let map = shape.map.as_ref().map(|_| "a map");
    let forms: Vec<&str> = [text, list, map].into_iter().flatten().collect();
    forms.join(" or ")
}

fn check_text(node: &Node, scalar: &Scalar, shape: &Shape, problems: &mut Problems) {
    // Where any text will do, `null` is one; but an empty place and `~` are nobody's text.
    let nothing = match shape.text {
        Some(Text::Any) => scalar.is_nothing() && matches!(scalar.text(), "" | "~"),
        _ => scalar.is_nothing(),
    };
    match shape.text {
        Some(_) if !nothing => {}
        _ => return wrong_kind(node, shape, problems),
    }
    if scalar.is_placeholder() {
        return;
    }
    if let Some(Text::Word(words)) = shape.text {
        check_word(node, scalar, words, problems);
    }
}

fn check_word(node: &Node, scalar: &Scalar, words: &'static [Word], problems: &mut Problems) {
    let shown = scalar.shown();
    match words.iter().find(|word| word.name == scalar.text()) {
        Some(word) if word.due => {}
        Some(_) => {
            problems
                .error(node.span, format!("`{shown}` is not supported yet"))
                .hint(valid(words));
        }
        None => {
            let hint = problems.suggest(shown, words.iter().filter(|w| w.due).map(|w| w.name));
            problems
                .error(node.span, format!("`{shown}` is not known here"))
                .hint(hint.unwrap_or_else(|| valid(words)));
        }
    }
}

fn valid(words: &[Word]) -> String {
    let due: Vec<String> = words
        .iter()
        .filter(|word| word.due)
        .map(|word| format!("`{}`", word.name))
        .collect();
    match due.as_slice() {
        [only] => format!("valid here is {only}"),
        _ => format!("valid here are {}", due.join(", ")),
    }
}

fn check_map(node: &Node, entries: &[Entry], keys: &Keys, problems: &mut Problems) {
    for entry in entries {
        let known = keys.known.iter().find(|key| key.name == entry.key);
        match (known, keys.named) {
            (Some(key), _) => match key.shape {
                Some(shape) => check(&entry.value, shape, problems),
                None => {
                    let message = format!("`{}` is not supported yet", entry.key);
                    problems.error(entry.key_span, message);
                }
            },
            (None, Some(shape)) => check(&entry.value, shape, problems),
            (None, None) => unknown(entry, keys, problems),
        }
    }
    for key in keys.known.iter().filter(|key| key.required) {
        if !entries.iter().any(|entry| entry.key == key.name) {
            problems
                .error(node.span, format!("`{}` is missing", key.name))
                .hint(key.about);
        }
    }
}

fn unknown(entry: &Entry, keys: &Keys, problems: &mut Problems) {
    let names = || {
        keys.known
            .iter()
            .filter(|key| key.shape.is_some())
            .map(|key| key.name)
    };
    let hint = problems.suggest(&entry.key, names()).unwrap_or_else(|| {
        let names: Vec<String> = names().map(|name| format!("`{name}`")).collect();
        format!("valid here are {}", names.join(", "))
    });
    problems
        .error(entry.key_span, format!("unknown key `{}`", entry.key))
        .hint(hint);
}
