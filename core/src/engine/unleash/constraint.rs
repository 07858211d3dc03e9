//! Constraints: Unleash's operators, compiled to a [`Condition`].

use std::net::IpAddr;
use std::sync::Arc;

use super::broken::Broken;
use super::document::{ConstraintDocument, Item};
use super::rule::{ends_well, ordered, quoted};
use crate::context::Field;
use crate::engine::compile_context::CompileContext;
use crate::engine::condition::compile::{ConstraintError, network};
use crate::engine::condition::{
    Compare, Condition, Constraint, FieldValue, Operator, Settled, Test,
};

/// The value that a constraint tests, or that is hashed as an ID.
pub(super) enum Subject {
    /// A field of the request's context.
    Field(Arc<str>, Field),
    /// A value that is the same for every request, if it is known.
    Constant(Arc<str>, Option<Box<str>>),
}

/// The kinds of Unleash's operators.
#[derive(Clone, Copy)]
enum UnleashOperator {
    /// Compares with the texts of a list.
    List(Operator),
    /// Looks for an address in networks.
    Network,
    /// Matches an expression.
    Expression,
    /// Compares with a number, a version or a time.
    Order(Compare),
    /// Compares with a version.
    Version(Compare),
}

fn unleash_operator(name: &str) -> Option<UnleashOperator> {
    Some(match name {
        "IN" => UnleashOperator::List(Operator::In),
        "NOT_IN" => UnleashOperator::List(Operator::NotIn),
        "STR_STARTS_WITH" => UnleashOperator::List(Operator::StartsWith),
        "STR_ENDS_WITH" => UnleashOperator::List(Operator::EndsWith),
        "STR_CONTAINS" => UnleashOperator::List(Operator::Contains),
        "NUM_EQ" => UnleashOperator::Order(Compare::Eq),
        "NUM_GT" | "DATE_AFTER" => UnleashOperator::Order(Compare::Gt),
        "NUM_GTE" => UnleashOperator::Order(Compare::Gte),
        "NUM_LT" | "DATE_BEFORE" => UnleashOperator::Order(Compare::Lt),
        "NUM_LTE" => UnleashOperator::Order(Compare::Lte),
        "SEMVER_EQ" => UnleashOperator::Version(Compare::Eq),
        "SEMVER_GT" => UnleashOperator::Version(Compare::Gt),
        "SEMVER_GTE" => UnleashOperator::Version(Compare::Gte),
        "SEMVER_LT" => UnleashOperator::Version(Compare::Lt),
        "SEMVER_LTE" => UnleashOperator::Version(Compare::Lte),
        "REGEX" => UnleashOperator::Expression,
        "IN_CIDR" => UnleashOperator::Network,
        _ => return None,
    })
}

/// A constraint's test, before it is inverted.
enum CompiledTest {
    Test(Test),
    /// It holds for nobody, or for everybody if it is inverted.
    Nobody(String),
    /// It holds for nobody even if it is inverted.
    Never(String),
}

impl CompileContext<'_> {
    /// The value that a context name stands for.
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

    /// Compiles a constraint. Oddities that do not break it are added to `odd`.
    pub(super) fn constraint(
        &mut self,
        document: &Item<ConstraintDocument<'_>>,
        odd: &mut Vec<String>,
    ) -> Result<Condition, Broken> {
        let document = document
            .0
            .as_ref()
            .map_err(|why| Broken(format!("a constraint cannot be read: {why}")))?;
        let (name, operator) = (&*document.context_name, &*document.operator);
        let kind = unleash_operator(operator)
            .ok_or_else(|| Broken(format!("the operator {operator:?} is unknown")))?;
        quoted(name)?;
        let subject = self.subject(name)?;
        let of_address = matches!(subject, Subject::Field(_, Field::RemoteAddress));
        let named = |why: String| format!("{operator} on {name}: {why}");
        let compiled = match kind {
            UnleashOperator::List(operator) => list(operator, document, of_address),
            UnleashOperator::Network => networks(document, odd),
            UnleashOperator::Expression => expression(document),
            UnleashOperator::Order(compare) => order(compare, document),
            UnleashOperator::Version(compare) => version(compare, document),
        };
        let inverted = document.inverted.unwrap_or_default();
        let condition = match compiled.map_err(|Broken(why)| Broken(named(why)))? {
            CompiledTest::Test(test) => condition(subject, test),
            CompiledTest::Nobody(why) => {
                let whom = if inverted { "everybody" } else { "nobody" };
                let why = named(why);
                odd.push(format!("{why}, so that the constraint holds for {whom}"));
                Condition::Never(why.into())
            }
            CompiledTest::Never(why) => {
                let why = named(why);
                odd.push(format!("{why}, so that the constraint holds for nobody"));
                return Ok(Condition::Never(why.into()));
            }
        };
        Ok(if inverted {
            Condition::Not(Box::new(condition))
        } else {
            condition
        })
    }
}

/// A test of a subject; one of a constant is decided at once.
pub(super) fn condition(subject: Subject, test: Test) -> Condition {
    match subject {
        Subject::Field(field_name, field) => Condition::Test(Constraint {
            field,
            field_name,
            test,
        }),
        Subject::Constant(field_name, value) => Condition::Settled(Box::new(Settled {
            held: test.passes(
                value
                    .as_deref()
                    .map_or(FieldValue::Missing, FieldValue::Text),
            ),
            value,
            constraint: Constraint {
                field: Field::Constant,
                field_name,
                test,
            },
        })),
    }
}

/// The values of a list.
fn list(
    operator: Operator,
    document: &ConstraintDocument<'_>,
    of_address: bool,
) -> Result<CompiledTest, Broken> {
    let values = texts(document)?;
    let ignore_case = document.case_insensitive.unwrap_or_default();
    let test = match operator {
        Operator::In | Operator::NotIn => one_of(operator, &values, of_address),
        _ if values.is_empty() => return Err(Broken("it has no values".to_owned())),
        _ => Test::of_text(operator, &values, ignore_case),
    };
    compiled(test)
}

fn compiled(test: Result<Test, ConstraintError>) -> Result<CompiledTest, Broken> {
    let test = test.map_err(|error| Broken(error.to_string()))?;
    Ok(CompiledTest::Test(test))
}

/// Without a value the expression matches every text; an invalid one matches none.
fn expression(document: &ConstraintDocument<'_>) -> Result<CompiledTest, Broken> {
    let text = document.value.as_deref().unwrap_or_default();
    ends_well(text)?;
    let ignore_case = document.case_insensitive.unwrap_or_default();
    Ok(
        match Test::of_text(Operator::Matches, &[text], ignore_case) {
            Ok(test) => CompiledTest::Test(test),
            Err(error) => CompiledTest::Nobody(error.to_string()),
        },
    )
}

fn order(compare: Compare, document: &ConstraintDocument<'_>) -> Result<CompiledTest, Broken> {
    let value = value(document)?;
    let test = ordered(compare, value).ok_or_else(|| {
        Broken(format!(
            "{value:?} is neither a number nor a version nor a time as in 2027-01-01T00:00:00Z"
        ))
    })?;
    Ok(CompiledTest::Test(test))
}

/// Unleash's engine takes a text that begins with `v` for a version that no user has.
fn version(compare: Compare, document: &ConstraintDocument<'_>) -> Result<CompiledTest, Broken> {
    let value = value(document)?;
    if value.starts_with('v') {
        return Ok(CompiledTest::Never(format!(
            "{value:?} is no semantic version, as in 10.1.0"
        )));
    }
    order(compare, document)
}

/// One of these texts, or none of them. Unleash ignores case only in parts of texts and in expressions.
fn one_of(operator: Operator, values: &[&str], of_address: bool) -> Result<Test, ConstraintError> {
    if !of_address {
        return Test::of_text(operator, values, false);
    }
    let values: Vec<_> = values.iter().map(|text| address(text)).collect();
    let values: Vec<_> = values.iter().map(|text| &**text).collect();
    Test::of_text(operator, &values, false)
}

fn texts<'d>(document: &'d ConstraintDocument<'_>) -> Result<Vec<&'d str>, Broken> {
    let values = document.values.as_deref().unwrap_or_default().iter();
    let checked = values.map(|text| ends_well(text).map(|()| &**text));
    checked.collect()
}

fn value<'d>(document: &'d ConstraintDocument<'_>) -> Result<&'d str, Broken> {
    let value = document.value.as_deref();
    value.ok_or_else(|| Broken("it has no value".to_owned()))
}

/// An address in the form in which a context's is written, so that other spellings match too.
fn address(text: &str) -> Box<str> {
    match text.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().to_string().into(),
        Err(_) => text.into(),
    }
}

/// Texts that are no networks are skipped, as Unleash does.
fn networks(
    document: &ConstraintDocument<'_>,
    odd: &mut Vec<String>,
) -> Result<CompiledTest, Broken> {
    let values = texts(document)?;
    if values.is_empty() {
        return Err(Broken("it has no values".to_owned()));
    }
    let networks = networks_of(values.into_iter(), odd);
    Ok(CompiledTest::Test(Test::Within(networks)))
}

/// The networks among texts; each other text is added to `odd`.
pub(super) fn networks_of<'t>(
    texts: impl Iterator<Item = &'t str>,
    odd: &mut Vec<String>,
) -> Vec<ipnet::IpNet> {
    let mut networks = Vec::new();
    for text in texts {
        match network(text).or_else(|| masked(text)) {
            Some(network) => networks.push(network),
            None => odd.push(format!(
                "{text:?} is no address and no network: passed over"
            )),
        }
    }
    networks
}

/// A network as in `10.0.0.0/255.0.0.0`.
fn masked(text: &str) -> Option<ipnet::IpNet> {
    let (address, mask) = text.split_once('/')?;
    let network = ipnet::Ipv4Net::with_netmask(address.parse().ok()?, mask.parse().ok()?);
    network.ok().map(|network| network.trunc().into())
}

/// The users whose field has one of some values: Unleash's `userWithId`, and overrides.
pub(super) fn named(subject: Subject, values: &[&str]) -> Condition {
    let of_address = matches!(subject, Subject::Field(_, Field::RemoteAddress));
    // A list of texts always compiles.
    match one_of(Operator::In, values, of_address) {
        Ok(test) => condition(subject, test),
        Err(error) => Condition::Never(error.to_string().into()),
    }
}

/// All of these conditions: a single one as it is.
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
