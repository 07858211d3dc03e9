//! Serin, a canary-routing API gateway.
//!
//! The modules are floors, and imports go down only (`tests/it/floors.rs` polices it):
//!
//! * F6 `cli`, [`demo`], [`gateway`]: arguments to exit code; everything in one command to try; the composition root.
//! * F5 [`admin`]: HTTP API, probes and metrics; views of the floors below.
//! * F4 [`proxy`]: sockets, workers, connections; the pingora adapter, whose hooks only adapt, they decide nothing.
//! * F3 [`clock`], [`machine`], [`drain`], [`custody`], [`durable`], [`spool`], [`audit`], [`events`], [`telemetry`], [`certificates`], [`receipts`], [`tokens`], [`state`], [`registry`], [`resolver`], [`dial`], [`health`], [`shadow`], then [`publisher`], then
//!   [`source`], then [`reload`], [`recording`], [`attribution`], [`otlp`] and [`client_api`]: the calendar, files, metrics and logs, certificates, what clients are told of who served them, whom tokens name, what is stored, kills, DNS, health checks, copies of requests for shadows; the
//!   one writer of snapshots; files and flag servers; the control plane, who was served by what, requests as spans, and what clients ask. Each of these groups
//!   imports the ones before it only.
//! * F2 [`snapshot`], [`attempts`], [`decide`], [`dispatch`], [`exposure`], [`forward`], [`record`], [`served`], [`streams`], [`trace`]: one immutable whole, and the pure functions over it.
//! * F1 [`engine`], [`config`]: untrusted documents, checked and compiled.
//! * F0 [`canary`], [`capacity`], [`channel`], [`cluster`], [`context`], [`digest`],
//!   [`edit`], [`flag`], [`host`], [`hygiene`], [`identity`], [`indexed`], [`meter`], [`mirror`], [`overrides`], [`quarantine`], [`rate`], [`receipt`], [`request`], [`route`],
//!   [`signature`], [`spelling`]: vocabulary and pure matching.

pub use serin_core::{
    attempts, canary, capacity, channel, cluster, config, context, decide, digest, dispatch, edit,
    engine, exposure, flag, forward, host, hygiene, identity, indexed, meter, mirror, overrides,
    quarantine, rate, receipt, record, request, route, served, signature, snapshot, spelling,
    streams, trace,
};

pub mod attribution;
pub mod audit;
pub mod certificates;
pub mod client_api;
pub mod clock;
pub mod custody;
pub mod dial;
pub mod drain;
pub mod durable;
pub mod events;
pub mod health;
pub mod machine;
pub mod otlp;
pub mod publisher;
pub mod receipts;
pub mod recording;
pub mod registry;
pub mod reload;
pub mod resolver;
pub mod shadow;
pub mod source;
pub mod spool;
pub mod state;
pub mod telemetry;
pub mod tokens;

pub mod proxy;

pub mod admin;

pub mod cli;
pub mod demo;
pub mod gateway;
