//! A project of Mixpanel's, as far as its import API is concerned: it takes batches within its bounds, refuses single events, and
//! drops repeats of an event that has the same user, time and ID. And it fails in every way.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::book::{Exposures, Told};
use crate::harness::{Posted, SinkReply};

/// What Mixpanel takes at once.
const EVENTS: usize = 2_000;
const BYTES: usize = 1_900_000;
/// Once in so many batches the answer is lost: what was taken comes again.
const LOST: usize = 6;

/// How it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It does not.
    None,
    /// 500, 503, 429.
    Errors,
    /// It says nothing.
    Silence,
    /// It takes no more than a hundred events at once; those it takes, and says nothing of it.
    Narrow,
    /// The credentials are wrong.
    Denies,
}

/// The project.
#[derive(Clone)]
pub(super) struct Project(Arc<Mutex<State>>);

struct State {
    trouble: Trouble,
    requests: usize,
    /// All that ever came, taken or not.
    seen: Exposures,
    /// What is in effect.
    taken: Exposures,
    repeats: usize,
    wrong: Vec<String>,
}

impl Project {
    /// One without events.
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            trouble: Trouble::None,
            requests: 0,
            seen: Exposures::new(),
            taken: Exposures::new(),
            repeats: 0,
            wrong: Vec::new(),
        })))
    }

    /// Fails like this from now on.
    pub(super) fn fail(&self, trouble: Trouble) {
        self.state().trouble = trouble;
    }

    /// What is in effect.
    pub(super) fn taken(&self) -> Exposures {
        self.state().taken.clone()
    }

    /// How many events are in effect, and how many came that were already.
    pub(super) fn counts(&self) -> (usize, usize) {
        let state = self.state();
        (state.taken.len(), state.repeats)
    }

    /// Fails if something came twice that was not the same, or was no import.
    pub(super) fn assert_well_told(&self) {
        assert_eq!(self.state().wrong, Vec::<String>::new());
    }

    /// Whether it refuses a user's event for good.
    pub(super) fn refuses(user: &str) -> bool {
        let number = user
            .strip_prefix('u')
            .and_then(|number| number.parse().ok());
        number.is_none_or(|number: usize| number % 101 == 7)
    }

    /// Answers a request.
    pub(super) fn answer(&self, posted: &Posted) -> SinkReply {
        let mut state = self.state();
        state.requests += 1;
        state.look_at(posted);
        let events = posted.events();
        let status = |code: u16| SinkReply::Status(code, json!({ "code": code, "error": "no" }));
        match state.trouble {
            Trouble::Denies => status(401),
            Trouble::Silence => SinkReply::Silence,
            Trouble::Errors => match state.requests % 3 {
                0 => SinkReply::Busy(1),
                1 => status(500),
                _ => status(503),
            },
            Trouble::Narrow if events.len() > 100 => status(413),
            Trouble::Narrow => {
                state.import(events);
                SinkReply::Cut
            }
            Trouble::None if events.len() > EVENTS || posted.bytes.len() > BYTES => status(413),
            Trouble::None => {
                let reply = state.import(events);
                match state.requests % LOST {
                    0 => SinkReply::Cut,
                    _ => reply,
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Notes what is no import, and what came before with another user, deployment or time.
    fn look_at(&mut self, posted: &Posted) {
        let basic = format!("Basic {}", STANDARD.encode("me:s"));
        let is_import = posted.path == "/import?strict=1&project_id=1"
            && posted.header("authorization") == basic
            && !posted.events().is_empty();
        if !is_import {
            self.wrong.push(format!("{:.300}", format!("{posted:?}")));
        }
        for event in posted.events() {
            let (id, told) = read(event);
            let before = self.seen.entry(id).or_insert_with(|| told.clone());
            if *before != told {
                self.wrong.push(format!("{before:?}, then {told:?}"));
            }
        }
    }

    /// Takes what it does not refuse, and answers as Mixpanel does.
    fn import(&mut self, events: &[Value]) -> SinkReply {
        let mut failed = Vec::new();
        for (index, event) in events.iter().enumerate() {
            let (id, told) = read(event);
            if Project::refuses(&told.user) {
                failed.push(json!({
                    "index": index, "insert_id": id, "field": "properties.distinct_id", "message": "not this one",
                }));
            } else if self.taken.insert(id, told).is_some() {
                self.repeats += 1;
            }
        }
        let imported = events.len() - failed.len();
        match failed.is_empty() {
            true => SinkReply::Status(
                200,
                json!({ "code": 200, "num_records_imported": imported, "status": "OK" }),
            ),
            false => SinkReply::Status(
                400,
                json!({
                    "code": 400, "error": "some data points in the request failed validation",
                    "failed_records": failed, "num_records_imported": imported, "status": "Bad Request",
                }),
            ),
        }
    }
}

fn read(event: &Value) -> (String, Told) {
    let told = &event["properties"];
    let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
    let exposure = Told {
        user: text("distinct_id"),
        served: text("served"),
        time: told["time"].as_i64().unwrap_or_default(),
    };
    (text("$insert_id"), exposure)
}
