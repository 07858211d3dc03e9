//! Several gateways on one Redis record what pipelines register once, whichever of them is asked and whichever ends.

use futures_util::future::join_all;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::recording::strategies;
use super::registered::{await_archived, body, config, path, places, register, shown, take_back};
use super::stage::{Stage, patiently};
use crate::harness::redis::Redis;
use crate::harness::unleash::Unleash;
use crate::harness::{Gateway, Setup};
use crate::registrations::put;

/// Under which it stands in Redis which gateway records.
const RECORDING: &str = "serin:{s}:v1:recording";

struct House {
    stage: Stage,
    unleash: Unleash,
    redis: Redis,
    folders: Vec<TempDir>,
}

impl House {
    async fn new(service: &'static str) -> Self {
        Self {
            stage: Stage::new(service).await,
            unleash: Unleash::start().await,
            redis: Redis::start().await,
            folders: (0..3).map(|_| TempDir::new().expect("a folder")).collect(),
        }
    }

    async fn gateways(&self) -> Vec<Gateway> {
        let redis = format!("redis: {{ url: '{}' }}\n", self.redis.url());
        let config = config(&self.stage, &self.unleash, &redis);
        let own = self.stage.state.path().display().to_string();
        let start = self.folders.iter().map(|folder| {
            let config = config.replace(&own, &folder.path().display().to_string());
            Setup::new(config).start()
        });
        join_all(start).await
    }

    /// Waits until a gateway says where the canary stands.
    async fn await_places(&self, gateway: &Gateway, expected: &[&str]) {
        let what = format!("recorded in {expected:?}");
        patiently(&what, || async {
            let canary = shown(&self.stage, gateway).await;
            (places(&canary) == expected).then_some(())
        })
        .await;
    }

    /// Whose turn it is to record: a revision, and what the gateway says, unless it has given the turn up.
    fn turn(&self) -> Option<Value> {
        let said: Option<String> = self.redis.ask(&["HGET", RECORDING, "turn"]);
        let said = said?;
        let (_, turn) = said.split_once(' ')?;
        serde_json::from_str(turn).ok()
    }

    async fn strategies(&self) -> usize {
        let flag = self.unleash.flag(&self.stage.flag("new")).await;
        strategies(&flag.expect("a flag")).len()
    }
}

const EVERYWHERE: [&str; 3] = ["state", "redis", "unleash"];

#[tokio::test]
async fn pipelines_that_race_at_three_gateways_are_recorded_once() {
    let house = House::new("raced").await;
    let gateways = house.gateways().await;
    let order = put(&path(&house.stage), &body(&house.stage));
    let racing = gateways
        .iter()
        .map(|gateway| gateway.admin_send(order.clone()));
    let answers = join_all(racing).await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 201], "{answers:?}");
    for gateway in &gateways {
        house.await_places(gateway, &EVERYWHERE).await;
    }
    assert_eq!(house.strategies().await, 2);
    patiently("nobody's turn", || async {
        house.turn().is_none().then_some(())
    })
    .await;

    // Taken back at another gateway than the one that has recorded it.
    take_back(&house.stage, &gateways[2]).await;
    await_archived(&house.unleash, &house.stage.flag("new")).await;
    for gateway in &gateways {
        house.await_places(gateway, &["state", "redis"]).await;
    }
}

#[tokio::test]
async fn another_gateway_records_what_one_that_is_gone_has_not() {
    let mut house = House::new("inherited").await;
    let mut gateways = house.gateways().await;
    house.unleash.stop().await;
    let order = put(&path(&house.stage), &body(&house.stage));
    let answer = gateways[0].admin_send(order).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let turn = patiently("the first one's turn", || async { house.turn() }).await;
    let first = gateways.remove(0);
    first.sigkill();
    drop(first);
    house.unleash.restart().await;
    for gateway in &gateways {
        house.await_places(gateway, &EVERYWHERE).await;
    }
    assert_eq!(house.strategies().await, 2);
    assert_ne!(
        house.turn().map(|turn| turn["by"].clone()),
        Some(turn["by"].clone())
    );
    // Its lease ends by itself, and one of those that are left sees to its flag.
    let mut short = body(&house.stage);
    short["ttl"] = json!("2s");
    register(&house.stage, &gateways[1], &short).await;
    await_archived(&house.unleash, &house.stage.flag("new")).await;
    for gateway in &gateways {
        house.await_places(gateway, &["state", "redis"]).await;
    }
}
