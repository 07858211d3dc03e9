use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;

use super::access::AccessControl;
use super::bounds::Bounds;
use super::endpoints::TABLES;
use super::reach::Reach;
use super::readyz::Readiness;
use super::{AdminState, Listeners, openapi, serve};
use crate::attribution::Attribution;
use crate::config::Config;
use crate::config::attribution::{Control, ExposuresConfig, UserForm};
use crate::config::diagnostic::{Diagnostic, Findings, Severity, Span};
use crate::custody::Custody;
use crate::drain::{Drain, Stage};
use crate::engine::Flag;
use crate::events::EventKind;
use crate::publisher::flag_keeper::FlagKeeper;
use crate::publisher::kills::KillSwitch;
use crate::publisher::registrar::Registrar;
use crate::publisher::tests::fixture::config;
use crate::publisher::{Publisher, PublisherHandle};
use crate::quarantine::Quarantine;
use crate::registry::flags::FlagRegistry;
use crate::registry::kills::Kills;
use crate::registry::registrations::Registrations;
use crate::reload::metrics::ReloadMetrics;
use crate::reload::{Reloader, ReloaderSetup};
use crate::resolver::ClusterManager;
use crate::resolver::dns::Dns;
use crate::source::key_sets::TokenIssuers;
use crate::source::{FlagServers, SourceStatuses};
use crate::state::StateStore;
use crate::telemetry::log::LogControl;
use crate::telemetry::metrics::{MeterRegistry, Metrics};

/// "good" is a configuration, and nothing else is.
fn compile(text: &str) -> Result<Config, Findings> {
    if text == "good" {
        return Ok(config("http://127.0.0.1:81", 2));
    }
    Err(vec![Diagnostic {
        severity: Severity::Error,
        message: "unknown key `serach`".to_owned(),
        span: Span {
            line: 3,
            column: 5,
            length: 6,
        },
        path: "routes.0.serach".to_owned(),
        hint: Some("did you mean `search`?".to_owned()),
    }]
    .into())
}

/// Bound ones, and their addresses: the API's and that of probes alone.
async fn listeners() -> (Listeners, SocketAddr, SocketAddr) {
    let api = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let probes = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, probes_address) = (api.local_addr().unwrap(), probes.local_addr().unwrap());
    let listeners = Listeners {
        api: vec![api],
        probes: vec![probes],
    };
    (listeners, address, probes_address)
}

/// Serves the API for as long as the test runs, with a name server that is there but silent.
async fn serve_beside(_silent: std::net::UdpSocket, listeners: Listeners, state: AdminState) {
    serve(listeners, state, std::future::pending()).await;
}

/// A gateway's admin listener without the gateway.
struct Admin {
    address: SocketAddr,
    probes: SocketAddr,
    directory: tempfile::TempDir,
    drain: Drain,
    publisher: PublisherHandle,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect(&self.body)
    }

    fn problem(&self) -> Value {
        let media = "content-type: application/problem+json";
        assert!(self.head.contains(media), "{}", self.head);
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        assert!(problem["title"].is_string() && problem["detail"].is_string());
        problem
    }
}

fn setup(
    path: PathBuf,
    publisher: &PublisherHandle,
    sources: &SourceStatuses,
    counters: &Arc<ReloadMetrics>,
) -> ReloaderSetup {
    ReloaderSetup {
        path,
        compile: Arc::new(compile),
        publisher: publisher.clone(),
        log: None,
        service_manager: None,
        flag_servers: FlagServers::none(publisher.clone()),
        issuers: TokenIssuers::default(),
        source: sources.file().clone(),
        counters: counters.clone(),
    }
}

/// Records exposures, of which there are none yet.
fn recording(folder: &Path) -> Attribution {
    let mut process = config("http://127.0.0.1:81", 1).process;
    process.state_dir = folder.join("attribution");
    process.attribution.exposures = Some(ExposuresConfig {
        users: UserForm::Plain,
        key: None,
        anonymous: false,
        control: Control::None,
        properties: Vec::new(),
    });
    Attribution::start(&process, &Handle::current())
}

impl Admin {
    async fn start() -> Self {
        Self::with_stable("http://127.0.0.1:81").await
    }

    async fn with_stable(stable: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("routes.yaml");
        std::fs::write(&path, "good").unwrap();
        // No answer comes from there.
        let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let dns = silent.local_addr().unwrap().to_string();
        let meters = MeterRegistry::default();
        let state_store = StateStore::open(&directory.path().join("state"));
        let kills = Kills::open(state_store.clone());
        let first = Arc::new(config(stable, 1));
        let dns = Dns::new(Some(&dns)).unwrap();
        let clusters = ClusterManager::new(dns, Handle::current(), Box::default());
        let publisher = Publisher::start(
            first.clone(),
            Vec::new(),
            clusters,
            meters.clone(),
            kills.clone(),
            &Handle::current(),
        );
        let sources = SourceStatuses::default();
        let reloads: Arc<ReloadMetrics> = Arc::default();
        let setup = setup(path, &publisher, &sources, &reloads);
        let drain = Drain::default();
        let (listeners, address, probes) = listeners().await;
        let state = AdminState {
            certificates: Arc::default(),
            access: AccessControl::default(),
            metrics: Metrics::default().with(meters).with(reloads),
            sources,
            connections: Arc::default(),
            publisher: publisher.clone(),
            flag_servers: setup.flag_servers.clone(),
            reloader: Arc::new(Reloader::new(setup, "", &first)),
            registrar: Registrar::new(Registrations::default(), kills.clone(), publisher.clone()),
            kills: KillSwitch::new(kills, publisher.clone()),
            flags: FlagKeeper::new(FlagRegistry::open(state_store.clone()), publisher.clone()),
            state_store,
            quarantine: Arc::new(Quarantine::new(Instant::now())),
            check: Arc::new(compile),
            log: Some(LogControl::inert()),
            readiness: Arc::new(Readiness::new(drain.watch())),
            orders: Custody::default(),
            via: crate::forward::via::Via::new(1),
            started: Instant::now(),
            attribution: recording(directory.path()),
            spans: Arc::default(),
            hosts: Vec::new(),
            bounds: Bounds::default(),
        };
        tokio::spawn(serve_beside(silent, listeners, state));
        Self {
            address,
            probes,
            directory,
            drain,
            publisher,
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    async fn post(&self, path: &str, body: &str) -> Answer {
        self.send("POST", path, &[], body).await
    }

    async fn send(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|header| header.starts_with("Host:")) {
            request += &format!("Host: {}\r\n", self.address);
        }
        for header in headers {
            request += &format!("{header}\r\n");
        }
        if !body.is_empty() && path != "/api/v1/config/check" {
            request += "Content-Type: application/json\r\n";
        }
        request += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer {
            status,
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }

    fn write(&self, text: &str) {
        std::fs::write(self.directory.path().join("routes.yaml"), text).unwrap();
    }
}

#[tokio::test]
async fn probes_answer() {
    let admin = Admin::start().await;
    assert_eq!(admin.get("/livez").await.status, 200);
    let ready = admin.get("/readyz").await;
    assert_eq!((ready.status, ready.body.as_str()), (200, "ready\n"));
    admin.drain.advance(Stage::Announced);
    let problem = admin.get("/readyz").await.problem();
    assert_eq!(problem["missing"], json!(["the gateway is stopping"]));
    assert_eq!(admin.get("/livez").await.status, 200);
}

#[tokio::test]
async fn readiness_waits_for_stable_names_and_is_never_lost_again() {
    let admin = Admin::with_stable("http://silent.test").await;
    let unready = admin.get("/readyz").await;
    assert_eq!(unready.status, 503);
    assert!(
        unready.problem()["missing"][0]
            .as_str()
            .unwrap()
            .contains("search")
    );
    admin.publisher.store().load().services[0]
        .stable()
        .cluster
        .settle();
    assert_eq!(admin.get("/readyz").await.status, 200);
    // Another name that has not been looked up takes nothing away.
    let next = config("http://another.test", 2);
    admin.publisher.publish(next).await.unwrap();
    assert!(
        !admin.publisher.store().load().services[0]
            .stable()
            .cluster
            .is_settled()
    );
    assert_eq!(admin.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn status_tells_what_runs_and_what_is_wrong() {
    let admin = Admin::start().await;
    let status = admin.get("/api/v1/status").await.json();
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["generation"], 1);
    assert_eq!(status["digest"].as_str().map(str::len), Some(64));
    assert_eq!(status["sources"][0]["name"], "file");
    assert_eq!(status["last_reload"]["result"], "ok");
    assert_eq!(status["last_reload"]["cause"], "start");
    assert_eq!(status["restart_needed"], json!([]));

    admin.write("bad");
    let failed = admin.post("/api/v1/reload", "").await;
    assert_eq!(failed.status, 422);
    let problem = failed.problem();
    assert!(problem["detail"].as_str().unwrap().contains("routes.yaml"));
    let error = json!({
        "severity": "error", "message": "unknown key `serach`", "line": 3, "column": 5,
        "path": "routes.0.serach", "hint": "did you mean `search`?",
    });
    assert_eq!(problem["errors"], json!([error]));
    let status = admin.get("/api/v1/status").await.json();
    assert_eq!(status["last_reload"]["result"], "invalid");
    assert_eq!(status["last_reload"]["cause"], "api");
    assert_eq!(status["last_reload"]["errors"], json!([error]));
    assert_eq!(status["sources"][0]["last_error"], "unknown key `serach`");
    assert_eq!(status["generation"], 1);

    admin.write("good");
    let reloaded = admin.post("/api/v1/reload", "").await.json();
    assert_eq!(
        (&reloaded["generation"], &reloaded["changed"]),
        (&json!(2), &json!(true))
    );
    let metrics = admin.get("/metrics").await;
    assert!(
        metrics
            .body
            .contains("serin_config_reloads_total{result=\"invalid\"} 1")
    );
    assert!(
        metrics
            .head
            .contains("content-type: text/plain; version=0.0.4")
    );
}

#[tokio::test]
async fn what_happens_is_told_as_it_happens() {
    let admin = Admin::start().await;
    let mut stream = TcpStream::connect(admin.address).await.unwrap();
    let request = format!(
        "GET /api/v1/events HTTP/1.1\r\nHost: {}\r\n\r\n",
        admin.address
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut told = String::new();
    let mut until = async |end: &str| {
        while !told.contains(end) {
            let mut part = [0; 4096];
            let length = stream.read(&mut part).await.unwrap();
            assert!(length > 0, "{told}");
            told.push_str(std::str::from_utf8(&part[..length]).unwrap());
        }
        told.clone()
    };
    let head = until("event: connected\n").await;
    assert!(
        head.to_ascii_lowercase()
            .contains("content-type: text/event-stream"),
        "{head}"
    );
    let mut next = config("http://127.0.0.1:82", 2);
    let mut flags: Vec<_> = next.flags.iter().map(|flag| Flag::clone(flag)).collect();
    flags[0].variants = None;
    flags.push(Flag::new("search.new"));
    next.flags = flags.into_iter().map(Arc::new).collect();
    admin.publisher.publish(next).await.unwrap();
    let told = until("\"generation\":2").await;
    assert!(told.contains("event: snapshot\n"), "{told}");
    let told = until("\"counts\":{\"added\":1,\"changed\":1,\"removed\":0}").await;
    assert!(told.contains("\"added\":[\"search.new\"]"), "{told}");
    admin.publisher.events().emit(EventKind::SourceTrouble {
        source: "unleash".into(),
        error: "no answer\nat all".to_owned(),
    });
    let told = until("event: source\n").await;
    let told = match told.contains("no answer") {
        true => told,
        false => until("no answer").await,
    };
    assert!(told.contains("\"error\":\"no answer\\nat all\""), "{told}");
    admin.publisher.events().emit(EventKind::Stopping);
    until("event: stopping\n").await;
    // And that is the stream's end, told in HTTP's way.
    until("\r\n0\r\n\r\n").await;
}

#[tokio::test]
async fn services_are_shown_with_endpoints_and_figures() {
    let admin = Admin::start().await;
    let snapshot = admin.publisher.store().load();
    let deployments = &snapshot.services[0].deployments;
    let (stable, [canary]) = (deployments.stable(), deployments.canaries()) else {
        panic!("two deployments");
    };
    stable.meter.served.inc(200);
    canary.meter.served.inc(503);
    canary.meter.served_by_stable.inc(200);
    canary.meter.unserved.inc(502);
    let service = admin.get("/api/v1/services/search").await.json();
    let all = admin.get("/api/v1/services").await.json();
    assert_eq!(all["services"], json!([service]));
    insta::assert_json_snapshot!(service);
    assert_eq!(
        admin.get("/api/v1/services/shop").await.problem()["status"],
        404
    );
}

#[tokio::test]
async fn a_configuration_can_be_checked() {
    let admin = Admin::start().await;
    let good = admin.post("/api/v1/config/check", "good").await.json();
    let expected = json!({
        "valid": true, "errors": 0, "warnings": 0, "problems": [], "not_shown": 0,
    });
    assert_eq!(good, expected);
    let bad = admin
        .post("/api/v1/config/check", &"x".repeat(70_000))
        .await;
    assert_eq!(bad.status, 200, "a file may be larger than other bodies");
    assert_eq!(bad.json()["valid"], false);
    assert_eq!(bad.json()["problems"][0]["line"], 3);
    let huge = "x".repeat(10 * 1024 * 1024 + 1);
    assert_eq!(
        admin.post("/api/v1/config/check", &huge).await.problem()["status"],
        413
    );
    assert_eq!(admin.publisher.store().load().generation, 1);
}

#[tokio::test]
async fn every_error_is_a_problem_document() {
    let admin = Admin::start().await;
    assert_eq!(admin.get("/nowhere").await.problem()["status"], 404);
    let wrong = admin.get("/api/v1/reload").await;
    assert_eq!(wrong.problem()["status"], 405);
    assert!(wrong.head.contains("allow: post"), "{}", wrong.head);
    let large = format!("{{\"path\":\"{}\"}}", "x".repeat(70_000));
    for (body, status) in [
        ("{", 400),
        ("{\"user\":\"u1\"}", 422),
        ("{\"path\":\"/%00\"}", 422),
        (large.as_str(), 413),
    ] {
        let answer = admin.post("/api/v1/explain", body).await;
        assert_eq!(answer.problem()["status"], status, "{}", answer.body);
    }
}

#[tokio::test]
async fn a_foreign_name_or_page_gets_nothing() {
    let admin = Admin::start().await;
    let port = admin.address.port();
    for host in ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:9900"] {
        let answer = admin
            .send("GET", "/livez", &[&format!("Host: {host}")], "")
            .await;
        assert_eq!(answer.status, 200, "{host}");
    }
    for host in ["evil.example", "localhost.evil.example", ""] {
        let answer = admin
            .send("GET", "/livez", &[&format!("Host: {host}")], "")
            .await;
        assert_eq!(answer.problem()["status"], 421, "{host}");
    }
    for (origin, status) in [
        (format!("http://127.0.0.1:{port}"), 200),
        ("http://evil.example".to_owned(), 403),
        ("null".to_owned(), 403),
    ] {
        let origin = format!("Origin: {origin}");
        let answer = admin.send("POST", "/api/v1/reload", &[&origin], "").await;
        assert_eq!(answer.status, status, "{origin}");
    }
}

#[tokio::test]
async fn the_logs_filter_is_changed_for_a_while() {
    let admin = Admin::start().await;
    let path = "/api/v1/log";
    let nothing = json!({ "level": "info", "filter": null, "until": null, "remaining_seconds": null, "by": null });
    assert_eq!(admin.get(path).await.json(), nothing);
    for (body, remaining) in [
        (json!({ "filter": "serin::proxy=debug" }), 600.0),
        (
            json!({ "filter": "info,serin::proxy=debug", "for": "5m" }),
            300.0,
        ),
    ] {
        let set = admin.send("PUT", path, &[], &body.to_string()).await.json();
        let until: jiff::Timestamp = set["until"].as_str().unwrap().parse().unwrap();
        assert!(until > jiff::Timestamp::now());
        assert_eq!(
            (&set["filter"], &set["by"]),
            (&body["filter"], &json!("127.0.0.1"))
        );
        let left = set["remaining_seconds"].as_f64().unwrap();
        assert!(left <= remaining && left > remaining - 60.0, "{left}");
        assert_eq!(admin.get(path).await.json()["filter"], body["filter"]);
    }
    for (body, part) in [
        (
            json!({ "filter": "info,serin::proxy" }),
            "`serin::proxy` is neither",
        ),
        (json!({ "filter": "hyper=loud" }), "`hyper=loud`"),
        (json!({ "filter": "debug", "for": "2h" }), "at most 1h"),
        (json!({ "filter": "debug", "for": "10ms" }), "at least 1s"),
        (json!({ "filter": "debug", "for": "soon" }), "a duration is"),
        (json!({ "for": "1m" }), "missing field `filter`"),
    ] {
        let refused = admin.send("PUT", path, &[], &body.to_string()).await;
        let problem = refused.problem();
        assert_eq!(problem["status"], 422, "{body}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(part), "{detail}");
    }
    assert_eq!(
        admin.get(path).await.json()["filter"],
        "info,serin::proxy=debug"
    );
    assert_eq!(admin.send("DELETE", path, &[], "").await.json(), nothing);
}

#[tokio::test]
async fn the_listener_of_probes_has_nothing_else() {
    let admin = Admin::start().await;
    let probes = Admin {
        address: admin.probes,
        ..admin
    };
    for (path, status) in [
        ("/livez", 200),
        ("/readyz", 200),
        ("/metrics", 200),
        ("/api/v1/status", 404),
        ("/api/v1/events", 404),
        ("/", 404),
    ] {
        assert_eq!(probes.get(path).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn what_takes_long_is_bounded() {
    let admin = Admin::start().await;
    let open = async |head: String| {
        let mut stream = TcpStream::connect(admin.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    };
    let host = admin.address;
    let mut streams = Vec::new();
    for _ in 0..64 {
        let mut stream = open(format!(
            "GET /api/v1/events HTTP/1.1\r\nHost: {host}\r\n\r\n"
        ))
        .await;
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        assert_eq!(&status, b"HTTP/1.1 200");
        streams.push(stream);
    }
    let refused = admin.get("/api/v1/events").await;
    assert_eq!(refused.problem()["status"], 503);
    assert!(refused.head.contains("retry-after: 1"), "{}", refused.head);
    let mut checks = Vec::new();
    for _ in 0..4 {
        let head = format!(
            "POST /api/v1/config/check HTTP/1.1\r\nHost: {host}\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
        );
        let mut check = open(head).await;
        // It is being read.
        let mut status = [0; 12];
        check.read_exact(&mut status).await.unwrap();
        assert_eq!(&status, b"HTTP/1.1 100");
        checks.push(check);
    }
    let refused = admin.post("/api/v1/config/check", "good").await;
    assert_eq!(refused.problem()["status"], 503);
    assert_eq!(admin.post("/api/v1/reload", "").await.status, 200);
    drop((streams, checks));
    // Both end when the gateway has seen that the clients are gone.
    while admin.post("/api/v1/config/check", "good").await.status != 200 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn the_document_is_what_it_was() {
    let mut document = openapi::document(TABLES);
    document["info"]["version"] = json!("[version]");
    insta::assert_json_snapshot!(document);
}

#[tokio::test]
async fn everything_in_the_document_is_there() {
    let admin = Admin::start().await;
    let document = admin.get("/api/v1/openapi.json").await.json();
    for (path, operations) in document["paths"].as_object().unwrap() {
        // What Serin keeps is there once it has been put; the file's own flags are not to be changed here.
        let is_kept = path.starts_with("/api/v1/flags/") || path.starts_with("/api/v1/segments/");
        let name = if is_kept { "search.own" } else { "search.ab" };
        let path = path
            .replace("{service}", "search")
            .replace("{name}", name)
            .replace("{ring}", "team");
        for (method, operation) in operations.as_object().unwrap() {
            // What never ends has a test of its own.
            if operation["responses"]["200"]["content"]["text/event-stream"].is_object() {
                continue;
            }

            let kept = match path.split('/').nth(3) {
                Some("segments") => "{\"userId\":\"ann\"}",
                _ => "{\"rings\":[{\"name\":\"team\"}]}",
            };
            if is_kept {
                let (resource, _) = path.split_at(path.find("/rings").unwrap_or(path.len()));
                let put = admin.send("PUT", resource, &[], kept).await;
                assert!(
                    matches!(put.status, 200 | 201),
                    "{resource}: {}",
                    put.status
                );
            }
            let body = match path.as_str() {
                _ if is_kept && method == "patch" => "{\"enabled\":false}",
                _ if is_kept => kept,
                "/api/v1/explain" => "{\"path\":\"/search\"}",
                "/api/v1/log" => "{\"filter\":\"serin::proxy=debug\"}",
                "/api/v1/exposures/forget" => "{\"user\":\"ann\"}",
                path if path.ends_with("/kill") || path.ends_with("/restore") => "",
                _ => "good",
            };
            let answer = admin.send(&method.to_uppercase(), &path, &[], body).await;
            // There is no flag server here to ask, which only somebody can say who looks for one.
            if path.starts_with("/api/v1/sources/") {
                let detail = &answer.problem()["detail"];
                assert_eq!(
                    *detail, "there is no flag server called search.ab",
                    "{path}"
                );
            } else if path.ends_with("/canaries/search.ab") || path.ends_with("/renew") {
                // Nothing is registered here, and this body registers nothing.
                let expected = if method == "put" { 400 } else { 404 };
                assert_eq!(answer.status, expected, "{method} {path}");
            } else {
                assert_eq!(answer.status, 200, "{method} {path}");
            }
        }
    }
}

#[test]
fn a_token_for_some_services_has_no_operation_about_the_gateway() {
    let operations = TABLES.iter().copied().flatten();
    let operations = operations.filter(|operation| !operation.is_probe);
    let about_the_gateway: Vec<String> = operations
        .filter(|operation| Reach::of(operation.path) == Reach::Gateway)
        .map(|operation| format!("{} {}", operation.method, operation.path))
        .collect();
    // Each of these is refused to tokens with `services`: what is added here must be so.
    insta::assert_snapshot!(about_the_gateway.join("\n"), @r"
GET /api/v1/status
POST /api/v1/canaries/unknown/restore
POST /api/v1/reload
GET /api/v1/log
PUT /api/v1/log
DELETE /api/v1/log
POST /api/v1/sources/{name}/refresh
POST /api/v1/sources/{name}/accept
GET /api/v1/segments
GET /api/v1/segments/{name}
PUT /api/v1/segments/{name}
DELETE /api/v1/segments/{name}
POST /api/v1/exposures/forget
");
}
