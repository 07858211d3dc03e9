//! Tests of the built binary: real clients through it to real servers. One file a paragraph of the contract; a folder
//! beside a file has its parts. Where a test belongs:
//!
//! * **Who gets which deployment**: `routing` (hosts, paths, methods, headers), `paths` (paths that servers read in several
//!   ways), `split` (flags of the file share real traffic out), `identity` (who the user is, whose word counts, the
//!   cookie), `jwt` (users by verified tokens, and the keys that verify them), `appearing` (canaries that only a flag server's flags name), `order` (which of several canaries has a user),
//!   `lanes` (what the gateway before this one decided), `overrides` (what a tester's signed token decides), `channels` (rings that users opt in to), `service_owners` (the examples of `deploy/SERVICES.md`).
//! * **What happens when an upstream fails**: `rescue` (the promise, in a few stories: a canary that is gone, and stable's
//!   users who never see one), `recovery` (the rules behind it: each cause, method and body, for retries and rescues),
//!   `faults` (every fault one after the other under steady load, and all ledgers agree), `quarantine` (one user whom a
//!   canary fails time after time), `blame` (which failures eject an endpoint, and which say nothing of it), `health`
//!   (active checks), `timeouts` (how long upstreams may take), `dns` (names whose addresses change or fail), `grpc`.
//! * **Several gateways**: `shared` (state in a real Redis, and all that can happen to that), `gateways` (three that behave as
//!   one).
//! * **Who gets copies**: `mirrors` (a shadow gets copies of requests, and nobody notices; `mirrors/comparing`, `mirrors/trouble`).
//! * **What pipelines do**: `registrations` (canaries that register themselves, for a time).
//! * **What an operator does to it**: `audit` (who did what, provably; events that can be resumed), `kills`, `leaving` (requests under way when users leave a canary), `flags_api` (flags, segments and rings that Serin keeps itself), `state` (what is
//!   stored outlives crashes), `shutoff`,
//!   `reload` (the file changes), `swaps` (a thousand changes under load), `lifecycle` (start, readiness, SIGTERM), `drain` (SIGTERM under load), `upgrade` (another process
//!   takes over), `service_manager` (systemd).
//! * **What clients may do**: `limits` (`server.limits` and `server.timeouts`), `edge_limits` (what routes let in: how often, from where, how large), `capacity` (what one client can cost the
//!   others: queues, rates, open files), `multiplexed` (HTTP/2 requests side by side), `half_closed`, `upstreams` (where
//!   nobody is ever led).
//! * **What comes before HTTP**: `tls` (certificates, ALPN, tickets, handshakes; PROXY headers).
//! * **How messages pass**: `framing` (where a message ends; `framing/ledger` has origins that enter every byte),
//!   `streaming` (bodies: unbuffered, in bounded memory), `hop` (fields of one connection), `websockets` (over HTTP/2), `kosoku`
//!   (WebSockets by Autobahn's cases).
//! * **Flag servers**: `sources` against the small server of `harness/flag_server`, which fails in every way; `unleash`
//!   against a real Unleash with PostgreSQL (`scripts/unleash`).
//! * **What is told of who served**: `receipts` (clients are told, signed; `receipts/strangers` verify them).
//! * **What a request was and took**: `traces` (spans at a collector, by OTLP).
//! * **Who was served by what**: `attribution` (exposures on their way to those who analyse).
//! * **What the gateway answers itself**: `clients` (the client API and official SDKs), `admin` (API, probes, OpenAPI,
//!   explain; `admin/schemathesis` asks it whatever the document allows, and more), `logs` (access log and own lines).
//! * **The command and what ships with it**: `cli`, `demo`, `sample` (`make run`), `readme`, `deploy`, `compose`, `pipelines`,
//!   `monitoring` (rules, alerts and pictures against a real Prometheus).
//! * **The house**: `floors` (rules read off the sources). `harness` is what all of them stand on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a broken assumption of a test is a failed test"
)]
#![expect(
    clippy::indexing_slicing,
    reason = "a test that looks for what is not there fails"
)]

mod admin;
mod appearing;
mod attribution;
mod audit;
mod blame;
mod capacity;
mod channels;
mod cli;
mod clients;
mod compose;
mod demo;
mod deploy;
mod dns;
mod drain;
mod edge_limits;
mod faults;
mod flags_api;
mod floors;
mod framing;
mod gateways;
mod grpc;
mod half_closed;
mod harness;
mod health;
mod hop;
mod identity;
mod jwt;
mod kills;
mod kosoku;
mod lanes;
mod leaving;
mod lifecycle;
mod limits;
mod logs;
mod mirrors;
mod monitoring;
mod multiplexed;
mod order;
mod overrides;
mod paths;
mod pipelines;
mod quarantine;
mod readme;
mod receipts;
mod recovery;
mod registrations;
mod reload;
mod rescue;
mod routing;
mod sample;
mod service_manager;
mod service_owners;
mod shared;
mod shutoff;
mod sources;
mod split;
mod state;
mod streaming;
mod swaps;
mod timeouts;
mod tls;
mod traces;
mod unleash;
mod upgrade;
mod upstreams;
mod websockets;
