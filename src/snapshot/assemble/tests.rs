use super::may_hash_session;
use crate::context::{Field, Slot};
use crate::engine::{CanaryUrl, Flag, Stickiness, Variant, Variants};
use crate::snapshot::fixture::{everyone, flag, ring, service, snapshot, url, variants};
use crate::snapshot::{STABLE, Service, Snapshot};

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
fn of_two_equal_claims_the_first_service_wins_and_a_warning_says_so() {
    let services = vec![service("one", &["a.*"]), service("two", &["x", "a.*"])];
    let snapshot = snapshot(services, plain(&["a.b"]));
    assert_eq!(candidates(&snapshot.services[0]), ["a.b"]);
    assert!(snapshot.services[1].candidates.is_empty());
    assert_eq!(
        snapshot.warnings,
        [
            "flag a.b matches canaries of one and of two with equal right; one comes first and has it"
        ]
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
    let targets = std::iter::once(&candidate.plain)
        .chain(&candidate.variants)
        .chain(candidate.ring_variants.iter().flatten());
    let names = targets.map(|target| service.deployments[target.deployment].name.to_string());
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
            true => Some(CanaryUrl::Refused),
            false => variant.url.clone(),
        },
        ..variant.clone()
    };
    let list = variants(list).expect("variants");
    Variants::new(
        list.list().iter().map(refuse).collect(),
        list.group().into(),
        list.stickiness(),
    )
}

#[test]
fn a_refused_url_is_stable_under_its_flag_and_changes_no_other_name() {
    let (snapshot, led_to) = led(|flag| flag.url = Some(CanaryUrl::Refused));
    assert_eq!(candidates(&snapshot.services[0]), ["s.f"]);
    assert_eq!(deployments(&snapshot.services[0]), ["stable"]);
    assert_eq!(led_to, ["stable"]);

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
    let urls: Vec<_> = snapshot.services[0].deployments[1..]
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
    let canary = &snapshot.services[0].deployments[1];
    assert_eq!(canary.header, "suche.gr%C3%B6%C3%9Fe, \"neu\"");
    assert_eq!(
        canary.baggage,
        "serin.suche%2F1=suche.gr%C3%B6%C3%9Fe%2C%20%22neu%22"
    );
    let stable = &snapshot.services[0].deployments[STABLE];
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
