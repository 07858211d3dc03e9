//! `deploy/compose.yaml` against what it puts together: names, ports, secrets and files fit, and its parts do together
//! what its comments promise.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::harness::unleash::{ADMIN, TOKEN};
use crate::harness::{Origin, Setup, Unleash, eventually, serin};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).expect(path)
}

fn compose() -> Value {
    serde_saphyr::from_str(&read("deploy/compose.yaml")).expect("YAML")
}

fn routes() -> Value {
    serde_saphyr::from_str(&read(ROUTES)).expect("YAML")
}

const ROUTES: &str = "deploy/compose/routes.yaml";

fn texts(value: &Value) -> Vec<&str> {
    let values = value.as_array().expect("a list").iter();
    values
        .map(|value| value.as_str().expect("a text"))
        .collect()
}

#[test]
fn what_it_mounts_is_there_and_its_ports_are_this_machines() {
    let compose = compose();
    let services = compose["services"].as_object().expect("services");
    let names: Vec<&str> = services.keys().map(String::as_str).collect();
    let expected = [
        "canary",
        "database",
        "product-team",
        "serin",
        "stable",
        "unleash",
    ];
    assert_eq!(names, expected);
    for (name, service) in services {
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let volume = volume.as_str().expect("a volume");
            let (from, to) = volume.split_once(':').expect("two sides");
            match from.starts_with('.') {
                true => assert!(root().join("deploy").join(from).exists(), "{name}: {from}"),
                false => assert!(compose["volumes"].get(from).is_some(), "{name}: {from}"),
            }
            assert!(to.starts_with('/'), "{name}: {to}");
        }
        for port in service["ports"].as_array().into_iter().flatten() {
            let port = port.as_str().expect("a port");
            assert!(port.starts_with("127.0.0.1:"), "{name}: {port}");
        }
        let after = service["depends_on"].as_object();
        for other in after.into_iter().flat_map(|after| after.keys()) {
            assert!(
                services[other]["healthcheck"].is_object(),
                "{name} after {other}"
            );
        }
    }
    // As the image's own tests have it: its entry point reads /etc/serin/routes.yaml.
    let serin = &services["serin"];
    let volumes = texts(&serin["volumes"]);
    assert!(volumes.contains(&"./compose:/etc/serin:ro"), "{volumes:?}");
    let state = routes()["server"]["state_dir"].clone();
    let state = format!("serin-state:{}", state.as_str().expect("a path"));
    assert!(volumes.contains(&state.as_str()), "{volumes:?}");
}

#[test]
fn its_parts_know_each_other() {
    let (compose, routes) = (compose(), routes());
    let services = &compose["services"];
    let env = |service: &str, name: &str| {
        let value = services[service]["environment"][name].as_str();
        value
            .unwrap_or_else(|| panic!("{name} of {service}"))
            .to_owned()
    };
    let pins: Value = serde_json::from_str(&read("tests/unleash/package.json")).expect("JSON");
    let tested = pins["dependencies"]["unleash-server"]
        .as_str()
        .expect("a version");
    let image = format!("unleashorg/unleash-server:{tested}");
    assert_eq!(services["unleash"]["image"], image);
    assert_eq!(
        env("serin", "UNLEASH_TOKEN"),
        env("unleash", "INIT_BACKEND_API_TOKENS")
    );
    let admin = env("product-team", "UNLEASH_ADMIN_TOKEN");
    assert_eq!(admin, env("unleash", "INIT_ADMIN_API_TOKENS"));
    let (user, password) = (
        env("database", "POSTGRES_USER"),
        env("database", "POSTGRES_PASSWORD"),
    );
    let database = env("database", "POSTGRES_DB");
    let url = format!("postgres://{user}:{password}@database/{database}");
    assert_eq!(env("unleash", "DATABASE_URL"), url);

    let [_, _, unleash, flag, canary] = texts(&services["product-team"]["command"])[..] else {
        panic!("five words");
    };
    assert_eq!(routes["unleash"]["url"], format!("{unleash}/api"));
    assert_eq!(unleash, "http://unleash:4242");
    assert!(flag.starts_with("search."), "{flag}");
    for (name, url) in [
        ("stable", &routes["services"]["search"]["stable"]),
        ("canary", &canary.into()),
    ] {
        let [_, _, named, port, "0.0.0.0"] = texts(&services[name]["command"])[..] else {
            panic!("{name} listens where the others reach it");
        };
        assert_eq!(
            (named, url),
            (name, &format!("http://{name}:{port}").into())
        );
    }
    assert_eq!(texts(&routes["canary_urls"]["allow"]), ["canary"]);
    let admin = routes["admin"]
        .as_str()
        .and_then(|address| address.split_once(':'));
    let (_, port) = admin.expect("an address");
    let ports = texts(&services["serin"]["ports"]);
    assert_eq!(
        ports,
        [
            "127.0.0.1:8080:8080".to_owned(),
            format!("127.0.0.1:{port}:{port}")
        ]
    );
}

#[test]
fn its_routes_are_valid() {
    let mut check = serin(["check", root().join(ROUTES).to_str().expect("a path")]);
    let output = check.env("UNLEASH_TOKEN", TOKEN).output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test]
async fn half_of_the_users_are_on_the_canary_that_it_opens() {
    let unleash = Unleash::shared().await;
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let compose = compose();
    let server = format!("http://{}", unleash.address());
    let [_, script, _, flag, _] = texts(&compose["services"]["product-team"]["command"])[..] else {
        panic!("five words");
    };
    let script = script.replace("/opt", "deploy/compose");
    for said in ["is open to half of all users", "is there already"] {
        let output = Command::new("python3")
            .args([&script, &server, flag, &canary.url()])
            .current_dir(root())
            .env("UNLEASH_ADMIN_TOKEN", ADMIN)
            .output()
            .expect("python3 runs");
        assert!(output.status.success(), "{output:?}");
        assert!(
            String::from_utf8_lossy(&output.stdout).contains(said),
            "{output:?}"
        );
    }

    let config = read(ROUTES)
        .replace("http://stable:9001", &stable.url())
        .replace("http://unleash:4242", &server)
        .replace("allow: [canary]", "allow: [127.0.0.0/8]")
        .replace("poll: 5s", "poll: 1s")
        .replace("admin: 0.0.0.0:9900", "admin: 127.0.0.1:0")
        .replace("/var/lib/serin", "state");
    let gateway = Setup::new(config).env("UNLEASH_TOKEN", TOKEN).start().await;
    let on_canary = || async {
        let mut count = 0;
        for user in 0..100 {
            let answer = gateway.get_as(&format!("u{user}"), "/search").await;
            count += usize::from(answer.origin() == "canary");
        }
        count
    };
    // The flag may arrive while they are counted.
    eventually("users on the canary", || async {
        (on_canary().await > 0).then_some(())
    })
    .await;
    let count = on_canary().await;
    assert!((35..65).contains(&count), "{count} of 100");
}
