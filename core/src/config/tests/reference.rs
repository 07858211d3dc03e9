//! The reference says what the table says: the default, the bounds and the words of every key.

use std::collections::BTreeMap;

use regex::Regex;

use crate::config::keys::ROOT;
use crate::config::keys::shape::Key;
use crate::config::keys::shape::{Form, Shape};
use crate::config::node::{Node, Pair, Value};
use crate::config::problems::Problems;
use crate::config::yaml;

const REFERENCE: &str = include_str!("../../../../deploy/reference.yaml");

/// One place of the reference at which a key stands.
struct Place {
    key: &'static dyn Key,
    /// What stands there, in one line.
    value: String,
    line: usize,
    /// What the comment in that line says.
    comment: String,
}

/// Every place of every key of the table, by the key's address.
fn places() -> BTreeMap<usize, Vec<Place>> {
    let root = yaml::parse(REFERENCE, &mut Problems::default()).expect("a tree");
    let mut places = BTreeMap::new();
    collect(ROOT, &root, &mut places);
    places
}

fn collect(shape: Shape, node: &Node, into: &mut BTreeMap<usize, Vec<Place>>) {
    for (item, node) in shape
        .list
        .iter()
        .flat_map(|item| node.items().iter().map(move |node| (item, node)))
    {
        collect(**item, node, into);
    }
    let Some(keys) = shape.map else {
        return;
    };
    for pair in node.pairs() {
        let key = keys.known.iter().find(|key| key.name() == pair.key);
        if let Some(key) = key {
            let address = std::ptr::from_ref(*key).addr();
            into.entry(address).or_default().push(place(*key, pair));
        }
        if let Some(shape) = key.map_or(keys.named.copied(), |key| key.shape()) {
            collect(shape, &pair.value, into);
        }
    }
}

fn place(key: &'static dyn Key, pair: &Pair) -> Place {
    let line = pair.key_span.line;
    let text = REFERENCE.lines().nth(line - 1).expect("a line");
    Place {
        key,
        value: written(&pair.value),
        line,
        comment: text
            .split_once(" # ")
            .map_or("", |(_, comment)| comment)
            .to_owned(),
    }
}

fn written(node: &Node) -> String {
    match &node.value {
        Value::Scalar(scalar) => scalar.text().to_owned(),
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(written).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Map(_) => String::new(),
    }
}

#[test]
fn the_default_of_every_key_stands_in_the_reference() {
    // "default", "default;" and "default: …" say that what stands there is the default.
    let is_default = Regex::new("^default($|[;:,])").expect("an expression");
    for places in places().values() {
        let Some(default) = places[0]
            .key
            .default()
            .map(|default| match default.to_string() {
                text if text == "empty" => (String::new(), text),
                text => (text.clone(), text),
            })
        else {
            continue;
        };
        let (value, shown) = default;
        let says_so = |place: &Place| {
            place.value == value || place.comment.contains(&format!("default {shown}"))
        };
        let Place { key, line, .. } = &places[0];
        let name = key.name();
        assert!(
            places.iter().any(says_so),
            "line {line}: the default of {name} is {shown}"
        );
        for place in places
            .iter()
            .filter(|place| is_default.is_match(&place.comment))
        {
            assert_eq!(place.value, value, "line {}: {name}", place.line);
        }
    }
}

#[test]
fn the_bounds_that_the_reference_states_are_the_tables() {
    let expressions = [
        (r"(?:at most|up to) (\d\w*)", false, true),
        (r"at least (\d\w*)", true, false),
        (r"\b(\d+) to (\d+)", true, true),
    ];
    let mut checked = 0;
    for place in places().values().flatten() {
        let bounds = place.key.bounds();
        if bounds.least.is_none() && bounds.most.is_none() {
            continue;
        }
        for (expression, least, most) in expressions {
            let expression = Regex::new(expression).expect("an expression");
            let Some(found) = expression.captures(&place.comment) else {
                continue;
            };
            let expected = [
                bounds.least.clone().filter(|_| least),
                bounds.most.clone().filter(|_| most),
            ];
            let stated = found.iter().skip(1).flatten().map(|group| group.as_str());
            let stated: Vec<&str> = stated.collect();
            let expected: Vec<&str> = expected.iter().flatten().map(String::as_str).collect();
            assert_eq!(
                stated,
                expected,
                "line {}: {}",
                place.line,
                place.key.name()
            );
            checked += 1;
        }
    }
    assert!(checked >= 5, "{checked}");
}

#[test]
fn the_reference_names_every_word() {
    for places in places().values() {
        let shape = places[0].key.shape().expect("a key that is supported");
        let Some(Form::Word(words)) = shape.text else {
            continue;
        };
        let said: String = places
            .iter()
            .map(|place| format!("{} {}\n", place.value, place.comment))
            .collect();
        for word in words.names() {
            let expression = Regex::new(&format!(r"\b{word}\b")).expect("an expression");
            let name = places[0].key.name();
            assert!(expression.is_match(&said), "{name} may be {word}: {said}");
        }
    }
}

#[test]
fn sentences_say_what_is_stated_beside_them() {
    for place in places().values().flatten() {
        let about = place.key.about();
        for left in ["{default}", "{least}", "{most}"] {
            assert!(!about.contains(left), "{}: {about}", place.key.name());
        }
        if let Some(default) = place.key.default() {
            let about = about.to_lowercase();
            let default = match default.to_string().as_str() {
                // Every flag there is.
                "[*]" => "all".to_owned(),
                text => text.to_lowercase(),
            };
            let said = about.contains("default") && about.contains(&default);
            assert!(said, "{} is {default}: {about}", place.key.name());
        }
    }
}
