//! Flags and segments as Unleash's servers write them. Only members that decide are read; a text may also be a number. A
//! member that cannot be read affects as little as possible of what stands beside it ([`Item`]).

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// One flag.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "a flag")]
pub(super) struct FeatureDocument<'a> {
    pub(super) enabled: bool,
    #[serde(borrow)]
    pub(super) description: Option<Item<Text<'a>>>,
    pub(super) impression_data: Option<Item<bool>>,
    #[serde(borrow)]
    pub(super) strategies: Option<Vec<Item<StrategyDocument<'a>>>>,
    #[serde(borrow)]
    pub(super) variants: Option<Vec<VariantDocument<'a>>>,
    #[serde(borrow)]
    pub(super) dependencies: Option<Vec<DependencyDocument<'a>>>,
}

/// One strategy of a flag.
#[derive(Deserialize)]
#[serde(expecting = "a strategy")]
pub(super) struct StrategyDocument<'a> {
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    #[serde(borrow)]
    pub(super) title: Option<Item<Text<'a>>>,
    pub(super) disabled: Option<bool>,
    #[serde(borrow)]
    pub(super) parameters: Option<Item<ParametersDocument<'a>>>,
    #[serde(borrow)]
    pub(super) constraints: Option<Vec<Item<ConstraintDocument<'a>>>>,
    pub(super) segments: Option<Vec<Item<i64>>>,
    #[serde(borrow)]
    pub(super) variants: Option<Vec<VariantDocument<'a>>>,
}

/// The parameters of the strategies that are known. Unknown strategies may use the same names for something else.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "parameters")]
pub(super) struct ParametersDocument<'a> {
    #[serde(borrow)]
    pub(super) rollout: Parameter<'a>,
    #[serde(borrow)]
    pub(super) percentage: Parameter<'a>,
    #[serde(borrow)]
    pub(super) group_id: Parameter<'a>,
    #[serde(borrow)]
    pub(super) stickiness: Parameter<'a>,
    #[serde(borrow)]
    pub(super) user_ids: Parameter<'a>,
    #[serde(borrow, rename = "IPs")]
    pub(super) ips: Parameter<'a>,
    #[serde(borrow)]
    pub(super) host_names: Parameter<'a>,
}

/// A parameter of a strategy, if it has it.
pub(super) type Parameter<'a> = Option<Item<Text<'a>>>;

/// One constraint of a strategy or a segment.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "a constraint")]
pub(super) struct ConstraintDocument<'a> {
    #[serde(borrow)]
    pub(super) context_name: Text<'a>,
    #[serde(borrow)]
    pub(super) operator: Text<'a>,
    #[serde(borrow)]
    pub(super) values: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    pub(super) value: Option<Text<'a>>,
    pub(super) inverted: Option<bool>,
    pub(super) case_insensitive: Option<bool>,
}

/// One variant of a flag or a strategy.
#[derive(Deserialize)]
#[serde(expecting = "a variant")]
pub(super) struct VariantDocument<'a> {
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    pub(super) weight: u32,
    #[serde(borrow)]
    pub(super) stickiness: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) payload: Option<Item<PayloadDocument<'a>>>,
    #[serde(borrow)]
    pub(super) overrides: Option<Vec<OverrideDocument<'a>>>,
}

/// What a variant carries.
#[derive(Deserialize)]
#[serde(expecting = "a payload")]
pub(super) struct PayloadDocument<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Text<'a>,
    #[serde(borrow)]
    pub(super) value: Text<'a>,
}

/// Users who get a variant whatever their bucket value.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an override")]
pub(super) struct OverrideDocument<'a> {
    #[serde(borrow)]
    pub(super) context_name: Text<'a>,
    #[serde(borrow)]
    pub(super) values: Vec<Text<'a>>,
}

/// A flag that another depends on.
#[derive(Deserialize)]
#[serde(expecting = "a dependency")]
pub(super) struct DependencyDocument<'a> {
    #[serde(borrow)]
    pub(super) feature: Text<'a>,
    pub(super) enabled: Option<bool>,
    #[serde(borrow)]
    pub(super) variants: Option<Vec<Text<'a>>>,
}

/// One segment.
#[derive(Deserialize)]
#[serde(expecting = "a segment")]
pub(super) struct SegmentDocument<'a> {
    #[serde(borrow)]
    pub(super) name: Option<Item<Text<'a>>>,
    #[serde(borrow)]
    pub(super) constraints: Vec<Item<ConstraintDocument<'a>>>,
}

/// The IDs of the segments that a flag refers to; none when it cannot be read.
pub(super) fn segments_of(feature: &str) -> Vec<i64> {
    #[derive(Deserialize)]
    struct Feature {
        strategies: Option<Vec<Item<Strategy>>>,
    }
    #[derive(Deserialize)]
    struct Strategy {
        segments: Option<Vec<Item<i64>>>,
    }
    let feature: Option<Feature> = serde_json::from_str(feature).ok();
    let strategies = feature.and_then(|feature| feature.strategies);
    let strategies = strategies.unwrap_or_default().into_iter();
    strategies
        .filter_map(Item::read)
        .flat_map(|strategy| strategy.segments.unwrap_or_default())
        .filter_map(Item::read)
        .collect()
}

/// A member that is read by itself, or why it cannot be read.
#[derive(Debug)]
pub(super) struct Item<T>(pub(super) Result<T, String>);

impl<T> Item<T> {
    /// The member, if it can be read.
    pub(super) fn read(self) -> Option<T> {
        self.0.ok()
    }

    /// The member by reference, if it can be read.
    pub(super) fn get(&self) -> Option<&T> {
        self.0.as_ref().ok()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Item<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&RawValue>::deserialize(deserializer)?.get();
        Ok(Self(
            serde_json::from_str(text).map_err(|error| why(&error)),
        ))
    }
}

/// What is wrong with a member, without line and column: those count from the member's start, which readers do not see.
pub(super) fn why(error: &serde_json::Error) -> String {
    let whole = error.to_string();
    let said = whole
        .rsplit_once(" at line ")
        .map_or(&*whole, |(said, _)| said);
    said.to_owned()
}

/// A text, borrowed from the document where nothing in it is escaped. Numbers and truth values are taken as they are
/// written: not everyone who writes flags by hand puts them in quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text<'a>(Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(value.to_string())))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(value.to_string())))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(value.to_string())))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(value.to_string())))
    }
}
