//! Pipelines that race for one name on several gateways: one order of what happens, and every answer is true.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{House, Member, agreed, array, canary, team};
use crate::harness::Answer;

const ROUNDS: usize = 20;

/// A registration, said to come from this commit.
fn of(url: &str, commit: &str) -> Value {
    let mut body = team(url);
    body["commit"] = json!(commit);
    body
}

async fn both(one: (&Member, &Value), two: (&Member, &Value), path: &str) -> [Answer; 2] {
    let answers = tokio::join!(one.0.put(path, one.1), two.0.put(path, two.1));
    [answers.0, answers.1]
}

#[tokio::test]
async fn the_same_url_is_registered_once_and_renewed_once() {
    let house = House::new().await;
    let members = house.three().await;
    for round in 0..ROUNDS {
        let name = format!("n{round}");
        let body = team(&house.canary.url());
        let answers = both((&members[0], &body), (&members[1], &body), &canary(&name)).await;
        let mut statuses = answers.each_ref().map(|answer| answer.status);
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 201], "{answers:?}");
    }
    for round in 0..ROUNDS {
        members[2].await_state(&format!("n{round}"), "ready").await;
    }
    let told = agreed(&members).await;
    for round in 0..ROUNDS {
        let happened = super::happened(&told, &format!("n{round}"));
        assert_eq!(happened, ["registered", "ready"], "round {round}");
    }
}

#[tokio::test]
async fn of_different_urls_the_later_stands_and_the_history_has_both() {
    let house = House::new().await;
    let members = house.three().await;
    for round in 0..ROUNDS {
        let name = format!("n{round}");
        let path = canary(&name);
        let bodies = [of(&house.canary.url(), "a"), of(&house.other.url(), "b")];
        let answers = both((&members[0], &bodies[0]), (&members[2], &bodies[1]), &path).await;
        let first = answers.iter().position(|answer| answer.status == 201);
        let first = first.unwrap_or_else(|| panic!("none is new: {answers:?}"));
        let later = &answers[1 - first];
        assert_eq!(later.status, 200, "{answers:?}");
        let later = later.json();
        // The canary that was there first may have been ready by then: then it moves.
        let leads = [&later["url"], &later["moving_to"]];
        assert!(leads.contains(&&bodies[1 - first]["url"]), "{later}");
        for member in &members {
            member.await_state(&name, "ready").await;
        }
        let told = agreed_at_rest(&members, &name).await;
        let shown = &told["canaries"][format!("search.{name}")];
        assert_eq!(shown["url"], bodies[1 - first]["url"], "{shown:#}");
        assert_eq!(shown["commit"], bodies[1 - first]["commit"]);
        let history = array(&shown["history"]);
        let details: Vec<_> = history
            .iter()
            .filter(|entry| entry["by"].is_string())
            .map(|entry| &entry["detail"])
            .collect();
        assert_eq!(
            details,
            [&bodies[first]["url"], &bodies[1 - first]["url"]],
            "{history:#?}"
        );
        assert_eq!(history[0]["what"], "registered");
    }
}

/// Waits until they agree, and the canary moves no more.
async fn agreed_at_rest(members: &[Member], name: &str) -> Value {
    crate::harness::eventually("a canary at rest", || async {
        let told = agreed(members).await;
        told["canaries"][format!("search.{name}")]["moving_to"]
            .is_null()
            .then_some(told)
    })
    .await
}

#[tokio::test]
async fn of_many_changes_at_all_gateways_none_is_lost() {
    let house = House::new().await;
    let members = house.three().await;
    let path = canary("busy");
    let members_of = members.iter().enumerate();
    let pipelines = members_of.map(|(number, member)| {
        let (path, url) = (&path, house.canary.url());
        async move {
            for turn in 0..ROUNDS {
                let answer = member
                    .put(path, &of(&url, &format!("{number}.{turn}")))
                    .await;
                assert!([200, 201].contains(&answer.status), "{answer:?}");
                assert_eq!(answer.json()["name"], "search.busy");
            }
        }
    });
    join_all(pipelines).await;
    members[0].await_state("busy", "ready").await;
    let told = agreed(&members).await;
    let happened = super::happened(&told, "busy");
    let count = |what: &str| happened.iter().filter(|one| *one == what).count();
    assert_eq!(count("registered"), 1, "{happened:?}");
    assert_eq!(count("changed"), 3 * ROUNDS - 1, "{happened:?}");
    // The last word of somebody, who was asked last.
    let commit = told["canaries"]["search.busy"]["commit"].to_string();
    let last: Vec<String> = (0..3).map(|n| format!("\"{n}.{}\"", ROUNDS - 1)).collect();
    assert!(last.contains(&commit), "{commit}");
}
