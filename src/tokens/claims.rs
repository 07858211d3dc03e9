//! Claims of a token as text.

use serde_json::Value;

/// What is at a path into the claims, as text; `None`: nothing that has one, or nothing but blanks.
///
/// Names of claims may have dots themselves (`https://example.com/plan`): the longest name that there is counts.
pub(super) fn text(claims: &Value, path: &str) -> Option<Box<str>> {
    let text = written(at(claims, path)?)?;
    (!text.trim().is_empty()).then(|| text.into())
}

fn at<'c>(claims: &'c Value, path: &str) -> Option<&'c Value> {
    if let Some(value) = claims.get(path) {
        return Some(value);
    }
    let dots = path.rmatch_indices('.');
    dots.filter_map(|(dot, _)| Some((path.get(..dot)?, path.get(dot + 1..)?)))
        .find_map(|(name, rest)| at(claims.get(name)?, rest))
}

/// Texts, numbers, `true` and `false`. A list's are joined by commas: Unleash knows no lists, and its own SDKs' users write them so
/// for `STR_CONTAINS`.
fn written(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Array(items) => {
            let items: Option<Vec<String>> = items.iter().map(single).collect();
            Some(items?.join(","))
        }
        Value::Object(_) | Value::Null => None,
    }
}

fn single(value: &Value) -> Option<String> {
    match value {
        Value::Array(_) => None,
        _ => written(value),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::text;

    #[test]
    fn claims_are_found_by_their_paths_and_written_as_text() {
        let claims = json!({
            "sub": "u1", "age": 41, "ratio": 0.5, "beta": true, "none": null, "blank": " ",
            "app": { "plan": "pro", "deep": { "er": 1 } },
            "groups": ["a", "b", 3],
            "nested": [["a"]], "maps": [{}], "empty": [],
            "https://example.com/app": { "plan.name": "dotted" },
            "app.plan": "whole",
        });
        for (path, expected) in [
            ("sub", Some("u1")),
            ("age", Some("41")),
            ("ratio", Some("0.5")),
            ("beta", Some("true")),
            ("app.plan", Some("whole")),
            ("app.deep.er", Some("1")),
            ("groups", Some("a,b,3")),
            ("https://example.com/app.plan.name", Some("dotted")),
            ("none", None),
            ("blank", None),
            ("app", None),
            ("app.deep", None),
            ("app.nothing", None),
            ("nested", None),
            ("maps", None),
            ("empty", None),
            ("sub.x", None),
            ("", None),
            (".", None),
        ] {
            assert_eq!(text(&claims, path).as_deref(), expected, "{path}");
        }
    }
}
