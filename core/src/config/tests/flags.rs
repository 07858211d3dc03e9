//! `flags`.

use super::{check_with, config, with};
use crate::context::{Field, Slot};
use crate::engine::condition::Condition;
use crate::engine::{CanaryUrl, Stickiness};
use crate::flag::Share;

#[test]
fn a_flag_is_compiled_whole() {
    let config = config(&with(
        "
flags:
  b.x: { url: http://127.0.0.1:2, rings: [{}] }
  a.x:
    url: http://127.0.0.1:3
    description: New
    owner: me
    expires: 2027-01-31
    enabled: false
    stickiness: customer
    group: shared
    rings:
      - { name: team, segment: s }
      - { enabled: false, segments: [s, t], when: [{ userId: u }, { now: { after: 2027-01-01 } }], rollout: 0.25% }
segments: { s: { userId: u }, t: { segment: s } }
identity: { properties: { customer: { cookie: c } } }
",
    ));
    let [a, b] = config.flags.as_slice() else {
        panic!("{:?}", config.flags);
    };
    assert_eq!((&*a.name, a.enabled, b.enabled), ("a.x", false, true));
    assert_eq!(
        a.about.expires.map(|at| at.unix_ms),
        Some(1_801_439_999_999)
    );
    assert_eq!(a.about.owner.as_deref(), Some("me"));
    assert_eq!((a.rings[0].enabled, a.rings[1].enabled), (true, false));
    assert!(matches!(a.rings[0].condition, Condition::Segment(_)));
    assert!(matches!(&a.rings[1].condition, Condition::All(all) if all.len() == 3));
    assert_eq!((&*a.rings[0].name, &*a.rings[1].name), ("team", "ring 2"));
    assert_eq!(
        (a.rings[0].rollout.share, a.rings[1].rollout.share),
        (Share::ALL, Share::new(25).expect("a share"))
    );
    assert_eq!(
        a.rings[1].rollout.stickiness,
        Stickiness::Field(Field::Property(Slot(0)))
    );
    assert_eq!(
        (
            &*a.rings[1].rollout.bucketing.hashed_with(),
            &*b.rings[0].rollout.bucketing.hashed_with()
        ),
        ("shared", "b.x")
    );
    assert!(a.url.is_some() && a.variants.is_none() && !a.rings[0].rollout.needs_id);
}

#[test]
fn variants_are_laid_out_by_name_and_stable_is_the_control() {
    let config = config(&with(
        "flags: { f: { stickiness: userId, rings: [{}], variants: [{ name: z, weight: 33.3%, url: 'http://127.0.0.1:2' }, { name: stable, weight: 66.7% }] } }",
    ));
    let variants = config.flags[0].variants.as_ref().expect("variants");
    let list: Vec<_> = variants
        .list()
        .iter()
        .map(|v| (&*v.name, v.weight, v.url.is_some()))
        .collect();
    assert_eq!(list, [("stable", 667, false), ("z", 333, true)]);
    assert_eq!(
        (&*variants.bucketing().hashed_with(), variants.stickiness()),
        ("f", Stickiness::Field(Field::UserId))
    );
}

#[test]
fn what_is_wrong_with_variants() {
    insta::assert_snapshot!(check_with("
flags:
  a: { url: http://127.0.0.1:2, rings: [{}], variants: [{ name: x, weight: 100% }] }
  b: { rings: [{}], variants: [{ name: x, weight: 50% }, { name: x, weight: 40% }] }
  c: { rings: [{}], variants: [{ name: x, weight: 33.33% }, { weight: 50% }, { name: 'a b', weight: 1 }] }
  d: { rings: [{}], variants: [{ name: stable, weight: 50%, url: 'http://127.0.0.1:2' }, { name: e, weight: 50% }] }
  e: { rings: [{}], variants: [] }
"), @r"
error: a flag has a `url` or `variants`, not both
 --> routes.yaml:5:46
  |
5 |   a: { url: http://127.0.0.1:2, rings: [{}], variants: [{ name: x, weight: 100% }] }
  |                                              ^^^^^^^^
  = hint: give the variant its `url`

error: the weights sum to 90.0%, not to 100%
 --> routes.yaml:6:31
  |
6 |   b: { rings: [{}], variants: [{ name: x, weight: 50% }, { name: x, weight: 40% }] }
  |                               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

error: another variant of this flag has this name
 --> routes.yaml:6:66
  |
6 |   b: { rings: [{}], variants: [{ name: x, weight: 50% }, { name: x, weight: 40% }] }
  |                                                                  ^

error: `33.33%` is not a weight
 --> routes.yaml:7:51
  |
7 |   c: { rings: [{}], variants: [{ name: x, weight: 33.33% }, { weight: 50% }, { name: 'a b', weight: 1 }] }
  |                                                   ^^^^^^
  = hint: a weight has at most one decimal (steps of 0.1%)

error: `name` is missing
 --> routes.yaml:7:61
  |
7 |   c: { rings: [{}], variants: [{ name: x, weight: 33.33% }, { weight: 50% }, { name: 'a b', weight: 1 }] }
  |                                                             ^^^^^^^^^^^^^^^
  = hint: Its name; stable is always the stable deployment.

error: `a b` is not a name for a variant
 --> routes.yaml:7:86
  |
7 |   c: { rings: [{}], variants: [{ name: x, weight: 33.33% }, { weight: 50% }, { name: 'a b', weight: 1 }] }
  |                                                                                      ^^^^^
  = hint: ASCII letters, digits and any of ._-/~, beginning with a letter or digit

error: `1` is not a weight
 --> routes.yaml:7:101
  |
7 |   c: { rings: [{}], variants: [{ name: x, weight: 33.33% }, { weight: 50% }, { name: 'a b', weight: 1 }] }
  |                                                                                                     ^
  = hint: a percentage is a number followed by %, as in 5% or 0.25%

error: the weights sum to 0.0%, not to 100%
 --> routes.yaml:9:31
  |
9 |   e: { rings: [{}], variants: [] }
  |                               ^^

warning: the variant `stable` is the service's stable deployment, whatever its URL
 --> routes.yaml:8:66
  |
8 | …nts: [{ name: stable, weight: 50%, url: 'http://127.0.0.1:2' }, { name: e, weight: 50% }] }
  |                                          ^^^^^^^^^^^^^^^^^^^^
  = hint: remove the `url`, or give the variant another name

routes.yaml: 8 errors, 1 warning
");
}

#[test]
fn what_is_odd_about_a_flag_is_a_warning() {
    insta::assert_snapshot!(check_with("
flags:
  a.old: { url: http://127.0.0.1:2, expires: 2026-11-21, rings: [{}] }
  a.nobody: { url: http://127.0.0.1:2 }
  a.nowhere: { rings: [{ name: all }] }
  a.outside: { url: http://169.254.169.254, rings: [{}] }
"), @r"
warning: this flag has expired
 --> routes.yaml:5:46
  |
5 |   a.old: { url: http://127.0.0.1:2, expires: 2026-11-21, rings: [{}] }
  |                                              ^^^^^^^^^^
  = hint: remove it, or move the date; no decision depends on it

warning: `a.nobody` has no rings, so it is on for nobody
 --> routes.yaml:6:3
  |
6 |   a.nobody: { url: http://127.0.0.1:2 }
  |   ^^^^^^^^
  = hint: for everybody write `rings: [{ name: all, rollout: 100% }]`

warning: `a.nowhere` names no upstream, so it sends nobody anywhere
 --> routes.yaml:7:3
  |
7 |   a.nowhere: { rings: [{ name: all }] }
  |   ^^^^^^^^^
  = hint: give it a `url`, or `variants` with one

warning: `http://169.254.169.254` is a metadata address: nobody is sent there
 --> routes.yaml:8:21
  |
8 |   a.outside: { url: http://169.254.169.254, rings: [{}] }
  |                     ^^^^^^^^^^^^^^^^^^^^^^
  = hint: nothing is ever sent to the addresses at which clouds give their machines credentials

routes.yaml: 4 warnings
");
}

#[test]
fn what_the_file_names_is_trusted_like_stable_but_for_metadata_addresses() {
    for (url, is_allowed) in [
        ("http://example.com", true),
        ("http://search-v2:8080", true),
        ("http://8.8.8.8", true),
        ("http://169.254.169.254", false),
        ("http://[64:ff9b::a9fe:a9fe]", false),
        ("http://[fd20:ce::254]", false),
    ] {
        let flag = format!("flags: {{ a.f: {{ url: '{url}', rings: [{{}}] }} }}");
        let narrow = "canary_urls: { allow: [10.0.0.0/8] }";
        let config = super::read(&with(&format!("{flag}\n{narrow}"))).expect(url);
        let found = matches!(config.flags[0].url, Some(CanaryUrl::Allowed(_)));
        assert_eq!(found, is_allowed, "{url}");
        assert_eq!(config.warnings.is_empty(), is_allowed, "{url}");
        assert_ne!(config.digest, super::read(&with(&flag)).expect(url).digest);
    }
}

#[test]
fn a_priority_says_which_flag_takes_the_others_users() {
    let flag = |name: &str, share: &str, more: &str| {
        format!("  {name}: {{ url: http://127.0.0.1:2, rings: [{{ rollout: {share} }}]{more} }}\n")
    };
    let gets_nobody = |flags: [String; 2]| {
        let text = with(&format!("flags:\n{}", flags.concat()));
        let config = super::read(&text).expect("a configuration");
        let mut warnings = config.warnings.iter();
        let nobody = warnings.find(|one| one.message.contains("gets nobody by this ring"));
        nobody.map(|one| one.message[..5].to_owned())
    };
    let first = flag("a.b", "100%", ", priority: 1");
    let told = |name: &str| Some(format!("`{name}`"));
    assert_eq!(
        gets_nobody([flag("a.a", "100%", ""), flag("a.b", "100%", "")]),
        told("a.b")
    );
    assert_eq!(gets_nobody([flag("a.a", "100%", ""), first]), told("a.a"));
    let beyond = flag("a.a", "5%", ", priority: 1000001");
    assert!(check_with(&format!("flags:\n{beyond}")).contains("error"));
}

#[test]
fn what_is_wrong_with_rings() {
    insta::assert_snapshot!(check_with("
flags:
  a: { url: http://127.0.0.1:2, stickiness: usrId, expires: soon, rings: [{ segment: teem, rollout: 101% }, { name: x, rollout: 0.001% }, { name: x, when: { email: e } }] }
  b: { url: http://127.0.0.1:2, stickiness: now, rings: [{ segments: [team, staff] }, { rollout: 5 }] }
segments: { team: { userId: u } }
"), @r"
error: there is no field `usrId`
 --> routes.yaml:5:45
  |
5 | … { url: http://127.0.0.1:2, stickiness: usrId, expires: soon, rings: [{ segment: teem, rollout: 101% }, { name…
  |                                          ^^^^^
  = hint: did you mean `userId`?

error: `soon` is not a date
 --> routes.yaml:5:61
  |
5 | …27.0.0.1:2, stickiness: usrId, expires: soon, rings: [{ segment: teem, rollout: 101% }, { name: x, rollout: 0.…
  |                                          ^^^^
  = hint: a date is written as in 2027-01-31

error: there is no segment `teem`
 --> routes.yaml:5:86
  |
5 | …srId, expires: soon, rings: [{ segment: teem, rollout: 101% }, { name: x, rollout: 0.001% }, { name: x, when: …
  |                                          ^^^^
  = hint: did you mean `team`?

error: `101%` is not a percentage
 --> routes.yaml:5:101
  |
5 | …soon, rings: [{ segment: teem, rollout: 101% }, { name: x, rollout: 0.001% }, { name: x, when: { email: e } }]…
  |                                          ^^^^
  = hint: a percentage is at most 100%

error: `0.001%` is not a percentage
 --> routes.yaml:5:129
  |
5 | …m, rollout: 101% }, { name: x, rollout: 0.001% }, { name: x, when: { email: e } }] }
  |                                          ^^^^^^
  = hint: a percentage has at most two decimals (steps of 0.01 %)

error: another ring of this flag has this name
 --> routes.yaml:5:147
  |
5 | …, { name: x, rollout: 0.001% }, { name: x, when: { email: e } }] }
  |                                          ^

error: there is no field `email`
 --> routes.yaml:5:158
  |
5 | …, rollout: 0.001% }, { name: x, when: { email: e } }] }
  |                                          ^^^^^
  = hint: flags may look at `userId`, `sessionId`, `remoteAddress`, `now`; more under `identity.properties`

error: `now` is not an ID
 --> routes.yaml:6:45
  |
6 |   b: { url: http://127.0.0.1:2, stickiness: now, rings: [{ segments: [team, staff] }, { rollout: 5 }] }
  |                                             ^^^
  = hint: `default`, `userId`, `sessionId` or a property

error: there is no segment `staff`
 --> routes.yaml:6:77
  |
6 |   b: { url: http://127.0.0.1:2, stickiness: now, rings: [{ segments: [team, staff] }, { rollout: 5 }] }
  |                                                                             ^^^^^

error: `5` is not a percentage
 --> routes.yaml:6:98
  |
6 |   b: { url: http://127.0.0.1:2, stickiness: now, rings: [{ segments: [team, staff] }, { rollout: 5 }] }
  |                                                                                                  ^
  = hint: a percentage is a number followed by %, as in 5% or 0.25%

routes.yaml: 10 errors
");
}
