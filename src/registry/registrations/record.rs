//! A registration, as it is stored.

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Name;
use crate::cluster::UpstreamUrl;
use crate::cluster::policy::{HealthPolicy, Probe, UpstreamTls};
use crate::context::Moment;

/// How much of what has happened is kept.
const HISTORY: usize = 100;
/// How many URLs are known that a canary's flag said before.
const RECORDED_BEFORE: usize = 4;
/// How long a health check of a new canary may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// Everything that is known of a registered canary. What a later version adds is kept as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Where the canary is.
    pub url: String,
    /// The path that its first health check asks for; `None`: a connection is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_path: Option<String>,
    /// What people say of it.
    #[serde(default)]
    pub about: About,
    /// Whose canary it is where no flag has its name: rings as a flag has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rings: Option<Value>,
    /// By what these rings keep users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stickiness: Option<String>,
    /// How long it lasts that is not renewed.
    pub ttl_ms: u64,
    /// When it was registered.
    pub registered_at_unix_ms: i64,
    /// When it was last renewed.
    pub renewed_at_unix_ms: i64,
    /// When it ends.
    pub expires_at_unix_ms: i64,
    /// Who registered or renewed it last.
    pub by: String,
    /// Whether its first health check has passed.
    #[serde(default)]
    pub ready: bool,
    /// Where it moves once that is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Target>,
    /// When it came to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at_unix_ms: Option<i64>,
    /// What its flag on a flag server says of it; `None`: nothing that Serin wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<Recorded>,
    /// Where its flag said before that it is, the oldest first: a gateway that the flag server has not told yet finds one of
    /// these there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recorded_before: Vec<String>,
    /// What has happened to it, the oldest first.
    #[serde(default)]
    pub history: Vec<Entry>,
    /// What else is stored of it.
    #[serde(flatten)]
    pub further: Map<String, Value>,
}

/// What people say of a canary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct About {
    /// The branch that it was built from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Who answers for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// What Serin wrote of a canary to its flag on a flag server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// On which server, in which project and environment.
    pub place: String,
    /// Where the canary is.
    pub url: String,
    /// What people say of it.
    #[serde(default)]
    pub about: About,
}

/// Where a canary is, and what its first health check asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Target {
    /// Where.
    pub url: String,
    /// The path; `None`: a connection is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_path: Option<String>,
}

/// Something that has happened to a canary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at_unix_ms: i64,
    /// What: `registered`, `changed`, `moving`, `ready`, `moved`, `killed`, `restored`, `held`, `taken_back` or `lease_over`.
    pub what: String,
    /// By whom; `None`: it came by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The particulars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Record {
    /// The flag that it brings along: its rings, or nobody.
    pub fn fallback(&self) -> Value {
        let mut flag = Map::new();
        if let Some(rings) = &self.rings {
            flag.insert("rings".to_owned(), rings.clone());
        }
        if let Some(stickiness) = &self.stickiness {
            flag.insert("stickiness".to_owned(), stickiness.as_str().into());
        }
        Value::Object(flag)
    }

    /// Notes what has happened; of very much, the oldest is forgotten.
    pub fn note(&mut self, at: Moment, what: &str, by: Option<&str>, detail: Option<&str>) {
        let surplus = (self.history.len() + 1).saturating_sub(HISTORY);
        self.history.drain(..surplus);
        self.history.push(Entry {
            at_unix_ms: at.unix_ms,
            what: what.to_owned(),
            by: by.map(str::to_owned),
            detail: detail.map(str::to_owned),
        });
    }

    /// What is registered, in JSON, without what has happened to it before.
    pub fn summary(&self) -> Value {
        let mut summary = serde_json::to_value(self).unwrap_or_default();
        if let Some(members) = summary.as_object_mut() {
            members.remove("history");
            // What this version does not know may be anything.
            members.retain(|name, _| !self.further.contains_key(name));
        }
        summary
    }

    /// Begins its time anew.
    pub fn renew(&mut self, now: Moment, by: &str) {
        let ttl = i64::try_from(self.ttl_ms).unwrap_or(i64::MAX);
        self.renewed_at_unix_ms = now.unix_ms;
        self.expires_at_unix_ms = now.unix_ms.saturating_add(ttl);
        by.clone_into(&mut self.by);
    }

    /// Notes that it ended at a moment, for a reason that the history names.
    pub fn end(&mut self, at: Moment, what: &str, by: Option<&str>) {
        self.note(at, what, by, None);
        self.expires_at_unix_ms = at.unix_ms;
        self.ended_at_unix_ms = Some(at.unix_ms);
        self.ready = false;
        self.next = None;
    }

    /// Whether its flag on a flag server says what is registered.
    pub fn is_recorded(&self) -> bool {
        let is_same = |said: &Recorded| said.url == self.url && said.about == self.about;
        self.recorded.as_ref().is_some_and(is_same)
    }

    /// Where else than at its URL its flag may say that it is, because Serin wrote so.
    pub(super) fn written(&self) -> Vec<UpstreamUrl> {
        let last = self.recorded.as_ref().map(|recorded| &recorded.url);
        let all = self.recorded_before.iter().chain(last);
        let others = all.filter(|url| **url != self.url);
        others.filter_map(|url| url.parse().ok()).collect()
    }

    /// Takes note of what its flag says now; `None`: there is none any more.
    pub fn note_recorded(&mut self, recorded: Option<Recorded>) {
        if let Some(before) = std::mem::replace(&mut self.recorded, recorded) {
            let known = &mut self.recorded_before;
            known.retain(|url| *url != before.url);
            known.push(before.url);
            known.drain(..known.len().saturating_sub(RECORDED_BEFORE));
        }
    }

    /// Where it is now.
    pub fn target(&self) -> Target {
        Target {
            url: self.url.clone(),
            health_path: self.health_path.clone(),
        }
    }

    /// What has yet to pass a health check.
    pub fn unchecked(&self) -> Option<Target> {
        match &self.next {
            _ if self.ended_at_unix_ms.is_some() => None,
            Some(next) => Some(next.clone()),
            None => (!self.ready).then(|| self.target()),
        }
    }

    /// Takes note that the canary has passed a health check there. Whether that is news.
    pub fn pass(&mut self, now: Moment, checked: &Target) -> bool {
        if self.unchecked().as_ref() != Some(checked) {
            return false;
        }
        if let Some(next) = self.next.take() {
            self.note(now, "moved", None, Some(&next.url));
            self.url = next.url;
            self.health_path = next.health_path;
        } else {
            self.note(now, "ready", None, Some(&checked.url));
        }
        self.ready = true;
        true
    }
}

impl Target {
    /// What its first health check is, given what its service states of TLS.
    pub fn check(&self, tls: Option<Arc<UpstreamTls>>) -> HealthPolicy {
        HealthPolicy {
            probe: match &self.health_path {
                Some(path) => Probe::Http {
                    path: path.as_str().into(),
                    status: None,
                },
                None => Probe::Tcp,
            },
            interval: CHECK_TIMEOUT,
            timeout: CHECK_TIMEOUT,
            unhealthy_after: 1,
            healthy_after: 1,
            tls,
        }
    }
}

/// The key that a record is stored by. No service's name has a slash.
pub(super) fn key((service, name): &Name) -> String {
    format!("{service}/{name}")
}

/// The service and name that a record is of.
pub(super) fn name(key: &str) -> Option<Name> {
    let (service, name) = key.split_once('/')?;
    Some((service.into(), name.into()))
}
