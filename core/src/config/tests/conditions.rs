//! Conditions and segments.

use super::{check_with, config, with};

/// A condition, compiled and printed.
fn printed(condition: &str) -> String {
    let text = with(&format!(
        "identity: {{ properties: {{ email: {{ cookie: e }}, version: {{ cookie: v }} }} }}\nsegments: {{ s: {condition}, t: {{ userId: t }} }}"
    ));
    config(&text).segments[0].condition.to_string()
}

#[test]
fn conditions_name_the_field_and_then_operators() {
    let all = [
        "{ userId: u }",
        "{ userId: [u1, u2], email: { ends_with: [\"@a\", \"@b\"], ignore_case: true } }",
        "{ version: { semver_gte: 10.1.0, semver_lt: 11.0.0 } }",
        "{ version: { gte: 1, lt: 2, not: true } }",
        "{ any: [{ email: a }, { all: [{ email: b }, { segment: t }] }], not: true }",
        "{ any: [{ email: A }], ignore_case: true }",
        "[{ userId: u }, { email: { not_in: [x] } }]",
        "{ remoteAddress: [10.0.0.0/8, '::1'] }",
        "{ remoteAddress: { not_in: 10.0.0.1 } }",
        "{ now: { after: 2027-01-01, before: 2027-01-01T12:00:00+02:00 } }",
        "{ email: { matches: '^a' } }",
        "{}",
    ];
    let printed: Vec<String> = all.iter().map(|condition| printed(condition)).collect();
    insta::assert_snapshot!(printed.join("\n"), @r#"
    userId in ["u"]
    userId in ["u1", "u2"] and email ends_with ["@a", "@b"], any case
    version semver_gte 10.1.0 and version semver_lt 11.0.0
    not (version gte 1 and version lt 2)
    not (email in ["a"] or (email in ["b"] and segment "t"))
    email in ["a"], any case
    userId in ["u"] and email not_in ["x"]
    remoteAddress in [10.0.0.0/8, ::1/128]
    remoteAddress not_in [10.0.0.1/32]
    now after 2027-01-01T00:00:00Z and now before 2027-01-01T10:00:00Z
    email matches /^a/
    everyone
    "#);
}

#[test]
fn what_is_wrong_with_conditions() {
    insta::assert_snapshot!(check_with("
identity: { properties: { email: { cookie: e }, appVersion: { header: v } } }
segments:
  a: { emial: x }
  b: { country: de }
  c: { email: { begins_with: x } }
  d: { email: {} }
  e: { appVersion: { semver_gte: v10 } }
  f: { now: [x] }
  g: { now: { after: tomorrow } }
  h: { remoteAddress: { in: [10.0.0.0/40] } }
  i: { appVersion: { gte: [1, 2] } }
  j: { email: { matches: '(' } }
  k: { appVersion: { gt: ten, ignore_case: true } }
  l: { any: { email: x } }
  m: { email: [[x]] }
  n: { email: }
  o: { email: { in: x, not: yes } }
"), @r#"
error: there is no field `emial`
 --> routes.yaml:6:8
  |
6 |   a: { emial: x }
  |        ^^^^^
  = hint: did you mean `email`?

error: there is no field `country`
 --> routes.yaml:7:8
  |
7 |   b: { country: de }
  |        ^^^^^^^
  = hint: flags may look at `userId`, `sessionId`, `remoteAddress`, `now`, `email`, `appVersion`; more under `identity.properties`

error: unknown key `begins_with`
 --> routes.yaml:8:17
  |
8 |   c: { email: { begins_with: x } }
  |                 ^^^^^^^^^^^
  = hint: valid here are `in`, `not_in`, `starts_with`, `ends_with`, `contains`, `eq`, `gt`, `gte`, `lt`, `lte`, `after`, `before`, `semver_eq`, `semver_gt`, `semver_gte`, `semver_lt`, `semver_lte`, `matches`, `not`, `ignore_case`

error: `email` is compared with nothing
 --> routes.yaml:9:8
  |
9 |   d: { email: {} }
  |        ^^^^^
  = hint: operators are in, not_in, starts_with, ends_with, contains, eq, gt, gte, lt, lte, after, before, semver_eq, semver_gt, semver_gte, semver_lt, semver_lte, matches

error: "v10" is not a semantic version, as in 10.1.0: unexpected character 'v' while parsing major version number
  --> routes.yaml:10:34
   |
10 |   e: { appVersion: { semver_gte: v10 } }
   |                                  ^^^

error: `in` does not go with `now`, which takes `after` and `before`
  --> routes.yaml:11:8
   |
11 |   f: { now: [x] }
   |        ^^^

error: "tomorrow" is not a point in time: write it as in 2027-01-01T00:00:00Z (RFC 3339), at most to the millisecond
  --> routes.yaml:12:22
   |
12 |   g: { now: { after: tomorrow } }
   |                      ^^^^^^^^

error: "10.0.0.0/40" is not an address or a network, as in 192.0.2.7 or 10.0.0.0/8
  --> routes.yaml:13:30
   |
13 |   h: { remoteAddress: { in: [10.0.0.0/40] } }
   |                              ^^^^^^^^^^^

error: `gte` takes exactly one value, not 2
  --> routes.yaml:14:22
   |
14 |   i: { appVersion: { gte: [1, 2] } }
   |                      ^^^

error: expected a text, found a list
  --> routes.yaml:14:27
   |
14 |   i: { appVersion: { gte: [1, 2] } }
   |                           ^^^^^^

error: "(" is not a regular expression: unclosed group
  --> routes.yaml:15:26
   |
15 |   j: { email: { matches: '(' } }
   |                          ^^^

error: "ten" is not a number
  --> routes.yaml:16:26
   |
16 |   k: { appVersion: { gt: ten, ignore_case: true } }
   |                          ^^^

error: `ignore_case` goes with operators that compare texts
  --> routes.yaml:16:31
   |
16 |   k: { appVersion: { gt: ten, ignore_case: true } }
   |                               ^^^^^^^^^^^

error: expected a list, found a map
  --> routes.yaml:17:13
   |
17 |   l: { any: { email: x } }
   |             ^^^^^^^^^^^^

error: expected a text, found a list
  --> routes.yaml:18:16
   |
18 |   m: { email: [[x]] }
   |                ^^^

error: expected a text or a list or a map, found nothing
  --> routes.yaml:19:13
   |
19 |   n: { email: }
   |             ^
   = hint: a list of one is written `[value]`

error: `yes` is not true or false
  --> routes.yaml:20:29
   |
20 |   o: { email: { in: x, not: yes } }
   |                             ^^^
   = hint: write `true` or `false`

routes.yaml: 17 errors
"#);
}

#[test]
fn segments_that_refer_to_each_other() {
    insta::assert_snapshot!(check_with("
segments:
  a: { segment: b }
  b: { any: [{ userId: u }, { segment: c }] }
  c: { segment: a }
  self: { segment: self }
  d: { segment: cc }
"), @r"
error: segments refer to each other in a circle: a → b → c → a
 --> routes.yaml:7:17
  |
7 |   c: { segment: a }
  |                 ^

error: segments refer to each other in a circle: self → self
 --> routes.yaml:8:20
  |
8 |   self: { segment: self }
  |                    ^^^^

error: there is no segment `cc`
 --> routes.yaml:9:17
  |
9 |   d: { segment: cc }
  |                 ^^
  = hint: did you mean `c`?

routes.yaml: 3 errors
");
}

#[test]
fn segments_do_not_multiply_without_bound() {
    let mut text = String::from("segments:\n  s0: { userId: u }\n");
    for level in 1..30 {
        let below = format!("{{ segment: s{} }}", level - 1);
        text += &format!("  s{level}: {{ any: [{below}, {below}] }}\n");
    }
    let said = check_with(&text);
    assert!(
        said.contains("this segment comes to more than 10000 tests"),
        "{said}"
    );
    let mut chain = String::from("segments:\n  s40: { userId: u }\n");
    for level in 0..40 {
        chain += &format!("  s{level}: {{ segment: s{} }}\n", level + 1);
    }
    assert!(check_with(&chain).contains("more than 32 segments refer to each other in a chain"));
}
