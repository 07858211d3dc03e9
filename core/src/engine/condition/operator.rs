//! The operators of `routes.yaml`, by the names they have there.

use std::fmt;

/// How two values must compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// Equal.
    Eq,
    /// Greater (later).
    Gt,
    /// Greater or equal.
    Gte,
    /// Less (earlier).
    Lt,
    /// Less or equal.
    Lte,
}

/// What a constraint asks of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// The value is one of these (Unleash: IN).
    In,
    /// The value is none of these, or missing (Unleash: NOT_IN).
    NotIn,
    /// The value begins with one of these (Unleash: STR_STARTS_WITH).
    StartsWith,
    /// The value ends with one of these (Unleash: STR_ENDS_WITH).
    EndsWith,
    /// The value contains one of these (Unleash: STR_CONTAINS).
    Contains,
    /// The value compares as a number (Unleash: NUM_EQ and its like).
    Number(Compare),
    /// The value is a point in time after this one (Unleash: DATE_AFTER).
    After,
    /// The value is a point in time before this one (Unleash: DATE_BEFORE).
    Before,
    /// The value compares as a semantic version (Unleash: SEMVER_EQ and its like).
    Semver(Compare),
    /// The value matches an expression somewhere (Unleash: REGEX).
    Matches,
}

/// Every operator with its name, in the order of the contract's table.
const TABLE: [(&str, Operator); 18] = [
    ("in", Operator::In),
    ("not_in", Operator::NotIn),
    ("starts_with", Operator::StartsWith),
    ("ends_with", Operator::EndsWith),
    ("contains", Operator::Contains),
    ("eq", Operator::Number(Compare::Eq)),
    ("gt", Operator::Number(Compare::Gt)),
    ("gte", Operator::Number(Compare::Gte)),
    ("lt", Operator::Number(Compare::Lt)),
    ("lte", Operator::Number(Compare::Lte)),
    ("after", Operator::After),
    ("before", Operator::Before),
    ("semver_eq", Operator::Semver(Compare::Eq)),
    ("semver_gt", Operator::Semver(Compare::Gt)),
    ("semver_gte", Operator::Semver(Compare::Gte)),
    ("semver_lt", Operator::Semver(Compare::Lt)),
    ("semver_lte", Operator::Semver(Compare::Lte)),
    ("matches", Operator::Matches),
];

impl Operator {
    /// The name of every operator, in the order of the contract's table.
    #[expect(
        clippy::indexing_slicing,
        reason = "in a constant, an index beyond the end does not compile"
    )]
    pub const NAMES: [&'static str; TABLE.len()] = {
        let mut names = [""; TABLE.len()];
        let mut index = 0;
        while index < TABLE.len() {
            names[index] = TABLE[index].0;
            index += 1;
        }
        names
    };

    /// The operator of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        TABLE
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, operator)| *operator)
    }

    /// Its name in `routes.yaml`.
    pub fn name(self) -> &'static str {
        TABLE
            .iter()
            .find(|(_, operator)| *operator == self)
            .map_or("", |(name, _)| name)
    }

    /// Whether it takes a list of values; the others take exactly one.
    pub fn takes_list(self) -> bool {
        matches!(
            self,
            Self::In | Self::NotIn | Self::StartsWith | Self::EndsWith | Self::Contains
        )
    }

    /// Whether `ignore_case` means anything to it.
    pub fn takes_ignore_case(self) -> bool {
        self.takes_list() || self == Self::Matches
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::{Operator, TABLE};

    #[test]
    fn names_lead_to_operators_and_back() {
        for ((name, operator), listed) in TABLE.into_iter().zip(Operator::NAMES) {
            assert_eq!(listed, name);
            assert_eq!(Operator::from_name(name), Some(operator));
            assert_eq!(operator.name(), name);
        }
        assert_eq!(Operator::from_name("IN"), None);
        assert_eq!(Operator::from_name(""), None);
    }
}
