//! Requests whose parts are made up, before one gateway.

use std::net::IpAddr;
use std::sync::LazyLock;

use http::{HeaderMap, HeaderName, HeaderValue};
use serin_core::config::{self, Config, Environment, OnUnset};
use serin_core::context::Moment;
use serin_core::dispatch::{Dispatch, Plan, Terms, dispatch};
use serin_core::edit::HeaderSink as _;
use serin_core::forward::{Attempt, TraceHop, request_edits};
use serin_core::request::limits::FieldSizes;
use serin_core::request::{HeaderLookup, RequestHead};
use serin_core::snapshot::Snapshot;
use serin_core::snapshot::assemble::assemble;
use serin_core::snapshot::offline::{NoopMeters, Offline};

/// 2027-01-15.
pub(crate) const NOW: Moment = Moment {
    unix_ms: 1_800_000_000_000,
};

/// A client that nobody trusts.
pub(crate) const STRANGER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
/// A proxy whose word counts.
pub(crate) const PROXY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

/// The secret of overrides.
pub(crate) const SECRET: &str = "a secret of more than thirty-two characters";

/// The gateway that requests come to.
const FILE: &str = "
server: { trusted_proxies: [10.0.0.0/8] }
identity:
  user_id: [{ header: x-user-id, trust: proxies }, { cookie: uid, trust: anyone }]
  override: { key: 'a secret of more than thirty-two characters' }
  channels: { key: 'another secret of more than thirty-two characters', names: [preview] }
services:
  search: { stable: 'http://127.0.0.1:9001' }
  account: { stable: 'http://127.0.0.1:9002' }
flags:
  search.ranker:
    url: http://127.0.0.1:9003
    rings: [{ name: some, rollout: 30% }]
routes:
  - { path: /account, service: account }
  - { path: /account/open, service: search }
  - { path: { exact: /exact }, service: account }
  - { hosts: ['*.example.com'], path: /, service: account }
  - { path: /, service: search }
attribution: { lanes: follow }
";

/// A machine without variables or files.
pub(crate) struct Bare;

impl Environment for Bare {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }

    fn file(&self, path: &str) -> Result<String, String> {
        Err(format!("there is no {path}"))
    }
}

/// What the file says.
pub(crate) static CONFIGURATION: LazyLock<Config> = LazyLock::new(|| {
    let config = config::compile(FILE, &Bare, OnUnset::Refuse, NOW);
    config.unwrap_or_else(|found| panic!("the configuration is wrong: {found:#?}"))
});

/// What runs.
pub(crate) static SNAPSHOT: LazyLock<Snapshot> =
    LazyLock::new(|| assemble(&CONFIGURATION, 1, &mut Offline::default(), &mut NoopMeters));

/// A request that a parser has taken.
pub(crate) struct Request {
    pub(crate) authority: String,
    pub(crate) path: String,
    pub(crate) peer: IpAddr,
    pub(crate) fields: HeaderMap,
}

impl Request {
    /// For a path, from a stranger.
    pub(crate) fn new(path: &str) -> Self {
        Self {
            authority: "search.test".to_owned(),
            path: path.to_owned(),
            peer: STRANGER,
            fields: HeaderMap::new(),
        }
    }

    /// Adds each line of an input as a field of this name, where it can be one.
    pub(crate) fn with_lines(mut self, name: &'static str, input: &[u8]) -> Self {
        for line in input.split(|&byte| byte == b'\n').take(8) {
            if let Ok(value) = HeaderValue::from_bytes(line) {
                self.fields.append(name, value);
            }
        }
        self
    }

    pub(crate) fn head(&self) -> RequestHead<'_> {
        RequestHead {
            method: "GET",
            authority: &self.authority,
            path: &self.path,
            query: None,
            headers: self,
            peer: self.peer,
            peer_trusted: SNAPSHOT.identity.trusts(self.peer),
        }
    }

    /// What is done with it.
    pub(crate) fn dispatch(&self) -> Dispatch {
        self.dispatch_on(&SNAPSHOT)
    }

    /// What is done with it by another gateway.
    pub(crate) fn dispatch_on(&self, snapshot: &Snapshot) -> Dispatch {
        let fresh = &mut || "f".repeat(32);
        dispatch(snapshot, &self.head(), Terms::default(), NOW, fresh)
    }

    /// The fields that go upstream by a plan.
    pub(crate) fn sent_upstream(&self, plan: &Plan) -> HeaderMap {
        let edits = request_edits(&Attempt {
            snapshot: &SNAPSHOT,
            head: self.head(),
            plan,
            deployment: plan.decision.assigned,
            request_id: &HeaderValue::from_static("id-1"),
            trace: TraceHop::Passed(1),
            encrypted: false,
            via: "1.1 serin",
        });
        let mut fields = self.fields.clone();
        fields.apply(&edits);
        fields
    }
}

impl HeaderLookup for Request {
    fn first(&self, name: &str) -> Option<&[u8]> {
        self.fields.get(name).map(HeaderValue::as_bytes)
    }

    fn visit<'a>(&'a self, name: &str, visit: &mut dyn FnMut(&'a [u8])) {
        let values = self.fields.get_all(name);
        values.iter().for_each(|value| visit(value.as_bytes()));
    }

    fn visit_names<'a>(&'a self, visit: &mut dyn FnMut(&'a str)) {
        self.fields.keys().map(HeaderName::as_str).for_each(visit);
    }

    fn sizes(&self) -> FieldSizes {
        let mut sizes = FieldSizes::default();
        for (name, value) in &self.fields {
            sizes.add(name.as_str().as_bytes(), value.as_bytes());
        }
        sizes
    }
}
