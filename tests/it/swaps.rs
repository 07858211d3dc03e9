//! A thousand snapshots under load, and a thousand ways to change a file: no request fails, none sees two
//! generations, and no half of a file ever decides about anything.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http::Method;
use serin::config::{self, OnUnset};
use serin::source::environment::NoEnvironment;
use tokio::sync::watch;

use crate::harness::gateway::complete;
use crate::harness::writer::Writer;
use crate::harness::{Call, Connection, Gateway, Origin, fill, get, until};

const SWAPS: u64 = 1_000;
const MIB: u64 = 1024 * 1024;

/// The file of which every second version has everybody on its canary, each under one of twenty names.
fn version(n: u64) -> String {
    format!(
        "
services: {{ search: @stable }}
flags: {{ {}: {{ url: @canary, rings: [{{ name: all, rollout: {}% }}] }} }}
routes:
  - {{ path: /, service: search, response_headers: {{ set: {{ x-config: '{n}' }} }} }}
identity: {{ user_id: [{{ header: x-user-id, trust: anyone }}] }}
logging: {{ level: warn, format: json, access: all, user_id: plain }}
",
        canary(n),
        if n.is_multiple_of(2) { 100 } else { 0 }
    )
}

fn canary(n: u64) -> String {
    format!("search.c{}", n % 20)
}

/// The deployment that serves under a version.
fn deployment(n: u64) -> String {
    if n.is_multiple_of(2) {
        canary(n)
    } else {
        "stable".to_owned()
    }
}

/// Sends requests over one connection until told to end; returns which version answered which path.
async fn load(address: SocketAddr, name: usize, over: watch::Receiver<bool>) -> Vec<(String, u64)> {
    let mut connection = Connection::open(address).await;
    let mut answers = Vec::new();
    for n in 0.. {
        if *over.borrow() {
            break;
        }
        let path = format!("/{name}/{n}");
        let answer = connection.send(get(&path).user(&path)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let version = answer.header("x-config").expect("a version");
        let version: u64 = version.parse().expect("a number");
        assert_eq!(
            answer.json()["deployment"],
            deployment(version),
            "{answer:?}"
        );
        answers.push((path, version));
    }
    answers
}

/// Puts one version after the other in force by every way there is, invalid files among them; returns what the
/// gateway's memory was after the hundredth and after the last.
async fn swap_all(gateway: &Gateway, file: impl Fn(u64) -> String) -> (u64, u64) {
    const BROKEN: [&str; 2] = [
        "services: [",
        "services: { a: http://127.0.0.1 }\nroutes: [{ path: /, service: b }]\n",
    ];
    let mut admin = Connection::open(gateway.admin_address()).await;
    let host = gateway.admin_address().to_string();
    let reload = || Call::new(Method::POST, "/api/v1/reload").host(&host);
    let mut early = 0;
    for n in 1..=SWAPS {
        if n % 10 == 5 {
            gateway.rewrite_config(BROKEN[(n / 10 % 2) as usize]);
            let answer = admin.send(reload()).await;
            assert_eq!(answer.status, 422, "{answer:?}");
        }
        gateway.rewrite_config(&file(n));
        match n % 50 {
            // By itself.
            0 => gateway.await_generation(n + 1).await,
            1 => {
                gateway.sighup();
                gateway.await_generation(n + 1).await;
            }
            _ => {
                let answer = admin.send(reload()).await;
                assert_eq!(answer.status, 200, "{answer:?}");
                assert_eq!(answer.json()["generation"], n + 1, "{answer:?}");
            }
        }
        if n == 100 {
            early = gateway.memory().resident;
        }
    }
    (early, gateway.memory().resident)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_swaps_under_load() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let file = |n: u64| fill(&version(n), [&stable, &canary]);
    // The harness reads the ports from the log; afterwards it may be quiet.
    let gateway = Gateway::start(file(0).replace("level: warn", "level: info")).await;
    let (end, over) = watch::channel(false);
    let running: Vec<_> = (0..4)
        .map(|name| tokio::spawn(load(gateway.address(), name, over.clone())))
        .collect();

    let begun = Instant::now();
    let (early, late) = swap_all(&gateway, file).await;
    let took = begun.elapsed();
    end.send_replace(true);
    let mut answers = HashMap::new();
    for task in running {
        answers.extend(task.await.expect("no failure"));
    }
    assert!(took < Duration::from_secs(60), "{took:?}");
    assert_eq!(
        gateway.generation().await,
        SWAPS + 1,
        "swaps that were really made"
    );
    assert!(late <= early + 16 * MIB, "from {early} to {late} bytes");
    eprintln!(
        "{SWAPS} swaps in {took:?}, {} requests, {early} -> {late} bytes",
        answers.len()
    );

    let total = answers.len() as f64;
    gateway
        .await_metric("serin_requests_total", &[], total)
        .await;
    let metrics = gateway.metrics().await;
    assert_eq!(
        metrics.sum("serin_requests_total", &[("code", "200")]),
        total
    );
    assert_eq!(metrics.sum("serin_access_log_dropped_total", &[]), 0.0);
    until("the access log", || {
        (gateway.access_log_lines() >= answers.len()).then_some(())
    })
    .await;
    for line in gateway.access_log() {
        let version = answers[line["path"].as_str().expect("a path")];
        assert_eq!(line["generation"], version + 1, "{line}");
        assert_eq!(line["served"], deployment(version), "{line}");
        assert_eq!(line["assigned"], deployment(version), "{line}");
    }
}

/// A file of which every beginning that ends with a line is a valid file of its own.
fn lines(n: usize) -> String {
    let mut text = "services: { search: 'http://127.0.0.1:9' }\nroutes:\n".to_owned();
    for route in 0..12 {
        text += &format!(
            "  - {{ path: /{route}, service: search, response_headers: {{ set: {{ x-config: '{n}' }} }} }}\n"
        );
    }
    complete(&text)
}

fn digest(text: &str) -> String {
    let now = serin::clock::now();
    let config = config::compile(text, &NoEnvironment, OnUnset::Refuse, now).expect("a valid file");
    config.digest.to_string()[..12].to_owned()
}

fn published(gateway: &Gateway) -> Vec<String> {
    let lines = gateway.log_lines();
    let lines = lines
        .iter()
        .filter(|line| line["message"] == "snapshot published");
    lines
        .filter_map(|line| line["digest"].as_str().map(str::to_owned))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_file_never_decides() {
    let gateway = Gateway::start(lines(0)).await;
    let mut writer = Writer::new(gateway.folder(), 20_261_122);
    let mut whole = HashSet::from([digest(&lines(0))]);
    for n in 1..=1_000 {
        let text = lines(n);
        whole.insert(digest(&text));
        writer.change(n, &text, &lines(0)[..200]);
    }
    writer.rename_over(&lines(0));
    let last = digest(&lines(0));
    until("the last file", || {
        (published(&gateway).last() == Some(&last)).then_some(())
    })
    .await;
    let published = published(&gateway);
    eprintln!("{} generations of 1,000 changes", published.len());
    assert!(published.len() > 50, "{} generations", published.len());
    assert_eq!(
        published.iter().find(|digest| !whole.contains(*digest)),
        None
    );
    let metrics = gateway.metrics().await;
    let invalid = metrics.sum("serin_config_reloads_total", &[("result", "invalid")]);
    assert_eq!(invalid, 0.0, "half a file was looked at");
}
