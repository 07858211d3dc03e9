//! Canaries are recorded in a real Unleash, and rings are switched there: the parts that do so, in this process.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use serin::config::unleash::OnDeregister;
use serin::config::{self, OnUnset};
use serin::custody::Custody;
use serin::publisher::Publisher;
use serin::registry::kills::Kills;
use serin::resolver::ClusterManager;
use serin::resolver::dns::Dns;
use serin::source::environment::NoEnvironment;
use serin::source::unleash::{CanaryRecord, RingChange, Standing, SwitchError};
use serin::source::{FlagServers, FlagServersSetup, SourceStatuses, StoredSets};
use serin::telemetry::metrics::MeterRegistry;
use tempfile::TempDir;
use tokio::runtime::Handle;

use super::stage::{Stage, patiently};
use crate::harness::unleash::{ADMIN, TOKEN, Unleash, canary, rollout};
use crate::harness::{Call, Gateway, Setup};

/// How long a server may take for a record. Beside a whole test run it is slow.
const PATIENCE: Duration = Duration::from_secs(30);

/// What follows servers, as the gateway has it.
struct Followed {
    servers: FlagServers,
    statuses: SourceStatuses,
    _state: TempDir,
}

impl Followed {
    /// `unleash` is more of that section, `more` more of the file.
    fn new(api: &str, unleash: &str, more: &str, policy: OnDeregister) -> Self {
        let text = format!(
            "
listeners: [127.0.0.1:0]
services: {{ recording: {{ stable: http://127.0.0.1:9 }} }}
routes: [{{ path: /, service: recording }}]
canary_urls: {{ allow: [127.0.0.0/8] }}
unleash: {{ url: \"{api}\", token: \"{TOKEN}\", poll: 10m, streaming: never{unleash} }}
{more}
"
        );
        let now = serin::clock::now();
        let config = config::compile(&text, &NoEnvironment, OnUnset::Refuse, now);
        let mut config = config.expect("a valid file");
        let places = config.unleash.iter_mut();
        for admin in places.filter_map(|server| server.admin.as_mut()) {
            admin.place.on_deregister = policy;
        }
        let config = Arc::new(config);
        let control = Handle::current();
        let dns = Dns::new(Some("127.0.0.1:9")).expect("a resolver");
        let publisher = Publisher::start(
            config.clone(),
            Vec::new(),
            ClusterManager::new(dns, control.clone(), Box::default()),
            MeterRegistry::default(),
            Kills::in_memory(),
            &control,
        );
        let statuses = SourceStatuses::default();
        let state = TempDir::new().expect("a folder");
        let setup = FlagServersSetup {
            publisher,
            statuses: statuses.clone(),
            state_dir: state.path().to_owned(),
            custody: Custody::default(),
            shared: None,
            client_uses: Arc::default(),
            control,
        };
        Self {
            servers: FlagServers::start(setup, &config, StoredSets::default()),
            statuses,
            _state: state,
        }
    }

    fn administrator(api: &str, policy: OnDeregister) -> Self {
        Self::new(api, &format!(", admin_token: \"{ADMIN}\""), "", policy)
    }

    /// Records a canary, and says how it stands then.
    async fn record(&self, canary: &CanaryRecord) -> Standing {
        let recorder = self.servers.recorder();
        recorder.record(canary.clone());
        let settled = recorder.settled(&canary.flag, PATIENCE).await;
        settled.expect("it is to be recorded")
    }

    async fn recorded(&self, canary: &CanaryRecord) {
        let standing = self.record(canary).await;
        let recorded = Standing {
            is_recorded: true,
            error: None,
        };
        assert_eq!(standing, recorded);
    }

    async fn refused(&self, canary: &CanaryRecord) -> String {
        let standing = self.record(canary).await;
        assert!(!standing.is_recorded, "{standing:?}");
        standing.error.expect("a reason")
    }

    /// What is wrong with the server.
    fn trouble(&self) -> Option<String> {
        self.statuses.all()[1].last_error()
    }

    async fn switch(&self, flag: &str, ring: &str, on: bool) -> Vec<String> {
        let change = RingChange {
            enabled: Some(on),
            rollout: None,
        };
        let switched = self
            .servers
            .switch_ring("unleash", (flag, ring), &change, false);
        let switched = switched.await.expect("it is switched");
        assert!(switched.is_changed && switched.is_in_force, "{switched:?}");
        switched.warnings
    }
}

fn record(flag: &str, url: &str) -> CanaryRecord {
    CanaryRecord {
        flag: flag.into(),
        service: "recording".into(),
        url: url.into(),
        branch: Some("feature/ranker-v2".into()),
        commit: Some("4f1c2ab".into()),
        version: None,
        owner: Some("search-team@example.com".into()),
        description: Some("Ranks by meaning".into()),
    }
}

pub(super) fn production(flag: &Value) -> &Value {
    let mut environments = flag["environments"].as_array().expect("a list").iter();
    environments
        .find(|one| one["name"] == "production")
        .expect("production")
}

/// Title, whether it is enabled, rollout, and the first variant's payload, of each strategy.
pub(super) fn strategies(flag: &Value) -> Vec<(String, bool, String, String)> {
    let own = production(flag)["strategies"].as_array().expect("a list");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut own: Vec<_> = own.iter().collect();
    own.sort_by_key(|one| one["sortOrder"].as_u64());
    own.into_iter()
        .map(|one| {
            (
                text(&one["title"]),
                one["disabled"] == false,
                text(&one["parameters"]["rollout"]),
                text(&one["variants"][0]["payload"]["value"]),
            )
        })
        .collect()
}

pub(super) fn strategy(
    title: &str,
    on: bool,
    rollout: &str,
    payload: &str,
) -> (String, bool, String, String) {
    (title.to_owned(), on, rollout.to_owned(), payload.to_owned())
}

/// What Unleash tells clients of a flag.
async fn told(unleash: &Unleash, flag: &str) -> Option<Value> {
    let features = unleash.features().await;
    let mut features = features["features"].as_array()?.iter();
    features.find(|one| one["name"] == flag).cloned()
}

#[tokio::test]
async fn a_canary_is_recorded_closed() {
    let unleash = Unleash::shared().await;
    let followed = Followed::administrator(&unleash.url(), OnDeregister::Archive);
    let flag = "recording.life";
    followed
        .recorded(&record(flag, "http://127.0.0.1:9001"))
        .await;
    let made = unleash.flag(flag).await.expect("a flag");
    assert_eq!(
        (&made["type"], &made["stale"]),
        (&json!("release"), &json!(false))
    );
    assert_eq!(
        made["description"],
        "Recorded by Serin: Ranks by meaning, service recording, branch feature/ranker-v2, commit 4f1c2ab, \
         owner search-team@example.com, URL http://127.0.0.1:9001"
    );
    let tags = unleash.tags(flag).await;
    assert_eq!(
        (&tags[0]["type"], &tags[0]["value"]),
        (&json!("simple"), &json!("serin"))
    );
    assert_eq!(production(&made)["enabled"], false);
    let closed = [
        strategy("Canary", false, "100", r#"{"url":"http://127.0.0.1:9001"}"#),
        strategy("Nobody", true, "0", ""),
    ];
    assert_eq!(strategies(&made), closed);

    // Whoever turns it on opens it for nobody: clients are told of a strategy that takes nobody.
    unleash.turn(flag, true).await;
    let shown = patiently("a flag that is on", || async {
        told(unleash, flag)
            .await
            .filter(|one| one["enabled"] == true)
    })
    .await;
    let shown = shown["strategies"].as_array().expect("a list").clone();
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0]["parameters"]["rollout"], "0");
}

#[tokio::test]
async fn what_people_made_of_a_canary_stays_and_its_url_follows() {
    let unleash = Unleash::shared().await;
    let followed = Followed::administrator(&unleash.url(), OnDeregister::Archive);
    let flag = "recording.opened";
    followed
        .recorded(&record(flag, "http://127.0.0.1:9001"))
        .await;
    unleash.turn(flag, true).await;

    // Product people open it a little and add a ring; a pipeline that says the same again changes nothing, and neither does
    // another gateway.
    let open = json!([
        { "op": "replace", "path": "/disabled", "value": false },
        { "op": "replace", "path": "/parameters/rollout", "value": "5" },
    ]);
    unleash.patch_strategy(flag, "Canary", open).await;
    unleash.add_strategy(flag, rollout(flag, 50)).await;
    let before = (unleash.flag(flag).await, unleash.events(flag).await);
    followed
        .recorded(&record(flag, "http://127.0.0.1:9001"))
        .await;
    let other = Followed::administrator(&unleash.url(), OnDeregister::Archive);
    other.recorded(&record(flag, "http://127.0.0.1:9001")).await;
    assert_eq!(
        (unleash.flag(flag).await, unleash.events(flag).await),
        before
    );

    // Another URL and commit: only those change.
    let mut next = record(flag, "http://127.0.0.1:9002");
    next.commit = Some("0b5d7ee".into());
    followed.recorded(&next).await;
    let after = unleash.flag(flag).await.expect("a flag");
    let described = after["description"].as_str().expect("a text");
    assert!(
        described.contains("commit 0b5d7ee") && described.ends_with("URL http://127.0.0.1:9002")
    );
    let opened = strategies(&after);
    let moved = strategy("Canary", true, "5", r#"{"url":"http://127.0.0.1:9002"}"#);
    assert!(opened.contains(&moved) && opened.len() == 3, "{opened:?}");
    assert_eq!(production(&after)["enabled"], true);

    // It leaves, and comes back: closed, with what people had made of it.
    followed.servers.recorder().withdraw(flag);
    assert_eq!(
        followed.servers.recorder().settled(flag, PATIENCE).await,
        None
    );
    assert_eq!(unleash.flag(flag).await, None);
    followed
        .recorded(&record(flag, "http://127.0.0.1:9003"))
        .await;
    let back = unleash.flag(flag).await.expect("a flag");
    assert_eq!(production(&back)["enabled"], false);
    let moved = strategy("Canary", true, "5", r#"{"url":"http://127.0.0.1:9003"}"#);
    assert!(strategies(&back).contains(&moved), "{back:#}");
    assert_eq!(followed.trouble(), None);
}

#[tokio::test]
async fn a_canary_that_leaves_can_be_kept_or_marked_stale_without_its_url() {
    let unleash = Unleash::shared().await;
    for (policy, stale) in [(OnDeregister::Stale, true), (OnDeregister::Keep, false)] {
        let followed = Followed::administrator(&unleash.url(), policy);
        let flag = format!("recording.left-{stale}");
        let canary = record(&flag, "http://127.0.0.1:9001");
        followed.recorded(&canary).await;
        followed.servers.recorder().withdraw(&flag);
        followed.servers.recorder().settled(&flag, PATIENCE).await;
        let left = unleash.flag(&flag).await.expect("a flag");
        assert_eq!(left["stale"], stale, "{policy:?}");
        assert_eq!(
            strategies(&left)[0],
            strategy("Canary", false, "100", ""),
            "{policy:?}"
        );
        followed.recorded(&canary).await;
        let back = unleash.flag(&flag).await.expect("a flag");
        assert_eq!(back["stale"], false, "{policy:?}");
        let url = r#"{"url":"http://127.0.0.1:9001"}"#;
        assert_eq!(strategies(&back)[0].3, url, "{policy:?}");
    }
}

#[tokio::test]
async fn what_stands_in_the_way_is_said_and_left_alone() {
    let unleash = Unleash::shared().await;
    let followed = Followed::administrator(&unleash.url(), OnDeregister::Archive);
    let flag = "recording.theirs";
    unleash.create_flag(flag).await;
    let before = unleash.flag(flag).await;
    let error = followed
        .refused(&record(flag, "http://127.0.0.1:9001"))
        .await;
    assert!(error.contains("was made there, not by Serin"), "{error}");
    let trouble = followed.trouble().expect("it is told");
    assert!(
        trouble.contains("the canary `recording.theirs` is not recorded"),
        "{trouble}"
    );
    // It keeps nobody else from being recorded.
    followed
        .recorded(&record("recording.beside", "http://127.0.0.1:9001"))
        .await;
    followed.servers.recorder().withdraw(flag);
    followed.servers.recorder().settled(flag, PATIENCE).await;
    assert_eq!(unleash.flag(flag).await, before);
    patiently("nothing wrong any more", || async {
        followed.trouble().is_none().then_some(())
    })
    .await;

    unleash.archive(&[flag]).await;
    let error = followed
        .refused(&record(flag, "http://127.0.0.1:9001"))
        .await;
    assert!(
        error.contains("that Serin did not make is in the archive"),
        "{error}"
    );
    let error = followed
        .refused(&record("recording/slash", "http://127.0.0.1:9001"))
        .await;
    assert!(error.contains("a slash"), "{error}");
}

#[tokio::test]
async fn a_token_project_or_environment_that_is_wrong_is_named() {
    let unleash = Unleash::shared().await;
    let api = unleash.url();
    for (token, more, words) in [
        ("*:*.nobody", "", "does not know the token"),
        (
            TOKEN,
            "",
            "`admin_token` must be allowed to write in project `default`",
        ),
        (
            ADMIN,
            "registry: { unleash: { project: nowhere } }",
            "check `registry.unleash.project`, which is `nowhere`",
        ),
        (
            ADMIN,
            "registry: { unleash: { environment: nowhere } }",
            "no environment `nowhere`",
        ),
    ] {
        let followed = Followed::new(
            &api,
            &format!(", admin_token: \"{token}\""),
            more,
            OnDeregister::Archive,
        );
        let error = followed
            .refused(&record("recording.refused", "http://127.0.0.1:9001"))
            .await;
        assert!(error.contains(words), "{error}");
        assert!(
            !error.contains("nobody") && !error.contains(TOKEN),
            "{error}"
        );
    }
}

/// Opens a flag with the rings `team` and `beta`, and has the gateway's part know it.
async fn open_rings(unleash: &Unleash, followed: &Followed, flag: &str) {
    let ring = |title: &str, percent| {
        let mut strategy = canary(flag, percent, "http://127.0.0.1:9001");
        strategy["title"] = title.into();
        strategy
    };
    unleash.open(flag, ring("team", 100)).await;
    unleash.add_strategy(flag, ring("beta", 5)).await;
    patiently("a flag that clients are told of", || async {
        let known = told(unleash, flag).await?;
        (known["strategies"].as_array()?.len() == 2).then_some(())
    })
    .await;
    followed.servers.refresh("unleash").await.expect("flags");
}

#[tokio::test]
async fn rings_are_switched_and_the_last_one_off_is_not_on_for_everybody() {
    let unleash = Unleash::shared().await;
    let followed = Followed::administrator(&unleash.url(), OnDeregister::Archive);
    let flag = "recording.rings";
    open_rings(unleash, &followed, flag).await;
    let shown = async || -> Vec<(String, bool)> {
        let flag = unleash.flag(flag).await.expect("a flag");
        strategies(&flag)
            .into_iter()
            .map(|(title, on, ..)| (title, on))
            .collect()
    };
    let stands = |rings: &[(&str, bool)]| -> Vec<(String, bool)> {
        rings
            .iter()
            .map(|(title, on)| ((*title).to_owned(), *on))
            .collect()
    };

    assert!(followed.switch(flag, "team", false).await.is_empty());
    assert_eq!(shown().await, stands(&[("team", false), ("beta", true)]));
    followed.switch(flag, "beta", false).await;
    assert_eq!(
        shown().await,
        stands(&[("team", false), ("beta", false), ("Nobody", true)])
    );
    let flag_now = unleash.flag(flag).await.expect("a flag");
    assert_eq!(
        production(&flag_now)["enabled"],
        true,
        "the environment is people's"
    );
    followed.switch(flag, "beta", true).await;
}

#[tokio::test]
async fn a_ring_is_ramped() {
    let unleash = Unleash::shared().await;
    let followed = Followed::administrator(&unleash.url(), OnDeregister::Archive);
    let flag = "recording.ramped";
    open_rings(unleash, &followed, flag).await;
    // A ramp, and a rehearsal of one.
    let to = |percent: &str| RingChange {
        enabled: None,
        rollout: Some(percent.to_owned()),
    };
    let servers = &followed.servers;
    let rehearsed = servers
        .switch_ring("unleash", (flag, "beta"), &to("20%"), true)
        .await;
    assert!(rehearsed.expect("possible").is_changed);
    let ramped = servers
        .switch_ring("unleash", (flag, "beta"), &to("10%"), false)
        .await;
    assert!(ramped.expect("ramped").is_in_force);
    let flag_now = unleash.flag(flag).await.expect("a flag");
    assert_eq!(strategies(&flag_now)[1].2, "10");
    let same = servers
        .switch_ring("unleash", (flag, "beta"), &to("10%"), false)
        .await;
    assert!(!same.expect("nothing to do").is_changed);
}

#[tokio::test]
async fn a_switch_without_effect_or_without_a_ring_says_so() {
    let unleash = Unleash::shared().await;
    let followed = Followed::administrator(&unleash.url(), OnDeregister::Archive);
    let flag = "recording.closed";
    open_rings(unleash, &followed, flag).await;
    let servers = &followed.servers;
    // Off as a whole: what is opened there has no effect yet, and that is said.
    unleash.turn(flag, false).await;
    let change = RingChange {
        enabled: Some(false),
        rollout: None,
    };
    let off = servers
        .switch_ring("unleash", (flag, "team"), &change, false)
        .await;
    assert!(off.expect("it is off").warnings.is_empty());
    let change = RingChange {
        enabled: Some(true),
        rollout: None,
    };
    let switched = servers
        .switch_ring("unleash", (flag, "team"), &change, false)
        .await;
    let warnings = switched.expect("it is switched").warnings;
    assert!(
        warnings[0].contains("is off in environment `production`"),
        "{warnings:?}"
    );

    let refused = servers
        .switch_ring("unleash", (flag, "gamma"), &change, false)
        .await;
    assert!(
        matches!(&refused, Err(SwitchError::NoRing(why)) if why.contains("`team`, `beta`")),
        "{refused:?}"
    );
    let refused = servers
        .switch_ring("unleash", ("recording.none", "team"), &change, false)
        .await;
    assert!(
        matches!(refused, Err(SwitchError::NoFlag(_))),
        "{refused:?}"
    );
    let refused = servers
        .switch_ring("eu", (flag, "team"), &change, false)
        .await;
    assert!(
        matches!(refused, Err(SwitchError::NoServer(_))),
        "{refused:?}"
    );
    let follower = Followed::new(&unleash.url(), "", "", OnDeregister::Archive);
    let refused = follower
        .servers
        .switch_ring("unleash", (flag, "team"), &change, false)
        .await;
    assert!(
        matches!(refused, Err(SwitchError::NoToken { .. })),
        "{refused:?}"
    );
    assert_eq!(follower.servers.recorder().standing(flag), None);
}

#[tokio::test]
async fn a_canary_is_recorded_once_the_server_is_back() {
    let mut unleash = Unleash::start().await;
    let followed = Followed::administrator(&unleash.url(), OnDeregister::Archive);
    unleash.stop().await;
    let flag = "recording.late";
    let error = followed
        .refused(&record(flag, "http://127.0.0.1:9001"))
        .await;
    assert!(!error.is_empty());
    // The last wish wins, and one that was taken back is none.
    let recorder = followed.servers.recorder();
    recorder.record(record(flag, "http://127.0.0.1:9002"));
    recorder.record(record("recording.gone", "http://127.0.0.1:9002"));
    recorder.withdraw("recording.gone");
    unleash.restart().await;
    patiently("a record", || async {
        recorder.standing(flag)?.is_recorded.then_some(())
    })
    .await;
    patiently("the end of the other", || async {
        recorder.standing("recording.gone").is_none().then_some(())
    })
    .await;
    let made = unleash.flag(flag).await.expect("a flag");
    assert_eq!(strategies(&made)[0].3, r#"{"url":"http://127.0.0.1:9002"}"#);
    assert_eq!(unleash.flag("recording.gone").await, None);
    let features = unleash.features().await;
    assert_eq!(features["features"].as_array().map(Vec::len), Some(1));
}

async fn patched(gateway: &Gateway, path: &str, body: &Value) -> (u16, Value) {
    let call = Call::new(Method::PATCH, path).body(body.to_string());
    let call = call.header("content-type", "application/json");
    let answer = gateway.admin_send(call).await;
    (answer.status, answer.json())
}

#[tokio::test]
async fn an_operator_switches_a_ring_of_unleash_through_the_gateway() {
    let unleash = Unleash::shared().await;
    let stage = Stage::new("switching").await;
    let flag = stage.flag("new");
    let mut ring = canary(&flag, 100, &stage.canary.url());
    ring["title"] = "everyone".into();
    unleash.open(&flag, ring).await;
    let more = format!(", poll: 10m, admin_token: \"{ADMIN}\"");
    let gateway = Setup::new(stage.config(&unleash.url(), &more))
        .start()
        .await;
    // Unleash itself tells nobody for up to a second.
    patiently("a canary", || async {
        let refresh = Call::new(Method::POST, "/api/v1/sources/unleash/refresh");
        assert_eq!(gateway.admin_send(refresh).await.status, 200);
        (stage.serves(&gateway, "u1").await == "canary").then_some(())
    })
    .await;
    let mut events = crate::harness::Raw::open(gateway.admin_address()).await;
    events
        .write(b"GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    events.read_until(b"event: connected").await;
    let patch = async |ring: &str, body: Value, query: &str| {
        let path = format!("/api/v1/flags/{flag}/rings/{ring}{query}");
        patched(&gateway, &path, &body).await
    };
    let (status, tried) = patch("everyone", json!({ "enabled": false }), "?dry_run=true").await;
    assert_eq!(
        (status, &tried["changed"], &tried["recorded_in"]),
        (200, &json!(true), &json!([]))
    );
    assert_eq!(stage.serves(&gateway, "u1").await, "canary");

    // The next poll is ten minutes away: the very first request after the answer is decided by it.
    let (status, off) = patch("everyone", json!({ "enabled": false }), "").await;
    assert_eq!(
        (status, &off["recorded_in"], &off["kept_by"]),
        (200, &json!(["unleash"]), &json!("unleash"))
    );
    assert_eq!(
        (&off["changed"], &off["warnings"]),
        (&json!(true), &json!([]))
    );
    assert_eq!(stage.serves(&gateway, "u1").await, "stable");
    // It is told as a ring of Serin's own is; the rehearsal was not.
    let told = events.read_until(b"\"action\":\"ring\"").await;
    let told = String::from_utf8_lossy(&told);
    assert_eq!(told.matches("event: flag\n").count(), 1, "{told}");
    let (status, on) = patch("everyone", json!({ "enabled": true }), "").await;
    assert_eq!((status, &on["changed"]), (200, &json!(true)));
    assert_eq!(stage.serves(&gateway, "u1").await, "canary");
    refused_there(&gateway, &flag).await;
    assert_eq!(stage.serves(&gateway, "u1").await, "canary");
}

/// What Unleash has no ring or no rollout for is refused in words.
async fn refused_there(gateway: &Gateway, flag: &str) {
    for (ring, body, expected, words) in [
        ("beta", json!({ "enabled": true }), 404, "`everyone`"),
        (
            "everyone",
            json!({ "rollout": "0.5%" }),
            422,
            "whole percents",
        ),
    ] {
        let path = format!("/api/v1/flags/{flag}/rings/{ring}");
        let (status, problem) = patched(gateway, &path, &body).await;
        assert_eq!(status, expected, "{problem}");
        let detail = problem["detail"].as_str().expect("a text");
        assert!(detail.contains(words), "{problem}");
    }
}
