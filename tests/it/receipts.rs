//! Receipts: what a client is told, signed, of who served it; who believes them, and what the gateway reads of them again.

mod command;
mod strangers;
mod subjects;

use serde_json::{Value, json};

use crate::harness::{Answer, Call, Gateway, Origin, Reply, fill, get};

/// `ann` is on the canary.
const CONFIG: &str = "
services:
  search: { stable: @stable }
  cart: { stable: @cart }
routes: [{ path: /cart, service: cart }, { path: /, service: search }]
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
client_api: { path: /.serin, cors: [https://app.example.com], rate_limit: { requests: 100000 } }
flags: { search.v2: { url: @canary, rings: [{ name: ann, when: { userId: [ann] } }] } }
server: { threads: 2, shutdown_delay: 1ms }
";

const SECRET: &str = "a-secret-of-at-least-thirty-two-bytes";

/// Receipts that come and go in a cookie and a header field.
fn both() -> String {
    format!(
        "attribution: {{ receipts: {{ key: {SECRET}, cookie: serin_receipt, header: x-serin-receipt }} }}\n"
    )
}

/// Origins, and the configuration of gateways before them.
pub(crate) struct Parts {
    stable: Origin,
    canary: Origin,
    cart: Origin,
}

impl Parts {
    pub(crate) async fn start() -> Self {
        Self {
            stable: Origin::start("stable").await,
            canary: Origin::start("canary").await,
            cart: Origin::start("cart").await,
        }
    }

    pub(crate) fn config(&self, more: &str) -> String {
        fill(CONFIG, [&self.stable, &self.canary, &self.cart]) + more
    }

    pub(crate) async fn gateway(&self, more: &str) -> Gateway {
        Gateway::start(self.config(more)).await
    }
}

/// The receipt in an answer's header field.
pub(crate) fn token(answer: &Answer) -> String {
    let token = answer.header("x-serin-receipt");
    token.expect("a receipt").to_owned()
}

/// What a receipt claims, whoever has signed it.
pub(crate) fn claims(token: &str) -> Value {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let payload = token.split('.').nth(1).expect("a payload");
    let bytes = URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    serde_json::from_slice(&bytes).expect("JSON")
}

fn by(path: &str, user: &str, token: &str) -> Call {
    let call = get(path).user(user);
    call.header("x-serin-receipt", token)
}

async fn await_receipts(gateway: &Gateway, result: &str, count: f64) {
    let labels = [("result", result)];
    gateway
        .await_metric("serin_receipts_total", &labels, count)
        .await;
}

#[tokio::test]
async fn a_client_is_told_once_who_served_it_and_again_when_that_changes() {
    let parts = Parts::start().await;
    let gateway = parts.gateway(&both()).await;
    let first = gateway.get_as("ann", "/").await;
    let receipt = token(&first);
    let cookie = first.header("set-cookie").expect("a cookie");
    let expected = format!("serin_receipt={receipt}; Path=/; Max-Age=86400; SameSite=Lax");
    assert_eq!(cookie, expected);
    let told = claims(&receipt);
    let v2 = json!({ "d": "search.v2", "f": "search.v2", "r": "ring", "a": "search.v2", "g": 1 });
    assert_eq!(told["served"], json!({ "search": v2 }));
    assert_eq!(
        told["exp"].as_i64(),
        told["iat"].as_i64().map(|iat| iat + 86_400)
    );
    // It says the same: neither a cookie nor a field.
    for call in [
        by("/", "ann", &receipt),
        get("/")
            .user("ann")
            .header("cookie", &format!("a=b; serin_receipt={receipt}")),
    ] {
        let again = gateway.send(call).await;
        again.assert_from("canary");
        let news = [again.header("x-serin-receipt"), again.header("set-cookie")];
        assert_eq!(news, [None, None]);
    }
    // Another service is news, and what is known of the first one is kept.
    let both = claims(&token(&gateway.send(by("/cart", "ann", &receipt)).await));
    assert_eq!(both["served"]["search"], v2);
    assert_eq!(both["served"]["cart"]["d"], "stable");
    // So is who serves in place of the one that was assigned.
    parts.canary.answer(|_| Reply::status(500));
    let rescued = claims(&token(&gateway.send(by("/", "ann", &receipt)).await));
    let search = &rescued["served"]["search"];
    assert_eq!([&search["d"], &search["a"]], ["stable", "search.v2"]);
    await_receipts(&gateway, "sent", 3.0).await;
    await_receipts(&gateway, "valid", 4.0).await;
}

#[tokio::test]
async fn one_past_half_of_its_life_is_replaced() {
    let parts = Parts::start().await;
    let brief = both().replace("header:", "ttl: 4s, header:");
    let gateway = parts.gateway(&brief).await;
    let receipt = token(&gateway.get_as("ann", "/").await);
    let issued = claims(&receipt)["iat"].clone();
    let next = crate::harness::eventually("another receipt", || async {
        let answer = gateway.send(by("/", "ann", &receipt)).await;
        answer.header("x-serin-receipt").map(str::to_owned)
    })
    .await;
    assert!(claims(&next)["iat"].as_i64() > issued.as_i64());
    crate::harness::eventually("the first one to expire", || async {
        gateway.send(by("/", "ann", &receipt)).await;
        let expired = gateway.metrics().await;
        let expired = expired.sum("serin_receipts_total", &[("result", "expired")]);
        (expired > 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn receipts_that_are_not_the_clients_own_count_for_nothing() {
    let parts = Parts::start().await;
    let gateway = parts.gateway(&both()).await;
    let elsewhere = both().replace(SECRET, "another-secret-of-thirty-two-bytes-too");
    let elsewhere = parts.gateway(&elsewhere).await;
    let valid = token(&gateway.get_as("ann", "/").await);
    let (signed, signature) = valid.rsplit_once('.').expect("a signature");
    let forged = format!("{signed}.{}", signature.chars().rev().collect::<String>());
    for (user, shown) in [
        ("ann", forged.as_str()),
        ("ann", "eyJhbGciOiJub25lIn0.e30."),
        ("bob", &valid),
        ("ann", &token(&elsewhere.get_as("ann", "/").await)),
    ] {
        let answer = gateway.send(by("/", user, shown)).await;
        assert_eq!(answer.status, 200);
        let own = claims(&token(&answer));
        let deployment = if user == "ann" { "search.v2" } else { "stable" };
        assert_eq!(own["served"]["search"]["d"], deployment, "{shown}");
        // A service may believe what is Serin's own: it gets no other.
        let origin = if user == "ann" {
            &parts.canary
        } else {
            &parts.stable
        };
        assert_eq!(origin.last().header("x-serin-receipt"), None, "{shown}");
    }
    await_receipts(&gateway, "forged", 2.0).await;
    await_receipts(&gateway, "foreign", 2.0).await;
    await_receipts(&gateway, "valid", 0.0).await;
}

#[tokio::test]
async fn a_service_gets_the_receipt_that_its_client_shows() {
    let parts = Parts::start().await;
    let gateway = parts.gateway(&both()).await;
    let receipt = token(&gateway.get_as("ann", "/").await);
    gateway.send(by("/", "ann", &receipt)).await;
    let seen = parts.canary.last().header("x-serin-receipt");
    assert_eq!(seen.as_deref(), Some(&*receipt));
    let cookie = format!("serin_receipt={receipt}");
    gateway
        .send(get("/").user("ann").header("cookie", &cookie))
        .await;
    assert_eq!(
        parts.canary.last().header("cookie").as_deref(),
        Some(&*cookie)
    );
}

#[tokio::test]
async fn a_second_gateway_with_the_key_reads_what_the_first_one_served() {
    let parts = Parts::start().await;
    let one = parts.gateway(&both()).await;
    let receipt = token(&one.get_as("ann", "/").await);
    // It would send `ann` to stable, but tells who has served.
    let config = parts.config(&both()).replace("[ann]", "[nobody]");
    let two = Gateway::start(config).await;
    let call = by("/.serin/decisions", "ann", &receipt);
    let decisions = two.send(call).await.json();
    let search = &decisions["decisions"][0];
    assert_eq!(
        [&search["assigned"], &search["served"]],
        ["stable", "search.v2"]
    );
    let answer = two.send(by("/", "ann", &receipt)).await;
    assert_eq!(claims(&token(&answer))["served"]["search"]["d"], "stable");
}

#[tokio::test]
async fn decisions_tell_who_served_as_this_gateway_remembers() {
    let parts = Parts::start().await;
    let gateway = parts.gateway("").await;
    let served = async |user: &str| {
        let decisions = gateway.get_as(user, "/.serin/decisions").await.json();
        let search = &decisions["decisions"][0];
        assert_eq!(search["service"], "search");
        search["served"].clone()
    };
    assert_eq!(
        served("ann").await,
        Value::Null,
        "nobody has served her yet"
    );
    gateway.get_as("ann", "/").await.assert_from("canary");
    assert_eq!(served("ann").await, "search.v2");
    parts.canary.answer(|_| Reply::status(503));
    gateway.get_as("ann", "/").await.assert_from("stable");
    assert_eq!(served("ann").await, "stable");
    let keys = gateway.get_as("ann", "/.serin/receipts/jwks.json").await;
    assert_eq!(keys.status, 404, "{keys:?}");
}

#[tokio::test]
async fn who_has_no_id_gets_none_nor_has_an_answer_that_caches_share() {
    let parts = Parts::start().await;
    let gateway = parts.gateway(&both()).await;
    let nothing = |answer: &Answer| {
        assert_eq!(answer.status, 200);
        let told = [
            answer.header("x-serin-receipt"),
            answer.header("set-cookie"),
        ];
        assert_eq!(told, [None, None], "{answer:?}");
    };
    nothing(&gateway.send(get("/")).await);
    for shared in ["public, max-age=60", "max-age=0, S-MaxAge=60"] {
        parts
            .stable
            .answer(move |_| Reply::status(200).header("cache-control", shared));
        nothing(&gateway.get_as("bob", "/").await);
    }
    parts
        .stable
        .answer(|_| Reply::status(200).header("cache-control", "private, max-age=60"));
    token(&gateway.get_as("bob", "/").await);
}

#[tokio::test]
async fn an_anonymous_user_is_known_by_the_cookies_id_and_https_makes_cookies_secure() {
    let parts = Parts::start().await;
    let sticky =
        "identity:\n  anonymous: sticky\n  user_id: [{ header: x-user-id, trust: anyone }]\n";
    let config = parts.config(&both());
    let own = "identity: { user_id: [{ header: x-user-id, trust: anyone }] }\n";
    let config = config
        .replace(own, sticky)
        .replace("when: { userId: [ann] }", "rollout: 50%")
        .replace("threads: 2,", "threads: 2, trusted_proxies: [127.0.0.0/8],");
    let gateway = Gateway::start(config).await;
    let answer = gateway
        .send(get("/").header("x-forwarded-proto", "https"))
        .await;
    let cookies: Vec<&str> = answer
        .headers
        .get_all("set-cookie")
        .iter()
        .map(|cookie| cookie.to_str().expect("text"))
        .collect();
    let [id, receipt] = cookies[..] else {
        panic!("{cookies:?}");
    };
    assert!(receipt.ends_with("; SameSite=Lax; Secure"), "{receipt}");
    let pair = |cookie: &str| cookie.split(';').next().unwrap_or_default().to_owned();
    let call = get("/").header("cookie", &format!("{}; {}", pair(id), pair(receipt)));
    let again = gateway.send(call).await;
    assert_eq!(
        again.header("x-serin-receipt"),
        None,
        "it is the same user's"
    );
}

#[tokio::test]
async fn what_a_gateway_further_in_has_told_reaches_the_client() {
    let parts = Parts::start().await;
    let inside = parts.gateway(&both()).await;
    let edge = "
services: { web: @inside }
routes: [{ path: /, service: web }]
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
"
    .replace("@inside", &format!("http://{}", inside.address()));
    let edge = Gateway::start(edge + &both()).await;
    let answer = edge.get_as("ann", "/").await;
    let receipt = token(&answer);
    let served = &claims(&receipt)["served"];
    let told = [&served["web"]["d"], &served["search"]["d"]];
    assert_eq!(told, ["stable", "search.v2"]);
    let cookie = answer.header("set-cookie").expect("one cookie, not two");
    assert!(cookie.contains(&receipt), "{cookie}");
    let again = edge.send(by("/", "ann", &receipt)).await;
    assert_eq!(again.header("x-serin-receipt"), None);
    // A service that makes one up is not passed on.
    parts
        .cart
        .answer(|_| Reply::status(200).header("x-serin-receipt", "made.up.x"));
    let answer = edge.send(by("/cart", "ann", &receipt)).await;
    assert_ne!(answer.header("x-serin-receipt"), Some("made.up.x"));
}
