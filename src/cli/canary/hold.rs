//! `serin canary register --hold`: a canary stays registered for as long as this process runs.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::anyhow;
use hyper::Method;
use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use super::register::Register;
use super::text;
use crate::cli::admin_client::{Failure, tell};
use crate::config::value;

/// How long the first pause is before the same request is sent again; later ones double.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// The shortest time between two renewals, whatever the TTL.
const SHORTEST_THIRD: Duration = Duration::from_millis(50);
/// How long taking it back may last once the signal has come.
const LEAVING: Duration = Duration::from_secs(10);

/// What ends holding.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From here on these signals no longer end the process by themselves.
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

/// Registers a canary and renews it until a signal comes; then takes it back.
pub(super) async fn hold(order: &Register, document: &Value, mut signals: Signals) -> ExitCode {
    let mut holder = Holder {
        order,
        document,
        place: None,
    };
    let failure = tokio::select! {
        failure = holder.keep() => Some(failure),
        () = signals.recv() => None,
    };
    match failure {
        Some(failure) => failure.told(),
        None => holder.leave().await,
    }
}

struct Holder<'a> {
    order: &'a Register,
    document: &'a Value,
    /// The canary's URL, as the gateway writes it; `None`: it has not answered yet.
    place: Option<String>,
}

impl Holder<'_> {
    /// Holds the registration; returns when it cannot be held.
    async fn keep(&mut self) -> Failure {
        let (answer, sent) = match self.begin().await {
            Ok(begun) => begun,
            Err(failure) => return failure,
        };
        let order = self.order;
        let announce = async {
            // While it waits, renewals go on: waiting may take longer than the TTL.
            match order.waited(answer.clone()).await {
                Ok(answer) => {
                    // That nobody reads what is printed is no reason to let go.
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

    /// Registers the canary, and when that was asked for; tries on while the gateway cannot be reached.
    async fn begin(&mut self) -> Result<(Value, Instant), Failure> {
        let mut pause = FIRST_PAUSE;
        loop {
            let sent = Instant::now();
            match self.order.put(self.document).await {
                Ok(answer) => {
                    self.place = place(&answer);
                    return Ok((answer, sent));
                }
                Err(failure @ Failure::TryAgain(_)) => {
                    tell(&format!("{failure}; it is tried again"));
                    rest(&mut pause, LONGEST_PAUSE).await;
                }
                Err(refused @ Failure::Refused { .. }) => return Err(refused),
            }
        }
    }

    async fn renew(&mut self, answer: &Value, mut sent: Instant) -> Failure {
        let mut third = match third(answer) {
            Ok(third) => third,
            Err(failure) => return failure,
        };
        let mut pause = FIRST_PAUSE;
        let mut due = sent + third;
        loop {
            tokio::time::sleep_until(due).await;
            sent = Instant::now();
            let renewed = match self.renewed().await {
                Ok(answer) => self.checked(&answer),
                Err(failure) => Err(failure),
            };
            match renewed {
                Ok(next) => {
                    if pause != FIRST_PAUSE {
                        tell(&format!("{} is renewed again", self.order.target));
                    }
                    (third, pause) = (next, FIRST_PAUSE);
                    due = sent + third;
                }
                Err(failure @ Failure::TryAgain(_)) => {
                    if pause == FIRST_PAUSE {
                        tell(&format!("{failure}; it is tried again"));
                    }
                    rest(&mut pause, third.min(LONGEST_PAUSE)).await;
                    due = Instant::now();
                }
                Err(refused @ Failure::Refused { .. }) => return refused,
            }
        }
    }

    /// Renews the registration; where the gateway has none any more, registers the canary anew.
    async fn renewed(&self) -> Result<Value, Failure> {
        let path = self.order.target.path("/renew");
        let asked = &self.order.asked;
        match asked.call(Method::POST, &path, None).await {
            Err(failure) if failure.is_not_found() => {
                let answer = self.order.put(self.document).await?;
                let target = &self.order.target;
                tell(&format!(
                    "{target} was not registered any more; it is again"
                ));
                Ok(answer)
            }
            other => other,
        }
    }

    /// When the next renewal is due, if the registration is still this process's own.
    fn checked(&self, answer: &Value) -> Result<Duration, Failure> {
        match place(answer) {
            Some(place) if !self.is_own(&place) => {
                let target = &self.order.target;
                let text = format!(
                    "{target} has been registered with another URL, {place}: this one gives way"
                );
                Err(anyhow!(text).into())
            }
            _ => third(answer),
        }
    }

    fn is_own(&self, place: &str) -> bool {
        match &self.place {
            Some(own) => own == place,
            None => self.order.url.trim_end_matches('/') == place.trim_end_matches('/'),
        }
    }

    /// Takes the registration back, unless somebody has registered another URL since.
    async fn leave(&self) -> ExitCode {
        let until = Instant::now() + LEAVING;
        let mut pause = FIRST_PAUSE;
        loop {
            let failure = match tokio::time::timeout_at(until, self.end()).await {
                Ok(Ok(())) => return ExitCode::SUCCESS,
                Ok(Err(failure)) => failure,
                Err(_) => {
                    let text = "the gateway did not answer: the registration ends with its TTL";
                    return Failure::TryAgain(anyhow!(text)).told();
                }
            };
            let is_passing = matches!(failure, Failure::TryAgain(_));
            if !is_passing || Instant::now() + pause >= until {
                return failure.told();
            }
            rest(&mut pause, LONGEST_PAUSE).await;
        }
    }

    async fn end(&self) -> Result<(), Failure> {
        let (asked, path) = (&self.order.asked, self.order.target.path(""));
        let shown = match asked.call(Method::GET, &path, None).await {
            Err(failure) if failure.is_not_found() => return Ok(()),
            shown => shown?,
        };
        if place(&shown).is_some_and(|place| !self.is_own(&place)) {
            return Ok(());
        }
        match asked.call(Method::DELETE, &path, None).await {
            Err(failure) if failure.is_not_found() => Ok(()),
            ended => ended.map(drop),
        }
    }
}

/// Where the canary was registered last.
fn place(answer: &Value) -> Option<String> {
    let moving = answer["moving_to"].as_str();
    moving.or(answer["url"].as_str()).map(str::to_owned)
}

/// A third of the TTL: two renewals may fail before the lease is over.
fn third(answer: &Value) -> Result<Duration, Failure> {
    let ttl = answer.pointer("/lease/ttl").and_then(Value::as_str);
    let ttl = ttl.and_then(|text| value::duration(text).ok());
    let ttl = ttl.ok_or_else(|| anyhow!("the gateway's answer does not say for how long"))?;
    Ok((ttl / 3).max(SHORTEST_THIRD))
}

/// Pauses before the next attempt, for a time that differs: many of these processes lose the same gateway at once.
async fn rest(pause: &mut Duration, longest: Duration) {
    let part = rand::random_range(0.5..=1.0);
    tokio::time::sleep((*pause).min(longest).mul_f64(part)).await;
    *pause = (*pause * 2).min(LONGEST_PAUSE);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::{place, third};

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
        assert_eq!(place(&moving).as_deref(), Some("http://b"));
        let there = json!({ "url": "http://a", "moving_to": null });
        assert_eq!(place(&there).as_deref(), Some("http://a"));
    }
}
