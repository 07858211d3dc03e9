//! Local flags in Unleash's words, for servers that evaluate flags themselves.
//!
//! A ring becomes strategies: all constraints of an Unleash strategy must hold, so a ring whose condition says "any" is
//! written as one strategy for each way to meet it. They hash the same group, so that together they take exactly the users
//! whom the ring takes. A flag that cannot be expressed exactly is left out: a flag that is nearly right would put users on
//! one deployment here and on another there. That holds for shares that are no whole percent (Unleash's SDKs know no
//! smaller step), and for lists that ignore case.

use ipnet::IpNet;
use serde_json::{Value, json};

use crate::context::Field;
use crate::context::schema::ContextSchema;
use crate::engine::condition::{Compare, Condition, Constraint, Test, TextSet, Texts};
use crate::engine::{CanaryUrl, Flag, Ring, Rollout, Stickiness, Variants};
use crate::flag::Share;

/// The most strategies that one ring becomes.
const MOST: usize = 64;

/// The ways to meet a condition, each a list of constraints that must all hold.
type Ways = Vec<Vec<Value>>;

/// The document of a local flag; `None`: Unleash cannot express it.
pub(super) fn of(flag: &Flag, vocabulary: &ContextSchema) -> Option<Value> {
    let mut strategies = Vec::new();
    for ring in flag.rings.iter().filter(|ring| ring.enabled) {
        let sticky = sticky(ring.rollout.stickiness, vocabulary)?;
        let variants = ring.variants.as_ref().or(flag.variants.as_ref());
        let template = StrategyTemplate::of(&ring.rollout, sticky, variants)?;
        for constraints in ways(&ring.condition, false)? {
            strategies.push(template.strategy(ring, &constraints));
        }
    }
    Some(json!({
        "name": &*flag.name,
        "type": "release",
        "description": flag.about.description.as_deref(),
        // Without a strategy an Unleash flag is on for all users, and a local one for none.
        "enabled": flag.enabled && !strategies.is_empty(),
        "project": "default",
        "stale": false,
        "impressionData": flag.impression_data,
        "strategies": strategies,
        "variants": [],
    }))
}

/// A constraint that holds for no user.
pub(super) fn nobody() -> Value {
    listed("userId", "IN", &[], false)
}

/// The part of a ring that is the same in each of its strategies: percentage and variants.
enum StrategyTemplate {
    /// Everybody, without an ID.
    Everybody,
    /// A percentage.
    Percentage {
        parameters: Value,
        variants: Vec<Value>,
    },
}

impl StrategyTemplate {
    fn of(rollout: &Rollout, sticky: &str, variants: Option<&Variants>) -> Option<Self> {
        let hundredths = rollout.share.hundredths();
        if !hundredths.is_multiple_of(100) {
            return None;
        }
        // In Unleash even 100 % takes the ID that is hashed; only the default one may be missing.
        let by_field = rollout.stickiness != Stickiness::Default;
        if by_field && rollout.share == Share::ALL && !rollout.needs_id {
            return variants.is_none().then_some(Self::Everybody);
        }
        let variants = match variants {
            None => Vec::new(),
            Some(variants) => Self::variants(rollout, sticky, variants)?,
        };
        let parameters = json!({
            "rollout": (hundredths / 100).to_string(),
            "stickiness": sticky,
            "groupId": &**rollout.bucketing.unleash_group()?,
        });
        Some(Self::Percentage {
            parameters,
            variants,
        })
    }

    /// The variants as a strategy's, which Unleash chooses by the strategy's own ID and group; `None`: these are chosen by
    /// others.
    fn variants(rollout: &Rollout, sticky: &str, variants: &Variants) -> Option<Vec<Value>> {
        let is_alike = variants.stickiness() == rollout.stickiness
            && *variants.bucketing() == rollout.bucketing
            && variants.overrides().is_empty();
        let documents = variants.list().iter().map(|variant| {
            let mut document = json!({
                "name": &*variant.name,
                "weight": variant.weight,
                "weightType": "fix",
                "stickiness": sticky,
            });
            let url = variant.url.as_ref().and_then(CanaryUrl::allowed);
            if let (Some(document), Some(url)) = (document.as_object_mut(), url) {
                let payload = json!({ "type": "string", "value": url.to_string() });
                document.insert("payload".to_owned(), payload);
            }
            document
        });
        is_alike.then(|| documents.collect())
    }

    fn strategy(&self, ring: &Ring, constraints: &[Value]) -> Value {
        let (name, parameters, variants) = match self {
            Self::Everybody => ("default", &json!({}), &Vec::new()),
            Self::Percentage {
                parameters,
                variants,
            } => ("flexibleRollout", parameters, variants),
        };
        json!({
            "name": name,
            "title": &*ring.name,
            "constraints": constraints,
            "parameters": parameters,
            "variants": variants,
        })
    }
}

fn sticky(stickiness: Stickiness, vocabulary: &ContextSchema) -> Option<&str> {
    match stickiness {
        Stickiness::Default => Some("default"),
        Stickiness::Field(field) => match field {
            Field::UserId => Some("userId"),
            Field::SessionId => Some("sessionId"),
            Field::RemoteAddress => Some("remoteAddress"),
            Field::Property(slot) => {
                let name = vocabulary.names().get(usize::from(slot.0))?;
                Some(name)
            }
            Field::Now | Field::Constant => None,
        },
        Stickiness::Nothing => None,
    }
}

/// Every way to meet a condition, or not to meet it.
fn ways(condition: &Condition, inverted: bool) -> Option<Ways> {
    match condition {
        Condition::Not(inner) => ways(inner, !inverted),
        Condition::Segment(segment) => ways(&segment.condition, inverted),
        Condition::All(parts) if inverted => any(parts, inverted),
        Condition::All(parts) => all(parts, inverted),
        Condition::Any(parts) if inverted => all(parts, inverted),
        Condition::Any(parts) => any(parts, inverted),
        Condition::Test(test) => of_test(test, inverted),
        Condition::Settled(_) => None,
        Condition::Never(_) if inverted => Some(vec![Vec::new()]),
        Condition::Never(_) => Some(Vec::new()),
    }
}

fn any(parts: &[Condition], inverted: bool) -> Option<Ways> {
    let mut together = Vec::new();
    for part in parts {
        together.extend(ways(part, inverted)?);
    }
    (together.len() <= MOST).then_some(together)
}

fn all(parts: &[Condition], inverted: bool) -> Option<Ways> {
    let mut together: Ways = vec![Vec::new()];
    for part in parts {
        let more = ways(part, inverted)?;
        if together.len() * more.len() > MOST {
            return None;
        }
        let joined = together.iter().flat_map(|way| {
            let joined = more.iter().map(|more| [&way[..], &more[..]].concat());
            joined.collect::<Vec<_>>()
        });
        together = joined.collect();
    }
    Some(together)
}

fn of_test(constraint: &Constraint, inverted: bool) -> Option<Ways> {
    let one = |constraint: Value| Some(vec![vec![constraint]]);
    let field = field(constraint)?;
    let single = |operator: &str, value: &str| one(single(field, operator, value, inverted));
    match &constraint.test {
        Test::In(set) => one(set_of(field, "IN", set, inverted)?),
        Test::NotIn(set) => one(set_of(field, "NOT_IN", set, inverted)?),
        Test::StartsWith(list) => one(parts(field, "STR_STARTS_WITH", list, inverted)),
        Test::EndsWith(list) => one(parts(field, "STR_ENDS_WITH", list, inverted)),
        Test::Contains(list) => one(parts(field, "STR_CONTAINS", list, inverted)),
        Test::Within(list) => one(networks(field, list, inverted)),
        Test::NotWithin(list) => one(networks(field, list, !inverted)),
        Test::Number(compare, number) => {
            single(&format!("NUM_{}", name(*compare)), &number.to_string())
        }
        Test::Date(Compare::Gt, moment) => single("DATE_AFTER", &moment.to_string()),
        Test::Date(Compare::Lt, moment) => single("DATE_BEFORE", &moment.to_string()),
        Test::Date(Compare::Eq | Compare::Gte | Compare::Lte, _) => None,
        Test::Semver(compare, version) => {
            Some(versions(field, *compare, &version.to_string(), inverted))
        }
        Test::Matches(expression) => single("REGEX", expression.as_str()),
    }
}

/// Unleash's name of the field that a constraint tests.
fn field(constraint: &Constraint) -> Option<&str> {
    Some(match constraint.field {
        Field::UserId => "userId",
        Field::SessionId => "sessionId",
        Field::RemoteAddress => "remoteAddress",
        Field::Now => "currentTime",
        Field::Property(_) => &constraint.field_name,
        Field::Constant => return None,
    })
}

fn set_of(field: &str, operator: &str, set: &TextSet, inverted: bool) -> Option<Value> {
    let mut texts: Vec<_> = set.texts.iter().cloned().collect();
    texts.sort();
    (!set.ignore_case).then(|| listed(field, operator, &texts, inverted))
}

fn parts(field: &str, operator: &str, list: &Texts, inverted: bool) -> Value {
    let mut said = listed(field, operator, &list.texts, inverted);
    if let Some(said) = said.as_object_mut() {
        said.insert("caseInsensitive".to_owned(), list.ignore_case.into());
    }
    said
}

fn networks(field: &str, list: &[IpNet], inverted: bool) -> Value {
    let list: Vec<Box<str>> = list.iter().map(|net| net.to_string().into()).collect();
    listed(field, "IN_CIDR", &list, inverted)
}

/// "Or equal" of versions is written as two ways, since not every SDK knows it.
fn versions(field: &str, compare: Compare, version: &str, inverted: bool) -> Ways {
    let said = |compare| {
        let operator = format!("SEMVER_{}", name(compare));
        single(field, &operator, version, inverted)
    };
    let other = match compare {
        Compare::Gte => Compare::Gt,
        Compare::Lte => Compare::Lt,
        Compare::Eq | Compare::Gt | Compare::Lt => return vec![vec![said(compare)]],
    };
    let (equal, other) = (said(Compare::Eq), said(other));
    if inverted {
        vec![vec![equal, other]]
    } else {
        vec![vec![equal], vec![other]]
    }
}

fn name(compare: Compare) -> &'static str {
    match compare {
        Compare::Eq => "EQ",
        Compare::Gt => "GT",
        Compare::Gte => "GTE",
        Compare::Lt => "LT",
        Compare::Lte => "LTE",
    }
}

fn listed(field: &str, operator: &str, values: &[Box<str>], inverted: bool) -> Value {
    let values: Vec<&str> = values.iter().map(|value| &**value).collect();
    json!({
        "contextName": field,
        "operator": operator,
        "values": values,
        "inverted": inverted,
        "caseInsensitive": false,
    })
}

fn single(field: &str, operator: &str, value: &str, inverted: bool) -> Value {
    json!({
        "contextName": field,
        "operator": operator,
        "value": value,
        "values": [],
        "inverted": inverted,
        "caseInsensitive": false,
    })
}

#[cfg(test)]
mod tests;
