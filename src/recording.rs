//! Has canaries recorded on a flag server as pipelines register them, and withdrawn as they leave.
//!
//! Registrations never wait for it. What has yet to be done is read off them: each notes what its flag says of it
//! ([`Recorded`]), so that a restart, another gateway or a flag server
//! that was away loses nothing, and nothing is done twice.

mod turn;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::clock;
use crate::events::{EventKind, Events, Heard};
use crate::registry::registrations::lease::Lease;
use crate::registry::registrations::record::{About, Recorded};
use crate::registry::registrations::{ChangeError, Name, Registrations};
use crate::source::unleash::{CanaryRecord, Recorder};
use crate::state::{Kind, StoreError};
use turn::Turn;

/// How soon it is tried again what could not be done, and looked at what other gateways have changed.
const SOON: Duration = Duration::from_secs(1);
/// How often every registration is looked at.
const LOOK: Duration = Duration::from_secs(10);

/// Has canaries recorded by `recorder` until `events` says that the process ends.
pub async fn follow(registrations: Registrations, recorder: Recorder, events: Events) {
    let recording = Recording {
        turn: Turn::new(registrations.store().clone()),
        registrations,
        recorder,
        place: None,
        tasks: BTreeMap::new(),
        begun: BTreeSet::new(),
        elsewhere: BTreeSet::new(),
    };
    recording.run(events).await;
}

struct Recording {
    registrations: Registrations,
    recorder: Recorder,
    turn: Turn,
    /// Where canaries are recorded.
    place: Option<String>,
    /// What is to be done, by flag.
    tasks: BTreeMap<Arc<str>, Task>,
    /// Registrations whose flag may have been written to, and that do not note it yet.
    begun: BTreeSet<Name>,
    /// Registrations that were recorded in another place than canaries now are.
    elsewhere: BTreeSet<Name>,
}

#[derive(Debug)]
struct Task {
    name: Name,
    wish: Wish,
    stage: Stage,
}

/// What a flag is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wish {
    /// That there is a canary.
    Record { url: String, about: About },
    /// That there is none any more.
    Withdraw,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The recorder does not know of it.
    Waiting,
    /// The recorder is at it.
    Asked,
    /// It is done, and has yet to be noted in the registration.
    Done,
}

impl Recording {
    async fn run(mut self, events: Events) {
        let mut events = events.listen();
        let mut news = self.recorder.news();
        let store = self.registrations.store().clone();
        let mut others = store.subscribe(Kind::Registrations);
        let mut turns = self.turn.changes();
        let mut look_at = Instant::now();
        loop {
            if Instant::now() >= look_at {
                self.look_at_all();
                look_at = Instant::now() + LOOK;
            }
            self.step().await;
            let next = match self.tasks.is_empty() || self.place.is_none() {
                true => look_at,
                false => look_at.min(Instant::now() + SOON),
            };
            tokio::select! {
                heard = events.next() => match heard {
                    None => break,
                    Some(Heard::Lagged(_)) => look_at = Instant::now(),
                    Some(Heard::Event(event)) => {
                        if let EventKind::Registered { service, flag, .. } = &event.what {
                            self.look_at(&(service.clone(), flag.clone()));
                        }
                    }
                },
                Ok(()) = news.changed() => {}
                // Renewals are told, too: so many are looked at together.
                Ok(()) = others.changed() => look_at = look_at.min(Instant::now() + SOON),
                Ok(()) = turns.changed() => {}
                () = sleep(next.saturating_duration_since(Instant::now())) => {}
            }
        }
        self.turn.release().await;
    }

    /// Does what can be done now.
    async fn step(&mut self) {
        let place = self.recorder.place();
        if place != self.place {
            self.move_to(place);
        }
        if self.tasks.is_empty() || self.place.is_none() {
            return self.turn.release().await;
        }
        if !self.turn.take().await {
            return self.leave_to_another();
        }
        self.ask();
        self.note_done().await;
    }

    /// Whatever is recorded in another place has yet to be recorded in this one.
    fn move_to(&mut self, place: Option<String>) {
        self.elsewhere.clear();
        if let Some(place) = &place {
            self.registrations.each(|name, lease| {
                let recorded = lease.record.recorded.as_ref();
                if recorded.is_some_and(|recorded| recorded.place != *place) {
                    self.elsewhere.insert(name.clone());
                }
            });
        }
        self.place = place;
        self.leave_to_another();
        self.look_at_all();
    }

    /// Asks the recorder for nothing any more; what is to be done stays.
    fn leave_to_another(&mut self) {
        for (flag, task) in &mut self.tasks {
            if task.stage != Stage::Waiting {
                task.stage = Stage::Waiting;
                self.recorder.forget(flag);
            }
        }
    }

    fn look_at_all(&mut self) {
        let now = clock::reading();
        let mut names: BTreeSet<Name> = self.tasks.values().map(|task| task.name.clone()).collect();
        self.registrations.each(|name, lease| {
            if self.wish(name, lease, now).is_some() {
                names.insert(name.clone());
            }
        });
        for name in &names {
            self.look_at(name);
        }
    }

    /// Looks at what is to be done about one registration.
    fn look_at(&mut self, name: &Name) {
        let lease = self.registrations.get(name);
        let wish = lease.and_then(|lease| self.wish(name, &lease, clock::reading()));
        let wish = wish.filter(|wish| *wish != Wish::Withdraw || !self.is_anothers(name));
        let task = self.tasks.get(&name.1);
        match wish {
            Some(wish) if task.is_some_and(|task| task.name == *name && task.wish == wish) => {}
            Some(wish) => {
                let task = Task {
                    name: name.clone(),
                    wish,
                    stage: Stage::Waiting,
                };
                self.tasks.insert(name.1.clone(), task);
            }
            None if task.is_some_and(|task| task.name == *name) => {
                self.tasks.remove(&name.1);
                self.recorder.forget(&name.1);
            }
            None => {}
        }
    }

    fn wish(&self, name: &Name, lease: &Lease, now: clock::Reading) -> Option<Wish> {
        let record = &lease.record;
        if record.ended_at_unix_ms.is_some() {
            let may_be_there = record.recorded.is_some() || self.begun.contains(name);
            return may_be_there.then_some(Wish::Withdraw);
        }
        let is_said = record.is_recorded() && !self.elsewhere.contains(name);
        (!is_said && !lease.is_over(now)).then(|| Wish::Record {
            url: record.url.clone(),
            about: record.about.clone(),
        })
    }

    /// Whether another service has a canary of this name: then the flag is that one's.
    fn is_anothers(&self, (service, flag): &Name) -> bool {
        let mut is_anothers = false;
        self.registrations.each(|(of, name), lease| {
            is_anothers |= name == flag && of != service && lease.record.ended_at_unix_ms.is_none();
        });
        is_anothers
    }

    /// Gives the recorder what it does not know of.
    fn ask(&mut self) {
        let waiting = self.tasks.iter_mut();
        for (flag, task) in waiting.filter(|(_, task)| task.stage == Stage::Waiting) {
            task.stage = Stage::Asked;
            match &task.wish {
                Wish::Record { url, about } => {
                    self.begun.insert(task.name.clone());
                    self.recorder.record(record(&task.name, url, about));
                }
                Wish::Withdraw => self.recorder.withdraw(flag),
            }
        }
    }

    /// Notes in the registrations what the recorder has done.
    async fn note_done(&mut self) {
        for flag in self.recorder.fulfilled() {
            match self.tasks.get_mut(&flag) {
                Some(task) if task.stage == Stage::Asked => task.stage = Stage::Done,
                Some(_) => {}
                None => self.recorder.forget(&flag),
            }
        }
        let done = self.tasks.values().filter(|task| task.stage == Stage::Done);
        let done: Vec<(Name, Wish)> = done
            .map(|task| (task.name.clone(), task.wish.clone()))
            .collect();
        for (name, wish) in done {
            if self.note(&name, &wish).await {
                self.tasks.remove(&name.1);
                self.recorder.forget(&name.1);
                self.begun.remove(&name);
                self.elsewhere.remove(&name);
                // It may say something else by this time.
                self.look_at(&name);
            }
        }
    }

    /// Whether it is noted, or need not be.
    async fn note(&self, name: &Name, wish: &Wish) -> bool {
        let recorded = match wish {
            Wish::Withdraw => None,
            Wish::Record { url, about } => Some(Recorded {
                place: self.place.clone().unwrap_or_default(),
                url: url.clone(),
                about: about.clone(),
            }),
        };
        let noted = self.registrations.change(name, |lease| {
            let mut record = lease.ok_or(())?.record.clone();
            record.note_recorded(recorded.clone());
            Ok::<_, ()>((Some(record), ()))
        });
        let (service, canary) = (&*name.0, &*name.1);
        match noted.await {
            Ok(_) => {
                let done = match wish {
                    Wish::Record { .. } => "a registered canary is recorded in Unleash",
                    Wish::Withdraw => "a canary that has left is withdrawn in Unleash",
                };
                tracing::info!(service, canary, "{done}");
                true
            }
            Err(ChangeError::Refused(())) => true,
            // Another gateway was faster: the next attempt sees what it left.
            Err(ChangeError::Store(StoreError::Changed(_))) => false,
            Err(ChangeError::Store(error)) => {
                tracing::warn!(service, canary, %error, "what is recorded of this canary cannot be noted yet");
                false
            }
        }
    }
}

fn record((service, flag): &Name, url: &str, about: &About) -> CanaryRecord {
    let text = |text: &Option<String>| text.as_deref().map(Arc::from);
    CanaryRecord {
        flag: flag.clone(),
        service: service.clone(),
        url: url.into(),
        branch: text(&about.branch),
        commit: text(&about.commit),
        version: text(&about.version),
        owner: text(&about.owner),
        description: text(&about.description),
    }
}
