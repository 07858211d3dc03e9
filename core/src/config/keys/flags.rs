//! The keys of `flags` and `segments`.

use std::sync::Arc;

use super::key::{Group, Setting, Stated, group, required, setting, stated};
use super::kinds::texts::{Name, Parsed, Text, name};
use super::kinds::{Bool, Integer, Percentage, Url, integer};
use super::shape::{Form, Shape, list, map, map_with_names, names, text};
use super::shape::{TEXT, TEXTS};
use crate::config::value;
use crate::flag::Share;

pub(super) static FLAGS: Shape = names(&FLAG);

pub(crate) static FLAG: Shape = map(&[
    &URL,
    &VARIANTS,
    &DESCRIPTION,
    &OWNER,
    &EXPIRES,
    &ENABLED,
    &PRIORITY,
    &STICKINESS,
    &GROUP,
    &RINGS,
]);

pub(crate) static URL: Stated<Url> =
    stated("url", "The canary's URL: users who are on go there.", Url);

pub(crate) static VARIANTS: Group = group(
    "variants",
    "Several arms; one without a URL is the control: stable, under this flag.",
    &VARIANT_LIST,
);

pub(crate) static DESCRIPTION: Stated<Text> = stated("description", "What it is for.", Text);

pub(crate) static OWNER: Stated<Text> = stated("owner", "Who answers for it.", Text);

// Read by its section, which has to say when it is past.
pub(crate) static EXPIRES: Stated<Text> = stated(
    "expires",
    "The day on which it should be gone: a reminder, never a decision.",
    Text,
);

pub(crate) static ENABLED: Setting<Bool> = setting(
    "enabled",
    "Whether it can be on at all; default {default}.",
    Bool,
    true,
);

pub(crate) static PRIORITY: Setting<Integer<i32>> = setting(
    "priority",
    "Its rank among canary flags that one entry of `canaries` matches: higher comes first; default {default}.",
    integer(0, 1_000_000),
    0,
);

// Read by its section, which knows the fields.
pub(crate) static STICKINESS: Stated<Text> = stated(
    "stickiness",
    "What is hashed: default (userId, else sessionId), userId, sessionId or a property.",
    Text,
);

// Its default is the flag's name.
pub(crate) static GROUP: Stated<Name<Arc<str>>> = stated(
    "group",
    "What the ID is hashed together with; default the flag's name.",
    name(),
);

pub(crate) static RINGS: Group = group(
    "rings",
    "Its audiences: any ring that holds puts the user on the canary.",
    &RING_LIST,
);

static VARIANT_LIST: Shape = list(&VARIANT);

static VARIANT: Shape = map(&[&VARIANT_NAME, &WEIGHT, &VARIANT_URL]);

pub(crate) static VARIANT_NAME: Stated<Parsed<Arc<str>>> = required(
    "name",
    "Its name; stable is always the stable deployment.",
    Parsed {
        what: "a name for a variant",
        stand_in: "placeholder",
        parse: value::variant_name,
    },
);

// Read by its section, in thousandths.
pub(crate) static WEIGHT: Stated<Percentage> = required(
    "weight",
    "Its part, in steps of 0.1%; all together are 100%.",
    Percentage,
);

pub(crate) static VARIANT_URL: Stated<Url> =
    stated("url", "Where its users go; without one, to stable.", Url);

pub(crate) static RING_LIST: Shape = list(&RING);

static RING: Shape = map(&[
    &RING_NAME,
    &RING_ENABLED,
    &RING_SEGMENT,
    &RING_SEGMENTS,
    &WHEN,
    &ROLLOUT,
]);

pub(crate) static RING_NAME: Stated<Name<Arc<str>>> =
    stated("name", "Its name, for people.", name());

pub(crate) static RING_ENABLED: Setting<Bool> = setting(
    "enabled",
    "false: it takes nobody, and leaves the other rings as they are; default {default}.",
    Bool,
    true,
);

pub(crate) static RING_SEGMENT: Stated<Text> =
    stated("segment", "A segment that the user must belong to.", Text);

pub(crate) static RING_SEGMENTS: Group = group(
    "segments",
    "Segments that the user must all belong to.",
    &TEXTS,
);

pub(crate) static WHEN: Group = group("when", "Conditions that must all hold.", &CONDITIONS);

pub(crate) static ROLLOUT: Setting<Percentage> = setting(
    "rollout",
    "The percentage of users, in steps of 0.01%; default {default}.",
    Percentage,
    Share::ALL,
);

pub(super) static SEGMENTS: Shape = names(&CONDITIONS);

/// One map of conditions, or a list of them; all must hold.
pub(crate) static CONDITIONS: Shape = Shape {
    list: Some(&CONDITION),
    name: None,
    ..CONDITION
};

static CONDITION: Shape = Shape {
    name: Some("condition"),
    ..map_with_names(&[&ANY, &ALL, &SEGMENT, &NOT, &IGNORE_CASE], &FIELD)
};

pub(crate) static ANY: Group = group("any", "At least one of these holds.", &CONDITION_LIST);

pub(crate) static ALL: Group = group("all", "Every one of these holds.", &CONDITION_LIST);

pub(crate) static SEGMENT: Stated<Text> =
    stated("segment", "The user belongs to this segment.", Text);

pub(crate) static NOT: Stated<Bool> =
    stated("not", "true: what stands beside it must not hold.", Bool);

pub(crate) static IGNORE_CASE: Stated<Bool> = stated(
    "ignore_case",
    "true: texts are compared without regard to case.",
    Bool,
);

static CONDITION_LIST: Shape = list(&CONDITION);

/// The test of a field: a value, a list of which it is one, or operators.
static FIELD: Shape = Shape {
    text: Some(Form::Any),
    list: Some(&TEXT),
    name: Some("field"),
    ..map(&[
        &operator("in", "One of these.", &VALUE_OR_LIST),
        &operator("not_in", "None of these, or missing.", &VALUE_OR_LIST),
        &operator(
            "starts_with",
            "Begins with this, or one of these.",
            &VALUE_OR_LIST,
        ),
        &operator(
            "ends_with",
            "Ends with this, or one of these.",
            &VALUE_OR_LIST,
        ),
        &operator(
            "contains",
            "Contains this, or one of these.",
            &VALUE_OR_LIST,
        ),
        &operator("eq", "Equals this number.", &TEXT),
        &operator("gt", "Is greater than this number.", &TEXT),
        &operator("gte", "Is this number or greater.", &TEXT),
        &operator("lt", "Is less than this number.", &TEXT),
        &operator("lte", "Is this number or less.", &TEXT),
        &operator(
            "after",
            "Is later than this date or moment (RFC 3339).",
            &TEXT,
        ),
        &operator(
            "before",
            "Is earlier than this date or moment (RFC 3339).",
            &TEXT,
        ),
        &operator("semver_eq", "Is this semantic version.", &TEXT),
        &operator("semver_gt", "Is a later semantic version.", &TEXT),
        &operator(
            "semver_gte",
            "Is this semantic version or a later one.",
            &TEXT,
        ),
        &operator("semver_lt", "Is an earlier semantic version.", &TEXT),
        &operator(
            "semver_lte",
            "Is this semantic version or an earlier one.",
            &TEXT,
        ),
        &operator(
            "matches",
            "Matches this regular expression somewhere.",
            &TEXT,
        ),
        &NOT,
        &IGNORE_CASE,
    ])
};

static VALUE_OR_LIST: Shape = Shape {
    list: Some(&TEXT),
    ..text(Form::Any)
};

/// An operator; the engine knows it by the same name.
const fn operator(name: &'static str, about: &'static str, values: &'static Shape) -> Group {
    group(name, about, values)
}
