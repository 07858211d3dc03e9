//! One table of URLs (`urls.txt`), held against every door that one may come in by.

use serde_json::{Value, json};

use crate::harness::flag_server::{FlagServer, feature};
use crate::harness::{Dns, Gateway, Origin, Setup, eventually};
use crate::registrations::put;

const TABLE: &str = include_str!("urls.txt");

const CONFIG: &str = "
services: { search: { stable: @stable, canaries: ['search.*'] } }
canary_urls: { allow: [127.7.0.0/16, '*.canary.test', exact.test], schemes: [http] }
routes: [{ path: /, service: search }]
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
";

/// A URL, and what is said where it is refused.
struct Case {
    url: String,
    rule: Option<&'static str>,
}

fn cases() -> Vec<Case> {
    let lines = TABLE.lines().filter(|line| line.starts_with('"'));
    let case = |line: &'static str| {
        let (url, rule) = line.rsplit_once("\" ").expect("a URL and a rule");
        Case {
            url: serde_json::from_str(&format!("{url}\"")).expect("a JSON string"),
            rule: (rule != "allowed").then_some(rule),
        }
    };
    let cases: Vec<Case> = lines.map(case).collect();
    let refused = cases.iter().filter(|case| case.rule.is_some()).count();
    assert!(refused >= 60 && cases.len() - refused >= 20, "{refused}");
    cases
}

/// A gateway whose names nobody knows, so that nothing is connected to but this machine.
async fn gateway(more: &str) -> (Gateway, Origin, Dns) {
    let (stable, dns) = (Origin::start("stable").await, Dns::start().await);
    let config = CONFIG.replace("@stable", &stable.url()) + more;
    let gateway = Setup::new(config).dns(&dns).start().await;
    (gateway, stable, dns)
}

#[tokio::test]
async fn a_registration_is_refused_with_the_rule_that_its_url_breaks() {
    let (gateway, _stable, _dns) = gateway("").await;
    let mut allowed = 0;
    for (number, Case { url, rule }) in cases().into_iter().enumerate() {
        let path = format!("/api/v1/services/search/canaries/search.c{number}");
        let answer = gateway.admin_send(put(&path, &json!({ "url": url }))).await;
        let Some(rule) = rule else {
            assert_eq!(answer.status, 201, "{url}: {answer:?}");
            allowed += 1;
            continue;
        };
        assert_eq!(answer.status, 422, "{url}: {answer:?}");
        let problem = answer.json();
        assert_eq!(problem["errors"][0]["path"], "url", "{url}: {problem}");
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(rule), "{url}: {detail}");
    }
    let list = gateway.admin("/api/v1/services/search/canaries").await;
    let registered = list.json()["canaries"].as_array().map(Vec::len);
    assert_eq!(registered, Some(allowed));
}

#[tokio::test]
async fn a_flag_that_serin_keeps_is_refused_with_the_rule_that_its_url_breaks() {
    let (gateway, _stable, _dns) = gateway("").await;
    for (number, Case { url, rule }) in cases().into_iter().enumerate() {
        let path = format!("/api/v1/flags/search.k{number}?dry_run=true");
        let flag = json!({ "url": url, "rings": [{ "name": "none", "rollout": "0%" }] });
        let answer = gateway.admin_send(put(&path, &flag)).await;
        let Some(rule) = rule else {
            assert!(answer.status < 300, "{url}: {answer:?}");
            continue;
        };
        assert_eq!(answer.status, 422, "{url}: {answer:?}");
        let problem = answer.json();
        assert_eq!(problem["errors"][0]["path"], "url", "{url}: {problem}");
        assert!(answer.text().contains(rule), "{url}: {problem}");
    }
}

#[tokio::test]
async fn a_payload_is_refused_with_the_rule_that_its_url_breaks() {
    let server = FlagServer::start().await;
    let name = |number: usize| format!("search.p{number}");
    let flags = cases().into_iter().enumerate();
    server.put(flags.map(|(number, case)| feature(&name(number), &case.url, true)));
    let (gateway, _stable, _dns) = gateway(&server.config("")).await;
    let flags = eventually("every flag in the status", || async {
        let flags = gateway.status().await["canary_flags"].as_array().cloned();
        flags.filter(|flags| flags.len() == cases().len())
    })
    .await;
    for (number, Case { url, rule }) in cases().into_iter().enumerate() {
        let flag = name(number);
        let found = flags.iter().find(|one| one["flag"] == *flag);
        let found = found.unwrap_or(&Value::Null);
        assert_eq!(found["canary"], rule.is_none(), "{url}: {found}");
        if let Some(rule) = rule {
            assert!(found["lacks"].to_string().contains(rule), "{url}: {found}");
        }
    }
}
