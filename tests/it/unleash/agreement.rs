//! Unleash's own playground and `serin explain` say the same of the same users.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::stage::{explain, patiently, report};
use crate::harness::unleash::{TOKEN, constraint, rollout, variants};
use crate::harness::{Gateway, Unleash, run_serin};

/// Who every flag is asked for, each with every version; every flag has a service of its own, so that none hides another.
const USERS: u32 = 25;
const VERSIONS: [&str; 2] = ["9.4.0", "10.2.0"];

/// The users of a segment, and of a list.
fn some() -> Value {
    let users: Vec<String> = (0..USERS).step_by(3).map(|n| format!("u{n}")).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    constraint("userId", "IN", &users)
}

/// So many percent of the users get one of three variants.
fn of(group: &str, percent: u8) -> Value {
    let mut strategy = rollout(group, percent);
    strategy["variants"] = variants(&[
        ("one", 500, Some("http://127.0.0.1:9009")),
        ("two", 300, Some("http://127.0.0.1:9010")),
        ("control", 200, None),
    ]);
    strategy
}

/// The same of those for whom all of this holds.
fn when<const N: usize>(group: &str, percent: u8, conditions: &[Value; N]) -> Value {
    with(
        of(group, percent),
        "constraints",
        &json!(conditions.as_slice()),
    )
}

/// A condition with one value.
fn single(field: &str, operator: &str, value: &str) -> Value {
    let constraint = constraint(field, operator, &[]);
    with(constraint, "value", &json!(value))
}

fn with(mut object: Value, key: &str, value: &Value) -> Value {
    object[key] = value.clone();
    object
}

/// The flags with their strategies.
fn flags(segment: u64) -> Vec<(&'static str, Vec<Value>)> {
    let in_segment = with(of("agree-segment", 60), "segments", &json!([segment]));
    let newer = single("appVersion", "SEMVER_GT", "10.0.0");
    let older = single("appVersion", "SEMVER_LT", "10.0.0");
    let past = single("currentTime", "DATE_AFTER", "2020-01-01T00:00:00.000Z");
    let others = with(some(), "inverted", &json!(true));
    let ends = constraint("userId", "STR_ENDS_WITH", &["U1", "3"]);
    let ends = with(ends, "caseInsensitive", &json!(true));
    let mut session = of("agree-session", 100);
    session["parameters"]["stickiness"] = json!("sessionId");
    let one = |name, strategy| (name, vec![strategy]);
    vec![
        one("agree-all", of("agree-all", 100)),
        one("agree-half", of("agree-half", 50)),
        one("agree-grouped", of("a group of its own", 30)),
        one("agree-segment", in_segment),
        one("agree-newer", when("agree-newer", 70, &[newer])),
        one("agree-not", when("agree-not", 80, &[others])),
        one("agree-ends", when("agree-ends", 100, &[ends])),
        one("agree-both", when("agree-both", 90, &[past, older])),
        // The first that holds decides, with its variants.
        ("agree-two", vec![of("agree-two", 40), of("another", 40)]),
        // Depends on agree-half.
        one("agree-child", of("agree-child", 75)),
        one("agree-session", session),
        // Is turned off.
        one("agree-off", of("agree-off", 100)),
    ]
}

/// Creates them all, and says their names.
async fn create(unleash: &Unleash) -> Vec<&'static str> {
    let segment = unleash.create_segment("agree-some", json!([some()])).await;
    let flags = flags(segment);
    for (name, strategies) in &flags {
        unleash.create_flag(name).await;
        for strategy in strategies {
            unleash.add_strategy(name, strategy.clone()).await;
        }
        unleash.turn(name, *name != "agree-off").await;
    }
    unleash.depend("agree-child", "agree-half").await;
    flags.into_iter().map(|(name, _)| name).collect()
}

fn config(unleash: &Unleash, flags: &[&str]) -> String {
    let mut config = String::from("services:\n");
    for flag in flags {
        config += &format!("  {flag}: {{ stable: http://127.0.0.1:9, canaries: [{flag}] }}\n");
    }
    config += "routes:\n";
    for flag in flags {
        config += &format!("  - {{ path: /{flag}, service: {flag} }}\n");
    }
    let url = unleash.url();
    config += &format!(
        "identity:
  user_id: [{{ header: x-user-id, trust: anyone }}]
  properties: {{ appVersion: {{ header: x-app-version }} }}
unleash: {{ url: \"{url}\", token: \"{TOKEN}\", poll: 1s }}
"
    );
    config
}

/// What a flag is for somebody: the name of its variant, unless it is off.
type Answers = BTreeMap<(String, String, String), Option<String>>;

async fn of_the_playground(unleash: &Unleash, flags: &[&str]) -> Answers {
    let users: Vec<String> = (0..USERS).map(|n| format!("u{n}")).collect();
    let context = json!({
        "appName": "serin", "userId": users.join(","), "appVersion": VERSIONS.join(","),
    });
    let all = unleash.playground(context).await;
    let mut answers = Answers::new();
    for flag in all["features"].as_array().expect("flags") {
        let name = flag["name"].as_str().expect("a name");
        if !flags.contains(&name) {
            continue;
        }
        for evaluated in flag["environments"]["production"].as_array().expect("one") {
            let text = |value: &Value| value.as_str().expect("a text").to_owned();
            let context = &evaluated["context"];
            let on = evaluated["isEnabled"] == true;
            let variant = on.then(|| text(&evaluated["variant"]["name"]));
            let (user, version) = (&context["userId"], &context["appVersion"]);
            answers.insert((name.to_owned(), text(user), text(version)), variant);
        }
    }
    answers
}

/// The same flag of the gateway: its variant, unless it is off.
fn variant(decision: &Value, flag: &str) -> Option<String> {
    let asked = &decision["flags"][0];
    assert_eq!(asked["flag"], flag, "{decision:#}");
    let on = asked["on"] == true;
    on.then(|| asked["variant"].as_str().expect("a variant").to_owned())
}

#[tokio::test]
async fn the_playground_and_explain_agree() {
    let unleash = Unleash::shared().await;
    let flags = create(unleash).await;
    patiently("a server that tells the last change", || async {
        let told = unleash.features().await;
        let mut told = told["features"].as_array()?.iter();
        let child = told.find(|flag| flag["name"] == "agree-child")?;
        child["dependencies"].is_array().then_some(())
    })
    .await;
    let gateway = Gateway::start(config(unleash, &flags)).await;
    let playground = of_the_playground(unleash, &flags).await;
    assert_eq!(playground.len(), flags.len() * 50);

    let mut kinds: BTreeMap<&Option<String>, u32> = BTreeMap::new();
    let mut differences = Vec::new();
    for ((flag, user, version), expected) in &playground {
        let properties = json!({ "appVersion": version });
        let decision = explain(&gateway, flag, user, &properties).await;
        let actual = variant(&decision, flag);
        if actual != *expected {
            differences.push(format!(
                "{flag} {user} {version}: {actual:?}, not {expected:?}"
            ));
        }
        *kinds.entry(expected).or_default() += 1;
    }
    assert!(differences.is_empty(), "{differences:#?}");
    // All that there is to answer has been answered.
    assert!(
        kinds.len() == 4 && kinds.values().all(|&count| count > 30),
        "{kinds:?}"
    );
    report(&format!(
        "{} evaluations as in the playground",
        playground.len()
    ));

    // The command says what the API says.
    let admin = format!("http://{}", gateway.admin_address());
    for ((flag, user, version), expected) in playground.iter().step_by(30) {
        let property = format!("appVersion={version}");
        let path = format!("/{flag}");
        let output = run_serin([
            "explain",
            "--admin",
            &admin,
            "--user",
            user,
            "--path",
            &path,
            "--property",
            &property,
            "--format",
            "json",
        ]);
        assert!(output.status.success(), "{output:?}");
        let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(variant(&said["decision"], flag), *expected, "{flag} {user}");
    }
}
