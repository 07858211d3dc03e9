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

/// In what a shadow's answer differs from stable's; `None`: in nothing that is compared. Takes JSON bodies apart: not for a
/// thread that serves requests.
pub(super) fn differences(
    stables: &Answer,
    shadows: &Answer,
    ignore: &[MemberPath],
) -> Option<Differences> {
    let mut found = Vec::new();
    if stables.status != shadows.status {
        found.push(format!("status {}, not {}", shadows.status, stables.status));
    }
    if stables.content_type != shadows.content_type {
        let (one, other) = (&shadows.content_type, &stables.content_type);
        found.push(format!("content type {one:?}, not {other:?}"));
    }
    found.extend(of_bodies(&stables.body, &shadows.body, ignore));
    (!found.is_empty()).then_some(Differences(found))
}

fn of_bodies(stables: &AnswerBody, shadows: &AnswerBody, ignore: &[MemberPath]) -> Option<String> {
    let lengths = |stables: Option<u64>, shadows: Option<u64>| {
        let shown = |length: Option<u64>| match length {
            Some(length) => length.to_string(),
            None => "unknown".to_owned(),
        };
        (stables != shadows).then(|| format!("length {}, not {}", shown(shadows), shown(stables)))
    };
    match (stables, shadows) {
        (AnswerBody::Hidden, _) | (_, AnswerBody::Hidden) => None,
        (AnswerBody::Json(one), AnswerBody::Json(other)) => {
            match (document(one, ignore), document(other, ignore)) {
                (Some(one), Some(other)) => {
                    let way = json::first_difference(&one, &other)?;
                    Some(format!("body at {way}"))
                }
                (None, None) => lengths(length(stables), length(shadows)),
                (Some(_), None) => Some("a body that is no JSON".to_owned()),
                (None, Some(_)) => Some("a body that is JSON, as stable's is not".to_owned()),
            }
        }
        _ => lengths(length(stables), length(shadows)),
    }
}

fn length(body: &AnswerBody) -> Option<u64> {
    match body {
        AnswerBody::Json(bytes) => Some(bytes.len() as u64),
        AnswerBody::Long(length) => *length,
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
    use super::differences;
    use crate::mirror::MemberPath;
    use crate::shadow::answer::{Answer, AnswerBody};

    fn answer(status: u16, content_type: &str, body: AnswerBody) -> Answer {
        Answer {
            status,
            content_type: content_type.into(),
            body,
        }
    }

    fn json(text: &str) -> Answer {
        let body = AnswerBody::Json(text.into());
        answer(200, "application/json", body)
    }

    fn long(length: Option<u64>) -> Answer {
        answer(200, "text/html", AnswerBody::Long(length))
    }

    fn told(stables: &Answer, shadows: &Answer, ignore: &[&str]) -> String {
        let ignore = ignore.iter().map(|path| path.parse().expect("a path"));
        let ignore: Vec<MemberPath> = ignore.collect();
        let found = differences(stables, shadows, &ignore);
        found.map_or(String::new(), |found| found.to_string())
    }

    #[test]
    fn status_type_and_length_are_compared() {
        assert_eq!(told(&long(Some(3)), &long(Some(3)), &[]), "");
        assert_eq!(told(&long(Some(3)), &long(Some(4)), &[]), "length 4, not 3");
        assert_eq!(told(&long(None), &long(None), &[]), "");
        assert_eq!(
            told(&long(Some(3)), &long(None), &[]),
            "length unknown, not 3"
        );
        let other = answer(500, "text/plain", AnswerBody::Long(Some(4)));
        assert_eq!(
            told(&long(Some(3)), &other, &[]),
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
        let large = answer(200, "application/json", AnswerBody::Long(Some(70_000)));
        assert_eq!(told(&json("1"), &large, &[]), "length 70000, not 1");
    }

    #[test]
    fn what_cannot_be_looked_into_is_no_difference() {
        let hidden = || answer(200, "application/json", AnswerBody::Hidden);
        assert_eq!(told(&hidden(), &hidden(), &[]), "");
        assert_eq!(told(&hidden(), &json("1"), &[]), "");
    }
}
