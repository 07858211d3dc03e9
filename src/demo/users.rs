//! Simulated users: a trickle of requests through real sockets.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// One request of anybody after the other: fifty a second.
const PAUSE: Duration = Duration::from_millis(20);
/// Requests that may be under way; when so many are, users wait.
const UNDER_WAY: usize = 64;
/// How long a user waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long what is under way may take at the end.
const LAST_ANSWERS: Duration = Duration::from_millis(500);
/// Shorter than the gateway's own limit, so that no request is sent on a connection that is being closed.
const IDLE: Duration = Duration::from_secs(20);

/// How the users fared.
#[derive(Debug, Default)]
pub(super) struct UserCounts {
    answered: AtomicU64,
    failed: AtomicU64,
    last_failure: Mutex<Option<String>>,
}

impl UserCounts {
    /// How many requests were answered.
    pub(super) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// How many were not, or with a server's error.
    pub(super) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// How the last of them failed.
    pub(super) fn last_failure(&self) -> Option<String> {
        let last = self.last_failure.lock();
        last.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, result: Result<(), String>) {
        let Err(failure) = result else {
            self.answered.fetch_add(1, Ordering::Relaxed);
            return;
        };
        self.failed.fetch_add(1, Ordering::Relaxed);
        let mut last = self
            .last_failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *last = Some(failure);
    }
}

/// Whoever asks.
#[derive(Clone, Debug, PartialEq, Eq)]
struct User {
    id: String,
    email: Option<String>,
    customer: Option<&'static str>,
    app_version: &'static str,
}

/// Sixty users: the team, a customer's, and the rest, with apps old and new.
fn population() -> Vec<User> {
    let team = ["alice", "carol", "dave", "heidi", "ivan"];
    let versions = ["9.4.0", "10.0.3", "10.1.0", "10.2.1"];
    let names = team.into_iter().map(str::to_owned);
    names
        .chain((1..=55).map(|number| format!("user-{number}")))
        .zip(versions.into_iter().cycle())
        .enumerate()
        .map(|(index, (id, app_version))| User {
            email: (index < team.len()).then(|| format!("{id}@search.example.com")),
            customer: match index {
                5..13 => Some("112233"),
                13..20 => Some("445566"),
                _ => None,
            },
            id,
            app_version,
        })
        .collect()
}

/// Asks on and on, until `stop` comes true or its other end is gone, and what is under way has been answered.
pub(super) async fn ask(
    gateway: SocketAddr,
    tally: Arc<UserCounts>,
    mut stop: watch::Receiver<bool>,
) {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .build(connector);
    let users = population();
    let mut pace = tokio::time::interval(PAUSE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = under_way.join_next() => {}
            _ = pace.tick(), if under_way.len() < UNDER_WAY => {
                let chosen = users.get(rand::random_range(0..users.len()));
                let Some(request) = chosen.and_then(|user| request(gateway, user)) else {
                    continue;
                };
                let (client, tally) = (client.clone(), tally.clone());
                under_way.spawn(async move { tally.note(outcome(&client, request).await) });
            }
        }
    }
    let rest = async { while under_way.join_next().await.is_some() {} };
    // Nobody waits longer than that for a demo to end.
    let _ = tokio::time::timeout(LAST_ANSWERS, rest).await;
}

fn request(gateway: SocketAddr, user: &User) -> Option<Request<Empty<Bytes>>> {
    let mut request = Request::get(format!("http://{gateway}/search"))
        .header("x-user-id", &user.id)
        .header("x-app-version", user.app_version);
    if let Some(email) = &user.email {
        request = request.header("x-email", email);
    }
    if let Some(customer) = user.customer {
        request = request.header("x-customer-id", customer);
    }
    request.body(Empty::new()).ok()
}

/// Sends a request and reads its whole answer; what is wrong with it, in words.
async fn outcome(
    client: &Client<HttpConnector, Empty<Bytes>>,
    request: Request<Empty<Bytes>>,
) -> Result<(), String> {
    let exchange = async {
        let response = client.request(request).await;
        whole(response.map_err(|error| error.to_string())?).await
    };
    let answered = tokio::time::timeout(PATIENCE, exchange).await;
    answered.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")))
}

async fn whole(response: Response<Incoming>) -> Result<(), String> {
    let status = response.status();
    let body = response.into_body().collect().await;
    body.map_err(|error| error.to_string())?;
    if status.is_server_error() {
        return Err(status.to_string());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{UserCounts, population};

    #[test]
    fn every_user_is_somebody_else_and_every_audience_is_there() {
        let users = population();
        let ids: BTreeSet<_> = users.iter().map(|user| &user.id).collect();
        assert_eq!((users.len(), ids.len()), (60, 60));
        let count = |which: fn(&super::User) -> bool| users.iter().filter(|u| which(u)).count();
        assert_eq!(count(|user| user.email.is_some()), 5);
        assert_eq!(count(|user| user.customer == Some("112233")), 8);
        assert_eq!(count(|user| user.app_version == "10.2.1"), 15);
    }

    #[test]
    fn a_failure_is_counted_and_kept() {
        let tally = UserCounts::default();
        tally.note(Ok(()));
        tally.note(Err("502 Bad Gateway".to_owned()));
        assert_eq!((tally.answered(), tally.failed()), (1, 1));
        assert_eq!(tally.last_failure().as_deref(), Some("502 Bad Gateway"));
    }
}
