use std::collections::HashMap;
use std::sync::Arc;

use crate::canary::{ReasonKind, Withdrawal};
use crate::cluster::policy::UrlPolicy;
use crate::config::Config;
use crate::config::kept::CompiledKept;
use crate::context::schema::ContextSchema;
use crate::context::{Context, Moment};
use crate::decide::{Reason, decide, explain};
use crate::digest::Digest;
use crate::engine::{CanaryUrl, Flag};
use crate::route::router::Router;
use crate::snapshot::assemble::{Content, StableUrl};
use crate::snapshot::changes::Changes;
use crate::snapshot::fixture::{config, everyone, flag, ring, service, url, variants};
use crate::snapshot::offline::{NoopMeters, Offline};
use crate::snapshot::registration::Registration;
use crate::snapshot::seniority::Seniority;
use crate::snapshot::withdrawn::Withdrawn;
use crate::snapshot::{STABLE, Snapshot};

const ONE: &str = "http://127.0.0.1:9101";
const OTHER: &str = "http://127.0.0.1:9102";

fn at(unix_ms: i64) -> Moment {
    Moment { unix_ms }
}

/// A registration without an end, that is ready.
fn registered(flag: &str, to: &str) -> Registration {
    Registration {
        service: Some("search".into()),
        flag: flag.into(),
        variant: None,
        url: url(to),
        written: Vec::new(),
        registrar: "ci".into(),
        until: None,
        is_ready: true,
    }
}

fn until(unix_ms: i64, registration: Registration) -> Registration {
    Registration {
        until: Some(at(unix_ms)),
        ..registration
    }
}

fn of_variant(variant: &str, registration: Registration) -> Registration {
    Registration {
        variant: Some(variant.into()),
        ..registration
    }
}

/// A flag that is on for all users, and carries no upstream.
fn bare(name: &str) -> Flag {
    Flag {
        url: None,
        ..flag(name, vec![ring("all", everyone(), "100%")])
    }
}

fn carrying(name: &str, url: CanaryUrl) -> Flag {
    Flag {
        url: Some(url),
        ..bare(name)
    }
}

/// The services "search" and "shop" with these flags; loopback upstreams are allowed.
fn configured(flags: Vec<Flag>) -> Config {
    let services = vec![
        service("search", &["search.*"]),
        service("shop", &["shop.*"]),
    ];
    let mut config = config(services, flags);
    config.canary_urls = UrlPolicy {
        networks: vec!["127.0.0.0/8".parse().expect("a network")],
        names: None,
        ..UrlPolicy::nothing()
    };
    config
}

/// All else that a snapshot is made of: nothing.
#[derive(Default)]
struct Rest {
    kept: CompiledKept,
    fallbacks: CompiledKept,
    seniority: Seniority,
    last_known: HashMap<Arc<str>, StableUrl>,
}

impl Rest {
    fn with<'a>(
        &'a self,
        config: &'a Config,
        registrations: &'a [Registration],
        earlier: Option<&'a Snapshot>,
    ) -> Content<'a> {
        Content {
            config,
            router: Arc::new(Router::new(config.routes.clone())),
            kept: &self.kept,
            sources: Vec::new(),
            vocabulary: Arc::new(ContextSchema::new(&[])),
            last_known: &self.last_known,
            registrations,
            fallbacks: &self.fallbacks,
            seniority: &self.seniority,
            earlier,
        }
    }
}

fn assembled_after(
    earlier: Option<&Snapshot>,
    config: &Config,
    registrations: &[Registration],
) -> Snapshot {
    let rest = Rest::default();
    let content = rest.with(config, registrations, earlier);
    content.assemble(1, &mut Offline::default(), &mut NoopMeters)
}

fn assembled(config: &Config, registrations: &[Registration]) -> Snapshot {
    assembled_after(None, config, registrations)
}

fn digest(config: &Config, registrations: &[Registration]) -> Digest {
    Rest::default().with(config, registrations, None).digest()
}

/// Where a user of "search" is sent at a moment, and why. `explain` says the same.
fn sent(snapshot: &Snapshot, moment: Moment) -> (String, ReasonKind) {
    let search = snapshot.services.named("search").expect("the service");
    let context = Context {
        user_id: Some("ann".into()),
        ..Context::default()
    };
    let decision = decide(search, &context, moment);
    let explained = explain(search, &context, moment);
    assert_eq!(explained.decision, decision, "{moment}");
    let to = &search.deployments.get(decision.assigned).cluster.url;
    let to = match decision.assigned == STABLE {
        true => "stable".to_owned(),
        false => to.to_string(),
    };
    (to, decision.reason.kind())
}

fn assert_sent(snapshot: &Snapshot, moment: i64, to: &str, reason: ReasonKind) {
    assert_eq!(
        sent(snapshot, at(moment)),
        (to.to_owned(), reason),
        "{:?}",
        snapshot.warnings
    );
}

/// The one warning.
fn warning(snapshot: &Snapshot) -> &str {
    assert_eq!(snapshot.warnings.len(), 1, "{:?}", snapshot.warnings);
    &snapshot.warnings[0]
}

#[test]
fn a_registration_gives_an_upstream_to_a_flag_that_carries_none() {
    let config = configured(vec![bare("search.a")]);
    assert_sent(&assembled(&config, &[]), 0, "stable", ReasonKind::Default);
    let snapshot = assembled(&config, &[registered("search.a", ONE)]);
    assert_sent(&snapshot, 0, ONE, ReasonKind::Ring);
    assert!(snapshot.warnings.is_empty(), "{:?}", snapshot.warnings);
    let search = snapshot.services.named("search").expect("the service");
    let names: Vec<&str> = search.deployments.iter().map(|one| &*one.name).collect();
    assert_eq!(names, ["stable", "search.a"]);
    let standing = snapshot.standing("search.a", at(0)).expect("a flag");
    assert!(standing.lacks.is_empty(), "{:?}", standing.lacks);
}

#[test]
fn it_is_over_at_its_very_end_and_no_later_canary_gets_its_users() {
    let later = carrying("search.b", CanaryUrl::Allowed(url(OTHER)));
    let config = configured(vec![bare("search.a"), later]);
    let snapshot = assembled(&config, &[until(1_000, registered("search.a", ONE))]);
    for (moment, to, reason) in [
        (999, ONE, ReasonKind::Ring),
        (1_000, "stable", ReasonKind::LeaseOver),
        (1_001, "stable", ReasonKind::LeaseOver),
        (i64::MAX, "stable", ReasonKind::LeaseOver),
        (i64::MIN, ONE, ReasonKind::Ring),
    ] {
        assert_sent(&snapshot, moment, to, reason);
        let standing = snapshot.standing("search.a", at(moment)).expect("a flag");
        let withdrawal = standing.place.expect("a canary").withdrawal;
        let is_over = reason == ReasonKind::LeaseOver;
        assert_eq!(withdrawal, is_over.then_some(Withdrawal::LeaseOver));
    }
}

#[test]
fn a_kill_is_named_before_an_end_and_that_before_a_check() {
    let config = configured(vec![bare("search.a")]);
    let checking = Registration {
        is_ready: false,
        ..until(1_000, registered("search.a", ONE))
    };
    let mut snapshot = assembled(&config, &[checking]);
    assert_sent(&snapshot, 0, "stable", ReasonKind::NotReady);
    assert_sent(&snapshot, 1_000, "stable", ReasonKind::LeaseOver);
    let mut killed = Withdrawn::default();
    killed.insert("search", "search.a", Some(Withdrawal::Killed));
    snapshot.withdraw(&killed);
    assert_sent(&snapshot, 1_000, "stable", ReasonKind::Killed);
}

#[test]
fn a_flag_s_own_url_counts_before_a_registered_one() {
    let own = configured(vec![carrying("search.a", CanaryUrl::Allowed(url(OTHER)))]);
    let snapshot = assembled(&own, &[until(1_000, registered("search.a", ONE))]);
    // It is not used, and neither is its end.
    assert_sent(&snapshot, 1_000, OTHER, ReasonKind::Ring);
    let told = warning(&snapshot);
    for part in ["ci", ONE, "search.a", "the flag itself carries", OTHER] {
        assert!(told.contains(part), "{told}");
    }

    let refused = carrying("search.a", CanaryUrl::Refused("it is no upstream's".into()));
    let snapshot = assembled(&configured(vec![refused]), &[registered("search.a", ONE)]);
    assert_sent(&snapshot, 0, "stable", ReasonKind::Default);
    assert!(warning(&snapshot).contains("refused: it is no upstream's"));
}

#[test]
fn a_registered_url_that_the_flag_carries_as_well_ends_it() {
    let config = configured(vec![carrying("search.a", CanaryUrl::Allowed(url(ONE)))]);
    let both = [
        until(2_000, registered("search.a", ONE)),
        until(1_000, registered("search.a", ONE)),
    ];
    let snapshot = assembled(&config, &both);
    assert!(snapshot.warnings.is_empty(), "{:?}", snapshot.warnings);
    assert_sent(&snapshot, 999, ONE, ReasonKind::Ring);
    assert_sent(&snapshot, 1_000, "stable", ReasonKind::LeaseOver);
}

#[test]
fn a_canary_that_has_moved_is_where_it_is_registered_not_where_serin_wrote_before() {
    let written = Registration {
        written: vec![url(OTHER)],
        ..until(1_000, registered("search.a", ONE))
    };
    let flag = Flag {
        variants: variants(&[("canary", 1, Some(OTHER))]),
        ..bare("search.a")
    };
    let config = configured(vec![flag]);
    let snapshot = assembled(&config, std::slice::from_ref(&written));
    assert!(snapshot.warnings.is_empty(), "{:?}", snapshot.warnings);
    assert_sent(&snapshot, 999, ONE, ReasonKind::Ring);
    assert_sent(&snapshot, 1_000, "stable", ReasonKind::LeaseOver);
    let search = snapshot.services.named("search").expect("the service");
    let names: Vec<&str> = search.deployments.iter().map(|one| &*one.name).collect();
    assert_eq!(names, ["stable", "search.a"]);

    // What somebody else wrote there counts before it.
    let theirs = Registration {
        written: Vec::new(),
        ..written.clone()
    };
    let snapshot = assembled(&config, std::slice::from_ref(&theirs));
    assert_sent(&snapshot, 999, OTHER, ReasonKind::Ring);
    assert!(warning(&snapshot).contains("the flag itself carries"));
    assert_ne!(digest(&config, &[theirs]), digest(&config, &[written]));
}

#[test]
fn the_variant_of_a_ring_that_leads_where_the_canary_is_registered_is_the_same_deployment() {
    let mut flag = bare("search.a");
    flag.rings[0].variants = variants(&[("canary", 1, Some(ONE))]);
    let config = configured(vec![flag]);
    let moved = Registration {
        written: vec![url(ONE)],
        ..registered("search.a", OTHER)
    };
    for (registration, to) in [(registered("search.a", ONE), ONE), (moved, OTHER)] {
        let snapshot = assembled(&config, &[registration]);
        assert!(snapshot.warnings.is_empty(), "{:?}", snapshot.warnings);
        assert_sent(&snapshot, 0, to, ReasonKind::Ring);
        let search = snapshot.services.named("search").expect("the service");
        let names: Vec<&str> = search.deployments.iter().map(|one| &*one.name).collect();
        assert_eq!(names, ["stable", "search.a"]);
        let counts: Vec<usize> = search
            .candidates
            .iter()
            .map(|one| one.deployments.len())
            .collect();
        assert_eq!(counts, [1]);
    }
}

#[test]
fn of_two_for_one_place_the_first_counts() {
    let config = configured(vec![bare("search.a")]);
    let two = [
        registered("search.a", ONE),
        until(5, registered("search.a", OTHER)),
    ];
    let snapshot = assembled(&config, &two);
    assert_sent(&snapshot, 10, ONE, ReasonKind::Ring);
    assert!(warning(&snapshot).contains("was registered before it"));
}

#[test]
fn what_leads_nowhere_is_not_used_and_a_warning_says_who_and_what() {
    let several = Flag {
        variants: variants(&[("a", 1, None), ("b", 1, None)]),
        ..bare("search.several")
    };
    let config = configured(vec![bare("search.a"), bare("other"), several]);
    let elsewhere = |service: &str, flag: &str| Registration {
        service: Some(service.into()),
        ..registered(flag, ONE)
    };
    for (registration, why) in [
        (
            registered("search.none", ONE),
            "there is no flag of that name",
        ),
        (
            elsewhere("serach", "search.a"),
            "there is no service \"serach\"",
        ),
        (
            elsewhere("shop", "search.a"),
            "it is for shop, and the flag belongs to search",
        ),
        (
            registered("other", ONE),
            "no service's `canaries` match the flag",
        ),
        (
            registered("search.a", "http://203.0.113.7:80"),
            "`canary_urls` does not allow `http://203.0.113.7:80`: `203.0.113.7` is a public address",
        ),
        (
            registered("search.several", ONE),
            "the flag has several, \"a\" and \"b\"",
        ),
        (
            of_variant("c", registered("search.several", ONE)),
            "the flag has no variant \"c\"",
        ),
        (
            of_variant("stable", registered("search.several", ONE)),
            "is no canary",
        ),
    ] {
        let snapshot = assembled(&config, std::slice::from_ref(&registration));
        let told = warning(&snapshot);
        let flag = &*registration.flag;
        assert!(told.starts_with("ci registered"), "{told}");
        assert!(told.contains(flag) && told.contains(why), "{told}");
        let services = snapshot.services.iter();
        assert_eq!(
            services.map(|one| one.candidates.len()).sum::<usize>(),
            0,
            "{told}"
        );
    }
}

#[test]
fn a_variant_is_named_or_is_the_only_one() {
    let only = Flag {
        variants: variants(&[("v2", 1, None), ("stable", 0, None)]),
        ..bare("search.a")
    };
    let config = configured(vec![only]);
    let named = of_variant("v2", registered("search.a", ONE));
    for registration in [registered("search.a", ONE), named] {
        let snapshot = assembled(&config, &[registration]);
        assert_sent(&snapshot, 0, ONE, ReasonKind::Ring);
    }

    let two = Flag {
        variants: variants(&[("a", 1, None), ("b", 0, Some(OTHER))]),
        ..bare("search.a")
    };
    let snapshot = assembled(
        &configured(vec![two]),
        &[of_variant("a", registered("search.a", ONE))],
    );
    assert_sent(&snapshot, 0, ONE, ReasonKind::Ring);
    let search = snapshot.services.named("search").expect("the service");
    let names: Vec<&str> = search.deployments.iter().map(|one| &*one.name).collect();
    assert_eq!(names, ["stable", "search.a:b", "search.a:a"]);
}

#[test]
fn everything_that_decides_is_in_the_digest_and_who_registered_it_is_not() {
    let config = configured(vec![bare("search.a")]);
    let before = digest(&config, &[registered("search.a", ONE)]);
    let by_another = Registration {
        registrar: "another".into(),
        ..registered("search.a", ONE)
    };
    assert_eq!(digest(&config, &[by_another]), before);
    assert_eq!(digest(&config, &[]), config.digest);
    // What a gateway tells is the same before and after it hears of a renewal; whether one has an end is not.
    let told = |one: Registration| assembled(&config, &[one]).digest;
    let ending = |at| told(until(at, registered("search.a", ONE)));
    assert_eq!(ending(1), ending(2));
    assert_ne!(ending(1), told(registered("search.a", ONE)));
    let checking = Registration {
        is_ready: false,
        ..registered("search.a", ONE)
    };
    let of_any = Registration {
        service: None,
        ..registered("search.a", ONE)
    };
    let others = [
        registered("search.a", OTHER),
        registered("search.b", ONE),
        of_variant("a", registered("search.a", ONE)),
        until(0, registered("search.a", ONE)),
        until(1, registered("search.a", ONE)),
        checking,
        of_any,
    ];
    let mut digests: Vec<Digest> = others
        .iter()
        .map(|one| digest(&config, std::slice::from_ref(one)))
        .collect();
    digests.extend([before, config.digest]);
    digests.sort_by_key(|digest| digest.0);
    digests.dedup();
    assert_eq!(digests.len(), others.len() + 2);
}

#[test]
fn a_candidate_is_taken_over_while_its_registrations_are_the_same() {
    let config = configured(vec![bare("search.a")]);
    let before = assembled(&config, &[until(1_000, registered("search.a", ONE))]);
    let cluster = |snapshot: &Snapshot| {
        let search = snapshot.services.named("search").expect("the service");
        let canary = search.deployments.iter().nth(1).expect("a canary");
        canary.cluster.clone()
    };
    let after = |registration| assembled_after(Some(&before), &config, &[registration]);
    let same = after(until(1_000, registered("search.a", ONE)));
    assert!(Arc::ptr_eq(&cluster(&before), &cluster(&same)));

    let renewed = after(until(2_000, registered("search.a", ONE)));
    assert_sent(&renewed, 1_500, ONE, ReasonKind::Ring);
    assert!(
        Changes::between(&before, &renewed, at(0))
            .changed
            .is_empty()
    );
    let moved = after(until(1_000, registered("search.a", OTHER)));
    assert_sent(&moved, 0, OTHER, ReasonKind::Ring);
    let changes = Changes::between(&before, &moved, at(0));
    assert_eq!(changes.changed, [Arc::from("search.a")]);
    let checking = after(Registration {
        is_ready: false,
        ..until(1_000, registered("search.a", ONE))
    });
    assert_sent(&checking, 0, "stable", ReasonKind::NotReady);
}

#[test]
fn a_control_arm_of_a_lease_that_is_over_is_withdrawn_as_well() {
    let experiment = Flag {
        variants: variants(&[("control", 100, None), ("v2", 0, None)]),
        ..bare("search.a")
    };
    let config = configured(vec![experiment]);
    let lease = until(1_000, of_variant("v2", registered("search.a", ONE)));
    let snapshot = assembled(&config, &[lease]);
    assert_sent(&snapshot, 999, "stable", ReasonKind::Ring);
    assert_sent(&snapshot, 1_000, "stable", ReasonKind::LeaseOver);
    let search = snapshot.services.named("search").expect("the service");
    let context = Context {
        user_id: Some("ann".into()),
        ..Context::default()
    };
    let decision = decide(search, &context, at(1_000));
    assert_eq!(decision.reason, Reason::Plain(ReasonKind::LeaseOver));
    assert!(decision.candidate.is_some() && decision.variant.is_some());
}
