//! The file changes, the gateway follows; an invalid file changes nothing, and no request notices either.

use serde_json::Value;

use crate::harness::{Call, Gateway, Origin, Setup, eventually, fill, get};

const CONFIG: &str = "
services: { search: @origin }
routes: [{ path: /, service: search }]
";

/// Two origins, and the file that leads to each.
async fn origins() -> (Origin, Origin, String, String) {
    let (one, two) = (Origin::start("one").await, Origin::start("two").await);
    let config = |origin: &Origin| CONFIG.replace("@origin", &origin.url());
    let (to_one, to_two) = (config(&one), config(&two));
    (one, two, to_one, to_two)
}

async fn await_origin(gateway: &Gateway, origin: &str) {
    eventually(&format!("answers from {origin}"), || async {
        (gateway.send(get("/")).await.origin() == origin).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_file_renamed_over_or_written_in_place_takes_effect() {
    let (_one, _two, to_one, to_two) = origins().await;
    let gateway = Gateway::start(to_one.clone()).await;
    await_origin(&gateway, "one").await;
    let first = gateway.status().await;
    assert_eq!(first["generation"], 1);

    gateway.rewrite_config(&to_two);
    gateway.await_generation(2).await;
    gateway.send(get("/")).await.assert_from("two");
    assert_ne!(gateway.status().await["digest"], first["digest"]);

    gateway.write_in_place(&to_one);
    await_origin(&gateway, "one").await;
    let last = gateway.status().await;
    // Truncated and half-written states were never taken for the file.
    assert_eq!(last["generation"], 3);
    assert_eq!(last["digest"], first["digest"], "a digest is the content's");
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("serin_snapshot_generation", &[]), 3.0);
    let invalid = [("result", "invalid")];
    assert_eq!(metrics.sum("serin_config_reloads_total", &invalid), 0.0);
}

#[tokio::test]
async fn a_config_map_that_is_swapped_takes_effect() {
    let (_one, _two, to_one, to_two) = origins().await;
    let gateway = Setup::new(to_one.clone()).config_map().start().await;
    await_origin(&gateway, "one").await;
    gateway.swap_config_map("..v2", &to_two);
    await_origin(&gateway, "two").await;
    // Again: what is watched has moved.
    gateway.swap_config_map("..v3", &to_one);
    await_origin(&gateway, "one").await;
    assert_eq!(gateway.generation().await, 3);
}

#[tokio::test]
async fn a_reload_can_be_asked_for() {
    let (_one, _two, to_one, to_two) = origins().await;
    let gateway = Gateway::start(to_one.clone()).await;
    let reloads = async || {
        let metrics = gateway.metrics().await;
        metrics.sum("serin_config_reloads_total", &[("result", "ok")])
    };
    let before = reloads().await;
    gateway.sighup();
    eventually("a reload by signal", || async {
        (reloads().await > before).then_some(())
    })
    .await;
    assert_eq!(gateway.generation().await, 1, "nothing has changed");

    // Whoever asks by the API finds the file in force when the answer comes.
    gateway.rewrite_config(&to_two);
    let answer = gateway.admin_send(reload()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    gateway.send(get("/")).await.assert_from("two");

    gateway.rewrite_config("services: [");
    let answer = gateway.admin_send(reload()).await;
    assert!((400..500).contains(&answer.status), "{answer:?}");
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    assert!(answer.text().contains("routes.yaml"), "{answer:?}");
    gateway.send(get("/")).await.assert_from("two");
}

fn reload() -> Call {
    Call::new(http::Method::POST, "/api/v1/reload")
}

fn last_result(status: &Value) -> &str {
    status["last_reload"]["result"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn an_invalid_file_changes_nothing_and_is_reported_everywhere() {
    let (_one, _two, to_one, to_two) = origins().await;
    let gateway = Gateway::start(to_one.clone()).await;
    let wrong = to_two.replace("service: search", "service: serach");
    gateway.rewrite_config(&wrong);
    gateway
        .await_metric("serin_config_reloads_total", &[("result", "invalid")], 1.0)
        .await;
    gateway
        .await_metric("serin_config_last_reload_successful", &[], 0.0)
        .await;
    gateway.send(get("/")).await.assert_from("one");
    gateway.await_log("serach").await;
    let status = gateway.status().await;
    assert_eq!(
        (&status["generation"], last_result(&status)),
        (&1.into(), "invalid")
    );
    let errors = status["last_reload"]["errors"].to_string();
    assert!(
        errors.contains("serach") && errors.contains("search"),
        "{errors}"
    );
    // A gateway that works is ready, whatever the file says now.
    assert_eq!(gateway.admin("/readyz").await.status, 200);

    gateway.rewrite_config(&to_two);
    gateway.await_generation(2).await;
    gateway.send(get("/")).await.assert_from("two");
    let status = gateway.status().await;
    assert_eq!(last_result(&status), "ok");
    assert_eq!(status["last_reload"]["errors"], serde_json::json!([]));
    gateway
        .await_metric("serin_config_last_reload_successful", &[], 1.0)
        .await;
}

#[tokio::test]
async fn a_burst_of_changes_ends_with_the_last() {
    let (_one, _two, to_one, to_two) = origins().await;
    let gateway = Gateway::start(to_one.clone()).await;
    for n in 0..100 {
        let config = if n % 2 == 0 { &to_one } else { &to_two };
        match n % 3 {
            0 => gateway.write_in_place(config),
            _ => gateway.rewrite_config(config),
        }
    }
    await_origin(&gateway, "two").await;
    let generation = gateway.generation().await;
    assert!(
        generation < 50,
        "{generation} generations: changes are taken together"
    );
}

#[tokio::test]
async fn changes_that_never_end_do_not_postpone_the_first() {
    let (_one, _two, to_one, to_two) = origins().await;
    let gateway = Gateway::start(to_one.clone()).await;
    // Every comment is a change of the file; none is one of the content.
    eventually("the file's effect amid its changes", || async {
        for n in 0..5 {
            gateway.rewrite_config(&format!("{to_two}# {n}\n"));
        }
        (gateway.send(get("/")).await.origin() == "two").then_some(())
    })
    .await;
    assert_eq!(gateway.generation().await, 2);
}

#[tokio::test]
async fn what_takes_a_restart_is_said_and_the_rest_applied() {
    let (_one, _two, to_one, to_two) = origins().await;
    let server = "server: { threads: 2, shutdown_delay: 1ms }\nlisteners: [127.0.0.1:0]\n";
    let gateway = Gateway::start(format!("{server}{to_one}")).await;
    let status = gateway.status().await;
    assert_eq!(status["restart_needed"], serde_json::json!([]));
    let other = server
        .replace("threads: 2", "threads: 1")
        .replace(":0]", ":0, '127.0.0.2:0']");
    gateway.rewrite_config(&format!("{other}{to_two}"));
    gateway.await_generation(2).await;
    gateway.send(get("/")).await.assert_from("two");
    let named = gateway.status().await["restart_needed"].to_string();
    assert!(
        named.contains("listeners") && named.contains("threads"),
        "{named}"
    );
    gateway.await_log("restart").await;

    gateway.rewrite_config(&format!("{server}{to_one}"));
    gateway.await_generation(3).await;
    let status = gateway.status().await;
    assert_eq!(status["restart_needed"], serde_json::json!([]));
}

#[tokio::test]
async fn a_request_keeps_the_snapshot_that_it_came_under() {
    let (one, _two, to_one, to_two) = origins().await;
    let headers = "response_headers: { set: { x-config: CONFIG } }";
    let edited = |config: &str, name: &str| {
        let headers = headers.replace("CONFIG", name);
        config.replace("service: search", &format!("service: search, {headers}"))
    };
    let gateway = Gateway::start(edited(&to_one, "old")).await;
    one.hold();
    let address = gateway.address();
    let pending = tokio::spawn(crate::harness::client::send(address, get("/pending")));
    one.await_requests(1).await;
    gateway.rewrite_config(&edited(&to_two, "new"));
    gateway.await_generation(2).await;
    let answer = gateway.send(get("/next")).await;
    answer.assert_from("two");
    assert_eq!(answer.header("x-config"), Some("new"));

    one.release();
    let answer = pending.await.expect("an answer");
    answer.assert_from("one");
    assert_eq!(answer.header("x-config"), Some("old"));
    assert_eq!(
        gateway.await_access_log_of("/pending").await["generation"],
        1
    );
    assert_eq!(gateway.await_access_log_of("/next").await["generation"], 2);
}

#[tokio::test]
async fn no_request_fails_while_snapshots_are_swapped() {
    let (one, two) = (Origin::start("one").await, Origin::start("two").await);
    let config = fill(
        "
services: { search: @one }
flags: { search.two: { url: @two, rings: [{ name: some, rollout: SHARE }] } }
routes: [{ path: /, service: search }]
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
",
        [&one, &two],
    );
    let gateway = Gateway::start(config.replace("SHARE", "50%")).await;
    let mut connection = gateway.connect().await;
    for n in 0..1_000 {
        if n % 20 == 0 {
            gateway.rewrite_config(&config.replace("SHARE", &format!("{}%", n % 91)));
        }
        let answer = connection.send(get("/").user(&format!("user-{n}"))).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    gateway.await_generation(2).await;
    assert_eq!(one.count() + two.count(), 1_000);
}
