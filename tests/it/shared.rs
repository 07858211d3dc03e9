//! State that several gateways share in a real Redis: kills are everywhere at once, survive all that can happen to Redis,
//! and go on without it.

mod clustered;
mod faults;
mod flags;
mod leases;
mod renewals;
mod tls;
mod trails;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use serin::config::redis::{RedisConfig, RedisTls, RedisUrl, RedisUrls};
use serin::state::{Expected, Kind, StateStore, StoreError, Write};
use tempfile::TempDir;
use tokio::runtime::Handle;

use crate::harness::redis::{Redis, Server};
use crate::harness::{Gateway, Origin, Setup, assert_has, eventually, fill, in_time, post, until};

const CONFIG: &str = "
services:
  search: { stable: @stable }
flags:
  search.ranker: { url: @canary, rings: [{ name: all }] }
  search.second: { url: @canary, rings: [{ name: all }] }
routes: [{ path: /, service: search, expose: true }]
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
";

/// Under which records of kills stand in Redis.
const KILLS: &str = "serin:{s}:v1:kills";

struct House<S = Redis> {
    stable: Origin,
    canary: Origin,
    redis: S,
}

impl House {
    async fn new() -> Self {
        Self::with(Redis::start().await).await
    }
}

impl<S: Server> House<S> {
    async fn with(redis: S) -> Self {
        Self {
            stable: Origin::start("stable").await,
            canary: Origin::start("canary").await,
            redis,
        }
    }

    /// A gateway with this folder for its state, which shares it.
    async fn gateway(&self, state: &TempDir) -> Gateway {
        let url = self.redis.url();
        self.gateway_with(state, &format!("redis: {{ url: {url} }}\n"))
            .await
    }

    async fn gateway_with(&self, state: &TempDir, more: &str) -> Gateway {
        self.gateway_of(CONFIG, state, more).await
    }

    async fn gateway_of(&self, config: &str, state: &TempDir, more: &str) -> Gateway {
        let config = fill(config, [&self.stable, &self.canary]);
        let server = format!(
            "server: {{ threads: 2, shutdown_delay: 1ms, shutdown_grace: 8s, state_dir: '{}' }}\n",
            state.path().display()
        );
        Setup::new(format!("{config}{server}{more}")).start().await
    }
}

fn folder() -> TempDir {
    TempDir::new().expect("a folder")
}

/// Orders something of a flag; the status, and what it says.
async fn order(gateway: &Gateway, flag: &str, verb: &str) -> (u16, Value) {
    let path = format!("/api/v1/services/search/canaries/{flag}/{verb}");
    let answer = in_time(verb, gateway.admin_send(post(&path, ""))).await;
    (answer.status, answer.json())
}

async fn ordered(gateway: &Gateway, flag: &str, verb: &str) -> Value {
    let (status, answer) = order(gateway, flag, verb).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

/// The flags that are killed at a gateway.
async fn killed(gateway: &Gateway) -> Vec<String> {
    let service = gateway.admin("/api/v1/services/search").await.json();
    let kills = service["kills"].as_array().expect("kills");
    let name = |kill: &Value| kill["flag"].as_str().expect("a name").to_owned();
    kills.iter().map(name).collect()
}

async fn await_killed(gateway: &Gateway, flags: &[&str]) {
    let what = format!("kills of {flags:?}");
    eventually(&what, || async {
        (killed(gateway).await == flags).then_some(())
    })
    .await;
}

async fn store(gateway: &Gateway) -> Value {
    let status = gateway.status().await;
    let mut stores = status["stores"].as_array().expect("stores").iter();
    let shared = stores.find(|store| store["name"] == "redis");
    shared.expect("a shared store").clone()
}

async fn await_store(gateway: &Gateway, up: bool) {
    let what = format!("a store that is up: {up}");
    eventually(&what, || async {
        (store(gateway).await["up"] == up).then_some(())
    })
    .await;
    gateway
        .await_metric(
            "serin_store_up",
            &[("store", "redis")],
            f64::from(u8::from(up)),
        )
        .await;
}

#[tokio::test]
async fn a_kill_holds_on_all_gateways_and_on_those_that_come_later() {
    kill_everywhere(House::new().await).await;
}

async fn kill_everywhere<S: Server>(house: House<S>) {
    let folders = [folder(), folder(), folder()];
    let [one, two, three] = [
        house.gateway(&folders[0]).await,
        house.gateway(&folders[1]).await,
        house.gateway(&folders[2]).await,
    ];
    let mut waits = Vec::new();
    for round in 0..5 {
        for gateway in [&one, &two, &three] {
            gateway.get_as("u1", "/").await.assert_from("canary");
        }
        let begun = Instant::now();
        for flag in ["search.ranker", "search.second"] {
            let answer = ordered(&one, flag, "kill").await;
            assert_has(
                &answer,
                &json!({ "scope": "all gateways", "stored": true, "changed": true }),
            );
        }
        for gateway in [&two, &three] {
            await_killed(gateway, &["search.ranker", "search.second"]).await;
            gateway.get_as("u1", "/").await.assert_from("stable");
        }
        waits.push(begun.elapsed());
        if round == 0 {
            // One that has never been there takes no user to a killed canary, not even its first.
            let newcomer = house.gateway(&folder()).await;
            newcomer.get_as("u1", "/").await.assert_from("stable");
        }
        // Anybody may take it back.
        ordered(&two, "search.ranker", "restore").await;
        ordered(&three, "search.second", "restore").await;
        for gateway in [&one, &two, &three] {
            await_killed(gateway, &[]).await;
        }
    }
    waits.sort_unstable();
    // With the requests that found it out, twice, on a busy machine.
    assert!(waits[2] < Duration::from_millis(400), "{waits:?}");
    let shown = store(&one).await;
    assert_has(
        &shown,
        &json!({ "name": "redis", "place": house.redis.shown(), "up": true, "last_error": null }),
    );
    assert!(
        one.metrics()
            .await
            .sum("serin_store_age_seconds", &[("store", "redis")])
            < 60.0
    );
}

#[tokio::test]
async fn without_redis_kills_hold_here_and_spread_later_and_nothing_is_restored() {
    go_on_without(House::new().await).await;
}

async fn go_on_without<S: Server>(mut house: House<S>) {
    let folders = [folder(), folder()];
    let one = house.gateway(&folders[0]).await;
    let two = house.gateway(&folders[1]).await;
    ordered(&one, "search.second", "kill").await;
    await_killed(&two, &["search.second"]).await;

    house.redis.kill();
    await_store(&one, false).await;
    await_store(&two, false).await;
    let (status, answer) = order(&one, "search.ranker", "kill").await;
    assert_eq!(status, 202, "{answer}");
    let pending = json!({ "killed": true, "changed": true, "stored": true, "scope": "this gateway, pending" });
    assert_has(&answer, &pending);
    one.get_as("u1", "/").await.assert_from("stable");
    // A restore waits, and what it was to take back holds.
    for flag in ["search.ranker", "search.second"] {
        let (status, answer) = order(&one, flag, "restore").await;
        assert_eq!((status, &answer["status"]), (503, &json!(503)), "{answer}");
    }
    assert_eq!(killed(&one).await, ["search.ranker", "search.second"]);
    assert_eq!(killed(&two).await, ["search.second"]);
    let warnings = one.status().await["warnings"].to_string();
    assert!(warnings.contains("cannot be reached"), "{warnings}");

    // It survives the gateway, too, and goes to the others from there.
    one.kill().await;
    let one = house.gateway(&folders[0]).await;
    assert_eq!(killed(&one).await, ["search.ranker", "search.second"]);
    one.get_as("u1", "/").await.assert_from("stable");
    house.redis.start_again().await;
    await_killed(&two, &["search.ranker", "search.second"]).await;
    await_store(&one, true).await;
    await_store(&two, true).await;
    ordered(&two, "search.ranker", "restore").await;
    ordered(&two, "search.second", "restore").await;
    await_killed(&one, &[]).await;
}

#[tokio::test]
async fn a_frozen_redis_holds_up_no_kill() {
    freeze_server(House::new().await).await;
}

async fn freeze_server<S: Server>(house: House<S>) {
    let folders = [folder(), folder()];
    let one = house.gateway(&folders[0]).await;
    let two = house.gateway(&folders[1]).await;
    house.redis.freeze();
    // Nothing says that it is gone but its silence.
    let (status, answer) = order(&one, "search.ranker", "kill").await;
    assert_eq!(
        (status, &answer["scope"]),
        (202, &json!("this gateway, pending"))
    );
    assert_eq!(order(&one, "search.second", "kill").await.0, 202);
    assert_eq!(order(&one, "search.second", "restore").await.0, 503);
    await_store(&two, false).await;
    assert_eq!(killed(&two).await, Vec::<String>::new());
    house.redis.thaw();
    await_killed(&two, &["search.ranker", "search.second"]).await;
    await_store(&one, true).await;
    assert_eq!(killed(&one).await, ["search.ranker", "search.second"]);
}

#[tokio::test]
async fn a_redis_that_comes_back_empty_gets_back_what_gateways_hold() {
    let mut house = House::new().await;
    let folders = [folder(), folder()];
    let one = house.gateway(&folders[0]).await;
    let two = house.gateway(&folders[1]).await;
    ordered(&one, "search.ranker", "kill").await;
    ordered(&two, "search.second", "kill").await;
    ordered(&two, "search.second", "restore").await;
    await_killed(&two, &["search.ranker"]).await;
    await_killed(&one, &["search.ranker"]).await;

    house.redis.kill();
    await_store(&one, false).await;
    house.redis.start_empty().await;
    await_store(&one, true).await;
    await_store(&two, true).await;
    for gateway in [&one, &two] {
        assert_eq!(killed(gateway).await, ["search.ranker"]);
    }
    // And while everybody is there.
    house.redis.ask::<String>(&["FLUSHALL"]);
    ordered(&one, "search.second", "kill").await;
    await_killed(&two, &["search.ranker", "search.second"]).await;
    let newcomer = house.gateway(&folder()).await;
    await_killed(&newcomer, &["search.ranker", "search.second"]).await;
    newcomer.get_as("u1", "/").await.assert_from("stable");
    ordered(&newcomer, "search.ranker", "restore").await;
    await_killed(&one, &["search.second"]).await;
}

#[tokio::test]
async fn a_redis_that_comes_back_with_older_data_undoes_nothing() {
    let mut house = House::new().await;
    let folders = [folder(), folder()];
    let one = house.gateway(&folders[0]).await;
    let two = house.gateway(&folders[1]).await;
    ordered(&one, "search.ranker", "kill").await;
    await_killed(&two, &["search.ranker"]).await;
    house.redis.kill();
    let backup = folder();
    copy(&house.redis.data(), backup.path());
    house.redis.start_again().await;
    await_store(&one, true).await;
    await_store(&two, true).await;
    // After the backup: one restore, one kill.
    ordered(&one, "search.ranker", "restore").await;
    ordered(&two, "search.second", "kill").await;
    await_killed(&one, &["search.second"]).await;
    await_killed(&two, &["search.second"]).await;
    house.redis.kill();
    fs::remove_dir_all(house.redis.data()).unwrap();
    copy(backup.path(), &house.redis.data());
    house.redis.start_again().await;
    await_store(&one, true).await;
    await_store(&two, true).await;
    for gateway in [&one, &two] {
        assert_eq!(killed(gateway).await, ["search.second"]);
    }
    let newcomer = house.gateway(&folder()).await;
    assert_eq!(killed(&newcomer).await, ["search.second"]);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[tokio::test]
async fn a_gateway_that_was_stopped_learns_what_it_has_missed() {
    stop_a_gateway(House::new().await).await;
}

async fn stop_a_gateway<S: Server>(house: House<S>) {
    let folders = [folder(), folder()];
    let one = house.gateway(&folders[0]).await;
    let two = house.gateway(&folders[1]).await;
    ordered(&one, "search.second", "kill").await;
    await_killed(&two, &["search.second"]).await;
    two.pause();
    ordered(&one, "search.ranker", "kill").await;
    ordered(&one, "search.second", "restore").await;
    // What Redis would send it is lost with its connections.
    house
        .redis
        .ask::<i64>(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    two.resume();
    await_killed(&two, &["search.ranker"]).await;
    await_killed(&one, &["search.ranker"]).await;
}

#[tokio::test]
async fn gateways_start_without_redis_and_bring_what_they_have_had_alone() {
    start_without(House::new().await).await;
}

async fn start_without<S: Server>(mut house: House<S>) {
    let (state, other) = (folder(), folder());
    let alone = house.gateway_with(&state, "").await;
    let answer = ordered(&alone, "search.ranker", "kill").await;
    assert_has(&answer, &json!({ "scope": "this gateway", "stored": true }));
    assert_eq!(
        alone.status().await["stores"].as_array().map(Vec::len),
        Some(1),
        "its own"
    );
    alone.kill().await;

    house.redis.kill();
    let one = house.gateway(&state).await;
    one.get_as("u1", "/").await.assert_from("stable");
    assert_has(&store(&one).await, &json!({ "up": false }));
    house.redis.start_again().await;
    await_store(&one, true).await;
    let two = house.gateway(&other).await;
    assert_eq!(killed(&two).await, ["search.ranker"]);

    // What is killed while a gateway is by itself again is news to the others.
    ordered(&two, "search.ranker", "restore").await;
    await_killed(&one, &[]).await;
    one.kill().await;
    let alone = house.gateway_with(&state, "").await;
    ordered(&alone, "search.ranker", "kill").await;
    alone.kill().await;
    let one = house.gateway(&state).await;
    assert_eq!(killed(&one).await, ["search.ranker"]);
    await_killed(&two, &["search.ranker"]).await;
}

#[tokio::test]
async fn a_password_that_is_wrong_is_told_and_not_shown() {
    let redis = Redis::start_with(&["--requirepass", "hush-hush"]).await;
    let house = House {
        redis,
        ..House::new().await
    };
    let (state, port) = (folder(), house.redis.port());
    let redis =
        |password: &str| format!("redis: {{ url: 'redis://:{password}@127.0.0.1:{port}' }}\n");
    let wrong = house.gateway_with(&state, &redis("not-this-one")).await;
    let shown = store(&wrong).await;
    assert_eq!(shown["up"], false);
    let error = shown["last_error"].as_str().expect("an error");
    assert!(error.to_lowercase().contains("password"), "{error}");
    let everything = format!("{} {}", wrong.status().await, wrong.log());
    assert!(!everything.contains("not-this-one"), "{everything}");
    let right = house.gateway_with(&folder(), &redis("hush-hush")).await;
    assert_eq!(store(&right).await["up"], true);
    assert!(!right.status().await.to_string().contains("hush"));
}

/// A store of its own that shares what `redis` has.
async fn shared_store(redis: &Redis, state: &TempDir) -> StateStore {
    let store = StateStore::open(state.path());
    let config = RedisConfig {
        url: RedisUrls::One(RedisUrl::parse(&redis.url()).expect("a URL")),
        prefix: "serin:".into(),
        tls: RedisTls::default(),
    };
    store.share(config, &Handle::current());
    store.first_contact().await;
    store
}

fn put(key: &str, value: Value, expected: Expected) -> Write {
    Write::Put {
        key: key.to_owned(),
        value,
        expected,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_racing_writers_on_two_gateways_one_wins_each_time_and_nothing_is_lost() {
    let redis = Redis::start().await;
    let folders = [folder(), folder()];
    let stores = [
        shared_store(&redis, &folders[0]).await,
        shared_store(&redis, &folders[1]).await,
    ];
    let count = async |writer: usize, store: StateStore| {
        let mut won = 0;
        while won < 20 {
            let seen = store.records(Kind::Flags).get("n").cloned();
            let next = seen.as_ref().and_then(Value::as_u64).unwrap_or_default() + 1;
            let expected = seen.map_or(Expected::Absent, Expected::Is);
            let own = put(&format!("{writer}/{won}"), json!(next), Expected::Absent);
            let writes = vec![put("n", json!(next), expected), own];
            match store.write(Kind::Flags, writes).await {
                Ok(stored) => {
                    assert_eq!(stored.recorded_in, ["state", "redis"]);
                    won += 1;
                }
                Err(StoreError::Changed(key)) => assert_eq!(key, "n"),
                Err(error) => panic!("{error}"),
            }
        }
    };
    let writers = (0..8).map(|writer| tokio::spawn(count(writer, stores[writer % 2].clone())));
    for writer in writers.collect::<Vec<_>>() {
        in_time("a writer", writer).await.unwrap();
    }
    let settled = async |store: &StateStore| {
        until("all records", || {
            let records = store.records(Kind::Flags);
            (records["n"] == 160 && records.len() == 161).then_some(records)
        })
        .await
    };
    let (one, two) = (settled(&stores[0]).await, settled(&stores[1]).await);
    assert_eq!(one, two);
    let own = one.iter().filter(|(key, _)| *key != "n");
    let mut seen: Vec<u64> = own.filter_map(|(_, value)| value.as_u64()).collect();
    seen.sort_unstable();
    assert_eq!(seen, (1..=160).collect::<Vec<_>>());
    // Redis and the files say the same.
    let stored: BTreeMap<String, String> = redis.ask(&["HGETALL", "serin:{s}:v1:flags"]);
    for (key, value) in &one {
        assert!(
            stored[key].ends_with(&format!(" {value}")),
            "{key}: {}",
            stored[key]
        );
    }
    drop(stores);
    assert_eq!(
        StateStore::open(folders[0].path()).records(Kind::Flags),
        one
    );
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a life is told in its order")]
async fn a_write_is_all_or_nothing_and_only_kills_go_on_without_redis() {
    let mut redis = Redis::start().await;
    let (state, other) = (folder(), folder());
    let store = shared_store(&redis, &state).await;
    let two = shared_store(&redis, &other).await;
    let mut told = two.subscribe(Kind::Flags);
    let write = |writes| store.write(Kind::Flags, writes);
    let remove = |expected| Write::Remove {
        key: "a".to_owned(),
        expected,
    };
    write(vec![put("a", json!({ "x": 1 }), Expected::Absent)])
        .await
        .unwrap();
    for refused in [
        put("a", json!(2), Expected::Absent),
        put("a", json!(2), Expected::Is(json!(3))),
        put("b", json!(2), Expected::Is(json!(null))),
        remove(Expected::Is(json!(2))),
        remove(Expected::Absent),
    ] {
        let first = put("c", json!(1), Expected::Any);
        let error = write(vec![first, refused.clone()]).await.unwrap_err();
        assert!(matches!(error, StoreError::Changed(_)), "{refused:?}");
    }
    // Each write sees those before it.
    let writes = vec![
        put("a", json!(2), Expected::Is(json!({ "x": 1 }))),
        remove(Expected::Is(json!(2))),
        put("a", json!(3), Expected::Absent),
    ];
    write(writes).await.unwrap();
    let held = [("a".to_owned(), json!(3))].into();
    assert_eq!(store.records(Kind::Flags), held);
    in_time("news", told.changed()).await.unwrap();
    until("the same there", || {
        (two.records(Kind::Flags) == held).then_some(())
    })
    .await;
    let stored: Vec<String> = redis.ask(&["HKEYS", "serin:{s}:v1:flags"]);
    assert_eq!(stored, ["a"]);

    redis.kill();
    until("trouble", || (!store.sharing()?.is_up).then_some(())).await;
    let error = write(vec![put("a", json!(4), Expected::Any)])
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Unreachable), "{error}");
    assert_eq!(store.records(Kind::Flags), held);
    let kill = || put("search/f", json!({ "by": "me" }), Expected::Any);
    let stored = store.write(Kind::Kills, vec![kill()]).await.unwrap();
    assert!(
        stored.is_pending && stored.recorded_in == ["state"],
        "{stored:?}"
    );
    let removal = Write::Remove {
        key: "search/f".to_owned(),
        expected: Expected::Any,
    };
    let error = store.write(Kind::Kills, vec![removal]).await.unwrap_err();
    assert!(matches!(error, StoreError::Unreachable), "{error}");
    // Redis is not needed to know it again.
    let again = StateStore::open(state.path());
    assert_eq!(again.records(Kind::Kills), store.records(Kind::Kills));
    redis.start_empty().await;
    until("the kill there", || {
        (two.records(Kind::Kills).len() == 1).then_some(())
    })
    .await;
    let stored: Vec<String> = redis.ask(&["HKEYS", KILLS]);
    assert_eq!(stored, ["search/f"]);
    let stored: Vec<String> = redis.ask(&["HKEYS", "serin:{s}:v1:flags"]);
    assert_eq!(stored, ["a"], "an empty Redis gets back what gateways hold");
}

#[tokio::test]
async fn what_another_release_has_written_is_left_alone() {
    let redis = Redis::start().await;
    redis.ask::<i64>(&[
        "HSET",
        KILLS,
        "search/odd",
        "not of this form",
        "search/f",
        "7 {\"by\":\"you\",\"new\":1}",
    ]);
    redis.ask::<i64>(&["PUBLISH", "serin:{s}:v1:changes", "nonsense"]);
    let store = shared_store(&redis, &folder()).await;
    assert_eq!(
        store.records(Kind::Kills)["search/f"],
        json!({ "by": "you", "new": 1 })
    );
    let write = vec![put("search/g", json!({}), Expected::Absent)];
    redis.ask::<i64>(&["PUBLISH", "serin:{s}:v1:changes", "kills 1 2\nnonsense"]);
    store.write(Kind::Kills, write).await.unwrap();
    let odd: String = redis.ask(&["HGET", KILLS, "search/odd"]);
    assert_eq!(odd, "not of this form");
    assert_eq!(store.records(Kind::Kills).len(), 2);
}
