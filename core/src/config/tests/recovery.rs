//! `retries`, `rescue`, `max_in_flight` and `shutoff` of a service.

use std::time::Duration;

use http::{Method, StatusCode};

use super::{check, config, read};
use crate::cluster::recovery::{QuarantinePolicy, RescuePolicy, RetryPolicy};

#[test]
fn what_is_sent_again_is_as_the_file_says() {
    let config = config(
        "
services:
  a: http://127.0.0.1:1
  b:
    stable: http://127.0.0.1:2
    retries: { attempts: 4, on: [reset, timeout, 503], budget: 12.5% }
    rescue: { on: [timeout, 4xx, 502], methods: [GET, PUT], after: 250ms, quarantine_after: 5, quarantine_for: 1h }
    max_in_flight: 7
  c: { stable: http://127.0.0.1:3, retries: { on: [] }, rescue: { on: [], methods: [], quarantine_after: 0 } }
routes: [{ service: a }]
",
    );
    let [a, b, c] = [0, 1, 2].map(|index| &config.services[index].upstream);
    assert_eq!(a.retries, RetryPolicy::default());
    assert_eq!(a.rescue, RescuePolicy::default());
    assert_eq!(a.max_in_flight, None);
    assert_eq!(
        (b.retries.attempts, b.retries.budget.hundredths()),
        (4, 1250)
    );
    let (retried, rescued) = (b.retries.on, b.rescue.on);
    assert!(!retried.connect && retried.reset && retried.timeout);
    assert_eq!(format!("{:?}", retried.statuses), "{503}");
    assert!(!rescued.connect && !rescued.reset && rescued.timeout);
    let is_rescued = [400, 499, 500, 502, 503].map(|status| rescued.statuses.contains(status));
    assert_eq!(is_rescued, [true, true, false, true, false]);
    assert_eq!(b.rescue.methods, [Method::GET, Method::PUT]);
    assert_eq!(b.rescue.after, Some(Duration::from_millis(250)));
    let quarantine = QuarantinePolicy {
        after: 5,
        period: Duration::from_secs(3600),
    };
    assert_eq!(
        (b.rescue.quarantine, b.max_in_flight),
        (Some(quarantine), Some(7))
    );
    assert_eq!((c.retries.attempts, c.rescue.quarantine), (0, None));
    assert!(c.rescue.on.is_empty() && c.rescue.methods.is_empty());
}

#[test]
fn what_makes_no_sense_is_told() {
    let told = check(
        "
services:
  a:
    stable: http://127.0.0.1:1
    retries: { on: [conect, 200, 6xx], budget: 101% }
    rescue: { methods: [get, POST], after: 0s, quarantine_after: 2000 }
    max_in_flight: 0
    shutoff: { flag: a.of, respond: { status: 99 } }
flags: { a.off: { rings: [{ name: all }] } }
routes: [{ service: a }]
",
    );
    for expected in [
        "error: `conect` is not known here",
        "= hint: did you mean `connect`?",
        "error: `200` is not known here",
        "error: `6xx` is not known here",
        "`5xx` and statuses from 400 to 599",
        "error: `101%` is not a percentage",
        "error: `get` is not a method",
        "warning: a rescued POST may be done twice: by the canary and by stable",
        "error: `0s` is not a time limit",
        "error: `2000` is not a number that can stand here",
        "error: `0` is not a number that can stand here",
        "error: `99` is not a number that can stand here",
        "error: there is no flag `a.of`",
        "= hint: did you mean `a.off`?",
    ] {
        assert!(told.contains(expected), "{expected:?} is not in\n{told}");
    }
}

#[test]
fn a_shutoff_needs_a_flag_and_the_flag_needs_no_upstream() {
    let file = "
services:
  a: { stable: http://127.0.0.1:1, shutoff: { flag: a.off } }
  b: { stable: http://127.0.0.1:1, shutoff: { flag: b.off, respond: { status: 418, retry_after: 1m, body: tea } } }
flags:
  a.off: { rings: [{ name: all }] }
  b.off: { rings: [{ name: all }] }
routes: [{ service: a }]
";
    let config = config(file);
    let respond = |index: usize| {
        let shutoff = config.services[index].shutoff.as_ref();
        shutoff.expect("a shutoff").respond.clone()
    };
    assert_eq!(respond(0).status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!((respond(0).retry_after, &*respond(0).body), (None, ""));
    assert_eq!(respond(1).status.as_u16(), 418);
    assert_eq!(
        (respond(1).retry_after, &*respond(1).body),
        (Some(60), "tea")
    );
}

/// What is told of a route's `timeout` where a canary has `rescue`.
fn timeout_warning(rescue: &str, flags: &str) -> Option<String> {
    let file = format!(
        "
services: {{ a: {{ stable: http://127.0.0.1:1, rescue: {rescue} }} }}
flags: {flags}
routes: [{{ service: a, timeout: 5s }}]
"
    );
    let config = read(&file).expect("a configuration");
    let mut told = config.warnings.iter().map(|warning| &warning.message);
    told.find(|message| message.contains("no time for stable"))
        .cloned()
}

#[test]
fn stable_must_be_left_time() {
    let canary = "{ a.b: { url: http://127.0.0.1:2, rings: [{ name: all }] } }";
    let told = timeout_warning("{}", canary).expect("a warning");
    assert!(told.contains("a canary of `a` may take 15s"), "{told}");
    let told = timeout_warning("{ after: 5500ms }", canary).expect("a warning");
    assert!(told.contains("may take 5500ms"), "{told}");
    for well in ["{ after: 4s }", "{ on: [connect] }", "{ methods: [] }"] {
        assert_eq!(timeout_warning(well, canary), None, "{well}");
    }
    assert_eq!(timeout_warning("{}", "{}"), None, "there is no canary");
}
