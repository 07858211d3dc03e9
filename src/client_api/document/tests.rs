use std::sync::Arc;

use serde_json::{Value, json};

use crate::cluster::policy::UrlPolicy;
use crate::config::{self, Config, OnUnset};
use crate::context::schema::ContextSchema;
use crate::context::{Context, Moment};
use crate::engine::compile_context::CompileContext;
use crate::engine::evaluation::Evaluation;
use crate::engine::trace::Silent;
use crate::engine::unleash::{FeatureSet, compile};
use crate::engine::{Flag, Variant};
use crate::snapshot::assemble::property_names;
use crate::source::environment::NoEnvironment;

const NOW: Moment = Moment {
    unix_ms: 1_800_000_000_000,
};

/// The configuration of flags that are said in this text.
fn configured(flags: &str) -> Config {
    let text = format!(
        "
services: {{ search: {{ stable: 'http://127.0.0.1:1' }} }}
routes: [{{ path: /, service: search }}]
identity: {{ properties: {{ plan: {{ header: x-plan }}, version: {{ header: x-version }} }} }}
segments:
  Team:
    any:
      - plan: {{ ends_with: \"pro\", ignore_case: true }}
      - userId: [user-1, user-2]
{flags}"
    );
    config::compile(&text, &NoEnvironment, OnUnset::StandIn, NOW).expect("a valid file")
}

fn document(flag: &Flag, vocabulary: &ContextSchema) -> Option<Value> {
    super::of(flag, vocabulary)
}

/// The flag that Unleash's SDKs would make of a document.
fn read_back(document: &Value, vocabulary: &mut ContextSchema) -> Arc<Flag> {
    let body = json!({ "version": 2, "features": [document] }).to_string();
    let set = FeatureSet::parse(body.as_bytes()).expect("a document");
    let surroundings = CompileContext {
        source: &"unleash".into(),
        vocabulary,
        canary_urls: &UrlPolicy {
            networks: vec!["127.0.0.0/8".parse().expect("a network")],
            ..UrlPolicy::nothing()
        },
        app_name: "serin",
        environment: None,
        hostname: "here",
    };
    let compiled = compile(&set, surroundings, None);
    assert_eq!(compiled.warnings, Vec::<String>::new(), "{document:#}");
    compiled.flags[0].clone()
}

fn users() -> impl Iterator<Item = Context<'static>> {
    let plans = [None, Some("pro"), Some("PRO"), Some("free")];
    let versions = [
        None,
        Some("4.9.9"),
        Some("5.0.0"),
        Some("5.1.0"),
        Some("odd"),
    ];
    (0..2000).map(move |number| Context {
        user_id: (number % 50 != 0).then(|| format!("user-{number}").into()),
        session_id: (number % 25 == 0).then(|| format!("session-{number}").into()),
        remote_address: [10, 0, (number % 3) as u8, 7].into(),
        properties: [
            plans[number % plans.len()].map(Into::into),
            versions[number / 4 % versions.len()].map(Into::into),
        ]
        .into_iter()
        .collect(),
    })
}

fn had(flag: &Flag, evaluation: Evaluation) -> Option<&str> {
    let variant = evaluation.variant.and_then(|at| flag.variant(at));
    variant.map(|variant: &Variant| &*variant.name)
}

#[test]
fn what_is_said_takes_the_very_same_users() {
    let config = configured(
        "
flags:
  a.team: { url: 'http://127.0.0.1:2', rings: [{ name: team, segment: Team }] }
  b.rest: { url: 'http://127.0.0.1:2', rings: [{ name: rest, when: { plan: { contains: r, not: true } } }] }
  c.new: { url: 'http://127.0.0.1:2', rings: [{ name: new, rollout: 40%, when: { version: { semver_gte: 5.0.0 } } }] }
  d.old: { url: 'http://127.0.0.1:2', rings: [{ name: old, when: { version: { semver_gte: 5.0.0, not: true } } }] }
  e.some:
    url: 'http://127.0.0.1:2'
    group: other
    rings: [{ name: ten, rollout: 10% }, { name: team, rollout: 60%, segment: Team, when: { plan: { not_in: [free] } } }]
  f.ab:
    variants:
      - { name: control, weight: 33.3% }
      - { name: treatment, weight: 66.7%, url: 'http://127.0.0.1:3' }
    rings: [{ name: some, rollout: 70% }]
  g.plan: { url: 'http://127.0.0.1:2', stickiness: plan, rings: [{ name: half, rollout: 50% }] }
  h.all: { url: 'http://127.0.0.1:2', stickiness: plan, rings: [{ name: all }] }
  i.net: { url: 'http://127.0.0.1:2', rings: [{ name: net, when: { remoteAddress: [10.0.1.0/24] } }] }
  j.late: { url: 'http://127.0.0.1:2', rings: [{ name: late, when: { now: { after: 2020-01-01T00:00:00Z } } }] }
  k.off: { url: 'http://127.0.0.1:2', enabled: false, rings: [{ name: all }] }
  l.none: { url: 'http://127.0.0.1:2', rings: [] }
  m.match: { url: 'http://127.0.0.1:2', rings: [{ name: m, when: { userId: { matches: '7$' } } }] }
  n.ring: { url: 'http://127.0.0.1:2', rings: [{ name: all, enabled: false, rollout: 0.5% }, { name: ten, rollout: 10% }] }
  o.rings: { url: 'http://127.0.0.1:2', rings: [{ name: all, enabled: false }] }
",
    );
    let mut vocabulary = ContextSchema::new(&property_names(&config));
    assert_eq!(config.flags.len(), 15);
    let mut on = 0;
    for flag in &config.flags {
        let said = document(flag, &vocabulary).unwrap_or_else(|| panic!("{}", flag.name));
        let back = read_back(&said, &mut vocabulary);
        for user in users() {
            let (here, there) = (
                flag.evaluate(&user, NOW, &mut Silent),
                back.evaluate(&user, NOW, &mut Silent),
            );
            assert_eq!(here.on, there.on, "{} {user:?}\n{said:#}", flag.name);
            assert_eq!(had(flag, here), had(&back, there), "{} {user:?}", flag.name);
            on += u32::from(here.on);
        }
    }
    assert!((5_000..20_000).contains(&on), "{on}");
}

#[test]
fn what_cannot_be_said_is_left_out() {
    let config = configured(
        "
flags:
  a.fine: { url: 'http://127.0.0.1:2', rings: [{ name: fine, rollout: 0.5% }] }
  b.case: { url: 'http://127.0.0.1:2', rings: [{ name: c, when: { plan: { in: [pro], ignore_case: true } } }] }
",
    );
    let vocabulary = ContextSchema::new(&property_names(&config));
    for flag in &config.flags {
        assert_eq!(document(flag, &vocabulary), None, "{}", flag.name);
    }
}
