//! The keys of `flags` and `segments`.

use super::{
    BOOL, Key, PERCENTAGE, Shape, TEXT, TEXTS, Text, URL, key, list, map, map_with_names, names,
    required, text,
};

pub(super) static FLAGS: Shape = names(&FLAG);

static FLAG: Shape = map(&[
    key("url", "The canary's URL: users who are on go there.", &URL),
    key(
        "variants",
        "Several arms; one without a URL is the control: stable, under this flag.",
        &VARIANTS,
    ),
    key("description", "What it is for.", &TEXT),
    key("owner", "Who answers for it.", &TEXT),
    key(
        "expires",
        "The day on which it should be gone: a reminder, never a decision.",
        &TEXT,
    ),
    key(
        "enabled",
        "Whether it can be on at all; default true.",
        &BOOL,
    ),
    key(
        "priority",
        "Its rank among canary flags that one entry of `canaries` matches: higher comes first; default 0.",
        &PRIORITY,
    ),
    key(
        "stickiness",
        "What is hashed: default (userId, else sessionId), userId, sessionId or a property.",
        &TEXT,
    ),
    key(
        "group",
        "What the ID is hashed together with; default the flag's name.",
        &TEXT,
    ),
    key(
        "rings",
        "Its audiences: any ring that holds puts the user on the canary.",
        &RINGS,
    ),
]);

static PRIORITY: Shape = text(Text::Integer(0, 1_000_000));

static VARIANTS: Shape = list(&VARIANT);

static VARIANT: Shape = map(&[
    required(
        "name",
        "Its name; stable is always the stable deployment.",
        &TEXT,
    ),
    required(
        "weight",
        "Its part, in steps of 0.1%; all together are 100%.",
        &PERCENTAGE,
    ),
    key("url", "Where its users go; without one, to stable.", &URL),
]);

static RINGS: Shape = list(&RING);

static RING: Shape = map(&[
    key("name", "Its name, for people.", &TEXT),
    key("segment", "A segment that the user must belong to.", &TEXT),
    key(
        "segments",
        "Segments that the user must all belong to.",
        &TEXTS,
    ),
    key("when", "Conditions that must all hold.", &CONDITIONS),
    key(
        "rollout",
        "The percentage of users, in steps of 0.01%; default 100%.",
        &PERCENTAGE,
    ),
]);

pub(super) static SEGMENTS: Shape = names(&CONDITIONS);

/// One map of conditions, or a list of them; all must hold.
static CONDITIONS: Shape = Shape {
    list: Some(&CONDITION),
    ..map_with_names(&CONDITION_KEYS, &FIELD)
};

static CONDITION: Shape = Shape {
    name: Some("condition"),
    ..map_with_names(&CONDITION_KEYS, &FIELD)
};

static CONDITION_KEYS: [Key; 5] = [
    key("any", "At least one of these holds.", &CONDITION_LIST),
    key("all", "Every one of these holds.", &CONDITION_LIST),
    key("segment", "The user belongs to this segment.", &TEXT),
    key("not", "true: what stands beside it must not hold.", &BOOL),
    key(
        "ignore_case",
        "true: texts are compared without regard to case.",
        &BOOL,
    ),
];

static CONDITION_LIST: Shape = list(&CONDITION);

/// What a field must be: a value, one of a list, or operators.
static FIELD: Shape = Shape {
    text: Some(Text::Any),
    list: Some(&TEXT),
    name: Some("field"),
    ..map(&OPERATORS)
};

static VALUE_OR_LIST: Shape = Shape {
    list: Some(&TEXT),
    ..text(Text::Any)
};

static OPERATORS: [Key; 20] = [
    key("in", "One of these.", &VALUE_OR_LIST),
    key("not_in", "None of these, or missing.", &VALUE_OR_LIST),
    key(
        "starts_with",
        "Begins with this, or one of these.",
        &VALUE_OR_LIST,
    ),
    key(
        "ends_with",
        "Ends with this, or one of these.",
        &VALUE_OR_LIST,
    ),
    key(
        "contains",
        "Contains this, or one of these.",
        &VALUE_OR_LIST,
    ),
    key("eq", "Equals this number.", &TEXT),
    key("gt", "Is greater than this number.", &TEXT),
    key("gte", "Is this number or greater.", &TEXT),
    key("lt", "Is less than this number.", &TEXT),
    key("lte", "Is this number or less.", &TEXT),
    key(
        "after",
        "Is later than this date or moment (RFC 3339).",
        &TEXT,
    ),
    key(
        "before",
        "Is earlier than this date or moment (RFC 3339).",
        &TEXT,
    ),
    key("semver_eq", "Is this semantic version.", &TEXT),
    key("semver_gt", "Is a later semantic version.", &TEXT),
    key(
        "semver_gte",
        "Is this semantic version or a later one.",
        &TEXT,
    ),
    key("semver_lt", "Is an earlier semantic version.", &TEXT),
    key(
        "semver_lte",
        "Is this semantic version or an earlier one.",
        &TEXT,
    ),
    key(
        "matches",
        "Matches this regular expression somewhere.",
        &TEXT,
    ),
    key("not", "true: what stands beside it must not hold.", &BOOL),
    key(
        "ignore_case",
        "true: texts are compared without regard to case.",
        &BOOL,
    ),
];
