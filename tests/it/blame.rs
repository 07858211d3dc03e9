//! Whose fault a failure is: what one user's requests do takes no endpoint from the others, and what speaks against an
//! endpoint is told from what only ends a request.

use std::time::Duration;

use h2::Reason;

use crate::harness::wire::WireStream;
use crate::harness::{
    Call, Gateway, Origin, Reply, Script, Stream, Streams, eventually, fill, get, pause, post,
    until,
};

const CONFIG: &str = "
services:
  search:
    stable: @stable
    timeouts: { response: 100ms }
    rescue: { quarantine_after: 0 }
flags:
  search.ranker: { url: @canary, rings: [{ name: some, when: { userId: { starts_with: c } } }] }
routes: [{ path: /, service: search }]
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
";

const GOOD: &str =
    "HTTP/1.1 200 OK\r\nX-Origin: canary\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
const ERROR: &str =
    "HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// An upstream over HTTP/1.1 that does to `/bad` what it is told.
async fn http1(what: &'static str) -> Script {
    Script::start(move |mut visit| async move {
        let is_bad = visit.head.contains(" /bad");
        match what {
            "reset" if is_bad => {}
            "timeout" if is_bad => {
                visit.ended().await;
            }
            "status" if is_bad => {
                visit.say(ERROR).await;
            }
            _ => {
                visit.say(GOOD).await;
            }
        }
    })
    .await
}

/// An upstream over HTTP/2 that ends the streams of `/bad`, and nothing else.
async fn http2(reason: Reason) -> Streams {
    Streams::start(100, move |mut stream: Stream| async move {
        match stream.path() {
            "/bad" => stream.respond.send_reset(reason),
            _ => stream.answer(200),
        }
    })
    .await
}

async fn health(gateway: &Gateway, deployment: usize) -> String {
    let service = gateway.admin("/api/v1/services/search").await.json();
    let endpoint = &service["deployments"][deployment]["endpoints"][0];
    endpoint["health"].as_str().expect("a health").to_owned()
}

/// As many failures as would eject twice over, met by one user after the other, as GETs and as POSTs.
async fn fail(gateway: &Gateway, users: &[&str]) {
    for turn in 0..10 {
        let user = users[turn % users.len()];
        let call = match turn / users.len() % 2 {
            0 => get("/bad"),
            _ => post("/bad", "pay"),
        };
        gateway.send(call.user(user)).await;
    }
}

#[tokio::test]
async fn one_users_failures_eject_nobody_and_several_users_do() {
    for what in ["status", "reset", "timeout"] {
        let (stable, canary) = (Origin::start("stable").await, http1(what).await);
        let config = fill(&CONFIG.replace("@canary", &canary.url()), [&stable]);
        let gateway = Gateway::start(config).await;
        fail(&gateway, &["c1"]).await;
        assert_eq!(health(&gateway, 1).await, "healthy", "{what}");
        let answer = gateway.get_as("c2", "/good").await;
        assert_eq!(answer.origin(), "canary", "{what}");
        fail(&gateway, &["c1", "c2", "c3"]).await;
        gateway.await_log("endpoint ejected").await;
        assert_ne!(health(&gateway, 1).await, "healthy", "{what}");
        gateway.get_as("c2", "/good").await.assert_from("stable");
    }
}

#[tokio::test]
async fn one_users_failures_among_others_good_answers_eject_nobody() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    canary.answer(|seen| Reply::status(if seen.target == "/bad" { 500 } else { 200 }));
    let gateway = Gateway::start(fill(CONFIG, [&stable, &canary])).await;
    // Far more than half of all that it answers.
    for _ in 0..15 {
        for _ in 0..4 {
            let call = post("/bad", "pay").user("c1");
            assert_eq!(gateway.send(call).await.status, 500);
        }
        gateway.get_as("c2", "/good").await.assert_from("canary");
    }
    assert_eq!(health(&gateway, 1).await, "healthy");
}

#[tokio::test]
async fn a_stream_that_is_reset_is_one_requests_failure() {
    for reason in [
        Reason::PROTOCOL_ERROR,
        Reason::INTERNAL_ERROR,
        Reason::ENHANCE_YOUR_CALM,
        Reason::REFUSED_STREAM,
        Reason::CANCEL,
    ] {
        let (stable, canary) = (Origin::start("stable").await, http2(reason).await);
        let config = fill(&CONFIG.replace("@canary", &canary.url()), [&stable]);
        let gateway = Gateway::start(config).await;
        for user in ["c1", "c2", "c1", "c2", "c3", "c4"] {
            // Rescued as ever.
            gateway.get_as(user, "/bad").await.assert_from("stable");
        }
        assert_eq!(health(&gateway, 1).await, "healthy", "{reason:?}");
        let answer = gateway.get_as("c2", "/good").await;
        assert_eq!(answer.origin(), "streams", "{reason:?}");
        let labels = [("from", "search.ranker"), ("cause", "reset")];
        gateway
            .await_metric("serin_rescues_total", &labels, 6.0)
            .await;
    }
}

#[tokio::test]
async fn stable_is_judged_by_more_than_one_user_too() {
    let config = CONFIG.replace("flags:", "x-flags:");
    for (users, expected) in [(&["s1"][..], "healthy"), (&["s1", "s2"], "ejected")] {
        let stable = Origin::start("stable").await;
        stable.answer(|_| Reply::status(500));
        let config = fill(&config.replace("@canary", "none"), [&stable]);
        let gateway = Gateway::start(config).await;
        fail(&gateway, users).await;
        assert_eq!(health(&gateway, 0).await, expected, "{users:?}");
    }
    // Whoever is not known may be anybody.
    let stable = Origin::start("stable").await;
    stable.answer(|_| Reply::status(500));
    let config = fill(&config.replace("@canary", "none"), [&stable]);
    let gateway = Gateway::start(config).await;
    for _ in 0..5 {
        assert_eq!(gateway.send(get("/bad")).await.status, 500);
    }
    // The last of just enough is judged when its request has ended, which may be after its answer.
    eventually("an ejection", || async {
        (health(&gateway, 0).await == "ejected").then_some(())
    })
    .await;
}

#[tokio::test]
async fn no_connection_ejects_whoever_asks() {
    let (stable, mut canary) = (Origin::start("stable").await, Origin::start("canary").await);
    canary.stop().await;
    let gateway = Gateway::start(fill(CONFIG, [&stable, &canary])).await;
    for _ in 0..5 {
        gateway.get_as("c1", "/").await.assert_from("stable");
    }
    assert_eq!(health(&gateway, 1).await, "ejected");
}

/// Calls to an upstream that has never been asked, over one connection: one, and at once all the others, before the
/// upstream has said how many it takes. Their statuses.
async fn at_once(gateway: &Gateway, path: &str, calls: usize) -> Vec<u16> {
    let socket = WireStream::connect_http2(gateway.address()).await;
    let (client, connection) = h2::client::handshake(socket).await.expect("HTTP/2");
    let running = tokio::spawn(connection);
    let call = async |n: usize, mut client: h2::client::SendRequest<bytes::Bytes>| {
        pause(if n == 0 { 0 } else { 30 }).await;
        let request = http::Request::post(format!("http://api.example.com{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        let request = request.body(()).expect("a request");
        let (response, mut body) = client.send_request(request, false).expect("a stream");
        body.send_data("call".into(), true).expect("a stream");
        response.await.map_or(0, |answer| answer.status().as_u16())
    };
    let calls = (0..calls).map(|n| call(n, client.clone()));
    let statuses =
        crate::harness::in_time("the calls", futures_util::future::join_all(calls)).await;
    running.abort();
    statuses
}

#[tokio::test]
async fn a_cold_upstream_that_allows_few_streams_answers_all_and_stays_healthy() {
    let hello = Duration::from_millis(100);
    let upstream = Streams::start_slow(hello, 5, async |mut stream: Stream| {
        while stream.read().await.is_some() {}
        // So that there are many at a time.
        pause(20).await;
        stream.answer(200);
    })
    .await;
    // One host of several names: each is cold once.
    let (mut services, mut routes) = (String::new(), String::new());
    for n in 0..10 {
        services += &format!("  s{n}: {}\n", upstream.url());
        routes += &format!("  - {{ path: /s{n}, service: s{n} }}\n");
    }
    let gateway = Gateway::start(format!("services:\n{services}routes:\n{routes}")).await;
    for n in 0..10 {
        let statuses = at_once(&gateway, &format!("/s{n}"), 24).await;
        assert_eq!(statuses, [200; 24], "s{n}");
        let service = gateway
            .admin(&format!("/api/v1/services/s{n}"))
            .await
            .json();
        let endpoint = &service["deployments"][0]["endpoints"][0];
        assert_eq!(endpoint["health"], "healthy", "s{n}");
    }
}

#[tokio::test]
async fn a_refused_call_is_made_again_however_many_are_refused() {
    // Every request is refused the first time.
    let seen = std::sync::Arc::new(std::sync::Mutex::new(std::collections::HashSet::new()));
    let once = seen.clone();
    let upstream = Streams::start(100, move |mut stream: Stream| {
        let is_new = once.lock().expect("a set").insert(stream.path().to_owned());
        async move {
            match is_new {
                true => stream.respond.send_reset(Reason::REFUSED_STREAM),
                false => stream.answer(200),
            }
        }
    })
    .await;
    let config = format!(
        "
services: {{ search: {{ stable: '{}', retries: {{ budget: 0% }} }} }}
routes: [{{ path: /, service: search }}]
",
        upstream.url()
    );
    let gateway = Gateway::start(config).await;
    let call = |n: usize| {
        let call: Call = post(&format!("/{n}"), "pay");
        gateway.send(call)
    };
    let answers = futures_util::future::join_all((0..24).map(call)).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(health(&gateway, 0).await, "healthy");
    until("each twice", || {
        (seen.lock().expect("a set").len() == 24).then_some(())
    })
    .await;
}
