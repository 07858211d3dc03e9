//! A gateway that is killed at random moments, while pipelines and people write to it: nothing that was answered is lost.

use std::collections::BTreeMap;
use std::hint::spin_loop;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use hyper::Method;
use rand::RngExt as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::{CANARIES, House, Member, array, team};
use crate::harness::{Answer, Call, Connection, Gateway, Setup, eventually, post};

/// How often the gateway is killed, with files alone and with Redis, unless the environment variable `CRASHES` says it.
const CRASHES: usize = 20;
/// How many write at a time, each to things of its own.
const WRITERS: usize = 6;

/// What is written: a kill, a registration, a flag, a segment. Its state is a number; 0: there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    Kill(usize),
    Canary(usize),
    Flag(usize),
    Segment(usize),
}

/// What the last answer said of a thing, and what an order without an answer wants.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    state: u64,
    wanted: Option<u64>,
}

type Book = Mutex<BTreeMap<Thing, Known>>;

impl Thing {
    /// What one writer writes to.
    fn of(writer: usize) -> [Self; 4] {
        [
            Self::Kill(writer),
            Self::Canary(writer),
            Self::Flag(writer),
            Self::Segment(writer),
        ]
    }

    fn name(self) -> String {
        match self {
            Self::Kill(number) => format!("search.k{number}"),
            Self::Canary(number) => format!("search.c{number}"),
            Self::Flag(number) => format!("search.f{number}"),
            Self::Segment(number) => format!("s{number}"),
        }
    }

    /// What follows on a state, at random: another one, or none.
    fn after(self, state: u64) -> u64 {
        match self {
            _ if state > 0 && rand::rng().random_range(0..3) == 0 => 0,
            Self::Kill(_) => u64::from(state == 0),
            Self::Canary(_) | Self::Flag(_) | Self::Segment(_) => state % 90 + 1,
        }
    }

    fn path(self) -> String {
        let name = self.name();
        match self {
            Self::Kill(_) | Self::Canary(_) => format!("{CANARIES}/{name}"),
            Self::Flag(_) => format!("/api/v1/flags/{name}"),
            Self::Segment(_) => format!("/api/v1/segments/{name}"),
        }
    }

    /// The order that makes it so.
    fn order(self, state: u64, url: &str) -> Call {
        let path = self.path();
        let document = match self {
            Self::Kill(_) => {
                let verb = if state == 0 { "restore" } else { "kill" };
                return post(&format!("{path}/{verb}"), r#"{"ahead":true}"#);
            }
            _ if state == 0 => return Call::new(Method::DELETE, &path),
            Self::Canary(_) => {
                let mut body = team(url);
                body["commit"] = json!(state.to_string());
                body
            }
            Self::Flag(_) => {
                let rings = json!([{ "name": "all", "rollout": format!("{state}%") }]);
                json!({ "url": url, "rings": rings })
            }
            Self::Segment(_) => json!({ "userId": [state.to_string()] }),
        };
        super::call(Method::PUT, &path, &document)
    }
}

/// The answer to an order; `None`: the gateway is gone.
async fn ordered(admin: SocketAddr, call: Call) -> Option<Answer> {
    let stream = TcpStream::connect(admin).await.ok()?;
    let call = call.host(&admin.to_string()).said_to_be_json();
    let answer = Connection::over(stream).await.try_send(call).await.ok()?;
    assert!([200, 201].contains(&answer.status), "{answer:?}");
    let said = answer.json();
    assert!(said["stored"] != false, "{answer:?}");
    Some(answer)
}

/// Writes until the gateway is gone: the writer that gets the last answer kills it.
async fn write(
    (gateway, url): (&Gateway, &str),
    things: [Thing; 4],
    book: &Book,
    answers: &AtomicUsize,
    last: usize,
) {
    for turn in 0.. {
        let thing = things[turn % things.len()];
        let wanted = {
            let mut book = book.lock().expect("no panic");
            let known = book.entry(thing).or_default();
            *known.wanted.insert(thing.after(known.state))
        };
        let order = thing.order(wanted, url);
        if ordered(gateway.admin_address(), order).await.is_none() {
            return;
        }
        let known = Known {
            state: wanted,
            wanted: None,
        };
        book.lock().expect("no panic").insert(thing, known);
        if answers.fetch_add(1, Ordering::Relaxed) + 1 == last {
            // Anywhere in the writes of the others.
            for _ in 0..rand::rng().random_range(0..200_000) {
                spin_loop();
            }
            gateway.sigkill();
            return;
        }
    }
}

/// The state of everything that there is, as a gateway tells it.
async fn told(member: &Member) -> BTreeMap<String, u64> {
    let mut told = BTreeMap::new();
    let number = |text: &Value| {
        let text = text.as_str().expect("a text").trim_end_matches('%');
        text.parse::<u64>().expect("a number")
    };
    let service = member.shown("/api/v1/services/search").await;
    for kill in array(&service["kills"]) {
        told.insert(kill["flag"].as_str().expect("a name").to_owned(), 1);
    }
    for canary in array(&member.shown(CANARIES).await["canaries"]) {
        if canary["state"] != "over" {
            let name = canary["name"].as_str().expect("a name").to_owned();
            told.insert(name, number(&canary["commit"]));
        }
    }
    for flag in array(&member.shown("/api/v1/flags").await["flags"]) {
        let name = flag["name"].as_str().expect("a name").to_owned();
        // Not those that registrations bring along, nor the one of the file.
        if name.starts_with("search.f") {
            told.insert(name, number(&flag["rings"][0]["rollout"]));
        }
    }
    for segment in array(&member.shown("/api/v1/segments").await["segments"]) {
        if segment["kept_by"] == "serin" {
            let name = segment["name"].as_str().expect("a name").to_owned();
            let shown = member.shown(&format!("/api/v1/segments/{name}")).await;
            told.insert(name, number(&shown["userId"][0]));
        }
    }
    told
}

/// Holds what a gateway tells against the book, which goes on from there.
async fn assert_kept(member: &Member, book: &Book, crash: usize) {
    let told = told(member).await;
    for (thing, known) in book.lock().expect("no panic").iter_mut() {
        let state = told.get(&thing.name()).copied().unwrap_or_default();
        assert!(
            state == known.state || Some(state) == known.wanted,
            "crash {crash}: {thing:?} was {known:?} and is {state}"
        );
        *known = Known {
            state,
            wanted: None,
        };
    }
}

/// Kills a gateway time and again, and holds what the next one tells against what was answered. The last of them.
async fn crashes(house: &House, setup: impl Fn(&TempDir) -> Setup) -> Member {
    let crashes = std::env::var("CRASHES").map_or(CRASHES, |text| text.parse().expect("a number"));
    let book = Book::default();
    let mut state = TempDir::new().expect("a folder");
    let (mut answered, mut cut_short) = (0, 0);
    let url = house.canary.url();
    for crash in 0..crashes {
        let gateway = setup(&state).launch().await;
        let mut member = Member { gateway, state };
        assert_kept(&member, &book, crash).await;
        let (answers, last) = (AtomicUsize::new(0), rand::rng().random_range(1..30));
        let writers = (0..WRITERS).map(|number| {
            let things = Thing::of(number);
            write((&member.gateway, &*url), things, &book, &answers, last)
        });
        join_all(writers).await;
        member.gateway.await_exit().await;
        answered += answers.into_inner();
        let book = book.lock().expect("no panic");
        cut_short += book.values().filter(|known| known.wanted.is_some()).count();
        state = member.state;
    }
    println!("{crashes} crashes, {answered} writes answered, {cut_short} not");
    // Otherwise nothing was at stake.
    assert!(
        answered > crashes && cut_short > crashes,
        "{answered}, {cut_short}"
    );
    let gateway = setup(&state).start().await;
    let member = Member { gateway, state };
    assert_kept(&member, &book, crashes).await;
    member
}

#[tokio::test]
async fn with_files_alone_nothing_that_was_answered_is_lost() {
    let house = House::new().await;
    crashes(&house, |state| house.alone(state)).await;
}

#[tokio::test]
async fn with_redis_nothing_that_was_answered_is_lost_anywhere() {
    let house = House::new().await;
    // It hears of everything, and is never killed.
    let standing = house.member().await;
    let member = crashes(&house, |state| house.setup(state)).await;
    let newcomer = house.member().await;
    let kept = told(&member).await;
    for other in [standing, newcomer] {
        eventually("another gateway that tells the same", || async {
            (told(&other).await == kept).then_some(())
        })
        .await;
    }
}
