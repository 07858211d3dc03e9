//! `serin canary register --hold`: a canary stays registered for as long as this process runs.

use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::anyhow;
use hyper::Method;
use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::register::Register;
use super::text;
use crate::cli::admin_client::{Failure, tell};
use crate::config::value;

/// The first pause before the same request is sent again; later ones double.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// The shortest time between two renewals, whatever the TTL.
const SHORTEST_THIRD: Duration = Duration::from_millis(50);
/// How long the end of the registration may take once the signal has come.
const LEAVING: Duration = Duration::from_secs(10);

/// SIGTERM and SIGINT.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Catches them: they no longer end the process by themselves.
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Registers a canary and renews it until a signal comes; then ends the registration.
pub(super) async fn hold(order: &Register, document: &Value, mut signals: Signals) -> ExitCode {
    let holder = Holder {
        order,
        document,
        place: Mutex::new(None),
    };
    let mut kept = pin!(holder.keep());
    let failure = tokio::select! {
        failure = &mut kept => Some(failure),
        () = signals.recv() => None,
    };
    if let Some(failure) = failure {
        return failure.report();
    }
    // A request that registers the canary goes on meanwhile: `leave` waits for its end.
    let finish = async {
        kept.await.report();
        std::future::pending().await
    };
    tokio::select! {
        biased;
        code = holder.leave() => code,
        code = finish => code,
    }
}

struct Holder<'a> {
    order: &'a Register,
    document: &'a Value,
    /// The canary's URL, as the gateway writes it; `None`: it has not answered yet. Locked while a request that registers the
    /// canary is under way, so that the request that ends the registration cannot overtake it.
    place: Mutex<Option<String>>,
}

impl Holder<'_> {
    /// Holds the registration; returns when it cannot be held.
    async fn keep(&self) -> Failure {
        let (answer, sent) = match self.begin().await {
            Ok(begun) => begun,
            Err(failure) => return failure,
        };
        let order = self.order;
        let announce = async {
            // Renewals go on meanwhile: waiting may take longer than the TTL.
            match order.waited(answer.clone()).await {
                Ok(answer) => {
                    // A closed standard output is no reason to give the canary up.
                    let _ = order.asked.print(&answer, text::registered);
                    std::future::pending().await
                }
                Err(failure) => failure,
            }
        };
        tokio::select! {
            failure = announce => failure,
            failure = self.renew(&answer, sent) => failure,
        }
    }

    /// Registers the canary, and says when the request was sent; repeats it while the gateway cannot be reached.
    async fn begin(&self) -> Result<(Value, Instant), Failure> {
        let mut pause = FIRST_PAUSE;
        loop {
            let sent = Instant::now();
            match self.register().await {
                Ok(answer) => return Ok((answer, sent)),
                Err(failure @ Failure::TryAgain(_)) => {
                    tell(&format!("{failure}; trying again"));
                    rest(&mut pause, LONGEST_PAUSE).await;
                }
                Err(refused @ Failure::Refused { .. }) => return Err(refused),
            }
        }
    }

    async fn register(&self) -> Result<Value, Failure> {
        let mut place = self.place.lock().await;
        let answer = self.order.put(self.document).await?;
        *place = place_of(&answer);
        Ok(answer)
    }

    async fn renew(&self, answer: &Value, mut sent: Instant) -> Failure {
        let mut third = match third(answer) {
            Ok(third) => third,
            Err(failure) => return failure,
        };
        let mut pause = FIRST_PAUSE;
        let mut due = sent + third;
        loop {
            tokio::time::sleep_until(due).await;
            sent = Instant::now();
            match self.renewed().await {
                Ok(next) => {
                    if pause != FIRST_PAUSE {
                        tell(&format!("{} is renewed again", self.order.target));
                    }
                    (third, pause) = (next, FIRST_PAUSE);
                    due = sent + third;
                }
                Err(failure @ Failure::TryAgain(_)) => {
                    // Once an outage: nobody reads a line every few seconds for hours.
                    if pause == FIRST_PAUSE {
                        tell(&format!("{failure}; trying again"));
                    }
                    rest(&mut pause, third.min(LONGEST_PAUSE)).await;
                    due = Instant::now();
                }
                Err(refused @ Failure::Refused { .. }) => return refused,
            }
        }
    }

    /// Renews the registration; where the gateway has none any more, registers the canary anew. Returns when the next renewal
    /// is due.
    async fn renewed(&self) -> Result<Duration, Failure> {
        let path = self.order.target.path("/renew");
        let asked = &self.order.asked;
        match asked.call(Method::POST, &path, None).await {
            Err(failure) if failure.is_not_found() => {
                let answer = self.register().await?;
                let target = &self.order.target;
                tell(&format!(
                    "{target} was not registered any more; it is again"
                ));
                third(&answer)
            }
            Err(failure) => Err(failure),
            Ok(answer) => self.checked(&answer).await,
        }
    }

    /// When the next renewal is due, if the registration is still this process's own.
    async fn checked(&self, answer: &Value) -> Result<Duration, Failure> {
        let own = self.place.lock().await;
        match place_of(answer) {
            Some(place) if !self.is_own(own.as_deref(), &place) => {
                let target = &self.order.target;
                let text = format!(
                    "{target} has been registered with another URL, {place}: this one gives way"
                );
                Err(anyhow!(text).into())
            }
            _ => third(answer),
        }
    }

    fn is_own(&self, own: Option<&str>, place: &str) -> bool {
        match own {
            Some(own) => own == place,
            None => self.order.url.trim_end_matches('/') == place.trim_end_matches('/'),
        }
    }

    /// Ends the registration, unless another URL has been registered since.
    async fn leave(&self) -> ExitCode {
        let until = Instant::now() + LEAVING;
        let mut pause = FIRST_PAUSE;
        let Ok(own) = tokio::time::timeout_at(until, self.place.lock()).await else {
            return no_answer().report();
        };
        loop {
            let end = self.end(own.as_deref());
            let failure = match tokio::time::timeout_at(until, end).await {
                Ok(Ok(())) => return ExitCode::SUCCESS,
                Ok(Err(failure)) => failure,
                Err(_) => return no_answer().report(),
            };
            let is_passing = matches!(failure, Failure::TryAgain(_));
            if !is_passing || Instant::now() + pause >= until {
                return failure.report();
            }
            rest(&mut pause, LONGEST_PAUSE).await;
        }
    }

    async fn end(&self, own: Option<&str>) -> Result<(), Failure> {
        let (asked, path) = (&self.order.asked, self.order.target.path(""));
        let shown = match asked.call(Method::GET, &path, None).await {
            Err(failure) if failure.is_not_found() => return Ok(()),
            shown => shown?,
        };
        if place_of(&shown).is_some_and(|place| !self.is_own(own, &place)) {
            return Ok(());
        }
        match asked.call(Method::DELETE, &path, None).await {
            Err(failure) if failure.is_not_found() => Ok(()),
            ended => ended.map(drop),
        }
    }
}

fn no_answer() -> Failure {
    let text = "the gateway did not answer: the registration ends with its TTL";
    Failure::TryAgain(anyhow!(text))
}

/// The URL that was registered last.
fn place_of(answer: &Value) -> Option<String> {
    let moving = answer["moving_to"].as_str();
    moving.or(answer["url"].as_str()).map(str::to_owned)
}

/// A third of the TTL: two renewals may fail before the lease is over.
fn third(answer: &Value) -> Result<Duration, Failure> {
    let ttl = answer.pointer("/lease/ttl").and_then(Value::as_str);
    let ttl = ttl.and_then(|text| value::duration(text).ok());
    let ttl = ttl.ok_or_else(|| anyhow!("the gateway's answer has no TTL"))?;
    Ok((ttl / 3).max(SHORTEST_THIRD))
}

/// Waits before the next attempt, for a random part of `pause`: many of these processes lose the same gateway at once.
async fn rest(pause: &mut Duration, longest: Duration) {
    let part = rand::random_range(0.5..=1.0);
    tokio::time::sleep((*pause).min(longest).mul_f64(part)).await;
    *pause = (*pause * 2).min(LONGEST_PAUSE);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::{place_of, third};

    #[test]
    fn renewals_are_due_every_third_of_the_ttl() {
        let due = |ttl: &str| third(&json!({ "lease": { "ttl": ttl } })).ok();
        assert_eq!(due("15m"), Some(Duration::from_secs(300)));
        assert_eq!(due("0s"), Some(Duration::from_millis(50)));
        assert_eq!(due("soon"), None);
        assert!(third(&json!({})).is_err());
    }

    #[test]
    fn a_canary_that_moves_is_where_it_moves_to() {
        let moving = json!({ "url": "http://a", "moving_to": "http://b" });
        assert_eq!(place_of(&moving).as_deref(), Some("http://b"));
        let there = json!({ "url": "http://a", "moving_to": null });
        assert_eq!(place_of(&there).as_deref(), Some("http://a"));
    }
}
