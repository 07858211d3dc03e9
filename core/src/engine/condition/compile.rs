//! From an operator and its values as texts to a constraint that can be evaluated.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use regex::Regex;

use super::{Compare, Constraint, Operator, Test, TextSet, Texts};
use crate::context::{Field, Moment};

/// Why an operator and its values are no [`Constraint`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct ConstraintError {
    /// The position of the bad value; `None` when the operator, or the number of its values, is what is wrong.
    pub value: Option<usize>,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with an operator or one of its values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The field is not compared in this way.
    #[error("`{operator}` does not go with `{field}`, which takes {takes}")]
    Field {
        /// The field's name.
        field: Arc<str>,
        /// The operator.
        operator: Operator,
        /// What would go with it.
        takes: &'static str,
    },
    /// The operator takes one value.
    #[error("`{operator}` takes exactly one value, not {given}")]
    OneValue {
        /// The operator.
        operator: Operator,
        /// How many values there are.
        given: usize,
    },
    /// The value is no number.
    #[error("{0:?} is not a number")]
    Number(String),
    /// The value is no point in time.
    #[error(
        "{0:?} is not a point in time: write it as in 2027-01-01T00:00:00Z (RFC 3339), at most to the millisecond"
    )]
    Date(String),
    /// The value is no semantic version.
    #[error("{text:?} is not a semantic version, as in 10.1.0: {why}")]
    Semver {
        /// The value.
        text: String,
        /// What the parser says.
        why: String,
    },
    /// The value is neither an address nor a network.
    #[error("{0:?} is not an address or a network, as in 192.0.2.7 or 10.0.0.0/8")]
    Address(String),
    /// The value is no regular expression.
    #[error("{text:?} is not a regular expression: {why}")]
    Regex {
        /// The value.
        text: String,
        /// What the parser says.
        why: String,
    },
}

impl Constraint {
    /// Compiles one operator with its values. `ignore_case` means nothing to operators that compare no text.
    ///
    /// # Errors
    /// When the operator does not go with the field, takes one value and is given another number of them, or
    /// cannot read a value.
    pub fn new(
        field: Field,
        field_name: Arc<str>,
        operator: Operator,
        values: &[&str],
        ignore_case: bool,
    ) -> Result<Self, ConstraintError> {
        let test = match field {
            Field::RemoteAddress => address_test(&field_name, operator, values)?,
            Field::Now if !matches!(operator, Operator::After | Operator::Before) => {
                return Err(field_error(&field_name, operator, "`after` and `before`"));
            }
            _ => Test::of_text(operator, values, ignore_case)?,
        };
        Ok(Self {
            field,
            field_name,
            test,
        })
    }
}

fn field_error(field: &Arc<str>, operator: Operator, takes: &'static str) -> ConstraintError {
    ConstraintError {
        value: None,
        problem: Problem::Field {
            field: field.clone(),
            operator,
            takes,
        },
    }
}

fn address_test(
    field: &Arc<str>,
    operator: Operator,
    values: &[&str],
) -> Result<Test, ConstraintError> {
    let test = match operator {
        Operator::In => Test::Within,
        Operator::NotIn => Test::NotWithin,
        _ => return Err(field_error(field, operator, "`in` and `not_in`")),
    };
    let networks = values
        .iter()
        .enumerate()
        .map(|(index, text)| network(text).ok_or_else(|| bad(index, Problem::Address, text)))
        .collect::<Result<_, _>>()?;
    Ok(test(networks))
}

impl Test {
    /// Compiles what a text must be.
    ///
    /// # Errors
    /// When the operator takes one value and is given another number of them, or cannot read a value.
    pub fn of_text(
        operator: Operator,
        values: &[&str],
        ignore_case: bool,
    ) -> Result<Self, ConstraintError> {
        text_test(operator, values, ignore_case)
    }
}

fn text_test(
    operator: Operator,
    values: &[&str],
    ignore_case: bool,
) -> Result<Test, ConstraintError> {
    let one = || match values {
        [value] => Ok(*value),
        _ => Err(ConstraintError {
            value: None,
            problem: Problem::OneValue {
                operator,
                given: values.len(),
            },
        }),
    };
    let texts = || Texts {
        texts: folded(values, ignore_case).collect(),
        ignore_case,
    };
    let set = || TextSet {
        texts: folded(values, ignore_case).collect(),
        ignore_case,
    };
    Ok(match operator {
        Operator::In => Test::In(set()),
        Operator::NotIn => Test::NotIn(set()),
        Operator::StartsWith => Test::StartsWith(texts()),
        Operator::EndsWith => Test::EndsWith(texts()),
        Operator::Contains => Test::Contains(texts()),
        Operator::Number(compare) => Test::Number(compare, number(one()?)?),
        Operator::After => Test::Date(Compare::Gt, date(one()?)?),
        Operator::Before => Test::Date(Compare::Lt, date(one()?)?),
        Operator::Semver(compare) => Test::Semver(compare, semver(one()?)?),
        Operator::Matches => Test::Matches(expression(one()?, ignore_case)?),
    })
}

fn folded<'a>(values: &'a [&str], ignore_case: bool) -> impl Iterator<Item = Box<str>> + 'a {
    values.iter().map(move |text| {
        if ignore_case {
            text.to_lowercase().into()
        } else {
            (*text).into()
        }
    })
}

fn bad(index: usize, problem: fn(String) -> Problem, text: &str) -> ConstraintError {
    ConstraintError {
        value: Some(index),
        problem: problem(text.to_owned()),
    }
}

/// An address stands for the network of itself alone.
pub fn network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>()
        .map(|net| net.trunc())
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .ok()
}

fn number(text: &str) -> Result<f64, ConstraintError> {
    text.parse()
        .ok()
        .filter(|number: &f64| number.is_finite())
        .ok_or_else(|| bad(0, Problem::Number, text))
}

/// Finer than a millisecond is refused: moments are whole milliseconds, and cutting one would move its border.
fn date(text: &str) -> Result<Moment, ConstraintError> {
    text.parse::<jiff::Timestamp>()
        .ok()
        .filter(|time| time.subsec_nanosecond() % 1_000_000 == 0)
        .map(|time| Moment {
            unix_ms: time.as_millisecond(),
        })
        .ok_or_else(|| bad(0, Problem::Date, text))
}

fn semver(text: &str) -> Result<semver::Version, ConstraintError> {
    semver::Version::parse(text).map_err(|error| ConstraintError {
        value: Some(0),
        problem: Problem::Semver {
            text: text.to_owned(),
            why: error.to_string(),
        },
    })
}

/// Case is ignored by the flag in front of the expression, so that it can be seen wherever the expression is shown.
fn expression(text: &str, ignore_case: bool) -> Result<Regex, ConstraintError> {
    let compiled = Regex::new(text).and_then(|expression| {
        if ignore_case {
            Regex::new(&format!("(?i){text}"))
        } else {
            Ok(expression)
        }
    });
    compiled.map_err(|error| ConstraintError {
        value: Some(0),
        problem: Problem::Regex {
            text: text.to_owned(),
            why: reason(&error),
        },
    })
}

/// The regex parser draws the place over several lines; its last one says what is wrong.
fn reason(error: &regex::Error) -> String {
    let whole = error.to_string();
    let last = whole.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::{Constraint, Operator};
    use crate::context::{Field, Slot};

    fn said(field: Field, name: &str, operator: &str, values: &[&str]) -> String {
        let operator = Operator::from_name(operator).expect("an operator");
        match Constraint::new(field, name.into(), operator, values, false) {
            Ok(constraint) => format!("ok: {constraint}"),
            Err(error) => format!("{:?}: {error}", error.value),
        }
    }

    const PROPERTY: Field = Field::Property(Slot(0));

    #[test]
    fn a_bad_value_is_named_by_its_position() {
        let nets = ["10.0.0.0/8", "::1", "10.0.0.1/33"];
        assert_eq!(
            said(Field::RemoteAddress, "remoteAddress", "in", &nets),
            "Some(2): \"10.0.0.1/33\" is not an address or a network, as in 192.0.2.7 or 10.0.0.0/8"
        );
        for number in ["ten", "NaN", "inf", "", " 1"] {
            assert_eq!(
                said(PROPERTY, "age", "gt", &[number]),
                format!("Some(0): {number:?} is not a number")
            );
        }
        assert_eq!(
            said(PROPERTY, "v", "semver_eq", &["v1.0.0"]),
            "Some(0): \"v1.0.0\" is not a semantic version, as in 10.1.0: unexpected character 'v' while parsing major version number"
        );
        assert_eq!(
            said(PROPERTY, "p", "matches", &["a(b"]),
            "Some(0): \"a(b\" is not a regular expression: unclosed group"
        );
        for date in ["2027-01-01", "2027-01-01T00:00:00.0001Z", "soon"] {
            assert!(
                said(Field::Now, "now", "after", &[date]).starts_with("Some(0): "),
                "{date}"
            );
        }
    }

    #[test]
    fn operators_that_do_not_go_with_a_field_are_refused() {
        assert_eq!(
            said(Field::RemoteAddress, "remoteAddress", "contains", &["10."]),
            "None: `contains` does not go with `remoteAddress`, which takes `in` and `not_in`"
        );
        assert_eq!(
            said(Field::Now, "now", "gt", &["1"]),
            "None: `gt` does not go with `now`, which takes `after` and `before`"
        );
    }

    #[test]
    fn one_value_means_one() {
        assert_eq!(
            said(PROPERTY, "age", "gt", &["1", "2"]),
            "None: `gt` takes exactly one value, not 2"
        );
        assert_eq!(
            said(PROPERTY, "age", "matches", &[]),
            "None: `matches` takes exactly one value, not 0"
        );
        assert_eq!(said(Field::UserId, "userId", "in", &[]), "ok: userId in []");
    }
}
