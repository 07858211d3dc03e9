//! Channels: users opt in to a ring themselves, and out of it.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Call, Gateway, Origin, fill, get, post};

/// Who is in the channel `preview` is on the canary.
const CONFIG: &str = "
services: { search: { stable: @stable } }
routes: [{ path: /, service: search, expose: true }]
identity:
  user_id: [{ header: x-user-id, trust: anyone }]
  channels: { key: 0123456789abcdef0123456789abcdef, names: [preview, beta] }
client_api: { path: /.serin, cors: ['https://app.example.com'], rate_limit: { requests: 100000 } }
flags: { search.v2: { url: @canary, rings: [{ name: volunteers, when: { channel: preview } }] } }
server: { threads: 2, shutdown_delay: 1ms, trusted_proxies: [127.0.0.0/8] }
";

const CHANNEL: &str = "/.serin/channel";

struct Parts {
    stable: Origin,
    canary: Origin,
    gateway: Gateway,
}

impl Parts {
    async fn start(change: impl FnOnce(String) -> String) -> Self {
        let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
        let config = change(fill(CONFIG, [&stable, &canary]));
        Self {
            gateway: Gateway::start(config).await,
            stable,
            canary,
        }
    }

    async fn choose(&self, channel: &str) -> Answer {
        self.gateway.send(choice(channel)).await
    }

    /// Who answers a browser with this cookie.
    async fn served(&self, cookie: &str) -> Answer {
        self.gateway.send(get("/").header("cookie", cookie)).await
    }
}

fn choice(channel: &str) -> Call {
    post(CHANNEL, json!({ "channel": channel }).to_string())
        .header("content-type", "application/json")
}

fn delete() -> Call {
    Call::new(Method::DELETE, CHANNEL)
}

/// The cookie that an answer sets, as a browser sends it back, and what else it says of it.
fn cookie(answer: &Answer) -> (String, String) {
    let cookie = answer.header("set-cookie").expect("a cookie");
    let (pair, rest) = cookie.split_once("; ").expect("attributes");
    (pair.to_owned(), rest.to_owned())
}

#[tokio::test]
async fn a_user_opts_in_to_a_ring_and_out_of_it() {
    let parts = Parts::start(|config| config).await;
    parts.served("a=1").await.assert_from("stable");
    let chosen = parts.choose("preview").await;
    assert_eq!(
        (chosen.status, chosen.json()),
        (200, json!({ "channel": "preview" }))
    );
    assert_eq!(chosen.header("cache-control"), Some("no-store"));
    let (pair, rest) = cookie(&chosen);
    assert!(pair.starts_with("serin_channel=preview."), "{pair}");
    assert_eq!(rest, "Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax");
    let answer = parts.served(&format!("a=1; {pair}; b=2")).await;
    answer.assert_from("canary");
    let decision = answer.header("x-serin-decision").expect("a decision");
    assert!(decision.ends_with(r#"reason="ring""#), "{decision}");
    // No service sees in which channel its users are.
    assert_eq!(
        parts.canary.last().header("cookie").as_deref(),
        Some("a=1; b=2")
    );
    // The client API decides alike.
    let call = get("/.serin/decisions").header("cookie", &pair);
    let told = parts.gateway.send(call).await.json();
    assert_eq!(told["decisions"][0]["assigned"], "search.v2", "{told}");
    // Another channel is another ring's.
    let (beta, _) = cookie(&parts.choose("beta").await);
    parts.served(&beta).await.assert_from("stable");
    assert_eq!(parts.stable.last().header("cookie"), None);

    let gone = parts.gateway.send(delete().header("cookie", &pair)).await;
    assert_eq!((gone.status, gone.text()), (204, ""));
    let expected = "serin_channel=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax";
    assert_eq!(gone.header("set-cookie"), Some(expected));
    parts.served("serin_channel=").await.assert_from("stable");
    let labels = [("endpoint", "channel"), ("code", "200")];
    parts
        .gateway
        .await_metric("serin_client_api_requests_total", &labels, 2.0)
        .await;
}

#[tokio::test]
async fn a_forged_cookie_is_no_channel() {
    let parts = Parts::start(|config| config).await;
    let (own, _) = cookie(&parts.choose("preview").await);
    let (beta, _) = cookie(&parts.choose("beta").await);
    for forged in [
        "serin_channel=preview",
        &beta.replace("beta", "preview"),
        &format!("{own}A"),
        &own[..own.len() - 1],
    ] {
        parts.served(forged).await.assert_from("stable");
        let call = get("/.serin/decisions").header("cookie", forged);
        let told = parts.gateway.send(call).await.json();
        assert_eq!(told["decisions"][0]["assigned"], "stable", "{forged}");
    }
    // By another key, and of a channel that there is no more.
    for (change, with) in [
        (
            "0123456789abcdef0123456789abcdef",
            "fedcba9876543210fedcba9876543210",
        ),
        ("names: [preview, beta]", "names: [beta]"),
    ] {
        let other = Parts::start(|config| config.replace(change, with)).await;
        other.served(&own).await.assert_from("stable");
    }
    parts.served(&own).await.assert_from("canary");
}

#[tokio::test]
async fn what_cannot_be_chosen_is_refused() {
    let parts = Parts::start(|config| config).await;
    for (call, status) in [
        (choice("nightly"), 400),
        (choice(""), 400),
        (choice("Preview"), 400),
        (post(CHANNEL, "preview"), 400),
        (post(CHANNEL, ""), 400),
        (post(CHANNEL, r#"{"channel":["preview"]}"#), 400),
        (post(CHANNEL, r#"{"channel":"preview","for":"1h"}"#), 400),
        (get(CHANNEL), 405),
        (Call::new(Method::PUT, CHANNEL), 405),
        (post(CHANNEL, vec![b' '; 70_000]), 413),
    ] {
        let answer = parts.gateway.send(call).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.header("set-cookie"), None);
    }
    let without = Parts::start(|config| {
        let lines = config.lines();
        let kept = lines.filter(|line| !line.contains("channels:") && !line.contains("flags:"));
        kept.map(|line| format!("{line}\n")).collect()
    })
    .await;
    for call in [choice("preview"), delete()] {
        let answer = without.gateway.send(call).await;
        assert_eq!(answer.status, 404, "{answer:?}");
    }
    assert_eq!(without.stable.count() + parts.stable.count(), 0);
}

/// Other sites' pages could opt their visitors in.
#[tokio::test]
async fn only_pages_of_this_site_and_of_cors_may_choose() {
    let parts = Parts::start(|config| config).await;
    let host = crate::harness::client::HOST;
    let own = format!("https://{host}");
    for (fields, status) in [
        (&[("origin", "https://app.example.com")][..], 200),
        (&[("origin", &*own)], 200),
        (&[("origin", "https://evil.example")], 403),
        (&[("origin", "null")], 403),
        (
            &[
                ("origin", "https://evil.example"),
                ("sec-fetch-site", "cross-site"),
            ],
            403,
        ),
        // Behind a proxy that asks by another name, browser or proxy say that it is the page's own site.
        (
            &[
                ("origin", "https://front.example"),
                ("sec-fetch-site", "same-origin"),
            ],
            200,
        ),
        (
            &[
                ("origin", "https://front.example"),
                ("x-forwarded-host", "front.example"),
            ],
            200,
        ),
        (
            &[
                ("origin", "https://front.example"),
                ("x-forwarded-host", "other.example"),
            ],
            403,
        ),
    ] {
        let with = |call: Call| {
            let fields = fields.iter();
            fields.fold(call, |call, (name, value)| call.header(name, value))
        };
        let answer = parts.gateway.send(with(choice("preview"))).await;
        assert_eq!(answer.status, status, "{fields:?}");
        assert_eq!(answer.header("set-cookie").is_some(), status == 200);
        let gone = parts.gateway.send(with(delete())).await;
        assert_eq!(gone.status == 204, status == 200, "{fields:?}");
    }
    let asked = Call::new(Method::OPTIONS, CHANNEL)
        .header("origin", "https://app.example.com")
        .header("access-control-request-method", "DELETE");
    let answer = parts.gateway.send(asked).await;
    assert_eq!(answer.status, 204);
    assert_eq!(
        answer.header("access-control-allow-methods"),
        Some("POST, DELETE, OPTIONS")
    );
    assert_eq!(
        answer.header("access-control-allow-credentials"),
        Some("true")
    );
}

#[tokio::test]
async fn the_cookie_is_secure_as_the_anonymous_one_is_and_named_as_the_file_says() {
    let https = |call: Call| call.header("x-forwarded-proto", "https");
    let parts = Parts::start(|config| config).await;
    let (_, rest) = cookie(&parts.gateway.send(https(choice("preview"))).await);
    assert!(rest.ends_with("; Secure"), "{rest}");
    let named = "names: [preview], cookie: volunteer, max_age: 30d }\n  anonymous: sticky\n  anonymous_cookie: { secure: always";
    let parts = Parts::start(|config| config.replace("names: [preview, beta]", named)).await;
    let (pair, rest) = cookie(&parts.choose("preview").await);
    assert!(pair.starts_with("volunteer=preview."), "{pair}");
    assert_eq!(
        rest,
        "Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax; Secure"
    );
    parts.served(&pair).await.assert_from("canary");
    let text = parts.gateway.ask(&[
        "explain",
        "--host",
        crate::harness::client::HOST,
        "--property",
        "channel=preview",
        "--format",
        "json",
    ]);
    let told: Value = serde_json::from_slice(&text.stdout).expect("JSON");
    assert_eq!(told["decision"]["assigned"], "search.v2", "{told:#}");
}
