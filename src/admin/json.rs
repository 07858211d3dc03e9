//! JSON as people send it to be kept: an object says each of its members once. A later one would silently take the place
//! of an earlier one, and a percentage is no matter to guess at.

use std::fmt;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::{Map, Value};

use super::problem::Problem;

/// The value that a body holds.
pub(super) fn value(body: Result<Bytes, BytesRejection>) -> Result<Value, Problem> {
    let body = body?;
    parse(&body).map_err(|error| {
        let status = match error.classify() {
            Category::Data => 422,
            Category::Syntax | Category::Eof | Category::Io => 400,
        };
        Problem::new(status, format!("the body: {error}"))
    })
}

/// Reads a value; an object with two members of one name is none.
///
/// # Errors
/// What is wrong with the text, and where.
pub fn parse(text: &[u8]) -> serde_json::Result<Value> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = Strict.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// Reads a value in which no object has two members of one name.
struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(truth.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Self)? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom(format!("`{name}` stands there twice")));
            }
            let value = members.next_value_seed(Self)?;
            object.insert(name, value);
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::parse;

    #[test]
    fn every_value_is_read_as_it_is_and_no_member_twice() {
        let text = r#"{"a":[null,true,-1,2,0.5,"x\ud83d\ude00"],"b":{"a":{}}}"#;
        let expected: Value = serde_json::from_str(text).unwrap();
        assert_eq!(parse(text.as_bytes()).unwrap(), expected);
        assert_eq!(parse(b" 7 ").unwrap(), json!(7));
        let twice = parse(br#"{"rings":[{"rollout":"5%","rollout":"100%"}]}"#).unwrap_err();
        assert!(
            twice
                .to_string()
                .starts_with("`rollout` stands there twice"),
            "{twice}"
        );
        for broken in ["", "{", "{} {}", "[1,]", "{\"a\":1,}", "\u{fffd}"] {
            assert!(parse(broken.as_bytes()).is_err(), "{broken}");
        }
        let deep = "[".repeat(500);
        assert!(parse(deep.as_bytes()).is_err());
    }
}
