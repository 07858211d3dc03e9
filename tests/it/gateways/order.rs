//! Which canary has a user, of two whose flags gateways have seen in opposite orders: the same at all of them.

use tempfile::TempDir;

use crate::harness::flag_server::{FlagServer, feature};
use crate::harness::redis::Redis;
use crate::harness::{Gateway, Origin, fill};
use crate::sources::await_origin;

const CONFIG: &str = "
services:
  search: { stable: @stable }
routes: [{ path: /, service: search }]
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
server: { threads: 2, shutdown_delay: 1ms, shutdown_grace: 8s, state_dir: '%state%' }
redis: { url: '%redis%' }
";

/// A gateway, and a flag server that nobody else asks.
struct Member {
    gateway: Gateway,
    server: FlagServer,
    _state: TempDir,
}

/// Two canaries for everybody.
struct Canaries {
    stable: Origin,
    a: Origin,
    z: Origin,
    redis: Redis,
}

impl Canaries {
    async fn new() -> Self {
        Self {
            stable: Origin::start("stable").await,
            a: Origin::start("a").await,
            z: Origin::start("z").await,
            redis: Redis::start().await,
        }
    }

    fn begin(&self, server: &FlagServer, name: &str) {
        let origin = if name == "a" { &self.a } else { &self.z };
        server.put([feature(&format!("search.{name}"), &origin.url(), true)]);
    }

    /// A gateway that sees this one run first.
    async fn member(&self, first: &str) -> Member {
        let (server, state) = (FlagServer::start().await, TempDir::new().expect("a folder"));
        self.begin(&server, first);
        let config = fill(CONFIG, [&self.stable]) + &server.config("");
        let config = config.replace("%state%", &state.path().display().to_string());
        let gateway = Gateway::start(config.replace("%redis%", &self.redis.url())).await;
        await_origin(&gateway, first).await;
        Member {
            gateway,
            server,
            _state: state,
        }
    }

    /// Waits until a flag that is to be behind another one is known.
    async fn await_flag(&self, member: &Member, name: &str) {
        crate::harness::eventually(&format!("{name} to be known"), || async {
            let status = member.gateway.status().await;
            let flags = status["canary_flags"].as_array()?.clone();
            flags
                .iter()
                .any(|flag| flag["flag"] == format!("search.{name}"))
                .then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn what_one_gateway_saw_first_comes_first_at_all() {
    let canaries = Canaries::new().await;
    let one = canaries.member("z").await;
    let other = canaries.member("a").await;
    canaries.begin(&one.server, "a");
    canaries.await_flag(&one, "a").await;
    one.gateway.get_as("u1", "/").await.assert_from("z");
    // The other has had users on `a` before it heard of `z`, which runs for longer.
    canaries.begin(&other.server, "z");
    await_origin(&other.gateway, "z").await;
    // That stays so, whichever of them is asked, and without Redis.
    for member in [&one, &other] {
        member.gateway.get_as("u2", "/").await.assert_from("z");
    }
    let records: Vec<String> = canaries.redis.ask(&["HKEYS", "serin:{s}:v1:seniority"]);
    assert_eq!(records.len(), 2, "{records:?}");
}

#[tokio::test]
async fn an_order_that_was_made_without_redis_is_corrected_and_that_is_said() {
    let mut canaries = Canaries::new().await;
    let one = canaries.member("z").await;
    canaries.begin(&one.server, "a");
    canaries.await_flag(&one, "a").await;
    canaries.redis.kill();
    let other = canaries.member("a").await;
    canaries.begin(&other.server, "z");
    canaries.await_flag(&other, "z").await;
    other.gateway.get_as("u1", "/").await.assert_from("a");
    canaries.redis.start_again().await;
    await_origin(&other.gateway, "z").await;
    other
        .gateway
        .await_log("in the order that gateways have agreed on")
        .await;
    one.gateway.get_as("u1", "/").await.assert_from("z");
}
