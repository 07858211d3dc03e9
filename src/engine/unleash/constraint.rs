//! Constraints: Unleash's operators, in the words of [`Condition`].

use std::net::IpAddr;
use std::sync::Arc;

use super::Surroundings;
use super::document::{ConstraintDocument, Text};
use crate::context::Field;
use crate::engine::condition::{
    Compare, Condition, Constraint, ConstraintError, Operator, Settled, Test, network,
};
use crate::engine::trace::Seen;

/// Why a flag cannot be compiled, so that it is off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken(pub(super) String);

/// What a constraint or an ID looks at.
pub(super) enum Subject {
    /// Something of the request's.
    Field(Arc<str>, Field),
    /// Something that is the same for every request.
    Constant(Arc<str>, Option<Box<str>>),
}

/// What an operator of Unleash's asks.
#[derive(Clone, Copy)]
enum Asked {
    /// What an operator of ours asks too.
    Text(Operator),
    /// An address in one of several networks.
    Network,
}

fn asked(operator: &str) -> Option<Asked> {
    Some(Asked::Text(match operator {
        "IN" => Operator::In,
        "NOT_IN" => Operator::NotIn,
        "STR_STARTS_WITH" => Operator::StartsWith,
        "STR_ENDS_WITH" => Operator::EndsWith,
        "STR_CONTAINS" => Operator::Contains,
        "NUM_EQ" => Operator::Number(Compare::Eq),
        "NUM_GT" => Operator::Number(Compare::Gt),
        "NUM_GTE" => Operator::Number(Compare::Gte),
        "NUM_LT" => Operator::Number(Compare::Lt),
        "NUM_LTE" => Operator::Number(Compare::Lte),
        "DATE_AFTER" => Operator::After,
        "DATE_BEFORE" => Operator::Before,
        "SEMVER_EQ" => Operator::Semver(Compare::Eq),
        "SEMVER_GT" => Operator::Semver(Compare::Gt),
        "SEMVER_GTE" => Operator::Semver(Compare::Gte),
        "SEMVER_LT" => Operator::Semver(Compare::Lt),
        "SEMVER_LTE" => Operator::Semver(Compare::Lte),
        "REGEX" => Operator::Matches,
        "IN_CIDR" => return Some(Asked::Network),
        _ => return None,
    }))
}

impl Surroundings<'_> {
    /// What a context name stands for.
    pub(super) fn subject(&mut self, name: &str) -> Result<Subject, Broken> {
        match name {
            "appName" => Ok(Subject::Constant(name.into(), Some(self.app_name.into()))),
            "environment" => Ok(Subject::Constant(
                name.into(),
                self.environment.map(Into::into),
            )),
            _ => match self.vocabulary.entry(name) {
                Some((name, field)) => Ok(Subject::Field(name, field)),
                None => Err(Broken(format!(
                    "no room is left for a property {name:?}: flags mention too many"
                ))),
            },
        }
    }

    /// Compiles a constraint. What is odd about it, but does not break it, is added to `odd`.
    pub(super) fn constraint(
        &mut self,
        document: &ConstraintDocument<'_>,
        odd: &mut Vec<String>,
    ) -> Result<Condition, Broken> {
        let name = &*document.context_name;
        let operator = &*document.operator;
        let asked = asked(operator)
            .ok_or_else(|| Broken(format!("the operator {operator:?} is unknown")))?;
        let subject = self.subject(name)?;
        let of_date = matches!(asked, Asked::Text(Operator::After | Operator::Before));
        if matches!(subject, Subject::Field(_, Field::Now)) && !of_date {
            return Err(Broken(format!("{operator} does not go with {name}")));
        }
        let of_address = matches!(subject, Subject::Field(_, Field::RemoteAddress));
        let test = match asked {
            Asked::Network => networks(document, odd),
            Asked::Text(operator) => text(operator, document, of_address),
        };
        let test = test.map_err(|why| Broken(format!("{operator} on {name}: {why}")))?;
        let condition = condition(subject, test);
        Ok(if document.inverted.unwrap_or_default() {
            Condition::Not(Box::new(condition))
        } else {
            condition
        })
    }
}

/// A test of a subject; what is the same for every request is settled here and now.
pub(super) fn condition(subject: Subject, test: Test) -> Condition {
    match subject {
        Subject::Field(field_name, field) => Condition::Test(Constraint {
            field,
            field_name,
            test,
        }),
        Subject::Constant(field_name, value) => Condition::Settled(Box::new(Settled {
            held: test.passes(value.as_deref().map_or(Seen::Missing, Seen::Text)),
            value,
            constraint: Constraint {
                field: Field::Constant,
                field_name,
                test,
            },
        })),
    }
}

/// The values of a list, or the one value.
fn text(
    operator: Operator,
    document: &ConstraintDocument<'_>,
    of_address: bool,
) -> Result<Test, String> {
    let ignore_case = document.case_insensitive.unwrap_or_default();
    let test = match operator {
        Operator::In | Operator::NotIn => one_of(operator, &texts(document), of_address),
        Operator::StartsWith | Operator::EndsWith | Operator::Contains => {
            let values = texts(document);
            if values.is_empty() {
                return Err("it has no values".to_owned());
            }
            Test::of_text(operator, &values, ignore_case)
        }
        Operator::Matches => Test::of_text(operator, &[value(document)?], ignore_case),
        _ => Test::of_text(operator, &[value(document)?.trim()], false),
    };
    test.map_err(|error| error.to_string())
}

/// One of these texts, or none of them. Unleash ignores case nowhere but in parts of texts and in expressions.
fn one_of(operator: Operator, values: &[&str], of_address: bool) -> Result<Test, ConstraintError> {
    if !of_address {
        return Test::of_text(operator, values, false);
    }
    let values: Vec<_> = values.iter().map(|text| address(text)).collect();
    let values: Vec<_> = values.iter().map(|text| &**text).collect();
    Test::of_text(operator, &values, false)
}

fn list<'d, 'a>(document: &'d ConstraintDocument<'a>) -> &'d [Text<'a>] {
    document.values.as_deref().unwrap_or_default()
}

fn texts<'d>(document: &'d ConstraintDocument<'_>) -> Vec<&'d str> {
    list(document).iter().map(|text| &**text).collect()
}

fn value<'d>(document: &'d ConstraintDocument<'_>) -> Result<&'d str, String> {
    let value = document.value.as_deref();
    value.ok_or_else(|| "it has no value".to_owned())
}

/// An address as a context's would be written, so that other ways to write it are found too.
fn address(text: &str) -> Box<str> {
    match text.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().to_string().into(),
        Err(_) => text.into(),
    }
}

/// What is no network is passed over, as Unleash does.
fn networks(document: &ConstraintDocument<'_>, odd: &mut Vec<String>) -> Result<Test, String> {
    if list(document).is_empty() {
        return Err("it has no values".to_owned());
    }
    let values = list(document).iter().map(|text| &**text);
    Ok(Test::Within(networks_of(values, odd)))
}

/// The networks among texts; the others are odd.
pub(super) fn networks_of<'t>(
    texts: impl Iterator<Item = &'t str>,
    odd: &mut Vec<String>,
) -> Vec<ipnet::IpNet> {
    let mut networks = Vec::new();
    for text in texts {
        match network(text) {
            Some(network) => networks.push(network),
            None => odd.push(format!(
                "{text:?} is no address and no network: passed over"
            )),
        }
    }
    networks
}

/// Who is named by a list of values of one field: Unleash's `userWithId`, and overrides.
pub(super) fn named(subject: Subject, values: &[&str]) -> Condition {
    let of_address = matches!(subject, Subject::Field(_, Field::RemoteAddress));
    // A list of texts always compiles.
    match one_of(Operator::In, values, of_address) {
        Ok(test) => condition(subject, test),
        Err(error) => Condition::Never(error.to_string().into()),
    }
}

/// What holds for everyone.
pub(super) fn all(mut parts: Vec<Condition>) -> Condition {
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => only,
        (_, Some(last)) => {
            parts.push(last);
            Condition::All(parts)
        }
        (_, None) => Condition::All(parts),
    }
}
