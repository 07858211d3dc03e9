//! Whether a shadow answered as stable did.

use std::fmt;

use serde_json::Value;

use super::answer::{Answer, AnswerBody};
use super::json;
use crate::mirror::MemberPath;

/// In what two answers differ, for people: nothing of their bodies but the names of members.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Differences(Vec<String>);

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

/// What comes of comparing two answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    /// All that is compared is the same, bodies too.
    Same,
    /// Status and type are the same; bodies cannot be compared.
    Unseen,
    /// They differ.
    Differs(Differences),
}

/// What comes of comparing two bodies.
enum Bodies {
    Same,
    Unseen,
    Differ(String),
}

/// Compares a shadow's answer with stable's. Takes JSON bodies apart: not for a thread that serves requests.
pub(super) fn compare(stables: &Answer, shadows: &Answer, ignore: &[MemberPath]) -> Comparison {
    let mut found = Vec::new();
    if stables.status != shadows.status {
        found.push(format!("status {}, not {}", shadows.status, stables.status));
    }
    if stables.content_type != shadows.content_type {
        let (one, other) = (&shadows.content_type, &stables.content_type);
        found.push(format!("content type {one:?}, not {other:?}"));
    }
    let bodies = bodies(stables, shadows, ignore);
    let is_seen = !matches!(bodies, Bodies::Unseen);
    if let Bodies::Differ(how) = bodies {
        found.push(how);
    }
    match (found.is_empty(), is_seen) {
        (false, _) => Comparison::Differs(Differences(found)),
        (true, true) => Comparison::Same,
        (true, false) => Comparison::Unseen,
    }
}

fn bodies(stables: &Answer, shadows: &Answer, ignore: &[MemberPath]) -> Bodies {
    // What is encoded in another way has another length.
    if stables.encoding != shadows.encoding {
        return Bodies::Unseen;
    }
    let (one, other) = (&stables.body, &shadows.body);
    let (Some(length), Some(others)) = (length(one), length(other)) else {
        return Bodies::Unseen;
    };
    let documents = match (one, other) {
        (AnswerBody::Json(one), AnswerBody::Json(other)) => {
            (document(one, ignore), document(other, ignore))
        }
        _ => (None, None),
    };
    let difference = match documents {
        (Some(one), Some(other)) => {
            json::first_difference(&one, &other).map(|way| format!("body at {way}"))
        }
        (Some(_), None) => Some("a body that is no JSON".to_owned()),
        (None, Some(_)) => Some("a body that is JSON, as stable's is not".to_owned()),
        (None, None) => (length != others).then(|| format!("length {others}, not {length}")),
    };
    difference.map_or(Bodies::Same, Bodies::Differ)
}

/// How long a body is; `None`: nobody knows, or it does not matter.
fn length(body: &AnswerBody) -> Option<u64> {
    match body {
        AnswerBody::Json(bytes) => Some(bytes.len() as u64),
        AnswerBody::Long(length) => Some(*length),
        AnswerBody::Hidden => None,
    }
}

/// A body without what is left out; `None`: it is no JSON.
fn document(body: &[u8], ignore: &[MemberPath]) -> Option<Value> {
    let mut document = serde_json::from_slice(body).ok()?;
    for path in ignore {
        json::leave_out(&mut document, path);
    }
    Some(document)
}

#[cfg(test)]
mod tests {
    use super::{Comparison, compare};
    use crate::mirror::MemberPath;
    use crate::shadow::answer::{Answer, AnswerBody};

    fn answer(status: u16, content_type: &str, body: AnswerBody) -> Answer {
        Answer {
            status,
            content_type: content_type.into(),
            encoding: "".into(),
            body,
        }
    }

    fn json(text: &str) -> Answer {
        let body = AnswerBody::Json(text.into());
        answer(200, "application/json", body)
    }

    fn long(length: u64) -> Answer {
        answer(200, "text/html", AnswerBody::Long(length))
    }

    fn told(stables: &Answer, shadows: &Answer, ignore: &[&str]) -> String {
        let ignore = ignore.iter().map(|path| path.parse().expect("a path"));
        let ignore: Vec<MemberPath> = ignore.collect();
        match compare(stables, shadows, &ignore) {
            Comparison::Same => String::new(),
            Comparison::Unseen => "unseen".to_owned(),
            Comparison::Differs(differences) => differences.to_string(),
        }
    }

    #[test]
    fn status_type_and_length_are_compared() {
        assert_eq!(told(&long(3), &long(3), &[]), "");
        assert_eq!(told(&long(3), &long(4), &[]), "length 4, not 3");
        let other = answer(500, "text/plain", AnswerBody::Long(4));
        assert_eq!(
            told(&long(3), &other, &[]),
            "status 500, not 200, content type \"text/plain\", not \"text/html\", length 4, not 3"
        );
    }

    #[test]
    fn json_is_compared_by_what_it_says() {
        let one = json(r#"{"at":1,"n":{"x":1}}"#);
        assert_eq!(told(&one, &json(r#"{ "n": {"x":1}, "at": 1 }"#), &[]), "");
        let later = json(r#"{"at":12345,"n":{"x":1}}"#);
        assert_eq!(told(&one, &later, &[]), "body at $.at");
        assert_eq!(told(&one, &later, &["$.at"]), "");
        let other = json(r#"{"at":1,"n":{"x":2}}"#);
        assert_eq!(told(&one, &other, &["$.at"]), "body at $.n.x");
    }

    #[test]
    fn what_only_says_to_be_json_is_compared_by_its_length() {
        assert_eq!(told(&json("oh"), &json("no"), &[]), "");
        assert_eq!(told(&json("oh"), &json("dear"), &[]), "length 4, not 2");
        assert_eq!(told(&json("1"), &json("-"), &[]), "a body that is no JSON");
        assert_eq!(
            told(&json("-"), &json("1"), &[]),
            "a body that is JSON, as stable's is not"
        );
        let large = answer(200, "application/json", AnswerBody::Long(70_000));
        assert_eq!(told(&json("1"), &large, &[]), "length 70000, not 1");
    }

    #[test]
    fn what_cannot_be_looked_into_is_no_difference_and_not_the_same_either() {
        let hidden = |status| answer(status, "application/json", AnswerBody::Hidden);
        assert_eq!(told(&hidden(200), &hidden(200), &[]), "unseen");
        assert_eq!(told(&hidden(200), &json("1"), &[]), "unseen");
        assert_eq!(told(&hidden(200), &hidden(500), &[]), "status 500, not 200");
        let encoded = |encoding: &str, length| Answer {
            encoding: encoding.into(),
            ..long(length)
        };
        assert_eq!(told(&encoded("br", 3), &encoded("br", 3), &[]), "");
        assert_eq!(
            told(&encoded("br", 3), &encoded("br", 4), &[]),
            "length 4, not 3"
        );
        assert_eq!(told(&encoded("br", 3), &long(9), &[]), "unseen");
    }
}
