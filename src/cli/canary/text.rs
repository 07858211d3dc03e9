//! Registrations as people read them.

use std::io::{self, Write};

use serde_json::Value;

/// Prints the answer to a registration or a renewal.
pub(super) fn registered(answer: &Value, out: &mut dyn Write) -> io::Result<()> {
    let until = said(answer, "/lease/expires_at");
    writeln!(
        out,
        "{} is {}, and registered until {until} unless it is renewed",
        named(answer),
        state(answer)
    )?;
    writeln!(out, "  {}", audience(answer))?;
    remarks(answer, out)
}

/// Prints the answer to the end of a registration.
pub(super) fn ended(answer: &Value, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "{} is taken back: its users are on stable",
        named(answer)
    )
}

/// Prints registrations, a line each.
pub(super) fn listed(lists: &[Value], out: &mut dyn Write) -> io::Result<()> {
    let mut canaries = lists.iter().flat_map(|list| all(&list["canaries"]));
    let Some(first) = canaries.next() else {
        return writeln!(out, "no canary is registered");
    };
    for canary in std::iter::once(first).chain(canaries) {
        let (name, state) = (named(canary), state(canary));
        let (until, url) = (said(canary, "/lease/expires_at"), said(canary, "/url"));
        let held = match said(canary, "/lease/held/since") {
            "" => String::new(),
            since => format!(" (held since {since})"),
        };
        write!(out, "{name}: {state}, until {until}{held}, {url}")?;
        match built(canary) {
            Some(built) => writeln!(out, ", {built}")?,
            None => writeln!(out)?,
        }
    }
    Ok(())
}

/// Prints one registration with its history.
pub(super) fn shown(canary: &Value, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{} is {}", named(canary), state(canary))?;
    writeln!(out, "  {}", audience(canary))?;
    let lines = [
        ("url", "/url"),
        ("registered at", "/registered_at"),
        ("by", "/by"),
        ("renewed at", "/lease/renewed_at"),
        ("until", "/lease/expires_at"),
        ("branch", "/branch"),
        ("commit", "/commit"),
        ("version", "/version"),
        ("owner", "/owner"),
        ("description", "/description"),
        ("health check", "/health/path"),
        ("last check", "/check/said"),
    ];
    for (name, pointer) in lines {
        let text = said(canary, pointer);
        if !text.is_empty() {
            writeln!(out, "  {name}: {text}")?;
        }
    }
    remarks(canary, out)?;
    for entry in all(&canary["history"]) {
        write!(out, "  {} {}", said(entry, "/at"), said(entry, "/what"))?;
        for (before, pointer) in [(" by ", "/by"), (": ", "/detail")] {
            let text = said(entry, pointer);
            if !text.is_empty() {
                write!(out, "{before}{text}")?;
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

fn said<'a>(value: &'a Value, pointer: &str) -> &'a str {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default()
}

fn all(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn named(canary: &Value) -> String {
    format!("{} of {}", said(canary, "/name"), said(canary, "/service"))
}

fn state(canary: &Value) -> String {
    let state = said(canary, "/state");
    match canary["killed"] == true {
        true => format!("{state}, killed"),
        false => state.to_owned(),
    }
}

fn audience(canary: &Value) -> String {
    let source = said(canary, "/flag/source");
    let by = match source {
        "registration" => "by its registration".to_owned(),
        source => format!("by its flag ({source})"),
    };
    match said(canary, "/flag/on_for") {
        "everybody" => format!("on for everybody, {by}"),
        "some" => format!("on for some users, {by}"),
        "nobody" => format!("on for nobody, {by}"),
        _ => "on for nobody: there is no flag of its name".to_owned(),
    }
}

/// The branch and the commit, as far as they are known.
fn built(canary: &Value) -> Option<String> {
    match (said(canary, "/branch"), said(canary, "/commit")) {
        ("", "") => None,
        (branch, "") => Some(branch.to_owned()),
        ("", commit) => Some(commit.to_owned()),
        (branch, commit) => Some(format!("{branch} at {commit}")),
    }
}

fn remarks(canary: &Value, out: &mut dyn Write) -> io::Result<()> {
    if canary["killed"] == true {
        writeln!(out, "  it is killed: its users are on stable")?;
    }
    let since = said(canary, "/lease/held/since");
    if !since.is_empty() {
        let why = said(canary, "/lease/held/reason");
        writeln!(out, "  its lease is held since {since}: {why}")?;
    }
    let next = said(canary, "/moving_to");
    if !next.is_empty() {
        writeln!(out, "  it moves to {next} once that is ready")?;
    }
    for warning in all(&canary["warnings"]) {
        writeln!(out, "  warning: {}", warning.as_str().unwrap_or_default())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{ended, listed, registered, shown};

    fn canary() -> Value {
        json!({
            "service": "search", "name": "search.ranker", "url": "http://a:1", "state": "ready", "killed": true,
            "lease": { "ttl": "30m", "expires_at": "2026-01-01T00:30:00Z", "renewed_at": "2026-01-01T00:00:00Z" },
            "flag": { "source": "unleash", "on_for": "some" }, "branch": "feature/x", "commit": "4f1c2ab",
            "moving_to": "http://b:1", "check": { "said": "connection refused" }, "warnings": ["not used"],
            "registered_at": "2026-01-01T00:00:00Z", "by": "ci-search at 10.0.0.7",
            "history": [
                { "at": "2026-01-01T00:00:00Z", "what": "registered", "by": "ci-search", "detail": null },
                { "at": "2026-01-01T00:00:01Z", "what": "killed", "by": "ann", "detail": "too slow" },
            ],
        })
    }

    fn printed(print: impl FnOnce(&mut dyn std::io::Write) -> std::io::Result<()>) -> String {
        let mut text = Vec::new();
        print(&mut text).expect("memory takes it");
        String::from_utf8(text).expect("text")
    }

    #[test]
    fn people_read_everything_that_matters() {
        let canary = canary();
        let lists = [json!({ "service": "search", "canaries": [canary] })];
        insta::assert_snapshot!(
            [
                printed(|out| registered(&canary, out)),
                printed(|out| listed(&lists, out)),
                printed(|out| shown(&canary, out)),
                printed(|out| ended(&canary, out)),
            ]
            .join("---\n"),
        );
    }

    #[test]
    fn a_lease_that_is_held_says_so() {
        let mut canary = canary();
        let held = json!({ "since": "2026-01-01T00:20:00Z", "reason": "nobody can renew it" });
        canary["lease"]["held"] = held;
        let text = printed(|out| shown(&canary, out));
        let line = "  its lease is held since 2026-01-01T00:20:00Z: nobody can renew it\n";
        assert!(text.contains(line), "{text}");
        let lists = [json!({ "service": "search", "canaries": [canary] })];
        let text = printed(|out| listed(&lists, out));
        let until = "until 2026-01-01T00:30:00Z (held since 2026-01-01T00:20:00Z), http://a:1";
        assert!(text.contains(until), "{text}");
    }

    #[test]
    fn what_only_the_contract_promises_is_enough() {
        let answer = json!({
            "service": "search", "name": "search.ranker", "url": "http://a:1", "state": "checking",
            "lease": { "ttl": "30m", "expires_at": "2026-01-01T00:30:00Z", "renewed_at": "2026-01-01T00:00:00Z" },
            "flag": null, "recorded_in": ["state"], "generation": 41,
        });
        let expected = "search.ranker of search is checking, and registered until 2026-01-01T00:30:00Z unless it is renewed\n  \
                        on for nobody: there is no flag of its name\n";
        assert_eq!(printed(|out| registered(&answer, out)), expected);
        assert_eq!(printed(|out| listed(&[], out)), "no canary is registered\n");
    }
}
