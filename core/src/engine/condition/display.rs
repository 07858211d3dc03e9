//! Conditions as people read them.

use std::fmt::{self, Display};

use super::{Compare, Condition, Constraint, Operator, Test};

/// Longer lists are cut here: an audience may be thousands of IDs.
const SHOWN: usize = 5;

impl Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(parts) if parts.is_empty() => f.write_str("everyone"),
            Self::Any(parts) if parts.is_empty() => f.write_str("no one"),
            Self::All(parts) => joined(f, parts, " and "),
            Self::Any(parts) => joined(f, parts, " or "),
            Self::Not(inner) => {
                f.write_str("not ")?;
                part(f, inner)
            }
            Self::Segment(segment) => write!(f, "segment {:?}", segment.name),
            Self::Test(constraint) => constraint.fmt(f),
            Self::Settled(settled) => settled.constraint.fmt(f),
            Self::Never(why) => write!(f, "never ({why})"),
        }
    }
}

fn joined(f: &mut fmt::Formatter<'_>, parts: &[Condition], word: &str) -> fmt::Result {
    if let [only] = parts {
        return only.fmt(f);
    }
    for (index, inner) in parts.iter().enumerate() {
        if index > 0 {
            f.write_str(word)?;
        }
        part(f, inner)?;
    }
    Ok(())
}

/// A part of a larger condition: in parentheses where it would read otherwise without them.
fn part(f: &mut fmt::Formatter<'_>, inner: &Condition) -> fmt::Result {
    match inner {
        Condition::All(parts) | Condition::Any(parts) if parts.len() > 1 => write!(f, "({inner})"),
        _ => inner.fmt(f),
    }
}

impl Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field_name, self.test)
    }
}

impl Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::In(set) | Self::NotIn(set) => {
                // A set has no order of its own; people and snapshot tests need one.
                let mut texts: Vec<_> = set.texts.iter().collect();
                texts.sort();
                let operator = if matches!(self, Self::In(_)) {
                    Operator::In
                } else {
                    Operator::NotIn
                };
                list(f, operator, texts.into_iter(), set.ignore_case)
            }
            Self::StartsWith(list_) => list(
                f,
                Operator::StartsWith,
                list_.texts.iter(),
                list_.ignore_case,
            ),
            Self::EndsWith(list_) => {
                list(f, Operator::EndsWith, list_.texts.iter(), list_.ignore_case)
            }
            Self::Contains(list_) => {
                list(f, Operator::Contains, list_.texts.iter(), list_.ignore_case)
            }
            Self::Within(nets) => list(f, Operator::In, nets.iter().map(Plain), false),
            Self::NotWithin(nets) => list(f, Operator::NotIn, nets.iter().map(Plain), false),
            Self::Number(compare, number) => write!(f, "{} {number}", Operator::Number(*compare)),
            Self::Date(compare, moment) => {
                let word = match compare {
                    Compare::Eq => "at",
                    Compare::Gt => "after",
                    Compare::Gte => "at or after",
                    Compare::Lt => "before",
                    Compare::Lte => "at or before",
                };
                write!(f, "{word} {moment}")
            }
            Self::Semver(compare, version) => write!(f, "{} {version}", Operator::Semver(*compare)),
            Self::Matches(expression) => write!(f, "matches /{expression}/"),
        }
    }
}

/// Shows in lists without quotes.
struct Plain<T>(T);

impl<T: Display> fmt::Debug for Plain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn list(
    f: &mut fmt::Formatter<'_>,
    operator: Operator,
    values: impl ExactSizeIterator<Item: fmt::Debug>,
    ignore_case: bool,
) -> fmt::Result {
    let count = values.len();
    write!(f, "{operator} [")?;
    for (index, value) in values.take(SHOWN).enumerate() {
        let comma = if index > 0 { ", " } else { "" };
        write!(f, "{comma}{value:?}")?;
    }
    if count > SHOWN {
        write!(f, ", … {} more", count - SHOWN)?;
    }
    f.write_str(if ignore_case { "], any case" } else { "]" })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Condition, Constraint, Operator};
    use crate::context::{Field, Slot};
    use crate::engine::Segment;

    fn test(name: &str, operator: &str, values: &[&str], ignore_case: bool) -> Condition {
        let field = match name {
            "userId" => Field::UserId,
            "now" => Field::Now,
            "remoteAddress" => Field::RemoteAddress,
            _ => Field::Property(Slot(0)),
        };
        let operator = Operator::from_name(operator).expect("an operator");
        let constraint = Constraint::new(field, name.into(), operator, values, ignore_case);
        Condition::Test(constraint.expect("a constraint"))
    }

    #[test]
    fn constraints_read_as_in_the_file() {
        for (condition, expected) in [
            (
                test("customerId", "in", &["112233"], false),
                r#"customerId in ["112233"]"#,
            ),
            (
                test(
                    "userId",
                    "not_in",
                    &["g", "f", "e", "d", "c", "b", "a"],
                    false,
                ),
                r#"userId not_in ["a", "b", "c", "d", "e", … 2 more]"#,
            ),
            (
                test("email", "ends_with", &["@Example.com"], true),
                r#"email ends_with ["@example.com"], any case"#,
            ),
            (
                test("remoteAddress", "in", &["10.1.2.3/8", "::1"], false),
                "remoteAddress in [10.0.0.0/8, ::1/128]",
            ),
            (test("age", "gte", &["18.50"], false), "age gte 18.5"),
            (
                test("now", "after", &["2027-01-01T01:00:00+01:00"], false),
                "now after 2027-01-01T00:00:00Z",
            ),
            (
                test("v", "semver_lt", &["1.2.3-rc.1"], false),
                "v semver_lt 1.2.3-rc.1",
            ),
            (
                test("path", "matches", &["^a"], true),
                "path matches /(?i)^a/",
            ),
        ] {
            assert_eq!(condition.to_string(), expected);
        }
    }

    #[test]
    fn nesting_shows_in_parentheses() {
        let a = || test("a", "eq", &["1"], false);
        let either = Condition::Any(vec![a(), Condition::Not(Box::new(a()))]);
        let segment = Condition::Segment(Arc::new(Segment {
            name: "Users — Search Team".into(),
            condition: a(),
        }));
        let whole = Condition::All(vec![segment, either]);
        assert_eq!(
            whole.to_string(),
            "segment \"Users — Search Team\" and (a eq 1 or not a eq 1)"
        );
        assert_eq!(Condition::All(vec![]).to_string(), "everyone");
        assert_eq!(Condition::Any(vec![]).to_string(), "no one");
    }
}
