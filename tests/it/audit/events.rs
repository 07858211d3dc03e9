//! `/api/v1/events`, resumed.

use serde_json::{Value, json};

use super::{ONCALL, PIPELINE, PLATFORM, carried_out, config, kept, kill, post, with};
use crate::harness::{Gateway, Origin, Raw, get};

/// An event, as it came.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    id: Option<String>,
    name: String,
    data: Value,
}

struct Stream(Raw);

impl Stream {
    async fn open(gateway: &Gateway, token: &str, last: Option<&str>) -> Self {
        let mut raw = Raw::open(gateway.admin_address()).await;
        let last = last.map(|last| format!("Last-Event-ID: {last}\r\n"));
        let head = format!(
            "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n{}\r\n",
            last.unwrap_or_default()
        );
        raw.write(head.as_bytes()).await;
        raw.read_until(b"\r\n\r\n").await;
        Self(raw)
    }

    async fn next(&mut self) -> Told {
        loop {
            let message = String::from_utf8(self.0.read_until(b"\n\n").await).expect("text");
            let field = |name: &str| {
                let mut lines = message.lines();
                lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            };
            // Chunks' heads and comments.
            let (Some(name), Some(data)) = (field("event"), field("data")) else {
                continue;
            };
            return Told {
                id: field("id").map(str::to_owned),
                name: name.to_owned(),
                data: serde_json::from_str(data).expect("JSON"),
            };
        }
    }

    /// The events up to the entry of the audit trail about this canary.
    async fn until_entry(&mut self, object: &str) -> Vec<Told> {
        let mut all = Vec::new();
        loop {
            let told = self.next().await;
            let is_last = told.name == "audit" && told.data["object"] == object;
            all.push(told);
            if is_last {
                return all;
            }
        }
    }
}

#[tokio::test]
async fn who_comes_back_is_told_what_happened_meanwhile_and_nothing_twice() {
    let stable = Origin::start("stable").await;
    let gateway = Gateway::start(config(&stable)).await;
    let started = [("action", "start")];
    gateway
        .await_metric("serin_audit_entries_total", &started, 1.0)
        .await;
    let mut whole = Stream::open(&gateway, PLATFORM, None).await;
    let mut first = Stream::open(&gateway, PLATFORM, None).await;
    carried_out(&gateway, ONCALL, kill("search.a")).await;
    let seen = first.until_entry("search.a").await;
    drop(first);
    for name in ["search.b", "search.c"] {
        carried_out(&gateway, ONCALL, kill(name)).await;
    }
    let last = seen.last().and_then(|told| told.id.clone()).expect("an ID");
    let mut again = Stream::open(&gateway, PLATFORM, Some(&last)).await;
    let connected = again.next().await;
    assert_eq!(
        (&*connected.name, &connected.id),
        ("connected", &Some(last))
    );
    carried_out(&gateway, ONCALL, kill("search.d")).await;
    let both = [seen, again.until_entry("search.d").await].concat();
    assert_eq!(both, whole.until_entry("search.d").await);
    // Also who has seen nothing but that it was connected.
    let begin = both[0].id.clone().expect("an ID");
    assert_eq!(both[0].name, "connected");
    let mut all = Stream::open(&gateway, PLATFORM, Some(&begin)).await;
    // What runs is another generation by then.
    assert_eq!(all.next().await.id, Some(begin));
    assert_eq!(all.until_entry("search.d").await, both[1..]);
}

#[tokio::test]
async fn who_was_away_too_long_is_told_that_something_is_missed() {
    let stable = Origin::start("stable").await;
    let (_folder, config) = kept(&stable);
    let mut gateway = Gateway::start(&*config).await;
    let mut stream = Stream::open(&gateway, PLATFORM, None).await;
    let last = stream.next().await.id.expect("an ID");
    assert!(gateway.terminate().await.success());
    let gateway = Gateway::start(config).await;
    let mut stream = Stream::open(&gateway, PLATFORM, Some(&last)).await;
    let missed = stream.next().await;
    assert_eq!(
        (&*missed.name, &missed.data["reason"]),
        ("missed", &json!("restarted"))
    );
    assert_eq!(stream.next().await.name, "connected");
    // What has happened since the start comes all the same.
    let started = stream.until_entry("routes.yaml").await;
    assert_eq!(
        started.last().map(|told| told.data["action"].clone()),
        Some(json!("start"))
    );

    // More than are kept: each kill makes several.
    let mut first = Stream::open(&gateway, PLATFORM, None).await;
    let old = first.next().await.id.expect("an ID");
    drop(first);
    for number in 0..600 {
        carried_out(&gateway, ONCALL, kill(&format!("search.x{number}"))).await;
    }
    let mut stream = Stream::open(&gateway, PLATFORM, Some(&old)).await;
    let missed = stream.next().await;
    assert_eq!(
        (&*missed.name, &missed.data["reason"]),
        ("missed", &json!("too_old"))
    );
    assert!(missed.data["lost"].as_u64() > Some(0), "{missed:?}");
    let since = get("/api/v1/events?since=yesterday");
    let answer = gateway.admin_send(with(PLATFORM, since)).await;
    assert_eq!(
        (answer.status, &answer.json()["errors"][0]["path"]),
        (400, &json!("since"))
    );
}

#[tokio::test]
async fn who_may_see_one_service_is_not_told_of_entries_of_others() {
    let stable = Origin::start("stable").await;
    let gateway = Gateway::start(config(&stable)).await;
    let mut stream = Stream::open(&gateway, PIPELINE, None).await;
    stream.next().await;
    let elsewhere = post(
        "/api/v1/services/shop/canaries/shop.a/kill",
        r#"{"ahead":true}"#,
    );
    carried_out(&gateway, ONCALL, elsewhere).await;
    carried_out(&gateway, ONCALL, kill("search.a")).await;
    let told = stream.until_entry("search.a").await;
    let entries: Vec<&Told> = told.iter().filter(|told| told.name == "audit").collect();
    assert_eq!(entries.len(), 1, "{entries:?}");
}
