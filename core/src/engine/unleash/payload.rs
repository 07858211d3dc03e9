//! Where a variant's payload leads: it is a URL, or JSON with one. Everything else is for apps to read; but a payload that
//! is nearly one of these gets a warning, because somebody meant a canary by it.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::spelling::nearest;

/// A text with one of these schemes is meant to be an upstream, although not all of them are supported.
const SCHEMES: [&str; 5] = ["http", "https", "h2c", "h2", "srv+http"];

/// Names that people give the member `url` by mistake.
const OTHER_NAMES: [&str; 6] = ["uri", "href", "upstream", "endpoint", "target", "address"];

/// The priorities that are allowed, as in `routes.yaml`.
const PRIORITIES: RangeInclusive<i32> = 0..=1_000_000;

/// How many characters of a payload a warning shows.
const SHOWN: usize = 60;

/// Where a payload sends users.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lead<'a> {
    /// The URL, as it is written.
    pub(super) url: Option<Cow<'a, str>>,
    /// The service that it is for.
    pub(super) service: Option<Arc<str>>,
    /// The flag's priority.
    pub(super) priority: Option<i32>,
    /// Why it is not a URL, or JSON with one, although it nearly is.
    pub(super) nearly: Option<String>,
}

impl<'a> Lead<'a> {
    /// Reads a payload, whatever type it states.
    pub(super) fn read(payload: &'a str) -> Self {
        let text = payload.trim();
        let Some(rest) = text.strip_prefix('\u{feff}') else {
            return Self::of(text);
        };
        let lead = Self::of(rest.trim());
        match lead.url {
            Some(_) => Self::nearly("it begins with a byte order mark".to_owned()),
            None => lead,
        }
    }

    fn of(text: &'a str) -> Self {
        match text.as_bytes().first() {
            Some(b'{') => Self::of_object(text),
            Some(b'"') => match serde_json::from_str::<String>(text) {
                Ok(inner) => Self::of_text(Cow::Owned(inner)),
                Err(_) => Self::of_text(Cow::Borrowed(text)),
            },
            _ => Self::of_text(Cow::Borrowed(text)),
        }
    }

    fn nearly(why: String) -> Self {
        Self {
            nearly: Some(why),
            ..Self::default()
        }
    }

    fn of_text(text: Cow<'a, str>) -> Self {
        if has_scheme(&text) {
            let url = match text {
                Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
                Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
            };
            return Self {
                url: Some(url),
                ..Self::default()
            };
        }
        match misspelt(&text) {
            Some(why) => Self::nearly(why),
            None => Self::default(),
        }
    }

    fn of_object(text: &str) -> Self {
        let mut object: Map<String, Value> = match serde_json::from_str(text) {
            Ok(object) => object,
            Err(error) if text.to_ascii_lowercase().contains("\"url\"") || names_url(text) => {
                return Self::nearly(format!("it is no JSON: {error}"));
            }
            Err(_) => return Self::default(),
        };
        let service = match object.remove("service") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => Some(name.into()),
            Some(_) if object.contains_key("url") => {
                return Self::nearly("its `service` is no text".to_owned());
            }
            Some(_) => None,
        };
        let priority = match object.remove("priority") {
            None | Some(Value::Null) => None,
            Some(stated) => match stated.as_i64().map(i32::try_from) {
                Some(Ok(priority)) if PRIORITIES.contains(&priority) => Some(priority),
                _ if object.contains_key("url") => {
                    return Self::nearly(format!(
                        "its `priority` is not a whole number from 0 to 1000000: {stated}"
                    ));
                }
                _ => None,
            },
        };
        let (url, nearly) = match object.remove("url") {
            Some(Value::String(url)) => (Some(Cow::Owned(url.trim().to_owned())), None),
            None | Some(Value::Null) => (None, misnamed(&object)),
            Some(_) => (None, Some("its `url` is no text".to_owned())),
        };
        Self {
            priority: priority.filter(|_| url.is_some()),
            url,
            service,
            nearly,
        }
    }
}

fn has_scheme(text: &str) -> bool {
    let scheme = text.trim().split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(is_known)
}

fn is_known(scheme: &str) -> bool {
    let mut schemes = SCHEMES.iter();
    schemes.any(|known| known.eq_ignore_ascii_case(scheme))
}

/// Whether a text contains an upstream's URL.
fn names_url(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let mut schemes = SCHEMES.iter();
    schemes.any(|scheme| text.contains(&format!("{scheme}://")))
}

/// Why a text that was meant to be a URL is none.
fn misspelt(text: &str) -> Option<String> {
    let text = text.trim();
    if names_url(text) {
        return Some(format!(
            "there is a URL in it, but it is none itself: {:?}",
            shown(text)
        ));
    }
    let (scheme, rest) = text.split_once(':')?;
    if rest.starts_with("//") {
        let meant = nearest(scheme, SCHEMES)?;
        return Some(format!("{scheme}:// is no scheme; was {meant}:// meant?"));
    }
    is_known(scheme).then(|| format!("{:?} lacks the // of a URL", shown(text)))
}

/// The warning about a member that was meant to be `url`.
fn misnamed(object: &Map<String, Value>) -> Option<String> {
    let mut members = object.iter();
    let is_other = |name: &str| {
        let name = name.trim().to_ascii_lowercase();
        nearest(&name, ["url"]).is_some() || OTHER_NAMES.contains(&name.as_str())
    };
    let (name, value) = members.find(|(name, value)| {
        let text = value.as_str();
        text.is_some_and(|text| text.contains("://") && is_other(name))
    })?;
    let value = value.as_str().unwrap_or_default();
    Some(format!(
        "the member that says where it leads is `url`, not {name:?} (which says {:?})",
        shown(value)
    ))
}

fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::Lead;

    const URL: &str = "http://127.0.0.1:9002";

    fn url(payload: &str) -> Option<String> {
        let lead = Lead::read(payload);
        assert_eq!(lead.nearly, None, "{payload}");
        lead.url.map(|url| url.into_owned())
    }

    #[test]
    fn urls_and_json_with_urls_lead_somewhere() {
        for payload in [
            "http://127.0.0.1:9002",
            " \r\n\thttp://127.0.0.1:9002\n",
            r#""http://127.0.0.1:9002""#,
            r#" " http:\/\/127.0.0.1:9002 " "#,
            r#"{"url":" http://127.0.0.1:9002 "}"#,
            "{\n  \"more\": [1, {\"url\": 2}],\r\n  \"url\": \"http://127.0.0.1:9002\",\n  \"service\": null\n}\n",
        ] {
            assert_eq!(url(payload).as_deref(), Some(URL), "{payload}");
        }
        let lead = Lead::read(r#"{"service":"search","url":"h2c://a:1"}"#);
        assert_eq!(
            (lead.service.as_deref(), lead.priority),
            (Some("search"), None)
        );
        let lead = Lead::read(r#"{"url":"h2c://a:1","priority":3}"#);
        assert_eq!(lead.priority, Some(3));
    }

    #[test]
    fn what_others_read_is_theirs() {
        for payload in [
            "",
            "blue",
            "a,b,c",
            "7",
            "true",
            "[1]",
            "\"blue\"",
            "\"half",
            "time: 12:30",
            "postgres://127.0.0.1/db",
            "search-v2",
            r#"{"colour":"blue"}"#,
            r#"{"colour""#,
            r#"{"docs":"https://docs.example.com"}"#,
            r#"{"target":"everyone"}"#,
            r#"{"service":{"name":"x"}}"#,
            "\u{feff}blue",
        ] {
            assert_eq!(url(payload), None, "{payload}");
        }
    }

    #[test]
    fn what_is_nearly_a_url_is_told_of() {
        for (payload, named) in [
            ("\u{feff}http://127.0.0.1:9002", "byte order mark"),
            (
                "\u{feff}{\"url\":\"http://127.0.0.1:9002\"}",
                "byte order mark",
            ),
            (r#"{"URL":"http://127.0.0.1:9002"}"#, "not \"URL\""),
            (r#"{"uri":"http://127.0.0.1:9002"}"#, "not \"uri\""),
            (r#"{"urls":"http://127.0.0.1:9002"}"#, "not \"urls\""),
            (
                r#"{"url":["http://127.0.0.1:9002"]}"#,
                "its `url` is no text",
            ),
            (
                r#"{"url":"http://a:1","service":1}"#,
                "its `service` is no text",
            ),
            (
                r#"{"url":"http://a:1","priority":"high"}"#,
                "its `priority` is not a whole number",
            ),
            (r#"{"url":"http://127.0.0.1:9002""#, "it is no JSON"),
            (r#"{url:"http://127.0.0.1:9002"}"#, "it is no JSON"),
            (r#"{'url':'http://127.0.0.1:9002'}"#, "it is no JSON"),
            (r#"["http://127.0.0.1:9002"]"#, "none itself"),
            ("search,http://127.0.0.1:9002", "none itself"),
            ("<http://127.0.0.1:9002>", "none itself"),
            ("\"http://127.0.0.1:9002", "none itself"),
            ("htp://127.0.0.1:9002", "was http:// meant"),
            ("http:/127.0.0.1:9002", "lacks the //"),
        ] {
            let lead = Lead::read(payload);
            let why = lead.nearly.unwrap_or_default();
            assert!(
                lead.url.is_none() && why.contains(named),
                "{payload}: {why}"
            );
        }
    }
}
