//! What one connection of HTTP/2 may do: how many requests it has open, and how many frames that carry none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::config;
use crate::harness::frames::{
    DATA, Frame, Frames, GOAWAY, PING, PRIORITY, RST_STREAM, SETTINGS, StreamEnd, WINDOW_UPDATE,
    cancel, data, get as get_frame, post as post_frame,
};
use crate::harness::{Gateway, Origin, get, until};

const ROUTES: &str = "  - { path: /, service: search }";
const REFUSALS: &str = "serin_client_refusals_total";
const BY_FRAMES: [(&str, &str); 1] = [("limit", "control_frames")];

/// Trusts nobody here to speak for many clients.
async fn start(limits: &str) -> (Origin, Gateway) {
    let origin = Origin::start("origin").await;
    let config = config(ROUTES, &origin);
    let config = config.replace(
        "trusted_proxies: [127.0.0.0/8]",
        &format!("limits: {{ {limits} }}"),
    );
    (origin, Gateway::start(config).await)
}

/// So many frames of a kind, on streams from 3 on; stream 1 is a POST that goes on.
fn flood(kind: u8, count: u32) -> Vec<Frame> {
    let frames = (0..count).flat_map(|n| match kind {
        DATA => vec![data(1, b"", false)],
        PRIORITY => vec![Frame::new(PRIORITY, 0, 3, [0, 0, 0, 1, 16])],
        SETTINGS => vec![Frame::new(SETTINGS, 0, 0, [])],
        RST_STREAM => vec![get_frame(2 * n + 3, "/reset"), cancel(2 * n + 3)],
        _ => vec![Frame::new(PING, 0, 0, n.to_be_bytes().repeat(2))],
    });
    frames.collect()
}

/// The reason that a connection is ended with, if it is said.
async fn reason(client: &mut Frames) -> Option<u32> {
    while let Some(frame) = client.next().await {
        if frame.kind == GOAWAY {
            let reason = frame.payload.get(4..8)?.try_into().expect("four bytes");
            return Some(u32::from_be_bytes(reason));
        }
    }
    None
}

#[tokio::test]
async fn a_connection_that_only_keeps_one_busy_is_told_to_calm_down() {
    const ENHANCE_YOUR_CALM: u32 = 11;
    let (_origin, gateway) = start("").await;
    // What the library bounds itself comes last: requests that are cancelled before they were looked at, and empty DATA.
    let kinds = [PING, SETTINGS, PRIORITY, RST_STREAM, DATA];
    for (ended, kind) in [1.0, 2.0, 3.0, 3.0, 3.0].into_iter().zip(kinds) {
        let mut client = Frames::open(gateway.address()).await;
        client.send(&[post_frame(1, "/held")]).await;
        client.send(&flood(kind, 1_100)).await;
        assert_eq!(reason(&mut client).await, Some(ENHANCE_YOUR_CALM), "{kind}");
        assert!(client.next().await.is_none(), "{kind}");
        gateway.await_metric(REFUSALS, &BY_FRAMES, ended).await;
    }
    gateway.await_metric("serin_connections", &[], 0.0).await;
    gateway
        .await_metric("serin_active_requests", &[], 0.0)
        .await;
}

#[tokio::test]
async fn cancelling_one_request_after_the_other_is_no_use_either() {
    let (_origin, gateway) = start("").await;
    let mut client = Frames::open(gateway.address()).await;
    let mut stream = 1;
    let mut ended = None;
    for round in 0..20 {
        let mut frames = Vec::new();
        for _ in 0..90 {
            frames.extend([get_frame(stream, "/reset"), cancel(stream)]);
            stream += 2;
        }
        // They have all been looked at when the next one is answered.
        client.send(&frames).await;
        client.send(&[get_frame(stream, "/next")]).await;
        if client.answer(stream).await == StreamEnd::Reset {
            ended = Some(round);
            break;
        }
        stream += 2;
    }
    // 11 rounds are 990 resets.
    assert_eq!(ended, Some(11));
    gateway.await_metric(REFUSALS, &BY_FRAMES, 1.0).await;
}

#[tokio::test]
async fn what_a_client_may_well_send_ends_nothing() {
    let (_origin, gateway) = start("").await;
    for kind in [PING, SETTINGS, PRIORITY, RST_STREAM] {
        let mut client = Frames::open(gateway.address()).await;
        client.send(&[post_frame(1, "/held")]).await;
        client.send(&flood(kind, 900)).await;
        client.send(&[data(1, b"pay", true)]).await;
        let answer = client.answer(1).await;
        assert!(matches!(answer, StreamEnd::Answered(200, _)), "{answer:?}");
    }
    // A PING for each answer, as clients measure the network.
    let mut client = Frames::open(gateway.address()).await;
    let room = (1_u32 << 30).to_be_bytes();
    client.send(&[Frame::new(WINDOW_UPDATE, 0, 0, room)]).await;
    for n in 0..1_200_u32 {
        let stream = 2 * n + 1;
        let ping = Frame::new(PING, 0, 0, n.to_be_bytes().repeat(2));
        client.send(&[get_frame(stream, "/"), ping]).await;
        let answer = client.answer(stream).await;
        assert!(matches!(answer, StreamEnd::Answered(200, _)), "{n}");
    }
    gateway.await_metric(REFUSALS, &BY_FRAMES, 0.0).await;
}

#[tokio::test]
async fn many_clients_behind_a_trusted_proxy_are_not_one() {
    let origin = Origin::start("origin").await;
    let gateway = Gateway::start(config(ROUTES, &origin)).await;
    let mut client = Frames::open(gateway.address()).await;
    client.send(&[post_frame(1, "/held")]).await;
    client.send(&flood(PING, 3_000)).await;
    client.send(&[data(1, b"pay", true)]).await;
    let answer = client.answer(1).await;
    assert!(matches!(answer, StreamEnd::Answered(200, _)), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_frames_are_no_matter_of_other_clients() {
    let (origin, gateway) = start("").await;
    let over = Arc::new(AtomicBool::new(false));
    let floods: Vec<_> = [PING, SETTINGS, PRIORITY, RST_STREAM]
        .into_iter()
        .map(|kind| {
            let (over, address) = (over.clone(), gateway.address());
            tokio::spawn(async move {
                let frames = flood(kind, 2_500);
                while !over.load(Ordering::Relaxed) {
                    let mut client = Frames::open(address).await;
                    client.send(&frames).await;
                    while client.next().await.is_some() {}
                }
            })
        })
        .collect();
    let ended = || async { gateway.metrics().await.sum(REFUSALS, &BY_FRAMES) };
    let mut took = Vec::new();
    while ended().await < 40.0 || took.len() < 100 {
        let begun = Instant::now();
        gateway.send(get("/other")).await.assert_from("origin");
        took.push(begun.elapsed());
        let mut multiplexed = gateway.connect_h2c().await;
        multiplexed.send(get("/other")).await.assert_from("origin");
    }
    took.sort();
    let at = |share: usize| took[took.len() * share / 100];
    eprintln!("beside floods: median {:?}, p99 {:?}", at(50), at(99));
    over.store(true, Ordering::Relaxed);
    for flood in floods {
        flood.await.expect("no panic");
    }
    until("connections that have gone", || {
        (origin.connections() < 20).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_connection_has_so_many_requests_open() {
    const REFUSED_STREAM: [u8; 4] = [0, 0, 0, 7];
    for (limits, most) in [("", 128), ("streams_per_connection: 3", 3)] {
        let (_origin, gateway) = start(limits).await;
        let mut client = Frames::open(gateway.address()).await;
        let open: Vec<_> = (0..=most).map(|n| post_frame(2 * n + 1, "/held")).collect();
        client.send(&open).await;
        let refused = client.next().await.expect("an open connection");
        assert_eq!((refused.kind, refused.stream), (RST_STREAM, 2 * most + 1));
        assert_eq!(refused.payload, REFUSED_STREAM);
        // One that has ended makes room.
        client.send(&[data(1, b"pay", true)]).await;
        let answer = client.answer(1).await;
        assert!(matches!(answer, StreamEnd::Answered(200, _)), "{answer:?}");
        let next = 2 * most + 3;
        client.send(&[get_frame(next, "/next")]).await;
        assert_eq!(client.end_of(next).await.kind, DATA);
    }
}
