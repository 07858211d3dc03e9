use super::super::{Condition, Constraint, Operator};
use crate::context::{Context, Field, Moment, Slot};
use crate::engine::trace::Silent;

const NOW: Moment = Moment {
    unix_ms: 1_800_000_000_000,
};
const PROPERTY: Field = Field::Property(Slot(0));

fn test(field: Field, operator: &str, values: &[&str], ignore_case: bool) -> Condition {
    let operator = Operator::from_name(operator).expect("an operator");
    let constraint = Constraint::new(field, "field".into(), operator, values, ignore_case);
    Condition::Test(constraint.expect("a constraint"))
}

fn context(value: Option<&str>) -> Context<'_> {
    Context {
        properties: [value.map(Into::into)].into_iter().collect(),
        ..Context::default()
    }
}

fn holds(condition: &Condition, value: Option<&str>) -> bool {
    condition.holds(&context(value), NOW, &mut Silent)
}

#[track_caller]
fn check(operator: &str, values: &[&str], ignore_case: bool, passing: &[&str], failing: &[&str]) {
    let condition = test(PROPERTY, operator, values, ignore_case);
    for value in passing {
        assert!(holds(&condition, Some(value)), "{condition}: {value:?}");
    }
    for value in failing {
        assert!(!holds(&condition, Some(value)), "{condition}: {value:?}");
    }
}

#[test]
fn texts() {
    check("in", &["a", "B"], false, &["a", "B"], &["A", "b", "ab"]);
    check("in", &["a", "ß"], true, &["a", "A", "ß"], &["b", "ss"]);
    check("in", &["ÄÖ"], true, &["äö", "ÄÖ", "äÖ"], &["ao"]);
    check("not_in", &["a"], true, &["b", "aa"], &["a", "A"]);
    check(
        "starts_with",
        &["ab", "x"],
        false,
        &["abc", "x"],
        &["Ab", "cab", "a"],
    );
    check("starts_with", &["AB"], true, &["abc", "aB"], &["a", "cab"]);
    check(
        "ends_with",
        &["@x.com"],
        true,
        &["u@X.COM", "@x.com"],
        &["u@x.co", "x.com"],
    );
    check(
        "contains",
        &["bc"],
        true,
        &["aBCd", "bc"],
        &["b", "cb", "äcb"],
    );
    check("contains", &["É"], true, &["caféx"], &["cafe"]);
    check("contains", &[""], true, &["anything"], &[]);
    check("matches", &["^a.c"], false, &["abcd"], &["ABC", "xabc"]);
    check("matches", &["b|d"], true, &["aBc", "D"], &["xyz"]);
}

#[test]
fn a_long_id_ignores_case_like_a_short_one() {
    let long = "Aa".repeat(200);
    let folded = long.to_lowercase();
    check("in", &[&long], true, &[&long, &folded], &[&long[1..], "a"]);
    let edge = "A".repeat(super::FOLDED);
    check("in", &[&edge], true, &[&edge.to_lowercase()], &[]);
}

#[test]
fn numbers() {
    check(
        "eq",
        &["1.5"],
        false,
        &["1.5", "1.50", "15e-1"],
        &["1", "x", "NaN", "inf"],
    );
    check(
        "gt",
        &["10"],
        false,
        &["10.1", "11", "inf"],
        &["10", "9", "1O"],
    );
    check("gte", &["-1"], false, &["-1", "0"], &["-1.1"]);
    check("lt", &["0"], false, &["-0.1"], &["0", "1"]);
    check("lte", &["0"], false, &["-0", "0"], &["1", " 0"]);
}

#[test]
fn points_in_time() {
    let border = "2027-01-01T00:00:00Z";
    check(
        "after",
        &[border],
        false,
        &[
            "2027-01-01T00:00:00.0001Z",
            "2027-01-01T00:30:00-01:00",
            "2028-02-29t00:00:00z",
        ],
        &[
            border,
            "2027-01-01T00:30:00+01:00",
            "2027-01-02",
            "2027-13-01T00:00:00Z",
            "soon",
            "2027-01-01T00:00:01",
        ],
    );
    check(
        "before",
        &[border],
        false,
        &["2026-12-31T23:59:59.999Z"],
        &[border],
    );
    let at = |operator, ms: i64| {
        let condition = test(Field::Now, operator, &[border], false);
        let moment = Moment {
            unix_ms: 1_798_761_600_000 + ms,
        };
        condition.holds(&Context::default(), moment, &mut Silent)
    };
    assert!(at("after", 1) && !at("after", 0) && !at("after", -1));
    assert!(at("before", -1) && !at("before", 0) && !at("before", 1));
}

#[test]
fn versions_compare_by_precedence() {
    check(
        "semver_gte",
        &["10.1.0"],
        false,
        &["10.1.0", "10.1.0+build", "10.2.0-rc.1", "11.0.0"],
        &["10.1.0-rc.1", "9.9.9", "10.1", "v10.2.0", ""],
    );
    check(
        "semver_eq",
        &["1.0.0+a"],
        false,
        &["1.0.0", "1.0.0+b"],
        &["1.0.1"],
    );
}

#[test]
fn addresses() {
    let condition = |operator| {
        test(
            Field::RemoteAddress,
            operator,
            &["10.0.0.0/8", "2001:db8::7"],
            false,
        )
    };
    for (address, inside) in [
        ("10.1.2.3", true),
        ("11.0.0.1", false),
        ("::ffff:10.1.2.3", true),
        ("2001:db8::7", true),
        ("2001:db8::8", false),
    ] {
        let context = Context {
            remote_address: address.parse().expect("an address"),
            ..Context::default()
        };
        let holds = |operator| condition(operator).holds(&context, NOW, &mut Silent);
        assert_eq!(holds("in"), inside, "{address}");
        assert_eq!(holds("not_in"), !inside, "{address}");
    }
}

#[test]
fn a_missing_value_passes_only_not_in_and_what_is_turned_round() {
    for (operator, value) in [
        ("in", "1"),
        ("not_in", "1"),
        ("starts_with", ""),
        ("ends_with", ""),
        ("contains", ""),
        ("eq", "0"),
        ("gt", "-1"),
        ("gte", "-1"),
        ("lt", "1"),
        ("lte", "1"),
        ("after", "1970-01-01T00:00:00Z"),
        ("before", "2100-01-01T00:00:00Z"),
        ("semver_eq", "0.0.0"),
        ("semver_gt", "0.0.0"),
        ("semver_gte", "0.0.0"),
        ("semver_lt", "9.0.0"),
        ("semver_lte", "9.0.0"),
        ("matches", ""),
    ] {
        let condition = test(PROPERTY, operator, &[value], false);
        for missing in [None, Some("")] {
            assert_eq!(
                holds(&condition, missing),
                operator == "not_in",
                "{condition}"
            );
            let inverted = Condition::Not(Box::new(condition.clone()));
            assert_eq!(
                holds(&inverted, missing),
                operator != "not_in",
                "{inverted}"
            );
        }
    }
}

#[test]
fn all_of_none_holds_and_any_of_none_does_not() {
    assert!(holds(&Condition::All(vec![]), None));
    assert!(!holds(&Condition::Any(vec![]), None));
}
