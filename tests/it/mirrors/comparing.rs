//! What of a shadow's answers is compared with stable's, and what is told of it.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use http::Method;

use super::Stage;
use crate::harness::{Call, Reply, get, post};

const MORE: &str = "compare: true, ignore: [$.at, '$.items[*].id']";

/// One pair of answers, and what is said of it.
struct Pair {
    stables: Reply,
    shadows: Reply,
    result: &'static str,
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.stables, self.shadows)
    }
}

fn json(body: impl Into<String>) -> Reply {
    let reply = Reply::status(200).header("content-type", "application/json");
    reply.body(body.into())
}

fn html(body: &'static str) -> Reply {
    let reply = Reply::status(200).header("content-type", "text/html; charset=utf-8");
    reply.body(body)
}

/// Says to be compressed, as nobody looks into.
fn zipped(reply: Reply) -> Reply {
    reply.header("content-encoding", "gzip")
}

fn pair(stables: Reply, shadows: Reply, result: &'static str) -> Pair {
    Pair {
        stables,
        shadows,
        result,
    }
}

fn pairs() -> Vec<Pair> {
    let items = |at: u64, id: u64, n: u64| {
        json(format!(r#"{{"at":{at},"items":[{{"id":{id},"n":{n}}}]}}"#))
    };
    let turned = json(r#"{ "items": [ {"n": 1, "id": 77777} ], "at": "later" }"#);
    let large = |fill: &str| json(format!("\"{}\"", fill.repeat(70_000)));
    let typed = |kind: &str| Reply::status(200).header("content-type", kind).body("abc");
    vec![
        pair(html("abc"), html("abc"), "same"),
        pair(html("abc"), html("abd"), "same"),
        pair(html("abc"), html("abcd"), "differs"),
        pair(html("abc"), Reply::status(500).body("abc"), "differs"),
        pair(typed("text/html"), typed("Text/HTML"), "same"),
        pair(typed("text/html"), typed("text/plain"), "differs"),
        pair(
            typed("text/html"),
            typed("text/html; charset=latin1"),
            "differs",
        ),
        pair(items(1, 2, 3), items(100_000, 7, 3), "same"),
        pair(items(1, 2, 3), items(1, 2, 4), "differs"),
        pair(items(1, 2, 1), turned, "same"),
        pair(json("{}"), json("[]"), "differs"),
        pair(json("[1, 0.5]"), json("[1.0, 5e-1]"), "same"),
        pair(json("[1, 0.5]"), json("[1.1, 0.5]"), "differs"),
        // Nobody looks into what is compressed, nor is its length that of something else.
        pair(zipped(json("{}")), zipped(json("[1]")), "answered"),
        pair(zipped(json("{}")), json("[1]"), "answered"),
        pair(zipped(json("{}")), zipped(html("{}")), "differs"),
        pair(zipped(html("abc")), html("abcd"), "answered"),
        pair(zipped(html("abc")), zipped(html("abc")), "same"),
        pair(zipped(html("abc")), zipped(html("abcd")), "differs"),
        // Too large to be looked into.
        pair(large("x"), large("y"), "same"),
        pair(large("x"), json("\"x\""), "differs"),
        pair(
            Reply::status(204).body(""),
            Reply::status(204).body(""),
            "same",
        ),
    ]
}

#[tokio::test]
async fn answers_are_the_same_where_what_is_compared_is() {
    let stage = Stage::start(MORE).await;
    let mut counts = BTreeMap::from([("same", 0), ("differs", 0), ("answered", 0)]);
    for pair in pairs() {
        let (stables, shadows) = (pair.stables.clone(), pair.shadows.clone());
        stage.stable.answer(move |_| stables.clone());
        stage.shadow.answer(move |_| shadows.clone());
        let answer = stage.gateway.send(get("/")).await;
        assert_eq!(answer.origin(), "stable", "{answer:?}");
        println!("{pair:?}");
        *counts.get_mut(pair.result).expect("a result") += 1;
        for (result, count) in &counts {
            stage.await_result(result, *count).await;
        }
    }
}

#[tokio::test]
async fn an_answer_without_a_body_is_compared_by_its_head() {
    let stage = Stage::start(MORE).await;
    let head = || Call::new(Method::HEAD, "/");
    stage.stable.answer(|_| html("abc"));
    stage.shadow.answer(|_| html("abcd"));
    stage.gateway.send(head()).await;
    stage.await_result("differs", 1).await;
    stage.shadow.answer(|_| html("xyz"));
    stage.gateway.send(head()).await;
    stage.await_result("same", 1).await;
}

#[tokio::test]
async fn the_log_tells_in_what_answers_differ_and_nothing_that_is_in_them() {
    let stage = Stage::start(MORE).await;
    stage
        .stable
        .answer(|_| json(r#"{"user":{"plan":"secret-of-stable"}}"#));
    stage.shadow.answer(|_| {
        let reply = Reply::status(203).header("content-type", "application/json");
        reply.body(r#"{"user":{"plan":"secret-of-shadow"},"ann@example.com":1}"#)
    });
    let mut connection = stage.gateway.connect().await;
    for _ in 0..50 {
        connection.send(get("/?q=secret-of-user")).await;
    }
    stage.await_result("differs", 50).await;
    stage.gateway.await_log("a shadow answered otherwise").await;
    let lines = stage.gateway.log_lines().into_iter();
    let told: Vec<_> = lines
        .filter(|line| {
            line["message"]
                .to_string()
                .contains("a shadow answered otherwise")
        })
        .collect();
    assert_eq!(
        told[0]["message"],
        "a shadow answered otherwise than stable: status 203, not 200, body at $.user.plan"
    );
    assert_eq!(
        (&told[0]["service"], &told[0]["shadow"]),
        (&"search".into(), &"search.shadow".into())
    );
    let ids: Vec<_> = stage.shadow.requests();
    let ids = ids.iter().filter_map(|seen| seen.header("x-request-id"));
    assert!(
        ids.into_iter()
            .any(|id| told[0]["request_id"] == id.as_str())
    );
    // One a second: the requests took no such time each.
    assert!(told.len() < 50, "{}", told.len());
    let log = stage.gateway.log();
    assert!(!log.contains("secret"), "{log}");
    assert!(!log.contains("ann@example.com"), "{log}");
}

#[tokio::test]
async fn messages_of_grpc_are_copied_and_not_compared() {
    let stage = Stage::start("compare: true, methods: [POST]").await;
    let call = post("/search.Search/Find", &b"\0\0\0\0\x01a"[..]);
    let call = call
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    stage.gateway.send(call).await;
    stage.await_result("answered", 1).await;
    let (real, copy) = (stage.stable.last(), stage.shadow.last());
    assert_eq!((copy.body, copy.target), (real.body, real.target));
}

#[tokio::test]
async fn a_call_whose_messages_do_not_come_at_once_is_not_copied() {
    let stage = Stage::start("methods: [POST]").await;
    let message = || Bytes::from_static(b"\0\0\0\0\x01a");
    for (kind, count) in [
        ("application/grpc+proto", 1),
        ("application/connect+json", 2),
    ] {
        let call = post("/search.Search/Watch", "").chunks([message(), message()]);
        let call = call.header("content-type", kind).header("te", "trailers");
        stage.gateway.send(call).await;
        stage.await_result("dropped", count).await;
    }
    assert_eq!((stage.shadow.count(), stage.stable.count()), (0, 2));
}
