//! Flags and segments as Unleash's servers write them. Only what decides is read; a text may also be a number.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

/// One flag.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FeatureDocument<'a> {
    pub(super) enabled: bool,
    #[serde(borrow)]
    pub(super) description: Option<Text<'a>>,
    pub(super) impression_data: Option<bool>,
    #[serde(borrow)]
    pub(super) strategies: Option<Vec<StrategyDocument<'a>>>,
    #[serde(borrow)]
    pub(super) variants: Option<Vec<VariantDocument<'a>>>,
    #[serde(borrow)]
    pub(super) dependencies: Option<Vec<DependencyDocument<'a>>>,
}

/// One strategy of a flag.
#[derive(Deserialize)]
pub(super) struct StrategyDocument<'a> {
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    #[serde(borrow)]
    pub(super) title: Option<Text<'a>>,
    pub(super) disabled: Option<bool>,
    #[serde(borrow)]
    pub(super) parameters: Option<ParametersDocument<'a>>,
    #[serde(borrow)]
    pub(super) constraints: Option<Vec<ConstraintDocument<'a>>>,
    pub(super) segments: Option<Vec<i64>>,
    #[serde(borrow)]
    pub(super) variants: Option<Vec<VariantDocument<'a>>>,
}

/// What the strategies that are known take.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ParametersDocument<'a> {
    #[serde(borrow)]
    pub(super) rollout: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) percentage: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) group_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) stickiness: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) user_ids: Option<Text<'a>>,
    #[serde(borrow, rename = "IPs")]
    pub(super) ips: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) host_names: Option<Text<'a>>,
}

/// One constraint of a strategy or a segment.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
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
pub(super) struct VariantDocument<'a> {
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    pub(super) weight: u32,
    #[serde(borrow)]
    pub(super) stickiness: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) payload: Option<PayloadDocument<'a>>,
    #[serde(borrow)]
    pub(super) overrides: Option<Vec<OverrideDocument<'a>>>,
}

/// What a variant carries.
#[derive(Deserialize)]
pub(super) struct PayloadDocument<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Text<'a>,
    #[serde(borrow)]
    pub(super) value: Text<'a>,
}

/// Users who get a variant whatever their ticket.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OverrideDocument<'a> {
    #[serde(borrow)]
    pub(super) context_name: Text<'a>,
    #[serde(borrow)]
    pub(super) values: Vec<Text<'a>>,
}

/// A flag that another depends on.
#[derive(Deserialize)]
pub(super) struct DependencyDocument<'a> {
    #[serde(borrow)]
    pub(super) feature: Text<'a>,
    pub(super) enabled: Option<bool>,
    #[serde(borrow)]
    pub(super) variants: Option<Vec<Text<'a>>>,
}

/// One segment.
#[derive(Deserialize)]
pub(super) struct SegmentDocument<'a> {
    #[serde(borrow)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) constraints: Option<Vec<ConstraintDocument<'a>>>,
}

/// The IDs of the segments that a flag refers to; none when it cannot be read.
pub(super) fn segments_of(feature: &str) -> Vec<i64> {
    #[derive(Deserialize)]
    struct Feature {
        strategies: Option<Vec<Strategy>>,
    }
    #[derive(Deserialize)]
    struct Strategy {
        segments: Option<Vec<i64>>,
    }
    let feature: Option<Feature> = serde_json::from_str(feature).ok();
    let strategies = feature.and_then(|feature| feature.strategies);
    let strategies = strategies.unwrap_or_default().into_iter();
    strategies
        .flat_map(|strategy| strategy.segments.unwrap_or_default())
        .collect()
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
