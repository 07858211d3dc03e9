use std::collections::HashMap;
use std::sync::Arc;

use super::service::may_hash_session;
use super::{CompiledSource, Content, StableUrl};
use crate::config::Config;
use crate::config::kept::CompiledKept;
use crate::context::schema::ContextSchema;
use crate::context::{Field, Slot};
use crate::digest::Digest;
use crate::engine::source::{SourceKind, SourceSet};
use crate::engine::{Bucketing, CanaryUrl, Flag, Stickiness, Variant, Variants};
use crate::flag::Glob;
use crate::route::router::Router;
use crate::snapshot::fixture::{
    assembled, canary, config, everyone, flag, ring, service, snapshot, url, variants,
};
use crate::snapshot::offline::{NoopMeters, Offline};
use crate::snapshot::seniority::Seniority;
use crate::snapshot::{Candidate, DeploymentIndex, FlagSource, NamedBy, Service, Snapshot};

fn candidates(service: &Service) -> Vec<&str> {
    let names = service
        .candidates
        .iter()
        .map(|candidate| &*candidate.flag.name);
    names.collect()
}

fn deployments(service: &Service) -> Vec<&str> {
    let names = service
        .deployments
        .iter()
        .map(|deployment| &*deployment.name);
    names.collect()
}

fn plain(names: &[&str]) -> Vec<Flag> {
    names
        .iter()
        .map(|name| flag(name, vec![ring("all", everyone(), "100%")]))
        .collect()
}

#[test]
fn candidates_stand_by_first_matching_entry_then_by_name() {
    let flags = plain(&[
        "search.a",
        "search.z-urgent",
        "search.b",
        "search.B",
        "search.last",
    ]);
    let search = service(
        "search",
        &["*-urgent", "search.last", "search.*", "search.a"],
    );
    let snapshot = snapshot(vec![search], flags);
    // search.last is exactly named; its entry, not the length of its prefix, says where it stands.
    assert_eq!(
        candidates(&snapshot.services[0]),
        [
            "search.z-urgent",
            "search.last",
            "search.B",
            "search.a",
            "search.b"
        ]
    );
}

#[test]
fn a_flag_belongs_to_the_service_with_the_longest_literal_prefix() {
    let flags = plain(&[
        "search.x",
        "search.ads.x",
        "search.ads",
        "other",
        "unclaimed",
    ]);
    let services = vec![
        service("search", &["search.*", "o*r"]),
        service("ads", &["search.ads.*", "*"]),
        service("exact", &["search.ads"]),
    ];
    let snapshot = snapshot(services, flags);
    let owned: Vec<_> = snapshot.services.iter().map(candidates).collect();
    assert_eq!(
        owned,
        [
            vec!["search.x", "other"],
            vec!["search.ads.x", "unclaimed"],
            vec!["search.ads"]
        ]
    );
    assert!(snapshot.warnings.is_empty(), "{:?}", snapshot.warnings);
}

#[test]
fn a_flag_that_two_services_claim_equally_is_nobodys_and_a_warning_says_so() {
    let services = vec![service("one", &["a.*"]), service("two", &["x", "a.*"])];
    let snapshot = snapshot(services, plain(&["a.b"]));
    assert!(
        snapshot
            .services
            .iter()
            .all(|service| service.candidates.is_empty())
    );
    assert_eq!(
        snapshot.warnings,
        ["flag a.b matches canaries of one and of two with equal right: nobody is sent there"]
    );
}

#[test]
fn a_flag_without_a_url_is_no_candidate() {
    let mut bare = flag("search.bare", vec![]);
    bare.url = None;
    let mut control = flag("search.control", vec![]);
    control.url = None;
    control.variants = variants(&[("a", 1, None), ("b", 1, None)]);
    let snapshot = snapshot(vec![service("search", &["search.*"])], vec![bare, control]);
    assert!(snapshot.services[0].candidates.is_empty());
    assert_eq!(snapshot.flags.len(), 2);
}

/// One service with one flag, which the closure shapes; where every variant leads, by name.
fn led(shape: impl FnOnce(&mut Flag)) -> (Snapshot, Vec<String>) {
    let mut flag = flag(
        "s.f",
        vec![
            ring("one", everyone(), "100%"),
            ring("two", everyone(), "100%"),
        ],
    );
    shape(&mut flag);
    let snapshot = snapshot(vec![service("s", &["s.*"])], vec![flag]);
    let service = &snapshot.services[0];
    let candidate = &service.candidates[0];
    let arms = [&candidate.default_arm].into_iter();
    let arms = arms.chain(candidate.variants.iter());
    let names = arms.map(|arm| service.deployments.get(arm.deployment).name.to_string());
    let names = names.collect();
    (snapshot, names)
}

const ONE: Option<&str> = Some("http://127.0.0.1:9001");
const TWO: Option<&str> = Some("http://127.0.0.1:9002");

#[test]
fn a_deployment_is_called_after_its_flag_or_its_variant() {
    let (snapshot, led_to) = led(|_| {});
    assert_eq!(deployments(&snapshot.services[0]), ["stable", "s.f"]);
    assert_eq!(led_to, ["s.f"]);

    let (_, led_to) = led(|flag| {
        flag.url = None;
        flag.variants = variants(&[("control", 1, None), ("treatment", 1, ONE)]);
    });
    assert_eq!(led_to, ["stable", "stable", "s.f"]);

    let (snapshot, led_to) = led(|flag| {
        flag.url = None;
        flag.variants = variants(&[("a", 1, ONE), ("b", 1, TWO), ("stable", 1, TWO)]);
    });
    assert_eq!(
        deployments(&snapshot.services[0]),
        ["stable", "s.f:a", "s.f:b"]
    );
    assert_eq!(led_to, ["stable", "s.f:a", "s.f:b", "stable"]);
}

/// `variants` with the URL of one refused.
fn refused(list: &[(&str, u32, Option<&str>)], name: &str) -> Option<Variants> {
    let refuse = |variant: &Variant| Variant {
        url: match &*variant.name == name {
            true => Some(CanaryUrl::Refused("no".into())),
            false => variant.url.clone(),
        },
        ..variant.clone()
    };
    let list = variants(list).expect("variants");
    Variants::new(
        list.list().iter().map(refuse).collect(),
        list.bucketing().clone(),
        list.stickiness(),
    )
}

#[test]
fn a_flag_whose_urls_are_all_refused_is_no_canary() {
    let mut alone = flag("s.a", vec![ring("one", everyone(), "100%")]);
    alone.url = Some(CanaryUrl::Refused("no".into()));
    let mut both = alone.clone();
    (both.name, both.url) = ("s.b".into(), None);
    both.variants = refused(&[("a", 1, ONE), ("control", 1, None)], "a");
    let good = flag("s.c", vec![ring("one", everyone(), "100%")]);
    let snapshot = snapshot(vec![service("s", &["s.*"])], vec![alone, both, good]);
    assert_eq!(candidates(&snapshot.services[0]), ["s.c"]);
}

#[test]
fn a_refused_url_beside_a_good_one_is_stable_under_its_flag_and_changes_no_other_name() {
    let (snapshot, led_to) = led(|flag| {
        flag.url = None;
        flag.variants = refused(&[("a", 1, ONE), ("b", 1, TWO)], "a");
    });
    assert_eq!(deployments(&snapshot.services[0]), ["stable", "s.f:b"]);
    assert_eq!(led_to, ["stable", "stable", "s.f:b"]);
}

#[test]
fn rings_share_a_canary_that_is_the_same_and_number_one_that_is_not() {
    let (_, led_to) = led(|flag| {
        flag.url = None;
        flag.rings[0].variants = variants(&[("canary", 1, ONE)]);
        flag.rings[1].variants = variants(&[("canary", 1, ONE)]);
    });
    assert_eq!(led_to, ["stable", "s.f", "s.f"]);

    let (snapshot, led_to) = led(|flag| {
        flag.url = None;
        flag.rings[0].variants = variants(&[("canary", 1, ONE)]);
        flag.rings[1].variants = variants(&[("canary", 1, TWO)]);
    });
    assert_eq!(led_to, ["stable", "s.f:canary", "s.f:canary.2"]);
    let urls: Vec<_> = snapshot.services[0]
        .deployments
        .canaries()
        .iter()
        .map(|deployment| deployment.cluster.url.clone())
        .collect();
    assert_eq!(urls, [ONE, TWO].map(|text| url(text.expect("a URL"))));

    let (_, led_to) = led(|flag| flag.rings[0].variants = variants(&[("canary", 1, TWO)]));
    assert_eq!(led_to, ["s.f", "s.f:canary"]);
}

#[test]
fn names_are_percent_encoded_where_headers_need_it() {
    let flags = plain(&["suche.größe, \"neu\""]);
    let snapshot = snapshot(vec![service("suche/1", &["suche.*"])], flags);
    let canary = &snapshot.services[0].deployments.canaries()[0];
    assert_eq!(canary.header, "suche.gr%C3%B6%C3%9Fe, \"neu\"");
    assert_eq!(
        canary.baggage,
        "serin.suche%2F1=suche.gr%C3%B6%C3%9Fe%2C%20%22neu%22"
    );
    let stable = snapshot.services[0].stable();
    assert_eq!(stable.header, "stable");
    assert_eq!(stable.baggage, "serin.suche%2F1=stable");
}

#[test]
fn a_session_is_of_use_only_where_it_could_be_hashed() {
    let with = |share: &str, shape: fn(&mut Flag)| {
        let mut flag = flag("f", vec![ring("ring", everyone(), share)]);
        shape(&mut flag);
        may_hash_session(&flag)
    };
    assert!(with("5%", |_| {}));
    assert!(with("5%", |flag| flag.rings[0].rollout.stickiness =
        Stickiness::Field(Field::SessionId)));
    assert!(!with("5%", |flag| flag.rings[0].rollout.stickiness =
        Stickiness::Field(Field::UserId)));
    assert!(!with("5%", |flag| {
        flag.rings[0].rollout.stickiness = Stickiness::Field(Field::Property(Slot(0)));
    }));
    assert!(!with("5%", |flag| flag.enabled = false));
    assert!(!with("0%", |_| {}));
    assert!(!with("100%", |_| {}));
    assert!(with("100%", |flag| flag.rings[0].rollout.needs_id = true));
    assert!(with("100%", |flag| flag.variants =
        variants(&[("a", 1, ONE), ("b", 1, None)])));
    assert!(!with("0%", |flag| flag.variants =
        variants(&[("a", 1, ONE), ("b", 1, None)])));
    assert!(!with("100%", |flag| flag.variants =
        variants(&[("a", 1, ONE), ("b", 0, None)])));
}

/// A flag whose variants come with the services that their payloads name.
fn stating(name: &str, stated: &[(&str, &str, Option<&str>)]) -> Flag {
    let variant = |&(variant, to, service): &(&str, &str, Option<&str>)| Variant {
        name: variant.into(),
        weight: 1,
        url: canary(to),
        service: service.map(Into::into),
        payload: None,
        nearly: None,
    };
    let list = stated.iter().map(variant).collect();
    let mut flag = flag(name, vec![ring("all", everyone(), "100%")]);
    flag.url = None;
    flag.variants = Variants::new(list, Bucketing::unleash("group"), Stickiness::Default);
    flag
}

#[test]
fn a_payload_says_which_of_the_services_that_match_a_flag_is_for() {
    let services = || {
        vec![
            service("search", &["*.urgent", "search.*"]),
            service("ads", &["search.ads.*", "*"]),
            service("shop", &["shop.*"]),
        ]
    };
    let owners = |flag: Flag| {
        let snapshot = snapshot(services(), vec![flag]);
        let owner = snapshot
            .services
            .iter()
            .find(|service| !service.candidates.is_empty());
        let owner = owner.map_or("nobody", |service| &*service.name).to_owned();
        (owner, snapshot.warnings)
    };
    let url = "http://127.0.0.1:1";
    let none = Vec::<String>::new();
    assert_eq!(
        owners(stating("search.ads.x", &[("a", url, None)])),
        ("ads".into(), none.clone())
    );
    assert_eq!(
        owners(stating(
            "search.ads.x",
            &[("a", url, Some("search")), ("b", url, None)]
        )),
        ("search".into(), none.clone())
    );
    assert_eq!(
        owners(stating("other", &[("a", url, Some("ads"))])),
        ("ads".into(), none)
    );
    assert_eq!(
        owners(stating("search.x", &[("a", url, Some("shop"))])),
        (
            "nobody".into(),
            vec![
                "flag search.x is for the service \"shop\", whose `canaries` do not match it: nobody is sent there"
                    .to_owned()
            ]
        )
    );
    assert_eq!(
        owners(stating(
            "search.x",
            &[("a", url, Some("search")), ("b", url, Some("ads"))]
        )),
        (
            "nobody".into(),
            vec![
                "flag search.x is for two services, \"search\" and \"ads\": nobody is sent there"
                    .to_owned()
            ]
        )
    );
}

/// A service without a URL of its own, assembled with flags of a server called `unleash`.
fn unplaced(flags: Vec<Flag>, last_known: Option<&str>) -> Snapshot {
    let mut search = service("search", &["search.first", "search.*"]);
    search.stable = None;
    let config = config(vec![search], Vec::new());
    let mut flags: Vec<Arc<Flag>> = flags.into_iter().map(Arc::new).collect();
    flags.sort_by(|one, other| one.name.cmp(&other.name));
    let known = |known: &str| StableUrl {
        url: url(known),
        named_by: NamedBy::Flag,
    };
    let last_known = last_known.map(|text| ("search".into(), known(text)));
    served(
        &config,
        &[("unleash", Some(&flags))],
        &last_known.into_iter().collect(),
    )
}

/// The snapshot of a configuration and of flags from servers; `None`: a server that has said nothing.
fn served(
    config: &Config,
    sources: &[(&str, Option<&[Arc<Flag>]>)],
    last_known: &HashMap<Arc<str>, StableUrl>,
) -> Snapshot {
    let sources = sources.iter().map(|(name, flags)| CompiledSource {
        source: FlagSource {
            name: (*name).into(),
            set: flags.map(|_| Arc::new(SourceSet::empty(SourceKind::Unleash))),
        },
        digest: flags.map(|_| Digest([1; 32])),
        flags: flags.unwrap_or_default(),
        warnings: &[],
    });
    let content = Content {
        config,
        kept: &CompiledKept::default(),
        router: Arc::new(Router::new(config.routes.clone())),
        sources: sources.collect(),
        vocabulary: Arc::new(ContextSchema::new(&[])),
        last_known,
        registrations: &[],
        fallbacks: &CompiledKept::default(),
        seniority: &Seniority::default(),
        earlier: None,
    };
    content.assemble(1, &mut Offline::default(), &mut NoopMeters)
}

fn stable_url(snapshot: &Snapshot) -> String {
    snapshot.services[0].stable().cluster.url.to_string()
}

#[test]
fn a_flag_records_where_stable_is_whatever_its_state() {
    let mut off = stating("search.base", &[("stable", "http://127.0.0.1:1", None)]);
    off.enabled = false;
    let snapshot = unplaced(vec![off], None);
    assert_eq!(stable_url(&snapshot), "http://127.0.0.1:1");
    assert!(snapshot.warnings.is_empty(), "{:?}", snapshot.warnings);
    assert!(
        snapshot.services[0].candidates.is_empty(),
        "it takes no users"
    );

    // Beside a canary it is the control arm's URL, and the flag is a canary flag as any.
    let both = stating(
        "search.ab",
        &[
            ("canary", "http://127.0.0.1:2", None),
            ("stable", "http://127.0.0.1:1", None),
        ],
    );
    let snapshot = unplaced(vec![both], None);
    assert_eq!(deployments(&snapshot.services[0]), ["stable", "search.ab"]);
    assert_eq!(stable_url(&snapshot), "http://127.0.0.1:1");
}

#[test]
fn of_two_that_record_stable_the_first_by_precedence_counts() {
    let flags = vec![
        stating("search.a", &[("stable", "http://127.0.0.1:1", None)]),
        stating("search.first", &[("stable", "http://127.0.0.1:2", None)]),
    ];
    let snapshot = unplaced(flags, Some("http://127.0.0.1:3"));
    assert_eq!(stable_url(&snapshot), "http://127.0.0.1:2");
    assert_eq!(
        snapshot.warnings,
        [
            "search.first and search.a record different stable deployments of search, http://127.0.0.1:2 and \
          http://127.0.0.1:1: the first counts"
        ]
    );
}

#[test]
fn the_last_known_stable_stays_and_without_one_there_is_no_endpoint() {
    let snapshot = unplaced(Vec::new(), Some("http://127.0.0.1:3"));
    assert_eq!(stable_url(&snapshot), "http://127.0.0.1:3");
    assert_eq!(
        snapshot.warnings,
        [
            "no flag records the stable deployment of search any more: the last one known stays, http://127.0.0.1:3"
        ]
    );
    let snapshot = unplaced(Vec::new(), None);
    let stable = snapshot.services[0].stable();
    assert!(stable.cluster.endpoints().is_empty() && stable.cluster.is_settled());
    assert_eq!(snapshot.warnings.len(), 1);
    assert!(
        snapshot.warnings[0].contains("answered 503"),
        "{:?}",
        snapshot.warnings
    );
}

#[test]
fn routes_yaml_says_where_stable_is_before_any_flag() {
    let config = config(vec![service("search", &["search.*"])], Vec::new());
    let flags = [Arc::new(stating(
        "search.a",
        &[("stable", "http://127.0.0.1:1", None)],
    ))];
    let snapshot = served(&config, &[("unleash", Some(&flags))], &HashMap::new());
    assert_eq!(stable_url(&snapshot), "http://127.0.0.1:8000");
    assert!(snapshot.warnings.is_empty());
}

#[test]
fn of_flags_with_one_name_the_first_source_s_counts() {
    let named = |names: &[&str], to: &str| -> Vec<Arc<Flag>> {
        let flag = |name: &&str| Arc::new(stating(name, &[("a", to, None)]));
        names.iter().map(flag).collect()
    };
    let local = plain(&["search.a"]);
    let config = config(vec![service("search", &["search.*"])], local);
    let one = named(&["search.a", "search.b", "search.c"], "http://127.0.0.1:1");
    let two = named(
        &["search.0", "search.1", "search.b", "search.c", "search.d"],
        "http://127.0.0.1:2",
    );
    let sources = [("one", Some(&*one)), ("two", Some(&*two))];
    let snapshot = served(&config, &sources, &HashMap::new());
    assert_eq!(
        candidates(&snapshot.services[0]),
        [
            "search.0", "search.1", "search.a", "search.b", "search.c", "search.d"
        ]
    );
    let urls: Vec<_> = snapshot.services[0].deployments.canaries()[2..]
        .iter()
        .map(|deployment| deployment.cluster.url.port())
        .collect();
    assert_eq!(urls, [9001, 1, 1, 2]);
    assert_eq!(
        snapshot.warnings,
        [
            "a flag of one is not used, because routes.yaml comes first and has the same: search.a",
            "flags of two are not used, because one comes first and has the same: search.b, search.c",
        ]
    );
}

#[test]
fn a_service_awaits_a_server_that_has_never_answered_if_it_could_have_its_canaries() {
    let mut local = service("local", &["search.a"]);
    local.canaries = vec![Glob::new("search.a")];
    let services = vec![
        service("search", &["search.*"]),
        service("named", &["elsewhere"]),
        service("none", &[]),
        local,
    ];
    let config = config(services, plain(&["search.a"]));
    let awaiting = |sources: &[(&str, Option<&[Arc<Flag>]>)]| -> Vec<bool> {
        let snapshot = served(&config, sources, &HashMap::new());
        snapshot
            .services
            .iter()
            .map(|service| service.awaits_flags)
            .collect()
    };
    assert_eq!(awaiting(&[]), [false; 4]);
    assert_eq!(
        awaiting(&[("one", Some(&[])), ("two", None)]),
        [true, true, false, false]
    );
    assert_eq!(
        awaiting(&[("one", Some(&[])), ("two", Some(&[]))]),
        [false; 4]
    );
}

#[test]
fn a_flag_that_is_the_same_is_taken_over_wherever_it_stands_now() {
    let ab = || {
        let list = [("a", 1, ONE), ("b", 1, TWO), ("control", 1, None)];
        let mut flag = flag("search.m", vec![ring("all", everyone(), "100%")]);
        flag.url = None;
        flag.rings[0].variants = variants(&list);
        flag.variants = variants(&[("a", 1, ONE), ("none", 1, None)]);
        Arc::new(flag)
    };
    let kept = ab();
    let mut config = config(vec![service("search", &["search.*"])], Vec::new());
    let of = |names: &[&str]| -> Vec<Arc<Flag>> {
        let mut flags: Vec<_> = plain(names).into_iter().map(Arc::new).collect();
        flags.push(kept.clone());
        flags.sort_by(|one, other| one.name.cmp(&other.name));
        flags
    };
    config.flags = of(&["search.a", "search.b"]);
    let before = assembled(&config);
    config.flags = of(&["search.z"]);
    let content = Content {
        config: &config,
        kept: &CompiledKept::default(),
        router: Arc::new(Router::new(config.routes.clone())),
        sources: Vec::new(),
        vocabulary: Arc::new(ContextSchema::new(&[])),
        last_known: &HashMap::new(),
        registrations: &[],
        fallbacks: &CompiledKept::default(),
        seniority: &Seniority::default(),
        earlier: Some(&before),
    };
    let after = content.assemble(2, &mut Offline::default(), &mut NoopMeters);
    let fresh = assembled(&config);
    let shape = |snapshot: &Snapshot| {
        let service = &snapshot.services[0];
        let arms = |candidate: &Candidate| -> Vec<DeploymentIndex> {
            candidate.arms().map(|arm| arm.deployment).collect()
        };
        let arms: Vec<_> = service.candidates.iter().map(arms).collect();
        let names: Vec<String> = deployments(service)
            .into_iter()
            .map(str::to_owned)
            .collect();
        (names, arms)
    };
    assert_eq!(shape(&after), shape(&fresh));
    let cluster = |snapshot: &Snapshot, name: &str| {
        let mut all = snapshot.services[0].deployments.iter();
        let deployment = all.find(|deployment| *deployment.name == *name);
        deployment.expect("a deployment").cluster.clone()
    };
    assert!(Arc::ptr_eq(
        &cluster(&before, "search.m:a"),
        &cluster(&after, "search.m:a")
    ));
    assert!(!Arc::ptr_eq(
        &cluster(&before, "search.m:a"),
        &cluster(&fresh, "search.m:a")
    ));
}
