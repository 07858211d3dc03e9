//! Flags, segments and rings that Serin keeps itself: by API and command, stored before they are answered, in force when
//! they are.

mod command;
mod refusals;
mod segments;

use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::appearing::Events;
use crate::harness::{
    Answer, Call, Connection, Gateway, Origin, assert_has, eventually, fill, get,
};

const CONFIG: &str = "
services:
  search: { stable: @stable }
flags:
  search.git: { url: @canary, rings: [{ name: nobody, rollout: 0% }] }
segments: { Team: { userId: [ann, bob] } }
routes: [{ path: /, service: search, expose: true }]
identity: { user_id: [{ header: x-user-id, trust: anyone }], properties: { plan: { header: x-plan } } }
server: { threads: 2, shutdown_delay: 1ms, shutdown_grace: 8s, state_dir: '%state%' }
";

const RANKER: &str = "/api/v1/flags/search.ranker";

/// A gateway with its upstreams and its state.
struct Stage {
    gateway: Gateway,
    stable: Origin,
    canary: Origin,
    state: TempDir,
}

impl Stage {
    async fn start() -> Self {
        Self::with("").await
    }

    /// With more in its file.
    async fn with(more: &str) -> Self {
        let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
        let state = TempDir::new().expect("a folder");
        let gateway = Gateway::start(config(&stable, &canary, &state) + more).await;
        Self {
            gateway,
            stable,
            canary,
            state,
        }
    }

    fn config(&self) -> String {
        config(&self.stable, &self.canary, &self.state)
    }

    /// The same gateway, ended and started again.
    async fn restart(&mut self) {
        self.gateway.terminate().await;
        self.gateway = Gateway::start(self.config()).await;
    }

    /// A flag with a ring for the team, and one for a part of all.
    fn ranker(&self, rollout: &str) -> Value {
        json!({
            "url": self.canary.url(),
            "owner": "search-team",
            "rings": [{ "name": "team", "segment": "Team" }, { "name": "all", "rollout": rollout }],
        })
    }

    async fn put(&self, path: &str, document: &Value) -> Answer {
        self.gateway.admin_send(put(path, document)).await
    }

    async fn patch(&self, ring: &str, change: &Value) -> Answer {
        let call = call(Method::PATCH, &format!("{RANKER}/rings/{ring}"), change);
        self.gateway.admin_send(call).await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.gateway
            .admin_send(Call::new(Method::DELETE, path))
            .await
    }

    /// Who serves these users.
    async fn served(&self, users: &[&str]) -> Vec<String> {
        let mut served = Vec::new();
        for user in users {
            let answer = self.gateway.get_as(user, "/").await;
            assert_eq!(answer.status, 200, "{answer:?}");
            served.push(answer.origin().to_owned());
        }
        served
    }
}

fn config(stable: &Origin, canary: &Origin, state: &TempDir) -> String {
    fill(CONFIG, [stable, canary]).replace("%state%", &state.path().display().to_string())
}

fn call(method: Method, path: &str, document: &Value) -> Call {
    let call = Call::new(method, path).header("content-type", "application/json");
    call.body(document.to_string())
}

fn put(path: &str, document: &Value) -> Call {
    call(Method::PUT, path, document)
}

fn done(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// Sends requests until told to end; none may fail.
async fn load(gateway: std::net::SocketAddr, over: watch::Receiver<bool>) -> usize {
    let mut connection = Connection::open(gateway).await;
    let mut sent = 0;
    while !*over.borrow() {
        let user = format!("user-{}", sent % 500);
        let answer = connection.send(get("/load").user(&user)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        sent += 1;
    }
    sent
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a life is told in its order")]
async fn a_flag_is_put_opened_ring_by_ring_and_deleted_under_traffic() {
    let stage = Stage::start().await;
    let (end, over) = watch::channel(false);
    let traffic = tokio::spawn(load(stage.gateway.address(), over));
    assert_eq!(stage.served(&["ann", "eve"]).await, ["stable", "stable"]);

    let answer = stage.put(RANKER, &stage.ranker("0%")).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let tag = answer.header("etag").expect("a tag").to_owned();
    let kept = answer.json();
    let expected = json!({
        "kind": "flag", "name": "search.ranker", "kept_by": "serin", "new": true, "changed": true, "dry_run": false,
        "recorded_in": ["state"], "generation": 2, "services": ["search"], "document": stage.ranker("0%"),
    });
    assert_has(&kept, &expected);
    assert_eq!(kept["deployments"][0]["deployment"], "search.ranker");
    assert_eq!(kept["changes"]["added"], json!(["search.ranker"]));
    assert_eq!(
        stage.served(&["ann", "bob", "eve"]).await,
        ["canary", "canary", "stable"]
    );
    let shown = stage.gateway.admin(RANKER).await;
    assert_eq!((shown.status, shown.header("etag")), (200, Some(&*tag)));
    assert_eq!(shown.json(), stage.ranker("0%"));

    // One ring off: the other is as it was.
    let closed = done(&stage.patch("team", &json!({ "enabled": false })).await);
    let effect = json!({
        "flag": "search.ranker", "ring": "team", "before": { "enabled": true, "rollout": "100%" },
        "after": { "enabled": false, "rollout": "100%" }, "other_audience": false,
    });
    assert_eq!(closed["rings"], json!([effect]));
    assert_eq!(stage.served(&["ann", "eve"]).await, ["stable", "stable"]);
    let text = stage.gateway.explain("ann");
    assert!(
        text.contains("ring \"team\": no, it is switched off"),
        "{text}"
    );
    let wide = done(&stage.patch("all", &json!({ "rollout": "100%" })).await);
    assert_eq!(wide["changed"], true);
    assert_eq!(stage.served(&["ann", "eve"]).await, ["canary", "canary"]);
    done(
        &stage
            .patch("all", &json!({ "enabled": false, "rollout": "50%" }))
            .await,
    );
    done(&stage.patch("team", &json!({ "enabled": true })).await);
    assert_eq!(stage.served(&["ann", "eve"]).await, ["canary", "stable"]);

    let listed = stage.gateway.admin("/api/v1/flags").await.json();
    let flags = listed["flags"].as_array().expect("flags");
    let named: Vec<_> = flags
        .iter()
        .map(|flag| (&flag["name"], &flag["kept_by"]))
        .collect();
    assert_eq!(
        named,
        [
            (&json!("search.git"), &json!("routes.yaml")),
            (&json!("search.ranker"), &json!("serin"))
        ]
    );
    let rings = json!([
        { "name": "team", "enabled": true, "rollout": "100%" }, { "name": "all", "enabled": false, "rollout": "50%" },
    ]);
    let expected = json!({
        "enabled": true, "rings": rings, "service": "search", "canaries": ["search.ranker"], "killed": false,
    });
    assert_has(&flags[1], &expected);

    let gone = done(&stage.delete(RANKER).await);
    assert_has(&gone, &json!({ "changed": true, "document": null }));
    assert_eq!(stage.served(&["ann"]).await, ["stable"]);
    assert_eq!(stage.gateway.admin(RANKER).await.status, 404);
    assert_eq!(stage.delete(RANKER).await.status, 404);
    end.send(true).expect("a listener");
    assert!(traffic.await.expect("no request failed") > 0);
}

#[tokio::test]
async fn users_who_were_in_a_ring_are_in_it_again_when_it_is_switched_on_again() {
    let stage = Stage::start().await;
    stage.put(RANKER, &stage.ranker("30%")).await;
    let users: Vec<String> = (0..200).map(|number| format!("user-{number}")).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let before = stage.served(&users).await;
    let on = before.iter().filter(|origin| *origin == "canary").count();
    assert!((30..90).contains(&on), "{on}");
    done(&stage.patch("all", &json!({ "enabled": false })).await);
    assert!(
        stage
            .served(&users)
            .await
            .iter()
            .all(|origin| origin == "stable")
    );
    done(&stage.patch("all", &json!({ "enabled": true })).await);
    assert_eq!(stage.served(&users).await, before);
    let warnings = stage.gateway.status().await["warnings"].to_string();
    assert!(!warnings.contains("buckets its users anew"), "{warnings}");
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_restart_and_after_kill_9() {
    let mut stage = Stage::start().await;
    let kept = stage.put(RANKER, &stage.ranker("0%")).await;
    let new = stage
        .put("/api/v1/segments/New", &json!({ "plan": "new" }))
        .await;
    assert_eq!((kept.status, new.status), (201, 201), "{new:?}");
    done(&stage.patch("team", &json!({ "enabled": false })).await);
    stage.restart().await;
    assert_eq!(stage.served(&["ann"]).await, ["stable"]);
    let shown = stage.gateway.admin(RANKER).await.json();
    assert_eq!(
        shown["rings"][0],
        json!({ "name": "team", "segment": "Team", "enabled": false })
    );
    assert_eq!(
        stage.gateway.admin("/api/v1/segments/New").await.json(),
        json!({ "plan": "new" })
    );
    done(&stage.patch("team", &json!({ "enabled": true })).await);
    let pid = i32::try_from(stage.gateway.pid()).expect("a process ID");
    let pid = rustix::process::Pid::from_raw(pid).expect("a process ID");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it is killed");
    stage.gateway.await_exit().await;
    stage.gateway = Gateway::start(stage.config()).await;
    assert_eq!(stage.served(&["ann", "eve"]).await, ["canary", "stable"]);
    assert_eq!(
        stage.gateway.generation().await,
        1,
        "it is there from the first on"
    );
}

#[tokio::test]
async fn of_two_changes_of_one_version_one_is_refused() {
    let stage = Stage::start().await;
    let none = put(RANKER, &stage.ranker("1%")).header("if-match", "\"0\"");
    assert_eq!(stage.gateway.admin_send(none).await.status, 412);
    let new = || put(RANKER, &stage.ranker("1%")).header("if-none-match", "*");
    let first = stage.gateway.admin_send(new()).await;
    assert_eq!(first.status, 201, "{first:?}");
    assert_eq!(stage.gateway.admin_send(new()).await.status, 412);
    for round in 0..10 {
        let shown = stage.gateway.admin(RANKER).await;
        let tag = shown.header("etag").expect("a tag").to_owned();
        let change = |share: u32| {
            let document = stage.ranker(&format!("{share}%"));
            stage
                .gateway
                .admin_send(put(RANKER, &document).header("if-match", &tag))
        };
        let (one, other) = tokio::join!(change(2 + 2 * round), change(3 + 2 * round));
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 412], "{one:?} {other:?}");
        let refused = [&one, &other]
            .into_iter()
            .find(|answer| answer.status == 412);
        let now = stage.gateway.admin(RANKER).await;
        assert_eq!(
            refused.map(|answer| answer.json()["etag"].clone()),
            now.header("etag").map(Value::from)
        );
    }
    let shown = stage.gateway.admin(RANKER).await;
    let tag = shown.header("etag").expect("a tag");
    let known = get(RANKER).header("if-none-match", tag);
    assert_eq!(stage.gateway.admin_send(known).await.status, 304);
    let stale = Call::new(Method::DELETE, RANKER).header("if-match", "\"0\"");
    assert_eq!(stage.gateway.admin_send(stale).await.status, 412);
    let ring = call(
        Method::PATCH,
        &format!("{RANKER}/rings/all"),
        &json!({ "enabled": false }),
    );
    assert_eq!(
        stage
            .gateway
            .admin_send(ring.header("if-match", "W/\"0\""))
            .await
            .status,
        412
    );
    let right = Call::new(Method::DELETE, RANKER).header("if-match", tag);
    assert_eq!(stage.gateway.admin_send(right).await.status, 200);
}

#[tokio::test]
async fn a_dry_run_says_what_would_change_and_changes_nothing() {
    let stage = Stage::start().await;
    let generation = stage.gateway.generation().await;
    let tried = stage
        .put(&format!("{RANKER}?dry_run=true"), &stage.ranker("0%"))
        .await;
    let told = done(&tried);
    let expected = json!({ "dry_run": true, "changed": true, "new": true, "recorded_in": [], "services": ["search"] });
    assert_has(&told, &expected);
    assert_eq!(told["deployments"][0]["after"], json!(stage.canary.url()));
    assert_eq!(told["rings"].as_array().map(Vec::len), Some(2));
    assert_eq!(stage.gateway.admin(RANKER).await.status, 404);
    assert_eq!(stage.served(&["ann"]).await, ["stable"]);
    stage.put(RANKER, &stage.ranker("0%")).await;
    let ring = call(
        Method::PATCH,
        &format!("{RANKER}/rings/team?dry_run=true"),
        &json!({ "enabled": false }),
    );
    let told = done(&stage.gateway.admin_send(ring).await);
    assert_eq!(told["rings"][0]["after"]["enabled"], false);
    let gone = done(&stage.delete(&format!("{RANKER}?dry_run=true")).await);
    assert_eq!(gone["deployments"][0]["after"], Value::Null);
    assert_eq!(stage.served(&["ann"]).await, ["canary"]);
    let wrong = stage
        .put(&format!("{RANKER}?dry_run=true"), &json!({ "ulr": 1 }))
        .await;
    assert_eq!(wrong.status, 422, "{wrong:?}");
    // A slip would put it in force.
    let slip = stage
        .put(&format!("{RANKER}?dryrun=true"), &stage.ranker("100%"))
        .await;
    assert_eq!(slip.status, 422, "{slip:?}");
    assert_eq!(stage.gateway.generation().await, generation + 1);
}

#[tokio::test]
async fn the_same_again_changes_nothing() {
    let stage = Stage::start().await;
    stage.put(RANKER, &stage.ranker("5%")).await;
    let again = done(&stage.put(RANKER, &stage.ranker("5%")).await);
    assert_has(
        &again,
        &json!({ "changed": false, "new": false, "generation": 2 }),
    );
    let open = done(&stage.patch("all", &json!({ "rollout": "5.00%" })).await);
    assert_eq!(open["changed"], false);
}

#[tokio::test]
async fn git_comes_first_and_what_it_hides_is_told_and_can_be_deleted() {
    let stage = Stage::start().await;
    stage.put(RANKER, &stage.ranker("100%")).await;
    assert_eq!(stage.served(&["eve"]).await, ["canary"]);
    let generation = stage.gateway.generation().await;
    let taken = stage.config().replace("search.git:", "search.ranker:");
    stage.gateway.rewrite_config(&taken);
    stage.gateway.await_generation(generation + 1).await;
    assert_eq!(stage.served(&["eve"]).await, ["stable"]);
    let warnings = stage.gateway.status().await["warnings"].to_string();
    let told = "a flag of serin is not used, because routes.yaml comes first and has the same: search.ranker";
    assert!(warnings.contains(told), "{warnings}");
    let listed = stage.gateway.admin("/api/v1/flags").await.json();
    assert_eq!(listed["shadowed"], json!(["search.ranker"]));
    for refused in [
        stage.put(RANKER, &stage.ranker("1%")).await,
        stage.patch("team", &json!({ "enabled": false })).await,
    ] {
        assert_eq!(refused.status, 409, "{refused:?}");
        let problem = refused.json();
        assert_eq!(problem["kept_by"], "routes.yaml");
        assert!(
            problem["detail"]
                .as_str()
                .expect("a text")
                .contains("git owns"),
            "{problem}"
        );
    }
    done(&stage.delete(RANKER).await);
    let again = stage.delete(RANKER).await;
    assert_eq!(
        (again.status, &again.json()["kept_by"]),
        (409, &json!("routes.yaml"))
    );
    let warnings = stage.gateway.status().await["warnings"].to_string();
    assert!(!warnings.contains("not used"), "{warnings}");
}

#[tokio::test]
async fn what_does_not_compile_after_a_reload_is_off_and_comes_back() {
    let mut stage = Stage::start().await;
    stage.put(RANKER, &stage.ranker("0%")).await;
    let without = stage.config().replace("Team:", "Others:");
    stage.gateway.rewrite_config(&without);
    stage
        .gateway
        .await_log("flag search.ranker of serin does not compile any more")
        .await;
    assert_eq!(stage.served(&["ann"]).await, ["stable"]);
    let shown = stage.gateway.admin(RANKER).await.json();
    assert_eq!(shown, stage.ranker("0%"), "it is not lost");
    let text = stage.gateway.status().await["warnings"].to_string();
    assert!(text.contains("there is no segment `Team`"), "{text}");
    stage.gateway.rewrite_config(&stage.config());
    eventually("the canary", || async {
        (stage.served(&["ann"]).await == ["canary"]).then_some(())
    })
    .await;
    stage.restart().await;
    assert_eq!(stage.served(&["ann"]).await, ["canary"]);
}

#[tokio::test]
async fn kills_records_and_events_say_the_same_of_kept_flags() {
    let stage = Stage::start().await;
    let mut events = Events::open(&stage.gateway).await;
    stage.put(RANKER, &stage.ranker("100%")).await;
    stage.patch("team", &json!({ "enabled": false })).await;
    let told = events.until("flag").await;
    assert_has(
        &told,
        &json!({ "kind": "flag", "name": "search.ranker", "action": "put", "by": "127.0.0.1" }),
    );
    let told = events.until("flag").await;
    assert_has(
        &told,
        &json!({ "action": "ring", "ring": "team", "enabled": false, "rollout": null }),
    );
    stage
        .gateway
        .get_as("eve", "/record")
        .await
        .assert_from("canary");
    let line = stage.gateway.await_access_log_of("/record").await;
    assert_has(
        &line,
        &json!({ "assigned": "search.ranker", "flag": "search.ranker", "reason": "ring" }),
    );
    let killed = stage
        .gateway
        .ask(&["canary", "kill", "search", "search.ranker"]);
    assert_eq!(killed.status.code(), Some(0), "{killed:?}");
    assert_eq!(stage.served(&["eve"]).await, ["stable"]);
    let listed = stage.gateway.admin("/api/v1/flags").await.json();
    assert_eq!(listed["flags"][1]["killed"], true);
    let standing = stage.gateway.status().await["canary_flags"].to_string();
    assert!(standing.contains("\"source\":\"serin\""), "{standing}");
}
