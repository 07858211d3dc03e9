//! `deploy/` against the binary: flags, ports, paths, probes and times are the ones that there are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::harness::redis::Redis;
use crate::harness::{Dns, Gateway, Setup, get, run_serin, serin};

/// Where all three ways of deploying keep the configuration.
const CONFIG: &str = "/etc/serin/routes.yaml";
/// `server.shutdown_delay` and `server.shutdown_grace`, unless a file says otherwise.
const DRAIN: Duration = Duration::from_secs(5 + 30);
/// The user of distroless images' `nonroot` tags.
const NONROOT: u64 = 65532;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn yaml(name: &str) -> Value {
    serde_saphyr::from_str(&read(&format!("deploy/kubernetes/{name}"))).expect(name)
}

/// Fails unless the binary takes these arguments: it gets as far as reading the file, here an invalid one.
fn assert_runs<S: AsRef<str>>(args: &[S]) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("routes.yaml");
    std::fs::write(&file, "services: {}\n").expect("a file");
    let args = args.iter().map(AsRef::as_ref);
    let args: Vec<&str> = args
        .map(|arg| match arg {
            CONFIG => file.to_str().expect("a path"),
            other => other,
        })
        .collect();
    assert!(args.contains(&file.to_str().expect("a path")), "{args:?}");
    assert_eq!(run_serin(&args).status.code(), Some(78), "{args:?}");
}

fn seconds(text: &str) -> Duration {
    let number = text.strip_suffix('s').expect("seconds");
    Duration::from_secs(number.parse().expect("a number"))
}

/// The instructions of the Dockerfile's last stage, and the lines before it.
fn dockerfile() -> (Vec<(String, String)>, String) {
    let text = read("deploy/Dockerfile");
    let at = text.rfind("\nFROM ").expect("a last stage") + 1;
    let (before, last) = text.split_at(at);
    let instruction = |line: &str| {
        let (name, value) = line.split_once(' ').expect("an instruction");
        (name.to_owned(), value.trim().to_owned())
    };
    let lines = last
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    (lines.map(instruction).collect(), before.to_owned())
}

fn all<'a>(stage: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    let named = stage.iter().filter(|(instruction, _)| instruction == name);
    named.map(|(_, value)| value.as_str()).collect()
}

fn one<'a>(stage: &'a [(String, String)], name: &str) -> &'a str {
    let found = all(stage, name);
    assert_eq!(found.len(), 1, "{name}: {found:?}");
    found[0]
}

#[test]
fn the_image_runs_the_binary_as_nobody_special() {
    let (stage, before) = dockerfile();
    let manifest = read("Cargo.toml");
    let rust = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = "))
        .expect("a version")
        .trim_matches('"');
    assert!(before.contains(&format!("FROM rust:{rust}-bookworm AS build")));
    assert!(before.contains("cargo build --release --locked"));
    // Debian 12 on both sides: the binary's C library is the one that it was linked with.
    assert_eq!(one(&stage, "FROM"), "gcr.io/distroless/cc-debian12:nonroot");
    assert_eq!(one(&stage, "USER"), format!("{NONROOT}:{NONROOT}"));
    assert_eq!(one(&stage, "EXPOSE"), "8080 9900 9901");
    assert_eq!(one(&stage, "STOPSIGNAL"), "SIGTERM");

    let list = |name| -> Vec<String> { serde_json::from_str(one(&stage, name)).expect(name) };
    let entry = list("ENTRYPOINT");
    assert_eq!(entry.len(), 1);
    let copied = all(&stage, "COPY");
    assert!(copied.contains(&format!("--from=build /out/serin {}", entry[0]).as_str()));
    let state = format!("--from=build --chown={NONROOT}:{NONROOT} /out/state /var/lib/serin");
    assert!(copied.contains(&state.as_str()), "{copied:?}");
    assert_eq!(one(&stage, "WORKDIR"), "/var/lib/serin");
    assert_runs(&list("CMD"));
}

#[test]
fn the_image_is_built_from_what_the_build_reads() {
    let ignored = read(".dockerignore");
    let lines: Vec<&str> = ignored
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    assert_eq!(lines[0], "*", "everything is left out that is not named");
    let named: Vec<&str> = lines[1..].iter().map(|line| &line[1..]).collect();
    assert!(lines[1..].iter().all(|line| line.starts_with('!')));
    for name in &named {
        assert!(root().join(name).exists(), "{name}");
    }
    // Cargo refuses a manifest with a target that it cannot find.
    let folder = tempfile::tempdir().expect("a folder");
    for name in named {
        std::os::unix::fs::symlink(root().join(name), folder.path().join(name)).expect("a link");
    }
    let metadata = std::process::Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--locked",
            "--format-version",
            "1",
        ])
        .current_dir(folder.path())
        .output()
        .expect("cargo runs");
    assert!(
        metadata.status.success(),
        "{}",
        String::from_utf8_lossy(&metadata.stderr)
    );
}

/// The unit's keys with their values, in order.
fn unit() -> BTreeMap<String, Vec<String>> {
    let text = read("deploy/serin.service");
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with(['#', '['])) {
        if let Some((key, value)) = line.split_once('=') {
            keys.entry(key.to_owned())
                .or_default()
                .push(value.to_owned());
        }
    }
    keys
}

#[test]
fn the_unit_starts_reloads_and_stops_the_binary() {
    let unit = unit();
    let one = |key: &str| -> &str {
        let values = unit.get(key).unwrap_or_else(|| panic!("{key} is missing"));
        assert_eq!(values.len(), 1, "{key}");
        &values[0]
    };
    let command = |line: &str| -> Vec<String> {
        let mut words = line.split(' ').map(str::to_owned);
        assert_eq!(
            words.next().as_deref(),
            Some("/usr/local/bin/serin"),
            "{line}"
        );
        words.collect()
    };
    assert_eq!((one("Type"), one("NotifyAccess")), ("notify", "all"));
    assert_runs(&command(one("ExecStart")));
    let [check, hangup] = unit["ExecReload"].as_slice() else {
        panic!("two commands: {:?}", unit["ExecReload"]);
    };
    assert_eq!(command(check), ["check", CONFIG]);
    assert_eq!(hangup, "/bin/kill -HUP $MAINPID");
    assert!(seconds(one("TimeoutStopSec")) > DRAIN);
    // What `assert_runs` has just seen an invalid file end with.
    assert_eq!(one("RestartPreventExitStatus"), "78");
    // A connection of a client and one of an upstream, for the 20,000 that are the default.
    assert!(one("LimitNOFILE").parse::<u32>().expect("a number") > 2 * 20_000);
    assert_eq!(
        (one("StateDirectory"), one("WorkingDirectory")),
        ("serin", "%S/serin")
    );
    for key in [
        "DynamicUser",
        "NoNewPrivileges",
        "PrivateTmp",
        "MemoryDenyWriteExecute",
    ] {
        assert_eq!(one(key), "yes", "{key}");
    }
    assert_eq!(
        (one("ProtectSystem"), one("CapabilityBoundingSet")),
        ("strict", "")
    );
}

/// The file that the ConfigMap is made of.
const ROUTES: &str = "deploy/kubernetes/routes.yaml";

#[test]
fn the_kustomization_names_what_there_is() {
    let kustomization = yaml("kustomization.yaml");
    let folder = root().join("deploy/kubernetes");
    let resources = kustomization["resources"].as_array().expect("resources");
    assert_eq!(resources.len(), 6);
    for resource in resources {
        let resource = resource.as_str().expect("a name");
        let document = yaml(resource);
        let name = match resource {
            "service-pods.yaml" => "serin-pods",
            "service-admin.yaml" => "serin-admin",
            _ => "serin",
        };
        assert_eq!(document["metadata"]["name"], name, "{resource}");
        assert_eq!(document["metadata"]["labels"], labels(), "{resource}");
    }
    assert_eq!(
        yaml("poddisruptionbudget.yaml")["spec"]["selector"]["matchLabels"],
        labels()
    );
    let generator = &kustomization["configMapGenerator"][0];
    assert_eq!(generator["name"], "serin");
    assert_eq!(generator["options"]["disableNameSuffixHash"], true);
    assert_eq!(generator["files"], serde_json::json!(["routes.yaml"]));
    assert!(folder.join("routes.yaml").exists());
    assert_eq!(kustomization["images"][0]["name"], container()["image"]);
    assert_eq!(
        kustomization["images"][0]["newTag"],
        env!("CARGO_PKG_VERSION")
    );
}

fn labels() -> Value {
    serde_json::json!({ "app.kubernetes.io/name": "serin" })
}

fn pod() -> Value {
    yaml("statefulset.yaml")["spec"]["template"]["spec"].clone()
}

fn container() -> Value {
    pod()["containers"][0].clone()
}

#[test]
fn the_pods_run_the_image_without_privileges() {
    let set = yaml("statefulset.yaml");
    assert_eq!(set["kind"], "StatefulSet");
    assert_eq!(set["spec"]["selector"]["matchLabels"], labels());
    assert_eq!(
        set["spec"]["serviceName"],
        yaml("service-pods.yaml")["metadata"]["name"]
    );
    assert_eq!(set["spec"]["template"]["metadata"]["labels"], labels());
    let (pod, container) = (pod(), container());
    let args: Vec<String> = serde_json::from_value(container["args"].clone()).expect("args");
    assert_runs(&args);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["runAsUser"], NONROOT);
    let security = &container["securityContext"];
    assert_eq!(security["readOnlyRootFilesystem"], true);
    assert_eq!(security["allowPrivilegeEscalation"], false);
    assert_eq!(security["capabilities"]["drop"], serde_json::json!(["ALL"]));

    // The ConfigMap's folder is mounted whole: a subPath would never see an edit.
    let mounts = container["volumeMounts"].as_array().expect("mounts");
    let mount = |name: &str| {
        mounts
            .iter()
            .find(|mount| mount["name"] == name)
            .expect("a mount")
    };
    let folder = Path::new(CONFIG).parent().and_then(Path::to_str);
    assert_eq!(mount("config")["mountPath"].as_str(), folder);
    assert_eq!(mount("config")["subPath"], Value::Null);
    assert_eq!(pod["volumes"][0]["configMap"]["name"], "serin");
    // State is on a volume that outlives the pod, and nothing of it is in one that does not.
    let claim = &set["spec"]["volumeClaimTemplates"][0];
    assert_eq!(claim["metadata"]["name"], "state");
    assert_eq!(
        claim["spec"]["accessModes"],
        serde_json::json!(["ReadWriteOnce"])
    );
    assert_eq!(pod["volumes"].as_array().map(Vec::len), Some(1));
    let routes: Value = serde_saphyr::from_str(&read(ROUTES)).expect("YAML");
    assert_eq!(mount("state")["mountPath"], routes["server"]["state_dir"]);

    // The pod is killed only after the drain's time.
    let time = |key: &str| seconds(routes["server"][key].as_str().expect("a time"));
    let grace = pod["terminationGracePeriodSeconds"]
        .as_u64()
        .expect("a number");
    assert!(Duration::from_secs(grace) > time("shutdown_delay") + time("shutdown_grace"));
}

/// The number of a port of the container.
fn port(name: &str) -> String {
    let container = container();
    let ports = container["ports"].as_array().expect("ports");
    let mut ports = ports.iter().filter(|port| port["name"] == name);
    ports.next().expect("a port")["containerPort"].to_string()
}

/// The variables that the pods get from Secrets, by name: the Secret's name and the key in it.
fn secrets() -> BTreeMap<String, (String, String)> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let env = container()["env"].clone();
    let variables = env.as_array().expect("variables").iter().map(|variable| {
        assert!(variable["value"].is_null(), "a value stands in the file");
        let secret = &variable["valueFrom"]["secretKeyRef"];
        let place = (text(&secret["name"]), text(&secret["key"]));
        (text(&variable["name"]), place)
    });
    variables.collect()
}

/// A value for each of these variables.
fn values(redis: &str) -> Vec<(String, String)> {
    let value = |name: &str| match name {
        "REDIS_URL" => redis.to_owned(),
        name => token(name),
    };
    let names = secrets().into_keys();
    names.map(|name| (name.clone(), value(&name))).collect()
}

fn token(variable: &str) -> String {
    format!("the-token-of-{variable}")
}

/// The pods' gateway, as far as it runs without a cluster: beside DNS and Redis.
struct Pod {
    gateway: Gateway,
    _beside: (Dns, Redis),
}

impl Pod {
    async fn start() -> Self {
        let (dns, redis) = (Dns::start().await, Redis::start().await);
        let secrets = values(&redis.url());
        let checked = serin(["check", root().join(ROUTES).to_str().expect("a path")])
            .envs(secrets.clone())
            .output()
            .expect("the binary runs");
        assert!(checked.status.success(), "{checked:?}");
        let said = String::from_utf8_lossy(&checked.stdout);
        // The network policy keeps others from reading them.
        let in_the_clear = said.contains("tokens reach this address in the clear");
        assert!(in_the_clear && said.contains(": 1 warning"), "{checked:?}");
        let (http, probes, admin) = (port("http"), port("probes"), port("admin"));
        let here = read(ROUTES)
            .replace(&format!("0.0.0.0:{http}"), "127.0.0.1:0")
            .replace(&format!("0.0.0.0:{admin}"), "127.0.0.1:0")
            .replace(&format!("0.0.0.0:{probes}"), "0.0.0.0:0")
            .replace("shutdown_delay: 5s", "shutdown_delay: 1ms")
            .replace("/var/lib/serin", "state");
        let setup = Setup::new(here).dns(&dns);
        let setup = secrets
            .iter()
            .fold(setup, |setup, (name, value)| setup.env(name, value));
        Self {
            gateway: setup.start().await,
            _beside: (dns, redis),
        }
    }
}

#[tokio::test]
async fn the_pods_answer_probes_and_scrapers() {
    let routes: Value = serde_saphyr::from_str(&read(ROUTES)).expect("YAML");
    let (http, probes) = (port("http"), port("probes"));
    assert_eq!(routes["listeners"][0], format!("0.0.0.0:{http}"));
    assert_eq!(routes["admin"]["probes"], format!("0.0.0.0:{probes}"));
    // The port is the client's own default.
    assert_eq!(port("admin"), "9900");
    assert_eq!(routes["admin"]["address"], "0.0.0.0:9900");
    assert_eq!(
        yaml("service.yaml")["spec"]["ports"][0]["targetPort"],
        "http"
    );
    assert_eq!(yaml("service.yaml")["spec"]["selector"], labels());
    let set = yaml("statefulset.yaml");
    let scraped = &set["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(scraped["prometheus.io/port"], probes);

    let policy = &yaml("networkpolicy.yaml")["spec"];
    assert_eq!(policy["podSelector"]["matchLabels"], labels());
    assert_eq!(policy["policyTypes"], serde_json::json!(["Ingress"]));
    let [traffic, metrics, admin] = policy["ingress"].as_array().expect("rules").as_slice() else {
        panic!("three rules: {policy}");
    };
    assert_eq!(traffic["ports"][0]["port"], "http");
    assert_eq!(traffic["from"], Value::Null);
    assert_eq!(metrics["ports"][0]["port"], "probes");
    assert_eq!(admin["ports"][0]["port"], "admin");
    for rule in [metrics, admin] {
        assert!(rule["from"][0]["namespaceSelector"].is_object(), "{rule}");
    }

    let Pod { gateway, _beside } = Pod::start().await;
    let mut paths = vec![scraped["prometheus.io/path"].clone()];
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let get = &container()[probe]["httpGet"];
        assert_eq!(get["port"], "probes", "{probe}");
        paths.push(get["path"].clone());
    }
    let address = gateway.probes_address();
    for path in paths {
        let path = path.as_str().expect("a path");
        let answer = crate::harness::client::send(address, get(path)).await;
        assert_eq!(answer.status, 200, "{path}");
    }
    let status = get("/api/v1/status").host("localhost");
    let platform = format!("Bearer {}", token("SERIN_TOKEN"));
    let status = status.header("authorization", &platform);
    let answer = crate::harness::client::send(address, status).await;
    assert_eq!(answer.status, 404, "{answer:?}");
}

/// What `kubectl exec POD -- serin …` does, with the variables that the pod has.
#[tokio::test]
async fn a_command_within_the_pod_operates_the_gateway() {
    let Pod { gateway, _beside } = Pod::start().await;
    let admin = format!("http://{}", gateway.admin_address());
    let ask = |command: &[&str]| {
        let output = serin(command.iter().chain(&["--admin", &admin]))
            .envs(values("redis://127.0.0.1:1"))
            .output()
            .expect("the binary runs");
        assert!(output.status.success(), "{command:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    let user = ["--user", "alice", "--path", "/search"];
    let explain = || ask(&[&["explain"][..], &user].concat());
    assert!(explain().contains("search.ranker-v2"), "{}", explain());
    let killed = ask(&["canary", "kill", "search", "search.ranker-v2"]);
    assert!(killed.contains("is killed"), "{killed}");
    assert!(explain().contains("killed"), "{}", explain());
    let restored = ask(&["canary", "restore", "search", "search.ranker-v2"]);
    assert!(restored.contains("is restored"), "{restored}");
    let status = ask(&["status"]);
    assert!(status.contains(": shared, read "), "{status}");
    let reloaded = ask(&["reload"]);
    assert!(reloaded.contains("nothing has changed"), "{reloaded}");
    let status: Value = serde_json::from_str(&ask(&["status", "--json"])).expect("JSON");
    assert_eq!(status["last_reload"]["cause"], "api");
    let without = gateway.ask(&["status"]);
    assert_eq!(without.status.code(), Some(1), "{without:?}");
}

/// Pipelines ask by the names that their files have, with the tokens that the Secrets hold.
#[tokio::test]
async fn pipelines_reach_the_admin_api_with_their_tokens() {
    let service = yaml("service-admin.yaml");
    assert_eq!(service["spec"]["selector"], labels());
    assert_eq!(service["spec"]["ports"][0]["targetPort"], "admin");
    assert_eq!(
        service["spec"]["ports"][0]["port"].to_string(),
        port("admin")
    );
    let how = read("deploy/kubernetes/kustomization.yaml");
    for (name, key) in secrets().values() {
        let lines = how.lines();
        let mut made = lines.filter(|line| line.contains(&format!("secret generic {name} ")));
        let made = made.next().expect("a command that makes the Secret");
        assert!(made.contains(&format!("--from-literal={key}=")), "{made}");
    }

    let sidecar = read("deploy/pipelines/sidecar.yaml");
    let at = sidecar.split("http://").find(|url| url.contains(":9900"));
    let host = at.and_then(|at| at.split('"').next()).expect("a URL");
    let Pod { gateway, _beside } = Pod::start().await;
    let list = |host: &str, variable: &str| {
        let call = get("/api/v1/services/search/canaries").host(host);
        let call = call.header("authorization", &format!("Bearer {}", token(variable)));
        crate::harness::client::send(gateway.admin_address(), call)
    };
    assert_eq!(list(host, "CI_SEARCH_TOKEN").await.status, 200);
    assert_eq!(list(host, "SERIN_TOKEN").await.status, 200);
    assert_eq!(list(host, "REDIS_URL").await.status, 401);
    assert_eq!(list("rebound.example.com", "SERIN_TOKEN").await.status, 421);
}
