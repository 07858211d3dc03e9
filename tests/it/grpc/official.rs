//! The official client and server for Python (`tests/grpc`), and Serin between them: in the clear, and encrypted on both sides.

use serde_json::{Value, json};

use crate::harness::authority::Authority;
use crate::harness::sdk::Sdk;
use crate::harness::{Gateway, Setup, assert_has};

const CONFIG: &str = "
services:
  search: { stable: @stable, timeouts: { response: 1m } }
  nobody: { stable: h2c://127.0.0.1:1, timeouts: { connect: 1s } }
  closed: { stable: @stable, shutoff: { flag: closed.shutoff, respond: { body: 100 % shut } } }
flags:
  closed.shutoff: { rings: [{ name: all }] }
  search.v2: { url: @canary, rings: [{ name: some, when: { userId: { starts_with: c } } }] }
routes:
  - { path: /serin.Nobody, service: nobody }
  - { path: /serin.Closed, service: closed }
  - { path: /serin.Internal, service: search, deny: [127.0.0.0/8] }
  - { path: /serin.Rare, service: search, rate_limit: { per: route, requests: 1, window: 1h } }
  - { path: /serin.Small, service: search, body_bytes: 1KiB }
  - { path: /serin.Test, service: search, timeout: none }
  - { path: /grpc.health.v1.Health, service: search, timeout: none }
  - { path: /grpc.reflection.v1alpha.ServerReflection, service: search, timeout: none }
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
logging: { access: all }
";

/// Servers, the gateway before them, and who vouches for all of these.
struct Parts {
    authority: Option<Authority>,
    servers: Vec<(Sdk, String)>,
    gateway: Gateway,
}

impl Parts {
    /// With a server `stable`, and a canary of this name; `None`: there is nobody where it should be.
    async fn start(encrypted: bool, canary: Option<&str>) -> Self {
        let authority = encrypted.then(Authority::new);
        let mut servers = Vec::new();
        for name in ["stable"].into_iter().chain(canary) {
            servers.push(Self::server(authority.as_ref(), name).await);
        }
        let listeners = match &authority {
            None => "listeners: [127.0.0.1:0]\n".to_owned(),
            Some(authority) => {
                let (cert, key) = (authority.path("stable.crt"), authority.path("stable.key"));
                let pair = format!("{{ cert: {cert}, key: {key} }}");
                format!(
                    "listeners: [{{ address: 127.0.0.1:0, tls: {{ certificates: [{pair}] }} }}]\n"
                )
            }
        };
        let (stable, nobody) = (&servers[0].1, "h2c://127.0.0.1:1".to_owned());
        let canary = servers.get(1).map_or(&nobody, |(_, url)| url);
        let tls = authority.as_ref().map_or_else(String::new, |authority| {
            format!(", tls: {{ ca: {} }}", authority.path("ca.crt"))
        });
        let config = CONFIG
            .replace("@stable", &format!("{{ url: '{stable}'{tls} }}"))
            .replace("@canary", canary);
        let gateway = Setup::new(format!("{listeners}{config}")).start().await;
        Self {
            authority,
            servers,
            gateway,
        }
    }

    async fn server(authority: Option<&Authority>, name: &str) -> (Sdk, String) {
        let mut args = vec![name.to_owned()];
        if let Some(authority) = authority {
            authority.issue(name, &["localhost"]);
            args.extend(["crt", "key"].map(|end| authority.path(&format!("{name}.{end}"))));
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let server = Sdk::of("tests/grpc", "server.py", &args);
        let port = server.line().await["port"].clone();
        let url = match authority {
            Some(_) => format!("h2://localhost:{port}"),
            None => format!("h2c://127.0.0.1:{port}"),
        };
        (server, url)
    }

    /// A client that makes these calls one after the other.
    fn client(&self, user: &str, calls: &[&str]) -> Sdk {
        let address = self.gateway.address().to_string();
        let authority = self.authority.as_ref();
        let authority = authority.map_or_else(|| "-".to_owned(), |own| own.path("ca.crt"));
        let args = [&address[..], &authority, user];
        Sdk::of("tests/grpc", "client.py", &[&args[..], calls].concat())
    }

    /// What comes of one call.
    async fn call(&self, user: &str, call: &str) -> Value {
        self.client(user, &[call]).line().await
    }
}

/// What came of one of a client's calls.
async fn of(client: &Sdk, call: &str) -> Value {
    client.await_line(|line| line["of"] == call).await
}

async fn calls_of_all_kinds(encrypted: bool) {
    let parts = Parts::start(encrypted, None).await;
    let calls = [
        "unary", "empty", "large", "fail", "download", "upload", "chat", "nowhere",
    ];
    let client = parts.client("s1", &calls);
    let unary = of(&client, "unary").await;
    // 0 to 255, and 0, 1, 254, 255.
    let every_byte = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0BBQkNERUZHSElKS0xNTk9Q\
        UVJTVFVWV1hZWltcXV5fYGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn+AgYKDhIWGh4iJiouMjY6PkJGSk5SVlpeYmZqbnJ2en6ChoqOkpaanqKmqq6ytrq+w\
        sbKztLW2t7i5uru8vb6/wMHCw8TFxsfIycrLzM3Oz9DR0tPU1dbX2Nna29zd3t/g4eLj5OXm5+jp6uvs7e7v8PHy8/T19vf4+fr7/P3+/w==";
    assert_has(&unary, &json!({ "answer": "hello", "code": "OK" }));
    let initial = json!({ "x-server": "stable", "x-bytes-bin": every_byte });
    assert_has(&unary["initial"], &initial);
    let trailing = json!({ "x-end": "stable", "x-caller": "one", "x-caller-bin": "AAH+/w==" });
    assert_has(&unary["trailing"], &trailing);
    assert_eq!(of(&client, "empty").await["answer"], "");
    let large = json!({ "size": 16 << 20, "same": true });
    assert_has(&of(&client, "large").await, &large);
    let failed = of(&client, "fail").await;
    let told = failed["told"].as_array().expect("a list");
    assert_eq!(told.len(), 16);
    for failure in told {
        let (code, seen) = (&failure[0], &failure[1]);
        let wanted = json!({ "code": code, "details": "100 % schön" });
        assert_has(seen, &wanted);
        let trailing = json!({ "x-end": "stable", "x-why-bin": "AP8=" });
        assert_has(&seen["trailing"], &trailing);
    }
    let ten_thousand = json!({ "count": 10_000, "in_order": true, "code": "OK" });
    assert_has(&of(&client, "download").await, &ten_thousand);
    let uploaded = of(&client, "upload").await;
    assert_eq!(uploaded["answer"], json!([10_000, 100_000]));
    assert_has(&of(&client, "chat").await, &ten_thousand);
    assert_eq!(of(&client, "nowhere").await["code"], "UNIMPLEMENTED");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_all_kinds_pass_in_the_clear() {
    calls_of_all_kinds(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_all_kinds_pass_encrypted() {
    calls_of_all_kinds(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_health_and_methods_is_told() {
    for encrypted in [false, true] {
        let parts = Parts::start(encrypted, None).await;
        let client = parts.client("s1", &["health", "reflection"]);
        let health = json!({
            "": "SERVING", "serin.Test": "SERVING", "nobody": "NOT_FOUND", "watched": "SERVING",
        });
        assert_has(&of(&client, "health").await, &health);
        let services = &of(&client, "reflection").await["services"];
        let services = services.as_array().expect("a list");
        assert!(services.contains(&json!("serin.Test")), "{services:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_hears_of_the_end_of_a_call() {
    for encrypted in [false, true] {
        let parts = Parts::start(encrypted, None).await;
        let server = &parts.servers[0].0;
        let mut client = parts.client("s1", &["deadline", "cancel", "cancel_stream"]);
        let over = of(&client, "deadline").await;
        assert_eq!(over["code"], "DEADLINE_EXCEEDED");
        let begun = server
            .await_line(|line| line["call"] == "deadline" && line["begun"] == true)
            .await;
        let left = begun["left"].as_f64().expect("a time");
        assert!((0.0..=0.7).contains(&left), "{left}");
        let ends = |call: &'static str| {
            server.await_line(move |line| line["call"] == call && line["ended"] == true)
        };
        ends("deadline").await;
        server
            .await_line(|line| line["call"] == "cancel" && line["begun"] == true)
            .await;
        client.tell("go");
        ends("cancel").await;
        assert_eq!(of(&client, "cancel").await["cancelled"], true);
        ends("cancel_stream").await;
        assert_eq!(of(&client, "cancel_stream").await["code"], "CANCELLED");
        let none = [("service", "search")];
        parts
            .gateway
            .await_metric("serin_active_requests", &none[..0], 0.0)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_is_gone_or_unwell_fails_no_call() {
    for (encrypted, canary, cause) in [
        (false, None, "connect"),
        (false, Some("unwell"), "status"),
        (true, Some("unwell"), "status"),
    ] {
        let parts = Parts::start(encrypted, canary).await;
        let told = parts.call("c1", "unary").await;
        assert_has(&told, &json!({ "answer": "hello", "code": "OK" }));
        assert_eq!(told["initial"]["x-server"], "stable");
        let rescues = [
            ("service", "search"),
            ("from", "search.v2"),
            ("cause", cause),
        ];
        parts
            .gateway
            .await_metric("serin_rescues_total", &rescues, 1.0)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_serin_answers_itself_is_a_status() {
    for encrypted in [false, true] {
        let parts = Parts::start(encrypted, None).await;
        let client = parts.client("s1", &["/serin.Rare/Nothing"]);
        of(&client, "/serin.Rare/Nothing").await;
        for (call, code, details) in [
            (
                "/serin.Nobody/Unary",
                "UNAVAILABLE",
                "the service could not be reached",
            ),
            ("/serin.Closed/Unary", "UNAVAILABLE", "100 % shut"),
            (
                "/serin.Nowhere/Unary",
                "UNIMPLEMENTED",
                "no route for this request",
            ),
            ("/serin.Internal/Unary", "PERMISSION_DENIED", ""),
            ("/serin.Rare/Unary", "UNAVAILABLE", ""),
            ("/serin.Small/Unary", "RESOURCE_EXHAUSTED", ""),
        ] {
            let told = parts.call("s1", call).await;
            assert_eq!(told["code"], code, "{call}: {told}");
            let said = told["details"].as_str().expect("a text");
            assert!(
                said.starts_with(details) && !said.is_empty(),
                "{call}: {told}"
            );
        }
    }
}
