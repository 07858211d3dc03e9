//! The way to members of a JSON document, in as much of JSONPath (RFC 9535) as leads to members by name and place.

use std::fmt;
use std::str::FromStr;

/// The way from a document's root to a member, or to several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberPath(Box<[Step]>);

/// One step of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// To the member of this name.
    Member(Box<str>),
    /// To the item at this place, from 0.
    Item(usize),
    /// To every item.
    EveryItem,
}

impl MemberPath {
    /// Its steps, one at least.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }
}

impl FromStr for MemberPath {
    type Err = String;

    /// Reads one. An error is a hint.
    fn from_str(text: &str) -> Result<Self, String> {
        let form =
            || "a path begins with $, as in $.timestamp, $.items[*].id or $['a.b']".to_owned();
        let mut rest = text.strip_prefix('$').ok_or_else(form)?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, left) = step(rest).ok_or_else(form)?;
            steps.push(step);
            rest = left;
        }
        match steps.is_empty() {
            true => Err("$ alone would leave out the whole body".to_owned()),
            false => Ok(Self(steps.into())),
        }
    }
}

/// The first step, and what is left behind it.
fn step(text: &str) -> Option<(Step, &str)> {
    if let Some(named) = text.strip_prefix('.') {
        let end = named.find(['.', '[']).unwrap_or(named.len());
        let (name, rest) = named.split_at(end);
        let is_name = !name.is_empty() && !name.contains([']', '*', '\'', '"', ' ']);
        return is_name.then(|| (Step::Member(name.into()), rest));
    }
    let inner = text.strip_prefix('[')?;
    for quote in ['\'', '"'] {
        if let Some(quoted) = inner.strip_prefix(quote) {
            let (name, rest) = quoted.split_once(quote)?;
            return Some((Step::Member(name.into()), rest.strip_prefix(']')?));
        }
    }
    let (place, rest) = inner.split_once(']')?;
    let step = match place {
        "*" => Step::EveryItem,
        _ if place.bytes().all(|byte| byte.is_ascii_digit()) => Step::Item(place.parse().ok()?),
        _ => return None,
    };
    Some((step, rest))
}

impl fmt::Display for MemberPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        self.0.iter().try_for_each(|step| step.fmt(f))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(name) if name.bytes().all(is_plain) && !name.is_empty() => {
                write!(f, ".{name}")
            }
            Self::Member(name) => write!(f, "['{name}']"),
            Self::Item(place) => write!(f, "[{place}]"),
            Self::EveryItem => f.write_str("[*]"),
        }
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

#[cfg(test)]
mod tests {
    use super::{MemberPath, Step};

    fn steps(text: &str) -> Result<Vec<Step>, String> {
        let path: MemberPath = text.parse()?;
        Ok(path.steps().to_vec())
    }

    #[test]
    fn a_path_leads_by_names_and_places() {
        let member = |name: &str| Step::Member(name.into());
        assert_eq!(steps("$.timestamp"), Ok(vec![member("timestamp")]));
        assert_eq!(
            steps("$.items[*].id"),
            Ok(vec![member("items"), Step::EveryItem, member("id")])
        );
        assert_eq!(
            steps("$[0]['a.b'][\"it's\"]"),
            Ok(vec![Step::Item(0), member("a.b"), member("it's")])
        );
    }

    #[test]
    fn what_leads_nowhere_is_no_path() {
        for text in [
            "",
            "$",
            "timestamp",
            ".a",
            "$a",
            "$.",
            "$..a",
            "$.a.",
            "$.a[",
            "$.a[]",
            "$.a[-1]",
            "$.a['b]",
            "$.*",
            "$.a[?@.b]",
            "$.a b",
            "$['a'",
            "$[99999999999999999999]",
        ] {
            assert!(steps(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_path_is_written_as_it_is_read() {
        for text in ["$.timestamp", "$.items[*].id", "$[3]['a.b'].c_d"] {
            let path: MemberPath = text.parse().expect("a path");
            assert_eq!(path.to_string(), text);
        }
    }
}
