//! A real Unleash server with a real PostgreSQL (`scripts/unleash`), and its admin API, spoken to as its UI speaks.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use http::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use socket2::Socket;
use tokio::net::TcpStream;
use tokio::sync::OnceCell;

use super::client::{self, Call};
use super::{Lines, get, origin};

/// The token of an administrator.
pub(crate) const ADMIN: &str = "*:*.admin";
/// The token of a gateway: project `default`, environment `production`.
pub(crate) const TOKEN: &str = "default:production.backend";
/// Where the flags of the only project are.
const FLAGS: &str = "/api/admin/projects/default/features";
/// How long a server may take to start: three seconds by itself, more beside a whole test run on two cores.
const STARTING: Duration = Duration::from_secs(90);

/// A running server; it, its database and all their data are gone when this is dropped, or the process has ended.
pub(crate) struct Unleash {
    address: SocketAddr,
    /// Bound, but never listening: while the server is stopped, its port refuses connections and is given to nobody.
    _reserved: Socket,
    script: Child,
    /// Keeps the servers running; takes orders.
    orders: Option<ChildStdin>,
    said: Lines,
    log: Lines,
}

impl Unleash {
    /// The one that all tests share whose subject is not the server's own end. Their flags have names of their own.
    pub(crate) async fn shared() -> &'static Self {
        // A static is never dropped: the script ends when this process does, since then its input has ended.
        static SHARED: OnceCell<Unleash> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    /// Starts one.
    pub(crate) async fn start() -> Self {
        let reserved = origin::bind((Ipv4Addr::LOCALHOST, 0).into());
        let address = reserved
            .local_addr()
            .ok()
            .and_then(|address| address.as_socket())
            .expect("an address");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/unleash");
        let mut script = Command::new(script)
            .arg(address.port().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("scripts/unleash runs");
        let mut unleash = Self {
            address,
            _reserved: reserved,
            orders: script.stdin.take(),
            said: Lines::of(script.stdout.take().expect("a pipe")),
            log: Lines::of(script.stderr.take().expect("a pipe")),
            script,
        };
        unleash.await_health().await;
        unleash
    }

    async fn await_health(&mut self) {
        let begun = Instant::now();
        while !self.is_healthy().await {
            let ended = self.script.try_wait().expect("a child");
            assert!(
                ended.is_none() && begun.elapsed() < STARTING,
                "no Unleash (exit {ended:?}; scripts/install-test-deps installs it):\n{}",
                self.log.text()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn is_healthy(&self) -> bool {
        // While it starts it refuses; it answers from the moment that it listens.
        TcpStream::connect(self.address).await.is_ok() && self.call(get("/health")).await.0 == 200
    }

    /// Its address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of its API, as `routes.yaml` names it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/api", self.address)
    }

    /// Stops it where it is; the kernel goes on to accept connections for it.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let said = self.said.text();
        let last = said
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix("pid "));
        let pid = last.and_then(|pid| Pid::from_raw(pid.parse().ok()?));
        kill_process(pid.expect("a process ID"), signal).expect("a process of ours");
    }

    /// Ends it, as an operator would. Its database stays.
    pub(crate) async fn stop(&mut self) {
        self.order("stop");
        let begun = Instant::now();
        while !self.said.text().ends_with("stopped") {
            assert!(begun.elapsed() < STARTING, "it does not end");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Starts it again, on its port and its database.
    pub(crate) async fn restart(&mut self) {
        self.order("start");
        self.await_health().await;
    }

    fn order(&mut self, order: &str) {
        let orders = self.orders.as_mut().expect("open until it is dropped");
        writeln!(orders, "{order}").expect("the script listens");
    }

    /// Sends a request as an administrator: the status, and the body as JSON, null when it is none.
    async fn call(&self, call: Call) -> (u16, Value) {
        let call = call.header("authorization", ADMIN);
        let answer = client::send(self.address, call).await;
        let body = serde_json::from_slice(&answer.body).unwrap_or_default();
        (answer.status, body)
    }

    /// The same with a JSON body, unless it is null; fails unless the server says that all is well.
    async fn tell(&self, method: Method, path: &str, body: &Value) -> Value {
        let mut call = Call::new(method.clone(), path);
        if !body.is_null() {
            call = call.header("content-type", "application/json");
            call = call.body(body.to_string());
        }
        let (status, answer) = self.call(call).await;
        assert!(
            (200..300).contains(&status),
            "{method} {path}: {status} {answer:#}"
        );
        answer
    }

    /// Fails unless the server has it.
    async fn ask(&self, path: &str) -> Value {
        let (status, answer) = self.call(get(path)).await;
        assert_eq!(status, 200, "{path}: {answer:#}");
        answer
    }

    /// Creates a flag; it is off, and has no strategy.
    pub(crate) async fn create_flag(&self, flag: &str) {
        let body = json!({ "name": flag, "type": "release", "impressionData": false });
        self.tell(Method::POST, FLAGS, &body).await;
    }

    /// Creates a flag with one strategy, and turns it on.
    pub(crate) async fn open(&self, flag: &str, strategy: Value) -> Strategy {
        self.create_flag(flag).await;
        let strategy = self.add_strategy(flag, strategy).await;
        self.turn(flag, true).await;
        strategy
    }

    /// Turns a flag on or off.
    pub(crate) async fn turn(&self, flag: &str, on: bool) {
        let on = if on { "on" } else { "off" };
        let path = format!("{FLAGS}/{flag}/environments/production/{on}");
        self.tell(Method::POST, &path, &Value::Null).await;
    }

    /// Adds a strategy to a flag.
    pub(crate) async fn add_strategy(&self, flag: &str, strategy: Value) -> Strategy {
        let path = format!("{FLAGS}/{flag}/environments/production/strategies");
        let added = self.tell(Method::POST, &path, &strategy).await;
        Strategy(format!("{path}/{}", added["id"].as_str().expect("an ID")))
    }

    /// Changes a strategy.
    pub(crate) async fn change(&self, strategy: &Strategy, to: Value) {
        self.tell(Method::PUT, &strategy.0, &to).await;
    }

    /// Removes a strategy.
    pub(crate) async fn remove(&self, strategy: &Strategy) {
        self.tell(Method::DELETE, &strategy.0, &Value::Null).await;
    }

    /// Makes a flag depend on another's being on.
    pub(crate) async fn depend(&self, flag: &str, parent: &str) {
        let path = format!("{FLAGS}/{flag}/dependencies");
        let body = json!({ "feature": parent, "enabled": true });
        self.tell(Method::POST, &path, &body).await;
    }

    /// Archives flags: clients are not told of them any more.
    pub(crate) async fn archive(&self, flags: &[&str]) {
        let body = json!({ "features": flags });
        self.tell(Method::POST, "/api/admin/projects/default/archive", &body)
            .await;
    }

    /// A flag as its UI shows it, an archived one not; without what the server itself adds to a flag in the course of time.
    pub(crate) async fn flag(&self, flag: &str) -> Option<Value> {
        let (status, mut answer) = self.call(get(&format!("{FLAGS}/{flag}"))).await;
        if status != 200 {
            return None;
        }
        let environments = answer["environments"].as_array_mut();
        for environment in environments.into_iter().flatten() {
            forget(environment, &["lastSeenAt", "yes", "no"]);
        }
        forget(&mut answer, &["lastSeenAt", "lifecycle"]);
        Some(answer)
    }

    /// A flag's tags, also of an archived one.
    pub(crate) async fn tags(&self, flag: &str) -> Value {
        self.ask(&format!("/api/admin/features/{flag}/tags")).await["tags"].clone()
    }

    /// Changes parts of a strategy, by its title.
    pub(crate) async fn patch_strategy(&self, flag: &str, title: &str, patch: Value) {
        let path = format!("{FLAGS}/{flag}/environments/production");
        let strategies = self.ask(&path).await["strategies"].clone();
        let mut strategies = strategies.as_array().expect("strategies").iter();
        let found = strategies.find(|one| one["title"] == title);
        let id = found.and_then(|one| one["id"].as_str()).expect("an ID");
        self.tell(Method::PATCH, &format!("{path}/strategies/{id}"), &patch)
            .await;
    }

    /// How many events there have been about a flag.
    pub(crate) async fn events(&self, flag: &str) -> usize {
        let path = format!("/api/admin/events/{flag}");
        let events = self.ask(&path).await;
        events["events"].as_array().expect("events").len()
    }

    /// Creates a segment and says its ID.
    pub(crate) async fn create_segment(&self, name: &str, constraints: Value) -> u64 {
        let body = json!({ "name": name, "constraints": constraints });
        let segment = self.tell(Method::POST, "/api/admin/segments", &body).await;
        segment["id"].as_u64().expect("an ID")
    }

    /// Gives a segment other constraints.
    pub(crate) async fn change_segment(&self, id: u64, name: &str, constraints: Value) {
        let path = format!("/api/admin/segments/{id}");
        let body = json!({ "name": name, "constraints": constraints });
        self.tell(Method::PUT, &path, &body).await;
    }

    /// What a gateway is told.
    pub(crate) async fn features(&self) -> Value {
        let call = get("/api/client/features").header("unleash-client-spec", "5.2.0");
        let answer = client::send(self.address, call.header("authorization", TOKEN)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// Evaluates every flag for every combination of the context's values, which are lists with commas.
    pub(crate) async fn playground(&self, context: Value) -> Value {
        let body =
            json!({ "environments": ["production"], "projects": ["default"], "context": context });
        self.tell(Method::POST, "/api/admin/playground/advanced", &body)
            .await
    }

    /// How often this application said that a flag was on, off, and which variants it gave: the last hours' sums.
    pub(crate) async fn usage(&self, flag: &str, application: &str) -> Usage {
        let path = format!("/api/admin/client-metrics/features/{flag}/raw");
        let answer = self.ask(&path).await;
        let mut usage = Usage::default();
        for bucket in answer["data"].as_array().expect("buckets") {
            if bucket["appName"] == application && bucket["environment"] == "production" {
                usage.yes += bucket["yes"].as_u64().expect("a number");
                usage.no += bucket["no"].as_u64().expect("a number");
                let variants = bucket["variants"].as_object();
                for (name, count) in variants.into_iter().flatten() {
                    *usage.variants.entry(name.clone()).or_default() +=
                        count.as_u64().expect("a number");
                }
            }
        }
        usage
    }

    /// Reports that a flag was on for somebody, as another application.
    pub(crate) async fn count(&self, flag: &str, application: &str) {
        let now = jiff::Timestamp::now().to_string();
        let toggles = json!({ flag: { "yes": 1, "no": 0, "variants": {} } });
        let bucket = json!({ "start": now, "stop": now, "toggles": toggles });
        let body = json!({ "appName": application, "instanceId": "one", "bucket": bucket });
        let call = client::post("/api/client/metrics", body.to_string())
            .header("content-type", "application/json")
            .header("authorization", TOKEN);
        let answer = client::send(self.address, call).await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }

    /// What the server knows of an application, once it knows it.
    pub(crate) async fn application(&self, name: &str) -> Option<Value> {
        let path = format!("/api/admin/metrics/applications/{name}");
        let (status, answer) = self.call(get(&path)).await;
        (status == 200).then_some(answer)
    }
}

impl Drop for Unleash {
    fn drop(&mut self) {
        drop(self.orders.take());
        let begun = Instant::now();
        while let Ok(None) = self.script.try_wait() {
            if begun.elapsed() > super::DEADLINE {
                let _ = self.script.kill();
                let _ = self.script.wait();
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A strategy of a flag, as the admin API names it.
pub(crate) struct Strategy(String);

/// What an application has reported of a flag.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) yes: u64,
    pub(crate) no: u64,
    pub(crate) variants: std::collections::BTreeMap<String, u64>,
}

/// A gradual rollout by user ID.
pub(crate) fn rollout(flag: &str, percent: u8) -> Value {
    json!({
        "name": "flexibleRollout", "constraints": [], "segments": [], "variants": [],
        "parameters": { "rollout": percent.to_string(), "stickiness": "userId", "groupId": flag },
    })
}

/// A condition on a field of the context.
pub(crate) fn constraint(field: &str, operator: &str, values: &[&str]) -> Value {
    json!({
        "contextName": field, "operator": operator, "values": values,
        "inverted": false, "caseInsensitive": false,
    })
}

/// A variant whose payload is where its deployment is; without a URL, one without a payload. The first is the
/// variable one, which takes what the others leave.
pub(crate) fn variants(of: &[(&str, u16, Option<&str>)]) -> Value {
    let variant = |(index, (name, weight, url)): (usize, &(&str, u16, Option<&str>))| {
        let kind = if index == 0 { "variable" } else { "fix" };
        let mut variant =
            json!({ "name": name, "weight": weight, "weightType": kind, "stickiness": "userId" });
        if let Some(url) = url {
            let value = json!({ "url": url }).to_string();
            variant["payload"] = json!({ "type": "json", "value": value });
        }
        variant
    };
    of.iter().enumerate().map(variant).collect()
}

/// The strategy of most tests: so many percent of the users go to the one canary at this URL.
pub(crate) fn canary(flag: &str, percent: u8, url: &str) -> Value {
    let mut strategy = rollout(flag, percent);
    strategy["variants"] = variants(&[("canary", 1000, Some(url))]);
    strategy
}

/// Takes members out of an object.
fn forget(object: &mut Value, members: &[&str]) {
    if let Some(object) = object.as_object_mut() {
        object.retain(|name, _| !members.contains(&name.as_str()));
    }
}
